"""Parts of a graph: even in size, with few edges between them."""

from __future__ import annotations

import logging
from collections.abc import Callable
from importlib.util import find_spec
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from graphssl.batches.clusters import Level, Limits, breadth_first, collect, count_pairs, even, move, place, renumber, sum_pairs, weight_cut
from graphssl.batches.subgraphs import Ints, shuffled
from graphssl.graph import Graph

logger = logging.getLogger(__name__)

BALANCE = 1.1  # nodes of the largest part over the mean
EDGE_BALANCE = 1.5  # edges likewise, as far as clusters and single nodes allow
SMALLEST = 0.8  # of the mean; no pass takes nodes from a part below
CLUSTERS = 14  # at least so many clusters a part: near KaHIP's factor for social networks (Meyerhenke et al., 2014, section 4)
COARSEST = 20  # nodes a part below which nothing is merged any more
MERGING, REFINING, PLACING = 4, 4, 10  # passes
TRIALS = 4  # of the first parts, where the coarsest graph is small
SMALL = 200_000


def partition(
    graph: Graph,
    num_parts: int,
    *,
    seed: int = 0,
    method: Literal["auto", "metis", "own"] = "auto",
    tell: Callable[[int, int], None] | None = None,
) -> Tensor:
    """The part of each node, ``[N]`` int32: parts of at most 1.1 times the mean in nodes, none empty, with few edges between them.

    ``own`` is a multilevel partitioner after Meyerhenke, Sanders and Schulz (2014, arXiv:1402.3281): nodes join the cluster that most of
    their neighbours are in while it has room, the clusters become the nodes of a smaller graph, and so on; the smallest graph is cut by
    linear deterministic greedy placing (Stanton and Kliot, 2012) in several passes (Nishimura and Ugander, 2013), and on the way back nodes
    join the part of most of their neighbours. Each pass is linear in the edges. Parts are also held to 1.5 times the mean in edges, as far
    as single nodes allow. ``metis`` is METIS (Karypis and Kumar, 1998) through ``pymetis``, which holds them even in nodes only.

    Args:
        graph: one graph on the CPU. Weights do not count; of a directed graph ``own`` sees, at each node, the edges into it.
        num_parts: 1 to ``N``.
        seed: of the order in which nodes are gone through.
        method: ``auto`` is METIS where pymetis is installed, else our own.
        tell: called with the steps that are done and how many there are (``own``).

    Raises:
        ValueError: a number of parts outside ``[1, N]``, an unknown method, METIS without pymetis.

    Example:
        >>> cliques = torch.block_diag(torch.ones(4, 4), torch.ones(4, 4)).nonzero().t()
        >>> partition(Graph.of((torch.eye(8), cliques)), 2, method="own").tolist() in ([0] * 4 + [1] * 4, [1] * 4 + [0] * 4)
        True

    Deviation: one descent instead of V-cycles, no evolutionary search on the smallest graph, and a limit on the edges of a part.
    """
    if method not in ("auto", "metis", "own"):
        raise ValueError(f"method must be auto, metis or own, got {method!r}")
    if isinstance(num_parts, bool) or not isinstance(num_parts, int) or not 1 <= num_parts <= graph.num_nodes:
        raise ValueError(f"num_parts must be an integer in [1, {graph.num_nodes}] (the nodes), got {num_parts!r}")
    installed = find_spec("pymetis") is not None
    if method == "metis" and not installed:
        raise ValueError("method='metis' needs pymetis (pip install pymetis); method='own' needs nothing")
    if num_parts == 1:
        return torch.zeros(graph.num_nodes, dtype=torch.int32)
    part = None
    if method == "metis" or (method == "auto" and installed):
        try:
            part = _metis(graph, num_parts, seed)
        except RuntimeError as error:  # METIS gives up on some graphs without saying why
            if method == "metis":
                raise
            logger.warning("METIS could not cut the graph (%s); graphssl cuts it itself", error)
    if part is None:
        part = _multilevel(_whole(graph), num_parts, seed, tell or (lambda done, total: None))
    even(part, np.bincount(part, minlength=num_parts), _capacity(graph.num_nodes, num_parts))
    return torch.from_numpy(part)


def members(part: Tensor) -> tuple[Ints, Ints]:
    """The nodes of each part that has any: ``ptr`` ``[P + 1]``, and nodes ``[N]`` part by part, ascending in each.

    Example:
        >>> ptr, nodes = members(torch.tensor([3, 0, 3]))
        >>> ptr.tolist(), nodes.tolist()
        ([0, 1, 3], [1, 0, 2])
    """
    label = part.numpy()
    counts = np.bincount(label)
    ptr = np.concatenate([[0], counts.cumsum()])
    nodes = np.empty(len(label), np.int32 if len(label) < 2**31 else np.int64)
    collect(label, ptr[:-1].copy(), nodes)
    return ptr[np.concatenate([[True], counts > 0])], nodes


# ---------------------------------------------------------------------- levels


def _whole(graph: Graph) -> Level:
    ptr, col = graph.pattern.ptr.numpy(), graph.pattern.col.numpy()
    return Level(ptr, col, np.empty(0, np.int32), np.ones(graph.num_nodes, np.int64), np.diff(ptr).astype(np.int64))


def _capacity(n: int, num_parts: int) -> int:
    return max(-(-n // num_parts), int(BALANCE * n / num_parts))


def _multilevel(level: Level, num_parts: int, seed: int, tell: Callable[[int, int], None]) -> Ints:
    n, m = len(level.nodes), int(level.edges.sum())
    total = MERGING + REFINING + 2
    merged = Limits(max(2, n // (CLUSTERS * num_parts)), 0, max(4, m // (CLUSTERS * num_parts)))
    limits = Limits(_capacity(n, num_parts), int(SMALLEST * n / num_parts), int(EDGE_BALANCE * m / num_parts) + 1)
    finer: list[tuple[Level, Ints]] = []
    while len(level.nodes) > max(COARSEST * num_parts, 2_000):
        label = np.arange(len(level.nodes), dtype=np.int32)
        size, load = level.nodes.copy(), level.edges.copy()
        for k in range(MERGING):
            order = np.diff(level.ptr).argsort(kind="stable") if k == 0 else shuffled(len(label), seed, len(finer), k)
            move(level, label, size, load, order, merged)
            if not finer:
                tell(k + 1, total)
        count = renumber(label)
        if count > 0.95 * len(label):
            break
        finer.append((level, label))
        level = _contracted(level, label, count)
    part = _first_parts(level, num_parts, limits, seed)
    tell(MERGING + 1, total)
    while True:
        size, load = _loads(level, part, num_parts)
        for k in range(REFINING):
            moved = move(level, part, size, load, shuffled(len(part), seed, len(finer), k, 1), limits)
            if not finer:
                tell(MERGING + 2 + k, total)
            if moved < 0.002 * len(part):
                break
        if not finer:
            break
        level, label = finer.pop()
        part = part[label]
    tell(total, total)
    return part


def _first_parts(level: Level, num_parts: int, limits: Limits, seed: int) -> Ints:
    """Parts of the coarsest graph: the best of some trials by the edges that they cut."""
    n = len(level.nodes)
    best, least = None, -1
    for trial in range(TRIALS if n <= SMALL else 1):
        order = breadth_first(level.ptr, level.col, shuffled(n, seed, trial, 2))
        part = np.full(n, -1, np.int32)
        size, load = np.zeros(num_parts, np.int64), np.zeros(num_parts, np.int64)
        mean = int(level.nodes.sum()) / num_parts
        for k in range(PLACING):  # the room grows from the mean to the limit: with room to spare at once, parts would stay empty
            most = int(mean + (limits.most - mean) * k / (PLACING - 1))
            place(level, part, size, load, order, limits._replace(most=most))
        for k in range(PLACING):
            move(level, part, size, load, shuffled(n, seed, trial, k, 3), limits)
        cut = weight_cut(level, part)
        if best is None or cut < least:
            best, least = part, cut
    assert best is not None
    return best


def _loads(level: Level, part: Ints, num_parts: int) -> tuple[Ints, Ints]:
    size, load = np.zeros(num_parts, np.int64), np.zeros(num_parts, np.int64)
    np.add.at(size, part, level.nodes)
    np.add.at(load, part, level.edges)
    return size, load


def _contracted(level: Level, label: Ints, count: int) -> Level:
    ptr, nodes = members(torch.from_numpy(label))
    rows = np.zeros(count + 1, np.int64)
    count_pairs(level, label, ptr, nodes, rows)
    np.cumsum(rows, out=rows)
    col, weight = np.empty(rows[-1], np.int32), np.empty(rows[-1], np.int32)
    sum_pairs(level, label, ptr, nodes, rows, col, weight)
    return Level(rows, col, weight, *_loads(level, label, count))


def _metis(graph: Graph, num_parts: int, seed: int) -> Ints:
    import pymetis  # type: ignore[import-not-found, unused-ignore]
    from scipy.sparse import csr_matrix

    ptr, col = graph.pattern.ptr.numpy(), graph.pattern.col.numpy()
    rows = csr_matrix((np.ones(len(col), np.int8), col, ptr), shape=(graph.num_nodes, graph.num_nodes), copy=True)
    rows.sum_duplicates()
    if not (graph.known_symmetric or graph.known_reverse is not None):  # METIS wants each edge in both directions
        rows = (rows + rows.T).tocsr()
    if rows.diagonal().any():  # and no self-loops
        rows.setdiag(0)
        rows.eliminate_zeros()
    adjacency = pymetis.CSRAdjacency(rows.indptr, rows.indices)
    return np.asarray(pymetis.part_graph(num_parts, adjacency, options=pymetis.Options(seed=seed % 2**31))[1], np.int32)
