"""Any leaf, in any source, damaged in any of five ways: refused by name, and nothing is written."""

import json
import math
import shutil

import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from support.weight_layouts import LAYOUTS, MODEL, bf16_params, write_layout

from pistar_vf.checkpoints.orbax_tree import write_tree
from pistar_vf.errors import CheckpointError
from pistar_vf.params import unflatten
from pistar_vf.weights.convert import convert_weights
from pistar_vf.weights.export import write_flat_orbax, write_npz, write_safetensors
from pistar_vf.weights.pretrained import ValueModelWeightLoader
from pistar_vf.weights.sources import OrbaxSource
from pistar_vf.weights.weight_files import model_leaves, open_weights

pytestmark = pytest.mark.usefixtures("small_and_fast")
OURS = model_leaves(MODEL)
DAMAGES = ("removed", "added", "renamed", "transposed", "truncated", "integers")


@pytest.fixture(scope="module")
def intact(tmp_path_factory):
    """Layout to paths and their contents."""
    params, folder = bf16_params(), tmp_path_factory.mktemp("intact")
    layouts = {}
    for layout in LAYOUTS:
        paths = write_layout(layout, folder / layout.replace(" ", "_"), params)
        layouts[layout] = paths, [contents(path) for path in paths]
    return layouts


def contents(path):
    source = open_weights(path).source
    return dict(zip(source.leaves, source.read(list(source.leaves)), strict=True))


def rewrite(path, leaves):
    """Replaces the weights at `path`, in its own format."""
    if path.suffix == ".npz":
        write_npz(path, leaves)
    elif path.suffix == ".safetensors" or (path / "model.safetensors").exists():
        write_safetensors(path if path.is_file() else path / "model.safetensors", leaves)
    else:
        beside = [child.name for child in path.iterdir() if child.name.startswith("step_")]
        assert not beside
        shutil.rmtree(path)
        if any(name.startswith("transformer/") for name in leaves):
            write_flat_orbax(path, leaves)
        else:
            write_tree(path, unflatten({name: jnp.asarray(leaf) for name, leaf in leaves.items()}))


def damaged(leaves, name, damage):
    """(damaged leaves, the lines that must be listed)."""
    leaf = leaves[name]
    if damage == "removed":
        return {key: x for key, x in leaves.items() if key != name}, [f"− {name} {leaf.shape}"]
    separator = "/" if "/" in name else "."
    other = f"{name.rsplit(separator, 1)[0]}{separator}surprise"
    if damage == "added":
        return {**leaves, other: leaf}, [f"+ {other} {leaf.shape}"]
    if damage == "renamed":
        renamed = {(other if key == name else key): x for key, x in leaves.items()}
        return renamed, [f"− {name} {leaf.shape}", f"+ {other} {leaf.shape}"]
    if damage == "integers":
        line = f"≠ {name}: expected floating-point numbers, got int32"
        return {**leaves, name: np.ones(leaf.shape, np.int32)}, [line]
    changed = leaf.T if damage == "transposed" else leaf[..., :-1]
    # A square matrix or a vector looks the same transposed: no shape can tell.
    assume(changed.shape != leaf.shape and changed.size > 0)
    return {**leaves, name: changed}, [f"≠ {name}: expected {leaf.shape}, got {changed.shape}"]


@pytest.mark.parametrize("layout", LAYOUTS)
@settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True, database=None)
@given(data=st.data())
def test_a_damaged_leaf_is_named_and_nothing_is_written(intact, tmp_path_factory, layout, data):
    paths, stored = intact[layout]
    which = data.draw(st.integers(0, len(paths) - 1))
    source = open_weights(paths[which])
    used = sorted(name for entry in source.table(OURS).entries for name in entry.theirs)
    name = data.draw(st.sampled_from(used))
    leaves, lines = damaged(stored[which], name, data.draw(st.sampled_from(DAMAGES)))
    folder = tmp_path_factory.mktemp("damaged")
    broken = list(paths)
    broken[which] = copy_of(paths[which], folder)
    rewrite(broken[which], leaves)

    with pytest.raises(CheckpointError) as error:
        next(ValueModelWeightLoader(broken, MODEL).read())
    for line in lines:
        assert f"\n  {line}\n" in str(error.value)
    assert f"{len(lines)} differences from this model" in str(error.value)

    with pytest.raises(CheckpointError, match="differences from this model"):
        convert_weights(broken, folder / "out" / "checkpoint", "checkpoint", MODEL)
    assert not (folder / "out").exists()


def copy_of(path, folder):
    if path.is_file():
        return shutil.copy(path, folder / path.name)
    # A bundle's base model has the value model inside its folder.
    return shutil.copytree(path, folder / path.name, ignore=shutil.ignore_patterns("step_*"))


def test_half_a_head_is_missing_its_other_half(intact, tmp_path):
    leaves = {**intact["bundle"][1][0], "params/img/head/kernel": np.ones((16, 16), np.float32)}
    path = copy_of(intact["bundle"][0][0], tmp_path)
    rewrite(path, leaves)
    with pytest.raises(CheckpointError, match=r"1 differences .*\n  − params/img/head/bias \(16,\)"):
        next(ValueModelWeightLoader([path], MODEL).read())


def test_positions_that_are_no_square_are_refused(intact, tmp_path):
    name = "params/img/pos_embedding"
    leaves = intact["bundle"][1][0]
    path = copy_of(intact["bundle"][0][0], tmp_path)
    rewrite(path, {**leaves, name: leaves[name][:, :-1]})
    with pytest.raises(CheckpointError, match=r"≠ params/img/pos_embedding: expected \(1, 9, 16\), got \(1, 8, 16\)"):
        next(ValueModelWeightLoader([path], MODEL).read())


def test_a_truncated_array_of_an_orbax_directory(intact, tmp_path):
    """Names and shapes are all there: only reading shows it."""
    path = copy_of(intact["bundle"][0][0], tmp_path)
    # All data files: which of them holds an array depends on how orbax's threads took turns.
    for data in [*path.glob("d/*"), *path.glob("ocdbt.process_*/d/*")]:
        data.write_bytes(data.read_bytes()[: data.stat().st_size // 2])
    with pytest.raises(
        CheckpointError, match=r"expected a complete orbax checkpoint, (could not read|found no metadata)"
    ):
        list(ValueModelWeightLoader([path], MODEL).read())


def test_a_long_list_is_cut(intact, tmp_path):
    path = copy_of(intact["huggingface"][0][1], tmp_path)
    rewrite(path, {"model.norm.weight": np.zeros(32, np.float32)})
    with pytest.raises(CheckpointError) as error:
        next(ValueModelWeightLoader([intact["huggingface"][0][0], path], MODEL).read())
    assert str(error.value).count("\n  − ") == 20
    assert "\n  …\n" in str(error.value)


def test_the_orbax_oracle_has_every_number(intact):
    """The damage above is done to all of a file's leaves, not to a part of them."""
    path = intact["bundle"][0][0]
    total = sum(math.prod(leaf.shape) for leaf in OrbaxSource(path).leaves.values())
    assert total == 2 * sum(math.prod(leaf.shape) for leaf in OURS.values()) + 1
    config = json.loads((intact["huggingface"][0][0] / "config.json").read_text())
    assert config["vision_config"]["image_size"] == MODEL.siglip.image_size
