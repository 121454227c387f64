"""Augmentations: the laws of each on each tiny graph, and references written as double loops."""

from __future__ import annotations

import math
import pickle
import subprocess
import sys
from dataclasses import FrozenInstanceError, fields, is_dataclass, replace

import graphs
import networkx as nx
import numpy as np
import pytest
import scipy.linalg
import torch
from graphs import GRAPHS
from torch import Tensor

import graphssl.augment as augment
from graphssl.adjacency import CSR
from graphssl.augment import (
    AUGMENTATIONS,
    DESCRIPTIONS,
    AdaptiveDropEdges,
    AdaptiveMaskFeatures,
    AddEdges,
    Augmentation,
    Compose,
    ConnectSimilar,
    Diffuse,
    DropEdges,
    DropNodes,
    Identity,
    MaskFeatures,
    RandomChoice,
    ShuffleFeatures,
    Subgraph,
    aligned,
    matched,
)
from graphssl.augment.centrality import CENTRALITIES, centrality
from graphssl.graph import Graph

CASES: dict[str, Augmentation] = {
    "identity": Identity(),
    "drop-edges": DropEdges(0.4),
    "drop-edges directed": DropEdges(0.4, directed=True),
    "add-edges": AddEdges(0.3),
    "add-edges full": AddEdges(1.0),
    "mask-features column": MaskFeatures(0.4),
    "mask-features entry": MaskFeatures(0.4, mode="entry"),
    "mask-features node": MaskFeatures(0.4, mode="node"),
    "shuffle-features": ShuffleFeatures(),
    "drop-nodes": DropNodes(0.4),
    "subgraph walk": Subgraph(0.5),
    "subgraph nodes": Subgraph(0.5, how="nodes"),
    "subgraph grow": Subgraph(0.5, how="grow"),
    "drop-nodes exact": DropNodes(0.4, exact=True),
    "drop-edges exact": DropEdges(0.4, exact=True),
    "mask-features noise": MaskFeatures(0.4, mode="node", fill="noise", exact=True),
    "mask-features mean": MaskFeatures(0.4, mode="node", fill="mean"),
    "diffuse ppr": Diffuse("ppr", top_k=3),
    "diffuse heat": Diffuse("heat", t=2.0, top_k=None, threshold=0.05, renormalise=True),
    "connect-similar": ConnectSimilar(3),
    "adaptive-drop-edges degree": AdaptiveDropEdges(0.4),
    "adaptive-drop-edges pagerank": AdaptiveDropEdges(0.4, "pagerank", directed=True),
    "adaptive-drop-edges eigenvector": AdaptiveDropEdges(0.4, "eigenvector"),
    "adaptive-mask-features degree": AdaptiveMaskFeatures(0.4),
    "adaptive-mask-features eigenvector": AdaptiveMaskFeatures(0.4, "eigenvector", magnitude=True),
    "compose": Compose(DropNodes(0.2), AddEdges(0.2), DropEdges(0.3), MaskFeatures(0.3)),
    "random-choice": RandomChoice(DropNodes(0.3), DropEdges(0.3), weights=(1, 2)),
    "random-choice per graph": RandomChoice(DropNodes(0.3), Subgraph(0.7, how="grow"), DropEdges(0.3), per_graph=True),
}
DETERMINISTIC = {"identity", "diffuse ppr", "diffuse heat", "connect-similar"}
REWIRING = {"diffuse ppr", "diffuse heat", "connect-similar"}  # edges and weights are new
ADDING = {"add-edges", "add-edges full", "compose"}
ONE_WAY = {"drop-edges directed", "adaptive-drop-edges pagerank"}

each_view = pytest.mark.parametrize("name", CASES)
each_graph = pytest.mark.parametrize("kind", GRAPHS)


def view_of(name: str, g: Graph, seed: int = 0) -> Graph:
    torch.manual_seed(seed)
    return CASES[name](g)


def contents(g: Graph) -> dict[str, Tensor | int | None]:
    """Everything a graph holds, features dense."""
    out = {field.name: getattr(g, field.name) for field in fields(g)}
    return {**out, "x": g.dense_x()}


def copied(g: Graph) -> dict[str, Tensor | int | None]:
    return {k: v.clone() if isinstance(v, Tensor) else v for k, v in contents(g).items()}


def same(a: dict[str, Tensor | int | None], b: dict[str, Tensor | int | None]) -> bool:
    return all(torch.equal(a[k], b[k]) if isinstance(a[k], Tensor) and isinstance(b[k], Tensor) else a[k] == b[k] for k in a)


def original(g: Graph, view: Graph) -> Tensor:
    """Row of ``g`` that each row of the view is."""
    rows = {int(i): row for row, i in enumerate(g.node_ids)}
    return torch.tensor([rows[int(i)] for i in view.node_ids], dtype=torch.long)


def edge_list(g: Graph) -> list[tuple[int, int]]:
    return [(int(s), int(t)) for s, t in g.edge_index.t()]


def loops_of(g: Graph) -> list[int]:
    return sorted(s for s, t in edge_list(g) if s == t)


# ---------------------------------------------------------------------- laws: each augmentation on each graph


@each_graph
@each_view
def test_input_is_unchanged(name: str, kind: str) -> None:
    g = GRAPHS[kind]()
    before, structure = copied(g), g.normalised().to_dense().clone()
    view_of(name, g)
    assert same(contents(g), before)
    assert torch.equal(g.normalised().to_dense(), structure)


@each_graph
@each_view
def test_same_seed_gives_the_same_view(name: str, kind: str) -> None:
    g = GRAPHS[kind]()
    assert same(contents(view_of(name, g, 5)), contents(view_of(name, g, 5)))
    assert same(contents(view_of(name, g, 5)), contents(view_of(name, GRAPHS[kind](), 5)))  # nothing of earlier calls decides


@each_view
def test_other_seeds_give_other_views(name: str) -> None:
    g = graphs.with_weights(graphs.undirected())
    different = [not same(contents(view_of(name, g, seed)), contents(view_of(name, g, seed + 1))) for seed in range(6)]
    assert any(different) == (name not in DETERMINISTIC)


@each_graph
@each_view
def test_view_is_a_valid_graph(name: str, kind: str) -> None:
    g = GRAPHS[kind]()
    view = view_of(name, g)
    n, (source, target) = view.num_nodes, view.edge_index
    assert view.edge_index.dtype == torch.long
    assert view.edge_index.is_contiguous()
    assert view.num_edges == 0 or (int(view.edge_index.min()) >= 0 and int(view.edge_index.max()) < n)
    assert bool(((target * n + source).diff() >= 0).all()), "sorted by target, then source"
    assert n >= 1
    assert view.x.dtype == g.x.dtype
    assert view.num_features == g.num_features
    assert type(view.x) is type(g.x)
    assert torch.isfinite(view.dense_x()).all()
    assert view.num_graphs == g.num_graphs
    assert view.node_ids.numel() == n
    for value in (view.edge_weight, view.edge_attr):
        assert value is None or value.size(0) == view.num_edges
    if g.edge_attr is not None and name not in REWIRING:
        assert view.edge_attr is not None
    if CASES[name].keeps_nodes:
        assert torch.equal(view.node_ids, g.node_ids)
        assert view.num_seeds == g.num_seeds
    elif n < g.num_nodes:
        assert view.node_id is not None


@each_graph
@each_view
def test_derived_structure_equals_one_found_anew(name: str, kind: str) -> None:
    g = GRAPHS[kind]()
    g.normalised(), g.averaged()  # so that there is something to carry along
    view = view_of(name, g)
    fresh = Graph(**{field.name: getattr(view, field.name) for field in fields(view)})
    for matrix in ("normalised", "averaged", "summed"):
        carried, found = getattr(view, matrix)(), getattr(fresh, matrix)()
        assert torch.equal(carried.to_dense(), found.to_dense())
        assert torch.allclose(carried.t().to_dense(), found.to_dense().t())
    pattern, perm = view.pattern.transpose()
    assert torch.equal(pattern.col.long(), view.edge_index[1][perm])
    assert torch.equal(pattern.row, view.edge_index[0][perm])
    assert view.looped().num_entries == fresh.looped().num_entries
    if view.reverse is not None:
        assert torch.equal(view.edge_index[:, view.reverse], view.edge_index.flip(0))


@each_graph
@each_view
def test_undirected_stays_undirected(name: str, kind: str) -> None:
    g = GRAPHS[kind]()
    if not g.is_undirected:
        return
    view = view_of(name, g)
    symmetric = sorted(edge_list(view)) == sorted((t, s) for s, t in edge_list(view))
    assert view.is_undirected == (name not in ONE_WAY)
    assert symmetric or name in ONE_WAY
    if g.has_symmetric_weights and name not in ONE_WAY:
        assert view.has_symmetric_weights


@each_graph
@each_view
def test_self_loops_are_neither_doubled_nor_lost(name: str, kind: str) -> None:
    g = GRAPHS[kind]()
    view = view_of(name, g)
    if name in REWIRING:
        assert len(loops_of(view)) == len(set(loops_of(view)))
        return
    rows = original(g, view)
    kept = set(rows.tolist())
    assert sorted(int(rows[i]) for i in loops_of(view)) == [i for i in loops_of(g) if i in kept]


@each_graph
@each_view
def test_rows_edges_and_graphs_travel_together(name: str, kind: str) -> None:
    g = GRAPHS[kind]()
    view = view_of(name, g)
    rows = original(g, view)
    assert torch.equal(view.graph_ids, g.graph_ids[rows])
    source, target = rows[view.edge_index]
    assert torch.equal(g.graph_ids[source], g.graph_ids[target]), "no edge crosses graphs"
    if not ("features" in name or name == "compose"):
        assert torch.equal(view.dense_x(), g.dense_x()[rows])
    if name in REWIRING:
        return
    known = dict(zip(edge_list(g), range(g.num_edges), strict=True))
    old = torch.tensor([known.get((int(s), int(t)), -1) for s, t in zip(source, target, strict=True)], dtype=torch.long)
    assert bool((old >= 0).all()) or name in ADDING
    if g.edge_weight is not None:
        assert torch.equal(view.edge_weight[old >= 0], g.edge_weight[old[old >= 0]])
    if g.edge_attr is not None:
        assert torch.equal(view.edge_attr[old >= 0], g.edge_attr[old[old >= 0]])


@each_view
def test_sparse_and_dense_features_give_the_same_view(name: str) -> None:
    if name == "mask-features entry":
        return  # documented: coins only for what is stored
    for sparse, dense in ((graphs.sparse(), graphs.undirected()), (graphs.sparse_batch(), graphs.batch())):
        assert same(contents(view_of(name, sparse, 3)), contents(view_of(name, dense, 3)))


@each_view
def test_is_frozen_comparable_and_picklable(name: str) -> None:
    view = CASES[name]
    assert isinstance(view, Augmentation)
    assert is_dataclass(view)
    assert pickle.loads(pickle.dumps(view)) == view
    assert hash(view) == hash(pickle.loads(pickle.dumps(view)))
    assert repr(view).startswith(type(view).__name__ + "(")
    first = fields(view)[0].name if fields(view) else "anything"
    with pytest.raises((FrozenInstanceError, AttributeError)):
        setattr(view, first, 0.5)


@each_view
def test_numpy_and_python_randomness_play_no_part(name: str) -> None:
    import random

    g = graphs.batch()
    views = []
    for seed in (1, 2):
        random.seed(seed)
        np.random.seed(seed)
        views.append(contents(view_of(name, g, 9)))
    assert same(*views)


# ---------------------------------------------------------------------- p = 0, p = 1, and what lies between


@each_graph
@pytest.mark.parametrize(
    "view",
    [
        DropEdges(0.0),
        DropEdges(0.0, directed=True),
        AddEdges(0.0),
        MaskFeatures(0.0),
        MaskFeatures(0.0, mode="entry"),
        MaskFeatures(0.0, mode="node"),
        DropNodes(0.0),
        Subgraph(1.0),
        Subgraph(1.0, how="nodes"),
        AdaptiveDropEdges(0.0),
        AdaptiveMaskFeatures(0.0),
        AdaptiveDropEdges(0.9, cut=0.0),
        Identity(),
        Compose(),
    ],
    ids=repr,
)
def test_nothing_to_do_is_the_identity(view: Augmentation, kind: str) -> None:
    g = GRAPHS[kind]()
    expected, got = contents(g), contents(view(g))
    if not view.keeps_nodes:
        expected = {**expected, "node_id": g.node_ids}
    assert same(got, expected)


@each_graph
@pytest.mark.parametrize("view", [DropEdges(1.0), DropEdges(1.0, directed=True)], ids=repr)
def test_all_edges_dropped_leaves_the_self_loops(view: Augmentation, kind: str) -> None:
    g = GRAPHS[kind]()
    assert edge_list(view(g)) == [(i, i) for i in loops_of(g)]


@each_graph
@pytest.mark.parametrize("mode", ["column", "entry", "node"])
def test_all_features_masked_are_zero(mode: str, kind: str) -> None:
    assert not MaskFeatures(1.0, mode=mode)(GRAPHS[kind]()).dense_x().any()  # type: ignore[arg-type]


@each_graph
def test_all_nodes_dropped_leaves_one_of_each_graph(kind: str) -> None:
    g = GRAPHS[kind]()
    for seed in range(5):
        torch.manual_seed(seed)
        view = DropNodes(1.0)(g)
        assert view.graph_ids.bincount(minlength=g.num_graphs).tolist() in ([1] * g.num_graphs, [2])
        assert view.num_nodes == g.num_graphs or (g.num_seeds is not None and view.num_nodes == 2)
        assert view.num_seeds is None or view.num_seeds >= 1


def binomial(count: float, trials: int, p: float) -> bool:
    """Within five standard deviations of what ``trials`` coins give."""
    return abs(count - trials * p) <= 5 * math.sqrt(trials * p * (1 - p)) + 1e-9


@pytest.mark.parametrize("p", [0.1, 0.5, 0.9])
def test_kept_shares(p: float) -> None:
    torch.manual_seed(1)
    g = graphs.undirected(200, 4000)
    assert binomial(DropEdges(p)(g).num_edges / 2, 4000, 1 - p)
    assert binomial(DropEdges(p, directed=True)(g).num_edges, 8000, 1 - p)
    one_way = Graph.of((torch.ones(200, 1), graphs.edges(200, 4000)))
    assert binomial(DropEdges(p)(one_way).num_edges, 4000, 1 - p)
    wide = g.with_x(torch.ones(200, 3000))
    assert binomial(float(MaskFeatures(p)(wide).x[0].sum()), 3000, 1 - p)
    assert binomial(float(MaskFeatures(p, mode="entry")(wide).x.sum()), 600_000, 1 - p)
    tall = Graph.of((torch.ones(5000, 2), torch.empty(2, 0, dtype=torch.long)))
    assert binomial(float(MaskFeatures(p, mode="node")(tall).x[:, 0].sum()), 5000, 1 - p)
    assert binomial(DropNodes(p)(tall).num_nodes, 5000, 1 - p)


def test_directions_have_their_own_coins_only_on_request() -> None:
    torch.manual_seed(0)
    g = graphs.undirected(200, 4000)
    there = set(edge_list(DropEdges(0.5, directed=True)(g)))
    pairs = sum((t, s) in there for s, t in there) / 2
    assert binomial(pairs, 4000, 0.25)
    there = set(edge_list(DropEdges(0.5)(g)))
    assert all((t, s) in there for s, t in there)


def test_parallel_edges_have_their_own_coins() -> None:
    torch.manual_seed(0)
    pair = torch.tensor([[0], [1]]).expand(2, 1000)
    view = DropEdges(0.5)(Graph.of((torch.ones(2, 1), graphs.both(pair))))
    assert binomial(view.num_edges / 2, 1000, 0.5)
    assert view.is_undirected


def test_mask_features_modes_share_coins_as_they_say() -> None:
    torch.manual_seed(0)
    g = graphs.undirected().with_x(torch.ones(graphs.N, 40))
    column = MaskFeatures(0.5)(g).x
    assert bool((column == column[0]).all())
    node = MaskFeatures(0.5, mode="node")(g).x
    assert bool((node == node[:, :1]).all())
    entry = MaskFeatures(0.5, mode="entry")(g).x
    assert not bool((entry == entry[0]).all())
    assert set(entry.unique().tolist()) == {0.0, 1.0}, "no rescaling"


@pytest.mark.parametrize("view", [MaskFeatures(0.5), AdaptiveMaskFeatures(0.5)], ids=repr)
def test_each_graph_of_a_batch_has_its_own_column_coins(view: Augmentation) -> None:
    torch.manual_seed(0)
    g = graphs.batch()
    g = g.with_x(torch.rand(g.num_nodes, 60) + 1)
    kept = (view(g).x != 0).float()  # type: ignore[attr-defined]
    rows = []
    for k in range(g.num_graphs):
        inside = kept[g.graph_ids == k]
        assert bool((inside == inside[0]).all())
        rows.append(tuple(inside[0].tolist()))
    assert len(set(rows)) == g.num_graphs


@each_graph
def test_shuffled_rows_are_the_same_rows_of_each_graph(kind: str) -> None:
    g = GRAPHS[kind]()
    moved = 0
    for seed in range(4):
        x = view_of("shuffle-features", g, seed).dense_x()
        for k in range(g.num_graphs):
            inside = g.graph_ids == k
            before, after = g.dense_x()[inside], x[inside]
            assert sorted(map(tuple, before.tolist())) == sorted(map(tuple, after.tolist()))
            moved += not torch.equal(before, after)
    assert moved or g.num_nodes == 1


# ---------------------------------------------------------------------- added edges


@each_graph
@pytest.mark.parametrize("p", [0.25, 1.0])
def test_added_edges_are_new_and_as_many_as_asked(p: float, kind: str) -> None:
    g = GRAPHS[kind]()
    torch.manual_seed(0)
    view = AddEdges(p)(g)
    old, now = edge_list(g), edge_list(view)
    for edge in set(old):
        assert now.count(edge) == old.count(edge)
    new = [edge for edge in now if edge not in set(old)]
    assert len(new) == len(set(new))
    assert all(s != t for s, t in new)
    both = 2 if g.is_undirected else 1
    for k in range(g.num_graphs):
        inside = (g.graph_ids == k).nonzero().squeeze(1).tolist()
        here = [e for e in old if e[0] in inside and e[0] != e[1]]
        room = len(inside) * (len(inside) - 1) - len(set(here))
        asked = both * int(torch.tensor(p * len(here) / both).round())
        assert sum(e[0] in inside for e in new) == min(asked, room)
    if g.edge_weight is not None:
        weights = {e: float(w) for e, w in zip(now, view.edge_weight, strict=True)}
        assert all(weights[e] == 1 for e in new)
    if g.edge_attr is not None:
        known = {tuple(a) for a in g.edge_attr.tolist()}
        assert {tuple(a) for a in view.edge_attr.tolist()} == known
        attributes = {e: tuple(a) for e, a in zip(now, view.edge_attr.tolist(), strict=True)}
        assert all(attributes[s, t] == attributes[t, s] for s, t in new)


def test_added_edges_reach_every_free_pair_equally() -> None:
    g = graphs.path(8)
    counts: dict[tuple[int, int], int] = {}
    torch.manual_seed(0)
    for _ in range(1500):
        for s, t in set(edge_list(AddEdges(0.15)(g))) - set(edge_list(g)):
            if s < t:
                counts[s, t] = counts.get((s, t), 0) + 1
    assert len(counts) == 28 - 7, "the last node too"
    assert all(binomial(c, 1500, 1 / 21) for c in counts.values())


def test_added_edges_in_a_complete_graph_have_no_room() -> None:
    g = graphs.undirected(6, 15)
    assert AddEdges(0.5)(g).num_edges == 30
    nearly = graphs.undirected(40, 779)
    assert AddEdges(0.5)(nearly).num_edges == 1560


# ---------------------------------------------------------------------- fewer nodes


@each_graph
@pytest.mark.parametrize("how", ["walk", "nodes"])
@pytest.mark.parametrize("ratio", [0.01, 0.3, 0.8, 1.0])
def test_subgraph_has_the_size_asked_for(ratio: float, how: str, kind: str) -> None:
    g = GRAPHS[kind]()
    for seed in range(3):
        torch.manual_seed(seed)
        view = Subgraph(ratio, how=how)(g)  # type: ignore[arg-type]
        for k in range(g.num_graphs):
            n = int((g.graph_ids == k).sum())
            assert int((view.graph_ids == k).sum()) == max(1, int((torch.tensor(n) * ratio).round()))
        assert view.num_seeds is None or view.num_seeds >= 1


@pytest.mark.parametrize("name", ["drop-nodes", "subgraph walk", "subgraph nodes"])
@each_graph
def test_fewer_nodes_keep_all_edges_between_them(name: str, kind: str) -> None:
    g = GRAPHS[kind]()
    view = view_of(name, g, 4)
    rows = original(g, view)
    kept = set(rows.tolist())
    assert sorted((int(rows[s]), int(rows[t])) for s, t in edge_list(view)) == sorted(e for e in edge_list(g) if set(e) <= kept)
    assert torch.equal(rows, rows.sort().values)
    if g.num_seeds is not None:
        assert view.num_seeds == sum(row < g.num_seeds for row in kept)


def test_walk_goes_further_than_one_hop_and_stays_connected() -> None:
    g = graphs.path(30)
    for seed in range(10):
        torch.manual_seed(seed)
        rows = Subgraph(0.2)(g).node_ids
        assert rows.numel() == 6
        assert int(rows[-1] - rows[0]) == 5, "six nodes in a row, five hops apart"


def test_walk_leaves_a_component_that_is_too_small() -> None:
    islands = torch.arange(10)
    g = Graph.of((graphs.features(20), graphs.both(torch.stack([islands * 2, islands * 2 + 1]))))
    torch.manual_seed(0)
    view = Subgraph(0.5)(g)
    assert view.num_nodes == 10
    assert view.num_edges >= 8, "islands are taken whole, but for the last"


def test_walk_starts_at_seeds() -> None:
    g = replace(graphs.path(100), num_seeds=5)
    for seed in range(5):
        torch.manual_seed(seed)
        assert int(Subgraph(0.05)(g).node_ids[0]) < 5


def test_large_graphs_are_walked_in_bounded_steps() -> None:
    torch.manual_seed(0)
    g = graphs.undirected(1500, 6000)
    view = Subgraph(0.4)(g)
    assert view.num_nodes == 600


def test_views_of_views_point_to_the_first_graph() -> None:
    g = graphs.batch()
    torch.manual_seed(0)
    view = Compose(DropNodes(0.3), Subgraph(0.7), DropNodes(0.2))(g)
    assert torch.equal(view.x, g.x[view.node_ids])


@each_graph
def test_matched_rows_are_the_nodes_both_views_hold(kind: str) -> None:
    g = GRAPHS[kind]()
    torch.manual_seed(0)
    views = DropNodes(0.4)(g), Subgraph(0.6)(g)
    rows1, rows2 = matched(*views)
    assert torch.equal(views[0].node_ids[rows1], views[1].node_ids[rows2])
    seeds = g.node_ids[: g.num_seeds].tolist()
    expected = set(views[0].node_ids.tolist()) & set(views[1].node_ids.tolist()) & set(seeds)
    assert set(views[0].node_ids[rows1].tolist()) == expected
    assert [rows.tolist() for rows in matched(g, g)] == [list(range(len(seeds)))] * 2


# ---------------------------------------------------------------------- diffusion


def dense_transition(g: Graph) -> np.ndarray:
    """``D^-1/2 (A + I) D^-1/2`` by a double loop; row: target, column: source."""
    n = g.num_nodes
    a = np.zeros((n, n))
    for (s, t), w in zip(edge_list(g), g.weights.tolist(), strict=True):
        a[t, s] += w
    looped = set(loops_of(g))
    for i in range(n):
        a[i, i] += 0 if i in looped else 1
    d = a.sum(1)
    return np.array([[a[i, j] / math.sqrt(d[i] * d[j]) for j in range(n)] for i in range(n)])


def in_double(g: Graph) -> Graph:
    weight = None if g.edge_weight is None else g.edge_weight.double()
    x = g.x.with_values(g.x.values().double()) if isinstance(g.x, CSR) else g.x.double()
    return replace(g, x=x, edge_weight=weight)


@each_graph
@pytest.mark.parametrize("alpha", [0.05, 0.2, 1.0])
def test_diffusion_equals_the_dense_pagerank(alpha: float, kind: str) -> None:
    g = in_double(GRAPHS[kind]())
    t = dense_transition(g)
    expected = alpha * np.linalg.inv(np.eye(len(t)) - (1 - alpha) * t)
    view = Diffuse("ppr", alpha=alpha, top_k=None, tol=1e-12, block=5)(g)
    assert np.allclose(view.summed().to_dense().numpy(), expected, atol=1e-10)


@each_graph
@pytest.mark.parametrize("t", [0.0, 0.5, 5.0, 40.0])
def test_diffusion_equals_the_dense_heat_kernel(t: float, kind: str) -> None:
    g = in_double(GRAPHS[kind]())
    transition = dense_transition(g)
    expected = scipy.linalg.expm(-t * (np.eye(len(transition)) - transition))
    view = Diffuse("heat", t=t, top_k=None, tol=1e-12, block=7)(g)
    assert np.allclose(view.summed().to_dense().numpy(), expected, atol=1e-10)


@pytest.mark.parametrize("tol", [1e-2, 1e-4, 1e-6])
@pytest.mark.parametrize("view", [Diffuse("ppr", alpha=0.1), Diffuse("heat", t=3.0), Diffuse("heat", t=100.0)], ids=repr)
def test_truncated_series_keeps_its_bound(view: Diffuse, tol: float) -> None:
    view = replace(view, tol=tol, top_k=None)
    g = in_double(graphs.undirected())
    left = 1 - math.fsum(view.coefficients())
    assert -1e-12 <= left <= tol
    exact = replace(view, tol=1e-13)(g).summed().to_dense()
    assert float((view(g).summed().to_dense() - exact).abs().max()) <= tol


@pytest.mark.parametrize("kind", ["ppr", "heat"])
def test_top_k_and_threshold_keep_the_strongest(kind: str) -> None:
    g = in_double(graphs.undirected())
    dense = Diffuse(kind, top_k=None, tol=1e-10)(g).summed().to_dense()  # type: ignore[arg-type]
    top = Diffuse(kind, top_k=4, symmetric=False, tol=1e-10)(g)  # type: ignore[arg-type]
    assert top.pattern.counts.tolist() == [4] * g.num_nodes
    for i in range(g.num_nodes):
        expected = sorted(dense[i].tolist())[-4:]
        assert np.allclose(sorted(top.edge_weight[top.edge_index[1] == i].tolist()), expected)
    cut = float(dense.median())
    over = Diffuse(kind, top_k=None, threshold=cut, tol=1e-10)(g)  # type: ignore[arg-type]
    assert torch.allclose(over.summed().to_dense(), dense * (dense >= cut))


def test_symmetric_diffusion_keeps_what_either_end_keeps() -> None:
    g = in_double(graphs.path())
    one_way = Diffuse(top_k=2, symmetric=False)(g)
    assert not one_way.is_undirected
    both = Diffuse(top_k=2)(g)
    assert both.has_symmetric_weights
    kept = set(edge_list(one_way))
    assert set(edge_list(both)) == kept | {(t, s) for s, t in kept}
    assert torch.allclose(both.summed().to_dense()[one_way.edge_index[1], one_way.edge_index[0]], one_way.edge_weight)


@each_graph
def test_renormalised_diffusion_sums_to_one(kind: str) -> None:
    view = Diffuse(top_k=3, renormalise=True, symmetric=False)(GRAPHS[kind]())
    assert torch.allclose(view.summed().to_dense().sum(1), torch.ones(view.num_nodes))


def test_diffusion_is_never_carried_from_one_graph_to_another() -> None:
    view = Diffuse(top_k=3)
    first, second = graphs.undirected(seed=0), graphs.undirected(seed=1)
    view(first)
    assert same(contents(view(second)), contents(Diffuse(top_k=3)(graphs.undirected(seed=1))))
    other = first.with_x(torch.ones(graphs.N, 2))
    assert torch.equal(view(other).x, other.x), "its own features"
    assert view(first).summed() is view(first).summed(), "one graph is diffused once"
    assert not same(contents(Diffuse(top_k=3, alpha=0.5)(first)), contents(view(first))), "but once for each setting"


def test_diffusion_refuses_negative_weights() -> None:
    g = graphs.weighted()
    with pytest.raises(ValueError, match="edge weights of at least 0, got one of -2"):
        Diffuse()(replace(g, edge_weight=g.edge_weight - g.edge_weight - 2))


# ---------------------------------------------------------------------- centralities and GCA


def connected(kind: str) -> Graph:
    """Small connected graphs in float64."""
    if kind == "path":
        return in_double(graphs.path())
    if kind == "star":
        leaves = torch.arange(1, 9)
        return Graph.of((graphs.features(9).double(), graphs.both(torch.stack([torch.zeros_like(leaves), leaves]))))
    if kind == "undirected":
        return in_double(graphs.undirected())
    ends = torch.arange(graphs.N)
    ring = torch.stack([ends, (ends + 1) % graphs.N])
    return Graph.of((graphs.features().double(), torch.cat([ring, graphs.edges(graphs.N, 9, seed=3).flip(0)[:, 1:]], 1)))


def as_networkx(g: Graph) -> nx.DiGraph:
    out = nx.DiGraph()
    out.add_nodes_from(range(g.num_nodes))
    out.add_edges_from(edge_list(g))
    return out


@pytest.mark.parametrize("kind", ["path", "star", "undirected", "directed"])
def test_centralities_equal_networkx(kind: str) -> None:
    g = connected(kind)
    theirs = as_networkx(g)
    n = g.num_nodes
    degree = [theirs.in_degree(i) for i in range(n)]
    assert centrality(g, "degree").tolist() == degree
    rank = nx.pagerank(theirs, alpha=0.85, tol=1e-14, max_iter=1000)
    assert np.allclose(centrality(g, "pagerank").numpy(), [rank[i] for i in range(n)], atol=1e-10)
    vector = nx.eigenvector_centrality(theirs, max_iter=20_000, tol=1e-14)
    assert np.allclose(centrality(g, "eigenvector").numpy(), [vector[i] for i in range(n)], atol=1e-6)


@pytest.mark.parametrize("kind", ["directed", "with_isolated_nodes", "no_edges"])
def test_pagerank_spreads_the_mass_of_dead_ends(kind: str) -> None:
    g = in_double(GRAPHS[kind]())
    rank = nx.pagerank(as_networkx(g), alpha=0.85, tol=1e-14, max_iter=1000)
    assert np.allclose(centrality(g, "pagerank").numpy(), [rank[i] for i in range(g.num_nodes)], atol=1e-10)


@pytest.mark.parametrize("name", CENTRALITIES)
def test_centralities_of_a_batch_are_those_of_its_graphs(name: str) -> None:
    g = in_double(graphs.batch())
    whole = centrality(g, name)
    for k in range(g.num_graphs):
        inside = (g.graph_ids == k).nonzero().squeeze(1)
        alone = replace(g.keep_nodes(inside), graph_id=None, num_graphs=1)
        assert torch.allclose(whole[inside], centrality(alone, name), atol=1e-9)


def gca(scores: dict[object, float], p: float, cut: float) -> dict[object, float]:
    """The paper's probabilities, one by one."""
    top, mean = max(scores.values()), sum(scores.values()) / len(scores)
    return {k: min((top - s) / (top - mean) * p, cut) if top - mean > 1e-9 else min(p, cut) for k, s in scores.items()}


@pytest.mark.parametrize("name", CENTRALITIES)
@pytest.mark.parametrize("directed", [False, True])
@pytest.mark.parametrize("kind", ["path", "undirected", "directed", "with_loops", "with_isolated_nodes", "batch", "weighted"])
def test_edge_probabilities_equal_the_paper(kind: str, directed: bool, name: str) -> None:
    g = in_double(GRAPHS[kind]())
    c = centrality(g, name).tolist()
    got = AdaptiveDropEdges(0.4, name, cut=0.7, directed=directed).probabilities(g).tolist()  # type: ignore[arg-type]
    for k in range(g.num_graphs):
        scores: dict[object, float] = {}
        for e, (s, t) in enumerate(edge_list(g)):
            if int(g.graph_ids[t]) == k and s != t:
                both = g.is_undirected and not directed
                scores[e] = math.log(max((c[s] + c[t]) / 2 if both else c[t], sys.float_info.min))
        for e, q in (gca(scores, 0.4, 0.7) if scores else {}).items():
            assert got[e] == pytest.approx(q, abs=1e-9)  # type: ignore[index]
    assert all(got[e] == 0 for e, (s, t) in enumerate(edge_list(g)) if s == t)


@pytest.mark.parametrize("magnitude", [False, True])
@pytest.mark.parametrize("kind", ["undirected", "directed", "batch", "sparse", "sparse_batch"])
def test_column_probabilities_equal_the_paper(kind: str, magnitude: bool) -> None:
    g = in_double(GRAPHS[kind]())
    c, x = centrality(g, "pagerank").tolist(), g.dense_x().tolist()
    got = AdaptiveMaskFeatures(0.4, "pagerank", magnitude=magnitude).probabilities(g)
    assert got.shape == (g.num_graphs, g.num_features)
    for k in range(g.num_graphs):
        scores: dict[object, float] = {}
        for f in range(g.num_features):
            inside = [i for i in range(g.num_nodes) if int(g.graph_ids[i]) == k]
            use = sum((abs(x[i][f]) if magnitude else float(x[i][f] != 0)) * c[i] for i in inside)
            if use > 0:
                scores[f] = math.log(use)
        for f, q in gca(scores, 0.4, 0.7).items():
            assert float(got[k, f]) == pytest.approx(q, abs=1e-9)  # type: ignore[index]


def test_adaptive_views_drop_as_often_as_they_say() -> None:
    g = graphs.undirected(60, 400)
    g = g.with_x(g.x[:, :1] + torch.rand(60, 30).bernoulli())
    edge, column = AdaptiveDropEdges(0.4), AdaptiveMaskFeatures(0.4)
    torch.manual_seed(0)
    rounds, kept, used = 400, torch.zeros(g.num_edges), torch.zeros(1, g.num_features)
    code = g.edge_index[1] * 60 + g.edge_index[0]
    for _ in range(rounds):
        view = edge(g)
        kept += torch.isin(code, view.edge_index[1] * 60 + view.edge_index[0])
        used += (column(g).x != 0).any(0)  # type: ignore[attr-defined]
    assert all(binomial(k, rounds, 1 - q) for k, q in zip(kept.tolist(), edge.probabilities(g).tolist(), strict=True))
    assert all(binomial(k, rounds, 1 - q) for k, q in zip(used[0].tolist(), column.probabilities(g)[0].tolist(), strict=True))


@pytest.mark.parametrize("name", CENTRALITIES)
def test_a_regular_graph_has_one_probability(name: str) -> None:
    ends = torch.arange(101)
    ring = Graph.of((torch.ones(101, 4), graphs.both(torch.stack([ends, (ends + 1) % 101]))))
    assert torch.allclose(AdaptiveDropEdges(0.3, name).probabilities(ring), torch.tensor(0.3))  # type: ignore[arg-type]
    assert torch.allclose(AdaptiveMaskFeatures(0.3, name).probabilities(ring), torch.tensor(0.3))  # type: ignore[arg-type]


def test_adaptive_masks_follow_the_features_and_not_an_earlier_graph() -> None:
    g, view = graphs.undirected(), AdaptiveMaskFeatures(0.4)
    first = view.probabilities(g)
    assert not torch.equal(first, view.probabilities(g.with_x(g.x.flip(1))))
    assert torch.equal(first.flip(1), view.probabilities(g.with_x(g.x.flip(1))))


# ---------------------------------------------------------------------- made of others, and refusals


def test_compose_applies_in_order_and_knows_whether_nodes_stay() -> None:
    g = graphs.undirected()
    torch.manual_seed(3)
    together = Compose(DropEdges(0.5), MaskFeatures(0.5))(g)
    torch.manual_seed(3)
    assert same(contents(together), contents(MaskFeatures(0.5)(DropEdges(0.5)(g))))
    assert Compose(DropEdges(0.5), MaskFeatures(0.5)).keeps_nodes
    assert not Compose(DropEdges(0.5), DropNodes(0.5)).keeps_nodes
    assert not RandomChoice(DropEdges(0.5), DropNodes(0.5)).keeps_nodes


def test_random_choice_follows_its_weights() -> None:
    g = graphs.path()
    torch.manual_seed(0)
    chosen = sum(RandomChoice(Identity(), DropEdges(1.0), weights=(3, 1))(g).num_edges == 0 for _ in range(400))
    assert binomial(chosen, 400, 0.25)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: DropEdges(1.5), "p must be a number from 0 to 1, got 1.5"),
        (lambda: DropEdges(float("nan")), "p must be a number from 0 to 1, got nan"),
        (lambda: DropEdges("0.5"), "p must be a number from 0 to 1, got '0.5'"),  # type: ignore[arg-type]
        (lambda: AddEdges(-0.1), "p must be"),
        (lambda: MaskFeatures(2), "p must be"),
        (lambda: MaskFeatures(0.5, mode="row"), "mode must be one of 'column', 'entry', 'node', got 'row'"),  # type: ignore[arg-type]
        (lambda: DropNodes(-1), "p must be"),
        (lambda: Subgraph(0.0), "ratio must be above 0"),
        (lambda: Subgraph(0.5, how="hop"), "how must be one of 'walk', 'grow', 'nodes', got 'hop'"),  # type: ignore[arg-type]
        (lambda: Subgraph(0.5, restart=1.1), "restart must be"),
        (lambda: Subgraph(0.5, reach=0), "reach must be at least 1, got 0"),
        (lambda: Diffuse("markov"), "kind must be one of 'ppr', 'heat'"),  # type: ignore[arg-type]
        (lambda: Diffuse(alpha=0), "alpha must be above 0"),
        (lambda: Diffuse("heat", t=-1), "t must be"),
        (lambda: Diffuse(top_k=0), "top_k must be at least 1"),
        (lambda: Diffuse(threshold=-1), "threshold must be at least 0"),
        (lambda: Diffuse(tol=0), "tol must lie between 0 and 1"),
        (lambda: Diffuse(block=0), "block must be at least 1"),
        (lambda: AdaptiveDropEdges(0.5, "closeness"), "centrality must be one of"),  # type: ignore[arg-type]
        (lambda: AdaptiveDropEdges(0.5, cut=7), "cut must be"),
        (lambda: AdaptiveMaskFeatures(0.5, "closeness"), "centrality must be one of"),  # type: ignore[arg-type]
        (lambda: RandomChoice(), "views must hold at least one"),
        (lambda: RandomChoice(Identity(), weights=(1, 2)), "weights must be 1 numbers"),
        (lambda: RandomChoice(Identity(), Identity(), weights=(0, 0)), "weights must be 2 numbers"),
        (lambda: Compose(DropEdges), "views must be augmentations"),  # type: ignore[arg-type]
        (lambda: aligned([]), "views must hold at least one"),
        (lambda: aligned([lambda g: g]), "views must be augmentations"),  # type: ignore[list-item, arg-type, return-value]
        (lambda: aligned([DropNodes(0.5)]), "views must keep all nodes here"),
    ],
)
def test_refuses_with_a_message(make: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()  # type: ignore[operator]


def test_aligned_takes_droppers_where_rows_are_matched() -> None:
    views = (DropNodes(0.5), DropEdges(0.2))
    assert aligned(views, may_drop=True) == views
    assert aligned(DropEdges(0.2)) == (DropEdges(0.2),)  # type: ignore[arg-type]


# ---------------------------------------------------------------------- the table


def test_every_class_is_in_both_tables_and_in_the_laws() -> None:
    classes = {name for name in augment.__all__ if isinstance(getattr(augment, name), type) and name != "Augmentation"}
    assert {cls.__name__ for cls in AUGMENTATIONS.values()} == classes
    assert list(AUGMENTATIONS) == list(DESCRIPTIONS)
    assert {type(view) for view in CASES.values()} == set(AUGMENTATIONS.values())
    for name, cls in AUGMENTATIONS.items():
        assert cls.__doc__
        assert name.replace("-", "") == cls.__name__.lower()
        assert ">>>" in cls.__doc__
        assert "\n" not in DESCRIPTIONS[name]


def test_descriptions_need_no_torch() -> None:
    code = "import sys; from graphssl.augment.table import DESCRIPTIONS; assert DESCRIPTIONS and 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="DropEverything"):
        augment.DropEverything  # noqa: B018
