"""One graph as other programs hold it: NetworkX, SciPy, pandas, DGL, PyG's HeteroData, files of edges and nodes, GraphML, GML and GEXF."""

from __future__ import annotations

import re
from collections.abc import Hashable, Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp
import torch

from graphssl.datasets.columns import Table, read_table
from graphssl.datasets.dataset import Dataset
from graphssl.datasets.edges import EDGE_FILES, NODE_FILES, edge_columns, is_edge_file, is_network, named_so
from graphssl.datasets.nodes import Choices, Nodes, Values, assembled, is_missing, rows_by_name, tidy
from graphssl.datasets.own import MASKS

IDS = ("id", "ids", "node", "node_id", "nodeid", "name", "key", "index")  # usual names of the column of nodes' names, the likeliest first
WHOLE = re.compile(r"-?(0|[1-9]\d*)$")


def is_one(data: Any) -> bool:
    """Whether an object is one graph of a kind that this module reads."""
    if isinstance(data, tuple):
        return len(data) == 2 and (_is_square(data[1]) or all(_is_frame(item) for item in data))
    if isinstance(data, Mapping):
        return "edges" in data and _is_frame(data["edges"])
    return _is_bare(data) or _is_square(data) or _is_frame(data) or _is_hetero(data) or _is_dgl(data) or _is_networkx(data)


def from_one(data: Any, y: Any = None, x: Any = None, *, name: str = "own", seed: int = 0, choices: Choices | None = None) -> Dataset:
    """A node-level Dataset from one graph, as :func:`graphssl.as_dataset` says.

    Raises:
        ValueError: as there.
    """
    choices = choices or {}
    if isinstance(data, tuple) and not _is_frame(data[0]):
        if x is not None:
            raise ValueError("x is given twice: in the pair, and as an argument")
        x, data = data
    if _is_hetero(data):
        nodes, own = _of_hetero(data, choices)
    elif _is_dgl(data):
        nodes, own = _of_dgl(data)
    elif _is_bare(data):
        nodes, own = _of_pyg(data)
    elif _is_networkx(data):
        nodes, own = _of_networkx(data, choices), None
    elif sp.issparse(data):
        nodes, own = _of_scipy(data, choices), None
    else:
        nodes, own = _of_frames(data, choices), None
    nodes.name = name
    nodes.x = nodes.x if x is None else x.values if _is_frame(x) and nodes.ids is None else x
    return assembled(nodes, own if y is None else y, choices, seed)


def from_files(path: Path, *, seed: int = 0, choices: Choices | None = None) -> Dataset:
    """A node-level Dataset from a folder of ``edges`` and ``nodes`` (CSV or Parquet), a table of edges, or a file of one graph.

    Raises:
        ValueError: a file that cannot be read, or does not hold what it should.
    """
    choices = choices or {}
    if is_network(path):
        from graphssl.datasets.folder import read_network

        nodes = _of_networkx(read_network(path, named=True), choices)
    else:
        edges = named_so(path, EDGE_FILES) if path.is_dir() else path
        others = named_so(path, NODE_FILES) if path.is_dir() else None
        assert edges is not None
        nodes = _of_tables(_FileTable(edges), None if others is None else _FileTable(others), choices)
    nodes.name = path.name if path.is_dir() else path.name.split(".")[0]
    try:
        return assembled(nodes, None, choices, seed)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


# ---------------------------------------------------------------------- what there is


def _is_square(data: Any) -> bool:
    return bool(sp.issparse(data)) and data.shape[0] == data.shape[1]


def _is_frame(data: Any) -> bool:
    return hasattr(data, "iloc") and hasattr(data, "columns")


def _is_hetero(data: Any) -> bool:
    return hasattr(data, "node_types") and hasattr(data, "edge_types")


def _is_bare(data: Any) -> bool:
    """PyG's ``Data`` of one graph without features."""
    is_data = hasattr(data, "edge_index") and hasattr(data, "num_nodes") and not isinstance(data, torch.utils.data.Dataset)
    return is_data and getattr(data, "x", 0) is None and data.edge_index is not None and getattr(data, "batch", None) is None


def _is_dgl(data: Any) -> bool:
    return hasattr(data, "ndata") and hasattr(data, "edata") and callable(getattr(data, "edges", None))


def _is_networkx(data: Any) -> bool:
    return hasattr(data, "adj") and hasattr(data, "is_directed") and hasattr(data, "nodes")


# ---------------------------------------------------------------------- in memory


def _of_networkx(graph: Any, choices: Choices) -> Nodes:
    ids: list[Hashable] = list(graph)
    place = rows_by_name(ids)
    ends = np.array([(place[edge[0]], place[edge[1]]) for edge in graph.edges()], dtype=np.int64).reshape(-1, 2).T
    names = dict.fromkeys(str(key) for _, attributes in graph.nodes(data=True) for key in attributes)
    found = [{str(key): value for key, value in attributes.items()} for _, attributes in graph.nodes(data=True)]
    columns = {name: tidy([attributes.get(name) for attributes in found]) for name in names}
    wanted = choices.get("edge_weight") or "weight"
    weights = tidy([attributes.get(wanted) for *_, attributes in graph.edges(data=True)])
    directed = graph.is_directed() if choices.get("directed") is None else bool(choices.get("directed"))
    return Nodes(ids, len(ids), ends, _weights(weights, wanted, asked=choices.get("edge_weight") is not None), directed, columns)


def _of_scipy(matrix: Any, choices: Choices) -> Nodes:
    edges = matrix.tocoo()
    directed = True if choices.get("directed") is None else bool(choices.get("directed"))  # a matrix says both directions
    return Nodes(None, matrix.shape[0], np.stack([edges.row, edges.col]).astype(np.int64), edges.data.astype(np.float64), directed)


def _of_pyg(data: Any) -> tuple[Nodes, Any]:
    weight = getattr(data, "edge_weight", None)
    columns = {key: tidy(getattr(data, key)) for key in MASKS if getattr(data, key, None) is not None}
    ends = np.asarray(data.edge_index).astype(np.int64)
    count = int(data.num_nodes)
    return Nodes(None, count, ends, None if weight is None else np.asarray(weight).reshape(-1), True, columns), getattr(data, "y", None)


def _of_dgl(graph: Any) -> tuple[Nodes, Any]:
    ends = np.stack([np.asarray(end) for end in graph.edges()])
    x = next((graph.ndata[key] for key in ("feat", "x", "features", "h") if key in graph.ndata), None)
    y = next((graph.ndata[key] for key in ("label", "labels", "y") if key in graph.ndata), None)
    weight = next((np.asarray(graph.edata[key]) for key in ("weight", "w") if key in graph.edata), None)
    columns = {key: tidy(graph.ndata[key]) for key in MASKS if key in graph.ndata}
    return Nodes(None, int(graph.num_nodes()), ends, weight, True, columns, x), y


def _of_hetero(data: Any, choices: Choices) -> tuple[Nodes, Any]:
    """One kind of nodes, and the steps between them that a relation, or several in a row, make."""
    steps = _steps(data, choices.get("relation"), choices.get("node_type"))
    kind = steps[0][0]
    sizes = {name: int(data[name].num_nodes) for name in data.node_types}
    reached = sp.identity(sizes[kind], format="csr")
    for start, relation, end in steps:
        pairs = data[start, relation, end].edge_index.numpy()
        ones = np.ones(pairs.shape[1])
        reached = reached @ sp.csr_matrix((ones, pairs), shape=(sizes[start], sizes[end]))
    if len(steps) > 1:  # back at the node itself
        reached.setdiag(0)
        reached.eliminate_zeros()
    edges = reached.tocoo()
    store = data[kind]
    columns = {key: tidy(store[key]) for key in MASKS if key in store}
    directed = True if choices.get("directed") is None else bool(choices.get("directed"))
    ends = np.stack([edges.row, edges.col]).astype(np.int64)
    x, y = (store[key] if key in store else None for key in ("x", "y"))  # noqa: SIM401 - a store's get finds attributes of other kinds
    return Nodes(None, sizes[kind], ends, None, directed, columns, x), y


def _steps(data: Any, relation: Any, node_type: str | None) -> list[tuple[str, str, str]]:
    known = {"__".join(kind): kind for kind in data.edge_types}
    told = f"; it has {', '.join(known)}"
    if node_type is not None and node_type not in data.node_types:
        raise ValueError(f"node_type must be one of {', '.join(data.node_types)}, got {node_type!r}")
    if relation is None:
        loops = [kind for kind in known.values() if kind[0] == kind[2] == (node_type or kind[0])]
        if len(loops) != 1:
            raise ValueError(f"relation: say which edges make the graph, or several in a row that lead back, as their names{told}")
        return loops
    given = [relation] if isinstance(relation, str) or (isinstance(relation, tuple) and relation in known.values()) else list(relation)
    names = ["__".join(kind) if isinstance(kind, tuple) else str(kind) for kind in given]
    if not names or any(name not in known for name in names):
        raise ValueError(f"relation: {', '.join(name for name in names if name not in known) or 'nothing'} is no relation{told}")
    steps = [known[name] for name in names]
    if any(a[2] != b[0] for a, b in pairwise(steps)) or steps[0][0] != steps[-1][2]:
        raise ValueError(f"relation: each step must start where the one before ends, and the last lead back, got {', '.join(names)}")
    if node_type is not None and node_type != steps[0][0]:
        raise ValueError(f"relation starts at {steps[0][0]}, and node_type is {node_type!r}")
    return steps


# ---------------------------------------------------------------------- tables


class _FileTable:
    """The columns of a file."""

    def __init__(self, path: Path) -> None:
        self.table: Table = read_table(path)
        self.what, self.names = path.name, list(self.table.names)
        self.is_edges = is_edge_file(path)

    def ids(self, name: str) -> list[Any]:
        """A column as names: text, without the point of a whole number."""
        found = [None if value is None else str(value).strip() for value in self.table.arrays[name].to_pylist()]
        return [text[:-2] if text is not None and text.endswith(".0") and WHOLE.match(text[:-2]) else text for text in found]

    def column(self, name: str) -> Values:
        from pyarrow import types

        array = self.table.arrays[name]
        if types.is_list(array.type) or types.is_large_list(array.type) or types.is_fixed_size_list(array.type):
            return tidy(array.to_pylist())
        found = self.table.column(name, "attributes")
        return found.text if found.numbers is None else found.numbers

    @staticmethod
    def finished(ids: list[Any]) -> list[Hashable]:
        """Whole numbers as numbers, where all names are."""
        return [int(text) for text in ids] if all(WHOLE.match(text) for text in ids) else ids


class _FrameTable:
    """The columns of a pandas frame, and its index where it is one of names."""

    is_edges = True

    def __init__(self, frame: Any, what: str) -> None:
        self.frame, self.what, self.names = frame, what, [str(name) for name in frame.columns]
        self.place = dict(zip(self.names, range(len(self.names)), strict=True))

    def ids(self, name: str) -> list[Any]:
        """A column as names."""
        found = (self.frame.index if name == "" else self.frame.iloc[:, self.place[name]]).tolist()
        return [int(v) if isinstance(v, float) and v.is_integer() else None if is_missing(v, words=False) else v for v in found]

    def column(self, name: str) -> Values:
        return tidy(self.frame.iloc[:, self.place[name]].tolist())

    @staticmethod
    def finished(ids: list[Any]) -> list[Hashable]:
        return ids


def _of_frames(data: Any, choices: Choices) -> Nodes:
    if _is_frame(data):
        return _of_tables(_FrameTable(data, "the table"), None, choices)
    if isinstance(data, Mapping):
        edges, nodes = data["edges"], data.get("nodes")
    else:
        edges, nodes = data
        if choices.get("ends") is None and edge_columns([*map(str, edges.columns)]) is None and edge_columns([*map(str, nodes.columns)]):
            edges, nodes = nodes, edges
    return _of_tables(_FrameTable(edges, "the edges"), None if nodes is None else _FrameTable(nodes, "the nodes"), choices)


def _of_tables(edges: Any, nodes: Any, choices: Choices) -> Nodes:
    first, second = _end_columns(edges, choices)
    ends = [edges.ids(first), edges.ids(second)]
    for name, column in ((first, ends[0]), (second, ends[1])):
        empty = next((row for row, value in enumerate(column) if value is None or value == ""), None)
        if empty is not None:
            raise ValueError(f"{edges.what}: {name!r} is empty in row {empty}")
    seen = dict.fromkeys(value for pair in zip(*ends, strict=True) for value in pair)
    if nodes is None:
        ids, columns = list(seen), {}
    else:
        key, ids = _id_column(nodes, seen, edges.what)
        columns = {name: nodes.column(name) for name in nodes.names if name != key}
    place = rows_by_name(ids)
    pairs = np.array([[place[value] for value in column] for column in ends], dtype=np.int64)
    wanted = choices.get("edge_weight")
    lower = {name.lower(): name for name in reversed(edges.names) if name not in (first, second)}
    usual = next((lower[name] for name in ("weight", "weights", "w") if name in lower), None)
    if wanted is not None and wanted not in edges.names:
        raise ValueError(f"edge_weight: {edges.what} has no column {wanted!r}; it has {', '.join(map(repr, edges.names))}")
    column_of = wanted or usual
    weight = None if column_of is None else _weights(edges.column(column_of), column_of, asked=wanted is not None)
    return Nodes(edges.finished(ids), len(ids), pairs, weight, bool(choices.get("directed")), columns)


def _end_columns(edges: Any, choices: Choices) -> tuple[str, str]:
    given = choices.get("ends")
    if given is not None:
        if isinstance(given, str) or len(given) != 2:
            raise ValueError(f"ends must name two columns, where an edge starts and where it ends, got {given!r}")
        for name in given:
            if name not in edges.names:
                raise ValueError(f"ends: {edges.what} has no column {name!r}; it has {', '.join(map(repr, edges.names))}")
        return given[0], given[1]
    found = edge_columns(edges.names)
    if found is None and edges.is_edges and len(edges.names) >= 2:
        return edges.names[0], edges.names[1]
    if found is None:
        raise ValueError(f"{edges.what}: which columns hold the ends of an edge? Name two by ends: {', '.join(map(repr, edges.names))}")
    return found


def _id_column(nodes: Any, seen: Mapping[Any, None], edges: str) -> tuple[str | None, list[Any]]:
    """The column of the nodes' names: of those called so, the first, and the index, the one in which all ends of edges are."""
    lower = {name.strip().lower().replace(" ", "_"): name for name in reversed(nodes.names)}
    usual = [lower[name] for name in IDS if name in lower] or nodes.names[:1]
    tried: list[tuple[str, list[Any]]] = [(name, nodes.ids(name)) for name in (*usual, *nodes.names[:1])]
    if isinstance(nodes, _FrameTable):
        tried.append(("", nodes.ids("")))
    for name, ids in tried:
        if set(seen) <= set(ids) and len(set(ids)) == len(ids):
            return name or None, ids
    name, ids = tried[0]
    rows_by_name(ids)
    lost = [value for value in seen if value not in set(ids)]
    raise ValueError(
        f"{edges} names {len(lost):,} nodes that are not in the column {name!r} of {nodes.what}, first {lost[0]!r}; "
        f"its names are as {ids[0]!r}"
    )


def _weights(values: Values, name: str, *, asked: bool) -> np.ndarray | None:
    if isinstance(values, list) or values.ndim != 1:
        raise ValueError(f"the weight of edges, {name!r}, must be one number each")
    if np.isnan(values).all() and not asked:
        return None
    if np.isnan(values).any():
        raise ValueError(f"the weight {name!r} is missing on edge {int(np.flatnonzero(np.isnan(values))[0])}")
    return values
