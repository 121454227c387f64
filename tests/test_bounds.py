"""Estimates of mutual information: exact where the critic is the best there is, with the gradients of their papers, honest elsewhere."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from checks import close
from torch import Tensor

import graphssl as gs
from graphssl.estimation import MINE, Critic, mutual_information
from graphssl.losses import dv, info_nce_bound, jsd, mine, nwj, smile
from graphssl.losses.bounds import diagonal_and_rest

COUNTS = torch.tensor([[6, 1, 1], [2, 5, 1], [1, 2, 5]])  # of 24 draws of (x, y)
OF_SCORES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {"dv": dv, "nwj": nwj, "jsd": jsd, "smile": smile}
each_bound = pytest.mark.parametrize("name", OF_SCORES)


def table() -> tuple[Tensor, Tensor, float]:
    """The log-ratio of each pair of values, the pairs' product distribution as counts, and the information."""
    joint = COUNTS.double() / COUNTS.sum()
    product = joint.sum(1, keepdim=True) * joint.sum(0)
    ratio = (joint / product).log()
    return ratio, (COUNTS.sum(1, keepdim=True) * COUNTS.sum(0)), float(torch.special.xlogy(joint, joint / product).sum())


def scores_of(critic: Tensor) -> tuple[Tensor, Tensor]:
    """Scores of all pairs as often as they are drawn together, and as they are drawn apart."""
    _, product, _ = table()
    return critic.flatten().repeat_interleave(COUNTS.flatten()), critic.flatten().repeat_interleave(product.flatten())


def random_scores(n: int = 9, m: int = 14, seed: int = 0) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return tuple(2 * torch.randn(k, dtype=torch.float64, generator=generator) for k in (n, m))  # type: ignore[return-value]


# ---------------------------------------------------------------------- the best critic


def test_with_the_log_ratio_every_bound_is_the_information() -> None:
    ratio, _, information = table()
    positive, negative = scores_of(ratio)
    assert 0.2 < information < math.log(3)
    for shift in (0.0, 2.5, -4.0):
        assert -float(dv(positive + shift, negative + shift)) == pytest.approx(information, abs=1e-12)
        assert -float(mine(positive + shift, negative + shift, torch.tensor(0.3))) == pytest.approx(information, abs=1e-12)
    assert -float(nwj(positive + 1, negative + 1)) == pytest.approx(information, abs=1e-12)
    assert -float(smile(positive, negative, clip=math.inf)) == pytest.approx(information, abs=1e-12)


def test_the_kl_of_f_gan_is_nwj_with_another_level() -> None:
    """``E_p log r - E_q r + 1`` of a ratio ``r = exp(T - 1)``."""
    positive, negative = random_scores()
    ratio = (positive - 1).exp(), (negative - 1).exp()
    told = ratio[0].log().mean() - ratio[1].mean() + 1
    close(-nwj(positive, negative), told)


def test_jsd_at_its_best_is_twice_the_divergence() -> None:
    ratio, product, _ = table()
    p, q = COUNTS.double() / COUNTS.sum(), product.double() / product.sum()
    middle = (p + q) / 2
    divergence = (torch.special.xlogy(p, p / middle) + torch.special.xlogy(q, q / middle)).sum() / 2
    close(-jsd(*scores_of(ratio)), 2 * divergence)


@each_bound
def test_no_other_critic_tells_more(name: str) -> None:
    ratio, _, _ = table()
    level = 1.0 if name == "nwj" else 0.0
    best = float(OF_SCORES[name](*scores_of(ratio + level)))
    if name == "smile":
        best = float(jsd(*scores_of(ratio)))
    for seed in range(20):
        other = ratio + level + 0.3 * torch.randn(3, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
        told = jsd(*scores_of(other)) if name == "smile" else OF_SCORES[name](*scores_of(other))  # smile is trained by jsd
        assert float(told) > best


@pytest.mark.parametrize("name", ["dv", "nwj", "jsd"])
def test_the_best_critic_has_no_slope(name: str) -> None:
    critic = (table()[0] + (1.0 if name == "nwj" else 0.0)).requires_grad_()
    (slope,) = torch.autograd.grad(OF_SCORES[name](*scores_of(critic)), critic)
    assert float(slope.abs().max()) < 1e-9


def test_info_nce_of_a_perfect_critic_in_expectation() -> None:
    """Over classes drawn evenly and told exactly it is the information, as far as the batch goes: one of each class is ``log N``."""
    for n in (2, 5, 64):
        assert -float(info_nce_bound(200 * torch.eye(n, dtype=torch.float64))) == pytest.approx(math.log(n), abs=1e-9)


# ---------------------------------------------------------------------- values and limits


@pytest.mark.parametrize("seed", range(3))
def test_values_equal_loops(seed: int) -> None:
    positive, negative = random_scores(seed=seed)
    p, q = positive.tolist(), negative.tolist()
    average = sum(math.exp(t) for t in q) / len(q)
    assert -float(dv(positive, negative)) == pytest.approx(sum(p) / len(p) - math.log(average), abs=1e-12)
    assert -float(nwj(positive, negative)) == pytest.approx(sum(p) / len(p) - sum(math.exp(t - 1) for t in q) / len(q), abs=1e-12)
    clipped = sum(math.exp(min(max(t, -1.5), 1.5)) for t in q) / len(q)
    assert -float(smile(positive, negative, clip=1.5)) == pytest.approx(sum(p) / len(p) - math.log(clipped), abs=1e-12)


def test_info_nce_equals_its_loop_and_never_exceeds_log_n() -> None:
    for seed in range(5):
        s = 5 * torch.randn(7, 7, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
        told = sum(float(s[i, i]) - math.log(sum(math.exp(float(s[i, j])) for j in range(7))) + math.log(7) for i in range(7)) / 7
        assert -float(info_nce_bound(s)) == pytest.approx(told, abs=1e-12)
        assert -float(info_nce_bound(s + 100 * torch.eye(7))) <= math.log(7) + 1e-12
    assert float(info_nce_bound(torch.randn(1, 1))) == 0, "one row tells nothing"


def test_dv_does_not_care_for_the_level_and_nwj_is_below_it() -> None:
    for seed in range(5):
        positive, negative = random_scores(seed=seed)
        for shift in (-30.0, 1.0, 300.0):
            close(dv(positive + shift, negative + shift), dv(positive, negative))
        assert float(nwj(positive, negative)) >= float(dv(positive, negative)) - 1e-12
        level = 1 - (negative.logsumexp(0) - math.log(len(negative)))  # where nwj is best
        close(nwj(positive + level, negative + level), dv(positive, negative))


@pytest.mark.parametrize("name", ["dv", "nwj", "info_nce"])
def test_gradients_are_those_of_the_values(name: str) -> None:
    if name == "info_nce":
        assert torch.autograd.gradcheck(info_nce_bound, (torch.randn(5, 5, dtype=torch.float64, requires_grad=True),))
        return
    assert torch.autograd.gradcheck(OF_SCORES[name], tuple(s.requires_grad_() for s in random_scores()))


def test_gradient_of_smile_is_that_of_jsd() -> None:
    inputs = [s.requires_grad_() for s in random_scores()]
    for mine_, told in zip(torch.autograd.grad(smile(*inputs, clip=0.5), inputs), torch.autograd.grad(jsd(*inputs), inputs), strict=True):
        assert torch.equal(mine_, told)


@each_bound
def test_positives_up_and_negatives_down(name: str) -> None:
    positive, negative = (s.requires_grad_() for s in random_scores())
    up, down = torch.autograd.grad(OF_SCORES[name](positive, negative), (positive, negative))
    assert (up < 0).all()
    assert (down > 0).all()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@each_bound
def test_half_precision_is_taken_in_full(name: str, dtype: torch.dtype) -> None:
    positive, negative = ((s + 40).to(dtype) if name in ("dv", "smile") else s.to(dtype) for s in random_scores())
    told = OF_SCORES[name](positive, negative)
    assert told.dtype == torch.float32
    assert told.isfinite()
    close(told, OF_SCORES[name](positive.float(), negative.float()), 1e-6)


def test_scores_of_a_batch_are_taken_apart() -> None:
    s = torch.arange(16.0).view(4, 4)
    positive, negative = diagonal_and_rest(s)
    assert positive.tolist() == [0, 5, 10, 15]
    assert negative.tolist() == [float(s[i, j]) for i in range(4) for j in range(4) if i != j]


# ---------------------------------------------------------------------- MINE's gradient


def test_gradient_of_mine_is_the_formula() -> None:
    """``E_p dT - E_q e^T dT / average``, each score on its own."""
    positive, negative = (s.requires_grad_() for s in random_scores())
    average = torch.tensor(1.7, dtype=torch.float64)
    up, down = torch.autograd.grad(mine(positive, negative, average.log()), (positive, negative))
    close(up, torch.full_like(positive, -1 / len(positive)))
    close(down, negative.detach().exp() / average / len(negative))


def test_with_the_batch_s_own_average_mine_is_dv() -> None:
    inputs = [s.requires_grad_() for s in random_scores()]
    own = inputs[1].detach().logsumexp(0) - math.log(inputs[1].numel())
    for a, b in zip(torch.autograd.grad(mine(*inputs, own), inputs), torch.autograd.grad(dv(*inputs), inputs), strict=True):
        close(a, b)
    loss = MINE(momentum=0.0).double()
    for a, b in zip(torch.autograd.grad(loss(*inputs), inputs), torch.autograd.grad(dv(*inputs), inputs), strict=True):
        close(a, b, 1e-6)


def test_the_average_is_that_of_past_batches() -> None:
    loss, total, weight = MINE(momentum=0.9).double(), 0.0, 0.0
    for seed in range(6):
        positive, negative = random_scores(seed=seed)
        loss(positive, negative)
        total, weight = 0.9 * total + 0.1 * float(negative.exp().mean()), 0.9 * weight + 0.1
        assert float(loss.log_average.exp()) == pytest.approx(total / weight, rel=1e-6)
    before = loss.log_average.clone()
    loss.eval()(*random_scores(seed=9))
    assert torch.equal(loss.log_average, before), "it moves in training alone"
    again = MINE(momentum=0.9).double()
    again.load_state_dict(loss.state_dict())
    assert torch.equal(again.log_average, before)


def test_mine_in_evaluation_before_any_step() -> None:
    scores = torch.tensor([1.0, 2.0]), torch.tensor([0.0, -1.0])
    assert torch.equal(MINE().eval()(*scores), dv(*scores))


def test_the_average_takes_scores_that_exp_does_not() -> None:
    loss = MINE()
    assert loss(torch.full((4,), 300.0), torch.full((4,), 300.0)).isfinite()
    assert float(loss.log_average) == pytest.approx(300, abs=1e-3)


# ---------------------------------------------------------------------- estimates


def gaussians(rho: float, d: int, n: int = 6000, seed: int = 0) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    x, noise = torch.randn(2, n, d, generator=generator)
    return x, rho * x + math.sqrt(1 - rho**2) * noise


@pytest.mark.parametrize("estimator", ["mine", "dv", "nwj", "jsd", "info_nce", "smile"])
def test_of_gaussians(estimator: str) -> None:
    """``-d/2 log(1 - rho^2)``, 0.83 nats."""
    told = mutual_information(*gaussians(0.9, 1), estimator=estimator, steps=200, hidden=32, batch_size=48, lr=5e-3)  # type: ignore[arg-type]
    assert told.value == pytest.approx(0.8304, abs=0.15)
    assert (told.estimator, told.steps, told.num_train, told.num_held_out) == (estimator, 200, 4800, 1200)
    assert float(told) == told.value


def test_of_independent_rows_is_nothing() -> None:
    told = mutual_information(*gaussians(0.0, 2), estimator="mine", critic="separable", steps=200)
    assert abs(told.value) < 0.06


def test_info_nce_cannot_tell_more_than_the_batch_holds() -> None:
    x, y = gaussians(0.999, 4, n=2000)  # 12.4 nats
    told = mutual_information(x, y, estimator="info_nce", critic="separable", steps=200, batch_size=16)
    assert 2 < told.value <= math.log(16)


def test_of_classes() -> None:
    y = torch.arange(4).repeat(500)
    x = torch.nn.functional.one_hot(y, 4) + 0.05 * torch.randn(2000, 4, generator=torch.Generator().manual_seed(0))
    assert mutual_information(x, y, critic="separable", steps=200).value == pytest.approx(math.log(4), abs=0.15)


def test_what_is_held_out_tells_of_learning_by_heart() -> None:
    x, y = torch.randn(2, 60, 8, generator=torch.Generator().manual_seed(0))
    told = mutual_information(x, y, estimator="nwj", critic="separable", steps=300, batch_size=32)
    assert told.train > 0.3
    assert told.value < told.train


def test_a_seed_decides_and_the_global_numbers_stay() -> None:
    x, y = gaussians(0.5, 1, n=400)
    state = torch.get_rng_state()
    first = mutual_information(x, y, steps=10)
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(5)
    assert mutual_information(x, y, steps=10) == first
    assert mutual_information(x, y, steps=10, seed=1) != first
    assert mutual_information(3 * x - 7, y, steps=10).value == pytest.approx(first.value, abs=1e-3), "units do not matter"
    assert gs.mutual_information is mutual_information


@pytest.mark.parametrize("kind", ["separable", "concatenated"])
def test_a_critic_scores_each_pair_on_its_own(kind: str) -> None:
    torch.manual_seed(0)
    net = Critic(3, 2, kind, hidden=8).double()  # type: ignore[arg-type]
    x, y = torch.randn(5, 3, dtype=torch.float64), torch.randn(4, 2, dtype=torch.float64)
    s = net(x, y)
    assert s.shape == (5, 4)
    for i in range(5):
        for j in range(4):
            close(s[i, j], net(x[i : i + 1], y[j : j + 1])[0, 0])
    s.sum().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in net.parameters())


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: smile(torch.ones(2), torch.ones(2), clip=0), "clip must be positive, got 0"),
        (lambda: info_nce_bound(torch.ones(2, 3)), r"scores must be \[N, N\], got \(2, 3\)"),
        (lambda: diagonal_and_rest(torch.ones(1, 1)), "at least two rows"),
        (lambda: MINE(1.0), r"momentum must be in \[0, 1\), got 1.0"),
        (lambda: Critic(1, 1, "deep"), "critic must be one of separable, concatenated, got 'deep'"),  # type: ignore[arg-type]
        (lambda: mutual_information(torch.ones(9), torch.ones(9), estimator="mi"), "estimator must be one of mine, dv"),  # type: ignore[arg-type]
        (lambda: mutual_information(torch.ones(9), torch.ones(8)), "y must be as many rows as x, 9, got 8"),
        (lambda: mutual_information(torch.ones(3), torch.ones(3)), "x must be rows enough for two in each part, got 3"),
        (lambda: mutual_information(torch.ones(3, 1, 1), torch.ones(3)), r"rows must be \[N, D\] or \[N\], got \(3, 1, 1\)"),
        (lambda: mutual_information(torch.ones(9), torch.ones(9), steps=0), "steps must be at least 1, got 0"),
        (lambda: mutual_information(torch.ones(9), torch.ones(9), held_out=1.0), r"held_out must be in \(0, 1\), got 1.0"),
        (lambda: mutual_information(torch.ones(9), torch.ones(9), batch_size=1), "batch_size must be at least 2, got 1"),
    ],
)
def test_what_cannot_be_is_refused(call: Callable[[], object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()
