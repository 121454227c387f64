"""Morgan fingerprints: the baseline that a learned embedding of molecules has to beat."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import numpy as np
import torch

from graphssl.adjacency import CSR, Pattern
from graphssl.datasets.molecules import Refused, cached, listed, parse, quiet

logger = logging.getLogger(__name__)


def morgan_fingerprints(smiles: Sequence[str], radius: int = 2, bits: int = 2048) -> CSR:
    """Morgan (ECFP-like) fingerprints (Rogers and Hahn, 2010, doi:10.1021/ci100050t): which neighbourhoods of atoms a molecule has.

    Each neighbourhood of up to ``radius`` bonds around an atom is hashed to one of ``bits`` columns, which is 1 where there is one.
    Radius 2 is known as ECFP4. Molecules that only break rdkit's rules of valence are read without them. A molecule that cannot be read
    at all has a row of zeros, and a warning says which: so rows stay those of the dataset whose ``ids`` are given.

    Args:
        smiles: of each molecule.
        radius: bonds around an atom.
        bits: columns.

    Returns:
        Sparse rows ``[G, bits]`` of zeros and ones.

    Raises:
        ValueError: ``radius`` or ``bits`` out of range, or none of the SMILES can be read; ``NeedsRdkit`` where rdkit is missing.

    Example:
        >>> morgan_fingerprints(["CCO", "CCCO", "OCC"]).to_dense().sum(1)
        tensor([6., 8., 6.])
    """
    if radius < 0 or bits < 1:
        raise ValueError(f"radius must be 0 or more and bits 1 or more, got {radius} and {bits}")
    arrays = cached("fingerprints", smiles, f"fingerprints 1 {radius} {bits}", lambda: _fingerprints(smiles, radius, bits))
    refused = [Refused(int(row), smiles[row], "no molecule") for row in arrays["refused"]]
    if smiles and len(refused) == len(smiles):
        raise ValueError(f"smiles: none of the {len(smiles):,} can be read: {listed(refused)}")
    if refused:
        logger.warning("%s of %s molecules have no fingerprint: %s", f"{len(refused):,}", f"{len(smiles):,}", listed(refused))
    ptr, col = torch.from_numpy(arrays["ptr"]), torch.from_numpy(arrays["col"])
    return CSR(Pattern(ptr, col, bits), torch.ones(col.numel()))


def _fingerprints(smiles: Sequence[str], radius: int, bits: int) -> dict[str, np.ndarray]:
    found: list[np.ndarray] = []
    refused = []
    with quiet():
        from rdkit.Chem import rdFingerprintGenerator

        generator = rdFingerprintGenerator.GetMorganGenerator(radius=radius, fpSize=bits)
        for row, text in enumerate(smiles):
            try:
                found.append(np.array(generator.GetFingerprint(parse(text, relax=True)).GetOnBits(), dtype=np.int32))
            except ValueError:
                refused.append(row)
                found.append(np.zeros(0, dtype=np.int32))
    ptr = np.cumsum([0, *(len(on) for on in found)])
    return {"ptr": ptr, "col": np.concatenate([np.zeros(0, dtype=np.int32), *found]), "refused": np.array(refused, dtype=np.int64)}
