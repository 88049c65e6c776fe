"""Settings of scoring: how many frames at a time, and where decoded ones are kept."""

import dataclasses
from pathlib import Path


@dataclasses.dataclass(frozen=True)
class ScoringSettings:
    """How frames are read and scored."""

    batch_size: int = 8
    """Frames per device and call."""
    num_workers: int | None = None
    """Processes that decode video; default: one per core."""
    cache_dir: Path | None = None
    """Where decoded frames and values are kept; default $PISTAR_VF_CACHE or ~/.cache/pistar_vf."""
