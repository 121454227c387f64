"""From a name, a path or an object to a Dataset."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import scipy.sparse as sp
import torch
from torch import Tensor
from typing_extensions import Unpack

from graphssl.adjacency import CSR, Pattern
from graphssl.datasets.dataset import PARTS, Dataset
from graphssl.datasets.edges import header, holds_edges, is_network, looks_like
from graphssl.datasets.embedded import EMBEDDED, degree_features
from graphssl.datasets.files import raw_folder, read
from graphssl.datasets.folder import from_folder
from graphssl.datasets.moleculenet import WITH_RDKIT, load_moleculenet
from graphssl.datasets.networks import from_files
from graphssl.datasets.nodes import Choices
from graphssl.datasets.ogb import load_ogb
from graphssl.datasets.ogb_layouts import set_above
from graphssl.datasets.ogb_nodes import load_nodes
from graphssl.datasets.own import Bundle, from_npz, from_object
from graphssl.datasets.raw import Raw
from graphssl.datasets.readers import DENSE_FROM
from graphssl.datasets.splits import Split, from_masks, random_splits, stratified_folds
from graphssl.datasets.table import DATASETS, TABLES, Entry, canonical, is_table
from graphssl.datasets.tables import from_table
from graphssl.datasets.tudataset import entry_of
from graphssl.datasets.tudataset import node_features as tu_features
from graphssl.graph import Graph


def load(
    data: str | Path | Any,
    root: str | Path | None = None,
    *,
    seed: int = 0,
    node_features: str = "auto",
    y: Any = None,
    smiles: str | None = None,
    invalid: str | None = None,
    yes: bool = False,
    **choices: Unpack[Choices],
) -> Dataset:
    """A dataset by name, from a user's file or folder, or from an object.

    A dataset with raw files is read from ``<root>/<folder>/raw``, where PyG's classes keep them; missing files are downloaded. What is read
    is cached as plain arrays in the user's cache folder (``GRAPHSSL_CACHE``), keyed by the content of the raw files: nothing is written
    beside them, and nothing is unpickled but arrays. A set ``ogbn-*`` becomes a store there, once.

    Args:
        data: a name from ``graphssl.datasets.DATASETS`` (case, ``_`` and ``-`` do not matter), a path to an ``.npz`` file
            (:func:`~graphssl.datasets.from_npz` says which keys), to a CSV or Parquet file of molecules
            (:func:`~graphssl.datasets.from_table`), to one graph in tables, GraphML, GML or GEXF (:func:`graphssl.as_dataset`), to a folder
            of graphs (:func:`~graphssl.datasets.from_folder`), of the text files of a
            TUDataset, of OGB's raw files of one large graph (:func:`~graphssl.datasets.ogb_nodes.open_source`) or of a store
            (:func:`graphssl.store.open_store`), or an object: one graph, or a list of NetworkX or PyG graphs
            (:func:`~graphssl.datasets.from_object`).
        root: folder of the raw files; without it ``GRAPHSSL_DATA``, then the cache's ``data`` folder.
        seed: of the random splits of a dataset that comes without fixed ones, and of the synthetic sets ``sbm`` and ``motifs``.
        node_features: of a TUDataset only, which has several: :func:`~graphssl.datasets.tudataset.node_features`.
        y: labels of an object, in place of its own.
        smiles: of a table of molecules only: the column of SMILES.
        invalid: likewise: what becomes of SMILES that cannot be read: ``skip``, ``refuse`` or ``relax``.
        yes: go ahead with a download above 1 GB.
        choices: what a user's own data leaves open: of molecules ``targets``, the columns to predict, and ``split``, which is ``scaffold``,
            ``random``, ``stratified`` or the column that says train, valid or test; of one graph these and more
            (:func:`graphssl.as_dataset`).

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
    given = {"smiles": smiles, "invalid": invalid, **choices}
    columns: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
    if y is not None and isinstance(data, (str, Path)):
        raise ValueError(f"y is for graphs in memory; {str(data)!r} comes with its labels")
    if isinstance(data, Path) or (isinstance(data, str) and _is_path(data)):
        path = Path(data).expanduser()
        if (holds_edges(path) and smiles is None) or "ends" in columns:
            _only_for_tudatasets(node_features, path.name)
            return from_files(path, seed=seed, choices=_for_one(columns, path.name))
        if path.is_dir():
            _only_for_tables(columns)
            if (path / "store.json").is_file():
                _only_for_tudatasets(node_features, path.name)
                return _from_store(path)
            if set_above(path) is not None:
                _only_for_tudatasets(node_features, path.name)
                return load_nodes(path)
            return _from_folder(path, seed, node_features)
        _only_for_tudatasets(node_features, path.name)
        if is_table(path):
            _check_molecules(path, columns)
            return from_table(path, seed=seed, **columns)
        _only_for_tables(columns)
        return from_npz(path, seed=seed)
    if not isinstance(data, str):
        _only_for_tudatasets(node_features, "an object")
        return from_object(data, y=y, seed=seed, choices=_for_one(columns, "an object"))
    _only_for_tables(columns)
    entry = DATASETS[canonical(data)]
    if entry.family != "tudataset":
        _only_for_tudatasets(node_features, entry.name)
    if entry.family == "embedded":
        return EMBEDDED[entry.name](seed)
    if entry.family == "rdkit":
        return WITH_RDKIT[entry.name](entry)
    if entry.family == "moleculenet":
        return load_moleculenet(entry, root)
    if entry.family == "ogbn":
        return load_nodes(entry.name, root, yes=yes)
    if entry.family == "ogb":
        return load_ogb(entry, root, yes=yes)
    if entry.family == "parts":
        members = [(DATASETS[name], part) for name, part in entry.parts]
        folders = [raw_folder(member, root) for member, _ in members]  # all of them are there before the first is read
        raws = [replace(read(member, folder)[0], part=part) for (member, part), folder in zip(members, folders, strict=True)]
    else:
        raws = read(entry, raw_folder(entry, root))
    return _assemble(entry, raws, seed, node_features)


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
    return (
        Path(text).suffix in (".npz", ".pt", ".pth", ".pkl", ".store")
        or is_table(text)
        or is_network(text)
        or "/" in text
        or os.sep in text
        or text in (".", "..")
    )


def _only_for_tables(columns: dict[str, Any]) -> None:
    if columns:
        raise ValueError(
            f"{', '.join(columns)}: only a table of molecules ({', '.join(TABLES)}) or a graph of one's own has columns and splits "
            "to choose"
        )


def _for_one(columns: dict[str, Any], what: str) -> Choices:
    """What was said of one graph.

    Raises:
        ValueError: it was said of molecules.
    """
    odd = [name for name in columns if name in ("smiles", "invalid")]
    if odd:
        raise ValueError(f"{', '.join(columns)}: only a table of molecules has {' and '.join(odd)} to choose, and {what} is none")
    return cast(Choices, columns)


def _check_molecules(path: Path, columns: dict[str, Any]) -> None:
    """Refuse a table that is neither of molecules nor of edges, and what can only be said of edges."""
    odd = [name for name in columns if name not in ("smiles", "invalid", "targets", "split")]
    if odd:
        raise ValueError(f"{', '.join(odd)}: {path.name} is read as a table of molecules; of a table of edges, ends names the two columns")
    names = header(path)
    if names and "smiles" not in columns and looks_like(names) is None:
        raise ValueError(
            f"smiles: {path.name} has no column that is called so, and no two that are the ends of an edge; it has "
            f"{', '.join(map(repr, names[:20]))}. "
            "Name the column of SMILES (smiles=, or --smiles), or the two ends of an edge (ends=, or --ends); or put the edges into a "
            "folder as edges.csv, beside nodes.csv if there are attributes, and give the folder"
        )


def _only_for_tudatasets(node_features: str, what: str) -> None:
    if node_features != "auto":
        raise ValueError(f"node_features={node_features!r}: only a TUDataset has a choice of features, and {what} is none")


def _from_folder(path: Path, seed: int, node_features: str) -> Dataset:
    place = next((place for place in (path, path / "raw") if len(list(place.glob("*_A.txt"))) == 1), None)
    if place is None:
        _only_for_tudatasets(node_features, path.name)
        return from_folder(path, seed=seed)
    entry = entry_of(place)
    return _assemble(entry, read(entry, place), seed, node_features)


def _from_store(path: Path) -> Dataset:
    from graphssl.store.reading import open_store  # which needs Dataset

    return open_store(path).dataset()


def _assemble(entry: Entry, raws: list[Raw], seed: int, node_features: str) -> Dataset:
    graphs = tuple(_graph(raw, node_features) for raw in raws)
    y = torch.from_numpy(np.concatenate([raw.y for raw in raws]))
    if raws[0].graph_id is not None:
        splits = stratified_folds(y, seed=seed) if len(y) >= 10 else ()
        return Dataset(entry.name, graphs, y, splits, entry.metric, entry.source, level="graph")
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


def _graph(raw: Raw, node_features: str) -> Graph:
    edge_index = torch.from_numpy(raw.edge_index)
    if raw.graph_id is None:
        x = degree_features(edge_index, len(raw.y)) if raw.x is None else features(raw.x)
        return Graph.of((x, edge_index))
    x = features(tu_features(raw, node_features) if raw.x is None else raw.x)
    attr = None if raw.edge_attr is None else torch.from_numpy(raw.edge_attr)
    return Bundle(x, edge_index, None, attr, torch.from_numpy(raw.graph_id), len(raw.y)).graph
