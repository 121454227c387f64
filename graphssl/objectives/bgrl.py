"""Bootstrapped Graph Latents."""

from __future__ import annotations

from math import cos, pi
from typing import Literal

import torch
from torch import Tensor

from graphssl.augment import Augmentation
from graphssl.encoders import GNN
from graphssl.graph import Graph
from graphssl.heads import EMA, MLP
from graphssl.losses import bootstrap
from graphssl.objectives.base import Objective, common_rows, two_views


class BGRL(Objective):
    r"""Bootstrapped Graph Latents (Thakoor et al., 2022, arXiv:2102.06514).

    The online encoder and a predictor guess, from one view, what a slowly moving copy of the encoder (the target) makes of the other;
    no negatives, linear in the size of the graph. ``2 - mean cos(q(h1), t2) - mean cos(q(h2), t1)``; after each step the target moves
    by ``m = 1 - (1 - momentum) (1 + cos(pi k / K)) / 2``.

    Args:
        encoder: what is trained.
        views: the two augmentations.
        hidden: width of the predictor's hidden layer.
        momentum: of the target at the start; it rises to 1.
        target_init: ``reset`` draws the target's weights anew, as the official code does; ``copy`` starts from the encoder's (BYOL).
        target_buffers: batch-norm statistics of the target: ``own``, from its own passes (official code; the target normalises by
            batch statistics while training), or ``copy`` from the encoder.
        level: ``node`` predicts nodes; ``graph`` the embeddings of whole graphs, by the encoder's readout (ours; not in the paper).

    Example:
        >>> from graphssl import GCN, DropEdges, Graph
        >>> g = Graph.of((torch.eye(4), torch.tensor([[0, 1, 2, 1, 2, 3], [1, 2, 3, 0, 1, 2]])))
        >>> objective = BGRL(GCN(4, [8, 8]), views=(DropEdges(0.5), DropEdges(0.5)))
        >>> 0 <= objective(g).item() <= 4
        True
    """

    def __init__(
        self,
        encoder: GNN,
        views: tuple[Augmentation, Augmentation],
        *,
        hidden: int = 512,
        momentum: float = 0.99,
        target_init: Literal["reset", "copy"] = "reset",
        target_buffers: Literal["own", "copy"] = "own",
        level: Literal["node", "graph"] = "node",
    ) -> None:
        super().__init__()
        if not 0 <= momentum <= 1:
            raise ValueError(f"momentum must be in [0, 1], got {momentum}")
        if target_init not in ("reset", "copy"):
            raise ValueError(f"target_init must be 'reset' or 'copy', got {target_init!r}")
        if level not in ("node", "graph"):
            raise ValueError(f"level must be 'node' or 'graph', got {level!r}")
        self.encoder, self.views, self.momentum, self.level = encoder, two_views(views), momentum, level
        self.mean_over = "graphs" if level == "graph" else "nodes"
        width = encoder.graph_channels if level == "graph" else encoder.out_channels
        self.predictor = MLP(width, hidden, width, act="prelu")
        self.target = EMA(encoder, reset=target_init == "reset", buffers=target_buffers)

    def forward(self, g: Graph) -> Tensor:
        g1, g2 = (view(g) for view in self.views)
        rows = self.graphs if self.level == "graph" else self.nodes
        q1, q2 = self.predictor(rows(g1)), self.predictor(rows(g2))  # [S, D] or [G, D]
        with torch.no_grad():
            t1, t2 = rows(g1, self.target.copy), rows(g2, self.target.copy)
        if self.level == "graph":
            return bootstrap(q1, t2) + bootstrap(q2, t1)
        i1, i2 = common_rows(g1, g2)
        return bootstrap(q1[i1], t2[i2]) + bootstrap(q2[i2], t1[i1])

    def after_step(self, progress: float) -> None:
        self.target.update(self.encoder, momentum=1 - (1 - self.momentum) * (1 + cos(pi * progress)) / 2)
