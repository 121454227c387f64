"""Aggregations, forward and backward, beside PyG's layers of the same parameters."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch_geometric.nn as pyg
from torch import Tensor, nn

from benchmarks.aggregation import SHAPES, random_graph
from benchmarks.speed.measure import Peak, Phases, alternate, medians, seconds, spread
from graphssl.layers import GATConv, GCNConv, GINConv, SAGEConv

WIDTH, HEADS = 256, 4
GRAPHS = {name: (nodes, edges) for name, nodes, edges in SHAPES} | {"tiny": (300, 1_500)}


def _gcn() -> tuple[nn.Module, nn.Module]:
    ours, theirs = GCNConv(WIDTH, WIDTH), pyg.GCNConv(WIDTH, WIDTH, cached=True)
    return ours, _with(theirs, {"lin.weight": ours.linear.weight.t(), "bias": ours.bias})


def _sage(aggregation: Any) -> tuple[nn.Module, nn.Module]:
    ours, theirs = SAGEConv(WIDTH, WIDTH, aggregation=aggregation), pyg.SAGEConv(WIDTH, WIDTH, aggr=aggregation)
    maps = {"lin_l.weight": ours.neighbours.weight.t(), "lin_l.bias": ours.root.bias, "lin_r.weight": ours.root.weight.t()}
    return ours, _with(theirs, maps)


def _gin() -> tuple[nn.Module, nn.Module]:
    ours = GINConv(WIDTH, WIDTH)
    theirs = pyg.GINConv(nn.Sequential(nn.Linear(WIDTH, WIDTH), nn.ReLU(), nn.Linear(WIDTH, WIDTH)), train_eps=True)
    first, second = {"nn.0.weight": ours.first.weight.t(), "nn.0.bias": ours.bias}, ours.second
    return ours, _with(theirs, {**first, "nn.2.weight": second.weight.t(), "nn.2.bias": second.bias})


def _gat() -> tuple[nn.Module, nn.Module]:
    ours, theirs = GATConv(WIDTH, WIDTH, heads=HEADS), pyg.GATConv(WIDTH, WIDTH // HEADS, heads=HEADS)
    ends = {"att_src": ours.attention[:1], "att_dst": ours.attention[1:]}
    return ours, _with(theirs, {"lin.weight": ours.neighbours.weight.t(), "bias": ours.bias, **ends})


LAYERS: dict[str, Callable[[], tuple[nn.Module, nn.Module]]] = {
    "gcn": _gcn,
    "gat": _gat,
    "sage": lambda: _sage("mean"),
    "sage max": lambda: _sage("max"),
    "gin": _gin,
}


def _with(theirs: nn.Module, values: dict[str, Tensor]) -> nn.Module:
    with torch.no_grad():
        for name, parameter in theirs.named_parameters():
            if name in values:
                parameter.copy_(values[name])
    return theirs


def layer(name: str, graph: str) -> dict[str, Any]:
    """Milliseconds of a layer's forward and backward pass, ours and PyG's in turn; MB that each takes; how far the results lie apart."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    g = random_graph(*GRAPHS[graph])
    ours, theirs = LAYERS[name]()
    x = g.dense_x().requires_grad_()
    g = g.with_x(x)
    edges = g.edge_index
    with torch.no_grad():
        apart = float((ours(x, g) - theirs(x, edges)).abs().max())
    if apart > 1e-3:
        raise ArithmeticError(f"{name} on {graph}: outputs lie {apart:.1e} apart; the routes differ")
    routes = {"graphssl": _pass(lambda: ours(x, g), x), "pyg": _pass(lambda: theirs(x, edges), x)}
    row: dict[str, Any] = {"nodes": g.num_nodes, "edges": g.num_edges, "width": WIDTH, "largest_difference": apart, "memory_mb": {}}
    for route, work in routes.items():
        work()  # so that what is made once is there
        with Peak() as peak:
            work()
        row["memory_mb"][route] = round(peak.more, 1)
    taken = alternate(routes, rounds=7, budget=12.0)
    row |= {"ms": {route: medians(t)["step"] for route, t in taken.items()}, "spread": {route: spread(t) for route, t in taken.items()}}
    return row | {"times": round(row["ms"]["pyg"] / row["ms"]["graphssl"], 2)}


def _pass(forward: Callable[[], Tensor], x: Tensor) -> Callable[[], Phases]:
    def work() -> None:
        forward().sum().backward()  # type: ignore[no-untyped-call]
        x.grad = None

    return lambda: seconds(work)
