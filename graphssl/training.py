"""Training: a generator of steps, and ``fit``, which drains it."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import torch
from torch import Tensor, nn

from graphssl.batches import Batches, side_by_side
from graphssl.datasets import Dataset
from graphssl.distributed import World, combined, gathered, level, sum_gradients, world
from graphssl.graph import Graph
from graphssl.objectives.base import Objective
from graphssl.random import RandomStream
from graphssl.uniting import unite

Parameters = dict[str, Tensor]

APART = 0x9E3779B97F4A7C15  # between the seeds of two ranks; its low 32 bits, all that torch's CPU generator takes of a seed, differ too


class TrainingDiverged(RuntimeError):
    """The loss became NaN or infinite."""


@dataclass(frozen=True)
class Step:
    """One optimiser step, as ``train`` yields it."""

    number: int  # from 1
    total: int  # steps that the whole run would take
    epoch: int  # from 1
    loss: Tensor  # scalar, detached
    lr: float
    seconds: float  # of this step alone


@dataclass
class Trainer:
    """What moves an objective: optimiser, schedule, random stream and where the run stands."""

    objective: Objective
    optimizer: torch.optim.Optimizer
    stream: RandomStream
    lr: float
    warmup: int  # steps
    schedule: Literal["cosine", "constant"]
    total: int  # steps
    clip: float | None
    precision: Literal["float32", "bf16"]
    device: torch.device
    done: int = 0  # steps
    world: World = field(default_factory=World)  # the processes that take each step together

    def step(self, g: Graph) -> Step:
        """Loss, gradient, optimiser step, hook."""
        start = time.perf_counter()
        lr = self.lr * schedule(self.done, self.total, self.warmup, self.schedule)
        for group in self.optimizer.param_groups:
            group["lr"] = lr
        self.objective.train()
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.precision == "bf16"):
            loss = self.objective(g)
        value, share = (loss.detach(), None) if self.world.size == 1 else combined(loss, self.objective.rows(g))
        if self.device.type == "cpu" and not math.isfinite(float(value)):
            raise TrainingDiverged(f"the loss became {float(value)} at step {self.done + 1} of {self.total}: lower lr, or clip gradients")
        self.optimizer.zero_grad(set_to_none=True)
        (loss if share is None else loss * share).backward()  # type: ignore[no-untyped-call]
        if share is not None:
            sum_gradients([p for p in self.objective.parameters() if p.requires_grad])
        if self.clip is not None:
            nn.utils.clip_grad_norm_(self.objective.parameters(), self.clip)
        self.optimizer.step()
        self.done += 1
        self.objective.after_step(self.done / self.total)
        return Step(self.done, self.total, 0, value, lr, time.perf_counter() - start)


class Training(Iterator[Step]):
    """The steps of a run, one at a time; between two of them it can be saved, and gone on with to the same numbers, bit for bit.

    What counts is all in :meth:`state`: parameters and buffers, optimiser, random numbers, the place in the epoch. Batches with a
    ``state_dict`` of their own are set to their place; others are gone through again up to it, with the epoch's random numbers.
    """

    def __init__(self, trainer: Trainer, batches: Batches, epochs: int, patience: int | None) -> None:
        self.trainer, self.batches, self.epochs, self.patience = trainer, batches, epochs, patience
        self.epoch, self.position = 0, 0  # the epoch that runs, from 1, and its batches that are done
        self.losses: list[Tensor] = []  # of this epoch
        self.best, self.worse, self.over = math.inf, 0, False
        self.best_state: Parameters | None = None
        self.before: Parameters | None = None  # what this epoch started from
        self.began: dict[str, Tensor] = {}  # random numbers at the start of the epoch
        self.order: Iterator[Graph] | None = None

    def __next__(self) -> Step:
        while True:
            if self.order is None:
                self._open()
            assert self.order is not None
            with self.trainer.stream.running():
                g = next(self.order, None)
                step = None if g is None else self.trainer.step(g.to(self.trainer.device))
            if step is not None:
                self.position += 1
                if self.patience is not None:
                    self.losses.append(step.loss)
            if step is None or self.position == len(self.batches):
                epoch = self.epoch
                self._close()
                if step is None:
                    continue
                return replace(step, epoch=epoch)
            return replace(step, epoch=self.epoch)

    def _open(self) -> None:
        """Begin an epoch; or end, with the best parameters where there is ``patience``."""
        if self.over or self.epoch == self.epochs:
            if self.best_state is not None:
                self.trainer.objective.load_state_dict(self.best_state)
            self.over, self.best_state = True, None
            raise StopIteration
        self.epoch, self.position, self.losses = self.epoch + 1, 0, []
        self.before = None if self.patience is None else snapshot(self.trainer.objective)
        self.began = dict(self.trainer.stream.state)
        with self.trainer.stream.running():
            self.order = iter(self.batches)

    def _close(self) -> None:
        """End an epoch, before its last step is told."""
        self.order = None
        with self.trainer.stream.running():
            self.trainer.objective.after_epoch(self.epoch / self.epochs)
            if self.trainer.world.size > 1 and type(self.trainer.objective).after_epoch is not Objective.after_epoch:
                level(self.trainer.objective.buffers())
        if self.patience is None:
            return
        mean = float(torch.stack(self.losses).mean())
        if mean < self.best:
            self.best, self.best_state, self.worse = mean, self.before, 0
        else:
            self.worse += 1
            self.over = self.worse >= self.patience

    def state(self) -> tuple[Parameters, dict[str, Any]]:
        """All that decides what comes next: tensors by name, and plain values."""
        optimizer = self.trainer.optimizer.state_dict()
        tensors = {f"objective.{name}": value for name, value in self.trainer.objective.state_dict().items()}
        for index, slots in optimizer["state"].items():
            tensors |= {f"optimizer.{index}.{name}": torch.as_tensor(value) for name, value in slots.items()}
        for group, values in (
            ("best", self.best_state),
            ("before", self.before),
            *self._streams(),
        ):
            tensors |= {f"{group}.{name}": value for name, value in (values or {}).items()}
        place = {"epoch": self.epoch, "position": self.position if self.order is not None else None}
        losses = [float(loss) for loss in self.losses] if self.patience is not None else []
        patience = {"losses": losses, "best": None if self.best == math.inf else self.best, "worse": self.worse, "over": self.over}
        own = getattr(self.batches, "state_dict", None)
        ranks = {} if self.trainer.world.size == 1 else {"ranks": self.trainer.world.size}
        return tensors, {**ranks, "done": self.trainer.done, **place, **patience, "batches": None if own is None else own()}

    def _streams(self) -> list[tuple[str, Parameters]]:
        """Random numbers of all ranks, now and at the start of the epoch."""
        found = gathered((self.trainer.stream.state, self.began))
        marked = ((rank_mark(rank), both) for rank, both in enumerate(found))
        return [pair for mark, (now, began) in marked for pair in (("stream" + mark, now), ("began" + mark, began))]

    def restore(self, tensors: Parameters, record: dict[str, Any]) -> None:
        """Go on from a :meth:`state` of a run of the same objective, batches and numbers, before any step of this one.

        Raises:
            ValueError: the state is not one of such a run, or one of another number of processes.
        """
        ranks, mark = record.get("ranks", 1), rank_mark(self.trainer.world.rank)
        if ranks != self.trainer.world.size:
            raise ValueError(f"state: it is that of a run of {ranks} processes, got {self.trainer.world.size}")
        parts: dict[str, Parameters] = {}
        for name, value in tensors.items():
            group, _, rest = name.partition(".")
            parts.setdefault(group, {})[rest] = value
        try:
            self.trainer.objective.load_state_dict(parts["objective"])
            self._restore_optimizer(parts.get("optimizer", {}))
            self.trainer.stream.state = parts["stream" + mark]
            self.began, self.before, self.best_state = parts.get("began" + mark, {}), parts.get("before"), parts.get("best")
            self.trainer.done, self.epoch = record["done"], record["epoch"]
            self.losses = [torch.tensor(loss, device=self.trainer.device) for loss in record["losses"]]
            self.best, self.worse, self.over = math.inf if record["best"] is None else record["best"], record["worse"], record["over"]
        except (KeyError, RuntimeError, TypeError) as error:
            raise ValueError(f"state: it is not that of a run with this objective: {error}") from error
        if record["batches"] is not None:
            self.batches.load_state_dict(record["batches"])  # type: ignore[attr-defined]
        if record["position"] is not None:
            self._go_to(record["position"], found=record["batches"] is not None)

    def _restore_optimizer(self, slots: Parameters) -> None:
        state: dict[int, dict[str, Tensor]] = {}
        for name, value in slots.items():
            index, _, slot = name.partition(".")
            state.setdefault(int(index), {})[slot] = value
        groups = self.trainer.optimizer.state_dict()["param_groups"]
        self.trainer.optimizer.load_state_dict({"state": state, "param_groups": groups})

    def _go_to(self, position: int, *, found: bool) -> None:
        """Into the middle of the epoch, whose first ``position`` batches are done."""
        now = dict(self.trainer.stream.state)
        self.trainer.stream.state, self.position = dict(self.began), position
        with self.trainer.stream.running():
            self.order = iter(self.batches)
            for _ in range(0 if found else position):
                next(self.order)
        self.trainer.stream.state = now


@dataclass
class History:
    """What a run leaves behind: one row a step, kept as plain numbers."""

    loss: list[float] = field(default_factory=list)
    lr: list[float] = field(default_factory=list)
    epoch: list[int] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)

    def add(self, step: Step) -> None:
        """Take a step down."""
        self.loss.append(float(step.loss))
        self.lr.append(step.lr)
        self.epoch.append(step.epoch)
        self.seconds.append(step.seconds)

    def __len__(self) -> int:
        return len(self.loss)


def train(
    objective: Objective,
    batches: Graph | Dataset | Batches,
    *,
    epochs: int,
    lr: float = 1e-3,
    weight_decay: float = 0.0,
    optimizer: Literal["adamw", "adam"] = "adamw",
    warmup: float = 0.0,
    schedule: Literal["cosine", "constant"] = "constant",
    patience: int | None = None,
    clip: float | None = None,
    precision: Literal["float32", "bf16"] = "float32",
    seed: int = 0,
    device: torch.device | str | None = None,
) -> Training:
    """Train an objective, a step at a time; logging, saving and probing are the caller's plain ``if``s between steps.

    Under :func:`graphssl.distributed.joined` all processes call this with their :func:`~graphssl.batches.shard` of the same batches, and
    take each step together: losses and gradients are those of one process with the batches whole, batch norm included. Augmentations and
    dropout are drawn for each process from numbers of its own.

    The caller's random generators are left as they were; the objective is in train mode at every step, whatever the caller does to
    it in between. With ``patience`` the objective ends with the parameters that had the best loss: those before that epoch's first step.

    Args:
        objective: what is trained, in place.
        batches: one graph (a step is then an epoch), a dataset (its training graphs), or an iterable of graphs with a length that
            can be gone through once an epoch.
        epochs: passes over the batches.
        lr: peak learning rate.
        weight_decay: decoupled for AdamW, added to the gradient for Adam; on all parameters, as the official codes do.
        optimizer: ``adamw`` or ``adam``.
        warmup: share of all steps in which ``lr`` rises linearly from 0.
        schedule: after warm-up, ``cosine`` falls to 0 at the end; ``constant`` stays.
        patience: stop after so many epochs whose mean loss is not below the best so far.
        clip: largest norm of the gradient; ``None`` leaves it alone.
        precision: ``bf16`` runs matrix products under autocast; losses stay in float32.
        seed: of augmentations, dropout and the order of batches.
        device: where to train; by default where the objective is.

    Returns:
        An iterator over a :class:`Step` after each optimiser step, whose ``state`` can be kept and gone on from.

    Raises:
        ValueError: an argument out of its range.
        TrainingDiverged: the loss became NaN or infinite (looked at on CPU only).
    """
    _check(epochs=epochs, lr=lr, weight_decay=weight_decay, warmup=warmup, patience=patience, clip=clip)
    for name, value, allowed in (
        ("optimizer", optimizer, ("adamw", "adam")),
        ("schedule", schedule, ("cosine", "constant")),
        ("precision", precision, ("float32", "bf16")),
    ):
        if value not in allowed:
            raise ValueError(f"{name} must be one of {', '.join(allowed)}, got {value!r}")
    place = torch.device(device) if device is not None else next(objective.parameters()).device
    objective.to(place)
    source = as_batches(batches)
    if isinstance(source, list):
        source = [g.to(place) for g in source]  # once, so that what is found of a graph's structure stays with it
    here = world()
    if here.size > 1:
        _check_ranks(objective, source)
        unite(objective)
    total = epochs * len(source)
    cls = torch.optim.AdamW if optimizer == "adamw" else torch.optim.Adam
    moved = [p for p in objective.parameters() if p.requires_grad]
    engine = cls(moved, lr=lr, weight_decay=weight_decay)
    stream = RandomStream((seed + here.rank * APART) % 2**63, place)
    trainer = Trainer(objective, engine, stream, lr, round(warmup * total), schedule, total, clip, precision, place, world=here)
    return Training(trainer, source, epochs, patience)


def fit(objective: Objective, data: Graph | Dataset | Batches, *, epochs: int, **options: Any) -> History:
    """Train to the end; ``options`` are those of :func:`train`.

    Example:
        >>> from graphssl import DGI, GCN
        >>> g = Graph.of((torch.eye(4), torch.tensor([[0, 1, 2, 1, 2, 3], [1, 2, 3, 0, 1, 2]])))
        >>> len(fit(DGI(GCN(4, [8], norm="none")), g, epochs=3))
        3
    """
    history = History()
    for step in train(objective, data, epochs=epochs, **options):
        history.add(step)
    return history


def as_batches(data: Graph | Dataset | Batches) -> Batches:
    """The graphs to train on, as something with a length that can be gone through again; PyG's ``Data`` are converted."""
    if isinstance(data, Dataset):
        return [side_by_side(data.train_graphs)]
    if isinstance(data, Graph) or hasattr(data, "edge_index"):
        return [Graph.of(data)]
    if isinstance(data, Iterator) or not (hasattr(data, "__iter__") and hasattr(data, "__len__")):
        raise ValueError(
            f"batches must be a Graph, a Dataset, or graphs with a length that can be gone through again, got {type(data).__name__}"
        )
    if not len(data):
        raise ValueError("batches must hold at least one graph, got none")
    return [Graph.of(g) for g in data] if isinstance(data, (list, tuple)) else data


def rank_mark(rank: int) -> str:
    """What stands behind the names of what each rank has its own of; nothing for the first."""
    return f"-{rank}" if rank else ""


def schedule(done: int, total: int, warmup: int, kind: str = "cosine") -> float:
    """Share of the peak learning rate for the step after ``done`` steps.

    Example:
        >>> [round(schedule(k, 10, 2), 2) for k in range(10)]
        [0.0, 0.5, 1.0, 0.96, 0.85, 0.69, 0.5, 0.31, 0.15, 0.04]
    """
    if done < warmup:
        return done / warmup
    if kind == "constant":
        return 1.0
    return (1 + math.cos(math.pi * (done - warmup) / max(total - warmup, 1))) / 2


def snapshot(objective: nn.Module) -> dict[str, Tensor]:
    """All parameters and buffers as they are now."""
    return {name: value.clone() for name, value in objective.state_dict().items()}


def _check_ranks(objective: Objective, source: Batches) -> None:
    if objective.mean_over is None:
        raise ValueError(f"objective: {type(objective).__name__} cannot be trained by several processes, got {world().size}")
    if len(set(lengths := gathered(len(source)))) > 1:
        raise ValueError(f"batches must be as many in each process, got {', '.join(map(str, lengths))}")


def _check(**given: float | None) -> None:
    allowed: dict[str, tuple[Callable[[float], bool], str]] = {
        "epochs": (lambda v: v >= 1, "at least 1"),
        "lr": (lambda v: v > 0 and math.isfinite(v), "positive"),
        "weight_decay": (lambda v: v >= 0, "0 or more"),
        "warmup": (lambda v: 0 <= v < 1, "in [0, 1)"),
        "patience": (lambda v: v >= 1, "at least 1, or None"),
        "clip": (lambda v: v > 0, "positive, or None"),
    }
    for name, value in given.items():
        holds, words = allowed[name]
        if value is not None and not (isinstance(value, (int, float)) and holds(value)):
            raise ValueError(f"{name} must be {words}, got {value!r}")
