"""Turning and merging the rows of a batch: compiled, linear in its edges."""

from __future__ import annotations

import numpy as np

from graphssl.batches.sampling import Array, Rows, compiled


@compiled
def turned(ptr: Array, col: Array) -> tuple[Array, Array, Array]:
    """The transposed pattern ``[N', N']`` by counting: pointers, columns, and ``perm`` ``[E']`` (entry ``k`` of it is ``perm[k]`` here)."""
    n = len(ptr) - 1
    place = np.zeros(n + 1, np.int64)
    for e in range(len(col)):
        place[col[e] + 1] += 1
    for i in range(n):
        place[i + 1] += place[i]
    new_ptr = place.copy()
    row, perm = np.empty_like(col), np.empty(len(col), np.int64)
    for i in range(n):
        for e in range(ptr[i], ptr[i + 1]):
            k = place[col[e]]
            place[col[e]] = k + 1
            row[k], perm[k] = i, e
    return new_ptr, row, perm


def turned_rows(rows: Rows) -> Rows:
    """The same entries, each in the row of its column."""
    ptr, row, perm = turned(rows.ptr, rows.col)
    return Rows(ptr, row, rows.entry[perm])


def in_both_directions(rows: Rows, ptr: Array, col: Array, nodes: Array) -> Rows:
    """Each entry and its opposite, once where both were drawn; parallel ones are matched by their order.

    Args:
        rows: drawn from an undirected graph.
        ptr: pointers of the graph ``[N + 1]``.
        col: columns of the graph ``[E]``.
        nodes: which of them the rows are ``[N']``.
    """
    rank = ranks(rows.ptr, rows.entry, ptr, col, nodes)
    other_ptr, row, perm = turned(rows.ptr, rows.col)
    return Rows(*united(rows.ptr, rows.col, rank, rows.entry, other_ptr, row, rank[perm], rows.entry[perm]))


def of_both_sides(rows: Rows, others: Rows) -> Rows:
    """The entries of both, each entry of the graph once."""
    return Rows(*united(rows.ptr, rows.col, rows.entry, rows.entry, others.ptr, others.col, others.entry, others.entry))


@compiled
def ranks(batch_ptr: Array, entry: Array, ptr: Array, col: Array, nodes: Array) -> Array:
    """How many entries of the graph stand before each one in its row and its column, ``[E']``."""
    rank = np.empty_like(entry)
    for i in range(len(nodes)):
        for e in range(batch_ptr[i], batch_ptr[i + 1]):
            first = entry[e]
            while first > ptr[nodes[i]] and col[first - 1] == col[first]:
                first -= 1
            rank[e] = entry[e] - first
    return rank


@compiled
def united(
    ptr: Array, col: Array, tie: Array, entry: Array, other_ptr: Array, other_col: Array, other_tie: Array, other_entry: Array
) -> tuple[Array, Array, Array]:
    """Rows that hold what either has; of those with equal column and tie the first. All are ascending by column, then tie."""
    n, total = len(ptr) - 1, 0
    new_ptr = np.zeros(n + 1, np.int64)
    new_col, new_entry = np.empty(len(col) + len(other_col), col.dtype), np.empty(len(col) + len(other_col), entry.dtype)
    for i in range(n):
        a, b, last_col, last_tie = ptr[i], other_ptr[i], -1, -1
        while a < ptr[i + 1] or b < other_ptr[i + 1]:
            if b == other_ptr[i + 1] or (a < ptr[i + 1] and (col[a] < other_col[b] or (col[a] == other_col[b] and tie[a] <= other_tie[b]))):
                own, own_tie, which = int(col[a]), int(tie[a]), entry[a]
                a += 1
            else:
                own, own_tie, which = int(other_col[b]), int(other_tie[b]), other_entry[b]
                b += 1
            if own != last_col or own_tie != last_tie:
                new_col[total], new_entry[total] = own, which
                total += 1
                last_col, last_tie = own, own_tie
        new_ptr[i + 1] = total
    return new_ptr, new_col[:total].copy(), new_entry[:total].copy()
