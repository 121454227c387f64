"""Momentum contrast on nodes, with a queue of keys and mixed hard negatives."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from graphssl.augment import Augmentation
from graphssl.distributed import everywhere
from graphssl.encoders import GNN
from graphssl.graph import Graph
from graphssl.heads import EMA, MLP
from graphssl.losses import mochi
from graphssl.losses.positives import Positives
from graphssl.objectives.base import Objective, common_rows, two_views
from graphssl.queues import KeyQueue


class MoCo(Objective):
    """Momentum contrast (He et al., 2020, arXiv:1911.05722), of nodes; with mixtures MoCHi (Kalantidis et al., 2020, arXiv:2010.01028).

    A node's embedding in one view finds, among many keys, the one that a slowly moving copy of the encoder makes of its other view. The
    other keys are those of the step's other nodes, and of earlier steps, from a queue; a node's own earlier keys count for nothing.

    Args:
        encoder: what is trained.
        views: the two augmentations: of the row, and of the key.
        hidden: width of the projector's hidden layer; its output is as wide as the embedding.
        tau: temperature.
        queue: keys of earlier steps that are kept.
        momentum: of the copy; it does not change.
        mixed: mixtures of two hard negatives a row, 0 for none; an eighth as many with the row itself.
        num_hard: hard negatives that are mixed, the most similar ones.
        mix_from: share of the run after which hard negatives are mixed.
        chunk: rows of similarities held at a time; ``None`` holds all.

    Example:
        >>> from graphssl import GCN, DropEdges, Graph
        >>> g = Graph.of((torch.eye(4), torch.tensor([[0, 1, 2, 1, 2, 3], [1, 2, 3, 0, 1, 2]])))
        >>> objective = MoCo(GCN(4, [8, 4], norm="none"), views=(DropEdges(0.5), DropEdges(0.5)), hidden=8, queue=16)
        >>> objective(g).isfinite().item()
        True

    Deviation:
        The papers' negatives are those of the queue alone; keys of the same step, which are newer, count here too. Images are so many that
        the papers need not look for an image's own keys in the queue; a graph may have fewer nodes than the queue has places.
    """

    mean_over = "ranks"
    progress: Tensor

    def __init__(
        self,
        encoder: GNN,
        views: tuple[Augmentation, Augmentation],
        *,
        hidden: int = 128,
        tau: float = 0.2,
        queue: int = 4096,
        momentum: float = 0.99,
        mixed: int = 0,
        num_hard: int = 1024,
        mix_from: float = 0.0,
        chunk: int | None = 2048,
    ) -> None:
        super().__init__()
        if tau <= 0:
            raise ValueError(f"tau must be positive, got {tau}")
        for name, share in (("momentum", momentum), ("mix_from", mix_from)):
            if not 0 <= share <= 1:
                raise ValueError(f"{name} must be in [0, 1], got {share}")
        for name, number, least in (("mixed", mixed, 0), ("num_hard", num_hard, 1), ("chunk", chunk, 1)):
            if number is not None and number < least:
                raise ValueError(f"{name} must be at least {least}, got {number}")
        self.encoder, self.views, self.chunk = encoder, two_views(views), chunk
        self.tau, self.momentum, self.mixed, self.num_hard, self.mix_from = tau, momentum, mixed, num_hard, mix_from
        self.projector = MLP(encoder.out_channels, hidden, encoder.out_channels, act="elu")
        self.target = EMA(nn.ModuleList([encoder, self.projector]))
        self.queue = KeyQueue(queue, encoder.out_channels)
        self.register_buffer("progress", torch.zeros(()))
        self._newest: tuple[Tensor, Tensor] | None = None

    def forward(self, g: Graph) -> Tensor:
        g1, g2 = (view(g) for view in self.views)
        i1, i2 = common_rows(g1, g2)
        u = everywhere(self.projector(self.nodes(g1))[i1])  # [S, D]
        slow, project = self.target.copy.children()
        with torch.no_grad():
            keys = everywhere(project(self.nodes(g2, slow))[i2])
            ids = everywhere(g1.node_ids[: g1.num_seeds][i1])
        self._newest = keys, ids
        mixed = self.mixed if self.progress >= self.mix_from else 0
        return mochi(
            u,
            keys,
            tau=self.tau,
            num_hard=self.num_hard,
            num_mixed=mixed,
            num_with_query=mixed // 8,
            symmetric=False,
            extra=self.queue.keys(),
            exclude_extra=Positives.labels(ids, self.queue.labels(), without_self=False),
            chunk=self.chunk,
        )

    def after_step(self, progress: float) -> None:
        self.target.update(nn.ModuleList([self.encoder, self.projector]), momentum=self.momentum)
        self.progress.fill_(progress)
        if self._newest is not None:
            self.queue.push(*self._newest)
            self._newest = None
