"""Uncertainty without training: variances against formulas, what must stay untouched, the metrics, and the command."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import graphs
import numpy as np
import pytest
import torch
from checks import close
from sklearn.metrics import roc_auc_score
from torch import Tensor, nn

from graphssl import GCN, GIN, MLP, DropEdges, DropNodes, Graph, MaskFeatures, seeded, side_by_side
from graphssl.adjacency import CSR
from graphssl.cli import main
from graphssl.evaluation import ause, detection_auroc, reliability
from graphssl.sensitivity import tolerable, uncertainty
from graphssl.supervised import Supervised

KINDS = ("noise", "transformation", "dropout")
each_kind = pytest.mark.parametrize("by", KINDS)


def net(**options: Any) -> GCN:  # type: ignore[valid-type]
    with seeded(0):
        found = GCN(graphs.F, [8, 5], dropout=0.5, **options)
    for part in found.modules():
        if isinstance(part, nn.BatchNorm1d):
            part.running_mean.normal_(generator=torch.Generator().manual_seed(1))  # type: ignore[union-attr]
    return found


# ---------------------------------------------------------------------- variances


@each_kind
def test_without_disturbance_there_is_no_variance(by: Any) -> None:
    assert uncertainty(net(), graphs.undirected(), by=by, strength=0.0).abs().max() == 0


@each_kind
def test_more_disturbance_more_variance(by: Any) -> None:
    found = [float(uncertainty(net(), graphs.undirected(), by=by, strength=s, times=30).mean()) for s in (0.02, 0.1, 0.4)]
    assert 0 < found[0] < found[1] < found[2]


def test_a_linear_map_of_noisy_features_varies_by_the_norm_of_its_weights() -> None:
    """``Var = sigma^2 |W|_F^2`` of each row; over a graph ``sigma^2 |W|_F^2 sum_j a_ij^2``."""
    g = graphs.undirected()
    sigma = 0.3 * float(g.x.std(correction=0))  # type: ignore[union-attr]
    linear = MLP(graphs.F, [7], norm="none", act="none")
    weight = linear.blocks[0].conv.linear.weight
    expected = sigma**2 * float(weight.square().sum())
    found = uncertainty(linear, g, strength=0.3, times=1000)
    np.testing.assert_allclose(found, np.full(graphs.N, expected), rtol=0.1)
    assert float(found.mean()) == pytest.approx(expected, rel=0.02)
    over = GCN(graphs.F, [7], norm="none", act="none")
    a = g.normalised().to_dense()
    rows = sigma**2 * over.blocks[0].conv.linear.weight.square().sum() * a.square().sum(1)
    np.testing.assert_allclose(uncertainty(over, g, strength=0.3, times=1000), rows.detach(), rtol=0.12)


def test_the_variance_is_that_of_the_answers() -> None:
    """Welford's running sums are the variance of all answers side by side, which the same seeds give."""
    encoder, g = net().eval(), graphs.undirected()
    answers = []
    for k in range(6):
        with seeded(3 * 6 + k), torch.no_grad():
            answers.append(encoder(DropEdges(0.3)(g)))
    expected = torch.stack(answers).double().var(0).sum(1)
    close(uncertainty(encoder, g, by="transformation", strength=0.3, times=6, seed=3), expected, 1e-5)


def test_noise_and_dropout_in_one_layer() -> None:
    g = graphs.undirected()
    linear = GCN(graphs.F, [6, 4], norm="none", act="none").eval()
    found = uncertainty(linear, g, by="noise", strength=0.2, times=1000, layer=1)
    out = linear(g)
    expected = 4 * (0.2 * out.std(correction=0)).square()  # noise on what leaves the last layer is all there is
    np.testing.assert_allclose(found, np.full(graphs.N, float(expected)), rtol=0.1)
    one, every = (uncertainty(linear, g, by="dropout", strength=0.3, layer=layer) for layer in (1, None))
    assert 0 < float(one.mean()) < float(every.mean())


def test_any_augmentation_and_any_module() -> None:
    g = graphs.undirected()
    assert uncertainty(net(), g, by=MaskFeatures(0.4)).mean() > 0

    class Rows(nn.Module):
        def forward(self, g: Graph) -> Tensor:
            return g.dense_x()

    assert uncertainty(Rows(), g, strength=0.5).shape == (graphs.N,)
    sparse = g.with_x(CSR.from_torch(g.dense_x().to_sparse_csr()))
    close(uncertainty(net(), sparse, strength=0.3), uncertainty(net(), g, strength=0.3), 1e-4)
    assert uncertainty(net(), sparse, by="dropout", strength=0.3).mean() > 0


@pytest.mark.parametrize("task", ["classification", "multilabel", "regression"])
@each_kind
def test_predictions_vary_too(task: Any, by: Any) -> None:
    model = Supervised(net(), task, 3, level="node", dropout=0.5)
    found = uncertainty(model, graphs.undirected(), by=by, strength=0.3)
    assert found.shape == (graphs.N,)
    assert (found >= 0).all()
    assert found.max() > 0
    if task != "regression":
        assert found.max() <= 1.5, "probabilities vary by a quarter each at most, but for what few passes add"
    whole = Supervised(GIN(graphs.F, [8]), "classification", 2)
    assert uncertainty(whole, side_by_side([graphs.path(4), graphs.path(5)]), by=by, strength=0.3).shape == (2,)


# ---------------------------------------------------------------------- what stays


@each_kind
def test_the_seed_decides_and_nothing_else_is_touched(by: Any) -> None:
    model, g = Supervised(net(), "classification", 3, level="node", dropout=0.5), graphs.undirected()
    model.encoder.blocks[0].eval()
    modes = [part.training for part in model.modules()]
    state = {name: value.clone() for name, value in model.state_dict().items()}
    torch.manual_seed(0)
    numbers = torch.get_rng_state()
    first = uncertainty(model, g, by=by, strength=0.3, seed=1)
    assert torch.equal(torch.get_rng_state(), numbers)
    assert torch.equal(first, uncertainty(model, g, by=by, strength=0.3, seed=1))
    assert not torch.equal(first, uncertainty(model, g, by=by, strength=0.3, seed=2))
    assert [part.training for part in model.modules()] == modes
    assert all(torch.equal(value, model.state_dict()[name]) for name, value in state.items())
    assert not any(part._forward_hooks or part._forward_pre_hooks for part in model.modules())
    assert all(p.grad is None for p in model.parameters())


def test_hooks_go_when_a_pass_fails() -> None:
    encoder = net()
    with pytest.raises(ValueError, match="features"):
        uncertainty(encoder, Graph.of((torch.eye(4), torch.tensor([[0, 1], [1, 0]]))), by="dropout", strength=0.3)
    assert not any(part._forward_pre_hooks for part in encoder.modules())
    assert encoder.training


# ---------------------------------------------------------------------- the strength


def test_tolerable_strength() -> None:
    encoder, g = net(norm="none").eval(), graphs.undirected()
    plain = encoder(g).detach().double()
    tried = (0.01, 0.05, 0.1, 0.3, 0.6)
    best = tolerable(encoder, g, strengths=tried, tolerance=0.05)
    assert best in tried
    spread = float((plain - plain.mean(0)).square().sum(1).mean())

    def moved(strength: float) -> float:
        return 2 * float(uncertainty(encoder, g, strength=strength, times=200).mean()) / spread

    assert moved(best) < 0.2
    assert tolerable(encoder, g, strengths=tried, tolerance=10.0) == 0.6
    assert tolerable(encoder, g, strengths=tried, tolerance=0.0) == 0.01
    by_loss = [
        tolerable(encoder, g, strengths=tried, tolerance=t, loss=lambda a: float((a - plain + 1).square().mean())) for t in (0.01, 1.0)
    ]
    assert by_loss[0] <= by_loss[1]
    asked = uncertainty(encoder, g, seed=5)
    assert torch.equal(asked, uncertainty(encoder, g, strength=tolerable(encoder, g, seed=5), seed=5))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"by": "luck"}, "by must be one of noise, transformation, dropout"),
        ({"by": DropNodes(0.2)}, "by must keep the nodes"),
        ({"strength": -0.1}, "strength must be 0 or more"),
        ({"by": "dropout", "strength": 1.0}, "below 1"),
        ({"times": 1, "strength": 0.1}, "times must be at least 2"),
        ({"layer": 2, "strength": 0.1}, "layer must be in 0 to 1"),
        ({"by": "transformation", "layer": 0, "strength": 0.1}, "layer is for noise and dropout"),
    ],
)
def test_bad_arguments_are_named(options: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        uncertainty(net(), graphs.undirected(), **options)


def test_dropout_needs_layers() -> None:
    with pytest.raises(ValueError, match=r"needs a graphssl\.GNN, got Identity"):
        uncertainty(nn.Identity(), graphs.undirected(), by="dropout", strength=0.1)
    with pytest.raises(ValueError, match="strengths is empty"):
        tolerable(net(), graphs.undirected(), strengths=())


# ---------------------------------------------------------------------- metrics


def test_areas_are_those_of_scikit_learn() -> None:
    g = torch.Generator().manual_seed(0)
    u, wrong = torch.rand(200, generator=g).round(decimals=1), torch.rand(200, generator=g) < 0.3
    strange = torch.rand(50, generator=g)
    found = reliability(u, wrong.float(), strange=strange)
    assert found.error_auroc == pytest.approx(roc_auc_score(wrong, u.double()))
    assert found.ood_auroc == pytest.approx(roc_auc_score([0] * 200 + [1] * 50, torch.cat([u, strange]).double()))
    assert reliability(u, torch.zeros(200)).error_auroc is None
    assert detection_auroc(u, torch.ones(200, dtype=torch.bool)) is None


def test_correlations_are_those_of_scipy() -> None:
    from scipy.stats import pearsonr, spearmanr

    g = torch.Generator().manual_seed(0)
    u, error = torch.rand(60, generator=g).round(decimals=1), torch.rand(60, generator=g).round(decimals=1)
    found = reliability(u, error)
    assert found.pearson == pytest.approx(pearsonr(u, error)[0], abs=1e-6)
    assert found.spearman == pytest.approx(spearmanr(u, error)[0], abs=1e-6)
    assert found.error_auroc is None, "these errors are no yes and no"
    assert reliability(torch.ones(60), error).pearson is None


def test_ause_equals_a_loop() -> None:
    g = torch.Generator().manual_seed(0)
    u, error = torch.rand(40, generator=g), torch.rand(40, generator=g)
    by_u, by_error = (error[order.argsort(descending=True)].tolist() for order in (u, error))
    gaps = [np.mean(by_u[k:]) - np.mean(by_error[k:]) for k in range(40)]
    assert ause(u, error) == pytest.approx(np.mean(gaps) / float(error.mean()), abs=1e-6)
    assert ause(error, error) == pytest.approx(0, abs=1e-12)
    assert ause(-error, error) > ause(u, error) > 0  # type: ignore[operator]
    assert ause(u, torch.zeros(40)) is None
    order = torch.randperm(40, generator=g)
    tied = u.round(decimals=1)
    assert ause(tied[order], error[order]) == pytest.approx(ause(tied, error), abs=1e-12)


def test_metrics_refuse_what_they_cannot_take() -> None:
    for u, e in ((torch.ones(3), torch.ones(2)), (torch.ones(2), -torch.ones(2)), (torch.full((2,), torch.nan), torch.ones(2))):
        with pytest.raises(ValueError, match="uncertainty"):
            reliability(u, e)


# ---------------------------------------------------------------------- the command


def test_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shape = ["--channels", "8", "--features", "standardize", "--quiet"]
    assert main(["train", "dgi", "karate", "--epochs", "1", *shape, "--out", str(tmp_path / "base")]) == 0
    tuned = tmp_path / "tuned"
    assert main(["finetune", str(tmp_path / "base"), "karate", "--epochs", "5", "--quiet", "--out", str(tuned)]) == 0
    for by, extra in (("noise", []), ("transformation", ["--strength", "0.2"]), ("dropout", ["--strength", "0.1"])):
        out = tmp_path / f"{by}.csv"
        assert main(["predict", str(tuned), "karate", "--out", str(out), "--uncertainty", by, *extra]) == 0
        with open(out, newline="") as file:
            rows = list(csv.DictReader(file))
        assert len(rows) == 34
        assert list(rows[0])[-2:] == ["uncertainty", "reason"]
        assert all(float(row["uncertainty"]) >= 0 for row in rows)
        assert any(float(row["uncertainty"]) > 0 for row in rows)
    capsys.readouterr()
    assert main(["predict", str(tuned), "karate", "--out", str(tmp_path / "p.csv"), "--strength", "0.2"]) == 2
    assert "strength can only be given with uncertainty" in capsys.readouterr().err
