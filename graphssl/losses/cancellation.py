"""False negatives, nodes that are alike though they are not the same: found, and taken out or made positives."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, get_args

import torch
import torch.nn.functional as F
from torch import Tensor

from graphssl.adjacency import CSR
from graphssl.graph import Graph
from graphssl.losses.pairwise import per_row, unit_rows
from graphssl.losses.positives import Positives
from graphssl.losses.precision import full_precision

How = Literal["eliminate", "attract"]


@full_precision
def fnc(
    u: Tensor,
    v: Tensor,
    *,
    false: Positives | None = None,
    how: How = "attract",
    tau: float = 0.1,
    k: int = 10,
    threshold: float = 0.7,
    chunk: int | None = None,
) -> Tensor:
    r"""NT-Xent without its false negatives, FNC (Huynh et al., 2022, arXiv:2011.11765).

    Anchors are the ``2N`` stacked rows of both views. ``eliminate`` leaves both views of the false negatives ``F_i`` of node ``i`` out of
    the sum over negatives. ``attract`` leaves them in it and makes them positives: ``log sum_{a != i} e^{s_ia} - (s_i,own + sum_{F_i} s) /
    (1 + |F_i|)``. Without any it is :func:`info_nce` with ``intra``; with all nodes of the anchor's class, ``attract`` is the supervised
    contrastive loss.

    Args:
        u: ``[N, D]``.
        v: ``[N, D]``; row ``i`` of both is the same node.
        false: of node ``i``, the nodes that are its false negatives; ``None`` finds them in the views, by :func:`false_negatives`.
        how: ``eliminate`` or ``attract``.
        tau: temperature.
        k: found at most, of each node.
        threshold: least cosine of what is found.
        chunk: rows of similarities held at a time, with the same value and gradient; ``None`` holds all.

    Raises:
        ValueError: views of different shape, a temperature that is not positive, ``k`` or a chunk below 1, or an unknown ``how``.

    Example:
        >>> u = torch.tensor([[1.0, 0.0], [1.0, 0.1], [-1.0, 0.0]])
        >>> fnc(u, u, how="eliminate") < fnc(u, u, how="eliminate", threshold=2)
        tensor(True)

    Deviation:
        The official code attracts alone, and minimises twice the mean. It draws eight more views to find by; here the two views of the
        loss serve, or what the caller found (say with a slow copy of the encoder) is given as ``false``.
    """
    if how not in get_args(How):
        raise ValueError(f"how must be one of {', '.join(get_args(How))}, got {how!r}")
    u, v = unit_rows(u, v, tau)
    n = len(u)
    if false is None:
        row, col = false_negatives((u, v), (u, v), k=k, threshold=threshold, chunk=chunk)
        false = Positives.listed(row, col, n)

    def reduce(rows: slice, s: Tensor) -> Tensor:
        found = false.mask(rows, n).repeat(1, 2)  # [c, 2N]: both views
        own = s.diagonal(n + rows.start)
        found.diagonal(rows.start).fill_(False)
        found.diagonal(n + rows.start).fill_(False)
        itself = torch.zeros_like(found)
        itself.diagonal(rows.start).fill_(True)
        if how == "eliminate":
            return s.masked_fill(found | itself, -torch.inf).logsumexp(1) - own
        return s.masked_fill(itself, -torch.inf).logsumexp(1) - (own + s.where(found, 0).sum(1)) / (1 + found.sum(1))

    return torch.cat([per_row(reduce, (a / tau, torch.cat([a, b])), chunk=chunk) for a, b in ((u, v), (v, u))]).mean()


@torch.no_grad()
def false_negatives(
    support: Sequence[Tensor],
    keys: Sequence[Tensor],
    *,
    k: int = 10,
    threshold: float = 0.7,
    evidence: Positives | None = None,
    chunk: int | None = None,
) -> Tensor:
    """Nodes that are so similar that they should not be negatives: pairs ``[2, E]`` of a node and one of its false negatives.

    Node ``j`` is one of ``i`` if ``max cos(support_i, keys_j)``, over all views of both, is above ``threshold`` and among the ``k`` highest
    of ``i`` (Huynh et al., 2022, arXiv:2011.11765). ``Positives.listed(pairs[0], pairs[1], n)`` hands them to a loss.

    Args:
        support: views of the nodes ``[N, D]`` each: those of the loss, more of them, or of a slow copy of the encoder.
        keys: views of the candidates, ``[N, D]`` each, the same nodes.
        k: found at most, of each node.
        threshold: least cosine.
        evidence: who may be found at all: nodes within a few edges (:func:`within`), or of one cluster (ours; not in the paper).
        chunk: rows of similarities held at a time; ``None`` holds all.

    Raises:
        ValueError: no view, views of different shape, or ``k`` below 1.

    Example:
        >>> z = torch.tensor([[1.0, 0.0], [1.0, 0.1], [-1.0, 0.0]])
        >>> false_negatives([z], [z])
        tensor([[0, 1],
                [1, 0]])
    """
    if not support or not keys or len({(t.dim() == 2, t.shape) for t in (*support, *keys)}) > 1:
        raise ValueError(f"support and keys must be views [N, D], got {[tuple(t.shape) for t in (*support, *keys)]}")
    if k < 1:
        raise ValueError(f"k must be at least 1, got {k}")
    pairs = [(F.normalize(a, dim=1), F.normalize(b, dim=1)) for a in support for b in keys]
    n = len(support[0])

    def reduce(rows: slice, *s: Tensor) -> Tensor:
        best = torch.stack(s).amax(0)
        best.diagonal(rows.start).fill_(-torch.inf)
        if evidence is not None:
            best.masked_fill_(~evidence.mask(rows, n), -torch.inf)
        score, place = best.topk(min(k, n))
        return place.where(score > threshold, -1)

    found = per_row(reduce, *pairs, chunk=chunk)  # [N, k]
    row, rank = torch.nonzero(found >= 0, as_tuple=True)
    return torch.stack([row, found[row, rank]])


def within(g: Graph, hops: int = 2) -> Positives:
    """Who is within so many edges of whom: evidence for :func:`false_negatives`, a chunk of rows at a time. No node is near itself.

    Raises:
        ValueError: fewer than one hop.

    Example:
        >>> g = Graph.of((torch.eye(4), torch.tensor([[0, 1, 2, 1, 2, 3], [1, 2, 3, 0, 1, 2]])))
        >>> within(g, 2).mask(slice(0, 2), 4).int()
        tensor([[0, 1, 1, 0],
                [1, 0, 1, 1]], dtype=torch.int32)
    """
    if hops < 1:
        raise ValueError(f"hops must be at least 1, got {hops}")
    return _Within(g, hops)


class _Within(Positives):
    def __init__(self, g: Graph, hops: int) -> None:
        self.edges, self.hops = CSR(g.pattern), hops

    def mask(self, rows: slice, num_keys: int) -> Tensor:
        size, device = rows.stop - rows.start, self.edges.device
        start = torch.zeros(num_keys, size, device=device)
        start[rows] = torch.eye(size, device=device)
        near = start
        for _ in range(self.hops):
            near = (near + self.edges @ near).clamp(max=1)
        return (near > start).t()

    def counts(self) -> Tensor:
        n, step = self.edges.size(0), 1024
        return torch.cat([self.mask(slice(i, min(i + step, n)), n).sum(1) for i in range(0, n, step)])


def precision_and_recall(pairs: Tensor, y: Tensor) -> dict[str, float]:
    """How good what was found is: shares of the pairs ``[2, E]`` of one class, of all such pairs that are found, and of all pairs at all.

    Nodes of class -1 count for nothing. For looking at; no loss takes labels this way.

    Example:
        >>> precision_and_recall(torch.tensor([[0, 1], [1, 2]]), torch.tensor([0, 0, 1, 1]))
        {'precision': 0.5, 'recall': 0.25, 'base_rate': 0.3333333333333333}
    """
    row, col = pairs[:, (y[pairs] >= 0).all(0)]
    sizes = torch.bincount(y[y >= 0]).double()
    alike, every = float((sizes * (sizes - 1)).sum()), float(sizes.sum() * (sizes.sum() - 1))
    right = float((y[row] == y[col]).sum())
    return {
        "precision": right / row.numel() if row.numel() else 0.0,
        "recall": right / alike if alike else 0.0,
        "base_rate": alike / every if every else 0.0,
    }
