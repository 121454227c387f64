"""A store as a graph and as a dataset, mapped into memory and not read."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from graphssl.adjacency import CSR, Pattern
from graphssl.datasets.dataset import Dataset
from graphssl.datasets.splits import Split
from graphssl.graph import Graph
from graphssl.store.format import BLOCK, HEADER, Card, digest_of, header, read_card
from graphssl.store.kernels import rows_ascend
from graphssl.store.work import mapped

Verify = Literal["sizes", "full"]
VERIFY = ("sizes", "full")


@dataclass(frozen=True, eq=False)
class Store:
    """A graph on disk. Arrays are mapped when they are asked for; processes of one machine share what they read of them."""

    folder: Path
    card: Card

    def array(self, name: str) -> Tensor:
        """One of the arrays, mapped; it can be changed, in this process and not in the file.

        Raises:
            ValueError: there is none of that name.
        """
        if name not in self.card.files:
            raise ValueError(f"array must be one of {', '.join(self.card.files)}, got {name!r}")
        file = self.card.files[name]
        array = mapped(self.folder / f"{name}.npy", file.dtype, file.shape)
        if name == "x" and self.card.features == "bfloat16":
            return torch.from_numpy(array.view(np.int16)).view(torch.bfloat16)
        return torch.from_numpy(array)

    def graph(self) -> Graph:
        """The graph; always the same one."""
        return self._graph

    def dataset(self) -> Dataset:
        """The graph with its labels and splits."""
        card = self.card
        splits = []
        for i, split in enumerate(card.splits):
            train, val, test = torch.split(self.array(f"split_{i}").clone(), [split.train, split.val, split.test])
            splits.append(Split(split.name, train, val, test))
        source = f"{card.source} (licence {card.licence})" if card.licence else card.source
        return Dataset(card.name, (self.graph(),), self.array("y"), tuple(splits), card.metric, source, digest=card.digest)

    @cached_property
    def _graph(self) -> Graph:
        card, n = self.card, self.card.num_nodes
        x: Tensor | CSR = self.array("x")
        if card.sparse:
            x = CSR(Pattern(self.array("x_ptr"), self.array("x_col"), card.num_features), self.array("x"))
        weight = self.array("weight") if card.weighted else None
        ptr, col = self.array("ptr"), self.array("col")
        if card.undirected:
            return Graph.of_pattern(x, Pattern(ptr, col, n), weight, undirected=True)
        edge = self.array("out_edge")
        turned = Pattern(self.array("out_ptr"), self.array("out_col"), n)
        reverse = edge if card.paired else None
        return Graph.of_pattern(x, Pattern(ptr, col, n, transpose=(turned, edge)), weight, undirected=False, reverse=reverse)


def open_store(path: str | Path, *, verify: Verify = "sizes") -> Store:
    """Open a store that :func:`~graphssl.store.write_store` wrote.

    What ``store.json`` says is checked against its own digest, each file against its type, shape and size; row pointers must ascend to the
    number of entries, and columns be there. ``verify="full"`` reads all files besides and compares their digests, and the order of columns.

    Args:
        path: the folder.
        verify: ``sizes``, or ``full``.

    Raises:
        ValueError: it is no store, of another format, or was changed; the message names the file.

    Example:
        >>> open_store("nowhere")
        Traceback (most recent call last):
        ...
        ValueError: store: nowhere is not a store: it has no store.json
    """
    if verify not in VERIFY:
        raise ValueError(f"verify must be one of {', '.join(VERIFY)}, got {verify!r}")
    folder = Path(path).expanduser()
    store = Store(folder, read_card(folder))
    shapes = store.card.shapes()
    if set(shapes) != set(store.card.files):
        raise ValueError(f"store: {folder / 'store.json'} names other files than a store of its kind has: convert it anew")
    for name in shapes:
        _check_file(store, name)
    for name, columns in (("ptr", "col"), ("out_ptr", "out_col"), ("x_ptr", "x_col")):
        if name in shapes:
            _check_pointers(store, name, columns)
            _check_range(store, columns)
    if verify == "full":
        for name in shapes:
            _check_content(store, name)
        for name, columns in (("ptr", "col"), ("out_ptr", "out_col"), ("x_ptr", "x_col")):
            if name in shapes:
                _check_columns(store, name, columns)
    return store


def _check_file(store: Store, name: str) -> None:
    path, file = store.folder / f"{name}.npy", store.card.files[name]
    dtypes, shape = store.card.shapes()[name]
    fits = len(shape) == len(file.shape) and all(wanted in (None, own) for wanted, own in zip(shape, file.shape, strict=True))
    if file.dtype not in dtypes or not fits:
        raise ValueError(f"store: store.json says that {path.name} is {file.dtype} {file.shape}, which a store of its kind cannot have")
    try:
        size = path.stat().st_size
        with open(path, "rb") as opened:
            start = opened.read(HEADER)
    except OSError as error:
        raise ValueError(f"store: {path} cannot be read ({error.strerror}): convert it anew") from error
    if size != file.bytes:
        how = "truncated" if size < file.bytes else "longer than it was"
        raise ValueError(f"store: {path} is {how}: {size:,} bytes instead of {file.bytes:,}: convert it anew")
    if start != header(file.dtype, file.shape):
        raise ValueError(f"store: {path} was changed: it does not begin as an array {file.dtype} {file.shape}: convert it anew")


def _check_pointers(store: Store, name: str, columns: str) -> None:
    ptr = store.array(name)
    entries = store.card.files[columns].shape[0]
    steps = BLOCK // 8
    ascend = all(bool((ptr[start : start + steps + 1].diff() >= 0).all()) for start in range(0, ptr.numel(), steps))
    if not ascend or int(ptr[0]) != 0 or int(ptr[-1]) != entries:
        raise ValueError(f"store: {store.folder / f'{name}.npy'} does not ascend from 0 to {entries:,}: convert it anew")


def _check_range(store: Store, columns: str) -> None:
    """Compiled code reads and writes at these places without looking."""
    count = store.card.num_features if columns == "x_col" else store.card.num_nodes
    parts = torch.split(store.array(columns), BLOCK // 4)
    if any(part.numel() and not 0 <= int(part.min()) <= int(part.max()) < count for part in parts):
        raise ValueError(f"store: {store.folder / f'{columns}.npy'} holds a number outside 0 to {count - 1}: convert it anew")


def _check_content(store: Store, name: str) -> None:
    path = store.folder / f"{name}.npy"
    if digest_of(path).hexdigest() != store.card.files[name].digest:
        raise ValueError(f"store: {path} was changed after it was written (its digest differs): convert it anew")


def _check_columns(store: Store, name: str, columns: str) -> None:
    count = store.card.num_features if columns == "x_col" else store.card.num_nodes
    if not rows_ascend(store.array(name).numpy(), store.array(columns).numpy(), count):
        raise ValueError(
            f"store: {store.folder / f'{columns}.npy'} holds rows that do not ascend, or a number outside 0 to {count - 1}: convert it anew"
        )
