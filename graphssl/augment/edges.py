"""Views with fewer or more edges."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from graphssl.augment.views import Cut, below, check_share, drawn, first_of_each, graph_sizes, only, share_of, shuffled
from graphssl.graph import Graph


@dataclass(frozen=True)
class DropEdges:
    """DropEdge (Rong et al., 2020, arXiv:1907.10903): each edge is dropped with probability ``p``.

    Both directions of an undirected edge share one coin, so an undirected graph stays one; parallel edges have a coin each.
    Self-loops always stay. Weights and attributes go with their edges; nothing is rescaled.

    Args:
        p: probability that an edge is dropped, from 0 to 1.
        directed: a coin for each direction, as in the authors' codes of GRACE, BGRL, GCA and CCA-SSG; the view counts as
            a directed graph. A directed graph is always treated so.
        exact: drop ``int(p * M)`` edges of each graph of ``M``, drawn uniformly, as GraphCL does (You et al., 2020, arXiv:2010.13902),
            instead of tossing coins; ``M`` counts what would have a coin.

    Raises:
        ValueError: ``p`` is not from 0 to 1.

    Example:
        >>> g = Graph.of((torch.eye(3), torch.tensor([[0, 1, 1, 2, 2], [1, 0, 2, 1, 2]])))
        >>> DropEdges(1.0)(g).edge_index.tolist()
        [[2], [2]]
        >>> DropEdges(0.5)(g).is_undirected
        True
    """

    p: float
    directed: bool = False
    exact: bool = False
    keeps_nodes: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check_share("p", self.p)

    def __call__(self, g: Graph) -> Graph:
        return self.cut_out(g).of(g)

    def cut_out(self, g: Graph, among: Tensor | None = None) -> Cut:
        """What is left of the graphs where ``among`` ``[G]`` is true, and all of the others."""
        both = g.is_undirected and not self.directed
        if self.exact:
            return Cut(edges=self._exactly(g, both, among), symmetric=both)
        if both:
            pair, first = edge_pairs(g)
            keep = torch.rand(first.numel() + 1, device=g.device) >= self.p
            keep[-1:] = True
            keep = keep.index_select(0, pair)
        else:
            keep = (torch.rand(g.num_edges, device=g.device) >= self.p).index_fill_(0, loops(g), True)
        return Cut(edges=keep if among is None else keep | ~among[graph_of_edges(g)], symmetric=both)

    def _exactly(self, g: Graph, both: bool, among: Tensor | None) -> Tensor:
        """Which edges stay where a number of each graph's goes, ``[E]``; self-loops are not counted, and both directions are one edge."""
        reverse = g.reverse if both else None
        counted = g.pattern.col != g.pattern.row if reverse is None else torch.arange(g.num_edges, device=g.device) < reverse
        group = (graph_of_edges(g) + 1) * counted  # 0: what stays
        share = share_of(self.p, torch.bincount(group, minlength=g.num_graphs + 1)[1:])
        gone = drawn(group, F.pad(only(share, among), (1, 0)))
        return ~gone if reverse is None else ~(gone | gone.index_select(0, reverse))


@dataclass(frozen=True)
class AddEdges:
    """Edge perturbation of GraphCL (You et al., 2020, arXiv:2010.13902): random new edges.

    Each graph gets ``round(p * M)`` edges that it did not have, where ``M`` counts its edges without self-loops (an undirected
    edge once), or as many as it has room for. Ends are drawn uniformly inside the graph; none is a self-loop; in an undirected
    graph both directions are added. A new edge weighs 1 and takes the attributes of a random edge of its graph.

    Args:
        p: new edges as a share of those that are there, from 0 to 1.

    Raises:
        ValueError: ``p`` is not from 0 to 1.

    Example:
        >>> g = Graph.of((torch.eye(4), torch.tensor([[0, 1, 1, 2], [1, 0, 2, 1]])))
        >>> view = AddEdges(0.5)(g)
        >>> view.num_edges, view.is_undirected
        (6, True)
    """

    p: float
    keeps_nodes: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check_share("p", self.p)

    def __call__(self, g: Graph) -> Graph:
        code = self._new_codes(g)
        if code.numel() == 0:
            return g
        source, target = code % g.num_nodes, code // g.num_nodes
        weight, attr = g.edge_weight, g.edge_attr
        if attr is not None:
            ends = torch.bincount(g.graph_ids[g.edge_index[1]], minlength=g.num_graphs)
            graph = g.graph_ids[target]
            new = attr[(ends.cumsum(0) - ends)[graph] + below(ends[graph])]
            attr = torch.cat([attr, new, new] if g.is_undirected else [attr, new])
        if g.is_undirected:
            source, target = torch.cat([source, target]), torch.cat([target, source])
        if weight is not None:
            weight = torch.cat([weight, weight.new_ones(source.numel())])
        return g.with_edges(torch.cat([g.edge_index, torch.stack([source, target])], 1), weight, attr)

    def _new_codes(self, g: Graph) -> Tensor:
        """New edges as ``target * N + source``, in an undirected graph those with ``source < target``."""
        n, graph = g.num_nodes, g.graph_ids
        source, target = g.edge_index
        counted = source < target if g.is_undirected else source != target
        code = (target * n + source)[counted]  # ascending, since edges are
        taken = code.unique_consecutive()
        pairs = graph_sizes(g) * (graph_sizes(g) - 1) // (2 if g.is_undirected else 1)
        num_edges, num_taken = (torch.bincount(graph[c // n], minlength=g.num_graphs) for c in (code, taken))
        wanted = torch.minimum((self.p * num_edges).round().long(), pairs - num_taken)
        crowded = 2 * (num_taken + wanted) > pairs  # so few pairs that all can be listed
        listed = _list_pairs(g, crowded, wanted, taken)
        return torch.cat([listed, _draw_pairs(g, wanted.where(~crowded, 0), taken)])


def graph_of_edges(g: Graph) -> Tensor:
    """Graph of each edge, ``[E]``."""
    numbers = torch.arange(g.num_graphs, device=g.device)
    return numbers.repeat_interleave(g.pattern.ptr.index_select(0, g.node_ptr).diff(), output_size=g.num_edges)


def edge_pairs(g: Graph) -> tuple[Tensor, Tensor]:
    """Of an undirected graph: the number of each edge's pair ``[E]``, and the first edge of each of the ``P`` pairs ``[P]``.

    Self-loops share the number ``P``.
    """
    return g.cached("edge_pairs", lambda: _find_pairs(g))


def loops(g: Graph) -> Tensor:
    """The self-loops among the edges, ``[L]``."""
    return g.cached("loops", lambda: (g.edge_index[0] == g.edge_index[1]).nonzero().squeeze(1))


def _find_pairs(g: Graph) -> tuple[Tensor, Tensor]:
    reverse = g.reverse
    assert reverse is not None
    edge = torch.arange(g.num_edges, device=g.device)
    first = (edge < reverse).nonzero().squeeze(1)
    pair = torch.full_like(edge, first.numel())
    pair[first] = pair[reverse[first]] = torch.arange(first.numel(), device=g.device)
    return pair, first


def _list_pairs(g: Graph, crowded: Tensor, wanted: Tensor, taken: Tensor) -> Tensor:
    """``wanted[k]`` of all the pairs that are free in each crowded graph ``k``."""
    n, graph, sizes = g.num_nodes, g.graph_ids, graph_sizes(g)
    node = (crowded & (wanted > 0))[graph].nonzero().squeeze(1)
    repeats = sizes[graph[node]]
    target = node.repeat_interleave(repeats)
    place = torch.arange(target.numel(), device=g.device) - (repeats.cumsum(0) - repeats).repeat_interleave(repeats)
    source = (sizes.cumsum(0) - sizes)[graph[target]] + place
    code = target * n + source
    free = (source < target if g.is_undirected else source != target) & ~torch.isin(code, taken)
    code = code[free]
    group = graph[code // n]
    return code[first_of_each(shuffled(group), group, wanted)]


def _draw_pairs(g: Graph, wanted: Tensor, taken: Tensor) -> Tensor:
    """``wanted[k]`` free pairs of each graph ``k``, drawn again where taken; at least half of all its pairs are free."""
    n, graph, sizes = g.num_nodes, g.graph_ids, graph_sizes(g)
    start = sizes.cumsum(0) - sizes
    numbers = torch.arange(g.num_graphs, device=g.device)
    found = taken.new_empty(0)
    while True:
        group = numbers.repeat_interleave(wanted - torch.bincount(graph[found // n], minlength=g.num_graphs))
        if group.numel() == 0:
            return found
        size = sizes[group]
        target = below(size)
        source = (target + 1 + below(size - 1)) % size
        if g.is_undirected:
            source, target = torch.minimum(source, target), torch.maximum(source, target)
        code = (target + start[group]) * n + source + start[group]
        found = torch.unique(torch.cat([found, code[~torch.isin(code, taken)]]))
