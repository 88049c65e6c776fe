"""`scripts/train_robot_vf.py`: stage 2 of the stitched model: `pistar-vf train --preset stitched`, two more flags."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from pistar_vf.cli.train import main as train
from pistar_vf.errors import ConfigError

_HELP = """Stage 2 of the stitched model. All flags of pistar-vf train (below), with --preset stitched, and two more:
  --parquet_dir PATH  folder inside a LeRobot dataset, such as <dataset>/data/chunk-000; instead of --data_dir
  --video_root PATH   the videos of the same dataset; only checked, as a LeRobot dataset has both in one folder
"""


def main(argv: Sequence[str]) -> None:
    """Turns `--parquet_dir` and `--video_root` into the dataset they belong to, and trains."""
    if {"-h", "--help"} & set(argv):
        print(_HELP)
    train(train_words(argv))


def train_words(argv: Sequence[str]) -> list[str]:
    """The same command line for `pistar-vf train`.

    Raises:
        PistarError: the folders belong to no dataset, or to two.
    """
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--parquet_dir", "--parquet-dir", type=Path)
    parser.add_argument("--video_root", "--video-root", type=Path)
    own, words = parser.parse_known_args(argv)
    flags = {word.split("=")[0].replace("-", "_") for word in words if word.startswith("--")}
    if "__preset" not in flags:
        words = ["--preset", "stitched", *words]
    if own.parquet_dir is None:
        if own.video_root is not None:
            raise ConfigError(f"--video_root {own.video_root}: expected --parquet_dir with it, or --data_dir for both")
        return words
    if "__data_dir" in flags:
        raise ConfigError("--parquet_dir: expected either it or --data_dir, got both")
    from pistar_vf.lerobot.metadata import dataset_above

    root = dataset_above(own.parquet_dir, "--parquet_dir")
    if own.video_root is not None and dataset_above(own.video_root, "--video_root") != root:
        raise ConfigError(
            f"--video_root {own.video_root}: expected the videos of the dataset {root}, to which --parquet_dir "
            "belongs, got those of another; LeRobot datasets keep both in one folder"
        )
    return [*words, "--data_dir", str(root)]
