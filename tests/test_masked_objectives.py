"""Objectives that hide and tell again: GraphMAE, attribute masking, context prediction; and BGRL on whole graphs."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import graphs
import networkx as nx
import pytest
import references
import torch
import torch.nn.functional as F
from checks import close, double, gradients_where_due, loss_falls, relabelled, shuffled_within_graphs, value_and_gradients
from torch import Tensor, nn

from graphssl import (
    BGRL,
    CSR,
    GAT,
    GCN,
    GIN,
    GINE,
    AttributeMasking,
    ContextPrediction,
    DropEdges,
    DropNodes,
    Graph,
    GraphBatches,
    GraphMAE,
    GraphSAGE,
    Identity,
    Objective,
    embed,
    fit,
    seeded,
)
from graphssl.building import make
from graphssl.datasets import contextual_sbm
from graphssl.encoders import GNN
from graphssl.layers import GATConv
from graphssl.losses import scaled_cosine
from graphssl.objectives.context_prediction import hops_from
from graphssl.recipes import DEFAULTS, GRAPH_DEFAULTS, RECIPES, Recipe, find_recipe

BLOCKS = (5, 3)  # two categorical attributes of a node
BONDS = 2
SIZES = (9, 1, 6, 14, 4, 11, 8, 12)


def molecules(seed: int = 0) -> Graph:
    """Chains with a few branches, of 1 to 14 nodes, with multi-hot features (:func:`codes`) and multi-hot edge attributes."""
    generator = torch.Generator().manual_seed(seed)
    pairs, start = [], 0
    for size in SIZES:
        for k in range(1, size):  # a bond to the last atom, sometimes to the one before
            to = k - 1 - int(k > 1 and torch.rand((), generator=generator) < 0.3)
            pairs.append((start + to, start + k))
        start += size
    ends = torch.tensor(pairs).t()
    edge_index = graphs.both(ends)
    kind = F.one_hot(ends.sum(0) % BONDS, BONDS).float()
    n = sum(SIZES)
    g = Graph.of((torch.ones(n, 1), edge_index))
    x = torch.cat([F.one_hot(codes(n)[:, k], width) for k, width in enumerate(BLOCKS)], 1).float()
    order = (edge_index[1] * n + edge_index[0]).argsort(stable=True)
    graph_id = torch.arange(len(SIZES)).repeat_interleave(torch.tensor(SIZES))
    return replace(g, x=CSR.from_dense(x), edge_attr=torch.cat([kind, kind])[order], graph_id=graph_id, num_graphs=len(SIZES))


def codes(n: int) -> Tensor:
    """The two attributes of each node as numbers, ``[n, 2]``: the first in runs of three, so that neighbours tell of it."""
    k = torch.arange(n)
    return torch.stack([(k // 3) % BLOCKS[0], (k * k) % BLOCKS[1]], 1)


WIDTH = sum(BLOCKS)
ENCODERS: dict[str, Callable[[int], GNN]] = {
    "gcn": lambda f: GCN(f, [12, 8]),
    "gat": lambda f: GAT(f, [12, 8], heads=2, attention_dropout=0.1, norm="none", dropout=0.2, input_dropout=0.2),
    "sage": lambda f: GraphSAGE(f, [12, 8], norm="layer"),
    "gin": lambda f: GIN(f, [12, 8], mlp_norm=True, input_dropout=0.2),
    "gin-cat": lambda f: GIN(f, [8, 8], jk="cat", input=6, readout="sum"),
    "gine": lambda f: GINE(f, [8, 8], edge_channels=BONDS, input=8),
}
each_encoder = pytest.mark.parametrize("kind", ENCODERS)
each_decoder = pytest.mark.parametrize("decoder", ["same", "mlp", "linear"])
each_graph = pytest.mark.parametrize("graph", graphs.GRAPHS)


def encoder(f: int = graphs.F) -> GNN:
    return GCN(f, [8, 8], norm="none")


@pytest.fixture(scope="module")
def sbm() -> Graph:
    return contextual_sbm(120, 3, 16, degree=8, seed=0).graph


# ---------------------------------------------------------------------- scaled cosine error


def pair(n: int = 7, f: int = 4) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(3)
    return torch.randn(n, f, generator=generator, dtype=torch.double), torch.randn(n, f, generator=generator, dtype=torch.double)


@pytest.mark.parametrize("alpha", [1, 1.5, 2, 3])
def test_scaled_cosine_equals_its_equation(alpha: float) -> None:
    a, b = pair()
    terms = [(1 - references.cosine(x, y)) ** alpha for x, y in zip(references.rows(a), references.rows(b), strict=True)]
    assert scaled_cosine(a, b, alpha=alpha).item() == pytest.approx(sum(terms) / len(terms), abs=1e-12)
    assert torch.autograd.gradcheck(lambda x, y: scaled_cosine(x, y, alpha=alpha), (a.requires_grad_(), b.requires_grad_()))


@pytest.mark.parametrize("alpha", [1, 2, 3])
def test_scaled_cosine_limits(alpha: float) -> None:
    a, b = pair()
    assert scaled_cosine(a, 3 * a, alpha=alpha).item() == pytest.approx(0, abs=1e-12)
    assert scaled_cosine(a, -a, alpha=alpha).item() == pytest.approx(2**alpha)
    assert scaled_cosine(a * 7, b / 7, alpha=alpha).item() == pytest.approx(scaled_cosine(a, b, alpha=alpha).item())
    assert scaled_cosine(a, a.roll(1, 0), alpha=alpha) > 0.1
    assert scaled_cosine(a.bfloat16(), b.bfloat16(), alpha=alpha).dtype == torch.float32


def test_a_row_of_zeros_has_a_finite_gradient() -> None:
    a, b = (x.float() for x in pair())
    a[2] = 0
    b[3] = 0
    value, grad_a, grad_b = value_and_gradients(lambda x, y: scaled_cosine(x, y, alpha=2), a, b)
    assert value.isfinite()
    assert grad_a.abs().max() < 10
    assert grad_b.abs().max() < 10
    assert grad_a[2].abs().sum() > 0, "there is a way out of zero"
    assert scaled_cosine(torch.zeros(3, 4), b[:3], alpha=3).item() == 1


def test_equal_rows_have_a_finite_gradient() -> None:
    """Rounding makes some cosines larger than one."""
    a = torch.randn(1000, 3, generator=torch.Generator().manual_seed(0))
    value, grad, _ = value_and_gradients(lambda x, y: scaled_cosine(x, y, alpha=1.5), a, a)
    assert value.isfinite()
    assert grad.isfinite().all()


def test_scaled_cosine_refuses() -> None:
    with pytest.raises(ValueError, match=r"alpha must be at least 1, got 0\.5"):
        scaled_cosine(*pair(), alpha=0.5)
    with pytest.raises(ValueError, match=r"one shape, got \(7, 4\) and \(6, 4\)"):
        scaled_cosine(pair()[0], pair()[1][:6])


# ---------------------------------------------------------------------- GraphMAE: what is hidden


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("replace_rate", [0.0, 0.1, 0.5, 1.0])
@pytest.mark.parametrize("mask_rate", [0.05, 0.25, 0.5, 0.75, 1.0])
def test_exactly_the_share_is_hidden(mask_rate: float, replace_rate: float, seed: int) -> None:
    torch.manual_seed(seed)
    g = graphs.undirected(40, 60)
    net = GraphMAE(encoder(), mask_rate=mask_rate, replace_rate=replace_rate)
    nn.init.normal_(net.token)
    masked, hidden, x = net.mask(g)
    assert masked.unique().numel() == masked.numel() == int(mask_rate * 40)
    assert torch.equal(x, g.dense_x())
    blank = (hidden.dense_x() == net.token).all(1)
    changed = (hidden.dense_x() != x).any(1).nonzero().squeeze(1)
    num_replaced = int(replace_rate * masked.numel())
    assert blank.sum() == masked.numel() - num_replaced
    assert set(changed.tolist()) <= set(masked.tolist())
    for row in masked[:num_replaced]:
        assert (x == hidden.dense_x()[row]).all(1).any(), "it has some node's features"


def test_replacements_are_other_nodes_features() -> None:
    torch.manual_seed(0)
    _, hidden, x = GraphMAE(encoder(), mask_rate=1.0, replace_rate=1.0).mask(graphs.undirected(40, 60))
    assert (hidden.dense_x() == x).all(1).sum() < 6, "a node draws itself once in forty"
    assert hidden.dense_x().unique(dim=0).size(0) > 15


def test_at_least_one_node_is_hidden() -> None:
    assert GraphMAE(encoder(), mask_rate=0.01).mask(graphs.one_node())[0].tolist() == [0]


def test_hidden_nodes_are_seeds() -> None:
    g = graphs.seeded()
    for _ in range(20):
        masked, _, _ = GraphMAE(encoder(), mask_rate=0.7).mask(g)
        assert masked.numel() == 2
        assert masked.max() < 3


def test_every_node_is_hidden_at_times() -> None:
    torch.manual_seed(0)
    counts = torch.zeros(graphs.N)
    net = GraphMAE(encoder(), mask_rate=0.5)
    for _ in range(400):
        counts[net.mask(graphs.undirected())[0]] += 1
    assert (counts - 200).abs().max() < 50  # five standard deviations


def test_what_is_hidden_does_not_leak() -> None:
    """Other features at the hidden nodes give the encoder the same input, and the loss another target."""
    g = double(graphs.undirected())
    net = GraphMAE(encoder().double(), mask_rate=0.5)
    net.double()
    with seeded(5):
        masked, before, _ = net.mask(g)
    x = g.dense_x().clone()
    x[masked] += torch.randn(masked.numel(), graphs.F, dtype=x.dtype)
    with seeded(5):
        again, after, truth = net.mask(g.with_x(x))
    assert torch.equal(masked, again)
    assert torch.equal(before.dense_x(), after.dense_x())
    assert torch.equal(truth, x)
    with seeded(5):
        first = net(g)
    with seeded(5):
        assert net(g.with_x(x)) != first


def test_the_graph_itself_is_not_changed() -> None:
    g = graphs.undirected()
    before = g.dense_x().clone()
    GraphMAE(encoder(), replace_rate=0.3)(g).backward()
    assert torch.equal(g.dense_x(), before)


# ---------------------------------------------------------------------- GraphMAE: what is told again


def test_the_decoder_sees_zeros_at_the_hidden_nodes() -> None:
    g = double(graphs.undirected())
    net = GraphMAE(encoder().double()).double()
    seen: list[Tensor] = []
    net.decoder.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].x))
    with seeded(1):
        net(g)
    with seeded(1):
        masked, hidden, _ = net.mask(g)
    rows = net.to_decoder(net.encoder(hidden))
    assert (seen[0][masked] == 0).all()
    kept = torch.ones(g.num_nodes, dtype=torch.bool).index_fill_(0, masked, False)
    close(seen[0][kept], rows[kept])
    assert (rows[masked] != 0).any(1).all(), "something was there to be set to zero"


class Fixed(nn.Module):
    """A decoder that says what it was told to."""

    def __init__(self, x: Tensor) -> None:
        super().__init__()
        self.x = x

    def forward(self, g: Graph) -> Tensor:
        return self.x


@pytest.mark.parametrize("alpha", [1.0, 2.0, 3.0])
def test_only_hidden_rows_matter(alpha: float) -> None:
    g = double(graphs.undirected())
    net = GraphMAE(encoder().double(), alpha=alpha, replace_rate=0.3).double()
    answer = torch.randn(graphs.N, graphs.F, dtype=torch.double)
    with seeded(2):
        masked, _, _ = net.mask(g)
    others = torch.ones(graphs.N, dtype=torch.bool).index_fill_(0, masked, False)

    def loss(x: Tensor) -> float:
        net.decoder = Fixed(x)
        with seeded(2):
            return net(g).item()  # type: ignore[no-any-return]

    terms = [(1 - references.cosine(answer[i].tolist(), g.dense_x()[i].tolist())) ** alpha for i in masked.tolist()]
    assert loss(answer) == pytest.approx(sum(terms) / len(terms), abs=1e-12)
    changed = answer.clone()
    changed[others] += 1
    assert loss(changed) == loss(answer)
    changed[masked[0]] += 1
    assert loss(changed) != loss(answer)


@pytest.mark.parametrize("decoder", ["mlp", "linear"])
def test_a_decoder_of_single_nodes_sees_the_encoder_as_it_is(decoder: Any) -> None:
    g = double(graphs.undirected())
    net = GraphMAE(encoder().double(), decoder=decoder, alpha=1).double().eval()
    with seeded(3):
        value = net(g)
    with seeded(3):
        masked, hidden, x = net.mask(g)
    x_hat = net.decoder(net.to_decoder(net.encoder(hidden)))
    assert value.item() == pytest.approx(references.bootstrap(x_hat[masked], x[masked]), abs=1e-12)


def test_the_decoder_is_one_layer_of_the_encoders_kind() -> None:
    gat = GraphMAE(GAT(7, [12, 8], heads=4, dropout=0.3, input_dropout=0.2)).decoder
    assert [type(block.conv).__name__ for block in gat.blocks] == ["GATConv"]
    assert (gat.blocks[0].conv.heads, gat.input_dropout, gat.in_channels, gat.out_channels) == (1, 0.2, 8, 7)
    gin = GraphMAE(GIN(3, [16, 16], mlp_norm=True)).decoder
    assert gin.blocks[0].conv.first.weight.shape == (16, 16), "as narrow as the features it could not tell them"
    assert isinstance(gin.blocks[0].conv.norm, nn.BatchNorm1d)
    assert isinstance(gin.blocks[0].norm, nn.Identity)
    own = GNN(5, [6], lambda i, o: GATConv(i, o, heads=1))
    assert GraphMAE(own).decoder.out_channels == 5


@each_decoder
@each_encoder
def test_graphmae_loss_falls(kind: str, decoder: Any) -> None:
    g = molecules()
    torch.manual_seed(0)
    loss_falls(GraphMAE(ENCODERS[kind](WIDTH), replace_rate=0.1, decoder=decoder), g, lr=1e-2)


@each_decoder
@each_encoder
def test_graphmae_gradients(kind: str, decoder: Any) -> None:
    """The token's among them."""
    torch.manual_seed(0)
    net = GraphMAE(ENCODERS[kind](WIDTH), decoder=decoder)
    for name, p in net.decoder.named_parameters():  # a row set to zero says nothing of itself: without batch norm these move nothing
        p.requires_grad_(not name.endswith(("conv.eps", "conv.root.weight")))
    gradients_where_due(net, molecules())
    assert net.token.grad is not None
    assert net.token.grad.abs().sum() > 0


@each_graph
def test_graphmae_on_every_graph(graph: str) -> None:
    g = graphs.GRAPHS[graph]()
    torch.manual_seed(0)
    net = GraphMAE(GAT(g.num_features, [8, 8], heads=2, norm="none"), replace_rate=0.2)
    for _ in range(3):
        loss = net(g)
        assert loss.shape == ()
        assert 0 <= loss.item() <= 4
        net.zero_grad()
        loss.backward()
        assert all(p.grad.isfinite().all() and p.grad.abs().max() < 1e3 for p in net.parameters() if p.grad is not None)


def test_sparse_features_are_dense_ones() -> None:
    cases: list[tuple[Objective, Graph]] = [
        (GraphMAE(encoder(), replace_rate=0.2), graphs.sparse_batch()),
        (AttributeMasking(encoder(WIDTH), num_types=BLOCKS[0]), molecules()),
    ]
    for net, g in ((net.double(), double(g)) for net, g in cases):
        with seeded(0):
            first = net(g)
        with seeded(0):
            assert net(g.with_x(g.dense_x())).item() == pytest.approx(first.item(), abs=1e-12)


@pytest.mark.parametrize("cls", [GraphMAE, AttributeMasking])
def test_embedding_hides_nothing(cls: type[GraphMAE] | type[AttributeMasking], monkeypatch: pytest.MonkeyPatch) -> None:
    g = molecules()
    net = cls(ENCODERS["gin"](WIDTH), **({} if cls is GraphMAE else {"num_types": BLOCKS[0]}))  # type: ignore[arg-type]
    fit(net, g, epochs=2)
    net.eval()
    expected = net.encoder(g)

    def alarm(*_: object) -> None:
        raise AssertionError("embed hid something")

    monkeypatch.setattr(cls, "mask", alarm)
    with pytest.raises(AssertionError, match="hid something"):
        net(g)
    assert torch.equal(embed(net.encoder, g), expected)


# ---------------------------------------------------------------------- layers that came with it


def test_attention_of_a_wide_layer_sums_first() -> None:
    torch.manual_seed(0)
    g = double(graphs.weighted())
    conv = GATConv(graphs.F, 9, heads=1).double()
    assert conv.narrow_first
    nn.init.normal_(conv.bias)

    def run(x: Tensor, *_: Tensor) -> Tensor:
        return (conv(x, g.with_x(x)) * torch.arange(9)).square().sum()

    found = []
    for narrow in (True, False):
        conv.narrow_first = narrow
        x = g.dense_x().clone().requires_grad_()
        value = run(x)
        found.append((value.detach(), *torch.autograd.grad(value, [x, *conv.parameters()])))
    for a, b in zip(*found, strict=True):
        close(a, b)


@pytest.mark.parametrize("graph", ["undirected", "sparse"])
def test_dropout_of_features(graph: str) -> None:
    g = graphs.GRAPHS[graph]()
    net = GCN(graphs.F, [8], norm="none", act="none", input_dropout=0.4)
    net.eval()
    assert torch.equal(net(g), net(g))
    net.train()
    with torch.no_grad(), seeded(0):
        mean = torch.stack([net(g) for _ in range(3000)]).mean(0)
    net.eval()
    close(mean, net(g).detach(), 0.06)
    with pytest.raises(ValueError, match=r"input_dropout must be in \[0, 1\), got 1"):
        GCN(3, [4], input_dropout=1.0)


# ---------------------------------------------------------------------- attribute masking


@pytest.mark.parametrize("mask_rate", [0.0, 0.15, 0.5, 1.0])
def test_each_graph_hides_its_share(mask_rate: float) -> None:
    torch.manual_seed(0)
    g = molecules()
    masked = AttributeMasking(encoder(WIDTH), mask_rate=mask_rate).mask(g)
    assert masked.unique().numel() == masked.numel()
    counts = torch.bincount(g.graph_ids[masked], minlength=g.num_graphs).tolist()
    assert counts == [min(int(n * mask_rate + 1), n) for n in SIZES]


def test_attribute_masking_hides_seeds() -> None:
    g = replace(molecules(), num_seeds=12)
    net = AttributeMasking(encoder(WIDTH), num_types=BLOCKS[0], mask_rate=0.5)
    assert torch.bincount(g.graph_ids[net.mask(g)], minlength=g.num_graphs).tolist() == [5, 1, 2, 0, 0, 0, 0, 0]
    assert net(g).isfinite()


@pytest.mark.parametrize("num_types", [BLOCKS[0], None])
@pytest.mark.parametrize("dense", [False, True])
def test_attribute_masking_equals_its_equation(num_types: int | None, dense: bool) -> None:
    """The type of a hidden node is its element, and the encoder has the token in its place."""
    g = double(molecules())
    if num_types is None:
        g = g.with_x(CSR.from_dense(F.one_hot(codes(g.num_nodes)[:, 0], WIDTH).double()))
    g = g.with_x(g.dense_x()) if dense else g
    net = AttributeMasking(encoder(WIDTH).double(), num_types=num_types).double()
    nn.init.normal_(net.token)
    with seeded(0):
        value = net(g)
    with seeded(0):
        masked = net.mask(g)
    x = g.dense_x().clone()
    x[masked] = net.token.detach()
    scores = net.predictor(net.encoder(g.with_x(x)))
    terms = [references.log_sum_exp(scores[i].tolist()) - scores[i, codes(g.num_nodes)[i, 0]].item() for i in masked.tolist()]
    assert value.item() == pytest.approx(sum(terms) / len(terms), abs=1e-10)
    assert scores.size(1) == (num_types or WIDTH)


def test_attribute_masking_does_not_leak() -> None:
    g = molecules()
    torch.manual_seed(0)
    net = AttributeMasking(encoder(WIDTH), num_types=BLOCKS[0])
    seen: list[Tensor] = []
    net.encoder.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].dense_x()))
    with seeded(0):
        masked = net.mask(g)
    x = g.dense_x().clone()
    x[masked] = x[masked].roll(1, 0).flip(0)
    for features in (g.dense_x(), x):
        with seeded(0):
            net(g.with_x(features))
    assert torch.equal(seen[0], seen[1])


def test_types_of_rows_that_were_normalised() -> None:
    g = molecules()
    net = AttributeMasking(encoder(WIDTH), num_types=BLOCKS[0])
    with seeded(0):
        first = net(g)
    with seeded(0):
        half = net(g.with_x(g.x.with_values(g.x.values() / 2)))  # type: ignore[union-attr]
    assert first.isfinite()
    assert half.isfinite()


@pytest.mark.parametrize("dense", [False, True])
def test_types_that_are_none_are_refused(dense: bool) -> None:
    g = molecules()
    x = g.dense_x().clone()
    x[5, : BLOCKS[0]] = 0
    for features, num_types, found in ((g.dense_x(), None, "node 0 has 2 non-zeros"), (x, BLOCKS[0], "node 5 has 0 non-zeros")):
        net = AttributeMasking(encoder(WIDTH), num_types=num_types)
        with pytest.raises(ValueError, match=found):
            net(g.with_x(features if dense else CSR.from_dense(features)))


@each_encoder
def test_attribute_masking_learns(kind: str) -> None:
    torch.manual_seed(0)
    loss_falls(AttributeMasking(ENCODERS[kind](WIDTH), num_types=BLOCKS[0]), molecules(), lr=1e-2)
    torch.manual_seed(0)
    gradients_where_due(AttributeMasking(ENCODERS[kind](WIDTH), num_types=BLOCKS[0]), molecules())


def test_attribute_masking_tells_runs_of_types() -> None:
    """Neighbours give the type away, so much better than chance is possible."""
    torch.manual_seed(0)
    net = AttributeMasking(GIN(WIDTH, [32, 32, 32]), num_types=BLOCKS[0])
    fit(net, molecules(), epochs=150, lr=1e-2)
    with torch.no_grad(), seeded(9):
        loss = torch.stack([net(molecules()) for _ in range(20)]).mean()
    assert loss < 0.7 * math.log(BLOCKS[0])


# ---------------------------------------------------------------------- context prediction


def as_networkx(g: Graph) -> nx.DiGraph:
    graph = nx.DiGraph()
    graph.add_nodes_from(range(g.num_nodes))
    graph.add_edges_from(g.edge_index.t().tolist())
    return graph


@each_graph
@pytest.mark.parametrize("most", [1, 3, 7])
def test_hops_are_shortest_paths(graph: str, most: int) -> None:
    g = graphs.GRAPHS[graph]()
    start = g.node_ptr[:-1]
    expected = [most + 1] * g.num_nodes
    for node in start.tolist():
        for other, hops in nx.single_source_shortest_path_length(as_networkx(g), node, cutoff=most).items():
            expected[other] = hops
    assert hops_from(g, start, most).tolist() == expected


class Seen:
    """Notes the graphs that an encoder is given, and the embeddings that it gives."""

    def __init__(self, net: nn.Module) -> None:
        self.graphs: list[Graph] = []
        self.rows: list[Tensor] = []
        net.register_forward_hook(self)

    def __call__(self, _: nn.Module, inputs: tuple[Graph], out: Tensor) -> None:
        self.graphs.append(inputs[0])
        self.rows.append(out)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize(("hops", "inner", "outer", "num_negatives"), [(5, 4, 7, 1), (3, 2, 4, 2), (2, 0, 1, 3), (1, 0, 6, 1)])
def test_context_prediction_equals_its_equation(hops: int, inner: int, outer: int, num_negatives: int, seed: int) -> None:
    """Node sets from networkx, dot products and cross-entropies in loops."""
    g = double(molecules(seed))
    torch.manual_seed(seed)
    net = ContextPrediction(encoder(WIDTH).double(), hops=hops, inner=inner, outer=outer, num_negatives=num_negatives).double().eval()
    net.checked = True
    near, around = Seen(net.encoder), Seen(net.context)
    with seeded(seed):
        value = net(g)
    with seeded(seed):
        centres = net.centres(g).tolist()
    assert g.graph_ids[centres].tolist() == list(range(g.num_graphs))
    whole, pairs, nodes, others = as_networkx(g).to_undirected(), [], [], []
    for centre in centres:
        within = {r: set(nx.ego_graph(whole, centre, radius=r)) for r in (hops, inner, outer)}
        context = within[outer] - within[inner]
        if context:
            nodes += sorted(within[hops])
            others += sorted(context)
            pairs.append((centre, sorted(context & within[hops])))
    if len(pairs) <= num_negatives:
        assert value == 0
        return
    assert near.graphs[0].node_ids.tolist() == nodes
    assert around.graphs[0].node_ids.tolist() == others
    assert near.graphs[0].num_edges == whole.subgraph(nodes).number_of_edges() * 2
    h = [near.rows[0][nodes.index(centre)] for centre, _ in pairs]
    c = [torch.stack([around.rows[0][others.index(a)] for a in anchors]).mean(0) for _, anchors in pairs]
    total = 0.0
    for i in range(len(pairs)):
        total += math.log1p(math.exp(-(h[i] @ c[i]).item()))
        for k in range(1, num_negatives + 1):
            total += math.log1p(math.exp((h[i] @ c[(i + k) % len(pairs)]).item()))
    assert value.item() == pytest.approx(total / len(pairs), abs=1e-10)


def test_every_node_is_a_centre_at_times() -> None:
    torch.manual_seed(0)
    g = molecules()
    net = ContextPrediction(encoder(WIDTH))
    counts = torch.zeros(g.num_nodes)
    for _ in range(600):
        counts[net.centres(g)] += 1
    expected = 600 / torch.tensor(SIZES).repeat_interleave(torch.tensor(SIZES))
    assert ((counts - expected).abs() <= 5 * expected.sqrt()).all()


def test_a_graph_that_lost_all_its_nodes_is_left_out() -> None:
    g = molecules()
    kept = g.keep_nodes((g.graph_ids != 3).nonzero().squeeze(1))
    net = ContextPrediction(encoder(WIDTH), hops=2, inner=1, outer=3)
    for seed in range(5):
        with seeded(seed):
            assert net(kept).isfinite()


def test_the_context_encoder_follows_the_encoder() -> None:
    net = ContextPrediction(ENCODERS["gine"](WIDTH), hops=3, inner=1, outer=4)
    assert [type(block.conv).__name__ for block in net.context.blocks] == ["GINEConv"] * 3
    assert net.context.channels == [8] * 3
    assert net.context.input is not None
    assert not {id(p) for p in net.context.parameters()} & {id(p) for p in net.encoder.parameters()}


@each_encoder
def test_context_prediction_learns(kind: str) -> None:
    torch.manual_seed(0)
    loss_falls(ContextPrediction(ENCODERS[kind](WIDTH), hops=2, inner=1, outer=4), molecules(), lr=1e-2)
    for seed in range(5):  # of one draw some parameters behind a ReLU may get nothing
        torch.manual_seed(seed)
        gradients_where_due(ContextPrediction(ENCODERS[kind](WIDTH), hops=2, inner=1, outer=4), molecules(seed))


def test_too_few_contexts_cost_nothing() -> None:
    """A last batch of one graph, say: a loss of zero that can be gone back from."""
    g = molecules()
    net = ContextPrediction(encoder(WIDTH), hops=2, inner=1, outer=3)
    net(g)
    loss = net(g.keep_graphs(torch.tensor([0])))
    assert loss.item() == 0
    loss.backward()
    assert all((p.grad == 0).all() for p in net.parameters() if p.grad is not None)


def test_graphs_without_context_are_named_at_the_first_batch() -> None:
    net = ContextPrediction(encoder(WIDTH), hops=40, inner=30, outer=50)
    with pytest.raises(ValueError, match="no centre in the first batch reaches beyond inner=30 hops"):
        net(molecules())


# ---------------------------------------------------------------------- BGRL on whole graphs


def pooled(**options: Any) -> BGRL:
    torch.manual_seed(0)
    net = GIN(WIDTH, [8, 8], jk="cat", readout="sum").double()
    return BGRL(net, (Identity(), DropEdges(1.0)), hidden=8, level="graph", **options).double()


def test_order_of_nodes_does_not_matter_at_graph_level() -> None:
    g = double(molecules())
    net = pooled()
    for seed in range(3):
        other = relabelled(g, shuffled_within_graphs(g, seed))
        assert net(other).item() == pytest.approx(net(g).item(), abs=1e-9)


def test_bgrl_at_graph_level_equals_its_equation() -> None:
    g = double(molecules())
    net = pooled()
    q, t = [], []
    for view in net.views:
        q.append(net.predictor(net.encoder.pool(net.encoder(view(g)), g)))
        t.append(net.target.copy.pool(net.target.copy(view(g)), g))
    assert q[0].shape == (len(SIZES), 16)
    expected = references.bootstrap(q[0], t[1]) + references.bootstrap(q[1], t[0])
    assert net(g).item() == pytest.approx(expected, abs=1e-10)


def test_bgrl_at_graph_level_learns_with_nodes_dropped() -> None:
    torch.manual_seed(0)
    views = (DropNodes(0.2), DropEdges(0.2))
    net = BGRL(GIN(WIDTH, [16, 16]), views, hidden=16, level="graph")
    loss_falls(net, molecules(), lr=1e-2)
    net = BGRL(GIN(WIDTH, [16, 16]), views, hidden=16, level="graph")
    gradients_where_due(net, molecules())
    assert net(molecules().keep_nodes(torch.arange(20))).isfinite(), "graphs that lost all their nodes"


# ---------------------------------------------------------------------- arguments and recipes


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: GraphMAE(encoder(), mask_rate=0), r"mask_rate must be in \(0, 1\], got 0"),
        (lambda: GraphMAE(encoder(), replace_rate=1.1), r"replace_rate must be in \[0, 1\], got 1.1"),
        (lambda: GraphMAE(encoder(), alpha=0.5), "alpha must be at least 1, got 0.5"),
        (lambda: GraphMAE(encoder(), decoder="gat"), "decoder must be same, mlp or linear, got 'gat'"),  # type: ignore[arg-type]
        (lambda: AttributeMasking(encoder(), mask_rate=-0.1), r"mask_rate must be in \[0, 1\], got -0.1"),
        (lambda: AttributeMasking(encoder(), num_types=7), "num_types must be from 2 to the 6 features, or None for all, got 7"),
        (lambda: AttributeMasking(encoder(1)), "num_types must be from 2 to the 1 features"),
        (lambda: ContextPrediction(encoder(), hops=4), "inner must be 0 or more, and below hops and outer, got inner=4, hops=4"),
        (lambda: ContextPrediction(encoder(), num_negatives=0), "num_negatives must be at least 1, got 0"),
        (lambda: BGRL(encoder(), (Identity(), Identity()), level="edge"), "level must be 'node' or 'graph', got 'edge'"),  # type: ignore[arg-type]
    ],
)
def test_bad_arguments_are_named(make: Callable[[], Objective], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()


def test_contexts_that_cannot_be_are_refused_in_recipes() -> None:
    recipe = DEFAULTS["context-prediction"]
    with pytest.raises(ValueError, match="inner must be below hops and outer, got inner 5, hops 5 and outer 7"):
        type(recipe).model_validate({**recipe.model_dump(), "inner": 5})


NODE = {  # widths, heads, mask, replaced, alpha, weight decay, epochs, score, deviation
    "cora": ((512, 512), 4, 0.5, 0.05, 3, 2e-4, 1500, 84.2, 0.4),
    "citeseer": ((512, 512), 2, 0.5, 0.1, 1, 2e-5, 300, 73.4, 0.4),
    "pubmed": ((1024, 1024), 4, 0.75, 0.0, 3, 1e-5, 1000, 81.1, 0.4),
    "ppi": ((1024, 1024, 1024), 4, 0.5, 0.1, 3, 0.0, 1000, 74.5, 0.29),
}
GRAPH = {  # width, layers, activation, norm, mask, replaced, alpha, readout, batch, lr, epochs, schedule, score, deviation
    "imdb-binary": (512, 2, "prelu", "batch", 0.5, 0.0, 1, "mean", 32, 1.5e-4, 60, "constant", 75.52, 0.66),
    "imdb-multi": (512, 3, "prelu", "batch", 0.5, 0.0, 1, "mean", 32, 1.5e-4, 50, "constant", 51.63, 0.52),
    "proteins": (512, 3, "prelu", "batch", 0.5, 0.0, 1, "max", 32, 1.5e-4, 100, "constant", 75.30, 0.39),
    "mutag": (32, 5, "prelu", "batch", 0.75, 0.1, 2, "sum", 64, 5e-4, 20, "constant", 88.19, 1.26),
    "reddit-binary": (512, 2, "prelu", "layer", 0.75, 0.1, 2, "sum", 8, 1.5e-4, 100, "cosine", 88.01, 0.19),
    "collab": (256, 2, "relu", "batch", 0.75, 0.0, 1, "max", 32, 1.5e-4, 20, "cosine", 80.32, 0.46),
    "nci1": (512, 2, "prelu", "batch", 0.25, 0.1, 2, "sum", 16, 1e-3, 300, "cosine", 80.40, 0.30),
}


def test_graphmae_has_the_official_numbers() -> None:
    rows = RECIPES["graphmae"]
    assert set(rows) == {*NODE, *GRAPH}
    for name, (channels, heads, *numbers, score, std) in NODE.items():
        r: Any = rows[name]
        assert (r.channels, r.heads) == (channels, heads), name
        assert [r.mask_rate, r.replace_rate, r.alpha, r.weight_decay, r.epochs] == numbers, name
        assert (r.encoder, r.decoder, r.act, r.last_act, r.dropout, r.input_dropout) == ("gat", "same", "prelu", True, 0.2, 0.2)
        assert (r.attention_dropout, r.lr, r.optimizer, r.schedule) == (0.1, 1e-4 if name == "ppi" else 1e-3, "adam", "cosine")
        assert (r.norm, r.skip) == (("layer", "residual") if name == "ppi" else ("none", "none"))
        assert r.features == ("none" if name == "ppi" else "row-normalize")
        assert [(p.score, p.std) for p in r.reported] == [(score, std)]
    for name, (width, layers, *numbers, score, std) in GRAPH.items():
        r = rows[name]
        found = [r.act, r.norm, r.mask_rate, r.replace_rate, r.alpha, r.readout, r.batch_size, r.lr, r.epochs, r.schedule]
        assert r.channels == (width,) * layers, name
        assert found == numbers, name
        assert (r.encoder, r.mlp_norm, r.dropout, r.input_dropout, r.weight_decay, r.optimizer) == ("gin", True, 0.2, 0.2, 0.0, "adam")
        assert (r.features, r.node_features, r.protocol, r.jk) == ("none", "auto", "graphmae-svm", "last")
        assert [(p.score, p.std) for p in r.reported] == [(score, std)]


MINE = ("attribute-masking", "bgrl", "context-prediction", "dgi", "graphmae")


@pytest.mark.parametrize("method", MINE)
def test_graph_defaults_take_two_steps(method: str) -> None:
    recipe = GRAPH_DEFAULTS[method]
    assert recipe.source.startswith("default")
    assert type(recipe).model_validate(recipe.model_dump()) == recipe
    take_two_steps(method, recipe, {"num_types": BLOCKS[0], "hops": 2, "inner": 1, "outer": 3})


@pytest.mark.parametrize("method", MINE)
def test_molecule_defaults_take_two_steps(method: str) -> None:
    recipe: Any = find_recipe(method, "mine.csv")
    assert (recipe.encoder, recipe.input, recipe.protocol) == ("gine", 128, "molecules")
    if method == "attribute-masking":
        assert recipe.num_types == 119
    take_two_steps(method, recipe, {"num_types": BLOCKS[0], "hops": 2, "inner": 1, "outer": 3})


def take_two_steps(method: str, recipe: Recipe, numbers: dict[str, int]) -> None:
    small = {"channels": (12,) * len(recipe.channels), "input": None if recipe.input is None else 12}
    changes = {**small, **{name: value for name, value in numbers.items() if name in type(recipe).model_fields}}
    with seeded(0):
        net = make(method, type(recipe).model_validate({**recipe.model_dump(), **changes}), WIDTH, BONDS)
    before = [p.clone() for p in net.encoder.parameters()]
    history = fit(net, GraphBatches(molecules(), 4), epochs=1)
    assert len(history) == 2
    assert all(math.isfinite(loss) for loss in history.loss)
    assert not all(torch.equal(a, b) for a, b in zip(before, net.encoder.parameters(), strict=True))
