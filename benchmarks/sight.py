"""What can a small model see that learns from scratch from a hundred episodes? V of many recipes, and what it is worth.

`metaworld.py` makes the episodes and the policies. Training is for a GPU (a minute on a fast one, many hours on two
cores), which may be another machine: `pack` makes a folder of some megabytes. See docs/metaworld.md.

    python benchmarks/sight.py pack --output_dir outputs/metaworld --folder packed
    python benchmarks/sight.py pack --output_dir outputs/metaworld_1 --data_seed 1 --folder packed_1
    python benchmarks/sight.py scenes --folder scenes
    python benchmarks/sight.py look --scenes scenes --folders packed packed_1 --seen seen.npz              # elsewhere
    python benchmarks/sight.py train --folders packed packed_1 --seen seen.npz --values sight.npz          # elsewhere
    python benchmarks/sight.py judge --output_dir outputs/metaworld --values sight.npz --record sight
"""

import dataclasses
import re
import sys
import time
from pathlib import Path
from typing import Any

if __name__ == "__main__":
    sys.path.append(sys.path.pop(0))  # to the end: metaworld.py beside this file would hide the package of its name

import numpy as np  # noqa: I001 - the order of a path that was changed
import tyro

from recording import record
from simulated import packed
from simulated.judges import paper_units, robots_state_trees
from simulated.labels import rollouts_of
from simulated.sight import RECIPES, Recipe, Sight, Size
from simulated.tower import Towers, TowerSize, places


@dataclasses.dataclass(frozen=True)
class Pack:
    """Makes the episodes where they are not there, and packs them."""

    output_dir: Path
    """That of `metaworld.py`."""
    folder: Path
    """To write."""
    data_seed: int = 0
    """Of the episodes."""

    def run(self) -> None:
        """Writes the folder."""
        from simulated.benchmark import Args, Episodes  # the simulator is not where `train` runs

        packed.pack(Episodes(Args(self.output_dir, data_seed=self.data_seed)).folder("train"), self.folder)
        print(f"result: {self.folder}")


@dataclasses.dataclass(frozen=True)
class Scenes:
    """Draws pictures of the worlds that are of no episode, for `look`."""

    folder: Path
    """To write."""
    pick_place: int = 1200
    """Starts of pick-place; each gives about ten pictures."""
    drawer_open: int = 200
    """Starts of drawer-open."""

    def run(self) -> None:
        """Writes the folder."""
        from simulated.scenes import draw_scenes  # the simulator is not where `train` runs

        draw_scenes({"pick-place-v3": self.pick_place, "drawer-open-v3": self.drawer_open}, self.folder)
        print(f"result: {self.folder}")


@dataclasses.dataclass(frozen=True)
class Look:
    """Trains towers on scenes, and writes where they see things in packed episodes."""

    scenes: Path
    """What `scenes` wrote."""
    folders: tuple[Path, ...]
    """Packed episodes."""
    seen: Path
    """The .npz file to write."""
    size: TowerSize = TowerSize()  # noqa: RUF009 - frozen
    """How much is trained."""

    def run(self) -> None:
        """Prints how far off they are in every folder."""
        towers, found = Towers(*packed.read([self.scenes]), self.size), {}
        for folder in self.folders:
            truth, pixels = packed.read([folder])
            found[folder.name] = towers.places(truth, pixels)
            missed = np.linalg.norm((found[folder.name].mean(0) - places(truth)).reshape(-1, 2, 3), axis=-1)
            off = ", ".join(f"{name} {far:.4f}" for name, far in zip(("object", "goal"), np.median(missed, axis=0)))
            print(f"{folder.name}: median distance from the true place, metres: {off}", flush=True)
        np.savez_compressed(self.seen, **found)
        print(f"result: {self.seen}")


@dataclasses.dataclass(frozen=True)
class Train:
    """Trains the models of every recipe, and writes V of the first folder's frames after each."""

    folders: tuple[Path, ...]
    """Packed episodes; recipes of more than 100 episodes go on into the second."""
    values: Path
    """The .npz file to write."""
    recipes: tuple[str, ...] = ()
    """Only these; default: all, those of a tower where `--seen` is given."""
    seen: Path | None = None
    """What `look` wrote of these folders, for the recipes of a tower."""
    size: Size = Size()  # noqa: RUF009 - frozen
    """How much is trained."""
    seconds: float = 1e9
    """After so many no other recipe is begun."""

    def run(self) -> None:
        """Prints a line for each recipe as it is done."""
        wanted = self.recipes or [name for name, recipe in RECIPES.items() if self._can(recipe)]
        chosen = {name: RECIPES[name] for name in wanted}
        blind = [name for name, recipe in chosen.items() if not self._can(recipe)]
        if blind:
            raise SystemExit(f"error: --seen: expected what `look` wrote, for the recipe {blind[0]!r}")
        started, found = time.perf_counter(), {}
        sights = self._sights({recipe.tower for recipe in chosen.values()})
        for name, recipe in chosen.items():
            if time.perf_counter() - started > self.seconds:
                print(f"out of time before {name!r}")
                break
            found[name] = sights[recipe.tower].values(recipe).astype(np.float32)
            np.savez_compressed(self.values, **found)
            print(f"{name}: {time.perf_counter() - started:.0f} s since the start", flush=True)
        print(f"result: {self.values}")

    def _can(self, recipe: Recipe) -> bool:
        return self.seen is not None or not recipe.tower

    def _sights(self, wanted: set[bool]) -> dict[bool, Sight]:
        """By whether a tower has looked already."""
        (truth, pixels), found = packed.read(self.folders), {}
        if False in wanted:
            found[False] = Sight(truth, pixels, self.size)
        if True in wanted:
            with np.load(str(self.seen)) as seen:
                where = np.concatenate([seen[folder.name].mean(0) for folder in self.folders])
            found[True] = Sight(truth, pixels[:, :0], self.size, where)
        return found


@dataclasses.dataclass(frozen=True)
class Judge:
    """Measures V against what the simulator knows, and lets policies loose that were told its labels."""

    output_dir: Path
    """That of `metaworld.py`."""
    values: Path
    """What `train` wrote."""
    data_seed: int = 0
    """Of the episodes."""
    task: str = "pick-place-v3"
    """Whose policies are let loose."""
    lookahead: int = 20
    """N, frames, of the labels that are measured in every task."""
    lookaheads: tuple[int, ...] = (20, 50)
    """N, frames, of the labels that policies are told; none: no policies."""
    seeds: int = 8
    """Policies of each labelling."""
    rollouts: int = 50
    """Starts of each policy."""
    mean: bool = False
    """Judge the mean of all values in the file instead of each."""
    record: str | None = None
    """Also write the figures to benchmarks/results, under this name."""

    def run(self) -> None:
        """Prints a line for each labelling."""
        from simulated.benchmark import Args, Episodes
        from simulated.judged import judged, measured

        episodes = Episodes(Args(self.output_dir, data_seed=self.data_seed, seeds=self.seeds, rollouts=self.rollouts))
        truth = episodes.truth["train"]
        rollouts = rollouts_of(truth, paper_units(truth)[1])
        trees = measured(truth, rollouts, robots_state_trees(truth), self.lookahead)
        facts: dict[str, Any] = {"trees_on_the_robots_state": {"tasks": trees}}
        for name, value in self._values(len(truth.progress)).items():
            key = re.sub(r"\W+", "_", name).strip("_").lower()
            facts[key] = judged(episodes, rollouts, name, value, self.task, self.lookaheads)
            facts[key]["tasks"] = measured(truth, rollouts, value, self.lookahead)
        print(f"result: {self.output_dir}")
        if self.record is not None:
            record(self.record, {"settings": {"seeds": self.seeds, "rollouts": self.rollouts}, **facts})

    def _values(self, num_frames: int) -> dict[str, np.ndarray]:
        """By recipe."""
        with np.load(self.values) as file:
            found = {name: file[name][:num_frames].astype(np.float64) for name in file.files}
        return {"mean": np.mean(list(found.values()), axis=0)} if self.mean else found


if __name__ == "__main__":
    commands = {command.__name__.lower(): command for command in (Pack, Scenes, Look, Train, Judge)}
    tyro.extras.subcommand_cli_from_dict(commands, use_underscores=True).run()
