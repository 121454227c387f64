"""From a name, a path or an object to a Dataset."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp
import torch
from torch import Tensor

from graphssl.adjacency import CSR, Pattern
from graphssl.datasets.dataset import PARTS, Dataset
from graphssl.datasets.embedded import EMBEDDED, degree_features
from graphssl.datasets.files import raw_folder, read
from graphssl.datasets.own import from_npz, from_object
from graphssl.datasets.readers import DENSE_FROM, Raw
from graphssl.datasets.splits import Split, from_masks, random_splits
from graphssl.datasets.table import DATASETS, Entry, canonical
from graphssl.graph import Graph


def load(data: str | Path | Any, root: str | Path | None = None, *, seed: int = 0) -> Dataset:
    """A dataset by name, from a user's ``.npz`` file, or from an object.

    A dataset with raw files is read from ``<root>/<folder>/raw``, where PyG's classes keep them; missing files are downloaded. What is read
    is cached as plain arrays in the user's cache folder (``GRAPHSSL_CACHE``), keyed by the content of the raw files: nothing is written
    beside them, and nothing is unpickled but arrays.

    Args:
        data: a name from ``graphssl.datasets.DATASETS`` (case, ``_`` and ``-`` do not matter), a path to an ``.npz`` file
            (:func:`~graphssl.datasets.from_npz` says which keys), or a ``Graph``, PyG ``Data`` or pair ``(x, edge_index)``.
        root: folder of the raw files; without it ``GRAPHSSL_DATA``, then the cache's ``data`` folder.
        seed: of the random splits of a dataset that comes without fixed ones, and of the synthetic graph ``sbm``.

    Raises:
        ValueError: an unknown name (with the nearest ones), damaged files, a graph that is not one; ``DatasetNotFound``, one of these,
            where raw files are missing and cannot be had.

    Example:
        >>> load("digits").num_nodes
        1797
        >>> load("citeser")
        Traceback (most recent call last):
        ...
        ValueError: unknown dataset 'citeser': did you mean citeseer ...
    """
    if isinstance(data, Path) or (isinstance(data, str) and _is_path(data)):
        return from_npz(data, seed=seed)
    if not isinstance(data, str):
        return from_object(data, seed=seed)
    entry = DATASETS[canonical(data)]
    if entry.family == "embedded":
        return EMBEDDED[entry.name](seed)
    if entry.family == "parts":
        members = [(DATASETS[name], part) for name, part in entry.parts]
        folders = [raw_folder(member, root) for member, _ in members]  # all of them are there before the first is read
        raws = [replace(read(member, folder)[0], part=part) for (member, part), folder in zip(members, folders, strict=True)]
    else:
        raws = read(entry, raw_folder(entry, root))
    return _assemble(entry, raws, seed)


def features(x: np.ndarray | sp.csr_matrix) -> Tensor | CSR:
    """Features as a tensor, or as sparse rows by the rule of ``Graph.of`` without a dense matrix in between."""
    if isinstance(x, np.ndarray):
        return torch.from_numpy(x)
    x.sum_duplicates()
    rows, cols = x.shape
    if rows * cols <= 100_000 or x.count_nonzero() >= DENSE_FROM * rows * cols:
        return torch.from_numpy(x.toarray())
    pattern = Pattern(torch.from_numpy(x.indptr), torch.from_numpy(x.indices), cols)
    return CSR(pattern, torch.from_numpy(x.data))


# ---------------------------------------------------------------------- helpers


def _is_path(text: str) -> bool:
    return Path(text).suffix in (".npz", ".pt", ".pth", ".pkl") or "/" in text or os.sep in text


def _assemble(entry: Entry, raws: list[Raw], seed: int) -> Dataset:
    graphs = tuple(_graph(raw) for raw in raws)
    y = torch.from_numpy(np.concatenate([raw.y for raw in raws]))
    if raws[0].part:
        parts = tuple(raw.part for raw in raws)
        owner = torch.arange(len(raws)).repeat_interleave(torch.tensor([graph.num_nodes for graph in graphs]))
        code = torch.tensor([PARTS.index(part) for part in parts])[owner]
        train, val, test = ((code == i).nonzero().squeeze(1) for i in range(len(PARTS)))
        split = Split("graphs", train, val, test)
        return Dataset(entry.name, graphs, y, (split,), entry.metric, entry.source, parts)
    masks = raws[0].masks
    if masks:
        name = "public" if entry.family == "planetoid" else entry.name
        splits = from_masks(*(torch.from_numpy(masks[part]) for part in PARTS), name=name)
    else:
        splits = random_splits(y, seed=seed)
    return Dataset(entry.name, graphs, y, splits, entry.metric, entry.source)


def _graph(raw: Raw) -> Graph:
    edge_index = torch.from_numpy(raw.edge_index)
    x = degree_features(edge_index, len(raw.y)) if raw.x is None else features(raw.x)
    return Graph.of((x, edge_index))
