"""What views show: learned by an adversary, swept in strength, tuned on validation labels; and decay tuned in the same way."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache, partial

import torch
import torch.nn.functional as F
from sklearn.metrics import roc_auc_score
from torch import Tensor, nn
from torch.func import functional_call

from benchmarks.family import Figures, Row
from benchmarks.family.common import EPOCHS, LR, WIDTHS, accuracy, contrasted, dataset, pretrained, views
from graphssl import (
    GCN,
    GNN,
    Compose,
    Dataset,
    DropEdges,
    Graph,
    Identity,
    InfoMin,
    MaskFeatures,
    Objective,
    embed,
    linear_probe,
    losses,
    seeded,
)
from graphssl.datasets import Split
from graphssl.hypergradients import hypergradient
from graphssl.losses import info_nce
from graphssl.relaxed import RelaxedDropEdges, RelaxedMaskFeatures
from graphssl.supervised import SemiInfoMin
from graphssl.tuning import Weighted, tune

LOSS = partial(losses.info_nce, tau=0.4)

# ---------------------------------------------------------------------- learned dropping among motifs

KINDS = {  # the edges of each motif, over its own nodes
    "cycle": ((0, 1), (1, 2), (2, 3), (3, 4), (4, 5), (5, 0)),
    "wheel": ((0, 1), (0, 2), (0, 3), (0, 4), (0, 5), (1, 2), (3, 4)),
    "house": ((0, 1), (1, 2), (2, 3), (3, 0), (0, 4), (1, 4), (4, 5)),
}
PRICE = 0.4  # of an edge; of 0.3, 0.4, 1, 1.5, 2 and 3 the highest at which anything is dropped without labels (seed 100)
MOTIFS, SIGNAL = 150, 0.6  # motifs of six nodes; what a node's features tell of its motif's kind, beside unit noise


@cache
def motifs(seed: int) -> tuple[Dataset, Tensor]:
    """Motifs of three kinds, as many random edges across them, features that tell the kind weakly; and which edges are of motifs."""
    draw = torch.Generator().manual_seed(seed)
    kind = torch.arange(MOTIFS) % 3
    own = torch.cat([torch.tensor(list(KINDS.values())[k]).t() + 6 * i for i, k in enumerate(kind.tolist())], 1)
    across = torch.randint(6 * MOTIFS, (2, own.size(1)), generator=draw)
    across = across[:, across[0] // 6 != across[1] // 6]
    pairs = torch.cat([own, across], 1)
    edges = torch.cat([pairs, pairs.flip(0)], 1)
    y = kind.repeat_interleave(6)
    x = SIGNAL * F.one_hot(y, 3).float() @ torch.randn(3, 16, generator=draw) + torch.randn(len(y), 16, generator=draw)
    g = Graph.of((x, edges))
    order = torch.randperm(MOTIFS, generator=draw).repeat_interleave(6) * 6 + torch.arange(6).repeat(MOTIFS)  # whole motifs in a part
    split = Split("motifs", *(part.sort().values for part in order.split([90, 210, 600])))
    inside = g.edge_index[0] // 6 == g.edge_index[1] // 6
    return Dataset("motif graph", (g,), y, (split,)), inside


def learned(variant: str, seed: int) -> Figures:
    """Accuracy of the probe, and how well the dropper tells random edges from those of motifs."""
    data, inside = motifs(seed)
    encoder = partial(GCN, data.num_features, [64, 32], norm="batch", act="relu")
    with seeded(seed):
        if variant in ("no dropping", "random dropping"):
            drop = Identity() if variant == "no dropping" else DropEdges(0.4)
            objective: Objective = contrasted(LOSS, data, augmented=(Compose(drop, MaskFeatures(0.2)),) * 2)
        else:
            net = InfoMin(encoder(), (MaskFeatures(0.2),) * 2, hidden=32, reg_lambda=PRICE)
            known = torch.full_like(data.y, -1).index_copy(0, data.split.train, data.y[data.split.train])
            objective = SemiInfoMin(net, known, weight=5.0) if variant == "learned with labels" else net
    z = pretrained(objective, data, epochs=150, lr=LR, seed=seed)
    figures = {"score": 100 * linear_probe(z, data.y, data.split).mean}
    net = getattr(objective, "infomin", objective)
    if isinstance(net, InfoMin):
        keeps = net.eval().keeps(data.graph)
        figures |= {"auc": float(roc_auc_score(inside, keeps)), "dropped": float(1 - keeps.mean())}
    return figures


# ---------------------------------------------------------------------- strength of augmentation


def strength(variant: str, seed: int) -> Figures:
    """Accuracy, and what two views tell of each other by InfoNCE on all nodes, in nats."""
    data, p = dataset("cora"), float(variant.split()[-1])
    both = views((p, p), (p, p))
    with seeded(seed):
        objective = contrasted(LOSS, data, augmented=both)
    z = pretrained(objective, data, seed=seed)
    with seeded(seed), torch.no_grad():
        u, v = (objective.projector(objective.nodes(view(data.graph))) for view in both)
        bound = math.log(len(u)) - float(info_nce(u, v, tau=0.4))
    return {"score": accuracy(z, data), "information": bound}


# ---------------------------------------------------------------------- meta-parameterised pre-training


class Noise(Objective):
    """A pretext of no use: tell a class that was drawn for each node."""

    def __init__(self, encoder: GNN, num_nodes: int, classes: int = 10) -> None:
        super().__init__()
        self.encoder, self.head = encoder, nn.Linear(encoder.out_channels, classes)
        self.register_buffer("drawn", torch.randint(classes, (num_nodes,)))

    def forward(self, g: Graph) -> Tensor:
        return F.cross_entropy(self.head(self.nodes(g)), self.drawn)  # type: ignore[arg-type]


def pretexts(variant: str, seed: int) -> Figures:
    """Accuracy with a useful and a useless pretext, and the weight of the useless one at the end (both begin at 1)."""
    data = dataset("cora")
    with seeded(seed):
        useful = contrasted(LOSS, data)
        both = Weighted([useful, Noise(useful.encoder, data.num_nodes)])  # type: ignore[arg-type]
    objective: Objective = useful if variant == "the useful one alone" else both
    if variant == "tuned weights":
        tuned = tune(both, data, epochs=EPOCHS, lr=LR, optimizer="adam", every=5, start=5, hyper_lr=0.2, seed=seed)
        figures = {"useless": tuned.values["weights"][-1][1], "validation": tuned.validation[-1]}
        return {"score": accuracy(embed(both.encoder, data), data), **figures}
    return {"score": accuracy(pretrained(objective, data, seed=seed), data), "useless": 1.0 if objective is both else 0.0}


def probabilities(variant: str, seed: int) -> Figures:
    """Accuracy, and the mean probabilities of dropping an edge and of masking a column at the end."""
    data = dataset("cora")
    start, tuned = variant.split()[-1], variant.startswith("tuned")
    edges, columns = {"default": ((0.2, 0.4), (0.3, 0.4)), "0.8": ((0.8, 0.8), (0.8, 0.8))}[start]
    both = tuple(Compose(RelaxedDropEdges(e), RelaxedMaskFeatures(c)) for e, c in zip(edges, columns, strict=True))
    with seeded(seed):
        objective = contrasted(LOSS, data, augmented=both)  # type: ignore[arg-type]
    found = tune(objective, data, epochs=EPOCHS, lr=LR, optimizer="adam", every=5, start=5, hyper_lr=0.2 if tuned else 0.0, seed=seed)
    ends = {kind: sum(v[-1] for name, v in found.values.items() if name.startswith(kind)) / 2 for kind in ("drop_edges", "mask_features")}
    return {"score": accuracy(embed(objective.encoder, data), data), "validation": found.validation[-1], **ends}


# ---------------------------------------------------------------------- weight decay of each layer

BUDGET, HYPER, TERMS = 1200, 100, 1  # gradients of the training loss in all; steps of the decays; terms of the Neumann series
GRID = (1e-5, 1e-4, 5e-4, 2e-3, 5e-3, 1e-2, 2e-2, 5e-2)


def decays(variant: str, seed: int) -> Figures:
    """Validation loss (the score), and test accuracy, of a supervised GCN whose decays are chosen by validation with one budget."""
    data = dataset("cora")
    y, split = data.y, data.split
    with seeded(seed):
        net = GCN(data.num_features, [WIDTHS[1], data.num_classes], norm="none", act=["relu", "none"])
    names, start = zip(*((name, p.detach()) for name, p in net.named_parameters()), strict=True)
    layer = [int(name.split(".")[1]) for name in names]

    def logits(w: Sequence[Tensor]) -> Tensor:
        return functional_call(net, dict(zip(names, w, strict=True)), (data.graph,))  # type: ignore[no-any-return]

    def outer(w: Sequence[Tensor], _: Sequence[Tensor]) -> Tensor:
        return F.cross_entropy(logits(w)[split.val], y[split.val])

    def inner(w: Sequence[Tensor], hyper: Sequence[Tensor]) -> Tensor:
        decay = sum(hyper[0][k].exp() * p.square().sum() / 2 for k, p in zip(layer, w, strict=True))
        return F.cross_entropy(logits(w)[split.train], y[split.train]) + decay

    def trained(hyper: list[Tensor], steps: int, w: list[Tensor], optimizer: torch.optim.Optimizer) -> None:
        for _ in range(steps):
            for p, g in zip(w, torch.autograd.grad(inner(w, hyper), w), strict=True):
                p.grad = g
            optimizer.step()

    def begun() -> tuple[list[Tensor], torch.optim.Optimizer]:
        w = [p.clone().requires_grad_() for p in start]
        return w, torch.optim.Adam(w, lr=0.01)

    def judged(w: list[Tensor]) -> Figures:
        with torch.no_grad():
            right = (logits(w)[split.test].argmax(1) == y[split.test]).float().mean()
            return {"score": float(outer(w, [])), "accuracy": 100 * float(right)}

    if variant == "grid search":
        found = []
        for decay in GRID:
            w, optimizer = begun()
            trained([torch.full((2,), decay).log()], BUDGET // len(GRID), w, optimizer)
            found.append({**judged(w), "first layer": decay, "second layer": decay})
        return min(found, key=lambda figures: figures["score"])
    hyper = [torch.full((2,), 5e-4).log()]
    moves = torch.optim.RMSprop(hyper, lr=0.1)
    w, optimizer = begun()
    for _ in range(HYPER):
        trained(hyper, BUDGET // HYPER - 1 - 2 * (TERMS + 1), w, optimizer)
        (hyper[0].grad,) = hypergradient(outer, inner, w, hyper, steps=TERMS, lr=0.5, products="differences")
        moves.step()
    return {**judged(w), "first layer": float(hyper[0][0].exp()), "second layer": float(hyper[0][1].exp())}


ROWS = [
    Row(
        name="infomin",
        about="views that tell of each other as little as they can drop what the task does not need: random edges among motifs",
        source="Tian et al., 2020, arXiv:2005.10243; Suresh et al., 2021, arXiv:2106.05819",
        dataset=f"{MOTIFS} motifs of 3 kinds and as many random edges as theirs, 90 train nodes; kind of a node's motif; 150 epochs",
        metric="accuracy of the linear probe, per cent",
        variants=("random dropping", "no dropping", "learned", "learned with labels"),
        run=learned,
    ),
    Row(
        name="augmentation-strength",
        about="what two views tell of each other falls with the strength of augmentation; accuracy rises first and then falls",
        source="Tian et al., 2020, arXiv:2005.10243",
        dataset="cora, public split, 100 epochs, 320 anchors a step",
        metric="accuracy of the linear probe, per cent",
        variants=("strength 0.0", "strength 0.2", "strength 0.4", "strength 0.6", "strength 0.8", "strength 0.95"),
        run=strength,
    ),
    Row(
        name="meta-weights",
        about="weights of a useful and a useless pretext learned on validation labels: that of the useless one falls",
        source="Raghu et al., 2021, arXiv:2111.01754",
        dataset="cora, public split, 100 epochs, 320 anchors a step",
        metric="accuracy of the linear probe, per cent",
        variants=("equal weights", "tuned weights", "the useful one alone"),
        run=pretexts,
    ),
    Row(
        name="meta-views",
        about="probabilities of augmentations learned on validation labels, from good ones and from poor ones",
        source="Raghu et al., 2021, arXiv:2111.01754",
        dataset="cora, public split, 100 epochs, 320 anchors a step, soft coins",
        metric="accuracy of the linear probe, per cent",
        variants=("fixed at default", "tuned from default", "fixed at 0.8", "tuned from 0.8"),
        run=probabilities,
    ),
    Row(
        name="ift-decay",
        about="weight decay of each layer by implicit differentiation against a grid of one decay for all, as many gradients",
        source="Lorraine et al., 2020, arXiv:1911.02590",
        dataset=f"cora, public split, GCN of 64 units without dropout, {BUDGET} gradients in all; decays chosen by validation",
        metric="cross-entropy on the validation part",
        variants=("grid search", "implicit differentiation"),
        run=decays,
        better="lower",
    ),
]
