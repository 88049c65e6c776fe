"""What `inspect` says about each kind of file."""

import pytest
from support.weight_layouts import LAYOUTS, bf16_params, write_layout

from pistar_vf.cli.main import main
from pistar_vf.errors import CheckpointError
from pistar_vf.testing.fake_weights import write_fake_bundle
from pistar_vf.weights.describe import describe_weights

pytestmark = pytest.mark.usefixtures("small_and_fast")


@pytest.fixture(scope="module")
def params():
    return bf16_params()


def test_a_bundle_is_described_part_by_part(params, tmp_path):
    write_fake_bundle(tmp_path, params, head="random", base_weights=True)
    text = describe_weights(tmp_path)
    vision, language, value_model = text.split("\n\n")
    assert "siglip2_so400m14_224.npz\n  kind:        vision tower" in vision
    assert "kind:        language model" in language
    assert "transformer/layer_1/mlp/gating_einsum/w" in language
    assert "bfloat16" in language
    count = 2 * (len(params) + 2) + 1
    assert f"kind:        value model\n  leaves:      {count}, " in value_model
    assert "step:        20000" in value_model
    assert "tower:       informative" in value_model
    assert "value_spec:  none" in value_model
    head = next(line for line in value_model.splitlines() if " params/img/head/kernel" in line)
    assert head.split(maxsplit=2)[1:] == ["float32", "(16, 16)"]


def test_a_bundle_without_base_weights(params, tmp_path):
    write_fake_bundle(tmp_path, params, head="zeros")
    text = describe_weights(tmp_path, leaves=False)
    assert "tower:       NOT informative: params/img/head/kernel is all zeros, images cannot reach the values" in text
    assert "vision tower" not in text
    assert "params/img/head/kernel  " not in text


def test_a_training_directory_says_what_its_values_mean(trained_run):
    text = describe_weights(trained_run.checkpoint.parent, leaves=False)
    assert "values:      201 atoms on [-1.0, 0.0], labels " in text
    assert "cameras:     base_0_rgb (observation.images." in text
    assert "images:      28 px, pad" in text
    assert "numbers (observation.state)" in text
    assert "tokenizer:   sha256 " in text
    assert "/best/" in text.splitlines()[0]


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_counts_its_numbers(params, tmp_path, layout):
    paths = write_layout(layout, tmp_path / "x", params)
    text = "\n".join(describe_weights(path, leaves=False) for path in paths)
    towers = sum(leaf.size for name, leaf in params.items() if name.startswith("llm/"))
    everything = sum(leaf.size for leaf in params.values())
    expected = {"bundle": 2 * everything + 1, "safetensors": everything}.get(layout, towers)
    assert f", {expected:,} numbers, " in text


def test_nothing_there(tmp_path):
    with pytest.raises(CheckpointError, match="expected weights, found nothing"):
        describe_weights(tmp_path / "missing")


def test_the_two_commands(params, tmp_path, capsys):
    write_fake_bundle(tmp_path / "bundle", params)
    paths = write_layout("huggingface", tmp_path / "hf", params)
    assert main(["inspect", str(tmp_path / "bundle"), "--no-leaves"]) == 0
    assert "kind:        value model" in capsys.readouterr().out
    output = tmp_path / "towers.safetensors"
    # The variants are of other sizes than the files: the command refuses and writes nothing.
    words = ["convert", "--source", "huggingface", "--path", *map(str, paths), "--to", "safetensors"]
    assert main([*words, "--output", str(output), "--siglip_variant", "tiny/14", "--gemma_variant", "gemma3_tiny"]) == 2
    assert "differences from this model" in capsys.readouterr().err
    assert not output.exists()
