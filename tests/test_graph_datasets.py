"""Sets of many graphs: the TUDataset format against a slow reading and PyG's, a user's own lists and folders, the synthetic set."""

from __future__ import annotations

import io
import shutil
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import networkx as nx
import numpy as np
import pytest
import torch
from torch import Tensor
from torch_geometric.data import Batch, Data, InMemoryDataset
from torch_geometric.datasets import TUDataset
from torch_geometric.utils import from_networkx

from graphssl.adjacency import CSR
from graphssl.datasets import DATASETS, Dataset, files, from_folder, from_graphs, load, motifs, tables, tudataset
from graphssl.datasets.columns import Column
from graphssl.datasets.labels import as_rows, parsed
from graphssl.datasets.table import canonical
from graphssl.graph import Graph

# graphs, nodes, directed edges, features, edge attributes, graphs in each class
COUNTS = {
    "mutag": (188, 3371, 7442, 7, 4, [63, 125]),
    "ptc-mr": (344, 4915, 10108, 18, 4, [192, 152]),
    "nci1": (4110, 122747, 265506, 37, 0, [2053, 2057]),
    "proteins": (1113, 43471, 162088, 3, 0, [663, 450]),
    "enzymes": (600, 19580, 74564, 3, 0, [100] * 6),
    "dd": (1178, 334925, 1686092, 89, 0, [691, 487]),
    "mutagenicity": (4337, 131488, 266894, 14, 3, [2401, 1936]),
    "imdb-binary": (1000, 19773, 193062, 136, 0, [500, 500]),
    "reddit-binary": (2000, 859254, 1991016, 401, 0, [1000, 1000]),
}
OPTIONAL = ("node_labels", "node_attributes", "edge_labels", "edge_attributes")


def available(root: Path, name: str) -> Path:
    entry = DATASETS[name]
    if not all((root / entry.folder / "raw" / file).is_file() for file, _ in entry.files):
        pytest.skip(f"needs GRAPHSSL_DATA with {entry.folder}/raw")
    return root


def edge_attr(graph: Graph) -> Tensor:
    return torch.zeros(graph.num_edges, 0) if graph.edge_attr is None else graph.edge_attr


# ---------------------------------------------------------------------- TUDataset: names and real sets


@pytest.mark.parametrize(
    ("typed", "name"),
    [("IMDB_B", "imdb-binary"), ("RDT-B", "reddit-binary"), ("ptc", "ptc-mr"), ("D&D", "dd"), ("reddit_multi_5k", "reddit-multi-5k")],
)
def test_names_of_the_collection(typed: str, name: str) -> None:
    assert canonical(typed) == name
    assert DATASETS[name].family == "tudataset"
    assert DATASETS[name].level == "graph"


@pytest.mark.parametrize("name", COUNTS)
def test_published_counts(name: str, data_root: Path) -> None:
    data = load(name, available(data_root, name))
    g = data.graph
    found = data.num_rows, data.num_nodes, data.num_edges, data.num_features, edge_attr(g).size(1), data.y.bincount().tolist()
    assert found == COUNTS[name]
    assert (data.level, data.task, len(data.splits)) == ("graph", "classification", 10)
    assert g.is_undirected
    assert (g.graph_ids.diff() >= 0).all()
    assert f"{name}: {data.num_graphs:,} graphs, " in data.summary()
    assert "graph level, stratified-10-fold-0 and 9 more" in data.summary()


@pytest.mark.parametrize(
    ("name", "features"),
    [
        ("MUTAG", "auto"),
        ("PTC_MR", "auto"),
        ("NCI1", "auto"),
        ("ENZYMES", "labels+attributes"),
        ("ENZYMES", "auto"),
        ("PROTEINS", "labels+attributes"),
        ("IMDB-BINARY", "auto"),
    ],
)
def test_equal_to_pyg(name: str, features: str, data_root: Path, tmp_path: Path) -> None:
    entry = DATASETS[canonical(name)]
    shutil.copytree(available(data_root, entry.name) / entry.folder / "raw", tmp_path / entry.folder / "raw")
    ours = load(name, tmp_path, node_features=features)
    theirs = TUDataset(str(tmp_path / "tudataset"), name, use_node_attr=features != "auto")
    data, slices = theirs._data, theirs.slices
    sizes = slices["x"].diff() if data.x is not None else torch.tensor(data._num_nodes)
    g = ours.graph
    assert torch.equal(g.node_ptr.diff(), sizes)
    assert torch.equal(ours.y, data.y)
    shift = (sizes.cumsum(0) - sizes).repeat_interleave(slices["edge_index"].diff())
    edges = data.edge_index + shift
    order = (edges[1] * g.num_nodes + edges[0]).argsort()
    assert torch.equal(g.edge_index, edges[:, order])
    if data.x is not None:
        assert torch.equal(g.dense_x(), data.x)
    else:
        assert torch.equal(g.dense_x().argmax(1), torch.bincount(edges[1], minlength=g.num_nodes).clamp(max=400))
    assert torch.equal(edge_attr(g), torch.zeros(g.num_edges, 0) if data.edge_attr is None else data.edge_attr[order])


# ---------------------------------------------------------------------- the TUDataset format


def write_tu(folder: Path, tables: dict[str, list[Any]], stem: str = "TOY") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for kind, rows in tables.items():
        lines = [", ".join(map(str, row)) if isinstance(row, (tuple, list)) else str(row) for row in rows]
        (folder / f"{stem}_{kind}.txt").write_text("".join(f"{line}\n" for line in lines))
    return folder


def toy(seed: int = 0, optional: tuple[str, ...] = OPTIONAL) -> dict[str, list[Any]]:
    """Twelve graphs; edges listed twice, self-loops, isolated nodes at the end of each graph and of the set, labels with gaps."""
    rng = np.random.default_rng(seed)
    sizes = rng.integers(3, 7, 12).tolist()
    starts = np.cumsum([0, *sizes])
    edges = [tuple((starts[g] + 1 + rng.integers(0, sizes[g] - 1, 2)).tolist()) for g in range(12) for _ in range(8)]
    edges = [pair for edge in edges for pair in (edge, edge[::-1])]
    edges += edges[:5]
    n, m = starts[-1], len(edges)
    tables: dict[str, list[Any]] = {
        "A": edges,
        "graph_indicator": np.repeat(np.arange(1, 13), sizes).tolist(),
        "graph_labels": [(-1, 7, 3)[i] for i in rng.permutation(12) % 3],
        "node_labels": [(int(a), int(b)) for a, b in zip(rng.choice([2, 5, 3], n), rng.integers(0, 2, n), strict=True)],
        "node_attributes": rng.normal(size=(n, 3)).round(4).tolist(),
        "edge_labels": rng.choice([1, 4], m).tolist(),
        "edge_attributes": rng.normal(size=(m, 2)).round(4).tolist(),
    }
    return {kind: rows for kind, rows in tables.items() if kind not in OPTIONAL or kind in optional}


def slow_one_hot(values: list[int]) -> list[list[float]]:
    """One-hot as PyG has it: from the smallest to the largest value, gaps too."""
    return [[float(v == column) for column in range(min(values), max(values) + 1)] for v in values]


def slow_graphs(tables: dict[str, list[Any]]) -> list[tuple[list[list[float]], dict[tuple[int, int], list[float]], Any]]:
    """Graph by graph, line by line: one-hot labels of the nodes, attributes by edge, label."""
    columns = [slow_one_hot(list(column)) for column in zip(*tables["node_labels"], strict=True)]
    node_x = [[v for row in rows for v in row] for rows in zip(*columns, strict=True)]
    bond = slow_one_hot(tables["edge_labels"])
    graphs = []
    for g, label in enumerate(tables["graph_labels"], start=1):
        nodes = [i for i, owner in enumerate(tables["graph_indicator"], start=1) if owner == g]
        edges: dict[tuple[int, int], list[float]] = {}
        for (i, j), attr in zip(tables["A"], bond, strict=True):
            if i in nodes and i != j:
                edges.setdefault((nodes.index(i), nodes.index(j)), attr)
        graphs.append(([node_x[i - 1] for i in nodes], edges, sorted(set(tables["graph_labels"])).index(label)))
    return graphs


def assert_slow(data: Dataset, tables: dict[str, list[Any]]) -> None:
    expected = slow_graphs(tables)
    assert data.num_graphs == len(expected)
    for i, (x, edges, label) in enumerate(expected):
        g = data.graph.keep_graphs(torch.tensor([i]))
        assert g.dense_x().tolist() == x
        assert {(s, t): a for (s, t), a in zip(g.edge_index.t().tolist(), edge_attr(g).tolist(), strict=True)} == edges
        assert g.num_edges == len(edges)
        assert data.y[i] == label


@pytest.mark.parametrize("seed", range(4))
def test_reader_equals_a_slow_one(seed: int, tmp_path: Path) -> None:
    tables = toy(seed)
    data = load(write_tu(tmp_path, tables))
    assert_slow(data, tables)
    assert (data.graph.keep_graphs(torch.tensor([11])).edge_index.max() + 1) < data.graph.node_ptr.diff()[11]  # isolated at the end
    everything = load(tmp_path, node_features="labels+attributes").graph.dense_x()
    assert torch.equal(everything, torch.cat([torch.tensor(tables["node_attributes"]), data.graph.dense_x()], 1))


def test_nodes_in_any_order_are_put_in_that_of_their_graphs(tmp_path: Path) -> None:
    tables = toy()
    n = len(tables["graph_indicator"])
    order = np.random.default_rng(1).permutation(n)  # line k is of what was node order[k]
    place = np.argsort(order)
    moved = dict(tables, A=[(int(place[i - 1]) + 1, int(place[j - 1]) + 1) for i, j in tables["A"]])
    for kind in ("graph_indicator", "node_labels", "node_attributes"):
        moved[kind] = [tables[kind][i] for i in order]
    assert_slow(load(write_tu(tmp_path, moved)), moved)


def test_a_set_with_the_three_files_alone(tmp_path: Path) -> None:
    tables = toy(optional=())
    data = load(str(write_tu(tmp_path / "mine" / "raw", tables).parent) + "/")
    assert data.name == "toy"
    assert data.graph.edge_attr is None
    degree = torch.bincount(data.graph.edge_index[1], minlength=data.num_nodes)
    assert torch.equal(data.graph.dense_x(), torch.nn.functional.one_hot(degree).float())
    assert torch.equal(load(tmp_path / "mine", node_features="ones").graph.dense_x(), torch.ones(data.num_nodes, 1))


def test_degrees_above_the_cap_share_a_column(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tudataset, "DEGREE_CAP", 2)
    data = load(write_tu(tmp_path, toy()), node_features="degree")
    degree = torch.bincount(data.graph.edge_index[1], minlength=data.num_nodes)
    assert degree.max() > 2
    assert torch.equal(data.graph.dense_x(), torch.nn.functional.one_hot(degree.clamp(max=2), 3).float())


@pytest.mark.parametrize(
    ("optional", "how", "like"),
    [
        (("node_labels", "node_attributes"), "auto", "labels"),
        (("node_attributes",), "auto", "attributes"),
        (("edge_attributes",), "auto", "degree"),
    ],
)
def test_what_auto_takes(optional: tuple[str, ...], how: str, like: str, tmp_path: Path) -> None:
    tables = toy(optional=optional)
    write_tu(tmp_path, tables)
    assert load(tmp_path, node_features=how).fingerprint == load(tmp_path, node_features=like).fingerprint
    if like == "attributes":
        assert torch.equal(load(tmp_path).graph.dense_x(), torch.tensor(tables["node_attributes"]))
    if optional == ("edge_attributes",):
        g = load(tmp_path).graph
        first = tables["A"].index(tuple((g.edge_index[:, 7] + 1).tolist()))
        assert g.edge_attr[7].tolist() == pytest.approx(tables["edge_attributes"][first])


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ("attributes", "of node labels and attributes the dataset has labels"),
        ("labels+attributes", "the dataset has labels"),
        ("onehot", "node_features must be one of auto, labels"),
    ],
)
def test_features_that_are_not_there(how: str, message: str, tmp_path: Path) -> None:
    write_tu(tmp_path, toy(optional=("node_labels",)))
    with pytest.raises(ValueError, match=message):
        load(tmp_path, node_features=how)


def test_only_a_tudataset_has_a_choice_of_features(tmp_path: Path) -> None:
    for data in ("digits", tmp_path / "x.npz", [nx.path_graph(3)]):
        with pytest.raises(ValueError, match=r"only a TUDataset has a choice of features"):
            load(data, node_features="ones")
    with pytest.raises(ValueError, match="comes with its labels"):
        load("digits", y=[1])


def change(kind: str, edit: Callable[[str], str]) -> Callable[[Path], Any]:
    def apply(folder: Path) -> None:
        path = folder / f"TOY_{kind}.txt"
        path.write_text(edit(path.read_text()))

    return apply


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (change("A", lambda text: text[: len(text) // 2]), r"TOY_edge_labels.txt has 197 lines, \d+ are needed"),
        (change("A", lambda text: text[: text[:-4].rindex("\n") + 3]), "TOY_A.txt"),
        (change("A", lambda text: "1, 40\n" + text[text.index("\n") + 1 :]), r"the edge 1, 40 \(line 1\) joins two graphs"),
        (change("A", lambda text: "1, 4000\n" + text[text.index("\n") + 1 :]), "an edge must join two of the nodes 1 to 5"),
        (change("A", lambda text: "0, 1\n" + text[text.index("\n") + 1 :]), "an edge must join two of the nodes 1 to 5"),
        (change("A", lambda text: ""), "TOY_A.txt"),
        (change("A", lambda text: "1, a\n" + text), "TOY_A.txt"),
        (change("graph_indicator", lambda text: "9999\n" + text), "graphs 1 to 9999, and 12 graphs have a label"),
        (change("graph_labels", lambda text: text[: text[:-1].rindex("\n") + 1]), "graphs 1 to 12, and 11 graphs have a label"),
        (change("node_labels", lambda text: text[text.index("\n") + 1 :]), r"TOY_node_labels.txt has \d+ lines, \d+ are needed"),
        (change("node_labels", lambda text: "0.5, 1\n" + text[text.index("\n") + 1 :]), "TOY_node_labels.txt must hold whole numbers"),
        (
            change("node_attributes", lambda text: "nan, 1, 2\n" + text[text.index("\n") + 1 :]),
            "TOY_node_attributes.txt: a value is missing",
        ),
    ],
)
def test_damaged_files_are_refused(damage: Callable[[Path], Any], message: str, tmp_path: Path) -> None:
    write_tu(tmp_path, toy())
    damage(tmp_path)
    with pytest.raises(ValueError, match=f"(?s)'toy'.*{message}"):
        load(tmp_path)


def test_a_file_that_is_missing_from_the_three(tmp_path: Path) -> None:
    write_tu(tmp_path, toy())
    (tmp_path / "TOY_graph_labels.txt").unlink()
    with pytest.raises(ValueError, match=r"holds TOY_A\.txt, but not TOY_graph_labels\.txt"):
        load(tmp_path)


def test_what_is_cached_is_what_was_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRAPHSSL_CACHE", str(tmp_path / "cache"))
    folder = write_tu(tmp_path / "toy", toy())
    first = {how: load(folder, node_features=how) for how in tudataset.NODE_FEATURES}
    monkeypatch.setitem(files.READERS, "tudataset", None)  # a second reading would fail
    for how, data in first.items():
        again = load(folder, node_features=how)
        assert again.fingerprint == data.fingerprint
        assert torch.equal(again.graph.graph_id, data.graph.graph_id)
    assert len(list((tmp_path / "cache" / "processed").iterdir())) == 1


def test_a_download_is_one_zip(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRAPHSSL_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("GRAPHSSL_DATA", raising=False)
    folder = write_tu(tmp_path / "files", toy(optional=("node_labels", "edge_labels")), "MUTAG")
    fetched = []

    def fetch(url: str) -> bytes:
        fetched.append(url)
        with zipfile.ZipFile(buffer := io.BytesIO(), "w") as archive:
            for file in folder.iterdir():
                archive.write(file, f"MUTAG/{file.name}")
        return buffer.getvalue()

    monkeypatch.setattr(files, "_fetch", fetch)
    data = load("MUTAG")
    assert fetched == ["https://www.chrsmrrs.com/graphkerneldatasets/MUTAG.zip"]
    assert data.fingerprint == load(folder).fingerprint


# ---------------------------------------------------------------------- a user's own graphs


def rings(num: int = 12) -> list[nx.Graph]:
    """Rings with a number and a word on nodes, a weight, a number and a word on edges; nodes have names of all kinds."""
    graphs = []
    for i in range(num):
        g = nx.cycle_graph(3 + i % 4)
        nx.set_node_attributes(g, {v: {"mass": v + i / 2, "atom": "CNO"[(v + i) % 3]} for v in g})
        nx.set_edge_attributes(g, {e: {"weight": 1.0 + sum(e), "order": e[0] % 2, "bond": "ab"[e[1] % 2]} for e in g.edges})
        graphs.append(nx.relabel_nodes(g, {0: "first", 1: (1, "x")}))
    return graphs


def pyg_graphs(num: int = 12) -> list[Data]:
    rng = torch.Generator().manual_seed(0)
    made = []
    for i in range(num):
        n = 3 + i % 4
        edges = torch.randint(n, (2, 5), generator=rng)
        made.append(
            Data(x=torch.rand(n, 4, generator=rng), edge_index=edges, edge_attr=torch.rand(5, 2, generator=rng), y=torch.tensor([i % 2]))
        )
    return made


def in_memory(graphs: list[Data]) -> InMemoryDataset:
    dataset = InMemoryDataset()
    dataset.data, dataset.slices = InMemoryDataset.collate(graphs)
    return dataset


def test_networkx_attributes_become_features() -> None:
    graphs = rings()
    data = load(graphs, y=[i % 2 for i in range(12)])
    assert (data.level, data.num_graphs, data.num_features, len(data.splits)) == ("graph", 12, 4, 10)
    for i, given in enumerate(graphs):
        g = data.graph.keep_graphs(torch.tensor([i]))
        nodes = list(given)
        expected = [[*("CNO"[j] == given.nodes[v]["atom"] for j in range(3)), given.nodes[v]["mass"]] for v in nodes]
        assert g.dense_x().tolist() == expected
        assert g.num_edges == 2 * given.number_of_edges()
        for (s, t), weight, attr in zip(g.edge_index.t().tolist(), g.edge_weight.tolist(), g.edge_attr.tolist(), strict=True):
            edge = given.edges[nodes[s], nodes[t]]
            assert (weight, attr) == (edge["weight"], [edge["bond"] == "a", edge["bond"] == "b", edge["order"]])


def test_networkx_directed_multiple_and_bare() -> None:
    directed = nx.DiGraph([(0, 1), (1, 2), (2, 2)])
    parallel = nx.MultiGraph([(0, 1), (0, 1), (1, 1)])
    data = load([directed, parallel, nx.empty_graph(2)])
    assert data.graph.edge_index.t().tolist() == [[0, 1], [1, 2], [2, 2], [4, 3], [4, 3], [3, 4], [3, 4], [4, 4]]
    degree = torch.bincount(data.graph.edge_index[1], minlength=7)
    assert torch.equal(data.graph.dense_x(), torch.nn.functional.one_hot(degree).float())
    assert (data.num_classes, data.splits) == (0, ())


def test_networkx_vectors_and_own_labels() -> None:
    graphs = [nx.path_graph(2 + i) for i in range(3)]
    for i, g in enumerate(graphs):
        nx.set_node_attributes(g, {v: [v, i, True] for v in g}, "x")
        g.graph["label"] = ["low", "high", "low"][i]
    data = load(graphs)
    assert data.graph.dense_x()[2:5].tolist() == [[0, 1, 1], [1, 1, 1], [2, 1, 1]]
    assert data.y.tolist() == [1, 0, 1]


def test_every_way_to_give_pyg_graphs_is_the_same() -> None:
    graphs = pyg_graphs()
    data = load(graphs)
    assert (data.level, data.task, data.num_graphs, data.y.tolist()) == ("graph", "classification", 12, [0, 1] * 6)
    others = [
        load(tuple(graphs)),
        load(iter(graphs)),
        load(in_memory(graphs)),
        load(torch.utils.data.Subset(in_memory(graphs), range(12))),
        load(Batch.from_data_list(graphs)),
        load(data.graph, y=data.y),
        load([Graph.of(g) for g in graphs], y=np.arange(12) % 2),
    ]
    assert {other.fingerprint for other in others} == {data.fingerprint}
    for i, given in enumerate(graphs):
        alone, theirs = data.graph.keep_graphs(torch.tensor([i])), Graph.of(given)
        assert torch.equal(alone.x, theirs.x)
        assert torch.equal(alone.edge_index, theirs.edge_index)
        assert torch.equal(alone.edge_attr, theirs.edge_attr)


def test_networkx_and_pyg_agree() -> None:
    graphs = [nx.gnp_random_graph(6, 0.5, seed=i) for i in range(5)]
    assert load(graphs).fingerprint == load([from_networkx(g) for g in graphs]).fingerprint


def test_one_graph_is_node_level_alone_and_graph_level_in_a_list() -> None:
    graph = Data(x=torch.rand(20, 3), edge_index=torch.tensor([[0, 1], [1, 2]]), y=torch.arange(20) % 2)
    assert (load(graph).level, load(graph).num_rows) == ("node", 20)
    assert load(in_memory([graph])).level == "node"
    assert load(graph, y=torch.arange(20) % 3).num_classes == 3
    assert (load([graph], y=[0]).level, load([graph], y=[0]).num_rows) == ("graph", 1)
    one = load([rings(1)[0]])
    assert (one.level, one.num_rows, one.graph.num_graphs) == ("graph", 1, 1)
    by_node = Batch.from_data_list([graph, graph])
    assert (load(by_node).level, load(by_node).num_rows) == ("node", 40)


def test_many_sparse_features_stay_sparse() -> None:
    graphs = [Data(x=torch.eye(300)[:60], edge_index=torch.tensor([[0], [1]])) for _ in range(10)]
    assert isinstance(load(graphs).graph.x, CSR)


@pytest.mark.parametrize(
    ("graphs", "y", "message"),
    [
        ([], None, "must hold at least one"),
        ([nx.path_graph(3), "a graph"], None, "item 1 is no graph but a str"),
        ([torch.eye(3), torch.eye(3)], None, r"item 0 is no graph but a Tensor.*a pair \(x, edge_index\) is a tuple"),
        ([nx.path_graph(3), pyg_graphs(1)[0]], None, "item 0 is a Graph, item 1 a Data"),
        ([nx.path_graph(3), nx.empty_graph(0)], None, "graph 1 has no nodes"),
        ([*rings(2), nx.path_graph(2)], None, "node 0 of graph 2 has the attributes none, but those of graph 0 have atom, mass"),
        ([nx.path_graph(2), nx.Graph([(0, 1, {"weight": 2})])], None, r"edge \(0, 1\) of graph 1 has the attributes weight"),
        ([nx.Graph([(0, 1, {"a": 1}), (1, 2, {"a": "x"})])], None, "attribute 'a' of edges must hold words, finite numbers"),
        ([nx.Graph([(0, 1, {"a": None})])], None, "attribute 'a' of edges must hold"),
        ([nx.Graph([(0, 1, {"a": [1]}), (1, 2, {"a": [1, 2]})])], None, "attribute 'a' of edges must hold"),
        ([nx.Graph([(0, 1, {"weight": [1, 2]})])], None, "'weight' of edges must be one number"),
        ([Data(x=torch.rand(3, 2), edge_index=torch.tensor([[0], [5]]))], None, "graph 0: .*outside the graph"),
        ([*pyg_graphs(2), Data(x=torch.rand(3, 4), edge_index=torch.tensor([[0], [1]]))], None, "graph 2 has 4 features, none edge attr"),
        ([*pyg_graphs(1), Data(x=torch.rand(3, 5), edge_index=torch.zeros(2, 0).long())], None, "graph 1 has 5 features"),
        ([*pyg_graphs(1), Data(edge_index=torch.tensor([[0], [1]]))], None, "graph 1: .*x is missing"),
        ([Data(edge_index=torch.tensor([[0], [1]]), num_nodes=2), pyg_graphs(1)[0]], None, "graph 1 has features x, graph 0 has none"),
        ([Batch.from_data_list(pyg_graphs(3))], None, "graph 0 is a batch of 3 graphs"),
        (rings(3), [0, 1], r"one row for each of the 3 graphs, got shape \(2,\)"),
        (rings(3), [0, "a", 1], "y holds words and numbers: row 0 is 0"),
        (rings(3), [-1, 1, 1], "number the two classes 0 and 1"),
        (rings(3), [-2, 1, 1], "class -2"),
        (rings(3), [0.5, float("inf"), 1], "infinite value in row 1"),
        (rings(3), [[1, 2], [1], [1, 2]], r"rows of one length, got \[1, 2\]"),
        (rings(3), "abc", "a label for each graph"),
        (rings(3), 3, "a label for each graph"),
    ],
)
def test_bad_lists_are_refused(graphs: list[Any], y: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        load(graphs, y=y)


def test_names_are_no_categories() -> None:
    g = nx.empty_graph(1001)
    nx.set_node_attributes(g, {v: f"node {v}" for v in g}, "name")
    with pytest.raises(ValueError, match=r"'name' of nodes has 1,001 different values: it looks like a name"):
        load([g])


@pytest.mark.parametrize(
    ("y", "kind", "expected"),
    [
        ([2, 0, None], "classes", [2, 0, -1]),
        (torch.tensor([1.0, float("nan"), 0.0]), "classes", [1, -1, 0]),
        (torch.tensor([[1], [0], [1]]), "classes", [1, 0, 1]),
        (["b", None, "a"], "classes", [1, -1, 0]),
        (["b", float("nan"), "a"], "classes", [1, -1, 0]),
        ([torch.tensor(1), torch.tensor(0), torch.tensor(1)], "classes", [1, 0, 1]),
        ([0.5, None, -1], "targets", [[0.5], [None], [-1]]),
        ([[0, 1], None, [None, 0]], "labels", [[0, 1], [None, None], [None, 0]]),
        ([[0, 2], [1, 0], [1, 1]], "targets", [[0, 2], [1, 0], [1, 1]]),
    ],
)
def test_kinds_of_labels(y: Any, kind: str, expected: list[Any]) -> None:
    rows, found = as_rows(y, 3)
    assert found == kind
    blank = [[np.nan if v is None else v for v in (row if isinstance(row, list) else [row])] for row in expected]
    assert np.array_equal(rows.double().reshape(3, -1).numpy(), np.array(blank, dtype=float), equal_nan=True)


def test_task_and_metric_of_a_list() -> None:
    graphs = rings()
    for y, metric in ((list(range(12)), "accuracy"), (torch.arange(12), None), (list(range(4)) * 3, None), ([0, 1] * 6, None)):
        classes = from_graphs(graphs, y, metric=metric)
        assert (classes.task, classes.metric, classes.y.dim()) == ("classification", "accuracy", 1)
    for y, metric in ((list(range(12)), None), (torch.arange(12).float(), None), (torch.arange(12), "mae"), ([0, 1] * 6, "rmse")):
        targets = from_graphs(graphs, y, metric=metric)
        assert (targets.task, targets.metric, targets.y.shape) == ("regression", metric or "rmse", (12, 1))
    several = from_graphs(graphs, torch.arange(24).view(12, 2) % 2, targets=["a", "b"])
    assert (several.task, several.metric, several.targets) == ("multilabel", "roc_auc", ("a", "b"))
    fractions = from_graphs(graphs, np.linspace(-1, 1, 12))
    assert (fractions.task, fractions.metric, len(fractions.splits)) == ("regression", "rmse", 10)


# ---------------------------------------------------------------------- folders


WRITERS: dict[str, Callable[[nx.Graph, Path], None]] = {"graphml": nx.write_graphml, "gml": nx.write_gml, "gexf": nx.write_gexf}


def plain_rings(num: int = 12) -> list[nx.Graph]:
    """Rings whose nodes are numbered, which all formats can hold."""
    return [nx.convert_node_labels_to_integers(g) for g in rings(num)]


@pytest.mark.parametrize("suffix", WRITERS)
def test_a_folder_is_the_list_of_its_graphs(suffix: str, tmp_path: Path) -> None:
    graphs = plain_rings()
    for i, g in enumerate(graphs):
        WRITERS[suffix](g, tmp_path / f"g{i:02}.{suffix}")
    lines = [f"g{i:02}{f'.{suffix}' if i % 2 else ''},{'ring' if i % 3 else 'other'}" for i in range(11)]
    (tmp_path / "labels.csv").write_text("\n".join(["name,y", *reversed(lines), ""]))
    data = load(tmp_path)
    expected = from_graphs(graphs, ["ring" if i % 3 else "other" for i in range(11)] + [None])
    assert data.fingerprint == expected.fingerprint
    assert data.y[11] == -1
    assert data.ids == tuple(f"g{i:02}.{suffix}" for i in range(12))
    assert data.name == tmp_path.name


def test_columns_of_labels_and_labels_in_the_files(tmp_path: Path) -> None:
    for i, g in enumerate(plain_rings(3)):
        g.graph["label"] = i % 2
        nx.write_gml(g, tmp_path / f"{i}.gml")
    assert load(tmp_path).y.tolist() == [0, 1, 0]
    (tmp_path / "labels.csv").write_text("file,a,b\n0,1.5,2\n2.gml,,3\n")
    data = from_folder(tmp_path)
    assert (data.task, data.targets) == ("regression", ("a", "b"))
    assert np.array_equal(data.y.numpy(), [[1.5, 2], [np.nan, np.nan], [np.nan, 3]], equal_nan=True)


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("labels.csv", "a,b\n", r"must begin with a line of names: file or name.*\['a', 'b'\]"),
        ("labels.csv", "", "must begin with"),
        ("labels.csv", "file,y\nz,1\n", r"line 2 \(z, 1\) names no file here"),
        ("labels.csv", "file,y\n0,1\n0.gml,2\n", "line 3 .* names a file again"),
        ("labels.csv", "file,y\n0,1,2\n", "line 2 .* has not 2 cells"),
        ("1.gml", "graph [", r"1\.gml cannot be read"),
        ("1.graphml", "<graphml", r"1\.graphml cannot be read"),
    ],
)
def test_bad_folders_are_refused(file: str, content: str, message: str, tmp_path: Path) -> None:
    nx.write_gml(nx.path_graph(3), tmp_path / "0.gml")
    (tmp_path / file).write_text(content)
    with pytest.raises(ValueError, match=message):
        load(tmp_path)


def test_a_folder_without_graphs(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"is a folder that holds no graphs: \.graphml, \.gml, \.gexf"):
        load(tmp_path)


@pytest.mark.parametrize("missing", ["NA", "nan", "", " None ", "N/A", "null"])
def test_cells_without_a_value_are_no_class(missing: str, tmp_path: Path) -> None:
    for i, g in enumerate(plain_rings(3)):
        nx.write_gml(g, tmp_path / f"{i}.gml")

    def read(*cells: str) -> Dataset:
        (tmp_path / "labels.csv").write_text("\n".join(["file,y", *(f"{i},{cell}" for i, cell in enumerate(cells))]))
        return from_folder(tmp_path)

    numbers = read("1", missing, "0")
    assert (numbers.task, numbers.num_classes, numbers.y.tolist(), numbers.classes) == ("classification", 2, [1, -1, 0], None)
    fractions = read("0.5", missing, "1.5")
    assert fractions.task == "regression"
    assert np.array_equal(fractions.y.numpy(), [[0.5], [np.nan], [1.5]], equal_nan=True)
    words = read("ring", missing, "chain")
    assert (words.y.tolist(), words.classes) == ([1, -1, 0], ("chain", "ring"))
    assert read("True", missing, "false").y.tolist() == [1, -1, 0]


@pytest.mark.parametrize(
    ("different", "rows", "kind"),
    [(4, 4, "classes"), (5, 24, "targets"), (5, 25, "classes"), (20, 100, "classes"), (21, 210, "targets")],
)
def test_few_whole_numbers_are_classes_in_folders_and_tables_alike(different: int, rows: int, kind: str) -> None:
    numbers = [i % different for i in range(rows)]
    cells = [str(number) for number in numbers]
    assert as_rows(parsed(cells), rows)[1] == as_rows(np.array(numbers, dtype=float), rows)[1] == kind
    task, y, _ = tables._labels([Column("y", list(cells), np.array(numbers, dtype=float))], None, rows)
    assert (task == "classification") == (kind == "classes")
    assert as_rows(np.array(numbers), rows)[1] == "classes", "integers by their type"
    if kind == "classes":
        assert torch.equal(y, as_rows(numbers, rows)[0])


def test_words_are_classes_however_many_and_keep_their_names() -> None:
    graphs = rings()
    data = from_graphs(graphs, [f"word {i:02}" for i in range(12)])
    assert data.classes == tuple(f"word {i:02}" for i in range(12))
    assert from_graphs(graphs, np.array(["b", "a"] * 6)).classes == ("a", "b")
    assert data.preprocess("none").with_splits().classes == data.classes
    with pytest.raises(ValueError, match="classes must name each class: classification of 12, got 2 names"):
        replace(data, classes=("a", "b"))


# ---------------------------------------------------------------------- the synthetic set


def test_motifs_are_of_equal_degrees_and_differ_in_triangles() -> None:
    data = motifs(300, noise=0.0)
    g = data.graph
    assert data.summary().startswith("motifs: 300 graphs, ")
    assert data.y.bincount().tolist() == [100] * 3
    assert g.is_undirected
    sizes = g.node_ptr.diff()
    assert (int(sizes.min()), int(sizes.max())) == (12, 36)
    triangles = torch.zeros(300)
    for i in range(300):
        part = g.keep_graphs(torch.tensor([i]))
        a = torch.zeros(part.num_nodes, part.num_nodes)
        a[part.edge_index[0], part.edge_index[1]] += 1
        assert a.max() == 1
        assert a.diagonal().sum() == 0
        triangles[i] = (a @ a @ a).diagonal().sum() / 6
    means = [float(triangles[data.y == c].mean()) for c in range(3)]
    assert means[0] > 6 > 4 > means[2] > 2 > means[1]
    degree = torch.bincount(g.edge_index[1]).double()
    spread = [degree[data.y[g.graph_ids] == c] for c in range(3)]
    for c in (1, 2):
        error = (spread[0].var() / len(spread[0]) + spread[c].var() / len(spread[c])).sqrt()
        assert abs(spread[0].mean() - spread[c].mean()) < 4 * error


def test_motifs_follow_their_seed() -> None:
    assert load("motifs").fingerprint == load("motifs").fingerprint
    assert motifs(60, seed=1).fingerprint != motifs(60).fingerprint
    with pytest.raises(ValueError, match="num_graphs >= 30"):
        motifs(10)
