"""The same logistic regressions as :mod:`graphssl.evaluation.logistic`, one by one through scikit-learn."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import numpy as np
import torch
from scipy.sparse import csr_matrix
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from torch import Tensor

from graphssl.adjacency import CSR
from graphssl.evaluation.logistic import Fit


def sklearn_path(
    x: Tensor | CSR, targets: Tensor, penalties: Sequence[float], *, softmax: bool, penalise_intercept: bool = False, max_iter: int = 10_000
) -> Fit:
    """:func:`~graphssl.evaluation.logistic.logistic_path` by scikit-learn: ``liblinear`` where the intercept is penalised, else ``lbfgs``.

    Args:
        x: ``[n, D]`` rows, dense or sparse.
        targets: ``[n, K]`` in {0, 1}.
        penalties: the ``C`` values.
        softmax: multinomial loss; ``False``: ``K`` binary problems.
        penalise_intercept: liblinear's objective, at scikit-learn's default tolerance (1e-4), as the official codes have it.
        max_iter: of the solver.

    Example:
        >>> x = torch.tensor([[-2.0], [-1.0], [1.0], [2.0]], dtype=torch.float64)
        >>> round(float(sklearn_path(x, torch.tensor([[0], [0], [1], [1]]), [1.0], softmax=False).coef), 3)
        1.007
    """
    rows = to_scipy(x) if isinstance(x, CSR) else x.cpu().numpy()
    truth = targets.cpu().numpy()
    problems = [truth.argmax(1)] if softmax else list(truth.T)
    solver, tol = ("liblinear", 1e-4) if penalise_intercept else ("lbfgs", 1e-6)
    coef, intercept, converged = [], [], []
    for c in penalties:
        fits = [_fit(rows, t, LogisticRegression(C=c, solver=solver, max_iter=max_iter, tol=tol)) for t in problems]
        coef.append(np.concatenate([f.coef_ for f in fits]).T)  # [D, K]
        intercept.append(np.concatenate([f.intercept_ for f in fits]))
        converged.append(all(int(f.n_iter_.max()) < max_iter for f in fits))
    device, dtype = x.device, x.dtype
    return Fit(
        torch.as_tensor(np.stack(coef), device=device, dtype=dtype),
        torch.as_tensor(np.stack(intercept), device=device, dtype=dtype),
        torch.tensor(converged, device=device),
    )


def to_scipy(x: CSR) -> csr_matrix:
    """Sparse rows as a SciPy matrix.

    Example:
        >>> to_scipy(CSR.from_dense(torch.eye(2))).nnz
        2
    """
    p = x.pattern
    return csr_matrix((x.values().cpu().numpy(), p.col.cpu().numpy(), p.ptr.cpu().numpy()), shape=x.shape)


def _fit(rows: np.ndarray | csr_matrix, truth: np.ndarray, model: LogisticRegression) -> LogisticRegression:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # told by the score's own flag
        return model.fit(rows, truth)
