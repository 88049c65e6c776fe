"""Writes the pages of docs that have a template here (.md.in), such as docs/results.md, from the benchmarks' records.

    python benchmarks/render_results.py            # after a benchmark has recorded its figures
    python benchmarks/render_results.py --check    # exit code 1 if the page says something else

In the template {{name.key.key:format}} is a figure of `results/name.json`, in Python's format; {{records}} is the table
of all of them, {{records:name}} of those whose names begin so. The template itself holds no figure (a test looks).
"""

import argparse
import re
import sys
from pathlib import Path
from typing import Any

from recording import RESULTS, read_records

TEMPLATES = tuple(sorted(RESULTS.parent.glob("*.md.in")))
FIGURE = re.compile(r"\{\{([\w ,.-]+)(?::([^}]*))?\}\}")
_HEADER = "<!-- Written by benchmarks/render_results.py from benchmarks/{}: change that, not this. -->\n"


def page_of(template: Path) -> Path:
    """Where the page of a template is."""
    return RESULTS.parents[1] / "docs" / template.name.removesuffix(".in")


def render(template: Path, records: dict[str, dict[str, Any]]) -> str:
    """The page of a template.

    Raises:
        KeyError: no record holds such a figure; names the place.
    """

    def written(match: re.Match[str]) -> str:
        path, form = match.groups()
        if path == "records":
            return record_table({name: about for name, about in records.items() if name.startswith(form or "")})
        return shown(look_up(records, path), form or "")

    return _HEADER.format(template.name) + FIGURE.sub(written, template.read_text(encoding="utf-8"))


def look_up(records: dict[str, dict[str, Any]], path: str) -> Any:
    """A figure by its path, such as `relabel.40.frames`."""
    name, *keys = path.split(".")
    value: Any = records[name]["figures"] if name in records else {}
    for key in keys:
        value = value[int(key)] if isinstance(value, list) else value.get(key) if isinstance(value, dict) else None
    if value is None:
        raise KeyError(f"{path}: no such figure in {RESULTS.name}/{name}.json")
    return value


def shown(value: Any, form: str) -> str:
    """A figure as the pages write it: a space before %, a minus sign that is one."""
    return format(value, form).replace("%", " %").replace("-", "−") if not isinstance(value, str) else value


def record_table(records: dict[str, dict[str, Any]]) -> str:
    """Where every record is from."""
    lines = ["| record | command | commit | date | machine |", "|---|---|---|---|---|"]
    for name, about in records.items():
        how = f"{about['note']} " if "note" in about else ""
        lines.append(
            f"| {name} | {how}`{about['command']}` | {about['commit']} | {about['date']} | {about['machine']} |"
        )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="write nothing")
    args = parser.parse_args()
    for template in TEMPLATES:
        path, page = page_of(template), render(template, read_records())
        if args.check and path.read_text(encoding="utf-8") != page:
            sys.exit(f"{path}: expected what the records say; render it")
        if not args.check:
            path.write_text(page, encoding="utf-8")
            print(f"result: {path}")


if __name__ == "__main__":
    main()
