"""Edges by target on disk: into buckets as they come, and out of them as sorted rows, within a given memory."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from graphssl.store.format import index_type
from graphssl.store.kernels import count_loops, gather, sort_rows, spread
from graphssl.store.work import Output, Work, mapped

Tell = Callable[[str, int, int | None], None]  # what is being done, how much of it is done, and of how much where that is known

BITS = 8  # there are at most 2 ** BITS buckets
LEAST = 12  # a bucket has 2 ** LEAST rows or more
PIECE = 1 << 21  # pairs that are put into buckets at a time
GROUP = 1 << 26  # pairs that are sorted at a time; more memory would make it no faster


class Buckets:
    """Pairs of a row and a value, by ranges of rows in files of their own.

    Args:
        folder: where the files are.
        num_rows: ``R``; values are below it too.
        payload: type of what each pair carries along; ``None`` for nothing.
    """

    def __init__(self, folder: Path, num_rows: int, payload: str | None) -> None:
        self.folder, self.num_rows = folder, num_rows
        self.shift = max(LEAST, (num_rows - 1).bit_length() - BITS)
        self.number = ((num_rows - 1) >> self.shift) + 1
        self.index = np.dtype(index_type(num_rows))
        self.payload = None if payload is None else np.dtype(payload)

    def fill(self, pieces: Iterator[tuple[np.ndarray, np.ndarray, np.ndarray | None]], memory: int, *, both: bool = False) -> Iterator[int]:
        """Take in all pairs, from the start; yields the number taken so far. ``both`` takes ``(value, row)`` of each as well."""
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir()
        self.degree = np.zeros(self.num_rows, dtype=np.int64)
        step = min(PIECE, max(1024, memory // 500))  # about 60 bytes are in use for each, of an eighth of the memory
        taken = 0
        for row, value, payload in pieces:
            for start in range(0, row.size, step):
                stop = start + step
                self._spread(row[start:stop], value[start:stop], None if payload is None else payload[start:stop], both)
                taken += min(step, row.size - start)
                yield taken
        np.save(self.folder / "degree.npy", self.degree)

    def rows(self, first: int, memory: int) -> Iterator[tuple[int, np.ndarray, np.ndarray, np.ndarray]]:
        """Rows from ``first`` on, as many at a time as the memory allows, and one where it allows none.

        Yields the number of the first row, pointers ``[r + 1]`` int64, values ``[m]`` in the order they came, and payloads ``[m]`` (empty
        where there are none).
        """
        self.degree = np.load(self.folder / "degree.npy")
        carried = np.dtype(np.float32) if self.payload is None else self.payload
        size = self.index.itemsize + (0 if self.payload is None else carried.itemsize)
        low = first
        while low < self.num_rows:
            high = self._next(low, min(GROUP, max(1, memory // 2 // size)))
            ptr = np.zeros(high - low + 1, dtype=np.int64)
            np.cumsum(self.degree[low:high], out=ptr[1:])
            value = np.empty(ptr[-1], dtype=self.index)
            payload = np.empty(0 if self.payload is None else ptr[-1], dtype=carried)
            place = ptr[:-1].copy()
            for bucket in range(low >> self.shift, ((high - 1) >> self.shift) + 1):
                for pairs, more in self._read(bucket, memory):
                    gather(pairs, more.astype(carried, copy=False), low, high, place, value, payload)
            yield low, ptr, value, payload
            del ptr, value, payload  # or two groups would be in memory while the next is made
            low = high

    def _spread(self, row: np.ndarray, value: np.ndarray, payload: np.ndarray | None, both: bool) -> None:
        most = 2 * row.size if both else row.size
        carried = np.empty(0 if self.payload is None else most, dtype=self.payload or np.float32)
        given = carried[:0] if self.payload is None else np.ascontiguousarray(payload, dtype=self.payload)
        pairs = np.empty((most, 2), dtype=self.index)
        start = np.zeros(self.number + 1, dtype=np.int64)
        row, value = (np.ascontiguousarray(end, dtype=np.int64) for end in (row, value))
        spread(row, value, given, both, self.shift, self.degree, pairs, carried, start)
        for bucket in np.flatnonzero(np.diff(start)):
            with open(self.folder / f"pairs_{bucket}", "ab") as file:
                pairs[start[bucket] : start[bucket + 1]].tofile(file)
            if self.payload is not None:
                with open(self.folder / f"payload_{bucket}", "ab") as file:
                    carried[start[bucket] : start[bucket + 1]].tofile(file)

    def _read(self, bucket: int, memory: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        path = self.folder / f"pairs_{bucket}"
        if not path.exists():
            return
        step = max(1024, memory // 8 // (3 * self.index.itemsize))
        start, total = 0, path.stat().st_size // (2 * self.index.itemsize)
        while start < total:
            number = min(step, total - start)
            pairs = np.fromfile(path, self.index, 2 * number, offset=start * 2 * self.index.itemsize).reshape(-1, 2)
            payload = np.empty(0, dtype=np.float32)
            if self.payload is not None:
                payload = np.fromfile(self.folder / f"payload_{bucket}", self.payload, number, offset=start * self.payload.itemsize)
            yield pairs, payload
            start += number

    def _next(self, low: int, most: int) -> int:
        """Where the rows from ``low`` end that together hold at most ``most`` pairs: whole buckets where one fits."""
        high, total = low, 0
        while high < self.num_rows:
            end = min(self.num_rows, ((high >> self.shift) + 1) << self.shift)
            total += int(self.degree[high:end].sum())
            if total > most:
                break
            high = end
        if high > low:
            return high
        held = np.cumsum(self.degree[low:end])
        return low + max(1, int(np.searchsorted(held, most, side="right")))


def write_rows(work: Work, buckets: Buckets, names: tuple[str, str, str], *, merge: bool, sort: bool, memory: int, tell: Tell) -> None:
    """The rows of ``buckets`` as three arrays: pointers, values and payloads (where there are any); goes on where it was stopped.

    Args:
        work: the folder.
        buckets: filled.
        names: of the arrays.
        merge: keep one of equal values of a row.
        sort: sort each row by its values; without it they stay in the order they came.
        memory: bytes to get along with.
        tell: told the rows done.
    """
    pointers, values, payloads = names
    done = work.state.get(f"rows {values}", {"row": 0, "entries": 0, "loops": 0})
    row, entries, loops = done["row"], done["entries"], done["loops"]
    ends = Output(work.ends(pointers), "<i8", row)
    outs = [Output(work.path(values), buckets.index.str, entries)]
    if buckets.payload is not None:
        outs.append(Output(work.path(payloads), buckets.payload.str, entries))
    what = f"sorting {'edges' if values == 'col' else 'edges by source'}"
    tell(what, row, buckets.num_rows)
    for low, ptr, value, payload in buckets.rows(row, memory):
        if sort:
            sort_rows(ptr, value, payload, merge)
        loops += count_loops(ptr, value, low)
        ends.write(ptr[1:] + entries)
        for out, array in zip(outs, (value, payload), strict=False):
            out.write(array[: ptr[-1]])
        row, entries = low + ptr.size - 1, entries + int(ptr[-1])
        for out in (ends, *outs):
            out.flush()
        del ptr, value, payload, array
        work.save(**{f"rows {values}": {"row": row, "entries": entries, "loops": int(loops)}})
        tell(what, row, buckets.num_rows)
    ends.close((buckets.num_rows,))
    write_pointers(work, pointers, buckets.num_rows, max(buckets.num_rows, entries))
    for name, out in zip((values, payloads), outs, strict=False):
        work.add(name, out.close((entries,)))
    work.save(**{f"loops {values}": int(loops)})
    work.ends(pointers).unlink()
    shutil.rmtree(buckets.folder, ignore_errors=True)


def write_pointers(work: Work, name: str, num_rows: int, largest: int) -> None:
    """Row pointers of their final type from the ends of all rows, 64-bit numbers in the file ``NAME.ends``."""
    ends = mapped(work.ends(name), "<i8", (num_rows,), "r")
    output = Output(work.path(name), index_type(largest))
    output.write(np.zeros(1))
    for start in range(0, num_rows, 1 << 20):
        output.write(ends[start : start + (1 << 20)])
    work.add(name, output.close((num_rows + 1,)))
