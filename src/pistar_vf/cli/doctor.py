"""`pistar-vf doctor`: does everything here work, and what to do where it does not?"""

import dataclasses
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from pistar_vf.changes.durable_files import write_whole
from pistar_vf.cli.parsing import parse

if TYPE_CHECKING:
    from pistar_vf.doctor.examination import Diagnosis
    from pistar_vf.doctor.versions import Change

EXIT_PROBLEMS = 1
_COLOURS = {"failed": "red", "warning": "yellow", "ok": "green", "skipped": "dim"}
_NUM_CHANGES = 6


@dataclasses.dataclass(frozen=True)
class DoctorArgs:
    """Look at this installation: versions, devices, combinations known to fail; and try video decoding, the tokenizer,
    checkpoints, the accelerator and the cache folders. Takes some seconds and changes nothing.

    The last line is the verdict. Exit code: 0 where everything works (warnings allowed), 1 where something is to be
    repaired.
    """

    json: Path | None = None
    """Also write everything to this file, as JSON."""


def run(args: DoctorArgs) -> int:
    """Prints the report and returns the exit code."""
    from pistar_vf.doctor.examination import examine

    diagnosis = examine()
    # Not narrower than a sentence where the output goes to a file.
    console = Console(width=None if sys.stdout.isatty() else 160)
    console.print(_versions_table(diagnosis))
    console.print(_findings_table(diagnosis))
    if args.json is not None:
        write_whole(args.json, json.dumps(diagnosis.to_json(), indent=2, ensure_ascii=False) + "\n")
        print(f"full report: {args.json}")
    print(f"verdict: {diagnosis.verdict}")
    return EXIT_PROBLEMS if diagnosis.of_state("failed") else 0


def _versions_table(diagnosis: "Diagnosis") -> Table:
    table = Table(title="versions", show_header=False, title_justify="left")
    table.add_row("Python", f"{diagnosis.python}, {escape(diagnosis.platform)}")
    for name, version in diagnosis.versions.items():
        table.add_row(name, "[red]not installed[/]" if version is None else escape(version))
    for name, changes in diagnosis.tested_sets.items():
        table.add_row(f"constraints/{name}.txt", _told(changes))
    return table


def _told(changes: "Sequence[Change]") -> str:
    if not changes:
        return "all installed packages are as pinned"
    shown = ", ".join(map(str, changes[:_NUM_CHANGES])) + ", …" * (len(changes) > _NUM_CHANGES)
    return f"{len(changes)} of the installed packages are not as pinned: {shown}"


def _findings_table(diagnosis: "Diagnosis") -> Table:
    table = Table("state", "what", "found", "what to do", title="checks", title_justify="left", show_lines=True)
    for finding in diagnosis.findings:
        state = f"[{_COLOURS[finding.state]}]{finding.state}[/]"
        table.add_row(state, *map(escape, (finding.name, finding.detail, finding.fix)))
    return table


def main(argv: Sequence[str]) -> None:
    """Parses the command line and runs the command; leaves with an exit code of its own where something is wrong."""
    if code := run(parse(DoctorArgs, argv, "pistar-vf doctor")):
        sys.exit(code)
