"""The door for a user's own data: an object or a path of any kind that the library reads, as a Dataset."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from typing_extensions import Unpack

from graphssl.datasets.dataset import Dataset
from graphssl.datasets.nodes import Choices


def as_dataset(data: Any, y: Any = None, *, x: Any = None, name: str = "own", seed: int = 0, **choices: Unpack[Choices]) -> Dataset:
    """A Dataset from a graph, or many, as NetworkX, PyG, DGL, SciPy or pandas hold them, or from a file or folder.

    One graph, whose nodes are the rows:

    - a NetworkX graph: attributes of nodes become features, and the nodes' names, whatever they are, ``ids``;
    - a square SciPy matrix, or a pair ``(x, matrix)``: entry ``[i, j]`` is the weight of the edge from ``i`` to ``j``;
    - pandas: a frame of edges, a pair of frames of edges and of nodes, or ``{"edges": ..., "nodes": ...}``. The ends of an edge are columns
      such as source and target; a node's name is the column (id, node, name, ...) or the index that has all ends of edges;
    - a file of edges (CSV or Parquet, columns as in pandas), a folder of ``edges.csv`` and ``nodes.csv`` (or Parquet), or a GraphML, GML
      or GEXF file;
    - PyG ``Data``, a ``Graph``, a pair ``(x, edge_index)``, an ``.npz`` file; a DGL graph; PyG ``HeteroData`` by ``node_type`` and
      ``relation``: one kind of edges, as a tuple or ``"paper__cites__paper"``, or several in a row that lead back (paper, author, paper).

    Columns and attributes: numbers at mean 0 and deviation 1 (0 and 1 and vectors as they are), words one-hot, missing ones zero. Words
    that differ nearly everywhere look like names and are left out. Edges without a direction stand in both; one that is listed again counts
    once, its weights added up. Where nodes bring nothing, they carry a ``structure``, and ``source`` of the Dataset says which.

    Many graphs, each of which is a row: a list, a folder of files, or a table of SMILES (:func:`graphssl.load` says more).

    Args:
        data: an object, or a path.
        y: labels of an object: in the order of the rows, or by name (a dictionary, a pandas Series). Words and ``None`` will do; -1 and NaN
            are unlabelled.
        x: features of an object that has edges only, ``[N, F]``: an array, a sparse matrix, or a frame by name.
        name: of the dataset.
        seed: of random splits, where at least ten nodes have a label and nothing says which are for testing.
        choices: ``targets``: column of the labels (by default one called y, label, target or class that holds a few values), or several
            of 0 and 1; ``split``: column of train, valid and test; ``attributes``: which columns become features; ``structure``: degree
            (what featureless nodes carry by default), laplacian, random-walk or constant (:mod:`graphssl.datasets.structure`), besides
            features where there are some; ``ends`` (two) and ``edge_weight``: columns of edges; ``directed``: keep directions (by default
            as the graph says; a table of edges has none); ``node_type`` and ``relation``.

    Raises:
        ValueError: something else, an end of an edge that is no node, a node named twice, columns that are not there, labels that are not
            a row each, a table that is neither clearly of edges nor of molecules.

    Example:
        >>> import networkx as nx
        >>> club = nx.karate_club_graph()
        >>> data = as_dataset(club, targets="club", seed=1)
        >>> data.num_nodes, data.classes, data.ids[:3], data.source
        (34, ('Mr. Hi', 'Officer'), (0, 1, 2), "the user's own; no features: structure degree")
    """
    if isinstance(data, (str, Path)):
        if y is not None or x is not None:
            raise ValueError(f"y and x are for graphs in memory; {str(data)!r} comes with its labels and features")
        from graphssl.datasets.loading import load

        return load(Path(data), seed=seed, **choices)
    from graphssl.datasets.own import from_object

    return from_object(data, y=y, x=x, name=name, seed=seed, choices=choices)
