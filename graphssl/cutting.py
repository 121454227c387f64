"""Graphs and nodes cut out of a batch: its rows gone through once, by compiled code on the CPU and by tensor operations elsewhere."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from numba import njit
from torch import Tensor

from graphssl.adjacency import Pattern, gather_rows, true_entries


class Part(NamedTuple):
    """Some of the nodes of a graph, and edges among them."""

    nodes: Tensor  # [N'] which they were
    edges: Tensor  # [E'] which they were; anything where not asked for
    pattern: Pattern  # [N', N']
    reverse: Tensor | None  # [E'] opposite direction of each edge, where it was known
    node_ptr: Tensor  # [G' + 1] first row of each graph
    graph_id: Tensor  # [N'] graph of each node


def induced(
    pattern: Pattern, node_ptr: Tensor, nodes: Tensor, edges: Tensor | None, reverse: Tensor | None, *, with_edges: bool = True
) -> Part:
    """The nodes where the mask ``nodes`` ``[N]`` is true, with the edges between them where ``edges`` ``[E]`` is true.

    Args:
        pattern: the graph's rows ``[N, N]``.
        node_ptr: first node of each graph ``[G + 1]``.
        nodes: bool.
        edges: bool; ``None``: all.
        reverse: opposite direction of each edge ``[E]``, of which both stay or none; ``None``: not known.
        with_edges: say which edges they were.
    """
    if pattern.device.type != "cpu":
        return _induced_by_tensors(pattern, node_ptr, nodes, edges, reverse)
    keep = np.empty(0, np.bool_) if edges is None else edges.numpy()
    found = _induced(pattern.ptr.numpy(), pattern.col.numpy(), node_ptr.numpy(), nodes.numpy(), keep, _array(reverse), with_edges)
    return _part(found, reverse is not None)


def some_graphs(pattern: Pattern, node_ptr: Tensor, index: Tensor, reverse: Tensor | None, *, with_edges: bool = True) -> Part:
    """The graphs ``index`` ``[G']`` of a batch, in that order; arguments as those of :func:`induced`.

    Raises:
        IndexError: a graph that is not there.
    """
    if pattern.device.type != "cpu":
        return _some_graphs_by_tensors(pattern, node_ptr, index, reverse)
    found = _some_graphs(pattern.ptr.numpy(), pattern.col.numpy(), node_ptr.numpy(), _array(index), _array(reverse), with_edges)
    return _part(found, reverse is not None)


def _array(x: Tensor | None) -> Any:
    return np.empty(0, np.int64) if x is None else x.contiguous().numpy()


def _part(arrays: Any, has_reverse: bool) -> Part:
    nodes, edges, ptr, col, reverse, node_ptr, graph = map(torch.from_numpy, arrays)
    return Part(nodes, edges, Pattern(ptr, col, len(nodes)), reverse if has_reverse else None, node_ptr, graph)


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _induced(ptr: Any, col: Any, start: Any, keep: Any, keep_edge: Any, reverse: Any, with_edges: bool) -> Any:
    n = keep.size
    before = np.empty(n + 1, col.dtype)  # nodes kept before each
    before[0] = 0
    room = 0
    for i in range(n):
        before[i + 1] = before[i] + keep[i]
        room += keep[i] * (ptr[i + 1] - ptr[i])
    count = before[n]
    nodes = np.empty(count, np.int64)
    new_ptr = np.empty(count + 1, ptr.dtype)
    new_col = np.empty(room, col.dtype)
    edges = np.empty(room if with_edges or reverse.size else 0, np.int64)
    place = np.empty(reverse.size, np.int64)  # of each edge among those kept
    new_ptr[0] = 0
    e = 0
    for i in range(n):
        if not keep[i]:
            continue
        k = before[i]
        nodes[k] = i
        for j in range(ptr[i], ptr[i + 1]):
            source = col[j]
            if keep[source] and (keep_edge.size == 0 or keep_edge[j]):
                new_col[e] = before[source]
                if edges.size:
                    edges[e] = j
                if place.size:
                    place[j] = e
                e += 1
        new_ptr[k + 1] = e
    new_reverse = np.empty(e if reverse.size else 0, np.int64)
    for j in range(new_reverse.size):
        new_reverse[j] = place[reverse[edges[j]]]
    node_ptr = np.empty(start.size, np.int64)
    for k in range(start.size):
        node_ptr[k] = before[start[k]]
    return nodes, edges[:e], new_ptr, new_col[:e], new_reverse, node_ptr, _graph_of_nodes(node_ptr)


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _some_graphs(ptr: Any, col: Any, start: Any, index: Any, reverse: Any, with_edges: bool) -> Any:
    node_ptr = np.zeros(index.size + 1, np.int64)
    room = 0
    for k in range(index.size):
        if index[k] < 0 or index[k] >= start.size - 1:
            raise IndexError("index points outside the batch")
        first, last = start[index[k]], start[index[k] + 1]
        node_ptr[k + 1] = node_ptr[k] + last - first
        room += ptr[last] - ptr[first]
    nodes = np.empty(node_ptr[-1], np.int64)
    new_ptr = np.empty(nodes.size + 1, ptr.dtype)
    new_col = np.empty(room, col.dtype)
    edges = np.empty(room if with_edges else 0, np.int64)
    new_reverse = np.empty(room if reverse.size else 0, np.int64)
    new_ptr[0] = 0
    e = 0
    for k in range(index.size):
        node, new = start[index[k]], node_ptr[k]
        edge = ptr[node]
        for i in range(node_ptr[k + 1] - new):
            nodes[new + i] = node + i
            new_ptr[new + i + 1] = ptr[node + i + 1] - edge + e
        length = ptr[start[index[k] + 1]] - edge
        for j in range(length):
            new_col[e + j] = col[edge + j] - node + new
        if reverse.size:
            for j in range(length):
                new_reverse[e + j] = reverse[edge + j] - edge + e
        if with_edges:
            for j in range(length):
                edges[e + j] = edge + j
        e += length
    return nodes, edges, new_ptr, new_col, new_reverse, node_ptr, _graph_of_nodes(node_ptr)


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _graph_of_nodes(node_ptr: Any) -> Any:
    graph = np.empty(node_ptr[-1], np.int64)
    for k in range(node_ptr.size - 1):
        graph[node_ptr[k] : node_ptr[k + 1]] = k
    return graph


def _induced_by_tensors(pattern: Pattern, node_ptr: Tensor, keep: Tensor, keep_edge: Tensor | None, reverse: Tensor | None) -> Part:
    nodes, before = true_entries(keep)
    inside = keep.index_select(0, pattern.row) & keep.index_select(0, pattern.col)
    edges, ahead = true_entries(inside if keep_edge is None else inside & keep_edge)
    ptr = F.pad(ahead.index_select(0, pattern.ptr[1:].index_select(0, nodes)), (1, 0))
    rows = Pattern(ptr, before.index_select(0, pattern.col.index_select(0, edges)), nodes.numel())
    turned = None if reverse is None else ahead.index_select(0, reverse.index_select(0, edges)).long()
    start = before.index_select(0, node_ptr).long()
    return Part(nodes, edges, rows, turned, start, _owners(start, nodes.numel()))


def _some_graphs_by_tensors(pattern: Pattern, node_ptr: Tensor, index: Tensor, reverse: Tensor | None) -> Part:
    edge_ptr = pattern.ptr.index_select(0, node_ptr).long()
    nodes, new_ptr = gather_rows(node_ptr, index)
    edges, new_edge_ptr = gather_rows(edge_ptr, index)
    counts = new_edge_ptr.diff()
    moved = (new_ptr[:-1] - node_ptr[index]).repeat_interleave(counts, output_size=edges.numel())
    further = (new_edge_ptr[:-1] - edge_ptr[index]).repeat_interleave(counts, output_size=edges.numel())
    ptr = F.pad(pattern.counts.index_select(0, nodes).cumsum(0), (1, 0))
    rows = Pattern(ptr, pattern.col.index_select(0, edges) + moved, nodes.numel())
    turned = None if reverse is None else reverse.index_select(0, edges) + further
    return Part(nodes, edges, rows, turned, new_ptr, _owners(new_ptr, nodes.numel()))


def _owners(ptr: Tensor, count: int) -> Tensor:
    return torch.arange(ptr.numel() - 1, device=ptr.device).repeat_interleave(ptr.diff(), output_size=count)
