"""Supervised contrast that keeps a class from collapsing to a point: the spread loss of Thanos."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from graphssl.losses.pairwise import mean_where, per_row, unit_rows
from graphssl.losses.positives import Positives
from graphssl.losses.precision import full_precision


@full_precision
def spread(u: Tensor, v: Tensor, *, y: Tensor, tau: float = 0.5, alpha: float = 0.5, chunk: int | None = None) -> Tensor:
    r"""Thanos' loss: classes apart, and the nodes of a class apart from each other (Chen et al., 2022, arXiv:2204.07596).

    Over the ``2N`` stacked rows of both views, with ``s_ij = cos / tau``, ``P(i)`` the other rows of the class of ``i``, ``N(i)`` those of
    other classes and ``o(i)`` its other view, ``(1 - alpha) L_SC + alpha L_cNCE`` with
    ``L_SC = mean_{p in P(i)} [log(e^{s_ip} + sum_{n in N(i)} e^{s_in}) - s_ip]``, where a positive is no rival of another, and
    the class-conditional InfoNCE ``L_cNCE = log sum_{p in P(i)} e^{s_ip} - s_io(i)``, highest where a class is one point.

    Args:
        u: ``[N, D]``.
        v: ``[N, D]``; row ``i`` of both is the same node.
        y: ``[N]`` classes; a row of class -1 is no anchor, and a negative of all others.
        tau: temperature.
        alpha: weight of the spread within classes, from 0 to 1.
        chunk: rows of similarities held at a time, with the same value and gradient; ``None`` holds all ``(2N)^2``.

    Raises:
        ValueError: shapes that disagree, a temperature that is not positive, a chunk below 1, or ``alpha`` outside [0, 1].

    Example:
        >>> y = torch.tensor([0, 0, 1, 1])
        >>> fine, coarse = torch.eye(4), torch.eye(4)[[0, 0, 2, 2]]
        >>> [(spread(fine, fine, y=y, alpha=a) < spread(coarse, coarse, y=y, alpha=a)).item() for a in (0, 0.9)]
        [False, True]

    Deviation:
        The official code stops the gradient of every positive with a scaled cosine above 1, by a condition that reads the other way round.
    """
    if not 0 <= alpha <= 1:
        raise ValueError(f"alpha must be from 0 to 1, got {alpha}")
    z, n = torch.cat(unit_rows(u, v, tau)), u.size(0)
    same, own, itself = Positives.views(n, y), Positives.views(n, device=u.device), Positives.diagonal(2 * n, device=u.device)

    def reduce(rows: slice, s: Tensor) -> Tensor:
        alike = same.mask(rows, 2 * n)
        rivals = s.masked_fill(alike | itself.mask(rows, 2 * n), -torch.inf).logsumexp(1, keepdim=True)
        apart = F.softplus(rivals - s).where(alike, 0).sum(1) / alike.sum(1).clamp(min=1)
        within = s.masked_fill(~alike, -torch.inf).logsumexp(1) - s[own.mask(rows, 2 * n)]
        return (1 - alpha) * apart + alpha * within

    return mean_where(per_row(reduce, (z / tau, z), chunk=chunk), same.counts() > 0)
