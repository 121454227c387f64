"""Batches of subgraphs that random walks span."""

from __future__ import annotations

from typing import Literal

from graphssl.batches.epochs import Epochs, at_least
from graphssl.batches.reach import walk
from graphssl.batches.subgraphs import Subgraphs
from graphssl.graph import Graph


class WalkBatches(Epochs):
    """Subgraphs induced on the nodes that random walks meet: GraphSAINT-RW (Zeng et al., 2020, arXiv:1907.04931).

    A batch draws ``roots`` nodes uniformly (with replacement), goes ``length`` uniform steps from each, and holds all nodes met with all
    edges among them. Steps go against the edges, from a node to a source of one of its messages; a walk that finds none stays. Nodes of
    high degree are met more often than others, and some perhaps never.

    Args:
        graph: one large graph on the CPU, in memory or mapped from a file.
        roots: walks a batch.
        length: steps a walk; the paper has 2 to 4.
        num_batches: batches an epoch; ``N / (roots * (length + 1))`` go about once over all nodes.
        seed: of the roots and the steps.
        threads: batches made at a time; 0: each when it is asked for.
        ahead: batches made before they are asked for.
        loss_on: "all" nodes met, as in the paper, or the roots alone ("seeds"), which then are the first rows and uniform.

    Raises:
        ValueError: fewer than one root, step or batch; a graph that is itself a batch, or not on the CPU.

    Example:
        >>> import torch
        >>> ends = torch.arange(9)
        >>> path = Graph.of((torch.eye(10), torch.stack([torch.cat([ends, ends + 1]), torch.cat([ends + 1, ends])])))
        >>> [batch.num_nodes <= 6 for batch in WalkBatches(path, roots=2, length=2, num_batches=3)]
        [True, True, True]

    Deviation: the paper weighs losses and messages by how often a node or an edge is met, estimated by sampling beforehand, so that sums
    over a batch are unbiased. The losses here are means over nodes without such weights: they lean towards nodes of high degree with
    ``loss_on="all"``, and with "seeds" only their messages do.
    """

    def __init__(
        self,
        graph: Graph,
        roots: int,
        length: int,
        *,
        num_batches: int,
        seed: int = 0,
        threads: int = 1,
        ahead: int = 2,
        loss_on: Literal["seeds", "all"] = "all",
    ) -> None:
        super().__init__(seed=seed, threads=threads, ahead=ahead)
        for name, value in (("roots", roots), ("length", length), ("num_batches", num_batches)):
            at_least(name, value, 1)
        if loss_on not in ("seeds", "all"):
            raise ValueError(f"loss_on must be 'seeds' or 'all', got {loss_on!r}")
        self.subgraphs = Subgraphs(graph)
        self.roots, self.length, self.num_batches, self.loss_on = roots, length, num_batches, loss_on

    def __len__(self) -> int:
        return -(-self.num_batches // self.share.size)

    def batch(self, epoch: int, k: int) -> Graph:
        """Batch ``k`` of epoch ``epoch``."""
        nodes, roots = walk(self.subgraphs, self.roots, self.length, (self.seed, epoch, k * self.share.size + self.share.rank))
        if self.loss_on == "seeds":
            return self.subgraphs.induced(nodes, roots)
        nodes.sort()
        return self.subgraphs.induced(nodes)
