"""From node embeddings to one embedding a graph: sum, mean, max, attention, Set2Set."""

from __future__ import annotations

from typing import Literal, get_args

import torch
from torch import Tensor, nn

from graphssl.adjacency import CSR, Pattern, max_neighbours, membership, segment_softmax, weighted_sum
from graphssl.graph import Graph

Pooling = Literal["mean", "sum", "max", "attention", "set2set"]


class Readout(nn.Module):
    """Rows ``[N, D]`` of a batch to one row a graph, ``[G, D']``; a graph without nodes gets zeros.

    ``sum``, ``mean`` and ``max`` have no parameters. ``attention`` weighs each node by a softmax of a learned score over its graph
    (Li et al., 2016, arXiv:1511.05493, the gate alone). ``set2set`` reads the nodes ``steps`` times with an LSTM whose state asks for
    what it reads (Vinyals et al., 2016, arXiv:1511.06391), and is twice as wide.

    Args:
        kind: one of the five.
        channels: width ``D``.
        steps: of ``set2set``.

    Raises:
        ValueError: an unknown kind.

    Example:
        >>> g = Graph.of((torch.eye(3), torch.tensor([[0, 1, 1, 2], [1, 0, 2, 1]])))
        >>> Readout("sum", 3)(torch.ones(3, 3), g)
        tensor([[3., 3., 3.]])
        >>> Readout("set2set", 3).out_channels
        6
    """

    def __init__(self, kind: Pooling, channels: int, *, steps: int = 3) -> None:
        super().__init__()
        if kind not in get_args(Pooling):
            raise ValueError(f"readout must be one of {', '.join(get_args(Pooling))}, got {kind!r}")
        if steps < 1:
            raise ValueError(f"steps must be at least 1, got {steps}")
        self.kind, self.steps = kind, steps
        self.out_channels = 2 * channels if kind == "set2set" else channels
        if kind == "attention":
            self.score = nn.Linear(channels, 1)
        if kind == "set2set":
            self.lstm = nn.LSTMCell(2 * channels, channels)

    def forward(self, h: Tensor, g: Graph) -> Tensor:
        rows = g.cached("rows", lambda: membership(g.node_ptr, g.graph_ids))
        if self.kind in ("sum", "mean"):
            total = CSR(rows) @ h
            return total if self.kind == "sum" else total / rows.counts.clamp(min=1).to(total.dtype)[:, None]
        if self.kind == "max":
            return max_neighbours(rows, h)
        if self.kind == "attention":
            return weighted_sum(rows, _shares(self.score(h), rows), h)
        return self._set2set(h, g)

    def _set2set(self, h: Tensor, g: Graph) -> Tensor:
        rows = g.cached("rows", lambda: membership(g.node_ptr, g.graph_ids))
        query = state = h.new_zeros(g.num_graphs, h.size(1))
        read = query
        for _ in range(self.steps):
            query, state = self.lstm(torch.cat([query, read], dim=1), (query, state))
            scores = (h * query.index_select(0, g.graph_ids)).sum(1, keepdim=True)
            read = weighted_sum(rows, _shares(scores, rows), h)
        return torch.cat([query, read], dim=1)


def _shares(scores: Tensor, rows: Pattern) -> Tensor:
    """Softmax of ``scores`` ``[N, 1]`` over each graph, ``[N]``; half precision is not enough for it."""
    return segment_softmax(scores.to(torch.promote_types(scores.dtype, torch.float32)), rows)[:, 0]
