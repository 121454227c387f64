"""Negatives: queues and banks of them, harder ones by mixing, false ones found and cancelled; momentum contrast."""

from __future__ import annotations

import copy
import math
from collections import deque
from collections.abc import Callable
from functools import partial

import pytest
import references_negatives as references
import torch
import torch.nn.functional as F
from checks import close, value_and_gradients
from references import cosine, log_sum_exp, rows
from torch import Tensor, nn

from graphssl import GCN, GRACE, DropEdges, Graph, KeyQueue, MaskFeatures, MemoryBank, MoCo, fit, seeded
from graphssl.datasets import contextual_sbm
from graphssl.losses import fnc, info_nce, mochi
from graphssl.losses.cancellation import false_negatives, precision_and_recall, within
from graphssl.losses.positives import Positives

Y = torch.tensor([0, 1, 0, 2, 1, 0, 2, 3, 1])
SAME = [[j for j in range(9) if j != i and Y[j] == Y[i]] for i in range(9)]
ORACLE = Positives.labels(Y)
NONE = Positives.index(torch.full((9,), -1))
Loss = Callable[[Tensor, Tensor], Tensor]


def views(n: int = 9, d: int = 5, seed: int = 0) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    u = torch.randn(n, d, dtype=torch.float64, generator=generator)
    return u, u + torch.randn(n, d, dtype=torch.float64, generator=generator)


def more(k: int = 7, d: int = 5) -> Tensor:
    return torch.randn(k, d, dtype=torch.float64, generator=torch.Generator().manual_seed(9))


def drawn(sizes: tuple[int, int] = (12, 5)) -> list[Tensor]:
    """What :func:`mochi` draws after ``torch.manual_seed(3)``."""
    torch.manual_seed(3)
    return [torch.rand(size, dtype=torch.float64) for size in (*[sizes[0]] * 3, *[sizes[1]] * 2)]


def mixing(num_hard: int = 4, **options: object) -> Loss:
    def loss(u: Tensor, v: Tensor) -> Tensor:
        torch.manual_seed(3)
        return mochi(u, v, num_hard=num_hard, num_mixed=12, num_with_query=5, **options)  # type: ignore[arg-type]

    return loss


LOSSES: dict[str, tuple[Loss, Callable[[Tensor, Tensor], float]]] = {
    **{
        f"mochi {tau} {intra} {chunk}": (
            mixing(tau=tau, intra=intra, chunk=chunk, extra=more(), exclude=ORACLE),
            lambda u, v, tau=tau, intra=intra: references.mochi(u, v, tau, drawn(), 4, extra=more(), intra=intra, out=SAME),
        )
        for tau in (0.05, 0.2)
        for intra in (True, False)
        for chunk in (None, 4)
    },
    **{
        f"fnc {how} {chunk}": (
            partial(fnc, how=how, tau=0.3, chunk=chunk, false=ORACLE),  # type: ignore[arg-type]
            lambda u, v, how=how: references.fnc(u, v, 0.3, SAME, how),
        )
        for how in ("eliminate", "attract")
        for chunk in (None, 4)
    },
    "info_nce with extra": (
        partial(info_nce, tau=0.3, intra=True, extra=more(), chunk=4),
        lambda u, v: references.mochi(u, v, 0.3, drawn((0, 0)), 1, extra=more(), intra=True),
    ),
}
each = pytest.mark.parametrize("name", LOSSES)
each_how = pytest.mark.parametrize("how", ["eliminate", "attract"])


# ---------------------------------------------------------------------- laws of losses


@each
def test_equals_its_loop(name: str) -> None:
    loss, reference = LOSSES[name]
    for seed in range(2):
        u, v = views(seed=seed)
        assert float(loss(u, v)) == pytest.approx(reference(u, v), abs=1e-9)


@pytest.mark.parametrize("name", [name for name in LOSSES if not name.startswith("mochi")])  # whose mixtures are held still: see below
def test_gradient(name: str) -> None:
    u, v = (x.requires_grad_() for x in views())
    assert torch.autograd.gradcheck(LOSSES[name][0], (u, v))


@each
def test_wants_partners_together(name: str) -> None:
    loss = LOSSES[name][0]
    u, v = views()
    if not name.startswith("fnc attract"):  # where a partner of the same class is as good
        for shift in range(1, 9):
            assert float(loss(u, u)) < float(loss(u, u.roll(shift, 0)))
    mine = value_and_gradients(loss, u, v)[2]
    assert float(loss(u, v - 1e-4 * mine)) < float(loss(u, v)), "the gradient does not lead down"


@pytest.mark.parametrize("loss", [mochi, *(partial(fnc, how=how) for how in ("eliminate", "attract"))])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_small_temperature_half_precision_and_one_row(loss: Callable[..., Tensor], dtype: torch.dtype) -> None:
    u, v = views()
    same = torch.ones_like(u)
    for a, b in ((u, v), (u, u), (u, -u), (same, same), (same, -same), (u * 100, v / 100), (u[:1], v[:1]), (u[:2], v[:2])):
        value, *slopes = value_and_gradients(partial(loss, tau=0.01), a.to(dtype), b.to(dtype))
        assert value.isfinite()
        assert value.dtype == torch.float32
        assert all(slope.isfinite().all() for slope in slopes)


@pytest.mark.parametrize("chunk", [1, 2, 5, 8, 9, 20])
def test_chunks_equal_the_whole(chunk: int) -> None:
    u, v = views()
    for loss in (
        lambda u, v, chunk: mixing(chunk=chunk, intra=True)(u, v),
        partial(fnc, k=3, threshold=0.2, how="attract"),
        partial(fnc, k=3, threshold=0.2, how="eliminate"),
        partial(info_nce, extra=more()),
    ):
        whole, parts = (value_and_gradients(partial(loss, chunk=size), u, v) for size in (None, chunk))
        for a, b in zip(whole, parts, strict=True):
            close(a, b, 1e-9)


def test_memory_kept_for_the_gradient_is_linear_in_chunks() -> None:
    for loss in (partial(mochi, intra=True), partial(fnc, false=Positives.index(torch.full((128,), -1)))):
        sizes: list[int] = []
        u, v = (x.requires_grad_() for x in views(128, 4))
        with torch.autograd.graph.saved_tensors_hooks(lambda t: sizes.append(t.numel()) or t, lambda t: t):  # noqa: B023
            loss(u, v, chunk=16)
        assert max(sizes) <= 2 * 128 * 4


# ---------------------------------------------------------------------- mixed negatives


@pytest.mark.parametrize("intra", [True, False])
@pytest.mark.parametrize("symmetric", [True, False])
def test_mochi_without_mixtures_is_info_nce_with_a_queue(intra: bool, symmetric: bool) -> None:
    u, v = views()
    for extra in (None, more()):
        plain = mochi(u, v, tau=0.2, num_mixed=0, num_with_query=0, intra=intra, symmetric=symmetric, extra=extra)
        close(plain, info_nce(u, v, tau=0.2, intra=intra, symmetric=symmetric, extra=extra), 1e-12)
        close(mochi(u, v, num_hard=0, intra=intra, symmetric=symmetric, extra=extra), plain, 1e-12)


def test_an_empty_queue_adds_nothing() -> None:
    u, v = views()
    assert torch.equal(info_nce(u, v, extra=more(0)), info_nce(u, v))
    assert float(info_nce(u, v, extra=more())) > float(info_nce(u, v))
    assert float(info_nce(u[:1], v[:1], decoupled=True, extra=more())) == pytest.approx(
        sum(log_sum_exp([cosine(a, k) / 0.5 for k in rows(more())]) for a in (*rows(u[:1]), *rows(v[:1]))) / 2
        - cosine(*rows(u[:1]), *rows(v[:1])) / 0.5
    )


def test_each_mixture_raises_the_loss() -> None:
    u, v = views()
    mixed = [float(mochi(u, v, num_hard=1, num_mixed=k, num_with_query=0)) for k in range(5)]  # of one key, with itself
    assert mixed == sorted(set(mixed))
    torch.manual_seed(0)
    assert float(mochi(u, v, num_hard=1, num_mixed=2, num_with_query=1)) > mixed[2]


def test_mixtures_with_the_query_are_nearer_on_average() -> None:
    u, v = views(200, 16)

    def gain(**sizes: int) -> float:
        torch.manual_seed(0)
        return float(mochi(u, v, num_hard=50, **{"num_mixed": 0, "num_with_query": 0, **sizes}))

    assert gain() < gain(num_mixed=64) < gain(num_with_query=64)


def test_mixtures_have_unit_length_and_take_no_gradient() -> None:
    """The slope is that of the loss in which mixtures, made once, are plain negatives."""
    u, v = views(6)
    torch.manual_seed(3)
    draws = [torch.rand(size, dtype=torch.float64) for size in (4, 4, 4, 3, 3)]
    a, keys = F.normalize(u, dim=1), F.normalize(v, dim=1)
    mixtures = []
    for i in range(6):
        hard = keys[torch.tensor([j for j in range(6) if j != i])]
        hard = hard[(hard @ a[i]).argsort(descending=True)[:3]]
        first, second, of_query = ((r * 3).long() for r in (draws[0], draws[1], draws[3]))
        share, b = draws[2][:, None], draws[4][:, None] / 2
        made = torch.cat([share * hard[first] + (1 - share) * hard[second], b * a[i] + (1 - b) * hard[of_query]])
        mixtures.append(F.normalize(made, dim=1).detach())
    still = torch.stack(mixtures)  # [6, 7, D]

    def explicit(u: Tensor, v: Tensor) -> Tensor:
        a, k = F.normalize(u, dim=1), F.normalize(v, dim=1)
        scores = torch.cat([a @ k.t(), torch.einsum("nd,nsd->ns", a, still)], 1) / 0.2
        return (scores.logsumexp(1) - scores.diagonal()).mean()

    def ours(u: Tensor, v: Tensor) -> Tensor:
        torch.manual_seed(3)
        return mochi(u, v, num_hard=3, num_mixed=4, num_with_query=3, symmetric=False)

    for mine, other in zip(value_and_gradients(ours, u, v), value_and_gradients(explicit, u, v), strict=True):
        close(mine, other, 1e-9)


def test_partners_and_known_false_negatives_are_never_mixed() -> None:
    u = torch.eye(4, dtype=torch.float64)
    u[1] = u[0] + 0.01 * u[1]  # 0 and 1 are alike, all others at right angles
    pair = Positives.listed(torch.tensor([0, 1]), torch.tensor([1, 0]), 4)
    options = {"num_hard": 1, "num_mixed": 2, "num_with_query": 0, "symmetric": False}
    clean = mochi(u, u, exclude=pair, **options)  # type: ignore[arg-type]
    expected = sum(math.log(math.exp(5) + n + 2) - 5 for n in (2, 2, 3, 3)) / 4  # the partner at 1 / tau, others and mixtures at 0
    assert float(clean) == pytest.approx(expected, abs=1e-3)
    assert float(mochi(u, u, **options)) > float(clean) + 0.3  # type: ignore[arg-type]


def test_excluded_negatives_are_eliminated() -> None:
    u, v = views()
    plain = mochi(u, v, tau=0.3, num_mixed=0, num_with_query=0, intra=True, exclude=ORACLE)
    close(plain, fnc(u, v, tau=0.3, false=ORACLE, how="eliminate"), 1e-12)


# ---------------------------------------------------------------------- false negatives


@each_how
def test_nothing_found_is_nt_xent(how: str) -> None:
    u, v = views()
    for loss in (partial(fnc, false=NONE), partial(fnc, threshold=1.1)):
        for mine, other in zip(
            value_and_gradients(partial(loss, how=how, tau=0.3), u, v),
            value_and_gradients(partial(info_nce, tau=0.3, intra=True), u, v),
            strict=True,
        ):
            close(mine, other, 1e-10)


def test_the_oracle_attracts_as_the_supervised_contrastive_loss_does() -> None:
    u, v = views()
    z, y = rows(torch.cat([u, v])), torch.cat([Y, Y]).tolist()
    total = 0.0
    for i in range(18):
        scores = {j: cosine(z[i], z[j]) / 0.3 for j in range(18) if j != i}
        alike = [s for j, s in scores.items() if y[j] == y[i]]
        total += log_sum_exp(list(scores.values())) - sum(alike) / len(alike)
    assert float(fnc(u, v, tau=0.3, false=ORACLE)) == pytest.approx(total / 18, abs=1e-10)


def test_the_oracle_eliminates_to_true_negatives() -> None:
    u, v = views()
    z, y = rows(torch.cat([u, v])), torch.cat([Y, Y]).tolist()
    total = 0.0
    for i in range(18):
        own = cosine(z[i], z[(i + 9) % 18]) / 0.3
        total += log_sum_exp([own, *(cosine(z[i], z[j]) / 0.3 for j in range(18) if y[j] != y[i])]) - own
    assert float(fnc(u, v, tau=0.3, false=ORACLE, how="eliminate")) == pytest.approx(total / 18, abs=1e-10)


def test_elimination_never_costs() -> None:
    for seed in range(3):
        u, v = views(seed=seed)
        plain = float(info_nce(u, v, tau=0.1, intra=True))
        assert float(fnc(u, v, how="eliminate", false=ORACLE)) < plain
        for threshold in (-1, 0, 0.5, 0.9):
            assert float(fnc(u, v, how="eliminate", threshold=threshold)) <= plain + 1e-12


@pytest.mark.parametrize("threshold", [-1.0, 0.0, 0.4, 0.9])
@pytest.mark.parametrize("k", [1, 3, 20])
def test_detection_equals_its_loop(k: int, threshold: float) -> None:
    support, keys = [*views(), views(seed=1)[0]], views(seed=0)
    for chunk in (None, 4):
        found = false_negatives(support, keys, k=k, threshold=threshold, chunk=chunk)
        assert {(int(i), int(j)) for i, j in found.t()} == references.false_negatives(support, keys, k, threshold)
        assert found.size(1) == len({(int(i), int(j)) for i, j in found.t()})


def test_more_support_finds_more_and_evidence_less() -> None:
    u, v = views(60, 4)
    g = contextual_sbm(60, 3, 8, degree=4, seed=0)
    one, both = (false_negatives(s, (u, v), k=60, threshold=0.6) for s in ((u,), (u, v)))
    near = false_negatives((u, v), (u, v), k=60, threshold=0.6, evidence=within(g.graph, 2), chunk=7)
    as_set = lambda pairs: {(int(i), int(j)) for i, j in pairs.t()}  # noqa: E731
    assert as_set(one) < as_set(both)
    reach = within(g.graph, 2).mask(slice(0, 60), 60)
    assert as_set(near) == {(i, j) for i, j in as_set(both) if reach[i, j]}


def test_within_is_the_powers_of_the_adjacency() -> None:
    g = contextual_sbm(40, 2, 4, degree=3, seed=0).graph
    adjacency = torch.zeros(40, 40)
    adjacency[g.edge_index[1], g.edge_index[0]] = 1
    power = torch.eye(40)
    for hops in (1, 2, 3):
        power = ((power + adjacency @ power) > 0).float()
        expected = power.bool().fill_diagonal_(False)
        found = within(g, hops)
        assert torch.equal(torch.cat([found.mask(slice(i, min(i + 7, 40)), 40) for i in range(0, 40, 7)]), expected)
        assert torch.equal(found.counts(), expected.sum(1))
    with pytest.raises(ValueError, match="hops must be at least 1, got 0"):
        within(g, 0)


def test_precision_and_recall() -> None:
    pairs = torch.nonzero(ORACLE.mask(slice(0, 9), 9)).t()
    assert precision_and_recall(pairs, Y) == {"precision": 1, "recall": 1, "base_rate": pairs.size(1) / 72}
    assert precision_and_recall(pairs[:, :0], Y)["precision"] == 0
    assert precision_and_recall(torch.tensor([[0, 1], [2, 0]]), torch.where(Y == 1, -1, Y))["precision"] == 1


@pytest.mark.parametrize(
    ("run", "message"),
    [
        (lambda: mochi(*views(), tau=0), "tau must be positive, got 0"),
        (lambda: mochi(*views(), num_mixed=-1), "num_mixed must not be negative, got -1"),
        (lambda: mochi(torch.ones(4, 3), torch.ones(5, 3)), "must both be"),
        (lambda: fnc(*views(), how="drop"), "how must be one of eliminate, attract, got 'drop'"),  # type: ignore[arg-type]
        (lambda: fnc(*views(), k=0), "k must be at least 1, got 0"),
        (lambda: fnc(*views(), chunk=0), "chunk must be at least 1"),
        (lambda: false_negatives([], []), "support and keys must be views"),
        (lambda: false_negatives([torch.ones(3, 2)], [torch.ones(4, 2)]), "support and keys must be views"),
        (lambda: KeyQueue(0, 3), "size must be at least 1, got 0"),
        (lambda: KeyQueue(3, 3, num_classes=0), "num_classes must be at least 1, got 0"),
        (lambda: KeyQueue(3, 3).push(torch.ones(2, 4)), r"keys must be \[B, 3\], got \(2, 4\)"),
        (lambda: KeyQueue(3, 3).push(torch.ones(2, 3), torch.ones(3)), r"labels must be \[B\] for 2 keys, got \(3,\)"),
        (lambda: KeyQueue(3, 3, num_classes=2).push(torch.ones(2, 3)), "labels must be given"),
        (lambda: KeyQueue(3, 3, num_classes=2).push(torch.ones(2, 3), torch.tensor([0, 2])), "labels must be below 2, got 2"),
        (lambda: MemoryBank(0, 3), "num and channels must be at least 1, got 0 and 3"),
        (lambda: MemoryBank(3, 3).update(torch.tensor([0]), torch.ones(2, 3)), r"rows must be \[1, 3\], got \(2, 3\)"),
        (lambda: MemoryBank(3, 3).update(torch.tensor([0]), torch.ones(1, 3), 2), r"momentum must be in \[0, 1\], got 2"),
        (lambda: MoCo(GCN(4, [4]), (DropEdges(0.1),) * 2, tau=0), "tau must be positive, got 0"),
        (lambda: MoCo(GCN(4, [4]), (DropEdges(0.1),) * 2, momentum=2), r"momentum must be in \[0, 1\], got 2"),
        (lambda: MoCo(GCN(4, [4]), (DropEdges(0.1),) * 2, queue=0), "size must be at least 1, got 0"),
    ],
)
def test_what_cannot_be_is_refused(run: Callable[[], object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        run()


# ---------------------------------------------------------------------- queues and banks


def numbered(start: int, n: int) -> Tensor:
    return torch.arange(start, start + n).float()[:, None].repeat(1, 2)


@pytest.mark.parametrize("size", [1, 3, 8])
def test_a_queue_holds_the_newest(size: int) -> None:
    queue, reference, count = KeyQueue(size, 2), deque[float](maxlen=size), 0
    for n in (2, 0, 1, 5, 8, 20, 3):
        queue.push(numbered(count, n), torch.arange(count, count + n))
        reference.extend(range(count, count + n))
        count += n
        assert sorted(queue.keys()[:, 0].tolist()) == sorted(reference)
        assert queue.keys()[:, 1].tolist() == queue.labels().tolist()


def test_a_queue_for_each_class_holds_the_newest_of_each() -> None:
    queue, reference = KeyQueue(3, 2, num_classes=4), [deque[float](maxlen=3) for _ in range(4)]
    generator, count = torch.Generator().manual_seed(0), 0
    for n in (2, 1, 9, 0, 30, 4):
        labels = torch.randint(-1, 4, (n,), generator=generator)
        queue.push(numbered(count, n), labels)
        for k, label in enumerate(labels.tolist()):
            if label >= 0:
                reference[label].append(count + k)
        count += n
        for label in range(4):
            assert sorted(queue.keys()[queue.labels() == label, 0].tolist()) == sorted(reference[label])
    assert torch.bincount(queue.labels()).tolist() == [3] * 4, "K of each class after warm-up"


def test_a_push_leaves_what_was_handed_out_alone() -> None:
    queue = KeyQueue(4, 5)
    queue.push(more(4).float())
    u, v = (x.float().requires_grad_() for x in views())
    keys = queue.keys()
    before = keys.clone()
    loss = info_nce(u, v, extra=keys)
    expected = torch.autograd.grad(info_nce(u, v, extra=before), u)[0]
    queue.push(torch.randn(4, 5))
    assert torch.equal(keys, before)
    close(torch.autograd.grad(loss, u)[0], expected, 1e-6)
    assert not queue.keys().requires_grad
    queue.push(u)
    assert not queue.keys().requires_grad


@pytest.mark.parametrize("make", [lambda: KeyQueue(5, 2), lambda: KeyQueue(2, 2, num_classes=3)])
def test_a_saved_queue_goes_on_alike(make: Callable[[], KeyQueue]) -> None:
    first, second = make(), make()
    first.push(numbered(0, 7), torch.arange(7) % 3)
    second.load_state_dict(copy.deepcopy(first.state_dict()))
    for queue in (first, second):
        queue.push(numbered(7, 2), torch.tensor([1, 1]))
    assert torch.equal(first.keys(), second.keys())
    assert torch.equal(first.labels(), second.labels())


def test_a_bank_moves_its_rows_by_momentum() -> None:
    bank = MemoryBank(5, 3)
    assert bank.keys().shape == (0, 3)
    first, second = F.normalize(torch.randn(2, 3), dim=1), F.normalize(torch.randn(2, 3), dim=1)
    bank.update(torch.tensor([3, 1]), 4 * first)
    close(bank.keys(torch.tensor([3, 1])), first, 1e-6)
    close(bank.keys(), first.flip(0), 1e-6)
    bank.update(torch.tensor([1, 3]), second.flip(0), momentum=0.9)
    close(bank.keys(torch.tensor([3, 1])), F.normalize(0.9 * first + 0.1 * second, dim=1), 1e-6)
    bank.update(torch.tensor([0]), first[:1], momentum=1)
    close(bank.keys(torch.tensor([0])), first[:1], 1e-6)
    kept = bank.keys(torch.tensor([1]))
    bank.update(torch.tensor([1]), torch.ones(1, 3, requires_grad=True), momentum=0)
    assert not torch.equal(kept, bank.keys(torch.tensor([1])))
    again = MemoryBank(5, 3)
    again.load_state_dict(copy.deepcopy(bank.state_dict()))
    assert torch.equal(again.keys(), bank.keys())


def test_a_bank_stays_where_and_as_it_is() -> None:
    model = nn.Sequential(nn.Linear(2, 2), MemoryBank(3, 2, dtype=torch.float16)).double()
    bank = model[1]
    assert model[0].weight.dtype == torch.float64
    bank.update(torch.tensor([0, 1]), torch.randn(2, 2, dtype=torch.float64), momentum=0.5)
    assert bank.rows.dtype == torch.float16
    found = bank.keys(torch.tensor([1]), like=model[0].weight)
    assert found.dtype == torch.float64
    assert float(found.norm()) == pytest.approx(1, abs=1e-3)
    assert bank.to("meta").rows.device.type == "cpu"


# ---------------------------------------------------------------------- objectives


VIEWS = (DropEdges(0.2), MaskFeatures(0.3))


@pytest.fixture(scope="module")
def g() -> Graph:
    return contextual_sbm(30, 3, 8, degree=6, seed=0).graph


def moco(**options: object) -> MoCo:
    with seeded(0):
        return MoCo(GCN(8, [8, 6]), VIEWS, **{"hidden": 8, "queue": 50, **options})  # type: ignore[arg-type]


def test_moco_is_info_nce_of_slow_keys_and_others_in_a_queue(g: Graph) -> None:
    net = moco()
    for step in range(3):
        with seeded(step):
            loss = net(g)
        with seeded(step):
            g1, g2 = (view(g) for view in VIEWS)
        slow, project = net.target.copy
        u, v = net.projector(net.encoder(g1)), project(slow(g2))
        old = net.queue.keys()
        assert len(old) == min(30 * step, 50), "the queue moves after the step alone"
        mine = torch.arange(30)[:, None] == net.queue.labels()
        scores = F.normalize(u, dim=1) @ F.normalize(torch.cat([v, old]), dim=1).t() / 0.2
        scores[:, 30:][mine] = -torch.inf  # a node's own earlier keys
        close(loss, (scores.logsumexp(1) - scores.diagonal()).mean(), 1e-5)
        net.after_step(0.1)
        close(net.queue.keys()[-1 if step == 0 else slice(0, 0)], v[-1] if step == 0 else v[:0], 1e-6)
    assert all(not p.requires_grad for p in net.target.parameters())


def test_moco_mixes_after_its_warm_up(g: Graph) -> None:
    plain, late = moco(), moco(mixed=16, mix_from=0.5)

    def value(net: MoCo) -> float:
        with seeded(1):
            return float(net(g).detach())

    assert value(plain) == pytest.approx(value(late), abs=1e-6)
    for net in (plain, late):
        net.after_step(0.5)
    assert value(late) > value(plain) + 1e-3


def test_a_resumed_moco_goes_on_alike(g: Graph) -> None:
    first, second = moco(mixed=8, mix_from=0.3), moco(mixed=8, mix_from=0.3)
    fit(first, g, epochs=3)
    second.load_state_dict(copy.deepcopy(first.state_dict()))
    with seeded(5):
        expected = first(g)
    with seeded(5):
        assert torch.equal(second(g), expected)


@pytest.mark.parametrize("loss", ["mochi", "fnc", partial(fnc, how="eliminate", tau=0.4), partial(mochi, num_hard=5)])
def test_grace_takes_them_as_its_loss(loss: object, g: Graph) -> None:
    net = GRACE(GCN(8, [8, 6]), VIEWS, hidden=8, loss=loss)  # type: ignore[arg-type]
    history = fit(net, g, epochs=3)
    assert all(math.isfinite(value) for value in history.loss)
