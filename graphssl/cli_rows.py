"""The commands ``graphssl neighbors`` and ``graphssl classify``: rows of an embedding by name. Imports nothing heavy until it is needed."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import tyro
from tyro.conf import Positional

from graphssl.cli import load_data
from graphssl.files import written
from graphssl.flags import check_flags

if TYPE_CHECKING:
    from graphssl.datasets import Dataset


@dataclass
class Neighbors:
    """The rows whose embeddings are nearest to those of some nodes (or graphs), by cosine."""

    run: Positional[Path]
    """Run folder."""
    nodes: Positional[tuple[str, ...]]
    """Nodes (or graphs), by name where they have names, by row number otherwise."""
    k: int = 10
    """How many of each."""
    seed: int | None = None
    """Which seed of the run (else the first)."""
    root: str | None = None
    """Folder of the raw data (else that of the run)."""
    json: bool = False
    """As JSON."""


@dataclass
class Classify:
    """From a few labels to all rows of a run: a probe on its embedding, or labels spread over its graph."""

    run: Positional[Path]
    """Run folder."""
    labels: Positional[Path]
    """CSV or Parquet file: a column of names (or row numbers) and one of labels; missing labels do not count."""
    out: Path
    """CSV file to write: name, class, its probability, and whether it was given."""
    how: Literal["probe", "spread"] = "probe"
    """The linear probe, or label spreading (Zhou et al., 2004), which looks at the graph and at no embedding."""
    alpha: float = 0.9
    """Of spread: how much a node takes from its neighbours."""
    root: str | None = None
    """Folder of the raw data (else that of the run)."""
    force: bool = False
    """Replace the file if it exists."""


def neighbors(args: list[str]) -> int:
    """``graphssl neighbors``."""
    check_flags(args, Neighbors, "neighbors")
    options = tyro.cli(Neighbors, prog="graphssl neighbors", args=args)
    if not options.nodes or options.k < 1:
        raise ValueError(f"nodes and k: at least one each, got {len(options.nodes)} nodes and k {options.k}")
    import numpy as np

    from graphssl.runs import load_run

    found = load_run(options.run, seed=options.seed)
    data = load_data(found, options.root)
    z = np.load(options.run / f"seed-{found.seed}" / "embeddings.npy", mmap_mode="r")
    place = _places(data)
    told = {name: _nearest(z, _row(place, name), options.k) for name in options.nodes}
    names = list(place)
    if options.json:
        print(json.dumps({name: [{"name": names[row], "cosine": value} for row, value in near] for name, near in told.items()}, indent=2))
        return 0
    width = max(len(names[row]) for near in told.values() for row, _ in near)
    for name, near in told.items():
        print(name)
        for row, value in near:
            print(f"  {names[row]:<{width}}  {value:6.3f}  {_label(data, row)}".rstrip())
    return 0


def classify(args: list[str]) -> int:
    """``graphssl classify``."""
    check_flags(args, Classify, "classify")
    options = tyro.cli(Classify, prog="graphssl classify", args=args)
    if options.out.exists() and not options.force:
        raise ValueError(f"out: {options.out} exists already; name another file, or give --force to replace it")
    if not 0 < options.alpha < 1:
        raise ValueError(f"alpha must lie between 0 and 1, got {options.alpha}")
    from graphssl.classifier import GraphSSLClassifier
    from graphssl.runs import load_run
    from graphssl.spreading import spread

    found = load_run(options.run)
    data = load_data(found, options.root)
    place = _places(data)
    rows, labels = _read_labels(options.labels, place)
    if options.how == "probe":
        model = GraphSSLClassifier.on_run(options.run, rows, labels, ids=range(data.num_rows))
        sure = model.predict_proba(range(data.num_rows))
        classes: list[Any] = model.classes_.tolist()
    else:
        if data.level != "node" or len(data.graphs) > 1:
            raise ValueError(f"how: spread is for one graph whose nodes are labelled, and {data.name} has many; probe does without")
        classes, sure = spread(data.graph, rows, labels, options.alpha)
    given = dict(zip(rows, labels, strict=True))
    with written(options.out) as part, open(part, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["id" if data.ids is not None else data.level, "class", "probability", "given"])
        best = sure.argmax(1)
        for name, row in place.items():
            writer.writerow([name, classes[best[row]], f"{sure[row, best[row]]:.4f}", given.get(row, "")])
    print(f"{data.num_rows:,} rows in {options.out}, from {len(rows):,} labels of {len(classes)} classes")
    if options.how == "probe" and model.certainty_["accuracy"] is not None:
        told = model.certainty_
        print(
            f"held-out accuracy {told['accuracy']:.1%} (95 %: {told['low']:.1%} to {told['high']:.1%}) on {told['rows']:,} labelled rows",
            file=sys.stderr,
        )
    return 0


# ---------------------------------------------------------------------- helpers


def _places(data: Dataset) -> dict[str, int]:
    """The row of each name, as text."""
    names = [str(name) for name in (range(data.num_rows) if data.ids is None else data.ids)]
    place = {name: row for row, name in enumerate(names)}
    return place if len(place) == len(names) else {str(row): row for row in range(len(names))}


def _row(place: dict[str, int], name: str) -> int:
    if name not in place:
        from difflib import get_close_matches

        near = get_close_matches(name, place, n=3)
        raise ValueError(f"there is no {name!r}{f'; did you mean {chr(32).join(map(repr, near))}?' if near else ''}")
    return place[name]


def _nearest(z: Any, row: int, k: int) -> list[tuple[int, float]]:
    import numpy as np

    query = z[row] / max(float(np.linalg.norm(z[row])), 1e-12)
    close = np.concatenate([part @ query / np.maximum(np.linalg.norm(part, axis=1), 1e-12) for part in _parts(z)])
    close[row] = -np.inf
    best = np.argsort(-close, kind="stable")[: min(k, len(z) - 1)]
    return [(int(other), round(float(close[other]), 4)) for other in best]


def _parts(z: Any, size: int = 65_536) -> list[Any]:
    return [z[first : first + size] for first in range(0, len(z), size)]


def _label(data: Dataset, row: int) -> str:
    if data.task != "classification" or int(data.y[row]) < 0:
        return ""
    return str(data.classes[int(data.y[row])] if data.classes else int(data.y[row]))


def _read_labels(path: Path, place: dict[str, int]) -> tuple[list[int], Sequence[Any]]:
    """Rows and labels of a file of two columns, in whichever order: names are those of the column that has only names of rows."""
    from graphssl.datasets.columns import read_table
    from graphssl.datasets.nodes import numbered, tidy

    table = read_table(path)
    if len(table.names) < 2:
        raise ValueError(f"labels: {path.name} needs a column of names and one of labels, it has {', '.join(table.names)}")
    names = [str(value).strip() for value in table.arrays[table.names[0]].to_pylist()]
    lost = [name for name in names if name not in place]
    if lost:
        raise ValueError(
            f"labels: {path.name} names {lost[0]!r}{f' and {len(lost) - 1} more' if len(lost) > 1 else ''}, which the run has not"
        )
    if len(set(names)) < len(names):
        raise ValueError(f"labels: {path.name} names a row twice")
    column = table.column(table.names[1], "labels")
    codes, classes = numbered(column.text if column.numbers is None else tidy(column.numbers), table.names[1])
    known = [(place[name], code) for name, code in zip(names, codes.tolist(), strict=True) if code >= 0]
    return [row for row, _ in known], [classes[code] if classes else code for _, code in known]
