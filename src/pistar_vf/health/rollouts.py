"""Whether a dataset looks like rollouts of LeRobot's own programs, whose columns need `--source` to be understood."""

import numpy as np

from pistar_vf.choices import RolloutSource
from pistar_vf.health.findings import Findings
from pistar_vf.health.tables import Columns
from pistar_vf.labels.rollout_sources import DONE_COLUMN, EVAL_COLUMN
from pistar_vf.labels.value_labels import OLD_VALUE_COLUMN, VALUE_COLUMN
from pistar_vf.lerobot.dataset import LeRobotDataset
from pistar_vf.lerobot.episode import Episode
from pistar_vf.lerobot.frame_numbers import INTERVENTION_COLUMN, is_number_per_frame

OUTCOME_KEY = "outcome"
"""Key of an episode's metadata that says how it ended."""
_FLAGS = (EVAL_COLUMN, DONE_COLUMN, INTERVENTION_COLUMN)


class RolloutCheck:
    """Looks at the flags of one episode after the other, and proposes a source in the end.

    Args:
        dataset: whose episodes they are.
        findings: gets what is recognised.
    """

    def __init__(self, dataset: LeRobotDataset, findings: Findings):
        self._dataset, self._findings = dataset, findings
        self._up: dict[str, list[float]] = {name: [] for name in _FLAGS}
        """Of every episode, the share of its rows in which a flag is up."""

    def add(self, episode: Episode, columns: Columns) -> None:
        """Notes the flags of one episode."""
        for name in _FLAGS:
            if name in columns and is_number_per_frame(columns[name]):
                self._up[name].append(float(np.mean(columns[name].reshape(-1) == 1)))

    def finish(self) -> RolloutSource | None:
        """The program that the dataset seems to be recorded with; None where labels or outcomes say enough."""
        columns = self._dataset.columns
        labelled = VALUE_COLUMN in columns or OLD_VALUE_COLUMN in columns
        if labelled or any(OUTCOME_KEY in episode.metadata for episode in self._dataset.episodes):
            return None
        return self._dagger() or self._eval()

    def _dagger(self) -> RolloutSource | None:
        driven = self._up[INTERVENTION_COLUMN]
        windows = sum(share == 1 for share in driven)
        # That program writes flags as bool; of other recorders, only windows look like its own.
        as_it_writes = self._dataset.features.get(INTERVENTION_COLUMN, {}).get("dtype") == "bool"
        if not any(driven) or not (windows or as_it_writes):
            return None
        problem = (
            f"looks like rollouts of `lerobot-rollout --strategy.type=dagger`: {windows} of {len(driven)} episodes are "
            "windows of corrections"
        )
        self._propose("lerobot_dagger", problem, "pieces of episodes are then neither successes nor failures")
        return "lerobot_dagger"

    def _eval(self) -> RolloutSource | None:
        succeeded, done = self._up[EVAL_COLUMN], self._up[DONE_COLUMN]
        silent = sum(share == 0 for share in succeeded)
        if not silent or (done and not all(done)):
            return None
        problem = f"looks like rollouts of `lerobot-eval`: `{EVAL_COLUMN}` is never up in {silent} of {len(succeeded)}"
        self._propose("lerobot_eval", f"{problem} episodes", "episodes without a success are then time-outs")
        return "lerobot_eval"

    def _propose(self, source: RolloutSource, problem: str, meaning: str) -> None:
        advice = f"if it is so, pass --source {source} to `pistar-vf label`, `train` and `relabel`: {meaning}"
        key = INTERVENTION_COLUMN if source == "lerobot_dagger" else EVAL_COLUMN
        self._findings.note("rollouts", problem, advice, key=key)
