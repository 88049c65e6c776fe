"""Cached tokens of the vision tower: the model's own, kept, found again, and dropped when weights or pixels change."""

import dataclasses
import functools
import hashlib

import jax
import numpy as np
import pytest

from pistar_vf.frames import feature_cache
from pistar_vf.frames.feature_cache import FeatureCache
from pistar_vf.frames.feature_table import FeatureTable, HiddenTable, WholeFrames
from pistar_vf.frames.loader import FrameTable
from pistar_vf.frames.open_table import FrameSource
from pistar_vf.inference.features import body_digest, open_features, open_hidden, tower_digest
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
    original = feature_cache.FeatureWriter.write

    def write(self, episode, tokens):
        calls.append(episode.index)
        original(self, episode, tokens)

    monkeypatch.setattr(feature_cache.FeatureWriter, "write", write)
    return calls


def test_the_same_values_from_the_cache(setting, tmp_path):
    """Oracle: the model on the pictures, bit by bit."""
    shape = (setting.function.config.siglip.num_tokens, setting.function.config.siglip.width)
    table = FeatureTable(setting.table, setting.pictures, shape)
    rows = np.array([0, 5, 17, -1])
    # As many pictures at once as pass the tower in the uncached forward: XLA's products depend on their shapes.
    at_once = len(rows) * len(setting.pictures)
    settings = dict(tower="of the test", batch_size=at_once, cache_dir=tmp_path, progress=False)
    table.fill(functools.partial(open_features, setting.function, setting.flat, **settings))
    cached, plain = table.gather(rows), setting.table.gather(rows)
    apply, params = jax.jit(setting.function.apply), unflatten(dict(setting.flat))
    expected = apply(params, plain.observation)
    np.testing.assert_array_equal(apply(params, cached.observation), expected)
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
    original = feature_cache.FeatureWriter.write
    episodes = setting.episodes

    def stopping(self, episode, tokens):
        if episode.index == episodes[1].index:
            raise KeyboardInterrupt
        original(self, episode, tokens)

    with monkeypatch.context() as patch:
        patch.setattr(feature_cache.FeatureWriter, "write", stopping)
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


@pytest.fixture(scope="module")
def whole_frames(setting):
    digests = {name: own.digest for name, own in setting.pictures.items()}
    return WholeFrames(setting.table, setting.episodes, setting.episodes[:2], digests)


def hidden_of(setting, folder, frames, batch_size=16, **changes):
    flat = {**setting.flat, **changes}
    body = body_digest(flat, setting.function.config)
    return open_hidden(
        setting.function, flat, frames, body=body, batch_size=batch_size, cache_dir=folder, progress=False
    )


def test_the_same_values_from_what_the_head_reads(setting, whole_frames, tmp_path):
    """Oracle: the whole model on the pictures; as two programs, the last bit of a float32 may differ."""
    table = HiddenTable(whole_frames)
    table.fill(functools.partial(hidden_of, setting, tmp_path, batch_size=4))
    last = setting.episodes[1].start + setting.episodes[1].length - 1
    rows = np.array([0, 5, last, -1])
    cached, plain = table.gather(rows), setting.table.gather(rows)
    apply, params = jax.jit(setting.function.apply), unflatten(dict(setting.flat))
    found, expected = (apply(params, each.observation) for each in (cached, plain))
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-7)
    np.testing.assert_array_equal(cached.target, plain.target)
    np.testing.assert_array_equal(cached.frame, [0, 5, last, -1])
    np.testing.assert_array_equal(table.labels, setting.table.labels)


def test_what_the_head_reads_is_kept_until_anything_in_front_of_it_changes(
    setting, whole_frames, tmp_path, monkeypatch
):
    calls = counted(monkeypatch)
    frames = dataclasses.replace(whole_frames, used=setting.episodes[:1])
    table = frames.table
    head = next(name for name in setting.flat if name.startswith("value_head/"))
    body = next(name for name in setting.flat if name.startswith("llm/layer_0/"))
    hidden_of(setting, tmp_path, frames)
    hidden_of(setting, tmp_path, frames, **{head: np.asarray(setting.flat[head]) + 1e-3})
    assert len(calls) == 1  # the head is what is trained
    hidden_of(setting, tmp_path, frames, **{body: np.asarray(setting.flat[body]) + 1e-3})
    for changed in (
        {"table": dataclasses.replace(table, state=table.state + 1e-3)},
        {"table": dataclasses.replace(table, tokens=table.tokens[::-1].copy() + 1)},
        {"pictures": dict.fromkeys(frames.pictures, "others")},
    ):
        hidden_of(setting, tmp_path, dataclasses.replace(frames, **changed))
    assert len(calls) == 5
