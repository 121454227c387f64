"""Labels spread over a graph: what its edges alone tell from a few of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from graphssl.graph import Graph

STEPS, SMALL = 200, 1e-6  # at most so many steps, or until nothing moves by more


def spread(graph: Graph, rows: Sequence[int], labels: Sequence[Any], alpha: float = 0.9) -> tuple[list[Any], np.ndarray]:
    r"""Label spreading (Zhou et al., 2004, NIPS 16): classes, and probabilities ``[N, C]`` of every node.

    :math:`F \leftarrow \alpha D^{-1/2} A D^{-1/2} F + (1 - \alpha) Y` until it stands still, rows then divided by their sums. Nodes that no
    label reaches get the shares of the labels.

    Raises:
        ValueError: fewer than two classes.

    Example:
        >>> path = torch.tensor([[0, 1, 1, 2, 2, 3], [1, 0, 2, 1, 3, 2]])
        >>> classes, sure = spread(Graph.of((torch.eye(4), path)), [0, 3], ["left", "right"])
        >>> [classes[i] for i in sure.argmax(1)]
        ['left', 'left', 'right', 'right']
    """
    classes, codes = np.unique(np.asarray(labels), return_inverse=True)
    if len(classes) < 2:
        raise ValueError(f"labels: at least two classes are needed, got {classes.tolist()}")
    n = graph.num_nodes
    source, target = graph.edge_index
    weight = torch.ones(graph.num_edges) if graph.edge_weight is None else graph.edge_weight.float()
    into, out_of = (torch.zeros(n).index_add(0, end, weight).clamp_min(1e-12).rsqrt() for end in (target, source))
    share = (weight * into[target] * out_of[source])[:, None]
    given = torch.zeros(n, len(classes))
    given[torch.as_tensor(rows), torch.as_tensor(codes)] = 1
    found = given
    for _ in range(STEPS):
        new = alpha * torch.zeros_like(given).index_add(0, target, share * found[source]) + (1 - alpha) * given
        still = float((new - found).abs().max()) < SMALL
        found = new
        if still:
            break
    total = found.sum(1, keepdim=True)
    prior = given.sum(0) / given.sum()
    return classes.tolist(), torch.where(total > 0, found / total.clamp_min(1e-30), prior).numpy()
