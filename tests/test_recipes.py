"""Recipes: valid, buildable, and with the numbers that the papers and their code publish."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
import torch
from pydantic import ValidationError

from graphssl import Graph, fit, seeded
from graphssl.building import make
from graphssl.datasets.table import DATASETS, canonical
from graphssl.evaluation.protocols import PROTOCOLS
from graphssl.naming import nearest
from graphssl.recipes import DEFAULTS, DESCRIPTIONS, GRAPH_DEFAULTS, RECIPES, Recipe, Structured, find_method, find_recipe, is_known, levels

ALL = {f"{method} {name}": (method, name, recipe) for method, rows in RECIPES.items() for name, recipe in rows.items()}
ALL |= {f"{method} default": (method, "", recipe) for method, recipe in DEFAULTS.items()}

# What the official codes have in their configuration files.
BGRL = {  # widths, edge drop and feature mask of the first view, then of the second, lr, score, deviation
    "amazon-computers": ((256, 128), (0.5, 0.2, 0.4, 0.1), 5e-4, 90.34, 0.19),
    "amazon-photo": ((256, 128), (0.4, 0.1, 0.1, 0.2), 1e-4, 93.17, 0.30),
    "coauthor-cs": ((512, 256), (0.3, 0.3, 0.2, 0.4), 1e-5, 93.31, 0.13),
    "coauthor-physics": ((256, 128), (0.4, 0.1, 0.1, 0.4), 1e-5, 95.73, 0.05),
    "wikics": ((512, 256), (0.2, 0.2, 0.3, 0.1), 5e-4, 79.98, 0.10),
}
GRACE = {  # width, lr, activation, edges dropped, features masked, tau, epochs, score, deviation
    "cora": (128, 5e-4, "relu", (0.2, 0.4), (0.3, 0.4), 0.4, 200, 83.3, 0.4),
    "citeseer": (256, 1e-3, "prelu", (0.2, 0.0), (0.3, 0.2), 0.9, 200, 72.1, 0.5),
    "pubmed": (256, 1e-3, "relu", (0.4, 0.1), (0.0, 0.2), 0.7, 1500, 86.7, 0.1),
    "dblp": (256, 1e-3, "relu", (0.1, 0.4), (0.1, 0.0), 0.7, 1000, 84.2, 0.1),
}
DGI = {"cora": (82.3, 0.6), "citeseer": (71.8, 0.7), "pubmed": (76.8, 0.6)}


def differs(recipe: Recipe, **expected: Any) -> dict[str, Any]:
    """The fields that are not as expected, as they are."""
    return {name: getattr(recipe, name) for name, value in expected.items() if getattr(recipe, name) != value}


@pytest.mark.parametrize("name", BGRL)
def test_bgrl_is_the_official_one(name: str) -> None:
    channels, (pe1, pf1, pe2, pf2), lr, score, std = BGRL[name]
    recipe = RECIPES["bgrl"][name]
    wiki = name == "wikics"
    assert not differs(
        recipe,
        encoder="gcn",
        channels=channels,
        norm="batch",
        norm_momentum=0.99,
        act="prelu",
        last_act=True,
        drop_edges=(pe1, pe2),
        mask_features=(pf1, pf2),
        mask="column",
        directed_drop=True,
        lr=lr,
        weight_decay=1e-5,
        optimizer="adamw",
        epochs=10_000,
        warmup=0.1,  # 1,000 of 10,000 steps
        schedule="cosine",
        hidden=512,
        momentum=0.99,
        target_init="reset",
        target_buffers="own",
        features="row-normalize+standardize" if wiki else "row-normalize",
        protocol="bgrl-wikics" if wiki else "bgrl-20-80",
    )
    assert [(r.score, r.std, r.protocol) for r in recipe.reported] == [(score, std, recipe.protocol)]


@pytest.mark.parametrize("name", GRACE)
def test_grace_is_the_official_one(name: str) -> None:
    width, lr, act, drop, mask, tau, epochs, score, std = GRACE[name]
    recipe = RECIPES["grace"][name]
    assert not differs(
        recipe,
        encoder="gcn",
        channels=(2 * width, width),
        hidden=width,
        norm="none",
        act=act,
        last_act=True,
        lr=lr,
        weight_decay=1e-5,
        optimizer="adam",
        schedule="constant",
        drop_edges=drop,
        mask_features=mask,
        mask="column",
        directed_drop=True,
        tau=tau,
        intra=True,
        epochs=epochs,
        features="row-normalize",
        protocol="grace-10-90",
    )
    assert [(r.score, r.std, r.protocol) for r in recipe.reported] == [(score, std, "grace-10-90")]


@pytest.mark.parametrize("name", DGI)
def test_dgi_is_the_official_one(name: str) -> None:
    recipe = RECIPES["dgi"][name]
    assert not differs(
        recipe,
        encoder="gcn",
        channels=(512,),
        norm="none",
        act="prelu",
        lr=1e-3,
        weight_decay=0.0,
        optimizer="adam",
        patience=20,
        epochs=10_000,
        features="row-normalize",
        protocol="planetoid-public",
    )
    assert [(r.score, r.std, r.protocol) for r in recipe.reported] == [(*DGI[name], "planetoid-public")]


def level(method: str, dataset: str) -> str:
    return DATASETS[dataset].level if dataset else levels(method)[0]


# ---------------------------------------------------------------------- laws


@pytest.mark.parametrize("name", ALL)
def test_every_recipe_is_valid(name: str) -> None:
    """``model_copy`` checks nothing, so that a wrong number could stand in the tables."""
    _, dataset, recipe = ALL[name]
    assert type(recipe).model_validate(recipe.model_dump()) == recipe
    assert type(recipe).model_validate_json(recipe.model_dump_json()) == recipe
    assert recipe.protocol in PROTOCOLS
    assert all(reported.protocol in PROTOCOLS for reported in recipe.reported)
    assert recipe.source
    assert not dataset or dataset in DATASETS
    for reported in recipe.reported:
        assert 0 < reported.score <= 100
        assert reported.where
    if not recipe.reported and dataset:
        assert "default" in recipe.source, "numbers that nobody published must say so"


@pytest.mark.parametrize("name", [name for name, (method, dataset, _) in ALL.items() if level(method, dataset) == "node"])
def test_every_recipe_builds_and_runs(name: str) -> None:
    """Those of whole graphs take their steps in ``test_complete``."""
    method, _, recipe = ALL[name]
    with seeded(0):
        x = torch.rand(12, 7)
        graph = Graph.of((x, torch.randint(12, (2, 40))))
        objective = make(method, recipe, 7)
    history = fit(objective, graph, epochs=2, lr=recipe.lr)
    assert len(history) == 2
    copies = len(recipe.structures) if isinstance(recipe, Structured) else 1
    assert objective.encoder(graph).shape == (12, copies * recipe.channels[-1])


def test_each_method_is_in_every_table() -> None:
    assert set(RECIPES) == set(DEFAULTS) == set(DESCRIPTIONS)
    assert set(GRAPH_DEFAULTS) <= set(DEFAULTS)
    assert all(type(recipe) is type(DEFAULTS[method]) for method, recipe in GRAPH_DEFAULTS.items())
    for method, text in DESCRIPTIONS.items():
        assert "arXiv:" in text
        assert {type(recipe) for recipe in RECIPES[method].values()} <= {type(DEFAULTS[method])}


def test_defaults_say_that_they_are() -> None:
    for method, recipe in DEFAULTS.items():
        assert recipe.source.startswith("default"), method
        assert recipe.reported == ()


@pytest.mark.parametrize("method", RECIPES)
def test_every_dataset_has_a_recipe_that_fits_its_splits(method: str) -> None:
    for name, entry in DATASETS.items():
        if entry.level not in levels(method):
            with pytest.raises(ValueError, match=f"method {method} is for .*level data, and {name} is {entry.level}-level"):
                find_recipe(method, name)
            continue
        protocol = PROTOCOLS[find_recipe(method, name).protocol]
        if entry.splits.startswith("20 random"):
            assert protocol.draw != "dataset", name
        if entry.level == "graph":
            assert (protocol.draw == "dataset") == entry.molecules, name
        if name in ("actor", "cornell", "squirrel", "roman-empire"):
            assert protocol.name == "fixed"
        if entry.parts or name == "ppi":
            assert protocol.draw == "dataset", f"{name} is inductive: the probe must not mix its graphs"


def test_names_of_recipes() -> None:
    assert find_recipe("BGRL", "Amazon_Photo") is RECIPES["bgrl"]["amazon-photo"]
    assert find_recipe("grace", "photo") is RECIPES["grace"][canonical("photo")]
    own = find_recipe("dgi", "folder/mine.npz")
    assert own.protocol == "fixed"
    assert own.reported == ()
    assert find_recipe("dgi", "texas").protocol == "fixed"
    assert find_recipe("dgi", "reed98").protocol == "random-10-10-80"
    assert [is_known(name) for name in ("cora", "mine.npz", "a/b", "a\\b")] == [True, False, False, False]
    with pytest.raises(ValueError, match=r"unknown method 'grcae' \(did you mean 'grace'\?\); known: .*bgrl, .*dgi, .*grace, "):
        find_method("grcae")
    with pytest.raises(ValueError, match="did you mean citeseer"):
        find_recipe("bgrl", "citeser")
    assert "did you mean" not in str(nearest("thing", "qqqq", ["abc"]))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"epochs": 0}, "greater than or equal to 1"),
        ({"epochs": 1.5}, "integer"),
        ({"lr": 0}, "greater than 0"),
        ({"lr": "fast"}, "number"),
        ({"lr": float("nan")}, "finite number"),
        ({"lr": float("inf")}, "finite number"),
        ({"weight_decay": -1e-5}, "greater than or equal to 0"),
        ({"dropout": 1.0}, "less than 1"),
        ({"warmup": 1.0}, "less than 1"),
        ({"channels": ()}, "at least 1 item"),
        ({"channels": (8, 0)}, "greater than or equal to 1"),
        ({"norm_momentum": 1.1}, "less than or equal to 1"),
        ({"drop_edges": (0.5, 1.01)}, "less than or equal to 1"),
        ({"drop_edges": (0.5,)}, "required"),
        ({"momentum": -0.1}, "greater than or equal to 0"),
        ({"patience": 0}, "greater than or equal to 1"),
        ({"clip": 0}, "greater than 0"),
        ({"num_splits": 0}, "greater than or equal to 1"),
        ({"encoder": "gcnn"}, "'gcn', 'gat'"),
        ({"act": "swish"}, "'relu'"),
        ({"jk": "sum"}, "'last'"),
        ({"optimizer": "sgd"}, "'adamw'"),
        ({"learning_rate": 1e-3}, "Extra inputs are not permitted"),
        ({"heads": 2}, "heads is for encoder gat or gatv2 and cannot be used by encoder gcn"),
        ({"attention_dropout": 0.1, "encoder": "sage"}, "attention_dropout is for encoder gat or gatv2 and cannot be used by encoder sage"),
        ({"aggregation": "mean"}, "aggregation is for encoder sage and cannot be used by encoder gcn"),
        ({"encoder": "gat", "heads": 3, "channels": (6, 8)}, r"heads must divide .* got heads 3 and channels \[6, 8\]"),
        ({"encoder": "gat", "channels": (6,)}, r"got heads 4 and channels \[6\]"),
        ({"jk": "max", "channels": (8, 4)}, r"jk max needs layers of equal width, got channels \[8, 4\]"),
        ({"jk": "lstm", "channels": (8, 4)}, "jk lstm needs layers of equal width"),
        ({"skip": "dense", "channels": (8, 4)}, "skip dense needs layers of equal width"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, dict) else "",
)
def test_what_cannot_be_is_refused(changes: dict[str, Any], message: str) -> None:
    given = DEFAULTS["bgrl"].model_dump()
    type(DEFAULTS["bgrl"]).model_validate(given)
    with pytest.raises(ValidationError, match=message):
        type(DEFAULTS["bgrl"]).model_validate({**given, **changes})


def test_recipes_cannot_be_changed() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        RECIPES["bgrl"]["cora"].lr = 1.0  # type: ignore[misc]


def test_options_of_the_encoder_follow_the_recipe() -> None:
    recipe = DEFAULTS["bgrl"].model_validate(
        {**DEFAULTS["bgrl"].model_dump(), "encoder": "gat", "heads": 2, "channels": (8, 6), "last_act": False, "dropout": 0.3, "jk": "cat"}
    )
    assert recipe.encoder_options() == {
        "channels": [8, 6],
        "act": ["prelu", "none"],
        "norm": "batch",
        "norm_momentum": 0.99,
        "dropout": 0.3,
        "skip": "none",
        "jk": "cat",
        "weight_standardization": False,
        "input_dropout": 0.0,
        "order": "norm-act",
        "input": None,
        "virtual_node": False,
        "readout": "mean",
        "heads": 2,
    }


def test_recipes_import_no_torch() -> None:
    code = "import sys, graphssl.recipes; assert not {'torch', 'numpy', 'scipy', 'numba', 'torch_geometric'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=300)
