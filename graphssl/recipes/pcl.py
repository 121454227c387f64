"""Recipes of predictive contrastive learning."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from graphssl.recipes import grace
from graphssl.recipes.grace import GRACERecipe


class PCLRecipe(GRACERecipe):
    """Numbers of :class:`graphssl.PCL`."""

    reconstruction: Annotated[float, Field(ge=0)] = 10.0
    """Weight of the prediction of hidden features beside the contrast."""
    predict_first: Annotated[int, Field(ge=0)] = 10
    """Epochs of prediction alone, before the contrast joins."""
    mask_rate: Annotated[float, Field(gt=0, le=1)] = 0.5
    """Share of the nodes whose features are hidden."""
    alpha: Annotated[float, Field(ge=1)] = 2.0
    """Exponent of the prediction's cosine error."""
    decoder: Literal["same", "mlp", "linear"] = "same"
    """What tells the features again: one layer of the encoder's kind, or linear layers at each node alone."""


def _with_prediction(recipe: GRACERecipe, **changes: Any) -> PCLRecipe:
    """The contrast of a GRACE recipe, whose published score is not of this method."""
    source = "default: the contrast of CRIPAC-DIG/GRACE, weight 10 after ten epochs as in Li et al., 2020, arXiv:2012.09962"
    return PCLRecipe(**{**recipe.model_dump(), "source": source, "reported": (), **changes})


DEFAULT = _with_prediction(grace.DEFAULT)

RECIPES: dict[str, PCLRecipe] = {
    name: _with_prediction(grace.RECIPES[name], protocol="planetoid-public") for name in ("cora", "citeseer", "pubmed")
}
