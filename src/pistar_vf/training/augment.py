"""Random crop, rotation and colour jitter on the accelerator, inside the jitted training step.

Strengths are what openpi's training does: every camera that is not on a wrist is cropped to 95 % and rotated by up to
5°, and half of all images have brightness (±0.3), contrast (±0.4) and hue (±0.1 turns) changed in HSV space. openpi
asks for a saturation change as well, but the library it calls computes and drops it; applied, it paints grey surfaces
in random colours, so it is left out here too.
Crop, resize and rotation are one bilinear resampling, so an image is interpolated once.
"""

from collections.abc import Mapping

import jax
import jax.numpy as jnp

from pistar_vf.typing import Array, Float, PRNGKeyArray

CROP = 0.95
MAX_ROTATION_RADIANS = 5.0 * jnp.pi / 180.0
BRIGHTNESS, CONTRAST, HUE = 0.3, 0.4, 0.1
JITTER_PROBABILITY = 0.5


def augment_images(
    key: PRNGKeyArray, images: Mapping[str, Float[Array, "b h w 3"]]
) -> dict[str, Float[jax.Array, "b h w 3"]]:
    """Augments every camera's images, each image with its own random numbers.

    Args:
        key: source of randomness.
        images: camera name to pixels in [-1, 1]; cameras with "wrist" in their name keep their geometry.

    Returns:
        Images of the same shapes, in [-1, 1]; what a rotation uncovers is black.
    """
    result: dict[str, jax.Array] = {}
    for index, (name, image) in enumerate(sorted(images.items())):
        keys = jax.random.split(jax.random.fold_in(key, index), image.shape[0])
        geometric = "wrist" not in name
        augment = jax.vmap(lambda k, x, geometric=geometric: _augment_one(k, x, geometric))
        result[name] = augment(keys, jnp.asarray(image))
    return result


def _augment_one(key: PRNGKeyArray, image: Float[jax.Array, "h w 3"], geometric: bool) -> Float[jax.Array, "h w 3"]:
    key_geometry, key_apply, key_colour = jax.random.split(key, 3)
    image = image / 2.0 + 0.5
    if geometric:
        image = crop_and_rotate(image, *_draw_geometry(key_geometry))
    jitter = jax.random.uniform(key_colour, (3,), minval=-1.0, maxval=1.0)
    jittered = jitter_colour(image, *(jitter * jnp.array([BRIGHTNESS, CONTRAST, HUE])))
    image = jnp.where(jax.random.bernoulli(key_apply, JITTER_PROBABILITY), jittered, image)
    return image * 2.0 - 1.0


def _draw_geometry(key: PRNGKeyArray) -> tuple[Float[jax.Array, " 2"], Float[jax.Array, ""]]:
    """Crop offset as a fraction of the free margin in [-1, 1] (y, x), and the angle in radians."""
    key_offset, key_angle = jax.random.split(key)
    offset = jax.random.uniform(key_offset, (2,), minval=-1.0, maxval=1.0)
    return offset, jax.random.uniform(key_angle, (), minval=-MAX_ROTATION_RADIANS, maxval=MAX_ROTATION_RADIANS)


def crop_and_rotate(
    image: Float[jax.Array, "h w 3"], offset: Float[jax.Array, " 2"], angle: Float[jax.Array, ""]
) -> Float[jax.Array, "h w 3"]:
    """The `CROP` part of the image at `offset`, scaled back to full size and rotated about its centre.

    Args:
        image: pixels in [0, 1].
        offset: position of the crop (y, x), -1 and 1 being the two edges, 0 the centre.
        angle: radians.
    """
    height, width = image.shape[:2]
    centre_y, centre_x = (height - 1) / 2.0, (width - 1) / 2.0
    y, x = jnp.meshgrid(jnp.arange(height) - centre_y, jnp.arange(width) - centre_x, indexing="ij")
    cos, sin = jnp.cos(angle), jnp.sin(angle)
    source_y = CROP * (cos * y + sin * x) + offset[0] * (1 - CROP) / 2 * height + centre_y
    source_x = CROP * (cos * x - sin * y) + offset[1] * (1 - CROP) / 2 * width + centre_x
    return _sample_bilinear(image, source_y, source_x)


def _sample_bilinear(
    image: Float[jax.Array, "h w 3"], y: Float[jax.Array, "h w"], x: Float[jax.Array, "h w"]
) -> Float[jax.Array, "h w 3"]:
    """Bilinear interpolation at pixel coordinates; zero outside the image."""
    height, width = image.shape[:2]
    pixels = image.reshape(height * width, 3)
    top, left = jnp.floor(y), jnp.floor(x)
    result = jnp.zeros_like(image)
    for row, weight_y in ((top, 1 - (y - top)), (top + 1, y - top)):
        for column, weight_x in ((left, 1 - (x - left)), (left + 1, x - left)):
            inside = (row >= 0) & (row < height) & (column >= 0) & (column < width)
            index = jnp.clip(row, 0, height - 1) * width + jnp.clip(column, 0, width - 1)
            weight = jnp.where(inside, weight_y * weight_x, 0.0)
            result = result + weight[..., None] * pixels[index.astype(jnp.int32)]
    return result


def jitter_colour(
    image: Float[jax.Array, "h w 3"],
    brightness: Float[jax.Array, ""],
    contrast: Float[jax.Array, ""],
    hue: Float[jax.Array, ""],
) -> Float[jax.Array, "h w 3"]:
    """Changes an image in HSV space.

    Args:
        image: pixels in [0, 1].
        brightness: in (-1, 1); below 0 scales value towards black, above 0 towards white.
        contrast: in (-1, 1); slope of the value's middle is tan((contrast + 1) π / 4).
        hue: shift in turns of the colour circle.
    """
    value = jnp.max(image, axis=-1)
    spread = value - jnp.min(image, axis=-1)
    hue = _hue(image, value, spread) + hue
    saturation = jnp.where(value > 0, spread / jnp.where(value > 0, value, 1.0), 0.0)
    return _hsv_to_rgb(hue, saturation, _contrast(_brightness(value, brightness), contrast))


def _brightness(value: jax.Array, amount: jax.Array) -> jax.Array:
    return jnp.where(amount < 0, value * (1 + amount), value * (1 - amount) + amount)


def _contrast(value: jax.Array, contrast: jax.Array) -> jax.Array:
    """A continuous piecewise linear curve through (0, 0), (½, ½) and (1, 1), steeper or flatter in the middle."""
    slope = jnp.tan((contrast + 1) * jnp.pi / 4)
    # (slope - slope²) / (2 (1 - slope²)) without its 0/0 at slope 1.
    knee = slope / (2 * (1 + slope))
    middle = slope * (value - 0.5) + 0.5
    return jnp.where(value < knee, value / slope, jnp.where(value > 1 - knee, (value - 1) / slope + 1, middle))


def _hue(image: jax.Array, value: jax.Array, spread: jax.Array) -> jax.Array:
    """Hue in turns; 0 for greys."""
    red, green, blue = image[..., 0], image[..., 1], image[..., 2]
    safe = jnp.where(spread > 0, spread, 1.0)
    sextant = jnp.where(
        value == red,
        (green - blue) / safe,
        jnp.where(value == green, 2 + (blue - red) / safe, 4 + (red - green) / safe),
    )
    return jnp.where(spread > 0, sextant / 6, 0.0)


def _hsv_to_rgb(hue: jax.Array, saturation: jax.Array, value: jax.Array) -> jax.Array:
    position = jnp.mod(jnp.array([5.0, 3.0, 1.0]).reshape((1,) * hue.ndim + (3,)) + hue[..., None] * 6, 6)
    ramp = jnp.clip(jnp.minimum(position, 4 - position), min=0.0, max=1.0)
    return value[..., None] * (1 - saturation[..., None] * ramp)
