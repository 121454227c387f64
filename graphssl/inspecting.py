"""What a dataset holds, for reading before anything is trained."""

from __future__ import annotations

from typing import Any

import torch

from graphssl.datasets import Dataset

SHOWN = 5  # names of rows
COUNTED = 20  # classes


def described(data: Dataset) -> dict[str, Any]:
    """What there is, by name: sizes, structure, features, labels, splits, names of rows.

    Example:
        >>> from graphssl.datasets import load
        >>> found = described(load("karate"))
        >>> found["edges"], found["labels"]
        ('156, undirected', {'0': 13, '1': 12, '2': 4, '3': 5})
    """
    sizes = [graph.num_nodes for graph in data.graphs]
    degrees = torch.cat([graph.pattern.counts for graph in data.graphs])
    loops = sum(int((graph.edge_index[0] == graph.edge_index[1]).sum()) for graph in data.graphs)
    ways = "undirected" if all(graph.is_undirected for graph in data.graphs) else "directed"
    weighted = ", weighted" if data.graphs[0].edge_weight is not None else ""
    found: dict[str, Any] = {
        "name": data.name,
        "rows": f"{data.num_rows:,} {data.level}s",
        "nodes": f"{sum(sizes):,}" + (f" in {data.num_graphs:,} graphs" if data.num_graphs > 1 else ""),
        "edges": f"{data.num_edges:,}, {ways}{weighted}" + (f", {data.num_edge_features} attributes" if data.num_edge_features else ""),
        "degrees": f"{int(degrees.min())} to {int(degrees.max())}, mean {float(degrees.double().mean()):.1f}",
        "without neighbours": f"{int((degrees == 0).sum()):,} nodes",
        "self-loops": f"{loops:,}",
        "features": f"{data.num_features:,}",
        "labels": _labels(data),
        "splits": ", ".join(split.name for split in data.splits[:3]) + (" and more" if len(data.splits) > 3 else "") or "none",
        "source": data.source,
        "fingerprint": data.fingerprint,
    }
    if data.ids is not None:
        found["ids"] = ", ".join(map(repr, data.ids[:SHOWN])) + (" ..." if len(data.ids) > SHOWN else "")
    return found


def _labels(data: Dataset) -> dict[str, int] | str:
    if data.y.dim() == 2:
        known = int((~data.y.isnan()).any(1).sum())
        return f"{data.num_classes} {'targets' if data.task == 'regression' else 'labels'} a row, known of {known:,}"
    if not data.num_classes:
        return "none"
    counts = data.y[data.y >= 0].bincount(minlength=data.num_classes).tolist()
    names = data.classes or [str(number) for number in range(len(counts))]
    found = dict(zip(names, counts, strict=False))
    if len(found) > COUNTED:
        return f"{len(found)} classes of {min(counts):,} to {max(counts):,} rows, and {int((data.y < 0).sum()):,} unlabelled"
    return {**found, "unlabelled": unknown} if (unknown := int((data.y < 0).sum())) else found
