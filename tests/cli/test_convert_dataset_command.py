"""`pistar-vf convert-dataset`. Oracle: the dataset that it wrote."""

import pytest

from pistar_vf.cli.main import main
from pistar_vf.lerobot.dataset import load_lerobot


@pytest.mark.parametrize("target", ["v3.0", None])
def test_there_and_back(tiny_dataset, tmp_path, capsys, target):
    there, back = tmp_path / "there", tmp_path / "back"
    chosen = [] if target is None else ["--to", target]
    assert main(["convert-dataset", "--data_dir", str(tiny_dataset), "--output_dir", str(there), *chosen]) == 0
    dataset = load_lerobot(tiny_dataset)
    assert load_lerobot(there).version == "v3.0"
    last = capsys.readouterr().out.splitlines()[-1]
    assert last == f"LeRobot v3.0 dataset, 6 episodes, {dataset.num_frames} frames: {there}"
    assert main(["convert-dataset", "--data_dir", str(there), "--output_dir", str(back), "--reencode"]) == 0
    assert load_lerobot(back).version == "v2.1"


def test_nothing_to_do(tiny_dataset, tmp_path, capsys):
    words = ["--data_dir", str(tiny_dataset), "--output_dir", str(tmp_path / "out"), "--to", "v2.1"]
    assert main(["convert-dataset", *words]) == 2
    assert "has the layout of v2.1 already (v2.1); nothing to do" in capsys.readouterr().err


def test_help_teaches(capsys):
    with pytest.raises(SystemExit) as exit_:
        main(["convert-dataset", "--help"])
    assert exit_.value.code == 0
    out = " ".join(capsys.readouterr().out.split())
    assert "Neither direction is needed for training" in out
    assert "Without it, such a dataset is refused" in out.replace("│ ", "")
