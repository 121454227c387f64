"""Predictive contrastive learning: PCL."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor

from graphssl.augment import Augmentation
from graphssl.encoders import GNN
from graphssl.graph import Graph
from graphssl.objectives.grace import GRACE
from graphssl.objectives.graphmae import GraphMAE


class PCL(GRACE):
    """Predictive contrastive learning (Li et al., 2020, arXiv:2012.09962): contrast, and prediction of the masked input beside it.

    Contrast alone may be satisfied by a few features that all views share and forget the others; that the same encoder must also tell
    masked input from its surroundings keeps them: ``GRACE + reconstruction * GraphMAE``, in the first ``predict_first`` epochs the latter
    alone.

    Deviations: the paper inpaints images; here nodes' features are hidden and told as in GraphMAE (Hou et al., 2022, arXiv:2205.10803).
    A loss that is a mean of two kinds of rows is not trained by several processes.

    Args:
        encoder: what is trained.
        views: the two augmentations of the contrast.
        hidden: as are ``tau``, ``intra``, ``chunk``, ``negatives`` and ``loss``, of :class:`graphssl.GRACE`.
        reconstruction: weight of the prediction; 0 leaves GRACE.
        predict_first: epochs of prediction alone.
        mask_rate: as are ``alpha`` and ``decoder``, of :class:`graphssl.GraphMAE`.

    Raises:
        ValueError: a negative ``reconstruction`` or ``predict_first``, or prediction first of no weight.

    Example:
        >>> from graphssl import GCN, DropEdges, Graph
        >>> g = Graph.of((torch.eye(4), torch.tensor([[0, 1, 2, 1, 2, 3], [1, 2, 3, 0, 1, 2]])))
        >>> objective = PCL(GCN(4, [8, 4], norm="none"), views=(DropEdges(0.5), DropEdges(0.5)), hidden=8)
        >>> objective(g).isfinite().item()
        True
    """

    mean_over = None  # type: ignore[assignment]  # two means, over different rows
    epoch: Tensor

    def __init__(
        self,
        encoder: GNN,
        views: tuple[Augmentation, Augmentation],
        *,
        hidden: int = 128,
        tau: float = 0.4,
        intra: bool = True,
        chunk: int | None = 2048,
        negatives: int | None = None,
        loss: str | Callable[[Tensor, Tensor], Tensor] = "info-nce",
        reconstruction: float = 10.0,
        predict_first: int = 10,
        mask_rate: float = 0.5,
        alpha: float = 2.0,
        decoder: Literal["same", "mlp", "linear"] = "same",
    ) -> None:
        super().__init__(encoder, views, hidden=hidden, tau=tau, intra=intra, chunk=chunk, negatives=negatives, loss=loss)
        if not reconstruction >= 0:
            raise ValueError(f"reconstruction must be 0 or more, got {reconstruction}")
        if predict_first < 0 or (predict_first and not reconstruction):
            raise ValueError(f"predict_first must be 0 or more epochs, and 0 where reconstruction is 0, got {predict_first}")
        self.reconstruction, self.predict_first = reconstruction, predict_first
        self.prediction = GraphMAE(encoder, mask_rate=mask_rate, alpha=alpha, decoder=decoder)
        self.register_buffer("epoch", torch.tensor(0))

    def forward(self, g: Graph) -> Tensor:
        contrast = super().forward(g)
        if not self.reconstruction:
            return contrast
        warm = (self.epoch >= self.predict_first).to(contrast.dtype)  # a tensor, so that no device is waited for
        return warm * contrast + self.reconstruction * self.prediction(g)  # type: ignore[no-any-return]

    def after_epoch(self, progress: float) -> None:
        self.epoch += 1
