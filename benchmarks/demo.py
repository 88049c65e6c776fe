"""The figures of the demos, for docs/results.md.

make demo                          # then
python benchmarks/demo.py outputs/demo
make demo-stitched                 # then
python benchmarks/demo.py outputs/stitched_demo
"""

import argparse
import json
from pathlib import Path
from typing import Any

from recording import record


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="of a demo that has ended")
    args = parser.parse_args()
    if (args.folder / "robot_vf").is_dir():
        record("demo_stitched", stitched_figures(args.folder))
    else:
        record("demo", demo_figures(args.folder))


def demo_figures(folder: Path) -> dict[str, Any]:
    """The scores, and the gate's report."""
    scores, report = _read(folder / "demo.json"), _read(folder / "report" / "report.json")
    criteria = {c["name"].replace(" ", "_"): {"verdict": c["verdict"], "found": c["found"]} for c in report["criteria"]}
    about = {name: report[name] for name in ("verdict", "num_judged", "num_episodes")}
    return {**scores, "gate": {**about, "criteria": criteria}}


def stitched_figures(folder: Path) -> dict[str, Any]:
    """The scores, and the figures of the evaluation on the test part, model and baselines."""
    return {**_read(folder / "demo.json"), "test": _read(folder / "evaluation.json")["figures"]}


def _read(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text(encoding="utf-8"))


if __name__ == "__main__":
    main()
