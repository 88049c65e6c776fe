"""Trees on disk: strict about names and shapes, clear about damage."""

import contextlib
import logging

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pistar_vf.checkpoints.orbax_tree import _quiet, read_tree, tree_shapes, write_tree
from pistar_vf.errors import CheckpointError

TREE = {"a": {"kernel": np.arange(6, dtype=np.float32).reshape(2, 3), "bias": np.ones(3, np.float32)}, "step": 7}


def shapes(**leaves):
    return {name: jax.ShapeDtypeStruct(shape, jnp.float32) for name, shape in leaves.items()}


@pytest.fixture
def path(tmp_path):
    write_tree(tmp_path / "tree", jax.tree.map(jnp.asarray, TREE))
    return tmp_path / "tree"


def test_what_is_read_is_what_was_written(path):
    abstract = {"a": shapes(kernel=(2, 3), bias=(3,)), "step": jax.ShapeDtypeStruct((), jnp.int32)}
    read = read_tree(path, abstract)
    jax.tree.map(np.testing.assert_array_equal, read, TREE)
    assert all(isinstance(leaf, jax.Array) for leaf in jax.tree.leaves(read))


def test_a_part_of_the_tree_can_be_read_alone(path):
    read = read_tree(path, {"a": shapes(bias=(3,))})
    assert list(read["a"]) == ["bias"]


def test_names_and_shapes_are_read_without_the_arrays(path):
    assert tree_shapes(path) == {"a/bias": (3,), "a/kernel": (2, 3), "step": ()}


def test_missing_and_misshapen_leaves_are_all_listed(path):
    abstract = {"a": shapes(kernel=(3, 2), bias=(3,)), "b": shapes(bias=(4,))}
    with pytest.raises(CheckpointError, match=r"2 leaves do not fit this model") as error:
        read_tree(path, abstract)
    assert str(error.value).splitlines()[1:] == ["  − b/bias (4,)", "  ≠ a/kernel: expected (3, 2), got (2, 3)"]


def test_a_long_list_is_cut(path):
    with pytest.raises(CheckpointError, match=r"25 leaves do not fit") as error:
        read_tree(path, {"c": shapes(**{f"x{number:02d}": (1,) for number in range(25)})})
    lines = str(error.value).splitlines()
    assert (len(lines), lines[-1]) == (22, "  …")


def test_no_directory_is_an_error(tmp_path):
    with pytest.raises(CheckpointError, match=r"no such checkpoint directory"):
        tree_shapes(tmp_path / "nothing")


def test_an_empty_directory_is_an_error(tmp_path):
    with pytest.raises(CheckpointError, match=r"expected a complete orbax checkpoint"):
        tree_shapes(tmp_path)


@pytest.mark.parametrize("damage", ["removed", "truncated"])
@pytest.mark.parametrize("which", ["all", "largest"])
def test_damaged_array_files_are_an_error(tmp_path, damage, which):
    write_tree(tmp_path / "tree", {"kernel": jnp.asarray(np.random.default_rng(0).random((64, 64), np.float32))})
    files = [file for file in (tmp_path / "tree").rglob("*") if file.is_file() and file.parent.name == "d"]
    for file in files if which == "all" else [max(files, key=lambda file: file.stat().st_size)]:
        file.unlink() if damage == "removed" else file.write_bytes(file.read_bytes()[: file.stat().st_size // 3])
    with pytest.raises(CheckpointError, match=r"tree: expected a complete orbax checkpoint, (found no|could not read)"):
        read_tree(tmp_path / "tree", shapes(kernel=(64, 64)))


def test_two_writes_at_once_leave_warnings_as_they_were():
    """The first to begin is the first to end, as no nesting of blocks has it."""
    logger = logging.getLogger("absl")
    level, first, second = logger.level, contextlib.ExitStack(), contextlib.ExitStack()
    try:
        logger.setLevel(logging.INFO)
        first.enter_context(_quiet())
        second.enter_context(_quiet())
        first.close()
        assert logger.level == logging.ERROR
        second.close()
        assert logger.level == logging.INFO
    finally:
        logger.setLevel(level)


def test_removed_metadata_is_an_error(path):
    (path / "_METADATA").unlink()
    with pytest.raises(CheckpointError, match=r"expected a complete orbax checkpoint"):
        read_tree(path, {"a": shapes(bias=(3,))})


@pytest.mark.parametrize("name", ["..", "../../elsewhere", "/tmp-of-somebody/x", "a/../../b", "..\\\\b"])
def test_names_that_lead_out_of_the_folder_are_refused(path, name):
    """In a checkpoint from elsewhere they are somebody else's words."""
    metadata = path / "_METADATA"
    text = metadata.read_text()
    assert "bias" in text
    metadata.write_text(text.replace("bias", name))
    with pytest.raises(CheckpointError, match=r"expected names of leaves below the checkpoint, got '.+' in _METADATA"):
        tree_shapes(path)
