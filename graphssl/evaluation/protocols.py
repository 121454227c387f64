"""The evaluation protocols by name: which splits, which classifier, what it may look at; imports no torch."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from typing import Literal

Classifier = Literal["multinomial", "one-vs-rest", "linear-adamw", "svm", "per-task"]
Draw = Literal["dataset", "random", "official-bgrl", "official-grace", "official-graphmae", "per-class", "folds"]
Kernel = Literal["rbf", "linear"]
Scale = Literal["l2", "standardize", "none"]
Selection = Literal["validation", "shuffle-split", "k-fold", "stratified-k-fold"]
SETTINGS = ("transductive", "inductive")


@dataclass(frozen=True)
class Protocol:
    """Everything that decides a probe's score besides the embedding; a changed number is a new ``version``.

    Attributes:
        name: its name in :data:`PROTOCOLS`.
        version: raised whenever scores may change.
        description: what is done, in a sentence or two.
        source: where it comes from.
        draw: who makes the splits: the dataset, seeded random draws, an official code's own draws, or folds: each row is tested once.
        split_name: how the names of the dataset's splits must begin.
        num_splits: how many, ``None``: as many as the dataset has; of folds, more than ten deal all rows out again.
        train: share of the labelled rows for training, where drawn.
        val: share for choosing the penalty, where drawn.
        per_class: training rows a class, for ``draw="per-class"``.
        classifier: what is fitted on the frozen embedding; ``per-task``: a logistic regression for each column on the rows where it is
            known (multinomial for classes), or a ridge regression for each target where the metric is an error.
        scale: ``l2``: each row to length one; ``standardize``: columns to mean 0 and deviation 1, by the train rows alone.
        grid: the penalties tried, ascending: ``C`` (``1 / alpha`` of ridge regression), or the weight decay of ``linear-adamw``.
        selection: where the penalty is chosen; ``validation`` falls back to five stratified folds of train where val is empty.
        metric: ``None``: the caller's or the dataset's.
        kernel: of ``svm``.
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
    kernel: Kernel = "rbf"

    @property
    def label(self) -> str:
        """Name and version, as printed with every score."""
        return f"{self.name} v{self.version}"


_OURS = (
    "graphssl's probe: rows of length one, multinomial logistic regression, C in 2^-10..2^10 chosen on validation (ties: the smaller C), "
    "fitted on the train rows alone"
)

_TASKS = (
    "Columns standardised by the train rows; a logistic regression for each task on the rows that have its label, C in 10^-5..10^3, or for "
    "regression a ridge regression for each target, alpha = 1 / C; one C for all tasks, chosen (ties: the smaller; errors of several "
    "targets in units of their deviation)"
)
_HALF_DECADES = tuple(10.0 ** (e / 2) for e in range(-10, 7))

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
        Protocol(
            "low-label-20",
            1,
            f"20 labelled rows a class, as in Planetoid's public splits, ten seeds. {_OURS}; C by five stratified folds of train.",
            "graphssl",
            "per-class",
            10,
            per_class=20,
        ),
        Protocol(
            "tu-svm",
            1,
            "Graph classification: 10 stratified folds (50 splits are 5 repeats); support vector machine with an RBF kernel on the rows as "
            "they are, gamma = 1 / (D times their variance), C in 10^-3..10^3 by the accuracy of 5 stratified folds of the training folds, "
            "refitted on them. The official codes draw the 10 folds unseeded.",
            "Sun et al., 2020, arXiv:1908.01000 (InfoGraph) and You et al., 2020, arXiv:2010.13902 (GraphCL), official codes",
            "folds",
            10,
            classifier="svm",
            scale="none",
            grid=tuple(10.0**e for e in range(-3, 4)),
            selection="stratified-k-fold",
            metric="accuracy",
        ),
        Protocol(
            "graphmae-svm",
            1,
            "GraphMAE's official code for graph classification: scikit-learn's 10 shuffled stratified folds of seed 0; support vector "
            "machine with an RBF kernel as in tu-svm, C in 10^-3..10 by the accuracy of 5 stratified folds of the training folds.",
            "Hou et al., 2022, arXiv:2205.10803, official code",
            "official-graphmae",
            10,
            classifier="svm",
            scale="none",
            grid=tuple(10.0**e for e in range(-3, 2)),
            selection="stratified-k-fold",
            metric="micro_f1",
        ),
        Protocol(
            "tu-logistic",
            1,
            "Graph classification on the folds of tu-svm: columns standardised by the train rows, multinomial logistic regression, C in "
            "2^-10..2^10 by the metric on 5 shuffled stratified folds of the training folds (ties: the smaller C), refitted on them.",
            "graphssl",
            "folds",
            10,
            scale="standardize",
        ),
        Protocol(
            "molecules",
            1,
            f"The dataset's own splits, all of them. {_TASKS} by the validation metric.",
            "graphssl; metrics as Hu et al., 2020, arXiv:2005.00687 (OGB) has them",
            "dataset",
            None,
            classifier="per-task",
            scale="standardize",
            grid=_HALF_DECADES,
        ),
        Protocol(
            "molecules-folds",
            1,
            f"10 folds, stratified for classes and random for tables and targets (50 splits are 5 repeats). {_TASKS} by the metric on 5 "
            "shuffled folds of the training folds.",
            "graphssl",
            "folds",
            10,
            classifier="per-task",
            scale="standardize",
            grid=_HALF_DECADES,
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
