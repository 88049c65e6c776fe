"""Settings of a command: blocks, each beside what it configures, behind one flat face of names.

A block is a frozen dataclass; a command's settings are a frozen dataclass of blocks. No two blocks of one command have
a field of the same name, so a setting is named by its field alone: on the command line (`--batch_size`), in Python
(`TrainConfig.of(batch_size=8)`, `config.replace(batch_size=8)`, `config.batch_size`) and in `settings.json`.
"""

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any, TypeVar

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
            blocks[field.name] = field.type(**own) if default is None else _changed(default, own)
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

    def problems(self) -> Iterator[str]:
        """What each block finds wrong with itself, as sentences."""
        for block in self.blocks().values():
            yield from getattr(block, "problems", tuple)()

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


def _default(field: dataclasses.Field) -> Any:
    """A block's own default; None where it has none."""
    if field.default is not dataclasses.MISSING:
        return field.default
    return None if field.default_factory is dataclasses.MISSING else field.default_factory()


def _changed(block: Any, values: Mapping[str, Any]) -> Any:
    return dataclasses.replace(block, **values) if values else block


def _refuse_unknown(cls: type, names: set[str]) -> None:
    if names:
        raise TypeError(f"{cls.__name__}: expected names of its settings, got {', '.join(sorted(names))}")
