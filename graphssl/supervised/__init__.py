"""Supervised training: fine-tuning, few labels beside many graphs without, predictions. Imports torch only when asked to train."""

from __future__ import annotations

from typing import TYPE_CHECKING

from graphssl.lazy import lazy

if TYPE_CHECKING:
    from graphssl.supervised.contrasting import SupervisedContrastive
    from graphssl.supervised.distillation import Contrast, Distillation, Teacher
    from graphssl.supervised.infograph_star import InfoGraphStar, PairedBatches
    from graphssl.supervised.infomin import SemiInfoMin
    from graphssl.supervised.joint import Joint
    from graphssl.supervised.labels import draw_labels
    from graphssl.supervised.loss import supervised_loss
    from graphssl.supervised.objective import Supervised
    from graphssl.supervised.students import distill, generations
    from graphssl.supervised.tuning import Training, finetune, predict

__all__ = [
    "Contrast",
    "Distillation",
    "InfoGraphStar",
    "Joint",
    "PairedBatches",
    "SemiInfoMin",
    "Supervised",
    "SupervisedContrastive",
    "Teacher",
    "Training",
    "distill",
    "draw_labels",
    "finetune",
    "generations",
    "predict",
    "supervised_loss",
]

__getattr__ = lazy(
    __name__,
    {
        "contrasting": ("SupervisedContrastive",),
        "distillation": ("Contrast", "Distillation", "Teacher"),
        "infograph_star": ("InfoGraphStar", "PairedBatches"),
        "infomin": ("SemiInfoMin",),
        "joint": ("Joint",),
        "labels": ("draw_labels",),
        "loss": ("supervised_loss",),
        "objective": ("Supervised",),
        "students": ("distill", "generations"),
        "tuning": ("Training", "finetune", "predict"),
    },
)


def __dir__() -> list[str]:
    return sorted(__all__)
