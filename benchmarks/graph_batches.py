"""Batches of small graphs, augmented: ``python -m benchmarks.graph_batches``. Graphs a second against the usual way, ratios of the same run.

The usual way is a PyG data set whose ``__getitem__`` augments one graph, behind PyG's ``DataLoader``, and PyG's ``GINConv`` over the
batches; ours cuts a batch out of one store and augments it whole. Both do GraphCL with ``random4`` (You et al., 2020, arXiv:2010.13902):
each graph beside one view of it, of which a tenth of the nodes is dropped, a tenth of the edges, all but a fifth of the nodes (random
walk), or a tenth of the nodes' features replaced by noise. Both take an epoch in turns, and the median of each is taken.
"""

from __future__ import annotations

import json
import statistics
import time
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
import torch_geometric.nn as pyg
from torch import Tensor, nn
from torch_geometric.data import Batch, Data
from torch_geometric.loader import DataLoader
from torch_geometric.utils import coalesce, dropout_edge, subgraph

from graphssl import GIN, DropEdges, DropNodes, Graph, GraphBatches, GraphCL, Identity, MaskFeatures, RandomChoice, Subgraph
from graphssl.environment import environment

GRAPHS, NODES, LABELS, BATCH, ROUNDS = 4_110, 29.9, 37, 128, 5  # as NCI1, which has 64.6 directed edges a graph


def molecules() -> list[Data]:
    """Random trees with a few rings closed, as many and as large as in NCI1."""
    rng = np.random.default_rng(0)
    graphs = []
    for n in np.clip(rng.normal(NODES, 13.6, GRAPHS).round().astype(int), 3, 111):
        parent = np.array([rng.integers(max(0, k - 3), k) for k in range(1, n)])
        pairs = np.stack([np.arange(1, n), parent])
        rings = np.stack([rng.integers(0, n, 4), rng.integers(0, n, 4)])
        rings = rings[:, rings[0] != rings[1]]
        edges = torch.from_numpy(np.concatenate([pairs, pairs[::-1], rings, rings[::-1]], 1))
        x = F.one_hot(torch.from_numpy(rng.choice(LABELS, n, p=_shares())), LABELS).float()
        graphs.append(Data(x=x, edge_index=coalesce(edges)))
    return graphs


def _shares() -> np.ndarray:
    shares = 2.0 ** -np.arange(LABELS)
    return shares / shares.sum()


# ---------------------------------------------------------------------- the usual way


class Augmented(torch.utils.data.Dataset):  # type: ignore[type-arg]
    """Pairs of a graph and a view of it, made when it is asked for."""

    def __init__(self, graphs: list[Data]) -> None:
        self.graphs = graphs

    def __len__(self) -> int:
        return len(self.graphs)

    def __getitem__(self, index: int) -> tuple[Data, Data]:
        data = self.graphs[index]
        way = (drop_nodes, drop_edges, walk, mask)[np.random.randint(4)]
        return data, way(data)


def _induced(data: Data, keep: Tensor) -> Data:
    edges, _ = subgraph(keep, data.edge_index, relabel_nodes=True, num_nodes=data.x.size(0))
    return Data(x=data.x[keep], edge_index=edges)


def drop_nodes(data: Data) -> Data:
    n = data.x.size(0)
    return _induced(data, torch.randperm(n)[n // 10 :].sort().values)


def drop_edges(data: Data) -> Data:
    return Data(x=data.x, edge_index=dropout_edge(data.edge_index, p=0.1, force_undirected=True)[0])


def walk(data: Data) -> Data:
    n = data.x.size(0)
    neighbours: list[list[int]] = [[] for _ in range(n)]
    for a, b in data.edge_index.t().tolist():
        neighbours[a].append(b)
    found = [int(np.random.randint(n))]
    reach = set(neighbours[found[0]])
    while len(found) < max(1, round(0.2 * n)):
        reach -= set(found)
        if not reach:
            break
        found.append(list(reach)[np.random.randint(len(reach))])
        reach |= set(neighbours[found[-1]])
    return _induced(data, torch.tensor(sorted(found)))


def mask(data: Data) -> Data:
    n = data.x.size(0)
    x = data.x.clone()
    rows = torch.randperm(n)[: n // 10]
    x[rows] = 0.5 + 0.5 * torch.randn(len(rows), x.size(1))
    return Data(x=x, edge_index=data.edge_index)


class UsualGIN(nn.Module):
    """Three ``GINConv`` layers of PyG, ReLU, batch norm, a sum a layer, laid side by side; a projector of two layers."""

    def __init__(self) -> None:
        super().__init__()
        widths = [LABELS, 32, 32, 32]
        mlps = [nn.Sequential(nn.Linear(i, o), nn.ReLU(), nn.Linear(o, o)) for i, o in zip(widths, widths[1:], strict=False)]
        self.convs = nn.ModuleList(pyg.GINConv(mlp, train_eps=True) for mlp in mlps)
        self.norms = nn.ModuleList(nn.BatchNorm1d(32) for _ in mlps)
        self.projector = nn.Sequential(nn.Linear(96, 96), nn.ReLU(), nn.Linear(96, 96))

    def forward(self, data: Batch) -> Tensor:
        h, sums = data.x, []
        for conv, norm in zip(self.convs, self.norms, strict=True):
            h = norm(F.relu(conv(h, data.edge_index)))
            sums.append(pyg.global_add_pool(h, data.batch, data.num_graphs))
        return self.projector(torch.cat(sums, 1))  # type: ignore[no-any-return]


def usual_loss(net: UsualGIN, one: Batch, other: Batch, tau: float = 0.2) -> Tensor:
    u, v = F.normalize(net(one), dim=1), F.normalize(net(other), dim=1)
    scores = (u @ v.t() / tau).exp()
    own = scores.diagonal()
    return -(own / (scores.sum(1) - own)).log().mean()  # type: ignore[no-any-return]


# ---------------------------------------------------------------------- both


def compare() -> dict[str, float]:
    """Graphs a second of both, for the batches with their views alone and for training."""
    graphs = molecules()
    loader = DataLoader(Augmented(graphs), batch_size=BATCH, shuffle=True)  # type: ignore[arg-type]
    batches = GraphBatches(Graph.of(Batch.from_data_list(graphs)), BATCH)
    view = RandomChoice(
        DropNodes(0.1, exact=True),
        DropEdges(0.1, exact=True),
        Subgraph(0.2, how="grow"),
        MaskFeatures(0.1, mode="node", fill="noise", exact=True),
        per_graph=True,
    )
    ours = GraphCL(GIN(LABELS, [32] * 3, act="relu", order="act-norm", jk="cat", readout="sum"), (Identity(), view))
    theirs = UsualGIN()
    one, other = (torch.optim.Adam(net.parameters(), lr=1e-3) for net in (ours, theirs))

    def our_views() -> None:
        for g in batches:
            view(g).pattern  # noqa: B018 - the rows that a convolution takes

    def usual_views() -> None:
        for _ in loader:
            pass

    def our_epoch() -> None:
        for g in batches:
            one.zero_grad()
            ours(g).backward()
            one.step()

    def usual_epoch() -> None:
        for g, v in loader:
            other.zero_grad()
            usual_loss(theirs, g, v).backward()
            other.step()

    rates = {}
    for name, mine, usual in (("views", our_views, usual_views), ("training", our_epoch, usual_epoch)):
        times: tuple[list[float], list[float]] = ([], [])
        for _ in range(ROUNDS):
            for route, taken in ((mine, times[0]), (usual, times[1])):
                start = time.process_time()
                route()
                taken.append(time.process_time() - start)
        fast, slow = (statistics.median(t) for t in times)
        rates |= {f"{name}_graphssl": round(GRAPHS / fast), f"{name}_usual": round(GRAPHS / slow), f"{name}_ratio": round(slow / fast, 1)}
    return rates


if __name__ == "__main__":
    torch.manual_seed(0)
    np.random.seed(0)
    row = compare()
    print(row)
    what = "graphs a second, GraphCL with random4 on graphs as in NCI1: batches cut and augmented whole over PyG's DataLoader"
    record = {"what": what, "rows": [row], "threads": torch.get_num_threads(), "environment": environment()}
    (Path(__file__).parent / "results" / "graph_batches.json").write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
