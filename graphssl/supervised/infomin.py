"""Learned views that keep what labels need: InfoMin with labels of some nodes."""

from __future__ import annotations

import math

import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call

from graphssl.dropper import weighed
from graphssl.graph import Graph
from graphssl.objectives.base import Objective
from graphssl.objectives.infomin import InfoMin
from graphssl.supervised.infograph_star import statistics_kept


class SemiInfoMin(Objective):
    r"""Semi-supervised InfoMin (Tian et al., 2020, arXiv:2005.10243): views tell little of each other, and still tell the classes.

    Beside the loss of :class:`graphssl.InfoMin`, a linear classifier for each view reads the classes of the labelled nodes off the
    embedding of the view, ``weight * [CE(c_1(v_1), y) + CE(c_2(v_2), y)]``. That trains the classifiers and what drops the edges; the
    encoder is held still for it, so labels reach it through the views alone.

    Args:
        infomin: the objective without labels.
        y: classes of all nodes of the graph that batches are taken from, ``[N]``; -1 is unknown. They are no part of the ``state_dict``.
        weight: of the classifiers' loss; with 0 it is not computed, and all is as in ``infomin`` alone.

    Raises:
        ValueError: a negative weight, or ``y`` that are not classes.

    Example:
        >>> import torch
        >>> from graphssl import GCN, MaskFeatures
        >>> g = Graph.of((torch.eye(4), torch.tensor([[0, 1, 2, 1, 2, 3], [1, 2, 3, 0, 1, 2]])))
        >>> infomin = InfoMin(GCN(4, [8, 4], norm="none"), views=(MaskFeatures(0.2), MaskFeatures(0.2)))
        >>> SemiInfoMin(infomin, torch.tensor([0, -1, -1, 1]))(g).isfinite().item()
        True
    """

    mean_over = None  # two means, over different rows
    y: Tensor

    def __init__(self, infomin: InfoMin, y: Tensor, *, weight: float = 1.0) -> None:
        super().__init__()
        if not 0 <= weight < math.inf:
            raise ValueError(f"weight must be 0 or more, got {weight}")
        if y.dim() != 1 or y.is_floating_point() or not bool((y >= 0).any()):
            raise ValueError(f"y must be [N] classes, -1 where unknown, got shape {tuple(y.shape)} of {y.dtype}")
        self.encoder, self.infomin, self.weight = infomin.encoder, infomin, weight
        self.register_buffer("y", y, persistent=False)
        width = infomin.projector[0].in_features
        assert isinstance(width, int)
        self.classifiers = nn.ModuleList(nn.Linear(width, int(y.max()) + 1) for _ in range(2))

    def forward(self, g: Graph) -> Tensor:
        views, weights = self.infomin.draw(g)
        loss = self.infomin.loss(views, weights)
        if self.weight:
            for classifier, view, w in zip(self.classifiers, views, weights, strict=True):
                loss = loss + self.weight * self.classification(classifier, view if w is None else weighed(view, w))
        return loss

    def classification(self, classifier: nn.Module, view: Graph) -> Tensor:
        """Cross-entropy of the labelled nodes of a view, with no gradient in the encoder; 0 without any.

        Raises:
            ValueError: the view does not say which nodes it holds, and is not of the whole graph.
        """
        if view.node_id is None and view.num_nodes != len(self.y):
            raise ValueError(f"the batch must say by node_id which of the {len(self.y)} nodes it holds, got {view.num_nodes} without")
        y = self.y[view.node_ids[: view.num_seeds]]
        still = {name: p.detach() for name, p in self.encoder.named_parameters()}
        with statistics_kept(self.encoder):
            h: Tensor = functional_call(self.encoder, still, (view,))[: len(y)]
        rows = (y >= 0).nonzero().squeeze(1)
        logits = classifier(h[rows])
        return F.cross_entropy(logits, y[rows]) if rows.numel() else logits.sum()
