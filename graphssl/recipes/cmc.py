"""Recipes of CMC."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from graphssl.recipes.base import Structured


class CMCRecipe(Structured):
    """Numbers of :class:`graphssl.CMC`."""

    molecules: ClassVar[dict[str, Any]] = {"encoder": "gin"}  # edges of most views have no attributes

    pairs: Literal["full", "core"] = "full"
    """Contrast every pair of views, or each with the first."""
    hidden: Annotated[int, Field(ge=1)] = 256
    """Width of the projectors' hidden layer."""
    tau: Annotated[float, Field(gt=0)] = 0.07
    """Temperature."""
    chunk: Annotated[int, Field(ge=1)] | None = 2048
    """Rows of similarities held at a time."""
    level: Literal["node", "graph"] = "node"
    """What is contrasted: nodes, or whole graphs by the readout."""


DEFAULT = CMCRecipe(
    channels=(256, 256),
    norm="batch",
    act="prelu",
    features="row-normalize",
    optimizer="adam",
    lr=1e-3,
    epochs=100,
    protocol="random-10-10-80",
    source="default of this library; temperature of Tian et al., 2020 (arXiv:1906.05849), diffusion of kavehhassani/mvgrl",
)

GRAPH_DEFAULT = CMCRecipe(
    encoder="gin",
    channels=(32, 32, 32),
    norm="batch",
    act="relu",
    order="act-norm",
    jk="cat",
    readout="sum",
    structures=("adjacency", "ppr", "features"),
    level="graph",
    hidden=96,
    batch_size=128,
    optimizer="adam",
    lr=1e-3,
    epochs=20,
    tau=0.2,
    protocol="tu-svm",
    source="default of this library: the encoder of sunfanyunn/InfoGraph for each view",
)

RECIPES: dict[str, CMCRecipe] = {
    "cora": DEFAULT.model_copy(update={"protocol": "planetoid-public"}),
}
