"""`scripts/check_newest.sh`. Oracle: a stand-in for Python that says what it was asked to do; nothing is installed."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "check_newest.sh"
PINS = SCRIPT.parents[1] / "constraints" / "newest.txt"

pytestmark = pytest.mark.skipif(shutil.which("bash") is None, reason="bash is not installed")

# What the environment's interpreter is asked for; `-m venv` makes the environment out of copies of this file.
PYTHON = """#!/usr/bin/env bash
case "$*" in
  "-m venv "*)
    mkdir -p "$3/bin"
    cp "$0" "$3/bin/python"
    printf '#!/bin/sh\\necho the doctor; exit 1\\n' >"$3/bin/pistar-vf"
    chmod +x "$3/bin/pistar-vf"
    ;;
  "-m pip install --quiet uv") exit "$NO_UV" ;;
  "-m pip install"*) echo "installs ${*: -1}"; exit "$NO_NETWORK" ;;
  "-c import sys; sys.exit(sys.version_info < (3, 12))") exit "$OLDER" ;;
  "scripts/changed_pins.py $PINS") printf "$CHANGES" ;;
  "-m pytest "*) echo "tests: $*"; exit "$TESTS" ;;
  *) echo "unexpected: $*"; exit 99 ;;
esac
"""


@pytest.fixture
def script(tmp_path):
    """Runs the script; the stand-in does what the variables say."""
    python = tmp_path / "python"
    python.write_text(PYTHON)
    python.chmod(0o755)
    (tmp_path / "folders").mkdir()

    def run(*words, **variables):
        told = {"NO_UV": "1", "NO_NETWORK": "0", "CHANGES": "", "TESTS": "0", "OLDER": "1"} | variables
        told["PINS"] = f"constraints/{'newest' if told['OLDER'] == '1' else 'py312'}.txt"
        environment = {**os.environ, "PYTHON": str(python), "TMPDIR": str(tmp_path / "folders"), **told}
        found = subprocess.run([SCRIPT, *words], env=environment, cwd=tmp_path, capture_output=True, text=True)
        return found.returncode, found.stdout, list((tmp_path / "folders").iterdir())

    return run


def test_help(script):
    code, out, left = script("--help")
    assert code == 0
    assert out.startswith("usage: scripts/check_newest.sh [--keep] [pytest arguments]")
    assert left == []


def test_nothing_is_newer(script):
    code, out, left = script()
    assert (code, left) == (0, [])
    lines = out.splitlines()
    assert lines[0] == "uv is not to be had here; going on with pip"
    assert lines[1] == "installs .[dev]"
    assert lines[2:4] == ["constraints/newest.txt differs from what is newest (pinned -> newest):", "nothing"]
    assert "the doctor found problems; the tests run nevertheless" in lines
    assert lines[-2] == "tests: -m pytest -p no:cacheprovider -n 2 -m not slow"
    assert lines[-1] == "passes on the newest releases, which are those of constraints/newest.txt"


def test_the_tests_pass_on_newer_releases(script):
    code, out, left = script("tests/test_intervals.py", "-x", CHANGES="jax 0.10.2 -> 0.11.0\\nav 18.1.0 -> 19.0\\n")
    assert (code, left) == (0, [])
    assert "-m not slow tests/test_intervals.py -x" in out
    assert "\njax 0.10.2 -> 0.11.0\nav 18.1.0 -> 19.0\n" in out
    command = PINS.read_text().splitlines()[1].removeprefix("# Made with: ")
    assert command.startswith("uv pip compile pyproject.toml")
    assert out.splitlines()[-1] == f"passes on the newest releases; to move the pins: {command}"


def test_from_python_3_12_on_the_pins_are_its_own(script):
    code, out, _ = script(OLDER="0", CHANGES="jax 0.12.0.1 -> 0.12.1\\n")
    assert code == 0
    assert "\nconstraints/py312.txt differs from what is newest (pinned -> newest):\njax 0.12.0.1 -> 0.12.1\n" in out
    command = PINS.with_name("py312.txt").read_text().splitlines()[1].removeprefix("# Made with: ")
    assert "--python-version 3.12" in command
    assert out.splitlines()[-1] == f"passes on the newest releases; to move the pins: {command}"
    assert script(OLDER="0")[1].splitlines()[-1].endswith("which are those of constraints/py312.txt")


@pytest.mark.parametrize(
    ("changes", "told"),
    [("jax 1 -> 2\\nav 1 -> 2\\n", "jax 1 -> 2, av 1 -> 2"), ("", "nothing has changed")],
)
def test_the_tests_fail(script, changes, told):
    code, out, left = script(CHANGES=changes, TESTS="5")
    assert (code, left) == (5, [])
    assert out.splitlines()[-1] == f"fails on the newest releases: {told}"


def test_what_cannot_be_installed(script):
    code, out, left = script(NO_NETWORK="1")
    assert (code, left) == (1, [])
    assert out.splitlines()[-1] == "fails on the newest releases: they cannot be installed"


def test_keep_leaves_the_environment(script):
    code, _, (folder,) = script("--keep")
    assert code == 0
    assert (folder / "venv" / "bin" / "python").is_file()
