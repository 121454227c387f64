"""Features of nodes that bring none, from where they are in the graph: a named choice."""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.sparse as sp
import torch

STRUCTURES = ("degree", "laplacian", "random-walk", "constant")
CAP = 128  # all larger degrees share a column
SIZE = 16  # eigenvectors, or steps
DENSE_UP_TO = 1000  # nodes whose eigenvectors are all computed
WALKED_UP_TO = 50_000  # nodes of which returns are counted exactly
CHUNK = 1024  # nodes whose walks are followed at a time


def structure(kind: str, adjacency: sp.csr_matrix) -> Any:
    r"""Features ``[N, F]`` of the nodes of a graph with ``adjacency`` ``[N, N]``, whose weights and directions do not count.

    - ``degree``: one-hot, up to 128, the largest sharing a column; comparable between graphs.
    - ``laplacian``: the eigenvectors of the normalised Laplacian :math:`I - D^{-1/2} A D^{-1/2}` with the smallest eigenvalues but for one
      (Dwivedi et al., 2020, arXiv:2003.00982), 16 of them, the largest entry of each positive; they mean nothing in another graph.
    - ``random-walk``: the probability of being back where one started after 1, ..., 16 steps (Dwivedi et al., 2022, arXiv:2110.07875).
    - ``constant``: a single one, which leaves all to the structure that the encoder sees.

    Raises:
        ValueError: another word, or ``random-walk`` on more than 50,000 nodes.

    Example:
        >>> ring = sp.csr_matrix(np.roll(np.eye(4), 1, 0))
        >>> structure("random-walk", ring)[0, :4]
        tensor([0.0000, 0.5000, 0.0000, 0.5000])
        >>> structure("laplacian", ring).shape, structure("constant", ring).T
        (torch.Size([4, 16]), tensor([[1., 1., 1., 1.]]))
    """
    if kind not in STRUCTURES:
        raise ValueError(f"structure must be one of {', '.join(STRUCTURES)}, got {kind!r}")
    n = adjacency.shape[0]
    if kind == "constant":
        return torch.ones(n, 1)
    both = (adjacency + adjacency.T).tocsr()
    both.setdiag(0)
    both.eliminate_zeros()
    both.data = np.ones_like(both.data, dtype=np.float64)
    degree = np.diff(both.indptr)
    if kind == "degree":
        from graphssl.datasets.loading import features

        ones = np.ones(n, dtype=np.float32)
        return features(sp.csr_matrix((ones, np.minimum(degree, CAP), np.arange(n + 1)), shape=(n, CAP + 1)))
    return torch.from_numpy((_positions if kind == "laplacian" else _returns)(both, degree).astype(np.float32))


# ---------------------------------------------------------------------- helpers


def _positions(adjacency: sp.csr_matrix, degree: np.ndarray) -> np.ndarray:
    n = len(degree)
    root = sp.diags_array(1 / np.sqrt(np.maximum(degree, 1)))
    close = root @ adjacency @ root  # its largest eigenvalues are the Laplacian's smallest
    if n <= DENSE_UP_TO:
        vectors = np.linalg.eigh(close.toarray())[1][:, ::-1]
    else:
        from scipy.sparse.linalg import eigsh

        start = np.random.Generator(np.random.PCG64(0)).standard_normal(n)
        values, vectors = eigsh(close, k=SIZE + 1, which="LA", v0=start, tol=1e-4)
        vectors = vectors[:, values.argsort()[::-1]]
    found = vectors[:, 1 : SIZE + 1]
    found = found * np.sign(found[np.abs(found).argmax(0), np.arange(found.shape[1])]) * np.sqrt(n)  # entries near 1 on any graph
    return np.pad(found, ((0, 0), (0, SIZE - found.shape[1])))


def _returns(adjacency: sp.csr_matrix, degree: np.ndarray) -> np.ndarray:
    n = len(degree)
    if n > WALKED_UP_TO:
        raise ValueError(f"structure 'random-walk' follows the walks from every node, for {WALKED_UP_TO:,} nodes at most, got {n:,}")
    back = (sp.diags_array(1 / np.maximum(degree, 1)) @ adjacency).T.tocsr()
    found = np.zeros((n, SIZE))
    for first in range(0, n, CHUNK):
        place = np.arange(first, min(first + CHUNK, n))
        here = np.zeros((n, len(place)))
        here[place, np.arange(len(place))] = 1
        for step in range(SIZE):
            here = back @ here
            found[place, step] = here[place, np.arange(len(place))]
    return found
