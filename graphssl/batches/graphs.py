"""Several graphs side by side, and batches of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import accumulate
from typing import Protocol

import torch
from torch import Tensor

from graphssl.adjacency import CSR, Pattern
from graphssl.batches.shards import Share, too_few
from graphssl.distributed import same
from graphssl.graph import Graph


class Batches(Protocol):
    """What training goes through once an epoch: any sized iterable of graphs."""

    def __len__(self) -> int:
        """Batches an epoch."""
        ...

    def __iter__(self) -> Iterator[Graph]:
        """The batches of one epoch."""
        ...


def side_by_side(graphs: Sequence[Graph]) -> Graph:
    """Several graphs as one, without edges between them; graph numbers count on, so each keeps its identity.

    Weights and attributes must be on all graphs or on none.

    Raises:
        ValueError: no graph, or graphs that differ in what they carry, or in their number of features.

    Example:
        >>> path = Graph.of((torch.eye(2), torch.tensor([[0, 1], [1, 0]])))
        >>> both = side_by_side([path, path])
        >>> both.num_nodes, both.num_graphs, both.graph_id.tolist()
        (4, 2, [0, 0, 1, 1])
    """
    if not graphs:
        raise ValueError("graphs must hold at least one graph")
    if len(graphs) == 1:
        return graphs[0]
    if len({g.num_features for g in graphs}) > 1:
        raise ValueError(f"graphs must have the same number of features, got {sorted({g.num_features for g in graphs})}")
    if any(g.num_seeds is not None for g in graphs):
        raise ValueError("graphs of which only the first num_seeds rows count cannot stand side by side")
    nodes = _offsets([g.num_nodes for g in graphs])
    ids = _offsets([g.num_graphs for g in graphs])
    whole = Graph(
        x=stack_rows([g.x for g in graphs]),
        edge_index=torch.cat([g.edge_index + shift for g, shift in zip(graphs, nodes, strict=True)], dim=1),
        edge_weight=_optional("edge_weight", [g.edge_weight for g in graphs]),
        edge_attr=_optional("edge_attr", [g.edge_attr for g in graphs]),
        graph_id=torch.cat([g.graph_ids + shift for g, shift in zip(graphs, ids, strict=True)]),
        num_graphs=sum(g.num_graphs for g in graphs),
        y=_optional("y", [g.y for g in graphs]),
    )
    known = [g.known_reverse for g in graphs]
    there = [reverse for reverse in known if reverse is not None]
    if len(there) == len(known):
        edges = _offsets([g.num_edges for g in graphs])
        whole.know_reverse(torch.cat([reverse + shift for reverse, shift in zip(there, edges, strict=True)]))
    return whole


class GraphBatches:
    """Batches of graphs, drawn in a new order at each pass when ``shuffle`` is set; a batch is cut out in one go, not graph by graph.

    Args:
        graphs: what is batched: several graphs, or one :class:`Graph` that holds them side by side.
        batch_size: graphs a batch.
        shuffle: by torch's global generator.
        drop_last: leave out a last batch that is smaller than the others (never the only one).

    Raises:
        ValueError: no graph, or a batch size below 1.

    Example:
        >>> path = Graph.of((torch.eye(2), torch.tensor([[0, 1], [1, 0]])))
        >>> [batch.num_graphs for batch in GraphBatches([path] * 5, batch_size=2)]
        [2, 2, 1]
    """

    share = Share()  # of several processes; graphssl.batches.shards.shard sets it

    def __init__(self, graphs: Graph | Sequence[Graph], batch_size: int, *, shuffle: bool = True, drop_last: bool = False) -> None:
        if not isinstance(graphs, Graph) and not len(graphs):
            raise ValueError("graphs must hold at least one graph, got none")
        if batch_size < 1:
            raise ValueError(f"batch_size must be at least 1, got {batch_size}")
        self.graph = graphs if isinstance(graphs, Graph) else side_by_side(list(graphs))
        self.batch_size, self.shuffle, self.drop_last = batch_size, shuffle, drop_last

    def __len__(self) -> int:
        n = self.graph.num_graphs
        return max(n // self.batch_size, 1) if self.drop_last else self.share.number(n, self.batch_size)

    def too_few(self) -> str:
        """What is wrong where a rank of the share would go without graphs."""
        return too_few("graphs", self.graph.num_graphs, self.batch_size, self.share)

    def __iter__(self) -> Iterator[Graph]:
        n = self.graph.num_graphs
        if n == 1:
            yield self.graph
            return
        order = torch.randperm(n) if self.shuffle else torch.arange(n)
        if self.share.size > 1:
            order = same(order)
        for k in range(len(self)):
            start, stop = self.share.of(k * self.batch_size, min((k + 1) * self.batch_size, n))
            yield self.graph.keep_graphs(order[start:stop].to(self.graph.device))


def _offsets(sizes: list[int]) -> list[int]:
    return list(accumulate(sizes, initial=0))[:-1]


def _optional(name: str, parts: list[Tensor | None]) -> Tensor | None:
    there = [part for part in parts if part is not None]
    if there and len(there) < len(parts):
        raise ValueError(f"graphs must all have {name} or none, got it on {len(there)} of {len(parts)}")
    return torch.cat(there) if there else None


def stack_rows(parts: Sequence[Tensor | CSR]) -> Tensor | CSR:
    """Matrices of equal width one below the other; sparse where all are."""
    if len(parts) == 1:
        return parts[0]
    sparse = [x for x in parts if isinstance(x, CSR)]
    if len(sparse) < len(parts):
        return torch.cat([x.to_dense() if isinstance(x, CSR) else x for x in parts])
    entries = _offsets([x.pattern.num_entries for x in sparse])
    ptr = torch.cat([sparse[0].pattern.ptr[:1], *(x.pattern.ptr[1:] + e for x, e in zip(sparse, entries, strict=True))])
    pattern = Pattern(ptr, torch.cat([x.pattern.col for x in sparse]), sparse[0].size(1))
    return CSR(pattern, torch.cat([x.values() for x in sparse]))
