"""Runs the commands of a page of the documentation and puts what they print under them.

    python benchmarks/walk.py docs/commands.md

A block of ```sh is run in an empty folder, after those above it; the block of ```text that follows it is written anew.
Models are shrunk, so that the page takes a minute or two; of long outputs the beginning and the end are shown.
"""

import argparse
import os
import re
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path

from reliability import prepare

_LINES = r"(?:(?!```).*\n)*"
BLOCK = re.compile(rf"^```sh\n(?P<commands>{_LINES})```\n(?P<output>\n```text\n{_LINES}```\n)?", re.MULTILINE)
MAX_LINES, LAST_LINES, WIDTH = 22, 6, 110
_SERVES_SECONDS = 40.0
_NOISE = re.compile(r"^(WARNING: All log|Progress on|[WEI]\d{4} ).*|.*(it/s|frames/s).*$")


class FailedError(Exception):
    """A command of the page failed."""


def walk(page: str, folder: Path) -> tuple[str, list[str]]:
    """The page with new outputs, and what failed; there the old output stays."""

    def renewed(block: re.Match[str]) -> str:
        try:
            output = "\n".join(printed(words, folder) for words in commands_of(block["commands"]))
        except FailedError as error:
            failed.append(str(error))
            return block[0]
        own = f"```sh\n{block['commands']}```\n"
        return own if block["output"] is None else f"{own}\n```text\n{_shown(output, folder)}\n```\n"

    failed: list[str] = []
    new = BLOCK.sub(renewed, page)
    return new, failed


def commands_of(block: str) -> list[list[str]]:
    """The words of its commands."""
    lines = block.replace("\\\n", " ").splitlines()
    return [words for line in lines if (words := shlex.split(line, comments=True))]


def printed(words: list[str], folder: Path) -> str:
    """What a command prints; one that serves is ended after a while.

    Raises:
        FailedError: it failed with an exit code that is not documented for findings.
    """
    from hard_faults.children import NEVER, Moment, run

    print(shlex.join(words), flush=True)
    if words[0] != "pistar-vf":
        own = [sys.executable, *words[1:]] if words[0] == "python" else words
        ran = subprocess.run(own, cwd=folder, capture_output=True, text=True, check=True)
        return ran.stdout.strip()
    kill = Moment(seconds=_SERVES_SECONDS) if words[1] == "serve" else NEVER
    ended = run(words[1:], kill=kill, prepare=lambda: os.chdir(folder))
    if ended.code not in (0, 1, 3, 4) and not ended.killed:
        raise FailedError(f"{shlex.join(words)}: exit code {ended.code}\n{ended.output}")
    return ended.output.strip()


def _shown(output: str, folder: Path) -> str:
    """Without what is this machine's alone, and not too long."""
    text = output.replace(f"{folder}/", "").replace(str(folder), ".").replace(str(Path.home()), "~")
    lines = [line.rstrip()[:WIDTH] for line in text.splitlines() if not _NOISE.match(line)]
    if len(lines) > MAX_LINES:
        lines = [*lines[: MAX_LINES - LAST_LINES], "…", *lines[-LAST_LINES:]]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pages", type=Path, nargs="+")
    args = parser.parse_args()
    prepare()
    os.environ["COLUMNS"] = str(WIDTH)
    from hard_faults.world import import_everything
    from support.mini_upstream import write_mini_upstream

    import_everything()
    for page in args.pages:
        with tempfile.TemporaryDirectory() as folder:
            os.environ["PISTAR_VF_CACHE"] = f"{folder}/cache"
            write_mini_upstream(Path(folder) / "pistar")
            text, failed = walk(page.read_text(encoding="utf-8"), Path(folder).resolve())
        page.write_text(text, encoding="utf-8")
        print("\n".join([*failed, f"result: {page}"]))


if __name__ == "__main__":
    main()
