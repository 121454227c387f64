"""Options of a command from the fields of a pydantic model, so that what can be set is written once."""

from __future__ import annotations

from dataclasses import field, fields, make_dataclass
from typing import Annotated, Any, Literal, get_args, get_origin

from pydantic import BaseModel
from tyro.conf import arg

from graphssl.recipes import nearest


def flag_class(own: type[Any], numbers: BaseModel, doc: str, *, hidden: tuple[str, ...] = ()) -> type[Any]:
    """A dataclass with the fields of ``own`` and those of ``numbers``, whose values are the defaults; their docstrings are the help.

    Args:
        own: a dataclass of the command's own options.
        numbers: what else can be set.
        doc: what the command's help begins with.
        hidden: fields of ``numbers`` that are no options.
    """
    more = [
        (name, Annotated[(info.annotation, *info.metadata, arg(help=info.description))], field(default=getattr(numbers, name)))  # type: ignore[misc]
        for name, info in type(numbers).model_fields.items()
        if name not in hidden
    ]
    return make_dataclass(own.__name__, more, bases=(own,), namespace={"__doc__": doc})


def check_flags(args: list[str], options: type[Any], command: str) -> None:
    """Refuse an unknown flag, or an unknown word for a flag that takes one of several.

    Raises:
        ValueError: with the nearest known one.
    """
    kinds = {f.name.replace("_", "-"): f.type for f in fields(options)}
    known = [*kinds, *(f"no-{name}" for name, kind in kinds.items() if bool in (kind, *get_args(kind))), "help"]
    for flag, following in zip(args, [*args[1:], ""], strict=False):
        if not flag.startswith("--"):
            continue
        name, _, joined = flag[2:].replace("_", "-").partition("=")
        if name not in known:
            raise nearest(f"option of {command}", name, known[:-1])
        words = [word for part in (kinds.get(name), *get_args(kinds.get(name))) if get_origin(part) is Literal for word in get_args(part)]
        if words and (joined or following) not in (*words, "None", ""):
            raise nearest(name, joined or following, words)
