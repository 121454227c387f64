"""An encoder made of several, each of which sees the graph in its own way."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from graphssl.augment import Augmentation, aligned
from graphssl.encoders import GNN
from graphssl.graph import Graph
from graphssl.heads import ShortcutMLP


class MultiView(nn.Module):
    """One encoder for each view of the structure, and graphs summed over views (MVGRL: Hassani and Khasahmadi, 2020, arXiv:2006.05582).

    A node's embedding holds what each encoder makes of it side by side. A graph's is the sum over the views of their readouts, behind a
    projection that they share (:class:`graphssl.heads.ShortcutMLP`), as wide as the last layer.

    The views belong to the encoder and are taken wherever it is used, in training and in :func:`graphssl.embed` alike, so they must be
    deterministic: the graph as it is, its diffusion.

    Args:
        encoders: one a view, of one shape.
        views: as many, which keep all nodes.

    Raises:
        ValueError: another number of views than of encoders, or encoders of different widths.

    Example:
        >>> import torch
        >>> from graphssl import GCN, Diffuse, Identity
        >>> g = Graph.of((torch.eye(3), torch.tensor([[0, 1, 1, 2], [1, 0, 2, 1]])))
        >>> encoder = MultiView([GCN(3, [8]), GCN(3, [8])], views=(Identity(), Diffuse("ppr", alpha=0.2)))
        >>> h = encoder(g)
        >>> h.shape, encoder.pool(h, g).shape
        (torch.Size([3, 16]), torch.Size([1, 8]))
    """

    def __init__(self, encoders: Iterable[GNN], views: Iterable[Augmentation]) -> None:
        super().__init__()
        parts, self.views = list(encoders), aligned(views)
        if len(parts) != len(self.views):
            raise ValueError(f"views must be one for each encoder, got {len(self.views)} views and {len(parts)} encoders")
        shapes = {(part.in_channels, *part.channels, part.out_channels, part.graph_channels) for part in parts}
        if len(shapes) > 1:
            raise ValueError(f"encoders must have the same widths, got {' and '.join(str(part.channels) for part in parts)}")
        self.encoders = nn.ModuleList(parts)
        self.in_channels, self.channels = parts[0].in_channels, parts[0].channels
        self.out_channels, self.graph_channels = len(parts) * parts[0].out_channels, self.channels[-1]
        self.summary = ShortcutMLP(parts[0].graph_channels, self.graph_channels, act="prelu", linear=nn.Linear)

    def forward(self, g: Graph) -> Tensor:
        return torch.cat([encoder(view(g)) for encoder, view in zip(self.encoders, self.views, strict=True)], dim=1)

    def parts(self, h: Tensor) -> tuple[Tensor, ...]:
        """What each encoder makes of the nodes, ``[N, D]`` each, of what all make of them."""
        return h.chunk(len(self.encoders), dim=1)

    def summaries(self, h: Tensor, g: Graph) -> list[Tensor]:
        """What each view makes of the graphs, ``[G, D']`` each."""
        return [self.summary(encoder.pool(part, g)) for encoder, part in zip(self.encoders, self.parts(h), strict=True)]  # type: ignore[operator]

    def pool(self, h: Tensor, g: Graph) -> Tensor:
        """Embeddings of the graphs ``[G, D']`` from those of their nodes ``[N, D]``."""
        first, *others = self.summaries(h, g)
        return sum(others, first)
