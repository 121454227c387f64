"""The datasets by name, as a plain table: what each one is and which raw files it is read from. Imports no torch."""

from __future__ import annotations

from dataclasses import dataclass
from difflib import get_close_matches


@dataclass(frozen=True)
class Entry:
    """One dataset of the table.

    The raw files stand in ``<root>/<folder>/raw``, under the names and in the layout of PyG's class of that family.
    """

    name: str
    family: str  # which reader, see readers.READERS; "embedded" needs no files
    about: str  # one line
    source: str  # paper, and the licence where one is stated
    folder: str = ""  # below the root
    files: tuple[tuple[str, str], ...] = ()  # (file name in raw/, address); files that share an address come in one zip
    metric: str = "accuracy"
    splits: str = "20 random 10/10/80 splits"
    parts: tuple[tuple[str, str], ...] = ()  # of a set put together from others: (name, "train" | "val" | "test")


def canonical(name: str) -> str:
    """The name in the table for what a user typed.

    Case does not matter, ``_`` and ``-`` are equal, and the aliases are known.

    Raises:
        ValueError: there is no such dataset; the message has the nearest names.

    Example:
        >>> canonical("Amazon_Photo"), canonical("photo")
        ('amazon-photo', 'amazon-photo')
    """
    key = name.strip().lower().replace("_", "-").replace(" ", "-")
    key = ALIASES.get(key, key)
    if key in DATASETS:
        return key
    if key.startswith("ogb"):
        raise ValueError(f"dataset {name!r}: the OGB sets are not yet part of load; known are: {', '.join(DATASETS)}")
    near = get_close_matches(key, [*DATASETS, *ALIASES], n=3, cutoff=0.5)
    hint = f"did you mean {' or '.join(near)}?" if near else f"known are: {', '.join(DATASETS)}"
    raise ValueError(f"unknown dataset {name!r}: {hint}")


RANDOM = "20 random 10/10/80 splits"
TEN = "10 fixed splits"
GEOM = "https://raw.githubusercontent.com/graphdml-uiuc-jlu/geom-gcn/f1fc0d14b3b019c562737240d06ec83b07d16a8f"
MUSAE = "Rozemberczki et al., 2021, arXiv:1909.13021 (MUSAE, GPL-3.0)"
SHCHUR = "Shchur et al., 2018, arXiv:1811.05868 (gnn-benchmark, MIT)"


def _planetoid(name: str, what: str) -> Entry:
    parts = ("x", "tx", "allx", "y", "ty", "ally", "graph", "test.index")
    url = "https://github.com/kimiyoung/planetoid/raw/master/data/"
    files = tuple((f"ind.{name.lower()}.{part}", f"{url}ind.{name.lower()}.{part}") for part in parts)
    source = "Yang et al., 2016, arXiv:1603.08861 (Planetoid, MIT)"
    return Entry(name.lower(), "planetoid", what, source, f"planetoid/{name}", files, splits="the public split")


def _npz(name: str, folder: str, file: str, url: str, what: str, source: str) -> Entry:
    return Entry(name, "csr-npz", what, source, folder, ((file, url),))


def _gnn_benchmark(name: str, folder: str, file: str, what: str) -> Entry:
    url = f"https://github.com/shchur/gnn-benchmark/raw/master/data/npz/{file}"
    return _npz(name, folder, file, url, what, SHCHUR)


def _citation(name: str, key: str, what: str) -> Entry:
    url = f"https://github.com/abojchevski/graph2gauss/raw/master/data/{key}.npz"
    source = "Bojchevski and Guennemann, 2018, arXiv:1707.03815 (graph2gauss, MIT)"
    return _npz(name, f"citation_full/{key}", f"{key}.npz", url, what, source)


def _twitch(country: str) -> Entry:
    files = ((f"{country}.npz", f"https://graphmining.ai/datasets/ptg/twitch/{country}.npz"),)
    what = f"Twitch streamers ({country}) and who follows whom; label: mature content"
    return Entry(f"twitch-{country.lower()}", "musae", what, MUSAE, f"twitch/{country}", files, metric="roc_auc")


def _facebook100(name: str, file: str) -> Entry:
    url = f"https://github.com/CUAI/Non-Homophily-Large-Scale/raw/master/data/facebook100/{file}.mat"
    what = "friendships at an American college, 2005; label: gender, some unknown"
    source = "Traud et al., 2012, arXiv:1102.2166; Lim et al., 2021, arXiv:2110.14446 (no licence stated)"
    return Entry(name, "facebook100", what, source, f"linkx/{name}", (("data.mat", url),))


def _heterophilous(name: str, metric: str, what: str) -> Entry:
    key = name.replace("-", "_")
    url = f"https://github.com/yandex-research/heterophilous-graphs/raw/main/data/{key}.npz"
    source = "Platonov et al., 2023, arXiv:2302.11640 (heterophilous-graphs, MIT)"
    return Entry(name, "heterophilous", what, source, f"heterophilous/{key}", ((f"{key}.npz", url),), metric, TEN)


def _geom(name: str, family: str, folder: str, key: str, what: str) -> Entry:
    files = tuple((file, f"{GEOM}/new_data/{key}/{file}") for file in ("out1_node_feature_label.txt", "out1_graph_edges.txt"))
    files += tuple((file, f"{GEOM}/splits/{file}") for file in (f"{key}_split_0.6_0.2_{i}.npz" for i in range(10)))
    source = "Pei et al., 2020, arXiv:2002.05287 (Geom-GCN, no licence stated)"
    return Entry(name, family, what, source, folder, files, splits=TEN)


def _airports(place: str) -> Entry:
    url = "https://github.com/leoribeiro/struc2vec/raw/master/graph/"
    names = (f"{place}-airports.edgelist", f"labels-{place}-airports.txt")
    what = f"flights between airports ({place}); label: level of activity; features: one-hot node identity"
    source = "Ribeiro et al., 2017, arXiv:1704.03165 (struc2vec, MIT)"
    return Entry(f"airports-{place}", "airports", what, source, f"airports/{place}", tuple((n, url + n) for n in names))


_ATTRIBUTED = "https://drive.usercontent.google.com/download?confirm=t&id=1tZp3EB20fAC27SYWwa-x66_8uGsuU62X"
_SNAP = "https://snap.stanford.edu/data/"

_ENTRIES = (
    Entry(
        "digits",
        "embedded",
        "constructed: 8-nearest-neighbour graph over 1,797 scanned digits; features: 64 pixels; needs no download",
        "Kaynak, 1995, Optical Recognition of Handwritten Digits (UCI, CC BY 4.0), from scikit-learn; the graph is built here",
    ),
    Entry(
        "karate",
        "embedded",
        "Zachary's karate club, 34 nodes; features: node identity; needs no download",
        "Zachary, 1977, with the communities of Brandes et al., 2008, as in PyG",
        splits="one training node a class",
    ),
    Entry(
        "sbm",
        "embedded",
        "synthetic: a seeded contextual stochastic block model, 1,000 nodes, 4 classes; needs no download",
        "synthetic; after Deshpande et al., 2018, arXiv:1807.09596",
    ),
    _planetoid("Cora", "citations between papers on machine learning"),
    _planetoid("CiteSeer", "citations between papers on computer science"),
    _planetoid("PubMed", "citations between papers on diabetes"),
    Entry(
        "wikics",
        "wikics",
        "links between Wikipedia articles on computer science",
        "Mernyei and Cangea, 2020, arXiv:2007.02901 (MIT)",
        "wikics",
        (("data.json", "https://github.com/pmernyei/wiki-cs-dataset/raw/master/dataset/data.json"),),
        splits="20 fixed splits",
    ),
    _gnn_benchmark("amazon-computers", "amazon/Computers", "amazon_electronics_computers.npz", "computers bought together"),
    _gnn_benchmark("amazon-photo", "amazon/Photo", "amazon_electronics_photo.npz", "photo goods bought together"),
    _gnn_benchmark("coauthor-cs", "coauthor/CS", "ms_academic_cs.npz", "co-authors in computer science"),
    _gnn_benchmark("coauthor-physics", "coauthor/Physics", "ms_academic_phy.npz", "co-authors in physics"),
    _citation("cora-ml", "cora_ml", "citations, the machine learning part of the full Cora"),
    _citation("cora-full", "cora", "citations, the full Cora with 70 classes"),
    _citation("dblp", "dblp", "citations in DBLP"),
    Entry(
        "ppi",
        "ppi",
        "inductive: protein interactions in 24 tissues, 121 labels each",
        "Hamilton et al., 2017, arXiv:1706.02216; Zitnik and Leskovec, 2017, arXiv:1707.04638",
        "ppi",
        tuple(
            (f"{part}_{file}", "https://data.dgl.ai/dataset/ppi.zip")
            for part in ("train", "valid", "test")
            for file in ("feats.npy", "graph_id.npy", "graph.json", "labels.npy")
        ),
        "micro_f1",
        "20 graphs train, 2 val, 2 test",
    ),
    Entry(
        "twitch",
        "parts",
        "inductive: Twitch in six countries; train DE EN ES FR, val PT, test RU (our choice, there is no standard one)",
        MUSAE,
        metric="roc_auc",
        splits="4 graphs train, 1 val, 1 test",
        parts=(
            ("twitch-de", "train"),
            ("twitch-en", "train"),
            ("twitch-es", "train"),
            ("twitch-fr", "train"),
            ("twitch-pt", "val"),
            ("twitch-ru", "test"),
        ),
    ),
    *(_twitch(country) for country in ("DE", "EN", "ES", "FR", "PT", "RU")),
    Entry(
        "facebook",
        "musae",
        "verified pages on Facebook that like each other",
        MUSAE,
        "facebook",
        (("facebook.npz", "https://graphmining.ai/datasets/ptg/facebook.npz"),),
    ),
    Entry(
        "flickr-attributed",
        "attributed",
        "Flickr users (the small one of 7,575 nodes, not GraphSAINT's); label: group joined",
        "Yang et al., 2020, arXiv:2009.00826",
        "attributed/flickr",
        tuple((file, _ATTRIBUTED) for file in ("attrs.npz", "edgelist.txt", "labels.txt")),
    ),
    _facebook100("cornell5", "Cornell5"),
    _facebook100("johnshopkins55", "Johns%20Hopkins55"),
    _facebook100("amherst41", "Amherst41"),
    _facebook100("reed98", "Reed98"),
    _heterophilous("tolokers", "roc_auc", "crowd workers who share a task; label: banned"),
    _heterophilous("minesweeper", "roc_auc", "synthetic: a 100 x 100 grid; label: mine"),
    _heterophilous("roman-empire", "accuracy", "words of the Wikipedia article Roman Empire; label: syntactic role"),
    _heterophilous("amazon-ratings", "accuracy", "products bought together; label: rating"),
    _heterophilous("questions", "roc_auc", "users who answered each other; label: stayed active"),
    _geom("actor", "actor", "actor", "film", "actors named on the same Wikipedia page"),
    *(
        _geom(name, "geom", f"webkb/{name}", name, f"web pages of {name}'s computer science department")
        for name in ("cornell", "texas", "wisconsin")
    ),
    *(
        _geom(name, "geom", f"wikipedia/{name}/geom_gcn", name, f"links between Wikipedia articles on {name}s; label: traffic")
        for name in ("chameleon", "squirrel")
    ),
    *(_airports(place) for place in ("usa", "brazil", "europe")),
    Entry(
        "email-eu-core",
        "email",
        "e-mails inside a research institution; label: department; features (there are none): one-hot in-degree up to 128",
        "Leskovec et al., 2007, doi:10.1145/1217299.1217301 (SNAP)",
        "email_eu_core",
        tuple((file, f"{_SNAP}{file}.gz") for file in ("email-Eu-core.txt", "email-Eu-core-department-labels.txt")),
    ),
)

DATASETS: dict[str, Entry] = {entry.name: entry for entry in _ENTRIES}

ALIASES: dict[str, str] = {
    "photo": "amazon-photo",
    "amazonphoto": "amazon-photo",
    "computers": "amazon-computers",
    "amazoncomputers": "amazon-computers",
    "cs": "coauthor-cs",
    "coauthorcs": "coauthor-cs",
    "physics": "coauthor-physics",
    "coauthorphysics": "coauthor-physics",
    "wiki-cs": "wikics",
    "cite-seer": "citeseer",
    "pub-med": "pubmed",
    "coraml": "cora-ml",
    "corafull": "cora-full",
    "citation-full-dblp": "dblp",
    "flickr-small": "flickr-attributed",
    "film": "actor",
    "johns-hopkins55": "johnshopkins55",
    "facebook-page-page": "facebook",
    "facebookpagepage": "facebook",
    "usa-airports": "airports-usa",
    "brazil-airports": "airports-brazil",
    "europe-airports": "airports-europe",
    "email": "email-eu-core",
    "emaileucore": "email-eu-core",
    "karateclub": "karate",
    "karate-club": "karate",
    "csbm": "sbm",
}
