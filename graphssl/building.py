"""From a recipe's numbers to an encoder, views and an objective."""

from __future__ import annotations

import inspect
from typing import Any

from graphssl.augment import (
    AdaptiveDropEdges,
    AdaptiveMaskFeatures,
    AddEdges,
    Augmentation,
    Compose,
    DropEdges,
    DropNodes,
    Identity,
    MaskFeatures,
)
from graphssl.encoders import GNN, build, config_of
from graphssl.objectives import METHODS, Objective
from graphssl.recipes import Recipe, TwoViews


def encoder_config(recipe: Recipe, num_features: int) -> dict[str, Any]:
    """What :func:`graphssl.encoders.build` needs for the recipe's encoder."""
    return config_of(recipe.encoder, num_features, **recipe.encoder_options())


def make_views(recipe: TwoViews) -> tuple[Augmentation, Augmentation]:
    """The recipe's two augmentations: drop nodes, add and drop edges, mask features, in this order."""
    first, second = (_view(recipe, i) for i in range(2))
    return first, second


def make_objective(method: str, recipe: Recipe, encoder: GNN) -> Objective:
    """The objective of that name with the recipe's numbers: each argument of its constructor is the field of the same name."""
    cls = METHODS[method]
    wanted = [name for name in inspect.signature(cls).parameters if name not in ("encoder", "views")]
    options = {name: getattr(recipe, name) for name in wanted if name in type(recipe).model_fields}
    if isinstance(recipe, TwoViews):
        options["views"] = make_views(recipe)
    return cls(encoder, **options)


def make(method: str, recipe: Recipe, num_features: int) -> Objective:
    """Encoder and objective of a recipe, parameters drawn from torch's global generator.

    Example:
        >>> from graphssl.recipes import find_recipe
        >>> make("dgi", find_recipe("dgi", "cora"), 1433).encoder.out_channels
        512
    """
    return make_objective(method, recipe, build(encoder_config(recipe, num_features)))


def _view(recipe: TwoViews, i: int) -> Augmentation:
    if recipe.adaptive == "none":
        drop: Augmentation = DropEdges(recipe.drop_edges[i], directed=recipe.directed_drop)
        mask: Augmentation = MaskFeatures(recipe.mask_features[i], mode=recipe.mask)
    else:
        drop = AdaptiveDropEdges(recipe.drop_edges[i], centrality=recipe.adaptive, directed=recipe.directed_drop)
        mask = AdaptiveMaskFeatures(recipe.mask_features[i], centrality=recipe.adaptive)
    parts: list[tuple[float, Augmentation]] = [
        (recipe.drop_nodes[i], DropNodes(recipe.drop_nodes[i])),
        (recipe.add_edges[i], AddEdges(recipe.add_edges[i])),
        (recipe.drop_edges[i], drop),
        (recipe.mask_features[i], mask),
    ]
    active = [part for strength, part in parts if strength > 0]
    return Compose(*active) if len(active) > 1 else active[0] if active else Identity()
