#!/usr/bin/env python3
"""Value over time. The same as `pistar-vf visualize`; see `--help`."""

import sys

from pistar_vf.cli.main import run_command
from pistar_vf.cli.visualize import main

if __name__ == "__main__":
    sys.exit(run_command(main, sys.argv[1:]))
