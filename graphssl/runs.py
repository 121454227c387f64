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

from pydantic import ValidationError
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor, nn

from graphssl.encoders import GNN, build
from graphssl.files import MARK, write_array
from graphssl.recipes import DEFAULTS, Recipe

FORMAT = 1
BLOCK = 2**24  # bytes read at a time
FILES = ("encoder.safetensors", "embeddings.npy", "history.csv")  # of each seed


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
    weights = {name: value.contiguous().cpu() for name, value in encoder.state_dict().items()}
    (folder / "encoder.safetensors").write_bytes(save(weights))  # save_file hides a full disk in an error of its own
    write_array(folder / "embeddings.npy", embeddings.numpy())
    with open(folder / "history.csv", "w", newline="", encoding="utf-8") as file:
        columns = list(dict.fromkeys(name for row in history for name in row))
        writer = csv.DictWriter(file, columns, restval="")
        writer.writeheader()
        writer.writerows(history)


def write_json(path: Path, record: dict[str, Any]) -> None:
    """Write a record as JSON, readable, no NaN."""
    path.write_text(json.dumps(record, indent=2, allow_nan=False) + "\n", encoding="utf-8")


def was_interrupted(folder: Path) -> bool:
    """Whether a run stands there that was stopped before its end."""
    try:
        return read_json(folder, MARK).get("interrupted") is True
    except ValueError:
        return False


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
    record = read_json(folder, MARK)
    _check_record(folder, record)
    seeds = [int(key) for key in record["seeds"]]
    if not seeds:
        raise ValueError(f"run: {folder} holds no trained seed")
    seed = seeds[0] if seed is None else seed
    if seed not in seeds:
        raise ValueError(f"seed: the run has seeds {', '.join(map(str, seeds))}, got {seed}")
    for name in (f"seed-{seed}/{file}" for file in FILES):
        if not (folder / name).is_file() or _digest(folder / name) != record["files"].get(name):
            raise ValueError(f"run: {folder / name} is missing or damaged (its checksum is not the one in {MARK})")
    weights = folder / f"seed-{seed}" / "encoder.safetensors"
    try:
        encoder = build(record["encoder"])
        encoder.load_state_dict(load_file(weights))
    except (SafetensorError, RuntimeError, KeyError, TypeError) as error:
        raise ValueError(f"run: {weights} does not fit the encoder in run.json: {error}") from error
    score = read_json(folder, "score.json") if (folder / "score.json").exists() else None
    return Run(folder, record["method"], record["dataset"], seed, read_recipe(record), encoder.eval(), record, score)


def _check_record(folder: Path, record: dict[str, Any]) -> None:
    if (kind := record.get("kind")) is not None:
        raise ValueError(f"run: {folder} is a {kind} run, with models that predict and no encoder alone; graphssl predict takes it")
    number = record.get("format")
    if isinstance(number, int) and number > FORMAT:
        raise ValueError(f"run: {folder} has format {number}, newer than this version of graphssl reads ({FORMAT})")
    kinds = {"format": int, "method": str, "dataset": str, "recipe": dict, "encoder": dict, "seeds": dict, "files": dict}
    wrong = [key for key, kind in kinds.items() if not isinstance(record.get(key), kind)]
    if not wrong and (record["method"] not in DEFAULTS or not all(key.isdecimal() for key in record["seeds"])):
        wrong = ["method" if record["method"] not in DEFAULTS else "seeds"]
    if wrong:
        raise ValueError(f"run: {folder} is not a run folder: its {MARK} lacks {', '.join(wrong)} as graphssl writes it")


def read_recipe(record: dict[str, Any]) -> Recipe:
    """The recipe of a ``run.json``.

    Raises:
        ValueError: a field that is unknown or out of range.
    """
    try:
        return type(DEFAULTS[record["method"]]).model_validate(record["recipe"])
    except ValidationError as error:
        problem = error.errors()[0]
        place = ".".join(str(part) for part in problem["loc"])
        raise ValueError(f"run: the recipe in {MARK} is not valid: {f'{place}: ' if place else ''}{problem['msg']}") from error


def read_json(folder: Path, name: str) -> dict[str, Any]:
    """The record in a file of a run folder.

    Raises:
        ValueError: no folder, no such file, or no record in it.
    """
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
    state = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(BLOCK):  # embeddings may be larger than memory
            state.update(block)
    return state.hexdigest()
