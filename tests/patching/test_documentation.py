"""docs/patches.md is what the patch files say."""

import pytest
from support.places import ROOT

from pistar_vf.patching.documentation import read_entries, read_observed, render
from pistar_vf.patching.patch_file import load_patches

PATCHES = load_patches()
TREES = read_observed(ROOT / "patches" / "published_trees.toml")
IDIOMS = read_entries(ROOT / "patches" / "idioms.toml")
COPIES = read_entries(ROOT / "patches" / "drifted_copies.toml")


@pytest.fixture(scope="module")
def page() -> str:
    return (ROOT / "docs" / "patches.md").read_text(encoding="utf-8")


def test_the_page_is_up_to_date(page):
    assert page == render(PATCHES, TREES, IDIOMS, COPIES), "run scripts/write_patch_docs.py"


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


def test_the_score_of_copies_is_counted(page):
    told = {"patch": "6", "text": "x", "set": 1}
    missed = {**told, "status": "needed", "first": "applied"}
    alarm = {**told, "status": "applied", "first": "needed", "broken": True}
    unclear = {**told, "status": "conflict", "first": "cannot tell", "now": "cannot tell"}
    counted = render(PATCHES, TREES, [], [missed, alarm, unclear, {**told, "status": "needed"}])
    assert (
        "Set 1: 1 of 4 right at first (25 %); of 3 faults 1 missed without a word, 1 false alarms, 1 times" in counted
    )
    assert "1 trees broken by a patch. Now 3 are right" in counted


def test_the_copies_that_python_was_asked_about_are_counted():
    about = [("6", "needed"), ("6", "cannot tell"), ("21", "needed"), ("21", "cannot tell"), ("L4", "applied")]
    text = render(PATCHES, TREES, [], [{"patch": patch, "text": "x", "status": status} for patch, status in about])
    assert "Python agrees with 1 of 5: " in text
    assert "not asked of 2 whose fault is no error, and of 2 of which nobody can tell" in text


@pytest.mark.parametrize("patch", PATCHES, ids=lambda patch: patch.id)
def test_every_edit_can_be_made_by_hand(page, patch):
    section = page.split(f"### Patch {patch.id}: ")[1].split("\n### ")[0]
    by_hand = " ".join(section.split("\nBy hand: ")[1].split())
    for edit in patch.edits:
        wanted = [edit.get("code", ""), *edit.get("items", ()), edit.get("keyword", ""), edit.get("parameters", "")]
        if edit["do"] == "add_file":
            wanted.append((patch.folder / edit["content"]).read_text(encoding="utf-8"))
        for text in wanted:
            for name, used in patch.names.items():
                text = text.replace(f"<{name}>", used)
            assert " ".join(text.split()) in by_hand
    assert not any(f"<{name}>" in by_hand for name in patch.names)
