"""The sets of molecules of the Open Graph Benchmark, read from OGB's own files: no pickle, no question, no rdkit."""

from __future__ import annotations

import gzip
import logging
import zipfile
from http.client import HTTPException
from pathlib import Path

import numpy as np
import torch

from graphssl.datasets.columns import read_table
from graphssl.datasets.dataset import Dataset
from graphssl.datasets.download import download, master
from graphssl.datasets.files import DatasetNotFound, roots
from graphssl.datasets.molecules import Molecules, atom_dims, bond_dims
from graphssl.datasets.splits import Split
from graphssl.datasets.table import Entry

logger = logging.getLogger(__name__)

RAW = ("edge", "num-node-list", "num-edge-list", "node-feat", "edge-feat", "graph-label")
PARTS = ("train", "valid", "test")
FILES = (*(f"raw/{name}.csv.gz" for name in RAW), *(f"split/scaffold/{part}.csv.gz" for part in PARTS))
LICENCE = "MIT"  # of these sets, as https://ogb.stanford.edu/docs/graphprop states


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


# ---------------------------------------------------------------------- where it is


def _folder(entry: Entry, root: str | Path | None, yes: bool) -> Path:
    name = Path(entry.folder).name
    places = roots(root)
    near = [place / below / f"{name}{end}" for place in places for below in ("ogb", "") for end in ("", "_pyg")]
    for folder in near:
        if all((folder / file).is_file() for file in FILES):
            return folder
    targets = [place / entry.folder for place in places]
    url = master("graphproppred")[entry.name]["url"].replace("http://", "https://")
    try:
        return download(entry.name, url, targets, FILES, licence=LICENCE, yes=yes)
    except (OSError, HTTPException, EOFError, zipfile.BadZipFile) as error:
        raise DatasetNotFound(
            f"dataset {entry.name!r}: {targets[0]} with {FILES[0]} and so on is not there, and it could not be downloaded ({error}). "
            f"Unpack {url} and put its folder there, or name another root that has {entry.folder} (root=, --root or GRAPHSSL_DATA)."
        ) from error


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
