"""A conversion's folder while it is being written: what is done so far, so that one that was stopped goes on."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import numpy as np

from graphssl.files import CARD, remove_empty, take_place, written
from graphssl.store.format import HEADER, File, digest_of, file_of, header

PROGRESS = "progress.json"
LOCK = "lock"


class Work:
    """The folder that becomes the store, and ``progress.json`` in it."""

    def __init__(self, folder: Path, key: str) -> None:
        self.folder = folder
        self.state = _read(folder / PROGRESS)
        if self.state.get("key") != key:
            for path in folder.iterdir():
                if path.name != LOCK:
                    shutil.rmtree(path) if path.is_dir() else path.unlink()
            self.state = {"key": key, "files": {}}

    def save(self, **changes: Any) -> None:
        """Take down what is done."""
        self.state.update(changes)
        with written(self.folder / PROGRESS) as path:
            path.write_text(json.dumps(self.state), encoding="utf-8")

    @property
    def files(self) -> dict[str, File]:
        """The arrays that are whole."""
        return {name: File.model_validate(file) for name, file in self.state["files"].items()}

    def add(self, name: str, file: File) -> None:
        """An array is whole; :meth:`save` takes it down."""
        self.state["files"][name] = file.model_dump(mode="json")

    def path(self, name: str) -> Path:
        return self.folder / f"{name}.npy"

    def ends(self, name: str) -> Path:
        """Where the ends of rows stand until they are the row pointers ``name``."""
        return self.folder / f"{name}.ends"

    def write(self, name: str, array: np.ndarray, dtype: str) -> None:
        """A whole array at once, its rows a piece at a time."""
        output = Output(self.path(name), dtype)
        for start in range(0, len(array), 1 << 20):
            output.write(array[start : start + (1 << 20)])
        self.add(name, output.close(array.shape))

    def mapped(self, name: str) -> np.ndarray:
        """An array that is whole, mapped for reading."""
        file = self.files[name]
        return mapped(self.path(name), file.dtype, file.shape, "r")


class Output:
    """A ``.npy`` file that is written from its start to its end, of a length that shows at the end.

    Args:
        path: the file.
        dtype: of its numbers.
        items: numbers that stand in it already, after which to go on; what is behind them is cut off.
    """

    def __init__(self, path: Path, dtype: str, items: int = 0) -> None:
        self.path, self.dtype = path, np.dtype(dtype)
        size = items * self.dtype.itemsize
        if items:
            self.state = digest_of(path, size)
            self.file: IO[bytes] = open(path, "r+b")  # noqa: SIM115 - closed by close()
            self.file.truncate(HEADER + size)
            self.file.seek(HEADER + size)
        else:
            self.file = open(path, "wb")  # noqa: SIM115
            self.file.write(bytes(HEADER))
            self.file.flush()
            self.state = digest_of(path, 0)

    def write(self, array: np.ndarray) -> None:
        """Append numbers."""
        array = np.ascontiguousarray(array, dtype=self.dtype)
        if array.size:
            self.state.update(array.reshape(-1).view(np.uint8))
            array.tofile(self.file)

    def flush(self) -> None:
        """Hand everything to the system, so that it outlives this process."""
        self.file.flush()

    def close(self, shape: tuple[int, ...]) -> File:
        """End the file, and say what the card is to say of it."""
        self.file.flush()
        self.file.seek(0)
        self.file.write(header(self.dtype.str, shape))
        self.file.close()
        file = file_of(self.dtype.str, shape, self.state.hexdigest())
        if self.path.stat().st_size != file.bytes:
            raise OSError(f"{self.path} holds {self.path.stat().st_size:,} bytes after writing, not {file.bytes:,}")
        return file


@contextmanager
def working(out: Path, key: str) -> Iterator[Work]:
    """The folder beside ``out`` in which its store is made; it becomes ``out`` when the block ends well.

    When the block is stopped, the folder stays, and the next conversion of the same source with the same options (``key``) goes on in it.
    After a ``ValueError``, which would come again, it goes.

    Raises:
        ValueError: no folder can be made there, or another process is writing this store.
    """
    made = [parent for parent in out.parents if not os.path.lexists(parent)]
    part = out.with_name(f".{out.name}.part")
    try:
        part.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        remove_empty(made)
        raise ValueError(f"out: cannot make a folder at {out}: {error.strerror}") from error
    with open(part / LOCK, "w", encoding="utf-8") as lock:
        _take(lock, out)
        try:
            work = Work(part, key)
            work.save()
            yield work
        except ValueError:
            shutil.rmtree(part, ignore_errors=True)
            remove_empty(made)
            raise
        for path in part.iterdir():
            if path.name != CARD and path.stem not in work.state["files"]:  # what a process that was killed had no time to take away
                shutil.rmtree(path) if path.is_dir() else path.unlink()
        take_place(part, out)


def mapped(path: Path, dtype: str, shape: tuple[int, ...], mode: Any = "c") -> np.ndarray:
    """The numbers of a ``.npy`` file of ours, mapped; with mode ``c`` they can be changed, in this process and not in the file."""
    if 0 in shape:
        return np.empty(shape, dtype)
    return np.memmap(path, dtype, mode, HEADER, shape)


def _take(lock: IO[str], out: Path) -> None:
    try:
        import fcntl
    except ImportError:  # Windows: two conversions to one place are the user's to avoid
        return
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        raise ValueError(f"out: another process is writing {out}; wait for it, or name another folder") from error


def _read(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}
