"""OGB's raw files in pieces: tables in gzipped text without header, and the arrays of a .npz that are too large to be read whole."""

from __future__ import annotations

import gzip
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import numpy as np

BLOCK = 2**23  # bytes of text parsed at a time
NUMBERS = 2**22  # of an array read at a time


@contextmanager
def named(path: Path) -> Iterator[None]:
    """Whatever goes wrong inside is a ``ValueError`` that names the file."""
    try:
        yield
    except MemoryError:
        raise
    except FileNotFoundError as error:
        raise ValueError(f"{path} is missing") from error
    except Exception as error:  # a damaged file fails in any way that pyarrow, zlib, zipfile and NumPy know
        text = str(error)
        said = text.removeprefix(f"{path}: ") if isinstance(error, ValueError) else f"{type(error).__name__}: {text}"
        raise ValueError(f"{path}: {said}") from error


def width(path: Path) -> int:
    """Columns of a table, by its first line."""
    with named(path), gzip.open(path, "rt") as file:
        line = file.readline()
        if not line:
            raise ValueError("the file is empty")
        return len(line.split(","))


def header(path: Path) -> dict[str, str]:
    """The names in the first line and what stands under them in the second."""
    with named(path), gzip.open(path, "rt") as file:
        return dict(zip(*(file.readline().strip().split(",") for _ in range(2)), strict=True))


def pieces(path: Path, kind: str, *, rows: int, columns: int | None = None, gaps: bool = False) -> Iterator[np.ndarray]:
    """The table in a file, ``[k, K]`` at a time, in rows of ``kind``.

    Args:
        path: of the file.
        kind: ``int64``, ``float32`` or ``float64``.
        rows: how many there must be.
        columns: how many there must be; ``None``: any number.
        gaps: whether a number may be missing, which is NaN then.

    Raises:
        ValueError: a file that is missing or damaged, another number of rows or columns, or a number that is none; it names the file.
    """
    import pyarrow
    from pyarrow import csv as arrow

    found = width(path)
    with named(path):
        if columns is not None and found != columns:
            raise ValueError(f"{columns} columns are needed, got {found}")
        names = [str(i) for i in range(found)]
        reader = arrow.open_csv(
            path,
            read_options=arrow.ReadOptions(column_names=names, block_size=BLOCK),
            parse_options=arrow.ParseOptions(ignore_empty_lines=found > 1),  # in a single column they are missing values
            convert_options=arrow.ConvertOptions(column_types=dict.fromkeys(names, pyarrow.type_for_alias(kind))),
        )
        done = 0
        for batch in reader:
            if batch.num_rows == 0:
                continue
            table = np.empty((batch.num_rows, found), dtype=kind)
            for i, column in enumerate(batch.columns):
                if column.null_count and not gaps:
                    raise ValueError(f"a number is missing in rows {done:,} to {done + batch.num_rows - 1:,}")
                table[:, i] = column.to_numpy(zero_copy_only=False)
            done += batch.num_rows
            if done > rows:
                break
            yield table
        if done != rows:
            raise ValueError(f"{rows:,} rows are needed, got {'more' if done > rows else f'{done:,}'}")


def whole(path: Path, kind: str, *, rows: int, columns: int | None = None, gaps: bool = False) -> np.ndarray:
    """The table of :func:`pieces` in one array ``[R, K]``."""
    parts = list(pieces(path, kind, rows=rows, columns=columns, gaps=gaps))
    return np.concatenate(parts) if parts else np.empty((0, columns or 1), dtype=kind)


def count(path: Path) -> int:
    """The only number in a file such as ``num-node-list.csv.gz``."""
    return int(whole(path, "int64", rows=1, columns=1)[0, 0])


def column(path: Path) -> np.ndarray:
    """``[R]`` integers of a file with one of them a line, such as the rows of a split."""
    with named(path):
        import pyarrow
        from pyarrow import csv as arrow

        table = arrow.read_csv(
            path,
            read_options=arrow.ReadOptions(column_names=["0"]),
            parse_options=arrow.ParseOptions(ignore_empty_lines=False),
            convert_options=arrow.ConvertOptions(column_types={"0": pyarrow.int64()}),
        )
        if table.column(0).null_count:
            raise ValueError("a number is missing")
        numbers: np.ndarray = table.column(0).to_numpy()
        return numbers


class Npz:
    """The arrays of a ``.npz``, each read as a stream; nothing is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path
        with named(path), zipfile.ZipFile(path) as archive:
            self.names = [name.removesuffix(".npy") for name in archive.namelist()]

    def shape(self, name: str) -> tuple[int, ...]:
        """Of an array, from its header."""
        with self._open(name) as (_, shape, _, _):
            return shape

    def array(self, name: str) -> np.ndarray:
        """The whole of an array."""
        shape = self.shape(name)
        parts = list(self.flat(name))
        flat = np.concatenate(parts) if parts else np.empty(0)
        with self._open(name) as (_, _, fortran, _):
            return flat.reshape(shape, order="F" if fortran else "C")

    def rows(self, name: str) -> Iterator[np.ndarray]:
        """``[k, K]`` at a time."""
        shape = self.shape(name)
        with self._open(name) as (_, _, fortran, _), named(self.path):
            if fortran and min(shape) > 1:
                raise ValueError(f"{name} stands column by column, and cannot be read row by row")
        columns = shape[1]
        for part in self.flat(name, step=max(1, NUMBERS // columns) * columns):
            yield part.reshape(-1, columns)

    def edges(self, name: str = "edge_index") -> Iterator[np.ndarray]:
        """``[2, k]`` at a time of an array ``[2, E]``: of two rows that stand one after the other, or pair by pair."""
        with self._open(name) as (_, shape, fortran, _):
            num_edges = shape[1]
        if fortran:
            for part in self.flat(name, step=2 * NUMBERS):
                yield np.ascontiguousarray(part.reshape(-1, 2).T)
            return
        for sources, targets in zip(self.flat(name, stop=num_edges), self.flat(name, start=num_edges), strict=True):
            yield np.stack([sources, targets])

    def flat(self, name: str, start: int = 0, stop: int | None = None, step: int | None = None) -> Iterator[np.ndarray]:
        """Numbers ``start`` to ``stop`` in the order of the file, ``step`` at a time."""
        with self._open(name) as (file, shape, _, dtype), named(self.path):
            stop = int(np.prod(shape)) if stop is None else stop
            step = step or NUMBERS
            file.seek(start * dtype.itemsize, 1)
            while start < stop:
                wanted = min(step, stop - start)
                content = file.read(wanted * dtype.itemsize)
                if len(content) != wanted * dtype.itemsize:
                    raise ValueError(f"{name} is truncated")
                yield np.frombuffer(content, dtype)
                start += wanted

    @contextmanager
    def _open(self, name: str) -> Iterator[tuple[IO[bytes], tuple[int, ...], bool, np.dtype[Any]]]:
        with named(self.path), zipfile.ZipFile(self.path) as archive:
            if name not in self.names:
                raise ValueError(f"holds no {name}, only {', '.join(self.names)}")
            with archive.open(f"{name}.npy") as file:
                version = np.lib.format.read_magic(file)
                read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
                shape, fortran, dtype = read(file)
                if dtype.hasobject:
                    raise ValueError(f"{name} is pickled, and is not opened")
                yield file, shape, fortran, dtype
