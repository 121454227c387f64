"""Recipes of SimGRACE."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar

from pydantic import Field

from graphssl.recipes.base import Recipe, Reported
from graphssl.recipes.graphcl import TU, WITHOUT_FEATURES


class SimGRACERecipe(Recipe):
    """Numbers of :class:`graphssl.SimGRACE`."""

    molecules: ClassVar[dict[str, Any]] = {"tau": 0.1, "eta": 0.1}  # the official code's numbers on molecules

    eta: Annotated[float, Field(ge=0)] = 1.0
    """Size of the noise on the weights, in multiples of their standard deviation."""
    tau: Annotated[float, Field(gt=0)] = 0.2
    """Temperature."""
    decoupled: bool = True
    """The positive is left out of the denominator."""
    symmetric: bool = False
    """Also from the clean view to the noisy one."""
    detach: bool = True
    """The noisy view takes no gradient."""


BASE = SimGRACERecipe.model_validate(
    {
        **TU,
        "channels": (32,) * 5,
        "source": "official code junxia97/SimGRACE (unsupervised_TU); it takes the best eta of 0.1 to 1000 a set, here 1 for all",
    }
)

SCORES = {
    "mutag": (89.01, 1.31),
    "proteins": (75.35, 0.09),
    "nci1": (79.12, 0.44),
    "dd": (77.44, 1.11),
    "imdb-binary": (71.30, 0.77),
    "collab": (71.72, 0.82),
    "reddit-binary": (89.51, 0.89),
    "reddit-multi-5k": (55.91, 0.34),
}


def _row(name: str, score: float, std: float) -> SimGRACERecipe:
    reported = Reported(score=score, std=std, protocol="tu-svm", where="Xia et al., 2022, arXiv:2202.03104, as quoted by the MSSGCL paper")
    return BASE.model_copy(update={"reported": (reported,), "node_features": "ones" if name in WITHOUT_FEATURES else "auto"})


DEFAULT = BASE.model_copy(update={"source": "default: the recipe of junxia97/SimGRACE for the TU sets, eta 1"})

RECIPES: dict[str, SimGRACERecipe] = {name: _row(name, *score) for name, score in SCORES.items()}
