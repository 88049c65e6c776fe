"""What people do to the code, and what the patches say and do then. Oracle: the verdicts written down, and Python.

Each idiom of patches/idioms.toml is made on the small fork. The status must be the one that is written there, and forks
with such code must train and label once the patches are in.
"""

import tomllib

import jax
import pytest
from support.mini_upstream import run_script
from support.places import ROOT

from pistar_vf.faults.source_tree import SourceTree
from pistar_vf.patching.patch_file import load_patches, select
from pistar_vf.patching.plan import make_plan

PATCHES = load_patches()
IDIOMS = tomllib.loads((ROOT / "patches" / "idioms.toml").read_text(encoding="utf-8"))["idiom"]
TRAIN, LABEL = "scripts/train_value.py", "scripts/label_advantage_from_vlm.py"


def write_idiom(root, idiom):
    for file, old, new in idiom["edits"]:
        path = root / file
        path.parent.mkdir(parents=True, exist_ok=True)
        text = path.read_text() if old else ""
        assert old in text, f"{file} has no {old!r}"
        path.write_text(text.replace(old, new) if old else new)


def plan_for(root, patch):
    return make_plan(select(PATCHES, patch), SourceTree(root))


@pytest.mark.parametrize("idiom", IDIOMS, ids=lambda each: f"{each['patch']} {each['text']}")
def test_the_status_of_an_idiom(fork, idiom):
    write_idiom(fork, idiom)
    step = next(step for step in plan_for(fork, idiom["patch"]) if step.patch.id == idiom["patch"])
    assert step.status == idiom["status"], f"{step.place}: {step.reason}"
    assert step.reason
    assert step.place.partition(":")[0] in {file for file, _, _ in idiom["edits"]} or step.status != "fixed differently"
    assert bool(step.changes) == (step.status == "needed")


def packs():
    """Idioms that are told apart by the files they touch, as many as go together in one fork."""
    packed: list[list[dict]] = []
    for idiom in (each for each in IDIOMS if each["status"] not in ("cannot tell", "conflict")):
        files = {file for file, _, _ in idiom["edits"]}
        room = (pack for pack in packed if not files & {file for each in pack for file, _, _ in each["edits"]})
        pack = next(room, None)
        if pack is None:
            packed.append(pack := [])
        pack.append(idiom)
    return packed


@pytest.mark.parametrize("pack", packs(), ids=lambda pack: ", ".join(each["patch"] for each in pack))
def test_forks_with_idioms_run_after_patching(fork, apply, pack):
    for idiom in pack:
        write_idiom(fork, idiom)
    apply(fork)
    if "jax.tree_map" in (fork / TRAIN).read_text() and not hasattr(jax, "tree_map"):
        pytest.skip("jax.tree_map is in the versions that the fork pins, not in this one")
    run_script(fork, TRAIN, str(fork / "episodes"), "1")
    run_script(fork, LABEL, name="label")["_build_inference_dataset"](data_dir=fork / "episodes")


def test_there_are_enough_of_them():
    assert len(IDIOMS) >= 60
    told = [idiom for idiom in IDIOMS if idiom["status"] not in ("cannot tell", "conflict")]
    assert len(told) / len(IDIOMS) > 0.75
