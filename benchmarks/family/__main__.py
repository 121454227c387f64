"""Runs the experiments of the family: ``python -m benchmarks.family [NAME ...] [--seeds 5]``. What is run already is not run again.

Seeds count from 10: lower ones, and 100, were looked at while the experiments were made.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from pathlib import Path
from typing import Any

from benchmarks.family import Row, rows, summary
from graphssl.environment import environment
from graphssl.files import written
from graphssl.naming import nearest

RESULTS = Path(__file__).parent.parent / "results" / "family"
FIRST = 10  # seed
TELLS = ("about", "source", "dataset", "metric", "better")


def main(args: list[str] | None = None) -> int:
    """Run, and write ``results/family/NAME.json`` after each run; 2 for a name that is not there."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.family", description="Small experiments of the contrastive family.")
    parser.add_argument("names", nargs="*", metavar="NAME", help="experiments (all by default)")
    parser.add_argument("--seeds", type=int, default=5, help="how many seeds, from 10")
    parser.add_argument("--list", action="store_true", help="only tell what there is")
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder of the records")
    given = parser.parse_args(args)
    known = rows()
    unknown = [name for name in given.names if name not in known]
    if unknown or given.seeds < 1:
        print(nearest("row", unknown[0], sorted(known)) if unknown else f"seeds must be at least 1, got {given.seeds}", file=sys.stderr)
        return 2
    chosen = [known[name] for name in given.names or known]
    if given.list:
        for row in chosen:
            print(f"{row.name:<28}{row.about} ({row.source})")
        return 0
    given.out.mkdir(parents=True, exist_ok=True)
    records = {row.name: opened(row, given.out) for row in chosen}
    todo = [(row, variant, seed) for row in chosen for variant, seed in missing(row, records[row.name], given.seeds)]
    print(f"{len(todo)} runs to do of {sum(len(row.variants) * given.seeds for row in chosen)}", file=sys.stderr)
    for done, (row, variant, seed) in enumerate(todo):
        record, start = records[row.name], time.perf_counter()
        figures = {key: float(value) for key, value in row.run(variant, seed).items()}
        record["runs"].setdefault(variant, {})[str(seed)] = figures
        record["seconds"].setdefault(variant, {})[str(seed)] = round(time.perf_counter() - start, 2)
        saved(row, record, given.out)
        left = remaining(todo[done + 1 :], records)
        print(f"{done + 1}/{len(todo)} {row.name}: {variant}, seed {seed}: {figures['score']:.4g}; {left}", file=sys.stderr)
    for row in chosen:
        saved(row, records[row.name], given.out)
        print(f"{row.name}: {told(records[row.name])}")
    return 0


def opened(row: Row, folder: Path) -> dict[str, Any]:
    """The row's record; a new one where there is none, or where data or metric are not what they were."""
    path = folder / f"{row.name}.json"
    record: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    if (record.get("dataset"), record.get("metric")) != (row.dataset, row.metric):
        record = {}
    return {"runs": record.get("runs", {}), "seconds": record.get("seconds", {})}


def missing(row: Row, record: dict[str, Any], seeds: int) -> list[tuple[str, int]]:
    """Variants and seeds without a result; all variants of a seed before the next seed."""
    numbers, ran = range(FIRST, FIRST + seeds), record["runs"]
    return [(variant, seed) for seed in numbers for variant in row.variants if str(seed) not in ran.get(variant, {})]


def saved(row: Row, record: dict[str, Any], folder: Path) -> None:
    """Write the record with its summary, whole or not at all."""
    record["runs"] = {variant: record["runs"][variant] for variant in row.variants if variant in record["runs"]}
    record |= {"name": row.name, **{key: getattr(row, key) for key in TELLS}, "variants": list(row.variants)}
    record |= {"summary": summary(row, record["runs"]), "environment": environment()}
    with written(folder / f"{row.name}.json") as part:
        part.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


def remaining(todo: list[tuple[Row, str, int]], records: dict[str, dict[str, Any]]) -> str:
    """How long the rest will take, as far as can be said from the runs before it."""
    known = {name: [s for of in record["seconds"].values() for s in of.values()] for name, record in records.items()}
    everything = [s for of in known.values() for s in of]
    seconds = sum(statistics.fmean(known[row.name] or everything) for row, _, _ in todo)
    return f"about {seconds / 60:.1f} minutes left" if todo else "all done"


def told(record: dict[str, Any]) -> str:
    """The summary in a line."""
    parts = []
    for variant, found in record["summary"].items():
        spread = "" if found["std"] is None else f" ± {found['std']:.2f}"
        compared = f" ({found['difference']['mean']:+.2f}, {found['verdict']})" if "difference" in found else ""
        parts.append(f"{variant} {found['mean']:.2f}{spread}{compared}")
    return "; ".join(parts)


if __name__ == "__main__":
    raise SystemExit(main())
