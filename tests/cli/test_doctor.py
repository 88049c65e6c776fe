"""`pistar-vf doctor`. Oracle: reports made up by hand; once, a JAX that is told to use what is not there."""

import json
import os
import subprocess
import sys

import pytest

from pistar_vf.cli.main import main
from pistar_vf.doctor import examination
from pistar_vf.doctor.examination import Diagnosis
from pistar_vf.doctor.findings import Finding
from pistar_vf.doctor.versions import Change

CHANGES = [Change(f"p{number}", "1", "2") for number in range(8)]


@pytest.fixture
def report(monkeypatch):
    """Runs the command on made-up findings."""

    def run(findings, *words):
        sets = {"newest": [], "openpi": CHANGES}
        made_up = Diagnosis("3.11.7", "Linux", {"jax": "0.10.2", "flax": None}, sets, findings)
        monkeypatch.setattr(examination, "examine", lambda: made_up)
        try:
            return main(["doctor", *map(str, words)])
        except SystemExit as exit_:
            return exit_.code

    return run


def test_everything_works(report, tmp_path, capsys):
    path = tmp_path / "report.json"
    assert report([Finding("video", "ok", "5 frames [/] decoded")], "--json", path) == 0
    out = capsys.readouterr().out
    assert "5 frames [/] decoded" in out  # shown, not taken for a colour
    assert "not installed" in out
    assert "all installed packages are as pinned" in out
    assert "8 of the installed packages are not as pinned: p0 1 -> 2" in out
    assert "p5 1 -> 2, …" in out
    assert out.splitlines()[-2:] == [f"full report: {path}", "verdict: everything works"]
    assert json.loads(path.read_text())["findings"][0]["detail"] == "5 frames [/] decoded"


def test_warnings_are_allowed(report, capsys):
    assert report([Finding("gemma", "warning", "not whole", "mend it")]) == 0
    out = capsys.readouterr().out
    assert "mend it" in out
    assert out.splitlines()[-1] == "verdict: everything works (1 warning)"


def test_a_problem(report, capsys):
    assert report([Finding("av 14.2.0", "failed", "too old", "pip install 'av>=15'")]) == 1
    assert capsys.readouterr().out.splitlines()[-1] == ("verdict: 1 problem: first fix av 14.2.0: pip install 'av>=15'")


def test_a_backend_that_is_not_there_gives_a_line_and_no_traceback():
    command = [sys.executable, "-c", "from pistar_vf.cli.main import main; raise SystemExit(main(['doctor']))"]
    run = subprocess.run(command, env={**os.environ, "JAX_PLATFORMS": "abacus"}, capture_output=True, text=True)
    assert run.returncode == 1
    assert "Traceback" not in run.stdout + run.stderr
    assert run.stdout.splitlines()[-1].endswith("first fix devices: unset JAX_PLATFORMS")


def test_help(capsys):
    with pytest.raises(SystemExit, match="0"):
        main(["doctor", "--help"])
    assert "The last line is the verdict." in " ".join(capsys.readouterr().out.split())
