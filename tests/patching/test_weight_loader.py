"""Patch 1's loader, which stands on this library's. Oracle: the numbers that were written into the bundle."""

import numpy as np
import pytest
from support.mini_upstream import run_script

from pistar_vf.models import gemma3, siglip
from pistar_vf.models.value_model import ValueModelConfig
from pistar_vf.params import flatten, unflatten
from pistar_vf.testing.fake_weights import random_params, write_fake_bundle
from pistar_vf.testing.tiny import tiny_model_config


@pytest.fixture
def loader(fork, apply, monkeypatch):
    """The patched fork's class, for models of tiny sizes."""
    sizes = tiny_model_config()
    monkeypatch.setitem(siglip.VARIANTS, "So400m/14", sizes.siglip)
    monkeypatch.setitem(gemma3.VARIANTS, "gemma3_270m", sizes.gemma)
    apply(fork)
    return run_script(fork, "scripts/train_value.py", name="train")["ValueModelWeightLoader"]()


@pytest.fixture
def written(loader, tmp_path, monkeypatch):
    """The leaves of a bundle, which the environment variable names."""
    del loader  # after the sizes are set
    cameras = ("base_0_rgb", "wrist_0_rgb")
    model = ValueModelConfig(
        siglip.VARIANTS["So400m/14"], gemma3.VARIANTS["gemma3_270m"], cameras=cameras, state_encoding="none"
    )
    params = random_params(model)
    write_fake_bundle(tmp_path / "bundle", params, base_weights=True)
    monkeypatch.setenv("OPENPI_VLM_CKPT_DIR", str(tmp_path / "bundle"))
    return params


def upstream_tree(params):
    """Zeros, with a counter of random numbers beside them, as upstream's state has it."""
    return unflatten({name: np.zeros_like(leaf) for name, leaf in params.items()} | {"rngs/count": np.uint32(3)})


def test_the_value_model_of_the_bundle(loader, written):
    loaded = flatten(loader.load(upstream_tree(written)))
    assert loaded.pop("rngs/count") == 3
    assert set(loaded) == set(written)
    for name, leaf in written.items():
        np.testing.assert_array_equal(loaded[name], leaf)


def test_the_base_weights(loader, written, monkeypatch):
    monkeypatch.setenv("PISTAR_VF_PRETRAINED", "base")
    loaded = flatten(loader.load(upstream_tree(written)))
    np.testing.assert_array_equal(loaded["img/embedding/kernel"], written["img/embedding/kernel"])
    assert not loaded["value_head/linear2/kernel"].any()


def test_a_model_of_another_shape_is_refused(loader, written):
    tree = upstream_tree(written)
    tree["img"]["embedding"]["bias"] = np.zeros(3)
    with pytest.raises(
        ValueError, match=r"img/embedding/bias: expected a leaf of shape \(16,\) in the model, got \(3,\)"
    ):
        loader.load(tree)
    del tree["img"]["embedding"]["bias"]
    with pytest.raises(ValueError, match=r"img/embedding/bias: .* got none"):
        loader.load(tree)
