"""Which sets of versions `.ci/run` tests. Oracle: what it asks `make` for, with stand-ins for make and for Python."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]

MAKE = """#!/bin/sh
set="$CONSTRAINTS"; optimised="${JAX_DISABLE_MOST_OPTIMIZATIONS:-0}"
for word in "$@"; do case "$word" in CONSTRAINTS=*) set="${word#CONSTRAINTS=}" ;; esac; done
if [ "$1" = test ]; then echo "test $set $optimised $PYTEST_ADDOPTS"; fi
case "$set" in newest) venv=.venv ;; *) venv=".venv-$set" ;; esac
mkdir -p "$venv/bin" && cp "$PYTHON" "$venv/bin/python"
"""


def script(path: Path, text: str) -> Path:
    path.write_text(text)
    path.chmod(0o755)
    return path


@pytest.fixture
def ran(tmp_path):
    """Runs `.ci/run` where a Python 3.12 is at hand or not; returns its lines about tests and what is left out."""
    (tmp_path / "repo" / ".ci").mkdir(parents=True)
    shutil.copy(ROOT / ".ci" / "run", tmp_path / "repo" / ".ci")
    stand_ins = tmp_path / "bin"
    stand_ins.mkdir()
    script(stand_ins / "make", MAKE)
    python = script(tmp_path / "python", "#!/bin/sh\nexit 0\n")
    for name in ("python3.12", "python3.13"):
        script(stand_ins / name, "#!/bin/sh\nexit 1\n")

    def run(newer=True, **chosen):
        inherited = {name: value for name, value in os.environ.items() if name not in ("CONSTRAINTS", "PYTHON312")}
        own = {"PATH": f"{stand_ins}:{os.environ['PATH']}", "PYTHON": str(python), "PYENV_ROOT": str(tmp_path)}
        env = {**inherited, "JAX_DISABLE_MOST_OPTIMIZATIONS": "0", **own, **chosen}
        if newer:
            env["PYTHON312"] = str(python)
        command = ["bash", tmp_path / "repo" / ".ci" / "run"]
        out = subprocess.run(command, env=env, capture_output=True, text=True, check=True, timeout=60).stdout
        return [line for line in out.splitlines() if line.startswith("test ") or "left out" in line]

    return run


def sets_of(lines):
    return [line.split(" --")[0].strip() for line in lines if line.startswith("test ")]


def test_every_set_is_tested(ran):
    assert sets_of(ran()) == ["test newest 0", "test openpi 0", "test py312 1", "test lerobot 1"]


def test_what_a_set_leaves_to_another_is_there_and_said(ran):
    flags = [line.split()[3:] for line in ran() if line.startswith("test ")]
    assert flags[0] == []  # the newest set leaves nothing out
    for flag in [flag for own in flags for flag in own]:
        assert list(ROOT.glob(flag.removeprefix("--ignore-glob="))), flag
    assert "--ignore-glob=tests/patching/test_[!w]*" in flags[1]
    assert "--ignore-glob=tests/models" in flags[3]
    assert not [flag for flag in flags[2] if "patching" in flag or "models" in flag]


def test_one_set_is_chosen(ran):
    assert sets_of(ran(CONSTRAINTS="lerobot")) == ["test lerobot 1"]
    assert sets_of(ran(CONSTRAINTS="openpi")) == ["test openpi 0"]


def test_what_has_no_python_is_said_to_be_left_out(ran):
    assert [line for line in ran(newer=False) if "left out" in line] == [
        f"no Python 3.12 or newer here (PYTHON312 names one): {name} is left out" for name in ("py312", "lerobot")
    ]
