"""Molecules in a table: a SMILES column, any number of target columns, and a split."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

import numpy as np
import torch
from torch import Tensor

from graphssl.datasets.columns import Column, Table, as_number, first_rows, read_table
from graphssl.datasets.dataset import Dataset, Task
from graphssl.datasets.labels import are_few
from graphssl.datasets.molecules import listed, smiles_graphs
from graphssl.datasets.scaffold import scaffold_split
from graphssl.datasets.splits import Split, labelled_rows, random_splits
from graphssl.evaluation.score import ERRORS

logger = logging.getLogger(__name__)

SMILES = ("smiles", "canonical_smiles", "isomeric_smiles", "smile", "mol", "molecule", "structure")  # usual names, the likeliest first
NUMBERS = (
    "",
    "id",
    "ids",
    "index",
    "idx",
    "num",
    "no",
    "nr",
    "row",
    "number",
    "key",
    "cid",
    "sid",
    "name",
)  # names of what only numbers rows
INVALID = ("skip", "refuse", "relax")
TASKS: tuple[str, ...] = get_args(Task)
SPLITS = ("scaffold", "random", "stratified")
WORDS = {"train": 0, "training": 0, "valid": 1, "val": 1, "validation": 1, "dev": 1, "test": 2, "testing": 2}
DRAWN = 5  # random 80/10/10 splits, one a seed
FEW = 10  # labelled molecules below which there is no split


def from_table(
    path: str | Path,
    smiles: str | None = None,
    targets: str | Sequence[str] | None = None,
    split: str | None = None,
    *,
    task: Task | None = None,
    metric: str | None = None,
    invalid: str = "skip",
    seed: int = 0,
) -> Dataset:
    """A graph-level dataset from a CSV or Parquet file with a column of SMILES; each molecule is a graph (see :func:`smiles_graphs`).

    ``ids`` are the SMILES, ``row_id`` the rows in the file (from 0 below the header), and ``targets`` the columns' names.

    Args:
        path: of the file.
        smiles: the column of SMILES; without it the one that is called so (smiles, canonical_smiles, mol, ...).
        targets: the columns to predict; without it all others that hold numbers and do not just number the rows, or else the only one that
            holds a few words. Values may be missing. A molecule without any is unlabelled, and one can train on it.
        split: ``"scaffold"`` (:func:`scaffold_split`, the default where it can be made), ``"random"`` (five of 80/10/10), ``"stratified"``
            (likewise, in each class), or a column of train, valid and test (an empty cell: in no part).
        task: ``"classification"``, ``"multilabel"`` or ``"regression"``. Without it: columns of nothing but 0 and 1 are labels; a single
            column of whole numbers or words holds classes (in sorted order, named in ``classes``) where there are at most 4 different ones,
            or at most 20 with five rows each on average; all else is regression.
        metric: without it ``roc_auc`` for two classes (a list or folder of graphs has accuracy there) and for labels, ``accuracy`` for more
            classes, ``rmse`` for regression.
        invalid: what becomes of a SMILES that cannot be read: ``"skip"`` leaves the row out and logs a warning with the rows and reasons,
            ``"refuse"`` raises an error, ``"relax"`` is ``"skip"`` but for those that only break rdkit's rules of valence, which stay.
        seed: of random splits.

    Raises:
        ValueError: a file that cannot be read, a missing column, a target that is text, no molecule, a split that cannot be made;
            ``NeedsRdkit`` where rdkit is missing.

    Example:
        >>> import tempfile
        >>> file = Path(tempfile.mkdtemp()) / "mine.csv"
        >>> rows = [f"{'C' * i}O,{i % 2},{i / 10}" for i in range(1, 41)]
        >>> _ = file.write_text("\\n".join(["SMILES,toxic,logp", *rows]))
        >>> from_table(file, targets="toxic", split="random").summary()
        'mine: 40 graphs, 860 nodes, 1,640 edges, 174 features, 2 classes, roc_auc, graph level, random-80-10-10-0 and 4 more'
        >>> from_table(file, targets="logP")
        Traceback (most recent call last):
        ...
        ValueError: targets: mine.csv has no column 'logP', did you mean 'logp'? it has 'SMILES', 'toxic', 'logp'
    """
    for name, given, allowed in (("invalid", invalid, INVALID), ("task", task, (*TASKS, None))):
        if given not in allowed:
            raise ValueError(f"{name} must be one of {', '.join(str(word) for word in allowed if word)}, got {given!r}")
    table = read_table(path)
    column = table.column(smiles if smiles is not None else smiles_name(table), "smiles")
    words = _split_column(table, split)
    found = _targets(table, targets, [column.name, *([words.name] if words else [])])
    name = table.path.name.split(".")[0]
    rules = Rules(split, task, metric, invalid, seed)
    return dataset_of(name, [text or "" for text in column.text], found, rules, words, source="the user's own")


@dataclass(frozen=True)
class Rules:
    """How a table of molecules becomes a dataset: arguments of :func:`from_table`."""

    split: str | None = None
    task: str | None = None
    metric: str | None = None
    invalid: str = "skip"
    seed: int = 0


def dataset_of(
    name: str, smiles: Sequence[str], targets: Sequence[Column], rules: Rules, words: Column | None = None, *, source: str
) -> Dataset:
    """The dataset of these SMILES and target columns.

    Raises:
        ValueError: as :func:`from_table`.
    """
    task, y, classes = _labels(targets, "regression" if rules.metric in ERRORS and rules.task is None else rules.task, len(smiles))
    if rules.metric is not None and (rules.metric in ERRORS) != (task == "regression"):
        raise ValueError(f"metric {rules.metric!r} does not fit the task, which is {task}")
    graph, rows, refused = smiles_graphs(smiles, relax=rules.invalid == "relax")
    if refused:
        count = f"{name}: {len(refused):,} of {len(smiles):,} SMILES could not be read"
        if rules.invalid == "refuse":
            raise ValueError(f"{count}: {listed(refused)}")
        logger.warning("%s and are left out (rows count from 0): %s", count, listed(refused))
    ids = tuple(smiles[row] for row in rows.tolist())
    y = y[rows]
    metric = rules.metric or _metric(task, y)
    splits = _splits(rules, ids, y, task) if words is None else (_given(words, rows, y, task),)
    columns = tuple(column.name for column in targets) or None
    return Dataset(
        name,
        (graph,),
        y,
        splits,
        metric,
        source,
        level="graph",
        ids=ids,
        row_id=rows,
        targets=columns,
        classes=classes,
        molecules=True,
    )


# ---------------------------------------------------------------------- which columns


def smiles_name(table: Table) -> str:
    by_name = {name.strip().lower().replace(" ", "_"): name for name in reversed(table.names)}
    usual = [by_name[name] for name in SMILES if name in by_name] or [name for name in table.names if "smiles" in name.lower()]
    if not usual:
        raise ValueError(f"smiles: {table.path.name} has no column that is called so{table.hint('smiles')}; name it by smiles=")
    return usual[0]


def _targets(table: Table, given: str | Sequence[str] | None, chosen: Sequence[str]) -> list[Column]:
    if given is not None:
        names = [given] if isinstance(given, str) else list(given)
        columns = [table.column(name, "targets") for name in names]
        for column in columns:
            if column.name in chosen or names.count(column.name) > 1:
                raise ValueError(f"targets: the column {column.name!r} is named twice, or serves for something else already")
            if column.is_empty:
                raise ValueError(f"targets: the column {column.name!r} holds no value")
        return columns
    others = [table.column(name, "targets") for name in table.names if name not in chosen and not _only_numbers_rows(name)]
    others = [column for column in others if not column.is_empty]
    for column in others:
        _warn_of_text_among_numbers(table, column)
    found = [column for column in others if column.numbers is not None]
    if not found:
        words = [column for column in others if _holds_classes(column) and not {text.lower() for text in column.text if text} <= set(WORDS)]
        found = words if len(words) == 1 else []
    logger.info("%s: targets %s", table.path.name, ", ".join(repr(column.name) for column in found) or "none")
    return found


def _warn_of_text_among_numbers(table: Table, column: Column) -> None:
    known = [(row, text) for row, text in enumerate(column.text) if text is not None]
    odd = [] if column.numbers is not None else [(row, text) for row, text in known if as_number(text) is None]
    if odd and 2 * len(odd) < len(known):
        what = f"{len(odd):,} of {len(known):,} values are no numbers, first {odd[0][1]!r} in row {odd[0][0]}"
        logger.warning("%s: the column %r is no target: %s", table.path.name, column.name, what)


def _split_column(table: Table, split: str | None) -> Column | None:
    if split in SPLITS:
        return None
    if split is None:
        unused = [name for name in table.names if name.strip().lower() == "split"]
        if unused:
            logger.warning("%s has a column %r, which is not used: pass split=%r to use it", table.path.name, unused[0], unused[0])
        return None
    if split not in table.names:
        raise ValueError(f"split must be {', '.join(SPLITS)} or a column of {table.path.name}, got {split!r}{table.hint(split)}")
    return table.column(split, "split")


def _only_numbers_rows(name: str) -> bool:
    name = name.strip().lower().replace(" ", "_")
    return name in NUMBERS or name.startswith("unnamed") or name.endswith("_id")


def _holds_classes(column: Column) -> bool:
    """A few whole numbers, or a few words none of which is a number."""
    if column.numbers is not None:
        known: list[str] | list[float] = _known(column.numbers)
        good = _whole(column.numbers)
    else:
        known = [text for text in column.text if text is not None]
        good = all(as_number(text) is None for text in set(known))
    return good and are_few(known)


# ---------------------------------------------------------------------- what they hold


def _labels(columns: Sequence[Column], task: str | None, num_rows: int) -> tuple[str, Tensor, tuple[str, ...] | None]:
    """The task; ``y``: classes ``[R]``, or labels or targets ``[R, T]``; and the classes' names, where they have some."""
    if not columns:
        if task not in (None, "classification"):
            raise ValueError(f"task {task!r} needs a target column, and there is none")
        return "classification", torch.full((num_rows,), -1), None
    single = columns[0] if len(columns) == 1 else None
    binary = all(column.numbers is not None and np.isin(column.numbers[~np.isnan(column.numbers)], (0, 1)).all() for column in columns)
    if task is None:
        classes = single is not None and (binary or _holds_classes(single))
        task = "classification" if classes else "multilabel" if binary else "regression"
    if task == "classification":
        if single is None:
            raise ValueError(
                f"task 'classification' is for one target column, got {len(columns)}: several columns of 0 and 1 are 'multilabel'"
            )
        return task, *_classes(single)
    matrix = np.stack([_numbers(column) for column in columns], axis=1)
    if task == "multilabel" and not binary:
        place = int(np.flatnonzero(~(np.isin(matrix, (0, 1)) | np.isnan(matrix)).all(1))[0])
        raise ValueError(f"task 'multilabel' is for columns of 0 and 1, and row {place} holds another number")
    return task, torch.from_numpy(matrix.astype(np.float32)), None


def _numbers(column: Column) -> np.ndarray:
    if column.numbers is None:
        places = [row for row, text in enumerate(column.text) if text is not None and as_number(text) is None]
        raise ValueError(
            f"targets: the column {column.name!r} must hold numbers; it is text in {len(places):,} rows, first {column.text[places[0]]!r} "
            f"in row {places[0]}"
        )
    infinite = np.flatnonzero(np.isinf(column.numbers))
    if len(infinite):
        raise ValueError(f"targets: the column {column.name!r} is infinite in {first_rows(infinite)}")
    return column.numbers


def _whole(numbers: np.ndarray) -> bool:
    return bool((np.isnan(numbers) | (numbers == np.floor(numbers))).all())


def _classes(column: Column) -> tuple[Tensor, tuple[str, ...] | None]:
    """Classes from 0 in sorted order of the values, which are their names, or 0 and 1 as they stand; -1 for what is missing."""
    if column.numbers is not None and not _whole(column.numbers):
        raise ValueError(f"task 'classification': the column {column.name!r} holds numbers that are not whole")
    values: list[str] | list[float] = [text for text in column.text if text] if column.numbers is None else _known(column.numbers)
    names = sorted(set(values))  # type: ignore[type-var]
    plain = column.numbers is not None and set(names) <= {0, 1}
    if plain:
        names = [0, 1]
    else:
        logger.info("classes of %r: %s", column.name, ", ".join(f"{i} = {name!r}" for i, name in enumerate(names)))
    number = {name: i for i, name in enumerate(names)}
    cells = column.text if column.numbers is None else column.numbers.tolist()
    classes = torch.tensor([number.get(cell, -1) for cell in cells])  # NaN and None are in no dictionary of classes
    return classes, None if plain else tuple(name if isinstance(name, str) else f"{name:.0f}" for name in names)


def _known(numbers: np.ndarray) -> list[float]:
    known: list[float] = numbers[~np.isnan(numbers)].tolist()
    return known


def _metric(task: str, y: Tensor) -> str:
    if task == "regression":
        return "rmse"
    return "accuracy" if y.dim() == 1 and int(y.max()) != 1 else "roc_auc"


# ---------------------------------------------------------------------- splits


def _splits(rules: Rules, smiles: Sequence[str], y: Tensor, task: str) -> tuple[Split, ...]:
    rows = labelled_rows(y, signed=task == "regression")
    if rules.split is None and len(rows) < FEW:
        return ()
    if rules.split == "stratified" and task != "classification":
        raise ValueError(f"split 'stratified' is for classes, and the task is {task}: take 'scaffold' or 'random'")
    if rules.split in (None, "scaffold"):
        try:
            return (scaffold_split(smiles, rows=rows),)
        except ValueError as error:
            if rules.split is not None:
                raise
            logger.warning("%s; the splits are random instead", error)
    known = torch.full((len(y),), -1)
    known[rows] = y[rows] if rules.split == "stratified" else 0
    return random_splits(known, train=0.8, val=0.1, num=DRAWN, seed=rules.seed, stratified=rules.split == "stratified")


def _given(words: Column, rows: Tensor, y: Tensor, task: str) -> Split:
    """The split that a column of the file names; molecules without a label are in no part."""
    codes = [-1 if text is None else WORDS.get(text.lower(), 3) for text in words.text]
    if 3 in codes:
        raise ValueError(
            f"split: the column {words.name!r} must hold train, valid or test, got {words.text[codes.index(3)]!r} in row {codes.index(3)}"
        )
    part = torch.full((len(y),), -1)
    labelled = labelled_rows(y, signed=task == "regression")
    part[labelled] = torch.tensor(codes)[rows][labelled]
    train, val, test = ((part == i).nonzero().squeeze(1) for i in range(3))
    return Split(words.name, train, val, test)
