"""Supervised contrast: an encoder that learns from labels by drawing the nodes of a class together."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from graphssl import losses
from graphssl.augment import Augmentation, aligned
from graphssl.encoders import GNN
from graphssl.graph import Graph
from graphssl.heads import MLP, ClassDecoder
from graphssl.losses.balanced import balanced_softmax
from graphssl.losses.debiasing import Match, fair_kl
from graphssl.losses.reconstruction import scaled_cosine
from graphssl.losses.table import of_labels
from graphssl.objectives.base import Objective
from graphssl.queues import KeyQueue
from graphssl.supervised.joint import seeds_among

READS_HEAD = ("rescom", "paco")  # losses of which a classifier is a part


class SupervisedContrastive(Objective):
    r"""Two views of the nodes with known labels, and a contrastive loss of projections that knows which are of one class.

    With ``loss="sup-con"`` that of Khosla et al., 2020, arXiv:2004.11362; with ``spread`` and ``reconstruct`` Thanos (Chen et al., 2022,
    arXiv:2204.07596); with ``rescom`` ResCom (Zhong et al., 2022, arXiv:2203.11506), whose balanced softmax over both views trains the
    ``head``; with ``paco`` GPaCo (Cui et al., 2022, arXiv:2209.12400), where the rows of ``head`` are the classes' centres. Only nodes with
    a label in ``y`` count.

    Args:
        encoder: what is trained.
        views: two augmentations that keep all nodes.
        y: classes of all nodes of the graph that batches are taken from, ``[N]``; -1 is unknown. They are no part of the ``state_dict``.
        loss: the name of one of :mod:`graphssl.losses` that takes labels, or a function of ``(u, v, y=y)``.
        hidden: width of the projector's hidden layer; its output is as wide as the embedding.
        head: classifier of embeddings, ``[D] -> [C]``, which ``rescom`` and ``paco`` need and no other loss reads.
        queue: keys of the first view that are kept of each class, for ``rescom`` and ``paco``; 0 keeps none.
        weight: of the contrast beside ``rescom``'s balanced softmax.
        reconstruct: weight of telling a node's features again from embedding and class (Thanos' class-conditional autoencoder).
        bias: ``[N]`` groups of an attribute that should not matter; -1 is unknown.
        fairness: weight of :func:`graphssl.losses.fair_kl` of the projections, which needs ``bias``.
        match: what it compares: ``kl`` or ``mean``.
        options: further arguments of a loss by name, as ``tau``.

    Raises:
        ValueError: an unknown loss, an option that it does not know, a missing head or bias, or labels that are not ``[N]``.

    Example:
        >>> from graphssl import GCN, DropEdges
        >>> g = Graph.of((torch.eye(4), torch.tensor([[0, 1, 2, 1, 2, 3], [1, 2, 3, 0, 1, 2]])))
        >>> objective = SupervisedContrastive(GCN(4, [8, 8]), (DropEdges(0.5),) * 2, torch.tensor([0, 0, 1, -1]), tau=0.5)
        >>> objective(g).isfinite().item()
        True

    Deviation:
        PaCo's momentum encoder is left out, as in GPaCo; its queue is one a class. Thanos trains its autoencoder beside the contrast, on an
        encoder of its own; here both share one.
    """

    mean_over = None  # rows with a label differ from process to process
    y: Tensor
    bias: Tensor | None
    counts: Tensor

    def __init__(
        self,
        encoder: GNN,
        views: tuple[Augmentation, Augmentation],
        y: Tensor,
        *,
        loss: str | Callable[..., Tensor] = "sup-con",
        hidden: int = 128,
        head: nn.Linear | None = None,
        queue: int = 0,
        weight: float = 1.0,
        reconstruct: float = 0.0,
        bias: Tensor | None = None,
        fairness: float = 0.0,
        match: Match = "kl",
        **options: Any,
    ) -> None:
        super().__init__()
        self.name = loss if callable(loss) else of_labels(loss)
        _check(self.name, head, queue, y, bias, {"weight": weight, "reconstruct": reconstruct, "fairness": fairness})
        self.loss = loss if callable(loss) else named(of_labels(loss), options)
        if callable(loss) and options:
            raise ValueError(f"options are for losses by name, got {', '.join(options)} with a function; functools.partial takes them")
        self.encoder, self.views, self.head = encoder, aligned(views), head
        if len(self.views) != 2:
            raise ValueError(f"views must be two augmentations, got {len(self.views)}")
        self.weight, self.reconstruct, self.fairness, self.match = weight, reconstruct, fairness, match
        width, num_classes = encoder.out_channels, max(int(y.max()) + 1, 1) if head is None else head.out_features
        self.projector = MLP(width, hidden, width, act="elu")
        self.decoder = ClassDecoder(width, num_classes, hidden, encoder.in_channels) if reconstruct else None
        self.queue = KeyQueue(queue, width, num_classes=num_classes) if queue else None
        self.register_buffer("y", y, persistent=False)
        self.register_buffer("bias", bias, persistent=False)
        self.register_buffer("counts", torch.bincount(y[y >= 0], minlength=num_classes), persistent=False)

    def forward(self, g: Graph) -> Tensor:
        h = [self.nodes(view(g)) for view in self.views]  # [S, D] each
        place = seeds_among(g, len(self.y))
        y = self.y[place]
        known = (y >= 0).nonzero().squeeze(1)
        if not len(known):
            return h[0].sum() * 0
        y, h = y[known], [part[known] for part in h]
        u, v = (self.projector(part) for part in h)
        total = self.contrast(u, v, y, torch.cat(h))
        if self.decoder is not None:
            x = g.dense_x()[: g.num_seeds][known]
            total = total + self.reconstruct * torch.stack([scaled_cosine(self.decoder(part, y), x, alpha=1) for part in h]).mean()
        if self.fairness and self.bias is not None:
            total = total + self.fairness * fair_kl(u, v, y=y, bias=self.bias[place][known], match=self.match)
        if self.queue is not None and self.training:
            self.queue.push(u.detach(), y)
        return total

    def contrast(self, u: Tensor, v: Tensor, y: Tensor, h: Tensor) -> Tensor:
        """The loss of projections ``[n, D]`` of classes ``[n]``; ``rescom`` and ``paco`` also read their embeddings ``h`` ``[2n, D]``."""
        if self.name not in READS_HEAD or self.head is None:
            return self.loss(u, v, y=y)
        logits: Tensor = self.head(h)
        more: dict[str, Any] = {"counts": self.counts}
        if self.queue is not None:
            more["queue"] = (self.queue.keys(), self.queue.labels())
        if self.name == "paco":
            return self.loss(u, v, y=y, logits=logits, **more)
        return balanced_softmax(logits, torch.cat([y, y]), self.counts) + self.weight * self.loss(u, v, y=y, **more)


def named(name: str, options: dict[str, Any]) -> Callable[..., Tensor]:
    """The loss of that name with its options; ``chunk`` is for those that know it.

    Raises:
        ValueError: an option that it does not know.

    Example:
        >>> named("spread", {"beta": 1})
        Traceback (most recent call last):
        ValueError: loss spread has no option beta; it has tau, alpha, chunk
    """
    function: Callable[..., Tensor] = getattr(losses, name.replace("-", "_"))
    known = [p for p in inspect.signature(function).parameters if p not in ("u", "v", "y", "logits", "counts", "queue")]
    for option in options:
        if option not in known:
            raise ValueError(f"loss {name} has no option {option}; it has {', '.join(known)}")
    return partial(function, **options)


def _check(name: Any, head: Any, queue: int, y: Tensor, bias: Tensor | None, weights: dict[str, float]) -> None:
    if y.dim() != 1 or y.is_floating_point():
        raise ValueError(f"y must be [N] classes, got shape {tuple(y.shape)} of {y.dtype}")
    if bias is not None and bias.shape != y.shape:
        raise ValueError(f"bias must be [N] like y, got shape {tuple(bias.shape)}")
    for what, value in (*weights.items(), ("queue", queue)):
        if not 0 <= value < torch.inf:
            raise ValueError(f"{what} must be 0 or more, got {value}")
    if weights["fairness"] and bias is None:
        raise ValueError("fairness needs bias, the attribute that should not matter")
    if name in READS_HEAD and head is None:
        raise ValueError(f"loss {name} needs head, the classifier that it trains")
    if name not in READS_HEAD and (queue or head is not None):
        raise ValueError(
            f"queue and head are for loss {' and '.join(READS_HEAD)}, got {f'loss {name}' if isinstance(name, str) else 'another'}"
        )
