"""The numbers of a fine-tuning, checked before anything is loaded; imports no torch."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

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
