"""What an augmentation is, and how the nodes of two views are matched."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor

from graphssl.adjacency import CSR
from graphssl.graph import Graph


@runtime_checkable
class Augmentation(Protocol):
    """A frozen object that turns a graph into a view of it; the input is never changed.

    Any object with these two members is one. A view that leaves nodes out says so in ``keeps_nodes`` and carries
    ``node_id``, as :meth:`Graph.keep_nodes` does, so that :func:`matched` finds the nodes that two views share.
    """

    @property
    def keeps_nodes(self) -> bool:
        """Row ``i`` of the view is node ``i`` of the input."""
        ...

    def __call__(self, g: Graph) -> Graph:
        """A view of ``g``."""
        ...


@dataclass(frozen=True, eq=False)
class Cut:
    """What a view leaves of a graph: some of the nodes and edges, and other features for the same nodes; ``None`` is all as it was."""

    nodes: Tensor | None = None  # [N] bool
    edges: Tensor | None = None  # [E] bool
    x: Tensor | CSR | None = None  # [N, F]
    symmetric: bool = True  # both directions of each edge have the same value in edges

    def of(self, g: Graph) -> Graph:
        """The view of ``g``."""
        if self.x is not None:
            g = g.with_x(self.x)
        if self.nodes is not None:
            return g.keep_nodes(self.nodes, self.edges, symmetric=self.symmetric)
        return g if self.edges is None else g.keep_edges(self.edges, symmetric=self.symmetric)


class Cutting(Protocol):
    """An augmentation that can say what it leaves; several such, each for some graphs of a batch, are done in one go."""

    def cut_out(self, g: Graph, among: Tensor | None = None) -> Cut:
        """What is left of the graphs where ``among`` ``[G]`` is true, and all of the others; ``None``: of all graphs."""
        ...


def aligned(views: Iterable[Augmentation], *, may_drop: bool = False) -> tuple[Augmentation, ...]:
    """The views as a tuple, checked: row ``i`` of each is the same node, unless they may drop nodes.

    Args:
        views: augmentations, one for each view.
        may_drop: the caller matches rows with :func:`matched`, so views that drop nodes are fine.

    Raises:
        ValueError: no view, something that is not an augmentation, or a view that drops nodes where all must stay.

    Example:
        >>> from graphssl.augment import DropEdges, DropNodes
        >>> len(aligned([DropEdges(0.2), DropEdges(0.4)]))
        2
        >>> aligned([DropNodes(0.2)])
        Traceback (most recent call last):
        ValueError: views must keep all nodes here, and DropNodes(p=0.2, exact=False) drops some: contrast what both views kept ...
    """
    views = (views,) if isinstance(views, Augmentation) else tuple(views)
    if not views:
        raise ValueError("views must hold at least one augmentation, got none")
    for view in views:
        if not isinstance(view, Augmentation) or isinstance(view, type):
            raise ValueError(f"views must be augmentations (objects with keeps_nodes that map a Graph to a Graph), got {view!r}")
        if not (view.keeps_nodes or may_drop):
            raise ValueError(
                f"views must keep all nodes here, and {view!r} drops some: contrast what both views kept (may_drop=True and matched) "
                "or use augmentations of edges and features"
            )
    return views


def matched(g1: Graph, g2: Graph) -> tuple[Tensor, Tensor]:
    """Rows of two views of one graph that hold the same node, seeds only: ``(rows1, rows2)``, each ``[M]``.

    Example:
        >>> g = Graph.of((torch.eye(4), torch.tensor([[0, 1], [1, 0]])))
        >>> matched(g.keep_nodes(torch.tensor([0, 2, 3])), g.keep_nodes(torch.tensor([1, 2, 3])))
        (tensor([1, 2]), tensor([1, 2]))
    """
    id1, id2 = (g.node_ids[: g.num_nodes if g.num_seeds is None else g.num_seeds] for g in (g1, g2))
    if id1.numel() == 0 or id2.numel() == 0:
        return id1.new_empty(0), id1.new_empty(0)
    ids, order = id2.sort()
    place = torch.searchsorted(ids, id1).clamp(max=ids.numel() - 1)
    found = ids[place] == id1
    return found.nonzero().squeeze(1), order[place[found]]


def check_share(name: str, value: float) -> None:
    """Refuses what is not a probability or a share."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= 1:
        raise ValueError(f"{name} must be a number from 0 to 1, got {value!r}")


def check_choice(name: str, value: str, allowed: tuple[str, ...]) -> None:
    """Refuses a name that is not one of those allowed."""
    if value not in allowed:
        raise ValueError(f"{name} must be one of {', '.join(map(repr, allowed))}, got {value!r}")


def graph_sizes(g: Graph) -> Tensor:
    """Nodes in each graph, ``[G]``."""
    return g.cached("sizes", lambda: torch.bincount(g.graph_ids, minlength=g.num_graphs))


def shuffled(group: Tensor) -> Tensor:
    """Items in random order inside each group; groups stay in ascending order, ``[M]``."""
    order = torch.randperm(group.numel(), device=group.device)
    return order[group[order].argsort(stable=True)]


def first_of_each(order: Tensor, group: Tensor, counts: Tensor) -> Tensor:
    """The first ``counts[k]`` items of each group ``k`` in ``order`` ``[M]`` (grouped, ascending)."""
    sizes = torch.bincount(group, minlength=counts.numel())
    start = sizes.cumsum(0) - sizes
    sorted_group = group[order]
    rank = torch.arange(order.numel(), device=order.device) - start[sorted_group]
    return order[rank < counts[sorted_group]]


def share_of(p: float, sizes: Tensor) -> Tensor:
    """``int(p * size)`` of each size ``[G]``, whatever ``p`` is in binary (0.1 of 30 are 3)."""
    return (p * sizes.double() + 1e-9).long()


def only(counts: Tensor, among: Tensor | None) -> Tensor:
    """``counts`` ``[G]`` with zeros for the graphs that are not ``among`` those meant."""
    return counts if among is None else counts * among


def drawn(group: Tensor, counts: Tensor) -> Tensor:
    """``counts[k]`` random items of each group ``k`` as a mask ``[M]``; ``group`` ``[M]`` need not be sorted."""
    if group.device.type == "cpu":
        from graphssl.augment.drawing import draw  # numba takes half a second to import

        coins = torch.rand(group.numel(), dtype=torch.float64)
        return torch.from_numpy(draw(group.numpy(), counts.numpy(), coins.numpy()))
    return drawn_by_sorting(group, counts)


def drawn_by_sorting(group: Tensor, counts: Tensor) -> Tensor:
    """As :func:`drawn`, by tensor operations."""
    mask = torch.zeros(group.numel(), dtype=torch.bool, device=group.device)
    return mask.index_fill_(0, first_of_each(shuffled(group), group, counts), True)


def below(bound: Tensor) -> Tensor:
    """Random integers from 0 to ``bound - 1``, ``bound`` positive; exact at any size, which a scaled float is not."""
    return torch.randint(2**62, bound.shape, device=bound.device) % bound
