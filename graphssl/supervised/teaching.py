"""A whole distillation: a run folder as the teacher, a student of it, and the same student on the labels alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from graphssl.building import encoder_config, make_batches
from graphssl.datasets import Dataset, Split
from graphssl.encoders import build
from graphssl.files import MARK, folder_written
from graphssl.graph import Graph
from graphssl.pipeline import Watcher, load_for
from graphssl.random import seeded
from graphssl.runs import load_run, read_json
from graphssl.scoring import setting_of
from graphssl.supervised.distillation import Contrast, Teacher
from graphssl.supervised.labels import seed_for
from graphssl.supervised.models import KINDS, load_models
from graphssl.supervised.objective import Supervised
from graphssl.supervised.options import DistillRecipe
from graphssl.supervised.students import distill
from graphssl.supervised.trials import TrainArm, Trials, carry_out, splits_of
from graphssl.supervised.tuning import Training, finetune, graphs_of, predict, score_rows

HEAD = {"epochs": 300, "lr": 0.01}  # of a head on the embeddings of a pre-trained teacher, which predicts nothing by itself
OPTIONS = ("optimizer", "warmup", "schedule", "clip", "precision")  # of a recipe, for train
ALONE: dict[str, tuple[str, dict[str, float]]] = {  # students that are compared, and what they do without
    "kd": ("with its predictions alone", {"crd": 0.0}),
    "crd": ("with its embeddings alone", {"kd": 0.0}),
}


def distill_run(
    path: str | Path,
    recipe: DistillRecipe,
    *,
    out: Path,
    root: str | None = None,
    seeds: Sequence[int] = (0,),
    force: bool = False,
    watcher: Watcher | None = None,
) -> dict[str, Any]:
    """Teach a student by a run, beside the same student on the labels alone and the teacher; leaves a run folder at ``out``.

    The run is one that ``graphssl finetune``, ``semi`` or ``distill`` wrote, or a pre-trained one, on whose embeddings a linear head is
    trained first. Seed ``i`` takes the run's seed number ``i``, counted round. Returns what ``score.json`` holds.

    Raises:
        ValueError: a run or folder that will not do, or a teacher that was trained on other splits and may have seen test labels.
    """
    watcher = watcher or Watcher()
    taught_by = Source.read(Path(path))
    recipe = recipe.model_copy(update=taught_by.features)
    with folder_written(out, force=force) as folder:
        watcher.stage(f"loading {taught_by.dataset}")
        root = root or taught_by.root
        data = load_for(recipe, taught_by.dataset, root, taught_by.columns)
        lesson = Lesson(taught_by, data, recipe, tuple(seeds))
        weights = {name: getattr(recipe, name) for name in ("kd", "crd")}
        arms: dict[str, TrainArm] = {
            "with the teacher": lambda seed, split, tell: lesson.student(seed, split, tell, **weights),
            "on the labels alone": lambda seed, split, tell: lesson.student(seed, split, tell, kd=0.0, crd=0.0, ce=1.0),
        }
        for name in recipe.compare:
            label, without = ALONE[name]
            arms[label] = lambda seed, split, tell, own={**weights, **without}: lesson.student(seed, split, tell, **own)  # type: ignore[misc]
        arms["the teacher itself"] = lambda seed, split, tell: lesson.teacher(seed, split)
        trials = Trials(
            kind="distill",
            name=f"{recipe.encoder} taught by {taught_by.name}",
            dataset=taught_by.dataset,
            root=root,
            data=data,
            splits=splits_of(data, taught_by.folds, taught_by.num_splits),
            seeds=tuple(seeds),
            arms=arms,
            setting=setting_of(data, recipe),
            record={
                "teacher": {"run": str(path), "name": taught_by.name, "encoder": taught_by.encoder},
                "encoder": encoder_config(recipe, data.num_features, data.num_edge_features),
                "features": {"node_features": recipe.node_features, "scaling": recipe.features},
                "options": recipe.model_dump(mode="json"),
                "columns": taught_by.columns,
            },
        )
        return carry_out(trials, folder, watcher)


@dataclass(frozen=True)
class Source:
    """A run folder as a teacher: what it was trained on, and how."""

    path: Path
    record: dict[str, Any]  # run.json
    name: str
    dataset: str
    root: str | None
    features: dict[str, Any]  # fields of a recipe
    columns: dict[str, Any]
    encoder: dict[str, Any]
    folds: int | None
    num_splits: int | None

    @classmethod
    def read(cls, path: Path) -> Source:
        """Of either kind of run.

        Raises:
            ValueError: no run folder.
        """
        record = read_json(path, MARK)
        if record.get("kind") in KINDS:
            given, options = load_models(path).record["features"], record.get("options", {})
            features = {"node_features": given["node_features"], "features": given["scaling"]}
            name, columns, counts = str(record["name"]), record.get("columns", {}), (options.get("folds"), options.get("num_splits"))
        else:
            run = load_run(path)
            features = {"node_features": run.recipe.node_features, "features": run.recipe.features}
            name, columns, counts = f"{run.method} on {run.dataset}", record.get("options", {}), (None, None)
        return cls(path, record, name, record["dataset"], record.get("root"), features, columns, record["encoder"], *counts)

    def model(self, data: Dataset, split: Split, number: int, labels: float, seed: int) -> Supervised:
        """The teacher for a split: the run's model number ``number``, counted round, or a head on its encoder.

        Raises:
            ValueError: no model of the run was trained on this split.
        """
        if self.record.get("kind") not in KINDS:
            seeds = load_run(self.path).seeds
            encoder = load_run(self.path, seed=seeds[number % len(seeds)]).encoder
            return finetune(encoder, data, split, freeze=True, label_fraction=labels, seed=seed, **HEAD).objective  # type: ignore[arg-type]
        parts = self.record["parts"]
        fitting = [i for i, part in enumerate(parts.values()) if part["split_hash"] == split.hash]
        if not fitting:
            raise ValueError(f"run: {self.path} was trained on other splits than {split.name!r}, and may have seen labels that are to test")
        return load_models(self.path).models[fitting[number % len(fitting)]]


@dataclass
class Lesson:
    """Teachers and students of a run; a teacher answers once for each seed and split."""

    source: Source
    data: Dataset
    recipe: DistillRecipe
    seeds: tuple[int, ...]
    known: dict[tuple[int, str], tuple[Supervised, Teacher]] = field(default_factory=dict)

    def answers(self, seed: int, split: Split) -> tuple[Supervised, Teacher]:
        """The teacher of a seed and a split, and what it says of all rows."""
        if (key := (seed, split.hash)) not in self.known:
            model = self.source.model(self.data, split, self.seeds.index(seed), self.recipe.labels, seed)
            self.known = {key: (model, Teacher.of(model, self.data))}  # the ones before are not asked again
        return self.known[key]

    def student(self, seed: int, split: Split, tell: Any, *, kd: float, crd: float, ce: float | None = None) -> Training:
        """A student with these weights; all of a seed start alike."""
        recipe, data = self.recipe, self.data
        with seeded(seed_for("start", seed)):
            encoder = build(encoder_config(recipe, data.num_features, data.num_edge_features))
        batches = make_batches(recipe, data, seed) if data.level == "node" else None
        contrast = Contrast(form=recipe.form, tau=recipe.tau, negatives=recipe.negatives, other_classes=recipe.other_classes)
        return distill(
            self.answers(seed, split)[1],
            encoder,
            data,
            split,
            ce=recipe.ce if ce is None else ce,
            kd=kd,
            crd=crd,
            temperature=recipe.temperature,
            contrast=contrast,
            epochs=recipe.epochs,
            lr=recipe.lr,
            weight_decay=recipe.weight_decay,
            dropout=recipe.dropout,
            input_dropout=recipe.input_dropout,
            label_fraction=recipe.labels,
            error=recipe.error,
            batches=[batches] if isinstance(batches, Graph) else batches,
            seed=seed,
            on_step=tell,
            **{name: getattr(recipe, name) for name in OPTIONS},
        )

    def teacher(self, seed: int, split: Split) -> Training:
        """The teacher's own score, as of a training that is over."""
        model, _ = self.answers(seed, split)
        predictions = predict(model, graphs_of(self.data))
        test = score_rows(self.data, split.test, predictions)
        return Training(model, split.train, self.data.metric, "last", 0, (), (), test, test, predictions)
