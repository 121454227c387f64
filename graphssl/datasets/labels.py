"""Labels as a user writes them: what they are classes, several labels or targets of a regression by."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from graphssl.datasets.columns import MISSING, as_number

Kind = Literal["classes", "labels", "targets"]

FEW = 4  # different values that are classes however few rows there are
MANY = 20  # different values above which whole numbers are no classes
EACH = 5  # rows of each value, on average, from which more than FEW are classes


def as_rows(y: Any, num_rows: int, *, regression: bool | None = None) -> tuple[Tensor, Kind]:
    """Labels as a tensor of a row each, and what kind they are.

    - ``"classes"``, ``[R]`` int64: words, which are numbered in alphabetical order, tensors and arrays of integers, or a few other whole
      numbers from 0 (:func:`are_few`); unknown is -1.
    - ``"labels"``, ``[R, T]`` float: several columns of 0, 1 and NaN.
    - ``"targets"``, ``[R, T]`` float: all other numbers; unknown is NaN.

    Args:
        y: ``[R]`` or ``[R, T]`` as a tensor, an array or lists; ``None``, or a ``None`` in a list: not known.
        num_rows: how many rows there must be.
        regression: whole numbers are targets (``True``) or classes (``False``), however many there are.

    Raises:
        ValueError: another number of rows, rows of different lengths, words among numbers, or classes numbered -1 and 1.

    Example:
        >>> as_rows(["toxic", None, "harmless"], 3)
        (tensor([ 1, -1,  0]), 'classes')
        >>> as_rows([0.5, 2], 2)
        (tensor([[0.5000], [2.0000]]), 'targets')
    """
    if y is None:
        return torch.full((num_rows,), -1), "classes"
    numbers = _numbers(y)
    if numbers.ndim == 2 and numbers.shape[1] == 1:
        numbers = numbers[:, 0]
    if numbers.ndim not in (1, 2) or len(numbers) != num_rows or 0 in numbers.shape:
        raise ValueError(f"y must have one row for each of the {num_rows} graphs, got shape {tuple(numbers.shape)}")
    if np.isinf(numbers).any():
        raise ValueError(f"y holds an infinite value in row {int(np.argwhere(np.isinf(numbers))[0, 0])}")
    known = numbers[~np.isnan(numbers)]
    if numbers.ndim == 2 and np.isin(known, (0, 1)).all() and not regression:
        return torch.from_numpy(numbers.astype(np.float32)), "labels"
    if regression is None:
        regression = class_names(y) is None and not _are_integers(y) and not are_few(known[known != -1].tolist())
    if numbers.ndim == 2 or regression or (known != np.floor(known)).any():
        return torch.from_numpy(numbers.astype(np.float32)).reshape(num_rows, -1), "targets"
    classes = np.where(np.isnan(numbers), -1, numbers).astype(np.int64)
    if set(known) == {-1, 1}:
        raise ValueError("y holds -1 and 1 only: -1 means unlabelled; number the two classes 0 and 1")
    return torch.from_numpy(classes), "classes"


def parsed(cells: Sequence[str]) -> list[Any]:
    """A column of text as numbers where all that is there are numbers, and as words otherwise; ``None`` where there is nothing or NA.

    Example:
        >>> parsed(["1", "NA", " 2.5"]), parsed(["yes", "1", "nan"])
        ([1.0, None, 2.5], ['yes', '1', None])
    """
    words = [None if cell.strip().lower() in MISSING else cell.strip() for cell in cells]
    numbers = [None if word is None else as_number(word) for word in words]
    are_numbers = all(word is None or number is not None for word, number in zip(words, numbers, strict=True))
    return numbers if are_numbers else words


def are_few(values: Sequence[Any]) -> bool:
    """Whether whole numbers or words are classes and no targets or names: at most 4 different ones, or 20 with 5 rows each on average.

    Example:
        >>> are_few([1, 3, 7]), are_few(range(12)), are_few([*range(12)] * 5), are_few([*range(21)] * 5)
        (True, False, True, False)
    """
    return len(set(values)) <= min(MANY, max(FEW, len(values) // EACH))


def class_names(y: Any) -> tuple[str, ...] | None:
    """The words that :func:`as_rows` numbers, in the order of their numbers; ``None`` where ``y`` holds none.

    Example:
        >>> class_names(["toxic", None, "harmless"]), class_names([1, 0])
        (('harmless', 'toxic'), None)
    """
    if y is None or isinstance(y, (str, Tensor)):
        return None
    return tuple(sorted({str(row) for row in y if isinstance(row, str)})) or None


# ---------------------------------------------------------------------- helpers


def _are_integers(y: Any) -> bool:
    """Whether labels are integers by their type, as PyG's classes are."""
    if isinstance(y, Tensor):
        return not y.is_floating_point()
    if isinstance(y, (np.ndarray, np.generic)):
        return y.dtype.kind in "biu"
    rows = [row for row in y if row is not None] if isinstance(y, Sequence) and not isinstance(y, str) else []
    return bool(rows) and all(_are_integers(row) for row in rows)


def _numbers(y: Any) -> np.ndarray:
    """``[R]`` or ``[R, T]`` float64 with NaN for what is unknown."""
    if isinstance(y, Tensor):
        y = y.detach().cpu().numpy()
    if isinstance(y, np.ndarray) and y.dtype.kind in "biuf":
        return y.astype(np.float64)
    if isinstance(y, str) or not isinstance(y, Iterable):
        raise ValueError(f"y must hold a label for each graph, got {y!r}")
    rows = [row.tolist() if isinstance(row, (Tensor, np.ndarray, np.generic)) else row for row in y]
    rows = [None if isinstance(row, float) and np.isnan(row) else row for row in rows]
    if any(isinstance(row, str) for row in rows):
        if not all(row is None or isinstance(row, str) for row in rows):
            odd = next(i for i, row in enumerate(rows) if row is not None and not isinstance(row, str))
            raise ValueError(f"y holds words and numbers: row {odd} is {rows[odd]!r}")
        names = {name: i for i, name in enumerate(sorted({row for row in rows if row is not None}))}
        return np.array([names.get(row, np.nan) for row in rows], dtype=np.float64)
    widths = {len(row) if hasattr(row, "__len__") else 0 for row in rows if row is not None}
    if len(widths) > 1:
        raise ValueError(f"y must have rows of one length, got {sorted(widths)}")
    width = max(widths, default=0)
    blank = [np.nan] * width if width else np.nan
    try:
        return np.array([blank if row is None else row for row in rows], dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise ValueError(f"y must hold numbers or words: {error}") from error
