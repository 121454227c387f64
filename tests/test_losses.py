"""Losses: equal to double loops written from the papers, with the right slope, direction and limits."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import references
import torch
import torch.nn.functional as F
from checks import close, value_and_gradients
from torch import Tensor

from graphssl.losses import bce, bootstrap, info_nce, jsd, sampled_info_nce

DRAWN = [1, 4, 6, 2]  # rows that are negatives where only some are

PAIRS: dict[str, tuple[Callable[[Tensor, Tensor], Tensor], Callable[[Tensor, Tensor], float]]] = {
    "bootstrap": (bootstrap, references.bootstrap),
    **{
        f"info_nce {tau} {'intra' if intra else 'inter'} {chunk}": (
            lambda u, v, tau=tau, intra=intra, chunk=chunk: info_nce(u, v, tau=tau, intra=intra, chunk=chunk),
            lambda u, v, tau=tau, intra=intra: references.info_nce(u, v, tau, intra=intra),
        )
        for tau in (0.02, 0.5, 2.0)
        for intra in (True, False)
        for chunk in (None, 3)
    },
    **{
        f"sampled_info_nce {tau} {'intra' if intra else 'inter'} {chunk}": (
            lambda u, v, tau=tau, intra=intra, chunk=chunk: sampled_info_nce(u, v, torch.tensor(DRAWN), tau=tau, intra=intra, chunk=chunk),
            lambda u, v, tau=tau, intra=intra: references.sampled_info_nce(u, v, DRAWN, tau, intra=intra),
        )
        for tau in (0.02, 0.5)
        for intra in (True, False)
        for chunk in (None, 3)
    },
}
SCORES = {"bce": (bce, references.bce), "jsd": (jsd, references.jsd)}

each_pair = pytest.mark.parametrize("name", PAIRS)
each_score = pytest.mark.parametrize("name", SCORES)
each_intra = pytest.mark.parametrize("intra", [True, False])


def views(n: int = 8, d: int = 5, seed: int = 0) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    u = torch.randn(n, d, dtype=torch.float64, generator=generator)
    return u, u + torch.randn(n, d, dtype=torch.float64, generator=generator)


def scores(n: int = 9, m: int = 6) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    return tuple(4 * torch.randn(k, dtype=torch.float64, generator=generator) for k in (n, m))  # type: ignore[return-value]


# ---------------------------------------------------------------------- losses of pairs of rows


@each_intra
def test_all_rows_drawn_is_info_nce(intra: bool) -> None:
    u, v = views()
    order = torch.randperm(8)
    assert float(sampled_info_nce(u, v, order, tau=0.3, intra=intra)) == pytest.approx(
        float(info_nce(u, v, tau=0.3, intra=intra)), abs=1e-12
    )


@each_pair
def test_pair_loss_equals_its_loop(name: str) -> None:
    loss, reference = PAIRS[name]
    for seed in range(3):
        u, v = views(seed=seed)
        assert float(loss(u, v)) == pytest.approx(reference(u, v), abs=1e-10)


@each_pair
def test_pair_loss_gradient(name: str) -> None:
    u, v = (x.requires_grad_() for x in views())
    assert torch.autograd.gradcheck(PAIRS[name][0], (u, v))


@each_pair
def test_pair_loss_wants_partners_together(name: str) -> None:
    loss = PAIRS[name][0]
    u, v = views()
    aligned = float(loss(u, u))
    assert aligned < float(loss(u, v))
    for shift in range(1, 8):
        assert aligned < float(loss(u, u.roll(shift, 0)))
    mine = value_and_gradients(loss, u, v)[2]
    assert float(loss(u, v - 1e-3 * mine)) < float(loss(u, v)), "the gradient does not lead down"


@pytest.mark.parametrize("name", [name for name in PAIRS if not name.startswith("sampled")])  # whose negatives are named by row
def test_order_and_length_of_rows_do_not_matter(name: str) -> None:
    loss = PAIRS[name][0]
    u, v = views()
    order = torch.randperm(8)
    scale = torch.rand(8, 1, dtype=torch.float64) + 0.1
    assert float(loss(u[order], v[order])) == pytest.approx(float(loss(u, v)), abs=1e-12)
    assert float(loss(u * scale, v / scale)) == pytest.approx(float(loss(u, v)), abs=1e-12)


def test_bootstrap_limits() -> None:
    u, _ = views()
    assert float(bootstrap(u, u)) == pytest.approx(0, abs=1e-12)
    assert float(bootstrap(u, -u)) == pytest.approx(2, abs=1e-12)
    e = torch.eye(4)
    assert float(bootstrap(e, e.roll(1, 0))) == pytest.approx(1)
    square = (F.normalize(u) - F.normalize(views()[1])).square().sum(1).mean()
    assert float(square) == pytest.approx(2 * float(bootstrap(*views())), abs=1e-12)  # BYOL's form


@pytest.mark.parametrize("tau", [0.01, 0.1, 0.5])
@pytest.mark.parametrize("chunk", [None, 3, 16])
def test_grace_is_nt_xent_on_the_stacked_views(tau: float, chunk: int | None) -> None:
    u, v = views()
    assert float(info_nce(u, v, tau=tau, intra=True, chunk=chunk)) == pytest.approx(references.nt_xent(u, v, tau), abs=1e-9)


@each_intra
@pytest.mark.parametrize("chunk", [None, 1, 3])
def test_equal_rows_say_nothing(intra: bool, chunk: int | None) -> None:
    u = torch.ones(6, 3)
    expected = math.log(2 * 6 - 1) if intra else math.log(6)
    assert float(info_nce(u, u, intra=intra, chunk=chunk)) == pytest.approx(expected, abs=1e-5)


@each_intra
@pytest.mark.parametrize("chunk", [None, 1])
def test_one_row_has_no_rival(intra: bool, chunk: int | None) -> None:
    u, v = views(1)
    value, *gradients = value_and_gradients(lambda u, v: info_nce(u, v, intra=intra, chunk=chunk), u, v)
    assert float(value) == pytest.approx(0, abs=1e-12)
    for gradient in gradients:
        close(gradient, torch.zeros_like(gradient), 1e-12)


@each_intra
@pytest.mark.parametrize("tau", [0.01, 0.1, 1.0])
@pytest.mark.parametrize("chunk", [1, 2, 3, 5, 7, 12, 13, 26, 40])
def test_chunks_equal_the_whole(chunk: int, tau: float, intra: bool) -> None:
    u, v = views(13)
    whole = value_and_gradients(lambda u, v: info_nce(u, v, tau=tau, intra=intra), u, v)
    parts = value_and_gradients(lambda u, v: info_nce(u, v, tau=tau, intra=intra, chunk=chunk), u, v)
    for a, b in zip(whole, parts, strict=True):
        close(a, b, 1e-9)


@each_intra
def test_chunks_equal_the_whole_in_single_precision(intra: bool) -> None:
    u, v = (x.float() for x in views(300, 16))
    whole = value_and_gradients(lambda u, v: info_nce(u, v, tau=0.05, intra=intra), u, v)
    parts = value_and_gradients(lambda u, v: info_nce(u, v, tau=0.05, intra=intra, chunk=64), u, v)
    for a, b in zip(whole, parts, strict=True):
        assert b.dtype == torch.float32
        close(a, b, 1e-5)


@each_intra
@pytest.mark.parametrize("chunk", [None, 4])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_small_temperature_and_half_precision(dtype: torch.dtype, chunk: int | None, intra: bool) -> None:
    u, v = views()
    same = torch.ones(8, 5, dtype=torch.float64)
    for pair in ((u, v), (u, u), (u, -u), (u * 100, v / 100), (same, -same)):  # the last: every cosine is -1
        a, b = (x.to(dtype) for x in pair)
        value, *slopes = value_and_gradients(lambda u, v: info_nce(u, v, tau=0.01, intra=intra, chunk=chunk), a, b)
        assert value.isfinite()
        assert value.dtype == (dtype if dtype.itemsize >= 4 else torch.float32)  # a loss is never taken in half precision
        for slope in slopes:
            assert slope.isfinite().all()
            assert slope.dtype == dtype


@each_intra
def test_memory_kept_for_the_gradient_is_linear_in_chunks(intra: bool) -> None:
    """What autograd saves: no N x N matrix with ``chunk``, one or more without."""
    kept: dict[int | None, int] = {}
    for chunk in (None, 16):
        sizes: list[int] = []
        u, v = (x.requires_grad_() for x in views(128, 4))
        with torch.autograd.graph.saved_tensors_hooks(lambda t: sizes.append(t.numel()) or t, lambda t: t):  # noqa: B023
            info_nce(u, v, intra=intra, chunk=chunk)
        kept[chunk] = max(sizes)
    assert kept[None] >= 128 * 128
    assert kept[16] <= 2 * 128 * 4


@pytest.mark.parametrize(
    ("kwargs", "words"),
    [({"tau": 0.0}, ["tau", "positive", "0.0"]), ({"tau": -1.0}, ["tau"]), ({"chunk": 0}, ["chunk", "at least 1", "0"])],
)
def test_bad_arguments_are_named(kwargs: dict[str, float], words: list[str]) -> None:
    for word in words:
        with pytest.raises(ValueError, match=word):
            info_nce(*views(), **kwargs)  # type: ignore[arg-type]


@pytest.mark.parametrize("shapes", [((4, 3), (5, 3)), ((4, 3), (4, 2)), ((4,), (4,))])
def test_views_of_another_shape_are_refused(shapes: tuple[tuple[int, ...], tuple[int, ...]]) -> None:
    with pytest.raises(ValueError, match="must both be"):
        info_nce(torch.ones(shapes[0]), torch.ones(shapes[1]))


# ---------------------------------------------------------------------- losses of scores


@each_score
def test_score_loss_equals_its_loop(name: str) -> None:
    loss, reference = SCORES[name]
    for pair in (scores(), scores(3, 20), scores(1, 1)):
        assert float(loss(*pair)) == pytest.approx(reference(*pair), abs=1e-10)
    positive, negative = scores(8, 6)
    shaped = loss(positive.reshape(2, 4), negative.reshape(3, 2))
    assert float(shaped) == pytest.approx(reference(positive, negative), abs=1e-10)


@each_score
def test_score_loss_gradient_and_direction(name: str) -> None:
    loss = SCORES[name][0]
    positive, negative = (x.requires_grad_() for x in scores())
    assert torch.autograd.gradcheck(loss, (positive, negative))
    up, down = torch.autograd.grad(loss(positive, negative), (positive, negative))
    assert (up < 0).all()
    assert (down > 0).all()
    better = torch.full((4,), 2.0)
    assert float(loss(better, -better)) < float(loss(better, better)) < float(loss(-better, better))


def test_zero_scores_say_nothing() -> None:
    zero = torch.zeros(5, dtype=torch.float64)
    assert float(bce(zero, zero[:2])) == pytest.approx(2 * math.log(2), abs=1e-12)
    assert float(jsd(zero, zero[:2])) == pytest.approx(0, abs=1e-12)


def test_bce_is_jsd_and_a_constant() -> None:
    assert float(bce(*scores())) == pytest.approx(float(jsd(*scores())) + 2 * math.log(2), abs=1e-12)


@each_score
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_a_confidently_wrong_score_keeps_its_gradient(name: str, dtype: torch.dtype) -> None:
    wrong = torch.tensor([60.0], dtype=dtype)
    value, of_positive, of_negative = value_and_gradients(SCORES[name][0], -wrong, wrong)
    assert value.isfinite()
    assert value > 100
    assert float(of_positive) == pytest.approx(-1, abs=1e-3)
    assert float(of_negative) == pytest.approx(1, abs=1e-3)


def test_the_form_with_an_epsilon_loses_it() -> None:
    """Why the law above is there: the logarithm of a clamped sigmoid has no slope left."""
    wrong = torch.tensor([60.0], requires_grad=True)
    (-torch.log(1 - wrong.sigmoid() + 1e-15)).sum().backward()
    assert float(wrong.grad) == 0


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("chunk", [None, 5])
def test_losses_are_taken_in_full_precision(dtype: torch.dtype, chunk: int | None) -> None:
    """Under autocast, and of half inputs, a loss and its gradient are those of the same numbers in float32."""
    u, v = torch.randn(2, 12, 6, generator=torch.Generator().manual_seed(0)).to(dtype)
    cases = {
        "info_nce": lambda a, b: info_nce(a, b, tau=0.1, intra=True, chunk=chunk),
        "bootstrap": bootstrap,
        "bce": bce,
        "jsd": jsd,
    }
    for loss in cases.values():
        wide = u.float().requires_grad_()
        expected = loss(wide, v.float())
        (slope,) = torch.autograd.grad(expected, wide)
        half = u.clone().requires_grad_()
        with torch.autocast("cpu", torch.bfloat16):
            value = loss(half, v)
        assert value.dtype == torch.float32
        assert torch.equal(value, expected)
        assert torch.allclose(torch.autograd.grad(value, half)[0].float(), slope, rtol=1e-2, atol=1e-4)


def test_chunks_refuse_a_temperature_that_would_underflow() -> None:
    u = torch.randn(12, 4)
    with pytest.raises(ValueError, match=r"tau must be at least 0\.003"):
        info_nce(u, -u, tau=0.001, chunk=4)
    assert info_nce(u, -u, tau=0.001).isfinite()


@pytest.mark.parametrize("chunk", [None, 1])
def test_one_row_may_have_all_its_negatives_in_a_queue(chunk: int | None) -> None:
    u, v, extra = (torch.randn(n, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(n)) for n in (1, 2, 3))

    def loss(u: Tensor, v: Tensor) -> Tensor:
        return info_nce(u, v, intra=True, decoupled=True, extra=extra, chunk=chunk)

    assert all(part.isfinite().all() for part in value_and_gradients(loss, u, v[:1]))
