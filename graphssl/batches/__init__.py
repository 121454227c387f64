"""What a run trains on: iterables of Graph, whether batches of many graphs or parts of a large one."""

from typing import TYPE_CHECKING

from graphssl.batches.graphs import Batches, GraphBatches, side_by_side, stack_rows
from graphssl.batches.shards import shard
from graphssl.lazy import lazy

if TYPE_CHECKING:
    from graphssl.batches.egos import EgoBatches
    from graphssl.batches.neighbours import NeighbourBatches
    from graphssl.batches.partitions import PartitionBatches
    from graphssl.batches.walks import WalkBatches

__all__ = [
    "Batches",
    "EgoBatches",
    "GraphBatches",
    "NeighbourBatches",
    "PartitionBatches",
    "WalkBatches",
    "shard",
    "side_by_side",
    "stack_rows",
]

__getattr__ = lazy(  # numba, only where something is sampled
    __name__,
    {"egos": ("EgoBatches",), "neighbours": ("NeighbourBatches",), "partitions": ("PartitionBatches",), "walks": ("WalkBatches",)},
)
