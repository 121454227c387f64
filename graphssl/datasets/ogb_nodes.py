"""The sets of the Open Graph Benchmark that are one large graph, gone through in pieces: no pickle, no question."""

from __future__ import annotations

import hashlib
import logging
import zipfile
from collections.abc import Callable, Iterator, Mapping
from http.client import HTTPException
from pathlib import Path

import numpy as np

from graphssl.datasets import ogb_raw as raw
from graphssl.datasets.dataset import Dataset
from graphssl.datasets.download import download, master
from graphssl.datasets.files import DatasetNotFound, cache_folder, roots
from graphssl.datasets.ogb_layouts import MARKS, SAVED, Layout, has_raw, layout_of, name_of, set_above
from graphssl.datasets.table import DATASETS, Entry, canonical

logger = logging.getLogger(__name__)

PARTS = ("train", "valid", "test")
LICENCES = {  # as https://ogb.stanford.edu/docs/nodeprop states
    "ogbn-arxiv": "ODC-BY",
    "ogbn-products": "Amazon",
    "ogbn-mag": "ODC-BY",
    "ogbn-proteins": "CC-0",
    "ogbn-papers100M": "ODC-BY",
}


def open_source(
    data: str | Path,
    root: str | Path | None = None,
    *,
    yes: bool = False,
    symmetric: bool | None = None,
    relation: str | None = None,
) -> NodeSet:
    """A set ``ogbn-*`` (Hu et al., 2020, arXiv:2005.00687), or a folder in the layout of one, as a source of a store.

    A set is looked for where ogb itself keeps it: ``ogb/ogbn_products`` (or ``ogb/ogbn_products_pyg``, or without ``ogb/``) below ``root``,
    else below ``GRAPHSSL_DATA``, and below the cache's ``data`` folder; else it is downloaded from OGB's address, on from where an earlier
    attempt broke off. Where only what ogb's PyG class made of it is there (``processed/`` and ``split/``), that is used as it is; nothing
    but tensors and plain values is taken from it (:mod:`graphssl.datasets.ogb_processed`).

    *Direction.* ``ogbn-products`` and ``ogbn-proteins`` list each edge once and mean both directions. ``ogbn-arxiv``, ``ogbn-mag`` and
    ``ogbn-papers100M`` list citations, which are directed; OGB's own example code makes them undirected before it trains, and so does BGRL
    (Thakoor et al., 2022, arXiv:2102.06514) with ``ogbn-arxiv``. This is the default here for all sets; ``symmetric=False`` keeps the
    edges as they are listed. An edge that is listed twice, or in both directions, counts once in an undirected store, and twice in ogb.

    *Features.* ``ogbn-proteins`` has eight for each edge and none for nodes: a node gets the mean over its edges, as in OGB's example
    code, and the edges keep none. *Kinds of nodes.* Of ``ogbn-mag`` only the papers have features: the graph is that of the papers that
    cite each other.

    Args:
        data: a name such as ``ogbn-arxiv``, or a path to a folder that has the files of one in ``raw`` and ``split``.
        root: where to look first.
        yes: go ahead with a download above 1 GB.
        symmetric: whether both directions of each edge are meant; ``None``: yes.
        relation: of a graph with kinds of nodes, as ``paper__cites__paper``; ``None``: the only one between nodes with features.

    Raises:
        ValueError: a file that is missing or damaged, with its name; a download above 1 GB without ``yes``; ``DatasetNotFound`` where the
            files cannot be had.

    Example:
        >>> open_source("nowhere/products")
        Traceback (most recent call last):
        ...
        ValueError: nowhere/products is no folder in the layout of an OGB node set: ...
    """
    name, folder = find(data, root, yes=yes)
    layout = layout_of(folder, relation)
    entry = DATASETS.get(name)
    metric, licence = (entry.metric, LICENCES[name]) if entry else (None, "")
    about = entry.source if entry else f"{folder}, in the layout of OGB (arXiv:2005.00687)"
    return NodeSet(name, layout, undirected=symmetric is not False, metric=metric, licence=licence, source=about)


def load_nodes(data: str | Path, root: str | Path | None = None, *, yes: bool = False) -> Dataset:
    """The set of :func:`open_source`, written once as a store into the cache's ``stores`` folder and mapped from there."""
    from graphssl.store import open_store, write_store

    name, folder = find(data, root, yes=yes)
    place = cache_folder() / "stores" / f"{name}-{_identity(folder)[:12]}.store"
    if not place.exists():
        logger.info("writing %s as a store, once, to %s", name, place)
        place.parent.mkdir(parents=True, exist_ok=True)
        write_store(open_source(folder), place, tell=_tell())
    return open_store(place).dataset()


def find(data: str | Path, root: str | Path | None = None, *, yes: bool = False) -> tuple[str, Path]:
    """The name of a set and the folder that has its ``raw``, downloaded where it is not there."""
    path = Path(data).expanduser()
    if isinstance(data, Path) or len(path.parts) > 1:
        folder = set_above(path)
        if folder is None:
            raise ValueError(f"{data} is no folder in the layout of an OGB node set: {_what_is_missing(path, MARKS)}")
        return name_of(folder), folder
    entry = DATASETS[canonical(str(data))]
    if entry.family != "ogbn":
        raise ValueError(f"data must be one of {', '.join(LICENCES)} or a folder in the layout of one, got {str(data)!r}")
    return entry.name, _find(entry, root, yes)


class NodeSet:
    """A graph in OGB's raw files, as :class:`graphssl.store.Source` asks for it. Labels and splits are read at once."""

    def __init__(self, name: str, layout: Layout, *, undirected: bool, metric: str | None, licence: str, source: str) -> None:
        self.name, self.layout, self.undirected, self.licence, self.source = name, layout, undirected, licence, source
        self.num_nodes, self.num_features = layout.num_nodes, layout.num_features
        self.num_edges: int | None = layout.num_edges  # as they are listed
        self.identity = f"{_identity(layout.folder)} {layout.edge_file.relative_to(layout.folder)}"
        self.y: np.ndarray = layout.labels()
        self.splits: Mapping[str, tuple[np.ndarray, np.ndarray, np.ndarray]] = {layout.split_name: self._split(layout.split)}
        self.metric = metric or ("accuracy" if self.y.ndim == 1 else "roc_auc")  # as OGB has it

    def edges(self) -> Iterator[tuple[np.ndarray, None]]:
        """``[2, k]`` at a time, as they are listed."""
        for edges in self.layout.edges():
            yield edges, None

    def features(self) -> Iterator[np.ndarray]:
        """``[k, F]`` at a time, float32 or float16."""
        path, done = self.layout.feature_file, 0
        for x in self.layout.features():
            if not np.isfinite(x).all():
                row = done + int(np.flatnonzero(~np.isfinite(x).all(1))[0])
                raise ValueError(f"{path}: a number in row {row:,} is not finite")
            yield x
            done += len(x)

    def _split(self, folder: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        train, val, test = (self._rows(folder / f"{part}.csv.gz") for part in PARTS)
        held = np.sort(np.concatenate([train, val, test]))
        if (held[1:] == held[:-1]).any():
            raise ValueError(f"{folder}: a row stands in more than one of {', '.join(PARTS)}, or twice")
        return train, val, test

    def _rows(self, path: Path) -> np.ndarray:
        rows = raw.column(path)
        if rows.size and (rows.min() < 0 or rows.max() >= self.num_nodes):
            raise ValueError(f"{path}: rows {rows.min():,} to {rows.max():,} are listed, but there are 0 to {self.num_nodes - 1:,}")
        return rows


def _identity(folder: Path) -> str:
    """Of sizes and times of the files: another where one was changed."""
    paths = [path for below in ("raw", "split") for path in sorted((folder / below).rglob("*.*z")) if path.is_file()]
    paths += [] if has_raw(folder) else [folder / SAVED]
    known = [(str(path.relative_to(folder)), path.stat().st_size, path.stat().st_mtime_ns) for path in paths]
    return hashlib.sha256(repr(known).encode()).hexdigest()


# ---------------------------------------------------------------------- where it is


def _find(entry: Entry, root: str | Path | None, yes: bool) -> Path:
    name = Path(entry.folder).name
    places = roots(root)
    near = [place / below / f"{name}{end}" for place in places for below in ("ogb", "") for end in ("", "_pyg", "_dgl")]
    for folder in near:
        if set_above(folder) is not None:
            return folder
    row = master("nodeproppred")[entry.name]
    mark = "raw/data.npz" if row["binary"] == "True" else "raw/num-node-dict.csv.gz" if row["is hetero"] == "True" else "raw/edge.csv.gz"
    there = next((folder for folder in near if folder.is_dir()), None)
    if there is not None:
        raise DatasetNotFound(f"dataset {entry.name!r}: {_what_is_missing(there, (Path(mark).name,))}")
    targets = [place / entry.folder for place in places]
    url = row["url"].replace("http://", "https://")
    try:
        return download(entry.name, url, targets, (mark,), licence=LICENCES[entry.name], yes=yes)
    except (OSError, HTTPException, EOFError, zipfile.BadZipFile) as error:
        raise DatasetNotFound(
            f"dataset {entry.name!r}: {targets[0]} with {mark} and so on is not there, and it could not be downloaded ({error}). "
            f"Unpack {url} and put its folder there, or name another root that has {entry.folder} (root=, --root or GRAPHSSL_DATA)."
        ) from error


def _what_is_missing(folder: Path, marks: tuple[str, ...]) -> str:
    if (folder / "raw" / "graph-label.csv.gz").is_file():
        return f"{folder} is a set of many graphs, which load takes by its name"
    one = f"{'one of ' if len(marks) > 1 else ''}raw/{', raw/'.join(marks)}"
    if any((folder / "processed").glob("*")):
        return (
            f"{folder} holds neither {one} nor both of {SAVED} and split/. "
            "Put the set's raw folder there, or delete the folder to get it anew"
        )
    return f"{folder} has no {one}" if folder.is_dir() else f"there is no folder {folder}"


def _tell() -> Callable[[str, int, int | None], None]:
    last = ""

    def tell(what: str, done: int, total: int | None) -> None:
        nonlocal last
        if what != last:
            logger.info("%s%s", what, f" ({total:,})" if total else "")
            last = what

    return tell
