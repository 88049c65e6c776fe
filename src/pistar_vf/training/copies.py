"""The best and the last state of a run: copies that leave the device, and their way to disk.

A step donates the state it is given, so what must outlive it is copied, and into host memory: a second state on the
device would double what a run needs there. A background save reads the copy, never the device.
"""

import dataclasses
import logging
import math
from collections.abc import Callable
from typing import Any, Protocol, runtime_checkable

import jax
import numpy as np

from pistar_vf import messages
from pistar_vf.checkpoints.manager import CheckpointManager
from pistar_vf.training.state import TrainState, full_tree
from pistar_vf.typing import Params

_log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class Copy:
    """A state that no step touches; numpy arrays where one process runs alone.

    Attributes:
        step: number of updates done.
        params: nested tree of all parameters, the frozen ones those on the device.
        ema: the same of the averages.
        opt_state: of the optimiser; None where it is only to be used, not resumed from.
    """

    step: int
    params: Params
    ema: Params
    opt_state: Any


def copy_state(state: TrainState, frozen: Params, *, with_optimizer: bool) -> Copy:
    """Copies what steps replace; frozen parameters stay where they are, as nothing replaces them."""
    kept = _off_device({"trainable": state.trainable, "ema": state.ema})
    return Copy(
        step=int(state.step),
        params=full_tree(kept["trainable"], frozen),
        ema=full_tree(kept["ema"], frozen),
        opt_state=_off_device(state.opt_state) if with_optimizer else None,
    )


def _off_device(tree: Any) -> Any:
    """With several processes the tree itself: then saving happens at once, before the next step."""
    return tree if jax.process_count() > 1 else jax.tree.map(np.array, tree)


@runtime_checkable
class BestWriter(Protocol):
    """Where the best state of a run goes."""

    def forget_later(self, step: int) -> bool:
        """Forgets a best state of a later step than this one, at which a run goes on; whether there was one."""

    def write(self, best: Copy) -> None:
        """Writes it, perhaps in the background."""

    def check(self) -> None:
        """Raises what writing in the background has raised; does not wait."""

    def close(self) -> None:
        """Waits until it is written."""


class Copies:
    """Keeps the best state until the next save, and writes both.

    Args:
        manager: of the run's checkpoints.
        frozen: parameters that are not trained.
        best_writer: takes the best state.
        facts: what a position says besides the step and the best loss, JSON-able, as of now.
        best_loss: of the checkpoint that the run goes on from.
        after_save: called whenever a state was handed to the writer.
    """

    def __init__(
        self,
        manager: CheckpointManager,
        frozen: Params,
        best_writer: BestWriter,
        facts: Callable[[], dict[str, Any]],
        best_loss: float = math.inf,
        after_save: Callable[[], None] = lambda: None,
    ):
        self._manager, self._frozen, self._best_writer, self._facts = manager, frozen, best_writer, facts
        self.best_loss = best_loss
        self.best: Copy | None = None
        self._after_save = after_save
        self._saved_step = -1

    def offer(self, state: TrainState, loss: float) -> None:
        """Keeps the state if it is the best so far."""
        if not loss < self.best_loss:
            return
        self.best_loss = loss
        self.best = copy_state(state, self._frozen, with_optimizer=False)
        if jax.process_count() > 1:
            self._flush_best()

    def save(self, state: TrainState) -> None:
        """Writes the state in the background, unless it was written already, and the best one if there is a new one."""
        step = int(state.step)
        if step == self._saved_step:
            return
        self._saved_step = step
        self._flush_best()
        last = copy_state(state, self._frozen, with_optimizer=True)
        self._manager.save(step, last.params, last.ema, last.opt_state, self._position(step))
        _log.info(messages.SAVED.format(path=self._manager.path(step)))
        self._after_save()

    def close(self) -> None:
        """Returns when everything is on disk; raises what writing it raised."""
        try:
            self._manager.close()
        finally:
            self._best_writer.close()

    def check(self) -> None:
        """Raises what a background save has raised meanwhile; does not wait."""
        self._manager.check()
        self._best_writer.check()

    def _flush_best(self) -> None:
        if self.best is not None:
            self._best_writer.write(self.best)
            self.best = None

    def _position(self, step: int) -> dict[str, Any]:
        return {**self._facts(), "step": step, "best_loss": self.best_loss}
