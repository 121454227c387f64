"""Negatives that are harder than those there are: mixtures of the nearest ones, and of these with the row itself."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from graphssl.losses.pairwise import per_row, unit_rows
from graphssl.losses.positives import Positives
from graphssl.losses.precision import full_precision

MOST, ROOM = 1024, 65_536  # hardest negatives at most, as in the paper; pairs of keys that are compared at a time


class _Draws(NamedTuple):
    """What all anchors of a call share: ranks in the hard set and shares, all from 0 to 1."""

    first: Tensor  # [s]
    second: Tensor  # [s]
    share: Tensor  # [s] of the first
    of_query: Tensor  # [s'] rank of what is mixed with the query
    query: Tensor  # [s'] share of the query


@full_precision
def mochi(
    u: Tensor,
    v: Tensor,
    *,
    tau: float = 0.2,
    num_hard: int | None = None,
    num_mixed: int | None = None,
    num_with_query: int | None = None,
    intra: bool = False,
    symmetric: bool = True,
    extra: Tensor | None = None,
    exclude: Positives | None = None,
    exclude_extra: Positives | None = None,
    chunk: int | None = None,
) -> Tensor:
    r"""InfoNCE with mixed hard negatives, MoCHi (Kalantidis et al., 2020, arXiv:2010.01028).

    To the negatives of a row ``q`` come mixtures of its ``num_hard`` most similar ones: ``n(a k_i + (1 - a) k_j)`` of two of them with
    ``a`` from U(0, 1), and ``n(b q + (1 - b) k_i)`` with ``b`` from U(0, 0.5), where ``n`` scales to unit length. No gradient goes into
    a mixture. Without mixtures it is :func:`info_nce`.

    Args:
        u: ``[N, D]``.
        v: ``[N, D]``; row ``i`` of both is the same node.
        tau: temperature.
        num_hard: negatives that are mixed; ``None``: a quarter of all, 1024 at most.
        num_mixed: mixtures of two for each row; ``None``: as many as ``num_hard``.
        num_with_query: mixtures with the row itself; ``None``: an eighth of ``num_hard``.
        intra: other rows of the same view are negatives too.
        symmetric: the rows of ``v`` look for theirs in ``u`` too.
        extra: ``[K, D]`` more negatives, of a queue or a bank.
        exclude: of node ``i``, the nodes that are known to be false negatives: left out of the sum and never mixed.
        exclude_extra: of node ``i``, the rows of ``extra`` that are no negatives either, say keys of the node itself of earlier steps.
        chunk: rows of similarities held at a time, with the same draws, value and gradient; ``None`` holds all.

    Raises:
        ValueError: views of different shape, a temperature that is not positive, a chunk below 1, or a negative number of mixtures.

    Example:
        >>> u = torch.eye(8)
        >>> mochi(u, u) > mochi(u, u, num_mixed=0, num_with_query=0)
        tensor(True)

    Deviation:
        Ranks and shares are drawn once a call, for all rows alike, each of which has a hard set of its own; the paper draws them for each.
    """
    for name, number in (("num_hard", num_hard), ("num_mixed", num_mixed), ("num_with_query", num_with_query)):
        if number is not None and number < 0:
            raise ValueError(f"{name} must not be negative, got {number}")
    u, v = unit_rows(u, v, tau)
    more = u[:0] if extra is None else F.normalize(extra.to(u.dtype), dim=1)
    hard = min(MOST, -(-(len(u) * (1 + intra) + len(more)) // 4)) if num_hard is None else num_hard
    with_query = hard // 8 if num_with_query is None else num_with_query
    sizes = [hard if num_mixed is None else num_mixed] * 3 + [with_query] * 2
    draws = _Draws(*(torch.rand(size, dtype=u.dtype, device=u.device) for size in sizes)) if hard and any(sizes) else None
    ways = ((u, v), (v, u)) if symmetric else ((u, v),)

    def left_out(rows: slice) -> Tensor:
        out = torch.zeros(rows.stop - rows.start, len(u) * (1 + intra) + len(more), dtype=torch.bool, device=u.device)
        if exclude is not None:
            out[:, : -len(more) or None] = exclude.mask(rows, len(u)).repeat(1, 1 + intra)
        if exclude_extra is not None and len(more):
            out[:, -len(more) :] = exclude_extra.mask(rows, len(more))
        return out

    found = [_one_way(a, torch.cat([b, a, more] if intra else [b, more]), tau, intra, hard, draws, left_out, chunk) for a, b in ways]
    return torch.stack(found).mean()


def _one_way(
    a: Tensor,
    keys: Tensor,
    tau: float,
    intra: bool,
    num_hard: int,
    draws: _Draws | None,
    left_out: Callable[[slice], Tensor],
    chunk: int | None,
) -> Tensor:
    """The loss of rows ``a`` whose partners are the first keys; with ``intra`` they are the next keys themselves."""
    n, frozen = len(a), keys.detach()

    def reduce(rows: slice, s: Tensor, *still: Tensor) -> Tensor:
        out = left_out(rows)  # [c, M]
        if intra:
            out.diagonal(n + rows.start).fill_(True)
        own = torch.zeros_like(out)
        own.diagonal(rows.start).fill_(True)
        scores = s.masked_fill(out & ~own, -torch.inf)
        if draws is not None:
            mixed = _mixtures(frozen, still[0].masked_fill(out | own, -torch.inf), tau, num_hard, draws)
            scores = torch.cat([scores, mixed], 1)
        return scores.logsumexp(1) - s.diagonal(rows.start)

    pairs = [(a / tau, keys)] if draws is None else [(a / tau, keys), (a / tau, frozen)]
    return per_row(reduce, *pairs, chunk=chunk).mean()


def _mixtures(keys: Tensor, scores: Tensor, tau: float, num_hard: int, draws: _Draws) -> Tensor:
    """Scores ``[c, s + s']`` of rows with both kinds of mixtures of the keys that they score so; -inf where there is none."""
    hard, place = scores.topk(min(num_hard, scores.size(1)))
    count = hard.isfinite().sum(1, keepdim=True)
    hard = hard.masked_fill(hard.isinf(), 0)
    i, j, k = ((rank * count).long().clamp(max=hard.size(1) - 1) for rank in (draws.first, draws.second, draws.of_query))
    cosine = _dots(keys, place.gather(1, i), place.gather(1, j))
    mixed = (draws.share * hard.gather(1, i) + (1 - draws.share) * hard.gather(1, j)) / _length(draws.share, cosine)
    b, near = draws.query / 2, hard.gather(1, k)  # a row scores itself 1 / tau, whichever way it turns
    with_query = (b / tau + (1 - b) * near) / _length(b, near.detach() * tau)
    return torch.cat([mixed, with_query], 1).masked_fill(count == 0, -torch.inf)


def _length(share: Tensor, cosine: Tensor) -> Tensor:
    """Of ``share x + (1 - share) y`` for unit vectors of that cosine."""
    return (1 - 2 * share * (1 - share) * (1 - cosine)).clamp(min=1e-6).sqrt()  # opposite halves cancel


@torch.no_grad()
def _dots(keys: Tensor, i: Tensor, j: Tensor) -> Tensor:
    """``keys[i] . keys[j]``, ``[c, s]``, a few columns at a time."""
    step = max(ROOM // max(len(i), 1), 1)
    parts = zip(torch.split(i, step, 1), torch.split(j, step, 1), strict=True)  # type: ignore[no-untyped-call]
    return torch.cat([torch.linalg.vecdot(keys[x], keys[y]) for x, y in parts], 1)
