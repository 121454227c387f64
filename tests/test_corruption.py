"""Corruption prediction: what is done to a graph, and that it can be told."""

from __future__ import annotations

import graphs
import pytest
import torch
from checks import close
from torch import Tensor

from graphssl import GCN, CorruptionPrediction, Graph, Identity, ShuffleFeatures, fit, seeded, side_by_side
from graphssl.datasets import contextual_sbm
from graphssl.objectives.corruption import NoisyFeatures, RewireEdges
from graphssl.supervised.options import Joining, joint_recipe
from graphssl.supervised.semi import joint


def degrees(g: Graph) -> tuple[Tensor, Tensor]:
    return torch.bincount(g.edge_index[0], minlength=g.num_nodes), torch.bincount(g.edge_index[1], minlength=g.num_nodes)


@pytest.mark.parametrize("kind", graphs.GRAPHS)
def test_rewiring_keeps_degrees_and_loops(kind: str) -> None:
    g = graphs.GRAPHS[kind]() if callable(graphs.GRAPHS[kind]) else graphs.GRAPHS[kind]
    before = g.edge_index.clone()
    view = RewireEdges()(g)
    assert torch.equal(g.edge_index, before)
    if not g.is_undirected:
        for one, other in zip(degrees(g), degrees(view), strict=True):
            assert torch.equal(one, other)
    else:
        assert view.is_undirected
        assert torch.equal(sum(degrees(g)), sum(degrees(view)))  # type: ignore[arg-type]
    assert view.num_edges == g.num_edges
    assert view.x is g.x
    assert (view.edge_weight is None) == (g.edge_weight is None)
    if g.edge_weight is not None:
        close(view.edge_weight.sort().values, g.edge_weight.sort().values)


def test_rewiring_stays_within_each_graph() -> None:
    parts = [contextual_sbm(20, 2, 3, degree=4, seed=k).graph for k in range(3)]
    g = RewireEdges()(side_by_side(parts))
    ids = g.graph_ids
    assert torch.equal(ids[g.edge_index[0]], ids[g.edge_index[1]])
    assert not torch.equal(g.edge_index, side_by_side(parts).edge_index)


def test_noise_keeps_zeros_and_its_deviation() -> None:
    x = torch.eye(200)
    g = Graph.of((x, torch.tensor([[0, 1], [1, 2]])))
    y = NoisyFeatures(0.5)(g).dense_x()
    assert torch.equal(y == 0, x == 0)
    assert float(y.diagonal().std()) == pytest.approx(0.5, abs=0.12)
    with pytest.raises(ValueError, match="sigma must be positive, got 0"):
        NoisyFeatures(0)


def test_what_cannot_be_told_costs_log_k() -> None:
    g = contextual_sbm(60, 3, 8, degree=6, seed=0).graph
    with seeded(0):
        net = CorruptionPrediction(GCN(8, [8], norm="none"), hidden=8, views=(Identity(),) * 3)
    history = fit(net, g, epochs=150, lr=0.01)
    assert history.loss[-1] == pytest.approx(torch.tensor(3.0).log().item(), abs=0.01)


def test_shuffled_features_can_be_told() -> None:
    g = contextual_sbm(200, 3, 16, degree=10, seed=0).graph
    with seeded(0):
        net = CorruptionPrediction(GCN(16, [32, 16], norm="none"), hidden=16, views=(Identity(), ShuffleFeatures()))
    history = fit(net, g, epochs=100, lr=0.01)
    assert history.loss[-1] < 0.5


def test_it_refuses() -> None:
    net = GCN(4, [4])
    with pytest.raises(ValueError, match="views must be at least two, to be told apart, got 1"):
        CorruptionPrediction(net, views=(Identity(),))


def test_it_stands_beside_labels() -> None:
    data = contextual_sbm(60, 3, 8, degree=6, seed=0)
    recipe = joint_recipe("corruption", "karate").model_copy(update={"channels": (8, 8), "hidden": 8, "epochs": 3})
    done = joint("corruption", data, data.split, recipe, Joining(labels=0.5, vat=0.1, entropy=0.1))
    assert torch.tensor(done.loss).isfinite().all()
