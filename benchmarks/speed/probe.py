"""The probe of the BGRL paper, beside scikit-learn's grid search as the official code has it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, ShuffleSplit, train_test_split
from sklearn.multiclass import OneVsRestClassifier
from sklearn.preprocessing import OneHotEncoder, normalize
from torch import Tensor

from benchmarks.speed.measure import clock
from benchmarks.speed.steps import graph_and_recipe
from graphssl.building import make
from graphssl.evaluation import linear_probe, logistic_path
from graphssl.random import seeded

GRID = tuple(2.0**e for e in range(-10, 11))
SPLITS, THEIRS = 20, 2  # of ours, and of scikit-learn's, which takes the first ones


@dataclass(frozen=True)
class Rows:
    """Embeddings ``[N, D]``, labels ``[N]``, and train and test rows of each split, as the official code draws them."""

    z: Tensor
    y: Tensor
    splits: list[tuple[np.ndarray, np.ndarray]]


def embedded(name: str, root: str | None, splits: int) -> Rows:
    """The untrained encoder of the data set's recipe: what is fitted takes as long."""
    if name == "tiny":
        y = torch.arange(240) % 3
        z = torch.randn(240, 8, generator=torch.Generator().manual_seed(0)) + torch.eye(8)[y]
    else:
        from graphssl.datasets import load

        g, recipe = graph_and_recipe(name, "bgrl", root)
        with seeded(0):
            objective = make("bgrl", recipe, g.num_features)
        with torch.no_grad():
            z, y = objective.encoder.eval()(g), load(name, root).y
    stream = np.random.RandomState(1)
    cuts = [train_test_split(np.arange(len(y)), test_size=0.8, random_state=stream) for _ in range(splits)]
    return Rows(z, y, cuts)


def protocol(name: str, root: str | None = None, splits: str = str(SPLITS), theirs: str = str(THEIRS)) -> dict[str, Any]:
    """Seconds a split of the protocol ``bgrl-20-80`` by either, scores on the same splits, and the objectives that each reaches."""
    torch.set_num_threads(1)
    rows = embedded(name, root, int(splits))
    linear_probe(rows.z[:200], rows.y[:200] % 2, "bgrl-20-80", num_splits=1)  # what is compiled or found once is there
    start = clock()
    score = linear_probe(rows.z, rows.y, "bgrl-20-80", num_splits=int(splits))
    ours = clock() - start
    found, taken = [], []
    for i, (train, test) in enumerate(rows.splits[: int(theirs)]):
        start = clock()
        found.append(grid_search(rows, train, test, seed=i))
        taken.append(clock() - start)
    mine, other = ours / int(splits), float(np.mean(taken))
    return {
        "rows": len(rows.y), "columns": rows.z.size(1), "classes": int(rows.y.max()) + 1, "values_of_C": len(GRID),
        "splits": {"graphssl": int(splits), "scikit-learn": int(theirs)}, "seconds": {"graphssl": round(ours, 2)},
        "seconds_a_split": {"graphssl": round(mine, 3), "scikit-learn": round(other, 3)}, "times": round(other / mine, 1),
        "score": {"graphssl": list(score.values[: int(theirs)]), "scikit-learn": found, "graphssl, all splits": score.mean},
        "score_apart": max(abs(a - b) for a, b in zip(score.values, found, strict=False)),
        "converged": score.converged, **objectives(rows),
    }  # fmt: skip


def grid_search(rows: Rows, train: np.ndarray, test: np.ndarray, *, seed: int) -> float:
    """One split: liblinear one-vs-rest, ``C`` by five shuffles of the train rows, refitted; accuracy of the likeliest class."""
    x = normalize(rows.z.numpy(), norm="l2")
    y = rows.y.numpy()
    table = OneHotEncoder(categories="auto").fit_transform(y[:, None]).toarray().astype(bool)
    each = OneVsRestClassifier(LogisticRegression(solver="liblinear"))
    search = GridSearchCV(each, {"estimator__C": list(GRID)}, n_jobs=1, cv=ShuffleSplit(5, test_size=0.5, random_state=seed))
    search.fit(x[train], table[train])
    return float((search.predict_proba(x[test]).argmax(1) == y[test]).mean())


def objectives(rows: Rows) -> dict[str, Any]:
    """Both solvers at every ``C`` on the first split's train rows: the largest relative excess of each over the lower of the two."""
    train = rows.splits[0][0]
    x = normalize(rows.z.numpy()[train], norm="l2").astype(np.float64)
    table = (rows.y.numpy()[train][:, None] == np.unique(rows.y.numpy())).astype(np.float64)  # [n, K]
    fit = logistic_path(torch.from_numpy(x), torch.from_numpy(table), GRID, softmax=False, penalise_intercept=True)
    excess: dict[str, float] = {"graphssl": 0.0, "scikit-learn": 0.0}
    for k, c in enumerate(GRID):
        mine = objective(x, table, c, fit.coef[k].numpy(), fit.intercept[k].numpy())
        fits = [LogisticRegression(C=c, solver="liblinear").fit(x, column) for column in table.T]
        coef, intercept = np.concatenate([f.coef_ for f in fits]).T, np.concatenate([f.intercept_ for f in fits])
        other = objective(x, table, c, coef, intercept)
        best = np.minimum(mine, other)
        for name, values in (("graphssl", mine), ("scikit-learn", other)):
            excess[name] = max(excess[name], float((values / best - 1).max()))
    return {"objective_excess": excess, "all_fits_converged": bool(fit.converged.all())}


def objective(x: np.ndarray, table: np.ndarray, c: float, coef: np.ndarray, intercept: np.ndarray) -> np.ndarray:
    """What liblinear minimises, for each class ``[K]``: the intercept is penalised too."""
    u = x @ coef + intercept
    data = (np.logaddexp(0, u) - u * table).sum(0)
    return c * data + ((coef**2).sum(0) + intercept**2) / 2  # type: ignore[no-any-return]
