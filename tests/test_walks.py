"""Batches of random walks and of ego subgraphs: what is reached, what is drawn, and the induced edges."""

from __future__ import annotations

from dataclasses import replace

import graphs
import numpy as np
import pytest
import torch
from test_partitions import SINGLE, check_epochs, check_features, check_structure, induced_edges, planted
from torch import Tensor

from graphssl import GCN, embed
from graphssl.batches.egos import EgoBatches
from graphssl.batches.reach import egos, walk
from graphssl.batches.subgraphs import Subgraphs
from graphssl.batches.walks import WalkBatches
from graphssl.graph import Graph


def sources(g: Graph) -> list[set[int]]:
    """The nodes from which an edge comes, for each node."""
    found: list[set[int]] = [set() for _ in range(g.num_nodes)]
    for s, t in g.edge_index.t().tolist():
        found[t].add(s)
    return found


def ball(g: Graph, seed: int, hops: int) -> set[int]:
    """The nodes within ``hops`` steps against the edges."""
    reached, before = {seed}, sources(g)
    for _ in range(hops):
        reached |= {s for node in reached for s in before[node]}
    return reached


def two_rings() -> Graph:
    ends = torch.arange(10)
    ring = torch.stack([ends, (ends + 1) % 10])
    return Graph.of((graphs.features(20), graphs.both(torch.cat([ring, ring + 10], 1))))


# ---------------------------------------------------------------------- walks


@pytest.mark.parametrize("loss_on", ["seeds", "all"])
@pytest.mark.parametrize("name", SINGLE)
def test_walk_batches_are_induced(name: str, loss_on: str) -> None:
    g = graphs.GRAPHS[name]()
    for batch in WalkBatches(g, 3, 2, num_batches=6, loss_on=loss_on):  # type: ignore[arg-type]
        nodes = batch.node_id.tolist()
        expected = induced_edges(g, nodes)
        assert batch.edge_index.tolist() == [[s for _, s, _ in expected], [t for t, _, _ in expected]]
        assert sorted(batch.weights.tolist()) == sorted(w for *_, w in expected)
        assert len(set(nodes)) == len(nodes) <= 9
        if loss_on == "seeds":
            assert 1 <= batch.num_seeds <= 3
            within = set().union(*(ball(g, seed, 2) for seed in nodes[: batch.num_seeds]))
            assert set(nodes) <= within
        else:
            assert batch.num_seeds is None
            assert nodes == sorted(nodes)
        check_structure(batch, g)


def test_walks_go_along_edges() -> None:
    for name in ("directed", "with_isolated_nodes", "undirected"):
        g = graphs.GRAPHS[name]()
        before, whole = sources(g), Subgraphs(g)
        for k in range(100):
            nodes, roots = walk(whole, 1, 3, (0, 0, k))
            assert roots == 1
            reached = {int(nodes[0])}
            left = set(nodes[1:].tolist())
            while left:  # each node was reached from one that was reached
                new = {node for node in left if any(node in before[other] for other in reached)}
                assert new
                reached, left = reached | new, left - new


def test_walks_stay_in_their_component() -> None:
    for batch in WalkBatches(two_rings(), 1, 15, num_batches=20):
        assert len({node // 10 for node in batch.node_id.tolist()}) == 1


def test_roots_and_steps_are_uniform() -> None:
    g, draws = two_rings(), 4_000
    whole = Subgraphs(g)
    pairs = [(roots := walk(whole, 1, 1, (5, 0, k))[0]).tolist() for k in range(draws)]
    counts = torch.tensor([root for root, _ in pairs]).bincount(minlength=20)
    assert (counts - draws / 20).abs().max() < 5 * (draws / 20) ** 0.5
    ahead = sum((root % 10 + 1) % 10 == step % 10 for root, step in pairs)
    assert abs(ahead - draws / 2) < 5 * (draws / 4) ** 0.5
    assert len(roots) == 2


def test_walk_epochs() -> None:
    g, _ = planted(300, 5)
    check_epochs(lambda **options: WalkBatches(g, 10, 2, num_batches=5, **options))
    check_epochs(lambda **options: WalkBatches(g, 10, 2, num_batches=5, loss_on="seeds", **options))
    check_features(lambda graph: WalkBatches(graph, 5, 2, num_batches=3))


@pytest.mark.parametrize("options", [{"roots": 0}, {"length": 0}, {"num_batches": 0}, {"loss_on": "roots"}, {"seed": -1}, {"roots": 2.0}])
def test_walks_refused(options: dict[str, int | str]) -> None:
    with pytest.raises(ValueError, match=next(iter(options))):
        WalkBatches(graphs.undirected(), **{"roots": 2, "length": 2, "num_batches": 2, **options})  # type: ignore[arg-type]


# ---------------------------------------------------------------------- egos


def egos_of(batch: Graph) -> list[list[int]]:
    """Rows of each seed's subgraph, found by who can be reached over edges in either direction, the seed first."""
    adjacent = batch.edge_index.t().tolist()
    label = list(range(batch.num_nodes))
    for _ in range(batch.num_nodes):
        for s, t in adjacent:
            label[s] = label[t] = min(label[s], label[t])
    return [[k for k in range(batch.num_nodes) if label[k] == seed] for seed in range(batch.num_seeds or 0)]


@pytest.mark.parametrize("hops", [1, 2, 3])
@pytest.mark.parametrize("name", SINGLE)
def test_full_fan_out_is_the_neighbourhood(name: str, hops: int) -> None:
    g = graphs.GRAPHS[name]()
    for batch in EgoBatches(g, 4, hops=hops, fan_out=-1):
        check_structure(batch, g)
        found = egos_of(batch)
        assert sorted(row for rows in found for row in rows) == list(range(batch.num_nodes))
        assert batch.graph_id is None
        for rows in found:
            nodes = batch.node_id[rows].tolist()
            assert set(nodes) == ball(g, nodes[0], hops)
            assert nodes[1:] == sorted(nodes[1:])
            place = {row: k for k, row in enumerate(rows)}
            ends = batch.edge_index.t().tolist()
            mine = [(place[t], place[s], w) for (s, t), w in zip(ends, batch.weights.tolist(), strict=True) if t in place]
            expected = induced_edges(g, nodes)
            assert [edge[:2] for edge in mine] == [edge[:2] for edge in expected]
            assert sorted(edge[2] for edge in mine) == sorted(edge[2] for edge in expected)


@pytest.mark.parametrize("fan_out", [1, 2, 3])
def test_fan_out_bounds_what_is_drawn(fan_out: int) -> None:
    g, _ = planted(300, 5)
    before = sources(g)
    for batch in EgoBatches(g, 16, hops=2, fan_out=fan_out):
        for rows in egos_of(batch):
            nodes = batch.node_id[rows].tolist()
            assert len(set(nodes)) == len(nodes) <= 1 + fan_out + fan_out**2
            assert set(nodes) <= ball(g, nodes[0], 2)
            assert len(set(nodes[1:]) & before[nodes[0]]) >= min(fan_out, len(before[nodes[0]] - {nodes[0]}))


def test_rows_of_hubs_are_looked_up_in() -> None:
    leaves = torch.arange(1, 200)
    spokes = torch.stack([torch.zeros_like(leaves), leaves])
    pairs = torch.cat([spokes, spokes[:, ::3], torch.stack([leaves[:-1], leaves[1:]])], 1)  # every third spoke twice
    g = Graph.of((graphs.features(200), graphs.both(pairs)))
    g = replace(g, edge_weight=graphs.symmetric_weight(*g.edge_index))
    for batch in EgoBatches(g, 50, hops=2, fan_out=1):
        check_structure(batch, g)
        assert torch.equal(batch.edge_weight, graphs.symmetric_weight(*batch.node_id[batch.edge_index]))
        for rows in egos_of(batch):
            inside = [t in rows for t in batch.edge_index[1].tolist()]
            expected = induced_edges(g, batch.node_id[rows].tolist())
            assert sorted(batch.edge_weight[torch.tensor(inside)].tolist()) == sorted(w for *_, w in expected)


def test_draws_are_uniform_and_different() -> None:
    leaves = torch.arange(1, 11)
    star = Graph.of((torch.ones(11, 1), torch.stack([leaves, torch.zeros_like(leaves)])))
    whole, draws = Subgraphs(star), 2_000
    counts = np.zeros(11)
    for k in range(draws):
        nodes, groups = egos(whole, np.array([0]), 2, 3, (0, k))
        assert len(set(nodes.tolist())) == len(nodes) == 4
        assert groups.tolist() == [1, 4]
        counts[nodes] += 1
    assert np.abs(counts[1:] - 0.3 * draws).max() < 5 * (draws * 0.21) ** 0.5


def test_each_seed_once_an_epoch() -> None:
    g, _ = planted(300, 5)
    chosen = torch.arange(7, 300, 4)
    for seeds, expected in ((None, torch.arange(300)), (chosen, chosen), (chosen.flip(0), chosen)):
        for shuffle in (False, True):
            batches = EgoBatches(g, 32, seeds=seeds, shuffle=shuffle)
            for _ in range(2):
                met = torch.cat([batch.node_id[: batch.num_seeds] for batch in batches])
                assert torch.equal(met.sort().values, expected)
                if not shuffle:
                    assert torch.equal(met, expected if seeds is None else seeds)


def test_scope_wider_than_the_encoder_gives_the_whole_graph() -> None:
    g = graphs.undirected(n=60, m=90)
    torch.manual_seed(0)
    encoder = GCN(graphs.F, [8, 4]).eval()
    batches = EgoBatches(g, 16, hops=3, fan_out=-1, shuffle=False)  # two layers and the degrees of the last nodes that they read
    z: Tensor = torch.cat([encoder(batch)[: batch.num_seeds] for batch in batches])
    torch.testing.assert_close(z, embed(encoder, g), atol=1e-5, rtol=1e-5)


def test_all_rows_count_on_request() -> None:
    g, _ = planted(300, 5)
    for a, b in zip(EgoBatches(g, 64), EgoBatches(g, 64, loss_on="all"), strict=True):
        assert b.num_seeds is None
        assert a.num_seeds is not None
        assert torch.equal(a.node_id, b.node_id)


def test_ego_epochs() -> None:
    g, _ = planted(300, 5)
    check_epochs(lambda **options: EgoBatches(g, 80, fan_out=3, **options))
    check_features(lambda graph: EgoBatches(graph, 15, fan_out=2))


def test_a_node_stands_in_each_ego_with_its_features() -> None:
    g = graphs.undirected()
    (batch,) = EgoBatches(g, g.num_nodes, fan_out=-1, shuffle=False)
    assert batch.node_id[: g.num_nodes].tolist() == list(range(g.num_nodes))
    assert batch.num_nodes > 2 * g.num_nodes
    assert torch.equal(batch.x, g.dense_x()[batch.node_id])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"batch_size": 0}, "batch_size"),
        ({"hops": 0}, "hops"),
        ({"fan_out": 0}, "fan_out"),
        ({"fan_out": -2}, "fan_out"),
        ({"loss_on": "egos"}, "loss_on"),
        ({"seeds": torch.tensor([0, 12])}, r"in \[0, 12\)"),
        ({"seeds": torch.tensor([1, 1])}, "different"),
        ({"seeds": torch.tensor([True] * 12)}, "integers"),
        ({"seeds": torch.empty(0, dtype=torch.long)}, "at least one"),
    ],
)
def test_egos_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        EgoBatches(graphs.undirected(), **{"batch_size": 4, **options})  # type: ignore[arg-type]


def test_batches_of_batches_refused() -> None:
    g = replace(graphs.undirected(), num_seeds=2)
    for make in (lambda: WalkBatches(g, 1, 1, num_batches=1), lambda: EgoBatches(g, 1)):
        with pytest.raises(ValueError, match="one whole graph"):
            make()
