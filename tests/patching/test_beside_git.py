"""Patching beside ordinary git work, and where writing goes wrong. Oracle: the bytes of the tree before."""

import fcntl
import os

import pytest
from support.forks import git, patch

from pistar_vf.patching.writing import FOLDER

POLICY, CONSOLE = "src/openpi/policies/value_policy.py", "src/openpi/shared/console.py"
TRAIN = "scripts/train_value.py"
ONLY = ("--only", "6,12,16")


def files(contents, root):
    return {name: data for name, data in contents(root).items() if not name.startswith(".git")}


def checkout(root):
    git(root, "checkout", "--", TRAIN)


def checkout_and_apply_again(root):
    git(root, "checkout", "--", TRAIN, POLICY)
    assert patch(root, "--apply", *ONLY) == 0


def apply_twice(root):
    assert patch(root, "--apply", *ONLY) == 0


def switch_and_back(root):
    git(root, "stash", "--include-untracked")
    git(root, "switch", "--quiet", "--create", "other")
    git(root, "switch", "--quiet", "main")
    git(root, "stash", "pop")


def stash(root):
    git(root, "stash")


def stash_and_apply_again(root):
    git(root, "stash")
    (root / CONSOLE).unlink()
    assert patch(root, "--apply", *ONLY) == 0


def reset(root):
    git(root, "reset", "--hard", "--quiet")


def clean(root):
    git(root, "clean", "-fdq")


WORK = [checkout, checkout_and_apply_again, apply_twice, switch_and_back, stash, stash_and_apply_again, reset, clean]


@pytest.mark.parametrize("work", WORK, ids=lambda work: work.__name__)
def test_taking_back_after_git_work(clone, contents, work):
    before = files(contents, clone)
    assert patch(clone, "--apply", *ONLY) == 0
    work(clone)
    assert patch(clone, "--revert") == 0
    assert files(contents, clone) == before


def test_a_branch_where_the_file_is_another(clone, contents):
    git(clone, "switch", "--quiet", "--create", "other")
    (clone / POLICY).write_text("class ValueInputs:\n    candidates = ['front']\n")
    (clone / CONSOLE).write_text("def info(text): return text\n")
    git(clone, "add", "--all")
    git(clone, "commit", "--quiet", "--message=mine")
    on_other = files(contents, clone)
    git(clone, "switch", "--quiet", "main")
    assert patch(clone, "--apply", "--only", "6,16", "--commit") == 0
    git(clone, "switch", "--quiet", "other")
    assert patch(clone, "--revert") == 0
    assert files(contents, clone) == on_other


def test_nothing_left_to_take_back(clone, capsys):
    assert patch(clone, "--apply", "--only", "16") == 0
    git(clone, "checkout", "--", ".")
    assert patch(clone, "--revert") == 0
    assert "are not in the files any more; nothing to take back" in capsys.readouterr().out
    assert not (clone / FOLDER).exists()


def test_a_changed_file_whose_name_is_no_text(clone, capsys):
    path = clone / os.fsdecode(b"caf\xe9.txt")
    path.write_text("a")
    git(clone, "add", "--all")
    git(clone, "commit", "--quiet", "--message=latin")
    path.write_text("b")
    assert patch(clone, "--apply", "--only", "16") == 2
    assert "got 1 changed files (caf" in capsys.readouterr().err


# --- where writing goes wrong --------------------------------------------------------------------------------------


def test_a_file_that_cannot_be_written(clone, capsys, contents, monkeypatch):
    before = files(contents, clone)
    monkeypatch.setattr(os, "access", lambda path, mode: not str(path).endswith("value_policy.py"))
    assert patch(clone, "--apply", *ONLY) == 2
    error = capsys.readouterr().err
    assert "value_policy.py: expected a file that can be written (Permission denied); nothing was written" in error
    monkeypatch.undo()
    assert files(contents, clone) == before


def test_a_journal_that_is_damaged(clone, capsys):
    assert patch(clone, "--apply", "--only", "16") == 0
    journal = clone / FOLDER / "journal.json"
    for text in ("{", '[{"patch": "16"}]', "[[1]]"):
        journal.write_text(text)
        for flag in ("--check", "--apply", "--revert"):
            assert patch(clone, flag) == 2
            assert "journal.json is damaged" in capsys.readouterr().err


def test_a_content_that_is_gone(clone, capsys, contents):
    assert patch(clone, "--apply", "--only", "16") == 0
    for path in (clone / FOLDER / "contents").iterdir():
        path.write_text("half")
    before = files(contents, clone)
    assert patch(clone, "--revert") == 2
    assert "is damaged: what was there before a patch is not known any more" in capsys.readouterr().err
    assert files(contents, clone) == before


def test_without_git_at_all(fork, capsys, monkeypatch, contents):
    monkeypatch.setenv("PATH", "")
    before = files(contents, fork)
    assert patch(fork, "--apply", "--commit", "--only", "16") == 2
    assert "--commit expects a git repository with a commit; nothing was written" in capsys.readouterr().err
    assert files(contents, fork) == before
    assert patch(fork, "--apply", "--only", "16") == 0
    (fork / POLICY).write_text((fork / POLICY).read_text() + "x = 1\n")
    assert patch(fork, "--revert") == 2
    assert "needs git, which is not installed; nothing was taken back" in capsys.readouterr().err


def test_commits_without_a_name(clone, capsys, monkeypatch, contents):
    for name in ("NAME", "EMAIL"):
        monkeypatch.setenv(f"GIT_COMMITTER_{name}", "")
    before = files(contents, clone)
    assert patch(clone, "--apply", "--commit", "--only", "16") == 2
    assert "--commit expects a name and an address for commits" in capsys.readouterr().err
    assert files(contents, clone) == before


def test_two_at_once(clone, capsys, contents):
    before = files(contents, clone)
    other = os.open(clone, os.O_RDONLY)
    fcntl.flock(other, fcntl.LOCK_EX)
    for flag in ("--apply", "--revert"):
        assert patch(clone, flag) == 2
        assert "is being patched by another process; wait for it to end" in capsys.readouterr().err
    os.close(other)
    assert files(contents, clone) == before


def test_a_link_and_its_permissions_stay(clone):
    real = clone / "real_policy.py"
    (clone / POLICY).rename(real)
    (clone / POLICY).symlink_to(real)
    real.chmod(0o755)
    assert patch(clone, "--apply", "--only", "16", "--allow_dirty") == 0
    assert (clone / POLICY).is_symlink()
    assert "head_camera" in real.read_text()
    assert real.stat().st_mode & 0o777 == 0o755


def test_a_tree_of_which_nothing_can_be_said(clone, capsys):
    (clone / TRAIN).write_text("<<<<<<< HEAD\n")
    for flag in ("--check", "--diff", "--apply"):
        assert patch(clone, flag) == 4
        assert "a merge is not resolved in it" in capsys.readouterr().err


def test_optional_patches_do_not_count(clone, capsys):
    assert patch(clone, "--apply", "--only", "12") == 0
    assert patch(clone, "--check", "--only", "L1,16") == 0
    assert "2 patches are needed: 16, L1 (16, L1 optional); --apply applies them" in capsys.readouterr().out


def test_where_nobody_can_tell(clone, capsys):
    path = clone / TRAIN
    path.write_text(path.read_text().replace("class TrainState:", "class TrainState(elsewhere.State):"))
    for flags in (("--check",), ("--apply", "--allow_dirty")):
        assert patch(clone, *flags, "--only", "12") == 3
        printed = capsys.readouterr().out
        assert f"12   cannot tell        {TRAIN}:38: look whether a base class or a decorator" in printed
        assert "of 12 nobody can tell from the code; look where it says, or run --verify" in printed
