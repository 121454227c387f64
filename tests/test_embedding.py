"""Embeddings: exact, repeatable, and without a trace in the encoder."""

from __future__ import annotations

import graphs
import pytest
import torch
from checks import close
from torch import nn

from graphssl import GAT, GCN, GIN, GNN, GraphSAGE, embed, side_by_side
from graphssl.datasets import contextual_sbm

ENCODERS = {
    "gcn": lambda: GCN(graphs.F, [8, 8], dropout=0.5),
    "gat": lambda: GAT(graphs.F, [8, 8], dropout=0.5, attention_dropout=0.5),
    "sage": lambda: GraphSAGE(graphs.F, [8, 8], dropout=0.5, act="rrelu"),
    "gin": lambda: GIN(graphs.F, [8, 8], dropout=0.5, norm="graph", jk="lstm"),
}
each_encoder = pytest.mark.parametrize("name", ENCODERS)
PARTS = [graphs.undirected(), graphs.with_loops(), graphs.no_edges(), graphs.undirected(seed=4), graphs.one_node()]


def encoder(name: str) -> GNN:
    torch.manual_seed(0)
    net = ENCODERS[name]()
    net.train()
    net(graphs.undirected())  # statistics that are not those of the start
    return net


@each_encoder
def test_twice_the_same_and_equal_to_eval(name: str) -> None:
    net = encoder(name)
    g = graphs.undirected()
    z = embed(net, g)
    assert torch.equal(z, embed(net, g))
    assert torch.equal(net.eval()(g), z)
    assert not torch.equal(net.train()(g), z), "dropout is on in training"
    assert z.dtype == torch.float32
    assert not z.requires_grad


@each_encoder
def test_modes_and_state_stay(name: str) -> None:
    net = encoder(name)
    net.blocks[0].norm.eval()  # a part that the caller froze
    modes = [m.training for m in net.modules()]
    state = {k: v.clone() for k, v in net.state_dict().items()}
    rng = torch.get_rng_state()
    embed(net, graphs.undirected())
    assert [m.training for m in net.modules()] == modes
    assert all(torch.equal(v, net.state_dict()[k]) for k, v in state.items())
    assert torch.equal(rng, torch.get_rng_state())


def test_modes_come_back_after_an_error() -> None:
    net = encoder("gcn")
    with pytest.raises(ValueError, match="takes in_channels=6"):
        embed(net, graphs.undirected().with_x(torch.ones(graphs.N, graphs.F + 1)))
    assert all(m.training for m in net.modules())


@pytest.mark.parametrize("batch_size", [None, 1, 2, 3, 10])
@each_encoder
def test_several_graphs_one_after_another(name: str, batch_size: int | None) -> None:
    net = encoder(name)
    z = embed(net, PARTS, batch_size=batch_size)
    close(z, torch.cat([embed(net, g) for g in PARTS]), 1e-5)
    close(z, embed(net, side_by_side(PARTS)), 1e-5)


def test_dataset() -> None:
    data = contextual_sbm(40, 2, graphs.F, degree=5, seed=0)
    net = encoder("gcn")
    assert torch.equal(embed(net, data), embed(net, data.graph))


def test_any_module_will_do() -> None:
    class Features(nn.Module):
        def forward(self, g):  # type: ignore[no-untyped-def]
            return g.dense_x().double()

    z = embed(Features(), graphs.sparse())
    assert torch.equal(z, graphs.features())


def test_bad_batch_size_is_named() -> None:
    for word in ("batch_size", "at least 1", "0"):
        with pytest.raises(ValueError, match=word):
            embed(encoder("gcn"), graphs.undirected(), batch_size=0)
