"""Views that tell of each other as little as they can: InfoMin for nodes."""

from __future__ import annotations

import math
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from graphssl.adjacency import full
from graphssl.augment import Augmentation
from graphssl.dropper import EdgeDropper, dropped, weighed
from graphssl.encoders import GNN
from graphssl.graph import Graph
from graphssl.heads import MLP, gradient_reversed
from graphssl.losses import info_nce, node_graph_jsd
from graphssl.objectives.base import Objective, common_rows, two_views


class InfoMin(Objective):
    r"""Learned views for contrast between nodes, after "What Makes for Good Views" (Tian et al., 2020, arXiv:2005.10243).

    Good views share no more than the task needs. A second network, a :class:`graphssl.dropper.EdgeDropper` as in AD-GCL (arXiv:2106.05819),
    takes weight off edges so that the estimate ``I`` of what two views of a node tell of each other falls, at a price for each edge;
    encoder and projector learn to raise it: ``min over the dropper, max over the encoder of  I + reg_lambda * (share of edges dropped)``.

    One pass serves both: the dropper gets the gradient of the contrast with its sign turned, and that of the price; the encoder gets that
    of the contrast with the weights as they are. These are the gradients of the authors' two alternating steps, taken at one point. The
    value is the contrast alone. With labels of some nodes beside it, :class:`graphssl.supervised.SemiInfoMin` keeps the views useful for
    them.

    Args:
        encoder: what is trained; it must use edge weights.
        views: two augmentations that come first and are not learned, such as masked features.
        hidden: width of the projector's hidden layer; its output is as wide as the embedding.
        reg_lambda: price of dropping edges; without one, all that can be is dropped.
        tau: temperature of the cosines, for either estimate.
        temperature: of the soft edge weights.
        estimator: ``infonce``, ``log N`` less the mean of both directions' cross-entropies, so never above ``log N``; or ``jsd``.
        learned: whether edges are dropped in the ``second`` view alone, as AD-GCL does, or in ``both``, a draw each.
        hard: edges stay or go; by default they are weighed.
        chunk: rows of similarities held at a time; ``None`` holds all.

    Raises:
        ValueError: at construction, an argument out of its range, or an encoder without use for edge weights; at the call, a single node
            with ``jsd``, which leaves no negative.

    Example:
        >>> from graphssl import GCN, MaskFeatures
        >>> g = Graph.of((torch.eye(4), torch.tensor([[0, 1, 2, 1, 2, 3], [1, 2, 3, 0, 1, 2]])))
        >>> objective = InfoMin(GCN(4, [8, 4], norm="none"), views=(MaskFeatures(0.2), MaskFeatures(0.2)), hidden=8)
        >>> objective(g).isfinite().item(), bool(objective.information(g) <= math.log(4))
        (True, True)
    """

    def __init__(
        self,
        encoder: GNN,
        views: tuple[Augmentation, Augmentation],
        *,
        hidden: int = 128,
        reg_lambda: float = 0.1,
        tau: float = 0.4,
        temperature: float = 1.0,
        estimator: Literal["infonce", "jsd"] = "infonce",
        learned: Literal["second", "both"] = "both",
        hard: bool = False,
        chunk: int | None = 2048,
    ) -> None:
        super().__init__()
        if not tau > 0:
            raise ValueError(f"tau must be positive, got {tau}")
        if not reg_lambda >= 0:
            raise ValueError(f"reg_lambda must be 0 or more, got {reg_lambda}")
        if estimator not in ("infonce", "jsd"):
            raise ValueError(f"estimator must be infonce or jsd, got {estimator!r}")
        if learned not in ("second", "both"):
            raise ValueError(f"learned must be second or both, got {learned!r}")
        if chunk is not None and chunk < 1:
            raise ValueError(f"chunk must be at least 1 or None, got {chunk}")
        self.encoder, self.views = encoder, two_views(views)
        self.reg_lambda, self.tau, self.temperature, self.chunk = reg_lambda, tau, temperature, chunk
        self.estimator, self.learned, self.hard = estimator, learned, hard
        self.dropper = EdgeDropper(encoder, temperature=temperature, hard=hard)
        self.projector = MLP(encoder.out_channels, hidden, encoder.out_channels, act="elu")

    def forward(self, g: Graph) -> Tensor:
        return self.loss(*self.draw(g))

    def draw(self, g: Graph) -> tuple[list[Graph], list[Tensor | None]]:
        """The two views before edges are dropped, and what the dropper leaves of each one's edges ``[E]``; ``None``: all."""
        views = [view(g) for view in self.views]
        return views, [self.dropper(view) if k or self.learned == "both" else None for k, view in enumerate(views)]

    def loss(self, views: list[Graph], weights: list[Tensor | None]) -> Tensor:
        """The contrast of two views, with the gradients of both sides."""
        g1, g2 = (view if w is None else weighed(view, gradient_reversed(w)) for view, w in zip(views, weights, strict=True))
        shares = [dropped(w, view) for view, w in zip(views, weights, strict=True) if w is not None]
        price = self.reg_lambda * torch.stack(shares).mean()
        return self.contrast(g1, g2)[0] + price - price.detach()

    def contrast(self, g1: Graph, g2: Graph) -> tuple[Tensor, int]:
        """The loss of two views, and how many nodes are told apart."""
        z1, z2 = full(self.projector(self.nodes(g1))), full(self.projector(self.nodes(g2)))  # [S, D]
        i1, i2 = common_rows(g1, g2)
        u, v = z1[i1], z2[i2]
        if self.estimator == "infonce":
            return info_nce(u, v, tau=self.tau, chunk=self.chunk), u.size(0)
        own = torch.arange(u.size(0), device=u.device)
        return node_graph_jsd(F.normalize(u, dim=1) / self.tau, F.normalize(v, dim=1), own, chunk=self.chunk), u.size(0)

    @torch.no_grad()
    def information(self, g: Graph) -> Tensor:
        """What two views drawn now tell of each other by the estimate, in nats; of ``jsd`` the divergence, at most ``2 log 2``."""
        loss, num = self.contrast(*(view if w is None else weighed(view, w) for view, w in zip(*self.draw(g), strict=True)))
        return math.log(num) - loss if self.estimator == "infonce" else -loss

    @torch.no_grad()
    def keeps(self, g: Graph) -> Tensor:
        """Probability that the dropper leaves an edge more than half of its weight, ``[E]``."""
        return self.dropper.logits(g).sigmoid()
