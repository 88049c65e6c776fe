"""Small models of pictures that learn from scratch, in the Meta-World benchmark."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

pytest.importorskip("sklearn")

from simulated import keypoints, packed
from simulated.sight import RECIPES, Recipe, Sight, Size, shifted
from simulated.tower import Towers, TowerSize, places
from simulated.truth import Truth

from pistar_vf.testing.lerobot_writer import EpisodeData, write_lerobot_v21

LENGTHS = np.array([6, 4, 7, 5])
COLOURS = np.array([[200, 40, 40], [40, 200, 40], [40, 40, 200], [120, 120, 120]])


def truth_of(lengths: np.ndarray) -> Truth:
    count, rng = int(lengths.sum()), np.random.default_rng(0)
    return Truth(
        tasks=np.array(["drawer-open-v3", "pick-place-v3"]),
        task=np.arange(len(lengths)) % 2,
        kind=np.array(["clean"] * len(lengths)),
        onset=np.full(len(lengths), -1),
        succeeded=np.arange(len(lengths)) % 3 == 0,
        lengths=lengths,
        progress=np.linspace(0, 1, count),
        observation=rng.standard_normal((count, 39)),
        action=rng.standard_normal((count, 4)),
    )


@pytest.mark.parametrize(("kernel", "stride", "side"), [(5, 2, 8), (3, 2, 7), (3, 1, 6)])
def test_a_product_is_the_convolution(kernel, stride, side):
    """Against `jax.lax`."""
    rng = np.random.default_rng(0)
    x = jnp.asarray(rng.standard_normal((2, side, side, 3)), jnp.float32)
    weight, bias = rng.standard_normal((kernel * kernel * 3, 4)).astype(np.float32), np.arange(4, dtype=np.float32)
    expected = jax.lax.conv_general_dilated(
        x,
        jnp.asarray(weight.reshape(kernel, kernel, 3, 4)),
        (stride, stride),
        [(kernel // 2, kernel // 2)] * 2,
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
    )
    found = keypoints._convolution((jnp.asarray(weight), jnp.asarray(bias)), x, kernel, stride)
    np.testing.assert_allclose(found, np.asarray(expected) + bias, atol=1e-4)


def test_a_picture_moves_as_a_whole():
    """A picture of its own coordinates: all of them move by the same number."""
    rows, columns = np.meshgrid(np.arange(20), np.arange(20), indexing="ij")
    picture = np.stack([rows, columns, rows], axis=-1).astype(np.uint8)
    moved = np.asarray(shifted(jax.random.key(0), jnp.asarray(np.tile(picture, (3, 2, 1, 1, 1))), 4)).astype(int)
    inside = moved[:, :, 8:12, 8:12] - picture[8:12, 8:12].astype(int)
    by = inside[:, :, 0, 0]
    assert (inside == by[:, :, None, None]).all()
    assert np.abs(by).max() <= 4
    assert len({tuple(own) for own in by[..., :2].reshape(-1, 2)}) > 3


def test_packed_episodes_come_back_in_their_order(tmp_path):
    """Of one colour per episode, the wrist's the opposite: known again after two codecs, to a few levels."""
    truth = truth_of(LENGTHS)

    def episodes():
        for number, (length, colour) in enumerate(zip(LENGTHS, COLOURS, strict=True)):
            plain = np.broadcast_to(colour.astype(np.uint8), (length, 112, 112, 3))
            yield EpisodeData(
                columns={"observation.state": np.zeros((length, 4), np.float32)},
                images={"observation.images.corner": plain, "observation.images.wrist": 255 - plain},
                task=f"task {number % 2}",
            )

    write_lerobot_v21(tmp_path / "data" / "dataset", episodes(), fps=20)
    truth.write(tmp_path / "data" / "truth.npz")
    packed.pack(tmp_path / "data", tmp_path / "packed")
    found, pixels = packed.read([tmp_path / "packed", tmp_path / "packed"])
    assert pixels.shape == (2 * LENGTHS.sum(), 2, 64, 64, 3)
    expected = np.tile(np.repeat(COLOURS, LENGTHS, axis=0), (2, 1))
    for camera, wanted in enumerate((expected, 255 - expected)):
        assert np.abs(pixels[:, camera].mean((1, 2)) - wanted).max() < 6
    assert found.lengths.tolist() == [*LENGTHS, *LENGTHS]
    np.testing.assert_array_equal(found.observation, np.concatenate([truth.observation] * 2))


@pytest.fixture(scope="module")
def sight():
    """Looks at its targets before the last of three updates."""
    truth = truth_of(np.full(8, 5))
    pixels = np.random.default_rng(0).integers(0, 256, (40, 2, 16, 16, 3), dtype=np.uint8)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("simulated.descent.CHUNK", 1)
        yield Sight(truth, pixels, Size(folds=2, members=2, steps=3, batch=4))


def test_no_model_learns_from_what_it_judges(sight):
    for fold in range(2):
        learned = sight._learned(Recipe(), fold)
        assert not (learned & (sight._fold == fold)).any()
        assert learned.any()
    few = sight._learned(Recipe(episodes=3), 0)
    assert not few[3:].any()


def test_values_of_every_frame(sight):
    """In the support, and other ones after other training."""
    recipe = RECIPES["foresight, mixed"]
    found = sight.values(recipe)
    assert found.shape == (40,)
    assert ((found > -1) & (found < 0)).all()
    np.testing.assert_array_equal(found, sight.values(recipe))
    for other in (sight.values(recipe, seed=1), sight.values(RECIPES["foresight, mixed, TD"])):
        assert (found != other).any()  # the same training gives the same bits, see above


def test_where_a_tower_sees_things():
    """A bright spot for the object and one for the goal, in scenes and then in other pictures."""
    rng = np.random.default_rng(0)

    def scenes(count: int) -> tuple[Truth, np.ndarray]:
        truth, where = truth_of(np.array([count])), rng.integers(2, 14, (count, 2, 2))
        pixels = np.zeros((count, 2, 16, 16, 3), np.uint8)
        for frame, spots in enumerate(where):
            for colour, (row, column) in enumerate(spots):
                pixels[frame, :, row - 1 : row + 2, column - 1 : column + 2, colour] = 255
        truth.observation[:, 4:6], truth.observation[:, 36:38] = where[:, 0], where[:, 1]
        truth.observation[:, [6, 38]] = 0
        return truth, pixels

    towers = Towers(*scenes(400), TowerSize(members=1, steps=250, batch=24))
    truth, pixels = scenes(50)
    missed = np.abs(towers.places(truth, pixels)[0] - places(truth))[:, [0, 1, 3, 4]]
    assert np.median(missed) < 1  # of the 12 places along a side; a guess in the middle misses by 3


def test_values_of_what_a_tower_sees():
    """No picture is looked at, and what was seen decides."""
    truth, size = truth_of(np.full(8, 5)), Size(folds=2, members=1, steps=2, batch=4)
    nothing, rng = np.zeros((40, 0, 16, 16, 3), np.uint8), np.random.default_rng(0)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("simulated.descent.CHUNK", 1)
        one, other = (
            Sight(truth, nothing, size, rng.standard_normal((40, 6))).values(RECIPES["a tower's places, mixed"])
            for _ in range(2)
        )
    assert one.shape == (40,)
    assert (one != other).any()


def test_scenes_are_packed_as_they_were_told(tmp_path):
    pytest.importorskip("metaworld", reason="needs the extra `simulation`: pip install -e '.[simulation]'")
    from simulated.scenes import APART, draw_scenes

    draw_scenes({"pick-place-v3": 2}, tmp_path)
    truth, pixels = packed.read([tmp_path])
    assert len(pixels) == len(truth.observation) == truth.lengths.sum()
    assert (truth.lengths <= 160 // APART + 1).all()
    moved = np.linalg.norm(np.diff(truth.observation[: truth.lengths[0], :3], axis=0), axis=1)
    assert moved.max() > 0.01


def test_the_mean_of_all_values_in_a_file(tmp_path):
    """Of the frames that are judged alone; a file may hold those of further episodes."""
    from sight import Judge

    path = tmp_path / "values.npz"
    np.savez(path, one=np.array([-0.5, -1.0, 9.0]), other=np.array([-0.25, 0.0, 9.0]))
    assert set(Judge(tmp_path, path)._values(2)) == {"one", "other"}
    np.testing.assert_array_equal(Judge(tmp_path, path, mean=True)._values(2)["mean"], [-0.375, -0.5])


def test_a_tower_s_recipe_needs_what_it_saw(tmp_path):
    from sight import Train

    with pytest.raises(
        SystemExit, match='--seen: expected what `look` wrote, for the recipe "a tower\'s places, mixed"'
    ):
        Train((tmp_path,), tmp_path / "values.npz", recipes=("a tower's places, mixed",)).run()
    assert not list(tmp_path.iterdir())
