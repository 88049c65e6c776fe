"""docs/patches.md is what the patch files say."""

import pytest
from support.places import ROOT

from pistar_vf.patching.documentation import read_idioms, read_observed, render
from pistar_vf.patching.patch_file import load_patches

PATCHES = load_patches()
TREES = read_observed(ROOT / "patches" / "published_trees.toml")
IDIOMS = read_idioms(ROOT / "patches" / "idioms.toml")


@pytest.fixture(scope="module")
def page() -> str:
    return (ROOT / "docs" / "patches.md").read_text(encoding="utf-8")


def test_the_page_is_up_to_date(page):
    assert page == render(PATCHES, TREES, IDIOMS), "run scripts/write_patch_docs.py"


@pytest.mark.parametrize("patch", PATCHES, ids=lambda patch: patch.id)
def test_every_error_can_be_searched_for(page, patch):
    for symptom in patch.symptom:
        assert f"\n    {symptom}\n" in page
        assert f"| [{patch.id}](#patch-{patch.id.lower()}-" in page.split(f"| `{symptom}` | ", 1)[1]


def test_the_errors_are_listed_in_the_order_in_which_they_come_up(page):
    section = page.split("## The order in which training meets them")[1].split("\n## ")[0]
    places = [section.index(f"[{name}]") for name in "2 3 4 5 6 7 20 1 8 10 19 9 13c 11 12 13b 17 13a".split()]  # noqa: SIM905
    assert places == sorted(places)


def test_every_patch_has_a_status_in_every_tree():
    assert [sorted(found) for found in TREES.values()] == [sorted(patch.id for patch in PATCHES)] * 5
