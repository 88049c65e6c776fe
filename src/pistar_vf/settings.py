"""Settings of a command: blocks, each beside what it configures, behind one flat face of names.

A block is a frozen dataclass; a command's settings are a frozen dataclass of blocks. No two blocks of one command have
a field of the same name, so a setting is named by its field alone: on the command line (`--batch_size`), in Python
(`TrainConfig.of(batch_size=8)`, `config.replace(batch_size=8)`, `config.batch_size`) and in `settings.json`.
"""

import dataclasses
import functools
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args, get_origin

from pistar_vf.errors import ConfigError

C = TypeVar("C", bound="Composed")


class Composed:
    """Base of a command's settings; every field of a subclass is a block."""

    @classmethod
    def of(cls: type[C], **values: Any) -> C:
        """Settings from flat names; what is not named keeps its default.

        Raises:
            TypeError: a name belongs to no block, or a setting without a default is not named.
        """
        _refuse_unknown(cls, values.keys() - set(cls.names()))
        blocks = {}
        for field in dataclasses.fields(cls):  # type: ignore[arg-type]
            own = {name: value for name, value in values.items() if name in _names(field.type)}
            default = _default(field)
            block: Any = field.type
            blocks[field.name] = block(**own) if default is None else _changed(default, own)
        return cls(**blocks)

    def replace(self: C, **values: Any) -> C:
        """The same settings with some of them changed, by flat names.

        Raises:
            TypeError: a name belongs to no block.
        """
        _refuse_unknown(type(self), values.keys() - set(self.names()))
        changed = {}
        for name, block in self.blocks().items():
            own = {key: value for key, value in values.items() if key in _names(type(block))}
            changed[name] = _changed(block, own)
        return type(self)(**changed)

    def blocks(self) -> dict[str, Any]:
        """The blocks by name."""
        return {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}  # type: ignore[arg-type]

    def flat(self) -> dict[str, Any]:
        """Every setting by its name."""
        return {name: getattr(block, name) for block in self.blocks().values() for name in _names(type(block))}

    def as_text(self) -> dict[str, str]:
        """Every setting by its name, in words."""
        return {name: str(value) for name, value in self.flat().items()}

    def checks(self) -> Iterator[Callable[[], object]]:
        """What can be wrong with the settings, block by block; each raises `ConfigError`."""
        for block in self.blocks().values():
            for field in dataclasses.fields(block):
                yield functools.partial(_check_word, field, getattr(block, field.name))
            yield from getattr(block, "checks", tuple)()

    def to_json(self) -> dict[str, Any]:
        """Every setting by its name, as JSON has it."""
        return {name: _plain(value) for name, value in self.flat().items()}

    @classmethod
    def from_json(cls: type[C], values: Mapping[str, Any], source: str) -> C:
        """The inverse of `to_json`; what is not there keeps its default.

        Args:
            values: by name.
            source: where they come from, for the error.

        Raises:
            ConfigError: a name belongs to no block, one without a default is missing, or a value is of another kind.
        """
        unknown = sorted(values.keys() - set(cls.names()))
        if unknown:
            raise ConfigError(f"{source}: expected settings of this version, got {', '.join(unknown)}; leave them out")
        fields = {field.name: field for block in dataclasses.fields(cls) for field in dataclasses.fields(block.type)}  # type: ignore[arg-type]
        try:
            return cls.of(**{name: _typed(value, fields[name].type) for name, value in values.items()})
        except (TypeError, IndexError) as error:
            raise ConfigError(f"{source}: expected the settings of a run, got something else: {error}") from error

    @classmethod
    def defaults(cls) -> dict[str, Any]:
        """Every setting that has a default, by its name, as JSON has it."""
        found = {}
        for field in dataclasses.fields(cls):  # type: ignore[arg-type]
            block: Any = _default(field)
            for own in dataclasses.fields(field.type):  # type: ignore[arg-type]
                if block is not None or _has_default(own):
                    found[own.name] = _plain(_default(own) if block is None else getattr(block, own.name))
        return found

    @classmethod
    def names(cls) -> tuple[str, ...]:
        """The names of all settings."""
        return tuple(name for field in dataclasses.fields(cls) for name in _names(field.type))  # type: ignore[arg-type]

    def __getattr__(self, name: str) -> Any:
        """A setting by its flat name; only asked where there is no block of that name."""
        for block in vars(self).values():
            if name in _names(type(block)):
                return getattr(block, name)
        raise AttributeError(f"{type(self).__name__} has no setting '{name}'")


def _names(block: Any) -> tuple[str, ...]:
    return tuple(field.name for field in dataclasses.fields(block))


def _has_default(field: dataclasses.Field) -> bool:
    return field.default is not dataclasses.MISSING or field.default_factory is not dataclasses.MISSING


def _default(field: dataclasses.Field) -> Any:
    """A field's own default; None where it has none."""
    if field.default is not dataclasses.MISSING:
        return field.default
    return None if field.default_factory is dataclasses.MISSING else field.default_factory()


def _changed(block: Any, values: Mapping[str, Any]) -> Any:
    return dataclasses.replace(block, **values) if values else block


def _refuse_unknown(cls: type, names: set[str]) -> None:
    if names:
        raise TypeError(f"{cls.__name__}: expected names of its settings, got {', '.join(sorted(names))}")


def _check_word(field: dataclasses.Field, value: Any) -> None:
    words = get_args(field.type) if get_origin(field.type) is Literal else ()
    if words and value not in words:
        raise ConfigError(f"--{field.name}: expected one of {', '.join(words)}, got {value!r}")


def _plain(value: Any) -> Any:
    if isinstance(value, Path):
        return str(value)
    return [_plain(part) for part in value] if isinstance(value, tuple) else value


def _typed(value: Any, annotation: Any) -> Any:
    """A value of JSON as the type of its setting: lists become tuples, and texts paths."""
    choices = get_args(annotation) or (annotation,)
    if isinstance(value, list):
        inner = next((choice for choice in (annotation, *choices) if get_origin(choice) is tuple), None)
        if inner is None:
            raise TypeError(f"the list {value} for one value")
        return tuple(_typed(part, get_args(inner)[0]) for part in value)
    if isinstance(value, str) and Path in choices and str not in choices:
        return Path(value)
    return float(value) if isinstance(value, int) and float in choices and not isinstance(value, bool) else value
