"""Losses that draw row i of one view to row i of the other and away from all other rows."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from graphssl.dense import product
from graphssl.differentiation import once_differentiable
from graphssl.losses.precision import full_precision


@full_precision
def info_nce(
    u: Tensor,
    v: Tensor,
    *,
    tau: float = 0.5,
    intra: bool = False,
    decoupled: bool = False,
    symmetric: bool = True,
    extra: Tensor | None = None,
    chunk: int | None = None,
) -> Tensor:
    r"""InfoNCE of cosine similarities, symmetrised over both directions.

    With ``s(a, b) = cos(a, b) / tau``, the mean over both directions and all rows of
    ``-s(u_i, v_i) + log[ sum_k exp s(u_i, v_k)  (+ sum_{k != i} exp s(u_i, u_k) if intra) ]``.
    With ``intra=True`` this is the loss of GRACE (Zhu et al., 2020, arXiv:2006.04131), which equals SimCLR's NT-Xent
    (Chen et al., 2020, arXiv:2002.05709) on the stacked views. With ``decoupled=True`` the sum runs over ``k != i``: decoupled contrastive
    learning (Yeh et al., 2022, arXiv:2110.06848), whose pull on a positive does not fade as it comes near; the loss may be negative. In
    one direction (``symmetric=False``) that is what the code of GraphCL (You et al., 2020, arXiv:2010.13902) minimises.

    Args:
        u: ``[N, D]``.
        v: ``[N, D]``; row ``i`` of both is the same node or graph.
        tau: temperature.
        intra: other rows of the same view are negatives too.
        decoupled: leave the positive out of the sum.
        symmetric: the rows of ``v`` look for theirs in ``u`` too; ``False`` takes the rows of ``u`` alone.
        extra: ``[K, D]`` more negatives of every row, of a queue or a bank (:class:`graphssl.KeyQueue`).
        chunk: rows of similarities held at a time. ``None`` holds them all, O(N^2) memory; a number takes O(chunk^2 + N), with the same
            value and gradient: sums in a first pass, gradients from recomputed similarities in a second.

    Raises:
        ValueError: views of different shape, a temperature that is not positive (below 0.003 with ``chunk``), a chunk below 1, or
            ``decoupled`` with fewer than two rows, which leaves no negative.

    Example:
        >>> u = torch.eye(4)
        >>> info_nce(u, u, tau=0.1) < info_nce(u, u.roll(1, 0), tau=0.1)
        tensor(True)
    """
    if u.shape != v.shape or u.dim() != 2:
        raise ValueError(f"u and v must both be [N, D], got {tuple(u.shape)} and {tuple(v.shape)}")
    if tau <= 0:
        raise ValueError(f"tau must be positive, got {tau}")
    if decoupled and u.size(0) < 2 and (extra is None or not len(extra)):
        raise ValueError(f"decoupled needs at least two rows, of which one is the other's negative, got {u.size(0)}")
    n = u.size(0)
    u, v = F.normalize(u, dim=1), F.normalize(v, dim=1)
    positive: Tensor = torch.linalg.vecdot(u, v) / tau  # [N]
    a, b = (torch.cat([u, v]), None) if intra else (u, v)
    skip = (n if intra else 0) if decoupled else None
    sums = log_sums(a, b, tau=tau, skip=skip, chunk=chunk)
    if extra is not None and len(extra):
        far = F.normalize(extra.to(u.dtype), dim=1)
        sums = torch.logaddexp(sums, log_sums(torch.cat([u, v]), far, tau=tau, chunk=chunk)[: 2 * n])
    return (sums if symmetric else sums[:n]).mean() - positive.mean()


@full_precision
def dcl(u: Tensor, v: Tensor, *, tau: float = 0.1, intra: bool = True, chunk: int | None = None) -> Tensor:
    r"""Decoupled contrastive loss: NT-Xent without the positive in the sum (Yeh et al., 2022, arXiv:2110.06848).

    The mean over the ``2N`` rows of both views of ``-s_i + log sum_k exp s_ik`` over all rows ``k`` but the row and its partner;
    NT-Xent of a row is ``softplus`` of it. A positive is pulled as hard when it is near as when it is far, however few negatives there
    are; the loss may be negative. The authors' code adds the two directions, which is twice the mean.

    Args:
        u: ``[N, D]``.
        v: ``[N, D]``; row ``i`` of both is the same node.
        tau: temperature.
        intra: other rows of the same view are negatives too, as the authors have it.
        chunk: rows of similarities held at a time, as in :func:`info_nce`.

    Raises:
        ValueError: as :func:`info_nce`, and fewer than two rows, which leave no negative.

    Example:
        >>> u = torch.eye(4)
        >>> dcl(u, u) < dcl(u, u.roll(1, 0))
        tensor(True)
    """
    return info_nce(u, v, tau=tau, intra=intra, decoupled=True, chunk=chunk)


@full_precision
def dclw(u: Tensor, v: Tensor, *, tau: float = 0.1, sigma: float = 0.5, intra: bool = True, chunk: int | None = None) -> Tensor:
    r"""Decoupled contrastive loss that pulls harder on partners that are far apart (Yeh et al., 2022, arXiv:2110.06848).

    :func:`dcl` with ``w_i s_i`` for ``s_i``, ``w_i = 2 - exp(c_i / sigma) / mean_j exp(c_j / sigma)`` of the cosines ``c_i`` of partners: a
    weight of mean 1, which takes no gradient. The authors' code lets it.

    Args:
        u: ``[N, D]``.
        v: ``[N, D]``; row ``i`` of both is the same node.
        tau: temperature.
        sigma: the larger, the more even the weights.
        intra: other rows of the same view are negatives too.
        chunk: rows of similarities held at a time, as in :func:`info_nce`.

    Raises:
        ValueError: as :func:`dcl`, and a ``sigma`` that is not positive.

    Example:
        >>> u = torch.eye(4)
        >>> torch.allclose(dclw(u, u), dcl(u, u))  # all partners equally near
        True
    """
    if not sigma > 0:
        raise ValueError(f"sigma must be positive, got {sigma}")
    whole = dcl(u, v, tau=tau, intra=intra, chunk=chunk)
    cosine: Tensor = torch.linalg.vecdot(F.normalize(u, dim=1), F.normalize(v, dim=1))  # [N]
    weight = 2 - len(cosine) * (cosine.detach() / sigma).softmax(0)
    return whole + ((1 - weight) * cosine).mean() / tau


def log_sums(a: Tensor, b: Tensor | None, *, tau: float, skip: int | None = None, chunk: int | None = None) -> Tensor:
    """``log sum exp(. / tau)`` over each row and then each column of the similarities ``a b^T``, ``[N + M]``.

    ``b=None`` takes ``a`` against itself without the diagonal, ``[N]``. ``skip`` leaves out row ``i`` against row ``i + skip`` as well,
    either way round. Rows have unit length; ``chunk`` as in :func:`info_nce`.
    """
    without = _left_out(b is None, skip)
    if chunk is None or chunk >= a.size(0):
        scores = a @ (a if b is None else b).t() / tau
        for offset in without:
            scores.diagonal(offset).fill_(-torch.inf)
        if b is None:
            return scores.logsumexp(dim=1)
        return torch.cat([scores.logsumexp(dim=1), scores.logsumexp(dim=0)])
    if chunk < 1:
        raise ValueError(f"chunk must be at least 1, got {chunk}")
    if tau < 0.003:
        raise ValueError(f"tau must be at least 0.003 where similarities are taken in chunks, got {tau}")
    out: Tensor = _LogSums.apply(a, b, tau, without, chunk)  # type: ignore[no-untyped-call]
    return out


def _left_out(itself: bool, skip: int | None) -> tuple[int, ...]:
    """The diagonals of the similarities that do not count."""
    others = () if skip is None else (skip, -skip) if itself else (skip,)
    return (0, *others) if itself else others


class _LogSums(torch.autograd.Function):
    """Similarities in square blocks, twice: for the sums, and for the gradient; only the sums are kept in between.

    Cosines are bounded, so ``exp((cos - 1) / tau)`` needs no running maximum; below tau = 0.025 it would leave the range of float32,
    and float64 is used. Of similarities of rows with themselves, the blocks above the diagonal serve both sides.
    """

    @staticmethod
    def forward(ctx: Any, a: Tensor, b: Tensor | None, tau: float, without: tuple[int, ...], chunk: int) -> Tensor:
        x, y = _wide(a, tau), None if b is None else _wide(b, tau)
        sums = x.new_zeros(x.size(0)), None if y is None else x.new_zeros(y.size(0))
        for rows, cols, e in _blocks(x, y, tau, without, chunk):
            sums[0][rows] += e.sum(1)
            if sums[1] is not None:
                sums[1][cols] += e.sum(0)
            elif cols != rows:
                sums[0][cols] += e.sum(0)
        total = sums[0] if sums[1] is None else torch.cat([sums[0], sums[1]])
        ctx.save_for_backward(a, b, total)
        ctx.tau, ctx.without, ctx.chunk = tau, without, chunk
        return (total.log() + 1 / tau).to(a.dtype)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor | None, None, None, None]:
        a, b, total = ctx.saved_tensors
        x, y = _wide(a, ctx.tau), None if b is None else _wide(b, ctx.tau)
        w = grad / total.where(total > 0, torch.inf) / ctx.tau  # a row without keys hands nothing on
        w_row, w_col = (w, w) if y is None else w.split([x.size(0), y.size(0)])
        grad_a, grad_b = torch.zeros_like(x), None if y is None else torch.zeros_like(y)
        other, grad_other = (x, grad_a) if y is None or grad_b is None else (y, grad_b)
        with torch.autocast(x.device.type, enabled=False):  # as in the loss, wherever backward is called
            for rows, cols, e in _blocks(x, y, ctx.tau, ctx.without, ctx.chunk):
                p = e.mul_(w_row[rows, None] + w_col[cols])  # [chunk, chunk]
                grad_a[rows] += product(p, other[cols])
                if y is not None or cols != rows:
                    grad_other[cols] += product(x[rows].t(), p).t()  # the narrower of the two is turned
        return grad_a.to(a.dtype), None if grad_b is None else grad_b.to(a.dtype), None, None, None


def _wide(a: Tensor, tau: float) -> Tensor:
    return a.double() if tau < 0.025 else a if a.dtype == torch.float64 else a.float()


def _blocks(x: Tensor, y: Tensor | None, tau: float, without: tuple[int, ...], chunk: int) -> Iterator[tuple[slice, slice, Tensor]]:
    """Blocks of ``exp((x y^T - 1) / tau)``, zero on the diagonals ``without``; if ``y`` is None those on and above that of ``x x^T``."""
    other = x if y is None else y
    for i in range(0, x.size(0), chunk):
        left = x[i : i + chunk] / tau
        for j in range(i if y is None else 0, other.size(0), chunk):
            e = product(left, other[j : j + chunk].t()).sub_(1 / tau).exp_()
            for offset in without:
                if -e.size(0) < offset + i - j < e.size(1):
                    e.diagonal(offset + i - j).zero_()
            yield slice(i, i + chunk), slice(j, j + chunk), e
