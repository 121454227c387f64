"""What ogb's PyG classes left of a set of one graph: their saved file, of which tensors and plain values are taken and no code is run."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from graphssl.datasets import ogb_raw as raw
from graphssl.datasets.ogb_layouts import SAVED, classes, edge_means, inside, split_folder

CLASSES = (
    "torch_geometric.data.data.Data",
    "torch_geometric.data.data.DataEdgeAttr",
    "torch_geometric.data.data.DataTensorAttr",
    "torch_geometric.data.storage.GlobalStorage",
)


class _Plain:
    """Stands for each class that PyG saves a graph with: it takes the attributes and does nothing else."""


class Saved:
    """``processed/geometric_data_processed.pt``, mapped: arrays are read a piece at a time, as those of the raw folder are.

    Anything in the file but tensors, plain values and PyG's four classes of a graph is refused, and those classes are not made but
    replaced by one without code.
    """

    def __init__(self, folder: Path, relation: str | None = None) -> None:
        self.folder = folder
        self.edge_file = self.feature_file = self.label_file = folder / SAVED
        values = _read(self.edge_file)
        with raw.named(self.edge_file):
            self.kind, values = _one_kind(values, relation)
            found = split_folder(folder)
            self.split_name, self.split = found.name, found if self.kind is None else found / self.kind
            self.edge_index, self.y = _array(values, "edge_index"), _array(values, "y")
            self.by_edge = values.get("x") is None
            name = "edge_attr" if self.by_edge else "x"
            self._features = _array(values, name)
            self.num_nodes = int(values.get("num_nodes") or len(self.y))
            if self.edge_index.ndim != 2 or len(self.edge_index) != 2:
                raise ValueError(f"edge_index must be [2, E], got the shape {self.edge_index.shape}")
            for what, array, kinds in (("edge_index", self.edge_index, "iu"), (name, self._features, "fiub")):
                if array.dtype.kind not in kinds:
                    raise ValueError(f"{what} must hold {'whole' if kinds == 'iu' else 'real'} numbers, got {array.dtype}")
            own = self.num_edges if self.by_edge else self.num_nodes
            for what, value, rows in (("y", self.y, self.num_nodes), (name, self._features, own)):
                if value.ndim != 2 or len(value) != rows:
                    raise ValueError(f"{what} must be a matrix of {rows:,} rows, got the shape {value.shape}")

    @property
    def num_edges(self) -> int:
        """As they are listed: ogb has both directions of those of ogbn-products and ogbn-proteins."""
        return int(self.edge_index.shape[1])

    @property
    def num_features(self) -> int:
        """Columns of ``x``, or of ``edge_attr``."""
        return int(self._features.shape[1])

    def edges(self) -> Iterator[np.ndarray]:
        """``[2, k]`` at a time."""
        for start in range(0, self.num_edges, raw.NUMBERS):
            yield inside(self.edge_index[:, start : start + raw.NUMBERS].astype(np.int64), self.num_nodes, self.edge_file)

    def features(self) -> Iterator[np.ndarray]:
        """``[k, F]`` at a time, of the nodes; where only edges have some, the mean over those of a node."""
        if self.by_edge:
            return iter([edge_means(self.edges(), self._pieces(), self.num_nodes, self.num_features)])
        return self._pieces()

    def labels(self) -> np.ndarray:
        """``[N]`` classes, or ``[N, C]`` where there are several columns."""
        return classes(self.y, self.label_file)

    def _pieces(self) -> Iterator[np.ndarray]:
        step = max(1, raw.NUMBERS // max(1, self.num_features))
        for start in range(0, len(self._features), step):
            yield np.asarray(self._features[start : start + step], dtype=np.float32)


def _read(path: Path) -> dict[str, Any]:
    """The attributes of the graph in the file."""
    import torch

    with raw.named(path):
        try:
            known: list[Any] = [(_Plain, name) for name in CLASSES]
            scalar = np.int64(0).__reduce__()[0]  # papers100M counts its nodes in one
            known += [(scalar, f"numpy.{core}.multiarray.scalar") for core in ("core", "_core")] + [np.dtype, type(np.dtype(np.int64))]
            with _only(known):
                found = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
        except Exception as error:
            lines = [line.strip() for line in str(error).splitlines() if line.strip()]
            why = next((line for line in lines if "Unsupported" in line), type(error).__name__)
            raise ValueError(
                f"is not the file of one graph as ogb's PyG classes save it, and nothing else is unpickled ({why}); put the set's raw "
                "folder beside it, or delete the folder to get it anew"
            ) from error
        data, slices = found if isinstance(found, tuple) and len(found) == 2 else (found, None)
        if slices is not None or not isinstance(data, _Plain):
            raise ValueError("holds several graphs, or none")
        store = vars(data).get("_store", data)  # where PyG 2 keeps the attributes
        values = vars(store).get("_mapping", vars(store)) if isinstance(store, _Plain) else None
        if not isinstance(values, dict):
            raise ValueError("holds no graph")
        return values


@contextmanager
def _only(known: list[Any]) -> Iterator[None]:
    """Inside, torch unpickles these and its own tensors; PyG allows its classes for all files when it is imported, under the same names."""
    from torch import serialization

    before = serialization.get_safe_globals()
    serialization.clear_safe_globals()
    try:
        serialization.add_safe_globals(known)
        yield
    finally:
        serialization.clear_safe_globals()
        serialization.add_safe_globals(before)


def _one_kind(values: dict[str, Any], relation: str | None) -> tuple[str | None, dict[str, Any]]:
    """Attributes of one kind of nodes and a relation among them, where there are several kinds."""
    joined = values.get("edge_index_dict")
    if not isinstance(joined, dict):
        if relation is not None:
            raise ValueError(f"relation is {relation!r}, and there is one kind of nodes and edges only")
        return None, values
    usable = {"__".join(key): key for key in joined if key[0] == key[-1] and key[0] in values["x_dict"]}
    if relation is None and len(usable) != 1:
        raise ValueError(f"relation must be named where there is not exactly one between nodes with features: {', '.join(usable)}")
    wanted = next(iter(usable)) if relation is None else relation.replace("___", "__")
    if wanted not in usable:
        raise ValueError(f"relation must join nodes of one kind with features: {', '.join(usable)}; got {relation!r}")
    kind = usable[wanted][0]
    own = {name: values.get(f"{name}_dict", {}).get(kind) for name in ("x", "y", "num_nodes")}
    return kind, {**own, "edge_index": joined[usable[wanted]]}


def _array(values: dict[str, Any], name: str) -> np.ndarray:
    """The tensor of that name, over the file's own memory."""
    import torch

    value = values.get(name)
    if not isinstance(value, torch.Tensor) or value.layout != torch.strided:
        raise ValueError(f"{name} must be a tensor, got {type(value).__name__ if not isinstance(value, torch.Tensor) else value.layout}")
    return value.detach().numpy()
