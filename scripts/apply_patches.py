#!/usr/bin/env python3
"""Repair a checkout of the upstream openpi fork. The same as `pistar-vf patch`; see `--help`."""

import sys

from pistar_vf.cli.main import run_command
from pistar_vf.cli.patch import main

if __name__ == "__main__":
    sys.exit(run_command(main, sys.argv[1:]))
