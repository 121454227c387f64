"""Two ways of training on the same labels, over seeds and splits, side by side: trainings, scores, run folder."""

from __future__ import annotations

import csv
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, Literal

from graphssl.datasets import Dataset, Split
from graphssl.datasets.splits import split_hash, stratified_folds
from graphssl.environment import environment, peak_rss_mb
from graphssl.evaluation.score import ERRORS
from graphssl.pipeline import Watcher
from graphssl.runs import FORMAT, checksums, write_json
from graphssl.supervised.compare import paired, spread
from graphssl.supervised.models import save_model, target_record
from graphssl.supervised.predicting import shown, write_rows
from graphssl.supervised.tuning import OnStep, Training

START = "training "  # how a stage begins that is a training
TrainArm = Callable[[int, Split, OnStep], Training]  # a seed, a split, what is called after each step


@dataclass(frozen=True)
class Trials:
    """What is to be trained. The first arm is what the run is for, and its models are saved; it is compared with the second."""

    kind: Literal["finetune", "semi", "distill"]
    name: str  # of the run, as its table tells it
    dataset: str
    root: str | None
    data: Dataset
    splits: tuple[Split, ...]
    seeds: tuple[int, ...]
    arms: dict[str, TrainArm]
    setting: str
    record: dict[str, Any]  # more for run.json


@dataclass
class Done:
    """What a seed came to: the trainings of each arm, split after split."""

    seed: int
    trainings: dict[str, list[Training]] = field(default_factory=dict)
    parts: dict[str, dict[str, Any]] = field(default_factory=dict)  # by folder


def carry_out(trials: Trials, folder: Path, watcher: Watcher) -> dict[str, Any]:
    """Train every arm on every split under every seed, and fill the run folder; returns what ``score.json`` holds.

    A ``KeyboardInterrupt`` ends it early: seeds that are done are kept, and ``run.json`` and the record returned are marked
    ``interrupted``; with none done it goes on up.
    """
    start = time.perf_counter()
    done: list[Done] = []
    interrupted = False
    try:
        for seed in trials.seeds:
            done.append(_seed(trials, seed, folder, watcher))
    except KeyboardInterrupt:
        if not done:
            raise
        interrupted = True
        for unfinished in (*folder.glob(f"seed-{seed}"), *folder.glob(f"seed-{seed}-*")):
            shutil.rmtree(unfinished, ignore_errors=True)
    score = score_record(trials, done)
    record = {
        "format": FORMAT,
        "kind": trials.kind,
        "name": trials.name,
        "dataset": trials.dataset,
        "root": trials.root,
        "setting": trials.setting,
        "interrupted": interrupted,
        **trials.record,
        "target": target_record(trials.data),
        "data": {"summary": trials.data.summary(), "fingerprint": trials.data.fingerprint, "source": trials.data.source},
        "parts": {name: part for some in done for name, part in some.parts.items()},
        "environment": environment(),
        "ended": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "peak_rss_mb": round(peak_rss_mb(), 1),
        "wall_seconds": round(time.perf_counter() - start, 2),
        "files": checksums(folder),
    }
    write_json(folder / "run.json", record)
    write_json(folder / "score.json", score)
    return {**score, "interrupted": True} if interrupted else score


def splits_of(data: Dataset, folds: int | None = None, num_splits: int | None = None) -> tuple[Split, ...]:
    """The splits to train on: the dataset's, or stratified folds; the first ``num_splits`` of them.

    Raises:
        ValueError: there are none, or fewer.
    """
    splits = data.splits if folds is None else stratified_folds(data.y, folds)
    if not splits:
        raise ValueError(f"data: {data.name} has no split: too few of its {data.level}s are labelled")
    if num_splits is not None and num_splits > len(splits):
        raise ValueError(f"num_splits: {data.name} has {len(splits)} split{'s' * (len(splits) > 1)}, got {num_splits}")
    return splits[:num_splits]


def score_record(trials: Trials, done: Sequence[Done]) -> dict[str, Any]:
    """What ``score.json`` holds: both arms and their paired difference. Shares, or errors in the target's units; null where undefined."""
    first, second, *_ = trials.arms
    trainings = [training for some in done for training in some.trainings[first]]
    values = {arm: [[t.test for t in some.trainings[arm]] for some in done] for arm in trials.arms}
    last = {arm: [[t.test_last for t in some.trainings[arm]] for some in done] for arm in trials.arms}
    return {
        "kind": trials.kind,
        "name": trials.name,
        "dataset": trials.dataset,
        "setting": trials.setting,
        "metric": trials.data.metric,
        "better": "lower" if trials.data.metric in ERRORS else "higher",
        "selected": trainings[0].selected,
        "split_hash": split_hash(trials.splits),
        "n_splits": len(trials.splits),
        "n_seeds": len(done),
        "seeds": [some.seed for some in done],
        "labels": trials.record["options"]["labels"],
        "labelled_rows": sorted({len(training.rows) for training in trainings}),
        "arms": {
            arm: {
                **spread(values[arm]),
                "values": values[arm],
                "last_epoch": spread(last[arm]),
                "epochs": [[t.epoch for t in some.trainings[arm]] for some in done],
            }
            for arm in trials.arms
        },
        "difference": paired(values[first], values[second]),
        "last_epoch_difference": paired(last[first], last[second]),
        "peak_rss_mb": round(peak_rss_mb(), 1),
    }


def _seed(trials: Trials, seed: int, folder: Path, watcher: Watcher) -> Done:
    result = Done(seed, {arm: [] for arm in trials.arms})
    for i, split in enumerate(trials.splits):
        part = f"seed-{seed}" if len(trials.splits) == 1 else f"seed-{seed}-split-{i}"
        for arm, train_arm in trials.arms.items():
            watcher.stage(f"{START}{arm}, seed {seed}" + (f", split {i + 1} of {len(trials.splits)}" if len(trials.splits) > 1 else ""))
            result.trainings[arm].append(train_arm(seed, split, lambda step: watcher.step(seed, step)))
        _save(trials, {arm: several[-1] for arm, several in result.trainings.items()}, split, folder / part)
        result.parts[part] = {"seed": seed, "split": split.name, "split_hash": split.hash}
    return result


def _save(trials: Trials, trainings: dict[str, Training], split: Split, folder: Path) -> None:
    """Model and predictions of the first arm, and the curves of both."""
    folder.mkdir()
    done = next(iter(trainings.values()))
    save_model(folder, done.objective)
    names = target_record(trials.data)["columns"]
    write_rows(folder / "predictions.csv", trials.data, split, done.rows, names, shown(done.predictions, trials.data.task))
    with open(folder / "history.csv", "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["arm", "epoch", "loss", f"val_{trials.data.metric}"])
        for arm, training in trainings.items():
            for epoch, (loss, val) in enumerate(zip(training.loss, training.val, strict=True), start=1):
                writer.writerow([arm, epoch, loss, "" if val is None else val])
