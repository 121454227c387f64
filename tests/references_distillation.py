"""Distillation as the papers write it: plain double loops in float64."""

from __future__ import annotations

import math

from references import cosine, rows
from torch import Tensor


def softmax(values: list[float], temperature: float) -> list[float]:
    """Probabilities at a temperature."""
    top = max(values)
    weights = [math.exp((value - top) / temperature) for value in values]
    return [weight / sum(weights) for weight in weights]


def kd(student: Tensor, teacher: Tensor, temperature: float) -> float:
    """``T^2 KL(p_t || p_s)``, a mean over rows (arXiv:1503.02531)."""
    total = 0.0
    for s, t in zip(rows(student), rows(teacher), strict=True):
        p, q = softmax(t, temperature), softmax(s, temperature)
        total += temperature**2 * sum(a * math.log(a / b) for a, b in zip(p, q, strict=True))
    return total / len(student)


def crd(u: Tensor, v: Tensor, tau: float, keys: tuple[Tensor, Tensor], ids: list[int], key_ids: list[int]) -> float:
    """InfoNCE of each side's rows against the other side's keys of other ids, both directions added (arXiv:1910.10699)."""
    total = 0.0
    for mine, other, bank in ((rows(u), rows(v), rows(keys[1])), (rows(v), rows(u), rows(keys[0]))):
        for i, anchor in enumerate(mine):
            own = math.exp(cosine(anchor, other[i]) / tau)
            rest = [math.exp(cosine(anchor, key) / tau) for key, k in zip(bank, key_ids, strict=True) if k != ids[i]]
            total -= math.log(own / (own + sum(rest))) / len(mine)
    return total


def crd_nce(
    u: Tensor, v: Tensor, tau: float, z: list[float], population: int, keys: tuple[Tensor, Tensor], ids: list[int], key_ids: list[int]
) -> float:
    """Equations 17 to 19 of arXiv:1910.10699 with ``h = P / (P + K/N)`` and ``P = exp(s) / Z``, both directions added."""
    total = 0.0
    directions = ((rows(u), rows(v), rows(keys[1]), z[0]), (rows(v), rows(u), rows(keys[0]), z[1]))
    for mine, other, bank, constant in directions:
        for i, anchor in enumerate(mine):
            rest = [math.exp(cosine(anchor, key) / tau) / constant for key, k in zip(bank, key_ids, strict=True) if k != ids[i]]
            share = len(rest) / population
            own = math.exp(cosine(anchor, other[i]) / tau) / constant
            term = math.log(own / (own + share)) if rest else 0.0
            total -= (term + sum(math.log(share / (p + share)) for p in rest)) / len(mine)
    return total
