"""One model in several processes: equal parameters, and batch norm over the rows of all of them."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from graphssl.differentiation import once_differentiable
from graphssl.distributed import same, summed, world


def unite(objective: nn.Module) -> None:
    """Parameters and buffers as rank 0 has them, and batch norm over the rows of all ranks."""
    for part in objective.modules():
        if type(part) is nn.BatchNorm1d:
            part.__class__ = BatchNorm
    with torch.no_grad():
        for t in (*objective.parameters(), *objective.buffers()):
            same(t)


class BatchNorm(nn.BatchNorm1d):
    """Batch norm whose statistics while training are those of the rows of all ranks, so that running ones are equal everywhere.

    Unlike ``torch.nn.SyncBatchNorm`` it also runs on CPU, and with one process is ``torch.nn.BatchNorm1d``. Variance is a mean of squares
    about the common mean, in two messages, as the difference of two sums of squares loses digits.
    """

    def forward(self, x: Tensor) -> Tensor:
        if not (self.training and world().size > 1):
            return super().forward(x)
        out, mean, var, n = _Normalised.apply(x, self.weight, self.bias, self.eps)  # type: ignore[no-untyped-call]
        if self.track_running_stats and self.running_mean is not None and self.running_var is not None:
            assert self.num_batches_tracked is not None
            self.num_batches_tracked.add_(1)
            share = 1 / float(self.num_batches_tracked) if self.momentum is None else self.momentum
            with torch.no_grad():
                self.running_mean.lerp_(mean.to(self.running_mean), share)
                self.running_var.lerp_((var * n / (n - 1).clamp(min=1)).to(self.running_var), share)
        return out  # type: ignore[no-any-return]


class _Normalised(torch.autograd.Function):
    """``[N, C]`` to mean 0 and variance 1 over the rows of all ranks, scaled and shifted; mean, variance and number of rows beside it."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, eps: float) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        wide = x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
        total = summed(torch.cat([wide.sum(0), wide.new_full((1,), wide.size(0))]))
        n = total[-1]
        mean = total[:-1] / n
        centred = wide - mean
        var = summed(centred.square().sum(0)) / n
        scale = (var + eps).rsqrt()
        normal = centred.mul_(scale)
        ctx.save_for_backward(normal, weight, scale, n)
        ctx.mark_non_differentiable(mean, var, n)
        return (normal * weight + bias).to(x.dtype), mean, var, n

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor, *_: Any) -> tuple[Tensor, Tensor, Tensor, None]:
        normal, weight, scale, n = ctx.saved_tensors
        wide = grad.to(normal.dtype)
        for_bias, for_weight = wide.sum(0), (wide * normal).sum(0)  # of this rank: they are summed with all other gradients
        by_bias, by_weight = (summed(torch.stack([for_bias, for_weight])) / n).unbind()
        grad_x = (wide - by_bias - normal * by_weight) * (weight * scale)
        return grad_x.to(grad.dtype), for_weight, for_bias, None
