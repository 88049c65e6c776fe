"""Every command that writes: how it is given, and what must hold after it was killed.

Three kinds. A `NewResult` is there whole or not at all. An `InPlace` change leaves its dataset as before or as after,
once it is recovered, and can be taken back. What `GoesOn` ends with the same numbers when it is given again.
"""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from hard_faults.children import Ended
from hard_faults.kept import Files, differences, files_of
from hard_faults.world import LABEL, RELABEL, SCORING, World, tiny_flags
from pistar_vf.testing.tiny import TINY_RUN


class LostError(Exception):
    """Something of the user's is lost, or half of a result passes for a whole one."""


def expect(holds: bool, text: str) -> None:
    """Raises LostError where something does not hold."""
    if not holds:
        raise LostError(text)


def expect_success(ended: Ended, what: str) -> None:
    """Raises LostError where a command that must succeed does not."""
    expect(ended.code == 0, f"{what}: exit code {ended.code}: {ended.output.strip()[-600:]}")


class Case(Protocol):
    """A command on inputs of the world."""

    name: str
    inputs: tuple[str, ...]

    def action(self, world: World) -> "tuple[str, ...] | Callable[[], object]":
        """What is run, and killed."""

    def learn(self, world: World) -> None:
        """Notes what an undisturbed run has left in the folder of work."""

    def check(self, world: World, work: Path) -> None:
        """Looks at the folder after a kill, and goes on as a user would; raises LostError."""


@dataclasses.dataclass
class NewResult:
    """A command that makes a new folder or file of inputs that it only reads.

    Attributes:
        name: of the row.
        words: the command.
        inputs: names of folders of the world; with a cache, that is no input.
        output: what it makes.
        replaces: whether given again it writes its result anew; others refuse a result that is there.
    """

    name: str
    words: tuple[str, ...]
    inputs: tuple[str, ...]
    output: str
    replaces: bool = False
    _whole: Files = dataclasses.field(default_factory=dict)
    _inputs: dict[str, Files | None] = dataclasses.field(default_factory=dict)

    def action(self, world: World) -> tuple[str, ...]:
        return self.words

    def learn(self, world: World) -> None:
        self._whole = world.snapshot([self.output])[self.output] or {}
        self._inputs = {name: files_of(world.inputs / name) for name in self._read_only()}

    def check(self, world: World, work: Path) -> None:
        self.check_nothing_half(world)
        if self.replaces or not (work / self.output).exists():
            expect_success(world.run(self.words), "given again")
            self.check_nothing_half(world)
            expect((work / self.output).exists(), "given again, it made nothing")

    def has_videos(self, world: World) -> bool:
        """Whether there is any among its inputs."""
        return any(any((world.inputs / name).glob("videos/**/*.mp4")) for name in self.inputs)

    def check_nothing_half(self, world: World, unless: str = "") -> None:
        """The inputs are as they were; the result is whole or absent, but for a file that was taken away."""
        for name, before in self._inputs.items():
            expect(world.snapshot([name])[name] == before, f"the input {name} is not what it was")
        found = world.snapshot([self.output])[self.output]
        wrong = [] if found is None else differences(found, self._whole)
        if wrong := [name for name in wrong if not unless or Path(name).name != unless]:
            raise LostError(f"{self.output} is there, but not whole: {wrong[:5]}")

    def _read_only(self) -> list[str]:
        return [name for name in self.inputs if name != "cache"]


@dataclasses.dataclass
class InPlace:
    """A command that changes a dataset.

    Attributes:
        name: of the row.
        words: the command.
        inputs: names of folders of the world.
        dataset: the one that it changes.
        before_that: a command that is given first, undisturbed; of what is taken back, the change.
    """

    name: str
    words: tuple[str, ...]
    inputs: tuple[str, ...]
    dataset: str
    before_that: tuple[str, ...] = ()
    _sides: tuple[Files, ...] = ()

    def action(self, world: World) -> tuple[str, ...]:
        if self.before_that:
            expect_success(world.run(self.before_that), "the change that is to be taken back")
        return self.words

    def learn(self, world: World) -> None:
        after = world.snapshot([self.dataset])[self.dataset] or {}
        changed = after
        if self.before_that:
            work = world.fresh(self.inputs)
            expect_success(world.run(self.before_that), "the change that is to be taken back")
            changed = files_of(work / self.dataset) or {}
        self._sides = (files_of(world.inputs / self.dataset) or {}, changed)

    def check(self, world: World, work: Path) -> None:
        expect_success(world.run(("undo", "--data_dir", self.dataset, "--recover")), "recovering")
        found = files_of(work / self.dataset) or {}
        sides = [not differences(found, side) for side in self._sides]
        expect(any(sides), f"{self.dataset} is neither as before nor as after: {differences(found, self._sides[0])}")
        if not sides[0]:
            expect_success(world.run(("undo", "--data_dir", self.dataset)), "taking back")
        expect(files_of(work / self.dataset) == self._sides[0], f"{self.dataset} is not what it was at the start")


@dataclasses.dataclass
class GoesOn:
    """Work that takes long: given again, it ends as if nobody had stopped it.

    Attributes:
        name: of the row.
        words: the command, or what to call.
        inputs: names of folders of the world.
        result: (folder of work) -> what the work is for, to be compared.
        more: (folder of work) -> words that the user adds the second time; None where it was done already.
    """

    name: str
    words: tuple[str, ...] | Callable[[], object]
    inputs: tuple[str, ...]
    result: Callable[[World, Path], object]
    more: Callable[[Path], tuple[str, ...] | None] = lambda _: ()
    _whole: object = None
    _inputs: dict[str, Files | None] = dataclasses.field(default_factory=dict)

    def action(self, world: World) -> tuple[str, ...] | Callable[[], object]:
        return self.words

    def learn(self, world: World) -> None:
        self._whole = self.result(world, world.work)
        self._inputs = {name: files_of(world.inputs / name) for name in self.inputs if name != "cache"}

    def check(self, world: World, work: Path) -> None:
        for name, before in self._inputs.items():
            expect(files_of(work / name) == before, f"the input {name} is not what it was")
        more = self.more(work)
        if more is not None:
            again = self.words if callable(self.words) else (*self.words, *more)
            expect_success(world.run(again), "given again")
        expect(self.result(world, work) == self._whole, "given again, it ended with other numbers")


@dataclasses.dataclass
class Patching:
    """Applying patches to a checkout, or taking them back: every file is as before or as after, and both ways go on."""

    name: str
    words: tuple[str, ...]
    inputs: tuple[str, ...] = ("fork",)
    before_that: tuple[str, ...] = ()
    _start: Files = dataclasses.field(default_factory=dict)
    _patched: Files = dataclasses.field(default_factory=dict)

    def action(self, world: World) -> tuple[str, ...]:
        if self.before_that:
            expect_success(world.run(self.before_that), "the patches that are to be taken back")
        return self.words

    def learn(self, world: World) -> None:
        work = world.fresh(self.inputs)
        self._start = _checkout(work)
        expect_success(world.run(APPLY), "applying")
        self._patched = _checkout(work)

    def check(self, world: World, work: Path) -> None:
        expect_success(world.run(APPLY), "applying after the kill")
        expect(_checkout(work) == self._patched, "applied again, the checkout is another one")
        expect_success(world.run(REVERT), "taking back after the kill")
        expect(_checkout(work) == self._start, "taken back, the checkout is not what it was")


APPLY = ("patch", "fork", "--apply", "--allow_dirty")
REVERT = ("patch", "fork", "--revert")


def _checkout(work: Path) -> Files:
    from pistar_vf.patching.writing import FOLDER

    return files_of(work / "fork", without=(FOLDER, "__pycache__")) or {}


def quick_cases() -> list[Case]:
    """Commands that need no trained model."""
    return [
        NewResult("label", ("label", "--data_dir", "raw", "--output_dir", "out", *LABEL), ("raw",), "out"),
        NewResult(
            "merge", ("merge", "labelled", "v30", "--reencode", "--output_dir", "out"), ("labelled", "v30"), "out"
        ),
        NewResult("repair", ("repair", "uncounted", "--output_dir", "out"), ("uncounted",), "out"),
        NewResult(
            "convert-dataset to v3.0",
            ("convert-dataset", "--data_dir", "labelled", "--output_dir", "out"),
            ("labelled",),
            "out",
        ),
        NewResult(
            "convert-dataset to v2.1", ("convert-dataset", "--data_dir", "v30", "--output_dir", "out"), ("v30",), "out"
        ),
        NewResult("check --json", ("check", "raw", "--json", "out.json"), ("raw",), "out.json", replaces=True),
        Patching("patch --apply", APPLY),
        Patching("patch --revert", REVERT, before_that=APPLY),
        GoesOn("frame cache", decode, ("labelled",), lambda world, work: world.told(_decoded)),
    ]


def trained_cases() -> list[Case]:
    """Commands that train, or use what was trained."""
    relabel = (*RELABEL, "--data_dir", "labelled")
    models = ("labelled", "folds", "cache")
    export = ("export", "--data_dir", "relabelled", "--to")
    in_place = (*export, "rlinf", "--in_place")
    train = ("train", "--data_dir", "labelled", "--checkpoint_dir")
    return [
        GoesOn(
            "train",
            (*train, "out", *tiny_flags()),
            ("labelled", "cache"),
            lambda world, work: world.told(lambda: _numbers("out")),
            _resume,
        ),
        GoesOn(
            "train --cache_features",
            (*train, "out", *tiny_flags(freeze_mode="siglip_only"), *FEATURES),
            ("labelled", "cache"),
            lambda world, work: world.told(lambda: _numbers("out")),
            _resume,
        ),
        GoesOn(
            "train --folds",
            (*train, "out", "--folds", "2", *tiny_flags()),
            ("labelled", "cache"),
            lambda world, work: world.told(lambda: _numbers("out/fold_0", "out/fold_1")),
        ),
        NewResult("relabel", (*relabel, "--output_dir", "out"), models, "out"),
        InPlace("relabel --in_place", (*relabel, "--in_place"), models, "labelled"),
        InPlace("export --in_place", in_place, ("relabelled",), "relabelled"),
        InPlace("undo", ("undo", "--data_dir", "relabelled"), ("relabelled",), "relabelled", in_place),
        NewResult("export to prompts", (*export, "prompts", "--output_dir", "out"), ("relabelled",), "out"),
        NewResult(
            "select",
            (
                "select",
                "--data_dir",
                "labelled",
                "--checkpoint_dir",
                "folds",
                "--top",
                "2",
                "--force",
                *TO_OUT,
                *SCORING,
            ),
            models,
            "out",
        ),
        *(
            NewResult(f"convert to {to}", ("convert", "--path", "run", "--to", to, "--output", "out"), ("run",), "out")
            for to in ("safetensors", "huggingface", "checkpoint")
        ),
        NewResult(
            "report",
            ("report", "labelled", "--run", "run", "--output", "out.html", *SCORING),
            ("labelled", "run", "cache"),
            "out.html",
            replaces=True,
        ),
    ]


FEATURES = ("--cache_features", "--no_augment", "--allow_random_towers")
TO_OUT = ("--output_dir", "out")


def _resume(work: Path) -> tuple[str, ...] | None:
    if (work / "out" / f"step_{TINY_RUN['num_train_steps']:08d}").exists():
        return None
    return ("--resume_from_checkpoint", "latest") if any((work / "out").glob("step_*")) else ()


def decode() -> None:
    """Decodes every camera of the labelled dataset, as a training does."""
    from pistar_vf.frames.cache import open_frame_cache
    from pistar_vf.lerobot.dataset import load_lerobot

    dataset = load_lerobot("labelled")
    for key in dataset.camera_keys:
        open_frame_cache(dataset, key, size=56, fit="pad", cache_dir="cache", num_workers=0, progress=False)


def _decoded() -> str:
    """A digest of all frames, which must all be there."""
    import hashlib

    from pistar_vf.frames.cache import FrameCache
    from pistar_vf.lerobot.dataset import load_lerobot

    dataset, digest = load_lerobot("labelled"), hashlib.sha256()
    for key in dataset.camera_keys:
        cache = FrameCache.find(dataset, key, size=56, fit="pad", cache_dir="cache")
        assert not cache.missing(dataset.episodes)
        digest.update(cache.open().tobytes())
    return digest.hexdigest()


def _numbers(*runs: str) -> str:
    """A digest of the parameters in the last checkpoint of runs, and of every loss that they recorded."""
    import hashlib

    import jax

    from pistar_vf.checkpoints.layout import find_checkpoint
    from pistar_vf.checkpoints.orbax_tree import read_arrays, tree_metadata

    digest = hashlib.sha256()
    for run in runs:
        path = find_checkpoint(Path(run).absolute())
        for leaf in jax.tree.leaves(read_arrays(path, tree_metadata(path))):
            digest.update(leaf.tobytes())
    return digest.hexdigest()
