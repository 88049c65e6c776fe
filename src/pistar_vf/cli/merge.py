"""`pistar-vf merge`: several datasets in one."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from pistar_vf.cli.parsing import parse


@dataclasses.dataclass(frozen=True)
class MergeArgs:
    """Put several LeRobot datasets (v2.1 and v3.0, mixed as you like) into one, such as demonstrations and rollouts.

    `pistar-vf merge A B --output_dir OUT` is short for `pistar-vf merge --data_dir A B --output_dir OUT`.

    Episodes and tasks are numbered anew, the same prompt is one task, and the key `source` of an episode's metadata
    names the dataset that it came from. Videos are linked, joined or cut, not encoded again. The datasets must have
    the same columns, cameras and fps; differences are shown in a table, and --fill, --drop and --rename settle them.
    Training on several datasets needs no merging: `pistar-vf train --data_dir A B`.
    """

    data_dir: tuple[str | Path, ...]
    """The datasets, in the order of the result; they are only read."""
    output_dir: Path
    """Where the result goes: a new or empty folder."""
    to: Literal["v2.1", "v3.0"] | None = None
    """The layout to write. Default: that of the first dataset."""
    fill: tuple[str, ...] = ()
    """What a column is in datasets that lack it: intervention=1 for demonstrations, say. Several are possible."""
    drop: tuple[str, ...] = ()
    """Columns and cameras to leave out."""
    rename: tuple[str, ...] = ()
    """Call a column or camera of one dataset something else: 2:observation.images.top=observation.images.cam_high for
    the second dataset."""
    episodes: tuple[str, ...] = ()
    """Only these episodes, such as 0-25,30; of one of several datasets with its number: 2:0-25,30. The others may be
    damaged."""
    leave_out: tuple[str, ...] = ()
    """All episodes but these: 3,7, or 2:3,7 for the second dataset."""
    reencode: bool = False
    """From v3.0 to v2.1: encode anew those episodes that cannot be cut out of their video as they are, because they do
    not begin with a keyframe. Their pixels change slightly. Without it, such a dataset is refused."""


def run(args: MergeArgs) -> Path:
    """Merges, prints where the result is, and returns it."""
    from pistar_vf.curation.merge import MergeOptions, merge_datasets
    from pistar_vf.labels.split import parse_choices
    from pistar_vf.lerobot.dataset import load_lerobot

    choices = parse_choices(args.episodes, args.leave_out, len(args.data_dir))
    datasets = [load_lerobot(data_dir, choice=choice) for data_dir, choice in zip(args.data_dir, choices, strict=True)]
    options = MergeOptions(args.fill, args.drop, args.rename)
    output_dir = merge_datasets(datasets, args.output_dir, args.to, options=options, reencode=args.reencode)
    merged = load_lerobot(output_dir)
    print(
        f"LeRobot {merged.version} dataset, {len(merged.episodes)} episodes, {merged.num_frames} frames of "
        f"{len(datasets)} dataset{'s' * (len(datasets) != 1)}: {output_dir}"
    )
    return output_dir


def main(argv: Sequence[str]) -> Path:
    """Parses the command line and runs the command."""
    return run(parse_args(argv))


def parse_args(argv: Sequence[str]) -> MergeArgs:
    """The command line as settings."""
    return parse(MergeArgs, argv, "pistar-vf merge", bare="data_dir")
