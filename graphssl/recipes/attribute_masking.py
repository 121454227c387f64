"""Recipes of attribute masking."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from graphssl.recipes.base import Recipe, Share


class AttributeMaskingRecipe(Recipe):
    """Numbers of :class:`graphssl.AttributeMasking`."""

    mask_rate: Share = 0.15
    """Share of a graph's nodes whose features are hidden (one more is)."""
    num_types: Annotated[int, Field(ge=2)] | None = None
    """First columns of the features, which are the type that is told; all by default, 119 for molecules (the element)."""


DEFAULT = AttributeMaskingRecipe(
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
    source="default: the encoder of snap-stanford/pretrain-gnns (5 layers, mask 0.15, lr 0.001), 128 wide, not 300; no published recipe",
)

TRANSFER = DEFAULT.model_copy(
    update={
        "encoder": "gine",
        "channels": (300,) * 5,
        "input": 300,
        "num_types": 119,
        "batch_size": 256,
        "epochs": 100,
        "protocol": "molecules",
        "source": "default: the 5x300 network and numbers of snap-stanford/pretrain-gnns, there on two million molecules of ZINC15, whose "
        "GIN adds bond features without a ReLU",
    }
)

RECIPES: dict[str, AttributeMaskingRecipe] = dict.fromkeys(("hiv", "ogbg-molhiv", "nci-5k"), TRANSFER)
