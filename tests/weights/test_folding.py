"""The two repairs on the way in, against two plain layers and against torch's own interpolation."""

import numpy as np
import pytest

from pistar_vf.weights.folding import fold_head, grid_side, resize_position_embedding


def test_one_folded_layer_equals_the_two_layers():
    rng = np.random.default_rng(0)
    head, head_bias = rng.standard_normal((6, 6), np.float32), rng.standard_normal(6, np.float32)
    kernel, bias = rng.standard_normal((6, 4), np.float32), rng.standard_normal(4, np.float32)
    x = rng.standard_normal((5, 6))
    folded, shift = fold_head(head, head_bias, kernel, bias)
    np.testing.assert_allclose(x @ folded + shift, (x @ head + head_bias) @ kernel + bias, atol=2e-6)


@pytest.mark.parametrize(("before", "after"), [(4, 7), (7, 4), (3, 3)])
def test_positions_are_interpolated_as_torch_does(before, after):
    torch = pytest.importorskip("torch", reason="torch is the oracle")
    stored = np.random.default_rng(0).standard_normal((1, before**2, 5), np.float32)
    grid = torch.from_numpy(stored).reshape(1, before, before, 5).permute(0, 3, 1, 2)
    expected = torch.nn.functional.interpolate(grid, size=(after, after), mode="bilinear", antialias=True)
    expected = expected.permute(0, 2, 3, 1).reshape(1, after**2, 5).numpy()
    np.testing.assert_allclose(resize_position_embedding(stored, after**2), expected, atol=1e-6)


def test_halving_a_grid_keeps_its_mean_and_order():
    stored = np.arange(16, dtype=np.float32).reshape(1, 16, 1)
    resized = resize_position_embedding(stored, 4)[0, :, 0]
    assert resized.mean() == pytest.approx(7.5)
    assert list(resized) == sorted(resized)


def test_grid_side():
    assert [grid_side(n) for n in (1, 4, 255, 256, 729)] == [1, 2, None, 16, 27]
