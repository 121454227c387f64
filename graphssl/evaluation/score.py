"""Score: what an embedding is worth, with everything needed to compare it; imports no torch."""

from __future__ import annotations

import statistics
from dataclasses import asdict, dataclass
from typing import Any

from graphssl.evaluation.protocols import SETTINGS

ERRORS = ("rmse", "mae")  # metrics in the target's units, of which less is better; all others are shares


@dataclass(frozen=True)
class Score:
    """One embedding's score under one protocol; shares, not per cent, except in print; errors are in the target's units.

    ``std_splits`` is the deviation (``n - 1``) over splits of one embedding, never over pre-training seeds; ``None`` with one split.

    Attributes:
        metric: what ``values`` are.
        values: the score on the test rows of each split.
        setting: ``transductive`` or ``inductive``: whether pre-training saw the test graph.
        protocol: name of the protocol.
        version: its version.
        split_hash: of the splits, in order.
        converged: every fit behind the score reached its tolerance.
        selected: the hyper-parameters chosen on each split.

    Example:
        >>> score = Score("accuracy", (0.80, 0.82), "transductive", "fixed", 1, "3fa9c0de", True, ({"C": 1.0}, {"C": 2.0}))
        >>> print(score)
        accuracy 81.00 % ± 1.41 (std over 2 splits), protocol fixed v1, transductive, split 3fa9c0de
        >>> print(Score("rmse", (0.8125,), "transductive", "molecules", 1, "3fa9c0de", True, ({"alpha": 1.0},)))
        rmse 0.8125 (one split), protocol molecules v1, transductive, split 3fa9c0de
    """

    metric: str
    values: tuple[float, ...]
    setting: str
    protocol: str
    version: int
    split_hash: str
    converged: bool
    selected: tuple[dict[str, float], ...]

    def __post_init__(self) -> None:
        check_setting(self.setting)
        if not self.values:
            raise ValueError("values is empty; a score needs at least one split")

    @property
    def mean(self) -> float:
        """Mean over splits."""
        return statistics.fmean(self.values)

    @property
    def std_splits(self) -> float | None:
        """Deviation over splits; ``None`` with one split."""
        return statistics.stdev(self.values) if len(self.values) > 1 else None

    @property
    def is_error(self) -> bool:
        """The values are errors in the target's units, and less is better."""
        return self.metric in ERRORS

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON, ``mean`` and ``std_splits`` included."""
        record = asdict(self)
        return {
            "metric": record.pop("metric"),
            "mean": self.mean,
            "std_splits": self.std_splits,
            "n_splits": len(self.values),
            **record,
            "values": list(self.values),
            "selected": [dict(s) for s in self.selected],
        }

    @classmethod
    def from_dict(cls, record: dict[str, Any]) -> Score:
        """The score that :meth:`to_dict` made ``record`` of."""
        lists = {"values": tuple(record["values"]), "selected": tuple(record["selected"])}
        return cls(**{name: lists.get(name, record[name]) for name in cls.__dataclass_fields__})

    def __str__(self) -> str:
        mean = number(self.mean, self.metric) + ("" if self.is_error else " %")
        spread = "" if self.std_splits is None else f" ± {number(self.std_splits, self.metric)}"
        over = "one split" if self.std_splits is None else f"std over {len(self.values)} splits"
        doubt = "" if self.converged else ", NOT converged"
        return (
            f"{self.metric} {mean}{spread} ({over}), protocol {self.protocol} v{self.version}, "
            f"{self.setting}, split {self.split_hash[:8]}{doubt}"
        )


def check_setting(setting: str) -> str:
    """``setting`` itself if it is an allowed word.

    Raises:
        ValueError: it is not.

    Example:
        >>> check_setting("inductive")
        'inductive'
    """
    if setting not in SETTINGS:
        raise ValueError(f"setting is {setting!r}; allowed: {', '.join(SETTINGS)}")
    return setting


def number(value: float, metric: str) -> str:
    """A score for reading: a share in per cent, an error in the target's units.

    Example:
        >>> number(0.8887, "accuracy"), number(1.23456, "rmse")
        ('88.87', '1.235')
    """
    return f"{value:.4g}" if metric in ERRORS else f"{100 * value:.2f}"


def unit(metric: str) -> str:
    """What the numbers of :func:`number` are."""
    return f"{metric} in the target's units" if metric in ERRORS else f"{metric} in %"
