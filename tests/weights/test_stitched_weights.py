"""The stitched model's weights: from Hugging Face's folders, between its two stages, with adapters, and out again."""

import dataclasses
import json
import logging

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from support.weight_layouts import TOWERS, assert_bitwise, load

from pistar_vf.checkpoints.orbax_tree import write_tree
from pistar_vf.cli.convert import main as convert
from pistar_vf.errors import CheckpointError
from pistar_vf.models import gemma3, siglip
from pistar_vf.models.language import language_logits
from pistar_vf.models.lora import LORA, LoraConfig, merge_lora
from pistar_vf.models.value_config import stitched_config
from pistar_vf.models.value_model import ValueFunction
from pistar_vf.params import unflatten
from pistar_vf.testing.fake_weights import random_params
from pistar_vf.testing.tiny import tiny_model_config, tiny_stitched_config
from pistar_vf.weights import name_tables as tables
from pistar_vf.weights.describe import describe_weights
from pistar_vf.weights.export import export_base, export_huggingface, write_safetensors
from pistar_vf.weights.weight_files import _spec_problems, model_leaves

pytestmark = pytest.mark.usefixtures("small_and_fast")

SIGLIP = dataclasses.replace(tiny_stitched_config().siglip, depth=2, image_size=50)
"""Three patches of 14 and 8 pixels more a side."""
MODEL = tiny_stitched_config(siglip=SIGLIP, state_encoding="none")
WITH_LORA = dataclasses.replace(MODEL, lora=LoraConfig(rank=2))


def fresh_parts(paths, model, caplog):
    """What the loader says starts random."""
    with caplog.at_level(logging.INFO):
        loaded = load(paths, model)
    line = next((line for line in caplog.messages if "start random: " in line), "start random: ")
    return loaded, line.split("start random: ")[1]


@pytest.fixture(scope="module")
def huggingface(tmp_path_factory):
    """(parameters, the two folders)."""
    folder, params = tmp_path_factory.mktemp("stitched") / "hf", random_params(MODEL)
    export_huggingface(params, folder, MODEL)
    return params, [folder / "siglip", folder / "gemma-3-270m"]


def test_both_towers_from_hugging_face_and_the_rest_fresh(huggingface, caplog):
    params, paths = huggingface
    model = dataclasses.replace(WITH_LORA, state_encoding="token")
    loaded, fresh = fresh_parts(paths, model, caplog)
    assert_bitwise(loaded, {name: leaf for name, leaf in params.items() if name.startswith(TOWERS)})
    assert fresh.split(", ") == ["img_projection", "lora", "state_projection", "value_head"]
    assert "interpolated" not in caplog.text


@pytest.mark.parametrize(
    ("field", "value"),
    [("tie_word_embeddings", False), ("final_logit_softcapping", 30.0), ("attn_logit_softcapping", 50.0)],
)
def test_a_language_head_of_another_kind_is_refused(huggingface, tmp_path, field, value):
    params, _ = huggingface
    export_huggingface(params, tmp_path / "hf", MODEL)
    file = tmp_path / "hf" / "gemma-3-270m" / "config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), field: value}))
    with pytest.raises(CheckpointError, match=rf"≠ config\.json {field}: expected (True|None), got {value}"):
        load([tmp_path / "hf" / "siglip", tmp_path / "hf" / "gemma-3-270m"], MODEL)


def test_the_language_head_is_that_of_transformers(huggingface):
    """Image size 50: transformers' tower reads 42 pixels of it too, see tests/models."""
    torch = pytest.importorskip("torch", reason="the reference implementations need torch (CPU) and transformers")
    transformers = pytest.importorskip("transformers", reason="the reference implementations need transformers")
    from pistar_vf.batch import Observation

    params, (_, gemma) = huggingface
    reference = transformers.Gemma3ForCausalLM.from_pretrained(gemma).eval()
    tokens = np.arange(1, 13, dtype=np.int32)[None]
    with torch.no_grad():
        expected = reference(torch.from_numpy(tokens).long()).logits.numpy()
    text = Observation({}, {}, jnp.asarray(tokens), jnp.ones((1, 12), bool))
    found = jax.jit(lambda p: language_logits(ValueFunction(MODEL), p, text))(unflatten(params))
    assert np.abs(found - expected).max() / np.abs(expected).max() < 1e-5


def checkpoint(folder, params):
    """A checkpoint of another program, without a spec."""
    tree = unflatten({name: jnp.asarray(leaf) for name, leaf in params.items()})
    write_tree(folder, {"params": tree, "ema_params": tree, "step": jnp.asarray(7, jnp.int32)})
    return folder


def test_the_second_stage_starts_from_the_first_and_adds_state_and_adapters(tmp_path, caplog):
    params = random_params(MODEL)
    first_stage = checkpoint(tmp_path / "stage_1", params)
    model = dataclasses.replace(WITH_LORA, state_encoding="token")
    loaded, fresh = fresh_parts([first_stage], model, caplog)
    assert_bitwise(loaded, params)
    assert fresh == "lora, state_projection"


def test_a_model_with_adapters_is_read_back_leaf_by_leaf(tmp_path):
    params = random_params(WITH_LORA)
    write_safetensors(tmp_path / "all.safetensors", params)
    for path in (checkpoint(tmp_path / "run", params), tmp_path / "all.safetensors"):
        assert_bitwise(load([path], WITH_LORA), params)


def test_adapters_without_a_place_or_of_another_rank_are_refused(tmp_path):
    path = checkpoint(tmp_path / "run", random_params(WITH_LORA))
    with pytest.raises(CheckpointError, match=r"\+ params/lora/llm/layer_0/attn/attn_vec_einsum/w/a \(32, 2\)"):
        load([path], MODEL)
    with pytest.raises(CheckpointError, match=r"≠ params/lora/llm/layer_0/mlp/linear/b: expected \(4, 32\), got \(2"):
        load([path], dataclasses.replace(MODEL, lora=LoraConfig(rank=4)))


def test_what_leaves_do_not_show_is_compared_by_the_spec():
    assert _spec_problems(MODEL, MODEL) == _spec_problems(MODEL, WITH_LORA) == []
    other = dataclasses.replace(MODEL, readout="mean", lora=LoraConfig(rank=2, alpha=1.0))
    assert _spec_problems(other, WITH_LORA) == [
        "≠ value_spec.json readout: expected last_token, got mean",
        "≠ value_spec.json lora.alpha: expected 16.0, got 1.0",
    ]


def test_a_pistar_checkpoint_is_no_stitched_model(tmp_path):
    pistar = tiny_model_config(siglip=SIGLIP, state_encoding="none")
    path = checkpoint(tmp_path / "pistar", {**random_params(pistar), "img/head/kernel": np.ones((16, 16), np.float32)})
    with pytest.raises(CheckpointError) as refused:
        load([path], MODEL)
    for line in ("− params/img_projection/linear1/kernel (16, 16)", "+ params/cross_attn_norm/bias (32,)"):
        assert line in str(refused.value)


@pytest.mark.parametrize("layer", ["linear1", "linear2"])
def test_a_projector_of_zeros_carries_no_information(tmp_path, layer):
    params = random_params(MODEL)
    params[f"img_projection/{layer}/kernel"] *= 0
    path = checkpoint(tmp_path / "blind", params)
    with pytest.raises(CheckpointError, match=f"params/img_projection/{layer}/kernel is all zeros"):
        load([path], MODEL)
    assert f"NOT informative: params/img_projection/{layer}/kernel" in describe_weights(path)


def test_describe_tells_the_parts(tmp_path):
    text = describe_weights(checkpoint(tmp_path / "run", random_params(WITH_LORA)))
    assert "kind:        value model" in text
    assert "tower:       informative" in text
    for part in ("img_projection", "llm", "lora", "value_head"):
        assert f"    params/{part} " in text
    assert "params/lora/llm/layer_1/mlp/linear/b" in text


def test_files_of_other_programs_get_merged_weights_only(tmp_path):
    params = random_params(WITH_LORA)
    message = r"expected plain weights, got 20 leaves of low-rank adapters \(lora/.*, …\).*merge them first"
    for export in (lambda p, folder: export_base(p, folder), lambda p, folder: export_huggingface(p, folder, MODEL)):
        with pytest.raises(CheckpointError, match=message):
            export(params, tmp_path / "out")
    assert not list(tmp_path.iterdir())
    merged = {name: np.asarray(leaf) for name, leaf in merge_lora(params, WITH_LORA.lora).items()}
    export_huggingface(merged, tmp_path / "hf", MODEL)
    loaded = load([tmp_path / "hf" / "siglip", tmp_path / "hf" / "gemma-3-270m"], MODEL)
    name = "llm/layer_0/mlp/gating_einsum"
    assert_bitwise({name: loaded[name]}, {name: merged[name]})
    assert np.any(merged[name] != params[name])


def test_names_of_the_adapters_are_fresh_only_where_the_file_has_none():
    ours = model_leaves(WITH_LORA)
    assert tables.value_model_table(ours, (), "").fresh == ("state_projection/", LORA)
    assert tables.value_model_table(ours, list(ours), "").fresh == ("state_projection/",)


def test_the_model_of_stage_1_is_converted_as_the_architecture_it_is(tmp_path):
    """It has no value_spec.json; the default architecture would miss its own parts."""
    tiny = stitched_config(siglip.VARIANTS["tiny/14"], gemma3.VARIANTS["gemma3_tiny"], state_encoding="none")
    params = random_params(tiny)
    source = checkpoint(tmp_path / "model", params)
    words = ["--path", str(source), "--to", "safetensors", "--siglip_variant", "tiny/14"]
    words += ["--gemma_variant", "gemma3_tiny", "--output"]
    with pytest.raises(CheckpointError, match="img_projection"):
        convert([*words, str(tmp_path / "wrong.safetensors")])
    output = convert([*words, str(tmp_path / "right.safetensors"), "--architecture", "stitched"])
    assert_bitwise(load([output], tiny), params)
