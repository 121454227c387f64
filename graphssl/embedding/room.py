"""Arrays of one row a node within a memory budget: in memory while they fit, in nameless files after that."""

from __future__ import annotations

import os
import re
import tempfile
import weakref
from pathlib import Path
from typing import IO

import numpy as np
import torch
from torch import Tensor

WORK = 2**29  # bytes that the rows and edges at work may take at a time: products no longer gain from more
EDGE = 48  # bytes an edge of a part's matrix: columns, values, weights and, for attention, the row, with and without self-loops


def memory_bytes(memory: float | str) -> int:
    """Bytes of a number, or of text such as ``8GB`` or ``500 MB`` (powers of ten; ``GiB`` of two).

    Example:
        >>> memory_bytes("1.5GB"), memory_bytes("2 MiB"), memory_bytes(1e6)
        (1500000000, 2097152, 1000000)
    """
    text = str(memory).strip()
    found = re.fullmatch(r"([0-9.]+(?:e\+?[0-9]+)?)\s*(?:([kmgt]?)(i?)b?)", text, re.IGNORECASE)
    try:
        number = float(found[1]) if found else -1.0
    except ValueError:
        number = -1.0
    if found is None or not 0 < number < float("inf"):
        raise ValueError(f"memory must be a number of bytes, or text such as 8GB, got {memory!r}")
    return int(number * (1024 if found[3] else 1000) ** " kmgt".index(found[2].lower() or " "))


class Room:
    """Where arrays ``[N, D]`` stand: in memory as long as they fit, and else in files without a name, which go when they are done with.

    Args:
        memory: bytes that arrays and the rows at work may take together; ``None``: as many as it takes. Mapped files do not count: the
            system can write them back at any time.
        folder: where the files go; ``None``: the system's folder for temporary files.

    Attributes:
        work: bytes for the rows and edges at work, a quarter of the memory at most.
        taken: bytes of the arrays that are in memory now.
        peak: the most that was taken so far.
    """

    def __init__(self, memory: int | None = None, folder: Path | None = None) -> None:
        self.memory, self.folder = memory, folder
        self.work = WORK if memory is None else min(WORK, memory // 4)
        self.taken = self.peak = 0

    def array(self, rows: int, width: int, dtype: torch.dtype) -> Tensor:
        """A new array ``[rows, width]``, its entries undefined.

        Raises:
            OSError: no space for it on disk.
        """
        size = rows * width * dtype.itemsize
        if self.memory is not None and self.taken + size > self.memory - self.work:
            return self._mapped(rows, width, dtype)
        array = torch.empty(rows, width, dtype=dtype)
        self.taken += size
        self.peak = max(self.peak, self.taken)
        weakref.finalize(array, self._give_back, size)
        return array

    def _give_back(self, size: int) -> None:
        self.taken -= size

    def _mapped(self, rows: int, width: int, dtype: torch.dtype) -> Tensor:
        with tempfile.TemporaryFile(dir=self.folder) as file:  # the mapping outlives the name and the handle
            reserve(file, rows * width * dtype.itemsize)
            raw = np.memmap(file, dtype=np.uint8, mode="r+", shape=(rows * width * dtype.itemsize,))
        return torch.from_numpy(raw).view(dtype).view(rows, width)


def reserve(file: IO[bytes], size: int) -> None:
    """Give ``file`` its blocks on disk now: a full disk is an ``OSError`` here, and would be the end of the process in a mapping."""
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(file.fileno(), 0, max(size, 1))
    else:  # pragma: no cover
        file.truncate(max(size, 1))


def new_array(path: Path, rows: int, width: int) -> Tensor:
    """A new ``.npy`` file of float32 at ``path``, mapped for writing, ``[rows, width]``.

    Raises:
        OSError: no space for it on disk.
    """
    header = {"descr": np.dtype(np.float32).str, "fortran_order": False, "shape": (rows, width)}
    with open(path, "wb+") as file:
        np.lib.format.write_array_header_1_0(file, header)  # type: ignore[no-untyped-call]
        start = file.tell()
        reserve(file, start + 4 * rows * width)
        return torch.from_numpy(np.memmap(file, dtype=np.float32, mode="r+", offset=start, shape=(rows, width)))


def mapped(path: Path) -> Tensor:
    """What an ``.npy`` file holds, mapped: read when it is looked at, and changes to it stay with this process."""
    return torch.from_numpy(np.load(path, mmap_mode="c"))
