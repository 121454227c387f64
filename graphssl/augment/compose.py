"""Augmentations made of augmentations."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, cast

import torch
from torch import Tensor

from graphssl.augment.views import Augmentation, Cut, Cutting, aligned
from graphssl.batches import side_by_side
from graphssl.graph import Graph


@dataclass(frozen=True)
class Identity:
    """The graph as it is: for a method with one augmented view, or as one of several choices.

    Example:
        >>> g = Graph.of((torch.eye(2), torch.tensor([[0, 1], [1, 0]])))
        >>> Identity()(g) is g
        True
    """

    keeps_nodes: ClassVar[bool] = True

    def __call__(self, g: Graph) -> Graph:
        return g

    def cut_out(self, g: Graph, among: Tensor | None = None) -> Cut:
        """Nothing is left out."""
        return Cut()


@dataclass(frozen=True, init=False)
class Compose:
    """Several augmentations one after another, the first first.

    Args:
        *views: the augmentations; none at all is the identity.

    Raises:
        ValueError: something that is not an augmentation.

    Example:
        >>> from graphssl.augment import DropEdges, MaskFeatures
        >>> view = Compose(DropEdges(1.0), MaskFeatures(1.0))(Graph.of((torch.eye(2), torch.tensor([[0], [1]]))))
        >>> view.num_edges, view.x.sum()
        (0, tensor(0.))
    """

    views: tuple[Augmentation, ...]

    def __init__(self, *views: Augmentation) -> None:
        object.__setattr__(self, "views", aligned(views, may_drop=True) if views else ())

    @property
    def keeps_nodes(self) -> bool:
        """Whether all of them keep all nodes."""
        return all(view.keeps_nodes for view in self.views)

    def __call__(self, g: Graph) -> Graph:
        for view in self.views:
            g = view(g)
        return g


@dataclass(frozen=True, init=False)
class RandomChoice:
    """One of several augmentations, drawn at each call, as GraphCL does (You et al., 2020, arXiv:2010.13902).

    Args:
        *views: the augmentations.
        weights: how likely each is, in any unit; ``None``: equally.
        per_graph: draw for each graph of a batch on its own, as GraphCL does; by default one draw decides for the whole batch.

    Raises:
        ValueError: no augmentation, or weights that are not one non-negative number for each.

    Example:
        >>> from graphssl.augment import DropEdges
        >>> g = Graph.of((torch.eye(2), torch.tensor([[0, 1], [1, 0]])))
        >>> RandomChoice(Identity(), DropEdges(1.0), weights=(0, 1))(g).num_edges
        0
    """

    views: tuple[Augmentation, ...]
    weights: tuple[float, ...] | None
    per_graph: bool

    def __init__(self, *views: Augmentation, weights: Sequence[float] | None = None, per_graph: bool = False) -> None:
        object.__setattr__(self, "views", aligned(views, may_drop=True))
        if weights is not None:
            weights = tuple(weights)
            if len(weights) != len(views) or not all(math.isfinite(w) and w >= 0 for w in weights) or sum(weights) <= 0:
                raise ValueError(f"weights must be {len(views)} numbers, none below 0 and not all 0, got {weights!r}")
        object.__setattr__(self, "weights", weights)
        object.__setattr__(self, "per_graph", per_graph)

    @property
    def keeps_nodes(self) -> bool:
        """Whether all of them keep all nodes."""
        return all(view.keeps_nodes for view in self.views)

    def __call__(self, g: Graph) -> Graph:
        weights = torch.ones(len(self.views)) if self.weights is None else torch.tensor(self.weights, dtype=torch.float64)
        if not self.per_graph or g.num_graphs == 1:
            return self.views[int(torch.multinomial(weights, 1))](g)
        return one_for_each(g, self.views, torch.multinomial(weights, g.num_graphs, replacement=True))


def one_for_each(g: Graph, views: Sequence[Augmentation], choice: Tensor) -> Graph:
    """Graph ``k`` of the batch as ``views[choice[k]]`` shows it, ``choice`` ``[G]``; graphs stay in order.

    Views that can say what they cut (:class:`~graphssl.augment.views.Cutting`) are done in one go over the whole batch. Where one that
    was drawn cannot, each is called once, on the batch of the graphs that drew it.

    Raises:
        ValueError: a graph of which only the first rows count (``num_seeds``), or views of which some drop ``edge_attr`` and some do not.

    Example:
        >>> from graphssl.augment import DropEdges
        >>> from graphssl.batches import side_by_side
        >>> path = Graph.of((torch.eye(2), torch.tensor([[0, 1], [1, 0]])))
        >>> one_for_each(side_by_side([path] * 3), [Identity(), DropEdges(1.0)], torch.tensor([1, 0, 1])).edge_index.tolist()
        [[3, 2], [2, 3]]
    """
    choice = choice.to(g.device)
    counts = torch.bincount(choice, minlength=len(views)).tolist()
    drawn = [k for k, count in enumerate(counts) if count]
    if len(drawn) == 1:
        return views[drawn[0]](g)
    cuts = [(cast(Cutting, view).cut_out, choice == k) for k, view in enumerate(views) if counts[k] and hasattr(view, "cut_out")]
    if len(cuts) == len(drawn) and g.num_seeds is None:
        return _cut_all(g, cuts)
    order = choice.argsort(stable=True)
    parts = [views[k](g.keep_graphs(index)) for k, index in enumerate(torch.split(order, counts)) if counts[k]]
    together = side_by_side(parts)
    together = together._share(replace(together, node_id=torch.cat([part.node_ids for part in parts])))
    return together.keep_graphs(order.argsort())


def _cut_all(g: Graph, cuts: Sequence[tuple[Callable[[Graph, Tensor], Cut], Tensor]]) -> Graph:
    """What all views leave, each of the graphs that it is for; no graph is for two."""
    nodes: Tensor | None = None
    edges: Tensor | None = None
    symmetric = True
    for of_view, among in cuts:
        cut = of_view(g, among)
        g = g if cut.x is None else g.with_x(cut.x)
        nodes, edges = _both(nodes, cut.nodes), _both(edges, cut.edges)
        symmetric &= cut.symmetric
    return Cut(nodes, edges, symmetric=symmetric).of(g)


def _both(one: Tensor | None, other: Tensor | None) -> Tensor | None:
    """What both masks leave; ``None`` leaves all."""
    return one if other is None else other if one is None else one & other
