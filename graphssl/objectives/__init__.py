"""Objectives: one paper, one file; METHODS names them."""

from graphssl.objectives.adgcl import ADGCL
from graphssl.objectives.attribute_masking import AttributeMasking
from graphssl.objectives.base import Objective
from graphssl.objectives.bgrl import BGRL
from graphssl.objectives.context_prediction import ContextPrediction
from graphssl.objectives.dgi import DGI
from graphssl.objectives.grace import GRACE
from graphssl.objectives.graphcl import GraphCL
from graphssl.objectives.graphmae import GraphMAE
from graphssl.objectives.infograph import InfoGraph
from graphssl.objectives.joao import JOAO
from graphssl.objectives.mvgrl import MVGRL
from graphssl.objectives.simgrace import SimGRACE

METHODS: dict[str, type[Objective]] = {
    "adgcl": ADGCL,
    "attribute-masking": AttributeMasking,
    "bgrl": BGRL,
    "context-prediction": ContextPrediction,
    "dgi": DGI,
    "grace": GRACE,
    "graphcl": GraphCL,
    "graphmae": GraphMAE,
    "infograph": InfoGraph,
    "joao": JOAO,
    "mvgrl": MVGRL,
    "simgrace": SimGRACE,
}

__all__ = [
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
]
