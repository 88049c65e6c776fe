"""Training that starts from weights: every source, bfloat16 for what is frozen, and no start from what does not fit."""

import logging

import numpy as np
import orbax.checkpoint as ocp
import pytest

from pistar_vf.cli.train import parse_config
from pistar_vf.errors import CheckpointError, ConfigError
from pistar_vf.inference.predictor import load_value_model
from pistar_vf.params import flatten
from pistar_vf.recipes.run import run_training
from pistar_vf.testing.tiny import tiny_model_config, tiny_train_config
from pistar_vf.weights.convert import convert_weights

pytestmark = pytest.mark.usefixtures("small_and_fast")


def stored(path):
    tree = ocp.PyTreeCheckpointer().restore(str(path))
    return flatten(tree["params"])


@pytest.fixture
def config(trained_run, tmp_path):
    """One step with a learning rate too small to move anything, everything but the head frozen."""
    return trained_run.config.replace(
        checkpoint_dir=tmp_path / "run",
        num_train_steps=1,
        val_interval=0,
        peak_lr=0.0,
        decay_lr=0.0,
        weight_decay=0.0,
        freeze_mode="all_backbones",
    )


def test_a_run_starts_from_another_runs_checkpoint(trained_run, config, caplog):
    config = config.replace(
        pretrained_source="checkpoint", pretrained_path=(trained_run.checkpoint,), pretrained_key="ema_params"
    )
    with caplog.at_level(logging.INFO):
        found = stored(run_training(config))
    expected = flatten(ocp.PyTreeCheckpointer().restore(str(trained_run.checkpoint))["ema_params"])
    assert found.keys() == expected.keys()
    for name, leaf in expected.items():
        np.testing.assert_array_equal(found[name], leaf, err_msg=name)
    assert "加载 SigLIP + Gemma3-270M 预训练权重..." in caplog.text
    assert "(key=ema_params, step=4)" in caplog.text
    assert "start random" not in caplog.text


def test_towers_from_hugging_face_in_bfloat16_and_resumed(trained_run, config, tmp_path, caplog):
    """Frozen matrices are the file's own bits; norms and biases stay float32; a resumed run keeps both."""
    convert_weights([trained_run.checkpoint], tmp_path / "hf", "huggingface", tiny_model_config(), dtype="bfloat16")
    config = config.replace(
        pretrained_source="huggingface",
        pretrained_path=(tmp_path / "hf" / "gemma-3-270m", tmp_path / "hf" / "siglip"),
        frozen_dtype="bfloat16",
    )
    with caplog.at_level(logging.INFO):
        checkpoint = run_training(config)
    assert "start random: cross_attention, cross_attn_norm, img_projection, state_projection, value_head" in caplog.text
    found, original = stored(checkpoint), stored(trained_run.checkpoint)
    kernel, scale = "llm/layer_0/attn/q_einsum/w", "llm/layer_0/pre_ffw_norm/scale"
    assert (found[kernel].dtype, found[scale].dtype) == ("bfloat16", "float32")
    np.testing.assert_array_equal(found[kernel], np.asarray(original[kernel]).astype(found[kernel].dtype))
    assert found["value_head/linear1/kernel"].dtype == "float32"
    assert {str(leaf.dtype) for leaf in flatten(load_value_model(checkpoint).params).values()} == {"float32"}

    longer = config.replace(num_train_steps=2, resume_from_checkpoint="latest")
    resumed = stored(run_training(longer))
    assert resumed[kernel].dtype == "bfloat16"
    np.testing.assert_array_equal(resumed[kernel], found[kernel])
    with pytest.raises(ConfigError, match=r"− frozen_dtype: bfloat16\n\+ frozen_dtype: float32"):
        run_training(longer.replace(num_train_steps=3, frozen_dtype="float32"))


def test_training_does_not_start_from_weights_that_do_not_fit(trained_run, config, tmp_path):
    config = config.replace(
        pretrained_source="checkpoint", pretrained_path=(trained_run.checkpoint,), state_encoding="none"
    )
    with pytest.raises(CheckpointError, match=r"\+ params/state_projection/kernel .*\n"):
        run_training(config)
    assert not list((tmp_path / "run").glob("step_*"))


def test_a_path_needs_a_source(trained_run, config):
    config = config.replace(pretrained_path=(trained_run.checkpoint,))
    with pytest.raises(ConfigError, match=r"--pretrained_path .*: expected --pretrained_source with it"):
        run_training(config)


def test_the_bare_flag_is_the_bundle(config, tmp_path, monkeypatch):
    monkeypatch.setenv("OPENPI_VLM_CKPT_DIR", str(tmp_path / "nowhere"))
    message = "expected gemma-3-270m/step_00020000 of the VLM bundle at .*nowhere, found nothing"
    with pytest.raises(CheckpointError, match=message):
        run_training(config.replace(load_pretrained=True))


def test_the_flags():
    words = ["--data_dir", "d", "--checkpoint_dir", "c", "--load_pretrained", "--pretrained_source", "huggingface"]
    words += ["--pretrained_path", "a", "b", "--pretrained_key", "ema_params", "--frozen_dtype", "bfloat16"]
    config = parse_config([*words, "--allow_uninformative_tower"])
    assert config.load_pretrained
    assert config.pretrained_source == "huggingface"
    assert [str(path) for path in config.pretrained_path] == ["a", "b"]
    assert (config.pretrained_key, config.frozen_dtype) == ("ema_params", "bfloat16")
    assert config.allow_uninformative_tower


def test_a_tiny_config_has_no_pretrained_weights(tmp_path):
    config = tiny_train_config("d", tmp_path)
    assert (config.load_pretrained, config.pretrained_source, config.pretrained_path) == (False, None, ())
