"""What an embedding is worth: probes under named protocols, clustering, a watch for collapse. Imports torch only when asked to probe."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from graphssl.evaluation.protocols import PROTOCOLS, SETTINGS, Protocol, find_protocol
from graphssl.evaluation.score import Score

if TYPE_CHECKING:
    from graphssl.evaluation.clustering import Clustering, cluster
    from graphssl.evaluation.collapse import collapse_warning, diagnostics
    from graphssl.evaluation.linear import evaluate, linear_probe, low_label_probe
    from graphssl.evaluation.logistic import logistic_path
    from graphssl.evaluation.neighbours import knn_probe

__all__ = [
    "PROTOCOLS",
    "SETTINGS",
    "Clustering",
    "Protocol",
    "Score",
    "cluster",
    "collapse_warning",
    "diagnostics",
    "evaluate",
    "find_protocol",
    "knn_probe",
    "linear_probe",
    "logistic_path",
    "low_label_probe",
]

_HOME = {
    "Clustering": "clustering",
    "cluster": "clustering",
    "collapse_warning": "collapse",
    "diagnostics": "collapse",
    "evaluate": "linear",
    "linear_probe": "linear",
    "low_label_probe": "linear",
    "logistic_path": "logistic",
    "knn_probe": "neighbours",
}


def __getattr__(name: str) -> Any:
    if name in _HOME:
        value = getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)
        globals()[name] = value
        return value
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
