"""How the gate judges bad and honest value functions: the table of docs/relabel.md.

    python benchmarks/gate_zoo.py [--draws 100] [--only NAME]

Each cell: in how many percent of the draws PASSED, FAILED and NOT SHOWN. No network, no pictures: about a quarter of
an hour of one core for 100 draws.
"""

import argparse
from collections import Counter

import numpy as np

from pistar_vf.relabel.verdict import Verdict
from pistar_vf.testing.made_up_rollouts import Animal, show
from pistar_vf.testing.value_zoo import ZOO

SCENES = ((4, 0.5), (10, 0.5), (20, 0.1), (20, 0.3), (20, 0.5), (20, 0.9), (80, 0.1), (80, 0.5))
"""Episodes, and the share of successes."""


def judge(animal: Animal, num_episodes: int, success_rate: float, draws: int) -> Counter:
    """Verdict to number of draws."""
    gates = (show(animal, num_episodes, success_rate, np.random.default_rng(seed)) for seed in range(draws))
    return Counter(gate.verdict for gate in gates)


def cell(counts: Counter, draws: int) -> str:
    return " / ".join(f"{100 * counts[v] / draws:.0f}" for v in (Verdict.PASSED, Verdict.FAILED, Verdict.NOT_SHOWN))


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--draws", type=int, default=100)
    parser.add_argument("--only", default="", help="a part of the names to show")
    args = parser.parse_args()
    heads = [f"{episodes}, {rate:.0%}" for episodes, rate in SCENES]
    print("| | value function | " + " | ".join(heads) + " |")
    print("|---|---|" + "---|" * len(SCENES))
    for animal in ZOO:
        if args.only in animal.name:
            found = [cell(judge(animal, *scene, args.draws), args.draws) for scene in SCENES]
            kind = {False: "bad", True: "good", None: ""}[animal.honest]
            print(f"| {kind} | {animal.name} | " + " | ".join(found) + " |", flush=True)


if __name__ == "__main__":
    main()
