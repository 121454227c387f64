"""Losses: plain functions of embeddings or scores, each tested against its paper. They load when first used (:mod:`.table` lists them)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from graphssl.lazy import lazy
from graphssl.losses.table import functions

if TYPE_CHECKING:
    from graphssl.losses.balanced import balanced_softmax, rescom
    from graphssl.losses.bounds import dv, info_nce_bound, mine, nwj, smile
    from graphssl.losses.cancellation import fnc
    from graphssl.losses.contrastive import dcl, dclw, info_nce
    from graphssl.losses.debiasing import fair_kl
    from graphssl.losses.decorrelation import barlow_twins, cca_ssg, vicreg
    from graphssl.losses.distillation import crd, crd_nce, kd
    from graphssl.losses.mixing import mochi
    from graphssl.losses.mutual_information import bce, jsd, node_graph_jsd
    from graphssl.losses.parametric import paco
    from graphssl.losses.prediction import bootstrap
    from graphssl.losses.reconstruction import scaled_cosine
    from graphssl.losses.sampled import sampled_info_nce
    from graphssl.losses.skew_divergence import renyi
    from graphssl.losses.soft import sce
    from graphssl.losses.spreading import spread
    from graphssl.losses.supervised_contrastive import eps_sup_con, eps_sup_info_nce, sup_con

__all__ = [
    "balanced_softmax",
    "barlow_twins",
    "bce",
    "bootstrap",
    "cca_ssg",
    "crd",
    "crd_nce",
    "dcl",
    "dclw",
    "dv",
    "eps_sup_con",
    "eps_sup_info_nce",
    "fair_kl",
    "fnc",
    "info_nce",
    "info_nce_bound",
    "jsd",
    "kd",
    "mine",
    "mochi",
    "node_graph_jsd",
    "nwj",
    "paco",
    "renyi",
    "rescom",
    "sampled_info_nce",
    "scaled_cosine",
    "sce",
    "smile",
    "spread",
    "sup_con",
    "vicreg",
]

__getattr__ = lazy(__name__, functions())


def __dir__() -> list[str]:
    return __all__
