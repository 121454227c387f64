"""Supervised contrast with learnable centres of classes among the keys: PaCo and GPaCo."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from graphssl.losses.balanced import Queue, log_prior, queued
from graphssl.losses.pairwise import mean_where, per_row, unit_rows
from graphssl.losses.positives import Positives
from graphssl.losses.precision import full_precision


@full_precision
def paco(
    u: Tensor,
    v: Tensor,
    *,
    y: Tensor,
    logits: Tensor,
    counts: Tensor | None = None,
    queue: Queue | None = None,
    share: float = 0.4,
    beta: float = 1.0,
    gamma: float = 1.0,
    tau: float = 0.2,
    chunk: int | None = None,
) -> Tensor:
    r"""Parametric contrastive learning: each class has a learnable centre, one more key of its rows (Cui et al., 2021, arXiv:2107.12028).

    Over the ``2N`` stacked rows of both views, with ``c_i = logits_i + log prior`` the scores against the centres and
    ``log Z_i = log( sum_c e^{c_ic} + gamma sum_{k != i} e^{s_ik} )``,
    ``L_i = -[beta (c_iy - log Z_i) + share mean_{p in P(i)} (s_ip - log Z_i)] / (beta + share)``.
    With a queue it is PaCo, without one GPaCo (Cui et al., 2022, arXiv:2209.12400). The papers weigh each of the ``K`` positives
    by ``alpha``; ``share = alpha K`` is what decides, since at the optimum (of ``beta = gamma = 1``) a centre takes ``1 / (1 + share)`` of
    the probability: their 0.05 with about eight positives is 0.4, and the same 0.05 with hundreds would leave the centres next to nothing.
    A ``gamma`` below 1 keeps many keys from drowning few classes.

    Args:
        u: ``[N, D]``.
        v: ``[N, D]``; row ``i`` of both is the same node.
        y: ``[N]`` classes; a row of class -1 is no anchor, and a negative of all others.
        logits: ``[2N, C]`` scores of the rows of ``u``, then of ``v``, against the centres.
        counts: ``[C]`` labelled rows of each class, for the log prior; no prior without it.
        queue: more keys ``[Q, D]``, which take no gradient, and their classes ``[Q]``; a key of class -1 is an empty place.
        share: weight of all positives of a row together.
        beta: weight of its class's centre.
        gamma: weight of the keys that are rows in the denominator.
        tau: temperature of the rows.
        chunk: rows of similarities held at a time, with the same value and gradient; ``None`` holds all ``2N (2N + Q)``.

    Raises:
        ValueError: shapes that disagree, a temperature that is not positive, a negative weight, or no weight at all.

    Example:
        >>> u, y = torch.eye(4), torch.tensor([0, 0, 1, 1])
        >>> right = torch.tensor([[2.0, 0.0]] * 2 + [[0.0, 2.0]] * 2).repeat(2, 1)
        >>> paco(u, u, y=y, logits=right) < paco(u, u, y=y, logits=-right)
        tensor(True)
    """
    if min(share, beta, gamma) < 0 or not share + beta > 0:
        raise ValueError(f"share, beta and gamma must be 0 or more, beta + share above 0, got {share}, {beta} and {gamma}")
    if logits.dim() != 2 or len(logits) != 2 * len(y):
        raise ValueError(f"logits must be [2N, C] for the {len(y)} rows of u and of v, got {tuple(logits.shape)}")
    z, both = torch.cat(unit_rows(u, v, tau)), torch.cat([y, y])
    keys, of = (torch.cat(part) for part in zip((z, both), queued(queue, z, both), strict=True))
    same, itself = Positives.labels(both, of, without_self=True), Positives.diagonal(len(z), device=z.device)

    def reduce(rows: slice, s: Tensor) -> Tensor:
        alike = same.mask(rows, len(of))
        mean = s.where(alike, 0).sum(1) / alike.sum(1).clamp(min=1)
        return torch.stack([s.masked_fill(itself.mask(rows, len(of)), -torch.inf).logsumexp(1), mean], 1)

    others, positive = per_row(reduce, (z / tau, keys), chunk=chunk).unbind(1)
    centres = logits if counts is None else logits + log_prior(counts).to(logits)
    total = torch.logaddexp(centres.logsumexp(1), others + math.log(gamma)) if gamma else centres.logsumexp(1)
    own = centres.gather(1, both.clamp(min=0)[:, None]).squeeze(1) if beta else total
    return mean_where(total - (beta * own + share * positive) / (beta + share), both >= 0)
