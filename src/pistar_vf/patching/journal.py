"""Writing a plan into a checkout, and taking it back byte for byte.

`<checkout>/.pistar_vf_patches/` holds every file as it was before and after each patch, by its hash, and a list of
what was done. It ignores itself in git, and goes when everything is taken back.
"""

import dataclasses
import hashlib
import json
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

from pistar_vf.patching.patch_file import PatchError
from pistar_vf.patching.plan import Step

FOLDER = ".pistar_vf_patches"


@dataclasses.dataclass(frozen=True)
class Entry:
    """One patch that was written.

    Attributes:
        patch: its id.
        files: file to the hashes of (before, after); None is no file.
        folders: those that did not exist before, outer ones first.
    """

    patch: str
    files: dict[str, tuple[str | None, str | None]]
    folders: list[str]


def read_journal(root: Path) -> list[Entry]:
    """What was written into a checkout, in order."""
    path = root / FOLDER / "journal.json"
    if not path.is_file():
        return []
    return [
        Entry(entry["patch"], {file: tuple(pair) for file, pair in entry["files"].items()}, entry["folders"])
        for entry in json.loads(path.read_text(encoding="utf-8"))
    ]


def write_step(root: Path, step: Step) -> None:
    """Writes one patch into a checkout; what is needed to take it back is on disk first."""
    files = {file: (_store(root, before), _store(root, after)) for file, (before, after) in step.changes.items()}
    parents = {parent for file in files for parent in Path(file).parents}
    folders = sorted(parent.as_posix() for parent in parents if not (root / parent).exists())
    _write_journal(root, [*read_journal(root), Entry(step.patch.id, files, folders)])
    for file, (_, after) in step.changes.items():
        _put(root / file, after)


def revert(root: Path) -> list[str]:
    """Takes every patch back, the last one first; later edits of others stay where they do not overlap.

    Args:
        root: the checkout.

    Returns:
        The ids of the patches that were taken back.

    Raises:
        PatchError: nothing was written into this checkout, or a file was edited since in the same places; then no
            file is changed.
    """
    journal = read_journal(root)
    if not journal:
        raise PatchError(f"{root}: expected patches that were applied here, found none ({FOLDER} has no journal)")
    contents: dict[str, bytes | None] = {}
    refused = []
    for entry in reversed(journal):
        for file, (before, after) in entry.files.items():
            current = contents[file] if file in contents else _read(root / file)
            contents[file], clean = _reversed(current, _load(root, before), _load(root, after))
            refused += [] if clean else [f"  {file} (patch {entry.patch})"]
    if refused:
        raise PatchError(
            "these files were edited since they were patched, in the same places; nothing was taken back. Undo those "
            "edits, or take the patch back by hand:\n" + "\n".join(dict.fromkeys(refused))
        )
    for file, content in contents.items():
        _put(root / file, content)
    _remove_folders(root, journal)
    return [entry.patch for entry in reversed(journal)]


def patched_by_us(root: Path) -> set[str]:
    """Files that are as the last patch left them."""
    last = {file: after for entry in read_journal(root) for file, (_, after) in entry.files.items()}
    return {file for file, digest in last.items() if _digest(_read(root / file)) == digest}


def _reversed(current: bytes | None, before: bytes | None, after: bytes | None) -> tuple[bytes | None, bool]:
    """A file without one patch, and whether that went cleanly."""
    if current in (after, before):
        return before, True
    if current is None or before is None:  # somebody deleted it, or has worked on a file that the patch made
        return current, False
    with tempfile.TemporaryDirectory() as folder:
        names = [Path(folder) / name for name in ("current", "after", "before")]
        for path, content in zip(names, (current, after, before)):
            path.write_bytes(content)
        merged = subprocess.run(["git", "merge-file", "-p", *map(str, names)], capture_output=True)
    return merged.stdout, merged.returncode == 0


def _remove_folders(root: Path, journal: Sequence[Entry]) -> None:
    """The folders that patches made, where they are empty, and the journal."""
    for folder in sorted({name for entry in journal for name in entry.folders}, reverse=True):
        if (root / folder).is_dir() and not any((root / folder).iterdir()):
            (root / folder).rmdir()
    shutil.rmtree(root / FOLDER)


def _write_journal(root: Path, entries: Sequence[Entry]) -> None:
    folder = root / FOLDER
    (folder / ".gitignore").write_text("*\n", encoding="utf-8")
    text = json.dumps([dataclasses.asdict(entry) for entry in entries], indent=1)
    (folder / "journal.json.new").write_text(text + "\n", encoding="utf-8")
    (folder / "journal.json.new").replace(folder / "journal.json")


def _store(root: Path, content: bytes | None) -> str | None:
    digest = _digest(content)
    if content is not None:
        path = root / FOLDER / "contents" / digest
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return digest


def _load(root: Path, digest: str | None) -> bytes | None:
    return None if digest is None else (root / FOLDER / "contents" / digest).read_bytes()


def _digest(content: bytes | None) -> str | None:
    return None if content is None else hashlib.sha256(content).hexdigest()


def _read(path: Path) -> bytes | None:
    return path.read_bytes() if path.is_file() else None


def _put(path: Path, content: bytes | None) -> None:
    if content is None:
        path.unlink(missing_ok=True)
    else:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
