"""Regularisers that make similarities blind to an attribute that should not matter."""

from __future__ import annotations

import warnings
from typing import Literal, get_args

import torch
import torch.nn.functional as F
from torch import Tensor

from graphssl.losses.precision import full_precision

Match = Literal["kl", "mean"]


@full_precision
def fair_kl(
    u: Tensor,
    v: Tensor | None = None,
    *,
    y: Tensor,
    bias: Tensor,
    match: Match = "kl",
    floor: float = 1e-3,
    min_pairs: int = 2,
) -> Tensor:
    r"""FairKL: pairs that share a bias are to be as similar as pairs that do not (Barbano et al., 2023, arXiv:2211.05568).

    Of the pairs of one class the cosines of those with one bias (aligned) and with two (conflicting) are each taken as normal, and
    compared by ``KL(aligned || conflicting)``; likewise of the pairs of two classes; the regulariser is the sum of both, to be added with
    a small weight (0.1 to 0.2) to a supervised contrastive loss. With ``match="mean"`` it is the squared difference of the two means alone.

    The four means and variances are exact and no pair is formed: the cosines of two groups of rows sum to the product of their sums,
    their squares to that of their second moments. So it takes O(N D^2) time and O(N D) memory.

    Args:
        u: ``[N, D]``.
        v: ``[N, D]``, another view of the same nodes; pairs are then all ``(u_i, v_j)``. Without it they are the pairs ``i != j`` of ``u``.
        y: ``[N]`` classes; -1 is unknown.
        bias: ``[N]`` groups of the attribute, any integers; -1 is unknown. Rows where either is unknown are left out.
        match: what is compared, ``kl`` or ``mean``.
        floor: least variance, without which few pairs make the ratio of two variances noise.
        min_pairs: a kind of pair (one class, or two) counts only if it has so many aligned and so many conflicting ones; else it adds
            nothing, with a warning.

    Raises:
        ValueError: shapes that disagree, an unknown ``match``, or a floor that is not positive.

    Example:
        >>> z, y, bias = torch.eye(6), torch.tensor([0, 0, 0, 1, 1, 1]), torch.tensor([0, 1, 0, 1, 0, 1])
        >>> fair_kl(z, y=y, bias=bias)  # every cosine is 0
        tensor(0.)

    Deviation:
        The official code compares means and deviations by their squared differences, adds two terms that are not in the paper, and takes
        deviations over tables filled up with zeros; this is the paper's form.
    """
    if u.dim() != 2 or (v is not None and v.shape != u.shape) or not y.shape == bias.shape == u.shape[:1]:
        shapes = [None if t is None else tuple(t.shape) for t in (u, v, y, bias)]
        raise ValueError(f"u and v must be [N, D], y and bias [N], got {shapes}")
    if match not in get_args(Match):
        raise ValueError(f"match must be one of {', '.join(get_args(Match))}, got {match!r}")
    if not floor > 0:
        raise ValueError(f"floor must be positive, got {floor}")
    known = (y >= 0) & (bias >= 0)
    a, b = (F.normalize(t[known].double(), dim=1) for t in (u, u if v is None else v))  # sums of N^2 terms that nearly cancel
    cell = torch.stack([y[known], bias[known]]).unique(dim=1, return_inverse=True)[1]  # type: ignore[no-untyped-call]
    every, klass, group, both = (_moments(a, b, of, v is None) for of in (torch.zeros_like(cell), y[known], bias[known], cell))
    total = a.new_zeros(())
    for kind, aligned, conflicting in (("one class", both, klass - both), ("two classes", group - both, every - klass - group + both)):
        if float(torch.stack([aligned[0], conflicting[0]]).detach().min()) < max(min_pairs, 1):
            warnings.warn(f"fair_kl: too few pairs of {kind} with one bias or with two; they count for nothing", stacklevel=3)
        else:
            total = total + _distance(aligned, conflicting, match, floor)
    return total.to(u.dtype)


def _moments(a: Tensor, b: Tensor, group: Tensor, itself: bool) -> Tensor:
    """Number, sum and sum of squares of ``a_i . b_j`` over the pairs within one group, ``[3]``; without ``i = j`` where ``itself``."""
    order = group.argsort()
    sizes = group.unique(return_counts=True)[1].tolist()  # type: ignore[no-untyped-call]
    total = a.new_zeros(3)
    for x, z in zip(torch.split(a[order], sizes), torch.split(b[order], sizes), strict=True):  # type: ignore[no-untyped-call]
        squares = (x @ z.t()).square().sum() if len(x) < x.size(1) else ((x.t() @ x) * (z.t() @ z)).sum()  # in the smaller of two tables
        total = total + torch.stack([a.new_tensor(len(x) ** 2), x.sum(0) @ z.sum(0), squares])
    return total - len(a) if itself else total  # a row is one with itself: one pair, of cosine 1, of square 1


def _distance(aligned: Tensor, conflicting: Tensor, match: Match, floor: float) -> Tensor:
    """Between two normals given by their moments ``[3]``."""
    (m1, v1), (m2, v2) = ((mean := m[1] / m[0], (m[2] / m[0] - mean.square()).clamp(min=floor)) for m in (aligned, conflicting))
    if match == "mean":
        return (m1 - m2).square()
    return 0.5 * (v2.log() - v1.log() + (v1 + (m1 - m2).square()) / v2 - 1)
