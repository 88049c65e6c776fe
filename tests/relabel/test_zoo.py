"""What the gate promises, on a few draws of the zoo; benchmarks/gate_zoo.py takes a hundred of each."""

import numpy as np
import pytest

from pistar_vf.relabel.verdict import Verdict
from pistar_vf.testing.made_up_rollouts import show
from pistar_vf.testing.value_zoo import ZOO

BAD = [animal for animal in ZOO if animal.honest is False]
HONEST = [animal for animal in ZOO if animal.honest]
DRAWS = range(2)


def verdicts(animal, num_episodes, success_rate=0.5, draws=DRAWS):
    return [show(animal, num_episodes, success_rate, np.random.default_rng(seed)).verdict for seed in draws]


@pytest.mark.parametrize("animal", BAD, ids=lambda animal: animal.name)
def test_no_bad_one_passes(animal):
    for num_episodes, success_rate in ((6, 0.5), (20, 0.5)):
        assert Verdict.PASSED not in verdicts(animal, num_episodes, success_rate)


@pytest.mark.parametrize("animal", HONEST, ids=lambda animal: animal.name)
def test_honest_ones_pass_at_twenty_episodes_and_never_fail(animal):
    assert verdicts(animal, 20) == [Verdict.PASSED] * len(DRAWS)
    for num_episodes in (2, 8):
        assert Verdict.FAILED not in verdicts(animal, num_episodes)


def test_a_clock_of_other_episodes_does_not_beat_the_clock():
    clocks = [animal for animal in BAD if animal.name.startswith("clock")]
    assert len(clocks) == 3
    for num_episodes in (5, 20):
        passed = [
            "V beats the clock" in show(clock, num_episodes, 0.5, np.random.default_rng(seed)).named(Verdict.PASSED)
            for clock in clocks
            for seed in range(3)
        ]
        assert sum(passed) <= 1  # of 9; a hundredth is expected of each
