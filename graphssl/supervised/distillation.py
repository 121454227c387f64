"""A student that learns from labels and from a teacher: its predictions of all rows, and its embeddings of them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal, get_args

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from graphssl.datasets import Dataset
from graphssl.embedding import embed
from graphssl.graph import Graph
from graphssl.losses.distillation import Bank, crd_nce, log_partition
from graphssl.losses.distillation import crd as crd_loss
from graphssl.losses.distillation import kd as kd_loss
from graphssl.objectives.base import Objective
from graphssl.supervised.joint import seeds_among
from graphssl.supervised.objective import Supervised
from graphssl.supervised.tuning import graphs_of, predict

Form = Literal["infonce", "nce"]


@dataclass(frozen=True, eq=False)
class Teacher:
    """What a teacher says of all rows of a dataset, computed once; no gradient ever reaches it."""

    outputs: Tensor  # [R, K] logits, or values in the targets' units
    z: Tensor  # [R, D] embeddings

    @classmethod
    def of(cls, model: Supervised, data: Dataset) -> Teacher:
        """What a trained model says, in evaluation mode."""
        return cls(predict(model, graphs_of(data)), embed(model.encoder, data))


@dataclass(frozen=True)
class Contrast:
    """Numbers of contrastive distillation (Tian et al., 2020, arXiv:1910.10699), the authors' but for the form.

    Attributes:
        form: ``infonce``: of the keys at hand; ``nce``: the paper's, with ``Z`` from the first batch.
        tau: temperature.
        width: of the two linear heads before the comparison.
        negatives: keys drawn at each step from a bank of all rows (16,384 in the paper; all where there are no more rows); ``None``: the
            other rows of the batch, and no bank.
        momentum: of the bank: how much of a row stays when the row is seen.
        other_classes: rows of the anchor's own class, where both labels are known, are no negatives.
        chunk: rows of similarities held at a time.

    Raises:
        ValueError: a number out of its range, or an unknown form.
    """

    form: Form = "infonce"
    tau: float = 0.07
    width: int = 128
    negatives: int | None = None
    momentum: float = 0.5
    other_classes: bool = False
    chunk: int | None = 2048

    def __post_init__(self) -> None:
        if self.form not in get_args(Form):
            raise ValueError(f"form must be one of {', '.join(get_args(Form))}, got {self.form!r}")
        for name, least in (("width", 1), ("negatives", 1), ("chunk", 1)):
            if (given := getattr(self, name)) is not None and given < least:
                raise ValueError(f"{name} must be at least {least}, got {given}")
        if not self.tau > 0 or not 0 <= self.momentum < 1:
            raise ValueError(f"tau must be positive and momentum in [0, 1), got {self.tau} and {self.momentum}")


class Distillation(Objective):
    r"""A student with a teacher beside the labels: ``L = ce L_labels + kd L_KD + crd L_CRD``.

    The labels' loss is over the rows of a batch that have one, the others over all its rows: ``L_KD`` draws the student's predictions to
    the teacher's (:func:`graphssl.losses.kd`; label by label of a table, squared errors of a regression), ``L_CRD`` a linear map of its
    embedding to one of the teacher's of the same row, away from the teacher's of other rows (:func:`graphssl.losses.crd`; Tian et al.,
    2020, arXiv:1910.10699). A part with weight 0 is not computed. With an MLP as the student this is GLNN (Zhang et al., 2022,
    arXiv:2110.08727): what the graph adds is in the teacher's answers, and the student needs no graph.

    Args:
        student: an encoder with its head.
        teacher: its answers for all rows that batches are taken from.
        y: their labels, ``[R]`` or ``[R, K]``; -1 or NaN is unknown.
        ce, kd, crd: weights of the three parts.
        temperature: of ``L_KD``.
        contrast: numbers of ``L_CRD``.

    A batch says which rows it holds: at node level by ``node_id``, where it is not the whole graph; at graph level ``g.y`` holds the row
    of each graph.

    Raises:
        ValueError: a negative weight, or none; a teacher of another number of rows or outputs; ``other_classes`` without classes.

    Example:
        >>> from graphssl import GCN, MLP, load
        >>> data = load("karate")
        >>> model = Supervised(GCN(34, [8]), "classification", 4, level="node")
        >>> student = Supervised(MLP(34, [8]), "classification", 4, level="node")
        >>> Distillation(student, Teacher.of(model, data), data.y)(data.graph).isfinite().item()
        True
    """

    mean_over = None  # several means, over different rows
    y: Tensor
    outputs: Tensor
    z: Tensor
    log_z: Tensor
    student_bank: Tensor
    teacher_bank: Tensor

    def __init__(
        self,
        student: Supervised,
        teacher: Teacher,
        y: Tensor,
        *,
        ce: float = 1.0,
        kd: float = 1.0,
        crd: float = 0.8,
        temperature: float = 4.0,
        contrast: Contrast | None = None,
    ) -> None:
        super().__init__()
        if not all(0 <= weight < math.inf for weight in (ce, kd, crd)) or not ce + kd + crd:
            raise ValueError(f"ce, kd and crd must be 0 or more, and not all 0, got {ce}, {kd} and {crd}")
        if teacher.outputs.shape != (len(y), student.head.out_features) or len(teacher.z) != len(y):
            raise ValueError(
                f"teacher must have outputs {[len(y), student.head.out_features]} and as many embeddings, "
                f"got {list(teacher.outputs.shape)} and {len(teacher.z)}"
            )
        self.contrast = contrast or Contrast()
        if self.contrast.other_classes and student.task != "classification":
            raise ValueError(f"other_classes is for classification, got task {student.task}")
        if not temperature > 0:
            raise ValueError(f"temperature must be positive, got {temperature}")
        self.encoder, self.student, self.ce, self.kd, self.crd, self.temperature = student.encoder, student, ce, kd, crd, temperature
        self._remember("y", y)
        self._remember("outputs", student.standardised(teacher.outputs).detach())
        if crd:
            self.student_head = nn.Linear(student.head.in_features, self.contrast.width)
            self.teacher_head = nn.Linear(teacher.z.size(1), self.contrast.width)
            self._remember("z", teacher.z.detach())
            self._remember("log_z", torch.full((2,), torch.nan))
            for name in ("student_bank", "teacher_bank") if self.contrast.negatives else ():
                self._remember(name, F.normalize(torch.randn(len(y), self.contrast.width), dim=1))
        self.seen: tuple[Tensor, Tensor, Tensor] | None = None  # rows of the last step, and both sides' heads of them

    def _remember(self, name: str, value: Tensor) -> None:
        self.register_buffer(name, value, persistent=False)

    def forward(self, g: Graph) -> Tensor:
        rows = self._rows(g)
        h = self.student.embedded(g)  # [S, D]
        outputs = self.student.outputs(h)
        loss = self.ce * self.student.loss_of(outputs, self.y[rows]) if self.ce else h.new_zeros(())
        if self.kd:
            loss = loss + self.kd * self._predictions(outputs, self.outputs[rows])
        return loss + self.crd * self._contrasted(h, rows) if self.crd else loss

    def after_step(self, progress: float) -> None:
        """Move the bank's rows of the last step towards what they are now."""
        if self.seen is None or not self.contrast.negatives:
            return
        rows, *new = self.seen
        for bank, now in zip(self._banks(), new, strict=True):
            bank[rows] = F.normalize(self.contrast.momentum * bank[rows] + (1 - self.contrast.momentum) * now, dim=1)

    def _rows(self, g: Graph) -> Tensor:
        if self.student.level == "graph":
            if g.y is None:
                raise ValueError("the batch must say by y which row each of its graphs is")
            return g.y
        rows = seeds_among(g, len(self.y))
        return torch.arange(len(self.y), device=self.y.device)[rows] if isinstance(rows, slice) else rows

    def _predictions(self, told: Tensor, wanted: Tensor) -> Tensor:
        if self.student.task == "regression":
            return F.mse_loss(told, wanted)
        if self.student.task == "multilabel":  # each label is a class of its own, or is not
            told, wanted = (F.pad(logits.reshape(-1, 1), (1, 0)) for logits in (told, wanted))
        return kd_loss(told, wanted, temperature=self.temperature)

    def _contrasted(self, h: Tensor, rows: Tensor) -> Tensor:
        numbers = self.contrast
        u, v = (F.normalize(part, dim=1) for part in (self.student_head(h), self.teacher_head(self.z[rows])))
        self.seen = rows, u.detach(), v.detach()
        bank, drawn = self._drawn()
        options: dict[str, Any] = {"tau": numbers.tau, "bank": bank, "chunk": numbers.chunk}
        told = bank is not None or numbers.other_classes  # else each row is another one
        ids: dict[str, Any] = {"ids": self._ids(rows) if told else None, "bank_ids": None if drawn is None else self._ids(drawn)}
        if numbers.form == "infonce":
            return crd_loss(u, v, **options, **ids)
        population = len(self.y)
        if self.training and bool(self.log_z.isnan().any()):
            self.log_z = log_partition(u, v, population=population, **options)
        return crd_nce(u, v, self.log_z, population=population, **options, **ids)

    def _drawn(self) -> tuple[Bank | None, Tensor | None]:
        """Keys of this step, and the rows they are; nothing where the batch has its own."""
        if not self.contrast.negatives:
            return None, None
        first, second = self._banks()
        n = len(first)
        few = self.contrast.negatives < n
        rows = torch.randperm(n, device=first.device)[: self.contrast.negatives] if few else torch.arange(n, device=first.device)
        return (first[rows], second[rows]), rows

    def _banks(self) -> Bank:
        return self.student_bank, self.teacher_bank

    def _ids(self, rows: Tensor) -> Tensor:
        """What two rows share that are no negatives of each other: the row, or its class where that is known."""
        if not self.contrast.other_classes:
            return rows
        y = self.y[rows]
        return torch.where(y >= 0, y, self.student.head.out_features + rows)  # type: ignore[no-any-return]
