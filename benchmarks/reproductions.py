"""The table of published scores in ``benchmarks/README.md``: ``python -m benchmarks.reproductions [--write] [FOLDER ...] [--note WORDS]``.

Each ``FOLDER`` is one that ``graphssl reproduce`` left; its record is taken into ``benchmarks/results/reproductions``.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from graphssl.evaluation.score import number
from graphssl.recipes.targets import Target, targets

HERE = Path(__file__).parent
README, RECORDS = HERE / "README.md", HERE / "results" / "reproductions"
MARK = "<!-- reproductions -->"
COLUMNS = ("row", "protocol", "published", "ours", "seeds", "difference (95 %)", "untrained", "raw features", "reached", "minutes", "note")


def table() -> str:
    """Every row of the published tables as Markdown, those that were run first; "not run" where there is no record."""
    rows = [(target, record_of(target)) for target in targets()]
    ran = [_row(target, record) for target, record in rows if record is not None]
    waiting = [_cells(target, ["not run", *[""] * 6, target.why]) for target, record in rows if record is None]
    return "\n".join([f"| {' | '.join(COLUMNS)} |", "|" + "---|" * len(COLUMNS), *ran, *waiting])


def summary() -> str:
    """How many rows there are, were run, and reached the published score."""
    found = [record_of(target) for target in targets()]
    ran = [record for record in found if record is not None]
    return f"{len(found)} rows, {len(ran)} run, {sum(record['reproduced'] for record in ran)} of these reached."


def record_of(target: Target) -> dict[str, Any] | None:
    """The record of a row, where it was run."""
    path = RECORDS / f"{target.name}.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None


def readme(text: str) -> str:
    """The text with the table between its two marks."""
    before, _, after = text.split(MARK)
    return f"{before}{MARK}\n{summary()}\n\n{table()}\n{MARK}{after}"


def add(folder: Path, note: str = "") -> Path:
    """Take the record of a reproduction into the results; a note that is there stays where none is given."""
    path = RECORDS / f"{folder.name}.json"
    known = json.loads(path.read_text(encoding="utf-8")).get("note", "") if path.is_file() else ""
    record = json.loads((folder / "record.json").read_text(encoding="utf-8"))
    RECORDS.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({**record, "note": note or known}, indent=1) + "\n", encoding="utf-8")
    return path


def _row(target: Target, r: dict[str, Any]) -> str:
    metric, d = r["metric"], r["difference"]
    interval = "" if d["low"] is None else f" ({number(d['low'], metric)} to {number(d['high'], metric)})"
    spread = [
        f"{number(r[key], metric)} ({text})" for key, text in (("std_seeds", "seeds"), ("std_splits", "splits")) if r[key] is not None
    ]
    cells = [
        " ± ".join([f"**{number(r['mean'], metric)}**", *spread]),
        ", ".join(map(str, r["seeds"])),
        f"{number(d['mean'], metric)}{interval}",
        number(r["untrained"]["mean"], metric),
        number(r["raw_features"]["mean"], metric),
        "yes" if r["reproduced"] else "no",
        f"{r['wall_seconds'] / 60:.1f}",
        "; ".join(part for part in (target.why, r.get("note", "")) if part),
    ]
    return _cells(target, cells)


def _cells(target: Target, cells: list[str]) -> str:
    told = target.published
    published = f"{told.score}" if told.std is None else f"{told.score} ± {told.std}"
    return f"| {' | '.join([target.name, told.protocol, published, *cells])} |"


if __name__ == "__main__":
    told = sys.argv.index("--note") if "--note" in sys.argv else len(sys.argv)
    for one in (Path(a) for a in sys.argv[1:told] if a != "--write"):
        print(add(one, " ".join(sys.argv[told + 1 :])))
    if "--write" in sys.argv:
        README.write_text(readme(README.read_text(encoding="utf-8")), encoding="utf-8")
    else:
        print(summary())
        print(table())
