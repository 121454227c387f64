"""How long training takes beside PyG's layers, the official code's structure and what the machine can do."""
