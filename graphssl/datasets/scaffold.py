"""The scaffold split: molecules with the same ring system stand on the same side."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from graphssl.datasets.molecules import cached, parse, quiet
from graphssl.datasets.splits import Split


def scaffold_split(
    smiles: Sequence[str],
    *,
    rows: Tensor | None = None,
    train: float = 0.8,
    val: float = 0.1,
    chirality: bool = False,
    name: str = "scaffold",
) -> Split:
    """Train, validation and test molecules that share no Bemis-Murcko scaffold (Bemis and Murcko, 1996, doi:10.1021/jm9602928).

    The split of MoleculeNet (Wu et al., 2018, arXiv:1703.00564) and of OGB (Hu et al., 2020, arXiv:2005.00687), in which nothing is drawn:
    molecules are grouped by scaffold, and the groups sorted by size, the largest first, those of one size by their first molecule, the
    *last* first. In that order each group goes as a whole to train where it fits into the share of train, else to validation where train
    and validation together still fit into theirs, else to test. A molecule without rings has the empty scaffold; those are one group.

    Args:
        smiles: of each molecule, all readable (molecules that only break rdkit's rules of valence are read without them).
        rows: ``[n]`` those that the split is made of, and whose number the shares are of; all without it.
        train: share of train.
        val: share of validation.
        chirality: tell scaffolds apart by stereochemistry (pretrain-gnns, Hu et al., 2020, arXiv:1905.12265; OGB and MoleculeNet do not).
        name: of the split.

    Raises:
        ValueError: a SMILES that cannot be read, shares out of range, or scaffolds so frequent that train or test is empty.

    Example:
        >>> scaffold_split(["c1ccccc1C", "CCO", "c1ccccc1", "C1CC1", "c1ccccc1O"], train=0.6, val=0.2)
        Split('scaffold', 3/1/1, ...)
    """
    if not (0 < train < 1 and 0 <= val < 1 and train + val < 1):
        raise ValueError(f"shares must satisfy 0 < train, 0 <= val and train + val < 1, got train={train}, val={val}")
    index = np.arange(len(smiles)) if rows is None else np.sort(rows.cpu().numpy())
    groups = _groups(scaffolds(smiles, chirality=chirality)[index])
    parts: tuple[list[np.ndarray], ...] = ([], [], [])
    sizes = [0, 0, 0]
    for group in groups:
        if sizes[0] + len(group) <= train * len(index):
            part = 0
        elif sizes[0] + sizes[1] + len(group) <= (train + val) * len(index):
            part = 1
        else:
            part = 2
        parts[part].append(group)
        sizes[part] += len(group)
    if not sizes[0] or not sizes[2]:
        raise ValueError(
            f"split {name!r}: {len(index):,} molecules of {len(groups):,} scaffolds, the largest with {len(groups[0]) if groups else 0:,}, "
            f"leave {'train' if not sizes[0] else 'test'} empty: take another split"
        )
    first, second, third = (torch.from_numpy(index[np.concatenate([*part, np.zeros(0, dtype=np.int64)])]) for part in parts)
    return Split(name, first, second, third)


def scaffolds(smiles: Sequence[str], *, chirality: bool = False) -> np.ndarray:
    """A number for the Bemis-Murcko scaffold of each molecule, ``[n]`` int64: the same for the same scaffold.

    Raises:
        ValueError: a SMILES that cannot be read.

    Example:
        >>> scaffolds(["c1ccccc1C", "CCO", "c1ccccc1", "CC"]).tolist()
        [0, 1, 0, 1]
    """
    arrays = cached("scaffolds", smiles, f"scaffolds 1 {chirality}", lambda: {"scaffold": _scaffolds(smiles, chirality)})
    return arrays["scaffold"]


# ---------------------------------------------------------------------- helpers


def _groups(scaffold: np.ndarray) -> list[np.ndarray]:
    """Places of the molecules of each scaffold, ascending: the largest group first, then that whose first molecule comes last."""
    order = np.argsort(scaffold, kind="stable")
    cuts = np.flatnonzero(np.diff(scaffold[order])) + 1
    groups = np.split(order, cuts) if len(order) else []
    return sorted(groups, key=lambda group: (len(group), group[0]), reverse=True)


def _scaffolds(smiles: Sequence[str], chirality: bool) -> np.ndarray:
    numbers: dict[str, int] = {}
    found = []
    with quiet():
        from rdkit import Chem

        for row, text in enumerate(smiles):
            try:
                mol = parse(text, relax=True)
            except ValueError as error:
                raise ValueError(f"smiles: row {row} {text!r} cannot be read: {error}") from error
            core = Chem.MurckoDecompose(mol)
            core.ClearComputedProps()  # as rdkit's own MurckoScaffoldSmiles, but for strict=False
            core.UpdatePropertyCache(strict=False)
            Chem.GetSymmSSSR(core)
            found.append(numbers.setdefault(Chem.MolToSmiles(core, isomericSmiles=chirality), len(numbers)))
    return np.array(found, dtype=np.int64)
