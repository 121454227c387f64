"""A store from a source: in pieces, within a given memory, and going on where it was stopped."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from graphssl.files import CARD, check_free
from graphssl.store.buckets import Buckets, Tell, write_rows
from graphssl.store.columns import write_features
from graphssl.store.format import FLOATS, FORMAT, Card, SplitSizes, Statistics, as_bytes, index_type, write_card
from graphssl.store.source import Source
from graphssl.store.work import Work, working

PIECE = 1 << 21  # entries that are looked at together


def write_store(
    source: Source,
    out: str | Path,
    *,
    dtype: str = "float32",
    memory: int | str = "4GB",
    tell: Tell | None = None,
    force: bool = False,
) -> Card:
    """Write a graph to a folder of plain arrays that can be mapped into memory (:func:`graphssl.store.open_store`); returns its card.

    Edges go into buckets by target on disk, and bucket by bucket into sorted rows, so that the memory in use is bounded whatever the
    number of edges; features pass through. The result does not depend on ``memory``. Of an undirected source both directions of each
    edge are stored, once, with the mean of the weights where it is listed several times; of a directed one every edge is kept as it is
    listed, parallel ones included, and the edges by source (the transpose) are stored too, unless both directions of each edge turn out
    to be there with one weight: then the store is undirected. Self-loops are kept, once each in an undirected source.

    The folder appears when it is whole. A conversion that was stopped leaves a hidden folder beside it, and the next call with the same
    source and options goes on in it.

    Args:
        source: what to write.
        out: the folder.
        dtype: of the features: ``float32``, ``float16`` or ``bfloat16``.
        memory: bytes to get along with, as a number or as ``"4GB"``; 8 bytes a node, and what the source itself takes, come on top.
        tell: called with what is being done, how much of it is done, and of how much (``None``: not known).
        force: take the place of the store that stands there.

    Raises:
        ValueError: a source that contradicts itself, an edge outside the graph, features or weights that are not finite, or a folder that
            must not be replaced.

    Example:
        >>> import tempfile
        >>> from graphssl import load
        >>> from graphssl.store import dataset_source, open_store
        >>> folder = Path(tempfile.mkdtemp())
        >>> card = write_store(dataset_source(load("karate")), folder / "karate.store")
        >>> open_store(folder / "karate.store").graph().num_edges
        156
    """
    budget = as_bytes(memory)
    if dtype not in FLOATS:
        raise ValueError(f"dtype must be one of {', '.join(FLOATS)}, got {dtype!r}")
    y = _check(source)
    out = Path(os.path.abspath(out))
    check_free(out, force=force, mark=CARD, what="store")
    with working(out, _key(source, y, dtype)) as work:
        _write(work, source, y, dtype, budget, tell or _silent)
        card = _card(work, source, dtype)
        write_card(work.folder, card)
    return card


# ---------------------------------------------------------------------- stages


def _write(work: Work, source: Source, y: np.ndarray, dtype: str, memory: int, tell: Tell) -> None:
    if "columns" not in work.state:
        write_features(work, source, dtype, tell)
    if "loops col" not in work.state:
        _write_edges(work, source, memory, tell)
    if not source.undirected and "paired" not in work.state:
        _write_transpose(work, source.num_nodes, memory, tell)
    tell("labels", 0, source.num_nodes)
    work.write("y", y, y.dtype.str)
    for i, parts in enumerate(source.splits.values()):
        work.write(f"split_{i}", np.concatenate([np.sort(np.asarray(part)) for part in parts]), "<i8")
    work.save()
    tell("labels", source.num_nodes, source.num_nodes)


def _write_edges(work: Work, source: Source, memory: int, tell: Tell) -> None:
    weighted = work.state.get("weighted", False)
    folder = work.folder / "buckets"
    if "listed" not in work.state:
        pieces = _pieces(source)
        first = next(pieces, None)
        weighted = first is not None and first[2] is not None
        buckets = Buckets(folder, source.num_nodes, "<f4" if weighted else None)
        taken = 0
        tell("reading edges", 0, source.num_edges)
        for taken in buckets.fill(_alike(first, pieces, weighted), memory, both=source.undirected):
            tell("reading edges", taken, source.num_edges)
        if source.num_edges is not None and taken != source.num_edges:
            raise ValueError(f"edges: {source.name} must have {source.num_edges:,} edges as it says, got {taken:,}")
        work.save(listed=taken, weighted=weighted)
    buckets = Buckets(folder, source.num_nodes, "<f4" if weighted else None)
    write_rows(work, buckets, ("ptr", "col", "weight"), merge=source.undirected, sort=True, memory=memory, tell=tell)


def _write_transpose(work: Work, num_nodes: int, memory: int, tell: Tell) -> None:
    if "loops out_col" not in work.state:
        ptr, col = work.mapped("ptr"), work.mapped("col")
        buckets = Buckets(work.folder / "buckets", num_nodes, index_type(col.size))
        if not work.state.get("turned"):
            tell("turning edges", 0, col.size)
            for taken in buckets.fill(_turned(ptr, col), memory):
                tell("turning edges", taken, col.size)
            work.save(turned=True)
        write_rows(work, buckets, ("out_ptr", "out_col", "out_edge"), merge=False, sort=False, memory=memory, tell=tell)
    paired = all(_same(work.mapped(name), work.mapped(f"out_{name}")) for name in ("ptr", "col"))
    if paired and (not work.state["weighted"] or _same(work.mapped("weight"), work.mapped("weight"), work.mapped("out_edge"))):
        for name in ("out_ptr", "out_col", "out_edge"):  # an undirected graph is its own transpose
            work.state["files"].pop(name)
    work.save(paired=paired)


def _pieces(source: Source) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray | None]]:
    """Target, source and weight of edges, checked."""
    n = source.num_nodes
    for edges, weight in source.edges():
        if edges.ndim != 2 or edges.shape[0] != 2 or edges.dtype.kind not in "iu":
            raise ValueError(f"edges: pieces must be integers [2, k], got {edges.dtype} of shape {edges.shape}")
        if not edges.size:
            continue
        if edges.min() < 0 or edges.max() >= n:
            raise ValueError(f"edges: an edge goes outside the graph: nodes {edges.min()} to {edges.max()}, but there are 0 to {n - 1}")
        if weight is not None and (weight.shape != (edges.shape[1],) or not np.isfinite(weight).all()):
            raise ValueError(f"edges: weights must be one finite number for each of the {edges.shape[1]} edges of a piece")
        yield edges[1], edges[0], weight


def _alike(first: Any, pieces: Iterator[Any], weighted: bool) -> Iterator[Any]:
    if first is not None:
        yield first
    for piece in pieces:
        if (piece[2] is not None) != weighted:
            raise ValueError("edges: all pieces must have weights, or none")
        yield piece


def _turned(ptr: np.ndarray, col: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Source, target and number of each edge, by target."""
    for start in range(0, col.size, PIECE):
        stop = min(col.size, start + PIECE)
        first = int(np.searchsorted(ptr, start, side="right")) - 1
        last = int(np.searchsorted(ptr, stop, side="left"))
        held = np.diff(np.clip(ptr[first : last + 1], start, stop))
        yield col[start:stop], np.repeat(np.arange(first, last), held), np.arange(start, stop)


def _same(left: np.ndarray, right: np.ndarray, order: np.ndarray | None = None) -> bool:
    """Whether two arrays are equal, the second in another order where one is given."""
    for start in range(0, left.size, PIECE):
        part = slice(start, start + PIECE)
        if not np.array_equal(left[part], right[part] if order is None else right[order[part]]):
            return False
    return True


# ---------------------------------------------------------------------- what is written beside


def _check(source: Source) -> np.ndarray:
    """Labels as they are stored."""
    n = source.num_nodes
    if n < 1 or source.num_features < 1:
        raise ValueError(f"source: {source.name} must have nodes and features, got {n} and {source.num_features}")
    y = np.asarray(source.y)
    if y.ndim not in (1, 2) or len(y) != n or (y.ndim == 1 and y.dtype.kind not in "iu") or y.dtype.kind not in "iuf":
        raise ValueError(f"y: must be [{n}] integers or [{n}, C] numbers, got {y.dtype} of shape {y.shape}")
    for name, parts in source.splits.items():
        rows = np.sort(np.concatenate([np.asarray(part) for part in parts]))
        if rows.size and (rows.dtype.kind not in "iu" or rows[0] < 0 or rows[-1] >= n or (np.diff(rows) == 0).any()):
            raise ValueError(f"splits: {name!r} must hold different rows from 0 to {n - 1} in its three parts")
    return y.astype("<i8" if y.ndim == 1 else "<f8" if y.dtype == np.float64 else "<f4", copy=False)


def _key(source: Source, y: np.ndarray, dtype: str) -> str:
    """What a conversion must have in common with the one that it goes on with."""
    says = [source.name, source.num_nodes, source.num_features, source.num_edges, source.undirected, source.metric, source.licence]
    says += [source.source, getattr(source, "identity", ""), dtype, FORMAT]
    state = hashlib.blake2b(json.dumps(says).encode(), digest_size=16)
    for name, parts in (("y", (y,)), *source.splits.items()):
        state.update(json.dumps([name, *(len(part) for part in parts)]).encode())
        for part in parts:
            state.update(np.ascontiguousarray(part).reshape(-1).data)
    return state.hexdigest()


def _card(work: Work, source: Source, dtype: str) -> Card:
    degrees = np.diff(work.mapped("ptr"))
    num_edges = work.mapped("col").size
    return Card.model_validate(
        {
            "format": FORMAT,
            "name": source.name,
            "num_nodes": source.num_nodes,
            "num_features": source.num_features,
            "num_edges": num_edges,
            "undirected": "out_ptr" not in work.files,
            "paired": source.undirected or work.state["paired"],
            "weighted": work.state["weighted"],
            "features": dtype,
            "sparse": work.state["sparse"],
            "metric": source.metric,
            "source": source.source,
            "licence": source.licence,
            "splits": [SplitSizes(name=name, train=len(a), val=len(b), test=len(c)) for name, (a, b, c) in source.splits.items()],
            "statistics": Statistics(
                degree_min=int(degrees.min()),
                degree_max=int(degrees.max()),
                degree_mean=num_edges / source.num_nodes,
                isolated=int(np.count_nonzero(degrees == 0)),
                self_loops=work.state["loops col"],
                **work.state["columns"],
            ),
            "files": {name: work.files[name] for name in sorted(work.files)},
        }
    )


def _silent(what: str, done: int, total: int | None) -> None:
    return None
