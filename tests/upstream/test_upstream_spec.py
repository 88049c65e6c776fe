"""A checkpoint of upstream without any spec: what its shapes say, what the user must say, and the same values."""

import dataclasses
import logging

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import sentencepiece
from support.places import SUPPORT
from support.upstream_checkpoint import CAMERAS, FRONT, MODEL, TOKENIZER, WRIST, write_upstream_checkpoint

from pistar_vf.checkpoints.value_spec import ValueSpec
from pistar_vf.errors import CheckpointError, ConfigError, TokenizerError
from pistar_vf.inference.predictor import load_value_model
from pistar_vf.models import gemma3, siglip
from pistar_vf.params import flatten, unflatten
from pistar_vf.returns import Normaliser
from pistar_vf.upstream import spec as module
from pistar_vf.upstream.load import load_any_value_model
from pistar_vf.upstream.spec import CuttingTokenizer, UpstreamInputs

pytestmark = pytest.mark.usefixtures("small_and_fast")

_LEAVES = SUPPORT / "bundle_leaves.tsv"
"""Every leaf of a published 241-leaf value checkpoint."""


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    return write_upstream_checkpoint(tmp_path_factory.mktemp("upstream") / "run")


def inputs(checkpoint, **cameras):
    return UpstreamInputs({**CAMERAS, **cameras}, checkpoint.parent / "tokenizer.model")


def observation():
    rng = np.random.default_rng(0)
    return {key: rng.integers(0, 256, (3, 40, 60, 3), np.uint8) for key in (FRONT, WRIST)}


def test_the_architecture_is_read_from_the_shapes(checkpoint):
    spec = load_any_value_model(checkpoint, upstream=inputs(checkpoint)).spec
    assert spec.model == MODEL
    assert spec.camera_keys == CAMERAS
    assert (spec.image_fit, spec.state, spec.prompt_suffix) == ("openpi", None, "\nValue:")
    assert spec.normaliser == Normaliser("episode_ramp")
    assert ValueSpec.from_json(spec.to_json(), "x.json") == spec


@pytest.mark.parametrize("head", [False, True])
def test_the_published_sizes_are_recognised(checkpoint, head, monkeypatch):
    """From the names and shapes of the published checkpoint; heads, window and all."""
    rows = [line.split("\t") for line in _LEAVES.read_text().splitlines()[1:]]
    leaves = {
        name: jax.ShapeDtypeStruct(tuple(int(n) for n in shape.split("x")), jnp.float32)
        for name, shape in rows
        if head or not name.startswith("img/head/")
    }
    monkeypatch.setattr(module, "tree_metadata", lambda path: {"params": unflatten(leaves), "step": None})
    spec, key, _ = module.upstream_spec(checkpoint, inputs(checkpoint), use_ema=False)
    assert key == "params"
    assert spec.model.siglip == dataclasses.replace(siglip.VARIANTS["So400m/14"], head=head)
    assert spec.model.gemma == gemma3.VARIANTS["gemma3_270m"]
    assert (spec.model.cross_attention_heads, spec.model.support.num_atoms, spec.model.max_token_len) == (8, 201, 48)


def test_values_are_those_of_the_same_weights_with_a_spec(checkpoint, tmp_path):
    bare = load_any_value_model(checkpoint.parent, upstream=inputs(checkpoint))
    copy = write_upstream_checkpoint(tmp_path / "run")
    (copy / "value_spec.json").write_text(bare.spec.to_json(), encoding="utf-8")
    (copy / "tokenizer.model").write_bytes(TOKENIZER.model)
    told = load_value_model(copy)
    found, expected = (model.predict(observation(), prompt="drop it").value for model in (bare, told))
    np.testing.assert_array_equal(found, expected)
    assert np.ptp(expected) > 0


def test_either_tree(checkpoint):
    raw, ema = (load_any_value_model(checkpoint, use_ema=ema, upstream=inputs(checkpoint)) for ema in (False, True))
    for name, leaf in flatten(raw.params).items():
        assert not np.array_equal(leaf, flatten(ema.params)[name])


def test_params_stand_in_for_an_average_that_is_not_there(checkpoint, tmp_path, caplog):
    alone = write_upstream_checkpoint(tmp_path / "run", keys=("params",))
    with caplog.at_level(logging.WARNING):
        found = load_any_value_model(alone, upstream=inputs(alone))
    assert "no ema_params in it; scoring with params" in caplog.text
    expected = flatten(load_any_value_model(checkpoint, use_ema=False, upstream=inputs(checkpoint)).params)
    for name, leaf in flatten(found.params).items():
        np.testing.assert_array_equal(leaf, expected[name])


def test_a_camera_without_a_name_is_masked(checkpoint):
    """Which is another value than that of a black picture."""
    model = load_any_value_model(checkpoint, upstream=inputs(checkpoint, wrist_0_rgb=None))
    images = {FRONT: observation()[FRONT], "wrist_0_rgb": None}
    masked = model.predict(images, prompt="drop it").value
    black = model.predict({**images, "wrist_0_rgb": np.zeros((3, 40, 60, 3), np.uint8)}, prompt="drop it").value
    assert np.abs(masked - black).max() > 1e-6


def test_a_long_prompt_is_cut(caplog):
    prompt = "put the red block in the left bin " * 9
    processor = sentencepiece.SentencePieceProcessor()
    processor.LoadFromSerializedProto(TOKENIZER.model)
    whole = [processor.bos_id(), *processor.encode(prompt.rstrip() + "\nValue:")]
    tokenizer = CuttingTokenizer(TOKENIZER.model, 20)
    with caplog.at_level(logging.WARNING):
        tokens, mask = tokenizer.tokenize_many([prompt, "drop it"])
    assert tokens[0].tolist() == whole[:20]
    assert mask[0].all()
    assert f"prompt cut to 20 of {len(whole)} tokens" in caplog.text
    for found, expected in zip((tokens[1], mask[1]), TOKENIZER.tokenize("drop it")):
        np.testing.assert_array_equal(found, expected[:20])


def test_without_inputs_it_is_refused(checkpoint):
    with pytest.raises(CheckpointError, match=r"value_spec.json: not found; .*`pistar-vf relabel` reads upstream's"):
        load_value_model(checkpoint)


def test_a_base_camera_must_be_named(checkpoint):
    with pytest.raises(ConfigError, match=r"name them with --base_image_col and --wrist_image_col"):
        load_any_value_model(checkpoint, upstream=inputs(checkpoint, base_0_rgb=None))


def test_a_tokenizer_must_be_there(checkpoint, tmp_path):
    with pytest.raises(TokenizerError, match="--tokenizer_path"):
        load_any_value_model(checkpoint, upstream=UpstreamInputs(CAMERAS, tmp_path / "none.model"))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"without": ["img/pos_embedding"]}, r"ema_params/img/pos_embedding: expected 3 axes, .* got no such leaf"),
        (
            {"changes": {"value_head/linear2/bias": jnp.zeros((2, 3))}},
            r"linear2/bias: expected 1 axes, .* got \(2, 3\)",
        ),
        ({"without": ["llm/final_norm/scale"]}, r"1 differences .*\n  − llm/final_norm/scale \(32,\)"),
        ({"changes": {"state_projection/bias": jnp.zeros(4)}}, r"\+ state_projection/bias \(4,\)\n.* its value_spec"),
        ({"changes": {"llm/final_norm/scale": jnp.zeros(7)}}, r"≠ llm/final_norm/scale: expected \(32,\), got \(7,\)"),
        ({"changes": {"img/pos_embedding": jnp.zeros((1, 5, 16))}}, r"≠ img/pos_embedding: expected \(1, 4, 16\)"),
        ({"keys": ["weights"]}, r"holds params and ema_params, got step, weights"),
    ],
)
def test_leaves_that_are_not_upstreams_are_refused(tmp_path, changes, message):
    other = write_upstream_checkpoint(tmp_path / "run", **changes)
    with pytest.raises(CheckpointError, match=message):
        load_any_value_model(other, upstream=inputs(other))


def test_the_tokenizer_of_a_larger_model_is_refused(tmp_path):
    small = write_upstream_checkpoint(tmp_path / "run", changes={"llm/embedder/input_embedding": jnp.zeros((100, 32))})
    with pytest.raises(CheckpointError, match=r"a tokenizer of at most 100 pieces, .* got \d+; pass the one"):
        load_any_value_model(small, upstream=inputs(small))
