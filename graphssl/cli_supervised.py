"""The commands that read labels: finetune, semi, distill, predict. Imports nothing heavy until a command needs it."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal

import tyro
from pydantic import BaseModel
from tyro.conf import Positional

from graphssl.cli import check_there, parse_seeds
from graphssl.datasets.table import DATASETS, canonical, is_table
from graphssl.files import MARK, check_free, next_free
from graphssl.flags import TableOptions, check_flags, flag_class, table_options
from graphssl.recipes import Recipe, is_known, level_of
from graphssl.recipes.base import ONLY_FOR
from graphssl.supervised.options import (
    DISTILL_HIDDEN,
    SEMI_HIDDEN,
    DistillRecipe,
    Finetuning,
    Joining,
    joint_methods,
    joint_recipe,
    semi_recipe,
)


@dataclass
class Finetune:
    """Fine-tune the encoder of RUN on the labels of DATASET, beside the same network from scratch."""

    run: Positional[Path]
    """Folder of a pre-trained run; its dataset may be another one."""
    dataset: Positional[str]
    """Dataset by name, or a file or folder of one's own."""
    root: str | None = None
    """Folder of the raw data (else GRAPHSSL_DATA, else a per-user cache)."""
    out: Path | None = None
    """Run folder to write (else the next free runs/finetune-METHOD-DATASET-N)."""
    seed: str = "0"
    """Seed, or several: 0..4 or 0,1,2. Each takes another seed of RUN, counted round."""
    force: bool = False
    """Replace the run folder if it exists."""
    quiet: bool = False
    """No progress."""
    json: bool = False
    """Print score.json and nothing else."""


@dataclass
class Semi:
    """Train with few labels and many graphs or nodes without, and the same network on the labels alone beside it."""

    method: Positional[str]
    """Of graphs infograph-star (Sun et al., 2020, arXiv:1908.01000); of nodes any method whose loss is to stand beside that of labels."""
    dataset: Positional[str]
    """Dataset by name, or a file or folder of one's own."""
    root: str | None = None
    """Folder of the raw data (else GRAPHSSL_DATA, else a per-user cache)."""
    out: Path | None = None
    """Run folder to write (else the next free runs/infograph-star-DATASET-N or runs/semi-METHOD-DATASET-N)."""
    seed: str = "0"
    """Seed, or several: 0..4 or 0,1,2."""
    force: bool = False
    """Replace the run folder if it exists."""
    quiet: bool = False
    """No progress."""
    json: bool = False
    """Print score.json and nothing else."""


@dataclass
class Distill:
    """Train a student by a run, its predictions and its embeddings, beside the same student on the labels alone and the teacher."""

    run: Positional[Path]
    """Folder of the teacher: a fine-tuned run, or a pre-trained one."""
    root: str | None = None
    """Folder of the raw data (else that of the run)."""
    out: Path | None = None
    """Run folder to write (else the next free runs/distill-ENCODER-DATASET-N)."""
    seed: str = "0"
    """Seed, or several: 0..4 or 0,1,2. Each takes another seed of RUN, counted round."""
    force: bool = False
    """Replace the run folder if it exists."""
    quiet: bool = False
    """No progress."""
    json: bool = False
    """Print score.json and nothing else."""


@dataclass
class Predict:
    """Write the predictions of a fine-tuned run for new data, one line a row, rows that cannot be read included."""

    run: Positional[Path]
    """Folder that finetune, semi or distill wrote; several models predict by their mean."""
    data: Positional[str]
    """A CSV or Parquet file with a column of SMILES, or any dataset with the same features."""
    out: Path = Path("predictions.csv")
    """CSV file to write."""
    seed: str | None = None
    """Seeds of the run whose models predict (else all)."""
    smiles: str | None = None
    """Column of SMILES, where it is not called so."""
    invalid: Literal["skip", "refuse", "relax"] | None = None
    """SMILES that cannot be read: list them with the reason, stop at them, or read them leniently (else as the run was trained)."""
    uncertainty: Literal["noise", "transformation", "dropout"] | None = None
    """A last column that tells how much predictions vary where features, edges or layers are disturbed, summed over the columns."""
    strength: float | None = None
    """Of the disturbance (else the largest that moves predictions by a twentieth of their variance at most)."""
    root: str | None = None
    """Folder of the raw data of a dataset by name."""
    force: bool = False
    """Replace the file if it exists."""


def finetune(args: list[str]) -> int:
    """``graphssl finetune``."""
    numbers = Finetuning()
    flags = _parsed(Finetune, numbers, "finetune", args)
    options = read_options(numbers, flags)
    seeds = parse_seeds(flags.seed)
    method = _told(flags.run, "method")
    dataset = _dataset(flags.dataset)
    out = flags.out or next_free(f"finetune-{method}", dataset)
    check_free(out, force=flags.force)
    from graphssl.supervised.pipeline import finetune_run

    root, columns = flags.root and os.path.abspath(flags.root), table_options(flags)

    def train(watcher: Any) -> dict[str, Any]:
        return finetune_run(
            flags.run, dataset, options, out=out, root=root, seeds=seeds, force=flags.force, watcher=watcher, columns=columns
        )

    return tell(train, flags, out)


def semi(args: list[str]) -> int:
    """``graphssl semi``."""
    if len(args) < 2 or args[0].startswith("-") or args[1].startswith("-"):
        asked = any(a in ("-h", "--help") for a in args)
        text = (
            "usage: graphssl semi METHOD DATASET [options]\n\nMETHOD and DATASET come first. METHOD is infograph-star for many graphs, "
            f"and for nodes of one graph {', '.join(joint_methods())}: graphssl semi bgrl cora --labels 0.1"
        )
        print(text, file=sys.stdout if asked else sys.stderr)
        return 0 if asked else 2
    return _star(args) if args[0].lower() == "infograph-star" else _joint(args)


def _star(args: list[str]) -> int:
    """Labels of graphs."""
    given = args[1]
    name = canonical(given) if given and is_known(given) else ""
    recipe = semi_recipe(molecules=DATASETS[name].molecules if name else is_table(given))
    flags = _parsed(Semi, recipe, "semi", args, hidden=SEMI_HIDDEN)
    recipe = read_options(recipe, flags)
    seeds = parse_seeds(flags.seed)
    dataset = _dataset(flags.dataset)
    if level_of(dataset) != "graph":
        raise ValueError(
            f"infograph-star is for graph-level data, and {flags.dataset} is node-level; allowed there: {', '.join(joint_methods())}"
        )
    out = flags.out or next_free("infograph-star", dataset)
    check_free(out, force=flags.force)
    from graphssl.supervised.semi import semi_run

    root, columns = flags.root and os.path.abspath(flags.root), table_options(flags)

    def train(watcher: Any) -> dict[str, Any]:
        return semi_run(dataset, recipe, out=out, root=root, seeds=seeds, force=flags.force, watcher=watcher, columns=columns)

    return tell(train, flags, out)


def _joint(args: list[str]) -> int:
    """Labels of nodes."""
    dataset = args[1] if {"-h", "--help"} & set(args) else _dataset(args[1])
    recipe, method = joint_recipe(args[0], dataset), args[0].lower()
    options = flag_class(Semi, recipe, Joining(), TableOptions(), doc=f"{Semi.__doc__}\n\nRecipe: {recipe.source}.", hidden=SEMI_HIDDEN)
    check_flags(args, options, f"semi {method}")
    flags = tyro.cli(options, prog="graphssl semi", args=args)
    recipe, numbers = recipe_from(recipe, flags), read_options(Joining(), flags)
    seeds = parse_seeds(flags.seed)
    out = flags.out or next_free(f"semi-{method}", dataset)
    check_free(out, force=flags.force)
    from graphssl.supervised.semi import joint_run

    root, columns = flags.root and os.path.abspath(flags.root), table_options(flags)

    def train(watcher: Any) -> dict[str, Any]:
        return joint_run(
            method, dataset, recipe, numbers, out=out, root=root, seeds=seeds, force=flags.force, watcher=watcher, columns=columns
        )

    return tell(train, flags, out)


def distill(args: list[str]) -> int:
    """``graphssl distill``."""
    options = flag_class(Distill, DistillRecipe(), doc=f"{Distill.__doc__}", hidden=DISTILL_HIDDEN)
    check_flags(args, options, "distill")
    flags = tyro.cli(options, prog="graphssl distill", args=args)
    recipe: Any = recipe_from(DistillRecipe(), flags)
    seeds = parse_seeds(flags.seed)
    out = flags.out or next_free(f"distill-{recipe.encoder}", _told(flags.run, "dataset"))
    check_free(out, force=flags.force)
    from graphssl.supervised.teaching import distill_run

    root = flags.root and os.path.abspath(flags.root)

    def train(watcher: Any) -> dict[str, Any]:
        return distill_run(flags.run, recipe, out=out, root=root, seeds=seeds, force=flags.force, watcher=watcher)

    return tell(train, flags, out)


def predict(args: list[str]) -> int:
    """``graphssl predict``."""
    check_flags(args, Predict, "predict")
    options = tyro.cli(Predict, prog="graphssl predict", args=args)
    if options.out.suffix.lower() != ".csv":
        raise ValueError(f"out: the file must end in .csv, got {options.out.name!r}")
    if options.out.is_dir():
        raise ValueError(f"out: {options.out} is a folder; name a file")
    if options.out.exists() and not options.force:
        raise ValueError(f"out: {options.out} exists already; name another file, or give --force to replace it")
    if not options.out.absolute().parent.is_dir():
        raise ValueError(f"out: there is no folder {options.out.absolute().parent}")
    seeds = None if options.seed is None else parse_seeds(options.seed)
    if not (options.run / MARK).is_file():
        raise ValueError(f"run: {options.run} is not a run folder: it has no {MARK}")
    if options.strength is not None and options.uncertainty is None:
        raise ValueError(f"strength can only be given with uncertainty, got {options.strength}")
    from graphssl.supervised.models import load_models
    from graphssl.supervised.predicting import Unsure, predict_new

    run = load_models(options.run, seeds=seeds)
    unsure = options.uncertainty and Unsure(options.uncertainty, options.strength)
    found = predict_new(run, _dataset(options.data), root=options.root, smiles=options.smiles, invalid=options.invalid, unsure=unsure)
    found.write(options.out)
    means = f", means of {len(run.models)} models" if len(run.models) > 1 else ""
    refused = f"; {len(found.refused):,} could not be read, and say why" if found.refused else ""
    print(f"{len(found.row_id) + len(found.refused):,} rows in {options.out}{means}{refused}")
    return 0


def tell(train: Callable[[Any], dict[str, Any]], flags: Any, out: Path) -> int:
    """Run ``train`` under progress, and show what it came to; returns the exit code."""
    from graphssl.progress import Silent
    from graphssl.supervised.tables import Trainings, arms_table

    watcher = Silent() if flags.quiet or flags.json else Trainings()
    with watcher:
        record = train(watcher)
    if flags.json:
        print(json.dumps(record, indent=2, allow_nan=False))
    else:
        arms_table(record, out)
    if record.get("interrupted"):
        print(f"stopped after seed {record['seeds'][-1]}; what was done until then is in {out}", file=sys.stderr)
        return 130
    return 0


def read_options(numbers: BaseModel, flags: Any) -> Any:
    """The model again, with what the flags say.

    Raises:
        ValidationError: a number out of its range.
    """
    own = {f.name for f in fields(flags)}
    given = {name: getattr(flags, name) for name in type(numbers).model_fields if name in own}
    return type(numbers).model_validate({**numbers.model_dump(), **given})


def recipe_from(recipe: Recipe, flags: Any) -> Recipe:
    """The recipe with what the flags say; its source tells what was changed."""
    for name, encoders in ONLY_FOR.items():  # what it says of its own encoder is nothing to another one
        if flags.encoder not in encoders and getattr(flags, name) == getattr(recipe, name):
            setattr(flags, name, None)
    found: Recipe = read_options(recipe, flags)
    changed = [name for name in type(recipe).model_fields if getattr(found, name) != getattr(recipe, name)]
    return found.model_copy(update={"source": f"{recipe.source}; changed: {', '.join(changed)}"}) if changed else found


def _parsed(own: type[Any], numbers: BaseModel, command: str, args: list[str], *, hidden: tuple[str, ...] = ()) -> Any:
    options = flag_class(own, numbers, TableOptions(), doc=f"{own.__doc__}", hidden=hidden)
    check_flags(args, options, command)
    return tyro.cli(options, prog=f"graphssl {command}", args=args)


def _dataset(given: str) -> str:
    check_there(given)
    return canonical(given) if is_known(given) else os.path.abspath(given)


def _told(run: Path, name: str) -> str:
    """What a run folder says of itself, for the name of the next one, read without torch.

    Raises:
        ValueError: it is no run folder.
    """
    try:
        record = json.loads((run / MARK).read_text(encoding="utf-8"))
        return str(record[name])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ValueError(
            f"run: {run} is not a folder of a pre-trained run: its {MARK} is missing or not what graphssl train writes"
        ) from error
