"""What a run trains on: iterables of Graph, whether batches of many graphs or parts of a large one."""

from graphssl.batches.graphs import Batches, GraphBatches, side_by_side, stack_rows

__all__ = ["Batches", "GraphBatches", "side_by_side", "stack_rows"]
