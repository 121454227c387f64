"""Deep graph contrastive learning: GRACE."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from graphssl import losses
from graphssl.augment import Augmentation
from graphssl.distributed import everywhere, same
from graphssl.encoders import GNN
from graphssl.graph import Graph
from graphssl.heads import MLP
from graphssl.losses import sampled_info_nce
from graphssl.losses.table import of_views
from graphssl.objectives.base import Objective, common_rows, two_views


class GRACE(Objective):
    """Deep Graph Contrastive Representation Learning (Zhu et al., 2020, arXiv:2006.04131).

    A node's two views are drawn together, and away from every other node of both views: InfoNCE of projections with intra-view
    negatives, symmetrised.

    Args:
        encoder: what is trained.
        views: the two augmentations.
        hidden: width of the projector's hidden layer; its output is as wide as the embedding.
        tau: temperature.
        intra: other nodes of the same view are negatives too.
        chunk: rows of similarities held at a time; ``None`` holds all ``(2N)^2``.
        negatives: so many nodes, drawn anew at each step, are the negatives of all, in O(N) time; ``None``: all others, in O(N^2).
            They are of InfoNCE alone.
        loss: of the rows ``(u, v)`` of both views: a function, or the name of one of :mod:`graphssl.losses` that takes two views, with
            those of ``tau``, ``intra`` and ``chunk`` that it knows.

    Raises:
        ValueError: a number that is out of range, a name that is none, or an option that the loss does not know.

    Example:
        >>> from graphssl import GCN, DropEdges, Graph
        >>> g = Graph.of((torch.eye(4), torch.tensor([[0, 1, 2, 1, 2, 3], [1, 2, 3, 0, 1, 2]])))
        >>> objective = GRACE(GCN(4, [8, 4], norm="none"), views=(DropEdges(0.5), DropEdges(0.5)), hidden=8)
        >>> objective(g).isfinite().item()
        True
    """

    mean_over = "ranks"

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
    ) -> None:
        super().__init__()
        if tau <= 0:
            raise ValueError(f"tau must be positive, got {tau}")
        if chunk is not None and chunk < 1:
            raise ValueError(f"chunk must be at least 1 or None, got {chunk}")
        if negatives is not None and negatives < 1:
            raise ValueError(f"negatives must be at least 1 or None, got {negatives}")
        self.encoder, self.views = encoder, two_views(views)
        self.tau, self.intra, self.chunk, self.negatives = tau, intra, chunk, negatives
        name = None if callable(loss) else of_views(loss)
        self.contrast = loss if callable(loss) else self._named(of_views(loss))
        if negatives is not None and name != "info-nce":
            raise ValueError(f"negatives are drawn for info-nce alone, got {negatives} with another loss")
        self.projector = MLP(encoder.out_channels, hidden, encoder.out_channels, act="elu")

    def forward(self, g: Graph) -> Tensor:
        g1, g2 = (view(g) for view in self.views)
        z1, z2 = self.projector(self.nodes(g1)), self.projector(self.nodes(g2))  # [S, D]
        i1, i2 = common_rows(g1, g2)
        u, v = everywhere(z1[i1]), everywhere(z2[i2])
        if self.negatives is None or self.negatives >= u.size(0):
            return self.contrast(u, v)
        drawn = same(torch.randperm(u.size(0), device=u.device)[: self.negatives])
        return sampled_info_nce(u, v, drawn, tau=self.tau, intra=self.intra, chunk=self.chunk)

    def _named(self, name: str) -> Callable[[Tensor, Tensor], Tensor]:
        """The loss of that name with the options that it knows."""
        function: Callable[..., Tensor] = getattr(losses, name.replace("-", "_"))
        known = inspect.signature(function).parameters
        if "intra" not in known and not self.intra:
            raise ValueError(f"intra False is not for loss {name}")
        return partial(function, **{option: getattr(self, option) for option in ("tau", "intra", "chunk") if option in known})
