"""The engine under losses of pairs: similarities of a few rows at a time, reduced row by row, formed again for the gradient."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from graphssl.differentiation import once_differentiable


def per_row(reduce: Callable[..., Tensor], *pairs: tuple[Tensor, Tensor], chunk: int | None = None) -> Tensor:
    r"""What ``reduce`` makes of each row of ``a b^T``, without ever holding the ``N x M`` similarities.

    For a chunk of rows it is called as ``reduce(rows, s_1, s_2, ...)`` with the slice of rows and ``s_k = a_k[rows] b_k^T``, one for each
    pair, and returns ``[c]`` or ``[c, k]``; it may change its ``s_k`` in place. With ``chunk`` nothing is kept for the gradient but the
    inputs: similarities are formed again (Chen et al., 2016, arXiv:1604.06174) with the same random numbers, in memory O(chunk x M), with
    the same value and gradient. What ``reduce`` closes over takes no gradient: what wants one is a pair, or is joined to the result. A
    temperature goes into a pair, ``(u / tau, v)``.

    Args:
        reduce: pure function of the rows' slice and their similarities ``[c, M_k]``.
        pairs: ``(a [N, D], b [M, D])`` each, all of the same ``N``.
        chunk: rows of similarities held at a time; ``None`` holds all.

    Returns:
        ``[N]`` or ``[N, k]``.

    Raises:
        ValueError: no pair, rows that disagree in number or width, a chunk below 1, or a ``reduce`` that closes over what wants a gradient.

    Example:
        >>> a, b = torch.eye(3), torch.eye(3)
        >>> per_row(lambda rows, s: s.logsumexp(1), (a / 0.5, b), chunk=2).shape
        torch.Size([3])
    """
    if not pairs or any(a.dim() != 2 or b.dim() != 2 or a.size(1) != b.size(1) or a.size(0) != pairs[0][0].size(0) for a, b in pairs):
        raise ValueError(f"pairs must be ([N, D], [M, D]) with one N, got {[(tuple(a.shape), tuple(b.shape)) for a, b in pairs]}")
    if chunk is not None and chunk < 1:
        raise ValueError(f"chunk must be at least 1 or None, got {chunk}")
    n = pairs[0][0].size(0)
    if chunk is None or chunk >= n:
        return reduce(slice(0, n), *(a @ b.t() for a, b in pairs))
    out: Tensor = _PerRow.apply(reduce, chunk, *(x for pair in pairs for x in pair))  # type: ignore[no-untyped-call]
    return out


class _PerRow(torch.autograd.Function):
    """One chunk after another, each gone before the next: results and gradients are written where they stay.

    With tensors that outlive their chunk in between, as a list of results or a checkpoint of each, the heap cannot be used again.
    """

    @staticmethod
    def forward(ctx: Any, reduce: Callable[..., Tensor], chunk: int, *tensors: Tensor) -> Tensor:
        ctx.reduce, ctx.chunk = reduce, chunk
        ctx.save_for_backward(*tensors)
        ctx.random = _random_state(tensors[0].device)
        out: Tensor | None = None
        for rows in _slices(tensors[0].size(0), chunk):
            s = [a[rows] @ b.t() for a, b in zip(tensors[::2], tensors[1::2], strict=True)]
            with torch.enable_grad():  # so that a gradient that would be lost is seen
                part = reduce(rows, *s)
            if part.requires_grad:
                raise ValueError(
                    "reduce closes over a tensor that wants a gradient: give it as a pair, join it to the result, or detach it"
                )
            if out is None:
                out = part.new_empty(tensors[0].size(0), *part.shape[1:])
            out[rows] = part
        assert out is not None
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        tensors, wanted = ctx.saved_tensors, ctx.needs_input_grad[2:]
        device = tensors[0].device
        grads = {k: torch.zeros_like(tensors[k]) for k, want in enumerate(wanted) if want}
        whole_precision = torch.autocast(device.type, enabled=False)  # as losses run, wherever backward is called
        with torch.random.fork_rng([device] if device.type == "cuda" else []), torch.enable_grad(), whole_precision:
            _set_random_state(device, ctx.random)
            for rows in _slices(grad.size(0), ctx.chunk):
                leaves = [(x if k % 2 else x[rows]).detach().requires_grad_(wanted[k]) for k, x in enumerate(tensors)]
                part = ctx.reduce(rows, *(a @ b.t() for a, b in zip(leaves[::2], leaves[1::2], strict=True)))
                if not part.requires_grad:
                    continue
                found = torch.autograd.grad(part, [leaves[k] for k in grads], grad[rows], allow_unused=True)
                for (k, whole), slope in zip(grads.items(), found, strict=True):
                    if slope is not None:
                        (whole if k % 2 else whole[rows]).add_(slope)
        return None, None, *(grads.get(k) for k in range(len(tensors)))


def _slices(n: int, chunk: int) -> Iterator[slice]:
    return (slice(start, min(start + chunk, n)) for start in range(0, n, chunk))


def _random_state(device: torch.device) -> tuple[Tensor, Tensor | None]:
    return torch.get_rng_state(), torch.cuda.get_rng_state(device) if device.type == "cuda" else None


def _set_random_state(device: torch.device, state: tuple[Tensor, Tensor | None]) -> None:
    torch.set_rng_state(state[0])
    if state[1] is not None:
        torch.cuda.set_rng_state(state[1], device)


def unit_rows(u: Tensor, v: Tensor, tau: float = 1.0) -> tuple[Tensor, Tensor]:
    """Both views with rows of unit length, once it is sure that row ``i`` has a partner and that the temperature is one.

    Raises:
        ValueError: views of different shape, or a temperature that is not positive.

    Example:
        >>> u, v = unit_rows(torch.ones(2, 4), torch.eye(4)[:2], tau=0.1)
        >>> torch.equal(u[0], torch.full((4,), 0.5))
        True
    """
    if u.shape != v.shape or u.dim() != 2:
        raise ValueError(f"u and v must both be [N, D], got {tuple(u.shape)} and {tuple(v.shape)}")
    if not tau > 0:
        raise ValueError(f"tau must be positive, got {tau}")
    return F.normalize(u, dim=1), F.normalize(v, dim=1)


def mean_where(values: Tensor, counted: Tensor) -> Tensor:
    """Mean of ``values [N]`` over the rows that count, ``[N]`` bool; 0, without a gradient, where none does.

    Example:
        >>> mean_where(torch.tensor([1.0, torch.inf, 3.0]), torch.tensor([True, False, True])).item()
        2.0
    """
    return values.where(counted, 0).sum() / counted.sum().clamp(min=1)
