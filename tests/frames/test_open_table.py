"""A table of chosen episodes: their frames as in a table of all, and nothing of the others."""

import numpy as np
import pytest

from pistar_vf.frames.cache import FrameCache
from pistar_vf.frames.open_table import FrameSource
from pistar_vf.frames.shards import iterate_shards
from pistar_vf.frames.state_stats import StateStatistics
from pistar_vf.lerobot.dataset import load_lerobot
from pistar_vf.lerobot.episode_rows import EpisodeRows
from pistar_vf.tokenizer import PromptTokenizer, train_prompt_tokenizer

FRONT, WRIST = "observation.images.front", "observation.images.wrist"


@pytest.fixture(scope="module")
def dataset(tiny_dataset):
    return load_lerobot(tiny_dataset)


@pytest.fixture(scope="module")
def opened(dataset):
    """Makes sources with a cache of their own."""
    model = train_prompt_tokenizer(dataset.prompts).model
    dim = dataset.read_column("observation.state").shape[1]
    statistics = StateStatistics("observation.state", (0.0,) * dim, (1.0,) * dim)

    def make(cache_dir):
        return FrameSource(
            dataset,
            camera_keys={"base_0_rgb": FRONT, "wrist_0_rgb": WRIST, "extra_0_rgb": None},
            image_size=28,
            image_fit="pad",
            tokenizer=PromptTokenizer(model, max_token_len=24),
            statistics=statistics,
            cache_dir=cache_dir,
            num_workers=0,
            progress=False,
        )

    return make


@pytest.fixture(scope="module")
def whole(opened, frame_cache_dir):
    return opened(frame_cache_dir).table()


def assert_same(batch, expected):
    np.testing.assert_array_equal(batch.frame, expected.frame)
    for name, pixels in expected.observation.images.items():
        np.testing.assert_array_equal(batch.observation.images[name], pixels)
    np.testing.assert_array_equal(batch.observation.state, expected.observation.state)
    np.testing.assert_array_equal(batch.observation.tokenized_prompt, expected.observation.tokenized_prompt)


def left_to_decode(dataset, cache_dir):
    caches = [FrameCache.find(dataset, key, size=28, fit="pad", cache_dir=cache_dir) for key in (FRONT, WRIST)]
    return [[episode.index for episode in cache.missing(dataset.episodes)] for cache in caches]


def test_a_table_of_some_episodes(opened, whole, dataset, tmp_path):
    chosen = (dataset.episodes[1], dataset.episodes[4])
    table = opened(tmp_path).table(chosen)
    rows = EpisodeRows(chosen).all()
    assert_same(table.gather(rows), whole.gather(rows))
    assert left_to_decode(dataset, tmp_path) == [[0, 2, 3, 5], [0, 2, 3, 5]]


def test_frames_that_were_not_opened_are_not_handed_out(opened, dataset, tmp_path):
    table = opened(tmp_path).table(dataset.episodes[1:2])
    first = dataset.episodes[1].start
    table.gather(np.array([first, -1]))  # padding is none of them
    with pytest.raises(AssertionError, match="episodes that were not opened"):
        table.gather(np.array([first, 0]))


def test_a_passing_table_leaves_nothing(opened, whole, dataset, tmp_path):
    table = opened(tmp_path).passing_table(dataset.episodes[2:4])
    rows = EpisodeRows(dataset.episodes[2:4]).all()
    assert_same(table.gather(rows), whole.gather(rows))
    assert list(tmp_path.iterdir()) == []


def test_shards_hold_every_frame_once(opened, whole, dataset, frame_cache_dir, monkeypatch):
    monkeypatch.setattr("pistar_vf.frames.shards._SHARD_FRAMES", 60)
    chosen = [dataset.episodes[i] for i in (5, 0, 1, 3)]
    shards = list(iterate_shards(opened(frame_cache_dir), chosen))
    assert len(shards) > 2
    for shard in shards:
        assert_same(shard.table.gather(shard.rows), whole.gather(shard.rows))
    rows = np.concatenate([shard.rows for shard in shards])
    np.testing.assert_array_equal(rows, np.sort(EpisodeRows(chosen).all()))


def test_no_episodes_no_shards(opened, frame_cache_dir):
    assert list(iterate_shards(opened(frame_cache_dir), [])) == []
