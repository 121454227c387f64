"""The README's tables, from the records in ``benchmarks/results``: ``python -m benchmarks.report [--write] [RUN ...] [--note WORDS]``."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from benchmarks.speed.table import table as speed_table
from graphssl.evaluation.score import number

HERE = Path(__file__).parent
README = HERE.parent / "README.md"
RESULTS, LABELS, STEP, SPEED, BATCHES, LARGE, SAMPLING, RANKS, KILLS, FAMILY, PAIRWISE = (
    f"<!-- {name} -->"
    for name in ("results", "labels", "step", "speed", "batches", "large", "sampling", "ranks", "kills", "family", "pairwise")
)


def table() -> str:
    """The table as Markdown, one row a record."""
    records = [r for r in _records() if "protocol" in r]
    columns = "method dataset metric protocol splits seeds score untrained raw_features other_baselines published epochs note"
    head = f"| {columns.replace(' ', ' | ').replace('_', ' ')} |"
    lines = [head, "|" + "---|" * 13]
    lines += [_row(r) for r in sorted(records, key=lambda r: (r["dataset"], r["protocol"], r["method"], r["note"]))]
    return "\n".join(lines)


def labels() -> str:
    """What was trained on labels, beside the same network without the rest, as Markdown."""
    records = [r for r in _records() if "arms" in r]
    columns = ("on labels", "dataset", "metric", "labelled rows", "seeds", "score", "beside it", "difference (95 % over seeds)")
    head = f"| {' | '.join(columns)} | at the last epoch | note |"
    rows = sorted(records, key=lambda r: (r["dataset"], r["name"], max(r["labelled_rows"])))
    return "\n".join([head, "|" + "---|" * 10, *(_arms(r) for r in rows)])


def batches() -> str:
    """The table of ``benchmarks.graph_batches`` as Markdown."""
    (row,) = json.loads((HERE / "results" / "graph_batches.json").read_text(encoding="utf-8"))["rows"]
    lines = [
        "| graphs a second | graphssl | PyG, a graph at a time | times | dense, a graph at a time | times |",
        "|---|---|---|---|---|---|",
    ]
    for what, name in (("batches with a view of each graph", "views"), ("the same, and training", "training")):
        cells = [f"{row[f'{name} {way}']:,}" for way in ("graphssl", "tidy", "dense")]
        lines.append(
            f"| {what} | {cells[0]} | {cells[1]} | {row[f'{name} ratio to tidy']} | {cells[2]} | {row[f'{name} ratio to dense']} |"
        )
    return "\n".join(lines)


def step() -> str:
    """The tables of ``benchmarks.speed`` as Markdown."""
    path = HERE / "results" / "speed.json"
    return speed_table(json.loads(path.read_text(encoding="utf-8"))["parts"] if path.is_file() else {})


def speed() -> str:
    """The table of ``benchmarks.aggregation`` as Markdown."""
    record = json.loads((HERE / "results" / "aggregation.json").read_text(encoding="utf-8"))
    lines = ["| size of | nodes | directed edges | times faster |", "|---|---|---|---|"]
    return "\n".join([*lines, *(f"| {r['graph']} | {r['nodes']:,} | {r['edges']:,} | {r['ratio']} |" for r in record["rows"])])


def large() -> str:
    """The table of ``benchmarks.large`` as Markdown."""
    lines = ["| step | seconds | of the processor | GB resident | without mapped files | |", "|---|---|---|---|---|---|"]
    for row in _rows("large"):
        told = ""
        if "seconds_an_epoch" in row:
            told = f"{row['epochs']} epoch over all nodes in {row['seconds_an_epoch']} s, partition in {row['partition_seconds']} s"
        elif "embedding_seconds" in row:
            told = f"{row['rows']:,} rows of {row['columns']} in {row['embedding_seconds']} s"
        elif "score" in row:
            told = f"accuracy {100 * row['score']:.2f}"
        cells = (row[key] for key in ("step", "seconds", "cpu_seconds", "resident_gb", "own_gb"))
        lines.append(f"| {' | '.join(map(str, cells))} | {told} |")
    return "\n".join(lines)


def sampling() -> str:
    """The table of ``benchmarks.sampling`` as Markdown."""
    lines = ["| fan-outs | seeds a second | edges a second | times torch, exact | times torch, with replacement |", "|---|---|---|---|---|"]
    for row in _rows("sampling"):
        counts = f"{row['graphssl seeds/s']:,} | {row['graphssl edges/s']:,}"
        lines.append(f"| {row['fan_out']} | {counts} | {row['ratio to torch']} | {row['ratio to torch, with replacement']} |")
    return "\n".join(lines)


def ranks() -> str:
    """The table of ``benchmarks.ranks`` as Markdown."""
    lines = ["| ranks | accuracy, 20 labels a class | untrained | raw features | seeds a second |", "|---|---|---|---|---|"]
    for row in _rows("ranks"):
        score = f"{100 * row['score']:.2f} ± {100 * row['std_splits']:.2f} (splits)"
        lines.append(
            f"| {row['ranks']} | {score} | {100 * row['untrained']:.2f} | {100 * row['raw_features']:.2f} | {row['seeds_a_second']:,} |"
        )
    return "\n".join(lines)


def kills() -> str:
    """The table of ``benchmarks.kills`` as Markdown."""
    lines = ["| batches | kills | the same bits at the end |", "|---|---|---|"]
    return "\n".join([*lines, *(f"| {r['batches']} | {r['kills']} | {'yes' if r['same bits'] else 'NO'} |" for r in _rows("kills"))])


def family() -> str:
    """The experiments of ``benchmarks.family`` as Markdown, one row a variant."""
    lines = ["| row | what is compared | dataset | metric | variant | score | difference (95 %) | |", "|" + "---|" * 8]
    records = [json.loads(path.read_text(encoding="utf-8")) for path in sorted((HERE / "results" / "family").glob("*.json"))]
    for r in records:
        cells = [r["name"], f"{r['about']} ({r['source']})", r["dataset"], r["metric"]]
        for variant, found in r["summary"].items():
            spread = "" if found["std"] is None else f" ± {found['std']:.2f}"
            score = f"{found['mean']:.2f}{spread} ({len(found['seeds'])} seeds)"
            apart, said = found.get("difference"), found.get("verdict", "baseline" if variant == r["variants"][0] else "")
            interval = "" if apart is None else f"{apart['mean']:+.2f}"
            interval += "" if apart is None or apart["low"] is None else f" ({apart['low']:+.2f} to {apart['high']:+.2f})"
            lines.append(f"| {' | '.join([*cells, variant, score, interval, said])} |")
            cells = [""] * 4
    return "\n".join(lines)


def pairwise() -> str:
    """The table of ``benchmarks.pairwise`` as Markdown."""
    lines = [
        "| loss | nodes | chunk | seconds | MB | nodes, whole too | MB in chunks | MB whole | share | seconds in chunks | seconds whole |",
        "|" + "---|" * 11,
    ]
    for r in _rows("pairwise"):
        counts = f"{r['nodes']:,} | {r['chunk']:,} | {r['seconds']} | {r['memory_mb']} | {r['dense_nodes']:,}"
        share = "" if r["share_of_memory"] is None else f"{100 * r['share_of_memory']:.1f} %"
        others = (r["chunked_memory_mb"], r["dense_memory_mb"], share, r["chunked_seconds"], r["dense_seconds"])
        lines.append(f"| {r['loss']} | {counts} | {' | '.join(map(str, others))} |")
    return "\n".join(lines)


def gaussians() -> str:
    """The table of ``benchmarks.gaussians`` as Markdown: a row for each distribution, a column for each estimator, in nats."""
    rows = _rows("gaussians")
    names = list(rows[0]["estimates"]) if rows else []
    lines = [f"| {' | '.join(['dimensions', 'correlation', 'truth', *names])} |", "|" + "---|" * (3 + len(names))]
    for r in rows:
        told = (r["estimates"][name]["held_out"] for name in names)
        cells = [f"{round(value, 2) + 0.0:.2f}" if abs(value) < 100 else f"{value:.0e}" for value in told]
        lines.append(f"| {r['d']} | {r['rho']} | {r['truth']:.2f} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _rows(name: str) -> list[dict[str, Any]]:
    path = HERE / "results" / f"{name}.json"
    return json.loads(path.read_text(encoding="utf-8"))["rows"] if path.is_file() else []  # type: ignore[no-any-return]


def readme(text: str) -> str:
    """The README's text with each table between its two marks."""
    for mark, content in (
        (RESULTS, table()),
        (LABELS, labels()),
        (STEP, step()),
        (SPEED, speed()),
        (BATCHES, batches()),
        (LARGE, large()),
        (SAMPLING, sampling()),
        (RANKS, ranks()),
        (KILLS, kills()),
        (FAMILY, family()),
        ("<!-- gaussians -->", gaussians()),
        (PAIRWISE, pairwise()),
    ):
        if mark not in text:
            continue
        before, _, after = text.split(mark)
        text = f"{before}{mark}\n{content}\n{mark}{after}"
    return text


def _records() -> list[dict[str, Any]]:
    return [json.loads(path.read_text(encoding="utf-8")) for path in sorted((HERE / "results").glob("*.json"))]


def _arms(r: dict[str, Any]) -> str:
    (_, first), (name, second) = r["arms"].items()
    metric = r["metric"]
    cells = [
        r["name"],
        r["dataset"],
        metric,
        ", ".join(f"{rows:,}" for rows in sorted(set(r["labelled_rows"]))),
        ", ".join(map(str, r["seeds"])),
        f"**{_number(first, metric)}**",
        f"{name}: {_number(second, metric)}",
        f"{_apart(r['difference'], metric)}; {r['better']} is better",
        _apart(r["last_epoch_difference"], metric) if "last_epoch_difference" in r else "",
        r["note"],
    ]
    return "| " + " | ".join(cells) + " |"


def _apart(found: dict[str, Any], metric: str) -> str:
    if found["low"] is None:
        return f"{number(found['mean'], metric)} (one seed)"
    return "{} ({} to {})".format(*(number(found[key], metric) for key in ("mean", "low", "high")))


def _row(r: dict[str, Any]) -> str:
    told = [p for p in r["reported"] if p["protocol"] == r["protocol"]]
    published = "; ".join(str(p["score"]) if p["std"] is None else f"{p['score']} ± {p['std']}" for p in told)
    cells = [
        r["method"],
        r["dataset"],
        r["metric"],
        f"{r['protocol']} v{r['protocol_version']}",
        f"{r['n_splits']}: {r['split_hash'][:6]}",
        ", ".join(map(str, r["seeds"])),
        f"**{_number(r, r['metric'])}**",
        _number(r["untrained"], r["metric"]),
        _number(r["raw_features"], r["metric"]),
        "; ".join(f"{name} {_number(row, r['metric'])}" for name, row in r.get("baselines", {}).items()),
        published or "none",
        str(r["epochs"]),
        r["note"],
    ]
    return "| " + " | ".join(cells) + " |"


def _number(row: dict[str, Any], metric: str) -> str:
    told = [(row.get(key), text) for key, text in (("mean", ""), ("std_seeds", " (seeds)"), ("std_splits", " (splits)"))]
    return " ± ".join(f"{number(value, metric)}{text}" for value, text in told if value is not None)


def add(run: Path, note: str = "") -> Path:
    """Take a run folder's score into the results, with the command's changes as its note."""
    record = json.loads((run / "score.json").read_text(encoding="utf-8"))
    ran = json.loads((run / "run.json").read_text(encoding="utf-8"))
    changed = record.get("recipe_source", "").partition("; changed: ")[2]
    values = ", ".join(f"{name.strip()} {_value(ran['recipe'][name.strip()])}" for name in changed.split(",") if name.strip())
    record |= {"note": note or values, "environment": ran["environment"], "wall_seconds": ran["wall_seconds"]}
    record |= {"recipe": ran["recipe"]} if "recipe" in ran else {"options": ran["options"]}
    if "/" in record["dataset"]:  # a file or store of this machine
        record["dataset"] = Path(record["dataset"]).name
    path = HERE / "results" / f"{run.name}.json"
    path.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    return path


def _value(value: Any) -> str:
    return " ".join(map(str, value)) if isinstance(value, list) else str(value)


if __name__ == "__main__":
    told = sys.argv.index("--note") if "--note" in sys.argv else len(sys.argv)
    for folder in (Path(a) for a in sys.argv[1:told] if a != "--write"):
        print(add(folder, " ".join(sys.argv[told + 1 :])))
    if "--write" in sys.argv:
        README.write_text(readme(README.read_text(encoding="utf-8")), encoding="utf-8")
    else:
        print(table())
