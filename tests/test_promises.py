"""What the published documents promise: the page is what was recorded, and what needs no command holds now."""

import importlib
import shutil
import sys

import pytest
from support.places import ROOT

BENCHMARKS = ROOT / "benchmarks"


@pytest.fixture(scope="module")
def documents():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(BENCHMARKS))
        yield importlib.import_module("documents")
        for name in [name for name in sys.modules if name.split(".")[0] in ("documents", "promised", "recording")]:
            sys.modules.pop(name)


@pytest.fixture(scope="module")
def rows(documents):
    return documents.read_records()["promises"]["figures"]["rows"]


def test_the_page_is_what_was_recorded(documents, rows):
    page = (ROOT / "docs" / "promises.md").read_text(encoding="utf-8")
    assert page == documents.page(rows), "run benchmarks/documents.py --record"


def test_every_promise_was_tried_and_held(documents, rows):
    every = [(document, promise.section, promise.words) for document, promise in documents.promises(False, "")]
    assert [(row["document"], row["section"], row["words"]) for row in rows] == every
    assert len(every) > 90
    assert [row for row in rows if row["verdict"] == "not"] == []
    elsewhere = [row["reason"] for row in rows if row["verdict"] == "not shown here"]
    assert set(elsewhere) == {"needs a GPU", "needs real weights", "needs their dataset, which is not published"}


@pytest.mark.skipif(shutil.which("git") is None or not (ROOT / ".git").exists(), reason="asks git what is in it")
def test_what_needs_no_command_holds(documents, rows, tmp_path):
    recorded = {(row["document"], row["section"], row["words"]): row for row in rows}
    for row in documents.try_all(documents.promises(True, ""), tmp_path):
        was = recorded[row.document, row.section, row.words]
        assert (row.verdict, row.reason) == (was["verdict"], was["reason"]), row.words


def test_verdicts(documents):
    from promised.promise import Command, Promise, judge, require

    def fails(world):
        require(world, "because")
        return "seen"

    assert [judge("d", Promise("s", "w", fails), world).verdict for world in (True, False)] == ["held", "not"]
    assert judge("d", Promise("s", "w", fails), False).reason == "because"
    assert judge("d", Promise("s", "w", needs="a GPU"), None).reason == "needs a GPU"
    command = Command("run --steps 5000 <…>", "", (("5000", "2"), ("<…>", "x")), "--more")
    assert command.typed() == "run --steps 2 x --more"
    with pytest.raises(ValueError, match="expected 'y' in the command, got: run"):
        Command("run", "", (("y", "z"),)).typed()
