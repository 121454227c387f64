"""A dataset in memory as a source of a store."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
import scipy.sparse as sp
import torch

from graphssl.adjacency import CSR, full
from graphssl.datasets.dataset import Dataset

EDGES = 1 << 20  # edges in a piece
NUMBERS = 1 << 22  # numbers of features in a piece


class DatasetSource:
    """A node-level dataset of one graph, as :class:`~graphssl.store.source.Source` asks for it."""

    def __init__(self, data: Dataset) -> None:
        if data.level != "node":
            raise ValueError(f"a store holds one graph whose nodes are labelled, and {data.name} is graph-level")
        if data.is_inductive or len(data.graphs) > 1:
            raise ValueError(f"a store holds one graph, and {data.name} has {len(data.graphs)}, each of them train, val or test as a whole")
        graph = data.graph
        if graph.edge_attr is not None:
            raise ValueError(f"a store holds weights of edges and no attributes, and the edges of {data.name} have some")
        self.graph = graph
        self.name, self.metric, self.source, self.licence = data.name, data.metric, data.source, ""
        self.num_nodes, self.num_features = graph.num_nodes, graph.num_features
        self.y: np.ndarray = data.y.numpy()
        self.splits: Mapping[str, tuple[np.ndarray, np.ndarray, np.ndarray]] = {
            s.name: (s.train.numpy(), s.val.numpy(), s.test.numpy()) for s in data.splits
        }
        if len(self.splits) < len(data.splits):
            raise ValueError(f"the splits of {data.name} must have different names, got {', '.join(s.name for s in data.splits)}")
        self.identity = data.fingerprint
        self.undirected = graph.has_symmetric_weights and self._is_simple()  # parallel edges would be merged
        self.num_edges: int | None = sum(edges.shape[1] for edges, _ in self.edges())

    def edges(self) -> Iterator[tuple[np.ndarray, np.ndarray | None]]:
        """Each edge as it is listed, or in one direction only where the graph is undirected."""
        weight = self.graph.edge_weight
        for row, low, high in self._rows():
            edges = np.stack([self.graph.pattern.col[low:high].numpy(), row])
            values = None if weight is None else weight[low:high].numpy()
            if self.undirected:
                once = edges[0] <= edges[1]
                edges, values = edges[:, once], None if values is None else values[once]
            yield edges, values

    def features(self) -> Iterator[np.ndarray | sp.csr_matrix]:
        """Rows in float32, sparse where the dataset holds them so."""
        x = self.graph.x
        step = max(1, NUMBERS // self.num_features)
        for start in range(0, self.num_nodes, step):
            rows = torch.arange(start, min(start + step, self.num_nodes))
            if isinstance(x, CSR):
                part = x.rows(rows)
                ptr, col = (index.numpy() for index in (part.pattern.ptr, part.pattern.col))
                yield sp.csr_matrix((full(part.values()).numpy(), col, ptr), shape=part.shape)
            else:
                yield full(x[start : start + step]).numpy()

    def _rows(self) -> Iterator[tuple[np.ndarray, int, int]]:
        """Targets of edges ``low`` to ``high``, whole rows at a time."""
        ptr = self.graph.pattern.ptr.numpy()
        first = 0
        while first < self.num_nodes:
            last = max(first + 1, int(np.searchsorted(ptr, ptr[first] + EDGES, side="right")) - 1)
            yield np.repeat(np.arange(first, last), np.diff(ptr[first : last + 1])), int(ptr[first]), int(ptr[last])
            first = last

    def _is_simple(self) -> bool:
        """No edge stands twice."""
        col = self.graph.pattern.col.numpy()
        return not any(((np.diff(col[low:high]) == 0) & (np.diff(row) == 0)).any() for row, low, high in self._rows())
