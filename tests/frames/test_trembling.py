"""Another view of the same frames: a little shifted, a little brighter or darker, and always the same."""

import numpy as np
import pytest

from pistar_vf.frames.loader import FrameTable
from pistar_vf.frames.trembling import BRIGHTNESS, TremblingFrames, tremble

PICTURE = np.random.default_rng(0).integers(20, 230, (50, 60, 3), dtype=np.uint8)


def shift_and_light(seen):
    """(down, right, light) that made `seen` from PICTURE, by trying all shifts of one pixel; of its middle."""
    middle = seen[5:-5, 5:-5].astype(np.float64)
    for down in (-1, 0, 1):
        for right in (-1, 0, 1):
            own = PICTURE[5 + down : 45 + down, 5 + right : 55 + right].astype(np.float64)
            light = (middle * own).sum() / (own**2).sum()
            if np.abs(middle - light * own).max() <= 0.6:  # rounding, of the pixels and of `light`
                return down, right, light
    raise AssertionError("neither a shift of one pixel nor a change of brightness")


def test_pictures_are_shifted_and_lit_a_little():
    found = np.array([shift_and_light(tremble(PICTURE, (seed,))) for seed in range(60)])
    assert {tuple(shift) for shift in found[:, :2].astype(int).tolist()} == {
        (down, right) for down in (-1, 0, 1) for right in (-1, 0, 1)
    }
    light = found[:, 2]
    assert np.abs(light - 1).max() <= BRIGHTNESS + 1e-3
    assert light.min() < 0.96
    assert light.max() > 1.04


def test_edges_are_repeated_and_white_stays_white():
    """Columns of 100, 104, …: shifted to the right, the first two are alike, to the left, the last two."""
    columns = np.broadcast_to(np.arange(100, 180, 4, dtype=np.uint8)[:, None], (20, 20, 3))
    alike = [np.flatnonzero(np.diff(tremble(columns, (seed,))[0, :, 0].astype(int)) == 0) for seed in range(20)]
    assert {tuple(places.tolist()) for places in alike} == {(), (0,), (18,)}
    brightest = [tremble(np.full((8, 8, 3), 255, np.uint8), (seed,)) for seed in range(20)]
    assert {int(picture.min()) for picture in brightest} >= {255}
    assert min(picture.min() for picture in brightest) >= 242


@pytest.fixture
def frames():
    pictures = np.random.default_rng(1).integers(0, 255, (6, 20, 20, 3), dtype=np.uint8)
    return FrameTable(
        cameras={"base_0_rgb": pictures, "wrist_0_rgb": None},
        image_size=20,
        labels=np.linspace(-1, 0, 6, dtype=np.float32),
        prompt_index=np.zeros(6, np.int32),
        tokens=np.ones((1, 4), np.int32),
        token_mask=np.ones((1, 4), bool),
    )


def test_only_pictures_change_and_always_the_same_way(frames):
    trembling, rows = TremblingFrames(frames), np.array([4, 2, -1])
    plain, seen = frames.gather(rows), trembling.gather(rows)
    np.testing.assert_array_equal(seen.target, plain.target)
    np.testing.assert_array_equal(seen.frame, plain.frame)
    assert trembling.labels is frames.labels
    assert trembling.state_statistics is None
    pictures = seen.observation.images["base_0_rgb"]
    assert pictures.dtype == np.uint8
    assert (pictures != plain.observation.images["base_0_rgb"]).any(axis=(1, 2, 3)).all()
    assert not seen.observation.images["wrist_0_rgb"].any()  # a camera that is not there
    again = trembling.gather(np.array([2, 5]))  # in another batch, at another place
    np.testing.assert_array_equal(again.observation.images["base_0_rgb"][0], pictures[1])
