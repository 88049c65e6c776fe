"""Settings of `pistar-vf eval` and `pistar-vf visualize`, composed of blocks; every field of a block is a flag."""

import dataclasses
from pathlib import Path
from typing import Annotated

import tyro

from pistar_vf.inference.settings import ScoringSettings
from pistar_vf.labels.settings import OutcomeSettings, PartSettings
from pistar_vf.settings import Composed


@dataclasses.dataclass(frozen=True)
class SourceSettings:
    """The model and the dataset."""

    checkpoint: Annotated[Path, tyro.conf.arg(aliases=["--checkpoint_dir"])]
    """A checkpoint (step_…), or a training directory: its best checkpoint by validation loss, else its last one. The
    folder of a training with --folds: eval scores every episode by the fold that has not seen it."""
    data_dir: str | None = None
    """Dataset: a folder, local/<name> in the LeRobot cache, or hf://<owner>/<name>[@<revision>] on the hub. Default:
    the one the model was trained on."""
    parquet_dir: Path | None = None
    """Instead of --data_dir: a folder of parquet files. Inside a LeRobot dataset, such as <dataset>/data/chunk-000: the
    episodes whose files are there. Anywhere else: docs/data.md says which columns the files need."""
    video_root: Path | None = None
    """Where the videos are, by LeRobot's sub-layout or by paths in the tables."""


@dataclasses.dataclass(frozen=True)
class ScoreSettings:
    """What is scored, and where the figures go."""

    frame_skip: int = 1
    """Score every n-th frame of an episode; 1 scores all of them."""
    blank_cameras: bool = False
    """Score again with one camera's pictures black, camera by camera: what each of them is worth to the model."""
    output: Path | None = None
    """JSON file for all figures, those of the baselines and of single episodes included."""


@dataclasses.dataclass(frozen=True)
class PictureSettings:
    """What is drawn, and where it goes."""

    episodes: str | None = dataclasses.field(default=None, metadata={"words": "joined"})
    """Episodes by number, such as 0-3,7 or 0 2 4, whatever --split says."""
    num_episodes: int = 8
    """At most so many, evenly spaced over the split; --episodes draws all it names."""
    video: bool = False
    """Also write an mp4 per episode: the cameras, and the curve as it grows."""
    output_dir: Path | None = None
    """Where pictures and the report go; default value_curves/<dataset>."""
    intervention_column: str = "intervention"
    """Column that is 1 where the operator was driving; shaded in the pictures."""


@dataclasses.dataclass(frozen=True)
class EvaluationConfig(Composed):
    """What both commands need: a model, a dataset, and which of its episodes."""

    data: SourceSettings
    part: PartSettings = PartSettings()
    outcomes: OutcomeSettings = OutcomeSettings()
    scoring: ScoringSettings = ScoringSettings()


@dataclasses.dataclass(frozen=True)
class EvalConfig(EvaluationConfig):
    """Score a trained value model on held-out episodes, beside three baselines.

    Prints loss, top-1, top-5, KL, MAE, MSE, rank correlations, same-time concordance, AUC within tasks, calibration and
    coverage, with intervals by episodes where there are five; docs/evaluation.md says what they mean.
    """

    scores: ScoreSettings = ScoreSettings()


@dataclasses.dataclass(frozen=True)
class VisualizeConfig(EvaluationConfig):
    """Draw the value over time, episode by episode, below key frames of every camera.

    The line is green where V rises and red where it drops; behind it is the predicted distribution. Writes one PNG per
    episode, and a report.html in which the episodes can be played beside their curves.
    """

    pictures: PictureSettings = PictureSettings()
