"""Ridge regression for many penalties and targets at once, exactly."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from graphssl.adjacency import CSR
from graphssl.evaluation.liblinear import to_scipy
from graphssl.evaluation.logistic import Fit


def ridge_path(x: Tensor | CSR, targets: Tensor, penalties: Sequence[float]) -> Fit:
    r"""Ridge regression with a free intercept for every penalty of a grid (Hoerl and Kennard, 1970, Technometrics 12).

    Minimises :math:`C \sum_i (x_i w + b - y_i)^2 + \lVert w \rVert^2`, which is :math:`\alpha = 1 / C`, from one eigendecomposition of
    the smaller of the two Gram matrices of the centred rows. Units of the targets do not matter: the solution is linear in them.

    Args:
        x: ``[n, D]`` rows, dense or sparse, floating point; float64 is wise, since squares of the rows are taken.
        targets: ``[n, K]``, nothing missing.
        penalties: the ``C`` values; small is strong regularisation.

    Example:
        >>> x = torch.tensor([[0.0], [1.0], [2.0]], dtype=torch.float64)
        >>> fit = ridge_path(x, 3 * x + 1, [2.0, 1e9])
        >>> [round(c, 6) for c in fit.coef.flatten().tolist()], round(float(fit.scores(x)[1, 2]), 6)
        ([2.4, 3.0], 7.0)
    """
    y = targets.to(x.dtype)
    n, d = x.shape
    alpha = 1 / torch.tensor(penalties, dtype=x.dtype, device=x.device)
    ones = torch.ones(n, 1, dtype=x.dtype, device=x.device)
    mean, mean_y = ((x.t() if isinstance(x, CSR) else x.mT) @ ones) / n, y.mean(0)  # [D, 1], [K]
    y = y - mean_y
    x = x if isinstance(x, CSR) else x - mean.mT  # sparse rows stay sparse: their Gram matrix is centred instead
    across = x.t() if isinstance(x, CSR) else x.mT
    wide = d > n
    value, basis = torch.linalg.eigh(_gram(x, mean, by_row=wide))  # [r], [r, r]
    shrunk = (value.clamp_min(0)[:, None] + alpha)[:, :, None]  # [r, m, 1]
    seen = basis.mT @ (y if wide else across @ y)  # [r, K]
    flat = basis @ (seen[:, None] / shrunk).flatten(1)  # [r, m K]
    coef = (across @ flat if wide else flat).view(d, len(alpha), -1).transpose(0, 1)  # the columns of flat sum to zero where wide
    return Fit(coef.contiguous(), mean_y - (mean.mT @ coef)[:, 0], torch.ones(len(alpha), dtype=torch.bool, device=x.device))


def _gram(x: Tensor | CSR, mean: Tensor, *, by_row: bool) -> Tensor:
    """Inner products of all centred rows ``[n, n]``, or of all their columns ``[D, D]``."""
    if not isinstance(x, CSR):
        return x @ x.mT if by_row else x.mT @ x
    m = to_scipy(x)
    gram = torch.from_numpy((m @ m.T if by_row else m.T @ m).toarray()).to(x.device)
    if by_row:
        return gram - gram.mean(0) - gram.mean(1, keepdim=True) + gram.mean()
    return gram - len(x.pattern.counts) * mean @ mean.mT
