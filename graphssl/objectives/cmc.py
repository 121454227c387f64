"""Contrast of any number of structural views: CMC."""

from __future__ import annotations

from itertools import combinations
from typing import Literal

from torch import Tensor, nn

from graphssl.distributed import everywhere
from graphssl.graph import Graph
from graphssl.heads import MLP
from graphssl.losses import info_nce
from graphssl.multiview import MultiView
from graphssl.objectives.base import Objective


class CMC(Objective):
    """Contrastive Multiview Coding (Tian et al., 2020, arXiv:1906.05849), of views of a graph's structure.

    Each view has an encoder of its own (:class:`graphssl.MultiView`): the edges, their diffusion, the nearest neighbours by features, the
    features alone. A node as one view sees it is to find itself among all nodes as another sees them, for every pair of views
    (``full``), or for each view with the first (``core``): the sum over pairs of InfoNCE, the mean of both directions.

    Deviations: the paper's views are parts of images and its negatives a memory bank; here they are views of graphs, as MVGRL's
    (Hassani and Khasahmadi, 2020, arXiv:2006.05582), and all nodes of the step. Its linear heads are MLPs here.

    Args:
        encoder: what is trained, of two views or more.
        pairs: ``full`` or ``core``.
        hidden: width of the projectors' hidden layer, one projector a view; their output is as wide as a view's embedding.
        tau: temperature.
        chunk: rows of similarities held at a time; ``None`` holds all ``N^2``.
        level: ``node``, or ``graph`` for the readouts of whole graphs.

    Raises:
        ValueError: an encoder that is not of several views, an unknown name, or a number out of its range.

    Example:
        >>> import torch
        >>> from graphssl import GCN, MLP, Diffuse, Identity
        >>> g = Graph.of((torch.eye(4), torch.tensor([[0, 1, 2, 1, 2, 3], [1, 2, 3, 0, 1, 2]])))
        >>> views = (Identity(), Diffuse("ppr", alpha=0.2), Identity())
        >>> encoder = MultiView([GCN(4, [8]), GCN(4, [8]), MLP(4, [8])], views, project=False)
        >>> CMC(encoder, hidden=8)(g).isfinite().item()
        True
    """

    mean_over = "ranks"

    def __init__(
        self,
        encoder: MultiView,
        *,
        pairs: Literal["full", "core"] = "full",
        hidden: int = 256,
        tau: float = 0.07,
        chunk: int | None = 2048,
        level: Literal["node", "graph"] = "node",
    ) -> None:
        super().__init__()
        if len(getattr(encoder, "encoders", ())) < 2:
            raise ValueError(f"encoder must be a MultiView of at least two views, got {type(encoder).__name__}")
        if pairs not in ("full", "core"):
            raise ValueError(f"pairs must be full or core, got {pairs!r}")
        if level not in ("node", "graph"):
            raise ValueError(f"level must be node or graph, got {level!r}")
        if tau <= 0:
            raise ValueError(f"tau must be positive, got {tau}")
        if chunk is not None and chunk < 1:
            raise ValueError(f"chunk must be at least 1 or None, got {chunk}")
        self.encoder, self.pairs, self.tau, self.chunk, self.level = encoder, pairs, tau, chunk, level
        widths = [part.graph_channels if level == "graph" else part.out_channels for part in encoder.encoders]
        self.projectors = nn.ModuleList(MLP(width, hidden, width, act="elu") for width in widths)  # type: ignore[arg-type]

    def forward(self, g: Graph) -> Tensor:
        rows = self.graphs if self.level == "graph" else self.nodes
        parts = zip(self.projectors, self.encoder.encoders, self.encoder.views, strict=True)  # type: ignore[arg-type]
        z = [everywhere(project(rows(view(g), part))) for project, part, view in parts]  # [N, D] each
        pairs = combinations(z, 2) if self.pairs == "full" else ((z[0], other) for other in z[1:])
        first, *others = (info_nce(u, v, tau=self.tau, chunk=self.chunk) for u, v in pairs)
        return sum(others, first)
