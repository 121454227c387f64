"""A loss by its name: in the table, for GRACE, in its recipe and in the command; the default is what it was, bit for bit."""

from __future__ import annotations

import ast
import inspect
import json
from functools import partial
from pathlib import Path

import graphs
import pytest
import torch
from pydantic import ValidationError

import graphssl as gs
from graphssl import GCN, GRACE, DropEdges, Graph, fit, losses, seeded
from graphssl.cli import main
from graphssl.losses.table import LOSSES, of_views
from graphssl.recipes import find_recipe

VIEWS = [name for name, line in LOSSES.items() if line.takes == "views"]
LABELS = [name for name, line in LOSSES.items() if line.takes == "labels"]


@pytest.fixture
def g() -> Graph:
    return graphs.path(12).with_x(torch.eye(12))


def objective(**options: object) -> GRACE:
    with seeded(0):
        return GRACE(GCN(12, [8], norm="none"), (DropEdges(0.2), DropEdges(0.4)), hidden=8, **options)  # type: ignore[arg-type]


def history(g: Graph, **options: object) -> list[float]:
    return [float(loss) for loss in fit(objective(**options), g, epochs=3, lr=0.1, seed=0).loss]


@pytest.mark.parametrize("name", VIEWS)
def test_each_loss_of_two_views_trains(name: str, g: Graph) -> None:
    assert len(set(history(g, loss=name))) == 3
    parameters = inspect.signature(getattr(losses, name.replace("-", "_"))).parameters
    needed = [key for key, p in parameters.items() if p.default is p.empty]
    assert needed == ["u", "v"]


@pytest.mark.parametrize("name", LABELS)
def test_labels_are_an_argument(name: str) -> None:
    assert "y" in inspect.signature(getattr(losses, name.replace("-", "_"))).parameters


def test_a_name_is_the_function_with_its_numbers(g: Graph) -> None:
    assert history(g, loss="dcl", tau=0.2) == history(g, loss=partial(gs.losses.dcl, tau=0.2, chunk=2048))
    assert history(g, loss="DCL", tau=0.2, chunk=None) == history(g, loss=partial(gs.losses.dcl, tau=0.2))
    assert history(g) == history(g, loss=partial(gs.losses.info_nce, tau=0.4, intra=True, chunk=2048)) == history(g, loss="info_nce")
    assert history(g, loss="dcl", intra=False) == history(g, loss=partial(gs.losses.dcl, tau=0.4, intra=False, chunk=2048))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"loss": "dlc"}, "unknown loss of two views 'dlc'"),
        ({"loss": "infonce"}, "did you mean 'info-nce'"),
        ({"loss": "bce"}, "unknown loss of two views 'bce'"),
        ({"loss": "sup-con"}, "loss sup-con needs labels, and train has none: graphssl semi"),
        ({"loss": "dcl", "negatives": 4}, "negatives are drawn for info-nce alone, got 4"),
        ({"loss": gs.losses.dcl, "negatives": 4}, "negatives are drawn for info-nce alone"),
        ({"loss": "renyi", "intra": False}, "intra False is not for loss renyi"),
    ],
)
def test_what_does_not_fit_is_refused(options: dict[str, object], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        objective(**options)


def test_recipes_know_the_names() -> None:
    recipe = find_recipe("grace", "cora")
    assert recipe.loss == "info-nce"  # type: ignore[attr-defined]
    assert type(recipe).model_validate({**recipe.model_dump(), "loss": "DCLW"}).loss == "dclw"  # type: ignore[attr-defined]
    for changes, words in (({"loss": "dclx"}, "did you mean 'dcl"), ({"loss": "dcl", "negatives": 9}, "info-nce alone, got negatives 9")):
        with pytest.raises(ValidationError, match=words):
            type(recipe).model_validate({**recipe.model_dump(), **changes})


def test_the_command_trains_with_a_named_loss(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    small = ["--channels", "8", "4", "--hidden", "4", "--epochs", "2", "--quiet", "--out", "r"]
    assert main(["train", "grace", "karate", "--loss", "dcl", "--tau", "0.4", *small]) == 0
    assert json.loads((tmp_path / "r" / "run.json").read_text())["recipe"]["loss"] == "dcl"
    for name, words in (("dlc", "unknown loss of two views 'dlc'"), ("sup-con", "graphssl semi")):
        assert main(["train", "grace", "karate", "--loss", name, "--out", "s"]) == 2
        assert words in capsys.readouterr().err
    assert main(["list", "losses", "--json"]) == 0
    assert {"dcl", "sup-con", "sce"} <= set(json.loads(capsys.readouterr().out))


def test_names_have_a_dash_or_a_line_and_any_case() -> None:
    assert of_views("Info_NCE") == "info-nce"


def code(name: str) -> list[str]:
    """The lines of a loss below its docstring."""
    source = inspect.getsource(getattr(losses, name.replace("-", "_")))
    (function,) = ast.parse(source).body
    assert isinstance(function, ast.FunctionDef)
    first = function.body[1].lineno  # after the docstring
    return [line.strip() for line in source.splitlines()[first - 1 :] if line.strip()]


@pytest.mark.parametrize("name", LOSSES)
def test_a_loss_is_short(name: str) -> None:
    assert len(code(name)) <= 30


def test_no_two_losses_share_six_lines() -> None:
    seen: dict[tuple[str, ...], str] = {}
    for name in LOSSES:
        lines = code(name)
        for part in {tuple(lines[k : k + 6]) for k in range(len(lines) - 5)}:
            assert part not in seen, f"{name} and {seen[part]} share {part}"
            seen[part] = name
