"""Molecules from SMILES: the atom and bond attributes of OGB as one batch of graphs."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import lru_cache
from importlib import metadata
from importlib.util import find_spec, module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from graphssl.adjacency import CSR, Pattern
from graphssl.datasets.files import remembered
from graphssl.graph import Graph

logger = logging.getLogger(__name__)

VERSION = 1  # of the featuriser: another number makes what is cached old
CACHED_FROM = 1000  # molecules; fewer are read again faster than a file is kept for them
PROGRESS = 20_000  # molecules between two lines of the log


class NeedsRdkit(ImportError, ValueError):
    """Something about SMILES was asked for, and rdkit is not installed."""


class Refused(NamedTuple):
    """A SMILES that could not be read."""

    row: int  # from 0
    smiles: str
    reason: str


@dataclass
class Molecules:
    """Molecules one after another as plain arrays: ``N`` atoms, ``B`` bonds, ``G`` molecules."""

    sizes: np.ndarray  # [G] int64 atoms of each molecule
    atoms: np.ndarray  # [N, 9] uint8 codes of OGB's atom attributes
    bonds: np.ndarray  # [2, B] int64 rows of the atoms that a bond joins, each bond once
    kinds: np.ndarray  # [B, 3] uint8 codes of OGB's bond attributes

    @property
    def graph(self) -> Graph:
        """All molecules side by side: multi-hot rows for atoms, multi-hot ``edge_attr`` for bonds, each bond in both directions."""
        n, width = self.atoms.shape
        columns = self.atoms + starts(atom_dims())  # [N, 9] ascending in each row
        x = CSR(Pattern(torch.arange(0, n * width + 1, width), torch.from_numpy(columns.ravel()), sum(atom_dims())), torch.ones(n * width))
        source, target = (np.concatenate([self.bonds[i], self.bonds[1 - i]]) for i in range(2))
        order = np.argsort(target * n + source, kind="stable")
        kinds = self.kinds[order % max(len(self.kinds), 1)] + starts(bond_dims())
        attr = torch.zeros(len(order), sum(bond_dims())).scatter_(1, torch.from_numpy(kinds), 1.0)
        graph_id = torch.arange(len(self.sizes)).repeat_interleave(torch.from_numpy(self.sizes))
        edge_index = torch.from_numpy(np.stack([source[order], target[order]]))
        return Graph(x, edge_index, edge_attr=attr, graph_id=graph_id, num_graphs=len(self.sizes))


def smiles_graphs(smiles: Sequence[str], *, relax: bool = False) -> tuple[Graph, Tensor, list[Refused]]:
    """Molecules as one batch of graphs, with the attributes of OGB (Hu et al., 2020, arXiv:2005.00687; ``ogb.utils.smiles2graph``).

    An atom has nine categorical attributes (element, chirality, degree, charge, hydrogens, radical electrons, hybridisation, aromatic, in a
    ring) and a bond three (type, stereo, conjugated). Each becomes a block of columns of which one is 1, so that a linear map of the rows
    is the sum of embeddings of OGB's ``AtomEncoder`` and ``BondEncoder``. Values that OGB does not list are OGB's "misc".

    A thousand molecules and more are cached in the user's cache folder, keyed by the SMILES and the versions of ogb and rdkit.

    Args:
        smiles: of each molecule; an empty one is refused.
        relax: keep molecules that only break rdkit's rules of valence, which change between its versions.

    Returns:
        The graph of all molecules that could be read, their rows ``[G]`` (int64), and the others with the reason.

    Raises:
        ValueError: not one could be read; ``NeedsRdkit``, one of these, where rdkit is missing.

    Example:
        >>> g, rows, refused = smiles_graphs(["CCO", "C1CC", "c1ccccc1"])
        >>> g.num_graphs, g.num_nodes, g.num_edges, rows.tolist(), refused[0][:2]
        (2, 9, 16, [0, 2], (1, 'C1CC'))
    """
    rdkit_version()  # says what is missing before anything else does
    arrays = cached("molecules", smiles, f"{VERSION} {relax} {metadata.version('ogb')}", lambda: _featurise(smiles, relax))
    refused = [Refused(*entry) for entry in json.loads(arrays["refused"].tobytes())]
    if not len(arrays["rows"]):
        raise ValueError(f"none of the {len(smiles):,} SMILES could be read: {listed(refused)}" if refused else "smiles holds no molecule")
    molecules = Molecules(*(arrays[name] for name in ("sizes", "atoms", "bonds", "kinds")))
    return molecules.graph, torch.from_numpy(arrays["rows"]), refused


def parse(smiles: str, *, relax: bool = False) -> Any:
    """The rdkit molecule of a SMILES.

    Args:
        smiles: as rdkit reads it.
        relax: where only the rules of valence are broken, read it without them.

    Raises:
        ValueError: it is no SMILES, or it has no atom; the message says what is wrong.

    Example:
        >>> parse("CCO").GetNumAtoms()
        3
        >>> parse("CN(C)(C)(C)C")
        Traceback (most recent call last):
        ...
        ValueError: Explicit valence for atom # 1 N, 5, is greater than permitted
        >>> parse("CN(C)(C)(C)C", relax=True).GetNumAtoms()
        6
    """
    with quiet():
        from rdkit import Chem

        mol = Chem.MolFromSmiles(smiles)
        if mol is None:
            rough = Chem.MolFromSmiles(smiles, sanitize=False)
            if rough is None:
                raise ValueError("it does not follow the grammar of SMILES")
            mol = _without_valences(rough) if relax else None
            if mol is None:
                problems = [problem.Message() for problem in Chem.DetectChemistryProblems(rough)]
                raise ValueError(problems[0] if problems else "rdkit cannot make a molecule of it")
        if mol.GetNumAtoms() == 0:
            raise ValueError("it has no atoms")
    return mol


def listed(refused: Sequence[Refused], num: int = 5) -> str:
    """The first refused SMILES with their rows and reasons, and how many more there are."""
    first = ", ".join(f"row {row} {smiles!r} ({reason})" for row, smiles, reason in refused[:num])
    return first + (f", and {len(refused) - num:,} more" if len(refused) > num else "")


def quiet() -> AbstractContextManager[Any]:
    """Inside it rdkit writes nothing to stderr.

    Raises:
        NeedsRdkit: rdkit is not installed.
    """
    rdkit_version()
    from rdkit import rdBase

    block: AbstractContextManager[Any] = rdBase.BlockLogs()
    return block


def rdkit_version() -> str:
    """The installed version of rdkit.

    Raises:
        NeedsRdkit: there is none; the message says how to install it.
    """
    try:
        from rdkit import rdBase
    except ImportError as error:
        raise NeedsRdkit("SMILES are read with rdkit, which is not installed: pip install 'graphssl-pyg[mol]'") from error
    return str(rdBase.rdkitVersion)


def atom_dims() -> tuple[int, ...]:
    """Number of values of each atom attribute, which is the width of its block of columns; 174 in all."""
    return tuple(_ogb_features().get_atom_feature_dims())


def bond_dims() -> tuple[int, ...]:
    """Number of values of each bond attribute; 13 in all."""
    return tuple(_ogb_features().get_bond_feature_dims())


def starts(dims: Sequence[int]) -> np.ndarray:
    """First column of each block, int64."""
    return np.cumsum([0, *dims[:-1]])


def cached(name: str, smiles: Sequence[str], what: str, make: Callable[[], dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """What ``make`` makes of these SMILES with this rdkit, from the cache where it was made before."""
    if len(smiles) < CACHED_FROM:
        return make()
    state = hashlib.sha256(f"{what} {rdkit_version()} {len(smiles)}\n".encode())
    state.update("\n".join(smiles).encode())
    return remembered(name, state.hexdigest()[:16], make)


# ---------------------------------------------------------------------- helpers


@lru_cache(maxsize=1)
def _ogb_features() -> Any:
    """``ogb.utils.features``, without the package around it: to import that asks the network for its newest version."""
    package = find_spec("ogb")
    assert package is not None
    assert package.submodule_search_locations
    spec = spec_from_file_location("graphssl_ogb_features", Path(package.submodule_search_locations[0]) / "utils" / "features.py")
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _featurise(smiles: Sequence[str], relax: bool) -> dict[str, np.ndarray]:
    atoms, bonds = _Codes(_atom, _ogb_features().atom_to_feature_vector, 9), _Codes(_bond, _ogb_features().bond_to_feature_vector, 3)
    sizes: list[int] = []
    ends: list[int] = []  # of bonds, two after two
    rows: list[int] = []
    refused: list[Refused] = []
    total = 0
    with quiet():
        for row, text in enumerate(smiles):
            if row and row % PROGRESS == 0:
                logger.info("%s of %s molecules are read", f"{row:,}", f"{len(smiles):,}")
            try:
                if not text or not text.strip():
                    raise ValueError("it is empty")
                mol = parse(text, relax=relax)
                found = list(mol.GetBonds())
                bonds.add(found)  # may refuse, so before what cannot
            except ValueError as error:
                refused.append(Refused(row, text or "", str(error)))
                continue
            atoms.add(mol.GetAtoms())
            for bond in found:
                ends += (total + bond.GetBeginAtomIdx(), total + bond.GetEndAtomIdx())
            sizes.append(mol.GetNumAtoms())
            rows.append(row)
            total += sizes[-1]
    return {
        "sizes": np.array(sizes, dtype=np.int64),
        "atoms": atoms.array(),
        "bonds": np.ascontiguousarray(np.array(ends, dtype=np.int64).reshape(-1, 2).T),
        "kinds": bonds.array(),
        "rows": np.array(rows, dtype=np.int64),
        "refused": np.frombuffer(json.dumps(refused).encode(), dtype=np.uint8),
    }


class _Codes:
    """OGB's codes of atoms or bonds, asked for once for each combination of what OGB looks at: three times as fast."""

    def __init__(self, look: Callable[[Any], tuple[Any, ...]], code: Callable[[Any], list[int]], width: int) -> None:
        self.look, self.code, self.width = look, code, width
        self.number: dict[tuple[Any, ...], int] = {}
        self.table: list[list[int]] = []
        self.found: list[int] = []

    def add(self, things: Any) -> None:
        """Atoms or bonds of a molecule.

        Raises:
            ValueError: something that OGB has no code for; nothing is added then.
        """
        numbers = []
        for thing in things:
            seen = self.look(thing)
            number = self.number.get(seen)
            if number is None:
                try:
                    self.table.append(self.code(thing))
                except ValueError as error:
                    raise ValueError(f"OGB's attributes have no place for it: {error}") from error
                number = self.number[seen] = len(self.table) - 1
            numbers.append(number)
        self.found += numbers

    def array(self) -> np.ndarray:
        """Codes ``[n, width]`` of all that was added."""
        return np.array(self.table, dtype=np.uint8).reshape(-1, self.width)[np.array(self.found, dtype=np.int64)]


def _atom(atom: Any) -> tuple[Any, ...]:
    return (
        atom.GetAtomicNum(),
        atom.GetChiralTag(),
        atom.GetTotalDegree(),
        atom.GetFormalCharge(),
        atom.GetTotalNumHs(),
        atom.GetNumRadicalElectrons(),
        atom.GetHybridization(),
        atom.GetIsAromatic(),
        atom.IsInRing(),
    )


def _bond(bond: Any) -> tuple[Any, ...]:
    return bond.GetBondType(), bond.GetStereo(), bond.GetIsConjugated()


def _without_valences(mol: Any) -> Any:
    """The molecule with all that rdkit finds out about one but whether its valences are allowed; ``None`` if more is wrong."""
    from rdkit import Chem

    mol = Chem.Mol(mol)
    mol.UpdatePropertyCache(strict=False)
    if Chem.SanitizeMol(mol, Chem.SANITIZE_ALL ^ Chem.SANITIZE_PROPERTIES, catchErrors=True) != Chem.SANITIZE_NONE:
        return None
    mol = Chem.RemoveHs(mol, sanitize=False)
    mol.UpdatePropertyCache(strict=False)
    Chem.AssignStereochemistry(mol, cleanIt=True, force=True)
    return mol
