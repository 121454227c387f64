"""Augmentations made of augmentations."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch

from graphssl.augment.views import Augmentation, aligned
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

    One draw decides for the whole batch of graphs; GraphCL draws for each graph.

    Args:
        *views: the augmentations.
        weights: how likely each is, in any unit; ``None``: equally.

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

    def __init__(self, *views: Augmentation, weights: Sequence[float] | None = None) -> None:
        object.__setattr__(self, "views", aligned(views, may_drop=True))
        if weights is not None:
            weights = tuple(weights)
            if len(weights) != len(views) or not all(math.isfinite(w) and w >= 0 for w in weights) or sum(weights) <= 0:
                raise ValueError(f"weights must be {len(views)} numbers, none below 0 and not all 0, got {weights!r}")
        object.__setattr__(self, "weights", weights)

    @property
    def keeps_nodes(self) -> bool:
        """Whether all of them keep all nodes."""
        return all(view.keeps_nodes for view in self.views)

    def __call__(self, g: Graph) -> Graph:
        weights = torch.ones(len(self.views)) if self.weights is None else torch.tensor(self.weights, dtype=torch.float64)
        return self.views[int(torch.multinomial(weights, 1))](g)
