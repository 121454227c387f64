"""Views with fewer nodes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor

from graphssl.augment.views import Cut, below, check_choice, check_share, drawn, first_of_each, graph_sizes, only, share_of, shuffled
from graphssl.graph import Graph

NEVER = 2**62  # a time after all others


@dataclass(frozen=True)
class DropNodes:
    """Node dropping of GraphCL (You et al., 2020, arXiv:2010.13902): each node goes with probability ``p``, with its edges.

    The view is the induced subgraph on the other nodes, and ``node_id`` says which they are. A graph that would lose all
    its nodes keeps one, drawn uniformly, and a batch with seed nodes keeps at least one seed.

    Args:
        p: probability that a node is dropped, from 0 to 1.
        exact: drop ``int(p * n)`` nodes of each graph of ``n``, drawn uniformly, as GraphCL does, instead of tossing coins.

    Raises:
        ValueError: ``p`` is not from 0 to 1.

    Example:
        >>> g = Graph.of((torch.eye(4), torch.tensor([[0, 1, 1, 2], [1, 0, 2, 1]])))
        >>> view = DropNodes(0.5)(g)
        >>> bool((view.x.argmax(1) == view.node_id).all())
        True
    """

    p: float
    exact: bool = False
    keeps_nodes: ClassVar[bool] = False

    def __post_init__(self) -> None:
        check_share("p", self.p)

    def __call__(self, g: Graph) -> Graph:
        return self.cut_out(g).of(g)

    def cut_out(self, g: Graph, among: Tensor | None = None) -> Cut:
        """What is left of the graphs where ``among`` ``[G]`` is true, and all of the others."""
        ids = g.graph_ids
        if self.exact:
            sizes = graph_sizes(g)
            keep = ~drawn(ids, only(share_of(self.p, sizes).minimum(sizes - 1), among))
        else:
            coin = torch.rand(g.num_nodes, device=g.device)
            best = coin.new_zeros(g.num_graphs).scatter_reduce(0, ids, coin, "amax")
            keep = (coin >= self.p) | ((coin == best[ids]) & (best < self.p)[ids])
            keep = keep if among is None else keep | ~among[ids]
        if g.num_seeds:
            seeds = torch.rand(g.num_seeds, device=g.device)
            keep[: g.num_seeds] |= (seeds == seeds.max()) & ~keep[: g.num_seeds].any()
        return Cut(nodes=keep)


@dataclass(frozen=True)
class Subgraph:
    """Subgraph sampling of GraphCL (You et al., 2020, arXiv:2010.13902): the induced subgraph on a share of the nodes.

    A graph of ``n`` nodes keeps exactly ``max(1, round(ratio * n))``, and ``node_id`` says which. With ``how="walk"`` they are
    the first that random walks with restart meet: at each step a walk goes back to its root with probability ``restart``, or on to
    a node that sends an edge to where it stands. A walk that met nothing new for ``reach`` steps no longer goes back, and one that
    has nowhere to go, or met nothing for ``2 * reach`` steps, starts again at a random node. All graphs are walked at once; after
    ``20 * reach`` steps, nodes drawn at random make up what is missing. With ``how="nodes"`` all are drawn at random.

    With ``how="grow"`` a random node takes in a random one of those that send an edge to what is there already, and so on; where there
    is none, growth starts again at a random node. It is what the official code means to do (there the neighbours of new nodes do not
    join the choice). On the CPU that is done node by node; on other devices for all graphs at once: a node that waits for an exponentially
    distributed time from when it could first join is as likely as any other to be next, so the order of growth is that of shortest paths
    over waiting times, and paths longer than ``20 * reach`` edges are cut.

    Where the graph has seed nodes, walks and growth begin at seeds, so that at least one stays.

    Args:
        ratio: share of nodes to keep, above 0 up to 1. GraphCL keeps 0.2 (unsupervised) or 0.8 (transfer).
        how: ``"walk"``, ``"grow"`` or ``"nodes"``.
        restart: probability to go back to the root.
        reach: nodes that one walk is meant to find; a graph that keeps more is walked from several roots at once. Small
            graphs are so walked from one root, as in GraphCL, and large ones in a bounded number of steps.

    Raises:
        ValueError: an argument outside these bounds.

    Example:
        >>> path = torch.arange(9)
        >>> g = Graph.of((torch.eye(10), torch.stack([torch.cat([path, path + 1]), torch.cat([path + 1, path])])))
        >>> Subgraph(0.3)(g).num_nodes
        3
    """

    ratio: float
    how: Literal["walk", "grow", "nodes"] = "walk"
    restart: float = 0.15
    reach: int = 50
    keeps_nodes: ClassVar[bool] = False

    def __post_init__(self) -> None:
        check_share("ratio", self.ratio)
        if self.ratio == 0:
            raise ValueError("ratio must be above 0 and at most 1, got 0")
        check_choice("how", self.how, ("walk", "grow", "nodes"))
        check_share("restart", self.restart)
        if self.reach < 1:
            raise ValueError(f"reach must be at least 1, got {self.reach!r}")

    def __call__(self, g: Graph) -> Graph:
        return self.cut_out(g).of(g)

    def cut_out(self, g: Graph, among: Tensor | None = None) -> Cut:
        """What is left of the graphs where ``among`` ``[G]`` is true, and all of the others."""
        sizes = graph_sizes(g)
        wanted = only((self.ratio * sizes).round().long().clamp(min=1).minimum(sizes), among)
        root = int(torch.randint(g.num_seeds, (1,))) if g.num_seeds else -1
        keep = self._chosen(g, wanted, root)
        return Cut(nodes=keep if among is None else keep | ~among.index_select(0, g.graph_ids))

    def _chosen(self, g: Graph, wanted: Tensor, root: int) -> Tensor:
        """``wanted[k]`` nodes of each graph ``k`` as a mask ``[N]``, of which ``root`` (-1: none) is the first."""
        if self.how == "grow" and g.device.type == "cpu":
            from graphssl.augment.drawing import grow  # numba takes half a second to import

            coins = torch.rand(2, g.num_nodes, dtype=torch.float64)
            rows = g.pattern.ptr.numpy(), g.pattern.col.numpy(), g.node_ptr.numpy()
            return torch.from_numpy(grow(*rows, wanted.numpy(), root, coins.numpy()))
        return self._chosen_by_time(g, wanted, root)

    def _chosen_by_time(self, g: Graph, wanted: Tensor, root: int) -> Tensor:
        time = torch.full((g.num_nodes,), NEVER, device=g.device)  # [N] step at which each node was met
        if root >= 0:
            time[root] = 0
        if self.how == "walk" and g.num_edges:
            self._walk(g, wanted, time)
        if self.how == "grow":
            time = self._grown(g, wanted, time == 0)
        order = shuffled(g.graph_ids)
        order = order[time[order].argsort(stable=True)]  # nodes met at one step, or never, in random order
        order = order[g.graph_ids[order].argsort(stable=True)]
        keep = torch.zeros(g.num_nodes, dtype=torch.bool, device=g.device)
        return keep.index_fill_(0, first_of_each(order, g.graph_ids, wanted), True)

    def _walk(self, g: Graph, wanted: Tensor, time: Tensor) -> None:
        """Writes into ``time`` the step at which a walk first meets each node."""
        sizes, col = graph_sizes(g), g.pattern.col
        start, ptr, degree = sizes.cumsum(0) - sizes, g.pattern.ptr.long(), g.pattern.counts.long()
        graph = torch.arange(g.num_graphs, device=g.device).repeat_interleave((wanted + self.reach - 1) // self.reach)  # [W]
        first = start[graph]
        room = sizes[graph] if not g.num_seeds or g.num_graphs > 1 else torch.full_like(graph, g.num_seeds)
        root = first + below(room)
        node, stale = root, torch.zeros_like(root)
        time[root] = 0
        for step in range(1, 20 * self.reach + 1):
            ways = degree[node]
            edge = (ptr[node] + below(ways.clamp(min=1))).clamp(max=g.num_edges - 1)
            home = (torch.rand(node.shape, device=g.device) < self.restart) & (stale < self.reach)
            lost = (ways == 0) | (stale >= 2 * self.reach)
            root = root.where(~lost, first + below(sizes[graph]))
            node = root.where(home | lost, col[edge].long())
            met = time[node]
            stale = (stale + 1).where(met < step, 0)
            time[node] = met.clamp(max=step)
            if step % 16 == 0:  # not at each step, since the answer must come back from the device
                found = torch.bincount(g.graph_ids[time < NEVER], minlength=g.num_graphs)
                if bool((found >= wanted).all()):
                    return

    def _grown(self, g: Graph, wanted: Tensor, root: Tensor) -> Tensor:
        """When each node joins, ``[N]``; nodes of ``root`` ``[N]`` are first to start."""
        source, target = g.edge_index
        order = shuffled(g.graph_ids)
        turn = torch.empty(g.num_nodes, dtype=torch.float64, device=g.device)
        turn[order] = torch.arange(g.num_nodes, dtype=torch.float64, device=g.device)
        wait = torch.empty_like(turn).exponential_()
        time = turn.where(~root, -1) * (1 + wait.sum())  # where nothing reaches a node, it starts on its own, after all that began before
        wait = wait[source]
        for step in range(1, min(20 * self.reach, int(wanted.max()))):
            sooner = time.scatter_reduce(0, source, time[target] + wait, "amin")
            if step % 4 == 0 and torch.equal(sooner, time):
                break
            time = sooner
        return time
