"""The prompts of a dataset: how many episodes each has, and which are empty or nearly the same."""

import collections

import numpy as np

from pistar_vf.errors import DatasetError
from pistar_vf.health.findings import Findings, Place
from pistar_vf.health.tables import Columns
from pistar_vf.lerobot.dataset import LeRobotDataset
from pistar_vf.lerobot.episode import Episode
from pistar_vf.lerobot.typed_values import whole_numbers


class PromptCheck:
    """Checks one episode after the other, and in the end all prompts together.

    Args:
        dataset: whose episodes they are.
        findings: gets what is wrong.
    """

    def __init__(self, dataset: LeRobotDataset, findings: Findings):
        self._tasks, self._findings = dataset.tasks, findings
        self._episodes: collections.Counter[str] = collections.Counter()

    def add(self, episode: Episode, columns: Columns) -> None:
        """Checks one episode; one with several prompts counts for each."""
        if "task_index" not in columns:
            return
        place: Place = {"file": episode.parquet, "episode": episode.index, "key": "task_index"}
        try:
            numbers = whole_numbers(columns["task_index"], "the rows")
        except DatasetError as error:
            self._findings.error("task_index", str(error), "write whole numbers", **place)
            return
        present, first = np.unique(numbers, return_index=True)
        prompts = {self._tasks[i] for i in present.tolist() if i in self._tasks}
        for task_index, frame in zip(present.tolist(), first.tolist()):
            if task_index not in self._tasks:
                problem = f"expected one of the tasks {sorted(self._tasks)}, got {task_index}"
                self._findings.error("task_index", problem, "add the task to the task table", frame=frame, **place)
        if len(prompts) > 1:
            problem = f"{len(prompts)} prompts in one episode"
            self._findings.note("several prompts", problem, "no task's longest episode applies to it", **place)
        if episode.tasks and prompts and set(episode.tasks) != prompts:
            problem = f"expected the prompts of the metadata, {sorted(episode.tasks)}, got {sorted(prompts)}"
            self._findings.warning("prompts agree", problem, "the rows count: correct the metadata", **place)
        self._episodes.update(prompts)

    def finish(self) -> dict[str, int]:
        """Compares the prompts; returns how many episodes each has, the most frequent first."""
        alike = collections.defaultdict(list)
        for prompt in self._episodes:
            alike[" ".join(prompt.lower().split())].append(prompt)
            if not prompt.strip():
                problem = f"{self._episodes[prompt]} episodes have an empty prompt"
                self._findings.error("empty prompt", problem, "say what the robot should do, in the task table")
        for prompts in alike.values():
            if len(prompts) > 1:
                problem = f"expected one spelling, got {' and '.join(map(repr, sorted(prompts)))}"
                advice = "they count as different tasks: use one of them in the task table"
                self._findings.warning("spelling of prompts", problem, advice)
        if unused := sorted(set(self._tasks.values()) - set(self._episodes)):
            problem = f"no frame has the prompt {', '.join(map(repr, unused))}"
            self._findings.note("unused prompts", problem, "nothing, if this is meant")
        return dict(self._episodes.most_common())
