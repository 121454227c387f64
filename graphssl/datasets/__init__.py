"""Datasets by name, from files or from objects: ``load(name)``.

The names below are imported when they are first used, so that the table of datasets is at hand without torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from graphssl.lazy import lazy

if TYPE_CHECKING:
    from graphssl.datasets.dataset import Dataset
    from graphssl.datasets.embedded import contextual_sbm, degree_features, digits, karate
    from graphssl.datasets.files import DatasetNotFound
    from graphssl.datasets.loading import load
    from graphssl.datasets.own import from_npz, from_object
    from graphssl.datasets.splits import Split, few_labels_split, from_masks, random_splits, split_hash
    from graphssl.datasets.table import DATASETS, Entry

__all__ = [
    "DATASETS",
    "Dataset",
    "DatasetNotFound",
    "Entry",
    "Split",
    "contextual_sbm",
    "degree_features",
    "digits",
    "few_labels_split",
    "from_masks",
    "from_npz",
    "from_object",
    "karate",
    "load",
    "random_splits",
    "split_hash",
]

__getattr__ = lazy(
    __name__,
    {
        "dataset": ("Dataset",),
        "embedded": ("contextual_sbm", "degree_features", "digits", "karate"),
        "files": ("DatasetNotFound",),
        "loading": ("load",),
        "own": ("from_npz", "from_object"),
        "splits": ("Split", "few_labels_split", "from_masks", "random_splits", "split_hash"),
        "table": ("DATASETS", "Entry"),
    },
)
