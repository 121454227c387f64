"""What an embedding is worth: probes under named protocols, clustering, a watch for collapse. Imports torch only when asked to probe."""

from __future__ import annotations

from typing import TYPE_CHECKING

from graphssl.evaluation.protocols import PROTOCOLS, SETTINGS, Protocol, find_protocol
from graphssl.evaluation.score import Score
from graphssl.lazy import lazy

if TYPE_CHECKING:
    from graphssl.evaluation.baselines import summed_features, wl_features, wl_score
    from graphssl.evaluation.clustering import Clustering, cluster
    from graphssl.evaluation.collapse import alignment, collapse_warning, diagnostics
    from graphssl.evaluation.episodes import FewShot, few_shot
    from graphssl.evaluation.fingerprints import morgan_fingerprints
    from graphssl.evaluation.linear import evaluate, linear_probe, low_label_probe
    from graphssl.evaluation.logistic import logistic_path
    from graphssl.evaluation.neighbours import knn_probe
    from graphssl.evaluation.trust import Reliability, ause, detection_auroc, reliability

__all__ = [
    "PROTOCOLS",
    "SETTINGS",
    "Clustering",
    "FewShot",
    "Protocol",
    "Reliability",
    "Score",
    "alignment",
    "ause",
    "cluster",
    "collapse_warning",
    "detection_auroc",
    "diagnostics",
    "evaluate",
    "few_shot",
    "find_protocol",
    "knn_probe",
    "linear_probe",
    "logistic_path",
    "low_label_probe",
    "morgan_fingerprints",
    "reliability",
    "summed_features",
    "wl_features",
    "wl_score",
]

__getattr__ = lazy(
    __name__,
    {
        "baselines": ("summed_features", "wl_features", "wl_score"),
        "clustering": ("Clustering", "cluster"),
        "collapse": ("alignment", "collapse_warning", "diagnostics"),
        "episodes": ("FewShot", "few_shot"),
        "fingerprints": ("morgan_fingerprints",),
        "linear": ("evaluate", "linear_probe", "low_label_probe"),
        "logistic": ("logistic_path",),
        "neighbours": ("knn_probe",),
        "trust": ("Reliability", "ause", "detection_auroc", "reliability"),
    },
)


def __dir__() -> list[str]:
    return sorted(__all__)
