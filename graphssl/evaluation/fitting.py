"""One split of a linear probe: scale by train, choose the penalty, fit on train."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from sklearn.model_selection import KFold, ShuffleSplit, StratifiedKFold
from torch import Tensor

from graphssl.adjacency import CSR
from graphssl.evaluation.adamw import adamw_path
from graphssl.evaluation.liblinear import sklearn_path
from graphssl.evaluation.logistic import Fit, logistic_path
from graphssl.evaluation.metrics import best_of, measurable, measure
from graphssl.evaluation.protocols import Protocol
from graphssl.evaluation.ridge import ridge_path
from graphssl.evaluation.rows import Rows, Scaler, class_names, take
from graphssl.evaluation.score import ERRORS

NEVER = 1e30  # score of a class that no train row has: finite, so that every metric can sort it
SOLVERS = {
    "multinomial": ("newton", "lbfgs"),
    "one-vs-rest": ("newton", "liblinear"),
    "linear-adamw": ("newton",),
    "svm": ("libsvm",),
    "per-task": ("newton", "lbfgs"),
}


@dataclass(frozen=True, eq=False)
class Probe:
    """A fitted probe of one split.

    Attributes:
        fit: weights and intercepts of the chosen penalty.
        scaler: what the rows pass through.
        classes: ``[K]`` labels of the columns; ``None`` for multi-label data.
        selected: the chosen hyper-parameters.
        converged: every fit of the grid reached its tolerance (``linear-adamw``: the chosen one).
    """

    fit: Fit
    scaler: Scaler
    classes: Tensor | None
    selected: dict[str, float]
    converged: bool

    def scores(self, x: Tensor | CSR, index: Tensor, chunk: int = 65_536) -> Tensor:
        """Decision scores ``[n, K]`` of rows ``index``."""
        rows = torch.split(index, chunk)
        return torch.cat([_columns(self.fit.scores(self.scaler(take(x, part)))[0], self.classes) for part in rows])

    def truth(self, y: Tensor) -> Tensor:
        """Labels as the columns of :meth:`scores` number them."""
        return _truth(y, self.classes)


def fit_probe(
    x: Tensor | CSR,
    y: Tensor,
    rows: Rows,
    protocol: Protocol,
    metric: str,
    *,
    seed: int = 0,
    solver: str = "auto",
    max_iter: int | None = None,
) -> Probe:
    """Choose the penalty and fit one split; the labels of the test rows are read only to number the classes.

    Unknown labels of a table (NaN) are left out column by column. Where the validation rows cannot be measured (one class only for a
    ranking) folds of train choose.

    Raises:
        ValueError: a single class in the train rows, a solver that is not the protocol's.
    """
    classes = class_names(y, rows) if y.dim() == 1 else None
    path = _Path(protocol, solver, max_iter, seed, metric, classes is not None)
    scaler = Scaler.fit(protocol.scale, take(x, rows.train))
    train, targets = scaler(take(x, rows.train)), _targets(y[rows.train], classes, protocol)
    judge = _Judge(metric, classes, _units(targets) if metric in ERRORS else None)
    if not judge.can(y[rows.train]):
        raise ValueError(f"metric is {metric!r}, and no column of y has both classes in the train rows; at least one needs them")
    grid = list(protocol.grid)
    if protocol.selection == "validation" and len(rows.val) and judge.can(y[rows.val]):
        fits = path(train, targets, grid)
        scores = fits.scores(scaler(take(x, rows.val)))
        found = judge(y[rows.val], scores)
        best = best_of(metric, found)  # the first of equals: the smaller penalty
        # AdamW diverges at the largest weight decays of its grid, whatever the steps: there the chosen one speaks.
        done = bool(fits.converged[best] if protocol.classifier == "linear-adamw" else fits.converged.all())
        shown = replace(judge, units=None)(y[rows.val], scores[best : best + 1])[0]
        return Probe(fits.one(best), scaler, classes, path.named(grid[best]) | {"validation": shown}, done)
    chosen, done = _cross_validate(path, train, y[rows.train], targets, judge)
    fit = path(train, targets, [chosen])
    return Probe(fit, scaler, classes, path.named(chosen), done and bool(fit.converged.all()))


@dataclass(frozen=True)
class _Judge:
    """A metric of the scores of each penalty; errors in units of the train targets' deviation, so that each target has its say."""

    metric: str
    classes: Tensor | None
    units: Tensor | None

    def __call__(self, y: Tensor, scores: Tensor) -> list[float]:
        truth = _truth(y, self.classes)
        if self.units is not None:
            truth, scores = truth / self.units, scores / self.units
        return [measure(self.metric, truth, _columns(s, self.classes)) for s in scores]

    def can(self, y: Tensor) -> bool:
        """Whether these labels suffice for the metric."""
        return measurable(self.metric, _truth(y, self.classes))


@dataclass(frozen=True)
class _Path:
    """The classifier of a protocol over a grid of penalties."""

    protocol: Protocol
    solver: str
    max_iter: int | None
    seed: int
    metric: str
    by_class: bool  # one class a row, not a table

    def __post_init__(self) -> None:
        check_solver(self.protocol, self.solver)
        if self.metric in ERRORS and self.solver != "auto":
            raise ValueError(f"solver is {self.solver!r}; allowed for {self.protocol.label} with metric {self.metric}: auto")

    def named(self, penalty: float) -> dict[str, float]:
        """A chosen penalty under its own name."""
        if self.metric in ERRORS:
            return {"alpha": 1 / penalty}
        return {"weight_decay" if self.protocol.classifier == "linear-adamw" else "C": penalty}

    def __call__(self, x: Tensor | CSR, targets: Tensor, grid: Sequence[float]) -> Fit:
        """All fits of the grid; columns that are unknown in the same rows are fitted together, on the others."""
        unknown = targets.isnan()
        if not bool(unknown.any()):
            return self._whole(x, targets, grid)
        kinds, kind = unknown.unique(dim=1, return_inverse=True)  # type: ignore[no-untyped-call]
        (_, d), k, m = x.shape, targets.size(1), len(grid)
        coef, intercept = _zeros(x, m, d, k), _zeros(x, m, k)
        converged = torch.ones(m, dtype=torch.bool, device=x.device)
        for i, missing in enumerate(kinds.unbind(1)):
            columns, rows = (kind == i).nonzero().squeeze(1), (~missing).nonzero().squeeze(1)
            if len(rows):  # without a single label there is nothing to say
                fit = self._whole(take(x, rows), targets[rows][:, columns], grid)
                coef[:, :, columns], intercept[:, columns], converged = fit.coef, fit.intercept, converged & fit.converged
        return Fit(coef, intercept, converged)

    def _whole(self, x: Tensor | CSR, targets: Tensor, grid: Sequence[float]) -> Fit:
        if self.metric in ERRORS:
            return ridge_path(x, targets, grid)
        if self.protocol.classifier == "linear-adamw":
            return adamw_path(x, targets, grid, seed=self.seed, max_iter=self.max_iter or 100)
        several = targets.size(1) > 1 and bool((targets.sum(1) == 1).all())
        softmax = several and (self.protocol.classifier == "multinomial" or (self.protocol.classifier == "per-task" and self.by_class))
        mixed = (targets != targets[:1]).any(0)  # [K] columns that have both answers
        if bool(mixed.all()):
            return self._solve(x, targets, grid, softmax=softmax)
        m, (_, d), k = len(grid), x.shape, targets.size(1)
        coef, converged = _zeros(x, m, d, k), torch.ones(m, dtype=torch.bool, device=x.device)
        intercept = torch.where(targets[0] > 0, NEVER, -NEVER).to(x.dtype).repeat(m, 1)
        if bool(mixed.any()):
            fit = self._solve(x, targets[:, mixed], grid, softmax=softmax)
            coef[:, :, mixed], intercept[:, mixed], converged = fit.coef, fit.intercept, fit.converged
        return Fit(coef, intercept, converged)

    def _solve(self, x: Tensor | CSR, targets: Tensor, grid: Sequence[float], *, softmax: bool) -> Fit:
        penalised = self.protocol.classifier == "one-vs-rest"
        sparse_words = isinstance(x, CSR) and penalised  # liblinear touches non-zeros only and stops early: twice as fast there
        if self.solver == "newton" or (self.solver == "auto" and not sparse_words):
            return logistic_path(x, targets, grid, softmax=softmax, penalise_intercept=penalised, max_iter=self.max_iter or 100)
        return sklearn_path(x, targets, grid, softmax=softmax, penalise_intercept=penalised, max_iter=self.max_iter or 10_000)


def check_solver(protocol: Protocol, solver: str) -> None:
    """Refuse a solver that is not the protocol's.

    Raises:
        ValueError: it is not.
    """
    allowed = ("auto", *SOLVERS[protocol.classifier])
    if solver not in allowed:
        raise ValueError(f"solver is {solver!r}; allowed for {protocol.label}: {', '.join(allowed)}")


def _zeros(x: Tensor | CSR, *shape: int) -> Tensor:
    return torch.zeros(shape, dtype=x.dtype, device=x.device)


def _units(targets: Tensor) -> Tensor:
    """Deviation of the known targets of each column ``[T]``; 1 where they are all the same."""
    count = (~targets.isnan()).sum(0).clamp_min(1)
    mean = targets.nansum(0) / count
    std = ((targets - mean).square().nansum(0) / count).sqrt()
    return torch.where(std > 0, std, 1.0)


def _targets(y: Tensor, classes: Tensor | None, protocol: Protocol) -> Tensor:
    """``[n, K]`` in {0, 1}; two classes are one column, unless one-vs-rest."""
    if classes is None:
        return y
    if len(classes) == 2 and protocol.classifier != "one-vs-rest":
        return (y == classes[1])[:, None]
    return y[:, None] == classes


def _truth(y: Tensor, classes: Tensor | None) -> Tensor:
    return y if classes is None else torch.searchsorted(classes, y)


def _columns(scores: Tensor, classes: Tensor | None) -> Tensor:
    """Scores with a column for each class: a single column of a two-class problem stands against zero."""
    if classes is None or scores.size(1) == len(classes):
        return scores
    return torch.cat([torch.zeros_like(scores), scores], 1)


def _cross_validate(path: _Path, x: Tensor | CSR, y: Tensor, targets: Tensor, judge: _Judge) -> tuple[float, bool]:
    """The penalty with the best mean over folds of the train rows (the first of equals), and whether all fits converged."""
    protocol = path.protocol
    by_metric = protocol.selection == "validation"
    found, done = [], True
    for a, b in _folds(y, protocol, path.seed):
        if by_metric and not judge.can(y[b]):
            continue
        fits = path(take(x, a), targets[a], protocol.grid)
        done = done and bool(fits.converged.all())
        scores = fits.scores(take(x, b))  # [m, n, K]
        # The official codes go by subset accuracy: every yes and every no of the row right.
        right = judge(y[b], scores) if by_metric else ((scores > 0) == (targets[b] > 0)).all(2).double().mean(1).tolist()
        found.append(right)
    if not found:  # a class with one row cannot be left out: the grid's value nearest to 1
        return min(protocol.grid, key=lambda c: abs(float(np.log(c)))), True
    return protocol.grid[best_of(path.metric, np.mean(found, 0).tolist())], done


def _folds(y: Tensor, protocol: Protocol, seed: int) -> list[tuple[Tensor, Tensor]]:
    n = len(y)
    cut: Any = []
    if protocol.selection == "shuffle-split":
        cut = ShuffleSplit(5, test_size=0.5, random_state=seed).split(np.zeros(n))
    elif protocol.selection == "k-fold":
        cut = KFold(5).split(np.zeros(n))
    elif y.dim() == 1:
        num = min(5, int(y.unique(return_counts=True)[1].min()))  # type: ignore[no-untyped-call]
        if num > 1:
            cut = StratifiedKFold(num, shuffle=True, random_state=seed).split(np.zeros(n), y.cpu().numpy())
    elif n > 1:
        cut = KFold(min(5, n), shuffle=True, random_state=seed).split(np.zeros(n))
    return [(torch.as_tensor(a, device=y.device), torch.as_tensor(b, device=y.device)) for a, b in cut]
