"""Which rows train, validate and test a probe: named, seeded and hashed."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor


@dataclass(frozen=True, eq=False)
class Split:
    """Three disjoint sets of rows of ``y``: train, validation (may be empty) and test.

    Raises:
        ValueError: no train or test row, a negative or repeated row, a row in two parts.

    Example:
        >>> Split("mine", torch.tensor([2, 0]), torch.tensor([1]), torch.tensor([3])).train
        tensor([0, 2])
    """

    name: str  # "public", "random-10-10-80-0", "wikics-3", ...
    train: Tensor  # [n] int64 rows, ascending
    val: Tensor  # [n] int64, may be empty
    test: Tensor  # [n] int64
    seed: int | None = None  # what it was drawn with; None: a fixed split
    hash: str = field(init=False)  # 12 hex digits over the three sets of rows, whatever the name

    def __post_init__(self) -> None:
        for part in ("train", "val", "test"):
            object.__setattr__(self, part, _rows(getattr(self, part), f"split {self.name!r}: {part}"))
        for part in ("train", "test"):
            if getattr(self, part).numel() == 0:
                raise ValueError(f"split {self.name!r}: {part} is empty")
        rows = torch.cat([self.train, self.val, self.test]).sort().values
        if (rows.diff() == 0).any():
            row = int(rows[1:][rows.diff() == 0][0])
            raise ValueError(f"split {self.name!r}: row {row} stands in more than one of train, val and test, or twice")
        object.__setattr__(self, "hash", _digest([self]))

    def __repr__(self) -> str:
        sizes = "/".join(str(part.numel()) for part in (self.train, self.val, self.test))
        return f"Split({self.name!r}, {sizes}, {self.hash})"


def split_hash(splits: Sequence[Split]) -> str:
    """12 hex digits over several splits in their order; of a single one it is the split's own hash.

    Example:
        >>> one, two = random_splits(torch.arange(40) % 2, num=2)
        >>> split_hash([one]) == one.hash, split_hash([one, two]) == split_hash([two, one])
        (True, False)
    """
    if not splits:
        raise ValueError("no splits to hash")
    return _digest(splits)


def random_splits(
    y: Tensor | Sequence[int],
    *,
    train: float = 0.1,
    val: float = 0.1,
    num: int = 20,
    seed: int = 0,
    name: str | None = None,
    stratified: bool = False,
) -> tuple[Split, ...]:
    """``num`` random splits of the labelled rows; what is neither train nor validation is test.

    The draws come from PCG64's raw stream alone, so that a seed gives the same rows on each platform and version, and the
    global random state stays as it was. Split ``i`` of a seed is the same whatever ``num`` is.

    Args:
        y: ``[N]`` labels (-1 or NaN: unlabelled, such a row is in no part) or ``[N, C]`` multi-label.
        train: share of the labelled rows, rounded down.
        val: likewise; 0 for none.
        num: how many splits.
        seed: of the draws.
        name: without it ``random-10-10-80`` for the default shares; ``-0``, ``-1``, ... is added.
        stratified: the shares are taken in each class apart (at least one train row a class).

    Raises:
        ValueError: shares outside (0, 1), or too few labelled rows for them.

    Example:
        >>> random_splits(torch.arange(100) % 3, num=1)
        (Split('random-10-10-80-0', 10/10/80, ...),)
    """
    if not (0 < train < 1 and 0 <= val < 1 and train + val < 1):
        raise ValueError(f"shares must satisfy 0 < train, 0 <= val and train + val < 1, got train={train}, val={val}")
    if num < 1:
        raise ValueError(f"num must be at least 1, got {num}")
    y = torch.as_tensor(y)
    rows = labelled_rows(y).numpy()
    if not stratified and _floor(train * len(rows)) == 0:
        raise ValueError(f"{len(rows)} labelled rows are too few for a train share of {train}")
    groups = [rows]
    if stratified:
        if y.dim() != 1:
            raise ValueError("stratified splits need one class a row, y is multi-label")
        classes = y[rows].numpy()
        groups = [rows[classes == c] for c in np.unique(classes)]
    name = name or f"random-{_percent(train)}-{_percent(val)}-{_percent(1 - train - val)}"
    return tuple(_draw(f"{name}-{i}", groups, train, val, seed, i, stratified) for i in range(num))


def few_labels_split(
    y: Tensor | Sequence[int], per_class: int, *, val: int = 500, test: int | None = None, seed: int = 0, name: str | None = None
) -> Split:
    """``per_class`` random train rows of each class, ``val`` random rows of what is left, and ``test`` of the rest.

    Args:
        y: ``[N]`` labels; -1 or NaN: unlabelled.
        per_class: train rows of each class.
        val: validation rows; fewer where fewer than twice as many are left.
        test: test rows; ``None`` means all that is left.
        seed: of the draws.
        name: ``few-5`` for five rows a class where it is not given.

    Raises:
        ValueError: a class has fewer than ``per_class`` rows, or nothing is left to test on.

    Example:
        >>> few_labels_split(torch.arange(60) % 3, 2, val=10)
        Split('few-2', 6/10/44, ...)
    """
    y = torch.as_tensor(y)
    if y.dim() != 1 or per_class < 1:
        raise ValueError(
            f"few_labels_split needs one class a row and per_class >= 1, got y of shape {tuple(y.shape)}, per_class={per_class}"
        )
    rows = labelled_rows(y).numpy()
    rows = rows[_order(len(rows), seed, 0)]
    classes = y.numpy()[rows]
    names, counts = np.unique(classes, return_counts=True)
    if (counts < per_class).any():
        short = names[counts < per_class][0]
        raise ValueError(f"class {short} has {counts[counts < per_class][0]} labelled rows, {per_class} are needed")
    place = np.empty(len(rows), dtype=np.int64)  # how many rows of its class come before it
    for c in names:
        mine = np.flatnonzero(classes == c)
        place[mine] = np.arange(len(mine))
    rest = rows[place >= per_class]
    val = min(val, len(rest) // 2)
    stop = len(rest) if test is None else val + test
    parts = (rows[place < per_class], rest[:val], rest[val:stop])
    train_rows, val_rows, test_rows = (torch.from_numpy(part.copy()) for part in parts)
    return Split(name or f"few-{per_class}", train_rows, val_rows, test_rows, seed=seed)


def stratified_folds(y: Tensor | Sequence[int], folds: int = 10, seed: int = 0, repeats: int = 1) -> tuple[Split, ...]:
    """Cross-validation: the labelled rows dealt out to ``folds`` test sets, each with the rest as train rows and no validation rows.

    Classes ``[N]`` are stratified: the folds' sizes differ by one row at most, in all and in each class. Rows of a table ``[N, T]``
    (multi-label, or targets of a regression) and targets with fractions are shuffled only. Draws as in :func:`random_splits`: fold
    ``f`` of repeat ``r`` is the same however many repeats there are.

    Args:
        y: ``[N]`` classes (-1 or NaN: unlabelled, such a row is in no fold) or ``[N, T]`` (NaN: missing).
        folds: how many parts, from 2.
        seed: of the draws.
        repeats: how often all rows are dealt out anew; fold ``f`` of repeat ``r`` is number ``r * folds + f``.

    Raises:
        ValueError: fewer than two folds or one repeat, or fewer labelled rows than folds.

    Example:
        >>> [tuple(s.test.tolist()) for s in stratified_folds(torch.arange(6) % 2, folds=3)]
        [(2, 3), (0, 1), (4, 5)]
    """
    y = torch.as_tensor(y)
    if folds < 2 or repeats < 1:
        raise ValueError(f"folds must be at least 2 and repeats at least 1, got folds={folds}, repeats={repeats}")
    grouped = y.dim() == 1 and not (y.is_floating_point() and bool((y.nan_to_num() != y.nan_to_num().floor()).any()))
    rows = labelled_rows(y, signed=not grouped).numpy()
    if len(rows) < folds:
        raise ValueError(f"{len(rows)} labelled rows are too few for {folds} folds")
    classes = y.numpy()[rows] if grouped else np.zeros(len(rows))
    splits = []
    for repeat in range(repeats):
        order = _order(len(rows), seed, repeat)
        order = order[classes[order].argsort(kind="stable")]  # class after class, each in random order, dealt out like cards
        for fold in range(folds):
            test = order[fold::folds]
            train = np.setdiff1d(np.arange(len(rows)), test)
            parts = (torch.from_numpy(rows[train]), torch.empty(0, dtype=torch.long), torch.from_numpy(rows[test]))
            splits.append(Split(f"{'stratified' if grouped else 'random'}-{folds}-fold-{repeat * folds + fold}", *parts, seed=seed))
    return tuple(splits)


def from_masks(train: Any, val: Any, test: Any, *, name: str = "mask") -> tuple[Split, ...]:
    """Splits from boolean masks ``[N]``, or ``[N, K]`` for ``K`` splits as PyG holds them.

    A mask ``[N]`` beside others of ``[N, K]`` serves all of them. ``val`` may be ``None``.

    Args:
        train: mask of the train rows.
        val: mask of the validation rows.
        test: mask of the test rows; ``None`` means all that are in neither.
        name: of the split; with several ``-0``, ``-1``, ... is added.

    Example:
        >>> from_masks([True, False, False], None, [False, True, True], name="public")
        (Split('public', 1/0/2, ...),)
    """
    masks = [None if mask is None else torch.as_tensor(mask).bool() for mask in (train, val, test)]
    if masks[0] is None:
        raise ValueError(f"split {name!r}: the train mask is missing")
    columns = [mask if mask is None or mask.dim() == 2 else mask[:, None] for mask in masks]
    sizes = {mask.size(0) for mask in columns if mask is not None}
    counts = {mask.size(1) for mask in columns if mask is not None} - {1}
    if len(sizes) > 1 or len(counts) > 1:
        shapes = [None if mask is None else tuple(mask.shape) for mask in masks]
        raise ValueError(f"split {name!r}: the masks must have one length and one number of splits, got shapes {shapes}")
    num = counts.pop() if counts else 1
    none = torch.zeros(sizes.pop(), 1, dtype=torch.bool)
    first, second, third = (mask if mask is None else mask.expand(-1, num) for mask in columns)
    assert first is not None
    second = none.expand(-1, num) if second is None else second
    third = ~(first | second) if third is None else third
    names = [name] if num == 1 else [f"{name}-{i}" for i in range(num)]
    rows = ([mask[:, i].nonzero().squeeze(1) for i in range(num)] for mask in (first, second, third))
    return tuple(Split(own, *parts) for own, parts in zip(names, zip(*rows, strict=True), strict=True))


def labelled_rows(y: Tensor, *, signed: bool = False) -> Tensor:
    """Rows that have a label, ``[n]`` ascending: not -1 and not NaN; in ``[N, C]`` a row counts with one label that is known.

    Of ``signed`` targets, which may be negative, only NaN means unknown.
    """
    known = torch.isfinite(y) & ((y >= 0) | signed) if y.is_floating_point() else y >= 0
    return (known if known.dim() == 1 else known.any(1)).nonzero().squeeze(1)


# ---------------------------------------------------------------------- helpers


def _draw(name: str, groups: list[np.ndarray], train: float, val: float, seed: int, index: int, stratified: bool) -> Split:
    parts: tuple[list[np.ndarray], ...] = ([], [], [])
    order = _order(sum(len(group) for group in groups), seed, index)
    start = 0
    for group in groups:
        rank = order[(order >= start) & (order < start + len(group))] - start
        shuffled = group[rank]
        first = max(_floor(train * len(group)), int(stratified))
        second = first + _floor(val * len(group))
        for part, rows in zip(parts, (shuffled[:first], shuffled[first:second], shuffled[second:]), strict=True):
            part.append(rows)
        start += len(group)
    train_rows, val_rows, test_rows = (torch.from_numpy(np.concatenate(part)) for part in parts)
    return Split(name, train_rows, val_rows, test_rows, seed=seed)


def _order(n: int, seed: int, index: int) -> np.ndarray:
    """A random order of ``n`` rows. NumPy promises PCG64's raw stream for good, unlike ``Generator.permutation``."""
    return np.argsort(np.random.PCG64([seed, index]).random_raw(n), kind="stable")


def _floor(value: float) -> int:
    return int(value + 1e-9)  # 0.29 * 100 is 28.999999999999996


def _percent(share: float) -> str:
    return f"{100 * share:.4g}"


def _rows(rows: Any, what: str) -> Tensor:
    rows = torch.as_tensor(rows)
    if rows.dim() != 1 or (rows.numel() and (rows.is_floating_point() or rows.dtype == torch.bool)):
        raise ValueError(f"{what} must hold row numbers as [n] integers, got {rows.dtype} of shape {tuple(rows.shape)}")
    ascending: Tensor = rows.long().cpu().sort().values
    if ascending.numel() and int(ascending[0]) < 0:
        raise ValueError(f"{what} holds row {int(ascending[0])}: rows are numbered from 0")
    return ascending


def _digest(splits: Sequence[Split]) -> str:
    state = hashlib.sha256()
    for split in splits:
        for part in (split.train, split.val, split.test):
            state.update(part.numel().to_bytes(8, "little"))
            state.update(part.numpy().astype("<i8").tobytes())
    return state.hexdigest()[:12]
