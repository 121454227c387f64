"""Recipes of VICReg."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field

from graphssl.recipes.base import TwoViews

Weight = Annotated[float, Field(ge=0)]


class VICRegRecipe(TwoViews):
    """Numbers of :class:`graphssl.VICReg`."""

    hidden: Annotated[int, Field(ge=1)] = 512
    """Width of the projector's hidden layer and of its output."""
    invariance: Weight = 25.0
    """Weight of what draws views together."""
    variance: Weight = 25.0
    """Weight of what keeps columns from collapse."""
    covariance: Weight = 1.0
    """Weight of what keeps columns apart."""


DEFAULT = VICRegRecipe(
    channels=(512, 256),
    features="row-normalize",
    norm="batch",
    act="prelu",
    drop_edges=(0.5, 0.5),
    mask_features=(0.1, 0.1),
    optimizer="adamw",
    weight_decay=1e-5,
    lr=5e-4,
    epochs=300,
    warmup=0.1,
    schedule="cosine",
    source="default: encoder and views of G-BT's WikiCS recipe, weights of Bardes et al., 2022, arXiv:2105.04906; numbers of this library",
)

LARGE: dict[str, Any] = {
    "channels": (256, 256),
    "hidden": 256,
    "features": "none",
    "batches": "partitions",
    "lr": 1e-3,
    "epochs": 10,
    "protocol": "fixed",
    "source": "default for graphs too large to be seen whole: partition batches, ten epochs; numbers of this library",
}

RECIPES: dict[str, VICRegRecipe] = {}
