"""Predictions for new data, one line a row of what was given, rows that could not be read included."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from graphssl.batches import GraphBatches
from graphssl.datasets import Dataset, load
from graphssl.datasets.columns import read_table
from graphssl.datasets.dataset import Task
from graphssl.datasets.molecules import Refused, listed, smiles_graphs
from graphssl.datasets.splits import Split
from graphssl.datasets.table import is_table
from graphssl.datasets.tables import INVALID, smiles_name
from graphssl.files import written
from graphssl.graph import Graph
from graphssl.sensitivity import Disturbance, tolerable, uncertainty
from graphssl.supervised.models import Predictor
from graphssl.supervised.tuning import CHUNK, PASS, predict


@dataclass(frozen=True)
class Unsure:
    """How :func:`graphssl.sensitivity.uncertainty` disturbs, and how strongly; ``None``: as strongly as is tolerated."""

    by: Disturbance
    strength: float | None = None


@dataclass(frozen=True, eq=False)
class Predictions:
    """Predictions of the rows that could be read, and the others with the reason."""

    columns: tuple[str, ...]
    values: Tensor  # [n, K] probabilities, or values
    row_id: Tensor  # [n] row in the file, or in the dataset
    ids: tuple[str, ...] | None  # of each of them, where there are names
    refused: tuple[Refused, ...] = ()

    def lines(self) -> Iterator[list[str]]:
        """Cells of each row in the order of the file, under the names of :attr:`header`."""
        refused = {entry.row: entry for entry in self.refused}
        place = {int(row): i for i, row in enumerate(self.row_id)}
        values = self.values.tolist()
        for row in sorted([*place, *refused]):
            if row in refused:
                yield [str(row), refused[row].smiles, *[""] * len(self.columns), refused[row].reason]
            else:
                i = place[row]
                yield [str(row), self.ids[i] if self.ids else "", *map(number, values[i]), ""]

    @property
    def header(self) -> list[str]:
        own = ("row", "id", "reason")
        return ["row", "id", *(f"{name}_predicted" if name in own else name for name in self.columns), "reason"]

    def write(self, path: Path) -> None:
        """As a CSV file, which appears whole or not at all."""
        with written(path) as part, open(part, "w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(self.header)
            writer.writerows(self.lines())


def predict_new(
    run: Predictor,
    data: str,
    *,
    root: str | None = None,
    smiles: str | None = None,
    invalid: str | None = None,
    unsure: Unsure | None = None,
) -> Predictions:
    """Predictions of a fine-tuned run, the mean over its models (of probabilities, where they are), for new data.

    Args:
        run: read by :func:`load_models`.
        data: a CSV or Parquet file with a column of SMILES, any targets of which are not looked at; or any other dataset that
            :func:`graphssl.load` knows.
        root: of the raw data of a dataset by name.
        smiles: the column of SMILES; without it that of the training data, or the one that is called so.
        invalid: ``"skip"`` tells of SMILES that cannot be read, with the reason; ``"refuse"`` raises an error; ``"relax"`` is ``"skip"``
            but for those that only break rdkit's rules of valence. Without it ``"relax"`` where the run was trained so, else ``"skip"``.
        unsure: a last column ``uncertainty``: how much predictions vary under this disturbance.

    Raises:
        ValueError: data that cannot be read, or other features than the run was trained on.
    """
    if invalid not in (None, *INVALID):
        raise ValueError(f"invalid must be one of {', '.join(INVALID)}, got {invalid!r}")
    if is_table(data):
        table, chosen = read_table(data), run.record.get("columns", {})
        usual = chosen.get("smiles") if chosen.get("smiles") in table.names else None
        column = table.column(smiles or usual or smiles_name(table), "smiles")
        texts = [text or "" for text in column.text]
        graph, rows, refused = smiles_graphs(texts, relax=(invalid or chosen.get("invalid")) == "relax")
        if refused and invalid == "refuse":
            raise ValueError(f"data: {len(refused):,} of {len(texts):,} SMILES could not be read: {listed(refused)}")
        check_features(run.record["encoder"], graph, data, run.record["dataset"])
        columns, values = _told(run, GraphBatches(graph, PASS, shuffle=False), unsure)
        return Predictions(columns, values, rows, tuple(texts[row] for row in rows.tolist()), tuple(refused))
    if smiles is not None or invalid is not None:
        raise ValueError(f"{'invalid' if smiles is None else 'smiles'} is for a table of SMILES, and {data} is not a CSV or Parquet file")
    features = run.record["features"]
    if "standardize" in features["scaling"] and data != run.record["dataset"]:
        raise ValueError(f"data: the run standardised the features of {run.record['dataset']}, which cannot be repeated on {data}")
    found = load(data, root, node_features=features["node_features"]).preprocess(features["scaling"])
    if found.level != run.record["target"]["level"]:
        raise ValueError(f"data: {data} is {found.level}-level, and the run predicts by {run.record['target']['level']}")
    check_features(run.record["encoder"], found.graphs[0], data, run.record["dataset"])
    graphs = GraphBatches(found.graph, PASS, shuffle=False) if found.level == "graph" else found.graphs
    row_id = torch.arange(found.num_rows) if found.row_id is None else found.row_id
    columns, values = _told(run, graphs, unsure)
    return Predictions(columns, values, row_id, found.ids)


def check_features(encoder: dict[str, object], graph: Graph, data: str, trained_on: str) -> None:
    """Refuse graphs that the encoder of a run cannot take.

    Raises:
        ValueError: another number of features, or of edge attributes.
    """
    if graph.num_features != encoder["in_channels"]:
        raise ValueError(
            f"data: {data} has {graph.num_features} features a node, and the run was trained on {encoder['in_channels']} ({trained_on}); "
            "they must be the same"
        )
    attr = graph.edge_attr
    width = 0 if attr is None else 1 if attr.dim() == 1 else attr.size(1)
    if "edge_channels" in encoder and width != encoder["edge_channels"]:
        raise ValueError(
            f"data: {data} has {width} attributes an edge, and the run was trained on {encoder['edge_channels']} ({trained_on}); "
            "they must be the same"
        )


def shown(predictions: Tensor, task: Task) -> Tensor:
    """Logits ``[n, K]`` as they are written: probabilities, of two classes that of the second; values of a regression as they are.

    Example:
        >>> shown(torch.zeros(1, 2), "classification"), shown(torch.zeros(1, 2), "multilabel")
        (tensor([[0.5000]]), tensor([[0.5000, 0.5000]]))
    """
    if task == "regression":
        return predictions
    if task == "multilabel":
        return predictions.sigmoid()
    classes = predictions.softmax(1)
    return classes[:, 1:] if classes.size(1) == 2 else classes


def write_rows(path: Path, data: Dataset, split: Split, seen: Tensor, columns: Sequence[str], values: Tensor) -> None:
    """Predictions of all rows of a dataset with the part of the split they are in, and whether their label was seen in training."""
    part = [""] * data.num_rows
    for name in ("train", "val", "test"):
        for row in getattr(split, name).tolist():
            part[row] = name
    shown_rows = set(seen.tolist())
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["row", "id", "part", "label_seen", *columns])
        for start in range(0, data.num_rows, CHUNK):
            for i, numbers in enumerate(values[start : start + CHUNK].tolist(), start):
                row = i if data.row_id is None else int(data.row_id[i])
                writer.writerow([row, data.ids[i] if data.ids else "", part[i], int(i in shown_rows), *map(number, numbers)])


def number(value: float) -> str:
    """Six significant digits; nothing for NaN."""
    return "" if math.isnan(value) else f"{value:.6g}"


def _told(run: Predictor, graphs: GraphBatches | Sequence[Graph], unsure: Unsure | None) -> tuple[tuple[str, ...], Tensor]:
    """Names and values of the columns: the mean over the models, and where it is asked for their mean uncertainty."""
    columns, task = tuple(run.record["target"]["columns"]), run.models[0].task
    values = torch.stack([shown(predict(model, graphs), task) for model in run.models]).mean(0)
    if unsure is None:
        return columns, values
    given = unsure.strength
    strength = tolerable(run.models[0], next(iter(graphs)), by=unsure.by) if given is None else given
    each = [torch.cat([uncertainty(model, g, by=unsure.by, strength=strength) for g in graphs]) for model in run.models]
    return (*columns, "uncertainty"), torch.cat([values, torch.stack(each).mean(0)[:, None]], 1)
