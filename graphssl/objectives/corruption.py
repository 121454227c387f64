"""Corruption prediction: tell of each node what was done to its graph."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from graphssl.adjacency import CSR, full
from graphssl.augment import Augmentation, Identity, ShuffleFeatures, aligned
from graphssl.augment.views import shuffled
from graphssl.batches import side_by_side
from graphssl.encoders import GNN
from graphssl.graph import Graph
from graphssl.heads import MLP
from graphssl.objectives.base import Objective


class CorruptionPrediction(Objective):
    """Which corruption was it? S4L's prediction of rotations (Zhai et al., 2019, arXiv:1905.03670), for nodes of a graph.

    An image is turned by one of four angles, and the network tells which; here a graph is left as it is, or rows of features change places,
    or edges, or values are noisy, and the network tells of each node which of the four it is. Cross-entropy, mean over nodes and kinds. All
    go through the encoder side by side, so that batch norm sees them together. Beside labels (``graphssl semi corruption``) it is S4L.

    Args:
        encoder: what is trained.
        hidden: width of the classifier's hidden layer.
        views: what is told apart; by default the graph as it is, :class:`.ShuffleFeatures`, :class:`RewireEdges`,
            :class:`NoisyFeatures`.

    Raises:
        ValueError: fewer than two views.

    Example:
        >>> from graphssl import GCN, Graph
        >>> g = Graph.of((torch.eye(4), torch.tensor([[0, 1, 2, 1, 2, 3], [1, 2, 3, 0, 1, 2]])))
        >>> CorruptionPrediction(GCN(4, [8], norm="none"), hidden=8)(g).isfinite().item()
        True

    Deviation:
        S4L applies its labels to all turned copies, and averages their predictions; here labels are of the graph as it is alone.
    """

    def __init__(self, encoder: GNN, *, hidden: int = 128, views: tuple[Augmentation, ...] | None = None) -> None:
        super().__init__()
        self.encoder = encoder
        self.views = aligned((Identity(), ShuffleFeatures(), RewireEdges(), NoisyFeatures()) if views is None else views, may_drop=True)
        if len(self.views) < 2:
            raise ValueError(f"views must be at least two, to be told apart, got {len(self.views)}")
        self.classifier = MLP(encoder.out_channels, hidden, len(self.views))

    def forward(self, g: Graph) -> Tensor:
        copies = [view(g) for view in self.views]
        h = full(self.encoder(side_by_side([replace(copy, num_seeds=None) for copy in copies])))
        parts = torch.split(h, [copy.num_nodes for copy in copies])  # type: ignore[no-untyped-call]
        logits = [self.classifier(part[: copy.num_seeds]).float() for part, copy in zip(parts, copies, strict=True)]  # [S, K] each
        kinds = [row.new_full(row.shape[:1], kind, dtype=torch.long) for kind, row in enumerate(logits)]
        return F.cross_entropy(torch.cat(logits), torch.cat(kinds))


@dataclass(frozen=True)
class RewireEdges:
    """Sources of edges change places: each node has as many neighbours as before, and others of its graph.

    In an undirected graph pairs are rewired, and it stays one; degrees stay in any case, and self-loops where they are.

    Example:
        >>> g = Graph.of((torch.eye(4), torch.tensor([[0, 1, 1, 2, 2, 3], [1, 0, 2, 1, 3, 2]])))
        >>> RewireEdges()(g).is_undirected, RewireEdges()(g).num_edges
        (True, 6)
    """

    keeps_nodes: ClassVar[bool] = True

    def __call__(self, g: Graph) -> Graph:
        source, target = g.edge_index
        moved = (source < target if g.reverse is not None else source != target).nonzero().squeeze(1)
        stays = (source == target).nonzero().squeeze(1)
        drawn = torch.randperm(len(moved), device=g.device) if g.graph_id is None else shuffled(g.graph_id[target[moved]])
        ends, order = torch.stack([source[moved[drawn]], target[moved]]), torch.cat([moved, stays])
        if g.reverse is not None:
            ends, order = torch.cat([ends, ends.flip(0)], 1), torch.cat([moved, g.reverse[moved], stays])
        weight, attr = (None if t is None else t[order] for t in (g.edge_weight, g.edge_attr))
        return g.with_edges(torch.cat([ends, g.edge_index[:, stays]], 1), weight, attr)


@dataclass(frozen=True)
class NoisyFeatures:
    """Each value is multiplied by ``1 + sigma * normal``: zeros stay, so sparse features stay sparse.

    Args:
        sigma: deviation of the noise, relative to the value.

    Raises:
        ValueError: ``sigma`` is not positive.

    Example:
        >>> g = Graph.of((torch.eye(3), torch.tensor([[0, 1], [1, 2]])))
        >>> (NoisyFeatures()(g).x != 0).sum().item()
        3
    """

    sigma: float = 1.0
    keeps_nodes: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if not self.sigma > 0:
            raise ValueError(f"sigma must be positive, got {self.sigma}")

    def __call__(self, g: Graph) -> Graph:
        if isinstance(g.x, CSR):
            values = g.x.values()
            return g.with_x(g.x.with_values(values * (1 + self.sigma * torch.randn_like(values))))
        return g.with_x(g.x * (1 + self.sigma * torch.randn_like(g.x)))
