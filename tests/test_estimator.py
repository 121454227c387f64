"""The scikit-learn face: the library's own checks, grids over nodes, graphs and rows, files, the classifier and how sure it is."""

from __future__ import annotations

import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import networkx as nx
import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import Pipeline
from sklearn.utils.estimator_checks import parametrize_with_checks
from torch_geometric.data import Data

import graphssl as gs
from graphssl.cli import main

TINY: dict[str, Any] = {"method": "dgi", "channels": (8,), "epochs": 2, "random_state": 0}
CHECKED: dict[str, Any] = {"method": "dgi", "channels": (16,), "epochs": 3, "n_neighbors": 5, "random_state": 0}
FAILS = {
    "check_do_not_raise_errors_in_init_or_set_params": "a name that is no field of any recipe is refused at once, as Python refuses it",
    "check_methods_subset_invariance": "a row is embedded with its neighbours among the rows that are given",
    "check_methods_sample_order_invariance": "holds to float32: sums over neighbours run in another order",
    "check_classifiers_classes": "-1 means unlabelled here, and the check has a class of that name",
}


def club() -> nx.Graph:
    """Karate, its sides as labels and not as features."""
    graph = nx.karate_club_graph()
    for _, attributes in graph.nodes(data=True):
        attributes["y"] = attributes.pop("club")
    return graph


def sides() -> np.ndarray:
    return np.array([side for _, side in club().nodes(data="y")])


@parametrize_with_checks(
    [gs.GraphSSL(**CHECKED), gs.GraphSSLClassifier(**CHECKED)],
    expected_failed_checks=lambda estimator: FAILS,
)
def test_checks_of_scikit_learn(estimator: Any, check: Any) -> None:
    check(estimator)


# ---------------------------------------------------------------------- parameters


def test_fields_of_the_recipe_are_parameters() -> None:
    model = gs.GraphSSL("bgrl", drop_edges=(0.3, 0.4), epochs=3)
    assert model.get_params()["drop_edges"] == (0.3, 0.4)
    copy = clone(model).set_params(momentum=0.5, lr=0.1)
    assert (copy.momentum, copy.lr, copy.drop_edges) == (0.5, 0.1, (0.3, 0.4))
    assert "momentum" not in model.get_params()
    assert "drop_edges=(0.3, 0.4)" in repr(model)
    with pytest.raises(TypeError, match="did you mean 'epochs'"):
        gs.GraphSSL("bgrl", epohcs=3)
    with pytest.raises(ValueError, match="did you mean 'epochs'"):
        model.set_params(epohcs=3)


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"method": "bgrll"}, "did you mean 'bgrl'"),
        ({"method": "dgi", "momentum": 0.5}, "unknown field of the recipe 'momentum'"),
        ({"method": "dgi", "epochs": 0}, "greater than or equal to 1"),
        ({"method": "infograph"}, "infograph is for graph-level data"),
    ],
)
def test_what_does_not_fit_is_told_by_fit(params: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        gs.GraphSSL(**params).fit(club())


def test_numbers_are_those_of_the_command(tmp_path: Path) -> None:
    command = ["train", "grace", "karate", "--epochs", "3", "--channels", "4", "--seed", "5", "--quiet", "--out", str(tmp_path / "run")]
    assert main(command) == 0
    model = gs.GraphSSL("grace", channels=(4,), epochs=3, random_state=5).fit(gs.load("karate"))
    run = gs.load_run(tmp_path / "run")
    assert np.array_equal(model.embedding_, np.load(tmp_path / "run" / "seed-5" / "embeddings.npy"))
    assert model.recipe_.model_dump(exclude={"source"}) == run.recipe.model_dump(exclude={"source"})
    again = gs.GraphSSL.load(tmp_path / "run")
    assert np.array_equal(again.transform(gs.load("karate")), model.embedding_)


# ---------------------------------------------------------------------- what X may be


def test_one_graph_in_any_form_gives_the_same() -> None:
    x = torch.eye(34)
    data = gs.as_dataset(club())
    index = data.graph.edge_index
    forms: list[Any] = [Data(x=x, edge_index=index), (x, index), gs.Graph.of((x, index)), gs.as_dataset((x, index))]
    found = [gs.GraphSSL(**TINY).fit_transform(form) for form in forms]
    for z in found[1:]:
        assert np.array_equal(z, found[0])
    other = gs.GraphSSL(**TINY).fit(forms[0])
    half = (x[:20], index[:, (index < 20).all(0)])
    assert other.transform(half).shape == (20, 8)
    with pytest.raises(ValueError, match="X has 20 features, but GraphSSL is expecting 34"):
        other.transform((x[:20, :20], half[1]))


def test_rows_are_nodes_by_name() -> None:
    books = nx.les_miserables_graph()
    model = gs.GraphSSL(**TINY, graph=books).fit(["Valjean", "Javert"])
    z = model.transform(["Javert", "Valjean"])
    assert z.shape == (2, 8)
    assert model.embedding_.shape == (77, 8)
    assert np.array_equal(z[1], model.embedding_[list(books).index("Valjean")])
    assert np.array_equal(model.transform(np.array([["Javert"]])), z[:1])
    with pytest.raises(ValueError, match="'Gandalf'"):
        model.transform(["Gandalf"])


@pytest.mark.parametrize("bad", [[[0, 1]], [-1], [34], [0.5], "graph"])
def test_rows_that_are_no_nodes_are_refused(bad: Any) -> None:
    pair = (torch.eye(34), gs.as_dataset(club()).graph.edge_index)
    model = gs.GraphSSL(**TINY, graph=pair)
    with pytest.raises(ValueError, match=r"X .*name"):
        model.fit(bad)


def test_grid_over_nodes() -> None:
    steps = [("embed", gs.GraphSSL("grace", channels=(16,), epochs=20, random_state=0, graph=club())), ("probe", LogisticRegression())]
    grid = GridSearchCV(Pipeline(steps), {"embed__drop_edges": [(0.1, 0.1), (0.6, 0.6)], "embed__method": ["grace", "bgrl"]}, cv=2)
    grid.fit(np.arange(34)[:, None], sides())
    assert grid.best_score_ > 0.5
    assert len(grid.cv_results_["params"]) == 4
    assert grid.predict([[0], [33]]).shape == (2,)


def test_grid_over_graphs() -> None:
    graphs = [nx.cycle_graph(n) if n % 2 else nx.star_graph(n) for n in range(4, 16)]
    y = [n % 2 for n in range(4, 16)]
    model = gs.GraphSSLClassifier("infograph", channels=(4,), epochs=2, random_state=0, node_features="auto")
    for graph in graphs:
        nx.set_node_attributes(graph, {node: [1.0, float(degree)] for node, degree in graph.degree}, "x")
    assert cross_val_score(model, graphs, y, cv=2, error_score="raise").mean() > 0.5
    z = gs.GraphSSL("infograph", channels=(4,), epochs=1, random_state=0).fit_transform(graphs)
    assert z.shape == (12, 4)


def test_names_of_columns_and_frames() -> None:
    pytest.importorskip("pandas")
    model = gs.GraphSSL(**TINY).set_output(transform="pandas")
    frame = model.fit_transform(club())
    assert list(frame.columns)[:2] == ["graphssl0", "graphssl1"]
    assert len(frame) == 34


# ---------------------------------------------------------------------- files


def test_pickle_and_run_folder(tmp_path: Path) -> None:
    for model in (gs.GraphSSL(**TINY, graph=club()).fit([0]), gs.GraphSSLClassifier(**TINY, graph=club()).fit(range(34), sides())):
        copy = pickle.loads(pickle.dumps(model))
        model.save(tmp_path / "run", force=True)
        read = type(model).load(tmp_path / "run")
        for other in (copy, read):
            assert np.array_equal(other.transform([3, 4]), model.transform([3, 4]))
            assert other.history_ == model.history_
            assert other.recipe_ == model.recipe_
        assert read.graph is None
        assert read.get_params()["channels"] == (8,)
    assert np.array_equal(read.predict_proba([5, 6]), model.predict_proba([5, 6]))
    assert read.certainty_ == model.certainty_
    assert read.predict([0]) == model.predict([0])
    assert gs.load_run(tmp_path / "run").method == "dgi"
    with pytest.raises(ValueError, match="exists already"):
        model.save(tmp_path / "run")
    gs.GraphSSL(**TINY).fit(club()).save(tmp_path / "other")
    with pytest.raises(ValueError, match="no classifier"):
        gs.GraphSSLClassifier.load(tmp_path / "other")


def test_importing_the_library_imports_nothing_heavy() -> None:
    code = "import sys, graphssl; graphssl.__dir__(); assert not {'torch', 'sklearn', 'networkx'} & set(sys.modules), 'heavy'"
    assert subprocess.run([sys.executable, "-c", code], check=False, cwd="/").returncode == 0


# ---------------------------------------------------------------------- classifier


@pytest.mark.parametrize("unknown", [None, "nan", -1])
def test_unlabelled_rows_do_not_count(unknown: Any) -> None:
    codes = (sides() == "Officer").astype(float)
    hidden: list[Any] = codes.tolist() if unknown == "nan" else codes.astype(int).tolist()
    for row in range(5, 30):
        hidden[row] = np.nan if unknown == "nan" else unknown
    model = gs.GraphSSLClassifier("dgi", channels=(16,), epochs=20, random_state=0).fit(club(), hidden)
    assert model.classes_.tolist() == [0, 1]
    assert model.certainty_["rows"] == 9
    only = gs.GraphSSLClassifier("dgi", channels=(16,), epochs=20, random_state=0, graph=club())
    only.fit([*range(5), *range(30, 34)], codes[[*range(5), *range(30, 34)]].astype(int))
    assert np.allclose(only.predict_proba(range(34)), model.predict_proba(club()))
    assert model.score(club(), hidden) == (model.predict(club())[[*range(5), *range(30, 34)]] == codes[[*range(5), *range(30, 34)]]).mean()


def test_labels_and_parts_that_a_graph_brings() -> None:
    data = gs.as_dataset(club())
    mask = torch.zeros(34, dtype=torch.bool)
    mask[[0, 1, 2, 31, 32, 33]] = True
    val = torch.zeros(34, dtype=torch.bool)
    val[[3, 4, 30, 29]] = True
    graph = Data(x=torch.eye(34), edge_index=data.graph.edge_index, y=data.y, train_mask=mask, val_mask=val)
    first = gs.GraphSSLClassifier(**TINY).fit(graph)
    graph.y = torch.where(mask | val, data.y, 1 - data.y)  # labels of test rows decide nothing
    second = gs.GraphSSLClassifier(**TINY).fit(graph)
    assert np.array_equal(first.predict_proba(graph), second.predict_proba(graph))
    assert first.certainty_["rows"] == 4
    assert "validation" in first.probe_.selected
    named = gs.GraphSSLClassifier(**TINY).fit(club())
    assert set(named.predict(club())) <= {"Mr. Hi", "Officer"}


def test_how_sure_it_is() -> None:
    rng = np.random.default_rng(0)
    y = np.arange(60) % 3
    easy, hard = np.eye(3)[y] * 6 + rng.normal(size=(60, 3)), rng.normal(size=(60, 3))
    made = [gs.GraphSSLClassifier(**CHECKED).fit(x, y) for x in (easy, hard)]
    assert made[0].certainty_["accuracy"] > 0.9 > 0.6 > made[1].certainty_["accuracy"]
    for model, x in zip(made, (easy, hard), strict=True):
        told = model.certainty_
        assert told["low"] < told["accuracy"] <= told["high"] + 1e-12
        assert told["rows"] == 60
        assert told["calibration_error"] < 0.25
        assert np.allclose(model.predict_proba(x).sum(1), 1)
    assert made[0].predict_proba(easy).max(1).mean() > 0.8 > 0.6 > made[1].predict_proba(hard).max(1).mean()
    few = gs.GraphSSLClassifier(**CHECKED).fit(easy, [0, 1, 2, *[-1] * 57])
    assert few.certainty_["accuracy"] is None
    assert few.temperature_ == 1


@pytest.mark.parametrize(
    ("y", "message"),
    [
        ([None] * 34, "no label"),
        ([1] * 34, "class"),
        ([-1, 1] * 17, "number the two classes"),
        ([0, 1], "34 rows"),
        ([0.5, 1.5] * 17, "continuous"),
    ],
)
def test_labels_that_will_not_do(y: list[Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        gs.GraphSSLClassifier(**TINY).fit(club(), y)
