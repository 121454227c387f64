"""What is taken in one function is what its parts give, in value and gradient."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from graphssl import BGRL, GCN, Compose, DropEdges, Graph, MaskFeatures, dense, encoders, fit
from graphssl.adjacency import CSR
from graphssl.fused import cosine, fits, norm_act
from graphssl.heads import MLP
from graphssl.layers import PReLU
from graphssl.losses import info_nce

SLOPES = (0.25, 0.005, 0.0, -0.3, 1.0, 1.5)


@pytest.fixture
def everywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """However small."""
    monkeypatch.setattr(dense, "SMALL", 0)
    monkeypatch.setattr(dense, "BLOCK", 2)  # 64 rows


def drawn(*shape: int, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(shape, dtype=dtype).requires_grad_()


def both(one: Any, other: Any, inputs: list[Tensor], tol: float) -> None:
    """The same value and the same gradients."""
    a, b = one(), other()
    g = torch.randn(a.shape, dtype=a.dtype)
    torch.testing.assert_close(a, b, rtol=tol, atol=tol)
    for x, y in zip(torch.autograd.grad(a, inputs, g), torch.autograd.grad(b, inputs, g), strict=True):
        torch.testing.assert_close(x, y, rtol=tol, atol=tol * float(y.abs().amax().clamp(min=1)))


@pytest.mark.usefixtures("everywhere")
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("a", [None, *SLOPES])
@pytest.mark.parametrize(("dtype", "tol"), [(torch.float64, 1e-12), (torch.float32, 1e-4)])
def test_affine_is_a_linear_map_and_its_activation(a: float | None, bias: bool, dtype: torch.dtype, tol: float) -> None:
    torch.manual_seed(0)
    x, w = drawn(150, 5, dtype=dtype), drawn(5, 9, dtype=dtype)
    b = drawn(9, dtype=dtype) if bias else None
    slope = None if a is None else torch.full((1,), a, dtype=dtype, requires_grad=True)

    def plain() -> Tensor:
        h = F.linear(x, w.t(), b)
        return h if slope is None else F.prelu(h, slope)

    both(lambda: dense.affine(x, w, b, slope), plain, [t for t in (x, w, b, slope) if t is not None], tol)


@pytest.mark.usefixtures("everywhere")
@pytest.mark.parametrize("a", [0.25, -0.3])
def test_gradcheck(a: float) -> None:
    torch.manual_seed(0)
    slope = torch.full((1,), a, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(dense.affine, (drawn(70, 3), drawn(3, 4), drawn(4), slope), fast_mode=True)
    assert torch.autograd.gradcheck(cosine, (drawn(6, 3), drawn(6, 3)))

    def of(x: Tensor, weight: Tensor, bias: Tensor, s: Tensor) -> Tensor:
        norm = nn.BatchNorm1d(3).double()
        del norm.weight, norm.bias
        norm.weight, norm.bias = weight, bias  # type: ignore[assignment]
        return norm_act(x, norm, s)

    assert torch.autograd.gradcheck(of, (drawn(7, 3), drawn(3), drawn(3), slope))


@pytest.mark.usefixtures("everywhere")
def test_a_second_derivative_is_refused_and_not_dropped() -> None:
    x, w, slope = drawn(70, 3), torch.randn(3, 4, dtype=torch.float64), torch.full((1,), 0.25, dtype=torch.float64)
    v = torch.randn(70, 3, dtype=torch.float64)
    norm = nn.BatchNorm1d(3).double()
    results = {
        "_Affine": lambda: dense.affine(x, w, None, slope),
        "_NormAct": lambda: norm_act(x, norm, slope),
        "_Cosine": lambda: cosine(x, v),
        "_PReLU": lambda: PReLU().double()(x),
        "_LogSums": lambda: info_nce(x, v, chunk=7),
    }
    for name, result in results.items():
        for loss in (result().sum(), result().square().sum()):  # torch's decorator lets both pass, as the second part is a constant then
            with pytest.raises(RuntimeError, match=f"{name}, which is once_differentiable"):
                torch.autograd.grad(loss, x, create_graph=True)


@pytest.mark.usefixtures("everywhere")
def test_a_gradient_that_nobody_asks_for_is_not_taken() -> None:
    x, w = torch.randn(70, 3), torch.randn(3, 4, requires_grad=True)
    dense.affine(x, w).sum().backward()
    torch.testing.assert_close(w.grad, x.sum(0)[:, None].expand(3, 4))
    assert x.grad is None


@pytest.mark.usefixtures("everywhere")
@pytest.mark.parametrize("act", ["prelu", "elu", "relu"])
def test_a_head_is_its_parts(act: str) -> None:
    torch.manual_seed(0)
    head = MLP(4, 6, 5, act=act)
    x = drawn(100, 4, dtype=torch.float32)
    both(lambda: head(x), lambda: nn.Sequential.forward(head, x), [x, *head.parameters()], 1e-4)


@pytest.mark.usefixtures("everywhere")
def test_under_autocast_products_are_narrow_and_gradients_wide() -> None:
    torch.manual_seed(0)
    head, x = MLP(8, 16, 8), drawn(200, 8, dtype=torch.float32)
    with torch.autocast("cpu", torch.bfloat16):
        out = head(x)
    assert out.dtype == torch.bfloat16
    torch.testing.assert_close(out.float(), head(x), rtol=0.05, atol=0.02)
    out.float().square().sum().backward()
    assert all(p.grad is not None and p.grad.dtype == torch.float32 for p in head.parameters())


@pytest.mark.parametrize("a", SLOPES)
@pytest.mark.parametrize("momentum", [0.1, 0.99])
def test_batch_norm_and_activation_are_their_parts(a: float, momentum: float) -> None:
    torch.manual_seed(0)
    norm, x = nn.BatchNorm1d(3, momentum=momentum).double(), drawn(40, 3)
    nn.init.normal_(norm.weight)
    nn.init.normal_(norm.bias)
    other, slope = copy.deepcopy(norm), torch.full((1,), a, dtype=torch.float64, requires_grad=True)
    assert fits(x, norm)
    out, plain = norm_act(x, norm, slope), F.prelu(other(x), slope)
    g = torch.randn_like(out)
    torch.testing.assert_close(out, plain)
    for mine, theirs in zip(
        torch.autograd.grad(out, [x, norm.weight, norm.bias, slope], g),
        torch.autograd.grad(plain, [x, other.weight, other.bias, slope], g),
        strict=True,
    ):
        torch.testing.assert_close(mine, theirs)
    for mine, theirs in zip(norm.buffers(), other.buffers(), strict=True):
        torch.testing.assert_close(mine, theirs)


def test_other_norms_are_left_alone() -> None:
    class Own(nn.BatchNorm1d):
        pass

    x = torch.randn(5, 3)
    assert not fits(x, Own(3))
    assert not fits(x, nn.LayerNorm(3))
    assert not fits(x, nn.BatchNorm1d(3).eval())
    assert not fits(x, nn.BatchNorm1d(3, momentum=None))
    assert not fits(x[:1], nn.BatchNorm1d(3))


def test_cosines_are_those_of_torch() -> None:
    torch.manual_seed(0)
    u, v = drawn(9, 4), drawn(9, 4)
    both(lambda: cosine(u, v), lambda: F.cosine_similarity(u, v, dim=-1), [u, v], 1e-12)
    zero = torch.zeros(2, 4, requires_grad=True)
    assert cosine(zero, torch.ones(2, 4)).tolist() == [0, 0]


def test_columns_that_are_left_out_are_zero() -> None:
    torch.manual_seed(0)
    x = torch.randn(30, 12) * (torch.rand(30, 12) < 0.3)
    sparse, keep = CSR.from_dense(x), torch.rand(12) < 0.5
    kept = sparse.keep_columns(keep)
    torch.testing.assert_close(kept.to_dense(), x * keep)
    torch.testing.assert_close(kept.t().to_dense(), (x * keep).t())
    assert kept.pattern.num_entries == int((x * keep).count_nonzero())
    for all_or_none in (torch.ones(12, dtype=torch.bool), torch.zeros(12, dtype=torch.bool)):
        torch.testing.assert_close(sparse.keep_columns(all_or_none).t().to_dense(), (x * all_or_none).t())


@pytest.mark.parametrize("sparse", [True, False])
def test_twenty_steps_are_those_of_the_plain_path(sparse: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    x = torch.rand(400, 300) * (torch.rand(400, 300) < (0.03 if sparse else 0.5))
    g = Graph.of((x, torch.randint(400, (2, 2000))))
    assert isinstance(g.x, CSR) == sparse
    views = tuple(Compose(DropEdges(p), MaskFeatures(p)) for p in (0.2, 0.3))
    start = BGRL(GCN(300, [64, 32]), views, hidden=64)  # type: ignore[arg-type]

    def history() -> list[float]:
        return fit(copy.deepcopy(start), g, epochs=20, lr=1e-3, seed=1).loss

    monkeypatch.setattr(dense, "SMALL", 0)
    quick = history()
    monkeypatch.setattr(dense, "SMALL", 2**60)
    monkeypatch.setattr(encoders, "fits", lambda *_: False)
    monkeypatch.setattr(CSR, "keep_columns", lambda self, keep: self.scale_columns(keep.float()))
    assert quick == pytest.approx(history(), abs=2e-4)
