"""Recipes of InfoMin."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from graphssl.recipes.base import Pair, TwoViews


class InfoMinRecipe(TwoViews):
    """Numbers of :class:`graphssl.InfoMin`."""

    drop_edges: Pair = (0.0, 0.0)
    """Probability that an edge is dropped, in each view, before the learned dropping."""
    hidden: Annotated[int, Field(ge=1)] = 128
    """Width of the projector's hidden layer."""
    reg_lambda: Annotated[float, Field(ge=0)] = 0.1
    """Price of dropping edges."""
    tau: Annotated[float, Field(gt=0)] = 0.4
    """Temperature of the contrast."""
    temperature: Annotated[float, Field(gt=0)] = 1.0
    """Temperature of the soft edge weights."""
    estimator: Literal["infonce", "jsd"] = "infonce"
    """How it is estimated what two views tell of each other."""
    learned: Literal["second", "both"] = "both"
    """The views whose edges are dropped as is learned."""
    hard: bool = False
    """Edges stay or go, instead of being weighed."""
    chunk: Annotated[int, Field(ge=1)] | None = 2048
    """Rows of similarities held at a time."""


DEFAULT = InfoMinRecipe(
    channels=(256, 256),
    hidden=256,
    norm="none",
    act="relu",
    features="row-normalize",
    mask_features=(0.3, 0.4),
    optimizer="adam",
    lr=5e-4,
    weight_decay=1e-5,
    epochs=200,
    source="default of this library: GRACE's numbers for Cora with learned dropping of edges; the paper has no graphs",
)

LARGE: dict[str, Any] = {"norm": "batch", "features": "none", "batches": "partitions", "epochs": 10}  # too large to be seen whole

RECIPES: dict[str, InfoMinRecipe] = {}
