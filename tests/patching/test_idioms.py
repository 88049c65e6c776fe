"""What people do to the code, and what the patches say and do then. Oracle: the verdicts written down, and Python.

Each idiom of patches/idioms.toml is made on the small fork. The status must be the one that is written there, and forks
with such code must train and label once the patches are in.
"""

import tomllib

import jax
import pytest
from support.drift import packs, write_edits
from support.later_upstream import write_later_upstream
from support.mini_upstream import run_script
from support.places import ROOT

from pistar_vf.faults.source_tree import SourceTree
from pistar_vf.patching.patch_file import load_patches, select
from pistar_vf.patching.plan import make_plan

PATCHES = load_patches()
IDIOMS = tomllib.loads((ROOT / "patches" / "idioms.toml").read_text(encoding="utf-8"))["idiom"]
TRAIN, LABEL = "scripts/train_value.py", "scripts/label_advantage_from_vlm.py"


def plan_for(root, patch):
    return make_plan(select(PATCHES, patch), SourceTree(root))


@pytest.mark.parametrize("idiom", IDIOMS, ids=lambda each: f"{each['patch']} {each['text']}")
def test_the_status_of_an_idiom(fork, idiom):
    write_idioms(fork, [idiom])
    step = next(step for step in plan_for(fork, idiom["patch"]) if step.patch.id == idiom["patch"])
    assert step.status == idiom["status"], f"{step.place}: {step.reason}"
    assert step.reason
    assert step.place.partition(":")[0] in {file for file, _, _ in idiom["edits"]} or step.status != "fixed differently"
    assert bool(step.changes) == (step.status == "needed")


def write_idioms(fork, idioms):
    """The edits of some idioms, which are all made on the same small fork."""
    if idioms[0].get("base") == "later":
        write_later_upstream(fork)
    for idiom in idioms:
        write_edits(fork, idiom["edits"])


def is_old(idiom):
    """Whether an idiom is of a JAX that has `jax.tree_map` still: it goes with no other, and only there."""
    return any("jax.tree_map" in new for _, _, new in idiom["edits"])


TOLD = [each for each in IDIOMS if each["status"] not in ("cannot tell", "conflict") and not is_old(each)]
EARLY, LATER = ([each for each in TOLD if ("base" in each) == later] for later in (False, True))


@pytest.mark.parametrize(
    "pack", [*packs(EARLY), *([each] for each in LATER)], ids=lambda pack: ", ".join(each["patch"] for each in pack)
)
def test_forks_with_idioms_run_after_patching(fork, apply, pack):
    write_idioms(fork, pack)
    apply(fork)
    run_script(fork, TRAIN, str(fork / "episodes"), "1")
    run_script(fork, LABEL, name="label")["_build_inference_dataset"](data_dir=fork / "episodes")


@pytest.mark.skipif(not hasattr(jax, "tree_map"), reason="in the versions that the fork pins, not in this one")
@pytest.mark.parametrize("idiom", filter(is_old, IDIOMS), ids=lambda each: each["text"])
def test_a_fork_that_calls_an_older_jax_runs_after_patching(fork, apply, idiom):
    write_edits(fork, idiom["edits"])
    apply(fork)
    run_script(fork, TRAIN, str(fork / "episodes"), "1")


def test_there_are_enough_of_them():
    assert len(IDIOMS) >= 60
    told = [idiom for idiom in IDIOMS if idiom["status"] not in ("cannot tell", "conflict")]
    assert len(told) / len(IDIOMS) > 0.75
