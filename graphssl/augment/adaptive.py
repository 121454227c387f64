"""Adaptive augmentation of GCA: what matters less is dropped more often."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor

from graphssl.adjacency import CSR
from graphssl.augment.centrality import CENTRALITIES, centrality
from graphssl.augment.edges import edge_pairs, loops
from graphssl.augment.features import keep_columns
from graphssl.augment.views import check_choice, check_share
from graphssl.graph import Graph

Centrality = Literal["degree", "pagerank", "eigenvector"]


@dataclass(frozen=True)
class AdaptiveDropEdges:
    r"""Adaptive edge removal of GCA (Zhu et al., 2021, arXiv:2010.14945): edges between less central nodes go more often.

    With the centralities ``c`` of its ends an edge has the score ``s = log((c_u + c_v) / 2)``, in a directed graph
    ``s = log c_v`` of its target, and is dropped with probability

    .. math::
        p_{uv} = \min\left(\frac{s_{max} - s_{uv}}{s_{max} - \bar s}\, p,\; cut\right)

    with maximum and mean over the edges of its graph without self-loops, which always stay. Where all scores are equal the
    probability is ``min(p, cut)``.

    The paper's formula for undirected graphs is used with one coin for both directions. The authors' code scores both directions
    by the target alone and tosses a coin for each: that is ``directed=True``. Centralities are those of
    :func:`~graphssl.augment.centrality.centrality`, computed to convergence.

    Args:
        p: mean probability that an edge is dropped (before ``cut``), from 0 to 1.
        centrality: ``"degree"``, ``"pagerank"`` or ``"eigenvector"``.
        cut: highest probability, ``p_tau`` in the paper.
        directed: a coin for each direction; the view counts as a directed graph.

    Raises:
        ValueError: an argument outside these bounds.

    Example:
        >>> star = torch.tensor([[0, 1, 0, 2, 0, 3, 3, 4], [1, 0, 2, 0, 3, 0, 4, 3]])
        >>> view = AdaptiveDropEdges(0.4, "degree")
        >>> [round(q, 2) for q in view.probabilities(Graph.of((torch.eye(5), star))).tolist()]
        [0.37, 0.37, 0.0, 0.37, 0.37, 0.0, 0.7, 0.7]
    """

    p: float
    centrality: Centrality = "degree"
    cut: float = 0.7
    directed: bool = False
    keeps_nodes: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check_share("p", self.p)
        check_choice("centrality", self.centrality, CENTRALITIES)
        check_share("cut", self.cut)

    def __call__(self, g: Graph) -> Graph:
        drop = self.probabilities(g)
        if self.directed or not g.is_undirected:
            return g.keep_edges(torch.rand(g.num_edges, device=g.device) >= drop)
        pair, first = edge_pairs(g)
        keep = torch.rand(first.numel() + 1, device=g.device)
        keep[:-1] -= drop.index_select(0, first)
        return g.keep_edges((keep >= 0).index_select(0, pair), symmetric=True)

    def probabilities(self, g: Graph) -> Tensor:
        """Probability that each edge is dropped, ``[E]``, found once for each structure."""
        return g.cached(f"probabilities {self!r}", lambda: self._find_probabilities(g))

    def _find_probabilities(self, g: Graph) -> Tensor:
        c = centrality(g, self.centrality)
        source, target = g.edge_index
        both = g.is_undirected and not self.directed
        score = _log((c[source] + c[target]) / 2 if both else c[target])
        counted = torch.ones_like(score, dtype=torch.bool).index_fill_(0, loops(g), False)
        return _probabilities(score, counted, g.graph_ids[target], g.num_graphs, self.p, self.cut).where(counted, 0)


@dataclass(frozen=True)
class AdaptiveMaskFeatures:
    r"""Adaptive feature masking of GCA (Zhu et al., 2021, arXiv:2010.14945): columns that central nodes do not use go more often.

    Column ``f`` has the score ``s_f = log sum_i 1[x_if != 0] c_i`` and becomes zero for all nodes of its graph with probability

    .. math::
        p_f = \min\left(\frac{s_{max} - s_f}{s_{max} - \bar s}\, p,\; cut\right)

    with maximum and mean over the columns that the graph uses at all. Where all scores are equal it is ``min(p, cut)``.

    Args:
        p: mean probability that a column is masked (before ``cut``), from 0 to 1.
        centrality: ``"degree"``, ``"pagerank"`` or ``"eigenvector"`` of the nodes.
        cut: highest probability.
        magnitude: ``|x_if|`` in place of ``1[x_if != 0]``, the paper's choice for continuous features.

    Raises:
        ValueError: an argument outside these bounds.

    Example:
        >>> x = torch.tensor([[1.0, 1.0, 0.0], [1.0, 0.0, 1.0], [1.0, 0.0, 0.0]])
        >>> g = Graph.of((x, torch.tensor([[0, 1, 0, 2], [1, 0, 2, 0]])))
        >>> [round(q, 2) for q in AdaptiveMaskFeatures(0.3).probabilities(g)[0].tolist()]
        [0.0, 0.3, 0.6]
    """

    p: float
    centrality: Centrality = "degree"
    cut: float = 0.7
    magnitude: bool = False
    keeps_nodes: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check_share("p", self.p)
        check_choice("centrality", self.centrality, CENTRALITIES)
        check_share("cut", self.cut)

    def __call__(self, g: Graph) -> Graph:
        drop = self.probabilities(g)
        return g.with_x(keep_columns(g, torch.rand(drop.shape, device=g.device) >= drop))

    def probabilities(self, g: Graph) -> Tensor:
        """Probability that each column is masked in each graph, ``[G, F]``; found anew, since features are not structure."""
        use = _usage(g, centrality(g, self.centrality), self.magnitude)
        graph = torch.arange(g.num_graphs, device=g.device).repeat_interleave(g.num_features)
        flat = use.reshape(-1)
        return _probabilities(_log(flat), flat > 0, graph, g.num_graphs, self.p, self.cut).view_as(use)


def _usage(g: Graph, c: Tensor, magnitude: bool) -> Tensor:
    """Sum of the centralities of the nodes that use each column, ``[G, F]``."""
    x = g.x
    used = x.values() if isinstance(x, CSR) else x
    used = used.abs() if magnitude else (used != 0).to(x.dtype)
    if isinstance(x, CSR):
        row, col = x.pattern.row, x.pattern.col.long()
        place = g.graph_ids[row] * g.num_features + col
        flat = used.new_zeros(g.num_graphs * g.num_features).scatter_add(0, place, used * c[row])
        return flat.view(g.num_graphs, g.num_features)
    if g.graph_id is None:
        return (c @ used)[None]
    return used.new_zeros(g.num_graphs, g.num_features).index_add_(0, g.graph_id, used * c[:, None])


def _log(c: Tensor) -> Tensor:
    """Logarithm of a centrality, finite where it is 0 (a node that no walk reaches)."""
    return c.clamp(min=torch.finfo(c.dtype).tiny).log()


def _probabilities(score: Tensor, counted: Tensor, group: Tensor, num_groups: int, p: float, cut: float) -> Tensor:
    """``min((max - score) / (max - mean) * p, cut)`` with maximum and mean over what is counted in each group."""
    top = score.new_full((num_groups,), -torch.inf).scatter_reduce(0, group, score.where(counted, -torch.inf), "amax")
    number = score.new_zeros(num_groups).scatter_add(0, group, counted.to(score.dtype)).clamp(min=1)
    gap = (top[group] - score).where(counted, 0)  # [M]
    mean = score.new_zeros(num_groups).scatter_add(0, group, gap) / number
    rounding = 1e-6 * (1 + top.abs())
    relative = (gap / mean[group]).where(mean[group] > rounding[group], 1)
    return (relative * p).clamp(max=cut)
