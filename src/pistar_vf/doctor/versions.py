"""Installed versions, and how they differ from a list of pins."""

import dataclasses
import re
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path

REQUIRED = (
    "pistar-vf",
    "jax",
    "jaxlib",
    "flax",
    "optax",
    "orbax-checkpoint",
    "numpy",
    "pyarrow",
    "av",
    "sentencepiece",
    "tyro",
    "etils",
    "matplotlib",
)
"""What the library cannot do without, and whose version matters."""

OPTIONAL = (
    "jax-cuda12-plugin",
    "jax-cuda13-plugin",
    "protobuf",
    "torch",
    "transformers",
    "lerobot",
    "libcst",
    "wandb",
    "scikit-learn",
)
"""Shown where they are installed."""

_TOOLS = {"pip", "setuptools", "wheel", "uv", "pistar-vf"}
"""Not pinned, and no reason to move the pins."""


@dataclasses.dataclass(frozen=True)
class Change:
    """One package of an environment that is not as pinned.

    Attributes:
        name: the package.
        pinned: its version in the list; None where the list lacks it.
        installed: its version here; None where it is not installed.
    """

    name: str
    pinned: str | None
    installed: str | None

    def __str__(self) -> str:
        return f"{self.name} {self.pinned or 'absent'} -> {self.installed or 'absent'}"


TESTED_SETS = ("newest", "py312", "openpi", "lerobot")
"""The files of `constraints/`: newest for Python 3.11, newest from 3.12 on, openpi's, and beside LeRobot."""


def canonical_name(name: str) -> str:
    """A package's name as constraints files spell it: `Orbax_Checkpoint` is `orbax-checkpoint`."""
    return re.sub(r"[-_.]+", "-", name).lower()


def installed_versions() -> dict[str, str]:
    """Canonical name to version of every package that this interpreter sees."""
    found: dict[str, str] = {}
    for distribution in metadata.distributions():
        if name := distribution.name:  # None where an uninstall left an empty folder behind
            found.setdefault(canonical_name(name), distribution.version)  # the first on the path is the one imported
    return found


def read_pins(path: Path) -> dict[str, str]:
    """Canonical name to version of a constraints file of `name==version` lines."""
    lines = [line.split("#")[0].strip() for line in path.read_text(encoding="utf-8").splitlines()]
    pairs = [line.split("==") for line in lines if line]
    return {canonical_name(name): version for name, version in pairs}


def changes_from(pins: Mapping[str, str], installed: Mapping[str, str]) -> list[Change]:
    """Every package whose version differs, in alphabetical order; those that install packages do not count.

    Local labels do not count either: torch 2.13.0+cpu is torch 2.13.0.
    """
    names = sorted((pins.keys() | installed.keys()) - _TOOLS)
    found = [Change(name, pins.get(name), installed.get(name)) for name in names]
    return [change for change in found if _public(change.pinned) != _public(change.installed)]


def _public(version: str | None) -> str | None:
    return version and version.split("+")[0]


def compare_tested_sets(installed: Mapping[str, str]) -> dict[str, list[Change]]:
    """Name of each set of versions the tests pass on, to how the packages installed here differ from it.

    Only a checkout knows the sets: they are no part of an installed wheel.
    """
    folder = Path(__file__).resolve().parents[3] / "constraints"
    sets = {name: folder / f"{name}.txt" for name in TESTED_SETS}
    return {name: _of_both(path, installed) for name, path in sets.items() if path.is_file()}


def _of_both(path: Path, installed: Mapping[str, str]) -> list[Change]:
    return [change for change in changes_from(read_pins(path), installed) if change.pinned and change.installed]
