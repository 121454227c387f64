"""Objectives of information: CMC over any number of views, Deep InfoMax with its prior, contrast with prediction; and their views."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from itertools import permutations
from typing import Any

import graphs
import pytest
import torch
import torch.nn.functional as F
from checks import close, double, gradients_where_due, loss_falls, same_state_same_output
from scipy.stats import kstest
from torch import Tensor, nn

from graphssl import (
    CMC,
    DIM,
    GCN,
    GIN,
    GRACE,
    MLP,
    PCL,
    Compose,
    ConnectSimilar,
    Diffuse,
    DropEdges,
    Graph,
    GraphMAE,
    Identity,
    InfoGraph,
    MaskFeatures,
    MultiView,
    Objective,
    embed,
    fit,
    seeded,
    side_by_side,
    train,
)
from graphssl.building import make
from graphssl.datasets import contextual_sbm
from graphssl.encoders import build
from graphssl.losses import bce, info_nce
from graphssl.multiview import structure
from graphssl.recipes import find_recipe
from graphssl.recipes.cmc import DEFAULT as CMC_DEFAULT
from graphssl.recipes.cmc import CMCRecipe

VIEWS = (Identity(), Diffuse("ppr", alpha=0.2), ConnectSimilar(3), Identity())
AUGMENTED = Compose(DropEdges(0.3), MaskFeatures(0.3))


def multi(features: int = graphs.F, num: int = 3, merge: str = "cat", **options: Any) -> MultiView:
    parts = [GCN(features, [8, 6], **options) for _ in range(min(num, 3))] + [MLP(features, [8, 6], **options)] * (num == 4)
    return MultiView(parts, VIEWS[:num], merge=merge, project=False)  # type: ignore[arg-type]


def gin(features: int = graphs.F, **options: Any) -> nn.Module:
    return GIN(features, [6, 4], **{"act": "relu", "order": "act-norm", "jk": "cat", "readout": "sum", **options})


def cora_like() -> Graph:
    return contextual_sbm(60, 3, 16, degree=6, seed=0).graph


def batch() -> Graph:
    return side_by_side([graphs.undirected(seed=k) for k in range(6)])


MAKE: dict[str, tuple[Callable[..., Objective], Callable[[], Graph]]] = {
    "cmc": (lambda f=16, **o: CMC(multi(f, 4), **{"hidden": 8, "tau": 0.2, **o}), cora_like),
    "cmc core": (lambda f=16, **o: CMC(multi(f, 3, norm="none"), **{"hidden": 8, "pairs": "core", **o}), cora_like),
    "cmc mean": (lambda f=16, **o: CMC(multi(f, 3, "mean"), **{"hidden": 8, **o}), cora_like),
    "cmc graphs": (lambda f=graphs.F, **o: CMC(multi(f, 3), **{"hidden": 8, "level": "graph", **o}), batch),
    "dim": (lambda f=16, **o: DIM(GCN(f, [8]), **{"alpha": 0.5, "hidden": 8, **o}), cora_like),
    "dim global": (lambda f=16, **o: DIM(GCN(f, [8], norm="none"), **{"alpha": 1, "beta": 0, "prior": "normal", **o}), cora_like),
    "dim graphs": (lambda f=graphs.F, **o: DIM(gin(f), **{"alpha": 0.5, "level": "graph", "hidden": 8, **o}), batch),
    "pcl": (
        lambda f=16, **o: PCL(GCN(f, [8, 8]), (AUGMENTED,) * 2, **{"hidden": 8, "reconstruction": 1.0, "predict_first": 0, **o}),
        cora_like,
    ),
}
each_method = pytest.mark.parametrize("method", MAKE)


def objective(method: str, **options: Any) -> tuple[Objective, Graph]:
    torch.manual_seed(0)
    new, graph = MAKE[method]
    return new(**options), graph()


# ---------------------------------------------------------------------- laws of every objective


@each_method
def test_loss_falls(method: str) -> None:
    net, g = objective(method, **({"gamma": 0.01} if method.startswith("dim") else {}))
    loss_falls(net, g, lr=1e-2)


@each_method
def test_gradients_go_where_they_are_due(method: str) -> None:
    gradients_where_due(*objective(method))


@each_method
def test_state_round_trip(method: str) -> None:
    first, g = objective(method)
    second = MAKE[method][0]()
    fit(first, g, epochs=2)

    def run(net: nn.Module) -> Tensor:
        with seeded(4):
            return net(g)  # type: ignore[no-any-return]

    same_state_same_output(first, second, run)


@each_method
def test_stopped_and_gone_on_with_is_the_same(method: str) -> None:
    def steps(net: Objective, epochs: int = 6) -> Any:
        return train(net, MAKE[method][1](), epochs=epochs, lr=1e-3, seed=3)

    whole = steps(objective(method)[0])
    losses = [float(step.loss) for step in whole]
    part = steps(objective(method)[0])
    for _ in range(3):
        next(part)
    tensors, record = part.state()
    again = steps(objective(method)[0])
    again.restore({name: value.clone() for name, value in tensors.items()}, record)
    assert [float(step.loss) for step in again] == losses[3:]


@pytest.mark.parametrize("kind", ["undirected", "with_isolated_nodes", "directed", "sparse", "batch"])
@each_method
def test_every_graph_gives_a_finite_loss(method: str, kind: str) -> None:
    g = graphs.GRAPHS[kind]()
    if "graphs" in method and g.num_graphs == 1:
        g = side_by_side([g, g, g])
    torch.manual_seed(0)
    net = MAKE[method][0](g.num_features)
    loss = net(g)
    loss.backward()
    assert loss.shape == ()
    assert loss.isfinite()
    assert all(p.grad.isfinite().all() for p in net.parameters() if p.grad is not None)


@pytest.mark.parametrize("method", ["cmc", "dim", "pcl"])
def test_only_seeds_count(method: str) -> None:
    """Rows behind the seeds are context: their projections get no loss of their own."""
    net, g = objective(method)
    cut = Graph(g.x, g.edge_index, num_seeds=20)
    assert net.nodes(cut, net.encoder.encoders[0] if method == "cmc" else None).size(0) == 20
    assert net(cut).isfinite()


# ---------------------------------------------------------------------- CMC


def of_pair(net: CMC, g: Graph, a: int, b: int) -> Tensor:
    z = [net.projectors[k](net.encoder.encoders[k](net.encoder.views[k](g))) for k in (a, b)]
    return info_nce(*z, tau=net.tau)


@pytest.mark.parametrize("chunk", [None, 7])
def test_two_views_are_symmetric_info_nce(chunk: int | None) -> None:
    torch.manual_seed(0)
    net, g = CMC(multi(16, 2, norm="none"), hidden=8, chunk=chunk).double(), double(cora_like())
    close(net(g), of_pair(net, g, 0, 1))
    core = copy.deepcopy(net)
    core.pairs = "core"
    close(core(g), net(g))


def test_all_pairs_are_the_core_and_the_rest() -> None:
    torch.manual_seed(0)
    net, g = CMC(multi(16, 3, norm="none"), hidden=8).double(), double(cora_like())
    full = net(g)
    net.pairs = "core"
    close(full, net(g) + of_pair(net, g, 1, 2))
    close(net(g), of_pair(net, g, 0, 1) + of_pair(net, g, 0, 2))


def test_the_order_of_views_does_not_matter_where_all_pairs_count() -> None:
    torch.manual_seed(0)
    net, g = CMC(multi(16, 3, norm="none"), hidden=8).double(), double(cora_like())
    value = net(g)
    for order in permutations(range(3)):
        other = copy.deepcopy(net)
        other.projectors = nn.ModuleList(net.projectors[k] for k in order)
        other.encoder.encoders = nn.ModuleList(net.encoder.encoders[k] for k in order)
        other.encoder.views = tuple(net.encoder.views[k] for k in order)
        close(other(g), value)


def test_each_encoder_sees_its_view_and_the_embedding_holds_all() -> None:
    torch.manual_seed(0)
    for merge in ("cat", "mean"):
        encoder, g = multi(graphs.F, 4, merge).double().eval(), double(graphs.undirected())
        parts = [part(view(g)) for part, view in zip(encoder.encoders, encoder.views, strict=True)]
        h = encoder(g)
        close(h, torch.cat(parts, 1) if merge == "cat" else sum(parts) / 4)  # type: ignore[arg-type]
        assert encoder.out_channels == h.size(1)
        assert encoder.pool(h, g).shape == (1, encoder.graph_channels) == (1, h.size(1))
        close(embed(encoder.float(), graphs.undirected()), h.float(), 1e-4)


def test_layer_by_layer_is_the_whole() -> None:
    torch.manual_seed(0)
    encoder, g = multi(16, 4), cora_like()
    close(embed(encoder, g, chunk=7), embed(encoder, g), 1e-5)
    with pytest.raises(ValueError, match="chunk can only be given where nodes are embedded layer by layer"):
        embed(multi(16, 2, "mean"), g, chunk=7)


def test_the_features_view_sees_no_edge() -> None:
    net = make("cmc", CMC_DEFAULT.model_copy(update={"structures": ("adjacency", "features"), "channels": (4,)}), 16)
    g = cora_like()
    bare = g.with_edges(torch.empty(2, 0, dtype=torch.long))
    net.eval()
    first, second = (net.encoder(view).chunk(2, 1) for view in (g, bare))
    assert torch.equal(first[1], second[1])
    assert not torch.equal(first[0], second[0])


def test_an_encoder_of_structures_is_built_again() -> None:
    recipe = CMCRecipe(structures=("adjacency", "ppr", "heat", "similar", "features"), channels=(4,), neighbours=3, top_k=5, time=2.0)
    net = make("cmc", recipe, 16)
    assert [type(view).__name__ for view in net.encoder.views] == ["Identity", "Diffuse", "Diffuse", "ConnectSimilar", "Identity"]
    assert net.encoder.views[1:4] == (Diffuse("ppr", 0.2, 2.0, 5), Diffuse("heat", 0.2, 2.0, 5), ConnectSimilar(3))
    again = build({"name": "gcn", "in_channels": 16, **recipe.encoder_options()})
    again.load_state_dict(net.encoder.state_dict())
    close(embed(again, cora_like()), embed(net.encoder, cora_like()), 0)


# ---------------------------------------------------------------------- nearest neighbours by features


@pytest.mark.parametrize("kind", ["undirected", "sparse", "batch", "sparse_batch"])
@pytest.mark.parametrize("block", [5, 1024])
def test_nearest_neighbours_equal_a_loop(kind: str, block: int) -> None:
    g = graphs.GRAPHS[kind]()
    x, ids, k = g.dense_x().double(), g.graph_ids, 3
    wanted = set()
    for i in range(g.num_nodes):
        others = [(float(F.cosine_similarity(x[i], x[j], dim=0)), j) for j in range(g.num_nodes) if j != i and ids[i] == ids[j]]
        for cosine, j in sorted(others, reverse=True)[:k]:
            if cosine > 0:
                wanted |= {(i, j), (j, i)}
    view = ConnectSimilar(k, block)(g)
    assert {(int(a), int(b)) for a, b in view.edge_index.t()} == wanted
    assert view.num_edges == len(wanted)
    assert view.edge_weight is None
    assert view.x is g.x


def test_neighbours_are_found_once_and_again_for_other_features() -> None:
    g = graphs.undirected()
    view = ConnectSimilar(2)
    assert view(g).edge_index is view(g).edge_index
    other = g.with_x(g.x.flip(0))
    assert not torch.equal(view(other).edge_index, view(g).edge_index)
    assert torch.equal(view(other).edge_index, view(graphs.undirected().with_x(g.x.flip(0))).edge_index)
    alone = Graph.of((torch.zeros(4, 2), torch.empty(2, 0, dtype=torch.long)))
    assert view(alone).num_edges == 0, "nodes without features are like none"


# ---------------------------------------------------------------------- Deep InfoMax


def test_without_prior_at_graph_level_it_is_info_graph() -> None:
    torch.manual_seed(0)
    net, g = DIM(gin(), gamma=0, level="graph").double(), double(batch())
    other = InfoGraph(gin()).double()
    other.load_state_dict(net.state_dict())
    close(net(g), other(g))
    net.beta = 0.5
    close(net(g), other(g) / 2)


def test_without_prior_at_node_level_it_is_dgi_less_a_constant() -> None:
    net, g = DIM(GCN(16, [8], norm="none"), gamma=0).double(), double(cora_like())
    with seeded(0):
        value = net(g)
    with seeded(0):
        _, positive, negative = net.scores(g)
    close(value, bce(positive, negative) - 2 * math.log(2))
    nn.init.zeros_(net.discriminator.weight)
    assert net(g).item() == pytest.approx(0, abs=1e-12), "scores of zero tell nothing"


@pytest.mark.parametrize("prior", ["uniform", "normal"])
@pytest.mark.parametrize("gamma", [0.1, 2.0])
def test_a_discriminator_that_knows_nothing_is_worth_its_constant(prior: str, gamma: float) -> None:
    net = DIM(GCN(16, [8]), gamma=gamma, prior=prior, beta=0)  # type: ignore[arg-type]
    for p in net.prior_discriminator.parameters():
        nn.init.zeros_(p)
    assert net(cora_like()).item() == pytest.approx(-2 * math.log(2) * gamma, abs=1e-5)


@pytest.mark.parametrize("prior", ["uniform", "normal"])
@pytest.mark.parametrize("gamma", [0.5, 1.0])
def test_the_prior_is_a_game(prior: str, gamma: float) -> None:
    """A step of the discriminator lowers its own loss, one of the encoder raises it, and both have the gradients of two optimisers."""
    torch.manual_seed(0)
    net, g = DIM(GCN(16, [4], norm="none"), alpha=0, beta=0, gamma=gamma, prior=prior).double(), double(cora_like())  # type: ignore[arg-type]
    theirs, ours = list(net.prior_discriminator.parameters()), list(net.encoder.parameters())

    def cost() -> Tensor:
        e = net.matched(net.nodes(g))
        v = torch.rand_like(e) if prior == "uniform" else torch.randn_like(e)
        return bce(net.prior_discriminator(v), net.prior_discriminator(e))

    with seeded(1):
        before = cost()
    wanted = torch.autograd.grad(before, theirs + ours)
    with seeded(1):
        loss = net(g)
    close(loss, -gamma * before)
    found = torch.autograd.grad(loss, theirs + ours)
    for k, (a, b) in enumerate(zip(found, wanted, strict=True)):
        close(a, b if k < len(theirs) else -gamma * b)
    for part, grads, rises in ((theirs, found[: len(theirs)], False), (ours, found[len(theirs) :], True)):
        with torch.no_grad():
            for p, grad in zip(part, grads, strict=True):
                p -= 1e-3 * grad
        with seeded(1):
            after = cost()
        assert (float(after) > float(before)) == rises
        before = after


@pytest.mark.parametrize("prior", ["uniform", "normal"])
def test_embeddings_come_nearer_to_the_prior(prior: str) -> None:
    def distance(net: DIM) -> float:
        cdf = "uniform" if prior == "uniform" else "norm"
        columns = net.matched(embed(net.encoder, g)).t().numpy()
        return sum(float(kstest(column, cdf).statistic) for column in columns) / len(columns)

    torch.manual_seed(0)
    g = contextual_sbm(300, 3, 16, degree=6, seed=0).graph
    net = DIM(GCN(16, [6], norm="none"), beta=0.2, gamma=1.0, prior=prior)  # type: ignore[arg-type]
    before = distance(net)
    fit(net, g, epochs=150, lr=5e-3)
    assert distance(net) < 0.7 * before


def test_what_the_uniform_prior_sees_lies_in_the_cube() -> None:
    torch.manual_seed(0)
    for norm in ("batch", "none"):
        net = DIM(GCN(16, [4], norm=norm))  # type: ignore[arg-type]
        e = net.matched(100 * net.nodes(cora_like()))
        assert bool(((e >= 0) & (e <= 1)).all())
        assert torch.equal(DIM(GCN(16, [4]), prior="normal").matched(e - 3), e - 3)


def test_inputs_are_means_of_features() -> None:
    g = graphs.undirected()
    around = DIM(GCN(graphs.F, [4])).inputs(g)
    for i in range(g.num_nodes):
        rows = [i] + [int(s) for s, t in g.edge_index.t() if int(t) == i]
        close(around[i], g.x[rows].mean(0), 1e-6)
    many = batch()
    whole = DIM(gin(), level="graph").inputs(many)
    for k in range(6):
        close(whole[k], many.x[many.graph_ids == k].mean(0), 1e-6)


def test_the_negative_input_is_never_one_s_own() -> None:
    torch.manual_seed(0)
    net = DIM(GCN(5, [5], norm="none"), alpha=1)
    net.of_embedding, net.of_input = nn.Identity(), nn.Identity()  # type: ignore[assignment]
    e = 50 * torch.eye(5)
    assert all(float(net.global_term(e, e)) == pytest.approx(-math.log(2), abs=1e-5) for _ in range(20))


# ---------------------------------------------------------------------- contrast with prediction


def test_without_weight_it_is_grace() -> None:
    torch.manual_seed(0)
    views = (AUGMENTED, AUGMENTED)
    net = PCL(GCN(16, [8, 8]), views, hidden=8, reconstruction=0, predict_first=0, tau=0.3)
    other = GRACE(GCN(16, [8, 8]), views, hidden=8, tau=0.3)
    other.load_state_dict({name: value for name, value in net.state_dict().items() if not name.startswith(("prediction", "epoch"))})
    g = cora_like()
    for seed in range(3):
        with seeded(seed):
            value = net(g)
        with seeded(seed):
            assert torch.equal(value, other(g))


def test_it_is_the_sum_of_both() -> None:
    net, g = objective("pcl", reconstruction=3.0)
    with seeded(0):
        value = net(g)
    with seeded(0):
        close(value, GRACE.forward(net, g) + 3 * net.prediction(g), 1e-6)
    assert type(net.prediction) is GraphMAE
    assert net.prediction.encoder is net.encoder


def test_prediction_comes_first() -> None:
    net, g = objective("pcl", predict_first=2)
    seen = []
    for epoch in range(4):
        with seeded(0):
            value = net(g)
        with seeded(0):
            contrast = GRACE.forward(net, g)
            told = net.prediction(g)
        close(value, told if epoch < 2 else contrast + told, 1e-6)
        seen.append(all(float(p.grad.abs().sum()) == 0 for p in net.projector.parameters() if _back(value, net)))
        net.after_epoch((epoch + 1) / 4)
    assert seen == [True, True, False, False]


def _back(value: Tensor, net: Objective) -> bool:
    net.zero_grad()
    value.backward(retain_graph=True)
    return True


def test_both_terms_reach_the_encoder() -> None:
    net, g = objective("pcl")
    for term in (GRACE.forward(net, g), net.prediction(g)):
        assert all(float(grad.abs().sum()) > 0 for grad in torch.autograd.grad(term, list(net.encoder.blocks[0].parameters())))


def test_a_perfect_decoder_leaves_nothing_and_only_hidden_nodes_count() -> None:
    net, g = objective("pcl", decoder="linear", mask_rate=0.3)

    class Told(nn.Module):
        def forward(self, h: Tensor) -> Tensor:
            return self.x  # type: ignore[no-any-return]

    told = Told()
    net.prediction.decoder = told
    with seeded(0):
        masked, hidden, x = net.prediction.mask(g)
    told.x = 3 * x[masked]
    with seeded(0):
        assert float(net.prediction(g)) == pytest.approx(0, abs=1e-6)
    assert masked.numel() == 18
    seen = torch.ones(60, dtype=torch.bool)
    seen[masked] = False
    assert torch.equal(hidden.x[seen], x[seen])


# ---------------------------------------------------------------------- several processes, refusals


def test_what_several_processes_may_train() -> None:
    assert CMC.mean_over == "ranks"
    assert PCL.mean_over is None
    assert DIM(GCN(3, [4])).mean_over == "nodes"
    assert DIM(gin(3), level="graph").mean_over is None


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: CMC(GCN(3, [4])), "encoder must be a MultiView of at least two views, got GNN"),  # type: ignore[arg-type]
        (lambda: CMC(multi(3), pairs="some"), "pairs must be full or core, got 'some'"),  # type: ignore[arg-type]
        (lambda: CMC(multi(3), level="edge"), "level must be node or graph, got 'edge'"),  # type: ignore[arg-type]
        (lambda: CMC(multi(3), tau=0), "tau must be positive, got 0"),
        (lambda: CMC(multi(3), chunk=0), "chunk must be at least 1 or None, got 0"),
        (lambda: multi(3, 2, "sum"), "merge must be cat or mean, got 'sum'"),
        (lambda: MultiView([GCN(3, [4])] * 2, VIEWS[:2], merge="mean"), "project sums readouts"),
        (lambda: structure("knn"), "structures must be of adjacency, ppr, heat, similar, features, got 'knn'"),  # type: ignore[arg-type]
        (lambda: ConnectSimilar(0), "k must be at least 1, got 0"),
        (lambda: ConnectSimilar(1, block=0), "block must be at least 1, got 0"),
        (lambda: CMCRecipe(encoder="gine"), "encoder gine needs edge attributes"),
        (lambda: DIM(GCN(3, [4]), gamma=-1), "gamma must be 0 or more, got -1"),
        (lambda: DIM(GCN(3, [4]), beta=0, gamma=0), "must not all be 0"),
        (lambda: DIM(GCN(3, [4]), prior="cube"), "prior must be uniform or normal, got 'cube'"),  # type: ignore[arg-type]
        (lambda: DIM(GCN(3, [4]), level="edge"), "level must be node or graph, got 'edge'"),  # type: ignore[arg-type]
        (lambda: DIM(GCN(3, [4], readout="set2set"), level="graph"), "the readout must keep the width of the nodes, 4, got 8"),
        (lambda: DIM(GCN(3, [4]), chunk=0), "chunk must be at least 1 or None, got 0"),
        (lambda: DIM(GCN(3, [4]), level="graph")(graphs.undirected()), "at least two graphs"),
        (lambda: DIM(GCN(3, [4]), alpha=1).global_term(torch.ones(1, 4), torch.ones(1, 3)), "at least two rows"),
        (lambda: PCL(GCN(3, [4]), (AUGMENTED,) * 2, reconstruction=-1), "reconstruction must be 0 or more, got -1"),
        (
            lambda: PCL(GCN(3, [4]), (AUGMENTED,) * 2, reconstruction=0),
            "0 where reconstruction is 0, got 10",
        ),
        (lambda: PCL(GCN(3, [4]), (AUGMENTED,) * 2, predict_first=-1), "predict_first must be 0 or more epochs"),
    ],
)
def test_what_cannot_be_is_refused(call: Callable[[], object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()


@pytest.mark.parametrize(("method", "dataset"), [("cmc", "cora"), ("dim", "mutag"), ("dim", "cora"), ("pcl", "cora"), ("cmc", "mutag")])
def test_every_level_has_its_recipe(method: str, dataset: str) -> None:
    recipe = find_recipe(method, dataset)
    level = getattr(recipe, "level", "node")
    assert level == ("graph" if dataset == "mutag" else "node")
    assert "default" in recipe.source
