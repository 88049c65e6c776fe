"""Statuses, conflicts and the diff, on the small fork and on trees that people have worked on."""

import ast
import itertools
import random
import re
import subprocess

import pytest
from support.mini_upstream import write_mini_upstream

from pistar_vf.patching.journal import revert
from pistar_vf.patching.patch_file import PatchError, load_patches, select
from pistar_vf.patching.plan import OPERATIONS, make_plan, refuse_conflicts, unified_diff
from pistar_vf.patching.source_tree import SourceTree

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


def test_every_patch_is_needed_but_one_for_another_gemma(fork):
    found = statuses(fork)
    assert found.pop("3") == "not applicable"
    assert set(found.values()) == {"needed"}


def test_all_are_applied_afterwards(fork, apply):
    apply(fork)
    again = apply(fork)
    assert {step.status for step in again if step.patch.id != "3"} == {"applied"}
    assert not any(step.changes for step in again)


def test_applied_is_seen_without_the_journal(fork, apply):
    apply(fork)
    found = statuses(fork)
    # patch 13a wraps what the function of patch 10 returns
    assert {found.pop(name) for name in ("3", "10")} == {"not applicable", "fixed differently"}
    assert set(found.values()) == {"applied"}


def test_a_fault_that_another_patch_makes(fork):
    reasons = {step.patch.id: step.reason for step in plan_of(fork) if step.reason}
    assert reasons == {"11": "once 10 is in", "13a": "once 10, 11 is in", "13b": "once 12 is in"}
    assert [step.status for step in plan_of(fork, "13b")] == ["not applicable"]


OTHER_REPAIRS = [
    ("1", "src/openpi/training/weight_loaders.py", "class NoOp", "class ValueModelWeightLoader: ...\n\n\nclass NoOp"),
    ("5", "gemma/gemma/gm/utils/_dtype_params.py", "from etils import edc", "from __future__ import annotations\n"),
    ("8", "src/openpi/training/config.py", "repo_id: str", "local_data_dir: str | None = None\n    repo_id: str"),
    ("9", "scripts/train_value.py", "prompt_from_task=True,", "prompt_from_task=True, action_sequence_keys=['a'],"),
    ("12", "scripts/train_value.py", "jax.device_put(x, replicated)", "jax.device_put(x, replicated) if x else x"),
    ("13c", "scripts/train_value.py", "state=None)", "state=None, adv_ind=0, adv_ind_dropout=1)"),
    ("15", "scripts/label_advantage_from_vlm.py", "state=None)", "state=None, *, adv_ind_dropout=1, adv=0)"),
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
    edit(fork, "src/openpi/policies/value_policy.py", "wrist_candidates", "wrists")
    plan = plan_of(fork)
    with pytest.raises(PatchError, match="1 patches are needed but find no hold, nothing was written") as caught:
        refuse_conflicts(plan)
    message = str(caught.value)
    assert "`--only 1,2,4,5,6,7,8,9,10,11,12,13a,13b,13c,14,15,L1,L2,L3,L4` applies the others" in message
    assert "value_policy.py: `ValueInputs.__call__.wrist_candidates` is missing" in message
    assert "by hand: In `ValueInputs.__call__` of src/openpi/policies/value_policy.py, add" in message


TRAIN, LOADER = "scripts/train_value.py", "src/openpi/training/data_loader.py"
LABEL, POLICY = "scripts/label_advantage_from_vlm.py", "src/openpi/policies/value_policy.py"
GONE = [
    ("1", "src/openpi/training/weight_loaders.py", "import", "imp ort", "is no valid Python"),
    ("1", "src/openpi/training/weight_loaders.py", "import ", "# ", "there is no import"),
    ("8", TRAIN, "build_value_data_config", "build_config", "`build_value_data_config` is missing"),
    ("8", TRAIN, "    return _config", "    _config.DataConfig()\n    return _config", "2 times"),
    ("10", LOADER, "create_torch_data_loader", "create_loader", "`create_torch_data_loader` is missing"),
    ("11", LOADER, "def data_config", "__len__ = 3\n\n    def data_config", "is there already, but another one"),
    ("12", TRAIN, "model_def: tuple", "def model_def(self): ...", "`TrainState.model_def` is not assigned any more"),
    ("13a", LOADER, "class DataLoaderImpl:", "class LoaderImpl:", "`DataLoaderImpl` is missing"),
    ("13b", TRAIN, "start_step", "first", "`main.start_step` is missing"),
    ("13c", TRAIN, "def tokenize", "def encode", "`GemmaValueTokenizer.tokenize` is missing"),
    ("14", LABEL, "_build_inference_dataset", "_dataset", "`_build_inference_dataset` is missing"),
    ("15", LABEL, "def tokenize", "def encode", "`GemmaValueTokenizer.tokenize` is missing"),
    ("16", POLICY, "wrist_candidates = ", "wrist_candidates = () or ", "wrist_candidates` is no list"),
    ("L1", "src/openpi/models/model.py", "class ModelType(", "class Kind(", "`ModelType` is missing"),
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
[[when.applicable]]
check = "exists"
file = "src/openpi/transforms.py"
[[when.needed]]
check = "has_string"
not = true
file = "src/openpi/transforms.py"
text = "red"
[[edit]]
do = "add_line"
file = "src/openpi/transforms.py"
line = "colour = 'green'"
""")
    (step,) = make_plan(load_patches(tmp_path), SourceTree(fork))
    assert (step.status, step.changes) == ("conflict", {})
    with pytest.raises(
        PatchError, match=r"transforms\.py: the fault is still there after the edits\n    by hand: Paint it"
    ):
        refuse_conflicts([step])


def test_an_unknown_patch_is_refused():
    with pytest.raises(PatchError, match=r"--only: expected ids of patches \(1, 2, 3, .*\), got 99"):
        select(PATCHES, "3, 99")


def test_a_selection_keeps_the_order():
    assert [patch.id for patch in select(PATCHES, "13a,10,4")] == ["4", "10", "13a"]


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


@pytest.mark.parametrize("seed", range(6))
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
    assert {step.status for step in plan if step.patch.id != "3"} == {"needed"}
    assert not any(step.changes for step in apply(fork))
    for path in fork.rglob("*.py"):
        ast.parse(path.read_text())
    revert(fork)
    assert contents(fork) == before


# --- the patch files -----------------------------------------------------------------------------------------------


def test_the_patches_of_the_failure_table():
    numbers = [str(number) for number in range(1, 13)] + ["13a", "13b", "13c", "14", "15", "16", "L1", "L2", "L3", "L4"]
    assert sorted(patch.id for patch in PATCHES) == sorted(numbers)


def test_the_order_in_which_the_errors_come_up():
    biting = sorted((patch for patch in PATCHES if patch.bites), key=lambda patch: patch.bites)
    assert " ".join(patch.id for patch in biting) == "2 3 4 5 6 7 1 8 10 9 13c 11 12 13b 13a"


@pytest.mark.parametrize("patch", PATCHES, ids=lambda patch: patch.id)
def test_a_patch_file_is_complete(patch):
    assert patch.symptom
    assert all(text and text == text.strip() for text in (patch.title, patch.cause, patch.by_hand))
    assert patch.applicable
    assert patch.needed
    assert {edit["do"] for edit in patch.edits} <= set(OPERATIONS)
    assert set(patch.after) <= {other.id for other in PATCHES}


def test_every_operation_is_used():
    assert {edit["do"] for patch in PATCHES for edit in patch.edits} == set(OPERATIONS)


def test_every_python_file_of_the_patch_set_is_valid():
    for path in PATCHES[0].folder.rglob("*.py"):
        ast.parse(path.read_text(encoding="utf-8"))
