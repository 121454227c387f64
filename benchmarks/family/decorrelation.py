"""Losses without negatives, which keep columns apart, beside InfoNCE and bootstrapping."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from benchmarks.family import Figures, Row
from benchmarks.family.common import LR, WIDTHS, accuracy, contrasted, dataset, gcn, pretrained, views
from graphssl import BGRL, CCASSG, GCN, GNN, BarlowTwins, Dataset, Objective, VICReg, diagnostics
from graphssl.losses import info_nce


def normed(data: Dataset) -> GNN:
    """The small encoder with batch norm, as BGRL and G-BT have it (VICReg in its projector); GRACE and CCA-SSG have none."""
    return GCN(data.num_features, list(WIDTHS), norm="batch", act="prelu")


MAKE: dict[str, Callable[[Dataset], Objective]] = {
    "NT-Xent (GRACE)": lambda data: contrasted(partial(info_nce, tau=0.4, intra=True), data),
    "bootstrap (BGRL)": lambda data: BGRL(normed(data), views(), hidden=WIDTHS[-1]),
    "Barlow Twins (G-BT)": lambda data: BarlowTwins(normed(data), views()),
    "VICReg": lambda data: VICReg(normed(data), views(), hidden=WIDTHS[-1]),
    "CCA-SSG": lambda data: CCASSG(gcn(data), views()),
}


def decorrelated(variant: str, seed: int) -> Figures:
    """Accuracy, and how many directions the embedding takes up."""
    data = dataset("cora")
    z = pretrained(lambda: MAKE[variant](data), data, lr=LR, seed=seed)
    return {"score": accuracy(z, data, seed), "effective rank": float(diagnostics(z)["effective_rank"])}


ROWS = [
    Row(
        "decorrelation",
        "Barlow Twins, VICReg and CCA-SSG, linear in the nodes, are said to reach what contrast with negatives does",
        "Zhang et al., 2021, arXiv:2106.12484",
        "cora, public split; GCN 128-64, 100 epochs, all nodes a step (NT-Xent: 320), each with its paper's weights and norm",
        "accuracy of the linear probe, per cent",
        tuple(MAKE),
        decorrelated,
    ),
]
