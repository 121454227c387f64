"""Which keys belong with which rows: by place, by index, by a list of pairs or by labels, never as a matrix of all pairs."""

from __future__ import annotations

import torch
from torch import Tensor


class Positives:
    """Who belongs with whom, asked for a chunk of rows at a time. Made by one of the class methods, which make no ``N x M`` matrix.

    Example:
        >>> own = Positives.diagonal(4, offset=2)  # two stacked views of two nodes
        >>> own.mask(slice(0, 1), 4).tolist(), own.counts().tolist()
        ([[False, False, True, False]], [1, 1, 1, 1])
        >>> Positives.labels(torch.tensor([0, 0, -1])).counts().tolist()
        [1, 1, 0]
    """

    def mask(self, rows: slice, num_keys: int) -> Tensor:
        """``[c, num_keys]`` bool for the rows ``rows.start`` up to ``rows.stop``."""
        raise NotImplementedError

    def counts(self) -> Tensor:
        """``[N]``, how many keys belong with each row."""
        raise NotImplementedError

    @classmethod
    def diagonal(cls, n: int, offset: int = 0, *, device: torch.device | str | None = None) -> Positives:
        """Row ``i`` of ``n`` belongs with key ``(i + offset) mod n``: with ``offset = n / 2`` the other of two stacked views."""
        return cls.index((torch.arange(n, device=device) + offset) % max(n, 1))

    @classmethod
    def index(cls, idx: Tensor) -> Positives:
        """Row ``i`` belongs with key ``idx[i]``, or with none where that is -1."""
        rows = torch.nonzero(idx >= 0).flatten()
        return _Listed(rows, idx[rows], idx.size(0))

    @classmethod
    def listed(cls, row: Tensor, col: Tensor, n: int) -> Positives:
        """Row ``row[e]`` of ``n`` belongs with key ``col[e]``, both ``[E]`` in any order; pairs given twice count once.

        Raises:
            ValueError: lists of different length, or a row that is not in ``[0, n)``.
        """
        if row.shape != col.shape or row.dim() != 1:
            raise ValueError(f"row and col must both be [E], got {tuple(row.shape)} and {tuple(col.shape)}")
        if row.numel() and not 0 <= int(row.min()) <= int(row.max()) < n:
            raise ValueError(f"row must lie in [0, {n}), got {int(row.min())} to {int(row.max())}")
        pairs = torch.stack([row, col]).unique(dim=1)  # type: ignore[no-untyped-call]  # in order of the row
        return _Listed(pairs[0], pairs[1], n)

    @classmethod
    def labels(cls, y: Tensor, keys: Tensor | None = None, *, without_self: bool | None = None) -> Positives:
        """Row ``i`` belongs with the keys of its label, ``keys[j] == y[i]``; where that is -1, unlabelled, with none.

        ``keys=None`` takes the rows as their own keys. ``without_self`` leaves out key ``i`` of row ``i``; ``None`` does so if
        ``keys`` is ``None``. Rows followed by others (a queue) as the keys want it said.
        """
        return _Labelled(y, y if keys is None else keys, keys is None if without_self is None else without_self)

    @classmethod
    def views(cls, n: int, y: Tensor | None = None, *, device: torch.device | str | None = None) -> Positives:
        """Of the ``2 n`` stacked rows of two views of ``n`` nodes: the other view, or with ``y [n]`` all other rows of the node's label.

        Raises:
            ValueError: labels that are not one for each node.
        """
        if y is None:
            return cls.diagonal(2 * n, n, device=device)
        if y.shape != (n,):
            raise ValueError(f"y must be [N], one label for each of the {n} rows, got shape {tuple(y.shape)}")
        return cls.labels(torch.cat([y, y]))


class _Listed(Positives):
    def __init__(self, row: Tensor, col: Tensor, n: int) -> None:
        self.row, self.col, self.n = row, col, n
        self.ends = torch.bincount(row, minlength=n).cumsum(0)

    def mask(self, rows: slice, num_keys: int) -> Tensor:
        mask = torch.zeros(rows.stop - rows.start, num_keys, dtype=torch.bool, device=self.row.device)
        first = int(self.ends[rows.start - 1]) if rows.start else 0
        last = int(self.ends[rows.stop - 1]) if rows.stop else 0
        mask[self.row[first:last] - rows.start, self.col[first:last]] = True
        return mask

    def counts(self) -> Tensor:
        return self.ends.diff(prepend=self.ends.new_zeros(1))


class _Labelled(Positives):
    def __init__(self, y: Tensor, keys: Tensor, without_self: bool) -> None:
        self.y, self.keys, self.without_self = y, keys, without_self

    def mask(self, rows: slice, num_keys: int) -> Tensor:
        if num_keys != self.keys.size(0):
            raise ValueError(f"there are {self.keys.size(0)} labels of keys, but {num_keys} keys")
        y = self.y[rows, None]
        mask = (y == self.keys) & (y >= 0)
        if self.without_self:
            mask.diagonal(rows.start).fill_(False)
        return mask

    def counts(self) -> Tensor:
        num_labels = 1 + int(torch.cat([self.y, self.keys, self.y.new_zeros(1)]).max())
        of_label = torch.bincount(self.keys[self.keys >= 0], minlength=num_labels)
        counts = torch.where(self.y >= 0, of_label[self.y.clamp(min=0)], 0)
        if self.without_self:
            n = min(len(self.y), len(self.keys))
            counts[:n] -= ((self.y[:n] == self.keys[:n]) & (self.y[:n] >= 0)).long()
        return counts
