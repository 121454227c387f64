"""A whole run: its stages, what stops it, and what it leaves behind."""

from __future__ import annotations

import csv
import weakref
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import graphssl.pipeline as pipeline
from graphssl import DGI, Graph, embed, evaluate, fit, load, load_run, seeded
from graphssl.building import make, make_batches
from graphssl.datasets import Dataset
from graphssl.pipeline import Watcher, run
from graphssl.recipes import DEFAULTS, Recipe, find_recipe
from graphssl.scoring import reevaluate
from graphssl.training import Step, TrainingDiverged


class Told(Watcher):
    """Takes down what a run tells; stops it where asked to."""

    def __init__(self, stop: str | tuple[int, int] | None = None) -> None:
        self.stages: list[str] = []
        self.steps: list[tuple[int, int]] = []
        self.warnings: list[str] = []
        self.stop = stop

    def stage(self, text: str) -> None:
        self.stages.append(text)
        if text == self.stop:
            raise KeyboardInterrupt

    def step(self, seed: int, step: Step) -> None:
        self.steps.append((seed, step.number))
        if (seed, step.number) == self.stop:
            raise KeyboardInterrupt

    def warn(self, text: str) -> None:
        self.warnings.append(text)


def small(method: str = "dgi", **changes: Any) -> Recipe:
    """A recipe of a moment for the karate club."""
    return find_recipe(method, "karate").model_copy(update={"channels": (4,), "epochs": 5, **changes})


def names(folder: Path) -> list[str]:
    """All that is below a folder, hidden or not."""
    return sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*"))


SEED = ["embeddings.npy", "encoder.safetensors", "history.csv"]


def test_a_large_graph_is_cut_once_a_seed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[int] = []

    def counted(recipe: Recipe, data: Dataset, seed: int = 0) -> Any:
        made.append(seed)
        return make_batches(recipe, data, seed)

    monkeypatch.setattr(pipeline, "make_batches", counted)
    run("bgrl", "karate", small("bgrl", hidden=4, batches="partitions", num_parts=3), out=tmp_path / "run", seeds=(1, 2))
    assert made == [1, 2]


def test_egos_take_one_fan_out(tmp_path: Path) -> None:
    recipe = small("bgrl", hidden=4, batches="egos", fan_out=(3, 2))
    with pytest.raises(ValueError, match=r"fan_out must be the same number for each hop with batches egos, got \[3, 2\]"):
        run("bgrl", "karate", recipe, out=tmp_path / "run")


def test_no_embedding_is_held_while_training(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Looking(Told):
        def step(self, seed: int, step: Step) -> None:
            super().step(seed, step)
            assert untrained[0]() is None

    untrained: list[weakref.ref[Tensor]] = []

    def embedded(*args: Any, **options: Any) -> Tensor:
        z = embed(*args, **options)
        untrained.append(weakref.ref(z))
        return z

    monkeypatch.setattr(pipeline, "embed", embedded)
    told = Looking()
    run("dgi", "karate", small(), out=tmp_path / "run", watcher=told)
    assert told.steps


def test_a_run_tells_how_it_goes(tmp_path: Path) -> None:
    told = Told()
    score = run("dgi", "karate", small(), out=tmp_path / "run", seeds=(3, 1), watcher=told)
    assert told.stages == [
        "loading karate",
        "scoring raw features",
        "scoring untrained encoder",
        "scoring seed 3",
        "scoring untrained encoder",
        "scoring seed 1",
    ]
    assert told.steps == [(seed, number) for seed in (3, 1) for number in range(1, 6)]
    assert score["seeds"] == [3, 1]
    assert score["epochs_per_seed"] == [5, 5]


def test_the_scores_are_those_of_what_was_saved(tmp_path: Path) -> None:
    recipe = small("bgrl", protocol="low-label", num_splits=2)
    score = run("bgrl", "sbm", recipe, out=tmp_path / "run", seeds=(0, 1))
    data = load("sbm").preprocess(recipe.features)
    for i in (0, 1):
        z = np.load(tmp_path / "run" / f"seed-{i}" / "embeddings.npy")
        again = evaluate(torch.from_numpy(z), data, "low-label", setting="transductive", num_splits=2)
        assert score["per_seed"][i] == again.mean
        assert score["values"][i] == list(again.values)
        assert score["split_hash"] == again.split_hash
    runs = [load_run(tmp_path / "run", seed=seed) for seed in (0, 1)]
    rows = reevaluate(runs, data)["rows"]
    assert [row["mean"] for row in rows.values()] == [score["mean"], score["untrained"]["mean"], score["raw_features"]["mean"]]


def test_a_run_is_what_the_library_does_by_hand(tmp_path: Path) -> None:
    recipe = small("bgrl", epochs=7, warmup=0.3)
    run("bgrl", "karate", recipe, out=tmp_path / "run", seeds=(0, 1))
    data = load("karate").preprocess(recipe.features)
    for seed in (0, 1):
        with seeded(seed):
            objective = make("bgrl", recipe, data.num_features)
        options = {name: getattr(recipe, name) for name in ("lr", "weight_decay", "optimizer", "warmup", "schedule")}
        history = fit(objective, data, epochs=7, seed=seed, **options)
        found = load_run(tmp_path / "run", seed=seed)
        assert all(torch.equal(value, found.encoder.state_dict()[name]) for name, value in objective.encoder.state_dict().items())
        assert found.record["seeds"][str(seed)]["loss"] == history.loss[-1]
        with open(tmp_path / "run" / f"seed-{seed}" / "history.csv", newline="") as file:
            rows = list(csv.DictReader(file))
        assert [float(row["loss"]) for row in rows] == history.loss
        assert [float(row["lr"]) for row in rows] == history.lr


def test_training_leaves_the_callers_random_numbers_alone(tmp_path: Path) -> None:
    torch.manual_seed(7)
    expected = torch.rand(3)
    torch.manual_seed(7)
    run("grace", "karate", small("grace"), out=tmp_path / "run")
    assert torch.equal(torch.rand(3), expected)


def test_a_look_at_the_embedding_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = small("bgrl", epochs=6, dropout=0.2)
    run("bgrl", "karate", recipe, out=tmp_path / "often")
    monkeypatch.setattr(pipeline, "LOOKS", 1)
    run("bgrl", "karate", recipe, out=tmp_path / "rarely")
    a, b = (load_run(tmp_path / name).encoder.state_dict() for name in ("often", "rarely"))
    assert all(torch.equal(a[name], b[name]) for name in a)
    often, rarely = ((tmp_path / name / "seed-0" / "history.csv").read_text().splitlines() for name in ("often", "rarely"))
    assert [line.endswith(",") for line in often[1:]] == [False] * 6
    assert [line.endswith(",") for line in rarely[1:]] == [False, True, True, True, True, False]


# ---------------------------------------------------------------------- collapse and divergence


class Shrinking(DGI):
    """Draws all embeddings to one point."""

    def forward(self, g: Graph) -> Tensor:
        h = self.nodes(g)
        return (h - 1).square().sum()


def test_a_collapse_is_told_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(pipeline.make.__globals__["METHODS"], "dgi", Shrinking)
    told = Told()
    run("dgi", "karate", small(epochs=300, lr=0.1), out=tmp_path / "run", watcher=told)
    assert len(told.warnings) == 1
    assert told.warnings[0].startswith("step ")
    assert "the embedding has collapsed: all rows point the same way" in told.warnings[0]
    healthy = Told()
    monkeypatch.undo()
    run("dgi", "karate", small(epochs=40), out=tmp_path / "healthy", watcher=healthy)
    assert healthy.warnings == []


@pytest.mark.parametrize(("changes", "message"), [({"lr": 1e30}, "became"), ({"weight_decay": float("inf")}, "the embedding became NaN")])
def test_what_diverges_is_told_and_leaves_nothing(changes: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(TrainingDiverged, match=message):
        run("bgrl", "karate", small("bgrl", epochs=30, **changes), out=tmp_path / "run")
    assert names(tmp_path) == []


# ---------------------------------------------------------------------- stopped


@pytest.mark.parametrize(
    "stop", ["loading karate", "scoring raw features", "scoring untrained encoder"], ids=lambda stop: str(stop).replace(" ", "-")
)
def test_stopped_before_the_first_step(stop: str, tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        run("dgi", "karate", small(), out=tmp_path / "runs" / "run", watcher=Told(stop))
    assert names(tmp_path) == []


@pytest.mark.parametrize(
    ("stop", "kept"),
    [((0, 1), {0: 1}), ((0, 5), {0: 5}), ((1, 3), {0: 5, 1: 3}), ("scoring seed 0", {0: 5}), ("scoring seed 1", {0: 5, 1: 5})],
    ids=str,
)
def test_stopped_later(stop: str | tuple[int, int], kept: dict[int, int], tmp_path: Path) -> None:
    out = tmp_path / "run"
    told = Told(stop)
    record = run("dgi", "karate", small(), out=out, seeds=(0, 1, 2), watcher=told)
    last = list(kept.values())[-1]
    assert record == {"method": "dgi", "dataset": "karate", "interrupted": True, "epochs": last, "run": str(out)}
    there = [name for name in names(tmp_path) if not name.startswith(".run.resume")]
    assert there == ["run", "run/run.json", *(f"run/seed-{s}{name}" for s in kept for name in ("", *(f"/{f}" for f in SEED)))]
    found = load_run(out)
    assert found.record["interrupted"] is True
    assert found.score is None
    assert {seed: told["steps"] for seed, told in found.record["seeds"].items()} == {str(seed): steps for seed, steps in kept.items()}
    data = load("karate").preprocess(found.recipe.features)
    runs = [load_run(out, seed=seed) for seed in found.seeds]
    for one in runs:
        assert np.array_equal(embed(one.encoder, data).numpy(), np.load(out / f"seed-{one.seed}" / "embeddings.npy"))
        history = (out / f"seed-{one.seed}" / "history.csv").read_text().splitlines()
        assert len(history) == kept[one.seed] + 1
    rows = reevaluate(runs, data)["rows"]
    assert all(0 <= row["mean"] <= 1 for row in rows.values())


def test_stopped_in_the_baseline_of_a_later_seed(tmp_path: Path) -> None:
    class Later(Told):
        def stage(self, text: str) -> None:
            super().stage(text)
            if self.stages.count("scoring untrained encoder") == 2:
                raise KeyboardInterrupt

    run("dgi", "karate", small(), out=tmp_path / "run", seeds=(0, 1), watcher=Later())
    found = load_run(tmp_path / "run")
    assert (found.seeds, found.record["interrupted"]) == ([0], True)


def test_stopped_while_saving_a_later_seed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save = pipeline.save_seed

    def interrupted(folder: Path, *rest: Any) -> None:
        if folder.name == "seed-1":
            folder.mkdir()
            (folder / "encoder.safetensors").write_bytes(b"half")
            raise KeyboardInterrupt
        save(folder, *rest)

    monkeypatch.setattr(pipeline, "save_seed", interrupted)
    run("dgi", "karate", small(), out=tmp_path / "run", seeds=(0, 1))
    assert [name for name in names(tmp_path / "run") if "/" not in name] == ["run.json", "seed-0"]
    assert list(load_run(tmp_path / "run").record["files"]) == [f"seed-0/{name}" for name in SEED]
    monkeypatch.setattr(pipeline, "save_seed", lambda folder, *rest: interrupted(folder.with_name("seed-1"), *rest))
    with pytest.raises(KeyboardInterrupt):
        run("dgi", "karate", small(), out=tmp_path / "second", seeds=(0,))
    assert sorted(p.name for p in tmp_path.iterdir()) == [".run.resume", "run"]


def test_an_error_leaves_an_earlier_run_as_it_was(tmp_path: Path) -> None:
    out = tmp_path / "run"
    run("dgi", "karate", small(), out=out)
    before = {name: (out / name).read_bytes() for name in names(out) if (out / name).is_file()}
    with pytest.raises(ValueError, match="exists already"):
        run("dgi", "karate", small(), out=out)
    with pytest.raises(ValueError, match="takes 20 splits"):
        run("dgi", "karate", small(protocol="wikics"), out=out, force=True)
    assert {name: (out / name).read_bytes() for name in names(out) if (out / name).is_file()} == before
    assert [p.name for p in tmp_path.iterdir()] == ["run"]


# ---------------------------------------------------------------------- several graphs


def test_inductive_training_never_sees_the_test_graphs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from graphssl.datasets import Dataset, contextual_sbm
    from graphssl.datasets.splits import Split

    sizes = (40, 40, 30, 30)
    single = [contextual_sbm(n, 3, 8, degree=6, seed=k) for k, n in enumerate(sizes)]
    rows = torch.arange(sum(sizes)).split(list(sizes))
    split = Split("graphs", torch.cat(rows[:2]), rows[2], rows[3])
    data = Dataset(
        "four", tuple(d.graph for d in single), torch.cat([d.y for d in single]), (split,), parts=("train", "train", "val", "test")
    )
    monkeypatch.setattr(pipeline, "load", lambda *_, **__: data)
    seen: set[int] = set()

    class Watched(DGI):
        def forward(self, g: Graph) -> Tensor:
            seen.add(g.num_nodes)
            return super().forward(g)

    monkeypatch.setitem(pipeline.make.__globals__["METHODS"], "dgi", Watched)
    for batch_size, expected in ((1, {40}), (2, {80}), (None, {80})):
        seen.clear()
        recipe = DEFAULTS["dgi"].model_copy(update={"channels": (4,), "epochs": 2, "batch_size": batch_size, "protocol": "fixed"})
        score = run("dgi", "four", recipe, out=tmp_path / str(batch_size))
        assert score["setting"] == "inductive"
        assert score["epochs"] == 2
        assert seen == expected
        assert np.load(tmp_path / str(batch_size) / "seed-0" / "embeddings.npy").shape == (140, 4)
