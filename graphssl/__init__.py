"""Self-supervised learning on graphs: encoders, objectives, augmentations, training and honest evaluation.

Names are imported when first used: ``import graphssl`` alone takes no time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from graphssl.lazy import lazy

if TYPE_CHECKING:
    from graphssl import losses
    from graphssl.adjacency import CSR
    from graphssl.augment import (
        AdaptiveDropEdges,
        AdaptiveMaskFeatures,
        AddEdges,
        Compose,
        Diffuse,
        DropEdges,
        DropNodes,
        Identity,
        MaskFeatures,
        RandomChoice,
        ShuffleFeatures,
        Subgraph,
    )
    from graphssl.batches import EgoBatches, GraphBatches, NeighbourBatches, PartitionBatches, WalkBatches, side_by_side
    from graphssl.datasets import Dataset, Split, load, random_splits
    from graphssl.embedding import embed
    from graphssl.encoders import GAT, GCN, GIN, GINE, GNN, GATv2, GraphSAGE
    from graphssl.evaluation import Score, cluster, diagnostics, evaluate, knn_probe, linear_probe, low_label_probe
    from graphssl.graph import Graph
    from graphssl.multiview import MultiView
    from graphssl.objectives import (
        ADGCL,
        BGRL,
        DGI,
        GRACE,
        JOAO,
        METHODS,
        MVGRL,
        AttributeMasking,
        ContextPrediction,
        GraphCL,
        GraphMAE,
        InfoGraph,
        Objective,
        SimGRACE,
    )
    from graphssl.random import seeded
    from graphssl.runs import load_run
    from graphssl.store import dataset_source, open_store, write_store
    from graphssl.training import fit, train

__version__ = "0.1.0"

__all__ = [
    "ADGCL",
    "BGRL",
    "CSR",
    "DGI",
    "GAT",
    "GCN",
    "GIN",
    "GINE",
    "GNN",
    "GRACE",
    "JOAO",
    "METHODS",
    "MVGRL",
    "AdaptiveDropEdges",
    "AdaptiveMaskFeatures",
    "AddEdges",
    "AttributeMasking",
    "Compose",
    "ContextPrediction",
    "Dataset",
    "Diffuse",
    "DropEdges",
    "DropNodes",
    "GATv2",
    "Graph",
    "GraphBatches",
    "GraphCL",
    "GraphMAE",
    "GraphSAGE",
    "Identity",
    "InfoGraph",
    "MaskFeatures",
    "MultiView",
    "Objective",
    "RandomChoice",
    "Score",
    "ShuffleFeatures",
    "SimGRACE",
    "Split",
    "Subgraph",
    "cluster",
    "diagnostics",
    "embed",
    "evaluate",
    "fit",
    "knn_probe",
    "linear_probe",
    "load",
    "load_run",
    "losses",
    "low_label_probe",
    "random_splits",
    "seeded",
    "side_by_side",
    "train",
    "EgoBatches",
    "NeighbourBatches",
    "PartitionBatches",
    "WalkBatches",
    "dataset_source",
    "open_store",
    "write_store",
]

__getattr__ = lazy(
    __name__,
    {
        "adjacency": ("CSR",),
        "augment": (
            "AdaptiveDropEdges",
            "AdaptiveMaskFeatures",
            "AddEdges",
            "Compose",
            "Diffuse",
            "DropEdges",
            "DropNodes",
            "Identity",
            "MaskFeatures",
            "RandomChoice",
            "ShuffleFeatures",
            "Subgraph",
        ),
        "batches": ("EgoBatches", "GraphBatches", "NeighbourBatches", "PartitionBatches", "WalkBatches", "side_by_side"),
        "datasets": ("Dataset", "Split", "load", "random_splits"),
        "embedding": ("embed",),
        "encoders": ("GAT", "GCN", "GIN", "GINE", "GNN", "GATv2", "GraphSAGE"),
        "evaluation": ("Score", "cluster", "diagnostics", "evaluate", "knn_probe", "linear_probe", "low_label_probe"),
        "graph": ("Graph",),
        "losses": (),
        "multiview": ("MultiView",),
        "objectives": (
            "ADGCL",
            "BGRL",
            "DGI",
            "GRACE",
            "JOAO",
            "METHODS",
            "MVGRL",
            "AttributeMasking",
            "ContextPrediction",
            "GraphCL",
            "GraphMAE",
            "InfoGraph",
            "Objective",
            "SimGRACE",
        ),
        "random": ("seeded",),
        "runs": ("load_run",),
        "store": ("dataset_source", "open_store", "write_store"),
        "training": ("fit", "train"),
    },
)


def __dir__() -> list[str]:
    return sorted(__all__)
