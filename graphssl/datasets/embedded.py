"""Datasets that need no files: scanned digits, the karate club, a seeded block model and a synthetic set of graphs."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from graphssl.datasets.dataset import Dataset
from graphssl.datasets.splits import from_masks, random_splits
from graphssl.datasets.synthetic import motifs
from graphssl.datasets.table import DATASETS
from graphssl.graph import Graph


def digits(*, neighbours: int = 8, seed: int = 0) -> Dataset:
    """Scanned digits (scikit-learn's ``load_digits``) under a constructed nearest-neighbour graph.

    1,797 nodes, 64 features (pixels in [0, 1]), 10 classes. Each image is joined to its ``neighbours`` nearest ones by Euclidean distance
    (ties go to the lower row), in both directions. The features and labels are real; the graph is built and was never observed.

    Example:
        >>> digits().summary()
        'digits: 1,797 nodes, 19,858 edges, 64 features, 10 classes, accuracy, transductive, random-10-10-80-0 and 19 more'
    """
    from sklearn.datasets import load_digits

    pixels, y = load_digits(return_X_y=True)  # whole numbers, so that all distances below are exact
    n = len(pixels)
    if not 1 <= neighbours < n:
        raise ValueError(f"neighbours must lie in 1 to {n - 1}, got {neighbours}")
    square = (pixels**2).sum(1)
    distance = (square[:, None] + square - 2 * pixels @ pixels.T).astype(np.int64)
    key = distance * n + np.arange(n)  # unique, so the nearest ones are the same on each machine
    np.fill_diagonal(key, np.iinfo(np.int64).max)
    near = np.argpartition(key, neighbours, axis=1)[:, :neighbours]
    edges = np.stack([near.ravel(), np.repeat(np.arange(n), neighbours)])
    edges = np.unique(np.concatenate([edges, edges[::-1]], axis=1), axis=1)
    graph = Graph.of((torch.from_numpy(pixels / 16).float(), torch.from_numpy(edges)))
    labels = torch.from_numpy(y).long()
    return Dataset("digits", (graph,), labels, random_splits(labels, seed=seed), source=DATASETS["digits"].source)


def karate() -> Dataset:
    """Zachary's karate club as PyG carries it: 34 nodes, 156 directed edges, four communities, identity features.

    Example:
        >>> karate().split
        Split('one-per-class', 4/0/30, ...)
    """
    from torch_geometric.datasets import KarateClub

    data = KarateClub()[0]
    splits = from_masks(data.train_mask, None, None, name="one-per-class")
    return Dataset("karate", (Graph.of(data),), data.y, splits, source=DATASETS["karate"].source)


def contextual_sbm(
    num_nodes: int = 1000,
    num_classes: int = 4,
    num_features: int = 64,
    *,
    degree: float = 10,
    homophily: float = 0.8,
    signal: float = 1.0,
    seed: int = 0,
) -> Dataset:
    r"""A contextual stochastic block model: a random graph with planted classes and features that hint at them.

    After Deshpande et al., 2018, arXiv:1807.09596, for any number of classes. Node ``i`` is of class ``c_i = i mod C``; two nodes are
    joined with probability ``p_in`` within a class and ``p_out`` across, such that the expected degree is ``degree`` and the expected
    share of edges within a class is ``homophily``. Features are

    .. math:: x_i = \text{signal} \cdot u_{c_i} + \epsilon_i, \quad \epsilon_i \sim N(0, I)

    with random unit vectors ``u``.

    Args:
        num_nodes: at least two a class and ten in all.
        num_classes: classes of the same size, give or take one node.
        num_features: columns.
        degree: expected number of neighbours.
        homophily: expected share of edges within a class; ``1 / num_classes`` says nothing about the classes.
        signal: length of a class's mean, in standard deviations of the noise.
        seed: of everything, the 20 random 10/10/80 splits too.

    Raises:
        ValueError: sizes that do not fit, or a probability above one.

    Example:
        >>> data = contextual_sbm(300, 3, 16, degree=6)
        >>> data.num_nodes, data.num_classes, data.graph.is_undirected
        (300, 3, True)
    """
    n, c = num_nodes, num_classes
    if c < 1 or n < max(2 * c, 10) or num_features < 1:
        raise ValueError(
            f"contextual_sbm needs num_classes >= 1, num_features >= 1, two nodes a class and ten in all, got {n}, {c}, {num_features}"
        )
    if not 0 <= homophily <= 1 or degree < 0 or (c == 1 and homophily < 1):
        raise ValueError(f"homophily must lie in [0, 1] (1 for one class) and degree be positive, got {homophily} and {degree}")
    size = n / c
    inside = degree * homophily / (size - 1)
    across = degree * (1 - homophily) / (n - size) if c > 1 else 0.0
    if max(inside, across) > 1:
        raise ValueError(f"degree {degree} is too large for {n} nodes in {c} classes at homophily {homophily}")
    rng = np.random.Generator(np.random.PCG64(seed))
    means = rng.standard_normal((c, num_features))
    means /= np.linalg.norm(means, axis=1, keepdims=True)
    y = np.arange(n) % c
    x = signal * means[y] + rng.standard_normal((n, num_features))
    half = np.concatenate([_block(rng, n, c, a, b, inside if a == b else across) for a in range(c) for b in range(a + 1)], axis=1)
    edges = torch.from_numpy(np.concatenate([half, half[::-1]], axis=1))
    labels = torch.from_numpy(y).long()
    graph = Graph.of((torch.from_numpy(x).float(), edges))
    splits = random_splits(labels, seed=seed)
    return Dataset("sbm", (graph,), labels, splits, source=DATASETS["sbm"].source)


def degree_features(edge_index: Tensor, num_nodes: int, *, cap: int = 128) -> Tensor:
    """One-hot in-degree ``[N, cap + 1]``, for graphs without features; the last column holds the degrees from ``cap`` on.

    Example:
        >>> degree_features(torch.tensor([[0, 1], [1, 1]]), 2, cap=3)
        tensor([[1., 0., 0., 0.],
                [0., 0., 1., 0.]])
    """
    degree = torch.bincount(edge_index[1], minlength=num_nodes).clamp(max=cap)
    return torch.nn.functional.one_hot(degree, cap + 1).float()


EMBEDDED: dict[str, Callable[[int], Dataset]] = {
    "digits": lambda seed: digits(seed=seed),
    "karate": lambda seed: karate(),
    "sbm": lambda seed: contextual_sbm(seed=seed),
    "motifs": lambda seed: motifs(seed=seed),
}


def _block(rng: np.random.Generator, n: int, c: int, a: int, b: int, p: float) -> np.ndarray:
    """Pairs ``[2, m]`` between classes ``a`` and ``b``, each taken with probability ``p``, each at most once."""
    rows, cols = len(range(a, n, c)), len(range(b, n, c))
    total = rows * (rows - 1) // 2 if a == b else rows * cols
    pick = rng.choice(total, rng.binomial(total, p), replace=False, shuffle=False) if total else np.zeros(0, dtype=np.int64)
    if a == b:  # pair k of the lower triangle, row by row
        i = ((1 + np.sqrt(1 + 8 * pick.astype(np.float64))) / 2).astype(np.int64)
        i -= i * (i - 1) // 2 > pick
        i += i * (i + 1) // 2 <= pick
        j = pick - i * (i - 1) // 2
    else:
        i, j = pick // cols, pick % cols
    return np.stack([a + c * i, b + c * j])
