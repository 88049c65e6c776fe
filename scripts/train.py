#!/usr/bin/env python3
"""The stitched model: stage 1, stage 2 or both; see `--help`."""

import sys

from pistar_vf.cli.main import run_command
from pistar_vf.cli.stages import main

if __name__ == "__main__":
    sys.exit(run_command(main, sys.argv[1:]))
