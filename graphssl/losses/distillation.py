"""Losses that bring a student to a teacher: predictions to predictions, and a node's embedding to the teacher's of the same node."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from graphssl.losses.contrastive import info_nce
from graphssl.losses.pairwise import per_row, unit_rows
from graphssl.losses.precision import full_precision

Bank = tuple[Tensor, Tensor]  # [K, D] rows of the student's side, and of the teacher's for the same nodes
Sides = tuple[tuple[Tensor, Tensor, Tensor], tuple[Tensor, Tensor, Tensor]]


@full_precision
def kd(student: Tensor, teacher: Tensor, *, temperature: float = 4.0) -> Tensor:
    r"""Knowledge distillation: the mean over rows of ``T^2 KL(softmax(teacher / T) || softmax(student / T))``.

    Hinton et al., 2015, arXiv:1503.02531; the temperature as in the code of Tian et al., 2020, arXiv:1910.10699. The factor keeps the
    gradient's size as ``T`` grows; in the limit it is that of half the squared distance of centred logits over the number of classes.

    Args:
        student: ``[N, C]`` logits.
        teacher: ``[N, C]`` logits, which take no gradient.
        temperature: ``T``; the larger, the more the small probabilities say.

    Raises:
        ValueError: shapes that differ, or a temperature that is not positive.

    Example:
        >>> kd(torch.eye(3), torch.eye(3)).item(), bool(kd(torch.eye(3), torch.eye(3).roll(1, 0)) > 0)
        (0.0, True)
    """
    if student.shape != teacher.shape or student.dim() != 2:
        raise ValueError(f"student and teacher must both be [N, C], got {tuple(student.shape)} and {tuple(teacher.shape)}")
    if not temperature > 0:
        raise ValueError(f"temperature must be positive, got {temperature}")
    wanted, told = (F.log_softmax(logits / temperature, dim=1) for logits in (teacher.detach(), student))
    return temperature**2 * F.kl_div(told, wanted, log_target=True, reduction="none").sum(1).mean()


@full_precision
def crd(
    u: Tensor,
    v: Tensor,
    *,
    tau: float = 0.07,
    bank: Bank | None = None,
    ids: Tensor | None = None,
    bank_ids: Tensor | None = None,
    chunk: int | None = None,
) -> Tensor:
    r"""Contrastive representation distillation in its InfoNCE form, both directions added (Tian et al., 2020, arXiv:1910.10699).

    With ``s(a, b) = cos(a, b) / tau``, ``mean_i -log[ exp s(u_i, v_i) / (exp s(u_i, v_i) + sum_k exp s(u_i, v_k)) ]`` over the keys ``k``
    of another id, and the same with the sides exchanged. In the batch, without ids, it is twice :func:`info_nce`. An anchor
    without negatives adds nothing. The paper's own form is :func:`crd_nce`; this one needs neither a bank nor a constant ``Z``.

    Args:
        u: ``[N, D]``, the student's rows behind its head.
        v: ``[N, D]``, the teacher's rows of the same nodes behind its head.
        tau: temperature.
        bank: rows ``[K, D]`` of both sides that serve as keys; ``None``: those of the batch.
        ids: ``[N]``: a key of the anchor's id is no negative. Numbers of nodes by default; classes keep negatives to other classes.
        bank_ids: ``[K]`` ids of the bank's rows.
        chunk: rows of similarities held at a time, with the same value and gradient; ``None`` holds all ``[N, K]``.

    Raises:
        ValueError: rows, keys or ids that disagree in number or width, or a temperature that is not positive.

    Example:
        >>> u = torch.eye(4)
        >>> crd(u, u) < crd(u, u.roll(1, 0))
        tensor(True)
    """
    if bank is None and ids is None:
        return 2 * info_nce(u, v, tau=tau, chunk=chunk)  # which goes through the pairs once for both directions
    sides, differ = _sides(u, v, tau, bank, ids, bank_ids)
    total = u.new_zeros(())
    for anchor, partner, keys in sides:
        own = torch.linalg.vecdot(anchor, partner)  # [N]

        def others(rows: slice, s: Tensor) -> Tensor:
            return s.masked_fill_(~differ(rows), torch.finfo(s.dtype).min / 2).logsumexp(1)  # finite: so is the gradient of none

        total = total + F.softplus(per_row(others, (anchor, keys), chunk=chunk) - own).mean()
    return total


@full_precision
def crd_nce(
    u: Tensor,
    v: Tensor,
    log_z: Tensor,
    *,
    population: int,
    tau: float = 0.07,
    bank: Bank | None = None,
    ids: Tensor | None = None,
    bank_ids: Tensor | None = None,
    chunk: int | None = None,
) -> Tensor:
    r"""Contrastive representation distillation as its authors train it: noise-contrastive estimation with a frozen ``Z``.

    With ``P_k = exp s(u_i, v_k) / Z`` and ``K`` keys of another id out of ``N`` nodes, the mean over ``i`` of
    ``-log[P_i / (P_i + K/N)] - sum_k log[(K/N) / (P_k + K/N)]``, both directions added (Tian et al., 2020, arXiv:1910.10699, eq. 17 f.).
    This is the binary cross-entropy of the logits ``log P - log(K/N)``, which is how it is computed.

    Args:
        u: ``[N, D]``, the student's rows behind its head.
        v: ``[N, D]``, the teacher's rows of the same nodes behind its head.
        log_z: ``[2]``, the logarithm of ``Z`` for the student's anchors and for the teacher's: :func:`log_partition` of the first batch.
        population: ``N``, how many nodes there are.
        tau: temperature.
        bank: keys of both sides, as in :func:`crd`.
        ids: ``[N]``, as in :func:`crd`.
        bank_ids: ``[K]``, likewise.
        chunk: rows of similarities held at a time.

    Raises:
        ValueError: as :func:`crd`, or a population below 1.

    Example:
        >>> u, v = torch.eye(4), torch.eye(4).roll(1, 0)
        >>> crd_nce(u, u, log_partition(u, u, population=4), population=4) < crd_nce(u, v, log_partition(u, v, population=4), population=4)
        tensor(True)

    Deviation:
        All anchors of a batch share the keys that are drawn, O(K D) memory; the authors' code draws ``K`` for each of ``B``, O(B K D).
    """
    if population < 1:
        raise ValueError(f"population must be at least 1, got {population}")
    sides, differ = _sides(u, v, tau, bank, ids, bank_ids)
    total = u.new_zeros(())
    for (anchor, partner, keys), z in zip(sides, log_z.detach(), strict=True):

        def terms(rows: slice, s: Tensor, z: Tensor = z) -> Tensor:
            other = differ(rows)
            share = other.sum(1).to(s.dtype).log() - math.log(population)  # [c] log(K/N)
            logits = (s - (z + share)[:, None]).masked_fill(~other, -torch.inf)
            return torch.stack([F.softplus(logits).sum(1), share], 1)

        negative, share = per_row(terms, (anchor, keys), chunk=chunk).unbind(1)
        total = total + (negative + F.softplus(z + share - torch.linalg.vecdot(anchor, partner))).mean()
    return total


@torch.no_grad()
def log_partition(
    u: Tensor, v: Tensor, *, population: int, tau: float = 0.07, bank: Bank | None = None, chunk: int | None = None
) -> Tensor:
    """``log Z`` of :func:`crd_nce`, both directions ``[2]``: ``Z`` is ``population`` times the mean of ``exp s`` of a batch and its keys.

    Example:
        >>> u = torch.ones(2, 3)
        >>> log_partition(u, u, population=1, tau=0.5)
        tensor([2., 2.])
    """
    sides, _ = _sides(u, v, tau, bank, None, None if bank is None else torch.zeros(len(bank[0]), dtype=torch.long, device=u.device))
    found = []
    for anchor, _, keys in sides:
        sums = per_row(lambda rows, s: s.logsumexp(1), (anchor, keys), chunk=chunk)
        found.append(sums.logsumexp(0) - math.log(anchor.size(0) * keys.size(0)) + math.log(population))
    return torch.stack(found)


def _sides(
    u: Tensor, v: Tensor, tau: float, bank: Bank | None, ids: Tensor | None, bank_ids: Tensor | None
) -> tuple[Sides, Callable[[slice], Tensor]]:
    """Anchors over the temperature, partners and keys of both directions; and which keys ``[c, K]`` are negatives of some rows."""
    u, v = unit_rows(u, v, tau)
    ids = torch.arange(u.size(0), device=u.device) if ids is None else ids
    if (bank is None) != (bank_ids is None):
        raise ValueError(f"bank and bank_ids go together, got {'no bank' if bank is None else 'no bank_ids'}")
    keys = (u, v) if bank is None else unit_rows(bank[0].to(u.dtype), bank[1].to(u.dtype))
    key_ids = ids if bank_ids is None else bank_ids
    if ids.shape != u.shape[:1] or key_ids.shape != keys[0].shape[:1]:
        raise ValueError(
            f"there must be an id a row, got {tuple(ids.shape)} for {len(u)} rows and {tuple(key_ids.shape)} for {len(keys[0])}"
        )
    return ((u / tau, v, keys[1]), (v / tau, u, keys[0])), lambda rows: ids[rows, None] != key_ids
