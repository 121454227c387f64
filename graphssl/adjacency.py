"""Sparse matrices in row order and their products: every aggregation of the library goes through here.

A product with a sparse matrix is one call of :func:`torch.nn.functional.embedding_bag`, which every torch wheel
carries as a tuned kernel; the backward pass is the same call with the transpose, which is known and never derived by autograd.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from graphssl.differentiation import once_differentiable

CHECKED = 2**22  # numbers that all_finite looks at together


class Pattern:
    """Where the non-zeros of a sparse matrix ``[R, C]`` stand, row by row, with its transpose found once.

    Args:
        ptr: ``[R + 1]`` integer, row ``r`` owns the entries ``ptr[r]`` to ``ptr[r + 1]``.
        col: ``[E]`` integer, column of each entry.
        num_cols: ``C``.
        transpose: the transposed pattern and ``perm`` ``[E]`` (entry ``k`` of the transpose is entry ``perm[k]`` here), where
            the caller knows them.
    """

    def __init__(self, ptr: Tensor, col: Tensor, num_cols: int, transpose: tuple[Pattern, Tensor] | None = None) -> None:
        small = max(num_cols, col.numel()) < 2**31
        dtype = torch.int32 if small else torch.int64  # 32-bit indices halve the index traffic
        self.ptr = ptr.to(dtype)  # [R + 1]
        self.col = col if num_cols < 2**31 and col.dtype == torch.int32 else col.to(dtype)  # [E]
        self.num_cols = num_cols
        self._transpose = transpose
        self._row: Tensor | None = None

    @property
    def num_rows(self) -> int:
        return self.ptr.numel() - 1

    @property
    def num_entries(self) -> int:
        return self.col.numel()

    @property
    def device(self) -> torch.device:
        return self.col.device

    @property
    def counts(self) -> Tensor:
        """Entries in each row, ``[R]``."""
        return self.ptr.diff()

    @property
    def row(self) -> Tensor:
        """Row of each entry, ``[E]`` int64."""
        if self._row is None:
            rows = torch.arange(self.num_rows, device=self.device)
            self._row = rows.repeat_interleave(self.counts, output_size=self.num_entries)
        return self._row

    def transpose(self) -> tuple[Pattern, Tensor]:
        """The transposed pattern, and ``perm`` ``[E]`` that carries values over: ``values_t = values[perm]``."""
        if self._transpose is None:
            if self.device.type == "cpu":
                from graphssl.rows import turn  # numba takes half a second to import

                ptr, row, perm = map(torch.from_numpy, turn(self.ptr.contiguous().numpy(), self.col.contiguous().numpy(), self.num_cols))
            else:
                perm = self.col.argsort(stable=True)  # rows stay ascending inside a column
                ptr, row = row_pointers(self.col[perm], self.num_cols), self.row[perm]
            # No link back: a cycle would keep each step's pattern alive until the garbage collector runs.
            self._transpose = (Pattern(ptr, row, self.num_rows), perm)
        return self._transpose

    def keep(self, keep: Tensor, index: Tensor, before: Tensor) -> Pattern:
        """The entries where ``keep`` ``[E]`` is true; a transpose already found is filtered, not found again.

        ``index`` and ``before`` are what :func:`true_entries` says of ``keep``.
        """
        child = self._kept(index, before)
        if self._transpose is not None:
            pattern, perm = self._transpose
            alive, ahead = true_entries(keep.index_select(0, perm))
            child._transpose = (pattern._kept(alive, ahead), before.index_select(0, perm.index_select(0, alive)).long())
        return child

    def _kept(self, index: Tensor, before: Tensor) -> Pattern:
        child = Pattern(before.index_select(0, self.ptr), self.col.index_select(0, index), self.num_cols)
        child._row = None if self._row is None else self._row.index_select(0, index)
        return child

    def to(self, device: torch.device | str) -> Pattern:
        return Pattern(self.ptr.to(device), self.col.to(device), self.num_cols)


class CSR:
    """A sparse matrix ``[R, C]`` that multiplies dense ones: ``csr @ h`` with exact gradients for ``h``.

    Args:
        pattern: where the non-zeros stand.
        val: ``[E]`` values; ``None`` means ones.
        transpose: the transposed matrix where the caller knows it (a symmetric matrix passes through ``symmetric``).
        symmetric: the matrix equals its transpose; nothing is transposed then.
    """

    def __init__(self, pattern: Pattern, val: Tensor | None = None, *, transpose: CSR | None = None, symmetric: bool = False) -> None:
        self.pattern = pattern
        self.val = val
        self.symmetric = symmetric
        self._transpose = transpose
        self._turned: Callable[[], CSR] | None = None  # makes the transpose in a shorter way

    @classmethod
    def from_dense(cls, x: Tensor) -> CSR:
        """The non-zeros of a dense matrix ``[R, C]``."""
        row, col = x.nonzero(as_tuple=True)
        return cls(Pattern(row_pointers(row, x.size(0)), col, x.size(1)), x[row, col])

    @classmethod
    def from_torch(cls, x: Tensor) -> CSR:
        """A torch sparse matrix (COO, CSR or CSC layout)."""
        x = x.to_sparse_coo().coalesce()  # type: ignore[no-untyped-call]  # torch's own CSR would warn that it is in beta
        row, col = x.indices()
        return cls(Pattern(row_pointers(row, x.size(0)), col, x.size(1)), x.values())

    @property
    def shape(self) -> tuple[int, int]:
        return self.pattern.num_rows, self.pattern.num_cols

    @property
    def device(self) -> torch.device:
        return self.pattern.device

    @property
    def dtype(self) -> torch.dtype:
        return torch.get_default_dtype() if self.val is None else self.val.dtype

    def size(self, dim: int) -> int:
        return self.shape[dim]

    def values(self) -> Tensor:
        """The values, ones where none are stored, ``[E]``."""
        return torch.ones(self.pattern.num_entries, device=self.device) if self.val is None else self.val

    def with_values(self, val: Tensor | None) -> CSR:
        """The same pattern (its transpose stays known) with other values."""
        return CSR(self.pattern, val)

    def t(self) -> CSR:
        """The transposed matrix."""
        if self.symmetric:
            return self
        if self._transpose is None and self._turned is not None:
            self._transpose = self._turned()
        if self._transpose is None:
            pattern, perm = self.pattern.transpose()
            self._transpose = CSR(pattern, None if self.val is None else self.val.detach()[perm])
        return self._transpose

    def rows(self, index: Tensor) -> CSR:
        """The rows ``index`` ``[R']``, in that order, repeats allowed."""
        entries, ptr = gather_rows(self.pattern.ptr, index)
        return CSR(Pattern(ptr, self.pattern.col[entries], self.pattern.num_cols), None if self.val is None else self.val[entries])

    def scale_columns(self, scale: Tensor) -> CSR:
        """Column ``c`` times ``scale[c]``, ``scale`` ``[C]``; the pattern stays."""
        return self.with_values(self.values() * scale.index_select(0, self.pattern.col))

    def keep_columns(self, keep: Tensor) -> CSR:
        """Zeros in the columns where ``keep`` ``[C]`` is false: entries there are no longer stored, nor gone through in products."""
        val = self.val
        if self.device.type != "cpu" or val is None or val.requires_grad or val.dtype not in (torch.float32, torch.float64):
            return self.scale_columns(keep.to(self.dtype))
        from graphssl.rows import without_columns, without_rows  # numba takes half a second to import

        def cut(csr: CSR, kernel: Callable[..., Any]) -> CSR:
            p, values = csr.pattern, csr.values()
            ptr, col, kept = kernel(p.ptr.numpy(), p.col.numpy(), values.numpy(), keep.numpy())
            return CSR(Pattern(torch.from_numpy(ptr), torch.from_numpy(col), p.num_cols), torch.from_numpy(kept))

        child = cut(self, without_columns)
        child._turned = lambda: cut(self.t(), without_rows)  # what the parent found serves all views of it
        return child

    def to_dense(self) -> Tensor:
        """The same matrix as a dense tensor ``[R, C]``; entries that stand twice are added."""
        dense = torch.zeros(self.shape, dtype=self.values().dtype, device=self.device)
        return dense.index_put_((self.pattern.row, self.pattern.col.long()), self.values(), accumulate=True)

    def to(self, device: torch.device | str) -> CSR:
        if same_device(device, self.device):
            return self
        return CSR(self.pattern.to(device), None if self.val is None else self.val.to(device), symmetric=self.symmetric)

    def __matmul__(self, h: Tensor) -> Tensor:
        """The product with a dense ``[C, D]``, as ``[R, D]``; differentiable in it, and in values that ask for a gradient."""
        if self.val is not None and self.val.requires_grad and torch.is_grad_enabled():
            return weighted_sum(self.pattern, self.val, h)
        out: Tensor = _Product.apply(h, self)  # type: ignore[no-untyped-call]
        return out

    def __repr__(self) -> str:
        return f"CSR(shape={self.shape}, entries={self.pattern.num_entries})"


def same_device(wanted: torch.device | str, device: torch.device) -> bool:
    """Whether ``wanted`` is ``device``; ``cuda`` without a number is the current one."""
    wanted = torch.device(wanted)
    current = torch.cuda.current_device() if wanted.type == "cuda" and wanted.index is None else wanted.index
    return wanted.type == device.type and current in (None, device.index)


def full(h: Tensor) -> Tensor:
    """Half-precision rows in float32; others as they are."""
    return h.float() if h.dtype in (torch.bfloat16, torch.float16) else h


def all_finite(x: Tensor) -> bool:
    """Whether no number is NaN or infinite, some rows at a time: at once it would take twice the size of ``x``, mapped or not."""
    rows = max(1, CHECKED // max(1, x[:1].numel()))
    return all(bool(part.isfinite().all()) for part in torch.split(x, rows)) if x.numel() else True


def row_pointers(row: Tensor, num_rows: int) -> Tensor:
    """Row pointers ``[R + 1]`` of entries whose rows ``[E]`` are ascending."""
    if row.numel() < 2**31:
        return torch._convert_indices_from_coo_to_csr(row.contiguous(), num_rows, out_int32=True)
    return F.pad(torch.bincount(row, minlength=num_rows).cumsum(0), (1, 0))


def true_entries(keep: Tensor) -> tuple[Tensor, Tensor]:
    """Indices of the true entries of ``keep`` ``[E]``, ascending ``[E']``, and the true entries before each one ``[E + 1]``.

    It is ``nonzero`` without a branch at each entry, which random masks make four times as slow.
    """
    dtype = torch.int32 if keep.numel() < 2**31 else torch.int64
    before = F.pad(keep.cumsum(0, dtype=dtype), (1, 0))
    total = int(before[-1])
    place = (before[:-1] - total) * keep.long() + total  # what is false goes to one slot past the end
    index = place.new_empty(total + 1).scatter_(0, place, torch.arange(keep.numel(), device=keep.device))
    return index[:total], before


def membership(ptr: Tensor, group: Tensor) -> Pattern:
    """The pattern ``[R, N]`` of a partition: row ``r`` holds the columns ``ptr[r]`` to ``ptr[r + 1]``; ``group`` ``[N]`` is each one's row.

    With it, ``CSR(pattern) @ h`` sums the rows of ``h`` by group.
    """
    n = group.numel()
    place = torch.arange(n + 1, device=group.device)
    return Pattern(ptr, place[:-1], n, transpose=(Pattern(place, group, ptr.numel() - 1), place[:-1]))


def gather_rows(ptr: Tensor, index: Tensor) -> tuple[Tensor, Tensor]:
    """Entries ``[E']`` of the rows ``index`` ``[R']`` one row after another, and the new row pointers ``[R' + 1]``."""
    if ptr.device.type == "cpu":
        from graphssl.rows import gather  # numba takes half a second to import

        entries, new = gather(ptr.contiguous().numpy(), index.contiguous().numpy())
        return torch.from_numpy(entries), torch.from_numpy(new)
    start = ptr[index].long()
    counts = ptr[index + 1].long() - start
    new = F.pad(counts.cumsum(0), (1, 0))
    total = int(new[-1])
    shift = (start - new[:-1]).repeat_interleave(counts, output_size=total)
    return torch.arange(total, device=ptr.device) + shift, new


def matmul(x: Tensor | CSR, weight: Tensor) -> Tensor:
    """Features times weight, ``[N, F] @ [F, D]``, whether the features are dense or sparse rows."""
    if isinstance(x, CSR) and torch.is_autocast_enabled(x.device.type):
        weight = weight.to(torch.get_autocast_dtype(x.device.type))
    return x @ weight


def max_neighbours(pattern: Pattern, h: Tensor) -> Tensor:
    """Element-wise maximum of ``h`` ``[C, D]`` over each row's columns, ``[R, D]``; zero for an empty row."""
    return F.embedding_bag(pattern.col, h, pattern.ptr, mode="max", include_last_offset=True)


def segment_softmax(scores: Tensor, pattern: Pattern) -> Tensor:
    """Softmax of ``scores`` ``[E, H]`` over the entries of each row."""
    row = pattern.row[:, None].expand_as(scores)
    top = scores.new_full((pattern.num_rows, scores.size(1)), -torch.inf).scatter_reduce(0, row, scores.detach(), "amax")
    top = top.where(top.isfinite(), 0)  # a row whose entries all weigh nothing
    weights = (scores - top.gather(0, row)).exp()
    total = scores.new_zeros(pattern.num_rows, scores.size(1)).scatter_add(0, row, weights)
    return weights / total.gather(0, row).clamp(min=torch.finfo(total.dtype).tiny)


def weighted_sum(pattern: Pattern, val: Tensor, h: Tensor) -> Tensor:
    """Product of the matrix ``(pattern, val)`` with ``h``, differentiable in ``val`` ``[E]`` and ``h`` ``[C, D]``: ``[R, D]``."""
    out: Tensor = _WeightedSum.apply(val, h, pattern)  # type: ignore[no-untyped-call]
    return out


def with_self_loops(pattern: Pattern, val: Tensor, fill: float = 1.0) -> tuple[Pattern, Tensor]:
    """A square pattern with a self-loop in each row that has none, of value ``fill``; loops that are there stay as they are.

    Returns the new pattern and its values ``[E']``.
    """
    looped, place, last = _loop_places(pattern)
    out = val.new_empty(looped.num_entries)
    return looped, out.scatter_(0, place, val).index_fill_(0, last, fill)


def add_self_loops(pattern: Pattern) -> Pattern:
    """:func:`with_self_loops` for a matrix of ones."""
    return _loop_places(pattern)[0]


def _loop_places(pattern: Pattern) -> tuple[Pattern, Tensor, Tensor]:
    """The pattern with loops, and where in it the old entries ``[E]`` and the new loops stand."""
    n, row = pattern.num_rows, pattern.row
    loops = row[pattern.col == row]
    missing = torch.ones(n, dtype=pattern.ptr.dtype, device=pattern.device).index_fill_(0, loops, 0)
    new, shift = true_entries(missing.bool())  # shift [N + 1]: loops added before each row
    ptr = pattern.ptr + shift
    place = torch.arange(row.numel(), device=pattern.device) + shift.index_select(0, row)
    last = ptr.index_select(0, new + 1).long() - 1
    col = pattern.col.new_empty(row.numel() + new.numel())
    col.scatter_(0, place, pattern.col).scatter_(0, last, new.to(col.dtype))
    return Pattern(ptr, col, pattern.num_cols), place, last


def _kernel(matrix: CSR, h: Tensor) -> Tensor:
    p = matrix.pattern
    if p.num_entries == 0:
        return h.new_zeros(p.num_rows, h.size(1))
    val = None if matrix.val is None else matrix.val.detach().to(h.dtype)
    col = p.col.to(p.ptr.dtype)
    return F.embedding_bag(col, h.detach().contiguous(), p.ptr, mode="sum", per_sample_weights=val, include_last_offset=True)


class _Product(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, h: Tensor, matrix: CSR) -> Tensor:
        ctx.matrix = matrix
        return _kernel(matrix, h)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, None]:
        return (_kernel(ctx.matrix.t(), grad) if ctx.needs_input_grad[0] else None), None


class _WeightedSum(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, val: Tensor, h: Tensor, pattern: Pattern) -> Tensor:
        ctx.save_for_backward(val, h)
        ctx.pattern = pattern
        return _kernel(CSR(pattern, val), h)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        val, h = ctx.saved_tensors
        pattern: Pattern = ctx.pattern
        grad_val = _pair_products(pattern, grad, h).to(val.dtype) if ctx.needs_input_grad[0] else None
        grad_h = _kernel(CSR(pattern, val).t(), grad) if ctx.needs_input_grad[1] else None
        return grad_val, grad_h, None


def _pair_products(pattern: Pattern, left: Tensor, right: Tensor, chunk: int = 65_536) -> Tensor:
    """``left[row] . right[col]`` for each entry, ``[E]``, a chunk of entries at a time so that no ``[E, D]`` stands."""
    pairs = zip(torch.split(pattern.row, chunk), torch.split(pattern.col, chunk), strict=True)
    return torch.cat([torch.linalg.vecdot(left.index_select(0, r), right.index_select(0, c)) for r, c in pairs])
