"""Labels with an objective beside them: the loss, which labels it sees, batches of all kinds, and the command."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from checks import close
from torch import Tensor, nn

from graphssl import BGRL, DGI, GCN, GRACE, Dataset, DropEdges, Graph, GraphBatches, GraphSAGE, MaskFeatures, Split, fit, load, seeded
from graphssl.batches import EgoBatches, NeighbourBatches, PartitionBatches, WalkBatches
from graphssl.cli import main
from graphssl.datasets import contextual_sbm
from graphssl.embedding import embed
from graphssl.encoders import GNN
from graphssl.recipes import Recipe
from graphssl.supervised import Joint, Supervised, finetune, predict, supervised_loss
from graphssl.supervised.joint import training_labels
from graphssl.supervised.labels import seen_labels
from graphssl.supervised.models import load_models
from graphssl.supervised.options import BESIDE, Joining, joint_methods, joint_recipe
from graphssl.supervised.semi import joint
from graphssl.supervised.tuning import fit_best, holding

F, K, N = 3, 3, 60
WIDTHS = {"channels": (8, 8), "epochs": 3, "features": "none"}


def data_of(task: str = "classification") -> Dataset:
    """A planted graph, its classes as they are, as labels of 0 and 1, or as numbers."""
    data = contextual_sbm(N, K, F, degree=6, seed=0)
    if task == "classification":
        return data
    if task == "multilabel":
        return replace(data, y=nn.functional.one_hot(data.y, K).float(), metric="micro_f1")
    return replace(data, y=torch.stack([data.y * 10.0, 5.0 - data.y], 1), metric="rmse")


def inductive(task: str = "classification") -> Dataset:
    """Five graphs, of which each is train, val or test as a whole; those for training are not the first ones."""
    sizes, parts = (10, 12, 10, 11, 14), ("val", "train", "test", "train", "train")
    graphs = [contextual_sbm(n, 2, F, degree=4, seed=n) for n in sizes]
    of = [part for part, size in zip(parts, sizes, strict=True) for _ in range(size)]
    split = Split("parts", *(torch.tensor([i for i, own in enumerate(of) if own == part]) for part in ("train", "val", "test")))
    y = torch.cat([g.y for g in graphs])
    whole = Dataset("parts", tuple(g.graph for g in graphs), y, (split,), parts=parts)
    return whole if task == "classification" else replace(whole, y=nn.functional.one_hot(y, 2).float(), metric="micro_f1")


def encoder(kind: type[GNN] = GCN, seed: int = 0, **options: Any) -> GNN:
    with seeded(seed):
        return kind(F, [8, 8], **options)  # type: ignore[arg-type]


def supervised_over(net: GNN, task: Any = "classification", num: int = K, **options: Any) -> Supervised:
    with seeded(1):
        return Supervised(net, task, num, level="node", **options)


def bgrl_over(net: GNN, **options: Any) -> BGRL:
    with seeded(2):
        return BGRL(net, views=(DropEdges(0.3), MaskFeatures(0.3, mode="entry")), hidden=8, **options)


def made(y: Tensor, weight: float = 1.0, kind: type[GNN] = GCN, task: Any = "classification", **options: Any) -> Joint:
    net = encoder(kind, **options)
    return Joint(supervised_over(net, task, K if y.dim() == 1 else y.size(1)), bgrl_over(net), y, weight=weight)


# ---------------------------------------------------------------------- the loss


@pytest.mark.parametrize("weight", [0.5, 1.0])
@pytest.mark.parametrize("task", ["classification", "multilabel", "regression"])
def test_loss_is_that_of_the_labels_plus_the_weighted_auxiliary_one(task: str, weight: float) -> None:
    data = data_of(task)
    y = seen_labels(data, data.split.train)
    objective = made(y, weight, task=task, norm="none")
    with seeded(3):
        loss = objective(data.graph)
    with seeded(3):
        g1, g2 = (view(data.graph) for view in objective.auxiliary.views)  # type: ignore[union-attr, operator]
        q1, q2 = (objective.auxiliary.predictor(objective.encoder(g)) for g in (g1, g2))  # type: ignore[operator]
        t1, t2 = (objective.auxiliary.target.copy(g) for g in (g1, g2))  # type: ignore[union-attr, operator]
        cos = nn.functional.cosine_similarity
        auxiliary = 2 - cos(q1, t2).mean() - cos(q2, t1).mean()
    out = objective.supervised.head(objective.encoder(data.graph))[data.split.train]
    truth = data.y[data.split.train]
    first = {
        "classification": lambda: -out.log_softmax(1).gather(1, truth.view(-1, 1)).mean(),
        "multilabel": lambda: -(truth * out.sigmoid().log() + (1 - truth) * (1 - out.sigmoid()).log()).mean(),
        "regression": lambda: (out - truth).square().mean(),
    }[task]()
    close(loss, first + weight * auxiliary, 1e-5)


@pytest.mark.parametrize("kind", [GCN, GraphSAGE])
def test_with_weight_0_it_is_supervised_training_to_the_bit(kind: type[GNN]) -> None:
    data = data_of()
    y = seen_labels(data, data.split.train)
    objective = made(y, weight=0, kind=kind, dropout=0.3)
    alone = supervised_over(encoder(kind, dropout=0.3))
    options = {"epochs": 5, "lr": 0.01, "seed": 4, "weight_decay": 0.1, "clip": 1.0}
    first, second = fit(objective, data.graph, **options), fit(alone, replace(data.graph, y=y), **options)  # type: ignore[arg-type]
    assert first.loss == second.loss
    assert all(torch.equal(a, b) for a, b in zip(objective.supervised.parameters(), alone.parameters(), strict=True))
    fresh = bgrl_over(encoder(kind, dropout=0.3))
    assert torch.equal(next(objective.auxiliary.target.parameters()), next(fresh.target.parameters())), "the target stays"


def test_gradients_reach_encoder_head_and_predictor_and_not_the_target() -> None:
    data = data_of()
    objective = made(seen_labels(data, data.split.train))
    objective(data.graph).backward()
    for name, p in objective.named_parameters():
        assert (p.grad is None or not p.grad.any()) == ("target" in name), name


def test_the_target_moves_after_the_step() -> None:
    data = data_of()
    objective = made(seen_labels(data, data.split.train))
    before = [p.clone() for p in objective.auxiliary.target.parameters()]
    objective(data.graph)
    assert all(torch.equal(a, b) for a, b in zip(before, objective.auxiliary.target.parameters(), strict=True))
    objective.after_step(0.5)
    assert not all(torch.equal(a, b) for a, b in zip(before, objective.auxiliary.target.parameters(), strict=True))


def test_a_graph_without_labels_trains_by_the_auxiliary_loss_alone() -> None:
    data = data_of()
    objective = made(torch.full_like(data.y, -1), norm="none")
    with seeded(3):
        loss = objective(data.graph)
    with seeded(3):
        close(loss, objective.auxiliary(data.graph))
    loss.backward()
    assert not objective.supervised.head.weight.grad.any()
    assert all(p.grad is None or p.grad.isfinite().all() for p in objective.parameters())


def test_batch_norm_keeps_to_graphs_as_they_are() -> None:
    data = data_of()
    y = seen_labels(data, data.split.train)
    objective, alone = made(y), supervised_over(encoder())
    objective(data.graph)
    alone(replace(data.graph, y=y))
    statistics = [dict(part.named_buffers()) for part in (objective.encoder, alone.encoder)]
    assert statistics[0]
    assert all(torch.equal(value, statistics[1][name]) for name, value in statistics[0].items())


def test_it_learns() -> None:
    data = data_of()
    history = fit(made(seen_labels(data, data.split.train)), data.graph, epochs=40, lr=0.01)
    assert history.loss[-1] < 0.7 * history.loss[0]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"weight": -1.0}, "weight must be 0 or more, got -1.0"),
        ({"weight": float("nan")}, "weight must be 0 or more"),
        ({"weight": float("inf")}, "weight must be 0 or more"),
        ({"auxiliary": bgrl_over(encoder())}, "auxiliary must train the encoder of supervised"),
        ({"y": torch.zeros(4, 2)}, r"y must be \[N\] for task classification"),
    ],
)
def test_it_refuses(change: dict[str, Any], message: str) -> None:
    net = encoder()
    given = {"supervised": supervised_over(net), "auxiliary": bgrl_over(net), "y": torch.zeros(4, dtype=torch.long), **change}
    with pytest.raises(ValueError, match=message):
        Joint(**given)


def test_it_refuses_labels_of_graphs_and_batches_that_do_not_say_what_they_hold() -> None:
    net = encoder()
    with pytest.raises(ValueError, match="labels of nodes"):
        Joint(Supervised(net, "classification", 2), bgrl_over(net), torch.zeros(4, dtype=torch.long))
    data = data_of()
    with pytest.raises(ValueError, match="node_id"):
        made(data.y[:-1])(data.graph)


# ---------------------------------------------------------------------- which labels

BATCHES: dict[str, Callable[[Graph], Any]] = {
    "neighbours": lambda g: NeighbourBatches(g, [3, 2], 13, seed=1),
    "neighbours, loss on all": lambda g: NeighbourBatches(g, [3, 2], 13, seed=1, loss_on="all"),
    "partitions": lambda g: PartitionBatches(g, 6, parts_per_batch=2, seed=1),
    "walks": lambda g: WalkBatches(g, 5, 3, num_batches=4, seed=1),
    "egos": lambda g: EgoBatches(g, 12, hops=2, fan_out=3, seed=1),
}


@pytest.mark.parametrize("kind", BATCHES)
def test_batches_find_their_own_labels(kind: str) -> None:
    g = data_of().graph.with_x(torch.arange(float(N)).view(-1, 1).expand(-1, F))  # the features say which node it is
    objective = made(torch.arange(N))
    for batch in BATCHES[kind](g):
        assert torch.equal(objective.labels_of(batch), batch.dense_x()[: batch.num_seeds, 0].long())


@pytest.mark.parametrize("task", ["classification", "multilabel"])
def test_all_nodes_as_seeds_with_all_neighbours_are_the_whole_graph(task: str) -> None:
    data = data_of(task)
    objective = made(seen_labels(data, data.split.train), weight=0, kind=GraphSAGE, task=task, norm="none")
    (batch,) = NeighbourBatches(data.graph, [-1, -1], N, seed=1)
    (part,) = PartitionBatches(data.graph, 4, parts_per_batch=4, seed=1)
    assert batch.node_id.tolist() != list(range(N)), "in another order"
    whole = objective(data.graph)
    close(objective(batch), whole, 1e-6)
    close(objective(part), whole, 1e-6)


@pytest.mark.parametrize("batches", ["whole", "neighbours", "partitions"])
def test_labels_that_are_not_drawn_have_no_influence(batches: str) -> None:
    data = data_of()
    recipe = recipe_of("bgrl", batches)
    first = joint("bgrl", data, data.split, recipe, Joining(labels=0.3), seed=1)
    hidden = torch.ones(N, dtype=torch.bool)
    hidden[first.rows] = False
    hidden[data.split.val] = False  # which choose the epoch
    rows = hidden.nonzero().squeeze(1)
    train = torch.isin(rows, data.split.train)
    y = data.y.clone()
    y[rows[~train]] = y[rows[~train]].flip(0)  # of test rows any; of train rows within a class, for the draw keeps the classes' shares
    for a in y.unique():
        same = rows[train & (data.y[rows] == a)]
        assert torch.equal(y[same], data.y[same])
    second = joint("bgrl", replace(data, y=y), data.split, recipe, Joining(labels=0.3), seed=1)
    assert torch.equal(first.rows, second.rows)
    assert first.loss == second.loss
    assert torch.equal(first.predictions, second.predictions)
    shown = training_labels(data, first.rows)
    assert sorted((shown >= 0).nonzero().squeeze(1).tolist()) == first.rows.tolist()


def recipe_of(method: str = "bgrl", batches: str = "whole", **changes: Any) -> Recipe:
    recipe = joint_recipe(method, "karate")
    more: dict[str, dict[str, Any]] = {
        "whole": {},
        "neighbours": {"batch_size": 16, "fan_out": (3, 3)},
        "partitions": {"num_parts": 4, "parts_per_batch": 1},
        "walks": {"batch_size": 5},
        "egos": {"batch_size": 16, "fan_out": (3, 3)},
    }
    hidden = {"hidden": 8} if "hidden" in type(recipe).model_fields else {}
    return type(recipe).model_validate({**recipe.model_dump(), **WIDTHS, **hidden, "batches": batches, **more[batches], **changes})


# ---------------------------------------------------------------------- trainings


@pytest.mark.parametrize("batches", ["whole", "neighbours", "partitions", "walks", "egos"])
@pytest.mark.parametrize("method", joint_methods())
def test_every_method_on_every_kind_of_batches(method: str, batches: str) -> None:
    data = data_of()
    heads = {"heads": 2} if recipe_of(method).encoder in ("gat", "gatv2") else {}
    steps: list[int] = []
    done = joint(method, data, data.split, recipe_of(method, batches, epochs=1, **heads), Joining(labels=0.5),
                 on_step=lambda step: steps.append(step.number))  # fmt: skip
    assert torch.tensor(done.loss).isfinite().all()
    assert done.predictions.shape == (N, K)
    assert done.predictions.isfinite().all()
    alone: list[int] = []
    joint(method, data, data.split, recipe_of(method, batches, epochs=1, **heads), Joining(labels=0.5), alone=True,
          on_step=lambda step: alone.append(step.number))  # fmt: skip
    assert alone == steps


@pytest.mark.parametrize("batches", ["whole", "partitions"])
def test_alone_and_weight_0_are_one(batches: str) -> None:
    data = data_of()
    numbers = Joining(labels=0.3, weight=0)
    first, second = (joint("bgrl", data, data.split, recipe_of(batches=batches, dropout=0.2), numbers, alone=a) for a in (True, False))
    assert first.loss == second.loss
    assert first.val == second.val
    assert torch.equal(first.predictions, second.predictions)


def test_few_labels_and_small_batches_of_which_most_have_none() -> None:
    data = data_of()
    done = joint("bgrl", data, data.split, recipe_of(batches="neighbours", batch_size=2), Joining(labels=0.01))
    assert len(done.rows) == K
    assert torch.tensor(done.loss).isfinite().all()
    assert done.predictions.isfinite().all()


@pytest.mark.parametrize("batches", ["whole", "neighbours"])
@pytest.mark.parametrize("task", ["classification", "multilabel"])
def test_inductive_sets_train_on_the_train_graphs(task: str, batches: str) -> None:
    data = inductive(task)
    done = joint("bgrl", data, data.split, recipe_of(batches=batches), Joining(labels=0.5), seed=1)
    assert torch.isin(done.rows, data.split.train).all()
    y = training_labels(data, done.rows)
    assert len(y) == sum(g.num_nodes for g in data.train_graphs)
    known = y >= 0 if task == "classification" else ~y.isnan().any(1)
    assert known.sum() == len(done.rows)
    assert torch.equal(y[known], data.y[done.rows])
    assert done.selected == "best validation"
    changed = [g if part == "train" else g.with_x(torch.randn_like(g.x)) for g, part in zip(data.graphs, data.parts or (), strict=True)]
    again = joint("bgrl", replace(data, graphs=tuple(changed)), data.split, recipe_of(batches=batches), Joining(labels=0.5), seed=1)
    assert again.loss == done.loss, "graphs of validation and test are not trained on"


def test_several_train_graphs_a_step() -> None:
    data = inductive()
    done = joint("bgrl", data, data.split, recipe_of(batch_size=2), Joining(), seed=1)
    assert torch.tensor(done.loss).isfinite().all()
    y = training_labels(data, data.split.train)
    objective = made(y, weight=0, norm="none", kind=GraphSAGE)
    for batch in GraphBatches(data.train_graphs, 2):
        assert torch.equal(objective.labels_of(batch), y[batch.node_ids])


def test_regression_of_nodes() -> None:
    data = data_of("regression")
    done = joint("bgrl", data, data.split, recipe_of(epochs=60, lr=0.01), Joining())
    assert done.test is not None
    errors = (data.y[data.split.test] - data.y[data.split.train].mean(0)).square().mean().sqrt()
    assert done.test < errors


# ---------------------------------------------------------------------- looks at validation


def test_only_graphs_with_validation_rows_are_looked_at() -> None:
    data = inductive()
    rows = torch.tensor([25, 3, 0, 24, 8])  # of the first graph and the third one
    graphs, places = holding(data, rows)
    assert graphs == [data.graphs[0], data.graphs[2]]
    x = torch.cat([g.x for g in data.graphs])
    close(torch.cat([g.x for g in graphs])[places], x[rows])


@pytest.mark.parametrize("every", [1, 2, 5, 9])
def test_validation_is_looked_at_every_so_many_epochs_and_at_the_last(every: int) -> None:
    data = data_of()
    done = joint("bgrl", data, data.split, recipe_of(epochs=7), Joining(val_every=every))
    looked = [epoch for epoch, value in enumerate(done.val, start=1) if value is not None]
    assert looked == sorted({*range(every, 8, every), 7})
    assert done.epoch in looked
    assert done.best_val == max(value for value in done.val if value is not None)
    close(predict(done.objective, data.graphs), done.predictions)


def test_looks_are_at_least_one_epoch_apart() -> None:
    data = data_of()
    supervised = supervised_over(encoder())
    with pytest.raises(ValueError, match="val_every must be at least 1, got 0"):
        fit_best(supervised, [data.graph], supervised, data, data.split, rows=data.split.train, val_every=0, epochs=1)


def test_predictions_go_layer_by_layer_where_the_graph_is_large(monkeypatch: pytest.MonkeyPatch) -> None:
    data = data_of()
    objective = supervised_over(encoder(jk="cat"))
    whole = predict(objective, data.graphs)
    monkeypatch.setattr("graphssl.embedding.whole.WHOLE", 0)
    monkeypatch.setattr("graphssl.supervised.tuning.CHUNK", 7)
    monkeypatch.setattr(type(objective.encoder), "forward", lambda *_: pytest.fail("a pass over the whole graph"))
    monkeypatch.setattr("graphssl.embedding.whole.can_layerwise", lambda _: True)  # which looks for a forward of one's own
    close(predict(objective, data.graphs), whole, 1e-5)


def test_prediction_reads_embeddings() -> None:
    data = data_of()
    objective = supervised_over(encoder()).eval()
    close(objective.read(embed(objective.encoder, data)), objective.predict(data.graph), 1e-6)


def test_finetuning_at_node_level_is_what_it_was() -> None:
    data = data_of()
    done = finetune(encoder(), data, epochs=3, lr=0.01)
    assert len([value for value in done.val if value is not None]) == 3
    y = seen_labels(data, done.rows)
    out = done.objective.eval().predict(data.graph)
    assert supervised_loss(out, y, "classification").isfinite()


# ---------------------------------------------------------------------- recipe and command


def test_recipes_beside_labels() -> None:
    assert set(BESIDE) <= set(joint_methods())
    for method in joint_methods():
        recipe = joint_recipe(method, "cora")
        assert recipe.patience is None
        assert not set(type(recipe).model_fields) & set(Joining.model_fields), "flags of one name"
        assert type(recipe).model_validate(recipe.model_dump()) == recipe
    assert joint_recipe("BGRL", "cora").mask == "entry"  # type: ignore[attr-defined]


def call(*args: object) -> int:
    return main([str(arg) for arg in args])


FLAGS = ("--channels", 8, 8, "--hidden", 8, "--epochs", 2, "--quiet")


@pytest.mark.parametrize("more", [(), ("--batches", "partitions", "--num-parts", 3)])
def test_the_command_and_its_predictions(more: tuple[Any, ...], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "r"
    assert call("semi", "bgrl", "karate", "--labels", 1.0, "--seed", "0..1", *FLAGS, *more, "--out", out) == 0
    assert "labels and bgrl" in capsys.readouterr().out
    score, record = (json.loads((out / name).read_text()) for name in ("score.json", "run.json"))
    assert (score["kind"], score["setting"], score["n_seeds"]) == ("semi", "transductive", 2)
    assert list(score["arms"]) == ["with bgrl", "on the labels alone"]
    assert (record["method"], record["options"]["weight"], record["options"]["mask"]) == ("bgrl", 1.0, "entry")
    changed = record["options"]["source"].split("changed: ")[1].split(", ")
    assert set(changed) == {"channels", "hidden", "epochs", *(("batches", "num_parts") if more else ())}
    assert call("predict", out, "karate", "--out", tmp_path / "p.csv") == 0
    with open(tmp_path / "p.csv", newline="") as file:
        found = torch.tensor([[float(row[f"class={k}"]) for k in range(4)] for row in csv.DictReader(file)])
    models = load_models(out).models
    data = load("karate").preprocess(record["features"]["scaling"])
    close(found, torch.stack([predict(model, data.graphs).softmax(1) for model in models]).mean(0), 1e-5)


def test_the_folder_has_a_name_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert call("semi", "DGI", "karate", "--channels", 8, "--epochs", 1, "--json") == 0
    (found,) = (tmp_path / "runs").iterdir()
    assert found.name.startswith("semi-dgi-karate")


BAD = [
    ("semi bgrl", "usage: graphssl semi METHOD DATASET"),
    ("semi bgril karate", "unknown method 'bgril' (did you mean 'bgrl'?)"),
    ("semi infograph karate", "known: infograph-star, bgrl, "),
    ("semi bgrl mutag", "semi bgrl is for node-level data, and mutag is graph-level"),
    ("semi bgrl karat", "unknown dataset 'karat'"),
    ("semi bgrl nowhere.npz", "there is no file"),
    ("semi bgrl karate --weight -1", "weight: "),
    ("semi bgrl karate --labels 0", "labels: "),
    ("semi bgrl karate --val-every 0", "val_every: "),
    ("semi bgrl karate --tie last", "unknown option of semi bgrl 'tie'"),
    ("semi bgrl karate --patience 3", "unknown option of semi bgrl 'patience'"),
    ("semi bgrl karate --num-parts 3", "num_parts is for batches partitions"),
    ("semi bgrl karate --adaptive degree", "mask entry cannot be used with adaptive degree"),
    ("semi bgrl karate --num-splits 99", "num_splits: karate has"),
    ("semi bgrl karate --seed x", "seed: "),
]


@pytest.mark.parametrize(("command", "message"), BAD, ids=[command for command, _ in BAD])
def test_bad_input(command: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    assert call(*command.split()) == 2
    told = capfd.readouterr()
    assert message in told.err
    assert not told.out
    assert not list(tmp_path.rglob("run.json"))


def test_other_objectives_stand_beside_labels_too() -> None:
    data = data_of()
    for make in (lambda net: DGI(net), lambda net: GRACE(net, views=(DropEdges(0.3), DropEdges(0.3)), hidden=8)):
        net = encoder()
        objective = Joint(supervised_over(net), make(net), seen_labels(data, data.split.train))
        assert fit(objective, data.graph, epochs=2).loss[-1] > 0
