"""The training loop as a generator: tests, notebooks and the command step it and look at what comes out."""

import dataclasses
import time
from collections.abc import Callable, Iterator

import jax
import numpy as np
from jax.sharding import Mesh

from pistar_vf.batch import LanguageBatch, ValueBatch, batch_rows
from pistar_vf.errors import NonFiniteLossError
from pistar_vf.sharding import put_batch
from pistar_vf.training.state import TrainState
from pistar_vf.training.step import TrainStep
from pistar_vf.typing import Params


def rows_by_number(rows: np.ndarray) -> str:
    """Rows of a batch for an error, where nobody can name them better."""
    return "rows " + ", ".join(map(str, rows.tolist()))


@dataclasses.dataclass(frozen=True)
class StepResult:
    """One finished update.

    Attributes:
        step: number of updates done, this one included.
        state: the new state; the loop donates it when it goes on, so copy what must outlive the next step.
        scalars: device scalars, see `step.create_step`; reading one waits for the step.
        frame: dataset rows, or numbers of questions, of this process's part of the batch.
        wait_seconds: time the loop waited for data.
    """

    step: int
    state: TrainState
    scalars: dict[str, jax.Array]
    frame: np.ndarray
    wait_seconds: float


def train_loop(
    state: TrainState,
    frozen: Params,
    train_step: TrainStep,
    batches: Iterator[ValueBatch] | Iterator[LanguageBatch],
    mesh: Mesh,
    num_train_steps: int,
    name_rows: Callable[[np.ndarray], str] = rows_by_number,
) -> Iterator[StepResult]:
    """Runs updates until `num_train_steps` are done.

    The next batch is on its way to the device while a step computes, and a step's numbers are looked at one step
    later, so the device never waits for the host.

    Args:
        state: where to start; donated.
        frozen: parameters that are not trained.
        train_step: jitted, donating its first argument.
        batches: this process's batches, of frames or of questions, from the state's step on.
        mesh: the devices.
        num_train_steps: total number of updates, those before `state` included.
        name_rows: rows of a batch, as a person can find them.

    Raises:
        NonFiniteLossError: the loss or the gradient of a step is NaN or infinite.
    """
    step = int(state.step)
    previous: StepResult | None = None
    waiting_since = time.perf_counter()
    for host_batch in batches if step < num_train_steps else ():
        batch = put_batch(host_batch, mesh)
        wait_seconds = time.perf_counter() - waiting_since
        state, scalars = train_step(state, frozen, batch)
        step += 1
        if previous is not None:
            check_finite(previous, name_rows)
        previous = StepResult(step, state, scalars, np.asarray(batch_rows(host_batch)), wait_seconds)
        if step >= num_train_steps:
            check_finite(previous, name_rows)
        yield previous
        if step >= num_train_steps:
            return
        waiting_since = time.perf_counter()


def check_finite(result: StepResult, name_rows: Callable[[np.ndarray], str] = rows_by_number) -> None:
    """Refuses to go on from a NaN or infinite loss or gradient.

    Raises:
        NonFiniteLossError: names the step, the frames of its batch and what to try.
    """
    loss, grad_norm = float(result.scalars["loss"]), float(result.scalars["grad_norm"])
    if np.isfinite(loss) and np.isfinite(grad_norm):
        return
    raise NonFiniteLossError(
        f"step {result.step}: expected a finite loss and gradient, got loss {loss} and gradient norm {grad_norm}. "
        f"In the batch: {name_rows(result.frame)}. Lower the peak learning rate, and check those for broken images, "
        "states or labels (labels must be in [-1, 0]). Nothing was saved after the last checkpoint"
    )
