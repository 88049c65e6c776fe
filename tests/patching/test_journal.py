"""Writing and taking back. Oracle: the bytes of the tree before."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from support.mini_upstream import write_mini_upstream
from support.places import ROOT

from pistar_vf.patching.journal import patched_by_us, read_journal
from pistar_vf.patching.patch_file import PatchError
from pistar_vf.patching.taking_back import revert
from pistar_vf.patching.writing import FOLDER

POLICY = "src/openpi/policies/value_policy.py"


@pytest.mark.parametrize("line_end", ["\n", "\r\n"])
def test_apply_and_revert_leave_the_same_bytes(tmp_path, apply, contents, line_end):
    fork = write_mini_upstream(tmp_path / "fork", line_end)
    before = contents(fork)
    apply(fork)
    after = contents(fork)
    changed = [name for name, data in after.items() if before.get(name) != data and not name.startswith(FOLDER)]
    assert len([name for name in changed if after[name]]) == 13
    edited = b"".join(after[name] for name in changed if before.get(name))
    assert edited.count(b"\n") == edited.count(line_end.encode())
    taken = revert(fork)
    assert contents(fork) == before
    assert taken[:2] == ["L4", "L3"]
    assert taken[-2:] == ["2", "1"]


def test_in_two_goes(fork, apply, contents):
    before = contents(fork)
    everything = tuple(str(number) for number in range(1, 13))
    apply(fork, but=everything)
    apply(fork)
    assert len(read_journal(fork)) == 21
    revert(fork)
    assert contents(fork) == before


def test_nothing_to_take_back(fork):
    with pytest.raises(PatchError, match="expected patches that were applied here, found none"):
        revert(fork)


def test_other_edits_of_a_patched_file_stay(fork, apply):
    apply(fork)
    path = fork / POLICY
    path.write_text(path.read_text().replace('data.get("task")', 'data.get("instruction")'))
    assert POLICY not in patched_by_us(fork)
    revert(fork)
    original = write_mini_upstream(fork.parent / "original") / POLICY
    assert path.read_text() == original.read_text().replace('data.get("task")', 'data.get("instruction")')


def test_edits_in_the_same_place_are_refused(fork, apply, contents):
    apply(fork)
    for name, old in ((POLICY, '"images.head_camera",'), ("src/openpi/shared/console.py", "Something")):
        path = fork / name
        path.write_text(path.read_text().replace(old, f"{old} mine"))
    before = contents(fork)
    with pytest.raises(
        PatchError, match="edited since they were patched, in the same places; nothing was taken back"
    ) as e:
        revert(fork)
    assert str(e.value).splitlines()[1:] == [f"  {POLICY} (patch 16)", "  src/openpi/shared/console.py (patch 6)"]
    assert contents(fork) == before


def test_files_that_are_as_before_are_no_obstacle(fork, apply, contents):
    before = contents(fork)
    apply(fork)
    (fork / "src/openpi/shared/console.py").unlink()
    shutil.copy(write_mini_upstream(fork.parent / "original") / POLICY, fork / POLICY)
    revert(fork)
    assert contents(fork) == before


def test_a_folder_with_other_files_stays(fork, apply):
    apply(fork)
    (fork / "gemma/gemma/gm/data/mine.py").write_text("")
    revert(fork)
    assert [path.name for path in (fork / "gemma/gemma/gm/data").iterdir()] == ["mine.py"]


def test_what_is_needed_to_go_back_is_written_first(fork, apply, contents, monkeypatch):
    before = contents(fork)
    real = os.replace

    def full_disk(temporary, path):
        if Path(path).name == "train_value.py":
            raise OSError(28, "No space left on device")
        real(temporary, path)

    monkeypatch.setattr(os, "replace", full_disk)
    with pytest.raises(PatchError, match=r"train_value\.py: .*No space left on device.; it is as it was.*--revert"):
        apply(fork)
    monkeypatch.undo()
    assert not list(fork.rglob("*.new"))
    assert json.loads((fork / FOLDER / "journal.json").read_text())
    revert(fork)
    assert contents(fork) == before


def test_everything_is_on_the_disk(fork, apply, monkeypatch):
    """A file's content before its name, its folder after: a power cut leaves the old file or the new one."""
    synced, placed = [], []
    monkeypatch.setattr(os, "fsync", lambda descriptor: synced.append(os.fstat(descriptor).st_ino))
    real = os.replace

    def replace(old, new):
        number, folder = os.stat(old).st_ino, os.stat(os.path.dirname(new)).st_ino
        assert number in synced, f"{new} has its name before its content is on the disk"
        real(old, new)
        placed.append((os.path.relpath(new, fork), folder, len(synced)))

    monkeypatch.setattr(os, "replace", replace)
    apply(fork)
    for name, folder, then in placed:
        assert folder in synced[then : then + 1], f"the folder of {name} is not on the disk"
    names = [name for name, _, _ in placed]
    assert names.index(f"{FOLDER}/journal.json") < names.index(POLICY)
    removed = []
    unlink = Path.unlink
    monkeypatch.setattr(Path, "unlink", lambda path, **options: (removed.append(path), unlink(path, **options))[1])
    revert(fork)
    console = fork / "src/openpi/shared/console.py"
    assert removed.index(console) < removed.index(fork / FOLDER / "journal.json")
    assert os.stat(console.parent).st_ino in synced


def test_killed_at_any_operation(tmp_path):
    """See kill_patching.py, which compares all bytes after every kill."""
    script = ROOT / "tests" / "support" / "kill_patching.py"
    paths = os.pathsep.join([str(ROOT / "src"), str(ROOT / "tests")])
    words = [sys.executable, str(script), str(tmp_path)]
    run = subprocess.run(words, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": paths}, timeout=500)
    assert run.returncode == 0, run.stderr
