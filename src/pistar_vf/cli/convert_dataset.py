"""`pistar-vf convert-dataset`: a dataset in the other LeRobot layout."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from pistar_vf.cli.parsing import parse


@dataclasses.dataclass(frozen=True)
class ConvertDatasetArgs:
    """Convert a dataset between the LeRobot layouts v2.1 and v3.0, both ways and without loss.

    v2.1 keeps one file an episode, v3.0 many episodes a file. Videos are joined and cut without re-encoding, tables
    keep their values and types. Neither direction is needed for training: both layouts are read directly.
    """

    data_dir: str | Path
    """The dataset; it is only read."""
    output_dir: Path
    """Where the result goes: a new or empty folder."""
    to: Literal["v2.1", "v3.0"] | None = None
    """The layout to write. Default: the one that the dataset does not have."""
    episodes: str | None = dataclasses.field(default=None, metadata={"words": "joined"})
    """Only these episodes, such as 0-25,30; they are numbered anew. The others may be damaged."""
    leave_out: str | None = dataclasses.field(default=None, metadata={"words": "joined"})
    """All episodes but these, such as 3,7; the rest are numbered anew."""
    reencode: bool = False
    """Towards v2.1: encode anew those episodes that cannot be cut out of their video as they are, because they do not
    begin with a keyframe. Their pixels change slightly. Without it, such a dataset is refused."""


def run(args: ConvertDatasetArgs) -> Path:
    """Converts, prints where the result is, and returns it."""
    from pistar_vf.curation.chosen import renumbered_copy
    from pistar_vf.curation.convert_dataset import convert_dataset
    from pistar_vf.labels.split import parse_choice
    from pistar_vf.lerobot.dataset import load_lerobot

    dataset = load_lerobot(args.data_dir, choice=parse_choice(args.episodes, args.leave_out))
    with renumbered_copy(dataset, args.output_dir) as whole:
        output_dir = convert_dataset(whole, args.output_dir, args.to, reencode=args.reencode)
    converted = load_lerobot(output_dir)
    print(
        f"LeRobot {converted.version} dataset, {len(converted.episodes)} episodes, {converted.num_frames} frames: "
        f"{output_dir}"
    )
    return output_dir


def main(argv: Sequence[str]) -> Path:
    """Parses the command line and runs the command."""
    return run(parse(ConvertDatasetArgs, argv, "pistar-vf convert-dataset"))
