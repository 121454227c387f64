"""The choice between a pass over the whole graph and layer by layer, and the former."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal, cast

import torch
from torch import Tensor, nn

from graphssl.batches import GraphBatches
from graphssl.datasets import Dataset
from graphssl.embedding.room import EDGE, Room, mapped, memory_bytes, new_array
from graphssl.encoders import GNN
from graphssl.files import write_array, written
from graphssl.graph import Graph
from graphssl.layers import Convolution, widest
from graphssl.multiview import MultiView

Passes = list[Graph] | GraphBatches
Tell = Callable[[int, int], None]

WHOLE = 10**9  # bytes that a pass over a whole graph may take for it to be the default


@torch.no_grad()
def embed(
    encoder: nn.Module,
    data: Graph | Dataset | Iterable[Graph],
    *,
    batch_size: int | None = None,
    level: Literal["node", "graph"] | None = None,
    memory: float | str | None = None,
    chunk: int | None = None,
    out: str | Path | None = None,
    precision: Literal["float32", "bf16"] = "float32",
    tell: Tell | None = None,
) -> Tensor:
    """Embeddings of all nodes ``[N, D]``, or of all graphs ``[G, D]``, float32 on the CPU; several graphs one after another.

    Exact and deterministic: no view, no sampling, no dropout; batch norm uses its running statistics. The encoder is left in the
    mode it was in.

    Nodes are embedded by a pass over each graph as a whole, or layer by layer over all nodes, some rows at a time
    (:mod:`graphssl.embedding.layerwise`), which gives the same to float tolerance in the memory it is given. That way is taken
    where ``memory`` or ``chunk`` ask for it, or where a pass over the whole graph would take more than about 1 GB; on the CPU, wherever
    the encoder is. It goes through every encoder but ``mpnn`` and modules of one's own, whose pass is over the whole graph always.

    Args:
        encoder: any module ``Graph -> [N, D]``; at graph level with a method ``pool(h, graph) -> [G, D]``.
        data: a graph, a dataset, or graphs.
        batch_size: graphs a pass, of several; by default one, or 512 at graph level.
        level: ``node`` or ``graph``; by default the dataset's, and ``node`` for what is none.
        memory: bytes, or text such as ``8GB``, for what stands in memory besides encoder, data and, without ``out``, the result; arrays
            that do not fit go to temporary files. Only rows of very many edges, which cannot be cut, may go over it.
        chunk: rows at a time; by default what the memory is enough for.
        out: an ``.npy`` file that the embeddings are written to, whole or not at all; the result is then mapped from it.
        precision: of what stands between layers; ``bf16`` halves it and is faster, at a relative error of some thousandths.
        tell: called as ``tell(done, total)``, in rows of layers or in passes over whole graphs.

    Raises:
        ValueError: ``memory``, ``chunk`` or ``precision`` for an encoder or a level that does not go layer by layer, or out of range.
        OSError: no space for ``out`` or a temporary file.

    Example:
        >>> from graphssl import GCN
        >>> g = Graph.of((torch.eye(3), torch.tensor([[0, 1, 1, 2], [1, 0, 2, 1]])))
        >>> embed(GCN(3, [5]), g).shape
        torch.Size([3, 5])
    """
    level = level or (data.level if isinstance(data, Dataset) else "node")
    if level not in ("node", "graph"):
        raise ValueError(f"level must be node or graph, got {level!r}")
    if precision not in ("float32", "bf16"):
        raise ValueError(f"precision must be float32 or bf16, got {precision!r}")
    if chunk is not None and chunk < 1:
        raise ValueError(f"chunk must be at least 1, got {chunk}")
    room = Room(None if memory is None else memory_bytes(memory), None if out is None else Path(out).absolute().parent)
    passes = _passes(data, level, batch_size)
    asked = [name for name, given in (("memory", memory), ("chunk", chunk), ("precision", precision == "bf16")) if given]
    with _evaluating(encoder):
        if not _goes_layerwise(encoder, level, passes, asked):
            z = _whole(encoder, passes, level, tell)
            return z if out is None else _saved(z, Path(out))
        if any(p.device.type != "cpu" for p in encoder.parameters()):
            encoder = copy.deepcopy(encoder).cpu()
        shape = passes.graph.num_nodes if isinstance(passes, GraphBatches) else sum(g.num_nodes for g in passes), encoder.out_channels
        if out is None:
            z = torch.empty(shape)  # type: ignore[arg-type]
            _layerwise(encoder, passes, z, room, chunk, precision, tell)
            return z
        with written(Path(out)) as part:
            _layerwise(encoder, passes, new_array(part, *shape), room, chunk, precision, tell)  # type: ignore[arg-type]
        return mapped(Path(out))


def can_layerwise(encoder: nn.Module) -> bool:
    """Whether the encoder goes layer by layer: a :class:`graphssl.GNN` of the library's convolutions, or several side by side."""
    if isinstance(encoder, MultiView):
        able = encoder.merge == "cat" and type(encoder).forward is MultiView.forward
        return able and all(can_layerwise(part) for part in encoder.encoders)
    if not isinstance(encoder, GNN) or type(encoder).forward is not GNN.forward:
        return False
    return all(isinstance(block.conv, Convolution) and type(block.conv).forward is Convolution.forward for block in encoder.blocks)


def whole_bytes(encoder: nn.Module, g: Graph) -> int:
    """About what a pass over the whole graph holds at a time, in bytes: the matrix, all layers' outputs and two more of the widest."""
    if isinstance(encoder, MultiView):
        return max(whole_bytes(part, g) for part in encoder.encoders)
    assert isinstance(encoder, GNN)
    features = g.num_features if isinstance(g.x, Tensor) else 0
    convs = [cast(Convolution, block.conv) for block in encoder.blocks]
    rows = features + sum(encoder.channels) + 2 * max(widest(conv) for conv in convs)
    edges = EDGE + 4 * max(conv.edge_width for conv in convs)
    return 4 * g.num_nodes * rows + g.num_edges * edges


def _goes_layerwise(encoder: nn.Module, level: str, passes: Passes, asked: list[str]) -> bool:
    able = level == "node" and can_layerwise(encoder)
    if asked and not able:
        what = f"a {type(encoder).__name__} does not" if level == "node" else "level='graph' does not"
        raise ValueError(f"{' and '.join(asked)} can only be given where nodes are embedded layer by layer, and {what} go that way")
    return able and (bool(asked) or (isinstance(passes, list) and any(whole_bytes(encoder, g) > WHOLE for g in passes)))


def _layerwise(
    encoder: nn.Module, passes: Passes, out: Tensor, room: Room, chunk: int | None, precision: Literal["float32", "bf16"], tell: Tell | None
) -> None:
    from graphssl.embedding.layerwise import layerwise, num_steps  # numba takes half a second to import

    total, done, start = num_steps(encoder) * out.size(0), 0, 0

    def count(rows: int) -> None:
        nonlocal done
        done += rows
        if tell is not None:
            tell(done, total)

    for g in passes:
        stop = start + g.num_nodes
        layerwise(encoder, g.to("cpu"), out[start:stop], room=room, chunk=chunk, precision=precision, tell=count)
        start = stop


def _whole(encoder: nn.Module, passes: Passes, level: str, tell: Tell | None) -> Tensor:
    device = next((p.device for p in encoder.parameters()), torch.device("cpu"))
    parts = []
    for k, g in enumerate(passes):
        h = encoder(g.to(device))
        parts.append((encoder.pool(h, g.to(device)) if level == "graph" else h).float().cpu())  # type: ignore[operator]
        if tell is not None:
            tell(k + 1, len(passes))
    return torch.cat(parts)


def _saved(z: Tensor, path: Path) -> Tensor:
    with written(path) as part:
        write_array(part, z.numpy())
    return mapped(path)


@contextmanager
def _evaluating(encoder: nn.Module) -> Iterator[None]:
    modes = [(part, part.training) for part in encoder.modules()]
    encoder.eval()
    try:
        yield
    finally:
        for part, mode in modes:
            part.training = mode


def _passes(data: Graph | Dataset | Iterable[Graph], level: str, batch_size: int | None) -> Passes:
    if isinstance(data, Graph):
        graphs = [data]
    elif hasattr(data, "edge_index"):
        graphs = [Graph.of(data)]
    else:
        graphs = [Graph.of(g) for g in (data.graphs if isinstance(data, Dataset) else cast("Iterable[Graph]", data))]
    if level == "node" and batch_size is None:
        return graphs
    return GraphBatches(graphs, 512 if batch_size is None else batch_size, shuffle=False)
