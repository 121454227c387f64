"""Encoders: the laws for every kind with every norm, skip and jumping knowledge, and PyG's own layers under copied weights."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import graphs
import pytest
import references
import torch
import torch_geometric.nn as pyg
from checks import batch_is_one_by_one, close, double, permutation_equivariant, same_state_same_output, value_and_gradients
from torch import Tensor, nn

from graphssl.adjacency import CSR
from graphssl.building import TAKES_EDGES
from graphssl.encoders import ENCODERS, GAT, GCN, GIN, GNN, MLP, GATv2, GraphSAGE, build, config_of
from graphssl.graph import Graph
from graphssl.layers import (
    ACTIVATIONS,
    GATConv,
    GCNConv,
    GINConv,
    JumpingKnowledge,
    Linear,
    PReLU,
    SAGEConv,
    WeightStandardization,
    reset_parameters,
)

KINDS: dict[str, Callable[..., GNN]] = {
    "gcn": GCN,
    "gat": GAT,
    "gatv2": GATv2,
    "sage-mean": GraphSAGE,
    "sage-max": lambda i, c, **options: GraphSAGE(i, c, aggregation="max", **options),
    "gin": GIN,
    "gin-wide": lambda i, c, **options: GIN(i, c, expansion=2, **options),
    "mlp": MLP,
}
NORMS = ("batch", "layer", "graph", "graphnorm", "none")
SKIPS = ("none", "residual", "dense")
MODES = ("last", "cat", "max", "lstm")

each_kind = pytest.mark.parametrize("kind", KINDS)
each_norm = pytest.mark.parametrize("norm", NORMS)
each_skip = pytest.mark.parametrize("skip", SKIPS)
each_jk = pytest.mark.parametrize("jk", MODES)


def encoder(kind: str, channels: tuple[int, ...] = (8, 8), *, features: int = graphs.F, **options: Any) -> GNN:
    """An encoder in double precision whose every parameter is random: no bias or slope at a value that hides it."""
    torch.manual_seed(0)
    net = KINDS[kind](features, list(channels), **options).double()
    for p in net.parameters():
        p.data += 0.1 * torch.randn_like(p)
    return net


def some_graphs() -> list[Graph]:
    parts = [graphs.undirected(), graphs.with_loops(), graphs.with_isolated_nodes(), graphs.no_edges(), graphs.one_node()]
    return [double(g) for g in parts]


# ---------------------------------------------------------------------- laws


@each_jk
@each_skip
@each_norm
@each_kind
def test_permutation_and_batch(kind: str, norm: str, skip: str, jk: str) -> None:
    net = encoder(kind, norm=norm, skip=skip, jk=jk).eval()
    permutation_equivariant(net, double(graphs.directed()))
    permutation_equivariant(net, double(graphs.weighted()))
    batch_is_one_by_one(net, some_graphs())
    if norm != "batch":  # the others do not look across graphs, in training either
        batch_is_one_by_one(net.train(), some_graphs())


@each_kind
def test_batch_norm_looks_across_graphs_in_training(kind: str) -> None:
    net = encoder(kind, norm="batch").train()
    with pytest.raises(AssertionError):
        batch_is_one_by_one(net, [double(graphs.undirected(seed=seed)) for seed in (0, 1)])


@each_norm
@each_kind
def test_permutation_moves_a_batch(kind: str, norm: str) -> None:
    permutation_equivariant(encoder(kind, norm=norm).eval(), double(graphs.batch()))


@each_skip
@each_norm
@each_kind
def test_sparse_features_equal_dense(kind: str, norm: str, skip: str) -> None:
    net = encoder(kind, norm=norm, skip=skip).eval()
    g = double(graphs.sparse())
    assert isinstance(g.x, CSR)
    results = []
    for graph in (g, g.with_x(g.dense_x())):
        net.zero_grad()
        out = net(graph)
        out.square().sum().backward()
        results.append((out.detach(), [p.grad.clone() for p in net.parameters() if p.grad is not None]))
    close(results[0][0], results[1][0])
    for a, b in zip(results[0][1], results[1][1], strict=True):
        close(a, b)


@each_kind
def test_every_parameter_matters(kind: str) -> None:
    net = encoder(kind, norm="layer", skip="residual", jk="lstm").train()
    (net(double(graphs.undirected())) * torch.randn(graphs.N, 8, dtype=torch.float64)).sum().backward()
    for name, p in net.named_parameters():
        assert p.grad is not None, name
        assert p.grad.abs().sum() > 0 or name == "jk.score.bias", name  # which a softmax does not see: rounding alone


@each_kind
def test_gradients_equal_finite_differences(kind: str) -> None:
    net = encoder(kind, (4,), norm="layer", act="tanh")
    g = double(graphs.weighted())
    x = torch.randn(g.num_nodes, graphs.F, dtype=torch.float64, requires_grad=True)  # no two alike: a maximum has no slope at a tie
    assert torch.autograd.gradcheck(lambda x: net(g.with_x(x)), x)


@each_jk
@each_kind
def test_state_round_trip(kind: str, jk: str) -> None:
    first, second = (KINDS[kind](graphs.F, [8, 8], jk=jk, weight_standardization=True) for _ in range(2))
    for net in (first, second):
        net(graphs.undirected())  # statistics of batch norm move
    same_state_same_output(first, second, lambda net: net(graphs.undirected()))


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("gcn", {"channels": [8, 4], "norm": "graphnorm", "act": ["relu", "none"]}),
        ("gat", {"channels": [8, 8], "heads": 2, "jk": "cat", "dropout": 0.2}),
        ("gatv2", {"channels": [8], "heads": 8, "attention_dropout": 0.1}),
        ("sage", {"channels": [8, 8, 8], "aggregation": "max", "skip": "dense", "norm": "layer"}),
        ("gin", {"channels": [8, 8], "weight_standardization": True, "jk": "lstm", "norm_momentum": 0.5}),
    ],
)
def test_build_round_trip(name: str, options: dict[str, Any]) -> None:
    config = json.loads(json.dumps(config_of(name, graphs.F, **options)))
    first, second = build(config), build(config)
    assert repr(first) == repr(second)
    assert first.channels == options["channels"]
    same_state_same_output(first, second, lambda net: net(graphs.undirected()))
    assert build(config).out_channels == first(graphs.undirected()).size(1)


@each_kind
def test_reset_draws_everything_anew(kind: str) -> None:
    net = KINDS[kind](graphs.F, [8, 8], jk="lstm", weight_standardization=True)
    net(graphs.undirected())
    with torch.no_grad():
        for p in net.parameters():
            p.fill_(7)
    torch.manual_seed(5)
    reset_parameters(net)
    for name, p in net.named_parameters():
        assert not (p == 7).any(), f"{name} was not drawn"
    for name, b in net.named_buffers():
        assert (b == (1 if "var" in name else 0)).all(), f"{name} was not reset"
    before = [p.clone() for p in net.parameters()]
    torch.manual_seed(5)
    reset_parameters(net)
    assert all(torch.equal(a, b) for a, b in zip(before, net.parameters(), strict=True)), "the seed does not decide"


@pytest.mark.parametrize("precision", [torch.bfloat16, torch.float32])
@each_kind
def test_autocast(kind: str, precision: torch.dtype) -> None:
    torch.manual_seed(0)
    net = KINDS[kind](graphs.F, [8, 8])
    for g in (graphs.weighted(), graphs.sparse(), graphs.batch()):
        with torch.autocast("cpu", torch.bfloat16, enabled=precision == torch.bfloat16):
            out = net(g)
        out.float().square().sum().backward()
        assert all(p.grad is not None and p.grad.isfinite().all() for p in net.parameters() if p.grad is not None)
        close(out.float(), net(g), 0.3)


# ---------------------------------------------------------------------- edge weights


@pytest.mark.parametrize("kind", ["gcn", "gat", "gatv2", "sage-mean", "gin"])
def test_weights_change_the_output(kind: str) -> None:
    net = encoder(kind, norm="none").eval()
    g = double(graphs.weighted_by_direction())
    assert (net(g) - net(replace(g, edge_weight=None))).abs().max() > 1e-3
    close(net(replace(g, edge_weight=torch.ones_like(g.weights))), net(replace(g, edge_weight=None)))


@pytest.mark.parametrize("kind", ["gcn", "gat", "gatv2", "sage-mean", "gin"])
def test_an_integer_weight_is_so_many_edges(kind: str) -> None:
    net = encoder(kind, norm="none").eval()
    g = double(graphs.undirected())
    times = torch.arange(g.num_edges) % 3 + 1
    weighted = replace(g, edge_weight=times.double())
    parallel = g.with_edges(g.edge_index.repeat_interleave(times, 1))
    close(net(weighted), net(parallel))


def test_maximum_ignores_weights() -> None:
    net = encoder("sage-max", norm="none").eval()
    g = double(graphs.weighted())
    close(net(g), net(replace(g, edge_weight=None)))


# ---------------------------------------------------------------------- PyG's layers

LAYER_GRAPHS = {
    "undirected": graphs.undirected,
    "directed": graphs.directed,
    "isolated": graphs.with_isolated_nodes,
    "parallel": graphs.with_parallel_edges,
    "loops": graphs.directed_with_loops,
    "weighted": graphs.weighted_by_direction,
    "no edges": graphs.no_edges,
}
each_layer_graph = pytest.mark.parametrize("graph", LAYER_GRAPHS)
WIDTHS = pytest.mark.parametrize("width", [4, 12])  # narrower and wider than the features


def randomised(layer: nn.Module) -> nn.Module:
    layer = layer.double()
    for p in layer.parameters():
        p.data = torch.randn_like(p)
    return layer


def compare(ours: nn.Module, theirs: nn.Module, g: Graph, *weights: Tensor) -> None:
    """Values, and gradients of the features."""
    with_weights = weights if g.edge_weight is not None else ()
    a = value_and_gradients(lambda x: ours(x, g).square().sum(), g.dense_x())
    b = value_and_gradients(lambda x: theirs(x, g.edge_index, *with_weights).square().sum(), g.dense_x())
    close(ours(g.x, g), theirs(g.dense_x(), g.edge_index, *with_weights))
    for x, y in zip(a, b, strict=True):
        close(x, y)


@WIDTHS
@each_layer_graph
def test_gcn_equals_pyg(graph: str, width: int) -> None:
    g = double(LAYER_GRAPHS[graph]())
    ours, theirs = randomised(GCNConv(graphs.F, width)), pyg.GCNConv(graphs.F, width).double()
    theirs.lin.weight.data, theirs.bias.data = ours.linear.weight.data.t(), ours.bias.data
    compare(ours, theirs, g, g.weights)


@pytest.mark.parametrize("aggregation", ["mean", "max"])
@WIDTHS
@each_layer_graph
def test_sage_equals_pyg(graph: str, width: int, aggregation: str) -> None:
    g = replace(double(LAYER_GRAPHS[graph]()), edge_weight=None)  # PyG's layer takes no weights
    ours = randomised(SAGEConv(graphs.F, width, aggregation=aggregation))  # type: ignore[arg-type]
    theirs = pyg.SAGEConv(graphs.F, width, aggr=aggregation).double()
    theirs.lin_l.weight.data, theirs.lin_r.weight.data = ours.neighbours.weight.data.t(), ours.root.weight.data.t()
    theirs.lin_l.bias.data = ours.root.bias.data
    if aggregation == "max":  # equal rivals share the gradient in PyG: let there be none
        g = g.with_x(torch.randn(g.num_nodes, graphs.F, dtype=torch.float64))
        if graph == "parallel":
            pytest.skip("parallel edges are rivals that are always equal")
    compare(ours, theirs, g)


@WIDTHS
@each_layer_graph
def test_gin_equals_pyg(graph: str, width: int) -> None:
    g = replace(double(LAYER_GRAPHS[graph]()), edge_weight=None)
    ours = randomised(GINConv(graphs.F, width))
    mlp = nn.Sequential(nn.Linear(graphs.F, width), nn.ReLU(), nn.Linear(width, width))
    theirs = pyg.GINConv(mlp, train_eps=True).double()
    mlp[0].weight.data, mlp[0].bias.data = ours.first.weight.data.t(), ours.bias.data
    mlp[2].weight.data, mlp[2].bias.data = ours.second.weight.data.t(), ours.second.bias.data
    theirs.eps.data = ours.eps.data.reshape(1)
    compare(ours, theirs, g)


@pytest.mark.parametrize("heads", [1, 4])
@each_layer_graph
def test_gat_equals_pyg(graph: str, heads: int) -> None:
    g = replace(double(LAYER_GRAPHS[graph]()), edge_weight=None)
    ours, theirs = randomised(GATConv(graphs.F, 8, heads=heads)), pyg.GATConv(graphs.F, 8 // heads, heads=heads).double()
    theirs.lin.weight.data, theirs.bias.data = ours.neighbours.weight.data.t(), ours.bias.data
    theirs.att_src.data, theirs.att_dst.data = ours.attention.data[:1], ours.attention.data[1:]
    compare(ours, theirs, g)


@pytest.mark.parametrize("heads", [1, 4])
@each_layer_graph
def test_gatv2_equals_pyg(graph: str, heads: int) -> None:
    g = replace(double(LAYER_GRAPHS[graph]()), edge_weight=None)
    ours = randomised(GATConv(graphs.F, 8, heads=heads, dynamic=True))
    theirs = pyg.GATv2Conv(graphs.F, 8 // heads, heads=heads).double()
    theirs.lin_l.weight.data, theirs.lin_r.weight.data = ours.neighbours.weight.data.t(), ours.root.weight.data.t()
    nn.init.zeros_(theirs.lin_l.bias)
    nn.init.zeros_(theirs.lin_r.bias)
    theirs.att.data, theirs.bias.data = ours.attention.data, ours.bias.data
    compare(ours, theirs, g)


@pytest.mark.parametrize("kind", ["with_loops", "weighted_by_direction", "undirected"])
def test_gat_equals_its_loop(kind: str) -> None:
    g = double(graphs.GRAPHS[kind]())
    ours = randomised(GATConv(graphs.F, 6, heads=2))
    edges = references.edge_list(g.edge_index, g.edge_weight)
    edges += [(i, i, 1.0) for i in range(g.num_nodes) if i not in {s for s, t, _ in edges if s == t}]
    h = g.dense_x() @ ours.neighbours.weight.detach()
    near, own = ours.attention.detach()
    heads = [references.attention(h[:, 3 * k : 3 * k + 3], edges, near[k], own[k]) for k in range(2)]
    close(ours(g.x, g), torch.cat(heads, 1) + ours.bias)


# ---------------------------------------------------------------------- jumping knowledge


def layers(count: int = 3, width: int = 4) -> list[Tensor]:
    return [torch.randn(graphs.N, width, dtype=torch.float64) for _ in range(count)]


@each_jk
def test_one_layer_is_itself(jk: str) -> None:
    (h,) = layers(1)
    close(JumpingKnowledge(jk, [4]).double()([h]), h, 1e-15)  # type: ignore[arg-type]


def test_cat_and_last_and_max() -> None:
    stack = layers()
    close(JumpingKnowledge("cat", [4, 4, 4])(stack), torch.cat(stack, 1), 0)
    close(JumpingKnowledge("last", [4, 4, 4])(stack), stack[-1], 0)
    top = JumpingKnowledge("max", [4, 4, 4])(stack)
    assert all((top >= h).all() for h in stack)
    assert torch.stack([top == h for h in stack]).any(0).all()


@each_kind
def test_cat_is_as_wide_as_all_layers(kind: str) -> None:
    net = encoder(kind, (8, 4, 12), jk="cat")
    assert net.out_channels == 24 == net(double(graphs.undirected())).size(1)


def test_lstm_stays_in_the_hull_and_equals_pyg() -> None:
    ours, theirs = JumpingKnowledge("lstm", [4, 4, 4]).double(), pyg.JumpingKnowledge("lstm", 4, 3).double()
    theirs.lstm.load_state_dict(ours.lstm.state_dict())
    theirs.att.load_state_dict(ours.score.state_dict())
    stack = layers()
    out = ours(stack)
    close(out, theirs(stack))
    assert (out <= torch.stack(stack).amax(0) + 1e-12).all()
    assert (out >= torch.stack(stack).amin(0) - 1e-12).all()
    same = ours([stack[0]] * 3)
    close(same, stack[0], 1e-12)  # weights sum to one


@each_jk
@each_kind
def test_jk_sees_every_layer_that_it_should(kind: str, jk: str) -> None:
    """The embedding is the jumping knowledge of what the layers put out."""
    net = encoder(kind, (8, 8), jk=jk, norm="none").eval()
    seen: list[Tensor] = []
    handles = [block.register_forward_hook(lambda _m, _i, out: seen.append(out)) for block in net.blocks]
    out = net(double(graphs.undirected()))
    for handle in handles:
        handle.remove()
    close(out, net.jk(seen), 0)


@pytest.mark.parametrize("depth", [1, 2, 4])
def test_influence_of_linear_mean_layers_is_a_random_walk(depth: int) -> None:
    """Without activations, ``|d h_i / d x_j|`` over its row's sum is the ``depth``-step walk ``(D^-1 A)^depth`` (arXiv:1806.03536)."""
    g = double(graphs.with_parallel_edges())
    g = g.with_x(torch.randn(g.num_nodes, 1, dtype=torch.float64))
    net = GraphSAGE(1, [1] * depth, norm="none", act="none").double()
    for block in net.blocks:
        nn.init.zeros_(block.conv.root.weight)
    jacobian = torch.autograd.functional.jacobian(lambda x: net(g.with_x(x)).squeeze(1), g.dense_x()).squeeze(2).abs()
    influence = jacobian / jacobian.sum(1, keepdim=True)
    walk = torch.linalg.matrix_power(references.averaged(g.edge_index, None, g.num_nodes), depth)
    close(influence, walk, 1e-12)


# ---------------------------------------------------------------------- parts


@pytest.mark.parametrize("slope", [0.25, -0.5, 1.7, 0.0])
def test_own_prelu_equals_torch(slope: float) -> None:
    ours, theirs = PReLU().double(), nn.PReLU().double()
    nn.init.constant_(ours.weight, slope)
    nn.init.constant_(theirs.weight, slope)
    for x in (torch.randn(5, 7, dtype=torch.float64), torch.randn(7, 5, dtype=torch.float64).t(), torch.zeros(2, 3, dtype=torch.float64)):
        a, b = x.clone().requires_grad_(), x.clone().requires_grad_()
        scale = torch.randn_like(x)
        ours.zero_grad()
        theirs.zero_grad()
        (ours(a) * scale).sum().backward()
        (theirs(b) * scale).sum().backward()
        close(ours(x), theirs(x), 1e-15)
        close(a.grad, b.grad, 1e-15)
        close(ours.weight.grad, theirs.weight.grad, 1e-12)
    x = torch.randn(4, 3, dtype=torch.float64, requires_grad=True)
    from graphssl.layers import _PReLU

    assert torch.autograd.gradcheck(_PReLU.apply, (x, ours.weight))


def test_prelu_starts_as_torch_does() -> None:
    assert PReLU().weight.item() == nn.PReLU().weight.item() == 0.25


def test_standardised_columns() -> None:
    weight = torch.randn(30, 5, dtype=torch.float64) * 4 + 3
    out = WeightStandardization()(weight)
    close(out.mean(0), torch.zeros(5), 1e-12)
    close(out.std(0, unbiased=False), torch.ones(5), 1e-12)


@each_kind
def test_standardisation_leaves_stored_weights_alone(kind: str) -> None:
    net = encoder(kind, (8, 8), weight_standardization=True)
    g = double(graphs.undirected())
    before = {k: v.clone() for k, v in net.state_dict().items() if "running" not in k and "batches" not in k}
    for mode in (True, False):
        net.train(mode)
        net(g)
        assert all(torch.equal(net.state_dict()[k], v) for k, v in before.items())
    linears = [m for m in net.blocks[1].modules() if isinstance(m, Linear)]
    assert linears
    for linear in linears:
        width = linear.weight.size(1)
        close(linear.weight.mean(0), torch.zeros(width), 1e-12)
        close(linear.weight.std(0, unbiased=False), torch.ones(width), 1e-12)
        assert not torch.equal(linear.weight, linear.parametrizations.weight.original)  # type: ignore[union-attr]
    assert not any(hasattr(m, "parametrizations") for m in net.blocks[0].modules()), "the first layer stays as it is"


@each_kind
def test_standardisation_of_scaled_weights_changes_nothing(kind: str) -> None:
    net = encoder(kind, (8, 8), weight_standardization=True, norm="none")
    g = double(graphs.undirected())
    out = net(g)
    with torch.no_grad():
        for name, p in net.named_parameters():
            if name.endswith("original"):
                p.mul_(3).add_(1)
    close(net(g), out, 1e-9)


def test_residual_adds_the_input() -> None:
    net = encoder("gcn", (8, 8), skip="residual", norm="none")
    g = double(graphs.undirected())
    first = net.blocks[0](g.x, g) + g.dense_x() @ net.skips[0].weight
    close(net(g), net.blocks[1](first, g) + first)


def test_dense_skip_sums_what_came_before() -> None:
    net = encoder("sage-mean", (8, 8, 8), skip="dense", norm="none")
    g = double(graphs.undirected())
    first = net.blocks[0](g.x, g)
    second = net.blocks[1](first + g.dense_x() @ net.skips[1].weight, g)
    close(net(g), net.blocks[2](first + second + g.dense_x() @ net.skips[2].weight, g))


@each_kind
def test_dropout_only_in_training(kind: str) -> None:
    net = encoder(kind, dropout=0.5, norm="none")
    g = double(graphs.undirected())
    assert torch.equal(net.eval()(g), net(g))
    assert not torch.equal(net.train()(g), net(g))
    one = encoder(kind, (8,), dropout=0.5, norm="none").train()
    assert torch.equal(one(g), one(g)), "features are not dropped"


@pytest.mark.parametrize("kind", ["gat", "gatv2"])
def test_attention_dropout_only_in_training(kind: str) -> None:
    net = encoder(kind, attention_dropout=0.5, norm="none")
    g = double(graphs.undirected())
    assert torch.equal(net.eval()(g), net(g))
    assert not torch.equal(net.train()(g), net(g))


def test_glorot_start() -> None:
    torch.manual_seed(0)
    linear = Linear(400, 200)
    assert abs(linear.weight.std().item() - math.sqrt(2 / 600)) < 1e-3
    assert (linear.bias == 0).all()  # type: ignore[union-attr]


@pytest.mark.parametrize("act", ACTIVATIONS)
def test_activation_each_layer_its_own(act: str) -> None:
    net = encoder("gcn", (8, 8), act=[act, "none"], norm="none").eval()
    out = net(double(graphs.undirected()))
    assert isinstance(net.blocks[1].act, nn.Identity)
    assert type(net.blocks[0].act) is type(ACTIVATIONS[act]())
    assert out.isfinite().all()
    if act == "prelu":
        both = encoder("gcn", (8, 8))
        assert both.blocks[0].act.weight is not both.blocks[1].act.weight


# ---------------------------------------------------------------------- refusals


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: GCN(4, []), ["channels", r"\[\]"]),
        (lambda: GCN(4, [8, 0]), ["channels", "positive", "0"]),
        (lambda: GCN(0, [8]), ["in_channels=0", "positive"]),
        (lambda: GCN(4, [8], act="swish"), ["act", "swish", "relu"]),
        (lambda: GCN(4, [8], act=["relu", "relu"]), ["act", "1 layers", "2"]),
        (lambda: GCN(4, [8], norm="group"), ["norm", "group", "batch"]),
        (lambda: GCN(4, [8], skip="res"), ["skip", "res'", "residual"]),
        (lambda: GCN(4, [8, 4], skip="dense"), ["skip", "equal width", r"\[8, 4\]"]),
        (lambda: GCN(4, [8], dropout=1.0), ["dropout", r"\[0, 1\)", "1.0"]),
        (lambda: GCN(4, [8], dropout=-0.1), ["dropout", "-0.1"]),
        (lambda: GCN(4, [8], jk="sum"), ["jk", "sum", "lstm"]),
        (lambda: GCN(4, [8, 4], jk="max"), ["jk", "equal width", r"\[8, 4\]"]),
        (lambda: GCN(4, [8, 4], jk="lstm"), ["jk", "equal width", r"\[8, 4\]"]),
        (lambda: GAT(4, [9], heads=2), ["heads", "divide", "9"]),
        (lambda: GAT(4, [8], heads=0), ["heads", "0"]),
        (lambda: GAT(4, [8], attention_dropout=1.5), ["dropout", "1.5"]),
        (lambda: GATv2(4, [9], heads=2), ["heads", "divide", "9"]),
        (lambda: GraphSAGE(4, [8], aggregation="sum"), ["aggregation", "sum", "mean"]),
        (lambda: build({"name": "cnn", "in_channels": 4, "channels": [8]}), ["encoder", "cnn", "gcn"]),
    ],
)
def test_bad_arguments_are_named(make: Callable[[], GNN], words: list[str]) -> None:
    for word in words:
        with pytest.raises(ValueError, match=word):
            make()


def test_features_of_another_width_are_refused() -> None:
    with pytest.raises((ValueError, RuntimeError)):
        GCN(graphs.F + 1, [8])(graphs.undirected())


def test_table() -> None:
    for name, fn in ENCODERS.items():
        options = {"edge_channels": 3} if name in TAKES_EDGES else {}
        assert fn(4, [8], **options).out_channels == 8
