"""Frames. Oracles: Pillow for scaling, plain PyAV decoding, openpi's letterbox written out by hand."""

import io
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image
from support.folders import native_frame

from pistar_vf.errors import ConfigError, VideoError
from pistar_vf.video import decoding as video_module
from pistar_vf.video.decoding import decode_image, decode_video, resize_frame

FPS = 10.0


def _pillow(image: np.ndarray, width: int, height: int) -> np.ndarray:
    return np.asarray(Image.fromarray(image).resize((width, height), Image.Resampling.BILINEAR))


def _assert_like_pillow(result: np.ndarray, image: np.ndarray) -> None:
    """Worst case, white noise: rounding inside; at the border swscale repeats pixels where Pillow renormalises."""
    expected = _pillow(image, result.shape[1], result.shape[0]).astype(int)
    np.testing.assert_allclose(result[1:-1, 1:-1], expected[1:-1, 1:-1], atol=2)
    np.testing.assert_allclose(result, expected, atol=12)


def _write_video(path: Path, frames: np.ndarray, *, codec="libx264", times=None, first_pts=0, options=None) -> Path:
    """Encodes with PyAV; `times` counts frames at FPS."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=int(FPS), options=options or {"crf": "10"})
        stream.height, stream.width, stream.pix_fmt = *frames.shape[1:3], "yuv420p"
        for i, pixels in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            frame.pts = first_pts + (i if times is None else times[i])
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def _plain_frames(path: Path) -> list[np.ndarray]:
    with av.open(str(path)) as container:
        return [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]


@pytest.fixture(scope="module")
def moving_frames() -> np.ndarray:
    """Twelve frames, each of another grey, with a bright square that moves."""
    frames = np.zeros((12, 48, 64, 3), np.uint8)
    for i, frame in enumerate(frames):
        frame[:] = 10 * i
        frame[8:24, 4 * i : 4 * i + 16] = (250, 30, 90)
    return frames


@pytest.fixture(scope="module")
def video(moving_frames, tmp_path_factory) -> Path:
    """x264 with its default B-frames: presentation order differs from decoding order."""
    return _write_video(tmp_path_factory.mktemp("video") / "moving.mp4", moving_frames)


def _decode(path: Path, **changes) -> list[np.ndarray]:
    arguments = {"size": 16, "fit": "stretch", "num_frames": 12, "fps": FPS, "context": "episode 3, camera front"}
    return list(decode_video(path, **(arguments | changes)))


# --- scaling ----------------------------------------------------------------------------------------------------


def test_scaling_agrees_with_pillow_on_real_frames(g1_dataset_path):
    """Measured: mean 0.12, largest 5 grey levels; swscale's bicubic 0.8 / 24, area 0.5 / 24, fast bilinear (no
    antialiasing) 5 / 180, and bilinear straight from yuv 1.1 / 24."""
    path = g1_dataset_path / "videos/chunk-000/observation.images.cam_high/episode_000000.mp4"
    with av.open(str(path)) as container:
        stream = container.decode(video=0)
        native = [next(stream).to_ndarray(format="rgb24") for _ in range(5)]
    for image in native:
        difference = resize_frame(image, 224, "pad")[28:196].astype(int) - _pillow(image, 224, 168)
        assert np.abs(difference).mean() < 0.2
        assert np.abs(difference).max() <= 8


@pytest.mark.parametrize(
    ("height", "width", "box"),
    [(48, 64, (4, 0, 24, 32)), (64, 48, (0, 4, 32, 24)), (64, 64, (0, 0, 32, 32)), (60, 90, (5, 0, 21, 32))],
    ids=["wide", "tall", "square", "odd-border"],
)
def test_pad_keeps_the_aspect_and_centres(height, width, box):
    """The box (top, left, height, width) follows openpi's resize_with_pad: int(), half the rest on top."""
    image = np.random.default_rng(0).integers(40, 255, (height, width, 3), np.uint8)
    top, left, scaled_height, scaled_width = box
    result = resize_frame(image, 32, "pad")
    inside = np.zeros((32, 32), bool)
    inside[top : top + scaled_height, left : left + scaled_width] = True
    assert (result[~inside] == 0).all()
    _assert_like_pillow(result[inside].reshape(scaled_height, scaled_width, 3), image)


@pytest.mark.parametrize("size", [(48, 64), (60, 96), (64, 48), (31, 97), (224, 224), (720, 1280)])
def test_openpi_is_pillow_to_the_bit(size):
    """openpi's letterbox written out: Pillow, sizes cut after a division in floats, half the rest on top."""
    image = np.random.default_rng(0).integers(0, 256, (*size, 3), np.uint8)
    ratio = max(size[1] / 224, size[0] / 224)
    height, width = int(size[0] / ratio), int(size[1] / ratio)
    expected = Image.new("RGB", (224, 224), 0)
    expected.paste(
        Image.fromarray(image).resize((width, height), Image.Resampling.BILINEAR),
        (max(0, int((224 - width) / 2)), max(0, int((224 - height) / 2))),
    )
    np.testing.assert_array_equal(resize_frame(image, 224, "openpi"), np.asarray(expected))


def test_stretch_fills_the_square():
    image = np.random.default_rng(0).integers(0, 255, (48, 64, 3), np.uint8)
    _assert_like_pillow(resize_frame(image, 32, "stretch"), image)


def test_a_frame_of_the_right_size_is_untouched():
    image = np.random.default_rng(0).integers(0, 255, (32, 32, 3), np.uint8)
    np.testing.assert_array_equal(resize_frame(image, 32, "pad"), image)


def test_unknown_fit():
    with pytest.raises(ConfigError, match="fit: expected 'pad' or 'stretch', got 'crop'"):
        resize_frame(np.zeros((4, 4, 3), np.uint8), 2, "crop")


# --- decoding ---------------------------------------------------------------------------------------------------


def test_decoding_against_plain_pyav(video):
    expected = [resize_frame(frame, 16, "stretch") for frame in _plain_frames(video)]
    np.testing.assert_array_equal(_decode(video), expected)


def test_frames_come_in_order(video):
    corner = [int(frame[-1, -1, 0]) for frame in _decode(video)]
    np.testing.assert_allclose(corner, [10 * i for i in range(12)], atol=4)


def test_video_and_image_storage_give_the_same_pixels(video):
    decoded = _decode(video, fit="pad")
    for frame, native in zip(decoded, _plain_frames(video)):
        png = io.BytesIO()
        Image.fromarray(native).save(png, "PNG")
        image = decode_image(png.getvalue(), size=16, fit="pad", root=Path(), context="x")
        np.testing.assert_array_equal(image, frame)


def test_mpeg4_whatever_the_metadata_calls_it(moving_frames, tmp_path):
    path = _write_video(tmp_path / "old.mp4", moving_frames, codec="mpeg4", options={"b": "4000000"})
    assert len(_decode(path)) == 12


def test_times_are_relative_to_the_first_frame(moving_frames, tmp_path):
    """A video that starts at 0.7 s, in a container that keeps that."""
    path = _write_video(tmp_path / "late.mkv", moving_frames, first_pts=7)
    np.testing.assert_array_equal(_decode(path), [resize_frame(f, 16, "stretch") for f in _plain_frames(path)])
    np.testing.assert_array_equal(native_frame(path, 5, FPS), _plain_frames(path)[5])


@pytest.mark.parametrize("frame_index", [0, 5, 11])
def test_a_frame_against_plain_pyav(video, frame_index):
    frame = native_frame(video, frame_index, FPS)
    np.testing.assert_array_equal(frame, _plain_frames(video)[frame_index])


def test_a_frame_of_a_real_video(g1_dataset_path):
    path = g1_dataset_path / "videos/chunk-000/observation.images.cam_high/episode_000000.mp4"
    with av.open(str(path)) as container:
        expected = next(frame for i, frame in enumerate(container.decode(video=0)) if i == 77)
    np.testing.assert_array_equal(native_frame(path, 77, 30.0), expected.to_ndarray(format="rgb24"))


# --- clips ------------------------------------------------------------------------------------------------------


def test_a_clip_against_plain_pyav(video):
    """Frames 5 to 8; the only keyframe is frame 0."""
    frames = _decode(video, num_frames=4, start_seconds=0.5, end_seconds=0.9)
    np.testing.assert_array_equal(frames, [resize_frame(frame, 16, "stretch") for frame in _plain_frames(video)[5:9]])


def test_a_clip_up_to_the_end(video):
    frames = _decode(video, num_frames=2, start_seconds=1.0, end_seconds=1.2)
    np.testing.assert_array_equal(frames, [resize_frame(frame, 16, "stretch") for frame in _plain_frames(video)[10:]])


@pytest.mark.parametrize("num_frames", [3, 5])
def test_a_clip_with_another_number_of_frames(video, num_frames):
    message = f"expected {num_frames} frames .* from 0.5000 s to 0.9000 s, got 4"
    with pytest.raises(VideoError, match=message):
        _decode(video, num_frames=num_frames, start_seconds=0.5, end_seconds=0.9)


def test_times_of_a_clip(video):
    with pytest.raises(VideoError, match=r"frame 1: expected at 0.7000 s \(the table\), got 0.6000 s"):
        _decode(video, num_frames=3, start_seconds=0.5, end_seconds=0.8, timestamps=np.array([7.0, 7.2, 7.3]))


def test_a_clip_does_not_decode_what_comes_before_it(moving_frames, tmp_path, monkeypatch):
    """A keyframe every other frame: one clip of three frames costs those and at most one more on either side."""
    path = _write_video(tmp_path / "gop2.mp4", moving_frames, options={"g": "2", "bf": "0"})
    decoded = []
    original = video_module._frames_from

    def count(*args):
        for frame in original(*args):
            decoded.append(frame)
            yield frame

    monkeypatch.setattr(video_module, "_frames_from", count)
    assert len(_decode(path, num_frames=3, start_seconds=0.8, end_seconds=1.1)) == 3
    assert 4 <= len(decoded) <= 5


@pytest.mark.parametrize(
    ("codec", "options"), [("libx264", {"g": "4", "bf": "3"}), ("mpeg4", {"g": "12", "bf": "2", "b": "4000000"})]
)
def test_every_frame_is_found_in_spite_of_b_frames(moving_frames, tmp_path, codec, options):
    """FFmpeg's own seeking passes some of the mpeg4 frames."""
    path = _write_video(tmp_path / "b.mp4", moving_frames, codec=codec, options=options)
    plain = _plain_frames(path)
    for index in range(12):
        np.testing.assert_array_equal(native_frame(path, index, FPS), plain[index])
        np.testing.assert_array_equal(native_frame(path, 11 - index, FPS, start_seconds=index / FPS), plain[11])


# --- frames that do not match the table -------------------------------------------------------------------------


@pytest.mark.parametrize("num_frames", [11, 13])
def test_wrong_number_of_frames(video, num_frames):
    message = f"episode 3, camera front: .*moving.mp4: expected {num_frames} frames .* got 12"
    with pytest.raises(VideoError, match=message):
        _decode(video, num_frames=num_frames)


def test_dropped_frame(moving_frames, tmp_path):
    """Twelve frames, but the sixth is missing in time: every later row would show the wrong moment."""
    path = _write_video(tmp_path / "gap.mp4", moving_frames, times=[*range(5), *range(6, 13)])
    with pytest.raises(VideoError, match=r"episode 3.*gap.mp4: frame 5: expected at 0.5000 s .* got 0.6000 s"):
        _decode(path)


def test_the_table_may_say_that_frames_are_unevenly_spaced(moving_frames, tmp_path):
    times = np.array([*range(5), *range(6, 13)])
    path = _write_video(tmp_path / "gap.mp4", moving_frames, times=times)
    timestamps = (100 + times / FPS).astype(np.float32)
    assert len(_decode(path, timestamps=timestamps)) == 12
    with pytest.raises(VideoError, match=r"frame 5: expected at 0.5000 s"):
        _decode(path, timestamps=np.arange(12) / FPS)


def test_wrong_fps(video):
    with pytest.raises(VideoError, match=r"frame 1: expected at 0.0500 s .* the dataset has 20 fps"):
        _decode(video, fps=20.0)


def test_missing_video(tmp_path):
    with pytest.raises(VideoError, match=r"episode 3, camera front: no video at .*nothing.mp4"):
        _decode(tmp_path / "nothing.mp4")


def test_truncated_video(video, tmp_path):
    """The index of an mp4 is at its end: half a file cannot be opened."""
    path = tmp_path / "half.mp4"
    path.write_bytes(video.read_bytes()[: video.stat().st_size // 2])
    with pytest.raises(
        VideoError, match=r"episode 3, camera front: .*half.mp4: cannot be decoded, truncated or corrupt"
    ):
        _decode(path)


def test_a_title_in_another_encoding(video, tmp_path):
    """Nobody reads it, so it is no damage."""
    path, content = tmp_path / "titled.mp4", video.read_bytes()
    assert content.count(b"Lavf") == 1  # the name of the program that wrote it
    path.write_bytes(content.replace(b"Lavf", b"L\xe9vf"))
    np.testing.assert_array_equal(_decode(path), _decode(video))


def test_video_cut_behind_its_index(moving_frames, tmp_path):
    """With the index in front, a cut file opens; frames are missing or damaged."""
    whole = _write_video(tmp_path / "whole.mkv", moving_frames)
    path = tmp_path / "cut.mkv"
    path.write_bytes(whole.read_bytes()[: whole.stat().st_size * 2 // 3])
    with pytest.raises(VideoError, match=r"cut.mkv: (expected 12 frames .* got \d|cannot be decoded)"):
        _decode(path)


def test_file_without_video_stream(tmp_path):
    path = tmp_path / "sound.wav"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=8000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 80), np.int16), layout="mono")
        frame.rate = 8000
        container.mux(stream.encode(frame))
    with pytest.raises(VideoError, match=r"sound.wav: expected a video stream, got none"):
        _decode(path)


def test_frames_without_presentation_time(moving_frames, tmp_path):
    """A raw stream has no times to check."""
    whole = _write_video(tmp_path / "raw.h264", moving_frames)
    with pytest.raises(VideoError, match=r"raw.h264: a frame has no presentation time"):
        _decode(whole)


# --- images -----------------------------------------------------------------------------------------------------


def _image(value, root=Path(), size=4):
    return decode_image(value, size=size, fit="pad", root=root, context="episode 1: row 2")


def test_image_from_a_path_below_the_root(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 255, (4, 4, 3), np.uint8)
    (tmp_path / "images").mkdir()
    Image.fromarray(pixels).save(tmp_path / "images" / "a.png")
    np.testing.assert_array_equal(_image({"bytes": None, "path": "images/a.png"}, tmp_path), pixels)


def test_grey_image_gets_three_channels():
    png = io.BytesIO()
    Image.fromarray(np.full((4, 4), 77, np.uint8)).save(png, "PNG")
    assert (_image({"bytes": png.getvalue(), "path": "a.png"}) == 77).all()


def test_bad_images(tmp_path):
    depth = io.BytesIO()
    Image.fromarray(np.full((4, 4), 1000, np.uint16)).save(depth, "PNG")
    with pytest.raises(VideoError, match="episode 1: row 2: expected an image in 'bytes' or 'path', got null"):
        _image({"bytes": None, "path": None})
    with pytest.raises(VideoError, match=r"episode 1: row 2: cannot decode the image \(file .*no.png\)"):
        _image({"bytes": None, "path": "no.png"}, tmp_path)
    with pytest.raises(VideoError, match=r"cannot decode the image \(4 bytes\)"):
        _image(b"junk")
    with pytest.raises(VideoError, match=r"expected an 8-bit colour or grey image, got mode I;16"):
        _image(depth.getvalue())


def test_truncated_image():
    png = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)).save(png, "PNG")
    with pytest.raises(VideoError, match="cannot decode the image"):
        _image(png.getvalue()[:3000])
