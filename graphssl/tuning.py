"""Pre-training that tunes its own augmentations and weights on validation labels: meta-parameterised pre-training."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call

from graphssl.adjacency import full
from graphssl.augment import Augmentation, Compose
from graphssl.datasets import Dataset, Split
from graphssl.graph import Graph
from graphssl.hypergradients import Method, descend, hypergradient
from graphssl.objectives.base import Objective
from graphssl.random import RandomStream
from graphssl.relaxed import CLOSEST, RelaxedDropEdges, RelaxedMaskFeatures
from graphssl.training import History, train

SEPARATE = 0x5851F42D  # between the seed of training and that of the looks at validation


class Weighted(Objective):
    r"""Several objectives over one encoder: ``sum_k w_k L_k``, with weights ``w = K softmax(logits)`` that :func:`tune` can learn.

    The weights sum to their number ``K``, so that equal ones are 1 and none can grow without another falling.

    Args:
        objectives: two or more, all over the same encoder.
        weights: positive, to start from; equal by default. Only their ratios count.

    Raises:
        ValueError: fewer than two objectives, two encoders, or weights that are not one positive number for each.

    Example:
        >>> from graphssl import DGI, GCN, GRACE, DropEdges
        >>> encoder = GCN(4, [8], norm="none")
        >>> objective = Weighted([DGI(encoder), GRACE(encoder, (DropEdges(0.2), DropEdges(0.2)))], weights=(3, 1))
        >>> objective.weights
        [1.5, 0.5]
    """

    mean_over = None

    def __init__(self, objectives: Sequence[Objective], *, weights: Sequence[float] | None = None) -> None:
        super().__init__()
        count = len(objectives)
        if count < 2 or any(other.encoder is not objectives[0].encoder for other in objectives):
            raise ValueError(f"objectives must be two or more that train one encoder, got {[type(o).__name__ for o in objectives]}")
        given = [1.0] * count if weights is None else [float(w) for w in weights]
        if len(given) != count or not min(given) > 0:
            raise ValueError(f"weights must be {count} positive numbers, got {given}")
        self.encoder = objectives[0].encoder
        self.objectives = nn.ModuleList(objectives)
        self.logits = torch.tensor(given).log()  # no parameter: training leaves it alone

    @property
    def weights(self) -> list[float]:
        """The weights as they are now."""
        return [round(w, 6) for w in (len(self.objectives) * self.logits.detach().softmax(0)).tolist()]

    def forward(self, g: Graph) -> Tensor:
        losses = torch.stack([objective(g) for objective in self.objectives])
        return len(losses) * self.logits.to(losses.device).softmax(0) @ losses

    def after_step(self, progress: float) -> None:
        for objective in self.objectives:
            cast(Objective, objective).after_step(progress)

    def after_epoch(self, progress: float) -> None:
        for objective in self.objectives:
            cast(Objective, objective).after_epoch(progress)


@dataclass
class Tuned:
    """What :func:`tune` leaves besides the objective: the history of training, and of each look at validation a number of each kind."""

    history: History = field(default_factory=History)
    values: dict[str, list[Any]] = field(default_factory=dict)
    """Of each hyper-parameter its value at the start and after each look: a probability, a mean of them, or weights."""
    validation: list[float] = field(default_factory=list)
    """Cross-entropy of the fine-tuned head on the validation nodes, at each look."""


def tune(
    objective: Objective,
    data: Dataset,
    *,
    epochs: int,
    split: Split | None = None,
    every: int = 10,
    start: int = 10,
    hyper_lr: float = 0.05,
    method: Method = "neumann",
    terms: int = 1,
    inner_lr: float | None = None,
    damping: float = 0.0,
    head_steps: int = 200,
    head_lr: float = 5.0,
    lr: float = 1e-3,
    seed: int = 0,
    **options: Any,
) -> Tuned:
    r"""Pre-train, and learn on the way how to: meta-parameterised pre-training (Raghu et al., 2021, arXiv:2111.01754).

    What is learned are the probabilities of all :class:`RelaxedDropEdges` and :class:`RelaxedMaskFeatures` in the objective's views, and
    the weights of :class:`Weighted`. Every so many epochs a linear head is fine-tuned by ``head_steps`` of gradient descent on the train
    nodes' labels, over the embedding as it is, and its loss ``V`` on the validation nodes is differentiated through those steps
    in the encoder. The hyper-parameters ``phi`` then take a step of Adam down ``- dV/dw [d^2 L / dw^2]^-1 d^2 L / dw dphi``
    (:func:`graphssl.hypergradients.hypergradient`), ``L`` being the pre-training loss under one draw of its views. Second
    derivatives come from differences of gradients: four more passes with the default single term. Test labels are never read.

    Training itself is that of :func:`graphssl.train`, to the last bit where ``hyper_lr`` is 0. What an objective computes without a
    gradient, as BGRL its targets, counts as not depending on the hyper-parameters; of a view of its, only the predictions' side is seen.

    Args:
        objective: what is trained, and tuned, in place.
        data: one graph with a class for each node, seen whole.
        epochs: passes over the graph, of a step each.
        split: whose train and validation labels are seen; the dataset's own first one by default.
        every: epochs between two looks at validation.
        start: epochs before the first.
        hyper_lr: learning rate of the hyper-parameters' logits; the official code has 1e-4 for far longer runs.
        method: of the inverse Hessian, as in :func:`graphssl.hypergradients.hypergradient`.
        terms: of the Neumann series after the first, or steps of conjugate gradients.
        inner_lr: step of the series; ``lr`` by default.
        damping: of the Hessian.
        head_steps: of the head's descent, each time from zero; the official code goes on with one head, a step at a time. Few steps reward
            what makes a head learn fast instead of well, and turn the sign of what is learned.
        head_lr: of the head's descent, over columns of unit variance divided by the root of their number.
        lr: of the pre-training.
        seed: of training, as in :func:`graphssl.train`.
        options: further options of :func:`graphssl.train`.

    Raises:
        ValueError: an argument out of its range, nothing to tune, or data that is not one graph with classes and a validation part.

    Example:
        >>> from graphssl import GCN, GRACE, load
        >>> data = load("sbm")
        >>> view = RelaxedDropEdges(0.3)
        >>> objective = GRACE(GCN(data.num_features, [8], norm="none"), (view, view), hidden=8)
        >>> tuned = tune(objective, data, epochs=20)
        >>> len(tuned.values["drop_edges.0"]), len(tuned.validation), view.settled().p == round(view.p, 6)
        (2, 1, True)
    """
    for name, value, allowed, words in (
        ("every", every, every >= 1, "at least 1"),
        ("start", start, start >= 0, "0 or more"),
        ("hyper_lr", hyper_lr, hyper_lr >= 0, "0 or more"),
        ("head_steps", head_steps, head_steps >= 1, "at least 1"),
        ("head_lr", head_lr, head_lr > 0, "positive"),
    ):
        if not allowed:
            raise ValueError(f"{name} must be {words}, got {value}")
    found = tunable(objective)
    if not found:
        raise ValueError("objective has nothing to tune: give it relaxed augmentations as views, or weigh several objectives")
    labels = _labels(data, split)
    hyper = list({id(one.tensor): one.tensor for one in found.values()}.values())
    optimizer = torch.optim.Adam(hyper, lr=hyper_lr) if hyper_lr else None
    stream = RandomStream((seed ^ SEPARATE) % 2**63, next(objective.parameters()).device)
    tuned = Tuned(values={name: [one.read()] for name, one in found.items()})
    solver: dict[str, Any] = {"method": method, "steps": terms, "lr": inner_lr or lr, "damping": damping, "products": "differences"}
    for step in train(objective, data, epochs=epochs, lr=lr, seed=seed, **options):
        tuned.history.add(step)
        if step.epoch <= start or (step.epoch - start) % every:
            continue
        with stream.running():
            value, grads = look(objective, data.graph, labels, head_steps, head_lr, solver, hyper)
        tuned.validation.append(value)
        _move(optimizer, hyper, grads)
        for name, one in found.items():
            tuned.values[name].append(one.read())
    return tuned


@dataclass(frozen=True, eq=False)
class Tunable:
    """A hyper-parameter: the tensor that moves, and how to read it."""

    tensor: Tensor
    read: Callable[[], Any]


def tunable(objective: Objective) -> dict[str, Tunable]:
    """All that :func:`tune` would learn of an objective, by a name each: ``weights``, ``drop_edges.0`` of the first view.

    Example:
        >>> from graphssl import GCN, GRACE
        >>> views = (RelaxedDropEdges(0.3), Compose(RelaxedDropEdges(0.2), RelaxedMaskFeatures(0.1)))
        >>> sorted(tunable(GRACE(GCN(4, [8]), views)))
        ['drop_edges.0', 'drop_edges.1', 'mask_features.1']
    """
    found: dict[str, Tunable] = {}
    for path, part in objective.named_modules():
        before = f"{path}." if path else ""
        if isinstance(part, Weighted):
            found[f"{before}weights"] = Tunable(part.logits, lambda part=part: part.weights)  # type: ignore[misc]
        for k, view in enumerate(getattr(part, "views", ())):
            for one in _parts(view):
                name = f"{before}{one.name}.{k}"
                while name in found:
                    name += "'"
                if all(one.logit is not other.tensor for other in found.values()):
                    found[name] = Tunable(one.logit, lambda one=one: round(one.p, 6))  # type: ignore[misc]
    return found


@dataclass(frozen=True, eq=False)
class Labels:
    """What a look at validation reads: classes, the nodes to fit a head on and those to judge it by."""

    y: Tensor  # [N]
    train: Tensor
    val: Tensor
    num_classes: int


def look(
    objective: Objective, g: Graph, labels: Labels, head_steps: int, head_lr: float, solver: dict[str, Any], hyper: list[Tensor]
) -> tuple[float, list[Tensor]]:
    """The validation loss of a head on the embedding as it is, and its hypergradients; the objective stays as it was."""
    g = g.to(next(objective.parameters()).device)
    params = [p for p in objective.parameters() if p.requires_grad]
    place = {id(p): k for k, p in enumerate(params)}
    drawn = RandomStream(int(torch.randint(2**31, ())), g.device)
    state, value = dict(drawn.state), []

    def run(module: nn.Module, w: Sequence[Tensor]) -> Tensor:
        stands: dict[str, Tensor] = {}
        for path, part in module.named_modules():  # each module once, though it has several names
            before = f"{path}." if path else ""
            stands |= {before + name: w[place[id(p)]] for name, p in part.named_parameters(recurse=False) if id(p) in place}
            stands |= {before + name: b.clone() for name, b in part.named_buffers(recurse=False)}  # statistics move in copies
        return cast(Tensor, functional_call(module, stands, (g,), tie_weights=False))

    def inner(w: Sequence[Tensor], _: Sequence[Tensor]) -> Tensor:
        drawn.state = dict(state)  # the same views at each call
        with drawn.running():
            return run(objective.train(), w)

    def outer(w: Sequence[Tensor], _: Sequence[Tensor]) -> Tensor:
        loss = head_loss(run(objective.encoder.eval(), w), labels, steps=head_steps, lr=head_lr)
        value.append(float(loss.detach()))
        return loss

    grads = hypergradient(outer, inner, params, hyper, **solver)
    objective.train()
    return value[0], grads


def head_loss(h: Tensor, labels: Labels, *, steps: int, lr: float) -> Tensor:
    """Cross-entropy on the validation rows of a linear head after ``steps`` of descent on the train rows, in ``h`` ``[N, D]``."""
    z = F.batch_norm(full(h), None, None, training=True) / h.size(1) ** 0.5
    y, start = labels.y.to(h.device), [z.new_zeros(labels.num_classes, h.size(1)), z.new_zeros(labels.num_classes)]

    def loss(head: Sequence[Tensor], rows: Tensor) -> Tensor:
        return F.cross_entropy(F.linear(z[rows], *head), y[rows])

    head = descend(lambda w, _: loss(w, labels.train), [p.requires_grad_() for p in start], (), steps=steps, lr=lr)
    return loss(head, labels.val)


def _move(optimizer: torch.optim.Optimizer | None, hyper: list[Tensor], grads: list[Tensor]) -> None:
    if optimizer is None or not all(bool(grad.isfinite().all()) for grad in grads):
        return
    bound = float(torch.tensor(1 - CLOSEST).logit())
    for x, grad in zip(hyper, grads, strict=True):
        x.grad = grad
    optimizer.step()
    for x in hyper:
        x.grad = None
        x.clamp_(-bound, bound)


def _parts(view: Augmentation) -> Iterator[RelaxedDropEdges | RelaxedMaskFeatures]:
    if isinstance(view, (RelaxedDropEdges, RelaxedMaskFeatures)):
        yield view
    inside: Iterable[Augmentation] = view.views if isinstance(view, Compose) else ()
    for part in inside:
        yield from _parts(part)


def _labels(data: Dataset, split: Split | None) -> Labels:
    if data.level != "node" or len(data.graphs) != 1 or data.y.dim() != 1 or data.y.is_floating_point():
        raise ValueError(f"data must be one graph with a class for each node, and {data.name} is not")
    split = split or data.split
    if not len(split.train) or not len(split.val):
        raise ValueError(f"split must have train and validation nodes, got {len(split.train)} and {len(split.val)}")
    return Labels(data.y, split.train, split.val, int(data.y[torch.cat([split.train, split.val])].max()) + 1)
