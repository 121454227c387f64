"""Steps of a layer or a loss as one function each: fewer passes over the rows, and fewer tensors kept for the gradient."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from graphssl.dense import STEEP, below_zero
from graphssl.differentiation import once_differentiable


def fits(h: Tensor, norm: nn.Module) -> bool:
    """Whether :func:`norm_act` can stand for ``norm``, on ``h`` ``[N, D]``, and the activation behind it."""
    plain = type(norm) is nn.BatchNorm1d and norm.training and norm.affine and norm.track_running_stats and norm.momentum is not None
    return plain and h.device.type == "cpu" and h.dim() == 2 and h.size(0) > 1


def norm_act(h: Tensor, norm: nn.BatchNorm1d, slope: Tensor) -> Tensor:
    """Batch norm while training and then ``max(., 0) + slope min(., 0)``, ``[N, D] -> [N, D]``; running statistics move as ever.

    Gradients are exact for ``h``, the affine map and ``slope`` ``[1]``.
    """
    assert norm.momentum is not None
    if norm.num_batches_tracked is not None:
        norm.num_batches_tracked.add_(1)
    out: Tensor = _NormAct.apply(h, norm.weight, norm.bias, slope, norm, norm.momentum)  # type: ignore[no-untyped-call]
    return out


def cosine(u: Tensor, v: Tensor) -> Tensor:
    """Cosines of rows, ``[N, D]`` twice ``-> [N]``; zero where a row is zero, as :func:`torch.nn.functional.cosine_similarity`."""
    out: Tensor = _Cosine.apply(u, v)  # type: ignore[no-untyped-call]
    return out


class _Cosine(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, u: Tensor, v: Tensor) -> Tensor:
        lengths = [torch.linalg.vector_norm(x, dim=-1).clamp_(min=1e-8) for x in (u, v)]
        out: Tensor = torch.linalg.vecdot(u, v) / lengths[0] / lengths[1]
        ctx.save_for_backward(u, v, *lengths, out)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        u, v, a, b, out = ctx.saved_tensors
        across = (grad / a / b)[:, None]
        return tuple(
            (other * across).addcmul_(mine, (-grad * out / length.square() * (length > 1e-8))[:, None]) if asked else None
            for asked, mine, other, length in zip(ctx.needs_input_grad, (u, v), (v, u), (a, b), strict=True)
        )


class _NormAct(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, slope: Tensor, norm: nn.BatchNorm1d, momentum: float) -> Tensor:
        statistics = norm.running_mean, norm.running_var
        z, mean, scale = torch.native_batch_norm(x, weight, bias, *statistics, True, momentum, norm.eps)
        ctx.a = slope.item()
        out = F.leaky_relu_(z, ctx.a) if ctx.a > STEEP else F.leaky_relu(z, ctx.a)
        ctx.save_for_backward(x, z, weight, slope, mean, scale)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, z, weight, slope, mean, scale = ctx.saved_tensors  # the sign of z is that of what was normalised, also after the slope
        g = torch.ops.aten.leaky_relu_backward(grad, z, ctx.a, False)
        found = torch.ops.aten.native_batch_norm_backward(g, x, weight, None, None, mean, scale, True, 0.0, [True] * 3)
        below = below_zero(z, grad, mean.dtype) / (ctx.a if ctx.a > STEEP else 1)
        return *found, below.reshape(1).to(slope.dtype), None, None
