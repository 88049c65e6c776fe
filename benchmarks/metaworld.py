#!/usr/bin/env python3
"""Do labels of V make a policy better than the outcome does? In a simulator that nobody here wrote.

    pip install -e ".[simulation,baselines]"
    python benchmarks/metaworld.py --output_dir outputs/metaworld             # about 40 minutes of one core
    python benchmarks/metaworld.py --output_dir outputs/metaworld --quick     # a few minutes; figures mean nothing
    python benchmarks/metaworld.py --output_dir outputs/metaworld --data_seed 1
    python benchmarks/metaworld.py --output_dir outputs/metaworld --recipe.repeats 1 --record metaworld

Scripted episodes of mixed quality from Meta-World become a LeRobot dataset; the library labels it, trains V by folds,
judges it and labels every frame. Then policies are cloned from the same frames under different labels and let loose on
the same starts. docs/metaworld.md says what each figure is. A command that was stopped goes on where it stopped.
"""

import sys

if __name__ == "__main__":
    sys.path.append(sys.path.pop(0))  # to the end: this file would hide the package of its name

import tyro  # noqa: I001 - the order of a path that was changed

from pistar_vf.cli.train import setup_logging
from simulated.benchmark import Args, run


def main() -> int:
    """Runs everything; 1 where the benchmark's own checks do not hold."""
    setup_logging()
    return run(tyro.cli(Args, use_underscores=True))


if __name__ == "__main__":
    sys.exit(main())
