"""Small datasets, runs and weights that the commands are tried on, made once; and fresh copies of them."""

import dataclasses
import importlib
import os
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

from hard_faults.children import NEVER, Ended, Moment, run
from hard_faults.kept import Files, files_of
from pistar_vf.cli.main import COMMANDS
from pistar_vf.testing.tiny import TINY_RUN, tiny_model_config

NUM_EPISODES = 4
_BEFORE_FORKS = (
    "curation.merge", "curation.repair", "evaluation.run", "exports.run", "overview.run", "patching.plan",
    "patching.taking_back", "recipes.folds", "recipes.label", "recipes.run", "relabel.run", "relabel.select",
    "weights.convert", "weights.describe",
)  # fmt: skip
"""Modules that commands import when they run."""


def tiny_flags(**changes: object) -> list[str]:
    """Flags of a training that takes seconds."""
    flags = {**TINY_RUN, "cache_dir": "cache", **changes}
    return [word for name, value in flags.items() for word in (f"--{name}", str(value))]


SCORING = ("--cache_dir", "cache", "--num_workers", "0")
RELABEL = ("relabel", "--checkpoint_dir", "folds", "--force", "--lookahead", "3", "--report_dir", "report", *SCORING)


def import_everything() -> None:
    """Before the first fork, so that no child does it; shrinks the models further. Opens no device."""
    import jax

    from pistar_vf.models import gemma3, siglip

    for module in (*(module for module, _ in COMMANDS.values()), *(f"pistar_vf.{name}" for name in _BEFORE_FORKS)):
        importlib.import_module(module)
    small = tiny_model_config()
    siglip.VARIANTS["tiny/14"] = small.siglip
    gemma3.VARIANTS["gemma3_tiny"] = dataclasses.replace(small.gemma, vocab_size=512)
    jax.config.update("jax_disable_most_optimizations", True)


class World:
    """A folder of inputs.

    Args:
        folder: to make it in.
    """

    def __init__(self, folder: Path):
        self.inputs, self._work = folder / "inputs", folder / "work"
        self.inputs.mkdir(parents=True)
        self._make(_write_raw)
        self._command("label", "--data_dir", "raw", "--output_dir", "labelled", *LABEL)
        self._command("convert-dataset", "--data_dir", "labelled", "--output_dir", "v30")
        self._make(_write_uncounted)
        self._make(_write_fork)

    def _train(self) -> None:
        """Runs and weights, which take a minute: only for who asks for them."""
        self._command("train", "--data_dir", "labelled", "--checkpoint_dir", "run", *tiny_flags())
        self._command("train", "--data_dir", "labelled", "--checkpoint_dir", "folds", "--folds", "2", *tiny_flags())
        self._command(*RELABEL, "--data_dir", "labelled", "--output_dir", "relabelled")
        self._command("convert", "--path", "run", "--to", "safetensors", "--output", "weights.safetensors")
        self._command("convert", "--path", "run", "--to", "huggingface", "--output", "huggingface")

    def _command(self, *words: str) -> None:
        self._succeed(run(words, prepare=lambda: os.chdir(self.inputs)), " ".join(words))

    def _make(self, write: Callable[[Path], object]) -> None:
        self._succeed(run(lambda: write(self.inputs)), write.__name__)

    def _succeed(self, ended: Ended, what: str) -> None:
        if ended.code != 0:
            raise RuntimeError(f"{what}: expected to succeed, got {ended.code}: {ended.output[-2000:]}")

    def fresh(self, names: Sequence[str]) -> Path:
        """A new folder with copies of some inputs; the one before is gone."""
        if not all((self.inputs / name).exists() for name in names):
            self._train()
        shutil.rmtree(self._work, ignore_errors=True)
        self._work.mkdir()
        for name in names:
            source = self.inputs / name
            if source.is_dir():
                shutil.copytree(source, self._work / name, symlinks=True)
            else:
                shutil.copy2(source, self._work / name)
        return self._work

    def run(
        self,
        action: Sequence[str] | Callable[[], object],
        *,
        kill: Moment = NEVER,
        prepare: Callable[[], object] = lambda: None,
    ) -> Ended:
        """A command in the folder of `fresh`."""

        def begin() -> None:
            os.chdir(self._work)
            prepare()

        return run(action, kill=kill, prepare=begin, counted=self._work)

    @property
    def work(self) -> Path:
        """The folder of `fresh`."""
        return self._work

    def told(self, question: Callable[[], str]) -> str:
        """The answer to a question about the folder of `fresh`, found in a child; its last words where it fails."""
        ended = self.run(lambda: print(question()))
        return ended.output.strip().splitlines()[-1] if ended.output.strip() else ""

    def snapshot(self, names: Sequence[str]) -> dict[str, Files | None]:
        """What is in some folders of `fresh` now."""
        return {name: files_of(self._work / name) for name in names}


LABEL = ("--outcome_column", "outcome", "--timeout_as", "failure")


def _write_raw(folder: Path) -> None:
    from pistar_vf.testing.demo_dataset import write_demo_dataset

    write_demo_dataset(folder / "raw", num_episodes=NUM_EPISODES, image_size=28)


def _write_uncounted(folder: Path) -> None:
    """Times of a clock that drifts, and frames that are counted from 1 on."""
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    shutil.copytree(folder / "labelled", folder / "uncounted")
    for path in (folder / "uncounted").glob("data/*/*.parquet"):
        table = pq.read_table(path)
        for name, change in (("timestamp", pc.multiply), ("frame_index", pc.add)):
            field = table.schema.field(name)
            new = change(table[name], pa.scalar(1.01 if name == "timestamp" else 1, field.type))
            table = table.set_column(table.column_names.index(name), field, new.cast(field.type))
        pq.write_table(table, path)


def _write_fork(folder: Path) -> None:
    from support.mini_upstream import write_mini_upstream

    write_mini_upstream(folder / "fork")
