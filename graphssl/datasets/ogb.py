"""The sets of molecules of the Open Graph Benchmark, read from OGB's own files: no pickle, no question, no rdkit."""

from __future__ import annotations

import csv
import gzip
import logging
import os
import tempfile
import urllib.request
import zipfile
from functools import lru_cache
from http.client import HTTPException
from importlib.util import find_spec
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import IO

import numpy as np
import torch

from graphssl.datasets.columns import read_table
from graphssl.datasets.dataset import Dataset
from graphssl.datasets.files import TIMEOUT, DatasetNotFound, roots
from graphssl.datasets.molecules import Molecules, atom_dims, bond_dims
from graphssl.datasets.splits import Split
from graphssl.datasets.table import Entry
from graphssl.files import folder_written

logger = logging.getLogger(__name__)

RAW = ("edge", "num-node-list", "num-edge-list", "node-feat", "edge-feat", "graph-label")
PARTS = ("train", "valid", "test")
FILES = (*(f"raw/{name}.csv.gz" for name in RAW), *(f"split/scaffold/{part}.csv.gz" for part in PARTS))
ASK = 2**30  # bytes from which a download needs yes=True, as in ogb
LICENCE = "MIT"  # of these sets, as https://ogb.stanford.edu/docs/graphprop states
STEP = 2**20  # bytes read at a time


def load_ogb(entry: Entry, root: str | Path | None = None, *, yes: bool = False) -> Dataset:
    """A set ``ogbg-mol*`` (Hu et al., 2020, arXiv:2005.00687) with its scaffold split, downloaded where it is not there.

    It is looked for where ogb itself keeps it: ``ogb/ogbg_molhiv`` (or ``ogb/ogbg_molhiv_pyg``, or without ``ogb/``) below ``root``, else
    below ``GRAPHSSL_DATA``, and below the cache's ``data`` folder. Nothing is asked on standard input, nothing is unpickled and ogb's own
    processed files are not touched. ``ids`` are the SMILES and ``targets`` the names of the columns, where ``mapping/mol.csv.gz`` is there.

    Args:
        entry: of the table.
        root: where to look first.
        yes: go ahead with a download above 1 GB.

    Raises:
        ValueError: damaged files, or a download above 1 GB without ``yes``; ``DatasetNotFound`` where the files cannot be had.
    """
    folder = _folder(entry, root, yes)
    logger.info("reading %s from %s", entry.name, folder)
    try:
        return _read(entry, folder)
    except MemoryError:
        raise
    except Exception as error:  # a damaged file fails in any way that pyarrow and NumPy know
        raise ValueError(
            f"dataset {entry.name!r}: the files in {folder} are truncated or not what they should be: {type(error).__name__}: {error}. "
            "Delete the folder, to get it anew."
        ) from error


def unpack(archive: IO[bytes], folder: Path) -> None:
    """The members of a zip below its single top folder, into ``folder``.

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
                target.write_bytes(file.read(member))


# ---------------------------------------------------------------------- where it is


def _folder(entry: Entry, root: str | Path | None, yes: bool) -> Path:
    name = Path(entry.folder).name
    places = roots(root)
    near = [place / below / f"{name}{end}" for place in places for below in ("ogb", "") for end in ("", "_pyg")]
    for folder in near:
        if all((folder / file).is_file() for file in FILES):
            return folder
    targets = [place / entry.folder for place in places]
    url = master()[entry.name]["url"].replace("http://", "https://")
    try:
        return _download(entry, url, targets, yes)
    except (OSError, HTTPException, EOFError, zipfile.BadZipFile) as error:
        raise DatasetNotFound(
            f"dataset {entry.name!r}: {targets[0]} with {FILES[0]} and so on is not there, and it could not be downloaded ({error}). "
            f"Unpack {url} and put its folder there, or name another root that has {entry.folder} (root=, --root or GRAPHSSL_DATA)."
        ) from error


def _download(entry: Entry, url: str, targets: list[Path], yes: bool) -> Path:
    target = next((place for place in targets if _can_be_made(place)), None)
    if target is None:
        raise OSError("no folder to put it in can be written to")
    request = urllib.request.Request(url, headers={"User-Agent": "graphssl"})
    with tempfile.TemporaryFile() as file:
        with urllib.request.urlopen(request, timeout=TIMEOUT) as response:
            size = int(response.headers.get("Content-Length") or 0)
            logger.info("downloading %s (%s, licence %s) from %s", entry.name, _megabytes(size) if size else "size unknown", LICENCE, url)
            _copy(response, file, size, entry.name, yes)
        with folder_written(target) as folder:
            unpack(file, folder)
            missing = next((name for name in FILES if not (folder / name).is_file()), None)
            if missing is not None:
                raise OSError(f"{url} holds no {missing}")
    return target


def _can_be_made(folder: Path) -> bool:
    if folder.exists():
        raise OSError(f"{folder} is there, but not all of its files: delete it to get it anew")
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
    except OSError:
        return False
    return os.access(folder.parent, os.W_OK)


def _copy(response: IO[bytes], file: IO[bytes], size: int, name: str, yes: bool) -> None:
    done = shown = 0
    while True:
        known = max(size, done)
        if known > ASK and not yes:
            raise ValueError(f"dataset {name!r}: the download is larger than 1 GB ({_megabytes(known)}); pass yes=True (--yes) to go ahead")
        content = response.read(STEP)
        if not content:
            break
        file.write(content)
        done += len(content)
        if done - shown >= max(size // 10, 10 * STEP):
            logger.info("%s: %s%s", name, _megabytes(done), f" of {_megabytes(size)}" if size else "")
            shown = done
    if size and done != size:
        raise OSError(f"the download broke off after {done:,} of {size:,} bytes")


def _megabytes(size: int) -> str:
    return f"{size / 1e6:,.1f} MB"


@lru_cache(maxsize=1)
def master() -> dict[str, dict[str, str]]:
    """What ogb's own table says of each set: ``url``, ``eval metric``, ``num tasks``, ... The package is not imported."""
    package = find_spec("ogb")
    assert package is not None
    assert package.submodule_search_locations
    with (Path(package.submodule_search_locations[0]) / "graphproppred" / "master.csv").open(newline="") as file:
        rows = list(csv.reader(file))
    return {name: {row[0]: row[i] for row in rows[1:]} for i, name in enumerate(rows[0]) if i}


# ---------------------------------------------------------------------- what is in it


def _read(entry: Entry, folder: Path) -> Dataset:
    raw = folder / "raw"
    sizes, num_bonds = (_numbers(raw / f"{name}.csv.gz", "int64")[:, 0] for name in ("num-node-list", "num-edge-list"))
    edges, labels = _numbers(raw / "edge.csv.gz", "int64"), _numbers(raw / "graph-label.csv.gz", "float64")
    if not len(sizes) == len(num_bonds) == len(labels):
        raise ValueError(f"{len(sizes)} counts of atoms, {len(num_bonds)} of bonds and {len(labels)} labels")
    atoms, kinds = _codes(raw / "node-feat.csv.gz", atom_dims()), _codes(raw / "edge-feat.csv.gz", bond_dims())
    if sizes.sum() != len(atoms) or not num_bonds.sum() == len(edges) == len(kinds):
        raise ValueError(f"{sizes.sum()} atoms and {num_bonds.sum()} bonds are counted, {len(atoms)}, {len(edges)} and {len(kinds)} listed")
    owner = np.repeat(np.arange(len(sizes)), num_bonds)
    if edges.size and (edges.min() < 0 or (edges >= sizes[owner][:, None]).any()):
        raise ValueError("a bond joins an atom that its molecule does not have")
    first = np.cumsum(sizes) - sizes
    bonds = np.ascontiguousarray((edges + first[owner][:, None]).T)
    train, val, test = (torch.from_numpy(_numbers(folder / f"split/scaffold/{part}.csv.gz", "int64")[:, 0]) for part in PARTS)
    ids, targets = _names(folder / "mapping" / "mol.csv.gz", *labels.shape)
    return Dataset(
        entry.name,
        (Molecules(sizes, atoms, bonds, kinds).graph,),
        torch.from_numpy(labels.astype(np.float32)),
        (Split("scaffold", train, val, test),),
        entry.metric,
        entry.source,
        level="graph",
        ids=ids,
        targets=targets,
        molecules=True,
    )


def _codes(path: Path, dims: tuple[int, ...]) -> np.ndarray:
    codes = _numbers(path, "uint8")
    if codes.shape[1] != len(dims) or (codes >= np.array(dims)).any():
        raise ValueError(f"{path.name} must hold {len(dims)} codes below {', '.join(map(str, dims))}")
    return codes


def _numbers(path: Path, kind: str) -> np.ndarray:
    """The table ``[R, K]`` in a file without header; what is missing is NaN in ``float64`` and an error in others."""
    import pyarrow
    from pyarrow import csv as arrow

    with gzip.open(path, "rt") as file:
        names = [str(i) for i in range(len(file.readline().split(",")))]
    table = arrow.read_csv(
        path,
        read_options=arrow.ReadOptions(column_names=names),
        parse_options=arrow.ParseOptions(ignore_empty_lines=len(names) > 1),  # in a single column they are missing values
        convert_options=arrow.ConvertOptions(column_types=dict.fromkeys(names, pyarrow.type_for_alias(kind))),
    )
    if kind != "float64" and any(column.null_count for column in table.columns):
        raise ValueError(f"{path.name}: a number is missing")
    numbers = np.empty((table.num_rows, len(names)), dtype=kind)
    for i, column in enumerate(table.columns):
        numbers[:, i] = column.to_numpy()
    return numbers


def _names(path: Path, num_rows: int, num_targets: int) -> tuple[tuple[str, ...] | None, tuple[str, ...] | None]:
    """The SMILES and the names of the targets, where ogb's mapping is there and has as many rows as the set."""
    if not path.is_file():
        return None, None
    table = read_table(path)
    if "smiles" not in table.names or table.num_rows != num_rows:
        logger.warning("%s names no SMILES for each of the %s molecules and is not used", path, f"{num_rows:,}")
        return None, None
    others = tuple(name for name in table.names if name not in ("smiles", "mol_id"))
    ids = tuple(text or "" for text in table.column("smiles", "smiles").text)
    return ids, others if len(others) == num_targets else None
