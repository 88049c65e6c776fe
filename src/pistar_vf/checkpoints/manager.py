"""Checkpoints on disk: complete or absent, saved in the background, thinned out by age.

    <root>/step_00005000/               orbax tree {params, ema_params, step}, value_spec.json, tokenizer.model
    <root>/frozen/<digest>/             slim checkpoints only: what is frozen, once for all of them
    <root>/train_state/step_00005000/   what resuming needs besides: optimiser state, position.json

Both are written under `<root>/.staging/` and renamed into place, `step_…` last, so that its presence means that the
checkpoint is complete.
"""

import json
import shutil
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import NamedSharding, PartitionSpec

from pistar_vf.checkpoints import value_spec
from pistar_vf.checkpoints.frozen_part import FROZEN_FILE, FrozenPart, read_checkpoint
from pistar_vf.checkpoints.layout import SETTINGS_FILE, TOKENIZER_FILE, complete_steps, step_name
from pistar_vf.checkpoints.orbax_tree import read_tree, write_tree
from pistar_vf.checkpoints.value_spec import ValueSpec
from pistar_vf.errors import CheckpointError
from pistar_vf.foreign_files import read_object
from pistar_vf.typing import Params

POSITION_FILE = "position.json"


class CheckpointManager:
    """Writes, lists, thins out and restores the checkpoints of one training run.

    Args:
        root: the run's directory.
        spec: stored in every checkpoint; None where its values mean nothing yet.
        tokenizer_model: SentencePiece model, stored in every checkpoint.
        max_to_keep: newest checkpoints to keep; None keeps all.
        settings: of the run, as text, stored in every checkpoint; None for a run without.
        frozen_part: takes the leaves that the run does not train, so that its checkpoints hold the others only; None
            writes all leaves into every checkpoint.
        only_newest: keep what was saved last and nothing else, not even a later step that this run replaces.
    """

    def __init__(
        self,
        root: Path,
        spec: ValueSpec | None,
        tokenizer_model: bytes,
        max_to_keep: int | None = None,
        settings: str | None = None,
        frozen_part: FrozenPart | None = None,
        only_newest: bool = False,
    ):
        self.root = Path(root).absolute()
        self._spec = spec
        self._tokenizer_model = tokenizer_model
        self._max_to_keep = max_to_keep
        self._settings = settings
        self._frozen_part = frozen_part
        self._only_newest = only_newest
        self._staging = self.root / ".staging"
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="checkpoint")
        self._pending: tuple[int, Future] | None = None
        if jax.process_index() == 0:
            self.root.mkdir(parents=True, exist_ok=True)
            shutil.rmtree(self._staging, ignore_errors=True)

    def save(
        self,
        step: int,
        params: Params,
        ema_params: Params,
        opt_state: Any,
        position: dict[str, Any],
    ) -> None:
        """Saves in the background; waits first for a save that is still under way.

        Args:
            step: number of updates done.
            params: nested parameter tree.
            ema_params: nested tree of averages.
            opt_state: optax state; None writes a checkpoint that can be used but not resumed from.
            position: JSON-able facts that resuming needs.

        The arrays must stay untouched until `wait`: pass copies of anything a later step donates. Numpy arrays are
        written like those on a device.

        Raises:
            CheckpointError: the save before this one failed.
        """
        self.wait()
        checkpoint = {"params": params, "ema_params": ema_params, "step": _beside(params, np.int32(step))}
        state = None if opt_state is None else {"opt_state": _numbered(opt_state)}
        if jax.process_count() > 1:
            # Orbax synchronises the processes itself and must be called in the same order by all of them.
            self._write(step, checkpoint, state, position)
        else:
            self._pending = step, self._pool.submit(self._write, step, checkpoint, state, position)

    def path(self, step: int) -> Path:
        """The directory of a step's checkpoint."""
        return self.root / step_name(step)

    def remove_later(self, step: int) -> bool:
        """Removes the checkpoints of later steps, and their training state; whether there were any."""
        later = [other for other in complete_steps(self.root) if other > step]
        _synchronize(f"looked for steps after {step} in {self.root.name}")  # before the first of them is gone
        if jax.process_index() == 0:
            for other in later:
                self._remove_with_state(other)
        return bool(later)

    def check(self) -> None:
        """Looks whether a background save has failed; does not wait for one that is under way.

        Raises:
            CheckpointError: it has.
        """
        if self._pending is not None and self._pending[1].done():
            self.wait()

    def wait(self) -> None:
        """Returns when nothing is being saved.

        Raises:
            CheckpointError: a background save failed.
        """
        if self._pending is None:
            return
        (step, pending), self._pending = self._pending, None
        try:
            pending.result()
        except Exception as error:  # whatever the disk, orbax or its storage layer raises
            raise CheckpointError(
                f"{self.path(step)}: expected to save this checkpoint in the background, got {error!r}; free some "
                "space or look at the folder, then go on from the last complete checkpoint"
            ) from error

    def close(self) -> None:
        """Waits, then ends the background thread; raises like `wait`."""
        try:
            self.wait()
        finally:
            self._pool.shutdown()

    def restore(
        self, step: int, abstract_params: Params, abstract_trainable: Params, abstract_opt_state: Any
    ) -> tuple[Params, Params, Any, dict[str, Any]]:
        """Reads what training needs to go on.

        Args:
            step: a step of `complete_steps`.
            abstract_params: nested tree of shapes and placements of all parameters.
            abstract_trainable: the part of it whose averages are wanted, nested.
            abstract_opt_state: shapes and placements of the optimiser state.

        Returns:
            (params, ema of the trainable part, optimiser state, position).

        Raises:
            CheckpointError: a part is missing or does not fit.
        """
        state_path = self.root / "train_state" / step_name(step)
        if not state_path.is_dir():
            raise CheckpointError(
                f"{state_path}: not found, so the optimiser cannot go on from step {step}; "
                "training can only resume from checkpoints whose train_state was kept"
            )
        wanted = {"params": abstract_params, "ema_params": abstract_trainable}
        tree = read_checkpoint(self.root / step_name(step), wanted)
        numbered = read_tree(state_path, {"opt_state": _numbered(abstract_opt_state)})["opt_state"]
        leaves = [numbered[name] for name in sorted(numbered)]
        opt_state = jax.tree.unflatten(jax.tree.structure(abstract_opt_state), leaves)
        position = read_object(state_path / POSITION_FILE, "where a run stood", CheckpointError)
        return tree["params"], tree["ema_params"], opt_state, position

    def _write(self, step: int, checkpoint: Params, state: Params | None, position: dict[str, Any]) -> None:
        staged = self._staging / step_name(step)
        digest = None if self._frozen_part is None else self._frozen_part.keep(checkpoint["params"])
        write_tree(staged, self._own_leaves(checkpoint))
        if jax.process_index() == 0:
            if digest is not None:
                (staged / FROZEN_FILE).write_text(json.dumps({"digest": digest}) + "\n", encoding="utf-8")
            if self._spec is not None:
                (staged / value_spec.FILE_NAME).write_text(self._spec.to_json(), encoding="utf-8")
            (staged / TOKENIZER_FILE).write_bytes(self._tokenizer_model)
            if self._settings is not None:
                (staged / SETTINGS_FILE).write_text(self._settings, encoding="utf-8")
        if state is not None:
            self._write_train_state(step_name(step), state, position)
        if jax.process_index() == 0:
            self._move_into_place(staged, self.root / step_name(step))
            self._thin_out(step)
        _synchronize(f"saved {self.root.name}/{step_name(step)}")

    def _own_leaves(self, checkpoint: Params) -> Params:
        if self._frozen_part is None:
            return checkpoint
        trees = {key: self._frozen_part.trained_leaves(checkpoint[key]) for key in ("params", "ema_params")}
        return {**checkpoint, **trees}

    def _write_train_state(self, name: str, state: Params, position: dict[str, Any]) -> None:
        staged = self._staging / f"{name}.train_state"
        write_tree(staged, state)
        if jax.process_index() == 0:
            (staged / POSITION_FILE).write_text(json.dumps(position, indent=2), encoding="utf-8")
            final = self.root / "train_state" / name
            final.parent.mkdir(exist_ok=True)
            self._move_into_place(staged, final)

    def _move_into_place(self, staged: Path, final: Path) -> None:
        """Also where a run that resumed from an earlier step, or a save that was killed, left an older one."""
        if final.exists():
            self._remove(final)
        staged.rename(final)

    def _thin_out(self, newest: int) -> None:
        for step in self._too_many(newest):
            self._remove_with_state(step)

    def _too_many(self, newest: int) -> list[int]:
        steps = complete_steps(self.root)
        if self._only_newest:
            return [step for step in steps if step != newest]
        if self._max_to_keep is None:
            return []
        # Later steps belong to the history that this run, resumed from an earlier step, replaces.
        return [step for step in steps if step <= newest][: -self._max_to_keep]

    def _remove_with_state(self, step: int) -> None:
        self._remove(self.root / step_name(step))
        shutil.rmtree(self.root / "train_state" / step_name(step), ignore_errors=True)

    def _remove(self, path: Path) -> None:
        """Out of sight in one rename, so that a kill during the deletion leaves no half checkpoint."""
        self._staging.mkdir(exist_ok=True)
        doomed = self._staging / f"old_{path.name}"
        path.rename(doomed)
        shutil.rmtree(doomed)


def _synchronize(name: str) -> None:
    """Waits until every process of the job is here."""
    if jax.process_count() > 1:
        multihost_utils.sync_global_devices(name)


def _beside(params: Params, number: np.int32) -> jax.Array:
    """The number as an array on all of the parameters' devices: orbax refuses arrays of one process among several."""
    placed = [leaf.sharding for leaf in jax.tree.leaves(params) if isinstance(leaf, jax.Array)]
    if placed and isinstance(placed[0], NamedSharding):
        return jax.device_put(number, NamedSharding(placed[0].mesh, PartitionSpec()))
    return jax.device_put(number, placed[0] if placed else None)


def _numbered(tree: Any) -> dict[str, Any]:
    """Leaves of any pytree under sortable names: optax states hold tuples and named tuples, which orbax renames."""
    return {f"{index:05d}": leaf for index, leaf in enumerate(jax.tree.leaves(tree))}
