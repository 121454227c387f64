"""The command as a user meets it: what it prints, writes and refuses, and with which exit code."""

from __future__ import annotations

import errno
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.lib import format as npy
from safetensors.torch import load_file

import graphssl
from graphssl import embed, evaluate, load, load_run, seeded
from graphssl.building import make
from graphssl.cli import main
from graphssl.datasets.table import DATASETS
from graphssl.encoders import build
from graphssl.evaluation.protocols import PROTOCOLS
from graphssl.recipes import RECIPES, levels

SMALL = ("--channels", "16", "8", "--epochs", "4")
SCORE = {  # what the documentation promises of score.json
    "method": str,
    "dataset": str,
    "setting": str,
    "protocol": str,
    "split_hash": str,
    "metric": str,
    "mean": float,
    "std_splits": float,
    "std_seeds": (float, type(None)),
    "n_seeds": int,
    "untrained": dict,
    "raw_features": dict,
    "epochs": int,
    "seconds_per_step": float,
    "peak_rss_mb": float,
    "diagnostics": dict,
}


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Each test stands in a folder of its own."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of two seeds on the synthetic graph; tests read it and leave it as it is."""
    out = tmp_path_factory.mktemp("trained") / "run"
    assert call("train", "bgrl", "sbm", *SMALL, "--hidden", "8", "--num-splits", "2", "--seed", "0..1", "--lr", "0.01", "--out", out) == 0
    return out


def call(*args: object) -> int:
    """The command inside this process; its exit code."""
    try:
        return main([str(a) for a in args])
    except SystemExit as stop:
        return int(stop.code or 0)


def process(*args: object, code: str | None = None, **options: Any) -> subprocess.Popen[str]:
    """The command as a process of its own."""
    env = {**os.environ, "PYTHONPATH": str(Path(graphssl.__file__).parents[1]), "OMP_NUM_THREADS": "1", "TERM": "xterm", "COLUMNS": "120"}
    start = [sys.executable, *(("-m", "graphssl") if code is None else ("-c", code))]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, "env": env, **options}
    if os.name == "posix":  # a runner in the background hands down an ignored SIGINT
        pipes["preexec_fn"] = lambda: signal.signal(signal.SIGINT, signal.SIG_DFL)
    return subprocess.Popen([*start, *map(str, args)], **pipes)


@pytest.fixture
def refused(capfd: pytest.CaptureFixture[str], folder: Path) -> Callable[..., str]:
    """Run a command that must be refused: code 2, one message on standard error, nothing on standard output, nothing written."""

    def check(*args: object) -> str:
        before = listing(folder)
        capfd.readouterr()
        code = call(*args)
        out, err = capfd.readouterr()
        assert code == 2, f"exit code {code}: {out}{err}"
        assert out == ""
        assert "Traceback" not in err
        own = [line for line in err.splitlines() if line.startswith("graphssl: ")]
        boxes = err.count("╭")  # the parser's
        assert len(own) + boxes == 1, err
        assert listing(folder) == before, "something was written"
        return " ".join(re.sub("[│╭╮╰╯─]", " ", err).split()) if boxes else own[0]

    return check


def listing(folder: Path) -> dict[str, bytes | None]:
    """Everything below a folder, hidden files too, with its content; without what waits to be gone on with."""
    there = {p.relative_to(folder).as_posix(): p.read_bytes() if p.is_file() else None for p in sorted(folder.rglob("*"))}
    return {name: content for name, content in there.items() if ".resume" not in name}


def graph_file(path: Path = Path("mine.npz"), **changes: Any) -> Path:
    """A small graph of one's own as a file, with some arrays changed; ``None`` leaves one out."""
    rng = np.random.default_rng(0)
    arrays = {
        "x": rng.normal(size=(60, 5)).astype(np.float32),
        "edge_index": rng.integers(0, 60, size=(2, 200)),
        "y": np.arange(60) % 3,
        **changes,
    }
    np.savez(path, **{name: value for name, value in arrays.items() if value is not None})
    return path


# ---------------------------------------------------------------------- train


@pytest.mark.parametrize("method", [method for method in sorted(RECIPES) if "node" in levels(method)])
def test_train_leaves_the_run_folder_that_is_documented(method: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call("train", method, "karate", *SMALL) == 0
    shown = capsys.readouterr()
    out = Path("runs") / f"{method}-karate-1"
    for text in (f"{method} on karate", "untrained encoder", "raw features", "accuracy", "transductive", "fixed v1", str(out)):
        assert text in shown.out
    assert "4/4" in shown.err
    assert sorted(listing(folder)) == [
        "runs",
        *(f"runs/{out.name}{rest}" for rest in ("", "/run.json", "/score.json", "/seed-0")),
        *(f"runs/{out.name}/seed-0/{name}" for name in ("embeddings.npy", "encoder.safetensors", "history.csv")),
    ]
    record = json.loads((out / "run.json").read_text())
    assert record["recipe"]["channels"] == [16, 8]
    assert record["method"] == method
    assert record["interrupted"] is False
    assert record["environment"]["torch"] == torch.__version__
    assert record["environment"]["graphssl"] == graphssl.__version__
    assert record["wall_seconds"] > 0
    assert record["peak_rss_mb"] > 50
    lines = (out / "seed-0" / "history.csv").read_text().splitlines()
    assert lines[0].startswith("step,epoch,loss,lr,seconds,effective_rank")
    assert [line.split(",")[0] for line in lines[1:]] == ["1", "2", "3", "4"]
    assert np.load(out / "seed-0" / "embeddings.npy", allow_pickle=False).shape == (34, 8 * len(record["recipe"].get("structures", [0])))


def test_the_second_run_gets_the_next_number(folder: Path) -> None:
    for _ in range(2):
        assert call("train", "dgi", "KARATE", "--channels", 4, "--epochs", 1, "--quiet") == 0
    assert sorted(p.name for p in Path("runs").iterdir()) == ["dgi-karate-1", "dgi-karate-2"]
    assert json.loads(Path("runs/dgi-karate-1/score.json").read_text())["dataset"] == "karate"


def test_score_json_has_every_field_of_the_right_kind(trained: Path) -> None:
    score = json.loads((trained / "score.json").read_text())
    for name, kind in SCORE.items():
        assert isinstance(score[name], kind), name
    assert (score["n_seeds"], score["seeds"], score["n_splits"], score["epochs"]) == (2, [0, 1], 2, 4)
    assert score["mean"] == pytest.approx(np.mean(score["per_seed"]))
    assert score["std_seeds"] == pytest.approx(np.std(score["per_seed"], ddof=1))
    assert np.array(score["values"]).shape == (2, 2)
    assert score["std_splits"] == pytest.approx(np.std(score["values"], axis=1, ddof=1).mean())
    assert set(score["untrained"]) == {"mean", "std_splits", "std_seeds"}
    assert score["untrained"]["std_seeds"] is not None
    assert sorted(p.name for p in trained.iterdir()) == ["run.json", "score.json", "seed-0", "seed-1"]


def test_one_seed_has_no_deviation_over_seeds(folder: Path) -> None:
    assert call("train", "grace", "karate", *SMALL, "--out", "r", "--quiet") == 0
    score = json.loads(Path("r/score.json").read_text())
    assert score["std_seeds"] is None
    assert score["untrained"]["std_seeds"] is None


def test_json_is_score_json_and_nothing_else() -> None:
    run = process("train", "dgi", "karate", *SMALL, "--out", "r", "--json")
    out, err = run.communicate(timeout=300)
    assert (run.returncode, err) == (0, "")
    assert out == Path("r/score.json").read_text()


def test_quiet_shows_the_score_and_no_progress(capsys: pytest.CaptureFixture[str]) -> None:
    assert call("train", "dgi", "karate", *SMALL, "--quiet") == 0
    shown = capsys.readouterr()
    assert shown.err == ""
    assert "dgi on karate" in shown.out


def test_the_same_seed_gives_the_same_run(trained: Path) -> None:
    again = Path("again")
    assert (
        call("train", "bgrl", "sbm", *SMALL, "--hidden", 8, "--num-splits", 2, "--seed", "1,0", "--lr", "0.01", "--out", again, "--quiet")
        == 0
    )
    first, second = (json.loads((run / "score.json").read_text()) for run in (trained, again))
    assert second["seeds"] == [1, 0]
    assert second["per_seed"] == first["per_seed"][::-1]
    assert second["split_hash"] == first["split_hash"]
    assert second["raw_features"] == first["raw_features"]
    for seed in (0, 1):
        a, b = (load_file(run / f"seed-{seed}" / "encoder.safetensors") for run in (trained, again))
        assert a.keys() == b.keys()
        assert all(torch.equal(a[name], b[name]) for name in a)


def test_seeds_differ(trained: Path) -> None:
    a, b = (load_file(trained / f"seed-{seed}" / "encoder.safetensors") for seed in (0, 1))
    assert any(not torch.equal(a[name], b[name]) for name in a)


def test_baselines_are_what_they_say(trained: Path) -> None:
    run = load_run(trained)
    data = load("sbm").preprocess(run.recipe.features)

    def score(z: Any) -> float:
        return evaluate(z, data, run.recipe.protocol, setting="transductive", num_splits=2).mean

    untrained = []
    for seed in (0, 1):
        with seeded(seed):
            fresh = build(run.record["encoder"])
        with seeded(seed):
            assert all(
                torch.equal(p, q)
                for p, q in zip(make("bgrl", run.recipe, 64).encoder.state_dict().values(), fresh.state_dict().values(), strict=True)
            )
        untrained.append(score(embed(fresh, data)))
        moved = load_run(trained, seed=seed).encoder.state_dict()
        assert any(not torch.equal(value, moved[name]) for name, value in fresh.state_dict().items() if "weight" in name)
    assert run.score is not None
    assert run.score["untrained"]["mean"] == np.mean(untrained)
    assert run.score["raw_features"]["mean"] == score(data.graph.x)
    assert len({run.score["mean"], run.score["untrained"]["mean"], run.score["raw_features"]["mean"]}) == 3


def test_what_was_changed_in_a_recipe_is_told(trained: Path) -> None:
    source = json.loads((trained / "run.json").read_text())["recipe"]["source"]
    assert source.endswith("; changed: channels, epochs, lr, num_splits, hidden")
    assert json.loads((trained / "score.json").read_text())["recipe_source"] == source
    assert call("train", "dgi", "karate", "--lr", "0.001", "--epochs", "1", "--channels", "4", "--out", "same-lr", "--quiet") == 0
    assert json.loads(Path("same-lr/run.json").read_text())["recipe"]["source"].endswith("; changed: channels, epochs")


@pytest.mark.parametrize(
    "options",
    [
        ("--encoder", "gat", "--heads", "2"),
        ("--encoder", "gatv2"),
        ("--encoder", "gin", "--norm", "none"),
        ("--encoder", "sage", "--aggregation", "max", "--jk", "cat"),
        ("--jk", "lstm", "--channels", "8", "8"),
        ("--skip", "dense", "--channels", "8", "8", "--weight-standardization"),
        ("--adaptive", "degree", "--precision", "bf16", "--clip", "1"),
        ("--drop-nodes", "0.2", "0.1", "--add-edges", "0.1", "0"),
    ],
    ids=lambda options: " ".join(options),
)
def test_fields_of_the_recipe_are_options(options: tuple[str, ...]) -> None:
    assert (
        call("train", "grace", "karate", "--channels", "8", "8", "--hidden", "4", "--epochs", "2", *options, "--out", "r", "--quiet") == 0
    )
    recipe = json.loads(Path("r/run.json").read_text())["recipe"]
    name = options[0][2:].replace("-", "_")
    assert np.ravel(recipe[name]).tolist()[0] == type(np.ravel(recipe[name]).tolist()[0])(options[1])
    data = load("karate")
    assert embed(load_run("r").encoder, data.preprocess(recipe["features"])).isfinite().all()


def test_a_graph_of_ones_own(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    monkeypatch.setenv("COLUMNS", "400")
    file = graph_file(Path("my [graph].npz"), train_mask=np.arange(60) < 20, val_mask=(np.arange(60) >= 20) & (np.arange(60) < 40))
    assert call("train", "bgrl", file, *SMALL) == 0
    shown = capsys.readouterr()
    assert f"bgrl on {folder}/my [graph].npz" in shown.out
    assert "runs/bgrl-my [graph]-1" in shown.out
    assert f"loading {folder}/my [graph].npz" in shown.err
    assert call("evaluate", "runs/bgrl-my [graph]-1") == 0


def test_on_another_graph_than_that_of_the_run(capfd: pytest.CaptureFixture[str], refused: Callable[..., str], folder: Path) -> None:
    masks = {"train_mask": np.arange(60) < 20}
    graph_file(**masks)
    assert call("train", "dgi", "mine.npz", *SMALL, "--out", "r", "--quiet") == 0
    graph_file(y=(np.arange(60) + 1) % 3, **masks)
    capfd.readouterr()
    assert call("evaluate", "r", "--json") == 0
    shown = capfd.readouterr()
    assert shown.err == f"warning: {folder}/mine.npz is not what the run was trained on (its fingerprint differs)\n"
    assert json.loads(shown.out)["dataset"] == str(folder / "mine.npz")
    graph_file(x=np.ones((60, 4), dtype=np.float32), **masks)
    assert refused("evaluate", "r") == f"graphssl: data: {folder}/mine.npz has 4 features, and the run was trained on 5"


# ---------------------------------------------------------------------- evaluate and embed


def test_evaluate_gives_the_same_score_again(trained: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call("evaluate", trained, "--json") == 0
    record = json.loads(capsys.readouterr().out)
    score = json.loads((trained / "score.json").read_text())
    rows = record["rows"]
    for row, told in ((f"{score['method']} on {score['dataset']}", score), ("untrained encoder", score["untrained"])):
        assert {name: told[name] for name in ("mean", "std_splits", "std_seeds")} == rows[row]
    assert rows["raw features"]["mean"] == score["raw_features"]["mean"]
    for name in ("method", "dataset", "setting", "protocol", "protocol_version", "split_hash", "metric", "n_seeds", "seeds"):
        assert record[name] == score[name], name


def test_evaluate_under_another_protocol(trained: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call("evaluate", trained, "--protocol", "low-label", "--num-splits", "3", "--json") == 0
    record = json.loads(capsys.readouterr().out)
    assert record["protocol"] == "low-label"
    assert record["split_hash"] != json.loads((trained / "score.json").read_text())["split_hash"]
    assert call("evaluate", trained, "--protocol", "low-label", "--num-splits", "3") == 0
    shown = capsys.readouterr().out
    assert f"{100 * record['rows']['bgrl on sbm']['mean']:.2f}" in shown
    assert record["split_hash"] in shown


@pytest.mark.parametrize(("probe", "rows", "metric"), [("knn", 3, "accuracy"), ("cluster", 6, "nmi, ari"), ("low-label", 9, "accuracy")])
def test_evaluate_with_another_probe(trained: Path, probe: str, rows: int, metric: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert call("evaluate", trained, "--probe", probe, "--json") == 0
    record = json.loads(capsys.readouterr().out)
    assert (record["probe"], record["metric"], len(record["rows"])) == (probe, metric, rows)
    assert all(-1 <= row["mean"] <= 1 for row in record["rows"].values())
    assert call("evaluate", trained, "--probe", probe) == 0
    assert f"{probe} probe" in capsys.readouterr().out


def test_embed_writes_the_same_numbers_in_every_format(trained: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import pyarrow.parquet as pq

    for suffix in ("npy", "parquet", "safetensors"):
        assert call("embed", trained, "--out", f"z.{suffix}") == 0
        assert capsys.readouterr().out == f"1,000 rows of 8 numbers in z.{suffix}\n"
    z = np.load("z.npy", allow_pickle=False)
    assert np.array_equal(z, np.load(trained / "seed-0" / "embeddings.npy"))
    assert np.array_equal(z, load_file("z.safetensors")["embeddings"].numpy())
    table = pq.read_table("z.parquet")
    assert table.column_names == ["node", "embedding"]
    assert table["node"].to_pylist() == list(range(1000))
    assert np.array_equal(z, np.array(table["embedding"].to_pylist(), dtype=np.float32))
    assert call("embed", trained, "--out", "z.npy", "--seed", "1", "--force") == 0
    assert np.array_equal(np.load("z.npy"), np.load(trained / "seed-1" / "embeddings.npy"))
    assert not np.array_equal(np.load("z.npy"), z)


@pytest.mark.parametrize(
    ("out", "message"),
    [
        ("there.npy", "exists already; name another file, or give --force"),
        ("z.txt", "must end in .npy, .parquet, .safetensors, got 'z.txt'"),
        ("none/z.npy", "there is no folder"),
        ("folder.npy", "is a folder; name a file"),
    ],
)
def test_embed_refuses(trained: Path, out: str, message: str, refused: Callable[..., str]) -> None:
    Path("there.npy").write_text("kept")
    Path("folder.npy").mkdir()
    assert message in refused("embed", trained, "--out", out)
    assert "is a folder" in refused("embed", trained, "--out", "folder.npy", "--force")
    assert refused("embed", trained, "--out", "z.npy", "--seed", "7") == "graphssl: seed: the run has seeds 0, 1, got 7"


# ---------------------------------------------------------------------- list, show, help


def test_list(capsys: pytest.CaptureFixture[str]) -> None:
    expected = {
        "methods": set(RECIPES),
        "datasets": set(DATASETS),
        "recipes": {f"{method} {name}" for method, rows in RECIPES.items() for name in rows},
        "encoders": {"gcn", "gat", "gatv2", "sage", "gin"},
        "augmentations": {"drop-edges", "mask-features", "add-edges", "shuffle-features", "drop-nodes", "subgraph", "diffuse", "compose"},
        "losses": {"bce", "bootstrap", "info-nce"},
        "protocols": {protocol.label for protocol in PROTOCOLS.values()},
    }
    for what, names in expected.items():
        assert call("list", what, "--json") == 0
        rows = json.loads(capsys.readouterr().out)
        assert rows
        assert names <= set(rows), what
        assert all(isinstance(text, str) and text for text in rows.values()), what
        assert call("list", what) == 0
        lines = capsys.readouterr().out.splitlines()
        assert len(lines) == len(rows)
        assert all(line.startswith(name) and line.endswith(text) for line, (name, text) in zip(lines, rows.items(), strict=True)), what


def test_show(capsys: pytest.CaptureFixture[str], folder: Path) -> None:
    assert call("show", "BGRL", "photo") == 0
    shown = capsys.readouterr().out
    for text in ("nerdslab/bgrl", "published: 93.17 ± 0.3 (bgrl-20-80; Thakoor et al., 2022", "arXiv:2102.06514"):
        assert text in shown
    assert re.search(r"lr +0\.0001\n", shown)
    assert re.search(r"channels +256 128\n", shown)
    assert call("show", "bgrl", "photo", "--json") == 0
    assert json.loads(capsys.readouterr().out) == RECIPES["bgrl"]["amazon-photo"].model_dump(mode="json")
    graph_file()
    assert call("show", "dgi", "mine.npz") == 0
    assert re.search(r"protocol +fixed\n", capsys.readouterr().out)


def test_help_and_version(capsys: pytest.CaptureFixture[str]) -> None:
    for flag in ("--version", "-V"):
        assert call(flag) == 0
        assert capsys.readouterr().out == f"graphssl {graphssl.__version__}\n"
    for args in (("--help",), ("-h",)):
        assert call(*args) == 0
        assert "graphssl train bgrl digits" in capsys.readouterr().out
    for command in ("evaluate", "embed", "list", "show"):
        assert call(command, "--help") == 0
        assert f"usage: graphssl {command}" in capsys.readouterr().out
    assert call("train", "--help") == 0
    assert "METHOD and DATASET come first" in capsys.readouterr().out
    assert call("train", "bgrl", "cora", "--help") == 0
    shown = capsys.readouterr().out
    for field in type(RECIPES["bgrl"]["cora"]).model_fields:
        assert (f"--{field.replace('_', '-')}" in shown) == (field not in ("source", "reported")), field


@pytest.mark.parametrize(
    "command",
    [
        "--help",
        "list methods",
        "list datasets",
        "list recipes",
        "list encoders",
        "list augmentations",
        "list losses",
        "list protocols",
        "show bgrl cora",
        "train bgrl cora --help",
        "train bgrl cora --lr -1",
        "train bgrl core",
    ],
)
def test_quick_commands_import_no_torch(command: str) -> None:
    heavy = ("torch", "numba", "sklearn", "torch_geometric", "pandas")
    code = f"""
import sys
from graphssl.cli import main
try:
    main()
except SystemExit:
    pass
assert not [name for name in {heavy} if name in sys.modules]
"""
    run = process(*command.split(), code=code)
    _, err = run.communicate(timeout=300)
    assert run.returncode == 0, err


def test_a_closed_pipe_is_no_traceback() -> None:
    run = process("list", "recipes")
    assert run.stdout is not None
    assert run.stderr is not None
    run.stdout.close()
    err = run.stderr.read()
    run.wait(timeout=300)
    run.stderr.close()
    assert "Traceback" not in err
    assert run.returncode == 141


# ---------------------------------------------------------------------- bad input


@pytest.mark.parametrize(
    ("command", "message"),
    [
        (
            "trian bgrl cora",
            "graphssl: unknown command 'trian' (did you mean 'train'?); known: "
            "train, evaluate, embed, finetune, semi, distill, predict, tune, data, neighbors, classify, reproduce, compare, list, show",
        ),
        ("train bgl karate", "graphssl: unknown method 'bgl' (did you mean 'bgrl'?); known: adgcl, attribute-masking, bgrl, "),
        ("train bgrl karat", "graphssl: unknown dataset 'karat': did you mean karate"),
        ("train bgrl zzzzzzzz", "known are: digits, karate, sbm, motifs, cora"),
        ("show grase cora", "did you mean 'grace'?"),
        ("show grace citeser", "did you mean citeseer"),
        ("list dataset", "graphssl: unknown list 'dataset' (did you mean 'datasets'?); known: methods, datasets, "),
        ("list methods --jsn", "graphssl: unknown option of list 'jsn' (did you mean 'json'?)"),
        ("show bgrl cora --jsn", "graphssl: unknown option of show 'jsn' (did you mean 'json'?)"),
        ("embed run --ou z.npy", "graphssl: unknown option of embed 'ou' (did you mean 'out'?)"),
        ("evaluate run --run r", "graphssl: unknown option of evaluate 'run'"),
        ("predict run x.csv --invalid relaxed", "graphssl: unknown invalid 'relaxed' (did you mean 'relax'?); known: skip, refuse, relax"),
        ("finetune run x.csv --invalid drop", "graphssl: unknown invalid 'drop'; known: skip, refuse, relax"),
        ("train grace karate --aggregation men", "graphssl: unknown aggregation 'men' (did you mean 'mean'?)"),
        ("list", "Missing from graphssl list: {methods,datasets,"),
        ("evaluate", "Missing from graphssl evaluate: PATH Run folder."),
        ("train bgrl karate --lrr 0.1", "unknown option of train bgrl 'lrr' (did you mean 'lr'?); known: root, out,"),
        ("train dgi karate --drop-edges 0.1 0.1", "unknown option of train dgi 'drop-edges'"),
        ("train bgrl karate --source me", "unknown option of train bgrl 'source'"),
        ("train bgrl karate --epochs many", "invalid literal for int() with base 10: 'many'"),
        ("train bgrl karate --epochs 0", "graphssl: epochs: Input should be greater than or equal to 1, got 0"),
        ("train bgrl karate --lr 0", "graphssl: lr: Input should be greater than 0, got 0.0"),
        ("train bgrl karate --lr nan", "graphssl: lr: "),
        ("train bgrl karate --lr inf --channels 4 --epochs 1", "graphssl: lr"),
        ("train bgrl karate --weight-decay inf --channels 4 --epochs 2", "weight_decay"),
        ("train bgrl karate --drop-edges 0.2 1.5", "graphssl: drop_edges.1: Input should be less than or equal to 1, got 1.5"),
        ("train bgrl karate --drop-edges 0.2", "--drop-edges"),
        ("train bgrl karate --channels 16 0", "graphssl: channels.1: "),
        ("train grace karate --tau 0", "graphssl: tau: Input should be greater than 0"),
        ("train bgrl karate --encoder gcnn", "unknown encoder 'gcnn' (did you mean 'gcn'?)"),
        ("train bgrl karate --heads 4", "graphssl: heads is for encoder gat or gatv2 and cannot be used by encoder gcn"),
        ("train bgrl karate --aggregation max", "graphssl: aggregation is for encoder sage and cannot be used by encoder gcn"),
        (
            "train bgrl karate --encoder gat --heads 3",
            "graphssl: heads must divide the width of each layer, got heads 3 and channels [512, 256]",
        ),
        ("train bgrl karate --jk max", "graphssl: jk max needs layers of equal width, got channels [512, 256]"),
        ("train bgrl karate --skip dense", "graphssl: skip dense needs layers of equal width, got channels [512, 256]"),
        ("train bgrl karate --protocol wikiks", "graphssl: protocol is 'wikiks' (did you mean 'wikics'?)"),
        (
            "train bgrl karate --seed a",
            "graphssl: seed: a number, a range as 0..4, or a list as 0,1,2 of different numbers from 0, got 'a'",
        ),
        ("train bgrl karate --seed 3..1", "got '3..1'"),
        ("train bgrl karate --seed 1,1", "got '1,1'"),
        ("train bgrl karate --seed=-1", "got '-1'"),
        ("train bgrl karate --seed 99999999999999999999", "got '99999999999999999999'"),
        ("train bgrl nowhere.npz", "/nowhere.npz"),
        ("train bgrl ./nowhere", "graphssl: dataset: there is no file "),
        ("train bgrl graph.pt", "graphssl: graph.pt is not an .npz file: a pickle can run any code"),
    ],
)
def test_bad_input(command: str, message: str, refused: Callable[..., str]) -> None:
    Path("graph.pt").write_bytes(b"not opened")
    assert message in refused(*command.split())


@pytest.mark.parametrize("command", ["train infograph", "finetune run", "show infograph"])
def test_a_folder_here_that_is_taken_for_a_name(command: str, refused: Callable[..., str]) -> None:
    Path("gfold").mkdir()
    Path("plain").write_text("")
    said = "graphssl: unknown dataset 'gfold': there is a folder of that name here: write ./gfold"
    Path("run").mkdir()
    Path("run/run.json").write_text('{"method": "infograph"}')
    assert refused(*command.split(), "gfold") == said
    assert refused(*command.split(), "plain") == said.replace("gfold", "plain").replace("a folder", "a file")


@pytest.mark.parametrize("args", [(), ("train",), ("train", "bgrl"), ("train", "--epochs", "3"), ("train", "bgrl", "--epochs", "3")])
def test_what_is_missing_is_told_by_the_usage(args: tuple[str, ...], capsys: pytest.CaptureFixture[str], folder: Path) -> None:
    assert call(*args) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.startswith("usage: graphssl ")
    assert listing(folder) == {}


@pytest.mark.parametrize("protocol", ["wikics", "planetoid-public"])
def test_a_protocol_without_its_splits_is_refused_before_training(
    protocol: str, refused: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    import graphssl.pipeline

    monkeypatch.setattr(graphssl.pipeline, "train", lambda *_, **__: pytest.fail("it trained"))
    message = refused("train", "bgrl", "karate", "--protocol", protocol)
    assert f"protocol is {protocol!r}" in message
    assert "karate has 0" in message


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"x": np.array([[1.0, np.nan]] * 60)}, "NaN or infinite"),
        ({"x": np.array([[1.0, np.inf]] * 60)}, "NaN or infinite"),
        ({"edge_index": np.array([[0, 1], [1, 60]])}, "60"),
        ({"edge_index": np.array([[0, -1], [1, 0]])}, "-1"),
        ({"edge_index": np.zeros((3, 4), dtype=int)}, "edge_index"),
        ({"edge_index": None}, "'edge_index' is missing"),
        ({"x": None}, "features are 'x'"),
        ({"x": np.zeros((0, 5)), "edge_index": np.zeros((2, 0), dtype=int), "y": np.zeros(0, dtype=int)}, "node"),
        ({"y": np.arange(59) % 3}, "y must have one row for each of the 60 nodes, got shape (59,)"),
        ({"y": np.full(60, -2)}, "-2"),
        ({"edgeindex": np.zeros(2)}, "unknown key 'edgeindex', did you mean 'edge_index'?"),
        ({"x": np.array([[object()]] * 60, dtype=object)}, "cannot be read as an .npz file of plain arrays"),
        ({"x": np.array([["a"]] * 60)}, "'x' must hold numbers"),
        ({"train_mask": np.ones(59, dtype=bool)}, "train_mask"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else value[:20],
)
def test_a_graph_that_is_none(changes: dict[str, Any], message: str, refused: Callable[..., str]) -> None:
    graph_file(**changes)
    assert message in refused("train", "bgrl", "mine.npz", "--channels", "4", "--epochs", "1")


def test_a_graph_without_labels_is_trained_and_not_scored(capsys: pytest.CaptureFixture[str], folder: Path) -> None:
    graph_file(y=None)
    assert call("train", "bgrl", "mine.npz", "--channels", "4", "--epochs", "1", "--out", "r", "--json") == 0
    shown = capsys.readouterr()
    record = json.loads(shown.out)
    assert record["mean"] is record["protocol"] is record["untrained"]["mean"] is record["raw_features"]["mean"] is None
    assert "too few labels" in shown.err
    assert call("embed", "r", "--out", "z.npy") == 0
    assert np.load("z.npy").shape == (60, 4)


@pytest.mark.parametrize("content", [b"", b"no zip", b"PK\x03\x04 cut"])
def test_a_file_that_is_no_npz(content: bytes, refused: Callable[..., str]) -> None:
    Path("mine.npz").write_bytes(content)
    assert "mine.npz cannot be read as an .npz file" in refused("train", "dgi", "mine.npz")


def test_missing_files_are_told(refused: Callable[..., str], folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import graphssl.datasets.files as files

    def offline(*_: Any, **__: Any) -> None:
        raise OSError("no network")

    monkeypatch.setattr(files.urllib.request, "urlopen", offline)
    (folder / "data").mkdir()
    assert f"8 of its 8 raw files are not in {folder}/data/planetoid/Cora/raw" in refused("train", "dgi", "cora", "--root", "data")


# ---------------------------------------------------------------------- bad run folders


def damage(trained: Path, how: Callable[[Path], None]) -> Path:
    """A copy of a run, damaged."""
    import shutil

    copy = Path("copy")
    shutil.copytree(trained, copy)
    how(copy)
    return copy


def edit(**changes: Any) -> Callable[[Path], None]:
    """Change entries of run.json; ``...`` takes one away."""

    def how(run: Path) -> None:
        record = {**json.loads((run / "run.json").read_text()), **changes}
        (run / "run.json").write_text(json.dumps({key: value for key, value in record.items() if value is not ...}))

    return how


def write(text: str) -> Callable[[Path], None]:
    """Another run.json."""
    return lambda run: (run / "run.json").write_text(text) and None


def flip(name: str, at: int = -3, bits: int = 1) -> Callable[[Path], None]:
    """Flip one bit of a file, or several of one byte."""

    def how(run: Path) -> None:
        content = bytearray((run / name).read_bytes())
        content[at] ^= bits
        (run / name).write_bytes(content)

    return how


def cut(name: str) -> Callable[[Path], None]:
    """Cut a file in half."""

    def how(run: Path) -> None:
        content = (run / name).read_bytes()
        (run / name).write_bytes(content[: len(content) // 2])

    return how


WEIGHTS = "seed-0/encoder.safetensors"
DAMAGES: dict[str, tuple[Callable[[Path], None], str]] = {
    "run.json cut": (cut("run.json"), "run.json is damaged"),
    "run.json no JSON": (write("seeds: 0"), "run.json is damaged"),
    "run.json no text": (flip("run.json", 0, 0xFF), "run.json is damaged"),
    "run.json a list": (write("[]"), "holds no record"),
    "run.json of another program": (write('{"seeds": 3}'), "is not a run folder"),
    "run.json gone": (lambda run: (run / "run.json").unlink(), "it has no run.json"),
    "newer": (edit(format=99), "has format 99, newer than this version of graphssl reads (1)"),
    "newer and changed": (edit(format=2, seeds=..., files=...), "has format 2, newer"),
    "format a word": (edit(format="x"), "lacks format"),
    "unknown method": (edit(method="word2vec"), "lacks method"),
    "no files": (edit(files=...), "lacks files"),
    "no encoder": (edit(encoder=...), "lacks encoder"),
    "no dataset": (edit(dataset=...), "lacks dataset"),
    "seeds no numbers": (edit(seeds={"a": {}}), "lacks seeds"),
    "no seed": (edit(seeds={}), "holds no trained seed"),
    "recipe field unknown": (edit(recipe={"lrr": 1}), "the recipe in run.json is not valid: lrr: Extra inputs"),
    "recipe value wrong": (edit(recipe={"lr": -1}), "the recipe in run.json is not valid: lr: Input should be greater than 0"),
    "encoder other": (edit(encoder={"name": "gcn", "in_channels": 3, "channels": [4]}), "does not fit the encoder in run.json"),
    "encoder unknown option": (edit(encoder={"name": "gcn", "in_channels": 3, "channels": [4], "wings": 2}), "does not fit the encoder"),
    "encoder empty": (edit(encoder={}), "does not fit the encoder"),
    "weights cut": (cut(WEIGHTS), "encoder.safetensors is missing or damaged"),
    "weights flipped": (flip(WEIGHTS), "encoder.safetensors is missing or damaged"),
    "weights' header flipped": (flip(WEIGHTS, 4), "encoder.safetensors is missing or damaged"),
    "weights gone": (lambda run: (run / WEIGHTS).unlink(), "encoder.safetensors is missing or damaged"),
    "second seed's weights flipped": (flip("seed-1/encoder.safetensors"), "seed-1/encoder.safetensors is missing or damaged"),
    "score.json cut": (cut("score.json"), "score.json is damaged"),
}


@pytest.mark.parametrize("name", DAMAGES)
def test_a_damaged_run(name: str, trained: Path, refused: Callable[..., str]) -> None:
    how, message = DAMAGES[name]
    run = damage(trained, how)
    assert message in refused("evaluate", run)


def test_no_run_at_all(refused: Callable[..., str]) -> None:
    Path("empty").mkdir()
    Path("file").write_text("")
    assert refused("evaluate", "empty") == "graphssl: run: empty is not a run folder: it has no run.json"
    assert refused("evaluate", "file") == "graphssl: run: file is not a folder"
    assert refused("embed", "none", "--out", "z.npy") == "graphssl: run: none is not a folder"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("--protocol wikics", "protocol is 'wikics', which takes 20 splits named 'wikics' of the dataset; sbm has 0"),
        ("--protocol wiki", "did you mean 'wikics'?"),
        ("--num-splits 0", "num_splits must be at least 1, got 0"),
        ("--num-splits=-2", "num_splits must be at least 1, got -2"),
        ("--probe knn --protocol fixed", "protocol and num_splits are for the linear probe, got them with probe knn"),
        ("--probe svm", "graphssl: unknown probe 'svm'"),
        ("--probe kn", "graphssl: unknown probe 'kn' (did you mean 'knn'?); known: linear, knn, cluster, low-label"),
    ],
)
def test_evaluate_refuses(trained: Path, options: str, message: str, refused: Callable[..., str]) -> None:
    assert message in refused("evaluate", trained, *options.split())


# ---------------------------------------------------------------------- output folders


def quick(*more: object) -> tuple[object, ...]:
    """A run of a moment."""
    return ("train", "dgi", "karate", "--channels", "4", "--epochs", "1", "--quiet", *more)


def test_an_output_folder_that_exists_is_kept(refused: Callable[..., str]) -> None:
    assert call(*quick("--out", "r")) == 0
    assert "exists already; name another folder, or give --force" in refused(*quick("--out", "r"))
    Path("file").write_text("mine")
    assert "exists already" in refused(*quick("--out", "file"))
    assert "cannot make a folder" in refused(*quick("--out", "file/r"))
    Path("link").symlink_to("nowhere")
    assert "exists already" in refused(*quick("--out", "link"))


def test_force_replaces_a_run_when_the_new_one_is_whole(refused: Callable[..., str], folder: Path) -> None:
    assert call(*quick("--out", "r")) == 0
    before = listing(folder)
    graph_file(x=np.full((60, 5), np.nan))
    assert "NaN" in refused("train", "dgi", "mine.npz", "--out", "r", "--force")
    Path("mine.npz").unlink()
    assert listing(folder) == before
    assert call(*quick("--out", "r", "--force", "--seed", "5")) == 0
    assert load_run("r").seeds == [5]
    assert sorted(p.name for p in folder.iterdir()) == ["r"]
    assert sorted(p.name for p in Path("r").iterdir()) == ["run.json", "score.json", "seed-5"]


def test_force_replaces_nothing_but_runs(refused: Callable[..., str], folder: Path) -> None:
    Path("thesis").mkdir()
    Path("thesis/chapter.tex").write_text("years of work")
    Path("file").write_text("mine")
    for out in ("thesis", ".", "file"):
        assert "is not a run folder, and --force replaces nothing else" in refused(*quick("--out", out, "--force"))
    Path("empty").mkdir()
    assert call(*quick("--out", "empty", "--force")) == 0
    assert load_run("empty").seeds == [0]


def test_parents_of_the_output_are_made_and_go_with_a_failure(refused: Callable[..., str]) -> None:
    refused(*quick("--out", "a/b/c", "--protocol", "wikics"))
    assert call(*quick("--out", "a/b/c")) == 0
    assert load_run("a/b/c").dataset == "karate"


@pytest.mark.parametrize("at", ["weights", "array", "json"])
def test_no_space_left(at: str, refused: Callable[..., str], folder: Path) -> None:
    assert call(*quick("--out", "r")) == 0

    def full(*_: Any, **__: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    target = {"weights": (Path, "write_bytes"), "array": (npy, "write_array_header_1_0"), "json": (Path, "write_text")}[at]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(*target, full)
        for more in (("--out", "r", "--force"), ("--out", "new")):
            assert refused(*quick(*more)) == "graphssl: No space left on device; nothing was changed"
        if at != "json":
            suffix = "safetensors" if at == "weights" else "npy"
            assert "No space left" in refused("embed", "r", "--out", f"z.{suffix}")
    assert load_run(folder / "r").dataset == "karate"


@pytest.fixture
def tiny_disk(folder: Path) -> Iterator[Path]:
    """A file system of 48 kB, where this process may mount one."""
    disk = folder / "disk"
    disk.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=48k", "tmpfs", str(disk)]
    try:
        if subprocess.run(command, capture_output=True, check=False).returncode:
            raise PermissionError
    except OSError:
        pytest.skip("needs the right to mount a small file system")
    yield disk
    subprocess.run(["umount", str(disk)], check=True)


def test_no_space_left_on_a_real_disk(tiny_disk: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(*quick("--out", tiny_disk / "r")) == 0
    before = listing(tiny_disk)
    capsys.readouterr()
    for more in (("--out", tiny_disk / "r", "--force"), ("--out", tiny_disk / "new")):
        assert call("train", "dgi", "karate", "--channels", "512", "--epochs", "1", "--quiet", *more) == 2
        assert capsys.readouterr().err == "graphssl: No space left on device; nothing was changed\n"
        assert listing(tiny_disk) == before
    assert call("train", "dgi", "karate", "--channels", "512", "--epochs", "1", "--quiet", "--out", "big") == 0
    capsys.readouterr()
    for suffix in ("npy", "parquet", "safetensors"):
        assert call("embed", "big", "--out", tiny_disk / f"z.{suffix}") == 2
        err = capsys.readouterr().err
        assert "No space left on device" in err
        assert "Traceback" not in err
        assert listing(tiny_disk) == before


# ---------------------------------------------------------------------- Ctrl-C


ENDLESS = ("--channels", "8", "--epochs", "1000000", "--num-splits", "2", "--out", "r")


@pytest.mark.skipif(sys.platform == "win32", reason="needs a pseudo-terminal")
def test_ctrl_c_while_training_leaves_a_run(capsys: pytest.CaptureFixture[str]) -> None:
    import pty

    terminal, end = pty.openpty()
    run = process("train", "bgrl", "sbm", *ENDLESS, stderr=end)
    os.close(end)
    shown = b""
    sent = False
    while True:
        try:
            some = os.read(terminal, 4096)
        except OSError:  # Linux: the other side is closed
            some = b""
        if not some:
            break
        shown += some
        if not sent and re.search(rb"loss \d\.\d+  [\d.]+ (steps/s|s/step)", shown):
            run.send_signal(signal.SIGINT)
            sent = True
    out, _ = run.communicate(timeout=300)
    os.close(terminal)
    assert sent, shown
    assert run.returncode == 130
    assert out == ""
    assert b"Traceback" not in shown
    assert re.search(rb"stopped after \d+ epochs; the encoder as it was is in r \(graphssl evaluate r scores it\)", shown)
    found = load_run("r")
    assert found.record["interrupted"] is True
    assert found.score is None
    assert sorted(p.name for p in Path("r").iterdir()) == ["run.json", "seed-0"]
    rows = Path("r/seed-0/history.csv").read_text().splitlines()
    steps = found.record["seeds"]["0"]["steps"]
    assert len(rows) == steps + 1 > 1
    assert rows[-1].split(",")[0] == str(steps)
    z = embed(found.encoder, load("sbm").preprocess(found.recipe.features))
    assert np.array_equal(z.numpy(), np.load("r/seed-0/embeddings.npy"))
    assert call("evaluate", "r", "--json") == 0
    assert json.loads(capsys.readouterr().out)["rows"]["bgrl on sbm"]["mean"] > 0.25


@pytest.mark.parametrize("moment", ["loading sbm", "scoring raw features", "scoring untrained encoder"])
def test_ctrl_c_before_the_first_step_leaves_nothing(moment: str, folder: Path) -> None:
    code = f"""
import os, signal, sys
import graphssl.progress as progress
from graphssl.cli import main
tell = progress.Progress.stage
def stage(self, text):
    tell(self, text)
    if text == {moment!r}:
        os.kill(os.getpid(), signal.SIGINT)
progress.Progress.stage = stage
sys.exit(main())
"""
    run = process("train", "bgrl", "sbm", *ENDLESS, code=code)
    out, err = run.communicate(timeout=300)
    assert run.returncode == 130, err
    assert out == ""
    assert err.splitlines()[-1] == "interrupted; nothing was saved"
    assert moment in err
    assert "Traceback" not in err
    assert listing(folder) == {}
