"""What the supervised commands show: one bar over all trainings, and a table of the arms with their difference."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from graphssl.progress import Progress
from graphssl.supervised.trials import START
from graphssl.training import Step


class Trainings(Progress):
    """The progress of several trainings, one after another; each is announced as a stage ``training ...``."""

    def __init__(self) -> None:
        super().__init__(0, 1)
        self.name, self.number = "", 0

    def stage(self, text: str) -> None:
        """Say what begins; of a training the bar says it, where there is one."""
        if text.startswith(START):
            if self.number in self.tasks:
                self.bar.update(self.tasks[self.number], visible=False)
            self.name, self.number = text.removeprefix(START), self.number + 1
        else:
            super().stage(text)

    def label(self, seed: int) -> str:
        """The training that is going on."""
        return self.name

    def step(self, seed: int, step: Step) -> None:
        """Move its bar."""
        super().step(self.number, step)


def arms_table(record: dict[str, Any], out: Path) -> None:
    """Both arms, and the paired difference, on standard output."""
    console = Console(soft_wrap=True, markup=False)
    shares = record["better"] == "higher"
    rows = record["labelled_rows"]
    counts = f"{rows[0]:,}" if len(rows) == 1 else f"{rows[0]:,} to {rows[-1]:,}"
    title = (
        f"{record['metric']}{' in %' if shares else ''} ({record['better']} is better), {record['setting']}, "
        f"{record['n_splits']} split{'s' * (record['n_splits'] > 1)} {record['split_hash']}, seeds {', '.join(map(str, record['seeds']))}, "
        f"{100 * record['labels']:.4g} % of the training labels ({counts} rows), {_epoch(record['selected'])}"
    )
    table = Table(title=title, title_justify="left")
    for column in ("", "mean", "± splits", "± seeds", "last epoch"):
        table.add_column(column, justify="left" if not column else "right")
    for place, (name, arm) in enumerate(record["arms"].items()):
        cells = [arm["mean"], arm["std_splits"], arm["std_seeds"], arm["last_epoch"]["mean"]]
        label = record["name"] if place == 0 else name if name == "the teacher itself" else f"the same network {name}"
        table.add_row(label, *(_cell(value, shares) for value in cells), style="bold" if place == 0 else None)
    console.print(table)
    console.print(_difference("Difference", record["difference"], record, shares), highlight=False)
    if record["selected"] == "best validation":
        console.print(_difference("At the last epoch", record["last_epoch_difference"], record, shares), highlight=False)
    console.print(f"Run folder: {out}; graphssl predict {out} FILE predicts with it", highlight=False)


def _difference(what: str, found: dict[str, Any], record: dict[str, Any], shares: bool) -> str:
    if found["mean"] is None:
        return "The metric is undefined on the test rows of some split: they hold one class."
    text = f"{what}: {_cell(found['mean'], shares, sign=True)}"
    if found["low"] is None:
        return f"{text} (one seed: no interval)."
    low, high = (_cell(found[end], shares, sign=True) for end in ("low", "high"))
    return f"{text}, {100 * found['level']:.0f} % interval over {record['n_seeds']} seeds {low} to {high} ({record['better']} is better)."


def _epoch(selected: str) -> str:
    return "at the best epoch on validation" if selected == "best validation" else "at the last epoch"


def _cell(value: float | None, shares: bool, *, sign: bool = False) -> str:
    if value is None:
        return ""
    return f"{100 * value:{'+' if sign else ''}.2f}" if shares else f"{value:{'+' if sign else ''}.4g}"
