"""Contrastive losses with soft targets: other rows belong to a row as far as they are similar to it."""

from __future__ import annotations

import torch
from torch import Tensor

from graphssl.losses.pairwise import per_row, unit_rows
from graphssl.losses.precision import full_precision


@full_precision
def sce(
    u: Tensor,
    v: Tensor,
    *,
    tau: float = 0.1,
    lam: float = 0.5,
    target_tau: float = 0.05,
    symmetric: bool = True,
    chunk: int | None = None,
) -> Tensor:
    r"""Similarity contrastive estimation: a row is to tell its partner, and how the partner lies to the others.

    ``-sum_j w_ij log softmax_j(cos(u_i, v_j) / tau)`` with ``w_ij = lam [i = j] + (1 - lam) softmax_{j != i}(cos(v_i, v_j) / target_tau)``,
    which takes no gradient (Denize et al., 2023, arXiv:2111.14585). ``lam = 1`` is InfoNCE, ``lam = 0`` purely relational as ReSSL. A row's
    own key has no part in the relations; the authors' code leaves it a score of 0 there.

    Args:
        u: ``[N, D]`` queries, of the strongly augmented view.
        v: ``[N, D]`` keys; row ``i`` of both is the same node. The caller detaches them if they come from a slow copy of the encoder.
        tau: temperature of what is learned.
        lam: share of a row's own partner in the target.
        target_tau: temperature of the relations, lower, so that they are sharper.
        symmetric: the rows of ``v`` are queries to those of ``u`` too.
        chunk: rows of similarities held at a time, with the same value and gradient; ``None`` holds all, of both kinds.

    Raises:
        ValueError: views of different shape, a temperature that is not positive, ``lam`` outside [0, 1], or relations of a single row.

    Example:
        >>> u = torch.eye(4)
        >>> sce(u, u) < sce(u, u.roll(1, 0))
        tensor(True)
    """
    u, v = unit_rows(u, v, tau)
    if not target_tau > 0:
        raise ValueError(f"target_tau must be positive, got {target_tau}")
    if not 0 <= lam <= 1:
        raise ValueError(f"lam must be in [0, 1], got {lam}")
    if u.size(0) < 2 and lam < 1:
        raise ValueError(f"relations need at least two rows, got {u.size(0)}")

    def reduce(rows: slice, s: Tensor, relations: Tensor) -> Tensor:
        relations.diagonal(rows.start).fill_(-torch.inf)
        told = s.diagonal(rows.start) if lam == 1 else lam * s.diagonal(rows.start) + (1 - lam) * (relations.softmax(1) * s).sum(1)
        return s.logsumexp(1) - told

    ways = ((u, v), (v, u)) if symmetric else ((u, v),)
    each = [per_row(reduce, (a / tau, b), (b.detach() / target_tau, b.detach()), chunk=chunk).mean() for a, b in ways]
    return torch.stack(each).mean()
