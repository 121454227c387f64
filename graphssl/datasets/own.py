"""A user's own data: an object that holds one graph or many, or an .npz file of plain arrays."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from graphssl.adjacency import CSR
from graphssl.datasets.dataset import Dataset, as_labels
from graphssl.datasets.readers import csr
from graphssl.datasets.splits import Split, from_masks, labelled_rows, random_splits
from graphssl.graph import Graph

if TYPE_CHECKING:
    from graphssl.datasets.nodes import Choices

MASKS = ("train_mask", "val_mask", "test_mask")
CSR_KEYS = ("x_data", "x_indices", "x_indptr", "x_shape")
KEYS = ("x", *CSR_KEYS, "edge_index", "edge_weight", "edge_attr", "y", *MASKS, "splits")


def from_object(data: Any, *, y: Any = None, x: Any = None, name: str = "own", seed: int = 0, choices: Choices | None = None) -> Dataset:
    """A Dataset from what a user has in memory: one graph whose nodes are the rows of ``y``, or many graphs that are.

    Node level: a ``Graph``, a PyG ``Data``, a PyG dataset of one graph, or a pair ``(x, edge_index)``. Labels are ``y``, or else the data's
    own (-1 or NaN: unlabelled), and splits are made from ``train_mask``, ``val_mask`` and ``test_mask`` (``[N]`` or ``[N, K]``). Labels
    without masks get 20 random splits, 10/10/80 or, where these would train on a single class, 40/20/40 in each class; without labels
    there are none, which is enough to train and embed.

    One graph of NetworkX, SciPy, pandas, DGL or PyG's HeteroData: :func:`graphssl.as_dataset` has the rules, and says what ``x`` and
    ``choices`` are.

    Graph level: a list or tuple of NetworkX graphs or PyG ``Data`` (also of a single one), a PyG dataset of several graphs, or a PyG
    ``Batch`` or ``Graph`` that holds several, unless it has a label for each node. :func:`~graphssl.datasets.from_graphs` has the rules.

    Raises:
        ValueError: anything that :meth:`Graph.of`, :class:`Dataset` or ``from_graphs`` refuses, or an object of another kind.

    Example:
        >>> pair = torch.eye(3), torch.tensor([[0, 1], [1, 2]])
        >>> data = from_object(pair)
        >>> data.num_nodes, data.num_classes, data.splits
        (3, 0, ())
        >>> from_object([Graph.of(pair)] * 2, y=[0, 1]).summary()
        'own: 2 graphs, 6 nodes, 4 edges, 3 features, 2 classes, accuracy, graph level, no split'
    """
    if isinstance(data, Dataset):
        if y is not None:
            raise ValueError("y is given for a Dataset, which has its labels already")
        return data
    from graphssl.datasets.networks import from_one, is_one

    if is_one(data):
        return from_one(data, y, x, name=name, seed=seed, choices=choices)
    given = [*(["x"] if x is not None else []), *(key for key, value in (choices or {}).items() if value is not None)]
    if given:
        raise ValueError(f"{', '.join(given)}: not for a {type(data).__name__}, which says all of it itself")
    if _holds_graphs(data, y):
        from graphssl.datasets.collection import from_graphs

        return from_graphs(data, y, name=name, seed=seed)
    if isinstance(data, (Graph, tuple)):
        return assemble(name, Graph.of(data), y, {}, seed)
    if hasattr(data, "get_summary"):  # a PyG dataset of one graph
        data = data[0]
    if isinstance(data, Mapping) or not hasattr(data, "edge_index"):
        raise ValueError(
            "a dataset is a name, a path to a file or folder, one graph (a Graph, PyG Data or HeteroData, NetworkX, a square SciPy matrix, "
            "pandas tables, DGL, a pair of x and edge_index or matrix), or a list of NetworkX or PyG graphs, "
            f"got {type(data).__name__}"
        )
    masks = {key: value for key in MASKS if (value := getattr(data, key, None)) is not None}
    return assemble(name, Graph.of(data), getattr(data, "y", None) if y is None else y, masks, seed)


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
        'mine: 20 nodes, 2 edges, 20 features, 2 classes, accuracy, transductive, random-40-20-40-0 and 19 more'
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


def assemble(name: str, graph: Graph, y: Any, masks: Mapping[str, Any], seed: int) -> Dataset:
    """The dataset of one graph, whose splits are those of ``masks``, or else drawn where at least ten nodes are labelled.

    Raises:
        ValueError: labels or masks that are not one row a node, masks without labels.
    """
    n = graph.num_nodes
    if y is None:
        if masks:
            raise ValueError(f"{', '.join(masks)} given, but there are no labels y")
        return Dataset(name, (graph,), torch.full((n,), -1), source="the user's own")
    labels = as_labels(torch.as_tensor(y), n)
    metric = "micro_f1" if labels.dim() == 2 else "accuracy"
    return Dataset(name, (graph,), labels, _splits(labels, masks, seed), metric, "the user's own")


# ---------------------------------------------------------------------- helpers


def _holds_graphs(data: Any, y: Any) -> bool:
    """Graphs are the rows, not nodes."""
    from graphssl.datasets.collection import kind_of

    if isinstance(data, tuple):
        return any(kind_of(item) for item in data)
    if isinstance(data, (list, Iterator)):
        return True
    if isinstance(data, torch.utils.data.Dataset):
        return len(data) != 1  # type: ignore[arg-type]
    graph_id = getattr(data, "graph_id" if isinstance(data, Graph) else "batch", None)
    if graph_id is None or data.num_graphs == 1:
        return False
    y = getattr(data, "y", None) if y is None else y
    return y is None or len(y) != data.num_nodes or data.num_nodes == data.num_graphs


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
    graph = Bundle(x, torch.from_numpy(arrays["edge_index"]), tensors.get("edge_weight"), tensors.get("edge_attr")).graph
    n = graph.num_nodes
    masks = {key: _turned(key, torch.from_numpy(arrays[key]), n) for key in MASKS if key in arrays}
    if "splits" in arrays:
        if masks:
            raise ValueError("give masks or 'splits', not both")
        part = _turned("splits", torch.from_numpy(arrays["splits"]), n, by_row=True)
        masks = {key: part == i for i, key in enumerate(MASKS)}
    return assemble(name, graph, tensors.get("y"), masks, seed)


@dataclass
class Bundle:
    """The attributes of PyG's ``Data`` and ``Batch`` that ``Graph.of`` reads."""

    x: Tensor | CSR
    edge_index: Tensor
    edge_weight: Tensor | None = None
    edge_attr: Tensor | None = None
    batch: Tensor | None = None
    num_graphs: int = 1

    @property
    def graph(self) -> Graph:
        return Graph.of(self)  # type: ignore[arg-type]


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


def _drawn(y: Tensor, seed: int) -> tuple[Split, ...]:
    """20 random 10/10/80 splits; of so few labels that some train part would have a single class, 40/20/40 in each class."""
    splits = random_splits(y, seed=seed)
    if y.dim() == 2 or all(len(y[split.train].unique()) > 1 for split in splits):  # type: ignore[no-untyped-call]
        return splits
    counts = y[y >= 0].bincount()
    if int((counts > 0).sum()) < 2 or int(counts.max()) < 3:
        return ()
    return random_splits(y, train=0.4, val=0.2, seed=seed, stratified=True)


def _splits(y: Tensor, masks: Mapping[str, Any], seed: int) -> tuple[Split, ...]:
    rows = labelled_rows(y)
    if not masks:
        return _drawn(y, seed) if rows.numel() >= 10 else ()
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
