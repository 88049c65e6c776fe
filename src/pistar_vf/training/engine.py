"""A run from its first step to its last: the one engine of every recipe. It knows no flags.

The order of a step, for whoever wants to change it:

1. the next batch is gathered by threads, and put on the devices while the step before it computes (`loop`);
2. the step: loss, gradient, optimiser, moving average, one program that is given the old state and returns the new
   one in its place (`step`);
3. the loss of the step *before* is looked at, so that the device never waits for the host (`loop`);
4. a background save that has failed ends the run; then, where due, numbers are logged, the model is validated and the
   best state kept, the recipe looks at what else it wants, and the state is saved (`watch`, `copies`);
5. a request to stop is answered: the state is saved and the run ends as if it had been killed after this step. Of
   several processes all end at the same step, whichever was asked: they ask each other every few steps.
"""

import itertools
import logging
import time
from collections.abc import Callable

import jax
from jax.sharding import Mesh
from tqdm_loggable.auto import tqdm

from pistar_vf import messages
from pistar_vf.multihost import any_process, wait_for_all
from pistar_vf.sharding import put_batch, replicated, state_sharding
from pistar_vf.training.copies import Copies
from pistar_vf.training.interrupt import stop_requested
from pistar_vf.training.loop import train_loop
from pistar_vf.training.plan import Batches, Plan
from pistar_vf.training.records import Recorder
from pistar_vf.training.state import TrainState
from pistar_vf.training.step import TrainStep, create_step
from pistar_vf.training.watch import Watch
from pistar_vf.typing import Params

_log = logging.getLogger(__name__)
_NUM_PREFETCHED = 3
_STOP_INTERVAL = 4
"""Steps after which processes ask each other whether one of them was asked to stop."""


class Stopped(KeyboardInterrupt):
    """The run was asked to stop, and did so in order.

    Attributes:
        step: of the checkpoint to go on from.
    """

    def __init__(self, step: int):
        super().__init__(f"stopped at step {step}")
        self.step = step


def train(
    plan: Plan,
    state: TrainState,
    frozen: Params,
    mesh: Mesh,
    copies: Copies,
    recorder: Recorder,
    clock: Callable[[], float] = time.perf_counter,
) -> None:
    """Runs a plan to its last step; returns when its checkpoint is on disk.

    Args:
        plan: what to do.
        state: where to start; donated.
        frozen: parameters that are not trained.
        mesh: the devices.
        copies: keeps and saves states.
        recorder: takes the numbers.
        clock: seconds, from any zero.

    Raises:
        Stopped: on SIGINT or SIGTERM, after the running step and with a checkpoint of it; on several processes, after
            the next step at which they ask each other.
        NonFiniteLossError: the loss or the gradient of a step is NaN or infinite.
        CheckpointError: a background save failed.
    """
    first_step, num_train_steps = int(state.step), plan.intervals.num_train_steps
    first, batches = _peek(plan.batches(first_step))
    step = compile_step(plan, state, frozen, first, mesh)
    wait_for_all("compiled")
    batches = batches if plan.in_force is None else plan.in_force(batches)
    steps = train_loop(state, frozen, step, batches, mesh, num_train_steps, plan.name_rows)
    bar = tqdm(  # the lines of a log are documented: 训练进度 5.00it/5.00it rate:1.9s/it
        total=num_train_steps,
        initial=first_step,
        desc=plan.title,
        dynamic_ncols=True,
        disable=jax.process_index() != 0,
    )
    watch = Watch(plan, frozen, copies, recorder, bar.write, clock)
    with bar, stop_requested() as stopping:
        watch.begin(state)
        for result in steps:
            bar.update(1)
            if result.step == num_train_steps:
                bar.close()  # the last word on the steps comes before the last checkpoint's, as documented
            watch.after_step(result)
            if result.step < num_train_steps and _must_stop(stopping, result.step):
                watch.save(result)
                copies.close()
                raise Stopped(result.step)
    copies.close()


def _must_stop(stopping: Callable[[], bool], step: int) -> bool:
    """Saving is what all processes do together: one that stopped alone would wait for the others for ever."""
    if jax.process_count() == 1:
        return stopping()
    return step % _STOP_INTERVAL == 0 and any_process(stopping(), "stop")


def compile_step(plan: Plan, state: TrainState, frozen: Params, batch: object, mesh: Mesh) -> TrainStep:
    """The step as one program, the old state donated to it."""
    _log.info(messages.COMPILING)
    started = time.perf_counter()
    step = create_step(plan.loss_fn, plan.tx, plan.schedule, seed=plan.seed, ema_decay=plan.ema_decay)
    placement = (state_sharding(mesh, state), replicated(mesh))
    jitted = jax.jit(step, donate_argnums=0, out_shardings=placement)
    compiled = jitted.lower(state, frozen, put_batch(batch, mesh)).compile()
    _log.info(messages.COMPILED.format(seconds=time.perf_counter() - started))
    return compiled


def _peek(batches: Batches) -> tuple[object, Batches]:
    """The first batch, and the same iterator with it put back."""
    _log.info(messages.PREFETCHING)
    first = list(itertools.islice(batches, _NUM_PREFETCHED))
    _log.info(messages.PREFETCHED.format(count=len(first)))
    return first[0], itertools.chain(first, batches)
