"""The layout of a store: a folder of plain arrays, and store.json, which says what they are and is written last."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable
from math import prod
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, ValidationError

from graphssl.files import CARD

FORMAT = 1
HEADER = 128  # bytes before the numbers of a .npy file, whatever its shape, so that the shape can be filled in last
BLOCK = 1 << 24  # bytes read at a time
Floats = Literal["float32", "float16", "bfloat16"]
UNITS = {"": 1, "b": 1, "kib": 2**10, "mib": 2**20, "gib": 2**30, "tib": 2**40}
UNITS |= {letter + end: 1000 ** (k + 1) for k, letter in enumerate("kmgt") for end in ("", "b")}
FLOATS = {"float32": "<f4", "float16": "<f2", "bfloat16": "<u2"}  # bfloat16 as its bits, which NumPy has no type for


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class File(_Part):
    """One array of a store."""

    dtype: Literal["<i4", "<i8", "<f4", "<f8", "<f2", "<u2"]
    shape: tuple[int, ...]
    bytes: int
    digest: str  # BLAKE2b of the numbers, 32 hex digits


class SplitSizes(_Part):
    """A split; its rows stand in one file, train first."""

    name: str
    train: int
    val: int
    test: int


class Statistics(_Part):
    """What is known of a graph without going through it; of the features as they are stored."""

    degree_min: int
    degree_max: int
    degree_mean: float
    isolated: int  # nodes into which no edge goes
    self_loops: int
    mean: tuple[float, ...]  # of each feature, as the next three
    std: tuple[float, ...]  # biased
    min: tuple[float, ...]
    max: tuple[float, ...]


class Card(_Part):
    """What ``store.json`` says."""

    format: int
    name: str
    num_nodes: int
    num_features: int
    num_edges: int  # entries of col: an undirected edge counts twice
    undirected: bool  # each edge stands in both directions, with one weight
    paired: bool  # each edge stands in both directions, whatever its weights
    weighted: bool
    features: Floats
    sparse: bool
    metric: str
    source: str
    licence: str
    splits: tuple[SplitSizes, ...]
    statistics: Statistics
    files: dict[str, File]

    def shapes(self) -> dict[str, tuple[tuple[str, ...], tuple[int | None, ...]]]:
        """Of each file there must be: the types it may have, and its shape (``None``: any)."""
        n, e = self.num_nodes, self.num_edges
        ptr, col = index_type(max(n, e)), index_type(n)
        floats = FLOATS[self.features]
        shapes: dict[str, tuple[tuple[str, ...], tuple[int | None, ...]]] = {"ptr": ((ptr,), (n + 1,)), "col": ((col,), (e,))}
        if not self.undirected:
            shapes |= {"out_ptr": ((ptr,), (n + 1,)), "out_col": ((col,), (e,)), "out_edge": ((index_type(e),), (e,))}
        if self.weighted:
            shapes["weight"] = (("<f4",), (e,))
        if self.sparse:
            shapes |= {"x_ptr": (("<i4", "<i8"), (n + 1,)), "x_col": (("<i4",), (None,)), "x": ((floats,), (None,))}
        else:
            shapes["x"] = ((floats,), (n, self.num_features))
        y = self.files.get("y")
        shapes["y"] = (("<f4", "<f8"), (n, None)) if y is not None and len(y.shape) == 2 else (("<i8",), (n,))
        for i, split in enumerate(self.splits):
            shapes[f"split_{i}"] = (("<i8",), (split.train + split.val + split.test,))
        return shapes

    @property
    def digest(self) -> str:
        """32 hex digits over the graph and its features; not over labels, splits and names."""
        own = {name: file.digest for name, file in self.files.items() if name != "y" and not name.startswith("split_")}
        return _hash(json.dumps([self.features, self.num_nodes, own], sort_keys=True).encode())

    def summary(self) -> str:
        """One line about it."""
        words = ["undirected" if self.undirected else "directed", *(["weighted"] if self.weighted else [])]
        return (
            f"{self.name}: {self.num_nodes:,} nodes, {self.num_edges:,} edges ({', '.join(words)}), {self.num_features:,} "
            f"{'sparse ' if self.sparse else ''}{self.features} features, {self.metric}, {len(self.splits)} "
            f"split{'s' * (len(self.splits) != 1)}, {sum(file.bytes for file in self.files.values()) / 1e6:,.1f} MB"
        )


# ---------------------------------------------------------------------- store.json


def write_card(folder: Path, card: Card) -> None:
    """Write ``store.json`` with a digest of itself."""
    content = card.model_dump(mode="json")
    text = json.dumps({"digest": _hash(_canonical(content)), **content}, indent=1)
    (folder / CARD).write_text(text + "\n", encoding="utf-8")


def read_card(folder: Path) -> Card:
    """What ``store.json`` of a folder says.

    Raises:
        ValueError: it is missing, changed, or of a format that this version cannot read.
    """
    path = folder / CARD
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ValueError(f"store: {folder} is not a store: it has no {CARD}") from None
    except NotADirectoryError:
        raise ValueError(f"store: {folder} is a file; a store is a folder with a {CARD}") from None
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise ValueError(f"store: {path} cannot be read: {error}") from error
    if not isinstance(content, dict) or not isinstance(content.get("format"), int):
        raise ValueError(f"store: {path} says nothing of a format: it is not what graphssl data convert writes")
    if content["format"] != FORMAT:
        age = "a newer version of graphssl" if content["format"] > FORMAT else "an older version of graphssl"
        raise ValueError(
            f"store: {path} is of format {content['format']}, written by {age}; this one reads format {FORMAT}: convert it anew"
        )
    if content.pop("digest", None) != _hash(_canonical(content)):
        raise ValueError(f"store: {path} was changed after it was written (its digest differs): convert it anew")
    try:
        return Card.model_validate(content)
    except ValidationError as error:
        problem = error.errors()[0]
        raise ValueError(f"store: {path}: {'.'.join(map(str, problem['loc']))}: {problem['msg']}") from error


# ---------------------------------------------------------------------- arrays


def index_type(count: int) -> str:
    """Type of numbers below ``count``, and of ``count``: 32-bit where they fit.

    Example:
        >>> index_type(2**31 - 1), index_type(2**31)
        ('<i4', '<i8')
    """
    return "<i4" if count < 2**31 else "<i8"


def header(dtype: str, shape: Iterable[int]) -> bytes:
    """The first 128 bytes of a ``.npy`` file (format 1.0).

    Example:
        >>> import io
        >>> np.load(io.BytesIO(header("<i4", [2]) + np.array([3, 4], "<i4").tobytes()))
        array([3, 4], dtype=int32)
    """
    text = f"{{'descr': '{dtype}', 'fortran_order': False, 'shape': {tuple(shape)}, }}"
    return b"\x93NUMPY\x01\x00" + (HEADER - 10).to_bytes(2, "little") + text.ljust(HEADER - 11).encode() + b"\n"


def digest_of(path: Path, size: int | None = None) -> Any:
    """BLAKE2b over the numbers of a file, after its header, or over the first ``size`` bytes of them; still open for more."""
    state = hashlib.blake2b(digest_size=16)
    with open(path, "rb") as file:
        file.seek(HEADER)
        left = path.stat().st_size - HEADER if size is None else size
        while left > 0 and (block := file.read(min(BLOCK, left))):
            state.update(block)
            left -= len(block)
    return state


def as_bytes(memory: int | str) -> int:
    """A number of bytes from ``4GB``, ``512MiB``, ``1.5 TB`` or a plain number.

    Raises:
        ValueError: something else, or nothing.

    Example:
        >>> as_bytes("1.5GB"), as_bytes("2 MiB"), as_bytes(7)
        (1500000000, 2097152, 7)
    """
    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([a-zA-Z]*)\s*", str(memory))
    size = int(float(found[1]) * UNITS[found[2].lower()]) if found and found[2].lower() in UNITS else 0
    if size <= 0:
        raise ValueError(f"memory must be a size such as 4GB or 512MB, got {memory!r}")
    return size


def file_of(dtype: str, shape: tuple[int, ...], digest: str) -> File:
    """What the card says of an array."""
    return File.model_validate({"dtype": dtype, "shape": shape, "bytes": HEADER + prod(shape) * np.dtype(dtype).itemsize, "digest": digest})


def _canonical(content: dict[str, Any]) -> bytes:
    return json.dumps(content, sort_keys=True, separators=(",", ":")).encode()


def _hash(content: bytes) -> str:
    return hashlib.blake2b(content, digest_size=16).hexdigest()
