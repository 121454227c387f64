"""Augmentations: frozen objects that turn a Graph into a view of it; the input is never changed.

All randomness comes from torch's global generator, so ``torch.manual_seed`` decides a view. Submodules load when a name
is first used, so that :data:`DESCRIPTIONS` can be read without torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from graphssl.augment.table import DESCRIPTIONS
from graphssl.lazy import lazy

if TYPE_CHECKING:
    from graphssl.augment.adaptive import AdaptiveDropEdges, AdaptiveMaskFeatures
    from graphssl.augment.classes import AUGMENTATIONS
    from graphssl.augment.compose import Compose, Identity, RandomChoice
    from graphssl.augment.diffuse import Diffuse
    from graphssl.augment.edges import AddEdges, DropEdges
    from graphssl.augment.features import MaskFeatures, ShuffleFeatures
    from graphssl.augment.nodes import DropNodes, Subgraph
    from graphssl.augment.similar import ConnectSimilar
    from graphssl.augment.views import Augmentation, aligned, matched

__all__ = [
    "AUGMENTATIONS",
    "DESCRIPTIONS",
    "AdaptiveDropEdges",
    "AdaptiveMaskFeatures",
    "AddEdges",
    "Augmentation",
    "Compose",
    "ConnectSimilar",
    "Diffuse",
    "DropEdges",
    "DropNodes",
    "Identity",
    "MaskFeatures",
    "RandomChoice",
    "ShuffleFeatures",
    "Subgraph",
    "aligned",
    "matched",
]

__getattr__ = lazy(
    __name__,
    {
        "adaptive": ("AdaptiveDropEdges", "AdaptiveMaskFeatures"),
        "classes": ("AUGMENTATIONS",),
        "compose": ("Compose", "Identity", "RandomChoice"),
        "diffuse": ("Diffuse",),
        "edges": ("AddEdges", "DropEdges"),
        "features": ("MaskFeatures", "ShuffleFeatures"),
        "nodes": ("DropNodes", "Subgraph"),
        "similar": ("ConnectSimilar",),
        "views": ("Augmentation", "aligned", "matched"),
    },
)


def __dir__() -> list[str]:
    return __all__
