"""Objectives: one paper, one file; METHODS names them."""

from graphssl.objectives.base import Objective
from graphssl.objectives.bgrl import BGRL
from graphssl.objectives.dgi import DGI
from graphssl.objectives.grace import GRACE

METHODS: dict[str, type[Objective]] = {"bgrl": BGRL, "dgi": DGI, "grace": GRACE}

__all__ = ["BGRL", "DGI", "GRACE", "METHODS", "Objective"]
