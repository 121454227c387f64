"""What can be differentiated once, and says so."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar

import torch

T = TypeVar("T")
ONCE = "a gradient that is to be differentiated again (create_graph=True) passes through {}, which is once_differentiable"


def once_differentiable(backward: Callable[..., T]) -> Callable[..., T]:
    """A backward pass without a derivative of its own: it is refused where one may be asked for.

    torch's decorator of the same name refuses later, and misses two cases, in which what was returned counts as a constant: a gradient that
    comes in without a history, as that of a sum, and :func:`torch.autograd.grad` in chosen inputs.

    Raises:
        RuntimeError: ``create_graph=True``.
    """

    @wraps(backward)
    def inner(ctx: Any, *grads: Any) -> T:
        if torch.is_grad_enabled():  # in a backward pass: its graph is to be kept
            raise RuntimeError(ONCE.format(type(ctx).__name__.removesuffix("Backward")))
        return backward(ctx, *grads)

    return inner
