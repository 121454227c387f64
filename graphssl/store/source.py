"""What a store is written from, gone through in pieces."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Protocol

import numpy as np

if TYPE_CHECKING:
    import scipy.sparse as sp

    from graphssl.datasets.dataset import Dataset


class Source(Protocol):
    """What a store is written from: gone through in pieces, each pass from the start.

    A source may also have ``identity``, a string that changes with its content (a digest; or sizes and times of its files): a conversion
    that was interrupted goes on only where it is the same.
    """

    name: str
    num_nodes: int
    num_features: int
    num_edges: int | None  # directed edges as listed, None where unknown
    undirected: bool  # True: edges() lists each edge once (or in any mixture) and the store holds both directions, without duplicates
    metric: str
    licence: str
    source: str  # where it is from
    y: np.ndarray  # [N] int64 (-1 unlabelled) or [N, C] float
    splits: Mapping[str, tuple[np.ndarray, np.ndarray, np.ndarray]]  # name -> train, val, test rows

    def edges(self) -> Iterator[tuple[np.ndarray, np.ndarray | None]]:
        """Edges ``[2, k]``, integers, source -> target; and their weights ``[k]``, or ``None`` in all pieces."""
        ...

    def features(self) -> Iterator[np.ndarray | sp.csr_matrix]:
        """Features ``[k, F]`` in the order of the rows; dense in all pieces, or sparse in all."""
        ...


def dataset_source(data: Dataset) -> Source:
    """A node-level dataset of one graph as a source; its edges are kept as they are there, parallel ones and self-loops included.

    Raises:
        ValueError: graph-level data, several graphs, or edges with attributes, none of which a store holds.

    Example:
        >>> from graphssl import load
        >>> source = dataset_source(load("karate"))
        >>> source.num_edges, source.undirected
        (78, True)
    """
    from graphssl.store.datasets import DatasetSource

    return DatasetSource(data)
