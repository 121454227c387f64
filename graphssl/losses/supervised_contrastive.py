"""Contrastive losses whose positives are all rows of a label: SupCon, and its forms with a margin."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor

from graphssl.losses.pairwise import mean_where, per_row, unit_rows
from graphssl.losses.positives import Positives
from graphssl.losses.precision import full_precision

Form = Literal["out", "in"]
Reduction = Callable[[Tensor, Tensor, Tensor], Tensor]


@full_precision
def sup_con(
    u: Tensor,
    v: Tensor,
    *,
    y: Tensor | None = None,
    tau: float = 0.1,
    form: Form = "out",
    unlabelled: bool = True,
    chunk: int | None = None,
) -> Tensor:
    r"""Supervised contrastive loss: a row is drawn to all rows of its label, in both views (Khosla et al., 2020, arXiv:2004.11362).

    Over the ``2N`` rows of both views, with ``s_ik = cos(z_i, z_k) / tau``, ``P(i)`` the other rows of the label of ``i`` and
    ``p_ik = exp s_ik / sum_{a != i} exp s_ia``: the mean over rows of ``-mean_{p in P(i)} log p_ip`` (``out``) or
    ``-log mean_{p in P(i)} p_ip`` (``in``, never larger). Where no two nodes share a label it is NT-Xent.

    Args:
        u: ``[N, D]``.
        v: ``[N, D]``; row ``i`` of both is the same node.
        y: ``[N]`` labels; a row labelled -1 is drawn to nothing. ``None``: each node is its own label.
        tau: temperature.
        form: the sum over positives outside the logarithm, as the authors prefer, or inside.
        unlabelled: rows labelled -1 are negatives of the others.
        chunk: rows of similarities held at a time, with the same value and gradient; ``None`` holds all ``(2N)^2``.

    Raises:
        ValueError: views of different shape, labels that are not ``[N]``, a temperature that is not positive, or an unknown form.

    Example:
        >>> u, y = torch.eye(4), torch.tensor([0, 0, 1, 1])
        >>> sup_con(u[y], u[y], y=y) < sup_con(u, u, y=y)
        tensor(True)
    """
    _known(form)

    def reduce(s: Tensor, positive: Tensor, negative: Tensor) -> Tensor:
        scores = s - s.masked_fill(~(positive | negative), -torch.inf).logsumexp(1, keepdim=True)  # log p
        return _averaged(scores, positive, form)

    return _over_views(reduce, u, v, y, tau, unlabelled, chunk)


@full_precision
def eps_sup_info_nce(
    u: Tensor,
    v: Tensor,
    *,
    y: Tensor | None = None,
    tau: float = 0.1,
    eps: float = 0.25,
    form: Form = "out",
    unlabelled: bool = True,
    chunk: int | None = None,
) -> Tensor:
    r"""Each positive is to be ahead of all negatives by a margin, whatever the other positives do (Barbano et al., 2023, arXiv:2211.05568).

    ``-mean_p [s_ip - log(exp(s_ip - eps) + sum_n exp s_in)]`` over the positives ``p`` and the negatives ``n`` of each row, symbols as in
    :func:`sup_con`. Where no two nodes share a label, ``eps = 0`` is NT-Xent and ``eps = inf`` :func:`graphssl.losses.dcl`.

    Args:
        u: ``[N, D]``.
        v: ``[N, D]``; row ``i`` of both is the same node.
        y: ``[N]`` labels, -1: none; ``None``: each node its own.
        tau: temperature.
        eps: margin of similarities that are divided by the temperature already, as the authors' code has it: ``eps * tau`` in cosine.
        form: mean over positives outside the logarithm, or of the ratios inside.
        unlabelled: rows labelled -1 are negatives of the others.
        chunk: as in :func:`sup_con`.

    Raises:
        ValueError: as :func:`sup_con`; an ``eps`` below 0, or an infinite one for a row without negatives.

    Example:
        >>> u, y = torch.eye(4), torch.tensor([0, 0, 1, 1])
        >>> eps_sup_info_nce(u[y], u[y], y=y) < eps_sup_info_nce(u, u, y=y)
        tensor(True)
    """
    _known(form)

    def reduce(s: Tensor, positive: Tensor, negative: Tensor) -> Tensor:
        others = s.masked_fill(~negative, -torch.inf).logsumexp(1, keepdim=True)  # [c, 1]
        return _averaged(s - torch.logaddexp(s - eps, others), positive, form)

    return _over_views(reduce, u, v, y, tau, unlabelled, chunk, eps)


@full_precision
def eps_sup_con(
    u: Tensor,
    v: Tensor,
    *,
    y: Tensor | None = None,
    tau: float = 0.1,
    eps: float = 0.25,
    unlabelled: bool = True,
    chunk: int | None = None,
) -> Tensor:
    r"""SupCon with a margin: the positives count ``exp(-eps)`` times in the sum (Barbano et al., 2023, arXiv:2211.05568).

    ``-mean_p s_ip + log[sum_p exp(s_ip - eps) + sum_n exp s_in]``, symbols and arguments as in :func:`eps_sup_info_nce`; ``eps = 0`` is
    :func:`sup_con`.

    Raises:
        ValueError: as :func:`eps_sup_info_nce`.

    Example:
        >>> u, y = torch.eye(4), torch.tensor([0, 0, 1, 1])
        >>> torch.equal(eps_sup_con(u, u, y=y, eps=0.0), sup_con(u, u, y=y))
        True
    """

    def reduce(s: Tensor, positive: Tensor, negative: Tensor) -> Tensor:
        shifted = torch.where(positive, s - eps, s).masked_fill(~(positive | negative), -torch.inf)
        return _averaged(s - shifted.logsumexp(1, keepdim=True), positive, "out")

    return _over_views(reduce, u, v, y, tau, unlabelled, chunk, eps)


def _over_views(
    reduce: Reduction, u: Tensor, v: Tensor, y: Tensor | None, tau: float, unlabelled: bool, chunk: int | None, eps: float = 0.0
) -> Tensor:
    """Mean of ``reduce(s, positive, negative)`` over the rows of both views that have a positive."""
    u, v = unit_rows(u, v, tau)
    z, own = torch.cat([u, v]), Positives.views(u.size(0), y, device=u.device)
    counts = own.counts()
    kept = None if y is None or unlabelled else torch.cat([y, y]) >= 0
    if not eps >= 0:
        raise ValueError(f"eps must be at least 0, got {eps}")
    if math.isinf(eps) and bool((counts + 1 >= (z.size(0) if kept is None else kept.sum())).any()):
        raise ValueError("eps inf needs a negative for each row, and there is a row without: a finite eps does")

    def masked(rows: slice, s: Tensor) -> Tensor:
        positive = own.mask(rows, s.size(1))
        negative = ~positive if kept is None else ~positive & kept
        negative.diagonal(rows.start).fill_(False)
        return reduce(s, positive, negative)

    return mean_where(per_row(masked, (z / tau, z), chunk=chunk), counts > 0)


def _averaged(scores: Tensor, positive: Tensor, form: Form) -> Tensor:
    """Minus the mean of the positives' ``scores``, or minus the logarithm of the mean of their exponentials, ``[c]``."""
    count = positive.sum(1).clamp(min=1)
    if form == "out":
        return -scores.where(positive, 0).sum(1) / count
    return count.to(scores.dtype).log() - scores.masked_fill(~positive, -torch.inf).logsumexp(1)


def _known(form: Form) -> None:
    if form not in ("out", "in"):
        raise ValueError(f"form must be out or in, got {form!r}")
