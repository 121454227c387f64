"""Metrics of decision scores: accuracy, F1 and the area under the ROC curve."""

from __future__ import annotations

import torch
from torch import Tensor

METRICS = ("accuracy", "micro_f1", "macro_f1", "roc_auc")


def find_metric(metric: str) -> str:
    """The metric's own spelling of a name (``roc-auc`` and ``ROC_AUC`` are ``roc_auc``).

    Raises:
        ValueError: an unknown name.

    Example:
        >>> find_metric("ROC-AUC")
        'roc_auc'
    """
    name = metric.lower().replace("-", "_").replace(" ", "_")
    name = {"rocauc": "roc_auc", "acc": "accuracy", "f1_micro": "micro_f1", "f1_macro": "macro_f1"}.get(name, name)
    if name not in METRICS:
        raise ValueError(f"metric is {metric!r}; allowed: {', '.join(METRICS)}")
    return name


def measure(metric: str, truth: Tensor, scores: Tensor) -> float:
    """A metric of decision scores.

    Args:
        metric: one of :data:`METRICS`.
        truth: ``[n]`` class indices, or ``[n, K]`` of {0, 1} for multi-label data.
        scores: ``[n, K]``: the largest wins, or for multi-label data those above zero are predicted.

    Raises:
        ValueError: ``roc_auc`` of more than two classes, or of test rows of one class only.

    Example:
        >>> measure("accuracy", torch.tensor([0, 1, 1]), torch.tensor([[2.0, 1.0], [0.0, 3.0], [1.0, 0.0]]))
        0.666...
    """
    if metric == "roc_auc":
        return _roc_auc(truth, scores)
    if truth.dim() == 1:
        predicted = scores.argmax(1)
        if metric in ("accuracy", "micro_f1"):  # the same number where every row has one label
            return float((predicted == truth).double().mean())
        hot = torch.eye(scores.size(1), dtype=torch.bool, device=truth.device)
        return _f1(hot[truth], hot[predicted], macro=True)
    if metric == "accuracy":
        return float(((scores > 0) == (truth > 0.5)).all(1).double().mean())
    return _f1(truth > 0.5, scores > 0, macro=metric == "macro_f1")


def _f1(truth: Tensor, predicted: Tensor, *, macro: bool) -> float:
    both = (truth & predicted).sum(0).double()  # [K]
    total = truth.sum(0).double() + predicted.sum(0)
    if not macro:
        both, total = both.sum(), total.sum()
    return float((2 * both / total.clamp_min(1)).mean())


def _roc_auc(truth: Tensor, scores: Tensor) -> float:
    if truth.dim() == 1:
        if scores.size(1) != 2:
            raise ValueError(f"metric is 'roc_auc' and the labels have {scores.size(1)} classes; it needs two classes or multi-label data")
        truth, scores = truth[:, None], scores[:, 1:] - scores[:, :1]
    columns = [_area(t > 0.5, s) for t, s in zip(truth.unbind(1), scores.unbind(1), strict=True) if 0 < int((t > 0.5).sum()) < len(t)]
    if not columns:
        raise ValueError("metric is 'roc_auc' and the rows to score carry one class only; it needs both")
    return sum(columns) / len(columns)


def _area(positive: Tensor, score: Tensor) -> float:
    """Share of (positive, negative) pairs in the right order, ties half: the Mann-Whitney statistic from mean ranks."""
    _, place, count = score.unique(return_inverse=True, return_counts=True)  # type: ignore[no-untyped-call]
    rank = count.cumsum(0) - (count - 1) / 2  # mean rank of each distinct value, from 1
    wins = rank[place][positive].double().sum()
    p = int(positive.sum())
    return float((wins - p * (p + 1) / 2) / (p * (len(score) - p)))
