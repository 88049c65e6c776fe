"""Some episodes of a dataset as a dataset of their own."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

from pistar_vf.changes.staging import check_output, scratch_folder
from pistar_vf.curation.merge import merge_datasets
from pistar_vf.lerobot import v21, v30
from pistar_vf.lerobot.dataset import LeRobotDataset, load_lerobot
from pistar_vf.lerobot.episode import ALL_EPISODES


@contextlib.contextmanager
def renumbered_copy(dataset: LeRobotDataset, output_dir: Path) -> Iterator[LeRobotDataset]:
    """The dataset itself where all of its episodes are open, else a copy without the others, numbered from 0 on.

    The copy is made beside `output_dir`, its videos linked, and is gone afterwards.

    Args:
        dataset: opened with a choice of episodes.
        output_dir: what is going to be written from it.

    Raises:
        DatasetError: `output_dir` is unsuitable, or an open episode is damaged.
    """
    if dataset.choice == ALL_EPISODES:
        yield dataset
        return
    check_output(dataset.root, output_dir)
    version = v30.CODEBASE_VERSION if dataset.version == v30.CODEBASE_VERSION else v21.CODEBASE_VERSION
    with scratch_folder(output_dir) as folder:
        merge_datasets([dataset], folder / dataset.name, version, progress=False)
        yield load_lerobot(folder / dataset.name)
