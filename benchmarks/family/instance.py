"""Losses of two views, with and without labels: NT-Xent beside DCL, SupCon, margins, the skew Renyi bound and soft targets."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks.family import Figures, Row
from benchmarks.family.common import (
    EPOCHS,
    LR,
    Classified,
    Labelled,
    Views,
    accuracy,
    contrasted,
    dataset,
    gcn,
    hidden,
    pretrained,
    split_of,
    views,
)
from graphssl import Objective, embed, fit, seeded
from graphssl.losses import dcl, dclw, eps_sup_info_nce, info_nce, renyi, sce, sup_con

Losses = dict[str, Callable[..., Tensor]]

TAU = 0.4  # of GRACE's recipe for Cora, for all losses of a row alike
EXTREME = ((0.8, 0.8), (0.7, 0.8))  # edges dropped, columns masked
REDUCED = "GCN 128-64, 100 epochs"
PUBLIC = "cora, public split"
MANY = f"cora, random 45/10/45 split, 1,218 labels; {REDUCED}, 320 labelled anchors a step"
ACCURACY = "accuracy of the linear probe, per cent"

INSTANCE: Losses = {
    "NT-Xent": partial(info_nce, tau=TAU, intra=True),
    "DCL": partial(dcl, tau=TAU),
    "DCLW": partial(dclw, tau=TAU, sigma=0.5),
}
DIVERGENCES: Losses = {
    "NT-Xent": INSTANCE["NT-Xent"],
    "Renyi, gamma 1": partial(renyi, tau=TAU, gamma=1.0),
    "Renyi, gamma 2": partial(renyi, tau=TAU, gamma=2.0),
}
SOFT: Losses = {  # temperatures of the authors' code
    "InfoNCE (lam 1)": partial(sce, tau=0.1, lam=1.0),
    "SCE (lam 0.5)": partial(sce, tau=0.1, lam=0.5, target_tau=0.05),
    "relations alone (lam 0)": partial(sce, tau=0.1, lam=0.0, target_tau=0.05),
}
MARGINS = {"eps 0": 0.0, "eps 0.5": 0.5, "eps 1": 1.0, "eps 2": 2.0}  # of similarities over the temperature, 0.1
BINS = 20  # of the histogram of margins, from -2 to 2


def unlabelled(losses: Losses, anchors: int, augmented: Callable[[], Views], variant: str, seed: int) -> Figures:
    """Accuracy on the public split after pre-training with the variant's loss."""
    data = dataset("cora")
    z = pretrained(lambda: contrasted(losses[variant], data, augmented=augmented(), anchors=anchors), data, seed=seed)
    return {"score": accuracy(z, data, seed)}


def supervised(variant: str, seed: int) -> Figures:
    """An encoder trained on the training labels, probed on the test rows of the same split."""
    data = dataset("cora")
    split = split_of(data, seed)
    y = hidden(data.y, split.train)
    forms: Losses = {"SupCon, L_out": partial(sup_con, tau=0.1), "SupCon, L_in": partial(sup_con, tau=0.1, form="in")}

    def make() -> Objective:
        return Classified(gcn(data), y) if variant == "cross-entropy" else Labelled(gcn(data), y, forms[variant])

    return {"score": accuracy(pretrained(make, data, seed=seed), data, protocol=split)}


def some_labels(variant: str, seed: int) -> Figures:
    """Pre-training on all nodes where some, or all, have their class as label, and the others are each their own."""
    data = dataset("cora")
    alone = torch.arange(data.num_nodes) + int(data.y.max()) + 1
    shown = {
        "none": alone,
        "140 training labels": torch.where(hidden(data.y, data.split.train) >= 0, data.y, alone),
        "all (oracle)": data.y,
    }
    z = pretrained(lambda: Labelled(gcn(data), shown[variant], partial(sup_con, tau=TAU)), data, seed=seed)
    return {"score": accuracy(z, data, seed)}


def margin(variant: str, seed: int) -> Figures:
    """How far the rows of a label are ahead of the nearest row of another label, in cosine, on training and on test rows."""
    data = dataset("cora")
    split = split_of(data, seed)
    with seeded(seed):
        objective = Labelled(gcn(data), hidden(data.y, split.train), partial(eps_sup_info_nce, tau=0.1, eps=MARGINS[variant]))
    fit(objective, data, epochs=EPOCHS, lr=LR, seed=seed, optimizer="adam")
    h = embed(objective.encoder, data)
    with torch.no_grad():
        z = F.normalize(objective.projector(h), dim=1)
    ahead = margins(z[split.train], data.y[split.train])
    shares = torch.histc(ahead, BINS, -2, 2) / ahead.numel()
    return {
        "score": float(ahead.mean()),
        "test margin": float(margins(z[split.test], data.y[split.test]).mean()),
        "accuracy": accuracy(h, data, protocol=split),
        **{f"share from {-2 + 4 * k / BINS:.1f}": float(share) for k, share in enumerate(shares)},
    }


def margins(z: Tensor, y: Tensor) -> Tensor:
    """Of each pair of rows of one label: its cosine less that of the first with the nearest row of another label."""
    s, same = z @ z.t(), y[:, None] == y
    nearest = s.masked_fill(same, -math.inf).amax(1, keepdim=True)
    return (s - nearest)[same.fill_diagonal_(False)]


def _strengths(name: str, told: str, augmented: Callable[[], Views]) -> Row:
    return Row(
        f"renyi-{name}",
        f"RenyiCL under {told} augmentation: said to stand hard augmentation better than InfoNCE",
        "Lee and Shin, 2022, arXiv:2208.06270",
        f"{PUBLIC}; {REDUCED}, 320 anchors a step, {told} augmentation",
        ACCURACY,
        tuple(DIVERGENCES),
        partial(unlabelled, DIVERGENCES, 320, augmented),
    )


ROWS = [
    *(
        Row(
            f"decoupled-{anchors}",
            f"DCL and DCLW with {anchors} anchors a step: said to need fewer negatives than NT-Xent",
            "Yeh et al., 2022, arXiv:2110.06848",
            f"{PUBLIC}; {REDUCED}, {anchors} anchors a step",
            ACCURACY,
            tuple(INSTANCE),
            partial(unlabelled, INSTANCE, anchors, views),
        )
        for anchors in (32, 64, 256)
    ),
    Row(
        "sup-con",
        "SupCon beside cross-entropy, the encoder frozen and probed: said to be better",
        "Khosla et al., 2020, arXiv:2004.11362",
        MANY,
        ACCURACY,
        ("cross-entropy", "SupCon, L_out", "SupCon, L_in"),
        supervised,
    ),
    Row(
        "sup-con-labels",
        "SupCon on all nodes with the labels of none (NT-Xent), of the training rows, and of all rows, test rows too: what labels can give",
        "Khosla et al., 2020, arXiv:2004.11362",
        f"{PUBLIC}; {REDUCED}, 320 anchors a step",
        ACCURACY,
        ("none", "140 training labels", "all (oracle)"),
        some_labels,
    ),
    Row(
        "margin",
        "eps-SupInfoNCE: the margin of positives over negatives is said to grow with eps",
        "Barbano et al., 2023, arXiv:2211.05568",
        MANY,
        "mean margin of the training rows, cosine",
        tuple(MARGINS),
        margin,
    ),
    _strengths("light", "light", views),
    _strengths("extreme", "extreme", partial(views, *EXTREME)),
    Row(
        "sce",
        "SCE: soft targets from relations between keys are said to help InfoNCE",
        "Denize et al., 2023, arXiv:2111.14585",
        f"{PUBLIC}; {REDUCED}, 320 anchors a step",
        ACCURACY,
        tuple(SOFT),
        partial(unlabelled, SOFT, 320, views),
    ),
]
