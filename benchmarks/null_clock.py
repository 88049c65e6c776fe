"""Does a clock pass for a value function? The test of docs/relabel.md, on clocks that were fitted on other episodes.

    python benchmarks/null_clock.py [--draws 400]

Printed: in how many percent of the draws the criterion "V beats the clock" is PASSED, for clocks and for an honest V of
a root mean square error of 0.1. About five minutes of one core.
"""

import argparse

import numpy as np

from pistar_vf.relabel.verdict import Verdict
from pistar_vf.testing.made_up_rollouts import Animal, show
from pistar_vf.testing.value_zoo import ZOO

NAMES = (
    "clock",
    "clock, failures end at a time limit",
    "clock + smooth noise 0.1",
    "honest, error 0.1",
)
NUM_EPISODES = (4, 5, 6, 10, 20, 50)


def share_passed(animal: Animal, num_episodes: int, draws: int) -> float:
    """Share of draws in which the criterion is PASSED, at half successes."""
    gates = (show(animal, num_episodes, 0.5, np.random.default_rng(seed)) for seed in range(draws))
    return float(np.mean(["V beats the clock" in gate.named(Verdict.PASSED) for gate in gates]))


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--draws", type=int, default=400)
    args = parser.parse_args()
    print("| value function | " + " | ".join(f"{count} episodes" for count in NUM_EPISODES) + " |")
    print("|---|" + "---|" * len(NUM_EPISODES))
    for animal in (animal for animal in ZOO if animal.name in NAMES):
        shares = [f"{100 * share_passed(animal, count, args.draws):.1f} %" for count in NUM_EPISODES]
        print(f"| {animal.name} | " + " | ".join(shares) + " |", flush=True)


if __name__ == "__main__":
    main()
