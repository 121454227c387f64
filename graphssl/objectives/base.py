"""What every objective shares: an encoder, a loss on one Graph, a hook after the step, and the rows that count."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from graphssl.graph import Graph
from graphssl.heads import mean_per_graph


class Objective(nn.Module):
    """A loss over one :class:`Graph`, with the encoder that it trains.

    A subclass sets ``self.encoder`` and writes ``forward(g)``; the encoder is what training is for, all else is scaffolding.
    """

    encoder: nn.Module

    def forward(self, g: Graph) -> Tensor:
        """The loss of a batch, a scalar."""
        raise NotImplementedError(f"{type(self).__name__} must write forward(g)")

    def after_step(self, progress: float) -> None:
        """Called after each optimiser step; ``progress`` in (0, 1] is the share of the run that is done."""

    def nodes(self, g: Graph, encoder: nn.Module | None = None) -> Tensor:
        """Embeddings of the seed nodes, ``[S, D]``: the one place where rows that are only context are cut away."""
        h = _full((encoder or self.encoder)(g))
        return h if g.num_seeds is None else h[: g.num_seeds]

    def graphs(self, g: Graph, encoder: nn.Module | None = None) -> Tensor:
        """Mean of each graph's nodes, ``[G, D]``."""
        return mean_per_graph(_full((encoder or self.encoder)(g)), g.graph_id, g.num_graphs)


def shared_rows(a: Graph, b: Graph) -> tuple[Tensor, Tensor] | None:
    """Rows of the seed nodes that two views of one graph both kept, ``([M], [M])`` in the same order; ``None``: all, row for row."""
    if a.node_id is b.node_id:  # neither view dropped nodes
        return None
    ids_a, ids_b = a.node_ids[: a.num_seeds], b.node_ids[: b.num_seeds]
    ids_b, order = ids_b.sort()
    place = torch.searchsorted(ids_b, ids_a)
    found = place < torch.searchsorted(ids_b, ids_a, right=True)
    return found.nonzero().squeeze(1), order[place[found]]


def pick(h: Tensor, rows: Tensor | None) -> Tensor:
    """``h[rows]``, or all of ``h``."""
    return h if rows is None else h[rows]


def _full(h: Tensor) -> Tensor:
    return h.float() if h.dtype in (torch.bfloat16, torch.float16) else h
