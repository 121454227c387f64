"""Partitions and their batches: even parts, few cut edges, each node once an epoch, and nothing but the induced edges."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from importlib.util import find_spec
from itertools import pairwise

import graphs
import numpy as np
import pytest
import torch
from torch import Tensor

from graphssl.adjacency import CSR, Pattern
from graphssl.batches.partition import members, partition
from graphssl.batches.partitions import PartitionBatches
from graphssl.batches.subgraphs import Subgraphs, shuffled, stream
from graphssl.graph import Graph
from graphssl.random import seeded

SINGLE = [name for name in graphs.GRAPHS if "batch" not in name and name != "seeded"]


def planted(n: int = 3_000, communities: int = 10, degree: int = 10, inside: float = 0.8, seed: int = 0) -> tuple[Graph, Tensor]:
    """An undirected graph of planted communities with heavy-tailed degrees, and the community of each node."""
    rng = np.random.default_rng(seed)
    community = rng.integers(communities, size=n)
    weight = np.minimum((1 - rng.random(n)) ** -0.6, 50)
    pairs = []
    for c in range(communities):
        rows = np.flatnonzero(community == c)
        share = weight[rows] / weight[rows].sum()
        pairs.append(rng.choice(rows, (2, int(len(rows) * degree * inside / 2)), p=share))
    pairs.append(rng.choice(n, (2, int(n * degree * (1 - inside) / 2)), p=weight / weight.sum()))
    ends = np.concatenate(pairs, axis=1)
    ends = np.unique(np.sort(ends[:, ends[0] != ends[1]], axis=0), axis=1)
    edge_index = torch.from_numpy(np.concatenate([ends, ends[::-1]], axis=1))
    return Graph.of((torch.from_numpy(rng.standard_normal((n, 3))).float(), edge_index)), torch.from_numpy(community)


def cut(g: Graph, part: Tensor) -> float:
    source, target = g.edge_index
    return float((part[source] != part[target]).double().mean())


def induced_edges(g: Graph, nodes: list[int]) -> list[tuple[int, int, float]]:
    """Edges among ``nodes`` as numbered there, by target and then source, one by one."""
    place = {node: k for k, node in enumerate(nodes)}
    weight = g.weights.tolist()
    ends = zip(*g.edge_index.tolist(), weight, strict=True)
    edges = [(place[t], place[s], w) for s, t, w in ends if s in place and t in place]
    return sorted(edges, key=lambda edge: edge[:2])


def same(a: Graph, b: Graph) -> bool:
    pairs = [(a.edge_index, b.edge_index), (a.node_ids, b.node_ids), (a.dense_x(), b.dense_x()), (a.weights, b.weights)]
    return a.num_seeds == b.num_seeds and all(torch.equal(x, y) for x, y in pairs)


def check_structure(batch: Graph, like: Graph) -> None:
    """The transposed rows and the opposite edges that the kernels gave are those that Graph finds by itself."""
    plain = Graph(batch.x, batch.edge_index, batch.edge_weight)
    assert batch.is_undirected == like.is_undirected
    if like.is_undirected:
        assert torch.equal(batch.reverse, plain.reverse)
        assert batch.has_symmetric_weights or not like.has_symmetric_weights
    (mine, perm), (found, order) = batch.pattern.transpose(), Pattern(batch.pattern.ptr, batch.pattern.col, batch.num_nodes).transpose()
    assert torch.equal(mine.ptr, found.ptr)
    assert torch.equal(mine.col.long(), found.col.long())
    assert torch.equal(batch.weights[perm], batch.weights[order])
    assert torch.equal(batch.pattern.col[perm].long(), batch.pattern.col[order].long())


# ---------------------------------------------------------------------- laws of batches of a large graph, for all kinds of them


def check_epochs(make: Callable[..., Iterable[Graph]]) -> None:
    """Threads do not matter, epochs differ, a pass resumes anywhere, global generators stay as they were."""
    torch_state, numpy_state = torch.get_rng_state(), np.random.get_state()[1].copy()
    plain = make(threads=0)
    first, second = list(plain), list(plain)
    assert len(first) == len(second) == len(plain) > 2
    assert plain.state_dict() == {"epoch": 2, "position": 0}
    assert not all(same(a, b) for a, b in zip(first, second, strict=True))
    for threads, ahead in ((1, 1), (3, 4)):
        threaded = make(threads=threads, ahead=ahead)
        assert all(same(a, b) for a, b in zip(first + second, [*threaded, *threaded], strict=True))
    for stop in range(1, len(first) + 1):
        broken, resumed = make(threads=1), make(threads=1)
        for _, _batch in zip(range(stop), broken, strict=False):
            pass
        assert broken.state_dict() == ({"epoch": 0, "position": stop} if stop < len(first) else {"epoch": 1, "position": 0})
        resumed.load_state_dict(broken.state_dict())
        rest = list(resumed) if stop < len(first) else []
        assert all(same(a, b) for a, b in zip(first[stop:] + second, rest + list(resumed), strict=True))
    assert not all(same(a, b) for a, b in zip(first, make(threads=0, seed=1), strict=True))
    assert torch.equal(torch_state, torch.get_rng_state())
    assert (numpy_state == np.random.get_state()[1]).all()
    for state in ({}, {"epoch": 0, "position": len(first)}, {"epoch": -1, "position": 0}):
        with pytest.raises(ValueError, match="state must hold"):
            plain.load_state_dict(state)
    for name in ("seed", "threads", "ahead"):
        with pytest.raises(ValueError, match=name):
            make(**{name: -1})


def check_features(make: Callable[[Graph], Iterable[Graph]]) -> None:
    """Features and ids of nodes travel, from dense, half-precision and sparse rows."""
    g = graphs.undirected(n=40, m=120)
    for x in (g.x, g.x.half(), g.x.bfloat16(), CSR.from_dense(g.x)):
        for batch in make(replace(g.with_x(x), node_id=torch.arange(40) * 3)):
            rows = g.with_x(x).dense_x()[batch.node_id // 3]
            assert isinstance(batch.x, CSR) == isinstance(x, CSR)
            assert batch.x.dtype == torch.float32
            assert torch.equal(batch.dense_x(), rows.float())


def test_partition_epochs() -> None:
    g, community = planted(300, 5)
    check_epochs(lambda **options: PartitionBatches(g, community, **options))
    check_epochs(lambda **options: PartitionBatches(g, shuffle_parts(300, 12), parts_per_batch=3, **options))
    check_features(lambda graph: PartitionBatches(graph, torch.arange(40) % 4, parts_per_batch=3))


def shuffle_parts(n: int, num_parts: int) -> Tensor:
    return torch.randint(num_parts, (n,), generator=torch.Generator().manual_seed(0))


# ---------------------------------------------------------------------- induced subgraphs


@pytest.mark.parametrize("name", SINGLE)
def test_induced_is_brute_force(name: str) -> None:
    g = graphs.GRAPHS[name]()
    for seed in range(4):
        order = torch.randperm(g.num_nodes, generator=torch.Generator().manual_seed(seed)).tolist()
        some = min(2, g.num_nodes)
        for seeds, nodes in ((None, sorted(order[:7])), (None, sorted(order)), (some, sorted(order[:2]) + sorted(order[2:9])), (0, [])):
            batch = Subgraphs(g).induced(np.array(nodes, np.int64), seeds)
            if not nodes:
                assert (batch.num_nodes, batch.num_edges) == (0, 0)
                continue
            expected = induced_edges(g, nodes)
            assert batch.edge_index.tolist() == [[s for _, s, _ in expected], [t for t, _, _ in expected]]
            assert sorted(batch.weights.tolist()) == sorted(w for *_, w in expected)
            assert batch.node_id.tolist() == nodes
            assert batch.num_seeds == (seeds if nodes else 0)
            check_structure(batch, g)
            if g.edge_attr is not None:
                assert torch.equal(batch.edge_attr, graphs.attributes_of(*batch.node_id[batch.edge_index]))
                assert torch.equal(batch.edge_weight, graphs.symmetric_weight(*batch.node_id[batch.edge_index]))


def test_induced_is_keep_nodes() -> None:
    g, _ = planted(500)
    rows = torch.arange(0, 500, 3)
    mine, theirs = Subgraphs(g).induced(rows.numpy()), g.keep_nodes(rows)
    assert same(mine, theirs)
    assert torch.equal(mine.reverse, theirs.reverse)


def test_a_graph_by_its_rows_stays_one() -> None:
    g, part = planted(500)
    for directed in (False, True):
        index = g.pattern.col.long() if directed else g.pattern.col  # 64-bit columns as well
        pattern = Pattern(g.pattern.ptr, index, 500)
        rows = Graph.of_pattern(g.x, pattern, undirected=not directed)
        for a, b in zip(PartitionBatches(rows, part), PartitionBatches(g, part), strict=True):
            assert "edge_index" not in vars(a)
            assert a.is_undirected != directed
            assert same(a, b)
        assert "edge_index" not in vars(rows)
        assert rows.known_reverse is None


def test_what_cannot_be_cut() -> None:
    for name in ("batch", "seeded"):
        with pytest.raises(ValueError, match="one whole graph"):
            Subgraphs(graphs.GRAPHS[name]())


def test_streams_are_the_kernels_own() -> None:
    assert len({stream(a, b) for a in range(30) for b in range(30)}) == 900
    assert (np.sort(shuffled(1_000, 3)) == np.arange(1_000)).all()
    assert stream(0) == 0xE220A8397B1DCDAF  # splitmix64's first number from 0
    first = np.array([shuffled(5, k)[0] for k in range(2_000)])
    assert (np.abs(np.bincount(first) - 400) < 90).all()  # five standard deviations


# ---------------------------------------------------------------------- batches


@pytest.mark.parametrize("name", SINGLE)
@pytest.mark.parametrize("parts_per_batch", [1, 2])
def test_each_node_once_and_all_edges_of_the_batch(name: str, parts_per_batch: int) -> None:
    g = graphs.GRAPHS[name]()
    num_parts = min(5, g.num_nodes)
    batches = PartitionBatches(g, num_parts, parts_per_batch=min(parts_per_batch, num_parts))
    for _ in range(2):
        seen = []
        for batch in batches:
            nodes = batch.node_id.tolist()
            seen += nodes
            expected = induced_edges(g, nodes)
            assert batch.edge_index.tolist() == [[s for _, s, _ in expected], [t for t, _, _ in expected]]
            assert batch.num_seeds is None
            assert batch.graph_id is None
            check_structure(batch, g)
        assert sorted(seen) == list(range(g.num_nodes))


def test_one_part_is_the_whole_graph() -> None:
    for name in SINGLE:
        g = graphs.GRAPHS[name]()
        (batch,) = PartitionBatches(g, 1)
        assert same(batch, g)


def test_parts_meet_others_in_each_epoch() -> None:
    g, community = planted(300, 6)
    batches = PartitionBatches(g, community, parts_per_batch=2)
    meetings = {frozenset(community[batch.node_id].tolist()) for _ in range(30) for batch in batches}
    assert len(meetings) == 15


def test_without_shuffling_parts_come_by_number() -> None:
    g, community = planted(300, 6)
    for batches in (PartitionBatches(g, community, shuffle=False), PartitionBatches(g, community * 7, shuffle=False)):
        assert [int(community[batch.node_id][0]) for batch in batches] == list(range(6))
        assert [int(community[batch.node_id][0]) for batch in batches] == list(range(6))


@pytest.mark.parametrize(
    ("parts", "options", "message"),
    [
        (13, {}, "num_parts"),
        (0, {}, "num_parts"),
        (2.5, {}, "num_parts"),
        (4, {"parts_per_batch": 5}, "parts_per_batch"),
        (4, {"parts_per_batch": 0}, "parts_per_batch"),
        (torch.zeros(11, dtype=torch.long), {}, r"integer tensor \[12\]"),
        (torch.zeros(12), {}, "integer tensor"),
        (torch.arange(12) - 1, {}, "from 0 to 11"),
        (torch.arange(12) + 1, {}, "from 0 to 11"),
    ],
)
def test_refused(parts: int | Tensor, options: dict[str, int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        PartitionBatches(graphs.undirected(), parts, **options)


# ---------------------------------------------------------------------- the partition


@pytest.mark.parametrize("num_parts", [2, 7, 10, 60, 1_000, 3_000])
def test_even_and_valid(num_parts: int) -> None:
    g, _ = planted()
    part = partition(g, num_parts, method="own")
    sizes = part.bincount(minlength=num_parts)
    assert part.dtype == torch.int32
    assert part.shape == (3_000,)
    assert len(sizes) == num_parts
    assert sizes.min() > 0
    assert sizes.max() <= max(-(-3_000 // num_parts), 1.1 * 3_000 / num_parts)
    if num_parts <= 60:
        loads = torch.zeros(num_parts).index_add(0, part, g.pattern.counts.float())
        assert loads.max() <= 1.6 * g.num_edges / num_parts


@pytest.mark.parametrize("name", SINGLE)
@pytest.mark.parametrize("num_parts", [1, 2, 5, 12])
def test_awkward_graphs(name: str, num_parts: int) -> None:
    g = graphs.GRAPHS[name]()
    num_parts = min(num_parts, g.num_nodes)
    sizes = partition(g, num_parts, method="own").bincount(minlength=num_parts)
    assert len(sizes) == num_parts
    assert sizes.min() > 0
    assert sizes.max() <= max(-(-g.num_nodes // num_parts), 1.1 * g.num_nodes / num_parts)


def test_a_star_and_many_isolated_nodes() -> None:
    n = 5_000
    leaves = torch.arange(1, n // 2)
    star = torch.stack([leaves, torch.zeros_like(leaves)])
    g = Graph.of((torch.ones(n, 1), graphs.both(star)))
    sizes = partition(g, 20, method="own").bincount(minlength=20)
    assert 0 < sizes.min() <= sizes.max() <= 275


def test_cuts_little_of_planted_communities() -> None:
    g, community = planted()
    for num_parts in (5, 10):
        part = partition(g, num_parts, method="own")
        assert cut(g, part) < 1.25 * cut(g, community) < 0.4 * cut(g, shuffle_parts(3_000, num_parts))


def test_seed_decides() -> None:
    g, _ = planted()
    with seeded(1):
        first = partition(g, 30, seed=3, method="own")
    with seeded(2):
        second = partition(g, 30, seed=3, method="own")
    assert torch.equal(first, second)
    assert not torch.equal(first, partition(g, 30, seed=4, method="own"))


def test_progress_ends_whole() -> None:
    told: list[tuple[int, int]] = []
    partition(planted()[0], 10, method="own", tell=lambda done, total: told.append((done, total)))
    assert told == sorted(told)
    assert told[-1][0] == told[-1][1]


def test_unknown_method() -> None:
    with pytest.raises(ValueError, match="method must be"):
        partition(graphs.undirected(), 2, method="best")  # type: ignore[arg-type]


@pytest.mark.skipif(find_spec("pymetis") is not None, reason="pymetis is installed")
def test_metis_missing() -> None:
    with pytest.raises(ValueError, match="needs pymetis"):
        partition(graphs.undirected(), 2, method="metis")


@pytest.mark.skipif(find_spec("pymetis") is None, reason="needs pymetis")
@pytest.mark.parametrize("name", SINGLE)
def test_metis(name: str) -> None:
    g = graphs.GRAPHS[name]()
    num_parts = min(3, g.num_nodes)
    sizes = partition(g, num_parts, method="metis").bincount(minlength=num_parts)
    assert 0 < sizes.min() <= sizes.max() <= max(-(-g.num_nodes // num_parts), 1.1 * g.num_nodes / num_parts)


def test_members() -> None:
    part = shuffle_parts(100, 9) * 2
    ptr, nodes = members(part)
    expected = [(part == p).nonzero().squeeze(1).tolist() for p in part.unique()]
    assert [nodes[a:b].tolist() for a, b in pairwise(ptr)] == expected
