"""The parts of benchmarks/metaworld.py are no package that is installed."""

import sys

from support.places import ROOT

sys.path.append(str(ROOT / "benchmarks"))  # at the end: metaworld.py there must not hide the simulator's package
