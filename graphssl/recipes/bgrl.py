"""Recipes of BGRL."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from graphssl.recipes.base import Reported, Share, TwoViews


class BGRLRecipe(TwoViews):
    """Numbers of :class:`graphssl.BGRL`."""

    hidden: Annotated[int, Field(ge=1)] = 512
    """Width of the predictor's hidden layer."""
    momentum: Share = 0.99
    """Momentum of the target at the start; it rises to 1."""
    target_init: Literal["reset", "copy"] = "reset"
    """Target weights drawn anew (official code) or copied from the encoder (BYOL)."""
    target_buffers: Literal["own", "copy"] = "own"
    """Batch-norm statistics of the target: from its own passes, or copied from the encoder."""
    level: Literal["node", "graph"] = "node"
    """What is predicted: nodes, or whole graphs by the readout."""


BASE = BGRLRecipe(
    norm="batch",
    norm_momentum=0.99,  # the official code hands DeepMind's decay rate to PyTorch, where it means the share of the newest batch
    act="prelu",
    features="row-normalize",
    directed_drop=True,
    optimizer="adamw",
    weight_decay=1e-5,
    epochs=10_000,
    warmup=0.1,
    schedule="cosine",
    protocol="bgrl-20-80",
    source="official code nerdslab/bgrl (config/*.cfg)",
)


def _row(
    channels: tuple[int, int], views: tuple[float, float, float, float], lr: float, score: float, std: float, **more: Any
) -> BGRLRecipe:
    """Views as the official files list them: edge drop and feature mask of the first, then of the second."""
    reported = Reported(score=score, std=std, protocol=more.get("protocol", BASE.protocol), where="Thakoor et al., 2022, arXiv:2102.06514")
    numbers = {"drop_edges": (views[0], views[2]), "mask_features": (views[1], views[3]), "lr": lr, "channels": channels}
    return BASE.model_copy(update={**numbers, "reported": (reported,), **more})


DEFAULT = BASE.model_copy(
    update={
        "channels": (512, 256),
        "drop_edges": (0.2, 0.3),
        "mask_features": (0.2, 0.1),
        "lr": 5e-4,
        "epochs": 300,
        "directed_drop": False,
        "protocol": "random-10-10-80",
        "source": "default: the WikiCS recipe of nerdslab/bgrl, 300 steps, edges dropped in both directions together",
    }
)

GRAPH_DEFAULT = BGRLRecipe(
    encoder="gin",
    channels=(32, 32, 32),
    act="relu",
    order="act-norm",
    jk="cat",
    readout="sum",
    level="graph",
    hidden=96,
    drop_edges=(0.1, 0.1),
    mask_features=(0.0, 0.0),
    drop_nodes=(0.1, 0.1),
    batch_size=128,
    optimizer="adamw",
    lr=1e-3,
    weight_decay=1e-5,
    epochs=20,
    warmup=0.1,
    schedule="cosine",
    protocol="tu-svm",
)

_PUBLIC = "GraphMAE README (its authors' run; its numbers are not published)"


def _planetoid(score: float, std: float) -> BGRLRecipe:
    reported = Reported(score=score, std=std, protocol="planetoid-public", where=_PUBLIC)
    return DEFAULT.model_copy(update={"protocol": "planetoid-public", "reported": (reported,)})


LARGE: dict[str, Any] = {  # where no numbers are published
    "channels": (256, 256),
    "hidden": 256,
    "norm_momentum": 0.1,
    "features": "none",
    "directed_drop": False,
    "batches": "partitions",
    "lr": 1e-3,
    "epochs": 10,
    "protocol": "fixed",
    "source": "default for graphs too large to be seen whole: partition batches, ten epochs; numbers of this library",
}


def _ogb(score: float, std: float, where: str, **numbers: Any) -> BGRLRecipe:
    return DEFAULT.model_copy(update={**LARGE, "reported": (Reported(score=score, std=std, protocol="fixed", where=where),), **numbers})


RECIPES: dict[str, BGRLRecipe] = {
    "amazon-computers": _row((256, 128), (0.5, 0.2, 0.4, 0.1), 5e-4, 90.34, 0.19),
    "amazon-photo": _row((256, 128), (0.4, 0.1, 0.1, 0.2), 1e-4, 93.17, 0.30),
    "coauthor-cs": _row((512, 256), (0.3, 0.3, 0.2, 0.4), 1e-5, 93.31, 0.13),
    "coauthor-physics": _row((256, 128), (0.4, 0.1, 0.1, 0.4), 1e-5, 95.73, 0.05),
    "wikics": _row((512, 256), (0.2, 0.2, 0.3, 0.1), 5e-4, 79.98, 0.10, protocol="bgrl-wikics", features="row-normalize+standardize"),
    "cora": _planetoid(82.7, 0.6),
    "citeseer": _planetoid(71.1, 0.8),
    "pubmed": _planetoid(79.6, 0.5),
    "ppi": BASE.model_copy(
        update={
            "encoder": "sage",
            "channels": (512, 512, 512),
            "norm": "graph",
            "skip": "dense",
            "features": "none",
            "drop_edges": (0.3, 0.25),
            "mask_features": (0.25, 0.0),
            "lr": 5e-3,
            "protocol": "ppi",
            "source": "official code nerdslab/bgrl (config/ppi.cfg); it pre-trains on train and validation graphs, we on the train graphs",
            "reported": (Reported(score=69.41, std=0.15, protocol="ppi", where="Thakoor et al., 2022, arXiv:2102.06514"),),
        }
    ),
    "digits": DEFAULT.model_copy(
        update={
            "features": "standardize",
            "channels": (256, 128),
            "hidden": 256,
            "source": "default, narrower, for the constructed digits graph; no published recipe",
        }
    ),
    "ogbn-arxiv": _ogb(
        71.64,
        0.12,
        "Thakoor et al., 2022, arXiv:2102.06514",
        channels=(256, 256, 256),
        norm="layer",
        weight_standardization=True,
        drop_edges=(0.6, 0.6),
        mask_features=(0.0, 0.0),
        batches="whole",
        lr=1e-2,
        epochs=10_000,
        source="Thakoor et al., 2022, arXiv:2102.06514, appendix: the whole graph, both directions of each citation",
    ),
    "ogbn-products": _ogb(78.59, 0.02, "GraphMAE2 paper (Hou et al., 2023, arXiv:2304.04779), its authors' run on mini-batches"),
    "ogbn-papers100M": _ogb(
        62.18, 0.15, "GraphMAE2 paper (Hou et al., 2023, arXiv:2304.04779), its authors' run on mini-batches", epochs=1
    ),
    "reddit": _ogb(94.22, 0.03, "GraphMAE README (its authors' run)"),
    "flickr": DEFAULT.model_copy(update=LARGE),
    "ogbn-mag": DEFAULT.model_copy(update=LARGE),
    "ogbn-proteins": DEFAULT.model_copy(update=LARGE),
}
