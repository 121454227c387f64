"""Embeddings and labels on their way into a probe: checked, scaled, never changed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from graphssl.adjacency import CSR, Pattern, all_finite
from graphssl.datasets.splits import Split


class Rows(NamedTuple):
    """Row numbers of one split: int64, without unlabelled rows."""

    train: Tensor
    val: Tensor
    test: Tensor


def embedding(z: Any) -> Tensor | CSR:
    """An embedding as floating-point rows ``[N, D]``: a tensor, an array, or sparse rows (``CSR``, SciPy).

    Raises:
        ValueError: not two-dimensional, no rows, or a value that is NaN or infinite.

    Example:
        >>> embedding([[1, 2], [3, 4]]).dtype
        torch.float32
    """
    if hasattr(z, "tocsr"):
        z = z.tocsr()
        ptr, col, val = (torch.from_numpy(np.array(part)) for part in (z.indptr, z.indices, z.data))
        z = CSR(Pattern(ptr, col, z.shape[1]), val if val.is_floating_point() else val.to(torch.get_default_dtype()))
    if isinstance(z, CSR):
        values = z.values()
    else:
        x: Tensor = torch.as_tensor(z).detach()
        if x.layout != torch.strided:
            return embedding(CSR.from_torch(x))
        if x.dim() != 2 or x.size(0) == 0:
            raise ValueError(f"z has shape {tuple(x.shape)}; it must be [N, D] with at least one row")
        z = values = x if x.is_floating_point() else x.to(torch.get_default_dtype())
    if not all_finite(values):
        raise ValueError(f"z has {int((~torch.isfinite(values)).sum())} values that are NaN or infinite; all must be finite")
    rows: Tensor | CSR = z
    return rows


def labels(y: Any, num_rows: int, device: torch.device, *, partial: bool = False) -> tuple[Tensor, Tensor]:
    """Labels, ``[N]`` int64 or ``[N, K]`` float in {0, 1}, and which rows ``[N]`` carry one (not -1, no NaN).

    With ``partial`` a row of a table carries one where some column is known; what is unknown is NaN.

    Raises:
        ValueError: another length than the embedding, another shape or another kind of value.

    Example:
        >>> labels([0, -1, 1], 3, torch.device("cpu"))[1].tolist()
        [True, False, True]
    """
    y = torch.as_tensor(np.asarray(y) if isinstance(y, list | tuple) else y).detach().to(device)
    y = y.long() if y.dtype == torch.bool else y
    if y.dim() == 2 and y.size(1) == 1:
        y = y.squeeze(1)
    if y.size(0) != num_rows:
        raise ValueError(f"y has {y.size(0)} rows and z has {num_rows}; they must agree")
    if y.dim() == 1:
        known = torch.isfinite(y) & (y >= 0)
        if bool((y[known] != y[known].round()).any()):
            raise ValueError("y has one column with fractions; allowed: class numbers [N], or a table [N, K] of 0 and 1")
        return torch.where(known, y, -1).long(), known
    if y.dim() != 2:
        raise ValueError(f"y has shape {tuple(y.shape)}; allowed: class numbers [N], or a table [N, K] of 0 and 1")
    y = y.to(torch.get_default_dtype())
    given = torch.isfinite(y) & (y >= 0)
    known = given.any(1) if partial else given.all(1)
    checked = y[given] if partial else y[known]
    if bool(((checked != 0) & (checked != 1)).any()):
        raise ValueError("y has two columns or more with values besides 0 and 1; allowed: class numbers [N], or a table [N, K] of 0 and 1")
    return torch.where(given, y, torch.nan) if partial else y, known


def targets(y: Any, num_rows: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Targets of a regression, ``[N, T]`` float64 with NaN where one is missing, and which rows ``[N]`` have at least one.

    Raises:
        ValueError: another length than the embedding, another shape, or an infinite value.

    Example:
        >>> targets([0.5, float("nan")], 2, torch.device("cpu"))[1].tolist()
        [True, False]
    """
    y = torch.as_tensor(np.asarray(y) if isinstance(y, list | tuple) else y).detach().to(device, torch.float64)
    y = y[:, None] if y.dim() == 1 else y
    if y.dim() != 2 or y.size(0) != num_rows:
        raise ValueError(f"y has shape {tuple(y.shape)} and z has {num_rows} rows; allowed: targets [N] or [N, T]")
    if bool(y.isinf().any()):
        raise ValueError("y has an infinite target; all must be finite, or NaN where one is missing")
    return y, ~y.isnan().all(1)


def rows_of(splits: Split | Sequence[Split], known: Tensor) -> list[Rows]:
    """The labelled rows of each split.

    Raises:
        ValueError: no splits, no labelled train or test row, or a row outside the embedding.
    """
    splits = [splits] if isinstance(splits, Split) else list(splits)
    if not splits:
        raise ValueError("splits is empty; give at least one split")
    return [_checked(s, known) for s in splits]


def _checked(split: Split, known: Tensor) -> Rows:
    parts = [torch.as_tensor(part).long().to(known.device) for part in (split.train, split.val, split.test)]
    last, n = int(torch.cat(parts).max()), len(known)
    if last >= n:
        raise ValueError(f"splits: {split.name!r} names row {last}; z has rows 0 to {n - 1}")
    rows = Rows(*(part[known[part]] for part in parts))
    for name in ("train", "test"):
        if len(getattr(rows, name)) == 0:
            raise ValueError(f"splits: {split.name!r} has no labelled {name} row; at least one is needed")
    return rows


def class_names(y: Tensor, rows: Rows) -> Tensor:
    """The classes ``[K]`` of all rows of the split, ascending; one that no train row has is never predicted, and so always missed.

    Raises:
        ValueError: a single class in the train rows.
    """
    seen = y[rows.train].unique()  # type: ignore[no-untyped-call]
    if len(seen) < 2:
        raise ValueError(f"y has the single class {int(seen[0])} in the train rows; at least two are needed")
    return torch.as_tensor(y[torch.cat(rows)].unique())  # type: ignore[no-untyped-call]


def take(x: Tensor | CSR, index: Tensor) -> Tensor | CSR:
    """Rows ``index`` of dense or sparse rows."""
    return x.rows(index) if isinstance(x, CSR) else x[index]


@dataclass(frozen=True, eq=False)
class Scaler:
    """Rows made ready for a classifier, in float64; what it knows of columns it learned from the train rows alone.

    Sparse rows are standardised without centring, since centring would fill them.
    """

    scale: str
    mean: Tensor | None = None  # [D]
    factor: Tensor | None = None  # [D]

    @classmethod
    def fit(cls, scale: str, train: Tensor | CSR) -> Scaler:
        """The scaler of the train rows ``[n, D]``.

        Raises:
            ValueError: ``scale`` is none of ``l2``, ``standardize``, ``none``.
        """
        if scale in ("l2", "none"):
            return cls(scale)
        if scale != "standardize":
            raise ValueError(f"scale is {scale!r}; allowed: l2, standardize, none")
        if isinstance(train, CSR):
            ones, values = torch.ones(train.size(0), 1, dtype=torch.float64), train.values().double()
            first = train.with_values(values).t() @ ones / train.size(0)
            second = train.with_values(values.square()).t() @ ones / train.size(0)
            mean, std = None, (second - first.square()).clamp_min(0).sqrt().squeeze(1)
            size = first.abs().squeeze(1)
        else:
            mean, std = train.double().mean(0), train.double().std(0, correction=0)
            size = mean.abs()
        # A column that is constant but for rounding keeps its scale: it must not blow up on rows where it is not constant.
        return cls(scale, mean, 1 / torch.where(std > 1e-6 * size + 1e-12, std, 1.0))

    def __call__(self, rows: Tensor | CSR) -> Tensor | CSR:
        """Scaled rows in float64."""
        if isinstance(rows, CSR):
            rows = rows.with_values(rows.values().double())
            if self.scale == "l2":
                square = rows.values().new_zeros(rows.size(0)).index_add(0, rows.pattern.row, rows.values().square())
                rows = rows.with_values(rows.values() / torch.where(square > 0, square, 1.0).sqrt()[rows.pattern.row])
            return rows if self.factor is None else rows.scale_columns(self.factor)
        rows = rows.double()
        if self.scale == "l2":
            length = rows.norm(dim=1, keepdim=True)
            return rows / torch.where(length > 0, length, 1.0)
        return rows if self.mean is None or self.factor is None else (rows - self.mean) * self.factor
