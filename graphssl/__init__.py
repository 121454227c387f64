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
        ConnectSimilar,
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
    from graphssl.classifier import GraphSSLClassifier
    from graphssl.datasets import Dataset, Split, as_dataset, load, random_splits
    from graphssl.embedding import embed
    from graphssl.encoders import GAT, GCN, GIN, GINE, GNN, MLP, GATv2, GraphSAGE
    from graphssl.estimation import Estimate, mutual_information
    from graphssl.estimator import GraphSSL
    from graphssl.evaluation import Score, cluster, diagnostics, evaluate, few_shot, knn_probe, linear_probe, low_label_probe
    from graphssl.graph import Graph
    from graphssl.hypergradients import hypergradient, unrolled
    from graphssl.multiview import MultiView
    from graphssl.objectives import (
        ADGCL,
        BGRL,
        CCASSG,
        CMC,
        DGI,
        DIM,
        GRACE,
        JOAO,
        METHODS,
        MVGRL,
        PCL,
        AttributeMasking,
        BarlowTwins,
        ContextPrediction,
        CorruptionPrediction,
        GraphCL,
        GraphMAE,
        InfoGraph,
        InfoMin,
        MoCo,
        Objective,
        SimGRACE,
        VICReg,
    )
    from graphssl.queues import KeyQueue, MemoryBank
    from graphssl.random import seeded
    from graphssl.relaxed import RelaxedDropEdges, RelaxedMaskFeatures
    from graphssl.runs import load_run
    from graphssl.sensitivity import uncertainty
    from graphssl.store import dataset_source, open_store, write_store
    from graphssl.supervised import distill
    from graphssl.training import fit, train
    from graphssl.tuning import Weighted, tune

__version__ = "0.1.0"

__all__ = [
    "ADGCL",
    "BGRL",
    "CCASSG",
    "CMC",
    "CSR",
    "DGI",
    "DIM",
    "GAT",
    "GCN",
    "GIN",
    "GINE",
    "GNN",
    "GRACE",
    "JOAO",
    "KeyQueue",
    "MemoryBank",
    "METHODS",
    "MLP",
    "MVGRL",
    "PCL",
    "AdaptiveDropEdges",
    "AdaptiveMaskFeatures",
    "AddEdges",
    "AttributeMasking",
    "BarlowTwins",
    "Compose",
    "ConnectSimilar",
    "ContextPrediction",
    "CorruptionPrediction",
    "Dataset",
    "Diffuse",
    "DropEdges",
    "DropNodes",
    "Estimate",
    "GATv2",
    "Graph",
    "GraphBatches",
    "GraphCL",
    "GraphMAE",
    "GraphSAGE",
    "GraphSSL",
    "GraphSSLClassifier",
    "Identity",
    "InfoGraph",
    "InfoMin",
    "MoCo",
    "MaskFeatures",
    "MultiView",
    "Objective",
    "RandomChoice",
    "RelaxedDropEdges",
    "RelaxedMaskFeatures",
    "Score",
    "ShuffleFeatures",
    "SimGRACE",
    "VICReg",
    "Split",
    "Subgraph",
    "as_dataset",
    "cluster",
    "diagnostics",
    "distill",
    "embed",
    "evaluate",
    "few_shot",
    "fit",
    "knn_probe",
    "linear_probe",
    "load",
    "load_run",
    "losses",
    "low_label_probe",
    "mutual_information",
    "random_splits",
    "seeded",
    "side_by_side",
    "train",
    "uncertainty",
    "tune",
    "unrolled",
    "hypergradient",
    "Weighted",
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
            "ConnectSimilar",
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
        "classifier": ("GraphSSLClassifier",),
        "datasets": ("Dataset", "Split", "as_dataset", "load", "random_splits"),
        "embedding": ("embed",),
        "encoders": ("GAT", "GCN", "GIN", "GINE", "GNN", "MLP", "GATv2", "GraphSAGE"),
        "estimation": ("Estimate", "mutual_information"),
        "estimator": ("GraphSSL",),
        "evaluation": ("Score", "cluster", "diagnostics", "evaluate", "few_shot", "knn_probe", "linear_probe", "low_label_probe"),
        "graph": ("Graph",),
        "hypergradients": ("hypergradient", "unrolled"),
        "losses": (),
        "multiview": ("MultiView",),
        "objectives": (
            "ADGCL",
            "BGRL",
            "CCASSG",
            "CMC",
            "DGI",
            "DIM",
            "GRACE",
            "JOAO",
            "METHODS",
            "MVGRL",
            "PCL",
            "AttributeMasking",
            "BarlowTwins",
            "ContextPrediction",
            "CorruptionPrediction",
            "GraphCL",
            "GraphMAE",
            "InfoGraph",
            "InfoMin",
            "MoCo",
            "Objective",
            "SimGRACE",
            "VICReg",
        ),
        "queues": ("KeyQueue", "MemoryBank"),
        "random": ("seeded",),
        "relaxed": ("RelaxedDropEdges", "RelaxedMaskFeatures"),
        "runs": ("load_run",),
        "sensitivity": ("uncertainty",),
        "store": ("dataset_source", "open_store", "write_store"),
        "supervised": ("distill",),
        "training": ("fit", "train"),
        "tuning": ("Weighted", "tune"),
    },
)


def __dir__() -> list[str]:
    return sorted(__all__)
