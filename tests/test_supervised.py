"""Supervised training: which labels are seen, what moves, what is chosen by what, and the commands around it."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from checks import close
from torch import Tensor, nn

from graphssl import GIN, Dataset, Graph, GraphBatches, Split, fit, seeded, side_by_side
from graphssl.datasets import contextual_sbm
from graphssl.encoders import GNN
from graphssl.evaluation.metrics import measure
from graphssl.losses import node_graph_jsd
from graphssl.supervised import InfoGraphStar, PairedBatches, Supervised, draw_labels, finetune, predict, supervised_loss
from graphssl.supervised.compare import paired, spread
from graphssl.supervised.infograph_star import Pair
from graphssl.supervised.labels import Cycled, labelled_batches
from graphssl.supervised.objective import supervise
from graphssl.supervised.options import SemiRecipe
from graphssl.supervised.predicting import shown
from graphssl.supervised.semi import semi
from graphssl.supervised.tuning import graphs_of

NAN = math.nan
F = 3


def rings_and_paths(num: int = 24, task: str = "classification", metric: str | None = None, val: bool = True) -> Dataset:
    """Rings (class 1) and paths (class 0) of 4 to 9 nodes; as a regression, their sizes; as labels, both and a random one."""
    parts = []
    for k in range(num):
        n = 4 + k // 2 % 6
        ends = torch.arange(n if k % 2 else n - 1)
        pairs = torch.stack([ends, (ends + 1) % n])
        x = torch.randn(n, F, generator=torch.Generator().manual_seed(k)) / 10
        x[:, 0], x[:, 1] = 1 - 6.5 / n, torch.bincount(pairs.flatten(), minlength=n) == 1  # sums say which it is and how large
        parts.append(Graph.of((x, torch.cat([pairs, pairs.flip(0)], 1))))
    sizes = torch.tensor([g.num_nodes for g in parts]).float()
    classes = torch.arange(num) % 2
    y = {
        "classification": classes,
        "regression": torch.stack([sizes, 100 - 3 * sizes], 1),
        "multilabel": torch.stack([classes, (sizes > 6).long(), torch.arange(num) // 3 % 2], 1).float(),
    }[task]
    order = torch.randperm(num, generator=torch.Generator().manual_seed(0))
    cut = 3 * num // 4 if val else num // 2
    split = Split("mine", order[: num // 2], order[num // 2 : cut], order[cut:])
    metric = metric or {"classification": "accuracy", "regression": "rmse", "multilabel": "roc_auc"}[task]
    return Dataset("rings", (side_by_side(parts),), y, (split,), metric, level="graph")


def encoder(channels: tuple[int, ...] = (8, 8), seed: int = 0, **options: Any) -> GNN:
    with seeded(seed):
        return GIN(F, list(channels), **{"jk": "cat", "readout": "sum", "act": "relu", **options})


def states_equal(a: nn.Module, b: nn.Module) -> bool:
    first, second = a.state_dict(), b.state_dict()
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


# ---------------------------------------------------------------------- the loss


def by_hand(prediction: Tensor, y: Tensor, task: str, error: str) -> float:
    """A double loop over rows and columns."""
    losses = []
    for i in range(len(y)):
        if task == "classification":
            if y[i] >= 0:
                weights = [math.exp(v) for v in prediction[i].tolist()]
                losses.append(-math.log(weights[int(y[i])] / sum(weights)))
            continue
        for k in range(y.size(1)):
            p, t = float(prediction[i, k]), float(y[i, k])
            if math.isnan(t):
                continue
            if task == "multilabel":
                losses.append(-math.log(1 / (1 + math.exp(-p if t else p))))
            else:
                losses.append((p - t) ** 2 if error == "mse" else abs(p - t))
    return sum(losses) / len(losses) if losses else 0.0


Y = {
    "classification": torch.tensor([0, -1, 2, 1, -1]),
    "multilabel": torch.tensor([[0, 1, NAN], [1, NAN, NAN], [NAN, NAN, NAN], [0, 0, 1], [1, 1, 0]]),
    "regression": torch.tensor([[0.5, NAN, -2], [NAN, NAN, NAN], [1, 2, 3], [NAN, 0, NAN], [4, 0.25, -1]]),
}


@pytest.mark.parametrize(("task", "error"), [("classification", "mse"), ("multilabel", "mse"), ("regression", "mse"), ("regression", "l1")])
def test_loss_is_a_mean_over_what_is_known(task: Any, error: Any) -> None:
    prediction = torch.randn(5, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64, requires_grad=True)
    y = Y[task] if task == "classification" else Y[task].double()
    loss = supervised_loss(prediction, y, task, error=error)
    close(loss, torch.tensor(by_hand(prediction.detach(), y, task, error), dtype=torch.float64))
    (gradient,) = torch.autograd.grad(loss, prediction)
    assert torch.equal(gradient != 0, (y >= 0)[:, None].expand(5, 3) if task == "classification" else ~y.isnan())
    assert torch.autograd.gradcheck(lambda p: supervised_loss(p, y, task, error=error), prediction)


@pytest.mark.parametrize("task", Y)
def test_loss_without_any_label_is_zero_with_a_gradient(task: Any) -> None:
    prediction = torch.randn(5, 3, requires_grad=True)
    loss = supervised_loss(prediction, torch.full_like(Y[task], -1 if task == "classification" else NAN), task)
    assert loss.item() == 0
    (gradient,) = torch.autograd.grad(loss, prediction)
    assert torch.equal(gradient, torch.zeros(5, 3))


def test_loss_is_taken_in_full_precision() -> None:
    loss = supervised_loss(torch.zeros(2, 3, dtype=torch.bfloat16), torch.tensor([0, 1]), "classification")
    assert loss.dtype == torch.float32


@pytest.mark.parametrize(("task", "shape"), [("classification", (5, 3)), ("regression", (5,)), ("multilabel", (5, 2))])
def test_loss_refuses_shapes_that_disagree(task: Any, shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="y must be"):
        supervised_loss(torch.zeros(5, 3), torch.zeros(shape), task)


# ---------------------------------------------------------------------- the objective


def test_targets_are_scaled_by_the_training_rows_and_given_back_in_their_units() -> None:
    data = rings_and_paths(task="regression")
    rows = data.split.train
    with seeded(0):
        objective = supervise(encoder(), data, rows)
    close(objective.mean, data.y[rows].mean(0), 1e-6)
    close(objective.std, data.y[rows].std(0, unbiased=False), 1e-6)
    objective.eval()
    z = objective.graphs(data.graph)
    close(objective.predict(data.graph), objective.head(z) * objective.std + objective.mean, 1e-6)
    loss = objective(replace(data.graph, y=data.y))
    close(loss, (objective.head(z) - (data.y - objective.mean) / objective.std).square().mean(), 1e-5)


def test_a_constant_target_is_centred_alone() -> None:
    data = rings_and_paths(task="regression")
    data = replace(data, y=torch.full_like(data.y, 0.1))
    objective = supervise(encoder(), data, data.split.train)
    assert torch.equal(objective.std, torch.ones(2))


def test_a_target_without_a_value_in_training_is_refused() -> None:
    data = rings_and_paths(task="regression")
    y = data.y.clone()
    y[data.split.train, 1] = NAN
    with pytest.raises(ValueError, match="target '1' of rings has no value in the 12 training rows"):
        supervise(encoder(), replace(data, y=y), data.split.train)


def test_unlabelled_batches_train_nothing_and_missing_labels_are_refused() -> None:
    data = rings_and_paths()
    objective = supervise(encoder(), data, data.split.train)
    loss = objective(replace(data.graph, y=torch.full((24,), -1)))
    loss.backward()
    assert loss.item() == 0
    assert all(p.grad is None or not p.grad.any() for p in objective.parameters())
    with pytest.raises(ValueError, match="no labels y"):
        objective(data.graph)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"task": "ranking"}, "task"),
        ({"num_outputs": 1}, "num_outputs"),
        ({"dropout": 1.0}, "dropout"),
        ({"error": "huber"}, "error"),
    ],
)
def test_objective_refuses(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Supervised(encoder(), **{"task": "classification", "num_outputs": 2, **options})


def test_one_class_is_nothing_to_learn() -> None:
    data = rings_and_paths()
    with pytest.raises(ValueError, match="rings has one class"):
        supervise(encoder(), replace(data, y=torch.zeros(24, dtype=torch.long)), data.split.train)


# ---------------------------------------------------------------------- which labels


@pytest.mark.parametrize("share", [0.01, 0.1, 0.25, 0.5, 1.0])
@pytest.mark.parametrize("task", ["classification", "regression"])
def test_drawn_labels_are_a_share_of_the_training_rows(share: float, task: Any) -> None:
    y, rows = torch.arange(1000) % 10, torch.arange(300, 900)
    drawn = draw_labels(y, rows, share, task=task, seed=3)
    wanted = {0.01: 10 if task == "classification" else 6}.get(share, round(share * 600))
    assert len(drawn) == len(drawn.unique()) == wanted
    assert set(drawn.tolist()) <= set(rows.tolist())
    assert torch.equal(drawn, drawn.sort().values)
    if task == "classification":
        counts = torch.bincount(y[drawn])
        assert int(counts.max() - counts.min()) <= (share * 60 % 1 != 0)
    assert torch.equal(draw_labels(y, rows, share, task=task, seed=3), drawn)
    assert share == 1 or not torch.equal(draw_labels(y, rows, share, task=task, seed=4), drawn)


def test_draws_of_a_seed_are_nested_and_keep_rare_classes() -> None:
    y = (torch.arange(1000) % 50 == 0).long()
    few, more = (set(draw_labels(y, torch.arange(1000), share, seed=1).tolist()) for share in (0.02, 0.1))
    assert few < more
    assert sum(int(y[row]) for row in few) == 1
    assert sum(int(y[row]) for row in more) == 2
    uneven = torch.tensor([0] * 97 + [1, 2, 3])
    assert sorted(uneven[draw_labels(uneven, torch.arange(100), 0.04, seed=0)].tolist()) == [0, 1, 2, 3]


@pytest.mark.parametrize("share", [0.0, -0.1, 1.1])
def test_a_share_that_is_none(share: float) -> None:
    with pytest.raises(ValueError, match="share"):
        draw_labels(torch.zeros(4), torch.arange(4), share)


def test_batches_carry_the_labels_of_their_rows_and_no_others() -> None:
    data = rings_and_paths()
    data = replace(data, y=torch.arange(24))
    rows = data.split.train[:5]
    seen = [batch.y for batch in labelled_batches(data, rows, 2)]
    assert [len(y) for y in seen if y is not None] == [2, 2], "a last smaller batch is left out"
    (whole,) = labelled_batches(data, rows, 100)
    assert whole.y is not None
    assert sorted(whole.y.tolist()) == rows.tolist()


def test_at_node_level_other_labels_are_covered() -> None:
    data = contextual_sbm(40, 2, 4, degree=4, seed=0)
    (g,) = labelled_batches(data, torch.tensor([3, 7]), 100)
    assert g.y is not None
    assert (g.y >= 0).nonzero().squeeze(1).tolist() == [3, 7]
    assert torch.equal(g.y[[3, 7]], data.y[[3, 7]])


# ---------------------------------------------------------------------- fine-tuning


TASKS = ("classification", "regression", "multilabel")
each_task = pytest.mark.parametrize("task", TASKS)
QUICK: dict[str, Any] = {"epochs": 4, "lr": 0.01, "batch_size": 4}


@each_task
def test_labels_of_validation_and_test_rows_do_not_train(task: str) -> None:
    data = rings_and_paths(task=task)
    hidden = torch.cat([data.split.val, data.split.test])
    y = data.y.clone()
    y[hidden] = y[hidden].flip(0)
    assert not torch.equal(y, data.y), "the law needs labels that differ"
    without = replace(data.split, val=torch.empty(0, dtype=torch.long))
    trained = [finetune(encoder(), d, without, label_fraction=0.5, **QUICK) for d in (data, replace(data, y=y))]
    assert torch.equal(trained[0].predictions, trained[1].predictions)
    assert trained[0].loss == trained[1].loss
    assert states_equal(trained[0].objective, trained[1].objective)
    y = data.y.clone()
    y[data.split.test] = y[data.split.test].roll(1, 0)
    other = finetune(encoder(), replace(data, y=y), **QUICK)
    same = finetune(encoder(), data, **QUICK)
    assert torch.equal(same.predictions, other.predictions), "test labels chose something"
    assert same.val == other.val


@each_task
def test_it_learns(task: str) -> None:
    data = rings_and_paths(48, task=task)
    short, long = (finetune(encoder(norm="none"), data, epochs=epochs, lr=0.02, batch_size=8) for epochs in (1, 30))
    assert long.loss[-1] < 0.7 * long.loss[0]
    assert short.test is not None
    assert long.test is not None
    if task != "multilabel":  # of whose labels one is a matter of chance
        assert (long.test < 0.5 * short.test) if task == "regression" else (long.test > short.test)


@each_task
def test_what_is_told_is_what_the_model_gives(task: str) -> None:
    data = rings_and_paths(task=task)
    done = finetune(encoder(), data, **QUICK)
    again = predict(done.objective, graphs_of(data))
    assert torch.equal(again, done.predictions)
    split = data.split
    assert done.test == measure(data.metric, data.y[split.test], again[split.test])
    assert done.best_val == pytest.approx(measure(data.metric, data.y[split.val], again[split.val]))
    assert len(done.val) == len(done.loss) == 4
    best = min if task == "regression" else max
    assert done.best_val == best(v for v in done.val if v is not None)
    assert done.epoch == 1 + done.val.index(done.best_val), "the first of equals"
    assert done.selected == "best validation"
    last = finetune(encoder(), data, replace(split, val=torch.empty(0, dtype=torch.long)), **QUICK)
    assert (last.selected, last.epoch, last.test) == ("last", 4, done.test_last)
    assert last.val == (None,) * 4


def test_a_metric_that_is_undefined_on_validation_gives_way_to_the_loss() -> None:
    data = rings_and_paths(metric="roc_auc")
    classes = data.y[data.split.val]
    val, rest = data.split.val[classes == 1], data.split.val[classes == 0]
    split = Split("one class", data.split.train, val, torch.cat([data.split.test, rest]))
    done = finetune(encoder(), data, split, **QUICK)
    assert done.selected == "best validation"
    assert done.val == (None,) * 4
    alone = Split("one test class", data.split.train, val, data.split.test[data.y[data.split.test] == 0])
    assert finetune(encoder(), data, alone, **QUICK).test is None


def test_the_encoder_that_is_given_stays_as_it_is_and_starts_differ_in_nothing_else() -> None:
    data, net = rings_and_paths(), encoder()
    before = copy.deepcopy(net)
    first, second = (finetune(start, data, seed=7, label_fraction=0.5, epochs=1, lr=1e-9, batch_size=4) for start in (net, encoder(seed=1)))
    assert states_equal(net, before)
    assert all(p.requires_grad for p in net.parameters())
    close(first.objective.head.weight, second.objective.head.weight, 1e-6)
    assert torch.equal(first.rows, second.rows)
    assert not torch.equal(first.predictions, second.predictions)
    other = finetune(net, data, seed=8, label_fraction=0.5, epochs=1, lr=1e-9, batch_size=4)
    assert not torch.allclose(other.objective.head.weight, first.objective.head.weight)
    assert not torch.equal(other.rows, first.rows)


def test_frozen_encoders_stay_to_the_bit_and_the_head_moves() -> None:
    data, net = rings_and_paths(), encoder(norm="batch")
    done = finetune(net, data, freeze=True, dropout=0.5, **QUICK)
    assert states_equal(done.objective.encoder, net), "parameters or batch statistics moved"
    fresh = finetune(net, data, freeze=True, epochs=1, lr=1e-12)
    assert not torch.allclose(done.objective.head.weight, fresh.objective.head.weight, atol=1e-4)
    moved = finetune(net, data, **QUICK)
    assert not states_equal(moved.objective.encoder, net)


def test_dropout_reaches_encoder_and_head_and_not_predictions() -> None:
    data = rings_and_paths()
    objective = supervise(encoder(), data, data.split.train, dropout=0.5)
    assert (objective.encoder.dropout, objective.dropout) == (0.5, 0.5)
    g = replace(data.graph, y=data.y)
    objective.train()
    assert not torch.equal(objective(g), objective(g))
    assert torch.equal(predict(objective, [g]), predict(objective, [g]))
    assert objective.training


def test_trainings_repeat_and_leave_the_generator_alone() -> None:
    data = rings_and_paths()
    torch.manual_seed(5)
    state = torch.get_rng_state()
    first = finetune(encoder(), data, dropout=0.3, seed=2, **QUICK)
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(6)
    assert torch.equal(finetune(encoder(), data, dropout=0.3, seed=2, **QUICK).predictions, first.predictions)


def test_node_level() -> None:
    data = contextual_sbm(120, 3, F, degree=8, seed=0)
    steps: list[int] = []
    done = finetune(encoder(readout="mean"), data, epochs=30, lr=0.01, label_fraction=0.5, on_step=lambda step: steps.append(step.number))
    assert steps == list(range(1, 31))
    assert done.predictions.shape == (120, 3)
    assert done.test is not None
    assert done.test > 0.5
    assert len(done.rows) == round(0.5 * len(data.split.train))


def test_few_rows_and_large_batches() -> None:
    data = rings_and_paths()
    done = finetune(encoder(), data, label_fraction=0.01, epochs=2, batch_size=512)
    assert len(done.rows) == 2
    assert sorted(data.y[done.rows].tolist()) == [0, 1]
    with pytest.raises(ValueError, match="batch_size"):
        finetune(encoder(), data, batch_size=0)


# ---------------------------------------------------------------------- InfoGraph*


def star(task: str = "classification", **options: Any) -> tuple[InfoGraphStar, Pair]:
    data = rings_and_paths(task=task)
    with seeded(0):
        objective = InfoGraphStar(supervise(encoder(), data, data.split.train), encoder(seed=1), **options)
    rows = data.split.train[:6]
    return objective, Pair(replace(data.graph.keep_graphs(rows), y=data.y[rows]), data.graph)


def moved_by(loss: Tensor, objective: InfoGraphStar, above: float = 0.0) -> set[str]:
    """The parts of the objective that a loss sends a gradient to."""
    names = [name.split(".")[0] for name, _ in objective.named_parameters()]
    gradients = torch.autograd.grad(loss, list(objective.parameters()), allow_unused=True)
    return {name for name, g in zip(names, gradients, strict=True) if g is not None and float(g.abs().max()) > above}


def test_each_loss_reaches_whom_it_should() -> None:
    objective, pair = star()
    g = pair.unlabelled
    f_side, g_side = objective.graphs(g), objective.graphs(g, objective.other)
    assert moved_by(objective.tied(f_side, g_side), objective) == {"supervised", "other", "ours", "theirs"}
    assert moved_by(objective.supervised(pair.labelled), objective) == {"supervised"}
    alone, pair = star(weight=0.0)
    difference = alone(pair) - alone.supervised(pair.labelled)
    assert moved_by(difference, alone, above=1e-6) == {"other", "local", "summary"}


def test_loss_is_the_sum_of_its_parts() -> None:
    objective, pair = star(weight=0.25, unsupervised=2.0, task="regression")
    objective.eval()
    g = pair.unlabelled
    h = objective.nodes(g, objective.other)
    s = objective.graphs(g, objective.other)
    unsupervised = node_graph_jsd(objective.local(h), objective.summary(s), g.graph_ids)
    f, own = objective.graphs(g), torch.arange(24)
    ties = [node_graph_jsd(objective.ours[k](f[:, 8 * k : 8 * k + 8]), objective.theirs[k](s[:, 8 * k : 8 * k + 8]), own) for k in range(2)]
    expected = objective.supervised(pair.labelled) + 2 * unsupervised + 0.25 * (ties[0] + ties[1]) / 2
    close(objective(pair), expected, 1e-6)


def test_scores_of_zero_tie_nothing() -> None:
    objective, pair = star()
    for part in (*objective.ours, *objective.theirs):
        for p in part.parameters():
            nn.init.zeros_(p)
    f, g = objective.graphs(pair.unlabelled), objective.graphs(pair.unlabelled, objective.other)
    assert objective.tied(f, g).item() == pytest.approx(0, abs=1e-6)


def test_without_its_terms_it_is_supervised_training_to_the_bit() -> None:
    data = rings_and_paths(48)
    off, on = (SemiRecipe(epochs=4, batch_size=4, unlabelled_batch=8, channels=(8, 8), weight=w, unsupervised=w) for w in (0.0, 1.0))
    alone = semi(data, data.split, off, alone=True, seed=3)
    star_off, star_on = (semi(data, data.split, recipe, seed=3) for recipe in (off, on))
    assert alone.loss == star_off.loss
    assert alone.val == star_off.val
    assert states_equal(alone.objective, star_off.objective)
    assert torch.equal(alone.predictions, star_off.predictions)
    assert torch.equal(star_on.rows, alone.rows)
    assert not torch.equal(star_on.predictions, alone.predictions)


def test_the_loss_falls_and_the_tie_draws_the_encoders_together() -> None:
    data = rings_and_paths(48)
    with seeded(0):
        objective = InfoGraphStar(supervise(encoder(), data, data.split.train), encoder(seed=1), weight=1.0)
    labelled = GraphBatches(replace(data.graph, y=data.y), 16, drop_last=True)
    pairs: Any = PairedBatches(labelled, GraphBatches(data.graph, 24))

    def tie() -> float:
        objective.eval()
        with torch.no_grad():
            return float(objective.tied(objective.graphs(data.graph), objective.graphs(data.graph, objective.other)))

    before = tie()
    history = fit(objective, pairs, epochs=30, lr=3e-3)
    assert history.loss[-1] < history.loss[0] - 0.1
    assert tie() < before - 0.05


@pytest.mark.parametrize(("labelled", "unlabelled"), [(6, 20), (20, 6), (2, 2)])
def test_pairs_go_round_the_shorter_side(labelled: int, unlabelled: int) -> None:
    data = rings_and_paths()
    rows = torch.arange(labelled)
    left = GraphBatches(replace(data.graph.keep_graphs(rows), y=data.y[rows]), 2)
    right = GraphBatches(data.graph.keep_graphs(torch.arange(unlabelled)), 2)
    pairs = PairedBatches(left, right)
    seen = list(pairs)
    assert len(seen) == len(pairs) == max(labelled, unlabelled) // 2
    assert all(pair.unlabelled.y is None and pair.labelled.y is not None for pair in seen)
    for side, count in (("labelled", labelled), ("unlabelled", unlabelled)):
        nodes = torch.cat([getattr(pair, side).node_ids for pair in seen])
        assert len(nodes.unique()) == int(data.graph.node_ptr[count]), f"some {side} graph never came"


def test_the_labelled_side_comes_as_it_would_alone() -> None:
    data = rings_and_paths()
    left = GraphBatches(replace(data.graph, y=data.y), 5)
    with seeded(1):
        alone = [batch.node_ids for batch in Cycled(left, 12)]
    with seeded(1):
        paired_ones = [pair.labelled.node_ids for pair in PairedBatches(left, GraphBatches(data.graph, 2))]
    assert all(torch.equal(a, b) for a, b in zip(alone, paired_ones, strict=True))


def test_unlabelled_graphs_are_those_of_neither_validation_nor_test(monkeypatch: pytest.MonkeyPatch) -> None:
    import graphssl.supervised.semi as module

    data = rings_and_paths()
    for transductive, expected in ((False, sorted(data.split.train.tolist())), (True, list(range(24)))):
        seen: list[list[int]] = []
        keep = Graph.keep_graphs
        monkeypatch.setattr(
            Graph, "keep_graphs", lambda g, index, seen=seen, keep=keep: (seen.append(sorted(index.tolist())), keep(g, index))[1]
        )
        recipe = SemiRecipe(epochs=1, batch_size=4, channels=(4,), transductive=transductive, labels=0.5)
        rows = module._unlabelled(data, data.split, recipe)
        assert rows.tolist() == expected
        monkeypatch.undo()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda f, g: InfoGraphStar(f, g, weight=-1), "weight"),
        (lambda f, g: InfoGraphStar(f, g, unsupervised=-1), "unsupervised"),
        (lambda f, g: InfoGraphStar(f, g, tie="all"), "tie"),  # type: ignore[arg-type]
        (lambda f, g: InfoGraphStar(f, encoder((8,))), "one shape"),
        (lambda f, g: InfoGraphStar(Supervised(encoder(jk="last"), "classification", 2), encoder(jk="last")), "jk='cat'"),
        (lambda f, g: InfoGraphStar(Supervised(encoder(readout="set2set"), "classification", 2), encoder(readout="set2set")), "readout"),
        (lambda f, g: InfoGraphStar(Supervised(encoder(), "classification", 2, level="node"), g), "level"),
    ],
)
def test_infograph_star_refuses(make: Callable[[Supervised, GNN], InfoGraphStar], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make(Supervised(encoder(), "classification", 2), encoder())


def test_a_tie_of_the_last_layer_takes_any_readout() -> None:
    objective, pair = star()
    f, g = (encoder(readout="set2set", jk="last", seed=k) for k in range(2))
    other = InfoGraphStar(Supervised(f, "classification", 2), g, tie="last")
    assert len(other.ours) == 1
    assert other(pair).isfinite()
    assert len(objective.ours) == 2
    assert torch.equal(objective.predict(pair.unlabelled), objective.supervised.predict(pair.unlabelled))


# ---------------------------------------------------------------------- side by side


def test_spread_and_paired_difference() -> None:
    first, second = [[0.9, 0.7], [0.8, 0.8], [0.7, 0.9]], [[0.8, 0.7], [0.7, 0.7], [0.6, 0.8]]
    told = spread(first)
    assert told["mean"] == pytest.approx(0.8)
    assert told["std_splits"] == pytest.approx((np.std([0.9, 0.7], ddof=1) * 2) / 3)
    found = paired(first, second)
    differences = np.array([0.05, 0.1, 0.1])
    half = 4.302652729911275 * differences.std(ddof=1) / math.sqrt(3)
    assert found["mean"] == pytest.approx(differences.mean())
    assert (found["low"], found["high"]) == pytest.approx((differences.mean() - half, differences.mean() + half))
    assert paired(first[:1], second[:1])["low"] is None
    assert paired([[None]], [[1.0]])["mean"] is None
    assert spread([[None, 1.0]]) == {"mean": None, "std_splits": None, "std_seeds": None}


def test_shown_probabilities() -> None:
    logits = torch.tensor([[0.0, 2.0], [1.0, -1.0]])
    close(shown(logits, "classification"), (logits[:, 1] - logits[:, 0]).sigmoid()[:, None], 1e-6)
    close(shown(logits, "multilabel"), logits.sigmoid(), 1e-6)
    close(shown(torch.zeros(1, 3), "classification"), torch.full((1, 3), 1 / 3), 1e-6)
    assert torch.equal(shown(logits, "regression"), logits)
