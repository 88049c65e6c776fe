"""Pictures of the tasks' worlds without any episode: what a model can have seen before it sees a dataset.

They stand in for what pretrained towers were trained on, which take a network to be had: the pictures and where things
are in them, and neither outcomes nor time.
"""

import contextlib
import dataclasses
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from simulated.packed import TRUTH, picture_writer
from simulated.script import FAILED, GOOD
from simulated.tasks import find_task
from simulated.truth import Truth
from simulated.world import CAMERAS, Acted, World

APART = 12
"""Frames between two pictures of one start: what is nearer looks the same."""
_SEED = 100_000
"""Of the first starts; those of episodes have far smaller ones."""
_STARTS = 50
"""Of a seed."""


def draw_scenes(counts: dict[str, int], folder: Path) -> None:
    """Writes what `packed.read` reads; an "episode" of it is some moments of one start.

    Args:
        counts: task name to number of starts.
        folder: to write.
    """
    folder.mkdir(parents=True, exist_ok=True)
    acted: list[tuple[str, Acted]] = []
    with contextlib.ExitStack() as open_files:
        add = {name: open_files.enter_context(picture_writer(folder / f"{name}.mp4")) for name in CAMERAS}
        for name, own, drawn in _scenes(counts):
            acted.append((name, own))
            for camera, frames in drawn.items():
                for frame in frames:
                    add[camera](Image.fromarray(frame))
    Truth.of(acted).write(folder / TRUTH)


def _scenes(counts: dict[str, int]) -> Iterator[tuple[str, Acted, dict[str, np.ndarray]]]:
    kinds = GOOD + FAILED
    for name, count in counts.items():
        world = World(find_task(name), _SEED)
        world.hurry()
        for start in range(count):
            if start % _STARTS == 0:
                world.draw_starts(_SEED + start // _STARTS)
            rng = np.random.default_rng([_SEED, start])
            own = _thinned(world.attempt(kinds[start % len(kinds)], start, rng), rng)
            yield name, own, world.draw(own)


def _thinned(acted: Acted, rng: np.random.Generator) -> Acted:
    """Some moments of it, from a random one on."""
    part = slice(int(rng.integers(APART)), None, APART)
    series = {name: getattr(acted, name)[part] for name in ("observation", "action", "progress", "snapshots")}
    return dataclasses.replace(acted, **series)
