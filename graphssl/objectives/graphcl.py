"""Graph contrastive learning: GraphCL."""

from __future__ import annotations

from torch import Tensor

from graphssl.augment import Augmentation
from graphssl.distributed import everywhere
from graphssl.encoders import GNN
from graphssl.graph import Graph
from graphssl.heads import MLP
from graphssl.losses import info_nce
from graphssl.objectives.base import Objective, several_graphs, two_views


class GraphCL(Objective):
    """Graph Contrastive Learning (You et al., 2020, arXiv:2010.13902).

    The embeddings of two views of a graph are drawn together, behind a projection, and away from those of the other graphs in the
    batch. The defaults are the loss of the official code: the positive is not among what it is compared with, and only the first view
    looks for its partner in the second, so that the loss may be negative.

    With ``views=(Identity(), view)`` each graph is compared with one augmented view of itself, as the official unsupervised code does;
    the paper's figure, and the code for transfer, have two augmented views. Dropped nodes are gone here and are not pooled; the official
    code also removes nodes that have lost all their edges, which stay here.

    Args:
        encoder: what is trained.
        views: the two augmentations.
        tau: temperature.
        decoupled: leave the positive out of the denominator.
        symmetric: also from the second view to the first.
        chunk: rows of similarities held at a time; ``None`` holds all.

    Raises:
        ValueError: at construction, an argument out of its range; at the call, a batch of one graph, which has no negative.

    Example:
        >>> import torch
        >>> from graphssl import GIN, DropNodes, Graph, Identity, side_by_side
        >>> path = Graph.of((torch.eye(3), torch.tensor([[0, 1, 1, 2], [1, 0, 2, 1]])))
        >>> objective = GraphCL(GIN(3, [4, 4], jk="cat", readout="sum"), views=(Identity(), DropNodes(0.2)))
        >>> objective(side_by_side([path, path])).isfinite().item()
        True
    """

    mean_over = "ranks"

    def __init__(
        self,
        encoder: GNN,
        views: tuple[Augmentation, Augmentation],
        *,
        tau: float = 0.2,
        decoupled: bool = True,
        symmetric: bool = False,
        chunk: int | None = None,
    ) -> None:
        super().__init__()
        if tau <= 0:
            raise ValueError(f"tau must be positive, got {tau}")
        if chunk is not None and chunk < 1:
            raise ValueError(f"chunk must be at least 1 or None, got {chunk}")
        self.encoder, self.views = encoder, two_views(views)
        self.tau, self.decoupled, self.symmetric, self.chunk = tau, decoupled, symmetric, chunk
        width = encoder.graph_channels
        self.projector = MLP(width, width, width, act="relu")

    def forward(self, g: Graph) -> Tensor:
        several_graphs(g)
        z1, z2 = (everywhere(self.projector(self.graphs(view(g)))) for view in self.views)  # [G, D]
        return info_nce(z1, z2, tau=self.tau, decoupled=self.decoupled, symmetric=self.symmetric, chunk=self.chunk)
