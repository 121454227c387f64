"""What there is, as tables of name and one line; imports no torch."""

from __future__ import annotations

from collections.abc import Callable

from graphssl.augment.table import DESCRIPTIONS as AUGMENTATIONS
from graphssl.datasets.table import DATASETS
from graphssl.evaluation.protocols import PROTOCOLS
from graphssl.losses.table import LOSSES
from graphssl.recipes import DEFAULTS, DESCRIPTIONS, RECIPES, Recipe

ENCODERS: dict[str, str] = {
    "gcn": "graph convolution, symmetric normalisation (Kipf and Welling, 2017, arXiv:1609.02907)",
    "gat": "attention over neighbours (Velickovic et al., 2018, arXiv:1710.10903)",
    "gatv2": "dynamic attention (Brody et al., 2022, arXiv:2105.14491)",
    "sage": "GraphSAGE, mean or max of neighbours (Hamilton et al., 2017, arXiv:1706.02216)",
    "gin": "graph isomorphism network, sum of neighbours (Xu et al., 2019, arXiv:1810.00826)",
    "gine": "GIN with edge features, for molecules (Hu et al., 2020, arXiv:1905.12265)",
    "mpnn": "a matrix for each edge from its attributes, a GRU, Set2Set (Gilmer et al., 2017, arXiv:1704.01212)",
    "mlp": "the features of a node alone, no neighbours; as a student GLNN (Zhang et al., 2022, arXiv:2110.08727)",
}

HIDDEN = ("source", "reported")  # what a recipe says of itself, not what it sets


def datasets() -> dict[str, str]:
    """Each dataset with its splits and metric."""
    return {name: f"{entry.about} ({entry.splits}; {entry.metric})" for name, entry in DATASETS.items()}


def recipes() -> dict[str, str]:
    """Each recipe with its source and published scores; last of each method, what serves all other datasets."""
    rows: dict[str, str] = {}
    for method, known in RECIPES.items():
        rows |= {f"{method} {name}": "; published: ".join([recipe.source, *_published(recipe)]) for name, recipe in known.items()}
        rows[f"{method} (any other)"] = DEFAULTS[method].source
    return rows


def protocols() -> dict[str, str]:
    """Each protocol, by name and version."""
    return {protocol.label: protocol.description for protocol in PROTOCOLS.values()}


LISTS: dict[str, Callable[[], dict[str, str]]] = {
    "methods": lambda: DESCRIPTIONS,
    "datasets": datasets,
    "recipes": recipes,
    "encoders": lambda: ENCODERS,
    "augmentations": lambda: AUGMENTATIONS,
    "losses": lambda: {name: line.about for name, line in LOSSES.items()},
    "protocols": protocols,
}


def describe(method: str, dataset: str, recipe: Recipe) -> str:
    """A recipe for reading: what the method is, where the numbers are from, what is published, every number."""
    lines = [f"{method} on {dataset}", f"  {DESCRIPTIONS[method]}", f"  numbers: {recipe.source}"]
    lines += [f"  published: {told}" for told in _published(recipe)]
    for name in type(recipe).model_fields:
        if name not in HIDDEN:
            value = getattr(recipe, name)
            lines.append(f"    {name:<24}{' '.join(map(str, value)) if isinstance(value, tuple) else value}")
    return "\n".join(lines)


def _published(recipe: Recipe) -> list[str]:
    return [f"{r.score}{'' if r.std is None else f' ± {r.std}'} ({r.protocol}; {r.where})" for r in recipe.reported]
