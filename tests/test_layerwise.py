"""Layer by layer, some rows at a time, is the whole pass: for every encoder, norm, skip, jumping knowledge and kind of graph."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import graphs
import numpy as np
import pytest
import torch
from checks import close, double
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from graphssl import GAT, GCN, GIN, GINE, GNN, Diffuse, GraphSAGE, Identity, MultiView, embed
from graphssl.adjacency import CSR, Pattern, with_self_loops
from graphssl.embedding import WHOLE, can_layerwise, whole_bytes
from graphssl.embedding.layerwise import layerwise, num_steps
from graphssl.embedding.ranges import RowRange, gcn_scale, spans
from graphssl.embedding.room import Room, memory_bytes
from graphssl.encoders import MLP, MPNN, GATv2
from graphssl.graph import Graph
from graphssl.layers import reset_parameters

ENCODERS: dict[str, Callable[..., GNN]] = {
    "gcn": GCN,
    "sage": GraphSAGE,
    "sage-max": lambda f, widths, **o: GraphSAGE(f, widths, aggregation="max", **o),
    "gat": lambda f, widths, **o: GAT(f, widths, heads=2, **o),
    "gat-1": lambda f, widths, **o: GAT(f, widths, heads=1, **o),
    "gatv2": lambda f, widths, **o: GATv2(f, widths, heads=2, **o),
    "gin": lambda f, widths, **o: GIN(f, widths, mlp_norm=True, expansion=2, **o),
    "gine": lambda f, widths, **o: GINE(f, widths, edge_channels=3, mlp_norm=True, **o),
    "mlp": MLP,
}
NORMS, SKIPS, JKS = ("batch", "layer", "graph", "graphnorm", "none"), ("none", "residual", "dense"), ("last", "cat", "max", "lstm")
each_encoder = pytest.mark.parametrize("name", ENCODERS)


def attributed(name: str, g: Graph) -> Graph:
    return replace(g, edge_attr=graphs.attributes_of(*g.edge_index)) if name == "gine" else g


def trained(net: Any, g: Graph) -> Any:
    """The encoder in float64 with parameters and running statistics that are not those of the start."""
    net = net.double()
    torch.manual_seed(1)
    with torch.no_grad():
        for p in net.parameters():
            p.add_(0.2 * torch.randn_like(p))
        if g.num_nodes > 1 and (g.num_graphs > 1 or getattr(net, "virtual_node", None) is None):
            net.train()(double(g))
    return net.eval()


def in_rows(net: Any, g: Graph, chunk: int | None, room: Room | None = None, **options: Any) -> Tensor:
    x = g.x if isinstance(g.x, Tensor) else g.x.values()
    out = torch.full((g.num_nodes, net.out_channels), torch.nan, dtype=x.dtype)
    with torch.no_grad():
        layerwise(net, g, out, room=room, chunk=chunk, **options)
    return out


def agrees(net: Any, g: Graph) -> None:
    """In parts of every size and with arrays in files, in float64 and in float32."""
    with torch.no_grad():
        whole = net(double(g))
        for chunk in (1, 3, g.num_nodes):
            close(in_rows(net, double(g), chunk), whole, 1e-10)
        close(in_rows(net, double(g), None, Room(1)), whole, 1e-10)
        net.float()
        close(in_rows(net, g, 3), net(g), 2e-5)
        net.double()


@pytest.mark.parametrize("jk", JKS)
@pytest.mark.parametrize("skip", SKIPS)
@pytest.mark.parametrize("norm", NORMS)
@each_encoder
def test_equals_the_whole_pass(name: str, norm: Any, skip: Any, jk: Any) -> None:
    g = graphs.with_attributes()
    torch.manual_seed(0)
    net = trained(ENCODERS[name](graphs.F, [8, 8, 8], norm=norm, skip=skip, jk=jk, dropout=0.5, act="rrelu"), g)
    with torch.no_grad():
        whole = net(double(g))
        close(in_rows(net, double(g), 5), whole, 1e-10)
        close(in_rows(net, double(g), 2, Room(1)), whole, 1e-10)
        close(in_rows(net.float(), g, 5), net(g), 2e-5)


@pytest.mark.parametrize("kind", graphs.GRAPHS)
@each_encoder
def test_on_every_kind_of_graph(name: str, kind: str) -> None:
    g = attributed(name, graphs.GRAPHS[kind]())
    torch.manual_seed(0)
    agrees(trained(ENCODERS[name](graphs.F, [8, 4], skip="residual"), g), g)  # a layer that widens, and one that narrows


@pytest.mark.parametrize("kind", ["undirected", "batch", "sparse_batch", "one_node"])
@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("order", ["norm-act", "act-norm"])
def test_graphs_side_by_side_keep_their_statistics(kind: str, norm: Any, order: Any) -> None:
    g = graphs.GRAPHS[kind]()
    torch.manual_seed(0)
    agrees(trained(GCN(graphs.F, [8, 8], norm=norm, order=order, skip="residual"), g), g)


@pytest.mark.parametrize("kind", ["undirected", "batch", "sparse_batch"])
@pytest.mark.parametrize("options", [
    {"input": 8}, {"input": 8, "skip": "dense"}, {"input": 8, "virtual_node": True}, {"weight_standardization": True},
    {"input": 8, "virtual_node": True, "skip": "residual", "norm": "graph", "jk": "max"}, {"act": ["relu", "tanh", "none"]},
])  # fmt: skip
def test_with_every_option(kind: str, options: dict[str, Any]) -> None:
    g = graphs.GRAPHS[kind]()
    for name in ("gcn", "gin"):
        torch.manual_seed(0)
        agrees(trained(ENCODERS[name](graphs.F, [8, 8, 8], **options), g), g)


def test_a_multiview_goes_part_by_part() -> None:
    g = graphs.undirected()
    torch.manual_seed(0)
    net = trained(MultiView([GCN(graphs.F, [8, 4], jk="cat") for _ in range(2)], (Identity(), Diffuse("ppr", alpha=0.2))), g)
    assert can_layerwise(net)
    agrees(net, g)


def test_half_precision_features_count_as_float32() -> None:
    g = graphs.undirected()
    assert isinstance(g.x, Tensor)
    net = GCN(graphs.F, [8, 4]).eval()
    for dtype in (torch.float16, torch.bfloat16):
        half = g.x.to(dtype)
        for precision, tolerance in (("float32", 1e-5), ("bf16", 0.03)):
            mine = torch.empty(graphs.N, 4)
            with torch.no_grad():
                layerwise(net, g.with_x(half), mine, chunk=5, precision=precision)  # type: ignore[arg-type]
                close(mine, net(g.with_x(half.float())), tolerance)


@each_encoder
def test_bf16_is_near(name: str) -> None:
    g = graphs.with_attributes()
    torch.manual_seed(0)
    net = trained(ENCODERS[name](graphs.F, [16, 16], norm="layer"), g).float()
    with torch.no_grad():
        whole, near = net(g), in_rows(net, g, 5, precision="bf16")
    assert 0 < float((near - whole).norm() / whole.norm()) < 0.02


# ---------------------------------------------------------------------- parts


def loops_by_hand(g: Graph) -> tuple[Tensor, Tensor]:
    """The dense matrices of GCN and of the mean, entry by entry."""
    n, weights = g.num_nodes, g.weights.double()
    a = torch.zeros(n, n, dtype=torch.float64)
    for (source, target), w in zip(g.edge_index.t().tolist(), weights.tolist(), strict=True):
        a[target, source] += w
    linked = {source for source, target in g.edge_index.t().tolist() if source == target}
    looped = a + torch.diag(torch.tensor([0.0 if i in linked else 1.0 for i in range(n)], dtype=torch.float64))
    degree = looped.sum(1)
    scale = torch.where(degree > 0, degree.clamp(min=0) ** -0.5, 0)
    total = a.sum(1, keepdim=True)
    return scale[:, None] * looped * scale, a / total.where(total != 0, 1)


@pytest.mark.parametrize("kind", [k for k in graphs.GRAPHS if "sparse" not in k])
def test_rows_of_the_matrices(kind: str) -> None:
    g = double(graphs.GRAPHS[kind]())
    normalised, averaged = loops_by_hand(g)
    scale = gcn_scale(g, 3, 4)
    for start, stop in spans(g.pattern.ptr, 5, 7):
        part = RowRange(g, start, stop, lambda: scale)
        close(part.normalised().to_dense(), normalised[start:stop])
        close(part.normalised().to_dense(), g.normalised().to_dense()[start:stop])
        close(part.averaged().to_dense(), averaged[start:stop])
        close(part.summed().to_dense(), g.summed().to_dense()[start:stop])
        pattern, weights = with_self_loops(g.pattern, g.weights)
        low, high = int(pattern.ptr[start]), int(pattern.ptr[stop])
        assert torch.equal(part.looped().col.long(), pattern.col[low:high].long())
        if g.edge_weight is not None:
            close(part.looped_weights(), weights[low:high])


def test_negative_weights_and_attention() -> None:
    g = graphs.weighted()
    g = replace(g, edge_weight=-g.weights)
    with pytest.raises(ValueError, match="edge_weight must be 0 or more for attention"):
        embed(GAT(graphs.F, [8]), g, chunk=4)


@pytest.mark.parametrize("dtype", [torch.int32, torch.int64])
def test_spans_hold_what_they_may(dtype: torch.dtype) -> None:
    counts = torch.tensor([0, 3, 50, 0, 0, 2, 2, 2, 9, 1, 0])
    ptr = torch.nn.functional.pad(counts.cumsum(0), (1, 0)).to(dtype)
    for rows in (1, 2, 4, 100):
        for edges in (1, 3, 10, 1000):
            parts = list(spans(ptr, rows, edges))
            assert [a for a, _ in parts] == [0, *(b for _, b in parts[:-1])]
            assert parts[-1][1] == len(counts)
            for a, b in parts:
                assert b - a == 1 or (1 < b - a <= rows and int(counts[a:b].sum()) <= edges)


def test_a_graph_by_its_rows_is_not_asked_for_its_edges() -> None:
    given = graphs.directed()
    p = given.pattern
    for dtype in (torch.int32, torch.int64):
        pattern = Pattern(p.ptr, p.col, p.num_cols)
        pattern.ptr, pattern.col = p.ptr.to(dtype), p.col.to(dtype)
        g = Graph.of_pattern(given.x, pattern, undirected=False)
        for net in (make(graphs.F, [8, 8]) for name, make in ENCODERS.items() if name != "gine"):
            close(embed(net, g, chunk=5), embed(net, given), 1e-5)
        assert "edge_index" not in g.__dict__
        assert pattern._row is None
        assert pattern._transpose is None


# ---------------------------------------------------------------------- memory and files


class Live(TorchDispatchMode):
    """Bytes of the tensors that operations have made and that are still there, at most."""

    def __init__(self) -> None:
        super().__init__()
        self.storages: dict[int, list[int]] = {}
        self.now = self.most = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        given = {t.untyped_storage().data_ptr() for t in args if isinstance(t, Tensor)}
        for t in out if isinstance(out, (tuple, list)) else (out,):
            if isinstance(t, Tensor):
                key = t.untyped_storage().data_ptr()
                if key in self.storages:
                    self.storages[key][0] += 1
                elif key not in given:
                    self.storages[key] = [1, t.untyped_storage().nbytes()]
                    self.now += self.storages[key][1]
                else:
                    continue
                weakref.finalize(t, self._gone, key)
        self.most = max(self.most, self.now)
        return out

    def _gone(self, key: int) -> None:
        entry = self.storages[key]
        entry[0] -= 1
        if not entry[0]:
            self.now -= self.storages.pop(key)[1]


def middling(nodes: int = 4000, width: int = 32, edges: int = 6_000) -> Graph:
    generator = torch.Generator().manual_seed(0)
    pairs = torch.randint(nodes, (2, edges), generator=generator)
    g = Graph.of((torch.randn(nodes, width, generator=generator), torch.cat([pairs, pairs.flip(0)], 1)))
    return Graph.of_pattern(g.x, g.pattern, undirected=True)


@pytest.mark.parametrize("options", [{}, {"skip": "dense"}, {"jk": "lstm"}, {"norm": "graph", "skip": "residual"}], ids=str)
@pytest.mark.parametrize("name", ["gcn", "sage", "gat", "gatv2", "gin"])
def test_the_budget_holds(name: str, options: dict[str, Any], tmp_path: Path) -> None:
    g, memory = middling(), 1_000_000  # an array of all rows takes 512 kB
    net = ENCODERS[name](32, [32, 32, 32], **options)
    embed(net, graphs.undirected().with_x(torch.zeros(graphs.N, 32)), chunk=3)  # compiles, and imports
    with Live() as live:
        z = embed(net, g, memory=memory, out=tmp_path / "z.npy")
    assert live.most < memory
    close(z, embed(net, g), 1e-5)


def test_arrays_go_to_files_when_memory_is_full(tmp_path: Path) -> None:
    room = Room(1000, tmp_path)
    assert room.work == 250
    first, second = room.array(10, 10, torch.float32), room.array(10, 10, torch.float32)
    assert (room.taken, room.peak) == (400, 400)
    third, fourth = room.array(10, 10, torch.float32), room.array(10, 10, torch.bfloat16)
    for k, array in enumerate((first, second, third, fourth)):
        array.fill_(k)
    assert [float(a.float().mean()) for a in (first, second, third, fourth)] == [0, 1, 2, 3]
    assert fourth.dtype == torch.bfloat16
    assert not list(tmp_path.iterdir()), "the files have no name"
    del first
    room.array(10, 10, torch.float32)
    assert room.peak <= 750


def test_memory_as_text() -> None:
    cases = {"8GB": 8 * 10**9, "8 gb": 8 * 10**9, "1.5K": 1500, "2MiB": 2 * 2**20, "64": 64, 1e6: 10**6, "1TB": 10**12, 5: 5}
    assert {text: memory_bytes(text) for text in cases} == cases
    for bad in ("", "much", "-1GB", 0, "8 XB", "1.2.3", float("inf"), float("nan")):
        with pytest.raises(ValueError, match="memory must be a number of bytes"):
            memory_bytes(bad)


@pytest.mark.parametrize("chunk", [None, 5])
def test_the_file_holds_the_tensor(chunk: int | None, tmp_path: Path) -> None:
    net, path = GCN(graphs.F, [8, 4]), tmp_path / "z.npy"
    parts = [graphs.undirected(), graphs.with_loops()]
    z = embed(net, parts, out=path, chunk=chunk)
    close(z, embed(net, parts), 1e-6)
    assert np.array_equal(np.load(path), z.numpy())
    assert np.load(path).dtype == np.float32
    z.zero_()
    assert np.load(path).any(), "what is done to the tensor stays with it"
    assert [p.name for p in tmp_path.iterdir()] == ["z.npy"]


def test_an_interrupted_stream_leaves_nothing(tmp_path: Path) -> None:
    path = tmp_path / "z.npy"
    net = GCN(graphs.F, [8, 4]).train()

    def stop(done: int, total: int) -> None:
        assert [p for p in tmp_path.iterdir() if p != path], "written beside"
        raise KeyboardInterrupt

    for before in (None, b"earlier"):
        if before:
            path.write_bytes(before)
        with pytest.raises(KeyboardInterrupt):
            embed(net, graphs.undirected(), out=path, chunk=5, tell=stop)
        assert [p.read_bytes() for p in tmp_path.iterdir()] == ([before] if before else [])
        assert all(part.training for part in net.modules())


def _append(told: list[tuple[int, int]], done: int, total: int) -> None:
    told.append((done, total))


def test_progress_reaches_the_end() -> None:
    for net in (GCN(graphs.F, [8, 8]), GCN(graphs.F, [8, 8], norm="graph", jk="lstm")):
        told: list[tuple[int, int]] = []
        embed(net, graphs.undirected(), chunk=5, tell=partial(_append, told))
        total = num_steps(net) * graphs.N
        assert [t for _, t in told] == [total] * len(told)
        assert [d for d, _ in told] == sorted({d for d, _ in told})
        assert told[-1][0] == total
    told = []
    embed(GCN(graphs.F, [8]), [graphs.undirected()] * 3, tell=partial(_append, told))
    assert told == [(1, 3), (2, 3), (3, 3)]


# ---------------------------------------------------------------------- what embed decides


@pytest.fixture
def went(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    calls: list[int] = []
    original = layerwise

    def spy(encoder: Any, g: Graph, out: Tensor, **options: Any) -> None:
        calls.append(g.num_nodes)
        original(encoder, g, out, **options)

    monkeypatch.setattr("graphssl.embedding.layerwise.layerwise", spy)
    return calls


def test_whole_where_it_is_small_and_layerwise_where_it_is_asked_for(went: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    net, g = GCN(graphs.F, [8, 4]), graphs.undirected()
    whole = embed(net, g)
    assert not went
    for options in ({"chunk": 4}, {"memory": "1GB"}, {"precision": "bf16"}):
        embed(net, g, **options)  # type: ignore[arg-type]
    assert len(went) == 3
    monkeypatch.setattr("graphssl.embedding.whole.WHOLE", 1000)
    close(embed(net, g), whole, 1e-6)
    assert len(went) == 4
    close(embed(net, [g, g], batch_size=2, chunk=4), torch.cat([whole, whole]), 1e-6)
    assert went[-1] == 2 * graphs.N


def test_what_a_whole_pass_takes() -> None:
    meta = Graph(torch.empty(2_449_029, 100, device="meta"), torch.empty(2, 123_718_280, device="meta", dtype=torch.long))
    assert whole_bytes(GCN(100, [256, 512]), meta) > 10 * WHOLE
    assert whole_bytes(GCN(1433, [512, 256]), graphs.undirected()) < WHOLE
    assert whole_bytes(GATv2(100, [64]), meta) > whole_bytes(GAT(100, [64]), meta)


def test_what_does_not_go_layer_by_layer_says_so(went: list[int], tmp_path: Path) -> None:
    g = graphs.with_attributes()
    net = MPNN(graphs.F, [8, 8], edge_channels=3)
    for option in ({"chunk": 4}, {"memory": 10**6}, {"precision": "bf16"}):
        with pytest.raises(ValueError, match=f"{next(iter(option))} can only be given where .* a MessagePassing does not"):
            embed(net, g, **option)  # type: ignore[arg-type]
    z = embed(net, g, out=tmp_path / "z.npy")
    assert torch.equal(z, embed(net, g))
    assert not went
    with pytest.raises(ValueError, match="level='graph' does not"):
        embed(GCN(graphs.F, [8]), g, level="graph", chunk=4)
    for options, name in (({"chunk": 0}, "chunk"), ({"precision": "half"}, "precision"), ({"memory": "x"}, "memory")):
        with pytest.raises(ValueError, match=f"{name} must be"):
            embed(GCN(graphs.F, [8]), g, **options)  # type: ignore[arg-type]


def test_a_wrong_width_is_named() -> None:
    with pytest.raises(ValueError, match="takes in_channels=6"):
        embed(GCN(graphs.F, [8]), graphs.undirected().with_x(torch.ones(graphs.N, 7)), chunk=4)


def test_parameters_stay() -> None:
    net = GCN(graphs.F, [8, 8], weight_standardization=True)
    reset_parameters(net)
    state = {k: v.clone() for k, v in net.state_dict().items()}
    modes = [m.training for m in net.modules()]
    embed(net, graphs.sparse(), chunk=4)
    assert [m.training for m in net.modules()] == modes
    assert all(torch.equal(v, net.state_dict()[k]) for k, v in state.items())
    assert isinstance(graphs.sparse().x, CSR)
