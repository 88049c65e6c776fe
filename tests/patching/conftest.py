"""Fixtures of the patch tests."""

import importlib.metadata
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from support.forks import git
from support.mini_upstream import write_mini_upstream

from pistar_vf.faults.source_tree import SourceTree
from pistar_vf.patching.journal import read_journal, write_step
from pistar_vf.patching.patch_file import load_patches
from pistar_vf.patching.plan import Step, make_plan, refuse_conflicts


@pytest.fixture(autouse=True)
def no_gemma(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hides the packages of this environment, which may hold gemma, from the patches; a test's own stay visible."""
    find = importlib.metadata.distribution

    def find_outside(name: str) -> importlib.metadata.Distribution:
        found = find(name)
        if Path(str(found.locate_file(""))).is_relative_to(sys.prefix):
            raise importlib.metadata.PackageNotFoundError(name)
        return found

    monkeypatch.setattr(importlib.metadata, "distribution", find_outside)


@pytest.fixture
def fork(tmp_path: Path) -> Path:
    """A small fork with every fault."""
    return write_mini_upstream(tmp_path / "fork")


@pytest.fixture
def clone(fork: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The small fork as a git repository without changes."""
    for name in ("AUTHOR", "COMMITTER"):
        monkeypatch.setenv(f"GIT_{name}_NAME", "a")
        monkeypatch.setenv(f"GIT_{name}_EMAIL", "a@b")
    git(fork, "init", "--quiet", "--initial-branch=main")
    git(fork, "add", "--all")
    git(fork, "commit", "--quiet", "--message=start")
    return fork


@pytest.fixture
def apply() -> Callable[..., list[Step]]:
    """Applies all patches, or all but some, and returns what was planned."""

    def apply_patches(root: Path, but: tuple[str, ...] = ()) -> list[Step]:
        patches = [patch for patch in load_patches() if patch.id not in but]
        plan = make_plan(patches, SourceTree(root), applied={entry.patch for entry in read_journal(root)})
        refuse_conflicts(plan)
        for step in plan:
            if step.status == "needed":
                write_step(root, step)
        return plan

    return apply_patches


@pytest.fixture
def contents() -> Callable[[Path], dict[str, bytes | None]]:
    """Every file of a folder and its bytes, and every folder."""

    def read(root: Path) -> dict[str, bytes | None]:
        paths = sorted(root.rglob("*"))
        return {f"{path.relative_to(root)}": path.read_bytes() if path.is_file() else None for path in paths}

    return read
