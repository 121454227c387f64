"""Recipes: the numbers of each method on each dataset, with their source; imports no torch."""

from __future__ import annotations

from difflib import get_close_matches
from pathlib import Path

from graphssl.datasets.table import DATASETS, canonical
from graphssl.recipes import bgrl, dgi, grace
from graphssl.recipes.base import Recipe, Reported, TwoViews

RECIPES: dict[str, dict[str, Recipe]] = {"bgrl": {**bgrl.RECIPES}, "dgi": {**dgi.RECIPES}, "grace": {**grace.RECIPES}}
DEFAULTS: dict[str, Recipe] = {"bgrl": bgrl.DEFAULT, "dgi": dgi.DEFAULT, "grace": grace.DEFAULT}
DESCRIPTIONS: dict[str, str] = {
    "bgrl": "Bootstrapped Graph Latents: predict a slow copy of the encoder, no negatives (Thakoor et al., 2022, arXiv:2102.06514)",
    "dgi": "Deep Graph Infomax: tell nodes of the graph from nodes of a shuffled copy (Velickovic et al., 2019, arXiv:1809.10341)",
    "grace": "GRACE: draw a node's two views together, away from all others (Zhu et al., 2020, arXiv:2006.04131)",
}

__all__ = ["DEFAULTS", "DESCRIPTIONS", "RECIPES", "Recipe", "Reported", "TwoViews", "find_method", "find_recipe", "is_known", "nearest"]


def nearest(what: str, given: str, allowed: list[str]) -> ValueError:
    """The error for an unknown name: what was given, the nearest known name, all that is allowed."""
    close = get_close_matches(given.lower(), allowed, n=1)
    hint = f" (did you mean {close[0]!r}?)" if close else ""
    return ValueError(f"unknown {what} {given!r}{hint}; known: {', '.join(allowed)}")


def find_method(name: str) -> str:
    """The method of that name, whatever its case.

    Raises:
        ValueError: there is none.
    """
    if name.lower() not in RECIPES:
        raise nearest("method", name, sorted(RECIPES))
    return name.lower()


def find_recipe(method: str, dataset: str) -> Recipe:
    """The recipe of a method on a dataset; a sensible default, which says that it is one, where nothing is published.

    Example:
        >>> find_recipe("dgi", "cora").channels, find_recipe("dgi", "actor").source
        ((512,), 'default: the Planetoid recipe of PetarV-/DGI')
    """
    method = find_method(method)
    if not is_known(dataset):
        return DEFAULTS[method].model_copy(update={"protocol": "fixed"})
    name = canonical(dataset)
    if name in RECIPES[method]:
        return RECIPES[method][name]
    drawn = DATASETS[name].splits.startswith("20 random")
    return DEFAULTS[method].model_copy(update={"protocol": "random-10-10-80" if drawn else "fixed"})


def is_known(dataset: str) -> bool:
    """Whether ``dataset`` is meant as a name of the table, and not as a path of the user's own file."""
    return not (Path(dataset).suffix or "/" in dataset or "\\" in dataset)
