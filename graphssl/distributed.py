"""Several processes that train one model: who is there, what they tell one another, gradients as of one process."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, NamedTuple, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn

from graphssl.differentiation import once_differentiable

T = TypeVar("T")

TIMEOUT = timedelta(hours=24)  # the others wait while rank 0 scores; a process that died is noticed at once, by its connection
AGAIN = "what was saved last stays, and the same command with --resume goes on from there"


class RankLost(RuntimeError):
    """Another process of the run ended, or cannot be reached."""


class World(NamedTuple):
    """Where this process stands among those of a run; without others, rank 0 of 1."""

    rank: int = 0
    size: int = 1
    local: int = 0  # rank among those on this machine
    backend: str = ""

    @property
    def device(self) -> torch.device | None:
        """Where this process computes: its own GPU under nccl, the CPU under gloo; ``None`` leaves it open."""
        if self.size == 1:
            return None
        return torch.device("cuda", self.local) if self.backend == "nccl" else torch.device("cpu")


def world() -> World:
    """The processes of this run, as torch.distributed has them.

    Example:
        >>> world()
        World(rank=0, size=1, local=0, backend='')
    """
    if not (dist.is_available() and dist.is_initialized()):
        return World()
    rank = dist.get_rank()
    return World(rank, dist.get_world_size(), int(os.environ.get("LOCAL_RANK", rank)), "nccl" if "nccl" in dist.get_backend() else "gloo")


@contextmanager
def joined() -> Iterator[World]:
    """Inside, this process is one of those that ``torchrun`` started; without torchrun, or with one process, nothing happens.

    A process has a GPU of its own where there are enough of them on its machine (nccl), and else the CPU (gloo). Of an error that ends all
    of them the first one tells: on that of the others ``told`` is set.

    Raises:
        ValueError: the environment lacks what torchrun sets.
        RankLost: another process ended.
    """
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size == 1:
        yield World()
        return
    missing = [name for name in ("RANK", "MASTER_ADDR", "MASTER_PORT") if name not in os.environ]
    if missing:
        raise ValueError(f"WORLD_SIZE is {size}, and {', '.join(missing)} is not set: start the processes with torchrun")
    # functional's default arguments hold the group that is there when it is imported (the first optimiser does), and a group that is held
    # keeps its threads, which may end the process with an abort while Python shuts down: so it is imported before there is one
    import torch.distributed.nn.functional  # noqa: F401
    from torch.distributed.rendezvous import rendezvous  # not there where torch was built without

    with _heard():
        store, _, _ = next(iter(rendezvous("env://", timeout=TIMEOUT)))
        _begin(store, size)
    try:
        yield world()
        wait()
    except Exception as error:
        error.told = _is_told(store)  # type: ignore[attr-defined]
        raise
    finally:
        dist.destroy_process_group()


def _begin(store: Any, size: int) -> None:
    rank = int(os.environ["RANK"])
    local, on_machine = int(os.environ.get("LOCAL_RANK", rank)), int(os.environ.get("LOCAL_WORLD_SIZE", size))
    gpus = torch.cuda.is_available() and torch.cuda.device_count() >= on_machine and dist.is_nccl_available()
    if gpus:
        torch.cuda.set_device(local)
    dist.init_process_group("cpu:gloo,cuda:nccl" if gpus else "gloo", store=store, rank=rank, world_size=size, timeout=TIMEOUT)


def _is_told(store: Any) -> bool:
    """Whether another process tells of what ended the run already; the store is torchrun's own, and outlives the processes."""
    try:
        return bool(store.add("graphssl/told", 1) > 1)
    except RuntimeError:
        return False


@contextmanager
def _heard() -> Iterator[None]:
    """What fails between processes fails because one of them is gone."""
    try:
        yield
    except RuntimeError as error:
        cause = str(error).strip().splitlines()[0].rpartition("] ")[2] if str(error).strip() else type(error).__name__
        raise RankLost(f"another process of this run ended or cannot be reached ({cause}); {AGAIN}") from error


# ---------------------------------------------------------------------- plain values


def wait() -> None:
    """Until all processes are here."""
    if world().size > 1:
        summed(torch.zeros(1))


@contextmanager
def in_turn() -> Iterator[None]:
    """The block of the first process on each machine runs first, then that of the others: what one downloads or caches, all can read."""
    local = world().local
    if local:
        wait()
    yield
    if not local:
        wait()


def shared(value: T) -> T:
    """What rank 0 has."""
    if world().size == 1:
        return value
    box = [value]
    with _heard():
        dist.broadcast_object_list(box, src=0)
    return box[0]


def gathered(value: T) -> list[T]:
    """What each rank has, in their order."""
    size = world().size
    if size == 1:
        return [value]
    box: list[Any] = [None] * size
    with _heard():
        dist.all_gather_object(box, value)
    return box


def agreed(due: bool, signal: int | None) -> tuple[bool, int | None]:
    """Between two steps: whether rank 0 finds a checkpoint due, and the signal that any process got, the largest of several."""
    here = world()
    if here.size == 1:
        return due, signal
    told = torch.zeros(here.size + 1, dtype=torch.long)
    told[here.rank], told[-1] = signal or 0, int(due and here.rank == 0)
    summed(told)
    return bool(told[-1]), int(told[:-1].max()) or None


# ---------------------------------------------------------------------- tensors


def summed(t: Tensor) -> Tensor:
    """The sum over ranks, in place, outside autograd; every rank has a tensor of that shape."""
    with _heard():
        dist.all_reduce(t)
    return t


def same(t: Tensor) -> Tensor:
    """Rank 0's values, on all ranks, in place; every rank has a tensor of that shape."""
    if world().size > 1:
        with _heard():
            dist.broadcast(t, src=0)
    return t


class _Everywhere(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, z: Tensor, counts: tuple[int, ...]) -> Tensor:
        rank = world().rank
        ctx.rows = slice(sum(counts[:rank]), sum(counts[: rank + 1]))
        mine = z.new_zeros(max(counts), *z.shape[1:])
        mine[: z.size(0)] = z
        parts = [torch.empty_like(mine) for _ in counts]
        with _heard():
            dist.all_gather(parts, mine)
        return torch.cat([part[:count] for part, count in zip(parts, counts, strict=True)])

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        return summed(grad.contiguous().clone())[ctx.rows], None


def everywhere(z: Tensor) -> Tensor:
    """The rows of all ranks in their order, ``[N, ...] -> [N_0 + N_1 + ..., ...]``; ``N`` may differ between ranks.

    The gradient of a rank's rows is the sum of what all ranks' losses give for them. So where each of ``P`` ranks takes the same loss of
    all rows ``1 / P`` times, gradients summed over ranks are those of one process. Alone, ``z`` itself.

    Example:
        >>> z = torch.ones(3, 2)
        >>> everywhere(z) is z
        True
    """
    here = world()
    if here.size == 1:
        return z
    counts = torch.zeros(here.size, dtype=torch.long)
    counts[here.rank] = z.size(0)
    out: Tensor = _Everywhere.apply(z, tuple(summed(counts).tolist()))  # type: ignore[no-untyped-call]
    return out


class _Sum(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, t: Tensor) -> Tensor:
        return summed(t.clone())

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        return summed(grad.contiguous().clone())


def mean_everywhere(h: Tensor) -> Tensor:
    """Mean over the rows of all ranks, ``[N, D] -> [1, D]``, with the gradient of one process.

    Example:
        >>> mean_everywhere(torch.tensor([[1.0], [3.0]]))
        tensor([[2.]])
    """
    if world().size == 1:
        return h.mean(dim=0, keepdim=True)
    total: Tensor = _Sum.apply(torch.cat([h.sum(0), h.new_full((1,), h.size(0))]))  # type: ignore[no-untyped-call]
    return (total[:-1] / total[-1].detach())[None]


# ---------------------------------------------------------------------- training


def combined(loss: Tensor, rows: int) -> tuple[Tensor, Tensor]:
    """A loss that is a mean over ``rows`` rows here, as the mean over those of all ranks, detached; and this rank's share of the rows."""
    weight = loss.new_full((), rows)
    total = summed(torch.stack([loss.detach() * weight, weight]))
    return total[0] / total[1], weight / total[1]


def sum_gradients(parameters: Sequence[nn.Parameter]) -> None:
    """Give each parameter the sum of its gradients over ranks, in one message; none where no rank has one."""
    there = torch.tensor([float(p.grad is not None) for p in parameters], device=parameters[0].device)
    parts = [torch.zeros_like(p).flatten() if p.grad is None else p.grad.flatten() for p in parameters]
    total = summed(torch.cat([*parts, there]))
    counts = total[-len(parameters) :]
    sums = torch.split(total[: -len(parameters)], [p.numel() for p in parameters])  # type: ignore[no-untyped-call]
    for p, grad, count in zip(parameters, sums, counts, strict=True):
        if p.grad is not None or bool(count):  # the count is looked at only where it is open, as that stops a GPU
            p.grad = grad.view_as(p).to(p.dtype)


def level(tensors: Iterator[Tensor]) -> None:
    """The mean over ranks of what each rank worked out for itself, in place."""
    for t in tensors:
        if t.is_floating_point():
            t.copy_(summed(t.clone()) / world().size)
