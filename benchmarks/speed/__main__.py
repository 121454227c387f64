"""``python -m benchmarks.speed [--only PART] [--root DATA] [--quick] [--again]``: all parts that are not done, one after another.

Every figure is a ratio inside one process: routes take turns, and the median of each is taken, in seconds of the processor with one
thread. A row that is done is not done again without ``--again``; the record goes to ``benchmarks/results/speed.json``.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.speed import growth, layers, losses, probe, steps
from benchmarks.speed.measure import child, keep
from benchmarks.speed.table import table
from graphssl.environment import environment, git_state

TWO_THREADS = ("cora", "amazon-photo")
RECORD = Path(__file__).parent.parent / "results" / "speed.json"
Row = Callable[[str | None], dict[str, Any]]

TASKS: dict[str, Callable[..., dict[str, Any]]] = {
    "time": steps.time_of,
    "memory": steps.memory_of,
    "chunked": losses.chunked,
    "linear": losses.linear,
    "probe": probe.protocol,
    "growth": growth.grown,
    "layer": layers.layer,
}


def parts(quick: bool) -> dict[str, dict[str, Row]]:
    """The rows of each part by name; ``quick`` ones are tiny."""
    tiny = ("tiny",)
    graphs, large = (tiny, {"300 x 8": (300, 8)}) if quick else (steps.GRAPHS, losses.LARGE)
    shrink, first = ("64", "256") if quick else ("1", str(losses.DOUBLED[0]))
    named = [(layer, graph) for graph in (tiny if quick else ("Photo", "Physics")) for layer in layers.LAYERS]
    return {
        "step": {name: partial(_step, "bgrl", name, 1) for name in graphs},
        "two threads": {name: partial(_step, "bgrl", name, 2) for name in (tiny if quick else TWO_THREADS)},
        "grace": {name: partial(_step, "grace", name, 1) for name in (tiny if quick else ("pubmed",))},
        "losses": {
            **{f"info-nce {name}": partial(_task, "chunked", str(n), str(d)) for name, (n, d) in large.items()},
            "linear": partial(_task, "linear", first),
        },
        "probe": {name: partial(_probe, name, quick) for name in (tiny if quick else ("coauthor-cs",))},
        "growth": {factor: partial(_task, "growth", factor, shrink) for factor in growth.VARIED},
        "layers": {f"{layer} {graph}": partial(_task, "layer", layer, graph) for layer, graph in named},
    }


def _step(method: str, name: str, threads: int, root: str | None) -> dict[str, Any]:
    return steps.compared(method, name, root, threads)


def _probe(name: str, quick: bool, root: str | None) -> dict[str, Any]:
    return child("probe", name, root or "", *(("2", "1") if quick else ()))


def _task(task: str, *args: Any) -> dict[str, Any]:
    return child(task, *args[:-1])  # the last is the data's folder, which is not needed


def main() -> None:
    """Run, or do one task in this process for another one that measures it."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.speed", description=__doc__)
    parser.add_argument("--only", nargs="+", metavar="PART", help="parts, or rows as PART/ROW")
    parser.add_argument("--root", help="folder of the data sets; by default GRAPHSSL_DATA, or the cache")
    parser.add_argument("--quick", action="store_true", help="tiny sizes, to see that it runs")
    parser.add_argument("--again", action="store_true", help="do rows again that are done")
    parser.add_argument("--record", type=Path, help="by default benchmarks/results/speed.json; nothing is kept of --quick")
    parser.add_argument("--task", nargs="+", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.task:
        name, *args = options.task
        print(json.dumps(TASKS[name](*(arg or None for arg in args))))
        return
    with tempfile.TemporaryDirectory() as folder:
        record = options.record or (Path(folder) / "speed.json" if options.quick else RECORD)
        run(parts(options.quick), record, root=options.root, only=options.only, again=options.again)
        print(table(json.loads(record.read_text(encoding="utf-8"))["parts"]) if record.is_file() else "no row is done")


def run(todo: dict[str, dict[str, Row]], path: Path, *, root: str | None, only: list[str] | None, again: bool) -> None:
    """Do what is to be done, and keep each row as soon as it is there.

    Raises:
        SystemExit: a part that there is not.
    """
    names = {part: [f"{part}/{row}" for row in rows] for part, rows in todo.items()}
    unknown = set(only or ()) - set(names) - {row for rows in names.values() for row in rows}
    if unknown:
        raise SystemExit(f"--only takes {', '.join(names)} or one of their rows, got {', '.join(sorted(unknown))}")
    record = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {"what": "speed, in ratios of one run", "parts": {}}
    for part, rows in todo.items():
        for name, row in rows.items():
            wanted = only is None or part in only or f"{part}/{name}" in only
            if not wanted or (name in record["parts"].get(part, {}) and not again):
                continue
            start = time.perf_counter()
            try:
                found = row(root)
            except (RuntimeError, MemoryError) as error:
                print(f"{part}/{name}: {error}", flush=True)
                continue
            found |= {"seconds": round(time.perf_counter() - start, 1), "git": git_state(Path(__file__).parent)}
            record["parts"].setdefault(part, {})[name] = found
            record["environment"] = environment()
            keep(path, record)
            print(f"{part}/{name}: {json.dumps(found)}", flush=True)


if __name__ == "__main__":
    main()
