"""Embeddings: the encoder alone, in evaluation mode, on graphs as they are."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

import torch
from torch import Tensor, nn

from graphssl.batches import GraphBatches
from graphssl.datasets import Dataset
from graphssl.graph import Graph


@torch.no_grad()
def embed(
    encoder: nn.Module,
    data: Graph | Dataset | Iterable[Graph],
    *,
    batch_size: int | None = None,
    level: Literal["node", "graph"] | None = None,
) -> Tensor:
    """Embeddings of all nodes ``[N, D]``, or of all graphs ``[G, D]``, float32 on the CPU; several graphs one after another.

    Exact and deterministic: no view, no sampling, no dropout; batch norm uses its running statistics. The encoder is left in the
    mode it was in.

    Args:
        encoder: any module ``Graph -> [N, D]``; at graph level with a method ``pool(h, graph) -> [G, D]``.
        data: a graph, a dataset, or graphs.
        batch_size: graphs a pass, of several; by default one, or 512 at graph level.
        level: ``node`` or ``graph``; by default the dataset's, and ``node`` for what is none.

    Example:
        >>> from graphssl import GCN
        >>> g = Graph.of((torch.eye(3), torch.tensor([[0, 1, 1, 2], [1, 0, 2, 1]])))
        >>> embed(GCN(3, [5]), g).shape
        torch.Size([3, 5])
    """
    level = level or (data.level if isinstance(data, Dataset) else "node")
    if level not in ("node", "graph"):
        raise ValueError(f"level must be node or graph, got {level!r}")
    device = next((p.device for p in encoder.parameters()), torch.device("cpu"))
    modes = [(part, part.training) for part in encoder.modules()]
    encoder.eval()
    try:
        parts = []
        for g in _passes(data, level, batch_size):
            h = encoder(g.to(device))
            parts.append((encoder.pool(h, g.to(device)) if level == "graph" else h).float().cpu())  # type: ignore[operator]
    finally:
        for part, mode in modes:
            part.training = mode
    return torch.cat(parts)


def _passes(data: Graph | Dataset | Iterable[Graph], level: str, batch_size: int | None) -> Iterable[Graph]:
    if isinstance(data, Graph):
        graphs = [data]
    elif hasattr(data, "edge_index"):
        graphs = [Graph.of(data)]
    else:
        graphs = [Graph.of(g) for g in (data.graphs if isinstance(data, Dataset) else data)]
    if level == "node" and batch_size is None:
        return graphs
    return GraphBatches(graphs, 512 if batch_size is None else batch_size, shuffle=False)
