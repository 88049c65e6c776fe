"""Held-out scores against hand-made predictions, and the path from a checkpoint to them."""

from pathlib import Path

import numpy as np
import pytest

from pistar_vf.evaluation.held_out import HeldOut, open_table_for, predict_episodes, with_prompts
from pistar_vf.inference.predictor import load_value_model
from pistar_vf.labels.split import select_episodes
from pistar_vf.labels.value_labels import read_value_labels
from pistar_vf.lerobot.dataset import Episode, load_lerobot
from pistar_vf.testing.demo_dataset import swap_prompt


def of_length(length: int) -> Episode:
    """An episode of which only the length matters."""
    return Episode(index=0, length=length, start=0, tasks=(), parquet=Path(), metadata={})


def hand_made(values: list[list[float]], targets: list[list[float]]) -> HeldOut:
    lengths = [len(value) for value in values]
    return HeldOut(
        episodes=tuple(of_length(length) for length in lengths),
        rows=np.arange(sum(lengths)),
        frames={"value": np.concatenate(values).astype(np.float32), "cross_entropy": np.full(sum(lengths), 2.0)},
        target=np.concatenate(targets).astype(np.float32),
        number=np.repeat(np.arange(len(lengths)), lengths),
    )


RAMP, FAILED = [-0.75, -0.5, -0.25, 0.0], [-1.0] * 4


def test_scores_of_three_episodes_by_hand():
    # One success in order, one reversed but ending high in its last quarter, one failure below both at its end.
    held_out = hand_made(
        [[-0.8, -0.6, -0.4, -0.2], [-0.1, -0.2, -0.3, -0.4], [-0.2, -0.3, -0.5, -0.9]], [RAMP, RAMP, FAILED]
    )
    scores = held_out.scores()
    np.testing.assert_array_equal(held_out.succeeded(), [True, True, False])
    assert scores["spearman"] == pytest.approx((1.0 - 1.0) / 2)
    assert scores["auc_last_quarter"] == 1.0
    errors = [0.05, 0.1, 0.15, 0.2, 0.65, 0.3, 0.05, 0.4, 0.8, 0.7, 0.5, 0.1]
    assert scores["mae"] == pytest.approx(np.mean(errors))
    assert scores["cross_entropy"] == pytest.approx(2.0)


def test_only_the_last_quarter_decides_the_auc():
    held_out = hand_made([[-0.9, -0.9, -0.9, -0.1], [0.0, 0.0, 0.0, -0.2]], [RAMP, FAILED])
    assert held_out.scores()["auc_last_quarter"] == 1.0


def test_without_failures_there_is_no_auc():
    assert np.isnan(hand_made([[-0.4, -0.3, -0.2, -0.1]], [RAMP]).scores()["auc_last_quarter"])


@pytest.mark.usefixtures("small_and_fast")
def test_a_checkpoint_is_scored_on_its_own_held_out_episodes(trained_run):
    model = load_value_model(trained_run.checkpoint)
    dataset = load_lerobot(trained_run.config.data_dir)
    labels = read_value_labels(dataset)
    table = open_table_for(model, dataset, labels, trained_run.config.cache_dir)
    episodes = select_episodes(dataset.episodes, model.spec.trained_on.datasets[0].val, "val_episodes")
    held_out = predict_episodes(model, table, episodes)
    expected = np.concatenate([labels[e.start : e.start + e.length] for e in episodes])
    np.testing.assert_array_equal(held_out.target, expected)

    swapped = with_prompts(table, model, [swap_prompt(prompt) for prompt in dataset.prompts])
    again = with_prompts(swapped, model, list(dataset.prompts))
    assert not np.array_equal(predict_episodes(model, swapped, episodes).value, held_out.value)
    np.testing.assert_array_equal(predict_episodes(model, again, episodes).value, held_out.value)
