"""Recipes of corruption prediction."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from graphssl.recipes.base import Recipe


class CorruptionRecipe(Recipe):
    """Numbers of :class:`graphssl.CorruptionPrediction`."""

    hidden: Annotated[int, Field(ge=1)] = 128
    """Width of the classifier's hidden layer."""


DEFAULT = CorruptionRecipe(
    channels=(256, 128),
    norm="none",
    act="relu",
    features="row-normalize",
    optimizer="adam",
    lr=1e-3,
    epochs=200,
    source="default: encoder of GRACE's Cora recipe, numbers of this library; the published pretext (arXiv:1905.03670) turns images",
)

RECIPES: dict[str, CorruptionRecipe] = {}
