"""The speed benchmarks do what they say: both ways get batches of the same kind, and the views are what they should be."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch_geometric.data import Batch, Data

sys.path.insert(0, str(Path(__file__).parent.parent))
graph_batches = pytest.importorskip("benchmarks.graph_batches")


@pytest.fixture
def graphs() -> list[Data]:
    torch.manual_seed(0)
    np.random.seed(0)
    return graph_batches.molecules()[:40]  # type: ignore[no-any-return]


def test_the_graphs_are_as_large_as_they_should_be(graphs: list[Data]) -> None:
    nodes = np.mean([g.num_nodes for g in graphs])
    edges = np.mean([g.num_edges for g in graphs])
    assert 24 < nodes < 36
    assert 1.9 < edges / nodes < 2.4
    assert all(g.is_undirected() for g in graphs)


def test_each_usual_view_changes_what_it_says(graphs: list[Data]) -> None:
    for g in graphs:
        n = g.num_nodes
        assert graph_batches.drop_nodes(g).num_nodes == n - n // 10
        assert graph_batches.drop_edges(g).num_edges <= g.num_edges
        assert graph_batches.subgraph_of(g).num_nodes <= max(1, round(0.2 * n))
        assert int((graph_batches.mask(g).x != g.x).any(1).sum()) == n // 10


def test_the_dense_way_leaves_no_node_without_an_edge(graphs: list[Data]) -> None:
    pairs = [graph_batches.Dense(graphs)[k] for k in range(len(graphs))]
    batch = graph_batches.without_loose_nodes(Batch.from_data_list([view for _, view in pairs]))
    assert batch.edge_index.unique().numel() == batch.num_nodes
    assert (batch.batch[batch.edge_index[0]] == batch.batch[batch.edge_index[1]]).all()
    net = graph_batches.UsualGIN()
    assert graph_batches.usual_loss(net, Batch.from_data_list(graphs), batch).isfinite()
