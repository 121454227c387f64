"""A dataset: graphs, labels, splits and what is measured."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import accumulate
from typing import Any, Literal

import torch
from torch import Tensor

from graphssl.adjacency import CSR, full
from graphssl.datasets.splits import Split, labelled_rows
from graphssl.evaluation.score import ERRORS
from graphssl.graph import Graph

METRICS = ("accuracy", "micro_f1", "roc_auc", "average_precision", *ERRORS)
LEVELS = ("node", "graph")
Task = Literal["classification", "multilabel", "regression"]
PARTS = ("train", "val", "test")
CHUNK = 65_536  # rows whose features are rescaled at a time
PREPROCESSING = ("none", "row-normalize", "standardize", "row-normalize+standardize")


@dataclass(frozen=True, eq=False)
class Dataset:
    """Graphs whose nodes, in order, are the rows of ``y``; or one batch of many graphs, each of which is a row. Never changed once made.

    At node level, a transductive dataset is one graph whose nodes a split divides; an inductive one is several graphs, each of which is
    train, val or test as a whole (``parts``). At graph level, ``graphs`` holds one :class:`Graph` with all graphs side by side.

    Raises:
        ValueError: labels of the wrong length or kind, a split that points outside or at an unlabelled row, graphs whose features disagree.

    Example:
        >>> from graphssl.datasets import load
        >>> data = load("karate")
        >>> data.num_nodes, data.num_features, data.num_classes, data.split.name
        (34, 34, 4, 'one-per-class')
    """

    name: str
    graphs: tuple[Graph, ...]
    y: Tensor  # [R] int64, -1 is unlabelled; [R, C] float of 0, 1 and NaN (multi-label); or [R, T] float, NaN missing (regression)
    splits: tuple[Split, ...] = ()  # the dataset's own; none where there are no labels
    metric: str = "accuracy"  # one of METRICS; "rmse" and "mae" are for regression
    source: str = ""  # where it is from, with the licence where one is stated
    parts: tuple[str, ...] | None = None  # of an inductive set, for each graph: "train", "val" or "test"
    level: Literal["node", "graph"] = "node"  # what a row of y is
    ids: tuple[Any, ...] | None = None  # name of each row, of any hashable kind, where rows have names
    molecules: bool = False  # graphs are molecules as OGB featurises them, and ids their SMILES
    row_id: Tensor | None = None  # [R] int64 row in the user's file; None: row i is row i
    targets: tuple[str, ...] | None = None  # name of each column of y, where columns have names
    classes: tuple[str, ...] | None = None  # name of each class, where classes have names
    digest: str | None = None  # stands for the content of the graphs in the fingerprint, where they are too large to be gone through

    def __post_init__(self) -> None:
        if not self.graphs:
            raise ValueError(f"dataset {self.name!r} has no graph")
        widths = sorted({graph.num_features for graph in self.graphs})
        if len(widths) > 1:
            raise ValueError(f"dataset {self.name!r}: the graphs must share their features, got {widths} columns")
        if self.metric not in METRICS:
            raise ValueError(f"metric must be one of {', '.join(METRICS)}, got {self.metric!r}")
        if self.parts is not None and (len(self.parts) != len(self.graphs) or not set(self.parts) <= set(PARTS)):
            raise ValueError(f"parts must name train, val or test for each of the {len(self.graphs)} graphs, got {self.parts}")
        if self.level not in LEVELS or (self.level == "graph" and (len(self.graphs) > 1 or self.parts is not None)):
            raise ValueError(f"level must be node, or graph with one batch of graphs and no parts, got {self.level!r}")
        y = as_targets(self.y, self.num_rows) if self.metric in ERRORS else as_labels(self.y, self.num_rows)
        object.__setattr__(self, "y", y)
        for name, given in (("ids", self.ids), ("row_id", self.row_id)):
            if given is not None and len(given) != self.num_rows:
                raise ValueError(f"{name} must have one entry for each of the {self.num_rows} rows, got {len(given)}")
        if self.classes is not None and (self.task != "classification" or len(self.classes) < self.num_classes):
            raise ValueError(f"classes must name each class: {self.task} of {self.num_classes}, got {len(self.classes)} names")
        self._check_splits()

    # ------------------------------------------------------------------ sizes

    @property
    def graph(self) -> Graph:
        """The single graph.

        Raises:
            ValueError: there are several.
        """
        if len(self.graphs) > 1:
            raise ValueError(f"dataset {self.name!r} has {len(self.graphs)} graphs: use data.graphs, or graphs_of('train')")
        return self.graphs[0]

    @property
    def split(self) -> Split:
        """The first split.

        Raises:
            ValueError: the dataset has none.
        """
        if not self.splits:
            raise ValueError(f"dataset {self.name!r} has no split: too few of its {self.level}s are labelled")
        return self.splits[0]

    @property
    def num_graphs(self) -> int:
        return sum(graph.num_graphs for graph in self.graphs)

    @property
    def num_rows(self) -> int:
        """Rows of ``y`` and of an embedding: nodes or graphs."""
        return self.num_graphs if self.level == "graph" else self.num_nodes

    @property
    def task(self) -> Task:
        """What is predicted of a row."""
        return "regression" if self.metric in ERRORS else "multilabel" if self.y.dim() == 2 else "classification"

    @property
    def num_nodes(self) -> int:
        return sum(graph.num_nodes for graph in self.graphs)

    @property
    def num_edges(self) -> int:
        """Directed edges of all graphs."""
        return sum(graph.num_edges for graph in self.graphs)

    @property
    def num_features(self) -> int:
        return self.graphs[0].num_features

    @property
    def num_edge_features(self) -> int:
        """Columns of ``edge_attr``; zero where edges carry none."""
        attr = self.graphs[0].edge_attr
        return 0 if attr is None else 1 if attr.dim() == 1 else attr.size(1)

    @property
    def num_classes(self) -> int:
        """Classes, labels of a multi-label set, or targets of a regression; zero where nothing is labelled."""
        return self.y.size(1) if self.y.dim() == 2 else int(self.y.max()) + 1

    @property
    def is_multilabel(self) -> bool:
        return self.task == "multilabel"

    @property
    def is_inductive(self) -> bool:
        """Whole graphs are kept for validation and test."""
        return self.parts is not None

    @property
    def node_offsets(self) -> tuple[int, ...]:
        """Row of ``y`` at which each graph starts, and the number of rows last."""
        return tuple(accumulate((graph.num_nodes for graph in self.graphs), initial=0))

    def graphs_of(self, part: str) -> tuple[Graph, ...]:
        """The graphs of ``"train"``, ``"val"`` or ``"test"``; all of them in a transductive set, where each part lies in the same graph."""
        if part not in PARTS:
            raise ValueError(f"part must be one of {', '.join(PARTS)}, got {part!r}")
        if self.parts is None:
            return self.graphs
        return tuple(graph for graph, own in zip(self.graphs, self.parts, strict=True) if own == part)

    @property
    def train_graphs(self) -> tuple[Graph, ...]:
        """What an encoder may train on: see :meth:`graphs_of`."""
        return self.graphs_of("train")

    def summary(self) -> str:
        """One line about it."""
        kind = f"{self.num_graphs:,} graphs, " if self.level == "graph" or len(self.graphs) > 1 else ""
        what = {"multilabel": "labels", "classification": "classes", "regression": "target" + "s" * (self.num_classes != 1)}[self.task]
        split = f"{self.splits[0].name}{f' and {len(self.splits) - 1} more' if len(self.splits) > 1 else ''}" if self.splits else "no split"
        setting = "graph level" if self.level == "graph" else "inductive" if self.is_inductive else "transductive"
        return (
            f"{self.name}: {kind}{self.num_nodes:,} nodes, {self.num_edges:,} edges, {self.num_features:,} features, "
            f"{self.num_classes} {what}, {self.metric}, {setting}, {split}"
        )

    def __repr__(self) -> str:
        return f"Dataset({self.summary()})"

    @cached_property
    def fingerprint(self) -> str:
        """16 hex digits over the content: features, edges, labels, splits and parts; not the name."""
        state = hashlib.sha256((self.digest or "").encode())
        for graph in () if self.digest else self.graphs:
            x = graph.x
            tensors = (x.pattern.ptr, x.pattern.col, x.values()) if isinstance(x, CSR) else (x,)
            for tensor in (*tensors, graph.edge_index, graph.edge_weight, graph.edge_attr):
                _feed(state, tensor)
            if graph.graph_id is not None:
                _feed(state, graph.graph_id)
        _feed(state, self.y)
        state.update(" ".join([*(split.hash for split in self.splits), *(self.parts or ())]).encode())
        return state.hexdigest()[:16]

    # ------------------------------------------------------------------ changed copies

    def with_splits(self, *splits: Split) -> Dataset:
        """The same dataset under other splits."""
        return replace(self, splits=tuple(splits))

    def preprocess(self, how: str, *, rows: Tensor | None = None) -> Dataset:
        """The same dataset with features rescaled.

        ``row-normalize`` divides each row by its sum; rows that sum to zero stay. Where some feature is negative, the smallest value of
        the train graphs is subtracted from all first. ``standardize`` takes the mean off each column and divides by the biased standard
        deviation (of the train graphs' nodes in an inductive set); a column that is constant there is only centred.
        ``row-normalize+standardize`` does one after the other, as BGRL does on WikiCS.

        Args:
            how: ``none``, ``row-normalize``, ``standardize`` or ``row-normalize+standardize``.
            rows: at graph level, the graphs ``[n]`` from which smallest value, mean and deviation are taken; all by default.

        Raises:
            ValueError: another word.

        Example:
            >>> from graphssl.datasets import load
            >>> load("digits").preprocess("row-normalize").graph.x[0].sum()
            tensor(1.0000)

        Deviation:
            PyG's ``NormalizeFeatures`` leaves rows with a sum below one as they are; here they too sum to one.
        """
        if how not in PREPROCESSING:
            raise ValueError(f"preprocessing must be one of {', '.join(PREPROCESSING)}, got {how!r}")
        data = self
        for step in how.split("+"):
            change = {"none": None, "row-normalize": _row_normalizer, "standardize": _standardizer}[step]
            if change is not None:
                apply = change(data.train_graphs if rows is None else (data.graph.keep_graphs(rows),))
                digest = self.digest and hashlib.sha256(f"{data.digest} {step} {_digits(rows)}".encode()).hexdigest()
                data = replace(data, graphs=tuple(graph.with_x(apply(graph.x)) for graph in data.graphs), digest=digest)
        return data

    def _check_splits(self) -> None:
        labelled = torch.zeros(self.num_rows, dtype=torch.bool)
        labelled[labelled_rows(self.y, signed=self.task == "regression")] = True
        for split in self.splits:
            rows = torch.cat([split.train, split.val, split.test])
            if int(rows.max()) >= self.num_rows:
                raise ValueError(
                    f"split {split.name!r} holds row {int(rows.max())}, but dataset {self.name!r} has rows 0 to {self.num_rows - 1}"
                )
            if not labelled[rows].all():
                raise ValueError(f"split {split.name!r} holds row {int(rows[~labelled[rows]][0])}, which has no label")


def as_targets(y: Tensor, num_rows: int) -> Tensor:
    """Targets of a regression, ``[R, T]`` float with NaN where one is missing.

    Raises:
        ValueError: the wrong length, or an infinite target.

    Example:
        >>> as_targets(torch.tensor([0.5, float("nan")]), 2)
        tensor([[0.5000],
                [   nan]])
    """
    y = torch.as_tensor(y).cpu()
    y = y[:, None] if y.dim() == 1 else y
    if y.dim() != 2 or y.size(0) != num_rows or y.size(1) == 0 or y.is_complex():
        raise ValueError(f"y must have one row for each of the {num_rows} rows, [R] or [R, T], got shape {tuple(y.shape)}")
    y = y if y.is_floating_point() else y.float()
    if y.isinf().any():
        raise ValueError("y holds an infinite target; all must be finite, or NaN where one is missing")
    return y


def as_labels(y: Tensor, num_nodes: int) -> Tensor:
    """Labels as the library holds them: ``[N]`` int64 with -1 for unlabelled, or ``[N, C]`` float of 0, 1 and NaN.

    Raises:
        ValueError: the wrong length, labels that are not whole numbers, negative labels other than -1, several labels that are not 0 or 1.

    Example:
        >>> as_labels(torch.tensor([0.0, float("nan"), 2.0]), 3)
        tensor([ 0, -1,  2])
    """
    y = torch.as_tensor(y).cpu()
    if y.dim() == 2 and y.size(1) == 1:
        y = y.squeeze(1)
    if y.dim() not in (1, 2) or y.size(0) != num_nodes:
        raise ValueError(f"y must have one row for each of the {num_nodes} nodes, got shape {tuple(y.shape)}")
    if y.is_complex() or (y.dim() == 2 and y.size(1) == 0):
        raise ValueError(f"y must hold classes [N] or labels [N, C], got {y.dtype} of shape {tuple(y.shape)}")
    if y.dim() == 2:
        y = y.float()
        if not ((y == 0) | (y == 1) | y.isnan()).all():
            raise ValueError("y of shape [N, C] is multi-label and must hold 0, 1 or NaN (unknown) only")
        return y
    if y.is_floating_point():
        whole = y.nan_to_num(nan=-1.0)
        if not torch.equal(whole, whole.floor()) or whole.isinf().any():
            raise ValueError("y must hold classes as whole numbers (NaN or -1 for unlabelled)")
        y = whole
    y = y.long()
    if y.numel() and int(y.min()) < -1:
        raise ValueError(f"y holds class {int(y.min())}: classes are numbered from 0, -1 means unlabelled")
    return y


def _row_normalizer(seen: Sequence[Graph]) -> Callable[[Tensor | CSR], Tensor | CSR]:
    smallest = min(min((float(chunk.min()) for chunk in _chunks(_values(graph))), default=0.0) for graph in seen)

    def apply(x: Tensor | CSR) -> Tensor | CSR:
        if smallest < 0:
            return _by_chunks(x, lambda chunk: _to_sum_one(chunk - smallest))
        if isinstance(x, CSR):
            values = full(x.values())
            total = values.new_zeros(x.size(0)).scatter_add(0, x.pattern.row, values)
            return x.with_values(values / total.where(total > 0, 1)[x.pattern.row])
        return _by_chunks(x, _to_sum_one)

    return apply


def _to_sum_one(x: Tensor) -> Tensor:
    total = x.sum(1, keepdim=True)
    return x / total.where(total > 0, 1)


def _standardizer(seen: Sequence[Graph]) -> Callable[[Tensor | CSR], Tensor | CSR]:
    rows = sum(graph.num_nodes for graph in seen)
    chunks = [chunk for graph in seen for chunk in torch.split(graph.dense_x(), 4096)]  # float64 a chunk at a time
    mean = torch.stack([chunk.double().sum(0) for chunk in chunks]).sum(0) / rows  # [F]
    variance = torch.stack([(chunk.double() - mean).square().sum(0) for chunk in chunks]).sum(0) / rows
    low = torch.stack([chunk.amin(0) for chunk in chunks]).amin(0)
    high = torch.stack([chunk.amax(0) for chunk in chunks]).amax(0)
    scale = variance.sqrt().where(low < high, 1)  # rounding must not blow a constant column up
    return lambda x: _by_chunks(x, lambda chunk: (chunk - mean.to(chunk.dtype)) / scale.to(chunk.dtype))


def _chunks(x: Tensor) -> Sequence[Tensor]:
    """Rows of ``x``, some at a time; none where there are none."""
    return torch.split(x, CHUNK) if x.numel() else ()


def _by_chunks(x: Tensor | CSR, change: Callable[[Tensor], Tensor]) -> Tensor:
    """``change`` of all rows, at least in float32, with nothing else of the size of ``x`` in memory."""
    dense = x.to_dense() if isinstance(x, CSR) else x
    chunks = torch.split(dense, CHUNK)
    out = full(dense[:0]).new_empty(dense.shape)
    for own, chunk in zip(torch.split(out, CHUNK), chunks, strict=True):
        own.copy_(change(full(chunk)))
    return out


def _digits(rows: Tensor | None) -> str:
    state = hashlib.sha256()
    _feed(state, rows)
    return state.hexdigest()


def _values(graph: Graph) -> Tensor:
    return graph.x.values() if isinstance(graph.x, CSR) else graph.x


def _feed(state: hashlib._Hash, tensor: Tensor | None) -> None:
    state.update(b"none" if tensor is None else f"{tensor.dtype}{tuple(tensor.shape)}".encode())
    if tensor is not None:
        state.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
