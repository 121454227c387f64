"""Hypergradients: exact on quadratics in the limit, closed forms, what they are after no step, guards, differences beside autograd."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
import torch
from checks import close
from torch import Tensor

from graphssl import GCN
from graphssl.datasets import contextual_sbm
from graphssl.hypergradients import Loss, descend, hypergradient, unrolled

D, K = 5, 3


def rows(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


class Quadratic:
    """``L = w'Hw / 2 - w'B phi`` is least at ``w = H^-1 B phi``; ``V = |w - c|^2 / 2 + phi'k``, all known in closed form."""

    def __init__(self, *, least: float = 0.5) -> None:
        a = rows(D, D)
        values = torch.linspace(least, 2.0, D, dtype=torch.float64)
        q = torch.linalg.qr(a).Q
        self.H, self.B, self.c, self.k = q @ values.diag() @ q.T, rows(D, K, seed=1), rows(D, seed=2), rows(K, seed=3)
        self.phi = rows(K, seed=4)
        self.w = torch.linalg.solve(self.H, self.B @ self.phi)

    def inner(self, params: Sequence[Tensor], hyper: Sequence[Tensor]) -> Tensor:
        w = torch.cat([p.reshape(-1) for p in params])
        return w @ self.H @ w / 2 - w @ self.B @ hyper[0]

    def outer(self, params: Sequence[Tensor], hyper: Sequence[Tensor]) -> Tensor:
        w = torch.cat([p.reshape(-1) for p in params])
        return (w - self.c).square().sum() / 2 + hyper[0] @ self.k

    @property
    def params(self) -> list[Tensor]:
        """In two tensors of different shape."""
        return [self.w[:4].view(2, 2), self.w[4:]]

    @property
    def exact(self) -> Tensor:
        return self.k + self.B.T @ torch.linalg.solve(self.H, self.w - self.c)


def of(q: Quadratic, **options: Any) -> Tensor:
    return hypergradient(q.outer, q.inner, q.params, [q.phi], **options)[0]


# ---------------------------------------------------------------------- quadratics


@pytest.mark.parametrize("products", ["autograd", "differences"])
def test_neumann_goes_to_the_exact_gradient_as_its_series_says(products: Any) -> None:
    q = Quadratic()
    errors = [float((of(q, steps=steps, lr=0.4, products=products) - q.exact).norm()) for steps in (0, 5, 20, 60)]
    assert errors == sorted(errors, reverse=True)
    assert errors[-1] < 1e-4
    close(of(q, steps=200, lr=0.4, products=products), q.exact, 1e-8)
    series = sum(torch.linalg.matrix_power(torch.eye(D, dtype=torch.float64) - 0.4 * q.H, j) for j in range(6))
    close(of(q, steps=5, lr=0.4, products=products), q.k + 0.4 * q.B.T @ series @ (q.w - q.c), 1e-8)


@pytest.mark.parametrize("products", ["autograd", "differences"])
def test_conjugate_gradients_end_after_as_many_steps_as_dimensions(products: Any) -> None:
    q = Quadratic()
    assert (of(q, method="cg", steps=1, products=products) - q.exact).norm() > 1e-3
    close(of(q, method="cg", steps=D, products=products), q.exact, 1e-8)
    close(of(q, method="cg", steps=3 * D, products=products), q.exact, 1e-8)


@pytest.mark.parametrize("method", ["neumann", "cg", "identity"])
def test_no_step_is_lr_times_the_mixed_derivative(method: Any) -> None:
    q = Quadratic()
    close(of(q, method=method, steps=0, lr=0.3), q.k + 0.3 * q.B.T @ (q.w - q.c))


@pytest.mark.parametrize(("method", "steps"), [("neumann", 300), ("cg", D)])
def test_damping_is_added_to_the_diagonal(method: Any, steps: int) -> None:
    q = Quadratic()
    damped = q.H + 0.7 * torch.eye(D, dtype=torch.float64)
    close(of(q, method=method, steps=steps, lr=0.3, damping=0.7), q.k + q.B.T @ torch.linalg.solve(damped, q.w - q.c), 1e-8)


def test_unrolled_goes_to_the_implicit_one_at_the_rate_of_the_least_curvature() -> None:
    q = Quadratic()
    lr, start = 0.4, [torch.zeros(2, 2, dtype=torch.float64), torch.zeros(1, dtype=torch.float64)]
    found = {steps: unrolled(q.outer, q.inner, start, [q.phi], steps=steps, lr=lr)[0] for steps in (40, 60, 200)}
    close(found[200], q.exact, 1e-10)
    errors = {steps: float((value - q.exact).norm()) for steps, value in found.items()}
    assert errors[60] / errors[40] == pytest.approx((1 - lr * 0.5) ** 20, rel=0.05)
    close(unrolled(q.outer, q.inner, q.params, [q.phi], steps=6, lr=lr)[0], of(q, steps=5, lr=lr), 1e-8)


def test_one_unrolled_step_is_its_formula() -> None:
    q = Quadratic()
    start = rows(D, seed=6)
    w = start - 0.3 * (q.H @ start - q.B @ q.phi)
    close(unrolled(q.outer, q.inner, [start], [q.phi], steps=1, lr=0.3)[0], q.k + 0.3 * q.B.T @ (w - q.c))
    close(unrolled(q.outer, q.inner, [start], [q.phi], steps=0, lr=0.3)[0], q.k)


# ---------------------------------------------------------------------- weight decay of each parameter


def test_weight_decay_of_each_parameter_on_ridge_regression() -> None:
    x, y, x_val, y_val = rows(20, D), rows(20, seed=1), rows(15, D, seed=2), rows(15, seed=3)
    decay = rows(D, seed=4).exp()

    def least(decay: Tensor) -> Tensor:
        return torch.linalg.solve(x.T @ x / 20 + decay.diag(), x.T @ y / 20)

    def inner(params: Sequence[Tensor], hyper: Sequence[Tensor]) -> Tensor:
        return (x @ params[0] - y).square().mean() / 2 + (hyper[0] * params[0].square()).sum() / 2

    def outer(params: Sequence[Tensor], hyper: Sequence[Tensor]) -> Tensor:
        return (x_val @ params[0] - y_val).square().mean() / 2

    free = decay.clone().requires_grad_()
    (exact,) = torch.autograd.grad(outer([least(free)], []), free)
    w = least(decay)
    g = x_val.T @ (x_val @ w - y_val) / 15
    close(exact, -w * torch.linalg.solve(x.T @ x / 20 + decay.diag(), g))
    close(hypergradient(outer, inner, [w], [decay], method="cg", steps=D)[0], exact, 1e-9)
    close(hypergradient(outer, inner, [w], [decay], steps=400, lr=0.15)[0], exact, 1e-9)
    close(unrolled(outer, inner, [torch.zeros(D, dtype=torch.float64)], [decay], steps=400, lr=0.15)[0], exact, 1e-9)


# ---------------------------------------------------------------------- what does not depend, what is not positive, what is kept


@pytest.mark.parametrize("products", ["autograd", "differences"])
@pytest.mark.parametrize("method", ["neumann", "cg", "identity"])
def test_zero_where_the_inner_loss_does_not_depend_on_it(method: Any, products: Any) -> None:
    q = Quadratic()
    other = rows(2, 2, seed=9)
    found = hypergradient(lambda w, h: q.outer(w, [q.phi]), q.inner, q.params, [q.phi, other], method=method, products=products, steps=2)
    assert found[0].norm() > 0
    assert torch.equal(found[1], torch.zeros(2, 2, dtype=torch.float64))
    still = unrolled(lambda w, h: q.outer(w, [q.phi]), q.inner, q.params, [q.phi, other], steps=2, lr=0.1)
    assert torch.equal(still[1], torch.zeros(2, 2, dtype=torch.float64))


@pytest.mark.parametrize("products", ["autograd", "differences"])
def test_a_linear_inner_loss_has_no_curvature(products: Any) -> None:
    phi, w = rows(D), rows(D, seed=1)
    found = hypergradient(lambda w, h: w[0].sum(), lambda w, h: -(w[0] @ h[0]), [w], [phi], steps=3, lr=0.1, products=products)
    close(found[0], torch.full((D,), 0.4, dtype=torch.float64), 1e-8)
    stuck = hypergradient(lambda w, h: w[0].sum(), lambda w, h: -(w[0] @ h[0]), [w], [phi], method="cg", steps=3, products=products)
    close(stuck[0], torch.ones(D, dtype=torch.float64), 1e-8)


@pytest.mark.parametrize("method", ["neumann", "cg"])
def test_a_hessian_that_is_not_positive_is_guarded_against(method: Any) -> None:
    q = Quadratic(least=-0.5)
    g = q.w - q.c
    found = of(q, method=method, steps=500, lr=0.4)
    assert found.isfinite().all()
    if method == "neumann":  # no term is longer than the first
        assert (found - q.k).norm() <= torch.linalg.matrix_norm(q.B, 2) * 0.4 * 501 * g.norm()
    damped = q.H + torch.eye(D, dtype=torch.float64)
    close(of(q, method=method, steps=500, lr=0.4, damping=1.0), q.k + q.B.T @ torch.linalg.solve(damped, g), 1e-8)
    turned = Quadratic()
    turned.H = -turned.H
    close(of(turned, method=method, steps=10, lr=0.4), turned.k + 0.4 * turned.B.T @ (turned.w - turned.c))


def test_a_series_with_too_large_steps_ends() -> None:
    q = Quadratic()
    assert of(q, steps=1000, lr=5.0).norm() < 1e4


def test_nothing_given_is_changed() -> None:
    q = Quadratic()
    w, phi = q.params, q.phi.clone()
    hypergradient(q.outer, q.inner, w, [phi], steps=3, lr=0.1)
    unrolled(q.outer, q.inner, w, [phi], steps=3, lr=0.1)
    close(torch.cat([p.reshape(-1) for p in w]), q.w)
    assert not phi.requires_grad
    assert phi.grad is None
    assert all(p.grad is None and not p.requires_grad for p in w)


def test_hyper_parameters_may_be_held_by_the_loss() -> None:
    q = Quadratic()
    found = hypergradient(lambda w, _: q.outer(w, [q.phi]), lambda w, _: q.inner(w, [q.phi]), q.params, [q.phi], method="cg", steps=D)
    close(found[0], q.exact, 1e-8)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"method": "newton"}, "method must be neumann, cg or identity, got 'newton'"),
        ({"products": "exact"}, "products must be autograd or differences"),
        ({"steps": -1}, "steps must be a whole number from 0, got -1"),
        ({"lr": 0.0}, "lr must be positive"),
        ({"damping": -1.0}, "damping must be 0 or more"),
    ],
)
def test_bad_arguments_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        of(Quadratic(), **options)


# ---------------------------------------------------------------------- networks


def curved(dtype: torch.dtype) -> tuple[Loss, list[Tensor], list[Tensor]]:
    """A loss of a two-layer network, its parameters and a scale of its inputs, all smooth."""
    x, y = rows(30, D).to(dtype), rows(30, 2, seed=1).to(dtype)
    params = [0.5 * rows(D, 7, seed=2).to(dtype), 0.5 * rows(7, 2, seed=3).to(dtype)]

    def loss(w: Sequence[Tensor], hyper: Sequence[Tensor]) -> Tensor:
        return (((x * hyper[0].exp()) @ w[0]).tanh() @ w[1] - y).square().mean()

    return loss, params, [0.1 * rows(D, seed=4).to(dtype)]


@pytest.mark.parametrize(("dtype", "tol"), [(torch.float64, 1e-8), (torch.float32, 3e-3)])
@pytest.mark.parametrize(("method", "steps"), [("neumann", 4), ("cg", 3), ("identity", 0)])
def test_differences_agree_with_autograd_on_a_network(dtype: torch.dtype, tol: float, method: Any, steps: int) -> None:
    loss, params, hyper = curved(dtype)
    outer = lambda w, h: w[1].square().sum() + w[0].sum()  # noqa: E731
    options: dict[str, Any] = {"method": method, "steps": steps, "lr": 0.1, "damping": 0.1}
    (exact,), (near,) = (hypergradient(outer, loss, params, hyper, products=p, **options) for p in ("autograd", "differences"))
    assert float((near - exact).norm() / exact.norm()) < tol


def test_differences_go_where_a_second_derivative_is_refused() -> None:
    """Through the sparse products of an encoder; the truth is the same network with a dense adjacency."""
    g = contextual_sbm(30, 3, 6, degree=5, seed=0).graph
    torch.manual_seed(0)
    net = GCN(6, [5, 4], norm="none", act="tanh")
    names, params = zip(*((name, p.detach()) for name, p in net.named_parameters()), strict=True)
    target, phi = rows(30, 4).float(), [torch.zeros(6)]
    a = g.normalised().to_dense()

    def sparse(w: Sequence[Tensor], hyper: Sequence[Tensor]) -> Tensor:
        seen = g.with_x(g.dense_x() * hyper[0].exp())
        return (torch.func.functional_call(net, dict(zip(names, w, strict=True)), (seen,)) - target).square().mean()

    def dense(w: Sequence[Tensor], hyper: Sequence[Tensor]) -> Tensor:
        at = dict(zip(names, w, strict=True))
        h = g.dense_x().to(w[0].dtype) * hyper[0].exp()
        for k in range(2):
            h = (a.to(h.dtype) @ (h @ at[f"blocks.{k}.conv.linear.weight"]) + at[f"blocks.{k}.conv.bias"]).tanh()
        return (h - target).square().mean()

    outer = lambda w, h: sum(p.square().sum() for p in w)  # noqa: E731
    close(sparse(params, phi), dense(params, phi), 1e-5)
    wide = [p.double() for p in params], [p.double() for p in phi]
    (exact,) = hypergradient(outer, dense, *wide, steps=3, lr=0.1)
    (near,) = hypergradient(outer, sparse, params, phi, steps=3, lr=0.1, products="differences")
    assert float((near - exact).norm() / exact.norm()) < 3e-3
    with pytest.raises(RuntimeError, match="once_differentiable"):
        hypergradient(outer, sparse, params, phi, steps=3, lr=0.1)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        unrolled(outer, sparse, params, phi, steps=1, lr=0.1)


def test_what_unrolled_holds_grows_with_its_steps_and_implicit_does_not() -> None:
    loss, params, hyper = curved(torch.float64)
    outer = lambda w, h: w[1].square().sum()  # noqa: E731

    def held(run: Any) -> int:
        sizes: list[int] = []
        with torch.autograd.graph.saved_tensors_hooks(lambda x: sizes.append(x.numel()) or x, lambda x: x):
            run()
        return sum(sizes)

    def through(steps: int) -> int:
        w = [p.clone().requires_grad_() for p in params]
        return held(lambda: descend(loss, w, hyper, steps=steps, lr=0.1))

    assert through(40) > 3.8 * through(10)
    few, many = (held(lambda s=s: hypergradient(outer, loss, params, hyper, method="cg", steps=s, products="differences")) for s in (1, 2))
    assert many - few < 3 * few  # each product's graph is gone before the next
