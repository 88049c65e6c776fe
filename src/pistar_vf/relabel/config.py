"""Settings of a relabelling, composed of blocks; every field of a block is a flag."""

import dataclasses
from pathlib import Path
from typing import Literal

from pistar_vf.choices import Ensemble, Estimator
from pistar_vf.errors import ConfigError
from pistar_vf.inference.settings import ScoringSettings
from pistar_vf.labels.settings import OutcomeSettings
from pistar_vf.settings import Composed


@dataclasses.dataclass(frozen=True)
class SourceSettings:
    """The dataset, and the models that judge it."""

    data_dir: str
    """Dataset: a folder, local/<name> in the LeRobot cache, or hf://<owner>/<name>[@<revision>] on the hub."""
    checkpoint_dir: tuple[Path, ...]
    """A checkpoint (step_…) or a training directory (its best, else its last checkpoint). The folder of a training with
    --folds, or several checkpoints: out-of-fold, each episode is scored by the first model that was not trained on
    it."""
    ensemble: Ensemble | None = None
    """Score each episode by all models that have not seen it, instead of by the first. mean: the mean of their
    distributions. worst: frame by frame the model that expects least, so that doubt counts against a frame."""
    checkpoint_name: str | None = None
    """A step_… of checkpoint_dir."""
    use_ema: bool = True
    """Score with the moving average of the weights."""
    tokenizer_path: Path | None = None
    """Gemma 3's tokenizer.model; only for checkpoints of upstream, which also need --base_image_col (ours bring their
    own). Default: where training looks for it, see docs/weights.md."""


@dataclasses.dataclass(frozen=True)
class ResultSettings:
    """Where the labels go."""

    output_dir: Path | None = None
    """The new dataset; default: <data_dir>_relabelled, of a dataset on the hub none. Videos are hard links."""
    in_place: bool = False
    """Write into the dataset itself: all files or none, with a backup."""
    output: Literal["dataset", "sidecar"] = "dataset"
    """dataset: the adv_ind column. sidecar: meta/advantages_<tag>.parquet (RLinf) and sarm_progress.parquet (LeRobot's
    RA-BC) instead, in output_dir or, with --in_place, in the dataset."""
    sidecar_tag: str = "pistar_vf"
    """Tag in the name of RLinf's sidecar."""
    dry_run: bool = False
    """Compute, judge and show what would change; write nothing but the report."""
    accept_not_shown: bool = False
    """Write although the evidence is too little for a verdict; the labels' provenance says so."""
    force: bool = False
    """Write although the gate failed; the labels' provenance says so."""
    report_dir: Path | None = None
    """Where report.html and report.json go; default: reports/<dataset>."""


DEFAULT_LOOKAHEAD = 50
"""The paper's N after pre-training, frames: one second of its robots."""


def _check(holds: bool, flag: str, expected: str, got: int | float) -> None:
    if not holds:
        raise ConfigError(f"{flag}: expected {expected}, got {got}")


@dataclasses.dataclass(frozen=True)
class LabelRule:
    """How advantages are made and cut.

    Raises:
        ConfigError: a setting is out of range.
    """

    estimator: Estimator = "n_step"
    """Advantage: n_step, monte_carlo or gae."""
    lookahead: int | None = None
    """N of the N-step advantage, frames. Default: 50, or a fifth of the median episode where that is less (with
    --compat upstream 50)."""
    lookahead_seconds: float | None = None
    """N in seconds, instead of --lookahead; the paper's 50 frames are one second."""
    gae_lambda: float = 0.95
    """λ of GAE."""
    top_percent: float = 30.0
    """Share of autonomous frames that becomes positive; no more than the share that lies in successes."""
    threshold: float | None = None
    """Advantage above which a frame is positive, instead of --top_percent."""
    threshold_per: Literal["task", "dataset", "source"] = "task"
    """One threshold per task, one for all, or one per source, the key that `pistar-vf merge` gives episodes."""
    takeover_frames: int = 0
    """Frames before an operator took over that become negative."""
    still_tolerance: float = 0.3
    """Standard deviations of the training states per second: an operator's frames in which the arm moves less become
    "none". 0 for no such frames."""
    abstain: float = 0.0
    """Frames whose P(A > threshold) is within this of one half become "none"; 0 for no such band."""

    def __post_init__(self) -> None:
        if self.lookahead is not None and self.lookahead_seconds is not None:
            raise ConfigError(
                f"expected --lookahead or --lookahead_seconds, got both ({self.lookahead} frames and "
                f"{self.lookahead_seconds:g} s)"
            )
        _check(self.num_steps >= 1, "--lookahead", "at least 1 frame", self.num_steps)
        if self.lookahead_seconds is not None:
            _check(self.lookahead_seconds > 0, "--lookahead_seconds", "a number above 0", self.lookahead_seconds)
        _check(self.still_tolerance >= 0, "--still_tolerance", "0 or more", self.still_tolerance)
        _check(0.0 <= self.gae_lambda <= 1.0, "--gae_lambda", "a number in [0, 1]", self.gae_lambda)
        _check(0.0 < self.top_percent <= 100.0, "--top_percent", "a number in (0, 100]", self.top_percent)
        _check(self.takeover_frames >= 0, "--takeover_frames", "0 or more frames", self.takeover_frames)
        _check(0.0 <= self.abstain < 0.5, "--abstain", "a number in [0, 0.5)", self.abstain)
        if self.abstain and self.estimator == "gae":
            raise ConfigError("--abstain: GAE mixes many horizons, which has no P(A > threshold); use n_step")

    @property
    def num_steps(self) -> int:
        """N; that of the paper where nobody has decided."""
        return DEFAULT_LOOKAHEAD if self.lookahead is None else self.lookahead


@dataclasses.dataclass(frozen=True)
class OutcomeColumns(OutcomeSettings):
    """How the episodes ended."""

    outcome: Literal["success", "failure"] | None = None
    """How all episodes ended."""
    label_convention: str | None = None
    """Convention of the label columns, where the data cannot tell; see docs/data.md."""


@dataclasses.dataclass(frozen=True)
class ColumnSettings:
    """Columns to read, and the one to write."""

    reward_col: str | None = None
    """Column of rewards. Default: computed from the outcomes in the model's units, a failure's penalty included; with
    --compat upstream: reward_label."""
    human_col: str = "intervention"
    """Column that is 1 where the operator was driving."""
    instruction_col: str | None = None
    """Per-frame prompts; default: the task table."""
    adv_col: str = "adv_ind"
    """The column to write."""
    base_image_col: str | None = None
    """The base camera under another name than in training; a checkpoint of upstream does not know any name."""
    wrist_image_col: str | None = None
    """The wrist camera under another name than in training; without it, a checkpoint of upstream sees a black picture,
    as it did in training."""
    right_wrist_image_col: str | None = None
    """A second wrist camera; refused unless the model was trained with one, which upstream's checkpoints do not say."""


@dataclasses.dataclass(frozen=True)
class UpstreamSettings:
    """What is here for upstream's command lines."""

    compat: Literal["none", "upstream"] = "none"
    """upstream: exactly the labels of upstream's script, with its traps; see docs/relabel.md."""
    copy_wrist_to_right: bool = False
    """Upstream's flag; refused, because no model is trained that way."""
    seed: int = 42
    """Accepted for upstream's command lines; nothing here is random."""


@dataclasses.dataclass(frozen=True)
class RelabelConfig(Composed):
    """Label every frame of a dataset "positive" or "negative" by its advantage under a trained value model.

    First the values are computed (once; other settings reuse them), then the gate judges them, then labels are
    written: into a new dataset, in place (--in_place, undo with `pistar-vf undo`), or as sidecar files.

    Raises:
        ConfigError: settings of the rule that upstream's rule does not have, together with --compat upstream.
    """

    data: SourceSettings
    result: ResultSettings = ResultSettings()
    rule: LabelRule = LabelRule()
    outcomes: OutcomeColumns = OutcomeColumns()
    columns: ColumnSettings = ColumnSettings()
    scoring: ScoringSettings = ScoringSettings()
    upstream: UpstreamSettings = UpstreamSettings()

    def __post_init__(self) -> None:
        if self.compat != "upstream":
            return
        usual, read = LabelRule(), ("lookahead", "lookahead_seconds", "top_percent")
        names = [field.name for field in dataclasses.fields(LabelRule) if field.name not in read]
        unread = [f"--{name}" for name in names if getattr(self.rule, name) != getattr(usual, name)]
        if unread:
            raise ConfigError(
                "--compat upstream: expected of the rule --lookahead and --top_percent alone, got "
                f"{', '.join(unread)}, which upstream's rule does not have; leave them out, or leave out --compat"
            )
