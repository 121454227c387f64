"""Batches: graphs side by side, each exactly once an epoch."""

from __future__ import annotations

from dataclasses import fields, replace
from itertools import chain

import graphs
import pytest
import torch
from checks import close
from torch import Tensor

from graphssl.adjacency import CSR
from graphssl.batches import GraphBatches, side_by_side, stack_rows
from graphssl.graph import Graph
from graphssl.random import seeded

PARTS = [graphs.undirected(), graphs.with_loops(), graphs.no_edges(), graphs.one_node(), graphs.directed()]


def numbered(count: int = 7) -> list[Graph]:
    """Graphs that can be told apart by their features."""
    return [graphs.one_node().with_x(torch.full((1, graphs.F), float(k))) for k in range(count)]


def numbers(batches: list[Graph]) -> list[list[int]]:
    return [batch.dense_x()[:, 0].long().tolist() for batch in batches]


def test_side_by_side_and_back() -> None:
    parts = [*PARTS, graphs.batch()]
    g = side_by_side([replace(p, edge_weight=None, edge_attr=None) for p in parts])
    assert g.num_graphs == 5 + 5
    assert g.num_nodes == sum(p.num_nodes for p in parts)
    start = 0
    for k, part in enumerate(PARTS):
        rows = (g.graph_ids == k).nonzero().squeeze(1)
        assert rows.tolist() == list(range(start, start + part.num_nodes))
        alone = g.keep_nodes(rows)
        assert torch.equal(alone.edge_index, part.edge_index)
        assert torch.equal(alone.x, part.x)
        start += part.num_nodes
    assert (g.graph_ids[start:] - 5).tolist() == graphs.batch().graph_ids.tolist()


def test_no_edge_runs_between_graphs() -> None:
    g = side_by_side(PARTS)
    assert torch.equal(g.graph_ids[g.edge_index[0]], g.graph_ids[g.edge_index[1]])
    close(g.summed().to_dense(), torch.block_diag(*[p.summed().to_dense() for p in PARTS]), 0)
    assert (g.edge_index[1].diff() >= 0).all()


def test_weights_and_attributes_travel() -> None:
    parts = [graphs.with_weights(graphs.undirected(seed=k)) for k in range(3)]
    g = side_by_side(parts)
    for name in ("edge_weight", "edge_attr"):
        assert torch.equal(getattr(g, name), torch.cat([getattr(p, name) for p in parts]))


def test_sparse_features_stay_sparse() -> None:
    parts = [graphs.sparse(), graphs.sparse_batch(), graphs.sparse()]
    x = stack_rows([p.x for p in parts])
    assert isinstance(x, CSR)
    expected = torch.cat([p.dense_x() for p in parts])
    assert torch.equal(x.to_dense(), expected)
    close(x.t().to_dense(), expected.t(), 0)
    mixed = stack_rows([parts[0].x, parts[1].dense_x()])
    assert isinstance(mixed, Tensor)
    assert torch.equal(mixed, expected[: mixed.size(0)])


def test_one_graph_is_itself() -> None:
    g = graphs.undirected()
    assert side_by_side([g]) is g


def test_inputs_stay_as_they_are() -> None:
    g = graphs.with_attributes()
    before = {f.name: getattr(g, f.name).clone() for f in fields(g) if isinstance(getattr(g, f.name), Tensor)}
    side_by_side([g, g])
    assert all(torch.equal(getattr(g, name), value) for name, value in before.items())


@pytest.mark.parametrize(
    ("parts", "words"),
    [
        ([], ["graphs", "at least one"]),
        ([graphs.undirected(), graphs.undirected().with_x(torch.ones(12, 3))], ["features", r"\[3, 6\]"]),
        ([graphs.undirected(), graphs.weighted()], ["edge_weight", "1 of 2"]),
        ([graphs.undirected(), graphs.seeded()], ["num_seeds"]),
    ],
)
def test_graphs_that_do_not_fit_are_named(parts: list[Graph], words: list[str]) -> None:
    for word in words:
        with pytest.raises(ValueError, match=word):
            side_by_side(parts)


@pytest.mark.parametrize("shuffle", [True, False])
@pytest.mark.parametrize("size", [1, 2, 3, 7, 20])
def test_every_graph_once_an_epoch(size: int, shuffle: bool) -> None:
    batches = GraphBatches(numbered(), size, shuffle)
    for _ in range(3):
        seen = numbers(list(batches))
        assert sorted(chain(*seen)) == list(range(7))
        assert len(seen) == len(batches) == -(-7 // size)
        assert all(len(part) == min(size, 7) for part in seen[:-1])
    if not shuffle:
        assert list(chain(*seen)) == list(range(7))


def test_the_seed_decides_the_order() -> None:
    batches = GraphBatches(numbered(20), 3)

    def order(seed: int) -> list[list[list[int]]]:
        with seeded(seed):
            return [numbers(list(batches)) for _ in range(2)]

    first, second = order(0)
    assert order(0) == [first, second]
    assert first != second, "the same order in each epoch"
    assert order(1) != [first, second]


@pytest.mark.parametrize(
    ("graphs_", "size", "words"), [(numbered(), 0, ["batch_size", "at least 1", "0"]), ([], 2, ["graphs", "at least one"])]
)
def test_bad_arguments_are_named(graphs_: list[Graph], size: int, words: list[str]) -> None:
    for word in words:
        with pytest.raises(ValueError, match=word):
            GraphBatches(graphs_, size)
