"""Versions and pins. Oracle: lists written by hand, and what `importlib.metadata` says of single packages."""

import subprocess
import sys
from importlib import metadata

import pytest
from support.places import ROOT

from pistar_vf.doctor.versions import (
    REQUIRED,
    TESTED_SETS,
    Change,
    canonical_name,
    changes_from,
    compare_tested_sets,
    installed_versions,
    read_pins,
)


@pytest.mark.parametrize(
    ("name", "expected"), [("Orbax_Checkpoint", "orbax-checkpoint"), ("a.b--C", "a-b-c"), ("av", "av")]
)
def test_canonical_names(name, expected):
    assert canonical_name(name) == expected


def test_installed_versions():
    found = installed_versions()
    assert {name: found[name] for name in REQUIRED} == {name: metadata.version(name) for name in REQUIRED}


def test_the_first_installation_on_the_path_counts(tmp_path, monkeypatch):
    folder = tmp_path / "NumPy-9.9.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text("Metadata-Version: 2.1\nName: NumPy\nVersion: 9.9\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert installed_versions()["numpy"] == "9.9"


def test_pins_are_read_without_comments(tmp_path):
    path = tmp_path / "pins.txt"
    path.write_text("# Made with: x==y\njax==0.10.2\n\nTyping_Extensions==4.16.0  # why\n")
    assert read_pins(path) == {"jax": "0.10.2", "typing-extensions": "4.16.0"}


def test_changes():
    pins = {"jax": "0.10.2", "numpy": "2.4.6", "old": "1.0", "torch": "2.13.0"}
    installed = {"jax": "0.10.3", "numpy": "2.4.6", "brand-new": "0.1", "torch": "2.13.0+cpu", "pip": "26.3"}
    changes = changes_from(pins, installed)
    assert changes == [Change("brand-new", None, "0.1"), Change("jax", "0.10.2", "0.10.3"), Change("old", "1.0", None)]
    assert list(map(str, changes)) == ["brand-new absent -> 0.1", "jax 0.10.2 -> 0.10.3", "old 1.0 -> absent"]


def test_each_set_of_a_checkout_equals_itself():
    pins = {name: read_pins(ROOT / "constraints" / f"{name}.txt") for name in TESTED_SETS}
    for name in TESTED_SETS:
        assert compare_tested_sets(pins[name])[name] == []
    assert Change("jax", "0.5.3", "0.10.2") in compare_tested_sets(pins["newest"])["openpi"]
    # Only what both hold: an installation without the tools of development is no other set.
    assert compare_tested_sets({"jax": "0.10.2", "unheard-of": "1"})["newest"] == []


def test_the_script_prints_one_change_a_line(tmp_path):
    (tmp_path / "pins.txt").write_text("numpy==0.0.1\nunheard-of==1.0\n")
    command = [sys.executable, ROOT / "scripts" / "changed_pins.py", tmp_path / "pins.txt"]
    lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    assert f"numpy 0.0.1 -> {metadata.version('numpy')}" in lines
    assert "unheard-of 1.0 -> absent" in lines
