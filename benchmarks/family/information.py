"""Experiments of information: any number of views, prediction against shortcuts, a prior matched."""

from __future__ import annotations

import dataclasses
from functools import partial

import torch
from torch import Tensor

from benchmarks.family import Row
from benchmarks.family.common import EPOCHS, LR, WIDTHS, accuracy, dataset, gcn, of_anchors, pretrained, views
from graphssl import CMC, DIM, GCN, PCL, Dataset, Graph, embed, fit, load, seeded
from graphssl.augment import Augmentation
from graphssl.encoders import build
from graphssl.losses import info_nce
from graphssl.recipes.cmc import DEFAULT, CMCRecipe

STRUCTURES: dict[str, tuple[str, ...]] = {
    "2 views": ("adjacency", "ppr"),
    "3 views": ("adjacency", "ppr", "similar"),
    "4 views": ("adjacency", "ppr", "similar", "features"),
    "4 views, core": ("adjacency", "ppr", "similar", "features"),
}
BITS = 12


def several_views(variant: str, seed: int) -> dict[str, float]:
    """CMC over so many views of Cora, 64 columns a view; beside the concatenation, the probe of the first view's encoder alone."""
    data = dataset()
    pairs = "core" if "core" in variant else "full"
    recipe = CMCRecipe.model_validate(
        {**DEFAULT.model_dump(), "structures": STRUCTURES[variant], "channels": (128, 64), "hidden": 64, "norm": "none", "act": "relu"}
    )
    with seeded(seed):
        encoder = build({"name": "gcn", "in_channels": data.num_features, **recipe.encoder_options()})
        objective = CMC(encoder, pairs=pairs, hidden=64, tau=recipe.tau)  # type: ignore[arg-type]
    fit(objective, data, epochs=30, lr=LR, seed=seed, optimizer="adam")
    z = embed(encoder, data)
    return {"score": accuracy(z, data), "first view alone": accuracy(z[:, :64], data), "views": float(len(recipe.structures))}


class Shortcut:
    """A view that leaves the last columns, the shortcut, as they are."""

    keeps_nodes = True

    def __init__(self, view: Augmentation, columns: int = BITS) -> None:
        self.view, self.columns = view, columns

    def __call__(self, g: Graph) -> Graph:
        seen, x = self.view(g), g.dense_x()
        return seen.with_x(torch.cat([seen.dense_x()[:, : -self.columns], x[:, -self.columns :]], 1))


def with_bits(data: Dataset, seed: int) -> Dataset:
    """Every node gets random bits that say which node it is and nothing else, beside its words, which are bits too."""
    g = data.graph
    x = g.dense_x()
    bits = torch.randint(2, (g.num_nodes, BITS), generator=torch.Generator().manual_seed(seed)).float()
    return dataclasses.replace(data, graphs=(g.with_x(torch.cat([x, bits], 1)),))


def shortcut(variant: str, seed: int) -> dict[str, float]:
    """GRACE, and GRACE with prediction of hidden features, where both views share random bits."""
    data = load("cora")  # words as they are, 18 a node
    first, second = views(columns=(0.7, 0.7))  # hard for the words, so that the bits are the shorter way
    if not variant.startswith("no bits"):
        data, first, second = with_bits(data, seed), Shortcut(first), Shortcut(second)  # type: ignore[assignment]
    weight = float(variant.partition("weight ")[2] or 0)
    loss = of_anchors(partial(info_nce, tau=0.4, intra=True))
    with seeded(seed):
        objective = PCL(gcn(data), (first, second), hidden=64, loss=loss, reconstruction=weight, predict_first=10 if weight else 0)
    return {"score": accuracy(pretrained(objective, data, epochs=60, seed=seed), data)}


def distance_to_prior(e: Tensor, prior: str = "uniform") -> float:
    """The Kolmogorov-Smirnov distance of each column to the uniform or normal distribution, the mean over columns."""
    from scipy.stats import kstest

    cdf = "uniform" if prior == "uniform" else "norm"
    return sum(float(kstest(column, cdf).statistic) for column in e.t().numpy()) / e.size(1)


def prior(variant: str, seed: int) -> dict[str, float]:
    """DIM(L) at node level on Cora with the prior at several weights: how far each embedding's columns are from it, and the probe."""
    data, gamma = dataset(), float(variant.removeprefix("gamma "))
    with seeded(seed):
        objective = DIM(GCN(data.num_features, WIDTHS, act="prelu"), gamma=gamma)
    z = pretrained(objective, data, epochs=2 * EPOCHS, seed=seed)
    return {"score": distance_to_prior(objective.matched(z)), "accuracy": accuracy(z, data)}


ROWS = [
    Row(
        name="cmc",
        about="one encoder a view of the structure, 64 columns each, every pair contrasted: more views are said to help",
        source="Tian et al., 2020, arXiv:1906.05849",
        dataset="cora, public split; 30 epochs, views adjacency, PPR, 10 nearest by features, features alone",
        metric="accuracy of the linear probe on all views' columns, per cent",
        variants=tuple(STRUCTURES),
        run=several_views,
    ),
    Row(
        name="pcl",
        about="random bits that both views share: contrast takes the shortcut, and prediction of hidden features keeps the rest",
        source="Li et al., 2020, arXiv:2012.09962",
        dataset="cora, public split, 12 random bits beside a node's words; reduced set-up, raw features, columns masked at 0.7, 60 epochs",
        metric="accuracy of the linear probe, per cent",
        variants=("bits", "bits, weight 5", "bits, weight 20", "no bits"),
        run=shortcut,
    ),
    Row(
        name="dim-prior",
        about="DIM(L) of nodes with the uniform prior at weight gamma, played by an adversary: embeddings come nearer to it",
        source="Hjelm et al., 2019, arXiv:1808.06670",
        dataset="cora, public split for the probe; reduced set-up, batch norm and PReLU, 200 epochs",
        metric="Kolmogorov-Smirnov distance of a column behind the sigmoid to the uniform, mean over columns",
        variants=("gamma 0", "gamma 0.1", "gamma 1"),
        run=prior,
        better="lower",
    ),
]
