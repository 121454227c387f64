"""A supervised loss with a self-supervised one beside it, over one encoder."""

from __future__ import annotations

import math
from typing import Literal, get_args

import torch
from torch import Tensor

from graphssl.datasets import Dataset
from graphssl.graph import Graph
from graphssl.objectives.base import Objective
from graphssl.supervised.infograph_star import statistics_kept
from graphssl.supervised.labels import seen_labels
from graphssl.supervised.objective import Supervised
from graphssl.supervised.smoothness import entropy, vat

Reach = Literal["encoder", "head", "none"]


class Joint(Objective):
    r"""Labels of some nodes, and an objective over all of them as an auxiliary loss: ``L = L_supervised + weight * L_auxiliary``.

    It is S4L (Zhai et al., 2019, arXiv:1905.03670) with any pretext; ``vat`` and ``entropy`` add the two terms of its MOAM. With
    :class:`graphssl.BGRL` it is the semi-supervised setting of Thakoor et al., 2022, arXiv:2102.06514, on MAG240M. Both losses go through
    one encoder; the supervised one sees a batch as it is, the auxiliary one makes its own views of it. The labels are looked up
    by the batch's ``node_id``, so that any batches of the large graph will do, whole, sampled or cut. The supervised part is a mean over
    the rows of the batch that count and have a known label, and 0 in a batch without any.

    Batch norm in the encoder keeps to the statistics of batches as they are: those of the views would be wrong for predictions.

    Args:
        supervised: at node level.
        auxiliary: any objective over the same encoder.
        y: labels of all nodes of the graph that batches are taken from, ``[N]`` or ``[N, K]``; -1 or NaN is unknown. They are no part of
            the ``state_dict``.
        weight: of the auxiliary loss; with 0 it is not computed, and all is as in supervised training alone.
        reach: how far the supervised loss goes: to the ``encoder``; to the ``head`` alone, a probe of what the auxiliary loss trains; or
            ``none``, where the auxiliary loss trains the head too.
        vat: weight of :func:`.smoothness.vat` over all nodes, labelled or not.
        vat_eps: how far it moves features, in mean lengths of a row.
        entropy: weight of the predictions' :func:`.smoothness.entropy` over all nodes.
        ramp: shares of the run at which these two weights leave 0 and reach their full value. From the start they would make the network
            sure of what it has not learned yet.

    Raises:
        ValueError: a negative weight, a ramp that is none, an unknown ``reach``, one that leaves the encoder without a loss, two encoders,
            labels of graphs, ``y`` of another shape than the task's, or ``vat`` and ``entropy`` of other things than classes.

    Example:
        >>> from graphssl import BGRL, GCN, DropEdges
        >>> g = Graph.of((torch.eye(4), torch.tensor([[0, 1, 2, 1, 2, 3], [1, 2, 3, 0, 1, 2]])))
        >>> encoder = GCN(4, [8, 8])
        >>> supervised = Supervised(encoder, "classification", 2, level="node")
        >>> objective = Joint(supervised, BGRL(encoder, views=(DropEdges(0.5),) * 2), torch.tensor([0, -1, -1, 1]))
        >>> objective(g).isfinite().item()
        True

    Deviation:
        The paper draws ten unlabelled nodes for each labelled one into a batch; here batches are those of the auxiliary objective, and
        labels come as they fall.
    """

    mean_over = None  # two means, over different rows
    y: Tensor
    progress: Tensor

    def __init__(
        self,
        supervised: Supervised,
        auxiliary: Objective,
        y: Tensor,
        *,
        weight: float = 1.0,
        reach: Reach = "encoder",
        vat: float = 0.0,
        vat_eps: float = 1.0,
        entropy: float = 0.0,
        ramp: tuple[float, float] = (0.3, 0.6),
    ) -> None:
        super().__init__()
        for name, value in (("weight", weight), ("vat", vat), ("vat_eps", vat_eps), ("entropy", entropy)):
            if not 0 <= value < math.inf:
                raise ValueError(f"{name} must be 0 or more, got {value}")
        if not 0 <= ramp[0] < ramp[1] <= 1:
            raise ValueError(f"ramp must be two shares of the run, the first below the second, got {ramp}")
        if reach not in get_args(Reach):
            raise ValueError(f"reach must be one of {', '.join(get_args(Reach))}, got {reach!r}")
        if reach != "encoder" and not weight:
            raise ValueError(f"weight must be above 0 with reach {reach}, where the auxiliary loss alone trains the encoder, got {weight}")
        if supervised.level != "node":
            raise ValueError(f"supervised must be for labels of nodes, got level {supervised.level!r}")
        if auxiliary.encoder is not supervised.encoder:
            raise ValueError("auxiliary must train the encoder of supervised, got another one")
        if (vat or entropy) and (supervised.task != "classification" or reach == "none"):
            raise ValueError(
                f"vat and entropy are for one class a node and a head that the labels train, got task {supervised.task}, {reach=}"
            )
        wanted = () if supervised.task == "classification" else (supervised.head.out_features,)
        if y.dim() != 1 + len(wanted) or y.shape[1:] != wanted:
            raise ValueError(f"y must be {['N', *wanted]} for task {supervised.task}, got shape {tuple(y.shape)}".replace("'", ""))
        self.encoder, self.supervised, self.auxiliary, self.weight = supervised.encoder, supervised, auxiliary, weight
        self.reach, self.vat, self.vat_eps, self.entropy, self.ramp = reach, vat, vat_eps, entropy, ramp
        self.register_buffer("progress", torch.zeros(()))
        self.register_buffer("y", y, persistent=False)

    def forward(self, g: Graph) -> Tensor:
        if self.reach == "none":
            return self.weight * self.auxiliary(g)  # type: ignore[no-any-return]
        h = self.supervised.embedded(g)
        loss = self.supervised.loss_of(self.supervised.outputs(h if self.reach == "encoder" else h.detach()), self.labels_of(g))
        if self.weight:
            with statistics_kept(self.encoder):
                loss = loss + self.weight * self.auxiliary(g)
        return loss + self._smoothness(g, h) if self.vat or self.entropy else loss

    def _smoothness(self, g: Graph, h: Tensor) -> Tensor:
        """The two terms that need no label, with their weights of the moment; ``h`` ``[S, D]`` are the nodes' embeddings."""
        h = h if self.reach == "encoder" else h.detach()
        total = h.new_zeros(())
        if self.entropy:
            total = total + self.entropy * entropy(self.supervised.outputs(h))
        if self.vat:
            with statistics_kept(self.encoder):
                moved = vat(lambda x: self.supervised.predict(g.with_x(x)), g.dense_x(), eps=self.vat_eps)
            total = total + self.vat * moved
        start, end = self.ramp
        share: Tensor = ((self.progress - start) / (end - start)).clamp(0, 1)
        return total * share

    def labels_of(self, g: Graph) -> Tensor:
        """Labels of the rows of a batch that count, ``[S]`` or ``[S, K]``.

        Raises:
            ValueError: the batch does not say which nodes it holds, and is not the whole graph.
        """
        return self.y[seeds_among(g, len(self.y))]

    def after_step(self, progress: float) -> None:
        self.progress.fill_(progress)
        if self.weight:
            self.auxiliary.after_step(progress)

    def after_epoch(self, progress: float) -> None:
        if self.weight:
            self.auxiliary.after_epoch(progress)


def seeds_among(g: Graph, total: int) -> Tensor | slice:
    """Places ``[S]`` of the nodes of a batch that count among the ``total`` of the graph that it is of.

    Raises:
        ValueError: the batch does not say which nodes it holds, and is not the whole graph.
    """
    if g.node_id is not None:
        return g.node_id[: g.num_seeds]
    if g.num_nodes != total:
        raise ValueError(f"the batch must say by node_id which of the {total} nodes it holds, got {g.num_nodes} nodes without")
    return slice(g.num_seeds)


def training_labels(data: Dataset, rows: Tensor) -> Tensor:
    """:func:`seen_labels` of the nodes that batches for training are taken from: the train graphs', one after another."""
    return of_training(data, seen_labels(data, rows))


def of_training(data: Dataset, rows: Tensor) -> Tensor:
    """Of ``[R, *]``, a row for each row of a dataset, those of the graphs that batches for training are taken from."""
    if data.parts is None:
        return rows
    parts = torch.split(rows, [g.num_nodes for g in data.graphs])  # type: ignore[no-untyped-call]
    return torch.cat([part for part, of in zip(parts, data.parts, strict=True) if of == "train"])
