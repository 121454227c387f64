"""Clusters of a graph and what moves nodes between them: the partitioner's compiled passes, each linear in the edges."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray


class Level(NamedTuple):
    """A graph whose nodes stand for clusters of nodes."""

    ptr: NDArray[Any]  # [n + 1]
    col: NDArray[Any]  # [e]
    weight: NDArray[Any]  # [e] edges that each edge stands for; empty: one each
    nodes: NDArray[Any]  # [n] nodes in each cluster
    edges: NDArray[Any]  # [n] edges into each cluster's nodes


class Limits(NamedTuple):
    """How large parts may be."""

    most: int  # nodes of a part
    least: int  # no pass takes a part's nodes away below
    edges: int  # edges into a part's nodes


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def collect(label: Any, place: Any, nodes: Any) -> None:
    """Lists the nodes by label, from the places that ``place`` says on."""
    for v in range(len(label)):
        nodes[place[label[v]]] = v
        place[label[v]] += 1


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _links(level: Any, v: int, label: Any, links: Any, met: Any) -> int:
    """Adds up in ``links`` the edges from each label's nodes to ``v``; lists the labels in ``met`` and returns how many."""
    ptr, col, weight = level.ptr, level.col, level.weight
    count = 0
    for e in range(ptr[v], ptr[v + 1]):
        p = label[col[e]]
        if p < 0 or col[e] == v:
            continue
        if links[p] == 0:
            met[count] = p
            count += 1
        links[p] += weight[e] if len(weight) else 1
    return count


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def move(level: Any, label: Any, size: Any, load: Any, order: Any, limits: Any) -> int:
    """Each node in ``order`` joins the label that most of its edges come from and that has room; returns how many moved."""
    nodes, edges = level.nodes, level.edges
    links, met = np.zeros(len(size), np.int64), np.empty(len(size), np.int32)
    moved = 0
    for v in order:
        own = label[v]
        count = _links(level, v, label, links, met)
        best, most_links = own, links[own] if size[own] <= limits.most else -1
        for k in range(count):
            p = met[k]
            room = size[p] + nodes[v] <= limits.most and load[p] + edges[v] <= limits.edges
            more = links[p] > most_links or (links[p] == most_links and best != own and size[p] < size[best])
            if p != own and room and more:
                best, most_links = p, links[p]
            links[p] = 0
        if best != own and (size[own] - nodes[v] >= limits.least or size[own] > limits.most):
            size[own] -= nodes[v]
            load[own] -= edges[v]
            size[best] += nodes[v]
            load[best] += edges[v]
            label[v] = best
            moved += 1
    return moved


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def place(level: Any, part: Any, size: Any, load: Any, order: Any, limits: Any) -> None:
    """Each node in ``order`` goes, from where it is or from nowhere (-1), to the part of most links times free room, or the smallest."""
    nodes, edges = level.nodes, level.edges
    links, met = np.zeros(len(size), np.int64), np.empty(len(size), np.int32)
    turn = 0
    for v in order:
        if part[v] >= 0:
            size[part[v]] -= nodes[v]
            load[part[v]] -= edges[v]
        count = _links(level, v, part, links, met)
        best, score = -1, 0.0
        for k in range(count):
            p = met[k]
            worth = links[p] * (1 - size[p] / limits.most)
            if worth > score and size[p] + nodes[v] <= limits.most and load[p] + edges[v] <= limits.edges:
                best, score = p, worth
            links[p] = 0
        if best < 0:
            best = turn
            for k in range(turn, turn + 16):  # the smallest of some: of all would take too long where many nodes have no links
                best = k % len(size) if size[k % len(size)] < size[best] else best
            turn = (turn + 16) % len(size)
            best = best if size[best] + nodes[v] <= limits.most else int(np.argmin(size))
        part[v] = best
        size[best] += nodes[v]
        load[best] += edges[v]


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def weight_cut(level: Any, part: Any) -> int:
    """The weight of the edges between parts, each direction by itself."""
    ptr, col, weight = level.ptr, level.col, level.weight
    cut = 0
    for v in range(len(part)):
        for e in range(ptr[v], ptr[v + 1]):
            if part[col[e]] != part[v]:
                cut += weight[e] if len(weight) else 1
    return cut


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def even(part: Any, size: Any, most: int) -> None:
    """Takes nodes out of parts that are too large into the smallest, and one node into each empty part."""
    for v in range(len(part)):
        if size[part[v]] > most:
            p = np.argmin(size)
            size[part[v]] -= 1
            size[p] += 1
            part[v] = p
    empty = len(size) - np.count_nonzero(size)
    for v in range(len(part)):
        if not empty:
            break
        if size[part[v]] > 1:
            p = np.argmin(size)
            size[part[v]] -= 1
            size[p] += 1
            part[v] = p
            empty -= 1


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def renumber(label: Any) -> int:
    """Labels from 0 without gaps, in order of first sight; returns how many."""
    new = np.full(len(label), -1, label.dtype)
    count = 0
    for v in range(len(label)):
        if new[label[v]] < 0:
            new[label[v]] = count
            count += 1
        label[v] = new[label[v]]
    return count


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def count_pairs(level: Any, label: Any, start: Any, nodes: Any, rows: Any) -> None:
    """Clusters that each cluster has edges from, in ``rows[c + 1]``; ``start`` and ``nodes`` list its nodes."""
    ptr, col = level.ptr, level.col
    seen = np.full(len(start), -1, np.int32)
    for c in range(len(start) - 1):
        seen[c] = c
        for k in range(start[c], start[c + 1]):
            for e in range(ptr[nodes[k]], ptr[nodes[k] + 1]):
                d = label[col[e]]
                if seen[d] != c:
                    seen[d] = c
                    rows[c + 1] += 1


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def sum_pairs(level: Any, label: Any, start: Any, nodes: Any, rows: Any, out: Any, summed: Any) -> None:
    """Fills the rows of the graph of clusters: the clusters ``out`` with edges into each, and the weights of these edges together."""
    ptr, col, weight = level.ptr, level.col, level.weight
    place = np.full(len(start), -1, np.int64)
    for c in range(len(start) - 1):
        at = rows[c]
        for k in range(start[c], start[c + 1]):
            for e in range(ptr[nodes[k]], ptr[nodes[k] + 1]):
                d = label[col[e]]
                if d == c:
                    continue
                if place[d] < rows[c]:
                    place[d] = at
                    out[at] = d
                    summed[at] = 0
                    at += 1
                summed[place[d]] += weight[e] if len(weight) else 1


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def breadth_first(ptr: Any, col: Any, starts: Any) -> Any:
    """All nodes in breadth-first order, each component from the first of ``starts`` in it."""
    order = np.empty(len(starts), np.int64)
    seen = np.zeros(len(starts), np.bool_)
    past = front = 0
    for start in starts:
        if seen[start]:
            continue
        seen[start] = True
        order[past] = start
        past += 1
        while front < past:
            v = order[front]
            front += 1
            for e in range(ptr[v], ptr[v + 1]):
                if not seen[col[e]]:
                    seen[col[e]] = True
                    order[past] = col[e]
                    past += 1
    return order
