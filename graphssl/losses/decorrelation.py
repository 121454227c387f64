"""Losses without negatives whose columns are kept apart instead of their rows: `D x D` matrices, linear in the rows."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from graphssl.losses.precision import full_precision


@full_precision
def barlow_twins(u: Tensor, v: Tensor, *, weight: float | None = None) -> Tensor:
    r"""The correlations between the columns of two views, drawn to the identity.

    With ``C_kl`` the correlation of column ``k`` of ``u`` and column ``l`` of ``v`` over the rows,
    ``sum_k (1 - C_kk)^2 + weight sum_{k != l} C_kl^2``: Barlow Twins (Zbontar et al., 2021, arXiv:2103.03230), on graphs G-BT (Bielak
    et al., 2022, arXiv:2106.02466). A column that does not vary correlates with nothing and gets no gradient, where the official codes add
    a small number to its deviation; G-BT's code also takes the deviation over ``N - 1`` rows and the mean over ``N``.

    Args:
        u: ``[N, D]``.
        v: ``[N, D]``; row ``i`` of both is the same node or graph.
        weight: of the correlations that are to vanish; ``None`` takes ``1 / D``, as G-BT does (Barlow Twins has 0.005).

    Raises:
        ValueError: views of different shape, or a negative weight.

    Example:
        >>> u = torch.tensor([[1.0, 1.0], [1.0, -1.0], [-1.0, 1.0], [-1.0, -1.0]])
        >>> barlow_twins(u, 3 * u + 1).item()
        0.0
    """
    _checked(u, v, weight=weight)
    c = _standardized(u).t() @ _standardized(v)  # [D, D]
    kept = c.diagonal()
    share = 1 / c.size(0) if weight is None else weight
    return (1 - kept).square().sum() + share * (c.square().sum() - kept.square().sum())


@full_precision
def cca_ssg(u: Tensor, v: Tensor, *, weight: float = 1e-3) -> Tensor:
    r"""Each column of a view drawn to the same column of the other, and the columns of each view made uncorrelated.

    With columns ``a`` of ``u`` and ``b`` of ``v`` taken to mean 0 and length 1,
    ``|a - b|^2 / 2 + weight (|a^T a - I|^2 + |b^T b - I|^2)``: canonical correlation analysis (Zhang et al., 2021, arXiv:2106.12484).
    The paper writes the first term without the half; its code, whose weights are the published ones, has it less a constant
    (``-trace(a^T b)``), and deviations over ``N - 1`` rows.

    Args:
        u: ``[N, D]``.
        v: ``[N, D]``; row ``i`` of both is the same node or graph.
        weight: of the terms that make columns uncorrelated.

    Raises:
        ValueError: views of different shape, or a negative weight.

    Example:
        >>> u = torch.tensor([[1.0, 1.0], [1.0, -1.0], [-1.0, 1.0], [-1.0, -1.0]])
        >>> cca_ssg(u, u).item(), cca_ssg(u, -u).item()
        (0.0, 4.0)
    """
    _checked(u, v, weight=weight)
    a, b = _standardized(u), _standardized(v)
    identity = torch.eye(a.size(1), dtype=a.dtype, device=a.device)
    apart = sum((z.t() @ z - identity).square().sum() for z in (a, b))
    return (a - b).square().sum() / 2 + weight * apart


@full_precision
def vicreg(u: Tensor, v: Tensor, *, invariance: float = 25.0, variance: float = 25.0, covariance: float = 1.0) -> Tensor:
    r"""Rows of two views drawn together, each column kept from collapse and from telling what another tells.

    ``invariance`` times the mean of ``(u - v)^2`` over all entries; for each view, ``variance`` times the mean over columns of
    ``max(0, 1 - sqrt(var + 1e-4))``, and ``covariance`` times the squared covariances of different columns, summed over ``D``:
    variance-invariance-covariance regularisation (Bardes et al., 2022, arXiv:2105.04906). As the paper has it; its code halves the
    variance term.

    Args:
        u: ``[N, D]``.
        v: ``[N, D]``; row ``i`` of both is the same node or graph. Rows keep their length: nothing is normalised.
        invariance: weight of the first term.
        variance: of the second.
        covariance: of the third.

    Raises:
        ValueError: views of different shape, or a negative weight.

    Example:
        >>> vicreg(torch.zeros(4, 3), torch.zeros(4, 3)).item()  # 25 * 2 * (1 - sqrt(1e-4)): collapsed
        49.5
    """
    _checked(u, v, invariance=invariance, variance=variance, covariance=covariance)
    total = invariance * F.mse_loss(u, v)
    for z in (u, v):
        centred = z - z.mean(0)
        cov = centred.t() @ centred / max(z.size(0) - 1, 1)  # [D, D]
        var = cov.diagonal()
        total = total + variance * F.relu(1 - (var + 1e-4).sqrt()).mean()  # the paper's 1e-4: a slope at no variance
        total = total + covariance * (cov.square().sum() - var.square().sum()) / z.size(1)
    return total


def _checked(u: Tensor, v: Tensor, **weights: float | None) -> None:
    if u.shape != v.shape or u.dim() != 2:
        raise ValueError(f"u and v must both be [N, D], got {tuple(u.shape)} and {tuple(v.shape)}")
    for name, weight in weights.items():
        if weight is not None and weight < 0:
            raise ValueError(f"{name} must not be negative, got {weight}")


def _standardized(z: Tensor) -> Tensor:
    """Columns of mean 0 and length 1, ``[N, D]``; zero, and without a gradient, where a column varies no more than by rounding."""
    centred = z - z.mean(0)
    length = torch.linalg.vector_norm(centred, dim=0)
    least = 8 * torch.finfo(z.dtype).eps * torch.linalg.vector_norm(z.detach(), dim=0)
    scale: Tensor = length.where(length > least, torch.inf)
    return centred / scale
