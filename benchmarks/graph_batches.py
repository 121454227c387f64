"""Batches of small graphs, augmented: ``python -m benchmarks.graph_batches``. Graphs a second against the usual ways, ratios of one run.

Ours cuts a batch out of one store and augments it whole. The usual ways augment one graph at a time, behind PyG's ``DataLoader``, with
PyG's ``GINConv`` over the batches: ``tidy``, with PyG's own functions on data held in memory; and ``dense``, as the method's public code
goes about it: a dense adjacency for each graph, nodes without edges taken out of the batch in Python. All do GraphCL with ``random4``
(You et al., 2020, arXiv:2010.13902): each graph beside one view of it, of which a tenth of the nodes is dropped, a tenth of the edges, all
but a fifth of the nodes (grown from a random one), or a tenth of the nodes' features replaced by noise. Seconds are those of the
processor, one thread, so that other work on the machine counts as little as it can; an epoch each in turns, medians.
"""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable
from functools import partial
from itertools import pairwise
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
        way = (drop_nodes, drop_edges, subgraph_of, mask)[np.random.randint(4)]
        return data, way(data)


class Dense(Augmented):
    """The same by a dense adjacency a graph."""

    def __getitem__(self, index: int) -> tuple[Data, Data]:
        data = self.graphs[index]
        way = np.random.randint(4)
        if way in (1, 3):
            return data, (drop_edges, mask)[way // 2](data)
        n = data.x.size(0)
        adjacency = torch.zeros(n, n)
        adjacency[data.edge_index[0], data.edge_index[1]] = 1
        gone = torch.randperm(n)[: n // 10] if way == 0 else torch.tensor(sorted(set(range(n)) - set(grown(data))))
        adjacency[gone] = 0
        adjacency[:, gone] = 0
        return data, Data(x=data.x, edge_index=adjacency.nonzero().t())


def without_loose_nodes(batch: Batch) -> Batch:
    """The batch without the nodes that have no edge, renumbered node by node."""
    ends = batch.edge_index.numpy()
    seen = set(ends[0]) | set(ends[1])
    kept = [node for node in range(batch.num_nodes) if node in seen]
    place = {node: k for k, node in enumerate(kept)}
    pairs = [[place[a], place[b]] for a, b in ends.T if a != b]
    return Batch(x=batch.x[kept], edge_index=torch.tensor(pairs).t(), batch=batch.batch[kept], _num_graphs=batch.num_graphs)


def _induced(data: Data, keep: Tensor) -> Data:
    edges, _ = subgraph(keep, data.edge_index, relabel_nodes=True, num_nodes=data.x.size(0))
    return Data(x=data.x[keep], edge_index=edges)


def drop_nodes(data: Data) -> Data:
    n = data.x.size(0)
    return _induced(data, torch.randperm(n)[n // 10 :].sort().values)


def drop_edges(data: Data) -> Data:
    return Data(x=data.x, edge_index=dropout_edge(data.edge_index, p=0.1, force_undirected=True)[0])


def subgraph_of(data: Data) -> Data:
    return _induced(data, torch.tensor(sorted(grown(data))))


def grown(data: Data) -> list[int]:
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
    return found


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
        mlps = [nn.Sequential(nn.Linear(i, o), nn.ReLU(), nn.Linear(o, o)) for i, o in pairwise(widths)]
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
    """Graphs a second of ours and of the usual ways, for the batches with their views alone and for training."""
    graphs = molecules()
    tidy, dense = (DataLoader(kind(graphs), batch_size=BATCH, shuffle=True) for kind in (Augmented, Dense))
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

    def our_epoch() -> None:
        for g in batches:
            one.zero_grad()
            ours(g).backward()
            one.step()

    def usual_views(loader: DataLoader, clean: Callable[[Batch], Batch]) -> None:
        for _, v in loader:
            clean(v)

    def usual_epoch(loader: DataLoader, clean: Callable[[Batch], Batch]) -> None:
        for g, v in loader:
            other.zero_grad()
            usual_loss(theirs, g, clean(v)).backward()
            other.step()

    ways = {"tidy": (tidy, lambda batch: batch), "dense": (dense, without_loose_nodes)}
    rates: dict[str, float] = {}
    for name, mine, usual in (("views", our_views, usual_views), ("training", our_epoch, usual_epoch)):
        routes = {"graphssl": mine, **{way: partial(usual, *given) for way, given in ways.items()}}
        times: dict[str, list[float]] = {way: [] for way in routes}
        for _ in range(ROUNDS):
            for way, route in routes.items():
                start = time.process_time()
                route()
                times[way].append(time.process_time() - start)
        taken = {way: statistics.median(t) for way, t in times.items()}
        rates |= {f"{name} {way}": round(GRAPHS / t) for way, t in taken.items()}
        rates |= {f"{name} ratio to {way}": round(taken[way] / taken["graphssl"], 1) for way in ways}
    return rates


if __name__ == "__main__":
    torch.set_num_threads(1)
    torch.manual_seed(0)
    np.random.seed(0)
    row = compare()
    print(row)
    what = "graphs a second of processor time, GraphCL with random4 on graphs as in NCI1; ratios are to the usual ways"
    record = {"what": what, "rows": [row], "threads": torch.get_num_threads(), "environment": environment()}
    (Path(__file__).parent / "results" / "graph_batches.json").write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
