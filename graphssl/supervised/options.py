"""The numbers of supervised trainings, checked before anything is loaded; imports no torch."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from graphssl.losses.table import of_labels
from graphssl.naming import nearest
from graphssl.recipes import DEFAULTS, Recipe, TwoViews, find_recipe, level_of, levels
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

    encoder: Literal["gcn", "gat", "gatv2", "sage", "gin", "gine", "mpnn", "mlp"] = "gin"
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
    vat: Annotated[float, Field(ge=0)] = 0.0
    """Weight of virtual adversarial training, labels or not."""
    vat_eps: Annotated[float, Field(ge=0)] = 1.0
    """How far it moves features, in mean lengths of a row."""
    entropy: Annotated[float, Field(ge=0)] = 0.0
    """Weight of the predictions' entropy, labels or not."""
    ramp: tuple[Annotated[float, Field(ge=0, le=1)], Annotated[float, Field(ge=0, le=1)]] = (0.3, 0.6)
    """Shares of the run at which vat and entropy begin, and have their full weight."""
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
PARTS: dict[str, tuple[str, ...]] = {  # options of some losses alone
    "eps": ("eps-sup-con", "eps-sup-info-nce"),
    "form": ("eps-sup-info-nce", "sup-con"),
    "alpha": ("spread",),
    "share": ("paco",),
    "gamma": ("paco",),
    "beta": ("paco", "rescom"),
    "k_pos": ("rescom",),
    "k_neg": ("rescom",),
    "prior": ("rescom",),
    "queue": ("paco", "rescom"),
}


class SupConRecipe(TwoViews):
    """Numbers of a training by supervised contrast; what is None is as the loss has it."""

    hidden: Annotated[int, Field(ge=1)] = 128
    """Width of the projector's hidden layer."""
    loss: Annotated[str, AfterValidator(of_labels)] = "sup-con"
    """Loss of the two views' rows and their classes (graphssl list losses)."""
    tau: Annotated[float, Field(gt=0)] | None = None
    """Temperature."""
    eps: Annotated[float, Field(ge=0)] | None = None
    """Margin (eps-sup-con, eps-sup-info-nce)."""
    form: Literal["out", "in"] | None = None
    """Sum over positives outside or inside the logarithm (sup-con, eps-sup-info-nce)."""
    alpha: Annotated[float, Field(ge=0, le=1)] | None = None
    """Weight of the spread within classes (spread)."""
    share: Annotated[float, Field(ge=0)] | None = None
    """Weight of all positives of a row together, beside that of its centre (paco)."""
    gamma: Annotated[float, Field(ge=0)] | None = None
    """Weight of rows, beside centres, in the denominator (paco)."""
    beta: Annotated[float, Field(ge=0)] | None = None
    """Weight of a row's centre (paco), or of effective numbers, from 0 to 1 (rescom)."""
    k_pos: Annotated[int, Field(ge=0)] | None = None
    """Hard positives from the queue (rescom)."""
    k_neg: Annotated[int, Field(ge=0)] | None = None
    """Hard negatives from the queue (rescom)."""
    prior: float | None = None
    """How much of the log prior scores of keys get (rescom)."""
    queue: Annotated[int, Field(ge=0)] | None = None
    """Keys of each class that are kept from step to step (rescom, paco; 8 by default, as in ResCom's code)."""
    reconstruct: Annotated[float, Field(ge=0)] = 0.0
    """Weight of telling features again from embedding and class, as Thanos does."""
    classifier: Literal["joint", "probe"] = "joint"
    """What the labels' cross-entropy trains: encoder and head, or the head alone, on what the contrast makes of the encoder."""
    chunk: Annotated[int, Field(ge=1)] | None = 2048
    """Rows of similarities held at a time."""

    @model_validator(mode="after")
    def _fits_loss(self) -> SupConRecipe:
        for option, names in PARTS.items():
            if getattr(self, option) is not None and self.loss not in names:
                raise ValueError(f"{option} is for loss {' or '.join(names)} and cannot be used by loss {self.loss}")
        if self.classifier == "probe" and self.loss in PARTS["queue"]:
            raise ValueError(f"classifier probe cannot be used by loss {self.loss}, which trains the head itself")
        if self.loss == "rescom" and self.beta is not None and self.beta > 1:
            raise ValueError(f"beta must be from 0 to 1 for loss rescom, got {self.beta}")
        return self

    def loss_options(self) -> dict[str, Any]:
        """What the loss is called with."""
        given = {option: getattr(self, option) for option in ("tau", "chunk", *PARTS) if option != "queue"}
        return {option: value for option, value in given.items() if value is not None}


EPOCHS = 300  # where a recipe stops by its training loss, which says nothing here


def joint_methods() -> list[str]:
    """The methods that can stand beside labels: those for node-level data, and supervised contrast."""
    return sorted(["supcon", *(name for name in DEFAULTS if "node" in levels(name))])


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
    if method.lower() == "supcon":
        grace = find_recipe("grace", dataset)
        same = {name: getattr(grace, name) for name in (*TwoViews.model_fields, "hidden") if name != "reported"}
        return SupConRecipe(**{**same, "source": f"encoder, views and optimiser as for GRACE: {grace.source}"})
    recipe = find_recipe(method, dataset)
    changes = dict(BESIDE.get(method.lower(), {}))
    if "source" in changes:
        changes["source"] = f"{recipe.source}; {changes['source']}"
    if recipe.patience is not None:
        changes |= {"patience": None, "epochs": min(recipe.epochs, EPOCHS)}
    return recipe.model_copy(update={**changes, "reported": ()})


class DistillRecipe(Recipe):
    """Numbers of a student and its teacher; features are the teacher's, and so is the dataset."""

    encoder: Literal["gcn", "gat", "gatv2", "sage", "gin", "gine", "mpnn", "mlp"] = "mlp"
    """Kind of convolution of the student; mlp sees a node's own features alone."""
    channels: Annotated[tuple[Annotated[int, Field(ge=1)], ...], Field(min_length=1)] = (256,)
    """Width of each of its layers, before a linear head."""
    norm: Literal["batch", "layer", "graph", "graphnorm", "none"] = "none"
    """Normalisation after each layer."""
    act: Activation = "relu"
    """Activation after each layer."""
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.5
    """Dropout on the input of each layer but the first, and before the head."""
    epochs: Annotated[int, Field(ge=1)] = 200
    """Passes over the rows that training sees, labelled or not."""
    lr: Annotated[float, Field(gt=0)] = 0.01
    """Peak learning rate."""
    weight_decay: Annotated[float, Field(ge=0)] = 5e-4
    """Weight decay, on all parameters."""
    optimizer: Literal["adamw", "adam"] = "adam"
    """Optimiser."""

    labels: LabelShare = 1.0
    """Share of the train rows whose labels are seen."""
    ce: Annotated[float, Field(ge=0)] = 1.0
    """Weight of the labels' loss."""
    kd: Annotated[float, Field(ge=0)] = 1.0
    """Weight of the teacher's predictions."""
    crd: Annotated[float, Field(ge=0)] = 0.8
    """Weight of the teacher's embeddings."""
    temperature: Annotated[float, Field(gt=0)] = 4.0
    """Temperature of predictions."""
    tau: Annotated[float, Field(gt=0)] = 0.07
    """Temperature of embeddings."""
    form: Literal["infonce", "nce"] = "infonce"
    """Loss of embeddings: against the keys at hand, or noise-contrastive with a constant Z as in the paper."""
    negatives: Annotated[int, Field(ge=1)] | None = None
    """Rows drawn from a bank as negatives (16,384 in the paper); the other rows of the batch without it."""
    other_classes: bool = False
    """Rows of the same known class are no negatives."""
    compare: tuple[Literal["kd", "crd"], ...] = ()
    """Score students of the predictions alone, or of the embeddings alone, too."""
    error: Literal["mse", "l1"] | None = None
    """Loss of a regression; l1 where the metric is mae, else mse."""

    source: str = "default of this library, with the weights of Tian et al., 2020, arXiv:1910.10699"
    """Where the numbers come from."""


DISTILL_HIDDEN = (*SEMI_HIDDEN, "node_features", "features", "num_splits")  # the last three are the teacher's
