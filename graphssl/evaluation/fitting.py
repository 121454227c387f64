"""One split of a linear probe: scale by train, choose the penalty, fit on train."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from sklearn.model_selection import KFold, ShuffleSplit, StratifiedKFold
from torch import Tensor

from graphssl.adjacency import CSR
from graphssl.evaluation.adamw import adamw_path
from graphssl.evaluation.liblinear import sklearn_path
from graphssl.evaluation.logistic import Fit, logistic_path
from graphssl.evaluation.metrics import measure
from graphssl.evaluation.protocols import Protocol
from graphssl.evaluation.rows import Rows, Scaler, class_names, take

NEVER = 1e30  # score of a class that no train row has: finite, so that every metric can sort it
SOLVERS = {"multinomial": ("newton", "lbfgs"), "one-vs-rest": ("newton", "liblinear"), "linear-adamw": ("newton",)}


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

    Raises:
        ValueError: a single class in the train rows, a solver that is not the protocol's.
    """
    path = _Path(protocol, solver, max_iter, seed)
    classes = None
    if y.dim() == 1:
        classes = class_names(y, rows)
    scaler = Scaler.fit(protocol.scale, take(x, rows.train))
    train, targets = scaler(take(x, rows.train)), _targets(y[rows.train], classes, protocol)
    grid = list(protocol.grid)
    name = "weight_decay" if protocol.classifier == "linear-adamw" else "C"
    if len(rows.val) and protocol.selection == "validation":
        fits = path(train, targets, grid)
        truth = _truth(y[rows.val], classes)
        found = [measure(metric, truth, _columns(s, classes)) for s in fits.scores(scaler(take(x, rows.val)))]
        best = int(np.argmax(found))  # the first of equals: the smaller penalty
        # AdamW diverges at the largest weight decays of its grid, whatever the steps: there the chosen one speaks.
        done = bool(fits.converged[best] if protocol.classifier == "linear-adamw" else fits.converged.all())
        return Probe(fits.one(best), scaler, classes, {name: grid[best], "validation": found[best]}, done)
    chosen, done = _cross_validate(path, train, y[rows.train], targets, classes, metric, seed)
    fit = path(train, targets, [chosen])
    return Probe(fit, scaler, classes, {name: chosen}, done and bool(fit.converged.all()))


@dataclass(frozen=True)
class _Path:
    """The classifier of a protocol over a grid of penalties."""

    protocol: Protocol
    solver: str
    max_iter: int | None
    seed: int

    def __post_init__(self) -> None:
        allowed = ("auto", *SOLVERS[self.protocol.classifier])
        if self.solver not in allowed:
            raise ValueError(f"solver is {self.solver!r}; allowed for {self.protocol.label}: {', '.join(allowed)}")

    def __call__(self, x: Tensor | CSR, targets: Tensor, grid: Sequence[float]) -> Fit:
        if self.protocol.classifier == "linear-adamw":
            return adamw_path(x, targets, grid, seed=self.seed, max_iter=self.max_iter or 100)
        several = targets.size(1) > 1 and bool((targets.sum(1) == 1).all())
        softmax = self.protocol.classifier == "multinomial" and several
        mixed = (targets != targets[:1]).any(0)  # [K] columns that have both answers
        if bool(mixed.all()):
            return self._solve(x, targets, grid, softmax=softmax)
        m, (_, d), k = len(grid), x.shape, targets.size(1)
        dense = {"dtype": x.dtype, "device": x.device}
        coef, converged = torch.zeros(m, d, k, **dense), torch.ones(m, dtype=torch.bool, device=x.device)  # type: ignore[call-overload]
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


def _cross_validate(
    path: _Path, x: Tensor | CSR, y: Tensor, targets: Tensor, classes: Tensor | None, metric: str, seed: int
) -> tuple[float, bool]:
    """The penalty with the best mean over folds of the train rows (the first of equals), and whether all fits converged."""
    protocol = path.protocol
    folds = _folds(y, protocol, seed)
    if not folds:  # a class with one row cannot be left out: the grid's value nearest to 1
        return min(protocol.grid, key=lambda c: abs(float(np.log(c)))), True
    found, done = [], True
    for a, b in folds:
        fits = path(take(x, a), targets[a], protocol.grid)
        done = done and bool(fits.converged.all())
        scores = fits.scores(take(x, b))  # [m, n, K]
        if protocol.selection == "validation":
            truth = _truth(y[b], classes)
            found.append([measure(metric, truth, _columns(s, classes)) for s in scores])
        else:  # subset accuracy: every yes and every no of the row right
            found.append(((scores > 0) == (targets[b] > 0)).all(2).double().mean(1).tolist())
    return protocol.grid[int(np.argmax(np.mean(found, 0)))], done


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
