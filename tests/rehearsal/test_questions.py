"""What running says of the small fork, whose every fault stops it. Oracle: the fault that the fork was written with."""

import pytest
from support.drift import write_edits
from support.mini_upstream import write_mini_upstream

from pistar_vf.faults.source_tree import SourceTree
from pistar_vf.patching.patch_file import load_patches, select
from pistar_vf.patching.plan import all_changes, make_plan
from pistar_vf.patching.questions import REHEARSALS
from pistar_vf.rehearsal.seen import in_both_worlds

PATCHES = {patch.id: patch for patch in load_patches()}
SHOWN = ("1", "6", "7", "8", "9", "11", "12", "13a", "13b", "13c", "14", "15", "16", "L1")
"""The patches whose faults show when functions are run in memory."""


@pytest.fixture(scope="module")
def fork(tmp_path_factory):
    return write_mini_upstream(tmp_path_factory.mktemp("fork") / "fork")


def look(tree, patch):
    """What is seen of a patch's fault."""
    fields = dict(patch.fault)
    rehearsal = REHEARSALS[fields.pop("question")]
    seen = in_both_worlds(tree, lambda world: rehearsal(world, **fields))
    return None if seen is None else seen.finding


def patched(root, ids):
    """The tree with some patches in it, nothing written."""
    plan = make_plan([PATCHES[name] for name in ids], SourceTree(root))
    return SourceTree(root, {file: after for file, (_, after) in all_changes(plan).items()})


@pytest.mark.parametrize("name", SHOWN)
def test_a_fault_is_seen_and_is_gone_with_its_patch(fork, name):
    needed = [patch.id for patch in select(tuple(PATCHES.values()), name)]
    before = look(patched(fork, [each for each in needed if each != name]), PATCHES[name])
    assert before is not None
    assert before.verdict == "fault"
    after = look(patched(fork, needed), PATCHES[name])
    assert after is None or after.verdict == "fixed"


def test_code_that_does_not_get_so_far_says_nothing(tmp_path):
    root = write_mini_upstream(tmp_path / "fork")
    write_edits(root, [["scripts/train_value.py", "def main(", "raise RuntimeError\n\n\ndef main("]])
    assert look(SourceTree(root), PATCHES["9"]) is None
