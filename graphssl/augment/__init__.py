"""Augmentations: frozen objects that turn a Graph into a view of it; the input is never changed.

All randomness comes from torch's global generator, so ``torch.manual_seed`` decides a view. Submodules load when a name
is first used, so that :data:`DESCRIPTIONS` can be read without torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from graphssl.augment.table import DESCRIPTIONS

if TYPE_CHECKING:
    from graphssl.augment.adaptive import AdaptiveDropEdges, AdaptiveMaskFeatures
    from graphssl.augment.classes import AUGMENTATIONS
    from graphssl.augment.compose import Compose, Identity, RandomChoice
    from graphssl.augment.diffuse import Diffuse
    from graphssl.augment.edges import AddEdges, DropEdges
    from graphssl.augment.features import MaskFeatures, ShuffleFeatures
    from graphssl.augment.nodes import DropNodes, Subgraph
    from graphssl.augment.views import Augmentation, aligned, matched

__all__ = [
    "AUGMENTATIONS",
    "DESCRIPTIONS",
    "AdaptiveDropEdges",
    "AdaptiveMaskFeatures",
    "AddEdges",
    "Augmentation",
    "Compose",
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

_MODULES = {
    "AUGMENTATIONS": "classes",
    "AdaptiveDropEdges": "adaptive",
    "AdaptiveMaskFeatures": "adaptive",
    "AddEdges": "edges",
    "Augmentation": "views",
    "Compose": "compose",
    "Diffuse": "diffuse",
    "DropEdges": "edges",
    "DropNodes": "nodes",
    "Identity": "compose",
    "MaskFeatures": "features",
    "RandomChoice": "compose",
    "ShuffleFeatures": "features",
    "Subgraph": "nodes",
    "aligned": "views",
    "matched": "views",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)


def __dir__() -> list[str]:
    return __all__
