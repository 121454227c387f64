"""The one batch contract: datasets, batches, augmentations, encoders and objectives all speak Graph."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeVar

import torch
from torch import Tensor

from graphssl.adjacency import CSR, Pattern, add_self_loops, row_pointers, same_device, true_entries, with_self_loops

if TYPE_CHECKING:
    from torch_geometric.data import Data

    from graphssl.cutting import Part

T = TypeVar("T")


@dataclass(frozen=True, eq=False)
class Graph:
    """One graph, or a batch of graphs side by side; never changed once made.

    ``N`` nodes, ``E`` directed edges, ``F`` features, ``G`` graphs. An undirected edge stands in both directions.
    Make one from the outside with :meth:`of`, which checks and sorts; make a changed one with ``with_x``, ``keep_edges``
    or ``keep_nodes``, which carry along everything that belongs to a node or an edge.

    Example:
        >>> g = Graph.of((torch.eye(3), torch.tensor([[0, 1, 1, 2], [1, 0, 2, 1]])))
        >>> g.num_nodes, g.num_edges, g.is_undirected
        (3, 4, True)
    """

    x: Tensor | CSR  # [N, F] dense, or sparse rows
    edge_index: Tensor  # [2, E] int64, source -> target, sorted by target, then source
    edge_weight: Tensor | None = None  # [E]
    edge_attr: Tensor | None = None  # [E, B]
    graph_id: Tensor | None = None  # [N] int64 ascending in [0, G); None: a single graph
    num_graphs: int = 1
    num_seeds: int | None = None  # the loss is on rows [0, S); None: on all rows
    node_id: Tensor | None = None  # [N] int64 row in the original graph; None: row i is node i
    y: Tensor | None = None  # [G] or [G, T] labels of graphs, only in batches for objectives that are supervised by name

    @classmethod
    def of(cls, data: Data | Graph | tuple[Any, Any]) -> Graph:
        """PyG ``Data`` or ``Batch``, or a pair ``(x, edge_index)``, as a Graph: checked, sorted, contiguous.

        Edges come out sorted by target and then source; parallel edges and self-loops are kept. Features become the
        default float type; bag-of-words features of which less than 5 % are non-zero become sparse rows.

        Raises:
            ValueError: no features, no nodes, NaN or infinite features, an edge outside the graph, tensors whose lengths disagree.
        """
        if isinstance(data, Graph):
            return data
        if isinstance(data, (tuple, list)):
            if len(data) != 2:
                raise ValueError(f"data must be a PyG Data, a Graph or a pair (x, edge_index), got a {type(data).__name__} of {len(data)}")
            x, edge_index = data
            weight = attr = graph_id = None
        else:
            x, edge_index = getattr(data, "x", None), getattr(data, "edge_index", None)
            weight, attr = getattr(data, "edge_weight", None), getattr(data, "edge_attr", None)
            graph_id = getattr(data, "batch", None)
        if edge_index is None:
            raise ValueError("data.edge_index is missing: a [2, E] integer tensor is needed")
        x = _features(x)
        n = x.size(0)
        edge_index = _edges(edge_index, n)
        order = (edge_index[1] * n + edge_index[0]).argsort(stable=True)
        weight = _per_edge("edge_weight", weight, order)
        if weight is not None:
            if weight.numel() != order.numel():
                raise ValueError(f"data.edge_weight must be [E], one number for each edge, got shape {tuple(weight.shape)}")
            weight = weight.reshape(-1).to(x.dtype)
        attr = _per_edge("edge_attr", attr, order)
        num_graphs = 1
        if graph_id is not None:
            if graph_id.numel() != n or (graph_id.diff() < 0).any():
                raise ValueError(f"data.batch must hold one ascending graph number for each of the {n} nodes")
            num_graphs = int(getattr(data, "num_graphs", None) or graph_id[-1] + 1)
        return cls(x, edge_index[:, order].contiguous(), weight, attr, graph_id, num_graphs)

    @classmethod
    def of_pattern(
        cls,
        x: Tensor | CSR,
        pattern: Pattern,
        edge_weight: Tensor | None = None,
        edge_attr: Tensor | None = None,
        *,
        undirected: bool,
        reverse: Tensor | None = None,
        num_seeds: int | None = None,
        node_id: Tensor | None = None,
    ) -> Graph:
        """A graph whose edges are the rows of ``pattern`` ``[N, N]``, ascending in each; nothing is checked, copied or read.

        ``edge_index`` is only made when someone asks for it. Large graphs come in so, mapped from a file.

        Args:
            x: features ``[N, F]``, of any float type.
            pattern: row ``i`` holds the sources of the edges into node ``i``.
            edge_weight: ``[E]``.
            edge_attr: ``[E, B]``.
            undirected: each edge stands in both directions, with one weight.
            reverse: :attr:`reverse` ``[E]`` where it is known; without it and ``undirected``, the graph counts as a directed one.
            num_seeds: the loss is on rows ``[0, S)``; ``None``: on all.
            node_id: ``[N]`` row of each node in the graph that this one is of.

        Example:
            >>> g = Graph.of_pattern(torch.eye(2), Pattern(torch.tensor([0, 1, 2]), torch.tensor([1, 0]), 2), undirected=True)
            >>> g.num_edges, g.edge_index.tolist()
            (2, [[1, 0], [0, 1]])
        """
        graph = cls(x, pattern.col, edge_weight, edge_attr, num_seeds=num_seeds, node_id=node_id)
        del graph.__dict__["edge_index"]
        graph._store["pattern"] = pattern
        if undirected:
            graph._store["symmetric"] = True
        if reverse is not None or not undirected:
            graph._store["reverse"] = reverse
        return graph

    def __getattr__(self, name: str) -> Any:
        if name != "edge_index" or "_structure" not in self.__dict__:
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        pattern: Pattern = self._store["pattern"]
        index = torch.stack([pattern.col.long(), pattern.row])
        self.__dict__["edge_index"] = index
        return index

    def __repr__(self) -> str:
        names = ("num_nodes", "num_edges", "num_features", "num_graphs")
        return f"Graph({', '.join(f'{name}={getattr(self, name)}' for name in names)})"

    # ------------------------------------------------------------------ sizes

    @property
    def num_nodes(self) -> int:
        return self.x.size(0)

    @property
    def num_edges(self) -> int:
        return self.edge_index.size(1) if "edge_index" in self.__dict__ else self.pattern.num_entries

    @property
    def num_features(self) -> int:
        return self.x.size(1)

    @property
    def device(self) -> torch.device:
        return self.x.device

    @property
    def graph_ids(self) -> Tensor:
        """Graph of each node, ``[N]``; zeros for a single graph."""
        if self.graph_id is None:
            return torch.zeros(self.num_nodes, dtype=torch.long, device=self.device)
        return self.graph_id

    @property
    def node_ids(self) -> Tensor:
        """Row of each node in the original graph, ``[N]``."""
        return torch.arange(self.num_nodes, device=self.device) if self.node_id is None else self.node_id

    @property
    def node_ptr(self) -> Tensor:
        """First row of each graph, and the number of rows last, ``[G + 1]``."""
        return self.cached("node_ptr", self._find_node_ptr)

    @property
    def float_type(self) -> torch.dtype:
        """What is computed in: the features' float type, and float32 where that is a half-precision one."""
        return torch.promote_types(self.x.dtype, torch.float32)

    @property
    def weights(self) -> Tensor:
        """Edge weights in the graph's float type, ``[E]``; ones where the graph has none."""
        if self.edge_weight is None:
            return torch.ones(self.num_edges, dtype=self.float_type, device=self.device)
        return self.edge_weight.to(self.float_type)

    def dense_x(self) -> Tensor:
        """The features as a dense tensor ``[N, F]``."""
        return self.x.to_dense() if isinstance(self.x, CSR) else self.x

    # ------------------------------------------------------------------ changed copies

    def with_x(self, x: Tensor | CSR) -> Graph:
        """The same nodes and edges with other features ``[N, F']``."""
        graph = object.__new__(Graph)  # replace would ask for edge_index
        graph.__dict__.update(self.__dict__, x=x)
        return self._share(graph)

    def with_weights(self, edge_weight: Tensor) -> Graph:
        """The same nodes and edges with other weights ``[E]``, which may ask for a gradient."""
        graph = replace(self, edge_weight=edge_weight)
        graph._store.update(pattern=self.pattern, reverse=self.reverse, node_ptr=self.node_ptr)
        return graph

    def with_edges(self, edge_index: Tensor, edge_weight: Tensor | None = None, edge_attr: Tensor | None = None) -> Graph:
        """The same nodes with other edges ``[2, E']``, given in any order; they are sorted here."""
        order = (edge_index[1] * self.num_nodes + edge_index[0]).argsort(stable=True)
        weight = None if edge_weight is None else edge_weight[order]
        attr = None if edge_attr is None else edge_attr[order]
        return replace(self, edge_index=edge_index[:, order], edge_weight=weight, edge_attr=attr)

    def keep_edges(self, keep: Tensor, *, symmetric: bool = False) -> Graph:
        """The edges where ``keep`` ``[E]`` is true, with their weights and attributes; all nodes stay.

        Args:
            keep: bool mask over edges.
            symmetric: both directions of each edge got the same value, so an undirected graph stays one. Without it the
                result counts as a directed graph.
        """
        index, before = true_entries(keep)
        graph = self._take_edges(index)
        target = graph.edge_index[1]
        if symmetric and self.reverse is not None:
            reverse = before.index_select(0, self.reverse.index_select(0, index)).long()
            pattern = Pattern(row_pointers(target, self.num_nodes), graph.edge_index[0], self.num_nodes)
            pattern._transpose = (Pattern(pattern.ptr, pattern.col, self.num_nodes), reverse)
        else:
            reverse = None
            self.pattern.transpose()  # found once here, filtered for every view
            pattern = self.pattern.keep(keep, index, before)
        pattern._row = target
        graph._store.update(reverse=reverse, pattern=pattern)
        return graph

    def _take_edges(self, index: Tensor) -> Graph:
        edge_index = self.edge_index.new_empty(2, index.numel())
        for row, out in zip(self.edge_index, edge_index, strict=True):  # twice as fast as both rows in one call
            torch.index_select(row, 0, index, out=out)
        return replace(
            self,
            edge_index=edge_index,
            edge_weight=None if self.edge_weight is None else self.edge_weight.index_select(0, index),
            edge_attr=None if self.edge_attr is None else self.edge_attr.index_select(0, index),
        )

    def keep_nodes(self, nodes: Tensor, edges: Tensor | None = None, *, symmetric: bool = True) -> Graph:
        """The induced subgraph on some nodes; ``node_id`` says which nodes they were.

        The number of graphs stays, so a graph that loses all its nodes is empty and not gone.

        Args:
            nodes: ascending ``[N']``, or a bool mask ``[N]``.
            edges: bool mask ``[E]``, of edges that stay if both their ends do; ``None``: all.
            symmetric: both directions of each edge got the same value in ``edges``. Without it the result counts as a directed graph.
        """
        if nodes.dtype != torch.bool:
            nodes = torch.zeros(self.num_nodes, dtype=torch.bool, device=self.device).index_fill_(0, nodes, True)
        from graphssl import cutting  # numba takes half a second to import

        pattern, reverse = self.pattern, self.known_reverse if symmetric else None
        part = cutting.induced(pattern, self.node_ptr, nodes, edges, reverse, with_edges=self._has_edge_values)
        graph = self._cut(
            part,
            graph_id=None if self.graph_id is None else part.graph_id,
            num_seeds=None if self.num_seeds is None else int(nodes[: self.num_seeds].sum()),
        )
        if not symmetric:
            graph._store["reverse"] = None
        elif reverse is None and self._store.get("symmetric"):  # both directions stay or go together
            graph._store["symmetric"] = True
        return graph

    def keep_graphs(self, index: Tensor) -> Graph:
        """The graphs ``index`` ``[G']``, in that order, as a batch; ``node_id`` says which nodes they were.

        Nothing is gone through graph by graph, so that batches of many small graphs cost no more than their nodes and edges.

        Raises:
            ValueError: no graph, or a batch of which only the first rows count (``num_seeds``).
        """
        if not index.numel():
            raise ValueError("index must hold at least one graph, got none")
        if self.num_seeds is not None:
            raise ValueError("graphs of which only the first num_seeds rows count cannot be taken out of a batch")
        from graphssl import cutting

        pattern = self.pattern
        part = cutting.some_graphs(pattern, self.node_ptr, index, self.known_reverse, with_edges=self._has_edge_values)
        y = None if self.y is None else self.y[index]
        graph = self._cut(part, graph_id=part.graph_id, num_graphs=index.numel(), y=y)
        if part.reverse is None:  # a directed batch stays one, even where what is left of it is not
            graph._store.update({name: self._store[name] for name in ("reverse", "symmetric") if name in self._store})
        return graph

    @property
    def _has_edge_values(self) -> bool:
        return self.edge_weight is not None or self.edge_attr is not None

    def _cut(self, part: Part, **others: Any) -> Graph:
        """The nodes and edges of ``part`` with what belongs to them, as a graph by its rows; ``others`` are fields of it."""
        graph = object.__new__(Graph)  # replace would ask for edge_index
        graph.__dict__.update(
            self.__dict__,
            x=self.x.rows(part.nodes) if isinstance(self.x, CSR) else self.x.index_select(0, part.nodes),
            edge_weight=None if self.edge_weight is None else self.edge_weight.index_select(0, part.edges),
            edge_attr=None if self.edge_attr is None else self.edge_attr.index_select(0, part.edges),
            node_id=part.nodes if self.node_id is None else self.node_id.index_select(0, part.nodes),
            **others,
            _structure={"pattern": part.pattern, "node_ptr": part.node_ptr},
        )
        graph.__dict__.pop("edge_index", None)
        if part.reverse is not None:
            part.pattern._transpose = (Pattern(part.pattern.ptr, part.pattern.col, graph.num_nodes), part.reverse)
            graph.know_reverse(part.reverse)
        return graph

    def to(self, device: torch.device | str) -> Graph:
        """A copy on ``device``; itself where it is there already."""
        if same_device(device, self.device):
            return self
        names = ("x", "edge_index", "edge_weight", "edge_attr", "graph_id", "node_id", "y")
        moved = {name: getattr(self, name).to(device) for name in names if getattr(self, name) is not None}
        return replace(self, **moved)

    # ------------------------------------------------------------------ structure, found once and shared by copies with other features

    @property
    def pattern(self) -> Pattern:
        """The adjacency's rows: row ``i`` holds the sources of the edges into node ``i``."""
        return self.cached("pattern", self._find_pattern)

    @property
    def reverse(self) -> Tensor | None:
        """The opposite direction of each edge, ``[E]``; ``None`` where some edge has none (a directed graph).

        Parallel edges are paired in order; a self-loop is its own opposite.
        """
        return self.cached("reverse", self._find_reverse)

    @property
    def known_symmetric(self) -> bool:
        """:attr:`has_symmetric_weights` where that is known, and true; nothing is looked for here."""
        return bool(self._store.get("symmetric"))

    @property
    def known_reverse(self) -> Tensor | None:
        """:attr:`reverse` where it has been looked for, and found; nothing is looked for here."""
        return self._store.get("reverse")

    def know_reverse(self, reverse: Tensor) -> None:
        """Take down :attr:`reverse` ``[E]`` that the caller knows, so that it need not be found."""
        self._store["reverse"] = reverse

    @property
    def is_undirected(self) -> bool:
        """Each edge stands in both directions (whatever its weights)."""
        return self._store.get("symmetric", False) or self.reverse is not None

    @property
    def has_symmetric_weights(self) -> bool:
        """The graph is undirected and both directions of each edge weigh the same."""
        if self.edge_weight is None:
            return self.is_undirected
        weight = self.edge_weight
        return self.cached("symmetric", lambda: self.reverse is not None and bool(torch.equal(weight, weight[self.reverse])))

    def summed(self) -> CSR:
        """The adjacency ``A`` ``[N, N]``: ``(A @ h)_i`` sums weight times ``h`` over the edges into ``i``."""
        return self.cached("summed", lambda: CSR(self.pattern, self.edge_weight, symmetric=self.has_symmetric_weights))

    def averaged(self) -> CSR:
        """``D^-1 A``: the weighted mean over the edges into each node; zero for a node with none."""
        return self.cached(f"averaged {self.x.dtype}", self._find_averaged)

    def normalised(self) -> CSR:
        """``D^-1/2 (A + I) D^-1/2`` of the GCN (Kipf and Welling, 2017, arXiv:1609.02907).

        ``D`` counts the edges into a node. A node that has a self-loop keeps it with its weight instead of a second one.
        """
        return self.cached(f"normalised {self.x.dtype}", self._find_normalised)

    def looped(self) -> Pattern:
        """The pattern with one self-loop at each node that has none (for attention)."""
        return self.cached("looped", lambda: add_self_loops(self.pattern))

    def looped_weights(self) -> Tensor:
        """Weights of :meth:`looped`, ``[E']``; an added self-loop weighs 1.

        Raises:
            ValueError: a negative weight, which attention cannot use.
        """
        return self.cached(f"looped_weights {self.x.dtype}", self._find_looped_weights)

    def cached(self, name: str, make: Callable[[], T]) -> T:
        """``make()``, computed at the first call for this structure (edges, weights and graphs; not features)."""
        if name not in self._store:
            self._store[name] = make()
        return self._store[name]  # type: ignore[no-any-return]

    @property
    def _store(self) -> dict[str, Any]:
        return self.__dict__.setdefault("_structure", {})  # type: ignore[no-any-return]

    def _share(self, other: Graph) -> Graph:
        other.__dict__["_structure"] = self._store
        return other

    def _find_pattern(self) -> Pattern:
        source, target = self.edge_index
        if (target.diff() < 0).any():
            raise ValueError("edge_index must be sorted by target: make the graph with Graph.of or with_edges")
        pattern = Pattern(row_pointers(target, self.num_nodes), source, self.num_nodes)
        pattern._row = target
        if self.reverse is not None:
            pattern._transpose = (Pattern(pattern.ptr, pattern.col, self.num_nodes), self.reverse)
        return pattern

    def _find_node_ptr(self) -> Tensor:
        if self.graph_id is None:
            return torch.tensor([0, self.num_nodes], device=self.device)
        return row_pointers(self.graph_id, self.num_graphs).long()

    def _find_reverse(self) -> Tensor | None:
        source, target = self.edge_index
        forward, backward = target * self.num_nodes + source, source * self.num_nodes + target
        order = backward.argsort(stable=True)
        place = torch.arange(order.numel(), device=order.device)
        if bool((forward.diff() < 0).any()):
            forward, place = forward.sort(stable=True)
        if not torch.equal(forward, backward[order]):
            return None
        reverse = torch.empty_like(order)
        reverse[order] = place
        loop = source == target  # parallel self-loops: each its own opposite
        reverse[loop] = loop.nonzero().squeeze(1)
        return reverse

    def _find_averaged(self) -> CSR:
        pattern = self.pattern
        weight = self.weights
        total = weight.new_zeros(self.num_nodes).scatter_add(0, pattern.row, weight)
        return CSR(pattern, weight / total.where(total != 0, 1).index_select(0, pattern.row))

    def _find_normalised(self) -> CSR:
        pattern, val = self._with_loops(self.pattern, self.edge_weight)
        degree = pattern.counts.to(self.float_type) if val is None else val.new_zeros(self.num_nodes).scatter_add(0, pattern.row, val)
        scale = degree.clamp(min=0).rsqrt().where(degree > 0, 0)
        symmetric = self.has_symmetric_weights
        matrix = CSR(pattern, _scaled(pattern, val, scale), symmetric=symmetric)
        if not symmetric:
            turned, perm = self.pattern.transpose()
            turned, val = self._with_loops(turned, None if val is None else self.weights[perm])
            matrix._transpose = CSR(turned, _scaled(turned, val, scale))
        return matrix

    def _find_looped_weights(self) -> Tensor:
        if bool((self.weights < 0).any()):
            raise ValueError(f"edge_weight must be 0 or more for attention, got {float(self.weights.min())}")
        return with_self_loops(self.pattern, self.weights)[1]

    def _with_loops(self, pattern: Pattern, val: Tensor | None) -> tuple[Pattern, Tensor | None]:
        if val is None:
            return (self.looped() if pattern is self.pattern else add_self_loops(pattern)), None
        return with_self_loops(pattern, val.to(self.float_type))


def _scaled(pattern: Pattern, val: Tensor | None, scale: Tensor) -> Tensor:
    left = scale.index_select(0, pattern.row)
    return (left if val is None else left * val) * scale.index_select(0, pattern.col)


def _features(x: Any) -> Tensor | CSR:
    if x is None:
        raise ValueError("data.x is missing: a [N, F] feature tensor is needed")
    if not isinstance(x, (Tensor, CSR)):
        x = torch.as_tensor(x)
    if isinstance(x, Tensor) and x.layout != torch.strided:
        x = CSR.from_torch(x)
    if len(x.shape) != 2 or 0 in x.shape:
        raise ValueError(f"data.x must be [N, F] with at least one node and one feature, got shape {tuple(x.shape)}")
    values = x.values() if isinstance(x, CSR) else x
    if values.dtype.is_complex:
        raise ValueError(f"data.x must be real, got {values.dtype}")
    if not torch.isfinite(values).all():
        row = x.pattern.row if isinstance(x, CSR) else None
        bad = (~torch.isfinite(values)).nonzero()[0].tolist()
        where = f"row {int(row[bad[0]])}" if row is not None else f"row {bad[0]}, column {bad[1]}"
        raise ValueError(f"data.x holds NaN or infinite values (first at {where}): clean or impute the features first")
    dtype = values.dtype if values.is_floating_point() and values.dtype.itemsize >= 4 else torch.get_default_dtype()
    if isinstance(x, CSR):
        sparse: CSR = x.with_values(values.to(dtype))
        return sparse
    if x.numel() > 100_000 and int(x.count_nonzero()) < 0.05 * x.numel():
        return CSR.from_dense(x.to(dtype))
    dense: Tensor = x.to(dtype).contiguous()
    return dense


def _edges(given: Any, n: int) -> Tensor:
    edge_index: Tensor = torch.as_tensor(given)
    if edge_index.dim() != 2 or edge_index.size(0) != 2:
        raise ValueError(f"data.edge_index must be [2, E], got shape {tuple(edge_index.shape)}")
    if edge_index.is_floating_point() or edge_index.dtype == torch.bool:
        raise ValueError(f"data.edge_index must hold integers, got {edge_index.dtype}")
    edge_index = edge_index.long()
    if edge_index.numel() and (int(edge_index.min()) < 0 or int(edge_index.max()) >= n):
        raise ValueError(
            f"data.edge_index points outside the graph: it holds {int(edge_index.min())} to {int(edge_index.max())}, "
            f"but the graph has nodes 0 to {n - 1}"
        )
    return edge_index


def _per_edge(name: str, value: Tensor | None, order: Tensor) -> Tensor | None:
    if value is None:
        return None
    if value.size(0) != order.numel():
        raise ValueError(f"data.{name} must have one row for each of the {order.numel()} edges, got {value.size(0)}")
    if value.is_floating_point() and not torch.isfinite(value).all():
        raise ValueError(f"data.{name} holds NaN or infinite values")
    return value[order]
