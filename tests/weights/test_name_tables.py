"""Every table against names and shapes written out by hand, and every layout against plain numpy."""

import csv
import dataclasses

import jax
import numpy as np
import pytest
from support.places import SUPPORT

from pistar_vf.testing.fake_weights import published_model_config
from pistar_vf.weights import name_tables as tables
from pistar_vf.weights.weight_files import model_leaves

OURS = model_leaves(published_model_config())
PUBLISHED = SUPPORT / "bundle_leaves.tsv"


def stored_shapes(table, ours=OURS):
    return {name: entry.part_shape(ours[entry.ours].shape) for entry in table.entries for name in entry.theirs}


def test_the_value_models_table_is_the_published_list():
    with PUBLISHED.open() as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    published = {"params/" + row["path"]: tuple(map(int, row["shape"].split("x"))) for row in rows}
    head = {name: published.pop(name) for name in ("params/img/head/kernel", "params/img/head/bias")}
    stored = (*published, *head)
    table = tables.value_model_table(OURS, stored, "params/")
    assert stored_shapes(table) == published
    assert len(published) == 239
    assert table.folded == ("params/img/head/kernel", "params/img/head/bias")
    assert table.fresh == ("state_projection/", "lora/")


def test_siglip_of_big_vision():
    stacked = stored_shapes(tables.siglip_npz_table(OURS, ()))
    block = "params/img/Transformer/encoderblock/"
    assert len(stacked) == 21
    assert stacked["params/img/embedding/kernel"] == (14, 14, 3, 1152)
    assert stacked["params/img/pos_embedding"] == (1, 256, 1152)
    assert stacked[block + "MultiHeadDotProductAttention_0/query/kernel"] == (27, 1152, 16, 72)

    first = "params/img/Transformer/encoderblock_0/"
    apart = stored_shapes(tables.siglip_npz_table(OURS, [first + "LayerNorm_0/scale"]))
    assert len(apart) == 5 + 27 * 16
    assert apart[first + "MlpBlock_0/Dense_0/kernel"] == (1152, 4304)
    assert apart["params/img/Transformer/encoderblock_26/MultiHeadDotProductAttention_0/out/kernel"] == (16, 72, 1152)


def test_gemma_of_google():
    stored = stored_shapes(tables.gemma_orbax_table(OURS, ()))
    assert len(stored) == 2 + 18 * 11
    assert stored["transformer/embedder/input_embedding"] == (262_144, 640)
    assert stored["transformer/final_norm/scale"] == (640,)
    assert {name.removeprefix("transformer/layer_17/"): shape for name, shape in stored.items() if "_17/" in name} == {
        "attn/_key_norm/scale": (256,),
        "attn/_query_norm/scale": (256,),
        "attn/attn_vec_einsum/w": (4, 256, 640),
        "attn/kv_einsum/w": (2, 1, 640, 256),
        "attn/q_einsum/w": (4, 640, 256),
        "mlp/gating_einsum/w": (2, 2048, 640),
        "mlp/linear/w": (2048, 640),
        "post_attention_norm/scale": (640,),
        "post_ffw_norm/scale": (640,),
        "pre_attention_norm/scale": (640,),
        "pre_ffw_norm/scale": (640,),
    }


@pytest.mark.parametrize("root", ["vision_model.", ""])
def test_siglip_of_hugging_face(root):
    first = [f"{root}post_layernorm.weight"]
    stored = stored_shapes(tables.siglip_huggingface_table(OURS, first))
    assert len(stored) == 5 + 27 * 16
    assert stored[root + "embeddings.patch_embedding.weight"] == (1152, 3, 14, 14)
    assert stored[root + "embeddings.position_embedding.weight"] == (256, 1152)
    assert stored[root + "encoder.layers.26.mlp.fc1.weight"] == (4304, 1152)
    assert stored[root + "encoder.layers.26.self_attn.out_proj.weight"] == (1152, 1152)


@pytest.mark.parametrize("root", ["model.", ""])
def test_gemma_of_hugging_face(root):
    stored = stored_shapes(tables.gemma_huggingface_table(OURS, [f"{root}norm.weight"]))
    assert len(stored) == 2 + 18 * 13
    layer = root + "layers.17."
    assert stored[layer + "self_attn.q_proj.weight"] == (1024, 640)
    assert stored[layer + "self_attn.k_proj.weight"] == (256, 640)
    assert stored[layer + "self_attn.o_proj.weight"] == (640, 1024)
    assert stored[layer + "mlp.down_proj.weight"] == (640, 2048)


@pytest.mark.parametrize(
    ("layout", "shape", "equation", "x_shape"),
    [
        (tables.LINEAR, (6, 2, 3), "bw,wnh->bnh", (4, 6)),
        (tables.LINEAR_FROM_HEADS, (2, 3, 6), "bnh,nhw->bw", (4, 2, 3)),
        (tables.HEADS_FIRST, (2, 6, 3), "bw,nwh->bnh", (4, 6)),
    ],
)
def test_a_torch_linear_layer_computes_the_same(layout, shape, equation, x_shape):
    """torch's Linear is x @ weight.T on flattened heads."""
    rng = np.random.default_rng(0)
    kernel, x = rng.standard_normal(shape), rng.standard_normal(x_shape)
    weight = layout.store(kernel)
    expected = x.reshape(len(x), -1) @ weight.T
    np.testing.assert_allclose(np.einsum(equation, x, kernel).reshape(expected.shape), expected)


@pytest.mark.parametrize(
    ("layout", "shape"),
    [
        (tables.SAME, (3, 4)),
        (tables.FLAT, (3, 4)),
        (tables.WITHOUT_BATCH, (1, 3, 4)),
        (tables.LINEAR, (5, 2, 3)),
        (tables.LINEAR_FROM_HEADS, (2, 3, 5)),
        (tables.HEADS_FIRST, (2, 5, 3)),
        (tables.CONVOLUTION, (4, 5, 3, 2)),
    ],
)
def test_loading_undoes_storing(layout, shape):
    leaf = np.arange(np.prod(shape)).reshape(shape)
    stored = layout.store(leaf)
    assert stored.shape == layout.stored_shape(shape)
    np.testing.assert_array_equal(layout.load(stored, shape), leaf)


def test_parts_are_stacked_in_order():
    entry = tables.Entry("kv", ("k", "v"), tables.HEADS_FIRST, stacked=True)
    leaf = np.arange(2 * 1 * 3 * 2).reshape(2, 1, 3, 2)
    parts = entry.store(leaf)
    np.testing.assert_array_equal(parts["k"], leaf[0, 0].T)
    np.testing.assert_array_equal(parts["v"], leaf[1, 0].T)
    np.testing.assert_array_equal(entry.load(iter(parts.values()), leaf.shape), leaf)


def test_a_models_own_head_is_not_folded():
    config = published_model_config()
    config = dataclasses.replace(config, siglip=dataclasses.replace(config.siglip, head=True))
    ours = model_leaves(config)
    table = tables.value_model_table(ours, [f"params/{name}" for name in ours], "params/")
    assert table.folded == ()
    assert "img/head/kernel" in {entry.ours for entry in table.entries}


def test_a_single_layer_is_stacked_too():
    ours = {"img/Transformer/encoderblock/LayerNorm_0/scale": jax.ShapeDtypeStruct((1, 4), np.float32)}
    table = tables.siglip_npz_table(ours, ["params/img/Transformer/encoderblock_0/LayerNorm_0/scale"])
    assert stored_shapes(table, ours) == {"params/img/Transformer/encoderblock_0/LayerNorm_0/scale": (4,)}
