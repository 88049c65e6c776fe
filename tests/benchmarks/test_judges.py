"""Judges in V's place, in the Meta-World benchmark."""

import dataclasses

import numpy as np
import pytest

pytest.importorskip("sklearn")

from simulated import judges
from simulated.labels import Units, rollouts_of
from simulated.truth import Truth

from pistar_vf.recipes.lambda_returns import Ends
from pistar_vf.returns import Outcome

LENGTHS = np.array([40, 30, 50, 20, 60])


@pytest.fixture(scope="module")
def truth() -> Truth:
    """Progress rises evenly, to the end in successes and halfway in failures; the simulator's state is progress."""
    succeeded = np.array([True, False, True, False, True])
    progress = np.concatenate([np.linspace(0, 1 if won else 0.5, n) for won, n in zip(succeeded, LENGTHS, strict=True)])
    observation = np.zeros((len(progress), 39))
    observation[:, 4] = progress
    return Truth(
        tasks=np.array(["pick-place-v3"]),
        task=np.zeros(5, np.int64),
        kind=np.array(["clean"] * 5),
        onset=np.full(5, -1),
        succeeded=succeeded,
        lengths=LENGTHS,
        progress=progress,
        observation=observation,
        action=np.zeros((len(progress), 4)),
    )


def test_units_by_hand(truth):
    """A step costs 1/60, the longest episode; failures are -1 everywhere, and their last reward is -1."""
    normaliser, units = judges.paper_units(truth)
    assert normaliser.max_lengths == {"pick-place-v3": 60}
    first, second = slice(0, 40), slice(40, 70)
    np.testing.assert_allclose(units.target[first], (np.arange(40) - 39) / 60, atol=1e-6)
    np.testing.assert_array_equal(units.target[second], -1.0)
    np.testing.assert_allclose(units.reward[first], [-1 / 60] * 39 + [0.0], atol=1e-7)
    np.testing.assert_allclose(units.reward[second], [-1 / 60] * 29 + [-1.0], atol=1e-7)


def judged(truth, judge):
    normaliser, units = judges.paper_units(truth)
    return judge(truth, rollouts_of(truth, units), normaliser)


def test_an_episode_is_judged_by_trees_that_have_not_seen_it(truth):
    """Trees that remember the rows they were fitted on: nobody remembers any of its own."""

    class Remembers:
        def fit(self, state, target):
            self.seen = {row.tobytes() for row in state}
            return self

        def predict(self, state):
            return np.array([float(row.tobytes() in self.seen) for row in state])

    apart = dataclasses.replace(truth, observation=np.random.default_rng(0).normal(size=truth.observation.shape))
    assert judged(apart, judges.on_the_simulators_state(Remembers)).max() == 0.0
    assert judged(apart, judges.on_the_simulators_state(Remembers, passes=1)).max() == 0.0


def test_the_robots_state_does_not_hold_the_object(truth):
    """Which is all that these episodes differ in: every value is the same, the simulator's state tells them apart."""
    blind = judges.robots_state_trees(truth)
    assert np.ptp(blind[:40]) < 1e-6
    assert np.ptp(judged(truth, judges.JUDGES["smooth trees on the simulator's state"])) > 0.01


def test_td_sees_the_good_beginning_of_a_failure(truth):
    """Failures begin as successes do, and are -1 by what they came to; by what followed elsewhere they are not."""
    plain = judged(truth, judges.on_the_simulators_state(judges.smooth_trees))
    early_of_a_failure = slice(LENGTHS[0], LENGTHS[0] + 5)
    normaliser, units = judges.paper_units(truth)
    ends = Ends(("pick-place-v3",) * 5, rollouts_of(truth, units).outcomes, normaliser)
    target = ends.returns(plain, LENGTHS, judges.LAMBDA)
    assert units.target[early_of_a_failure].max() == -1.0
    assert target[early_of_a_failure].min() > -1.0


@pytest.mark.parametrize("noise", [0.0, 0.2])
def test_noise_has_the_size_it_is_said_to_have(truth, noise):
    long = dataclasses.replace(
        truth,
        lengths=np.array([20_000]),
        task=np.zeros(1, np.int64),
        succeeded=np.array([True]),
        progress=np.linspace(0, 1, 20_000),
    )
    added = judges.of_progress(noise)(long, None, None) - (long.progress - 1)
    assert np.std(added) == pytest.approx(noise, rel=0.1)
    if noise:
        assert np.corrcoef(added[1:], added[:-1])[0, 1] == pytest.approx(0.95, abs=0.02)


def test_the_error_to_progress(truth):
    """None for any rising function of it; the size of noise that no rising function follows."""
    assert judges.error_to_progress(np.exp(truth.progress), truth, 0) == pytest.approx(0.0, abs=1e-9)
    wave = np.where(np.arange(200) % 2 == 0, 0.3, -0.3)
    assert judges.error_to_progress(wave, truth, 0) == pytest.approx(0.3, rel=0.1)


def test_outcomes(truth):
    assert rollouts_of(truth, Units(np.zeros(200), np.zeros(200))).outcomes == (
        Outcome.SUCCESS, Outcome.FAILURE, Outcome.SUCCESS, Outcome.FAILURE, Outcome.SUCCESS
    )  # fmt: skip
