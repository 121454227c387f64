"""Gradients of one loss in the numbers that decide another: through the point where the other is least, or through steps down it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Literal

import torch
from torch import Tensor

Loss = Callable[[Sequence[Tensor], Sequence[Tensor]], Tensor]  # of parameters and hyper-parameters, a scalar
Product = Callable[[Tensor], Tensor]  # of a flat vector with a symmetric matrix
Method = Literal["neumann", "cg", "identity"]
Products = Literal["autograd", "differences"]
TWICE = "the inner loss cannot be differentiated twice (once_differentiable): take products='differences'"


def hypergradient(
    outer_loss: Loss,
    inner_loss: Loss,
    params: Sequence[Tensor],
    hyper: Sequence[Tensor],
    *,
    method: Method = "neumann",
    steps: int = 1,
    lr: float = 1.0,
    damping: float = 0.0,
    products: Products = "autograd",
) -> list[Tensor]:
    r"""Hypergradient by implicit differentiation (Lorraine, Vicol and Duvenaud, 2020, arXiv:1911.02590).

    Where ``params`` ``w`` minimise the inner loss ``L`` under the hyper-parameters ``phi``, the outer loss ``V`` has the gradient
    ``dV/dphi - (d^2 L / dphi dw) [d^2 L / dw^2]^-1 dV/dw``. The inverse Hessian ``H^-1 g`` is taken as

    - ``"neumann"``: ``lr sum_{j <= steps} (I - lr H)^j g``, which is what ``steps + 1`` steps of gradient descent from here would hand on;
      no step at all is ``lr g``;
    - ``"cg"``: ``steps`` of conjugate gradients;
    - ``"identity"``: ``lr g`` (T1-T2: Luketina et al., 2016, arXiv:1511.06727).

    ``damping`` is added to the diagonal of ``H``. An ``H`` that is not positive is guarded against: conjugate gradients end before a
    direction without positive curvature (with ``lr g`` if it is the first), and the series before a term longer than ``g``, to which an
    ``lr`` above ``2 / max eigenvalue`` leads as well.

    Hessian-vector products are exact with ``products="autograd"``, which needs a loss that can be differentiated twice. What goes through
    :mod:`graphssl.adjacency` cannot be; with ``"differences"`` a product is ``(grad L(w + e v) - grad L(w - e v)) / 2e``, two gradients
    and an error of order ``e^2``. The inner loss must then be the same function at each call: fix its random numbers.

    Args:
        outer_loss: ``V(params, hyper)``.
        inner_loss: ``L(params, hyper)``; both take what they are given, and may hold on to the tensors of ``hyper`` besides.
        params: where ``L`` is (near) its least, of any shapes; not changed.
        hyper: leaf tensors of any shapes; not changed, nor is their ``grad``.
        method: of the inverse.
        steps: terms after the first, or steps of conjugate gradients.
        lr: ``a`` of the series; the inner learning rate is a good one.
        damping: 0 or more.
        products: how the inner loss is differentiated twice.

    Returns:
        A tensor for each of ``hyper``; zeros where neither loss depends on it.

    Raises:
        ValueError: an argument out of its range.
        RuntimeError: products by autograd of a loss that cannot be differentiated twice.

    Example:
        >>> w, phi = torch.tensor([2.0]), torch.tensor([1.0])  # 3 w^2 / 2 - 6 phi w is least at 2 phi
        >>> inner = lambda w, phi: (1.5 * w[0] ** 2 - 6 * phi[0] * w[0]).sum()
        >>> hypergradient(lambda w, phi: (w[0] ** 2).sum(), inner, [w], [phi], steps=50, lr=0.1)
        [tensor([8.])]
    """
    _check(method, steps, lr, damping, products)
    w = [p.detach().requires_grad_() for p in params]
    with _asked(hyper):
        size = sum(p.numel() for p in w)
        outer = _flat_grad(outer_loss(w, hyper), [*w, *hyper])
        g, direct = outer[:size], outer[size:]
        product = (_by_autograd if products == "autograd" else _by_differences)(inner_loss, w, hyper)
        solve = {"neumann": _neumann, "cg": _cg, "identity": lambda *_: lr * g}[method]
        v: Tensor = solve(lambda x: product(x)[:size] + damping * x, g, steps, lr)
        return _shaped(direct - product(v)[size:], hyper)


def unrolled(
    outer_loss: Loss, inner_loss: Loss, params: Sequence[Tensor], hyper: Sequence[Tensor], *, steps: int, lr: float
) -> list[Tensor]:
    r"""Hypergradient through gradient descent (Franceschi et al., 2018, arXiv:1806.04910): exact for so many steps, not for their limit.

    ``d/dphi V(w_T(phi), phi)`` with ``w_{t+1} = w_t - lr dL/dw (w_t, phi)``. All steps are held for the way back: memory grows with
    ``steps`` times what a gradient of ``L`` holds, where :func:`hypergradient` holds one. On a quadratic the two agree as
    ``(1 - lr mu)^steps`` goes to 0, with ``mu`` the least curvature. ``L`` must be one that can be differentiated twice.

    Args:
        outer_loss: ``V(params, hyper)``.
        inner_loss: ``L(params, hyper)``.
        params: where descent starts; not changed.
        hyper: leaf tensors; not changed, nor is their ``grad``.
        steps: of descent.
        lr: of descent.

    Returns:
        A tensor for each of ``hyper``.

    Raises:
        ValueError: an argument out of its range.
        RuntimeError: a loss that cannot be differentiated twice.

    Example:
        >>> w, phi = torch.tensor([0.0]), torch.tensor([1.0])
        >>> inner = lambda w, phi: ((w[0] - phi[0]) ** 2).sum() / 2
        >>> unrolled(lambda w, phi: w[0].sum(), inner, [w], [phi], steps=1, lr=0.25)
        [tensor([0.2500])]
    """
    _check("neumann", steps, lr, 0.0, "autograd")
    start = [p.detach().requires_grad_() for p in params]
    with _asked(hyper):
        end = descend(inner_loss, start, hyper, steps=steps, lr=lr)
        return _shaped(_flat_grad(outer_loss(end, hyper), hyper), hyper)


def descend(loss: Loss, params: Sequence[Tensor], hyper: Sequence[Tensor], *, steps: int, lr: float) -> list[Tensor]:
    """``params`` after ``steps`` of gradient descent, as a function of where they were, of ``hyper`` and of all that the loss reads."""
    w = list(params)
    for step in range(steps):
        grads = _to_differentiate(loss(w, hyper), w) if step == 0 else torch.autograd.grad(loss(w, hyper), w, create_graph=True)
        w = [p - lr * g for p, g in zip(w, grads, strict=True)]
    return w


def _neumann(hessian: Product, g: Tensor, steps: int, lr: float) -> Tensor:
    term = total = g
    for _ in range(steps):
        term = term - lr * hessian(term)
        if not term.norm() <= g.norm():
            break
        total = total + term
    return lr * total


def _cg(hessian: Product, g: Tensor, steps: int, lr: float) -> Tensor:
    x, residual, direction = torch.zeros_like(g), g, g
    square = start = g @ g
    for k in range(steps):
        if square <= start * torch.finfo(g.dtype).eps ** 2:
            break
        image = hessian(direction)
        curvature = direction @ image
        if not curvature > 0:
            return x if k else lr * g
        alpha = square / curvature
        x, residual = x + alpha * direction, residual - alpha * image
        before, square = square, residual @ residual
        direction = residual + square / before * direction
    return x if steps else lr * g


def _by_autograd(loss: Loss, w: list[Tensor], hyper: Sequence[Tensor]) -> Product:
    """Products of the second derivatives of the loss in ``w``, and in ``w`` and ``hyper``, with a vector, one after the other."""
    first = _to_differentiate(loss(w, hyper), w, allow_unused=True)
    live = [k for k, grad in enumerate(first) if grad is not None and grad.requires_grad]

    def product(v: Tensor) -> Tensor:
        parts = _shaped(v, w)
        total = sum(((first[k] * parts[k]).sum() for k in live), start=v.new_zeros(()))
        return _flat_grad(total, [*w, *hyper], keep=True)

    return product


def _by_differences(loss: Loss, w: list[Tensor], hyper: Sequence[Tensor]) -> Product:
    """The same from the gradients at two points on either side of ``w``."""
    at = torch.cat([p.detach().reshape(-1) for p in w])

    def product(v: Tensor) -> Tensor:
        # rounding errs by 1 / e and the series by e^2: the cube root of the precision balances them
        e = torch.finfo(v.dtype).eps ** (1 / 3) * at.norm().clamp(min=1) / v.norm().clamp(min=torch.finfo(v.dtype).tiny)
        ends = []
        for sign in (1, -1):
            moved = [p.requires_grad_() for p in _shaped(at + sign * e * v, w)]
            ends.append(_flat_grad(loss(moved, hyper), [*moved, *hyper]))
        return (ends[0] - ends[1]).div(2 * e)

    return product


def _to_differentiate(value: Tensor, w: Sequence[Tensor], *, allow_unused: bool = False) -> tuple[Tensor, ...]:
    """Gradients that can be differentiated again.

    Raises:
        RuntimeError: a part of them cannot, and would be taken for a constant without a word.
    """
    try:
        grads = torch.autograd.grad(value, w, create_graph=True, allow_unused=allow_unused)
    except RuntimeError as error:
        if "once_differentiable" not in str(error):
            raise
        raise RuntimeError(TWICE) from error
    todo, seen = [g.grad_fn for g in grads if g is not None], set()
    while todo:
        node = todo.pop()
        if node is None or node in seen:
            continue
        if node.name().endswith("::Error"):  # torch's own decorator
            raise RuntimeError(TWICE)
        seen.add(node)
        todo += [other for other, _ in node.next_functions]
    return grads


def _flat_grad(value: Tensor, inputs: Sequence[Tensor], *, keep: bool = False) -> Tensor:
    """The gradients one after another, ``[P]``; zeros where the value does not depend on an input."""
    grads: Sequence[Tensor | None] = [None] * len(inputs)
    if value.requires_grad:
        grads = torch.autograd.grad(value, inputs, retain_graph=keep, allow_unused=True)
    return torch.cat([(torch.zeros_like(x) if g is None else g).reshape(-1) for g, x in zip(grads, inputs, strict=True)])


def _shaped(flat: Tensor, like: Sequence[Tensor]) -> list[Tensor]:
    parts: Sequence[Tensor] = torch.split(flat.detach(), [x.numel() for x in like])  # type: ignore[no-untyped-call]
    return [part.view_as(x) for part, x in zip(parts, like, strict=True)]


@contextmanager
def _asked(hyper: Sequence[Tensor]) -> Iterator[None]:
    """Inside, the hyper-parameters ask for a gradient."""
    before = [x.requires_grad for x in hyper]
    try:
        for x in hyper:
            x.requires_grad_(True)
        yield
    finally:
        for x, asked in zip(hyper, before, strict=True):
            x.requires_grad_(asked)


def _check(method: str, steps: int, lr: float, damping: float, products: str) -> None:
    if method not in ("neumann", "cg", "identity"):
        raise ValueError(f"method must be neumann, cg or identity, got {method!r}")
    if products not in ("autograd", "differences"):
        raise ValueError(f"products must be autograd or differences, got {products!r}")
    if isinstance(steps, bool) or not isinstance(steps, int) or steps < 0:
        raise ValueError(f"steps must be a whole number from 0, got {steps!r}")
    if not lr > 0:
        raise ValueError(f"lr must be positive, got {lr}")
    if not damping >= 0:
        raise ValueError(f"damping must be 0 or more, got {damping}")
