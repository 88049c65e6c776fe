"""Joining and cutting videos. Oracles: plain PyAV decoding, packets compared byte by byte."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from support.folders import packets

from pistar_vf.errors import VideoError
from pistar_vf.video.remux import PacketWriter, cut_video, read_packet_table

FPS = 10.0
LENGTHS = (12, 7, 9)


def _encode(path: Path, seed: int, length: int, codec: str, options: dict[str, str]) -> Path:
    noise = np.random.default_rng(seed).integers(0, 255, (6, 8, 3), np.uint8).repeat(8, 0).repeat(8, 1)
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=int(FPS), options=options)
        stream.height, stream.width, stream.pix_fmt = 48, 64, "yuv420p"
        for i in range(length):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.roll(noise, 3 * i, 1), format="rgb24")))
        container.mux(stream.encode(None))
    return path


def _decode(path: Path) -> tuple[list[float], list[np.ndarray]]:
    with av.open(str(path)) as container:
        frames = list(container.decode(video=0))
    return [frame.time for frame in frames], [frame.to_ndarray(format="rgb24") for frame in frames]


CODECS = {
    "h264": ("libx264", {"g": "2", "preset": "ultrafast"}),
    "b-frames": ("libx264", {"g": "4", "bf": "3"}),
    "mpeg4-b-frames": ("mpeg4", {"g": "12", "bf": "2", "b": "4000000"}),
    "av1": ("libsvtav1", {"g": "2", "preset": "8"}),
}


@pytest.fixture(params=CODECS)
def joined(request, tmp_path) -> tuple[list[Path], Path]:
    """Three videos, and the three joined."""
    paths = [_encode(tmp_path / f"{i}.mp4", i, length, *CODECS[request.param]) for i, length in enumerate(LENGTHS)]
    target, start = tmp_path / "deep" / "joined.mp4", Fraction(0)
    with PacketWriter(target) as writer:
        for path in paths:
            writer.append(path, start, "x")
            start += read_packet_table(path, "x").end_seconds
    return paths, target


def test_joined_frames_and_times(joined):
    paths, target = joined
    times, frames = _decode(target)
    np.testing.assert_allclose(times, np.arange(28) / FPS, atol=1e-9)
    np.testing.assert_array_equal(frames, [frame for path in paths for frame in _decode(path)[1]])
    assert packets(target) == packets(*paths)


def test_cutting_undoes_joining(joined, tmp_path):
    paths, target = joined
    table = read_packet_table(target, "x")
    ranges = [table.clean_cut(start, end, FPS) for start, end in ((0.0, 1.2), (1.2, 1.9), (1.9, 2.8))]
    assert ranges == [range(0, 12), range(12, 19), range(19, 28)]
    targets = [tmp_path / "cut" / f"{i}.mp4" for i in range(3)]
    cut_video(target, list(zip(ranges, targets)), "x")
    for old, new in zip(paths, targets):
        assert packets(new) == packets(old)
        np.testing.assert_allclose(_decode(new)[0], _decode(old)[0], atol=1e-9)
        np.testing.assert_array_equal(_decode(new)[1], _decode(old)[1])


def test_cuts_may_leave_packets_out(joined, tmp_path):
    paths, target = joined
    cut_video(target, [(range(19, 28), tmp_path / "last.mp4")], "x")
    assert packets(tmp_path / "last.mp4") == packets(paths[2])


def test_a_table_of_packets(tmp_path):
    """Decoding order: frame 3 is needed by 1 and 2; 4 begins anew (measured with ffprobe)."""
    path = _encode(
        tmp_path / "v.mp4", 0, 7, "libx264", {"x264-params": "bframes=2:b-adapt=0:scenecut=0:keyint=4:b-pyramid=0"}
    )
    table = read_packet_table(path, "x")
    assert np.round(table.seconds * FPS).astype(int).tolist() == [0, 3, 1, 2, 4, 6, 5]
    assert table.is_keyframe.tolist() == [True, False, False, False, True, False, False]
    assert table.end_seconds == Fraction(7, 10)
    assert table.codec == "h264"


@pytest.mark.parametrize(
    ("first", "stop", "expected"),
    [(0, 4, range(4)), (4, 7, range(4, 7)), (0, 7, range(7)), (1, 4, None), (0, 2, None), (4, 6, None), (7, 9, None)],
    ids=["first", "second", "whole", "no keyframe", "frames need a later one", "the same", "nothing there"],
)
def test_what_can_be_cut_out(tmp_path, first, stop, expected):
    """The video of `test_a_table_of_packets`."""
    path = _encode(
        tmp_path / "v.mp4", 0, 7, "libx264", {"x264-params": "bframes=2:b-adapt=0:scenecut=0:keyint=4:b-pyramid=0"}
    )
    assert read_packet_table(path, "x").clean_cut(first / FPS, stop / FPS, FPS) == expected


def test_frames_shown_before_their_keyframe_forbid_a_cut(tmp_path):
    """An open group: frames that follow keyframe 6 in the file are shown before it and need what came earlier."""
    options = {"x264-params": "open-gop=1:keyint=6:bframes=3:b-adapt=0:scenecut=0"}
    path = _encode(tmp_path / "v.mp4", 0, 12, "libx264", options)
    table = read_packet_table(path, "x")
    shown = np.round(table.seconds * FPS).astype(int).tolist()
    keyframe = shown[int(np.flatnonzero(table.is_keyframe)[1])]
    assert any(frame < keyframe for frame in shown[shown.index(keyframe) :])
    assert table.clean_cut(0.0, keyframe / FPS, FPS) is None


def test_headers_tell_what_cannot_be_joined(tmp_path):
    kinds = [
        _encode(tmp_path / f"{i}.mp4", i, 3, codec, options)
        for i, (codec, options) in enumerate(
            [("libx264", {}), ("libx264", {"crf": "23"}), ("libx264", {"profile": "baseline"}), ("mpeg4", {})]
        )
    ]
    tables = [read_packet_table(path, "x") for path in kinds]
    assert tables[0].headers == tables[1].headers
    assert tables[0].headers != tables[2].headers
    assert tables[0].codec != tables[3].codec


def test_damaged_videos(tmp_path):
    whole = _encode(tmp_path / "v.mp4", 0, 7, "libx264", {})
    half = tmp_path / "half.mp4"
    half.write_bytes(whole.read_bytes()[:500])
    raw = _encode(tmp_path / "raw.h264", 0, 7, "libx264", {})
    sound = tmp_path / "sound.wav"
    with av.open(str(sound), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=8000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 80), np.int16), layout="mono")
        frame.rate = 8000
        container.mux(stream.encode(frame))
    for path, message in (
        (tmp_path / "no.mp4", "episode 3: no video at .*no.mp4; download it again"),
        (half, "episode 3: .*half.mp4: cannot be read or copied: "),
        (raw, "episode 3: .*raw.h264: a frame has no presentation time"),
        (sound, "episode 3: .*sound.wav: expected a video stream, got none"),
    ):
        with pytest.raises(VideoError, match=message):
            read_packet_table(path, "episode 3")
    with (
        pytest.raises(VideoError, match=r"half.mp4: cannot be read or copied"),
        PacketWriter(tmp_path / "o.mp4") as writer,
    ):
        writer.append(half, Fraction(0), "episode 3")
