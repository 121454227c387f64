"""The evaluation protocols by name: which splits, which classifier, what it may look at; imports no torch."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from typing import Literal

Classifier = Literal["multinomial", "one-vs-rest", "linear-adamw"]
Draw = Literal["dataset", "random", "official-bgrl", "official-grace", "per-class"]
Scale = Literal["l2", "standardize", "none"]
Selection = Literal["validation", "shuffle-split", "k-fold"]
SETTINGS = ("transductive", "inductive")


@dataclass(frozen=True)
class Protocol:
    """Everything that decides a probe's score besides the embedding; a changed number is a new ``version``.

    Attributes:
        name: its name in :data:`PROTOCOLS`.
        version: raised whenever scores may change.
        description: what is done, in a sentence or two.
        source: where it comes from.
        draw: who makes the splits: the dataset, seeded random draws, or an official code's own draws.
        split_name: how the names of the dataset's splits must begin.
        num_splits: how many, ``None``: as many as the dataset has.
        train: share of the labelled rows for training, where drawn.
        val: share for choosing the penalty, where drawn.
        per_class: training rows a class, for ``draw="per-class"``.
        classifier: what is fitted on the frozen embedding.
        scale: ``l2``: each row to length one; ``standardize``: columns to mean 0 and deviation 1, by the train rows alone.
        grid: the penalties tried, ascending: ``C``, or the weight decay of ``linear-adamw``.
        selection: where the penalty is chosen; ``validation`` falls back to five stratified folds of train where val is empty.
        metric: ``None``: the caller's or the dataset's.
    """

    name: str
    version: int
    description: str
    source: str
    draw: Draw
    num_splits: int | None
    train: float = 0.1
    val: float = 0.1
    per_class: int | None = None
    classifier: Classifier = "multinomial"
    scale: Scale = "l2"
    grid: tuple[float, ...] = tuple(2.0**e for e in range(-10, 11))
    selection: Selection = "validation"
    metric: str | None = None
    split_name: str = ""

    @property
    def label(self) -> str:
        """Name and version, as printed with every score."""
        return f"{self.name} v{self.version}"


_OURS = (
    "graphssl's probe: rows of length one, multinomial logistic regression, C in 2^-10..2^10 chosen on validation (ties: the smaller C), "
    "fitted on the train rows alone"
)

PROTOCOLS: dict[str, Protocol] = {
    p.name: p
    for p in (
        Protocol(
            "planetoid-public",
            1,
            f"The public Planetoid split, 20 labels a class. {_OURS}.",
            "Yang et al., 2016, arXiv:1603.08861 (split)",
            "dataset",
            1,
            split_name="public",
        ),
        Protocol(
            "random-10-10-80",
            1,
            f"20 seeded random splits, 10 % train, 10 % validation, 80 % test. {_OURS}.",
            "Shchur et al., 2018, arXiv:1811.05868 (random splits); Zhu et al., 2020, arXiv:2006.04131 (shares)",
            "random",
            20,
        ),
        Protocol(
            "wikics",
            1,
            f"WikiCS' 20 fixed train and validation sets and its one test set. {_OURS}.",
            "Mernyei and Cangea, 2020, arXiv:2007.02901 (splits)",
            "dataset",
            20,
            split_name="wikics",
        ),
        Protocol("fixed", 1, f"The dataset's own splits, all of them. {_OURS}.", "the dataset", "dataset", None),
        Protocol(
            "bgrl-20-80",
            1,
            "BGRL's official code: 20 % train, 80 % test; one-vs-rest logistic regression as liblinear states it, C in 2^-10..2^10 by the "
            "subset accuracy of 5 half/half shuffles of train, refitted on train. 3 splits (the paper averages 20 runs).",
            "Thakoor et al., 2022, arXiv:2102.06514, official code",
            "official-bgrl",
            3,
            train=0.2,
            val=0.0,
            classifier="one-vs-rest",
            selection="shuffle-split",
            metric="accuracy",
        ),
        Protocol(
            "bgrl-wikics",
            1,
            "BGRL's official code on WikiCS: its 20 fixed splits; one-vs-rest logistic regression as liblinear states it, C in 2^-10..2^10 "
            "by validation accuracy.",
            "Thakoor et al., 2022, arXiv:2102.06514, official code",
            "dataset",
            20,
            split_name="wikics",
            classifier="one-vs-rest",
            metric="accuracy",
        ),
        Protocol(
            "grace-10-90",
            1,
            "GRACE's official code: 10 % train, 90 % test; one-vs-rest logistic regression as liblinear states it, C in 2^-10..2^9 by the "
            "subset accuracy of 5 folds of train, refitted on train. 20 splits, as many as the paper has runs (the code repeats 3 times).",
            "Zhu et al., 2020, arXiv:2006.04131, official code",
            "official-grace",
            20,
            train=0.1,
            val=0.0,
            classifier="one-vs-rest",
            selection="k-fold",
            grid=tuple(2.0**e for e in range(-10, 10)),
            metric="micro_f1",
        ),
        Protocol(
            "ppi",
            1,
            "BGRL's official code for PPI: columns standardised by the train graphs, one linear layer, 100 full-batch AdamW steps at 0.01, "
            "weight decay in 2^-10, 2^-8 .. 2^10 by validation micro-F1. 100 steps stop short of convergence, and the score says so.",
            "Thakoor et al., 2022, arXiv:2102.06514, official code",
            "dataset",
            1,
            classifier="linear-adamw",
            scale="standardize",
            grid=tuple(2.0**e for e in range(-10, 11, 2)),
            metric="micro_f1",
        ),
        Protocol(
            "low-label",
            1,
            f"k labelled rows a class, ten seeds. {_OURS}; C by stratified folds of train where validation is empty, C = 1 where k = 1.",
            "graphssl",
            "per-class",
            10,
            per_class=5,
        ),
    )
}


def find_protocol(protocol: str | Protocol) -> Protocol:
    """The protocol of a name; a protocol passes through.

    Raises:
        ValueError: an unknown name, with the nearest known one.

    Example:
        >>> find_protocol("wikics").label
        'wikics v1'
    """
    if isinstance(protocol, Protocol):
        return protocol
    if protocol not in PROTOCOLS:
        near = difflib.get_close_matches(protocol, PROTOCOLS, n=1)
        hint = f" (did you mean {near[0]!r}?)" if near else ""
        raise ValueError(f"protocol is {protocol!r}{hint}; allowed: {', '.join(PROTOCOLS)}")
    return PROTOCOLS[protocol]
