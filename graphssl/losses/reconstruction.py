"""Losses of a reconstruction against what was hidden."""

from __future__ import annotations

import torch
from torch import Tensor

from graphssl.losses.precision import full_precision


@full_precision
def scaled_cosine(x_hat: Tensor, x: Tensor, *, alpha: float = 2.0) -> Tensor:
    """Scaled cosine error of GraphMAE: 0 where rows point alike, ``2^alpha`` where opposite (Hou et al., 2022, arXiv:2205.10803).

    ``mean_i (1 - cos(x_hat_i, x_i))^alpha``. An ``alpha`` above 1 makes rows that are nearly right count less. A row of zeros has
    cosine 0 with everything, and a finite gradient; the official code divides by a floor of 1e-12 there.

    Args:
        x_hat: ``[N, F]`` reconstruction.
        x: ``[N, F]`` what it should be.
        alpha: exponent, at least 1.

    Raises:
        ValueError: ``alpha`` below 1, or shapes that differ.

    Example:
        >>> import torch
        >>> scaled_cosine(torch.eye(3), torch.eye(3)).item(), scaled_cosine(torch.eye(3), -torch.eye(3), alpha=3).item()
        (0.0, 8.0)
    """
    if not alpha >= 1:
        raise ValueError(f"alpha must be at least 1, got {alpha}")
    if x_hat.shape != x.shape:
        raise ValueError(f"x_hat and x must have one shape, got {tuple(x_hat.shape)} and {tuple(x.shape)}")
    cosine = torch.linalg.vecdot(_unit(x_hat), _unit(x))
    return (1 - cosine).clamp(min=0).pow(alpha).mean()  # type: ignore[no-any-return]


def _unit(x: Tensor) -> Tensor:
    length = torch.linalg.vector_norm(x, dim=-1, keepdim=True)
    return x / length.where(length > 0, 1)  # type: ignore[no-any-return]
