"""How time and memory of a step grow with nodes, edges, features and width."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from benchmarks.sampling import heavy_tailed
from benchmarks.speed.measure import Peak, alternate, medians
from benchmarks.speed.steps import Ours, words
from graphssl.graph import Graph
from graphssl.recipes.base import TwoViews
from graphssl.recipes.bgrl import BASE

# What grows, and the first of four sizes, each twice the one before: chosen so that what grows is most of the work.
VARIED: dict[str, tuple[tuple[str, ...], dict[str, int]]] = {
    "nodes": (("nodes",), {"nodes": 32_768, "edges": 65_536, "features": 64, "width": 64}),
    "edges": (("edges",), {"nodes": 8_192, "edges": 524_288, "features": 32, "width": 64}),
    "nodes and edges": (("nodes", "edges"), {"nodes": 16_384, "edges": 262_144, "features": 64, "width": 64}),
    "features": (("features",), {"nodes": 16_384, "edges": 65_536, "features": 256, "width": 64}),
    "sparse features": (("features",), {"nodes": 16_384, "edges": 65_536, "features": 4_096, "width": 64}),
    "width": (("width",), {"nodes": 16_384, "edges": 65_536, "features": 64, "width": 128}),
}
A_NODE = 1 / 32  # of the sparse features' entries that are not zero


def grown(factor: str, shrink: str = "1") -> dict[str, Any]:
    """Milliseconds and MB of a step at four sizes, and their exponents by least squares of the logarithms, with standard errors."""
    torch.set_num_threads(1)
    found: dict[str, list[float]] = {"ms": [], "memory_mb": []}
    sizes = []
    names, start = VARIED[factor]
    for k in range(4):
        size = {name: (first // int(shrink)) * (2**k if name in names else 1) for name, first in start.items()}
        g, recipe = _graph(size, sparse=factor == "sparse features")
        sizes.append(size | {"edges": g.num_edges, "features": g.num_features})
        Ours("bgrl", g, recipe).step()  # what is compiled or found once is there
        with Peak() as peak:
            ours = Ours("bgrl", g, recipe)
            ours.step()
            ours.step()
        found["memory_mb"].append(round(peak.more, 1))
        found["ms"].append(medians(alternate({"": ours.step}, rounds=5, budget=8.0)[""])["step"])
    varied = [size[names[0]] for size in sizes]
    return {"sizes": sizes, **found, "time": exponent(varied, found["ms"]), "memory": exponent(varied, found["memory_mb"])}


def _graph(size: dict[str, int], *, sparse: bool) -> tuple[Graph, TwoViews]:
    g = heavy_tailed(size["nodes"], size["edges"])
    features, width = size["features"], size["width"]
    if sparse:
        g = words(g, features, max(1, int(features * A_NODE)))
    else:
        g = g.with_x(torch.randn(g.num_nodes, features, generator=torch.Generator().manual_seed(0)))
    views = {"drop_edges": (0.4, 0.1), "mask_features": (0.1, 0.2)}
    return g, BASE.model_copy(update={"channels": (width, width), "hidden": width, **views})


def exponent(sizes: Sequence[float], values: Sequence[float]) -> dict[str, float]:
    """``b`` of ``values ~ a sizes^b``, by least squares of the logarithms, and its standard error.

    Raises:
        ValueError: fewer than three sizes.
    """
    if len(sizes) < 3:
        raise ValueError(f"sizes must be at least 3, got {len(sizes)}")
    x, y = np.log(np.asarray(sizes, float)), np.log(np.maximum(np.asarray(values, float), 1e-9))
    centred = x - x.mean()
    slope = float(centred @ y / (centred @ centred))
    rest = y - y.mean() - slope * centred
    error = math.sqrt(float(rest @ rest) / (len(x) - 2) / float(centred @ centred))
    return {"exponent": round(slope, 3), "error": round(error, 3)}
