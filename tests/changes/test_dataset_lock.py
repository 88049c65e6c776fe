"""One writer per dataset, across threads and processes."""

import getpass
import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from pistar_vf.changes import lock as module
from pistar_vf.changes.lock import dataset_lock
from pistar_vf.errors import DatasetError

HOLD = """
import sys, time
from pathlib import Path
from pistar_vf.changes.lock import dataset_lock
sys.argv = ["/opt/bin/pistar-vf", "relabel", "--data_dir", "a b"]
with dataset_lock(Path({root!r}), "relabelling"):
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def other_process(tmp_path: Path):
    """Another process that holds the lock of `tmp_path`."""
    process = subprocess.Popen([sys.executable, "-c", HOLD.format(root=str(tmp_path))], stdout=subprocess.PIPE)
    assert process.stdout.readline() == b"held\n"
    yield process
    process.kill()
    process.wait()
    process.stdout.close()


def test_a_second_process_is_told_who_has_the_lock(other_process, tmp_path: Path) -> None:
    who = rf"by .+@.+, process {other_process.pid}: `pistar-vf relabel --data_dir 'a b'` \(relabelling, since 20.*Z\)"
    with (
        pytest.raises(DatasetError, match=rf"is being written to {who}; wait for it to end"),
        dataset_lock(tmp_path, ""),
    ):
        pass


def test_the_lock_of_a_killed_process_is_free(other_process, tmp_path: Path) -> None:
    os.kill(other_process.pid, signal.SIGKILL)
    other_process.wait()
    assert json.loads((tmp_path / ".pistar_vf/lock").read_text())["pid"] == other_process.pid
    with dataset_lock(tmp_path, "me"):
        assert json.loads((tmp_path / ".pistar_vf/lock").read_text())["pid"] == os.getpid()
    assert (tmp_path / ".pistar_vf/lock").read_text() == ""


def test_of_two_threads_at_once_one_gets_it(tmp_path: Path) -> None:
    barrier, results = threading.Barrier(2), []

    def enter() -> None:
        barrier.wait()
        try:
            with dataset_lock(tmp_path, "thread"):
                results.append("held")
                barrier.wait(timeout=30)  # until the other has been refused
        except DatasetError:
            results.append("refused")
            barrier.wait(timeout=30)

    threads = [threading.Thread(target=enter) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    assert sorted(results) == ["held", "refused"]


def test_an_owner_that_has_not_written_its_name_yet(tmp_path: Path) -> None:
    with dataset_lock(tmp_path, "me"):
        (tmp_path / ".pistar_vf/lock").write_text("")
        with pytest.raises(DatasetError, match="written to by another process; wait"), dataset_lock(tmp_path, "too"):
            pass


def test_a_user_without_a_name(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(getpass, "getuser", lambda: {}["uid not found"])
    with dataset_lock(tmp_path, "me"):
        assert json.loads((tmp_path / ".pistar_vf/lock").read_text())["owner"].startswith(f"{os.getuid()}@")


def test_datasets_that_cannot_be_locked(tmp_path: Path) -> None:
    elsewhere, linked, blocked = (tmp_path / name for name in ("elsewhere", "linked", "blocked"))
    for folder in (elsewhere, linked, blocked):
        folder.mkdir()
    (linked / ".pistar_vf").symlink_to(elsewhere)
    (blocked / ".pistar_vf").write_text("a file")
    for root, message in (
        (linked, "expected a folder of the dataset, got a symlink; remove it"),
        (blocked, "blocked cannot be written to .*--output_dir"),
        (tmp_path / "absent", "absent cannot be written to .*No such file"),
    ):
        with pytest.raises(DatasetError, match=message), dataset_lock(root, "me"):
            pass
    assert list(elsewhere.iterdir()) == []


def test_the_command_is_shown_as_typed(monkeypatch) -> None:
    monkeypatch.setattr(sys, "argv", ["/opt/bin/pistar-vf", "undo", "--data_dir", "my data"])
    assert module.command_line() == "pistar-vf undo --data_dir 'my data'"
