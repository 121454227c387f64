"""The share of a rank in batches that several processes go through together."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any, NamedTuple

from graphssl.graph import Graph

if TYPE_CHECKING:
    from graphssl.batches.graphs import Batches

SPLIT = "neighbours, partitions, walks or egos"


class Share(NamedTuple):
    """Which share of each batch is this rank's; by default all of it."""

    rank: int = 0
    size: int = 1
    least: int = 1  # rows that each rank must have of a batch

    def of(self, start: int, stop: int) -> tuple[int, int]:
        """This rank's piece of the rows from ``start`` to ``stop``; the pieces of two ranks differ by one row at most.

        Example:
            >>> [Share(rank, 3).of(10, 18) for rank in range(3)]
            [(10, 12), (12, 15), (15, 18)]
        """
        n = stop - start
        return start + n * self.rank // self.size, start + n * (self.rank + 1) // self.size

    def number(self, count: int, batch_size: int) -> int:
        """Batches of ``batch_size`` among ``count`` rows; several ranks leave a last one out that gives none to some of them.

        Example:
            >>> Share().number(9, 4), Share(0, 2).number(9, 4), Share(0, 2).number(10, 4)
            (3, 2, 3)
        """
        full, rest = divmod(count, batch_size)
        return full + (rest >= (self.size * self.least if self.size > 1 else 1))

    def key(self, *numbers: int) -> tuple[int, ...]:
        """``numbers`` that random draws are made from, and the rank where there are several, so that they differ between ranks."""
        return numbers if self.size == 1 else (*numbers, self.rank)


def shard(batches: Graph | Batches, rank: int, size: int, *, least: int = 1) -> Batches:
    """The batches of one of ``size`` processes that take their steps together; all of them take the same number of steps.

    Seeds (neighbours, egos) and graphs: each batch is split into ``size`` pieces that differ by one at most, so that a step of all ranks is
    that of one process; a last batch that leaves a rank with fewer than ``least`` is left out by all. Parts: all are dealt out anew in each
    epoch, about ``parts_per_batch`` to each rank at each step. Walks: each rank draws batches of its own. So a step sees ``size`` times
    as much of the graph with parts and walks, and an epoch has that many times fewer steps.

    Args:
        batches: those of one process, which stay as they are.
        rank: from 0.
        size: of the processes; 1 gives ``batches`` themselves.
        least: seeds or graphs that a rank must have of a batch; 2 where graphs of a batch are one another's negatives.

    Raises:
        ValueError: a whole graph, batches of another kind, or too few rows, parts or graphs for so many ranks.

    Example:
        >>> import torch
        >>> from graphssl.batches import NeighbourBatches
        >>> path = Graph.of((torch.eye(5), torch.tensor([[0, 1, 2, 3], [1, 2, 3, 4]])))
        >>> whole = NeighbourBatches(path, [1], 4, shuffle=False)
        >>> [[b.node_id[: b.num_seeds].tolist() for b in shard(whole, rank, 2)] for rank in range(2)]
        [[[0, 1]], [[2, 3]]]
    """
    if not 0 <= rank < size:
        raise ValueError(f"rank must be in [0, {size}), got {rank}")
    if size == 1:
        return batches  # type: ignore[return-value]  # one graph is gone through by train alone
    if isinstance(batches, Graph):
        raise ValueError(f"batches whole cannot be split over {size} processes; give --batches {SPLIT}")
    if not hasattr(batches, "share"):
        raise ValueError(f"batches must be those of graphssl.batches to be split over {size} processes, got {type(batches).__name__}")
    mine: Any = copy.copy(batches)
    mine.share = Share(rank, size, least)
    if problem := mine.too_few():
        raise ValueError(f"{problem} for {size} processes")
    return mine  # type: ignore[no-any-return]


def too_few(what: str, count: int, batch_size: int, share: Share) -> str:
    """What is wrong where batches of ``batch_size`` among ``count`` rows leave a rank without; nothing otherwise."""
    need, there = share.size * share.least, min(count, batch_size)
    if there >= need:
        return ""
    return f"batch_size must be at least {need}, got {there}" if count >= need else f"there must be at least {need} {what}, got {count}"
