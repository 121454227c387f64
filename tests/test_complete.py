"""Nothing is missing: each class is in its table, has a recipe, a source and an example; each recipe runs; each name imports."""

from __future__ import annotations

import ast
import doctest
import importlib
import inspect
import math
import pkgutil
import subprocess
import sys
from dataclasses import replace
from typing import get_args

import graphs
import pytest
import torch

import graphssl
from graphssl import Graph, GraphBatches, fit, losses, side_by_side
from graphssl.augment import AUGMENTATIONS
from graphssl.augment import DESCRIPTIONS as AUGMENTATION_LINES
from graphssl.augment.compose import Compose, Identity
from graphssl.building import TAKES_EDGES, encoder_config, make, make_views
from graphssl.datasets import contextual_sbm
from graphssl.datasets.table import DATASETS
from graphssl.encoders import ENCODERS
from graphssl.evaluation.protocols import find_protocol
from graphssl.layers import ACTIVATIONS, GATConv, GCNConv, GINConv, JumpingKnowledge, SAGEConv, WeightStandardization
from graphssl.listings import ENCODERS as ENCODER_LINES
from graphssl.listings import LISTS
from graphssl.losses.table import functions
from graphssl.objectives import METHODS
from graphssl.recipes import DEFAULTS, DESCRIPTIONS, RECIPES, Diffused, GraphViews, OneView, Recipe, Structured, TwoViews, levels
from graphssl.recipes import base as recipe_base

ALL_RECIPES = [
    *[(m, name, recipe) for m, table in RECIPES.items() for name, recipe in table.items()],
    *[(m, "default", recipe) for m, recipe in DEFAULTS.items()],
]
EDGES = 3  # columns of edge_attr, for encoders that take them
SHARED_RECIPES = (Recipe, TwoViews, OneView, GraphViews, Diffused, Structured)  # whose fields are of the encoder, the views, training
each_recipe = pytest.mark.parametrize(("method", "name", "recipe"), ALL_RECIPES, ids=[f"{m}-{name}" for m, name, _ in ALL_RECIPES])


def modules() -> list[str]:
    return [m.name for m in pkgutil.walk_packages(graphssl.__path__, "graphssl.") if not m.name.endswith("__main__")]


# ---------------------------------------------------------------------- tables


def test_every_method_has_its_rows() -> None:
    assert set(METHODS) == set(RECIPES) == set(DEFAULTS) == set(DESCRIPTIONS)
    assert {cls.__name__ for cls in METHODS.values()} <= set(graphssl.__all__)


def test_every_objective_is_in_the_table() -> None:
    import graphssl.objectives as package

    found = set()
    for module in pkgutil.iter_modules(package.__path__):
        for _, cls in inspect.getmembers(importlib.import_module(f"graphssl.objectives.{module.name}"), inspect.isclass):
            if issubclass(cls, package.Objective) and cls is not package.Objective and cls.__module__.endswith(module.name):
                found.add(cls)
    assert found == set(METHODS.values())


def test_losses_match_their_table() -> None:
    named = {name for names in functions().values() for name in names}
    assert named == set(losses.__all__)
    assert not named & set(functions()), "a module hides the function of its name once it is imported"
    assert all(callable(getattr(losses, name)) for name in named)


def test_encoders_match_their_tables() -> None:
    assert set(ENCODERS) == set(ENCODER_LINES) == set(get_args(Recipe.model_fields["encoder"].annotation))
    assert set(ACTIVATIONS) == set(get_args(recipe_base.Activation))
    for options in recipe_base.ONLY_FOR.values():
        assert set(options) <= set(ENCODERS)


def test_an_option_for_some_encoders_is_an_argument_of_them_alone() -> None:
    for option, kinds in recipe_base.ONLY_FOR.items():
        for kind, build in ENCODERS.items():
            assert (option in inspect.signature(build).parameters) == (kind in kinds), (option, kind)


def test_augmentations_match_their_table() -> None:
    assert list(AUGMENTATIONS) == list(AUGMENTATION_LINES)
    assert {cls.__name__ for cls in AUGMENTATIONS.values()} <= set(graphssl.__all__)


@pytest.mark.parametrize("lines", [DESCRIPTIONS, LISTS["losses"](), ENCODER_LINES], ids=["methods", "losses", "encoders"])
def test_every_line_names_its_source(lines: dict[str, str]) -> None:
    assert [name for name, line in lines.items() if "arXiv:" not in line] == []


DOCUMENTED = [
    *METHODS.values(),
    *ENCODERS.values(),
    *(cls for cls in AUGMENTATIONS.values() if cls not in (Identity, Compose)),
    losses.bootstrap,
    losses.info_nce,
    losses.jsd,
    losses.bce,
]


@pytest.mark.parametrize("thing", DOCUMENTED, ids=lambda t: t.__name__)
def test_docstring_has_source_and_example(thing: object) -> None:
    text = inspect.getdoc(thing) or ""
    assert "arXiv:" in text
    assert doctest.DocTestParser().get_examples(text), "no example that runs"


@pytest.mark.parametrize("layer", [GCNConv, SAGEConv, GINConv, GATConv, JumpingKnowledge, WeightStandardization], ids=lambda t: t.__name__)
def test_layer_names_its_source(layer: type) -> None:
    assert "arXiv:" in (layer.__doc__ or "")


# ---------------------------------------------------------------------- names


@pytest.mark.parametrize("name", [*graphssl.__all__, "__version__"])
def test_every_public_name_imports(name: str) -> None:
    assert getattr(graphssl, name) is not None
    assert name in dir(graphssl) or name == "__version__"


@pytest.mark.parametrize("module", modules())
def test_every_module_imports_and_says_what_it_is_for(module: str) -> None:
    loaded = importlib.import_module(module)
    assert loaded.__doc__, f"{module} has no docstring"
    for name in getattr(loaded, "__all__", []):
        assert getattr(loaded, name) is not None, name


def test_unknown_names_are_refused() -> None:
    with pytest.raises(AttributeError, match="simclr"):
        _ = graphssl.simclr


def test_type_checkers_see_the_same_names() -> None:
    """The names behind ``TYPE_CHECKING`` are those that load when asked for."""
    assert graphssl.__file__ is not None
    with open(graphssl.__file__) as file:
        tree = ast.parse(file.read())
    (block,) = (node for node in tree.body if isinstance(node, ast.If))
    seen = {alias.name for node in block.body if isinstance(node, ast.ImportFrom) for alias in node.names}
    assert seen == set(graphssl.__all__)


@pytest.mark.parametrize(
    "code",
    [
        "import graphssl; dir(graphssl)",
        "import graphssl.cli",
        "import graphssl.recipes, graphssl.augment, graphssl.datasets.table",
        "from graphssl.augment import DESCRIPTIONS",
    ],
)
def test_no_torch_before_it_is_needed(code: str) -> None:
    """The command's help and listings are instant."""
    heavy = "{'torch', 'torch_geometric', 'numba', 'sklearn', 'scipy', 'pandas', 'ogb', 'networkx'}"
    script = f"import sys; {code}; loaded = sorted({heavy} & set(sys.modules)); sys.exit(', '.join(loaded) or 0)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


# ---------------------------------------------------------------------- recipes


def level_of_recipe(method: str, name: str) -> str:
    if name != "default":
        return DATASETS[name].level
    return "graph" if levels(method) == ("graph",) else "node"


def width(recipe: Recipe) -> int:
    """Features of the fake data: twenty, or as many as there are types to tell."""
    return max(20, getattr(recipe, "num_types", None) or 0)


def fake(recipe: Recipe, method: str, name: str) -> Graph | GraphBatches:
    """A small graph, or two for a data set of several, with as many features as the recipes' cheapest; at graph level ten."""
    if level_of_recipe(method, name) == "graph":
        types = [torch.randint(20, (12 + k,), generator=torch.Generator().manual_seed(k)) for k in range(10)]
        parts = [graphs.path(len(kinds)).with_x(torch.eye(width(recipe))[kinds]) for kinds in types]
        parts = [replace(g, edge_attr=torch.ones(g.num_edges, EDGES)) for g in parts] if recipe.encoder in TAKES_EDGES else parts
        return GraphBatches(parts, 5)
    first, second = (contextual_sbm(30, 3, 20, degree=6, seed=k).graph for k in range(2))
    if name != "ppi":
        return first
    return GraphBatches([first, second], recipe.batch_size) if recipe.batch_size else side_by_side([first, second])


@each_recipe
def test_recipe_takes_two_steps(method: str, name: str, recipe: Recipe) -> None:
    torch.manual_seed(0)
    net = make(method, recipe, width(recipe), EDGES)
    before = [p.clone() for p in net.encoder.parameters()]
    data = fake(recipe, method, name)
    steps = 2 if isinstance(data, Graph) else 2 * len(data)
    history = fit(
        net,
        data,
        epochs=2,
        lr=recipe.lr,
        weight_decay=recipe.weight_decay,
        optimizer=recipe.optimizer,
        schedule="constant",
        clip=recipe.clip,
        precision=recipe.precision,
    )
    assert len(history) == steps
    assert all(math.isfinite(loss) for loss in history.loss)
    assert not all(torch.equal(a, b) for a, b in zip(before, net.encoder.parameters(), strict=True))
    assert type(net) is METHODS[method]


@each_recipe
def test_recipe_is_honest(method: str, name: str, recipe: Recipe) -> None:
    """It says where it is from, is checked as the user's own would be, and names a protocol and a data set that there are."""
    assert recipe.source
    for reported in recipe.reported:
        assert 0 < reported.score < 100
        assert reported.where
        assert reported.protocol == recipe.protocol, "the published score is of another protocol"
    again = type(recipe).model_validate(recipe.model_dump())
    assert again == recipe
    assert set(vars(recipe)) == set(type(recipe).model_fields), "a copy with changes takes misspelt fields without a word"
    find_protocol(recipe.protocol)
    assert name == "default" or name in DATASETS
    assert recipe.patience is None or recipe.schedule == "constant", "patience would cut the schedule off"


@each_recipe
def test_recipe_reaches_the_objective(method: str, name: str, recipe: Recipe) -> None:
    """Each number of the method's own, and the encoder's shape, arrive where they are used."""
    net = make(method, recipe, width(recipe), EDGES)
    assert net.encoder.channels == list(recipe.channels)
    views = 2 if isinstance(recipe, Diffused) else len(recipe.structures) if isinstance(recipe, Structured) else 1
    assert net.encoder.out_channels == views * (sum(recipe.channels) if recipe.jk == "cat" else recipe.channels[-1])
    own = set(type(recipe).model_fields).difference(*(cls.model_fields for cls in SHARED_RECIPES if isinstance(recipe, cls)))
    arguments = set(inspect.signature(METHODS[method]).parameters) - {"encoder", "views", "corruption"}
    assert own == arguments, "fields and arguments differ"
    for field in own & set(vars(net)):
        assert getattr(net, field) == getattr(recipe, field)
    if isinstance(recipe, (TwoViews, OneView)):
        assert net.views == make_views(recipe)
    assert encoder_config(recipe, 20, EDGES)["name"] == recipe.encoder


@pytest.mark.parametrize("adaptive", ["none", "degree", "pagerank", "eigenvector"])
def test_views_follow_the_recipe(adaptive: str) -> None:
    recipe = TwoViews(
        drop_edges=(0.1, 0.0), mask_features=(0.0, 0.4), add_edges=(0.2, 0.0), drop_nodes=(0.0, 0.3), adaptive=adaptive, directed_drop=True
    )
    first, second = make_views(recipe)
    assert [type(v).__name__.removeprefix("Adaptive") for v in first.views] == ["AddEdges", "DropEdges"]
    assert [type(v).__name__.removeprefix("Adaptive") for v in second.views] == ["DropNodes", "MaskFeatures"]
    assert [v.p for v in first.views] == [0.2, 0.1]
    assert [v.p for v in second.views] == [0.3, 0.4]
    assert first.views[1].directed
    assert not first.keeps_nodes or second.keeps_nodes is False
    empty = TwoViews(drop_edges=(0, 0), mask_features=(0, 0))
    assert make_views(empty) == (Identity(), Identity())
    assert all(view(graphs.undirected()).num_edges >= 0 for view in (first, second))
