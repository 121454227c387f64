"""Estimators as run folders: what ``graphssl train`` writes, with the estimator's parameters and its classifier beside."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import torch
from safetensors.torch import load_file, save

from graphssl.environment import environment
from graphssl.evaluation.fitting import Probe
from graphssl.evaluation.logistic import Fit
from graphssl.evaluation.rows import Scaler
from graphssl.files import folder_written
from graphssl.runs import FORMAT, checksums, load_run, save_seed, write_json

if TYPE_CHECKING:
    from graphssl.estimator import GraphSSL

T = TypeVar("T", bound="GraphSSL")
PROBE = "probe.safetensors"


def save_estimator(model: GraphSSL, path: Path, *, force: bool) -> None:
    """Write a fitted estimator as a run folder."""
    seed = model.seed_
    last = model.history_[-1]
    told = {name: value for name, value in model.get_params().items() if name != "graph" and _is_plain(value)}
    record: dict[str, Any] = {
        "format": FORMAT,
        "method": model.method_,
        "dataset": "own",
        "root": None,
        "setting": "transductive",
        "interrupted": False,
        "recipe": model.recipe_.model_dump(mode="json"),
        "encoder": model.encoder_config_,
        "data": model.data_,
        "seeds": {str(seed): {"epochs": last["epoch"], "steps": last["step"], "loss": last["loss"]}},
        "environment": environment(),
        "ended": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "estimator": {"params": told, "level": model.level_, "by_name": model.by_name_, "ids": _names(model.ids_)},
    }
    with folder_written(path, force=force) as folder:
        save_seed(folder / f"seed-{seed}", model.encoder_, torch.from_numpy(model.embedding_), model.history_)
        probe = getattr(model, "probe_", None)
        if probe is not None:
            (folder / f"seed-{seed}" / PROBE).write_bytes(save(_tensors(probe)))
            record["estimator"]["classifier"] = {
                "classes": [_plain(name) for name in model.classes_],  # type: ignore[attr-defined]
                "words": bool(model.classes_.dtype.kind in "OUS"),  # type: ignore[attr-defined]
                "scale": probe.scaler.scale,
                "selected": probe.selected,
                "converged": probe.converged,
                "temperature": model.temperature_,  # type: ignore[attr-defined]
                "certainty": model.certainty_,  # type: ignore[attr-defined]
                "one_vs_rest": model.one_vs_rest_,  # type: ignore[attr-defined]
            }
        record["files"] = checksums(folder)
        write_json(folder / "run.json", record)


def open_estimator(cls: type[T], path: Path) -> T:
    """Read a run folder as an estimator.

    Raises:
        ValueError: it is none, is damaged, or holds no classifier where one is asked for.
    """
    found = load_run(path)
    record = found.record.get("estimator", {})
    params = {name: tuple(value) if isinstance(value, list) else value for name, value in record.get("params", {}).items()}
    make: Callable[..., T] = cls
    model = make(**(params or {"method": found.method, "random_state": found.seed}))
    folder = path / f"seed-{found.seed}"
    model.method_, model.recipe_, model.seed_ = found.method, found.recipe, found.seed
    model.encoder_, model.encoder_config_ = found.encoder, found.record["encoder"]
    model.embedding_ = np.load(folder / "embeddings.npy", allow_pickle=False)
    model.n_features_in_, model._n_features_out = int(found.record["encoder"]["in_channels"]), model.embedding_.shape[1]
    model.level_, model.by_name_ = record.get("level", "node"), record.get("by_name", False)
    model.ids_ = None if record.get("ids") is None else tuple(tuple(name) if isinstance(name, list) else name for name in record["ids"])
    model.n_rows_ = len(model.embedding_)
    model.data_ = found.record.get("data", {})
    with open(folder / "history.csv", newline="", encoding="utf-8") as file:
        model.history_ = [{key: json.loads(cell) for key, cell in row.items() if cell} for row in csv.DictReader(file)]
    if hasattr(cls, "predict_proba"):
        kept = record.get("classifier")
        if kept is None:
            raise ValueError(f"run: {path} holds an encoder and no classifier; GraphSSL.load reads it")
        _open_classifier(model, folder / PROBE, kept)
    return model


# ---------------------------------------------------------------------- helpers


def _open_classifier(model: Any, file: Path, kept: dict[str, Any]) -> None:
    held = load_file(file)
    scaler = Scaler(kept["scale"], held.get("mean"), held.get("factor"))
    fit = Fit(held["coef"], held["intercept"], torch.tensor([kept["converged"]]))
    model.probe_ = Probe(fit, scaler, held["numbers"], kept["selected"], kept["converged"])
    model.classes_ = np.array(kept["classes"], dtype=object if kept["words"] else None)
    model.temperature_, model.certainty_, model.one_vs_rest_ = kept["temperature"], kept["certainty"], kept["one_vs_rest"]


def _tensors(probe: Any) -> dict[str, torch.Tensor]:
    found = {"coef": probe.fit.coef, "intercept": probe.fit.intercept, "mean": probe.scaler.mean, "factor": probe.scaler.factor}
    return {name: value.contiguous() for name, value in {**found, "numbers": probe.classes}.items() if value is not None}


def _names(ids: Any) -> list[Any] | None:
    return None if ids is None else [_plain(name) for name in ids]


def _plain(value: Any) -> Any:
    value = value.item() if isinstance(value, np.generic) else value
    return value if _is_plain(value) else str(value)


def _is_plain(value: Any) -> bool:
    try:
        json.dumps(value, allow_nan=False)
    except (TypeError, ValueError):
        return False
    return True
