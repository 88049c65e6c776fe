#!/usr/bin/env python3
"""Stage 2 of the stitched model: train the value function on robot data; see `--help`."""

import sys

from pistar_vf.cli.main import run_command
from pistar_vf.cli.robot import main

if __name__ == "__main__":
    sys.exit(run_command(main, sys.argv[1:]))
