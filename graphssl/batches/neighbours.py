"""Batches of sampled neighbourhoods of a large graph."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from graphssl.adjacency import CSR, Pattern, full
from graphssl.batches.epochs import Epochs, at_least, checked_seeds
from graphssl.batches.merging import in_both_directions, of_both_sides, turned, turned_rows
from graphssl.batches.sampling import Array, Rows, Side, Stamps, sample
from graphssl.batches.shards import too_few
from graphssl.batches.subgraphs import stream
from graphssl.graph import Graph

CHUNK = 8192  # half-precision rows that are widened at a time, while they are in the cache


class NeighbourBatches(Epochs):
    """Seeds and a sample of the neighbourhood that a network reads for them: GraphSAGE (Hamilton et al., 2017, arXiv:1706.02216).

    Hop ``h`` draws, for each node first seen at hop ``h - 1`` (the seeds at hop 0), up to ``fan_out[h]`` of its neighbours. A batch holds
    the nodes seen, seeds first and the others in order of first sight, and the drawn edges as they stand in the graph; rows of its
    ``node_id`` say which nodes they are. With ``[-1] * L`` an encoder of ``L`` layers that averages or sums over neighbours gives the
    seeds what it gives them on the whole graph. One that weighs an edge by both its ends' degrees, as a GCN does, sees the degrees of the
    batch: the last hop's nodes have no neighbours there.

    Batch ``k`` of epoch ``e`` depends on ``seed``, ``e`` and ``k`` only: not on threads, and not on where a pass was taken up again.
    Each thread has scratch of eight bytes a node.

    Args:
        graph: one large graph on the CPU, in memory or mapped from a file.
        fan_out: neighbours drawn at each hop, 1 or more; -1 for all.
        batch_size: seeds a batch.
        seeds: the rows ``[S]`` that are seeds once an epoch; all by default.
        shuffle: seeds in a new order each epoch.
        drop_last: leave out a last batch that is smaller than the others (never the only one).
        replace: draw with replacement; a neighbour drawn twice stands twice, except where drawn edges are merged (``symmetric``, "both").
        weighted: draw in proportion to ``edge_weight``; without replacement one after another among those left (Efraimidis and Spirakis,
            2006). Neighbours of weight 0 only come once no other is left.
        direction: draw from the sources of the edges "in"to a node, from the targets of those "out" of it, or ``fan_out[h]`` of "both".
        symmetric: of an undirected graph, hold each drawn edge in both directions, so that the batch is an undirected graph as well.
            ``direction="both"`` means that where the graph is undirected.
        loss_on: "seeds" makes them the rows that count for the loss, "all" all nodes of the batch.
        seed: of the order and all draws.
        threads: batches made at a time, ahead of their use; 0: each when it is asked for.
        ahead: batches made before they are asked for.

    Raises:
        ValueError: a fan-out of 0, no hop, a batch size below 1, seeds outside the graph or twice, weights that are missing, negative or
            not finite, a graph that is not undirected where ``symmetric`` is asked for, one that is itself a batch, or one not on the CPU.

    Example:
        >>> ends = torch.arange(4)
        >>> path = Graph.of((torch.eye(5), torch.stack([torch.cat([ends, ends + 1]), torch.cat([ends + 1, ends])])))
        >>> (batch,) = NeighbourBatches(path, [-1, -1], 2, seeds=torch.tensor([0, 1]), shuffle=False)
        >>> batch.node_id.tolist(), batch.num_seeds, batch.edge_index.tolist()
        ([0, 1, 2, 3], 2, [[1, 0, 2, 1, 3], [0, 1, 1, 2, 2]])
    """

    def __init__(
        self,
        graph: Graph,
        fan_out: Sequence[int],
        batch_size: int,
        *,
        seeds: Tensor | None = None,
        shuffle: bool = True,
        drop_last: bool = False,
        replace: bool = False,
        weighted: bool = False,
        direction: Literal["in", "out", "both"] = "in",
        symmetric: bool = False,
        loss_on: Literal["seeds", "all"] = "seeds",
        seed: int = 0,
        threads: int = 1,
        ahead: int = 2,
    ) -> None:
        super().__init__(seed=seed, threads=threads, ahead=ahead)
        at_least("batch_size", batch_size, 1)
        _check(graph, fan_out, direction, loss_on)
        mirrored = _mirrored(graph)
        if symmetric and not mirrored:
            raise ValueError("symmetric=True needs an undirected graph whose edges weigh the same in both directions and have no edge_attr")
        if symmetric or (direction == "both" and mirrored):
            direction, symmetric = "in", True
        self.graph, self.fan_out, self.batch_size = graph, tuple(fan_out), batch_size
        self.seeds = None if seeds is None else checked_seeds(seeds, graph.num_nodes)
        self.shuffle, self.drop_last, self.replace = shuffle, drop_last, replace
        self.direction, self.symmetric, self.loss_on = direction, symmetric, loss_on
        weight = _checked_weights(graph) if weighted else np.empty(0, np.float32)
        self._perm: Array | None = None  # entry of the graph that each entry of the turned one is
        self._sides = [Side(graph.pattern.ptr.numpy(), graph.pattern.col.numpy(), weight)]
        if direction != "in" and not mirrored:
            pattern, perm = graph.pattern.transpose()
            self._perm = perm.numpy()
            out = Side(pattern.ptr.numpy(), pattern.col.numpy(), weight[self._perm] if weighted else weight)
            self._sides = [out] if direction == "out" else [*self._sides, out]
        self._free: list[Stamps] = []
        self._shuffled: tuple[int, Array] | None = None

    @property
    def num_seeds(self) -> int:
        """Seeds an epoch."""
        return self.graph.num_nodes if self.seeds is None else len(self.seeds)

    def __len__(self) -> int:
        count, size = self.num_seeds, self.batch_size
        return max(count // size, 1) if self.drop_last else self.share.number(count, size)

    def too_few(self) -> str:
        """What is wrong where a rank of the share would go without seeds."""
        return too_few("seeds", self.num_seeds, self.batch_size, self.share)

    def batch(self, epoch: int, k: int) -> Graph:
        """Batch ``k`` of epoch ``epoch``."""
        nodes, rows = self.sample(epoch, k)
        num_seeds = len(self._seeds_of(epoch, k)) if self.loss_on == "seeds" else None
        return self._graph(nodes, rows, num_seeds)

    def sample(self, epoch: int, k: int) -> tuple[Array, Rows]:
        """Nodes ``[N']`` and edges of a batch, without its features."""
        try:
            stamps = self._free.pop()
        except IndexError:
            stamps = Stamps(self.graph.num_nodes)
        key, seeds = stream(*self.share.key(self.seed, epoch, k)), self._seeds_of(epoch, k)
        nodes, drawn = sample(self._sides, seeds, self.fan_out, key, stamps, replace=self.replace)
        self._free.append(stamps)
        if self._perm is not None:
            drawn[-1] = drawn[-1]._replace(entry=self._perm[drawn[-1].entry])
        if self.direction == "out":
            return nodes, turned_rows(drawn[0])
        if self.direction == "both":
            return nodes, of_both_sides(drawn[0], turned_rows(drawn[1]))
        if self.symmetric:
            return nodes, in_both_directions(drawn[0], self._sides[0].ptr, self._sides[0].col, nodes)
        return nodes, drawn[0]

    def _seeds_of(self, epoch: int, k: int) -> Array:
        start, end = self.share.of(k * self.batch_size, min((k + 1) * self.batch_size, self.num_seeds))
        if not self.shuffle:
            return np.arange(start, end) if self.seeds is None else self.seeds[start:end]
        known = self._shuffled
        if known is None or known[0] != epoch:
            generator = np.random.Generator(np.random.Philox(key=stream(self.seed, epoch)))
            known = self._shuffled = (epoch, generator.permutation(self.num_seeds))
        part = known[1][start:end]
        return part if self.seeds is None else self.seeds[part]

    def _graph(self, nodes: Array, rows: Rows, num_seeds: int | None) -> Graph:
        whole, n = self.graph, len(nodes)
        index, entry = torch.from_numpy(nodes), torch.from_numpy(rows.entry)
        weight = None if whole.edge_weight is None else full(whole.edge_weight.index_select(0, entry))
        ptr, col, perm = turned(rows.ptr, rows.col)
        paired = np.array_equal(ptr, rows.ptr) and np.array_equal(col, rows.col)
        other = Pattern(torch.from_numpy(ptr), torch.from_numpy(col), n)
        pattern = Pattern(torch.from_numpy(rows.ptr), torch.from_numpy(rows.col), n, transpose=(other, torch.from_numpy(perm)))
        return Graph.of_pattern(
            _gathered(whole.x, index),
            pattern,
            weight,
            None if whole.edge_attr is None else whole.edge_attr.index_select(0, entry),
            undirected=self.symmetric or (paired and weight is None),
            reverse=torch.from_numpy(perm) if paired else None,
            num_seeds=num_seeds,
            node_id=index if whole.node_id is None else whole.node_id.index_select(0, index),
        )


def _gathered(x: Tensor | CSR, index: Tensor) -> Tensor | CSR:
    """Rows of the features, half-precision ones in float32."""
    if isinstance(x, CSR):
        rows = x.rows(index)
        return rows if rows.val is None else rows.with_values(full(rows.val))
    if x.dtype not in (torch.float16, torch.bfloat16):
        return x.index_select(0, index)
    out = torch.empty(index.numel(), x.size(1))
    for start in range(0, index.numel(), CHUNK):
        out[start : start + CHUNK] = x.index_select(0, index[start : start + CHUNK])
    return out


def _mirrored(graph: Graph) -> bool:
    """Both directions of each edge are there and worth the same; of a graph by its rows only what it was said to be."""
    if graph.edge_attr is not None:
        return False
    return graph.known_symmetric or ("edge_index" in vars(graph) and graph.has_symmetric_weights)


def _check(graph: Graph, fan_out: Sequence[int], direction: str, loss_on: str) -> None:
    if graph.device.type != "cpu":
        raise ValueError(f"graph must be on the CPU, got one on {graph.device}")
    if graph.num_seeds is not None:
        raise ValueError(f"graph must be a whole graph, got a batch of which only the first {graph.num_seeds} rows count (num_seeds)")
    whole = not isinstance(fan_out, str) and all(isinstance(fan, int) and not isinstance(fan, bool) for fan in fan_out)
    if not whole or not len(fan_out) or any(fan < 1 and fan != -1 for fan in fan_out):
        raise ValueError(f"fan_out must hold one integer a hop, 1 or more, or -1 for all neighbours, got {fan_out!r}")
    if direction not in ("in", "out", "both"):
        raise ValueError(f"direction must be 'in', 'out' or 'both', got {direction!r}")
    if loss_on not in ("seeds", "all"):
        raise ValueError(f"loss_on must be 'seeds' or 'all', got {loss_on!r}")


def _checked_weights(graph: Graph) -> Array:
    if graph.edge_weight is None:
        raise ValueError("weighted=True needs a graph with edge_weight, got one without")
    weight = full(graph.edge_weight.detach()).contiguous()
    if weight.numel():
        low, high = (float(value) for value in weight.aminmax())
        if not (low >= 0 and high < np.inf):
            raise ValueError(f"weighted=True needs edge weights that are 0 or more and finite, got {low} to {high}")
    array: Array = weight.numpy()
    return array
