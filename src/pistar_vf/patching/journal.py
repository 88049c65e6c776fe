"""What was written into a checkout: every file as it was before and after each patch, by its hash, in order.

`<checkout>/.pistar_vf_patches/` holds the contents and the list. It ignores itself in git, and goes when everything is
taken back. Whether an entry is still in the files is asked of the files, not of the list (see `taking_back`): git may
have put them back since.
"""

import dataclasses
import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

from pistar_vf.patching.patch_file import PatchError
from pistar_vf.patching.plan import Step
from pistar_vf.patching.writing import FOLDER, put, read


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
    """What was written into a checkout, in order.

    Raises:
        PatchError: the list is damaged.
    """
    path = root / FOLDER / "journal.json"
    text = read(path)
    if text is None:
        return []
    try:
        return [
            Entry(entry["patch"], {file: _pair(*pair) for file, pair in entry["files"].items()}, list(entry["folders"]))
            for entry in json.loads(text)
        ]
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise PatchError(
            f"{path} is damaged ({type(error).__name__}: {error}), and does not tell any more what was patched. Put "
            f"the files back with git (`git status` lists them) and remove the folder {FOLDER}"
        ) from error


def _pair(before: str | None, after: str | None) -> tuple[str | None, str | None]:
    return before, after


def write_step(root: Path, step: Step) -> None:
    """Writes one patch into a checkout; what is needed to take it back is on the disk first.

    Raises:
        PatchError: a file cannot be written, or has changed since the plan was made.
    """
    for file, (before, _) in step.changes.items():
        if read(root / file) != before:
            raise PatchError(f"{root / file} has changed while it was being patched; run this again")
    files = {file: (_store(root, before), _store(root, after)) for file, (before, after) in step.changes.items()}
    parents = {parent for file in files for parent in Path(file).parents}
    folders = sorted(parent.as_posix() for parent in parents if not (root / parent).exists())
    kept = [_without(entry, step.patch.id, files) for entry in read_journal(root)]
    _write_journal(root, [*(entry for entry in kept if entry.files), Entry(step.patch.id, files, folders)])
    for file, (_, after) in step.changes.items():
        put(root, root / file, after)


def _without(entry: Entry, patch: str, files: dict[str, tuple[str | None, str | None]]) -> Entry:
    """An older entry of the same patch without the files that it is written into again: there others undid it."""
    if entry.patch != patch:
        return entry
    return dataclasses.replace(entry, files={file: pair for file, pair in entry.files.items() if file not in files})


def patched_by_us(root: Path) -> set[str]:
    """Files that are as a patch left them."""
    left = {(file, after) for entry in read_journal(root) for file, (_, after) in entry.files.items()}
    return {file for file, digest in left if digest_of(read(root / file)) == digest}


def content(root: Path, digest: str | None) -> bytes | None:
    """A file's content by its hash; None for no file.

    Raises:
        PatchError: it is not there any more, or is damaged.
    """
    if digest is None:
        return None
    path = root / FOLDER / "contents" / digest
    found = read(path)
    if digest_of(found) != digest:
        raise PatchError(
            f"{path} is {'missing' if found is None else 'damaged'}: what was there before a patch is not known any "
            f"more. Put the files back with git (`git status` lists them) and remove the folder {FOLDER}"
        )
    return found


def digest_of(data: bytes | None) -> str | None:
    """The hash that a content is kept by."""
    return None if data is None else hashlib.sha256(data).hexdigest()


def _write_journal(root: Path, entries: Sequence[Entry]) -> None:
    text = json.dumps([dataclasses.asdict(entry) for entry in entries], indent=1)
    put(root, root / FOLDER / ".gitignore", b"*\n")
    put(root, root / FOLDER / "journal.json", f"{text}\n".encode())


def _store(root: Path, data: bytes | None) -> str | None:
    digest = digest_of(data)
    path = root / FOLDER / "contents" / f"{digest}"
    if data is not None and digest_of(read(path)) != digest:
        put(root, path, data)
    return digest
