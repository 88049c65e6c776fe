#!/usr/bin/env python3
"""Stage 1 of the stitched model: align the projector. The same as `pistar-vf align`; see `--help`."""

import sys

from pistar_vf.cli.align import main
from pistar_vf.cli.main import run_command

if __name__ == "__main__":
    sys.exit(run_command(main, sys.argv[1:]))
