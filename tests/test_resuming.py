"""A run that was stopped, however it was, goes on to the same numbers, bit for bit."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import graphs
import numpy as np
import pytest
import torch
from torch import Tensor

from graphssl import BGRL, DGI, GCN, GIN, GRACE, JOAO, Compose, DropEdges, DropNodes, GraphBatches, GraphCL, Identity, MaskFeatures, seeded
from graphssl.checkpoint import load_checkpoint, save_checkpoint
from graphssl.files import waiting
from graphssl.objectives import Objective
from graphssl.pipeline import Watcher, run
from graphssl.recipes import find_recipe
from graphssl.resuming import Work
from graphssl.training import Step, Training, train

VIEW = Compose(DropEdges(0.3), MaskFeatures(0.3))


def node_objectives() -> dict[str, Callable[[], Objective]]:
    return {
        "bgrl": lambda: BGRL(GCN(graphs.F, [8, 4], dropout=0.2), views=(VIEW, VIEW), hidden=8),
        "dgi": lambda: DGI(GCN(graphs.F, [8], norm="none")),
        "grace": lambda: GRACE(GCN(graphs.F, [8, 4]), views=(VIEW, VIEW), hidden=8),
    }


def graph_objectives() -> dict[str, Callable[[], Objective]]:
    def encoder() -> Any:
        return GIN(graphs.F, [4, 4], jk="cat", readout="sum")

    views = (Identity(), DropNodes(0.3), DropEdges(0.3))
    return {"graphcl": lambda: GraphCL(encoder(), views=views[:2]), "joao": lambda: JOAO(encoder(), views=views)}


def made(make: Callable[[], Objective], source: Any, **options: Any) -> tuple[Objective, Training]:
    with seeded(3):
        objective = make()
    return objective, train(objective, source(), **{"epochs": 4, "lr": 0.01, "warmup": 0.2, "schedule": "cosine", **options})


def same(a: dict[str, Tensor], b: dict[str, Tensor]) -> bool:
    return list(a) == list(b) and all(torch.equal(a[name], b[name]) for name in a)


CASES: dict[str, tuple[Callable[[], Objective], Callable[[], Any], dict[str, Any]]] = {
    **{name: (make, lambda: graphs.undirected(), {}) for name, make in node_objectives().items()},
    **{
        name: (make, lambda: GraphBatches([graphs.undirected(6 + k, seed=k) for k in range(8)], 3), {})
        for name, make in graph_objectives().items()
    },
    "patience": (node_objectives()["dgi"], lambda: graphs.undirected(), {"patience": 1, "epochs": 12, "lr": 0.5}),
    "adam": (node_objectives()["dgi"], lambda: graphs.undirected(), {"optimizer": "adam", "weight_decay": 0.1, "clip": 0.5}),
}


@pytest.mark.parametrize("name", CASES)
def test_a_state_goes_on_to_the_same_bits(name: str, tmp_path: Path) -> None:
    make, source, options = CASES[name]
    whole, steps = made(make, source, **options)
    told = [(step.number, step.epoch, float(step.loss), step.lr) for step in steps]
    for stop in range(1, len(told) + 1):
        _, steps = made(make, source, **options)
        for _ in range(stop):
            next(steps)
        save_checkpoint(tmp_path / str(stop), *steps.state())
        again, steps = made(make, source, **options)
        with torch.no_grad():
            for p in again.parameters():
                p.zero_()
        found = load_checkpoint(tmp_path / str(stop))
        assert found is not None
        steps.restore(*found)
        rest = [(step.number, step.epoch, float(step.loss), step.lr) for step in steps]
        assert rest == told[stop:]
        assert same(again.state_dict(), whole.state_dict()), f"after step {stop}"


def test_the_state_of_another_objective_is_refused() -> None:
    _, steps = made(node_objectives()["dgi"], lambda: graphs.undirected())
    next(steps)
    _, other = made(node_objectives()["bgrl"], lambda: graphs.undirected())
    with pytest.raises(ValueError, match="state: it is not that of a run with this objective"):
        other.restore(*steps.state())


# ---------------------------------------------------------------------- checkpoints


def test_two_generations_are_kept_and_a_damaged_one_is_passed_over(tmp_path: Path) -> None:
    for k in range(4):
        save_checkpoint(tmp_path, {"w": torch.full((3,), float(k))}, {"k": k})
    assert sorted(p.name for p in tmp_path.iterdir()) == ["3.json", "3.safetensors", "4.json", "4.safetensors"]
    path = tmp_path / "4.safetensors"
    path.write_bytes(path.read_bytes()[:-1])
    found = load_checkpoint(tmp_path)
    assert found is not None
    assert found[1] == {"k": 2}
    (tmp_path / "3.json").write_text("{")
    with pytest.raises(ValueError, match=r"all checkpoints in .* are damaged"):
        load_checkpoint(tmp_path)
    assert load_checkpoint(tmp_path / "nothing") is None


def test_no_flipped_bit_goes_unseen(tmp_path: Path) -> None:
    tensors = {"w": torch.randn(5), "n": torch.arange(3)}
    save_checkpoint(tmp_path, tensors, {"loss": [0.5, 0.25], "epoch": 3})
    rng = random.Random(0)
    for name in ("1.json", "1.safetensors"):
        content = (tmp_path / name).read_bytes()
        for _ in range(100):
            place = rng.randrange(8 * len(content))
            flipped = bytearray(content)
            flipped[place // 8] ^= 1 << place % 8
            (tmp_path / name).write_bytes(flipped)
            try:
                found = load_checkpoint(tmp_path)
            except ValueError:
                continue
            assert found is not None
            assert same(found[0], tensors)
            assert found[1] == {"loss": [0.5, 0.25], "epoch": 3}
        (tmp_path / name).write_bytes(content)


# ---------------------------------------------------------------------- runs


class Killed(BaseException):
    """As hard a stop as Python knows: nothing above it catches it."""


class Kills(Watcher):
    """Stops a run at a step of a seed, or at a stage."""

    def __init__(self, at: tuple[int, int] | str) -> None:
        self.at = at

    def stage(self, text: str) -> None:
        if text == self.at:
            raise Killed

    def step(self, seed: int, step: Step) -> None:
        if (seed, step.number) == self.at:
            raise Killed


def small(**changes: Any) -> Any:
    numbers = {"protocol": "random-10-10-80", "channels": (8, 4), "hidden": 8, "epochs": 6, "num_splits": 2}
    return find_recipe("bgrl", "karate").model_copy(update={**numbers, **changes})


def content(out: Path, seeds: tuple[int, ...] = (0, 1)) -> list[Any]:
    score = json.loads((out / "score.json").read_text())
    kept = [score[name] for name in ("mean", "per_seed", "values", "untrained", "raw_features", "diagnostics", "epochs_per_seed")]
    for seed in seeds:
        kept += [(out / f"seed-{seed}" / name).read_bytes() for name in ("encoder.safetensors", "embeddings.npy")]
        history = (out / f"seed-{seed}" / "history.csv").read_text().splitlines()
        place = history[0].split(",").index("seconds")
        kept += [[cell for k, cell in enumerate(row.split(",")) if k != place] for row in history]
    return kept


def test_a_killed_run_goes_on_to_the_same_files(tmp_path: Path) -> None:
    options: dict[str, Any] = {"seeds": (0, 1), "save_every": 0.0}
    run("bgrl", "karate", small(), out=tmp_path / "whole", **options)
    assert not waiting(tmp_path / "whole").exists()
    expected = content(tmp_path / "whole")
    out = tmp_path / "killed"
    for at in ((0, 3), (0, 5), "scoring seed 0", (1, 1), (1, 6)):
        with pytest.raises(Killed):
            run("bgrl", "karate", small(), out=out, resume=True, watcher=Kills(at), **options)
        assert not out.exists()
    run("bgrl", "karate", small(), out=out, resume=True, **options)
    assert content(out) == expected
    assert not waiting(out).exists()


def test_what_was_interrupted_goes_on_too(tmp_path: Path) -> None:
    class Stops(Watcher):
        def step(self, seed: int, step: Step) -> None:
            if step.number == 4:
                signal.raise_signal(signal.SIGINT)

    run("bgrl", "karate", small(), out=tmp_path / "whole", seeds=(0,))
    record = run("bgrl", "karate", small(), out=tmp_path / "run", watcher=Stops())
    assert (record["interrupted"], record["epochs"]) == (True, 4)
    with pytest.raises(ValueError, match="exists already"):
        run("bgrl", "karate", small(), out=tmp_path / "run")
    run("bgrl", "karate", small(), out=tmp_path / "run", resume=True)
    assert content(tmp_path / "run", (0,)) == content(tmp_path / "whole", (0,))


def test_another_run_is_not_gone_on_with(tmp_path: Path) -> None:
    with pytest.raises(Killed):
        run("bgrl", "karate", small(), out=tmp_path / "run", watcher=Kills((0, 3)), save_every=0.0)
    with pytest.raises(ValueError, match=r"is another one \(it differs in recipe\)"):
        run("bgrl", "karate", small(lr=0.5), out=tmp_path / "run", resume=True)
    with pytest.raises(ValueError, match="an unfinished run waits"):
        run("bgrl", "karate", small(lr=0.5), out=tmp_path / "run")
    run("bgrl", "karate", small(lr=0.5), out=tmp_path / "run", force=True)
    assert not waiting(tmp_path / "run").exists()


def test_two_processes_do_not_share_a_run(tmp_path: Path) -> None:
    work = Work(tmp_path / "run", {}, 60.0)
    with work.opened(resume=False), pytest.raises(ValueError, match="another process is at work on this run"):
        run("bgrl", "karate", small(), out=tmp_path / "run")


@pytest.mark.skipif(sys.platform == "win32", reason="signals")
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM], ids=["kill", "terminate"])
def test_the_command_goes_on_after_a_signal(number: signal.Signals, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "graphssl", "train", "bgrl", "karate", "--channels", "8", "4", "--hidden", "8", "--epochs", "60"]
    command += ["--protocol", "random-10-10-80", "--num-splits", "2", "--quiet"]
    subprocess.run([*command, "--out", "whole"], cwd=tmp_path, check=True)
    started = subprocess.Popen([*command, "--save-every", "0", "--out", "run"], cwd=tmp_path, stderr=subprocess.PIPE, text=True)
    checkpoints = waiting(tmp_path / "run") / "checkpoint-0"
    end = time.monotonic() + 120
    while not (checkpoints / "20.json").exists() and time.monotonic() < end and started.poll() is None:
        time.sleep(0.01)
    os.kill(started.pid, number)
    assert started.stderr is not None
    told = started.stderr.read()
    assert started.wait() == (-9 if number == signal.SIGKILL else 143), told
    assert "Traceback" not in told
    assert not (tmp_path / "run").exists()
    subprocess.run([*command, "--out", "run", "--resume"], cwd=tmp_path, check=True)
    assert content(tmp_path / "run", (0,)) == content(tmp_path / "whole", (0,))
    assert np.load(tmp_path / "run" / "seed-0" / "embeddings.npy").shape == (34, 4)
