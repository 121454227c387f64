"""Neighbour sampling: what is drawn is allowed, fair, complete and the same for a seed; making ahead keeps order and leaves no thread."""

from __future__ import annotations

import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import graphs
import numpy as np
import pytest
import torch
from checks import close
from scipy import stats
from torch import Tensor

from graphssl.adjacency import CSR, Pattern
from graphssl.batches.merging import turned
from graphssl.batches.neighbours import NeighbourBatches
from graphssl.batches.prefetch import ahead
from graphssl.batches.sampling import FEW, Side, Stamps, sample
from graphssl.encoders import GCN, GraphSAGE
from graphssl.graph import Graph

SINGLE = {name: make for name, make in graphs.GRAPHS.items() if name not in ("batch", "sparse_batch", "seeded")}


def large(n: int = 400, m: int = 3000, seed: int = 0) -> Graph:
    """A random undirected graph with hubs, weights and isolated nodes."""
    generator = torch.Generator().manual_seed(seed)
    ends = (torch.rand(2, m, generator=generator) ** 2 * (n - 5)).long()
    ends = ends[:, ends[0] != ends[1]].unique(dim=1)
    ends = torch.cat([ends, ends.flip(0)], 1).unique(dim=1)
    g = Graph.of((graphs.features(n), ends))
    return replace(g, edge_weight=graphs.symmetric_weight(*g.edge_index))


def with_weighted_parallel_edges() -> Graph:
    """Parallel edges that weigh differently, each the same in both directions."""
    g = graphs.with_parallel_edges()
    assert g.reverse is not None
    weight = torch.rand(g.num_edges, generator=torch.Generator().manual_seed(0))
    return replace(g, edge_weight=torch.minimum(weight, weight[g.reverse]))


def star(leaves: int) -> Graph:
    """Edges from the leaves into node 0; leaf ``k`` weighs ``k``."""
    ends = torch.arange(1, leaves + 1)
    g = Graph.of((torch.ones(leaves + 1, 1), torch.stack([ends, torch.zeros_like(ends)])))
    return replace(g, edge_weight=ends.float())


def by_rows(g: Graph, dtype: torch.dtype) -> Graph:
    """The same graph as one that comes from a file: without ``edge_index``, integers of ``dtype``."""
    pattern = Pattern(g.pattern.ptr, g.pattern.col, g.num_nodes)
    pattern.ptr, pattern.col = pattern.ptr.to(dtype), pattern.col.to(dtype)
    return Graph.of_pattern(g.x, pattern, g.edge_weight, undirected=g.has_symmetric_weights)


def edges(g: Graph) -> Counter[tuple[int, ...]]:
    """Edges by the nodes' numbers in the large graph, counted, with weights and attributes."""
    ids = g.node_ids[g.edge_index]
    extra = [value.reshape(g.num_edges, -1) for value in (g.edge_weight, g.edge_attr) if value is not None]
    return Counter(map(tuple, torch.cat([ids.t().double(), *[value.double() for value in extra]], 1).tolist()))


def same(a: Graph, b: Graph) -> bool:
    """Equal in all that a batch holds."""
    return (
        torch.equal(a.dense_x(), b.dense_x())
        and torch.equal(a.node_ids, b.node_ids)
        and torch.equal(a.edge_index, b.edge_index)
        and a.num_seeds == b.num_seeds
        and all((x is None and y is None) or torch.equal(x, y) for x, y in ((a.edge_weight, b.edge_weight), (a.reverse, b.reverse)))
    )


def hops_of(batch: Graph, hops: int) -> list[int]:
    """Where the nodes of each hop begin, by a walk over the drawn edges: the seeds, what they drew, and so on."""
    bounds, seen = [0, batch.num_seeds or 0], batch.num_seeds or 0
    source, target = batch.edge_index
    for _ in range(hops):
        of_these = source[(target >= bounds[-2]) & (target < bounds[-1])]
        seen = max(seen, int(of_these.max()) + 1 if of_these.numel() else 0)
        bounds.append(seen)
    return bounds


# ---------------------------------------------------------------------- what is allowed


@pytest.mark.parametrize("fan_out", [[1], [2, 3], [-1, 2], [3, -1], [40, 1, 2]])
@pytest.mark.parametrize("name", SINGLE)
def test_what_is_drawn_is_allowed(name: str, fan_out: list[int]) -> None:
    g = SINGLE[name]()
    degree, all_edges = g.pattern.counts, edges(g)
    for batch in NeighbourBatches(g, fan_out, 4):
        assert batch.num_seeds is not None
        assert batch.node_ids.unique().numel() == batch.num_nodes, "a node stands twice"
        assert torch.equal(batch.dense_x(), g.dense_x()[batch.node_ids])
        assert not edges(batch) - all_edges, "an edge that is not there, or one drawn twice"
        bounds = hops_of(batch, len(fan_out))
        assert bounds[-1] == batch.num_nodes, "a node that no drawn edge reaches"
        for hop, fan in enumerate(fan_out):
            rows = torch.arange(bounds[hop], bounds[hop + 1])
            expected = degree[batch.node_ids[rows]].clamp(max=fan if fan > 0 else int(degree.max()))
            assert torch.equal(batch.pattern.counts[rows], expected)
        assert not batch.pattern.counts[bounds[-2] :].any()
        keys = batch.edge_index[1] * batch.num_nodes + batch.edge_index[0]
        assert (keys.diff() >= 0).all(), "edges must be sorted by target, then source"


def test_nodes_come_in_order_of_first_sight() -> None:
    for batch in NeighbourBatches(large(), [4, 3], 16):
        first: dict[int, None] = dict.fromkeys(range(batch.num_seeds or 0))
        bounds = hops_of(batch, 2)
        assert bounds == sorted(bounds)
        source, target = batch.edge_index
        for row in range(bounds[-2]):  # a row is ascending, so what it sees first comes in order
            first.update(dict.fromkeys(source[target == row].tolist()))
        assert list(first) == list(range(batch.num_nodes))


@pytest.mark.parametrize("direction", ["in", "out", "both"])
@pytest.mark.parametrize("symmetric", [False, True])
@pytest.mark.parametrize("name", SINGLE)
def test_everything_drawn_is_the_whole_graph(name: str, symmetric: bool, direction: Any) -> None:
    g = SINGLE[name]()
    if symmetric and not (g.has_symmetric_weights and g.edge_attr is None):
        pytest.skip("a directed graph")
    (batch,) = NeighbourBatches(g, [-1, -1], g.num_nodes, shuffle=False, direction=direction, symmetric=symmetric)
    assert torch.equal(batch.edge_index, g.edge_index)
    assert torch.equal(batch.dense_x(), g.dense_x())
    assert torch.equal(batch.node_ids, torch.arange(g.num_nodes))
    assert batch.num_seeds == g.num_nodes
    for mine, other in ((batch.edge_weight, g.edge_weight), (batch.edge_attr, g.edge_attr), (batch.reverse, g.reverse)):
        assert (mine is None) == (other is None)
        assert mine is None or other is None or torch.equal(mine, other)
    assert batch.has_symmetric_weights == g.has_symmetric_weights
    close(batch.summed().t().to_dense(), g.summed().t().to_dense(), 0)
    (shuffled,) = NeighbourBatches(g, [-1], g.num_nodes, direction=direction, symmetric=symmetric)
    assert edges(shuffled) == edges(g)


@pytest.mark.parametrize("name", ["directed", "directed_with_loops", "weighted_by_direction", "with_attributes"])
def test_directions(name: str) -> None:
    g = SINGLE[name]()
    all_edges = edges(g)
    for direction in ("in", "out", "both"):
        for batch in NeighbourBatches(g, [2], 3, direction=direction):  # type: ignore[arg-type]
            assert not edges(batch) - all_edges
            (source, target), seeds = batch.edge_index, batch.num_seeds or 0
            assert {"in": target < seeds, "out": source < seeds, "both": (target < seeds) | (source < seeds)}[direction].all()
            out, into = (torch.bincount(end[end < seeds], minlength=seeds) for end in (source, target))
            ids = batch.node_ids[:seeds]
            there = {"in": g.pattern.counts[ids], "out": torch.bincount(g.edge_index[0], minlength=g.num_nodes)[ids]}
            for way, counts in (("in", into), ("out", out)):
                wanted = there[way].clamp(max=2)
                if direction == way:
                    assert torch.equal(counts, wanted)
                elif direction == "both":  # what one seed draws from the other counts for both
                    assert (counts >= wanted).all()
            turned = batch.pattern.transpose()
            values = torch.arange(batch.num_edges)
            again = CSR(batch.pattern, values.double()).to_dense().t()
            close(CSR(turned[0], values[turned[1]].double()).to_dense(), again, 0)


MIRRORED = [make for make in SINGLE.values() if make().has_symmetric_weights and make().edge_attr is None]


@pytest.mark.parametrize("make", [*MIRRORED, large, with_weighted_parallel_edges])
def test_symmetric_batches_are_undirected(make: Callable[[], Graph]) -> None:
    g = make()
    for k in range(3):
        plain, mirrored = (NeighbourBatches(g, [2, 1], 4, symmetric=s, seed=k) for s in (False, True))
        for one, two in zip(plain, mirrored, strict=True):
            assert torch.equal(one.node_ids, two.node_ids)
            drawn = edges(one)
            opposite = Counter({(key[1], key[0], *key[2:]): count for key, count in drawn.items()})
            assert set(edges(two)) == set(drawn | opposite)
            assert not edges(two) - edges(g)
            assert not (drawn | opposite) - edges(two)
            assert two.known_reverse is not None
            assert torch.equal(two.edge_index[:, two.known_reverse], two.edge_index.flip(0))
            again = Graph.of((two.dense_x(), two.edge_index))
            assert torch.equal(again.edge_index, two.edge_index)
            assert torch.equal(again.reverse, two.reverse)
            assert two.has_symmetric_weights
            assert two.edge_weight is None or torch.equal(two.edge_weight, two.edge_weight[two.known_reverse])


def test_both_means_symmetric_where_the_graph_is_undirected() -> None:
    g = large()
    for one, two in zip(NeighbourBatches(g, [3], 50, direction="both"), NeighbourBatches(g, [3], 50, symmetric=True), strict=True):
        assert same(one, two)


def test_a_directed_batch_says_so_without_looking() -> None:
    batch = next(iter(NeighbourBatches(large(), [3, 3], 8)))
    assert "edge_index" not in vars(batch)
    assert batch.reverse is None
    assert "edge_index" not in vars(batch)
    assert not batch.is_undirected


def test_turned_rows() -> None:
    g = graphs.with_parallel_edges()
    ptr, row, perm = turned(g.pattern.ptr.long().numpy(), g.pattern.col.int().numpy())
    other, order = Pattern(g.pattern.ptr, g.pattern.col, g.num_nodes).transpose()
    assert (ptr == other.ptr.numpy()).all()
    assert (row == other.col.numpy()).all()
    assert (perm == order.numpy()).all()


# ---------------------------------------------------------------------- fair draws


def drawn_leaves(leaves: int, fan: int, rounds: int, **options: Any) -> tuple[np.ndarray, list[list[int]]]:
    batches = NeighbourBatches(star(leaves), [fan], 1, seeds=torch.tensor([0]), threads=0, **options)
    sets = []
    for _ in range(rounds):
        (batch,) = batches
        sets.append((batch.node_ids[batch.edge_index[0]] - 1).tolist())
    return np.bincount(np.concatenate(sets), minlength=leaves), sets


@pytest.mark.parametrize(("leaves", "fan"), [(7, 3), (200, 5), (60, FEW + 8), (50, 1), (2000, FEW + 8), (6, 5)])
def test_without_replacement_all_are_equally_likely(leaves: int, fan: int) -> None:
    rounds = 3000
    counts, sets = drawn_leaves(leaves, fan, rounds)
    assert all(len(set(drawn)) == fan for drawn in sets)
    p = fan / leaves
    statistic = ((counts - rounds * p) ** 2 / (rounds * p * (1 - p))).sum() * (leaves - 1) / leaves  # negatively correlated counts
    assert 1e-4 < stats.chi2.sf(statistic, leaves - 1) < 1 - 1e-4


def test_all_subsets_are_equally_likely() -> None:
    _, sets = drawn_leaves(6, 3, 6000)
    counts = Counter(tuple(sorted(drawn)) for drawn in sets)
    assert len(counts) == 20
    assert stats.chisquare(list(counts.values())).pvalue > 1e-4


@pytest.mark.parametrize("weighted", [False, True])
def test_with_replacement(weighted: bool) -> None:
    leaves, fan, rounds = 12, 8, 2000
    counts, sets = drawn_leaves(leaves, fan, rounds, replace=True, weighted=weighted)
    assert all(len(drawn) == fan for drawn in sets)
    assert any(len(set(drawn)) < fan for drawn in sets)
    share = np.arange(1, leaves + 1) / sum(range(1, leaves + 1)) if weighted else np.full(leaves, 1 / leaves)
    assert stats.chisquare(counts, share * fan * rounds).pvalue > 1e-4


def test_weights_without_replacement() -> None:
    """Pairs come as often as drawing one after another from what is left makes them."""
    rounds, w = 8000, np.arange(1, 6) / 15
    _, sets = drawn_leaves(5, 2, rounds, weighted=True)
    counts = Counter(tuple(sorted(drawn)) for drawn in sets)
    expected = {(i, j): w[i] * w[j] / (1 - w[i]) + w[j] * w[i] / (1 - w[j]) for i in range(5) for j in range(i + 1, 5)}
    assert set(counts) == set(expected)
    pairs = sorted(expected)
    assert stats.chisquare([counts[p] for p in pairs], [rounds * expected[p] for p in pairs]).pvalue > 1e-4


def test_weights_over_a_long_row() -> None:
    """Each neighbour comes as often as with one exponential key a neighbour, drawn by numpy."""
    leaves, fan, rounds = 80, 6, 4000
    counts, sets = drawn_leaves(leaves, fan, rounds, weighted=True)
    assert all(len(set(drawn)) == fan for drawn in sets)
    keys = np.random.default_rng(0).exponential(size=(40_000, leaves)) / np.arange(1, leaves + 1)
    slow = np.bincount(np.argpartition(keys, fan, 1)[:, :fan].ravel(), minlength=leaves)
    assert stats.chi2_contingency([counts, slow]).pvalue > 1e-4


@pytest.mark.parametrize("replace_", [False, True])
def test_neighbours_of_weight_zero_come_last(replace_: bool) -> None:
    g = star(10)
    g = replace(g, edge_weight=torch.tensor([0.0, 1, 0, 0, 2, 0, 0, 0, 3, 0]))
    for fan in (2, 3, 4):
        for k in range(30):
            (batch,) = NeighbourBatches(g, [fan], 1, seeds=torch.tensor([0]), weighted=True, replace=replace_, seed=k, threads=0)
            drawn = set((batch.node_ids[batch.edge_index[0]] - 1).tolist())
            assert batch.num_edges == fan
            assert drawn >= {1, 4, 8} if fan > 2 and not replace_ else drawn <= {1, 4, 8}
    (batch,) = NeighbourBatches(replace(g, edge_weight=torch.zeros(10)), [4], 1, seeds=torch.tensor([0]), weighted=True, replace=replace_)
    assert batch.num_edges == 4


def test_hops_and_batches_draw_independently() -> None:
    g = large()
    batches = NeighbourBatches(g, [1, 1], 1, seeds=torch.tensor([0]), threads=0)
    seen = {tuple(batch.node_ids.tolist()) for _ in range(40) for batch in batches}
    assert len(seen) > 30


# ---------------------------------------------------------------------- epochs


@pytest.mark.parametrize(("size", "drop", "sizes"), [(5, False, [5, 5, 2]), (5, True, [5, 5]), (12, False, [12]), (99, True, [12])])
def test_every_seed_once_an_epoch(size: int, drop: bool, sizes: list[int]) -> None:
    batches = NeighbourBatches(graphs.undirected(), [2], size, drop_last=drop)
    orders = []
    for _ in range(3):
        seeds = [batch.node_ids[: batch.num_seeds].tolist() for batch in batches]
        assert [len(part) for part in seeds] == sizes
        assert len(batches) == len(sizes)
        flat = [row for part in seeds for row in part]
        assert len(set(flat)) == len(flat)
        assert drop or sorted(flat) == list(range(12))
        orders.append(flat)
    assert orders[0] != orders[1] != orders[2]


def test_given_seeds_and_their_order() -> None:
    rows = torch.tensor([7, 3, 9, 1])
    first = [b.node_ids[: b.num_seeds].tolist() for b in NeighbourBatches(graphs.undirected(), [2], 3, seeds=rows, shuffle=False)]
    assert first == [[7, 3, 9], [1]]
    mixed = [b.node_ids[: b.num_seeds].tolist() for b in NeighbourBatches(graphs.undirected(), [2], 3, seeds=rows)]
    assert sorted(row for part in mixed for row in part) == [1, 3, 7, 9]


def test_the_loss_can_be_on_all_nodes() -> None:
    assert all(batch.num_seeds is None for batch in NeighbourBatches(graphs.undirected(), [2], 3, loss_on="all"))


OPTIONS: list[dict[str, Any]] = [{}, {"symmetric": True}, {"weighted": True}, {"replace": True}, {"direction": "out"}]


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_the_same_batches_whatever_the_threads(options: dict[str, Any]) -> None:
    g = large()
    first = [list(NeighbourBatches(g, [4, 3], 64, threads=0, seed=5, **options)) for _ in range(2)][1]
    for threads, far in ((1, 2), (2, 1), (4, 7), (1, 0)):
        again = list(NeighbourBatches(g, [4, 3], 64, threads=threads, ahead=far, seed=5, **options))
        assert all(same(a, b) for a, b in zip(first, again, strict=True))
    other = list(NeighbourBatches(g, [4, 3], 64, seed=6, **options))
    assert not any(same(a, b) for a, b in zip(first, other, strict=True))


def test_epochs_differ_and_can_be_taken_up_anywhere() -> None:
    g = large()
    whole = NeighbourBatches(g, [4, 3], 64)
    passes = [list(whole) for _ in range(3)]
    assert whole.state_dict() == {"epoch": 3, "position": 0}
    assert not any(same(a, b) for a, b in zip(passes[0], passes[1], strict=True))
    for epoch, position in ((0, 0), (0, 3), (1, 6), (2, 1)):
        batches = NeighbourBatches(g, [4, 3], 64, threads=2)
        batches.load_state_dict({"epoch": epoch, "position": position})
        for later in range(epoch, 3):
            expected = passes[later][position if later == epoch else 0 :]
            assert all(same(a, b) for a, b in zip(batches, expected, strict=True))
    halfway = NeighbourBatches(g, [4, 3], 64)
    for k, _ in enumerate(halfway):
        if k == 2:
            break
    assert halfway.state_dict() == {"epoch": 0, "position": 3}
    assert all(same(a, b) for a, b in zip(halfway, passes[0][3:], strict=True))


def test_the_callers_random_numbers_stay_untouched() -> None:
    torch.manual_seed(3)
    np.random.seed(3)
    before = torch.get_rng_state(), np.random.get_state()[1].copy()  # type: ignore[index,union-attr]
    list(NeighbourBatches(large(), [3, 3], 100, weighted=True))
    assert torch.equal(torch.get_rng_state(), before[0])
    assert (np.random.get_state()[1] == before[1]).all()  # type: ignore[index]


def test_the_graph_stays_as_it_is() -> None:
    g = large()
    kept = [t.clone() for t in (g.pattern.ptr, g.pattern.col, g.x, g.edge_weight) if isinstance(t, Tensor)]
    list(NeighbourBatches(g, [3, -1], 100, symmetric=True))
    now = [t for t in (g.pattern.ptr, g.pattern.col, g.x, g.edge_weight) if isinstance(t, Tensor)]
    assert all(torch.equal(a, b) for a, b in zip(kept, now, strict=True))


# ---------------------------------------------------------------------- kinds of graphs


@pytest.mark.parametrize("dtype", [torch.int32, torch.int64])
@pytest.mark.parametrize("symmetric", [False, True])
def test_graphs_by_their_rows(dtype: torch.dtype, symmetric: bool) -> None:
    g = large()
    rows = by_rows(g, dtype)
    for one, two in zip(
        NeighbourBatches(g, [4, -1], 64, symmetric=symmetric), NeighbourBatches(rows, [4, -1], 64, symmetric=symmetric), strict=True
    ):
        assert same(one, two)
        assert one.pattern.col.dtype == one.pattern.ptr.dtype == torch.int32
    assert "edge_index" not in vars(rows)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_features_of_every_kind(dtype: torch.dtype) -> None:
    g = large()
    g = g.with_x(g.dense_x().to(dtype))
    for batch in NeighbourBatches(g, [3], 100):
        assert isinstance(batch.x, Tensor)
        assert batch.x.dtype == (torch.float64 if dtype == torch.float64 else torch.float32)
        assert torch.equal(batch.x, g.dense_x()[batch.node_ids].to(batch.x.dtype))


@pytest.mark.parametrize("dtype", [None, torch.float16, torch.float32])
def test_sparse_features_stay_sparse(dtype: torch.dtype | None) -> None:
    g = graphs.sparse()
    assert isinstance(g.x, CSR)
    g = g.with_x(g.x.with_values(None if dtype is None else g.x.values().to(dtype)))
    for batch in NeighbourBatches(g, [3], 5):
        assert isinstance(batch.x, CSR)
        assert batch.x.dtype == torch.float32
        assert torch.equal(batch.dense_x(), g.dense_x()[batch.node_ids].float())


def test_ids_are_those_of_the_original_graph() -> None:
    g = replace(graphs.undirected(), node_id=torch.arange(graphs.N) * 7 + 1)
    for batch in NeighbourBatches(g, [3], 5):
        assert torch.equal(batch.dense_x(), g.dense_x()[(batch.node_ids - 1) // 7])


@pytest.mark.parametrize("encoder", [GraphSAGE, GCN])
def test_seeds_get_what_they_get_on_the_whole_graph(encoder: Any) -> None:
    """A mean of neighbours needs two hops for two layers; a GCN a third one, so that its degrees are those of the graph."""
    torch.manual_seed(0)
    g = replace(large(), edge_weight=None)
    net = encoder(g.num_features, [8, 4]).eval()
    hops = 3 if encoder is GCN else 2
    with torch.no_grad():
        whole = net(g)
        for batch in NeighbourBatches(g, [-1] * hops, 32):
            close(net(batch)[: batch.num_seeds], whole[batch.node_ids[: batch.num_seeds]], 1e-4)


def test_gradients_through_a_batch_equal_those_of_the_same_edges() -> None:
    torch.manual_seed(0)
    net = GCN(graphs.F, [8, 4]).double().eval()
    for symmetric in (False, True):
        batch = next(iter(NeighbourBatches(large().with_x(large().dense_x().double()), [4, 3], 16, symmetric=symmetric)))
        batch = replace(batch, edge_weight=None if batch.edge_weight is None else batch.edge_weight.double())
        again = Graph(batch.x, batch.edge_index, batch.edge_weight)
        found = []
        for g in (batch, again):
            net.zero_grad()
            net(g).square().sum().backward()
            found.append([p.grad.clone() for p in net.parameters() if p.grad is not None])
        for a, b in zip(*found, strict=True):
            close(a, b, 1e-10)


def test_stamps_of_old_batches_are_forgotten_when_their_numbers_come_again() -> None:
    g = large()
    side = Side(g.pattern.ptr.numpy(), g.pattern.col.numpy(), np.empty(0, np.float32))
    seeds = np.arange(10)
    expected = sample([side], seeds, [5, 5], 1, Stamps(g.num_nodes))
    stamps = Stamps(g.num_nodes)
    sample([side], np.arange(300), [5, 5], 2, stamps)  # stamped with number 1, which comes again
    stamps.tag = 2**32 - 2
    for _ in range(4):
        nodes, (rows,) = sample([side], seeds, [5, 5], 1, stamps)
        assert (nodes == expected[0]).all()
        assert all((a == b).all() for a, b in zip(rows, expected[1][0], strict=True))
    assert stamps.tag == 3


def test_the_benchmarks_routes_draw_as_many() -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "path", [str(Path(__file__).parent.parent), *sys.path])
        sampling = pytest.importorskip("benchmarks.sampling")
    g = sampling.heavy_tailed(500, 8000)
    seeds = torch.arange(0, 500, 7)
    drawn = int(g.pattern.counts[seeds].clamp(max=6).sum())
    routes = [sampling.ours(g, whole=False), sampling.ours(g, whole=True), sampling.exact(g)]
    assert {route(seeds, [6])[1] for route in routes} == {drawn}
    nodes, edges_ = sampling.doubles_dropped(g)(seeds, [6])
    assert 0.7 * drawn < edges_ <= drawn
    assert seeds.numel() < nodes <= seeds.numel() + edges_


# ---------------------------------------------------------------------- bad arguments


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"fan_out": [0]}, ["fan_out", "1 or more", "-1", r"\[0\]"]),
        ({"fan_out": [3, -2]}, ["fan_out", "-2"]),
        ({"fan_out": []}, ["fan_out"]),
        ({"fan_out": [2.5]}, ["fan_out", "2.5"]),
        ({"batch_size": 0}, ["batch_size", "at least 1", "0"]),
        ({"seeds": torch.tensor([0, 12])}, ["seeds", r"\[0, 12\)", "12"]),
        ({"seeds": torch.tensor([-1])}, ["seeds", "-1"]),
        ({"seeds": torch.tensor([3, 4, 3])}, ["seeds", "different", "2", "3"]),
        ({"seeds": torch.tensor([], dtype=torch.long)}, ["seeds", "at least one"]),
        ({"seeds": torch.ones(12, dtype=torch.bool)}, ["seeds", "integers"]),
        ({"weighted": True}, ["edge_weight", "without"]),
        ({"direction": "down"}, ["direction", "'both'", "'down'"]),
        ({"loss_on": "none"}, ["loss_on", "'all'", "'none'"]),
        ({"seed": -1}, ["seed", "-1"]),
        ({"threads": -1}, ["threads", "-1"]),
        ({"ahead": -1}, ["ahead", "-1"]),
        ({"graph": graphs.directed(), "symmetric": True}, ["symmetric", "undirected"]),
        ({"graph": graphs.weighted_by_direction(), "symmetric": True}, ["symmetric", "weigh"]),
        ({"graph": graphs.seeded()}, ["num_seeds", "3"]),
        ({"graph": replace(graphs.weighted(), edge_weight=-graphs.weighted().weights), "weighted": True}, ["weights", "0 or more", "-"]),
        ({"graph": replace(graphs.weighted(), edge_weight=graphs.weighted().weights / 0), "weighted": True}, ["weights", "finite", "inf"]),
    ],
)
def test_bad_arguments_are_named(options: dict[str, Any], words: list[str]) -> None:
    given = {"graph": graphs.undirected(), "fan_out": [2], "batch_size": 4} | options
    for word in words:
        with pytest.raises(ValueError, match=word):
            NeighbourBatches(**given)


@pytest.mark.parametrize("state", [{}, {"epoch": 0}, {"epoch": -1, "position": 0}, {"epoch": 0, "position": 4}])
def test_bad_states_are_named(state: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="state"):
        NeighbourBatches(graphs.undirected(), [2], 4).load_state_dict(state)


# ---------------------------------------------------------------------- making ahead


def threads_now() -> list[str]:
    return [t.name for t in threading.enumerate() if t.name.startswith("graphssl-ahead")]


@pytest.mark.parametrize("far", [0, 1, 3, 50])
@pytest.mark.parametrize("threads", [0, 1, 4])
def test_order_is_kept(threads: int, far: int) -> None:
    def make(k: int) -> int:
        time.sleep(0.002 * (k % 3))
        return k

    assert list(ahead(make, range(5, 25), threads=threads, ahead=far)) == list(range(5, 25))
    assert not threads_now()


@pytest.mark.parametrize("threads", [0, 2])
def test_what_goes_wrong_is_raised_at_its_turn(threads: int) -> None:
    def make(k: int) -> int:
        if k == 3:
            raise KeyError("three")
        return k

    made = ahead(make, range(6), threads=threads)
    assert [next(made) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(KeyError, match="three"):
        next(made)
    assert not threads_now()


def test_only_so_many_are_made_ahead() -> None:
    made: list[int] = []

    def make(k: int) -> int:
        made.append(k)
        return k

    for k in ahead(make, range(30), threads=2, ahead=3):
        time.sleep(0.005)
        assert len(made) <= k + 1 + 3
    assert sorted(made) == list(range(30))


def test_a_consumer_that_stops_leaves_no_thread() -> None:
    for k in ahead(lambda k: k, range(100), threads=3, ahead=5):
        if k == 4:
            break
    made: Iterator[int] = ahead(lambda k: k, range(100), threads=3, ahead=5)
    next(made)
    assert threads_now()
    del made
    for _ in range(100):
        if not threads_now():
            break
        time.sleep(0.01)
    assert not threads_now()
