"""Graph diffusion: new weighted edges from personalised PageRank or the heat kernel."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor

from graphssl.adjacency import CSR, Pattern
from graphssl.augment.views import check_choice, check_share, graph_sizes
from graphssl.graph import Graph


@dataclass(frozen=True)
class Diffuse:
    r"""Graph diffusion (Gasteiger et al., 2019, arXiv:1911.05485), the second view of MVGRL (Hassani et al., 2020, arXiv:2006.05582).

    With ``T = D^-1/2 (A + I) D^-1/2`` (a self-loop at each node that has none) the new weighted adjacency is

    .. math::
        S_{ppr} = \alpha (I - (1 - \alpha) T)^{-1} = \alpha \sum_k (1 - \alpha)^k T^k, \qquad
        S_{heat} = e^{-t (I - T)} = e^{-t} \sum_k \frac{t^k}{k!} T^k

    made sparse by ``top_k`` or ``threshold``. The sums run over all graphs of up to ``block`` nodes at once, and over a larger one a block
    of nodes at a time (memory ``O(block * N)``); they stop where the coefficients left out add up to less than ``tol``, which on an
    undirected graph bounds the error of each entry. Weights must not be negative. Diagonal entries come out as self-loops; ``edge_attr``
    does not survive. In a batch no edge crosses graphs.

    The result is kept with the graph's structure, so that a graph that is seen again is not diffused again.

    Args:
        kind: ``"ppr"`` or ``"heat"``.
        alpha: teleport probability of ``"ppr"``, above 0 up to 1. MVGRL: 0.2.
        t: time of ``"heat"``, at least 0. MVGRL: 5, with an elementwise exponential in the authors' code; here it is the matrix's.
        top_k: the strongest edges into each node, its self-loop among them; ``None``: all.
        threshold: edges below this weight go; ``None``: only zeros.
        renormalise: the weights into each node are divided by their sum.
        symmetric: ``top_k`` and ``renormalise`` give the two directions of an edge different fates. By default an edge that either
            end keeps stands in both directions of an undirected graph, and where both directions have a weight and the input's weights
            are symmetric, their mean is the weight of both. ``False`` leaves the result directed. A directed graph stays directed.
        tol: bound of the truncated series.
        block: nodes diffused at a time.

    Raises:
        ValueError: an argument outside these bounds; at the call, negative edge weights.

    Example:
        >>> g = Graph.of((torch.eye(3), torch.tensor([[0, 1, 1, 2], [1, 0, 2, 1]])))
        >>> view = Diffuse("ppr", alpha=0.2, top_k=None)(g)
        >>> t = g.normalised().to_dense()
        >>> torch.allclose(view.summed().to_dense(), 0.2 * torch.linalg.inv(torch.eye(3) - 0.8 * t), atol=1e-4)
        True
    """

    kind: Literal["ppr", "heat"] = "ppr"
    alpha: float = 0.15
    t: float = 5.0
    top_k: int | None = 64
    threshold: float | None = None
    renormalise: bool = False
    symmetric: bool = True
    tol: float = 1e-5
    block: int = 1024
    keeps_nodes: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check_choice("kind", self.kind, ("ppr", "heat"))
        check_share("alpha", self.alpha)
        if self.alpha == 0:
            raise ValueError("alpha must be above 0 and at most 1, got 0")
        if not (0 <= self.t < math.inf):
            raise ValueError(f"t must be a finite number of at least 0, got {self.t!r}")
        if self.top_k is not None and self.top_k < 1:
            raise ValueError(f"top_k must be at least 1, or None for all, got {self.top_k!r}")
        if self.threshold is not None and not self.threshold >= 0:
            raise ValueError(f"threshold must be at least 0, or None, got {self.threshold!r}")
        if not 0 < self.tol < 1:
            raise ValueError(f"tol must lie between 0 and 1, got {self.tol!r}")
        if self.block < 1:
            raise ValueError(f"block must be at least 1, got {self.block!r}")

    def __call__(self, g: Graph) -> Graph:
        return g.cached(repr(self), lambda: self._diffuse(g)).with_x(g.x)

    def _diffuse(self, g: Graph) -> Graph:
        if g.edge_weight is not None and bool((g.edge_weight < 0).any()):
            raise ValueError(f"Diffuse needs edge weights of at least 0, got one of {float(g.edge_weight.min()):g}")
        sizes, matrix, coefficients = graph_sizes(g), g.normalised(), self.coefficients()
        start = sizes.cumsum(0) - sizes
        parts = [self._small_graphs(matrix, g, start, coefficients)]
        for k in (sizes > self.block).nonzero().flatten().tolist():
            nodes = start[k] + torch.arange(int(sizes[k]), device=g.device)
            sender = _within(matrix.t(), nodes)  # row i of S is column i of S transposed: what reaches node i
            for block in torch.split(torch.arange(nodes.numel(), device=g.device), self.block):
                first = torch.zeros(nodes.numel(), block.numel(), dtype=matrix.dtype, device=g.device)
                first[block, block - block[0]] = 1
                parts.append(self._strongest(nodes[block], _series(sender, first, coefficients).t(), nodes.expand(block.numel(), -1)))
        source, target, weight = (torch.cat(part) for part in zip(*parts, strict=True))
        edge_index = torch.stack([source, target])
        if self.symmetric and g.is_undirected:
            edge_index, weight = _both_directions(edge_index, weight, g.num_nodes, mean=g.has_symmetric_weights)
        bare = g.with_x(weight.new_empty(g.num_nodes, 0))  # what is kept holds no features
        return bare.with_edges(edge_index, weight)

    def _small_graphs(self, matrix: CSR, g: Graph, start: Tensor, coefficients: list[float]) -> tuple[Tensor, Tensor, Tensor]:
        """All graphs of up to ``block`` nodes at once: column ``c`` of a node's row is the weight from node ``c`` of its graph."""
        sizes, nodes = graph_sizes(g), torch.arange(g.num_nodes, device=g.device)
        width = int(sizes.where(sizes <= self.block, 0).max())
        place = nodes - start[g.graph_ids]  # of a node in its graph
        rows = (sizes <= self.block)[g.graph_ids].nonzero().squeeze(1)
        first = torch.zeros(g.num_nodes, width, dtype=matrix.dtype, device=g.device)
        first[rows, place[rows]] = 1
        source = start[g.graph_ids[rows]][:, None] + torch.arange(width, device=g.device)
        return self._strongest(rows, _series(matrix, first, coefficients)[rows], source)

    def coefficients(self) -> list[float]:
        """The series' coefficients up to the bound ``tol``; all of them sum to 1."""
        if self.kind == "ppr":
            last = 0 if self.alpha == 1 else max(0, math.ceil(math.log(self.tol) / math.log1p(-self.alpha)) - 1)
            return [self.alpha * (1 - self.alpha) ** k for k in range(last + 1)]
        out = [math.exp(-self.t)]
        while len(out) <= self.t or 1 - math.fsum(out) > self.tol:
            term = math.exp(len(out) * math.log(self.t) - self.t - math.lgamma(len(out) + 1)) if self.t else 0.0
            if len(out) > self.t and term < 1e-3 * self.tol * (1 - self.t / (len(out) + 1)):
                break  # the tail is below a geometric series; the sum above is no finer than rounding
            out.append(term)
        return out

    def _strongest(self, target: Tensor, s: Tensor, source: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Source, target and weight of the edges kept into ``target`` ``[B]``, of the weights ``s`` from ``source``, both ``[B, W]``."""
        value = s
        if self.top_k is not None and self.top_k < s.size(1):
            value, column = s.topk(self.top_k, dim=1)
            source = source.gather(1, column)
        keep = value > 0 if self.threshold is None else (value > 0) & (value >= self.threshold)
        if self.renormalise:
            total = (value * keep).sum(1, keepdim=True)
            value = value / total.where(total > 0, 1)
        return source[keep], target[:, None].expand_as(source)[keep], value[keep]


def _series(matrix: CSR, first: Tensor, coefficients: list[float]) -> Tensor:
    """``coefficients[k] * matrix^k first``, added up over ``k``; ``first`` ``[N, B]``, which is not kept."""
    total = coefficients[0] * first
    for c in coefficients[1:]:
        first = matrix @ first
        total.add_(first, alpha=c)
    return total


def _within(matrix: CSR, nodes: Tensor) -> CSR:
    """The square block of ``matrix`` at ``nodes`` ``[N']`` (one after another), outside of which their rows hold nothing."""
    rows = matrix.rows(nodes)
    return CSR(Pattern(rows.pattern.ptr, rows.pattern.col - nodes[0], nodes.numel()), rows.val)


def _both_directions(edge_index: Tensor, weight: Tensor, n: int, *, mean: bool) -> tuple[Tensor, Tensor]:
    """Each edge in both directions; a direction that was not there takes the weight of the other."""
    source, target = edge_index
    own, mirrored = target * n + source, source * n + target
    code, place = torch.unique(torch.cat([own, mirrored]), return_inverse=True)
    there, back = place.chunk(2)
    given = weight.new_zeros(2, code.numel())
    given[0, there], given[1, back] = weight, weight
    has = torch.zeros(2, code.numel(), dtype=torch.bool, device=weight.device)
    has[0, there], has[1, back] = True, True
    total = given.sum(0) / has.sum(0) if mean else given[0].where(has[0], given[1])
    return torch.stack([code % n, code // n]), total
