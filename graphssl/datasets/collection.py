"""A user's own many graphs, each a row of the labels: a list of NetworkX or PyG graphs, or a PyG batch."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import scipy.sparse as sp
import torch
from torch import Tensor

from graphssl.batches import side_by_side
from graphssl.datasets.dataset import Dataset
from graphssl.datasets.labels import as_rows, class_names
from graphssl.datasets.own import Bundle
from graphssl.datasets.splits import labelled_rows, stratified_folds
from graphssl.datasets.tudataset import DEGREE_CAP, one_hot
from graphssl.evaluation.score import ERRORS
from graphssl.graph import Graph

CATEGORIES = 1000  # an attribute with more different words is taken for a name
FOLDS = 10


def from_graphs(
    graphs: Any,
    y: Any = None,
    *,
    metric: str | None = None,
    ids: Sequence[str] | None = None,
    targets: Sequence[str] | None = None,
    name: str = "own",
    seed: int = 0,
) -> Dataset:
    """A graph-level Dataset from NetworkX graphs, PyG ``Data`` or Graphs (all of one kind), with a row of ``y`` each.

    NetworkX: attributes of nodes become features, in the order of their names: numbers (or lists of numbers) as they are, words one-hot
    over all graphs. Attributes of edges become ``edge_attr`` likewise, but ``weight`` becomes the edge weight. Nodes may have any names.
    An edge of an undirected graph stands in both directions. PyG: ``x``, ``edge_index``, ``edge_weight`` and ``edge_attr``. Graphs
    without features get their nodes' degree, one-hot in columns 0 to 400 (or the largest there is).

    Labels are ``y``, or else those the graphs bring: ``data.y`` in PyG, ``graph.graph["y"]`` or ``graph.graph["label"]`` in NetworkX. Words
    are classes in alphabetical order, whose names are ``classes``; tensors of integers are classes, and so are other whole numbers from 0
    of at most 4 different values, or at most 20 where each stands five times on average; all other numbers are targets of a regression.
    Several columns are multi-label where they hold 0 and 1 only, and targets otherwise. Unknown are ``None``, NaN, and -1 among classes.
    The splits are ten stratified folds where ten graphs have a label.

    Args:
        graphs: at least one: a list, a PyG dataset, or a PyG ``Batch`` or :class:`Graph` that holds them side by side.
        y: ``[G]`` or ``[G, T]``; without it the graphs' own.
        metric: one of Dataset's; without it accuracy for classes, also for two (a table of molecules has ROC-AUC there), ROC-AUC for
            several labels and RMSE for targets. ``"rmse"`` and ``"mae"`` make targets of whole numbers, any other makes classes of them.
        ids: name of each graph.
        targets: name of each column of ``y``.
        name: of the dataset.
        seed: of the folds.

    Raises:
        ValueError: no graphs, items that are none, graphs that disagree about their attributes (with the number of the graph), labels that
            are not one row a graph.

    Example:
        >>> import networkx as nx
        >>> data = from_graphs([nx.cycle_graph(5), nx.star_graph("abc")], y=["ring", "star"])
        >>> data.num_graphs, data.num_nodes, data.y
        (2, 8, tensor([0, 1]))
    """
    if kind_of(graphs) == "tensors":
        batch, own = replace(Graph.of(graphs), y=None), getattr(graphs, "y", None)
    else:
        items = list(graphs)
        batch = (_from_networkx if _kind_of_all(items) == "networkx" else _from_tensors)(items)
        own = _labels_of(items) if y is None else None
    given = own if y is None else y
    labels, task = as_rows(given, batch.num_graphs, regression=None if metric is None else metric in ERRORS)
    metric = metric or {"classes": "accuracy", "labels": "roc_auc", "targets": "rmse"}[task]
    enough = labelled_rows(labels, signed=task == "targets").numel() >= FOLDS
    return Dataset(
        name,
        (batch,),
        labels,
        stratified_folds(labels, FOLDS, seed=seed) if enough else (),
        metric,
        "the user's own",
        level="graph",
        ids=None if ids is None else tuple(ids),
        targets=None if targets is None else tuple(targets),
        classes=class_names(given),
    )


def kind_of(item: Any) -> str | None:
    """``"networkx"``, ``"tensors"`` (PyG ``Data`` or Graph), or ``None`` for what is no graph."""
    if isinstance(item, torch.utils.data.Dataset):  # PyG's would put all its graphs together to say that it has an edge_index
        return None
    if isinstance(item, Graph) or hasattr(item, "edge_index"):
        return "tensors"
    return "networkx" if hasattr(item, "adj") and hasattr(item, "is_directed") and hasattr(item, "nodes") else None


# ---------------------------------------------------------------------- helpers


def _kind_of_all(items: list[Any]) -> str:
    if not items:
        raise ValueError("a list of graphs must hold at least one")
    kinds = [kind_of(item) for item in items]
    if None in kinds:
        i = kinds.index(None)
        pair = "; a pair (x, edge_index) is a tuple" if isinstance(items[i], (Tensor, np.ndarray)) else ""
        raise ValueError(f"item {i} is no graph but a {type(items[i]).__name__}: NetworkX graphs, PyG Data or Graphs are needed{pair}")
    assert kinds[0] is not None
    odd = next((i for i, kind in enumerate(kinds) if kind != kinds[0]), None)
    if odd is not None:
        raise ValueError(f"the graphs must be of one kind: item 0 is a {type(items[0]).__name__}, item {odd} a {type(items[odd]).__name__}")
    return kinds[0]


def _labels_of(items: list[Any]) -> list[Any] | None:
    """The label that each graph brings: a number or word, a row of several, or ``None``; all ``None`` is ``None``."""
    labels: list[Any] = []
    for i, item in enumerate(items):
        if kind_of(item) == "networkx":
            label = item.graph.get("y", item.graph.get("label"))
        else:
            label = getattr(item, "y", None)
            shape = () if label is None else tuple(torch.as_tensor(label).shape)
            if len(shape) > 2 or (shape and shape[0] != 1):
                raise ValueError(
                    f"graph {i} of {len(items)} has labels y of shape {shape}: a graph needs one label, [1], or several, [1, T]. "
                    "Where nodes have labels, pass one graph, or make a Dataset of several with parts"
                )
            label = None if label is None else torch.as_tensor(label).reshape(shape[1:])
        labels.append(label)
    return None if all(label is None for label in labels) else labels


def _from_tensors(items: list[Any]) -> Graph:
    has_x = getattr(items[0], "x", None) is not None
    graphs: list[Graph] = []
    for i, item in enumerate(items):
        try:
            graph = replace(Graph.of(item if has_x else _with_ones(item)), y=None)
        except ValueError as error:
            raise ValueError(f"graph {i}: {error}") from error
        if graph.num_graphs != 1:
            raise ValueError(f"graph {i} is a batch of {graph.num_graphs} graphs: pass it alone, or the graphs one by one")
        if not has_x and getattr(item, "x", None) is not None:
            raise ValueError(f"graph {i} has features x, graph 0 has none")
        ours, theirs = _carried(graph), _carried(graphs[0] if graphs else graph)
        if ours != theirs:
            raise ValueError(f"graph {i} has {ours}, but graph 0 has {theirs}: all graphs must carry the same")
        graphs.append(graph)
    batch = side_by_side(graphs)
    x = batch.x if has_x else _degrees(batch.edge_index, batch.num_nodes)
    return Bundle(x, batch.edge_index, batch.edge_weight, batch.edge_attr, batch.graph_id, batch.num_graphs).graph


def _with_ones(item: Any) -> Bundle:
    n = item.num_nodes
    if not n:
        raise ValueError("it has no nodes")
    return Bundle(torch.ones(n, 1), item.edge_index, getattr(item, "edge_weight", None), getattr(item, "edge_attr", None))


def _carried(graph: Graph) -> str:
    """What of features, weights and attributes a graph has, in words."""
    attr = "none" if graph.edge_attr is None else f"{graph.edge_attr.size(1)}"
    return f"{graph.num_features} features, {attr} edge attributes and {'no ' if graph.edge_weight is None else ''}edge weights"


def _degrees(edge_index: Tensor, num_nodes: int) -> Any:
    from graphssl.datasets.loading import features

    degree = torch.bincount(edge_index[1], minlength=num_nodes).clamp(max=DEGREE_CAP)
    return features(one_hot(degree[:, None].numpy()))


def _from_networkx(items: list[Any]) -> Graph:
    sizes = np.array([len(item) for item in items])
    if not sizes.all():
        raise ValueError(f"graph {int(sizes.argmin())} has no nodes")
    columns = _collected(items, lambda graph: graph.nodes(data=True), "node")
    edges = _collected(items, lambda graph: ((edge[:2], edge[-1]) for edge in graph.edges(data=True)), "edge")
    both: list[bool] = []
    ends: list[tuple[int, int]] = []
    for item, start in zip(items, np.cumsum(sizes) - sizes, strict=True):
        place = {node: int(start) + i for i, node in enumerate(item)}
        own = [(place[edge[0]], place[edge[1]]) for edge in item.edges()]
        ends += own
        both += [not item.is_directed()] * len(own)
    pairs = np.array(ends, dtype=np.int64).reshape(-1, 2).T
    turned = np.flatnonzero(np.array(both, dtype=bool) & (pairs[0] != pairs[1]))
    edge_index = torch.from_numpy(np.concatenate([pairs, pairs[::-1, turned]], axis=1))
    rows = np.concatenate([np.arange(pairs.shape[1]), turned])
    weight = _stacked({"weight": edges.pop("weight")}, "edge") if "weight" in edges else None
    if weight is not None and weight.shape[1] != 1:
        raise ValueError("the attribute 'weight' of edges must be one number")
    attr = _stacked(edges, "edge")
    return Bundle(
        _x(_stacked(columns, "node"), edge_index, int(sizes.sum())),
        edge_index,
        None if weight is None else torch.from_numpy(weight[rows].toarray()),
        None if attr is None else torch.from_numpy(attr[rows].toarray()),
        torch.arange(len(items)).repeat_interleave(torch.from_numpy(sizes)),
        len(items),
    ).graph


def _x(x: sp.csr_matrix | None, edge_index: Tensor, num_nodes: int) -> Any:
    from graphssl.datasets.loading import features

    return _degrees(edge_index, num_nodes) if x is None else features(x)


def _collected(items: list[Any], rows: Callable[[Any], Iterable[tuple[Any, dict[str, Any]]]], what: str) -> dict[str, list[Any]]:
    """The attributes of all nodes, or of all edges, one list each, in the order of their names."""
    columns: dict[str, list[Any]] | None = None
    first = 0
    for i, item in enumerate(items):
        for where, attributes in rows(item):
            if columns is None:
                columns, first = {key: [] for key in sorted(attributes, key=str)}, i
            if attributes.keys() != columns.keys():
                ours, theirs = (", ".join(sorted(map(str, keys))) or "none" for keys in (attributes, columns))
                raise ValueError(f"{what} {where!r} of graph {i} has the attributes {ours}, but those of graph {first} have {theirs}")
            for key, column in columns.items():
                column.append(attributes[key])
    return columns or {}


def _stacked(columns: dict[str, list[Any]], what: str) -> sp.csr_matrix | None:
    return sp.hstack([_column(key, column, what) for key, column in columns.items()]).tocsr() if columns else None


def _column(key: str, values: list[Any], what: str) -> sp.csr_matrix:
    words = sum(isinstance(value, str) for value in values)
    if words == len(values):
        names, codes = np.unique(values, return_inverse=True)
        if len(names) > CATEGORIES:
            raise ValueError(
                f"the attribute {key!r} of {what}s has {len(names):,} different values: it looks like a name; remove it from the graphs"
            )
        return one_hot(codes.reshape(-1, 1))
    try:
        numbers = np.asarray(values, dtype=np.float32)
    except (TypeError, ValueError):
        numbers = np.full(1, np.nan)
    if words or numbers.ndim > 2 or not np.isfinite(numbers).all():
        raise ValueError(f"the attribute {key!r} of {what}s must hold words, finite numbers, or lists of as many numbers, the same on all")
    return sp.csr_matrix(numbers.reshape(len(values), -1))
