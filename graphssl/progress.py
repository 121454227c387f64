"""What the command shows: progress on standard error, a table of scores on standard output."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from types import TracebackType
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.progress import Progress as Bar
from rich.table import Table

from graphssl.comparing import Comparison
from graphssl.evaluation.score import number, unit
from graphssl.pipeline import Watcher
from graphssl.training import Step

EVERY = 10.0  # seconds between lines where there is no terminal


class Silent(Watcher):
    """Only warnings, on standard error."""

    def __enter__(self) -> Silent:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        return None

    def warn(self, text: str) -> None:
        """Say it."""
        sys.stderr.write(f"warning: {text}\n")


class Progress(Silent):
    """A bar with loss, rate and time left on a terminal; a line every ten seconds elsewhere."""

    def __init__(self, epochs: int, num_seeds: int) -> None:
        self.console = Console(stderr=True)
        self.live = self.console.is_terminal
        self.epochs, self.num_seeds = epochs, num_seeds
        rate = TextColumn("{task.fields[told]}")
        self.bar = Bar(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            rate,
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=self.console,
            refresh_per_second=4,
            disable=not self.live,
        )
        self.tasks: dict[int, TaskID] = {}
        self.began: dict[int, float] = {}
        self.last = time.monotonic()

    def __enter__(self) -> Progress:
        self.bar.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.bar.stop()

    def stage(self, text: str) -> None:
        """Say what begins."""
        self.console.print(text, style="dim" if self.live else None, highlight=False, markup=False)

    def label(self, seed: int) -> str:
        """What stands before a bar."""
        return f"seed {seed}"

    def step(self, seed: int, step: Step) -> None:
        """Move the bar."""
        began = self.began.setdefault(seed, time.monotonic() - step.seconds)
        rate = step.number / max(time.monotonic() - began, 1e-9)
        told = f"loss {float(step.loss):.4f}  {rate:.1f} steps/s" if rate >= 1 else f"loss {float(step.loss):.4f}  {1 / rate:.1f} s/step"
        if self.live:
            task = (
                self.tasks.setdefault(seed, self.bar.add_task(self.label(seed), total=step.total, told=""))
                if seed not in self.tasks
                else self.tasks[seed]
            )
            self.bar.update(task, completed=step.number, told=told)
        elif time.monotonic() - self.last > EVERY or step.number == step.total:
            self.last = time.monotonic()
            left = (step.total - step.number) / rate
            self.console.print(
                f"{self.label(seed)}  step {step.number}/{step.total}  {told}  at most {_time(left)} left", highlight=False, soft_wrap=True
            )

    def warn(self, text: str) -> None:
        """Print it."""
        self.console.print(f"warning: {text}", style="yellow" if self.live else None, highlight=False, markup=False)


def score_table(record: dict[str, Any], out: Path) -> None:
    """The score beside its baselines and what is published, on standard output."""
    console = Console(soft_wrap=True, markup=False)
    if record["mean"] is None:
        console.print("Not scored: too few labels for a split.", highlight=False)
    else:
        console.print(_scores(record))
    if not record["converged"]:
        console.print("The probe did not converge on every split.", highlight=False)
    console.print(
        f"{record['epochs']} epochs, {record['seconds_per_step']:.3g} s a step, {record['peak_rss_mb']:.0f} MB at most, "
        f"effective rank {record['diagnostics']['effective_rank']:.1f}; numbers: {record['recipe_source']}",
        highlight=False,
    )
    console.print(f"Run folder: {out}", highlight=False)


def _scores(record: dict[str, Any]) -> Table:
    metric = record["metric"]
    title = (
        f"{unit(metric)}, {record['setting']}, protocol {record['protocol']} v{record['protocol_version']}, "
        f"{record['n_splits']} split{'s' if record['n_splits'] > 1 else ''} {record['split_hash']}, seeds {_seeds(record['seeds'])}"
    )
    if 1 < len(record["targets"]) <= 20:
        title += f"; mean over {', '.join(record['targets'])}"
    table = _table(title)
    table.add_row(f"{record['method']} on {record['dataset']}", *_cells(record, metric), style="bold")
    table.add_row("untrained encoder", *_cells(record["untrained"], metric))
    table.add_row("raw features", *_cells(record["raw_features"], metric))
    for name, row in record["baselines"].items():
        table.add_row(name, *_cells(row, metric))
    for told in record["reported"]:
        spread = "" if told["std"] is None else f"{told['std']:.2f}"
        table.add_row(f"published ({told['protocol']})", f"{told['score']:.2f}", "", spread)
    return table


def probe_table(record: dict[str, Any]) -> None:
    """What ``graphssl evaluate`` found, on standard output."""
    console = Console(soft_wrap=True, markup=False)
    under = f", protocol {record['protocol']} v{record['protocol_version']}" if record["probe"] == "linear" else ""
    splits = f", split {record['split_hash']}" if record["split_hash"] else ""
    title = f"{record['probe']} probe: {unit(record['metric'])}, {record['setting']}{under}{splits}, seeds {_seeds(record['seeds'])}"
    table = _table(title)
    for name, row in record["rows"].items():
        table.add_row(name, *_cells(row, record["metric"]))
    console.print(table)
    if record["probe"] == "few-shot":
        widths = ", ".join(f"{number(row['half_width'], record['metric'])} ({name})" for name, row in record["rows"].items())
        console.print(f"Half the 95 % interval of the mean over episodes: {widths}", highlight=False)


def comparison_table(found: Comparison) -> None:
    """What ``graphssl compare`` found, on standard output."""
    console, metric = Console(soft_wrap=True, markup=False), found.about["metric"]
    table = Table(title=f"{unit(metric)} on {found.about['dataset']}, protocol {found.about['protocol']}", title_justify="left")
    for column in ("", "mean", "mean rank"):
        table.add_column(column, justify="left" if not column else "right")
    for name, mean, rank in zip(found.names, found.means, found.ranks, strict=True):
        table.add_row(name, number(mean, metric), f"{rank:.2f}")
    console.print(table)
    pairs = Table(title=found.test, title_justify="left")
    for column in ("", "difference", "95 % interval", "p", "p, corrected"):
        pairs.add_column(column, justify="left" if not column else "right")
    for pair in found.pairs:
        interval = f"{number(pair.low, metric)} to {number(pair.high, metric)}"
        pairs.add_row(f"{pair.first} - {pair.second}", number(pair.difference, metric), interval, f"{pair.p:.4f}", f"{pair.corrected:.4f}")
    console.print(pairs)


def _table(title: str) -> Table:
    table = Table(title=title, title_justify="left")
    for column in ("", "mean", "± splits", "± seeds"):
        table.add_column(column, justify="left" if not column else "right")
    return table


def _cells(row: dict[str, Any], metric: str) -> list[str]:
    return ["" if (value := row.get(name)) is None else number(value, metric) for name in ("mean", "std_splits", "std_seeds")]


def _seeds(seeds: list[int]) -> str:
    return ", ".join(map(str, seeds)) if len(seeds) < 4 or seeds != list(range(seeds[0], seeds[-1] + 1)) else f"{seeds[0]} to {seeds[-1]}"


def _time(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s" if minutes else f"{rest} s"
