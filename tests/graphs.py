"""Tiny graphs for the tests, one for each way in which a graph can be awkward."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor

from graphssl.adjacency import CSR
from graphssl.graph import Graph

N, F = 12, 6


def features(n: int = N, f: int = F, seed: int = 0) -> Tensor:
    """Features ``[n, f]`` of which about half are zero, the last column non-zero everywhere."""
    x = torch.randn(n, f, generator=torch.Generator().manual_seed(seed))
    x = x * (x > -0.2)
    x[:, -1] = torch.arange(1, n + 1) / n  # no two rows are the same
    return x


def edges(n: int, m: int, seed: int = 0) -> Tensor:
    """``m`` different pairs ``[2, m]`` with source below target."""
    pairs = torch.combinations(torch.arange(n)).t()
    return pairs[:, torch.randperm(pairs.size(1), generator=torch.Generator().manual_seed(seed))[:m]]


def both(pairs: Tensor) -> Tensor:
    """Both directions of each pair."""
    return torch.cat([pairs, pairs.flip(0)], 1)


def path(n: int = N) -> Graph:
    """0 - 1 - 2 - ..., undirected."""
    ends = torch.arange(n - 1)
    return Graph.of((features(n), both(torch.stack([ends, ends + 1]))))


def undirected(n: int = N, m: int = 24, seed: int = 0) -> Graph:
    """A random undirected graph."""
    return Graph.of((features(n, seed=seed), both(edges(n, m, seed))))


def directed() -> Graph:
    """A random directed graph in which some edges stand in both directions."""
    pairs = edges(N, 26)
    return Graph.of((features(), torch.cat([pairs[:, :20], pairs[:, 16:].flip(0)], 1)))


def with_loops() -> Graph:
    """An undirected graph with self-loops at some nodes, twice at one of them."""
    loops = torch.tensor([0, 3, 3, 7])
    return Graph.of((features(), torch.cat([both(edges(N, 18)), torch.stack([loops, loops])], 1)))


def directed_with_loops() -> Graph:
    """A directed graph with self-loops."""
    loops = torch.tensor([1, 4])
    return Graph.of((features(), torch.cat([edges(N, 18), torch.stack([loops, loops])], 1)))


def with_isolated_nodes() -> Graph:
    """An undirected graph whose first, sixth and two last nodes have no edges."""
    inner = torch.tensor([1, 2, 3, 4, 6, 7, 8, 9])
    return Graph.of((features(), both(inner[edges(8, 14)])))


def with_parallel_edges() -> Graph:
    """An undirected graph in which four edges stand twice."""
    pairs = edges(N, 16)
    return Graph.of((features(), both(torch.cat([pairs, pairs[:, :4]], 1))))


def weighted() -> Graph:
    """An undirected graph; each weight is a symmetric function of the ends (:func:`symmetric_weight`)."""
    return with_weights(undirected())


def weighted_by_direction() -> Graph:
    """An undirected graph whose two directions weigh differently (:func:`weight_of`)."""
    g = undirected()
    return replace(g, edge_weight=weight_of(*g.edge_index))


def with_attributes() -> Graph:
    """Self-loops, weights and three attributes an edge (:func:`attributes_of`)."""
    return with_weights(with_loops())


def with_weights(g: Graph) -> Graph:
    """The same graph with symmetric weights and with attributes."""
    return replace(g, edge_weight=symmetric_weight(*g.edge_index), edge_attr=attributes_of(*g.edge_index))


def batch() -> Graph:
    """Five graphs side by side, of 5, 1 (no edge), 4, 9 and 3 nodes, the last without edges; with weights and attributes."""
    sizes, start, parts = (5, 1, 4, 9, 3), 0, []
    for k, size in enumerate(sizes):
        if k != 4:
            parts.append(both(edges(size, 2 * size - 3, seed=k)) + start)
        start += size
    g = Graph.of((features(start), torch.cat(parts, 1)))
    graph_id = torch.arange(len(sizes)).repeat_interleave(torch.tensor(sizes))
    return with_weights(replace(g, graph_id=graph_id, num_graphs=len(sizes)))


def no_edges() -> Graph:
    """Nodes alone."""
    return Graph.of((features(), torch.empty(2, 0, dtype=torch.long)))


def one_node() -> Graph:
    """A single node without edges."""
    return Graph.of((features(1), torch.empty(2, 0, dtype=torch.long)))


def sparse() -> Graph:
    """An undirected graph with sparse features."""
    g = undirected()
    return g.with_x(CSR.from_dense(features()))


def sparse_batch() -> Graph:
    """The batch with sparse features."""
    g = batch()
    return g.with_x(CSR.from_dense(g.dense_x()))


def seeded() -> Graph:
    """A sampled batch: the loss is on the first three rows, and rows carry the ids of a larger graph."""
    return replace(undirected(), num_seeds=3, node_id=torch.arange(N) * 7 + 1)


def symmetric_weight(source: Tensor, target: Tensor) -> Tensor:
    """A weight that the two ends decide, the same in both directions."""
    return (source + target).float() / 10 + (source * target).float() / 100 + 0.1


def weight_of(source: Tensor, target: Tensor) -> Tensor:
    """A weight that differs for each edge and direction."""
    return 0.1 + source.float() + target.float() / 100


def attributes_of(source: Tensor, target: Tensor) -> Tensor:
    """Attributes ``[E, 3]`` from which an edge can be read off."""
    return torch.stack([source, target, source * target], 1).float()


GRAPHS: dict[str, Callable[[], Graph]] = {
    "path": path,
    "undirected": undirected,
    "directed": directed,
    "with_loops": with_loops,
    "directed_with_loops": directed_with_loops,
    "with_isolated_nodes": with_isolated_nodes,
    "with_parallel_edges": with_parallel_edges,
    "weighted": weighted,
    "weighted_by_direction": weighted_by_direction,
    "with_attributes": with_attributes,
    "batch": batch,
    "no_edges": no_edges,
    "one_node": one_node,
    "sparse": sparse,
    "sparse_batch": sparse_batch,
    "seeded": seeded,
}
