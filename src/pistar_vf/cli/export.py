"""`pistar-vf export`: labels in the form that a policy's training program reads."""

from collections.abc import Sequence
from pathlib import Path

import tyro

from pistar_vf.exports.run import ExportConfig, run_export


def main(argv: Sequence[str] | None = None) -> Path:
    """Parses the command line, exports, and says where the result is."""
    result = run_export(tyro.cli(ExportConfig, prog="pistar-vf export", args=argv, use_underscores=True))
    print(f"result: {result}")
    return result
