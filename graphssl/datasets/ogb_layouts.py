"""The layouts of OGB's folders of one graph: text, text by kinds of nodes, binary, and what ogb saved of them."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Protocol

import numpy as np

from graphssl.datasets import ogb_raw as raw
from graphssl.datasets.table import DATASETS

MARKS = ("edge.csv.gz", "data.npz", "num-node-dict.csv.gz")  # one of them is in the raw folder

SAVED = Path("processed") / "geometric_data_processed.pt"  # by ogb's PyG class


class Layout(Protocol):
    """What a raw folder says, whatever its layout."""

    folder: Path  # that holds raw and split
    edge_file: Path
    feature_file: Path
    split: Path  # folder with train, valid and test
    split_name: str

    @property
    def num_nodes(self) -> int:
        """As a file says."""
        ...

    @property
    def num_edges(self) -> int:
        """As a file says: how many are listed."""
        ...

    @property
    def num_features(self) -> int:
        """Columns of features."""
        ...

    def edges(self) -> Iterator[np.ndarray]:
        """``[2, k]`` at a time."""
        ...

    def features(self) -> Iterator[np.ndarray]:
        """``[k, F]`` at a time."""
        ...

    def labels(self) -> np.ndarray:
        """``[N]`` int64 or ``[N, C]`` float32."""
        ...


def set_above(path: Path) -> Path | None:
    """The folder of a set of one large graph in OGB's layout, where ``path`` is it or its ``raw`` or ``processed``."""
    for folder in (path, path.parent) if path.name in ("raw", "processed") else (path,):
        if has_raw(folder) or ((folder / SAVED).is_file() and (folder / "split").is_dir() and not any((folder / "raw").glob("*"))):
            return folder
    return None


def has_raw(folder: Path) -> bool:
    """Whether the raw files of one large graph are there."""
    return any((folder / "raw" / mark).is_file() for mark in MARKS) and not (folder / "raw" / "graph-label.csv.gz").is_file()


def name_of(folder: Path) -> str:
    """The set that a folder is called after, or the folder's own name."""
    short = folder.name.removesuffix("_pyg").removesuffix("_dgl").replace("_", "-")
    sets = (entry.name for entry in DATASETS.values() if entry.family == "ogbn")
    return next((name for name in sets if name.lower() == short.lower()), folder.name)


def layout_of(folder: Path, relation: str | None = None) -> Layout:
    """The layout of what stands in ``folder/raw``, or else in ``folder/processed``.

    Raises:
        ValueError: a relation of a graph that has none, or that it has not.
    """
    if not has_raw(folder):
        from graphssl.datasets.ogb_processed import Saved  # which is made of what stands here

        return Saved(folder, relation)
    if (folder / "raw" / "num-node-dict.csv.gz").is_file():
        return Kinds(folder, relation)
    if relation is not None:
        raise ValueError(f"relation is {relation!r}, and {folder} holds one kind of nodes and edges only")
    return Binary(folder) if (folder / "raw" / "data.npz").is_file() else Text(folder)


class Text:
    """``edge.csv.gz``, ``node-feat.csv.gz``, ``node-label.csv.gz``, ``num-node-list.csv.gz``, ``num-edge-list.csv.gz``."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.split = split_folder(folder)
        self.split_name = self.split.name
        here = folder / "raw"
        self.edge_file, self.label_file = here / "edge.csv.gz", here / "node-label.csv.gz"
        self.node_file, self.count_file = here / "num-node-list.csv.gz", here / "num-edge-list.csv.gz"
        own, of_edges = here / "node-feat.csv.gz", here / "edge-feat.csv.gz"
        self.by_edge = not own.is_file() and of_edges.is_file()
        self.feature_file = of_edges if self.by_edge else own

    @cached_property
    def num_nodes(self) -> int:
        """As ``num-node-list.csv.gz`` says."""
        return raw.count(self.node_file)

    @cached_property
    def num_edges(self) -> int:
        """As ``num-edge-list.csv.gz`` says."""
        return raw.count(self.count_file)

    @cached_property
    def num_features(self) -> int:
        """Columns of the table of features."""
        return raw.width(self.feature_file)

    def edges(self) -> Iterator[np.ndarray]:
        """``[2, k]`` at a time."""
        for edges in raw.pieces(self.edge_file, "int64", rows=self.num_edges, columns=2):
            yield inside(edges.T, self.num_nodes, self.edge_file)

    def features(self) -> Iterator[np.ndarray]:
        """Of the nodes; where only edges have some, the mean over those of a node, 0 where it has none."""
        if not self.by_edge:
            return raw.pieces(self.feature_file, "float32", rows=self.num_nodes, columns=self.num_features)
        return iter([self._means()])

    def labels(self) -> np.ndarray:
        """``[N]`` classes, or ``[N, C]`` where there are several columns."""
        return classes(raw.whole(self.label_file, "float64", rows=self.num_nodes, gaps=True), self.label_file)

    def _means(self) -> np.ndarray:
        told = raw.pieces(self.feature_file, "float32", rows=self.num_edges)
        return edge_means(self.edges(), told, self.num_nodes, self.num_features)


class Kinds(Text):
    """By kinds of nodes, of which one relation between nodes of one kind with features is taken."""

    def __init__(self, folder: Path, relation: str | None = None) -> None:
        here = folder / "raw"
        self.folder, self.by_edge = folder, False
        self.node_file = here / "num-node-dict.csv.gz"
        listed = here / "triplet-type-list.csv.gz"
        with raw.named(listed), gzip.open(listed, "rt") as file:
            triplets = [tuple(line.strip().split(",")) for line in file if line.strip()]
        usable = {"__".join(t): t for t in triplets if len(t) == 3 and t[0] == t[2] and self._features(t[0]).is_file()}
        if relation is None and len(usable) != 1:
            raise ValueError(f"relation must be named where there is not exactly one between nodes with features: {', '.join(usable)}")
        wanted = next(iter(usable)) if relation is None else relation.replace("___", "__")
        if wanted not in usable:
            raise ValueError(f"relation must join nodes of one kind with features: {', '.join(usable)}; got {relation!r}")
        self.kind = usable[wanted][0]
        self.edge_file = here / "relations" / "___".join(usable[wanted]) / "edge.csv.gz"
        self.count_file = self.edge_file.with_name("num-edge-list.csv.gz")
        self.feature_file = self._features(self.kind)
        self.label_file = here / "node-label" / self.kind / "node-label.csv.gz"
        self.split_name = split_folder(folder).name
        self.split = split_folder(folder) / self.kind

    @cached_property
    def num_nodes(self) -> int:
        """Of the kind, as ``num-node-dict.csv.gz`` says."""
        counts = raw.header(self.node_file)
        with raw.named(self.node_file):
            return int(counts[self.kind])

    def _features(self, kind: str) -> Path:
        return self.folder / "raw" / "node-feat" / kind / "node-feat.csv.gz"


class Binary:
    """``data.npz`` with ``edge_index [2, E]`` and ``node_feat [N, F]``, and ``node-label.npz``, none of which is read whole but labels."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.split = split_folder(folder)
        self.split_name = self.split.name
        self.edge_file = self.feature_file = folder / "raw" / "data.npz"
        self.label_file = folder / "raw" / "node-label.npz"
        self.data = raw.Npz(self.edge_file)
        with raw.named(self.edge_file):
            for name, num_rows, axis in (("edge_index", self.num_edges, 1), ("node_feat", self.num_nodes, 0)):
                shape = self.data.shape(name)
                if len(shape) != 2 or shape[axis] != num_rows or (axis == 1 and shape[0] != 2):
                    raise ValueError(f"{name} must have {num_rows:,} {'columns' if axis else 'rows'}, got the shape {shape}")

    @cached_property
    def num_nodes(self) -> int:
        """As ``num_nodes_list`` says."""
        return self._one("num_nodes_list")

    @cached_property
    def num_edges(self) -> int:
        """As ``num_edges_list`` says."""
        return self._one("num_edges_list")

    @property
    def num_features(self) -> int:
        """Columns of ``node_feat``."""
        return self.data.shape("node_feat")[1]

    def edges(self) -> Iterator[np.ndarray]:
        """``[2, k]`` at a time."""
        for edges in self.data.edges():
            yield inside(edges, self.num_nodes, self.edge_file)

    def features(self) -> Iterator[np.ndarray]:
        """``[k, F]`` at a time."""
        return self.data.rows("node_feat")

    def labels(self) -> np.ndarray:
        """``[N]``, -1 for the papers that are not in arXiv."""
        labels = raw.Npz(self.label_file).array("node_label")
        with raw.named(self.label_file):
            if len(labels) != self.num_nodes:
                raise ValueError(f"{self.num_nodes:,} rows are needed, got {len(labels):,}")
        return classes(labels.reshape(self.num_nodes, -1), self.label_file)

    def _one(self, name: str) -> int:
        counts = self.data.array(name).reshape(-1)
        with raw.named(self.edge_file):
            if counts.size != 1:
                raise ValueError(f"{name} must be one number, got {counts.size}: the folder holds several graphs")
        return int(counts[0])


def split_folder(folder: Path) -> Path:
    """The only folder below ``split``.

    Raises:
        ValueError: there is none, or several.
    """
    found = sorted(path for path in (folder / "split").glob("*") if path.is_dir())
    if len(found) != 1:
        raise ValueError(f"{folder / 'split'} must hold one folder with train.csv.gz, valid.csv.gz and test.csv.gz, got {len(found)}")
    return found[0]


def inside(edges: np.ndarray, num_nodes: int, path: Path) -> np.ndarray:
    """``edges`` as they are.

    Raises:
        ValueError: one goes outside the graph.
    """
    if edges.size and (edges.min() < 0 or edges.max() >= num_nodes):
        raise ValueError(f"{path}: nodes {edges.min():,} to {edges.max():,} are joined, but there are 0 to {num_nodes - 1:,}")
    return edges


def classes(labels: np.ndarray, path: Path) -> np.ndarray:
    """A table ``[N, C]`` with NaN as labels: ``[N]`` int64 with -1 of one column, else {0, 1} in float32.

    Raises:
        ValueError: a class that is no integer, or a label of several that is neither 0 nor 1.
    """
    with raw.named(path):
        known = ~np.isnan(labels) if labels.dtype.kind == "f" else np.ones(labels.shape, dtype=bool)
        if labels.shape[1] > 1:
            if not np.isin(labels[known], (0, 1)).all():
                raise ValueError("labels in several columns must be 0 or 1")
            return labels.astype(np.float32)
        values = np.where(known, labels, -1)[:, 0].astype(np.int64)
        if (values[known[:, 0]] < 0).any() or (values[known[:, 0]] != labels[known]).any():
            raise ValueError("classes must be integers from 0")
        return values


def edge_means(edges: Iterator[np.ndarray], values: Iterator[np.ndarray], num_nodes: int, num_features: int) -> np.ndarray:
    """The mean of what edges carry over those of a node, at either end, ``[N, F]``; 0 where it has none."""
    total, degree = np.zeros((num_features, num_nodes)), np.zeros(num_nodes)
    for both, told in aligned(edges, values):
        for ends in both:
            degree += np.bincount(ends, minlength=num_nodes)
            for column, value in zip(total, told.T, strict=True):
                column += np.bincount(ends, weights=value, minlength=num_nodes)
    return (total / np.maximum(degree, 1)).T.astype(np.float32)


def aligned(edges: Iterator[np.ndarray], values: Iterator[np.ndarray]) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Pieces ``[2, k]`` and ``[k, B]`` of one length, from pieces of any."""
    left, right = np.empty((2, 0), dtype=np.int64), np.empty((0, 0), dtype=np.float32)
    while True:
        left = next(edges, left[:, :0]) if not left.shape[1] else left
        right = next(values, right[:0]) if not len(right) else right
        common = min(left.shape[1], len(right))
        if not common:
            return
        yield left[:, :common], right[:common]
        left, right = left[:, common:], right[common:]
