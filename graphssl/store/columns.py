"""Features on their way into a store: checked, made narrower, counted."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import scipy.sparse as sp

from graphssl.store.buckets import Tell, write_pointers
from graphssl.store.format import FLOATS
from graphssl.store.kernels import moments, to_bfloat16
from graphssl.store.source import Source
from graphssl.store.work import Output, Work

PIECE = 1 << 18  # numbers that are looked at together, so that they stay in the cache


def write_features(work: Work, source: Source, dtype: str, tell: Tell) -> None:
    """The features as ``x`` (sparse ones with ``x_ptr`` and ``x_col``), and what is known of each column.

    Raises:
        ValueError: pieces of the wrong shape or number, a number that is not finite or that ``dtype`` cannot hold.
    """
    pieces = _checked(source)
    first = next(pieces, None)
    if first is None:
        raise ValueError(f"features: {source.name} has {source.num_nodes:,} nodes, and features for none of them")
    sparse = sp.issparse(first)
    work.state["sparse"] = sparse
    (_write_sparse if sparse else _write_dense)(work, source, dtype, _joined(first, pieces, sparse), tell)
    work.save()


def narrow(x: np.ndarray, dtype: str) -> tuple[np.ndarray, np.ndarray]:
    """Numbers as they are stored, and as float32 what they are then.

    Example:
        >>> bits, rounded = narrow(np.array([1.001, 2], np.float32), "bfloat16")
        >>> bits.dtype, rounded
        (dtype('uint16'), array([1., 2.], dtype=float32))
    """
    x = np.ascontiguousarray(x, dtype=np.float32)
    if dtype == "float32":
        return x, x
    if dtype == "float16":
        with np.errstate(over="ignore"):  # refused by the caller
            half = x.astype(np.float16)
        return half, half.astype(np.float32)
    bits = to_bfloat16(x.reshape(-1).view(np.uint32)).reshape(x.shape)
    return bits, widened(bits)


def widened(bits: np.ndarray) -> np.ndarray:
    """bfloat16 bits as float32."""
    return (bits.astype(np.uint32) << np.uint32(16)).view(np.float32)


def _write_dense(work: Work, source: Source, dtype: str, pieces: Iterator[Any], tell: Tell) -> None:
    output = Output(work.path("x"), FLOATS[dtype])
    columns, rows = source.num_features, 0
    mean, spread = np.zeros(columns), np.zeros(columns)
    low, high = np.full(columns, np.inf), np.full(columns, -np.inf)
    own = tuple(np.empty(columns) for _ in range(4))
    step = max(1, PIECE // columns)
    tell("features", 0, source.num_nodes)
    for piece in pieces:
        for start in range(0, len(piece), step):
            given = np.asarray(piece[start : start + step])
            stored, x = narrow(given, dtype)
            moments(x, *own)
            if not np.isfinite(own[0]).all():
                _refuse(given, x, rows, dtype)
            n = len(x)
            delta = own[0] - mean  # means and spreads joined as Chan et al. (1979) do
            mean += delta * (n / (rows + n))
            spread += own[1] + delta**2 * (rows * n / (rows + n))
            np.minimum(low, own[2], out=low)
            np.maximum(high, own[3], out=high)
            output.write(stored)
            rows += n
        tell("features", rows, source.num_nodes)
    _check_rows(source, rows)
    work.add("x", output.close((rows, columns)))
    work.state["columns"] = _columns(mean, np.sqrt(spread / rows), low, high)


def _write_sparse(work: Work, source: Source, dtype: str, pieces: Iterator[Any], tell: Tell) -> None:
    values, cols, ends = Output(work.path("x"), FLOATS[dtype]), Output(work.path("x_col"), "<i4"), Output(work.ends("x_ptr"), "<i8")
    columns, rows, entries = source.num_features, 0, 0
    total, square, counts = np.zeros(columns), np.zeros(columns), np.zeros(columns, dtype=np.int64)
    low, high = np.full(columns, np.inf), np.full(columns, -np.inf)
    tell("features", 0, source.num_nodes)
    for piece in pieces:
        piece = sp.csr_matrix(piece, copy=True)
        piece.sum_duplicates()
        stored, x = narrow(piece.data, dtype)
        if not np.isfinite(x).all():
            at = int(np.argmin(np.isfinite(x)))
            _refuse(piece.data[at : at + 1, None], x[at : at + 1, None], rows + int(np.searchsorted(piece.indptr, at, "right")) - 1, dtype)
        at, x = piece.indices, x.astype(np.float64)
        total += np.bincount(at, x, columns)
        square += np.bincount(at, x * x, columns)
        counts += np.bincount(at, minlength=columns)
        np.minimum.at(low, at, x)
        np.maximum.at(high, at, x)
        ends.write(piece.indptr[1:].astype(np.int64) + entries)
        cols.write(at)
        values.write(stored)
        rows, entries = rows + piece.shape[0], entries + at.size
        tell("features", rows, source.num_nodes)
    _check_rows(source, rows)
    ends.close((rows,))
    write_pointers(work, "x_ptr", rows, max(columns, entries))
    work.ends("x_ptr").unlink()
    work.add("x_col", cols.close((entries,)))
    work.add("x", values.close((entries,)))
    low, high = (np.where(counts < rows, other(limit, 0), limit) for limit, other in ((low, np.minimum), (high, np.maximum)))
    mean = total / rows
    work.state["columns"] = _columns(mean, np.sqrt(np.maximum(square / rows - mean**2, 0)), low, high)


def _joined(first: Any, pieces: Iterator[Any], sparse: bool) -> Iterator[Any]:
    yield first
    for piece in pieces:
        if sp.issparse(piece) != sparse:
            raise ValueError("features: the pieces must be dense or sparse, all of them, got both")
        yield piece


def _checked(source: Source) -> Iterator[Any]:
    rows = 0
    for piece in source.features():
        if piece.ndim != 2 or piece.shape[1] != source.num_features or piece.dtype.kind not in "biuf":
            raise ValueError(f"features: pieces must be numbers [k, {source.num_features}], got {piece.dtype} of shape {piece.shape}")
        rows += piece.shape[0]
        if rows > source.num_nodes:
            _check_rows(source, rows)
        if piece.shape[0]:
            yield piece


def _check_rows(source: Source, rows: int) -> None:
    if rows != source.num_nodes:
        more = "more" if rows > source.num_nodes else f"{rows:,}"
        raise ValueError(f"features: {source.name} must have one row for each of the {source.num_nodes:,} nodes, got {more}")


def _refuse(given: np.ndarray, x: np.ndarray, rows: int, dtype: str) -> None:
    row, column = np.argwhere(~np.isfinite(x))[0]
    value = float(given[row, column])
    if not np.isfinite(value):
        raise ValueError(f"features: row {rows + row}, column {column} holds {value}: clean or impute the features first")
    raise ValueError(f"features: row {rows + row}, column {column} holds {value}, which {dtype} cannot hold: take another dtype")


def _columns(mean: np.ndarray, std: np.ndarray, low: np.ndarray, high: np.ndarray) -> dict[str, list[float]]:
    return {"mean": mean.tolist(), "std": std.tolist(), "min": low.tolist(), "max": high.tolist()}
