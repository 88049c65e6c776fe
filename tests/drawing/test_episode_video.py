"""Videos of an episode: as many frames as it has, at its speed, with the curve growing."""

import itertools
from fractions import Fraction

import av
import numpy as np
import pytest

from pistar_vf.categorical import Support
from pistar_vf.drawing import episode_video
from pistar_vf.drawing.episode_picture import EpisodeView
from pistar_vf.drawing.episode_video import GrowingCurve, side_by_side, write_episode_video


def view(length: int) -> EpisodeView:
    value = np.linspace(-1, 0, length).astype(np.float32)
    probs = np.full((length, 5), 0.2, np.float32)
    return EpisodeView("an episode", value, probs, Support(num_atoms=5), value, np.zeros(length, bool))


def frames(length: int, *sizes):
    """Grey pictures that get brighter."""
    for number in range(length):
        yield [np.full((*size, 3), 10 * number, np.uint8) for size in sizes]


@pytest.mark.parametrize("codecs", [None, {"mpeg4"}])
@pytest.mark.parametrize("fps", [10.0, 29.97])
def test_frames_speed_and_size(tmp_path, monkeypatch, codecs, fps):
    if codecs is not None:
        monkeypatch.setattr(av, "codecs_available", codecs)
    path = write_episode_video(view(12), frames(12, (241, 80), (140, 33)), fps, tmp_path / "e.mp4")
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        decoded = [frame.to_ndarray(format="rgb24") for frame in container.decode(stream)]
        assert stream.average_rate == Fraction(fps).limit_denominator(1001)
        assert stream.codec_context.name == ("mpeg4" if codecs else "h264")
        # 80 + 33 + 640 = 753 wide and 241 high, both made even.
        assert (stream.width, stream.height) == (754, 242)
    assert len(decoded) == 12
    for number in (0, 5, 11):
        assert abs(int(decoded[number][120, 40].mean()) - 10 * number) < 12
    # The second camera is centred: white above it.
    assert decoded[5][20, 96].min() > 230


def test_one_frame_in_memory_at_a_time(tmp_path, monkeypatch):
    """Pictures are asked for one by one, each after the one before it was encoded."""
    events = []

    def counted():
        for number, pictures in enumerate(frames(6, (32, 32))):
            events.append(f"asked {number}")
            yield pictures

    real = episode_video.side_by_side

    def noted(pictures):
        events.append("encoded")
        return real(pictures)

    monkeypatch.setattr(episode_video, "side_by_side", noted)
    write_episode_video(view(6), counted(), 10.0, tmp_path / "e.mp4")
    assert events == list(itertools.chain(*((f"asked {number}", "encoded") for number in range(6))))


def test_what_lies_ahead_is_pale():
    curve = GrowingCurve(view(20), 200)
    first, middle, last = curve.at(0).astype(int), curve.at(10).astype(int), curve.at(19).astype(int)
    assert middle.shape == (200, 640, 3)
    assert np.all(np.diff(curve.columns) > 0)
    now = curve.columns[10]
    np.testing.assert_array_equal(
        middle[:, : now - 1][:, curve.columns[0] + 1 :], last[:, : now - 1][:, curve.columns[0] + 1 :]
    )
    np.testing.assert_array_equal(middle[:, now + 1 :], first[:, now + 1 :])
    green = np.array([42, 157, 87])
    strong = (np.abs(middle - green).max(axis=-1) < 25).any(axis=0)
    # A stroke is some pixels wide and its end is round.
    assert strong[curve.columns[1] : now - 3].any()
    assert not strong[now + 1 :].any()


def test_pictures_in_a_row():
    row = side_by_side([np.zeros((3, 2, 3), np.uint8), np.full((1, 3, 3), 9, np.uint8)])
    assert row.shape == (4, 6, 3)
    np.testing.assert_array_equal(row[:3, :2], 0)
    np.testing.assert_array_equal(row[1, 2:5], 9)
    white = row.copy()
    white[:3, :2] = white[1, 2:5] = 255
    assert (white == 255).all()
