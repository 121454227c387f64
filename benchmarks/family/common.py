"""What the experiments of the family share: the data, a small encoder, two views, a pre-training, and the library's own probe.

The reduced set-up, unless a row says otherwise: rows of features that sum to one, a GCN of two layers 128 -> 64, a projector of 64,
100 epochs of Adam at 5e-3, edges dropped at 0.2 and 0.4, columns masked at 0.3 and 0.4, 320 random anchors a step.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from graphssl import (
    GCN,
    GNN,
    GRACE,
    Compose,
    Dataset,
    DropEdges,
    Graph,
    MaskFeatures,
    Objective,
    Split,
    embed,
    fit,
    linear_probe,
    load,
    random_splits,
    seeded,
)
from graphssl.augment import Augmentation
from graphssl.heads import MLP

WIDTHS, EPOCHS, LR, ANCHORS = (128, 64), 100, 5e-3, 320
PUBLIC, RANDOM = "planetoid-public", "random-10-10-80"

Views = tuple[Augmentation, Augmentation]
Loss = Callable[[Tensor, Tensor], Tensor]


@cache
def dataset(name: str = "cora") -> Dataset:
    """A dataset by name with rows of features that sum to one, loaded once."""
    return load(name).preprocess("row-normalize")


def gcn(data: Dataset, widths: Sequence[int] = WIDTHS) -> GNN:
    """The small encoder."""
    return GCN(data.num_features, list(widths), norm="none", act="relu")


def views(edges: tuple[float, float] = (0.2, 0.4), columns: tuple[float, float] = (0.3, 0.4)) -> Views:
    """Edges dropped and columns of features masked, in each view."""
    first, second = (Compose(DropEdges(e), MaskFeatures(c)) for e, c in zip(edges, columns, strict=True))
    return first, second


def of_anchors(loss: Loss, num: int = ANCHORS) -> Loss:
    """The loss of so many rows, drawn anew at each step."""

    def some(u: Tensor, v: Tensor) -> Tensor:
        rows = torch.randperm(u.size(0))[:num]
        return loss(u[rows], v[rows])

    return some


def contrasted(loss: Loss, data: Dataset, *, augmented: Views | None = None, anchors: int | None = ANCHORS) -> GRACE:
    """GRACE of the small encoder with that loss of its projections."""
    return GRACE(gcn(data), augmented or views(), hidden=WIDTHS[-1], loss=loss if anchors is None else of_anchors(loss, anchors))


class Labelled(Objective):
    """Two views of a graph, and a loss of the projections of some labelled rows, ``loss(u, v, y=y)``, drawn anew at each step."""

    def __init__(
        self, encoder: GNN, y: Tensor, loss: Callable[..., Tensor], *, augmented: Views | None = None, anchors: int | None = ANCHORS
    ) -> None:
        super().__init__()
        self.encoder, self.loss, self.views, self.anchors = encoder, loss, augmented or views(), anchors
        self.projector = MLP(encoder.out_channels, WIDTHS[-1], WIDTHS[-1], act="elu")
        self.y, self.known = y, torch.nonzero(y >= 0).flatten()

    def forward(self, g: Graph) -> Tensor:
        """The loss of rows that have a label, -1 being none."""
        rows = self.known[torch.randperm(len(self.known))[: self.anchors]]
        u, v = (self.projector(self.nodes(view(g))[rows]) for view in self.views)
        return self.loss(u, v, y=self.y[rows])


class Classified(Objective):
    """A linear classifier on the encoder of an augmented view, by cross-entropy of labelled rows: what losses with labels stand beside."""

    def __init__(self, encoder: GNN, y: Tensor, *, augmented: Views | None = None) -> None:
        super().__init__()
        self.encoder, self.view, self.y = encoder, (augmented or views())[0], y
        self.head = nn.Linear(encoder.out_channels, int(y.max()) + 1)

    def forward(self, g: Graph) -> Tensor:
        """Cross-entropy of rows that have a label, -1 being none."""
        return F.cross_entropy(self.head(self.nodes(self.view(g))), self.y, ignore_index=-1)


def split_of(data: Dataset, seed: int, *, train: float = 0.45, val: float = 0.1) -> Split:
    """A random split of the labelled rows, drawn by the seed; what is in neither share is for testing."""
    return random_splits(data.y, train=train, val=val, num=1, seed=seed)[0]


def hidden(y: Tensor, rows: Tensor) -> Tensor:
    """The labels of these rows alone, -1 elsewhere."""
    return torch.full_like(y, -1).index_copy(0, rows, y[rows])


def pretrained(
    objective: Objective | Callable[[], Objective], data: Dataset, *, epochs: int = EPOCHS, lr: float = LR, seed: int = 0, **options: Any
) -> Tensor:
    """Embeddings of all nodes ``[N, D]`` after so many epochs. An objective made here has the seed's parameters; one given has its own."""
    if not isinstance(objective, Objective):
        with seeded(seed):
            objective = objective()
    fit(objective, data, epochs=epochs, lr=lr, seed=seed, **{"optimizer": "adam", **options})
    return embed(objective.encoder, data)


def accuracy(z: Tensor, data: Dataset, seed: int = 0, protocol: str | Split = PUBLIC) -> float:
    """Accuracy of the linear probe in per cent: on the dataset's own split, on one drawn by the seed (``random-10-10-80``), or on this."""
    if isinstance(protocol, Split):
        return 100 * linear_probe(z, data.y, protocol).mean
    if protocol == PUBLIC:
        return 100 * linear_probe(z, data.y, data.split, protocol=protocol).mean
    return 100 * linear_probe(z, data.y, protocol, num_splits=1, seed=seed).mean
