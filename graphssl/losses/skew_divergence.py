"""A contrastive loss that bounds a divergence of the whole batch: the skew Renyi divergence of positives and negatives."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from graphssl.losses.pairwise import per_row, unit_rows
from graphssl.losses.precision import full_precision


@full_precision
def renyi(u: Tensor, v: Tensor, *, tau: float = 0.5, gamma: float = 2.0, alpha: float = 2.0**-16, chunk: int | None = None) -> Tensor:
    r"""RenyiCL: minus a bound of the skew Renyi divergence between pairs that belong together and pairs that do not.

    With ``f = cos(u_i, v_j) / tau``, means over all pairs ``i = j`` (pos) and all ``i != j`` (neg), and order ``gamma``,
    ``-log mean_pos[exp((gamma-1) f)] / (gamma-1) + log(alpha mean_pos[exp(gamma f)] + (1-alpha) mean_neg[exp(gamma f)]) / gamma``
    (Lee and Shin, 2022, arXiv:2208.06270). The larger ``gamma``, the more weight have hard negatives and easy positives; at 1 it is the
    bound of the skew Kullback-Leibler divergence, ``-mean_pos f`` in place of the first term. The authors minimise a surrogate with
    weights that take no gradient; this is the bound itself, with the same gradient.

    Args:
        u: ``[N, D]``.
        v: ``[N, D]``; row ``i`` of both is the same node.
        tau: temperature.
        gamma: order, at least 1.
        alpha: skew, the share of positives in what they are compared with, in [0, 1); 1 in 65,536 as the authors have it.
        chunk: rows of similarities held at a time, with the same value and gradient; ``None`` holds all ``N^2``.

    Raises:
        ValueError: views of different shape or of one row, which leaves no negative, or a number out of range.

    Example:
        >>> u = torch.eye(4)
        >>> renyi(u, u) < renyi(u, u.roll(1, 0))
        tensor(True)
    """
    u, v = unit_rows(u, v, tau)
    n = u.size(0)
    if n < 2:
        raise ValueError(f"renyi needs at least two rows, of which one is the other's negative, got {n}")
    if not gamma >= 1 or not 0 <= alpha < 1:
        raise ValueError(f"gamma must be at least 1 and alpha in [0, 1), got {gamma} and {alpha}")

    def others(rows: slice, s: Tensor) -> Tensor:
        s.diagonal(rows.start).fill_(-torch.inf)
        return s.logsumexp(1)

    f = torch.linalg.vecdot(u, v).double() / tau  # [N]; double, as the bound divides by gamma - 1
    negative = per_row(others, (gamma * u / tau, v), chunk=chunk).double().logsumexp(0) - math.log(n * (n - 1))
    return -renyi_bound(f, negative, gamma, alpha).to(u.dtype)


def renyi_bound(positive: Tensor, negative: Tensor, gamma: float, alpha: float) -> Tensor:
    """The bound of the skew Renyi divergence, a scalar, from the scores of positives ``[P]`` and ``log mean exp(gamma f)`` of negatives."""
    size = math.log(positive.numel())
    pull = positive.mean() if gamma == 1 else (((gamma - 1) * positive).logsumexp(0) - size) / (gamma - 1)
    mixed = (gamma * positive).logsumexp(0) - size + (math.log(alpha) if alpha else -math.inf)
    return pull - torch.logaddexp(mixed, negative + math.log1p(-alpha)) / gamma
