"""Reading and writing trees of arrays with orbax, the same way for every orbax from 0.11.13 on."""

import contextlib
import logging
import re
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp

from pistar_vf.errors import CheckpointError
from pistar_vf.foreign_files import read_object
from pistar_vf.params import flatten, leaf_differences, listed_lines, shapes_of

_METADATA = "_METADATA"
"""Where orbax describes the leaves."""


def write_tree(path: Path, tree: Any) -> None:
    """Writes nested dicts of `jax.Array` leaves as one orbax directory; returns when it is on disk."""
    with _quiet(), ocp.PyTreeCheckpointer() as checkpointer:
        checkpointer.save(str(path.absolute()), tree)


def read_tree(path: Path, abstract: Any) -> Any:
    """Reads the leaves named by `abstract`, each straight to its place.

    Args:
        path: an orbax directory.
        abstract: nested dicts of `jax.ShapeDtypeStruct`, with shardings where the placement matters; leaves that the
            checkpoint holds beyond it are not read.

    Raises:
        CheckpointError: the directory or a file in it is unreadable, or a leaf is missing or has another shape.
    """
    stored, wanted = tree_shapes(path), shapes_of(flatten(abstract))
    problems = leaf_differences(wanted, {name: shape for name, shape in stored.items() if name in wanted})
    if problems:
        raise CheckpointError(f"{path}: {len(problems)} leaves do not fit this model:{listed_lines(problems)}")
    placement = jax.tree.map(_with_sharding, abstract)
    return _restore(path, placement, ocp.checkpoint_utils.construct_restore_args(placement))


def read_arrays(path: Path, abstract: Any) -> Any:
    """Reads the leaves named by `abstract` as numpy arrays, in their stored shape and dtype.

    Args:
        path: an orbax directory.
        abstract: nested dicts of `jax.ShapeDtypeStruct`, a part of `tree_metadata`.

    Raises:
        CheckpointError: a file of the directory is unreadable.
    """
    return _restore(path, abstract, jax.tree.map(lambda leaf: ocp.RestoreArgs(restore_type=np.ndarray), abstract))


def tree_metadata(path: Path) -> dict[str, Any]:
    """Nested dicts of `jax.ShapeDtypeStruct`: what an orbax directory holds.

    Raises:
        CheckpointError: the directory does not exist or is no complete orbax checkpoint.
    """
    if not path.is_dir():
        raise CheckpointError(f"{path}: no such checkpoint directory")
    _refuse_paths_outside(path)
    try:
        with _quiet(), ocp.PyTreeCheckpointer() as checkpointer:
            metadata = checkpointer.metadata(str(path.absolute()))
    except Exception as error:  # orbax raises whatever its storage layer raises
        raise CheckpointError(f"{path}: expected a complete orbax checkpoint, could not read it: {error}") from error
    tree = getattr(metadata, "item_metadata", metadata)
    tree = getattr(tree, "tree", tree)
    if tree is None:
        raise CheckpointError(f"{path}: expected a complete orbax checkpoint, found no metadata in it")
    return jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(tuple(leaf.shape), leaf.dtype), tree)


def _refuse_paths_outside(path: Path) -> None:
    """Names of leaves become paths: in a checkpoint from elsewhere they must not lead out of its folder."""
    for names in _leaf_names(path / _METADATA):
        parts = [part for name in names for part in re.split(r"[/\\]", name)]
        if {"..", ""} & set(parts) or any(name.startswith(("/", "\\")) or "\0" in name for name in names):
            raise CheckpointError(
                f"{path}: expected names of leaves below the checkpoint, got {'/'.join(names)!r} in {_METADATA}, which "
                "leads elsewhere; do not use this checkpoint"
            )


def _leaf_names(metadata: Path) -> list[tuple[str, ...]]:
    """As the file has them, before orbax follows them; none where there is none, or another version's.

    Raises:
        CheckpointError: it is damaged; orbax's threads would print what they think of it.
    """
    if not metadata.is_file():
        return []
    described = read_object(metadata, "the description of a complete orbax checkpoint", CheckpointError)
    try:
        leaves = described["tree_metadata"].values()
        return [tuple(str(key["key"]) for key in leaf["key_metadata"]) for leaf in leaves]
    except (KeyError, TypeError, AttributeError):
        return []


def tree_shapes(path: Path) -> dict[str, tuple[int, ...]]:
    """Flat name to shape of every leaf in an orbax directory.

    Raises:
        CheckpointError: the directory does not exist or is no complete orbax checkpoint.
    """
    return shapes_of(flatten(tree_metadata(path)))


def _restore(path: Path, abstract: Any, restore_args: Any) -> Any:
    try:
        with _quiet(), ocp.PyTreeCheckpointer() as checkpointer:
            return checkpointer.restore(
                str(path.absolute()),
                item=abstract,
                restore_args=restore_args,
                # An empty mapping is orbax's way to say that the tree may hold more than is asked for.
                transforms={},
            )
    except Exception as error:  # orbax raises whatever its storage layer raises
        raise CheckpointError(
            f"{path}: expected a complete orbax checkpoint, could not read its arrays: {error}; copy it again"
        ) from error


def _with_sharding(leaf: jax.ShapeDtypeStruct) -> jax.ShapeDtypeStruct:
    if leaf.sharding is not None:
        return leaf
    return jax.ShapeDtypeStruct(
        leaf.shape, leaf.dtype, sharding=jax.sharding.SingleDeviceSharding(jax.local_devices()[0])
    )


class _Quiet:
    """Keeps orbax from warning once per leaf; its errors are raised, not logged.

    The last and the best state are written by two threads at once: the first one in lowers the voice of the one logger
    that they share, the last one out restores it.
    """

    def __init__(self) -> None:
        self._lock, self._depth, self._level = threading.Lock(), 0, logging.NOTSET

    @contextlib.contextmanager
    def __call__(self) -> Iterator[None]:
        logger = logging.getLogger("absl")
        with self._lock:
            if self._depth == 0:
                self._level = logger.level
                logger.setLevel(logging.ERROR)
            self._depth += 1
        try:
            yield
        finally:
            with self._lock:
                self._depth -= 1
                if self._depth == 0:
                    logger.setLevel(self._level)


_quiet = _Quiet()
