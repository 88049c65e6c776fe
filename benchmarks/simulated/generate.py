"""Episodes of mixed quality as a LeRobot dataset, and beside it what only the simulator knows."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from pistar_vf.testing.lerobot_writer import EpisodeData, write_lerobot_v21
from simulated.plan import Batch, plan
from simulated.tasks import find_task
from simulated.truth import Truth
from simulated.world import Acted, World

FPS = 20


def generate(batch: Batch, folder: Path) -> None:
    """Writes `folder/dataset` (LeRobot v2.1, with an `outcome` in episodes.jsonl) and `folder/truth.npz`."""
    shutil.rmtree(folder / "dataset", ignore_errors=True)  # of a call that was stopped
    acted: list[tuple[str, Acted]] = []
    write_lerobot_v21(folder / "dataset", _episodes(batch, acted), fps=FPS, robot_type="sawyer")
    Truth.of(acted).write(folder / "truth.npz")


def _episodes(batch: Batch, acted: list[tuple[str, Acted]]) -> Iterator[EpisodeData]:
    worlds = {name: World(find_task(name), batch.seed) for name in batch.counts}
    for number, planned in enumerate(plan(batch)):
        world = worlds[planned.task]
        rng = np.random.default_rng([batch.seed, number])  # each its own: a change of one kind leaves the others
        own = world.act_out(planned.kind, planned.start, rng)
        acted.append((planned.task, own))
        yield EpisodeData(
            columns={
                "observation.state": own.observation[:, :4],
                "observation.environment_state": own.observation,
                "action": own.action,
            },
            images=world.draw(own),
            task=world.task.prompt,
            metadata={"outcome": "success" if own.succeeded else "failure"},
        )
