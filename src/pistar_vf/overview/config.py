"""Settings of `pistar-vf report`, composed of blocks; every field of a block is a flag."""

import dataclasses
from pathlib import Path

from pistar_vf.inference.settings import ScoringSettings
from pistar_vf.relabel.config import OutcomeColumns
from pistar_vf.report import NUM_EPISODES
from pistar_vf.settings import Composed


@dataclasses.dataclass(frozen=True)
class SubjectSettings:
    """What the report is about."""

    data_dir: str
    """Dataset: a folder, or local/<name> in the LeRobot cache."""
    run: Path | None = None
    """The model that judges it: a training directory, a checkpoint (step_…), or the folder of a training with --folds.
    Values are computed once and kept; labels and gate are those of `pistar-vf relabel` by its defaults."""
    labels: Path | None = None
    """Labels that are there already, instead of those that --run would give: a relabelled dataset, or a sidecar
    (meta/advantages_….parquet), which also says V and the advantages. Default: those of the dataset itself."""


@dataclasses.dataclass(frozen=True)
class PageSettings:
    """What is shown, and where it goes."""

    output: Path = Path("report.html")
    """The HTML file."""
    episodes: str | None = dataclasses.field(default=None, metadata={"words": "joined"})
    """Episodes to look at frame by frame, such as 0-3,7 or 0 2 4."""
    num_episodes: int = NUM_EPISODES
    """How many to look at where --episodes names none: the worst disagreements, the best and the worst."""


@dataclasses.dataclass(frozen=True)
class ReportConfig(Composed):
    """Show everything that is known of a dataset in one HTML file, which needs neither a server nor the network.

    `pistar-vf report DATA` is short for `pistar-vf report --data_dir DATA`.

    Without --run: what is in it, its health, and episodes with their labels. With --run also training curves, measures
    beside baselines, the gate's verdict, advantages and their thresholds, the ranking of episodes, and V frame by
    frame. Nothing is written but the file.
    """

    subject: SubjectSettings
    page: PageSettings = PageSettings()
    outcomes: OutcomeColumns = OutcomeColumns()
    scoring: ScoringSettings = ScoringSettings()
