"""What the papers say, as plain double loops in float64: slow, obvious, and independent of the library."""

from __future__ import annotations

import math

import torch
from torch import Tensor


def rows(z: Tensor) -> list[list[float]]:
    """A matrix as nested lists of Python floats."""
    return [[float(value) for value in row] for row in z.detach().double()]


def cosine(a: list[float], b: list[float]) -> float:
    """Cosine of the angle between two vectors."""
    product = sum(x * y for x, y in zip(a, b, strict=True))
    return product / math.sqrt(sum(x * x for x in a)) / math.sqrt(sum(y * y for y in b))


def log_sum_exp(values: list[float]) -> float:
    """``log sum exp``, shifted by the largest value."""
    top = max(values)
    return top + math.log(sum(math.exp(v - top) for v in values))


# ---------------------------------------------------------------------- losses


def bootstrap(q: Tensor, z: Tensor) -> float:
    """One direction of BGRL's equation: one minus the mean cosine (arXiv:2102.06514, eq. 2)."""
    a, b = rows(q), rows(z)
    return 1 - sum(cosine(x, y) for x, y in zip(a, b, strict=True)) / len(a)


def info_nce(u: Tensor, v: Tensor, tau: float, *, intra: bool) -> float:
    """GRACE's equation 1 averaged over both views and all nodes (arXiv:2006.04131); without its third sum if not ``intra``."""
    total, views = 0.0, (rows(u), rows(v))
    n = len(views[0])
    for mine, other in (views, views[::-1]):
        for i in range(n):
            terms = [cosine(mine[i], other[k]) / tau for k in range(n)]
            if intra:
                terms += [cosine(mine[i], mine[k]) / tau for k in range(n) if k != i]
            total += log_sum_exp(terms) - cosine(mine[i], other[i]) / tau
    return total / (2 * n)


def sampled_info_nce(u: Tensor, v: Tensor, negatives: list[int], tau: float, *, intra: bool) -> float:
    """GRACE with a few nodes as the negatives of all (arXiv:2102.06514, section 4.2), each pair of rows on its own."""
    total, views = 0.0, (rows(u), rows(v))
    n = len(views[0])
    for mine, other in (views, views[::-1]):
        for i in range(n):
            own = cosine(mine[i], other[i]) / tau
            terms = [own] + [cosine(mine[i], other[k]) / tau for k in negatives if k != i]
            if intra:
                terms += [cosine(mine[i], mine[k]) / tau for k in negatives if k != i]
            total += log_sum_exp(terms) - own
    return total / (2 * n)


def nt_xent(u: Tensor, v: Tensor, tau: float) -> float:
    """SimCLR's equation 1 over the ``2N`` stacked rows, each with its own partner (arXiv:2002.05709)."""
    z = rows(u) + rows(v)
    n, total = len(z) // 2, 0.0
    for i in range(2 * n):
        own = i + n if i < n else i - n
        total += log_sum_exp([cosine(z[i], z[k]) / tau for k in range(2 * n) if k != i]) - cosine(z[i], z[own]) / tau
    return total / (2 * n)


def bce(positive: Tensor, negative: Tensor) -> float:
    """DGI's equation 1, each expectation a mean (arXiv:1809.10341)."""
    real = [-math.log(1 / (1 + math.exp(-float(t)))) for t in positive.double().flatten()]
    fake = [-math.log(1 - 1 / (1 + math.exp(-float(t)))) for t in negative.double().flatten()]
    return sum(real) / len(real) + sum(fake) / len(fake)


def jsd(positive: Tensor, negative: Tensor) -> float:
    """Minus the Jensen-Shannon estimator ``E_P[log 2 - sp(-T)] - E_N[sp(T) - log 2]`` (arXiv:1808.06670, eq. 4, shifted to 0)."""
    first = [math.log(2) - math.log1p(math.exp(-float(t))) for t in positive.double().flatten()]
    second = [math.log1p(math.exp(float(t))) - math.log(2) for t in negative.double().flatten()]
    return sum(second) / len(second) - sum(first) / len(first)


# ---------------------------------------------------------------------- matrices of a graph; row = target


def edge_list(edge_index: Tensor, weight: Tensor | None) -> list[tuple[int, int, float]]:
    """Edges as (source, target, weight)."""
    values = [1.0] * edge_index.size(1) if weight is None else [float(w) for w in weight.double()]
    return [(s, t, w) for (s, t), w in zip(edge_index.t().tolist(), values, strict=True)]


def summed(edge_index: Tensor, weight: Tensor | None, n: int) -> Tensor:
    """``A[i, j]``: weight of all edges from ``j`` into ``i``."""
    a = torch.zeros(n, n, dtype=torch.float64)
    for s, t, w in edge_list(edge_index, weight):
        a[t, s] += w
    return a


def averaged(edge_index: Tensor, weight: Tensor | None, n: int) -> Tensor:
    """``A`` with rows that sum to one, or are zero."""
    a = summed(edge_index, weight, n)
    for i in range(n):
        if a[i].sum() != 0:
            a[i] /= a[i].sum()
    return a


def normalised(edge_index: Tensor, weight: Tensor | None, n: int) -> Tensor:
    """GCN's propagation (arXiv:1609.02907, eq. 2): a loop of weight 1 where there is none, then ``D^-1/2 A D^-1/2``."""
    edges = edge_list(edge_index, weight)
    looped = {s for s, t, _ in edges if s == t}
    edges += [(i, i, 1.0) for i in range(n) if i not in looped]
    degree = [0.0] * n
    for _, t, w in edges:
        degree[t] += w
    a = torch.zeros(n, n, dtype=torch.float64)
    for s, t, w in edges:
        a[t, s] += w / math.sqrt(degree[s] * degree[t])
    return a


def max_neighbours(edge_index: Tensor, h: Tensor) -> Tensor:
    """Largest value of each column over the sources of a node's edges; zero where it has none."""
    out = torch.zeros_like(h)
    for i in range(h.size(0)):
        sources = [s for s, t in edge_index.t().tolist() if t == i]
        for d in range(h.size(1)):
            if sources:
                out[i, d] = max(float(h[s, d]) for s in sources)
    return out


def segment_softmax(scores: Tensor, row: Tensor) -> Tensor:
    """Softmax of each column over the entries of one row."""
    out = torch.zeros_like(scores)
    for head in range(scores.size(1)):
        for e in range(scores.size(0)):
            same = [float(scores[k, head]) for k in range(scores.size(0)) if row[k] == row[e]]
            out[e, head] = math.exp(float(scores[e, head]) - log_sum_exp(same))
    return out


def attention(h: Tensor, edges: list[tuple[int, int, float]], near: Tensor, own: Tensor) -> Tensor:
    """One GAT head on ``h = x W`` (arXiv:1710.10903, eqs. 3 and 4), loops among ``edges``; an edge of weight ``w`` is ``w`` edges."""
    out = torch.zeros_like(h)
    for i in range(h.size(0)):
        into = [(s, w) for s, t, w in edges if t == i]
        raw = [float(near @ h[s] + own @ h[i]) for s, _ in into]
        scores = [math.log(w) + (r if r > 0 else 0.2 * r) for r, (_, w) in zip(raw, into, strict=True)]
        for score, (s, _) in zip(scores, into, strict=True):
            out[i] += math.exp(score - log_sum_exp(scores)) * h[s]
    return out


def means(h: Tensor, graph_id: list[int], num_graphs: int) -> Tensor:
    """Mean row of each graph; zero for a graph without rows."""
    out = torch.zeros(num_graphs, h.size(1), dtype=h.dtype)
    for k in range(num_graphs):
        members = [i for i, g in enumerate(graph_id) if g == k]
        for i in members:
            out[k] += h[i] / len(members)
    return out


# ---------------------------------------------------------------------- training


def ema(start: float, follow: float, momentum: float, steps: int) -> float:
    """``phi_k = m^k phi_0 + (1 - m^k) theta``, what a moving average of a constant is after ``k`` steps."""
    return momentum**steps * start + (1 - momentum**steps) * follow


def learning_rates(total: int, warmup: int, kind: str) -> list[float]:
    """Share of the peak at each step: a line from 0, then half a cosine to 0, or a constant."""
    shares = []
    for step in range(total):
        if step < warmup:
            shares.append(step / warmup)
        elif kind == "cosine":
            shares.append(0.5 * (1 + math.cos(math.pi * (step - warmup) / (total - warmup))))
        else:
            shares.append(1.0)
    return shares
