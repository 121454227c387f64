"""The loss of predictions against labels of which some may be missing."""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from graphssl.datasets.dataset import Task
from graphssl.losses.precision import full_precision

Error = Literal["mse", "l1"]


@full_precision
def supervised_loss(prediction: Tensor, y: Tensor, task: Task, *, error: Error = "mse") -> Tensor:
    """Mean loss over the labels that are known; zero, with a gradient of zero, where none is.

    ``classification``: cross-entropy. ``multilabel``: binary cross-entropy of each label, averaged over the known entries of the table
    (as pretrain-gnns, Hu et al., 2020, arXiv:1905.12265). ``regression``: squared or absolute errors, averaged likewise.

    Args:
        prediction: ``[n, K]`` logits, or values.
        y: ``[n]`` classes (-1: unknown), or ``[n, K]`` labels of 0 and 1, or targets (NaN: unknown).
        task: what ``y`` holds.
        error: of a regression: ``mse`` or ``l1``.

    Raises:
        ValueError: shapes that disagree.

    Example:
        >>> supervised_loss(torch.tensor([[1.0], [5.0]]), torch.tensor([[0.0], [float("nan")]]), "regression")
        tensor(1.)
        >>> supervised_loss(torch.zeros(2, 3), torch.tensor([-1, -1]), "classification")
        tensor(0.)
    """
    wanted = prediction.shape[:1] if task == "classification" else prediction.shape
    if y.shape != wanted:
        raise ValueError(f"y must be {tuple(wanted)} for task {task} and predictions {tuple(prediction.shape)}, got {tuple(y.shape)}")
    if task == "classification":
        total = F.cross_entropy(prediction, y, ignore_index=-1, reduction="sum")
        return total / (y >= 0).sum().clamp(min=1)
    known = ~y.isnan()
    truth = torch.where(known, y, 0).to(prediction.dtype)
    if task == "multilabel":
        losses = F.binary_cross_entropy_with_logits(prediction, truth, reduction="none")
    else:
        losses = (F.mse_loss if error == "mse" else F.l1_loss)(prediction, truth, reduction="none")
    return (losses * known).sum() / known.sum().clamp(min=1)
