"""Collapse watch: a few cheap numbers that say whether an embedding still tells rows apart."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from graphssl.adjacency import all_finite


@torch.no_grad()
def diagnostics(z: Any, z2: Any = None, *, max_rows: int = 10_000, seed: int = 0) -> dict[str, float]:
    r"""How spread out an embedding is, without labels.

    * ``effective_rank``: exponential of the entropy of the normalised singular values (Roy and Vetterli, 2007, EUSIPCO), between 1 and D;
      the matrix is not centred.
    * ``std_per_dim``: deviation of each column of the rows of length one, averaged, times :math:`\sqrt D`: 1 is spread out, 0 one point.
    * ``mean_cosine``: of all pairs of different rows; 1 is a single direction.
    * ``uniformity``: :math:`\log \mathbb{E}\, e^{-2 \lVert u - v \rVert^2}` over pairs of at most 2,000 rows (Wang and Isola, 2020,
      arXiv:2005.10242); 0 is a single point, lower is more even.
    * ``alignment``: mean :math:`\lVert u_i - v_i \rVert^2` of matched rows, where ``z2`` is given (the same source); 0 is equal views.

    Args:
        z: ``[N, D]``, dense.
        z2: ``[N, D]``: the other view, row by row.
        max_rows: above this many rows, so many seeded ones stand for all.
        seed: of the rows taken; the global random state is not touched.

    Raises:
        ValueError: not ``[N, D]``, values that are NaN or infinite, or views of different shape.

    Example:
        >>> d = diagnostics(torch.eye(4))
        >>> round(d["effective_rank"], 3), round(d["mean_cosine"], 3)
        (4.0, 0.0)
    """
    h = _dense(z, "z")
    other = None if z2 is None else _dense(z2, "z2")
    if other is not None and other.shape != h.shape:
        raise ValueError(f"z2 has shape {tuple(other.shape)} and z has {tuple(h.shape)}; they must agree row by row")
    kept = _some(h.size(0), max_rows, seed).to(h.device)
    h = h[kept]
    u = F.normalize(h, dim=1)
    n, d = u.shape
    pairs = (u.sum(0).square().sum() - u.square().sum()) / max(n * (n - 1), 1)
    out = {
        "effective_rank": _effective_rank(h),
        "std_per_dim": float(u.std(0, correction=0).mean() * d**0.5),
        "mean_cosine": float(pairs) if n > 1 else 1.0,
        "uniformity": _uniformity(u[:2000]),  # the kept rows are in random order where there are more
    }
    if other is not None:
        out["alignment"] = _alignment(u, other[kept])
    return out


def alignment(z: Any, z2: Any, *, max_rows: int = 10_000, seed: int = 0) -> float:
    """The ``alignment`` of :func:`diagnostics` alone, without the cost of the rest.

    Example:
        >>> alignment(torch.eye(3), torch.eye(3))
        0.0
    """
    h, other = _dense(z, "z"), _dense(z2, "z2")
    if other.shape != h.shape:
        raise ValueError(f"z2 has shape {tuple(other.shape)} and z has {tuple(h.shape)}; they must agree row by row")
    kept = _some(h.size(0), max_rows, seed).to(h.device)
    return _alignment(F.normalize(h[kept], dim=1), other[kept])


def _alignment(u: Tensor, other: Tensor) -> float:
    return float((u - F.normalize(other, dim=1)).square().sum(1).mean())


def collapse_warning(diag: dict[str, float], reference: dict[str, float] | None = None) -> str | None:
    """A sentence when :func:`diagnostics` show a collapse, else ``None``.

    The criteria: ``std_per_dim`` below 0.05 or ``mean_cosine`` above 0.995 (all rows point the same way); ``effective_rank`` below 2 (one
    direction carries all); with a ``reference`` (the untrained encoder, or the start of the run), an effective rank below a tenth of its.

    Args:
        diag: of now.
        reference: of before.

    Example:
        >>> collapse_warning(diagnostics(torch.ones(8, 4)))
        'the embedding has collapsed: all rows point the same way (std_per_dim 0.000, mean_cosine 1.000)'
        >>> collapse_warning(diagnostics(torch.eye(8))) is None
        True
    """
    std, cosine, rank = diag["std_per_dim"], diag["mean_cosine"], diag["effective_rank"]
    if std < 0.05 or cosine > 0.995:
        return f"the embedding has collapsed: all rows point the same way (std_per_dim {std:.3f}, mean_cosine {cosine:.3f})"
    if rank < 2:
        return f"the embedding has collapsed: one direction carries nearly all of it (effective_rank {rank:.2f})"
    if reference is not None and rank < 0.1 * reference["effective_rank"]:
        return f"the embedding is collapsing: effective_rank fell from {reference['effective_rank']:.1f} to {rank:.1f}"
    return None


def _dense(z: Any, name: str) -> Tensor:
    h = torch.as_tensor(z).detach()
    if h.layout != torch.strided or h.dim() != 2 or h.numel() == 0:
        raise ValueError(f"{name} has shape {tuple(h.shape)} and layout {h.layout}; it must be dense, [N, D], and not empty")
    h = h if h.dtype == torch.float64 else h.float()
    if not all_finite(h):
        raise ValueError(f"{name} has values that are NaN or infinite; all must be finite")
    return h


def _some(num_rows: int, limit: int, seed: int) -> Tensor:
    order = torch.randperm(num_rows, generator=torch.Generator().manual_seed(seed))
    return order[:limit]


def _effective_rank(h: Tensor) -> float:
    gram = (h.mT @ h if h.size(0) >= h.size(1) else h @ h.mT).double()
    value = torch.linalg.eigvalsh(gram)
    top = value[-1]
    if float(top) <= 0:
        return 1.0  # all zero: a single point
    noise = torch.finfo(h.dtype).eps * max(h.shape) * top  # what rounding alone leaves in place of a zero
    share = torch.where(value > noise, value, 0).sqrt()
    share = share / share.sum()
    return float(torch.special.entr(share).sum().exp())


def _uniformity(u: Tensor) -> float:
    n = u.size(0)
    if n < 2:
        return 0.0
    distance = F.pdist(u.double()).square()
    return float((-2 * distance).logsumexp(0) - torch.tensor(float(len(distance))).log())
