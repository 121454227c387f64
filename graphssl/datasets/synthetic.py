"""A synthetic set of graphs whose degrees say nothing about the class: only how the same degrees are wired does."""

from __future__ import annotations

import numpy as np
import torch

from graphssl.datasets.dataset import Dataset
from graphssl.datasets.splits import stratified_folds
from graphssl.datasets.table import DATASETS
from graphssl.datasets.tudataset import one_hot
from graphssl.graph import Graph

PRISM = ((0, 1), (1, 2), (0, 2), (3, 4), (4, 5), (3, 5), (0, 3), (1, 4), (2, 5))  # the two 3-regular graphs of six nodes:
UTILITIES = ((0, 3), (0, 4), (0, 5), (1, 3), (1, 4), (1, 5), (2, 3), (2, 4), (2, 5))  # two triangles, and K_3,3 without any
SIZE = 6
SWAPS = 10  # tries an edge after which nothing is left of the motifs


def motifs(num_graphs: int = 600, *, copies: tuple[int, int] = (2, 6), noise: float = 0.03, seed: int = 0) -> Dataset:
    """Synthetic graphs of 12 to 36 nodes in three classes of the same degrees; features: the degree, one-hot.

    A graph is a handful of six-node motifs, joined at random into one. Class 0 has triangular prisms, class 1 complete bipartite graphs
    ``K_3,3``; both are 3-regular. Class 2 is made like class 0, and then its edges swap ends until they are random. In the other classes
    a share of the edges swaps ends, as noise. A swap, ``(u, v), (s, t) -> (u, t), (s, v)``, leaves every degree as it is, so that the
    counts of degrees in a graph, which sum pooling of the features yields, have the same law in each class.

    Args:
        num_graphs: a third a class.
        copies: fewest and most motifs a graph.
        noise: expected share of edges for which a swap is tried in classes 0 and 1.
        seed: of the graphs and the folds.

    Raises:
        ValueError: fewer than 30 graphs, ``copies`` that are no range from 1, a share outside [0, 1].

    Example:
        >>> data = motifs(60)
        >>> data.num_graphs, data.num_classes, data.graph.is_undirected, data.splits[0].name
        (60, 3, True, 'stratified-10-fold-0')
    """
    if num_graphs < 30 or not 1 <= copies[0] <= copies[1] or not 0 <= noise <= 1:
        raise ValueError(
            f"motifs needs num_graphs >= 30, copies a range from 1 and noise in [0, 1], got {num_graphs}, {copies} and {noise}"
        )
    rng = np.random.Generator(np.random.PCG64(seed))
    y = np.arange(num_graphs) % 3
    sizes = SIZE * rng.integers(copies[0], copies[1] + 1, num_graphs)
    parts = []
    for kind, size, start in zip(y, sizes, np.cumsum(sizes) - sizes, strict=True):
        edges = _joined(UTILITIES if kind == 1 else PRISM, int(size) // SIZE, rng)
        tries = SWAPS * len(edges) if kind == 2 else int(rng.binomial(len(edges), noise))
        parts.append(np.array(_swapped(edges, tries, rng)) + start)
    half = np.concatenate(parts).T
    degree = np.bincount(half.ravel(), minlength=sizes.sum())
    graph_id = torch.arange(num_graphs).repeat_interleave(torch.from_numpy(sizes))
    x = torch.from_numpy(one_hot(degree[:, None]).toarray())
    graph = Graph(x, torch.empty(2, 0, dtype=torch.long), graph_id=graph_id, num_graphs=num_graphs)
    graph = graph.with_edges(torch.from_numpy(np.concatenate([half, half[::-1]], axis=1)))
    labels = torch.from_numpy(y)
    return Dataset("motifs", (graph,), labels, stratified_folds(labels, seed=seed), source=DATASETS["motifs"].source, level="graph")


# ---------------------------------------------------------------------- helpers


def _joined(motif: tuple[tuple[int, int], ...], copies: int, rng: np.random.Generator) -> list[tuple[int, int]]:
    """Edges (smaller end first) of ``copies`` motifs, each joined to an earlier one, and some pairs of motifs once more."""
    edges = {_ordered(SIZE * k + i, SIZE * k + j) for k in range(copies) for i, j in motif}
    pairs = [(int(rng.integers(k)), k) for k in range(1, copies)]
    for _ in range(2 * copies // 5):
        a, b = int(rng.integers(copies)), int(rng.integers(copies - 1))
        pairs.append((a, b + (b >= a)))
    for a, b in pairs:
        edges.add(_ordered(SIZE * a + int(rng.integers(SIZE)), SIZE * b + int(rng.integers(SIZE))))
    return sorted(edges)


def _swapped(edges: list[tuple[int, int]], tries: int, rng: np.random.Generator) -> list[tuple[int, int]]:
    """The edges after ``tries`` random pairs of them swapped ends, unless that gave a self-loop or an edge that is there already."""
    edges, there = list(edges), set(edges)
    for a, b, turn in zip(
        rng.integers(len(edges), size=tries), rng.integers(len(edges), size=tries), rng.integers(2, size=tries), strict=True
    ):
        u, v = edges[a]
        s, t = edges[b] if turn else edges[b][::-1]
        new = _ordered(u, t), _ordered(s, v)
        if len({u, v, s, t}) == 4 and not there & set(new):
            there -= {edges[a], edges[b]}
            there |= set(new)
            edges[a], edges[b] = new
    return edges


def _ordered(i: int, j: int) -> tuple[int, int]:
    return (i, j) if i < j else (j, i)
