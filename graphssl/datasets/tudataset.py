"""Sets of graphs in the text format of the TUDataset collection, and the features that the literature makes of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import scipy.sparse as sp

from graphssl.datasets.raw import Raw
from graphssl.datasets.table import Entry

NODE_FEATURES = ("auto", "labels", "attributes", "labels+attributes", "labels+degree", "degree", "ones")
KINDS = ("A", "graph_indicator", "graph_labels", "node_labels", "node_attributes", "edge_labels", "edge_attributes")  # of files
DEGREE_CAP = 400  # GraphMAE (Hou et al., 2022, arXiv:2205.10803): all larger degrees share a column


def read_tudataset(folder: Path, entry: Entry) -> list[Raw]:
    """A set of the TUDataset collection (Morris et al., 2020, arXiv:2007.08663), all its graphs side by side.

    Read are the files that the entry lists: ``_A``, ``_graph_indicator`` and ``_graph_labels``, and of ``_node_labels``,
    ``_node_attributes``, ``_edge_labels``, ``_edge_attributes`` those the set has. Nodes and graphs are numbered from 0, graph labels
    become classes in ascending order, self-loops and repeated edges go (of a repeated edge the first stays), nodes that are not in the
    order of their graphs are put in it. Edge labels become one-hot edge attributes; where there are none, the edge attributes stand.

    Raises:
        ValueError: files whose lengths disagree, an edge that leaves its graph, a graph without label.
    """
    stem = next(file for file, _ in entry.files if file.endswith("_A.txt"))[: -len("_A.txt")]
    listed = {file for file, _ in entry.files}

    def table(kind: str, rows: int, *, whole: bool = True) -> np.ndarray | None:
        file = f"{stem}_{kind}.txt"
        return _table(folder / file, rows, whole=whole) if file in listed else None

    indicator, edges, labels = (_table(folder / f"{stem}_{kind}.txt") for kind in ("graph_indicator", "A", "graph_labels"))
    n, num_graphs = len(indicator), len(labels)
    graph_id = indicator[:, 0] - 1
    if n == 0 or graph_id.min() < 0 or graph_id.max() >= num_graphs:
        raise ValueError(f"the nodes are in graphs 1 to {indicator.max()}, and {num_graphs} graphs have a label")
    attr = table("edge_labels", len(edges))
    edge_attr = table("edge_attributes", len(edges), whole=False) if attr is None else _dense_one_hot(attr)
    order = np.argsort(graph_id, kind="stable")  # the identity in all sets of the collection
    edge_index, edge_attr = _clean(edges.T - 1, edge_attr, graph_id, order)
    node_labels, attributes = table("node_labels", n), table("node_attributes", n, whole=False)
    return [
        Raw(
            None,
            edge_index,
            np.unique(labels[:, 0], return_inverse=True)[1].astype(np.int64).ravel(),
            graph_id=graph_id[order],
            edge_attr=edge_attr,
            node_labels=None if node_labels is None else (node_labels - node_labels.min(0))[order],
            node_attributes=None if attributes is None else attributes[order],
        )
    ]


def entry_of(folder: Path) -> Entry:
    """A user's own folder in this format as an entry of the table: what is there is read.

    Raises:
        ValueError: one of the three files that must be there is not.
    """
    stem = next(folder.glob("*_A.txt")).name[: -len("_A.txt")]
    names = [f"{stem}_{kind}.txt" for kind in KINDS]
    missing = [name for name in names[:3] if not (folder / name).is_file()]
    if missing:
        raise ValueError(f"{folder} holds {names[0]}, but not {' and '.join(missing)}: a set in the format of TUDataset needs all three")
    files = tuple((name, "") for name in names if (folder / name).is_file())
    return Entry(stem.lower().replace("_", "-"), "tudataset", "the user's own", "the user's own", str(folder), files)


def node_features(raw: Raw, how: str = "auto") -> np.ndarray | sp.csr_matrix:
    """Features ``[N, F]`` of a set that has node labels, node attributes, both or neither.

    ========================  ==================================================================================================
    ``"labels"``              the node labels, one-hot (InfoGraph, GraphCL and GraphMAE where there are any)
    ``"attributes"``          the numbers that a node comes with
    ``"labels+attributes"``   both, the attributes first, as PyG's ``use_node_attr=True`` has them
    ``"degree"``              the degree, one-hot in columns 0 to min(400, the largest); larger ones share the last (GraphMAE)
    ``"labels+degree"``       both, the labels first (MVGRL)
    ``"ones"``                a single 1 (the official code of InfoGraph and GraphCL where there are no labels)
    ``"auto"``                labels, or else attributes, or else the degree
    ========================  ==================================================================================================

    Raises:
        ValueError: another word, or the set has no such labels or attributes.
    """
    if how not in NODE_FEATURES:
        raise ValueError(f"node_features must be one of {', '.join(NODE_FEATURES)}, got {how!r}")
    labels, attributes = raw.node_labels, raw.node_attributes
    if how == "auto":
        how = "labels" if labels is not None else "attributes" if attributes is not None else "degree"
    if ("labels" in how and labels is None) or ("attributes" in how and attributes is None):
        has = " and ".join(kind for kind, given in (("labels", labels), ("attributes", attributes)) if given is not None) or "neither"
        raise ValueError(f"node_features={how!r}: of node labels and attributes the dataset has {has}")
    assert raw.graph_id is not None
    n = len(raw.graph_id)
    if how == "ones":
        return np.ones((n, 1), dtype=np.float32)
    if "degree" in how:
        degree = np.minimum(np.bincount(raw.edge_index[1], minlength=n), DEGREE_CAP)
        hot = one_hot(degree[:, None])
        return hot if how == "degree" else sp.hstack([one_hot(labels), hot]).tocsr()  # type: ignore[arg-type]
    if how == "attributes":
        assert attributes is not None
        return attributes
    assert labels is not None
    hot = one_hot(labels)
    return hot if how == "labels" else sp.hstack([sp.csr_matrix(attributes), hot]).tocsr()


def one_hot(codes: np.ndarray) -> sp.csr_matrix:
    """Codes ``[N, K]`` from 0 as ``[N, F]``, one block of columns for each of the K, as wide as its largest code.

    Example:
        >>> one_hot(np.array([[0, 1], [2, 0]])).toarray()
        array([[1., 0., 0., 0., 1.],
               [0., 0., 1., 1., 0.]], dtype=float32)
    """
    n, k = codes.shape
    widths = codes.max(0) + 1
    columns = codes + np.concatenate([[0], np.cumsum(widths)[:-1]])
    shape = (n, int(widths.sum()))
    return sp.csr_matrix((np.ones(n * k, dtype=np.float32), columns.ravel(), np.arange(0, n * k + 1, k)), shape=shape)


# ---------------------------------------------------------------------- helpers


def _table(path: Path, rows: int | None = None, *, whole: bool = True) -> np.ndarray:
    """Numbers ``[R, K]`` in lines, with commas between: int64, or float32."""
    from pyarrow import ArrowInvalid, csv

    options = csv.ReadOptions(autogenerate_column_names=True)
    try:
        columns = csv.read_csv(path, read_options=options).columns
        numbers = np.stack([column.to_numpy() for column in columns], axis=1)
        if numbers.dtype.kind not in "iuf" or not np.isfinite(numbers).all():
            raise ValueError("a value is missing or is no number")
    except (ArrowInvalid, ValueError) as error:
        raise ValueError(f"{path.name}: {error}") from error
    if rows is not None and len(numbers) != rows:
        raise ValueError(f"{path.name} has {len(numbers)} lines, {rows} are needed")
    if not whole:
        return numbers.astype(np.float32)
    integers: np.ndarray = numbers.astype(np.int64)
    if numbers.dtype.kind == "f" and (integers != numbers).any():
        raise ValueError(f"{path.name} must hold whole numbers")
    return integers


def _dense_one_hot(codes: np.ndarray) -> np.ndarray:
    hot: np.ndarray = one_hot(codes - codes.min(0)).toarray()
    return hot


def _clean(edges: np.ndarray, attr: np.ndarray | None, graph_id: np.ndarray, order: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
    """Edges ``[2, E]`` between nodes put in ``order``: sorted by target and source, each one once, no self-loops."""
    n = len(graph_id)
    if len(edges) != 2 or (edges.size and not (edges.min() >= 0 and edges.max() < n)):
        raise ValueError(f"an edge must join two of the nodes 1 to {n}")
    if (graph_id[edges[0]] != graph_id[edges[1]]).any():
        line = int((graph_id[edges[0]] != graph_id[edges[1]]).nonzero()[0][0])
        raise ValueError(f"the edge {edges[0, line] + 1}, {edges[1, line] + 1} (line {line + 1}) joins two graphs")
    place = np.empty(n, dtype=np.int64)
    place[order] = np.arange(n)
    source, target = place[edges]
    kept = np.flatnonzero(source != target)
    key = target[kept] * n + source[kept]
    if attr is None:
        key.sort()
        key = key[_first(key)]  # np.unique takes 15 times as long over COLLAB
    else:
        by_key = np.argsort(key, kind="stable")
        by_key = by_key[_first(key[by_key])]
        key, attr = key[by_key], attr[kept[by_key]]
    return np.stack([key % n, key // n]), attr


def _first(ascending: np.ndarray) -> np.ndarray:
    """Where a value stands for the first time, ``[E]`` bool."""
    return np.append(True, ascending[1:] != ascending[:-1])[: len(ascending)]
