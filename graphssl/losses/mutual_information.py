"""Losses over scores: lower bounds of mutual information between what belongs together and what does not."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from graphssl.losses.precision import full_precision


@full_precision
def bce(positive: Tensor, negative: Tensor) -> Tensor:
    """Binary cross-entropy of a discriminator that tells positive from negative scores.

    ``-mean log sigmoid(positive) - mean log(1 - sigmoid(negative))``, the loss of DGI (Velickovic et al., 2019, arXiv:1809.10341).
    Computed with softplus, so that a confidently wrong score keeps its gradient. The official code divides by two.

    Args:
        positive: scores (logits) of any shape.
        negative: scores of any shape.

    Example:
        >>> import torch
        >>> round(bce(torch.zeros(5), torch.zeros(3)).item(), 4)  # 2 log 2: knows nothing
        1.3863
    """
    return F.softplus(-positive).mean() + F.softplus(negative).mean()


def jsd(positive: Tensor, negative: Tensor) -> Tensor:
    """Minus the Jensen-Shannon estimate of mutual information (Hjelm et al., 2019, arXiv:1808.06670; Nowozin et al., 2016).

    ``mean[softplus(negative) - log 2] - mean[log 2 - softplus(-positive)]``: :func:`bce` less ``2 log 2``, so 0 where the scores
    say nothing.

    Example:
        >>> import torch
        >>> jsd(torch.zeros(5), torch.zeros(3)).item()
        0.0
    """
    return bce(positive, negative) - 2 * math.log(2)


@full_precision
def node_graph_jsd(h: Tensor, s: Tensor, graph_id: Tensor, *, chunk: int | None = None) -> Tensor:
    r"""Minus the Jensen-Shannon estimate of the mutual information between nodes and graphs.

    The loss of InfoGraph (Sun et al., 2020, arXiv:1908.01000). With scores ``T(u, g) = h_u . s_g`` of ``N`` nodes and ``G`` graphs,
    ``sum_{u, g != g(u)} [softplus(T) - log 2] / (N (G - 1)) - sum_u [log 2 - softplus(-T(u, g(u)))] / N``:
    a node belongs with its own graph and not with the others. The positives are picked by ``graph_id``; no mask of nodes by graphs is made.

    Args:
        h: ``[N, D]`` nodes.
        s: ``[G, D]`` graphs, at least two.
        graph_id: ``[N]``, graph of each node.
        chunk: nodes whose scores are held at a time, with the same value and gradient; ``None`` holds all ``N x G``.

    Raises:
        ValueError: a single graph, which leaves no negatives, lengths that disagree, or a chunk below 1.

    Example:
        >>> node_graph_jsd(torch.zeros(5, 2), torch.zeros(3, 2), torch.tensor([0, 0, 1, 2, 2])).item()
        0.0
    """
    n, num_graphs = h.size(0), s.size(0)
    if num_graphs < 2:
        raise ValueError(f"a batch must hold at least two graphs, of which one is the other's negative, got {num_graphs}")
    if graph_id.shape != (n,):
        raise ValueError(f"graph_id must be [N] for the {n} rows of h, got shape {tuple(graph_id.shape)}")
    if chunk is not None and chunk < 1:
        raise ValueError(f"chunk must be at least 1, got {chunk}")
    own = torch.linalg.vecdot(h, s.index_select(0, graph_id))  # [N]
    if chunk is None or chunk >= n:
        others = _others(h, graph_id, s)
    else:
        pairs = zip(torch.split(h, chunk), torch.split(graph_id, chunk), strict=True)
        others = torch.stack([checkpoint(_others, rows, ids, s, use_reentrant=False) for rows, ids in pairs]).sum()  # type: ignore[misc]
    return others / (n * (num_graphs - 1)) + F.softplus(-own).mean() - 2 * math.log(2)


def _others(h: Tensor, graph_id: Tensor, s: Tensor) -> Tensor:
    """Sum of ``softplus(h s^T)`` over all graphs but each row's own."""
    scores = (h @ s.t()).scatter_(1, graph_id[:, None], -torch.inf)
    return F.softplus(scores).sum()
