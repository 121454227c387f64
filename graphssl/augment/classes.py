"""The literal table of the augmentations: name to class."""

from __future__ import annotations

from graphssl.augment.adaptive import AdaptiveDropEdges, AdaptiveMaskFeatures
from graphssl.augment.compose import Compose, Identity, RandomChoice
from graphssl.augment.diffuse import Diffuse
from graphssl.augment.edges import AddEdges, DropEdges
from graphssl.augment.features import MaskFeatures, ShuffleFeatures
from graphssl.augment.nodes import DropNodes, Subgraph
from graphssl.augment.similar import ConnectSimilar
from graphssl.augment.views import Augmentation

AUGMENTATIONS: dict[str, type[Augmentation]] = {
    "identity": Identity,
    "drop-edges": DropEdges,
    "add-edges": AddEdges,
    "mask-features": MaskFeatures,
    "shuffle-features": ShuffleFeatures,
    "drop-nodes": DropNodes,
    "subgraph": Subgraph,
    "diffuse": Diffuse,
    "connect-similar": ConnectSimilar,
    "adaptive-drop-edges": AdaptiveDropEdges,
    "adaptive-mask-features": AdaptiveMaskFeatures,
    "compose": Compose,
    "random-choice": RandomChoice,
}
