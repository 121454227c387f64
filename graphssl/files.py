"""Files and folders that appear whole or not at all."""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def written(path: Path) -> Iterator[Path]:
    """A new file beside ``path`` that becomes ``path`` in one step when the block ends well, and goes when it does not."""
    part = path.with_name(f".{path.name}-{secrets.token_hex(8)}")  # not mkstemp: others may read what is made here
    try:
        yield part
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)


@contextmanager
def folder_written(path: Path, *, force: bool = False) -> Iterator[Path]:
    """A new folder beside ``path`` that becomes ``path`` when the block ends well, and goes when it does not.

    Args:
        path: where it ends up.
        force: take the place of what stands there, which stays untouched until the new folder is whole.

    Raises:
        ValueError: something stands at ``path`` already and ``force`` is not set, or its parent is not a folder that can be written.
    """
    path = Path(os.path.abspath(path))
    if os.path.lexists(path) and not force:
        raise ValueError(f"out: {path} exists already; name another folder, or give --force to replace it")
    part = path.with_name(f".{path.name}-{secrets.token_hex(4)}.part")
    try:
        part.mkdir(parents=True)
    except OSError as error:
        raise ValueError(f"out: cannot make a folder at {path}: {error.strerror}") from error
    try:
        yield part
        old = path.with_name(f".{path.name}-{secrets.token_hex(4)}.old")
        if os.path.lexists(path):
            os.replace(path, old)
        os.replace(part, path)
        if old.is_dir() and not old.is_symlink():
            shutil.rmtree(old)
        else:
            old.unlink(missing_ok=True)
    finally:
        shutil.rmtree(part, ignore_errors=True)
