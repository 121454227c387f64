"""Datasets by name, from files or from objects: ``load(name)``.

The names below are imported when they are first used, so that the table of datasets is at hand without torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from graphssl.lazy import lazy

if TYPE_CHECKING:
    from graphssl.datasets.collection import from_graphs
    from graphssl.datasets.dataset import Dataset
    from graphssl.datasets.door import as_dataset
    from graphssl.datasets.embedded import contextual_sbm, degree_features, digits, karate
    from graphssl.datasets.files import DatasetNotFound
    from graphssl.datasets.folder import from_folder
    from graphssl.datasets.loading import load
    from graphssl.datasets.molecules import NeedsRdkit, smiles_graphs
    from graphssl.datasets.own import from_npz, from_object
    from graphssl.datasets.scaffold import scaffold_split
    from graphssl.datasets.splits import Split, few_labels_split, from_masks, random_splits, split_hash
    from graphssl.datasets.synthetic import motifs
    from graphssl.datasets.table import DATASETS, Entry
    from graphssl.datasets.tables import from_table

__all__ = [
    "DATASETS",
    "Dataset",
    "DatasetNotFound",
    "Entry",
    "NeedsRdkit",
    "Split",
    "as_dataset",
    "contextual_sbm",
    "degree_features",
    "digits",
    "few_labels_split",
    "from_folder",
    "from_graphs",
    "from_masks",
    "from_npz",
    "from_object",
    "from_table",
    "karate",
    "load",
    "motifs",
    "random_splits",
    "scaffold_split",
    "smiles_graphs",
    "split_hash",
]

__getattr__ = lazy(
    __name__,
    {
        "collection": ("from_graphs",),
        "dataset": ("Dataset",),
        "door": ("as_dataset",),
        "embedded": ("contextual_sbm", "degree_features", "digits", "karate"),
        "files": ("DatasetNotFound",),
        "folder": ("from_folder",),
        "loading": ("load",),
        "molecules": ("NeedsRdkit", "smiles_graphs"),
        "own": ("from_npz", "from_object"),
        "scaffold": ("scaffold_split",),
        "splits": ("Split", "few_labels_split", "from_masks", "random_splits", "split_hash"),
        "synthetic": ("motifs",),
        "table": ("DATASETS", "Entry"),
        "tables": ("from_table",),
    },
)
