"""Run folders: what a run leaves behind, and how it is read back.

``run.json`` (recipe as it ran, environment, checksums), ``score.json``, and for each seed a folder ``seed-N`` with
``encoder.safetensors``, ``history.csv`` and ``embeddings.npy``. No pickle anywhere.
"""

from __future__ import annotations

import csv
import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import ValidationError
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from graphssl.encoders import GNN, build
from graphssl.recipes import DEFAULTS, Recipe

FORMAT = 1


@dataclass(frozen=True)
class Run:
    """A run read back: the trained encoder, ready for :func:`graphssl.embed`, and how it came about."""

    path: Path
    method: str
    dataset: str
    seed: int
    recipe: Recipe
    encoder: GNN
    record: dict[str, Any]  # run.json
    score: dict[str, Any] | None  # score.json; None where the run was stopped before it was scored

    @property
    def seeds(self) -> list[int]:
        """All seeds that the folder holds."""
        return [int(seed) for seed in self.record["seeds"]]


def save_seed(folder: Path, encoder: nn.Module, embeddings: Tensor, history: list[dict[str, Any]]) -> None:
    """Write one seed's encoder, embeddings and history into ``folder``, which is made."""
    folder.mkdir(parents=True)
    save_file({name: value.contiguous().cpu() for name, value in encoder.state_dict().items()}, folder / "encoder.safetensors")
    np.save(folder / "embeddings.npy", embeddings.numpy(), allow_pickle=False)
    with open(folder / "history.csv", "w", newline="", encoding="utf-8") as file:
        columns = list(dict.fromkeys(name for row in history for name in row))
        writer = csv.DictWriter(file, columns, restval="")
        writer.writeheader()
        writer.writerows(history)


def write_json(path: Path, record: dict[str, Any]) -> None:
    """Write a record as JSON, readable, no NaN."""
    path.write_text(json.dumps(record, indent=2, allow_nan=False) + "\n", encoding="utf-8")


def checksums(folder: Path) -> dict[str, str]:
    """SHA-256 of every file of each seed below ``folder``, by relative path."""
    files = sorted(path for path in folder.glob("seed-*/*") if path.is_file())
    return {path.relative_to(folder).as_posix(): _digest(path) for path in files}


def load_run(path: str | Path, *, seed: int | None = None) -> Run:
    """Read a run folder.

    Args:
        path: what ``graphssl train`` wrote.
        seed: which of its seeds; the first by default.

    Raises:
        ValueError: the folder is not a run, is of a newer format, lacks that seed, or a file of it is damaged.
    """
    folder = Path(path)
    record = _read_json(folder, "run.json")
    if not isinstance(record.get("seeds"), dict) or "recipe" not in record or record.get("method") not in DEFAULTS:
        raise ValueError(f"run: {folder} is not a run folder: its run.json was not written by graphssl")
    if record.get("format", 0) > FORMAT:
        raise ValueError(f"run: {folder} has format {record['format']}, newer than this version of graphssl reads ({FORMAT})")
    seeds = [int(key) for key in record["seeds"]]
    if not seeds:
        raise ValueError(f"run: {folder} holds no trained seed")
    seed = seeds[0] if seed is None else seed
    if seed not in seeds:
        raise ValueError(f"seed: the run has seeds {', '.join(map(str, seeds))}, got {seed}")
    name = f"seed-{seed}/encoder.safetensors"
    weights = folder / name
    if not weights.is_file() or _digest(weights) != record["files"].get(name):
        raise ValueError(f"run: {weights} is missing or damaged (its checksum is not the one in run.json)")
    encoder = build(record["encoder"])
    try:
        encoder.load_state_dict(load_file(weights))
    except (SafetensorError, RuntimeError) as error:
        raise ValueError(f"run: {weights} does not fit the encoder in run.json: {error}") from error
    score = _read_json(folder, "score.json") if (folder / "score.json").exists() else None
    return Run(folder, record["method"], record["dataset"], seed, read_recipe(record), encoder.eval(), record, score)


def read_recipe(record: dict[str, Any]) -> Recipe:
    """The recipe of a ``run.json``.

    Raises:
        ValueError: a field that is unknown or out of range.
    """
    try:
        return type(DEFAULTS[record["method"]]).model_validate(record["recipe"])
    except ValidationError as error:
        raise ValueError(f"run: the recipe in run.json is not valid: {error.errors()[0]['msg']}") from error


def _read_json(folder: Path, name: str) -> dict[str, Any]:
    path = folder / name
    if not folder.is_dir():
        raise ValueError(f"run: {folder} is not a folder")
    if not path.is_file():
        raise ValueError(f"run: {folder} is not a run folder: it has no {name}")
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"run: {path} is damaged: {error}") from error
    if not isinstance(record, dict):
        raise ValueError(f"run: {path} is damaged: it holds no record")
    return record


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
