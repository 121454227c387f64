"""The door for OGB's sets of one large graph: equal to ogb's own reading, in pieces, no question, no pickle; downloads that go on."""

from __future__ import annotations

import builtins
import gzip
import io
import logging
import pickle
import shutil
import sys
import threading
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from torch_geometric.data import Data

from benchmarks.generate import generate
from graphssl import recipes
from graphssl.cli import main
from graphssl.datasets import DATASETS, Dataset, DatasetNotFound, load
from graphssl.datasets import download as downloads
from graphssl.datasets import ogb_raw as raw
from graphssl.datasets.download import download, master
from graphssl.datasets.ogb_nodes import LICENCES, NodeSet, open_source
from graphssl.datasets.table import canonical
from graphssl.evaluation.metrics import measure
from graphssl.recipes import find_recipe, level_of

N, E = 30, 80


@pytest.fixture(autouse=True)
def no_questions(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A question on standard input fails the test, and so does a cache or an answer from outside."""

    def refuse(*args: Any, **options: Any) -> None:
        raise AssertionError("asked")

    monkeypatch.setattr(builtins, "input", refuse)
    monkeypatch.setattr(sys, "stdin", None)
    monkeypatch.setitem(sys.modules, "outdated", None)  # the package ogb would ask the network for a newer version
    monkeypatch.setenv("GRAPHSSL_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("GRAPHSSL_DATA", raising=False)


def unpickled() -> None:
    raise AssertionError("unpickled")


class Trap:
    """What fails the test where it is unpickled."""

    def __reduce__(self) -> Any:
        return unpickled, ()


def save(path: Path, table: Any, **options: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pd.DataFrame(table).to_csv(path, header=options.pop("header", False), index=False, compression="gzip")


def numbers(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def links(rows: int = E, nodes: int = N, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, nodes, (rows, 2))


def split(folder: Path, nodes: np.ndarray | None = None) -> None:
    order = np.random.default_rng(1).permutation(np.arange(N) if nodes is None else nodes)
    for part, rows in zip(("train", "valid", "test"), np.split(order, [10, 15]), strict=True):
        save(folder / f"{part}.csv.gz", rows)


def made(name: str, place: Path, folder: str = "") -> Path:
    """A set with the files of that name, below ``place``."""
    folder_ = place / (folder or name.replace("-", "_"))
    {
        "ogbn-arxiv": arxiv,
        "ogbn-products": products,
        "ogbn-proteins": proteins,
        "ogbn-mag": mag,
        "ogbn-papers100M": papers,
    }[name](folder_)
    (folder_ / f"RELEASE_v{master('nodeproppred')[name]['version']}.txt").write_text("")
    (folder_ / "processed").mkdir()
    return folder_


def arxiv(folder: Path, split_name: str = "time", *, year: bool = True) -> None:
    save(folder / "raw/num-node-list.csv.gz", [N])
    save(folder / "raw/num-edge-list.csv.gz", [E])
    save(folder / "raw/edge.csv.gz", links())
    save(folder / "raw/node-feat.csv.gz", numbers(N, 6))
    save(folder / "raw/node-label.csv.gz", np.arange(N) % 5)
    if year:
        save(folder / "raw/node_year.csv.gz", 2000 + np.arange(N) % 20)
    split(folder / "split" / split_name)


def products(folder: Path) -> None:
    arxiv(folder, "sales_ranking", year=False)


def proteins(folder: Path) -> None:
    arxiv(folder, "species", year=False)
    (folder / "raw/node-feat.csv.gz").unlink()
    save(folder / "raw/edge-feat.csv.gz", np.abs(numbers(E, 8, seed=4)))
    save(folder / "raw/node_species.csv.gz", np.arange(N) % 3)
    save(folder / "raw/node-label.csv.gz", np.random.default_rng(3).integers(0, 2, (N, 112)))


def mag(folder: Path) -> None:
    sizes = {"author": 12, "field_of_study": 7, "institution": 4, "paper": N}
    save(folder / "raw/num-node-dict.csv.gz", {kind: [n] for kind, n in sizes.items()}, header=True)
    triplets = [
        ("author", "affiliated_with", "institution"),
        ("author", "writes", "paper"),
        ("paper", "cites", "paper"),
        ("paper", "has_topic", "field_of_study"),
    ]
    save(folder / "raw/triplet-type-list.csv.gz", triplets)
    for i, (head, relation, tail) in enumerate(triplets):
        below = folder / "raw/relations" / f"{head}___{relation}___{tail}"
        rng = np.random.default_rng(i)
        save(below / "edge.csv.gz", np.stack([rng.integers(0, sizes[head], E), rng.integers(0, sizes[tail], E)], axis=1))
        save(below / "num-edge-list.csv.gz", [E])
        save(below / "edge_reltype.csv.gz", np.full(E, i))
    save(folder / "raw/node-feat/paper/node-feat.csv.gz", numbers(N, 6))
    save(folder / "raw/node-feat/paper/node_year.csv.gz", 2010 + np.arange(N) % 9)
    has = {kind: [kind == "paper"] for kind in sizes}
    save(folder / "raw/nodetype-has-label.csv.gz", has, header=True)
    save(folder / "raw/node-label/paper/node-label.csv.gz", np.arange(N) % 5)
    save(folder / "split/time/nodetype-has-split.csv.gz", has, header=True)
    split(folder / "split/time/paper")


def papers(folder: Path, *, compressed: bool = False) -> None:
    (folder / "raw").mkdir(parents=True)
    write = np.savez_compressed if compressed else np.savez
    arrays = {"edge_index": np.ascontiguousarray(links().T), "node_feat": numbers(N, 6), "node_year": np.full((N, 1), 2015)}
    write(folder / "raw/data.npz", **arrays, num_nodes_list=np.array([N]), num_edges_list=np.array([E]))
    labels = np.where(np.arange(N) % 4 == 0, np.nan, np.arange(N) % 5).astype(np.float32)
    write(folder / "raw/node-label.npz", node_label=labels[:, None])
    split(folder / "split/time", np.flatnonzero(~np.isnan(labels)))  # the others are not in arXiv


def theirs(name: str, root: Path) -> tuple[Any, Any, Any]:
    """Graph, labels and split as ogb's own class reads them."""
    from ogb.nodeproppred import NodePropPredDataset

    data = NodePropPredDataset(name, root=str(root))
    graph, labels = data[0]
    return graph, labels, data.get_idx_split()


def edges_of(source: NodeSet) -> np.ndarray:
    return np.concatenate([edges for edges, _ in source.edges()], axis=1)


def features_of(source: NodeSet) -> np.ndarray:
    return np.concatenate(list(source.features()))


# ---------------------------------------------------------------------- equal to ogb's own reading


@pytest.mark.parametrize("name", list(LICENCES))
def test_arrays_are_those_that_ogb_reads(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made(name, tmp_path / "ogb")
    with monkeypatch.context() as context:
        context.setattr(raw, "BLOCK", 256)  # many pieces
        context.setattr(raw, "NUMBERS", 7)
        source = open_source(name, tmp_path)
        edges, x = edges_of(source), features_of(source)
        assert sum(1 for _ in source.edges()) > 1
    graph, labels, parts = theirs(name, tmp_path / "ogb")
    if name == "ogbn-mag":
        triplet = ("paper", "cites", "paper")
        graph = {
            "edge_index": graph["edge_index_dict"][triplet],
            "node_feat": graph["node_feat_dict"]["paper"],
            "num_nodes": graph["num_nodes_dict"]["paper"],
        }
        labels, parts = labels["paper"], {part: rows["paper"] for part, rows in parts.items()}
    listed = graph["edge_index"][:, ::2] if master("nodeproppred")[name]["add_inverse_edge"] == "True" else graph["edge_index"]
    assert np.array_equal(edges, listed)
    assert (source.num_nodes, source.num_edges, source.num_features) == (graph["num_nodes"], E, x.shape[1])
    if name == "ogbn-proteins":
        ends, values = graph["edge_index"][1], graph["edge_feat"]
        mean = [values[ends == node].mean(0) if (ends == node).any() else np.zeros(8) for node in range(N)]
        np.testing.assert_allclose(x, mean, rtol=1e-5)
        assert np.array_equal(source.y, labels)
    else:
        assert x.dtype == np.float32
        assert np.array_equal(x, graph["node_feat"])
        assert np.array_equal(source.y, np.nan_to_num(labels[:, 0], nan=-1))
    (held,) = source.splits.values()
    for own, part in zip(held, ("train", "valid", "test"), strict=True):
        assert np.array_equal(own, parts[part])
    row = master("nodeproppred")[name]
    assert list(source.splits) == [row["split"]]
    assert (source.name, source.metric) == (name, {"acc": "accuracy", "rocauc": "roc_auc"}[row["eval metric"]])
    assert source.licence in source.source
    assert DATASETS[name].splits == f"the {row['split']} split of OGB"


def test_a_generated_set_is_read_by_ogbs_class(tmp_path: Path) -> None:
    folder = generate(tmp_path, scale=0.001)
    (tmp_path / "ogbn_products").symlink_to(folder)
    source = open_source(folder)
    graph, labels, parts = theirs("ogbn-products", tmp_path)
    assert np.array_equal(edges_of(source), graph["edge_index"][:, ::2])
    assert np.array_equal(features_of(source), graph["node_feat"])
    assert np.array_equal(source.y, labels[:, 0])
    assert np.array_equal(source.splits["sales_ranking"][2], parts["test"])
    assert (source.name, source.metric, source.undirected) == ("products-like", "accuracy", True)
    data = load(str(folder))
    assert (data.num_nodes, data.graph.num_edges, len(data.classes or range(47))) == (2449, 2 * 61_859, 47)


def test_the_score_is_that_of_ogbs_evaluator() -> None:
    from ogb.nodeproppred import Evaluator

    random = torch.Generator().manual_seed(0)
    y, scores = torch.randint(0, 40, (500,), generator=random), torch.randn(500, 40, generator=random)
    told = Evaluator("ogbn-arxiv").eval({"y_true": y[:, None], "y_pred": scores.argmax(1, keepdim=True)})["acc"]
    assert measure("accuracy", y, scores) == pytest.approx(told, abs=1e-12)
    y, scores = torch.randint(0, 2, (300, 112), generator=random).float(), torch.randn(300, 112, generator=random)
    scores[:, :20] = scores[:, :20].round()  # ties
    told = Evaluator("ogbn-proteins").eval({"y_true": y, "y_pred": scores})["rocauc"]
    assert measure("roc_auc", y, scores) == pytest.approx(told, abs=1e-12)


# ---------------------------------------------------------------------- load


def undirected(edges: np.ndarray) -> set[tuple[int, int]]:
    return {(int(a), int(b)) for a, b in edges.T} | {(int(b), int(a)) for a, b in edges.T}


@pytest.mark.parametrize("name", list(LICENCES))
def test_load_writes_a_store_once(name: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder = made(name, tmp_path, name.replace("-", "_") + "_pyg")
    for file in ("data_processed", "geometric_data_processed.pt"):
        (folder / "processed" / file).write_bytes(pickle.dumps(Trap()))
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    with caplog.at_level(logging.INFO, "graphssl"):
        data = load(name.lower().replace("-", "_"), tmp_path)
    assert "as a store, once" in caplog.text
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == before
    source = open_source(folder)
    graph = data.graph
    assert (data.name, data.metric, data.level) == (name, source.metric, "node")
    assert {(int(a), int(b)) for a, b in graph.edge_index.T} == undirected(edges_of(source))
    assert graph.num_edges == len(undirected(edges_of(source)))
    assert np.array_equal(graph.dense_x().numpy(), features_of(source))
    assert np.array_equal(data.y.numpy(), source.y)
    assert data.task == ("multilabel" if name == "ogbn-proteins" else "classification")
    caplog.clear()
    with caplog.at_level(logging.INFO, "graphssl"):
        assert load(folder).fingerprint == data.fingerprint
    assert "as a store" not in caplog.text
    save(next(folder.rglob("train.csv.gz")), [1, 2])
    for part in ("valid", "test"):
        save(next(folder.rglob(f"{part}.csv.gz")), [3 if part == "valid" else 5])
    assert load(name, tmp_path).split.train.tolist() == [1, 2]  # a changed file is seen


def test_directed_and_relations(tmp_path: Path) -> None:
    folder = made("ogbn-mag", tmp_path)
    assert open_source("ogbn-mag", tmp_path).undirected
    assert not open_source("ogbn-mag", tmp_path, symmetric=False).undirected
    for name in ("paper__cites__paper", "paper___cites___paper"):
        assert np.array_equal(edges_of(open_source(folder, relation=name)), edges_of(open_source(folder)))
    with pytest.raises(ValueError, match=r"relation must join nodes of one kind with features: paper__cites__paper; got 'author__writes__"):
        open_source(folder, relation="author__writes__paper")
    with pytest.raises(ValueError, match="holds one kind of nodes and edges only"):
        open_source(made("ogbn-arxiv", tmp_path), relation="paper__cites__paper")


def test_a_compressed_npz_is_read_too(tmp_path: Path) -> None:
    made("ogbn-papers100M", tmp_path, "plain")
    papers(tmp_path / "small", compressed=True)
    a, b = open_source(tmp_path / "plain"), open_source(tmp_path / "small")
    assert np.array_equal(edges_of(a), edges_of(b))
    assert np.array_equal(features_of(a), features_of(b))
    np.savez(tmp_path / "f.npz", edge_index=np.asfortranarray(links().T))
    assert np.array_equal(np.concatenate(list(raw.Npz(tmp_path / "f.npz").edges()), axis=1), links().T)


def test_names(tmp_path: Path) -> None:
    assert canonical("ogbn_papers100M") == "ogbn-papers100M"
    with pytest.raises(ValueError, match="OGB sets for links are not part of load"):
        load("ogbl-collab")
    with pytest.raises(ValueError, match=r"data must be one of ogbn-arxiv, .* got 'cora'"):
        open_source("cora")
    with pytest.raises(ValueError, match="there is no folder"):
        open_source(tmp_path / "nowhere")
    save(tmp_path / "mol/raw/graph-label.csv.gz", [0])
    save(tmp_path / "mol/raw/edge.csv.gz", [[0, 1]])
    with pytest.raises(ValueError, match="is a set of many graphs, which load takes by its name"):
        open_source(tmp_path / "mol")


# ---------------------------------------------------------------------- damaged


def emptied(path: Path) -> None:
    path.write_bytes(gzip.compress(b""))


def halved(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])


DAMAGES: list[tuple[str, str, Callable[[Path], object], str]] = [
    ("ogbn-arxiv", "raw/edge.csv.gz", halved, r"\.csv\.gz|data\.npz"),
    ("ogbn-arxiv", "raw/node-feat.csv.gz", halved, r"\.csv\.gz|data\.npz"),
    ("ogbn-arxiv", "raw/node-label.csv.gz", halved, r"\.csv\.gz|data\.npz"),
    ("ogbn-arxiv", "raw/edge.csv.gz", emptied, "the file is empty"),
    ("ogbn-arxiv", "raw/node-feat.csv.gz", Path.unlink, "is missing"),
    ("ogbn-arxiv", "raw/node-label.csv.gz", Path.unlink, "is missing"),
    ("ogbn-arxiv", "raw/num-node-list.csv.gz", Path.unlink, "is missing"),
    ("ogbn-arxiv", "split/time/valid.csv.gz", Path.unlink, "is missing"),
    ("ogbn-arxiv", "raw/edge.csv.gz", lambda p: save(p, links(E - 1)), "80 rows are needed, got 79"),
    ("ogbn-arxiv", "raw/edge.csv.gz", lambda p: save(p, links(E + 1)), "80 rows are needed, got more"),
    ("ogbn-arxiv", "raw/edge.csv.gz", lambda p: save(p, links(nodes=N + 9)), "nodes 0 to 38 are joined, but there are 0 to 29"),
    ("ogbn-arxiv", "raw/edge.csv.gz", lambda p: save(p, links() - 1), "nodes -1 to"),
    ("ogbn-arxiv", "raw/edge.csv.gz", lambda p: save(p, numbers(E, 2)), "conversion error"),
    ("ogbn-arxiv", "raw/edge.csv.gz", lambda p: save(p, numbers(E, 3)), "2 columns are needed, got 3"),
    ("ogbn-arxiv", "raw/node-feat.csv.gz", lambda p: save(p, numbers(N - 1, 6)), "30 rows are needed, got 29"),
    ("ogbn-arxiv", "raw/node-feat.csv.gz", lambda p: save(p, np.where(numbers(N, 6) > 2, np.nan, 1)), "a number is missing in rows"),
    ("ogbn-arxiv", "raw/node-feat.csv.gz", lambda p: save(p, [[1, 2]] * 7 + [[1, np.inf]] * 23), "a number in row 7 is not finite"),
    ("ogbn-arxiv", "raw/node-label.csv.gz", lambda p: save(p, np.arange(N - 2)), "30 rows are needed, got 28"),
    ("ogbn-arxiv", "raw/node-label.csv.gz", lambda p: save(p, np.arange(N) + 0.5), "classes must be integers from 0"),
    ("ogbn-arxiv", "raw/node-label.csv.gz", lambda p: save(p, np.arange(N) - 3), "classes must be integers from 0"),
    ("ogbn-arxiv", "raw/num-node-list.csv.gz", lambda p: save(p, [N, N]), "1 rows are needed, got more"),
    ("ogbn-arxiv", "split/time/test.csv.gz", lambda p: save(p, [0, N]), "rows 0 to 30 are listed, but there are 0 to 29"),
    ("ogbn-arxiv", "split/time/test.csv.gz", lambda p: save(p, np.arange(N)), "stands in more than one of"),
    ("ogbn-proteins", "raw/node-label.csv.gz", lambda p: save(p, np.full((N, 112), 2)), "must be 0 or 1"),
    ("ogbn-proteins", "raw/edge-feat.csv.gz", lambda p: save(p, numbers(E - 1, 8)), "80 rows are needed, got 79"),
    ("ogbn-mag", "raw/triplet-type-list.csv.gz", Path.unlink, "is missing"),
    ("ogbn-mag", "raw/relations/paper___cites___paper/edge.csv.gz", halved, r"\.csv\.gz|data\.npz"),
    ("ogbn-mag", "raw/node-label/paper/node-label.csv.gz", Path.unlink, "is missing"),
    ("ogbn-mag", "split/time/paper/train.csv.gz", Path.unlink, "is missing"),
    ("ogbn-papers100M", "raw/data.npz", halved, r"\.csv\.gz|data\.npz"),
    ("ogbn-papers100M", "raw/node-label.npz", Path.unlink, "is missing"),
    ("ogbn-papers100M", "raw/node-label.npz", lambda p: np.savez(p, node_label=np.zeros((N - 1, 1))), "30 rows are needed, got 29"),
    ("ogbn-papers100M", "raw/node-label.npz", lambda p: np.savez(p, other=np.zeros((N, 1))), "holds no node_label, only other"),
    ("ogbn-papers100M", "raw/node-label.npz", lambda p: np.savez(p, node_label=np.full(N, None)), "is pickled"),
    ("ogbn-papers100M", "raw/data.npz", lambda p: np.savez(p, **binary(num_edges_list=[E + 1])), "edge_index must have 81 columns, got"),
    ("ogbn-papers100M", "raw/data.npz", lambda p: np.savez(p, **binary(num_nodes_list=[N - 1])), "node_feat must have 29 rows, got"),
    ("ogbn-papers100M", "raw/data.npz", lambda p: np.savez(p, **binary(num_nodes_list=[9, 9])), "holds several graphs"),
    ("ogbn-papers100M", "raw/data.npz", lambda p: np.savez(p, **binary(edge_index=links().T + 5)), "are joined, but there are 0 to 29"),
    ("ogbn-papers100M", "raw/data.npz", lambda p: np.savez(p, **binary(node_feat=numbers(N, 6) / 0)), "a number in row 0 is not finite"),
]


def binary(**changes: Any) -> dict[str, Any]:
    arrays = {"edge_index": links().T, "node_feat": numbers(N, 6), "num_nodes_list": [N], "num_edges_list": [E]}
    return {name: np.asarray(array) for name, array in {**arrays, **changes}.items()}


@pytest.mark.parametrize(("name", "file", "damage", "message"), DAMAGES)
@pytest.mark.filterwarnings("ignore:divide by zero")
def test_damaged_files_are_named(name: str, file: str, damage: Callable[[Path], object], message: str, tmp_path: Path) -> None:
    folder = made(name, tmp_path / "ogb")
    damage(folder / file)
    where = folder / file if "stands in more" not in message else (folder / file).parent
    with pytest.raises(ValueError, match=message) as caught:
        load(name, tmp_path)
    if "edge.csv" not in file or "empty" not in message:
        assert str(where) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not list((tmp_path / "cache/stores").glob("*.store"))


def processed(name: str, place: Path) -> Path:
    """What ogb's own class makes of the set, and nothing it was made of."""
    from ogb.nodeproppred import PygNodePropPredDataset

    folder = made(name, place)
    with suppress(pickle.UnpicklingError):  # it saves the file, and cannot open it again
        PygNodePropPredDataset(name, str(place))
    shutil.rmtree(folder / "raw")
    return folder


@pytest.mark.parametrize("name", list(LICENCES))
def test_what_ogb_processed_is_used_as_it_is(name: str, tmp_path: Path) -> None:
    folder = processed(name, tmp_path / "ogb")
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    source, other = open_source(folder), open_source(made(name, tmp_path / "raw"))
    assert undirected(edges_of(source)) == undirected(edges_of(other))
    assert np.allclose(features_of(source), features_of(other), atol=1e-6)
    assert np.array_equal(source.y, other.y)
    assert source.splits.keys() == other.splits.keys()
    for mine, its in zip(source.splits[next(iter(source.splits))], other.splits[next(iter(other.splits))], strict=True):
        assert np.array_equal(mine, its)
    data, whole = load(name, tmp_path), load(tmp_path / "raw" / folder.name)
    assert torch.equal(data.graph.edge_index, whole.graph.edge_index)
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == before
    assert load(folder / "processed").fingerprint == data.fingerprint


def test_classes_that_others_allow_are_not_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, real, seen = processed("ogbn-arxiv", tmp_path / "ogb"), torch.load, []
    monkeypatch.setattr(torch, "load", lambda *a, **k: seen.extend(torch.serialization.get_safe_globals()) or real(*a, **k))
    before = torch.serialization.get_safe_globals()
    assert Data in before  # PyG allows it, under the name that stands in the file: one of two of a name would be taken, by its hash
    load(folder)
    assert seen
    assert Data not in seen
    assert set(torch.serialization.get_safe_globals()) == set(before)


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"edge_index": torch.tensor([[0.5], [1.0]])}, "edge_index must hold whole numbers, got float32"),
        ({"x": torch.ones(N, 2, dtype=torch.complex64)}, "x must hold real numbers, got complex64"),
        ({"x": torch.ones(N, 2).to_sparse()}, "x must be a tensor, got torch.sparse_coo"),
    ],
)
def test_numbers_of_another_kind_are_refused(changed: dict[str, torch.Tensor], told: str, tmp_path: Path) -> None:
    folder = processed("ogbn-arxiv", tmp_path / "ogb")
    given = {"edge_index": torch.tensor([[0], [1]]), "x": torch.ones(N, 2), "y": torch.zeros(N, 1), **changed}
    torch.save((Data(**given), None), folder / "processed/geometric_data_processed.pt")
    with pytest.raises(ValueError, match=told):
        load(folder)


def test_nothing_that_ogb_processed_is_run(tmp_path: Path) -> None:
    folder = processed("ogbn-arxiv", tmp_path / "ogb")
    file = folder / "processed/geometric_data_processed.pt"
    told = r"geometric_data_processed\.pt: is not the file of one graph as ogb's PyG classes save it, and nothing else is unpickled"
    whole = file.read_bytes()
    for content in (pickle.dumps(Trap()), whole[: len(whole) // 2], b""):
        file.write_bytes(content)
        for given in ("ogbn-arxiv", folder):
            with pytest.raises(ValueError, match=told):
                open_source(given, tmp_path)
    torch.save((Trap(), None), file)
    with pytest.raises(ValueError, match=told):
        load(folder)
    torch.save((torch.ones(2), None), file)
    with pytest.raises(ValueError, match=r"holds several graphs, or none"):
        load(folder)
    torch.save((Data(edge_index=torch.tensor([[0], [N]]), x=torch.ones(N, 2), y=torch.zeros(N, 1)), None), file)
    with pytest.raises(ValueError, match=rf"nodes 0 to {N} are joined"):
        load(folder)
    torch.save((Data(edge_index=torch.tensor([[0], [1]]), x=torch.ones(N - 1, 2), y=torch.zeros(N, 1), num_nodes=N), None), file)
    with pytest.raises(ValueError, match=rf"x must be a matrix of {N} rows, got the shape \({N - 1}, 2\)"):
        load(folder)
    shutil.rmtree(folder / "split")
    with pytest.raises(ValueError, match=r"holds neither raw/edge\.csv\.gz nor both of processed/.* and split/"):
        load("ogbn-arxiv", tmp_path)


def test_two_kinds_of_splits(tmp_path: Path) -> None:
    made("ogbn-arxiv", tmp_path / "other")
    (tmp_path / "other/ogbn_arxiv/split/random").mkdir()
    with pytest.raises(ValueError, match=r"must hold one folder with train\.csv\.gz"):
        open_source("ogbn-arxiv", tmp_path / "other")


# ---------------------------------------------------------------------- downloads


def zipped(folder: Path, *, also: str = "") -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for path in sorted(folder.rglob("*")):
            archive.write(path, f"arxiv/{path.relative_to(folder)}")
        if also:
            archive.writestr(also, "x")
    return buffer.getvalue()


class Server:
    """Serves one file, with ``Range`` or without, and breaks off where it is told to."""

    def __init__(self, content: bytes) -> None:
        self.content, self.breaks, self.ranges, self.says = content, [], True, None  # type: ignore[var-annotated]
        self.asked: list[str | None] = []
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                server.answer(self)

            def log_message(self, *args: Any) -> None:
                return None

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_port}/arxiv.zip"

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        wanted = handler.headers.get("Range")
        self.asked.append(wanted)
        start = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted and self.ranges else 0
        total = len(self.content)
        if start >= total:
            handler.send_response(416)
            handler.send_header("Content-Range", f"bytes */{total}")
            handler.end_headers()
            return
        handler.send_response(206 if start else 200)
        if start:
            handler.send_header("Content-Range", f"bytes {start}-{total - 1}/{total}")
        handler.send_header("Content-Length", str(self.says or total - start))
        handler.end_headers()
        end = self.breaks.pop(0) if self.breaks else total
        handler.wfile.write(self.content[start:end])


@contextmanager
def serving(content: bytes) -> Iterator[Server]:
    server = Server(content)
    thread = threading.Thread(target=server.http.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server
    finally:
        server.http.shutdown()
        server.http.server_close()
        thread.join()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    with serving(zipped(made("ogbn-arxiv", tmp_path / "source"))) as server:
        yield server


def fetch(server: Server, tmp_path: Path, *, yes: bool = False) -> Path:
    return download("ogbn-arxiv", server.url, [tmp_path / "got"], ("raw/edge.csv.gz",), licence="ODC-BY", yes=yes)


def test_a_broken_connection_goes_on(server: Server, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    server.breaks = [1000, 1500]
    with caplog.at_level(logging.INFO, "graphssl"):
        folder = fetch(server, tmp_path)
    assert server.asked == [None, "bytes=1000-", "bytes=1500-"]
    assert "licence ODC-BY) from http://127" in caplog.text
    assert "MB, after 0.0 MB that are there" in caplog.text
    assert np.array_equal(edges_of(open_source(folder)), links().T)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["got", "source"]


def test_the_next_call_goes_on(server: Server, tmp_path: Path) -> None:
    server.breaks = [700] * 9
    with pytest.raises(OSError, match=r"broke off after 700 bytes, which are kept for the next call"):
        fetch(server, tmp_path)
    assert not (tmp_path / "got").exists()
    server.breaks, server.asked = [], []
    assert fetch(server, tmp_path).is_dir()
    assert server.asked == ["bytes=700-"]


@pytest.mark.parametrize("kept", ["some", "all", "too much"])
@pytest.mark.parametrize("ranges", [True, False])
def test_whatever_is_kept_the_end_is_the_same(kept: str, ranges: bool, server: Server, tmp_path: Path) -> None:
    server.ranges = ranges
    held = {"some": server.content[:500], "all": server.content, "too much": server.content + b"x"}[kept]
    (tmp_path / ".got.zip.part").write_bytes(held)
    assert np.array_equal(edges_of(open_source(fetch(server, tmp_path))), links().T)


def test_a_changed_byte_is_found(server: Server, tmp_path: Path) -> None:
    at = server.content.find(b"raw/edge.csv.gz") + 40
    server.content = server.content[:at] + bytes([server.content[at] ^ 1]) + server.content[at + 1 :]
    with pytest.raises(zipfile.BadZipFile, match="Bad CRC-32"):
        fetch(server, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["source"]


def test_above_one_gigabyte_a_yes_is_needed(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    server.says = 57 * 10**9
    (tmp_path / ".got.zip.part").write_bytes(b"from an earlier call")
    server.ranges = False
    with pytest.raises(ValueError, match=r"larger than 1 GB \(57,000\.0 MB\); pass yes=True \(--yes\)"):
        fetch(server, tmp_path)
    assert (tmp_path / ".got.zip.part").read_bytes() == b"from an earlier call"
    server.says = None
    monkeypatch.setattr(downloads, "ASK", 100)
    with pytest.raises(ValueError, match="larger than 1 GB"):
        fetch(server, tmp_path)
    assert fetch(server, tmp_path, yes=True).is_dir()


@pytest.mark.parametrize("name", ["../evil", "arxiv/../../evil", "/etc/evil", "C:\\evil"])
def test_a_zip_that_climbs_out_is_refused(name: str, tmp_path: Path) -> None:
    content = zipped(made("ogbn-arxiv", tmp_path / "source"), also=name)
    with serving(content) as server, pytest.raises(ValueError, match="points outside of it, and is refused"):
        fetch(server, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["source"]


def test_load_downloads_what_is_not_there(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    opened = downloads.urllib.request.urlopen

    def local(request: Any, timeout: float) -> Any:
        asked.append(request.full_url)
        return opened(server.url, timeout=timeout)

    monkeypatch.setattr(downloads.urllib.request, "urlopen", local)
    data = load("ogbn-arxiv", tmp_path / "root")
    assert isinstance(data, Dataset)
    assert asked == ["https://snap.stanford.edu/ogb/data/nodeproppred/arxiv.zip"]
    assert (tmp_path / "root/ogb/ogbn_arxiv/raw/edge.csv.gz").is_file()
    with pytest.raises(DatasetNotFound, match=r"holds no raw/data\.npz.*Unpack https://.*papers100M-bin\.zip"):
        load("ogbn-papers100M", tmp_path / "root")


def test_a_raw_folder_is_trained_on_by_its_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    named, own = made("ogbn-products", tmp_path), made("ogbn-products", tmp_path, "mine")
    assert {level_of(str(path)) for path in (named, named / "raw", own)} == {"node"}
    assert find_recipe("bgrl", str(named)) == find_recipe("bgrl", "ogbn-products")
    assert find_recipe("bgrl", str(own)).batches == "whole"
    monkeypatch.setattr(recipes, "LARGE_FROM", N)
    assert find_recipe("bgrl", str(own)).batches == "partitions"
    options = ["--epochs", "1", "--channels", "4", "--hidden", "4", "--num-parts", "2", "--quiet"]
    assert main(["train", "bgrl", str(own), *options, "--out", str(tmp_path / "run")]) == 0
