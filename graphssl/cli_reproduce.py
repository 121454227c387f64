"""The commands ``graphssl reproduce``, a published score run again, and ``graphssl compare``, runs against one another."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import tyro
from tyro.conf import Positional

from graphssl.flags import check_flags

if TYPE_CHECKING:
    from graphssl.recipes.targets import Target

PICTURES = (".png", ".svg", ".pdf")
UNITS = {"s": 1, "m": 60, "min": 60, "h": 3600, "d": 86400}


@dataclass
class Shared:
    """What one row and the whole table share."""

    seeds: int = 3
    """How many seeds of pre-training, from 0; those that are done are not run again."""
    jobs: int = 1
    """Seeds that run at a time, each in a process of its own."""
    out: Path = Path("reproductions")
    """Folder below which each row has its own: ROW/seed-K are run folders, ROW/record.json is the record."""
    root: str | None = None
    """Folder of the raw data (else GRAPHSSL_DATA, else a per-user cache)."""
    quiet: bool = False
    """No progress."""
    json: bool = False
    """Print the record and nothing else."""


@dataclass
class Reproduce(Shared):
    """Run the recipe, protocol and seeds behind the published score of METHOD on DATASET."""

    method: Positional[str] = ""
    """Method; graphssl reproduce --list tells the rows."""
    dataset: Positional[str] = ""
    """Dataset."""
    variant: str = ""
    """A named variant, where paper and code disagree."""


@dataclass
class Everything(Shared):
    """Work through the rows of the published tables, those with the fewest seeds first and of these the cheapest."""

    all: bool = False
    """All rows whose data are on this machine."""
    budget: str | None = None
    """Time to stop after, as 90m or 2h; what is under way then is kept, and gone on with by the same command."""
    methods: tuple[str, ...] = ()
    """Only these methods."""


@dataclass
class Rows:
    """List the rows of the published tables."""

    list: bool = False
    """List them."""
    json: bool = False
    """As JSON."""


@dataclass
class Compare:
    """Compare runs on one dataset, pair by pair: on the splits they share, corrected for their number."""

    runs: Positional[tuple[Path, ...]]
    """Run folders, or folders of graphssl reproduce."""
    plot: Path | None = None
    """Also draw a critical-difference picture to this file: .png, .svg or .pdf."""
    json: bool = False
    """As JSON."""


def compare(args: list[str]) -> int:
    """``graphssl compare ...``; returns the exit code."""
    check_flags(args, Compare, "compare")
    options = tyro.cli(Compare, prog="graphssl compare", args=args)
    if options.plot is not None and options.plot.suffix not in PICTURES:
        raise ValueError(f"plot: the file must end in {', '.join(PICTURES)}, got {options.plot.name!r}")
    from graphssl.comparing import compare as against
    from graphssl.comparing import draw
    from graphssl.runs import read_json

    records = [read_json(run, "record.json" if (run / "record.json").is_file() else "score.json") for run in options.runs]
    found = against(records)
    if options.plot is not None:
        draw(found, options.plot)
    if options.json:
        print(json.dumps(asdict(found), indent=2, allow_nan=False))
        return 0
    from graphssl.progress import comparison_table

    comparison_table(found)
    return 0


def reproduce(args: list[str]) -> int:
    """``graphssl reproduce ...``; returns the exit code."""
    if "--list" in args:
        return _list(_parse(Rows, args))
    everything = "--all" in args
    options: Any = _parse(Everything if everything else Reproduce, args)
    try:
        return _all(options) if everything else _row(options)
    except KeyboardInterrupt:
        print(f"stopped; what is done stays in {options.out}, and the same command goes on", file=sys.stderr)
        return 130


def _row(options: Reproduce) -> int:
    if not (options.method and options.dataset):
        raise ValueError("reproduce: METHOD and DATASET are needed, or --all, or --list; try graphssl reproduce dgi cora --seeds 3")
    from graphssl.recipes.targets import find_target

    target = find_target(options.method, options.dataset, options.variant)
    record = _run(target, options)
    if options.json:
        print(json.dumps(record, indent=2, allow_nan=False))
    else:
        _show(target, record, options.out / target.name)
    return 0


def _parse(cls: type[Any], args: list[str]) -> Any:
    check_flags(args, cls, "reproduce")
    options = tyro.cli(cls, prog="graphssl reproduce", args=args)
    for name in ("seeds", "jobs"):
        if getattr(options, name, 1) < 1:
            raise ValueError(f"{name} must be at least 1, got {getattr(options, name)}")
    return options


def _run(target: Target, options: Shared) -> dict[str, Any]:
    from graphssl.progress import Progress, Silent
    from graphssl.reproducing import reproduce as again

    silent = options.quiet or options.json
    watcher = Silent() if silent or options.jobs > 1 else Progress(target.recipe.epochs, options.seeds)
    with watcher:
        return again(
            target,
            out=options.out / target.name,
            seeds=range(options.seeds),
            root=options.root,
            jobs=options.jobs,
            watcher=watcher,
            told=(lambda text: None) if silent else (lambda text: print(text, file=sys.stderr)),
        )


def _all(options: Everything) -> int:
    from graphssl.datasets import DatasetNotFound
    from graphssl.recipes import find_method
    from graphssl.reproducing import deadline, plan

    methods = {find_method(name) for name in options.methods}
    budget = deadline(seconds(options.budget)) if options.budget else nullcontext(lambda: False)
    records: list[dict[str, Any]] = []
    rows: list[Target] = []
    elsewhere: list[Target] = []
    over: Callable[[], bool] = lambda: False  # noqa: E731
    try:
        with budget as over:
            here, elsewhere = plan(options.out, options.root)
            rows = [target for target in here if not methods or target.method in methods]
            for target in rows:
                try:
                    record = _run(target, options)
                except DatasetNotFound as error:
                    print(f"{target.name}: not run: {error}", file=sys.stderr)
                    continue
                records.append(record)
                if not options.json:
                    print(_line(target.name, record))
    except KeyboardInterrupt:
        if not over():
            raise
        print(f"the budget of {options.budget} is over; the same command goes on", file=sys.stderr)
    if options.json:
        print(json.dumps(records, indent=2, allow_nan=False))
    missing = [target.name for target in elsewhere if not methods or target.method in methods]
    print(f"{len(records)} of {len(rows)} rows; {len(missing)} others have no data on this machine", file=sys.stderr)
    return 0


def _list(options: Rows) -> int:
    from graphssl.recipes.targets import targets

    rows = targets()
    if options.json:
        told = [{"name": t.name, "method": t.method, "dataset": t.dataset, "variant": t.variant, "why": t.why} for t in rows]
        print(json.dumps([{**row, **t.published.model_dump()} for row, t in zip(told, rows, strict=True)], indent=2))
        return 0
    width = max(len(t.name) for t in rows)
    for t in rows:
        why = f"; {t.why}" if t.why else ""
        print(f"{t.name:<{width}}  {_published(t.published.model_dump())} ({t.published.protocol}; {t.published.where}{why})")
    return 0


def _show(target: Target, record: dict[str, Any], out: Path) -> None:
    from graphssl.progress import score_table

    score_table(record, out)
    print(_line(target.name, record))
    if record["why"]:
        print(f"Variant {record['variant']}: {record['why']}.")
    print(f"Record: {out / 'record.json'}")


def _line(name: str, record: dict[str, Any]) -> str:
    """``bgrl-photo: published 93.17 ± 0.30, ours 93.02 over 3 seeds, difference -0.15 (-0.30 to 0.02): reached``."""
    found, published = record["difference"], record["published"]
    interval = "" if found["low"] is None else f" ({100 * found['low']:+.2f} to {100 * found['high']:+.2f}, bootstrap over {found['over']})"
    verdict = "reached" if record["reproduced"] else f"short by more than the {100 * record['allowed']:.2f} that are allowed"
    return (
        f"{name}: published {_published(published)}, ours {100 * record['mean']:.2f} over {record['n_seeds']} "
        f"seed{'s' * (record['n_seeds'] > 1)}, difference {100 * found['mean']:+.2f}{interval}: {verdict}"
    )


def _published(told: dict[str, Any]) -> str:
    return f"{told['score']:.2f}" if told["std"] is None else f"{told['score']:.2f} ± {told['std']:.2f}"


def seconds(text: str) -> float:
    """Seconds in ``90m``, ``2h``, ``45s`` or a plain number of them.

    Example:
        >>> seconds("2h"), seconds("1.5m"), seconds("30")
        (7200.0, 90.0, 30.0)
    """
    number = text.strip().rstrip("abcdefghijklmnopqrstuvwxyz")
    unit = text.strip()[len(number) :] or "s"
    try:
        value = float(number) * UNITS[unit]
    except (ValueError, KeyError):
        value = 0.0
    if not 0 < value < float("inf"):
        raise ValueError(f"budget: a time above zero as 90m or 2h is needed, got {text!r}")
    return value
