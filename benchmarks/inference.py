"""Embeddings layer by layer against a pass over the whole graph: ``python -m benchmarks.inference [--nodes N]``. Ratios of the same run.

A GCN of two layers, 256 wide unless said otherwise, in CPU seconds on one thread; the routes alternate, and the median of each is taken.
Memory is what the process came to hold besides the graph, at most (Linux). A size at which the whole graph does not fit is measured with
``--no-whole``.
"""

from __future__ import annotations

import argparse
import gc
import json
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from graphssl import GCN, GNN, embed
from graphssl.adjacency import Pattern, row_pointers
from graphssl.environment import environment
from graphssl.graph import Graph

NODES, DEGREE, FEATURES, ROUNDS = 244_903, 51.5, 100, 3  # a tenth of ogbn-products
WIDTHS = (256, 256)
ROUTES: dict[str, dict[str, Any]] = {
    "layerwise": {"precision": "float32"},
    "layerwise bf16": {"precision": "bf16"},
}


def heavy_tailed(nodes: int, edges: int, features: int = FEATURES) -> Graph:
    """An undirected graph of about that many directed edges, degrees from a power law, without loops or parallel edges, by its rows."""
    generator = torch.Generator().manual_seed(0)
    share = torch.arange(1, nodes + 1).pow(-0.5)[torch.randperm(nodes, generator=generator)]
    ends = torch.searchsorted(share.double().cumsum(0).div_(share.double().sum()), torch.rand(edges, generator=generator).double())
    a, b = ends.clamp_(max=nodes - 1).view(2, -1)
    keys = torch.cat([a * nodes + b, b * nodes + a])[torch.cat([a != b, a != b])].unique()
    ptr = row_pointers(keys // nodes, nodes)
    x = torch.randn(nodes, features, generator=generator)
    return Graph.of_pattern(x, Pattern(ptr, (keys % nodes).int(), nodes), undirected=True)


def fresh(g: Graph) -> Graph:
    """The same graph, without the matrices that an earlier pass has left with it."""
    return Graph.of_pattern(g.x, Pattern(g.pattern.ptr, g.pattern.col, g.num_nodes), undirected=True)


@torch.no_grad()
def whole(encoder: GNN, g: Graph) -> Tensor:
    """A pass over the graph as it is."""
    return encoder.eval()(g)  # type: ignore[no-any-return]


def measured(run: Callable[[], Tensor]) -> tuple[Tensor, float, float, float | None]:
    """The result, CPU seconds, wall seconds, and MB that came in on top of what the process held."""
    gc.collect()
    before = _resident("VmRSS", reset=True)
    cpu, wall = time.process_time(), time.perf_counter()
    z = run()
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    peak = _resident("VmHWM")
    return z, cpu, wall, None if peak is None or before is None else (peak - before) / 1e6


def compare(nodes: int, widths: Sequence[int] = WIDTHS, *, with_whole: bool = True, rounds: int = ROUNDS) -> list[dict[str, Any]]:
    """A row for each route: median seconds, memory, ratio to the whole pass, and how far its results lie from the exact ones."""
    g = heavy_tailed(nodes, round(nodes * DEGREE))
    torch.manual_seed(0)
    encoder = GCN(FEATURES, widths)
    routes: dict[str, Callable[[], Tensor]] = {"whole": lambda: whole(encoder, fresh(g))} if with_whole else {}
    for name, options in ROUTES.items():
        routes[name] = lambda options=options: embed(encoder, fresh(g), memory="100GB", **options)  # type: ignore[misc]
    results: dict[str, list[tuple[float, float, float | None]]] = {name: [] for name in routes}
    embed(encoder, heavy_tailed(100, 500), chunk=50)  # compiles, and imports
    apart: dict[str, float] = {}
    for _ in range(rounds):
        exact = None
        for name, route in routes.items():
            z, *figures = measured(route)
            results[name].append((figures[0], figures[1], figures[2]))
            exact = z if exact is None else exact
            apart[name] = float((z - exact).norm() / exact.norm())
    rows = []
    for name, all_figures in results.items():
        cpu, wall = (statistics.median(figure[k] for figure in all_figures) for k in (0, 1))
        base = statistics.median(figure[0] for figure in results["whole"]) if with_whole else None
        rows.append({
            "route": name, "nodes": g.num_nodes, "edges": g.num_edges, "features": FEATURES, "widths": list(widths),
            "threads": torch.get_num_threads(), "cpu_s": round(cpu, 2), "wall_s": round(wall, 2),
            "memory_mb": None if all_figures[0][2] is None else round(max(figure[2] or 0 for figure in all_figures)),
            "times_as_fast": None if base is None else round(base / cpu, 2), "relative_difference": apart[name],
        })  # fmt: skip
    return rows


def _resident(what: str, *, reset: bool = False) -> float | None:
    """Bytes resident now (``VmRSS``) or at most since the last reset (``VmHWM``); ``None`` where the system does not say."""
    try:
        if reset:
            Path("/proc/self/clear_refs").write_text("5")
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        return None
    return next((1024.0 * int(line.split()[1]) for line in lines if line.startswith(what)), None)


def main(args: list[str] | None = None) -> None:
    """Measure, print, and write ``results/inference.json``."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.inference", description="Layer by layer against the whole graph.")
    parser.add_argument("--nodes", type=int, default=NODES)
    parser.add_argument("--widths", type=int, nargs="+", default=WIDTHS)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--no-whole", action="store_true", help="only layer by layer")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "inference.json")
    given = parser.parse_args(args)
    torch.set_num_threads(given.threads)
    rows = compare(given.nodes, given.widths, with_whole=not given.no_whole, rounds=given.rounds)
    for row in rows:
        print(row)
    record = {"what": "embeddings of all nodes, 2-layer GCN, layer by layer over a pass on the whole graph", "rows": rows}
    given.out.write_text(json.dumps(record | {"environment": environment()}, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
