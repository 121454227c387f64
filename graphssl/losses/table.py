"""The losses by name: one line each, where the function is, what it takes; imports nothing, so that a listing is instant."""

from __future__ import annotations

from typing import Literal, NamedTuple

from graphssl.naming import nearest

Takes = Literal["views", "labels", "other"]


class Line(NamedTuple):
    """A loss in the table."""

    about: str
    """One line, with the source."""
    module: str
    """The module of :mod:`graphssl.losses` that it is in; the function has the loss's name with ``_`` for ``-``."""
    takes: Takes = "other"
    """``views``: rows ``(u, v)`` of two views, so that ``--loss`` names it; ``labels``: these with ``y``; else other things."""


LOSSES: dict[str, Line] = {
    # two views
    "info-nce": Line(
        "InfoNCE, with intra-view negatives the loss of GRACE and SimCLR (Zhu et al., 2020, arXiv:2006.04131)", "contrastive", "views"
    ),
    "dcl": Line("decoupled: NT-Xent without the positive in the sum (Yeh et al., 2022, arXiv:2110.06848)", "contrastive", "views"),
    "dclw": Line("DCL with more weight on partners that are far apart (Yeh et al., 2022, arXiv:2110.06848)", "contrastive", "views"),
    "renyi": Line(
        "RenyiCL, a bound of the skew Renyi divergence of order gamma (Lee and Shin, 2022, arXiv:2208.06270)", "skew_divergence", "views"
    ),
    "sce": Line("soft targets: the partner, and how it lies to the others (Denize et al., 2023, arXiv:2111.14585)", "soft", "views"),
    "mochi": Line("InfoNCE with mixtures of its hardest negatives: MoCHi (Kalantidis et al., 2020, arXiv:2010.01028)", "mixing", "views"),
    "fnc": Line(
        "NT-Xent whose false negatives are found, and left out or attracted: FNC (Huynh et al., 2022, arXiv:2011.11765)",
        "cancellation",
        "views",
    ),
    "barlow-twins": Line(
        "correlations of columns drawn to the identity: Barlow Twins, G-BT (Zbontar et al., 2021, arXiv:2103.03230)",
        "decorrelation",
        "views",
    ),
    "bootstrap": Line("one minus the mean cosine of prediction and target: BGRL (Thakoor et al., 2022, arXiv:2102.06514)", "prediction"),
    "cca-ssg": Line(
        "columns that agree between views and do not correlate within: CCA-SSG (Zhang et al., 2021, arXiv:2106.12484)",
        "decorrelation",
        "views",
    ),
    "vicreg": Line(
        "rows that agree, columns that vary and do not covary: VICReg (Bardes et al., 2022, arXiv:2105.04906)", "decorrelation", "views"
    ),
    # a teacher
    "kd": Line(
        "the teacher's probabilities at a temperature, told again: distillation (Hinton et al., 2015, arXiv:1503.02531)", "distillation"
    ),
    "crd": Line(
        "a node's embedding drawn to the teacher's of it, away from those of others: CRD (Tian et al., 2020, arXiv:1910.10699)",
        "distillation",
    ),
    "crd-nce": Line("CRD as its paper trains it, noise-contrastive with a frozen Z (Tian et al., 2020, arXiv:1910.10699)", "distillation"),
    # classes
    "spread": Line(
        "classes apart and the nodes of a class apart from each other: Thanos (Chen et al., 2022, arXiv:2204.07596)", "spreading", "labels"
    ),
    "rescom": Line(
        "supervised contrast with weights by class and the hardest pairs of a queue: ResCom (Zhong et al., 2022, arXiv:2203.11506)",
        "balanced",
        "labels",
    ),
    "paco": Line(
        "supervised contrast with learnable centres of classes: PaCo, GPaCo (Cui et al., 2021, arXiv:2107.12028)", "parametric", "labels"
    ),
    "balanced-softmax": Line(
        "cross-entropy of logits raised by the log prior, for classes of unequal size (Ren et al., 2020, arXiv:2007.10740)", "balanced"
    ),
    "fair-kl": Line(
        "pairs that share a bias are as similar as pairs that do not: FairKL (Barbano et al., 2023, arXiv:2211.05568)", "debiasing"
    ),
    # two views and labels
    "sup-con": Line(
        "SupCon, all rows of a label are positives (Khosla et al., 2020, arXiv:2004.11362)",
        "supervised_contrastive",
        "labels",
    ),
    "eps-sup-info-nce": Line(
        "each positive ahead of all negatives by a margin (Barbano et al., 2023, arXiv:2211.05568)", "supervised_contrastive", "labels"
    ),
    "eps-sup-con": Line("SupCon with a margin (Barbano et al., 2023, arXiv:2211.05568)", "supervised_contrastive", "labels"),
    # scores, samples, reconstructions
    "sampled-info-nce": Line(
        "InfoNCE against a few rows drawn as the negatives of all, as the BGRL paper runs GRACE (arXiv:2102.06514)", "sampled"
    ),
    "jsd": Line(
        "Jensen-Shannon estimate of mutual information: Deep InfoMax, InfoGraph (Hjelm et al., 2019, arXiv:1808.06670)",
        "mutual_information",
    ),
    "dv": Line("Donsker-Varadhan bound of mutual information (Belghazi et al., 2018, arXiv:1801.04062)", "bounds"),
    "mine": Line("the same with a moving average in the gradient: MINE (Belghazi et al., 2018, arXiv:1801.04062)", "bounds"),
    "nwj": Line("bound of Nguyen, Wainwright and Jordan, MINE-f (Nguyen et al., 2010, arXiv:0809.0853)", "bounds"),
    "info-nce-bound": Line("InfoNCE as a bound of mutual information, up to log N (van den Oord et al., 2018, arXiv:1807.03748)", "bounds"),
    "smile": Line("Donsker-Varadhan with clipped ratios (Song and Ermon, 2020, arXiv:1910.06222)", "bounds"),
    "node-graph-jsd": Line(
        "the same between nodes and graphs of a batch: InfoGraph (Sun et al., 2020, arXiv:1908.01000)", "mutual_information"
    ),
    "scaled-cosine": Line("(1 - cosine)^alpha of a reconstruction: GraphMAE (Hou et al., 2022, arXiv:2205.10803)", "reconstruction"),
    "bce": Line("binary cross-entropy of scores: DGI (Velickovic et al., 2019, arXiv:1809.10341)", "mutual_information"),
}


def functions() -> dict[str, tuple[str, ...]]:
    """The names of the functions in each module."""
    found: dict[str, tuple[str, ...]] = {}
    for name, line in LOSSES.items():
        found[line.module] = (*found.get(line.module, ()), name.replace("-", "_"))
    return found


def of_views(name: str) -> str:
    """The name of a loss of two views, whatever its case.

    Raises:
        ValueError: there is none of that name, or it takes labels or something else.

    Example:
        >>> of_views("INFO-NCE")
        'info-nce'
    """
    name = name.lower().replace("_", "-")
    if name in LOSSES and LOSSES[name].takes == "labels":
        raise ValueError(f"loss {name} needs labels, and train has none: graphssl semi supcon takes it")
    if name not in LOSSES or LOSSES[name].takes != "views":
        raise nearest("loss of two views", name, sorted(known for known, line in LOSSES.items() if line.takes == "views"))
    return name


def of_labels(name: str) -> str:
    """The name of a loss of two views and labels, whatever its case.

    Raises:
        ValueError: there is none of that name, or it takes no labels.

    Example:
        >>> of_labels("Sup_Con")
        'sup-con'
    """
    name = name.lower().replace("_", "-")
    if name in LOSSES and LOSSES[name].takes == "views":
        raise ValueError(f"loss {name} takes no labels: graphssl train grace takes it")
    if name not in LOSSES or LOSSES[name].takes != "labels":
        raise nearest("loss with labels", name, sorted(known for known, line in LOSSES.items() if line.takes == "labels"))
    return name
