"""A whole run: dataset, objective, training, embeddings, score with its two baselines, run folder."""

from __future__ import annotations

import shutil
import signal
import time
from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor

from graphssl import __version__
from graphssl.adjacency import all_finite
from graphssl.batches import Batches, shard
from graphssl.batches.epochs import Epochs
from graphssl.building import encoder_config, make, make_batches
from graphssl.datasets import Dataset, load
from graphssl.datasets.splits import labelled_rows
from graphssl.distributed import agreed, in_turn, world
from graphssl.embedding import embed
from graphssl.environment import environment, peak_rss_mb
from graphssl.evaluation import Score, alignment, collapse_warning, diagnostics, evaluate, find_protocol
from graphssl.files import check_free, folder_written
from graphssl.graph import Graph
from graphssl.objectives import METHODS, Objective
from graphssl.random import seeded
from graphssl.recipes import Recipe, is_known
from graphssl.resuming import Stopped, Work, seed_of, signals_wait
from graphssl.runs import FORMAT, checksums, save_seed, was_interrupted, write_json
from graphssl.scoring import Seed, baselines, score_record, setting_of
from graphssl.training import Step, Training, TrainingDiverged, train

WATCHED = 2048  # graphs, of many, that the watch for collapse embeds
SAVE_EVERY = 60.0  # seconds between checkpoints
OPTIONS = ("epochs", "lr", "weight_decay", "optimizer", "warmup", "schedule", "patience", "clip", "precision")  # of a recipe, for train
CONTRASTS = ("adgcl", "dim", "infograph", "infomin", "joao", "mvgrl", "simgrace")  # with the graphs that their own process has
TELLS_FROM = 100_000  # nodes that take seconds to embed
LOOKS = 20  # times a run, or every 50 steps, that the embedding is watched for collapse

Ready = dict[int, Graph | Batches]  # batches of seeds that are made already


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
    resume: bool = False,
    save_every: float = SAVE_EVERY,
    watcher: Watcher | None = None,
    options: Mapping[str, Any] | None = None,
    known: Mapping[str, Score] | None = None,
) -> dict[str, Any]:
    """Train, embed and score, and leave a run folder at ``out``; returns what ``score.json`` holds.

    Until the run is whole, what is done of it waits in a folder ``.NAME.resume`` beside ``out``: finished seeds, and checkpoints of the
    one under way. A run that was stopped, however it was, goes on from there with ``resume`` to the same numbers, bit for bit.

    SIGINT and SIGTERM end the run between two steps. After SIGINT, or a ``KeyboardInterrupt`` while training, the folder ``out`` holds the
    encoder as it was, is marked ``interrupted`` and has no ``score.json``; the record returned says so too. After SIGTERM there is no
    time for that. ``options`` are further ones of :func:`graphssl.load`; ``known`` are scores of :func:`beside` that need not be made.

    Under :func:`graphssl.distributed.joined` all processes call this and train together; the first one does all else, and to the others
    an empty record is returned.

    Raises:
        ValueError: a dataset, recipe or folder that will not do.
    """
    here, start = world(), time.perf_counter()
    watcher = Watcher() if here.rank or watcher is None else watcher
    if not here.rank:
        check_free(out, force=force or (resume and was_interrupted(out)))
    watcher.stage(f"loading {dataset}")
    with in_turn():
        data = load_for(recipe, dataset, root, options)
    recipe = _for_task(recipe, data, dataset)
    if recipe.batches == "partitions":
        watcher.stage(f"cutting {data.num_nodes:,} nodes into parts")
    ready: Ready = {seeds[0]: _batches(recipe, data, seeds[0])}  # refuse before anything is scored
    ranks = _ranks(ready[seeds[0]], recipe, method)
    identity = {
        "method": method,
        "dataset": dataset,
        "recipe": recipe.model_dump(mode="json"),
        "data": data.fingerprint,
        "version": __version__,
        **({"ranks": here.size} if here.size > 1 else {}),
    }
    work = Work(out, identity, save_every)
    done: list[Seed] = []
    with work.opened(resume=resume, force=force):
        if here.rank:
            return _follow(method, recipe, data, seeds, work, ready)
        if not _scored(data, recipe):
            watcher.warn(f"{data.name} has too few labels for a split: it is trained and embedded, and not scored")
        if recipe.batches == "neighbours" and recipe.norm == "batch" and min(recipe.fan_out or (0,)) >= 0:
            watcher.warn(
                "batch norm takes its statistics from sampled neighbourhoods, and the nodes that are embedded have all their neighbours: "
                "norm layer has no statistics"
            )
        try:
            others = work.remembered("beside", lambda: beside(data, recipe, watcher) if known is None else dict(known))
            for seed in seeds:
                found = work.finished(seed)
                if found is None:
                    _train_seed(method, recipe, data, seed, work, watcher, done, ready)
                else:
                    done.append(found)
                if done[-1].interrupted:
                    break
        except KeyboardInterrupt as stop:  # outside training: what is saved whole stays
            if not done or getattr(stop, "number", None) == signal.SIGTERM:
                raise
            done[-1].interrupted = True
        with folder_written(out, force=force or resume) as folder:
            work.put([s.seed for s in done], folder)
            record = _run_record(method, dataset, root, recipe, data, done)
            record |= {"options": dict(options or {}), **ranks}
            record |= {"wall_seconds": round(time.perf_counter() - start, 2), "files": checksums(folder)}
            write_json(folder / "run.json", record)
            if done[-1].interrupted:
                return {"method": method, "dataset": dataset, "interrupted": True, "epochs": done[-1].epochs, "run": str(out)}
            score = score_record(method, dataset, setting_of(data, recipe), recipe, done, others)
            score |= {"targets": list(data.targets or ()), **ranks}
            write_json(folder / "score.json", score)
        work.remove()
    return score


def _run_record(method: str, dataset: str, root: str | None, recipe: Recipe, data: Dataset, done: Sequence[Seed]) -> dict[str, Any]:
    """What ``run.json`` holds of the run itself: what ran, on what, where."""
    return {
        "format": FORMAT,
        "method": method,
        "dataset": dataset,
        "root": root,
        "setting": setting_of(data, recipe),
        "interrupted": done[-1].interrupted,
        "recipe": recipe.model_dump(mode="json"),
        "encoder": encoder_config(recipe, data.num_features, data.num_edge_features),
        "data": {"summary": data.summary(), "fingerprint": data.fingerprint, "source": data.source},
        "seeds": {str(s.seed): {"epochs": s.epochs, "steps": s.steps, "loss": s.loss} for s in done},
        "environment": environment(),
        "ended": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "peak_rss_mb": round(peak_rss_mb(), 1),
    }


def _batches(recipe: Recipe, data: Dataset, seed: int) -> Graph | Batches:
    """What this process goes through once an epoch: all batches, or its share of them."""
    here = world()
    return shard(make_batches(recipe, data, seed), here.rank, here.size, least=2 if data.level == "graph" else 1)


def _ranks(batches: Graph | Batches, recipe: Recipe, method: str) -> dict[str, Any]:
    """What ``run.json`` and ``score.json`` say of several processes."""
    here = world()
    if here.size == 1:
        return {}
    cls, norm = METHODS[method], {"batch": "of all ranks", "graph": "of each rank"}.get(recipe.norm)
    if cls.mean_over is None:
        raise ValueError(f"method: {method} cannot be trained by several processes, got {here.size}")
    share = {name: getattr(batches, name) for name in ("parts_per_batch", "roots") if hasattr(batches, name)}
    if hasattr(batches, "batch_size"):
        share = {"batch_size": -(-batches.batch_size // here.size)}
    others = "of all ranks" if cls.mean_over == "ranks" else "of each rank" if method in CONTRASTS else None
    return {"ranks": {"size": here.size, "backend": here.backend, "batch_per_rank": share, "norm_statistics": norm, "negatives": others}}


def _begun(method: str, recipe: Recipe, data: Dataset, seed: int, work: Work, ready: Ready) -> tuple[Training, dict[str, Any] | None]:
    """The steps of a seed, from its last checkpoint where there is one, and what was saved beside them."""
    batches = ready.pop(seed) if seed in ready else _batches(recipe, data, seed)  # a large graph takes minutes to cut
    with seeded(seed):
        objective = make(method, recipe, data.num_features, data.num_edge_features)
    options = {name: getattr(recipe, name) for name in OPTIONS}
    steps = train(objective, batches, seed=seed, device=world().device, **options)
    return steps, work.restore(steps, seed)


def _follow(method: str, recipe: Recipe, data: Dataset, seeds: Sequence[int], work: Work, ready: Ready) -> dict[str, Any]:
    """The part of all processes but the first: the steps of each seed."""
    for seed in seeds:
        if work.finished(seed) is not None:
            continue
        steps, _ = _begun(method, recipe, data, seed, work, ready)
        with signals_wait() as signalled:
            for _ in steps:
                due, number = agreed(False, signalled())
                if due or number is not None:
                    work.save(steps, Seed(seed), {})
                if number == signal.SIGINT:
                    return {"interrupted": True}
                if number is not None:
                    raise Stopped(number)
    return {}


def _train_seed(
    method: str, recipe: Recipe, data: Dataset, seed: int, work: Work, watcher: Watcher, done: list[Seed], ready: Ready
) -> None:
    """Train, save and score one seed, from its last checkpoint where there is one; it is ``done`` once it is saved."""
    steps, saved = _begun(method, recipe, data, seed, work, ready)
    objective = steps.trainer.objective
    seen, sampled = watched(data, recipe, steps.batches), data.level == "node" and recipe.batches != "whole"
    if saved is None:
        z = embed(objective.encoder, data)
        result, start = Seed(seed), spread(embed(objective.encoder, seen) if sampled else z, data)
        result.untrained = _score(z, data, recipe, watcher, "untrained encoder")
        del z  # not to be held while training
    else:
        result, start = seed_of(saved["result"]), saved["start"]
        watcher.stage(f"seed {seed} goes on from step {result.steps}")
    try:
        _steps(steps, objective, data, seen, result, start, work, watcher)
    except KeyboardInterrupt as stop:
        if not result.steps or getattr(stop, "number", None) == signal.SIGTERM:
            raise
        result.interrupted = True
    if data.num_nodes > TELLS_FROM:
        watcher.stage(f"embedding {data.num_nodes:,} nodes")
    z = _finite(embed(objective.encoder, data))
    result.diagnostics = spread(z, data)
    warning = collapse_warning(result.diagnostics, None if sampled else start)
    if warning and not result.warned:
        watcher.warn(f"at the end: {warning}")
    shutil.rmtree(work.seed_folder(seed), ignore_errors=True)
    save_seed(work.seed_folder(seed), objective.encoder, z, result.history)
    done.append(result)
    if not result.interrupted:
        result.score = _score(z, data, recipe, watcher, f"seed {seed}")
        work.finish(result)


def _steps(
    steps: Training,
    objective: Objective,
    data: Dataset,
    seen: Graph,
    result: Seed,
    start: dict[str, float],
    work: Work,
    watcher: Watcher,
) -> None:
    """Go through the steps of a seed: history, watch for collapse, checkpoints."""
    with signals_wait() as signalled:
        for step in steps:
            result.epochs, result.steps, result.loss = step.epoch, step.number, float(step.loss)
            result.seconds.append(step.seconds)
            row = {"step": step.number, "epoch": step.epoch, "loss": result.loss, "lr": step.lr, "seconds": round(step.seconds, 5)}
            if step.number % min(max(1, step.total // LOOKS), 50) == 0 or step.number == 1:
                look = watch(objective, seen, data)
                row.update(look)
                # Contrastive losses pass through a trough of rank early on; a fall counts when it has lasted to the second half.
                warning = collapse_warning(look, start if 2 * step.number >= step.total else None)
                if warning and not result.warned:
                    watcher.warn(f"step {step.number}: {warning}")
                    result.warned = True
            result.history.append(row)
            watcher.step(result.seed, step)
            due, number = agreed(work.due(), signalled())
            if due or number is not None:
                work.save(steps, result, {"start": start})
            if number is not None:
                raise Stopped(number)


def load_for(recipe: Recipe, dataset: str, root: str | None, options: Mapping[str, Any] | None = None) -> Dataset:
    """The dataset as a recipe wants it: which features nodes carry, and how they are scaled; ``options`` are those of a user's table.

    Raises:
        ValueError: a dataset that cannot be had, or not so.
    """
    data = load(dataset, root, node_features=recipe.node_features, **(options or {}))
    kept = recipe.inductive and data.level == "graph" and len(data.splits) == 1
    return data.preprocess(recipe.features, rows=data.split.train if kept else None)


def watched(data: Dataset, recipe: Recipe, batches: Batches) -> Graph:
    """What the watch for collapse embeds: the first training graph as it stands, some of many graphs, or a batch of what is sampled."""
    if data.level == "node" and recipe.batches != "whole":
        return cast(Epochs, batches).batch(0, 0)  # their place in the pass stays
    g = data.train_graphs[0]
    if data.level == "graph" and g.num_graphs > WATCHED:
        g = g.keep_graphs(torch.arange(0, g.num_graphs, -(-g.num_graphs // WATCHED)))
    return g


def watch(objective: Objective, g: Graph, data: Dataset) -> dict[str, float]:
    """Collapse diagnostics of the embedding of ``g``; alignment too where there are two views."""
    z = _finite(embed(objective.encoder, g, level=data.level))
    views = getattr(objective, "views", None)
    if views is None or len(views) != 2 or not (data.level == "graph" or all(view.keeps_nodes for view in views)):
        return spread(z, data)
    with seeded(0):
        return {**spread(z, data), "alignment": alignment(*(embed(objective.encoder, view(g), level=data.level) for view in views))}


def spread(z: Tensor, data: Dataset) -> dict[str, float]:
    """Collapse diagnostics of an embedding; at graph level of its standardised columns, since sums over nodes all point one way."""
    if data.level == "graph":
        std = z.std(0, correction=0)
        z = (z - z.mean(0)) / std.where(std > 1e-6 * z.abs().amax(0), 1)
    return diagnostics(z)


def _finite(z: Tensor) -> Tensor:
    if not all_finite(z):
        raise TrainingDiverged("the embedding became NaN or infinite: lower lr or weight_decay, or clip gradients")
    return z


def _for_task(recipe: Recipe, data: Dataset, dataset: str) -> Recipe:
    """The recipe with a protocol that can score what the user's own graphs are labelled with, which only loading them tells."""
    separates = find_protocol(recipe.protocol).classifier == "svm"
    if is_known(dataset) or data.level == "node" or data.task == "classification" or not separates:
        return recipe
    return recipe.model_copy(update={"protocol": "molecules-folds"})


def _scored(data: Dataset, recipe: Recipe) -> bool:
    """Whether there is anything to score by: a graph without (enough) labels has no split, and is trained all the same."""
    if data.level == "graph" and not labelled_rows(data.y, signed=data.task == "regression").numel():
        return False
    return bool(data.splits) or find_protocol(recipe.protocol).name not in ("fixed", "molecules")


def beside(data: Dataset, recipe: Recipe, watcher: Watcher) -> dict[str, Score]:
    """Scores of what needs no training, by name: the raw features first."""
    if not _scored(data, recipe):
        return {}
    setting = setting_of(data, recipe)
    return baselines(data, recipe.protocol, setting=setting, num_splits=recipe.num_splits, stage=watcher.stage)


def _score(z: Any, data: Dataset, recipe: Recipe, watcher: Watcher, what: str) -> Score | None:
    if not _scored(data, recipe):
        return None
    watcher.stage(f"scoring {what}")
    return evaluate(z, data, recipe.protocol, setting=setting_of(data, recipe), num_splits=recipe.num_splits)
