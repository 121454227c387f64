"""Meta-parameterised pre-training: relaxed augmentations, hyper-steps that leave training alone, gradients that are right, what is read."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import graphs
import pytest
import torch
from checks import close

import graphssl as gs
from graphssl import BGRL, DGI, GCN, GRACE, Compose, Dataset, MaskFeatures, fit, load, seeded
from graphssl.adjacency import CSR
from graphssl.batches import side_by_side
from graphssl.cli import main
from graphssl.cli_tune import methods
from graphssl.datasets import contextual_sbm
from graphssl.objectives import Objective
from graphssl.recipes import DEFAULTS
from graphssl.relaxed import RelaxedDropEdges, RelaxedMaskFeatures
from graphssl.training import train
from graphssl.tuning import Weighted, _labels, head_loss, look, tunable, tune

each_graph = pytest.mark.parametrize("kind", graphs.GRAPHS)
SOLVER: dict[str, Any] = {"method": "neumann", "steps": 1, "lr": 0.1, "damping": 0.0, "products": "differences"}


@pytest.fixture(scope="module")
def data() -> Dataset:
    whole = contextual_sbm(90, 3, 8, degree=6, seed=0)
    order = torch.randperm(90, generator=torch.Generator().manual_seed(0))
    split = gs.Split("thirds", *(part.sort().values for part in order.split(30)))
    return replace(whole, splits=(split,))


def made(method: str, views: tuple[Any, ...] | None = None, seed: int = 0) -> Objective:
    drop, mask = RelaxedDropEdges(0.3), RelaxedMaskFeatures(0.2)
    views = views or (Compose(drop, mask), RelaxedDropEdges(0.4))
    with seeded(seed):
        net = GCN(8, [8, 4], norm="batch", act="tanh")
        if method == "weighted":
            return Weighted([DGI(net), GRACE(net, views, hidden=4)])
        return BGRL(net, views, hidden=4) if method == "bgrl" else GRACE(net, views, hidden=4)


# ---------------------------------------------------------------------- relaxed augmentations


@each_graph
def test_relaxed_views_keep_the_graph_and_weigh_it(kind: str) -> None:
    g = graphs.GRAPHS[kind]()
    for view in (RelaxedDropEdges(0.3), RelaxedMaskFeatures(0.3)):
        seen = view(g)
        assert torch.equal(seen.edge_index, g.edge_index)
        assert seen.num_seeds == g.num_seeds
    seen = RelaxedDropEdges(0.3)(g)
    share = seen.weights / g.weights
    loop = g.edge_index[0] == g.edge_index[1]
    assert torch.equal(share[loop], torch.ones(int(loop.sum())))
    assert ((share[~loop] > 0) & (share[~loop] < 1)).all()
    if g.reverse is not None:
        close(share, share[g.reverse], 1e-6)


@pytest.mark.parametrize("p", [0.1, 0.5, 0.8])
@pytest.mark.parametrize("temperature", [0.2, 1.0])
def test_a_soft_coin_falls_as_often_as_a_hard_one(p: float, temperature: float) -> None:
    torch.manual_seed(0)
    g = graphs.undirected(100, 2000)
    lost = (RelaxedDropEdges(p, temperature=temperature)(g).weights < 0.5).double().mean()
    assert abs(float(lost) - p) < 4 * (p * (1 - p) / 2000) ** 0.5
    x = g.with_x(torch.ones(100, 3000))
    lost = (RelaxedMaskFeatures(p, temperature=temperature)(x).dense_x()[0] < 0.5).double().mean()
    assert abs(float(lost) - p) < 4 * (p * (1 - p) / 3000) ** 0.5


def test_a_low_temperature_is_nearly_a_coin() -> None:
    torch.manual_seed(0)
    w = RelaxedDropEdges(0.4, temperature=1e-3)(graphs.undirected(40, 300)).weights
    assert (w.minimum(1 - w) < 1e-6).double().mean() > 0.98


def test_graphs_of_a_batch_have_draws_of_their_own() -> None:
    g = side_by_side([graphs.path().with_x(torch.ones(graphs.N, 4))] * 3)
    x = RelaxedMaskFeatures(0.5)(g).dense_x().view(3, graphs.N, 4)
    assert torch.equal(x, x[:, :1].expand_as(x))
    assert not torch.allclose(x[0, 0], x[1, 0])


def test_sparse_features_are_masked_as_dense_ones() -> None:
    view, g = RelaxedMaskFeatures(torch.full((graphs.F,), 0.3)), graphs.sparse()
    with seeded(0):
        sparse = view(g).x
    with seeded(0):
        dense = view(g.with_x(g.dense_x())).x
    assert isinstance(sparse, CSR)
    close(sparse.to_dense(), dense, 1e-6)


@each_graph
def test_gradients_reach_the_probabilities(kind: str) -> None:
    g = graphs.GRAPHS[kind]()
    views = (RelaxedDropEdges(0.3), RelaxedMaskFeatures(0.3))
    torch.manual_seed(0)
    net = GCN(graphs.F, [4], norm="none", act="tanh")
    for view in views:
        view.logit.requires_grad_()
        (grad,) = torch.autograd.grad(net(view(g)).square().sum(), view.logit, allow_unused=True)
        assert grad is not None
        assert grad.isfinite()
        assert grad != 0 or g.num_edges == 0


def test_more_dropping_is_a_smaller_sum() -> None:
    """The sign: a higher probability leaves less of the edges."""
    view = RelaxedDropEdges(0.3)
    view.logit.requires_grad_()
    (grad,) = torch.autograd.grad(view(graphs.undirected()).weights.sum(), view.logit)
    assert grad < 0


def test_settled_views_have_coins() -> None:
    assert RelaxedDropEdges(0.25).settled() == gs.DropEdges(0.25)
    assert RelaxedMaskFeatures(0.75).settled() == MaskFeatures(0.75)
    with pytest.raises(ValueError, match="each column has its own"):
        RelaxedMaskFeatures(torch.tensor([0.1, 0.2])).settled()


@pytest.mark.parametrize("p", [0.0, 1.0, -0.5, float("nan")])
@pytest.mark.parametrize("kind", [RelaxedDropEdges, RelaxedMaskFeatures])
def test_bad_probabilities_are_refused(kind: Any, p: float) -> None:
    with pytest.raises(ValueError, match="p must lie between 0 and 1"):
        kind(p)
    with pytest.raises(ValueError, match="temperature must be positive"):
        kind(0.5, temperature=0.0)


def test_columns_must_be_those_of_the_graph() -> None:
    with pytest.raises(ValueError, match="p has 2 columns, and the graph 6"):
        RelaxedMaskFeatures(torch.tensor([0.1, 0.2]))(graphs.path())


# ---------------------------------------------------------------------- several objectives


def test_weighted_is_the_weighted_sum(data: Dataset) -> None:
    both = made("weighted")
    one, other = both.objectives
    both.logits.copy_(torch.tensor([3.0, 1.0]).log())
    assert both.weights == [1.5, 0.5]
    with seeded(1):
        found = both(data.graph)
    with seeded(1):
        close(found, 1.5 * one(data.graph) + 0.5 * other(data.graph), 1e-6)
    assert set(tunable(both)) == {"weights", "objectives.1.drop_edges.0", "objectives.1.mask_features.0", "objectives.1.drop_edges.1"}


def test_weighted_hands_the_hooks_on(data: Dataset) -> None:
    with seeded(0):
        net = GCN(8, [4], norm="none")
        bgrl = BGRL(net, (gs.DropEdges(0.2),) * 2, hidden=4)
        both = Weighted([bgrl, DGI(net)])
    before = [p.clone() for p in bgrl.target.parameters()]
    fit(both, data, epochs=2)
    assert not all(torch.equal(a, b) for a, b in zip(before, bgrl.target.parameters(), strict=True))


def test_weighted_refuses_two_encoders() -> None:
    first, second = (DGI(GCN(4, [4])) for _ in range(2))
    with pytest.raises(ValueError, match="two or more that train one encoder"):
        Weighted([first, second])
    with pytest.raises(ValueError, match="two or more"):
        Weighted([first])
    with pytest.raises(ValueError, match="weights must be 2 positive numbers"):
        Weighted([first, DGI(first.encoder)], weights=(1, 0))


# ---------------------------------------------------------------------- looks at validation


def test_the_head_is_its_formula(data: Dataset) -> None:
    """One step from zero: the weights are ``lr`` times the mean of features times what the uniform prediction misses."""
    h, labels = torch.randn(90, 5, generator=torch.Generator().manual_seed(0)), _labels(data, None)
    z = (h - h.mean(0)) / (h.var(0, correction=0) + 1e-5).sqrt() / 5**0.5
    missed = torch.nn.functional.one_hot(data.y[labels.train], 3) - 1 / 3
    w, b = 2.0 * missed.T @ z[labels.train] / 30, 2.0 * missed.mean(0)
    expected = torch.nn.functional.cross_entropy(z[labels.val] @ w.T + b, data.y[labels.val])
    close(head_loss(h, labels, steps=1, lr=2.0), expected, 1e-5)
    assert head_loss(h, labels, steps=1, lr=1e-9).item() == pytest.approx(torch.tensor(3.0).log().item(), abs=1e-4)


def test_the_head_is_differentiated_through_its_steps(data: Dataset) -> None:
    labels = _labels(data, None)
    h = torch.randn(90, 3, generator=torch.Generator().manual_seed(0)).requires_grad_()
    (grad,) = torch.autograd.grad(head_loss(h, labels, steps=4, lr=2.0), h)
    for i in (int(labels.train[0]), int(labels.val[0])):
        e = torch.zeros(90, 3)
        e[i, 1] = 1e-2
        up, down = (head_loss((h + s * e).detach(), labels, steps=4, lr=2.0).detach() for s in (1, -1))
        assert float(grad[i, 1]) == pytest.approx(float(up - down) / 2e-2, rel=0.05, abs=2e-5)


@pytest.mark.parametrize("method", ["grace", "weighted"])
def test_hypergradients_agree_with_what_one_step_of_training_does(method: str, data: Dataset) -> None:
    """With no term of the series they are the slope of the validation loss after one step of plain gradient descent, in the limit."""
    objective, labels = made(method).double(), _labels(data, None)
    g = replace(data.graph, x=data.graph.dense_x().double())
    found = tunable(objective)
    for one in found.values():
        one.tensor.data = one.tensor.data.double()
    hyper = [one.tensor for one in found.values()]
    lr, draw = 1e-3, 5
    with seeded(draw):
        value, grads = look(objective, g, labels, 5, 2.0, {**SOLVER, "steps": 0, "lr": lr}, hyper)
    with seeded(draw):
        inner_seed = int(torch.randint(2**31, ()))

    def after(k: int, change: float) -> float:
        net = made(method).double()
        net.load_state_dict(objective.state_dict())
        mine = list(tunable(net).values())
        for one, x in zip(mine, hyper, strict=True):
            one.tensor.data = x.detach().clone()
        flat = mine[k].tensor.reshape(-1)
        flat[0] += change
        params = [p for p in net.parameters() if p.requires_grad]
        with seeded(inner_seed):
            slope = torch.autograd.grad(net.train()(g), params)
        with torch.no_grad():
            for p, d in zip(params, slope, strict=True):
                p -= lr * d
        net.load_state_dict({**net.state_dict(), **dict(objective.named_buffers())})
        return float(head_loss(net.encoder.eval()(g), labels, steps=5, lr=2.0).detach())

    assert value > 0
    for k, grad in enumerate(grads):
        slope = (after(k, 0.1) - after(k, -0.1)) / 0.2
        assert float(grad.reshape(-1)[0]) == pytest.approx(slope, rel=0.1, abs=1e-8), list(found)[k]


def test_a_look_leaves_the_objective_as_it_was(data: Dataset) -> None:
    objective = made("weighted")
    before = {name: x.clone() for name, x in objective.state_dict().items()}
    values = {name: one.read() for name, one in tunable(objective).items()}
    torch.manual_seed(3)
    look(objective, data.graph, _labels(data, None), 3, 1.0, SOLVER, [one.tensor for one in tunable(objective).values()])
    assert all(torch.equal(before[name], x) for name, x in objective.state_dict().items())
    assert all(p.grad is None for p in objective.parameters())
    assert {name: one.read() for name, one in tunable(objective).items()} == values
    assert not any(one.tensor.requires_grad for one in tunable(objective).values())


def test_views_of_no_influence_get_no_gradient(data: Dataset) -> None:
    """The pre-training loss does not depend on a view that it does not draw."""
    objective, idle = made("grace"), RelaxedDropEdges(0.3)
    _, grads = look(objective, data.graph, _labels(data, None), 3, 1.0, SOLVER, [tunable(objective)["drop_edges.0"].tensor, idle.logit])
    assert grads[0] != 0
    assert grads[1] == 0


# ---------------------------------------------------------------------- tune


@pytest.mark.parametrize("method", ["grace", "bgrl", "weighted"])
def test_no_hyper_lr_is_plain_pretraining_to_the_bit(method: str, data: Dataset) -> None:
    plain, still, tuned = (made(method) for _ in range(3))
    history = fit(plain, data, epochs=9, lr=1e-2, seed=4)
    found = tune(still, data, epochs=9, lr=1e-2, seed=4, every=3, start=0, hyper_lr=0.0)
    assert found.history.loss == history.loss
    assert all(torch.equal(a, b) for a, b in zip(plain.state_dict().values(), still.state_dict().values(), strict=True))
    assert len(found.validation) == 3
    assert all(value == values[0] for values in found.values.values() for value in values)
    moved = tune(tuned, data, epochs=9, lr=1e-2, seed=4, every=3, start=0, hyper_lr=0.5)
    assert moved.history.loss[:3] == history.loss[:3]
    assert moved.history.loss != history.loss
    assert all(values[-1] != values[0] for values in moved.values.values())


def test_looks_begin_after_the_start(data: Dataset) -> None:
    tuned = tune(made("grace"), data, epochs=20, every=4, start=8)
    assert len(tuned.validation) == 3
    assert len(tuned.history) == 20
    again = tune(made("grace"), data, epochs=20, every=4, start=8)
    assert again.values == tuned.values


def test_test_labels_are_never_read(data: Dataset) -> None:
    y = data.y.clone()
    y[data.split.test] = y[data.split.test].roll(1)
    first, second = (tune(made("grace"), d, epochs=12, every=4, start=0) for d in (data, replace(data, y=y)))
    assert first.values == second.values
    y = data.y.clone()
    y[data.split.val] = y[data.split.val].roll(1)
    assert tune(made("grace"), replace(data, y=y), epochs=12, every=4, start=0).values != first.values


def test_probabilities_stay_between_the_ends(data: Dataset) -> None:
    tuned = tune(made("grace"), data, epochs=10, every=1, start=0, hyper_lr=50.0)
    assert {value for values in tuned.values.values() for value in values[-1:]} <= {0.01, 0.99}


def test_one_view_twice_is_tuned_once() -> None:
    view = RelaxedDropEdges(0.3)
    assert list(tunable(made("grace", (view, view)))) == ["drop_edges.0"]
    assert list(tunable(made("grace", (Compose(view, RelaxedDropEdges(0.1)), view)))) == ["drop_edges.0", "drop_edges.0'"]


@pytest.mark.parametrize("method", ["cg", "identity"])
def test_other_inverses(method: Any, data: Dataset) -> None:
    tuned = tune(made("grace"), data, epochs=4, every=2, start=0, method=method, terms=2, damping=1.0)
    assert torch.tensor(tuned.validation).isfinite().all()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"every": 0}, "every must be at least 1"),
        ({"start": -1}, "start must be 0 or more"),
        ({"hyper_lr": -1.0}, "hyper_lr must be 0 or more"),
        ({"head_steps": 0}, "head_steps must be at least 1"),
        ({"head_lr": 0.0}, "head_lr must be positive"),
        ({"split": gs.Split("none", torch.arange(3), torch.arange(0), torch.arange(3, 6))}, "train and validation nodes, got 3 and 0"),
    ],
)
def test_bad_arguments_are_refused(options: dict[str, Any], message: str, data: Dataset) -> None:
    with pytest.raises(ValueError, match=message):
        tune(made("grace"), data, epochs=2, **options)


def test_nothing_to_tune_is_refused(data: Dataset) -> None:
    with pytest.raises(ValueError, match="nothing to tune"):
        tune(made("grace", (gs.DropEdges(0.1), gs.DropEdges(0.1))), data, epochs=2)
    with pytest.raises(ValueError, match="one graph with a class for each node"):
        tune(made("grace"), load("motifs"), epochs=2)


def test_the_training_generator_is_that_of_train(data: Dataset) -> None:
    assert len(list(train(made("grace"), data, epochs=2))) == len(tune(made("grace"), data, epochs=2).history)


# ---------------------------------------------------------------------- the command


def call(*args: object) -> int:
    return main([str(arg) for arg in args])


SMALL = ("--channels", 8, "--hidden", 8, "--epochs", 12, "--start", 4, "--every", 4, "--hyper-lr", 0.3)


def test_the_command_tells_the_flags_of_train(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert call("tune", "grace", "sbm", *SMALL, "--drop-edges", 0.3, 0.0, "--labels", 0.5, "--out", tmp_path / "t.json") == 0
    told = capsys.readouterr().out.splitlines()
    record = json.loads((tmp_path / "t.json").read_text())
    assert told[-1] == record["train"]
    assert len(record["validation"]) == 2
    assert set(record["values"]) == {"drop_edges.0", "mask_features.0", "mask_features.1"}
    assert record["drop_edges"][1] == 0
    assert record["drop_edges"][0] == pytest.approx(record["values"]["drop_edges.0"][-1], abs=1e-4) != 0.3
    assert call(*record["train"].split()[1:], "--quiet") == 0
    run = json.loads((tmp_path / "runs" / "grace-sbm-1" / "run.json").read_text())
    assert run["recipe"]["drop_edges"] == record["drop_edges"]
    assert run["recipe"]["mask_features"] == record["mask_features"]
    assert run["recipe"]["channels"] == [8]


@pytest.mark.parametrize("method", methods())
def test_every_method_with_two_views(method: str, capsys: pytest.CaptureFixture[str]) -> None:
    hidden = ("--hidden", 8) if "hidden" in type(DEFAULTS[method]).model_fields else ()
    more = ("--drop-edges", 0.2, 0.2, "--mask-features", 0.2, 0.2, "--mask", "column", "--channels", 8, *hidden)
    assert call("tune", method, "sbm", "--epochs", 3, "--start", 0, "--every", 2, *more, "--json") == 0
    assert json.loads(capsys.readouterr().out)["validation"]


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (("dgi", "sbm"), "tune is for methods with two augmented views, and dgi has none; allowed: "),
        (("grace", "sbm", "--epochs", 3), "epochs must be at least start + every, 20, got 3"),
        (("grace", "sbm", "--drop-edges", 0, 0, "--mask-features", 0, 0), "all 0"),
        (("grace", "sbm", "--mask", "entry"), "tune is for adaptive none and mask column, got none and entry"),
        (("grace", "sbm", "--batches", "partitions"), "tune sees the graph whole"),
        (("grace", "sbm", "--hyper-l", 3), "did you mean 'hyper-lr'"),
        (("grace",), "usage: graphssl tune METHOD DATASET"),
    ],
)
def test_the_command_refuses(args: tuple[Any, ...], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert call("tune", *args) == 2
    assert message in capsys.readouterr().err
