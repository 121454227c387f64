"""InfoMin: who goes up and who down, the price, the estimates, and labels that reach the encoder through the views alone."""

from __future__ import annotations

import copy
import math
from dataclasses import replace
from typing import Any

import graphs
import pytest
import references
import torch
from checks import close, double
from torch import Tensor

from graphssl import GAT, GCN, MLP, Compose, DropNodes, Graph, GraphSAGE, Identity, InfoMin, MaskFeatures, fit, seeded
from graphssl.datasets import contextual_sbm
from graphssl.dropper import EdgeDropper, dropped, weighed
from graphssl.losses import info_nce, node_graph_jsd
from graphssl.supervised import SemiInfoMin

N, F = 60, 6
OWN = ("dropper",)


@pytest.fixture(scope="module")
def g() -> Graph:
    return double(contextual_sbm(N, 3, F, degree=5, seed=0).graph)


def made(views: tuple[Any, Any] = (Identity(), Identity()), norm: str = "layer", **options: Any) -> InfoMin:
    with seeded(0):
        return InfoMin(GCN(F, [8, 4], norm=norm, act="tanh"), views, **{"hidden": 8, **options}).double()  # type: ignore[arg-type]


def value(net: Any, g: Graph, seed: int = 3) -> Tensor:
    with seeded(seed):
        return net(g)  # type: ignore[no-any-return]


def shares(net: InfoMin, g: Graph, seed: int = 3) -> float:
    with seeded(seed), torch.no_grad():
        views, weights = net.draw(g)
    return sum(float(dropped(w, view)) for view, w in zip(views, weights, strict=True) if w is not None) / 2


def named(net: torch.nn.Module, *parts: str) -> list[Tensor]:
    return [p for name, p in net.named_parameters() if parts and name.startswith(parts)]


# ---------------------------------------------------------------------- whose gradient is whose


@pytest.mark.parametrize("estimator", ["infonce", "jsd"])
@pytest.mark.parametrize("learned", ["second", "both"])
def test_the_value_is_the_contrast_of_the_weighed_views(estimator: Any, learned: Any, g: Graph) -> None:
    net = made(estimator=estimator, learned=learned, reg_lambda=7.0)
    with seeded(3):
        views, weights = net.draw(g)
    assert (weights[0] is None) == (learned == "second")
    shown = [view if w is None else view.with_weights(w) for view, w in zip(views, weights, strict=True)]
    z1, z2 = (net.projector(net.encoder(view)) for view in shown)
    if estimator == "infonce":
        expected = references.info_nce(z1, z2, tau=0.4, intra=False)
    else:
        u, v = (torch.nn.functional.normalize(z, dim=1) for z in (z1, z2))
        expected = node_graph_jsd(u / 0.4, v, torch.arange(N)).item()
    assert value(net, g).item() == pytest.approx(float(expected), abs=1e-10)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("estimator", ["infonce", "jsd"])
def test_the_dropper_goes_up_and_the_encoder_down(estimator: Any, seed: int, g: Graph) -> None:
    net = made(estimator=estimator, reg_lambda=0.0)
    before = value(net, g, seed)
    names, params = zip(*net.named_parameters(), strict=True)
    slopes = torch.autograd.grad(before, params)
    for ascends in (True, False):
        moved = copy.deepcopy(net)
        with torch.no_grad():
            for name, p, slope in zip(names, moved.parameters(), slopes, strict=True):
                p -= 1e-4 * slope * (name.startswith(OWN) == ascends)
        assert (value(moved, g, seed) > before) == ascends


def test_each_side_has_the_gradient_of_its_own_step(g: Graph) -> None:
    """Encoder: of the contrast with the weights held. Dropper: of its price less the contrast, through an encoder that is held."""
    net = made(reg_lambda=0.7)
    others = [p for name, p in net.named_parameters() if not name.startswith(OWN)]
    own = named(net, *OWN)
    found = torch.autograd.grad(value(net, g), [*others, *own])
    with seeded(3):
        views, weights = net.draw(g)
    held = [weighed(view, w.detach()) for view, w in zip(views, weights, strict=True) if w is not None]
    for a, b in zip(found, torch.autograd.grad(net.contrast(*held)[0], others), strict=False):
        close(a, b)
    still = copy.deepcopy(net).requires_grad_(False)
    shown = [weighed(view, w) for view, w in zip(views, weights, strict=True) if w is not None]
    price = 0.7 * sum(dropped(w, g) for w in weights if w is not None) / 2
    step = torch.autograd.grad(price - still.contrast(*shown)[0], own)
    for a, b in zip(found[len(others) :], step, strict=True):
        close(a, b)


def test_the_encoder_is_frozen_in_the_step_of_the_views(g: Graph) -> None:
    """The price alone moves the dropper, and nothing else."""
    nets = [made(reg_lambda=price) for price in (0.0, 5.0)]
    for one, other in zip(*(named(net, "encoder", "projector") for net in nets), strict=True):
        (a,), (b,) = (torch.autograd.grad(value(net, g), p) for net, p in zip(nets, (one, other), strict=True))
        close(a, b)
    first, second = (torch.autograd.grad(value(net, g), named(net, *OWN)) for net in nets)
    assert any(not torch.allclose(a, b) for a, b in zip(first, second, strict=True))


def test_a_high_price_leaves_the_graph_as_it_is(g: Graph) -> None:
    net = made(reg_lambda=1e4)
    start = shares(net, g)
    fit(net, g, epochs=60, lr=0.05)
    assert start > 0.3
    assert shares(net, g) < 0.01
    whole = info_nce(*(net.projector(net.encoder(g)),) * 2, tau=0.4)
    assert value(net, g).item() == pytest.approx(whole.item(), abs=0.02)


def test_without_a_price_more_is_dropped(g: Graph) -> None:
    free, dear = made(reg_lambda=0.0), made(reg_lambda=3.0)
    for net in (free, dear):
        fit(net, g, epochs=80, lr=0.01)
    assert shares(free, g) > shares(dear, g) + 0.1


# ---------------------------------------------------------------------- estimates


@pytest.mark.parametrize("tau", [0.02, 0.4, 2.0])
def test_infonce_is_never_above_log_k(tau: float, g: Graph) -> None:
    net = made(tau=tau)
    for kept in (None, torch.arange(10), torch.arange(1)):
        part = g if kept is None else g.keep_nodes(kept)
        assert net.information(part) <= math.log(part.num_nodes) + 1e-12
    apart = g.with_edges(torch.empty(2, 0, dtype=torch.long)).with_x(torch.eye(N, F, dtype=torch.float64) + g.dense_x())
    same = replace(apart, num_seeds=20)
    assert net.information(same) <= math.log(20) + 1e-12
    assert math.log(N) - info_nce(torch.eye(N), torch.eye(N), tau=0.01) == pytest.approx(math.log(N))


def test_information_is_the_mean_of_both_directions_less_log_k(g: Graph) -> None:
    """Not log K less their sum."""
    net = made()
    with seeded(3):
        found = net.information(g)
    with seeded(3):
        views, weights = net.draw(g)
    z1, z2 = (net.projector(net.encoder(weighed(v, w))) for v, w in zip(views, weights, strict=True) if w is not None)
    s = torch.nn.functional.normalize(z1, dim=1) @ torch.nn.functional.normalize(z2, dim=1).T / 0.4
    both = [torch.nn.functional.cross_entropy(m, torch.arange(N)) for m in (s, s.T)]
    close(found, math.log(N) - (both[0] + both[1]) / 2)


def test_jsd_is_at_most_2_log_2(g: Graph) -> None:
    assert made(estimator="jsd", tau=0.01).information(g) <= 2 * math.log(2)
    with pytest.raises(ValueError, match="at least two"):
        made(estimator="jsd")(g.keep_nodes(torch.tensor([0])))


@pytest.mark.parametrize("estimator", ["infonce", "jsd"])
def test_chunks_change_nothing(estimator: Any, g: Graph) -> None:
    whole, parts = (made(estimator=estimator, chunk=chunk) for chunk in (None, 7))
    a, b = value(whole, g), value(parts, g)
    close(a, b)
    for x, y in zip(torch.autograd.grad(a, list(whole.parameters())), torch.autograd.grad(b, list(parts.parameters())), strict=True):
        close(x, y, 1e-9)


# ---------------------------------------------------------------------- the dropper


@pytest.mark.parametrize("kind", graphs.GRAPHS)
def test_soft_and_hard_weights(kind: str) -> None:
    g = graphs.GRAPHS[kind]()
    soft, hard = (InfoMin(GCN(graphs.F, [4], norm="none"), (Identity(), Identity()), hidden=4, hard=h).dropper for h in (False, True))
    hard.load_state_dict(soft.state_dict())
    with seeded(0):
        w = soft(g)
    with seeded(0):
        rounded = hard(g)
    assert torch.equal(rounded, (w > 0.5).to(w.dtype))
    assert ((w > 0) & (w < 1)).all()
    if g.num_edges:
        slopes = [torch.autograd.grad((x * torch.arange(len(x))).sum(), d.scorer[2].weight)[0] for x, d in ((w, soft), (rounded, hard))]
        close(*slopes, 1e-6)


def test_a_weight_is_above_one_half_as_often_as_its_logit_says(g: Graph) -> None:
    net = made()
    with seeded(0), torch.no_grad():
        above = torch.stack([net.dropper(g) > 0.5 for _ in range(400)]).double().mean(0)
    assert (above - net.keeps(g)).abs().max() < 0.12
    assert float((above - net.keeps(g)).mean().abs()) < 0.01


@pytest.mark.parametrize("views", [(MaskFeatures(0.3), MaskFeatures(0.2)), (Compose(DropNodes(0.3), MaskFeatures(0.2)),) * 2])
def test_fixed_views_come_first(views: tuple[Any, Any], g: Graph) -> None:
    net = made(views, norm="batch")
    before = value(net, g)
    assert before.isfinite()
    fit(net, g, epochs=40, lr=0.01)
    assert net.information(g).isfinite()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"tau": 0.0}, "tau must be positive"),
        ({"reg_lambda": -1.0}, "reg_lambda must be 0 or more"),
        ({"temperature": 0.0}, "temperature must be positive"),
        ({"estimator": "mine"}, "estimator must be infonce or jsd, got 'mine'"),
        ({"learned": "first"}, "learned must be second or both"),
        ({"chunk": 0}, "chunk must be at least 1"),
        ({"views": (Identity(),)}, "views must be two"),
    ],
)
def test_bad_arguments_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        made(**options)


def test_encoders_without_use_for_weights_are_refused() -> None:
    for net in (GraphSAGE(F, [4], aggregation="max"), MLP(F, [4])):
        with pytest.raises(ValueError, match="encoder must use edge weights"):
            EdgeDropper(net)
    with pytest.raises(ValueError, match="hard cannot be used with attention"):
        EdgeDropper(GAT(F, [4]), hard=True)


# ---------------------------------------------------------------------- labels beside it


def labels(known: int = 20) -> Tensor:
    y = contextual_sbm(N, 3, F, degree=5, seed=0).y.clone()
    y[torch.randperm(N, generator=torch.Generator().manual_seed(0))[known:]] = -1
    return y


def semi(weight: float = 1.0, y: Tensor | None = None, **options: Any) -> SemiInfoMin:
    infomin = made(**options)
    with seeded(1):
        return SemiInfoMin(infomin, labels() if y is None else y, weight=weight).double()


def test_labels_train_the_dropper_and_the_classifiers_and_never_the_encoder(g: Graph) -> None:
    plain, other = semi(0.0), semi(2.0)
    for one, two in zip(named(plain, "encoder", "infomin.projector"), named(other, "encoder", "infomin.projector"), strict=True):
        (a,), (b,) = (torch.autograd.grad(value(net, g), p) for net, p in ((plain, one), (other, two)))
        close(a, b)
    slopes = torch.autograd.grad(value(other, g), named(other, "classifiers"))
    assert all(slope.abs().sum() > 0 for slope in slopes)
    pairs = zip(*(torch.autograd.grad(value(net, g), named(net, "infomin.dropper")) for net in (plain, other)), strict=True)
    assert any(not torch.allclose(a, b) for a, b in pairs)


def test_the_loss_of_labels_is_the_cross_entropy_of_both_views(g: Graph) -> None:
    net, y = semi(2.0), labels()
    with seeded(3):
        views, weights = net.infomin.draw(g)
    rows = y >= 0
    expected = value(net.infomin, g)
    for c, view, w in zip(net.classifiers, views, weights, strict=True):
        assert w is not None
        expected = expected + 2 * torch.nn.functional.cross_entropy(c(net.encoder(weighed(view, w)))[rows], y[rows])
    close(value(net, g), expected)


@pytest.mark.parametrize("norm", ["layer", "batch"])
def test_weight_0_removes_labels_completely(norm: str, g: Graph) -> None:
    y = labels()
    nets = [semi(0.0, norm=norm), semi(0.0, (y - 1) % 3, norm=norm)]
    plain = made(norm=norm)
    histories = [fit(net, g, epochs=4, lr=0.01, seed=2).loss for net in (*nets, plain)]
    assert histories[0] == histories[1] == histories[2]
    for a, b in zip(nets[0].encoder.state_dict().values(), plain.encoder.state_dict().values(), strict=True):
        assert torch.equal(a, b)
    assert all(p.grad is None for net in nets for p in net.classifiers.parameters())


def test_statistics_are_those_of_the_contrast(g: Graph) -> None:
    first, second = semi(0.0, norm="batch"), semi(1.0, norm="batch")
    for net in (first, second):
        value(net, g)
    for a, b in zip(first.encoder.buffers(), second.encoder.buffers(), strict=True):
        close(a, b, 1e-12)


def test_unknown_labels_have_no_influence(g: Graph) -> None:
    net = semi(1.0, torch.where(torch.arange(N) < 3, torch.arange(N), -1))
    part = g.keep_nodes(torch.arange(3, N))
    assert value(net, part).item() == pytest.approx(value(net.infomin, part).item())
    dropping = semi(1.0, views=(DropNodes(0.3), DropNodes(0.3)))
    assert value(dropping, g).isfinite()
    with pytest.raises(ValueError, match="node_id"):
        value(net, replace(part, node_id=None))


def test_bad_labels_are_refused() -> None:
    with pytest.raises(ValueError, match="y must be"):
        SemiInfoMin(made(), torch.full((N,), -1))
    with pytest.raises(ValueError, match="y must be"):
        SemiInfoMin(made(), torch.rand(N))
    with pytest.raises(ValueError, match="weight must be 0 or more"):
        SemiInfoMin(made(), labels(), weight=-1.0)
