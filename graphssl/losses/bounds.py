"""Lower bounds of mutual information over scores, as losses: each is minus the estimate, in nats."""

from __future__ import annotations

import math

from torch import Tensor

from graphssl.losses.mutual_information import jsd
from graphssl.losses.precision import full_precision


@full_precision
def dv(positive: Tensor, negative: Tensor) -> Tensor:
    r"""Minus the bound of Donsker and Varadhan (1983), as in MINE (Belghazi et al., 2018, arXiv:1801.04062, eq. 2).

    ``log mean exp(negative) - mean(positive)``: with scores ``T`` of pairs that belong together and of pairs drawn apart,
    ``I >= E_p T - log E_q exp T``, with equality at ``T = log dp/dq`` plus any constant. Over a batch the logarithm of a mean is
    biased, upwards for the estimate; so is the gradient, which :func:`mine` mends.

    Args:
        positive: scores of any shape, of pairs drawn together.
        negative: scores of any shape, of pairs drawn apart.

    Example:
        >>> import torch
        >>> dv(torch.full((5,), 3.0), torch.full((4,), 3.0)).item()  # knows nothing, whatever the level
        0.0
    """
    return _log_mean_exp(negative) - positive.mean()


@full_precision
def mine(positive: Tensor, negative: Tensor, log_average: Tensor) -> Tensor:
    r"""The value of :func:`dv` with the gradient of MINE (Belghazi et al., 2018, arXiv:1801.04062, section 3.2).

    The gradient is that of ``mean exp(negative - log_average) - mean(positive)``: the batch's own ``mean exp(negative)`` under the
    fraction gives way to an average over many batches, since a ratio of two means of one batch is biased.
    :class:`graphssl.estimation.MINE` keeps that average.

    Args:
        positive: scores of any shape, of pairs drawn together.
        negative: scores of any shape, of pairs drawn apart.
        log_average: logarithm of the average of ``mean exp(negative)``, a scalar, without gradient.

    Example:
        >>> import torch
        >>> positive, negative = torch.tensor([1.0, 2.0]), torch.tensor([0.0, -1.0])
        >>> torch.equal(mine(positive, negative, torch.tensor(0.5)), dv(positive, negative))
        True
    """
    weights = (negative - log_average).detach().exp()
    slope = (weights * negative).mean() - positive.mean()
    return dv(positive.detach(), negative.detach()) + (slope - slope.detach())


@full_precision
def nwj(positive: Tensor, negative: Tensor) -> Tensor:
    r"""Minus the bound of Nguyen, Wainwright and Jordan (2010, arXiv:0809.0853), also MINE-f and the KL of f-GAN.

    ``mean exp(negative - 1) - mean(positive)``. Unbiased over a batch and never above :func:`dv`'s estimate; at the optimum
    ``T = 1 + log dp/dq``, so the level of the scores matters here. Its variance grows as the exponential of what it estimates.

    Args:
        positive: scores of any shape, of pairs drawn together.
        negative: scores of any shape, of pairs drawn apart.

    Example:
        >>> import torch
        >>> nwj(torch.ones(5), torch.ones(4)).item()
        0.0
    """
    return (negative - 1).exp().mean() - positive.mean()


@full_precision
def info_nce_bound(scores: Tensor) -> Tensor:
    r"""Minus the InfoNCE estimate of mutual information (van den Oord et al., 2018, arXiv:1807.03748).

    ``mean_i [logsumexp_j T_ij - T_ii] - log N``: each row is to tell its own column among ``N``. The estimate cannot exceed ``log N``.

    Args:
        scores: ``[N, N]``, row ``i`` and column ``i`` drawn together.

    Raises:
        ValueError: scores of another shape.

    Example:
        >>> import torch
        >>> round(abs(info_nce_bound(torch.zeros(8, 8)).item()), 6)
        0.0
        >>> round(-info_nce_bound(100 * torch.eye(8)).item(), 4)  # log 8
        2.0794
    """
    _check_square(scores)
    return (scores.logsumexp(dim=1) - scores.diagonal()).mean() - math.log(scores.size(0))


@full_precision
def smile(positive: Tensor, negative: Tensor, *, clip: float = 5.0) -> Tensor:
    r"""Minus the SMILE estimate: :func:`dv` with clipped density ratios (Song and Ermon, 2020, arXiv:1910.06222).

    The value is ``log mean exp(clamp(negative, -clip, clip)) - mean(positive)``, whose variance stays bounded as the information grows;
    the gradient is that of :func:`graphssl.losses.jsd`, as in the official code. It is an estimate and no bound.

    Args:
        positive: scores of any shape, of pairs drawn together.
        negative: scores of any shape, of pairs drawn apart.
        clip: largest size of a log-ratio; ``math.inf`` clips nothing.

    Raises:
        ValueError: ``clip`` not positive.

    Example:
        >>> import torch
        >>> positive, negative = torch.tensor([4.0, 3.0]), torch.tensor([-1.0, 1.0])
        >>> torch.equal(smile(positive, negative, clip=2.0), dv(positive, negative))
        True
    """
    if not clip > 0:
        raise ValueError(f"clip must be positive, got {clip}")
    slope = jsd(positive, negative)
    return dv(positive.detach(), negative.detach().clamp(-clip, clip)) + (slope - slope.detach())


def diagonal_and_rest(scores: Tensor) -> tuple[Tensor, Tensor]:
    """Scores ``[N, N]`` of a batch as what the bounds take: those of rows with their own columns ``[N]``, and the others ``[N (N - 1)]``.

    Raises:
        ValueError: scores of another shape, or of one row, which leaves no others.

    Example:
        >>> import torch
        >>> positive, negative = diagonal_and_rest(torch.tensor([[1.0, 2.0], [3.0, 4.0]]))
        >>> positive.tolist(), negative.tolist()
        ([1.0, 4.0], [2.0, 3.0])
    """
    _check_square(scores)
    n = scores.size(0)
    if n < 2:
        raise ValueError(f"scores must have at least two rows, of which one is the other's negative, got {n}")
    return scores.diagonal(), scores.flatten()[1:].view(n - 1, n + 1)[:, :-1].flatten()


def _log_mean_exp(scores: Tensor) -> Tensor:
    return scores.flatten().logsumexp(0) - math.log(scores.numel())


def _check_square(scores: Tensor) -> None:
    if scores.dim() != 2 or scores.size(0) != scores.size(1) or not scores.size(0):
        raise ValueError(f"scores must be [N, N], got {tuple(scores.shape)}")
