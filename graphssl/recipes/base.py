"""Recipe: every number that decides a run, checked before anything is loaded; imports no torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from graphssl.naming import nearest

Share = Annotated[float, Field(ge=0, le=1)]
Activation = Literal["relu", "prelu", "rrelu", "elu", "leaky-relu", "gelu", "tanh", "none"]

ONLY_FOR: dict[str, tuple[str, ...]] = {
    "heads": ("gat", "gatv2"),
    "attention_dropout": ("gat", "gatv2"),
    "aggregation": ("sage",),
    "expansion": ("gin", "gine"),
    "mlp_norm": ("gin", "gine"),
    "edge_hidden": ("mpnn",),
}

TAKEN: dict[str, tuple[str, ...]] = {  # by each kind of batches
    "whole": ("batch_size",),
    "neighbours": ("batch_size", "fan_out", "loss_on"),
    "partitions": ("num_parts", "parts_per_batch"),
    "walks": ("batch_size", "walk_length", "loss_on"),
    "egos": ("batch_size", "fan_out", "loss_on"),
}

SHARED = (
    "norm",
    "norm_momentum",
    "dropout",
    "input_dropout",
    "skip",
    "jk",
    "weight_standardization",
    "order",
    "input",
    "virtual_node",
    "readout",
)  # fields that every encoder takes


class Reported(BaseModel, frozen=True, extra="forbid"):
    """A published score, in per cent."""

    score: float
    std: float | None = None
    protocol: str  # the protocol of ours that it compares with
    where: str


class Recipe(BaseModel):
    """What every method shares: encoder, training, features, evaluation. A method's own numbers are in its subclass."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, use_attribute_docstrings=True)
    molecules: ClassVar[dict[str, Any]] = {}  # what else changes in a graph-level default where nodes are atoms

    encoder: Literal["gcn", "gat", "gatv2", "sage", "gin", "gine", "mpnn", "mlp"] = "gcn"
    """Kind of convolution."""
    channels: Annotated[tuple[Annotated[int, Field(ge=1)], ...], Field(min_length=1)] = (512, 256)
    """Width of each layer."""
    norm: Literal["batch", "layer", "graph", "graphnorm", "none"] = "batch"
    """Normalisation after each convolution."""
    norm_momentum: Share = 0.1
    """Batch norm: share of the newest batch in the running statistics."""
    act: Activation = "prelu"
    """Activation after each layer."""
    last_act: bool = True
    """Also after the last layer."""
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Dropout on the input of each layer but the first."""
    input_dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Dropout on the input of the first layer, the features."""
    skip: Literal["none", "residual", "dense"] = "none"
    """Skip connections."""
    jk: Literal["last", "cat", "max", "lstm"] = "last"
    """Jumping knowledge: how the layers' outputs become the embedding."""
    weight_standardization: bool = False
    """Standardise the weights of all layers but the first."""
    heads: Annotated[int, Field(ge=1)] | None = None
    """Attention heads (gat, gatv2; 4 by default)."""
    attention_dropout: Annotated[float, Field(ge=0, lt=1)] | None = None
    """Dropout on attention weights (gat, gatv2)."""
    aggregation: Literal["mean", "max"] | None = None
    """How neighbours are put together (sage; mean by default)."""
    expansion: Annotated[int, Field(ge=1)] | None = None
    """Hidden width of each layer's MLP, in multiples of its output (gin, gine; 1 by default)."""
    mlp_norm: bool | None = None
    """Batch norm inside each layer's MLP (gin, gine; not by default)."""
    edge_hidden: Annotated[int, Field(ge=1)] | None = None
    """Width of the hidden layer of the edge network (mpnn; 128 by default)."""
    order: Literal["norm-act", "act-norm"] = "norm-act"
    """Whether the normalisation or the activation comes first."""
    input: Annotated[int, Field(ge=1)] | None = None
    """Width of a linear map of the features before the first layer (of categorical ones: the sum of their embeddings)."""
    virtual_node: bool = False
    """A node joined to all nodes of its graph; needs input, and layers of its width."""
    readout: Literal["mean", "sum", "max", "attention", "set2set"] = "mean"
    """How nodes become a graph's embedding."""

    node_features: Literal["auto", "labels", "attributes", "labels+attributes", "labels+degree", "degree", "ones"] = "auto"
    """What nodes carry in sets of many graphs that leave the choice; auto: labels, else attributes, else degrees."""
    features: Literal["none", "row-normalize", "standardize", "row-normalize+standardize"] = "none"
    """What is done to the input features."""
    batches: Literal["whole", "neighbours", "partitions", "walks", "egos"] = "whole"
    """What a step sees of one large graph: all of it, sampled neighbours of seeds, parts of it, random walks, or ego graphs of seeds."""
    batch_size: Annotated[int, Field(ge=1)] | None = None
    """Graphs a step, of several (all by default); seeds, or roots of walks, where one is sampled (1024 by default)."""
    fan_out: Annotated[tuple[Annotated[int, Field(ge=-1)], ...], Field(min_length=1)] | None = None
    """Neighbours drawn for each node, a number a hop (neighbours, egos; 10 a layer by default); -1 takes all."""
    num_parts: Annotated[int, Field(ge=1)] | None = None
    """Parts the graph is cut into (partitions; by default so many that a part has about 4,096 nodes)."""
    parts_per_batch: Annotated[int, Field(ge=1)] | None = None
    """Parts that a step sees together (partitions; 1 by default)."""
    walk_length: Annotated[int, Field(ge=1)] | None = None
    """Steps of each random walk (walks; by default as many as layers)."""
    loss_on: Literal["seeds", "all"] | None = None
    """Whose embeddings the loss takes: the seeds' (by default; walks: all), or those of all nodes of the batch."""
    inductive: bool = False
    """At graph level: train on the graphs of the split's train part alone; the split must be a single one."""

    epochs: Annotated[int, Field(ge=1)] = 1000
    """Passes over the training graphs."""
    lr: Annotated[float, Field(gt=0)] = 1e-3
    """Peak learning rate."""
    weight_decay: Annotated[float, Field(ge=0)] = 0.0
    """Weight decay, on all parameters."""
    optimizer: Literal["adamw", "adam"] = "adamw"
    """Optimiser."""
    warmup: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Share of all steps in which the learning rate rises from 0."""
    schedule: Literal["cosine", "constant"] = "constant"
    """Learning rate after warm-up."""
    patience: Annotated[int, Field(ge=1)] | None = None
    """Stop after so many epochs without a better training loss, and keep the best."""
    clip: Annotated[float, Field(gt=0)] | None = None
    """Largest norm of the gradient."""
    precision: Literal["float32", "bf16"] = "float32"
    """bf16 runs matrix products under autocast."""

    protocol: str = "random-10-10-80"
    """Evaluation protocol."""
    num_splits: Annotated[int, Field(ge=1)] | None = None
    """Splits to score, where the protocol draws them; its own number by default."""

    source: str = "default of this library; no published recipe"
    """Where the numbers come from."""
    reported: tuple[Reported, ...] = ()
    """Published scores to compare with."""

    @model_validator(mode="after")
    def _fits_batches(self) -> Recipe:
        for field in dict.fromkeys(field for fields in TAKEN.values() for field in fields):
            if getattr(self, field) is not None and field not in TAKEN[self.batches]:
                able = " or ".join(kind for kind, fields in TAKEN.items() if field in fields)
                raise ValueError(f"{field} is for batches {able} and cannot be used by batches {self.batches}")
        if self.batches == "neighbours" and len(self.fan_out or ()) > len(self.channels):
            raise ValueError(f"fan_out has {len(self.fan_out or ())} hops, and the encoder only {len(self.channels)} layers")
        if self.fan_out is not None and 0 in self.fan_out:
            raise ValueError(f"fan_out must hold positive numbers, or -1 for all neighbours, got {list(self.fan_out)}")
        return self

    @model_validator(mode="after")
    def _fits_encoder(self) -> Recipe:
        for field, encoders in ONLY_FOR.items():
            if getattr(self, field) is not None and self.encoder not in encoders:
                raise ValueError(f"{field} is for encoder {' or '.join(encoders)} and cannot be used by encoder {self.encoder}")
        if self.jk in ("max", "lstm") and len(set(self.channels)) > 1:
            raise ValueError(f"jk {self.jk} needs layers of equal width, got channels {list(self.channels)}")
        if self.skip == "dense" and len(set(self.channels)) > 1:
            raise ValueError(f"skip dense needs layers of equal width, got channels {list(self.channels)}")
        if self.virtual_node and (self.input is None or {self.input} != set(self.channels)):
            raise ValueError(
                f"virtual_node needs input and layers of that width, got input {self.input} and channels {list(self.channels)}"
            )
        if self.encoder == "mpnn" and (
            len({*self.channels, self.input or self.channels[0]}) > 1
            or self.virtual_node
            or self.skip != "none"
            or self.weight_standardization
        ):
            raise ValueError(
                f"encoder mpnn needs channels of one width (once for each step), and input if given, got channels {list(self.channels)}; "
                "it has no virtual_node, skip and weight_standardization"
            )
        heads = self.heads or 4
        if self.encoder in ONLY_FOR["heads"] and any(width % heads for width in self.channels):
            raise ValueError(f"heads must divide the width of each layer, got heads {heads} and channels {list(self.channels)}")
        return self

    def encoder_options(self) -> dict[str, Any]:
        """Keyword arguments of the encoder, and its widths."""
        acts = [self.act] * len(self.channels)
        if not self.last_act:
            acts[-1] = "none"
        shared = {name: getattr(self, name) for name in SHARED}
        own = {name: getattr(self, name) for name in ONLY_FOR if getattr(self, name) is not None}
        return {"channels": list(self.channels), "act": acts, **shared, **own}


def changed(recipe: Recipe, given: Mapping[str, Any]) -> Recipe:
    """A recipe with other numbers: checked, and its source says which; what it says of its own encoder or batches goes with them.

    Raises:
        ValueError: a field that it does not have, or a value out of range.

    Example:
        >>> changed(Recipe(encoder="gat", heads=2), {"encoder": "gcn"}).heads is None
        True
    """
    fields = type(recipe).model_fields
    for name in given:
        if name not in fields:
            raise nearest("field of the recipe", name, [field for field in fields if field not in ("source", "reported")])
    found = {**{name: getattr(recipe, name) for name in fields}, **given}
    dropped = [name for name, encoders in ONLY_FOR.items() if found["encoder"] not in encoders]
    if found["batches"] != recipe.batches:
        dropped += {field for kinds in TAKEN.values() for field in kinds} - set(TAKEN[found["batches"]])
    found |= {name: None for name in dropped if name not in given}
    names = [name for name in fields if name not in ("source", "reported") and found[name] != getattr(recipe, name)]
    source = f"{recipe.source}; changed: {', '.join(names)}" if names else recipe.source
    return type(recipe).model_validate({**found, "source": source})


Pair = tuple[Share, Share]


class TwoViews(Recipe):
    """A recipe with two augmented views; each number is for the first and the second."""

    drop_edges: Pair = (0.2, 0.2)
    """Probability that an edge is dropped, in each view."""
    mask_features: Pair = (0.2, 0.2)
    """Probability that a feature is masked, in each view."""
    mask: Literal["column", "entry", "node"] = "column"
    """What a masking coin is for."""
    directed_drop: bool = False
    """A coin for each direction of an edge, as the official codes do."""
    adaptive: Literal["none", "degree", "pagerank", "eigenvector"] = "none"
    """Drop and mask by this centrality (GCA) instead of evenly."""
    add_edges: Pair = (0.0, 0.0)
    """Random edges added, as a share of those there, in each view."""
    drop_nodes: Pair = (0.0, 0.0)
    """Probability that a node is dropped, in each view."""

    @model_validator(mode="after")
    def _fits_views(self) -> TwoViews:
        if self.adaptive != "none" and self.mask != "column":
            raise ValueError(f"mask {self.mask} cannot be used with adaptive {self.adaptive}, which masks columns")
        return self


class Diffused(Recipe):
    """A recipe with two encoders, of which the second sees the graph's diffusion."""

    diffusion: Literal["ppr", "heat"] = "ppr"
    """Kind of diffusion: personalised PageRank, or the heat kernel at time 5."""
    alpha: Annotated[float, Field(gt=0, le=1)] = 0.2
    """Teleport probability of ppr."""
    top_k: Annotated[int, Field(ge=1)] | None = 64
    """Strongest diffused edges into each node; None keeps all."""

    @model_validator(mode="after")
    def _fits_diffusion(self) -> Diffused:
        if self.encoder == "gine":
            raise ValueError("encoder gine needs edge attributes, which diffusion does not keep; gin does without")
        return self

    def encoder_options(self) -> dict[str, Any]:
        """Keyword arguments of the encoders, their widths, and the second view."""
        return {**super().encoder_options(), "diffusion": {"kind": self.diffusion, "alpha": self.alpha, "top_k": self.top_k}}


class Structured(Recipe):
    """A recipe with one encoder for each of several views of the structure."""

    structures: Annotated[tuple[Literal["adjacency", "ppr", "heat", "similar", "features"], ...], Field(min_length=2)] = (
        "adjacency",
        "ppr",
        "similar",
        "features",
    )
    """What each encoder sees: the edges, their diffusion, the nearest neighbours by features, or the features alone (an MLP)."""
    merge: Literal["cat", "mean"] = "cat"
    """How what the encoders make of a node becomes its embedding."""
    alpha: Annotated[float, Field(gt=0, le=1)] = 0.2
    """Teleport probability of ppr."""
    time: Annotated[float, Field(ge=0)] = 5.0
    """Time of heat."""
    top_k: Annotated[int, Field(ge=1)] | None = 64
    """Strongest diffused edges into each node; None keeps all."""
    neighbours: Annotated[int, Field(ge=1)] = 10
    """Nearest neighbours of similar."""

    @model_validator(mode="after")
    def _fits_structures(self) -> Structured:
        if self.encoder == "gine" or self.encoder == "mpnn":
            raise ValueError(f"encoder {self.encoder} needs edge attributes, which views of the structure do not keep; gin does without")
        return self

    def encoder_options(self) -> dict[str, Any]:
        """Keyword arguments of the encoders, their widths, and the views."""
        views = {"kinds": list(self.structures), "merge": self.merge, "alpha": self.alpha, "time": self.time}
        return {**super().encoder_options(), "structures": {**views, "top_k": self.top_k, "neighbours": self.neighbours}}


class GraphViews(Recipe):
    """A recipe with the augmentations of GraphCL, each of a share of each graph."""

    strength: Share = 0.1
    """Share of a graph's nodes that is dropped or masked, or of its edges that is dropped."""
    subgraph: Annotated[float, Field(gt=0, le=1)] = 0.2
    """Share of a graph's nodes that a subgraph keeps."""
    fill: Literal["zero", "noise", "mean"] = "noise"
    """What masked nodes carry: zeros, normal noise of mean and deviation 0.5, or the mean of their graph."""


class OneView(GraphViews):
    """A recipe that compares a graph with an augmented view of it, or two such views."""

    augmentation: Literal["drop-nodes", "drop-edges", "subgraph", "mask-nodes", "random2", "random3", "random4"] = "random4"
    """The augmentation; a random one is drawn for each graph: of dropped nodes and subgraphs, with dropped edges, with masked nodes."""
    augmented: Literal["second", "both"] = "second"
    """Whether the first view is the graph as it is, or augmented too."""
