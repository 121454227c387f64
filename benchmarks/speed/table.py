"""The record of ``benchmarks.speed`` as Markdown."""

from __future__ import annotations

from typing import Any

PARTS = ("views", "forward", "backward", "optimiser", "target")
HEAD = (
    "one step of BGRL", "nodes", "directed edges", "features (not zero)", "ms", " / ".join(PARTS), "MB", "times PyG's layers",
    "times the official structure", "of its memory", "the floor, ms", "of the floor", "bf16: times the official structure", "of its floor",
)  # fmt: skip


def table(parts: dict[str, dict[str, dict[str, Any]]]) -> str:
    """Steps of BGRL in one table, all else in a second one."""
    lines = [_line(*HEAD), "|" + "---|" * len(HEAD), *(_step(name, row) for name, row in parts.get("step", {}).items())]
    for head in _machine(parts.get("step", {})):
        lines += ["", head]
    rows = [line for part, show in SHOWN.items() for name, row in parts.get(part, {}).items() for line in show(name, row)]
    if rows:
        lines += ["", _line("beside it", "ours", "the other", "times faster", "memory", ""), "|" + "---|" * 6, *rows]
    growth = parts.get("growth", {})
    if growth:
        lines += ["", _line("four sizes of", "from", "to", "ms", "exponent of time", "MB", "exponent of memory"), "|" + "---|" * 7]
        lines += [_growth(name, row) for name, row in growth.items()]
    return "\n".join(lines)


def _line(*cells: object) -> str:
    return f"| {' | '.join(map(str, cells))} |"


def _step(name: str, row: dict[str, Any]) -> str:
    ms, least = row["ms"], row["floor"]["float32"]["ms"]
    features = f"{row['features']:,} ({100 * row['non_zero']:.2g} %)" if "non_zero" in row else f"{row['features']:,}"
    memory = row["memory_mb"]["graphssl"]["more"] if "memory_mb" in row else ""
    return _line(
        name,
        f"{row['nodes']:,}",
        f"{row['edges']:,}",
        features,
        _short(ms["graphssl"]["step"]),
        " / ".join(_short(ms["graphssl"][part]) for part in PARTS),
        memory,
        row["times"].get("pyg", ""),
        row["times"]["official"],
        _share(row.get("memory_share", {}).get("official")),
        _short(least),
        row["times_floor"]["graphssl"],
        row["times_bf16"]["official"],
        row["times_floor"]["bf16"],
    )


def _machine(rows: dict[str, dict[str, Any]]) -> list[str]:
    """What the floors were computed from."""
    if not rows:
        return []
    floors = [row["floor"] for row in rows.values()]
    kinds = (("float32", "peak"), ("float32", "default"), ("bf16", "peak"))
    told = [(f["bandwidth_gb_s"], *(f[kind][f"{which}_gigaflop_s"] for kind, which in kinds)) for f in floors]
    band, single, default, half = ([min(values), max(values)] for values in zip(*told, strict=True))
    return [
        f"Measured beside the steps: a triad of large tensors moves {band[0]:g} to {band[1]:g} GB a second; matrix products of the "
        f"steps' shapes reach {single[0]:g} to {single[1]:g} Gflop a second in float32 ({default[0]:g} to {default[1]:g} by "
        f"`torch.mm`), {half[0]:g} to {half[1]:g} in bf16."
    ]


def _two_threads(name: str, row: dict[str, Any]) -> list[str]:
    ours, other = (_short(row["ms"][route]["step"]) for route in ("graphssl", "official"))
    told = f"bf16 {row['times_bf16']['official']} times"
    return [_line(f"BGRL, {name}, wall, two threads; official structure", f"{ours} ms", f"{other} ms", row["times"]["official"], "", told)]


def _grace(name: str, row: dict[str, Any]) -> list[str]:
    ours, other = (_short(row["ms"][route]["step"]) for route in ("graphssl", "dense"))
    share, mb = _share(row.get("memory_share", {}).get("dense")), row.get("memory_mb", {})
    told = f"{mb['graphssl']['more']:,.0f} of {mb['dense']['more']:,.0f} MB" if mb else ""
    return [_line(f"GRACE, {name}; loss with four N x N", f"{ours} ms", f"{other} ms", row["times"]["dense"], share, told)]


def _losses(name: str, row: dict[str, Any]) -> list[str]:
    if name == "linear":
        kinds = ", ".join(f"{kind} {row[kind]['exponent']} ± {row[kind]['error']}" for kind in ("dgi", "jsd"))
        return [_line(f"losses over {row['rows'][0]:,} to {row['rows'][-1]:,} rows", "", "", "", "", f"exponents of time: {kinds}")]
    share = _share(row["share_of_a_dense_matrix"])
    told = f"{row['memory_mb']:,.0f} MB; one N x N matrix is {row['dense_matrix_mb']:,.0f} MB; run once"
    return [_line(f"{name}, value and gradient, all pairs", f"{row['cpu_seconds']} s", "", "", share, told)]


def _probe(name: str, row: dict[str, Any]) -> list[str]:
    ours, other = (row["seconds_a_split"][who] for who in ("graphssl", "scikit-learn"))
    excess = max(row["objective_excess"].values())
    told = f"scores {100 * row['score_apart']:.2g} points apart, objectives {excess:.1g}; {row['splits']['scikit-learn']} splits of theirs"
    told += ", converged" if row["converged"] else ", NOT converged"
    what = f"probe bgrl-20-80, {name}, {row['splits']['graphssl']} splits; scikit-learn's grid"
    return [_line(what, f"{ours} s a split", f"{other} s a split", row["times"], "", told)]


def _layers(name: str, row: dict[str, Any]) -> list[str]:
    ours, other = (_short(row["ms"][route]) for route in ("graphssl", "pyg"))
    memory = row["memory_mb"]
    share = _share(memory["graphssl"] / memory["pyg"]) if memory["pyg"] else ""
    return [_line(f"layer {name}, forward and backward; PyG's", f"{ours} ms", f"{other} ms", row["times"], share, "")]


def _growth(name: str, row: dict[str, Any]) -> str:
    kind = name.removeprefix("sparse ").split(" and ")[0]
    first, last = row["sizes"][0][kind], row["sizes"][-1][kind]
    cells = [" / ".join(_short(v) for v in row[key]) for key in ("ms", "memory_mb")]
    fits = [f"{row[key]['exponent']} ± {row[key]['error']}" for key in ("time", "memory")]
    return _line(name, f"{first:,}", f"{last:,}", cells[0], fits[0], cells[1], fits[1])


SHOWN = {"two threads": _two_threads, "grace": _grace, "losses": _losses, "probe": _probe, "layers": _layers}


def _short(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _share(value: float | None) -> str:
    return "" if value is None else f"{100 * value:.2g} %" if value < 0.995 else f"{value:.2g} times"
