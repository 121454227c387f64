"""An encoder made of several, each of which sees the graph in its own way."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal, get_args

import torch
from torch import Tensor, nn

from graphssl.augment import Augmentation, ConnectSimilar, Diffuse, Identity, aligned
from graphssl.encoders import GNN
from graphssl.graph import Graph
from graphssl.heads import ShortcutMLP

Structure = Literal["adjacency", "ppr", "heat", "similar", "features"]
Merge = Literal["cat", "mean"]


class MultiView(nn.Module):
    """One encoder for each view of the structure, and graphs summed over views (MVGRL: Hassani and Khasahmadi, 2020, arXiv:2006.05582).

    A node's embedding holds what each encoder makes of it side by side, or their mean. A graph's is the sum over the views of their
    readouts, behind a projection that they share (:class:`graphssl.heads.ShortcutMLP`), as wide as the last layer; without the projection,
    the readouts are put together as the nodes are.

    The views belong to the encoder and are taken wherever it is used, in training and in :func:`graphssl.embed` alike, so they must be
    deterministic: the graph as it is, its diffusion.

    Args:
        encoders: one a view, of one shape.
        views: as many, which keep all nodes.
        merge: ``cat`` or ``mean`` of what the encoders make of a node.
        project: graphs as MVGRL has them; ``False`` merges them as nodes.

    Raises:
        ValueError: another number of views than of encoders, encoders of different widths, or a ``merge`` that is unknown or
            cannot be projected.

    Example:
        >>> import torch
        >>> from graphssl import GCN, Diffuse, Identity
        >>> g = Graph.of((torch.eye(3), torch.tensor([[0, 1, 1, 2], [1, 0, 2, 1]])))
        >>> encoder = MultiView([GCN(3, [8]), GCN(3, [8])], views=(Identity(), Diffuse("ppr", alpha=0.2)))
        >>> h = encoder(g)
        >>> h.shape, encoder.pool(h, g).shape
        (torch.Size([3, 16]), torch.Size([1, 8]))
    """

    def __init__(self, encoders: Iterable[GNN], views: Iterable[Augmentation], *, merge: Merge = "cat", project: bool = True) -> None:
        super().__init__()
        parts, self.views = list(encoders), aligned(views)
        if len(parts) != len(self.views):
            raise ValueError(f"views must be one for each encoder, got {len(self.views)} views and {len(parts)} encoders")
        shapes = {(part.in_channels, *part.channels, part.out_channels, part.graph_channels) for part in parts}
        if len(shapes) > 1:
            raise ValueError(f"encoders must have the same widths, got {' and '.join(str(part.channels) for part in parts)}")
        if merge not in get_args(Merge):
            raise ValueError(f"merge must be cat or mean, got {merge!r}")
        if project and merge == "mean":
            raise ValueError("project sums readouts of each view, which takes merge 'cat', got 'mean'; allowed: project=False")
        self.encoders, self.merge = nn.ModuleList(parts), merge
        self.in_channels, self.channels = parts[0].in_channels, parts[0].channels
        copies = len(parts) if merge == "cat" else 1
        self.out_channels = copies * parts[0].out_channels
        self.graph_channels = self.channels[-1] if project else copies * parts[0].graph_channels
        self.summary = ShortcutMLP(parts[0].graph_channels, self.channels[-1], act="prelu", linear=nn.Linear) if project else None

    def forward(self, g: Graph) -> Tensor:
        return self._merged([encoder(view(g)) for encoder, view in zip(self.encoders, self.views, strict=True)])

    def parts(self, h: Tensor) -> tuple[Tensor, ...]:
        """What each encoder makes of the nodes, ``[N, D]`` each, of what all make of them side by side."""
        assert self.merge == "cat", "a mean cannot be taken apart"
        return h.chunk(len(self.encoders), dim=1)

    def summaries(self, h: Tensor, g: Graph) -> list[Tensor]:
        """What each view makes of the graphs, ``[G, D']`` each."""
        project = nn.Identity() if self.summary is None else self.summary
        return [project(encoder.pool(part, g)) for encoder, part in zip(self.encoders, self.parts(h), strict=True)]  # type: ignore[operator]

    def pool(self, h: Tensor, g: Graph) -> Tensor:
        """Embeddings of the graphs ``[G, D']`` from those of their nodes ``[N, D]``."""
        if self.merge == "mean":
            return self.encoders[0].pool(h, g)  # type: ignore[operator, no-any-return]
        first, *others = summaries = self.summaries(h, g)
        return self._merged(summaries) if self.summary is None else sum(others, first)

    def _merged(self, parts: Sequence[Tensor]) -> Tensor:
        return torch.cat(list(parts), dim=1) if self.merge == "cat" else torch.stack(list(parts)).mean(0)


def structure(kind: Structure, *, alpha: float = 0.2, time: float = 5.0, top_k: int | None = 64, neighbours: int = 10) -> Augmentation:
    """A view of the structure by name: as it is, diffused, or or the nearest by features; an encoder of ``features`` sees no edges.

    Example:
        >>> structure("similar", neighbours=5)
        ConnectSimilar(k=5, block=1024)
    """
    if kind not in get_args(Structure):
        raise ValueError(f"structures must be of {', '.join(get_args(Structure))}, got {kind!r}")
    if kind == "similar":
        return ConnectSimilar(neighbours)
    return Diffuse(kind, alpha=alpha, t=time, top_k=top_k) if kind in ("ppr", "heat") else Identity()  # type: ignore[arg-type]
