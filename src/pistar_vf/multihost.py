"""Joins the processes of one training into one JAX job, and waits for all of them where that is needed."""

import itertools
import os
import sys

import jax
from jax._src import distributed

from pistar_vf.launch import Job

_PATIENCE_MS = 60 * 60 * 1000
_calls = itertools.count()
"""Of `wait_for_all`: JAX knows a barrier by its name, and each one works once."""
_questions = itertools.count()
"""Of `any_process`: what was answered to an earlier one is not looked at."""


def initialize_processes(job: Job | None) -> None:
    """Joins the job; without one, this process is alone. Call before anything else touches a device."""
    if job is None:
        return
    on_cpu = os.environ.get("JAX_PLATFORMS", "").startswith("cpu")
    if on_cpu:
        # Older JAX has no collectives between CPU processes unless one is chosen.
        jax.config.update("jax_cpu_collectives_implementation", "gloo")
    jax.distributed.initialize(
        coordinator_address=job.coordinator,
        num_processes=job.num_processes,
        process_id=job.process_id,
        local_device_ids=None if on_cpu or job.local_device is None else [job.local_device],
    )
    here = f"process {jax.process_index()} of {job.num_processes}, {jax.local_device_count()} device(s) here"
    print(here, file=sys.stderr, flush=True)  # every one says so, quiet or not


def wait_for_all(name: str) -> None:
    """Waits until every process is here; alone, returns at once.

    Collectives between CPUs give up after half a minute, but one process may compile for minutes longer than another:
    this waits on JAX's coordinator instead.

    Args:
        name: of the place in the program.
    """
    client = distributed.global_state.client
    if client is not None:
        client.wait_at_barrier(f"{name} {next(_calls)}", timeout_in_ms=_PATIENCE_MS)


def any_process(flag: bool, name: str) -> bool:
    """Whether the flag is raised in any process: the same answer in all of them, for what all must do together.

    Costs two messages to JAX's coordinator, and no device waits for another. Alone, it is the flag.

    Args:
        flag: of this process.
        name: of the place in the program, where all processes come equally often.
    """
    client = distributed.global_state.client
    if client is None:
        return flag
    place = f"pistar_vf/{name}/{next(_questions)}/"
    if flag:
        client.key_value_set(f"{place}{jax.process_index()}", "yes")
    wait_for_all(name)
    return bool(client.key_value_dir_get(place))


_LOST_WORDS = ("connection reset", "connection closed", "remote process exited", "heartbeat timeout")
"""Of Gloo, NCCL and JAX's coordinator where a peer is gone; their other errors keep their traceback."""


def end_where_others_are_lost(error: Exception) -> None:
    """Ends this process at once, with a message, where the error says that another one of the job is gone.

    An orderly end would wait for the other one, for minutes, and then print where JAX itself aborted.

    Args:
        error: of JAX's; any other cause returns.
    """
    text = str(error)
    if jax.process_count() == 1 or not any(word in text.lower() for word in _LOST_WORDS):
        return
    print(
        f"error: process {jax.process_index()} of {jax.process_count()} lost another one of this job "
        f"({text.splitlines()[0]}). Look at what the others printed last; then start all of them again, as many as you "
        "like, with --resume_from_checkpoint latest",
        file=sys.stderr,
        flush=True,
    )
    sys.stdout.flush()
    os._exit(1)
