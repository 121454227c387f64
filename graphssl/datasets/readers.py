"""Raw files as they are published, read without unpickling anything but plain arrays: one function a family."""

from __future__ import annotations

import json
import pickle
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp

from graphssl.datasets.raw import Raw
from graphssl.datasets.table import Entry
from graphssl.datasets.tudataset import read_tudataset

DENSE_FROM = 0.05  # share of non-zeros from which features are held dense, as in Graph.of


def read_planetoid(folder: Path, entry: Entry) -> list[Raw]:
    """Cora, CiteSeer and PubMed with the public split (Yang et al., 2016, arXiv:1603.08861).

    Test rows are put at the places that ``test.index`` names. In CiteSeer some of those places are missing: the isolated nodes there get
    zero features and class 0 (as in PyG), and stand in no part of the split. Self-loops and repeated edges are removed.
    """
    stem = entry.files[0][0].rsplit(".", 1)[0]
    allx, tx = (_matrix(folder / f"{stem}.{part}") for part in ("allx", "tx"))
    ally, ty, y = (np.asarray(_plain_pickle(folder / f"{stem}.{part}")) for part in ("ally", "ty", "y"))
    test = np.loadtxt(folder / f"{stem}.test.index", dtype=np.int64, ndmin=1)
    place = np.sort(test)
    if len(test) != tx.shape[0] or len(test) != len(ty) or len(ally) != allx.shape[0] or place[0] != len(ally):
        raise ValueError(
            f"the parts disagree: {len(ally)} + {len(ty)} labels, {allx.shape[0]} + {tx.shape[0]} features, {len(test)} test rows"
        )
    n = int(place[-1]) + 1
    row = np.full(n, -1)  # where in allx and tx, one below the other, each node is
    row[: len(ally)] = np.arange(len(ally))
    row[test] = len(ally) + np.arange(len(test))
    known = row >= 0
    labels = np.zeros(n, dtype=np.int64)
    labels[known] = np.concatenate([ally, ty]).argmax(1)[row[known]]
    pick = sp.csr_matrix((np.ones(known.sum(), dtype=np.float32), (np.flatnonzero(known), row[known])), shape=(n, len(ally) + len(test)))
    lists = _plain_pickle(folder / f"{stem}.graph")
    source = np.repeat(np.fromiter(lists, np.int64), [len(to) for to in lists.values()])
    target = np.fromiter((to for near in lists.values() for to in near), np.int64, len(source))
    edges = np.stack([source, target])
    masks = {part: np.zeros(n, dtype=bool) for part in ("train", "val", "test")}
    masks["train"][: len(y)] = masks["val"][len(y) : len(y) + 500] = masks["test"][test] = True
    return [Raw(pick @ sp.vstack([allx, tx]).tocsr(), _coalesce(edges[:, source != target], n), labels, masks)]


def read_csr_npz(folder: Path, entry: Entry) -> list[Raw]:
    """Amazon, Coauthor and CitationFull: adjacency and features as CSR arrays; binary features, no self-loops, undirected."""
    with np.load(folder / entry.files[0][0], allow_pickle=False) as file:
        x, adjacency = (csr(*(file[f"{key}_{part}"] for part in ("data", "indices", "indptr", "shape"))) for key in ("attr", "adj"))
        y = file["labels"].astype(np.int64)
    x.eliminate_zeros()
    x.data = np.where(x.data > 0, 1, x.data).astype(np.float32)
    edges = _pairs(adjacency)
    return [Raw(x, _undirected(edges[:, edges[0] != edges[1]], len(y)), y)]


def read_wikics(folder: Path, entry: Entry) -> list[Raw]:
    """WikiCS, made undirected; its 20 train and validation masks and the one test mask. The stopping rows are in no part."""
    content = json.loads((folder / entry.files[0][0]).read_text())
    x = np.array(content["features"], dtype=np.float32)
    links = content["links"]
    edges = np.stack(
        [np.repeat(np.arange(len(links)), [len(to) for to in links]), np.array([j for to in links for j in to], dtype=np.int64)]
    )
    masks = {
        part: np.array(content[key], dtype=bool).T for part, key in (("train", "train_masks"), ("val", "val_masks"), ("test", "test_mask"))
    }
    return [Raw(x, _undirected(edges, len(x)), np.array(content["labels"], dtype=np.int64), masks)]


def read_ppi(folder: Path, entry: Entry) -> list[Raw]:
    """PPI: 24 graphs without self-loops, 121 labels a node.

    PyG renumbers each graph from its smallest linked node; here from its first node, which is the same unless that one has no link.
    """
    graphs = []
    for file, part in (("train", "train"), ("valid", "val"), ("test", "test")):
        x, y, number = (np.load(folder / f"{file}_{what}.npy", allow_pickle=False) for what in ("feats", "labels", "graph_id"))
        content = json.loads((folder / f"{file}_graph.json").read_text())
        edges = np.array([(link["source"], link["target"]) for link in content["links"]], dtype=np.int64).reshape(-1, 2).T
        if not content.get("directed", True):
            edges = np.concatenate([edges, edges[::-1]], axis=1)
        edges = _coalesce(edges[:, edges[0] != edges[1]], len(x))
        for i in np.unique(number):
            rows = np.flatnonzero(number == i)
            new = np.full(len(x), -1)
            new[rows] = np.arange(len(rows))
            own = new[edges]
            graphs.append(Raw(x[rows].astype(np.float32), own[:, (own >= 0).all(0)], y[rows].astype(np.float32), part=part))
    return graphs


def read_heterophilous(folder: Path, entry: Entry) -> list[Raw]:
    """The five sets of Platonov et al. (2023, arXiv:2302.11640), undirected, with their ten splits."""
    with np.load(folder / entry.files[0][0], allow_pickle=False) as file:
        x, y, edges = file["node_features"].astype(np.float32), file["node_labels"].astype(np.int64), file["edges"].astype(np.int64)
        masks = {part: file[f"{part}_masks"].astype(bool).T for part in ("train", "val", "test")}
    return [Raw(x, _undirected(edges.T, len(x)), y, masks)]


def read_musae(folder: Path, entry: Entry) -> list[Raw]:
    """Facebook pages and the Twitch countries: features, edges as they stand, target."""
    with np.load(folder / entry.files[0][0], allow_pickle=False) as file:
        x, edges, y = file["features"], file["edges"].astype(np.int64).T, file["target"].astype(np.int64)
    return [Raw(_rare(x), np.ascontiguousarray(edges), y)]


def read_facebook100(folder: Path, entry: Entry) -> list[Raw]:
    """A college of Facebook100 after Lim et al. (2021, arXiv:2110.14446): all fields but the gender one-hot; the gender is the label."""
    from scipy.io import loadmat

    content = loadmat(str(folder / entry.files[0][0]))
    info = content["local_info"].astype(np.int64)  # [N, 7]; column 1 is the gender
    columns = []
    for field_ in np.delete(info, 1, axis=1).T:
        values, code = np.unique(field_, return_inverse=True)
        columns.append(
            sp.csr_matrix((np.ones(len(info), dtype=np.float32), (np.arange(len(info)), code.ravel())), shape=(len(info), len(values)))
        )
    return [Raw(sp.hstack(columns).tocsr(), _pairs(content["A"]), info[:, 1] - 1)]


def read_geom(folder: Path, entry: Entry) -> list[Raw]:
    """WebKB and Wikipedia as preprocessed by Geom-GCN (Pei et al., 2020, arXiv:2002.05287), directed, with its ten splits."""
    ids, features, y = _geom_nodes(folder / entry.files[0][0])
    x = np.stack([np.array(row.split(","), dtype=np.float32) for row in features])[np.argsort(ids)]
    return [Raw(_rare(x), _geom_edges(folder / entry.files[1][0], len(x)), y, _geom_masks(folder, entry))]


def read_actor(folder: Path, entry: Entry) -> list[Raw]:
    """Actor in the format of Geom-GCN, where features are lists of the columns that are one."""
    ids, features, y = _geom_nodes(folder / entry.files[0][0])
    near = [np.array(row.split(","), dtype=np.int64) for row in features]
    row, col = np.repeat(ids, [len(cols) for cols in near]), np.concatenate(near)
    x = sp.csr_matrix((np.ones(len(col), dtype=np.float32), (row, col)))
    x.data[:] = 1  # a column that is listed twice
    return [Raw(x, _geom_edges(folder / entry.files[1][0], x.shape[0]), y, _geom_masks(folder, entry))]


def read_airports(folder: Path, entry: Entry) -> list[Raw]:
    """Airports of struc2vec: directed flights as listed, without repeats; identity features."""
    table = np.loadtxt(folder / entry.files[1][0], dtype=np.int64, skiprows=1, ndmin=2)
    edges = np.loadtxt(folder / entry.files[0][0], dtype=np.int64, ndmin=2).T
    order = np.argsort(table[:, 0])
    place = np.searchsorted(table[order, 0], edges)
    if (place >= len(order)).any() or (table[order, 0][place] != edges).any():
        raise ValueError("an edge names an airport that has no label")
    n = len(table)
    return [Raw(np.eye(n, dtype=np.float32), _coalesce(order[place], n), table[:, 1])]


def read_email(folder: Path, entry: Entry) -> list[Raw]:
    """E-mails between people of an institution; no features."""
    edges, labels = (np.loadtxt(folder / file, dtype=np.int64, ndmin=2) for file, _ in entry.files)
    return [Raw(None, np.ascontiguousarray(edges.T), labels[np.argsort(labels[:, 0]), 1])]


def read_attributed(folder: Path, entry: Entry) -> list[Raw]:
    """Sets of Yang et al. (2020, arXiv:2009.00826): sparse features, a list of edges, one label a node counted from 1."""
    with np.load(folder / "attrs.npz", allow_pickle=False) as file:
        x = csr(*(file[part] for part in ("data", "indices", "indptr", "shape")))
    edges = np.loadtxt(folder / "edgelist.txt", dtype=np.int64, ndmin=2)[:, :2].T
    labels = np.loadtxt(folder / "labels.txt", dtype=np.int64, ndmin=2)
    return [Raw(x.astype(np.float32), np.ascontiguousarray(edges), labels[:, 1] - 1)]


def read_reddit(folder: Path, entry: Entry) -> list[Raw]:
    """Reddit posts of a month: the first twenty days train, of the rest 30 % validation (Hamilton et al., 2017, arXiv:1706.02216)."""
    with np.load(folder / entry.files[0][0], allow_pickle=False) as file:
        x, y, kind = file["feature"].astype(np.float32), file["label"].astype(np.int64), file["node_types"]
    with np.load(folder / entry.files[1][0], allow_pickle=False) as file:
        edges = np.stack([file["row"], file["col"]]).astype(np.int64)
    return [Raw(x, _coalesce(edges, len(y)), y, {part: kind == code for code, part in enumerate(("train", "val", "test"), 1)})]


def read_graphsaint(folder: Path, entry: Entry) -> list[Raw]:
    """A set in the layout of GraphSAINT, with its own split (Zeng et al., 2020, arXiv:1907.04931)."""
    with np.load(folder / "adj_full.npz", allow_pickle=False) as file:
        adjacency = csr(*(file[part] for part in ("data", "indices", "indptr", "shape")))
    x = np.load(folder / "feats.npy", allow_pickle=False).astype(np.float32)
    classes, roles = (json.loads((folder / name).read_text()) for name in ("class_map.json", "role.json"))
    y = np.full(len(x), -1, dtype=np.int64)
    y[np.fromiter(map(int, classes), np.int64)] = np.fromiter(classes.values(), np.int64)
    masks = {}
    for part, role in (("train", "tr"), ("val", "va"), ("test", "te")):
        masks[part] = np.zeros(len(x), dtype=bool)
        masks[part][roles[role]] = True
    return [Raw(x, _coalesce(_pairs(adjacency), len(x)), y, masks)]


READERS: dict[str, Callable[[Path, Entry], list[Raw]]] = {
    "planetoid": read_planetoid,
    "csr-npz": read_csr_npz,
    "wikics": read_wikics,
    "ppi": read_ppi,
    "heterophilous": read_heterophilous,
    "musae": read_musae,
    "facebook100": read_facebook100,
    "geom": read_geom,
    "actor": read_actor,
    "airports": read_airports,
    "email": read_email,
    "attributed": read_attributed,
    "reddit": read_reddit,
    "graphsaint": read_graphsaint,
    "tudataset": read_tudataset,
}


# ---------------------------------------------------------------------- helpers


def _latin1(text: str, encoding: str) -> bytes:
    return text.encode("latin1")  # how protocol 2 writes bytes; no other codec is looked up


PLAIN: dict[tuple[str, str], Any] = {  # the outermost module and the name in a pickle, and what is taken for it
    ("_codecs", "encode"): _latin1,
    ("numpy", "_reconstruct"): np.zeros(0).__reduce__()[0],
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): np.dtype,
    ("scipy", "csr_matrix"): sp.csr_matrix,
    ("collections", "defaultdict"): defaultdict,
    ("__builtin__", "list"): list,
    ("builtins", "list"): list,
}


class _PlainUnpickler(pickle.Unpickler):
    """Arrays, sparse matrices and lists only: a pickle can otherwise run any code, and these are downloaded."""

    def find_class(self, module: str, name: str) -> Any:
        plain = PLAIN.get((module.split(".")[0], name))
        if plain is None:
            raise pickle.UnpicklingError(f"{module}.{name} has no place in a file of arrays and is refused")
        return plain


def _plain_pickle(path: Path) -> Any:
    with path.open("rb") as file:
        return _PlainUnpickler(file, encoding="latin1").load()


def _matrix(path: Path) -> sp.csr_matrix:
    matrix = _plain_pickle(path)
    if not sp.issparse(matrix):
        return sp.csr_matrix(np.asarray(matrix, dtype=np.float32))
    state = vars(matrix)
    return csr(state["data"], state["indices"], state["indptr"], state.get("_shape", state.get("shape"))).astype(np.float32)


def csr(data: np.ndarray, indices: np.ndarray, indptr: np.ndarray, shape: Any) -> sp.csr_matrix:
    """A sparse matrix from its four arrays, checked: indices that point outside would be read beyond the end later."""
    matrix = sp.csr_matrix((data, indices, indptr), shape=(int(shape[0]), int(shape[1])))
    matrix.check_format(full_check=True)
    return matrix


def _pairs(adjacency: sp.csr_matrix | sp.csc_matrix) -> np.ndarray:
    entries = adjacency.tocoo()  # explicit zeros count as edges, as in PyG
    return np.stack([entries.row, entries.col]).astype(np.int64)


def _rare(x: np.ndarray) -> np.ndarray | sp.csr_matrix:
    return sp.csr_matrix(x, dtype=np.float32) if np.count_nonzero(x) < DENSE_FROM * x.size else x.astype(np.float32)


def _coalesce(edges: np.ndarray, n: int) -> np.ndarray:
    if edges.size and (edges.min() < 0 or edges.max() >= n):
        raise ValueError(f"an edge points to node {edges.max() if edges.max() >= n else edges.min()}, but the nodes are 0 to {n - 1}")
    key = np.unique(edges[0] * n + edges[1], return_index=True)[0]  # the index makes it sort, which is far faster than its hash table
    return np.stack([key // n, key % n])


def _undirected(edges: np.ndarray, n: int) -> np.ndarray:
    return _coalesce(np.concatenate([edges, edges[::-1]], axis=1), n)


def _geom_nodes(path: Path) -> tuple[np.ndarray, list[str], np.ndarray]:
    """Ids and features of the nodes in the order of the file, and the labels in the order of the ids."""
    lines = [line.split("\t") for line in path.read_text().splitlines()[1:] if line]
    ids = np.array([int(line[0]) for line in lines])
    if not np.array_equal(np.sort(ids), np.arange(len(ids))):
        raise ValueError(f"{path.name} must list each node from 0 to {len(ids) - 1} once")
    y = np.empty(len(ids), dtype=np.int64)
    y[ids] = [int(line[2]) for line in lines]
    return ids, [line[1] for line in lines], y


def _geom_edges(path: Path, n: int) -> np.ndarray:
    return _coalesce(np.loadtxt(path, dtype=np.int64, skiprows=1, ndmin=2).T, n)


def _geom_masks(folder: Path, entry: Entry) -> dict[str, np.ndarray]:
    columns: dict[str, list[np.ndarray]] = {part: [] for part in ("train", "val", "test")}
    for name, _ in entry.files[2:]:
        with np.load(folder / name, allow_pickle=False) as file:
            for part, masks in columns.items():
                masks.append(file[f"{part}_mask"].astype(bool))
    return {part: np.stack(masks, axis=1) for part, masks in columns.items()}
