"""The walks of docs/development.md: every module is there, and its neighbours import it or are imported by it."""

import itertools
import re

import pytest
from support.places import ROOT
from test_layers import MODULES, imported_modules

MOST = {"`value_label` in parquet to the loss": 10, "mp4 to SigLIP": 10, "Logits to `adv_ind`": 9}
"""Modules that a walk may pass."""


def walks() -> dict[str, list[str]]:
    text = (ROOT / "docs" / "development.md").read_text(encoding="utf-8")
    section = text.split("## Walks\n")[1].split("\n## ")[0]
    found = re.findall(r"^\* (.+?): ((?:`[\w.]+`,?\s*)+)\.$", section, re.MULTILINE)
    return {name: re.findall(r"`([\w.]+)`", modules) for name, modules in found}


def test_the_walks_are_those():
    assert walks().keys() == MOST.keys()


@pytest.mark.parametrize("name", MOST)
def test_a_walk_is_short(name):
    assert len(walks()[name]) <= MOST[name]
    assert len(set(walks()[name])) == len(walks()[name])


@pytest.mark.parametrize("name", MOST)
def test_neighbours_know_each_other(name):
    modules = walks()[name]
    assert [module for module in modules if module not in MODULES] == []
    imports = {module: imported_modules(MODULES[module].read_text(), set(MODULES)) for module in modules}
    strangers = [(a, b) for a, b in itertools.pairwise(modules) if b not in imports[a] and a not in imports[b]]
    assert strangers == []
