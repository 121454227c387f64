"""Sets of molecules by name: MoleculeNet's CSV files, and those that come with rdkit."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

import numpy as np

from graphssl.datasets.columns import Column, read_table
from graphssl.datasets.dataset import Dataset
from graphssl.datasets.files import raw_folder
from graphssl.datasets.molecules import NeedsRdkit, rdkit_version
from graphssl.datasets.table import Entry
from graphssl.datasets.tables import Rules, dataset_of

logger = logging.getLogger(__name__)

COLUMNS: dict[str, tuple[str, tuple[str, ...]]] = {  # SMILES, and targets; none named: all others but the molecule's number
    "hiv": ("smiles", ("HIV_active",)),
    "bace": ("mol", ("Class",)),
    "bbbp": ("smiles", ("p_np",)),
    "clintox": ("smiles", ("FDA_APPROVED", "CT_TOX")),
    "tox21": ("smiles", ()),
    "toxcast": ("smiles", ()),
    "sider": ("smiles", ()),
    "muv": ("smiles", ()),
    "esol": ("smiles", ("measured log solubility in mols per litre",)),
    "freesolv": ("smiles", ("expt",)),
    "lipo": ("smiles", ("exp",)),
}


def load_moleculenet(entry: Entry, root: str | Path | None = None) -> Dataset:
    """A set of MoleculeNet (Wu et al., 2018, arXiv:1703.00564) from its CSV file, in the folders of PyG, with the scaffold split.

    Newer versions of rdkit refuse a few of the molecules for their valences, as 2026.9 does seven of HIV's. They are read without that
    rule here, so that all rows are there and the split is that of the literature, whatever rdkit is installed.

    Raises:
        ValueError: a damaged file; ``DatasetNotFound`` where it cannot be had, ``NeedsRdkit`` where rdkit is missing.
    """
    rdkit_version()
    path = raw_folder(entry, root) / entry.files[0][0]
    smiles, targets = COLUMNS[entry.name]
    try:
        table = read_table(path)
        names = targets or [name for name in table.names if name not in (smiles, "mol_id")]
        columns = [table.column(name, "targets") for name in names]
        texts = [text or "" for text in table.column(smiles, "smiles").text]
        task = "regression" if entry.metric == "rmse" else "classification" if len(columns) == 1 else "multilabel"
        return dataset_of(entry.name, texts, columns, Rules("scaffold", task, entry.metric, "relax"), source=entry.source)
    except NeedsRdkit:
        raise
    except ValueError as error:
        raise ValueError(
            f"dataset {entry.name!r}: {path} is truncated or not what it should be: {error}. Delete it, to get it anew."
        ) from error


def chembl(entry: Entry) -> Dataset:
    """1,017 compounds with a measured activity (4.27 to 9.22) that come with rdkit, as an example of its Free-Wilson analysis.

    Example:
        >>> from graphssl.datasets import load
        >>> load("chembl-2321810").summary()
        'chembl-2321810: 1,017 graphs, 33,226 nodes, 72,732 edges, 174 features, 1 target, rmse, graph level, scaffold'
    """
    folder = _rdkit_folder("RDContribDir", "FreeWilson", "data")
    smiles, names = _read_smi(folder / "CHEMBL2321810.smi")
    table = read_table(folder / "CHEMBL2321810_act.csv")
    activity = dict(zip(table.column("Name", "name").text, table.column("Act", "targets").text, strict=True))
    text = [activity.get(name) for name in names]
    target = Column("activity", text, np.array([float(value) if value else np.nan for value in text]))
    return dataset_of(entry.name, smiles, [target], Rules("scaffold", "regression", "rmse", "relax"), source=entry.source)


def nci(entry: Entry) -> Dataset:
    """4,999 compounds of the NCI's open set, which come with rdkit; nothing is known of them but their structure."""
    smiles, _ = _read_smi(_rdkit_folder("RDDataDir", "NCI") / "first_5K.smi")
    return dataset_of(entry.name, smiles, [], Rules(invalid="relax"), source=entry.source)


WITH_RDKIT: dict[str, Callable[[Entry], Dataset]] = {"chembl-2321810": chembl, "nci-5k": nci}


# ---------------------------------------------------------------------- helpers


def _rdkit_folder(variable: str, *below: str) -> Path:
    rdkit_version()
    from rdkit import RDConfig

    folder = Path(getattr(RDConfig, variable)).joinpath(*below)
    if not folder.is_dir():
        raise ValueError(f"this build of rdkit comes without {folder}: pip's wheels have it")
    return folder


def _read_smi(path: Path) -> tuple[list[str], list[str]]:
    """SMILES and names: a molecule a line, the SMILES first."""
    lines = [line.split() for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    return [line[0] for line in lines], [line[1] if len(line) > 1 else "" for line in lines]
