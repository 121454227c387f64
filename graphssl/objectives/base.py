"""What every objective shares: an encoder, a loss on one Graph, a hook after the step, and the rows that count."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from torch import Tensor, nn

from graphssl.adjacency import full
from graphssl.augment import Augmentation, aligned, matched
from graphssl.graph import Graph


class Objective(nn.Module):
    """A loss over one :class:`Graph`, with the encoder that it trains.

    A subclass sets ``self.encoder`` and writes ``forward(g)``; the encoder is what training is for, all else is scaffolding.
    """

    encoder: nn.Module
    mean_over: Literal["nodes", "graphs", "ranks"] | None = "nodes"
    """What the loss is a mean over, for several processes: the rows of each; all rows already (:mod:`graphssl.distributed`); ``None``
    keeps it to one process."""

    def rows(self, g: Graph) -> int:
        """How much the loss of ``g`` counts beside those of other processes."""
        if self.mean_over == "ranks":
            return 1
        return g.num_graphs if self.mean_over == "graphs" else g.num_nodes if g.num_seeds is None else g.num_seeds

    def forward(self, g: Graph) -> Tensor:
        """The loss of a batch, a scalar."""
        raise NotImplementedError(f"{type(self).__name__} must write forward(g)")

    def after_step(self, progress: float) -> None:
        """Called after each optimiser step; ``progress`` in (0, 1] is the share of the run that is done."""

    def after_epoch(self, progress: float) -> None:
        """Called after the last step of each epoch, and its :meth:`after_step`."""

    def nodes(self, g: Graph, encoder: nn.Module | None = None) -> Tensor:
        """Embeddings of the seed nodes, ``[S, D]``: the one place where rows that are only context are cut away."""
        h = full((encoder or self.encoder)(g))
        return h if g.num_seeds is None else h[: g.num_seeds]

    def graphs(self, g: Graph, encoder: nn.Module | None = None) -> Tensor:
        """Embeddings of the graphs, ``[G, D]``, by the encoder's readout."""
        encoder = encoder or self.encoder
        return encoder.pool(full(encoder(g)), g)  # type: ignore[operator, no-any-return]


def two_views(views: Iterable[Augmentation]) -> tuple[Augmentation, Augmentation]:
    """The views of an objective that contrasts two; they may drop nodes.

    Raises:
        ValueError: not two, or not augmentations.
    """
    checked = aligned(views, may_drop=True)
    if len(checked) != 2:
        raise ValueError(f"views must be two augmentations, got {len(checked)}")
    return checked[0], checked[1]


def common_rows(g1: Graph, g2: Graph) -> tuple[Tensor | slice, Tensor | slice]:
    """Rows of the seed nodes that two views of one graph both kept, in the same order; all rows where neither dropped any.

    Raises:
        ValueError: the views share no node.
    """
    if g1.node_id is g2.node_id:
        return slice(None), slice(None)
    rows = matched(g1, g2)
    if not rows[0].numel():
        raise ValueError("views: the two views share no node; drop fewer nodes")
    return rows


def several_graphs(g: Graph) -> None:
    """Refuses a batch of one graph, for objectives where a graph is another's negative.

    Raises:
        ValueError: there is one.
    """
    if g.num_graphs < 2:
        raise ValueError(f"a batch must hold at least two graphs, of which one is the other's negative, got {g.num_graphs}")
