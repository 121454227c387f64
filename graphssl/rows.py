"""Rows of sparse matrices, gone through once by compiled code on the CPU."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def gather(ptr: Any, index: Any) -> Any:
    """Entries ``[E']`` of the rows ``index`` ``[R']`` one row after another, and the new row pointers ``[R' + 1]``."""
    new = np.empty(index.size + 1, np.int64)
    new[0] = 0
    for k in range(index.size):
        row = index[k]
        if row < 0 or row >= ptr.size - 1:
            raise IndexError("index points outside the matrix")
        new[k + 1] = new[k] + ptr[row + 1] - ptr[row]
    entries = np.empty(new[-1], np.int64)
    for k in range(index.size):
        first = ptr[index[k]]
        for j in range(new[k + 1] - new[k]):
            entries[new[k] + j] = first + j
    return entries, new


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def turn(ptr: Any, col: Any, num_cols: int) -> Any:
    """The transposed matrix by counting: its pointers ``[C + 1]``, columns ``[E]``, and the entry here that each of its entries is."""
    turned_ptr = np.zeros(num_cols + 1, ptr.dtype)
    for e in range(col.size):
        turned_ptr[col[e] + 1] += 1
    for c in range(num_cols):
        turned_ptr[c + 1] += turned_ptr[c]
    place = turned_ptr[:-1].copy()
    turned_col = np.empty(col.size, ptr.dtype)
    perm = np.empty(col.size, np.int64)
    for r in range(ptr.size - 1):
        for e in range(ptr[r], ptr[r + 1]):
            k = place[col[e]]
            place[col[e]] += 1
            turned_col[k] = r
            perm[k] = e
    return turned_ptr, turned_col, perm


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def without_columns(ptr: Any, col: Any, val: Any, keep: Any) -> Any:
    """Pointers, columns and values of the entries in columns where ``keep`` ``[C]`` is true."""
    new, cols, values = np.empty_like(ptr), np.empty_like(col), np.empty_like(val)
    new[0] = k = 0
    for r in range(ptr.size - 1):
        for e in range(ptr[r], ptr[r + 1]):
            cols[k], values[k] = col[e], val[e]  # a write costs less than a branch that is taken at random
            k += keep[col[e]]
        new[r + 1] = k
    return new, cols[:k], values[:k]


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def without_rows(ptr: Any, col: Any, val: Any, keep: Any) -> Any:
    """The same for rows, which stay as empty ones."""
    new, cols, values = np.empty_like(ptr), np.empty_like(col), np.empty_like(val)
    new[0] = k = 0
    for r in range(ptr.size - 1):
        if keep[r]:
            for e in range(ptr[r], ptr[r + 1]):
                cols[k], values[k] = col[e], val[e]
                k += 1
        new[r + 1] = k
    return new, cols[:k], values[:k]
