"""Losses: plain functions of embeddings or scores, each tested against its paper."""

from graphssl.losses.bootstrap import bootstrap
from graphssl.losses.contrastive import info_nce
from graphssl.losses.mutual_information import bce, jsd, node_graph_jsd
from graphssl.losses.reconstruction import scaled_cosine
from graphssl.losses.sampled import sampled_info_nce

__all__ = ["bce", "bootstrap", "info_nce", "jsd", "node_graph_jsd", "sampled_info_nce", "scaled_cosine"]
