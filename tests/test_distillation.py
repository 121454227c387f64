"""Distillation: losses against the papers, a student with a teacher beside the labels, generations, and the command."""

from __future__ import annotations

import copy
import json
import math
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import graphs
import numpy as np
import pytest
import references
import references_distillation as reference
import torch
import torch.nn.functional as F
from checks import close, gradients_where_due, loss_falls, value_and_gradients
from torch import Tensor

from graphssl import GCN, GIN, MLP, Dataset, GraphSAGE, Split, seeded, side_by_side
from graphssl.batches import NeighbourBatches
from graphssl.cli import main
from graphssl.datasets import contextual_sbm
from graphssl.losses import info_nce
from graphssl.losses.distillation import crd, crd_nce, kd, log_partition
from graphssl.supervised import Contrast, Distillation, Supervised, Teacher, distill, finetune, generations
from graphssl.supervised.joint import training_labels
from graphssl.supervised.labels import draw_labels, seen_labels
from graphssl.supervised.models import load_models
from graphssl.supervised.objective import supervise
from graphssl.supervised.tuning import fit_best

N, K, D, WIDTH, CLASSES = 9, 7, 5, 4, 3


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def exact(value: float) -> Tensor:
    return torch.tensor(value, dtype=torch.float64)


U, V, BANK = draw(N, D), draw(N, D, seed=1), (draw(K, D, seed=2), draw(K, D, seed=3))
IDS, BANK_IDS = torch.tensor([0, 1, 2, 0, 1, 2, 9, 9, 8]), torch.tensor([0, 1, 2, 0, 9, 9, 5])
LOG_Z = torch.tensor([1.3, 0.7], dtype=torch.float64)
LOSSES: dict[str, Callable[..., Tensor]] = {
    "crd": crd,
    "crd with ids": lambda u, v, **o: crd(u, v, ids=IDS, **o),
    "crd with a bank": lambda u, v, **o: crd(u, v, bank=BANK, bank_ids=torch.arange(100, 100 + K), **o),
    "nce": lambda u, v, **o: crd_nce(u, v, LOG_Z, population=50, **o),
    "nce with a bank": lambda u, v, **o: crd_nce(u, v, LOG_Z, population=50, bank=BANK, bank_ids=torch.arange(100, 100 + K), **o),
}
each_loss = pytest.mark.parametrize("name", LOSSES)


# ---------------------------------------------------------------------- predictions


@pytest.mark.parametrize("temperature", [0.5, 1.0, 4.0])
def test_kd_equals_a_double_loop(temperature: float) -> None:
    close(kd(U, V, temperature=temperature), exact(reference.kd(U, V, temperature)))


def test_kd_of_the_same_logits_is_0_and_only_the_student_learns() -> None:
    student, teacher = U.clone().requires_grad_(), U.clone().requires_grad_()
    value = kd(student, teacher)
    value.backward()
    assert abs(value.item()) < 1e-15
    assert teacher.grad is None
    close(student.grad, torch.zeros_like(U))
    close(kd(U + 3, U), torch.zeros((), dtype=torch.float64))  # a shift of all logits changes nothing
    assert torch.autograd.gradcheck(lambda s: kd(s, V), U.clone().requires_grad_())


def test_kd_in_the_limit_of_temperature_matches_logits() -> None:
    """The gradient of a row tends to ``(centred student - centred teacher) / C``; the loss to half its squared length."""
    student = U.clone().requires_grad_()
    value = kd(student, V, temperature=1e5) * N
    (slope,) = torch.autograd.grad(value, student)
    apart = (U - U.mean(1, keepdim=True)) - (V - V.mean(1, keepdim=True))
    close(slope, apart / D, 1e-4)
    close(value.detach(), apart.square().sum() / (2 * D), 1e-4)


@pytest.mark.parametrize("scale", [1e4, 1e-4])
def test_kd_is_finite_at_any_scale_and_in_half_precision(scale: float) -> None:
    value, slope = value_and_gradients(lambda s: kd(s, scale * V, temperature=0.01), scale * U)
    assert value.isfinite()
    assert slope.isfinite().all()
    assert kd(U.bfloat16(), V.bfloat16()).dtype == torch.float32


# ---------------------------------------------------------------------- embeddings


def test_crd_equals_a_double_loop() -> None:
    own, ids = (U, V), list(range(N))
    close(crd(U, V, tau=0.3), exact(reference.crd(U, V, 0.3, own, ids, ids)))
    found = crd(U, V, tau=0.3, bank=BANK, bank_ids=BANK_IDS, ids=IDS)
    close(found, exact(reference.crd(U, V, 0.3, BANK, IDS.tolist(), BANK_IDS.tolist())))
    close(crd(U, V, tau=0.3, ids=IDS), exact(reference.crd(U, V, 0.3, own, IDS.tolist(), IDS.tolist())))


def test_nce_equals_a_double_loop_and_the_binary_cross_entropy() -> None:
    z, ids = LOG_Z.exp().tolist(), list(range(N))
    close(LOSSES["nce"](U, V, tau=0.3), exact(reference.crd_nce(U, V, 0.3, z, 50, (U, V), ids, ids)))
    found = crd_nce(U, V, LOG_Z, population=50, tau=0.3, bank=BANK, bank_ids=BANK_IDS, ids=IDS)
    close(found, exact(reference.crd_nce(U, V, 0.3, z, 50, BANK, IDS.tolist(), BANK_IDS.tolist())))
    unit = [F.normalize(x, dim=1) for x in (U, V)]
    total = torch.zeros((), dtype=torch.float64)
    for a, b, log_z in ((*unit, LOG_Z[0]), (*unit[::-1], LOG_Z[1])):
        logits = a @ b.t() / 0.3 - log_z - math.log((N - 1) / 50)  # log P - log(K / N)
        total += F.binary_cross_entropy_with_logits(logits, torch.eye(N, dtype=torch.float64), reduction="sum") / N
    close(LOSSES["nce"](U, V, tau=0.3), total)


def test_crd_in_the_batch_is_twice_info_nce() -> None:
    for a, b in zip(value_and_gradients(lambda u, v: crd(u, v, tau=0.2), U, V), value_and_gradients(_twice, U, V), strict=True):
        close(a, b)


def _twice(u: Tensor, v: Tensor) -> Tensor:
    return 2 * info_nce(u, v, tau=0.2)


@each_loss
def test_chunks_change_neither_value_nor_gradient(name: str) -> None:
    whole = value_and_gradients(lambda u, v: LOSSES[name](u, v, tau=0.1), U, V)
    for chunk in (1, 4):
        for a, b in zip(whole, value_and_gradients(lambda u, v, c=chunk: LOSSES[name](u, v, tau=0.1, chunk=c), U, V), strict=True):
            close(a, b)


@each_loss
def test_laws_of_a_loss(name: str) -> None:
    """Gradients are right; partners that are the same cost least; a temperature of 0.01 and half precision stay finite."""
    loss = LOSSES[name]
    assert torch.autograd.gradcheck(lambda u, v: loss(u, v, tau=0.5), (U.clone().requires_grad_(), V.clone().requires_grad_()))
    assert loss(U, U) < loss(U, U.roll(1, 0))
    for value in value_and_gradients(lambda u, v: loss(u, v, tau=0.01), U, V):
        assert value.isfinite().all()
    step = value_and_gradients(loss, U, V)[1]
    assert F.cosine_similarity(U - 0.01 * step, V).mean() > F.cosine_similarity(U, V).mean()
    half = loss(U.bfloat16(), V.bfloat16())
    assert half.dtype == torch.float32
    assert half.isfinite()


@pytest.mark.parametrize("name", ["crd", "nce"])
def test_without_a_negative_there_is_nothing_to_learn(name: str) -> None:
    for n, ids in ((1, torch.zeros(1)), (N, torch.zeros(N, dtype=torch.long))):
        one = {"crd": lambda u, v, i=ids: crd(u, v, ids=i), "nce": lambda u, v, i=ids: crd_nce(u, v, LOG_Z, population=50, ids=i)}[name]
        value, *slopes = value_and_gradients(one, U[:n], V[:n])
        assert float(value) == 0
        assert all(float(slope.abs().max()) == 0 for slope in slopes)


def test_log_partition_is_that_of_the_mean_score() -> None:
    cosines = torch.tensor([[references.cosine(a, b) for b in references.rows(BANK[1])] for a in references.rows(U)], dtype=torch.float64)
    found = log_partition(U, V, population=50, tau=0.2, bank=BANK)
    close(found[0], (50 * (cosines / 0.2).exp().mean()).log())
    close(log_partition(U, V, population=50, tau=0.2, bank=BANK, chunk=2), found)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: kd(U, V[:, :2]), "student and teacher"),
        (lambda: kd(U, V, temperature=0), "temperature must be positive"),
        (lambda: crd(U, V[:2]), "u and v"),
        (lambda: crd(U, V, tau=0), "tau must be positive"),
        (lambda: crd(U, V, bank=BANK), "bank and bank_ids go together"),
        (lambda: crd(U, V, ids=IDS[:3]), "an id a row"),
        (lambda: crd_nce(U, V, LOG_Z, population=0), "population must be at least 1"),
    ],
)
def test_bad_arguments_of_losses_are_named(call: Callable[[], Tensor], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        call()


# ---------------------------------------------------------------------- the objective


def data_of(task: str = "classification") -> Dataset:
    data = contextual_sbm(60, CLASSES, WIDTH, degree=6, seed=0)
    if task == "classification":
        return data
    if task == "multilabel":
        return replace(data, y=F.one_hot(data.y, CLASSES).float(), metric="micro_f1")
    return replace(data, y=torch.stack([data.y * 10.0, 5.0 - data.y, 1.0 * data.y], 1), metric="rmse")


def teacher_of(data: Dataset) -> Teacher:
    g = torch.Generator().manual_seed(5)
    return Teacher(torch.randn(data.num_rows, CLASSES, generator=g), torch.randn(data.num_rows, 6, generator=g))


def made(task: str = "classification", net: Any = None, **options: Any) -> Distillation:
    data = data_of(task)
    with seeded(0):
        net = net or MLP(WIDTH, [8], norm="none")
        student = Supervised(net, data.task, CLASSES, level="node")
    with seeded(1):
        return Distillation(student, teacher_of(data), seen_labels(data, data.split.train), **options)


def test_the_loss_is_the_weighted_sum_of_its_parts() -> None:
    data = data_of()
    objective = made(ce=0.5, kd=2.0, crd=0.3, contrast=Contrast(width=7, tau=0.2))
    h = objective.encoder(data.graph)
    out, teacher, train = objective.student.head(h), teacher_of(data), data.split.train
    labels = -out.log_softmax(1)[train, data.y[train]].mean()
    embedded = crd(objective.student_head(h), objective.teacher_head(teacher.z), tau=0.2)
    close(objective(data.graph), 0.5 * labels + 2 * kd(out, teacher.outputs) + 0.3 * embedded, 1e-5)


@pytest.mark.parametrize("task", ["multilabel", "regression"])
def test_predictions_of_other_tasks(task: str) -> None:
    data, objective = data_of(task), made(task, ce=0.0, kd=1.0, crd=0.0)
    out, teacher = objective.student.head(objective.encoder(data.graph)), teacher_of(data).outputs
    p, q = (teacher / 4).sigmoid(), (out / 4).sigmoid()
    both = 16 * (p * (p / q).log() + (1 - p) * ((1 - p) / (1 - q)).log()).mean()
    close(objective(data.graph), both if task == "multilabel" else (out - teacher).square().mean(), 1e-5)


@pytest.mark.parametrize("contrast", [Contrast(), Contrast(form="nce", negatives=20), Contrast(negatives=10**6), Contrast(form="nce")])
def test_only_student_and_heads_learn(contrast: Contrast) -> None:
    data, objective = data_of(), made(contrast=contrast)
    gradients_where_due(objective, data.graph)
    assert {name.split(".")[0] for name, _ in objective.named_parameters()} == {"encoder", "student", "student_head", "teacher_head"}
    assert not objective.z.requires_grad
    loss_falls(objective, data.graph, lr=1e-2)


def test_more_negatives_than_nodes_are_all_nodes() -> None:
    data = data_of()
    many, all_of_them = (made(contrast=Contrast(negatives=n)) for n in (10**9, 60))
    close(many(data.graph), all_of_them(data.graph))
    assert many._drawn()[1].tolist() == list(range(60))  # type: ignore[union-attr]


def test_the_bank_follows_what_was_seen_and_z_is_frozen_after_the_first_batch() -> None:
    data, objective = data_of(), made(contrast=Contrast(form="nce", negatives=30, momentum=0.5))
    objective.train()
    before = objective.student_bank.clone()
    objective(data.graph)
    assert torch.equal(objective.student_bank, before), "the bank moves after the step alone"
    first = objective.log_z.clone()
    assert first.isfinite().all()
    now = F.normalize(objective.student_head(objective.encoder(data.graph)), dim=1)
    objective.after_step(0.1)
    close(objective.student_bank, F.normalize(0.5 * before + 0.5 * now, dim=1), 1e-5)
    objective(data.graph)
    assert torch.equal(objective.log_z, first)


def test_rows_of_one_known_class_are_no_negatives() -> None:
    objective = made(contrast=Contrast(other_classes=True))
    ids = objective._ids(torch.arange(60))
    known = objective.y >= 0
    assert torch.equal(ids[known], objective.y[known])
    assert ids[~known].unique().numel() == int((~known).sum())
    assert int(ids[~known].min()) >= CLASSES


def test_sampled_batches_find_their_rows() -> None:
    """An MLP needs no neighbours: over batches of seeds the parts of the loss are those of their rows."""
    data, objective = data_of(), made(crd=0.0, ce=0.0)
    batches = list(NeighbourBatches(data.graph, (2,), 20, seed=0))
    whole = kd(objective.student.head(objective.encoder(data.graph)), teacher_of(data).outputs)
    close(torch.stack([objective(g) for g in batches]).mean(), whole, 1e-5)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"kd": -1.0}, "ce, kd and crd must be 0 or more"),
        ({"ce": 0.0, "kd": 0.0, "crd": 0.0}, "not all 0"),
        ({"temperature": 0.0}, "temperature must be positive"),
    ],
)
def test_bad_arguments_are_named(options: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        made(**options)


def test_numbers_of_the_contrast_are_checked() -> None:
    for bad, words in (({"form": "cpc"}, "form"), ({"negatives": 0}, "negatives"), ({"tau": 0.0}, "tau"), ({"momentum": 1.0}, "momentum")):
        with pytest.raises(ValueError, match=words):
            Contrast(**bad)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="other_classes is for classification"):
        made("regression", contrast=Contrast(other_classes=True))
    data = data_of()
    student = Supervised(MLP(WIDTH, [8]), "classification", CLASSES, level="node")
    with pytest.raises(ValueError, match="teacher must have outputs"):
        Distillation(student, Teacher(torch.zeros(3, CLASSES), torch.zeros(3, 2)), data.y)


# ---------------------------------------------------------------------- trainings


def test_without_a_teacher_it_is_training_on_labels_to_the_bit() -> None:
    data = data_of()
    with seeded(2):
        net = MLP(WIDTH, [8])
    found = distill(teacher_of(data), net, data, kd=0.0, crd=0.0, epochs=5, dropout=0.2)
    rows = draw_labels(data.y, data.split.train, 1.0)
    with seeded(_head_seed()):
        alone = supervise(copy.deepcopy(net), data, rows, dropout=0.2)
    batches = [replace(data.graph, y=seen_labels(data, rows))]
    options = {"epochs": 5, "lr": 0.01, "weight_decay": 5e-4, "optimizer": "adam", "seed": 0}
    plain = fit_best(alone, batches, alone, data, data.split, rows=rows, **options)
    assert found.loss == plain.loss
    assert torch.equal(found.predictions, plain.predictions)


def _head_seed() -> int:
    from graphssl.supervised.labels import seed_for

    return seed_for("head", 0)


@pytest.mark.parametrize("weights", [{"kd": 1.0, "crd": 0.0}, {"kd": 1.0, "crd": 0.8}])
def test_a_student_is_better_for_its_teacher(weights: dict[str, float]) -> None:
    """The graph says more than the features: a GCN tells the classes, and an MLP learns them from it and not from a few labels."""
    data = contextual_sbm(400, CLASSES, 20, degree=12, signal=2.0, seed=3)
    few = data.with_splits(Split("few", torch.arange(9), torch.arange(9, 60), torch.arange(60, 400)))
    with seeded(0):
        teacher = finetune(GCN(20, [16]), few, epochs=60, lr=0.01)
        net = MLP(20, [32], norm="none", act="relu")
    alone = distill(teacher.objective, net, few, kd=0.0, crd=0.0, epochs=100, dropout=0.0)
    taught = distill(teacher.objective, net, few, epochs=100, dropout=0.0, **weights)
    assert teacher.test > alone.test + 0.05  # type: ignore[operator]
    assert taught.test > alone.test + 0.02  # type: ignore[operator]


def test_the_teacher_stays_as_it_was() -> None:
    data = data_of()
    model = Supervised(GCN(WIDTH, [8]), "classification", CLASSES, level="node").train()
    before = copy.deepcopy(model.state_dict())
    distill(model, MLP(WIDTH, [8]), data, epochs=2)
    assert model.training
    assert all(torch.equal(value, model.state_dict()[name]) for name, value in before.items())


def test_several_graphs_train_on_the_train_graphs_alone() -> None:
    sizes, parts = (10, 12, 10, 11), ("val", "train", "test", "train")
    each = [contextual_sbm(n, 2, WIDTH, degree=4, seed=n) for n in sizes]
    of = [part for part, size in zip(parts, sizes, strict=True) for _ in range(size)]
    split = Split("parts", *(torch.tensor([i for i, own in enumerate(of) if own == part]) for part in ("train", "val", "test")))
    data = Dataset("parts", tuple(d.graph for d in each), torch.cat([d.y for d in each]), (split,), parts=parts)
    answers = Teacher(torch.full((43, 2), torch.nan), torch.full((43, 3), torch.nan))
    for part in (answers.outputs, answers.z):
        part[split.train] = torch.randn(len(split.train), part.size(1))
    found = distill(answers, MLP(WIDTH, [8]), data, epochs=2)
    assert all(np.isfinite(found.loss))
    assert len(training_labels(data, split.train)) == 23


def test_whole_graphs_are_rows_too() -> None:
    each = [graphs.path(4 + k % 3) for k in range(30)]
    y = torch.arange(30) % 2
    split = Split("third", torch.arange(10), torch.arange(10, 20), torch.arange(20, 30))
    data = Dataset("paths", (side_by_side(each),), y, (split,), level="graph")
    teacher = Teacher(torch.randn(30, 2), torch.randn(30, 5))
    found = distill(teacher, GIN(graphs.F, [8]), data, epochs=3)
    assert found.predictions.shape == (30, 2)
    assert all(np.isfinite(found.loss))


def test_generation_0_has_no_teacher() -> None:
    data = data_of()

    def make() -> MLP:
        return MLP(WIDTH, [8])  # type: ignore[valid-type]

    chain = generations(make, data, num=2, epochs=4)
    alone = generations(make, data, num=0, epochs=4)
    assert [len(chain), len(alone)] == [3, 1]
    assert chain[0].loss == alone[0].loss
    again = distill(chain[0].objective, _same(make, 1), data, ce=0.5, kd=0.5, crd=0.0, epochs=4, seed=1)
    assert chain[1].loss == again.loss
    with pytest.raises(ValueError, match="num must be 0 or more"):
        generations(make, data, num=-1)


def _same(make: Callable[[], Any], seed: int) -> Any:
    from graphssl.supervised.labels import seed_for

    with seeded(seed_for("generation", seed)):
        return make()


def test_students_of_all_kinds() -> None:
    data = data_of()
    for net in (MLP(WIDTH, [8]), GraphSAGE(WIDTH, [8, 4], jk="cat")):
        assert distill(teacher_of(data), net, data, epochs=1).predictions.shape == (60, CLASSES)


# ---------------------------------------------------------------------- the command


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A pre-trained run ``base``, and one fine-tuned from it, ``tuned``."""
    out = tmp_path_factory.mktemp("distillation")
    shape = ["--channels", "16", "--features", "standardize", "--seed", "0,1", "--quiet"]
    assert main(["train", "dgi", "karate", "--epochs", "2", *shape, "--out", str(out / "base")]) == 0
    assert main(["finetune", str(out / "base"), "karate", "--epochs", "30", "--lr", "0.01", "--quiet", "--out", str(out / "tuned")]) == 0
    return out


def test_command_with_a_fine_tuned_teacher(folder: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    out = tmp_path / "student"
    capsys.readouterr()
    asked = ["distill", str(folder / "tuned"), "--encoder", "mlp", "--channels", "8", "--epochs", "3", "--seed", "0,1"]
    assert main([*asked, "--compare", "kd", "crd", "--out", str(out), "--json"]) == 0
    score = json.loads(capsys.readouterr().out)
    assert list(score["arms"]) == [
        "with the teacher",
        "on the labels alone",
        "with its predictions alone",
        "with its embeddings alone",
        "the teacher itself",
    ]
    told = json.loads((folder / "tuned" / "score.json").read_text())
    assert score["arms"]["the teacher itself"]["values"] == [told["arms"]["fine-tuned"]["values"][0]] * 2
    record = json.loads((out / "run.json").read_text())
    assert [record["kind"], record["encoder"]["name"], record["features"]["scaling"]] == ["distill", "mlp", "standardize"]
    model = load_models(out, seeds=[0]).models[0]
    assert model.encoder.channels == [8]
    assert main(["predict", str(out), "karate", "--out", str(tmp_path / "p.csv")]) == 0
    assert len((tmp_path / "p.csv").read_text().splitlines()) == 35
    again = tmp_path / "grandchild"
    assert main(["distill", str(out), "--epochs", "1", "--quiet", "--out", str(again)]) == 0, "a student teaches too"
    assert "the teacher itself" in capsys.readouterr().out


def test_command_with_a_pretrained_teacher(folder: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    capsys.readouterr()
    asked = ["distill", str(folder / "base"), "--epochs", "2", "--form", "nce", "--negatives", "10", "--other-classes", "--json"]
    assert main([*asked, "--out", str(tmp_path / "student")]) == 0
    score = json.loads(capsys.readouterr().out)
    assert list(score["arms"]) == ["with the teacher", "on the labels alone", "the teacher itself"]
    assert score["name"] == "mlp taught by dgi on karate"


def test_command_refuses(folder: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    record = json.loads((folder / "tuned" / "run.json").read_text())
    for part in record["parts"].values():
        part["split_hash"] = "0" * 12
    other = tmp_path / "other"
    shutil.copytree(folder / "tuned", other)
    (other / "run.json").write_text(json.dumps(record))
    for run, extra, words in (
        (other, [], "other splits"),
        (tmp_path, [], "is not a run folder"),
        (folder / "tuned", ["--ce", "0", "--kd", "0", "--crd", "0"], "not all 0"),
        (folder / "tuned", ["--form", "cpc"], "form"),
    ):
        capsys.readouterr()
        assert main(["distill", str(run), *extra, "--quiet", "--out", str(tmp_path / "never")]) == 2
        assert words in capsys.readouterr().err
        assert not (tmp_path / "never").exists()
