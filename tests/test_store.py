"""Graphs on disk: what is written is read, whatever the memory and however often it was stopped; what was changed is refused."""

from __future__ import annotations

import json
import multiprocessing
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pytest
import scipy.sparse as sp
import torch
from torch import Tensor

import graphssl
from graphssl import BGRL, GCN, DropEdges, embed, fit, load
from graphssl.adjacency import CSR
from graphssl.cli import main
from graphssl.datasets import Dataset, Split
from graphssl.graph import Graph
from graphssl.store import Card, as_bytes, dataset_source, open_store, read_card, write_store
from graphssl.store import buckets as buckets_module
from tests import graphs
from tests.graphs import GRAPHS

SINGLE = sorted(name for name in GRAPHS if name not in ("batch", "sparse_batch", "with_attributes", "seeded"))
DTYPES = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}


@dataclass
class Listed:
    """A source from arrays, handed out in small pieces."""

    edge_index: np.ndarray
    x: np.ndarray | sp.csr_matrix
    weight: np.ndarray | None = None
    undirected: bool = False
    num_edges: int | None = None
    piece: int = 1000
    name: str = "listed"
    metric: str = "accuracy"
    licence: str = "MIT"
    source: str = "a test"
    identity: str = ""
    y: np.ndarray = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    splits: Mapping[str, tuple[np.ndarray, np.ndarray, np.ndarray]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.num_nodes, self.num_features = self.x.shape
        if not len(self.y):
            self.y = np.arange(self.num_nodes) % 3

    def edges(self) -> Iterator[tuple[np.ndarray, np.ndarray | None]]:
        for start in range(0, self.edge_index.shape[1], self.piece):
            part = slice(start, start + self.piece)
            yield self.edge_index[:, part], None if self.weight is None else self.weight[part]

    def features(self) -> Iterator[np.ndarray | sp.csr_matrix]:
        for start in range(0, self.x.shape[0], self.piece):
            yield self.x[start : start + self.piece]


def random_source(n: int = 3000, m: int = 20_000, *, seed: int = 0, weighted: bool = False, **changes: object) -> Listed:
    """Heavy-tailed, with loops, parallel edges and nodes without any."""
    rng = np.random.default_rng(seed)
    ends = (n * rng.random((2, m)) ** 3 * 0.95).astype(np.int32)
    weight = rng.random(m).astype(np.float32) if weighted else None
    rows = rng.permutation(n)
    splits = {"mine": (np.sort(rows[:50]), np.sort(rows[50:90]), np.sort(rows[90:])), "other": (rows[:9], rows[:0], rows[9:30])}
    source = Listed(ends, rng.normal(size=(n, 7)).astype(np.float32), weight, splits=splits)
    return replace(source, **changes)  # type: ignore[arg-type]


def dataset_of(graph: Graph, **changes: object) -> Dataset:
    """A graph with labels and a split, where it has nodes enough."""
    n = graph.num_nodes
    rows = torch.arange(n)
    splits = (Split("mine", rows[: n // 2], rows[:0], rows[n // 2 :]),) if n > 1 else ()
    return replace(Dataset("mine", (graph,), rows % 3, splits, source="here"), **changes)  # type: ignore[arg-type]


def files(folder: Path) -> dict[str, bytes]:
    """Everything in a store."""
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def same_graph(left: Graph, right: Graph) -> None:
    """Equal in edges, weights, features and what is known of the directions."""
    assert torch.equal(left.edge_index, right.edge_index)
    assert (left.edge_weight is None) == (right.edge_weight is None)
    if left.edge_weight is not None and right.edge_weight is not None:
        assert torch.equal(left.edge_weight, right.edge_weight)
    assert torch.equal(left.dense_x(), right.dense_x())
    assert isinstance(left.x, CSR) == isinstance(right.x, CSR)
    assert left.is_undirected == right.is_undirected
    assert left.has_symmetric_weights == right.has_symmetric_weights


# ---------------------------------------------------------------------- round trip


@pytest.mark.parametrize("name", SINGLE)
def test_a_dataset_comes_back_from_its_store(name: str, tmp_path: Path) -> None:
    data = dataset_of(replace(GRAPHS[name](), edge_attr=None))
    write_store(dataset_source(data), tmp_path / "a.store")
    again = load(tmp_path / "a.store")
    same_graph(again.graph, data.graph)
    assert torch.equal(again.y, data.y)
    assert [s.hash for s in again.splits] == [s.hash for s in data.splits]
    assert (again.name, again.metric, again.source, again.level) == (data.name, data.metric, data.source, "node")
    pattern, perm = again.graph.pattern.transpose()
    wanted, _ = data.graph.pattern.transpose()
    assert torch.equal(pattern.ptr, wanted.ptr)
    assert torch.equal(pattern.col, wanted.col)
    assert torch.equal(again.graph.edge_index[1][perm], wanted.col.long())


@pytest.mark.parametrize("name", ["directed", "weighted_by_direction", "directed_with_loops"])
def test_a_transpose_is_stored_and_not_found(name: str, tmp_path: Path) -> None:
    data = dataset_of(GRAPHS[name]())
    write_store(dataset_source(data), tmp_path / "a.store")
    graph = load(tmp_path / "a.store").graph
    assert graph.pattern._transpose is not None
    assert graph.is_undirected == data.graph.is_undirected
    assert "edge_index" not in graph.__dict__, "something of the size of all edges was made"
    reverse = data.graph.reverse
    assert (graph.reverse is None) == (reverse is None)
    if reverse is not None:
        assert torch.equal(graph.reverse.long(), reverse)
    if data.graph.edge_weight is not None:
        h = torch.randn(data.num_nodes, 3)
        assert torch.equal(graph.summed().t() @ h, data.graph.summed().t() @ h)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("sparse", [False, True])
def test_features_are_rounded_to_the_nearest(dtype: str, sparse: bool, tmp_path: Path) -> None:
    graph = graphs.sparse() if sparse else graphs.undirected()
    write_store(dataset_source(dataset_of(graph)), tmp_path / "a.store", dtype=dtype)
    x = load(tmp_path / "a.store").graph.x
    assert x.dtype == DTYPES[dtype]
    assert torch.equal(x.to_dense() if isinstance(x, CSR) else x, graph.dense_x().to(DTYPES[dtype]))


def test_bfloat16_rounds_as_torch_does() -> None:
    from graphssl.store.columns import narrow

    bits = np.random.default_rng(0).integers(0, 2**32, 100_000, dtype=np.uint32)
    bits[:4] = (0x3F808000, 0x3F818000, 0x00000001, 0x80000000)  # ties to even, the smallest, minus zero
    x = bits.view(np.float32)
    x = x[np.isfinite(x)]
    stored, rounded = narrow(x, "bfloat16")
    wanted = torch.from_numpy(x).bfloat16()
    assert torch.equal(torch.from_numpy(stored.view(np.int16)), wanted.view(torch.int16))
    assert torch.equal(torch.from_numpy(rounded), wanted.float())


@pytest.mark.parametrize(
    "y", [torch.tensor([[0.0, 1], [1, float("nan")], [1, 1]] * 4), torch.linspace(0, 1, 12, dtype=torch.float64)[:, None]]
)
def test_several_labels_and_targets_come_back(y: Tensor, tmp_path: Path) -> None:
    data = dataset_of(graphs.undirected(), y=y, metric="roc_auc" if y.size(1) > 1 else "rmse")
    write_store(dataset_source(data), tmp_path / "a.store")
    again = load(tmp_path / "a.store")
    assert (again.metric, again.task, again.y.dtype) == (data.metric, data.task, data.y.dtype)
    assert torch.equal(again.y.nan_to_num(nan=-9), data.y.nan_to_num(nan=-9))


@pytest.mark.parametrize("weighted", [False, True])
def test_an_undirected_source_is_symmetrised_and_merged(weighted: bool, tmp_path: Path) -> None:
    source = random_source(200, 3000, weighted=weighted, undirected=True, piece=77)
    card = write_store(source, tmp_path / "a.store")
    listed: dict[tuple[int, int], list[float]] = {}
    weights = np.ones(3000) if source.weight is None else source.weight
    for a, b, w in zip(*source.edge_index.tolist(), weights.tolist(), strict=True):
        for pair in {(b, a), (a, b)}:
            listed.setdefault(pair, []).append(w)
    graph = open_store(tmp_path / "a.store", verify="full").graph()
    found = list(zip(*graph.edge_index.flip(0).tolist(), strict=True))
    assert found == sorted(listed)
    assert graph.is_undirected
    if weighted:
        assert graph.edge_weight is not None
        np.testing.assert_allclose(graph.edge_weight, [np.mean(listed[pair]) for pair in found], rtol=1e-6)
        again = Graph.of((graph.x, graph.edge_index))
        assert again.reverse is not None
        assert torch.equal(graph.edge_weight, graph.edge_weight[again.reverse]), "both directions must weigh the same, to the bit"
    assert (card.num_edges, card.undirected, card.weighted) == (len(listed), True, weighted)
    assert card.statistics.self_loops == sum(a == b for a, b in listed)


@pytest.mark.parametrize("weighted", [False, True])
def test_a_directed_source_is_kept_as_it_is_listed(weighted: bool, tmp_path: Path) -> None:
    source = random_source(weighted=weighted, piece=999)
    write_store(source, tmp_path / "a.store")
    graph = load(tmp_path / "a.store").graph
    order = np.lexsort((source.edge_index[0], source.edge_index[1]))
    assert np.array_equal(graph.edge_index, source.edge_index[:, order])
    if source.weight is not None:
        assert np.array_equal(graph.edge_weight, source.weight[order])
    assert not graph.is_undirected


def test_statistics_are_those_of_the_stored_features(tmp_path: Path) -> None:
    for dtype, sparse in (("float32", False), ("bfloat16", False), ("float16", True)):
        source = random_source(500, 900, piece=41)
        x = np.where(source.x > 0.3, source.x, 0)
        source.x = sp.csr_matrix(x) if sparse else x
        known = write_store(source, tmp_path / "a.store", dtype=dtype, force=True).statistics
        graph = load(tmp_path / "a.store").graph
        stored = graph.dense_x().double().numpy()
        for name in ("mean", "std", "min", "max"):
            np.testing.assert_allclose(getattr(known, name), getattr(stored, name)(0), rtol=1e-9, atol=1e-12)
        counts = graph.pattern.counts
        assert (known.degree_min, known.degree_max, known.isolated) == (int(counts.min()), int(counts.max()), int((counts == 0).sum()))
        assert known.degree_mean == pytest.approx(float(counts.double().mean()))


def test_a_store_becomes_another_one(tmp_path: Path) -> None:
    write_store(random_source(), tmp_path / "a.store")
    write_store(dataset_source(load(tmp_path / "a.store")), tmp_path / "b.store")
    left, right = read_card(tmp_path / "a.store"), read_card(tmp_path / "b.store")
    assert left.digest == right.digest
    assert left.splits == right.splits


def test_numpy_reads_the_arrays(tmp_path: Path) -> None:
    source = random_source()
    write_store(source, tmp_path / "a.store")
    assert np.array_equal(np.load(tmp_path / "a.store" / "x.npy"), source.x)
    assert np.load(tmp_path / "a.store" / "col.npy").dtype == np.int32


# ---------------------------------------------------------------------- within memory, and stopped


@pytest.mark.parametrize(("undirected", "weighted"), [(True, False), (True, True), (False, False), (False, True)])
def test_the_store_does_not_depend_on_memory(undirected: bool, weighted: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = random_source(300, 4000, undirected=undirected, weighted=weighted)
    write_store(source, tmp_path / "a.store")
    monkeypatch.setattr(buckets_module, "PIECE", 700)
    monkeypatch.setattr(buckets_module, "LEAST", 5)
    for i, memory in enumerate(("30kB", 4_000, 16)):  # a few buckets at a time, less than one, less than one row
        write_store(source, tmp_path / f"{i}.store", memory=memory)
        assert files(tmp_path / f"{i}.store") == files(tmp_path / "a.store")


class Stop(BaseException):
    """Like Ctrl-C: no Exception."""


@pytest.mark.parametrize("undirected", [True, False])
def test_a_conversion_goes_on_where_it_was_stopped(undirected: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(buckets_module, "LEAST", 6)
    source = random_source(300, 2500, weighted=True, undirected=undirected)
    write_store(source, tmp_path / "whole.store")
    told: list[str] = []
    write_store(source, tmp_path / "counted.store", memory="15kB", tell=lambda what, done, total: told.append(what))
    for stop in range(len(told)):
        left = iter(range(stop + 1))

        def tell(what: str, done: int, total: int | None, left: Iterator[int] = left) -> None:
            if next(left, None) is None:
                raise Stop

        if stop < len(told) - 1:
            with pytest.raises(Stop):
                write_store(source, tmp_path / "a.store", memory="15kB", tell=tell)
            assert not (tmp_path / "a.store").exists()
        again: list[str] = []
        write_store(source, tmp_path / "a.store", memory="30kB", tell=lambda what, done, total, again=again: again.append(what))
        assert files(tmp_path / "a.store") == files(tmp_path / "whole.store")
        assert (told[stop] == "features") == ("features" in again) or stop == told.index("reading edges") - 1 or stop == len(told) - 1
        if told[stop].startswith("sorting edges") or told[stop].startswith("turning"):
            assert "reading edges" not in again or stop == told.index("sorting edges") - 1 or stop == len(told) - 1
        shutil.rmtree(tmp_path / "a.store")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["counted.store", "whole.store"]


@pytest.mark.parametrize("change", ["identity", "y", "dtype", "splits"])
def test_another_source_starts_anew(change: str, tmp_path: Path) -> None:
    def tell(what: str, done: int, total: int | None) -> None:
        if what == "sorting edges" and done:
            raise Stop

    with pytest.raises(Stop):
        write_store(random_source(), tmp_path / "a.store", tell=tell)
    other = random_source(seed=1)
    if change == "identity":
        other = replace(other, identity="other", y=random_source().y, splits=random_source().splits)
    elif change == "y":
        other = replace(other, y=other.y + 1, splits=random_source().splits)
    elif change == "dtype":
        other = replace(other, splits=random_source().splits)
    dtype = "float16" if change == "dtype" else "float32"
    write_store(other, tmp_path / "a.store", dtype=dtype)
    write_store(other, tmp_path / "b.store", dtype=dtype)
    assert files(tmp_path / "a.store") == files(tmp_path / "b.store")


KILLED = """
import os, signal, sys
from pathlib import Path
from tests.test_store import random_source
from graphssl.store import write_store
count = 0
def tell(what, done, total):
    global count
    count += 1
    if count == int(sys.argv[2]):
        os.kill(os.getpid(), signal.SIGKILL)
write_store(random_source(), sys.argv[1], memory="40kB", tell=tell)
"""


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="there is no SIGKILL here")
def test_a_killed_conversion_goes_on(tmp_path: Path) -> None:
    root = Path(graphssl.__file__).parents[1]
    codes = [
        subprocess.run([sys.executable, "-c", KILLED, tmp_path / "a.store", str(count)], cwd=root, timeout=300, check=False).returncode
        for count in (20, 6)
    ]
    assert codes == [-signal.SIGKILL] * 2
    again: list[str] = []
    write_store(random_source(), tmp_path / "a.store", tell=lambda what, done, total: again.append(what))
    assert "features" not in again
    write_store(random_source(), tmp_path / "b.store")
    assert files(tmp_path / "a.store") == files(tmp_path / "b.store")


def test_two_conversions_do_not_share_a_place(tmp_path: Path) -> None:
    pytest.importorskip("fcntl")

    def tell(what: str, done: int, total: int | None) -> None:
        with pytest.raises(ValueError, match="another process is writing"):
            write_store(random_source(), tmp_path / "a.store")

    write_store(random_source(), tmp_path / "a.store", tell=tell)
    open_store(tmp_path / "a.store", verify="full")


# ---------------------------------------------------------------------- refused


@pytest.fixture(scope="module")
def stores(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dense directed store and a sparse undirected one; tests copy them."""
    folder = tmp_path_factory.mktemp("stores")
    write_store(random_source(weighted=True), folder / "directed")
    source = random_source(undirected=True)
    source.x = sp.csr_matrix(np.where(source.x > 0.3, source.x, 0))
    write_store(source, folder / "sparse")
    return folder


NAMES = [("directed", name) for name in ("ptr", "col", "out_ptr", "out_col", "out_edge", "weight", "x", "y", "split_0", "split_1")]
NAMES += [("sparse", name) for name in ("ptr", "col", "x_ptr", "x_col", "x")]


@pytest.mark.parametrize(("kind", "name"), NAMES)
def test_a_damaged_file_is_refused_by_name(kind: str, name: str, stores: Path, tmp_path: Path) -> None:
    folder = tmp_path / "a.store"
    shutil.copytree(stores / kind, folder)
    path = folder / f"{name}.npy"
    content = path.read_bytes()
    named = re.escape(str(path))
    for changed in (content[:-1], content[:100], b"", content + b"x"):
        path.write_bytes(changed)
        with pytest.raises(ValueError, match=f"{named} is (truncated|longer)"):
            open_store(folder)
    path.write_bytes(content[:20] + bytes([content[20] ^ 1]) + content[21:])
    with pytest.raises(ValueError, match=f"{named} was changed"):
        open_store(folder)
    for place in (128, len(content) // 2, len(content) - 1):
        path.write_bytes(content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :])
        with pytest.raises(ValueError, match=named):
            open_store(folder, verify="full")
    path.unlink()
    with pytest.raises(ValueError, match=f"{named} cannot be read"):
        open_store(folder)
    path.mkdir()
    with pytest.raises(ValueError, match=named):
        open_store(folder)
    path.rmdir()
    path.write_bytes(content)
    open_store(folder, verify="full")


def test_a_store_json_that_was_edited_is_refused(stores: Path, tmp_path: Path) -> None:
    folder = tmp_path / "a.store"
    shutil.copytree(stores / "directed", folder)
    path = folder / "store.json"
    text = path.read_text()
    named = re.escape(str(path))
    edits = {
        text.replace('"num_nodes": 3000', '"num_nodes": 2999'): "was changed after",
        text.replace('"listed"', '"other"'): "was changed after",
        text.replace('"format": 1', '"format": 2'): "written by a newer version",
        text.replace('"format": 1', '"format": 0'): "written by an older version",
        text.replace('"format": 1', '"form": 1'): "says nothing of a format",
        text[:300]: "cannot be read",
        "[]": "says nothing of a format",
        "": "cannot be read",
    }
    for edited, why in edits.items():
        assert edited != text
        path.write_text(edited)
        with pytest.raises(ValueError, match=f"{named}.* {why}|{named} {why}"):
            open_store(folder)
    path.unlink()
    with pytest.raises(ValueError, match="is not a store: it has no"):
        open_store(folder)
    with pytest.raises(ValueError, match="is a file"):
        open_store(folder / "x.npy")
    with pytest.raises(ValueError, match="verify must be one of"):
        open_store(stores / "directed", verify="all")  # type: ignore[arg-type]


def rewrite(folder: Path, name: str, array: np.ndarray) -> None:
    """Put other numbers into a file, with the right digests: a store that was never right."""
    from graphssl.store.format import digest_of, header, write_card

    card = read_card(folder)
    file = card.files[name]
    path = folder / f"{name}.npy"
    path.write_bytes(header(file.dtype, file.shape) + array.astype(file.dtype).tobytes())
    file = file.model_copy(update={"digest": digest_of(path).hexdigest()})
    write_card(folder, card.model_copy(update={"files": {**card.files, name: file}}))


def test_contents_that_contradict_themselves_are_refused(stores: Path, tmp_path: Path) -> None:
    folder = tmp_path / "a.store"
    shutil.copytree(stores / "directed", folder)
    ptr, col = np.load(folder / "ptr.npy"), np.load(folder / "col.npy")
    falling, short, late = ptr.copy(), ptr.copy(), ptr.copy()
    falling[7] = falling[8] + 1
    short[-1] -= 1
    late[0] = 1
    for wrong in (falling, short, late):
        rewrite(folder, "ptr", wrong)
        with pytest.raises(ValueError, match=r"ptr\.npy does not ascend from 0 to 20,000"):
            open_store(folder)
    rewrite(folder, "ptr", ptr)
    for value in (-1, 3000):
        rewrite(folder, "col", np.where(np.arange(col.size) == 5, value, col))
        with pytest.raises(ValueError, match=r"col\.npy holds a number outside 0 to 2999"):
            open_store(folder)
    row = int(np.flatnonzero(np.diff(ptr) > 1)[0])
    turned = col.copy()
    turned[ptr[row] : ptr[row + 1]] = turned[ptr[row] : ptr[row + 1]][::-1]
    rewrite(folder, "col", turned)
    open_store(folder)
    with pytest.raises(ValueError, match=r"col\.npy holds rows that do not ascend"):
        open_store(folder, verify="full")
    rewrite(folder, "col", col)
    open_store(folder, verify="full")


WRONG: dict[str, tuple[Callable[[Listed], object], str]] = {
    "edge above": (
        lambda s: s.edge_index.__setitem__((0, 5), 3000),
        "an edge goes outside the graph: nodes 0 to 3000, but there are 0 to 2999",
    ),
    "edge below": (lambda s: s.edge_index.__setitem__((1, 5), -1), "an edge goes outside the graph: nodes -1"),
    "edge type": (lambda s: setattr(s, "edge_index", s.edge_index.astype(float)), r"pieces must be integers \[2, k\], got float64"),
    "edges said": (lambda s: setattr(s, "num_edges", 7), "must have 7 edges as it says, got 20,000"),
    "weights": (lambda s: setattr(s, "weight", np.full(20_000, np.nan)), "weights must be one finite number"),
    "rows": (lambda s: setattr(s, "x", s.x[:-1]), "must have one row for each of the 3,000 nodes, got 2,999"),
    "more rows": (lambda s: setattr(s, "x", np.vstack([s.x, s.x])), "must have one row for each of the 3,000 nodes, got more"),
    "columns": (lambda s: setattr(s, "x", s.x[:, :3]), r"pieces must be numbers \[k, 7\], got float32 of shape \(1000, 3\)"),
    "nan": (lambda s: s.x.__setitem__((2100, 3), np.nan), "row 2100, column 3 holds nan: clean"),
    "large": (lambda s: s.x.__setitem__((2100, 3), 1e6), "row 2100, column 3 holds 1000000.0, which float16 cannot hold"),
    "labels": (lambda s: setattr(s, "y", s.y[:-1]), r"y: must be \[3000\] integers"),
    "split": (lambda s: setattr(s, "splits", {"a": (np.array([0]), np.array([0]), np.array([1]))}), "splits: 'a' must hold different rows"),
    "split row": (lambda s: setattr(s, "splits", {"a": (np.array([0]), np.array([1]), np.array([3000]))}), "rows from 0 to 2999"),
}


@pytest.mark.parametrize("what", WRONG)
def test_a_source_that_contradicts_itself_is_refused(what: str, tmp_path: Path) -> None:
    source = random_source()
    change, why = WRONG[what]
    change(source)
    with pytest.raises(ValueError, match=why):
        write_store(source, tmp_path / "new" / "a.store", dtype="float16")
    assert list(tmp_path.iterdir()) == [], "something was left behind"


@pytest.mark.parametrize("memory", ["", "4 XB", "-1GB", 0, "GB", "nan"])
def test_memory_must_be_a_size(memory: str | int, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="memory must be a size such as 4GB or 512MB"):
        write_store(random_source(), tmp_path / "a.store", memory=memory)


def test_sizes_are_read() -> None:
    assert [as_bytes(text) for text in ("4GB", "4G", "4gib", "0.5 MB", "17", 17)] == [4 * 10**9, 4 * 10**9, 2**32, 500_000, 17, 17]


def test_what_stands_there_is_replaced_only_where_it_is_a_store(tmp_path: Path) -> None:
    write_store(random_source(), tmp_path / "a.store")
    before = files(tmp_path / "a.store")
    with pytest.raises(ValueError, match="exists already"):
        write_store(random_source(seed=1), tmp_path / "a.store")
    with pytest.raises(ValueError, match="dtype must be one of"):
        write_store(random_source(seed=1), tmp_path / "a.store", dtype="float64", force=True)
    with pytest.raises(ValueError, match="outside the graph"):
        write_store(random_source(edge_index=np.array([[0], [3000]])), tmp_path / "a.store", force=True)
    assert files(tmp_path / "a.store") == before
    write_store(random_source(seed=1), tmp_path / "a.store", force=True)
    assert files(tmp_path / "a.store") != before
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes").write_text("mine")
    with pytest.raises(ValueError, match="is not a store, and --force replaces nothing else"):
        write_store(random_source(), tmp_path / "mine", force=True)


@pytest.mark.parametrize(("name", "why"), [("with_attributes", "no attributes"), ("batch", "graph-level")])
def test_what_a_store_cannot_hold_is_refused(name: str, why: str) -> None:
    graph = GRAPHS[name]()
    data = dataset_of(graph) if name != "batch" else Dataset("many", (graph,), torch.zeros(5, dtype=torch.long), level="graph")
    with pytest.raises(ValueError, match=why):
        dataset_source(data)
    two = Dataset("two", (graphs.path(), graphs.path()), torch.zeros(24, dtype=torch.long), parts=("train", "test"))
    with pytest.raises(ValueError, match="a store holds one graph, and two has 2"):
        dataset_source(two)


# ---------------------------------------------------------------------- use


def test_training_and_embedding_are_those_of_the_dataset(tmp_path: Path) -> None:
    data = load("sbm")
    write_store(dataset_source(data), tmp_path / "sbm.store")
    embedded = []
    for source in (data, load(tmp_path / "sbm.store")):
        torch.manual_seed(0)
        source = source.preprocess("row-normalize+standardize")
        objective = BGRL(GCN(source.num_features, [16, 8]), views=(DropEdges(0.2), DropEdges(0.3)), hidden=8)
        fit(objective, source, epochs=3, lr=0.01)
        embedded.append(embed(objective.encoder, source))
    assert torch.equal(*embedded)


@pytest.mark.parametrize("how", ["row-normalize", "standardize", "row-normalize+standardize"])
@pytest.mark.parametrize("dtype", DTYPES)
def test_preprocessing_of_half_precision_is_done_in_full(how: str, dtype: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from graphssl.datasets import dataset

    monkeypatch.setattr(dataset, "CHUNK", 37)
    source = random_source(500, 900)
    write_store(source, tmp_path / "a.store", dtype=dtype)
    found = load(tmp_path / "a.store").preprocess(how)
    stored = torch.from_numpy(source.x).to(DTYPES[dtype]).float()
    wanted = dataset_of(Graph.of((stored, torch.from_numpy(source.edge_index)))).preprocess(how)
    assert found.graph.x.dtype == torch.float32
    torch.testing.assert_close(found.graph.dense_x(), wanted.graph.dense_x())


def test_the_fingerprint_follows_the_content_and_goes_through_nothing(tmp_path: Path) -> None:
    write_store(random_source(), tmp_path / "a.store")
    write_store(random_source(name="renamed"), tmp_path / "b.store")
    first, same = load(tmp_path / "a.store"), load(tmp_path / "b.store")
    assert first.fingerprint == same.fingerprint
    assert "edge_index" not in first.graph.__dict__
    others = [load(tmp_path / "a.store").preprocess(how) for how in ("row-normalize", "standardize", "row-normalize+standardize")]
    others += [first.with_splits(first.splits[1]), replace(first, y=first.y + 1)]
    for i, changes in enumerate(({"seed": 1}, {"weighted": True}, {"undirected": True})):
        write_store(random_source(**changes), tmp_path / f"{i}.store")  # type: ignore[arg-type]
        others.append(load(tmp_path / f"{i}.store"))
    assert len({first.fingerprint, *(other.fingerprint for other in others)}) == len(others) + 1
    assert first.preprocess("none").fingerprint == first.fingerprint


def test_mapped_arrays_can_be_changed_and_the_files_stay(tmp_path: Path) -> None:
    write_store(random_source(), tmp_path / "a.store")
    before = files(tmp_path / "a.store")
    data = load(tmp_path / "a.store")
    data.graph.dense_x().add_(1)
    assert files(tmp_path / "a.store") == before
    assert not torch.equal(data.graph.dense_x(), load(tmp_path / "a.store").graph.dense_x())


def read_sum(folder: str) -> float:
    """For a process of its own."""
    data = open_store(folder).dataset()
    return float(data.graph.dense_x().double().sum()) + data.graph.num_edges


def test_processes_read_one_store(tmp_path: Path) -> None:
    write_store(random_source(), tmp_path / "a.store")
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        sums = pool.map(read_sum, [str(tmp_path / "a.store")] * 4)
    assert set(sums) == {read_sum(str(tmp_path / "a.store"))}


# ---------------------------------------------------------------------- the command


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The test stands in a folder of its own."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def call(*args: object) -> int:
    """The command inside this process; its exit code."""
    try:
        return main([str(a) for a in args])
    except SystemExit as stop:
        return int(stop.code or 0)


def test_convert_and_info(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call("data", "convert", "Digits", "--out", "d.store", "--dtype", "bfloat16") == 0
    shown = capsys.readouterr()
    assert "digits: 1,797 nodes, 19,858 edges (undirected), 64 bfloat16 features, accuracy, 20 splits" in shown.out
    assert "Store: d.store" in shown.out
    for stage in ("features 1,797/1,797", "reading edges", "sorting edges 1,797/1,797", "labels"):
        assert stage in shown.err
    assert call("data", "info", "d.store") == 0
    assert "digits: 1,797 nodes" in capsys.readouterr().out
    assert call("data", "info", "d.store", "--verify") == 0
    assert "All files are as they were written." in capsys.readouterr().out
    assert call("data", "info", "d.store", "--json") == 0
    record = json.loads(capsys.readouterr().out)
    assert Card.model_validate({name: record[name] for name in Card.model_fields}) == read_card(folder / "d.store")
    assert call("data", "convert", "d.store", "--out", "e.store", "--quiet") == 0
    assert capsys.readouterr().err == ""
    assert call("data", "convert", "e.store", "--out", "e.store", "--force", "--json", "--memory", "1MB") == 0
    shown = capsys.readouterr()
    assert json.loads(shown.out)["features"] == "float32"
    assert shown.err == ""
    assert sorted(p.name for p in folder.iterdir()) == ["d.store", "e.store"]


def test_train_embed_and_evaluate_take_a_store(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call("data", "convert", "karate", "--out", "k.store", "--quiet") == 0
    assert call("train", "bgrl", "k.store", "--channels", "16", "8", "--epochs", "2", "--hidden", "8", "--out", "r", "--quiet") == 0
    assert call("evaluate", "r", "--json") == 0
    assert call("embed", "r", "--out", "z.npy") == 0
    shown = capsys.readouterr()
    assert "fingerprint" not in shown.err
    assert np.load("z.npy").shape == (34, 8)


def test_a_conversion_by_command_goes_on(folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    from graphssl.cli_data import Stages

    def stop(self: Stages, what: str, done: int, total: int | None) -> None:
        if what == "labels":
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Stages, "tell", stop)
        assert call("data", "convert", "karate", "--out", "k.store") == 130
    assert capsys.readouterr().err == "interrupted; the same command goes on from here\n"
    assert [p.name for p in folder.iterdir()] == [".k.store.part"]
    assert call("data", "convert", "karate", "--out", "k.store") == 0
    assert "features" not in capsys.readouterr().err
    assert [p.name for p in folder.iterdir()] == ["k.store"]


REFUSED = {
    "data nothing": (("data", "copy"), "command of data"),
    "unknown": (("data", "convert", "digitz", "--out", "a"), "unknown dataset 'digitz'"),
    "no file": (("data", "convert", "./none.npz", "--out", "a"), "there is no file ./none.npz"),
    "empty": (("data", "convert", "", "--out", "a"), "data: the name of a dataset or a path is needed"),
    "memory": (("data", "convert", "karate", "--out", "a", "--memory", "much"), "memory must be a size"),
    "dtype": (("data", "convert", "karate", "--out", "a", "--dtype", "float61"), "float16"),
    "flag": (("data", "convert", "karate", "--out", "a", "--fast"), "option of data convert"),
    "there": (("data", "convert", "karate", "--out", "here"), "exists already"),
    "not ours": (("data", "convert", "karate", "--out", "here", "--force"), "is not a store"),
    "graphs": (("data", "convert", "motifs", "--out", "a"), "graph-level"),
    "directed": (("data", "convert", "karate", "--out", "a", "--directed"), "directed: only OGB's node sets"),
    "info": (("data", "info", "here"), "is not a store: it has no store.json"),
    "info nowhere": (("data", "info", "nowhere", "--verify"), "is not a store: it has no store.json"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_mistakes_are_one_line(what: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "here").mkdir()
    (folder / "here" / "notes").write_text("mine")
    args, why = REFUSED[what]
    assert call(*args) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.count("\n") == 1
    assert shown.err.startswith("graphssl: ")
    assert why in shown.err
    assert sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*")) == ["here", "here/notes"]


def test_a_damaged_store_is_refused_by_every_command(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_store(dataset_source(load("karate")), folder / "k.store")
    path = folder / "k.store" / "x.npy"
    path.write_bytes(path.read_bytes()[:-4])
    for args in (("data", "info", "k.store"), ("train", "dgi", "k.store"), ("data", "convert", "k.store", "--out", "b.store")):
        assert call(*args) == 2
        err = [line for line in capsys.readouterr().err.splitlines() if line.startswith("graphssl: ")]
        assert len(err) == 1
        assert "x.npy is truncated" in err[0]


def test_help_needs_nothing_heavy() -> None:
    code = (
        "import sys; from graphssl.cli import main\n"
        "try: main(sys.argv[1:])\n"
        "except SystemExit: pass\n"
        "print([m for m in ('torch', 'numba', 'scipy', 'torch_geometric') if m in sys.modules], file=sys.stderr)"
    )
    for args in (("data", "--help"), ("data", "convert", "--help"), ("data", "info", "--help")):
        root = Path(graphssl.__file__).parents[1]
        done = subprocess.run([sys.executable, "-c", code, *args], capture_output=True, text=True, timeout=120, cwd=root, check=False)
        assert done.stderr == "[]\n"
        assert "usage" in done.stdout.lower()
