"""Losses with labels as plain double loops in float64, written from the papers."""

from __future__ import annotations

import math
from itertools import product

from references import cosine, log_sum_exp, rows
from torch import Tensor

Pairs = dict[tuple[bool, bool], list[float]]


def stacked(u: Tensor, v: Tensor, y: Tensor) -> tuple[list[list[float]], list[int]]:
    """Rows of both views with their classes."""
    return rows(u) + rows(v), y.tolist() * 2


def nt_xent_of(u: Tensor, v: Tensor, y: Tensor, tau: float) -> float:
    """SupCon's L_out over the stacked rows (arXiv:2004.11362, eq. 2)."""
    z, label = stacked(u, v, y)
    losses = []
    for i in range(len(z)):
        positives = [p for p in range(len(z)) if p != i and label[p] == label[i] >= 0]
        total = log_sum_exp([cosine(z[i], z[k]) / tau for k in range(len(z)) if k != i])
        if positives:
            losses.append(sum(total - cosine(z[i], z[p]) / tau for p in positives) / len(positives))
    return sum(losses) / len(losses)


def pairs_of(u: Tensor, v: Tensor | None, y: Tensor, bias: Tensor) -> Pairs:
    """Cosines of all pairs of known rows, by whether they share the class and the bias."""
    a, b, found = rows(u), rows(u if v is None else v), {key: [] for key in product((True, False), repeat=2)}
    known = [i for i in range(len(a)) if y[i] >= 0 and bias[i] >= 0]
    for i, j in product(known, known):
        if v is not None or i != j:
            found[bool(y[i] == y[j]), bool(bias[i] == bias[j])].append(cosine(a[i], b[j]))
    return found


def fair_kl(u: Tensor, v: Tensor | None, y: Tensor, bias: Tensor, *, floor: float, match: str) -> float:
    """FairKL's eq. 14 for both kinds of pairs, or the squared difference of means (arXiv:2211.05568)."""
    found, total = pairs_of(u, v, y, bias), 0.0
    for same in (True, False):
        if not found[same, True] or not found[same, False]:
            continue
        means, variances = [], []
        for shared in (True, False):
            values = found[same, shared]
            means.append(sum(values) / len(values))
            variances.append(max(floor, sum((value - means[-1]) ** 2 for value in values) / len(values)))
        apart = (means[0] - means[1]) ** 2
        kl = 0.5 * (math.log(variances[1] / variances[0]) + (variances[0] + apart) / variances[1] - 1)
        total += kl if match == "kl" else apart
    return total


def spread(u: Tensor, v: Tensor, y: Tensor, tau: float, a: float) -> float:
    """Thanos' L_spread (arXiv:2204.07596, eqs. 3 to 5)."""
    z, label = stacked(u, v, y)
    n, losses = len(z) // 2, []
    for i in range(2 * n):
        if label[i] < 0:
            continue
        score = [cosine(z[i], z[k]) / tau for k in range(2 * n)]
        positives = [k for k in range(2 * n) if k != i and label[k] == label[i]]
        negatives = [score[k] for k in range(2 * n) if label[k] != label[i]]
        apart = sum(log_sum_exp([score[p], *negatives]) - score[p] for p in positives) / len(positives)
        within = log_sum_exp([score[p] for p in positives]) - score[(i + n) % (2 * n)]
        losses.append((1 - a) * apart + a * within)
    return sum(losses) / len(losses)


def rescom(u: Tensor, v: Tensor, y: Tensor, counts: list[int], queue: tuple[Tensor, Tensor], k: tuple[int, int], beta: float, prior: float,
           tau: float) -> float:  # fmt: skip
    """ResCom's contrast (arXiv:2203.11506, eqs. 5 to 10)."""
    z, label = stacked(u, v, y)
    stored = [(row, of) for row, of in zip(rows(queue[0]), queue[1].tolist(), strict=True) if of >= 0]
    effective = [(1 - beta**n) / (1 - beta) for n in counts]
    weight = [sum(effective) / len(effective) / e for e in effective]
    losses = []
    for i in range(len(z)):
        if label[i] < 0:
            continue

        def raised(row: list[float], of: int) -> float:
            return cosine(z[i], row) / tau + (prior * math.log(counts[of] / sum(counts)) if of >= 0 else 0)  # noqa: B023

        positives = [raised(z[p], label[p]) for p in range(len(z)) if p != i and label[p] == label[i]]
        negatives = [raised(z[n], label[n]) for n in range(len(z)) if label[n] != label[i]]
        positives += sorted(raised(row, of) for row, of in stored if of == label[i])[: k[0]]
        negatives += sorted((raised(row, of) for row, of in stored if of != label[i]), reverse=True)[: k[1]]
        total = log_sum_exp(positives + negatives)
        losses.append(weight[label[i]] * sum(total - p for p in positives) / len(positives))
    return sum(losses) / len(losses)


def paco(u: Tensor, v: Tensor, y: Tensor, logits: Tensor, counts: list[int], queue: tuple[Tensor, Tensor], share: float, beta: float,
         gamma: float, tau: float) -> float:  # fmt: skip
    """GPaCo's eq. 6, each positive of weight ``share / K`` (arXiv:2209.12400)."""
    z, label = stacked(u, v, y)
    n = len(z)
    z, label = z + rows(queue[0]), label + queue[1].tolist()
    losses = []
    for i in range(n):
        if label[i] < 0:
            continue
        centre = [float(logit) + math.log(count / sum(counts)) for logit, count in zip(logits[i], counts, strict=True)]
        keys = [k for k in range(len(z)) if k != i and (k < n or label[k] >= 0)]
        score = {k: cosine(z[i], z[k]) / tau for k in keys}
        total = log_sum_exp(centre + [s + math.log(gamma) for s in score.values()])
        alike = [k for k in keys if label[k] == label[i]]
        weights = [(beta, centre[label[i]])] + [(share / len(alike), score[k]) for k in alike]
        losses.append(-sum(w * (s - total) for w, s in weights) / sum(w for w, _ in weights))
    return sum(losses) / len(losses)
