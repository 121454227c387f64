"""What a trained network passes on: to a student, to classes it has not seen, and how sure it is.

Cora with rows of features that sum to one. No number was chosen by test labels: epochs that count are those best on validation, strengths
of disturbances are the largest that raise the validation loss by 5 % at most.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cache, partial
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks.family import Figures, Row
from benchmarks.family.common import contrasted, dataset, gcn, pretrained
from graphssl import MLP, Dataset, embed, few_shot, losses, random_splits, seeded, uncertainty
from graphssl.evaluation import reliability
from graphssl.sensitivity import Disturbance, tolerable
from graphssl.supervised import Contrast, Supervised, Teacher, distill, generations

TRAINING: dict[str, Any] = {"epochs": 150, "lr": 0.01, "weight_decay": 5e-4, "dropout": 0.5}  # GCN's of Kipf and Welling, 150 epochs
STUDENT = {**TRAINING, "epochs": 100}
CONTRAST = Contrast(negatives=512)

# ---------------------------------------------------------------------- a student

STUDENTS = {
    "labels alone": {"kd": 0.0, "crd": 0.0},
    "predictions": {"kd": 1.0, "crd": 0.0},
    "embeddings": {"kd": 0.0, "crd": 0.8},
    "both": {"kd": 1.0, "crd": 0.8},
}


@cache
def _teacher(seed: int) -> tuple[Supervised, float]:
    """A GCN on the labels of the public split, and its accuracy."""
    (found,) = generations(lambda: gcn(dataset()), dataset(), num=0, seed=seed, **TRAINING)
    return found.objective, 100 * (found.test or 0.0)


@cache
def _answers(seed: int) -> Teacher:
    return Teacher.of(_teacher(seed)[0], dataset())


def taught(variant: str, seed: int) -> Figures:
    """An MLP of one hidden layer, with 140 labels and what the GCN says of all nodes."""
    data = dataset()
    with seeded(seed):
        net = MLP(data.num_features, [256], norm="none", act="relu")
    found = distill(_answers(seed), net, data, contrast=CONTRAST, seed=seed, **STUDENTS[variant], **STUDENT)
    return {"score": 100 * (found.test or 0.0), "teacher": _teacher(seed)[1], "epoch": float(found.epoch)}


# ---------------------------------------------------------------------- new classes

EMBEDDINGS = ("raw features", "supervised", "supervised, generation 1", "GRACE", "GRACE and supervised")


def _classes(seed: int) -> Tensor:
    """Cora's seven classes in an order drawn by the seed: the first four are known, the others new."""
    return torch.randperm(7, generator=torch.Generator().manual_seed(seed))


@cache
def _known(seed: int) -> Dataset:
    """Cora with the labels of the four known classes alone, half of them to learn from and a tenth to choose the epoch."""
    data, order = dataset(), _classes(seed)
    number = torch.full((7,), -1).index_copy(0, order[:4], torch.arange(4))
    y = number[data.y]
    return replace(data, y=y, splits=random_splits(y, train=0.5, val=0.1, num=1, seed=seed), classes=None)


@cache
def _supervised(seed: int, generation: int) -> Tensor:
    chain = generations(lambda: gcn(dataset()), _known(seed), num=generation, seed=seed, **TRAINING)
    return embed(chain[-1].objective.encoder, dataset())


@cache
def _grace(seed: int) -> Tensor:
    data = dataset()
    return pretrained(lambda: contrasted(partial(losses.info_nce, tau=0.4, intra=True), data), data, seed=seed)


def new_classes(variant: str, seed: int) -> Figures:
    """Three classes that nothing was learned of, five nodes of each."""
    data = dataset()
    z = {
        "raw features": lambda: data.graph.dense_x(),
        "supervised": lambda: _supervised(seed, 0),
        "supervised, generation 1": lambda: _supervised(seed, 1),
        "GRACE": lambda: _grace(seed),
        "GRACE and supervised": lambda: torch.cat([F.normalize(part, dim=1) for part in (_grace(seed), _supervised(seed, 0))], 1),
    }[variant]()
    found = few_shot(z, data.y, ways=3, shots=5, novel=_classes(seed)[4:].tolist(), seed=seed)
    return {"score": 100 * found.mean, "half width": 100 * found.half_width}


# ---------------------------------------------------------------------- where it errs

DISTURBED: dict[str, Disturbance] = {"noise on features": "noise", "edges dropped": "transformation", "dropout": "dropout"}


def unsure(variant: str, seed: int) -> Figures:
    """How well an uncertainty tells the test nodes that a GCN gets wrong from those it gets right."""
    data, (model, _) = dataset(), _teacher(seed)
    told = _answers(seed).outputs.softmax(1)
    if variant in DISTURBED:

        def loss(answers: Tensor) -> float:
            return float(F.nll_loss(answers[data.split.val].log(), data.y[data.split.val]))

        strength = tolerable(model, data.graph, by=DISTURBED[variant], loss=loss, seed=seed)
        u = uncertainty(model, data.graph, by=DISTURBED[variant], strength=strength, times=50, seed=seed)
    else:
        strength, u = 0.0, 1 - told.amax(1)
    rows = data.split.test
    found = reliability(u[rows], (told.argmax(1) != data.y)[rows].float())
    return {"score": 100 * cast(float, found.error_auroc), "ause": cast(float, found.ause), "strength": strength}


ROWS = [
    Row(
        "crd",
        "an MLP taught by a GCN: its predictions, its embeddings, both; the paper has embeddings ahead of predictions, and both best",
        "Tian et al., 2020, arXiv:1910.10699; GLNN, Zhang et al., 2022, arXiv:2110.08727",
        "cora, public split, 140 labels; 100 epochs, InfoNCE against 512 rows of a bank",
        "accuracy of the student, per cent",
        tuple(STUDENTS),
        taught,
    ),
    Row(
        "rfs",
        "three new classes from five nodes of each by logistic regression on a frozen embedding; the paper learns it on known classes",
        "Tian et al., 2020, arXiv:2003.11539",
        "cora, four known and three new classes drawn by the seed; 600 episodes of 3 ways, 5 shots and 15 queries a class",
        "accuracy over episodes, per cent",
        EMBEDDINGS,
        new_classes,
    ),
    Row(
        "sensitivity",
        "the variance of a trained GCN's answers under disturbance as a sign of error, beside one minus its largest probability",
        "Mi et al., 2022, arXiv:1910.04858",
        "cora, public split; 50 passes at the strength that validation tolerates",
        "AUROC of wrong against right test nodes, per cent",
        ("largest probability", *DISTURBED),
        unsure,
    ),
]
