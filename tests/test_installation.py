"""What to type for an extra, and what may be installed. Oracle: the packages that pyproject.toml names."""

import tomllib
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from pistar_vf import installation
from pistar_vf.doctor.versions import TESTED_SETS, canonical_name, read_pins

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


@pytest.mark.parametrize(
    ("extra", "expected"),
    [
        ("wandb", "pip install 'wandb>=0.18'"),
        ("baselines", "pip install 'scikit-learn>=1.4'"),
        ("patches", "pip install 'libcst>=1.5'"),
        ("serve", "pip install 'websockets>=13' 'msgpack>=1'"),
    ],
)
def test_extras_are_named_by_their_packages(monkeypatch, extra, expected):
    """As the metadata of wheels and of editable installations spell them."""
    lines = [
        "wandb>=0.18; extra == 'wandb'",
        'scikit-learn>=1.4 ; extra == "baselines"',
        "libcst>=1.5; extra=='patches'",
    ]
    lines += ["websockets>=13; extra == 'serve'", "msgpack>=1; extra == 'serve'", "numpy>=1.26"]
    monkeypatch.setattr(metadata, "requires", lambda name: lines)
    assert installation.install_command(extra) == expected


def test_a_source_tree_that_is_not_installed(monkeypatch):
    def missing(name: str) -> list[str]:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "requires", missing)
    assert installation.install_command("wandb") == "pip install -e '.[wandb]' in the checkout"


@pytest.mark.parametrize("name", TESTED_SETS)
def test_every_tested_set_is_within_the_bounds(name):
    pins = read_pins(ROOT / "constraints" / f"{name}.txt")
    for requirement in map(Requirement, PROJECT["dependencies"]):
        pinned = pins[canonical_name(requirement.name)]
        assert requirement.specifier.contains(pinned), f"{requirement}, pinned {pinned}"


def test_what_the_project_does_not_ask_for():
    """Orbax 1 has another interface; LeRobot is beside us (constraints/lerobot.txt), an extra would fix its version."""
    (orbax,) = (r for r in map(Requirement, PROJECT["dependencies"]) if r.name == "orbax-checkpoint")
    assert not any(orbax.specifier.contains(version) for version in ("1.0.0", "1.2.3", "2.0"))
    extras = [Requirement(text) for texts in PROJECT["optional-dependencies"].values() for text in texts]
    assert "lerobot" not in {canonical_name(extra.name) for extra in extras}


def test_the_sets_for_newer_pythons_and_beside_lerobot():
    """Each is what its name says: PyAV and numpy as LeRobot wants them, or newer than any Python 3.11 can have."""
    sets = {name: read_pins(ROOT / "constraints" / f"{name}.txt") for name in TESTED_SETS}
    assert sets["lerobot"]["lerobot"].startswith("0.6.")
    assert all("lerobot" not in pins for name, pins in sets.items() if name != "lerobot")
    assert sets["lerobot"]["av"].startswith("15.")
    assert Requirement(f"jax>{sets['newest']['jax']}").specifier.contains(sets["py312"]["jax"])
