"""Metrics of decision scores: accuracy, F1, areas under curves; of predicted values: errors in the target's units."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from graphssl.evaluation.score import ERRORS

RANKINGS = ("roc_auc", "average_precision")  # of the order of the scores; undefined where one class only is known
METRICS = ("accuracy", "micro_f1", "macro_f1", *RANKINGS, *ERRORS)
SHORT = {
    "rocauc": "roc_auc",
    "auc": "roc_auc",
    "ap": "average_precision",
    "acc": "accuracy",
    "f1_micro": "micro_f1",
    "f1_macro": "macro_f1",
}


def find_metric(metric: str) -> str:
    """The metric's own spelling of a name (``roc-auc`` and ``ROC_AUC`` are ``roc_auc``).

    Raises:
        ValueError: an unknown name.

    Example:
        >>> find_metric("ROC-AUC")
        'roc_auc'
    """
    name = metric.lower().replace("-", "_").replace(" ", "_")
    name = SHORT.get(name, name)
    if name not in METRICS:
        raise ValueError(f"metric is {metric!r}; allowed: {', '.join(METRICS)}")
    return name


def best_of(metric: str, found: Sequence[float]) -> int:
    """Place of the best of several values, the first of equals: the largest, or the smallest error.

    Example:
        >>> best_of("accuracy", [0.7, 0.8, 0.8]), best_of("rmse", [0.7, 0.8])
        (1, 0)
    """
    return int(np.argmin(found) if metric in ERRORS else np.argmax(found))


def measure(metric: str, truth: Tensor, scores: Tensor) -> float:
    """A metric of decision scores, or of predicted values.

    ``roc_auc``, ``average_precision``, ``rmse`` and ``mae`` are averaged over the columns of a table, each over the rows where it is
    known; the first two leave out a column in which one class only is known (as ``ogb.graphproppred.Evaluator``, Hu et al., 2020,
    arXiv:2005.00687).

    Args:
        metric: one of :data:`METRICS`.
        truth: ``[n]`` class indices, or ``[n, K]`` of {0, 1} for multi-label data, or ``[n, K]`` targets; NaN: not known.
        scores: ``[n, K]``: the largest wins, or for multi-label data those above zero are predicted; for errors the values predicted.

    Raises:
        ValueError: a ranking of more than two classes, or where no column has both classes; an error where nothing is known.

    Example:
        >>> measure("accuracy", torch.tensor([0, 1, 1]), torch.tensor([[2.0, 1.0], [0.0, 3.0], [1.0, 0.0]]))
        0.666...
        >>> measure("rmse", torch.tensor([[1.0], [float("nan")]]), torch.tensor([[1.5], [9.0]]))
        0.5
    """
    if metric in RANKINGS or metric in ERRORS:
        return _by_column(metric, truth, scores)
    if truth.dim() == 1:
        predicted = scores.argmax(1)
        if metric in ("accuracy", "micro_f1"):  # the same number where every row has one label
            return float((predicted == truth).double().mean())
        hot = torch.eye(scores.size(1), dtype=torch.bool, device=truth.device)
        return _f1(hot[truth], hot[predicted], macro=True)
    known = ~truth.isnan()
    if metric == "accuracy":
        return float((((scores > 0) == (truth > 0.5)) | ~known).all(1).double().mean())
    return _f1(truth > 0.5, (scores > 0) & known, macro=metric == "macro_f1")


def measurable(metric: str, truth: Tensor) -> bool:
    """Whether :func:`measure` has something to measure: a column with both classes for a ranking, a known target for an error.

    Example:
        >>> measurable("roc_auc", torch.tensor([1, 1])), measurable("accuracy", torch.tensor([1, 1]))
        (False, True)
    """
    return any(_counts(metric, column) for column in (truth[:, None] if truth.dim() == 1 else truth).unbind(1))


def _f1(truth: Tensor, predicted: Tensor, *, macro: bool) -> float:
    both = (truth & predicted).sum(0).double()  # [K]
    total = truth.sum(0).double() + predicted.sum(0)
    if not macro:
        both, total = both.sum(), total.sum()
    return float((2 * both / total.clamp_min(1)).mean())


def _by_column(metric: str, truth: Tensor, scores: Tensor) -> float:
    if truth.dim() == 1:
        if scores.size(1) != 2:
            raise ValueError(f"metric is {metric!r} and the labels have {scores.size(1)} classes; it needs two classes or multi-label data")
        truth, scores = truth[:, None], scores[:, 1:] - scores[:, :1]
    compute = {"roc_auc": _area, "average_precision": _average_precision, "rmse": _rmse, "mae": _mae}[metric]
    columns = [compute(t[~t.isnan()], s[~t.isnan()]) for t, s in zip(truth.unbind(1), scores.unbind(1), strict=True) if _counts(metric, t)]
    if not columns:
        what = "no known target; it needs one" if metric in ERRORS else "one class only; it needs both"
        raise ValueError(f"metric is {metric!r} and the rows to score carry {what}")
    return sum(columns) / len(columns)


def _counts(metric: str, truth: Tensor) -> bool:
    """Whether a column ``[n]`` has what the metric needs."""
    known = truth[~truth.isnan()]
    if metric in RANKINGS:
        return 0 < int((known > 0.5).sum()) < len(known)
    return len(known) > 0


def _area(truth: Tensor, score: Tensor) -> float:
    """Share of (positive, negative) pairs in the right order, ties half: the Mann-Whitney statistic from mean ranks."""
    positive = truth > 0.5
    _, place, count = score.unique(return_inverse=True, return_counts=True)  # type: ignore[no-untyped-call]
    rank = count.cumsum(0) - (count - 1) / 2  # mean rank of each distinct value, from 1
    wins = rank[place][positive].double().sum()
    p = int(positive.sum())
    return float((wins - p * (p + 1) / 2) / (p * (len(score) - p)))


def _average_precision(truth: Tensor, score: Tensor) -> float:
    """Precision at each distinct score, weighted by the recall it adds; equal scores enter together."""
    _, place, count = (-score).unique(return_inverse=True, return_counts=True)  # type: ignore[no-untyped-call]  # best first
    hits = count.new_zeros(len(count), dtype=torch.float64).index_add_(0, place, (truth > 0.5).double())
    precision = hits.cumsum(0) / count.cumsum(0)
    return float((precision * hits).sum() / hits.sum())


def _rmse(truth: Tensor, value: Tensor) -> float:
    return float((truth.double() - value).square().mean().sqrt())


def _mae(truth: Tensor, value: Tensor) -> float:
    return float((truth.double() - value).abs().mean())
