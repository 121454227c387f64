"""A user's own graph through one door: the same graph in every form is the same, names come back out, mistakes are told once."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import networkx as nx
import numpy as np
import pytest
import scipy.sparse as sp
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch_geometric.data import Data, HeteroData

import graphssl as gs
from graphssl.cli import main
from graphssl.datasets.structure import STRUCTURES, structure

pd = pytest.importorskip("pandas")

PEOPLE = "id,age,city,club,name,since\n007,30,Rome,chess,Ann,\nb,40,,go,Bob,1\nc,,Oslo,,Cid,0\nd,50,Rome,chess,Dee,1\n"
FRIENDS = "source,target,weight\n007,b,2\nb,c,1\nc,007,3\n"


def dense(data: gs.Dataset) -> np.ndarray:
    """Weights by source and target."""
    g = data.graph
    weight = torch.ones(g.num_edges) if g.edge_weight is None else g.edge_weight
    return sp.coo_matrix((weight.numpy(), g.edge_index.numpy()), shape=(g.num_nodes, g.num_nodes)).toarray()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    place = tmp_path / "people"
    place.mkdir()
    (place / "nodes.csv").write_text(PEOPLE)
    (place / "edges.csv").write_text(FRIENDS)
    return place


# ---------------------------------------------------------------------- names


def test_nodes_of_any_name() -> None:
    graph = nx.Graph([("a", 1), (1, (2, "x")), ((2, "x"), frozenset("b"))])
    data = gs.as_dataset(graph)
    assert data.ids == tuple(graph)
    assert data.num_edges == 6
    assert data.graph.is_undirected
    assert np.array_equal(dense(data), nx.to_numpy_array(graph))


@settings(max_examples=20, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from("abcde"), st.sampled_from("abcde"), st.integers(1, 3)), min_size=1, max_size=12),
    st.booleans(),
)
def test_an_edge_list_is_what_networkx_makes_of_it(edges: list[tuple[str, str, int]], directed: bool) -> None:
    once = {(a, b) if directed else tuple(sorted((a, b))): w for a, b, w in edges}
    graph: Any = (nx.DiGraph if directed else nx.Graph)()
    graph.add_weighted_edges_from([(a, b, w) for (a, b), w in once.items()])
    frame = pd.DataFrame([(a, b, w) for (a, b), w in once.items()], columns=["from", "to", "weight"])
    ours, theirs = gs.as_dataset(frame, directed=directed), gs.as_dataset(graph)
    assert set(ours.ids or ()) == set(theirs.ids or ())
    place = [list(ours.ids or ()).index(name) for name in theirs.ids or ()]
    assert np.array_equal(dense(ours)[np.ix_(place, place)], dense(theirs))
    matrix = nx.to_scipy_sparse_array(graph)
    assert np.array_equal(dense(gs.as_dataset(matrix)), dense(theirs))


def test_lists_of_both_directions_and_lines_again() -> None:
    both = pd.DataFrame({"u": [1, 2, 2, 3], "v": [2, 1, 3, 2]})
    assert np.array_equal(dense(gs.as_dataset(both)), dense(gs.as_dataset(both[::2])))
    again = pd.DataFrame({"u": [1, 1], "v": [2, 2], "weight": [1.0, 2.0]})
    assert dense(gs.as_dataset(again)).tolist() == [[0, 3], [3, 0]]
    assert dense(gs.as_dataset(again.drop(columns="weight"))).tolist() == [[0, 1], [1, 0]]


# ---------------------------------------------------------------------- attributes


def test_columns_become_features_and_labels(folder: Path) -> None:
    data = gs.as_dataset(folder, targets="club")
    assert data.ids == ("007", "b", "c", "d")
    assert data.classes == ("chess", "go")
    assert data.y.tolist() == [0, 1, -1, 0]
    x = data.graph.dense_x()
    age, city, name, since = x[:, 0], x[:, 1:3], x[:, 3:7], x[:, 7]
    assert torch.allclose(age[[0, 1, 3]].mean(), torch.tensor(0.0))
    assert age[2] == 0
    assert city.tolist() == [[0, 1], [0, 0], [1, 0], [0, 1]]
    assert torch.equal(name, torch.eye(4))
    assert since.tolist() == [0, 1, 0, 1]
    assert dense(data)[0, 1] == dense(data)[1, 0] == 2
    only = gs.as_dataset(folder, targets="club", attributes=["since"], directed=True)
    assert only.num_features == 1
    assert only.num_edges == 3
    assert not only.graph.is_undirected
    more = gs.as_dataset(folder, attributes=["since"], structure="constant")
    assert more.graph.dense_x().tolist() == [[0, 1], [1, 1], [0, 1], [1, 1]]


def test_words_that_are_names_are_left_out() -> None:
    books = nx.les_miserables_graph()
    nx.set_node_attributes(books, {name: name.upper() for name in books}, "shout")
    nx.set_node_attributes(books, {name: len(name) % 3 for name in books}, "label")
    data = gs.as_dataset(books)
    assert "no features: structure degree" in data.source
    assert data.num_classes == 3
    assert len(data.splits) == 20
    assert gs.as_dataset(books, attributes=["shout"]).num_features == 77


@pytest.mark.parametrize("ending", ["parquet", "csv.gz", "tsv"])
def test_other_tables_give_the_same(folder: Path, tmp_path: Path, ending: str) -> None:
    other = tmp_path / "other"
    other.mkdir()
    for name, text in (("nodes", PEOPLE), ("edges", FRIENDS)):
        frame = pd.read_csv(folder / f"{name}.csv", dtype={"id": str, "source": str})
        file = other / f"{name}.{ending}"
        if ending == "parquet":
            frame.to_parquet(file)
        elif ending == "tsv":
            file.write_text(text.replace(",", "\t"))
        else:
            file.write_bytes(gzip.compress(text.encode()))
    ours, theirs = (gs.as_dataset(place, targets="club") for place in (folder, other))
    assert ours.fingerprint == theirs.fingerprint
    assert ours.ids == theirs.ids
    frames = [pd.read_csv(folder / f"{name}.csv", dtype={"id": str, "source": str}) for name in ("edges", "nodes")]
    for pair in (tuple(frames), tuple(reversed(frames)), {"edges": frames[0], "nodes": frames[1].set_index("id")}):
        assert gs.as_dataset(pair, targets="club").fingerprint == ours.fingerprint


@pytest.mark.parametrize("ending", ["graphml", "gexf", "gml"])
def test_files_of_one_graph(tmp_path: Path, ending: str) -> None:
    books = nx.les_miserables_graph()
    nx.set_node_attributes(books, {name: float(len(name)) for name in books}, "length")
    getattr(nx, f"write_{ending}")(books, tmp_path / f"books.{ending}")
    data = gs.load(str(tmp_path / f"books.{ending}"))
    assert data.ids == tuple(books)
    assert np.array_equal(dense(data), dense(gs.as_dataset(books)))
    assert data.num_features == 1
    assert abs(float(data.graph.dense_x().mean())) < 1e-6


def test_labels_by_name_and_parts(folder: Path) -> None:
    books = nx.les_miserables_graph()
    names = list(books)
    by_name = {names[3]: "good", names[1]: "bad"}
    data = gs.as_dataset(books, by_name)
    assert data.y[[1, 3]].tolist() == [0, 1]
    assert int((data.y == -1).sum()) == 75
    assert data.classes == ("bad", "good")
    assert torch.equal(gs.as_dataset(books, pd.Series(by_name)).y, data.y)
    x = pd.DataFrame({"a": range(77)}, index=names[::-1])
    assert gs.as_dataset(books, x=x).graph.dense_x()[0] == 76
    nodes = PEOPLE.splitlines()
    parts = ["part", "train", "test", "val", "train"]
    (folder / "nodes.csv").write_text("\n".join(f"{line},{part}" for line, part in zip(nodes, parts, strict=True)))
    split = gs.as_dataset(folder, targets="club", split="part").split
    assert (split.train.tolist(), split.val.tolist(), split.test.tolist()) == ([0, 3], [], [1])


# ---------------------------------------------------------------------- other libraries


def test_heterogeneous_graphs_by_relation() -> None:
    data = HeteroData()
    data["paper"].x, data["paper"].y, data["author"].x = torch.eye(4), torch.tensor([0, 1, 0, 1]), torch.ones(2, 1)
    data["paper", "cites", "paper"].edge_index = torch.tensor([[0, 1], [1, 2]])
    data["paper", "by", "author"].edge_index = torch.tensor([[0, 1, 2, 3], [0, 0, 1, 1]])
    data["author", "wrote", "paper"].edge_index = torch.tensor([[0, 0, 1, 1], [0, 1, 2, 3]])
    cited = gs.as_dataset(data)
    assert cited.num_edges == 2
    assert cited.y.tolist() == [0, 1, 0, 1]
    assert cited.num_features == 4
    assert gs.as_dataset(data, relation="paper__cites__paper", directed=False).num_edges == 4
    shared = gs.as_dataset(data, relation=["paper__by__author", ("author", "wrote", "paper")])
    assert shared.graph.edge_index.T.tolist() == [[1, 0], [0, 1], [3, 2], [2, 3]]
    for choices in ({"node_type": "author"}, {"node_type": "venue"}, {"relation": "paper__by__author"}, {"relation": "cites"}):
        with pytest.raises(ValueError, match=r"relation|node_type"):
            gs.as_dataset(data, **choices)


def test_dgl_by_its_looks() -> None:
    u, v = torch.tensor([0, 1]), torch.tensor([1, 2])
    ndata = {"feat": torch.eye(3), "label": torch.tensor([0, 1, -1]), "train_mask": torch.tensor([True, False, False])}
    graph = SimpleNamespace(edges=lambda: (u, v), ndata=ndata, edata={"w": torch.tensor([2.0, 3.0])}, num_nodes=lambda: 3)
    data = gs.as_dataset(graph)
    assert dense(data).tolist() == [[0, 2, 0], [0, 0, 3], [0, 0, 0]]
    assert data.num_features == 3
    assert data.split.train.tolist() == [0]
    assert data.split.test.tolist() == [1]


def test_matrices_and_what_was_there_before() -> None:
    matrix = sp.csr_matrix(nx.to_scipy_sparse_array(nx.karate_club_graph()))
    pair = gs.as_dataset((torch.eye(34), matrix))
    assert pair.num_features == 34
    assert pair.graph.edge_weight is not None
    assert pair.ids is None
    assert gs.as_dataset(matrix, x=np.eye(34)).fingerprint == pair.fingerprint
    pyg = Data(x=torch.eye(3), edge_index=torch.tensor([[0], [1]]), y=torch.tensor([0, 1, 1]))
    assert gs.as_dataset(pyg).fingerprint == gs.load(pyg).fingerprint
    assert gs.as_dataset([nx.path_graph(3)] * 2, [0, 1]).level == "graph"
    bare = gs.as_dataset(Data(edge_index=pyg.edge_index, y=pyg.y, num_nodes=3), structure="constant")
    assert bare.graph.x.tolist() == [[1], [1], [1]]
    assert bare.y.tolist() == pyg.y.tolist()
    with pytest.raises(ValueError, match="structure: not for a Data"):
        gs.as_dataset(pyg, structure="degree")


# ---------------------------------------------------------------------- nodes without features


@pytest.mark.parametrize("kind", STRUCTURES)
def test_structure_does_not_depend_on_the_order_of_nodes(kind: str) -> None:
    matrix = sp.csr_matrix(nx.to_scipy_sparse_array(nx.les_miserables_graph()))
    order = np.random.default_rng(0).permutation(77)
    x, turned = (structure(kind, m) for m in (matrix, matrix[order][:, order].tocsr()))
    x, turned = (z.to_dense() if hasattr(z, "to_dense") else z for z in (x, turned))
    assert torch.isfinite(x).all()
    if kind == "laplacian":  # signs, and bases of equal eigenvalues, are free: the first few are apart here
        x, turned = x[:, :4].abs(), turned[:, :4].abs()
    assert torch.allclose(x[order], turned, atol=1e-4)


def test_returns_of_walks_are_powers_of_the_walk() -> None:
    a = nx.to_numpy_array(nx.karate_club_graph(), weight=None)
    walk = a / a.sum(1, keepdims=True)
    found = structure("random-walk", sp.csr_matrix(a)).numpy()
    for k in range(16):
        assert np.allclose(found[:, k], np.diag(np.linalg.matrix_power(walk, k + 1)), atol=1e-6)


def test_positions_are_eigenvectors_however_many_nodes(monkeypatch: pytest.MonkeyPatch) -> None:
    a = nx.to_numpy_array(nx.karate_club_graph(), weight=None)
    found = structure("laplacian", sp.csr_matrix(a))
    root = np.diag(a.sum(1) ** -0.5)
    laplacian = np.eye(34) - root @ a @ root
    z = found.numpy().astype(np.float64)
    values = (z * (laplacian @ z)).sum(0) / (z * z).sum(0)
    assert np.allclose(values, np.linalg.eigvalsh(laplacian)[1:17], atol=1e-5)
    assert values[0] > 1e-3
    monkeypatch.setattr("graphssl.datasets.structure.DENSE_UP_TO", 10)
    assert torch.allclose(structure("laplacian", sp.csr_matrix(a))[:, :3].abs(), found[:, :3].abs(), atol=1e-2)


# ---------------------------------------------------------------------- mistakes


@pytest.mark.parametrize(
    ("edges", "nodes", "choices", "message"),
    [
        ("source,target\n007,z\n", PEOPLE, {}, "names 1 nodes that are not in the column 'id' of nodes.csv, first 'z'"),
        ("source,target\n007,\n", PEOPLE, {}, "'target' is empty in row 0"),
        ("source,target,weight\n007,b,-1\n", PEOPLE, {}, "weight of edges must be a number from 0 on"),
        ("source,target,weight\n007,b,big\n", PEOPLE, {}, "must be one number each"),
        (FRIENDS, PEOPLE + "b,1,,,,\n", {}, "'b' stands there twice"),
        (FRIENDS, PEOPLE, {"targets": "klub"}, "targets: nodes have no 'klub'"),
        (FRIENDS, PEOPLE, {"attributes": ["height"]}, "attributes: nodes have no 'height'"),
        (FRIENDS, PEOPLE, {"structure": "degrees"}, "did you mean 'degree'"),
        (FRIENDS, PEOPLE, {"ends": ["source", "to"]}, "no column 'to'"),
        (FRIENDS, PEOPLE, {"edge_weight": "w"}, "no column 'w'"),
        (FRIENDS, PEOPLE, {"targets": "age", "split": "city"}, "must hold train, valid or test"),
        (FRIENDS, PEOPLE.replace("50", "0.5"), {"targets": "age"}, "classes of nodes are words or whole numbers"),
    ],
)
def test_mistakes_are_told(folder: Path, edges: str, nodes: str, choices: Any, message: str) -> None:
    (folder / "edges.csv").write_text(edges)
    (folder / "nodes.csv").write_text(nodes)
    with pytest.raises(ValueError, match=message):
        gs.as_dataset(folder, **choices)


def test_tables_that_tell_nothing_are_not_guessed_at(tmp_path: Path) -> None:
    file = tmp_path / "table.csv"
    file.write_text("person,friend\na,b\n")
    with pytest.raises(ValueError, match=r"no two that are the ends of an edge.*'person', 'friend'"):
        gs.as_dataset(file)
    assert gs.as_dataset(file, ends=["person", "friend"]).ids == ("a", "b")
    file.rename(tmp_path / "edges.csv")
    assert gs.as_dataset(tmp_path).num_edges == 2
    (tmp_path / "links.tsv").write_text("a\tb\n1\t2\n")
    with pytest.raises(ValueError, match=r"edges.csv and links.tsv: keep one"):
        gs.as_dataset(tmp_path)


@pytest.mark.parametrize("y", [{"Gandalf": 1}, [0, 1], np.zeros(5)])
def test_labels_of_other_nodes_are_refused(y: Any) -> None:
    with pytest.raises(ValueError, match=r"no such node|77 nodes"):
        gs.as_dataset(nx.les_miserables_graph(), y)


# ---------------------------------------------------------------------- the command


def test_command_from_folder_to_names(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", "inspect", str(folder), "--targets", "club", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["labels"] == {"chess": 2, "go": 1, "unlabelled": 1}
    assert told["ids"].startswith("'007'")
    assert told["without neighbours"] == "1 nodes"
    run, out = tmp_path / "run", tmp_path / "z.parquet"
    train = ["train", "dgi", str(folder), "--epochs", "2", "--channels", "4", "--targets", "club", "--structure", "degree", "--quiet"]
    assert main([*train, "--out", str(run)]) == 0
    assert main(["embed", str(run), "--out", str(out), "--quiet"]) == 0
    frame = pd.read_parquet(out)
    assert frame["id"].tolist() == ["007", "b", "c", "d"]
    assert len(frame["embedding"][0]) == 4
    file = tmp_path / "numbers.csv"
    file.write_text("person,friend\n5,7\n7,-3\n")
    again = ["train", "dgi", str(file), "--ends", "person", "friend", "--epochs", "1", "--channels", "4", "--out", str(run), "--force"]
    assert main(again) == 0
    assert main(["embed", str(run), "--out", str(out), "--force"]) == 0
    assert pd.read_parquet(out)["id"].tolist() == [5, 7, -3]
    assert main(["train", "infograph", str(folder)]) == 2
    assert "infograph is for graph-level data" in capsys.readouterr().err


def test_neighbours_and_classes_by_name(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    books = nx.les_miserables_graph()
    nx.write_graphml(books, tmp_path / "books.graphml")
    run, labels, out = tmp_path / "run", tmp_path / "labels.csv", tmp_path / "classes.csv"
    assert main(["train", "dgi", str(tmp_path / "books.graphml"), "--epochs", "5", "--channels", "8", "--quiet", "--out", str(run)]) == 0
    capsys.readouterr()
    assert main(["neighbors", str(run), "Valjean", "Cosette", "--k", "3", "--json"]) == 0
    near = json.loads(capsys.readouterr().out)
    z = np.load(run / "seed-0" / "embeddings.npy")
    z /= np.linalg.norm(z, axis=1, keepdims=True)
    row = list(books).index("Valjean")
    order = [other for other in np.argsort(-(z @ z[row]), kind="stable") if other != row][:3]
    assert sorted(found["cosine"] for found in near["Valjean"]) == pytest.approx(sorted((z @ z[row])[order].tolist()), abs=1e-4)
    assert main(["neighbors", str(run), "Valjan"]) == 2
    assert "did you mean 'Valjean'" in capsys.readouterr().err
    labels.write_text(
        "person,side\nValjean,good\nCosette,good\nMyriel,good\nJavert,bad\nThenardier,bad\nMmeThenardier,\nMontparnasse,bad\n"
    )
    for how in ("probe", "spread"):
        assert main(["classify", str(run), str(labels), "--out", str(out), "--how", how, "--force"]) == 0
        frame = pd.read_csv(out).set_index("id")
        assert len(frame) == 77
        assert set(frame["class"]) == {"good", "bad"}
        assert frame["given"].notna().sum() == 6
        assert frame["probability"].between(0.5, 1).all()
    assert frame.loc["Babet", "class"] == "bad"  # by the edges alone, beside Montparnasse and Thenardier
    labels.write_text("person,side\nGandalf,good\n")
    assert main(["classify", str(run), str(labels), "--out", str(out), "--force"]) == 2
    assert "names 'Gandalf'" in capsys.readouterr().err
