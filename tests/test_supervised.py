"""Supervised training: which labels are seen, what moves, what is chosen by what, and the commands around it."""

from __future__ import annotations

import copy
import csv
import json
import math
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import networkx as nx
import numpy as np
import pytest
import torch
from checks import close
from torch import Tensor, nn

from graphssl import GIN, Dataset, Graph, GraphBatches, Split, fit, seeded, side_by_side
from graphssl.cli import main
from graphssl.datasets import contextual_sbm
from graphssl.encoders import GNN
from graphssl.evaluation.metrics import measure
from graphssl.losses import node_graph_jsd
from graphssl.progress import Silent
from graphssl.runs import load_run
from graphssl.supervised import InfoGraphStar, PairedBatches, Supervised, draw_labels, finetune, predict, supervised_loss
from graphssl.supervised.compare import paired, spread
from graphssl.supervised.infograph_star import Pair
from graphssl.supervised.labels import Cycled, labelled_batches
from graphssl.supervised.models import load_models, target_record
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


def test_columns_say_of_which_class_the_probability_is() -> None:
    data = rings_and_paths()
    assert target_record(data)["columns"] == ["class=1"]
    assert target_record(data)["classes"] is None
    named = replace(data, classes=("path", "ring"), targets=("kind",))
    assert (target_record(named)["columns"], target_record(named)["classes"]) == (["kind=ring"], ["path", "ring"])
    three = replace(data, y=torch.arange(24) % 3, classes=("a", "b", "c"))
    assert target_record(three)["columns"] == ["class=a", "class=b", "class=c"]
    assert target_record(rings_and_paths(task="multilabel"))["columns"] == ["target_0", "target_1", "target_2"]


def test_shown_probabilities() -> None:
    logits = torch.tensor([[0.0, 2.0], [1.0, -1.0]])
    close(shown(logits, "classification"), (logits[:, 1] - logits[:, 0]).sigmoid()[:, None], 1e-6)
    close(shown(logits, "multilabel"), logits.sigmoid(), 1e-6)
    close(shown(torch.zeros(1, 3), "classification"), torch.full((1, 3), 1 / 3), 1e-6)
    assert torch.equal(shown(logits, "regression"), logits)


# ---------------------------------------------------------------------- the commands


QUICK_FLAGS = ("--epochs", 2, "--num-splits", 2, "--batch-size", 8, "--quiet")


def call(*args: object) -> int:
    """The command inside this process; its exit code."""
    try:
        return main([str(a) for a in args])
    except SystemExit as stop:
        return int(stop.code or 0)


def graph_folder(folder: Path, num: int = 30, extra: bool = False) -> Path:
    """Rings and paths as files, with their labels beside them; ``extra`` adds an attribute to nodes."""
    folder.mkdir()
    lines = ["file,ring"]
    for k in range(num):
        n = 4 + k // 2 % 6
        graph = nx.cycle_graph(n) if k % 2 else nx.path_graph(n)
        if extra:
            nx.set_node_attributes(graph, {node: float(node) for node in graph}, "place")
        nx.write_gml(graph, folder / f"g{k:02}.gml")
        lines.append(f"g{k:02},{k % 2}")
    (folder / "labels.csv").write_text("\n".join(lines) + "\n")
    return folder


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of graphs, and a run of two seeds that was trained on it; tests leave them as they are."""
    place = tmp_path_factory.mktemp("supervised")
    graph_folder(place / "rings")
    graph_folder(place / "others", extra=True)
    flags = ("--channels", 4, 4, "--epochs", 1, "--seed", "0..1", "--num-splits", 2, "--quiet")
    assert call("train", "infograph", place / "rings", *flags, "--out", place / "run") == 0
    assert call("finetune", place / "run", place / "rings", *QUICK_FLAGS, "--seed", "0..1", "--out", place / "tuned") == 0
    return place


@pytest.fixture
def refused(capfd: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """Run a command that must be refused: code 2, one message on standard error, nothing on standard output, nothing written."""
    monkeypatch.chdir(tmp_path)

    def check(*args: object) -> str:
        capfd.readouterr()
        before = sorted(tmp_path.rglob("*"))
        code = call(*args)
        out, err = capfd.readouterr()
        own = [line for line in err.splitlines() if line.startswith("graphssl: ")]
        assert (code, out, len(own)) == (2, "", 1), f"{code} {out} {err}"
        assert "Traceback" not in err
        assert sorted(tmp_path.rglob("*")) == before, "something was written"
        return own[0]

    return check


def test_finetune_leaves_the_folder_that_is_documented(place: Path) -> None:
    out = place / "tuned"
    parts = [f"seed-{seed}-split-{i}" for seed in range(2) for i in range(2)]
    assert sorted(p.name for p in out.iterdir()) == sorted(["run.json", "score.json", *parts])
    assert all(sorted(p.name for p in (out / part).iterdir()) == ["history.csv", "model.safetensors", "predictions.csv"] for part in parts)
    record, score = (json.loads((out / name).read_text()) for name in ("run.json", "score.json"))
    assert (record["kind"], record["interrupted"], record["setting"]) == ("finetune", False, "transductive")
    assert record["pretrained"]["seeds"] == {"0": 0, "1": 1}
    assert record["options"]["epochs"] == 2
    assert list(score["arms"]) == ["fine-tuned", "from scratch"]
    assert (score["metric"], score["better"], score["selected"], score["n_seeds"], score["n_splits"]) == (
        "accuracy",
        "higher",
        "last",
        2,
        2,
    )
    for arm in score["arms"].values():
        assert arm["mean"] == pytest.approx(np.mean(arm["values"]))
        assert arm["last_epoch"]["mean"] == arm["mean"]
    means = [np.mean(arm["values"], axis=1) for arm in score["arms"].values()]
    assert score["difference"]["per_seed"] == pytest.approx(list(means[0] - means[1]))
    with open(out / "seed-0-split-1" / "predictions.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["id"] for row in rows] == [f"g{k:02}.gml" for k in range(30)]
    assert all(0 < float(row["ring=1"]) < 1 for row in rows)
    test = [row for row in rows if row["part"] == "test"]
    right = [(float(row["ring=1"]) > 0.5) == (int(row["row"]) % 2 == 1) for row in test]
    assert np.mean(right) == score["arms"]["fine-tuned"]["values"][0][1]
    assert {row["label_seen"] for row in test} == {"0"}
    with open(out / "seed-0-split-0" / "history.csv", newline="") as file:
        assert [(row["arm"], row["epoch"]) for row in csv.DictReader(file)] == [
            (arm, str(epoch)) for arm in score["arms"] for epoch in (1, 2)
        ]


def test_json_is_score_json_and_seeds_may_come_in_any_order(place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call("finetune", place / "run", place / "rings", *QUICK_FLAGS, "--seed", "1", "--json", "--out", tmp_path / "one") == 0
    shown_now = capsys.readouterr().out
    assert shown_now == (tmp_path / "one" / "score.json").read_text()
    one, both = json.loads(shown_now), json.loads((place / "tuned" / "score.json").read_text())
    assert one["difference"]["low"] is None
    assert one["arms"]["from scratch"]["values"] == both["arms"]["from scratch"]["values"][1:]
    assert json.loads((tmp_path / "one" / "run.json").read_text())["pretrained"]["seeds"] == {"1": 0}, "the first seed takes the first run"


def test_the_table_has_both_rows_and_their_difference(place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    flags = (*QUICK_FLAGS[:-1], "--labels", 0.5, "--freeze", "--seed", "0,1", "--out", tmp_path / "r")
    assert call("finetune", place / "run", place / "rings", *flags) == 0
    told = capsys.readouterr()
    text = " ".join(re.sub("[│┃]", " ", told.out).split())
    for words in (
        "fine-tuned",
        "the same network from scratch",
        "Difference: ",
        "95 % interval over 2 seeds",
        "50 % of the training labels",
    ):
        assert words in text, words
    assert "fine-tuned, seed 0, split 1 of 2" in told.err
    tuned, start = (load_models(tmp_path / "r").models[0].encoder, load_run(place / "run").encoder)
    assert states_equal(tuned, start)


def test_folds_in_place_of_the_datasets_splits(place: Path, tmp_path: Path) -> None:
    flags = ("--epochs", 1, "--folds", 3, "--quiet", "--out", tmp_path / "r")
    assert call("finetune", place / "run", place / "rings", *flags) == 0
    record = json.loads((tmp_path / "r" / "run.json").read_text())
    assert [part["split"] for part in record["parts"].values()] == [f"stratified-3-fold-{i}" for i in range(3)]


def test_predict_is_the_mean_of_the_models(place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "p.csv"
    assert call("predict", place / "tuned", place / "rings", "--out", out) == 0
    assert "30 rows" in capsys.readouterr().out
    columns = []
    for part in ("seed-0-split-0", "seed-0-split-1", "seed-1-split-0", "seed-1-split-1"):
        with open(place / "tuned" / part / "predictions.csv", newline="") as file:
            columns.append([float(row["ring=1"]) for row in csv.DictReader(file)])
    with open(out, newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["row", "id", "ring=1", "reason"]
    assert [float(row["ring=1"]) for row in rows] == pytest.approx(np.mean(columns, axis=0), abs=1e-5)
    assert call("predict", place / "tuned", place / "rings", "--seed", 1, "--out", out, "--force") == 0
    with open(out, newline="") as file:
        assert [float(row["ring=1"]) for row in csv.DictReader(file)] == pytest.approx(np.mean(columns[2:], axis=0), abs=1e-5)


def test_semi_from_the_command(place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    flags = ("--channels", 4, 4, "--labels", 0.3, "--seed", "0..1", *QUICK_FLAGS, "--unlabelled-batch", 8)
    assert call("semi", "infograph-star", place / "rings", *flags, "--out", tmp_path / "s") == 0
    assert "the same network on the labels" in " ".join(capsys.readouterr().out.replace("│", " ").split())
    score, record = (json.loads((tmp_path / "s" / name).read_text()) for name in ("score.json", "run.json"))
    assert (score["kind"], score["setting"], score["labels"], score["labelled_rows"]) == ("semi", "inductive", 0.3, [8])
    assert record["options"]["tie"] == "layers"
    assert call("predict", tmp_path / "s", place / "rings", "--out", tmp_path / "p.csv") == 0
    off = (*flags, "--weight", 0, "--unsupervised", 0, "--json", "--out", tmp_path / "off")
    capsys.readouterr()
    assert call("semi", "infograph-star", place / "rings", *off) == 0
    same = json.loads(capsys.readouterr().out)["arms"]
    first, second = same.values()
    assert first == second, "without its terms it is the labels alone"


BAD = [
    ("finetune RUN RINGS --labels 2", "labels: Input should be less than or equal to 1"),
    ("finetune RUN RINGS --epochs 0", "epochs: "),
    ("finetune RUN RINGS --label 0.1", "did you mean 'labels'?"),
    ("finetune RUN RINGS --error huber", "unknown error 'huber'"),
    ("finetune RUN RINGS --seed 0..x", "seed: "),
    ("finetune RUN RINGS --num-splits 11", "num_splits: rings has 10 splits, got 11"),
    ("finetune RUN RINGS --out RUN", "exists already"),
    ("finetune RUN OTHERS", "the run was trained on"),
    ("finetune RUN mutagg", "unknown dataset 'mutagg'"),
    ("finetune TUNED RINGS", "is not a folder of a pre-trained run"),
    ("finetune nowhere RINGS", "is not a folder of a pre-trained run"),
    ("evaluate TUNED", "is a finetune run"),
    ("predict RUN RINGS", "is not a fine-tuned run"),
    ("predict nowhere RINGS", "is not a run folder"),
    ("predict TUNED RINGS --out p.txt", "must end in .csv"),
    ("predict TUNED RINGS --out a/p.csv", "there is no folder"),
    ("predict TUNED RINGS --seed 5", "seed: the run has seeds 0, 1, got 5"),
    ("predict TUNED OTHERS", "the run was trained on"),
    ("predict TUNED RINGS --smiles s", "smiles is for a table of SMILES"),
    ("predict TUNED karate", "karate is node-level"),
    ("semi infograph-star cora", "cora is node-level"),
    ("semi infograph-star RINGS --weight -1", "weight: "),
    ("semi infograph-star RINGS --channels 4 4 --jk last", "jk='cat'"),
    ("semi infograph-star RINGS --encoder gine", "edge attributes"),
]


@pytest.mark.parametrize(("command", "message"), BAD, ids=[command for command, _ in BAD])
def test_bad_input(command: str, message: str, place: Path, refused: Callable[..., str]) -> None:
    paths = {"RUN": "run", "RINGS": "rings", "OTHERS": "others", "TUNED": "tuned"}
    assert message in refused(*(place / paths[word] if word in paths else word for word in command.split()))


def test_damaged_models_are_refused(place: Path, tmp_path: Path, refused: Callable[..., str]) -> None:
    copied = tmp_path / "copied"
    shutil.copytree(place / "tuned", copied)
    file = copied / "seed-1-split-0" / "model.safetensors"
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    assert "its checksum is not" in refused("predict", copied, place / "rings")
    file.unlink()
    assert "is missing or damaged" in refused("predict", copied, place / "rings")


@pytest.mark.parametrize("during", [0, 1])
def test_ctrl_c_keeps_the_seeds_that_are_done(
    during: int, place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def step(self: Silent, seed: int, step: object) -> None:
        if seed == during:
            raise KeyboardInterrupt

    monkeypatch.setattr(Silent, "step", step)
    out = tmp_path / "r"
    assert call("finetune", place / "run", place / "rings", *QUICK_FLAGS, "--seed", "0..1", "--out", out) == 130
    assert out.exists() == bool(during)
    if during:
        assert sorted(p.name for p in out.iterdir()) == ["run.json", "score.json", "seed-0-split-0", "seed-0-split-1"]
        assert json.loads((out / "run.json").read_text())["interrupted"] is True
        assert json.loads((out / "score.json").read_text())["seeds"] == [0]
        assert len(load_models(out).models) == 2
        assert "stopped after seed 0" in capsys.readouterr().err
    else:
        assert list(tmp_path.iterdir()) == []


def test_from_a_table_with_broken_rows_to_predictions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Three commands: pre-train, fine-tune, predict; targets are missing here and there, and absent in the new table."""
    pytest.importorskip("rdkit")
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    chains = ["C" * int(n) + end for n in range(1, 21) for end in ("O", "N", "c1ccccc1")]
    rows = [[text, f"{len(text) + rng.normal():.2f}" if k % 7 else "", f"{-len(text)}" if k % 5 else ""] for k, text in enumerate(chains)]
    for place_of, broken in ((5, "C1CC"), (20, ""), (33, "CN(C)(C)(C)C")):
        rows[place_of][0] = broken
    (tmp_path / "mine.csv").write_text("\n".join(["smiles,size,minus", *(",".join(row) for row in rows)]))
    (tmp_path / "new.csv").write_text("\n".join(["name,SMILES,remark", "a,CCCO,x", "b,not a molecule,y", "c,CCN,z"]))
    small = ("--channels", 8, 8, "--input", 8, "--batch-size", 16, "--epochs", 1, "--quiet")
    assert call("train", "infograph", "mine.csv", *small, "--split", "random", "--num-splits", 1) == 0
    assert call("finetune", "runs/infograph-mine-1", "mine.csv", "--epochs", 3, "--num-splits", 1, "--quiet") == 0
    assert call("predict", "runs/finetune-infograph-mine-1", "new.csv", "--out", "predictions.csv") == 0
    with open("predictions.csv", newline="") as file:
        told = list(csv.DictReader(file))
    assert [(row["row"], row["id"]) for row in told] == [("0", "CCCO"), ("1", "not a molecule"), ("2", "CCN")]
    assert [bool(row["reason"]) for row in told] == [False, True, False]
    assert (told[1]["size"], told[1]["minus"]) == ("", "")
    assert all(math.isfinite(float(told[k][name])) for k in (0, 2) for name in ("size", "minus"))
    (tmp_path / "odd.csv").write_text("smiles\nCN(C)(C)(C)C\nCCO")
    record = Path("runs/finetune-infograph-mine-1/run.json")

    def read_of_odd(*flags: str) -> list[bool]:
        assert call("predict", record.parent, "odd.csv", *flags, "--out", "odd-predicted.csv", "--force") == 0
        with open("odd-predicted.csv", newline="") as file:
            return [not row["reason"] for row in csv.DictReader(file)]

    assert (read_of_odd(), read_of_odd("--invalid", "relax")) == ([False, True], [True, True])
    assert call("predict", record.parent, "odd.csv", "--invalid", "refuse", "--out", "refused.csv") == 2
    before = record.read_text()
    record.write_text(json.dumps({**json.loads(before), "columns": {"invalid": "relax"}}))
    assert (read_of_odd(), read_of_odd("--invalid", "skip")) == ([True, True], [False, True])
    record.write_text(before)
    score = json.loads(Path("runs/finetune-infograph-mine-1/score.json").read_text())
    assert (score["metric"], score["better"], score["selected"]) == ("rmse", "lower", "best validation")
    with open("runs/finetune-infograph-mine-1/seed-0/predictions.csv", newline="") as file:
        own = list(csv.DictReader(file))
    assert len(own) == 57
    assert not {"5", "20", "33"} & {row["row"] for row in own}
    assert next(row for row in own if row["row"] == "34")["id"] == chains[34]
