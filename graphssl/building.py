"""From a recipe's numbers to an encoder, views, an objective and batches."""

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
    RandomChoice,
    Subgraph,
)
from graphssl.batches import Batches, GraphBatches, side_by_side
from graphssl.datasets import Dataset
from graphssl.encoders import GNN, build, config_of
from graphssl.graph import Graph
from graphssl.objectives import METHODS, Objective
from graphssl.recipes import GraphViews, OneView, Recipe, TwoViews

RANDOM = {  # what GraphCL draws from
    "random2": ("drop-nodes", "subgraph"),
    "random3": ("drop-nodes", "drop-edges", "subgraph"),
    "random4": ("drop-nodes", "drop-edges", "subgraph", "mask-nodes"),
}
GRAPHS, SEEDS, FAN_OUT, PART = (
    128,
    1024,
    10,
    4096,
)  # a step's graphs or seeds, neighbours a node, nodes a part, where a recipe leaves them open
TAKES_EDGES = ("gine", "mpnn")  # encoders that need to know the columns of edge_attr


def encoder_config(recipe: Recipe, num_features: int, edge_channels: int = 0) -> dict[str, Any]:
    """What :func:`graphssl.encoders.build` needs for the recipe's encoder on graphs with so many features and edge attributes.

    Raises:
        ValueError: an encoder that takes edge attributes, on graphs without.
    """
    options = recipe.encoder_options()
    if recipe.encoder in TAKES_EDGES:
        if not edge_channels:
            raise ValueError(f"encoder {recipe.encoder} takes edge attributes, and these graphs have none; gin does without")
        options["edge_channels"] = edge_channels
    return config_of(recipe.encoder, num_features, **options)


def make_views(recipe: TwoViews | GraphViews) -> tuple[Augmentation, ...]:
    """The recipe's augmentations.

    Of a :class:`TwoViews` two: drop nodes, add and drop edges, mask features, in this order. Of a :class:`OneView` the graph as it is and
    one of GraphCL's, or two alike. Of other :class:`GraphViews` all that there is to choose from, the graph as it is among them.
    """
    if isinstance(recipe, TwoViews):
        return tuple(_view(recipe, i) for i in range(2))
    parts = _graph_views(recipe)
    if not isinstance(recipe, OneView):
        return (Identity(), *parts.values())
    kinds = RANDOM.get(recipe.augmentation, (recipe.augmentation,))
    view = parts[kinds[0]] if len(kinds) == 1 else RandomChoice(*(parts[kind] for kind in kinds), per_graph=True)
    return (Identity() if recipe.augmented == "second" else view), view


def make_objective(method: str, recipe: Recipe, encoder: GNN) -> Objective:
    """The objective of that name with the recipe's numbers: each argument of its constructor is the field of the same name."""
    cls = METHODS[method]
    wanted = [name for name in inspect.signature(cls).parameters if name not in ("encoder", "views")]
    options = {name: getattr(recipe, name) for name in wanted if name in type(recipe).model_fields}
    if isinstance(recipe, (TwoViews, GraphViews)):
        options["views"] = make_views(recipe)
    return cls(encoder, **options)


def make(method: str, recipe: Recipe, num_features: int, edge_channels: int = 0) -> Objective:
    """Encoder and objective of a recipe, parameters drawn from torch's global generator.

    Example:
        >>> from graphssl.recipes import find_recipe
        >>> make("dgi", find_recipe("dgi", "cora"), 1433).encoder.out_channels
        512
    """
    return make_objective(method, recipe, build(encoder_config(recipe, num_features, edge_channels)))


def make_batches(recipe: Recipe, data: Dataset, seed: int = 0) -> Graph | Batches:
    """What training goes through once an epoch: the dataset's train graphs whole, or batches as the recipe says.

    Args:
        recipe: its ``batches`` and the fields that go with them; at graph level ``batch_size`` and ``inductive``.
        data: the dataset.
        seed: of what is sampled; the order of batches of many graphs comes from torch's generator instead.

    Raises:
        ValueError: batches that do not fit the dataset.
    """
    if data.level == "graph":
        if recipe.batches != "whole":
            raise ValueError(
                f"batches {recipe.batches} is for one large graph, and {data.name} has many; batch_size says how many of them a step sees"
            )
        return _graph_batches(_seen_graphs(data, recipe), recipe.batch_size or GRAPHS)
    if recipe.inductive:
        raise ValueError(f"inductive is for data with many graphs; {data.name} is labelled by node")
    graphs = data.train_graphs
    if recipe.batches != "whole":
        return _sampled(recipe, side_by_side(graphs), seed)
    if recipe.batch_size is None:
        return side_by_side(graphs)
    if len(graphs) == 1:
        raise ValueError(
            f"batch_size is for training on several graphs, or with batches neighbours, walks or egos; {data.name} has one graph, got "
            f"{recipe.batch_size}"
        )
    return GraphBatches(graphs, recipe.batch_size)


def _sampled(recipe: Recipe, g: Graph, seed: int) -> Batches:
    from graphssl.batches import EgoBatches, NeighbourBatches, PartitionBatches, WalkBatches  # numba, only where something is sampled

    size = min(recipe.batch_size or SEEDS, g.num_nodes)
    fan_out = recipe.fan_out or (FAN_OUT,) * len(recipe.channels)
    if recipe.batches == "neighbours":
        return NeighbourBatches(g, fan_out, size, loss_on=recipe.loss_on or "seeds", seed=seed)
    if recipe.batches == "egos":
        if len(set(fan_out)) > 1:
            raise ValueError(f"fan_out must be the same number for each hop with batches egos, got {list(fan_out)}")
        return EgoBatches(g, size, hops=len(fan_out), fan_out=fan_out[0], loss_on=recipe.loss_on or "seeds", seed=seed)
    if recipe.batches == "walks":
        length = recipe.walk_length or len(recipe.channels)
        per_batch = size * (length + 1)  # so that an epoch sees about as many nodes as there are
        return WalkBatches(g, size, length, num_batches=-(-g.num_nodes // per_batch), loss_on=recipe.loss_on or "all", seed=seed)
    parts = recipe.num_parts or max(g.num_nodes // PART, 1)
    return PartitionBatches(g, parts, parts_per_batch=recipe.parts_per_batch or 1, seed=seed)


def _graph_batches(graph: Graph, batch_size: int) -> GraphBatches:
    """Batches of graphs; a last batch of one graph, to which there are no negatives, is left out."""
    if batch_size == 1 and graph.num_graphs > 1:
        raise ValueError("batch_size must be at least 2 where graphs are told apart, got 1")
    return GraphBatches(graph, batch_size, drop_last=graph.num_graphs % batch_size == 1)


def _seen_graphs(data: Dataset, recipe: Recipe) -> Graph:
    """What pre-training sees at graph level: all graphs, or those of the train part."""
    if not recipe.inductive:
        return data.graph
    if len(data.splits) != 1:
        raise ValueError(
            f"inductive keeps the test graphs from pre-training, which takes a single split; {data.name} has {len(data.splits)}: "
            "pre-train on a set with a fixed split, or leave inductive out"
        )
    return data.graph.keep_graphs(data.split.train)


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


def _graph_views(recipe: GraphViews) -> dict[str, Augmentation]:
    """GraphCL's augmentations by name, with the recipe's numbers."""
    return {
        "drop-nodes": DropNodes(recipe.strength, exact=True),
        "drop-edges": DropEdges(recipe.strength, exact=True),
        "subgraph": Subgraph(recipe.subgraph, how="grow"),
        "mask-nodes": MaskFeatures(recipe.strength, mode="node", fill=recipe.fill, exact=True),
    }
