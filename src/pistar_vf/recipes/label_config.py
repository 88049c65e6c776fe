"""Settings of `pistar-vf label`; the fields are the command's flags."""

import dataclasses
from pathlib import Path
from typing import Literal

from pistar_vf.choices import OutcomeRule, RolloutSource, TimeoutAs


@dataclasses.dataclass(frozen=True)
class LabelConfig:
    """Adds the five RECAP columns to a copy of a LeRobot dataset (v2.1 or v3.0).

    Say how the episodes ended with exactly one of --outcome, --outcome_column, --outcome_file and --source.
    """

    data_dir: str | Path
    """The dataset: a folder, local/<name> in the LeRobot cache, or hf://<owner>/<name>[@<revision>]; it is only
    read."""
    output_dir: Path
    """Where the labelled copy goes: a new or empty folder."""
    outcome: Literal["success", "failure"] | None = None
    """The same outcome for all episodes."""
    outcome_column: str | None = None
    """A key of meta/episodes.jsonl or a column of the tables (success, failure, timeout, fragment, or 1 and 0). Of a
    column of flags the last row decides, unless it goes up and down again: see --outcome_rule."""
    outcome_file: Path | None = None
    """A list of outcomes: .json {"0": "success"}, .jsonl {"episode_index": 0, "outcome": "success"}, or .csv."""
    outcome_rule: OutcomeRule | None = None
    """How a column of flags such as next.success decides: its last row, or any of its rows. Without it, a flag that
    goes off again is refused."""
    source: RolloutSource | None = None
    """Rollouts of LeRobot's own programs, instead of an outcome: of lerobot_eval, next.success is a success and the
    rest are time-outs; of lerobot_dagger, episodes are fragments, which are not trained on."""
    episodes: str | None = dataclasses.field(default=None, metadata={"words": "joined"})
    """Only these episodes, such as 0-25,30; the copy numbers them anew. The others may be damaged."""
    leave_out: str | None = dataclasses.field(default=None, metadata={"words": "joined"})
    """All episodes but these, such as 3,7."""
    intervention_column: str | None = None
    """Column that is 1 where the operator was driving. Default: `intervention` if there is one, else nowhere."""
    timeout_as: TimeoutAs | None = None
    """What a timeout counts as; needed as soon as one episode timed out. bootstrap leaves its value_label empty (NaN):
    `pistar-vf train` with the same outcomes fills it from the model's own value of the last frame."""
    target: Literal["episode_ramp", "paper"] = "episode_ramp"
    """Divide the steps to go by the episode's own length, or by the longest episode of the task (paper). For
    relabelling paper is the better choice: by its own length a slow success is worth as much as a fast one. The default
    is upstream's."""
    convention: Literal["recap", "libero_rollout", "robot_collector"] | None = None
    """Whose columns to write under --target episode_ramp: they differ in the last reward_label of a failure. Default:
    recap."""
    failure_penalty: float | None = None
    """Penalty of a failure in steps, for --target paper; default: the length of the task's longest episode."""
    overwrite_labels: bool = False
    """Replace label columns that the dataset already has (in the copy)."""
