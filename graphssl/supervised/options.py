"""The numbers of supervised trainings, checked before anything is loaded; imports no torch."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from graphssl.recipes import DEFAULTS, Recipe, find_recipe, level_of, levels, nearest
from graphssl.recipes.base import Activation

LabelShare = Annotated[float, Field(gt=0, le=1)]


class Finetuning(BaseModel):
    """What decides a fine-tuning besides the encoder and the data.

    The defaults are the fine-tuning of pretrain-gnns (Hu et al., 2020, arXiv:1905.12265) but for its dropout of 0.5.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, use_attribute_docstrings=True)

    epochs: Annotated[int, Field(ge=1)] = 100
    """Passes over the labelled rows."""
    lr: Annotated[float, Field(gt=0)] = 1e-3
    """Learning rate."""
    labels: LabelShare = 1.0
    """Share of the train rows whose labels are seen."""
    batch_size: Annotated[int, Field(ge=1)] = 32
    """Graphs a step."""
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Dropout on the input of each layer but the first, and before the head."""
    weight_decay: Annotated[float, Field(ge=0)] = 0.0
    """Weight decay, on all parameters."""
    freeze: bool = False
    """Train the head alone."""
    error: Literal["mse", "l1"] | None = None
    """Loss of a regression; l1 where the metric is mae, else mse."""
    optimizer: Literal["adamw", "adam"] = "adam"
    """Optimiser."""
    schedule: Literal["cosine", "constant"] = "constant"
    """Learning rate over the run."""
    folds: Annotated[int, Field(ge=2)] | None = None
    """Stratified folds to cross-validate over, in place of the dataset's splits."""
    num_splits: Annotated[int, Field(ge=1)] | None = None
    """How many of the splits to train on, the first ones; all by default."""


class SemiRecipe(Recipe):
    """Numbers of InfoGraph*; ``batch_size`` counts labelled graphs, ``epochs`` passes over the larger of the two sets of graphs."""

    encoder: Literal["gcn", "gat", "gatv2", "sage", "gin", "gine", "mpnn"] = "gin"
    """Kind of convolution, of both encoders."""
    channels: Annotated[tuple[Annotated[int, Field(ge=1)], ...], Field(min_length=1)] = (64, 64, 64)
    """Width of each layer."""
    act: Activation = "relu"
    """Activation after each layer."""
    jk: Literal["last", "cat", "max", "lstm"] = "cat"
    """Jumping knowledge: how the layers' outputs become the embedding."""
    readout: Literal["mean", "sum", "max", "attention", "set2set"] = "sum"
    """How nodes become a graph's embedding."""
    batch_size: Annotated[int, Field(ge=2)] | None = 32
    """Labelled graphs a step."""
    epochs: Annotated[int, Field(ge=1)] = 50
    """Passes over the unlabelled graphs, or the labelled ones where they are more."""
    optimizer: Literal["adamw", "adam"] = "adam"
    """Optimiser."""

    labels: LabelShare = 1.0
    """Share of the train rows whose labels are seen."""
    unlabelled_batch: Annotated[int, Field(ge=2)] = 128
    """Unlabelled graphs a step."""
    weight: Annotated[float, Field(ge=0)] = 1e-3
    """Weight of the tie between the two encoders."""
    unsupervised: Annotated[float, Field(ge=0)] = 1.0
    """Weight of the unsupervised encoder's loss."""
    tie: Literal["layers", "last"] = "layers"
    """What is tied: the graph's embedding at each layer, or the last one."""
    transductive: bool = False
    """The unlabelled graphs are all graphs; else those of neither validation nor test."""
    error: Literal["mse", "l1"] | None = None
    """Loss of a regression; l1 where the metric is mae, else mse."""
    folds: Annotated[int, Field(ge=2)] | None = None
    """Stratified folds to cross-validate over, in place of the dataset's splits."""

    source: str = "default of this library, with the weights of Sun et al., 2020, arXiv:1908.01000"
    """Where the numbers come from."""


SEMI_HIDDEN = ("source", "reported", "protocol", "patience", "inductive", "level")


def semi_recipe(*, molecules: bool) -> SemiRecipe:
    """The default numbers, with bond features where nodes are atoms.

    Example:
        >>> semi_recipe(molecules=True).encoder, semi_recipe(molecules=False).encoder
        ('gine', 'gin')
    """
    return SemiRecipe(encoder="gine", input=64, readout="mean") if molecules else SemiRecipe()


class Joining(BaseModel):
    """What a training on labels with a method beside them takes, besides the method's recipe."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, use_attribute_docstrings=True)

    labels: LabelShare = 1.0
    """Share of the train rows whose labels are seen."""
    weight: Annotated[float, Field(ge=0)] = 1.0
    """Weight of the method's loss beside that of the labels."""
    error: Literal["mse", "l1"] | None = None
    """Loss of a regression; l1 where the metric is mae, else mse."""
    val_every: Annotated[int, Field(ge=1)] = 1
    """Epochs between two looks at validation, each a pass over the whole graph without a gradient; the last epoch is always looked at."""


BESIDE: dict[str, dict[str, Any]] = {  # what changes in a recipe where the method's loss stands beside that of labels
    "bgrl": {
        "drop_edges": (0.2, 0.2),
        "mask_features": (0.4, 0.4),
        "mask": "entry",
        "target_init": "copy",
        "source": "views and start of the target as in DeepMind's entry to OGB-LSC (Addanki et al., 2021, arXiv:2107.09422)",
    }
}
EPOCHS = 300  # where a recipe stops by its training loss, which says nothing here


def joint_methods() -> list[str]:
    """The methods that can stand beside labels: those for node-level data."""
    return [name for name in sorted(DEFAULTS) if "node" in levels(name)]


def joint_recipe(method: str, dataset: str) -> Recipe:
    """The recipe of a method on a node-level dataset, as a loss beside that of the labels.

    Example:
        >>> recipe = joint_recipe("bgrl", "cora")
        >>> recipe.mask, recipe.mask_features, recipe.epochs
        ('entry', (0.4, 0.4), 300)

    Raises:
        ValueError: another method, or a dataset at graph level.
    """
    if method.lower() not in (allowed := joint_methods()):
        raise nearest("method", method, ["infograph-star", *allowed])
    if level_of(dataset) != "node":
        raise ValueError(f"semi {method} is for node-level data, and {dataset} is graph-level, where semi infograph-star does it")
    recipe = find_recipe(method, dataset)
    changes = dict(BESIDE.get(method.lower(), {}))
    if "source" in changes:
        changes["source"] = f"{recipe.source}; {changes['source']}"
    if recipe.patience is not None:
        changes |= {"patience": None, "epochs": min(recipe.epochs, EPOCHS)}
    return recipe.model_copy(update={**changes, "reported": ()})
