"""Contrastive objectives of whole graphs: their losses as loops, what moves and what does not, and the promises of each paper."""

from __future__ import annotations

import copy
import json
import math
from collections.abc import Callable
from typing import ClassVar

import graphs
import pytest
import torch
import torch.nn.functional as F
from checks import close, double, gradients_where_due, loss_falls, same_state_same_output, value_and_gradients
from torch import Tensor, nn

from graphssl import (
    ADGCL,
    GCN,
    GIN,
    GINE,
    JOAO,
    MVGRL,
    Diffuse,
    DropEdges,
    DropNodes,
    Graph,
    GraphBatches,
    GraphCL,
    GraphSAGE,
    Identity,
    MaskFeatures,
    MultiView,
    Objective,
    RandomChoice,
    SimGRACE,
    Subgraph,
    embed,
    fit,
    side_by_side,
    train,
)
from graphssl.building import encoder_config, make, make_views
from graphssl.encoders import GAT, MPNN, build
from graphssl.heads import ShortcutMLP
from graphssl.layers import Linear
from graphssl.losses import info_nce
from graphssl.objectives.adgcl import dropped
from graphssl.objectives.joao import to_simplex
from graphssl.objectives.simgrace import Pooled, perturbed
from graphssl.recipes import find_recipe
from graphssl.recipes.base import GraphViews, OneView

VIEWS = (
    Identity(),
    DropNodes(0.2, exact=True),
    DropEdges(0.2, exact=True),
    Subgraph(0.5, how="grow"),
    MaskFeatures(0.2, mode="node", fill="noise", exact=True),
)
CHOICE = RandomChoice(*VIEWS[1:], per_graph=True)


def many(n: int = 16, seed: int = 0) -> Graph:
    """Connected graphs of 8 to 15 nodes that differ in features and edges."""
    parts = []
    for k in range(n):
        size = 8 + (k + seed) % 8
        ends = torch.arange(size - 1)
        edges = torch.cat([torch.stack([ends, ends + 1]), graphs.edges(size, 4 + k % 5, seed=seed + k)], 1).unique(dim=1)
        parts.append(Graph.of((graphs.features(size, seed=seed + k), graphs.both(edges))))
    return side_by_side(parts)


def encoder(features: int = graphs.F, norm: str = "batch", **options: object) -> nn.Module:
    return GIN(features, [12, 8], **{"norm": norm, "act": "relu", "order": "act-norm", "jk": "cat", "readout": "sum", **options})  # type: ignore[arg-type]


def two_views(features: int = graphs.F, norm: str = "batch") -> MultiView:
    return MultiView([encoder(features, norm) for _ in range(2)], (Identity(), Diffuse("ppr", alpha=0.2)))  # type: ignore[misc]


MAKE: dict[str, Callable[..., Objective]] = {
    "graphcl": lambda f=graphs.F, norm="batch", **o: GraphCL(encoder(f, norm), **{"views": (Identity(), CHOICE), **o}),
    "simgrace": lambda f=graphs.F, norm="batch", **o: SimGRACE(encoder(f, norm), **{"eta": 0.2, **o}),
    "joao": lambda f=graphs.F, norm="batch", **o: JOAO(encoder(f, norm), **{"views": VIEWS, **o}),
    "mvgrl": lambda f=graphs.F, norm="batch", **o: MVGRL(two_views(f, norm), **o),
    "adgcl": lambda f=graphs.F, norm="batch", **o: ADGCL(encoder(f, norm), **{"hidden": 16, **o}),
}
each_method = pytest.mark.parametrize("method", MAKE)


def objective(method: str, *args: object, **options: object) -> Objective:
    torch.manual_seed(0)
    return MAKE[method](*args, **options)


# ---------------------------------------------------------------------- the loss: positives in or out, one direction or both


def contrast(u: Tensor, v: Tensor, tau: float, *, intra: bool, decoupled: bool, symmetric: bool) -> float:
    """Row by row, from the papers."""
    n = len(u)

    def cos(a: Tensor, b: Tensor) -> float:
        return float(a @ b / (a.norm() * b.norm())) / tau

    total, rows = 0.0, 0
    for a, b in ((u, v), (v, u))[: 2 if symmetric else 1]:
        for i in range(n):
            others = [cos(a[i], b[k]) for k in range(n) if not (decoupled and k == i)]
            others += [cos(a[i], a[k]) for k in range(n) if intra and k != i]
            total += math.log(sum(math.exp(s) for s in others)) - cos(a[i], b[i])
            rows += 1
    return total / rows


def rows(n: int = 7, d: int = 5, seed: int = 0) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    u = torch.randn(n, d, dtype=torch.float64, generator=generator)
    return u, u + torch.randn(n, d, dtype=torch.float64, generator=generator)


each_flag = [pytest.mark.parametrize(name, [False, True]) for name in ("intra", "decoupled", "symmetric")]


def every_form(test: Callable[..., None]) -> Callable[..., None]:
    for mark in each_flag:
        test = mark(test)
    return test


@pytest.mark.parametrize("tau", [0.05, 0.2, 1.0])
@every_form
def test_every_form_equals_its_loop(tau: float, intra: bool, decoupled: bool, symmetric: bool) -> None:
    flags = {"intra": intra, "decoupled": decoupled, "symmetric": symmetric}
    for seed in range(3):
        u, v = rows(seed=seed)
        for chunk in (None, 1, 3, 5):
            assert float(info_nce(u, v, tau=tau, chunk=chunk, **flags)) == pytest.approx(contrast(u, v, tau, **flags), abs=1e-10)


@pytest.mark.parametrize("chunk", [None, 3])
@every_form
def test_every_form_has_its_gradient(chunk: int | None, intra: bool, decoupled: bool, symmetric: bool) -> None:
    def loss(u: Tensor, v: Tensor) -> Tensor:
        return info_nce(u, v, tau=0.3, intra=intra, decoupled=decoupled, symmetric=symmetric, chunk=chunk)

    u, v = (x.requires_grad_() for x in rows())
    assert torch.autograd.gradcheck(loss, (u, v))
    down = value_and_gradients(loss, *rows())[2]
    with torch.no_grad():
        assert loss(u, v - 1e-3 * down) < loss(u, v)
        assert loss(u, u) < min(float(loss(u, u.roll(k, 0))) for k in range(1, 7))


@pytest.mark.parametrize("tau", [0.02, 0.2])
@every_form
def test_chunks_equal_the_whole(tau: float, intra: bool, decoupled: bool, symmetric: bool) -> None:
    def loss(chunk: int | None) -> Callable[[Tensor, Tensor], Tensor]:
        return lambda u, v: info_nce(u, v, tau=tau, intra=intra, decoupled=decoupled, symmetric=symmetric, chunk=chunk)

    whole = value_and_gradients(loss(None), *rows(13))
    for chunk in (1, 2, 4, 6, 7, 12, 13, 25, 26):
        for a, b in zip(whole, value_and_gradients(loss(chunk), *rows(13)), strict=True):
            close(a, b, 1e-9)


def test_nt_xent_is_softplus_of_the_decoupled_loss_anchor_by_anchor() -> None:
    u, v = rows()
    for i in range(len(u)):
        order = [i, *(k for k in range(len(u)) if k != i)]
        scores = F.normalize(u, dim=1)[i] @ F.normalize(v, dim=1)[order].t() / 0.2
        apart = scores[1:].logsumexp(0) - scores[0]
        assert float(F.softplus(apart)) == pytest.approx(float(scores.logsumexp(0) - scores[0]), abs=1e-12)
    each = [info_nce(u, v, tau=0.2, decoupled=True, symmetric=s) for s in (True, False)]
    back = info_nce(v, u, tau=0.2, decoupled=True, symmetric=False)
    assert float(each[0]) == pytest.approx(float(each[1] + back) / 2, abs=1e-12)


def test_the_pull_on_a_positive_does_not_fade() -> None:
    """``d loss / d s_ii`` is -1 for each anchor, however near the two rows are; with the positive in the denominator it fades."""
    u = F.normalize(rows()[0], dim=1)
    moved = u.clone().requires_grad_()
    slopes = {}
    for decoupled in (True, False):
        loss = info_nce(u, moved, tau=0.05, decoupled=decoupled, symmetric=False)
        (slopes[decoupled],) = torch.autograd.grad(loss, moved)
    scores = (u @ u.t() / 0.05).fill_diagonal_(-torch.inf)
    push = scores.softmax(1).t() @ u / 0.05 / len(u)  # of the anchors that have the row as a negative
    want = push - u / 0.05 / len(u)
    close(slopes[True], want - (want * u).sum(1, keepdim=True) * u, 1e-9)  # along the sphere
    assert slopes[False].norm() < 0.2 * slopes[True].norm()


def test_equal_rows_say_nothing() -> None:
    u = torch.ones(6, 3)
    for intra, count in ((False, 5), (True, 10)):
        assert float(info_nce(u, u, intra=intra, decoupled=True)) == pytest.approx(math.log(count), abs=1e-5)


@pytest.mark.parametrize("chunk", [None, 4])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@every_form
def test_small_temperature_and_half_precision(dtype: torch.dtype, chunk: int | None, intra: bool, decoupled: bool, symmetric: bool) -> None:
    u, v = rows(8)
    same = torch.ones(8, 5, dtype=torch.float64)
    for pair in ((u, v), (u, u), (u, -u), (same, -same)):
        value, *slopes = value_and_gradients(
            lambda a, b: info_nce(a, b, tau=0.01, intra=intra, decoupled=decoupled, symmetric=symmetric, chunk=chunk),
            *(x.to(dtype) for x in pair),
        )
        assert value.isfinite()
        assert all(slope.isfinite().all() for slope in slopes)


def test_one_row_has_no_negative() -> None:
    with pytest.raises(ValueError, match="decoupled needs at least two rows"):
        info_nce(*rows(1), decoupled=True)


# ---------------------------------------------------------------------- laws of every objective


@pytest.mark.parametrize("norm", ["batch", "layer"])
@each_method
def test_loss_falls(method: str, norm: str) -> None:
    loss_falls(objective(method, graphs.F, norm), many(12))


@each_method
def test_gradients_go_where_they_are_due(method: str) -> None:
    gradients_where_due(objective(method, graphs.F, "layer"), many())


@pytest.mark.parametrize("kind", ["batch", "sparse_batch"])
@each_method
def test_awkward_graphs_give_a_finite_loss(method: str, kind: str) -> None:
    g = graphs.GRAPHS[kind]()  # of one node, of no edge, with weights
    net = objective(method, g.num_features)
    for seed in range(3):
        torch.manual_seed(seed)
        loss = net(g)
        assert loss.shape == ()
        assert loss.isfinite()
        loss.backward()
    assert all(p.grad.isfinite().all() for p in net.parameters() if p.grad is not None)


@each_method
def test_one_graph_is_refused(method: str) -> None:
    with pytest.raises(ValueError, match="at least two graphs"):
        objective(method)(graphs.undirected())


@each_method
def test_state_round_trip(method: str) -> None:
    g = many(8)
    first, second = objective(method), MAKE[method]()
    fit(first, GraphBatches(g, 4), epochs=2)

    def run(net: nn.Module) -> Tensor:
        torch.manual_seed(4)
        return net(g)  # type: ignore[no-any-return]

    same_state_same_output(first, second, run)


@each_method
def test_same_seed_same_run(method: str) -> None:
    runs = []
    for _ in range(2):
        net = objective(method)
        runs.append((fit(net, GraphBatches(many(8), 4), epochs=2, seed=3).loss, net.state_dict()))
        torch.rand(5)  # what the caller draws in between is no matter
    assert runs[0][0] == runs[1][0]
    assert all(torch.equal(value, runs[1][1][name]) for name, value in runs[0][1].items())


@each_method
def test_train_mode_at_every_step(method: str) -> None:
    net, modes = objective(method), []
    net.register_forward_pre_hook(lambda module, _: modes.append(all(part.training for part in module.modules())))
    for _ in train(net, GraphBatches(many(8), 4), epochs=2):
        net.eval()
    assert modes == [True] * 4


class Alarm:
    """A view that must not be called."""

    keeps_nodes: ClassVar[bool] = True

    def __call__(self, g: Graph) -> Graph:
        raise AssertionError("embed called a view")


@pytest.mark.parametrize("method", ["graphcl", "joao"])
def test_embed_calls_no_view(method: str) -> None:
    net = objective(method, views=(Alarm(), Alarm()))
    with pytest.raises(AssertionError, match="called a view"):
        net(many(4))
    assert embed(net.encoder, many(4), level="graph").shape == (4, 20)


@pytest.mark.parametrize(
    ("method", "options"),
    [("graphcl", {"views": (Identity(), Identity())}), ("simgrace", {"eta": 0.0}), ("joao", {"views": (Identity(),)}), ("mvgrl", {})],
)
def test_order_of_graphs_does_not_matter(method: str, options: dict[str, object]) -> None:
    g = double(many())
    net = objective(method, **options).double()
    order = torch.randperm(16, generator=torch.Generator().manual_seed(1))
    assert net(g).item() == pytest.approx(net(g.keep_graphs(order)).item(), abs=1e-9)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: GraphCL(encoder(), (Identity(),)), "views must be two augmentations, got 1"),  # type: ignore[arg-type]
        (lambda: objective("graphcl", tau=0.0), "tau must be positive, got 0"),
        (lambda: objective("graphcl", chunk=0), "chunk must be at least 1 or None, got 0"),
        (lambda: objective("simgrace", eta=-1.0), "eta must be 0 or more, got -1"),
        (lambda: objective("simgrace", tau=-1.0), "tau must be positive, got -1"),
        (lambda: objective("joao", gamma=-1.0), "gamma must be 0 or more, got -1"),
        (lambda: objective("joao", tau=0), "tau must be positive, got 0"),
        (lambda: objective("joao", projectors="none"), "projectors must be 'shared' or 'per-augmentation', got 'none'"),
        (lambda: objective("mvgrl", chunk=0), "chunk must be at least 1 or None, got 0"),
        (lambda: MVGRL(encoder()), "encoder must be a MultiView of two views, got GNN"),  # type: ignore[arg-type]
        (lambda: objective("adgcl", temperature=0.0), "temperature must be positive, got 0"),
        (lambda: objective("adgcl", tau=0.0), "tau must be positive, got 0"),
        (lambda: objective("adgcl", reg_lambda=-1.0), "reg_lambda must be 0 or more, got -1"),
        (lambda: ADGCL(GraphSAGE(3, [4, 4], aggregation="max")), "encoder must use edge weights.* sage with aggregation 'max' has no use"),
        (lambda: MultiView([encoder()], (Identity(), Identity())), "views must be one for each encoder, got 2 views and 1 encoders"),  # type: ignore[list-item]
        (lambda: MultiView([GCN(3, [4]), GCN(3, [5])], (Identity(),) * 2), r"the same widths, got \[4\] and \[5\]"),
        (lambda: MultiView([GCN(3, [4])], (DropNodes(0.1),)), "views must keep all nodes"),
    ],
)
def test_bad_arguments_are_named(make: Callable[[], object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()


# ---------------------------------------------------------------------- GraphCL


@pytest.mark.parametrize(("decoupled", "symmetric"), [(True, False), (True, True), (False, True)])
def test_graphcl_is_the_contrast_of_projections(decoupled: bool, symmetric: bool) -> None:
    g, view = double(many()), DropEdges(1.0)
    net = GraphCL(encoder(), (Identity(), view), decoupled=decoupled, symmetric=symmetric).double()  # type: ignore[arg-type]
    z1, z2 = (net.projector(net.encoder.pool(net.encoder(part), part)) for part in (g, view(g)))  # type: ignore[operator]
    expected = contrast(z1.detach(), z2.detach(), 0.2, intra=False, decoupled=decoupled, symmetric=symmetric)
    assert net(g).item() == pytest.approx(expected, abs=1e-9)


def test_dropped_nodes_are_not_pooled() -> None:
    """What a node carries that the view drops is not in the embedding."""
    g, view = double(many(4)), DropNodes(0.5, exact=True)
    net = GraphCL(encoder(norm="none"), (Identity(), view)).double()  # type: ignore[arg-type]
    embeddings = []
    for shift in (0, 100):
        torch.manual_seed(0)
        gone = torch.ones(g.num_nodes, dtype=torch.float64).index_fill_(0, view(g).node_ids, 0)
        torch.manual_seed(0)
        embeddings.append(net.graphs(view(g.with_x(g.dense_x() + shift * gone[:, None]))))
    close(*embeddings)


# ---------------------------------------------------------------------- SimGRACE


def test_no_noise_gives_two_equal_views() -> None:
    g = double(many())
    net = objective("simgrace", eta=0.0).double()
    z = net.projector(net.graphs(g))
    assert net(g).item() == pytest.approx(info_nce(z, z, tau=0.2, decoupled=True, symmetric=False).item(), abs=1e-10)


def test_noise_is_as_large_as_each_tensor_spreads() -> None:
    torch.manual_seed(0)
    net = GIN(40, [300], mlp_norm=True)
    state = perturbed(net, 0.5)
    assert set(state) == {name for name, _ in [*net.named_parameters(), *net.named_buffers()]}
    for name, p in net.named_parameters():
        noise = state[name] - p
        if p.numel() > 1 and p.std() > 0:
            assert noise.std().item() == pytest.approx(0.5 * p.std().item(), rel=0.1)
        else:
            assert not noise.any(), f"{name} has no spread"
    assert not any(buffer is state[name] for name, buffer in net.named_buffers())


def test_the_noisy_pass_moves_nothing() -> None:
    """Neither weights nor running statistics: those are of one clean pass."""
    g, net = many(), objective("simgrace", eta=3.0)
    other = copy.deepcopy(net)
    weights = {name: p.clone() for name, p in net.named_parameters()}
    net.train()(g)
    other.train().graphs(g)
    for name, buffer in other.encoder.named_buffers():
        assert torch.equal(buffer, dict(net.encoder.named_buffers())[name]), name
    assert all(torch.equal(p, weights[name]) for name, p in net.named_parameters())


@pytest.mark.parametrize("readout", ["sum", "attention", "set2set"])
def test_the_readout_is_perturbed_too(readout: str) -> None:
    g, net = many(4), encoder(readout=readout)
    call = torch.func.functional_call
    state = {f"encoder.{name}": value for name, value in net.state_dict().items()}
    close(call(Pooled(net), state, (g,)), net.pool(net(g), g))  # type: ignore[operator]
    if readout != "sum":
        own = [name for name in state if name.startswith("encoder.readout") and state[name].numel() > 1]
        changed = {**state, **{name: state[name] + 1 for name in own}}
        assert not torch.equal(call(Pooled(net), changed, (g,)), net.pool(net(g), g))  # type: ignore[operator]


@pytest.mark.parametrize("detach", [True, False])
def test_the_noisy_side_takes_no_gradient(detach: bool) -> None:
    g = double(many())
    net = objective("simgrace", graphs.F, "layer", eta=0.5, detach=detach).double()
    torch.manual_seed(7)
    net(g).backward()
    torch.manual_seed(7)
    state = perturbed(net.encoder, 0.5)
    noisy = net.projector(torch.func.functional_call(Pooled(net.encoder), {f"encoder.{n}": p for n, p in state.items()}, (g,)))
    clean = net.projector(net.graphs(g))
    loss = info_nce(noisy.detach() if detach else noisy, clean, tau=0.2, decoupled=True, symmetric=False)
    wanted = torch.autograd.grad(loss, list(net.parameters()))
    for p, want in zip(net.parameters(), wanted, strict=True):
        close(p.grad, want, 1e-9)  # type: ignore[arg-type]


# ---------------------------------------------------------------------- JOAO


def bisected(b: Tensor) -> Tensor:
    """The projection as the paper finds it: mu by halving until what is left sums to one."""
    low, high = float(b.min()) - 1, float(b.max())
    for _ in range(200):
        mu = (low + high) / 2
        low, high = (mu, high) if (b - mu).clamp(min=0).sum() > 1 else (low, mu)
    return (b - mu).clamp(min=0)


def test_projection_equals_bisection() -> None:
    generator = torch.Generator().manual_seed(0)
    for k in (1, 2, 5, 9):
        for scale in (0.01, 1.0, 30.0):
            b = scale * torch.randn(k, dtype=torch.float64, generator=generator)
            close(to_simplex(b), bisected(b), 1e-9)


def test_projection_is_the_nearest_point_and_leaves_the_simplex_alone() -> None:
    torch.manual_seed(0)
    points = torch.distributions.Dirichlet(torch.ones(5, dtype=torch.float64)).sample((500,))
    for p in points[:20]:
        close(to_simplex(p), p, 1e-12)
    close(to_simplex(torch.eye(5)[2]), torch.eye(5)[2])
    b = torch.randn(5, dtype=torch.float64)
    mine = to_simplex(b)
    assert float(mine.sum()) == pytest.approx(1)
    assert (mine >= 0).all()
    assert (mine - b).norm() <= (points - b).norm(dim=1).min()
    close(to_simplex(b + 3), mine, 1e-12)  # the same loss on all changes nothing


@pytest.mark.parametrize("gamma", [0.0, 0.1, 1.0])
def test_probabilities_climb_the_losses(gamma: float) -> None:
    net = objective("joao", gamma=gamma)
    losses = torch.tensor([0.3, 0.1, 0.25, 0.2, 0.0])
    net.loss = lambda g, choice: losses[choice[0]]  # type: ignore[assignment, method-assign]
    p = torch.full((5,), 0.2)
    for epoch in range(4):
        net(many(4))
        net.after_epoch((epoch + 1) / 4)
        p = bisected((p + losses - gamma * (p - 0.2)).double()).float()
        close(net.probabilities, p, 1e-5)
    assert net.probabilities.argmax() == 0


def test_an_even_choice_stays_where_all_are_equally_hard() -> None:
    net = objective("joao", views=(Identity(),) * 4)
    net(many(6))
    net.after_epoch(1.0)
    close(net.probabilities, torch.full((4,), 0.25), 1e-5)


def test_measuring_moves_nothing_but_the_probabilities() -> None:
    net = objective("joao").train()
    net(many()).backward()
    before = {name: value.clone() for name, value in net.state_dict().items()}
    grads = [None if p.grad is None else p.grad.clone() for p in net.parameters()]
    net.after_epoch(0.5)
    moved = [name for name, value in net.state_dict().items() if not torch.equal(value, before[name])]
    assert moved == ["probabilities"]
    assert all(a is None or torch.equal(a, p.grad) for a, p in zip(grads, net.parameters(), strict=True))
    after = net.probabilities.clone()
    net.after_epoch(0.5)  # nothing new was seen
    assert torch.equal(net.probabilities, after)
    assert net.last is None


def test_training_calls_after_each_epoch() -> None:
    calls: list[object] = []

    class Listening(JOAO):
        def after_step(self, progress: float) -> None:
            calls.append("step")

        def after_epoch(self, progress: float) -> None:
            calls.append(progress)

    fit(Listening(encoder(), VIEWS), GraphBatches(many(8), 4), epochs=2)  # type: ignore[arg-type]
    assert calls == ["step", "step", 0.5, "step", "step", 1.0]


def test_draws_follow_the_probabilities() -> None:
    net = objective("joao", views=(Identity(), DropEdges(1.0), MaskFeatures(1.0, mode="node"))).eval()
    seen: list[Tensor] = []
    keep = net.loss
    net.loss = lambda g, choice: seen.append(choice) or keep(g, choice)  # type: ignore[assignment, method-assign, func-returns-value]
    net.probabilities.copy_(torch.tensor([0.0, 1.0, 0.0]))
    g = many(8)
    z1, z2 = (net.projectors[0](net.graphs(part)) for part in (g, DropEdges(1.0)(g)))
    close(net(g), info_nce(z1, z2, tau=0.2, decoupled=True, symmetric=False), 1e-5)
    net.probabilities.copy_(torch.tensor([0.5, 0.25, 0.25]))
    for _ in range(40):
        net(g)
    share = torch.bincount(torch.cat(seen[1:]), minlength=3) / 320
    close(share, net.probabilities, 0.1)


def test_each_augmentation_may_have_its_own_projector() -> None:
    net = objective("joao", projectors="per-augmentation")
    assert len(net.projectors) == 5
    net.probabilities.copy_(torch.eye(5)[3])
    net(many(8)).backward()
    assert [any(p.grad is not None for p in head.parameters()) for head in net.projectors] == [False, False, False, True, False]
    fit(net, GraphBatches(many(8), 4), epochs=2)


# ---------------------------------------------------------------------- MVGRL


def test_mvgrl_is_both_cross_directions() -> None:
    g = double(many(5))
    net = objective("mvgrl").double()
    h = [part(view(g)) for part, view in zip(net.encoder.encoders, net.encoder.views, strict=True)]
    s = [net.encoder.summary(part.pool(nodes, g)) for part, nodes in zip(net.encoder.encoders, h, strict=True)]
    u = [net.local(part[:, -8:]) for part in h]
    total = 0.0
    for nodes, sums in ((u[0], s[1]), (u[1], s[0])):
        for i, own in enumerate(g.graph_ids.tolist()):
            for k in range(5):
                score = nodes[i] @ sums[k]
                if k == own:
                    total -= float(math.log(2) - F.softplus(-score).detach()) / g.num_nodes
                else:
                    total += float(F.softplus(score).detach() - math.log(2)) / (g.num_nodes * 4)
    assert net(g).item() == pytest.approx(total, abs=1e-9)
    assert objective("mvgrl", chunk=7).double()(g).item() == pytest.approx(total, abs=1e-9)


def test_embeddings_are_the_sum_of_both_views() -> None:
    g = many(6)
    net = two_views().eval()
    first, second = net.encoders
    diffused = Diffuse("ppr", alpha=0.2)(g)
    h1, h2 = first(g), second(diffused)
    close(net(g), torch.cat([h1, h2], 1), 1e-6)
    assert (net.out_channels, net.graph_channels) == (40, 8)
    z = embed(net, g, level="graph")
    close(z, net.summary(first.pool(h1, g)) + net.summary(second.pool(h2, g)), 1e-5)
    close(z, torch.cat([embed(net, g.keep_graphs(torch.tensor([k])), level="graph") for k in range(6)]), 1e-4)


@pytest.mark.parametrize(("act", "linear"), [("relu", Linear), ("prelu", nn.Linear)])
def test_projection_has_three_layers_and_a_shortcut(act: str, linear: type[nn.Module]) -> None:
    mlp, x = ShortcutMLP(5, 3, act=act, linear=linear).double(), torch.randn(4, 5, dtype=torch.float64)
    layers = [part for part in mlp.block if isinstance(part, linear)]
    assert len(layers) == 3
    h = x
    for layer in layers:
        h = layer(h)
        h = h.clamp(min=0) + (0.25 if act == "prelu" else 0) * h.clamp(max=0)
    close(mlp(x), h + mlp.shortcut(x))
    assert ShortcutMLP(6)(torch.zeros(2, 6)).shape == (2, 6)


def test_an_encoder_of_two_views_is_built_again_from_its_record() -> None:
    recipe = find_recipe("mvgrl", "mutag")
    config = json.loads(json.dumps(encoder_config(recipe, graphs.F)))
    first, second = (build(config).eval() for _ in range(2))
    assert isinstance(first, MultiView)
    assert [type(part).__name__ for part in first.views] == ["Identity", "Diffuse"]
    g = many(4)
    same_state_same_output(first, second, lambda net: net(g))


# ---------------------------------------------------------------------- AD-GCL


def test_both_directions_share_a_weight() -> None:
    for g in (many(), graphs.batch(), graphs.with_loops(), graphs.with_parallel_edges()):
        w = objective("adgcl", g.num_features).edge_weights(g)
        assert w.shape == (g.num_edges,)
        assert ((w > 0) & (w < 1)).all()
        assert torch.equal(w, w[g.reverse])
    g = many()
    w = objective("adgcl").edge_weights(g)
    assert w.unique().numel() == g.num_edges // 2, "each pair has a draw of its own"
    assert objective("adgcl").edge_weights(graphs.directed()).unique().numel() == graphs.directed().num_edges


def test_share_dropped_equals_its_loop() -> None:
    g = graphs.batch()
    w = torch.rand(g.num_edges, dtype=torch.float64)
    shares = [(1 - w[g.graph_ids[g.edge_index[1]] == k]).mean().item() for k in range(5) if k in g.graph_ids[g.edge_index[1]].tolist()]
    assert dropped(w, g).item() == pytest.approx(sum(shares) / len(shares), abs=1e-12)
    assert dropped(torch.empty(0), graphs.no_edges()).item() == 0


def contrast_of(net: Objective, g: Graph, seed: int) -> tuple[float, float]:
    """The contrast and the share dropped under one draw."""
    torch.manual_seed(seed)
    with torch.no_grad():
        loss = net(g).item()
    torch.manual_seed(seed)
    with torch.no_grad():
        return loss, dropped(net.edge_weights(g), g).item()  # type: ignore[operator]


@pytest.mark.parametrize("seed", range(3))
def test_the_encoder_goes_down_and_the_augmenter_up(seed: int) -> None:
    g = double(many())
    net = objective("adgcl", graphs.F, "layer", reg_lambda=0.0).double()
    before = contrast_of(net, g, seed)[0]
    torch.manual_seed(seed)
    loss = net(g)
    names, params = zip(*net.named_parameters(), strict=True)
    slopes = torch.autograd.grad(loss, params)
    for augmenter in (False, True):
        moved = copy.deepcopy(net)
        with torch.no_grad():
            for name, p, slope in zip(names, moved.parameters(), slopes, strict=True):
                if name.startswith(("augmenter", "scorer")) == augmenter:
                    p -= 1e-4 * slope
        after = contrast_of(moved, g, seed)[0]
        assert (after > before) == augmenter, (before, after)


def test_the_price_keeps_edges() -> None:
    g = double(many())
    net = objective("adgcl", graphs.F, "layer", reg_lambda=1e4).double()
    loss, share = contrast_of(net, g, 0)
    torch.manual_seed(0)
    value = net(g)
    assert value.item() == pytest.approx(loss), "the price is not part of the value"
    params = [p for name, p in net.named_parameters() if name.startswith(("augmenter", "scorer"))]
    slopes = torch.autograd.grad(value, params)
    with torch.no_grad():
        for p, slope in zip(params, slopes, strict=True):
            p -= 1e-7 * slope
    assert contrast_of(net, g, 0)[1] < share
    trained = objective("adgcl", reg_lambda=50.0)
    start = contrast_of(trained, many(), 0)[1]
    fit(trained, GraphBatches(many(), 16), epochs=15, lr=0.03)
    assert contrast_of(trained, many(), 0)[1] < 0.5 * start


def test_gradients_of_the_encoder_are_those_of_the_contrast() -> None:
    """The price does not reach the encoder, nor does the contrast's own sign turn for it."""
    g = double(many(6))
    net = objective("adgcl", graphs.F, "layer").double()
    own = [p for name, p in net.named_parameters() if not name.startswith(("augmenter", "scorer"))]
    torch.manual_seed(0)
    slopes = torch.autograd.grad(net(g), own)
    torch.manual_seed(0)
    view = g.with_weights(net.edge_weights(g).detach())  # type: ignore[operator]
    loss = info_nce(net.projector(net.graphs(g)), net.projector(net.graphs(view)), tau=0.2, decoupled=True)
    for a, b in zip(slopes, torch.autograd.grad(loss, own), strict=True):
        close(a, b, 1e-10)


def test_soft_weights_multiply_those_there() -> None:
    g = double(graphs.batch())
    net = objective("adgcl", g.num_features, "layer").double()
    torch.manual_seed(0)
    value = net(g)
    torch.manual_seed(0)
    view = g.with_weights(net.edge_weights(g) * g.weights)  # type: ignore[operator]
    z1, z2 = (net.projector(net.graphs(part)) for part in (g, view))
    assert value.item() == pytest.approx(info_nce(z1, z2, tau=0.2, decoupled=True).item(), abs=1e-10)


KINDS: dict[str, Callable[[], nn.Module]] = {
    "gcn": lambda: GCN(graphs.F, [5, 4], norm="none", act="tanh"),
    "sage": lambda: GraphSAGE(graphs.F, [5, 4], norm="none", act="tanh"),
    "gin": lambda: GIN(graphs.F, [5, 4], norm="none", act="tanh"),
    "gat": lambda: GAT(graphs.F, [4, 4], heads=2, norm="none", act="tanh"),
    "gine": lambda: GINE(graphs.F, [5, 4], edge_channels=3, norm="none", act="tanh"),
    "mpnn": lambda: MPNN(graphs.F, [4, 4], edge_channels=3, edge_hidden=5, act="tanh"),
}


@pytest.mark.parametrize("symmetric", [True, False])
@pytest.mark.parametrize("kind", KINDS)
def test_encoders_are_differentiable_in_edge_weights(kind: str, symmetric: bool) -> None:
    torch.manual_seed(0)
    g, net = double(graphs.with_attributes()), KINDS[kind]().double()
    assert g.reverse is not None
    pair = torch.minimum(torch.arange(g.num_edges), g.reverse) if symmetric else torch.arange(g.num_edges)
    w = (torch.rand(g.num_edges, dtype=torch.float64) / 2 + 0.25).requires_grad_()
    assert torch.autograd.gradcheck(lambda w: net(g.with_weights(w[pair])), (w,), atol=1e-5)


@pytest.mark.parametrize("kind", ["batch", "with_loops", "weighted_by_direction", "directed"])
def test_other_weights_are_those_of_a_graph_made_anew(kind: str) -> None:
    g = graphs.GRAPHS[kind]()
    g.normalised(), g.averaged(), g.summed(), g.looped()
    w = torch.rand(g.num_edges)
    ours = g.with_weights(w)
    fresh = Graph(g.x, g.edge_index, w, g.edge_attr, g.graph_id, g.num_graphs)
    for matrix in ("normalised", "averaged", "summed"):
        assert torch.equal(getattr(ours, matrix)().to_dense(), getattr(fresh, matrix)().to_dense())
    assert ours.has_symmetric_weights == fresh.has_symmetric_weights
    assert ours.pattern is g.pattern


# ---------------------------------------------------------------------- recipes


@pytest.mark.parametrize("method", MAKE)
def test_molecules_have_a_recipe(method: str) -> None:
    recipe = find_recipe(method, "ogbg-molhiv")
    assert recipe.protocol != "tu-svm"
    g = many(6)
    g = side_by_side([g])
    attributes = Graph(g.x, g.edge_index, None, torch.ones(g.num_edges, 4), g.graph_id, g.num_graphs)
    torch.manual_seed(0)
    net = make(method, recipe, graphs.F, 4)
    assert net(attributes).isfinite()


def test_views_follow_the_recipe() -> None:
    numbers = {"strength": 0.3, "subgraph": 0.6, "fill": "mean"}
    parts = {
        "drop-nodes": DropNodes(0.3, exact=True),
        "drop-edges": DropEdges(0.3, exact=True),
        "subgraph": Subgraph(0.6, how="grow"),
        "mask-nodes": MaskFeatures(0.3, mode="node", fill="mean", exact=True),
    }
    assert make_views(GraphViews.model_validate(numbers)) == (Identity(), *parts.values())
    for name, view in parts.items():
        assert make_views(OneView.model_validate({**numbers, "augmentation": name})) == (Identity(), view)
    names = ["drop-nodes", "subgraph", "drop-edges", "mask-nodes"]
    for count in (2, 3, 4):
        recipe = OneView.model_validate({**numbers, "augmentation": f"random{count}", "augmented": "both"})
        first, second = make_views(recipe)
        assert first == second
        assert isinstance(first, RandomChoice)
        assert first.per_graph
        assert set(first.views) == {parts[name] for name in names[:count]}
