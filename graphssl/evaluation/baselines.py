"""What graphs are worth without any training: summed node features, and the Weisfeiler-Lehman subtree kernel."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from graphssl.adjacency import CSR, Pattern, row_pointers
from graphssl.evaluation.linear import evaluate
from graphssl.evaluation.protocols import Protocol, find_protocol
from graphssl.evaluation.score import Score
from graphssl.graph import Graph

if TYPE_CHECKING:
    from graphssl.datasets.dataset import Dataset


def summed_features(g: Graph) -> Tensor | CSR:
    """Sum of the node features of each graph, ``[G, F]``; sparse where the features are.

    Example:
        >>> from graphssl.batches import side_by_side
        >>> one = Graph.of((torch.eye(2), torch.tensor([[0, 1], [1, 0]])))
        >>> summed_features(side_by_side([one, one]))
        tensor([[1., 1.],
                [1., 1.]])
    """
    if isinstance(g.x, CSR):
        return _added(g.graph_ids[g.x.pattern.row], g.x.pattern.col.long(), g.x.values(), g.num_graphs, g.num_features)
    return g.x.new_zeros(g.num_graphs, g.num_features).index_add_(0, g.graph_ids, g.x)


def wl_features(g: Graph, iterations: int = 5) -> CSR:
    r"""Weisfeiler-Lehman subtree features: how often each node label stands in each graph (Shervashidze et al., 2011, JMLR 12).

    In each iteration a node's new label stands for its old one and the sorted old ones of its neighbours:
    :math:`\ell_{i+1}(v) = f(\ell_i(v), \mathrm{sort}\{\ell_i(u) : u \to v\})` with :math:`f` injective over all graphs. Labels are
    numbered by sorting, not by hashing, so that no two meet by accident. At first nodes have the same label where their features are
    equal; edge weights and attributes are ignored. The paper's kernel is the inner product of two rows.

    Args:
        g: one graph or many side by side; in a directed one the neighbours are the sources of the edges into a node.
        iterations: how often labels are refined; 0 counts the features alone.

    Returns:
        Counts ``[G, K]``, a column for each label of each iteration, the first iteration's first.

    Raises:
        ValueError: ``iterations`` below 0.

    Example:
        >>> from graphssl.batches import side_by_side
        >>> path = Graph.of((torch.ones(3, 1), torch.tensor([[0, 1, 1, 2], [1, 0, 2, 1]])))
        >>> dots = Graph.of((torch.ones(3, 1), torch.empty(2, 0, dtype=torch.long)))
        >>> wl_features(side_by_side([path, dots]), 1).to_dense()  # all equal; then no, one and two neighbours
        tensor([[3., 0., 2., 1.],
                [3., 3., 0., 0.]])
    """
    if iterations < 0:
        raise ValueError(f"iterations is {iterations}; it must be 0 or more")
    label = _feature_labels(g.x)  # [N]
    columns, first = [label], int(label.max()) + 1
    for _ in range(iterations):
        label = _kinds(label, g.pattern.row, label[g.pattern.col.long()])
        columns.append(label + first)
        first += int(label.max()) + 1
    ones = torch.ones(len(columns) * g.num_nodes, device=g.device)
    return _added(g.graph_ids.repeat(len(columns)), torch.cat(columns), ones, g.num_graphs, first)


def wl_score(
    dataset: Dataset,
    protocol: str | Protocol = "tu-svm",
    *,
    setting: str = "transductive",
    iterations: int = 5,
    num_splits: int | None = None,
    seed: int = 0,
) -> Score:
    """The score of the Weisfeiler-Lehman subtree kernel of a graph-level dataset under a protocol.

    Rows have length one, so that the kernel of a graph with itself is 1. A support vector machine takes their inner products as its
    kernel, whatever kernel the protocol has for embeddings; all else is the protocol's.

    Args:
        dataset: at graph level.
        protocol: a name or a protocol.
        setting: what the embeddings beside it were trained in; nothing is trained here.
        iterations: as in :func:`wl_features`.
        num_splits: as in :func:`graphssl.evaluate`.
        seed: likewise.

    Raises:
        ValueError: as :func:`wl_features` and :func:`graphssl.evaluate`.

    Example:
        >>> from types import SimpleNamespace
        >>> from graphssl.batches import side_by_side
        >>> y = torch.arange(40) % 2
        >>> graphs = [Graph.of((torch.eye(2)[[i % 2] * 3], torch.tensor([[0, 1], [1, 0]]))) for i in range(40)]
        >>> data = SimpleNamespace(name="toy", graph=side_by_side(graphs), y=y, splits=(), metric="accuracy")
        >>> wl_score(data).mean
        1.0
    """
    own = replace(find_protocol(protocol), scale="l2", kernel="linear")
    return evaluate(wl_features(dataset.graph, iterations), dataset, own, setting=setting, num_splits=num_splits, seed=seed)


def _feature_labels(x: Tensor | CSR) -> Tensor:
    """A number for each distinct feature row ``[N]``."""
    x = x if isinstance(x, CSR) else CSR.from_dense(x)
    entry = x.values() != 0
    row, col, value = x.pattern.row[entry], x.pattern.col[entry].long(), x.values()[entry]
    kinds, kind = value.unique(return_inverse=True)  # type: ignore[no-untyped-call]
    _, entries = (col * max(len(kinds), 1) + kind).unique(return_inverse=True)  # type: ignore[no-untyped-call]
    return _kinds(torch.zeros(x.size(0), dtype=torch.long, device=x.device), row, entries)


def _kinds(own: Tensor, row: Tensor, items: Tensor) -> Tensor:
    """A number for each distinct pair of ``own`` ``[N]`` and the sorted ``items`` ``[E]`` of a row ``[E]``, exactly: ``[N]``.

    Rows of one length at a time are sorted as a table.
    """
    order = items.argsort(stable=True)
    order = order[row[order].argsort(stable=True)]
    items = items[order]
    counts = torch.bincount(row, minlength=len(own))
    start = counts.cumsum(0) - counts
    by_length = counts.argsort(stable=True)
    out, first = torch.empty_like(own), 0
    lengths, sizes = counts.unique(return_counts=True)  # type: ignore[no-untyped-call]
    for length, nodes in zip(lengths.tolist(), torch.split(by_length, sizes.tolist()), strict=True):
        place = start[nodes, None] + torch.arange(length, device=own.device)  # [n, length]
        kinds, kind = torch.cat([own[nodes, None], items[place]], 1).unique(dim=0, return_inverse=True)  # type: ignore[no-untyped-call]
        out[nodes] = kind + first
        first += len(kinds)
    return out


def _added(row: Tensor, col: Tensor, value: Tensor, num_rows: int, num_cols: int) -> CSR:
    """Sparse rows from entries in any order; entries at the same place are added."""
    place, entry = (row * num_cols + col).unique(return_inverse=True)  # type: ignore[no-untyped-call]
    val = value.new_zeros(len(place)).index_add_(0, entry, value)
    return CSR(Pattern(row_pointers(place // num_cols, num_rows), place % num_cols, num_cols), val)
