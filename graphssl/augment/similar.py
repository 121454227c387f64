"""Edges between nodes whose features are alike."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from graphssl.adjacency import CSR
from graphssl.graph import Graph


@dataclass(frozen=True)
class ConnectSimilar:
    """The graph of nearest neighbours by features in place of the edges (Wang et al., 2020, arXiv:2007.02265).

    Each node is joined to the ``k`` others of its graph whose features have the largest cosine with its own, where that is positive; an
    edge that either end chose stands once in both directions, without weight. So a node may have no edge, or more than ``k``. The edges
    that were there, and their attributes, do not survive.

    Similarities are taken a ``block`` of nodes at a time, in ``O(block * N)`` memory and ``O(N^2)`` time. The result is kept beside the
    graph's structure, so that a graph that is seen again with the same features is not searched again.

    Args:
        k: neighbours that each node chooses.
        block: nodes at a time.

    Raises:
        ValueError: ``k`` or ``block`` below 1.

    Example:
        >>> x = torch.tensor([[1.0, 0.0], [1.0, 0.1], [0.0, 1.0], [0.1, 1.0]])
        >>> ConnectSimilar(1)(Graph.of((x, torch.empty(2, 0, dtype=torch.long)))).edge_index.tolist()
        [[1, 0, 3, 2], [0, 1, 2, 3]]
    """

    k: int = 10
    block: int = 1024
    keeps_nodes: ClassVar[bool] = True

    def __post_init__(self) -> None:
        for name in ("k", "block"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)!r}")

    def __call__(self, g: Graph) -> Graph:
        kept: dict[str, Any] = g.cached(repr(self), dict)
        if kept.get("x") is not g.x:
            kept.update(x=g.x, graph=g.with_x(g.x[:, :0] if isinstance(g.x, Tensor) else g.x).with_edges(self._edges(g)))
        found: Graph = kept["graph"]
        return found.with_x(g.x)

    def _edges(self, g: Graph) -> Tensor:
        n, pairs = g.num_nodes, []
        unit = _unit(g.x)
        for block in torch.arange(n, device=g.device).split(self.block):  # type: ignore[no-untyped-call]
            rows = unit.rows(block).to_dense() if isinstance(unit, CSR) else unit[block]
            cosine = (unit @ rows.t()).t()  # [B, N]
            cosine[torch.arange(block.numel(), device=g.device), block] = -1
            if g.num_graphs > 1:
                cosine[g.graph_ids[block][:, None] != g.graph_ids] = -1
            value, other = cosine.topk(min(self.k, n), dim=1)
            kept = value > 0
            pairs.append(block[:, None].expand_as(other)[kept] * n + other[kept])
        one_way = torch.cat(pairs)
        code = torch.cat([one_way, one_way % n * n + one_way // n]).unique()  # type: ignore[no-untyped-call]
        return torch.stack([code % n, code // n])


@torch.no_grad()
def _unit(x: Tensor | CSR) -> Tensor | CSR:
    """Rows of length one, ``[N, F]``; those of zeros stay."""
    if isinstance(x, Tensor):
        return F.normalize(x.float() if x.dtype in (torch.float16, torch.bfloat16) else x, dim=1)
    value = x.values()
    square = value.new_zeros(x.size(0)).index_add(0, x.pattern.row, value.square())
    return x.with_values(value * square.clamp(min=torch.finfo(value.dtype).tiny).rsqrt()[x.pattern.row])
