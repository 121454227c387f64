"""Objectives: one paper, one file; METHODS names them."""

from graphssl.objectives.base import Objective
from graphssl.objectives.bgrl import BGRL
from graphssl.objectives.dgi import DGI
from graphssl.objectives.grace import GRACE
from graphssl.objectives.graphcl import GraphCL
from graphssl.objectives.graphmae import GraphMAE
from graphssl.objectives.infograph import InfoGraph

METHODS: dict[str, type[Objective]] = {
    "bgrl": BGRL,
    "dgi": DGI,
    "grace": GRACE,
    "graphcl": GraphCL,
    "graphmae": GraphMAE,
    "infograph": InfoGraph,
}

__all__ = ["BGRL", "DGI", "GRACE", "METHODS", "GraphCL", "GraphMAE", "InfoGraph", "Objective"]
