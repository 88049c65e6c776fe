"""Settings of labels: what a frame is worth, how episodes ended, and who is held out."""

import dataclasses
from pathlib import Path

from pistar_vf.choices import LabelEncoding, OutcomeRule, PartName, RolloutSource, TargetRule, TimeoutAs
from pistar_vf.errors import ConfigError

SUM_TOLERANCE = 1e-6
"""How far shares may be from summing to 1."""


@dataclasses.dataclass(frozen=True)
class OutcomeSettings:
    """How the episodes ended, where the value labels do not show it."""

    outcome_column: str | None = None
    """How the episodes ended: a key of meta/episodes.jsonl or a column of the tables (success, failure, timeout,
    fragment, or 1 and 0). Training bootstraps time-outs: their targets follow from the model's own value of their last
    frame. It leaves fragments out."""
    outcome_file: Path | None = None
    """How the episodes ended, as a .json, .jsonl or .csv file of episodes and outcomes."""
    outcome_rule: OutcomeRule | None = None
    """How a column of flags such as next.success decides: its last row, or any of its rows. Without it, a flag that
    goes off again is refused."""
    source: RolloutSource | None = None
    """Rollouts of LeRobot's own programs, instead of an outcome: of lerobot_eval, next.success is a success and the
    rest are time-outs; of lerobot_dagger, episodes are fragments, which are not trained on."""
    timeout_as: TimeoutAs = "bootstrap"
    """What a timeout among these outcomes counts as: bootstrap leaves it one, failure and success make it one of those.
    Say here what `pistar-vf label` was told."""


@dataclasses.dataclass(frozen=True)
class LabelSettings(OutcomeSettings):
    """What is learned: the value of every frame, and what it is computed from."""

    value_column: str | None = None
    """Column with the value labels; default value_label, or the old spelling value_lable."""
    label_convention: str | None = None
    """Convention of the label columns (recap, libero_rollout, robot_collector, add_value_labels, srpo_progress,
    paper, nttg), where the data cannot tell; a declaration that the data contradict is refused."""
    target: TargetRule = "dataset"
    """What to train on. dataset: the value labels as they are; those that count frames (nttg) as by paper. paper: -1
    per step, divided by the longest episode of the task. episode_ramp: divided by the episode's own length. The last
    two are computed from the outcomes."""
    failure_penalty: float | None = None
    """Penalty of a failure in steps, for --target paper; default: the length of the task's longest episode, which
    puts failures at -1 everywhere."""
    target_lambda: float = 1.0
    """λ of TD(λ). 1: targets are what each episode came to (Monte-Carlo), as in the paper. Below it, what the model
    expects of the following frames counts, too, from the first look on: less noise where few episodes are there. Needs
    the outcomes."""
    bootstrap_interval: int = 100
    """Steps between looks at the last frames of time-outs and, with --target_lambda below 1, at every fourth training
    frame; without either it has no effect."""
    label_encoding: LabelEncoding = "two_hot"
    """Targets as distributions: two_hot keeps the label as its mean, one_hot takes the nearest atom."""


@dataclasses.dataclass(frozen=True)
class SplitRatios:
    """Shares of the episodes that go into each part; they sum to 1.

    Attributes:
        train: to train on.
        val: to choose the best checkpoint by.
        test: to report on; neither trained on nor chosen by.
    """

    train: float
    val: float
    test: float

    def __post_init__(self) -> None:
        shares = dataclasses.astuple(self)
        if min(shares) < 0 or self.train == 0 or not abs(sum(shares) - 1.0) <= SUM_TOLERANCE:
            raise ConfigError(
                "--train_ratio, --val_ratio and --test_ratio: expected shares that sum to 1, with some episodes to "
                f"train on, got {' + '.join(f'{share:g}' for share in shares)}"
            )

    @classmethod
    def of_flags(cls, train: float | None, val: float | None, test: float | None) -> "SplitRatios | None":
        """From three flags; None where none was given, a share of 0 where another was."""
        if train is val is test is None:
            return None
        return cls(train or 0.0, val or 0.0, test or 0.0)


@dataclasses.dataclass(frozen=True)
class RatioSettings:
    """A split of the episodes into three parts, drawn at random."""

    train_ratio: float | None = None
    """Share of episodes to train on, such as 0.8. The three ratios draw the split (in evaluation: again, for a
    checkpoint that does not know its own; where it does, they must be those of training). Outcomes and tasks keep their
    shares in every part, and split.json says who is where."""
    val_ratio: float | None = None
    """Share of episodes to validate on, such as 0.1."""
    test_ratio: float | None = None
    """Share of episodes that training never looks at, for `pistar-vf eval`, such as 0.1."""
    split_seed: int = 42
    """Decides which episodes --train_ratio, --val_ratio and --test_ratio draw."""

    @property
    def ratios(self) -> SplitRatios | None:
        """The shares; None where none is given.

        Raises:
            ConfigError: they do not sum to 1.
        """
        return SplitRatios.of_flags(self.train_ratio, self.val_ratio, self.test_ratio)


@dataclasses.dataclass(frozen=True)
class SplitSettings(RatioSettings):
    """Which episodes are trained on, and which are held out."""

    train_episodes: str | None = dataclasses.field(default=None, metadata={"words": "joined"})
    """Episodes to train on, such as 0-25,30 or 0-25 30; default: all that are not held out."""
    val_episodes: str | None = dataclasses.field(default=None, metadata={"words": "joined"})
    """Episodes to hold out, such as 26-31, or 0 2 4."""
    val_fraction: float = 0.1
    """Share of episodes to hold out when neither --val_episodes, --val_data_dir nor ratios are given. Outcomes and
    tasks keep their shares."""
    folds: int = 0
    """Train so many models, each without a share of the episodes, into checkpoint_dir/fold_0 and so on: relabel and
    eval score every episode by the model that has not seen it. A stopped command goes on where it stopped. 0: one
    model."""
    fold: int | None = None
    """Train this fold of --folds only, counted from 0."""


@dataclasses.dataclass(frozen=True)
class PartSettings(RatioSettings):
    """Which episodes are looked at."""

    split: PartName = "test"
    """Which part of the episodes. The checkpoint knows them; one that was trained without a test part gives its val
    part."""
