"""Run folders: what is saved comes back, exactly, or with a clear message."""

from __future__ import annotations

import csv
import json
import pickletools
from pathlib import Path

import numpy as np
import pytest
import torch

from graphssl import GCN, embed, load, load_run, seeded
from graphssl.building import make
from graphssl.encoders import build
from graphssl.pipeline import run as run_pipeline
from graphssl.recipes import DEFAULTS
from graphssl.runs import FORMAT, checksums, read_recipe, save_seed, write_json

RECIPE = {"epochs": 3, "protocol": "fixed", "channels": (8, 4)}
ENCODERS = {
    "gcn": {},
    "gat": {"encoder": "gat", "heads": 2, "attention_dropout": 0.1},
    "gatv2": {"encoder": "gatv2"},
    "sage": {"encoder": "sage", "aggregation": "max", "norm": "layer", "jk": "cat"},
    "gin": {"encoder": "gin", "norm": "graphnorm", "skip": "residual", "last_act": False},
    "standardised": {"weight_standardization": True, "norm": "graph", "jk": "lstm", "channels": (8, 8)},
}


@pytest.mark.parametrize("name", ENCODERS)
def test_what_is_trained_comes_back_ready_to_embed(name: str, tmp_path: Path) -> None:
    recipe = DEFAULTS["bgrl"].model_validate({**DEFAULTS["bgrl"].model_dump(), **RECIPE, **ENCODERS[name]})
    out = tmp_path / "run"
    score = run_pipeline("bgrl", "karate", recipe, out=out, seeds=(4, 2))
    for seed in (4, 2):
        found = load_run(out, seed=seed)
        assert (found.path, found.method, found.dataset, found.seed, found.seeds) == (out, "bgrl", "karate", seed, [4, 2])
        assert found.recipe == recipe
        assert type(found.recipe) is type(recipe)
        assert found.score == score
        assert not found.encoder.training
        data = load("karate").preprocess(recipe.features)
        assert np.array_equal(embed(found.encoder, data).numpy(), np.load(out / f"seed-{seed}" / "embeddings.npy"))
        with seeded(seed):
            fresh = make("bgrl", recipe, data.num_features).encoder
        assert [(k, v.shape, v.dtype) for k, v in found.encoder.state_dict().items()] == [
            (k, v.shape, v.dtype) for k, v in fresh.state_dict().items()
        ]
        assert not torch.equal(embed(fresh, data), embed(found.encoder, data))
    assert load_run(str(out)).seed == 4
    with pytest.raises(ValueError, match="seed: the run has seeds 4, 2, got 0"):
        load_run(out, seed=0)


def test_no_file_of_a_run_is_a_pickle(tmp_path: Path) -> None:
    recipe = DEFAULTS["dgi"].model_copy(update={"epochs": 1, "channels": (4,), "protocol": "fixed"})
    run_pipeline("dgi", "karate", recipe, out=tmp_path / "run")
    for file in (tmp_path / "run").rglob("*"):
        if file.is_file():
            with pytest.raises((ValueError, IndexError)):
                pickletools.dis(file.read_bytes(), out=open("/dev/null", "w"))  # noqa: SIM115


def test_history_keeps_columns_that_come_later(tmp_path: Path) -> None:
    z = torch.arange(6.0).reshape(3, 2)
    history = [{"step": 1, "loss": 0.5}, {"step": 2, "loss": 0.25, "rank": 2.0}]
    save_seed(tmp_path / "seed-0", GCN(3, [2]), z, history)
    with open(tmp_path / "seed-0" / "history.csv", newline="") as file:
        assert list(csv.DictReader(file)) == [{"step": "1", "loss": "0.5", "rank": ""}, {"step": "2", "loss": "0.25", "rank": "2.0"}]
    assert np.array_equal(np.load(tmp_path / "seed-0" / "embeddings.npy"), z.numpy())


def test_checksums_are_of_every_file(tmp_path: Path) -> None:
    for seed in (0, 1):
        save_seed(tmp_path / f"seed-{seed}", GCN(3, [2]), torch.zeros(1, 2), [])
    before = checksums(tmp_path)
    assert sorted(before) == [f"seed-{s}/{name}" for s in (0, 1) for name in ("embeddings.npy", "encoder.safetensors", "history.csv")]
    assert before["seed-0/embeddings.npy"] == before["seed-1/embeddings.npy"]
    assert before["seed-0/encoder.safetensors"] != before["seed-1/encoder.safetensors"]
    (tmp_path / "seed-1" / "history.csv").write_text("x")
    assert {name for name, digest in checksums(tmp_path).items() if before[name] != digest} == {"seed-1/history.csv"}


def test_json_has_no_nan(tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", {"a": 0.1 + 0.2, "b": None, "c": "±"})
    assert json.loads((tmp_path / "a.json").read_text(encoding="utf-8")) == {"a": 0.1 + 0.2, "b": None, "c": "±"}
    with pytest.raises(ValueError, match="JSON"):
        write_json(tmp_path / "b.json", {"a": float("nan")})
    assert not (tmp_path / "b.json").exists()


def test_a_recipe_of_a_run_is_checked() -> None:
    recipe = DEFAULTS["grace"]
    assert read_recipe({"method": "grace", "recipe": json.loads(recipe.model_dump_json())}) == recipe
    with pytest.raises(ValueError, match=r"run: the recipe in run\.json is not valid: tau: Input should be greater than 0"):
        read_recipe({"method": "grace", "recipe": {"tau": 0}})
    with pytest.raises(ValueError, match="hidden: Extra inputs"):
        read_recipe({"method": "dgi", "recipe": {"hidden": 3}})


def test_an_encoder_of_another_shape_is_refused(tmp_path: Path) -> None:
    """Weights whole, but not those of the encoder that run.json tells of."""
    save_seed(tmp_path / "seed-0", build({"name": "gcn", "in_channels": 3, "channels": [4]}), torch.zeros(1, 4), [])
    record = {
        "format": FORMAT,
        "method": "dgi",
        "dataset": "karate",
        "recipe": DEFAULTS["dgi"].model_dump(mode="json"),
        "encoder": {"name": "gcn", "in_channels": 3, "channels": [4]},
        "seeds": {"0": {}},
        "files": checksums(tmp_path),
    }
    write_json(tmp_path / "run.json", record)
    assert load_run(tmp_path).score is None
    for other in ({"in_channels": 4}, {"channels": [5]}, {"channels": [4, 4]}, {"name": "gin"}):
        write_json(tmp_path / "run.json", {**record, "encoder": {**record["encoder"], **other}})
        with pytest.raises(ValueError, match=r"does not fit the encoder in run\.json"):
            load_run(tmp_path)
    write_json(tmp_path / "run.json", {**record, "encoder": {**record["encoder"], "name": "transformer"}})
    with pytest.raises(ValueError, match="encoder must be one of"):
        load_run(tmp_path)
