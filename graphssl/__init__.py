"""Self-supervised learning on graphs."""
