"""`pistar-vf export`: labels in the form that a policy's training program reads."""

from collections.abc import Sequence
from pathlib import Path

from pistar_vf.cli.parsing import parse
from pistar_vf.exports.config import ExportConfig


def main(argv: Sequence[str]) -> Path:
    """Parses the command line, exports, and says where the result is."""
    config = parse(ExportConfig, argv, "pistar-vf export")
    from pistar_vf.exports.run import run_export

    result = run_export(config)
    print(f"result: {result}")
    return result
