"""A user's folder of graph files, each a row of the labels."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from graphssl.datasets.collection import from_graphs
from graphssl.datasets.dataset import Dataset
from graphssl.datasets.labels import parsed

FILES = (".graphml", ".gml", ".gexf")
LABELS, KEYS = "labels.csv", ("file", "name")


def from_folder(path: str | Path, *, metric: str | None = None, seed: int = 0) -> Dataset:
    """A graph-level Dataset from a folder of ``.graphml``, ``.gml`` and ``.gexf`` files, one graph each, in the order of their names.

    Read by NetworkX and made into features as in :func:`~graphssl.datasets.from_graphs`. A node's ``label`` in GML and GEXF and an edge's
    ``id`` are names in these formats and no features. Labels are in ``labels.csv`` beside them (a column ``file`` or ``name``, with or
    without the ending, and a column a label; a cell may be empty, or NA or the like), or else in the graphs' own attribute ``y`` or
    ``label``. What they are is decided as there: of two classes, too, the metric is accuracy (of a table of molecules, ROC-AUC).

    Raises:
        ValueError: no such files, one that cannot be read, a row of ``labels.csv`` without file; and what :func:`from_graphs` refuses.

    Example:
        >>> import networkx as nx, tempfile
        >>> folder = Path(tempfile.mkdtemp())
        >>> for n in (3, 4): nx.write_gml(nx.cycle_graph(n), folder / f"ring{n}.gml")
        >>> _ = (folder / "labels.csv").write_text("file,odd\\nring3.gml,1\\nring4,0\\n")
        >>> data = from_folder(folder)
        >>> data.num_graphs, data.y, data.ids
        (2, tensor([1, 0]), ('ring3.gml', 'ring4.gml'))
    """
    path = Path(path).expanduser()
    files = sorted(file for file in path.iterdir() if file.suffix.lower() in FILES)
    if not files:
        raise ValueError(
            f"{path} is a folder that holds no graphs: {', '.join(FILES)} files, or a TUDataset's <NAME>_A.txt, <NAME>_graph_indicator.txt "
            "and <NAME>_graph_labels.txt are needed"
        )
    names = [file.name for file in files]
    table = path / LABELS
    y, columns = _read_labels(table, names) if table.is_file() else (None, None)
    try:
        return from_graphs([read_network(file) for file in files], y, metric=metric, ids=names, targets=columns, name=path.name, seed=seed)
    except ValueError as error:
        raise ValueError(f"{path} ({names[0]} is graph 0): {error}") from error


def read_network(path: Path, *, named: bool = False) -> Any:
    """The NetworkX graph in a ``.graphml``, ``.gml`` or ``.gexf`` file; ``named``: nodes are called by their ``label`` where all differ.

    Raises:
        ValueError: it cannot be read.
    """
    import networkx as nx

    try:
        if path.suffix.lower() == ".graphml":
            graph = nx.read_graphml(path)
        else:
            graph = nx.read_gml(path, label="id") if path.suffix.lower() == ".gml" else nx.read_gexf(path)
            labels = {node: attributes.pop("label", None) for node, attributes in graph.nodes(data=True)}
            if named and None not in labels.values() and len(set(labels.values())) == len(labels):
                graph = nx.relabel_nodes(graph, labels)
    except Exception as error:  # the parsers fail in many ways
        raise ValueError(f"{path.name} cannot be read: {type(error).__name__}: {error}") from error
    for edge in graph.edges(data=True):
        edge[-1].pop("id", None)
    return graph


# ---------------------------------------------------------------------- helpers


def _read_labels(path: Path, names: list[str]) -> tuple[list[Any], list[str]]:
    """A label, or a list of labels, for each file; and the names of the columns."""
    with path.open(newline="", encoding="utf-8-sig") as file:
        rows: Iterator[list[str]] = csv.reader(file)
        header = next(rows, [])
        if len(header) < 2 or header[0].strip().lower() not in KEYS:
            raise ValueError(f"{path} must begin with a line of names: {' or '.join(KEYS)}, then the labels; it begins with {header}")
        known = {stem: name for name in names for stem in (name, name.rsplit(".", 1)[0])}
        found: dict[str, list[str]] = {}
        for number, row in enumerate(rows, start=2):
            if not row:
                continue
            name = known.get(row[0].strip())
            if name is None or name in found or len(row) != len(header):
                what = "names no file here" if name is None else "names a file again" if name in found else f"has not {len(header)} cells"
                raise ValueError(f"{path}, line {number} ({', '.join(row)}) {what}")
            found[name] = row[1:]
    columns = [parsed([found[name][k] if name in found else "" for name in names]) for k in range(len(header) - 1)]
    return (columns[0] if len(columns) == 1 else [list(row) for row in zip(*columns, strict=True)]), header[1:]
