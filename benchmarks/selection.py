"""When to stop without labels: ``python -m benchmarks.selection [METHOD DATASET ...] [--seeds N]``.

A run is looked at twenty times. Each rule that needs no label chooses one look; beside it stand the last look, the one that the probe's
validation part would choose, and the best on test, which nobody may choose by. The record says how far each lies from that.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch

from graphssl import Objective, embed, seeded
from graphssl.building import make, make_batches
from graphssl.environment import environment
from graphssl.evaluation import evaluate
from graphssl.files import write_durably
from graphssl.pipeline import OPTIONS, load_for, spread, watch
from graphssl.recipes import Recipe, find_recipe
from graphssl.training import train

RESULT = Path(__file__).parent / "results" / "selection.json"
LOOKS = 20
CASES: dict[tuple[str, str], dict[str, Any]] = {  # and what is changed so that all fits into an hour
    ("dgi", "cora"): {"patience": None, "epochs": 300},
    ("bgrl", "cora"): {"epochs": 300, "lr": 5e-4},
    ("grace", "cora"): {"protocol": "planetoid-public", "num_splits": None},
    ("graphcl", "mutag"): {"epochs": 40},
    ("infograph", "mutag"): {"epochs": 40},
}
Look = dict[str, float]
RULES: dict[str, Callable[[Sequence[Look]], int]] = {
    "last": lambda looks: len(looks) - 1,
    "lowest loss": lambda looks: min(range(len(looks)), key=lambda i: looks[i]["loss"]),
    "highest effective rank": lambda looks: max(range(len(looks)), key=lambda i: looks[i]["effective_rank"]),
    "most uniform": lambda looks: min(range(len(looks)), key=lambda i: looks[i]["uniformity"]),
    "uniformity and alignment": lambda looks: min(range(len(looks)), key=lambda i: looks[i]["uniformity"] + looks[i].get("alignment", 0.0)),
    "validation part (labels)": lambda looks: max(range(len(looks)), key=lambda i: looks[i]["validation"]),
    "test part (oracle)": lambda looks: max(range(len(looks)), key=lambda i: looks[i]["test"]),
}


def looks_of(method: str, dataset: str, recipe: Recipe, seed: int) -> list[Look]:
    """Loss, collapse diagnostics and probe scores of one run, at each look."""
    data = load_for(recipe, dataset, None)
    with seeded(seed):
        objective: Objective = make(method, recipe, data.num_features, data.num_edge_features)
    options = {name: getattr(recipe, name) for name in OPTIONS}
    looks: list[Look] = []
    losses: list[float] = []
    for step in train(objective, make_batches(recipe, data, seed), seed=seed, **options):
        losses.append(float(step.loss))
        if step.number % max(1, step.total // LOOKS) == 0:
            z = embed(objective.encoder, data)
            score = evaluate(z, data, recipe.protocol, setting="transductive", num_splits=recipe.num_splits)
            told = [chosen["validation"] for chosen in score.selected if "validation" in chosen]
            look = {**watch(objective, data.train_graphs[0], data), **spread(z, data)}
            mean = sum(losses[-max(1, step.total // LOOKS) :]) / len(losses[-max(1, step.total // LOOKS) :])
            looks.append({"step": step.number, "loss": mean, **look, "validation": sum(told) / len(told), "test": score.mean})
    return looks


def chosen(looks: Sequence[Look]) -> dict[str, dict[str, float]]:
    """The step that each rule takes, its test score, and how far it is from the best."""
    best = max(look["test"] for look in looks)
    taken = {name: looks[rule(looks)] for name, rule in RULES.items()}
    return {name: {"step": look["step"], "test": look["test"], "behind": best - look["test"]} for name, look in taken.items()}


def main(args: Sequence[str]) -> int:
    """Run the cases that are asked for, and those seeds that are not done."""
    seeds = int(args[args.index("--seeds") + 1]) if "--seeds" in args else 3
    names = args[: args.index("--seeds")] if "--seeds" in args else args
    cases = [case for case in CASES if not names or case == (names[0], names[1])]
    record = json.loads(RESULT.read_text(encoding="utf-8")) if RESULT.is_file() else {"runs": []}
    done = {(run["method"], run["dataset"], run["seed"]) for run in record["runs"]}
    torch.set_num_threads(1)
    for method, dataset in cases:
        recipe = find_recipe(method, dataset).model_copy(update=CASES[method, dataset])
        for seed in range(seeds):
            if (method, dataset, seed) in done:
                continue
            looks = looks_of(method, dataset, recipe, seed)
            run = {"method": method, "dataset": dataset, "seed": seed, "changed": CASES[method, dataset], "protocol": recipe.protocol}
            record["runs"].append({**run, "rules": chosen(looks), "looks": looks})
            record["environment"] = environment()
            write_durably(RESULT, (json.dumps(record, indent=1, allow_nan=False) + "\n").encode())
            print(method, dataset, seed, {name: round(100 * found["test"], 2) for name, found in record["runs"][-1]["rules"].items()})
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
