"""Whether an uncertainty tells where errors are: correlation, sparsification, and telling wrong from right or strange from known."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from graphssl.evaluation.metrics import measure


@dataclass(frozen=True)
class Reliability:
    """What an uncertainty is worth; ``None`` where it is undefined (nothing is wrong, or nothing strange was given)."""

    pearson: float | None  # correlation with the error
    spearman: float | None  # of their ranks
    ause: float | None  # 0: errors go in the best order
    error_auroc: float | None  # of errors that are 0 or 1: wrong against right
    ood_auroc: float | None = None  # strange rows against known ones


def reliability(uncertainty: Tensor, error: Tensor, *, strange: Tensor | None = None) -> Reliability:
    """How well an uncertainty ``[n]`` foretells errors ``[n]`` (of a classification 0 or 1), and strange rows.

    Args:
        uncertainty: of each row, the larger the less sure.
        error: of each row, 0 or more.
        strange: uncertainties ``[m]`` of rows that are not of the kind that was learned.

    Raises:
        ValueError: lengths that disagree, or an error that is negative or not finite.

    Example:
        >>> found = reliability(torch.tensor([0.9, 0.1, 0.2, 0.8]), torch.tensor([1.0, 0.0, 0.0, 1.0]), strange=torch.tensor([0.5]))
        >>> found.error_auroc, found.ood_auroc, round(found.ause, 6)
        (1.0, 0.5, 0.0)
    """
    u, e = _checked(uncertainty, error)
    binary = bool(((e == 0) | (e == 1)).all())
    ood = None if strange is None else detection_auroc(torch.cat([u, strange.double()]), torch.arange(len(u) + len(strange)) >= len(u))
    return Reliability(_pearson(u, e), _pearson(_ranks(u), _ranks(e)), ause(u, e), detection_auroc(u, e > 0.5) if binary else None, ood)


def ause(uncertainty: Tensor, error: Tensor) -> float | None:
    """Area under the sparsification error: how much worse than the true order the uncertainty is at setting the worst rows aside.

    With the share ``s`` of the most uncertain rows set aside, the mean error of the others against that where the rows with the largest
    errors are; the area between, over ``s = 0, 1/n, ..., (n-1)/n``, in units of the mean error of all (Ilg et al., 2018, arXiv:1802.07095).
    Rows of equal uncertainty share their mean error. ``None`` where there is no error.

    Raises:
        ValueError: as :func:`reliability`.

    Example:
        >>> error = torch.tensor([1.0, 0.5, 0.0])
        >>> ause(torch.tensor([3.0, 2.0, 1.0]), error), round(ause(torch.zeros(3), error), 4)
        (0.0, 0.5)
    """
    u, e = _checked(uncertainty, error)
    if not bool(e.any()):
        return None
    value, place, count = u.unique(return_inverse=True, return_counts=True)  # type: ignore[no-untyped-call]
    shared = torch.zeros_like(value).index_add(0, place, e) / count  # of rows of one uncertainty
    kept = torch.arange(1, len(e) + 1)
    curves = [order.cumsum(0) / kept for order in (shared[place.sort().values], e.sort().values)]
    return float((curves[0] - curves[1]).mean() / e.mean())


def detection_auroc(uncertainty: Tensor, positive: Tensor) -> float | None:
    """Probability that a positive row ``[n]`` bool is less sure than one that is not, ties half; ``None`` where one kind is missing.

    Example:
        >>> detection_auroc(torch.tensor([0.1, 0.9, 0.5]), torch.tensor([False, True, False]))
        1.0
    """
    if not 0 < int(positive.sum()) < len(positive):
        return None
    return measure("roc_auc", positive[:, None].float(), uncertainty[:, None])


def _checked(uncertainty: Tensor, error: Tensor) -> tuple[Tensor, Tensor]:
    if uncertainty.dim() != 1 or uncertainty.shape != error.shape or not len(error):
        raise ValueError(f"uncertainty and error must both be [n], got {tuple(uncertainty.shape)} and {tuple(error.shape)}")
    if not bool((error >= 0).all()) or not bool(error.isfinite().all() and uncertainty.isfinite().all()):
        raise ValueError("uncertainty must be finite and error finite and 0 or more")
    return uncertainty.double().cpu(), error.double().cpu()


def _pearson(a: Tensor, b: Tensor) -> float | None:
    a, b = a - a.mean(), b - b.mean()
    size = float(a.norm() * b.norm())
    return None if size == 0 else float(a @ b) / size


def _ranks(x: Tensor) -> Tensor:
    """Mean rank of each entry."""
    _, place, count = x.unique(return_inverse=True, return_counts=True)  # type: ignore[no-untyped-call]
    return (count.cumsum(0) - (count - 1) / 2)[place].double()  # type: ignore[no-any-return]
