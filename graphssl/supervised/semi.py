"""Few labels: InfoGraph* beside graphs without, any objective beside nodes without, and the same network on the labels alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor

from graphssl.batches import GraphBatches
from graphssl.building import encoder_config, make_batches, make_objective, make_views
from graphssl.datasets import Dataset, Split
from graphssl.encoders import GNN, build
from graphssl.files import folder_written
from graphssl.graph import Graph
from graphssl.pipeline import Watcher, load_for
from graphssl.random import seeded
from graphssl.recipes import Recipe
from graphssl.scoring import setting_of
from graphssl.supervised.contrasting import READS_HEAD, SupervisedContrastive
from graphssl.supervised.infograph_star import InfoGraphStar, PairedBatches
from graphssl.supervised.joint import Joint, training_labels
from graphssl.supervised.labels import draw_labels, labelled_batches, seed_for
from graphssl.supervised.objective import Supervised, supervise
from graphssl.supervised.options import Joining, SemiRecipe, SupConRecipe
from graphssl.supervised.trials import Trials, carry_out, splits_of
from graphssl.supervised.tuning import OnStep, Training, fit_best

OPTIONS = ("epochs", "lr", "weight_decay", "optimizer", "warmup", "schedule", "clip", "precision")  # of a recipe, for train


def semi_run(
    dataset: str,
    recipe: SemiRecipe,
    *,
    out: Path,
    root: str | None = None,
    seeds: Sequence[int] = (0,),
    force: bool = False,
    watcher: Watcher | None = None,
    columns: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """InfoGraph* on a dataset, and the same network on the labels alone, under the same seeds; leaves a run folder at ``out``.

    Returns what ``score.json`` holds; ``columns`` are further options of :func:`graphssl.load`.

    Raises:
        ValueError: a dataset, recipe or folder that will not do.
    """
    watcher = watcher or Watcher()
    with folder_written(out, force=force) as folder:
        watcher.stage(f"loading {dataset}")
        data = load_for(recipe, dataset, root, columns)
        if data.level != "graph":
            raise ValueError(f"InfoGraph* is for data with many graphs; {data.name} is labelled by {data.level}")
        trials = Trials(
            kind="semi",
            name="infograph-star",
            dataset=dataset,
            root=root,
            data=data,
            splits=splits_of(data, recipe.folds, recipe.num_splits),
            seeds=tuple(seeds),
            arms={
                "with the unlabelled graphs": lambda seed, split, tell: semi(data, split, recipe, seed=seed, on_step=tell),
                "on the labels alone": lambda seed, split, tell: semi(data, split, recipe, seed=seed, alone=True, on_step=tell),
            },
            setting="transductive" if recipe.transductive else "inductive",
            record={
                "encoder": encoder_config(recipe, data.num_features, data.num_edge_features),
                "features": {"node_features": recipe.node_features, "scaling": recipe.features},
                "options": recipe.model_dump(mode="json"),
                "columns": dict(columns or {}),
            },
        )
        return carry_out(trials, folder, watcher)


def semi(data: Dataset, split: Split, recipe: SemiRecipe, *, seed: int = 0, alone: bool = False, on_step: OnStep | None = None) -> Training:
    """Train InfoGraph* on a share of the labels and the graphs without, or with ``alone`` its supervised encoder on the labels alone.

    Both start from the same encoder and head, see the same labels in the same batches, and take as many steps; the epoch that counts is
    chosen as by :func:`finetune`.
    """
    config = encoder_config(recipe, data.num_features, data.num_edge_features)
    rows = draw_labels(data.y, split.train, recipe.labels, task=data.task, seed=seed)
    encoder, other = (_drawn(config, what, seed) for what in ("start", "other"))
    with seeded(seed_for("head", seed)):
        supervised = supervise(encoder, data, rows, dropout=recipe.dropout, error=recipe.error)
    labelled = cast(GraphBatches, labelled_batches(data, rows, recipe.batch_size or len(rows)))
    unlabelled = GraphBatches(data.graph.keep_graphs(_unlabelled(data, split, recipe)), recipe.unlabelled_batch, drop_last=True)
    pairs = PairedBatches(labelled, unlabelled, seed=seed_for("unlabelled", seed))
    options = {name: getattr(recipe, name) for name in OPTIONS}
    if alone:
        return fit_best(supervised, pairs.labelled, supervised, data, split, rows=rows, on_step=on_step, seed=seed, **options)
    with seeded(seed_for("projections", seed)):
        objective = InfoGraphStar(supervised, other, weight=recipe.weight, unsupervised=recipe.unsupervised, tie=recipe.tie)
    batches = cast(Any, pairs)  # training goes through pairs as it does through graphs
    return fit_best(objective, batches, supervised, data, split, rows=rows, on_step=on_step, seed=seed, **options)


def joint_run(
    method: str,
    dataset: str,
    recipe: Recipe,
    numbers: Joining,
    *,
    out: Path,
    root: str | None = None,
    seeds: Sequence[int] = (0,),
    force: bool = False,
    watcher: Watcher | None = None,
    columns: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Labels with a method beside them on node-level data, and the same network on the labels alone; leaves a run folder at ``out``.

    Returns what ``score.json`` holds; ``columns`` are further options of :func:`graphssl.load`.

    Raises:
        ValueError: a dataset, recipe or folder that will not do.
    """
    watcher = watcher or Watcher()
    with folder_written(out, force=force) as folder:
        watcher.stage(f"loading {dataset}")
        data = load_for(recipe, dataset, root, columns)
        if data.level != "node":
            raise ValueError(f"semi {method} is for data labelled by node; {data.name} is labelled by {data.level}")
        trials = Trials(
            kind="semi",
            name=f"labels and {method}",
            dataset=dataset,
            root=root,
            data=data,
            splits=splits_of(data, num_splits=recipe.num_splits),
            seeds=tuple(seeds),
            arms={
                f"with {method}": lambda seed, split, tell: joint(method, data, split, recipe, numbers, seed=seed, on_step=tell),
                "on the labels alone": lambda seed, split, tell: joint(
                    method, data, split, recipe, numbers, seed=seed, alone=True, on_step=tell
                ),
            },
            setting=setting_of(data, recipe),
            record={
                "encoder": encoder_config(recipe, data.num_features, data.num_edge_features),
                "features": {"node_features": recipe.node_features, "scaling": recipe.features},
                "method": method,
                "options": {**recipe.model_dump(mode="json"), **numbers.model_dump(mode="json")},
                "columns": dict(columns or {}),
            },
        )
        return carry_out(trials, folder, watcher)


def joint(
    method: str,
    data: Dataset,
    split: Split,
    recipe: Recipe,
    numbers: Joining,
    *,
    seed: int = 0,
    alone: bool = False,
    on_step: OnStep | None = None,
) -> Training:
    """Train on a share of the labels with a method's objective beside them, or with ``alone`` on the labels alone.

    Both start from the same encoder and head, see the same labels and sampled batches, and take as many steps; the epoch that counts is
    chosen as by :func:`finetune`.
    """
    rows = draw_labels(data.y, split.train, numbers.labels, task=data.task, seed=seed)
    encoder = _drawn(encoder_config(recipe, data.num_features, data.num_edge_features), "start", seed)
    with seeded(seed_for("head", seed)):
        supervised = supervise(encoder, data, rows, dropout=recipe.dropout, input_dropout=recipe.input_dropout, error=numbers.error)
    with seeded(seed_for("auxiliary", seed)):
        objective = _beside(method, supervised, training_labels(data, rows), recipe, _alone(numbers) if alone else numbers)
    batches = make_batches(recipe, data, seed)
    options = {name: getattr(recipe, name) for name in OPTIONS}
    return fit_best(
        objective,
        [batches] if isinstance(batches, Graph) else batches,
        supervised,
        data,
        split,
        rows=rows,
        val_every=numbers.val_every,
        on_step=on_step,
        seed=seed,
        **options,
    )


def _beside(method: str, supervised: Supervised, y: Tensor, recipe: Recipe, numbers: Joining) -> Joint:
    """The labels' loss and the method's; weight 0 leaves the latter out."""
    encoder, weight = supervised.encoder, numbers.weight
    smooth: dict[str, Any] = {name: getattr(numbers, name) for name in ("vat", "vat_eps", "entropy", "ramp")}
    if not isinstance(recipe, SupConRecipe):
        return Joint(supervised, make_objective(method, recipe, encoder), y, weight=weight, **smooth)
    if supervised.task != "classification":
        raise ValueError(f"semi supcon is for one class a node, and these labels are for {supervised.task}")
    if recipe.loss == "paco" and weight not in (0, 1):
        raise ValueError(
            f"weight is for losses beside that of the labels, and loss paco is one with it: share weighs its parts, got {weight}"
        )
    with_head = recipe.loss in READS_HEAD
    contrast = SupervisedContrastive(
        encoder,
        cast(Any, make_views(recipe)),
        y,
        loss=recipe.loss,
        hidden=recipe.hidden,
        head=supervised.head if with_head else None,
        queue=(8 if recipe.queue is None else recipe.queue) if with_head else 0,
        weight=weight,
        reconstruct=recipe.reconstruct,
        **recipe.loss_options(),
    )
    if not weight:
        return Joint(supervised, contrast, y, weight=0, **smooth)
    if with_head:
        return Joint(supervised, contrast, y, reach="none", **smooth)
    return Joint(supervised, contrast, y, weight=weight, reach="head" if recipe.classifier == "probe" else "encoder", **smooth)


def _alone(numbers: Joining) -> Joining:
    """The same labels, and nothing beside their loss."""
    return numbers.model_copy(update={"weight": 0.0, "vat": 0.0, "entropy": 0.0})


def _drawn(config: dict[str, Any], what: str, seed: int) -> GNN:
    with seeded(seed_for(what, seed)):
        return build(config)


def _unlabelled(data: Dataset, split: Split, recipe: SemiRecipe) -> Tensor:
    """Rows of the graphs that are seen without labels; those of the labelled ones are among them."""
    seen = torch.ones(data.num_rows, dtype=torch.bool)
    if not recipe.transductive:
        seen[torch.cat([split.val, split.test])] = False
    return seen.nonzero().squeeze(1)
