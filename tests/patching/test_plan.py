"""Statuses, conflicts and the diff, on the small fork and on trees that people have worked on."""

import ast
import itertools
import random
import re
import shutil
import subprocess

import pytest
from support.mini_upstream import write_mini_upstream

from pistar_vf.faults.soundness import broken
from pistar_vf.faults.source_tree import SourceTree, TreeError
from pistar_vf.patching.edits import OPERATIONS
from pistar_vf.patching.patch_file import PatchError, load_patches, select
from pistar_vf.patching.plan import make_plan, refuse_conflicts, unified_diff
from pistar_vf.patching.questions import QUESTIONS
from pistar_vf.patching.taking_back import revert

PATCHES = load_patches()


def plan_of(root, only=""):
    return make_plan(select(PATCHES, only), SourceTree(root))


def statuses(root):
    return {step.patch.id: step.status for step in plan_of(root)}


def edit(root, file, old, new):
    path = root / file
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


LATER = ("3", "17", "18", "19", "20", "21")
"""Faults of a gemma/gm/data copied from gemma's repository, and of later versions of the fork."""


def test_every_patch_is_needed_but_one_for_another_gemma(fork):
    found = statuses(fork)
    assert {found.pop(name) for name in LATER} == {"not applicable"}
    assert set(found.values()) == {"needed"}


def test_all_are_applied_afterwards(fork, apply):
    apply(fork)
    again = apply(fork)
    assert {step.status for step in again if step.patch.id not in LATER} == {"applied"}
    assert not any(step.changes for step in again)


def test_applied_is_seen_without_the_journal(fork, apply):
    apply(fork)
    found = statuses(fork)
    assert found.pop("4") == "not applicable"  # the import is gone
    assert found.pop("10") == "fixed differently"  # patch 13a wraps what its function returns
    assert {status for name, status in found.items() if name not in LATER} == {"applied"}


def test_a_fault_that_another_patch_makes(fork):
    reasons = {step.patch.id: step.reason for step in plan_of(fork) if step.reason.startswith("once")}
    assert reasons == {"11": "once 10 is in", "13a": "once 10, 11 is in", "13b": "once 12 is in"}
    assert [step.patch.id for step in plan_of(fork, "13b")] == ["12", "13b"]


FOLDER = """
    local_data_dir: str | None = None

    def __post_init__(self):
        self.repo_id = self.repo_id or self.local_data_dir

"""
OTHER_REPAIRS = [
    ("1", "src/openpi/training/weight_loaders.py", "class NoOp", "class ValueModelWeightLoader: ...\n\n\nclass NoOp"),
    (
        "5",
        "gemma/gemma/gm/utils/_dtype_params.py",
        "from etils import edc",
        "from __future__ import annotations\nfrom etils import edc",
    ),
    ("8", "src/openpi/training/config.py", "    repo_id: str", f"{FOLDER}    repo_id: str"),
    ("9", "scripts/train_value.py", "prompt_from_task=True,", "prompt_from_task=True, action_sequence_keys=['a'],"),
    (
        "12",
        "scripts/train_value.py",
        "jax.device_put(x, replicated)",
        "jax.device_put(x, replicated) if hasattr(x, 'shape') else x",
    ),
    ("13c", "scripts/train_value.py", "state=None)", "state=None, adv_ind=0, adv_ind_dropout=1)"),
    ("15", "scripts/label_advantage_from_vlm.py", "state=None)", "state=None, adv=0, *, adv_ind_dropout=1)"),
    ("16", "src/openpi/policies/value_policy.py", '"image",', '"image", "observation.images.head_camera",'),
    ("L1", "src/openpi/models/model.py", 'PI05 = "pi05"', 'PI05 = "pi05"\n    VALUE = "v"'),
]


@pytest.mark.parametrize(("patch", "file", "old", "new"), OTHER_REPAIRS, ids=[each[0] for each in OTHER_REPAIRS])
def test_the_repair_of_another_fork_is_left_alone(fork, apply, patch, file, old, new):
    edit(fork, file, old, new)
    assert statuses(fork)[patch] in ("fixed differently", "applied")
    apply(fork)
    assert new in (fork / file).read_text()


# --- conflicts -----------------------------------------------------------------------------------------------------


def test_a_conflict_stops_everything_and_says_what_to_do(fork):
    edit(fork, TRAIN, "model_def: tuple", "def model_def(self): ...")
    plan = plan_of(fork)
    with pytest.raises(PatchError, match="1 patches are needed but find no hold, nothing was written") as caught:
        refuse_conflicts(plan)
    message = str(caught.value)
    assert "`--only 1,2,5,4,6,7,10,11,13a,13c,15,16,8,9,14,L1,L2,L3,L4` applies the others" in message  # 13b needs 12
    assert "train_value.py: `TrainState.model_def` is not assigned any more" in message
    assert "by hand: In scripts/train_value.py, derive `TrainState` from `flax.struct.PyTreeNode`" in message


def test_an_optional_conflict_stops_nothing(fork, apply):
    edit(fork, POLICY, "wrist_candidates", "wrists")
    step = next(step for step in apply(fork) if step.patch.id == "16")
    assert step.status == "conflict"
    assert "`ValueInputs.__call__.wrist_candidates` is missing" in step.reason
    assert "head_camera" not in (fork / POLICY).read_text()


TRAIN, LOADER = "scripts/train_value.py", "src/openpi/training/data_loader.py"
LABEL, POLICY = "scripts/label_advantage_from_vlm.py", "src/openpi/policies/value_policy.py"
GONE = [
    ("1", "src/openpi/training/weight_loaders.py", "import ", "# ", "there is no import"),
    ("8", TRAIN, "    return _config", "    _config.DataConfig()\n    return _config", "2 times"),
    ("10", LOADER, "create_torch_data_loader", "create_loader", "`create_torch_data_loader` is missing"),
    ("12", TRAIN, "model_def: tuple", "def model_def(self): ...", "`TrainState.model_def` is not assigned any more"),
    ("14", LABEL, "local_data_dir=str(data_dir)", "**dict(local_data_dir=str(data_dir))", "has no keyword `local"),
    ("16", POLICY, "wrist_candidates = ", "wrist_candidates = () or ", "wrist_candidates` is no list"),
]  # fmt: skip


@pytest.mark.parametrize(("patch", "file", "old", "new", "reason"), GONE)
def test_an_anchor_that_is_gone(fork, patch, file, old, new, reason):
    edit(fork, file, old, new)
    step = next(step for step in plan_of(fork) if step.patch.id == patch)
    assert step.status == "conflict"
    assert file in step.reason
    assert reason in step.reason
    assert not step.changes


def test_edits_that_cure_nothing(fork, tmp_path):
    (tmp_path / "1_colour.toml").write_text("""
id = "1"
title = "a colour"
symptom = ["no colour"]
cause = "none"
by_hand = "Paint it."
verify = "Look."
stage = ""
reads = ["src/openpi/transforms.py"]
[fault]
question = "camera_names"
file = "src/openpi/policies/value_policy.py"
camera = "red"
[[edit]]
do = "add_line"
file = "src/openpi/transforms.py"
line = "colour = 'green'"
""")
    (step,) = make_plan(load_patches(tmp_path), SourceTree(fork))
    assert (step.status, step.changes) == ("conflict", {})
    with pytest.raises(
        PatchError, match=r"value_policy\.py:1: the fault is still there after the edits\n    by hand: Paint it"
    ):
        refuse_conflicts([step])


def test_an_unknown_patch_is_refused():
    with pytest.raises(PatchError, match=r"--only: expected ids of patches \(1, 2, 3, .*\), got 99"):
        select(PATCHES, "3, 99")


def test_a_selection_keeps_the_order_and_takes_what_comes_first():
    assert [patch.id for patch in select(PATCHES, "13a,10,4")] == ["5", "4", "10", "11", "13a"]


@pytest.mark.parametrize("patch", PATCHES, ids=lambda patch: patch.id)
def test_a_selection_applies_by_itself(fork, patch):
    plan = plan_of(fork, patch.id)
    assert {step.status for step in plan} <= {"needed", "not applicable"}


WEIGHTS = "src/openpi/training/weight_loaders.py"
CIRCLES = [
    ("1", "conflict", WEIGHTS, "import dataclasses", "import dataclasses\nfrom .weight_loaders import ValueModelWeightLoader"),  # noqa: E501
    ("9", "cannot tell", TRAIN, "return _config.DataConfig(", "a = b\n    b = a\n    return _config.DataConfig(**a, "),
]  # fmt: skip


@pytest.mark.parametrize(("patch", "status", "file", "old", "new"), CIRCLES)
def test_names_that_lead_in_a_circle(fork, patch, status, file, old, new):
    """Python refuses the first; what the second is, it would say."""
    edit(fork, file, old, new)
    assert statuses(fork)[patch] == status


# --- trees of which nothing can be said ----------------------------------------------------------------------------


def test_files_that_are_missing_or_no_python(fork):
    (fork / TRAIN).write_text("x = 1\n<<<<<<< HEAD\ny = 2\n=======\n>>>>>>> theirs\n")
    (fork / LABEL).unlink()
    with pytest.raises(TreeError, match="nothing can be said about this checkout, and nothing was written") as caught:
        plan_of(fork)
    assert f"  {TRAIN}:2: expected valid Python (invalid syntax); a merge is not resolved in it" in str(caught.value)
    assert f"  {LABEL}: expected this file of the value-model pipeline, found none" in str(caught.value)
    assert [step.status for step in plan_of(fork, "16")] == ["needed"]  # it reads neither


def test_a_checkout_without_gemma(fork):
    shutil.rmtree(fork / "gemma")
    found = {step.patch.id: (step.status, step.reason) for step in plan_of(fork)}
    assert {found[name][0] for name in ("2", "3", "4", "5")} == {"not applicable"}
    assert found["4"][1] == "gemma is not in the checkout (no folder gemma/gemma/gm)"


@pytest.mark.parametrize(
    ("before", "after", "text"),
    [
        ("x = 1\n", "x = \n", "line 1 would be no valid Python (invalid syntax)"),
        ("f(a=1, **b)\n", "f(a=1, a=2)\n", "line 1 would be no valid Python (keyword argument repeated: a)"),
        ("from a import b\nb()\nc()\n", "b()\nc()\n", "`b` would be used without being defined"),
        ("x = 1\n", "def f(a, *b): return a, b, len\n", ""),
    ],
)
def test_an_edit_that_breaks_a_file(before, after, text):
    assert broken(before.encode(), after.encode()) == text


# --- the diff ------------------------------------------------------------------------------------------------------


def test_the_diff_is_what_git_applies(fork, apply, contents, tmp_path):
    text = unified_diff(plan_of(fork))
    subprocess.run(["git", "init", "-q", str(fork)], check=True)
    subprocess.run(["git", "-C", str(fork), "apply", "-"], input=text, text=True, check=True)
    by_git = {name: data for name, data in contents(fork).items() if not name.startswith(".git/")}
    other = write_mini_upstream(tmp_path / "other")
    apply(other)
    by_us = {name: data for name, data in contents(other).items() if not name.startswith(".pistar_vf")}
    assert {name: data for name, data in by_git.items() if name != ".git"} == by_us


def test_a_diff_of_a_file_without_end(fork):
    (fork / ".gitignore").write_bytes(b"data/")
    subprocess.run(["git", "init", "-q", str(fork)], check=True)
    text = unified_diff(plan_of(fork, "2"))
    subprocess.run(["git", "-C", str(fork), "apply", "-"], input=text, text=True, check=True)
    assert (fork / ".gitignore").read_text() == "data/\n!gemma/gemma/gm/data/\n"


# --- trees that people have worked on ------------------------------------------------------------------------------


def shuffle_functions(lines: list[str], chance: random.Random) -> list[str]:
    """Neighbouring functions at the top of a file, in another order."""
    functions = [node for node in ast.parse("".join(lines)).body if isinstance(node, ast.FunctionDef)]
    for first, second in itertools.pairwise(functions):
        between = "".join(lines[first.end_lineno : second.lineno - 1]).strip()
        if not between and not first.decorator_list and not second.decorator_list and chance.random() < 0.5:
            a, b = lines[first.lineno - 1 : first.end_lineno], lines[second.lineno - 1 : second.end_lineno]
            lines = [*lines[: first.lineno - 1], *b, "\n", "\n", *a, *lines[second.end_lineno :]]
            return lines
    return lines


def work_on(text: str, chance: random.Random) -> str:
    """Comments, empty lines, other local names, functions in another order."""
    lines = shuffle_functions(text.splitlines(keepends=True), chance)
    starts = {node.lineno for node in ast.walk(ast.parse("".join(lines))) if isinstance(node, ast.stmt)}
    result = []
    for number, line in enumerate(lines, start=1):
        indent = re.match(r" *", line)[0]
        if number in starts and chance.random() < 0.15 and not lines[number - 2].strip().startswith("@"):
            result.append(chance.choice([f"{indent}# π: somebody's remark\n", "\n", f"{indent}unrelated = {number}\n"]))
        ends_line = line.rstrip().endswith((":", ",", ")")) and not line.strip().startswith("#")
        result.append(line[:-1] + "  # why\n" if ends_line and chance.random() < 0.1 else line)
    renamed = {"frames": "samples", "cache": "collected", "replicated": "everywhere", "observation, value": "seen, v"}
    text = "".join(result)
    for old, new in renamed.items():
        text = re.sub(rf"\b{old}\b", new, text) if chance.random() < 0.5 and "print(" not in text else text
    return text


@pytest.mark.parametrize("seed", range(2))
def test_a_tree_that_somebody_worked_on(fork, apply, contents, seed):
    chance = random.Random(seed)
    for path in sorted(fork.rglob("*.py")):
        worked_on = work_on(path.read_text(), chance)
        try:
            ast.parse(worked_on)
        except SyntaxError:
            continue  # a remark in the wrong place: leave this file as it is
        path.write_text(worked_on)
    before = contents(fork)
    plan = apply(fork)
    assert {step.status for step in plan if step.patch.id not in LATER} == {"needed"}
    assert not any(step.changes for step in apply(fork))
    for path in fork.rglob("*.py"):
        ast.parse(path.read_text())
    revert(fork)
    assert contents(fork) == before


# --- the patch files -----------------------------------------------------------------------------------------------


def test_the_patches_of_the_failure_table():
    later = ["17", "18", "19", "20", "21"]
    letters = ["13a", "13b", "13c", "14", "15", "16", "L1", "L2", "L3", "L4"]
    numbers = [*map(str, range(1, 13)), *letters, *later]
    assert sorted(patch.id for patch in PATCHES) == sorted(numbers)


def test_the_order_in_which_the_errors_come_up():
    biting = sorted((patch for patch in PATCHES if patch.bites), key=lambda patch: patch.bites)
    assert " ".join(patch.id for patch in biting) == "2 3 4 5 6 7 20 1 8 10 19 9 13c 11 12 13b 17 13a"


@pytest.mark.parametrize("patch", PATCHES, ids=lambda patch: patch.id)
def test_a_patch_file_is_complete(patch):
    assert patch.symptom
    assert all(text and text == text.strip() for text in (patch.title, patch.cause, patch.by_hand))
    assert patch.fault["question"] in QUESTIONS
    assert patch.verify
    assert {edit["do"] for edit in patch.edits} <= set(OPERATIONS)
    assert set(patch.after) <= {other.id for other in PATCHES}


def test_every_operation_is_used():
    assert {edit["do"] for patch in PATCHES for edit in patch.edits} == set(OPERATIONS)


def test_every_question_is_asked():
    assert {patch.fault["question"] for patch in PATCHES} == set(QUESTIONS)


def test_every_python_file_of_the_patch_set_is_valid():
    for path in PATCHES[0].folder.rglob("*.py"):
        ast.parse(path.read_text(encoding="utf-8"))
