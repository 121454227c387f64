"""A whole run on many graphs, from the command: what it scores, what it saves, what pre-training may see, what it refuses."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import graphssl.pipeline as pipeline
from graphssl import Graph, embed, evaluate, load, load_run
from graphssl.building import make_batches
from graphssl.cli import main
from graphssl.datasets import Dataset
from graphssl.evaluation import summed_features, wl_score
from graphssl.pipeline import run
from graphssl.recipes import find_recipe, level_of, levels

SMILES = ["CCO", "c1ccccc1", "CC(=O)O", "CCN", "CCCC", "C1CCCCC1", "c1ccncc1", "CO", "CCCl", "OCCO", "c1ccsc1", "CC=O"]


def table(path: Path, rows: int = 48) -> Path:
    """Molecules with one broken row, two targets of which some are missing, and a column that splits them."""
    with open(path, "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["smiles", "boils", "melts", "part"])
        for i in range(rows):
            chain = "C" * (i % 9)
            smiles = "C1CC(" if i == 5 else chain + SMILES[i % len(SMILES)]
            melts = "" if i % 7 == 0 else 1.5 - i % 9
            writer.writerow([smiles, 10.5 + 3 * (i % 9), melts, ("train", "train", "valid", "test")[i % 4]])
    return path


def small(method: str, dataset: str, **changes: Any) -> Any:
    recipe = find_recipe(method, dataset)
    return recipe.model_copy(update={"epochs": 2, "channels": (4, 4), "batch_size": 100, **changes})


def test_the_command_scores_graphs_beside_three_baselines(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "run"
    options = ["--epochs", "2", "--channels", "4", "4", "--seed", "0,3", "--out", str(out), "--json"]
    assert main(["train", "infograph", "motifs", *options]) == 0
    score = json.loads(capsys.readouterr().out)
    data = load("motifs")
    assert score["protocol"] == "tu-svm"
    assert score["n_splits"] == 10
    assert list(score["baselines"]) == ["WL kernel"]
    assert score["baselines"]["WL kernel"]["mean"] == wl_score(data).mean
    raw = evaluate(summed_features(data.graph), data, "tu-svm", setting="transductive")
    assert score["raw_features"] == {"mean": raw.mean, "std_splits": raw.std_splits}
    found = load_run(out, seed=3)
    z = embed(found.encoder, data)
    assert z.shape == (data.num_graphs, 8)
    assert np.array_equal(np.load(out / "seed-3" / "embeddings.npy"), z.numpy())
    assert score["per_seed"][1] == evaluate(z, data, "tu-svm", setting="transductive").mean
    assert main(["embed", str(out), "--out", str(tmp_path / "z.npy")]) == 0
    assert np.load(tmp_path / "z.npy").shape == (data.num_graphs, 8)
    assert main(["evaluate", str(out), "--protocol", "tu-logistic", "--json"]) == 0


def test_a_table_of_molecules_goes_all_the_way(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("rdkit")
    path, out = table(tmp_path / "mine.csv"), tmp_path / "run"
    options = ["--epochs", "2", "--channels", "8", "8", "--input", "8", "--targets", "boils", "melts", "--split", "part", "--out", str(out)]
    assert main(["train", "graphcl", str(path), *options]) == 0
    printed = capsys.readouterr()
    assert "rmse in the target's units" in printed.out
    assert "Morgan fingerprints" in printed.out
    found = load_run(out)
    assert found.record["encoder"]["edge_channels"] == 13
    assert found.record["options"] == {"targets": ["boils", "melts"], "split": "part"}
    assert found.score is not None
    assert found.score["metric"] == "rmse"
    assert np.load(out / "seed-0" / "embeddings.npy").shape[0] == 47
    assert main(["evaluate", str(out)]) == 0, "the same columns and split are found again"
    assert "differs" not in capsys.readouterr().err


def poisoned(data: Dataset) -> Dataset:
    """The same with other features in every graph of the test part, and other labels."""
    g, test = data.graph, data.split.test
    changed = torch.isin(g.graph_ids, test)[:, None]
    y = data.y.clone()
    y[test] = y[test].flip(0)
    return replace(data, graphs=(g.with_x(torch.where(changed, 7 - g.dense_x(), g.dense_x())),), y=y)


@pytest.mark.parametrize("inductive", [True, False])
def test_inductive_training_never_sees_the_test_graphs(inductive: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = load("motifs")
    data = data.with_splits(data.splits[0])
    recipe = small("infograph", "motifs", inductive=inductive, protocol="molecules")
    weights = []
    for name, given in (("clean", data), ("poisoned", poisoned(data))):
        monkeypatch.setattr(pipeline, "load", lambda *_, given=given, **__: given)
        score = run("infograph", "motifs", recipe, out=tmp_path / name)
        assert score["setting"] == ("inductive" if inductive else "transductive")
        weights.append(load_run(tmp_path / name).encoder.state_dict())
    same = all(torch.equal(value, weights[1][name]) for name, value in weights[0].items())
    assert same == inductive


def test_a_last_batch_of_one_graph_is_left_out() -> None:
    data = load("motifs")
    some: Graph = data.graph.keep_graphs(torch.arange(11))
    recipe = small("infograph", "motifs", batch_size=5)
    assert [g.num_graphs for g in make_batches(recipe, replace(data, graphs=(some,), y=data.y[:11], splits=()))] == [5, 5]


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["infograph", "cora"], "infograph is for graph-level data, and cora is node-level"),
        (["grace", "mutag"], "grace is for node-level data, and mutag is graph-level"),
        (["infograph", "motifs", "--inductive"], "single split; motifs has 10"),
        (["dgi", "karate", "--inductive"], "karate is labelled by node"),
        (["infograph", "motifs", "--batch-size", "1"], "batch_size must be at least 2"),
        (["infograph", "motifs", "--encoder", "gine"], "these graphs have none; gin does without"),
        (["infograph", "motifs", "--readout", "set2set"], "readout must keep the width"),
        (["infograph", "motifs", "--virtual-node"], "virtual_node needs input"),
        (["infograph", "motifs", "--smiles", "s"], "only a table of molecules"),
        (["bgrl", "karate", "--node-features", "degree"], "node_features"),
    ],
)
def test_what_does_not_fit_is_refused(args: list[str], words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", *args, "--out", str(tmp_path / "run")] if len(args) > 2 else ["train", *args]) == 2
    told = capsys.readouterr().err
    assert words in told
    assert "Traceback" not in told
    assert not (tmp_path / "run").exists()


def test_levels() -> None:
    assert levels("infograph") == ("graph",)
    assert levels("bgrl") == ("node", "graph")
    assert levels("grace") == ("node",)
    expected = {"mutag": "graph", "cora": "node", "a.npz": "node", "a.csv": "graph", "a.parquet": "graph", "dir/": "graph"}
    for dataset, level in expected.items():
        assert level_of(dataset) == level
    assert find_recipe("graphcl", "some.csv").encoder == "gine"
    assert find_recipe("graphcl", "folder/").encoder == "gin"


# ---------------------------------------------------------------------- with labels


def test_three_commands_from_a_table_to_predictions(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("rdkit")
    path, run_folder, tuned, out = table(tmp_path / "mine.csv"), tmp_path / "run", tmp_path / "tuned", tmp_path / "predictions.csv"
    columns = ["--targets", "boils", "melts", "--split", "part"]
    assert (
        main(["train", "graphcl", str(path), "--epochs", "1", "--channels", "8", "8", "--input", "8", *columns, "--out", str(run_folder)])
        == 0
    )
    assert main(["finetune", str(run_folder), str(path), "--epochs", "2", "--seed", "0..1", "--out", str(tuned), "--json"]) == 0
    told = capsys.readouterr().out
    score = json.loads(told[told.index("{\n") :])
    assert list(score["arms"]) and score["n_splits"] == 1, "the columns and the split of the run hold for its own table"  # noqa: PT018
    assert score["setting"] == "transductive"
    assert main(["predict", str(tuned), str(path), "--out", str(out)]) == 0
    with open(out, newline="") as file:
        rows = list(csv.DictReader(file))
    assert [int(row["row"]) for row in rows] == list(range(48))
    assert [row["row"] for row in rows if row["reason"]] == ["5"]
    assert rows[5]["boils"] == ""
    assert all(np.isfinite([float(row["boils"]), float(row["melts"])]).all() for row in rows if not row["reason"])


def test_few_labels_from_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("rdkit")
    path, out = table(tmp_path / "mine.csv"), tmp_path / "run"
    small = ["--channels", "8", "8", "--input", "8", "--epochs", "2", "--labels", "0.5", "--targets", "boils", "--split", "part"]
    assert main(["semi", "infograph-star", str(path), *small, "--seed", "0,1", "--out", str(out)]) == 0
    assert "95 % interval over 2 seeds" in capsys.readouterr().out
    score = json.loads((out / "score.json").read_text())
    assert score["labelled_rows"] == [12]
    assert main(["semi", "--labels", "0.5", "infograph-star", str(path)]) == 2
    assert main(["semi", "infograph-star", "karate"]) == 2
    assert "karate is node-level" in capsys.readouterr().err


def test_inductive_is_said_only_of_the_same_split(tmp_path: Path) -> None:
    pytest.importorskip("rdkit")
    path, run_folder = table(tmp_path / "mine.csv"), tmp_path / "run"
    own = ["--targets", "boils", "--split", "part"]
    train = [
        "train",
        "graphcl",
        str(path),
        "--epochs",
        "1",
        "--channels",
        "8",
        "--input",
        "8",
        "--inductive",
        *own,
        "--out",
        str(run_folder),
    ]
    assert main([*train, "--features", "standardize"]) == 0
    settings = {}
    for split in ("part", "random"):
        out = tmp_path / split
        assert (
            main(["finetune", str(run_folder), str(path), "--epochs", "1", "--targets", "boils", "--split", split, "--out", str(out)]) == 0
        )
        settings[split] = json.loads((out / "score.json").read_text())["setting"]
    assert settings == {"part": "inductive", "random": "transductive"}


@pytest.mark.parametrize("how", ["standardize", "row-normalize"])
def test_inductive_scaling_never_sees_the_test_graphs(how: str, monkeypatch: pytest.MonkeyPatch) -> None:
    data = load("motifs")
    data = data.with_splits(data.splits[0])
    scaled = []
    for given in (data, poisoned(data)):
        monkeypatch.setattr(pipeline, "load", lambda *_, given=given, **__: given)
        recipe = small("infograph", "motifs", inductive=True, features=how)
        scaled.append(pipeline.load_for(recipe, "motifs", None).graph.keep_graphs(data.split.train).dense_x())
    assert torch.equal(*scaled)


def test_exported_embeddings_name_their_rows(tmp_path: Path) -> None:
    pytest.importorskip("rdkit")
    import pyarrow.parquet as pq

    path, out = table(tmp_path / "mine.csv"), tmp_path / "run"
    assert main(["train", "graphcl", str(path), "--epochs", "1", "--channels", "8", "--input", "8", "--out", str(out), "--quiet"]) == 0
    assert main(["embed", str(out), "--out", str(tmp_path / "z.parquet")]) == 0
    written = pq.read_table(tmp_path / "z.parquet")
    assert written.column_names == ["graph", "id", "embedding"]
    assert written["graph"].to_pylist() == [row for row in range(48) if row != 5]
    assert written["id"].to_pylist()[0] == "CCO"


def test_ones_own_graphs_are_scored_by_what_they_are_labelled_with(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import networkx as nx

    for name, labels in (("targets", [0.37 * i for i in range(24)]), ("unlabelled", None)):
        folder = tmp_path / name
        folder.mkdir()
        for i in range(24):
            nx.write_graphml(nx.cycle_graph(3 + i % 5), folder / f"{i:02}.graphml")
        if labels:
            (folder / "labels.csv").write_text("file,value\n" + "".join(f"{i:02}.graphml,{y}\n" for i, y in enumerate(labels)))
        options = ["--epochs", "1", "--channels", "4", "--out", str(tmp_path / f"run-{name}")]
        assert main(["train", "infograph", str(folder), *options]) == 0
    told = capsys.readouterr().out
    assert "molecules-folds" in told
    assert "Not scored" in told


def test_another_encoder_is_not_told_of_what_it_was_not_given() -> None:
    from graphssl.cli import _recipe_from
    from graphssl.flags import TableOptions, flag_class

    recipe = find_recipe("graphcl", "some.csv")
    assert recipe.expansion == 2
    assert "for molecules" in recipe.source
    options = flag_class(object, recipe, TableOptions(), doc="", hidden=("source", "reported"))
    assert _recipe_from(options(encoder="gcn"), recipe).expansion is None
    with pytest.raises(ValueError, match="expansion is for encoder gin"):
        _recipe_from(options(encoder="gcn", expansion=3), recipe)


@pytest.mark.parametrize("command", ["train graphcl", "finetune run", "semi infograph-star", "predict run"])
def test_a_file_that_is_not_there_is_missed_at_once(command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*command.split(), str(tmp_path / "nothing.csv")]) == 2
    assert "Traceback" not in capsys.readouterr().err
