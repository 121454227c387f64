"""Recipes of Deep InfoMax."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from graphssl.recipes.base import Recipe


class DIMRecipe(Recipe):
    """Numbers of :class:`graphssl.DIM`."""

    alpha: Annotated[float, Field(ge=0)] = 0.0
    """Weight of the global term: an embedding belongs with its input."""
    beta: Annotated[float, Field(ge=0)] = 1.0
    """Weight of the local term: nodes belong with their graph."""
    gamma: Annotated[float, Field(ge=0)] = 0.1
    """Weight of the prior."""
    prior: Literal["uniform", "normal"] = "uniform"
    """What embeddings are to be distributed like: uniform behind a sigmoid, or normal."""
    hidden: Annotated[int, Field(ge=1)] = 200
    """Width of the hidden layers of the prior's discriminator and of the global scores."""
    level: Literal["node", "graph"] = "node"
    """What is embedded: nodes, or whole graphs by the readout."""
    chunk: Annotated[int, Field(ge=1)] | None = 16_384
    """At graph level: nodes whose scores against the graphs of the batch are held at a time."""


DEFAULT = DIMRecipe(
    channels=(512,),
    norm="none",
    act="prelu",
    features="row-normalize",
    optimizer="adam",
    lr=1e-3,
    epochs=300,
    protocol="random-10-10-80",
    source="default: the encoder of PetarV-/DGI, 300 steps; the weights of DIM(L) in Hjelm et al., 2019, arXiv:1808.06670",
)

GRAPH_DEFAULT = DIMRecipe(
    encoder="gin",
    channels=(32, 32, 32),
    norm="batch",
    act="relu",
    order="act-norm",
    jk="cat",
    readout="sum",
    batch_size=128,
    epochs=20,
    optimizer="adam",
    lr=1e-3,
    level="graph",
    protocol="tu-svm",
    source="default: the recipe of sunfanyunn/InfoGraph for the TU sets; the weights of DIM(L) in Hjelm et al., 2019, arXiv:1808.06670",
)

RECIPES: dict[str, DIMRecipe] = {"cora": DEFAULT.model_copy(update={"protocol": "planetoid-public"})}
