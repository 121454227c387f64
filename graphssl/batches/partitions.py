"""Batches of parts of a large graph."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from graphssl.batches.epochs import Epochs, at_least
from graphssl.batches.partition import members, partition
from graphssl.batches.subgraphs import Subgraphs, shuffled
from graphssl.graph import Graph


class PartitionBatches(Epochs):
    """Parts of a large graph, put together anew in each epoch: Cluster-GCN (Chiang et al., 2019, arXiv:1905.07953).

    A batch is the subgraph induced on the nodes of ``parts_per_batch`` parts: all edges inside them, those between parts of one batch
    included. All its nodes count for the loss, and each node stands in exactly one batch an epoch. Edges that are cut are missing from
    that epoch; drawing the parts together anew brings back others each time.

    Args:
        graph: one large graph on the CPU, in memory or mapped from a file.
        num_parts: how many parts :func:`~graphssl.batches.partition.partition` makes, or the part of each node ``[N]``; numbers without a
            node are skipped.
        parts_per_batch: the paper's ``q``.
        shuffle: put parts together by ``seed`` and epoch; otherwise by number.
        seed: of the partition and the shuffling.
        threads: batches made at a time; 0: each when it is asked for.
        ahead: batches made before they are asked for.

    Raises:
        ValueError: more parts than nodes, more parts a batch than parts, a partition that is not one number of a part for each node.

    Example:
        >>> ends = torch.arange(9)
        >>> path = Graph.of((torch.eye(10), torch.stack([torch.cat([ends, ends + 1]), torch.cat([ends + 1, ends])])))
        >>> batches = PartitionBatches(path, torch.arange(10) // 5)
        >>> len(batches), sorted(batch.node_id.tolist() for batch in batches)
        (2, [[0, 1, 2, 3, 4], [5, 6, 7, 8, 9]])

    Deviation: each batch is a graph of its own and normalised as such, without the paper's extra weight on the diagonal.
    """

    def __init__(
        self,
        graph: Graph,
        num_parts: int | Tensor,
        *,
        parts_per_batch: int = 1,
        shuffle: bool = True,
        seed: int = 0,
        threads: int = 1,
        ahead: int = 2,
    ) -> None:
        super().__init__(seed=seed, threads=threads, ahead=ahead)
        self.subgraphs = Subgraphs(graph)
        part = num_parts if isinstance(num_parts, Tensor) else partition(graph, num_parts, seed=seed)
        self.ptr, self.nodes = members(_checked(part, graph.num_nodes))
        at_least("parts_per_batch", parts_per_batch, 1)
        if parts_per_batch > self.num_parts:
            raise ValueError(f"parts_per_batch must be at most the {self.num_parts} parts, got {parts_per_batch}")
        self.parts_per_batch, self.shuffle = parts_per_batch, shuffle

    @property
    def num_parts(self) -> int:
        """Parts that hold a node."""
        return len(self.ptr) - 1

    def __len__(self) -> int:
        parts, size = self.num_parts, self.share.size
        return min(-(-parts // (self.parts_per_batch * size)), parts // size)

    def too_few(self) -> str:
        """What is wrong where a rank of the share would go without parts."""
        return "" if self.num_parts >= self.share.size else f"num_parts must be at least {self.share.size}, got {self.num_parts}"

    def batch(self, epoch: int, k: int) -> Graph:
        """Batch ``k`` of epoch ``epoch``."""
        order = shuffled(self.num_parts, self.seed, epoch) if self.shuffle else np.arange(self.num_parts)
        parts = order[self._part(k)]
        nodes = np.concatenate([self.nodes[self.ptr[p] : self.ptr[p + 1]] for p in parts]).astype(np.int64)
        nodes.sort()
        return self.subgraphs.induced(nodes)

    def _part(self, k: int) -> slice:
        rank, size = self.share.rank, self.share.size
        if size == 1:
            return slice(k * self.parts_per_batch, (k + 1) * self.parts_per_batch)
        pieces = len(self) * size  # all parts, in pieces that differ by one at most
        return slice(*(self.num_parts * i // pieces for i in (k * size + rank, k * size + rank + 1)))


def _checked(part: Tensor, n: int) -> Tensor:
    if part.dim() != 1 or part.numel() != n or part.is_floating_point() or part.dtype == torch.bool:
        raise ValueError(f"num_parts must be a count or an integer tensor [{n}], got {part.dtype} of shape {tuple(part.shape)}")
    if int(part.min()) < 0 or int(part.max()) >= n:
        raise ValueError(f"num_parts must hold parts from 0 to {n - 1}, got {int(part.min())} to {int(part.max())}")
    return part
