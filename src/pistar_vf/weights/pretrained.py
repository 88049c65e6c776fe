"""Pretrained weights into a value model, strictly: a leaf that does not fit stops the start of the training.

Leaves are read one by one, brought into our layout, and placed on their devices before the next one is read.
"""

import logging
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from pistar_vf import messages
from pistar_vf.errors import CheckpointError
from pistar_vf.models.value_model import ValueFunction, ValueModelConfig
from pistar_vf.params import flatten, leaf_differences, listed_lines, shapes_of
from pistar_vf.typing import Params
from pistar_vf.weights.folding import fold_head, grid_side, resize_position_embedding
from pistar_vf.weights.name_tables import RESIZED, Entry, Leaves, Table
from pistar_vf.weights.weight_files import Key, WeightFile, model_leaves, open_weights, uninformative_leaf

_log = logging.getLogger(__name__)
_PROJECTION = ("img_projection/kernel", "img_projection/bias")


class ValueModelWeightLoader:
    """Reads a value model, or a vision tower and a language model, into the tree of a value model.

    Args:
        paths: one value model, or one vision tower and one language model; see `open_weights` for the formats.
        model: the model that receives them.
        key: tree of a value model, "params" or "ema_params".
        allow_uninformative_tower: accept a value model whose values cannot depend on the images.

    Raises:
        CheckpointError: a path holds no weights, or together they are no model.
    """

    def __init__(
        self,
        paths: Sequence[Path],
        model: ValueModelConfig,
        *,
        key: Key = "params",
        allow_uninformative_tower: bool = False,
    ):
        self.files = [open_weights(path, key) for path in paths]
        kinds = sorted(file.kind for file in self.files)
        if kinds not in (["value model"], ["language model", "vision tower"]):
            raise CheckpointError(
                "expected one value model, or one vision tower and one language model, got "
                + (", ".join(f"a {file.kind} ({file.source.path})" for file in self.files) or "nothing")
            )
        self.model = model
        self._allow_uninformative_tower = allow_uninformative_tower

    def load(self, wanted: Params) -> Params:
        """Reads every leaf that the files have.

        Args:
            wanted: flat dict of the model's leaves as `jax.ShapeDtypeStruct`, with dtypes and placements.

        Returns:
            Flat dict of placed arrays; leaves that the files do not have are left out, which is logged.

        Raises:
            CheckpointError: a leaf is missing, extra or of another shape, or a file is damaged.
        """
        params = {}
        for name, leaf in self.read():
            # Waiting for the copy and dropping the source keeps one leaf in flight, not several.
            params[name] = jax.block_until_ready(place(leaf, wanted[name]))
            del leaf
        fresh = sorted(set(wanted) - set(params))
        if fresh:
            parts = sorted({name.split("/")[0] for name in fresh})
            _log.info(messages.RANDOM_LEAVES.format(count=len(fresh), parts=", ".join(parts)))
        return params

    def read(self) -> Iterator[tuple[str, np.ndarray]]:
        """Our leaves as host arrays in their stored dtype, one at a time, after everything was checked.

        Raises:
            CheckpointError: a leaf is missing, extra or of another shape, or a file is damaged.
        """
        ours = model_leaves(self.model)
        for file in self.files:
            check_fit(file, self.model, ours)
        for file in self.files:
            yield from self._read_file(file, ours)

    def _read_file(self, file: WeightFile, ours: Leaves) -> Iterator[tuple[str, np.ndarray]]:
        started = time.perf_counter()
        _log.info(messages.RESTORING.format(path=file.source.path))
        table = file.table(ours)
        folded = self._projection(file, table)
        count = len(table.folded) + sum(len(entry.theirs) for entry in table.entries)
        for name, leaf in _read_entries(file, table, ours):
            leaf = folded.get(name, leaf)
            yield name, self._resized(leaf, file) if name == RESIZED else leaf
            del leaf  # else it would be held while the next one is read
        _log.info(messages.RESTORED.format(seconds=time.perf_counter() - started))
        what = table.title if file.key is None else f"key={file.key}, step={file.step}"
        _log.info(messages.LEAVES_RESTORED.format(count=count, path=file.source.path, what=what))

    def _projection(self, file: WeightFile, table: Table) -> Params:
        """The folded `img_projection`, where there is something to fold; refuses a tower without information."""
        zeros = uninformative_leaf(file)
        if zeros is not None and not self._allow_uninformative_tower:
            raise CheckpointError(
                f"{file.source.path}: {zeros} is all zeros, so the vision tower of this checkpoint carries no "
                "information: its values cannot depend on the images. Use another checkpoint, start from base weights "
                "(--pretrained_source base), or pass --allow_uninformative_tower"
            )
        if not table.folded:
            return {}
        _log.info(messages.HEAD_FOLDED)
        projection = [entry.theirs[0] for name in _PROJECTION for entry in table.entries if entry.ours == name]
        return dict(zip(_PROJECTION, fold_head(*file.source.read([*table.folded, *projection]))))

    def _resized(self, leaf: np.ndarray, file: WeightFile) -> np.ndarray:
        wanted = self.model.siglip.num_tokens
        if leaf.shape[1] == wanted:
            return leaf
        before, after = grid_side(leaf.shape[1]), grid_side(wanted)
        _log.info(messages.POSITIONS_RESIZED.format(before=before, after=after, path=file.source.path))
        return resize_position_embedding(leaf, wanted)


def init_params(value_function: ValueFunction, seed: int, wanted: Params) -> Params:
    """Random values of the wanted leaves, created in place on their devices.

    Args:
        value_function: decides the tree.
        seed: of the random numbers; a leaf's value does not depend on which others are wanted.
        wanted: flat dict of `jax.ShapeDtypeStruct` with dtypes and placements.
    """

    def init(key: jax.Array) -> Params:
        flat = flatten(value_function.init(key))
        return {path: flat[path].astype(leaf.dtype) for path, leaf in wanted.items()}

    placement = {path: leaf.sharding for path, leaf in wanted.items()}
    return jax.jit(init, out_shardings=placement)(jax.random.key(seed))


def place(leaf: np.ndarray, wanted: jax.ShapeDtypeStruct) -> jax.Array:
    """A host array in its place, split over devices and processes as `wanted.sharding` says."""
    leaf = leaf.astype(wanted.dtype, copy=False)
    return jax.make_array_from_callback(leaf.shape, wanted.sharding, lambda index: leaf[index])


def check_fit(file: WeightFile, model: ValueModelConfig, ours: Leaves) -> None:
    """Refuses a file whose leaves are not exactly the table's.

    Raises:
        CheckpointError: lists missing (−), extra (+) and differing (≠) leaves.
    """
    table, stored = file.table(ours), file.source.leaves
    expected = {name: shape for entry in table.entries for name, shape in _expected(entry, file, model, ours).items()}
    if table.folded:
        width = model.siglip.width
        expected |= dict(zip(table.folded, [(width, width), (width,)]))
    used = {name: leaf for name, leaf in stored.items() if name in expected or not _is_unused(name, table)}
    lines = file.config_problems(model) + leaf_differences(expected, shapes_of(used))
    lines += [
        f"≠ {name}: expected floating-point numbers, got {stored[name].dtype}"
        for name in expected
        if name in stored and not jnp.issubdtype(stored[name].dtype, jnp.floating)
    ]
    if lines:
        raise CheckpointError(
            f"{file.source.path} ({table.title}): {len(lines)} differences from this model "
            f"(− missing, + without a place, ≠ other):{listed_lines(lines)}\nUse weights of this architecture, or the "
            "--siglip_variant, --gemma_variant, --state_encoding that the weights were made with"
        )


def _expected(entry: Entry, file: WeightFile, model: ValueModelConfig, ours: Leaves) -> dict[str, tuple[int, ...]]:
    """The file's names of an entry and the shape each must have."""
    shape = ours[entry.ours].shape
    if entry.ours == RESIZED:
        shape = (1, _stored_positions(entry, file, model), shape[2])
    return dict.fromkeys(entry.theirs, entry.part_shape(shape))


def _stored_positions(entry: Entry, file: WeightFile, model: ValueModelConfig) -> int:
    """Rows of the position embedding: what the file says, else any square number, else the model's."""
    declared = file.num_positions(model)
    if declared is not None:
        return declared
    leaf = file.source.leaves.get(entry.theirs[0])
    found = leaf.shape[-2] if leaf is not None and len(leaf.shape) >= 2 else 0
    return found if found and grid_side(found) else model.siglip.num_tokens


def _is_unused(name: str, table: Table) -> bool:
    return any(name == prefix or (name.startswith(prefix) and prefix[-1] in "/.") for prefix in table.unused)


def _read_entries(file: WeightFile, table: Table, ours: Leaves) -> Iterator[tuple[str, np.ndarray]]:
    # Large leaves first: their temporary copies then meet the least memory in use.
    entries = sorted(table.entries, key=lambda entry: -ours[entry.ours].size)
    parts = file.source.read([part for entry in entries for part in entry.theirs])
    for entry in entries:
        yield entry.ours, entry.load(parts, ours[entry.ours].shape)
