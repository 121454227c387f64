"""Supervised training: an encoder and a linear head on the embedding, for classes, labels or targets of a regression."""

from __future__ import annotations

from typing import Literal, get_args

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from graphssl.datasets import Dataset
from graphssl.datasets.dataset import Task
from graphssl.encoders import GNN
from graphssl.graph import Graph
from graphssl.objectives.base import Objective
from graphssl.supervised.loss import Error, supervised_loss


class Supervised(Objective):
    """An encoder with a linear head, trained on the labels ``g.y`` that ride along with a batch.

    A label of -1 or NaN is unknown and counts for nothing (:func:`supervised_loss`). Targets of a regression are standardised by
    ``mean`` and ``std``, which are to be those of the training rows; :meth:`predict` gives them back in their own units.

    Args:
        encoder: what is trained, head apart.
        task: ``classification``, ``multilabel`` or ``regression``.
        num_outputs: classes, labels or targets.
        dropout: on the embedding, before the head.
        error: of a regression: ``mse`` or ``l1``.
        mean: of each target ``[T]``; 0 without it.
        std: of each target ``[T]``; 1 without it.
        level: what is labelled: ``graph`` or ``node``.
        freeze: leave the encoder as it is, batch statistics included, and train the head alone.

    Raises:
        ValueError: an unknown task, or too few outputs for it.

    Example:
        >>> from dataclasses import replace
        >>> from graphssl import GIN, Graph, side_by_side
        >>> path = Graph.of((torch.eye(2), torch.tensor([[0, 1], [1, 0]])))
        >>> objective = Supervised(GIN(2, [4]), "classification", 2)
        >>> objective(replace(side_by_side([path, path]), y=torch.tensor([0, -1]))).isfinite().item()
        True
    """

    encoder: GNN
    mean: Tensor
    std: Tensor

    def __init__(
        self,
        encoder: GNN,
        task: Task,
        num_outputs: int,
        *,
        dropout: float = 0.0,
        error: Error = "mse",
        mean: Tensor | None = None,
        std: Tensor | None = None,
        level: Literal["graph", "node"] = "graph",
        freeze: bool = False,
    ) -> None:
        super().__init__()
        if task not in get_args(Task):
            raise ValueError(f"task must be one of {', '.join(get_args(Task))}, got {task!r}")
        if num_outputs < (least := 2 if task == "classification" else 1):
            raise ValueError(f"num_outputs must be at least {least} for task {task}, got {num_outputs}")
        if not 0 <= dropout < 1:
            raise ValueError(f"dropout must be in [0, 1), got {dropout}")
        if error not in get_args(Error):
            raise ValueError(f"error must be one of {', '.join(get_args(Error))}, got {error!r}")
        self.encoder, self.task, self.dropout, self.error, self.level, self.freeze = encoder, task, dropout, error, level, freeze
        self.head = nn.Linear(encoder.graph_channels if level == "graph" else encoder.out_channels, num_outputs)
        self.register_buffer("mean", torch.zeros(num_outputs) if mean is None else mean.clone())
        self.register_buffer("std", torch.ones(num_outputs) if std is None else std.clone())
        if freeze:
            encoder.requires_grad_(False)

    def train(self, mode: bool = True) -> Supervised:
        """As any module; a frozen encoder stays in evaluation mode."""
        super().train(mode)
        if self.freeze:
            self.encoder.eval()
        return self

    def forward(self, g: Graph) -> Tensor:
        if g.y is None:
            raise ValueError("the batch has no labels y, which supervised training needs")
        return self.loss(g, g.y[: g.num_seeds] if self.level == "node" else g.y)

    def loss(self, g: Graph, y: Tensor) -> Tensor:
        """The loss against labels ``y``, a row a graph, or a node that counts, wherever they are from."""
        return self.loss_of(self.outputs(self.embedded(g)), y)

    def loss_of(self, outputs: Tensor, y: Tensor) -> Tensor:
        """The loss of the head's outputs ``[n, K]`` against labels ``y``."""
        return supervised_loss(outputs, self.standardised(y), self.task, error=self.error)

    def standardised(self, y: Tensor) -> Tensor:
        """Labels as the head tells them: targets of a regression standardised, others as they are."""
        return (y - self.mean) / self.std if self.task == "regression" else y

    def predict(self, g: Graph) -> Tensor:
        """Logits, or targets in their own units, ``[n, K]``: a row a graph, or a node."""
        return self.read(self.embedded(g))

    def read(self, z: Tensor) -> Tensor:
        """:meth:`predict` from embeddings ``[n, D]`` on."""
        out = self.outputs(z)
        return out * self.std + self.mean if self.task == "regression" else out

    def embedded(self, g: Graph) -> Tensor:
        """What the head reads, ``[n, D]``: a row a graph, or a node that counts."""
        return self.graphs(g) if self.level == "graph" else self.nodes(g)

    def outputs(self, z: Tensor) -> Tensor:
        """What the head tells of embeddings ``[n, D]``: logits, or standardised targets, ``[n, K]``."""
        return self.head(F.dropout(z, self.dropout, self.training))  # type: ignore[no-any-return]


def supervise(
    encoder: GNN,
    data: Dataset,
    rows: Tensor,
    *,
    dropout: float = 0.0,
    input_dropout: float = 0.0,
    error: Error | None = None,
    freeze: bool = False,
) -> Supervised:
    """A :class:`Supervised` for the labels of a dataset, the head drawn from torch's global generator.

    Args:
        encoder: what is trained, in place.
        data: says what is predicted.
        rows: ``[n]`` training rows, from which the scale of a regression's targets is taken.
        dropout: on the embedding, and on the input of each layer of the encoder but the first, in place of what it was trained with.
        input_dropout: on the input of the encoder's first layer, likewise.
        error: of a regression; without it ``l1`` where the metric is ``mae``, else ``mse``.
        freeze: train the head alone.

    Raises:
        ValueError: a dataset without labels or of a single class, a target without a value in ``rows``.
    """
    if data.task == "classification" and data.num_classes < 2:
        raise ValueError(f"data: {data.name} has {'one class' if data.num_classes else 'no labels'}, from which there is nothing to learn")
    mean = std = None
    if data.task == "regression":
        mean, std = _scale(data, rows)
    for part in encoder.modules():
        if not freeze and isinstance(part, GNN):
            part.dropout, part.input_dropout = dropout, input_dropout
    error = error or ("l1" if data.metric == "mae" else "mse")
    return Supervised(
        encoder, data.task, data.num_classes, dropout=dropout, error=error, mean=mean, std=std, level=data.level, freeze=freeze
    )


def _scale(data: Dataset, rows: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and biased deviation of each target over the rows where it is known; a constant target is only centred."""
    y = data.y[rows].double()
    known = ~y.isnan()
    count = known.sum(0)
    if not bool(count.all()):
        place = int((count == 0).nonzero()[0])
        name = data.targets[place] if data.targets else str(place)
        raise ValueError(f"data: target {name!r} of {data.name} has no value in the {len(rows)} training rows; give more labels")
    mean = torch.where(known, y, 0).sum(0) / count
    std = (torch.where(known, y - mean, 0).square().sum(0) / count).sqrt()
    return mean.float(), std.where(std > 1e-12 * (1 + mean.abs()), 1).float()
