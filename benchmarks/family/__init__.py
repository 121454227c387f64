"""The contrastive family on real graphs: a small experiment for each method, a baseline beside it, the same seeds, and an interval.

A :class:`Row` is an experiment. ``python -m benchmarks.family`` runs what is not run yet, and ``benchmarks.report`` makes a table of it.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from typing import Any, Literal

MODULES = ("instance", "objectives", "negatives", "decorrelation", "classes", "information", "views", "transfer")  # each has ROWS

Figures = dict[str, float]
Better = Literal["higher", "lower"]


@dataclass(frozen=True)
class Row:
    """An experiment: variants that differ in one thing, of which the first is what the others are compared with."""

    name: str
    """Of the record's file."""
    about: str
    """What is compared, and what the paper says of it, in a line."""
    source: str
    """Authors, year, arXiv id."""
    dataset: str
    """With split, protocol, and what was reduced."""
    metric: str
    variants: tuple[str, ...]
    run: Callable[[str, int], Figures]
    """Of a variant and a seed, always with the same result: ``score``, and further figures."""
    better: Better = "higher"


def rows() -> dict[str, Row]:
    """All experiments by name.

    Raises:
        ValueError: two of one name, or one without something to compare.
    """
    found: dict[str, Row] = {}
    for module in MODULES:
        if find_spec(f"{__name__}.{module}") is None:
            continue
        for row in import_module(f"{__name__}.{module}").ROWS:
            if row.name in found:
                raise ValueError(f"two rows are named {row.name}")
            if len(row.variants) < 2 or len(set(row.variants)) < len(row.variants):
                raise ValueError(f"row {row.name} needs at least two variants of different names, got {row.variants}")
            found[row.name] = row
    return found


def paired(mine: Mapping[int, float], baseline: Mapping[int, float]) -> dict[str, Any]:
    """Mean of the differences over the seeds that both have, with the 95 % interval of Student's t; of one seed without.

    Example:
        >>> found = paired({0: 2.0, 1: 3.0, 2: 4.0}, {0: 1.0, 1: 2.5, 2: 2.5})
        >>> found["mean"], round(found["low"], 3), round(found["high"], 3), found["seeds"]
        (1.0, -0.242, 2.242, 3)
    """
    from scipy import stats

    apart = [mine[seed] - baseline[seed] for seed in sorted(mine.keys() & baseline.keys())]
    if not apart:
        raise ValueError(f"no seed in common: {sorted(mine)} and {sorted(baseline)}")
    mean = statistics.fmean(apart)
    if len(apart) < 2:
        return {"mean": mean, "low": None, "high": None, "seeds": len(apart)}
    half = float(stats.t.ppf(0.975, len(apart) - 1)) * statistics.stdev(apart) / math.sqrt(len(apart))
    return {"mean": mean, "low": mean - half, "high": mean + half, "seeds": len(apart)}


def verdict(difference: Mapping[str, Any], better: Better = "higher") -> str:
    """What an interval says, in a word or three.

    Example:
        >>> verdict({"mean": 1.0, "low": 0.5, "high": 1.5}, "lower"), verdict({"mean": 1.0, "low": -0.5, "high": 2.5})
        ('loss', 'no reliable difference')
    """
    if difference["low"] is None:
        return "one seed"
    if difference["low"] <= 0 <= difference["high"]:
        return "no reliable difference"
    return "gain" if (difference["mean"] > 0) == (better == "higher") else "loss"


def summary(row: Row, runs: Mapping[str, Mapping[str, Figures]]) -> dict[str, Any]:
    """For each variant that has runs: means of all figures, deviation of the score over seeds, and how it compares."""
    scores = {
        variant: {int(seed): figures["score"] for seed, figures in runs[variant].items()} for variant in row.variants if runs.get(variant)
    }
    told: dict[str, Any] = {}
    for variant, values in scores.items():
        figures = list(runs[variant].values())
        told[variant] = {
            "mean": statistics.fmean(values.values()),
            "std": statistics.stdev(values.values()) if len(values) > 1 else None,
            "seeds": sorted(values),
            "figures": {key: statistics.fmean(f[key] for f in figures) for key in figures[0] if key != "score"},
        }
        base = scores.get(row.variants[0], {})
        if variant != row.variants[0] and values.keys() & base.keys():
            difference = paired(values, base)
            told[variant] |= {"difference": difference, "verdict": verdict(difference, row.better)}
    return told
