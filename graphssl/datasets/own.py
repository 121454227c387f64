"""A user's own graph: a PyG object, a Graph, a pair (x, edge_index), or an .npz file of plain arrays."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from graphssl.adjacency import CSR
from graphssl.datasets.dataset import Dataset, as_labels
from graphssl.datasets.readers import csr
from graphssl.datasets.splits import Split, from_masks, labelled_rows, random_splits
from graphssl.graph import Graph

MASKS = ("train_mask", "val_mask", "test_mask")
CSR_KEYS = ("x_data", "x_indices", "x_indptr", "x_shape")
KEYS = ("x", *CSR_KEYS, "edge_index", "edge_weight", "edge_attr", "y", *MASKS, "splits")


def from_object(data: Any, *, name: str = "own", seed: int = 0) -> Dataset:
    """A Dataset from a ``Graph``, a PyG ``Data``, a PyG dataset of one graph, or a pair ``(x, edge_index)``.

    Labels are taken from ``y`` (-1 or NaN: unlabelled) and splits from ``train_mask``, ``val_mask`` and ``test_mask`` (``[N]`` or
    ``[N, K]``). Labels without masks get 20 random 10/10/80 splits; without labels there are none, which is enough to train and embed.

    Raises:
        ValueError: anything that :meth:`Graph.of` or :class:`Dataset` refuses, or an object of another kind.

    Example:
        >>> data = from_object((torch.eye(3), torch.tensor([[0, 1], [1, 2]])))
        >>> data.num_nodes, data.num_classes, data.splits
        (3, 0, ())
    """
    if isinstance(data, Dataset):
        return data
    if isinstance(data, (Graph, tuple)):
        return _assemble(name, Graph.of(data), None, {}, seed)
    if hasattr(data, "__len__") and hasattr(data, "__getitem__") and hasattr(data, "get_summary"):  # a PyG dataset
        if len(data) != 1:
            raise ValueError(
                f"a PyG dataset of {len(data)} graphs has no single reading: pass one graph of it, or make a Dataset with parts"
            )
        data = data[0]
    if isinstance(data, Mapping) or not hasattr(data, "edge_index"):
        raise ValueError(f"a dataset is a name, a path to an .npz file, a Graph, PyG Data or (x, edge_index), got {type(data).__name__}")
    masks = {key: value for key in MASKS if (value := getattr(data, key, None)) is not None}
    return _assemble(name, Graph.of(data), getattr(data, "y", None), masks, seed)


def from_npz(path: str | Path, *, seed: int = 0) -> Dataset:
    """A Dataset from an ``.npz`` file of plain arrays (``np.savez``); nothing in it is unpickled.

    Keys: ``x`` ``[N, F]``, or ``x_data``, ``x_indices``, ``x_indptr``, ``x_shape`` of a SciPy CSR matrix; ``edge_index`` ``[2, E]``; and
    where there are any ``edge_weight`` ``[E]``, ``edge_attr`` ``[E, B]``, ``y`` ``[N]`` (-1 or NaN: unlabelled) or ``[N, C]`` of 0 and 1,
    ``train_mask``, ``val_mask``, ``test_mask`` (``[N]``, ``[N, K]`` or ``[K, N]``), or ``splits`` ``[K, N]`` with 0 train, 1 validation,
    2 test, -1 none.

    Raises:
        ValueError: no such file, another format, unknown or missing keys, arrays whose lengths disagree.

    Example:
        >>> import tempfile
        >>> file = Path(tempfile.mkdtemp()) / "mine.npz"
        >>> np.savez(file, x=np.eye(20), edge_index=np.array([[0, 1], [1, 0]]), y=np.arange(20) % 2)
        >>> from_npz(file).summary()
        'mine: 20 nodes, 2 edges, 20 features, 2 classes, accuracy, transductive, random-10-10-80-0 and 19 more'
    """
    path = Path(path).expanduser()
    if not path.is_file():
        raise ValueError(f"there is no file {path}" if not path.is_dir() else f"{path} is a folder: give an .npz file")
    if path.suffix != ".npz":
        advice = ": a pickle can run any code; load it yourself and pass the object" if path.suffix in (".pt", ".pkl", ".pth") else ""
        raise ValueError(f"{path.name} is not an .npz file{advice}. An .npz file has the keys {', '.join(KEYS)}")
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {key: file[key] for key in file.files}
    except (OSError, EOFError, ValueError, zipfile.BadZipFile) as error:
        raise ValueError(f"{path} cannot be read as an .npz file of plain arrays: {error}") from error
    try:
        return _from_arrays(path.stem, arrays, seed)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


# ---------------------------------------------------------------------- helpers


def _from_arrays(name: str, arrays: dict[str, np.ndarray], seed: int) -> Dataset:
    for key in arrays:
        if key not in KEYS:
            near = get_close_matches(key, KEYS, n=1)
            raise ValueError(f"unknown key {key!r}{f', did you mean {near[0]!r}?' if near else ''}; known are {', '.join(KEYS)}")
    if "edge_index" not in arrays:
        raise ValueError(f"the key 'edge_index' is missing; it has {', '.join(arrays) or 'none'}")
    for key, array in arrays.items():
        if array.dtype.kind not in "biuf":
            raise ValueError(f"{key!r} must hold numbers, got {array.dtype}")
    x = _npz_features(arrays)
    tensors = {key: torch.from_numpy(array) for key, array in arrays.items() if key in ("edge_weight", "edge_attr", "y")}
    graph = Graph.of(_Bundle(x, torch.from_numpy(arrays["edge_index"]), tensors.get("edge_weight"), tensors.get("edge_attr")))  # type: ignore[arg-type]
    n = graph.num_nodes
    masks = {key: _turned(key, torch.from_numpy(arrays[key]), n) for key in MASKS if key in arrays}
    if "splits" in arrays:
        if masks:
            raise ValueError("give masks or 'splits', not both")
        part = _turned("splits", torch.from_numpy(arrays["splits"]), n, by_row=True)
        masks = {key: part == i for i, key in enumerate(MASKS)}
    return _assemble(name, graph, tensors.get("y"), masks, seed)


class _Bundle:
    """The attributes of PyG's ``Data`` that ``Graph.of`` reads."""

    def __init__(self, x: Tensor | CSR, edge_index: Tensor, edge_weight: Tensor | None, edge_attr: Tensor | None) -> None:
        self.x, self.edge_index, self.edge_weight, self.edge_attr = x, edge_index, edge_weight, edge_attr


def _npz_features(arrays: dict[str, np.ndarray]) -> Tensor | CSR:
    from graphssl.datasets.loading import features

    sparse = [key for key in CSR_KEYS if key in arrays]
    if "x" in arrays and not sparse:
        return torch.from_numpy(arrays["x"])
    if "x" in arrays or len(sparse) < len(CSR_KEYS):
        raise ValueError(f"features are 'x', or all of {', '.join(CSR_KEYS)}; it has {', '.join(arrays)}")
    data, indices, indptr, shape = (arrays[key] for key in CSR_KEYS)
    return features(csr(data, indices, indptr, shape))


def _turned(key: str, array: Tensor, n: int, *, by_row: bool = False) -> Tensor:
    """``[N]`` or ``[N, K]`` from either way round; ``by_row`` prefers ``[K, N]`` where both fit."""
    if array.dim() == 2:
        fits = [size == n for size in array.shape]
        if fits[1] and (by_row or not fits[0]):
            array = array.T
    if array.dim() not in (1, 2) or array.size(0) != n:
        raise ValueError(f"{key!r} must have one entry for each of the {n} nodes, got shape {tuple(array.shape)}")
    return array


def _assemble(name: str, graph: Graph, y: Any, masks: Mapping[str, Any], seed: int) -> Dataset:
    n = graph.num_nodes
    if y is None:
        if masks:
            raise ValueError(f"{', '.join(masks)} given, but there are no labels y")
        return Dataset(name, (graph,), torch.full((n,), -1), source="the user's own")
    labels = as_labels(y, n)
    metric = "micro_f1" if labels.dim() == 2 else "accuracy"
    return Dataset(name, (graph,), labels, _splits(labels, masks, seed), metric, "the user's own")


def _splits(y: Tensor, masks: Mapping[str, Any], seed: int) -> tuple[Split, ...]:
    rows = labelled_rows(y)
    if not masks:
        return random_splits(y, seed=seed) if rows.numel() >= 10 else ()
    tensors = {key: torch.as_tensor(mask) for key, mask in masks.items()}
    for key, mask in tensors.items():
        if mask.size(0) != y.size(0):
            raise ValueError(f"{key} must have one entry for each of the {y.size(0)} nodes, got shape {tuple(mask.shape)}")
    train, val, test = (tensors.get(key) for key in MASKS)
    if test is None and train is not None:  # all labelled rows that are in neither
        known = torch.zeros(y.size(0), dtype=torch.bool)
        known[rows] = True
        taken = train.bool() if val is None else train.bool() | val.bool()
        test = (known if taken.dim() == 1 else known[:, None]) & ~taken
    return from_masks(train, val, test, name="mask")
