"""How central nodes are: in-degree, PageRank and eigenvector centrality of each graph of a batch."""

from __future__ import annotations

import torch
from torch import Tensor

from graphssl.adjacency import CSR
from graphssl.augment.views import graph_sizes
from graphssl.graph import Graph

CENTRALITIES = ("degree", "pagerank", "eigenvector")


def centrality(g: Graph, name: str) -> Tensor:
    """Centrality of each node inside its graph, ``[N]``, at least 0; edges count alike whatever they weigh.

    Args:
        g: one graph or several.
        name: ``"degree"`` (edges into the node), ``"pagerank"`` (damping 0.85; Page et al., 1999) or ``"eigenvector"`` (Bonacich,
            1987; the leading eigenvector, of length 1 in each graph).
    """
    find = {"degree": _degree, "pagerank": _pagerank, "eigenvector": _eigenvector}[name]
    return g.cached(f"centrality {name}", lambda: find(g))


def _degree(g: Graph) -> Tensor:
    return g.pattern.counts.to(g.x.dtype)


def _pagerank(g: Graph, damping: float = 0.85) -> Tensor:
    """``c = (1 - d) / n + d (A c / out-degree + mass of nodes without an edge out / n)``, with each graph's own ``n``."""
    graph, dtype = g.graph_ids, g.x.dtype
    adjacency = CSR(g.pattern)
    out = torch.bincount(g.edge_index[0], minlength=g.num_nodes).to(dtype)
    share = 1 / graph_sizes(g).to(dtype)[graph]
    c = share
    for _ in range(200):  # 0.85^200 < 1e-14
        lost = torch.zeros(g.num_graphs, dtype=dtype, device=g.device).scatter_add(0, graph, c.where(out == 0, 0))
        sent = (c / out.clamp(min=1)).where(out > 0, 0)
        c = (1 - damping) * share + damping * ((adjacency @ sent[:, None])[:, 0] + lost[graph] * share)
    return c


def _eigenvector(g: Graph, max_steps: int = 2000) -> Tensor:
    """Power iteration on ``A + I``, which has the eigenvectors of ``A`` and does not swing on a bipartite graph."""
    graph, dtype = g.graph_ids, g.x.dtype
    adjacency = CSR(g.pattern)
    c = _unit(torch.ones(g.num_nodes, dtype=dtype, device=g.device), g)
    tol = 1e-6 if dtype.itemsize <= 4 else 1e-12
    for step in range(max_steps):
        new = _unit(c + (adjacency @ c[:, None])[:, 0], g)
        change, c = (new - c).abs(), new
        if step % 10 == 9:  # not at each step, since the answer must come back from the device
            worst = torch.zeros(g.num_graphs, dtype=dtype, device=g.device).scatter_add(0, graph, change)
            if bool((worst <= tol).all()):
                break
    return c


def _unit(c: Tensor, g: Graph) -> Tensor:
    """Each graph's part scaled to length 1."""
    square = torch.zeros(g.num_graphs, dtype=c.dtype, device=g.device).scatter_add(0, g.graph_ids, c.square())
    return c * square.where(square > 0, 1).rsqrt()[g.graph_ids]
