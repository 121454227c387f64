"""The command tune: learn how strong a method's augmentations should be, on validation labels. Imports nothing heavy until it runs."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import tyro

from graphssl.cli import _recipe_from, check_there
from graphssl.datasets.table import canonical
from graphssl.files import written
from graphssl.flags import TableOptions, check_flags, flag_class, table_options
from graphssl.listings import HIDDEN
from graphssl.recipes import DEFAULTS, Recipe, TwoViews, find_method, find_recipe, is_known

if TYPE_CHECKING:
    from graphssl.objectives import Objective
    from graphssl.tuning import Tuned

LEARNED = ("drop_edges", "mask_features")  # fields of the recipe


@dataclass
class TuneOptions:
    """Learn the probabilities of METHOD's augmentations on DATASET's validation labels; test labels are never read."""

    root: str | None = None
    """Folder of the raw data (else GRAPHSSL_DATA, else a per-user cache)."""
    out: Path | None = None
    """JSON file to write: what was learned on the way, and the flags of train that come of it."""
    labels: float = 1.0
    """Share of the train rows whose labels are seen."""
    every: int = 10
    """Epochs between two looks at validation."""
    start: int = 10
    """Epochs before the first look."""
    hyper_lr: float = 0.05
    """Learning rate of the probabilities (of their logits)."""
    seed: int = 0
    """Seed."""
    quiet: bool = False
    """No progress."""
    json: bool = False
    """Print the JSON record and nothing else."""


def tune(args: list[str]) -> int:
    """``graphssl tune``."""
    if len(args) < 2 or args[0].startswith("-") or args[1].startswith("-"):
        asked = any(a in ("-h", "--help") for a in args)
        text = (
            "usage: graphssl tune METHOD DATASET [options]\n\nMETHOD and DATASET come first; METHOD is one with two augmented views: "
            f"{', '.join(methods())}"
        )
        print(text, file=sys.stdout if asked else sys.stderr)
        return 0 if asked else 2
    method = find_method(args[0])
    if method not in methods():
        raise ValueError(f"tune is for methods with two augmented views, and {method} has none; allowed: {', '.join(methods())}")
    dataset = canonical(args[1]) if is_known(args[1]) else os.path.abspath(args[1])
    if not {"-h", "--help"} & set(args):
        check_there(dataset)
    recipe = find_recipe(method, dataset)
    options = flag_class(TuneOptions, recipe, TableOptions(), doc=f"{TuneOptions.__doc__}\n\nRecipe: {recipe.source}.", hidden=HIDDEN)
    check_flags(args[2:], options, f"tune {method}")
    flags = tyro.cli(options, prog=f"graphssl tune {method} {dataset}", args=args[2:])
    before, recipe = recipe, _recipe_from(flags, recipe)
    _check(recipe)
    found, values = _tuned(method, dataset, recipe, flags)
    changed = {name: getattr(recipe, name) for name in type(recipe).model_fields if name not in HIDDEN}
    changed = {name: value for name, value in changed.items() if value != getattr(before, name)} | values
    command = f"graphssl train {method} {args[1]} {' '.join(_flag(name, value) for name, value in changed.items())}"
    record = {
        "method": method,
        "dataset": dataset,
        "train": command,
        **values,
        "values": found.values,
        "validation": found.validation,
        "loss": found.history.loss[-1],
    }
    if flags.out is not None:
        with written(flags.out) as part:
            part.write_text(json.dumps(record, indent=1, allow_nan=False) + "\n", encoding="utf-8")
    if flags.json:
        print(json.dumps(record, indent=2, allow_nan=False))
        return 0
    for name, path in found.values.items():
        print(f"{name:<20}{path[0]:.3f} -> {path[-1]:.3f}")
    print(f"{'validation loss':<20}{found.validation[0]:.3f} -> {found.validation[-1]:.3f}\n{command}")
    return 0


def methods() -> list[str]:
    """The methods whose views can be tuned."""
    return [name for name in sorted(DEFAULTS) if isinstance(DEFAULTS[name], TwoViews)]


def relax(objective: Objective, recipe: TwoViews) -> None:
    """Put soft coins in place of the recipe's, in an objective made from it; what is never dropped or masked stays so."""
    from graphssl.augment import Compose, Identity
    from graphssl.building import make_views
    from graphssl.relaxed import CLOSEST, RelaxedDropEdges, RelaxedMaskFeatures

    others = make_views(recipe.model_copy(update=dict.fromkeys(LEARNED, (0.0, 0.0))))
    views = []
    for k, other in enumerate(others):
        parts: list[Any] = [] if isinstance(other, Identity) else [other]
        for p, relaxed in ((recipe.drop_edges[k], RelaxedDropEdges), (recipe.mask_features[k], RelaxedMaskFeatures)):
            parts += [relaxed(min(p, 1 - CLOSEST))] if p > 0 else []
        views.append(Compose(*parts))
    objective.views = tuple(views)  # type: ignore[assignment]


def _tuned(method: str, dataset: str, recipe: Recipe, flags: Any) -> tuple[Tuned, dict[str, tuple[float, ...]]]:
    """What was found, and the recipe's fields as they came out."""
    from dataclasses import replace

    from graphssl import tuning
    from graphssl.building import make
    from graphssl.pipeline import OPTIONS, load_for
    from graphssl.random import seeded
    from graphssl.supervised.labels import draw_labels

    assert isinstance(recipe, TwoViews)
    data = load_for(recipe, dataset, flags.root and os.path.abspath(flags.root), table_options(flags))
    if not data.splits:
        raise ValueError(f"dataset: {data.name} has no split of its own, and tune needs train and validation nodes")
    split = replace(data.split, train=draw_labels(data.y, data.split.train, flags.labels, task=data.task, seed=flags.seed))
    with seeded(flags.seed):
        objective = make(method, recipe, data.num_features, data.num_edge_features)
    relax(objective, recipe)
    numbers = {name: getattr(flags, name) for name in ("every", "start", "hyper_lr", "seed")}
    found = tuning.tune(objective, data, split=split, **numbers, **{name: getattr(recipe, name) for name in OPTIONS})
    if not found.validation:
        raise ValueError(f"epochs must be at least start + every, {flags.start + flags.every}, got {recipe.epochs}")
    ends = {name: path[-1] for name, path in found.values.items()}
    return found, {name: tuple(round(ends.get(f"{name}.{k}", 0.0), 4) for k in range(2)) for name in LEARNED}


def _check(recipe: Recipe) -> None:
    assert isinstance(recipe, TwoViews)
    if recipe.batches != "whole" or recipe.batch_size is not None:
        raise ValueError(f"tune sees the graph whole, got batches {recipe.batches} and batch_size {recipe.batch_size}")
    if not any((*recipe.drop_edges, *recipe.mask_features)):
        raise ValueError("drop_edges and mask_features are all 0: give those to be tuned a start above 0")
    if recipe.adaptive != "none" or recipe.mask != "column":
        raise ValueError(f"tune is for adaptive none and mask column, got {recipe.adaptive} and {recipe.mask}")


def _flag(name: str, value: Any) -> str:
    flag = name.replace("_", "-")
    if isinstance(value, bool):
        return f"--{flag}" if value else f"--no-{flag}"
    return f"--{flag} {' '.join(map(str, value)) if isinstance(value, tuple) else value}"
