#!/usr/bin/env python3
"""Test-set evaluation. The same as `pistar-vf eval`; see `--help`."""

import sys

from pistar_vf.cli.eval import main
from pistar_vf.cli.main import run_command

if __name__ == "__main__":
    sys.exit(run_command(main, sys.argv[1:]))
