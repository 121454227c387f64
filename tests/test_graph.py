"""Graph: what it refuses, what it sorts, and the matrices it derives, against dense ones built by loops."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, replace

import graphs
import pytest
import references
import torch
from checks import close, double, relabelled
from graphs import GRAPHS
from torch import Tensor
from torch_geometric.data import Batch, Data
from torch_geometric.nn.conv.gcn_conv import gcn_norm

from graphssl.adjacency import CSR
from graphssl.cutting import Part, _induced_by_tensors, _some_graphs_by_tensors, induced, some_graphs
from graphssl.graph import Graph

each_graph = pytest.mark.parametrize("kind", GRAPHS)
X = torch.arange(6.0).reshape(3, 2)
EDGES = torch.tensor([[2, 0, 1, 1], [0, 2, 1, 0]])


def edge_set(g: Graph) -> list[tuple[int, int]]:
    return sorted((int(s), int(t)) for s, t in g.edge_index.t())


# ---------------------------------------------------------------------- what comes in


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (Data(edge_index=EDGES), ["x", "missing", r"\[N, F\]"]),
        (Data(x=X), ["edge_index", "missing", r"\[2, E\]"]),
        ((X.flatten(), EDGES), ["x", r"\[N, F\]", r"\(6,\)"]),
        ((X[:0], EDGES), ["x", "at least one node", r"\(0, 2\)"]),
        ((X[:, :0], EDGES), ["x", "one feature", r"\(3, 0\)"]),
        ((X.to(torch.complex64), EDGES), ["x", "real", "complex64"]),
        ((X / 0, EDGES), ["x", "NaN or infinite", "row 0, column 0"]),
        ((torch.where(X == 4, torch.inf, X), EDGES), ["x", "NaN or infinite", "row 2, column 0"]),
        ((torch.where(X == 3, torch.nan, X).to_sparse(), EDGES), ["x", "NaN or infinite", "row 1"]),
        ((X, EDGES[0]), ["edge_index", r"\[2, E\]", r"\(4,\)"]),
        ((X, EDGES.t()), ["edge_index", r"\[2, E\]", r"\(4, 2\)"]),
        ((X, EDGES.float()), ["edge_index", "integers", "float32"]),
        ((X, EDGES > 0), ["edge_index", "integers", "bool"]),
        ((X, EDGES + 1), ["edge_index", "1 to 3", "nodes 0 to 2"]),
        ((X, EDGES - 1), ["edge_index", "-1 to 1", "nodes 0 to 2"]),
        (Data(x=X, edge_index=EDGES, edge_weight=torch.ones(3)), ["edge_weight", "4 edges", "3"]),
        (Data(x=X, edge_index=EDGES, edge_weight=torch.ones(4, 2)), ["edge_weight", r"\[E\]", r"\(4, 2\)"]),
        (Data(x=X, edge_index=EDGES, edge_attr=torch.ones(5, 2)), ["edge_attr", "4 edges", "5"]),
        (Data(x=X, edge_index=EDGES, edge_weight=torch.tensor([1, 2, torch.nan, 1])), ["edge_weight", "NaN or infinite"]),
        (Data(x=X, edge_index=EDGES, edge_attr=torch.full((4, 1), torch.inf)), ["edge_attr", "NaN or infinite"]),
        (Data(x=X, edge_index=EDGES, batch=torch.tensor([0, 1, 0])), ["batch", "ascending", "3 nodes"]),
        (Data(x=X, edge_index=EDGES, batch=torch.tensor([0, 1])), ["batch", "ascending", "3 nodes"]),
    ],
)
def test_bad_input_is_named(data: object, words: list[str]) -> None:
    for word in words:
        with pytest.raises(ValueError, match=word):
            Graph.of(data)  # type: ignore[arg-type]


def test_edges_are_sorted_and_their_tensors_travel() -> None:
    order = torch.randperm(graphs.N * 3, generator=torch.Generator().manual_seed(0))
    ends = torch.combinations(torch.arange(graphs.N)).t()[:, order]  # an edge once, direction by its place
    data = Data(x=graphs.features(), edge_index=ends, edge_weight=graphs.weight_of(*ends), edge_attr=graphs.attributes_of(*ends))
    g = Graph.of(data)
    source, target = g.edge_index
    assert edge_set(g) == sorted(map(tuple, ends.t().tolist()))
    assert ((target * g.num_nodes + source).diff() > 0).all()
    assert torch.equal(g.edge_weight, graphs.weight_of(source, target))
    assert torch.equal(g.edge_attr, graphs.attributes_of(source, target))
    assert torch.equal(data.edge_index, ends), "the input changed"


def test_parallel_edges_and_loops_stay() -> None:
    pairs = torch.tensor([[0, 0, 1, 1, 1], [1, 1, 1, 1, 0]])
    g = Graph.of(Data(x=X, edge_index=pairs, edge_weight=torch.arange(5.0)))
    assert edge_set(g) == sorted(map(tuple, pairs.t().tolist()))
    assert sorted(g.weights.tolist()) == [0, 1, 2, 3, 4]


def test_tail_nodes_without_edges_stay() -> None:
    g = Graph.of((torch.eye(6), torch.tensor([[0, 1], [1, 0]])))
    assert g.num_nodes == 6
    assert (g.normalised() @ torch.ones(6, 1)).shape == (6, 1)
    assert g.summed().shape == g.averaged().shape == (6, 6)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.int64, torch.bool])
def test_features_become_the_default_type(dtype: torch.dtype) -> None:
    assert Graph.of((X.to(dtype), EDGES)).x.dtype == torch.float32


def test_double_features_stay_double() -> None:
    g = Graph.of(Data(x=X.double(), edge_index=EDGES, edge_weight=torch.ones(4)))
    assert g.x.dtype == g.weights.dtype == g.normalised().values().dtype == torch.float64


@pytest.mark.parametrize("layout", [torch.sparse_coo, torch.sparse_csr, torch.sparse_csc])
def test_sparse_features(layout: torch.layout) -> None:
    x = graphs.features()
    g = Graph.of((x.to_sparse(layout=layout), torch.tensor([[0], [1]])))
    assert isinstance(g.x, CSR)
    assert torch.equal(g.dense_x(), x)


def test_bags_of_words_become_sparse() -> None:
    x = torch.zeros(400, 300)
    x[torch.arange(400), torch.arange(400) % 300] = 1
    assert isinstance(Graph.of((x, EDGES)).x, CSR)
    assert torch.equal(Graph.of((x, EDGES)).dense_x(), x)
    assert isinstance(Graph.of((x + 1, EDGES)).x, Tensor)


def test_a_pyg_batch_keeps_its_graphs() -> None:
    parts = [Data(x=graphs.features(n), edge_index=graphs.both(graphs.edges(n, n))) for n in (4, 6, 5)]
    lone = Data(x=torch.ones(1, graphs.F), edge_index=torch.empty(2, 0, dtype=torch.long))
    g = Graph.of(Batch.from_data_list([*parts, lone]))
    assert g.num_graphs == 4
    assert g.graph_ids.bincount().tolist() == [4, 6, 5, 1]
    for k, part in enumerate(parts):
        rows = (g.graph_ids == k).nonzero().squeeze(1)
        alone = g.keep_nodes(rows)
        assert torch.equal(alone.x, part.x)
        assert edge_set(alone) == sorted(map(tuple, part.edge_index.t().tolist()))


def test_a_graph_is_taken_as_it_is() -> None:
    g = graphs.undirected()
    assert Graph.of(g) is g


def test_unsorted_edges_are_refused() -> None:
    with pytest.raises(ValueError, match="sorted by target"):
        Graph(X, EDGES.flip(1)).summed()


# ---------------------------------------------------------------------- both directions


@each_graph
def test_reverse_is_the_opposite_edge(kind: str) -> None:
    g = GRAPHS[kind]()
    undirected = sorted(edge_set(g)) == sorted((t, s) for s, t in edge_set(g))
    assert g.is_undirected == undirected
    if g.reverse is not None:
        assert torch.equal(g.edge_index[:, g.reverse], g.edge_index.flip(0))
        assert torch.equal(g.reverse[g.reverse], torch.arange(g.num_edges)), "not its own inverse"
        loops = g.edge_index[0] == g.edge_index[1]
        assert torch.equal(g.reverse[loops], loops.nonzero().squeeze(1))


def test_a_parallel_edge_without_partner_is_directed() -> None:
    assert Graph.of((X, torch.tensor([[0, 0, 1], [1, 1, 0]]))).reverse is None


def test_reverse_where_sources_are_not_sorted() -> None:
    g = Graph(X, torch.tensor([[2, 1, 0, 0], [0, 0, 1, 2]]))
    assert torch.equal(g.edge_index[:, g.reverse], g.edge_index.flip(0))


@pytest.mark.parametrize(
    ("kind", "symmetric"),
    [("undirected", True), ("directed", False), ("weighted", True), ("weighted_by_direction", False), ("with_parallel_edges", True)],
)
def test_symmetric_weights(kind: str, symmetric: bool) -> None:
    assert GRAPHS[kind]().has_symmetric_weights is symmetric


# ---------------------------------------------------------------------- derived matrices

REFERENCES: dict[str, Callable[[Tensor, Tensor | None, int], Tensor]] = {
    "summed": references.summed,
    "averaged": references.averaged,
    "normalised": references.normalised,
}


def random_directed() -> Graph:
    """Weighted, directed, with loops, parallel edges and isolated nodes, all at once."""
    torch.manual_seed(3)
    ends = torch.randint(9, (2, 40))
    return Graph.of(Data(x=torch.randn(graphs.N, 4), edge_index=ends, edge_weight=torch.rand(40) + 0.1))


MATRIX_GRAPHS = {**GRAPHS, "random_directed": random_directed}


@pytest.mark.parametrize("kind", MATRIX_GRAPHS)
@pytest.mark.parametrize("name", REFERENCES)
def test_matrix_equals_its_loop(name: str, kind: str) -> None:
    g = double(MATRIX_GRAPHS[kind]())
    expected = REFERENCES[name](g.edge_index, g.edge_weight, g.num_nodes)
    matrix = getattr(g, name)()
    close(matrix.to_dense(), expected, 1e-12)
    close(matrix.t().to_dense(), expected.t(), 1e-12)
    h = torch.randn(g.num_nodes, 3, dtype=torch.float64, requires_grad=True)
    out = matrix @ h
    close(out, expected @ h, 1e-12)
    grad = torch.randn_like(out)
    close(torch.autograd.grad(out, h, grad)[0], expected.t() @ grad, 1e-12)


@pytest.mark.parametrize("kind", [k for k in MATRIX_GRAPHS if k not in ("with_loops", "with_attributes", "random_directed")])
def test_normalised_equals_pyg(kind: str) -> None:
    g = double(MATRIX_GRAPHS[kind]())  # PyG merges parallel self-loops, so graphs that have some are left out
    index, weight = gcn_norm(g.edge_index, g.edge_weight, g.num_nodes, add_self_loops=True, dtype=torch.float64)
    close(
        g.normalised().to_dense(), torch.zeros(g.num_nodes, g.num_nodes, dtype=torch.float64).index_put(tuple(index.flip(0)), weight, True)
    )


def test_other_features_of_another_type_get_matrices_of_theirs() -> None:
    g = graphs.undirected()
    g.normalised(), g.averaged()
    wide = g.with_x(g.x.double())
    close(wide.normalised().to_dense(), references.normalised(g.edge_index, None, g.num_nodes), 1e-12)
    close(wide.averaged().to_dense(), references.averaged(g.edge_index, None, g.num_nodes), 1e-12)


@pytest.mark.parametrize("name", REFERENCES)
@pytest.mark.parametrize("kind", GRAPHS)
def test_a_view_has_matrices_of_its_own(kind: str, name: str) -> None:
    g = double(GRAPHS[kind]())
    getattr(g, name)()  # what the original has found must not leak into the view
    keep = torch.arange(g.num_edges) % 3 != 0
    views = [g.keep_edges(keep), g.keep_nodes(torch.arange(0, g.num_nodes, 2))]
    if g.reverse is not None:
        views.append(g.keep_edges(keep & keep[g.reverse], symmetric=True))
    for view in views:
        expected = REFERENCES[name](view.edge_index, view.edge_weight, view.num_nodes)
        close(getattr(view, name)().to_dense(), expected, 1e-12)
        close(getattr(view, name)().t().to_dense(), expected.t(), 1e-12)


# ---------------------------------------------------------------------- changed copies


@each_graph
def test_keep_nodes_is_the_induced_subgraph(kind: str) -> None:
    g = GRAPHS[kind]()
    index = torch.arange(0, g.num_nodes, 2)
    sub = g.keep_nodes(index)
    kept = set(index.tolist())
    expected = sorted((s, t) for s, t in edge_set(g) if s in kept and t in kept)
    assert sorted((int(index[s]), int(index[t])) for s, t in edge_set(sub)) == expected
    assert torch.equal(sub.node_ids, g.node_ids[index])
    assert torch.equal(sub.dense_x(), g.dense_x()[index])
    assert torch.equal(sub.graph_ids, g.graph_ids[index])
    assert sub.num_graphs == g.num_graphs
    assert sub.num_seeds == (None if g.num_seeds is None else 2)  # of seeds 0, 1, 2
    if g.edge_attr is not None and sub.edge_attr is not None:
        assert torch.equal(sub.edge_attr, graphs.attributes_of(*index[sub.edge_index]))
    assert sub.keep_nodes(torch.arange(1)).node_ids.tolist() == g.node_ids[:1].tolist()


@each_graph
def test_keep_nodes_knows_both_directions(kind: str) -> None:
    g = GRAPHS[kind]()
    found = g.reverse is not None
    sub = g.keep_nodes(torch.arange(g.num_nodes - 1, dtype=torch.long) if g.num_nodes > 1 else torch.zeros(1, dtype=torch.long))
    if found:
        assert torch.equal(sub.edge_index[:, sub.reverse], sub.edge_index.flip(0))


def parts_equal(a: Part, b: Part, *, with_edges: bool) -> bool:
    tensors = [(a.nodes, b.nodes), (a.node_ptr, b.node_ptr), (a.graph_id, b.graph_id)]
    tensors += [(getattr(a.pattern, name), getattr(b.pattern, name)) for name in ("ptr", "col")]
    tensors += [(a.edges, b.edges)] if with_edges else []
    tensors += [(a.reverse, b.reverse)] if a.reverse is not None and b.reverse is not None else []
    return (a.reverse is None) == (b.reverse is None) and all(x.dtype == y.dtype and torch.equal(x, y) for x, y in tensors)


@each_graph
@pytest.mark.parametrize("with_edges", [False, True])
def test_compiled_cuts_equal_those_of_tensor_operations(kind: str, with_edges: bool) -> None:
    g = GRAPHS[kind]()
    for seed in range(4):
        torch.manual_seed(seed)
        nodes, edges = torch.rand(g.num_nodes) < 0.7, torch.rand(g.num_edges) < 0.7
        edges = edges if g.reverse is None else edges & edges[g.reverse]
        for mask in (None, edges):
            rest = (g.pattern, g.node_ptr, nodes, mask, g.reverse)
            assert parts_equal(induced(*rest, with_edges=with_edges), _induced_by_tensors(*rest), with_edges=with_edges)
        index = torch.randint(g.num_graphs, (5,))
        rest = (g.pattern, g.node_ptr, index, g.reverse)
        assert parts_equal(some_graphs(*rest, with_edges=with_edges), _some_graphs_by_tensors(*rest), with_edges=with_edges)


@each_graph
def test_nodes_and_edges_are_cut_at_once_as_after_one_another(kind: str) -> None:
    g = GRAPHS[kind]()
    torch.manual_seed(1)
    nodes, edges = torch.rand(g.num_nodes) < 0.7, torch.rand(g.num_edges) < 0.7
    symmetric = g.reverse is not None
    edges = edges & edges[g.reverse] if g.reverse is not None else edges
    once, twice = (
        g.keep_nodes(nodes, edges, symmetric=symmetric),
        g.keep_edges(edges, symmetric=symmetric).keep_nodes(nodes.nonzero()[:, 0]),
    )
    for field in fields(g):
        a, b = getattr(once, field.name), getattr(twice, field.name)
        a, b = (z.to_dense() if isinstance(z, CSR) else z for z in (a, b))
        assert torch.equal(a, b) if isinstance(a, Tensor) else a == b
    assert not symmetric or (once.is_undirected and twice.is_undirected)


def test_graphs_that_are_not_there_are_refused() -> None:
    for index in (5, -1):
        with pytest.raises(IndexError):
            graphs.batch().keep_graphs(torch.tensor([0, index]))


def test_with_edges_sorts() -> None:
    g = graphs.undirected().with_edges(EDGES, torch.arange(4.0), torch.arange(4.0)[:, None])
    assert g.edge_index.tolist() == [[1, 2, 1, 0], [0, 0, 1, 2]]
    assert g.edge_weight.tolist() == g.edge_attr.flatten().tolist() == [3, 0, 2, 1]


def test_with_x_shares_the_structure() -> None:
    g = graphs.undirected()
    assert g.with_x(torch.ones(g.num_nodes, 2)).normalised() is g.normalised()
    assert replace(g, edge_weight=torch.ones(g.num_edges)).normalised() is not g.normalised()


@each_graph
def test_moving_keeps_everything(kind: str) -> None:
    g = GRAPHS[kind]()
    assert g.to("cpu") is g
    far = g.to("meta")
    assert far.device.type == "meta"
    assert far.num_nodes == g.num_nodes
    assert far.num_seeds == g.num_seeds


@each_graph
def test_relabelling_law_itself(kind: str) -> None:
    """The relabelling that other laws rest on moves the matrix as it should."""
    g = double(GRAPHS[kind]())
    order = torch.arange(g.num_nodes).flip(0) if g.graph_id is None else torch.arange(g.num_nodes)
    a = g.summed().to_dense()
    close(relabelled(g, order).summed().to_dense(), a[order][:, order])


# ---------------------------------------------------------------------- half precision, and graphs too large to be printed


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_matrices_of_half_precision_graphs_are_in_float32(dtype: torch.dtype) -> None:
    hub = torch.stack([torch.arange(1, 1000), torch.zeros(999, dtype=torch.long)])  # a degree that bfloat16 cannot hold
    g = Graph.of((torch.rand(1000, 2), torch.cat([hub, hub.flip(0)], 1))).with_weights(torch.rand(1998))
    half = g.with_x(g.x.to(dtype))
    half = Graph.of_pattern(half.x, half.pattern, half.edge_weight, undirected=False)
    for name in ("averaged", "normalised"):
        left, right = (getattr(graph, name)().values() for graph in (g, half))
        assert torch.equal(left, right)
    assert torch.equal(half.looped_weights(), g.looped_weights())


def test_to_print_a_graph_does_not_make_its_edges() -> None:
    g = Graph.of((X, EDGES))
    g = Graph.of_pattern(g.x, g.pattern, undirected=False)
    assert repr(g) == "Graph(num_nodes=3, num_edges=4, num_features=2, num_graphs=1)"
    assert "edge_index" not in vars(g)
