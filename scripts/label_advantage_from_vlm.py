#!/usr/bin/env python3
"""Stage 5: label advantages with a trained value model. The same as `pistar-vf relabel`; see `--help`."""

import sys

from pistar_vf.cli.main import run_command
from pistar_vf.cli.relabel import main

if __name__ == "__main__":
    sys.exit(run_command(main, sys.argv[1:]))
