"""What stands behind an encoder during training: projectors and predictors, the moving-average copy, readout, discriminators."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any, Literal, cast

import torch
from torch import Tensor, nn

from graphssl.dense import affine, fits
from graphssl.layers import ACTIVATIONS, Linear, PReLU, reset_parameters


class MLP(nn.Sequential):
    """``Linear -> activation -> Linear``, ``[N, in] -> [N, out]``: the projector of GRACE (ELU), the predictor of BGRL (PReLU).

    Example:
        >>> MLP(256, 512, 256)(torch.zeros(3, 256)).shape
        torch.Size([3, 256])
    """

    def __init__(self, in_channels: int, hidden: int, out_channels: int, *, act: str = "prelu") -> None:
        if act not in ACTIVATIONS:
            raise ValueError(f"act must be one of {', '.join(ACTIVATIONS)}, got {act!r}")
        make: Callable[[], nn.Module] = ACTIVATIONS[act]
        super().__init__(nn.Linear(in_channels, hidden), make(), nn.Linear(hidden, out_channels))

    def forward(self, x: Tensor) -> Tensor:
        first, act, last = cast(tuple[nn.Linear, nn.Module, nn.Linear], tuple(self))
        if not fits(x, first.weight):
            return super().forward(x)  # type: ignore[no-any-return, no-untyped-call]
        slope = act.weight if isinstance(act, PReLU) else None
        h = affine(x, first.weight.t(), first.bias, slope)
        return affine(act(h) if slope is None else h, last.weight.t(), last.bias)


class ClassDecoder(nn.Module):
    """Features again from an embedding and its class, ``[N, D], [N] -> [N, F]``: the class-conditional decoder of Thanos' autoencoder.

    The class joins as an embedding of its own (Chen et al., 2022, arXiv:2204.07596), so what the node's embedding must tell is how the node
    differs from others of its class.

    Example:
        >>> ClassDecoder(8, 3, 16, 5)(torch.zeros(4, 8), torch.tensor([0, 1, 2, 2])).shape
        torch.Size([4, 5])
    """

    def __init__(self, channels: int, num_classes: int, hidden: int, out_channels: int) -> None:
        super().__init__()
        self.of_class = nn.Embedding(num_classes, channels)
        self.decoder = MLP(2 * channels, hidden, out_channels)

    def forward(self, h: Tensor, y: Tensor) -> Tensor:
        return self.decoder(torch.cat([h, self.of_class(y)], 1))  # type: ignore[no-any-return]


class ShortcutMLP(nn.Module):
    """Three layers ``Linear -> activation`` beside one linear map, added, ``[N, D] -> [N, D']``: the projections of InfoGraph, MVGRL.

    Args:
        channels: width ``D``.
        out_channels: width ``D'``; ``D`` by default.
        act: activation; MVGRL has ``prelu``.
        linear: makes a linear map; :class:`graphssl.layers.Linear` draws it as InfoGraph does, and ``torch.nn.Linear`` as MVGRL.

    Example:
        >>> ShortcutMLP(96)(torch.zeros(3, 96)).shape
        torch.Size([3, 96])
    """

    def __init__(
        self,
        channels: int,
        out_channels: int | None = None,
        *,
        act: str = "relu",
        linear: Callable[[int, int], nn.Module] = Linear,
    ) -> None:
        super().__init__()
        out = channels if out_channels is None else out_channels
        self.block = nn.Sequential(*(part for width in (channels, out, out) for part in (linear(width, out), ACTIVATIONS[act]())))
        self.shortcut = linear(channels, out)

    def forward(self, h: Tensor) -> Tensor:
        return self.block(h) + self.shortcut(h)  # type: ignore[no-any-return]


class EMA(nn.Module):
    """A copy of ``module`` that follows it as an exponential moving average: ``target <- m target + (1 - m) module``.

    Its parameters take no gradient and move in :meth:`update` alone.

    Args:
        module: what is copied.
        reset: draw the copy's parameters anew instead of copying them (the official BGRL code does).
        buffers: batch-norm statistics of the copy: ``own`` (left to the copy's own forward passes, as in the official BGRL code)
            or ``copy`` (taken from ``module`` at each update).
    """

    def __init__(self, module: nn.Module, *, reset: bool = False, buffers: Literal["own", "copy"] = "own") -> None:
        super().__init__()
        if buffers not in ("own", "copy"):
            raise ValueError(f"buffers must be 'own' or 'copy', got {buffers!r}")
        self.copy = copy.deepcopy(module)
        self.copy.requires_grad_(False)
        self.buffers_from = buffers
        if reset:
            reset_parameters(self.copy)

    @torch.no_grad()
    def update(self, module: nn.Module, momentum: float) -> None:
        """Move the copy: ``momentum`` 1 leaves it, 0 sets it equal to ``module``."""
        torch._foreach_lerp_(list(self.copy.parameters()), list(module.parameters()), 1 - momentum)
        if self.buffers_from == "copy":
            for mine, other in zip(self.copy.buffers(), module.buffers(), strict=True):
                mine.copy_(other)


class Bilinear(nn.Module):
    """Scores ``h_i^T W s_i + b`` of rows ``h`` ``[N, D]`` against summaries ``s`` ``[G, D]`` picked by ``index`` ``[N]``: ``[N]``.

    Written as a matrix product over the summaries: torch's own bilinear layer is an order of magnitude slower backward on CPU.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(channels, channels))
        self.bias = nn.Parameter(torch.zeros(()))
        nn.init.xavier_uniform_(self.weight)

    def forward(self, h: Tensor, s: Tensor, index: Tensor | None = None) -> Tensor:
        keys = s @ self.weight.t()  # [G, D]
        scores = h @ keys[0] if index is None else (h * keys[index]).sum(-1)
        return scores + self.bias


def mean_per_graph(h: Tensor, graph_id: Tensor | None, num_graphs: int) -> Tensor:
    """Mean of the rows of each graph, ``[N, D] -> [G, D]``; zero for a graph with no row."""
    if graph_id is None:
        return h.mean(dim=0, keepdim=True)
    total = h.new_zeros(num_graphs, h.size(1)).index_add(0, graph_id, h)
    count = torch.bincount(graph_id, minlength=num_graphs).clamp(min=1)
    return total / count[:, None]


class _Reversed(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, t: Tensor, scale: float) -> Tensor:
        ctx.scale = scale
        return t.view_as(t)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        return -ctx.scale * grad, None


def gradient_reversed(t: Tensor, scale: float = 1.0) -> Tensor:
    """The same value; the gradient ``-scale`` times as large (Ganin and Lempitsky, 2015, arXiv:1409.7495).

    What stands behind it descends its loss while what stands before it ascends.

    Example:
        >>> t = torch.ones(2, requires_grad=True)
        >>> gradient_reversed(t, 0.5).sum().backward()
        >>> t.grad
        tensor([-0.5000, -0.5000])
    """
    out: Tensor = _Reversed.apply(t, scale)  # type: ignore[no-untyped-call]
    return out
