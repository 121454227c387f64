"""Objectives: each learns, sends its gradient where it is due, and keeps the promises of its paper."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from math import cos, pi
from typing import ClassVar

import graphs
import pytest
import references
import torch
from checks import close, double, gradients_where_due, loss_falls, same_state_same_output
from torch import Tensor, nn

from graphssl import (
    BGRL,
    CCASSG,
    DGI,
    GCN,
    GIN,
    GRACE,
    METHODS,
    BarlowTwins,
    Compose,
    CorruptionPrediction,
    DropEdges,
    DropNodes,
    Graph,
    GraphSAGE,
    Identity,
    InfoMin,
    MaskFeatures,
    MoCo,
    Objective,
    ShuffleFeatures,
    Subgraph,
    VICReg,
    embed,
    fit,
    side_by_side,
    train,
)
from graphssl.augment import Augmentation
from graphssl.batches import GraphBatches
from graphssl.datasets import contextual_sbm
from graphssl.objectives.base import common_rows
from graphssl.recipes import levels

VIEW = Compose(DropEdges(0.3), MaskFeatures(0.3))
DROPPING = Compose(DropNodes(0.3), MaskFeatures(0.2))


def encoder(features: int = graphs.F, norm: str = "batch", channels: tuple[int, ...] = (16, 8)) -> nn.Module:
    return GCN(features, list(channels), norm=norm)  # type: ignore[arg-type]


MAKE: dict[str, Callable[..., Objective]] = {
    "bgrl": lambda net, view=VIEW, **options: BGRL(net, (view, view), **{"hidden": 16, **options}),
    "cca-ssg": lambda net, view=VIEW, **options: CCASSG(net, (view, view), **options),
    "corruption": lambda net, view=None, **options: CorruptionPrediction(
        net, **{"hidden": 128, "views": (Identity(), ShuffleFeatures() if view is None else view), **options}
    ),
    "dgi": lambda net, view=None, **options: DGI(net, **options),
    "gbt": lambda net, view=VIEW, **options: BarlowTwins(net, (view, view), **options),
    "grace": lambda net, view=VIEW, **options: GRACE(net, (view, view), **{"hidden": 16, **options}),
    "moco": lambda net, view=VIEW, **options: MoCo(net, (view, view), **{"hidden": 16, "queue": 4, **options}),
    "infomin": lambda net, view=VIEW, **options: InfoMin(net, (view, view), **{"hidden": 16, **options}),
    "vicreg": lambda net, view=VIEW, **options: VICReg(net, (view, view), **{"hidden": 12, **options}),
}
each_method = pytest.mark.parametrize("method", MAKE)
each_graph = pytest.mark.parametrize("kind", graphs.GRAPHS)


def objective(method: str, net: nn.Module | None = None, **options: object) -> Objective:
    torch.manual_seed(0)
    return MAKE[method](encoder() if net is None else net, **options)


@pytest.fixture(scope="module")
def sbm() -> Graph:
    return contextual_sbm(120, 3, 16, degree=8, seed=0).graph


# ---------------------------------------------------------------------- laws


def test_every_method_is_here() -> None:
    elsewhere = {"graphmae", "cmc", "dim", "pcl"}  # with tests of their own
    assert {*MAKE} | elsewhere == {method for method in METHODS if "node" in levels(method)}


@pytest.mark.parametrize("norm", ["batch", "layer", "none"])
@each_method
def test_loss_falls(method: str, norm: str, sbm: Graph) -> None:
    loss_falls(objective(method, encoder(16, norm)), sbm)


@each_method
def test_loss_falls_on_several_graphs_with_views_that_drop_nodes(method: str) -> None:
    parts = [contextual_sbm(60, 3, 16, degree=8, seed=k).graph for k in range(3)]
    loss_falls(objective(method, encoder(16, "layer"), view=DROPPING), side_by_side(parts))


@pytest.mark.parametrize("norm", ["batch", "layer"])
@each_method
def test_gradients_go_where_they_are_due(method: str, norm: str, sbm: Graph) -> None:
    gradients_where_due(objective(method, encoder(16, norm)), sbm)


@pytest.mark.parametrize("view", [VIEW, DROPPING, Compose(Subgraph(0.6), DropEdges(0.2))])
@each_graph
@each_method
def test_every_graph_gives_a_finite_loss(method: str, kind: str, view: Augmentation) -> None:
    g = graphs.GRAPHS[kind]()
    if kind == "one_node":
        g = side_by_side([g, g])  # batch norm needs two rows
    net = objective(method, encoder(g.num_features), view=view)
    net.train()
    torch.manual_seed(0)
    for _ in range(3):
        loss = net(g)
        assert loss.shape == ()
        assert loss.isfinite()
        loss.backward()
    assert all(p.grad.isfinite().all() for p in net.parameters() if p.grad is not None)


@each_method
def test_state_round_trip(method: str, sbm: Graph) -> None:
    first, second = objective(method, encoder(16)), MAKE[method](encoder(16))
    fit(first, sbm, epochs=2)

    def run(net: nn.Module) -> Tensor:
        torch.manual_seed(4)
        return net(sbm)  # type: ignore[no-any-return]

    same_state_same_output(first, second, run)


@each_method
def test_train_mode_at_every_step(method: str, sbm: Graph) -> None:
    net = objective(method, encoder(16))
    modes: list[bool] = []
    net.register_forward_pre_hook(lambda module, _: modes.extend(part.training for part in module.modules()))
    for _ in train(net, sbm, epochs=3):
        net.eval()  # as a caller who probes would
    assert len(modes) == 3 * len(list(net.modules()))
    assert all(modes)


class Alarm:
    """A view that must not be called."""

    keeps_nodes: ClassVar[bool] = True

    def __call__(self, g: Graph) -> Graph:
        raise AssertionError("embed called a view")


@each_method
def test_embed_calls_no_view(method: str, sbm: Graph) -> None:
    net = DGI(encoder(16), Alarm()) if method == "dgi" else objective(method, encoder(16), view=Alarm())
    with pytest.raises(AssertionError, match="called a view"):
        net(sbm)
    assert embed(net.encoder, sbm).shape == (120, 8)


@pytest.mark.parametrize("method", [method for method in MAKE if method != "infomin"])  # which sees a hop further, by the weights
def test_only_seeds_enter_the_loss(method: str, sbm: Graph) -> None:
    """A change that no seed's embedding feels changes nothing, and the seeds alone decide."""
    path = double(graphs.path(12))
    net = objective(method, encoder(graphs.F, "none", (8,)).double(), view=Identity()).double()

    def value(g: Graph) -> float:
        return net(g).item()  # type: ignore[no-any-return]

    if method == "dgi":
        net.corruption = Identity()
    few = replace(path, num_seeds=4)  # one layer: rows 0 to 3 see nodes 0 to 4
    x = path.dense_x().clone()
    x[6:] += 5
    assert value(few) == pytest.approx(value(few.with_x(x)), abs=1e-12)
    assert value(few) != pytest.approx(value(path), abs=1e-6)
    x[3] += 5
    assert value(few) != pytest.approx(value(few.with_x(x)), abs=1e-6)
    leaf = path.dense_x().requires_grad_()
    net(few.with_x(leaf)).backward()
    assert leaf.grad is not None
    assert (leaf.grad[5:] == 0).all()
    assert (leaf.grad[:5].abs().sum(1) > 0).all()


def test_seeds_decide_when_batch_norm_joins_the_passes() -> None:
    g = replace(double(graphs.path(12)), num_seeds=4)
    net = DGI(encoder(graphs.F, "batch", (8,)).double(), Identity()).double().eval()  # running statistics: rows are on their own
    h = net.encoder(g)[:4]
    s = h.mean(0, keepdim=True).sigmoid()
    scores = net.discriminator(h, s)
    assert net.one_pass
    assert net(g).item() == pytest.approx(references.bce(scores.detach(), scores.detach()), abs=1e-10)


# ---------------------------------------------------------------------- views that drop nodes


class Only:
    """A view that keeps the nodes it is told to."""

    keeps_nodes: ClassVar[bool] = False

    def __init__(self, *index: int) -> None:
        self.index = torch.tensor(index)

    def __call__(self, g: Graph) -> Graph:
        return g.keep_nodes(self.index)


FIRST, SECOND = Only(0, 1, 2, 4, 5, 7, 9, 11), Only(1, 2, 3, 5, 6, 9, 10)
SHARED = (1, 2, 5, 9)


def rows_of(h: Tensor, view: Only, ids: tuple[int, ...]) -> Tensor:
    """The rows of nodes ``ids``, looked up one by one."""
    return torch.stack([h[view.index.tolist().index(i)] for i in ids])


@pytest.mark.parametrize("num_seeds", [None, 6])
def test_grace_contrasts_the_nodes_that_both_views_kept(num_seeds: int | None) -> None:
    g = replace(double(graphs.undirected()), num_seeds=num_seeds)
    net = GRACE(encoder(norm="none").double(), (FIRST, SECOND), hidden=8, chunk=None).double()
    ids = tuple(i for i in SHARED if num_seeds is None or i < num_seeds)
    z1, z2 = (net.projector(net.encoder(view(g))) for view in (FIRST, SECOND))
    expected = references.info_nce(rows_of(z1, FIRST, ids), rows_of(z2, SECOND, ids), 0.4, intra=True)
    assert net(g).item() == pytest.approx(expected, abs=1e-10)


@pytest.mark.parametrize("num_seeds", [None, 6])
def test_bgrl_predicts_the_nodes_that_both_views_kept(num_seeds: int | None) -> None:
    g = replace(double(graphs.undirected()), num_seeds=num_seeds)
    net = BGRL(encoder(norm="none").double(), (FIRST, SECOND), hidden=8).double()
    ids = tuple(i for i in SHARED if num_seeds is None or i < num_seeds)
    q1, q2 = (net.predictor(net.encoder(view(g))) for view in (FIRST, SECOND))
    t1, t2 = (net.target.copy(view(g)) for view in (FIRST, SECOND))
    expected = references.bootstrap(rows_of(q1, FIRST, ids), rows_of(t2, SECOND, ids))
    expected += references.bootstrap(rows_of(q2, SECOND, ids), rows_of(t1, FIRST, ids))
    assert net(g).item() == pytest.approx(expected, abs=1e-10)


def test_one_view_may_keep_all() -> None:
    g = double(graphs.undirected())
    net = GRACE(encoder(norm="none").double(), (Identity(), SECOND), hidden=8).double()
    z1, z2 = net.projector(net.encoder(g)), net.projector(net.encoder(SECOND(g)))
    assert net(g).item() == pytest.approx(references.info_nce(z1[SECOND.index], z2, 0.4, intra=True), abs=1e-10)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("kind", ["undirected", "batch", "seeded"])
def test_shared_rows_are_the_same_nodes(kind: str, seed: int) -> None:
    torch.manual_seed(seed)
    g = graphs.GRAPHS[kind]()
    a, b = DropNodes(0.4)(g), Subgraph(0.6)(g)
    try:
        rows = common_rows(a, b)
    except ValueError:
        rows = torch.empty(0, dtype=torch.long), torch.empty(0, dtype=torch.long)
    ids_a, ids_b = (h.node_ids[: h.num_seeds].tolist() for h in (a, b))
    assert a.node_ids[rows[0]].tolist() == b.node_ids[rows[1]].tolist()
    assert sorted(a.node_ids[rows[0]].tolist()) == sorted(set(ids_a) & set(ids_b))


def test_views_that_keep_nodes_need_no_matching() -> None:
    for g in (graphs.undirected(), graphs.seeded()):
        assert common_rows(VIEW(g), VIEW(g)) == (slice(None), slice(None))


@pytest.mark.parametrize("method", ["bgrl", "grace"])
def test_views_without_a_common_node_are_named(method: str) -> None:
    net = METHODS[method](encoder(norm="none"), (Only(0, 1), Only(2, 3)))  # type: ignore[call-arg]
    with pytest.raises(ValueError, match="share no node"):
        net(graphs.undirected())


# ---------------------------------------------------------------------- BGRL


def copied_weights(**options: object) -> BGRL:
    """Identical views, identity predictor, target equal to the encoder."""
    torch.manual_seed(0)
    net = BGRL(encoder(norm="batch"), (Identity(), Identity()), target_init="copy", **options)  # type: ignore[arg-type]
    net.predictor = nn.Identity()  # type: ignore[assignment]
    return net


def test_bgrl_of_equals_is_zero() -> None:
    assert copied_weights()(graphs.undirected()).item() == pytest.approx(0, abs=1e-5)


@pytest.mark.parametrize(("turn", "expected"), [(-1.0, 4.0), (1.0, 0.0)])
def test_bgrl_limits(turn: float, expected: float) -> None:
    net = copied_weights()
    net.predictor = nn.Linear(8, 8, bias=False)  # type: ignore[assignment]
    with torch.no_grad():
        net.predictor.weight.copy_(turn * torch.eye(8))
    assert net(graphs.undirected()).item() == pytest.approx(expected, abs=1e-5)


@each_graph
def test_bgrl_range(kind: str) -> None:
    net = objective("bgrl", encoder(norm="layer"))
    assert 0 <= net(graphs.GRAPHS[kind]()).item() <= 4


def test_bgrl_equals_its_equation() -> None:
    g = double(graphs.undirected())
    views = (FIRST, FIRST)
    net = BGRL(encoder(norm="none").double(), views, hidden=8).double()
    q, t = net.predictor(net.encoder(FIRST(g))), net.target.copy(FIRST(g))
    assert net(g).item() == pytest.approx(2 * references.bootstrap(q, t), abs=1e-10)


def test_bgrl_predicts_the_other_view() -> None:
    """Crosswise: the prediction from one view is held against the target of the other, not of its own."""
    g = double(graphs.undirected())
    views = (DropEdges(1.0), MaskFeatures(1.0, mode="node"))
    net = BGRL(encoder(norm="none").double(), views, hidden=8).double()
    for p in net.parameters():
        p.data += 0.1 * torch.randn_like(p)  # biases: masked rows are not zero
    (q1, t1), (q2, t2) = ((net.predictor(net.encoder(v(g))), net.target.copy(v(g))) for v in views)
    assert net(g).item() == pytest.approx(references.bootstrap(q1, t2) + references.bootstrap(q2, t1), abs=1e-10)


def test_target_moves_only_after_a_step(sbm: Graph) -> None:
    net = objective("bgrl", encoder(16))
    assert isinstance(net, BGRL)
    parameters = list(net.target.copy.parameters())
    before = [p.clone() for p in parameters]
    net(sbm).backward()
    assert all(p.grad is None for p in parameters)
    torch.optim.SGD(net.parameters(), 0.1).step()
    assert all(torch.equal(a, b) for a, b in zip(before, parameters, strict=True))
    net.after_step(0.5)
    assert not all(torch.equal(a, b) for a, b in zip(before, parameters, strict=True))


@pytest.mark.parametrize("momentum", [0.0, 0.9, 0.99])
@pytest.mark.parametrize("progress", [1e-9, 0.25, 0.5, 0.9, 1.0])
def test_momentum_rises_to_one(momentum: float, progress: float) -> None:
    net = BGRL(encoder().double(), (VIEW, VIEW), momentum=momentum).double()
    start = [p.clone() for p in net.target.copy.parameters()]
    net.after_step(progress)
    m = 1 - (1 - momentum) * (1 + cos(pi * progress)) / 2
    if progress == 1:
        assert m == 1
    elif progress < 1e-6:
        assert m == pytest.approx(momentum)
    for now, first, theta in zip(net.target.copy.parameters(), start, net.encoder.parameters(), strict=True):
        close(now, references.ema(first, theta, m, 1), 1e-12)  # type: ignore[arg-type]


def test_target_keeps_no_graph() -> None:
    """Not even where the features ask for a gradient: the target's passes cost no memory."""
    g = graphs.undirected()
    net = objective("bgrl")
    assert isinstance(net, BGRL)
    seen: list[bool] = []
    net.target.copy.register_forward_hook(lambda _m, _i, out: seen.append(out.requires_grad))
    net(g.with_x(g.dense_x().requires_grad_())).backward()
    assert seen == [False, False]


def test_target_init() -> None:
    same, other = (BGRL(encoder(), (VIEW, VIEW), target_init=how) for how in ("copy", "reset"))  # type: ignore[arg-type]
    pairs = [list(zip(net.encoder.parameters(), net.target.copy.parameters(), strict=True)) for net in (same, other)]
    assert all(torch.equal(a, b) for a, b in pairs[0])
    assert not all(torch.equal(a, b) for a, b in pairs[1])


@pytest.mark.parametrize("buffers", ["own", "copy"])
def test_target_buffers(buffers: str, sbm: Graph) -> None:
    net = objective("bgrl", encoder(16), target_buffers=buffers)
    assert isinstance(net, BGRL)
    fit(net, sbm, epochs=3)
    pairs = list(zip(net.encoder.named_buffers(), net.target.copy.buffers(), strict=True))
    same = [torch.equal(a, b) for (name, a), b in pairs if "running" in name]
    assert all(same) if buffers == "copy" else not any(same)
    assert all((b != (1 if "var" in name else 0)).any() for (name, _), b in pairs if "running" in name), "own statistics never moved"


# ---------------------------------------------------------------------- GRACE


@pytest.mark.parametrize("intra", [True, False])
@pytest.mark.parametrize("chunk", [None, 5])
def test_grace_equals_its_equation(intra: bool, chunk: int | None) -> None:
    g = double(graphs.undirected())
    views = (DropEdges(1.0), Identity())
    net = GRACE(encoder(norm="none").double(), views, hidden=8, tau=0.3, intra=intra, chunk=chunk).double()
    z1, z2 = (net.projector(net.encoder(v(g))) for v in views)
    assert net(g).item() == pytest.approx(references.info_nce(z1, z2, 0.3, intra=intra), abs=1e-10)


@pytest.mark.parametrize("chunk", [None, 16])
def test_grace_hands_its_chunk_on(chunk: int | None, sbm: Graph) -> None:
    net, sizes = GRACE(encoder(16, "none"), (VIEW, VIEW), hidden=16, chunk=chunk), []
    with torch.autograd.graph.saved_tensors_hooks(lambda t: sizes.append(t.numel()) or t, lambda t: t):
        net(sbm)
    assert (max(sizes) >= (2 * 120) ** 2) == (chunk is None)


# ---------------------------------------------------------------------- DGI


def test_dgi_equals_its_equation() -> None:
    class Reverse:
        keeps_nodes: ClassVar[bool] = True

        def __call__(self, g: Graph) -> Graph:
            return g.with_x(g.dense_x().flip(0))

    g = double(graphs.undirected())
    net = DGI(encoder(norm="none").double(), Reverse()).double()
    nn.init.constant_(net.discriminator.bias, 0.3)
    real, fake = net.encoder(g), net.encoder(Reverse()(g))
    s = real.mean(0).sigmoid()
    w = net.discriminator.weight
    expected = references.bce((real @ w @ s + 0.3).detach(), (fake @ w @ s + 0.3).detach())
    assert net(g).item() == pytest.approx(expected, abs=1e-10)


def test_dgi_summary_takes_the_real_side() -> None:
    """The summary multiplies from the right: ``h^T W s``, with ``W`` far from symmetric."""
    g = double(graphs.undirected())
    net = DGI(encoder(norm="none").double(), Identity()).double()
    with torch.no_grad():
        net.discriminator.weight.copy_(torch.triu(torch.ones(8, 8)) * torch.arange(8.0)[:, None])
    h = net.encoder(g)
    scores = (h @ net.discriminator.weight @ h.mean(0).sigmoid()).detach()
    assert net(g).item() == pytest.approx(references.bce(scores, scores), abs=1e-9)


@pytest.mark.parametrize("kind", ["undirected", "batch", "sparse", "weighted", "sparse_batch"])
@pytest.mark.parametrize("norm", ["batch", "none", "layer", "graphnorm"])
def test_dgi_without_corruption_cannot_tell(kind: str, norm: str) -> None:
    """Real and corrupt rows go through the same statistics: equal inputs have equal scores, and the loss cannot pass 2 log 2."""
    g = double(graphs.GRAPHS[kind]())
    net = DGI(encoder(norm=norm).double(), Identity()).double().train()
    scores: list[Tensor] = []
    net.discriminator.register_forward_hook(lambda _m, _i, out: scores.append(out.detach()))
    loss = net(g)
    assert len(scores) == 2
    close(scores[0], scores[1])
    assert loss.item() >= 2 * math.log(2) - 1e-9


def test_dgi_batch_norm_sees_both_halves_at_once() -> None:
    g = double(graphs.undirected())
    net = DGI(encoder(norm="batch", channels=(8,)).double(), MaskFeatures(1.0)).double().train()
    net(g)
    norm = net.encoder.blocks[0].norm
    assert norm.num_batches_tracked == 1
    conv = net.encoder.blocks[0].conv
    both = torch.cat([conv(g.x, g), conv(torch.zeros_like(g.x), g)])
    close(norm.running_mean, 0.1 * both.mean(0))


@pytest.mark.parametrize("norm", ["none", "batch"])
def test_dgi_gives_each_graph_its_summary(norm: str) -> None:
    parts = [double(graphs.undirected(seed=k)) for k in range(3)]
    net = DGI(encoder(norm=norm).double(), Identity()).double().eval()
    scores = torch.cat([net.discriminator(h, h.mean(0, keepdim=True).sigmoid()) for h in map(net.encoder, parts)]).detach()
    assert net(side_by_side(parts)).item() == pytest.approx(references.bce(scores, scores), abs=1e-9)


def test_one_pass_only_where_batch_norm_asks() -> None:
    assert DGI(encoder(norm="batch")).one_pass
    assert not DGI(encoder(norm="layer")).one_pass


# ---------------------------------------------------------------------- every kind of data


@each_method
def test_the_same_on_one_graph_several_graphs_and_an_iterable(method: str) -> None:
    parts = [contextual_sbm(40, 2, 16, degree=6, seed=k).graph for k in range(3)]
    for data in (parts[0], side_by_side(parts), parts, GraphBatches(parts, 2)):
        history = fit(objective(method, GraphSAGE(16, [8, 8], norm="graph", skip="dense")), data, epochs=2)
        assert all(math.isfinite(loss) for loss in history.loss)


@each_method
def test_graph_embeddings_are_means(method: str) -> None:
    net = objective(method, GIN(graphs.F, [8]))
    net.eval()
    g = graphs.batch()
    close(net.graphs(g), references.means(net.encoder(g).detach(), g.graph_ids.tolist(), g.num_graphs), 1e-5)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: BGRL(encoder(), (VIEW, VIEW), momentum=1.5), ["momentum", r"\[0, 1\]", "1.5"]),
        (lambda: BGRL(encoder(), (VIEW, VIEW), target_init="zero"), ["target_init", "zero", "reset", "copy"]),
        (lambda: BGRL(encoder(), (VIEW, VIEW), target_buffers="zero"), ["buffers", "zero", "own", "copy"]),
        (lambda: BGRL(encoder(), (VIEW,)), ["views", "two", "1"]),
        (lambda: BGRL(encoder(), (VIEW, 3)), ["views", "3"]),
        (lambda: GRACE(encoder(), (VIEW, VIEW, VIEW)), ["views", "two", "3"]),
        (lambda: GRACE(encoder(), (VIEW, DropEdges)), ["views", "DropEdges"]),
        (lambda: GRACE(encoder(), (VIEW, VIEW), tau=0), ["tau", "positive", "0"]),
        (lambda: GRACE(encoder(), (VIEW, VIEW), chunk=0), ["chunk", "at least 1", "0"]),
    ],
)
def test_bad_arguments_are_named(make: Callable[[], Objective], words: list[str]) -> None:
    for word in words:
        with pytest.raises(ValueError, match=word):
            make()


def test_an_objective_without_a_loss_says_so() -> None:
    with pytest.raises(NotImplementedError, match="Objective must write forward"):
        Objective()(graphs.undirected())
