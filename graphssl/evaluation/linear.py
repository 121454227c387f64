"""The probe: what a linear classifier (or what else the protocol names) on frozen embeddings reaches under a named protocol."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from sklearn.model_selection import StratifiedKFold, train_test_split
from torch import Tensor

from graphssl.adjacency import CSR
from graphssl.datasets.splits import Split, few_labels_split, random_splits, split_hash, stratified_folds
from graphssl.evaluation.fitting import Probe, check_solver, fit_probe
from graphssl.evaluation.metrics import find_metric, measure
from graphssl.evaluation.protocols import PROTOCOLS, Protocol, find_protocol
from graphssl.evaluation.rows import Rows, Scaler, embedding, labels, rows_of, targets
from graphssl.evaluation.score import ERRORS, Score, check_setting
from graphssl.evaluation.svm import SVMProbe, fit_svm, pairs

if TYPE_CHECKING:
    from graphssl.datasets.dataset import Dataset

LARGEST_TABLE = 20_000  # rows of which all pairs are held, 3.2 GB


def linear_probe(
    z: Any,
    y: Any,
    splits: Split | Sequence[Split] | str | Protocol,
    *,
    setting: str = "transductive",
    metric: str | None = None,
    protocol: str | Protocol = "fixed",
    num_splits: int | None = None,
    seed: int = 0,
    solver: str = "auto",
    max_iter: int | None = None,
) -> Score:
    """How well a linear classifier, or what else the protocol names, does on the frozen embedding, under one versioned protocol.

    Test rows decide nothing: scaling and weights come from the train rows, the penalty from the validation rows (or from folds of train).

    Args:
        z: ``[N, D]`` embedding or raw features: a tensor, an array, or sparse rows.
        y: ``[N]`` classes (-1: unlabelled), or ``[N, K]`` of 0 and 1; a row with a NaN is unlabelled, but for a protocol ``per-task``,
            where each column is fitted and measured on the rows where it is known. Targets ``[N]`` or ``[N, T]`` for an error.
        splits: a split, several, or a protocol that draws its own (``"random-10-10-80"``, ``"bgrl-20-80"``, ...).
        setting: ``transductive`` or ``inductive``: whether pre-training saw the graph of the test rows.
        metric: ``accuracy``, ``micro_f1``, ``macro_f1``, ``roc_auc``, ``average_precision``, ``rmse`` or ``mae``; without it the
            protocol's, or else accuracy (micro-F1 for a table).
        protocol: what is fitted and how the penalty is chosen, where ``splits`` are given.
        num_splits: how many draws (the first ones, where splits are given).
        seed: of the draws and of the folds of train.
        solver: ``newton``: all penalties and classes at once; ``liblinear`` (one-vs-rest) or ``lbfgs`` (multinomial): scikit-learn's, one
            by one; ``auto``: ``newton``, but ``liblinear`` for sparse rows under a one-vs-rest protocol, and ``libsvm`` for ``svm``.
        max_iter: of the solver; without it enough to converge.

    Raises:
        ValueError: values that are NaN or infinite, lengths that disagree, a single class in the train rows, empty parts, unknown words.

    Example:
        >>> y = torch.arange(60) % 3
        >>> linear_probe(torch.eye(3)[y], y, "random-10-10-80", num_splits=2).mean
        1.0
    """
    check_setting(setting)
    if num_splits is not None and num_splits < 1:
        raise ValueError(f"num_splits is {num_splits}; it must be at least 1")
    x = embedding(z)
    protocol = find_protocol(splits if isinstance(splits, str | Protocol) else protocol)
    truth, known = _labels(y, x, protocol, metric)
    if isinstance(splits, str | Protocol):
        parts, digest = _draw(truth, known, protocol, num_splits or protocol.num_splits or 1, seed)
    else:
        given = [splits] if isinstance(splits, Split) else list(splits)[:num_splits]
        parts, digest = rows_of(given, known), split_hash(given)
    metric = find_metric(protocol.metric or metric or ("accuracy" if truth.dim() == 1 else "micro_f1"))
    probes = _fitted(x, truth, parts, protocol, metric, seed, solver, max_iter)
    values = tuple(measure(metric, p.truth(truth[rows.test]), p.scores(x, rows.test)) for p, rows in zip(probes, parts, strict=True))
    done = all(p.converged for p in probes)
    return Score(metric, values, setting, protocol.name, protocol.version, digest, done, tuple(p.selected for p in probes))


def evaluate(
    z: Any,
    dataset: Dataset,
    protocol: str | Protocol,
    *,
    setting: str,
    num_splits: int | None = None,
    seed: int = 0,
    solver: str = "auto",
) -> Score:
    """The score of an embedding of a dataset under a protocol, the protocol making the splits or taking the dataset's.

    Args:
        z: ``[N, D]``, a row for each row of ``dataset.y``.
        dataset: for its labels, splits and metric.
        protocol: a name or a protocol.
        setting: ``transductive`` or ``inductive``.
        num_splits: fewer or more splits than the protocol's.
        seed: of drawn splits and of the folds of train.
        solver: as in :func:`linear_probe`.

    Raises:
        ValueError: as :func:`linear_probe`, and where the protocol takes the dataset's splits and it has too few.

    Example:
        >>> from types import SimpleNamespace
        >>> data = SimpleNamespace(name="toy", y=torch.arange(60) % 3, splits=(), metric="accuracy")
        >>> evaluate(torch.eye(3)[data.y], data, "random-10-10-80", setting="transductive", num_splits=3).values
        (1.0, 1.0, 1.0)
    """
    protocol = find_protocol(protocol)
    if protocol.draw != "dataset" and getattr(dataset, "is_inductive", False):
        raise ValueError(
            f"protocol is {protocol.name!r}, which draws its splits over all graphs; {dataset.name} is inductive, and "
            "pre-training has seen some of them; allowed: fixed, ppi"
        )
    splits: Sequence[Split] | Protocol = protocol
    if protocol.draw == "dataset":
        own = [split for split in dataset.splits if split.name.startswith(protocol.split_name)]
        wanted = num_splits or protocol.num_splits or len(own)
        if not 0 < wanted <= len(own):
            named = f" named {protocol.split_name!r}" if protocol.split_name else ""
            raise ValueError(
                f"protocol is {protocol.name!r}, which takes {wanted or 'the'} splits{named} of the dataset; {dataset.name} has {len(own)}"
            )
        splits, num_splits = own[:wanted], None
    return linear_probe(
        z, dataset.y, splits, setting=setting, metric=dataset.metric, protocol=protocol, num_splits=num_splits, seed=seed, solver=solver
    )


def low_label_probe(
    z: Any, y: Any, *, per_class: Sequence[int] = (1, 5, 20), seeds: Sequence[int] = range(10), setting: str = "transductive"
) -> dict[int, Score]:
    """The linear probe with few labels: ``k`` train rows a class, all other rows test, a score over seeds for each ``k``.

    There are no validation rows: ``C`` comes from ``min(5, k)`` stratified folds of train, and is 1 where ``k = 1``.

    Args:
        z: ``[N, D]``.
        y: ``[N]`` classes, -1: unlabelled.
        per_class: the ``k``.
        seeds: one draw each.
        setting: ``transductive`` or ``inductive``.

    Example:
        >>> y = torch.arange(60) % 3
        >>> {k: s.mean for k, s in low_label_probe(torch.eye(3)[y], y, per_class=(1, 2), seeds=range(2)).items()}
        {1: 1.0, 2: 1.0}
    """
    x = embedding(z)
    truth, _ = labels(y, x.size(0), x.device)
    scores = {}
    for k in per_class:
        splits = [few_labels_split(truth.cpu(), k, val=0, seed=seed) for seed in seeds]
        scores[k] = linear_probe(x, truth, splits, protocol=replace(find_protocol("low-label"), per_class=k), setting=setting)
    return scores


def _labels(y: Any, x: Tensor | CSR, protocol: Protocol, metric: str | None) -> tuple[Tensor, Tensor]:
    """Labels or targets as the protocol takes them, and which rows have one."""
    per_task = protocol.classifier == "per-task"
    if metric is None or find_metric(metric) not in ERRORS:
        truth, known = labels(y, x.size(0), x.device, partial=per_task)
        if protocol.classifier == "svm" and truth.dim() != 1:
            raise ValueError(f"protocol is {protocol.name!r}, which separates classes, and y is a table of shape {tuple(truth.shape)}")
        return truth, known
    if not per_task:
        able = ", ".join(p.name for p in PROTOCOLS.values() if p.classifier == "per-task")
        raise ValueError(
            f"protocol is {protocol.name!r}, which separates classes, and metric {metric!r} is for regression; allowed: {able}"
        )
    return targets(y, x.size(0), x.device)


def _fitted(
    x: Tensor | CSR, y: Tensor, parts: Sequence[Rows], protocol: Protocol, metric: str, seed: int, solver: str, max_iter: int | None
) -> list[Probe | SVMProbe]:
    """A fitted probe for each split."""
    if protocol.classifier != "svm":
        return [fit_probe(x, y, rows, protocol, metric, seed=seed + i, solver=solver, max_iter=max_iter) for i, rows in enumerate(parts)]
    check_solver(protocol, solver)
    if x.size(0) > LARGEST_TABLE:
        raise ValueError(
            f"protocol is {protocol.name!r}, which holds a table of all pairs of rows: {x.size(0):,} rows are too many for it (at most "
            f"{LARGEST_TABLE:,}); tu-logistic does without"
        )
    by_row = protocol.scale != "standardize"  # each split would have its own distances
    rows_scaled = Scaler.fit(protocol.scale, x)(x) if by_row else x
    table = pairs(rows_scaled, rows_scaled, protocol.kernel) if by_row else None
    return [fit_svm(x, y, rows, protocol, table=table, max_iter=max_iter) for rows in parts]


def _draw(y: Tensor, known: Tensor, protocol: Protocol, num: int, seed: int) -> tuple[list[Rows], str]:
    """The rows of a protocol that draws its own splits, and their hash."""
    if protocol.draw == "dataset":
        raise ValueError(f"splits is {protocol.name!r}, which takes the dataset's own splits; give them, or call evaluate(z, dataset, ...)")
    if protocol.draw == "random":
        splits: Sequence[Split] = random_splits(y.cpu(), train=protocol.train, val=protocol.val, num=num, seed=seed)
        return rows_of(splits, known), split_hash(splits)
    if protocol.draw == "per-class":
        splits = [few_labels_split(y.cpu(), protocol.per_class or 5, val=0, seed=seed + i) for i in range(num)]
        return rows_of(splits, known), split_hash(splits)
    if protocol.draw == "folds":
        splits = stratified_folds(y.cpu(), seed=seed, repeats=-(-num // 10))[:num]
        return rows_of(splits, known), split_hash(splits)
    if protocol.draw == "official-graphmae":
        splits = _official_folds(y.cpu().numpy(), known.cpu().numpy(), num, seed)
        return rows_of(splits, known), split_hash(splits)
    rows = _official_rows(known.nonzero().squeeze(1).cpu().numpy(), protocol, num, seed)
    splits = [Split(f"{protocol.name}-{i}", r.train, r.val, r.test, seed) for i, r in enumerate(rows)]
    return [Rows(*(part.to(known.device) for part in r)) for r in rows], split_hash(splits)


def _official_folds(y: np.ndarray, known: np.ndarray, num: int, seed: int) -> list[Split]:
    """GraphMAE's ten folds: scikit-learn's, shuffled by seed 0; each repeat takes the next seed."""
    labelled = np.flatnonzero(known)
    splits = []
    for i in range(num):
        folds = StratifiedKFold(10, shuffle=True, random_state=seed + i // 10).split(labelled, y[labelled])
        train, test = list(folds)[i % 10]
        rows, held = torch.from_numpy(labelled[train]), torch.from_numpy(labelled[test])
        splits.append(Split(f"graphmae-{i}", rows, rows[:0], held, seed + i // 10))
    return splits


def _official_rows(labelled: np.ndarray, protocol: Protocol, num: int, seed: int) -> list[Rows]:
    """The official codes' draws, in their order, which their folds follow.

    BGRL's code hands one generator, seeded with 1, to all its splits; GRACE's code draws unseeded, here seeded one by one.
    """
    stream = np.random.RandomState(1 + seed)
    rows = []
    for i in range(num):
        state: Any = stream if protocol.draw == "official-bgrl" else seed + i
        train, test = train_test_split(labelled, test_size=1 - protocol.train, random_state=state)
        rows.append(Rows(torch.from_numpy(train), torch.empty(0, dtype=torch.int64), torch.from_numpy(test)))
    return rows
