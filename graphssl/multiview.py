"""An encoder made of several, each of which sees the graph in its own way."""

from __future__ import annotations

from collections.abc import Iterable

from torch import Tensor, nn

from graphssl.augment import Augmentation, aligned
from graphssl.encoders import GNN
from graphssl.graph import Graph


class MultiView(nn.Module):
    """One encoder for each view of the structure; embeddings are summed, as in MVGRL (Hassani and Khasahmadi, 2020, arXiv:2006.05582).

    The views belong to the encoder and are taken wherever it is used, in training and in :func:`graphssl.embed` alike, so they must be
    deterministic: the graph as it is, its diffusion.

    Args:
        encoders: one a view, of one shape; with a readout that sums or averages, so that the sum of the nodes' embeddings, read out, is
            the sum of the graphs'.
        views: as many, which keep all nodes.

    Raises:
        ValueError: another number of views than of encoders, encoders of different widths, or a readout that is not linear.

    Example:
        >>> import torch
        >>> from graphssl import GCN, Diffuse, Identity
        >>> g = Graph.of((torch.eye(3), torch.tensor([[0, 1, 1, 2], [1, 0, 2, 1]])))
        >>> encoder = MultiView([GCN(3, [8]), GCN(3, [8])], views=(Identity(), Diffuse("ppr", alpha=0.2)))
        >>> encoder(g).shape
        torch.Size([3, 8])
    """

    def __init__(self, encoders: Iterable[GNN], views: Iterable[Augmentation]) -> None:
        super().__init__()
        parts, self.views = list(encoders), aligned(views)
        if len(parts) != len(self.views):
            raise ValueError(f"views must be one for each encoder, got {len(self.views)} views and {len(parts)} encoders")
        for part in parts:
            if (part.in_channels, part.channels, part.out_channels) != (parts[0].in_channels, parts[0].channels, parts[0].out_channels):
                raise ValueError("encoders must have the same widths, so that their embeddings can be summed")
            if part.readout.kind not in ("sum", "mean"):
                raise ValueError(f"encoders must have a readout of sum or mean, got {part.readout.kind!r}")
        self.encoders = nn.ModuleList(parts)
        self.in_channels, self.channels = parts[0].in_channels, parts[0].channels
        self.out_channels, self.graph_channels = parts[0].out_channels, parts[0].graph_channels

    def each(self, g: Graph) -> list[Tensor]:
        """What each encoder makes of the nodes of its view, ``[N, D]`` each."""
        return [encoder(view(g)) for encoder, view in zip(self.encoders, self.views, strict=True)]

    def forward(self, g: Graph) -> Tensor:
        first, *others = self.each(g)
        return sum(others, first)

    def pool(self, h: Tensor, g: Graph) -> Tensor:
        """Embeddings of the graphs ``[G, D]`` from those of their nodes ``[N, D]``."""
        return self.encoders[0].pool(h, g)  # type: ignore[operator, no-any-return]
