"""Two ways of training beside each other: means, deviations, and the paired difference with its interval."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from typing import Any

Values = Sequence[Sequence["float | None"]]  # of each seed, of each split; None where the metric is undefined


def spread(values: Values) -> dict[str, float | None]:
    """Mean, deviation (``n - 1``) over splits (the seeds' mean) and over seeds; ``None`` where there is one, or some value is undefined.

    Example:
        >>> spread([[1.0, 3.0], [2.0, 6.0]])
        {'mean': 3.0, 'std_splits': 2.121..., 'std_seeds': 1.414...}
    """
    known = [[value for value in seed if value is not None] for seed in values]
    if not known or any(len(some) < len(seed) for some, seed in zip(known, values, strict=True)):
        return {"mean": None, "std_splits": None, "std_seeds": None}
    means = [statistics.fmean(seed) for seed in known]
    return {
        "mean": statistics.fmean(means),
        "std_splits": statistics.fmean(statistics.stdev(seed) for seed in known) if len(known[0]) > 1 else None,
        "std_seeds": statistics.stdev(means) if len(means) > 1 else None,
    }


def paired(first: Values, second: Values, level: float = 0.95) -> dict[str, Any]:
    """``first - second``, seed by seed (means over splits), with the interval of Student's t over the seeds.

    ``low`` and ``high`` are ``None`` with one seed, everything is where some value is undefined.

    Example:
        >>> found = paired([[0.8], [0.9], [0.7]], [[0.7], [0.7], [0.6]])
        >>> round(found["mean"], 3), round(found["low"], 3), round(found["high"], 3)
        (0.133, -0.01, 0.277)
    """
    if any(value is None for values in (first, second) for seed in values for value in seed):
        return {"mean": None, "low": None, "high": None, "per_seed": None, "level": level}
    means = [[statistics.fmean(value for value in seed if value is not None) for seed in values] for values in (first, second)]
    differences = [a - b for a, b in zip(*means, strict=True)]
    mean, low, high = statistics.fmean(differences), None, None
    if (n := len(differences)) > 1:
        from scipy.stats import t

        half = float(t.ppf((1 + level) / 2, n - 1)) * statistics.stdev(differences) / n**0.5
        low, high = mean - half, mean + half
    return {"mean": mean, "low": low, "high": high, "per_seed": differences, "level": level}
