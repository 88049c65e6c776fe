#!/usr/bin/env python3
"""Stage 4: train the value model. The same as `pistar-vf train`; see `--help`."""

import sys

from pistar_vf.cli.main import run_command
from pistar_vf.cli.train import main

if __name__ == "__main__":
    sys.exit(run_command(main, sys.argv[1:]))
