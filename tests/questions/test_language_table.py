"""Batches, against the pictures and questions they were made from."""

import itertools
import json
import threading

import jax
import numpy as np
import pytest

from pistar_vf.errors import ConfigError, DatasetError
from pistar_vf.questions.language_table import (
    LanguageOrder,
    LanguageTable,
    eval_language_batches,
    train_language_batches,
)
from pistar_vf.questions.open_source import open_vqa_source
from pistar_vf.questions.record_index import index_records
from pistar_vf.questions.window_order import WindowOrder
from pistar_vf.video.decoding import resize_frame

CAMERAS = ("base_0_rgb", "wrist_0_rgb")


def create_table(source, encoder, **options) -> LanguageTable:
    index = index_records(source, encoder, val_fraction=0.2, progress=False)
    return LanguageTable(source, index, encoder, **{"cameras": CAMERAS, "image_size": 28, **options})


@pytest.fixture(scope="module")
def table(source, encoder) -> LanguageTable:
    return create_table(source, encoder)


@pytest.fixture(scope="module")
def windowed(parquet_source, encoder) -> LanguageTable:
    return create_table(parquet_source, encoder)


@pytest.fixture(scope="module")
def records(pictures) -> list[tuple[np.ndarray, str, str]]:
    """Pixels, question and answer of every record, in order."""
    return [(picture.pixels, *turn) for picture in pictures for turn in picture.turns]


def test_a_batch_is_pictures_questions_and_answers(table, encoder, records):
    numbers = np.array([17, 3, 100, 4])
    batch = table.gather(numbers)
    assert batch.index.tolist() == [17, 3, 100, 4]
    for row, number in enumerate(numbers):
        pixels, question, answer = records[number]
        np.testing.assert_array_equal(batch.images["base_0_rgb"][row], pixels)
        tokens, token_mask, loss_mask = encoder.encode([question], [answer])
        np.testing.assert_array_equal(batch.tokens[row], tokens[0])
        np.testing.assert_array_equal(batch.token_mask[row], token_mask[0])
        np.testing.assert_array_equal(batch.loss_mask[row], loss_mask[0])
    assert (batch.tokens.dtype, batch.index.dtype, batch.images["base_0_rgb"].dtype) == (np.int32, np.int32, np.uint8)


def test_other_cameras_are_masked(table):
    batch = table.gather(np.array([0, 1]))
    assert {name: mask.tolist() for name, mask in batch.image_masks.items()} == {
        "base_0_rgb": [True, True],
        "wrist_0_rgb": [False, False],
    }
    assert batch.images["wrist_0_rgb"].shape == (2, 28, 28, 3)
    assert not batch.images["wrist_0_rgb"].any()


def test_a_batch_is_a_tree_of_arrays(windowed):
    batch = windowed.gather(np.array([0, 1]))
    assert [leaf.shape[0] for leaf in jax.tree.leaves(batch)] == [2] * 8


@pytest.mark.parametrize("fit", ["pad", "stretch"])
def test_pictures_are_scaled_as_frames_are(parquet_source, encoder, records, fit):
    batch = create_table(parquet_source, encoder, image_size=14, image_fit=fit).gather(np.array([5]))
    np.testing.assert_array_equal(batch.images["base_0_rgb"][0], resize_frame(records[5][0], 14, fit))


def test_an_unknown_fit_is_refused(parquet_source, encoder):
    with pytest.raises(ConfigError, match="fit: expected 'pad' or 'stretch', got 'crop'"):
        create_table(parquet_source, encoder, image_fit="crop")


def test_padding_has_no_loss(windowed):
    batch = windowed.gather(np.array([7, -1]))
    assert batch.index.tolist() == [7, -1]
    assert batch.loss_mask.any(axis=1).tolist() == [True, False]
    np.testing.assert_array_equal(batch.tokens[1], windowed.gather(np.array([0])).tokens[0])


# --- order -----------------------------------------------------------------------------------------------------


def test_an_epoch_has_every_training_record_once(windowed):
    order = LanguageOrder(windowed, 8, seed=0)
    count = len(windowed.train_records)
    numbers = np.concatenate([order.batch_records(i) for i in range(2 * -(-count // 8))])
    for epoch in (numbers[:count], numbers[count : 2 * count]):
        np.testing.assert_array_equal(np.sort(epoch), windowed.train_records)
    assert not np.array_equal(numbers[:count], numbers[count : 2 * count])
    assert len(windowed.train_records) + len(windowed.val_records) == len(windowed.index.sample)


def test_windows_are_row_groups(windowed):
    """Of the row groups of four pictures, two are open at a time: what is read ahead of them stays in memory."""
    assert windowed.source.blocks_per_window == 2
    order = LanguageOrder(windowed, len(windowed.train_records), seed=0).batch_records(0)
    blocks = np.searchsorted(windowed.source.block_starts, windowed.index.sample[order], side="right")
    used = [np.flatnonzero(blocks == block) for block in np.unique(blocks)]
    assert max(sum(u[0] <= place <= u[-1] for u in used) for place in range(len(order))) == 2


def test_files_without_blocks_are_shuffled_as_a_whole(layouts, encoder):
    table = create_table(open_vqa_source(layouts.llava), encoder)
    whole = WindowOrder(np.array([len(table.train_records)]), 1, seed=3)
    expected = table.train_records[whole.at(np.arange(16, 24))]
    np.testing.assert_array_equal(LanguageOrder(table, 8, seed=3).batch_records(2), expected)


def test_processes_share_a_batch(windowed):
    whole = LanguageOrder(windowed, 8, seed=0).batch_records(3)
    shares = [LanguageOrder(windowed, 8, seed=0, process_index=i, process_count=2).batch_records(3) for i in range(2)]
    np.testing.assert_array_equal(np.concatenate(shares), whole)


# --- batches ---------------------------------------------------------------------------------------------------


def assert_equal(one, other) -> None:
    for leaf, other_leaf in zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True):
        np.testing.assert_array_equal(leaf, other_leaf)


@pytest.mark.parametrize("num_workers", [0, 3])
def test_training_batches_are_those_of_the_order(table, num_workers):
    order = LanguageOrder(table, 8, seed=0)
    batches = list(itertools.islice(train_language_batches(table, order, 0, num_workers), 5))
    for number, batch in enumerate(batches):
        assert_equal(batch, table.gather(order.batch_records(number)))
    resumed = train_language_batches(table, LanguageOrder(table, 8, seed=0), 3, num_workers)
    for batch, again in zip(batches[3:], resumed):
        assert_equal(batch, again)


@pytest.mark.parametrize("num_workers", [0, 2])
def test_evaluation_sees_every_record_once(table, num_workers):
    count = len(table.val_records)
    batches = list(eval_language_batches(table, table.val_records, count - 1, num_workers))
    index = np.concatenate([batch.index for batch in batches])
    assert index.tolist() == table.val_records.tolist() + [-1] * (count - 2)


def test_threads_end_with_the_iterator(windowed):
    batches = train_language_batches(windowed, LanguageOrder(windowed, 4, seed=0), 0, 2)
    next(batches)
    batches.close()
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("vqa")]


def test_an_unreadable_picture_is_named(tmp_path, encoder):
    (tmp_path / "a.png").write_bytes(b"no picture")
    (tmp_path / "data.json").write_text(json.dumps([{"image": "a.png", "question": "what?", "answer": "red"}]))
    source = open_vqa_source(tmp_path)
    table = LanguageTable(source, index_records(source, encoder, progress=False), encoder, CAMERAS, 28)
    message = r"data\.json: entry 1 \(byte 1\): cannot decode the image \(file .*a\.png\): cannot identify image"
    with pytest.raises(DatasetError, match=message):
        table.gather(np.array([0]))
    (tmp_path / "a.png").unlink()
    with pytest.raises(DatasetError, match=r"cannot decode the image \(file .*a\.png\): .*No such file"):
        next(train_language_batches(table, LanguageOrder(table, 1, seed=0), 0, num_workers=1))
