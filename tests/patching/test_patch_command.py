"""`pistar-vf patch` as a user meets it."""

import pytest
from support.forks import git, patch

TRAIN, LABEL = "scripts/train_value.py", "scripts/label_advantage_from_vlm.py"
POLICY = "src/openpi/policies/value_policy.py"


def test_check_apply_revert(clone, capsys, contents):
    before = contents(clone)
    assert patch(clone) == patch(clone, "--check") == 1
    printed = capsys.readouterr().out
    assert "2    needed             ModuleNotFoundError: No module named 'gemma.gm.data'" in printed
    assert "13b  needed             TypeError: unsupported type" in printed
    assert f"{'':<24}once 12 is in\n" in printed
    assert "16   needed, optional   KeyError" in printed
    assert "21 patches are needed: 1, 2, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13a, 13b, 13c, 14, 15, 16, L1," in printed
    assert "(16, L1, L2, L3, L4 optional); --apply applies them" in printed
    assert contents(clone) == before

    assert patch(clone, "--apply") == 0
    printed = capsys.readouterr().out
    assert f"16   the camera names of the documented dataset: {POLICY}" in printed
    assert "21 patches applied; --revert takes them back" in printed
    assert patch(clone) == 0
    assert "no patch is needed" in capsys.readouterr().out
    assert git(clone, "status", "--porcelain", "--", ".pistar_vf_patches") == ""

    assert patch(clone, "--apply") == 0
    assert "no patch is needed" in capsys.readouterr().out
    assert patch(clone, "--revert") == 0
    assert "21 patches taken back: L4, L3" in capsys.readouterr().out
    assert git(clone, "status", "--porcelain") == ""


def test_diff_writes_nothing(clone, capsys, contents):
    before = contents(clone)
    assert patch(clone, "--diff", "--only", "13b,12") == 0
    printed = capsys.readouterr().out
    assert "\n+class TrainState(flax.struct.PyTreeNode):\n" in printed
    assert "\n+    start_step = int(train_state.step)\n" in printed
    assert contents(clone) == before


def test_one_after_the_other_in_a_clone(clone, capsys):
    assert patch(clone, "--apply", "--only", "4") == 0
    assert patch(clone, "--apply", "--only", "5,16") == 0  # what patch 4 changed is no obstacle
    assert git(clone, "diff", "--name-only").split() == ["gemma/gemma/gm/utils/_dtype_params.py", POLICY]
    capsys.readouterr()
    assert patch(clone, "--only", "4,5,6") == 1
    assert "1 patches are needed: 6;" in capsys.readouterr().out


def test_one_commit_for_each_patch(clone):
    assert patch(clone, "--apply", "--commit") == 0
    subjects = git(clone, "log", "--format=%s").splitlines()
    assert len(subjects) == 22
    assert "pistar_vf patch 13b: the first step as a number" in subjects
    assert git(clone, "status", "--porcelain") == ""
    assert "gemma/gemma/gm/data/_functional.py" in git(clone, "ls-files")
    last = git(clone, "log", "-1", "--format=%b", "--", "src/openpi/shared/console.py")
    assert last.strip() == "ImportError: cannot import name 'console' from 'openpi.shared'"


def test_git_that_refuses_a_commit(clone, capsys):
    hook = clone / ".git/hooks/pre-commit"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text("#!/bin/sh\necho no such commits here >&2\nexit 1\n")
    hook.chmod(0o755)
    assert patch(clone, "--apply", "--commit") == 2
    error = capsys.readouterr().err
    assert "patch 1 is in the files, but git could not commit it" in error
    assert "git commit said: no such commits here" in error


def test_a_dirty_tree_is_refused(clone, capsys, contents):
    with (clone / POLICY).open("a") as file:
        file.write("\nx = 1\n")
    (clone / "notes.txt").write_text("untracked files are no obstacle")
    before = contents(clone)
    assert patch(clone, "--apply") == 2
    error = capsys.readouterr().err
    assert f"without changes that are not committed, got 1 changed files ({POLICY})" in error
    assert "--allow_dirty" in error
    assert contents(clone) == before
    assert patch(clone, "--apply", "--allow_dirty") == 0
    assert patch(clone, "--revert") == 0
    assert (clone / POLICY).read_text().endswith("\nx = 1\n")


def test_a_checkout_below_the_root_of_a_repository(fork, capsys):
    parent = fork.parent
    git(parent, "init", "--quiet")
    git(parent, "add", "--all")
    git(parent, "commit", "--quiet", "--message=start")
    (fork / POLICY).write_text((fork / POLICY).read_text() + "x = 1\n")
    assert patch(fork, "--apply", "--only", "16") == 2
    assert f"changed files ({POLICY})" in capsys.readouterr().err


def test_without_git(fork, capsys):
    assert patch(fork, "--apply", "--only", "6") == 0
    assert patch(fork, "--revert") == 0
    assert "1 patches taken back: 6" in capsys.readouterr().out


def test_a_conflict(clone, capsys, contents):
    path = clone / TRAIN
    path.write_text(path.read_text().replace("model_def: tuple", "def model_def(self): ..."))
    git(clone, "commit", "--quiet", "--all", "--message=mine")
    before = contents(clone)
    for flag in ("--check", "--diff", "--apply"):
        assert patch(clone, flag) == 2
        error = capsys.readouterr().err
        assert "patch 12 (TrainState as a tree of arrays): the state, which is no tree" in error
        assert f"{TRAIN}: `TrainState.model_def` is not assigned any more" in error
    assert contents(clone) == before


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--apply", "--revert"], "expected one of --check, --diff, --apply, --verify and --revert"),
        (["--revert", "--only", "3"], "it does not go with --only"),
        (["--commit"], "--commit goes with --apply"),
        (["--apply", "--commit", "--allow_dirty"], "needs a checkout without other changes"),
        (["--only", "99"], "got 99"),
        (["--revert"], "expected patches that were applied here, found none"),
    ],
)
def test_flags_that_do_not_go_together(fork, capsys, flags, message):
    assert patch(fork, *flags) == 2
    assert message in capsys.readouterr().err


def test_another_folder_is_refused(tmp_path, capsys):
    assert patch(tmp_path) == 2
    assert "expected a checkout of the openpi fork, found no folder src/openpi in it" in capsys.readouterr().err


def test_without_libcst(fork, capsys, monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "libcst", None)
    assert patch(fork) == 2
    assert "install it with: pip install -e '.[patches]' in the checkout" in capsys.readouterr().err
