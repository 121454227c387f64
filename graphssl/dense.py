"""Dense linear maps by the fastest route of the processor, with the activation behind them, in one function.

A step keeps the tensors of each layer in turn: backward passes go through blocks of rows that stay in the cache, so that a gradient is
written once and nothing as large as a layer stands in between.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from graphssl.differentiation import once_differentiable

BLOCK = 2**20  # numbers in a block of rows: 4 MB of float32
SMALL = 2**24  # multiply-adds below which a call costs more than it saves
STEEP = 0.01  # slopes above it can be taken back from what they made of a number without losing digits


def affine(x: Tensor, weight: Tensor, bias: Tensor | None = None, slope: Tensor | None = None) -> Tensor:
    """``x @ weight + bias``, ``[N, in] -> [N, out]``, and then, with ``slope`` ``[1]``, ``max(., 0) + slope min(., 0)``.

    Gradients are exact for all four. Under autocast products run in its type, and so is the result.
    """
    if not fits(x, weight):
        h = F.linear(x, weight.t(), bias)
        return h if slope is None else F.prelu(h, slope.to(h.dtype))
    narrow = torch.is_autocast_enabled("cpu") and x.dtype != torch.float64
    dtype = torch.get_autocast_dtype("cpu") if narrow else x.dtype
    out: Tensor = _Affine.apply(x, weight, bias, slope, dtype)  # type: ignore[no-untyped-call]
    return out


def fits(x: Tensor, weight: Tensor) -> bool:
    """Whether the product of ``x`` ``[N, in]`` and ``weight`` is taken here; else it is torch's own."""
    return x.device.type == "cpu" and x.dim() == 2 and x.is_floating_point() and x.size(0) * weight.numel() >= SMALL


def product(x: Tensor, weight: Tensor) -> Tensor:
    """``x @ weight``, without a gradient of its own, on any device."""
    return _affine(x, weight, None, None) if x.device.type == "cpu" else x @ weight


def blocks(n: int, width: int) -> Iterator[slice]:
    """Blocks of ``n`` rows so wide that one stays in the cache."""
    step = max(64, BLOCK // max(width, 1))
    return (slice(i, i + step) for i in range(0, n, step))


def shifted(h: Tensor, bias: Tensor | None) -> Tensor:
    """``h + bias`` in the place of ``h``, which the caller has just made; in its type, as two types together make two copies."""
    return h if bias is None else h.add_(bias.to(h.dtype))


def below_zero(h: Tensor, grad: Tensor, dtype: torch.dtype) -> Tensor:
    """Sum of ``min(h, 0) grad``, taken in ``dtype``: the gradient of a slope below zero; a block of rows at a time."""
    parts = blocks(h.size(0), h[:1].numel())
    return torch.stack([torch.dot(h[r].clamp(max=0).flatten().to(dtype), grad[r].flatten().to(dtype)) for r in parts]).sum()


def _affine(x: Tensor, weight: Tensor, bias: Tensor | None, slope: float | None) -> Tensor:
    if _by_onednn(x.dtype):
        act: tuple[str, list[float]] = ("none", []) if slope is None else ("leaky_relu", [slope])
        if 0 in weight.stride():  # the gradient of a sum: oneDNN takes a thousand times as long over numbers that stand once
            weight = weight.contiguous()
        return torch.ops.mkldnn._linear_pointwise(x, weight.t(), bias, *act, "")  # type: ignore[no-any-return]
    h = x @ weight if bias is None else torch.addmm(bias, x, weight)
    return h if slope is None else F.leaky_relu_(h, slope)


def _gram(x: Tensor, g: Tensor) -> Tensor:
    """``x^T g`` ``[in, out]`` of some rows; the narrower of the two is turned."""
    return product(x.t(), g) if x.size(1) <= g.size(1) else product(g.t(), x).t()


@cache
def _by_onednn(dtype: torch.dtype) -> bool:
    """Whether oneDNN multiplies faster than what torch calls.

    For float32 torch calls MKL, which keeps to AVX2 on processors that are not Intel's: with AVX-512, on one core of an AMD Zen 5, 90
    GFLOP/s against 200 of oneDNN. Half precision is oneDNN's in torch too.
    """
    if not hasattr(torch.ops.mkldnn, "_linear_pointwise") or not torch.backends.cpu.get_cpu_capability().startswith("AVX512"):
        return False
    if dtype == torch.bfloat16:
        return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
    return dtype == torch.float32 and not _is_intel()


def _is_intel() -> bool:
    about = Path("/proc/cpuinfo")
    return not about.exists() or "GenuineIntel" in about.read_text()


class _Affine(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, slope: Tensor | None, dtype: torch.dtype) -> Tensor:
        a = None if slope is None else slope.item()
        x, w = x.to(dtype), weight.to(dtype)
        h = _affine(x, w, None if bias is None else bias.to(dtype), a if a is not None and a > STEEP else None)
        ctx.a, ctx.types = a, [None if t is None else t.dtype for t in (x, weight, bias, slope)]
        if a is None or a > STEEP:
            ctx.save_for_backward(x, w, None if a is None else h)
            return h
        ctx.save_for_backward(x, w, h)
        return F.leaky_relu(h, a)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, w, h = ctx.saved_tensors
        asked = ctx.needs_input_grad
        wide = torch.promote_types(x.dtype, torch.float32)
        for_x = None if not asked[0] else product(grad, w.t()) if h is None else torch.empty_like(x)
        for_w, for_b, for_a = w.new_zeros(w.shape, dtype=wide), w.new_zeros(w.size(1), dtype=wide), w.new_zeros((), dtype=wide)
        for rows in blocks(x.size(0), max(w.shape)):
            g = grad[rows]
            if h is not None:
                g = torch.ops.aten.leaky_relu_backward(g, h[rows], ctx.a, False)  # the sign of h, whichever side of the slope
                for_a += below_zero(h[rows], grad[rows], wide)
            if asked[1]:
                for_w += _gram(x[rows], g)
            if asked[2]:
                for_b += g.sum(0, dtype=wide)
            if for_x is not None and h is not None:
                for_x[rows] = product(g, w.t())
        if ctx.a is not None and ctx.a > STEEP:
            for_a /= ctx.a
        found = (for_x, for_w if asked[1] else None, for_b if asked[2] else None, for_a.reshape(1) if asked[3] else None)
        return *(None if g is None else g.to(t) for g, t in zip(found, ctx.types, strict=True)), None
