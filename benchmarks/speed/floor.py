"""What a step cannot do without: bytes at the machine's bandwidth, products at its peak.

A step is a list of operations, each a pass over tensors, and takes at least the sum over them of
``max(bytes / bandwidth, flops / peak)``, with both figures measured on this machine just before. What counts as a byte:

- element-wise work is thought to be fused with what it follows, so that each tensor is written once and read once where it is needed;
- a sparse product reads a row of its right side for each entry, and 8 bytes an entry for index and value;
- a masked column's entries and a dropped edge's are not touched; sparse features have no gradient.

Bandwidth is a triad's, ``a = b + s c``, on tensors as large as the ones that move, so that what fits into a cache counts as fast as the
cache; the peak is the best rate of the step's own products. Both are taken before and after the steps that they are compared with, and
the better ones count.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

from benchmarks.speed.measure import clock
from graphssl.adjacency import CSR
from graphssl.graph import Graph
from graphssl.recipes.base import TwoViews

LARGE = 2**28  # bytes of each of a triad's tensors, larger than any cache
SHORT = 0.2  # seconds of measurement


@dataclass(frozen=True)
class Operation:
    """Bytes that must move, the size in bytes of the tensor they come from, and multiplications and additions of dense products."""

    name: str
    moved: float
    table: float
    flops: float = 0.0


FOUND: dict[tuple[object, ...], float] = {}  # the best rates of this process so far


def bandwidth(size: int) -> float:
    """Bytes a second of a triad on three tensors of ``size`` bytes each."""
    n = max(size // 4, 1024)
    a, b, c = torch.empty(n), torch.rand(n), torch.rand(n)
    return _rate(("triad", n), 12.0 * n, lambda: torch.add(b, c, alpha=3.0, out=a))


def peak(n: int, k: int, m: int, dtype: torch.dtype) -> float:
    """Floating-point operations a second of ``[n, k] @ [k, m]``, by torch's default library or by oneDNN, whichever is faster.

    They differ: on a processor that the default one does not know, it may leave half of the vector units idle.
    """
    a, b = torch.rand(n, k).to(dtype), torch.rand(k, m).to(dtype)
    out = torch.empty(n, m, dtype=dtype)
    best = _rate((n, k, m, dtype), 2.0 * n * k * m, lambda: torch.mm(a, b, out=out))
    if torch.backends.mkldnn.is_available() and hasattr(torch.ops.mkldnn, "_linear_pointwise"):
        turned = b.t().contiguous()
        work = lambda: torch.ops.mkldnn._linear_pointwise(a, turned, None, "none", [], "")  # noqa: E731
        best = max(best, _rate((n, k, m, dtype, "oneDNN"), 2.0 * n * k * m, work))
    return best


def _rate(key: tuple[object, ...], work: float, run: Callable[[], object]) -> float:
    """``work`` a second in the shortest of several runs, or the best of an earlier call."""
    run()
    shortest, start = float("inf"), time.perf_counter()
    for k in range(10_000):
        before = clock()
        run()
        shortest = min(shortest, max(clock() - before, 1e-7))
        if k >= 2 and time.perf_counter() - start > SHORT:
            break
    FOUND[key] = max(FOUND.get(key, 0.0), work / shortest)
    return FOUND[key]


def operations(g: Graph, recipe: TwoViews, width: int = 4) -> list[Operation]:
    """Those of one step of BGRL with numbers of ``width`` bytes: two views, two networks, two layers and a predictor."""
    n, f = g.num_nodes, g.num_features
    d1, d2 = recipe.channels
    hidden: int = recipe.hidden  # type: ignore[attr-defined]
    found = []
    parameters = f * d1 + d1 * d2 + 2 * d2 * hidden
    for drop, mask in zip(recipe.drop_edges, recipe.mask_features, strict=True):
        entries = (1 - drop) * g.num_edges + n
        found.append(Operation("views", 16.0 * g.num_edges, 8.0 * g.num_edges))
        found += _first_layer(g, entries, 1 - mask, d1, width)
        for passes in (2, 1):  # forward in both networks, backward in one
            found.append(
                Operation("second layer, product", _rows(n, passes * (d1 + d2), width), n * d1 * width, 2.0 * passes * n * d1 * d2)
            )
            found.append(Operation("second layer, neighbours", passes * _sparse(entries, n, d2, width), n * d2 * width))
        found.append(Operation("second layer, gradient of the weight", _rows(n, d1 + d2, width), n * d1 * width, 2.0 * n * d1 * d2))
        for d in (d1, d2):
            found.append(Operation("norm and activation", _rows(n, 2 * 2 * d, width), n * d * width))
            found.append(Operation("norm and activation, gradient", _rows(n, 5 * d, width), n * d * width))
        for _ in range(2):  # its two layers
            found.append(Operation("predictor", _rows(n, hidden + d2, width), n * hidden * width, 2.0 * n * hidden * d2))
            found += 2 * [Operation("predictor, gradients", _rows(n, hidden + d2, width), n * hidden * width, 2.0 * n * hidden * d2)]
        found.append(Operation("activation of the predictor, and its gradient", _rows(n, 5 * hidden, width), n * hidden * width))
        found.append(Operation("loss and its gradient", _rows(n, 5 * d2, width), n * d2 * width))
    found.append(Operation("optimiser and target", 10 * 4.0 * parameters, 4.0 * parameters))
    return found


def _first_layer(g: Graph, entries: float, kept: float, d: int, width: int) -> list[Operation]:
    n, f = g.num_nodes, g.num_features
    near = Operation("first layer, neighbours", _sparse(entries, n, d, width), n * d * width)
    if isinstance(g.x, CSR):
        stored = kept * g.x.pattern.num_entries
        product = Operation("first layer, sparse features", _sparse(stored, n, d, width), f * d * width)
        back = Operation("first layer, gradient of the weight", _sparse(stored, f, d, width), n * d * width)
        return [product, near, product, near, near, back]
    product = Operation("first layer, product", _rows(n, f + d, width), n * d * width, 2.0 * n * f * d)
    if f < d:  # the neighbours of the features are summed once for both networks, and have no gradient
        return [Operation("first layer, neighbours", _sparse(entries, n, f, width), n * f * width), *(3 * [product])]
    return [product, near, product, near, near, product]


def _rows(n: int, columns: int, width: int) -> float:
    return float(n) * columns * width


def _sparse(entries: float, rows: int, d: int, width: int) -> float:
    """A row read for each entry, a row written for each row, and the entries themselves."""
    return entries * (d * width + 8.0) + rows * d * width


def floor(g: Graph, recipe: TwoViews) -> dict[str, Any]:
    """Milliseconds that a step takes at least, in float32 and with all numbers in bf16, and what was measured for it.

    Called again in a process, it measures again, and keeps the better rates.
    """
    d1, d2 = recipe.channels
    hidden: int = recipe.hidden  # type: ignore[attr-defined]
    n = min(g.num_nodes, 32_768)
    shapes = {(n, d1, d2), (n, d2, hidden), (n, hidden, d2), (d1, n, d2), (n, d2, d1)}
    record: dict[str, Any] = {"bandwidth_gb_s": round(bandwidth(LARGE) / 1e9, 1)}
    for name, dtype, width in (("float32", torch.float32, 4), ("bf16", torch.bfloat16, 2)):
        best = max(peak(*shape, dtype) for shape in shapes)
        parts: dict[str, float] = {}
        moved = flops = 0.0
        todo = operations(g, recipe, width)
        rates = {size: bandwidth(size) for size in {_rounded(o.table) for o in todo}}
        for o in todo:
            rate = rates[_rounded(o.table)]
            parts[o.name] = parts.get(o.name, 0.0) + 1e3 * max(o.moved / rate, o.flops / best)
            moved, flops = moved + o.moved, flops + o.flops
        record[name] = {
            "ms": round(sum(parts.values()), 3),
            "gigabytes": round(moved / 1e9, 3),
            "gigaflop": round(flops / 1e9, 2),
            "peak_gigaflop_s": round(best / 1e9, 1),
            "default_gigaflop_s": round(max(FOUND[(*shape, dtype)] for shape in shapes) / 1e9, 1),
            "bandwidth_gb_s": {f"{size / 1e6:.3g} MB": round(rate / 1e9, 1) for size, rate in sorted(rates.items())},
            "parts_ms": {part: round(ms, 3) for part, ms in parts.items()},
        }
    return record


def _rounded(size: float) -> int:
    """The next power of two, from 64 kB to what is larger than any cache."""
    return int(min(max(2 ** int(size - 1).bit_length(), 2**16), LARGE)) if size >= 1 else 2**16
