"""One zip from OGB's addresses: its size and licence are told, a broken one goes on where it was, nothing lands outside of its folder."""

from __future__ import annotations

import csv
import logging
import os
import shutil
import urllib.request
import zipfile
import zlib
from collections.abc import Sequence
from contextlib import suppress
from functools import lru_cache
from http.client import HTTPException
from importlib.util import find_spec
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import IO, Any
from urllib.error import HTTPError

from graphssl.datasets.files import TIMEOUT
from graphssl.files import folder_written

logger = logging.getLogger(__name__)

ASK = 2**30  # bytes from which a download needs yes=True, as in ogb
STEP = 2**20  # bytes read at a time
ATTEMPTS = 3  # in a row that bring nothing, before a download is given up


@lru_cache(maxsize=2)
def master(kind: str) -> dict[str, dict[str, str]]:
    """What ogb's own table says of each set: ``url``, ``eval metric``, ``num tasks``, ... The package is not imported.

    Example:
        >>> master("nodeproppred")["ogbn-products"]["split"]
        'sales_ranking'
    """
    package = find_spec("ogb")
    assert package is not None
    assert package.submodule_search_locations
    with (Path(package.submodule_search_locations[0]) / kind / "master.csv").open(newline="") as file:
        rows = list(csv.reader(file))
    return {name: {row[0]: row[i] for row in rows[1:]} for i, name in enumerate(rows[0]) if i}


def download(name: str, url: str, targets: Sequence[Path], files: Sequence[str], *, licence: str, yes: bool = False) -> Path:
    """The content of the zip at ``url`` in the first of ``targets`` that can be made.

    What arrives is kept in a hidden file beside the folder until all of it is there, so that the next call goes on where this one broke off
    (``Range``). Each member is compared with its CRC-32, which is the only checksum that OGB gives.

    Args:
        name: for messages.
        url: of a zip with a single top folder.
        targets: where its content may go.
        files: that must be in it.
        licence: for messages.
        yes: go ahead above 1 GB.

    Raises:
        ValueError: above 1 GB without ``yes``, or a member's name climbs out of the folder.
        OSError: it cannot be had, is damaged, or lacks a file; ``BadZipFile`` and ``HTTPException`` as well.
    """
    target = next((place for place in targets if _can_be_made(place)), None)
    if target is None:
        raise OSError("no folder to put it in can be written to")
    part = target.with_name(f".{target.name}.zip.part")
    _fetch(name, url, part, licence, yes)
    try:
        with open(part, "rb") as file, folder_written(target) as folder:
            unpack(file, folder)
            missing = next((name for name in files if not (folder / name).is_file()), None)
            if missing is not None:
                raise _Useless(f"{url} holds no {missing}")
    except (ValueError, zipfile.BadZipFile, EOFError, zlib.error, _Useless):  # going on with it would not help
        part.unlink(missing_ok=True)
        raise
    part.unlink()
    return target


class _Useless(OSError):
    """What was downloaded is not what was asked for."""


def unpack(archive: IO[bytes], folder: Path) -> None:
    """The members of a zip below its single top folder, into ``folder``, a piece at a time.

    Raises:
        ValueError: a member's name is absolute or climbs out of the folder; nothing is written then.
    """
    with zipfile.ZipFile(archive) as file:
        for name in file.namelist():
            path = PurePosixPath(name)
            if path.is_absolute() or PureWindowsPath(name).drive or "\\" in name or ".." in path.parts:
                raise ValueError(f"the zip holds {name!r}, which points outside of it, and is refused")
        for member in file.infolist():
            below = PurePosixPath(member.filename).parts[1:]
            if below and not member.is_dir():
                target = folder.joinpath(*below)
                target.parent.mkdir(parents=True, exist_ok=True)
                with file.open(member) as content, open(target, "wb") as out:
                    shutil.copyfileobj(content, out, STEP)


def _can_be_made(folder: Path) -> bool:
    if folder.exists():
        raise OSError(f"{folder} is there, but not all of its files: delete it to get it anew")
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
    except OSError:
        return False
    return os.access(folder.parent, os.W_OK)


def _fetch(name: str, url: str, part: Path, licence: str, yes: bool) -> None:
    """All bytes of ``url`` in ``part``, after those that are in it already."""
    failures = 0
    while True:
        before = part.stat().st_size if part.is_file() else 0
        try:
            if _fetch_rest(name, url, part, before, licence, yes):
                return
            error: Exception = OSError(f"the download broke off after {part.stat().st_size:,} bytes, which are kept for the next call")
        except HTTPError:
            raise
        except (OSError, HTTPException) as broken:
            error = broken
        failures = 0 if part.is_file() and part.stat().st_size > before else failures + 1
        if failures >= ATTEMPTS or not part.is_file():
            raise error
        logger.info("%s: %s; trying to go on", name, error)


def _fetch_rest(name: str, url: str, part: Path, start: int, licence: str, yes: bool) -> bool:
    """Whether all is there afterwards."""
    request = urllib.request.Request(url, headers={"User-Agent": "graphssl", **({"Range": f"bytes={start}-"} if start else {})})
    try:
        response = urllib.request.urlopen(request, timeout=TIMEOUT)
    except HTTPError as error:
        if error.code != 416 or not start:
            raise
        if _total(error.headers) == start:  # the last call was stopped after its last byte
            return True
        part.unlink()
        return _fetch_rest(name, url, part, 0, licence, yes)
    with response:
        if getattr(response, "status", 200) != 206 or _first(response.headers) != start:
            start = 0  # the server begins anew
        size = _total(response.headers) if start else int(response.headers.get("Content-Length") or 0)
        _check_size(name, max(size, start), yes)
        after = f", after {_megabytes(start)} that are there" if start else ""
        told = f"{_megabytes(size)}{after}" if size else f"size unknown{after}"
        logger.info("downloading %s (%s, licence %s) from %s", name, told, licence, url)
        with suppress(OSError):
            free = shutil.disk_usage(part.parent).free
            if size - start > free:
                logger.warning("%s: %s are free in %s, which is less than what is missing", name, _megabytes(free), part.parent)
        with open(part, "ab" if start else "wb") as file:
            done = _copy(name, response, file, start, size, yes)
    return not size or done == size


def _copy(name: str, response: IO[bytes], file: IO[bytes], done: int, size: int, yes: bool) -> int:
    shown = done
    while content := response.read(STEP):
        _check_size(name, done + len(content), yes)
        file.write(content)
        done += len(content)
        if done - shown >= max(size // 100 if size > ASK else size // 10, 10 * STEP):
            logger.info("%s: %s%s", name, _megabytes(done), f" of {_megabytes(size)}" if size else "")
            shown = done
    return done


def _check_size(name: str, known: int, yes: bool) -> None:
    if known > ASK and not yes:
        raise ValueError(f"dataset {name!r}: the download is larger than 1 GB ({_megabytes(known)}); pass yes=True (--yes) to go ahead")


def _first(headers: Any) -> int:
    """Where a part begins that a server sends: ``Content-Range: bytes 100-999/1000``."""
    text = (headers.get("Content-Range") or "").removeprefix("bytes ").split("-")[0]
    return int(text) if text.isdecimal() else -1


def _total(headers: Any) -> int:
    text = (headers.get("Content-Range") or "").rpartition("/")[2]
    return int(text) if text.isdecimal() else 0


def _megabytes(size: int) -> str:
    return f"{size / 1e6:,.1f} MB"
