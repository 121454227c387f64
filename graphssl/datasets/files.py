"""Where raw files are, how they get there, and the cache of what was read from them."""

from __future__ import annotations

import gzip
import hashlib
import io
import logging
import os
import urllib.request
import zipfile
from collections.abc import Callable
from contextlib import suppress
from http.client import HTTPException
from pathlib import Path

import numpy as np
import scipy.sparse as sp
from platformdirs import user_cache_dir
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from graphssl.datasets.raw import OPTIONAL, Raw
from graphssl.datasets.readers import READERS
from graphssl.datasets.table import Entry
from graphssl.files import written

logger = logging.getLogger(__name__)

VERSION = 1  # of the readers: another number makes all cached files old
TIMEOUT = 10  # seconds without a byte after which a download is given up
CSR_PARTS = ("data", "indices", "indptr", "shape")


class DatasetNotFound(ValueError):
    """The raw files of a dataset are not there and could not be downloaded; the message says which go where."""


def cache_folder() -> Path:
    """``GRAPHSSL_CACHE``, or the user's cache folder of this system."""
    return Path(os.environ.get("GRAPHSSL_CACHE") or user_cache_dir("graphssl")).expanduser()


def roots(root: str | Path | None) -> list[Path]:
    """Where raw files are looked for: ``root`` or else ``GRAPHSSL_DATA``, and then the cache's ``data`` folder."""
    own = root or os.environ.get("GRAPHSSL_DATA")
    return [*([Path(own).expanduser()] if own else []), cache_folder() / "data"]


def raw_folder(entry: Entry, root: str | Path | None) -> Path:
    """The folder that holds all raw files of a dataset, downloaded where they are in none.

    Looked for under ``root``, else ``GRAPHSSL_DATA``, and then in the cache's ``data`` folder. A download goes to the first of them that
    can be written to.

    Raises:
        DatasetNotFound: not there, and the download failed.
    """
    folders = [place / entry.folder / "raw" for place in roots(root)]
    for folder in folders:
        if all((folder / file).is_file() for file, _ in entry.files):
            return folder
    try:
        contents = _fetch_all(entry, folders)
    except (OSError, HTTPException, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise DatasetNotFound(_missing(entry, folders[0], str(error))) from error
    for folder in folders:
        with suppress(OSError):  # a root that cannot be written to: the next one
            folder.mkdir(parents=True, exist_ok=True)
            for file, content in contents.items():
                with written(folder / file) as path:
                    path.write_bytes(content)
            return folder
    raise DatasetNotFound(_missing(entry, folders[0], "no folder to put them in can be written to"))


def read(entry: Entry, folder: Path) -> list[Raw]:
    """The graphs in ``folder``, from the cache where the same bytes were read before.

    Nothing is written beside the raw files. The cache holds plain arrays under a key made from the raw files' content.

    Raises:
        ValueError: the raw files cannot be read.
    """
    try:
        key = _content_key(entry, folder)
    except OSError as error:
        raise ValueError(f"dataset {entry.name!r}: the raw files in {folder} cannot be read: {error}") from error
    cached = cache_folder() / "processed" / f"{entry.name}-{key}.safetensors"
    with suppress(OSError, SafetensorError, KeyError, ValueError):
        if cached.is_file():
            return _unpack(load_file(cached))
    logger.info("reading %s from %s", entry.name, folder)
    try:
        graphs = READERS[entry.family](folder, entry)
        _check(graphs)
    except MemoryError:
        raise
    except Exception as error:  # a damaged file fails in any way that NumPy, SciPy, json and pickle know
        files = ", ".join(file for file, _ in entry.files[:3]) + (", ..." if len(entry.files) > 3 else "")
        raise ValueError(
            f"dataset {entry.name!r}: the raw files in {folder} ({files}) are truncated or not what they should be: "
            f"{type(error).__name__}: {error}.{' Delete them, to get them anew.' if any(url for _, url in entry.files) else ''}"
        ) from error
    _keep(cached, entry.name, _pack(graphs))
    return graphs


def remembered(name: str, key: str, make: Callable[[], dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """The arrays that ``make`` returns, from the cache where they were made before under this name and key."""
    file = cache_folder() / "processed" / f"{name}-{key}.safetensors"
    with suppress(OSError, SafetensorError, ValueError):
        if file.is_file():
            return {part: np.require(array, requirements=["C", "W"]) for part, array in load_file(file).items()}
    arrays = make()
    _keep(file, name, arrays)
    return arrays


# ---------------------------------------------------------------------- helpers


def _keep(file: Path, name: str, arrays: dict[str, np.ndarray]) -> None:
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with written(file) as path:
            save_file(arrays, path)
    except (OSError, SafetensorError) as error:
        logger.warning("%s is not cached: %s", name, error)


def _content_key(entry: Entry, folder: Path) -> str:
    state = hashlib.sha256(f"{VERSION} {entry.family}".encode())
    for file, _ in entry.files:
        content = (folder / file).read_bytes()
        state.update(f"{file} {len(content)} ".encode())
        state.update(content)
    return state.hexdigest()[:16]


def _check(graphs: list[Raw]) -> None:
    for raw in graphs:
        n = len(raw.y) if raw.graph_id is None else len(raw.graph_id)
        if raw.x is not None and raw.x.shape[0] != n:
            raise ValueError(f"{raw.x.shape[0]} rows of features and {n} nodes")
        if raw.edge_index.ndim != 2 or len(raw.edge_index) != 2:
            raise ValueError(f"the edges have shape {raw.edge_index.shape}, not [2, E]")
        if raw.edge_index.size and not (raw.edge_index.min() >= 0 and raw.edge_index.max() < n):
            raise ValueError(f"an edge points outside the {n} nodes")
        for part, mask in raw.masks.items():
            if len(mask) != n:
                raise ValueError(f"the {part} mask has {len(mask)} rows for {n} nodes")


def _pack(graphs: list[Raw]) -> dict[str, np.ndarray]:
    arrays = {"parts": np.frombuffer(" ".join(raw.part or "-" for raw in graphs).encode(), dtype=np.uint8)}
    for i, raw in enumerate(graphs):
        if raw.x is not None and not isinstance(raw.x, np.ndarray):
            columns = (raw.x.data, raw.x.indices.astype(np.int64), raw.x.indptr.astype(np.int64), np.array(raw.x.shape))
            arrays |= {f"{i}.x.{name}": column for name, column in zip(CSR_PARTS, columns, strict=True)}
        elif raw.x is not None:
            arrays[f"{i}.x"] = raw.x
        arrays |= {f"{i}.{name}": array for name in OPTIONAL if (array := getattr(raw, name)) is not None}
        small = raw.edge_index.size and raw.edge_index.max() < 2**31
        arrays |= {f"{i}.edge_index": raw.edge_index.astype(np.int32) if small else raw.edge_index, f"{i}.y": raw.y}
        arrays |= {f"{i}.{part}": mask for part, mask in raw.masks.items()}
    return {name: np.ascontiguousarray(array) for name, array in arrays.items()}


def _unpack(arrays: dict[str, np.ndarray]) -> list[Raw]:
    arrays = {name: np.require(array, requirements=["C", "W"]) for name, array in arrays.items()}
    graphs = []
    for i, part in enumerate(arrays["parts"].tobytes().decode().split()):
        x: np.ndarray | sp.csr_matrix | None = arrays.get(f"{i}.x")
        if f"{i}.x.data" in arrays:
            data, indices, indptr, shape = (arrays[f"{i}.x.{name}"] for name in CSR_PARTS)
            x = sp.csr_matrix((data, indices, indptr), shape=(int(shape[0]), int(shape[1])))
        masks = {name: arrays[f"{i}.{name}"] for name in ("train", "val", "test") if f"{i}.{name}" in arrays}
        edge_index = arrays[f"{i}.edge_index"].astype(np.int64, copy=False)
        raw = Raw(x, edge_index, arrays[f"{i}.y"], masks, "" if part == "-" else part)
        for name in OPTIONAL:
            setattr(raw, name, arrays.get(f"{i}.{name}"))
        graphs.append(raw)
    return graphs


def _fetch_all(entry: Entry, folders: list[Path]) -> dict[str, bytes]:
    """The content of all raw files: of those that are in some folder, and of the others from their addresses."""
    contents: dict[str, bytes] = {}
    fetched: dict[str, bytes] = {}
    for file, url in entry.files:
        here = next((folder / file for folder in folders if (folder / file).is_file()), None)
        if here is not None:
            contents[file] = here.read_bytes()
            continue
        if url not in fetched:
            logger.info("downloading %s", url)
            fetched = {url: _fetch(url)}
        contents[file] = _extract(fetched[url], file, url, zipped=_is_zip(entry, url))
    return contents


def _fetch(url: str) -> bytes:
    request = urllib.request.Request(url, headers={"User-Agent": "graphssl"})
    with urllib.request.urlopen(request, timeout=TIMEOUT) as response:
        content: bytes = response.read()
    return content


def _is_zip(entry: Entry, url: str) -> bool:
    return sum(url == other for _, other in entry.files) > 1


def _extract(content: bytes, name: str, url: str, *, zipped: bool) -> bytes:
    if zipped:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            member = next((m for m in archive.namelist() if m.split("/")[-1] == name), None)
            if member is None:
                raise ValueError(f"{url} holds no {name}")
            return archive.read(member)
    return gzip.decompress(content) if url.endswith(".gz") and not name.endswith(".gz") else content


def _missing(entry: Entry, folder: Path, reason: str) -> str:
    here = sum((folder / file).is_file() for file, _ in entry.files)
    lines = [f"  {file}  from {url}{' (a zip that holds it)' if _is_zip(entry, url) else ''}" for file, url in entry.files]
    return (
        f"dataset {entry.name!r}: {len(entry.files) - here} of its {len(entry.files)} raw files are not in {folder}, "
        f"and they could not be downloaded ({reason}). Put there:\n" + "\n".join(lines) + "\nor name another root that has "
        f"{entry.folder}/raw (root=, --root or GRAPHSSL_DATA)."
    )
