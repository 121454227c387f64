"""Objectives that keep the columns of an embedding apart instead of its rows: CCA-SSG, G-BT, VICReg."""

from __future__ import annotations

from torch import Tensor

from graphssl.augment import Augmentation
from graphssl.distributed import everywhere
from graphssl.encoders import GNN
from graphssl.graph import Graph
from graphssl.heads import MLP
from graphssl.losses import barlow_twins, cca_ssg, vicreg
from graphssl.objectives.base import Objective, common_rows, two_views


class CCASSG(Objective):
    """Canonical correlation analysis on graphs, CCA-SSG (Zhang et al., 2021, arXiv:2106.12484).

    A node's two views are to agree in each column of the embedding, and the columns to be uncorrelated: :func:`graphssl.losses.cca_ssg`
    of the embeddings themselves, with no projector, no negatives and no second encoder; linear in the nodes.

    Args:
        encoder: what is trained.
        views: the two augmentations.
        decorrelation: weight of the terms that make columns uncorrelated.

    Example:
        >>> import torch
        >>> from graphssl import GCN, DropEdges, Graph
        >>> g = Graph.of((torch.eye(4), torch.tensor([[0, 1, 2, 1, 2, 3], [1, 2, 3, 0, 1, 2]])))
        >>> objective = CCASSG(GCN(4, [8, 4], norm="none"), views=(DropEdges(0.5), DropEdges(0.5)))
        >>> objective(g).isfinite().item()
        True
    """

    mean_over = "ranks"

    def __init__(self, encoder: GNN, views: tuple[Augmentation, Augmentation], *, decorrelation: float = 1e-3) -> None:
        super().__init__()
        if decorrelation < 0:
            raise ValueError(f"decorrelation must not be negative, got {decorrelation}")
        self.encoder, self.views, self.decorrelation = encoder, two_views(views), decorrelation

    def forward(self, g: Graph) -> Tensor:
        return cca_ssg(*_pairs(self, g), weight=self.decorrelation)


class BarlowTwins(Objective):
    """Graph Barlow Twins, G-BT (Bielak et al., 2022, arXiv:2106.02466).

    Columns of a node's two views are to correlate with themselves and with no other: :func:`graphssl.losses.barlow_twins` (Zbontar et al.,
    2021, arXiv:2103.03230) of the embeddings themselves, with no projector, no negatives and no second encoder; linear in the nodes.

    Args:
        encoder: what is trained.
        views: the two augmentations.
        decorrelation: weight of the correlations that are to vanish; ``None`` takes one over the width of the embedding.

    Example:
        >>> import torch
        >>> from graphssl import GCN, DropEdges, Graph
        >>> g = Graph.of((torch.eye(4), torch.tensor([[0, 1, 2, 1, 2, 3], [1, 2, 3, 0, 1, 2]])))
        >>> objective = BarlowTwins(GCN(4, [8, 4]), views=(DropEdges(0.5), DropEdges(0.5)))
        >>> objective(g).item() >= 0
        True
    """

    mean_over = "ranks"

    def __init__(self, encoder: GNN, views: tuple[Augmentation, Augmentation], *, decorrelation: float | None = None) -> None:
        super().__init__()
        if decorrelation is not None and decorrelation < 0:
            raise ValueError(f"decorrelation must not be negative, got {decorrelation}")
        self.encoder, self.views, self.decorrelation = encoder, two_views(views), decorrelation

    def forward(self, g: Graph) -> Tensor:
        return barlow_twins(*_pairs(self, g), weight=self.decorrelation)


class VICReg(Objective):
    """Variance-invariance-covariance regularisation (Bardes et al., 2022, arXiv:2105.04906), of nodes.

    A node's two views are drawn together while every column keeps its variance and tells what no other tells:
    :func:`graphssl.losses.vicreg` of projections; linear in the nodes. The paper is about images, with a projector of three layers of width
    8192; here it has one hidden layer.

    Args:
        encoder: what is trained.
        views: the two augmentations.
        hidden: width of the projector's hidden layer and of its output.
        invariance: weight of what draws views together.
        variance: weight of what keeps columns from collapse.
        covariance: weight of what keeps columns apart.

    Example:
        >>> import torch
        >>> from graphssl import GCN, DropEdges, Graph
        >>> g = Graph.of((torch.eye(4), torch.tensor([[0, 1, 2, 1, 2, 3], [1, 2, 3, 0, 1, 2]])))
        >>> objective = VICReg(GCN(4, [8, 4]), views=(DropEdges(0.5), DropEdges(0.5)), hidden=8)
        >>> objective(g).item() >= 0
        True
    """

    mean_over = "ranks"

    def __init__(
        self,
        encoder: GNN,
        views: tuple[Augmentation, Augmentation],
        *,
        hidden: int = 512,
        invariance: float = 25.0,
        variance: float = 25.0,
        covariance: float = 1.0,
    ) -> None:
        super().__init__()
        for name, weight in (("invariance", invariance), ("variance", variance), ("covariance", covariance)):
            if weight < 0:
                raise ValueError(f"{name} must not be negative, got {weight}")
        self.encoder, self.views = encoder, two_views(views)
        self.invariance, self.variance, self.covariance = invariance, variance, covariance
        self.projector = MLP(encoder.out_channels, hidden, hidden, act="relu")

    def forward(self, g: Graph) -> Tensor:
        u, v = (self.projector(z) for z in _pairs(self, g))
        return vicreg(u, v, invariance=self.invariance, variance=self.variance, covariance=self.covariance)


def _pairs(objective: CCASSG | BarlowTwins | VICReg, g: Graph) -> tuple[Tensor, Tensor]:
    """Embeddings of the seed nodes that both views kept, of all ranks, ``[S, D]`` each."""
    g1, g2 = (view(g) for view in objective.views)
    z1, z2 = objective.nodes(g1), objective.nodes(g2)
    i1, i2 = common_rows(g1, g2)
    return everywhere(z1[i1]), everywhere(z2[i2])
