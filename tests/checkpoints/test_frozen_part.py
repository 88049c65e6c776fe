"""Slim checkpoints: only trained leaves in each, the frozen ones once, and whole trees for whoever reads."""

import json
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import optax
import orbax.checkpoint as ocp
import pytest

from pistar_vf.checkpoints.frozen_part import FrozenPart, checkpoint_metadata, read_checkpoint
from pistar_vf.checkpoints.manager import CheckpointManager
from pistar_vf.checkpoints.orbax_tree import read_arrays
from pistar_vf.errors import CheckpointError
from pistar_vf.params import flatten, leaves_digest
from pistar_vf.weights.sources import OrbaxSource

TX = optax.adam(0.1)


def tree(value):
    """`tower` stays, `head` is trained."""
    return {"tower": {"kernel": jnp.arange(6.0).reshape(2, 3)}, "head": {"bias": jnp.full(4, value, jnp.float32)}}


def shapes(value):
    return jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype), value)


def slim(root, **options):
    return CheckpointManager(root, None, b"", frozen_part=FrozenPart(root, lambda name: name[:4] == "head"), **options)


@pytest.fixture
def run(tmp_path):
    manager = slim(tmp_path / "run")
    for step in (1, 2):
        head = {"head": tree(step)["head"]}
        manager.save(step, tree(step), tree(step + 0.5), TX.init(head), {"step": step})
    manager.close()
    return tmp_path / "run"


def test_a_slim_checkpoint_holds_what_is_trained(run):
    for step in (1, 2):
        own = flatten(ocp.PyTreeCheckpointer().restore(str(run / f"step_0000000{step}")))
        assert set(own) == {"params/head/bias", "ema_params/head/bias", "step"}
    (frozen,) = (run / "frozen").iterdir()
    assert set(flatten(ocp.PyTreeCheckpointer().restore(str(frozen)))) == {"params/tower/kernel"}
    expected = leaves_digest({"tower/kernel": np.arange(6, dtype=np.float32).reshape(2, 3)})[:16]
    assert frozen.name == expected == json.loads((run / "step_00000002" / "frozen.json").read_text())["digest"]


def test_it_reads_like_a_whole_one(run):
    wanted = shapes({"params": tree(0), "ema_params": tree(0)})
    read = read_checkpoint(run / "step_00000002", wanted)
    jax.tree.map(np.testing.assert_array_equal, read, {"params": tree(2), "ema_params": tree(2.5)})
    arrays = read_checkpoint(run / "step_00000002", {"ema_params": wanted["ema_params"]}, read_arrays)
    jax.tree.map(np.testing.assert_array_equal, arrays, {"ema_params": tree(2.5)})
    assert set(flatten(checkpoint_metadata(run / "step_00000002"))) == {
        *(f"{key}/{name}" for key in ("params", "ema_params") for name in ("tower/kernel", "head/bias")),
        "step",
    }


def test_as_a_source_of_weights(run):
    source = OrbaxSource(run / "step_00000002")
    names = ["ema_params/head/bias", "ema_params/tower/kernel", "params/tower/kernel"]
    own, *frozen = source.read(names)
    np.testing.assert_array_equal(own, np.full(4, 2.5))
    for leaf in (*frozen, *source.read(names[1:2])):
        np.testing.assert_array_equal(leaf, tree(0)["tower"]["kernel"])


def test_going_on_from_one(run):
    head = {"head": tree(0)["head"]}
    params, ema, _, position = slim(run).restore(2, shapes(tree(0)), shapes(head), shapes(TX.init(head)))
    jax.tree.map(np.testing.assert_array_equal, params, tree(2))
    jax.tree.map(np.testing.assert_array_equal, ema, {"head": tree(2.5)["head"]})
    assert position == {"step": 2}


def test_other_frozen_leaves_lie_beside_the_old_ones(run):
    """Never in their place: the older checkpoints belong to the older ones."""
    manager, other = slim(run), tree(3)
    other["tower"]["kernel"] += 1
    manager.save(3, other, other, None, {})
    manager.close()
    assert len(list((run / "frozen").iterdir())) == 2
    wanted = shapes({"params": tree(0)})
    for step, expected in ((2, tree(2)), (3, other)):
        read = read_checkpoint(run / f"step_0000000{step}", wanted)
        jax.tree.map(np.testing.assert_array_equal, read, {"params": expected})


def test_without_its_frozen_leaves_it_says_what_to_copy(run, tmp_path):
    alone = tmp_path / "elsewhere" / "step_00000002"
    shutil.copytree(run / "step_00000002", alone)
    for read in (lambda: read_checkpoint(alone, shapes({"params": tree(0)})), lambda: OrbaxSource(alone)):
        with pytest.raises(CheckpointError, match=r"a slim checkpoint .* copy the folder 'frozen' of its run along"):
            read()
    shutil.copytree(run / "frozen", alone.parent / "frozen")
    read_checkpoint(alone, shapes({"params": tree(0)}))


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"digest": "../../x"}', '{"digest": 3}'])
def test_a_damaged_marker(run, content):
    marker = run / "step_00000002" / "frozen.json"
    marker.write_text(content)
    with pytest.raises(CheckpointError, match=r"frozen\.json: expected the digest"):
        read_checkpoint(marker.parent, shapes({"params": tree(0)}))
