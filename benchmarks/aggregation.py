"""One GCN layer, forward and backward, against PyG's: ``python -m benchmarks.aggregation``. Ratios of the same run.

The routes alternate, and the median of each is taken; on a busy machine only the ratio means something.
"""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch_geometric.nn import GCNConv as PyGConv

from graphssl.environment import environment
from graphssl.graph import Graph
from graphssl.layers import GCNConv

SHAPES = (("Cora", 2_708, 10_556), ("Photo", 7_650, 238_162), ("Physics", 34_493, 495_924))  # nodes, directed edges
WIDTH, ROUNDS = 256, 7


def random_graph(nodes: int, edges: int) -> Graph:
    """An undirected graph with heavy-tailed degrees, without loops or parallel edges, of about that size."""
    generator = torch.Generator().manual_seed(0)
    weight = torch.arange(1, nodes + 1).pow(-0.5)[torch.randperm(nodes, generator=generator)]
    pairs = torch.multinomial(weight, edges, replacement=True, generator=generator).view(2, -1)
    pairs = torch.cat([pairs, pairs.flip(0)], dim=1)
    pairs = torch.unique(pairs[:, pairs[0] != pairs[1]], dim=1)
    return Graph.of((torch.randn(nodes, WIDTH, generator=generator), pairs))


def seconds(route: Callable[[], torch.Tensor]) -> float:
    """Of one forward and backward pass."""
    start = time.perf_counter()
    route().sum().backward()
    return time.perf_counter() - start


def compare(name: str, nodes: int, edges: int) -> dict[str, float | str | int]:
    """Median seconds of both routes, their ratio, and how far their results lie apart."""
    g = random_graph(nodes, edges)
    assert isinstance(g.x, torch.Tensor)
    ours, theirs = GCNConv(WIDTH, WIDTH), PyGConv(WIDTH, WIDTH, cached=True)
    with torch.no_grad():
        theirs.lin.weight.copy_(ours.linear.weight.t())
    x = g.x.requires_grad_()
    g = g.with_x(x)
    apart = float((ours(x, g) - theirs(x, g.edge_index)).abs().max().detach())
    times: tuple[list[float], list[float]] = ([], [])
    for _ in range(ROUNDS):
        times[0].append(seconds(lambda: ours(x, g)))
        times[1].append(seconds(lambda: theirs(x, g.edge_index)))
    mine, other = (statistics.median(t) for t in times)
    return {
        "graph": name, "nodes": g.num_nodes, "edges": g.num_edges, "width": WIDTH,
        "graphssl_ms": round(1e3 * mine, 2), "pyg_ms": round(1e3 * other, 2), "ratio": round(other / mine, 1), "largest_difference": apart,
    }  # fmt: skip


if __name__ == "__main__":
    rows = [compare(*shape) for shape in SHAPES]
    for row in rows:
        print(row)
    record = {"what": "GCN layer, forward and backward, PyG's GCNConv(cached=True) over ours", "rows": rows, "environment": environment()}
    (Path(__file__).parent / "results" / "aggregation.json").write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
