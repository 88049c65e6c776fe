"""What is in the repository, and what must not be."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from support.places import ROOT

MAX_BYTES = 1 << 20

MACHINE_PATH = re.compile(r"(?<![\w.<>~$}-])/(home|Users|root|work|tmp)/\w")
REGISTRY = re.compile(r"\b(pypi|pythonhosted|npmjs|anaconda)\.(org|com)\b|-{2}((extra-)?index-url|find-links)")


@pytest.fixture(scope="module")
def files() -> list[Path]:
    """Every file that is tracked, or would be by `git add`."""
    if not (ROOT / ".git").exists() or shutil.which("git") is None:
        pytest.skip("not a git checkout")
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout.splitlines()
    return [ROOT / name for name in names if (ROOT / name).is_file()]


def lines_matching(pattern: re.Pattern[str], paths: list[Path]) -> list[str]:
    """`file:line: text` of every match in a text file."""
    found = []
    for path in paths:
        data = path.read_bytes()
        if b"\0" in data:
            continue
        for number, line in enumerate(data.decode(errors="replace").splitlines(), start=1):
            if pattern.search(line):
                found.append(f"{path.relative_to(ROOT)}:{number}: {line.strip()[:100]}")
    return found


@pytest.mark.parametrize("name", ["README.md", "CHANGELOG.md", "CONTRIBUTING.md", "LICENSE"])
def test_what_a_visitor_looks_for_is_there(name):
    assert (ROOT / name).stat().st_size > 0


def test_the_documentation_lists_what_is_here(files):
    text = (ROOT / "docs" / "development.md").read_text()
    table = text.split("## What is in the repository")[1].split("\n## ")[0]
    entries = [line.split("|")[1] for line in table.splitlines() if line.startswith("| `")]
    listed = {name for entry in entries for name in re.findall(r"`([^`]+)`", entry)}
    assert listed == {path.relative_to(ROOT).parts[0] for path in files}


def test_files_are_small(files):
    assert [f"{path.relative_to(ROOT)}" for path in files if path.stat().st_size > MAX_BYTES] == []


def test_no_path_of_a_machine(files):
    assert lines_matching(MACHINE_PATH, files) == []


def test_no_address_of_a_package_registry(files):
    assert lines_matching(REGISTRY, files) == []


def test_constraints_are_names_and_versions():
    lines = [
        line
        for path in (ROOT / "constraints").glob("*.txt")
        for line in path.read_text().splitlines()
        if not line.startswith("#")
    ]
    assert len(lines) > 100
    assert [line for line in lines if not re.fullmatch(r"[a-z0-9-]+==[0-9][0-9a-z.]*", line)] == []


@pytest.mark.parametrize("script", sorted((ROOT / "scripts").glob("*.py")), ids=lambda path: path.name)
def test_every_script_answers_help(script):
    run = subprocess.run([sys.executable, script, "--help"], capture_output=True, text=True, timeout=60)
    assert run.returncode == 0, run.stderr
    assert "usage" in run.stdout.lower()


# --- the patterns themselves -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "matches"),
    [
        ("see /" + "home/ada/data", True),
        ("'/" + "Users/ada'", True),
        ("/" + "root/x", True),
        ("~/home/data", False),
        ("outputs/" + "work/run", False),
        ("https://example.com/" + "work/1", False),
    ],
)
def test_machine_paths_are_recognised(text, matches):
    assert bool(MACHINE_PATH.search(text)) == matches


@pytest.mark.parametrize(
    ("text", "matches"),
    [("https://" + "pypi" + ".org/simple", True), ("--extra-" + "index-url x", True), ("orbax.org", False)],
)
def test_registry_addresses_are_recognised(text, matches):
    assert bool(REGISTRY.search(text)) == matches
