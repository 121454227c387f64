"""Objectives: one paper, one file; METHODS names them."""

from graphssl.objectives.adgcl import ADGCL
from graphssl.objectives.attribute_masking import AttributeMasking
from graphssl.objectives.base import Objective
from graphssl.objectives.bgrl import BGRL
from graphssl.objectives.cmc import CMC
from graphssl.objectives.context_prediction import ContextPrediction
from graphssl.objectives.corruption import CorruptionPrediction
from graphssl.objectives.decorrelation import CCASSG, BarlowTwins, VICReg
from graphssl.objectives.dgi import DGI
from graphssl.objectives.dim import DIM
from graphssl.objectives.grace import GRACE
from graphssl.objectives.graphcl import GraphCL
from graphssl.objectives.graphmae import GraphMAE
from graphssl.objectives.infograph import InfoGraph
from graphssl.objectives.infomin import InfoMin
from graphssl.objectives.joao import JOAO
from graphssl.objectives.moco import MoCo
from graphssl.objectives.mvgrl import MVGRL
from graphssl.objectives.pcl import PCL
from graphssl.objectives.simgrace import SimGRACE

METHODS: dict[str, type[Objective]] = {
    "adgcl": ADGCL,
    "attribute-masking": AttributeMasking,
    "bgrl": BGRL,
    "cca-ssg": CCASSG,
    "cmc": CMC,
    "context-prediction": ContextPrediction,
    "corruption": CorruptionPrediction,
    "dgi": DGI,
    "dim": DIM,
    "gbt": BarlowTwins,
    "grace": GRACE,
    "graphcl": GraphCL,
    "graphmae": GraphMAE,
    "infograph": InfoGraph,
    "infomin": InfoMin,
    "joao": JOAO,
    "moco": MoCo,
    "mvgrl": MVGRL,
    "pcl": PCL,
    "simgrace": SimGRACE,
    "vicreg": VICReg,
}

__all__ = [
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
]
