"""Embeddings as files for other programs."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from graphssl.datasets import Dataset
from graphssl.files import write_array, written

SUFFIXES = (".npy", ".parquet", ".safetensors")


def write_embeddings(path: Path, z: Tensor, data: Dataset) -> None:
    """Write the embeddings ``z`` ``[R, D]`` of a dataset in the format of the file's ending; the file appears whole or not at all.

    ``.npy``: one array. ``.parquet``: columns ``node`` or ``graph`` (the row in the user's own file, where that has rows that were left
    out), ``id`` where rows have names, and ``embedding`` (a fixed-size list). ``.safetensors``: ``embeddings``, and ``row`` likewise.
    """
    row = torch.arange(z.size(0)) if data.row_id is None else data.row_id
    with written(path) as part:
        if path.suffix == ".npy":
            write_array(part, z.numpy())
        elif path.suffix == ".parquet":
            import pyarrow as pa
            import pyarrow.parquet as pq

            rows = pa.FixedSizeListArray.from_arrays(pa.array(z.numpy().reshape(-1)), z.size(1))
            names = {} if data.ids is None else {"id": _column(data.ids)}
            pq.write_table(pa.table({data.level: row.numpy(), **names, "embedding": rows}), part)
        else:
            from safetensors.torch import save

            part.write_bytes(save({"embeddings": z.contiguous(), "row": row}))  # save_file hides a full disk in an error of its own


def _column(ids: Sequence[Hashable]) -> list[Any]:
    """Names as a column holds them: all whole numbers, or all text."""
    return list(ids) if all(type(name) is int and abs(name) < 2**63 for name in ids) else [str(name) for name in ids]
