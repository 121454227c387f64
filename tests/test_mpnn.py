"""The message passing network: its convolution is PyG's, whichever way it is computed, and it is an encoder like the others."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import graphs
import pytest
import torch
from checks import batch_is_one_by_one, close, double, permutation_equivariant, same_state_same_output
from torch import Tensor, nn

import graphssl.mpnn as mpnn
from graphssl import ADGCL, Graph, embed, seeded, side_by_side
from graphssl.adjacency import CSR
from graphssl.building import encoder_config
from graphssl.encoders import MPNN, build
from graphssl.mpnn import EdgeConv, edge_kinds
from graphssl.recipes import Recipe

B = 3


def bonds(g: Graph, seed: int = 0) -> Graph:
    """Attributes of 0 and 1, the same for both directions."""
    low, high = g.edge_index.min(0).values, g.edge_index.max(0).values
    kind = (3 * low + 5 * high + seed) % 4
    return replace(g, edge_attr=torch.stack([kind % 2, kind // 2, torch.ones_like(kind)], 1).float())


def distances(g: Graph) -> Graph:
    """Attributes that are all different."""
    low, high = (ends(g.edge_index, 0).values.float() for ends in (torch.min, torch.max))
    return replace(g, edge_attr=torch.stack([low / 10 - high / 7, low * high / 50, (high - low) / 5], 1))


ATTRIBUTES: dict[str, Callable[[Graph], Graph]] = {"bonds": bonds, "distances": distances}
each_kind = pytest.mark.parametrize("kind", ATTRIBUTES)


def encoder(width: int = 8, steps: int = 3, **options: object) -> nn.Module:
    torch.manual_seed(0)
    return MPNN(graphs.F, [width] * steps, edge_channels=B, edge_hidden=16, **options)  # type: ignore[arg-type]


def reference(conv: EdgeConv) -> nn.Module:
    """PyG's convolution with the same parameters; it draws those of its network anew."""
    from torch_geometric.nn import NNConv

    made = NNConv(*conv.shape, nn.Sequential(conv.first, nn.ReLU(), conv.second), aggr="mean", root_weight=False)
    made.bias = conv.bias
    return made


@pytest.mark.parametrize("chunk", [1, 400, 10**9])
@pytest.mark.parametrize("graph", ["batch", "directed_with_loops", "with_parallel_edges", "with_isolated_nodes"])
@each_kind
def test_convolution_is_that_of_pyg(kind: str, graph: str, chunk: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mpnn, "CHUNK", chunk)
    g = double(replace(ATTRIBUTES[kind](graphs.GRAPHS[graph]()), edge_weight=None))  # PyG's knows no weights
    conv = EdgeConv(graphs.F, 5, edge_channels=B, hidden=7).double()
    theirs = reference(conv)
    nn.init.normal_(conv.bias)

    def run(make: Callable[[Tensor], Tensor]) -> list[Tensor]:
        x = g.dense_x().clone().requires_grad_()
        out = make(x)
        return [out.detach(), *torch.autograd.grad((out * out.detach().sin()).sum(), [x, *conv.parameters()])]

    assert g.edge_attr is not None
    attr = g.edge_attr.double()
    for ours, expected in zip(run(lambda x: conv(x, g)), run(lambda x: theirs(x, g.edge_index, attr)), strict=True):
        close(ours, expected, 1e-9)


@pytest.mark.parametrize("chunk", [1, 10**9])
@each_kind
def test_messages_are_weighed_by_the_edges(kind: str, chunk: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mpnn, "CHUNK", chunk)
    g = double(ATTRIBUTES[kind](graphs.with_isolated_nodes()))
    conv = EdgeConv(graphs.F, 3, edge_channels=B, hidden=4).double()
    nn.init.normal_(conv.bias)
    plain = conv(g.x, replace(g, edge_weight=None))
    close(conv(g.x, g.with_weights(torch.ones(g.num_edges, dtype=torch.float64))), plain, 1e-12)
    close(conv(g.x, g.with_weights(torch.full((g.num_edges,), 0.3, dtype=torch.float64))), plain, 1e-12)
    w = (torch.rand(g.num_edges, dtype=torch.float64) + 0.2).requires_grad_()
    assert g.edge_attr is not None
    x, attr, found = g.dense_x(), g.edge_attr.double(), conv(g.x, g.with_weights(w))
    for i in range(g.num_nodes):
        edges = (g.edge_index[1] == i).nonzero().squeeze(1).tolist()
        total = torch.zeros(3, dtype=torch.float64)
        for e in edges:
            matrix = conv.second(torch.relu(conv.first(attr[e]))).view(graphs.F, 3)
            total = total + w[e] / w[edges].sum() * (x[g.edge_index[0, e]] @ matrix)
        close(found[i], total + conv.bias, 1e-9)
    assert torch.autograd.gradcheck(lambda w: conv(g.x, g.with_weights(w)), (w,))


@each_kind
def test_the_augmenter_of_adgcl_learns(kind: str) -> None:
    parts = [ATTRIBUTES[kind](graphs.undirected(n, m)) for n, m in ((6, 8), (9, 14), (12, 24))]
    objective = ADGCL(encoder(norm="layer"))  # type: ignore[arg-type]
    objective(side_by_side(parts)).backward()
    still = [name for name, p in objective.augmenter.named_parameters() if p.grad is None or not p.grad.any()]
    assert not still


def test_both_ways_agree(monkeypatch: pytest.MonkeyPatch) -> None:
    g = double(bonds(graphs.batch()))
    conv = EdgeConv(graphs.F, 5, edge_channels=B, hidden=7).double()
    by_kind = conv(g.x, g)
    monkeypatch.setattr(mpnn, "KINDS", 1)
    close(conv(g.x, replace(g)), by_kind)


def test_kinds_of_edges() -> None:
    attr = torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 0.0], [0.0, 0.0]])
    found = edge_kinds(attr)
    assert found is not None
    rows, order, counts = found
    assert sorted(rows.tolist()) == [[0, 0], [0, 1], [1, 0]]
    assert torch.equal(rows.repeat_interleave(torch.tensor(counts), 0), attr[order])
    assert edge_kinds(attr * 2) is None
    assert edge_kinds(torch.zeros(3, 51)) is None
    assert edge_kinds(torch.zeros(0, 3)) is None


def test_many_kinds_are_no_kinds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mpnn, "KINDS", 2)
    assert edge_kinds(torch.eye(3)) is None
    assert edge_kinds(torch.eye(2)) is not None


@pytest.mark.parametrize("graph", ["no_edges", "one_node"])
def test_graphs_without_edges(graph: str) -> None:
    g = graphs.GRAPHS[graph]()
    g = replace(g, edge_attr=torch.zeros(0, B))
    net = encoder()
    out = net.pool(net(g), g)  # type: ignore[operator]
    assert out.shape == (1, 16)
    assert out.isfinite().all()


@each_kind
def test_is_equivariant_and_minds_its_own_graph(kind: str) -> None:
    net = encoder(norm="layer").double().eval()
    with torch.no_grad():
        permutation_equivariant(net, double(ATTRIBUTES[kind](graphs.undirected())))
        parts = [double(ATTRIBUTES[kind](graphs.undirected(n, m))) for n, m in ((6, 8), (12, 24))]
        batch_is_one_by_one(net, parts)
        both = side_by_side(parts)
        close(net.pool(net(both), both), torch.cat([net.pool(net(g), g) for g in parts]))  # type: ignore[operator]


def test_bonds_change_what_comes_out() -> None:
    g, net = graphs.undirected(), encoder()
    assert not torch.allclose(net(bonds(g)), net(bonds(g, seed=1)))


def test_sparse_features_are_the_same() -> None:
    g = bonds(graphs.undirected())
    net = encoder()
    close(net(g.with_x(CSR.from_dense(g.dense_x()))), net(g), 1e-5)


def test_is_the_paper_by_default() -> None:
    net = encoder(steps=2)
    assert net.readout.kind == "set2set"
    g = bonds(graphs.undirected())
    h = torch.relu(net.input(g.x))
    for _ in range(2):
        h = net.gru(torch.relu(net.message(h, g)), h)
    close(net(g), h)


def test_jumping_knowledge_is_over_the_steps() -> None:
    net = encoder(steps=3, jk="cat", readout="sum")
    assert (net.out_channels, net.graph_channels) == (24, 24)
    g = bonds(graphs.undirected())
    last = encoder(steps=3, readout="sum")
    last.load_state_dict(net.state_dict())
    assert torch.equal(net(g)[:, 16:], last(g))


def test_state_and_recipe() -> None:
    recipe = Recipe(encoder="mpnn", channels=(8, 8), edge_hidden=5, jk="cat", readout="sum", act="relu")
    config = encoder_config(recipe, graphs.F, B)
    with seeded(0):
        first = build(config)
    with seeded(1):
        second = build(config)
    g = bonds(graphs.batch())
    same_state_same_output(first, second, lambda net: net(g))
    assert first.message.first.out_features == 5
    names = {p.data_ptr() for p in first.state_dict().values()}
    assert len(names) == len(first.state_dict()), "shared tensors cannot be saved"
    assert embed(first, g, level="graph").shape == (5, 16)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"channels": [8, 4]}, "one width"),
        ({"edge_hidden": 0}, "edge_hidden"),
        ({"skip": "residual"}, "no skip"),
        ({"virtual_node": True}, "no virtual_node"),
        ({"weight_standardization": True}, "no weight_standardization"),
        ({"input": 4}, "input"),
        ({"norm": "nonsense"}, "norm"),
    ],
)
def test_refuses(options: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        MPNN(graphs.F, **{"channels": [8, 8], "edge_channels": B, **options})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "fields", [{"channels": (8, 4)}, {"input": 4}, {"skip": "residual"}, {"weight_standardization": True}], ids=lambda f: next(iter(f))
)
def test_a_recipe_refuses_before_anything_is_built(fields: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="mpnn"):
        Recipe(encoder="mpnn", **{"channels": (8, 8), **fields})  # type: ignore[arg-type]


def test_a_graph_without_attributes_is_refused() -> None:
    with pytest.raises(ValueError, match="no edge_attr"):
        encoder()(graphs.undirected())
    with pytest.raises(ValueError, match="6 features"):
        MPNN(4, [8], edge_channels=B)(bonds(graphs.undirected()))
