"""A step of training: ours, in float32 and bf16, beside the usual ways of writing it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from torch import Tensor

from benchmarks.sampling import heavy_tailed
from benchmarks.speed.floor import floor
from benchmarks.speed.measure import Peak, Phases, alternate, child, clock, medians, room_for, spread
from benchmarks.speed.peers import PEERS, Usual
from graphssl.adjacency import CSR, Pattern
from graphssl.building import make
from graphssl.graph import Graph
from graphssl.random import seeded
from graphssl.recipes import find_recipe
from graphssl.recipes.base import TwoViews
from graphssl.recipes.bgrl import BASE
from graphssl.training import train

GRAPHS = ("cora", "amazon-photo", "coauthor-cs", "coauthor-physics", "arxiv-shaped")
NEEDS = {"coauthor-cs": 6.0, "coauthor-physics": 9.0, "arxiv-shaped": 13.0, "pubmed": 13.0}  # GB, of the usual ways
ROUNDS = 7
ROUTES = {"bgrl": ("graphssl", "bf16", "pyg", "official"), "grace": ("graphssl", "bf16", "dense")}
ARXIV = BASE.model_copy(  # no published recipe has batch norm there: the widths are BGRL's for this set, the views those of WikiCS
    update={"channels": (256, 256), "hidden": 256, "drop_edges": (0.2, 0.3), "mask_features": (0.2, 0.1), "lr": 5e-4}
)
TINY = BASE.model_copy(update={"channels": (16, 8), "hidden": 16, "drop_edges": (0.4, 0.1), "mask_features": (0.1, 0.2)})


def graph_and_recipe(name: str, method: str = "bgrl", root: str | None = None) -> tuple[Graph, TwoViews]:
    """What the recipe trains on, its features prepared, and the recipe; ``arxiv-shaped`` and ``tiny`` are made up."""
    if name in ("arxiv-shaped", "tiny"):
        if name == "tiny":
            recipe: Any = TINY if method == "bgrl" else find_recipe("grace", "pubmed").model_copy(update={"channels": (16, 8), "hidden": 8})
            return words(heavy_tailed(300, 1_500), 400, 8), recipe
        g = heavy_tailed(169_343, 2_228_000)  # which draws a few more, as many as ogbn-arxiv has both ways
        return g.with_x(torch.randn(g.num_nodes, 128, generator=torch.Generator().manual_seed(0))), ARXIV
    from graphssl.datasets import load

    recipe = find_recipe(method, name)
    return load(name, root).preprocess(recipe.features).graph, recipe


def words(g: Graph, features: int, a_node: int) -> Graph:
    """The graph with sparse rows of ``a_node`` entries for features."""
    rng = np.random.default_rng(0)
    n = g.num_nodes
    col = np.sort((rng.integers(0, features, (n, 1)) + np.arange(a_node) * (features // a_node)) % features, axis=1)
    pattern = Pattern(torch.arange(0, n * a_node + 1, a_node), torch.from_numpy(col.ravel()), features)
    return g.with_x(CSR(pattern, torch.full((n * a_node,), 1.0 / a_node)))


class Ours:
    """The library's own training, whose steps are timed in parts from outside."""

    def __init__(self, method: str, g: Graph, recipe: TwoViews, precision: Literal["float32", "bf16"] = "float32") -> None:
        with seeded(0):
            self.objective = make(method, recipe, g.num_features)
        self.training = train(
            self.objective, g, epochs=100_000, lr=recipe.lr, weight_decay=recipe.weight_decay, optimizer=recipe.optimizer,
            warmup=recipe.warmup, schedule=recipe.schedule, precision=precision,
        )  # fmt: skip
        self.times: Phases = {}
        self.in_views = 0.0
        self.objective.register_forward_pre_hook(lambda *_: self._mark("start"))
        self.objective.register_forward_hook(lambda *_: self._mark("forward"))
        self.training.trainer.optimizer.register_step_pre_hook(lambda *_: self._mark("backward"))
        self.training.trainer.optimizer.register_step_post_hook(lambda *_: self._mark("optimiser"))

    def _mark(self, part: str) -> None:
        self.times[part] = clock()

    def step(self) -> Phases:
        """One step, in its parts; views that are drawn elsewhere than by their own call count as forward."""
        self.times, self.in_views = {}, 0.0
        start = clock()
        with self._views_timed():
            next(self.training)
        end = clock()
        marks = [self.times.get(part, end) for part in ("forward", "backward", "optimiser")]
        taken = {"views": self.in_views, "forward": marks[0] - start - self.in_views, "backward": marks[1] - marks[0]}
        return {**taken, "optimiser": marks[2] - marks[1], "target": end - marks[2], "step": end - start}

    @contextmanager
    def _views_timed(self) -> Iterator[None]:
        classes = {type(view) for view in self.objective.views}
        before = {cls: cls.__call__ for cls in classes}
        depth = 0

        def timed(call: Callable[..., Graph]) -> Callable[..., Graph]:
            def inner(view: Any, g: Graph) -> Graph:
                nonlocal depth
                start, depth = clock(), depth + 1
                try:
                    return call(view, g)
                finally:
                    depth -= 1
                    self.in_views += clock() - start if depth == 0 else 0.0

            return inner

        for cls, call in before.items():
            cls.__call__ = timed(call)
        try:
            yield
        finally:
            for cls, call in before.items():
                cls.__call__ = call


@dataclass(frozen=True, eq=False)
class Fixed:
    """A view that is drawn already."""

    view: Graph
    keeps_nodes: ClassVar[bool] = True

    def __call__(self, g: Graph) -> Graph:
        return self.view


def same_loss(method: str, g: Graph, recipe: TwoViews, peers: dict[str, Usual]) -> dict[str, float]:
    """How far the losses of one batch lie apart, and the gradients of the first weight: same parameters, same views.

    Raises:
        ArithmeticError: further than rounding takes them.
    """
    with seeded(0):
        objective: Any = make(method, recipe, g.num_features)
        drawn = [view(g) for view in objective.views]
    objective.views = tuple(Fixed(view) for view in drawn)
    objective.train()
    loss = objective(g)
    loss.backward()
    weight: Tensor = objective.encoder.blocks[0].conv.linear.weight.grad
    loss_apart = gradient_apart = 0.0
    for peer in peers.values():
        peer.take(objective.state_dict())
        told = peer.loss(*((view.dense_x(), view.edge_index) for view in drawn))  # type: ignore[arg-type]
        told.backward()
        loss_apart = max(loss_apart, abs(told.item() / loss.item() - 1))
        gradient_apart = max(gradient_apart, float((peer.gradient() - weight).norm() / weight.norm()))
    if not (loss_apart < 1e-4 and gradient_apart < 5e-3):
        raise ArithmeticError(f"{method}: losses lie {loss_apart:.1e} apart, gradients {gradient_apart:.1e}; the routes differ")
    return {"loss_apart": loss_apart, "gradient_apart": gradient_apart}


def route(name: str, method: str, g: Graph, recipe: TwoViews) -> Ours | Usual:
    """One way of training, ready for its first step."""
    if name in PEERS:
        with seeded(0):
            return PEERS[name](g, recipe)
    return Ours(method, g, recipe, "bf16" if name == "bf16" else "float32")


def time_of(method: str, name: str, root: str | None = None, rounds: str = str(ROUNDS), threads: str = "1") -> dict[str, Any]:
    """Milliseconds of a step by each route, taking turns, with their parts; how far the routes' numbers lie apart; the floor."""
    torch.set_num_threads(int(threads))
    g, recipe = graph_and_recipe(name, method, root)
    room_for(NEEDS.get(name, 0.5))
    if method == "bgrl":
        floor(g, recipe)
    dense = g.with_x(g.dense_x())  # once for all peers
    names = [r for r in ROUTES[method] if threads == "1" or r != "pyg"]
    routes = {r: route(r, method, dense if r in PEERS else g, recipe) for r in names}
    apart = same_loss(method, g, recipe, {r: made for r, made in routes.items() if isinstance(made, Usual)})
    for made in routes.values():
        if isinstance(made, Ours):
            made.step()  # compiles, and finds what all steps share; the others are warm by the comparison
    torch.manual_seed(0)
    taken = alternate({r: made.step for r, made in routes.items()}, rounds=int(rounds))
    row: dict[str, Any] = {"nodes": g.num_nodes, "edges": g.num_edges, "features": g.num_features, "threads": int(threads)}
    if isinstance(g.x, CSR):
        row["non_zero"] = round(g.x.pattern.num_entries / (g.num_nodes * g.num_features), 5)
    row |= {"channels": list(recipe.channels), "hidden": recipe.hidden, **apart}  # type: ignore[attr-defined]
    row |= {"ms": {r: medians(t) for r, t in taken.items()}, "spread": {r: spread(t) for r, t in taken.items()}}
    row["steps"] = {r: len(t) for r, t in taken.items()}
    return row | {"floor": floor(g, recipe)} if method == "bgrl" else row


def memory_of(method: str, name: str, which: str, root: str | None = None) -> dict[str, float]:
    """MB resident at most during a step, all told and beyond what there was before the features were made."""
    torch.set_num_threads(1)
    g, recipe = graph_and_recipe(name, method, root)
    if which in PEERS:
        room_for(NEEDS.get(name, 0.5))
    small, numbers = graph_and_recipe("tiny", method)
    route(which, method, small, numbers).step()  # what is imported and compiled is there
    with Peak() as peak:
        made = route(which, method, g, recipe)
        for _ in range(2 if isinstance(made, Ours) else 1):  # the second has the optimiser's state
            made.step()
    return {"resident": round(peak.resident, 1), "more": round(peak.more, 1)}


def compared(method: str, name: str, root: str | None, threads: int = 1) -> dict[str, Any]:
    """A row: times in one process, memory of each route in its own, and how many times ours is faster and smaller."""
    row = child("time", method, name, root or "", str(ROUNDS), str(threads), threads=threads)
    if threads == 1:
        row["memory_mb"] = {r: child("memory", method, name, r, root or "") for r in ROUTES[method]}
    return row | ratios(row)


def ratios(row: dict[str, Any]) -> dict[str, Any]:
    """What a row's figures say of each other."""
    ms = {name: parts["step"] for name, parts in row["ms"].items()}
    told: dict[str, Any] = {"times": {name: round(t / ms["graphssl"], 2) for name, t in ms.items() if name != "graphssl"}}
    told["times_bf16"] = {name: round(t / ms["bf16"], 2) for name, t in ms.items() if name != "bf16"}
    if "floor" in row:
        pairs = (("graphssl", "float32"), ("bf16", "bf16"))
        told["times_floor"] = {ours: round(ms[ours] / row["floor"][least]["ms"], 2) for ours, least in pairs}
    if "memory_mb" in row:
        memory = {name: m["more"] for name, m in row["memory_mb"].items()}
        told["memory_share"] = {name: round(memory["graphssl"] / m, 4) for name, m in memory.items() if name != "graphssl" and m}
    return told
