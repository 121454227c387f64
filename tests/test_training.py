"""Training: what a seed decides, what is left alone, and what stops a run."""

from __future__ import annotations

import copy
import math
import random
from collections.abc import Callable, Iterator

import graphs
import numpy as np
import pytest
import references
import torch
from torch import Tensor, nn

from graphssl import BGRL, DGI, GCN, GRACE, Compose, DropEdges, Graph, GraphBatches, MaskFeatures, Objective, fit, train
from graphssl.datasets import Dataset, contextual_sbm
from graphssl.random import RandomStream, seeded
from graphssl.training import TrainingDiverged, as_batches, schedule

VIEW = Compose(DropEdges(0.3), MaskFeatures(0.3))
MAKE: dict[str, Callable[[nn.Module], Objective]] = {
    "bgrl": lambda net: BGRL(net, (VIEW, VIEW), hidden=16),
    "dgi": DGI,
    "grace": lambda net: GRACE(net, (VIEW, VIEW), hidden=16),
}
each_method = pytest.mark.parametrize("method", MAKE)


@pytest.fixture(scope="module")
def data() -> Dataset:
    return contextual_sbm(80, 3, 16, degree=8, seed=0)


def objective(method: str = "bgrl", norm: str = "batch") -> Objective:
    torch.manual_seed(0)
    return MAKE[method](GCN(16, [16, 8], norm=norm, dropout=0.2))  # type: ignore[arg-type]


class Slope(Objective):
    """A loss of one number that falls or rises as it is told, with gradient 1."""

    def __init__(self, losses: list[float] | None = None) -> None:
        super().__init__()
        self.encoder = nn.Identity()
        self.w = nn.Parameter(torch.zeros(()))
        self.losses, self.calls, self.progress = losses, 0, []
        self.register_buffer("marker", torch.zeros(()))

    def forward(self, g: Graph) -> Tensor:
        self.calls += 1
        self.marker.fill_(self.calls)
        offset = 0.0 if self.losses is None else self.losses[self.calls - 1]
        return self.w - self.w.detach() + offset

    def after_step(self, progress: float) -> None:
        self.progress.append(progress)


# ---------------------------------------------------------------------- randomness


@each_method
def test_a_seed_decides_the_run(method: str, data: Dataset) -> None:
    runs = []
    for seed, noise in ((3, 0), (3, 1), (4, 0)):
        net = objective(method)
        torch.manual_seed(100 + noise)  # the caller's own state must not matter
        runs.append((fit(net, data, epochs=4, seed=seed).loss, copy.deepcopy(net.state_dict())))
    assert runs[0][0] == runs[1][0]
    assert all(torch.equal(v, runs[1][1][k]) for k, v in runs[0][1].items())
    assert runs[0][0] != runs[2][0]


@each_method
def test_the_callers_generators_stay(method: str, data: Dataset) -> None:
    net = objective(method)
    before = torch.get_rng_state(), np.random.get_state()[1].tolist(), random.getstate()  # type: ignore[index]
    for _ in train(net, data, epochs=3):
        assert torch.equal(before[0], torch.get_rng_state())
    assert torch.equal(before[0], torch.get_rng_state())
    assert before[1:] == (np.random.get_state()[1].tolist(), random.getstate())  # type: ignore[index]


def test_what_the_caller_draws_does_not_matter(data: Dataset) -> None:
    quiet = fit(objective(), data, epochs=4).loss
    noisy = []
    for step in train(objective(), data, epochs=4):
        torch.rand(step.number * 7)
        noisy.append(float(step.loss))
    assert quiet == noisy


def test_the_order_of_batches_comes_from_the_seed() -> None:
    parts = [contextual_sbm(20, 2, 16, degree=4, seed=k).graph for k in range(6)]
    runs = [fit(objective("dgi", "layer"), GraphBatches(parts, 2), epochs=3, seed=seed).loss for seed in (0, 0, 1)]
    assert runs[0] == runs[1] != runs[2]


def test_a_loader_that_shuffles_draws_from_the_seed() -> None:
    parts = [contextual_sbm(20, 2, 16, degree=4, seed=k).graph for k in range(6)]
    runs = []
    for noise in range(2):
        net = objective("dgi", "layer")
        torch.manual_seed(noise)
        before = torch.get_rng_state()
        loader = torch.utils.data.DataLoader(parts, batch_size=None, shuffle=True)  # draws as soon as it is asked for an iterator
        runs.append(fit(net, loader, epochs=2).loss)
        assert torch.equal(before, torch.get_rng_state())
    assert runs[0] == runs[1]


def test_stream_goes_on_where_it_stood() -> None:
    stream = RandomStream(5)
    parts = []
    for _ in range(3):
        with stream.running():
            parts.append(torch.rand(2))
        torch.rand(3)
    with seeded(5):
        assert torch.equal(torch.cat(parts), torch.cat([torch.rand(2) for _ in range(3)]))


def test_stream_survives_an_error() -> None:
    before = torch.get_rng_state()
    with pytest.raises(RuntimeError, match="negative"), seeded(1):
        torch.rand(torch.rand(1).size(0) - 2)
    assert torch.equal(before, torch.get_rng_state())


# ---------------------------------------------------------------------- schedule, optimiser


@pytest.mark.parametrize("kind", ["cosine", "constant"])
@pytest.mark.parametrize(("total", "warmup"), [(10, 0), (10, 3), (1, 0), (7, 6)])
def test_schedule(total: int, warmup: int, kind: str) -> None:
    ours = [schedule(k, total, warmup, kind) for k in range(total)]
    assert ours == pytest.approx(references.learning_rates(total, warmup, kind), abs=1e-12)


@pytest.mark.parametrize("kind", ["cosine", "constant"])
def test_the_optimiser_follows_the_schedule(kind: str) -> None:
    g = graphs.path()
    net = Slope()
    history = fit(net, [g, g], epochs=5, lr=0.1, warmup=0.3, schedule=kind, optimizer="adam")  # type: ignore[arg-type]
    expected = [0.1 * share for share in references.learning_rates(10, 3, kind)]
    assert history.lr == pytest.approx(expected, abs=1e-12)
    assert net.w.item() == pytest.approx(-sum(expected), abs=1e-5), "Adam moves by lr where the gradient is constant"
    assert net.progress == pytest.approx([k / 10 for k in range(1, 11)])
    assert history.epoch == [1, 1, 2, 2, 3, 3, 4, 4, 5, 5]


@pytest.mark.parametrize("optimizer", ["adam", "adamw"])
def test_weight_decay(optimizer: str) -> None:
    """Decoupled for AdamW: with no gradient to speak of the weight shrinks by ``lr * decay``; Adam normalises it away to ``lr``."""

    class Flat(Slope):
        def forward(self, g: Graph) -> Tensor:
            return 0 * self.w

    net = Flat()
    nn.init.constant_(net.w, 2.0)
    fit(net, graphs.path(), epochs=1, lr=0.1, weight_decay=0.5, optimizer=optimizer)  # type: ignore[arg-type]
    assert net.w.item() == pytest.approx(2 - 0.1 * 0.5 * 2 if optimizer == "adamw" else 2 - 0.1, abs=1e-5)


def test_clip_bounds_the_gradient(data: Dataset) -> None:
    def largest(clip: float | None) -> float:
        net, norms = objective("dgi"), []
        for _ in train(net, data, epochs=3, clip=clip):
            norms.append(math.sqrt(sum(float(p.grad.square().sum()) for p in net.parameters() if p.grad is not None)))
        return max(norms)

    free = largest(None)
    assert free > 1e-3
    assert largest(free / 10) == pytest.approx(free / 10, rel=1e-3)


def test_frozen_parameters_stay(data: Dataset) -> None:
    net = objective("dgi")
    frozen = net.encoder.blocks[0].conv.linear.weight.requires_grad_(False)
    before = frozen.clone()
    fit(net, data, epochs=3, lr=0.1, weight_decay=0.1)
    assert torch.equal(before, frozen)


# ---------------------------------------------------------------------- stopping


def test_patience_stops_and_restores_the_best() -> None:
    net = Slope([5.0, 4.0, 3.0, 3.5, 3.0, 9.0, 1.0])
    history = fit(net, graphs.path(), epochs=7, patience=3)
    assert history.loss == [5.0, 4.0, 3.0, 3.5, 3.0, 9.0]  # an equal loss is no better
    assert float(net.marker) == 2  # what gave the loss 3: the state after the second step


def test_patience_looks_at_the_mean_of_an_epoch() -> None:
    g = graphs.path()
    net = Slope([4.0, 2.0, 1.0, 4.5, 3.0, 2.9, 9.0, 9.0])
    history = fit(net, [g, g], epochs=4, patience=1)
    assert len(history) == 6  # means 3, 2.75, 2.95
    assert float(net.marker) == 2  # what the best epoch began with


def test_without_patience_the_last_state_stays() -> None:
    net = Slope([1.0, 2.0, 3.0])
    fit(net, graphs.path(), epochs=3)
    assert float(net.marker) == 3


def test_patience_restores_a_whole_objective(data: Dataset) -> None:
    net = objective("dgi")
    states, losses = [copy.deepcopy(net.state_dict())], []  # before each step
    for step in train(net, data, epochs=30, lr=0.5, patience=2):
        states.append(copy.deepcopy(net.state_dict()))
        losses.append(float(step.loss))
    best = min(range(len(losses)), key=losses.__getitem__)
    assert len(losses) == best + 3 < 30
    assert all(torch.equal(v, states[best][k]) for k, v in net.state_dict().items())


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_loss_that_is_not_finite_stops_the_run(value: float) -> None:
    net = Slope([1.0, 1.0, value, 1.0])
    for word in ("step 3 of 4", str(value), "lr"):
        net.calls = 0
        with pytest.raises(TrainingDiverged, match=word):
            fit(net, graphs.path(), epochs=4)
    assert net.w.isfinite()
    assert net.calls == 3


# ---------------------------------------------------------------------- data


def test_fit_is_train_drained(data: Dataset) -> None:
    first, second = objective(), objective()
    steps = list(train(first, data, epochs=4, lr=1e-2, warmup=0.5, schedule="cosine"))
    history = fit(second, data, epochs=4, lr=1e-2, warmup=0.5, schedule="cosine")
    assert history.loss == [float(s.loss) for s in steps]
    assert history.lr == [s.lr for s in steps]
    assert [s.number for s in steps] == [1, 2, 3, 4]
    assert {s.total for s in steps} == {4}
    assert all(s.seconds > 0 for s in steps)
    assert not any(s.loss.requires_grad for s in steps)
    assert all(torch.equal(a, b) for a, b in zip(first.state_dict().values(), second.state_dict().values(), strict=True))


def test_nothing_happens_before_the_first_step(data: Dataset) -> None:
    net = Slope()
    steps = train(net, data, epochs=3)
    assert net.calls == 0
    next(steps)
    assert net.calls == 1


def test_graph_dataset_list_and_loader(data: Dataset) -> None:
    g = data.graph
    runs = [fit(objective(), source, epochs=2).loss for source in (g, data, [g], (g,))]
    assert runs[0] == runs[1] == runs[2] == runs[3]
    loader = torch.utils.data.DataLoader([g, g, g], batch_size=None)  # a length and passes, no ``in``
    assert len(fit(objective(), loader, epochs=2)) == 6
    assert len(fit(objective("dgi", "layer"), GraphBatches([g, g, g], 2), epochs=2)) == 4


def test_generators_are_refused(data: Dataset) -> None:
    def endless() -> Iterator[Graph]:
        while True:
            yield data.graph

    for source in (endless(), iter([data.graph]), 3, map(Graph.of, [data.graph])):
        with pytest.raises(ValueError, match="batches must be .* length .*, got " + type(source).__name__):
            train(objective(), source, epochs=1)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="at least one graph"):
        as_batches([])


@pytest.mark.parametrize(
    ("name", "value", "allowed"),
    [
        ("epochs", 0, "at least 1"),
        ("lr", 0.0, "positive"),
        ("lr", math.nan, "positive"),
        ("lr", math.inf, "positive"),
        ("weight_decay", -1.0, "0 or more"),
        ("warmup", 1.0, r"\[0, 1\)"),
        ("warmup", -0.1, r"\[0, 1\)"),
        ("patience", 0, "at least 1"),
        ("clip", 0.0, "positive"),
        ("optimizer", "sgd", "adamw, adam"),
        ("schedule", "step", "cosine, constant"),
        ("precision", "fp16", "float32, bf16"),
    ],
)
def test_bad_arguments_are_named(name: str, value: object, allowed: str) -> None:
    with pytest.raises(ValueError, match=rf"{name} must be .*{allowed}.*, got '?{value}'?"):
        train(Slope(), graphs.path(), **{"epochs": 1, name: value})  # type: ignore[arg-type]


def test_unknown_options_are_refused() -> None:
    with pytest.raises(TypeError, match="learning_rate"):
        fit(Slope(), graphs.path(), epochs=1, learning_rate=3)


@each_method
def test_bf16(method: str, data: Dataset) -> None:
    net = objective(method)
    low = fit(net, data, epochs=6, precision="bf16").loss
    full = fit(objective(method), data, epochs=6).loss
    assert all(p.dtype == torch.float32 and p.isfinite().all() for p in net.parameters())
    assert low != full
    assert low == pytest.approx(full, rel=0.1, abs=0.1)
