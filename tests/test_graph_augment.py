"""Augmentations of many graphs: exact shares, growth, a choice for each graph, diffusion of each graph alone."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable
from dataclasses import fields, replace
from typing import ClassVar

import graphs
import pytest
import torch
from checks import close, double
from torch import Tensor

from graphssl import Compose, Diffuse, DropEdges, DropNodes, Graph, Identity, MaskFeatures, RandomChoice, Subgraph, side_by_side
from graphssl.adjacency import CSR
from graphssl.augment import Augmentation
from graphssl.augment.compose import one_for_each
from graphssl.augment.views import drawn, drawn_by_sorting, share_of

SIZES = (5, 12, 1, 30, 9, 20, 3)


def several(sparse: bool = False) -> Graph:
    """Connected graphs of :data:`SIZES` nodes, with weights and attributes that tell edges apart, and labels."""
    parts = []
    for k, n in enumerate(SIZES):
        tree = torch.stack([torch.tensor([j // 2 for j in range(1, n)], dtype=torch.long), torch.arange(1, n)])
        parts.append(
            Graph.of((graphs.features(n, seed=k), graphs.both(torch.cat([tree, graphs.edges(n, n // 2, seed=k)], 1).unique(dim=1))))
        )
    g = replace(side_by_side(parts), y=torch.arange(len(SIZES)))
    g = graphs.with_weights(g)
    return g.with_x(CSR.from_dense(g.dense_x())) if sparse else g


def per_graph(g: Graph, mask: Tensor | None = None, group: Tensor | None = None) -> list[int]:
    """How many nodes (or other items of ``group``) of each graph, or of those in ``mask``, there are."""
    group = g.graph_ids if group is None else group
    return torch.bincount(group if mask is None else group[mask], minlength=g.num_graphs).tolist()


def pairs(g: Graph) -> list[int]:
    """Undirected edges of each graph, self-loops not among them."""
    source, target = g.edge_index
    return per_graph(g, source < target, g.graph_ids[target])


def connected(g: Graph) -> bool:
    seen, todo = {0}, [0]
    neighbours = [[] for _ in range(g.num_nodes)]
    for s, t in g.edge_index.t().tolist():
        neighbours[t].append(s)
    while todo:
        new = [j for j in neighbours[todo.pop()] if j not in seen]
        seen.update(new)
        todo += new
    return len(seen) == g.num_nodes


def alone(g: Graph, k: int) -> Graph:
    return replace(g.keep_graphs(torch.tensor([k])), graph_id=None)


def near(count: float, trials: int, p: float) -> bool:
    """Within five standard deviations of what ``trials`` coins give."""
    return abs(count - trials * p) <= 5 * math.sqrt(trials * p * (1 - p)) + 1e-9


# ---------------------------------------------------------------------- exact shares


def test_shares_are_whole_numbers_whatever_binary_makes_of_them() -> None:
    sizes = torch.arange(0, 2001)
    for tenth in range(11):
        assert share_of(tenth / 10, sizes).tolist() == [n * tenth // 10 for n in sizes.tolist()]
    assert share_of(0.29, torch.tensor([100])).item() == 29


@pytest.mark.parametrize("drawn", [drawn, drawn_by_sorting])
def test_drawn_takes_so_many_of_each_group_evenly(drawn: Callable[[Tensor, Tensor], Tensor]) -> None:
    torch.manual_seed(0)
    group, counts = torch.tensor([2, 0, 2, 0, 2, 0, 0, 2]), torch.tensor([1, 0, 3])
    hits = torch.zeros(8)
    for _ in range(800):
        mask = drawn(group, counts)
        assert torch.bincount(group[mask], minlength=3).tolist() == [1, 0, 3]
        hits += mask
    assert all(near(h, 800, 0.25 if k in (1, 3, 5, 6) else 0.75) for k, h in enumerate(hits.tolist()))


@pytest.mark.parametrize("p", [0.0, 0.1, 0.5, 0.99, 1.0])
@pytest.mark.parametrize("sparse", [False, True])
def test_so_many_nodes_of_each_graph_go(p: float, sparse: bool) -> None:
    g = several(sparse)
    view = DropNodes(p, exact=True)(g)
    assert per_graph(view) == [max(n - int(p * n + 1e-9), 1) for n in SIZES]
    assert torch.equal(view.dense_x(), g.dense_x()[view.node_ids])
    assert torch.equal(view.y, g.y)


@pytest.mark.parametrize("p", [0.0, 0.1, 0.5, 1.0])
def test_so_many_edges_of_each_graph_go(p: float) -> None:
    g = several()
    loops = torch.arange(g.num_nodes).expand(2, -1)
    looped = g.with_edges(torch.cat([g.edge_index, loops], 1))
    view = DropEdges(p, exact=True)(looped)
    assert pairs(view) == [m - int(p * m + 1e-9) for m in pairs(g)]
    assert int((view.edge_index[0] == view.edge_index[1]).sum()) == g.num_nodes
    assert view.is_undirected
    one_way = DropEdges(p, exact=True, directed=True)(looped)
    assert per_graph(one_way, None, one_way.graph_ids[one_way.edge_index[1]]) == [
        2 * m - int(p * 2 * m + 1e-9) + n for m, n in zip(pairs(g), SIZES, strict=True)
    ]


def test_exact_draws_are_even() -> None:
    torch.manual_seed(0)
    g = graphs.undirected(10, 20)
    code = g.edge_index[1] * 10 + g.edge_index[0]
    nodes, edges, rows = torch.zeros(10), torch.zeros(40), torch.zeros(10)
    for _ in range(600):
        nodes[DropNodes(0.3, exact=True)(g).node_ids] += 1
        kept = DropEdges(0.3, exact=True)(g).edge_index
        edges += torch.isin(code, kept[1] * 10 + kept[0])
        rows += (MaskFeatures(0.3, mode="node", exact=True)(g).x != 0).any(1)
    assert all(near(hits, 600, 0.7) for part in (nodes, edges, rows) for hits in part.tolist())


def test_exact_dropping_leaves_a_seed() -> None:
    g = graphs.seeded()
    for seed in range(20):
        torch.manual_seed(seed)
        view = DropNodes(0.99, exact=True)(g)
        assert view.num_seeds is not None
        assert view.num_seeds >= 1
        assert view.num_nodes in (1, 2)


# ---------------------------------------------------------------------- masked nodes


@pytest.mark.parametrize("sparse", [False, True])
@pytest.mark.parametrize("fill", ["zero", "noise", "mean"])
def test_so_many_nodes_of_each_graph_are_masked_and_no_other_changes(fill: str, sparse: bool) -> None:
    g = several(sparse)
    view = MaskFeatures(0.2, mode="node", fill=fill, exact=True)(g)  # type: ignore[arg-type]
    x, before = view.dense_x(), g.dense_x()
    changed = (x != before).any(1)
    assert per_graph(g, changed) == [n // 5 for n in SIZES]
    assert torch.equal(view.edge_index, g.edge_index)
    assert isinstance(view.x, CSR) == sparse
    if fill == "zero":
        assert not x[changed].any()
    if fill == "mean":
        for i in changed.nonzero().flatten().tolist():
            close(x[i], before[g.graph_ids == g.graph_ids[i]].mean(0), 1e-6)


@pytest.mark.parametrize("fill", ["zero", "noise", "mean"])
def test_masks_of_sparse_features_are_those_of_dense_ones(fill: str) -> None:
    for exact in (False, True):
        views = []
        for sparse in (False, True):
            torch.manual_seed(2)
            views.append(MaskFeatures(0.4, mode="node", fill=fill, exact=exact)(several(sparse)).dense_x())  # type: ignore[arg-type]
        close(*views, 1e-6)


def test_noise_is_normal_around_a_half() -> None:
    torch.manual_seed(0)
    g = Graph.of((torch.full((4000, 5), 9.0), torch.empty(2, 0, dtype=torch.long)))
    noise = MaskFeatures(1.0, mode="node", fill="noise")(g).x
    assert noise.mean().item() == pytest.approx(0.5, abs=0.02)  # type: ignore[union-attr]
    assert noise.std().item() == pytest.approx(0.5, abs=0.02)  # type: ignore[union-attr]
    assert MaskFeatures(1.0, mode="node", fill="noise")(double(g)).x.dtype == torch.float64


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: MaskFeatures(0.5, fill="ones"), "fill must be one of 'zero', 'noise', 'mean', got 'ones'"),  # type: ignore[arg-type]
        (lambda: MaskFeatures(0.5, fill="mean"), "fill and exact are for mode 'node', got mode 'column'"),
        (lambda: MaskFeatures(0.5, mode="entry", exact=True), "fill and exact are for mode 'node', got mode 'entry'"),
        (lambda: Subgraph(0.5, how="shrink"), "how must be one of 'walk', 'grow', 'nodes', got 'shrink'"),  # type: ignore[arg-type]
    ],
)
def test_refuses_with_a_message(make: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()  # type: ignore[operator]


# ---------------------------------------------------------------------- growth


@pytest.fixture(params=["compiled", "tensors"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both ways to grow: node after node, as on the CPU, and all graphs at once by waiting times, as elsewhere."""
    if request.param == "tensors":
        monkeypatch.setattr(Subgraph, "_chosen", Subgraph._chosen_by_time)


both_ways = pytest.mark.usefixtures("way")


@both_ways
@pytest.mark.parametrize("ratio", [0.01, 0.2, 0.5, 0.8, 1.0])
def test_growth_keeps_so_many_nodes_of_each_graph_in_one_piece(ratio: float) -> None:
    g = several()
    for seed in range(5):
        torch.manual_seed(seed)
        view = Subgraph(ratio, how="grow")(g)
        assert per_graph(view) == [max(1, round(ratio * n)) for n in SIZES]
        assert all(connected(alone(view, k)) for k in range(g.num_graphs))


def grown(neighbours: dict[int, set[int]], count: int, generator: torch.Generator) -> frozenset[int]:
    """The paper's growth, a node at a time."""

    def pick(options: list[int]) -> int:
        return options[int(torch.randint(len(options), (1,), generator=generator))]

    inside = {pick(sorted(neighbours))}
    while len(inside) < count:
        front = sorted(set().union(*(neighbours[i] for i in inside)) - inside)
        inside.add(pick(front or sorted(set(neighbours) - inside)))
    return frozenset(inside)


@both_ways
def test_growth_is_as_likely_as_a_node_at_a_time() -> None:
    """A path with a short cut, and a pair apart from it: every set that growth may reach comes up as often as in the loop."""
    edges = torch.tensor([[0, 1, 2, 3, 4, 5, 6, 2, 8], [1, 2, 3, 4, 5, 6, 7, 4, 9]])
    g = Graph.of((torch.eye(10), graphs.both(edges)))
    neighbours: dict[int, set[int]] = {i: set() for i in range(10)}
    for s, t in g.edge_index.t().tolist():
        neighbours[t].add(s)
    copies = side_by_side([g] * 3000)
    torch.manual_seed(0)
    ids = Subgraph(0.4, how="grow")(copies).node_ids.reshape(3000, 4) % 10
    ours = Counter(frozenset(row) for row in ids.tolist())
    generator = torch.Generator().manual_seed(1)
    theirs = Counter(grown(neighbours, 4, generator) for _ in range(3000))
    for nodes in {*ours, *theirs}:
        count = theirs[nodes]
        share = (count + ours[nodes]) / 6000
        assert abs(ours[nodes] - count) <= 5 * math.sqrt(2 * 3000 * share * (1 - share))


@both_ways
def test_all_that_may_join_are_as_likely_however_long_they_have_waited() -> None:
    """From the middle of a path, each of three steps goes to either side as to the other."""
    g = Graph.of((torch.eye(7), graphs.both(torch.tensor([[0, 1, 2, 0, 4, 5], [1, 2, 3, 4, 5, 6]]))))
    torch.manual_seed(0)
    kept = [Subgraph(4 / 7, how="grow")(replace(g, num_seeds=1)).node_ids.tolist() for _ in range(600)]
    for nodes, p in (([0, 1, 2, 3], 1 / 8), ([0, 1, 2, 4], 3 / 8), ([0, 1, 4, 5], 3 / 8), ([0, 4, 5, 6], 1 / 8)):
        assert near(kept.count(nodes), 600, p)


@both_ways
def test_growth_follows_edges_against_their_direction() -> None:
    """As walks do: a node joins if it sends an edge to one that is there."""
    ends = torch.arange(9)
    g = Graph.of((torch.eye(10), torch.stack([ends, ends + 1])))
    for seed in range(20):
        torch.manual_seed(seed)
        kept = Subgraph(0.3, how="grow")(g).node_ids.tolist()
        first = max(kept)
        assert kept == [first - 2, first - 1, first] or first < 2 or min(kept) == 0


@both_ways
def test_growth_begins_at_a_seed() -> None:
    for seed in range(20):
        torch.manual_seed(seed)
        assert Subgraph(0.1, how="grow")(graphs.seeded()).num_seeds == 1


@both_ways
def test_long_paths_are_cut_and_made_up_at_random() -> None:
    g = graphs.path(200)
    for reach in (1, 50):
        assert Subgraph(0.9, how="grow", reach=reach)(g).num_nodes == 180
    assert connected(Subgraph(0.9, how="grow")(g))


# ---------------------------------------------------------------------- a choice for each graph


class Counting:
    """Counts how often it is called."""

    keeps_nodes: ClassVar[bool] = True

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, g: Graph) -> Graph:
        self.calls += 1
        return g


CLEAR: tuple[Augmentation, ...] = (Identity(), DropEdges(1.0), MaskFeatures(1.0, mode="node"))


def equal(a: Graph, b: Graph) -> bool:
    return (
        torch.equal(a.dense_x(), b.dense_x())
        and torch.equal(a.edge_index, b.edge_index)
        and torch.equal(a.weights, b.weights)
        and torch.equal(a.edge_attr, b.edge_attr)  # type: ignore[arg-type]
    )


@pytest.mark.parametrize("sparse", [False, True])
def test_each_graph_is_seen_through_its_own_view(sparse: bool) -> None:
    g = several(sparse)
    choice = torch.tensor([2, 0, 1, 1, 0, 2, 1])
    view = one_for_each(g, CLEAR, choice)
    assert torch.equal(view.graph_ids, g.graph_ids)
    assert torch.equal(view.node_ids, g.node_ids)
    assert torch.equal(view.y, g.y)
    assert view.num_graphs == g.num_graphs
    for k, c in enumerate(choice.tolist()):
        assert equal(alone(view, k), CLEAR[c](alone(g, k)))


def test_views_that_drop_nodes_say_which_are_left() -> None:
    g = several()
    g = replace(g, node_id=torch.arange(g.num_nodes) * 3 + 2)
    for seed in range(5):
        torch.manual_seed(seed)
        view = RandomChoice(DropNodes(0.4), Subgraph(0.5, how="grow"), Identity(), DropEdges(0.3), per_graph=True)(g)
        rows = (view.node_ids - 2) // 3
        assert torch.equal(view.dense_x(), g.dense_x()[rows])
        assert torch.equal(view.graph_ids, g.graph_ids[rows])
        source, target = view.edge_index
        assert torch.equal(view.graph_ids[source], view.graph_ids[target])
        assert view.num_graphs == g.num_graphs
        assert torch.equal(view.y, g.y)
        assert view.is_undirected
        assert min(per_graph(view)) >= 1


def test_each_view_is_called_once() -> None:
    views = [Counting() for _ in range(3)]
    one_for_each(several(), views, torch.tensor([0, 2, 0, 2, 0, 0, 0]))
    assert [view.calls for view in views] == [1, 0, 1]


CUTS: dict[str, Augmentation] = {
    "identity": Identity(),
    "nodes": DropNodes(0.4),
    "nodes exact": DropNodes(0.4, exact=True),
    "edges": DropEdges(0.4),
    "edges exact": DropEdges(0.4, exact=True),
    "edges directed": DropEdges(0.4, directed=True),
    "edges directed exact": DropEdges(0.4, directed=True, exact=True),
    "grow": Subgraph(0.5, how="grow"),
    "walk": Subgraph(0.5),
    "any nodes": Subgraph(0.5, how="nodes"),
    "columns": MaskFeatures(0.6),
    "entries": MaskFeatures(0.6, mode="entry"),
    "rows": MaskFeatures(0.6, mode="node"),
    "rows exact": MaskFeatures(0.6, mode="node", exact=True),
    "noise": MaskFeatures(0.6, mode="node", fill="noise"),
}


@pytest.mark.parametrize("sparse", [False, True])
@pytest.mark.parametrize("name", CUTS)
def test_a_cut_leaves_other_graphs_alone(name: str, sparse: bool) -> None:
    g, view = several(sparse), CUTS[name]
    among = torch.tensor([True, True, False, False, True, True, False])
    torch.manual_seed(0)
    part = view.cut_out(g, among).of(g)  # type: ignore[attr-defined]
    same = [equal(alone(part, k), alone(g, k)) for k in range(g.num_graphs)]
    assert all(same[k] for k in (2, 3, 6))
    assert all(same) == (name == "identity")
    assert isinstance(part.x, CSR) == sparse
    if "exact" in name or name in ("grow", "walk", "any nodes"):
        sizes = zip(per_graph(part), pairs(part), per_graph(view(g)), pairs(view(g)), strict=True)
        for k, (nodes, edges, all_nodes, all_edges) in enumerate(sizes):
            assert not among[k] or nodes == all_nodes
            assert not among[k] or edges == all_edges or name != "edges exact"


def test_views_that_cut_are_done_in_one_go(monkeypatch: pytest.MonkeyPatch) -> None:
    g = several()
    views = (DropNodes(0.4, exact=True), DropEdges(0.5, exact=True), Subgraph(0.5, how="grow"), MaskFeatures(0.4, mode="node", exact=True))
    choice = torch.tensor([0, 1, 2, 3, 1, 2, 0])
    with monkeypatch.context() as patch:
        patch.setattr(Graph, "keep_graphs", None)
        view = one_for_each(g, views, choice)
    alike = one_for_each(g, [*views[:3], Compose(views[3])], choice)  # of which one cannot say what it cuts
    for found in (view, alike):
        assert per_graph(found) == [3, 12, 1, 30, 9, 10, 2]
        assert pairs(found)[1] == pairs(g)[1] - pairs(g)[1] // 2
        assert found.is_undirected
        assert found.node_ids.tolist() == sorted(found.node_ids.tolist())
    x, before = view.dense_x(), g.dense_x()[view.node_ids]
    assert per_graph(view, (x != before).any(1)) == [0, 0, 0, 12, 0, 0, 0]


def test_a_view_of_one_way_makes_the_whole_directed() -> None:
    g = several()
    view = one_for_each(g, (DropEdges(0.5, directed=True), DropNodes(0.3)), torch.arange(7) % 2)
    assert not view.is_undirected
    fresh = Graph(**{field.name: getattr(view, field.name) for field in fields(view)})
    assert torch.equal(view.summed().t().to_dense(), fresh.summed().to_dense().t())


def test_draws_follow_the_weights_graph_by_graph() -> None:
    torch.manual_seed(0)
    pair = Graph.of((torch.eye(2), torch.tensor([[0, 1], [1, 0]])))
    g = side_by_side([pair] * 2000)
    view = RandomChoice(Identity(), DropEdges(1.0), weights=(3, 1), per_graph=True)(g)
    assert near(view.num_edges / 2, 2000, 0.75)
    assert RandomChoice(Identity(), DropEdges(1.0), weights=(3, 1))(g).num_edges in (0, 4000)
    assert RandomChoice(Identity(), DropEdges(1.0), weights=(0, 1), per_graph=True)(g).num_edges == 0


def test_one_graph_has_one_draw_even_with_seeds() -> None:
    g = graphs.seeded()
    assert RandomChoice(Identity(), Identity(), per_graph=True)(g) is g


# ---------------------------------------------------------------------- diffusion of each graph alone


@pytest.mark.parametrize("block", [1, 4, 10, 1024])
@pytest.mark.parametrize("options", [{"top_k": None}, {"top_k": 4}, {"kind": "heat", "threshold": 0.02}, {"renormalise": True}])
def test_diffusion_of_a_batch_is_that_of_its_graphs(options: dict[str, object], block: int) -> None:
    g = double(several())
    g = replace(g, edge_attr=None)
    view = Diffuse(**{"alpha": 0.2, **options}, block=block)(g)  # type: ignore[arg-type]
    whole = view.summed().to_dense()
    start = 0
    for k, n in enumerate(SIZES):
        single = Diffuse(**{"alpha": 0.2, **options})(alone(g, k))  # type: ignore[arg-type]
        close(whole[start : start + n, start : start + n], single.summed().to_dense(), 1e-9)
        whole[start : start + n, start : start + n] = 0
        start += n
    assert not whole.any(), "an edge crosses graphs"
