"""Losses for classes of very unequal size: ResCom's contrast, the balanced softmax, weights by effective numbers."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from graphssl.losses.pairwise import mean_where, per_row, unit_rows
from graphssl.losses.positives import Positives
from graphssl.losses.precision import full_precision

Queue = tuple[Tensor, Tensor]


def effective_weights(counts: Tensor, *, beta: float = 0.999) -> Tensor:
    """Weights of classes by their effective numbers (Cui et al., 2019, arXiv:1901.05555), ``[C]`` float64, as ResCom scales them.

    ``w_c = mean(E) / E_c`` with ``E_c = (1 - beta^{n_c}) / (1 - beta)``: 1 for all at ``beta = 0``, in proportion to ``1 / n_c`` at 1.

    Args:
        counts: ``[C]`` labelled rows of each class; a class without any counts as one of one row.
        beta: from 0 to 1.

    Raises:
        ValueError: ``beta`` outside [0, 1].

    Example:
        >>> effective_weights(torch.tensor([100, 50, 10]), beta=1)
        tensor([0.5333, 1.0667, 5.3333], dtype=torch.float64)
    """
    if not 0 <= beta <= 1:
        raise ValueError(f"beta must be from 0 to 1, got {beta}")
    n = counts.double().clamp(min=1)
    numbers = n if beta == 1 else torch.ones_like(n) if beta == 0 else -torch.expm1(n * math.log(beta)) / (1 - beta)
    return numbers.mean() / numbers


def log_prior(counts: Tensor) -> Tensor:
    """Logarithms of the classes' shares, ``[C]`` float64; minus infinity for a class without rows.

    Example:
        >>> log_prior(torch.tensor([1, 1])).exp()
        tensor([0.5000, 0.5000], dtype=torch.float64)
    """
    return (counts.double() / counts.sum()).log()


@full_precision
def balanced_softmax(logits: Tensor, y: Tensor, counts: Tensor) -> Tensor:
    """Cross-entropy of logits raised by the log prior, so that without it they suit balanced classes (Ren et al., 2020, arXiv:2007.10740).

    ``mean_i CE(logits_i + log(n / sum n), y_i)``; with classes of one size it is the cross-entropy.

    Args:
        logits: ``[N, C]``.
        y: ``[N]`` classes; -1 counts for nothing.
        counts: ``[C]`` labelled rows of each class.

    Raises:
        ValueError: counts that are not one for each class.

    Example:
        >>> balanced_softmax(torch.zeros(2, 2), torch.tensor([0, 1]), torch.tensor([3, 1]))  # -(log 3/4 + log 1/4) / 2
        tensor(0.8370)
    """
    if counts.shape != logits.shape[1:]:
        raise ValueError(f"counts must be [C] for the {logits.size(1)} classes of logits, got shape {tuple(counts.shape)}")
    total = F.cross_entropy(logits + log_prior(counts).to(logits), y, ignore_index=-1, reduction="sum")
    return total / (y >= 0).sum().clamp(min=1)


@full_precision
def rescom(
    u: Tensor,
    v: Tensor,
    *,
    y: Tensor,
    counts: Tensor | None = None,
    queue: Queue | None = None,
    k_pos: int = 4,
    k_neg: int = 64,
    beta: float = 0.999,
    prior: float = 0.0,
    tau: float = 0.1,
    chunk: int | None = None,
) -> Tensor:
    r"""ResCom's contrast: weights by class, the hardest pairs of a balanced queue (Zhong et al., 2022, arXiv:2203.11506).

    Anchors are the ``2N`` stacked rows of both views; keys are the other rows, and of the queue the ``k_pos`` least similar ones of the
    anchor's class and the ``k_neg`` most similar ones of other classes. ``mean_i w_{y_i} mean_{p in P(i)} [log sum_k e^{s_ik} - s_ip]``,
    with the weights of :func:`effective_weights`. The full objective adds :func:`balanced_softmax` over both views.

    Args:
        u: ``[N, D]``.
        v: ``[N, D]``; row ``i`` of both is the same node.
        y: ``[N]`` classes; a row of class -1 is no anchor, and a negative of all others.
        counts: ``[C]`` labelled rows of each class; those of ``y`` without it.
        queue: keys ``[Q, D]``, which take no gradient, and their classes ``[Q]``; a key of class -1 is an empty place.
        k_pos: positives taken from the queue, at most.
        k_neg: negatives taken from the queue, at most.
        beta: of the weights; 0 makes all 1.
        prior: so much of the log prior is added to the score of a key of a known class.
        tau: temperature.
        chunk: rows of similarities held at a time, with the same value and gradient; ``None`` holds all ``2N (2N + Q)``.

    Raises:
        ValueError: shapes that disagree, a temperature that is not positive, a chunk below 1, or a negative ``k_pos`` or ``k_neg``.

    Example:
        >>> u, y = torch.eye(4), torch.tensor([0, 0, 1, 1])
        >>> rescom(u, u[[1, 0, 3, 2]], y=y, tau=0.5) < rescom(u, u[[2, 3, 0, 1]], y=y, tau=0.5)
        tensor(True)
    """
    if min(k_pos, k_neg) < 0:
        raise ValueError(f"k_pos and k_neg must be 0 or more, got {k_pos} and {k_neg}")
    z, both = torch.cat(unit_rows(u, v, tau)), torch.cat([y, y])
    keys, of = queued(queue, z, both)
    most = max(int(torch.cat([of, both]).max()), 0) + 1 if len(both) else 1
    counts = torch.bincount(y[y >= 0], minlength=most) if counts is None else counts
    if len(counts) < most:
        raise ValueError(f"counts must be [C] for all classes of y and queue, of which the last is {most - 1}, got {len(counts)}")
    same, itself = Positives.views(len(y), y), Positives.diagonal(len(z), device=z.device)
    raised = prior * F.pad(log_prior(counts).to(z), (0, 1)) if prior else z.new_zeros(len(counts) + 1)  # -1, unknown, is the last

    def reduce(rows: slice, s: Tensor, q: Tensor) -> Tensor:
        alike = same.mask(rows, len(z))
        mined, mined_alike = _hardest(q + raised[of], of == both[rows, None], k_pos, k_neg)
        scores = torch.cat([(s + raised[both]).masked_fill(itself.mask(rows, len(z)), -torch.inf), mined], 1)
        alike = torch.cat([alike, mined_alike], 1)
        return (scores.logsumexp(1, keepdim=True) - scores).where(alike, 0).sum(1) / alike.sum(1).clamp(min=1)

    weights = effective_weights(counts, beta=beta).to(z)[both.clamp(min=0)]
    return mean_where(weights * per_row(reduce, (z / tau, z), (z / tau, keys), chunk=chunk), both >= 0)


def queued(queue: Queue | None, z: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """Keys of a queue, of unit length and without a gradient, and their classes; its empty places, of class -1, are left out.

    Example:
        >>> queued((2 * torch.eye(2), torch.tensor([3, -1])), torch.eye(2), torch.tensor([0, 1]))
        (tensor([[1., 0.]]), tensor([3]))
    """
    if queue is None:
        return z.new_empty(0, z.size(1)), y.new_empty(0)
    full = queue[1] >= 0
    return F.normalize(queue[0].detach()[full].to(z), dim=1), queue[1][full]


def _hardest(q: Tensor, alike: Tensor, k_pos: int, k_neg: int) -> tuple[Tensor, Tensor]:
    """Of scores ``[c, Q]`` the lowest among the alike and the highest among the others, and which of them are alike; none is -inf."""
    near = q.masked_fill(~alike, torch.inf).topk(min(k_pos, q.size(1)), largest=False).values
    far = q.masked_fill(alike, -torch.inf).topk(min(k_neg, q.size(1))).values
    found = near < torch.inf
    return torch.cat([near.masked_fill(~found, -torch.inf), far], 1), F.pad(found, (0, far.size(1)))
