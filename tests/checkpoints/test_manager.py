"""Checkpoints on disk: what they hold, which are kept, and that a kill never leaves half of one."""

import json
import os
import random
import signal
import subprocess
import sys
import textwrap
import threading
import time

import jax
import jax.numpy as jnp
import numpy as np
import optax
import orbax.checkpoint as ocp
import pytest
from support.places import environment

from pistar_vf.checkpoints.layout import complete_steps, find_checkpoint
from pistar_vf.checkpoints.manager import CheckpointManager
from pistar_vf.checkpoints.orbax_tree import read_tree
from pistar_vf.checkpoints.value_spec import ValueSpec
from pistar_vf.errors import CheckpointError
from pistar_vf.models.value_model import ValueFunction
from pistar_vf.params import flatten
from pistar_vf.testing.tiny import tiny_model_config
from pistar_vf.tokenizer import train_prompt_tokenizer

TOKENIZER = train_prompt_tokenizer(["push"])
SPEC = ValueSpec(
    model=tiny_model_config(),
    camera_keys={"base_0_rgb": "front"},
    image_fit="pad",
    state=None,
    tokenizer_sha256=TOKENIZER.digest,
    label_column="value_label",
    label_conventions=(),
    trained_on=None,
)
TX = optax.adam(0.1)


def tree(value):
    return {"a": {"kernel": jnp.full((2, 3), value, jnp.float32)}, "b": {"bias": jnp.full(4, -value, jnp.float32)}}


def optimizer_state(value):
    return TX.update(tree(value), TX.init(tree(0.0)))[1]


def save(manager, step, **overrides):
    parts = {
        "params": tree(step),
        "ema_params": tree(step + 0.5),
        "opt_state": optimizer_state(step),
        "position": {"seed": 3},
    }
    manager.save(step, **{**parts, **overrides})


@pytest.fixture
def manager(tmp_path):
    manager = CheckpointManager(tmp_path / "run", SPEC, TOKENIZER.model)
    yield manager
    manager.close()


def shapes(part):
    return jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype), part)


def restore(manager, step):
    return manager.restore(step, shapes(tree(0)), shapes(tree(0)), shapes(optimizer_state(1.0)))


def test_what_is_restored_is_what_was_saved(manager):
    save(manager, 7)
    manager.wait()
    restored = restore(manager, 7)
    expected = (tree(7), tree(7.5), optimizer_state(7), {"seed": 3})
    assert jax.tree.structure(restored) == jax.tree.structure(expected)
    jax.tree.map(np.testing.assert_array_equal, restored, expected)


def test_orbax_alone_reads_the_three_documented_keys(manager):
    save(manager, 7)
    manager.wait()
    path = str(manager.root / "step_00000007")
    plain = ocp.PyTreeCheckpointer().restore(path)
    assert set(plain) == {"params", "ema_params", "step"}
    assert set(flatten(plain)) == {f"{p}/{n}" for p in ("params", "ema_params") for n in ("a/kernel", "b/bias")} | {
        "step"
    }
    item = {"params": tree(0), "ema_params": tree(0), "step": jnp.zeros((), jnp.int32)}
    args = ocp.checkpoint_utils.construct_restore_args(item)
    placed = ocp.PyTreeCheckpointer().restore(path, item=item, restore_args=args)
    for read in (plain, placed):
        jax.tree.map(np.testing.assert_array_equal, read, {"params": tree(7), "ema_params": tree(7.5), "step": 7})


def test_a_trained_checkpoint_has_every_leaf_of_the_model(trained_run):
    """Frozen leaves included: the embedding table is frozen in every mode."""
    from pistar_vf.checkpoints.value_spec import load_value_spec

    read = ocp.PyTreeCheckpointer().restore(str(trained_run.checkpoint))
    model = load_value_spec(trained_run.checkpoint).model
    expected = {n: x.shape for n, x in flatten(ValueFunction(model).shapes()).items()}
    for key in ("params", "ema_params"):
        assert {name: leaf.shape for name, leaf in flatten(read[key]).items()} == expected
    assert "llm/embedder/input_embedding" in expected


def test_spec_and_tokenizer_travel_with_it(manager):
    save(manager, 1)
    manager.wait()
    path = manager.root / "step_00000001"
    assert (path / "tokenizer.model").read_bytes() == TOKENIZER.model
    assert json.loads((path / "value_spec.json").read_text())["tokenizer_sha256"] == TOKENIZER.digest


def steps(folder):
    return sorted(entry.name for entry in folder.iterdir() if entry.name.startswith("step_"))


def test_only_the_newest_are_kept(tmp_path):
    manager = CheckpointManager(tmp_path, SPEC, TOKENIZER.model, max_to_keep=2)
    for step in (1, 2, 3, 10):
        save(manager, step)
    manager.close()
    assert steps(tmp_path) == steps(tmp_path / "train_state") == ["step_00000003", "step_00000010"]
    assert list((tmp_path / ".staging").iterdir()) == []


def test_a_run_that_went_back_keeps_what_it_writes(tmp_path):
    manager = CheckpointManager(tmp_path, SPEC, TOKENIZER.model, max_to_keep=1)
    save(manager, 8)
    save(manager, 3)
    manager.close()
    assert steps(tmp_path) == ["step_00000003", "step_00000008"]


def test_the_best_of_a_replaced_history_makes_way(tmp_path):
    manager = CheckpointManager(tmp_path / "best", SPEC, TOKENIZER.model, only_newest=True)
    for step in (2, 8, 3):
        save(manager, step, opt_state=None)
    manager.close()
    assert steps(tmp_path / "best") == ["step_00000003"]
    assert find_checkpoint(tmp_path).name == "step_00000003"


def test_later_steps_are_removed_with_their_training_state(tmp_path):
    manager = CheckpointManager(tmp_path, SPEC, TOKENIZER.model)
    for step in (2, 8, 10):
        save(manager, step)
    manager.wait()
    assert not manager.remove_later(10)
    assert manager.remove_later(7)
    assert steps(tmp_path) == steps(tmp_path / "train_state") == ["step_00000002"]
    manager.close()


def test_saving_a_step_again_replaces_it(manager):
    save(manager, 5)
    save(manager, 5, params=tree(99))
    manager.wait()
    np.testing.assert_array_equal(restore(manager, 5)[0]["a"]["kernel"], np.full((2, 3), 99))


def test_left_overs_of_a_killed_save_are_cleaned_away(tmp_path):
    (tmp_path / ".staging" / "step_00000001").mkdir(parents=True)
    (tmp_path / "train_state" / "step_00000001").mkdir(parents=True)
    manager = CheckpointManager(tmp_path, SPEC, TOKENIZER.model)
    assert not (tmp_path / ".staging").exists()
    save(manager, 1)
    manager.close()
    assert restore(manager, 1)[3] == {"seed": 3}


def test_an_error_of_the_background_save_is_raised(manager):
    save(manager, 1, position={"seed": object()})
    message = (
        r"step_00000001: expected to save this checkpoint in the background, got TypeError\('Object of type object"
    )
    with pytest.raises(CheckpointError, match=message):
        manager.wait()
    assert complete_steps(manager.root) == []


def test_a_failed_save_is_seen_without_waiting(manager):
    """And told once: the run that it ended may still close the manager."""
    save(manager, 1)
    manager.check()  # under way or done, but not failed
    save(manager, 2, position={"seed": object()})
    manager._pending[1].exception()  # until it has failed
    with pytest.raises(CheckpointError, match=r"step_00000002: expected to save .* go on from the last complete"):
        manager.check()
    manager.check()
    assert complete_steps(manager.root) == [1]


def test_a_save_that_takes_its_time_is_not_waited_for(manager, monkeypatch):
    started, may_end = threading.Event(), threading.Event()
    write = CheckpointManager._write

    def slow(self, *args):
        started.set()
        may_end.wait(30)
        write(self, *args)

    monkeypatch.setattr(CheckpointManager, "_write", slow)
    save(manager, 1)
    started.wait(30)
    manager.check()
    assert complete_steps(manager.root) == []
    may_end.set()
    manager.wait()
    assert complete_steps(manager.root) == [1]


def test_arrays_in_host_memory_are_saved_like_those_on_a_device(tmp_path):
    """As the best and the last copy of a run are, beside frozen leaves that stayed on the device."""
    trees = []
    for folder, own in (("device", tree(7)), ("host", jax.tree.map(np.array, tree(7)))):
        manager = CheckpointManager(tmp_path / folder, SPEC, TOKENIZER.model)
        mixed = {**own, "b": tree(7)["b"]}
        save(manager, 7, params=mixed, opt_state=jax.tree.map(np.array, optimizer_state(7)))
        manager.close()
        restored = restore(manager, 7)
        jax.tree.map(np.testing.assert_array_equal, restored, (tree(7), tree(7.5), optimizer_state(7), {"seed": 3}))
        assert all(isinstance(leaf, jax.Array) for leaf in jax.tree.leaves(restored[:3]))
        trees.append(ocp.PyTreeCheckpointer().restore(str(manager.root / "step_00000007")))
    jax.tree.map(np.testing.assert_array_equal, *trees)


def test_without_train_state_one_cannot_resume(manager):
    save(manager, 1, opt_state=None)
    manager.wait()
    with pytest.raises(CheckpointError, match=r"train_state/step_00000001: not found, so the optimiser cannot go on"):
        restore(manager, 1)


def test_a_checkpoint_of_another_model_is_refused(manager):
    save(manager, 1, params={"a": {"kernel": jnp.zeros((3, 2))}}, ema_params=tree(0))
    manager.wait()
    with pytest.raises(CheckpointError, match=r"2 leaves do not fit") as error:
        restore(manager, 1)
    assert "≠ params/a/kernel: expected (2, 3), got (3, 2)" in str(error.value)
    assert "− params/b/bias (4,)" in str(error.value)


def test_finding_a_checkpoint(manager, tmp_path):
    best = CheckpointManager(manager.root / "best", SPEC, TOKENIZER.model)
    save(manager, 2)
    save(manager, 4)
    manager.wait()
    last = manager.root / "step_00000004"
    assert find_checkpoint(manager.root) == find_checkpoint(last) == last
    save(best, 3)
    best.close()
    assert find_checkpoint(manager.root) == manager.root / "best" / "step_00000003"
    with pytest.raises(CheckpointError, match=r"expected a checkpoint \(step_…\) or a training directory"):
        find_checkpoint(tmp_path / "nothing")


# One interpreter imports everything and forks before JAX starts, so that eight kills cost one start.
_SAVES_FOREVER = """
    import itertools, os, sys
    from checkpoints import test_manager
    from pathlib import Path
    for number in range(8):
        if os.fork() == 0:
            root = Path(sys.argv[1]) / str(number)
            manager = test_manager.CheckpointManager(root, test_manager.SPEC, test_manager.TOKENIZER.model, 2)
            for step in itertools.count(1):
                test_manager.save(manager, step)
                manager.wait()
                if step == 1:
                    print(number, os.getpid(), flush=True)
        os.wait()
"""


def test_a_kill_leaves_only_complete_checkpoints(tmp_path):
    env = environment(JAX_PLATFORMS="cpu")
    rng = random.Random(0)
    command = [sys.executable, "-c", textwrap.dedent(_SAVES_FOREVER), str(tmp_path)]
    with subprocess.Popen(command, env=env, stdout=subprocess.PIPE, text=True) as parent:
        for _ in range(8):
            _, pid = parent.stdout.readline().split()
            time.sleep(rng.uniform(0.02, 0.4))
            os.kill(int(pid), signal.SIGKILL)
    assert parent.returncode == 0
    for number in range(8):
        manager = CheckpointManager(tmp_path / str(number), SPEC, TOKENIZER.model)
        found = complete_steps(manager.root)
        assert found
        for step in found:
            params, ema, opt_state, _ = restore(manager, step)
            jax.tree.map(np.testing.assert_array_equal, (params, ema), (tree(step), tree(step + 0.5)))
            jax.tree.map(np.testing.assert_array_equal, opt_state, optimizer_state(step))
            read_tree(manager.root / f"step_{step:08d}", {"params": shapes(tree(0))})
