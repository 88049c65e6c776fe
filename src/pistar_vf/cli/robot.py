"""`scripts/train_robot_vf.py`: stage 2 of the stitched model: `pistar-vf train --preset stitched`, two more flags."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from pistar_vf.cli.train import main as train
from pistar_vf.errors import ConfigError

_HELP = """Stage 2 of the stitched model. All flags of pistar-vf train (below), with --preset stitched, and two more:
  --parquet_dir PATH  instead of --data_dir: a folder of parquet files. Inside a LeRobot dataset, such as
                      <dataset>/data/chunk-000: the episodes whose files are there. Anywhere else: docs/data.md says
                      which columns the files need
  --video_root PATH   where the videos are, by LeRobot's sub-layout or by paths in the tables
"""


def main(argv: Sequence[str]) -> None:
    """Turns `--parquet_dir` and `--video_root` into the dataset that they make, and trains."""
    if {"-h", "--help"} & set(argv):
        print(_HELP)
    train(train_words(argv))


def train_words(argv: Sequence[str]) -> list[str]:
    """The same command line for `pistar-vf train`.

    Raises:
        PistarError: the folders make no dataset.
    """
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--parquet_dir", "--parquet-dir", type=Path)
    parser.add_argument("--video_root", "--video-root", type=Path)
    caches = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    caches.add_argument("--cache_dir", "--cache-dir", type=Path)
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
    from pistar_vf.curation.free_folders.open import dataset_of_folders

    cache_dir = caches.parse_known_args(words)[0].cache_dir
    return [*words, "--data_dir", str(dataset_of_folders(own.parquet_dir, own.video_root, cache_dir))]
