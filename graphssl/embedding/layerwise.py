"""Encoders layer by layer over all nodes of a large graph, some rows at a time, within a memory budget."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cached_property, partial
from itertools import accumulate
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from graphssl.adjacency import CSR
from graphssl.embedding.ranges import Moments, RowRange, add_by_graph, csr_rows, gcn_scale, spans
from graphssl.embedding.room import EDGE, Room
from graphssl.encoders import GNN, Block
from graphssl.graph import Graph
from graphssl.layers import Convolution, widest
from graphssl.multiview import MultiView

Precision = Literal["float32", "bf16"]
Take = Callable[[int, int, Tensor], None]  # what is done with the rows [a, b) of a layer's output

ROWS = 8192  # at most at a time: more is no faster


def layerwise(
    encoder: nn.Module,
    g: Graph,
    out: Tensor,
    *,
    room: Room | None = None,
    chunk: int | None = None,
    precision: Precision = "float32",
    tell: Callable[[int], None] = lambda rows: None,
) -> None:
    """Write ``encoder(g)``, in evaluation mode and without gradients, into ``out`` ``[N, D]``, layer by layer, some rows at a time.

    A layer is taken in two passes over the rows: what each shows to its neighbours (:class:`graphssl.layers.Convolution`), where that is
    not its input as it is; and what it makes of what they show. Norms over whole graphs take one more, with sums in float64, and so does
    a virtual node. At a time there stand what nodes show, the rows' input where the layer needs it, and its output; all layers' outputs
    only for ``jk="lstm"``, since ``cat`` and ``max`` are made in ``out``.

    Args:
        encoder: for which :func:`graphssl.embedding.can_layerwise` holds, on the CPU.
        g: the graph; its ``edge_index`` is not asked for.
        out: any float tensor, possibly mapped, possibly some columns of one.
        room: where intermediate arrays stand; by default in memory.
        chunk: rows at a time; by default what ``room`` has space for. Rows with very many edges come in smaller parts.
        precision: of intermediate arrays; sums and products over ``bf16`` rows are in float32 but for the rounding of each sum.
        tell: called with the number of rows of a layer that are done now, ``num_steps(encoder) * N`` in all.
    """
    room = room or Room()
    with parametrize.cached():
        if isinstance(encoder, MultiView):
            width = encoder.out_channels // len(encoder.encoders)
            for k, (part, view) in enumerate(zip(encoder.encoders, encoder.views, strict=True)):
                assert isinstance(part, GNN)
                _Pass(part, view(g), room, chunk, precision, tell).run(out[:, k * width : (k + 1) * width])
        else:
            assert isinstance(encoder, GNN)
            _Pass(encoder, g, room, chunk, precision, tell).run(out)


def num_steps(encoder: nn.Module) -> int:
    """How often :func:`layerwise` tells of all rows: once a layer, and once for an LSTM over them."""
    if isinstance(encoder, MultiView):
        return sum(num_steps(part) for part in encoder.encoders)
    assert isinstance(encoder, GNN)
    return len(encoder.blocks) + (encoder.jk.mode == "lstm")


class _Input(NamedTuple):
    """What goes into a layer: some rows of it, and all of it where it stands in one array."""

    rows: Callable[[int, int], Tensor | CSR]
    whole: Tensor | None = None


class _Pass:
    def __init__(self, net: GNN, g: Graph, room: Room, chunk: int | None, precision: Precision, tell: Callable[[int], None]) -> None:
        if g.num_features != net.in_channels:
            raise ValueError(f"the graph has {g.num_features} features, and this encoder takes in_channels={net.in_channels}")
        self.net, self.g, self.room, self.chunk, self.tell = net, g, room, chunk, tell
        self.dtype = g.float_type
        self.stored = torch.bfloat16 if precision == "bf16" else self.dtype

    def run(self, out: Tensor) -> None:
        net = self.net
        given = _Input(self._features, self.g.x if isinstance(self.g.x, Tensor) and net.input is None else None)
        total: Tensor | None = None  # of the layers so far, for dense skips
        state: Tensor | None = None  # of the virtual node
        kept: list[Tensor] = []
        for k, (block, skip) in enumerate(zip(net.blocks, net.skips, strict=True)):
            assert isinstance(block, Block)
            if total is not None:
                given = _Input(partial(self._with_features, total, skip))
            if net.virtual_node is not None:
                given, state = self._visited(given, state, k)
            near = self._shown(block.conv, given)  # type: ignore[arg-type]
            rows = given.rows if block.conv.uses_rows or net.skip == "residual" else None
            given = _Input(self._features)  # what the last layer made is let go unless this one needs it
            array = self._target(k, out)
            if net.skip == "dense" and total is None and k + 1 < len(net.blocks):
                total = self.room.array(self.g.num_nodes, net.channels[k], self.stored)
            take = partial(self._take, k, array, total, out)
            self._layer(block, skip if net.skip == "residual" else None, near, rows, array, take)
            if array is not None:
                given = _Input(partial(self._stored, array), array)
                kept += [array] if net.jk.mode == "lstm" else []
            del near, rows, array, take
        if kept:
            self._joined(kept, out)

    def _layer(
        self,
        block: Block,
        skip: nn.Module | None,
        near: tuple[Tensor, ...],
        rows: Callable[[int, int], Tensor | CSR] | None,
        array: Tensor | None,
        take: Take,
    ) -> None:
        def finish(a: int, b: int, h: Tensor, x: Tensor | CSR | None) -> None:
            h = h if block.act_first else block.act(h)
            take(a, b, h if skip is None else h + skip(x))
            self.tell(b - a)

        moments = Moments(block.norm, self.g) if block.per_graph else None
        if moments is not None and array is None:
            array = self.room.array(self.g.num_nodes, block.width, self.stored)
        for a, b in self._spans(block):
            x = None if rows is None else rows(a, b)
            own = tuple(p[a:b].to(self.dtype) for p in near)
            h = block.conv.combine(near, own, x, RowRange(self.g, a, b, lambda: self._scale))  # type: ignore[operator]
            h = block.act(h) if block.act_first else h
            if moments is None:
                finish(a, b, block.norm(h), x)
            else:
                moments.add(h, a, b)
                array[a:b] = h  # type: ignore[index]
        if moments is not None:
            for a, b in self._slices(24 * block.width):
                h = moments.normalised(self._stored(array, a, b), a)  # type: ignore[arg-type]
                finish(a, b, h, None if rows is None or skip is None else rows(a, b))

    def _shown(self, conv: Convolution, given: _Input) -> tuple[Tensor, ...]:
        """What all nodes show to their neighbours, each ``[N, *]``; the input itself where it is that, and can be read as it is."""
        first = given.rows(0, 1)
        probe, whole = conv.project(first), given.whole
        if whole is not None and not (whole.is_contiguous() and whole.dtype in (self.dtype, self.stored)):
            whole = None
        arrays = tuple(
            whole
            if whole is not None and part is first
            else self.room.array(self.g.num_nodes, part.size(1), self.dtype if k else self.stored)
            for k, part in enumerate(probe)
        )
        if any(array is not whole for array in arrays):
            for a, b in self._slices(8 * widest(conv)):
                for array, part in zip(arrays, conv.project(given.rows(a, b)), strict=True):
                    if array is not whole:
                        array[a:b] = part
        return arrays

    def _target(self, k: int, out: Tensor) -> Tensor | None:
        """Where the output of layer ``k`` stands for others to read, if any do."""
        net, last = self.net, k + 1 == len(self.net.blocks)
        if net.jk.mode == "cat":
            ends = list(accumulate(net.channels, initial=0))
            return out[:, ends[k] : ends[k + 1]]
        if net.jk.mode == "last" and last:
            return out
        if net.jk.mode == "lstm" or not (last or net.skip == "dense"):
            return self.room.array(self.g.num_nodes, net.channels[k], self.stored)
        return None

    def _take(self, k: int, array: Tensor | None, total: Tensor | None, out: Tensor, a: int, b: int, h: Tensor) -> None:
        if array is not None:
            array[a:b] = h
        if self.net.jk.mode == "max":
            out[a:b] = h if k == 0 else torch.maximum(out[a:b], h.to(out.dtype))
        if total is not None and k + 1 < len(self.net.blocks):
            total[a:b] = h if k == 0 else total[a:b] + h

    def _features(self, a: int, b: int) -> Tensor | CSR:
        x = self.g.x
        rows = x[a:b].to(self.dtype) if isinstance(x, Tensor) else csr_rows(x, a, b)
        return rows if self.net.input is None else self.net.input(rows)  # type: ignore[no-any-return]

    def _stored(self, array: Tensor, a: int, b: int) -> Tensor:
        return array[a:b].to(self.dtype)

    def _with_features(self, total: Tensor, skip: nn.Module, a: int, b: int) -> Tensor:
        return self._stored(total, a, b) + skip(self._features(a, b))  # type: ignore[no-any-return]

    def _visited(self, given: _Input, state: Tensor | None, layer: int) -> tuple[_Input, Tensor]:
        """The input with the virtual node's state added, and the state for the next layer."""
        node, g = self.net.virtual_node, self.g
        assert node is not None
        state = node.start.expand(g.num_graphs, -1) if state is None else state

        def rows(a: int, b: int, state: Tensor = state) -> Tensor:
            ids = None if g.graph_id is None else g.graph_id[a:b]
            return given.rows(a, b) + (state if ids is None else state.index_select(0, ids))  # type: ignore[operator]

        if layer < len(node.updates):
            total = torch.zeros(state.shape, dtype=torch.float64)
            for a, b in self._slices(24 * state.size(1)):
                add_by_graph(total, rows(a, b).double(), g, a)
            state = node.updates[layer](total.to(self.dtype) + state)
        return _Input(rows), state

    def _joined(self, layers: list[Tensor], out: Tensor) -> None:
        for a, b in self._slices(8 * len(layers) ** 2 * layers[0].size(1)):
            out[a:b] = self.net.jk([self._stored(layer, a, b) for layer in layers])
            self.tell(b - a)

    @cached_property
    def _scale(self) -> Tensor:
        return gcn_scale(self.g, ROWS, max(1, self.room.work // (2 * EDGE)))

    def _spans(self, block: Block) -> Iterator[tuple[int, int]]:
        """Ranges of rows whose outputs take half of the space for work, and whose edges the other half."""
        edge = EDGE + self.dtype.itemsize * block.conv.edge_width  # type: ignore[operator]
        rows = self._rows(8 * widest(block.conv))
        return spans(self.g.pattern.ptr, rows, max(1, self.room.work // 2 // int(edge)))

    def _slices(self, width: int) -> Iterator[tuple[int, int]]:
        """Ranges of rows of which each takes so many numbers."""
        n, rows = self.g.num_nodes, self._rows(width)
        return ((a, min(a + rows, n)) for a in range(0, n, rows))

    def _rows(self, width: int) -> int:
        return self.chunk or max(1, min(ROWS, self.room.work // 2 // (self.dtype.itemsize * width)))
