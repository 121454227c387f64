"""Fine-tuning: train an encoder with a head on labels, watch validation, keep the best epoch and the last."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any, Literal

import torch
from torch import Tensor

from graphssl.batches import Batches, GraphBatches
from graphssl.datasets import Dataset, Split
from graphssl.embedding import embed
from graphssl.encoders import GNN
from graphssl.evaluation.metrics import best_of, measurable, measure
from graphssl.graph import Graph
from graphssl.objectives import Objective
from graphssl.random import seeded
from graphssl.supervised.labels import draw_labels, labelled_batches, seed_for
from graphssl.supervised.loss import Error, supervised_loss
from graphssl.supervised.objective import Supervised, supervise
from graphssl.training import Step, snapshot, train

PASS = 512  # graphs a forward pass when predicting
CHUNK = 65_536  # nodes whose embeddings the head reads at a time
OnStep = Callable[[Step], None]


@dataclass(frozen=True, eq=False)
class Training:
    """What a supervised training came to; shares, or errors in the target's units."""

    objective: Supervised  # as it stood at the epoch that counts
    rows: Tensor  # [k] training rows whose labels were seen
    metric: str
    selected: Literal["best validation", "last"]  # which epoch counts
    epoch: int  # that epoch, from 1
    val: tuple[float | None, ...]  # metric on the validation rows after each epoch
    loss: tuple[float, ...]  # mean training loss of each epoch
    test: float | None  # at the epoch that counts; None where the metric is undefined on the test rows
    test_last: float | None  # at the last epoch
    predictions: Tensor  # [R, K] logits, or values, of all rows at the epoch that counts

    @property
    def best_val(self) -> float | None:
        """Validation metric at the epoch that counts."""
        return self.val[self.epoch - 1]


def finetune(
    encoder: GNN,
    data: Dataset,
    split: Split | None = None,
    *,
    epochs: int = 100,
    lr: float = 1e-3,
    batch_size: int = 32,
    dropout: float = 0.0,
    weight_decay: float = 0.0,
    label_fraction: float = 1.0,
    freeze: bool = False,
    error: Error | None = None,
    optimizer: Literal["adamw", "adam"] = "adam",
    schedule: Literal["cosine", "constant"] = "constant",
    seed: int = 0,
    on_step: OnStep | None = None,
) -> Training:
    """Train a copy of ``encoder`` and a linear head on the labels of the split's train rows.

    Where the split has validation rows, the epoch that counts is the one that is best on them (by the metric, or by the loss where the
    metric is undefined there); else it is the last. Labels of validation rows choose the epoch and nothing else, those of test rows
    nothing at all.

    Args:
        encoder: pre-trained or not; it stays as it is.
        data: with labels by graph, or by node.
        split: of its rows; the dataset's first without it.
        epochs: passes over the labelled rows.
        lr: learning rate.
        batch_size: graphs a step; at node level a step is a whole graph.
        dropout: on the input of each layer but the first, and before the head.
        weight_decay: on all parameters.
        label_fraction: share of the train rows whose labels are seen (:func:`draw_labels`).
        freeze: train the head alone.
        error: of a regression, ``mse`` or ``l1``; without it ``l1`` where the metric is ``mae``.
        optimizer: ``adam`` or ``adamw``.
        schedule: of the learning rate: ``constant`` or ``cosine``.
        seed: of the head, the draw of labels, the order of batches and dropout. Trainings of one seed differ in the encoder alone.
        on_step: called after each step.

    Raises:
        ValueError: an argument out of its range, or labels from which there is nothing to learn.

    Example:
        >>> from graphssl import GCN, load
        >>> data = load("karate")
        >>> done = finetune(GCN(data.num_features, [8]), data, epochs=2)
        >>> done.predictions.shape, done.selected, done.epoch
        (torch.Size([34, 4]), 'last', 2)
    """
    if batch_size < 1:
        raise ValueError(f"batch_size must be at least 1, got {batch_size}")
    split = data.split if split is None else split
    rows = draw_labels(data.y, split.train, label_fraction, task=data.task, seed=seed)
    with seeded(seed_for("head", seed)):
        objective = supervise(copy.deepcopy(encoder), data, rows, dropout=dropout, error=error, freeze=freeze)
    options: dict[str, Any] = {
        "epochs": epochs,
        "lr": lr,
        "weight_decay": weight_decay,
        "optimizer": optimizer,
        "schedule": schedule,
        "seed": seed,
    }
    return fit_best(objective, labelled_batches(data, rows, batch_size), objective, data, split, rows=rows, on_step=on_step, **options)


def fit_best(
    objective: Objective,
    batches: Batches,
    supervised: Supervised,
    data: Dataset,
    split: Split,
    *,
    rows: Tensor,
    val_every: int = 1,
    on_step: OnStep | None = None,
    **options: Any,
) -> Training:
    """Train ``objective``, of which ``supervised`` predicts, and keep its state at the best epoch on the validation rows.

    ``options`` are those of :func:`graphssl.train`; ``rows`` are the training rows whose labels are seen. Validation is looked at every
    ``val_every`` epochs and after the last: a pass over all graphs that hold validation rows, layer by layer where they are large.

    Raises:
        ValueError: ``val_every`` below 1.
    """
    if val_every < 1:
        raise ValueError(f"val_every must be at least 1, got {val_every}")
    watch = _Watch(supervised, data, split)
    total: list[Tensor] = []
    losses: list[float] = []
    for step in train(objective, batches, **options):
        total.append(step.loss)
        if on_step is not None:
            on_step(step)
        if step.number % len(batches) == 0:
            losses.append(float(torch.stack(total).mean()))
            total.clear()
            watch.after(len(losses), skip=len(losses) % val_every > 0 and step.number < step.total)
    everything, last = graphs_of(data), snapshot(supervised)
    predictions = predict(supervised, everything)
    test_last = score_rows(data, split.test, predictions)
    epoch = watch.best or len(losses)
    if watch.state is not None and epoch < len(losses):
        supervised.load_state_dict(watch.state)
        predictions = predict(supervised, everything)
    else:
        supervised.load_state_dict(last)
    return Training(
        objective=supervised,
        rows=rows,
        metric=data.metric,
        selected="best validation" if watch.best else "last",
        epoch=epoch,
        val=tuple(watch.values),
        loss=tuple(losses),
        test=score_rows(data, split.test, predictions),
        test_last=test_last,
        predictions=predictions,
    )


class _Watch:
    """The validation metric after epochs that are looked at, and the state at the best one."""

    def __init__(self, supervised: Supervised, data: Dataset, split: Split) -> None:
        self.supervised, self.data, self.rows = supervised, data, split.val
        self.graphs, self.places = holding(data, split.val) if len(split.val) else ([], split.val)
        self.values: list[float | None] = []  # of each epoch
        self.found: list[float] = []  # of those looked at, by which one is chosen
        self.by = data.metric if measurable(data.metric, data.y[split.val]) else "loss"
        self.best = 0  # epoch, from 1
        self.state: dict[str, Tensor] | None = None

    def after(self, epoch: int, *, skip: bool = False) -> None:
        """After an epoch, from 1; look at it, but for ``skip``."""
        if skip or not self.graphs:
            self.values.append(None)
            return
        predictions = predict(self.supervised, self.graphs)[self.places]
        truth = self.data.y[self.rows]
        self.values.append(measure(self.data.metric, truth, predictions) if self.by != "loss" else None)
        self.found.append(self.values[-1] if self.values[-1] is not None else self._loss(predictions, truth))
        if best_of("rmse" if self.by == "loss" else self.by, self.found) + 1 == len(self.found):
            self.best, self.state = epoch, snapshot(self.supervised)

    def _loss(self, predictions: Tensor, truth: Tensor) -> float:
        return float(supervised_loss(predictions, truth.to(predictions.dtype) if truth.is_floating_point() else truth, self.data.task))


@torch.no_grad()
def predict(objective: Supervised, graphs: Iterable[Graph]) -> Tensor:
    """Logits, or targets in their own units, of all graphs (or nodes) in evaluation mode, ``[n, K]`` float32 on the CPU.

    Nodes are embedded as :func:`graphssl.embed` does it: graphs too large for a pass as a whole go layer by layer.
    """
    device = next(objective.parameters()).device
    modes = [(part, part.training) for part in objective.modules()]
    objective.eval()
    try:
        if objective.level == "node":
            z = embed(objective.encoder, graphs)  # [n, D]
            return torch.cat([objective.read(part.to(device)).float().cpu() for part in z.split(CHUNK)])  # type: ignore[no-untyped-call]
        return torch.cat([objective.predict(g.to(device)).float().cpu() for g in graphs])
    finally:
        for part, mode in modes:
            part.training = mode


def graphs_of(data: Dataset, rows: Tensor | None = None) -> Iterable[Graph]:
    """What :func:`predict` goes through: batches of the graphs ``rows``, all without it; at node level always all graphs."""
    if data.level == "node":
        return data.graphs
    g = data.graph if rows is None else data.graph.keep_graphs(rows)
    return GraphBatches(replace(g, y=None), PASS, shuffle=False)


def holding(data: Dataset, rows: Tensor) -> tuple[list[Graph], Tensor]:
    """The graphs that hold some rows ``[n]``, and the rows' places ``[n]`` among what :func:`predict` gives of these alone.

    Example:
        >>> from graphssl import load
        >>> graphs, places = holding(load("karate"), torch.tensor([3, 5]))
        >>> len(graphs), places
        (1, tensor([3, 5]))
    """
    if data.level == "graph":
        return list(graphs_of(data, rows)), torch.arange(len(rows))
    offsets = torch.tensor(data.node_offsets)
    which = torch.bucketize(rows, offsets, right=True) - 1  # [n] graph of each row
    held, place = which.unique(return_inverse=True)  # type: ignore[no-untyped-call]
    sizes = offsets.diff()[held]
    starts = sizes.cumsum(0) - sizes
    return [data.graphs[i] for i in held.tolist()], rows - offsets[which] + starts[place]


def score_rows(data: Dataset, rows: Tensor, predictions: Tensor) -> float | None:
    """The dataset's metric on some rows; ``None`` where it is undefined (a ranking of a single class).

    Args:
        data: with labels.
        rows: ``[n]`` that count.
        predictions: ``[R, K]`` of all rows.
    """
    truth = data.y[rows]
    return measure(data.metric, truth, predictions[rows]) if measurable(data.metric, truth) else None
