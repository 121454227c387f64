"""The engine of pairwise losses: chunks equal the whole, memory is that of a chunk; positives of every kind equal a plain list."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from checks import close, value_and_gradients
from pair_laws import Largest
from torch import Tensor

from graphssl import losses
from graphssl.losses.pairwise import mean_where, per_row, unit_rows
from graphssl.losses.positives import Positives

REDUCTIONS: dict[str, Callable[..., Tensor]] = {
    "log-sum-exp": lambda rows, s: s.logsumexp(1),
    "in place": lambda rows, s: s.mul_(2).logsumexp(1),
    "two figures": lambda rows, s: torch.stack([s.logsumexp(1), s.square().mean(1)], 1),
    "top": lambda rows, s: s.topk(3, dim=1).values,
    "by row": lambda rows, s: s.sum(1) * torch.arange(rows.start, rows.stop),
    "random": lambda rows, s: (s * torch.rand(s.size(1), dtype=s.dtype)).sum(1),
}
MASKS = {
    "diagonal": (lambda: Positives.diagonal(7), 7, [{i} for i in range(7)]),
    "offset": (lambda: Positives.diagonal(6, 3), 6, [{3}, {4}, {5}, {0}, {1}, {2}]),
    "index": (lambda: Positives.index(torch.tensor([4, -1, 0, 4])), 5, [{4}, set(), {0}, {4}]),
    "listed": (lambda: Positives.listed(torch.tensor([3, 0, 3, 3]), torch.tensor([2, 1, 0, 2]), 5), 3, [{1}, set(), set(), {0, 2}, set()]),
    "no pairs": (lambda: Positives.listed(*torch.zeros(2, 0, dtype=torch.long), 3), 4, [set(), set(), set()]),
    "labels": (lambda: Positives.labels(torch.tensor([1, 0, 1, -1, -1, 1])), 6, [{2, 5}, set(), {0, 5}, set(), set(), {0, 2}]),
    "labels of keys": (lambda: Positives.labels(torch.tensor([1, 0, -1]), torch.tensor([-1, 1, 1, 5])), 4, [{1, 2}, set(), set()]),
    "rows and a queue": (
        lambda: Positives.labels(torch.tensor([1, 0]), torch.tensor([1, 0, 1, -1]), without_self=True), 4, [{2}, set()],
    ),
    "a few keys": (lambda: Positives.labels(torch.tensor([1, 1, 1]), torch.tensor([1]), without_self=True), 1, [set(), {0}, {0}]),
    "views": (lambda: Positives.views(2), 4, [{2}, {3}, {0}, {1}]),
    "labelled views": (lambda: Positives.views(3, torch.tensor([2, -1, 2])), 6, [{2, 3, 5}, set(), {0, 3, 5}, {0, 2, 5}, set(), {0, 2, 3}]),
    "one": (lambda: Positives.labels(torch.tensor([0])), 1, [set()]),
}  # fmt: skip


def tables(n: int = 7, m: int = 5, d: int = 3) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(n)
    return torch.randn(n, d, dtype=torch.float64, generator=generator), torch.randn(m, d, dtype=torch.float64, generator=generator)


@pytest.mark.parametrize("chunk", [1, 2, 3, 7, 100])
@pytest.mark.parametrize("name", REDUCTIONS)
def test_chunks_equal_the_whole(name: str, chunk: int) -> None:
    weight = torch.linspace(-1, 1, 7, dtype=torch.float64)

    def loss(a: Tensor, b: Tensor, chunk: int | None) -> Tensor:
        torch.manual_seed(0)
        out = per_row(REDUCTIONS[name], (2 * a, b), chunk=chunk)
        return (out.t() * weight).sum()

    if name == "random" and chunk < 7:
        return  # other numbers in each chunk; that they are the same twice is the slope's law below
    whole = value_and_gradients(lambda a, b: loss(a, b, None), *tables())
    for one, other in zip(whole, value_and_gradients(lambda a, b: loss(a, b, chunk), *tables()), strict=True):
        close(one, other, 1e-12)


@pytest.mark.parametrize("chunk", [None, 2])
@pytest.mark.parametrize("name", [name for name in REDUCTIONS if name != "random"])
def test_slope_of_each_reduction(name: str, chunk: int | None) -> None:
    a, b = (x.requires_grad_() for x in tables())
    assert torch.autograd.gradcheck(lambda a, b: per_row(REDUCTIONS[name], (a, b), chunk=chunk), (a, b))


def test_random_numbers_are_the_same_in_the_second_pass() -> None:
    def loss(a: Tensor, b: Tensor) -> Tensor:
        torch.manual_seed(0)
        return per_row(REDUCTIONS["random"], (a, b), chunk=3)

    assert torch.autograd.gradcheck(loss, tuple(x.requires_grad_() for x in tables()))


@pytest.mark.parametrize("chunk", [None, 2])
def test_several_pairs(chunk: int | None) -> None:
    a, b = tables()
    c = torch.randn(4, 2, dtype=torch.float64)

    def loss(a: Tensor, b: Tensor, c: Tensor) -> Tensor:
        both = (a, b), (a, a), (a[:, :2], c), (a.detach(), b.detach())
        return per_row(lambda rows, s, own, t, fixed: (s.mul_(fixed)).logsumexp(1) + own.exp().sum(1) - t.sum(1), *both, chunk=chunk)

    given = tuple(x.requires_grad_() for x in (a, b, c))
    fixed = (a @ b.t()).detach()
    expected = (a @ b.t() * fixed).logsumexp(1) + (a @ a.t()).exp().sum(1) - (a[:, :2] @ c.t()).sum(1)
    close(loss(*given), expected, 1e-12)
    for one, other in zip(torch.autograd.grad(loss(*given).sum(), given), torch.autograd.grad(expected.sum(), given), strict=True):
        close(one, other, 1e-12)
    (only,) = torch.autograd.grad(loss(a.detach(), b, c.detach()).sum(), b)
    close(only, torch.autograd.grad((a @ b.t() * fixed).logsumexp(1).sum(), b)[0], 1e-12)


def test_a_gradient_that_would_be_lost_is_refused() -> None:
    a, b = tables()
    scale = torch.tensor(1.3, dtype=torch.float64, requires_grad=True)
    assert per_row(lambda rows, s: (scale * s).sum(1), (a, b)).requires_grad
    with pytest.raises(ValueError, match="reduce closes over a tensor that wants a gradient"):
        per_row(lambda rows, s: (scale * s).sum(1), (a, b.requires_grad_()), chunk=2)


def test_memory_is_that_of_a_chunk() -> None:
    n, d, chunk = 300, 4, 8
    largest = {}
    for name, rows in (("whole", None), ("chunks", chunk)):
        a, b = (x.requires_grad_() for x in tables(n, n, d))
        positives = Positives.labels(torch.arange(n) % 7)
        with Largest() as seen:
            per_row(lambda rows, s: s.masked_fill(positives.mask(rows, n), 0).logsumexp(1), (a, b), chunk=rows).sum().backward()  # noqa: B023
        largest[name] = seen.numel
    assert largest["whole"] == n * n
    assert largest["chunks"] <= max(chunk * n, n * d)


@pytest.mark.parametrize("chunk", [None, 1])
def test_one_row_and_none(chunk: int | None) -> None:
    a, b = tables(1, 1)
    close(per_row(REDUCTIONS["log-sum-exp"], (a, b), chunk=chunk), (a * b).sum(1), 1e-12)
    assert per_row(REDUCTIONS["two figures"], (a[:0], b), chunk=chunk).shape == (0, 2)


@pytest.mark.parametrize("name", MASKS)
@pytest.mark.parametrize("chunk", [1, 2, 50])
def test_masks_equal_the_list(name: str, chunk: int) -> None:
    make, num_keys, expected = MASKS[name]
    positives = make()
    n = len(expected)
    masks = [positives.mask(slice(i, min(i + chunk, n)), num_keys) for i in range(0, n, chunk)]
    assert [set(row.nonzero().flatten().tolist()) for row in torch.cat(masks)] == expected
    assert positives.counts().tolist() == [len(keys) for keys in expected]
    assert torch.cat(masks).dtype == torch.bool


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (lambda: per_row(REDUCTIONS["top"]), r"pairs must be"),
        (lambda: per_row(REDUCTIONS["top"], (torch.ones(2, 3), torch.ones(2, 4))), r"pairs must be .*\(2, 4\)"),
        (lambda: per_row(REDUCTIONS["top"], (torch.ones(2, 3), torch.ones(4, 3)), (torch.ones(3, 3), torch.ones(4, 3))), "with one N"),
        (lambda: per_row(REDUCTIONS["top"], tables(), chunk=0), "chunk must be at least 1 or None, got 0"),
        (lambda: unit_rows(torch.ones(2, 3), torch.ones(3, 3)), "must both be"),
        (lambda: unit_rows(torch.ones(2, 3), torch.ones(2, 3), -0.1), r"tau must be positive, got -0\.1"),
        (lambda: unit_rows(torch.ones(2, 3), torch.ones(2, 3), float("nan")), "tau must be positive, got nan"),
        (lambda: Positives.listed(torch.tensor([5]), torch.tensor([0]), 5), r"row must lie in \[0, 5\), got 5"),
        (lambda: Positives.listed(torch.tensor([5]), torch.tensor([0, 1]), 5), "row and col must both be"),
        (lambda: Positives.views(3, torch.zeros(2)), r"y must be \[N\], one label for each of the 3 rows, got shape \(2,\)"),
        (lambda: Positives.labels(torch.zeros(3)).mask(slice(0, 1), 4), "3 labels of keys, but 4 keys"),
    ],
)
def test_what_is_wrong_is_named(wrong: Callable[[], object], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        wrong()


def test_a_mean_over_rows_that_count() -> None:
    values = torch.tensor([1.0, torch.inf, torch.nan, 2.0], requires_grad=True)
    mean = mean_where(values, torch.tensor([True, False, False, True]))
    assert mean.item() == 1.5
    assert torch.autograd.grad(mean, values)[0].tolist() == [0.5, 0, 0, 0.5]
    assert float(mean_where(values, torch.zeros(4, dtype=torch.bool))) == 0


@pytest.mark.parametrize("name", ["info_nce", "sup_con", "sce"])
def test_a_gradient_asked_for_inside_autocast_is_that_of_full_precision(name: str) -> None:
    u, v = torch.randn(2, 9, 16, generator=torch.Generator().manual_seed(0))
    found = []
    for inside in (False, True):
        leaf = u.clone().requires_grad_()
        with torch.autocast("cpu", torch.bfloat16, enabled=inside):
            getattr(losses, name)(leaf, v, chunk=4).backward()
        found.append(leaf.grad)
    assert torch.equal(*found)
