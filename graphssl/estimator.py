"""Pre-training as scikit-learn's estimators do it: ``GraphSSL`` embeds, ``GraphSSLClassifier`` predicts too."""

from __future__ import annotations

from collections.abc import Hashable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp
import torch
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.neighbors import kneighbors_graph
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_array, check_is_fitted
from torch import Tensor
from typing_extensions import Self

from graphssl.building import encoder_config, make, make_batches
from graphssl.datasets import DATASETS, Dataset, as_dataset
from graphssl.embedding import embed
from graphssl.graph import Graph
from graphssl.naming import nearest
from graphssl.pipeline import OPTIONS
from graphssl.random import seeded
from graphssl.recipes import DEFAULTS, GRAPH_DEFAULTS, Recipe, default_recipe, find_method, find_recipe, levels
from graphssl.recipes.base import changed
from graphssl.saving import open_estimator, save_estimator
from graphssl.training import train

TABLE = "the user's own table, nearest rows joined"
SCALED = "the user's own; "  # columns that as_dataset has scaled already
SEEDS = 2**31 - 1  # drawn where random_state is no number


class GraphSSL(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """Pre-train an encoder on a graph, or on many, without labels; ``transform`` gives embeddings.

    What ``X`` is, and what its rows are:

    - a graph, whose nodes are the rows: whatever :func:`graphssl.as_dataset` takes (NetworkX, PyG, ``(x, edge_index)``, a square SciPy
      matrix, pandas, a path, a Dataset). ``transform`` takes another graph with the same features too;
    - with ``graph=`` given, some of its nodes, ``[n]`` or ``[n, 1]``: by name where they have names, by row number otherwise. This is the
      form for ``GridSearchCV`` and ``cross_val_score``, which divide rows: pre-training sees the whole graph and never a label
      (the transductive setting), and the rows say which embeddings are asked for;
    - a list (or array of objects) of graphs, which are the rows: it can be divided as it is;
    - a table of numbers ``[n, F]`` without a graph: each row is joined with its ``n_neighbors`` nearest, and columns are standardised.

    The recipe is the method's own where ``X`` is a named Dataset, else its default; every field of it can be set here by its name, and
    found by ``set_params`` and a grid: ``GraphSSL("bgrl", drop_edges=(0.3, 0.3))``. ``graphssl show METHOD DATASET`` lists them.

    Args:
        method: which; ``graphssl list methods``.
        graph: the graph whose nodes ``X`` names.
        n_neighbors: of a table of numbers, neighbours each row is joined with.
        random_state: a seed gives the numbers of ``graphssl train --seed``; ``None`` draws one.
        device: where to train, such as ``"cuda"``; by default the CPU.
        encoder: kind of encoder, as the next four of the recipe.
        channels: width of each layer.
        epochs: passes over the data.
        lr: peak learning rate.
        batch_size: graphs, or seeds, a step.
        fields: all other fields of the recipe.

    Attributes:
        encoder_: the trained encoder.
        embedding_: ``[n, D]`` of what was fitted: of all nodes where ``graph`` is given.
        history_: step, epoch, loss and learning rate of each step.
        recipe_: the recipe as it ran.
        n_features_in_: features of a node.
        ids_: names of the rows of ``embedding_``, or ``None``.
        seed_: the seed.

    Raises:
        TypeError: at construction, a field that no method has.
        ValueError: in ``fit``, a field that this method does not have, a value out of range, data that are no graph.

    Example:
        >>> import networkx as nx
        >>> model = GraphSSL("dgi", channels=(8,), epochs=2, random_state=0)
        >>> model.fit_transform(nx.karate_club_graph()).shape
        (34, 8)

    Deviation:
        Where the recipe rescales features, it is by the statistics of the graph they are in, as on the command, also in ``transform``.
    """

    def __init__(
        self,
        method: str = "bgrl",
        *,
        graph: Any = None,
        n_neighbors: int = 10,
        random_state: Any = None,
        device: str | None = None,
        encoder: str | None = None,
        channels: Any = None,
        epochs: int | None = None,
        lr: float | None = None,
        batch_size: int | None = None,
        **fields: Any,
    ) -> None:
        self.method = method
        self.graph = graph
        self.n_neighbors = n_neighbors
        self.random_state = random_state
        self.device = device
        self.encoder = encoder
        self.channels = channels
        self.epochs = epochs
        self.lr = lr
        self.batch_size = batch_size
        for name, value in fields.items():
            if name not in recipe_fields():
                raise TypeError(str(nearest("parameter", name, sorted(recipe_fields()))))
            setattr(self, name, value)

    # ------------------------------------------------------------------ parameters

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """All parameters, and the fields of the recipe that were given."""
        names = {*self._get_param_names(), *self._fields()}
        return {name: getattr(self, name) for name in sorted(names)}

    def set_params(self, **params: Any) -> Self:
        """Set parameters, and any fields of the recipe.

        Raises:
            ValueError: one that is neither.
        """
        known = {*self._get_param_names(), *recipe_fields()}
        for name in params:
            if name not in known:
                raise ValueError(f"Invalid parameter {name!r} for estimator {self}: {nearest('parameter', name, sorted(known))}")
        for name, value in params.items():
            setattr(self, name, value)
        return self

    # ------------------------------------------------------------------ fit, transform

    def fit(self, X: Any, y: Any = None) -> Self:
        """Pre-train on ``X``; ``y`` is not looked at."""
        self._pretrain(X)
        return self

    def fit_transform(self, X: Any, y: Any = None, **params: Any) -> np.ndarray:
        """Pre-train on ``X``, and its embedding."""
        transformed: np.ndarray = self.fit(X, y, **params).transform(X)
        return transformed

    def transform(self, X: Any) -> np.ndarray:
        """Embeddings ``[n, D]`` of nodes or graphs.

        Raises:
            ValueError: other features or another level than what was fitted, or a node that is not there.
        """
        return self._embeddings(X)

    # ------------------------------------------------------------------ files

    def save(self, path: str | Path, *, force: bool = False) -> None:
        """Write a run folder, as ``graphssl train`` does; nothing is pickled. ``graph`` is left out, its embeddings and names are not.

        Raises:
            ValueError: something stands there, and ``force`` is not set.
        """
        check_is_fitted(self, "encoder_")
        save_estimator(self, Path(path), force=force)

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Read a run folder that :meth:`save` or ``graphssl train`` wrote.

        Raises:
            ValueError: the folder is none, or damaged.
        """
        return open_estimator(cls, Path(path))

    # ------------------------------------------------------------------ helpers

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = []  # embeddings are float32
        return tags

    def _fields(self) -> list[str]:
        """Fields of the recipe that were given besides the parameters that stand in the constructor."""
        return [name for name in vars(self) if name in recipe_fields() and name not in self._get_param_names()]

    def _embeddings(self, X: Any) -> np.ndarray:
        check_is_fitted(self, "encoder_")
        if self.by_name_:
            found: np.ndarray = self.embedding_[self._rows(X)]
            return found
        data = self._dataset(X, fitted=True)
        if data.level != self.level_:
            raise ValueError(f"X must be {self.level_}-level, as what was fitted, got {data.level}-level")
        if data.num_features != self.n_features_in_:
            name = type(self).__name__
            raise ValueError(f"X has {data.num_features} features, but {name} is expecting {self.n_features_in_} features as input")
        found = embed(self.encoder_, data.preprocess(self.recipe_.features)).numpy()
        return found

    def _pretrain(self, X: Any) -> Dataset:
        data = self._dataset(self.graph if self.graph is not None else X)
        recipe = self._recipe(data)
        seed = self.random_state
        if not isinstance(seed, (int, np.integer)):
            seed = check_random_state(seed).randint(SEEDS)
        self.by_name_ = self.graph is not None
        self.ids_, self.level_, self.n_rows_ = data.ids, data.level, data.num_rows
        self.method_, self.recipe_, self.seed_ = find_method(self.method), recipe, int(seed)
        self.n_features_in_ = data.num_features
        self.data_ = {"summary": data.summary(), "fingerprint": data.fingerprint, "source": data.source}
        if self.by_name_:
            self._rows(X)  # says at once what is no node
        data = data.preprocess(recipe.features)
        batches = make_batches(recipe, data, self.seed_)
        with seeded(self.seed_):
            objective = make(self.method_, recipe, data.num_features, data.num_edge_features)
        options = {name: getattr(recipe, name) for name in OPTIONS}
        steps = train(objective, batches, seed=self.seed_, device=self.device, **options)
        self.history_ = [{"step": s.number, "epoch": s.epoch, "loss": float(s.loss), "lr": s.lr} for s in steps]
        self.encoder_ = objective.encoder.cpu().eval()
        self.encoder_config_ = encoder_config(recipe, data.num_features, data.num_edge_features)
        self.embedding_ = embed(self.encoder_, data).numpy()
        self._n_features_out = self.embedding_.shape[1]
        return data

    def _recipe(self, data: Dataset) -> Recipe:
        method = find_method(self.method)
        named = data.name in DATASETS and data.source == DATASETS[data.name].source and data.level in levels(method)
        recipe = find_recipe(method, data.name) if named else default_recipe(method, data.level, data.num_nodes)
        names = ("encoder", "channels", "epochs", "lr", "batch_size", *self._fields())
        given = {name: value for name in names if (value := getattr(self, name)) is not None}
        if data.source == TABLE:  # columns of any scale
            given = {"features": "standardize", **given}
        elif data.source.startswith(SCALED):
            given = {"features": "none", **given}
        return changed(recipe, given)

    def _dataset(self, X: Any, *, fitted: bool = False) -> Dataset:
        if isinstance(X, (Dataset, Graph, tuple, str, Path)) or not is_table(X):
            return as_dataset(list(X) if isinstance(X, np.ndarray) else X)
        table = check_array(X, dtype=np.float32, ensure_min_samples=1 if fitted else 2, estimator=self)
        near = min(self.n_neighbors, len(table) - 1)
        links = kneighbors_graph(table, near, mode="connectivity") if near else sp.csr_matrix((len(table), len(table)))
        edges = links.maximum(links.T).tocoo()
        index = torch.from_numpy(np.stack([edges.row, edges.col]).astype(np.int64))
        graph = Graph.of((torch.from_numpy(np.ascontiguousarray(table)), index))
        return Dataset("own", (graph,), torch.full((len(table),), -1), source=TABLE)

    def _rows(self, X: Any) -> np.ndarray:
        """Rows of ``embedding_`` that ``X`` names."""
        values = X.to_numpy() if hasattr(X, "to_numpy") else X.numpy() if isinstance(X, Tensor) else X
        if isinstance(values, np.ndarray) and values.ndim == 2 and values.shape[1] == 1:
            values = values[:, 0]
        if not isinstance(values, (list, tuple, range)) and getattr(values, "ndim", 0) != 1:
            raise ValueError(f"X must name nodes of graph=, [n] or [n, 1], got {type(X).__name__} {getattr(X, 'shape', '')}")
        names = values.tolist() if isinstance(values, np.ndarray) else [v[0] if isinstance(v, list) and len(v) == 1 else v for v in values]
        place = {name: row for row, name in enumerate(range(self.n_rows_) if self.ids_ is None else self.ids_)}
        odd = [name for name in names if not isinstance(name, Hashable) or name not in place]
        if odd:
            raise ValueError(f"X names {odd[0]!r}{f' and {len(odd) - 1} more' if len(odd) > 1 else ''}, and the graph has no such node")
        return np.array([place[name] for name in names], dtype=np.int64)


@cache
def recipe_fields() -> frozenset[str]:
    """All fields of all recipes that can be set."""
    recipes = (*DEFAULTS.values(), *GRAPH_DEFAULTS.values())
    return frozenset(name for recipe in recipes for name in type(recipe).model_fields if name not in ("source", "reported"))


def is_table(X: Any) -> bool:
    """Rows of numbers, and no graph or graphs."""
    if hasattr(X, "iloc"):
        return all(getattr(kind, "kind", "O") in "biuf" for kind in getattr(X, "dtypes", [None]))
    if isinstance(X, (list, range)):
        return not len(X) or isinstance(X[0], (list, int, float, str, np.ndarray, np.number))
    if isinstance(X, np.ndarray) and X.dtype == object and X.ndim == 1 and len(X):
        return X[0] is None or bool(np.isscalar(X[0]))
    return isinstance(X, (np.ndarray, Tensor)) or hasattr(X, "__array__") or (sp.issparse(X) and X.shape[0] != X.shape[1])
