"""The engine under losses of pairs: similarities of a few rows at a time, reduced row by row, formed again for the gradient."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.checkpoint import checkpoint


def per_row(reduce: Callable[..., Tensor], *pairs: tuple[Tensor, Tensor], chunk: int | None = None) -> Tensor:
    r"""What ``reduce`` makes of each row of ``a b^T``, without ever holding the ``N x M`` similarities.

    For a chunk of rows it is called as ``reduce(rows, s_1, s_2, ...)`` with the slice of rows and ``s_k = a_k[rows] b_k^T``, one for each
    pair, and returns ``[c]`` or ``[c, k]``; it may change its ``s_k`` in place. With ``chunk`` nothing is kept for the gradient but the
    inputs: similarities are formed again (Chen et al., 2016, arXiv:1604.06174) with the same random numbers, in memory O(chunk x M), with
    the same value and gradient, and what ``reduce`` closes over has its gradient too. A temperature goes into a pair, ``(u / tau, v)``.

    Args:
        reduce: pure function of the rows' slice and their similarities ``[c, M_k]``.
        pairs: ``(a [N, D], b [M, D])`` each, all of the same ``N``.
        chunk: rows of similarities held at a time; ``None`` holds all.

    Returns:
        ``[N]`` or ``[N, k]``.

    Raises:
        ValueError: no pair, rows that disagree in number or width, or a chunk below 1.

    Example:
        >>> a, b = torch.eye(3), torch.eye(3)
        >>> per_row(lambda rows, s: s.logsumexp(1), (a / 0.5, b), chunk=2).shape
        torch.Size([3])
    """
    if not pairs or any(a.dim() != 2 or b.dim() != 2 or a.size(1) != b.size(1) or a.size(0) != pairs[0][0].size(0) for a, b in pairs):
        raise ValueError(f"pairs must be ([N, D], [M, D]) with one N, got {[(tuple(a.shape), tuple(b.shape)) for a, b in pairs]}")
    if chunk is not None and chunk < 1:
        raise ValueError(f"chunk must be at least 1 or None, got {chunk}")
    n, keys = pairs[0][0].size(0), [b for _, b in pairs]

    def reduced(rows: slice, *anchors: Tensor) -> Tensor:
        return reduce(rows, *(a @ b.t() for a, b in zip(anchors, keys, strict=True)))

    if chunk is None or chunk >= n:
        return reduced(slice(0, n), *(a for a, _ in pairs))
    parts = zip(*(torch.split(a, chunk) for a, _ in pairs), strict=True)  # split, whose gradient comes together at once
    slices = (slice(start, min(start + chunk, n)) for start in range(0, n, chunk))
    return torch.cat([checkpoint(reduced, rows, *part, use_reentrant=False) for rows, part in zip(slices, parts, strict=True)])


def unit_rows(u: Tensor, v: Tensor, tau: float = 1.0) -> tuple[Tensor, Tensor]:
    """Both views with rows of unit length, once it is sure that row ``i`` has a partner and that the temperature is one.

    Raises:
        ValueError: views of different shape, or a temperature that is not positive.

    Example:
        >>> u, v = unit_rows(torch.ones(2, 4), torch.eye(4)[:2], tau=0.1)
        >>> torch.equal(u[0], torch.full((4,), 0.5))
        True
    """
    if u.shape != v.shape or u.dim() != 2:
        raise ValueError(f"u and v must both be [N, D], got {tuple(u.shape)} and {tuple(v.shape)}")
    if not tau > 0:
        raise ValueError(f"tau must be positive, got {tau}")
    return F.normalize(u, dim=1), F.normalize(v, dim=1)


def mean_where(values: Tensor, counted: Tensor) -> Tensor:
    """Mean of ``values [N]`` over the rows that count, ``[N]`` bool; 0, without a gradient, where none does.

    Example:
        >>> mean_where(torch.tensor([1.0, torch.inf, 3.0]), torch.tensor([True, False, True])).item()
        2.0
    """
    return values.where(counted, 0).sum() / counted.sum().clamp(min=1)
