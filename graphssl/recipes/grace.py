"""Recipes of GRACE."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, model_validator

from graphssl.losses.table import of_views
from graphssl.recipes.base import Reported, TwoViews


class GRACERecipe(TwoViews):
    """Numbers of :class:`graphssl.GRACE`."""

    hidden: Annotated[int, Field(ge=1)] = 128
    """Width of the projector's hidden layer."""
    tau: Annotated[float, Field(gt=0)] = 0.4
    """Temperature."""
    intra: bool = True
    """Other nodes of the same view are negatives too."""
    chunk: Annotated[int, Field(ge=1)] | None = 2048
    """Rows of similarities held at a time."""
    negatives: Annotated[int, Field(ge=1)] | None = None
    """Nodes drawn at each step as the negatives of all; None takes all others."""
    loss: Annotated[str, AfterValidator(of_views)] = "info-nce"
    """Loss of the two views' rows (graphssl list losses); with those of tau, intra and chunk that it knows."""

    @model_validator(mode="after")
    def _fits_loss(self) -> GRACERecipe:
        if self.negatives is not None and self.loss != "info-nce":
            raise ValueError(f"negatives are drawn for loss info-nce alone, got negatives {self.negatives} with loss {self.loss}")
        return self


BASE = GRACERecipe(
    norm="none",
    features="row-normalize",
    directed_drop=True,
    optimizer="adam",
    lr=5e-4,
    weight_decay=1e-5,
    protocol="grace-10-90",
    source="official code CRIPAC-DIG/GRACE (config.yaml)",
)


def _row(width: int, act: Literal["relu", "prelu"], score: float, std: float, **numbers: Any) -> GRACERecipe:
    """Encoder ``2 width -> width`` and a projector as wide as its output, as all of the official rows have."""
    reported = Reported(score=score, std=std, protocol="grace-10-90", where="Zhu et al., 2020, arXiv:2006.04131, table 1")
    return BASE.model_copy(update={"channels": (2 * width, width), "hidden": width, "act": act, "reported": (reported,), **numbers})


DEFAULT = BASE.model_copy(
    update={
        "channels": (512, 256),
        "hidden": 256,
        "act": "relu",
        "lr": 5e-4,
        "drop_edges": (0.2, 0.4),
        "mask_features": (0.3, 0.4),
        "tau": 0.4,
        "epochs": 200,
        "directed_drop": False,
        "protocol": "random-10-10-80",
        "source": "default: the Cora recipe of CRIPAC-DIG/GRACE, twice as wide, edges dropped in both directions together",
    }
)


def _with_table(protocol: str, score: float, std: float) -> GRACERecipe:
    reported = Reported(score=score, std=std, protocol=protocol, where="GRACE row of the GCA paper, as quoted by the RoSA README")
    return DEFAULT.model_copy(update={"protocol": protocol, "reported": (reported,)})


LARGE: dict[str, Any] = {
    "channels": (256, 256),
    "norm": "batch",
    "features": "none",
    "batches": "partitions",
    "negatives": 1024,
    "epochs": 10,
    "protocol": "fixed",
    "source": "default for graphs too large to be seen whole: partition batches, ten epochs; numbers of this library",
}

RECIPES: dict[str, GRACERecipe] = {
    "cora": _row(128, "relu", 83.3, 0.4, lr=5e-4, drop_edges=(0.2, 0.4), mask_features=(0.3, 0.4), tau=0.4, epochs=200),
    "citeseer": _row(256, "prelu", 72.1, 0.5, lr=1e-3, drop_edges=(0.2, 0.0), mask_features=(0.3, 0.2), tau=0.9, epochs=200),
    "pubmed": _row(256, "relu", 86.7, 0.1, lr=1e-3, drop_edges=(0.4, 0.1), mask_features=(0.0, 0.2), tau=0.7, epochs=1500),
    "dblp": _row(256, "relu", 84.2, 0.1, lr=1e-3, drop_edges=(0.1, 0.4), mask_features=(0.1, 0.0), tau=0.7, epochs=1000),
    "wikics": _with_table("wikics", 78.19, 0.01),
    "amazon-computers": _with_table("random-10-10-80", 87.46, 0.22),
    "amazon-photo": _with_table("random-10-10-80", 92.15, 0.24),
    "coauthor-cs": _with_table("random-10-10-80", 92.93, 0.01),
    "coauthor-physics": _with_table("random-10-10-80", 95.26, 0.02),
    "ppi": DEFAULT.model_copy(update={"batch_size": 1, "features": "none", "protocol": "ppi", "epochs": 50}),
    "ogbn-arxiv": DEFAULT.model_copy(
        update={
            "channels": (256, 256, 256),
            "norm": "layer",
            "features": "none",
            "negatives": 2048,
            "lr": 1e-2,
            "epochs": 1000,
            "protocol": "fixed",
            "source": "default: BGRL's encoder for this set; the BGRL paper samples 2,048 negatives, its other numbers are not published",
            "reported": (Reported(score=71.51, std=0.11, protocol="fixed", where="Thakoor et al., 2022, arXiv:2102.06514 (k = 2048)"),),
        }
    ),
    "ogbn-products": DEFAULT.model_copy(
        update={
            **LARGE,
            "reported": (Reported(score=79.47, std=0.59, protocol="fixed", where="GraphMAE2 paper (Hou et al., 2023, arXiv:2304.04779)"),),
        }
    ),
}
