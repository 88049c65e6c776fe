"""`pistar-vf repair`: a copy with index columns and times counted anew."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

from pistar_vf.cli.parsing import parse


@dataclasses.dataclass(frozen=True)
class RepairArgs:
    """Write a copy of a LeRobot dataset whose rows are counted anew: what home-made recorders get wrong most often.

    `pistar-vf repair A --output_dir OUT` is short for `pistar-vf repair --data_dir A --output_dir OUT`.

    Times become frame_index / fps; frame_index, index and episode_index are counted from 0 on; task_index is written
    where it is missing and the prompt is known. Right where rows and pictures are in order and belong together one to
    one: wall-clock times that drift, numbers that begin with 1, episodes with gaps. Videos are linked; nothing else
    changes.
    """

    data_dir: str | Path
    """The dataset; it is only read."""
    output_dir: Path
    """Where the copy goes: a new or empty folder."""
    episodes: str | None = dataclasses.field(default=None, metadata={"words": "joined"})
    """Only these episodes, such as 0-25,30. The others may be damaged."""
    leave_out: str | None = dataclasses.field(default=None, metadata={"words": "joined"})
    """All episodes but these, such as 3,7."""


def run(args: RepairArgs) -> Path:
    """Repairs, prints where the result is, and returns it."""
    from pistar_vf.curation.repair import repair_dataset
    from pistar_vf.labels.split import parse_choice
    from pistar_vf.lerobot.dataset import load_lerobot

    dataset = load_lerobot(args.data_dir, choice=parse_choice(args.episodes, args.leave_out))
    output_dir = repair_dataset(dataset, args.output_dir)
    print(f"repaired dataset, {len(dataset.episodes)} episodes, {dataset.num_frames} frames: {output_dir}")
    return output_dir


def main(argv: Sequence[str]) -> Path:
    """Parses the command line and runs the command."""
    return run(parse(RepairArgs, argv, "pistar-vf repair", bare="data_dir"))
