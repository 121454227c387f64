"""Laws of what scores graphs: folds, nested choice of C, tasks with missing labels, errors of regression, Weisfeiler-Lehman counts."""

from __future__ import annotations

import random
import sys
from collections import Counter
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from scipy.sparse import csr_matrix
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import average_precision_score, f1_score
from sklearn.model_selection import GridSearchCV, StratifiedKFold
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC
from torch import Tensor

from graphssl.adjacency import CSR
from graphssl.batches import side_by_side
from graphssl.datasets.splits import Split, random_splits, split_hash, stratified_folds
from graphssl.evaluation import PROTOCOLS, Score, evaluate, find_protocol, knn_probe, linear_probe, summed_features, wl_features, wl_score
from graphssl.evaluation.fitting import fit_probe
from graphssl.evaluation.metrics import best_of, find_metric, measurable, measure
from graphssl.evaluation.ridge import ridge_path
from graphssl.evaluation.rows import Rows
from graphssl.evaluation.svm import fit_svm, pairs
from graphssl.graph import Graph

NAN = float("nan")
DECADES = [10.0**e for e in range(-3, 4)]


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def graphs_like(n: int = 150, d: int = 6, k: int = 2, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Rows as summed embeddings have them: large, of uneven size, learnable but not perfectly."""
    g = generator(seed)
    y = (torch.arange(n) % k)[torch.randperm(n, generator=g)]
    centres = torch.randn(k, d, generator=g)[y]
    return (centres + 1.5 * torch.randn(n, d, generator=g)) * (100 + 200 * torch.rand(n, 1, generator=g)), y


def thirds(n: int, seed: int = 0) -> Split:
    order = torch.randperm(n, generator=generator(seed))
    return Split("thirds", order[: n // 2], order[n // 2 : 3 * n // 4], order[3 * n // 4 :])


def tasks(n: int = 240, d: int = 5, t: int = 4, missing: float = 0.3, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Rows and a table of 0, 1 and NaN."""
    g = generator(seed)
    z = torch.randn(n, d, generator=g)
    y = (z @ torch.randn(d, t, generator=g) + torch.randn(n, t, generator=g) > 0.7).float()
    return z, y.masked_fill(torch.rand(n, t, generator=g) < missing, NAN)


def mine(name: str, **change: object) -> object:
    return replace(find_protocol(name), **change)


# ---------------------------------------------------------------------- folds


@pytest.mark.parametrize("k", [2, 3])
@pytest.mark.parametrize("n", [10, 97, 188])
def test_folds_test_each_row_once_a_repeat_and_keep_the_classes(n: int, k: int) -> None:
    y = torch.arange(n).square() % (2 * k) % k
    splits = stratified_folds(y, repeats=2, seed=3)
    assert [s.name for s in splits] == [f"stratified-10-fold-{i}" for i in range(20)]
    for part in (splits[:10], splits[10:]):
        assert torch.cat([s.test for s in part]).sort().values.tolist() == list(range(n))
        counts = torch.stack([torch.bincount(y[s.test], minlength=k) for s in part])
        assert int((counts.amax(0) - counts.amin(0)).max()) <= 1
        assert int(counts.sum(1).max() - counts.sum(1).min()) <= 1
    for s in splits:
        assert len(s.val) == 0
        assert torch.cat([s.train, s.test]).sort().values.tolist() == list(range(n))
    assert split_hash(splits[:10]) != split_hash(splits[10:])


def test_folds_are_the_seeds_and_leave_the_global_state_alone() -> None:
    y = torch.arange(60) % 3
    torch.manual_seed(1), np.random.seed(1), random.seed(1)
    before = torch.get_rng_state(), np.random.get_state()[1].tolist(), random.getstate()
    one, two = stratified_folds(y), stratified_folds(y, repeats=2)
    assert torch.equal(before[0], torch.get_rng_state())
    assert (before[1], before[2]) == (np.random.get_state()[1].tolist(), random.getstate())
    assert [s.hash for s in one] == [s.hash for s in two[:10]]
    assert split_hash(stratified_folds(y, seed=1)) != split_hash(one)
    assert split_hash(one) == "535e3f137c72"  # as on every platform


def test_folds_of_labelled_rows_tables_and_targets() -> None:
    y = torch.arange(40) % 2
    y[5] = -1
    assert 5 not in torch.cat([s.test for s in stratified_folds(y)]).tolist()
    table = torch.stack([y.float(), torch.full((40,), NAN)], 1)
    table[7, 0] = NAN  # nothing is known of it
    folds = stratified_folds(table.masked_fill(table < 0, NAN))
    assert folds[0].name == "random-10-fold-0"
    assert sorted(set(range(40)) - {5, 7}) == torch.cat([s.test for s in folds]).sort().values.tolist()
    targets = torch.randn(40, generator=generator())  # negative ones are known too
    assert sum(len(s.test) for s in stratified_folds(targets)) == 40
    assert sum(len(s.test) for s in stratified_folds(targets[:, None])) == 40


# ---------------------------------------------------------------------- support vector machines


@pytest.mark.parametrize("k", [2, 3])
def test_svm_equals_sklearn(k: int) -> None:
    z, y = graphs_like(k=k)
    score = linear_probe(z, y, "tu-svm", num_splits=3)
    x = z.double().numpy()
    for split, value, selected in zip(stratified_folds(y)[:3], score.values, score.selected, strict=True):
        search = GridSearchCV(SVC(), {"C": DECADES}, cv=5).fit(x[split.train], y[split.train].numpy())
        assert selected == {"C": search.best_params_["C"], "validation": pytest.approx(search.best_score_)}
        assert value == pytest.approx(search.score(x[split.test], y[split.test].numpy()))
        probe = fit_svm(z, y, Rows(split.train, split.val, split.test), find_protocol("tu-svm"))
        assert probe.classes[probe.scores(z, split.test).argmax(1)].tolist() == search.predict(x[split.test]).tolist()
        if k == 2:
            decision = search.decision_function(x[split.test])
            assert probe.scores(z, split.test, chunk=4)[:, 1].numpy() == pytest.approx(decision, abs=1e-2 * np.abs(decision).max())


@pytest.mark.parametrize("kind", ["rbf", "linear"])
def test_svm_from_a_shared_table_from_its_own_rows_and_from_sparse_rows(kind: str) -> None:
    z, y = graphs_like(90)
    x = torch.where(z.abs() > 100, z, 0) / 100
    protocol = mine("tu-svm", kernel=kind, grid=(0.01, 1.0))
    s = stratified_folds(y)[0]
    rows = Rows(s.train, s.val, s.test)
    dense = x.double()
    table = pairs(dense, dense, kind)
    expected = torch.cdist(dense, dense).square() if kind == "rbf" else dense @ dense.mT
    torch.testing.assert_close(torch.from_numpy(table), expected, atol=1e-6, rtol=1e-9)
    given, own = fit_svm(x, y, rows, protocol, table=table), fit_svm(x, y, rows, protocol)
    sparse = fit_svm(CSR.from_dense(x), y, rows, protocol)
    for probe, kept in ((own, x), (sparse, CSR.from_dense(x))):
        assert probe.selected == given.selected
        torch.testing.assert_close(probe.scores(kept, s.test), given.scores(x, s.test), rtol=0.01, atol=0.01)
    assert linear_probe(csr_matrix(x.numpy()), y, protocol, num_splits=2).values == linear_probe(x, y, protocol, num_splits=2).values


def test_graphmae_is_the_official_code() -> None:
    z, y = graphs_like(60, k=3)
    x, t, found = z.numpy(), y.numpy(), []
    for train, test in StratifiedKFold(n_splits=10, shuffle=True, random_state=0).split(x, t):
        search = GridSearchCV(SVC(random_state=42), {"C": [1e-3, 1e-2, 1e-1, 1, 10]}).fit(x[train], t[train])
        found.append(f1_score(t[test], search.predict(x[test]), average="micro"))
    score = linear_probe(z, y, "graphmae-svm")
    assert score.values == pytest.approx(found)
    assert (score.metric, len(score.values)) == ("micro_f1", 10)


def test_svm_scaled_by_the_train_rows() -> None:
    z, y = graphs_like(100)
    z = z * torch.tensor([1, 1, 1, 1, 1, 1e4])
    s = stratified_folds(y)[0]
    scaler = StandardScaler().fit(z[s.train].double())
    x = scaler.transform(z.double())
    search = GridSearchCV(SVC(), {"C": DECADES}, cv=5).fit(x[s.train], y[s.train])
    score = linear_probe(z, y, s, protocol=mine("tu-svm", scale="standardize"))
    assert score.values == pytest.approx([search.score(x[s.test], y[s.test])])


@pytest.mark.parametrize("name", ["tu-svm", "graphmae-svm", "tu-logistic", "molecules", "molecules-folds"])
def test_nested_choice_never_sees_test_rows(name: str) -> None:
    z, y = graphs_like(110, k=3)
    split = stratified_folds(y)[0] if name != "molecules" else thirds(110)
    other_y, other_z = y.clone(), z.clone()
    other_y[split.test] = y[split.test].flip(0)
    other_z[split.test] = other_z[split.test].flip(1) * 50 + 7
    base = linear_probe(z, y, split, protocol=name)
    assert linear_probe(z, other_y, split, protocol=name).selected == base.selected
    assert linear_probe(other_z, y, split, protocol=name).selected == base.selected
    rows = Rows(split.train, split.val, split.test)
    if "svm" in name:
        fits = [fit_svm(a, b, rows, find_protocol(name)).model for a, b in ((z, y), (z, other_y), (other_z, y))]
        assert all(np.array_equal(fits[0].dual_coef_, fit.dual_coef_) for fit in fits)
    else:
        coefs = [fit_probe(a, b, rows, find_protocol(name), "accuracy").fit.coef for a, b in ((z, y), (z, other_y), (other_z, y))]
        assert all(torch.equal(coefs[0], coef) for coef in coefs)


def test_repeats_and_fewer_folds() -> None:
    z, y = graphs_like(60)
    tu, graphmae = (mine(name, grid=(1.0, 10.0)) for name in ("tu-svm", "graphmae-svm"))
    ten, more = linear_probe(z, y, tu), linear_probe(z, y, tu, num_splits=23)
    assert len(more.values) == 23
    assert more.values[:10] == ten.values
    assert linear_probe(z, y, graphmae, num_splits=12).values[:10] == linear_probe(z, y, graphmae).values
    data = SimpleNamespace(name="toy", y=y, splits=(), metric="accuracy")
    assert evaluate(z, data, tu, setting="transductive").to_dict() == ten.to_dict()


def test_logistic_on_the_folds_equals_sklearn() -> None:
    z, y = graphs_like(100)
    grid = (0.01, 0.1, 1.0)
    score = linear_probe(z, y, mine("tu-logistic", grid=grid), num_splits=2)
    for i, s in enumerate(stratified_folds(y)[:2]):
        x = StandardScaler().fit(z[s.train].double()).transform(z.double())
        folds = StratifiedKFold(5, shuffle=True, random_state=i)
        search = GridSearchCV(LogisticRegression(tol=1e-8, max_iter=1000), {"C": grid}, cv=folds).fit(x[s.train], y[s.train])
        assert score.selected[i] == {"C": search.best_params_["C"]}
        assert score.values[i] == pytest.approx(search.score(x[s.test], y[s.test]))


def test_svm_says_when_it_did_not_converge() -> None:
    z, y = graphs_like(60)
    assert not linear_probe(z, y, "tu-svm", num_splits=1, max_iter=2).converged
    assert linear_probe(z, y, "tu-svm", num_splits=1).converged


def test_svm_of_rows_all_equal_of_rare_classes_and_of_holes() -> None:
    z, y = graphs_like(60, k=2)
    tu = mine("tu-svm", grid=(0.1, 10.0))
    assert linear_probe(torch.ones(60, 3), y, tu).mean == pytest.approx(0.5, abs=0.01)
    y[3] = 2  # a class of one row: once tested without a train row, and elsewhere never left out in the inner folds
    assert 0.4 < linear_probe(z, y, tu).mean < 1
    y[3] = -1
    bad = z.clone()
    bad[3] = 1e9
    assert linear_probe(bad, y, tu).values == linear_probe(z, y, tu).values
    few = Split("few", torch.tensor([0, 1]), torch.tensor([]).long(), torch.tensor([2, 3]))
    assert linear_probe(torch.eye(2)[torch.arange(4) % 2], torch.arange(4) % 2, few, protocol="tu-svm").values == (1.0,)


# ---------------------------------------------------------------------- tasks with missing labels


@pytest.fixture
def ogb(monkeypatch: pytest.MonkeyPatch) -> None:
    """The package ogb without its thread that asks the network for a newer version."""
    monkeypatch.setitem(sys.modules, "outdated", None)


def test_metrics_equal_ogbs_evaluator(ogb: None) -> None:
    from ogb.graphproppred import Evaluator

    g = generator(2)
    truth = (torch.rand(60, 5, generator=g) > 0.7).float().masked_fill(torch.rand(60, 5, generator=g) < 0.3, NAN)
    truth[:, 3] = torch.where(truth[:, 3].isnan(), NAN, 0.0)  # one class: left out by both
    scores = torch.randn(60, 5, generator=g).round(decimals=1)  # with ties
    given = {"y_true": truth.numpy(), "y_pred": scores.numpy()}
    for name, key, metric in (
        ("ogbg-moltox21", "rocauc", "roc_auc"),
        ("ogbg-molpcba", "ap", "average_precision"),
        ("ogbg-molesol", "rmse", "rmse"),
    ):
        shown = {k: v[:, :1] for k, v in given.items()} if metric == "rmse" else given | {"y_true": _columns(name, truth)}
        shown = shown | {"y_pred": _columns(name, scores)} if metric != "rmse" else shown
        ours = measure(metric, torch.as_tensor(shown["y_true"]), torch.as_tensor(shown["y_pred"]))
        assert ours == pytest.approx(Evaluator(name).eval(shown)[key], rel=1e-6), name


def _columns(name: str, table: Tensor) -> np.ndarray:
    """The columns repeated to as many tasks as the set has."""
    wanted = {"ogbg-moltox21": 12, "ogbg-molpcba": 128}[name]
    return table[:, torch.arange(wanted) % table.size(1)].numpy()


def test_metrics_of_one_column_equal_sklearn() -> None:
    g = generator()
    truth, scores = torch.randint(0, 2, (50,), generator=g), torch.randn(50, 2, generator=g).round(decimals=1)
    margin = scores[:, 1] - scores[:, 0]
    assert measure("average_precision", truth, scores) == pytest.approx(average_precision_score(truth, margin))
    y, value = torch.randn(40, 2, generator=g), torch.randn(40, 2, generator=g)
    y[::3, 0] = NAN
    keep = ~y[:, 0].isnan()
    first, second = (y - value)[keep, 0], (y - value)[:, 1]
    assert measure("mae", y, value) == pytest.approx(float((first.abs().mean() + second.abs().mean()) / 2))
    assert measure("rmse", y, value) == pytest.approx(float((first.square().mean().sqrt() + second.square().mean().sqrt()) / 2))


def test_unknown_labels_count_in_no_metric() -> None:
    _, y = tasks()
    scores = torch.randn(y.shape, generator=generator(1))
    other = torch.where(y.isnan(), 100 * torch.randn(y.shape, generator=generator(2)), scores)
    for metric in ("accuracy", "micro_f1", "macro_f1", "roc_auc", "average_precision", "rmse", "mae"):
        assert measure(metric, y, scores) == measure(metric, y, other), metric


def test_each_task_is_fitted_on_the_rows_that_have_its_label() -> None:
    """With a single C, many tasks are as many probes, each on the rows that have its label."""
    z, y = tasks()
    split, protocol = thirds(240), mine("molecules", grid=(0.1,), scale="none")
    whole = linear_probe(z, y, split, protocol=protocol, metric="roc_auc")
    single = [linear_probe(z, column.nan_to_num(-1).long(), split, protocol=protocol, metric="roc_auc").mean for column in y.unbind(1)]
    assert whole.mean == pytest.approx(np.mean(single), abs=1e-9)
    lbfgs = linear_probe(z, y, split, protocol=protocol, metric="roc_auc", solver="lbfgs")
    assert whole.mean == pytest.approx(lbfgs.mean, abs=1e-3)
    far = z.clone()
    far[y.isnan().all(1)] = 1e6  # rows without any label are not looked at, not even to scale
    assert bool((far != z).any())
    scaled = mine("molecules", grid=(0.1,))
    assert linear_probe(far, y, split, protocol=scaled).values == linear_probe(z, y, split, protocol=scaled).values


def test_one_penalty_for_all_tasks_is_chosen_by_the_validation_metric() -> None:
    z, y = tasks(400, missing=0.2)
    split, grid = thirds(400), (1e-4, 1e-2, 1.0)
    x = StandardScaler().fit(z[split.train].double()).transform(z.double())
    found = []
    for c in grid:
        values = []
        for column in y.unbind(1):
            train, val = (part[~column[part].isnan()] for part in (split.train, split.val))
            model = LogisticRegression(C=c, tol=1e-8, max_iter=1000).fit(x[train], column[train])
            values.append(average_precision_score(column[val], model.decision_function(x[val])))
        found.append(np.mean(values))
    score = linear_probe(z, y, split, protocol=mine("molecules", grid=grid), metric="average-precision")
    assert score.selected[0]["C"] == grid[int(np.argmax(found))]
    assert score.selected[0]["validation"] == pytest.approx(max(found), abs=1e-3)


def test_row_order_does_not_matter() -> None:
    z, y = tasks()
    split, where = thirds(240), torch.randperm(240, generator=generator(5))
    z2, y2 = torch.empty_like(z), torch.empty_like(y)
    z2[where], y2[where] = z, y
    moved = Split("moved", where[split.train], where[split.val], where[split.test])
    for metric, a, b in (("roc_auc", y, y2), ("rmse", y, y2), ("accuracy", y[:, 0].nan_to_num(-1), y2[:, 0].nan_to_num(-1))):
        one, two = (linear_probe(x, t, s, protocol="molecules", metric=metric) for x, t, s in ((z, a, split), (z2, b, moved)))
        assert one.values == pytest.approx(two.values, abs=1e-9)
        assert one.selected[0] == pytest.approx(two.selected[0])
    s = stratified_folds(torch.arange(240) % 2)[0]
    order = torch.cat([torch.arange(0, 240, 2), torch.arange(1, 240, 2)])  # classes one after the other: the inner folds stay as they were
    place = order.argsort()
    turned = Split("turned", place[s.train], place[s.val], place[s.test])
    c = torch.arange(240) % 2
    one, two = linear_probe(z, c, s, protocol="tu-svm"), linear_probe(z[order], c[order], turned, protocol="tu-svm")
    assert (one.values, one.selected) == (two.values, two.selected)


@pytest.mark.parametrize("shape", ["[N]", "[N, 1]", "bool", "with holes"])
def test_one_task_in_any_shape(shape: str) -> None:
    z, table = tasks(missing=0.0)
    y = table[:, 0]
    given = {"[N]": y.long(), "[N, 1]": y[:, None], "bool": y.bool(), "with holes": y[:, None].clone()}[shape]
    split = thirds(240)
    expected = linear_probe(z, y, split, protocol="molecules", metric="roc_auc")
    if shape == "with holes":
        given[split.train[:9]] = NAN
        expected = linear_probe(
            z, y, Split("less", split.train[torch.arange(9, 120)], split.val, split.test), protocol="molecules", metric="roc_auc"
        )
    assert linear_probe(z, given, split, protocol="molecules", metric="roc_auc").values == expected.values


def test_classes_under_the_protocol_of_tasks_are_multinomial() -> None:
    z, y = graphs_like(200, k=3)
    split = thirds(200)
    same = mine("fixed", scale="standardize", grid=PROTOCOLS["molecules"].grid)
    assert linear_probe(z, y, split, protocol="molecules").values == linear_probe(z, y, split, protocol=same).values
    hot = torch.eye(3)[y]  # a table of separate tasks is not, even where each row has one yes
    a, b = (fit_probe(z, hot, Rows(split.train, split.val, split.test), p, "micro_f1") for p in (same, find_protocol("molecules")))
    assert not torch.allclose(a.fit.intercept.sum(1), b.fit.intercept.sum(1))


def test_without_both_classes_in_validation_folds_of_train_choose() -> None:
    z, y = tasks(missing=0.0)
    split = thirds(240)
    y[split.val] = 0.0
    score = linear_probe(z, y, split, protocol="molecules", metric="roc_auc")
    assert "validation" not in score.selected[0]
    assert score.mean > 0.6
    y[split.train, 1:] = 1.0  # tasks that are all yes in training cannot be learned, and are no error while others can be
    assert linear_probe(z, y[:, :2], split, protocol="molecules", metric="roc_auc").converged
    with pytest.raises(ValueError, match="no column of y has both classes in the train rows"):
        linear_probe(z, y[:, 1:], split, protocol="molecules", metric="roc_auc")
    rare = (torch.arange(240) == int(split.train[0])).long() + (torch.arange(240) == int(split.test[0])).long()
    assert linear_probe(z, rare, Split("no val", split.train, split.val[:0], split.test), protocol="molecules", metric="ap").selected == (
        {"C": 1.0},  # one positive row cannot be left out
    )


def test_molecules_take_all_splits_of_the_dataset_and_folds_draw_their_own() -> None:
    z, y = tasks()
    known = (~y.isnan()).any(1)
    z, y = z[known], y[known]
    data = SimpleNamespace(name="toy", y=y, splits=random_splits(y, train=0.5, val=0.2, num=2), metric="roc_auc", is_inductive=False)
    fixed = evaluate(z, data, "molecules", setting="inductive")
    assert (len(fixed.values), fixed.split_hash) == (2, split_hash(data.splits))
    folds = evaluate(z, data, "molecules-folds", setting="transductive", num_splits=3)
    assert folds.split_hash == split_hash(stratified_folds(y)[:3])
    assert min(*fixed.values, *folds.values) > 0.6


# ---------------------------------------------------------------------- regression


@pytest.mark.parametrize("shape", [(60, 7), (20, 45)], ids=["tall", "wide"])
@pytest.mark.parametrize("sparse", [True, False])
def test_ridge_equals_sklearn(shape: tuple[int, int], sparse: bool) -> None:
    g = generator()
    x = torch.randn(*shape, generator=g).double() + 2
    x = torch.where(x > 1.5, x, 0)
    y = torch.randn(shape[0], 3, generator=g).double() * torch.tensor([1.0, 50, 0.01]) + torch.arange(3)
    grid = [1e-5, 1e-2, 1.0, 1e3]
    fit = ridge_path(CSR.from_dense(x) if sparse else x, y, grid)
    assert bool(fit.converged.all())
    for i, c in enumerate(grid):
        model = Ridge(alpha=1 / c, solver="svd").fit(x.numpy(), y.numpy())
        assert fit.coef[i].numpy() == pytest.approx(model.coef_.T, rel=1e-6, abs=1e-8)
        assert fit.intercept[i].numpy() == pytest.approx(model.intercept_, rel=1e-6, abs=1e-7)


def targets(n: int = 200, missing: float = 0.2) -> tuple[Tensor, Tensor]:
    g = generator(4)
    z = torch.randn(n, 8, generator=g)
    y = (z @ torch.randn(8, 3, generator=g) + torch.randn(n, 3, generator=g)) * torch.tensor([1.0, 1e3, 1e-3])
    return z, y.masked_fill(torch.rand(n, 3, generator=g) < missing, NAN)


@pytest.mark.parametrize("metric", ["rmse", "mae"])
def test_regression_equals_brute_force(metric: str) -> None:
    """One alpha for all targets, by the mean validation error in units of each target's deviation; the score is in the targets' units."""
    z, y = targets()
    split, grid = thirds(200), PROTOCOLS["molecules"].grid
    labelled = split.train[(~y[split.train].isnan()).any(1)]
    x = StandardScaler().fit(z[labelled].double()).transform(z.double())
    power = 2 if metric == "rmse" else 1
    table = []
    for c in grid:
        row = []
        for column in y.double().unbind(1):
            train, val, test = (part[~column[part].isnan()] for part in (split.train, split.val, split.test))
            model = Ridge(alpha=1 / c).fit(x[train], column[train])
            off = [float(np.mean(np.abs(model.predict(x[part]) - column[part].numpy()) ** power) ** (1 / power)) for part in (val, test)]
            row.append((off[0] / float(column[train].std(correction=0)), *off))
        table.append(np.mean(row, 0))
    best = int(np.argmin([row[0] for row in table]))
    score = linear_probe(z, y, split, protocol="molecules", metric=metric)
    assert score.selected[0] == pytest.approx({"alpha": 1 / grid[best], "validation": table[best][1]})
    assert score.mean == pytest.approx(table[best][2])
    assert score.mean < float(np.mean([measure(metric, t[split.test, None], t[split.train].nanmean().expand(50, 1)) for t in y.unbind(1)]))


def test_units_of_the_targets_change_the_error_and_nothing_else() -> None:
    z, y = targets()
    split = thirds(200)
    one, two = (linear_probe(z, t, split, protocol="molecules", metric="rmse") for t in (y, 1000 * y - 7))
    assert two.mean == pytest.approx(1000 * one.mean)
    assert two.selected[0]["alpha"] == one.selected[0]["alpha"]
    flat = torch.full((200,), 3.0)
    assert linear_probe(z, flat, split, protocol="molecules", metric="mae").mean == pytest.approx(0, abs=1e-9)


def test_regression_by_folds_and_without_validation() -> None:
    z, y = targets(missing=0.0)
    data = SimpleNamespace(name="toy", y=y[:, :1].double(), splits=(), metric="rmse")
    score = evaluate(z, data, "molecules-folds", setting="transductive")
    assert (len(score.values), score.metric, score.is_error) == (10, "rmse", True)
    assert score.mean < float(y[:, 0].std())
    assert set(score.selected[0]) == {"alpha"}


def test_scores_print_errors_in_their_units_and_shares_in_per_cent() -> None:
    score = Score("mae", (12.5, 13.5), "inductive", "molecules", 1, "0123456789ab", True, ({}, {}))
    assert str(score).startswith("mae 13 ± 0.7071 (std over 2 splits), protocol molecules v1")
    share = replace(score, metric="roc_auc", values=(0.75, 0.77))
    assert str(share).startswith("roc_auc 76.00 % ± 1.41 (std")
    assert not share.is_error
    assert best_of("mae", [3.0, 1.0, 1.0]) == 1
    assert best_of("roc_auc", [0.3, 0.9, 0.9]) == 1
    assert [find_metric(name) for name in ("AP", "ROC-AUC", "RMSE")] == ["average_precision", "roc_auc", "rmse"]
    assert not measurable("rmse", torch.full((3, 1), NAN))


# ---------------------------------------------------------------------- baselines


def graph(n: int, *pairs: tuple[int, int], x: Tensor | None = None) -> Graph:
    """An undirected graph of ``n`` nodes."""
    ends = torch.tensor([*pairs, *(pair[::-1] for pair in pairs)], dtype=torch.long).reshape(-1, 2).mT
    return Graph.of((torch.ones(n, 1) if x is None else x, ends))


def cycle(n: int, first: int = 0) -> list[tuple[int, int]]:
    return [(first + i, first + (i + 1) % n) for i in range(n)]


def some_graphs(num: int = 12, undirected: bool = True) -> list[Graph]:
    found = []
    for seed in range(num):
        g = generator(seed)
        n = int(torch.randint(1, 9, (1,), generator=g))
        ends = torch.randint(0, n, (2, int(torch.randint(0, 12, (1,), generator=g))), generator=g)
        x = torch.eye(3)[torch.randint(0, 3, (n,), generator=g)]
        found.append(Graph.of((x, torch.cat([ends, ends.flip(0)], 1) if undirected else ends)))
    return found


def slow_wl(graphs: list[Graph], iterations: int) -> list[Counter[object]]:
    """The paper's algorithm: labels are nested tuples, which need no compression."""
    counts = []
    for g in graphs:
        labels: list[object] = [tuple(row) for row in g.dense_x().tolist()]
        count = Counter((0, label) for label in labels)
        for i in range(1, iterations + 1):
            near: list[list[object]] = [[] for _ in labels]
            for source, target in g.edge_index.t().tolist():
                near[target].append(labels[source])
            labels = [(own, tuple(sorted(others, key=repr))) for own, others in zip(labels, near, strict=True)]
            count.update((i, label) for label in labels)
        counts.append(count)
    return counts


@pytest.mark.parametrize("undirected", [True, False])
@pytest.mark.parametrize("iterations", [0, 1, 3])
def test_wl_equals_the_paper(iterations: int, undirected: bool) -> None:
    graphs = some_graphs(undirected=undirected)
    counts = slow_wl(graphs, iterations)
    found = wl_features(side_by_side(graphs), iterations)
    assert found.shape == (len(graphs), len(set().union(*counts)))
    dense = found.to_dense()
    kernel = [[sum(a[label] * b[label] for label in a) for b in counts] for a in counts]
    assert (dense @ dense.mT).tolist() == kernel
    assert sorted(dense.sum(0).tolist()) == sorted(map(float, sum(counts, Counter()).values()))


def test_wl_tells_apart_what_it_can() -> None:
    path, star = graph(4, (0, 1), (1, 2), (2, 3)), graph(4, (0, 1), (0, 2), (0, 3))
    rows = wl_features(side_by_side([path, star])).to_dense()
    assert not torch.equal(rows[0], rows[1])
    six, threes = graph(6, *cycle(6)), graph(6, *cycle(3), *cycle(3, 3))
    rows = wl_features(side_by_side([six, threes]), 10).to_dense()
    assert torch.equal(rows[0], rows[1])
    coloured = [graph(6, *cycle(6), x=torch.eye(2)[torch.tensor(c)]) for c in ([0, 1, 0, 1, 0, 1], [0, 0, 0, 1, 1, 1])]
    rows = wl_features(side_by_side(coloured), 1).to_dense()
    assert torch.equal(rows[0, :2], rows[1, :2])
    assert not torch.equal(rows[0], rows[1])


def test_wl_sees_no_order_of_nodes_and_no_layout_of_features() -> None:
    graphs = some_graphs()
    turned = []
    for i, g in enumerate(graphs):
        order = torch.randperm(g.num_nodes, generator=generator(i))
        place = order.argsort()
        turned.append(Graph.of((g.dense_x()[order], place[g.edge_index])))
    both = wl_features(side_by_side(graphs + turned), 3).to_dense()
    assert torch.equal(both[: len(graphs)], both[len(graphs) :])
    big = side_by_side(graphs)
    sparse = big.with_x(CSR.from_dense(big.dense_x()))
    assert torch.equal(wl_features(sparse, 2).to_dense(), wl_features(big, 2).to_dense())
    sums = torch.stack([g.dense_x().sum(0) for g in graphs])
    for given in (big, sparse):
        found = summed_features(given)
        assert torch.equal(found.to_dense() if isinstance(found, CSR) else found, sums)
    assert isinstance(summed_features(sparse), CSR)
    zero = graph(3, (0, 1), x=torch.zeros(3, 2))  # features that are all zero are a label like any other
    assert wl_features(zero, 0).to_dense().tolist() == [[3.0]]


def test_wl_score_is_a_machine_on_the_normalised_kernel() -> None:
    graphs = [graph(n, *cycle(n), *((0, j) for j in range(2, 2 + i % 2))) for i in range(40) for n in [4 + i % 5]]
    y = torch.arange(40) % 2
    y[:3] = 1 - y[:3]
    data = SimpleNamespace(name="toy", graph=side_by_side(graphs), y=y, splits=(), metric="accuracy")
    score = wl_score(data, iterations=2, num_splits=2)
    rows = torch.nn.functional.normalize(wl_features(data.graph, 2).to_dense().double())
    kernel = (rows @ rows.mT).numpy()
    for s, value in zip(stratified_folds(y)[:2], score.values, strict=True):
        search = GridSearchCV(SVC(kernel="precomputed"), {"C": DECADES}, cv=5).fit(kernel[s.train][:, s.train], y[s.train])
        assert value == pytest.approx(search.score(kernel[s.test][:, s.train], y[s.test]))
    assert score.protocol == "tu-svm"
    assert wl_score(data, "tu-logistic", num_splits=1, setting="inductive").setting == "inductive"


# ---------------------------------------------------------------------- bad input

Z, Y = torch.eye(2)[torch.arange(40) % 2], torch.arange(40) % 2
SPLIT = Split("mine", torch.arange(20), torch.arange(20, 30), torch.arange(30, 40))
BAD = {
    "regression by classes": (lambda: linear_probe(Z, Y, SPLIT, metric="rmse"), "'fixed', which separates classes.*molecules"),
    "regression by svm": (lambda: linear_probe(Z, Y, "tu-svm", metric="mae"), "'tu-svm', which separates classes"),
    "regression by neighbours": (lambda: knn_probe(Z, Y, SPLIT, metric="mae"), "for regression"),
    "table by svm": (lambda: linear_probe(Z, Z, "tu-svm"), "'tu-svm', which separates classes, and y is a table"),
    "table by graphmae": (lambda: linear_probe(Z, Z, "graphmae-svm"), "'graphmae-svm', which separates classes, and y is a table"),
    "solver": (lambda: linear_probe(Z, Y, "tu-svm", solver="newton"), "solver is 'newton'; allowed for tu-svm v1: auto, libsvm"),
    "solver of ridge": (lambda: linear_probe(Z, Y, SPLIT, protocol="molecules", metric="mae", solver="lbfgs"), "solver is 'lbfgs'"),
    "infinite": (lambda: linear_probe(Z, Y / 0, SPLIT, protocol="molecules", metric="mae"), "y has an infinite target"),
    "shape": (lambda: linear_probe(Z, Y[:9], SPLIT, protocol="molecules", metric="mae"), "y has shape"),
    "no target": (lambda: linear_probe(Z, Y * NAN, SPLIT, protocol="molecules", metric="mae"), "no labelled train row"),
    "single class": (lambda: linear_probe(Z, Y * 0, "tu-svm"), "single class"),
    "not 0 and 1": (lambda: linear_probe(Z, 2 * Z, SPLIT, protocol="molecules"), "besides 0 and 1"),
    "few rows": (lambda: linear_probe(Z[:8], Y[:8], "tu-svm"), "8 labelled rows are too few for 10 folds"),
    "one fold": (lambda: stratified_folds(Y, folds=1), "folds must be at least 2"),
    "no repeat": (lambda: stratified_folds(Y, repeats=0), "repeats at least 1"),
    "three classes": (lambda: linear_probe(Z, torch.arange(40) % 3, SPLIT, protocol="molecules", metric="ap"), "3 classes"),
    "nothing known": (lambda: measure("mae", torch.full((2, 1), NAN), torch.ones(2, 1)), "no known target"),
    "iterations": (lambda: wl_features(graph(2), -1), "iterations is -1"),
    "without splits": (
        lambda: evaluate(Z, SimpleNamespace(name="toy", y=Y, splits=(), metric="accuracy"), "molecules", setting="inductive"),
        "toy has 0",
    ),
}


@pytest.mark.parametrize("case", sorted(BAD))
def test_bad_input_is_named(case: str) -> None:
    call, message = BAD[case]
    with pytest.raises(ValueError, match=message):
        call()
