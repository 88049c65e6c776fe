"""Cached tokens of the vision tower: the model's own, kept, found again, and dropped when weights or pixels change."""

import dataclasses
import functools
import hashlib

import jax
import numpy as np
import pytest

from pistar_vf.frames.feature_table import FeatureTable
from pistar_vf.frames.loader import FrameTable
from pistar_vf.frames.open_table import FrameSource
from pistar_vf.inference import features
from pistar_vf.inference.features import FeatureCache, open_features, tower_digest
from pistar_vf.inference.predictor import load_value_model
from pistar_vf.lerobot.dataset import load_lerobot
from pistar_vf.models.value_model import ValueFunction
from pistar_vf.params import flatten, unflatten


@pytest.fixture(scope="module")
def setting(trained_run, tiny_dataset, frame_cache_dir):
    """A model, its flat parameters and the frames that it was trained on."""
    model = load_value_model(trained_run.checkpoint)
    dataset = load_lerobot(tiny_dataset)
    source = FrameSource(
        dataset,
        camera_keys=dict(model.spec.camera_keys),
        image_size=model.spec.model.siglip.image_size,
        image_fit=model.spec.image_fit,
        tokenizer=model.tokenizer,
        statistics=model.spec.state,
        cache_dir=frame_cache_dir,
        progress=False,
    )
    table = source.table()
    return Setting(
        ValueFunction(model.spec.model), flatten(model.params), table, source.pictures(table, dataset.episodes)
    )


@dataclasses.dataclass(frozen=True)
class Setting:
    """A model and what it sees."""

    function: ValueFunction
    flat: dict
    table: FrameTable
    pictures: dict

    @property
    def episodes(self):
        return next(iter(self.pictures.values())).episodes

    def open(self, folder, *, flat=None, camera=0, **changes):
        pictures = dataclasses.replace(list(self.pictures.values())[camera], **changes)
        own = flat or self.flat
        tower = tower_digest(own, self.function.config.dtype)
        return open_features(self.function, own, pictures, tower=tower, batch_size=16, cache_dir=folder, progress=False)


def counted(monkeypatch):
    """Episodes that were computed."""
    calls: list[int] = []
    original = features.FeatureWriter.write

    def write(self, episode, tokens):
        calls.append(episode.index)
        original(self, episode, tokens)

    monkeypatch.setattr(features.FeatureWriter, "write", write)
    return calls


def test_the_same_values_from_the_cache(setting, tmp_path):
    shape = (setting.function.config.siglip.num_tokens, setting.function.config.siglip.width)
    table = FeatureTable(setting.table, setting.pictures, shape)
    settings = dict(tower="of the test", batch_size=16, cache_dir=tmp_path, progress=False)
    table.fill(functools.partial(open_features, setting.function, setting.flat, **settings))
    rows = np.array([0, 5, 17, -1])
    cached, plain = table.gather(rows), setting.table.gather(rows)
    apply, params = jax.jit(setting.function.apply), unflatten(dict(setting.flat))
    expected = apply(params, plain.observation)
    np.testing.assert_allclose(apply(params, cached.observation), expected, rtol=1e-5, atol=1e-5)
    np.testing.assert_array_equal(cached.target, plain.target)
    np.testing.assert_array_equal(cached.frame, [0, 5, 17, -1])
    assert cached.observation.images == {}


def test_an_episode_is_computed_once(setting, tmp_path, monkeypatch):
    calls = counted(monkeypatch)
    episodes = setting.episodes
    setting.open(tmp_path, used=episodes[:2])
    setting.open(tmp_path, used=episodes[1:3])
    setting.open(tmp_path, used=episodes[:3])
    assert calls == [episodes[0].index, episodes[1].index, episodes[2].index]


def test_other_weights_or_pixels_make_another_cache(setting, tmp_path, monkeypatch):
    calls = counted(monkeypatch)
    first = setting.episodes[:1]
    name = next(name for name in setting.flat if name.startswith("img/"))
    other = {**setting.flat, name: np.asarray(setting.flat[name]) + 1e-3}
    head = next(name for name in setting.flat if not name.startswith("img/"))
    trained_on = {**setting.flat, head: np.asarray(setting.flat[head]) + 1e-3}
    for flat, digest in ((None, "frames"), (other, "frames"), (None, "others"), (trained_on, "frames")):
        setting.open(tmp_path, used=first, flat=flat, digest=digest)
    assert len(calls) == 3  # the head is no part of the tower
    assert tower_digest(setting.flat, "float32") != tower_digest(setting.flat, "bfloat16")


def test_the_digest_of_a_tower_stays_what_it_was():
    """Caches of before are found again: SHA-256 of the text and the bytes, by hashlib alone."""
    flat = {"img/a": np.arange(3, dtype=np.float32), "img/b": jax.numpy.float32(2.0), "llm/c": np.ones(2)}
    told = b"float32" + b"img/a float32 (3,)" + np.arange(3, dtype="<f4").tobytes() + b"img/b float32 ()"
    assert tower_digest(flat, "float32") == hashlib.sha256(told + np.float32(2.0).tobytes()).hexdigest()[:12]


def test_a_build_that_was_stopped_goes_on(setting, tmp_path, monkeypatch):
    original = features.FeatureWriter.write
    episodes = setting.episodes

    def stopping(self, episode, tokens):
        if episode.index == episodes[1].index:
            raise KeyboardInterrupt
        original(self, episode, tokens)

    with monkeypatch.context() as patch:
        patch.setattr(features.FeatureWriter, "write", stopping)
        with pytest.raises(KeyboardInterrupt):
            setting.open(tmp_path)
    calls = counted(monkeypatch)
    whole = np.array(setting.open(tmp_path))
    assert calls == [episode.index for episode in episodes[1:]]
    np.testing.assert_array_equal(whole, np.array(setting.open(tmp_path / "fresh")))


def test_a_file_of_another_size_is_no_cache(tmp_path, setting):
    episodes = setting.episodes
    cache = FeatureCache(tmp_path / "x", episodes, (4, 8), np.dtype(np.float32))
    cache.create()
    assert cache.missing(episodes) == list(episodes)
    with cache.writer() as writer:
        writer.write(episodes[0], np.ones((episodes[0].length, 4, 8), np.float32))
    assert cache.missing(episodes) == list(episodes[1:])
    (tmp_path / "x" / "tokens.bin").write_bytes(b"short")
    assert cache.missing(episodes) == list(episodes)
