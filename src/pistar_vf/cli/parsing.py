"""One way from the words of a command line to settings."""

import dataclasses
import types
from collections.abc import Iterator, Sequence
from typing import Annotated, Any, TypeVar, Union, get_args, get_origin

import tyro

from pistar_vf.cli.paths import with_local_paths
from pistar_vf.settings import Composed

T = TypeVar("T")
_MANY, _ONE, _NONE = "many", "one", "none"


def parse(
    kind: type[T],
    argv: Sequence[str],
    prog: str,
    *,
    default: T | None = None,
    description: str | None = None,
    bare: str | None = None,
) -> T:
    """Reads a command line in one pass; an unknown flag, a missing one or a wrong value ends the program.

    Values of one flag may follow it together or each after a flag of its own: `--data_dir A B` or
    `--data_dir A --data_dir B`.

    Args:
        kind: the settings: a dataclass, or blocks of settings (`Composed`), which are shown in a box each.
        argv: the words after the command.
        prog: what the help calls the command.
        default: settings to start from; fields that are `tyro.MISSING` must be given.
        description: what the help says about the command; None for the docstring of `kind`.
        bare: flag to which words without a flag belong, wherever they stand: `check --decode DIR`.
    """
    settings: T = tyro.cli(  # type: ignore[assignment]
        kind,
        prog=prog,
        args=ordered(argv, kinds_of_flags(kind), bare),
        default=default,
        description=description,
        use_underscores=True,
        config=(tyro.conf.OmitArgPrefixes,),
    )
    return with_local_paths(settings)


def flag_value(argv: Sequence[str], flag: str) -> str | None:
    """The value that a flag will have, to choose the defaults before the command line is read; None without one."""
    found = None
    for i, word in enumerate(argv):
        name, equals, value = word.partition("=")
        if name.replace("-", "_") == flag.replace("-", "_"):
            found = value if equals else argv[i + 1] if i + 1 < len(argv) else ""
    return found


def required(settings: T, *names: str) -> T:
    """The same settings with some marked as required; tyro's mark has no type that a constructor would accept."""
    marked = _copy(settings)
    for field in dataclasses.fields(settings):  # type: ignore[arg-type]
        block = _copy(getattr(settings, field.name))
        for name in names:
            if hasattr(block, name):
                object.__setattr__(block, name, tyro.MISSING)
        object.__setattr__(marked, field.name, block)
    return marked


def kinds_of_flags(kind: type) -> dict[str, str]:
    """How many words follow each flag: "none", "one" or "many"; "joined" where many become one, with commas."""
    fields = dataclasses.fields(kind)
    if issubclass(kind, Composed):
        fields = tuple(inner for field in fields for inner in dataclasses.fields(field.type))  # type: ignore[arg-type]
    return {field.name: field.metadata.get("words") or _kind(field.type) for field in fields}


def ordered(argv: Sequence[str], kinds: dict[str, str], bare: str | None = None) -> list[str]:
    """The words with all values of a repeated flag behind one flag, and bare words behind theirs."""
    words: list[str] = []
    many: dict[str, list[str]] = {}
    for flag, values in groups(argv):
        name = flag.removeprefix("--").replace("-", "_")
        how = kinds.get(name, _NONE if kinds.get(name.removeprefix("no_")) == _NONE else "unknown")
        count = {_ONE: 1, _NONE: 0}.get(how, len(values))
        own, stray = (values[:count], values[count:]) if bare else (values, [])
        if flag and how in (_MANY, "joined"):
            many.setdefault(name, []).extend(own)
        elif flag:
            words += [flag, *own]
        else:
            stray = values if bare else []
            words += [] if bare else values
        if stray:
            many.setdefault(bare, []).extend(stray)  # type: ignore[arg-type]
    for name, values in many.items():
        words += [f"--{name}", *([",".join(values)] if kinds[name] == "joined" and values else values)]
    return words


def groups(argv: Sequence[str]) -> Iterator[tuple[str, list[str]]]:
    """(flag, the words up to the next one); the first flag is "" where words come before any."""
    flag, values = "", []
    for word in argv:
        if not word.startswith("--"):
            values.append(word)
            continue
        if flag or values:
            yield flag, values
        flag, equals, value = word.partition("=")
        values = [value] if equals else []
    if flag or values:
        yield flag, values


def _kind(annotation: Any) -> str:
    if get_origin(annotation) is Annotated:
        return _kind(get_args(annotation)[0])
    if get_origin(annotation) in (Union, types.UnionType):
        kinds = {_kind(choice) for choice in get_args(annotation)}
        return _MANY if _MANY in kinds else _ONE
    return _NONE if annotation is bool else _MANY if get_origin(annotation) is tuple else _ONE


def _copy(frozen: T) -> T:
    """Without its constructor."""
    copied = object.__new__(type(frozen))
    copied.__dict__.update(frozen.__dict__)
    return copied
