"""Columns of a CSV or Parquet file: all read as text first, so that what a column holds is not guessed from its first rows."""

from __future__ import annotations

import csv
import gzip
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import IO, Any

import numpy as np

from graphssl.datasets.table import TABLES, is_table

MISSING = ("", "na", "n/a", "#n/a", "nan", "-nan", "null", "none")  # in lower case: what counts as no value
TRUTH = {"true": "1", "false": "0"}


@dataclass(frozen=True)
class Column:
    """One column: as text, and as numbers where each value that is there is one."""

    name: str
    text: list[str | None]  # [R], None where nothing stands
    numbers: np.ndarray | None  # [R] float64, NaN where nothing stands; None: some value is no number

    @property
    def is_empty(self) -> bool:
        return all(value is None for value in self.text)


@dataclass(frozen=True)
class Table:
    """The columns of a file by name; they are read when they are asked for."""

    path: Path
    names: tuple[str, ...]
    arrays: dict[str, Any]  # pyarrow's chunked arrays

    @property
    def num_rows(self) -> int:
        return len(next(iter(self.arrays.values())))

    def column(self, name: str, argument: str) -> Column:
        """One column.

        Raises:
            ValueError: there is none of this name; the message names ``argument``, the nearest name and those there are.
        """
        if name not in self.arrays:
            raise ValueError(f"{argument}: {self.path.name} has no column {name!r}{self.hint(name)}")
        return _column(name, self.arrays[name])

    def hint(self, name: str) -> str:
        """The nearest name and all names, to end a message with."""
        lower = {other.lower(): other for other in reversed(self.names)}
        near = get_close_matches(name.lower(), lower, n=1)
        shown = ", ".join(repr(other) for other in self.names[:20]) + (f" and {len(self.names) - 20} more" if len(self.names) > 20 else "")
        return f"{f', did you mean {lower[near[0]]!r}?' if near else ';'} it has {shown}"


def read_table(path: str | Path) -> Table:
    """A CSV (commas, or the tabs or semicolons of its first line; a header; maybe gzipped) or a Parquet file.

    Rows are counted from 0 below the header; empty lines do not count, as in pandas.

    Raises:
        ValueError: no such file, another format, no rows, two columns of one name, or a file that cannot be read.
    """
    path = Path(path).expanduser()
    if not path.is_file():
        raise ValueError(f"there is no file {path}" if not path.is_dir() else f"{path} is a folder: give a file")
    if not is_table(path):
        raise ValueError(f"{path.name}: a table ends in {', '.join(TABLES)}")
    from pyarrow import ArrowException

    try:
        table = _read_parquet(path) if path.suffix.lower() in (".parquet", ".pq") else _read_csv(path)
    except (ArrowException, OSError, EOFError, UnicodeDecodeError, csv.Error) as error:
        raise ValueError(f"{path} cannot be read as a table: {error}") from error
    names = tuple(table.column_names)
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise ValueError(f"{path}: the column {twice!r} stands there twice")
    if not names or not table.num_rows:
        raise ValueError(f"{path} has no rows below its header")
    return Table(path, names, dict(zip(names, table.columns, strict=True)))


def as_number(text: str) -> float | None:
    """The number that a text is; ``True`` and ``False`` are 1 and 0.

    Example:
        >>> as_number("1e-3"), as_number("TRUE"), as_number(">10"), as_number("1_0")
        (0.001, 1.0, None, None)
    """
    if "_" in text:  # digits may be grouped so in Python
        return None
    try:
        return float(TRUTH.get(text.lower(), text))
    except ValueError:
        return None


def first_rows(places: np.ndarray | Sequence[int], num: int = 5) -> str:
    """Rows for a message.

    Example:
        >>> first_rows([3, 4, 8], num=2)
        'rows 3, 4 and 1 more'
    """
    shown = ", ".join(str(int(place)) for place in places[:num])
    return f"row{'s' * (len(places) > 1)} {shown}" + (f" and {len(places) - num:,} more" if len(places) > num else "")


# ---------------------------------------------------------------------- helpers


def _open(path: Path) -> IO[str]:
    return gzip.open(path, "rt", encoding="utf-8-sig", newline="") if path.suffix == ".gz" else path.open(encoding="utf-8-sig", newline="")


def _read_csv(path: Path) -> Any:
    from pyarrow import csv as arrow
    from pyarrow import string

    with _open(path) as file:
        line = next(iter(file), "")
    delimiter = max(",\t;", key=line.count)  # a comma where there is none of them
    with _open(path) as file:
        names = next(csv.reader(file, delimiter=delimiter), [])
    if not names:
        raise ValueError(f"{path} has no rows below its header")
    return arrow.read_csv(
        path,
        parse_options=arrow.ParseOptions(delimiter=delimiter, newlines_in_values=True),
        convert_options=arrow.ConvertOptions(column_types=dict.fromkeys(names, string())),
    )


def _read_parquet(path: Path) -> Any:
    from pyarrow import parquet

    return parquet.read_table(path)


def _column(name: str, array: Any) -> Column:
    from pyarrow import types

    kind = array.type.value_type if types.is_dictionary(array.type) else array.type
    if types.is_null(kind):
        return Column(name, [None] * len(array), np.full(len(array), np.nan))
    if not (types.is_string(kind) or types.is_large_string(kind) or types.is_boolean(kind) or _is_number(kind)):
        return Column(name, [str(value) for value in array.to_pylist()], None)  # dates, lists and so on
    text = [_text(value) for value in array.to_pylist()]
    return Column(name, text, _numbers(text))


def _is_number(kind: Any) -> bool:
    from pyarrow import types

    return bool(types.is_integer(kind) or types.is_floating(kind) or types.is_decimal(kind))


def _text(value: Any) -> str | None:
    text = str(value).strip()
    return None if value is None or text.lower() in MISSING else text


def _numbers(text: Iterable[str | None]) -> np.ndarray | None:
    numbers = [np.nan if value is None else as_number(value) for value in text]
    return None if None in numbers else np.array(numbers, dtype=np.float64)
