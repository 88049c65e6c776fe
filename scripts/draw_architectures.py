#!/usr/bin/env python3
"""Draw the models of the presets, with numbers of parameters; see `--help`."""

import sys

from pistar_vf.cli.draw_architectures import main
from pistar_vf.cli.main import run_command

if __name__ == "__main__":
    sys.exit(run_command(main, sys.argv[1:]))
