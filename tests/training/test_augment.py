"""Augmentation against scipy's resampling and the standard library's colour conversion."""

import colorsys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.ndimage

from pistar_vf.training.augment import CROP, augment_images, crop_and_rotate, jitter_colour


def _image(seed=0, height=17, width=23):
    return np.random.default_rng(seed).uniform(0, 1, (height, width, 3)).astype(np.float32)


def _scipy_crop_and_rotate(image, offset, angle):
    """One affine map of output to input coordinates; black outside."""
    size = np.array(image.shape[:2])
    centre = (size - 1) / 2
    rotation = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    matrix = CROP * rotation
    shift = centre + np.asarray(offset) * size * (1 - CROP) / 2 - matrix @ centre
    channels = [
        scipy.ndimage.affine_transform(image[..., c], matrix, shift, order=1, mode="grid-constant") for c in range(3)
    ]
    return np.stack(channels, axis=-1)


@pytest.mark.parametrize(
    ("offset", "angle"), [((0.0, 0.0), 0.0), ((1.0, -0.4), 0.0), ((0.3, 0.8), 0.08), ((-1.0, 1.0), -0.087)]
)
def test_geometry_equals_scipy(offset, angle):
    image = _image()
    actual = crop_and_rotate(jnp.asarray(image), jnp.array(offset), jnp.float32(angle))
    np.testing.assert_allclose(actual, _scipy_crop_and_rotate(image, offset, angle), atol=1e-5)


def test_an_offset_moves_the_picture_by_half_the_free_margin():
    """100 pixels leave a margin of 5, half of it on each side; on a ramp of one grey level per pixel that shows."""
    ramp = jnp.broadcast_to(jnp.arange(100.0)[:, None, None], (100, 100, 3))
    centred = crop_and_rotate(ramp, jnp.array([0.0, 0.0]), jnp.float32(0.0))
    for offset in (-0.9, 0.9):
        moved = crop_and_rotate(ramp, jnp.array([offset, 0.0]), jnp.float32(0.0))
        np.testing.assert_allclose((moved - centred)[5:95], 2.5 * offset, atol=1e-4)
    # Neighbouring rows lie 0.95 apart: the crop is enlarged.
    np.testing.assert_allclose(np.diff(centred[:, 0, 0]), 0.95, atol=1e-4)


def _colorsys_jitter(pixel, brightness, contrast, hue_shift):
    hue, saturation, value = colorsys.rgb_to_hsv(*(float(c) for c in pixel))
    target = 1.0 if brightness > 0 else 0.0
    value += abs(brightness) * (target - value)
    slope = np.tan((contrast + 1) * np.pi / 4)
    # The middle segment through (1/2, 1/2) meets the end segments, of the inverse slope, at the two knees.
    knee = np.linalg.solve([[slope, -1.0], [1 / slope, -1.0]], [(slope - 1) / 2, 0.0])
    value = np.interp(value, [0.0, knee[0], 1 - knee[0], 1.0], [0.0, knee[1], 1 - knee[1], 1.0])
    return colorsys.hsv_to_rgb((hue + hue_shift) % 1.0, saturation, value)


@pytest.mark.parametrize(
    ("brightness", "contrast", "hue"),
    [(0.3, 0.4, 0.1), (-0.3, -0.4, -0.1), (0.2, -0.1, 0.07), (-0.25, 0.05, 0.0)],
)
def test_colour_jitter_equals_colorsys_pixel_by_pixel(brightness, contrast, hue):
    image = _image()
    # Greys, black, white and pure colours, where hue or saturation is undefined or at an end.
    image[0, :8] = [[0, 0, 0], [1, 1, 1], [0.4, 0.4, 0.4], [1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 1, 0], [1, 0, 1]]
    jittered = jitter_colour(jnp.asarray(image), *(jnp.float32(x) for x in (brightness, contrast, hue)))
    expected = [_colorsys_jitter(pixel, brightness, contrast, hue) for pixel in image.reshape(-1, 3)]
    np.testing.assert_allclose(np.reshape(jittered, (-1, 3)), expected, atol=2e-5)


def test_colour_jitter_of_nothing_changes_nothing():
    image = _image()
    zero = jnp.float32(0.0)
    np.testing.assert_allclose(jitter_colour(jnp.asarray(image), zero, zero, zero), image, atol=2e-6)


def test_contrast_literals():
    """Slope tan(0.35 π) = 1.9626 in the middle: 0.5 stays, 0.6 → 0.69626; the ends stay."""
    greys = jnp.broadcast_to(jnp.array([0.0, 0.5, 0.6, 1.0])[:, None, None], (4, 1, 3))
    result = jitter_colour(greys, jnp.float32(0.0), jnp.float32(0.4), jnp.float32(0.0))
    np.testing.assert_allclose(result[:, 0, 0], [0.0, 0.5, 0.69626, 1.0], atol=1e-5)


_augment = jax.jit(augment_images)


def _checkerboards():
    """64 images for each of two cameras, of two colours only, so that interpolation would show as a third."""
    board = np.indices((8, 8)).sum(0) % 2
    image = np.array([[0.5, -0.2, 0.1], [-0.6, 0.3, 0.0]], np.float32)[board]
    return {name: jnp.asarray(np.broadcast_to(image, (64, 8, 8, 3))) for name in ("base", "left_wrist")}


@pytest.fixture(scope="module")
def augmented():
    return {name: np.asarray(image) for name, image in _augment(jax.random.key(0), _checkerboards()).items()}


def _num_colours(image):
    return len(np.unique(np.round(image.reshape(-1, 3), 4), axis=0))


def test_wrist_cameras_keep_their_geometry_and_others_do_not(augmented):
    assert {_num_colours(image) for image in augmented["left_wrist"]} == {2}
    assert min(_num_colours(image) for image in augmented["base"]) > 2


def test_half_of_the_images_keep_their_colours(augmented):
    change = np.abs(augmented["left_wrist"] - np.asarray(_checkerboards()["left_wrist"])).max((1, 2, 3))
    # 64 fair coins: 20 … 44 is three standard deviations around 32.
    assert 20 <= np.sum(change < 1e-6) <= 44


def test_every_image_draws_its_own_numbers(augmented):
    assert len(np.unique(augmented["base"].reshape(64, -1), axis=0)) == 64


def test_cameras_draw_different_numbers():
    image = _checkerboards()["base"]
    result = _augment(jax.random.key(0), {"base": image, "side": image})
    assert np.all(np.any(np.asarray(result["base"] != result["side"]), axis=(1, 2, 3)))


def test_the_same_key_gives_the_same_images_and_another_key_others(augmented):
    again, other = (_augment(jax.random.key(seed), _checkerboards())["base"] for seed in (0, 1))
    np.testing.assert_array_equal(augmented["base"], again)
    assert np.all(np.any(np.asarray(augmented["base"] != other), axis=(1, 2, 3)))


def test_pixels_stay_in_range():
    rng = np.random.default_rng(0)
    images = {
        name: jnp.asarray(rng.choice([-1.0, 0.3, 1.0], x.shape), jnp.float32) for name, x in _checkerboards().items()
    }
    for image in _augment(jax.random.key(1), images).values():
        assert np.abs(image).max() <= 1.0 + 1e-6
        assert image.dtype == jnp.float32


def test_drawn_hue_shifts_fill_a_tenth_of_the_circle_to_both_sides():
    """Pure red stays fully saturated, so its hue after the jitter is the shift that was drawn."""
    red = jnp.broadcast_to(jnp.array([1.0, -1.0, -1.0]), (256, 1, 1, 3))
    result = np.asarray(_augment(jax.random.key(2), {"wrist": red})["wrist"])[:, 0, 0] / 2 + 0.5
    hues = np.array([(colorsys.rgb_to_hsv(*(float(c) for c in pixel))[0] + 0.5) % 1.0 - 0.5 for pixel in result])
    assert hues.min() == pytest.approx(-0.1, abs=0.005)
    assert hues.max() == pytest.approx(0.1, abs=0.005)
    assert np.abs(hues).max() <= 0.1 + 1e-5


def test_drawn_brightness_and_contrast_fill_their_ranges():
    """Black becomes brightest at brightness 0.3 and contrast -0.4: tan(0.15 π) (0.3 - 0.5) + 0.5 = 0.398."""
    black = jnp.full((8192, 1, 1, 3), -1.0)
    result = np.asarray(_augment(jax.random.key(3), {"wrist": black})["wrist"]) / 2 + 0.5
    assert result.max() == pytest.approx(np.tan(0.15 * np.pi) * -0.2 + 0.5, abs=0.01)


def test_drawn_angles_stay_below_five_degrees():
    """A bright column far from the centre of a tall image moves sideways by the sine of the angle."""
    height, width = 101, 41
    image = np.full((256, height, width, 3), -1.0, np.float32)
    image[:, :, 20] = 1.0
    result = np.asarray(_augment(jax.random.key(5), {"base": jnp.asarray(image)})["base"]).sum(-1)
    columns = result.argmax(-1)
    slopes = (columns[:, -1] - columns[:, 0]) / (height - 1)
    assert np.abs(np.degrees(np.arctan(slopes))).max() == pytest.approx(5.0, abs=0.6)
