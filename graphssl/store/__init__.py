"""Graphs on disk that are larger than memory: written once in pieces, then mapped and never read as a whole."""

from __future__ import annotations

from typing import TYPE_CHECKING

from graphssl.lazy import lazy

if TYPE_CHECKING:
    from graphssl.store.format import Card, as_bytes, read_card
    from graphssl.store.reading import Store, open_store
    from graphssl.store.source import Source, dataset_source
    from graphssl.store.writing import write_store

__all__ = ["Card", "Source", "Store", "as_bytes", "dataset_source", "open_store", "read_card", "write_store"]

__getattr__ = lazy(
    __name__,
    {
        "buckets": (),
        "columns": (),
        "datasets": (),
        "format": ("Card", "as_bytes", "read_card"),
        "kernels": (),
        "reading": ("Store", "open_store"),
        "source": ("Source", "dataset_source"),
        "work": (),
        "writing": ("write_store",),
    },
)
