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
    batches = GraphBatches(numbered(), size, shuffle=shuffle)
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


def test_one_graph_that_holds_many_gives_the_same_batches() -> None:
    parts = numbered()
    for one, other in zip(GraphBatches(parts, 3, shuffle=False), GraphBatches(side_by_side(parts), 3, shuffle=False), strict=True):
        assert torch.equal(one.dense_x(), other.dense_x())
        assert torch.equal(one.edge_index, other.edge_index)


@pytest.mark.parametrize(("count", "sizes"), [(7, [3, 3]), (2, [2]), (6, [3, 3])])
def test_a_short_last_batch_can_be_left_out(count: int, sizes: list[int]) -> None:
    batches = GraphBatches(numbered(count), 3, drop_last=True)
    assert [g.num_graphs for g in batches] == sizes
    assert len(batches) == len(sizes)


def test_labels_ride_along() -> None:
    parts = [replace(g, y=torch.tensor([k])) for k, g in enumerate(numbered())]
    for batch in GraphBatches(parts, 3):
        assert batch.y is not None
        assert batch.y.tolist() == numbers([batch])[0]


# ---------------------------------------------------------------------- taking graphs out of a batch

MIXED = [graphs.undirected(), graphs.with_loops(), graphs.no_edges(), graphs.one_node(), graphs.with_parallel_edges(), graphs.sparse()]


def mixed(*, sparse: bool = False, weights: bool = False, directed: bool = False) -> list[Graph]:
    """Awkward graphs that may stand side by side."""
    parts = [g.with_x(CSR.from_dense(g.dense_x()) if sparse else g.dense_x()) for g in MIXED]
    parts = [graphs.directed(), *parts] if directed else parts
    return [graphs.with_weights(g) for g in parts] if weights else parts


@pytest.mark.parametrize("order", [[0, 1, 2, 3, 4, 5], [5, 0, 3], [2], [4, 4, 1], []])
@pytest.mark.parametrize("options", [{}, {"sparse": True}, {"weights": True}, {"directed": True}], ids=str)
def test_graphs_taken_out_are_those_put_in(order: list[int], options: dict[str, bool]) -> None:
    parts = mixed(**options)
    whole = side_by_side(parts)
    if not order:
        with pytest.raises(ValueError, match="at least one"):
            whole.keep_graphs(torch.tensor([], dtype=torch.long))
        return
    taken = whole.keep_graphs(torch.tensor(order))
    expected = side_by_side([parts[k] for k in order])
    assert type(taken.x) is type(whole.x)
    assert torch.equal(taken.dense_x(), expected.dense_x())
    assert torch.equal(taken.edge_index, expected.edge_index)
    assert torch.equal(taken.graph_ids, expected.graph_ids)
    assert torch.equal(taken.dense_x(), whole.dense_x()[taken.node_ids])
    assert taken.num_graphs == len(order)
    assert torch.equal(taken.node_ptr, expected.node_ptr)
    for name in ("edge_weight", "edge_attr"):
        one, other = getattr(taken, name), getattr(expected, name)
        assert (one is None) == (other is None)
        assert one is None or torch.equal(one, other)
    if whole.reverse is not None:
        assert taken.reverse is not None
        assert torch.equal(taken.edge_index[:, taken.reverse], taken.edge_index.flip(0))
        assert torch.equal(taken.reverse, expected.reverse)
    close(taken.normalised().to_dense(), expected.normalised().to_dense(), 1e-6)
    close(taken.normalised().t().to_dense(), expected.normalised().t().to_dense(), 1e-6)


def test_graphs_taken_out_twice_are_taken_out_once() -> None:
    whole = side_by_side(mixed())
    first = whole.keep_graphs(torch.tensor([5, 3, 1, 0]))
    second, once = first.keep_graphs(torch.tensor([2, 0])), whole.keep_graphs(torch.tensor([1, 5]))
    assert torch.equal(second.node_ids, once.node_ids)
    assert torch.equal(second.edge_index, once.edge_index)
    assert torch.equal(second.reverse, once.reverse)


def test_seeds_stay_where_they_are() -> None:
    with pytest.raises(ValueError, match="num_seeds"):
        graphs.seeded().keep_graphs(torch.tensor([0]))
