"""`pistar-vf undo`: takes back what was changed in a dataset in place."""

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path

from pistar_vf.changes.journal import Journal, history, open_journal
from pistar_vf.changes.recovery import purge, recover, undo
from pistar_vf.cli.parsing import parse
from pistar_vf.errors import ConfigError


@dataclasses.dataclass(frozen=True)
class UndoArgs:
    """Take back the last change that was made to a dataset in place.

    The files that it replaced come back byte for byte, and those that it created go. Every change keeps its backups in
    <data_dir>/.pistar_vf, so that changes can be taken back one after another; --list shows them and what they take
    on the disk. Also repairs a dataset whose writer was killed.
    """

    data_dir: Path
    """The dataset."""
    steps: int = 1
    """How many changes to take back, the last one first."""
    force: bool = False
    """Also overwrite files that somebody edited since the change."""
    list: bool = False
    """Only show what can be taken back."""
    recover: bool = False
    """Only finish a change whose program was killed (or take it back where it cannot be finished)."""
    purge: bool = False
    """Delete all backups: frees the space, for instance before uploading the dataset. Nothing can be undone then."""


def run(args: UndoArgs) -> None:
    """Does what was asked for and prints what became of each change."""
    if args.list + args.recover + args.purge > 1:
        raise ConfigError("expected at most one of --list, --recover and --purge; run them one after another")
    from pistar_vf.lerobot.metadata import find_dataset

    root = find_dataset(args.data_dir)
    if args.list:
        print(_describe_history(root))
    elif args.recover:
        print(f"{root}: {recover(root, force=args.force) or 'nothing to recover, no change was interrupted'}")
    elif args.purge:
        print(f"{root}: deleted the backups of all changes, {_megabytes(purge(root))}")
    else:
        for outcome in undo(root, steps=args.steps, force=args.force):
            print(f"{root}: {outcome}")


def _describe_history(root: Path) -> str:
    lines = [_describe(journal) for journal in reversed(history(root))]
    if (journal := open_journal(root)) is not None:
        lines.insert(0, f"{_describe(journal)}\n  interrupted, or being made now: see --recover")
    return "\n".join(lines) or f"{root}: nothing was changed in place"


def _describe(journal: Journal) -> str:
    """One change in a few lines."""
    summary = f"\n  {json.dumps(journal.summary, ensure_ascii=False)}" if journal.summary else ""
    return (
        f"{journal.id}  {journal.purpose}, {len(journal.files)} files, backups {_megabytes(journal.backup_bytes)}\n"
        f"  {journal.created}  {journal.command}{summary}"
    )


def _megabytes(size: int) -> str:
    return f"{size / 1e6:.1f} MB"


def main(argv: Sequence[str]) -> None:
    """Parses the command line and runs the command."""
    run(parse(UndoArgs, argv, "pistar-vf undo"))
