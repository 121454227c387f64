"""Recipes: the numbers of each method on each dataset, with their source; imports no torch."""

from __future__ import annotations

from pathlib import Path

from graphssl.datasets.edges import holds_edges
from graphssl.datasets.table import DATASETS, canonical, is_table
from graphssl.files import CARD
from graphssl.naming import nearest
from graphssl.recipes import (
    adgcl,
    attribute_masking,
    bgrl,
    cca_ssg,
    cmc,
    context_prediction,
    corruption,
    dgi,
    dim,
    gbt,
    grace,
    graphcl,
    graphmae,
    infograph,
    infomin,
    joao,
    moco,
    mvgrl,
    pcl,
    simgrace,
    vicreg,
)
from graphssl.recipes.base import Diffused, GraphViews, OneView, Recipe, Reported, Structured, TwoViews

RECIPES: dict[str, dict[str, Recipe]] = {
    "adgcl": {**adgcl.RECIPES},
    "attribute-masking": {**attribute_masking.RECIPES},
    "bgrl": {**bgrl.RECIPES},
    "cca-ssg": {**cca_ssg.RECIPES},
    "cmc": {**cmc.RECIPES},
    "context-prediction": {**context_prediction.RECIPES},
    "corruption": {**corruption.RECIPES},
    "dgi": {**dgi.RECIPES},
    "dim": {**dim.RECIPES},
    "gbt": {**gbt.RECIPES},
    "grace": {**grace.RECIPES},
    "graphcl": {**graphcl.RECIPES},
    "graphmae": {**graphmae.RECIPES},
    "infograph": {**infograph.RECIPES},
    "infomin": {**infomin.RECIPES},
    "joao": {**joao.RECIPES},
    "moco": {**moco.RECIPES},
    "mvgrl": {**mvgrl.RECIPES},
    "pcl": {**pcl.RECIPES},
    "simgrace": {**simgrace.RECIPES},
    "vicreg": {**vicreg.RECIPES},
}
DEFAULTS: dict[str, Recipe] = {  # for a dataset that has no row of its own
    "adgcl": adgcl.DEFAULT,
    "attribute-masking": attribute_masking.DEFAULT,
    "bgrl": bgrl.DEFAULT,
    "cmc": cmc.DEFAULT,
    "cca-ssg": cca_ssg.DEFAULT,
    "context-prediction": context_prediction.DEFAULT,
    "corruption": corruption.DEFAULT,
    "dgi": dgi.DEFAULT,
    "dim": dim.DEFAULT,
    "gbt": gbt.DEFAULT,
    "grace": grace.DEFAULT,
    "graphcl": graphcl.DEFAULT,
    "graphmae": graphmae.DEFAULT,
    "infograph": infograph.DEFAULT,
    "infomin": infomin.DEFAULT,
    "joao": joao.DEFAULT,
    "moco": moco.DEFAULT,
    "mvgrl": mvgrl.DEFAULT,
    "pcl": pcl.DEFAULT,
    "simgrace": simgrace.DEFAULT,
    "vicreg": vicreg.DEFAULT,
}
GRAPH_DEFAULTS: dict[str, Recipe] = {  # the same where whole graphs are labelled; a method that is not here needs one large graph
    "adgcl": adgcl.DEFAULT,
    "attribute-masking": attribute_masking.DEFAULT,
    "bgrl": bgrl.GRAPH_DEFAULT,
    "cmc": cmc.GRAPH_DEFAULT,
    "context-prediction": context_prediction.DEFAULT,
    "dgi": dgi.GRAPH_DEFAULT,
    "dim": dim.GRAPH_DEFAULT,
    "graphcl": graphcl.DEFAULT,
    "graphmae": graphmae.GRAPH_DEFAULT,
    "infograph": infograph.DEFAULT,
    "joao": joao.DEFAULT,
    "mvgrl": mvgrl.DEFAULT,
    "simgrace": simgrace.DEFAULT,
}
LARGE_FROM = 200_000  # nodes of a store from which the default is not to see it whole
LARGE: dict[str, dict[str, object]] = {  # what changes in the default then; other methods go through partitions
    "bgrl": bgrl.LARGE,
    "cca-ssg": cca_ssg.LARGE,
    "dgi": dgi.SAMPLED,
    "gbt": gbt.LARGE,
    "grace": grace.LARGE,
    "infomin": infomin.LARGE,
    "moco": moco.LARGE,
    "vicreg": vicreg.LARGE,
}
DESCRIPTIONS: dict[str, str] = {
    "adgcl": "AD-GCL: find a graph again though a second network drops its edges (Suresh et al., 2021, arXiv:2106.05819)",
    "attribute-masking": "Attribute masking: tell the type of hidden nodes, as the element of atoms (Hu et al., 2020, arXiv:1905.12265)",
    "bgrl": "Bootstrapped Graph Latents: predict a slow copy of the encoder, no negatives (Thakoor et al., 2022, arXiv:2102.06514)",
    "cca-ssg": "CCA-SSG: columns that agree between two views and do not correlate within one (Zhang et al., 2021, arXiv:2106.12484)",
    "cmc": "CMC: a node as one view of the structure sees it finds itself in the others (Tian et al., 2020, arXiv:1906.05849)",
    "context-prediction": "Context prediction: tell what is around a neighbourhood from what is not (Hu et al., 2020, arXiv:1905.12265)",
    "corruption": "Corruption prediction: tell what was done to the graph, as S4L tells rotations (Zhai et al., 2019, arXiv:1905.03670)",
    "dgi": "Deep Graph Infomax: tell nodes of the graph from nodes of a shuffled copy (Velickovic et al., 2019, arXiv:1809.10341)",
    "dim": "Deep InfoMax: nodes belong with their graph, embeddings with their input and a prior (Hjelm et al., 2019, arXiv:1808.06670)",
    "gbt": "G-BT, Barlow Twins on graphs: correlations of columns drawn to the identity (Bielak et al., 2022, arXiv:2106.02466)",
    "grace": "GRACE: draw a node's two views together, away from all others (Zhu et al., 2020, arXiv:2006.04131)",
    "graphcl": "GraphCL: draw a graph and an augmented view of it together, away from the others (You et al., 2020, arXiv:2010.13902)",
    "graphmae": "GraphMAE: hide features of nodes, encode, and tell them again from the neighbours (Hou et al., 2022, arXiv:2205.10803)",
    "infograph": "InfoGraph: a graph's embedding tells its own nodes from those of other graphs (Sun et al., 2020, arXiv:1908.01000)",
    "infomin": "InfoMin: views that tell of each other as little as they can, and are told together (Tian et al., 2020, arXiv:2005.10243)",
    "joao": "JOAO: GraphCL that learns how often to use each augmentation (You et al., 2021, arXiv:2106.07594)",
    "moco": "MoCo on nodes: find, among a queue of keys, what a slow copy makes of the other view (He et al., 2020, arXiv:1911.05722)",
    "mvgrl": "MVGRL: nodes of one view tell their graph as its diffusion sums it up (Hassani and Khasahmadi, 2020, arXiv:2006.05582)",
    "pcl": "PCL: GRACE, and hidden features told again, so that no shortcut suffices (Li et al., 2020, arXiv:2012.09962)",
    "simgrace": "SimGRACE: draw a graph's embedding to that of an encoder with noise on its weights (Xia et al., 2022, arXiv:2202.03104)",
    "vicreg": "VICReg: nodes' two views agree, each column varies and tells something else (Bardes et al., 2022, arXiv:2105.04906)",
}
MOLECULES: dict[str, object] = {  # what changes in a graph-level default where nodes are atoms, and edges bonds with attributes
    "encoder": "gine",
    "input": 128,
    "channels": (128, 128, 128, 128, 128),
    "expansion": 2,
    "batch_size": 256,
    "epochs": 20,
    "lr": 1e-3,
    "readout": "mean",
    "jk": "last",
    "order": "norm-act",
    "last_act": False,
    "protocol": "molecules",
    "num_types": 119,  # the first block of OGB's atom attributes is the element
}

__all__ = [
    "DEFAULTS",
    "DESCRIPTIONS",
    "Diffused",
    "GRAPH_DEFAULTS",
    "GraphViews",
    "OneView",
    "RECIPES",
    "Recipe",
    "Reported",
    "Structured",
    "TwoViews",
    "default_recipe",
    "find_method",
    "find_recipe",
    "is_known",
    "level_of",
    "levels",
]


def find_method(name: str) -> str:
    """The method of that name, whatever its case.

    Raises:
        ValueError: there is none.
    """
    if name.lower() not in RECIPES:
        raise nearest("method", name, sorted(RECIPES))
    return name.lower()


def find_recipe(method: str, dataset: str, level: str | None = None) -> Recipe:
    """The recipe of a method on a dataset; a sensible default, which says that it is one, where nothing is published.

    ``level`` is that of the user's own file, where it does not tell.

    Example:
        >>> find_recipe("dgi", "cora").channels, find_recipe("dgi", "actor").source
        ((512,), 'default: the Planetoid recipe of PetarV-/DGI')
    """
    method = find_method(method)
    given, level = level, level or level_of(dataset)
    if level not in levels(method):
        allowed = [name for name in DEFAULTS if level in levels(name)]
        raise ValueError(
            f"method {method} is for {' or '.join(levels(method))}-level data, and {dataset} is {level}-level; "
            f"allowed: {', '.join(allowed)}"
        )
    name = canonical(dataset) if is_known(dataset) else ""
    if name in RECIPES[method]:
        return RECIPES[method][name]
    if level == "graph":
        return _graph_default(method, dataset, name)
    if not name and (large := _one_large_graph(Path(dataset))) is not None:
        return _for_size(method, *large)
    if not name and (given is not None or holds_edges(Path(dataset))):  # columns that as_dataset scales
        return DEFAULTS[method].model_copy(update={"protocol": "fixed", "features": "none"})
    drawn = name and DATASETS[name].splits.startswith("20 random")
    return DEFAULTS[method].model_copy(update={"protocol": "random-10-10-80" if drawn else "fixed"})


def default_recipe(method: str, level: str, num_nodes: int = 0) -> Recipe:
    """The recipe of a method on data of one's own: a graph of so many nodes, or many graphs.

    Raises:
        ValueError: an unknown method, or one that does not train on data of this level.

    Example:
        >>> default_recipe("dgi", "graph").readout, default_recipe("bgrl", "node", 10**6).batches
        ('sum', 'partitions')
    """
    method = find_method(method)
    if level not in levels(method):
        allowed = [name for name in DEFAULTS if level in levels(name)]
        raise ValueError(f"method {method} is for {' or '.join(levels(method))}-level data, not {level}; allowed: {', '.join(allowed)}")
    return GRAPH_DEFAULTS[method] if level == "graph" else _for_size(method, "", num_nodes)


def _one_large_graph(folder: Path) -> tuple[str, int] | None:
    """The set that a store, or a folder of OGB's raw files of one graph, is of, and its nodes; ``None`` where it is neither."""
    if (folder / CARD).is_file():
        from graphssl.store.format import read_card

        card = read_card(folder)
        known = DATASETS.get(card.name)
        own = known is None or (known.family != "ogbn" and card.source != known.source)  # a file of that name, and not the set
        return "" if own else card.name, card.num_nodes
    if not folder.is_dir():
        return None
    from graphssl.datasets.ogb_layouts import layout_of, name_of, set_above

    place = set_above(folder)
    return None if place is None else (name_of(place), layout_of(place).num_nodes)


def _for_size(method: str, name: str, num_nodes: int) -> Recipe:
    """The recipe of the set of that name, where there is one; else a default that fits the size."""
    known = RECIPES[method].get(canonical(name) if name in DATASETS else "")
    if known is not None:
        return known
    changes: dict[str, object] = {"protocol": "fixed"}
    if num_nodes >= LARGE_FROM:
        changes |= LARGE.get(method, {"batches": "partitions", "features": "none"})
    return DEFAULTS[method].model_copy(update=changes)


def levels(method: str) -> tuple[str, ...]:
    """What a method trains on: ``node``-level data (one large graph), ``graph``-level data (many graphs), or both."""
    at_graphs = GRAPH_DEFAULTS.get(method)
    if at_graphs is None:
        return ("node",)
    return ("graph",) if at_graphs is DEFAULTS[method] else ("node", "graph")


def level_of(dataset: str) -> str:
    """``node`` or ``graph``: what is labelled in a dataset of the table, or in the user's own file (by its kind)."""
    if is_known(dataset):
        return DATASETS[canonical(dataset)].level
    path = Path(dataset)
    return "node" if path.suffix == ".npz" or holds_edges(path) or _one_large_graph(path) is not None else "graph"


def _graph_default(method: str, dataset: str, name: str) -> Recipe:
    recipe = GRAPH_DEFAULTS[method]
    if not (DATASETS[name].molecules if name else is_table(dataset)):
        ranked = name and DATASETS[name].metric != "accuracy"
        return recipe.model_copy(update={"protocol": "tu-logistic"}) if ranked else recipe
    changes = {field: value for field, value in MOLECULES.items() if field in type(recipe).model_fields} | recipe.molecules
    changes["source"] = f"default of this library for molecules; the method's own numbers as in: {recipe.source.removeprefix('default: ')}"
    return type(recipe).model_validate({**recipe.model_dump(), **changes})


def is_known(dataset: str) -> bool:
    """Whether ``dataset`` is meant as a name of the table, and not as a path of the user's own file."""
    return not (Path(dataset).suffix or "/" in dataset or "\\" in dataset)
