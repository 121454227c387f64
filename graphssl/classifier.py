"""``GraphSSLClassifier``: pre-training without labels, the library's probe on a few, and how sure it is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sklearn.base import ClassifierMixin
from sklearn.model_selection import StratifiedKFold
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import column_or_1d
from torch import Tensor
from typing_extensions import Self

from graphssl.datasets import Dataset
from graphssl.datasets.nodes import is_missing
from graphssl.estimator import GraphSSL, is_table
from graphssl.evaluation import find_protocol
from graphssl.evaluation.fitting import Probe, fit_probe
from graphssl.evaluation.protocols import Protocol
from graphssl.evaluation.rows import Rows

PROBES = ("multinomial", "one-vs-rest")  # that make probabilities of all classes; other protocols are scored by another way
FOLDS, BINS = 5, 10
TEMPERATURES = np.logspace(-5, 2, 141)  # a strong penalty makes scores that are right and very small
Z95 = 1.959964  # of the normal distribution


class GraphSSLClassifier(ClassifierMixin, GraphSSL):  # type: ignore[misc]
    """Pre-train as :class:`graphssl.GraphSSL`, then fit the library's linear probe to the labels there are.

    ``y`` holds a class for each row of ``X``: numbers or words; -1, NaN and ``None`` are unlabelled. Without ``y`` the graph's own labels
    are taken, of its train part where it has fixed parts (its validation part then chooses the penalty). The probe is that of the recipe's
    protocol, or of ``fixed`` where that makes no probabilities.

    How sure it is: ``predict_proba`` is scaled by a temperature that fits held-out rows (Guo et al., 2017, arXiv:1706.04599), with targets
    short of 0 and 1 as in Platt, 1999, so that a few rows that are all right do not make it certain. ``certainty_`` tells what those rows
    came to: the validation part, or folds of the labelled rows, each by a probe that had not seen it.

    Attributes:
        classes_: the classes.
        probe_: the fitted probe.
        temperature_: what scores are divided by.
        certainty_: ``accuracy`` on held-out rows with its 95 % interval by Wilson, ``low`` and ``high``, the number of ``rows``, and the
            expected ``calibration_error`` of the probabilities of ten bins; all ``None`` where a class has a single row.

    Raises:
        ValueError: in ``fit``, no labels, a single class, fractions, another number of labels than rows, -1 and 1 as the only numbers.

    Example:
        >>> import networkx as nx
        >>> club = nx.karate_club_graph()
        >>> sides = [club.nodes[node]["club"] if node in (0, 1, 2, 3, 30, 31, 32, 33) else None for node in club]
        >>> for node in club: del club.nodes[node]["club"]
        >>> model = GraphSSLClassifier("dgi", channels=(16,), epochs=10, random_state=0).fit(club, sides)
        >>> model.classes_, model.predict_proba(club).shape, model.certainty_["rows"]
        (array(['Mr. Hi', 'Officer'], dtype='<U7'), (34, 2), 8)
    """

    def fit(self, X: Any, y: Any = None) -> Self:
        """Pre-train on ``X``, and fit the probe on the labelled rows."""
        if y is None and not self._brings_labels(X):
            raise ValueError(f"{type(self).__name__} requires y to be passed, but the target y is None")
        given = None if y is None else _encoded(y)
        data = self._pretrain(X)
        rows = torch.from_numpy(self._rows(X)) if self.by_name_ else torch.arange(len(self.embedding_))
        if given is None:
            codes, names, parts = _own(data)
        else:
            found, names = given
            if len(found) != len(rows):
                raise ValueError(f"y must have one entry for each of the {len(rows)} rows of X, got {len(found)}")
            known = rows[found >= 0]
            codes = torch.full((len(self.embedding_),), -1).index_put((known,), found[found >= 0])
            parts = Rows(known.unique(), known[:0], known[:0])  # type: ignore[no-untyped-call]
        self._probe(codes, names, parts)
        return self

    @classmethod
    def on_run(cls, path: str | Path, rows: Sequence[int], y: Any, *, ids: Sequence[Any] | None = None) -> Self:
        """The encoder of a run, and a probe on some rows of its embedding.

        Args:
            path: a run folder.
            rows: which rows have labels.
            y: their labels, as in :meth:`fit`.
            ids: names of all rows, by which ``X`` names them then; without them ``X`` holds row numbers.

        Raises:
            ValueError: as :meth:`fit`, and for a folder that is no run.
        """
        found = GraphSSL.load(path)
        model = cls(**found.get_params())
        model.__dict__.update(vars(found))
        model.by_name_, model.ids_ = True, found.ids_ if ids is None else tuple(ids)
        codes, names = _encoded(y)
        place = torch.as_tensor(rows)
        known = place[codes >= 0]
        parts = Rows(known, known[:0], known[:0])
        model._probe(torch.full((model.n_rows_,), -1).index_put((known,), codes[codes >= 0]), names, parts)
        return model

    def predict(self, X: Any) -> np.ndarray:
        """The most probable class of each row."""
        best = self._scores(X).argmax(1).numpy()
        found: np.ndarray = self.classes_[best]
        return found

    def predict_proba(self, X: Any) -> np.ndarray:
        """Probabilities ``[n, C]`` of the classes, in the order of ``classes_``."""
        scores = self._scores(X)
        return _log_probabilities(scores, self.temperature_, self.one_vs_rest_).exp().numpy()

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """Share of the labelled rows of ``X`` whose class is right."""
        values = np.asarray(y).tolist()
        known = np.array([not _is_unlabelled(value) for value in values])
        if not known.any():
            raise ValueError("y holds no label to score by")
        right = np.array([a == b for a, b in zip(self.predict(X).tolist(), values, strict=True)])[known]
        return float(np.average(right, weights=None if sample_weight is None else np.asarray(sample_weight)[known]))

    # ------------------------------------------------------------------ helpers

    def _probe(self, codes: Tensor, names: np.ndarray, parts: Rows) -> None:
        """Fit the probe to classes ``codes`` ``[n]`` of the rows of ``embedding_``, called ``names``."""
        z = torch.from_numpy(self.embedding_)
        asked = find_protocol(self.recipe_.protocol)
        protocol = asked if asked.classifier in PROBES else find_protocol("fixed")
        self.one_vs_rest_ = protocol.classifier == "one-vs-rest"
        self.probe_ = fit_probe(z, codes, parts, protocol, "accuracy", seed=self.seed_)
        assert self.probe_.classes is not None
        self.classes_ = names[self.probe_.classes.numpy()]
        self._tell(z, codes, parts, protocol)

    def _brings_labels(self, X: Any) -> bool:
        return not is_table(X if self.graph is None else self.graph)

    def _scores(self, X: Any) -> Tensor:
        z = torch.from_numpy(np.ascontiguousarray(self._embeddings(X)))
        return self.probe_.scores(z, torch.arange(len(z)))

    def _tell(self, z: Tensor, codes: Tensor, parts: Rows, protocol: Protocol) -> None:
        """Temperature and certainty, from rows that their probe has not seen."""
        held, truth = self._held_out(z, codes, parts, protocol)
        self.temperature_: float = 1.0
        self.certainty_: dict[str, Any] = dict.fromkeys(("accuracy", "low", "high", "rows", "calibration_error"))
        if not len(truth):
            return
        wanted = (torch.nn.functional.one_hot(truth, held.size(1)) * len(truth) + 1.0) / (len(truth) + held.size(1))
        losses = [-(wanted * _log_probabilities(held, t, self.one_vs_rest_)).sum() for t in TEMPERATURES]
        self.temperature_ = float(TEMPERATURES[int(torch.stack(losses).argmin())])
        sure, guess = _log_probabilities(held, self.temperature_, self.one_vs_rest_).exp().max(1)
        right = (guess == truth).double()
        bins = (sure * BINS).long().clamp(max=BINS - 1)
        gaps = [float((right[bins == b] - sure[bins == b]).sum().abs()) for b in range(BINS)]
        share, n = float(right.mean()), len(truth)
        middle = (share + Z95**2 / (2 * n)) / (1 + Z95**2 / n)
        width = Z95 / (1 + Z95**2 / n) * (share * (1 - share) / n + Z95**2 / (4 * n**2)) ** 0.5
        low, high = max(middle - width, 0.0), min(middle + width, 1.0)
        self.certainty_ = {"accuracy": share, "low": low, "high": high, "rows": n, "calibration_error": sum(gaps) / n}

    def _held_out(self, z: Tensor, codes: Tensor, parts: Rows, protocol: Protocol) -> tuple[Tensor, Tensor]:
        """Scores ``[m, C]`` of rows by a probe that was not fitted on them, and their classes ``[m]``."""
        if len(parts.val):
            return self.probe_.scores(z, parts.val), self.probe_.truth(codes[parts.val])
        train, y = parts.train, codes[parts.train]
        folds = min(FOLDS, int(y.bincount()[y.unique()].min()))  # type: ignore[no-untyped-call]
        if folds < 2:
            return z.new_zeros(0, len(self.classes_)), y[:0]
        fixed = replace(protocol, grid=(self.probe_.selected["C"],), selection="validation")  # one penalty: nothing is chosen on the fold
        scores = torch.zeros(len(train), len(self.classes_), dtype=torch.float64)
        for a, b in StratifiedKFold(folds, shuffle=True, random_state=self.seed_ % 2**32).split(y, y):
            probe: Probe = fit_probe(z, codes, Rows(train[a], train[b], train[:0]), fixed, "accuracy", seed=self.seed_)
            scores[torch.from_numpy(b)] = probe.scores(z, train[b]).double()
        return scores, self.probe_.truth(y)


# ---------------------------------------------------------------------- helpers


def _log_probabilities(scores: Tensor, temperature: float, one_vs_rest: bool) -> Tensor:
    scores = scores.double() / temperature
    return (torch.nn.functional.logsigmoid(scores) if one_vs_rest else scores).log_softmax(1)  # one-vs-rest: each yes, over the sum of all


def _own(data: Dataset) -> tuple[Tensor, np.ndarray, Rows]:
    """The labels that a dataset brings, its classes, and the rows to fit and to choose by."""
    if data.task != "classification" or not data.num_classes:
        raise ValueError(f"y is needed: X brings no classes ({data.summary()})")
    names = np.array(data.classes, dtype=object) if data.classes is not None else np.arange(data.num_classes)
    none = torch.empty(0, dtype=torch.int64)
    if data.splits and data.splits[0].seed is None:
        return data.y, names, Rows(data.split.train, data.split.val, none)
    return data.y, names, Rows((data.y >= 0).nonzero().squeeze(1), none, none)


def _is_unlabelled(value: Any) -> bool:
    return is_missing(value, words=False) or (not isinstance(value, (bool, str)) and value == -1)


def _encoded(y: Any) -> tuple[Tensor, np.ndarray]:
    """Classes by number, -1 where there is none, and the classes in order."""
    cells = column_or_1d(np.array(y, dtype=object) if isinstance(y, list) else y, warn=True).tolist()
    known = np.array([not _is_unlabelled(cell) for cell in cells], dtype=bool)
    if not known.any():
        raise ValueError("y holds no label: all are -1, NaN or None")
    found = [cell for cell, there in zip(cells, known, strict=True) if there]
    if len(found) < len(cells) and all(isinstance(cell, float) and cell.is_integer() for cell in found):
        found = [int(cell) for cell in found]  # NaN made them floats
    given = np.array(found, dtype=getattr(y, "dtype", None) if isinstance(found[0], str) and isinstance(y, np.ndarray) else None)
    check_classification_targets(given)
    classes, codes = np.unique(given, return_inverse=True)
    if set(classes.tolist()) == {1} and any(not isinstance(cell, str) and cell == -1 for cell in cells):
        raise ValueError("y holds -1 and the class 1 only: -1 means unlabelled; number the two classes 0 and 1")
    rows = torch.full((len(cells),), -1)
    rows[torch.from_numpy(known)] = torch.from_numpy(codes)
    return rows, classes
