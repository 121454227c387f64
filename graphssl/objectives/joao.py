"""Joint augmentation optimisation: JOAO."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from graphssl.augment import Augmentation, aligned
from graphssl.augment.compose import one_for_each
from graphssl.encoders import GNN
from graphssl.graph import Graph
from graphssl.heads import MLP
from graphssl.losses import info_nce
from graphssl.objectives.base import Objective, several_graphs


class JOAO(Objective):
    r"""Joint augmentation optimisation (You et al., 2021, arXiv:2106.07594).

    GraphCL that learns how often to use each augmentation: those that the encoder finds hard. Each graph is compared with a view of it
    that is drawn from ``P``; after each epoch ``P`` takes a step up the losses ``l`` of the augmentations, held back from straying too
    far from an even choice among ``K``, and is brought back to the simplex:
    ``P <- project(P + l - gamma (P - 1 / K))``.

    ``l`` is measured on the last batch of the epoch, with no gradient and leaving batch norm's running statistics alone. The official
    code takes a tenth of the data and projects by bisection; the projection is exact here.

    Args:
        encoder: what is trained.
        views: the augmentations to choose from; the graph as it is may be one.
        gamma: how strongly ``P`` is drawn to an even choice.
        tau: temperature.
        projectors: ``shared``, or ``per-augmentation`` (JOAOv2): each augmentation has a projector of its own, through which both sides
            go, and one draw decides for the whole batch.

    Raises:
        ValueError: at construction, an argument out of its range; at the call, a batch of one graph, which has no negative.

    Example:
        >>> from graphssl import GIN, DropNodes, Graph, Identity, side_by_side
        >>> path = Graph.of((torch.eye(3), torch.tensor([[0, 1, 1, 2], [1, 0, 2, 1]])))
        >>> objective = JOAO(GIN(3, [4, 4], jk="cat", readout="sum"), views=(Identity(), DropNodes(0.2)))
        >>> objective(side_by_side([path, path])).isfinite().item()
        True
        >>> objective.probabilities
        tensor([0.5000, 0.5000])
    """

    mean_over = "graphs"

    probabilities: Tensor  # [K]

    def __init__(
        self,
        encoder: GNN,
        views: Sequence[Augmentation],
        *,
        gamma: float = 0.1,
        tau: float = 0.2,
        projectors: Literal["shared", "per-augmentation"] = "shared",
    ) -> None:
        super().__init__()
        if not gamma >= 0:
            raise ValueError(f"gamma must be 0 or more, got {gamma}")
        if tau <= 0:
            raise ValueError(f"tau must be positive, got {tau}")
        if projectors not in ("shared", "per-augmentation"):
            raise ValueError(f"projectors must be 'shared' or 'per-augmentation', got {projectors!r}")
        self.encoder, self.augmentations = encoder, aligned(views, may_drop=True)
        self.gamma, self.tau = gamma, tau
        width, count = encoder.graph_channels, len(self.augmentations)
        own = projectors == "per-augmentation"
        self.projectors = nn.ModuleList(MLP(width, width, width, act="relu") for _ in range(count if own else 1))
        self.register_buffer("probabilities", torch.full((count,), 1 / count))
        self.last: Graph | None = None  # the latest batch

    def forward(self, g: Graph) -> Tensor:
        several_graphs(g)
        self.last = g
        draws = 1 if len(self.projectors) > 1 else g.num_graphs
        choice = torch.multinomial(self.probabilities, draws, replacement=True)
        return self.loss(g, choice.expand(g.num_graphs))

    def loss(self, g: Graph, choice: Tensor) -> Tensor:
        """The loss where graph ``k`` is seen through augmentation ``choice[k]``, ``choice`` ``[G]``."""
        projector = self.projectors[int(choice[0]) if len(self.projectors) > 1 else 0]
        z1, z2 = (projector(self.graphs(view)) for view in (g, one_for_each(g, self.augmentations, choice)))  # [G, D]
        return info_nce(z1, z2, tau=self.tau, decoupled=True, symmetric=False)

    @torch.no_grad()
    def after_epoch(self, progress: float) -> None:
        if self.last is None:
            return
        statistics = [(buffer, buffer.clone()) for buffer in self.encoder.buffers()]
        same = torch.ones(self.last.num_graphs, dtype=torch.long, device=self.last.device)
        losses = torch.stack([self.loss(self.last, k * same) for k in range(len(self.augmentations))]).to(self.probabilities)
        for buffer, before in statistics:
            buffer.copy_(before)
        uneven = self.probabilities - 1 / len(losses)
        self.probabilities.copy_(to_simplex(self.probabilities + losses - self.gamma * uneven))
        self.last = None


def to_simplex(b: Tensor) -> Tensor:
    """The nearest point to ``b`` ``[K]`` whose entries are not negative and sum to 1: ``max(b - mu, 0)`` with the ``mu`` that fits.

    Example:
        >>> to_simplex(torch.tensor([0.6, 0.6, -1.0]))
        tensor([0.5000, 0.5000, 0.0000])
    """
    high = b.sort(descending=True).values
    mu = (high.cumsum(0) - 1) / torch.arange(1, b.numel() + 1, device=b.device)  # [K] if so many entries are positive
    count = (high > mu).sum()
    return (b - mu[count - 1]).clamp(min=0)
