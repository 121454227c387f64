"""Supervised contrast: which rows and labels it sees, what it trains, and the command."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from checks import close, loss_falls
from torch import Tensor

from graphssl import GCN, GRACE, Dataset, DropEdges, DropNodes, MaskFeatures, losses, seeded
from graphssl.batches import NeighbourBatches
from graphssl.cli import main
from graphssl.datasets import contextual_sbm
from graphssl.encoders import GNN
from graphssl.heads import ClassDecoder
from graphssl.losses.table import LOSSES
from graphssl.supervised import Joint, Supervised, SupervisedContrastive
from graphssl.supervised.contrasting import READS_HEAD
from graphssl.supervised.labels import seen_labels
from graphssl.supervised.options import PARTS, Joining, SupConRecipe, joint_recipe
from graphssl.supervised.semi import joint
from graphssl.supervised.smoothness import divergence, entropy, vat, worst_direction

F_IN, K, N = 3, 3, 60
NAMES = sorted(name for name, line in LOSSES.items() if line.takes == "labels")
each_loss = pytest.mark.parametrize("name", NAMES)


def data_of() -> Dataset:
    return contextual_sbm(N, K, F_IN, degree=6, seed=0)


def known() -> Tensor:
    data = data_of()
    return seen_labels(data, data.split.train)


def encoder(**options: Any) -> GNN:
    with seeded(0):
        return GCN(F_IN, [8, 8], **options)


VIEWS = (DropEdges(0.3), MaskFeatures(0.3, mode="entry"))


def made(name: Any = "sup-con", y: Tensor | None = None, net: GNN | None = None, **options: Any) -> SupervisedContrastive:
    net = net or encoder(norm="none")
    y = known() if y is None else y
    with seeded(1):
        if name in READS_HEAD:
            options = {"head": torch.nn.Linear(8, K), "queue": 4, **options}
        return SupervisedContrastive(net, VIEWS, y, loss=name, hidden=8, **options)


# ---------------------------------------------------------------------- the objective


@each_loss
def test_it_falls(name: str) -> None:
    loss_falls(made(name, tau=0.5), data_of().graph, steps=60, lr=0.01)


def test_it_is_the_loss_of_projected_rows_with_labels() -> None:
    y, g = known(), data_of().graph
    objective = made("spread", tau=0.3, alpha=0.2)
    with seeded(3):
        value = objective(g)
    with seeded(3):
        u, v = (objective.projector(objective.encoder(view(g)))[y >= 0] for view in VIEWS)
    close(value, losses.spread(u, v, y=y[y >= 0], tau=0.3, alpha=0.2), 1e-6)


def test_a_function_will_do() -> None:
    seen: list[Tensor] = []

    def loss(u: Tensor, v: Tensor, *, y: Tensor) -> Tensor:
        seen.append(y)
        return (u - v).square().mean()

    assert made(loss)(data_of().graph).isfinite()
    assert torch.equal(seen[0], known()[known() >= 0])


@each_loss
def test_labels_that_are_not_known_do_not_matter(name: str) -> None:
    """Rows of -1 count for nothing, not even as negatives: their features and edges work through the encoder alone."""
    g, y = data_of().graph, known()
    objective = made(name)
    with seeded(3):
        value = objective(g)
    rows = (y < 0).nonzero().squeeze(1)
    value.backward()
    changed = made(name)
    with seeded(3):
        close(changed(replace(g, y=torch.zeros(N, dtype=torch.long))), value.detach(), 0)
    assert len(rows)


@each_loss
def test_every_part_gets_a_gradient(name: str) -> None:
    objective = made(name, reconstruct=0.5)
    objective(data_of().graph).backward()
    for key, p in objective.named_parameters():
        assert p.grad is not None, key
        assert p.grad.isfinite().all(), key
        assert p.grad.abs().sum() > 0, key


@each_loss
def test_a_batch_without_labels_is_worth_nothing(name: str) -> None:
    objective = made(name, y=torch.full((N,), -1))
    value = objective(data_of().graph)
    value.backward()
    assert float(value.detach()) == 0


def test_batches_find_their_own_labels() -> None:
    g, y = data_of().graph, known()
    objective = made("rescom")
    for batch in NeighbourBatches(g, [3, 2], 13, seed=1):
        assert objective(batch).isfinite()
    assert objective.queue is not None
    assert set(objective.queue.labels().tolist()) == set(y[y >= 0].tolist())


def test_the_queue_fills_to_its_size_in_training_alone() -> None:
    objective = made("rescom")
    objective.eval()
    objective(data_of().graph)
    assert objective.queue is not None
    assert not len(objective.queue.keys())
    objective.train()
    for _ in range(3):
        objective(data_of().graph).backward()
    counts = torch.bincount(known()[known() >= 0])
    assert torch.bincount(objective.queue.labels()).tolist() == [min(4, 3 * int(count)) for count in counts]


def test_rescom_is_the_balanced_softmax_and_the_weighted_contrast() -> None:
    g, y = data_of().graph, known()
    objective = made("rescom", queue=0, weight=0.3, tau=0.5)
    rows, counts = y >= 0, torch.bincount(y[y >= 0])
    with seeded(3):
        value = objective(g)
    with seeded(3):
        h = [objective.encoder(view(g))[rows] for view in VIEWS]
    u, v = (objective.projector(part) for part in h)
    expected = losses.balanced_softmax(objective.head(torch.cat(h)), torch.cat([y[rows]] * 2), counts)  # type: ignore[misc]
    close(value, expected + 0.3 * losses.rescom(u, v, y=y[rows], counts=counts, tau=0.5), 1e-5)


def test_paco_reads_the_head_as_centres() -> None:
    g, y = data_of().graph, known()
    objective = made("paco", queue=0, share=0, gamma=0)
    with seeded(3):
        value = objective(g)
    with seeded(3):
        h = torch.cat([objective.encoder(view(g))[y >= 0] for view in VIEWS])
    both = torch.cat([y[y >= 0]] * 2)
    close(value, losses.balanced_softmax(objective.head(h), both, torch.bincount(y[y >= 0])), 1e-5)  # type: ignore[misc]


def test_fairness_and_reconstruction_are_added() -> None:
    g, y = data_of().graph, known()
    bias = torch.arange(N) % 2
    objective = made(bias=bias, fairness=0.3, reconstruct=0.7)
    with seeded(3):
        value = objective(g)
    with seeded(3):
        h = [objective.encoder(view(g))[y >= 0] for view in VIEWS]
    u, v = (objective.projector(part) for part in h)
    y, bias = y[y >= 0], bias[y >= 0]
    assert isinstance(objective.decoder, ClassDecoder)
    told = [1 - F.cosine_similarity(objective.decoder(part, y), g.dense_x()[known() >= 0]).mean() for part in h]
    expected = losses.sup_con(u, v, y=y) + 0.3 * losses.fair_kl(u, v, y=y, bias=bias) + 0.7 * (told[0] + told[1]) / 2
    close(value, expected, 1e-5)


def test_a_decoder_is_told_the_class() -> None:
    decoder = ClassDecoder(4, 3, 8, 5)
    h = torch.zeros(3, 4)
    assert not torch.equal(*decoder(h, torch.tensor([0, 1, 1]))[:2])
    assert torch.equal(*decoder(h, torch.tensor([0, 1, 1]))[1:])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"loss": "supcon"}, "unknown loss with labels 'supcon'.*did you mean 'sup-con'"),
        ({"loss": "info-nce"}, "takes no labels"),
        ({"eps": 0.1}, "loss sup-con has no option eps; it has tau, form"),
        ({"loss": losses.sup_con, "tau": 0.1}, "options are for losses by name, got tau"),
        ({"loss": "paco"}, "loss paco needs head"),
        ({"queue": 3}, "queue and head are for loss rescom and paco, got loss sup-con"),
        ({"weight": -1.0}, "weight must be 0 or more, got -1"),
        ({"reconstruct": float("nan")}, "reconstruct must be 0 or more"),
        ({"fairness": 0.1}, "fairness needs bias"),
        ({"bias": torch.zeros(3)}, r"bias must be \[N\] like y"),
        ({"y": torch.zeros(N, 2)}, r"y must be \[N\] classes"),
        ({"views": (DropNodes(0.2),) * 2}, "views must keep all nodes"),
        ({"views": (DropEdges(0.2),)}, "views must be two"),
    ],
)
def test_it_refuses(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        SupervisedContrastive(**{"encoder": encoder(), "views": VIEWS, "y": known(), **change})


# ---------------------------------------------------------------------- beside the labels


@pytest.mark.parametrize("reach", ["encoder", "head", "none"])
def test_how_far_the_labels_loss_reaches(reach: Any) -> None:
    net = encoder(norm="none")
    supervised = Supervised(net, "classification", K, level="node")

    def none(u: Tensor, v: Tensor, *, y: Tensor) -> Tensor:
        return 0 * u.sum()

    objective = Joint(supervised, made(none, net=net), known(), reach=reach)
    objective(data_of().graph).backward()
    assert any(p.grad is not None and p.grad.any() for p in net.parameters()) == (reach == "encoder")
    assert (supervised.head.weight.grad is not None) == (reach != "none")


def test_reach_is_checked() -> None:
    net = encoder()
    supervised = Supervised(net, "classification", K, level="node")
    with pytest.raises(ValueError, match="reach must be one of encoder, head, none, got 'all'"):
        Joint(supervised, made(net=net), known(), reach="all")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="weight must be above 0 with reach head"):
        Joint(supervised, made(net=net), known(), reach="head", weight=0)


def recipe_of(**changes: Any) -> SupConRecipe:
    recipe = joint_recipe("supcon", "karate")
    assert isinstance(recipe, SupConRecipe)
    small = {"channels": (8, 8), "epochs": 3, "features": "none", "hidden": 8}
    return SupConRecipe.model_validate({**recipe.model_dump(), **small, **changes})


@pytest.mark.parametrize("classifier", ["joint", "probe"])
@each_loss
def test_test_labels_change_nothing(name: str, classifier: str) -> None:
    if name in READS_HEAD and classifier == "probe":
        pytest.skip("they train the head themselves")
    data = data_of()
    recipe = recipe_of(loss=name, classifier=classifier)
    first = joint("supcon", data, data.split, recipe, Joining(labels=0.5), seed=1)
    y = data.y.clone()
    y[data.split.test] = (y[data.split.test] + 1) % K
    second = joint("supcon", replace(data, y=y), data.split, recipe, Joining(labels=0.5), seed=1)
    assert torch.equal(first.predictions, second.predictions)
    assert first.loss == second.loss
    y = data.y.clone()
    y[data.split.val] = (y[data.split.val] + 1) % K
    third = joint("supcon", replace(data, y=y), data.split, recipe, Joining(labels=0.5), seed=1)
    assert first.loss == third.loss, "validation labels choose the epoch and train nothing"


@each_loss
def test_alone_is_cross_entropy_alone(name: str) -> None:
    data = data_of()
    first, second = (
        joint(method, data, data.split, recipe, Joining(labels=0.5), seed=1, alone=True)
        for method, recipe in (("supcon", recipe_of(loss=name)), ("supcon", recipe_of()))
    )
    assert first.loss == second.loss
    assert torch.equal(first.predictions, second.predictions)


def test_it_is_for_classes() -> None:
    data = data_of()
    data = replace(data, y=F.one_hot(data.y, K).float(), metric="micro_f1")
    with pytest.raises(ValueError, match="semi supcon is for one class a node"):
        joint("supcon", data, data.split, recipe_of(), Joining())


# ---------------------------------------------------------------------- recipe and command


def test_options_of_a_loss_are_those_of_its_function() -> None:
    import inspect

    for option, names in PARTS.items():
        for name in NAMES:
            known = {*inspect.signature(getattr(losses, name.replace("-", "_"))).parameters}
            assert (option in known) == (name in names), (option, name)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"alpha": 0.5}, "alpha is for loss spread and cannot be used by loss sup-con"),
        ({"loss": "spread", "eps": 0.5}, "eps is for loss eps-sup-con or eps-sup-info-nce"),
        ({"loss": "paco", "classifier": "probe"}, "classifier probe cannot be used by loss paco"),
        ({"loss": "rescom", "beta": 2.0}, "beta must be from 0 to 1 for loss rescom"),
        ({"loss": "dcl"}, "loss dcl takes no labels: graphssl train grace takes it"),
    ],
)
def test_recipe_refuses(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        recipe_of(**change)


def call(*args: object) -> int:
    return main([str(arg) for arg in args])


FLAGS = ("--channels", 8, 8, "--hidden", 8, "--epochs", 2, "--quiet")


@pytest.mark.parametrize(
    "more",
    [(), ("--loss", "eps-sup-info-nce", "--eps", 0.1, "--classifier", "probe"), ("--loss", "paco", "--share", 0.4, "--gamma", 0.1)],
)
def test_the_command(more: tuple[Any, ...], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "r"
    assert call("semi", "supcon", "karate", "--labels", 1.0, *FLAGS, *more, "--out", out) == 0
    assert "labels and supcon" in capsys.readouterr().out
    score, record = (json.loads((out / name).read_text()) for name in ("score.json", "run.json"))
    assert list(score["arms"]) == ["with supcon", "on the labels alone"]
    assert record["options"]["loss"] == (more[1] if more else "sup-con")
    assert call("predict", out, "karate", "--out", tmp_path / "p.csv") == 0


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (("--loss", "dcl"), "loss dcl takes no labels: graphssl train grace takes it"),
        (("--loss", "spread", "--share", 1), "share is for loss paco and cannot be used by loss spread"),
        (("--tau", -1), "tau"),
        (("--alhpa", 1), "alpha"),
        (("--classifier", "both"), "joint, probe"),
        (("--loss", "paco", "--weight", 0.5), "weight"),
    ],
)
def test_wrong_flags_are_told(more: tuple[Any, ...], words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call("semi", "supcon", "karate", *FLAGS, *more, "--out", tmp_path / "r") == 2
    assert words in capsys.readouterr().err
    assert not (tmp_path / "r").exists()


# ---------------------------------------------------------------------- S4L: what needs no label


def test_entropy_is_nothing_of_the_sure_and_log_c_of_the_unsure() -> None:
    close(entropy(torch.eye(5) * 500), torch.tensor(0.0), 1e-6)
    for c in (2, 7):
        close(entropy(torch.zeros(3, c, dtype=torch.float64)), torch.tensor(c, dtype=torch.float64).log(), 1e-12)
    p = torch.tensor([[0.2, 0.8]], dtype=torch.float64)
    assert float(entropy(p.log())) == pytest.approx(-0.2 * math.log(0.2) - 0.8 * math.log(0.8), abs=1e-12)
    assert torch.autograd.gradcheck(entropy, (torch.randn(3, 4, dtype=torch.float64, requires_grad=True),))


def outputs_of(net: GNN, seed: int = 4) -> Any:
    supervised = Supervised(net, "classification", K, level="node")
    g = data_of().graph
    return supervised, g.dense_x(), lambda x: supervised.predict(g.with_x(x))


def test_the_worst_direction_is_of_length_one_and_worse_than_others() -> None:
    _, x, outputs = outputs_of(encoder(norm="none"))
    before = outputs(x).log_softmax(1).detach()
    with seeded(1):
        d = worst_direction(outputs, x, before, steps=5)
    close(d.norm(dim=1), torch.ones(N), 1e-5)
    far = x.norm(dim=1).mean()
    worst = float(divergence(before, outputs(x + far * d)).detach())
    with seeded(2):
        others = [float(divergence(before, outputs(x + far * F.normalize(torch.randn_like(x), dim=1))).detach()) for _ in range(10)]
    assert worst > max(others)


def test_vat_of_no_move_is_nothing_and_grows_with_it() -> None:
    supervised, x, outputs = outputs_of(encoder(norm="none"))
    with seeded(1):
        assert float(vat(outputs, x, eps=0).detach()) == pytest.approx(0, abs=1e-7)
    found = []
    for eps in (0.1, 0.5, 2.0):
        with seeded(1):
            found.append(vat(outputs, x, eps=eps))
    assert 0 < float(found[0].detach()) < float(found[1].detach()) < float(found[2].detach())
    found[2].backward()
    assert all(p.grad is not None for p in supervised.parameters())


def test_vat_moves_in_lengths_of_a_row() -> None:
    """Features a hundred times smaller, a first layer a hundred times larger: all is as before."""
    linear = torch.nn.Linear(4, 3, bias=False).double()
    x = torch.randn(6, 4, dtype=torch.float64)
    with seeded(1):
        first = vat(linear, x, eps=0.5)
    with seeded(1):
        second = vat(lambda x: linear(100 * x), x / 100, eps=0.5)
    close(first, second, 1e-8)


def test_a_prediction_that_nothing_moves() -> None:
    assert float(vat(lambda x: 0 * x, torch.randn(4, 3))) == 0
    with pytest.raises(ValueError, match="eps must be 0 or more"):
        vat(lambda x: x, torch.ones(2, 2), eps=-1)
    with pytest.raises(ValueError, match="xi must be positive and steps at least 1"):
        vat(lambda x: x, torch.ones(2, 2), steps=0)


def smooth(**options: Any) -> Joint:
    net = encoder()
    with seeded(1):
        supervised = Supervised(net, "classification", K, level="node")
    return Joint(supervised, made(net=net), known(), weight=0, **options)


def test_smoothness_ramps_up() -> None:
    g = data_of().graph
    plain, objective = smooth(), smooth(vat=0.5, entropy=0.2, ramp=(0.2, 0.6))
    base = plain(g).detach()
    values = []
    for progress in (0.0, 0.2, 0.4, 0.6, 1.0):
        objective.after_step(progress)
        with seeded(3):
            values.append(float((objective(g) - base).detach()))
    assert values[0] == values[1] == pytest.approx(0, abs=1e-6)
    assert values[3] == pytest.approx(values[4], rel=1e-4)
    assert values[2] == pytest.approx(values[3] / 2, rel=1e-4)
    again = smooth(vat=0.5, entropy=0.2, ramp=(0.2, 0.6))
    again.load_state_dict(objective.state_dict())
    with seeded(3):
        assert float((again(g) - base).detach()) == pytest.approx(values[4], rel=1e-4), "where it was is saved"


def test_smoothness_leaves_batch_statistics_alone() -> None:
    g = data_of().graph
    first, second = smooth(), smooth(vat=1.0, entropy=1.0)
    second.after_step(1.0)
    for objective in (first, second):
        objective(g).backward()
    for (name, a), (_, b) in zip(first.encoder.named_buffers(), second.encoder.named_buffers(), strict=True):
        assert torch.equal(a, b), name


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"vat": -1.0}, "vat must be 0 or more, got -1"),
        ({"entropy": float("nan")}, "entropy must be 0 or more"),
        ({"ramp": (0.5, 0.5)}, "ramp must be two shares of the run"),
        ({"vat": 1.0, "reach": "none", "weight": 1.0}, "vat and entropy are for one class a node"),
    ],
)
def test_smoothness_refuses(change: dict[str, Any], message: str) -> None:
    net = encoder()
    supervised = Supervised(net, "classification", K, level="node")
    with pytest.raises(ValueError, match=message):
        Joint(supervised, made(net=net), known(), **change)


def test_no_labels_is_the_pretext_alone_and_one_encoder_gets_both() -> None:
    net = encoder(norm="none")
    supervised = Supervised(net, "classification", K, level="node")
    contrast = GRACE(net, VIEWS, hidden=8)
    joined = Joint(supervised, contrast, torch.full((N,), -1), weight=0.3)
    with seeded(3):
        value = joined(data_of().graph)
    with seeded(3):
        close(value, 0.3 * contrast(data_of().graph), 1e-6)
    assert joined.encoder is supervised.encoder is contrast.encoder


def test_smoothness_by_command(tmp_path: Path) -> None:
    out = tmp_path / "r"
    assert call("semi", "dgi", "karate", "--channels", 8, "--epochs", 3, "--quiet", "--vat", 0.3, "--entropy", 0.1, "--ramp", 0.1, 0.5,
                "--out", out) == 0  # fmt: skip
    options = json.loads((out / "run.json").read_text())["options"]
    assert (options["vat"], options["entropy"], options["ramp"]) == (0.3, 0.1, [0.1, 0.5])
