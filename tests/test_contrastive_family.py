"""Losses of two views beyond InfoNCE: the laws of all of them, and what each becomes in its limits."""

from __future__ import annotations

import math
from functools import partial

import pytest
import references
import references_contrastive as told
import torch
from checks import close, value_and_gradients
from pair_laws import LABELS, LAWS, Case, unit, views
from torch import Tensor

from graphssl.losses import dcl, dclw, eps_sup_con, eps_sup_info_nce, info_nce, renyi, sce, sup_con
from graphssl.losses.skew_divergence import renyi_bound

CASES: dict[str, Case] = {
    "dcl": Case(dcl, told.dcl, alone=False),
    "dclw": Case(dclw, partial(told.dcl, sigma=0.5), alone=False, detached=True),
    "sup_con out": Case(sup_con, partial(told.supervised, kind="con", form="out"), labels=True),
    "sup_con in": Case(partial(sup_con, form="in"), partial(told.supervised, kind="con", form="in"), labels=True),
    "eps_sup_info_nce out": Case(
        partial(eps_sup_info_nce, eps=0.25), partial(told.supervised, kind="info-nce", form="out", eps=0.25), labels=True
    ),
    "eps_sup_info_nce in": Case(
        partial(eps_sup_info_nce, eps=0.5, form="in"), partial(told.supervised, kind="info-nce", form="in", eps=0.5), labels=True
    ),
    "eps_sup_con": Case(partial(eps_sup_con, eps=0.25), partial(told.supervised, kind="con", form="out", eps=0.25), labels=True),
    "renyi 2": Case(renyi, partial(told.renyi, gamma=2.0, alpha=2.0**-16), alone=False),
    "renyi 1": Case(partial(renyi, gamma=1.0, alpha=0.1), partial(told.renyi, gamma=1.0, alpha=0.1), alone=False),
    "sce": Case(sce, partial(told.sce, lam=0.5, target_tau=0.05), alone=False, detached=True),
    "sce 1": Case(partial(sce, lam=1.0), partial(told.sce, lam=1.0, target_tau=0.05)),
}
each_chunk = pytest.mark.parametrize("chunk", [None, 3])


@pytest.mark.parametrize("law", LAWS)
@pytest.mark.parametrize("name", CASES)
def test_law(name: str, law: str) -> None:
    if name == "sce" and law == "other_partners_raise_it":
        pytest.skip("its law is with the relations below")
    LAWS[law](CASES[name])


def labels(*values: int) -> Tensor:
    return torch.tensor(values)


# ---------------------------------------------------------------------- DCL


def rowwise(u: Tensor, v: Tensor, tau: float) -> tuple[Tensor, Tensor]:
    """Similarities of the stacked rows without a row's own, and the place of its partner."""
    z = unit(torch.cat([u, v]))
    return (z @ z.t() / tau).fill_diagonal_(-torch.inf), torch.arange(len(z)).roll(len(u))


def test_nt_xent_of_a_row_is_softplus_of_dcl() -> None:
    u, v = views()
    s, own = rowwise(u, v, 0.1)
    positive = s.gather(1, own[:, None])[:, 0]
    decoupled = s.scatter(1, own[:, None], -torch.inf).logsumexp(1) - positive
    close(torch.nn.functional.softplus(decoupled), s.logsumexp(1) - positive, 1e-12)
    close(decoupled.mean(), dcl(u, v, tau=0.1), 1e-12)
    close(torch.nn.functional.softplus(decoupled).mean(), info_nce(u, v, tau=0.1, intra=True), 1e-12)


def test_dcl_may_be_negative_and_pulls_evenly() -> None:
    u, v = views()
    assert float(dcl(u, u, tau=0.1)) < 0
    cosine = torch.zeros(8, dtype=torch.float64, requires_grad=True)  # only the positives' similarities move
    s, own = rowwise(u, v, 0.1)
    moved = s + torch.zeros_like(s).scatter(1, own[:, None], 1.0) * cosine.repeat(2)[:, None]
    loss = moved.scatter(1, own[:, None], -torch.inf).logsumexp(1).sum() - moved.gather(1, own[:, None]).sum()
    close(torch.autograd.grad(loss, cosine)[0], torch.full((8,), -2.0, dtype=torch.float64), 1e-12)


def test_weights_of_dclw() -> None:
    u, v = views()
    cosine = torch.linalg.vecdot(unit(u), unit(v))
    weight = 2 - 8 * (cosine / 0.5).softmax(0)
    assert float(weight.mean()) == pytest.approx(1)

    def frozen(u: Tensor, v: Tensor) -> Tensor:
        return dcl(u, v, tau=0.2) + ((1 - weight) * torch.linalg.vecdot(unit(u), unit(v))).mean() / 0.2

    for a, b in zip(value_and_gradients(frozen, u, v), value_and_gradients(partial(dclw, tau=0.2), u, v), strict=True):
        close(a, b, 1e-12)
    close(dclw(u, u, tau=0.2), dcl(u, u, tau=0.2), 1e-12)  # all partners alike
    with pytest.raises(ValueError, match=r"sigma must be positive, got 0\.0"):
        dclw(u, v, sigma=0.0)


# ---------------------------------------------------------------------- labels


@each_chunk
@pytest.mark.parametrize("y", [None, torch.arange(8)], ids=["none", "unique"])
def test_no_shared_label_is_nt_xent(y: Tensor | None, chunk: int | None) -> None:
    u, v = views()
    expected = references.nt_xent(u, v, 0.2)
    for loss in (sup_con, partial(sup_con, form="in"), partial(eps_sup_con, eps=0.0), partial(eps_sup_info_nce, eps=0.0)):
        assert float(loss(u, v, y=y, tau=0.2, chunk=chunk)) == pytest.approx(expected, abs=1e-10)


@each_chunk
def test_an_infinite_margin_is_dcl(chunk: int | None) -> None:
    u, v = views()
    for loss in (eps_sup_info_nce, eps_sup_con):
        for y in (None, torch.arange(8)):
            mine = value_and_gradients(lambda u, v: loss(u, v, y=y, tau=0.2, eps=math.inf, chunk=chunk), u, v)  # noqa: B023
            for a, b in zip(mine, value_and_gradients(partial(dcl, tau=0.2), u, v), strict=True):
                close(a, b, 1e-10)
        with pytest.raises(ValueError, match="eps inf needs a negative for each row"):
            loss(u, v, y=torch.zeros(8, dtype=torch.long), eps=math.inf)


def test_without_a_margin_it_is_sup_con() -> None:
    u, v = views()
    y = torch.tensor(LABELS)
    for a, b in zip(
        value_and_gradients(partial(eps_sup_con, y=y, eps=0.0), u, v), value_and_gradients(partial(sup_con, y=y), u, v), strict=True
    ):
        close(a, b, 1e-12)


def test_in_is_not_above_out() -> None:
    for seed in range(5):
        u, v = views(seed=seed)
        y = torch.tensor(LABELS)
        assert float(sup_con(u, v, y=y, form="in")) <= float(sup_con(u, v, y=y)) + 1e-12
        assert float(sup_con(u, v, y=torch.arange(8), form="in")) == pytest.approx(float(sup_con(u, v, y=torch.arange(8))))


@pytest.mark.parametrize("form", ["out", "in"])
@pytest.mark.parametrize("sizes", [(2, 2, 2), (4, 1, 2)])
def test_collapsed_classes(sizes: tuple[int, ...], form: str) -> None:
    """All rows of a class at one corner of a simplex: the value in closed form."""
    tau, classes = 0.5, len(sizes)
    corners = unit(torch.eye(classes, dtype=torch.float64) - 1 / classes)
    y = torch.repeat_interleave(torch.arange(classes), torch.tensor(sizes))
    u = corners[y]
    expected = 0.0
    for c, size in enumerate(sizes):
        others = sum(2 * other for k, other in enumerate(sizes) if k != c)
        value = -1 / tau + math.log((2 * size - 1) * math.exp(1 / tau) + others * math.exp(-1 / (classes - 1) / tau))
        expected += size * value / sum(sizes)
    assert float(sup_con(u, u, y=y, tau=tau, form=form)) == pytest.approx(expected, abs=1e-10)  # type: ignore[arg-type]


def test_margin_lowers_the_loss() -> None:
    u, v = views()
    for loss in (eps_sup_info_nce, eps_sup_con, partial(eps_sup_info_nce, form="in")):
        values = [float(loss(u, v, y=torch.tensor(LABELS), eps=eps)) for eps in (0.0, 0.1, 0.25, 0.5, 2.0)]
        assert values == sorted(values, reverse=True)
        assert len(set(values)) == 5


def test_one_positive_does_not_see_another() -> None:
    """The slope of a positive pair's similarity is the same wherever the other positive lies; in SupCon it is not."""
    s = torch.tensor([0.3, -0.2, 0.1], dtype=torch.float64)  # two positives and a negative
    slopes: dict[str, list[float]] = {"eps": [], "con": []}
    for other in (-1.0, 0.2, 1.5):
        first = s[0].clone().requires_grad_()
        positives = torch.stack([first, torch.tensor(other, dtype=torch.float64)])
        eps = -(positives - torch.logaddexp(positives - 0.25, s[2])).mean()
        con = -(positives - torch.cat([positives, s[2:]]).logsumexp(0)).mean()
        slopes["eps"].append(float(torch.autograd.grad(eps, first)[0]))
        slopes["con"].append(float(torch.autograd.grad(con, first)[0]))
    assert max(slopes["eps"]) == pytest.approx(min(slopes["eps"]))
    assert max(slopes["con"]) - min(slopes["con"]) > 0.1


def test_unlabelled_rows_are_negatives_or_out() -> None:
    u, v = views()
    y = torch.tensor(LABELS)
    known = y >= 0
    for loss in (sup_con, eps_sup_con, eps_sup_info_nce):
        assert float(loss(u, v, y=y, unlabelled=False)) == pytest.approx(float(loss(u[known], v[known], y=y[known])), abs=1e-12)
        assert float(loss(u, v, y=y)) > float(loss(u, v, y=y, unlabelled=False))


def test_bad_arguments_of_labelled_losses() -> None:
    u, v = views()
    for wrong, words in (
        (lambda: sup_con(u, v, y=torch.tensor(LABELS), form="both"), "form must be out or in, got 'both'"),  # type: ignore[arg-type]
        (lambda: sup_con(u, v, y=torch.tensor(LABELS[:5])), r"y must be \[N\]"),
        (lambda: eps_sup_con(u, v, eps=-0.1), r"eps must be at least 0, got -0\.1"),
        (lambda: eps_sup_info_nce(u, v, eps=math.nan), "eps must be at least 0, got nan"),
    ):
        with pytest.raises(ValueError, match=words):
            wrong()


# ---------------------------------------------------------------------- Renyi


def test_order_one_is_the_limit() -> None:
    u, v = views()
    for near in (1 + 1e-4, 1 + 1e-7):
        assert float(renyi(u, v, gamma=near, alpha=0.1)) == pytest.approx(float(renyi(u, v, gamma=1.0, alpha=0.1)), abs=20 * (near - 1))
        single = renyi(u.float(), v.float(), gamma=near, alpha=0.1)
        assert float(single) == pytest.approx(float(renyi(u, v, gamma=1.0, alpha=0.1)), abs=1e-3)


@pytest.mark.parametrize("gamma", [1.0, 1.5, 2.0, 4.0])
@pytest.mark.parametrize("alpha", [0.0, 0.2, 0.5])
def test_best_scores_give_the_divergence(gamma: float, alpha: float) -> None:
    """At the best scores of two distributions the bound is their skew divergence, and lower at any others."""
    p, q = torch.tensor([0.5, 0.3, 0.2], dtype=torch.float64), torch.tensor([0.2, 0.2, 0.6], dtype=torch.float64)
    mixed = alpha * p + (1 - alpha) * q
    exact = (p * (p / mixed).log()).sum() if gamma == 1 else (p**gamma * mixed ** (1 - gamma)).sum().log() / (gamma * (gamma - 1))

    def bound(f: Tensor) -> Tensor:
        """Of scores of the three outcomes, ten draws of each in proportion."""
        pos, neg = (f.repeat_interleave((10 * w).round().long()) for w in (p, q))
        return renyi_bound(pos, (gamma * neg).logsumexp(0) - math.log(10), gamma, alpha)

    best = (p / mixed).log()
    assert float(bound(best)) == pytest.approx(float(exact), abs=1e-10)
    for seed in range(5):
        other = best + 0.3 * torch.randn(3, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
        assert float(bound(other)) < float(exact)


@pytest.mark.parametrize("seed", range(3))
def test_at_order_one_it_is_above_info_nce(seed: int) -> None:
    """With alpha 1/N it is multi-label CPC less log N: not below InfoNCE less the same (Jensen)."""
    u, v = views(seed=seed)
    one = renyi(u, v, tau=0.3, gamma=1.0, alpha=1 / 8)
    s = unit(u) @ unit(v).t() / 0.3
    joined = s.flatten().logsumexp(0) - math.log(64)
    assert float(one) == pytest.approx(float(joined - s.diagonal().mean()), abs=1e-10)
    assert float(one) >= float(info_nce(u, v, tau=0.3, symmetric=False)) - math.log(8) - 1e-12


def test_weights_of_hard_negatives_and_easy_positives() -> None:
    pos, neg = (torch.linspace(*ends, dtype=torch.float64).requires_grad_() for ends in ((-1, 1, 5), (-0.5, 0.7, 6)))
    for gamma in (1.5, 3.0):
        loss = -renyi_bound(pos, (gamma * neg).logsumexp(0) - math.log(6), gamma, 0.0)
        of_pos, of_neg = torch.autograd.grad(loss, (pos, neg))
        close(of_neg, (gamma * neg).softmax(0).detach(), 1e-12)
        close(of_pos, -((gamma - 1) * pos).softmax(0).detach(), 1e-12)


@pytest.mark.parametrize(("options", "words"), [({"gamma": 0.5}, "gamma must be at least 1"), ({"alpha": 1.0}, r"alpha in \[0, 1\)")])
def test_bad_arguments_of_renyi(options: dict[str, float], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        renyi(*views(), **options)  # type: ignore[arg-type]


# ---------------------------------------------------------------------- soft targets


@each_chunk
def test_all_on_the_partner_is_info_nce(chunk: int | None) -> None:
    u, v = views()
    for symmetric in (True, False):
        mine = value_and_gradients(lambda u, v: sce(u, v, lam=1.0, tau=0.2, symmetric=symmetric, chunk=chunk), u, v)  # noqa: B023
        other = value_and_gradients(lambda u, v: info_nce(u, v, tau=0.2, symmetric=symmetric), u, v)  # noqa: B023
        for a, b in zip(mine, other, strict=True):
            close(a, b, 1e-10)


def dense(u: Tensor, v: Tensor, w: Tensor, tau: float) -> Tensor:
    """Cross-entropy against given targets."""
    return -(w * (unit(u) @ unit(v).t() / tau).log_softmax(1)).sum(1).mean()


@each_chunk
@pytest.mark.parametrize("lam", [0.0, 0.5])
def test_soft_targets_take_no_gradient(lam: float, chunk: int | None) -> None:
    u, v = views()
    w = torch.tensor(told.soft_targets(v, lam, 0.05), dtype=torch.float64)
    close(w.sum(1), torch.ones(8, dtype=torch.float64), 1e-12)
    close(w.diagonal(), torch.full((8,), lam, dtype=torch.float64), 1e-12)
    mine = value_and_gradients(partial(sce, lam=lam, tau=0.2, symmetric=False, chunk=chunk), u, v)
    for a, b in zip(mine, value_and_gradients(lambda u, v: dense(u, v, w, 0.2), u, v), strict=True):
        close(a, b, 1e-10)


def test_it_is_not_below_the_entropy_of_the_targets() -> None:
    u, v = views()
    w = torch.tensor(told.soft_targets(v, 0.3, 0.5), dtype=torch.float64)
    entropy = float(torch.special.entr(w).sum(1).mean())
    assert float(sce(u, v, lam=0.3, tau=0.5, target_tau=0.5, symmetric=False)) > entropy
    scores = w.log()  # rows whose similarities are the targets' logarithms: equality
    assert float(-(w * scores.log_softmax(1)).sum(1).mean()) == pytest.approx(entropy)


def test_sharp_relations_go_to_the_nearest_key() -> None:
    u, v = views()
    nearest = (unit(v) @ unit(v).t()).fill_diagonal_(-torch.inf).argmax(1)
    expected = dense(u, v, torch.nn.functional.one_hot(nearest, 8).double(), 0.2)
    close(sce(u, v, lam=0.0, tau=0.2, target_tau=1e-4, symmetric=False), expected, 1e-8)


def test_other_partners_raise_sce_where_partners_count() -> None:
    u = torch.eye(6, dtype=torch.float64)
    for shift in range(1, 6):
        assert float(sce(u, u, lam=0.5)) < float(sce(u, u.roll(shift, 0), lam=0.5))


@pytest.mark.parametrize(
    ("options", "words"), [({"lam": 1.1}, r"lam must be in \[0, 1\]"), ({"target_tau": 0.0}, "target_tau must be positive, got 0")]
)
def test_bad_arguments_of_sce(options: dict[str, float], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        sce(*views(), **options)  # type: ignore[arg-type]
