"""Videos of episodes: what they show, and how large they may be."""

import base64
import io

import av
import numpy as np
import pytest

from pistar_vf.errors import ConfigError
from pistar_vf.lerobot.dataset import load_lerobot
from pistar_vf.report import clips
from pistar_vf.report.clips import Clip, encode, episode_clips


def decoded(data: bytes) -> list[np.ndarray]:
    with av.open(io.BytesIO(data)) as container:
        return [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]


def grey(count: int, height: int = 48, width: int = 64) -> list[np.ndarray]:
    """Frame i is of brightness 10 + 5 i."""
    return [np.full((height, width, 3), 10 + 5 * number, np.uint8) for number in range(count)]


@pytest.mark.parametrize("codec", ["libx264", "libvpx-vp9"])
def test_every_frame_is_there_in_its_place(codec, monkeypatch):
    if codec not in av.codecs_available:
        pytest.skip(f"this build of FFmpeg has no {codec}")
    monkeypatch.setattr(clips, "_ENCODERS", tuple(one for one in clips._ENCODERS if one.codec == codec))
    mime, data = encode(grey(40), 10.0, 40, 200_000)
    assert mime == {"libx264": "video/mp4", "libvpx-vp9": "video/webm"}[codec]
    found = decoded(data)
    assert [round(float(frame.mean())) for frame in found] == pytest.approx([10 + 5 * i for i in range(40)], abs=3)


def test_frames_can_be_sought_one_by_one():
    """A page asks for frame i at (i + 1/2) / fps; key frames lie close enough for a quick answer."""
    _, data = encode(grey(40), 7.5, 40, 200_000)
    with av.open(io.BytesIO(data)) as container:
        stream = container.streams.video[0]
        frames = list(container.decode(stream))
        starts = [float(frame.pts * stream.time_base) for frame in frames]
        keys = [number for number, frame in enumerate(frames) if frame.key_frame]
    assert starts == pytest.approx([number / 7.5 for number in range(40)], abs=1e-3)
    assert max(np.diff([*keys, 40])) <= 12


def test_a_video_of_odd_size_loses_a_row():
    assert decoded(encode(grey(3, 33, 21), 10.0, 3, 50_000)[1])[0].shape == (32, 20, 3)


def test_noise_is_made_coarser_until_it_fits():
    frames = list(np.random.default_rng(0).integers(0, 256, (60, 120, 160, 3), np.uint8))
    assert len(encode(frames, 10.0, 60, 10_000_000)[1]) > 400_000
    assert len(encode(frames, 10.0, 60, 100_000)[1]) < 200_000


@pytest.mark.parametrize("count", [1, 2])
def test_the_only_video_of_a_page_may_be_short(count):
    assert len(decoded(encode(grey(count), 60.0, count, 16_000_000)[1])) == count


def test_every_camera_of_an_episode(tiny_dataset):
    dataset = load_lerobot(tiny_dataset)
    found = episode_clips(dataset, dataset.episodes[1], 10)
    assert [clip.camera for clip in found] == ["front", "wrist"]
    for clip in found:
        frames = decoded(clip.data)
        assert (len(frames), frames[0].shape) == (dataset.episodes[1].length, (48, 48, 3))


def test_without_an_encoder_it_says_so(monkeypatch):
    monkeypatch.setattr(clips, "_ENCODERS", ())
    with pytest.raises(ConfigError, match="videos of a report need FFmpeg's"):
        encode(grey(2), 10.0, 2, 1000)


def test_a_clip_as_text():
    assert base64.b64decode(Clip("front", "video/mp4", b"\x00\xff").base64()) == b"\x00\xff"
