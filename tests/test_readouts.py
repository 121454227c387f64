"""Graph-level encoders: readouts, edge features, the virtual node, and InfoGraph over them."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any, get_args

import graphs
import pytest
import torch
import torch_geometric.nn as pyg
from checks import (
    batch_is_one_by_one,
    close,
    double,
    gradients_where_due,
    loss_falls,
    permutation_equivariant,
    relabelled,
    same_state_same_output,
    shuffled_within_graphs,
    value_and_gradients,
)
from torch import Tensor, nn

from graphssl import GIN, GINE, Graph, InfoGraph, embed, side_by_side
from graphssl.encoders import GNN, VirtualNode
from graphssl.layers import GINEConv
from graphssl.losses import node_graph_jsd
from graphssl.readouts import Pooling, Readout

KINDS = get_args(Pooling)
each_kind = pytest.mark.parametrize("kind", KINDS)
BONDS = 3


def parts() -> list[Graph]:
    return [double(graphs.with_weights(g)) for g in (graphs.undirected(), graphs.with_loops(), graphs.no_edges(), graphs.one_node())]


def readout(kind: Any, channels: int = 5) -> Readout:
    torch.manual_seed(1)
    return Readout(kind, channels).double()


def rows(g: Graph, channels: int = 5, seed: int = 0) -> Tensor:
    return torch.randn(g.num_nodes, channels, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


# ---------------------------------------------------------------------- readouts


@each_kind
def test_a_batch_is_its_graphs_one_by_one(kind: Pooling) -> None:
    pool, several = readout(kind), parts()
    each = [rows(g, seed=k) for k, g in enumerate(several)]
    whole = pool(torch.cat(each), side_by_side(several))
    close(whole, torch.cat([pool(h, g) for h, g in zip(each, several, strict=True)]), 1e-12)
    assert whole.shape == (len(several), pool.out_channels)


@each_kind
def test_the_order_of_nodes_does_not_matter(kind: Pooling) -> None:
    g, pool = double(graphs.batch()), readout(kind)
    order, h = shuffled_within_graphs(g), rows(g)
    close(pool(h[order], relabelled(g, order)), pool(h, g), 1e-10)


@pytest.mark.parametrize("kind", ["sum", "mean", "max"])
def test_readout_equals_its_loop(kind: Any) -> None:
    g = double(graphs.batch())
    h = rows(g)
    for k in range(g.num_graphs):
        mine = h[g.graph_ids == k]
        expected = {"sum": mine.sum(0), "mean": mine.mean(0), "max": mine.max(0).values}[kind]
        close(readout(kind)(h, g)[k], expected, 1e-12)


def test_attention_and_set2set_equal_pyg() -> None:
    g = double(graphs.batch())
    h = rows(g)
    ours = readout("attention")
    other = pyg.aggr.AttentionalAggregation(ours.score)
    close(ours(h, g), other(h, g.graph_ids), 1e-10)
    ours = readout("set2set")
    other = pyg.aggr.Set2Set(5, ours.steps).double()
    for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"):
        getattr(other.lstm, f"{name}_l0").data = getattr(ours.lstm, name).data
    close(ours(h, g), other(h, g.graph_ids), 1e-10)


@each_kind
def test_a_graph_without_nodes_gives_zeros_or_a_finite_row(kind: Pooling) -> None:
    empty = replace(graphs.batch(), num_graphs=graphs.batch().num_graphs + 2)
    h = rows(empty).float().requires_grad_()
    out = readout(kind).float()(h, empty)
    assert out.isfinite().all()
    if kind != "set2set":
        assert torch.equal(out[-2:], torch.zeros(2, 5))
    out.sum().backward()
    assert h.grad is not None
    assert h.grad.isfinite().all()


@each_kind
def test_readout_gradient(kind: Pooling) -> None:
    g = double(graphs.batch())
    pool = readout(kind)
    assert torch.autograd.gradcheck(lambda h: pool(h, g), rows(g).requires_grad_())


def test_unknown_readout_is_named() -> None:
    with pytest.raises(ValueError, match=r"readout must be one of .*set2set.*'median'"):
        Readout("median", 4)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="steps"):
        Readout("set2set", 4, steps=0)


@each_kind
def test_layers_read_out_one_by_one_and_laid_side_by_side(kind: Pooling) -> None:
    """With concatenating jumping knowledge, the sum, mean or maximum of the whole is those of the layers."""
    torch.manual_seed(0)
    net = GIN(graphs.F, [4, 3], jk="cat", readout=kind, norm="none").double()
    g = double(graphs.batch())
    out = net.pool(net(g), g)
    assert out.shape == (g.num_graphs, net.graph_channels)
    if kind in ("sum", "mean", "max"):
        first = net.blocks[0](g.x, g)
        second = net.blocks[1](first, g)
        close(out, torch.cat([Readout(kind, w)(h, g) for h, w in ((first, 4), (second, 3))], 1), 1e-10)


def test_embed_gives_a_row_a_graph() -> None:
    several = parts()
    net = GIN(graphs.F, [8], readout="sum").double()
    z = embed(net, several, level="graph")
    assert z.shape == (len(several), 8)
    close(z, torch.cat([embed(net, [g], level="graph", batch_size=1) for g in several]), 1e-5)
    close(z, embed(net, side_by_side(several), level="graph", batch_size=3), 1e-5)
    with pytest.raises(ValueError, match="level"):
        embed(net, several, level="edge")  # type: ignore[arg-type]


# ---------------------------------------------------------------------- edge features, the virtual node, order


def encoder(**options: Any) -> GNN:
    torch.manual_seed(0)
    net = GINE(graphs.F, [8, 8], edge_channels=BONDS, **options).double()
    for p in net.parameters():
        p.data += 0.1 * torch.randn_like(p)
    return net


OPTIONS: list[dict[str, Any]] = [
    {},
    {"input": 8},
    {"input": 8, "virtual_node": True},
    {"expansion": 2, "mlp_norm": True},
    {"order": "act-norm"},
    {"skip": "residual", "jk": "cat"},
    {"skip": "dense", "input": 5},
]


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_permutation_and_batch(options: dict[str, Any]) -> None:
    net = encoder(**options).eval()
    permutation_equivariant(net, double(graphs.with_attributes()))
    batch_is_one_by_one(net, parts())


def test_gine_equals_pyg() -> None:
    g = double(graphs.with_attributes())
    g = replace(g, edge_weight=None, edge_attr=g.edge_attr.double())  # type: ignore[union-attr]
    torch.manual_seed(0)
    ours = GINEConv(graphs.F, 7, edge_channels=BONDS, expansion=2).double()
    ours.eps.data.fill_(0.25)
    mlp = nn.Sequential(nn.Linear(graphs.F, 14), nn.ReLU(), nn.Linear(14, 7)).double()
    mlp[0].weight.data, mlp[0].bias.data = ours.first.weight.t(), ours.first.bias.data
    mlp[2].weight.data, mlp[2].bias.data = ours.second.weight.t(), ours.second.bias.data
    other = pyg.GINEConv(mlp, eps=0.25, edge_dim=BONDS).double()
    other.lin.weight.data, other.lin.bias.data = ours.edges.weight.t(), torch.zeros(graphs.F, dtype=torch.float64)
    for x in (g.x, rows(g, graphs.F)):
        close(ours(x, g), other(x, g.edge_index, g.edge_attr), 1e-10)


def test_gine_weighs_messages() -> None:
    g = double(graphs.with_weights(graphs.undirected()))
    assert g.edge_weight is not None
    net = GINEConv(graphs.F, 7, edge_channels=BONDS).double()
    doubled = replace(g, edge_weight=torch.full_like(g.edge_weight, 2.0))
    twice = g.with_edges(torch.cat([g.edge_index] * 2, 1), None, torch.cat([g.edge_attr] * 2))
    close(net(g.x, doubled), net(g.x, twice), 1e-10)


def test_gine_needs_its_columns() -> None:
    with pytest.raises(ValueError, match="edge_attr with 3 columns, and the graph has no edge_attr"):
        encoder()(double(graphs.undirected()))
    g = double(graphs.with_attributes())
    with pytest.raises(ValueError, match="the graph has 2"):
        encoder()(replace(g, edge_attr=g.edge_attr[:, :2]))  # type: ignore[index]


def test_the_virtual_node_joins_what_no_edge_does() -> None:
    """Two nodes without an edge know nothing of each other but through it."""
    x = torch.randn(2, 3, dtype=torch.float64)
    g = Graph.of((x, torch.empty(2, 0, dtype=torch.long)))
    moved = g.with_x(x + torch.tensor([[0.0], [1.0]]))
    for joined in (False, True):
        torch.manual_seed(0)
        net = GIN(3, [4, 4], input=4, virtual_node=joined, norm="none").double().eval()
        assert torch.equal(net(g)[0], net(moved)[0]) != joined


def test_the_virtual_node_starts_at_zero_and_stays_within_its_graph() -> None:
    torch.manual_seed(0)
    node = VirtualNode(4, 2, 0.1).double().eval()
    g = double(graphs.batch())
    h = rows(g, 4)
    out, state = node(h, g, None, 0)
    assert torch.equal(out, h)
    changed = h.clone()
    changed[g.graph_ids == 0] += 1
    _, other = node(changed, g, None, 0)
    same = (state == other).all(1)
    assert same.tolist() == [False] + [True] * (g.num_graphs - 1)


def test_the_virtual_node_needs_one_width() -> None:
    for options in ({"input": None}, {"input": 5}):
        with pytest.raises(ValueError, match="virtual_node needs input"):
            GIN(3, [4, 4], virtual_node=True, **options)


def test_order_of_norm_and_activation() -> None:
    torch.manual_seed(0)
    net = GIN(graphs.F, [4], act="relu", order="act-norm").train()
    out = net(graphs.undirected())
    close(out.mean(0), torch.zeros(4), 1e-5)  # the norm has the last word
    torch.manual_seed(0)
    assert (GIN(graphs.F, [4], act="relu").train()(graphs.undirected()) >= 0).all()
    with pytest.raises(ValueError, match="order"):
        GIN(graphs.F, [4], order="norm")  # type: ignore[arg-type]


def test_input_over_multi_hot_rows_is_a_sum_of_embeddings() -> None:
    from ogb.graphproppred.mol_encoder import AtomEncoder
    from ogb.utils.features import get_atom_feature_dims

    sizes = get_atom_feature_dims()
    torch.manual_seed(0)
    atoms = torch.stack([torch.randint(size, (11,)) for size in sizes], 1)
    x = torch.cat([nn.functional.one_hot(column, size) for column, size in zip(atoms.t(), sizes, strict=True)], 1).float()
    theirs, net = AtomEncoder(16), GIN(sum(sizes), [16], input=16)
    assert net.input is not None
    net.input.weight.data = torch.cat([table.weight.data for table in theirs.atom_embedding_list])
    close(net.input(x), theirs(atoms), 1e-5)


# ---------------------------------------------------------------------- InfoGraph


def reference(h: Tensor, s: Tensor, graph_id: list[int]) -> float:
    def softplus(v: float) -> float:
        return max(v, 0.0) + math.log1p(math.exp(-abs(v)))

    n, count = h.size(0), s.size(0)
    positive = negative = 0.0
    for u in range(n):
        for k in range(count):
            score = sum(float(a) * float(b) for a, b in zip(h[u], s[k], strict=True))
            if k == graph_id[u]:
                positive += math.log(2) - softplus(-score)
            else:
                negative += softplus(score) - math.log(2)
    return negative / (n * (count - 1)) - positive / n


@pytest.mark.parametrize("chunk", [None, 1, 4, 100])
def test_node_graph_jsd_equals_its_loop(chunk: int | None) -> None:
    generator = torch.Generator().manual_seed(0)
    h, s = (2 * torch.randn(k, 3, generator=generator, dtype=torch.float64) for k in (9, 4))
    ids = torch.tensor([0, 0, 1, 2, 2, 2, 2, 3, 3])
    assert float(node_graph_jsd(h, s, ids, chunk=chunk)) == pytest.approx(reference(h, s, ids.tolist()), abs=1e-12)
    whole = value_and_gradients(lambda a, b: node_graph_jsd(a, b, ids), h, s)
    for one, other in zip(value_and_gradients(lambda a, b: node_graph_jsd(a, b, ids, chunk=chunk), h, s), whole, strict=True):
        close(one, other, 1e-12)
    assert torch.autograd.gradcheck(lambda a, b: node_graph_jsd(a, b, ids, chunk=chunk), (h.requires_grad_(), s.requires_grad_()))


def test_node_graph_jsd_limits() -> None:
    ids = torch.tensor([0, 0, 1, 2])
    zero = torch.zeros(4, 2)
    assert node_graph_jsd(zero, torch.zeros(3, 2), ids).item() == 0
    own = 50 * torch.eye(3)
    assert node_graph_jsd(own[ids], own, ids).item() == pytest.approx(-math.log(2), abs=1e-5)  # positives sure, negatives orthogonal
    assert node_graph_jsd(own[ids], own, ids) < node_graph_jsd(own[ids], own.roll(1, 0), ids)
    assert node_graph_jsd(own[ids].bfloat16(), own.bfloat16(), ids).dtype == torch.float32
    with pytest.raises(ValueError, match="at least two graphs"):
        node_graph_jsd(zero, torch.zeros(1, 2), torch.zeros(4, dtype=torch.long))
    with pytest.raises(ValueError, match="graph_id"):
        node_graph_jsd(zero, torch.zeros(3, 2), ids[:2])
    with pytest.raises(ValueError, match="chunk"):
        node_graph_jsd(zero, torch.zeros(3, 2), ids, chunk=0)


def infograph(**options: Any) -> InfoGraph:
    torch.manual_seed(0)
    return InfoGraph(GIN(graphs.F, [8, 8], jk="cat", act="relu", order="act-norm", **{"readout": "sum", **options}))


def test_infograph_is_the_loss_of_its_parts() -> None:
    g, net = side_by_side(parts()), infograph().double().eval()
    h = net.encoder(g)
    summary = torch.stack([h[g.graph_ids == k].sum(0) for k in range(g.num_graphs)])
    expected = reference(net.local(h).detach(), net.summary(summary).detach(), g.graph_ids.tolist())
    assert float(net(g).detach()) == pytest.approx(expected, rel=1e-9)


def test_infograph_does_not_see_the_order_of_graphs() -> None:
    several, net = parts(), infograph().double().eval()
    close(net(side_by_side(several)), net(side_by_side(several[::-1])), 1e-10)


def test_infograph_learns_and_sends_gradients() -> None:
    g = graphs.batch()
    loss_falls(infograph(), g)
    gradients_where_due(infograph(readout="attention"), g)
    torch.manual_seed(5)
    other = InfoGraph(GIN(graphs.F, [8, 8], jk="cat", act="relu", order="act-norm", readout="sum"))
    same_state_same_output(infograph(), other, lambda module: module(g))


def test_infograph_refuses_what_it_cannot_compare() -> None:
    with pytest.raises(ValueError, match="readout must keep the width"):
        infograph(readout="set2set")
    with pytest.raises(ValueError, match="chunk"):
        InfoGraph(GIN(3, [4]), chunk=0)
    with pytest.raises(ValueError, match="at least two graphs"):
        infograph()(graphs.undirected())
