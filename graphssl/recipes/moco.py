"""Recipes of MoCo on nodes."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field

from graphssl.recipes.base import Share, TwoViews


class MoCoRecipe(TwoViews):
    """Numbers of :class:`graphssl.MoCo`."""

    hidden: Annotated[int, Field(ge=1)] = 128
    """Width of the projector's hidden layer."""
    tau: Annotated[float, Field(gt=0)] = 0.2
    """Temperature."""
    queue: Annotated[int, Field(ge=1)] = 4096
    """Keys of earlier steps that are kept as negatives."""
    momentum: Share = 0.99
    """Momentum of the slow copy that makes the keys."""
    mixed: Annotated[int, Field(ge=0)] = 0
    """Mixtures of hard negatives for each row (MoCHi), and an eighth as many with the row itself."""
    num_hard: Annotated[int, Field(ge=1)] = 1024
    """Hard negatives that are mixed."""
    mix_from: Share = 0.0
    """Share of the run after which hard negatives are mixed."""
    chunk: Annotated[int, Field(ge=1)] | None = 2048
    """Rows of similarities held at a time."""


DEFAULT = MoCoRecipe(
    channels=(512, 256),
    norm="none",
    act="relu",
    hidden=256,
    features="row-normalize",
    drop_edges=(0.2, 0.4),
    mask_features=(0.3, 0.4),
    optimizer="adam",
    lr=5e-4,
    weight_decay=1e-5,
    epochs=200,
    source="default: encoder, views and training of GRACE's Cora recipe, twice as wide; numbers of this library, the method is of images",
)

LARGE: dict[str, Any] = {
    "channels": (256, 256),
    "norm": "batch",
    "features": "none",
    "batches": "partitions",
    "queue": 16_384,
    "epochs": 10,
    "protocol": "fixed",
    "source": "default for graphs too large to be seen whole: partition batches, ten epochs; numbers of this library",
}

RECIPES: dict[str, MoCoRecipe] = {}
