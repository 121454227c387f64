"""Embeddings as files for other programs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from torch import Tensor

from graphssl.files import write_array, written

SUFFIXES = (".npy", ".parquet", ".safetensors")


def write_embeddings(path: Path, z: Tensor) -> None:
    """Write ``z`` ``[N, D]`` in the format of the file's ending; the file appears whole or not at all.

    ``.npy``: one array. ``.parquet``: columns ``node`` and ``embedding`` (a fixed-size list). ``.safetensors``: ``embeddings``.
    """
    with written(path) as part:
        if path.suffix == ".npy":
            write_array(part, z.numpy())
        elif path.suffix == ".parquet":
            import pyarrow as pa
            import pyarrow.parquet as pq

            rows = pa.FixedSizeListArray.from_arrays(pa.array(z.numpy().reshape(-1)), z.size(1))
            pq.write_table(pa.table({"node": np.arange(z.size(0)), "embedding": rows}), part)
        else:
            from safetensors.torch import save

            part.write_bytes(save({"embeddings": z.contiguous()}))  # save_file hides a full disk in an error of its own
