"""One fold per device: each process sees one device, and none waits for another's."""

import subprocess
import threading
from pathlib import Path

import pytest

from pistar_vf.cli import fold_processes
from pistar_vf.cli.fold_processes import train_on_devices, visible_gpus
from pistar_vf.cli.main import main as pistar_vf
from pistar_vf.errors import ConfigError


def test_every_fold_has_a_device_of_its_own(tmp_path):
    running, seen, most, lock = set(), [], [], threading.Lock()

    def launch(command, environment, log: Path) -> int:
        device, fold = environment["CUDA_VISIBLE_DEVICES"], command[command.index("--fold") + 1]
        with lock:
            assert device not in running
            running.add(device)
            most.append(len(running))
            seen.append((fold, device, log.name, command[3:-2]))
        threading.Event().wait(0.05)
        with lock:
            running.remove(device)
        return 0

    train_on_devices(["--folds", "5"], range(5), ("2", "6"), tmp_path / "new", launch)
    assert sorted(fold for fold, *_ in seen) == list("01234")
    assert {device for _, device, *_ in seen} == {"2", "6"}
    assert max(most) == 2
    assert all((log, words) == (f"fold_{fold}.log", ["train", "--folds", "5"]) for fold, _, log, words in seen)


def test_a_fold_that_fails_is_named_and_the_others_go_on(tmp_path):
    done = []

    def launch(command, environment, log) -> int:
        done.append(int(command[-1]))
        return int(command[-1] == "1")

    with pytest.raises(ConfigError, match=r"folds \[1\] did not finish: .*fold_1.log; give the command again"):
        train_on_devices([], range(4), ("0", "1"), tmp_path, launch)
    assert sorted(done) == [0, 1, 2, 3]


def test_a_process_writes_its_log(tmp_path):
    """The real one: it cannot read its flags, and says so in the log."""
    with pytest.raises(ConfigError, match=r"folds \[0\] did not finish"):
        train_on_devices(["--no_such_flag"], [0], ("0",), tmp_path)
    assert "no_such_flag" in (tmp_path / "fold_0.log").read_text()


def test_devices_are_counted_without_opening_them(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3, 1")
    assert visible_gpus() == ("3", "1")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert visible_gpus() == ()
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")

    def listed(*_, **__):
        return subprocess.CompletedProcess([], 0, stdout="GPU 0: NVIDIA X (UUID: a)\nGPU 1: NVIDIA X (UUID: b)\n")

    monkeypatch.setattr(fold_processes.subprocess, "run", listed)
    assert visible_gpus() == ("0", "1")

    def missing(*_, **__):
        raise FileNotFoundError("nvidia-smi")

    monkeypatch.setattr(fold_processes.subprocess, "run", missing)
    assert visible_gpus() == ()


def test_the_command_divides_folds_among_devices(tiny_dataset, monkeypatch, tmp_path):
    asked = []
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")
    monkeypatch.setattr(fold_processes, "train_on_devices", lambda *args: asked.append(args))
    words = [
        "--preset",
        "tiny",
        "--data_dir",
        str(tiny_dataset),
        "--checkpoint_dir",
        str(tmp_path / "new"),
        "--folds",
        "3",
    ]
    assert pistar_vf(["train", *words]) == 0
    assert asked == [(words, [0, 1, 2], ("0", "1"), tmp_path / "new")]
    assert (tmp_path / "new" / "folds.json").is_file()
