"""What patching asks of git."""

import subprocess
from pathlib import Path

from pistar_vf.patching.patch_file import Patch, PatchError


def modified_files(root: Path) -> set[str] | None:
    """Tracked files with changes that are not committed, by their paths below `root`; None without git."""
    status = _git(root, "status", "--porcelain", "-z", "--no-renames", "--untracked-files=no", "--", ".")
    prefix = _git(root, "rev-parse", "--show-prefix")
    if status.returncode or prefix.returncode:
        return None
    below = prefix.stdout.strip()
    return {line[3:].removeprefix(below) for line in status.stdout.split("\0") if line}


def is_committed(root: Path, file: str) -> bool:
    """Whether a file is as git has it."""
    tracked = _git(root, "ls-files", "--error-unmatch", "--", file).returncode == 0
    return tracked and _git(root, "diff", "--quiet", "HEAD", "--", file).returncode == 0


def require_commits(root: Path) -> None:
    """Stops where commits are not to be had, before anything is written.

    Raises:
        PatchError: says what is missing.
    """
    for words, needed in (
        (("rev-parse", "--verify", "HEAD"), "a git repository with a commit"),
        (("var", "GIT_COMMITTER_IDENT"), "a name and an address for commits (git config user.name and user.email)"),
    ):
        result = _git(root, *words)
        if result.returncode:
            said = (result.stderr or result.stdout).strip().splitlines()
            raise PatchError(
                f"{root}: --commit expects {needed}; nothing was written. Run --apply without --commit, or put that "
                f"right. git said: {said[0] if said else 'nothing'}"
            )


def commit(root: Path, patch: Patch, files: list[str]) -> None:
    """One commit of one patch's files.

    Raises:
        PatchError: git refused; the patch is in the files, but not committed.
    """
    message = f"pistar_vf patch {patch.id}: {patch.title}\n\n" + "\n".join(patch.symptom)
    for words in (("add", "--force", "--", *files), ("commit", "--quiet", "-m", message, "--", *files)):
        result = _git(root, *words)
        if result.returncode:
            raise PatchError(
                f"patch {patch.id} is in the files, but git could not commit it; commit it yourself, or take the "
                f"patches back with --revert. git {words[0]} said: {(result.stderr or result.stdout).strip()}"
            )


def _git(root: Path, *words: str) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(["git", "-C", str(root), *words], capture_output=True, text=True, errors="replace")
    except FileNotFoundError:
        return subprocess.CompletedProcess(words, 127, "", "git is not installed")
