"""Batches of ego subgraphs, one for each seed."""

from __future__ import annotations

from typing import Literal

import numpy as np
from torch import Tensor

from graphssl.batches.epochs import Epochs, at_least, checked_seeds
from graphssl.batches.reach import egos
from graphssl.batches.shards import too_few
from graphssl.batches.subgraphs import Ints, Subgraphs, shuffled
from graphssl.graph import Graph


class EgoBatches(Epochs):
    """A subgraph of its own around each seed: ShaDow (Zeng et al., 2021, arXiv:2201.07858), so that depth and reach are two choices.

    Around each seed, ``hops`` times, up to ``fan_out`` different sources of each node reached last are drawn; the seed's subgraph is
    induced on all nodes reached. The subgraphs of a batch stand side by side with no edge between them, and a node stands in each that
    reached it. Rows ``[0, S)`` are the seeds; the other nodes follow, seed by seed. As ``graph_id`` would have to ascend, and the seeds
    stand first, a batch counts as one graph of ``S`` components or more: ``graph_id`` stays ``None``.

    :func:`~graphssl.embed` reads the whole graph, not egos. The embeddings of this scope are the first rows of the batches of a pass with
    ``shuffle=False`` (and ``fan_out=-1`` for no sampling), of an encoder in evaluation mode:
    ``torch.cat([encoder(b)[: b.num_seeds] for b in batches])``.

    Args:
        graph: one large graph on the CPU, in memory or mapped from a file.
        batch_size: seeds a batch.
        hops: steps from the seed, 1 or more.
        fan_out: neighbours drawn of each node; -1: all.
        seeds: the rows ``[S]`` that are seeds once an epoch; all by default.
        shuffle: seeds in a new order each epoch.
        seed: of the order and the draws.
        threads: batches made at a time; 0: each when it is asked for.
        ahead: batches made before they are asked for.
        loss_on: "seeds" makes them the rows that count for the loss, "all" all rows.

    Raises:
        ValueError: a batch size or number of hops below 1, a fan-out of 0, seeds outside the graph or twice; a graph that is itself a
            batch, or not on the CPU.

    Example:
        >>> import torch
        >>> ends = torch.arange(4)
        >>> path = Graph.of((torch.eye(5), torch.stack([torch.cat([ends, ends + 1]), torch.cat([ends + 1, ends])])))
        >>> (batch,) = EgoBatches(path, 2, hops=1, seeds=torch.tensor([0, 2]), shuffle=False)
        >>> batch.node_id.tolist(), batch.num_seeds, batch.edge_index.tolist()
        ([0, 2, 1, 1, 3], 2, [[2, 3, 4, 0, 1, 1], [0, 1, 1, 2, 3, 4]])

    Deviation: the k-hop sampler of the paper's two (the other goes by personalised PageRank); no readout over the subgraph.
    """

    def __init__(
        self,
        graph: Graph,
        batch_size: int,
        *,
        hops: int = 2,
        fan_out: int = 10,
        seeds: Tensor | None = None,
        shuffle: bool = True,
        seed: int = 0,
        threads: int = 1,
        ahead: int = 2,
        loss_on: Literal["seeds", "all"] = "seeds",
    ) -> None:
        super().__init__(seed=seed, threads=threads, ahead=ahead)
        at_least("batch_size", batch_size, 1)
        at_least("hops", hops, 1)
        if fan_out != -1:
            at_least("fan_out (or -1: all)", fan_out, 1)
        if loss_on not in ("seeds", "all"):
            raise ValueError(f"loss_on must be 'seeds' or 'all', got {loss_on!r}")
        self.subgraphs = Subgraphs(graph)
        self.seeds = None if seeds is None else checked_seeds(seeds, graph.num_nodes)
        self.batch_size, self.hops, self.fan_out, self.shuffle, self.loss_on = batch_size, hops, fan_out, shuffle, loss_on
        self._order: tuple[int, Ints] | None = None

    @property
    def num_seeds(self) -> int:
        """Seeds an epoch."""
        return self.subgraphs.graph.num_nodes if self.seeds is None else len(self.seeds)

    def __len__(self) -> int:
        return self.share.number(self.num_seeds, self.batch_size)

    def too_few(self) -> str:
        """What is wrong where a rank of the share would go without seeds."""
        return too_few("seeds", self.num_seeds, self.batch_size, self.share)

    def batch(self, epoch: int, k: int) -> Graph:
        """Batch ``k`` of epoch ``epoch``."""
        seeds = self._seeds_of(epoch, k)
        nodes, groups = egos(self.subgraphs, seeds, self.hops, self.fan_out, self.share.key(self.seed, epoch, k))
        batch = self.subgraphs.induced(nodes, len(seeds), groups)
        if self.loss_on == "all":
            batch.__dict__["num_seeds"] = None
        return batch

    def _seeds_of(self, epoch: int, k: int) -> Ints:
        start, end = self.share.of(k * self.batch_size, min((k + 1) * self.batch_size, self.num_seeds))
        rows = np.arange(start, end)
        if self.shuffle:
            known = self._order
            if known is None or known[0] != epoch:
                known = self._order = (epoch, shuffled(self.num_seeds, self.seed, epoch))
            rows = known[1][start:end]
        return rows if self.seeds is None else self.seeds[rows]
