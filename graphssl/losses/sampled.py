"""InfoNCE against a sample of the negatives, for more nodes than all pairs allow."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from graphssl.losses.precision import full_precision


@full_precision
def sampled_info_nce(u: Tensor, v: Tensor, negatives: Tensor, *, tau: float = 0.5, intra: bool = True, chunk: int | None = None) -> Tensor:
    r"""InfoNCE of every row against the same few rows in place of all: :func:`info_nce` in O(N k) where ``negatives`` names ``k`` rows.

    With ``s(a, b) = cos(a, b) / tau`` and ``S`` the rows of ``negatives``, the mean over both directions and all rows of
    ``-s(u_i, v_i) + log[ exp s(u_i, v_i) + sum_{k in S, k != i} exp s(u_i, v_k)  (+ exp s(u_i, u_k) if intra) ]``. It is how the BGRL paper
    (Thakoor et al., 2022, arXiv:2102.06514) runs GRACE on graphs too large for it; with all rows in ``S`` it is :func:`info_nce`.

    Args:
        u: ``[N, D]``.
        v: ``[N, D]``; row ``i`` of both is the same node.
        negatives: ``[k]`` rows, each once.
        tau: temperature.
        intra: the negatives in the row's own view count too.
        chunk: rows compared at a time; their similarities are recomputed for the gradient. ``None`` holds all ``[2N, 2k]``.

    Raises:
        ValueError: views of different shape, or a temperature that is not positive.

    Example:
        >>> u = torch.eye(4)
        >>> sampled_info_nce(u, u, torch.tensor([0, 2])) < sampled_info_nce(u, u.roll(1, 0), torch.tensor([0, 2]))
        tensor(True)
    """
    if u.shape != v.shape or u.dim() != 2:
        raise ValueError(f"u and v must both be [N, D], got {tuple(u.shape)} and {tuple(v.shape)}")
    if tau <= 0:
        raise ValueError(f"tau must be positive, got {tau}")
    u, v = F.normalize(u, dim=1), F.normalize(v, dim=1)
    pairs = torch.arange(u.size(0), device=u.device)
    total = u.new_zeros(())
    for own, other in ((u, v), (v, u)):
        far = torch.cat([other[negatives], own[negatives]]) if intra else other[negatives]
        for rows in torch.split(pairs, chunk or len(pairs)):
            total += checkpoint(_row_sum, own[rows], other[rows], far, rows, negatives, tau, use_reentrant=False)
    return total / (2 * u.size(0))


def _row_sum(own: Tensor, partner: Tensor, far: Tensor, rows: Tensor, negatives: Tensor, tau: float) -> Tensor:
    """The loss of some rows in one direction, summed."""
    positive = torch.linalg.vecdot(own, partner) / tau
    same = rows[:, None] == negatives.repeat(far.size(0) // len(negatives))  # itself, or its partner
    scores = (own @ far.t() / tau).masked_fill(same, -torch.inf)
    return (torch.cat([positive[:, None], scores], 1).logsumexp(1) - positive).sum()  # type: ignore[no-any-return, unused-ignore]
