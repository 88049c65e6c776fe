"""TD(λ): targets move towards what the model expects, the same after a resume."""

import dataclasses
import json
import re
import shutil

import numpy as np
import pytest
from support.recorded_training import train_recorded

from pistar_vf.episode_layout import EpisodeLayout
from pistar_vf.errors import ConfigError, LabelError
from pistar_vf.recipes import run
from pistar_vf.recipes.lambda_returns import Ends, LambdaReturns, frames_to_look_at
from pistar_vf.recipes.targets import ends_of_training
from pistar_vf.returns import Normaliser, Outcome
from pistar_vf.testing.tiny import tiny_train_config

LAMBDA = 0.75
LENGTHS = np.array([4, 3, 5])
OUTCOMES = (Outcome.SUCCESS, Outcome.FAILURE, Outcome.TIMEOUT)


def ends_of(rule: str) -> Ends:
    normaliser = Normaliser.measure(rule, LENGTHS, ["t"] * 3)
    return Ends(("t",) * 3 if rule == "paper" else ("",) * 3, OUTCOMES, normaliser)


@pytest.mark.parametrize("rule", ["paper", "episode_ramp"])
def test_with_lambda_1_they_are_the_targets_of_the_rule(rule):
    ends, value = ends_of(rule), np.random.default_rng(0).uniform(-0.9, -0.1, 12)
    last = value[EpisodeLayout(LENGTHS).last_frames]
    expected = ends.normaliser.targets(LENGTHS, ends.tasks, OUTCOMES, last)
    np.testing.assert_allclose(ends.returns(value, LENGTHS, 1.0), expected, atol=1e-6)


def test_by_hand():
    """λ = ½, a step costs 1/5: R_t = -1/5 + (V_{t+1} + R_{t+1}) / 2, from 0, -1 and V of the last frame."""
    value = np.array([-0.8, -0.6, -0.4, -0.2, -0.6, -0.4, -0.8, -0.5, -0.5, -0.5, -0.5, -0.4])
    third = -0.2 + (-0.2 + 0.0) / 2
    second = -0.2 + (-0.4 + third) / 2
    success = [-0.2 + (-0.6 + second) / 2, second, third, 0.0]
    middle = -0.2 + (-0.8 - 1.0) / 2  # below the scale, and clipped where it is a target
    failure = [-0.2 + (-0.4 + middle) / 2, -1.0, -1.0]
    timeout = [-0.4]
    for ahead in (-0.4, -0.5, -0.5, -0.5):
        timeout.insert(0, -0.2 + (ahead + timeout[0]) / 2)
    found = ends_of("paper").returns(value, LENGTHS, 0.5)
    np.testing.assert_allclose(found, np.clip([*success, *failure, *timeout], -1, 0), atol=1e-12)
    assert found[4] > -1.0  # a failure's beginning is no longer its end


@pytest.mark.parametrize(("at_most", "expected"), [(100, [0, 4, 8, 9, 10, 11, 15]), (3, [0, 6, 9, 10, 11, 15])])
def test_the_frames_that_are_looked_at(at_most, expected):
    """Every fourth, or every sixth where three of 16 are wanted, and first and last ones, of 10, 1 and 5 frames."""
    assert frames_to_look_at(EpisodeLayout(np.array([10, 1, 5])), at_most).tolist() == expected


@pytest.fixture(scope="module")
def settings(tiny_dataset, frame_cache_dir, tmp_path_factory):
    return tiny_train_config(
        tiny_dataset,
        tmp_path_factory.mktemp("lambda") / "checkpoints",
        cache_dir=frame_cache_dir,
        target="paper",
        outcome_column="outcome",
        timeout_as="failure",
        target_lambda=LAMBDA,
        bootstrap_interval=3,
        num_train_steps=8,
        save_interval=4,
        num_workers=2,
    )


@pytest.fixture(scope="module")
def straight(settings, small_and_fast):
    return train_recorded(settings, LambdaReturns)


pytestmark = pytest.mark.usefixtures("small_and_fast")


def by_hand(data, values: np.ndarray | None) -> dict[int, float]:
    """Dataset row to target, one frame at a time; before a look what the episode came to."""
    episodes, found, used = data.train_rows.episodes, {}, 0
    longest = {task: max(e.length for e in episodes if e.tasks[0] == task) for task in {e.tasks[0] for e in episodes}}
    for episode in episodes:
        n, cost = episode.length, 1 / longest[episode.tasks[0]]
        end = -1.0 if data.targets.outcomes[episode.index] is Outcome.FAILURE else 0.0
        if values is not None:
            looked_at = [i for i in range(n) if i % 4 == 0 or i == n - 1]
            value = np.interp(np.arange(n), looked_at, values[used : used + len(looked_at)])
            used += len(looked_at)
        target = end
        for i in range(n - 1, -1, -1):
            if i < n - 1:
                target = -cost + (target if values is None else (1 - LAMBDA) * value[i + 1] + LAMBDA * target)
            found[episode.start + i] = float(np.clip(target, -1, 0))
    return found


def test_every_step_is_trained_on_the_targets_in_force(straight, settings):
    """Monte-Carlo up to the first look, whatever the threads have gathered ahead."""
    _, recording = straight
    assert [done for done, _ in recording.looks] == [3, 6]
    data = run.prepare_data(settings.replace(checkpoint_dir=settings.checkpoint_dir / "none"))
    for step, (rows, targets) in enumerate(zip(recording.rows, recording.targets, strict=True)):
        values = [values for done, values in recording.looks if done <= step]
        expected = by_hand(data, values[-1] if values else None)
        np.testing.assert_allclose(targets, [expected[int(row)] for row in rows], atol=1e-6)


def test_a_resumed_run_sees_the_same_targets(straight, settings, tmp_path):
    """Stopped after step 4, between two looks: the values in force come from the checkpoint."""
    checkpoint, recording = straight
    shutil.copytree(checkpoint.parent, tmp_path / "run")
    shutil.rmtree(tmp_path / "run" / "step_00000008")
    shutil.rmtree(tmp_path / "run" / "train_state" / "step_00000008")
    _, resumed = train_recorded(
        settings.replace(checkpoint_dir=tmp_path / "run", resume_from_checkpoint="latest"), LambdaReturns
    )
    assert [done for done, _ in resumed.looks] == [0, 2]  # restored, then after step 6
    np.testing.assert_array_equal(np.stack(resumed.targets), np.stack(recording.targets[4:]))


def test_the_looks_are_recorded(straight):
    lines = [json.loads(line) for line in (straight[0].parent / "metrics.jsonl").read_text().splitlines()]
    looks = [line for line in lines if line["split"] == "targets"]
    assert [line["step"] for line in looks] == [3, 6]
    assert all(line["target_change"] > 0 for line in looks)


def test_labels_of_no_known_unit_are_refused(settings, tmp_path):
    targets = dataclasses.replace(run.prepare_data(settings.replace(checkpoint_dir=tmp_path)).targets, normaliser=None)
    with pytest.raises(LabelError, match=r"--target_lambda 0\.75: expected targets that say what a step is worth"):
        ends_of_training(settings, [], [], targets, [])


@pytest.mark.parametrize("value", [0.0, -0.5, 1.5])
def test_a_lambda_out_of_range(settings, tmp_path, value):
    config = settings.replace(checkpoint_dir=tmp_path / "none", target_lambda=value)
    with pytest.raises(
        ConfigError, match=rf"--target_lambda: expected a number above 0 and at most 1, got {re.escape(str(value))}"
    ):
        run.run_training(config)
