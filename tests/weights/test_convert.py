"""Conversions there and back, with plain orbax and numpy as the readers of the results."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp
import pytest
from support.weight_layouts import MODEL, TOWERS, assert_bitwise, bf16_params, held_by, load, write_layout

from pistar_vf.checkpoints.orbax_tree import write_tree
from pistar_vf.checkpoints.value_spec import load_value_spec
from pistar_vf.errors import CheckpointError, ConfigError
from pistar_vf.inference.predictor import load_value_model
from pistar_vf.models.lora import LoraConfig, merge_lora
from pistar_vf.models.value_model import ValueFunction
from pistar_vf.params import flatten, unflatten
from pistar_vf.testing.fake_weights import write_fake_bundle
from pistar_vf.weights.convert import convert_weights

pytestmark = pytest.mark.usefixtures("small_and_fast")


def stored(path):
    tree = ocp.PyTreeCheckpointer().restore(str(path))
    return {key: flatten(tree[key]) for key in ("params", "ema_params")}, sorted(tree), int(tree["step"])


@pytest.fixture(scope="module")
def params():
    return bf16_params()


@pytest.fixture(scope="module")
def checkpoint(params, tmp_path_factory):
    folder = tmp_path_factory.mktemp("converted")
    source = write_fake_bundle(folder / "bundle", params)
    return convert_weights([source], folder / "checkpoint", "checkpoint", MODEL)


def test_a_bundle_becomes_a_checkpoint_with_both_trees(params, checkpoint):
    trees, keys, step = stored(checkpoint)
    assert (keys, step) == (["ema_params", "params", "step"], 20_000)
    assert_bitwise(trees["params"], params)
    halved = {name: leaf * 0.5 if name.startswith("value_head/") else leaf for name, leaf in params.items()}
    assert_bitwise(trees["ema_params"], {name: leaf.astype(np.float32) for name, leaf in halved.items()})


@pytest.mark.parametrize("to", ["base", "huggingface", "safetensors"])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_there_and_back(params, checkpoint, tmp_path, to, dtype):
    output = convert_weights([checkpoint], tmp_path / f"out.{to}", to, MODEL, dtype=dtype)
    paths = {
        "base": [output / "siglip2-so400m-patch14-224-jax" / "siglip2_so400m14_224.npz", output / "gemma-3-270m"],
        "huggingface": [output / "siglip", output / "gemma-3-270m"],
        "safetensors": [output],
    }[to]
    assert_bitwise(load(paths), held_by(to, params))
    again = convert_weights(paths, tmp_path / "again", "checkpoint", MODEL, seed=3)
    trees, _, _ = stored(again)
    assert trees["params"].keys() == params.keys()
    assert_bitwise(
        {name: leaf for name, leaf in trees["params"].items() if name.startswith(TOWERS)},
        {name: leaf for name, leaf in params.items() if name.startswith(TOWERS)},
    )


def test_what_the_towers_lack_is_random_and_follows_the_seed(params, checkpoint, tmp_path):
    paths = write_layout("huggingface", tmp_path / "hf", params)
    heads = []
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        trees, _, _ = stored(convert_weights(paths, tmp_path / name, "checkpoint", MODEL, seed=seed))
        heads.append(np.asarray(trees["params"]["value_head/linear1/kernel"]))
    np.testing.assert_array_equal(heads[0], heads[1])
    assert np.abs(heads[0] - heads[2]).max() > 0.01


def test_a_trained_model_without_state_becomes_a_bundle(checkpoint, params, tmp_path):
    output = convert_weights([checkpoint], tmp_path / "vlm_ckpt", "bundle", MODEL)
    trees, keys, _ = stored(output / "gemma-3-270m" / "step_00020000")
    assert keys == ["ema_params", "params", "step"]
    assert_bitwise(trees["params"], params)


def test_a_model_with_state_is_no_bundle_unless_told_otherwise(trained_run, tmp_path):
    source = [trained_run.checkpoint]
    with pytest.raises(CheckpointError, match=r"this model reads the robot state, upstream's does not.*--drop_state"):
        convert_weights(source, tmp_path / "out", "bundle", MODEL)
    assert not list(tmp_path.iterdir())
    output = convert_weights(source, tmp_path / "out", "bundle", MODEL, drop_state=True)
    trees, _, step = stored(output / "gemma-3-270m" / "step_00020000")
    assert step == 4
    for key in ("params", "ema_params"):
        expected = stored(trained_run.checkpoint)[0][key]
        expected = {name: x for name, x in expected.items() if not name.startswith("state_projection/")}
        assert_bitwise(trees[key], expected)


def test_a_converted_checkpoint_of_ours_predicts_as_before(trained_run, tmp_path):
    output = convert_weights([trained_run.checkpoint], tmp_path / "copy", "checkpoint", MODEL)
    assert load_value_spec(output) == load_value_spec(trained_run.checkpoint)
    before, after = load_value_model(trained_run.checkpoint), load_value_model(output)
    assert_bitwise(flatten(after.params), flatten(before.params))
    assert after.tokenizer.digest == before.tokenizer.digest


def test_a_checkpoint_with_state_but_without_spec_keeps_its_state(trained_run, tmp_path):
    """The width of the state is read from the file."""
    without_spec = tmp_path / "all.safetensors"
    convert_weights([trained_run.checkpoint], without_spec, "safetensors", MODEL)
    model = dataclasses.replace(load_value_spec(trained_run.checkpoint).model, state_dim=0, state_encoding="none")
    trees, _, _ = stored(convert_weights([without_spec], tmp_path / "back", "checkpoint", model))
    assert_bitwise(trees["params"], stored(trained_run.checkpoint)[0]["params"])


def test_a_bundle_is_always_float32(checkpoint, tmp_path):
    with pytest.raises(ConfigError, match="--dtype bfloat16: a bundle is always float32"):
        convert_weights([checkpoint], tmp_path / "out", "bundle", MODEL, dtype="bfloat16")


def test_nothing_is_overwritten(checkpoint, tmp_path):
    (tmp_path / "out").write_text("mine")
    with pytest.raises(ConfigError, match=r"--output .*out: it exists already; choose a new path"):
        convert_weights([checkpoint], tmp_path / "out", "checkpoint", MODEL)
    assert (tmp_path / "out").read_text() == "mine"


def test_a_blind_model_is_converted_only_when_told(params, tmp_path):
    source = write_fake_bundle(tmp_path / "bundle", params, head="zeros")
    with pytest.raises(CheckpointError, match="is all zeros"):
        convert_weights([source], tmp_path / "out", "checkpoint", MODEL)
    output = convert_weights([source], tmp_path / "out", "checkpoint", MODEL, allow_uninformative_tower=True)
    assert not np.any(stored(output)[0]["params"]["img_projection/kernel"])


def test_a_bundle_brings_its_tokenizer_along(trained_run, tmp_path):
    output = convert_weights([trained_run.checkpoint], tmp_path / "out", "bundle", MODEL, drop_state=True)
    assert (output / "tokenizer.model").read_bytes() == (trained_run.checkpoint / "tokenizer.model").read_bytes()


def test_arrays_are_float32_whatever_the_source(params, tmp_path):
    source = write_layout("safetensors", tmp_path / "bf16", params, jnp.bfloat16)
    trees, _, _ = stored(convert_weights(source, tmp_path / "out", "checkpoint", MODEL))
    assert {leaf.dtype for leaf in jax.tree.leaves(trees)} == {np.dtype(np.float32)}


def test_a_failure_half_way_leaves_nothing(checkpoint, tmp_path, monkeypatch):
    neighbour = tmp_path / "out.partial"
    neighbour.mkdir()
    (neighbour / "mine").touch()

    def fail(*_):
        raise OSError("disk full")

    monkeypatch.setattr("pistar_vf.weights.convert._write", fail)
    with pytest.raises(OSError, match="disk full"):
        convert_weights([checkpoint], tmp_path / "out", "safetensors", MODEL)
    assert [path.name for path in tmp_path.iterdir()] == ["out.partial"]
    assert (neighbour / "mine").is_file()


def test_adapters_are_added_to_the_weights_of_other_formats(tmp_path):
    """Oracle: `merge_lora`, which tests/models/test_lora.py proves."""
    model = dataclasses.replace(MODEL, lora=LoraConfig(rank=2))
    flat = flatten(ValueFunction(model).init(jax.random.key(0)))
    flat = {name: leaf + 0.5 if name.endswith("/b") else leaf for name, leaf in flat.items()}
    tree = unflatten(flat)
    write_tree(tmp_path / "source", {"params": tree, "ema_params": tree, "step": jnp.asarray(1, jnp.int32)})
    output = convert_weights([tmp_path / "source"], tmp_path / "out", "huggingface", model)
    plain = {name: np.asarray(leaf) for name, leaf in merge_lora(flat, model.lora).items()}
    found = load([output / "siglip", output / "gemma-3-270m"])
    changed = "llm/layer_0/mlp/linear"
    assert np.abs(plain[changed] - np.asarray(flat[changed])).max() > 0.1
    assert_bitwise(found, {name: leaf for name, leaf in plain.items() if name.startswith(TOWERS)})
