"""`pistar-vf label`: a labelled copy of a dataset, from the outcome of every episode."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import tyro

from pistar_vf.data.labelled_copy import write_labelled_copy
from pistar_vf.data.labels import describe_targets, read_value_labels
from pistar_vf.data.lerobot import load_lerobot
from pistar_vf.data.outcomes import read_outcomes


@dataclasses.dataclass(frozen=True)
class LabelArgs:
    """Adds the five RECAP columns to a copy of a LeRobot v2.1 dataset.

    Say how the episodes ended with exactly one of --outcome, --outcome_column and --outcome_file.
    """

    data_dir: Path
    """The dataset; it is only read."""
    output_dir: Path
    """Where the labelled copy goes: a new or empty folder."""
    outcome: Literal["success", "failure"] | None = None
    """The same outcome for all episodes."""
    outcome_column: str | None = None
    """A key of meta/episodes.jsonl or a column of the tables (success, failure, timeout, or 1 and 0). Of a column of
    flags the last row of each episode decides."""
    outcome_file: Path | None = None
    """A list of outcomes: .json {"0": "success"}, .jsonl {"episode_index": 0, "outcome": "success"}, or .csv."""
    intervention_column: str | None = None
    """Column that is 1 where the operator was driving. Default: `intervention` if there is one, else nowhere."""
    timeout_as: Literal["success", "failure"] | None = None
    """What a timeout counts as; needed as soon as one episode timed out."""
    overwrite_labels: bool = False
    """Replace label columns that the dataset already has (in the copy)."""


def run(args: LabelArgs) -> Path:
    """Writes the copy, prints what a model would be trained on, and returns where the copy is."""
    dataset = load_lerobot(args.data_dir)
    outcomes = read_outcomes(
        dataset, outcome=args.outcome, outcome_column=args.outcome_column, outcome_file=args.outcome_file
    )
    output_dir = write_labelled_copy(
        dataset,
        args.output_dir,
        outcomes,
        intervention_column=args.intervention_column,
        timeout_as=args.timeout_as,
        overwrite_labels=args.overwrite_labels,
    )
    labelled = load_lerobot(output_dir)
    print(describe_targets(read_value_labels(labelled), labelled.episodes))
    print(
        f"labelled dataset: {output_dir}; train on it with: "
        f"pistar-vf train --data_dir {output_dir} --checkpoint_dir checkpoints/{output_dir.name}"
    )
    return output_dir


def main(argv: Sequence[str] | None = None) -> Path:
    """Parses the command line and runs the command."""
    return run(tyro.cli(LabelArgs, prog="pistar-vf label", args=argv, use_underscores=True))
