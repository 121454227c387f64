"""The datasets by name, as a plain table: what each one is and which raw files it is read from. Imports no torch."""

from __future__ import annotations

from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

TABLES = (".csv", ".tsv", ".csv.gz", ".tsv.gz", ".parquet", ".pq")  # how a user's own table of molecules may end


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
    level: str = "node"  # or "graph": what is labelled
    molecules: bool = False  # nodes are atoms with OGB's attributes, edges are bonds
    parts: tuple[tuple[str, str], ...] = ()  # of a set put together from others: (name, "train" | "val" | "test")


def canonical(name: str) -> str:
    """The name in the table for what a user typed.

    Case does not matter, ``_`` and ``-`` are equal, and the aliases are known.

    Raises:
        ValueError: there is no such dataset; the message has the nearest names, or says that a file or folder here is called so.

    Example:
        >>> canonical("Amazon_Photo"), canonical("photo")
        ('amazon-photo', 'amazon-photo')
    """
    key = name.strip().lower().replace("_", "-").replace(" ", "-")
    key = ALIASES.get(key, key)
    if key in DATASETS:
        return key
    if key.startswith("ogbl-"):
        raise ValueError(f"dataset {name!r}: the OGB sets for links are not part of load; known are: {', '.join(DATASETS)}")
    if name.strip() and Path(name).exists():
        kind = "folder" if Path(name).is_dir() else "file"
        raise ValueError(f"unknown dataset {name!r}: there is a {kind} of that name here: write ./{name}")
    near = get_close_matches(key, [*DATASETS, *ALIASES], n=3, cutoff=0.5)
    hint = f"did you mean {' or '.join(near)}?" if near else f"known are: {', '.join(DATASETS)}"
    raise ValueError(f"unknown dataset {name!r}: {hint}")


def is_table(path: object) -> bool:
    """Whether a path ends like a table of molecules.

    Example:
        >>> is_table("mine.CSV.gz"), is_table("mine.npz")
        (True, False)
    """
    return str(path).lower().endswith(TABLES)


RANDOM = "20 random 10/10/80 splits"
TEN = "10 fixed splits"
FOLDS = "stratified 10-fold"
SCAFFOLD = "scaffold split 80/10/10"
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


def _tu(name: str, extra: str, what: str, paper: str, metric: str = "accuracy") -> Entry:
    """``extra``: which files it has beside the edges and the labels of graphs (node_labels, edge_attributes, ...)."""
    address = f"https://www.chrsmrrs.com/graphkerneldatasets/{name}.zip"
    files = tuple((f"{name}_{kind}.txt", address) for kind in ("A", "graph_indicator", "graph_labels", *extra.split()))
    source = f"{paper}; Morris et al., 2020, arXiv:2007.08663 (TUDataset, no licence stated)"
    return Entry(name.lower().replace("_", "-"), "tudataset", what, source, f"tudataset/{name}", files, metric, FOLDS, level="graph")


_LABELS, _BONDS, _ATTRIBUTES = "node_labels", "node_labels edge_labels", "node_labels node_attributes"
_YANARDAG = "Yanardag and Vishwanathan, 2015, doi:10.1145/2783258.2783417"
_HELMA = "Helma et al., 2001, doi:10.1093/bioinformatics/17.1.107"
_SUTHERLAND = "Sutherland et al., 2003, doi:10.1021/ci034143r"
_WALE = "Wale et al., 2008, doi:10.1007/s10115-007-0103-5"
_KARATE_CLUB = "Rozemberczki et al., 2020, arXiv:2003.04819"
_NEUMANN = "Neumann et al., 2016, doi:10.1007/s10994-015-5517-9"

_GRAPH_SETS = (
    _tu("MUTAG", _BONDS, "graphs: 188 nitroaromatic compounds; label: mutagenic", "Debnath et al., 1991, doi:10.1021/jm00106a046"),
    _tu("PTC_MR", _BONDS, "graphs: 344 compounds; label: carcinogenic in male rats", _HELMA),
    _tu("PTC_FM", _BONDS, "graphs: 349 compounds; label: carcinogenic in female mice", _HELMA),
    _tu("PTC_FR", _BONDS, "graphs: 351 compounds; label: carcinogenic in female rats", _HELMA),
    _tu("PTC_MM", _BONDS, "graphs: 336 compounds; label: carcinogenic in male mice", _HELMA),
    _tu("NCI1", _LABELS, "graphs: 4,110 compounds; label: active against lung cancer cells", _WALE),
    _tu("NCI109", _LABELS, "graphs: 4,127 compounds; label: active against ovarian cancer cells", _WALE),
    _tu("Mutagenicity", _BONDS, "graphs: 4,337 compounds; label: mutagenic", "Kazius et al., 2005, doi:10.1021/jm040835a"),
    _tu("AIDS", f"{_BONDS} node_attributes", "graphs: 2,000 compounds; label: active against HIV", "Riesen and Bunke, 2008, IAM"),
    _tu("BZR", _ATTRIBUTES, "graphs: ligands of the benzodiazepine receptor; label: active", _SUTHERLAND),
    _tu("COX2", _ATTRIBUTES, "graphs: inhibitors of cyclooxygenase-2; label: active", _SUTHERLAND),
    _tu("DHFR", _ATTRIBUTES, "graphs: inhibitors of dihydrofolate reductase; label: active", _SUTHERLAND),
    _tu("PROTEINS", _ATTRIBUTES, "graphs: 1,113 proteins, a node is a secondary structure; label: enzyme", "Borgwardt et al., 2005"),
    _tu("ENZYMES", _ATTRIBUTES, "graphs: 600 enzymes, a node is a secondary structure; label: one of 6 classes", "Borgwardt et al., 2005"),
    _tu(
        "DD",
        _LABELS,
        "graphs: 1,178 proteins, a node is an amino acid; label: enzyme",
        "Dobson and Doig, 2003, doi:10.1016/S0022-2836(03)00628-4",
    ),
    _tu("MSRC_9", _LABELS, "graphs: segments of images; label: one of 8 scenes", _NEUMANN),
    _tu("MSRC_21", _LABELS, "graphs: segments of images; label: one of 20 scenes", _NEUMANN),
    _tu("IMDB-BINARY", "", "graphs: actors around each of 1,000, joined by films; label: genre", _YANARDAG),
    _tu("IMDB-MULTI", "", "graphs: actors around each of 1,500, joined by films; label: one of 3 genres", _YANARDAG),
    _tu("REDDIT-BINARY", "", "graphs: who answered whom in 2,000 threads; label: discussion or questions", _YANARDAG),
    _tu("REDDIT-MULTI-5K", "", "graphs: who answered whom in 4,999 threads; label: one of 5 forums", _YANARDAG),
    _tu("REDDIT-MULTI-12K", "", "graphs: who answered whom in 11,929 threads; label: one of 11 forums", _YANARDAG),
    _tu("COLLAB", "", "graphs: co-authors around each of 5,000 physicists; label: one of 3 fields", _YANARDAG),
    _tu("reddit_threads", "", "graphs: who answered whom in 203,088 threads; label: discussion", _KARATE_CLUB, "roc_auc"),
    _tu("twitch_egos", "", "graphs: friends of each of 127,094 Twitch users; label: plays one game or several", _KARATE_CLUB, "roc_auc"),
    _tu(
        "github_stargazers",
        "",
        "graphs: developers who starred each of 12,725 projects; label: web or machine learning",
        _KARATE_CLUB,
        "roc_auc",
    ),
    _tu("deezer_ego_nets", "", "graphs: friends of each of 9,629 Deezer users; label: gender", _KARATE_CLUB, "roc_auc"),
)

_WU = "Wu et al., 2018, arXiv:1703.00564 (MoleculeNet)"


def _moleculenet(name: str, file: str, what: str, paper: str, metric: str = "roc_auc", *, zipped: bool = False) -> Entry:
    address = f"https://deepchemdata.s3-us-west-1.amazonaws.com/datasets/{file}{'.gz' if zipped else ''}"
    files = ((file, address),)
    return Entry(
        name, "moleculenet", f"molecules: {what}", f"{paper}; {_WU}", f"moleculenet/{name}", files, metric, SCAFFOLD, "graph", True
    )


def _ogb(name: str, what: str, metric: str = "roc_auc") -> Entry:
    source = f"Hu et al., 2020, arXiv:2005.00687 (OGB, MIT); {_WU}"
    return Entry(f"ogbg-mol{name}", "ogb", f"molecules: {what}", source, f"ogb/ogbg_mol{name}", (), metric, SCAFFOLD, "graph", True)


def _ogb_nodes(name: str, what: str, licence: str, split: str, metric: str = "accuracy") -> Entry:
    source = f"Hu et al., 2020, arXiv:2005.00687 (OGB, {licence})"
    return Entry(f"ogbn-{name}", "ogbn", what, source, f"ogb/ogbn_{name}", (), metric, f"the {split} split of OGB")


_RDKIT = "from the files that come with rdkit (BSD-3-Clause)"
_MOLECULES = (
    Entry(
        "chembl-2321810",
        "rdkit",
        "molecules: 1,017 compounds; target: measured activity; needs rdkit and no download",
        f"ChEMBL, CHEMBL2321810 (CC BY-SA 3.0), {_RDKIT}",
        metric="rmse",
        splits=SCAFFOLD,
        level="graph",
        molecules=True,
    ),
    Entry(
        "nci-5k",
        "rdkit",
        "molecules: 4,999 compounds of the NCI's open set, unlabelled, to pre-train on; needs rdkit and no download",
        f"National Cancer Institute, open compound set (no licence stated), {_RDKIT}",
        splits="none",
        level="graph",
        molecules=True,
    ),
    _moleculenet("hiv", "HIV.csv", "41,127 compounds; label: inhibits replication of HIV", "AIDS Antiviral Screen (NCI)"),
    _moleculenet("bace", "bace.csv", "1,513 compounds; label: inhibits beta-secretase 1", "Subramanian et al., 2016"),
    _moleculenet("bbbp", "BBBP.csv", "2,050 compounds; label: passes the blood-brain barrier", "Martins et al., 2012"),
    _moleculenet("clintox", "clintox.csv", "1,484 drugs; 2 labels: approved, toxic in trials", "Gayvert et al., 2016", zipped=True),
    _moleculenet("tox21", "tox21.csv", "7,831 compounds; 12 labels: toxicity assays", "Tox21 Challenge, 2014", zipped=True),
    _moleculenet("toxcast", "toxcast_data.csv", "8,597 compounds; 617 labels: toxicity assays", "Richard et al., 2016", zipped=True),
    _moleculenet("sider", "sider.csv", "1,427 drugs; 27 labels: side effects by organ", "Kuhn et al., 2016", zipped=True),
    _moleculenet("muv", "muv.csv", "93,127 compounds; 17 labels: activity", "Rohrer and Baumann, 2009", "average_precision", zipped=True),
    _moleculenet("esol", "delaney-processed.csv", "1,128 compounds; target: log solubility in water", "Delaney, 2004", "rmse"),
    _moleculenet("freesolv", "SAMPL.csv", "642 compounds; target: hydration free energy in kcal/mol", "Mobley and Guthrie, 2014", "rmse"),
    _moleculenet("lipo", "Lipophilicity.csv", "4,200 compounds; target: octanol/water distribution (log D)", "AstraZeneca, ChEMBL", "rmse"),
    _ogb("hiv", "41,127 compounds; label: inhibits replication of HIV"),
    _ogb("bace", "1,513 compounds; label: inhibits beta-secretase 1"),
    _ogb("bbbp", "2,039 compounds; label: passes the blood-brain barrier"),
    _ogb("clintox", "1,477 drugs; 2 labels: approved, toxic in trials"),
    _ogb("sider", "1,427 drugs; 27 labels: side effects by organ"),
    _ogb("tox21", "7,831 compounds; 12 labels: toxicity assays"),
    _ogb("toxcast", "8,576 compounds; 617 labels: toxicity assays"),
    _ogb("muv", "93,087 compounds; 17 labels: activity", "average_precision"),
    _ogb("pcba", "437,929 compounds; 128 labels: activity", "average_precision"),
    _ogb("esol", "1,128 compounds; target: log solubility in water", "rmse"),
    _ogb("freesolv", "642 compounds; target: hydration free energy in kcal/mol", "rmse"),
    _ogb("lipo", "4,200 compounds; target: octanol/water distribution (log D)", "rmse"),
)

_ATTRIBUTED = "https://drive.usercontent.google.com/download?confirm=t&id=1tZp3EB20fAC27SYWwa-x66_8uGsuU62X"
_DRIVE = "https://drive.usercontent.google.com/download?confirm=t&id="
_FLICKR = (  # as in PyG
    ("adj_full.npz", "1crmsTbd1-2sEXsGwa2IKnIB7Zd3TmUsy"),
    ("feats.npy", "1join-XdvX3anJU_MLVtick7MgeAQiWIZ"),
    ("class_map.json", "1uxIkbtg5drHTsKt-PAsZZ4_yJmgFmle9"),
    ("role.json", "1htXCtuktuCW8TR8KiKfrFDAxUgekQoV7"),
)
_SNAP = "https://snap.stanford.edu/data/"

_OGB_NODES = (
    _ogb_nodes("arxiv", "169,343 papers in computer science, 1.2 million citations; label: one of 40 subject areas", "ODC-BY", "time"),
    _ogb_nodes("products", "2.4 million products, 61.9 million pairs bought together; 47 categories", "Amazon", "sales_ranking"),
    _ogb_nodes("proteins", "132,534 proteins, 39.6 million associations; 112 functions", "CC-0", "species", "roc_auc"),
    _ogb_nodes("mag", "736,389 papers of the Microsoft Academic Graph, 5.4 million citations; 349 venues", "ODC-BY", "time"),
    _ogb_nodes("papers100M", "111 million papers, 1.6 billion citations; 172 subject areas; 57 GB to download", "ODC-BY", "time"),
)
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
    Entry(
        "motifs",
        "embedded",
        "graphs: synthetic: 600 seeded graphs of motifs, the same degrees wired in 3 ways; needs no download",
        "synthetic; our own",
        splits=FOLDS,
        level="graph",
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
        "reddit",
        "reddit",
        "232,965 posts to Reddit, joined where one user wrote under both; label: the community",
        "Hamilton et al., 2017, arXiv:1706.02216",
        "reddit",
        tuple((file, "https://data.dgl.ai/dataset/reddit.zip") for file in ("reddit_data.npz", "reddit_graph.npz")),
        splits="the split of the paper, by day",
    ),
    Entry(
        "flickr",
        "graphsaint",
        "89,250 pictures on Flickr, joined where they share a place, a gallery or a user; label: the kind of tag",
        "Zeng et al., 2020, arXiv:1907.04931",
        "flickr",
        tuple((f"{name}", f"{_DRIVE}{key}") for name, key in _FLICKR),
        splits="the split of GraphSAINT",
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
    *_GRAPH_SETS,
    *_MOLECULES,
    *_OGB_NODES,
)

DATASETS: dict[str, Entry] = {entry.name: entry for entry in _ENTRIES}

ALIASES: dict[str, str] = {
    "ogbn-papers100m": "ogbn-papers100M",
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
    "chembl": "chembl-2321810",
    "nci": "nci-5k",
    "delaney": "esol",
    "sampl": "freesolv",
    "lipophilicity": "lipo",
    "ptc": "ptc-mr",
    "d&d": "dd",
    "imdb-b": "imdb-binary",
    "imdb-m": "imdb-multi",
    "reddit-b": "reddit-binary",
    "rdt-b": "reddit-binary",
    "reddit-5k": "reddit-multi-5k",
    "reddit-m5k": "reddit-multi-5k",
    "rdt-m5k": "reddit-multi-5k",
    "reddit-12k": "reddit-multi-12k",
    "rdt-m12k": "reddit-multi-12k",
}
