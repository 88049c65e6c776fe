"""The whole examination. Oracle: findings made up by hand, and an installation that the other tests pass on."""

import json
import subprocess
import sys

import pytest

from pistar_vf.doctor import devices, examination
from pistar_vf.doctor.examination import LIVE_CHECKS, Diagnosis, LiveCheck, examine
from pistar_vf.doctor.findings import Finding
from pistar_vf.doctor.versions import Change

OK = Finding("video", "ok", "decoded")
WARNING = Finding("LeRobot cache", "warning", "cannot be written", "elsewhere")
FAILED = Finding("av 14.2.0", "failed", "too old", "pip install 'av>=15'")


def diagnosis(*findings):
    return Diagnosis("3.11.7", "Linux", {"jax": None}, {"newest": [Change("av", "18.1.0", "14.2.0")]}, list(findings))


@pytest.mark.parametrize(
    ("findings", "verdict"),
    [
        ([OK], "everything works"),
        ([OK, WARNING], "everything works (1 warning)"),
        ([WARNING, OK, WARNING], "everything works (2 warnings)"),
        ([OK, WARNING, FAILED], "1 problem: first fix av 14.2.0: pip install 'av>=15'"),
        ([FAILED, Finding("x", "failed", "", "y")], "2 problems: first fix av 14.2.0: pip install 'av>=15'"),
    ],
)
def test_verdict(findings, verdict):
    assert diagnosis(*findings).verdict == verdict


def test_json():
    content = json.loads(json.dumps(diagnosis(FAILED).to_json()))
    assert (content["healthy"], content["versions"]) == (False, {"jax": None})
    assert content["tested_sets"] == {"newest": [{"name": "av", "pinned": "18.1.0", "installed": "14.2.0"}]}
    assert content["findings"] == [
        {"name": "av 14.2.0", "state": "failed", "detail": "too old", "fix": "pip install 'av>=15'"}
    ]
    assert diagnosis(OK).to_json()["healthy"]


def test_this_installation(monkeypatch):
    monkeypatch.delenv("JAX_COMPILATION_CACHE_DIR", raising=False)
    found = examine()
    assert found.of_state("failed") == []
    names = [finding.name for finding in found.findings]
    assert names[names.index("devices") + 1 :] == [check.name for check in LIVE_CHECKS]
    assert all(found.versions.values())


def test_known_bad_combinations_come_first_and_no_device_skips_what_needs_one(monkeypatch):
    def refuse():
        raise RuntimeError("no device")

    def unexpected():
        raise KeyError("a bug")

    monkeypatch.setattr(devices, "find_devices", refuse)
    monkeypatch.setattr(examination, "installed_versions", lambda: {"av": "14.2.0"})
    checks = (LiveCheck("needs one", lambda: "fine", "", needs_devices=True), LiveCheck("does not", unexpected, "tyro"))
    monkeypatch.setattr(examination, "LIVE_CHECKS", checks)
    found = examine()
    assert [(finding.name, finding.state) for finding in found.findings] == [
        ("av 14.2.0", "failed"),
        ("devices", "failed"),
        ("needs one", "skipped"),
        ("does not", "failed"),
    ]
    assert found.findings[-1] == Finding("does not", "failed", "KeyError: 'a bug'", "pip install tyro")
    assert found.versions["jax"] is None


def test_a_broken_package_cannot_keep_the_doctor_from_starting():
    packages = {"jax", "av", "pyarrow", "orbax", "sentencepiece"}
    code = f"import sys, pistar_vf.cli.doctor; print({packages} & set(sys.modules))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout == "set()\n"
