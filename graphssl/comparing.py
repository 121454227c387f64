"""Methods on one dataset against one another: paired where they share splits, corrected for their number, and as a picture."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
from scipy import stats

from graphssl.evaluation.protocols import Protocol, find_protocol
from graphssl.evaluation.score import ERRORS
from graphssl.files import written

SAME = ("dataset", "setting", "protocol", "protocol_version", "split_hash", "metric")  # what must agree
LEVEL = 0.05


@dataclass(frozen=True)
class Pair:
    """One method against another: the mean difference, its 95 % interval, and p before and after Holm's correction."""

    first: str
    second: str
    difference: float
    low: float
    high: float
    p: float
    corrected: float


@dataclass(frozen=True)
class Comparison:
    """Methods on one dataset, best first."""

    names: tuple[str, ...]
    means: tuple[float, ...]
    ranks: tuple[float, ...]  # mean over splits, or over seeds; 1 is best
    pairs: tuple[Pair, ...]
    test: str  # in words
    about: dict[str, Any]  # what the scores share


def compare(records: Sequence[dict[str, Any]], names: Sequence[str] | None = None) -> Comparison:
    """Compare the scores of several runs on one dataset, under one protocol, on the same splits.

    Where the protocol draws splits, each method's mean over its seeds is paired with the others' on each split, in the corrected resampled
    t-test (Nadeau and Bengio, 2003), since splits of one dataset overlap: the variance of the mean is ``(1 / K + n_test / n_train)`` times
    that of the differences. Where the splits are part of the dataset they are no sample of anything, and where a split has so many rows a
    class the shares are not known: there it is Welch's t-test over seeds, of which each method needs two. All p-values are corrected
    together by Holm's method (1979).

    Args:
        records: ``score.json`` of run folders, or ``record.json`` of reproductions.
        names: what the methods are called; by default as the records have it.

    Raises:
        ValueError: fewer than two records, records that do not belong together, or too few splits or seeds for a test.
    """
    if len(records) < 2:
        raise ValueError(f"runs: at least two are needed to compare, got {len(records)}")
    names = list(names) if names is not None else _named(records)
    for key in SAME:
        if len({record[key] for record in records}) > 1:
            told = ", ".join(f"{name}: {record[key]}" for name, record in zip(names, records, strict=True))
            raise ValueError(f"runs: they differ in {key.replace('_', ' ')} and cannot be compared ({told})")
    ratio = sizes_ratio(find_protocol(records[0]["protocol"]), len(records[0]["values"][0]))
    sign = -1.0 if records[0]["metric"] in ERRORS else 1.0
    tables = [np.asarray(record["values"], dtype=np.float64) for record in records]  # [S, K] each
    order = sorted(range(len(names)), key=lambda i: -sign * tables[i].mean())
    names, tables = [names[i] for i in order], [tables[i] for i in order]
    found = [_paired(a, b, ratio) if ratio is not None else _unpaired(a, b) for a, b in combinations(tables, 2)]
    corrected = holm([p for *_, p in found])
    pairs = tuple(Pair(a, b, *one, corrected=c) for (a, b), one, c in zip(combinations(names, 2), found, corrected, strict=True))
    blocks = [t.mean(0) if ratio is not None else t.mean(1) for t in tables]
    ranks = stats.rankdata([-sign * block[: min(map(len, blocks))] for block in blocks], axis=0).mean(1)
    test = (
        f"corrected resampled t-test over {tables[0].shape[1]} splits (test rows {ratio:.3g} times train rows), means over seeds"
        if ratio is not None
        else "Welch's t-test over seeds, means over splits"
    )
    about = {key: records[0][key] for key in SAME}
    means = tuple(float(t.mean()) for t in tables)
    return Comparison(tuple(names), means, tuple(map(float, ranks)), pairs, f"{test}; Holm's correction", about)


def sizes_ratio(protocol: Protocol, num_splits: int) -> float | None:
    """Test rows over train rows of splits that the protocol draws; ``None`` where they are the dataset's, or there is one.

    Example:
        >>> from graphssl.evaluation.protocols import PROTOCOLS
        >>> sizes_ratio(PROTOCOLS["random-10-10-80"], 20), sizes_ratio(PROTOCOLS["planetoid-public"], 1)
        (8.0, None)
    """
    if num_splits < 2 or protocol.draw in ("dataset", "per-class"):
        return None
    if protocol.draw == "folds" or protocol.name.startswith("graphmae"):
        return 1 / 9
    return round((1 - protocol.train - protocol.val) / protocol.train, 9)


def holm(p: Sequence[float]) -> list[float]:
    """Holm's step-down correction (Holm, 1979): the k-th smallest of ``m`` p-values times ``m - k + 1``, never falling, at most 1.

    Example:
        >>> holm([0.01, 0.04, 0.03])
        [0.03, 0.06, 0.06]
    """
    order = np.argsort(p, kind="stable")
    steps = np.maximum.accumulate([min(1.0, (len(p) - k) * p[i]) for k, i in enumerate(order)])
    out = [0.0] * len(p)
    for i, value in zip(order, steps, strict=True):
        out[i] = float(value)
    return out


def draw(comparison: Comparison, path: Path) -> None:
    """A critical-difference picture (Demsar, 2006): mean ranks on a line, and bars over methods that cannot be told apart.

    Raises:
        ValueError: scikit-posthocs is not installed.
    """
    try:
        import matplotlib
        import pandas as pd
        import scikit_posthocs as posthocs
    except ImportError as error:
        raise ValueError("plot: it needs scikit-posthocs: pip install 'graphssl-pyg[plots]'") from error
    matplotlib.use("Agg")
    from matplotlib import pyplot

    names = list(comparison.names)
    table = pd.DataFrame(1.0, index=names, columns=names)
    for pair in comparison.pairs:
        table.loc[pair.first, pair.second] = table.loc[pair.second, pair.first] = pair.corrected
    figure, axes = pyplot.subplots(figsize=(8, 1.2 + 0.35 * len(names)))
    try:
        posthocs.critical_difference_diagram(dict(zip(names, comparison.ranks, strict=True)), table, ax=axes)
        axes.set_title(
            f"{comparison.about['dataset']}, {comparison.about['protocol']}: mean rank; bars join what p < {LEVEL} does not tell apart"
        )
        with written(path) as part:
            figure.savefig(part, format=path.suffix.removeprefix(".") or "png", dpi=150, bbox_inches="tight")
    finally:
        pyplot.close(figure)


def _paired(a: np.ndarray, b: np.ndarray, ratio: float) -> tuple[float, float, float, float]:
    """Mean difference, interval and p of the corrected resampled t-test."""
    d = a.mean(0) - b.mean(0)  # [K]
    k = len(d)
    return _student(float(d.mean()), math.sqrt((1 / k + ratio) * float(d.var(ddof=1))), k - 1)


def _unpaired(a: np.ndarray, b: np.ndarray) -> tuple[float, float, float, float]:
    """The same of Welch's test over seeds."""
    x, y = a.mean(1), b.mean(1)
    if min(len(x), len(y)) < 2:
        raise ValueError(f"runs: where seeds are compared, each run needs at least two, got {len(x)} and {len(y)}")
    u, v = x.var(ddof=1) / len(x), y.var(ddof=1) / len(y)
    freedom = (u + v) ** 2 / (u**2 / (len(x) - 1) + v**2 / (len(y) - 1)) if u + v > 0 else len(x) + len(y) - 2
    return _student(float(x.mean() - y.mean()), math.sqrt(u + v), float(freedom))


def _student(mean: float, error: float, freedom: float) -> tuple[float, float, float, float]:
    if error == 0:
        return mean, mean, mean, 1.0 if mean == 0 else 0.0
    half = float(stats.t.ppf(1 - LEVEL / 2, freedom)) * error
    return mean, mean - half, mean + half, float(2 * stats.t.sf(abs(mean) / error, freedom))


def _named(records: Sequence[dict[str, Any]]) -> list[str]:
    names = [record["method"] + (f" ({record['variant']})" if record.get("variant") else "") for record in records]
    return [name if names.count(name) == 1 else f"{name} {names[: i + 1].count(name)}" for i, name in enumerate(names)]
