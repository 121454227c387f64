"""Induced subgraphs of a large graph, with four bytes of scratch a node, and random numbers that a few counts decide."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numba import njit
from numpy.typing import NDArray
from torch import Tensor

from graphssl.adjacency import CSR, Pattern, full
from graphssl.batches.merging import turned
from graphssl.graph import Graph

Ints = NDArray[Any]

GOLDEN, MIX_1, MIX_2 = 0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB  # splitmix64 (Steele et al., 2014)
WORD = (1 << 64) - 1
HUB = 16  # entries of a row for each node of a subgraph from which on nodes are looked up in it, and it is not gone through


class Subgraphs:
    """Induced subgraphs of one large graph, read from its rows; safe to be asked by several threads at once.

    Each thread that asks at the same time takes scratch of four bytes a node; it is kept for the next.

    Args:
        graph: a single graph on the CPU, in memory or mapped from a file; ``edge_index`` is not asked for.

    Raises:
        ValueError: several graphs side by side, a batch of which only the first rows count, or a graph elsewhere than on the CPU.

    Example:
        >>> path = Graph.of((torch.eye(4), torch.tensor([[0, 1, 1, 2, 2, 3], [1, 0, 2, 1, 3, 2]])))
        >>> g = Subgraphs(path).induced(np.array([1, 2]))
        >>> g.node_id.tolist(), g.edge_index.tolist(), g.is_undirected
        ([1, 2], [[1, 0], [0, 1]], True)
    """

    def __init__(self, graph: Graph) -> None:
        if graph.num_graphs > 1 or graph.num_seeds is not None:
            raise ValueError(f"graph must be one whole graph, got {graph.num_graphs} graphs with num_seeds={graph.num_seeds}")
        if graph.device.type != "cpu":
            raise ValueError(f"graph must be on the CPU, got {graph.device}")
        self.graph = graph
        self.ptr: Ints = graph.pattern.ptr.numpy()  # [N + 1]
        self.col: Ints = graph.pattern.col.numpy()  # [E]
        self._free: list[Ints] = []

    @property
    def paired(self) -> bool:
        """Each edge is known to stand in both directions; nothing is searched for."""
        return self.graph.known_symmetric or self.graph.known_reverse is not None

    def borrow(self) -> Ints:
        """Scratch ``[N]`` of -1 everywhere, to be given back so with :meth:`give_back`."""
        try:
            return self._free.pop()
        except IndexError:
            return np.full(self.graph.num_nodes, -1, np.int32)

    def give_back(self, scratch: Ints) -> None:
        """Scratch for the next to borrow, -1 everywhere again."""
        self._free.append(scratch)

    def induced(self, nodes: Ints, num_seeds: int | None = None, groups: Ints | None = None) -> Graph:
        """The subgraph on ``nodes`` with all edges among them, rows ``[0, S)`` the seeds; linear in the edges into ``nodes``.

        Args:
            nodes: ``[N']`` the seeds, then the others; ascending in each of the two parts.
            num_seeds: ``S``; ``None``: there is one ascending part and the loss is on all of it.
            groups: ``[S + 1]``: seed ``s`` and the nodes ``groups[s]`` to ``groups[s + 1]`` (ascending) form a subgraph of their own,
                and no edge joins two of them; a node may then stand in several. Seeds need not be ascending.
        """
        lead = num_seeds or 0
        assert lead <= len(nodes), f"{lead} seeds among {len(nodes)} nodes: compiled code would read past the end"
        if groups is None:
            leads, rests = np.array([0, lead]), np.array([lead, len(nodes)])
        else:
            leads, rests = np.arange(lead + 1), groups
        scratch = self.borrow()
        ptr = np.zeros(len(nodes) + 1, np.int64)
        _count_edges(self.ptr, self.col, nodes, leads, rests, scratch, ptr)
        np.cumsum(ptr, out=ptr)
        col = np.empty(ptr[-1], np.int32)
        valued = self.graph.edge_weight is not None or self.graph.edge_attr is not None
        entry = np.empty(ptr[-1] if valued else 0, np.int64)
        _fill_edges(self.ptr, self.col, nodes, leads, rests, scratch, ptr, col, entry)
        self.give_back(scratch)
        return self._graph(nodes, self._pattern(ptr, col), torch.from_numpy(entry), num_seeds)

    def _pattern(self, ptr: Ints, col: Ints) -> Pattern:
        n = len(ptr) - 1
        if self.paired:
            perm = np.empty(len(col), np.int64)
            _pair_edges(ptr, col, perm)
            turned_ptr, turned_col = ptr, col
        else:
            turned_ptr, turned_col, perm = turned(ptr, col)
        other = Pattern(torch.from_numpy(turned_ptr), torch.from_numpy(turned_col), n)
        return Pattern(torch.from_numpy(ptr), torch.from_numpy(col), n, transpose=(other, torch.from_numpy(perm)))

    def _graph(self, nodes: Ints, pattern: Pattern, entry: Tensor, num_seeds: int | None) -> Graph:
        whole, index = self.graph, torch.from_numpy(nodes)
        if isinstance(whole.x, CSR):
            rows = whole.x.rows(index)
            x: Tensor | CSR = rows if rows.val is None else rows.with_values(full(rows.val))
        else:
            x = full(whole.x.index_select(0, index))
        weight = None if whole.edge_weight is None else full(whole.edge_weight.index_select(0, entry))
        return Graph.of_pattern(
            x,
            pattern,
            weight,
            None if whole.edge_attr is None else whole.edge_attr.index_select(0, entry),
            undirected=whole.known_symmetric,
            reverse=pattern.transpose()[1] if self.paired else None,
            num_seeds=num_seeds,
            node_id=index if whole.node_id is None else whole.node_id.index_select(0, index),
        )


def stream(*numbers: int) -> int:
    """A random number of 64 bits that ``numbers`` decide: the key of the draws of one batch.

    Example:
        >>> stream(0, 1) == stream(0, 1), stream(0, 1) == stream(1, 0)
        (True, False)
    """
    key = 0
    for number in numbers:
        key = (key ^ (number & WORD)) + GOLDEN & WORD
        key = (key ^ key >> 30) * MIX_1 & WORD
        key = (key ^ key >> 27) * MIX_2 & WORD
        key ^= key >> 31
    return key


def shuffled(n: int, *numbers: int) -> Ints:
    """A permutation of ``n`` that ``numbers`` decide, ``[n]`` int64; no generator's state is read or changed.

    Example:
        >>> sorted(shuffled(4, 0, 7).tolist())
        [0, 1, 2, 3]
    """
    keys = np.empty(n, np.uint64)
    _fill_keys(np.uint64(stream(*numbers)), keys)
    return keys.argsort(kind="stable")


# ---------------------------------------------------------------------- kernels: random numbers


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def hashed(key: Any, number: Any) -> Any:
    """The random word of 64 bits at place ``number`` of the stream ``key``."""
    word = (key ^ np.uint64(number)) + np.uint64(GOLDEN)
    word = (word ^ (word >> np.uint64(30))) * np.uint64(MIX_1)
    word = (word ^ (word >> np.uint64(27))) * np.uint64(MIX_2)
    return word ^ (word >> np.uint64(31))


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def below(word: Any, n: Any) -> Any:
    """A number in ``[0, n)``, ``n`` below 2^32, from the upper half of ``word``."""
    return np.int64(((word >> np.uint64(32)) * np.uint64(n)) >> np.uint64(32))


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _fill_keys(key: Any, keys: Any) -> None:
    for i in range(len(keys)):
        keys[i] = hashed(key, i)


# ---------------------------------------------------------------------- kernels: induced subgraphs


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _number(nodes: Any, leads: Any, rests: Any, g: int, local: Any) -> None:
    for r in range(leads[g], leads[g + 1]):
        local[nodes[r]] = r
    for r in range(rests[g], rests[g + 1]):
        local[nodes[r]] = r


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _forget(nodes: Any, leads: Any, rests: Any, g: int, local: Any) -> None:
    for r in range(leads[g], leads[g + 1]):
        local[nodes[r]] = -1
    for r in range(rests[g], rests[g + 1]):
        local[nodes[r]] = -1


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _first(col: Any, begin: int, end: int, node: int) -> int:
    """The first entry of an ascending row that is not below ``node``."""
    while begin < end:
        middle = (begin + end) // 2
        if col[middle] < node:
            begin = middle + 1
        else:
            end = middle
    return begin


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _count_edges(ptr: Any, col: Any, nodes: Any, leads: Any, rests: Any, local: Any, counts: Any) -> None:
    for g in range(len(leads) - 1):
        _number(nodes, leads, rests, g, local)
        for first, past in ((leads[g], leads[g + 1]), (rests[g], rests[g + 1])):
            for r in range(first, past):
                begin, end, found = ptr[nodes[r]], ptr[nodes[r] + 1], 0
                if end - begin > HUB * (leads[g + 1] - leads[g] + rests[g + 1] - rests[g]):
                    for low, high in ((leads[g], leads[g + 1]), (rests[g], rests[g + 1])):
                        for source in range(low, high):
                            e = _first(col, begin, end, nodes[source])
                            while e < end and col[e] == nodes[source]:
                                found, e = found + 1, e + 1
                else:
                    for e in range(begin, end):
                        found += local[col[e]] >= 0
                counts[r + 1] = found
        _forget(nodes, leads, rests, g, local)


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _fill_edges(ptr: Any, col: Any, nodes: Any, leads: Any, rests: Any, local: Any, out_ptr: Any, out: Any, entry: Any) -> None:
    border = leads[-1]  # rows below are seeds: sources among them come first in each row, so that rows are ascending
    for g in range(len(leads) - 1):
        _number(nodes, leads, rests, g, local)
        for first, past in ((leads[g], leads[g + 1]), (rests[g], rests[g + 1])):
            for r in range(first, past):
                begin, end, at = ptr[nodes[r]], ptr[nodes[r] + 1], out_ptr[r]
                if end - begin > HUB * (leads[g + 1] - leads[g] + rests[g + 1] - rests[g]):
                    for low, high in ((leads[g], leads[g + 1]), (rests[g], rests[g + 1])):
                        for source in range(low, high):
                            e = _first(col, begin, end, nodes[source])
                            while e < end and col[e] == nodes[source]:
                                out[at] = source
                                if len(entry):
                                    entry[at] = e
                                at, e = at + 1, e + 1
                    continue
                for low, high in ((0, border), (border, len(nodes))):
                    if low == high or at == out_ptr[r + 1]:
                        continue
                    for e in range(begin, end):
                        row = local[col[e]]
                        if low <= row < high:
                            out[at] = row
                            if len(entry):
                                entry[at] = e
                            at += 1
        _forget(nodes, leads, rests, g, local)


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _pair_edges(ptr: Any, col: Any, reverse: Any) -> None:
    """The opposite of each edge, where all stand in both directions: rows are gone through in order, so sources meet in order."""
    place = ptr[:-1].copy()
    for i in range(len(ptr) - 1):
        for e in range(ptr[i], ptr[i + 1]):
            j = col[e]
            reverse[e] = place[j]
            place[j] += 1
