"""Laws of losses of two views, for tables of them: ``@pytest.mark.parametrize("law", LAWS)`` beside one's own table of :class:`Case`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import pytest
import torch
import torch.nn.functional as F
from checks import close, value_and_gradients
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

LABELS = [0, 1, 0, 2, 1, -1, 0, 3]


class Pairwise(Protocol):
    """A loss with its other options fixed."""

    def __call__(self, u: Tensor, v: Tensor, *, tau: float, chunk: int | None, **labels: Tensor) -> Tensor: ...


@dataclass(frozen=True)
class Case:
    """A loss of two views and what is to hold of it."""

    loss: Pairwise
    reference: Callable[..., float]
    """``(u, v, tau)``, or ``(u, v, y, tau)`` with labels: the double loop."""
    labels: bool = False
    alone: bool = True
    """One row has a finite loss; else it is refused with a ``ValueError``."""
    detached: bool = False
    """A part takes no gradient, so that the slope is not that of the value."""

    def of(self, tau: float = 0.3, chunk: int | None = None, y: Tensor | None = None) -> Callable[[Tensor, Tensor], Tensor]:
        """The loss of two views alone."""
        told = {"y": torch.tensor(LABELS) if y is None else y} if self.labels else {}
        return lambda u, v: self.loss(u, v, tau=tau, chunk=chunk, **told)

    def loop(self, u: Tensor, v: Tensor, tau: float) -> float:
        """The same, by the double loop."""
        return self.reference(u, v, LABELS, tau) if self.labels else self.reference(u, v, tau)


class Largest(TorchDispatchMode):
    """Counts the numbers in the largest tensor that any operation makes."""

    def __init__(self) -> None:
        super().__init__()
        self.numel = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None) -> Any:
        out = func(*args, **(kwargs or {}))
        for t in out if isinstance(out, tuple | list) else (out,):
            self.numel = max(self.numel, t.numel() if isinstance(t, Tensor) else 0)
        return out


def views(n: int = 8, d: int = 5, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Rows and, not far from them, their partners."""
    generator = torch.Generator().manual_seed(seed)
    u = torch.randn(n, d, dtype=torch.float64, generator=generator)
    return u, u + torch.randn(n, d, dtype=torch.float64, generator=generator)


def equals_its_loop(case: Case) -> None:
    for seed, tau in ((0, 0.3), (1, 0.05), (2, 2.0)):
        u, v = views(seed=seed)
        for chunk in (None, 3):
            assert float(case.of(tau, chunk)(u, v)) == pytest.approx(case.loop(u, v, tau), abs=1e-9)


def slope_is_that_of_the_value(case: Case) -> None:
    if case.detached:
        return
    for chunk in (None, 3):
        assert torch.autograd.gradcheck(case.of(0.5, chunk), tuple(x.requires_grad_() for x in views()))


def partners_are_pulled_together(case: Case) -> None:
    u, v = views()
    mine = value_and_gradients(case.of(), u, v)[2]
    assert float(case.of()(u, v - 1e-3 * mine)) < float(case.of()(u, v)), "the gradient does not lead down"
    near = value_and_gradients(case.of(), u, v)[1:]
    assert sum(float((g * x).sum(1).abs().max()) for g, x in zip(near, (u, v), strict=True)) < 1e-9, "it depends on lengths"


def other_partners_raise_it(case: Case) -> None:
    y = torch.tensor([0, 1, 2, 0, 1, 2])
    centres = torch.eye(6, dtype=torch.float64)[y if case.labels else torch.arange(6)]
    u = centres + 0.1 * torch.randn(6, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    loss = case.of(y=y)
    for shift in (1, 2, 4, 5):
        assert float(loss(u, u)) < float(loss(u, u.roll(shift, 0)))


def order_and_length_do_not_matter(case: Case) -> None:
    u, v = views()
    order = torch.randperm(8, generator=torch.Generator().manual_seed(0))
    scale = torch.rand(8, 1, dtype=torch.float64) + 0.1
    value = float(case.of()(u, v))
    assert float(case.of(y=torch.tensor(LABELS)[order])(u[order], v[order])) == pytest.approx(value, abs=1e-11)
    assert float(case.of()(u * scale, v / scale)) == pytest.approx(value, abs=1e-11)


def chunks_equal_the_whole(case: Case) -> None:
    u, v = views(13)
    y = torch.tensor([*LABELS, 3, 3, 0, -1, 4])
    for tau in (0.01, 0.5):
        whole = value_and_gradients(case.of(tau, y=y), u, v)
        for chunk in (1, 4, 13, 40):
            for a, b in zip(whole, value_and_gradients(case.of(tau, chunk, y), u, v), strict=True):
                close(a, b, 1e-9)


def small_temperatures_and_half_precision_are_finite(case: Case) -> None:
    u, v = views()
    same = torch.ones(8, 5, dtype=torch.float64)
    for dtype in (torch.float32, torch.bfloat16, torch.float16):
        for pair in ((u, v), (u, u), (u, -u), (u * 100, v / 100), (same, -same), (same, same)):
            for chunk in (None, 4):
                value, *slopes = value_and_gradients(case.of(0.01, chunk), *(x.to(dtype) for x in pair))
                assert value.isfinite()
                assert value.dtype == torch.float32  # a loss is never taken in half precision
                assert all(slope.isfinite().all() and slope.dtype == dtype for slope in slopes)


def one_row_is_finite_or_refused(case: Case) -> None:
    for chunk in (None, 1):
        loss = case.of(chunk=chunk, y=torch.tensor([0]))
        if not case.alone:
            with pytest.raises(ValueError, match="row"):
                loss(*views(1))
            continue
        assert all(part.isfinite().all() for part in value_and_gradients(loss, *views(1)))


def memory_is_that_of_a_chunk(case: Case) -> None:
    n, d, chunk = 150, 4, 8
    y = torch.arange(n) % 7
    u, v = (x.requires_grad_() for x in views(n, d))
    with Largest() as seen:
        case.of(0.3, chunk, y)(u, v).backward()  # type: ignore[no-untyped-call]
    assert seen.numel <= 2 * n * max(chunk, d), f"a tensor of {seen.numel} numbers"


def what_is_wrong_is_named(case: Case) -> None:
    u, v = views()
    for wrong, words in (
        (lambda: case.of(tau=0.0)(u, v), "tau"),
        (lambda: case.of(tau=-1.0)(u, v), "tau"),
        (lambda: case.of(chunk=0)(u, v), "chunk must be at least 1"),
        (lambda: case.of()(u, v[:4]), "must both be"),
        (lambda: case.of()(u, v[:, :4]), "must both be"),
    ):
        with pytest.raises(ValueError, match=words):
            wrong()


def rows_without_a_label_are_skipped(case: Case) -> None:
    if not case.labels:
        return
    u, v = views()
    loss = case.of(y=torch.full((8,), -1))
    value, *slopes = value_and_gradients(loss, u, v)
    assert float(value) == 0
    assert all((slope == 0).all() for slope in slopes)


LAWS: dict[str, Callable[[Case], None]] = {
    law.__name__: law
    for law in (
        equals_its_loop,
        slope_is_that_of_the_value,
        partners_are_pulled_together,
        other_partners_raise_it,
        order_and_length_do_not_matter,
        chunks_equal_the_whole,
        small_temperatures_and_half_precision_are_finite,
        one_row_is_finite_or_refused,
        memory_is_that_of_a_chunk,
        what_is_wrong_is_named,
        rows_without_a_label_are_skipped,
    )
}


def unit(z: Tensor) -> Tensor:
    """Rows of length one."""
    return F.normalize(z, dim=1)
