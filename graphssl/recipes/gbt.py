"""Recipes of G-BT, Barlow Twins on graphs."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field

from graphssl.recipes.base import Reported, TwoViews


class GBTRecipe(TwoViews):
    """Numbers of :class:`graphssl.BarlowTwins`."""

    decorrelation: Annotated[float, Field(ge=0)] | None = None
    """Weight of the correlations that are to vanish; None takes one over the width of the embedding."""


BASE = GBTRecipe(
    norm="batch",
    norm_momentum=0.01,
    act="prelu",
    last_act=False,
    directed_drop=True,
    optimizer="adamw",
    weight_decay=1e-5,
    epochs=1000,
    warmup=0.1,
    schedule="cosine",
    source="official code pbielak/graph-barlow-twins (full_batch/train.yaml); batch norm also after the last layer",
)

DEFAULT = BASE.model_copy(
    update={
        "channels": (512, 256),
        "features": "row-normalize",
        "drop_edges": (0.5, 0.5),
        "mask_features": (0.1, 0.1),
        "lr": 5e-4,
        "directed_drop": False,
        "epochs": 300,
        "source": "default: the WikiCS recipe of pbielak/graph-barlow-twins, 300 steps, features row-normalised, edges dropped in both "
        "directions together",
    }
)

LARGE: dict[str, Any] = {
    "channels": (256, 256),
    "norm_momentum": 0.1,
    "features": "none",
    "batches": "partitions",
    "lr": 1e-3,
    "epochs": 10,
    "protocol": "fixed",
    "source": "default for graphs too large to be seen whole: partition batches, ten epochs; numbers of this library",
}


def _row(width: int, mask: float, drop: float, lr: float, score: float, std: float, protocol: str = "random-10-10-80") -> GBTRecipe:
    """Encoder ``2 width -> width``, and both views alike, as all of the official rows of a graph seen whole have them."""
    reported = Reported(score=score, std=std, protocol=protocol, where="G-BT row of the COSTA paper (Zhang et al., 2022, arXiv:2206.04726)")
    numbers = {"channels": (2 * width, width), "mask_features": (mask, mask), "drop_edges": (drop, drop), "lr": lr, "protocol": protocol}
    return BASE.model_copy(update={**numbers, "reported": (reported,)})


_UNQUOTED = "official code pbielak/graph-barlow-twins (its configuration), by default scored as all are; the score it reports is not quoted"

RECIPES: dict[str, GBTRecipe] = {
    "wikics": _row(256, 0.1, 0.5, 5e-4, 76.83, 0.73, "wikics"),
    "amazon-computers": _row(128, 0.1, 0.4, 5e-4, 87.93, 0.36),
    "amazon-photo": _row(256, 0.3, 0.1, 1e-4, 92.46, 0.35),
    "coauthor-cs": _row(256, 0.2, 0.5, 1e-5, 92.91, 0.25),
    "coauthor-physics": _row(128, 0.2, 0.5, 1e-5, 95.25, 0.13),
    "ogbn-arxiv": BASE.model_copy(
        update={
            "channels": (256, 256, 256),
            "mask_features": (0.0, 0.0),
            "drop_edges": (0.4, 0.4),
            "lr": 1e-3,
            "epochs": 500,
            "warmup": 0.2,
            "protocol": "fixed",
            "source": _UNQUOTED,
        }
    ),
    "ppi": BASE.model_copy(
        update={
            "encoder": "gat",
            "channels": (1024, 1024, 512),
            "mask_features": (0.1, 0.1),
            "drop_edges": (0.1, 0.1),
            "lr": 5e-3,
            "epochs": 500,
            "batch_size": 1,
            "protocol": "ppi",
            "source": f"{_UNQUOTED}; four heads in the last layer too (six there), a graph a step",
        }
    ),
}
