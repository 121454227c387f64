"""Students of a teacher, trained: distillation, and networks that are taught by their own kind."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch

from graphssl.batches import Batches, GraphBatches, side_by_side
from graphssl.datasets import Dataset, Split
from graphssl.encoders import GNN
from graphssl.random import seeded
from graphssl.supervised.distillation import Contrast, Distillation, Teacher
from graphssl.supervised.joint import of_training
from graphssl.supervised.labels import draw_labels, seed_for, seen_labels
from graphssl.supervised.loss import Error
from graphssl.supervised.objective import Supervised, supervise
from graphssl.supervised.tuning import OnStep, Training, fit_best

GRAPHS = 128  # a step's, of many


def distill(
    teacher: Teacher | Supervised,
    encoder: GNN,
    data: Dataset,
    split: Split | None = None,
    *,
    ce: float = 1.0,
    kd: float = 1.0,
    crd: float = 0.8,
    temperature: float = 4.0,
    contrast: Contrast | None = None,
    epochs: int = 200,
    lr: float = 0.01,
    weight_decay: float = 5e-4,
    dropout: float = 0.5,
    input_dropout: float = 0.0,
    label_fraction: float = 1.0,
    error: Error | None = None,
    batches: Batches | None = None,
    seed: int = 0,
    on_step: OnStep | None = None,
    **options: Any,
) -> Training:
    """Train a copy of ``encoder`` with a linear head on labels and a teacher's answers; a student that may be small, or an MLP.

    Labels are those of the split's train rows; the teacher answers for all rows of the graphs that training may see, the test rows of a
    transductive set among them. Which epoch counts is chosen as by :func:`finetune`.

    Args:
        teacher: a trained model, or its answers for all rows of ``data``. Whoever trained it must not have seen labels of test rows.
        encoder: the student's; it stays as it is.
        data: with labels by node, or by graph.
        split: of its rows; the dataset's first without it.
        ce: weight of the labels.
        kd: weight of the teacher's predictions; with ``kd=0, crd=0`` the student has the labels alone.
        crd: weight of the teacher's embeddings.
        temperature: of predictions.
        contrast: numbers of the comparison of embeddings.
        epochs: passes over the rows that training sees.
        lr: learning rate.
        weight_decay: on all parameters.
        dropout: on the input of each layer but the first, and before the head.
        input_dropout: on the features.
        label_fraction: share of the train rows whose labels are seen.
        error: of a regression, ``mse`` or ``l1``.
        batches: of the graph that training may see, where it is not to be taken as a whole; at graph level ``g.y`` says the rows.
        seed: of all that is drawn. Trainings of one seed start from the same head.
        on_step: called after each step.
        options: of :func:`graphssl.train`.

    Raises:
        ValueError: an argument out of its range, or labels from which there is nothing to learn.

    Example:
        >>> from graphssl import GCN, MLP, load
        >>> from graphssl.supervised import finetune
        >>> data = load("karate")
        >>> teacher = finetune(GCN(data.num_features, [8]), data, epochs=2).objective
        >>> distill(teacher, MLP(data.num_features, [8]), data, epochs=2).predictions.shape
        torch.Size([34, 4])
    """
    split = data.split if split is None else split
    answers = Teacher.of(teacher, data) if isinstance(teacher, Supervised) else teacher
    rows = draw_labels(data.y, split.train, label_fraction, task=data.task, seed=seed)
    with seeded(seed_for("head", seed)):
        student = supervise(copy.deepcopy(encoder), data, rows, dropout=dropout, input_dropout=input_dropout, error=error)
    seen = Teacher(*(of_training(data, part) for part in (answers.outputs, answers.z)))
    with seeded(seed_for("distillation", seed)):
        labels = of_training(data, seen_labels(data, rows))
        objective = Distillation(student, seen, labels, ce=ce, kd=kd, crd=crd, temperature=temperature, contrast=contrast)
    told: dict[str, Any] = {"epochs": epochs, "lr": lr, "weight_decay": weight_decay, "optimizer": "adam", **options}
    return fit_best(objective, batches or _all_rows(data), student, data, split, rows=rows, on_step=on_step, seed=seed, **told)


def generations(
    make: Callable[[], GNN], data: Dataset, split: Split | None = None, *, num: int = 1, ce: float = 0.5, kd: float = 0.5, **options: Any
) -> list[Training]:
    """Self-distillation: a network learns from labels, and ``num`` more each from labels and the one before.

    Born-again networks as few-shot learning takes them (Tian et al., 2020, arXiv:2003.11539), with ``L = ce L_labels + kd L_KD``.
    Generation 0 has no teacher.

    Args:
        make: makes an encoder with fresh parameters; called under the seed of its generation.
        data: with labels; those that are -1 belong to no class that is told apart.
        split: of its rows.
        num: generations after the first.
        ce: weight of the labels.
        kd: weight of the generation before.
        options: as in :func:`distill`, ``seed`` among them, which each generation counts on from.

    Raises:
        ValueError: fewer than no generation, or as in :func:`distill`.

    Example:
        >>> from graphssl import GCN, load
        >>> data = load("karate")
        >>> len(generations(lambda: GCN(34, [8]), data, num=2, epochs=1))
        3

    Deviation:
        The generation before answers for all nodes of the graph and not for the labelled ones alone.
    """
    if num < 0:
        raise ValueError(f"num must be 0 or more, got {num}")
    seed = options.pop("seed", 0)
    nothing = torch.zeros(data.num_rows, data.num_classes)
    done: list[Training] = []
    for k in range(num + 1):
        with seeded(seed_for("generation", seed + k)):
            encoder = make()
        first, second = (ce, kd) if done else (1.0, 0.0)
        teacher = done[-1].objective if done else Teacher(nothing, nothing)
        done.append(distill(teacher, encoder, data, split, ce=first, kd=second, crd=0.0, seed=seed + k, **options))
    return done


def _all_rows(data: Dataset) -> Batches:
    """Batches of all rows that training may see: one graph, or many, in which ``y`` says the row."""
    if data.level == "node":
        return [side_by_side(data.train_graphs)]
    g = replace(data.graph, y=torch.arange(data.num_rows))
    return GraphBatches(g, min(GRAPHS, data.num_rows), drop_last=data.num_rows % GRAPHS == 1)
