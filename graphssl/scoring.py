"""Records of scores: over seeds, with the untrained encoder and the raw features beside them."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from typing import Any, Literal

from torch import Tensor

from graphssl.adjacency import CSR
from graphssl.batches import stack_rows
from graphssl.datasets import Dataset
from graphssl.embedding import embed
from graphssl.encoders import build
from graphssl.environment import peak_rss_mb
from graphssl.evaluation import (
    FewShot,
    Score,
    cluster,
    evaluate,
    few_shot,
    find_protocol,
    knn_probe,
    low_label_probe,
    morgan_fingerprints,
    summed_features,
    wl_score,
)
from graphssl.random import seeded
from graphssl.recipes import Recipe
from graphssl.runs import Run

RAW = "raw features"
Spread = dict[str, float | None]
Probe = Literal["linear", "knn", "cluster", "low-label", "few-shot"]


@dataclass
class Seed:
    """What one seed of a run came to."""

    seed: int
    epochs: int = 0
    steps: int = 0
    loss: float | None = None
    seconds: list[float] = field(default_factory=list)
    history: list[dict[str, Any]] = field(default_factory=list)
    diagnostics: dict[str, float] = field(default_factory=dict)
    interrupted: bool = False
    warned: bool = False  # of collapse
    score: Score | None = None
    untrained: Score | None = None


def score_record(
    method: str, dataset: str, setting: str, recipe: Recipe, seeds: Sequence[Seed], beside: dict[str, Score]
) -> dict[str, Any]:
    """What ``score.json`` holds: the score over seeds, its baselines, and the cost. Shares, not per cent; null where there is none."""
    scores = [s.score for s in seeds if s.score is not None]
    first = scores[0] if scores else None
    return {
        "method": method,
        "dataset": dataset,
        "setting": setting,
        "protocol": first and first.protocol,
        "protocol_version": first and first.version,
        "split_hash": first and first.split_hash,
        "n_splits": len(first.values) if first else 0,
        "metric": first and first.metric,
        **over_seeds(scores),
        "n_seeds": len(seeds),
        "seeds": [s.seed for s in seeds],
        "per_seed": [s.mean for s in scores],
        "values": [list(s.values) for s in scores],
        "validation": [_validation(s) for s in scores],
        "converged": all(s.converged for s in scores),
        "untrained": over_seeds([s.untrained for s in seeds if s.untrained is not None]),
        "raw_features": _without_seeds(beside.get(RAW)),
        "baselines": {name: _without_seeds(score) for name, score in beside.items() if name != RAW},
        "reported": [reported.model_dump() for reported in recipe.reported],
        "recipe_source": recipe.source,
        "epochs": max(s.epochs for s in seeds),
        "epochs_per_seed": [s.epochs for s in seeds],
        "seconds_per_step": round(statistics.median(t for s in seeds for t in s.seconds), 5),
        "peak_rss_mb": round(peak_rss_mb(), 1),
        "diagnostics": seeds[0].diagnostics,
    }


def _validation(score: Score) -> float | None:
    """Mean over splits of what the chosen penalty reached where it was chosen, by which recipes may be compared; test rows have no part."""
    found = [chosen["validation"] for chosen in score.selected if "validation" in chosen]
    return statistics.fmean(found) if found else None


def baselines(
    data: Dataset, protocol: str, *, setting: str, num_splits: int | None = None, stage: Callable[[str], None] = lambda text: None
) -> dict[str, Score]:
    """Scores of what needs no training: the raw features (of a graph, their sum over its nodes), and what else is customary beside them.

    At graph level these are the Weisfeiler-Lehman subtree kernel, under the protocols that fit a kernel, and for molecules whose SMILES
    are known, Morgan fingerprints, where rdkit is installed.
    """
    stage(f"scoring {RAW}")
    raw = raw_features(data)
    scores = {RAW: evaluate(raw, data, protocol, setting=setting, num_splits=num_splits)}
    if data.level == "node":
        return scores
    if find_protocol(protocol).classifier == "svm":
        stage("scoring the WL kernel")
        scores["WL kernel"] = wl_score(data, protocol, setting=setting, num_splits=num_splits)
    elif data.molecules and data.ids is not None and find_spec("rdkit") is not None:
        stage("scoring Morgan fingerprints")
        bits = morgan_fingerprints(data.ids)
        scores["Morgan fingerprints"] = evaluate(bits, data, protocol, setting=setting, num_splits=num_splits)
    return scores


def raw_features(data: Dataset) -> Tensor | CSR:
    """The features themselves, a row for each row of ``y``: of a node its own, of a graph their sum over its nodes."""
    return summed_features(data.graph) if data.level == "graph" else stack_rows([g.x for g in data.graphs])


def _without_seeds(score: Score | None) -> Spread:
    return {"mean": None, "std_splits": None} if score is None else {"mean": score.mean, "std_splits": score.std_splits}


def over_seeds(scores: Sequence[Score]) -> Spread:
    """Mean, deviation over splits (the seeds' mean) and over pre-training seeds (``None`` with one)."""
    splits = [s.std_splits for s in scores if s.std_splits is not None]
    means = [s.mean for s in scores]
    return {
        "mean": statistics.fmean(means) if means else None,
        "std_splits": statistics.fmean(splits) if splits else None,
        "std_seeds": statistics.stdev(means) if len(means) > 1 else None,
    }


def setting_of(data: Dataset, recipe: Recipe) -> str:
    """``inductive`` where the test graphs are kept from pre-training, else ``transductive``."""
    return "inductive" if data.is_inductive or recipe.inductive else "transductive"


def reevaluate(
    runs: Sequence[Run],
    data: Dataset,
    *,
    protocol: str | None = None,
    num_splits: int | None = None,
    probe: Probe = "linear",
    episodes: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Score the seeds of a run folder again, with both baselines; ``rows`` holds mean and deviations of each.

    Args:
        runs: the seeds of one folder, read by :func:`graphssl.load_run`.
        data: their dataset, features treated as in training.
        protocol: of the linear probe, the recipe's by default. The other probes take the dataset's own splits and labels.
        num_splits: where the protocol draws them.
        probe: ``linear``, ``knn``, ``cluster`` (k-means against the labels), ``low-label`` or ``few-shot``.
        episodes: options of :func:`graphssl.evaluation.few_shot`, where that is the probe.

    Raises:
        ValueError: a protocol, or a number of splits, for a probe that has none; a probe over all graphs of an inductive set.
    """
    first = runs[0]
    if num_splits is not None and num_splits < 1:
        raise ValueError(f"num_splits must be at least 1, got {num_splits}")
    if probe != "linear" and (protocol or num_splits):
        raise ValueError(f"protocol and num_splits are for the linear probe, got them with probe {probe}")
    if data.is_inductive and probe in ("cluster", "low-label", "few-shot"):
        raise ValueError(f"probe {probe} takes the labels of all graphs, and {first.dataset} is inductive; allowed: linear, knn")
    protocol = protocol or first.recipe.protocol
    num_splits = num_splits or (first.recipe.num_splits if protocol == first.recipe.protocol else None)
    setting = setting_of(data, first.recipe)

    def measure(z: Tensor | CSR) -> dict[str, Score | Spread]:
        if probe == "linear":
            return {"": evaluate(z, data, protocol, setting=setting, num_splits=num_splits)}
        if probe == "knn":
            return {"": knn_probe(z, data.y, data.splits, setting=setting, metric=data.metric)}
        if probe == "low-label":
            return {f" ({k} a class)": score for k, score in low_label_probe(z, data.y, setting=setting).items()}
        if probe == "few-shot":
            return {"": few_shot(z, data.y, setting=setting, **(episodes or {}))}
        found = cluster(z, data.y)
        return {" (NMI)": _spread(found.nmi, found.nmi_std), " (ARI)": _spread(found.ari, found.ari_std)}

    trained = [measure(embed(run.encoder, data)) for run in runs]
    untrained = [measure(embed(_untrained(run), data)) for run in runs]
    if probe == "linear":
        beside: dict[str, Any] = {
            name: {"": score} for name, score in baselines(data, protocol, setting=setting, num_splits=num_splits).items()
        }
    else:
        beside = {RAW: measure(raw_features(data))}
    rows = {}
    ours = {f"{first.method} on {first.dataset}": trained, "untrained encoder": untrained}
    for name, several in {**ours, **{name: [found] for name, found in beside.items()}}.items():
        for part in several[0]:
            rows[name + part] = _over([found[part] for found in several])
    described = next((score for score in trained[0].values() if isinstance(score, Score)), None)
    return {
        "method": first.method,
        "dataset": first.dataset,
        "setting": setting,
        "probe": probe,
        "protocol": described.protocol if described else None,
        "protocol_version": described.version if described else None,
        "split_hash": described.split_hash if described else None,
        "metric": described.metric if described else "nmi, ari",
        "n_seeds": len(runs),
        "seeds": [run.seed for run in runs],
        "converged": all(score.converged for found in trained for score in found.values() if isinstance(score, Score)),
        "rows": rows,
        **({"episodes": dict(episodes or {})} if probe == "few-shot" else {}),
    }


def _untrained(run: Run) -> Any:
    with seeded(run.seed):  # as training drew it
        return build(run.record["encoder"])


def _spread(mean: float, std: float) -> Spread:
    return {"mean": mean, "std_splits": std}


def _over(found: Sequence[Score | Spread]) -> Spread:
    scores = [score for score in found if isinstance(score, Score)]
    if scores:
        widths = [score.half_width for score in scores if isinstance(score, FewShot)]
        return {**over_seeds(scores), **({"half_width": statistics.fmean(widths)} if widths else {})}
    spreads = [score for score in found if isinstance(score, dict)]
    means = [score["mean"] or 0.0 for score in spreads]
    return {
        "mean": statistics.fmean(means),
        "std_splits": statistics.fmean(score["std_splits"] or 0.0 for score in spreads),
        "std_seeds": statistics.stdev(means) if len(means) > 1 else None,
    }
