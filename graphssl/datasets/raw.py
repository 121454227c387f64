"""What a reader makes of raw files: plain arrays, which is also what is cached."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import scipy.sparse as sp


@dataclass
class Raw:
    """One graph, or a set of graphs side by side, as NumPy and SciPy arrays."""

    x: np.ndarray | sp.csr_matrix | None  # [N, F]; None: the graph has no features, or they are made of what follows
    edge_index: np.ndarray  # [2, E] int64
    y: np.ndarray  # [N] int64 or [N, C] float32; by graph where there is a graph_id
    masks: dict[str, np.ndarray] = field(default_factory=dict)  # "train", "val", "test": bool [N] or [N, K]
    part: str = ""  # of an inductive set
    graph_id: np.ndarray | None = None  # [N] int64 ascending: a set of graphs, each a row of y
    edge_attr: np.ndarray | None = None  # [E, B] float32
    node_labels: np.ndarray | None = None  # [N, K] int64, each column counted from 0
    node_attributes: np.ndarray | None = None  # [N, A] float32


OPTIONAL = ("graph_id", "edge_attr", "node_labels", "node_attributes")  # arrays of Raw that most sets are without
