"""Negatives: false ones cancelled, harder ones mixed, and a queue of those of earlier steps."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks.family import Figures, Row
from benchmarks.family.common import ANCHORS, EPOCHS, LR, WIDTHS, accuracy, dataset, gcn, views
from graphssl import Dataset, Graph, MoCo, NeighbourBatches, Objective, embed, fit, seeded
from graphssl.heads import MLP
from graphssl.losses import fnc, mochi
from graphssl.losses.cancellation import false_negatives, precision_and_recall, within
from graphssl.losses.positives import Positives

TAU = 0.4  # of GRACE's recipe for Cora
FOUND = {"k": 10, "threshold": 0.9}
PUBLIC, ACCURACY = "cora, public split", "accuracy of the linear probe, per cent"
REDUCED = f"{PUBLIC}; GCN 128-64, 100 epochs, 320 anchors a step"

CANCELLED = {  # what is done, and how the false negatives are known
    "NT-Xent": ("eliminate", "none"),
    "eliminate, found": ("eliminate", "found"),
    "attract, found": ("attract", "found"),
    "eliminate, found within 2 edges": ("eliminate", "near"),
    "attract, found within 2 edges": ("attract", "near"),
    "eliminate, by labels (oracle)": ("eliminate", "labels"),
    "attract, by labels (oracle)": ("attract", "labels"),
}
MIXED = {  # mixtures of two, mixtures with the row, and how false negatives are known, which are not mixed
    "InfoNCE": (0, 0, "none"),
    "MoCHi": (64, 8, "none"),
    "MoCHi, found ones left out": (64, 8, "found"),
    "InfoNCE, by labels (oracle)": (0, 0, "labels"),
    "MoCHi, by labels (oracle)": (64, 8, "labels"),
}
QUEUED = {"64 keys of the step": 1, "queue of 512": 512, "queue of 2,048": 2048}  # places of the queue


class Cancelling(Objective):
    """Two views, and a loss of some rows that is told which of them are false negatives, ``loss(u, v, false)``."""

    def __init__(self, data: Dataset, known: str) -> None:
        super().__init__()
        self.encoder, self.views, self.known, self.y = gcn(data), views(), known, data.y
        self.projector = MLP(self.encoder.out_channels, WIDTHS[-1], WIDTHS[-1], act="elu")
        self.near = within(data.graph, 2).mask(slice(0, data.num_nodes), data.num_nodes)  # of 2,708 nodes all pairs are no burden
        self.figures: Figures = {}

    def pairs(self, u: Tensor, v: Tensor, rows: Tensor) -> Tensor:
        """False negatives among the rows, ``[2, E]``; looks at labels only where the variant is the oracle."""
        if self.known == "none":
            return rows.new_empty(2, 0)
        if self.known == "labels":
            return torch.nonzero(Positives.labels(self.y[rows]).mask(slice(0, len(rows)), len(rows))).t()
        near = Positives.listed(*torch.nonzero(self.near[rows][:, rows]).t(), len(rows)) if self.known == "near" else None
        return false_negatives((u, v), (u, v), evidence=near, **FOUND)  # type: ignore[arg-type]

    def forward(self, g: Graph) -> Tensor:
        """The loss of as many random rows as all experiments take."""
        rows = torch.randperm(g.num_nodes)[:ANCHORS]
        u, v = (self.projector(self.nodes(view(g))[rows]) for view in self.views)
        pairs = self.pairs(u, v, rows)
        self.figures = precision_and_recall(pairs, self.y[rows])
        return self.loss(u, v, Positives.listed(*pairs, len(rows)))

    def loss(self, u: Tensor, v: Tensor, false: Positives) -> Tensor:
        """What the experiment compares."""
        raise NotImplementedError


class Cancelled(Cancelling):
    """FNC with the false negatives of the variant."""

    def __init__(self, data: Dataset, how: str, known: str) -> None:
        super().__init__(data, known)
        self.how = how

    def loss(self, u: Tensor, v: Tensor, false: Positives) -> Tensor:
        """Elimination or attraction."""
        return fnc(u, v, tau=TAU, false=false, how=self.how)  # type: ignore[arg-type]


class Mixed(Cancelling):
    """MoCHi with so many mixtures of the hardest quarter, in which the false negatives of the variant are not."""

    def __init__(self, data: Dataset, mixed: int, with_query: int, known: str) -> None:
        super().__init__(data, known)
        self.sizes = mixed, with_query

    def loss(self, u: Tensor, v: Tensor, false: Positives) -> Tensor:
        """InfoNCE with mixtures."""
        return mochi(u, v, tau=0.2, num_mixed=self.sizes[0], num_with_query=self.sizes[1], exclude=false)


def cancelled(variant: str, seed: int) -> Figures:
    """Accuracy, and how good what was found in the last ten steps is."""
    data = dataset("cora")
    with seeded(seed):
        objective = Cancelled(data, *CANCELLED[variant])
    found = trained(objective, data, seed)
    return {"score": accuracy(embed(objective.encoder, data), data, seed), **found}


def mixed(variant: str, seed: int) -> Figures:
    """Accuracy, how evenly projections lie on the sphere, and the share of nodes that find themselves in another view."""
    data = dataset("cora")
    with seeded(seed):
        objective = Mixed(data, *MIXED[variant])
    trained(objective, data, seed)
    h = embed(objective.encoder, data)
    with torch.no_grad(), seeded(seed):
        u, v = (F.normalize(objective.projector(objective.nodes(view(data.graph))), dim=1) for view in objective.views)
    own = (u @ v.t()).argmax(1) == torch.arange(len(u))
    uniformity = torch.pdist(u).square().mul(-2).exp().mean().log()
    return {"score": accuracy(h, data, seed), "uniformity": float(uniformity), "found in the other view": 100 * float(own.float().mean())}


def trained(objective: Cancelling, data: Dataset, seed: int) -> Figures:
    """Pre-trains, and tells the mean figures of the last ten steps."""
    told = []
    fit(objective, data, epochs=EPOCHS - 10, lr=LR, seed=seed, optimizer="adam")
    for last in range(10):
        fit(objective, data, epochs=1, lr=LR, seed=1000 * seed + last, optimizer="adam")
        told.append(objective.figures)
    return {key: sum(figures[key] for figures in told) / len(told) for key in told[0]}


def queued(variant: str, seed: int) -> Figures:
    """Accuracy after momentum contrast of 64 sampled nodes a step, with keys of earlier steps or without."""
    data = dataset("cora")
    batches = NeighbourBatches(data.graph, (10, 10), 64, seed=seed)
    with seeded(seed):
        objective = MoCo(gcn(data), views(), hidden=WIDTHS[-1], queue=QUEUED[variant])
    fit(objective, batches, epochs=8, lr=LR, seed=seed, optimizer="adam")
    return {"score": accuracy(embed(objective.encoder, data), data, seed)}


ROWS = [
    Row(
        "false-negatives",
        "FNC: false negatives left out or attracted, found by similarity (cosine above 0.9, 10 at most) or, as upper bound, by the labels",
        "Huynh et al., 2022, arXiv:2011.11765",
        REDUCED,
        ACCURACY,
        tuple(CANCELLED),
        cancelled,
    ),
    Row(
        "mixed-negatives",
        "MoCHi: mixtures of hard negatives are said to make embeddings more uniform and more useful",
        "Kalantidis et al., 2020, arXiv:2010.01028",
        REDUCED,
        ACCURACY,
        tuple(MIXED),
        mixed,
    ),
    Row(
        "queue",
        "MoCo: keys of earlier steps as negatives, for steps of few nodes",
        "He et al., 2020, arXiv:1911.05722",
        f"{PUBLIC}; GCN 128-64, 8 epochs of sampled neighbours, 64 nodes a step, momentum 0.99",
        ACCURACY,
        tuple(QUEUED),
        queued,
    ),
]
