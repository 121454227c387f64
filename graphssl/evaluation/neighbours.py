"""The nearest-neighbour probe: what the embedding's geometry says without any training."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from graphssl.adjacency import CSR
from graphssl.datasets.splits import Split, split_hash
from graphssl.evaluation.metrics import find_metric, measure
from graphssl.evaluation.rows import Rows, Scaler, class_names, embedding, labels, rows_of, take
from graphssl.evaluation.score import ERRORS, Score, check_setting


def knn_probe(
    z: Any,
    y: Any,
    splits: Split | Sequence[Split],
    *,
    setting: str = "transductive",
    metric: str | None = None,
    k: Sequence[int] = (1, 3, 5, 10, 20, 50),
    chunk: int = 2048,
) -> Score:
    """Vote of the ``k`` train rows nearest by cosine, each weighted by its similarity; ``k`` is chosen on validation (ties: the smaller).

    Weights are ``(1 + cos) / 2`` (the field's ``exp(cos / 0.07)``, Wu et al., 2018, arXiv:1805.01978, adds a temperature to choose).
    Without validation rows ``k`` is chosen by leaving each train row out in turn.

    Args:
        z: ``[N, D]`` embedding or raw features.
        y: ``[N]`` classes (-1: unlabelled), or ``[N, K]`` of 0 and 1.
        splits: one or several.
        setting: ``transductive`` or ``inductive``.
        metric: as in ``linear_probe``.
        k: the numbers of neighbours tried; one above the number of train rows means all of them.
        chunk: rows compared with the train rows at once.

    Raises:
        ValueError: bad values, lengths or words, as in ``linear_probe``; a ``k`` below 1.

    Example:
        >>> y = torch.arange(8) % 2
        >>> knn_probe(torch.eye(2)[y], y, Split("toy", torch.arange(4), torch.tensor([4, 5]), torch.tensor([6, 7]))).mean
        1.0
    """
    check_setting(setting)
    if not k or min(k) < 1:
        raise ValueError(f"k is {tuple(k)}; it must be one or several numbers from 1")
    if metric is not None and find_metric(metric) in ERRORS:
        raise ValueError(f"metric is {metric!r}, which is for regression; neighbours vote for classes here")
    x = embedding(z)
    truth, known = labels(y, x.size(0), x.device)
    splits = [splits] if isinstance(splits, Split) else list(splits)
    metric = find_metric(metric or ("accuracy" if truth.dim() == 1 else "micro_f1"))
    found = [_one_split(x, truth, rows, metric, sorted(set(k)), chunk) for rows in rows_of(splits, known)]
    selected = tuple({"k": float(best)} for _, best in found)
    return Score(metric, tuple(value for value, _ in found), setting, "knn", 1, split_hash(splits), True, selected)


def _one_split(x: Tensor | CSR, y: Tensor, rows: Rows, metric: str, tried: Sequence[int], chunk: int) -> tuple[float, int]:
    classes = class_names(y, rows) if y.dim() == 1 else None
    votes = (y[rows.train][:, None] == classes).double() if classes is not None else y[rows.train].double()  # [n, K]
    unit = Scaler.fit("l2", take(x, rows.train))
    train = unit(take(x, rows.train))
    dense = (train.to_dense() if isinstance(train, CSR) else train).mT.contiguous()  # [D, n]

    def score(index: Tensor, ks: Sequence[int], leave_out: bool = False) -> list[float]:
        shares = []
        for start, part in zip(range(0, len(index), chunk), torch.split(index, chunk), strict=True):
            cosine = unit(take(x, part)) @ dense  # [chunk, n]
            if leave_out:
                cosine.diagonal(start).fill_(-torch.inf)
            shares.append(_shares(cosine, votes, ks))
        table = torch.cat(shares, 1)  # [len(ks), rows, K]
        truth = y[index] if classes is None else torch.searchsorted(classes, y[index])
        return [measure(metric, truth, t if classes is not None else t - 0.5) for t in table]

    inner = len(rows.val) == 0
    found = score(rows.train, tried, leave_out=True) if inner else score(rows.val, tried)
    best = tried[int(np.argmax(found))]
    return score(rows.test, [best])[0], best


def _shares(cosine: Tensor, votes: Tensor, ks: Sequence[int]) -> Tensor:
    """Each class's share of the vote for every ``k``, ``[len(ks), rows, K]``."""
    top, index = cosine.topk(min(max(ks), cosine.size(1)), dim=1)
    weight = ((1 + top) / 2).clamp_min(0)  # a row left out has -inf and so no vote
    voted = weight[:, :, None] * votes[index]  # [rows, k, K]
    return torch.stack([voted[:, :k].sum(1) / weight[:, :k].sum(1, keepdim=True).clamp_min(1e-12) for k in ks])
