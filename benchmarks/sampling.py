"""Neighbour sampling against a sampler of plain torch operations: ``python -m benchmarks.sampling``. One thread, ratios of the same run.

Where pyg-lib is installed its sampler runs as well. The routes alternate over the same seeds, and the median of each is taken.
"""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from graphssl import Graph
from graphssl.adjacency import Pattern, gather_rows
from graphssl.batches.neighbours import NeighbourBatches
from graphssl.environment import environment

NODES, EDGES, FEATURES = 244_903, 12_600_000, 100  # a tenth of ogbn-products
FAN_OUTS, BATCH, ROUNDS = ([15, 10, 5], [10, 10, 10]), 1024, 9
Route = Callable[[Tensor, list[int]], tuple[int, int]]  # seeds and fan-out; nodes and edges of the batch


def heavy_tailed(nodes: int = NODES, edges: int = EDGES) -> Graph:
    """An undirected graph with heavy-tailed degrees, without loops or parallel edges, of about that size."""
    rng = np.random.default_rng(0)
    share = np.cumsum(rng.permutation(np.arange(1, nodes + 1) ** -0.5))
    ends = np.searchsorted(share, rng.random((2, int(0.52 * edges))) * share[-1])
    source, target = ends[:, ends[0] != ends[1]]
    keys = np.unique(np.concatenate([source * nodes + target, target * nodes + source]))
    ptr = np.searchsorted(keys, np.arange(nodes + 1) * nodes).astype(np.int32)
    pattern = Pattern(torch.from_numpy(ptr), torch.from_numpy((keys % nodes).astype(np.int32)), nodes)
    return Graph.of_pattern(torch.from_numpy(rng.random((nodes, FEATURES), np.float32)), pattern, undirected=True)


def doubles_dropped(g: Graph) -> Route:
    """By tensor operations with replacement, doubles dropped: fewer edges for far less work than :func:`exact`."""
    ptr, col, n = g.pattern.ptr.long(), g.pattern.col.long(), g.num_nodes
    number = torch.full((n,), -1)

    def route(seeds: Tensor, fan_out: list[int]) -> tuple[int, int]:
        nodes, front, edges = seeds, seeds, 0
        number[seeds] = torch.arange(seeds.numel())
        for fan in fan_out:
            degree = ptr[front + 1] - ptr[front]
            pick = (torch.rand(front.numel(), fan) * degree[:, None]).long()
            row = torch.arange(front.numel()).repeat_interleave(fan).view(-1, fan)
            there = (degree > 0)[:, None].expand_as(pick)
            drawn = torch.unique(row[there] * n + col[(ptr[front][:, None] + pick)[there]])
            source = drawn % n
            front = torch.unique(source[number[source] < 0])
            number[front] = torch.arange(nodes.numel(), nodes.numel() + front.numel())
            nodes = torch.cat([nodes, front])
            number[source]  # the edges' new numbers
            edges += drawn.numel()
        number[nodes] = -1
        return nodes.numel(), edges

    return route


def exact(g: Graph) -> Route:
    """By tensor operations without replacement: a random number for every neighbour, of which the first in order are taken."""
    ptr, n = g.pattern.ptr.long(), g.num_nodes
    number = torch.full((n,), -1)

    def route(seeds: Tensor, fan_out: list[int]) -> tuple[int, int]:
        nodes, front, edges = seeds, seeds, 0
        number[seeds] = torch.arange(seeds.numel())
        for fan in fan_out:
            entry, new = gather_rows(ptr, front)
            row = torch.arange(front.numel()).repeat_interleave(new.diff())
            order = (row + torch.rand(row.numel(), dtype=torch.float64)).argsort()
            taken = order[torch.arange(row.numel()) - new[row] < fan]  # row is ascending, before and after
            source = g.pattern.col[entry[taken]].long()
            front = torch.unique(source[number[source] < 0])
            number[front] = torch.arange(nodes.numel(), nodes.numel() + front.numel())
            nodes = torch.cat([nodes, front])
            number[source]  # the edges' new numbers
            edges += source.numel()
        number[nodes] = -1
        return nodes.numel(), edges

    return route


def compiled_elsewhere(g: Graph) -> Route:
    """pyg-lib's sampler."""
    from pyg_lib.sampler import neighbor_sample

    ptr, col = g.pattern.ptr.long(), g.pattern.col.long()

    def route(seeds: Tensor, fan_out: list[int]) -> tuple[int, int]:
        row, _, nodes, *_ = neighbor_sample(ptr, col, seeds, fan_out)
        return nodes.numel(), row.numel()

    return route


def ours(g: Graph, *, whole: bool) -> Route:
    """Nodes and edges alone, or ``whole`` batches: with features and with what a backward pass needs of the edges."""

    def route(seeds: Tensor, fan_out: list[int]) -> tuple[int, int]:
        batches = NeighbourBatches(g, fan_out, BATCH, seeds=seeds, threads=0)
        batches._free = free  # what is set up once for many batches is not counted
        if whole:
            batch = batches.batch(0, 0)
            return batch.num_nodes, batch.num_edges
        nodes, rows = batches.sample(0, 0)
        return len(nodes), len(rows.col)

    free = NeighbourBatches(g, [1], BATCH, threads=0)._free
    return route


def compare(g: Graph, fan_out: list[int]) -> dict[str, float | str]:
    """Seeds and edges a second of each route, and how many times the seeds of ours are those of the others."""
    routes = {"graphssl": ours(g, whole=False), "graphssl, whole batches": ours(g, whole=True), "torch": exact(g)}
    routes["torch, with replacement"] = doubles_dropped(g)
    if find_spec("pyg_lib"):
        routes["pyg-lib"] = compiled_elsewhere(g)
    times: dict[str, list[float]] = {name: [] for name in routes}
    edges: dict[str, list[int]] = {name: [] for name in routes}
    for k in range(ROUNDS + 1):  # the first one warms up
        seeds = torch.randperm(g.num_nodes, generator=torch.Generator().manual_seed(k))[:BATCH]
        for name, route in routes.items():
            start = time.process_time()
            _, found = route(seeds, fan_out)
            times[name].append(time.process_time() - start)
            edges[name].append(found)
    taken = {name: statistics.median(t[1:]) for name, t in times.items()}
    row: dict[str, float | str] = {"fan_out": str(fan_out), "nodes": g.num_nodes, "edges": g.num_edges, "batch_size": BATCH}
    for name, seconds in taken.items():
        row |= {f"{name} seeds/s": round(BATCH / seconds), f"{name} edges/s": round(statistics.median(edges[name][1:]) / seconds)}
    return row | {f"ratio to {name}": round(taken[name] / taken["graphssl"], 1) for name in taken if not name.startswith("graphssl")}


if __name__ == "__main__":
    torch.set_num_threads(1)
    graph = heavy_tailed()
    rows = [compare(graph, fan_out) for fan_out in FAN_OUTS]
    for row in rows:
        print(row)
    what = "neighbour sampling, of one thread's processor time; whole batches carry 100 float32 features and the transposed rows"
    record = {"what": what, "rows": rows, "threads": torch.get_num_threads(), "environment": environment()}
    (Path(__file__).parent / "results" / "sampling.json").write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
