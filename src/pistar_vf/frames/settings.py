"""Settings of the data: which datasets, and which of their columns and cameras are looked at."""

import dataclasses
import os
from pathlib import Path


def cache_root(cache_dir: str | Path | None) -> Path:
    """The folder of all caches; None for `$PISTAR_VF_CACHE`, or `~/.cache/pistar_vf`."""
    return Path(cache_dir or os.environ.get("PISTAR_VF_CACHE") or "~/.cache/pistar_vf").expanduser()


@dataclasses.dataclass(frozen=True)
class DataSettings:
    """The datasets to train and to validate on."""

    data_dir: str | tuple[str, ...]
    """Dataset: a folder, local/<name> in the LeRobot cache, or hf://<owner>/<name>[@<revision>] on the hub, of which
    the files of the episodes in use are downloaded. Several, after one flag or after a flag each, are mixed in the
    shares of --data_weight."""
    data_weight: tuple[float, ...] = ()
    """Share of each dataset in every batch, in any unit, in the order of --data_dir; default: their numbers of
    frames."""
    val_data_dir: str | None = None
    """A second dataset to validate on; without it, a part of the episodes is held out (--val_fraction)."""
    cache_dir: Path | None = None
    """Where decoded frames are kept; default $PISTAR_VF_CACHE or ~/.cache/pistar_vf."""
    cache_features: bool = False
    """Keep what the frozen vision tower makes of every frame, so that no picture passes it twice. Needs a frozen tower
    and --no-augment: an augmented picture is a new one every time. See docs/training.md for the disk space."""

    @property
    def data_dirs(self) -> tuple[str, ...]:
        """The datasets to train on, always as a tuple."""
        return self.data_dir if isinstance(self.data_dir, tuple) else (self.data_dir,)


@dataclasses.dataclass(frozen=True)
class InputSettings:
    """What the model sees of a dataset: cameras, state and prompt."""

    image_key: str | None = None
    """Fixed camera; inferred when unambiguous."""
    wrist_image_key: str | None = None
    """Wrist camera; inferred when unambiguous; "missing" declares one that this dataset lacks."""
    extra_image_keys: tuple[str, ...] = ()
    """Cameras besides the fixed one and the wrist's."""
    state_key: str = "observation.state"
    """Column of the robot state."""
    prompt_column: str | None = None
    """Per-frame text column with the prompt; default: the task table."""
