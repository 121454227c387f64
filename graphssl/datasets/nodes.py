"""One graph whose nodes have names: columns of attributes become features, one of them the labels, and the names come back out."""

from __future__ import annotations

import logging
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypedDict

import numpy as np
import scipy.sparse as sp
import torch
from torch import Tensor

from graphssl.adjacency import CSR
from graphssl.datasets.columns import MISSING, first_rows
from graphssl.datasets.dataset import Dataset
from graphssl.datasets.labels import are_few
from graphssl.datasets.own import MASKS, Bundle, assemble
from graphssl.datasets.splits import Split
from graphssl.datasets.structure import STRUCTURES, structure
from graphssl.datasets.tables import WORDS
from graphssl.naming import nearest

logger = logging.getLogger(__name__)

Values = np.ndarray | list[str | None]  # [N] or [N, K] float64 with NaN for what is missing, or words
LABELS = ("y", "label", "labels", "target", "class")  # usual names of the column of labels, the likeliest first
CATEGORIES = 1000  # a column with more different words is taken for names
FEW = 20  # different words that are categories however few nodes there are


class Choices(TypedDict, total=False):
    """What can be said of a user's own graph, where it leaves a choice."""

    targets: str | Sequence[str] | None  # column or attribute of labels, or several of 0 and 1; else one that is called y, label or class
    split: str | None  # column or attribute of train, valid and test
    attributes: Sequence[str] | None  # columns or attributes that become features; else all that can
    structure: str | None  # degree, laplacian, random-walk or constant: what nodes carry where they bring nothing, or besides
    ends: Sequence[str] | None  # the two columns of a table of edges: where an edge starts, and where it ends
    edge_weight: str | None  # column or attribute of edge weights; else one that is called weight
    directed: bool | None  # keep directions; else as the graph says, and of a table without
    node_type: str | None  # of a heterogeneous graph: the nodes
    relation: Any  # of a heterogeneous graph: the edges, or several in a row that make one step together


@dataclass
class Nodes:
    """A graph as it was read: names and columns of nodes, and edges by rows."""

    ids: list[Hashable] | None
    num_nodes: int
    ends: np.ndarray  # [2, E] int64
    weight: np.ndarray | None = None  # [E]
    directed: bool = False
    columns: dict[str, Values] = field(default_factory=dict)
    x: Any = None  # features besides, [N, F]
    name: str = "own"


def assembled(nodes: Nodes, y: Any, choices: Choices, seed: int) -> Dataset:
    """The dataset of a graph as it was read: see :func:`graphssl.as_dataset`.

    Raises:
        ValueError: a column that is not there or does not hold what it should, weights that are negative.
    """
    n, columns = nodes.num_nodes, dict(nodes.columns)
    if not n:
        raise ValueError(f"{nodes.name} has no nodes")
    adjacency = _adjacency(nodes)
    part = _taken(columns, choices.get("split"), "split")
    masks = {key: np.nan_to_num(_numbers_of(columns.pop(key), key)) > 0 for key in MASKS if key in columns}
    targets = _targets(nodes.name, columns, choices.get("targets"))
    labels, classes = (None, None) if y is None and not targets else _labels(_aligned(y, nodes.ids, n), targets)
    x, told = _features(nodes, columns, adjacency, choices)
    given = {} if labels is None else {key: torch.from_numpy(mask) for key, mask in masks.items()}
    data = assemble(nodes.name, _graph(x, adjacency, nodes.weight is not None), labels, given, seed)
    data = replace(
        data,
        source=f"the user's own; {told}",
        ids=None if nodes.ids is None else tuple(nodes.ids),
        classes=classes,
        targets=tuple(targets) if data.y.dim() == 2 and targets else None,
    )
    return data if part is None else data.with_splits(_split(str(choices.get("split")), part, data.y))


def tidy(values: Any) -> Values:
    """A column of anything as numbers or words; what is missing is NaN or ``None``.

    Example:
        >>> tidy([1, None, True]), tidy(["a", " ", "NA"]), tidy([[1, 2], [3, 4]]).shape
        (array([ 1., nan,  1.]), ['a', None, None], (2, 2))
    """
    if isinstance(values, (np.ndarray, Tensor)):
        array = np.asarray(values)
        if array.dtype.kind in "biuf":
            return array.astype(np.float64)
        values = array.tolist()
    cells = [None if is_missing(value) else value for value in values]
    known = [cell for cell in cells if cell is not None]
    if not all(isinstance(cell, str) for cell in known):
        try:
            wide = next((len(np.atleast_1d(cell)) for cell in known if np.ndim(cell)), 0)
            blank = np.full(wide, np.nan) if wide else np.nan
            return np.array([blank if cell is None else cell for cell in cells], dtype=np.float64)
        except (TypeError, ValueError):
            pass
    return [None if cell is None else str(cell).strip() for cell in cells] if known else np.full(len(cells), np.nan)


def numbered(values: Values, what: str) -> tuple[Tensor, tuple[str, ...] | None]:
    """Classes ``[N]`` of a column, -1 where nothing or -1 stands, and their names; none where they are numbered from 0 already.

    Raises:
        ValueError: numbers that are not whole.

    Example:
        >>> numbered(["tea", None, "milk"], "y"), numbered(np.array([2.0, 7.0, -1.0]), "y")
        ((tensor([ 1, -1,  0]), ('milk', 'tea')), (tensor([ 0,  1, -1]), ('2', '7')))
    """
    if isinstance(values, list):
        words = sorted({word for word in values if word is not None})
        place = {word: i for i, word in enumerate(words)}
        return torch.tensor([-1 if word is None else place[word] for word in values]), tuple(words) or None
    known = values[~np.isnan(values) & (values != -1)]
    if (known != np.floor(known)).any():
        raise ValueError(f"{what} holds {known[known != np.floor(known)][0]:g}: classes of nodes are words or whole numbers")
    found = np.unique(known)
    codes = np.where(np.isnan(values) | (values == -1), -1, np.searchsorted(found, values)).astype(np.int64)
    plain = np.array_equal(found, np.arange(len(found)))
    return torch.from_numpy(codes), None if plain else tuple(f"{value:.0f}" for value in found)


def rows_by_name(ids: Sequence[Hashable]) -> dict[Hashable, int]:
    """The row of each name.

    Raises:
        ValueError: a name stands there twice.
    """
    rows = {name: row for row, name in enumerate(ids)}
    if len(rows) < len(ids):
        seen: set[Hashable] = set()
        twice = next(name for name in ids if name in seen or seen.add(name))  # type: ignore[func-returns-value]
        raise ValueError(f"the node {twice!r} stands there twice")
    return rows


def is_missing(value: Any, *, words: bool = True) -> bool:
    """Whether nothing stands there: ``None``, NaN, pandas' NA, and words such as NA.

    Example:
        >>> is_missing("NA"), is_missing("NA", words=False), is_missing(float("nan")), is_missing((1, 2))
        (True, False, True, False)
    """
    if isinstance(value, str):
        return words and value.strip().lower() in MISSING
    if type(value).__name__ in ("NAType", "NaTType"):  # pandas
        return True
    return value is None or (isinstance(value, (float, np.floating)) and bool(value != value))


# ---------------------------------------------------------------------- helpers


def _is_matrix(values: Values) -> bool:
    return isinstance(values, np.ndarray) and values.ndim == 2


def _taken(columns: dict[str, Values], name: str | None, argument: str) -> Values | None:
    """The column of that name, which then is no feature."""
    if name is None:
        return None
    if name not in columns:
        raise ValueError(f"{argument}: nodes have no {name!r}; they have {', '.join(map(repr, columns)) or 'no attributes'}")
    return columns.pop(name)


def _targets(name: str, columns: dict[str, Values], given: str | Sequence[str] | None) -> dict[str, Values]:
    if given is not None:
        wanted = [given] if isinstance(given, str) else list(given)
        return {column: found for column in wanted if (found := _taken(columns, column, "targets")) is not None}
    lower = {column.lower(): column for column in reversed(list(columns))}
    for usual in LABELS:
        column = lower.get(usual)
        if column is None:
            continue
        known = [v for v in columns[column] if v is not None and v == v] if not _is_matrix(columns[column]) else []
        if known and are_few(known):
            logger.info("%s: labels are %r", name, column)
            return {column: columns.pop(column)}
    return {}


def _labels(y: Any, targets: dict[str, Values]) -> tuple[Any, tuple[str, ...] | None]:
    if y is not None:
        if isinstance(y, (Tensor, np.ndarray)) and y.ndim == 2:
            return y, None
        if isinstance(y, Tensor) or (isinstance(y, np.ndarray) and y.dtype.kind in "biuf"):
            return torch.as_tensor(y), None  # numbers by their type are classes as they stand
        return numbered(tidy(y), "y")
    names = list(targets)
    if len(names) == 1 and not _is_matrix(targets[names[0]]):
        return numbered(targets[names[0]], f"targets: {names[0]!r}")
    columns = [_numbers_of(targets[name], name).reshape(len(targets[name]), -1) for name in names]
    return torch.from_numpy(np.concatenate(columns, axis=1).astype(np.float32)), None


def _numbers_of(values: Values, name: str) -> np.ndarray:
    if isinstance(values, list):
        truth = {"true": 1.0, "false": 0.0}
        if not {word.lower() for word in values if word is not None} <= set(truth):
            raise ValueError(f"{name!r} must hold numbers, and holds words")
        return np.array([np.nan if word is None else truth[word.lower()] for word in values])
    return values


def _aligned(values: Any, ids: list[Hashable] | None, n: int) -> Any:
    """A row each, in the order of the nodes, from a dictionary or a pandas object by name; anything else has them in order already."""
    if values is None or not (isinstance(values, Mapping) or hasattr(values, "loc")):
        if values is not None and hasattr(values, "__len__") and not hasattr(values, "shape") and len(values) != n:
            raise ValueError(f"y must have one entry for each of the {n} nodes, got {len(values)}")
        return values
    if hasattr(values, "loc"):
        if ids is None or len(set(values.index) & set(ids)) == 0:
            return values.to_numpy()
        values = dict(zip(values.index, values.to_numpy().tolist(), strict=True))
    rows = rows_by_name(ids if ids is not None else list(range(n)))
    odd = [name for name in values if name not in rows]
    if odd:
        raise ValueError(f"y names {odd[0]!r}{f' and {len(odd) - 1} more' if len(odd) > 1 else ''}, and there is no such node")
    return [values.get(name) for name in rows]


def _adjacency(nodes: Nodes) -> sp.csr_matrix:
    """Weights ``[N, N]`` by source and target; an edge that is listed again counts once, its weights add up."""
    n, weight = nodes.num_nodes, nodes.weight
    if weight is not None and not (np.isfinite(weight) & (weight >= 0)).all():
        bad = np.flatnonzero(~(np.isfinite(weight) & (weight >= 0)))
        raise ValueError(f"the weight of edges must be a number from 0 on, and is not in {first_rows(bad)} of the edges")
    values = np.ones(nodes.ends.shape[1]) if weight is None else weight.astype(np.float64)
    found = sp.csr_matrix((values, nodes.ends), shape=(n, n))
    found.sum_duplicates()
    if not nodes.directed and (found != found.T).nnz:  # a list of both directions stays as it is
        found = (found + found.T - sp.diags_array(found.diagonal())).tocsr()
    return found


def _graph(x: Any, adjacency: sp.csr_matrix, weighted: bool) -> Any:
    edges = adjacency.tocoo()
    weight = torch.from_numpy(edges.data).float() if weighted and (edges.data != 1).any() else None
    return Bundle(x, torch.from_numpy(np.stack([edges.row, edges.col]).astype(np.int64)), weight).graph


def _features(nodes: Nodes, columns: dict[str, Values], adjacency: sp.csr_matrix, choices: Choices) -> tuple[Any, str]:
    """Features ``[N, F]``, and what they are, in words."""
    from graphssl.datasets.loading import features

    wanted, kind = choices.get("attributes"), choices.get("structure")
    if kind is not None and kind not in STRUCTURES:
        raise nearest("structure", kind, list(STRUCTURES))
    if wanted is not None:
        wanted = [wanted] if isinstance(wanted, str) else wanted
        columns = {name: found for name in wanted if (found := _taken(columns, name, "attributes")) is not None}
    blocks, told = [], []
    if nodes.x is not None:
        x = nodes.x.tocsr() if sp.issparse(nodes.x) else np.asarray(_aligned(nodes.x, nodes.ids, nodes.num_nodes), dtype=np.float32)
        blocks.append(sp.csr_matrix(x if sp.issparse(x) else x.reshape(len(x), -1)))
        told.append(f"{blocks[0].shape[1]} given")
    for name, values in columns.items():
        block, what = _block(values, forced=wanted is not None)
        told.append(f"{name} ({what})")
        if block is not None:
            blocks.append(block)
    if told:
        logger.info("%s: features are %s", nodes.name, ", ".join(told))
    if any(block.shape[0] != nodes.num_nodes for block in blocks):
        raise ValueError(f"x must have one row for each of the {nodes.num_nodes} nodes, got {blocks[0].shape[0]}")
    if blocks and kind is None:
        return features(sp.hstack(blocks).tocsr().astype(np.float32)), f"features {', '.join(told)}"
    if not blocks:
        logger.info("%s: nodes bring no features; they carry structure %r%s", nodes.name, kind or "degree", "" if kind else " (structure=)")
        return structure(kind or "degree", adjacency), f"no features: structure {kind or 'degree'}"
    assert kind is not None
    more = structure(kind, adjacency)
    dense = more.to_dense() if isinstance(more, CSR) else more
    both = sp.hstack([*blocks, sp.csr_matrix(np.asarray(dense))]).tocsr().astype(np.float32)
    return features(both), f"features {', '.join(told)} and structure {kind}"


def _block(values: Values, *, forced: bool) -> tuple[sp.csr_matrix | None, str]:
    """A column as features: numbers at mean 0 and deviation 1, but for 0 and 1 and vectors, which stay; words one-hot; missing is 0."""
    if isinstance(values, list):
        words = sorted({word for word in values if word is not None})
        known = sum(word is not None for word in values)
        if not forced and (len(words) > CATEGORIES or len(words) > max(FEW, known // 2)):
            return None, f"left out: {len(words):,} different words look like names"
        place = {word: i for i, word in enumerate(words)}
        pairs = [(row, place[word]) for row, word in enumerate(values) if word is not None]
        at = np.array(pairs, dtype=np.int64).reshape(-1, 2).T
        return sp.csr_matrix((np.ones(len(pairs)), at), shape=(len(values), len(words))), f"{len(words)} values, one-hot"
    if np.isinf(values).any():
        raise ValueError(f"a column of nodes holds an infinite value in {first_rows(np.flatnonzero(np.isinf(values)))}")
    known_numbers = values[~np.isnan(values)]
    if not len(known_numbers):
        return None, "left out: empty"
    if values.ndim == 2:
        return sp.csr_matrix(np.nan_to_num(values)), f"{values.shape[1]} numbers"
    if np.isin(known_numbers, (0, 1)).all():
        return sp.csr_matrix(np.nan_to_num(values)[:, None]), "0 or 1"
    mean, std = known_numbers.mean(), known_numbers.std()
    return sp.csr_matrix(np.nan_to_num((values - mean) / (std if std > 1e-9 * abs(mean) else 1.0))[:, None]), "a number, standardised"


def _split(name: str, part: Values, y: Tensor) -> Split:
    words: Iterable[Any] = part if isinstance(part, list) else [None if code != code else str(code) for code in part]
    codes = torch.tensor([-1 if word is None else WORDS.get(word.lower(), 3) for word in words])
    if bool((codes == 3).any()):
        raise ValueError(f"split: {name!r} must hold train, valid or test, and does not in row {int((codes == 3).nonzero()[0])}")
    labelled = (y >= 0) if y.dim() == 1 else ~y.isnan().any(1)
    train, val, test = (((codes == i) & labelled).nonzero().squeeze(1) for i in range(3))
    return Split(name, train, val, test)
