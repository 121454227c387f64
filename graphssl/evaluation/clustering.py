"""k-means clustering of an embedding, scored by labels that the clustering never sees."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from sklearn.cluster import KMeans
from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score

from graphssl.adjacency import CSR
from graphssl.evaluation.liblinear import to_scipy
from graphssl.evaluation.rows import Scaler, embedding, labels, take


@dataclass(frozen=True)
class Clustering:
    """Normalised mutual information and adjusted Rand index of k-means, mean and deviation over its seeds."""

    nmi: float
    nmi_std: float
    ari: float
    ari_std: float
    num_clusters: int
    num_seeds: int

    def to_dict(self) -> dict[str, float]:
        """Plain values for JSON."""
        return asdict(self)

    def __str__(self) -> str:
        return (
            f"NMI {100 * self.nmi:.2f} % ± {100 * self.nmi_std:.2f}, ARI {100 * self.ari:.2f} % ± {100 * self.ari_std:.2f} "
            f"(k-means, k = {self.num_clusters}, std over {self.num_seeds} seeds)"
        )


def cluster(z: Any, y: Any, *, seeds: Sequence[int] = range(5), num_clusters: int | None = None, scale: str = "l2") -> Clustering:
    """k-means on the labelled rows, one start (k-means++) a seed; labels only score the result.

    Args:
        z: ``[N, D]`` embedding or raw features.
        y: ``[N]`` classes, -1: unlabelled.
        seeds: of k-means.
        num_clusters: without it the number of classes.
        scale: ``l2``, ``standardize`` or ``none``.

    Raises:
        ValueError: multi-label ``y``, no seeds, or bad values and lengths as in ``linear_probe``.

    Example:
        >>> import torch
        >>> y = torch.arange(30) % 3
        >>> cluster(torch.eye(3)[y], y, seeds=(0, 1)).nmi
        1.0
    """
    x = embedding(z)
    truth, known = labels(y, x.size(0), x.device)
    if truth.dim() != 1:
        raise ValueError(f"y has shape {tuple(truth.shape)}; clustering is scored on one class a row, [N]")
    if not len(seeds):
        raise ValueError("seeds is empty; give at least one")
    rows = take(x, known.nonzero().squeeze(1))
    scaled = Scaler.fit(scale, rows)(rows)
    points = to_scipy(scaled) if isinstance(scaled, CSR) else scaled.cpu().numpy()
    names = truth[known].cpu().numpy()
    k = num_clusters or len(set(names.tolist()))
    found = [KMeans(k, n_init=1, random_state=seed).fit_predict(points) for seed in seeds]
    nmi = [float(normalized_mutual_info_score(names, f)) for f in found]
    ari = [float(adjusted_rand_score(names, f)) for f in found]
    return Clustering(statistics.fmean(nmi), _std(nmi), statistics.fmean(ari), _std(ari), k, len(seeds))


def _std(values: list[float]) -> float:
    return statistics.stdev(values) if len(values) > 1 else 0.0
