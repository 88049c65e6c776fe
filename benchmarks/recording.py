"""What a benchmark found, as JSON with what it takes to find it again; `render_results.py` makes docs/results.md of it.

record("relabel", figures)     # benchmarks/results/relabel.json
"""

import datetime
import json
import math
import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).resolve().parent / "results"
_DIGITS = 6
"""Significant digits of a figure: more than any page shows, few enough to read."""


def record(name: str, figures: dict[str, Any], **about: str) -> Path:
    """Writes the figures of a run that has just ended.

    Args:
        name: of the file.
        figures: numbers, words, lists and dicts of them.
        about: further facts, such as a `note`.

    Returns:
        The file.
    """
    content = {
        "command": _command(),
        "commit": _commit(),
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "machine": _machine(),
        **about,
        "figures": _rounded(figures),
    }
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{name}.json"
    path.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    print(f"recorded: {path}")
    return path


def read_records(folder: Path = RESULTS) -> dict[str, dict[str, Any]]:
    """Every record, by name."""
    return {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in sorted(folder.glob("*.json"))}


def _command() -> str:
    """As one would type it in the repository, paths of this machine left out."""
    script = Path(sys.argv[0]).resolve()
    root = RESULTS.parent.parent
    words = [str(script.relative_to(root)) if script.is_relative_to(root) else script.name, *sys.argv[1:]]
    shown = [f"…/{Path(word).name}" if word.startswith("/") else word for word in words]
    return shlex.join(["python", *shown]).replace("'", "")


def _commit() -> str:
    """The commit, with a + where the tree differs from it in anything but records and pages."""
    root = RESULTS.parent.parent
    if shutil.which("git") is None:
        return "unknown"
    said = [
        subprocess.run(["git", *words], cwd=root, capture_output=True, text=True).stdout.strip()
        for words in (["rev-parse", "--short", "HEAD"], ["status", "--porcelain", "src", "benchmarks/*.py"])
    ]
    return f"{said[0] or 'unknown'}{'+' if said[1] else ''}"


def _machine() -> str:
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    load = os.getloadavg()[2]
    return f"{os.cpu_count()} CPU cores, {memory:.0f} GiB, load {load:.1f}"


def _rounded(value: Any) -> Any:
    """JSON's own types: NumPy's numbers too, no NaN, six digits."""
    if isinstance(value, dict):
        return {str(key): _rounded(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_rounded(entry) for entry in value]
    if hasattr(value, "item"):
        value = value.item()
    if isinstance(value, float):
        return float(f"{value:.{_DIGITS}g}") if math.isfinite(value) else None
    return value
