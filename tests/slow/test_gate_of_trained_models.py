"""The gate on trained models: the demo's is right; an untrained one, one of shuffled outcomes and memory are not.

Minutes of training each (`make test-slow`); the gate's parts are in tests/relabel.
"""

import shutil

import numpy as np
import pytest

from pistar_vf.curation.labelled_copy import write_labelled_copy
from pistar_vf.demo.value_demo import demo_config
from pistar_vf.labels.outcomes import read_outcomes
from pistar_vf.lerobot.dataset import load_lerobot
from pistar_vf.recipes.run import run_training
from pistar_vf.relabel.config import RelabelConfig
from pistar_vf.relabel.label import POSITIVE
from pistar_vf.relabel.run import run_relabel
from pistar_vf.relabel.verdict import Verdict
from pistar_vf.returns import Outcome
from pistar_vf.testing.demo_dataset import write_demo_dataset
from pistar_vf.testing.positive_shares import PositiveShares
from pistar_vf.testing.progress_agreement import ProgressAgreement

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("trainable")]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("gate")
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def raw(folder):
    return load_lerobot(write_demo_dataset(folder / "raw", num_episodes=192))


@pytest.fixture(scope="module")
def rollouts(raw, folder):
    outcomes = read_outcomes(raw, outcome_column="outcome")
    return write_labelled_copy(raw, folder / "rollouts", outcomes, timeout_as="failure", progress=False)


def train(folder, name, train_on, num_train_steps, **changes):
    config = demo_config(train_on, folder / name, cache_dir=folder / "cache", num_train_steps=num_train_steps)
    return run_training(config.replace(val_interval=0, **changes))


def relabel(folder, rollouts, checkpoint):
    """With default settings."""
    settings = {"cache_dir": folder / "cache", "report_dir": folder / "report", "dry_run": True}
    config = RelabelConfig.of(data_dir=str(rollouts), checkpoint_dir=(checkpoint,), **settings)
    return run_relabel(config, progress=False)


def judge(folder, rollouts, name, train_on, num_train_steps):
    """Trains on one dataset, judges on another."""
    return relabel(folder, rollouts, train(folder, name, train_on, num_train_steps))


def test_the_demos_model_and_its_labels_follow_the_simulator(folder, rollouts):
    """The few takeovers of held-out episodes may be too few for a verdict; all else is shown."""
    result = judge(folder, rollouts, "trained", rollouts, 2_400)
    assert result.gate.named(Verdict.FAILED) == (), [(c.name, c.found) for c in result.gate.criteria]
    assert set(result.gate.named(Verdict.NOT_SHOWN)) <= {"frames before takeovers"}
    dataset = load_lerobot(rollouts)
    positive = result.labels.code == POSITIVE
    autonomous = dataset.read_column("intervention") == 0
    assert positive[~autonomous].all()
    lengths = np.array([episode.length for episode in dataset.episodes])
    agreement = ProgressAgreement.measure(dataset.read_column("progress"), lengths, autonomous, positive, 10)
    assert agreement.gain_positive > 3 * max(0.0, agreement.gain_negative)
    assert agreement.losses_not_positive > 0.95


def test_the_demos_labels_blame_the_right_frames(folder, rollouts):
    """With the model of the test above: 30 % positive, few before a takeover, hardly any at a failure's end."""
    result = relabel(folder, rollouts, folder / "trained")
    dataset = load_lerobot(rollouts)
    positive, operator = result.labels.code == POSITIVE, dataset.read_column("intervention") == 1
    lengths = np.array([episode.length for episode in dataset.episodes])
    failed = np.array([episode.metadata["outcome"] != "success" for episode in dataset.episodes])
    shares = PositiveShares.measure(positive, operator, lengths, failed, 10)
    assert shares.positive == pytest.approx(0.3, abs=0.01)
    assert shares.positive_before_takeovers <= 0.15
    assert shares.positive_ends_of_failures <= 0.02


def test_memory_of_coin_tosses_does_not_pass(folder):
    """24 episodes with drawn outcomes, learnt by heart: right about each of them, and worth nothing."""
    raw = load_lerobot(write_demo_dataset(folder / "coins_raw", num_episodes=24))
    rng = np.random.default_rng(0)
    tossed = {episode.index: Outcome("success" if rng.random() < 0.5 else "failure") for episode in raw.episodes}
    coins = write_labelled_copy(raw, folder / "coins", tossed, progress=False)
    memory = train(folder, "memory", coins, 2_000, augment=False, val_fraction=0.0)
    assert relabel(folder, coins, memory).gate.verdict is Verdict.NOT_SHOWN  # it has seen all of them
    other = load_lerobot(write_demo_dataset(folder / "unseen_raw", num_episodes=24, seed=1))
    tossed = {episode.index: tossed[i] for episode, i in zip(other.episodes, tossed)}
    unseen = write_labelled_copy(other, folder / "unseen", tossed, progress=False)
    assert relabel(folder, unseen, memory).gate.verdict is not Verdict.PASSED


def test_an_untrained_model_fails(folder, rollouts):
    assert "V varies" in judge(folder, rollouts, "untrained", rollouts, 1).gate.named(Verdict.FAILED)


def test_a_model_of_shuffled_outcomes_fails(folder, raw, rollouts):
    outcomes = read_outcomes(raw, outcome_column="outcome")
    mixed = np.random.default_rng(0).permutation(list(outcomes))
    shuffled = {index: outcomes[int(other)] for index, other in zip(outcomes, mixed)}
    train_on = write_labelled_copy(raw, folder / "shuffled", shuffled, timeout_as="failure", progress=False)
    result = judge(folder, rollouts, "shuffled", train_on, 1_200)
    assert "V beats the clock" in result.gate.named(Verdict.FAILED)
    assert "success above failure" in result.gate.named(Verdict.FAILED)
