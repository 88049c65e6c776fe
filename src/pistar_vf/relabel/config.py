"""Every setting of a relabelling; the fields are the command's flags."""

import dataclasses
from pathlib import Path
from typing import Literal

from pistar_vf.relabel.label import Estimator, LabelRule


@dataclasses.dataclass(frozen=True)
class RelabelConfig:
    """Label every frame of a dataset "positive" or "negative" by its advantage under a trained value model.

    First the values are computed (once; other settings reuse them), then the gate judges them, then labels are
    written: into a new dataset, in place (--in_place, undo with `pistar-vf undo`), or as sidecar files.
    """

    data_dir: str
    """Dataset: a folder, or local/<name> in the LeRobot cache."""
    checkpoint_dir: tuple[Path, ...]
    """A checkpoint (step_…) or a training directory (its best, else its last checkpoint). Several: out-of-fold, each
    episode is scored by the first model that was not trained on it."""
    output_dir: Path | None = None
    """The new dataset; default: <data_dir>_relabelled. Videos are hard links."""
    in_place: bool = False
    """Write into the dataset itself: all files or none, with a backup."""
    output: Literal["dataset", "sidecar"] = "dataset"
    """dataset: the adv_ind column. sidecar: meta/advantages_<tag>.parquet (RLinf) and sarm_progress.parquet (LeRobot's
    RA-BC) instead, in output_dir or, with --in_place, in the dataset."""
    sidecar_tag: str = "pistar_vf"
    """Tag in the name of RLinf's sidecar."""
    dry_run: bool = False
    """Compute, judge and show what would change; write nothing but the report."""
    force: bool = False
    """Write although the gate failed; the labels' provenance says so."""
    report_dir: Path | None = None
    """Where report.html, report.png and report.json go; default: reports/<dataset>."""

    checkpoint_name: str | None = None
    """A step_… of checkpoint_dir."""
    use_ema: bool = True
    """Score with the moving average of the weights."""
    tokenizer_path: Path | None = None
    """Gemma 3's tokenizer.model; only for checkpoints of upstream, which also need --base_image_col (ours bring their
    own). Default: where training looks for it, see docs/weights.md."""
    batch_size: int = 8
    """Frames per device and call."""
    num_workers: int | None = None
    """Processes that decode video; default: one per core."""
    cache_dir: Path | None = None
    """Where decoded frames and values are kept; default $PISTAR_VF_CACHE or ~/.cache/pistar_vf."""

    estimator: Estimator = "n_step"
    """Advantage: n_step, monte_carlo or gae."""
    lookahead: int = 50
    """N of the N-step advantage, frames."""
    gae_lambda: float = 0.95
    """λ of GAE."""
    top_percent: float = 30.0
    """Share of autonomous frames that becomes positive."""
    threshold: float | None = None
    """Advantage above which a frame is positive, instead of --top_percent."""
    threshold_per: Literal["task", "dataset"] = "task"
    """One threshold per task, or one for all."""
    takeover_frames: int = 0
    """Frames before an operator took over that become negative."""
    abstain: float = 0.0
    """Frames whose P(A > threshold) is within this of one half become "none"; 0 for no such band."""
    compat: Literal["none", "upstream"] = "none"
    """upstream: exactly the labels of upstream's script, with its traps; see docs/relabel.md."""

    outcome: Literal["success", "failure"] | None = None
    """How all episodes ended."""
    outcome_column: str | None = None
    """How each ended: a key of meta/episodes or a column of the tables. Default: what the value labels show."""
    outcome_file: Path | None = None
    """The same from a .json, .jsonl or .csv file."""
    label_convention: str | None = None
    """Convention of the label columns, where the data cannot tell; see docs/data.md."""
    reward_col: str | None = None
    """Column of rewards. Default: computed from the outcomes in the model's units, a failure's penalty included; with
    --compat upstream: reward_label."""
    human_col: str = "intervention"
    """1 where the operator was driving."""
    instruction_col: str | None = None
    """Per-frame prompts; default: the task table."""
    adv_col: str = "adv_ind"
    """The column to write."""
    base_image_col: str | None = None
    """The base camera under another name than in training; a checkpoint of upstream does not know any name."""
    wrist_image_col: str | None = None
    """The wrist camera likewise; without it, a checkpoint of upstream sees a black picture, as it did in training."""
    right_wrist_image_col: str | None = None
    """A second wrist camera; refused unless the model was trained with one, which upstream's checkpoints do not say."""
    copy_wrist_to_right: bool = False
    """Upstream's flag; refused, because no model is trained that way."""
    seed: int = 42
    """Accepted for upstream's command lines; nothing here is random."""

    @property
    def rule(self) -> LabelRule:
        """How advantages are made and cut."""
        names = [field.name for field in dataclasses.fields(LabelRule)]
        return LabelRule(**{name: getattr(self, name) for name in names})
