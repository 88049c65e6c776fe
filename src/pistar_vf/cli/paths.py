"""Paths on a command line: one way for every flag."""

import dataclasses
import errno
import os
import re
import types
from pathlib import Path
from typing import Annotated, Any, TypeVar, Union, get_args, get_origin

from pistar_vf.errors import ConfigError
from pistar_vf.hub.address import is_hub_address
from pistar_vf.settings import Composed

T = TypeVar("T")
_ADDRESS = re.compile(r"^([A-Za-z][A-Za-z0-9+.-]+):(?:/|$)")
_READ_AS_ADDRESS = re.compile(r"^[A-Za-z0-9+.-]{2,}:")
"""Relative names that PyArrow or FFmpeg would take for one: run:1/episodes, 2026-11-27T10:00:00."""
_FROM_HUB = ("data_dir", "val_data_dir")
"""Flags that take an address on the hub, hf://<owner>/<name>, besides a folder."""
_NAMES = ("_dir", "_path", "_file", "_checkpoint", "_root")


def local_path(value: str | Path, flag: str) -> Path:
    """A path of this machine: a home folder at its beginning is filled in, an address is refused.

    Args:
        value: as given.
        flag: what named it.

    Raises:
        ConfigError: it is an address such as gs://bucket/folder, in the home folder of nobody, or no possible name.
    """
    return Path(_filled_in(_checked(str(value), flag), flag))


def _filled_in(value: str, flag: str) -> str:
    """With the home folder at its beginning, and absolute where libraries would read an address.

    Raises:
        ConfigError: there is no such home folder, the name is too long, or links lead in a circle.
    """
    try:
        path = Path(value).expanduser()
    except RuntimeError as error:
        raise ConfigError(
            f"{flag} {value}: expected a user of this machine behind `~`; write ./{value} for a folder of that name"
        ) from error
    if _READ_AS_ADDRESS.match(value):
        path = path.absolute()
    try:
        path.stat()
    except OSError as error:
        if error.errno in (errno.ENAMETOOLONG, errno.ELOOP):
            raise ConfigError(
                f"{flag} {value}: expected a path, got '{os.strerror(error.errno)}'; name another one"
            ) from error
    return str(path)


def with_local_paths(settings: T) -> T:
    """Settings with `local_path` in the place of every path.

    Raises:
        ConfigError: a flag is an address.
    """
    changed: dict[str, Any] = {}
    for field in dataclasses.fields(settings):  # type: ignore[arg-type]
        value = getattr(settings, field.name)
        if isinstance(settings, Composed) and dataclasses.is_dataclass(value):
            new: Any = with_local_paths(value)
        elif _is_path(field.type) and field.name not in _FROM_HUB:
            new = _local(value, f"--{field.name}")
        elif field.name.endswith(_NAMES):
            new = _text(value, f"--{field.name}", or_hub=field.name in _FROM_HUB)
        else:
            continue
        if new != value:
            changed[field.name] = new
    return dataclasses.replace(settings, **changed) if changed else settings  # type: ignore[type-var]


def _local(value: Any, flag: str) -> Any:
    if isinstance(value, tuple):
        return tuple(_local(entry, flag) for entry in value)
    return local_path(value, flag) if isinstance(value, (str, Path)) else value


def _text(value: Any, flag: str, *, or_hub: bool = False) -> Any:
    """Of flags that may hold a path or another word, such as a name in a cache."""
    if isinstance(value, tuple):
        return tuple(_text(entry, flag, or_hub=or_hub) for entry in value)
    if isinstance(value, Path):
        return local_path(value, flag)
    if not isinstance(value, str) or (or_hub and is_hub_address(value)):
        return value
    checked = _checked(value, flag)
    filled = _filled_in(checked, flag)
    return filled if checked.startswith("~") or _READ_AS_ADDRESS.match(checked) else checked


def _checked(value: str, flag: str) -> str:
    match = _ADDRESS.match(value)
    if match is not None:
        raise ConfigError(
            f"{flag} {value}: expected a folder or file of this machine, got an address ({match[1]}://); copy it here "
            "first, or mount the bucket and name the mounted folder"
        )
    return value


def _is_path(annotation: Any) -> bool:
    if get_origin(annotation) is Annotated:
        return _is_path(get_args(annotation)[0])
    if get_origin(annotation) in (Union, types.UnionType, tuple):
        return any(_is_path(choice) for choice in get_args(annotation))
    return annotation is Path
