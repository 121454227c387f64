"""Recipes of context prediction."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, model_validator

from graphssl.recipes.base import Recipe


class ContextPredictionRecipe(Recipe):
    """Numbers of :class:`graphssl.ContextPrediction`."""

    hops: Annotated[int, Field(ge=1)] = 5
    """Radius of a centre's neighbourhood."""
    inner: Annotated[int, Field(ge=0)] = 4
    """Hops around the centre that are not its context."""
    outer: Annotated[int, Field(ge=1)] = 7
    """Hops to where the context ends."""
    num_negatives: Annotated[int, Field(ge=1)] = 1
    """Contexts of other graphs held against each centre."""

    @model_validator(mode="after")
    def _fits_context(self) -> ContextPredictionRecipe:
        if self.inner >= min(self.hops, self.outer):
            raise ValueError(f"inner must be below hops and outer, got inner {self.inner}, hops {self.hops} and outer {self.outer}")
        return self


DEFAULT = ContextPredictionRecipe(
    encoder="gin",
    channels=(128,) * 5,
    expansion=2,
    input=128,
    norm="batch",
    act="relu",
    last_act=False,
    readout="mean",
    batch_size=128,
    optimizer="adam",
    lr=1e-3,
    epochs=50,
    protocol="tu-svm",
    source="default: encoder and hops of snap-stanford/pretrain-gnns (5 layers, hops 5, context 4 to 7, lr 0.001), 128 wide, not 300; "
    "no published recipe",
)

TRANSFER = DEFAULT.model_copy(
    update={
        "encoder": "gine",
        "channels": (300,) * 5,
        "input": 300,
        "batch_size": 256,
        "epochs": 100,
        "protocol": "molecules",
        "source": "default: the 5x300 network and numbers of snap-stanford/pretrain-gnns, there on two million molecules of ZINC15, whose "
        "GIN adds bond features without a ReLU",
    }
)

RECIPES: dict[str, ContextPredictionRecipe] = dict.fromkeys(("hiv", "ogbg-molhiv", "nci-5k"), TRANSFER)
