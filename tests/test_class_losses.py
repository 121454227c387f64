"""Losses with classes, biases and queues: equal to double loops, in chunks as in one, with the limits that the papers name."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from functools import partial

import pytest
import references_classes as references
import torch
import torch.nn.functional as F
from checks import close, value_and_gradients
from references import info_nce as info_nce_loop
from references import nt_xent
from torch import Tensor, nn

from graphssl.losses.balanced import balanced_softmax, effective_weights, rescom
from graphssl.losses.debiasing import fair_kl
from graphssl.losses.parametric import paco
from graphssl.losses.spreading import spread

N, C = 9, 3
Y = torch.tensor([0, 1, 0, 2, 1, -1, 0, 2, -1])
COUNTS = torch.tensor([5, 3, 2])
BIAS = torch.tensor([0, 1, 1, 0, 1, 0, 0, 1, -1])


def drawn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def views(n: int = N, d: int = 4, seed: int = 0) -> tuple[Tensor, Tensor]:
    u = drawn(n, d, seed=seed)
    return u, u + drawn(n, d, seed=seed + 100)


QUEUE = (drawn(8, 4, seed=7), torch.tensor([0, 0, 0, 1, 2, 2, -1, 1]))
LOGITS = drawn(2 * N, C, seed=8)

LOSSES: dict[str, tuple[Callable[..., Tensor], Callable[[Tensor, Tensor], float]]] = {
    **{
        f"spread {a}": (partial(spread, y=Y, tau=0.3, alpha=a), partial(references.spread, y=Y, tau=0.3, a=a))
        for a in (0.0, 0.4, 1.0)
    },
    **{
        f"rescom {k} {beta} {prior}": (
            partial(rescom, y=Y, counts=COUNTS, queue=QUEUE, k_pos=k[0], k_neg=k[1], beta=beta, prior=prior, tau=0.3),
            partial(references.rescom, y=Y, counts=COUNTS.tolist(), queue=QUEUE, k=k, beta=beta, prior=prior, tau=0.3),
        )
        for k in ((1, 2), (0, 3), (50, 50))
        for beta, prior in ((0.9, 0.0), (0.5, 1.0))
    },
    **{
        f"paco {share} {beta} {gamma}": (
            partial(paco, y=Y, logits=LOGITS, counts=COUNTS, queue=QUEUE, share=share, beta=beta, gamma=gamma, tau=0.3),
            partial(references.paco, y=Y, logits=LOGITS, counts=COUNTS.tolist(), queue=QUEUE, share=share, beta=beta, gamma=gamma, tau=0.3),
        )
        for share, beta, gamma in ((0.4, 1.0, 1.0), (2.0, 0.0, 0.5), (0.0, 1.0, 0.1))
    },
}  # fmt: skip
each = pytest.mark.parametrize("name", LOSSES)


# ---------------------------------------------------------------------- the laws of every loss


@each
@pytest.mark.parametrize("chunk", [None, 1, 4, 100])
def test_loss_equals_its_loop(name: str, chunk: int | None) -> None:
    loss, reference = LOSSES[name]
    for seed in range(2):
        u, v = views(seed=seed)
        assert float(loss(u, v, chunk=chunk)) == pytest.approx(reference(u, v), abs=1e-10)


@each
def test_loss_gradient_is_right_and_that_of_chunks(name: str) -> None:
    loss = LOSSES[name][0]
    u, v = (x.requires_grad_() for x in views())
    assert torch.autograd.gradcheck(loss, (u, v))
    for whole, parts in zip(value_and_gradients(loss, u, v), value_and_gradients(partial(loss, chunk=4), u, v), strict=True):
        close(parts, whole, 1e-12)


@each
def test_partners_belong_together(name: str) -> None:
    loss = LOSSES[name][0]
    u, v = views(6)
    args = {"y": torch.arange(6) % 3, **({"logits": torch.zeros(12, 3)} if "paco" in name else {})}
    if "queue" in loss.keywords:  # type: ignore[attr-defined]
        args["queue"] = None
    if not args.get("share", 1) or name == "paco 0.0 1.0 0.1":
        pytest.skip("positives have no weight")
    assert float(loss(u, u, **args)) < float(loss(u, u[[1, 2, 0, 4, 5, 3]], **args)), "classes change places"
    slope = value_and_gradients(lambda a, b: loss(a, b, **args), u, v)[2]
    assert float(loss(u, v - 1e-3 * slope, **args)) < float(loss(u, v, **args))


@each
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("chunk", [None, 4])
def test_small_temperature_and_half_precision(name: str, dtype: torch.dtype, chunk: int | None) -> None:
    loss = partial(LOSSES[name][0], tau=0.01, chunk=chunk)
    u, v = views()
    for pair in ((u, v), (u, -u), (u, u)):
        value, *slopes = value_and_gradients(loss, *(x.to(dtype) for x in pair))
        assert value.isfinite()
        assert all(slope.isfinite().all() and slope.dtype == dtype for slope in slopes)


@each
@pytest.mark.parametrize("n", [1, 2])
def test_one_row_and_rows_without_classes(name: str, n: int) -> None:
    loss = LOSSES[name][0]
    for label in (0, -1):
        more = {"logits": torch.zeros(2 * n, C, dtype=torch.float64)} if "paco" in name else {}
        value, *slopes = value_and_gradients(lambda u, v: loss(u, v, **{"y": torch.full((n,), label), **more}), *views(n))  # noqa: B023
        assert all(part.isfinite().all() for part in (value, *slopes))
        assert label >= 0 or float(value) == 0


@each
def test_bad_arguments_are_named(name: str) -> None:
    loss = LOSSES[name][0]
    with pytest.raises(ValueError, match="tau must be positive, got 0"):
        loss(*views(), tau=0)
    with pytest.raises(ValueError, match="chunk must be at least 1"):
        loss(*views(), chunk=0)
    with pytest.raises(ValueError, match="must both be"):
        loss(views()[0], views(N - 1)[1])


def test_rescom_counts_the_classes_that_there_are() -> None:
    u, v = views(2)
    for y, queue in ((torch.tensor([-1, -1]), None), (torch.tensor([0, -1]), QUEUE)):
        assert all(part.isfinite().all() for part in value_and_gradients(lambda u, v: rescom(u, v, y=y, queue=queue), u, v))  # noqa: B023
    with pytest.raises(ValueError, match=r"counts must be \[C\] for all classes of y and queue, of which the last is 2, got 2"):
        rescom(u, v, y=torch.tensor([0, 1]), queue=QUEUE, counts=torch.tensor([1, 1]))


def test_logits_of_paco_are_widened_like_the_rows() -> None:
    u, v = views()
    loss = partial(paco, u.float(), v.float(), y=Y, counts=COUNTS)
    half = LOGITS.bfloat16().requires_grad_()
    wide = half.detach().float().requires_grad_()
    slopes = [torch.autograd.grad(loss(logits=logits), logits)[0] for logits in (half, wide)]
    assert torch.equal(slopes[0], slopes[1].bfloat16())  # one rounding, at the end


def test_numbers_out_of_range_are_named() -> None:
    u, v = views()
    with pytest.raises(ValueError, match=r"alpha must be from 0 to 1, got 1\.5"):
        spread(u, v, y=Y, alpha=1.5)
    with pytest.raises(ValueError, match="one label for each of the 9 rows"):
        spread(u, v, y=Y[:-1])
    with pytest.raises(ValueError, match="k_pos and k_neg must be 0 or more, got -1 and 2"):
        rescom(u, v, y=Y, k_pos=-1, k_neg=2)
    with pytest.raises(ValueError, match="beta must be from 0 to 1, got 2"):
        rescom(u, v, y=Y, beta=2)
    with pytest.raises(ValueError, match="share, beta and gamma"):
        paco(u, v, y=Y, logits=LOGITS, gamma=-1)
    with pytest.raises(ValueError, match=r"logits must be \[2N, C\]"):
        paco(u, v, y=Y, logits=LOGITS[:N])
    with pytest.raises(ValueError, match=r"counts must be \[C\] for the 3 classes"):
        balanced_softmax(LOGITS[:N], Y, COUNTS[:2])


# ---------------------------------------------------------------------- spread


def test_one_class_is_info_nce() -> None:
    u, v = views()
    y = torch.zeros(N, dtype=torch.long)
    assert float(spread(u, v, y=y, tau=0.3, alpha=1)) == pytest.approx(info_nce_loop(u, v, 0.3, intra=True), abs=1e-10)
    assert float(spread(u, v, y=y, tau=0.3, alpha=0)) == pytest.approx(0, abs=1e-12)


def test_one_node_a_class_has_nothing_to_spread() -> None:
    u, v = views()
    assert float(spread(u, v, y=torch.arange(N), alpha=1)) == pytest.approx(0, abs=1e-12)
    assert float(spread(u, v, y=torch.arange(N), tau=0.3, alpha=0)) == pytest.approx(nt_xent(u, v, 0.3), abs=1e-10)


def test_a_collapsed_class_has_the_log_of_its_size() -> None:
    y = torch.tensor([0, 0, 0, 1, 1])
    z = torch.eye(2, dtype=torch.float64)[y]
    sizes = 2 * torch.bincount(y)[y] - 1  # candidates of a row: both views of its class but itself
    assert float(spread(z, z, y=y, alpha=1)) == pytest.approx(float(sizes.double().log().mean()), abs=1e-12)
    apart = z + 0.3 * F.pad(torch.eye(3, dtype=torch.float64)[[0, 1, 2, 0, 1]], (0, 0))[:, :2]
    assert float(spread(apart, apart, y=y, alpha=1)) < float(sizes.double().log().mean())


def test_free_embeddings_collapse_without_and_spread_with_it() -> None:
    y = torch.arange(12) % 2
    found = []
    for a in (0.0, 0.3, 0.6):
        z = nn.Parameter(drawn(12, 4))
        optimizer = torch.optim.Adam([z], lr=0.05)
        for _ in range(300):
            optimizer.zero_grad()
            spread(z, z, y=y, alpha=a).backward()
            optimizer.step()
        unit = F.normalize(z.detach(), dim=1)
        found.append(float(torch.stack([unit[y == k].var(0).sum() for k in range(2)]).mean()))
    assert found[0] < 0.01
    assert found[0] < found[1] < found[2]


# ---------------------------------------------------------------------- FairKL


@pytest.mark.parametrize("match", ["kl", "mean"])
@pytest.mark.parametrize("d", [3, 20])  # more rows in a group than columns, and fewer
@pytest.mark.parametrize("two", [False, True])
def test_fair_kl_equals_its_loop(match: str, d: int, two: bool) -> None:
    for seed in range(3):
        u, v = views(40, d, seed)
        y, bias = (torch.randint(-1, 3, (40,), generator=torch.Generator().manual_seed(seed + k)) for k in range(2))
        given = v if two else None
        value = fair_kl(u, given, y=y, bias=bias, match=match, floor=1e-3, min_pairs=1)  # type: ignore[arg-type]
        assert float(value) == pytest.approx(references.fair_kl(u, given, y, bias, floor=1e-3, match=match), abs=1e-10)
        assert float(value) >= 0


def test_fair_kl_gradient() -> None:
    u, v = (x.requires_grad_() for x in views())
    assert torch.autograd.gradcheck(lambda u: fair_kl(u, y=Y, bias=BIAS, floor=1e-6), (u,))
    assert torch.autograd.gradcheck(lambda u, v: fair_kl(u, v, y=Y, bias=BIAS, floor=1e-6), (u, v))


def test_every_node_with_both_biases_is_fair() -> None:
    u, v = (x.repeat(2, 1) for x in views())
    y, bias = Y.repeat(2), torch.arange(2).repeat_interleave(N)
    assert float(fair_kl(u, v, y=y, bias=bias)) == pytest.approx(0, abs=1e-12)
    biased = fair_kl(u + 3 * bias[:, None], v + 3 * bias[:, None], y=y, bias=bias)
    assert float(biased) > 0.1


def test_names_of_biases_do_not_matter() -> None:
    u, _ = views()
    other = torch.where(BIAS < 0, -1, 17 - 3 * BIAS)
    assert float(fair_kl(u, y=Y, bias=BIAS)) == pytest.approx(float(fair_kl(u, y=Y, bias=other)), abs=1e-12)


def test_pairs_that_are_not_there_count_for_nothing_and_say_so() -> None:
    u, _ = views()
    with pytest.warns(UserWarning, match="too few pairs of two classes"):
        alone = fair_kl(u, y=torch.zeros(N, dtype=torch.long), bias=torch.arange(N) % 2)
    assert float(alone) > 0
    with pytest.warns(UserWarning, match="too few pairs of one class"):
        assert float(fair_kl(u, y=Y, bias=torch.zeros(N, dtype=torch.long))) == 0
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        fair_kl(u, y=Y, bias=BIAS, min_pairs=10_000)
    assert len(caught) == 2


def test_a_class_at_one_point_keeps_its_gradient_finite() -> None:
    z = torch.eye(4)[Y.clamp(min=0)]
    value, slope = value_and_gradients(lambda z: fair_kl(z, y=Y, bias=BIAS), z)
    assert value.isfinite()
    assert slope.isfinite().all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_many_rows_in_single_precision(dtype: torch.dtype) -> None:
    """Sums of a million cosines of which most cancel, with a few conflicting pairs among them."""
    u = drawn(1000, 16)
    y, bias = torch.arange(1000) % 3, torch.arange(1000) % 3
    bias[:6] = (bias[:6] + 1) % 3
    wide = fair_kl(u.to(dtype).double(), y=y, bias=bias)
    assert float(fair_kl(u.to(dtype), y=y, bias=bias)) == pytest.approx(float(wide), rel=1e-5)


def test_fair_kl_refuses() -> None:
    u, v = views()
    with pytest.raises(ValueError, match="y and bias"):
        fair_kl(u, y=Y[:-1], bias=BIAS)
    with pytest.raises(ValueError, match="match must be one of kl, mean, got 'sum'"):
        fair_kl(u, v, y=Y, bias=BIAS, match="sum")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="floor must be positive"):
        fair_kl(u, y=Y, bias=BIAS, floor=0)


# ---------------------------------------------------------------------- ResCom


def test_everything_kept_with_even_weights_is_sup_con_over_batch_and_queue() -> None:
    u, v = views()
    y = Y.clamp(min=0)
    assert float(rescom(u, v, y=y, beta=0, tau=0.3)) == pytest.approx(references.nt_xent_of(u, v, y, 0.3), abs=1e-10)
    z, of, keys = torch.cat([u, v]), torch.cat([y, y]), QUEUE[1] >= 0
    s = F.normalize(z, dim=1) @ F.normalize(torch.cat([z, QUEUE[0][keys]]), dim=1).t() / 0.3
    s.fill_diagonal_(-torch.inf)
    alike = of[:, None] == torch.cat([of, QUEUE[1][keys]])
    alike.fill_diagonal_(False)
    expected = torch.stack([-(s[i].log_softmax(0)[alike[i]]).mean() for i in range(2 * N)]).mean()
    assert float(rescom(u, v, y=y, queue=QUEUE, k_pos=99, k_neg=99, beta=0, tau=0.3)) == pytest.approx(float(expected), abs=1e-10)


def test_weights_by_effective_numbers_have_their_limits() -> None:
    n = torch.tensor([120, 40, 3])
    close(effective_weights(n, beta=0), torch.ones(3), 1e-6)
    for beta in (1.0, 1 - 1e-9):
        close(effective_weights(n, beta=beta), n.double().mean() / n, 1e-5)
    expected = [(1 - 0.999**k) / (1 - 0.999) for k in n.tolist()]
    close(effective_weights(n), torch.tensor([sum(expected) / 3 / e for e in expected]), 1e-5)


def test_a_class_without_rows_has_a_weight() -> None:
    assert effective_weights(torch.tensor([4, 0])).isfinite().all()
    assert float(balanced_softmax(LOGITS[:2], torch.tensor([0, 1]), torch.tensor([4, 3, 0]))) > 0


def test_balanced_softmax_of_even_classes_is_cross_entropy() -> None:
    known = Y >= 0
    even = balanced_softmax(LOGITS[:N], Y, torch.full((C,), 7))
    assert float(even) == pytest.approx(float(F.cross_entropy(LOGITS[:N][known], Y[known])), abs=1e-7)
    shifted = F.cross_entropy(LOGITS[:N][known] + (COUNTS / COUNTS.sum()).log(), Y[known])
    assert float(balanced_softmax(LOGITS[:N], Y, COUNTS)) == pytest.approx(float(shifted), abs=1e-6)
    assert float(balanced_softmax(LOGITS[:N], torch.full((N,), -1), COUNTS)) == 0


def test_the_queue_takes_no_gradient() -> None:
    keys = QUEUE[0].clone().requires_grad_()
    u, v = (x.requires_grad_() for x in views())
    total = rescom(u, v, y=Y, queue=(keys, QUEUE[1])) + paco(u, v, y=Y, logits=LOGITS, queue=(keys, QUEUE[1]))
    total.backward()
    assert keys.grad is None
    assert u.grad is not None


# ---------------------------------------------------------------------- PaCo


def test_centres_alone_are_the_balanced_softmax() -> None:
    u, v = views()
    both = torch.cat([Y, Y])
    value = paco(u, v, y=Y, logits=LOGITS, counts=COUNTS, share=0, gamma=0)
    assert float(value) == pytest.approx(float(balanced_softmax(LOGITS, both, COUNTS)), abs=1e-7)
    plain = paco(u, v, y=Y, logits=LOGITS, share=0, gamma=0)
    assert float(plain) == pytest.approx(float(F.cross_entropy(LOGITS[both >= 0], both[both >= 0])), abs=1e-10)


def test_without_centres_it_is_sup_con() -> None:
    u, v = views()
    none = torch.zeros(2 * N, 0, dtype=torch.float64)
    assert float(paco(u, v, y=Y, logits=none, beta=0, tau=0.3)) == pytest.approx(references.nt_xent_of(u, v, Y, 0.3), abs=1e-10)


@pytest.mark.parametrize("share", [0.4, 2.0])
@pytest.mark.parametrize("positives", [1, 3])
def test_at_the_optimum_a_centre_has_its_share(share: float, positives: int) -> None:
    """Free scores of one row against its centre, ``positives`` keys and a negative: the centre takes ``1 / (1 + alpha K)``."""
    free = nn.Parameter(torch.zeros(2 + positives, dtype=torch.float64))
    optimizer = torch.optim.Adam([free], lr=0.1)
    for _ in range(800):
        optimizer.zero_grad()
        log_p = free.log_softmax(0)
        (-(log_p[0] + share / positives * log_p[1:-1].sum()) / (1 + share)).backward()
        optimizer.step()
    assert float(free.softmax(0)[0]) == pytest.approx(1 / (1 + share), abs=0.01)


def test_less_weight_on_keys_leaves_the_centres_more() -> None:
    u, v = views()
    slopes = [value_and_gradients(lambda t: paco(u, v, y=Y, logits=t, gamma=gamma), LOGITS)[1].abs().sum() for gamma in (1.0, 0.01)]  # noqa: B023
    assert slopes[1] > slopes[0], "many keys would drown the few centres in the denominator"
