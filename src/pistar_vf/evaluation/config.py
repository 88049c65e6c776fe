"""Settings of `pistar-vf eval` and `pistar-vf visualize`; the fields are the commands' flags."""

import dataclasses
from pathlib import Path
from typing import Annotated, Literal, TypeAlias

import tyro

from pistar_vf.labels.split import SplitRatios

PartName: TypeAlias = Literal["test", "val", "train", "all"]


@dataclasses.dataclass(frozen=True)
class EvaluationConfig:
    """What both commands need: a model, a dataset, and which of its episodes."""

    checkpoint: Annotated[Path, tyro.conf.arg(aliases=["--checkpoint_dir"])]
    """A checkpoint (step_…), or a training directory: its best checkpoint by validation loss, else its last one."""
    data_dir: str | None = None
    """Dataset: a folder, or local/<name> in the LeRobot cache. Default: the one the model was trained on."""
    parquet_dir: Path | None = None
    """Instead of --data_dir: a folder of a dataset's parquet files, such as <dataset>/data/chunk-000."""
    video_root: Path | None = None
    """A folder of the same dataset's videos; only checked, as the dataset says itself where they are."""
    split: PartName = "test"
    """Which episodes. The checkpoint knows them; one that was trained without a test part gives its val part."""
    train_ratio: float | None = None
    """With the next two: draw the split again, for a checkpoint that does not know it. Where it does, they must be
    those of training."""
    val_ratio: float | None = None
    """Share of validation episodes."""
    test_ratio: float | None = None
    """Share of test episodes."""
    split_seed: int = 42
    """Of the draw."""
    outcome_column: str | None = None
    """How the episodes ended, where the value labels do not show it: a key of meta/episodes.jsonl or a column."""
    outcome_file: Path | None = None
    """The same from a .json, .jsonl or .csv file."""
    batch_size: int = 8
    """Frames per device and call."""
    num_workers: int | None = None
    """Processes that decode video; default: one per core."""
    cache_dir: Path | None = None
    """Where decoded frames are kept; default $PISTAR_VF_CACHE or ~/.cache/pistar_vf."""

    @property
    def ratios(self) -> SplitRatios | None:
        """The split to draw, None to use the checkpoint's."""
        return SplitRatios.of_flags(self.train_ratio, self.val_ratio, self.test_ratio)


@dataclasses.dataclass(frozen=True)
class EvalConfig(EvaluationConfig):
    """Score a trained value model on held-out episodes, beside three baselines.

    Prints loss, top-1, top-5, KL, MAE, MSE, rank correlation, AUC, calibration and coverage, each with a 95 % bootstrap
    interval over episodes; docs/evaluation.md says what they mean.
    """

    frame_skip: int = 1
    """Score every n-th frame of an episode; 1 scores all of them."""
    output: Path | None = None
    """JSON file for all figures, those of the baselines and of single episodes included."""


@dataclasses.dataclass(frozen=True)
class VisualizeConfig(EvaluationConfig):
    """Draw the value over time, episode by episode, below key frames of every camera.

    The line is green where V rises and red where it drops; behind it is the predicted distribution. Writes one PNG per
    episode and an index.html.
    """

    episodes: str | None = None
    """Episodes by number, such as 0-3,7, whatever --split says."""
    num_episodes: int = 8
    """At most so many, evenly spaced over the split; --episodes draws all it names."""
    video: bool = False
    """Also write an mp4 per episode: the cameras, and the curve as it grows."""
    output_dir: Path | None = None
    """Where pictures go; default value_curves/<dataset>."""
    intervention_column: str = "intervention"
    """1 where the operator was driving; shaded in the pictures."""
