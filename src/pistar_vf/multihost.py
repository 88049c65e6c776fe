"""Joins the processes of a multi-process launch into one JAX job.

`accelerate launch` and `torchrun` start one process per device and describe the job in environment variables; JAX
needs to be told. Their MASTER_PORT belongs to the launcher, so JAX's coordinator listens one port above it.
"""

import itertools
import logging
import os
import sys

import jax
from jax._src import distributed

_log = logging.getLogger(__name__)
_PATIENCE_MS = 60 * 60 * 1000
_calls = itertools.count()
"""Of `wait_for_all`: JAX knows a barrier by its name, and each one works once."""
_questions = itertools.count()
"""Of `any_process`: what was answered to an earlier one is not looked at."""


def initialize_processes() -> None:
    """Reads RANK, WORLD_SIZE, LOCAL_RANK, MASTER_ADDR and MASTER_PORT; without them the job is this process alone.

    Call before anything else touches a device.
    """
    num_processes = int(os.environ.get("WORLD_SIZE", "1"))
    if "RANK" not in os.environ or num_processes < 2:
        return
    address = os.environ.get("MASTER_ADDR", "127.0.0.1")
    port = int(os.environ.get("MASTER_PORT", "29500")) + 1
    on_cpu = os.environ.get("JAX_PLATFORMS", "").startswith("cpu")
    if on_cpu:
        # Older JAX has no collectives between CPU processes unless one is chosen.
        jax.config.update("jax_cpu_collectives_implementation", "gloo")
    jax.distributed.initialize(
        coordinator_address=f"{address}:{port}",
        num_processes=num_processes,
        process_id=int(os.environ["RANK"]),
        local_device_ids=None if on_cpu else [int(os.environ.get("LOCAL_RANK", "0"))],
    )
    _log.info("process %d of %d, %d device(s) here", jax.process_index(), num_processes, jax.local_device_count())
    if jax.process_index() != 0:
        _be_quiet()


def _be_quiet() -> None:
    """What is said once is said by the first process; the others report errors only."""
    logging.getLogger().setLevel(logging.ERROR)
    sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115 (as long as the process lives)


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
