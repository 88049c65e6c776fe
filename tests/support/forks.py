"""What the tests of patching do to a checkout: git, and the command itself."""

import subprocess
from pathlib import Path

from pistar_vf.cli.main import main

_SETTINGS = ("-c", "user.name=a", "-c", "user.email=a@b", "-c", "commit.gpgsign=false")


def git(root: Path, *words: str) -> str:
    """Runs git in a folder, as somebody with a name; what it prints."""
    words = ("git", "-C", str(root), *_SETTINGS, *words)
    return subprocess.run(words, check=True, capture_output=True, text=True).stdout


def patch(root: Path, *flags: str) -> object:
    """`pistar-vf patch`; its exit code."""
    try:
        return main(["patch", str(root), *flags])
    except SystemExit as stop:
        return stop.code
