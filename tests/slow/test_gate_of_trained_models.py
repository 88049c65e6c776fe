"""The gate on trained models: the demo's passes; an untrained one and one trained on shuffled outcomes fail.

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
from pistar_vf.testing.demo_dataset import write_demo_dataset
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


def judge(folder, rollouts, name, train_on, num_train_steps):
    """Trains on one dataset, judges on another."""
    config = demo_config(train_on, folder / name, cache_dir=folder / "cache", num_train_steps=num_train_steps)
    checkpoint = run_training(config.replace(val_interval=0))
    settings = RelabelConfig.of(
        data_dir=str(rollouts),
        checkpoint_dir=(checkpoint,),
        lookahead=10,
        dry_run=True,
        cache_dir=folder / "cache",
        report_dir=folder / f"{name}_report",
    )
    return run_relabel(settings, progress=False)


def test_the_demos_model_passes_and_its_labels_follow_the_simulator(folder, rollouts):
    result = judge(folder, rollouts, "trained", rollouts, 2_400)
    assert result.gate.passed, result.gate.failed
    dataset = load_lerobot(rollouts)
    positive = result.labels.code == POSITIVE
    autonomous = dataset.read_column("intervention") == 0
    assert positive[~autonomous].all()
    lengths = np.array([episode.length for episode in dataset.episodes])
    agreement = ProgressAgreement.measure(dataset.read_column("progress"), lengths, autonomous, positive, 10)
    assert agreement.gain_positive > 3 * max(0.0, agreement.gain_negative)
    assert agreement.losses_not_positive > 0.95


def test_an_untrained_model_fails(folder, rollouts):
    assert "V varies" in judge(folder, rollouts, "untrained", rollouts, 1).gate.failed


def test_a_model_of_shuffled_outcomes_fails(folder, raw, rollouts):
    outcomes = read_outcomes(raw, outcome_column="outcome")
    mixed = np.random.default_rng(0).permutation(list(outcomes))
    shuffled = {index: outcomes[int(other)] for index, other in zip(outcomes, mixed)}
    train_on = write_labelled_copy(raw, folder / "shuffled", shuffled, timeout_as="failure", progress=False)
    result = judge(folder, rollouts, "shuffled", train_on, 1_200)
    assert "V beats the clock" in result.gate.failed
    assert "success above failure" in result.gate.failed
