"""Files and folders that appear whole or not at all."""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

MARK = "run.json"  # what makes a folder one of ours, which --force may replace
CARD = "store.json"  # likewise of a store


@contextmanager
def written(path: Path) -> Iterator[Path]:
    """A new file beside ``path`` that becomes ``path`` in one step when the block ends well, and goes when it does not."""
    part = path.with_name(f".{path.name}-{secrets.token_hex(8)}")  # not mkstemp: others may read what is made here
    try:
        yield part
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)


def write_durably(path: Path, content: bytes) -> None:
    """Write a file that appears whole or not at all, on the disk before this returns."""
    with written(path) as part, open(part, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    if hasattr(os, "O_DIRECTORY"):  # the rename too; not on Windows
        handle = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def check_free(path: Path, *, force: bool = False, mark: str = MARK, what: str = "run folder") -> None:
    """Refuse an output folder that must not be replaced.

    Raises:
        ValueError: something stands there and ``force`` is not set, or it is neither an empty folder nor what holds a file ``mark``.
    """
    if not os.path.lexists(path):
        return
    if not force:
        raise ValueError(f"out: {path} exists already; name another folder, or give --force to replace it")
    if not (path / mark).is_file() and not (path.is_dir() and not any(path.iterdir())):
        raise ValueError(f"out: {path} is not a {what}, and --force replaces nothing else; name another folder")


def next_free(start: str, dataset: str, *, resume: bool = False) -> Path:
    """The next ``runs/START-DATASET-N`` at which nothing stands and no unfinished run waits; or the last at which one does."""
    stem = Path(dataset).stem.lower()
    number = 1
    unfinished = None
    while os.path.lexists(path := Path("runs") / f"{start}-{stem}-{number}") or waiting(path).is_dir():
        unfinished = path if waiting(path).is_dir() else unfinished
        number += 1
    return unfinished if resume and unfinished is not None else path


def waiting(out: Path) -> Path:
    """The folder in which an unfinished run of the run folder ``out`` waits to be gone on with."""
    out = Path(os.path.abspath(out))
    return out.with_name(f".{out.name}.resume")


def write_array(path: Path, array: np.ndarray) -> None:
    """Write ``array`` as ``.npy``; unlike ``np.save`` it says why where it cannot (``OSError`` with the system's reason)."""
    import numpy as np

    array = np.ascontiguousarray(array)
    with open(path, "wb") as file:
        np.lib.format.write_array_header_1_0(file, np.lib.format.header_data_from_array_1_0(array))
        file.write(array.data)


@contextmanager
def folder_written(path: Path, *, force: bool = False) -> Iterator[Path]:
    """A new folder beside ``path`` that becomes ``path`` when the block ends well, and goes when it does not.

    Args:
        path: where it ends up.
        force: take the place of the run that stands there, which stays untouched until the new folder is whole.

    Raises:
        ValueError: something stands at ``path`` that must not be replaced (:func:`check_free`), or no folder can be made there.
    """
    path = Path(os.path.abspath(path))
    check_free(path, force=force)
    part = path.with_name(f".{path.name}-{secrets.token_hex(4)}.part")
    made = make_folder(part)
    try:
        yield part
        take_place(part, path)
    finally:
        shutil.rmtree(part, ignore_errors=True)
        remove_empty(made)


def take_place(part: Path, path: Path) -> None:
    """Rename ``part`` to ``path``; what stands there goes once it is done, and stays where it fails."""
    old = path.with_name(f".{path.name}-{secrets.token_hex(4)}.old")
    if os.path.lexists(path):
        os.replace(path, old)
    try:
        os.replace(part, path)
    except BaseException:
        if os.path.lexists(old) and not os.path.lexists(path):
            os.replace(old, path)
        raise
    if old.is_dir() and not old.is_symlink():
        shutil.rmtree(old)
    else:
        old.unlink(missing_ok=True)


def make_folder(path: Path) -> list[Path]:
    """Make a folder and what lacks above it; gives the latter, innermost first, for :func:`remove_empty`.

    Raises:
        ValueError: it cannot be made.
    """
    made = [parent for parent in path.parents if not os.path.lexists(parent)]
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        remove_empty(made)
        raise ValueError(f"out: cannot make a folder at {path}: {error.strerror}") from error
    return made


def remove_empty(folders: list[Path]) -> None:
    """Take away the folders made on the way, innermost first, that nothing came to be in."""
    for folder in folders:
        try:
            folder.rmdir()
        except OSError:
            return
