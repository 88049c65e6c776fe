"""Targets of the training data, and of a second dataset in the same units."""

import logging
import shutil
from pathlib import Path

import numpy as np
import orbax.checkpoint as ocp
import pytest
from support.small_runs import recording

from pistar_vf.curation.labelled_copy import write_labelled_copy
from pistar_vf.errors import ConfigError, LabelError
from pistar_vf.labels.outcomes import read_outcomes
from pistar_vf.lerobot.dataset import load_lerobot
from pistar_vf.params import flatten
from pistar_vf.recipes import run
from pistar_vf.recipes.prepare import prepare_data
from pistar_vf.returns import Normaliser, Outcome, recap_columns
from pistar_vf.testing.demo_dataset import write_demo_dataset
from pistar_vf.testing.lerobot_writer import EpisodeData, write_lerobot_v21
from pistar_vf.testing.tiny import tiny_train_config
from pistar_vf.training import engine

CONVENTION = "follow the convention 'libero_rollout', those of the training data 'recap'"


@pytest.fixture(scope="module")
def settings(tiny_dataset, frame_cache_dir, tmp_path_factory):
    folder = tmp_path_factory.mktemp("prepare")
    return tiny_train_config(tiny_dataset, folder, cache_dir=frame_cache_dir, val_interval=2)


@pytest.fixture(scope="module")
def later_dataset(tmp_path_factory):
    """Two episodes, of two of the training data's four tasks, in another convention."""
    folder = tmp_path_factory.mktemp("later")
    dataset = load_lerobot(write_demo_dataset(folder / "raw", num_episodes=2, image_size=48, seed=3))
    outcomes = dict(zip((0, 1), (Outcome.SUCCESS, Outcome.FAILURE)))
    path = write_labelled_copy(dataset, folder / "set", outcomes, convention="libero_rollout", progress=False)
    return load_lerobot(path)


def test_the_normaliser_of_the_training_data_scales_the_validation_data(settings, later_dataset):
    config = settings.replace(target="paper", outcome_column="outcome")
    alone = prepare_data(config.replace(val_interval=0))
    data = prepare_data(config.replace(val_data_dir=str(later_dataset.root)))
    assert data.targets.normaliser == alone.targets.normaliser
    length = data.targets.normaliser.max_lengths[later_dataset.prompts[later_dataset.prompt_index()[0]]]
    first = later_dataset.episodes[0]
    assert read_outcomes(later_dataset, outcome_column="outcome")[0] is Outcome.SUCCESS
    expected = np.maximum(-np.arange(first.length)[::-1] / length, -1)
    np.testing.assert_allclose(data.val_table.labels[: first.length], expected, atol=1e-6)


def test_a_task_that_was_not_trained_on_is_refused(settings, later_dataset):
    prompt = later_dataset.prompts[0]
    config = settings.replace(data_dir=str(later_dataset.root), target="paper", batch_size=2)
    with pytest.raises(LabelError, match=rf"maximum length is known \(.*'{prompt}'.*\), got 'put the"):
        prepare_data(config.replace(val_data_dir=settings.data_dir))


def test_another_convention_in_the_validation_data_is_said(settings, later_dataset, caplog):
    config = settings.replace(val_data_dir=str(later_dataset.root))
    with caplog.at_level(logging.WARNING):
        data = prepare_data(config)
    assert CONVENTION in caplog.text
    assert data.targets.normaliser == Normaliser("episode_ramp")
    caplog.clear()
    prepare_data(config.replace(target="paper", outcome_column="outcome"))
    assert "follow the convention" not in caplog.text


# --- several datasets ------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def both(settings, later_dataset):
    return settings.replace(data_dir=(settings.data_dir, str(later_dataset.root)), batch_size=2)


def test_several_datasets_are_one_table(both, settings, later_dataset):
    """265 frames and those of the later one; an episode is held out of each."""
    alone, data = prepare_data(settings.replace(batch_size=2)), prepare_data(both)
    assert len(data.table.labels) == 265 + later_dataset.num_frames
    np.testing.assert_array_equal(data.table.labels[265:], later_dataset.read_column("value_label"))
    first_part, later_part = data.trained_on.datasets
    assert (first_part,) == alone.trained_on.datasets
    assert sorted(later_part.train + later_part.val) == [0, 1]
    assert len(later_part.val) == 1
    assert len(data.train_rows) == sum(len(rows) for rows in data.train_parts)
    assert data.train_parts[1].at(np.array([0]))[0] >= 265
    assert data.targets.conventions == ("recap", "libero_rollout")
    rows = np.array([3, 270, 100])
    batch, first = data.table.gather(rows), alone.table.gather(rows[[0, 2]])
    np.testing.assert_array_equal(batch.target, data.table.labels[rows])
    for name, pixels in first.observation.images.items():
        np.testing.assert_array_equal(batch.observation.images[name][[0, 2]], pixels)


def test_the_state_is_measured_over_all_training_episodes(both):
    data = prepare_data(both)
    states = []
    for part in data.trained_on.datasets:
        dataset = load_lerobot(part.path)
        chosen = [episode for episode in dataset.episodes if episode.index in part.train]
        states.append(np.asarray(dataset.read_column("observation.state", chosen), np.float64))
    np.testing.assert_allclose(data.table.state_statistics.mean, np.concatenate(states).mean(0), atol=1e-6)


def test_a_task_in_several_datasets_has_one_maximum_length(both, later_dataset):
    config = both.replace(target="paper", outcome_column="outcome", val_interval=0)
    longest = {}
    for dataset in (load_lerobot(both.data.data_dirs[0]), later_dataset):
        for episode in dataset.episodes:
            longest[episode.tasks[0]] = max(longest.get(episode.tasks[0], 0), episode.length)
    assert prepare_data(config).targets.normaliser.max_lengths == longest


def test_a_weighted_run_resumes_with_the_same_bits(both, tmp_path, small_and_fast):
    """Time-outs in the first dataset, half of every batch from the second."""
    changes = {"target": "paper", "outcome_column": "outcome", "data_weight": (1.0, 1.0), "bootstrap_interval": 2}
    config = both.replace(val_interval=0, checkpoint_dir=tmp_path / "run", **changes)
    rows = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(engine, "train_loop", recording(engine.train_loop, rows))
        straight = run.run_training(config)
        before = flatten(ocp.PyTreeCheckpointer().restore(str(straight)))
        shutil.rmtree(straight)
        again = run.run_training(config.replace(resume_from_checkpoint="latest"))
    assert all((batch >= 265).sum() == 1 for batch in rows)
    np.testing.assert_array_equal(np.stack(rows[4:]), np.stack(rows[2:4]))
    after = flatten(ocp.PyTreeCheckpointer().restore(str(again)))
    for name, leaf in before.items():
        np.testing.assert_array_equal(np.asarray(after[name]), np.asarray(leaf), err_msg=name)
    heavier = config.replace(data_weight=(2.0, 1.0), num_train_steps=5, resume_from_checkpoint="latest")
    with pytest.raises(ConfigError, match=r"− data_weight: \[1.0, 1.0\]\n\+ data_weight: \[2.0, 1.0\]"):
        run.run_training(heavier)


WEIGHTS = r"--data_weight: expected 2 number\(s\) above 0, one for each --data_dir and none below 0.0001 of .*, got "


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"data_weight": (1.0,)}, WEIGHTS + "1.0"),
        ({"data_weight": (1.0, -1.0)}, WEIGHTS + "1.0 -1.0"),
        ({"data_weight": (0.0, 0.0)}, WEIGHTS + "0.0 0.0"),
        ({"data_weight": (1.0, float("nan"))}, WEIGHTS + "1.0 nan"),
        ({"data_weight": (1.0, 1e-5)}, WEIGHTS),
        ({"val_episodes": "0"}, "--val_episodes: expected one --data_dir with it, got 2"),
        ({"train_episodes": "0"}, "--train_episodes: expected one --data_dir"),
        ({"outcome_file": Path("o.csv")}, "--outcome_file: expected one --data_dir"),
    ],
)
def test_flags_that_do_not_fit_several_datasets(both, changes, message):
    with pytest.raises(ConfigError, match=message):
        prepare_data(both.replace(**changes))


def episode_of(cameras: tuple[str, ...], state_dim: int) -> EpisodeData:
    columns = recap_columns(8, Outcome.FAILURE) | {"observation.state": np.zeros((8, state_dim), np.float32)}
    images = {f"observation.images.{name}": np.zeros((8, 16, 16, 3), np.uint8) for name in cameras}
    return EpisodeData(columns, images, "push")


@pytest.mark.parametrize(
    ("cameras", "state_dim", "message"),
    [
        (("front",), 8, r"same cameras in every .*: base_0_rgb = .*front, wrist_0_rgb = .*odd: base_0_rgb = .*front\n"),
        (("front", "wrist"), 2, r"same state in every .*labelled: observation.state of 6 numbers\n.*odd: .* of 2 num"),
    ],
)
def test_datasets_that_differ_are_shown_side_by_side(both, tmp_path, cameras, state_dim, message):
    root = write_lerobot_v21(tmp_path / "odd", [episode_of(cameras, state_dim)] * 2, fps=10, codec="mpeg4")
    with pytest.raises(ConfigError, match=f"(?s){message}"):
        prepare_data(both.replace(data_dir=(both.data_dir[0], str(root))))


def test_an_outcome_file_is_about_the_training_data(settings, later_dataset, tmp_path):
    """It names six episodes; the validation data has two, and its outcomes come from its labels."""
    words = [f"{index},{outcome}" for index, outcome in enumerate(["success", "failure"] * 3)]
    (tmp_path / "outcomes.csv").write_text("\n".join(["episode_index,outcome", *words]))
    config = settings.replace(target="paper", outcome_file=tmp_path / "outcomes.csv")
    data = prepare_data(config.replace(val_data_dir=str(later_dataset.root)))
    assert ((data.targets.labels == 0).sum(), len(data.val_rows.episodes)) == (3, 2)
    assert set(data.val_table.labels[later_dataset.episodes[1].start :]) == {-1.0}
