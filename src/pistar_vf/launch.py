"""Which processes train one model together, as one of them is told; loads no JAX.

Three ways to say it: the environment of `accelerate launch` and of `torchrun` (RANK, WORLD_SIZE, LOCAL_RANK,
MASTER_ADDR, MASTER_PORT), which start one process per device, and three flags, for whoever starts them by hand.
MASTER_PORT belongs to the launcher, so JAX's coordinator listens one port above it; `--coordinator` names its own.
"""

import dataclasses
import logging
import os
import re
import sys
import warnings

from pistar_vf.errors import ConfigError


@dataclasses.dataclass(frozen=True)
class Job:
    """The processes that train together, as one of them sees it.

    Attributes:
        coordinator: host:port at which the first of them waits for the others.
        num_processes: how many there are.
        process_id: which one this is.
        local_device: the only device of its host that it uses; None for all.
    """

    coordinator: str
    num_processes: int
    process_id: int
    local_device: int | None = None


def job_of_flags(coordinator: str | None, num_processes: int | None, process_id: int | None) -> Job | None:
    """The job that `--coordinator` and its two companions describe; None without them.

    Raises:
        ConfigError: one of the three is missing or cannot be.
    """
    given = {"--coordinator": coordinator, "--num_processes": num_processes, "--process_id": process_id}
    missing = [flag for flag, value in given.items() if value is None]
    if len(missing) == len(given):
        return None
    if coordinator is None or num_processes is None or process_id is None:
        raise ConfigError(
            f"expected --coordinator host:port, --num_processes and --process_id together, got none for "
            f"{' and '.join(missing)}; without launcher and without them, one process trains alone"
        )
    if re.fullmatch(r".+:\d+", coordinator) is None:
        raise ConfigError(f"--coordinator {coordinator}: expected host:port, such as 10.0.0.1:12345")
    if not 0 <= process_id < num_processes:
        raise ConfigError(
            f"--process_id {process_id}: expected a number from 0 to {num_processes - 1}, as --num_processes is "
            f"{num_processes}"
        )
    return Job(coordinator, num_processes, process_id)


def job_of_environment() -> Job | None:
    """The job that a launcher describes; None without one, and where it started one process only."""
    num_processes = int(os.environ.get("WORLD_SIZE", "1"))
    if "RANK" not in os.environ or num_processes < 2:
        return None
    address = os.environ.get("MASTER_ADDR", "127.0.0.1")
    port = int(os.environ.get("MASTER_PORT", "29500")) + 1
    local = int(os.environ.get("LOCAL_RANK", "0"))
    return Job(f"{address}:{port}", num_processes, int(os.environ["RANK"]), local)


def be_quiet_unless_first(job: Job | None) -> None:
    """What is said once is said by the first process; the others report errors only.

    Call before anything is said. Bars of downloads are the hub's own, whose client heeds a variable.
    """
    if job is not None and job.process_id != 0:
        logging.getLogger().setLevel(logging.ERROR)
        os.environ["HF_HUB_DISABLE_PROGRESS_BARS"] = "1"
        warnings.simplefilter("ignore")
        sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115 (as long as the process lives)
