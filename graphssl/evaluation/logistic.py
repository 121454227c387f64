"""L2-regularised logistic regression for many penalties and classes at once: the solver below the probes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from graphssl.adjacency import CSR, Pattern

ROTATE_UP_TO = 1024  # an eigenbasis of at most this size costs less than the iterations it saves
SINGLE_FROM = 2**24  # entries of dense rows from which single precision does, at a tenth of the tolerance and twice the speed
ENTRIES_AT_ONCE = 4_000_000  # rows x penalties x classes held by one array of the solver: 32 MB in float64


@dataclass(frozen=True, eq=False)
class Fit:
    """Fitted weights for ``m`` penalties and ``K`` outputs.

    Attributes:
        coef: ``[m, D, K]``.
        intercept: ``[m, K]``.
        converged: ``[m]`` bool, every output of that penalty reached the tolerance.
    """

    coef: Tensor
    intercept: Tensor
    converged: Tensor

    def one(self, index: int) -> Fit:
        """The fit of one penalty."""
        return Fit(self.coef[index : index + 1], self.intercept[index : index + 1], self.converged[index : index + 1])

    def scores(self, x: Tensor | CSR) -> Tensor:
        """Decision scores ``[m, N, K]`` of rows ``x`` ``[N, D]``."""
        m, d, k = self.coef.shape
        flat = x @ self.coef.permute(1, 0, 2).reshape(d, m * k)  # [N, m K]
        return flat.view(-1, m, k).transpose(0, 1) + self.intercept[:, None]


def logistic_path(
    x: Tensor | CSR,
    targets: Tensor,
    penalties: Sequence[float],
    *,
    softmax: bool,
    penalise_intercept: bool = False,
    max_iter: int = 100,
    tol: float = 1e-6,
) -> Fit:
    r"""Logistic regression for every penalty of a grid, all columns of the grid in the same matrix products.

    Minimises :math:`C \sum_i \ell(x_i W + b, y_i) + \frac12 \lVert W \rVert^2` to a relative gap of ``tol`` for each ``C``, by Newton
    steps solved by conjugate gradients with the exact diagonal of the Hessian as preconditioner, in the eigenbasis of
    :math:`X^\top X`, where that diagonal is nearly the whole Hessian (Lin, Weng and Keerthi, 2008, JMLR 9, is liblinear's Newton
    method without the basis). The basis change is exact: the penalty does not see rotations.

    Args:
        x: ``[n, D]`` rows, dense or sparse, floating point; the solution has their precision. Dense rows of more than 16 million entries
            are taken in single precision, with ``tol`` at least 1e-5.
        targets: ``[n, K]`` in {0, 1}: one-hot rows for ``softmax``; otherwise ``K`` separate yes/no problems.
        penalties: the ``C`` values; small is strong regularisation.
        softmax: multinomial loss over the ``K`` columns; ``False``: ``K`` binary problems.
        penalise_intercept: add :math:`\frac12 \lVert b \rVert^2`, as liblinear does.
        max_iter: Newton steps.
        tol: relative gap between the objective and its minimum at which a problem stops.

    Example:
        >>> x = torch.tensor([[-2.0], [-1.0], [1.0], [2.0]], dtype=torch.float64)
        >>> fit = logistic_path(x, torch.tensor([[0], [0], [1], [1]]), [1.0], softmax=False)
        >>> bool(fit.converged.all()), round(float(fit.coef), 3)
        (True, 1.007)
    """
    given = x.dtype
    if isinstance(x, Tensor) and x.numel() > SINGLE_FROM:
        x, tol = x.float(), max(tol, 1e-5)
    targets = targets.to(x.dtype)
    basis = _basis(x, penalise_intercept)
    n, k = targets.shape
    step = max(1, ENTRIES_AT_ONCE // (n * k))
    start = None
    fits = []
    for first in range(0, len(penalties), step):
        c = torch.tensor(penalties[first : first + step], dtype=x.dtype, device=x.device)
        problem = _problem(basis, targets, c, softmax)
        if start is not None:
            problem = replace(problem, w=start.repeat(1, len(c), 1))
        w, done = newton(problem, max_iter, tol)  # [r, P, k'], [P]
        m = len(c)
        start = w[:, -1:] if softmax else w[:, -k:]
        fit = _unrotate(basis, w.reshape(w.size(0), m, k), done.view(m, -1).all(1))
        if softmax and not penalise_intercept:  # a shift of all intercepts changes nothing: their sum is fixed at zero
            fit = replace(fit, intercept=fit.intercept - fit.intercept.mean(1, keepdim=True))
        fits.append(fit)
    coef, intercept, converged = (torch.cat([getattr(f, name) for f in fits]) for name in ("coef", "intercept", "converged"))
    return Fit(coef.to(given), intercept.to(given), converged)


@dataclass(frozen=True, eq=False)
class _Basis:
    """Rows in the basis where they are fitted, the last column being the intercept's unless it is inside the rotation."""

    z: Tensor | CSR  # [n, r]
    ridge: Tensor  # [r] 1, or 0 for a free intercept
    rotation: Tensor | None  # [D(+1), r']
    mean: Tensor | None  # [D] taken off the rows (free intercept, dense)
    penalised: bool


def _basis(x: Tensor | CSR, penalised: bool) -> _Basis:
    n, d = x.shape
    ones = torch.ones(n, 1, dtype=x.dtype, device=x.device)
    if isinstance(x, CSR):
        ridge = torch.ones(d + 1, dtype=x.dtype, device=x.device)
        ridge[-1] = float(penalised)
        return _Basis(_with_ones(x), ridge, None, None, penalised)
    mean = None if penalised else x.mean(0)
    body = torch.cat([x, ones], 1) if mean is None else x - mean
    rotation = _eigenvectors(body) if min(body.shape) <= ROTATE_UP_TO else None
    z = body if rotation is None else body @ rotation
    ridge = torch.ones(z.size(1), dtype=x.dtype, device=x.device)
    if not penalised:
        z, ridge = torch.cat([z, ones], 1), torch.cat([ridge, ridge.new_zeros(1)])
    return _Basis(z, ridge, rotation, mean, penalised)


def _eigenvectors(x: Tensor) -> Tensor:
    """An orthonormal basis ``[D, r]`` of the row space of ``x`` ``[n, D]`` in which ``x^T x`` is diagonal."""
    wide = x.double()
    if x.size(0) >= x.size(1):
        basis: Tensor = torch.linalg.eigh(wide.mT @ wide)[1]
    else:
        value, left = torch.linalg.eigh(wide @ wide.mT)
        keep = value > value[-1] * 1e-13 * max(x.shape)
        basis = wide.mT @ (left[:, keep] / value[keep].sqrt())
    return basis.to(x.dtype)


def _with_ones(x: CSR) -> CSR:
    """Sparse rows with a last column of ones."""
    n, d = x.shape
    p = x.pattern
    ptr = p.ptr + torch.arange(n + 1, device=p.device)
    last = ptr[1:].long() - 1
    entry = torch.ones(p.num_entries + n, dtype=torch.bool, device=p.device)
    entry[last] = False
    col = p.col.new_full((p.num_entries + n,), d)
    val = torch.ones(p.num_entries + n, dtype=x.dtype, device=p.device)
    col[entry], val[entry] = p.col, x.values()
    return CSR(Pattern(ptr, col, d + 1), val)


def _unrotate(basis: _Basis, w: Tensor, converged: Tensor) -> Fit:
    _, m, k = w.shape
    inside = basis.mean is None and basis.rotation is not None  # the intercept took part in the rotation
    body, bias = (w, None) if inside else (w[:-1], w[-1])
    if basis.rotation is not None:
        body = (basis.rotation @ body.reshape(-1, m * k)).view(-1, m, k)
    if bias is None:
        body, bias = body[:-1], body[-1]
    if basis.mean is not None:
        bias = bias - (basis.mean @ body.reshape(-1, m * k)).view(m, k)
    return Fit(body.transpose(0, 1).contiguous(), bias, converged)


@dataclass(frozen=True, eq=False)
class Problem:
    """``P`` problems of ``k`` columns each over the same rows."""

    z: Tensor | CSR  # [n, r]
    square: Tensor | CSR  # [n, r] its entries squared
    ridge: Tensor  # [r, 1, 1]
    y: Tensor  # [n, P, k]
    c: Tensor  # [P]
    w: Tensor  # [r, P, k]

    def forward(self, v: Tensor) -> Tensor:
        """``z v``: ``[r, P, k] -> [n, P, k]``."""
        return _product(self.z, v.reshape(v.size(0), -1)).view(-1, *v.shape[1:])

    def backward(self, v: Tensor, squared: bool = False) -> Tensor:
        """``z^T v``: ``[n, P, k] -> [r, P, k]``."""
        z = self.square if squared else self.z
        return _product(z.t() if isinstance(z, CSR) else z.mT, v.reshape(v.size(0), -1)).view(-1, *v.shape[1:])

    def loss(self, u: Tensor, w: Tensor) -> Tensor:
        """Objectives ``[P]`` at scores ``u`` ``[n, P, k]`` and weights ``w``, summed in float64."""
        if u.size(2) == 1:
            data = torch.nn.functional.softplus(u).sub_(u * self.y).sum((0, 2), dtype=torch.float64)
        else:
            data = (u.logsumexp(2) - (u * self.y).sum(2)).sum(0, dtype=torch.float64)
        return self.c * data + 0.5 * (self.ridge * w.square()).sum((0, 2), dtype=torch.float64)

    def of(self, index: Tensor) -> Problem:
        """What multiplies columns of some of the problems alone; they all have the same rows here."""
        return self

    def take(self, index: Tensor) -> Problem:
        return replace(self, y=self.y[:, index], c=self.c[index], w=self.w[:, index])


def _product(left: Tensor | CSR, right: Tensor) -> Tensor:
    return left @ right


def _problem(basis: _Basis, y: Tensor, c: Tensor, softmax: bool) -> Problem:
    z = basis.z
    square = z.with_values(z.values().square()) if isinstance(z, CSR) else z.square()
    if isinstance(z, CSR):
        z.t(), square.t()
    n, k = y.shape
    m = len(c)
    if softmax:
        y, shape = y[:, None].expand(n, m, k), (m, k)
    else:
        y, shape, c = y.repeat(1, m)[:, :, None], (m * k, 1), c.repeat_interleave(k)
    return Problem(
        z,
        square,
        basis.ridge[:, None, None],
        y,
        c,
        z.values().new_zeros(z.size(1), *shape) if isinstance(z, CSR) else z.new_zeros(z.size(1), *shape),
    )


def newton(problem: Problem, max_iter: int, tol: float) -> tuple[Tensor, Tensor]:
    """Weights ``[r, P, k]`` and which problems ``[P]`` reached the tolerance; a problem that did leaves the batch."""
    w_out, done = problem.w.clone(), torch.zeros(len(problem.c), dtype=torch.bool, device=problem.c.device)
    alive = torch.arange(len(problem.c), device=problem.c.device)
    p, w = problem, problem.w
    u = p.forward(w)
    value = p.loss(u, w)
    for _ in range(max_iter):
        prob = u.sigmoid() if u.size(2) == 1 else u.softmax(2)
        grad = p.c[:, None] * p.backward(prob - p.y) + p.ridge * w
        step, scores = _direction(p, prob, grad)
        slope = (grad * step).sum((0, 2))  # [P] minus the squared Newton decrement: half of it estimates the gap
        w, u, value = _search(p, w, u, value, step, scores, slope)
        w_out[:, alive] = w
        stop = -slope / 2 <= tol * value
        done[alive[stop]] = True
        if bool(stop.all()):
            break
        if bool(stop.any()):
            keep = (~stop).nonzero().squeeze(1)
            p, w, u, value, alive = p.take(keep), w[:, keep], u[:, keep], value[keep], alive[keep]
    return w_out, done


def _direction(p: Problem, prob: Tensor, grad: Tensor, max_cg: int = 60) -> tuple[Tensor, Tensor]:
    """Truncated Newton direction ``[r, P, k]`` and its scores ``[n, P, k]`` by preconditioned conjugate gradients.

    A problem stops when its residual, in the preconditioner's norm, is a tenth of the gradient's (squared); stopped ones leave in bunches.
    """
    step_out, scores_out = torch.empty_like(grad), torch.empty_like(prob)
    live = torch.arange(len(p.c), device=grad.device)
    c, curve = p.c[:, None], prob * (1 - prob)
    scale = 1 / (c * p.backward(curve, squared=True) + p.ridge).clamp_min(torch.finfo(grad.dtype).tiny)
    step, scores, rest = torch.zeros_like(grad), torch.zeros_like(prob), -grad
    way = scale * rest
    rho = (rest * way).sum((0, 2))  # [P]
    goal = 0.1 * rho
    for _ in range(max_cg):
        seen = p.forward(way)
        bent = curve * seen if prob.size(2) == 1 else prob * (seen - (prob * seen).sum(2, keepdim=True))
        image = c * p.backward(bent) + p.ridge * way
        alpha = torch.where(rho > 0, rho / (way * image).sum((0, 2)), 0)[:, None]
        step, scores, rest = step + alpha * way, scores + alpha * seen, rest - alpha * image
        cond = scale * rest
        new = (rest * cond).sum((0, 2))
        way = cond + torch.where(rho > 0, new / rho, 0)[:, None] * way
        rho, keep = new, (new > goal).nonzero().squeeze(1)
        if len(keep) == 0:
            break
        if len(keep) < 0.8 * len(live):
            step_out[:, live], scores_out[:, live] = step, scores
            p, live, c, rho, goal = p.of(keep), live[keep], c[keep], rho[keep], goal[keep]
            step, scores, rest, way = step[:, keep], scores[:, keep], rest[:, keep], way[:, keep]
            scale, prob, curve = scale[:, keep], prob[:, keep], curve[:, keep]
    step_out[:, live], scores_out[:, live] = step, scores
    return step_out, scores_out


def _search(p: Problem, w: Tensor, u: Tensor, value: Tensor, step: Tensor, scores: Tensor, slope: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Backtracking from the full step until the objective falls enough (Armijo), each problem on its own."""
    t = torch.ones_like(slope)
    slack = max(1e-12, torch.finfo(slope.dtype).eps)  # what rounding of the scores leaves
    for _ in range(30):
        w_new, u_new = w + t[:, None] * step, u + t[:, None] * scores
        new = p.loss(u_new, w_new)
        short = new > value + 1e-4 * t * slope + slack * value.abs()
        if not bool(short.any()):
            break
        t = torch.where(short, t / 2, t)
    return w_new, u_new, new
