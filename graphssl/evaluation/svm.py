"""Support vector machines on frozen embeddings: C by folds of the train rows, kernels from one table of distances."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import StratifiedKFold
from sklearn.svm import SVC
from torch import Tensor

from graphssl.adjacency import CSR
from graphssl.evaluation.liblinear import to_scipy
from graphssl.evaluation.protocols import Protocol
from graphssl.evaluation.rows import Rows, Scaler, class_names, take

MAX_ITER = 1_000_000  # NCI1's hardest fit needs a tenth; without a bound libsvm may go on for hours on rows that cannot be told apart


@dataclass(frozen=True, eq=False)
class SVMProbe:
    """A fitted support vector machine of one split.

    Attributes:
        model: the machine of the chosen ``C``, fitted on kernels.
        kernel: ``rbf`` or ``linear``.
        gamma: width of the ``rbf`` kernel.
        train: ``[n, D]`` scaled rows it was fitted on.
        scaler: what the rows pass through.
        classes: ``[K]`` labels of the columns.
        selected: the chosen ``C``.
        converged: every fit of the grid reached libsvm's tolerance.
    """

    model: SVC
    kernel: str
    gamma: float
    train: Tensor | CSR
    scaler: Scaler
    classes: Tensor
    selected: dict[str, float]
    converged: bool

    def scores(self, x: Tensor | CSR, index: Tensor, chunk: int = 4096) -> Tensor:
        """Decision scores ``[n, K]`` of rows ``index``; of more than two classes 1 for libsvm's choice (one against one) and else 0."""
        return torch.cat([self._scores(self.scaler(take(x, part))) for part in torch.split(index, chunk)])

    def truth(self, y: Tensor) -> Tensor:
        """Labels as the columns of :meth:`scores` number them."""
        return torch.searchsorted(self.classes, y)

    def _scores(self, rows: Tensor | CSR) -> Tensor:
        table = _kernel(pairs(rows, self.train, self.kernel), self.kernel, self.gamma)
        seen = self.model.classes_  # places of the classes that a train row has
        scores = np.full((len(table), len(self.classes)), -np.inf)
        if len(seen) == 2:
            decision = self.model.decision_function(table)
            scores[:, seen] = np.stack([-decision, decision], 1)
        else:
            scores[:, seen] = self.model.predict(table)[:, None] == seen
        return torch.as_tensor(np.maximum(scores, -1e30), device=self.classes.device)


def fit_svm(
    x: Tensor | CSR, y: Tensor, rows: Rows, protocol: Protocol, *, table: np.ndarray | None = None, max_iter: int | None = None
) -> SVMProbe:
    """Choose ``C`` by accuracy on five stratified folds of the train rows, in their order, and fit all of them.

    It is ``GridSearchCV(SVC(gamma="scale"), {"C": grid}, cv=5)`` of scikit-learn, in about half its time: the kernels of all fits come
    from one table, and each serves the whole grid. ``gamma`` is of the rows fitted, as there. Test rows are not looked at.

    Args:
        x: ``[N, D]`` rows.
        y: ``[N]`` classes.
        rows: the split; there are no validation rows.
        protocol: for its kernel, grid and scale.
        table: :func:`pairs` of all scaled rows ``[N, N]``, which serves all splits; without it that of the train rows is made.
        max_iter: libsvm's steps for each fit.

    Raises:
        ValueError: a single class in the train rows.
    """
    classes = class_names(y, rows)
    scaler = Scaler.fit(protocol.scale, take(x, rows.train))
    train = scaler(take(x, rows.train))
    place = rows.train.cpu().numpy()
    square = pairs(train, train, protocol.kernel) if table is None else table[np.ix_(place, place)]
    truth = torch.searchsorted(classes, y[rows.train]).cpu().numpy()
    limit = max_iter or MAX_ITER
    found, done = [], True
    for a, b in _folds(truth):
        gamma = _gamma(take(train, torch.from_numpy(a).to(train.device))) if protocol.kernel == "rbf" else 1.0
        fitted, left = (_kernel(square[np.ix_(part, a)], protocol.kernel, gamma) for part in (a, b))
        right = []
        for c in protocol.grid:
            model = _fit(fitted, truth[a], c, limit)
            done = done and _finished(model, limit)
            right.append(float((model.predict(left) == truth[b]).mean()))
        found.append(right)
    middle = min(protocol.grid, key=lambda c: abs(float(np.log(c))))  # where no row can be left out
    means = np.mean(found, 0) if found else None
    best = middle if means is None else protocol.grid[int(np.argmax(means))]  # the first of equals: the smaller C
    selected = {"C": best} if means is None else {"C": best, "validation": float(means.max())}
    gamma = _gamma(train) if protocol.kernel == "rbf" else 1.0
    model = _fit(_kernel(square, protocol.kernel, gamma), truth, best, limit)
    return SVMProbe(model, protocol.kernel, gamma, train, scaler, classes, selected, done and _finished(model, limit))


def pairs(left: Tensor | CSR, right: Tensor | CSR, kernel: str) -> np.ndarray:
    """Squared distances (``rbf``) or inner products (``linear``) of rows ``[n, D]`` and ``[m, D]``: ``[n, m]`` float64.

    Example:
        >>> pairs(torch.tensor([[0.0, 3.0]]), torch.tensor([[4.0, 0.0]]), "rbf")
        array([[25.]])
    """
    a, b = (to_scipy(rows) if isinstance(rows, CSR) else rows.double().cpu().numpy() for rows in (left, right))
    found = a @ b.T
    product: np.ndarray = found if isinstance(found, np.ndarray) else found.toarray()
    if kernel == "linear":
        return product
    product *= -2
    product += _lengths(a)[:, None]
    product += _lengths(b)
    np.maximum(product, 0, out=product)  # rounding may leave a little less than nothing
    return product


def _lengths(rows: Any) -> np.ndarray:
    """Squared length of each row."""
    square: Any = rows**2 if isinstance(rows, np.ndarray) else rows.multiply(rows)
    lengths: np.ndarray = np.ravel(square.sum(1))
    return lengths


def _kernel(table: np.ndarray, kernel: str, gamma: float) -> np.ndarray:
    if kernel == "linear":
        return table
    out = table * -gamma
    return np.exp(out, out=out)


def _gamma(rows: Tensor | CSR) -> float:
    """scikit-learn's ``gamma="scale"``: 1 / (D times the variance of all entries)."""
    n, d = rows.shape
    if isinstance(rows, CSR):
        value = rows.values()
        variance = float(value.square().sum() / (n * d) - (value.sum() / (n * d)).square())
    else:
        variance = float(rows.var(correction=0))
    return 1 / (d * variance) if variance > 0 else 1.0


def _folds(truth: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Five stratified folds in the rows' order (fewer where no class has five rows); one that leaves a single class is left out."""
    num = min(5, int(np.bincount(truth).max()))
    if num < 2:
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # a class with fewer rows than folds is in fewer folds
        for a, b in StratifiedKFold(num).split(np.zeros(len(truth)), truth):
            if len(np.unique(truth[a])) > 1:
                yield a, b


def _fit(kernel: np.ndarray, truth: np.ndarray, c: float, max_iter: int) -> SVC:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # told by the score's own flag
        return SVC(C=c, kernel="precomputed", cache_size=500, max_iter=max_iter).fit(kernel, truth)


def _finished(model: SVC, max_iter: int) -> bool:
    return bool((np.asarray(model.n_iter_) < max_iter).all())
