"""Every layout: written, read, the same bits; and Hugging Face's own files give Hugging Face's own outputs."""

import dataclasses
import json
import logging

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from support.weight_layouts import (
    LAYOUTS,
    MODEL,
    TOWERS,
    assert_bitwise,
    bf16_params,
    held_by,
    load,
    logits,
    wanted,
    write_layout,
)

from pistar_vf.errors import CheckpointError
from pistar_vf.models.value_model import ValueFunction
from pistar_vf.testing.fake_weights import random_params
from pistar_vf.weights.folding import resize_position_embedding
from pistar_vf.weights.pretrained import ValueModelWeightLoader, init_params
from pistar_vf.weights.weight_files import open_weights

pytestmark = pytest.mark.usefixtures("small_and_fast")


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """(parameters, layout to paths)."""
    params, folder = bf16_params(), tmp_path_factory.mktemp("layouts")
    return params, {layout: write_layout(layout, folder / layout.replace(" ", "_"), params) for layout in LAYOUTS}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_written_and_read_again_the_bits_are_the_same(written, layout):
    params, paths = written
    assert_bitwise(load(paths[layout]), held_by(layout, params))


def test_float32_survives_too(tmp_path):
    params = random_params(MODEL, seed=1)
    for layout in ("bundle", "huggingface", "safetensors"):
        paths = write_layout(layout, tmp_path / layout, params, jnp.float32)
        assert_bitwise(load(paths), held_by(layout, params))


def test_the_forward_pass_is_the_same_from_every_layout(written):
    params, paths = written
    expected = logits(params)
    for layout in LAYOUTS:
        # Layouts with the towers only take the fusion and the head from the original.
        np.testing.assert_array_equal(logits({**params, **load(paths[layout])}), expected, err_msg=layout)


def test_bfloat16_is_read_as_bfloat16(written):
    params, paths = written
    loader = ValueModelWeightLoader(paths["huggingface"], MODEL)
    assert {leaf.dtype for _, leaf in loader.read()} == {np.dtype(jnp.bfloat16)}
    held = loader.load(wanted(dtype=jnp.bfloat16))
    name = "llm/embedder/input_embedding"
    np.testing.assert_array_equal(np.asarray(held[name], np.float32), params[name])


def test_leaves_are_split_over_devices_as_asked(written):
    """The placement of every leaf is the one that was asked for, whatever it is."""
    placement = jax.sharding.NamedSharding(
        jax.sharding.Mesh(np.array(jax.devices()), ("data",)), jax.sharding.PartitionSpec()
    )
    leaves = {n: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=placement) for n, x in wanted().items()}
    loaded = ValueModelWeightLoader(written[1]["bundle"], MODEL).load(leaves)
    assert {leaf.sharding for leaf in loaded.values()} == {placement}


def test_random_leaves_do_not_depend_on_which_others_are_wanted():
    value_function = ValueFunction(MODEL)
    everything = init_params(value_function, 7, wanted())
    names = ("value_head/linear1/kernel", "img_projection/kernel")
    part = init_params(value_function, 7, {name: wanted()[name] for name in names})
    assert_bitwise(part, {name: everything[name] for name in names})


# --- another image size ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("layout", ["bundle", "base stacked", "huggingface"])
def test_another_image_size_interpolates_the_positions_and_says_so(written, layout, caplog):
    params, paths = written
    larger = dataclasses.replace(MODEL, siglip=dataclasses.replace(MODEL.siglip, image_size=70))
    with caplog.at_level(logging.INFO):
        loaded = load(paths[layout], larger)
    assert "interpolated the position embedding from 3x3 to 5x5 patches (bilinear, antialiased)" in caplog.text
    name = "img/pos_embedding"
    np.testing.assert_array_equal(loaded[name], resize_position_embedding(params[name], 25))
    others = {key: leaf for key, leaf in held_by(layout, params).items() if key != name}
    assert_bitwise({key: loaded[key] for key in others}, others)


# --- what together is no model ---------------------------------------------------------------------------------


def test_two_towers_or_one_value_model(written):
    paths = written[1]
    vision, language = paths["huggingface"]
    with pytest.raises(
        CheckpointError, match=r"one vision tower and one language model, got a vision tower \(.*siglip"
    ):
        ValueModelWeightLoader([vision], MODEL)
    with pytest.raises(CheckpointError, match=r"got a value model .*, a language model"):
        ValueModelWeightLoader([*paths["bundle"], language], MODEL)
    with pytest.raises(CheckpointError, match="got nothing"):
        ValueModelWeightLoader([], MODEL)


def test_the_order_and_the_mixture_of_towers_are_free(written):
    params, paths = written
    npz, hf_language = paths["base stacked"][0], paths["huggingface"][1]
    assert_bitwise(load([hf_language, npz]), held_by("huggingface", params))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, r"nothing_here: expected weights, found nothing; towers that fit: google/siglip"),
        ({"config.json": "{"}, "expected the config.json of a Hugging Face model, got something else"),
        ({"config.json": "[]"}, "expected the config.json of a Hugging Face model, got something else \\(list"),
        ({"config.json": '{"model_type": "bert"}'}, "expected a model_type of siglip, .*gemma3_text, got 'bert'"),
        ({"readme.txt": ""}, "expected a complete orbax checkpoint"),
    ],
)
def test_a_path_that_holds_no_weights(tmp_path, content, message):
    folder = tmp_path / "nothing_here"
    if content is not None:
        folder.mkdir()
        for name, text in content.items():
            (folder / name).write_text(text)
    with pytest.raises(CheckpointError, match=message):
        open_weights(folder)


def test_an_orbax_directory_of_something_else(tmp_path):
    from pistar_vf.checkpoints.orbax_tree import write_tree

    write_tree(tmp_path / "other", {"opt_state": {"mu": jnp.zeros(2)}})
    with pytest.raises(
        CheckpointError, match=r"expected an orbax checkpoint with the key ema_params .* found opt_state"
    ):
        open_weights(tmp_path / "other", "ema_params")


# --- what shapes do not show -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("tower", "changes", "line"),
    [
        ("siglip", {"num_attention_heads": 4}, "≠ config.json num_attention_heads: expected 2, got 4"),
        ("siglip", {"hidden_act": "gelu"}, "≠ config.json hidden_act: expected gelu_pytorch_tanh, got gelu"),
        ("siglip", {"image_size": "28"}, "config.json image_size: expected pixels, at least 14, got '28'"),
        ("gemma-3-270m", {"rope_parameters": [1]}, r"config.json rope_parameters: expected an object, got \[1\]"),
        ("siglip", {"image_size": 56}, r"≠ .*position_embedding.weight: expected \(16, 16\), got \(9, 16\)"),
        ("gemma-3-270m", {"sliding_window": 1024}, "≠ config.json sliding_window: expected 512, got 1024"),
        ("gemma-3-270m", {"rope_theta": 10_000.0}, "≠ config.json rope_theta: expected 1000000.0, got 10000.0"),
        (
            "gemma-3-270m",
            {"rope_parameters": {"sliding_attention": {"rope_theta": 1.0}}},
            "≠ config.json rope_local_base_freq: expected 10000.0, got 1.0",
        ),
        ("gemma-3-270m", {"layer_types": ["full_attention"] * 2}, r"≠ config.json layer_types: expected \['sliding"),
    ],
)
def test_a_config_that_shapes_do_not_show(tmp_path, tower, changes, line):
    paths = write_layout("huggingface", tmp_path / "hf", bf16_params())
    file = tmp_path / "hf" / tower / "config.json"
    config = json.loads(file.read_text())
    (config.get("vision_config") or config).update(changes)
    file.write_text(json.dumps(config))
    with pytest.raises(CheckpointError, match=line):
        load(paths)


def test_a_checkpoint_with_another_support(trained_run):
    from pistar_vf.categorical import Support
    from pistar_vf.checkpoints.value_spec import load_value_spec

    model = load_value_spec(trained_run.checkpoint).model
    other = dataclasses.replace(model, support=Support(num_atoms=model.support.num_atoms, v_min=-2.0))
    with pytest.raises(CheckpointError, match=r"≠ value_spec\.json support\.v_min: expected -2\.0, got -1\.0"):
        load([trained_run.checkpoint], other)


def test_another_patch_size_or_depth_is_refused(written):
    deeper = dataclasses.replace(MODEL, siglip=dataclasses.replace(MODEL.siglip, depth=3))
    message = r"− vision_model\.encoder\.layers\.2\.layer_norm1\.weight \(16,\)"
    with pytest.raises(CheckpointError, match=message):
        load(written[1]["huggingface"], deeper)


# --- Hugging Face's own files ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def transformers():
    pytest.importorskip("torch", reason="the reference implementations need torch (CPU) and transformers")
    return pytest.importorskip("transformers", reason="the reference implementations need torch and transformers")


VISION = {
    "hidden_size": 16,
    "intermediate_size": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "image_size": 42,
    "patch_size": 14,
}
TEXT = {
    "vocab_size": 64,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "head_dim": 16,
    "query_pre_attn_scalar": 16,
    "sliding_window": 512,
    "layer_types": ["sliding_attention", "full_attention"],
    "pad_token_id": 0,
}


def siglip_model(transformers):
    text = {"hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 1, "num_attention_heads": 2}
    text |= {"vocab_size": 32, "bos_token_id": 1, "eos_token_id": 2}
    return transformers.SiglipModel(transformers.SiglipConfig(vision_config=VISION, text_config=text))


def randomised(module):
    """Noise in every parameter: transformers initialises biases with zeros and norms with ones."""
    import torch

    torch.manual_seed(0)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return module.eval()


@pytest.mark.parametrize("alone", [False, True], ids=["published", "tower alone"])
@pytest.mark.parametrize("shard_size", ["1GB", "20KB"], ids=["one file", "sharded"])
def test_models_saved_by_transformers_give_their_outputs(transformers, tmp_path, alone, shard_size):
    import torch

    vision = siglip_model(transformers)
    vision = transformers.SiglipVisionModel(transformers.SiglipVisionConfig(**VISION)) if alone else vision
    config = transformers.Gemma3TextConfig(**TEXT)
    language = transformers.Gemma3TextModel(config) if alone else transformers.Gemma3ForCausalLM(config)
    for module, name in ((vision, "siglip"), (language, "gemma")):
        randomised(module).save_pretrained(tmp_path / name, max_shard_size=shard_size)
    assert (tmp_path / "gemma" / "model.safetensors").exists() == (shard_size == "1GB")
    params = {**random_params(MODEL), **load([tmp_path / "siglip", tmp_path / "gemma"])}
    causal = dataclasses.replace(MODEL, gemma=dataclasses.replace(MODEL.gemma, bidirectional=False))
    model = ValueFunction(causal).bind(_nested(params))

    pixels = np.random.default_rng(0).uniform(-1, 1, (2, 42, 42, 3)).astype(np.float32)
    tower = vision if alone else vision.vision_model
    tokens = np.arange(1, 13)[None]
    with torch.no_grad():
        expected_image = tower(torch.from_numpy(pixels).permute(0, 3, 1, 2)).last_hidden_state.numpy()
        decoder = language if alone else language.model
        expected_text = decoder(torch.from_numpy(tokens)).last_hidden_state.numpy()
    assert relative_error(jax.jit(model.img)(pixels), expected_image) < 1e-5
    hidden = model.llm(model.llm.embedder(jnp.asarray(tokens)), jnp.ones((1, 12), bool))
    assert relative_error(hidden, expected_text) < 1e-5


def test_transformers_loads_what_we_export(transformers, tmp_path):
    """Strictly: no leaf of its vision tower and language model is missing or left over."""
    params = random_params(MODEL)
    write_layout("huggingface", tmp_path / "hf", params, jnp.float32)
    model, report = transformers.Gemma3ForCausalLM.from_pretrained(
        tmp_path / "hf" / "gemma-3-270m", output_loading_info=True
    )
    assert not set(report["missing_keys"]) - {"lm_head.weight"}
    assert not report["unexpected_keys"]
    embedding = model.model.embed_tokens.weight.detach().numpy()
    np.testing.assert_array_equal(embedding, params["llm/embedder/input_embedding"])


def relative_error(found, expected):
    return np.abs(np.asarray(found) - expected).max() / np.abs(expected).max()


def _nested(params):
    from pistar_vf.params import unflatten

    return unflatten({name: jnp.asarray(leaf) for name, leaf in params.items()})


def test_towers_are_all_that_they_hold(written):
    loaded = load(written[1]["huggingface"])
    assert {name.split("/")[0] + "/" for name in loaded} == set(TOWERS)
