"""Settings of a selection of trajectories; every field of a block is a flag."""

import dataclasses
from pathlib import Path
from typing import Literal

from pistar_vf.choices import Estimator
from pistar_vf.errors import ConfigError
from pistar_vf.inference.settings import ScoringSettings
from pistar_vf.relabel.config import LabelRule, OutcomeColumns, RelabelConfig, ResultSettings, SourceSettings
from pistar_vf.settings import Composed

Measure = Literal["mean_advantage", "share_positive", "value_at_end", "outcome"]


@dataclasses.dataclass(frozen=True)
class Choice:
    """Which trajectories are taken; all of them where neither of the three is given.

    Raises:
        ConfigError: a number is out of range, or several of the three are given.
    """

    by: Measure = "mean_advantage"
    """What trajectories are ranked by: mean_advantage and share_positive over their frames, value_at_end (V of the last
    frame), or outcome (success 1, time-out 0.5, failure 0, fragments last)."""
    top_share: float | None = None
    """Take the best share, in (0, 1]."""
    top: int | None = None
    """Take the best so many."""
    threshold: float | None = None
    """Take those with at least this score."""

    def __post_init__(self) -> None:
        given = [f"--{name}" for name in ("top_share", "top", "threshold") if getattr(self, name) is not None]
        if len(given) > 1:
            raise ConfigError(f"expected one of --top_share, --top and --threshold, got {' and '.join(given)}")
        if self.top_share is not None and not 0 < self.top_share <= 1:
            raise ConfigError(f"--top_share: expected a share in (0, 1], got {self.top_share}")
        if self.top is not None and self.top < 1:
            raise ConfigError(f"--top: expected at least 1 trajectory, got {self.top}")


@dataclasses.dataclass(frozen=True)
class SelectionResult:
    """What is written."""

    output_dir: Path | None = None
    """Where the dataset of the selected trajectories goes: a new or empty folder. Videos are links. Without it, only
    the list is written."""
    force: bool = False
    """Write the dataset although the gate failed."""
    report_dir: Path | None = None
    """Where trajectories.csv and the report go; default: reports/<dataset>."""


@dataclasses.dataclass(frozen=True)
class AdvantageSettings:
    """How advantages are made, and which frames count as positive."""

    estimator: Estimator = "n_step"
    """Advantage: n_step, monte_carlo or gae."""
    lookahead: int | None = None
    """N of the N-step advantage, frames. Default: 50, or a fifth of the median episode where that is less."""
    top_percent: float = 30.0
    """Share of a task's autonomous frames that counts as positive."""


@dataclasses.dataclass(frozen=True)
class SelectConfig(Composed):
    """Rank the trajectories of a dataset under a trained value model, and write a dataset of the best.

    Values, advantages and the gate are those of `pistar-vf relabel --dry_run`, computed once for both.
    """

    data: SourceSettings
    choice: Choice = Choice()
    result: SelectionResult = SelectionResult()
    advantages: AdvantageSettings = AdvantageSettings()
    outcomes: OutcomeColumns = OutcomeColumns()
    scoring: ScoringSettings = ScoringSettings()

    @property
    def relabelling(self) -> RelabelConfig:
        """The settings of the relabelling that is judged and not written."""
        return RelabelConfig(
            data=self.data,
            result=ResultSettings(dry_run=True, force=self.result.force, report_dir=self.result.report_dir),
            rule=LabelRule(**dataclasses.asdict(self.advantages)),
            outcomes=self.outcomes,
            scoring=self.scoring,
        )
