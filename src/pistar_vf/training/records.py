"""Where a run's numbers go: a JSONL file always, Weights & Biases when wanted and possible."""

import json
import logging
import os
import resource
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax

from pistar_vf.installation import install_command
from pistar_vf.training.settings import WandbSettings

_log = logging.getLogger(__name__)


class Recorder:
    """Appends records to `<checkpoint_dir>/metrics.jsonl` and forwards them to wandb.

    Args:
        folder: of the run.
        wandb: where else the numbers go.
        facts: settings and more for the wandb run's configuration.
    """

    def __init__(self, folder: Path, wandb: WandbSettings, facts: Mapping[str, Any]):
        self._is_main = jax.process_index() == 0
        self._run = None
        if not self._is_main:
            return
        path = Path(folder) / "metrics.jsonl"
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = path.open("a", encoding="utf-8")
        self._run = _start_wandb(path.parent, wandb, facts)

    def write(self, step: int, split: str, values: dict[str, float]) -> None:
        """Records numbers of one step; `split` is "train" or "val"."""
        if not self._is_main:
            return
        self._file.write(json.dumps({"step": step, "split": split, **values}) + "\n")
        self._file.flush()
        if self._run is not None:
            self._run.log({"step": step, **{f"{split}/{name}": value for name, value in values.items()}})

    def close(self) -> None:
        """Ends the wandb run and closes the file."""
        if not self._is_main:
            return
        self._file.close()
        if self._run is not None:
            self._run.finish()


def _start_wandb(folder: Path, settings: WandbSettings, facts: Mapping[str, Any]) -> Any:
    if settings.wandb_mode == "disabled":
        return None
    try:
        import wandb
    except ImportError:
        _log.warning("wandb is not installed (%s); metrics go to metrics.jsonl only", install_command("wandb"))
        return None
    mode = settings.wandb_mode
    if mode == "online" and not _has_credentials(wandb):
        _log.warning("wandb has no credentials: logging offline; `wandb login`, then `wandb sync` uploads the run")
        mode = "offline"
    run = wandb.init(
        project=settings.wandb_project,
        entity=settings.wandb_entity,
        name=settings.wandb_run_name,
        tags=[tag for tag in (settings.wandb_tags or "").split(",") if tag],
        mode=mode,
        dir=str(folder),
        config=dict(facts),
    )
    run.define_metric("step")
    run.define_metric("*", step_metric="step")
    return run


def _has_credentials(wandb: Any) -> bool:
    """Whether logging in would need no prompt."""
    return bool(os.environ.get("WANDB_API_KEY")) or bool(wandb.api.api_key)


def peak_memory_gib() -> float:
    """Highest memory use so far, GiB: of the busiest accelerator, or of this process on CPU."""
    stats = [device.memory_stats() or {} for device in jax.local_devices() if device.platform != "cpu"]
    peaks = [s["peak_bytes_in_use"] for s in stats if "peak_bytes_in_use" in s]
    if peaks:
        return max(peaks) / 2**30
    # Kilobytes on Linux, bytes on macOS.
    unit = 1 if sys.platform == "darwin" else 2**10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**30
