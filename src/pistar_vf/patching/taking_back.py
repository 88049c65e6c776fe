"""Taking patches back from files that others may have worked on, or that git may have put back, since."""

import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

from pistar_vf.patching.git import is_committed
from pistar_vf.patching.journal import Entry, content, read_journal
from pistar_vf.patching.patch_file import PatchError
from pistar_vf.patching.writing import FOLDER, put, read, refuse_unwritable


def revert(root: Path) -> list[str]:
    """Takes every patch back that is still in the files, the last one first; later edits of others stay.

    Args:
        root: the checkout.

    Returns:
        The ids of the patches that were taken back; those that were not in the files any more are not among them.

    Raises:
        PatchError: nothing was written into this checkout, or a file was edited since in the same places; then no
            file is changed.
    """
    journal = read_journal(root)
    if not journal:
        raise PatchError(f"{root}: expected patches that were applied here, found none ({FOLDER} has no journal)")
    before: dict[str, bytes | None] = {}
    contents: dict[str, bytes | None] = {}
    taken, refused = [], []
    for entry in reversed(journal):
        for file, (old, new) in entry.files.items():
            current = contents[file] if file in contents else before.setdefault(file, read(root / file))
            without, clean = _without(root, file, current, (content(root, old), content(root, new)))
            contents[file] = without
            refused += [] if clean else [f"  {file} (patch {entry.patch})"]
            taken += [entry.patch] if without != current else []
    if refused:
        raise PatchError(_refusal(refused))
    changed = [file for file, data in contents.items() if data != before[file]]
    refuse_unwritable(root, changed)
    for file, data in contents.items():
        if file in changed:
            put(root, root / file, data)
    _remove_folders(root, journal)
    return list(dict.fromkeys(taken))


def _refusal(refused: Sequence[str]) -> str:
    return (
        "these files were edited since they were patched, in the same places; nothing was taken back. Undo those edits "
        "(`git checkout -- FILE` puts a file back as it was committed), or take the patch back by hand and remove the "
        f"folder {FOLDER}:\n" + "\n".join(dict.fromkeys(refused))
    )


def _without(
    root: Path, file: str, current: bytes | None, pair: tuple[bytes | None, bytes | None]
) -> tuple[bytes | None, bool]:
    """A file without one patch, and whether that is clear; the same content where the patch is not in it."""
    before, after = pair
    if current in (after, before):
        return before, True
    if current is None:  # deleted by others, with the patch
        return None, True
    if before is None or after is None:  # a file of the patch's own, with other content
        return current, is_committed(root, file)
    taken, clean = _merge(current, after, before)
    if clean:
        return taken, True
    added, clean = _merge(current, before, after)
    is_out = (clean and added != current) or not _added_lines(before, after) & set(current.splitlines())
    return current, is_out  # it could be added, or nothing of it is there


def _added_lines(before: bytes, after: bytes) -> set[bytes]:
    return {line for line in after.splitlines() if line.strip()} - set(before.splitlines())


def _merge(current: bytes, base: bytes, other: bytes) -> tuple[bytes, bool]:
    """`current` with what leads from `base` to `other`, and whether that went cleanly."""
    with tempfile.TemporaryDirectory() as folder:
        names = [Path(folder) / name for name in ("current", "base", "other")]
        for path, data in zip(names, (current, base, other), strict=True):
            path.write_bytes(data)
        try:
            merged = subprocess.run(["git", "merge-file", "-p", *map(str, names)], capture_output=True)
        except FileNotFoundError as error:
            raise PatchError(
                "files were edited since they were patched, and taking the patches back from them needs git, which "
                "is not installed; nothing was taken back"
            ) from error
    return merged.stdout, merged.returncode == 0


def _remove_folders(root: Path, journal: Sequence[Entry]) -> None:
    """The folders that patches made, where they are empty, and the journal."""
    for folder in sorted({name for entry in journal for name in entry.folders}, reverse=True):
        if (root / folder).is_dir() and not any((root / folder).iterdir()):
            (root / folder).rmdir()
    put(root, root / FOLDER / "journal.json", None)  # first: without the list, what it needs may go
    shutil.rmtree(root / FOLDER)
