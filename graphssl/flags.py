"""Options of a command from the fields of a pydantic model, so that what can be set is written once."""

from __future__ import annotations

from dataclasses import field, fields, make_dataclass
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

from pydantic import BaseModel, ConfigDict
from tyro.conf import Positional, arg

from graphssl.naming import nearest


class TableOptions(BaseModel):
    """Options of a user's own table of molecules or graph, and of large downloads."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    smiles: str | None = None
    """Of a table of molecules: the column of SMILES (else found by its name)."""
    targets: tuple[str, ...] | None = None
    """Of a table of molecules: the columns to predict (else all that are numbers); of a graph: the column or attribute of labels."""
    split: str | None = None
    """Of a table of molecules: scaffold (the default), random, stratified; of it and of a graph: the column of train, valid and test."""
    invalid: Literal["skip", "refuse", "relax"] | None = None
    """Of a table of molecules: leave SMILES that cannot be read out (the default), stop at them, or read them leniently."""
    ends: tuple[str, str] | None = None
    """Of a table of edges: the columns where an edge starts and ends (else found by their names)."""
    edge_weight: str | None = None
    """Of one's own graph: the column or attribute of edge weights (else one that is called weight)."""
    directed: bool | None = None
    """Of one's own graph: keep directions (else as its file says; a table of edges has none)."""
    attributes: tuple[str, ...] | None = None
    """Of one's own graph: the columns or attributes of nodes that become features (else all that can)."""
    structure: Literal["degree", "laplacian", "random-walk", "constant"] | None = None
    """Of one's own graph: what nodes carry where they bring no features (degree by default), or besides."""
    yes: bool = False
    """Go ahead with a download above 1 GB."""


def table_options(flags: Any) -> dict[str, Any]:
    """What was said of a user's own table or graph, and of large downloads, as options of :func:`graphssl.load`."""
    given = {name: getattr(flags, name) for name in TableOptions.model_fields}
    said = {name: value for name, value in given.items() if value or (name == "directed" and value is not None)}
    return {name: list(value) if isinstance(value, tuple) else value for name, value in said.items()}


def flag_class(own: type[Any], *models: BaseModel, doc: str, hidden: tuple[str, ...] = ()) -> type[Any]:
    """A dataclass with the fields of ``own`` and those of ``models``, whose values are the defaults; their docstrings are the help.

    Args:
        own: a dataclass of the command's own options.
        models: what else can be set.
        doc: what the command's help begins with.
        hidden: fields of ``models`` that are no options.
    """
    more = [
        (name, Annotated[(info.annotation, *info.metadata, arg(help=info.description))], field(default=getattr(model, name)))  # type: ignore[misc]
        for model in models
        for name, info in type(model).model_fields.items()
        if name not in hidden
    ]
    return make_dataclass(own.__name__, more, bases=(own,), namespace={"__doc__": doc})


def choices(kind: Any) -> tuple[Any, ...]:
    """The words that an annotation allows, however deep in it they are; none where it allows others.

    Example:
        >>> choices(Annotated[Literal["skip", "relax"] | None, "how"]), choices(int | None)
        (('skip', 'relax'), ())
    """
    if get_origin(kind) is Literal:
        return get_args(kind)
    if get_origin(kind) is Annotated:
        return choices(get_args(kind)[0])
    parts = [part for part in get_args(kind) if part is not type(None)] if get_origin(kind) in (Union, UnionType) else []
    found = [choices(part) for part in parts]
    return tuple(word for words in found for word in words) if all(found) else ()


def check_flags(args: list[str], options: type[Any], command: str) -> None:
    """Refuse an unknown flag, or an unknown word for a flag that takes one of several.

    Raises:
        ValueError: with the nearest known one.
    """
    hints = get_type_hints(options, include_extras=True)
    kinds = {f.name.replace("_", "-"): hints[f.name] for f in fields(options) if not _is_positional(hints[f.name])}
    known = [*kinds, *(f"no-{name}" for name, kind in kinds.items() if bool in (kind, *get_args(kind))), "help"]
    for flag, following in zip(args, [*args[1:], ""], strict=False):
        if not flag.startswith("--"):
            continue
        name, _, joined = flag[2:].replace("_", "-").partition("=")
        if name not in known:
            raise nearest(f"option of {command}", name, known[:-1])
        words = choices(kinds.get(name))
        if words and (joined or following) not in (*words, "None", ""):
            raise nearest(name, joined or following, list(words))


def _is_positional(kind: Any) -> bool:
    return get_origin(kind) is Annotated and set(get_args(Positional[int])[1:]) <= set(kind.__metadata__)
