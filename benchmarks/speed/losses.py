"""Losses of many rows: value and gradient in bounded memory."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from benchmarks.speed.measure import Peak, alternate, clock, medians
from graphssl.losses import bce, info_nce, jsd

CHUNK, TAU = 2048, 0.4
LARGE = {"34,493 x 256": (34_493, 256), "169,343 x 128": (169_343, 128)}  # Coauthor Physics, ogbn-arxiv
DOUBLED = (42_336, 84_672, 169_344, 338_688)  # the smallest does not fit a cache either
AGREE = 2_000  # rows of which all pairs are held too, in float64


def chunked(n: str, d: str) -> dict[str, Any]:
    """One value and gradient of InfoNCE over all pairs of ``n`` rows, once: seconds, and MB beyond the rows and their gradients."""
    torch.set_num_threads(1)
    u, v = rows(int(n), int(d))
    info_nce(u[:100], v[:100], tau=TAU, chunk=64).backward()  # so that what is imported and made once is there
    u.grad, v.grad = torch.zeros_like(u), torch.zeros_like(v)
    with Peak() as peak:
        start = clock()
        loss = info_nce(u, v, tau=TAU, chunk=CHUNK)
        loss.backward()
        taken = clock() - start
    dense = 4.0 * int(n) ** 2 / 1e6
    return {
        "rows": int(n), "columns": int(d), "chunk": CHUNK, "runs": 1, "cpu_seconds": round(taken, 2), "loss": round(loss.item(), 5),
        "memory_mb": round(peak.more, 1), "dense_matrix_mb": round(dense, 1), "share_of_a_dense_matrix": round(peak.more / dense, 5),
        **agree(min(int(n), AGREE), int(d)),
    }  # fmt: skip


def agree(n: int, d: int) -> dict[str, float]:
    """How far value and gradient in chunks lie from those of all pairs at once in float64."""
    u, v = rows(n, d)
    loss = info_nce(u, v, tau=TAU, chunk=max(1, n // 7))
    (grad,) = torch.autograd.grad(loss, u)
    whole = info_nce(u.double(), v.double(), tau=TAU)
    (exact,) = torch.autograd.grad(whole, u)
    return {"loss_apart": abs(loss.item() / whole.item() - 1), "gradient_apart": float((grad - exact).norm() / exact.norm())}


def linear(first: str = str(DOUBLED[0])) -> dict[str, Any]:
    """DGI's and Jensen-Shannon's losses of scores against a summary, rows doubled thrice: milliseconds, and their exponents."""
    from benchmarks.speed.growth import exponent

    torch.set_num_threads(1)
    sizes = [int(first) * 2**k for k in range(4)]
    row: dict[str, Any] = {"rows": sizes, "columns": 256}
    for name, loss in (("dgi", bce), ("jsd", jsd)):
        found = [_milliseconds(_scored(loss, n)) for n in sizes]
        row[name] = {"ms": found, **exponent(sizes, found)}
    return row


def _scored(loss: Callable[[Tensor, Tensor], Tensor], n: int) -> Callable[[], None]:
    h, other = rows(n, 256)

    def work() -> None:
        s = torch.sigmoid(h.mean(0))
        loss(h @ s, other @ s).backward()  # type: ignore[no-untyped-call]
        h.grad = other.grad = None

    return work


def _milliseconds(work: Callable[[], None]) -> float:
    def timed() -> dict[str, float]:
        start = clock()
        work()
        return {"step": clock() - start}

    timed()
    return medians(alternate({"": timed}, rounds=9)[""])["step"]


def rows(n: int, d: int) -> tuple[Tensor, Tensor]:
    """Two views' rows ``[n, d]``, a node's near each other, that ask for a gradient."""
    generator = torch.Generator().manual_seed(0)
    u = torch.randn(n, d, generator=generator)
    v = u + 0.5 * torch.randn(n, d, generator=generator)
    return u.requires_grad_(), v.requires_grad_()
