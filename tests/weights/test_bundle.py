"""Where weights are looked for, and the warm start from a published value checkpoint."""

import dataclasses
import logging
from pathlib import Path

import numpy as np
import pytest
from support.weight_layouts import MODEL, assert_bitwise, bf16_params, load, logits

from pistar_vf.checkpoints.orbax_tree import tree_shapes
from pistar_vf.errors import CheckpointError, ConfigError
from pistar_vf.testing.fake_weights import write_fake_bundle
from pistar_vf.testing.tiny import tiny_model_config
from pistar_vf.weights.bundle import pretrained_paths

pytestmark = pytest.mark.usefixtures("small_and_fast")


@pytest.fixture(scope="module")
def params():
    return bf16_params()


@pytest.fixture(scope="module")
def bundle(params, tmp_path_factory):
    folder = tmp_path_factory.mktemp("bundle") / "vlm_ckpt"
    write_fake_bundle(folder, params, head="random", tokenizer_model=b"a tokenizer", base_weights=True)
    return folder


def test_the_places_in_the_bundle(bundle, monkeypatch):
    monkeypatch.setenv("OPENPI_VLM_CKPT_DIR", str(bundle))
    value_model = bundle / "gemma-3-270m" / "step_00020000"
    assert pretrained_paths("bundle") == [value_model]
    assert pretrained_paths("bundle", [bundle]) == [value_model]
    siglip = bundle / "siglip2-so400m-patch14-224-jax" / "siglip2_so400m14_224.npz"
    assert pretrained_paths("base") == [siglip, bundle / "gemma-3-270m"]
    assert (bundle / "tokenizer.model").read_bytes() == b"a tokenizer"


def test_the_default_place_is_in_downloads(bundle, monkeypatch):
    monkeypatch.delenv("OPENPI_VLM_CKPT_DIR", raising=False)
    monkeypatch.setenv("HOME", str(bundle.parent))
    (bundle.parent / "Downloads").mkdir()
    (bundle.parent / "Downloads" / "vlm_ckpt").symlink_to(bundle)
    found = bundle.parent / "Downloads" / "vlm_ckpt" / "gemma-3-270m" / "step_00020000"
    assert pretrained_paths("bundle") == [found]


@pytest.mark.parametrize(
    ("source", "part"),
    [("bundle", "gemma-3-270m/step_00020000"), ("base", "siglip2-so400m-patch14-224-jax/siglip2_so400m14_224.npz")],
)
def test_a_missing_bundle_says_what_belongs_where(source, part, tmp_path, monkeypatch):
    monkeypatch.setenv("OPENPI_VLM_CKPT_DIR", str(tmp_path))
    message = (
        rf"expected {part} of the VLM bundle at {tmp_path}, found nothing\. Download the bundle .*tokenizer\.model"
    )
    with pytest.raises(CheckpointError, match=message):
        pretrained_paths(source)


@pytest.mark.parametrize(
    ("source", "given", "message"),
    [
        ("bundle", ["a", "b"], "bundle expects no path, or the bundle's folder, got a, b"),
        ("base", ["a"], r"base expects no path, or the SigLIP \.npz and Google's Gemma 3 folder, got a"),
        ("huggingface", [], "huggingface expects the folders of a SigLIP and of a Gemma 3 model, got none"),
        ("checkpoint", [], "checkpoint expects a checkpoint or a training directory, got none"),
    ],
)
def test_the_number_of_paths(source, given, message):
    with pytest.raises(ConfigError, match=message):
        pretrained_paths(source, list(map(Path, given)))


def test_a_training_directory_gives_its_checkpoint(trained_run):
    root = trained_run.checkpoint.parent
    assert pretrained_paths("checkpoint", [root]) == [next((root / "best").glob("step_*"))]
    assert pretrained_paths("checkpoint", [trained_run.checkpoint]) == [trained_run.checkpoint]


def test_the_documented_log_lines(params, tmp_path, caplog):
    path = write_fake_bundle(tmp_path, params)
    with caplog.at_level(logging.INFO):
        loaded = load([path])
    assert_bitwise(loaded, params)
    first, second, third = caplog.messages
    assert first == f"Restoring checkpoint from {path}."
    assert second.startswith("Finished restoring checkpoint in ")
    count = len(params)
    assert third == f"ValueModelWeightLoader: restored {count} leaf arrays from {path} (key=params, step=20000)"


def test_the_average_is_another_tree(params, bundle):
    loaded = load(pretrained_paths("bundle", [bundle]), key="ema_params")
    np.testing.assert_array_equal(loaded["value_head/linear1/kernel"], 0.5 * params["value_head/linear1/kernel"])


def test_the_folded_head_gives_the_unfolded_models_logits(params, bundle, caplog):
    path = pretrained_paths("bundle", [bundle])
    with_head = dataclasses.replace(MODEL, siglip=dataclasses.replace(MODEL.siglip, head=True))
    assert "params/img/head/kernel" in tree_shapes(path[0])
    with caplog.at_level(logging.INFO):
        folded = load(path)
    assert folded.keys() == params.keys()
    assert "folded img/head into img_projection (exact)" in caplog.text
    assert f"restored {len(params) + 2} leaf arrays" in caplog.text
    unfolded = load(path, with_head)
    assert unfolded.keys() == params.keys() | {"img/head/kernel", "img/head/bias"}
    np.testing.assert_allclose(logits(folded), logits(unfolded, with_head), atol=1e-5)
    assert np.abs(logits(folded) - logits(params)).max() > 1e-3


def test_the_state_projection_starts_random_and_that_is_announced(bundle, caplog):
    with_state = dataclasses.replace(MODEL, state_encoding="token", state_dim=4)
    with caplog.at_level(logging.INFO):
        loaded = load(pretrained_paths("bundle", [bundle]), with_state)
    assert not any(name.startswith("state_projection/") for name in loaded)
    assert "2 leaves are not in the weights and start random: state_projection" in caplog.text


def test_a_head_of_zeros_is_refused_unless_told_otherwise(params, tmp_path):
    path = write_fake_bundle(tmp_path, params, head="zeros")
    message = r"params/img/head/kernel is all zeros, so the vision tower .* no information.*--allow_uninformative_tower"
    with pytest.raises(CheckpointError, match=message):
        load([path])
    loaded = load([path], allow_uninformative_tower=True)
    assert not np.any(loaded["img_projection/kernel"])
    np.testing.assert_array_equal(loaded["img_projection/bias"], params["img_projection/bias"])


def test_a_projection_of_zeros_is_refused_too(params, tmp_path):
    kernel = "img_projection/kernel"
    path = write_fake_bundle(tmp_path, {**params, kernel: np.zeros_like(params[kernel])})
    with pytest.raises(CheckpointError, match="params/img_projection/kernel is all zeros"):
        load([path])


def test_a_state_projection_without_a_place_is_refused(trained_run):
    """A model without state would have other values than the checkpoint it starts from."""
    model = tiny_model_config(state_encoding="none")
    with pytest.raises(CheckpointError, match=r"\+ params/state_projection/kernel"):
        load([trained_run.checkpoint], model)
