"""Embeddings: the encoder alone, in evaluation mode, on graphs as they are."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from graphssl.batches import GraphBatches
from graphssl.datasets import Dataset
from graphssl.graph import Graph


@torch.no_grad()
def embed(encoder: nn.Module, data: Graph | Dataset | Iterable[Graph], *, batch_size: int | None = None) -> Tensor:
    """Embeddings of all nodes, ``[N, D]`` float32 on the CPU, rows of several graphs one after another.

    Exact and deterministic: no view, no sampling, no dropout; batch norm uses its running statistics. The encoder is left in the
    mode it was in.

    Args:
        encoder: any module ``Graph -> [N, D]``.
        data: a graph, a dataset, or graphs.
        batch_size: graphs a pass, of several; one by default.

    Example:
        >>> from graphssl import GCN
        >>> g = Graph.of((torch.eye(3), torch.tensor([[0, 1, 1, 2], [1, 0, 2, 1]])))
        >>> embed(GCN(3, [5]), g).shape
        torch.Size([3, 5])
    """
    if isinstance(data, Graph) or hasattr(data, "edge_index"):
        graphs = [Graph.of(data)]
    else:
        graphs = [Graph.of(g) for g in (data.graphs if isinstance(data, Dataset) else data)]
    device = next((p.device for p in encoder.parameters()), torch.device("cpu"))
    modes = [(part, part.training) for part in encoder.modules()]
    encoder.eval()
    try:
        parts = [encoder(g.to(device)).float().cpu() for g in GraphBatches(graphs, 1 if batch_size is None else batch_size, shuffle=False)]
    finally:
        for part, mode in modes:
            part.training = mode
    return torch.cat(parts)
