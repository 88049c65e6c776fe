"""Frames as a player shows them. Oracles: turns written out with numpy, colours that were encoded, frame numbers."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from support.folders import native_frame
from support.mp4_boxes import add_clean_aperture, cut_by_edit_list, set_matrix

from pistar_vf.errors import VideoError
from pistar_vf.video.decoding import decode_image, decode_video
from pistar_vf.video.remux import PacketWriter, read_packet_table

FPS = 10.0


def _picture(t: int) -> np.ndarray:
    """Every corner another colour, so that no two turns of it are alike; the green of one grows with time."""
    frame = np.zeros((48, 64, 3), np.uint8)
    frame[:24, :32], frame[:24, 32:] = (220, 40, 40), (40, 100 + 10 * t, 40)
    frame[24:, :32], frame[24:, 32:] = (40, 40, 220), (200, 200, 60)
    return frame


def _write(path: Path, *, pix_fmt="yuv420p", num_frames=8, options=None, matrix=None, full=False, aspect=None) -> Path:
    """Encodes; where a colour matrix or range is named, with the numbers that a player will use."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=10, options={"crf": "2", "g": "4", "bf": "2", **(options or {})})
        stream.width, stream.height, stream.pix_fmt = 64, 48, pix_fmt
        if aspect is not None:
            stream.codec_context.sample_aspect_ratio = aspect
        if matrix is not None:
            stream.codec_context.colorspace = matrix
        if full:
            stream.codec_context.color_range = 2
        for t in range(num_frames):
            frame = av.VideoFrame.from_ndarray(_picture(t), format="rgb24").reformat(
                format=pix_fmt, dst_colorspace=matrix, dst_color_range=2 if full else None
            )
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def _frames(path: Path, num_frames: int = 8) -> list[np.ndarray]:
    return list(decode_video(path, size=64, fit="stretch", num_frames=num_frames, fps=FPS, context="toy"))


QUARTERS = {
    # what a player does: (a, b, c, d) of the matrix, and the same in numpy
    "clockwise": ((0, 1, -1, 0), lambda x: np.rot90(x, -1)),
    "upside down": ((-1, 0, 0, -1), lambda x: np.rot90(x, 2)),
    "counter-clockwise": ((0, -1, 1, 0), lambda x: np.rot90(x)),
    "mirrored": ((-1, 0, 0, 1), lambda x: x[:, ::-1]),
    "flipped": ((1, 0, 0, -1), lambda x: x[::-1]),
    "transposed": ((0, 1, 1, 0), lambda x: x.transpose(1, 0, 2)),
    "upright": ((1, 0, 0, 1), lambda x: x),
}


@pytest.mark.parametrize("name", QUARTERS)
def test_frames_are_turned_as_the_container_says(tmp_path, name):
    matrix, turn = QUARTERS[name]
    path = set_matrix(_write(tmp_path / "a.mp4"), matrix)
    shown = native_frame(path, 3, FPS)
    expected = turn(_picture(3))
    assert shown.shape == expected.shape
    assert np.abs(shown[4:-4:8, 4:-4:8].astype(int) - expected[4:-4:8, 4:-4:8]).max() < 16
    assert read_packet_table(path, "toy").size == (expected.shape[1], expected.shape[0])
    (first, *_) = _frames(path)
    assert np.abs(first[16:64:32, 16:64:32].astype(int) - turn(_picture(0)[::47, ::63])).max() < 16


def test_what_is_neither_a_quarter_turn_nor_a_mirror_is_refused(tmp_path):
    for matrix in ((0.7, 0.7, -0.7, 0.7), (1, 0.25, 0, 1), (0.7, -0.7, 0.7, 0.7)):
        path = set_matrix(_write(tmp_path / "a.mp4", num_frames=1), matrix)
        with pytest.raises(VideoError, match=r"expected (frames that are shown upright|square pixels)"):
            _frames(path, 1)


def test_joining_keeps_the_orientation(tmp_path):
    path = set_matrix(_write(tmp_path / "a.mp4"), (0, 1, -1, 0))
    with PacketWriter(tmp_path / "copy.mp4") as writer:
        writer.append(path, Fraction(0), "toy")
    np.testing.assert_array_equal(_frames(tmp_path / "copy.mp4"), _frames(path))
    upright = _write(tmp_path / "b.mp4")
    assert read_packet_table(path, "toy").headers != read_packet_table(upright, "toy").headers


@pytest.mark.parametrize(
    ("matrix", "full", "pix_fmt"),
    [
        (1, False, "yuv420p"),
        (1, True, "yuv420p"),
        (5, True, "yuv420p"),
        (5, False, "yuv444p"),
        (9, False, "yuv420p"),
        (7, False, "yuv420p"),
        (None, False, "yuvj420p"),
    ],
)
def test_colours_follow_matrix_and_range(tmp_path, matrix, full, pix_fmt):
    """bt709, bt470bg, bt2020nc, smpte240m; limited and full range."""
    path = _write(tmp_path / "a.mp4", matrix=matrix, full=full, pix_fmt=pix_fmt)
    shown = native_frame(path, 0, FPS)[4:-4:8, 4:-4:8].astype(int)
    assert np.abs(shown - _picture(0)[4:-4:8, 4:-4:8]).max() <= 6


def test_colours_that_nobody_can_convert_are_refused(tmp_path):
    path = _write(tmp_path / "a.mp4", options={"x264-params": "colormatrix=YCgCo"}, pix_fmt="yuv444p", num_frames=1)
    with pytest.raises(VideoError, match="frame 0: expected colours that can be converted to RGB, got yuv444p"):
        _frames(path, 1)


def test_a_depth_map_is_no_colour_picture(tmp_path):
    path = tmp_path / "depth.mkv"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1", rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "gray12le"
        frame = av.VideoFrame.from_ndarray(np.full((48, 64), 9000, np.uint16), format="gray16le")
        container.mux(stream.encode(frame.reformat(format="gray12le")))
        container.mux(stream.encode(None))
    with pytest.raises(VideoError, match="expected a colour picture, got gray12le; is it a depth map"):
        _frames(path, 1)


@pytest.mark.parametrize(("seconds", "kept"), [(0.4, 4), (0.5, 5), (0.7, 7)])
def test_frames_behind_an_edit_list_are_not_there(tmp_path, seconds, kept):
    path = cut_by_edit_list(_write(tmp_path / "a.mp4"), duration_ticks=round(seconds * 1000))
    assert len(_frames(path, kept)) == kept
    packets = read_packet_table(path, "toy")
    assert len(packets.in_clip(0.0, np.inf, FPS)) == kept
    assert float(packets.end_seconds) == pytest.approx(seconds)


def test_frames_before_an_edit_list_are_not_there(tmp_path):
    path = _write(tmp_path / "a.mp4", options={"bf": "0"})
    with av.open(str(path)) as container:
        ticks = round(0.3 / container.streams.video[0].time_base)
    cut_by_edit_list(path, duration_ticks=500, later_ticks=ticks)
    first = _frames(path, 5)[0]
    assert abs(int(first[16, 48, 1]) - 130) < 8  # the green of frame 3
    packets = read_packet_table(path, "toy")
    assert len(packets.in_clip(0.0, np.inf, FPS)) == 5
    assert packets.num_hidden == 3


@pytest.mark.parametrize("aspect", [Fraction(4, 3), Fraction(1, 2), Fraction(12, 11)])
def test_stretched_pixels_are_refused(tmp_path, aspect):
    path = _write(tmp_path / "a.mp4", aspect=aspect, num_frames=2)
    with pytest.raises(VideoError, match=rf"expected square pixels, got a sample aspect ratio of {aspect.numerator}:"):
        _frames(path, 2)
    with pytest.raises(VideoError, match="expected square pixels"):
        read_packet_table(path, "toy")


def test_square_pixels_that_are_stated_are_no_harm(tmp_path):
    assert len(_frames(_write(tmp_path / "a.mp4", aspect=Fraction(1, 1)))) == 8


def test_a_crop_in_the_header_is_refused(tmp_path):
    path = add_clean_aperture(_write(tmp_path / "a.mp4"), 32, 48)
    with pytest.raises(VideoError, match=r"expected the whole picture of 64x48 to be shown, got a crop to 32x48"):
        _frames(path)
    whole = add_clean_aperture(_write(tmp_path / "b.mp4"), 64, 48)
    assert len(_frames(whole)) == 8


def test_a_crop_in_the_codec_is_obeyed(tmp_path):
    """64x46 is stored as 64x48 with a crop."""
    path = tmp_path / "a.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 46, "yuv420p"
        container.mux(stream.encode(av.VideoFrame.from_ndarray(_picture(0)[:46].copy(), format="rgb24")))
        container.mux(stream.encode(None))
    assert native_frame(path, 0, FPS).shape == (46, 64, 3)


def test_photos_are_turned_as_their_exif_says():
    """As Hugging Face datasets, which LeRobot reads images with, turns them."""
    import io

    from PIL import Image

    for orientation, turn in ((3, lambda x: np.rot90(x, 2)), (6, lambda x: np.rot90(x, -1)), (8, np.rot90)):
        exif = Image.Exif()
        exif[0x0112] = orientation
        file = io.BytesIO()
        Image.fromarray(_picture(0)).save(file, "PNG", exif=exif)
        shown = decode_image(file.getvalue(), size=64, fit="stretch", root=Path(), context="toy")
        expected = turn(_picture(0))[:: turn(_picture(0)).shape[0] - 1, :: turn(_picture(0)).shape[1] - 1]
        np.testing.assert_array_equal(shown[16:64:32, 16:64:32], expected)


@pytest.mark.parametrize(
    ("there", "wanted", "words"),
    [
        ("video/cam", "videos/cam/a.mp4", "has no 'videos', but video; rename the folder"),
        (
            "videos/front",
            "videos/observation.images.front/a.mp4",
            "has no 'observation.images.front', but front;",
        ),
        ("videos/chunk-0", "videos/chunk-000/a.mp4", "has no 'chunk-000', but chunk-0; rename the folder"),
        ("videos/cam", "videos/cam/a.mp4", "a.mp4; download it again, or leave the episode out"),
    ],
)
def test_a_video_in_another_folder(tmp_path, there, wanted, words):
    (tmp_path / there).mkdir(parents=True)
    with pytest.raises(VideoError, match="no video at") as error:
        read_packet_table(tmp_path / wanted, "toy")
    assert words in str(error.value)
