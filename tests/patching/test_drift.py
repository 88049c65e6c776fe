"""Copies that drifted, judged before the patches were run on them. Oracle: the status written down first, and Python.

patches/drifted_copies.toml holds them. Python says of each whether the fault is there: the copy, with every other
patch, stops with an error or runs. With all patches it runs, whatever was said of it.
"""

import tomllib

import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx, struct
from support.drift import packs, write_edits
from support.later_upstream import write_later_upstream
from support.mini_upstream import packages_of, run_script, write_mini_upstream
from support.places import ROOT

from pistar_vf.faults.source_tree import SourceTree
from pistar_vf.patching.documentation import NO_ERROR
from pistar_vf.patching.journal import write_step
from pistar_vf.patching.patch_file import load_patches, select
from pistar_vf.patching.plan import make_plan

PATCHES = load_patches()
COPIES = tomllib.loads((ROOT / "patches" / "drifted_copies.toml").read_text(encoding="utf-8"))["copy"]
TRAIN, LABEL = "scripts/train_value.py", "scripts/label_advantage_from_vlm.py"


def said(copy):
    """What is said of a copy now."""
    return copy.get("now", copy["status"])


FAULTY, SOUND = ("needed", "conflict"), ("fixed differently", "applied", "not applicable")


def write_copy(root, entries):
    """The small fork with the edits of some entries."""
    (write_later_upstream if entries[0].get("base") == "later" else write_mini_upstream)(root)
    for entry in entries:
        write_edits(root, entry["edits"])
    return root


@pytest.fixture
def drifted(tmp_path, request):
    """A copy of the small fork with the edits of one entry."""
    return write_copy(tmp_path / "fork", [request.param]), request.param


copies = pytest.mark.parametrize("drifted", COPIES, indirect=True, ids=lambda each: f"{each['patch']} {each['text']}")


def apply_needed(root, but=()):
    """Writes what is needed, and leaves conflicts as they are."""
    for step in make_plan([patch for patch in PATCHES if patch.id not in but], SourceTree(root)):
        if step.status == "needed":
            write_step(root, step)


def run(root, patch):
    """What shows the fault of a patch: both scripts, in small, and what only some patches are about."""
    found = run_script(root, TRAIN, str(root / "episodes"), "2" if patch == "L2" else "1")
    if patch == "L1":
        assert found["ValueModelConfig"]().model_type
    labels = run_script(root, LABEL, name="label")
    with packages_of(root):  # a function may import too
        assert len(labels["_build_inference_dataset"](data_dir=root / "episodes")) == 3
    return labels["_compute_values_with_dataloader"]


@struct.dataclass
class Frames:
    state: jnp.ndarray


class Scale(nnx.Module):
    def __init__(self):
        self.weight = nnx.Param(jnp.arange(12.0).reshape(3, 4))

    def __call__(self, observation, *, train):
        return observation.state @ self.weight[...]


_WEIGHTS = np.exp(np.linspace(-1, 1, 21).reshape(7, 3) @ np.arange(12.0).reshape(3, 4))
VALUES = _WEIGHTS / _WEIGHTS.sum(1, keepdims=True) @ np.linspace(-1, 0, 4)
"""The expected values of seven frames, in NumPy."""


@copies
def test_the_status_that_was_written_down_first(drifted):
    root, copy = drifted
    plan = make_plan(select(PATCHES, copy["patch"]), SourceTree(root))
    step = next(step for step in plan if step.patch.id == copy["patch"])
    assert step.status == said(copy), f"{step.place}: {step.reason}"


@pytest.mark.slow  # it speaks of what was written down, not of the library
@copies
def test_python_agrees(drifted):
    root, copy = drifted
    status = said(copy) if copy["status"] == "cannot tell" else copy["status"]
    if copy["patch"] in NO_ERROR or status == "cannot tell":
        pytest.skip("no error shows it: speed, or weights; or nothing was said")
    apply_needed(root, but=(copy["patch"],))
    if status in FAULTY:
        with pytest.raises((Exception, SystemExit)):
            run(root, copy["patch"])
    else:
        assert status in SOUND
        run(root, copy["patch"])


BY_HAND = [each["edits"] for each in COPIES if said(each) in ("conflict", "cannot tell")]
CURED = [each for each in COPIES if each["edits"] not in BY_HAND]
EARLY, LATER = ([each for each in CURED if ("base" in each) == later] for later in (False, True))


@pytest.mark.parametrize(
    "pack", [*packs(EARLY), *([each] for each in LATER)], ids=lambda pack: ", ".join(each["patch"] for each in pack)
)
def test_no_copy_is_broken(tmp_path, pack):
    root = write_copy(tmp_path / "fork", pack)
    apply_needed(root)
    compute = run(root, "")
    frames = Frames(jnp.linspace(-1, 1, 21).reshape(7, 3))
    values = compute(dataset=frames, model=Scale(), supports=jnp.linspace(-1, 0, 4), batch_size=3)
    np.testing.assert_allclose(values, VALUES, rtol=1e-5)
