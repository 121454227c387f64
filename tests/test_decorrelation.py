"""Decorrelation: Barlow Twins, CCA-SSG and VICReg equal their equations, and have their limits."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import references_negatives as references
import torch
import torch.nn.functional as F
from checks import close, value_and_gradients
from torch import Tensor

from graphssl import GCN, BarlowTwins, DropEdges, VICReg
from graphssl.datasets import contextual_sbm
from graphssl.losses import barlow_twins, cca_ssg, vicreg
from graphssl.objectives import CCASSG
from graphssl.recipes import RECIPES

Loss = Callable[[Tensor, Tensor], Tensor]
CASES: dict[str, tuple[Loss, Callable[[Tensor, Tensor], float]]] = {
    "barlow_twins": (barlow_twins, lambda u, v: references.barlow_twins(u, v, 1 / u.size(1))),
    "barlow_twins 0.005": (lambda u, v: barlow_twins(u, v, weight=0.005), lambda u, v: references.barlow_twins(u, v, 0.005)),
    "cca_ssg": (cca_ssg, lambda u, v: references.cca_ssg(u, v, 1e-3)),
    "cca_ssg 0.5": (lambda u, v: cca_ssg(u, v, weight=0.5), lambda u, v: references.cca_ssg(u, v, 0.5)),
    "vicreg": (vicreg, lambda u, v: references.vicreg(u, v, (25, 25, 1))),
    "vicreg 1 2 3": (
        lambda u, v: vicreg(u, v, invariance=1, variance=2, covariance=3),
        lambda u, v: references.vicreg(u, v, (1, 2, 3)),
    ),
}
each = pytest.mark.parametrize("name", CASES)
each_plain = pytest.mark.parametrize("loss", [barlow_twins, cca_ssg, vicreg], ids=lambda loss: loss.__name__)
WHITE = torch.tensor([[1, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]], dtype=torch.float64)  # mean 0, variance 1, no covariance


def views(n: int = 9, d: int = 4, seed: int = 0) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    u = torch.randn(n, d, dtype=torch.float64, generator=generator)
    return u, u + 0.5 * torch.randn(n, d, dtype=torch.float64, generator=generator)


@each
def test_equals_its_loop(name: str) -> None:
    loss, reference = CASES[name]
    for seed in range(3):
        u, v = views(seed=seed)
        assert float(loss(u, v)) == pytest.approx(reference(u, v), rel=1e-10)
        assert float(loss(u, v)) == pytest.approx(float(loss(v, u)), rel=1e-12)


@each
def test_gradient(name: str) -> None:
    u, v = (0.7 * x.requires_grad_() for x in views())
    assert torch.autograd.gradcheck(CASES[name][0], (u, v))


@each
def test_wants_partners_together(name: str) -> None:
    loss = CASES[name][0]
    u, v = views()
    aligned = float(loss(u, u))
    assert aligned < float(loss(u, u + 0.5 * (v - u)))
    for shift in range(1, 9):
        assert aligned < float(loss(u, u.roll(shift, 0))), "other partners are as good"
    mine = value_and_gradients(loss, u, v)[2]
    assert float(loss(u, v - 1e-4 * mine)) < float(loss(u, v)), "the gradient does not lead down"


@each
def test_order_of_rows_and_of_columns_does_not_matter(name: str) -> None:
    loss = CASES[name][0]
    u, v = views()
    order, columns = torch.randperm(9), torch.randperm(4)
    assert float(loss(u[order][:, columns], v[order][:, columns])) == pytest.approx(float(loss(u, v)), rel=1e-12)


@pytest.mark.parametrize("loss", [barlow_twins, cca_ssg], ids=lambda loss: loss.__name__)
def test_scale_and_place_of_columns_do_not_matter(loss: Loss) -> None:
    u, v = views()
    assert float(loss(u * torch.tensor([1, 2, 3, 9.0]) + 5, v / 7 - 1)) == pytest.approx(float(loss(u, v)), rel=1e-9)


def test_white_views_that_agree_cost_nothing() -> None:
    assert float(barlow_twins(WHITE, WHITE)) == pytest.approx(0, abs=1e-12)
    assert float(cca_ssg(WHITE, WHITE)) == pytest.approx(0, abs=1e-12)
    assert float(vicreg(WHITE, WHITE)) == pytest.approx(0, abs=1e-12)


def test_collapse_costs() -> None:
    same = torch.full((6, 4), 3.3, dtype=torch.float64, requires_grad=True)
    for loss, expected in ((barlow_twins, 4), (lambda u, v: cca_ssg(u, v, weight=0.5), 4), (vicreg, 2 * 25 * 0.99)):
        value, *slopes = value_and_gradients(loss, same, same)
        assert float(value) == pytest.approx(expected, rel=1e-9)
        assert all(slope.isfinite().all() for slope in slopes), "no slope of a column without any deviation"
    copied = WHITE[:, [0, 0, 0]]  # columns that all tell the same
    assert float(barlow_twins(copied, copied, weight=1)) == pytest.approx(6)
    assert float(cca_ssg(copied, copied, weight=1)) == pytest.approx(12)
    assert float(vicreg(copied, copied, variance=0)) == pytest.approx(2 * 6 * (4 / 3) ** 2 / 3)


def test_a_column_that_is_dead_in_one_view_harms_no_other() -> None:
    u, v = (x.float() for x in views())
    u[:, 1] = 0.1  # whose mean is not exact in float32
    for loss in (barlow_twins, cca_ssg):
        value, mine, other = value_and_gradients(loss, u, v)
        assert value.isfinite()
        assert mine.abs().max() < 100
        assert other.abs().max() < 100
        close(mine[:, 1], torch.zeros(9), 1e-12)


def test_cca_ssg_has_its_codes_gradient() -> None:
    """The code minimises ``-trace(a^T b)``, half the paper's first term less a constant."""
    u, v = views()
    a, b = (F.normalize(z - z.mean(0), dim=0) for z in (u, v))
    assert float(cca_ssg(u, v, weight=0)) == pytest.approx(4 - float((a.t() @ b).trace()), rel=1e-12)
    assert float((a - b).square().sum()) == pytest.approx(2 * float(cca_ssg(u, v, weight=0)), rel=1e-12)


def test_barlow_twins_on_opposite_views() -> None:
    assert float(barlow_twins(WHITE, -WHITE)) == pytest.approx(3 * 4)
    assert float(barlow_twins(WHITE, WHITE[:, [1, 2, 0]], weight=0.1)) == pytest.approx(3 + 0.1 * 3)


@each_plain
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_half_precision_and_lengths(loss: Loss, dtype: torch.dtype) -> None:
    u, v = views()
    for a, b in ((u, v), (u, u), (u, -u), (u * 50, v / 50), (u[:1], v[:1]), (torch.ones_like(u), -torch.ones_like(u))):
        value, *slopes = value_and_gradients(loss, a.to(dtype), b.to(dtype))
        assert value.isfinite()
        assert value.dtype == torch.float32
        assert all(slope.isfinite().all() for slope in slopes)


@each_plain
def test_nothing_of_rows_by_rows_is_kept(loss: Loss) -> None:
    sizes: list[int] = []
    u, v = (x.requires_grad_() for x in views(512, 4))
    with torch.autograd.graph.saved_tensors_hooks(lambda t: sizes.append(t.numel()) or t, lambda t: t):
        loss(u, v)
    assert max(sizes) <= 512 * 4


@each_plain
def test_views_of_another_shape_are_refused(loss: Loss) -> None:
    with pytest.raises(ValueError, match="must both be"):
        loss(torch.ones(4, 3), torch.ones(5, 3))


@pytest.mark.parametrize(
    ("make", "name"),
    [
        (lambda w: barlow_twins(*views(), weight=w), "weight"),
        (lambda w: cca_ssg(*views(), weight=w), "weight"),
        (lambda w: vicreg(*views(), covariance=w), "covariance"),
        (lambda w: CCASSG(GCN(4, [4]), (DropEdges(0.1),) * 2, decorrelation=w), "decorrelation"),
        (lambda w: BarlowTwins(GCN(4, [4]), (DropEdges(0.1),) * 2, decorrelation=w), "decorrelation"),
        (lambda w: VICReg(GCN(4, [4]), (DropEdges(0.1),) * 2, variance=w), "variance"),
    ],
)
def test_negative_weights_are_refused(make: Callable[[float], object], name: str) -> None:
    with pytest.raises(ValueError, match=f"{name} must not be negative, got -1"):
        make(-1)


def test_objectives_take_the_loss_of_the_embeddings() -> None:
    g = contextual_sbm(40, 2, 6, degree=6, seed=0).graph
    still = (DropEdges(0.0), DropEdges(0.0))
    for objective, loss in (
        (CCASSG(GCN(6, [8]), still, decorrelation=0.1), lambda z: cca_ssg(z, z, weight=0.1)),
        (BarlowTwins(GCN(6, [8]), still), lambda z: barlow_twins(z, z)),
    ):
        close(objective(g), loss(objective.encoder(g)), 1e-5)
    net = VICReg(GCN(6, [8]), still, hidden=5, invariance=1, variance=2, covariance=3)
    z = net.projector(net.encoder(g))
    assert z.shape == (40, 5)
    close(net(g), vicreg(z, z, invariance=1, variance=2, covariance=3), 1e-5)


CCA = {  # edges dropped, features masked, weight, epochs, layers, score, deviation
    "cora": (0.4, 0.1, 1e-3, 50, 2, 84.0, 0.4),
    "citeseer": (0.4, 0.0, 5e-4, 20, 1, 73.1, 0.3),
    "pubmed": (0.5, 0.3, 1e-3, 100, 2, 81.0, 0.4),
    "amazon-computers": (0.3, 0.1, 5e-4, 50, 2, 88.74, 0.28),
    "amazon-photo": (0.3, 0.2, 1e-3, 50, 2, 93.14, 0.14),
    "coauthor-cs": (0.2, 0.2, 1e-3, 50, 2, 93.31, 0.22),
    "coauthor-physics": (0.5, 0.5, 1e-3, 100, 2, 95.38, None),
}
GBT = {  # width, features masked, edges dropped, lr, score, deviation
    "wikics": (256, 0.1, 0.5, 5e-4, 76.83, 0.73),
    "amazon-computers": (128, 0.1, 0.4, 5e-4, 87.93, 0.36),
    "amazon-photo": (256, 0.3, 0.1, 1e-4, 92.46, 0.35),
    "coauthor-cs": (256, 0.2, 0.5, 1e-5, 92.91, 0.25),
    "coauthor-physics": (128, 0.2, 0.5, 1e-5, 95.25, 0.13),
}


@pytest.mark.parametrize("name", CCA)
def test_cca_ssg_is_the_official_one(name: str) -> None:
    drop, mask, weight, epochs, layers, score, std = CCA[name]
    planetoid = name in ("cora", "citeseer", "pubmed")
    given = RECIPES["cca-ssg"][name].model_dump()
    assert {
        key: given[key] for key in ("decorrelation", "epochs", "lr", "weight_decay", "optimizer", "schedule", "norm", "act", "last_act")
    } == {
        "decorrelation": weight,
        "epochs": epochs,
        "lr": 1e-3,
        "weight_decay": 0,
        "optimizer": "adam",
        "schedule": "constant",
        "norm": "none",
        "act": "relu",
        "last_act": False,
    }
    assert given["channels"] == (512,) * layers
    assert (given["drop_edges"], given["mask_features"]) == ((drop, drop), (mask, mask))
    assert given["encoder"] == ("mlp" if name == "coauthor-cs" else "gcn")
    assert given["directed_drop"]
    assert (given["features"], given["protocol"]) == (("row-normalize", "planetoid-public") if planetoid else ("none", "random-10-10-80"))
    assert [(r["score"], r["std"]) for r in given["reported"]] == [(score, std)]


@pytest.mark.parametrize("name", GBT)
def test_gbt_is_the_official_one(name: str) -> None:
    width, mask, drop, lr, score, std = GBT[name]
    given = RECIPES["gbt"][name].model_dump()
    assert {
        key: given[key] for key in ("channels", "lr", "epochs", "warmup", "schedule", "optimizer", "weight_decay", "decorrelation")
    } == {
        "channels": (2 * width, width),
        "lr": lr,
        "epochs": 1000,
        "warmup": 0.1,
        "schedule": "cosine",
        "optimizer": "adamw",
        "weight_decay": 1e-5,
        "decorrelation": None,
    }
    assert (given["drop_edges"], given["mask_features"]) == ((drop, drop), (mask, mask))
    assert (given["norm_momentum"], given["act"]) == (0.01, "prelu")
    assert given["protocol"] == ("wikics" if name == "wikics" else "random-10-10-80")
    assert [(r["score"], r["std"]) for r in given["reported"]] == [(score, std)]
