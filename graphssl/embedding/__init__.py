"""Embeddings: the encoder alone, in evaluation mode, on graphs as they are; whole, or layer by layer within a memory budget."""

from graphssl.embedding.whole import WHOLE, can_layerwise, embed, whole_bytes

__all__ = ["WHOLE", "can_layerwise", "embed", "whole_bytes"]
