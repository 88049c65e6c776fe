"""One fold per device: a process for each, which sees one device only."""

import logging
import os
import queue
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from pistar_vf.errors import ConfigError

_log = logging.getLogger(__name__)
_START = "import sys; from pistar_vf.cli.main import main; sys.exit(main(sys.argv[1:]))"
_VISIBLE = "CUDA_VISIBLE_DEVICES"
Launch = Callable[[Sequence[str], Mapping[str, str], Path], int]
"""(command, environment, log file) -> exit code."""


def visible_gpus() -> tuple[str, ...]:
    """Names of the NVIDIA devices that this process may use, found without opening any of them."""
    named = os.environ.get(_VISIBLE)
    if named is not None:
        return tuple(name.strip() for name in named.split(",") if name.strip() and name.strip() != "-1")
    try:
        listed = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, check=True, timeout=60).stdout
    except (OSError, subprocess.SubprocessError):
        return ()
    return tuple(str(number) for number, line in enumerate(listed.splitlines()) if line.startswith("GPU "))


def train_on_devices(
    argv: Sequence[str], folds: Sequence[int], devices: Sequence[str], folder: Path, launch: Launch | None = None
) -> None:
    """Trains each fold in a process of its own, as many at a time as there are devices.

    Args:
        argv: the flags of `pistar-vf train`, without `--fold`.
        folds: which folds.
        devices: names that CUDA_VISIBLE_DEVICES understands.
        folder: gets a log per fold, `fold_<k>.log`.
        launch: starts a process and waits for it; None for `subprocess`.

    Raises:
        ConfigError: a fold failed; the others were finished.
    """
    free: queue.Queue[str] = queue.Queue()
    for device in devices:
        free.put(device)
    folder.mkdir(parents=True, exist_ok=True)

    def train(fold: int) -> int:
        device, log = free.get(), folder / f"fold_{fold}.log"
        command = [sys.executable, "-c", _START, "train", *argv, "--fold", str(fold)]
        _log.info("fold %d: on device %s, log in %s", fold, device, log)
        try:
            return (launch or _run)(command, {**os.environ, _VISIBLE: device}, log)
        finally:
            free.put(device)

    with ThreadPoolExecutor(len(devices)) as pool:
        codes = dict(zip(folds, pool.map(train, folds)))
    if failed := [fold for fold, code in codes.items() if code]:
        logs = ", ".join(str(folder / f"fold_{fold}.log") for fold in failed)
        raise ConfigError(f"folds {failed} did not finish: expected exit code 0, see {logs}; give the command again")


def _run(command: Sequence[str], environment: Mapping[str, str], log: Path) -> int:
    with log.open("ab") as file:
        return subprocess.run(command, env=environment, stdout=file, stderr=subprocess.STDOUT, check=False).returncode
