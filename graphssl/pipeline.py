"""A whole run: dataset, objective, training, embeddings, score with its two baselines, run folder."""

from __future__ import annotations

import shutil
import time
from collections.abc import Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from torch import Tensor

from graphssl.batches import GraphBatches, stack_rows
from graphssl.building import encoder_config, make
from graphssl.datasets import Dataset, load
from graphssl.embedding import embed
from graphssl.environment import environment, peak_rss_mb
from graphssl.evaluation import Score, alignment, collapse_warning, diagnostics, evaluate, find_protocol
from graphssl.files import folder_written
from graphssl.objectives import Objective
from graphssl.random import seeded
from graphssl.recipes import Recipe
from graphssl.runs import FORMAT, checksums, save_seed, write_json
from graphssl.scoring import Seed, score_record, setting_of
from graphssl.training import Step, TrainingDiverged, train

LOOKS = 20  # times a run, or every 50 steps, that the embedding is watched for collapse


class Watcher:
    """What a run tells as it goes; every method may be left as it is."""

    def stage(self, text: str) -> None:
        """Something begins that may take seconds."""

    def step(self, seed: int, step: Step) -> None:
        """A training step is done."""

    def warn(self, text: str) -> None:
        """Something the user should know."""


def run(
    method: str,
    dataset: str,
    recipe: Recipe,
    *,
    out: Path,
    root: str | None = None,
    seeds: Sequence[int] = (0,),
    force: bool = False,
    watcher: Watcher | None = None,
) -> dict[str, Any]:
    """Train, embed and score, and leave a run folder at ``out``; returns what ``score.json`` holds.

    A ``KeyboardInterrupt`` while training ends the run early: the folder then holds the encoder as it was, is marked ``interrupted``
    and has no ``score.json``; the record returned says so too.

    Raises:
        ValueError: a dataset, recipe or folder that will not do.
    """
    watcher = watcher or Watcher()
    start = time.perf_counter()
    with folder_written(out, force=force) as folder:
        watcher.stage(f"loading {dataset}")
        data = load(dataset, root).preprocess(recipe.features)
        done: list[Seed] = []
        _batches(data, recipe)  # refuse before anything is scored
        if not _scored(data, recipe):
            watcher.warn(f"{data.name} has too few labels for a split: it is trained and embedded, and not scored")
        try:
            raw = _score(stack_rows([g.x for g in data.graphs]), data, recipe, watcher, "raw features")
            for seed in seeds:
                _train_seed(method, recipe, data, seed, folder / f"seed-{seed}", watcher, done)
                if done[-1].interrupted:
                    break
        except KeyboardInterrupt:  # outside training: what is saved whole stays
            if not done:
                raise
            if seed != done[-1].seed:
                shutil.rmtree(folder / f"seed-{seed}", ignore_errors=True)
            done[-1].interrupted = True
        record = _run_record(method, dataset, root, recipe, data, done)
        record |= {"wall_seconds": round(time.perf_counter() - start, 2), "files": checksums(folder)}
        write_json(folder / "run.json", record)
        if done[-1].interrupted:
            return {"method": method, "dataset": dataset, "interrupted": True, "epochs": done[-1].epochs, "run": str(out)}
        score = score_record(method, dataset, setting_of(data), recipe, done, raw)
        write_json(folder / "score.json", score)
    return score


def _run_record(method: str, dataset: str, root: str | None, recipe: Recipe, data: Dataset, done: Sequence[Seed]) -> dict[str, Any]:
    """What ``run.json`` holds of the run itself: what ran, on what, where."""
    return {
        "format": FORMAT,
        "method": method,
        "dataset": dataset,
        "root": root,
        "setting": setting_of(data),
        "interrupted": done[-1].interrupted,
        "recipe": recipe.model_dump(mode="json"),
        "encoder": encoder_config(recipe, data.num_features),
        "data": {"summary": data.summary(), "fingerprint": data.fingerprint, "source": data.source},
        "seeds": {str(s.seed): {"epochs": s.epochs, "steps": s.steps, "loss": s.loss} for s in done},
        "environment": environment(),
        "ended": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "peak_rss_mb": round(peak_rss_mb(), 1),
    }


def _train_seed(method: str, recipe: Recipe, data: Dataset, seed: int, folder: Path, watcher: Watcher, done: list[Seed]) -> None:
    """Train, save and score one seed; it is ``done`` once it is saved."""
    result = Seed(seed)
    with seeded(seed):
        objective = make(method, recipe, data.num_features)
    untrained = embed(objective.encoder, data)
    result.untrained = _score(untrained, data, recipe, watcher, "untrained encoder")
    start = diagnostics(untrained)
    steps = train(
        objective,
        _batches(data, recipe),
        epochs=recipe.epochs,
        lr=recipe.lr,
        weight_decay=recipe.weight_decay,
        optimizer=recipe.optimizer,
        warmup=recipe.warmup,
        schedule=recipe.schedule,
        patience=recipe.patience,
        clip=recipe.clip,
        precision=recipe.precision,
        seed=seed,
    )
    warned = False
    try:
        for step in steps:
            result.epochs, result.steps, result.loss = step.epoch, step.number, float(step.loss)
            result.seconds.append(step.seconds)
            row = {"step": step.number, "epoch": step.epoch, "loss": result.loss, "lr": step.lr, "seconds": round(step.seconds, 5)}
            if step.number % min(max(1, step.total // LOOKS), 50) == 0 or step.number == 1:
                look = watch(objective, data)
                row.update(look)
                # Contrastive losses pass through a trough of rank early on; a fall counts when it has lasted to the second half.
                warning = collapse_warning(look, start if 2 * step.number >= step.total else None)
                if warning and not warned:
                    watcher.warn(f"step {step.number}: {warning}")
                    warned = True
            result.history.append(row)
            watcher.step(seed, step)
    except KeyboardInterrupt:
        if not result.steps:
            raise
        result.interrupted = True
    z = _finite(embed(objective.encoder, data))
    result.diagnostics = diagnostics(z)
    warning = collapse_warning(result.diagnostics, start)
    if warning and not warned:
        watcher.warn(f"at the end: {warning}")
    save_seed(folder, objective.encoder, z, result.history)
    done.append(result)
    if not result.interrupted:
        result.score = _score(z, data, recipe, watcher, f"seed {seed}")


def watch(objective: Objective, data: Dataset) -> dict[str, float]:
    """Collapse diagnostics of the first training graph as it stands; with alignment where the objective has two views."""
    g = data.train_graphs[0]
    z = _finite(embed(objective.encoder, g))
    views = getattr(objective, "views", None)
    if not views or not all(view.keeps_nodes for view in views):
        return diagnostics(z)
    with seeded(0):
        return {**diagnostics(z), "alignment": alignment(*(embed(objective.encoder, view(g)) for view in views))}


def _finite(z: Tensor) -> Tensor:
    if not bool(z.isfinite().all()):
        raise TrainingDiverged("the embedding became NaN or infinite: lower lr or weight_decay, or clip gradients")
    return z


def _batches(data: Dataset, recipe: Recipe) -> Dataset | GraphBatches:
    graphs = data.train_graphs
    if recipe.batch_size is not None and len(graphs) == 1:
        raise ValueError(f"batch_size is for training on several graphs, and {data.name} has one; got {recipe.batch_size}")
    return data if recipe.batch_size is None else GraphBatches(graphs, recipe.batch_size)


def _scored(data: Dataset, recipe: Recipe) -> bool:
    """Whether there is anything to score by: a graph without (enough) labels has no split, and is trained all the same."""
    return bool(data.splits) or find_protocol(recipe.protocol).name != "fixed"


def _score(z: Any, data: Dataset, recipe: Recipe, watcher: Watcher, what: str) -> Score | None:
    if not _scored(data, recipe):
        return None
    watcher.stage(f"scoring {what}")
    return evaluate(z, data, recipe.protocol, setting=setting_of(data), num_splits=recipe.num_splits)
