"""The command ``graphssl data``: convert, info and inspect. Imports nothing heavy until it is needed."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import tyro
from tyro.conf import Positional

from graphssl.cli import check_there
from graphssl.datasets.table import DATASETS, canonical
from graphssl.files import CARD, check_free
from graphssl.flags import TableOptions, check_flags, flag_class, table_options
from graphssl.naming import nearest
from graphssl.recipes import is_known
from graphssl.stages import Stages

if TYPE_CHECKING:
    from graphssl.store import Card, Source

USAGE = """\
usage: graphssl data COMMAND ...

  convert DATA --out STORE  write a node-level dataset, by name or from a file or folder, as a store
  info STORE                what a store holds; --verify reads all of it
  inspect DATA              what is found in a file, folder or dataset: nodes, edges, features, labels, names

A store is a folder of plain arrays that is mapped into memory; every command takes one in place of a dataset.
graphssl data COMMAND --help tells the options of each. Try: graphssl data convert digits --out digits.store"""


@dataclass
class Convert:
    """Write DATA as a store. What was interrupted goes on with the same command."""

    data: Positional[str]
    """Node-level dataset by name, or a file or folder of one's own."""
    out: Path
    """Folder to write, such as NAME.store."""
    dtype: Literal["float32", "float16", "bfloat16"] = "float32"
    """Of the features; half precision takes half the space."""
    memory: str = "4GB"
    """Memory to get along with; the result does not depend on it."""
    directed: bool = False
    """Of an OGB node set: keep the edges as they are listed (else both directions of each)."""
    relation: str | None = None
    """Of an OGB node set with kinds of nodes: which edges, as paper__cites__paper."""
    root: str | None = None
    """Folder of the raw data (else GRAPHSSL_DATA, else a per-user cache)."""
    yes: bool = False
    """Go ahead with a download above 1 GB."""
    force: bool = False
    """Replace the store if it exists."""
    quiet: bool = False
    """No progress."""
    json: bool = False
    """Print what the store holds as JSON and nothing else."""


@dataclass
class Info:
    """Show what STORE holds, and check that its files are whole."""

    store: Positional[Path]
    """Folder of a store."""
    verify: bool = False
    """Read all files, and compare them with their digests."""
    json: bool = False
    """As JSON."""


@dataclass
class Inspect:
    """Tell what is found in DATA, before anything is trained."""

    data: Positional[str]
    """A file or folder of one's own, or a dataset by name."""
    root: str | None = None
    """Folder of the raw data (else GRAPHSSL_DATA, else a per-user cache)."""
    json: bool = False
    """As JSON."""


def data(args: list[str]) -> int:
    """``graphssl data``."""
    commands: dict[str, Callable[[list[str]], int]] = {"convert": _convert, "info": _info, "inspect": _inspect}
    if not args or args[0] in ("-h", "--help"):
        print(USAGE, file=sys.stdout if args else sys.stderr)
        return 0 if args else 2
    if args[0] not in commands:
        raise nearest("command of data", args[0], list(commands))
    return commands[args[0]](args[1:])


def _convert(args: list[str]) -> int:
    check_flags(args, Convert, "data convert")
    options = tyro.cli(Convert, prog="graphssl data convert", args=args)
    from graphssl.store.format import as_bytes

    as_bytes(options.memory)
    check_free(options.out, force=options.force, mark=CARD, what="store")
    source = _source(options)
    from graphssl.store import write_store

    try:
        with Stages(quiet=options.quiet or options.json) as stages:
            card = write_store(source, options.out, dtype=options.dtype, memory=options.memory, tell=stages.tell, force=options.force)
    except KeyboardInterrupt:
        print("interrupted; the same command goes on from here", file=sys.stderr)
        return 130
    _show(card, options.out, options.json)
    return 0


def _info(args: list[str]) -> int:
    check_flags(args, Info, "data info")
    options = tyro.cli(Info, prog="graphssl data info", args=args)
    from graphssl.store.format import read_card

    read_card(options.store)  # says at once that it is no store
    from graphssl.store import open_store

    card = open_store(options.store, verify="full" if options.verify else "sizes").card
    _show(card, options.store, options.json)
    if options.verify and not options.json:
        print("All files are as they were written.")
    return 0


def _inspect(args: list[str]) -> int:
    kind = flag_class(Inspect, TableOptions(), doc=f"{Inspect.__doc__}")
    check_flags(args, kind, "data inspect")
    options = tyro.cli(kind, prog="graphssl data inspect", args=args)
    check_there(options.data)
    from graphssl.datasets import load
    from graphssl.inspecting import described

    named = is_known(options.data)
    found = described(load(options.data if named else Path(options.data), options.root, **table_options(options)))
    if options.json:
        print(json.dumps(found, indent=2))
        return 0
    width = max(len(name) for name in found)
    for name, value in found.items():
        print(f"{name:<{width}}  {', '.join(f'{a}: {b}' for a, b in value.items()) if isinstance(value, dict) else value}")
    return 0


def _source(options: Convert) -> Source:
    given = options.data
    if not given:
        raise ValueError("data: the name of a dataset or a path is needed, got nothing")
    named = is_known(given)
    if not named:
        check_there(given)
    name = canonical(given) if named else ""
    if named and DATASETS[name].level != "node":
        raise ValueError(f"data: a store holds one graph whose nodes are labelled, and {name} is graph-level")
    path = Path(given).expanduser()
    from graphssl.datasets.ogb_layouts import set_above
    from graphssl.datasets.ogb_nodes import open_source

    if DATASETS[name].family == "ogbn" if named else set_above(path) is not None:
        symmetric = False if options.directed else None
        return open_source(name or path, options.root, yes=options.yes, symmetric=symmetric, relation=options.relation)
    for flag in ("directed", "relation"):
        if getattr(options, flag):
            raise ValueError(f"{flag}: only OGB's node sets have directions and relations to choose, and {given} is none")
    from graphssl.datasets import load
    from graphssl.store import dataset_source

    return dataset_source(load(name or path, options.root, yes=options.yes))


def _show(card: Card, folder: Path, as_json: bool) -> None:
    if as_json:
        print(json.dumps({"store": str(folder), "digest": card.digest, **card.model_dump(mode="json")}, indent=2))
        return
    known = card.statistics
    print(card.summary())
    print(
        f"degrees {known.degree_min:,} to {known.degree_max:,}, mean {known.degree_mean:.1f}; {known.isolated:,} nodes without neighbours, "
        f"{known.self_loops:,} self-loops; features {min(known.min):.4g} to {max(known.max):.4g}"
    )
    where = f"{card.source} (licence {card.licence})" if card.licence else card.source
    print(f"Store: {folder}{f'; from {where}' if where else ''}")
