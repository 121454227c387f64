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
from graphssl.graph import Graph
from graphssl.objectives.base import Objective
from graphssl.random import RandomStream


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

    def step(self, g: Graph) -> Step:
        """Loss, gradient, optimiser step, hook."""
        start = time.perf_counter()
        lr = self.lr * schedule(self.done, self.total, self.warmup, self.schedule)
        for group in self.optimizer.param_groups:
            group["lr"] = lr
        self.objective.train()
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.precision == "bf16"):
            loss = self.objective(g)
        if self.device.type == "cpu" and not math.isfinite(value := float(loss.detach())):
            raise TrainingDiverged(f"the loss became {value} at step {self.done + 1} of {self.total}: lower lr, or clip gradients")
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        if self.clip is not None:
            nn.utils.clip_grad_norm_(self.objective.parameters(), self.clip)
        self.optimizer.step()
        self.done += 1
        self.objective.after_step(self.done / self.total)
        return Step(self.done, self.total, 0, loss.detach(), lr, time.perf_counter() - start)


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
) -> Iterator[Step]:
    """Train an objective, a step at a time; logging, saving and probing are the caller's plain ``if``s between steps.

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

    Yields:
        A :class:`Step` after each optimiser step.

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
    total = epochs * len(source)
    cls = torch.optim.AdamW if optimizer == "adamw" else torch.optim.Adam
    moved = [p for p in objective.parameters() if p.requires_grad]
    engine = cls(moved, lr=lr, weight_decay=weight_decay)
    stream = RandomStream(seed, place)
    trainer = Trainer(objective, engine, stream, lr, round(warmup * total), schedule, total, clip, precision, place)
    return _steps(trainer, source, epochs, patience)


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


def _steps(trainer: Trainer, batches: Batches, epochs: int, patience: int | None) -> Iterator[Step]:
    best, best_state, worse = math.inf, None, 0
    for epoch in range(1, epochs + 1):
        before = None if patience is None else snapshot(trainer.objective)
        with trainer.stream.running():
            order = iter(batches)
        losses = []
        while True:
            with trainer.stream.running():
                g = next(order, None)
                if g is None:
                    break
                step = trainer.step(g.to(trainer.device))
            losses.append(step.loss)
            yield replace(step, epoch=epoch)
        with trainer.stream.running():
            trainer.objective.after_epoch(epoch / epochs)
        if patience is not None:
            mean = float(torch.stack(losses).mean())
            best, best_state, worse = (mean, before, 0) if mean < best else (best, best_state, worse + 1)
            if worse >= patience:
                break
    if best_state is not None:
        trainer.objective.load_state_dict(best_state)


def snapshot(objective: nn.Module) -> dict[str, Tensor]:
    """All parameters and buffers as they are now."""
    return {name: value.clone() for name, value in objective.state_dict().items()}


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
