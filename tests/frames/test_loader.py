"""Gathering frames, the order of training, and every row once in evaluation."""

import itertools
import threading
from pathlib import Path

import numpy as np
import pytest

from pistar_vf.errors import DatasetError
from pistar_vf.frames.loader import FrameTable, MixtureOrder, TrainOrder, eval_batches, train_batches
from pistar_vf.frames.state_stats import StateStatistics
from pistar_vf.lerobot.dataset import Episode
from pistar_vf.lerobot.episode_rows import EpisodeRows

NUM_FRAMES = 23


def episode(index: int, start: int, length: int) -> Episode:
    return Episode(index, length, start, (), Path(), {})


ROWS = EpisodeRows((episode(0, 0, 4), episode(3, 10, 5), episode(4, 15, 8)))
"""Episodes 1 and 2, dataset rows 4 to 9, are held out."""
DATASET_ROWS = [*range(4), *range(10, 23)]


@pytest.fixture
def table() -> FrameTable:
    """The pixel, label and state of a frame say which frame it is; the wrist camera is missing."""
    number = np.arange(NUM_FRAMES)
    return FrameTable(
        cameras={
            "base_0_rgb": np.broadcast_to(number.astype(np.uint8)[:, None, None, None], (NUM_FRAMES, 2, 2, 3)),
            "wrist_0_rgb": None,
        },
        image_size=2,
        labels=(-number / NUM_FRAMES).astype(np.float32),
        prompt_index=(number % 2).astype(np.int32),
        tokens=np.array([[2, 5, 0], [2, 6, 7]], np.int32),
        token_mask=np.array([[True, True, False], [True, True, True]]),
        state=np.stack([number, -number], axis=1).astype(np.float32),
        state_statistics=StateStatistics("s", (1.0, 0.0), (10.0, 10.0)),
    )


def test_gathered_frames_are_the_rows_asked_for(table):
    batch = table.gather(np.array([7, 2]))
    np.testing.assert_array_equal(batch.frame, [7, 2])
    np.testing.assert_array_equal(batch.observation.images["base_0_rgb"][:, 0, 0, 0], [7, 2])
    np.testing.assert_allclose(batch.target, [-7 / 23, -2 / 23], rtol=1e-6)
    np.testing.assert_array_equal(batch.observation.tokenized_prompt, [[2, 6, 7], [2, 5, 0]])
    np.testing.assert_array_equal(batch.observation.tokenized_prompt_mask, [[True] * 3, [True, True, False]])
    np.testing.assert_allclose(batch.observation.state, [[0.6, -0.7], [0.1, -0.2]], rtol=1e-6)


def test_a_missing_camera_is_black_and_masked(table):
    observation = table.gather(np.array([7, 2])).observation
    assert not observation.images["wrist_0_rgb"].any()
    assert observation.images["wrist_0_rgb"].shape == (2, 2, 2, 3)
    np.testing.assert_array_equal(observation.image_masks["wrist_0_rgb"], [False, False])
    np.testing.assert_array_equal(observation.image_masks["base_0_rgb"], [True, True])


def test_padding_is_marked(table):
    batch = table.gather(np.array([5, -1]))
    np.testing.assert_array_equal(batch.frame, [5, -1])
    np.testing.assert_array_equal(batch.observation.images["base_0_rgb"][:, 0, 0, 0], [5, 0])


def test_episode_rows_are_the_episodes_one_after_another():
    assert len(ROWS) == 17
    assert ROWS.at(np.arange(17)).tolist() == DATASET_ROWS
    assert ROWS.layout.numbers().tolist() == [0] * 4 + [1] * 5 + [2] * 8


def frames(batches, count):
    return [batch.frame.tolist() for batch in itertools.islice(batches, count)]


def test_an_epoch_covers_every_training_row_once(table):
    """17 batches of 4 are 4 epochs of 17 rows; batches run over the ends of epochs."""
    seen = np.concatenate(frames(train_batches(table, TrainOrder(ROWS, 4, seed=0), 0, 0), 17)).tolist()
    epochs = [seen[start : start + 17] for start in range(0, 68, 17)]
    assert [sorted(rows) for rows in epochs] == [DATASET_ROWS] * 4
    assert len({tuple(rows) for rows in epochs}) == 4


def test_the_seed_decides_the_order():
    orders = [np.stack([TrainOrder(ROWS, 4, seed).batch_rows(i) for i in range(4)]) for seed in (0, 0, 1)]
    np.testing.assert_array_equal(orders[0], orders[1])
    assert not np.array_equal(orders[0], orders[2])


def test_batches_go_on_from_any_position(table):
    order = TrainOrder(ROWS, 4, seed=5)
    whole = frames(train_batches(table, order, 0, 0), 12)
    assert frames(train_batches(table, order, 7, 0), 5) == whole[7:]


@pytest.mark.parametrize("count", [2, 4])
def test_processes_share_each_batch(count):
    whole = TrainOrder(ROWS, 8, seed=1).batch_rows(3)
    shares = [TrainOrder(ROWS, 8, 1, index, count).batch_rows(3) for index in range(count)]
    assert {len(share) for share in shares} == {8 // count}
    np.testing.assert_array_equal(np.concatenate(shares), whole)


PARTS = (EpisodeRows((episode(0, 0, 4),)), EpisodeRows((episode(3, 10, 5), episode(4, 15, 8))))


def test_a_mixture_draws_in_the_given_shares():
    """Three quarters from the 4 rows of the first; each part comes in epochs of its own."""
    order = MixtureOrder(ROWS, 8, seed=3, parts=PARTS, weights=(3.0, 1.0))
    batches = np.stack([order.batch_rows(number) for number in range(26)])
    assert ((batches < 4).sum(1) == 6).all()
    first, second = batches[batches < 4], batches[batches >= 10]
    assert [sorted(rows) for rows in first.reshape(-1, 4).tolist()] == [[0, 1, 2, 3]] * 39
    assert [sorted(rows) for rows in second.reshape(-1, 13).tolist()] == [list(range(10, 23))] * 4
    assert len({tuple(rows) for rows in second.reshape(-1, 13).tolist()}) == 4


def test_a_mixture_goes_on_from_any_position_and_is_shared(table):
    order = MixtureOrder(ROWS, 8, seed=3, parts=PARTS, weights=(1.0, 2.0))
    whole = frames(train_batches(table, order, 0, 0), 9)
    assert frames(train_batches(table, order, 5, 2), 4) == whole[5:]
    shares = [
        MixtureOrder(ROWS, 8, 3, index, 2, parts=PARTS, weights=(1.0, 2.0)).batch_rows(5).tolist() for index in range(2)
    ]
    assert shares[0] + shares[1] == whole[5]


@pytest.mark.parametrize("num_workers", [1, 2, 5])
def test_threads_change_nothing(table, num_workers):
    order = TrainOrder(ROWS, 4, seed=2)
    assert frames(train_batches(table, order, 3, num_workers), 20) == frames(train_batches(table, order, 3, 0), 20)


def test_threads_end_with_the_iterator(table):
    batches = train_batches(table, TrainOrder(ROWS, 4, seed=2), 0, 2)
    next(batches)
    assert [thread for thread in threading.enumerate() if thread.name.startswith("gather")]
    batches.close()
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("gather")]


def test_no_training_frames_is_an_error():
    with pytest.raises(DatasetError, match=r"there are no training frames: every episode is held out"):
        TrainOrder(EpisodeRows(()), 4, seed=0)


@pytest.mark.parametrize("num_workers", [0, 2])
def test_evaluation_covers_every_row_once_and_pads_the_last_batch(table, num_workers):
    rows = np.array([3, 9, 1, 22, 0, 8, 7])
    batches = list(eval_batches(table, rows, 4, num_workers))
    assert [batch.frame.tolist() for batch in batches] == [[3, 9, 1, 22], [0, 8, 7, -1]]


def test_processes_share_evaluation_too(table):
    rows = np.arange(10)
    parts = [[b.frame.tolist() for b in eval_batches(table, rows, 4, 0, index, 2)] for index in range(2)]
    assert parts == [[[0, 1], [4, 5], [8, 9]], [[2, 3], [6, 7], [-1, -1]]]
