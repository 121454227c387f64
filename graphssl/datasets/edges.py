"""How a user's own tables of edges and nodes, and files of one graph, are told from a table of molecules; imports nothing heavy."""

from __future__ import annotations

import csv
import gzip
from collections.abc import Sequence
from pathlib import Path

from graphssl.datasets.table import is_table

NETWORKS = (".graphml", ".gml", ".gexf")  # how a file of one graph may end
EDGE_FILES = ("edges", "edge_list", "edgelist", "links")  # names, without the ending, of a table of edges in a folder
NODE_FILES = ("nodes", "node_list", "nodelist", "vertices")
PAIRS = (
    ("source", "target"),
    ("src", "dst"),
    ("from", "to"),
    ("u", "v"),
    ("head", "tail"),
    ("sender", "receiver"),
    ("start", "end"),
    ("node1", "node2"),
    ("node_1", "node_2"),
    ("id1", "id2"),
    ("id_1", "id_2"),
    *((f"{a}_{what}", f"{b}_{what}") for a, b in (("source", "target"), ("src", "dst"), ("from", "to")) for what in ("id", "node")),
)
MOLECULES = ("mol", "molecule", "structure")  # besides all in which smile stands


def edge_columns(names: Sequence[str]) -> tuple[str, str] | None:
    """The columns of a table that hold the two ends of an edge, by their names.

    Example:
        >>> edge_columns(["Source", "Target", "year"]), edge_columns(["smiles", "source", "target"]), edge_columns(["a", "b"])
        (('Source', 'Target'), None, None)
    """
    if looks_like(names) != "edges":
        return None
    known = _plain(names)
    return next((known[a], known[b]) for a, b in PAIRS if a in known and b in known)


def looks_like(names: Sequence[str]) -> str | None:
    """``"molecules"`` or ``"edges"``, by the names of a table's columns; ``None`` where they tell nothing."""
    known = _plain(names)
    if any("smile" in name or name in MOLECULES for name in known):  # where the source of a value and a target to predict are at home
        return "molecules"
    return "edges" if any(a in known and b in known for a, b in PAIRS) else None


def _plain(names: Sequence[str]) -> dict[str, str]:
    return {name.strip().lower().replace(" ", "_").replace("-", "_"): name for name in reversed(names)}


def is_network(path: str | Path) -> bool:
    """Whether a path ends like a file of one graph.

    Example:
        >>> is_network("mine.GraphML"), is_network("mine.csv")
        (True, False)
    """
    return str(path).lower().endswith(NETWORKS)


def named_so(folder: Path, names: Sequence[str]) -> Path | None:
    """The table in a folder that is called one of ``names``.

    Raises:
        ValueError: there are several.
    """
    found = [file for file in sorted(folder.iterdir()) if is_table(file) and file.name.lower().split(".")[0] in names]
    if len(found) > 1:
        raise ValueError(f"{folder} holds {' and '.join(file.name for file in found)}: keep one of them, it is not clear which to read")
    return found[0] if found else None


def holds_edges(path: Path) -> bool:
    """Whether a path is one graph in tables or in a file of its own, and not molecules or many graphs.

    Raises:
        ValueError: a folder of several tables of edges.
    """
    if path.is_dir():
        return named_so(path, EDGE_FILES) is not None
    if is_network(path):
        return True
    if not path.is_file() or not is_table(path):
        return False
    return is_edge_file(path) or edge_columns(header(path)) is not None


def is_edge_file(path: Path) -> bool:
    """Whether a table is called as one of edges is."""
    return path.name.lower().split(".")[0] in EDGE_FILES


def header(path: Path) -> list[str]:
    """The names of a table's columns; none where it cannot be read."""
    try:
        if path.suffix.lower() in (".parquet", ".pq"):
            from pyarrow import ArrowException, parquet

            try:
                return list(parquet.read_schema(path).names)
            except ArrowException:
                return []
        with gzip.open(path, "rt", encoding="utf-8-sig") if path.suffix == ".gz" else path.open(encoding="utf-8-sig") as file:
            line = file.readline()
    except (OSError, EOFError, UnicodeDecodeError):
        return []
    return next(csv.reader([line], delimiter=max(",\t;", key=line.count)), [])
