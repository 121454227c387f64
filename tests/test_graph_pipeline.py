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
            writer.writerow([smiles, 10 + 3 * (i % 9), melts, ("train", "train", "valid", "test")[i % 4]])
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
    assert [g.num_graphs for g in pipeline._batches(replace(data, graphs=(some,), y=data.y[:11], splits=()), recipe)] == [5, 5]


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
