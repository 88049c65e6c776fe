"""Pictures of an episode: the curve's colours, the strip, the shading, and the cut of borders."""

import numpy as np
import pytest
from PIL import Image

from pistar_vf.categorical import Support
from pistar_vf.drawing.curves import DROP, HOLD, LABEL, RISE, value_segments
from pistar_vf.drawing.episode_picture import (
    INTERVENTION,
    EpisodeView,
    draw_episode,
    draw_value,
    intervention_spans,
    strip_strength,
    without_padding,
)
from pistar_vf.video.decoding import resize_frame

FIVE = Support(num_atoms=5)


def view(value, target=None, intervention=()) -> EpisodeView:
    """Certain predictions of the nearest of five atoms."""
    value = np.array(value, np.float32)
    probs = np.eye(5, dtype=np.float32)[np.round((value + 1) * 4).astype(int)]
    operator = np.isin(np.arange(len(value)), intervention)
    return EpisodeView("an episode", value, probs, FIVE, target, operator)


def test_strokes_are_green_where_v_rises_and_red_where_it_drops():
    segments, colours = value_segments(np.array([-0.9, -0.5, -0.7, -0.7], np.float32))
    assert colours == [RISE, DROP, HOLD]
    expected = [[[0, -0.9], [1, -0.5]], [[1, -0.5], [2, -0.7]], [[2, -0.7], [3, -0.7]]]
    np.testing.assert_allclose(segments, expected, atol=1e-6)


def test_noise_is_neither_rise_nor_drop():
    """A value that wobbles by a millionth, or slower than a hundredth of the episode's mean pace, holds."""
    noise = -0.5 + 1e-6 * np.random.default_rng(0).standard_normal(2000)
    assert set(value_segments(noise.astype(np.float32))[1]) == {HOLD}
    assert set(value_segments(np.linspace(-0.505, -0.5, 100))[1]) == {HOLD}  # a two-hundredth of the range
    assert set(value_segments(np.linspace(-0.52, -0.5, 100))[1]) == {RISE}
    assert set(value_segments(np.linspace(0, -1, 5000))[1]) == {DROP}
    assert "V holds" in drawn(view([-1, -1])).get_legend_handles_labels()[1]


def test_the_strip_has_one_scale():
    """A distribution that knows nothing is pale, however it compares with itself; a fifth of the mass is darkest."""
    uniform, sure = np.full((3, 201), 1 / 201), np.eye(201)[[5, 6, 7]]
    np.testing.assert_allclose(strip_strength(uniform), 40**-0.5, rtol=1e-6)
    assert strip_strength(sure).max() == 1.0
    np.testing.assert_allclose(strip_strength(np.full((1, 201), 0.05))[0, 0], (0.05 / (40 / 201)) ** 0.5, rtol=1e-6)
    (image,) = drawn(EpisodeView("", np.zeros(3), uniform, Support(), None, np.zeros(3, bool))).images
    assert image.get_clim() == (0.0, 1.0)
    assert np.asarray(image.get_array()).max() < 0.16


def drawn(episode: EpisodeView):
    from matplotlib.figure import Figure

    axes = Figure().add_subplot()
    draw_value(axes, episode)
    return axes


def test_the_strip_shows_each_atom_at_its_height():
    (image,) = drawn(view([-1.0, -0.5, 0.0])).images
    assert image.get_extent() == pytest.approx([-0.5, 2.5, -1.125, 0.125])
    np.testing.assert_array_equal(np.asarray(image.get_array()), np.eye(5)[[0, 2, 4]].T)
    assert image.origin == "lower"


def test_label_and_shading_are_named_only_where_there_are_any():
    def names(episode):
        return drawn(episode).get_legend_handles_labels()[1]

    assert names(view([-1, -0.5])) == ["V rises", "V drops"]
    everything = view([-1, -0.5, 0], np.array([-1, -0.5, 0], np.float32), intervention=[1])
    assert names(everything) == ["V rises", "V drops", "label", "operator drives"]


@pytest.mark.parametrize(
    ("frames", "expected"), [([], []), ([0, 1, 4], [(0, 2), (4, 5)]), ([5], [(5, 6)]), (range(6), [(0, 6)])]
)
def test_spans_of_interventions(frames, expected):
    assert intervention_spans(np.isin(np.arange(6), list(frames))) == expected


@pytest.mark.parametrize(("height", "width"), [(48, 64), (64, 48), (30, 30), (37, 101)])
def test_borders_are_cut_where_they_were_added(height, width):
    """A white picture has black borders when it is fitted into a square, and none afterwards."""
    padded = resize_frame(np.full((height, width, 3), 255, np.uint8), 28, "pad")
    cut = without_padding(padded, height, width)
    assert cut.min() > 250
    assert cut.size == (padded > 250).sum()
    assert without_padding(np.stack([padded] * 2), height, width).shape == (2, *cut.shape)


def shows(pixels, colour: str) -> bool:
    wanted = [int(colour[i : i + 2], 16) for i in (1, 3, 5)]
    return bool((np.abs(pixels.astype(int) - wanted).max(axis=-1) < 25).any())


def test_everything_is_in_the_file(tmp_path):
    episode = view([-0.9, -0.2, -0.6, -0.1], np.linspace(-1, 0, 4, dtype=np.float32), intervention=[0, 1, 2])
    pictures = {name: np.zeros((4, 6, 8, 3), np.uint8) for name in ("front", "wrist")}
    pictures["front"][..., 0], pictures["wrist"][..., 1] = 200, 100
    pixels = np.asarray(Image.open(draw_episode(episode, pictures, tmp_path / "e.png")).convert("RGB"))
    for colour in (RISE, DROP, LABEL, "#c80000", "#006400"):
        assert shows(pixels, colour), colour
    assert pixels.shape[1] == pytest.approx(1100, abs=2)
    assert 650 < pixels.shape[0] < 750

    plain = view([-0.9, -0.2, -0.6, -0.1])
    without = np.asarray(Image.open(draw_episode(plain, pictures, tmp_path / "plain.png")).convert("RGB"))
    # Amber at 35 % on the strip's lightest blue, which nothing else has.
    lightest = (247, 251, 255)
    amber = [0.65 * base + 0.35 * int(INTERVENTION[i : i + 2], 16) for base, i in zip(lightest, (1, 3, 5))]
    assert (np.abs(pixels.astype(int) - amber).max(axis=-1) < 3).sum() > 500
    assert (np.abs(without.astype(int) - amber).max(axis=-1) < 3).sum() == 0
