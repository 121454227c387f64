"""Recipes of JOAO."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from graphssl.recipes.base import GraphViews, Reported
from graphssl.recipes.graphcl import TRANSFER, TU, WITHOUT_FEATURES


class JOAORecipe(GraphViews):
    """Numbers of :class:`graphssl.JOAO`."""

    molecules: ClassVar[dict[str, Any]] = TRANSFER

    gamma: Annotated[float, Field(ge=0)] = 0.1
    """How strongly the choice of augmentations is drawn to an even one."""
    tau: Annotated[float, Field(gt=0)] = 0.2
    """Temperature."""
    projectors: Literal["shared", "per-augmentation"] = "shared"
    """One projector, or one for each augmentation (JOAOv2)."""


BASE = JOAORecipe.model_validate(
    {**TU, "source": "You et al., 2021, arXiv:2106.07594: GraphCL's numbers; gamma of 0.01, 0.1 and 1, here 0.1 for all"}
)

SCORES = {
    "mutag": (87.35, 1.02),
    "proteins": (74.55, 0.41),
    "nci1": (78.07, 0.47),
    "dd": (77.32, 0.54),
    "imdb-binary": (70.21, 3.08),
    "imdb-multi": (49.20, 0.77),
    "collab": (69.50, 0.36),
    "reddit-binary": (85.29, 1.35),
    "reddit-multi-5k": (55.74, 0.63),
}


def _row(name: str, score: float, std: float) -> JOAORecipe:
    where = "a later paper" if name == "imdb-multi" else "the MSSGCL paper"
    reported = Reported(score=score, std=std, protocol="tu-svm", where=f"You et al., 2021, arXiv:2106.07594, as quoted by {where}")
    return BASE.model_copy(update={"reported": (reported,), "node_features": "ones" if name in WITHOUT_FEATURES else "auto"})


DEFAULT = BASE.model_copy(update={"source": "default: the numbers of You et al., 2021, arXiv:2106.07594, for the TU sets"})

RECIPES: dict[str, JOAORecipe] = {name: _row(name, *score) for name, score in SCORES.items()}
