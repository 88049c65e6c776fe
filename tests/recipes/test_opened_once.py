"""How often commands open the tables of a dataset: over a network every open is a round trip."""

import os
import shutil

import pytest
from support.opened_tables import tables

from pistar_vf.evaluation.config import EvalConfig
from pistar_vf.evaluation.run import run_eval
from pistar_vf.lerobot.dataset import load_lerobot
from pistar_vf.recipes.prepare import prepare_data
from pistar_vf.relabel.config import RelabelConfig
from pistar_vf.relabel.run import run_relabel
from pistar_vf.testing.tiny import tiny_train_config


@pytest.mark.parametrize("layout", ["tiny_dataset", "tiny_dataset_v30"])
def test_training_opens_each_once(layout, tmp_path, opened, request):
    """Frames are decoded anew, with the times of the tables; and the targets, the split and the digests are made."""
    root = request.getfixturevalue(layout)
    data = prepare_data(
        tiny_train_config(root, tmp_path / "run", cache_dir=tmp_path / "cache", num_workers=0, val_interval=2)
    )
    assert len(data.trained_on.datasets[0].digests) == 6
    assert set(tables(load_lerobot(root), opened)) == {2}  # once by this line


@pytest.mark.usefixtures("small_and_fast")
def test_evaluation_opens_each_once(tiny_dataset_v30, trained_run, tmp_path, opened):
    root = tiny_dataset_v30
    config = EvalConfig.of(
        checkpoint=trained_run.checkpoint, data_dir=str(root), split="all", cache_dir=tmp_path / "cache", num_workers=0
    )
    run_eval(config, progress=False)
    assert set(tables(load_lerobot(root), opened)) == {2}


@pytest.mark.usefixtures("small_and_fast")
def test_relabelling_opens_each_once_before_it_writes(tiny_dataset, trained_run, tmp_path, opened):
    shutil.copytree(tiny_dataset, tmp_path / "rollouts", copy_function=os.link)
    config = RelabelConfig.of(
        data_dir=str(tmp_path / "rollouts"),
        checkpoint_dir=(trained_run.checkpoint,),
        output_dir=tmp_path / "out",
        report_dir=tmp_path / "report",
        cache_dir=tmp_path / "cache",
        num_workers=0,
        lookahead=10,
        force=True,
    )
    run_relabel(config.replace(dry_run=True), progress=False)
    assert set(tables(load_lerobot(tmp_path / "rollouts"), opened)) == {2}
