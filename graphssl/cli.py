"""The command ``graphssl`` and its commands train, evaluate, embed, list and show. Imports nothing heavy until a command needs it."""

import json
import logging
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import tyro
from pydantic import ValidationError
from tyro.conf import Positional

from graphssl.datasets.table import canonical
from graphssl.files import check_free, next_free
from graphssl.flags import TableOptions, check_flags, flag_class, table_options
from graphssl.listings import HIDDEN, LISTS, describe
from graphssl.naming import nearest
from graphssl.recipes import RECIPES, Recipe, find_method, find_recipe, is_known
from graphssl.recipes.base import ONLY_FOR, TAKEN

if TYPE_CHECKING:
    from graphssl.runs import Run

USAGE = """\
usage: graphssl COMMAND ...

  train METHOD DATASET      train an encoder, score it beside an untrained one and the raw features
  evaluate RUN              score a run again, under any protocol or probe
  embed RUN --out FILE      embeddings of a run as .npy, .parquet or .safetensors
  finetune RUN DATASET      train the encoder of a run and a head on labels, beside the same network from scratch
  semi METHOD DATASET       few labels beside a method's loss on all nodes, or on all graphs (infograph-star)
  reproduce METHOD DATASET  the recipe, protocol and seeds of a published score, and how far from it we are
  compare RUN RUN ...       runs on one dataset against one another, on the splits they share
  distill RUN               train a student, as a plain MLP, by the run's predictions and embeddings
  predict RUN DATA          predictions of a fine-tuned run for new data, as a CSV file
  neighbors RUN NODE ...    what is nearest to a node, or a graph, by name
  classify RUN LABELS       from a CSV file of a few labels to a class for every row, and how sure it is
  tune METHOD DATASET       learn how strong a method's augmentations should be, on validation labels
  data convert DATA --out STORE
                            a graph as a store on disk, which is mapped and never read as a whole
  data info STORE           what a store holds, and whether it is whole
  data inspect DATA         what is found in a file, folder or dataset, before anything is trained
  list WHAT                 methods, datasets, recipes, encoders, augmentations, losses or protocols
  show METHOD DATASET       the recipe that train would use, its source and the published score

graphssl COMMAND --help tells the options of each. Try: graphssl train bgrl digits"""


@dataclass
class TrainOptions:
    """Train METHOD on DATASET."""

    root: str | None = None
    """Folder of the raw data (else GRAPHSSL_DATA, else a per-user cache)."""
    out: Path | None = None
    """Run folder to write (else the next free runs/METHOD-DATASET-N)."""
    seed: str = "0"
    """Seed, or several: 0..4 or 0,1,2."""
    force: bool = False
    """Replace the run folder if it exists."""
    resume: bool = False
    """Go on with the same run where it was stopped, to the same numbers; begin it if there is none."""
    save_every: float = 60.0
    """Seconds between checkpoints."""
    quiet: bool = False
    """No progress."""
    json: bool = False
    """Print score.json and nothing else."""


@dataclass
class Evaluate:
    """Score a run: the linear probe of a protocol, or another probe on the same splits."""

    run: Positional[Path]
    """Run folder."""
    protocol: str | None = None
    """Evaluation protocol (else the recipe's); graphssl list protocols."""
    num_splits: int | None = None
    """Splits, where the protocol draws them."""
    probe: Literal["linear", "knn", "cluster", "low-label", "few-shot"] = "linear"
    """Linear probe, k nearest neighbours, k-means (NMI, ARI), few labels a class, or episodes of a few rows of a few classes."""
    ways: int | None = None
    """Classes an episode (few-shot; 5 by default)."""
    shots: int | None = None
    """Labelled rows of each (few-shot; 5 by default)."""
    queries: int | None = None
    """Test rows of each (few-shot; 15 by default)."""
    episodes: int | None = None
    """Episodes (few-shot; 600 by default)."""
    novel: str | None = None
    """Classes that episodes draw from, as 4,5,6 (few-shot; all by default)."""
    root: str | None = None
    """Folder of the raw data (else that of the run)."""
    json: bool = False
    """Print one JSON record and nothing else."""


@dataclass
class Embed:
    """Write the embeddings of a run's dataset to a file."""

    run: Positional[Path]
    """Run folder."""
    out: Path
    """File to write: .npy, .parquet or .safetensors."""
    seed: int | None = None
    """Which seed of the run (else the first)."""
    memory: str | None = None
    """Most memory that embedding takes besides data and result, as 8GB; nodes are embedded layer by layer then."""
    root: str | None = None
    """Folder of the raw data (else that of the run)."""
    force: bool = False
    """Replace the file if it exists."""
    quiet: bool = False
    """No progress."""


@dataclass
class List:
    """List what there is."""

    what: Positional[Literal["methods", "datasets", "recipes", "encoders", "augmentations", "losses", "protocols"]]
    """What to list."""
    json: bool = False
    """As JSON."""


@dataclass
class Show:
    """Show the recipe of METHOD on DATASET, with its source and the published score."""

    method: Positional[str]
    """Method; graphssl list methods."""
    dataset: Positional[str]
    """Dataset; graphssl list datasets."""
    json: bool = False
    """As JSON."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code: 0, 2 for a mistake in what was given, 130 after Ctrl-C."""
    args = list(sys.argv[1:] if argv is None else argv)
    logging.basicConfig(format="%(message)s", level=logging.WARNING, stream=sys.stderr)
    quiet = {"--quiet", "--json"} & set(args)
    logging.getLogger("graphssl").setLevel(logging.WARNING if quiet else logging.INFO)
    try:
        return _dispatch(args)
    except KeyboardInterrupt as stop:
        saved = getattr(stop, "code", None)  # a run that saved itself between two steps
        if _follows():
            return saved or 130
        print("stopped; the same command with --resume goes on" if saved else "interrupted; nothing was saved", file=sys.stderr)
        return saved or 130
    except BrokenPipeError:
        sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115 - stands in until the interpreter ends
        return 141
    except (ValueError, OSError, RuntimeError, MemoryError) as error:
        if os.environ.get("GRAPHSSL_DEBUG"):
            raise
        return 2 if getattr(error, "told", _follows()) else _explain(error)


def _dispatch(args: list[str]) -> int:
    commands: dict[str, Callable[[list[str]], int]] = {
        "train": _train,
        "evaluate": lambda rest: _evaluate(_parse(Evaluate, "evaluate", rest)),
        "embed": lambda rest: _embed(_parse(Embed, "embed", rest)),
        "finetune": _elsewhere("cli_supervised", "finetune"),
        "semi": _elsewhere("cli_supervised", "semi"),
        "distill": _elsewhere("cli_supervised", "distill"),
        "predict": _elsewhere("cli_supervised", "predict"),
        "tune": _elsewhere("cli_tune", "tune"),
        "data": _elsewhere("cli_data", "data"),
        "neighbors": _elsewhere("cli_rows", "neighbors"),
        "classify": _elsewhere("cli_rows", "classify"),
        "reproduce": _elsewhere("cli_reproduce", "reproduce"),
        "compare": _elsewhere("cli_reproduce", "compare"),
        "list": _list,
        "show": lambda rest: _show(_parse(Show, "show", rest)),
    }
    if not args or args[0] in ("-h", "--help"):
        print(USAGE, file=sys.stdout if args else sys.stderr)
        return 0 if args else 2
    if args[0] in ("-V", "--version"):
        from graphssl import __version__

        print(f"graphssl {__version__}")
        return 0
    if args[0] not in commands:
        raise nearest("command", args[0], list(commands))
    return commands[args[0]](args[1:])


def _elsewhere(module: str, command: str) -> Callable[[list[str]], int]:
    """A command of another module, which is imported when it runs."""

    def run(args: list[str]) -> int:
        found: Callable[[list[str]], int] = getattr(import_module(f"graphssl.{module}"), command)
        return found(args)

    return run


def _parse(cls: type[Any], name: str, args: list[str]) -> Any:
    check_flags(args, cls, name)
    return tyro.cli(cls, prog=f"graphssl {name}", args=args)


# ---------------------------------------------------------------------- train


def _train(args: list[str]) -> int:
    if len(args) < 2 or args[0].startswith("-") or args[1].startswith("-"):
        asked = any(a in ("-h", "--help") for a in args)
        text = (
            "usage: graphssl train METHOD DATASET [options]\n\nMETHOD and DATASET come first; "
            "graphssl train bgrl cora --help tells the options, which are the fields of the recipe.\n"
            f"methods: {', '.join(sorted(RECIPES))}; datasets: graphssl list datasets, or a path to your own file: .npz (one graph), "
            ".graphml, .gml, .gexf or .csv or .parquet of edges (likewise), .csv or .parquet with a column of SMILES, a folder of "
            "edges.csv and nodes.csv, or a folder of graphs; graphssl data inspect tells what is found in it"
        )
        print(text, file=sys.stdout if asked else sys.stderr)
        return 0 if asked else 2
    method = find_method(args[0])
    dataset = canonical(args[1]) if is_known(args[1]) else os.path.abspath(args[1])  # evaluate may run in another folder
    if not {"-h", "--help"} & set(args):
        check_there(dataset)
    recipe = find_recipe(method, dataset, "node" if any(arg.split("=")[0] == "--ends" for arg in args) else None)
    options = flag_class(TrainOptions, recipe, TableOptions(), doc=f"{TrainOptions.__doc__}\n\nRecipe: {recipe.source}.", hidden=HIDDEN)
    check_flags(args[2:], options, f"train {method}")
    flags = tyro.cli(options, prog=f"graphssl train {method} {dataset}", args=args[2:])
    recipe = _recipe_from(flags, recipe)
    seeds = parse_seeds(flags.seed)
    from graphssl.evaluation.protocols import find_protocol

    find_protocol(recipe.protocol)
    if not flags.save_every >= 0:
        raise ValueError(f"save_every must be 0 or more seconds, got {flags.save_every}")
    out = flags.out or next_free(method, dataset, resume=flags.resume)
    if not _follows():
        check_free(out, force=flags.force or flags.resume)
    from graphssl.distributed import joined, shared
    from graphssl.pipeline import run
    from graphssl.progress import Progress, Silent, score_table

    watcher = Silent() if flags.quiet or flags.json or _follows() else Progress(recipe.epochs, len(seeds))
    with joined(), watcher:
        out = shared(out)
        root = flags.root and os.path.abspath(flags.root)
        more = table_options(flags)
        record = run(
            method,
            dataset,
            recipe,
            out=out,
            root=root,
            seeds=seeds,
            force=flags.force,
            resume=flags.resume,
            save_every=flags.save_every,
            watcher=watcher,
            options=more,
        )
    if _follows():
        return 130 if record.get("interrupted") else 0
    if record.get("interrupted"):
        print(
            f"stopped after {record['epochs']} epochs; the encoder as it was is in {out} (graphssl evaluate {out} scores it); "
            f"the same command with --resume --out {out} goes on",
            file=sys.stderr,
        )
        return 130
    if flags.json:
        print(json.dumps(record, indent=2, allow_nan=False))
    else:
        score_table(record, out)
    return 0


def _follows() -> bool:
    """Whether torchrun started this process beside a first one, which writes and tells."""
    return os.environ.get("WORLD_SIZE", "1") != "1" and os.environ.get("RANK", "0") != "0"


def _recipe_from(flags: Any, recipe: Recipe) -> Recipe:
    given = {name: getattr(flags, name) for name in type(recipe).model_fields if name not in HIDDEN}
    for name, encoders in ONLY_FOR.items():  # what the recipe says of its own encoder is nothing to another one
        if given["encoder"] not in encoders and given[name] == getattr(recipe, name):
            given[name] = None
    for name in {field for fields in TAKEN.values() for field in fields} - set(TAKEN[given["batches"]]):  # and of its own batches to others
        if given["batches"] != recipe.batches and given[name] == getattr(recipe, name):
            given[name] = None
    changed = [name for name, value in given.items() if value != getattr(recipe, name)]
    source = f"{recipe.source}; changed: {', '.join(changed)}" if changed else recipe.source
    return type(recipe).model_validate({**given, "source": source, "reported": recipe.reported})


def check_there(dataset: str) -> None:
    """Refuse a path at which there is nothing, before anything heavy is imported."""
    if not is_known(dataset) and not Path(dataset).expanduser().exists():
        raise ValueError(f"dataset: there is no file {dataset}")


def parse_seeds(text: str) -> tuple[int, ...]:
    """Seeds from ``3``, ``0..4`` (both ends) or ``0,1,2``.

    Example:
        >>> parse_seeds("0..2"), parse_seeds("7"), parse_seeds("1,5")
        ((0, 1, 2), (7,), (1, 5))
    """
    try:
        if ".." in text:
            first, last = (int(part) for part in text.split(".."))
            seeds = tuple(range(first, last + 1))
        else:
            seeds = tuple(int(part) for part in text.split(","))
    except ValueError:
        seeds = ()
    if not seeds or min(seeds) < 0 or max(seeds) >= 2**63 or len(set(seeds)) < len(seeds):
        raise ValueError(f"seed: a number, a range as 0..4, or a list as 0,1,2 of different numbers from 0, got {text!r}")
    return seeds


# ---------------------------------------------------------------------- evaluate, embed


def _evaluate(options: Evaluate) -> int:
    from graphssl.runs import load_run

    if options.protocol is not None:
        from graphssl.evaluation.protocols import find_protocol

        find_protocol(options.protocol)
    episodes = _episodes(options)
    first = load_run(options.run)
    runs = [first, *(load_run(options.run, seed=seed) for seed in first.seeds[1:])]
    from graphssl.progress import probe_table
    from graphssl.scoring import reevaluate

    data = load_data(first, options.root)
    record = reevaluate(runs, data, protocol=options.protocol, num_splits=options.num_splits, probe=options.probe, episodes=episodes)
    if options.json:
        print(json.dumps(record, indent=2, allow_nan=False))
    else:
        probe_table(record)
    return 0


def _episodes(options: Evaluate) -> dict[str, Any]:
    """What was said of episodes, as options of :func:`graphssl.evaluation.few_shot`."""
    given = {name: getattr(options, name) for name in ("ways", "shots", "queries", "episodes", "novel")}
    found = {name: value for name, value in given.items() if value is not None}
    if found and options.probe != "few-shot":
        raise ValueError(f"{' and '.join(found)} can only be given with probe few-shot, got probe {options.probe}")
    if "novel" in found:
        try:
            found["novel"] = [int(part) for part in found["novel"].split(",")]
        except ValueError:
            raise ValueError(f"novel: numbers of classes as 4,5,6, got {found['novel']!r}") from None
    return found


def _embed(options: Embed) -> int:
    from graphssl.export import SUFFIXES, write_embeddings

    if options.out.suffix not in SUFFIXES:
        raise ValueError(f"out: the file must end in {', '.join(SUFFIXES)}, got {options.out.name!r}")
    if options.out.is_dir():
        raise ValueError(f"out: {options.out} is a folder; name a file")
    if options.out.exists() and not options.force:
        raise ValueError(f"out: {options.out} exists already; name another file, or give --force to replace it")
    if not options.out.absolute().parent.is_dir():
        raise ValueError(f"out: there is no folder {options.out.absolute().parent}")
    from graphssl.embedding import embed
    from graphssl.runs import load_run

    found = load_run(options.run, seed=options.seed)
    data = load_data(found, options.root)
    from graphssl.stages import Stages

    mapped = options.out if options.out.suffix == ".npy" else None
    with Stages(quiet=options.quiet) as stages:
        z = embed(found.encoder, data, memory=options.memory, out=mapped, tell=lambda done, total: stages.tell("embedding", done, total))
    if mapped is None:
        write_embeddings(options.out, z, data)
    print(f"{z.size(0):,} rows of {z.size(1)} numbers in {options.out}")
    if data.row_id is not None and options.out.suffix == ".npy" and int(data.row_id[-1]) >= z.size(0):
        print("some rows of the file were left out; .parquet and .safetensors say which", file=sys.stderr)
    return 0


def load_data(found: "Run", root: str | None) -> Any:
    """The dataset of a run, its features treated as they were for training."""
    from graphssl.pipeline import load_for

    data = load_for(found.recipe, found.dataset, root or found.record.get("root"), found.record.get("options"))
    wanted = found.record["encoder"].get("in_channels")
    if data.num_features != wanted:
        raise ValueError(f"data: {found.dataset} has {data.num_features} features, and the run was trained on {wanted}")
    if data.fingerprint != found.record.get("data", {}).get("fingerprint"):
        print(f"warning: {found.dataset} is not what the run was trained on (its fingerprint differs)", file=sys.stderr)
    return data


# ---------------------------------------------------------------------- list, show


def _list(args: list[str]) -> int:
    unknown = [word for word in args if not word.startswith("-") and word not in LISTS]
    if unknown:
        raise nearest("list", unknown[0], list(LISTS))
    options = _parse(List, "list", args)
    rows = LISTS[options.what]()
    if options.json:
        print(json.dumps(rows, indent=2))
        return 0
    width = max(len(name) for name in rows)
    for name, text in rows.items():
        print(f"{name:<{width}}  {text}")
    return 0


def _show(options: Show) -> int:
    method = find_method(options.method)
    check_there(options.dataset)
    recipe = find_recipe(method, options.dataset)
    print(recipe.model_dump_json(indent=2) if options.json else describe(method, options.dataset, recipe))
    return 0


# ---------------------------------------------------------------------- mistakes


def _explain(error: Exception) -> int:
    if isinstance(error, ValidationError):
        for problem in error.errors():
            place = ".".join(str(part) for part in problem["loc"])
            text = problem["msg"].removeprefix("Value error, ")
            print(f"graphssl: {f'{place}: ' if place else ''}{text}" + (f", got {problem['input']!r}" if place else ""), file=sys.stderr)
    elif isinstance(error, OSError):
        print(f"graphssl: {error.strerror or error}{f': {error.filename}' if error.filename else ''}; nothing was changed", file=sys.stderr)
    else:
        print(f"graphssl: {error}", file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main())
