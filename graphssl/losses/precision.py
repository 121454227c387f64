"""Losses are taken in full precision, whatever the network around them runs in."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import ParamSpec

import torch
from torch import Tensor

P = ParamSpec("P")


def full_precision(loss: Callable[P, Tensor]) -> Callable[P, Tensor]:
    """A loss that takes half-precision inputs in float32, outside autocast, so that its gradient is that of its value."""

    @wraps(loss)
    def inner(*args: P.args, **kwargs: P.kwargs) -> Tensor:
        rows, named = [_wide(a) for a in args], {name: _wide(a) for name, a in kwargs.items()}
        device = next((a.device.type for a in (*rows, *named.values()) if isinstance(a, Tensor)), "cpu")
        with torch.autocast(device, enabled=False):
            return loss(*rows, **named)  # type: ignore[arg-type]

    return inner


def _wide(given: object) -> object:
    return given.float() if isinstance(given, Tensor) and given.dtype in (torch.float16, torch.bfloat16) else given
