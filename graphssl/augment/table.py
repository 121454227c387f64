"""Names of the augmentations with one line each; imports nothing, so that a listing is instant."""

DESCRIPTIONS: dict[str, str] = {
    "identity": "The graph as it is.",
    "drop-edges": "Drop each edge with probability p, both directions together (Rong et al., 2020, arXiv:1907.10903).",
    "add-edges": "Add p times as many random edges (You et al., 2020, arXiv:2010.13902).",
    "mask-features": "Zero features with probability p, by column, entry or node (Zhu et al., 2020, arXiv:2006.04131).",
    "shuffle-features": "Permute the feature rows among the nodes of a graph (Velickovic et al., 2019, arXiv:1809.10341).",
    "drop-nodes": "Drop each node with probability p (You et al., 2020, arXiv:2010.13902).",
    "subgraph": "A share of the nodes, found by random walks or drawn at random (You et al., 2020, arXiv:2010.13902).",
    "diffuse": "Personalised PageRank or heat diffusion as the new edges (Gasteiger et al., 2019, arXiv:1911.05485).",
    "connect-similar": "Edges to the k nodes of the most similar features (Wang et al., 2020, arXiv:2007.02265).",
    "adaptive-drop-edges": "Drop edges between less central nodes more often (Zhu et al., 2021, arXiv:2010.14945).",
    "adaptive-mask-features": "Mask columns of less central nodes more often (Zhu et al., 2021, arXiv:2010.14945).",
    "compose": "Several augmentations one after another.",
    "random-choice": "One of several augmentations, drawn at each call (You et al., 2020, arXiv:2010.13902).",
}
