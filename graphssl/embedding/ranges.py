"""Some rows of a large graph: their parts of its matrices, made when they are asked for, and norms over all of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cached_property
from typing import Any, TypeVar

import numpy as np
import torch
from numba import njit
from numpy.typing import NDArray
from torch import Tensor

from graphssl.adjacency import CSR, Pattern, full
from graphssl.graph import Graph

T = TypeVar("T")
Array = NDArray[Any]


class RowRange:
    """The rows ``[start, stop)`` of a graph's matrices, ``[R, N]``: a :class:`graphssl.layers.Neighbourhood`.

    Products with half-precision rows come out in float32. Nothing asks for a gradient.

    Args:
        g: the graph, in memory or mapped; only its rows are read.
        start, stop: the range.
        scale: gives ``D^-1/2`` of all nodes, ``[N]``; see :func:`gcn_scale`.
    """

    def __init__(self, g: Graph, start: int, stop: int, scale: Callable[[], Tensor]) -> None:
        self.x, self.start, self.dtype, self._scale = g.x, start, g.float_type, scale
        self.pattern = pattern_rows(g.pattern, start, stop)
        edges = slice(int(g.pattern.ptr[start]), int(g.pattern.ptr[stop]))
        self.edge_weight = None if g.edge_weight is None else g.edge_weight[edges].to(self.dtype)
        self.edge_attr = None if g.edge_attr is None else g.edge_attr[edges]

    @property
    def weights(self) -> Tensor:
        return torch.ones(self.pattern.num_entries, dtype=self.dtype) if self.edge_weight is None else self.edge_weight

    def summed(self) -> CSR:
        return _FloatCSR(self.pattern, self.edge_weight)

    def averaged(self) -> CSR:
        val = torch.empty(self.pattern.num_entries, dtype=self.dtype)
        _averaged(self.pattern.ptr.numpy(), self._values(), val.numpy())
        return _FloatCSR(self.pattern, val)

    def normalised(self) -> CSR:
        pattern, val = self._looped
        scale, out = self._scale(), torch.empty(pattern.num_entries, dtype=self.dtype)
        _scaled(pattern.ptr.numpy(), pattern.col.numpy(), val.numpy(), scale.numpy(), self.start, out.numpy())
        return _FloatCSR(pattern, out)

    def looped(self) -> Pattern:
        return self._looped[0]

    def looped_weights(self) -> Tensor:
        if bool((self.weights < 0).any()):
            raise ValueError(f"edge_weight must be 0 or more for attention, got {float(self.weights.min())}")
        return self._looped[1]

    def cached(self, name: str, make: Callable[[], T]) -> T:
        return make()

    @cached_property
    def _looped(self) -> tuple[Pattern, Tensor]:
        """With a self-loop in each row that has none, last, and weights, empty where the graph has none."""
        p, val = self.pattern, self._values()
        ptr, col = torch.zeros_like(p.ptr), p.col.new_empty(p.num_entries + p.num_rows)
        out = torch.empty(col.numel() if self.edge_weight is not None else 0, dtype=self.dtype)
        total = _looped(p.ptr.numpy(), p.col.numpy(), val, self.edge_weight is not None, self.start, ptr.numpy(), col.numpy(), out.numpy())
        return Pattern(ptr, col[:total], p.num_cols), out[:total]

    def _values(self) -> Array:
        values: Array = (torch.empty(0, dtype=self.dtype) if self.edge_weight is None else self.edge_weight).numpy()
        return values


class _FloatCSR(CSR):
    def __matmul__(self, h: Tensor) -> Tensor:
        return full(super().__matmul__(h))


class Moments:
    """Means and variances over the nodes of each graph for a norm over whole graphs, from some rows at a time, in float64.

    Args:
        norm: PyG's graph-mode ``LayerNorm`` (one mean a graph) or ``GraphNorm`` (one a graph and column, of which a learned share goes).
        g: the graphs.
    """

    def __init__(self, norm: Any, g: Graph) -> None:
        self.norm, self.g = norm, g
        self.sums = torch.zeros(2, g.num_graphs, norm.weight.numel(), dtype=torch.float64)  # of rows, of their squares

    def add(self, h: Tensor, start: int, stop: int) -> None:
        """Take in the rows ``[start, stop)``, each once."""
        rows = h.double()
        add_by_graph(self.sums[0], rows, self.g, start)
        add_by_graph(self.sums[1], rows.square(), self.g, start)

    def normalised(self, h: Tensor, start: int) -> Tensor:
        """The rows from ``start`` on, when all have been taken in."""
        ids = None if self.g.graph_id is None else self.g.graph_id[start : start + h.size(0)]
        centre, spread = (s.to(h.dtype) if ids is None else s.to(h.dtype).index_select(0, ids) for s in self._centre_and_spread)
        out: Tensor = (h - centre) / spread * self.norm.weight + self.norm.bias
        return out

    @cached_property
    def _centre_and_spread(self) -> tuple[Tensor, Tensor]:
        g, (first, second) = self.g, self.sums
        count = torch.tensor([g.num_nodes]) if g.graph_id is None else torch.bincount(g.graph_id, minlength=g.num_graphs)
        size = count.clamp(min=1)[:, None].double()
        share = getattr(self.norm, "mean_scale", None)
        if share is None:
            first, second, size = first.sum(1, keepdim=True), second.sum(1, keepdim=True), size * first.size(1)
        mean = first / size
        centre = mean if share is None else mean * share
        variance = second / size - centre * (2 * mean - centre)  # of what is left when the centre is taken away
        return centre, (variance.clamp(min=0) + self.norm.eps).sqrt()


def add_by_graph(total: Tensor, rows: Tensor, g: Graph, start: int) -> None:
    """Add ``rows``, from row ``start`` of the graph on, to ``total`` ``[G, D]``, each to its graph's."""
    if g.graph_id is None:
        total += rows.sum(0)
    else:
        total.index_add_(0, g.graph_id[start : start + rows.size(0)], rows)


def gcn_scale(g: Graph, rows: int, edges: int) -> Tensor:
    """``D^-1/2`` ``[N]`` of a GCN's normalisation, self-loops counted, from so many rows and edges at a time."""
    total = torch.empty(g.num_nodes, dtype=torch.float64)
    for start, stop in spans(g.pattern.ptr, rows, edges):
        part = RowRange(g, start, stop, lambda: total)
        ptr, col = part.pattern.ptr.numpy(), part.pattern.col.numpy()
        _degrees(ptr, col, part._values(), part.edge_weight is not None, start, total[start:stop].numpy())
    return total.clamp(min=0).rsqrt().where(total > 0, 0).to(g.float_type)


def pattern_rows(pattern: Pattern, start: int, stop: int) -> Pattern:
    """The rows ``[start, stop)`` of a pattern; columns are not copied where they are 32-bit already."""
    ptr = pattern.ptr[start : stop + 1]
    return Pattern(ptr - ptr[0], pattern.col[int(ptr[0]) : int(ptr[-1])], pattern.num_cols)


def csr_rows(matrix: CSR, start: int, stop: int) -> CSR:
    """The rows ``[start, stop)`` of a matrix."""
    low, high = int(matrix.pattern.ptr[start]), int(matrix.pattern.ptr[stop])
    return CSR(pattern_rows(matrix.pattern, start, stop), None if matrix.val is None else matrix.val[low:high])


def spans(ptr: Tensor, rows: int, edges: int) -> Iterator[tuple[int, int]]:
    """Ranges of rows, one after another, of at most so many rows and entries each, or of a single row."""
    bounds, start = ptr.numpy(), 0
    while start < len(bounds) - 1:
        stop = min(start + rows, len(bounds) - 1)
        most = int(bounds[start]) + edges
        if bounds[stop] > most:
            stop = max(start + 1, start + int(np.searchsorted(bounds[start : stop + 1], most, side="right")) - 1)
        yield start, stop
        start = stop


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _looped(ptr: Array, col: Array, weight: Array, weighted: bool, first: int, new_ptr: Array, new_col: Array, new_weight: Array) -> int:
    place = 0
    for r in range(ptr.size - 1):
        missing = True
        for e in range(ptr[r], ptr[r + 1]):
            missing &= col[e] != first + r
            new_col[place] = col[e]
            if weighted:
                new_weight[place] = weight[e]
            place += 1
        if missing:
            new_col[place] = first + r
            if weighted:
                new_weight[place] = 1
            place += 1
        new_ptr[r + 1] = place
    return place


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _scaled(ptr: Array, col: Array, weight: Array, scale: Array, first: int, out: Array) -> None:
    for r in range(ptr.size - 1):
        left = scale[first + r]
        for e in range(ptr[r], ptr[r + 1]):
            out[e] = (left * weight[e] if weight.size else left) * scale[col[e]]


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _degrees(ptr: Array, col: Array, weight: Array, weighted: bool, first: int, degree: Array) -> None:
    for r in range(ptr.size - 1):
        total, missing = 0.0, True
        for e in range(ptr[r], ptr[r + 1]):
            missing &= col[e] != first + r
            total += weight[e] if weighted else 1.0
        degree[r] = total + 1 if missing else total


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _averaged(ptr: Array, weight: Array, out: Array) -> None:
    for r in range(ptr.size - 1):
        total = 0.0
        for e in range(ptr[r], ptr[r + 1]):
            total += weight[e] if weight.size else 1.0
        for e in range(ptr[r], ptr[r + 1]):
            out[e] = (weight[e] if weight.size else 1.0) / (total if total != 0 else 1.0)
