"""`pistar-vf round`: one round of RECAP on a user's data."""

import dataclasses
import os
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

from pistar_vf.cli.parsing import groups, parse
from pistar_vf.errors import ConfigError
from pistar_vf.rounds.record import (
    DATA,
    LABELLED,
    RECORD_FILE,
    REPORT,
    VALUE,
    RoundRecord,
    RoundResult,
    digest_of_record,
    rounds_until,
)

T = TypeVar("T")
Words = dict[str, list[str]]
"""Stage to the flags that it is given besides the round's own."""

_DECIDED = {
    "merge": ("data_dir", "output_dir"),
    "train": ("data_dir", "checkpoint_dir", "folds", "fold", "demo"),
    "relabel": ("data_dir", "checkpoint_dir", "output_dir", "report_dir", "in_place", "output", "adv_col", "dry_run"),
}
"""Flags of the stages that the round decides itself."""
_HANDED_ON = ("train", "relabel")
"""Stages whose flags the next round takes over; those of merging speak of one round's datasets."""


@dataclasses.dataclass(frozen=True)
class RoundArgs:
    """One round of RECAP: put new episodes behind those of the round before, train out-of-fold value models on all of
    them, judge them, label every frame, and compare with the rounds before.

    The policy is then fine-tuned on <output_dir>/labelled and records new episodes, which the next round takes:

      pistar-vf round --data_dir demos rollouts --policy v0 --output_dir rounds/1 --train.preset tiny
      pistar-vf round --data_dir rollouts_v1 --policy v1 --output_dir rounds/2 --previous rounds/1

    Flags of a stage are written behind its name: --merge.fill intervention=1, --train.num_train_steps 2000,
    --relabel.lookahead_seconds 1. Training and relabelling, where they are given none, take those of the round before;
    to merging, the data of that round are the first dataset. Stages that are done are not done again: a command that
    was stopped, or whose gate has refused, is given again.
    """

    data_dir: tuple[Path, ...]
    """Datasets that this round adds: demonstrations, rollouts. They are only read."""
    output_dir: Path
    """The round's folder: data, value, labelled, report and round.json."""
    previous: Path | None = None
    """Folder of the round before, whose data this round goes on with."""
    policy: str = ""
    """Which policy recorded the new episodes: a name or a checkpoint, for the record."""
    folds: int = 5
    """Value models, each trained without a share of the episodes."""


def main(argv: Sequence[str]) -> RoundRecord:
    """Parses the command line and runs the command."""
    own, flags = _by_stage(argv)
    return run(parse(RoundArgs, own, "pistar-vf round"), flags)


def run(args: RoundArgs, flags: Words) -> RoundRecord:
    """Runs the stages that are not done yet, prints the comparison and where the labels are, and returns the record.

    Raises:
        ConfigError: the folder holds another round, the round before is not finished, or a flag is the round's own.
        GateError: as `pistar-vf relabel` raises it; give the command again, with --relabel.accept_not_shown perhaps.
        PistarError: anything a stage refuses.
    """
    from rich.console import Console

    from pistar_vf.rounds.summary import round_table

    record, folder = _planned(args, flags), args.output_dir
    if record.result is None:
        words = _words(record, folder)
        _read_all(words)
        _merge(record, folder, words)
        record.write(folder)
        record = dataclasses.replace(record, result=_run_stages(record, folder, words))
        record.write(folder)
    Console().print(round_table(rounds_until(folder)))
    print(f"record: {folder / RECORD_FILE}")
    print(f"result: {folder / LABELLED}")
    return record


def _by_stage(argv: Sequence[str]) -> tuple[list[str], Words]:
    """The round's own words, and those of each stage.

    Raises:
        ConfigError: a flag of a stage is the round's to decide.
    """
    own: list[str] = []
    flags: Words = {stage: [] for stage in _DECIDED}
    for flag, values in groups(argv):
        stage, dot, name = flag.removeprefix("--").partition(".")
        if not dot or stage not in flags:
            own += [word for word in (flag, *values) if word]
            continue
        if name.replace("-", "_") in _DECIDED[stage]:
            raise ConfigError(f"{flag}: expected no such flag, the round decides it itself")
        flags[stage] += [f"--{name}", *values]
    return own, flags


def _planned(args: RoundArgs, flags: Words) -> RoundRecord:
    """What this round is to be, or what it was if it is finished."""
    before = None if args.previous is None else rounds_until(args.previous)[-1]
    if before is not None and before.result is None:
        raise ConfigError(f"{args.previous}: expected a finished round, its labels are not written yet; finish it")
    record = RoundRecord(
        number=1 if before is None else before.number + 1,
        policy=args.policy,
        previous=None if args.previous is None else os.path.relpath(args.previous, args.output_dir),
        previous_sha256=None if args.previous is None else digest_of_record(args.previous),
        data_dirs=tuple(str(path.absolute()) for path in args.data_dir),
        folds=args.folds,
        flags={stage: own or _handed_on(stage, before) for stage, own in flags.items()},
    )
    if not _is_begun(args.output_dir):
        return record
    there = RoundRecord.read(args.output_dir)
    there.check_same(record, args.output_dir)
    return record if there.result is None else there


def _is_begun(folder: Path) -> bool:
    """Whether a folder holds a round; what a killed merge leaves is nothing.

    Raises:
        ConfigError: it holds something else.
    """
    found = (
        [path for path in folder.iterdir() if not path.name.startswith(f"{DATA}.partial")] if folder.exists() else []
    )
    if found and not (folder / RECORD_FILE).is_file():
        raise ConfigError(
            f"--output_dir {folder}: expected a new or empty folder, or that of a round with its {RECORD_FILE}, found "
            f"{found[0].name} without one; choose another folder"
        )
    return bool(found)


def _handed_on(stage: str, before: RoundRecord | None) -> list[str]:
    return before.flags[stage] if before is not None and stage in _HANDED_ON else []


def _words(record: RoundRecord, folder: Path) -> Words:
    """The whole command line of every stage."""
    before = record.folder_before(folder)
    previous = [] if before is None else [str(before / DATA)]
    data, value = str(folder / DATA), str(folder / VALUE)
    places = ["--output_dir", str(folder / LABELLED), "--report_dir", str(folder / REPORT)]
    decided = {
        "merge": ["--data_dir", *previous, *record.data_dirs, "--output_dir", data],
        "train": ["--data_dir", data, "--checkpoint_dir", value, "--folds", str(record.folds)],
        "relabel": ["--data_dir", data, "--checkpoint_dir", value, *places],
    }
    return {stage: [*own, *record.flags[stage]] for stage, own in decided.items()}


def _read_all(words: Words) -> None:
    """Reads every flag before the first stage begins: a misspelt one of relabel would end the round after training."""
    from pistar_vf.cli import merge, relabel, train

    for stage, read in (("merge", merge.parse_args), ("train", train.parse_command), ("relabel", relabel.parse_config)):
        read(words[stage])


def _merge(record: RoundRecord, folder: Path, words: Words) -> None:
    """Before the record is written: what merging refuses leaves no round behind."""
    from pistar_vf.cli import merge

    if not (folder / DATA).exists():
        _stage(merge.main, record, "merge", words)


def _run_stages(record: RoundRecord, folder: Path, words: Words) -> RoundResult:
    from pistar_vf.cli import relabel, train
    from pistar_vf.lerobot.dataset import load_lerobot
    from pistar_vf.rounds.summary import measure_round

    _stage(train.main, record, "train", words)
    shutil.rmtree(folder / LABELLED, ignore_errors=True)  # of a command that was killed before it said so in its record
    labels = _stage(relabel.main, record, "relabel", words)
    previous = record.folder_before(folder)
    num_earlier = 0 if previous is None else len(load_lerobot(previous / DATA).episodes)
    outcomes = [trajectory.outcome for trajectory in labels.trajectories]
    return measure_round(folder, num_earlier, outcomes, previous)


def _stage(command: Callable[[list[str]], T], record: RoundRecord, name: str, words: Words) -> T:
    print(f"round {record.number}: {name}", flush=True)
    return command(words[name])
