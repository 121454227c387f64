"""Sets of nodes around some of a large graph's: where random walks come by, and sampled neighbourhoods."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numba import njit

from graphssl.batches.subgraphs import Ints, Subgraphs, below, hashed, stream


def walk(graph: Subgraphs, roots: int, length: int, numbers: Sequence[int]) -> tuple[Ints, int]:
    """Nodes met by random walks against the edges, from ``roots`` uniform draws: the different roots, the others, and how many roots.

    Returns the nodes ``[N']`` (ascending among the roots and among the others) and the number of different roots.
    """
    met = np.empty(roots * (length + 1), np.int64)
    scratch = graph.borrow()
    count, different = _walk(graph.ptr, graph.col, np.uint64(stream(*numbers)), roots, length, scratch, met)
    graph.give_back(scratch)
    met[:different].sort()
    met[different:count].sort()
    return met[:count].copy(), different


def egos(graph: Subgraphs, seeds: Ints, hops: int, fan_out: int, numbers: Sequence[int]) -> tuple[Ints, Ints]:
    """For each of ``seeds`` ``[S]`` the nodes within ``hops`` steps against the edges, at most ``fan_out`` sampled (-1: all) at each.

    Returns the nodes ``[N']``, seeds first, and ``groups`` ``[S + 1]``: rows of the other nodes of each seed, ascending.
    """
    scratch = graph.borrow()
    nodes, groups = _egos(graph.ptr, graph.col, np.uint64(stream(*numbers)), seeds, hops, fan_out, scratch)
    graph.give_back(scratch)
    return nodes, groups


# ---------------------------------------------------------------------- kernels


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _walk(ptr: Any, col: Any, key: Any, roots: int, length: int, seen: Any, met: Any) -> Any:
    """Fills ``met`` with the different nodes, roots first; returns how many, and how many of them are roots."""
    n = len(ptr) - 1
    at = np.empty(roots, np.int64)
    count = different = 0
    for step in range(length + 1):
        for w in range(roots):
            word = hashed(key, step * roots + w)
            if step == 0:
                at[w] = below(word, n)
            else:
                degree = ptr[at[w] + 1] - ptr[at[w]]
                if degree:
                    at[w] = col[ptr[at[w]] + below(word, degree)]
            if seen[at[w]] < 0:
                seen[at[w]] = 0
                met[count] = at[w]
                count += 1
        if step == 0:
            different = count
    for k in range(count):
        seen[met[k]] = -1
    return count, different


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _sample(begin: int, end: int, fan_out: int, key: Any, out: Any) -> int:
    """Fills ``out`` with ``fan_out`` different entries of a row, or fewer where it is shorter (Floyd's algorithm)."""
    degree = end - begin
    if degree <= fan_out:
        for k in range(degree):
            out[k] = begin + k
        return degree
    for k in range(fan_out):
        top = degree - fan_out + k
        pick = below(hashed(key, k), top + 1)
        for i in range(k):
            if out[i] == begin + pick:
                pick = top
                break
        out[k] = begin + pick
    return fan_out


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _egos(ptr: Any, col: Any, key: Any, seeds: Any, hops: int, fan_out: int, seen: Any) -> Any:
    nodes = np.empty(max(64 * len(seeds), 1024), np.int64)
    nodes[: len(seeds)] = seeds
    groups = np.empty(len(seeds) + 1, np.int64)
    picks = np.empty(max(fan_out, 0), np.int64)
    count = len(seeds)
    for s in range(len(seeds)):
        groups[s] = count
        own = hashed(key, s)
        seen[seeds[s]] = 0
        front, past = count - 1, count  # the seed alone, then all that the last hop found
        for hop in range(hops):
            for r in range(front, past):
                v = seeds[s] if hop == 0 else nodes[r]
                begin, end = ptr[v], ptr[v + 1]
                took = end - begin if fan_out < 0 else _sample(begin, end, fan_out, hashed(own, r - groups[s] + 1), picks)
                if count + took > len(nodes):
                    larger = np.empty(2 * (count + took), np.int64)
                    larger[:count] = nodes[:count]
                    nodes = larger
                for k in range(took):
                    u = col[begin + k if fan_out < 0 else picks[k]]
                    if seen[u] < 0:
                        seen[u] = 0
                        nodes[count] = u
                        count += 1
            front, past = past, count
        seen[seeds[s]] = -1
        for r in range(groups[s], count):
            seen[nodes[r]] = -1
        nodes[groups[s] : count].sort()
    groups[len(seeds)] = count
    return nodes[:count].copy(), groups
