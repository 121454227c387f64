"""Models on disk: weights of encoder and head, and what is needed to build them again."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save

from graphssl.datasets import Dataset
from graphssl.encoders import build
from graphssl.files import MARK
from graphssl.runs import FORMAT, read_json
from graphssl.supervised.objective import Supervised

MODEL = "model.safetensors"
KINDS = ("finetune", "semi", "distill")


@dataclass(frozen=True)
class Predictor:
    """A supervised run read back: its models, which predict by their mean, and how they came about."""

    path: Path
    models: tuple[Supervised, ...]  # one a seed and split, in evaluation mode
    record: dict[str, Any]  # run.json

    @property
    def task(self) -> str:
        return str(self.record["target"]["task"])


def target_record(data: Dataset) -> dict[str, Any]:
    """What is predicted, as ``run.json`` holds it."""
    return {
        "task": data.task,
        "level": data.level,
        "metric": data.metric,
        "outputs": data.num_classes,
        "columns": columns(data),
        "classes": None if data.classes is None else list(data.classes),
    }


def columns(data: Dataset) -> list[str]:
    """Names of the columns of predictions: a target each; ``kind=red`` for a class, of two classes the second."""
    if data.task != "classification":
        return list(data.targets or (f"target_{i}" for i in range(data.num_classes)))
    name = data.targets[0] if data.targets else "class"
    names = [f"{name}={data.classes[i] if data.classes else i}" for i in range(data.num_classes)]
    return names[1:] if len(names) == 2 else names


def save_model(folder: Path, model: Supervised) -> None:
    """Write the weights of encoder and head into ``folder``."""
    weights = {name: value.contiguous().cpu() for name, value in model.state_dict().items()}
    (folder / MODEL).write_bytes(save(weights))


def load_models(path: str | Path, *, seeds: Sequence[int] | None = None) -> Predictor:
    """Read a folder that ``graphssl finetune``, ``semi`` or ``distill`` wrote.

    Args:
        path: the folder.
        seeds: whose models are read; all by default.

    Raises:
        ValueError: the folder is no such run, is of a newer format, lacks a seed, or a file of it is damaged.
    """
    folder = Path(path)
    record = read_json(folder, MARK)
    if record.get("kind") not in KINDS:
        raise ValueError(f"run: {folder} is not a fine-tuned run; graphssl finetune {folder} DATASET makes one from a pre-trained run")
    if isinstance(number := record.get("format"), int) and number > FORMAT:
        raise ValueError(f"run: {folder} has format {number}, newer than this version of graphssl reads ({FORMAT})")
    wrong = [key for key in ("encoder", "target", "parts", "files", "features") if key not in record]
    if wrong:
        raise ValueError(f"run: {folder} is damaged: its {MARK} lacks {', '.join(wrong)}")
    known = sorted({part["seed"] for part in record["parts"].values()})
    if not set(seeds or known) <= set(known):
        raise ValueError(f"seed: the run has seeds {', '.join(map(str, known))}, got {', '.join(map(str, seeds or ()))}")
    names = [name for name, part in record["parts"].items() if seeds is None or part["seed"] in seeds]
    return Predictor(folder, tuple(_load(folder, name, record) for name in names), record)


def _load(folder: Path, part: str, record: dict[str, Any]) -> Supervised:
    file = folder / part / MODEL
    if not file.is_file() or hashlib.sha256(file.read_bytes()).hexdigest() != record["files"].get(f"{part}/{MODEL}"):
        raise ValueError(f"run: {file} is missing or damaged (its checksum is not the one in {MARK})")
    target = record["target"]
    try:
        model = Supervised(build(record["encoder"]), target["task"], target["outputs"], level=target["level"])
        model.load_state_dict(load_file(file))
    except (SafetensorError, RuntimeError, KeyError, TypeError) as error:
        raise ValueError(f"run: {file} does not fit the model in {MARK}: {error}") from error
    model.eval()
    return model
