"""Laws of the probes: no look at test labels, the official codes' numbers, converged or says so, order does not matter."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import f1_score, roc_auc_score
from sklearn.model_selection import GridSearchCV, KFold, ShuffleSplit, train_test_split
from sklearn.multiclass import OneVsRestClassifier
from sklearn.preprocessing import normalize

from graphssl.adjacency import CSR
from graphssl.datasets.splits import Split, random_splits, split_hash
from graphssl.evaluation import (
    PROTOCOLS,
    Score,
    cluster,
    collapse_warning,
    diagnostics,
    evaluate,
    find_protocol,
    knn_probe,
    linear_probe,
    logistic_path,
    low_label_probe,
)
from graphssl.evaluation.adamw import adamw_path
from graphssl.evaluation.fitting import fit_probe
from graphssl.evaluation.liblinear import sklearn_path
from graphssl.evaluation.metrics import measure
from graphssl.evaluation.protocols import Protocol
from graphssl.evaluation.rows import Rows, Scaler, embedding, labels

GRID = [2.0**e for e in range(-10, 11)]


def blobs(n: int = 300, d: int = 12, k: int = 4, noise: float = 1.0, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Class centres plus noise: learnable, not perfectly."""
    g = torch.Generator().manual_seed(seed)
    y = torch.arange(n) % k
    y = y[torch.randperm(n, generator=g)]
    return torch.randn(k, d, generator=g)[y] + noise * torch.randn(n, d, generator=g), y


def one_split(n: int, seed: int = 0, train: float = 0.3, val: float = 0.3) -> Split:
    order = torch.randperm(n, generator=torch.Generator().manual_seed(seed))
    a, b = int(train * n), int((train + val) * n)
    return Split("test", order[:a], order[a:b], order[b:])


def permuted(split: Split, where: torch.Tensor) -> Split:
    """The same nodes of a split, node ``i`` now being row ``where[i]``."""
    return Split(split.name, where[split.train], where[split.val], where[split.test])


# ---------------------------------------------------------------------- the solver


@pytest.mark.parametrize("shape", [(120, 10), (30, 80)], ids=["tall", "wide"])
@pytest.mark.parametrize("softmax", [True, False], ids=["softmax", "one-vs-rest"])
@pytest.mark.parametrize("penalised", [True, False])
@pytest.mark.parametrize("sparse", [True, False])
def test_solver_reaches_the_minimum(shape, softmax, penalised, sparse):
    """The objective's gradient vanishes at the solution, for every penalty, whatever the basis it was found in."""
    n, d = shape
    z, y = blobs(n, d, 3)
    x = torch.where(z.abs() > 0.8, z, 0).double() if sparse else z.double()
    targets = torch.eye(3)[y].double()
    fit = logistic_path(CSR.from_dense(x) if sparse else x, targets, GRID, softmax=softmax, penalise_intercept=penalised, tol=1e-12)
    assert bool(fit.converged.all())
    scores = fit.scores(x)
    prob = scores.softmax(2) if softmax else scores.sigmoid()
    c = torch.tensor(GRID, dtype=torch.float64)[:, None, None]
    grad = c * (x.mT @ (prob - targets)) + fit.coef
    bias = c[:, 0] * (prob - targets).sum(1) + (fit.intercept if penalised else 0)
    size = c[:, 0, 0] * n
    assert float((grad.flatten(1).norm(dim=1) / size).max()) < 1e-4
    assert float((bias.norm(dim=1) / size).max()) < 1e-4


@pytest.mark.parametrize(
    ("softmax", "penalised"), [(True, False), (False, False), (False, True)], ids=["multinomial", "binary", "liblinear"]
)
def test_solver_equals_sklearn(softmax, penalised):
    z, y = blobs(200, 16, 4, noise=1.5)
    x = torch.nn.functional.normalize(z).double()
    targets = torch.eye(4)[y].double()
    c = torch.tensor(GRID, dtype=torch.float64)
    values, predictions = [], []
    for solve in (logistic_path, sklearn_path):
        fit = solve(x[:100], targets[:100], GRID, softmax=softmax, penalise_intercept=penalised)
        s, t = fit.scores(x[:100]), targets[:100]
        loss = (s.logsumexp(2) - (s * t).sum(2)).sum(1) if softmax else (torch.nn.functional.softplus(s) - s * t).sum((1, 2))
        ridge = fit.coef.square().sum((1, 2)) + (fit.intercept.square().sum(1) if penalised else 0)
        values.append(c * loss + ridge / 2)
        predictions.append(fit.scores(x[100:]).argmax(2))
    assert bool((values[0] <= values[1] * (1 + 1e-6)).all())  # never worse than sklearn
    torch.testing.assert_close(values[0], values[1], rtol=1e-3, atol=0)
    assert float((predictions[0] == predictions[1]).double().mean()) > 0.995


def test_solver_in_bunches_is_the_same(monkeypatch):
    z, y = blobs(90, 6, 3)
    x, targets = z.double(), torch.eye(3)[y]
    whole = logistic_path(x, targets, GRID, softmax=True, tol=1e-12)
    for entries in (1, 90 * 3 * 4):  # one penalty at a time, then four, each bunch starting where the last ended
        monkeypatch.setattr("graphssl.evaluation.logistic.ENTRIES_AT_ONCE", entries)
        for softmax, fit in ((True, whole), (False, logistic_path(x, targets, GRID, softmax=False, tol=1e-12))):
            again = logistic_path(x, targets, GRID, softmax=softmax, tol=1e-12)
            a, b = (f.scores(x).softmax(2) if softmax else f.scores(x).sigmoid() for f in (again, fit))
            torch.testing.assert_close(a, b, rtol=0, atol=1e-4)


def test_solver_without_rotation_is_the_same(monkeypatch):
    z, y = blobs(60, 6, 3)
    x, targets = z.double(), torch.eye(3)[y]
    for penalised in (True, False):
        fits = []
        for size in (1024, 0):
            monkeypatch.setattr("graphssl.evaluation.logistic.ROTATE_UP_TO", size)
            fits.append(logistic_path(x, targets, [0.1, 10.0], softmax=True, penalise_intercept=penalised, tol=1e-12))
        torch.testing.assert_close(fits[0].coef, fits[1].coef, rtol=1e-3, atol=1e-4)


# ---------------------------------------------------------------------- the official protocols


def official_bgrl(x: np.ndarray, y: np.ndarray, repeats: int) -> list[float]:
    """The protocol written down directly with scikit-learn."""
    x, hot = normalize(x), np.eye(int(y.max()) + 1, dtype=bool)[y]
    rng, found = np.random.RandomState(1), []
    for i in range(repeats):
        x_train, x_test, y_train, y_test = train_test_split(x, hot, test_size=0.8, random_state=rng)
        search = GridSearchCV(
            OneVsRestClassifier(LogisticRegression(solver="liblinear")),
            {"estimator__C": 2.0 ** np.arange(-10, 11)},
            cv=ShuffleSplit(5, test_size=0.5, random_state=i),
        ).fit(x_train, y_train)
        found.append(float((search.predict_proba(x_test).argmax(1) == y_test.argmax(1)).mean()))
    return found


def official_grace(x: np.ndarray, y: np.ndarray, repeats: int) -> list[float]:
    x, hot = normalize(x), np.eye(int(y.max()) + 1, dtype=bool)[y]
    found = []
    for i in range(repeats):
        x_train, x_test, y_train, y_test = train_test_split(x, hot, test_size=0.9, random_state=i)
        search = GridSearchCV(
            OneVsRestClassifier(LogisticRegression(solver="liblinear")), {"estimator__C": 2.0 ** np.arange(-10, 10)}, cv=KFold(5)
        ).fit(x_train, y_train)
        predicted = np.eye(hot.shape[1], dtype=bool)[search.predict_proba(x_test).argmax(1)]
        found.append(float(f1_score(y_test, predicted, average="micro")))
    return found


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("name", "official"), [("bgrl-20-80", official_bgrl), ("grace-10-90", official_grace)])
def test_official_protocols_equal_sklearn(name, official):
    z, y = blobs(500, 8, 3, noise=1.2)
    expected = official(z.numpy(), y.numpy(), 2)
    assert linear_probe(z, y, name, num_splits=2, solver="liblinear").values == pytest.approx(expected, abs=1e-12)
    ours = linear_probe(z, y, name, num_splits=2)
    assert ours.values == pytest.approx(expected, abs=0.005)  # liblinear stops earlier: a row or two may differ
    assert ours.converged


@pytest.mark.filterwarnings("ignore")
def test_official_protocol_with_a_class_of_one_row():
    """The official codes go on where a class has no train row; nothing is predicted to be of it."""
    z, y = blobs(200, 6, 3)
    y[7] = 3
    expected = official_bgrl(z.numpy(), y.numpy(), 2)
    assert linear_probe(z, y, "bgrl-20-80", num_splits=2, solver="liblinear").values == pytest.approx(expected, abs=1e-12)
    assert linear_probe(z, y, "bgrl-20-80", num_splits=2).values == pytest.approx(expected, abs=0.013)


def test_official_splits_do_not_depend_on_how_many():
    z, y = blobs(100, 4, 2)
    three = linear_probe(z, y, "bgrl-20-80", num_splits=3)
    one = linear_probe(z, y, "bgrl-20-80", num_splits=1)
    assert three.values[0] == one.values[0]
    assert three.split_hash != one.split_hash


# ---------------------------------------------------------------------- our probe


@pytest.mark.parametrize("name", ["random-10-10-80", "bgrl-20-80", "grace-10-90"])
def test_separable_is_one_and_random_is_chance(name):
    y = torch.arange(400) % 4
    assert linear_probe(torch.eye(4)[y], y, name, num_splits=2).mean == 1.0
    noise = torch.randn(2000, 8, generator=torch.Generator().manual_seed(1))
    assert linear_probe(noise, torch.arange(2000) % 4, name, num_splits=2).mean == pytest.approx(0.25, abs=0.05)


@pytest.mark.parametrize("scale", ["l2", "standardize", "none"])
def test_row_order_does_not_matter(scale):
    z, y = blobs()
    split, where = one_split(300), torch.randperm(300, generator=torch.Generator().manual_seed(3))
    z2, y2 = torch.empty_like(z), torch.empty_like(y)
    z2[where], y2[where] = z, y
    protocol = Protocol("mine", 1, "", "", "dataset", None, scale=scale)
    a, b = linear_probe(z, y, split, protocol=protocol), linear_probe(z2, y2, permuted(split, where), protocol=protocol)
    assert a.values == pytest.approx(b.values, abs=1e-9)
    assert a.selected[0]["C"] == b.selected[0]["C"]
    assert knn_probe(z, y, split).values == knn_probe(z2, y2, permuted(split, where)).values


@pytest.mark.parametrize("with_val", [True, False])
@pytest.mark.parametrize("name", ["fixed", "bgrl-20-80", "ppi"])
def test_test_labels_decide_nothing(name, with_val):
    z, y = blobs(200)
    s = one_split(200)
    rows = Rows(s.train, s.val if with_val else s.val[:0], s.test)
    protocol = find_protocol(name)
    if name == "ppi":
        y = torch.eye(4)[y]
    other = y.clone()
    other[s.test] = y[s.test].flip(0)
    probes = [fit_probe(z, labels_, rows, protocol, "micro_f1") for labels_ in (y, other)]
    assert probes[0].selected == probes[1].selected
    assert torch.equal(probes[0].fit.coef, probes[1].fit.coef)
    assert torch.equal(probes[0].fit.intercept, probes[1].fit.intercept)


@pytest.mark.parametrize("scale", ["l2", "standardize", "none"])
@pytest.mark.parametrize("sparse", [True, False])
def test_scaling_sees_train_rows_only(scale, sparse):
    z, y = blobs(200)
    s = one_split(200)
    other = z.clone()
    other[s.test] = 100 * other[s.test] + 7
    protocol = Protocol("mine", 1, "", "", "dataset", None, scale=scale)
    probes = [fit_probe(CSR.from_dense(x) if sparse else x, y, Rows(s.train, s.val, s.test), protocol, "accuracy") for x in (z, other)]
    assert torch.equal(probes[0].fit.coef, probes[1].fit.coef)
    scaled = Scaler.fit(scale, z[s.train])(z[s.train])
    if scale == "standardize":
        torch.testing.assert_close(scaled.std(0, correction=0), torch.ones(12, dtype=torch.float64))
    if scale == "l2":
        torch.testing.assert_close(scaled.norm(dim=1), torch.ones(60, dtype=torch.float64))


def test_penalty_on_validation_equals_brute_force():
    z, y = blobs(400, noise=2.0)
    split = one_split(400)
    x, t = normalize(z.double().numpy()), y.numpy()
    found = []
    for c in GRID:
        model = LogisticRegression(C=c, max_iter=5000, tol=1e-8).fit(x[split.train], t[split.train])
        found.append((model.score(x[split.val], t[split.val]), model.score(x[split.test], t[split.test])))
    best = int(np.argmax([v for v, _ in found]))
    score = linear_probe(z, y, split)
    assert score.selected[0] == {"C": GRID[best], "validation": pytest.approx(found[best][0])}
    assert score.mean == pytest.approx(found[best][1])
    assert linear_probe(z, y, split, solver="lbfgs").mean == pytest.approx(score.mean, abs=0.01)


def test_ties_go_to_the_smaller_penalty():
    y = torch.arange(90) % 3
    thirds = Split("balanced", torch.arange(30), torch.arange(30, 60), torch.arange(60, 90))
    assert linear_probe(torch.eye(3)[y], y, thirds).selected[0] == {"C": GRID[0], "validation": 1.0}


def test_without_validation_folds_of_train_choose():
    z, y = blobs(300)
    s = one_split(300, train=0.5, val=0.0)
    assert len(s.val) == 0
    score = linear_probe(z, y, s)
    assert score.mean > 0.6
    assert "validation" not in score.selected[0]


@pytest.mark.parametrize(
    ("name", "solver"),
    [("fixed", "newton"), ("fixed", "lbfgs"), ("bgrl-20-80", "newton"), ("bgrl-20-80", "liblinear"), ("ppi", "newton")],
)
def test_says_when_it_did_not_converge(name, solver):
    z, y = blobs(200, noise=0.5)
    target = torch.eye(4)[y] if name == "ppi" else y
    short = linear_probe(z, target, one_split(200), protocol=name, solver=solver, max_iter=1)
    assert not short.converged
    assert "NOT converged" in str(short)
    full = linear_probe(z, target, one_split(200), protocol=name, solver=solver)
    assert full.converged or name == "ppi"  # its 100 steps are too few, and it says so


def test_unlabelled_rows_are_never_used():
    z, y = blobs(200)
    s = one_split(200)
    hidden = torch.arange(0, 200, 5)
    holes = y.clone()
    holes[hidden] = -1
    keep = lambda part: part[~torch.isin(part, hidden)]  # noqa: E731
    clean = Split("clean", keep(s.train), keep(s.val), keep(s.test))
    z_bad = z.clone()
    z_bad[hidden] = 1e6
    assert linear_probe(z_bad, holes, s).values == linear_probe(z, y, clean).values
    assert knn_probe(z_bad, holes, s).values == knn_probe(z, y, clean).values
    table = torch.eye(4)[y]
    table[hidden, 1] = torch.nan
    assert linear_probe(z_bad, table, s).values == linear_probe(z, torch.eye(4)[y], clean).values


@pytest.mark.parametrize("kind", ["array", "csr", "scipy", "half", "list"])
def test_kinds_of_embedding(kind):
    z, y = blobs(120, 6, 3)
    z = torch.where(z.abs() > 0.5, z, 0)
    expected = linear_probe(z, y, one_split(120)).mean
    if kind == "scipy":
        scipy = pytest.importorskip("scipy.sparse")
        given = scipy.csr_matrix(z.numpy())
    else:
        given = {"array": z.numpy(), "csr": CSR.from_dense(z), "half": z.bfloat16(), "list": z.tolist()}[kind]
    assert linear_probe(given, y.numpy(), one_split(120)).mean == pytest.approx(expected, abs=0.05 if kind == "half" else 1e-9)
    if kind in ("csr", "scipy"):
        for protocol, solver in (("bgrl-20-80", "liblinear"), ("bgrl-20-80", "newton"), ("random-10-10-80", "lbfgs")):
            dense = linear_probe(z, y, protocol, num_splits=1, solver=solver).mean
            assert linear_probe(given, y, protocol, num_splits=1, solver=solver).mean == pytest.approx(dense, abs=0.02)
        assert knn_probe(given, y, one_split(120)).mean == knn_probe(z, y, one_split(120)).mean
        assert cluster(given, y, seeds=(0,)).num_clusters == 3


@pytest.mark.parametrize("metric", ["micro_f1", "macro_f1", "roc_auc", "accuracy"])
def test_multi_label(metric):
    g = torch.Generator().manual_seed(0)
    z = torch.randn(400, 10, generator=g)
    y = (z @ torch.randn(10, 5, generator=g) + 0.3 * torch.randn(400, 5, generator=g) > 0).float()
    y[:, 4] = 0  # a label nobody has
    split = one_split(400)
    score = linear_probe(z, y, split, metric=metric)
    assert score.mean > (0.5 if metric == "macro_f1" else 0.7)
    assert score.metric == metric
    if metric != "roc_auc":
        assert knn_probe(z, y, split, metric=metric).mean > 0.15
    if metric == "micro_f1":
        ppi = linear_probe(z, y, split, protocol="ppi")
        assert ppi.mean == pytest.approx(score.mean, abs=0.1)
        assert set(ppi.selected[0]) == {"weight_decay", "validation"}


def test_weight_decay_that_overshoots_is_not_trained():
    z, y = blobs(60, 4, 2)
    fit = adamw_path(z, torch.eye(2)[y], [1.0, 256.0])
    assert bool(fit.coef[0].any())
    assert not bool(fit.coef[1].any())
    assert not bool(fit.converged[1])


def test_metrics_equal_sklearn():
    g = torch.Generator().manual_seed(0)
    truth, scores = torch.randint(0, 3, (50,), generator=g), torch.randn(50, 3, generator=g)
    predicted = scores.argmax(1)
    assert measure("accuracy", truth, scores) == pytest.approx(float((truth == predicted).float().mean()))
    assert measure("macro_f1", truth, scores) == pytest.approx(f1_score(truth, predicted, average="macro"))
    table, logits = (torch.rand(50, 4, generator=g) > 0.6).float(), torch.randn(50, 4, generator=g).round(decimals=1)
    for average in ("micro", "macro"):
        assert measure(f"{average}_f1", table, logits) == pytest.approx(f1_score(table, logits > 0, average=average))
    assert measure("roc_auc", table, logits) == pytest.approx(roc_auc_score(table, logits))  # rounded: with ties
    two = scores[:, :2]
    assert measure("roc_auc", truth.clamp(max=1), two) == pytest.approx(roc_auc_score(truth.clamp(max=1), two[:, 1] - two[:, 0]))


def test_roc_auc_uses_decision_scores():
    z, _ = blobs(400, 5, 2)
    y = (z[:, 0] + torch.randn(400, generator=torch.Generator().manual_seed(5)) > 1.5).long()  # few positives
    split = one_split(400)
    score = linear_probe(z, y, split, metric="roc-auc")
    probe = fit_probe(z, y, Rows(split.train, split.val, split.test), find_protocol("fixed"), "roc_auc")
    assert score.mean == pytest.approx(roc_auc_score(y[split.test], probe.scores(z, split.test)[:, 1]))
    assert score.mean > 0.7


def test_labels_need_not_be_consecutive():
    z, y = blobs(200, 6, 3)
    names = torch.tensor([7, 2, 40])
    split = one_split(200)
    assert linear_probe(z, names[y], split).mean == pytest.approx(linear_probe(z, y, split).mean, abs=0.01)
    assert knn_probe(z, names[y], split).mean == knn_probe(z, y, split).mean


def test_seeds_reproduce_and_leave_the_global_state_alone():
    z, y = blobs(200)
    torch.manual_seed(1), np.random.seed(1), random.seed(1)
    before = torch.get_rng_state(), np.random.get_state()[1].tolist(), random.getstate()
    runs = []
    for _ in range(2):
        run = [linear_probe(z, y, name, num_splits=2).to_dict() for name in ("random-10-10-80", "bgrl-20-80", "grace-10-90", "low-label")]
        run += [cluster(z, y).to_dict(), knn_probe(z, y, one_split(200)).to_dict(), diagnostics(z, max_rows=50)]
        run += [linear_probe(z, torch.eye(4)[y], one_split(200), protocol="ppi").to_dict()]
        run += [{k: str(s) for k, s in low_label_probe(z, y, per_class=(1, 3), seeds=range(2)).items()}]
        runs.append(run)
    assert runs[0] == runs[1]
    assert torch.equal(before[0], torch.get_rng_state())
    assert before[1] == np.random.get_state()[1].tolist()
    assert before[2] == random.getstate()
    assert linear_probe(z, y, "random-10-10-80", num_splits=1, seed=5).split_hash != runs[0][0]["split_hash"]


def test_inputs_stay_unchanged():
    z, y = blobs(300)
    z1, y1 = z.clone(), y.clone()
    linear_probe(z.requires_grad_(), y, "random-10-10-80", num_splits=1)
    knn_probe(z, y, one_split(300))
    assert torch.equal(z.detach(), z1)
    assert torch.equal(y, y1)


# ---------------------------------------------------------------------- datasets, few labels, neighbours, clusters


def toy_dataset(num: int = 3) -> SimpleNamespace:
    z, y = blobs()
    return SimpleNamespace(name="toy", y=y, splits=random_splits(y, train=0.3, val=0.3, num=num), metric="accuracy", z=z)


def test_evaluate_takes_or_makes_the_splits():
    data = toy_dataset()
    fixed = evaluate(data.z, data, "fixed", setting="transductive")
    assert len(fixed.values) == 3
    assert fixed.split_hash == split_hash(data.splits)
    assert fixed.values == linear_probe(data.z, data.y, data.splits).values
    assert len(evaluate(data.z, data, "fixed", setting="inductive", num_splits=2).values) == 2
    public = Split("public", data.splits[1].train, data.splits[1].val, data.splits[1].test)
    planetoid = SimpleNamespace(name="toy", y=data.y, splits=(*data.splits, public), metric="accuracy")
    assert evaluate(data.z, planetoid, "planetoid-public", setting="transductive").values == fixed.values[1:2]
    with pytest.raises(ValueError, match=r"takes 1 splits named 'public' of the dataset; toy has 0"):
        evaluate(data.z, data, "planetoid-public", setting="transductive")
    assert len(evaluate(data.z, data, "bgrl-20-80", setting="transductive").values) == 3
    with pytest.raises(ValueError, match=r"wikics.*20 splits.*toy has 0"):
        evaluate(data.z, data, "wikics", setting="transductive")
    with pytest.raises(TypeError):
        evaluate(data.z, data, "fixed")  # the setting is never guessed here


def test_low_label_probe_rises_with_labels():
    z, y = blobs(600, noise=1.0)
    scores = low_label_probe(z, y, per_class=(1, 5, 20), seeds=range(5))
    assert list(scores) == [1, 5, 20]
    assert scores[1].mean < scores[5].mean < scores[20].mean
    assert all(len(s.values) == 5 for s in scores.values())


def test_knn_equals_a_double_loop():
    z, y = blobs(90, 5, 3, noise=1.5)
    split = one_split(90)
    unit = torch.nn.functional.normalize(z.double())

    def predict(row: int, k: int) -> int:
        near = sorted(split.train.tolist(), key=lambda j: -float(unit[row] @ unit[j]))[:k]
        votes = [sum((1 + float(unit[row] @ unit[j])) / 2 for j in near if int(y[j]) == c) for c in range(3)]
        return int(np.argmax(votes))

    tried = (1, 3, 9)
    found = [np.mean([predict(i, k) == int(y[i]) for i in split.val.tolist()]) for k in tried]
    best = tried[int(np.argmax(found))]
    score = knn_probe(z, y, split, k=tried, chunk=7)
    assert score.selected[0]["k"] == best
    assert score.mean == pytest.approx(np.mean([predict(i, best) == int(y[i]) for i in split.test.tolist()]))


def test_knn_without_validation_leaves_one_out():
    y = torch.arange(60) % 3
    z = torch.eye(3)[y] + 0.01 * torch.randn(60, 3, generator=torch.Generator().manual_seed(0))
    score = knn_probe(z, y, one_split(60, val=0.0), k=(1, 100), chunk=4)
    assert score.mean == 1.0
    assert score.selected[0]["k"] == 1  # 100 means all train rows, of which the row itself is not one


def test_cluster_limits():
    y = torch.arange(300) % 3
    perfect = cluster(torch.eye(3)[y], y)
    assert (perfect.nmi, perfect.ari, perfect.nmi_std) == (pytest.approx(1.0), pytest.approx(1.0), pytest.approx(0.0))
    noise = cluster(torch.randn(600, 5, generator=torch.Generator().manual_seed(0)), torch.arange(600) % 3)
    assert noise.nmi < 0.05
    assert abs(noise.ari) < 0.05
    assert "k = 3" in str(noise)
    renamed = cluster(torch.eye(3)[y], 9 - y)
    assert renamed.nmi == pytest.approx(perfect.nmi)


# ---------------------------------------------------------------------- diagnostics


def test_diagnostics_limits():
    point = diagnostics(torch.ones(50, 8))
    assert point["effective_rank"] == pytest.approx(1.0, abs=1e-6)
    assert point["std_per_dim"] == pytest.approx(0.0, abs=1e-6)
    assert point["mean_cosine"] == pytest.approx(1.0, abs=1e-6)
    assert point["uniformity"] == pytest.approx(0.0, abs=1e-6)
    basis = diagnostics(torch.linalg.qr(torch.randn(8, 8, generator=torch.Generator().manual_seed(0)))[0])
    assert basis["effective_rank"] == pytest.approx(8.0, rel=1e-5)
    spread = diagnostics(torch.randn(5000, 32, generator=torch.Generator().manual_seed(0)))
    assert spread["std_per_dim"] == pytest.approx(1.0, abs=0.02)
    assert spread["mean_cosine"] == pytest.approx(0.0, abs=0.01)
    assert spread["effective_rank"] > 31
    line = diagnostics(torch.randn(100, 1) @ torch.randn(1, 16))
    assert line["effective_rank"] == pytest.approx(1.0, abs=1e-3)
    assert diagnostics(torch.zeros(4, 3))["effective_rank"] == 1.0
    assert diagnostics(torch.ones(1, 3))["uniformity"] == 0.0


def test_diagnostics_equal_double_loops():
    g = torch.Generator().manual_seed(0)
    z, z2 = torch.randn(40, 6, generator=g, dtype=torch.float64), torch.randn(40, 6, generator=g, dtype=torch.float64)
    u, v = (torch.nn.functional.normalize(t) for t in (z, z2))
    pairs = [(i, j) for i in range(40) for j in range(i)]
    d = diagnostics(z, z2)
    assert d["uniformity"] == pytest.approx(float(torch.stack([(-2 * (u[i] - u[j]).square().sum()).exp() for i, j in pairs]).mean().log()))
    assert d["mean_cosine"] == pytest.approx(float(torch.stack([u[i] @ u[j] for i, j in pairs]).mean()))
    assert d["alignment"] == pytest.approx(float(torch.stack([(u[i] - v[i]).square().sum() for i in range(40)]).mean()))
    share = torch.linalg.svdvals(z)
    share = share / share.sum()
    assert d["effective_rank"] == pytest.approx(float(torch.exp(-(share * share.log()).sum())))
    assert diagnostics(z, z)["alignment"] == 0.0


def test_collapse_warning():
    g = torch.Generator().manual_seed(0)
    healthy = torch.randn(500, 32, generator=g)
    assert collapse_warning(diagnostics(healthy), diagnostics(healthy)) is None
    assert "same way" in collapse_warning(diagnostics(torch.ones(500, 32) + 1e-3 * healthy))
    assert "one direction" in collapse_warning(diagnostics(torch.randn(500, 1, generator=g) @ torch.randn(1, 32, generator=g)))
    flat = healthy[:, :3] @ torch.randn(3, 32, generator=g)
    assert "fell from" in collapse_warning(diagnostics(flat), diagnostics(healthy))


# ---------------------------------------------------------------------- the record, and bad input


def test_score_says_it_all():
    data = toy_dataset()
    score = linear_probe(data.z, data.y, data.splits, setting="inductive")
    record = json.loads(json.dumps(score.to_dict()))
    assert record["mean"] == pytest.approx(np.mean(score.values))
    assert record["std_splits"] == pytest.approx(np.std(score.values, ddof=1))
    assert {"metric", "setting", "protocol", "version", "split_hash", "converged", "selected", "values", "n_splits"} <= set(record)
    for word in ("accuracy", "std over 3 splits", "protocol fixed v1", "inductive", score.split_hash[:8]):
        assert word in str(score)
    single = linear_probe(data.z, data.y, data.splits[0])
    assert single.std_splits is None
    assert single.to_dict()["std_splits"] is None


@pytest.mark.parametrize("name", sorted(PROTOCOLS))
def test_protocols_say_what_they_are(name):
    p = PROTOCOLS[name]
    assert p.name == name
    assert p.version >= 1
    assert p.description.endswith(".")
    assert p.source
    assert list(p.grid) == sorted(p.grid)


def test_protocols_import_no_torch():
    code = "import sys, graphssl.evaluation as e; e.PROTOCOLS, e.Score; sys.exit('torch' in sys.modules or 'sklearn' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_public_names_are_there_and_are_what_they_say():
    import graphssl.evaluation as module

    for name in module.__all__:
        assert not isinstance(getattr(module, name), type(module)), name
    assert set(module.__all__) <= set(dir(module))
    with pytest.raises(AttributeError):
        module.nothing  # noqa: B018


GOOD_Z, GOOD_Y = torch.eye(3)[torch.arange(30) % 3], torch.arange(30) % 3
THIRDS = Split("thirds", torch.arange(10), torch.arange(10, 20), torch.arange(20, 30))
NAN = GOOD_Z.clone()
NAN[4, 1] = torch.nan
LATE = torch.where(torch.arange(30) > 24, 5, GOOD_Y)  # class 5 is in the test rows alone


@pytest.mark.parametrize("probe", [linear_probe, knn_probe])
def test_a_class_without_a_train_row_is_missed_and_not_refused(probe):
    assert probe(GOOD_Z, GOOD_Y, THIRDS).mean == 1.0
    assert probe(GOOD_Z, LATE, THIRDS).mean == 0.5


def test_drawn_splits_are_refused_where_pre_training_saw_some_graphs():
    data = SimpleNamespace(name="several", y=GOOD_Y, splits=(THIRDS,), metric="accuracy", is_inductive=True)
    assert evaluate(GOOD_Z, data, "fixed", setting="inductive").mean == 1.0
    for name in ("random-10-10-80", "bgrl-20-80", "grace-10-90", "low-label"):
        with pytest.raises(ValueError, match="several is inductive"):
            evaluate(GOOD_Z, data, name, setting="inductive")


def test_wikics_by_the_papers_classifier():
    z, y = blobs(120, 5, 3)
    splits = tuple(Split(f"wikics-{i}", torch.arange(30), torch.arange(30, 60), torch.arange(60, 120)) for i in range(20))
    score = evaluate(z, SimpleNamespace(name="wikics", y=y, splits=splits, metric="accuracy"), "bgrl-wikics", setting="transductive")
    unit = (z / z.norm(dim=1, keepdim=True)).numpy()
    fits = [
        OneVsRestClassifier(LogisticRegression(solver="liblinear", C=2.0**e, max_iter=1000)).fit(unit[:30], y[:30]) for e in range(-10, 11)
    ]
    best = max(fits, key=lambda fit: fit.score(unit[30:60], y[30:60]))
    assert score.values == pytest.approx([best.score(unit[60:], y[60:])] * 20, abs=0.02)


BAD = {
    "nan": (lambda: linear_probe(NAN, GOOD_Y, THIRDS), "z has 1 values that are NaN or infinite"),
    "inf": (lambda: knn_probe(NAN.nan_to_num(torch.inf), GOOD_Y, THIRDS), "z has"),
    "one dimension": (lambda: linear_probe(GOOD_Z[0], GOOD_Y, THIRDS), r"z has shape \(3,\)"),
    "length": (lambda: linear_probe(GOOD_Z[:29], GOOD_Y, THIRDS), "y has 30 rows and z has 29"),
    "no splits": (lambda: linear_probe(GOOD_Z, GOOD_Y, []), "splits"),
    "row outside": (
        lambda: linear_probe(GOOD_Z, GOOD_Y, Split("far", torch.arange(3), torch.arange(3, 6), torch.tensor([99]))),
        "names row 99; z has rows 0 to 29",
    ),
    "no labelled train": (lambda: linear_probe(GOOD_Z, torch.where(torch.arange(30) < 10, -1, GOOD_Y), THIRDS), "no labelled train row"),
    "no labelled test": (lambda: linear_probe(GOOD_Z, torch.where(torch.arange(30) > 19, -1, GOOD_Y), THIRDS), "no labelled test row"),
    "one class": (lambda: linear_probe(GOOD_Z, torch.zeros(30), THIRDS), "single class 0"),
    "setting": (lambda: linear_probe(GOOD_Z, GOOD_Y, THIRDS, setting="both"), "setting is 'both'; allowed: transductive, inductive"),
    "setting, knn": (lambda: knn_probe(GOOD_Z, GOOD_Y, THIRDS, setting="x"), "setting is 'x'"),
    "metric": (lambda: linear_probe(GOOD_Z, GOOD_Y, THIRDS, metric="f2"), "metric is 'f2'; allowed"),
    "roc of three": (lambda: linear_probe(GOOD_Z, GOOD_Y, THIRDS, metric="roc_auc"), "3 classes"),
    "protocol": (lambda: linear_probe(GOOD_Z, GOOD_Y, "bgrl-2080"), "did you mean 'bgrl-20-80'"),
    "protocol without dataset": (lambda: linear_probe(GOOD_Z, GOOD_Y, "wikics"), "takes the dataset's own splits"),
    "solver": (
        lambda: linear_probe(GOOD_Z, GOOD_Y, THIRDS, solver="liblinear"),
        "solver is 'liblinear'; allowed for fixed v1: auto, newton, lbfgs",
    ),
    "num_splits": (lambda: linear_probe(GOOD_Z, GOOD_Y, THIRDS, num_splits=0), "num_splits is 0"),
    "fractions": (lambda: linear_probe(GOOD_Z, GOOD_Y / 2, THIRDS), "y has"),
    "multi-label values": (lambda: linear_probe(GOOD_Z, 3 * GOOD_Z, THIRDS), "y has"),
    "k": (lambda: knn_probe(GOOD_Z, GOOD_Y, THIRDS, k=(0,)), "k is"),
    "cluster": (lambda: cluster(GOOD_Z, GOOD_Z), "y has shape"),
    "cluster seeds": (lambda: cluster(GOOD_Z, GOOD_Y, seeds=()), "seeds is empty"),
    "diagnostics": (lambda: diagnostics(NAN), "z has values"),
    "diagnostics shape": (lambda: diagnostics(GOOD_Z, GOOD_Z[:4]), "z2 has shape"),
    "score setting": (lambda: Score("accuracy", (1.0,), "", "fixed", 1, "", True, ({},)), "setting is ''"),
    "score empty": (lambda: Score("accuracy", (), "inductive", "fixed", 1, "", True, ()), "values is empty"),
    "scale": (lambda: Scaler.fit("max", GOOD_Z), "scale is 'max'"),
}


@pytest.mark.parametrize("case", sorted(BAD))
def test_bad_input_is_named(case):
    call, message = BAD[case]
    with pytest.raises(ValueError, match=message):
        call()


def test_embedding_and_labels_pass_through():
    assert embedding(GOOD_Z) is not None
    assert labels(GOOD_Y.float(), 30, torch.device("cpu"))[0].dtype == torch.int64
    assert labels(GOOD_Y[:, None], 30, torch.device("cpu"))[0].dim() == 1
