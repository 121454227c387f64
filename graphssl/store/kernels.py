"""The loops of a conversion: edges into buckets by row, buckets into sorted rows, features into half precision and statistics."""

from __future__ import annotations

import numpy as np
from numba import njit

SHORT = 24  # entries up to which a row is sorted by insertion


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def spread(
    row: np.ndarray,
    value: np.ndarray,
    payload: np.ndarray,
    both: bool,
    shift: int,
    degree: np.ndarray,
    pairs: np.ndarray,
    carried: np.ndarray,
    start: np.ndarray,
) -> None:
    """Pairs ``(row, value)`` in the order of their buckets ``row >> shift``, and inside one as they came; counted by row.

    Args:
        row: ``[k]`` int64.
        value: ``[k]`` int64.
        payload: ``[k]``, or empty where pairs carry nothing.
        both: each pair counts as ``(value, row)`` too, but for those of equals.
        shift: bits of a row inside a bucket.
        degree: ``[N]`` int64, pairs of each row; added to.
        pairs: ``[k or 2 k, 2]``, written.
        carried: ``[k or 2 k]`` or empty, written.
        start: ``[B + 1]`` int64 zeros; first pair of each bucket, and their number last.
    """
    for i in range(row.size):
        degree[row[i]] += 1
        start[(row[i] >> shift) + 1] += 1
        if both and row[i] != value[i]:
            degree[value[i]] += 1
            start[(value[i] >> shift) + 1] += 1
    for b in range(1, start.size):
        start[b] += start[b - 1]
    place = start[:-1].copy()
    for i in range(row.size):
        r, v = row[i], value[i]
        for turn in range(2 if both and r != v else 1):
            if turn == 1:
                r, v = v, r
            k = place[r >> shift]
            place[r >> shift] = k + 1
            pairs[k, 0] = r
            pairs[k, 1] = v
            if carried.size:
                carried[k] = payload[i]


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def gather(pairs: np.ndarray, payload: np.ndarray, low: int, high: int, place: np.ndarray, value: np.ndarray, carried: np.ndarray) -> None:
    """Values of the pairs whose row lies in ``[low, high)``, each at the next place of its row.

    Args:
        pairs: ``[k, 2]``.
        payload: ``[k]`` or empty.
        low: first row.
        high: row after the last.
        place: ``[high - low]`` int64, where the next value of each row goes; moved on.
        value: ``[m]``, written.
        carried: ``[m]`` or empty, written.
    """
    for i in range(pairs.shape[0]):
        row = pairs[i, 0]
        if low <= row < high:
            k = place[row - low]
            place[row - low] = k + 1
            value[k] = pairs[i, 1]
            if carried.size:
                carried[k] = payload[i]


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def sort_rows(ptr: np.ndarray, value: np.ndarray, weight: np.ndarray, merge: bool) -> int:
    """Sort each row's values in place, equal ones in the order they came; returns how many are left.

    Args:
        ptr: ``[R + 1]`` int64, changed where entries are merged.
        value: ``[m]``.
        weight: ``[m]`` float32 or empty, goes along.
        merge: of equal values of a row keep one, with the mean of their weights.
    """
    out = 0
    begin = ptr[0]
    for r in range(ptr.size - 1):
        end = ptr[r + 1]
        _sort(value[begin:end], weight[begin:end] if weight.size else weight)
        first = out
        i = begin
        while i < end:
            j = i + 1
            if merge:
                while j < end and value[j] == value[i]:
                    j += 1
            value[out] = value[i]
            if weight.size:
                total = 0.0
                for k in range(i, j):
                    total += weight[k]
                weight[out] = weight[i] if j == i + 1 else total / (j - i)
            out += 1
            i = j
        ptr[r] = first
        begin = end
    ptr[-1] = out
    return out


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _sort(value: np.ndarray, weight: np.ndarray) -> None:
    if value.size > SHORT:
        if weight.size:
            order = np.argsort(value, kind="mergesort")
            value[:] = value[order]
            weight[:] = weight[order]
        else:
            value.sort()
        return
    for i in range(1, value.size):
        v = value[i]
        w = weight[i] if weight.size else np.float32(0)
        j = i - 1
        while j >= 0 and value[j] > v:
            value[j + 1] = value[j]
            if weight.size:
                weight[j + 1] = weight[j]
            j -= 1
        value[j + 1] = v
        if weight.size:
            weight[j + 1] = w


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def rows_ascend(ptr: np.ndarray, col: np.ndarray, num_cols: int) -> bool:
    """Whether each row of ``col`` ``[m]`` is ascending and in ``[0, num_cols)``; ``ptr`` ``[R + 1]`` starts at zero."""
    for r in range(ptr.size - 1):
        last = 0
        for i in range(ptr[r], ptr[r + 1]):
            if col[i] < last or col[i] >= num_cols:
                return False
            last = col[i]
    return True


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def to_bfloat16(x: np.ndarray) -> np.ndarray:
    """Bits of the nearest bfloat16 of finite float32 bits, to even where two are as near: ``[m]`` uint32 to uint16."""
    out = np.empty(x.size, dtype=np.uint16)
    for i in range(x.size):
        bits = x[i]
        out[i] = (np.uint64(bits) + np.uint64(0x7FFF) + ((np.uint64(bits) >> np.uint64(16)) & np.uint64(1))) >> np.uint64(16)
    return out


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def moments(x: np.ndarray, mean: np.ndarray, spread: np.ndarray, low: np.ndarray, high: np.ndarray) -> None:
    """Mean, sum of squared differences from it, minimum and maximum of each column of ``x`` ``[k, F]`` float32; into ``[F]`` each.

    The mean may be infinite or NaN, and is then where ``x`` is.
    """
    rows, columns = x.shape
    for c in range(columns):
        mean[c] = 0.0
        spread[c] = 0.0
        low[c] = x[0, c]
        high[c] = x[0, c]
    for r in range(rows):
        for c in range(columns):
            v = x[r, c]
            mean[c] += v
            low[c] = min(low[c], v)
            high[c] = max(high[c], v)
    for c in range(columns):
        mean[c] /= rows
    for r in range(rows):
        for c in range(columns):
            d = x[r, c] - mean[c]
            spread[c] += d * d


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def count_loops(ptr: np.ndarray, value: np.ndarray, low: int) -> int:
    """Entries whose value is their own row, of rows numbered from ``low``."""
    found = 0
    for r in range(ptr.size - 1):
        for i in range(ptr[r], ptr[r + 1]):
            if value[i] == low + r:
                found += 1
    return found
