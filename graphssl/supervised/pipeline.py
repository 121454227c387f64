"""A whole fine-tuning: a pre-trained run, a dataset, and the same network from scratch beside it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from graphssl.datasets import Dataset, Split
from graphssl.datasets.table import DATASETS, canonical, is_table
from graphssl.encoders import GNN, build
from graphssl.files import folder_written
from graphssl.pipeline import Watcher, load_for
from graphssl.random import seeded
from graphssl.recipes import is_known
from graphssl.runs import Run, load_run
from graphssl.supervised.labels import seed_for
from graphssl.supervised.options import Finetuning
from graphssl.supervised.predicting import check_features
from graphssl.supervised.trials import Trials, carry_out, splits_of
from graphssl.supervised.tuning import OnStep, Training, finetune


def finetune_run(
    path: str | Path,
    dataset: str,
    options: Finetuning,
    *,
    out: Path,
    root: str | None = None,
    seeds: Sequence[int] = (0,),
    force: bool = False,
    watcher: Watcher | None = None,
    columns: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Fine-tune the encoders of a run on a dataset, and the same network from scratch, and leave a run folder at ``out``.

    Fine-tuning ``i`` takes the run's seed number ``i``, counted round where it has fewer. Both trainings of a seed see the same labels in
    the same order, with the same head. ``columns`` are further options of :func:`graphssl.load`; those of the run hold where the
    dataset is its own. Returns what ``score.json`` holds.

    Raises:
        ValueError: a run, dataset or folder that will not do, or features that the run was not trained on.
    """
    watcher = watcher or Watcher()
    first = load_run(path)
    runs = [first, *(load_run(path, seed=seed) for seed in first.seeds[1 : len(seeds)])]
    of = {seed: runs[i % len(runs)] for i, seed in enumerate(seeds)}
    with folder_written(out, force=force) as folder:
        watcher.stage(f"loading {dataset}")
        same = first.record if dataset == first.dataset else {}
        chosen = {**same.get("options", {}), **(columns or {})}
        data = load_for(first.recipe, dataset, root or same.get("root"), chosen)
        check_features(first.record["encoder"], data.graphs[0], dataset, first.dataset)
        if not _same_meaning(first.dataset, dataset):
            watcher.warn(f"{first.dataset} and {dataset} have as many features; whether they mean the same, only you can know")
        trials = Trials(
            kind="finetune",
            name=f"{first.method} on {first.dataset}, fine-tuned",
            dataset=dataset,
            root=root,
            data=data,
            splits=splits_of(data, options.folds, options.num_splits),
            seeds=tuple(seeds),
            arms={
                "fine-tuned": lambda seed, split, tell: _train(of[seed].encoder, data, split, options, seed, tell),
                "from scratch": lambda seed, split, tell: _train(_untrained(first, seed), data, split, options, seed, tell),
            },
            setting=_setting(first, data, dataset, options),
            record={
                "pretrained": {
                    "run": str(path),
                    "method": first.method,
                    "dataset": first.dataset,
                    "seeds": {str(seed): run.seed for seed, run in of.items()},
                    "epochs": first.recipe.epochs,
                    "recipe_source": first.recipe.source,
                },
                "encoder": first.record["encoder"],
                "features": {"node_features": first.recipe.node_features, "scaling": first.recipe.features},
                "options": options.model_dump(mode="json"),
                "columns": chosen,
            },
        )
        return carry_out(trials, folder, watcher)


def _train(encoder: GNN, data: Any, split: Split, options: Finetuning, seed: int, tell: OnStep) -> Training:
    return finetune(
        encoder,
        data,
        split,
        epochs=options.epochs,
        lr=options.lr,
        batch_size=options.batch_size,
        dropout=options.dropout,
        weight_decay=options.weight_decay,
        label_fraction=options.labels,
        freeze=options.freeze,
        error=options.error,
        optimizer=options.optimizer,
        schedule=options.schedule,
        seed=seed,
        on_step=tell,
    )


def _untrained(run: Run, seed: int) -> GNN:
    with seeded(seed_for("start", seed)):
        return build(run.record["encoder"])


def _setting(run: Run, data: Dataset, dataset: str, options: Finetuning) -> str:
    """``transfer`` from another dataset; else whether pre-training saw the test graphs, which it did not only under the same split."""
    if run.dataset != dataset:
        return "transfer"
    same = run.record.get("data", {}).get("fingerprint") == data.fingerprint  # of the splits too
    return "inductive" if same and run.record.get("setting") == "inductive" and options.folds is None else "transductive"


def _same_meaning(first: str, second: str) -> bool:
    """Whether the features of two datasets are known to mean the same: one dataset, or molecules both."""

    def molecules(name: str) -> bool:
        return DATASETS[canonical(name)].molecules if is_known(name) else is_table(name)

    return first == second or (molecules(first) and molecules(second))
