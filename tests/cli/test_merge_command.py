"""`pistar-vf merge`. Oracle: the sources."""

import numpy as np
import pytest

from pistar_vf.cli.main import main
from pistar_vf.lerobot.dataset import load_lerobot
from pistar_vf.testing.lerobot_writer import EpisodeData, write_lerobot_v21


def _write(root, **columns):
    return str(write_lerobot_v21(root, [EpisodeData({"x": np.arange(3.0), **columns}, {}, "push")], fps=10))


def test_demonstrations_and_rollouts(tmp_path, capsys):
    demos = _write(tmp_path / "demos", y=np.ones(3))
    rollouts = _write(tmp_path / "rollouts", intervention=np.array([0, 1, 0]), z=np.ones(3), w=np.ones(3))
    output = str(tmp_path / "merged")
    words = ["--fill", "intervention=1", "--fill", "y=0.5", "--drop", "z", "--drop=w", "--output_dir", output]
    assert main(["merge", demos, rollouts, *words, "--to", "v3.0", "--rename", "2:x=a", "--rename", "2:a=x"]) == 2
    assert "--rename 2:a=x: expected a column" in capsys.readouterr().err
    assert main(["merge", "--to", "v3.0", *words, demos, rollouts]) == 0  # wherever the folders stand
    assert (
        capsys.readouterr().out.splitlines()[-1]
        == f"LeRobot v3.0 dataset, 2 episodes, 6 frames of 2 datasets: {output}"
    )
    merged = load_lerobot(output)
    np.testing.assert_array_equal(merged.read_column("intervention"), [1, 1, 1, 0, 1, 0])
    np.testing.assert_array_equal(merged.read_column("y"), [1, 1, 1, 0.5, 0.5, 0.5])
    assert {"z", "w"}.isdisjoint(merged.columns)


def test_with_pictures(tiny_dataset, tiny_dataset_v30, tmp_path, capsys):
    output = tmp_path / "merged"
    words = ["merge", "--data_dir", str(tiny_dataset), "--data_dir", str(tiny_dataset_v30), "--output_dir", str(output)]
    assert main([*words, "--reencode"]) == 0
    assert f"12 episodes, {2 * load_lerobot(tiny_dataset).num_frames} frames of 2 datasets" in capsys.readouterr().out


def test_differences_are_shown(tmp_path, capsys):
    sources = [_write(tmp_path / "demos"), _write(tmp_path / "rollouts", intervention=np.array([0, 1, 0]))]
    assert main(["merge", *sources, "--output_dir", str(tmp_path / "out")]) == 2
    err = capsys.readouterr().err
    assert "  intervention  missing   int64 [1]" in err
    assert "--fill intervention=1" in err


def test_help_teaches(capsys):
    with pytest.raises(SystemExit) as exit_:
        main(["merge", "--help"])
    assert exit_.value.code == 0
    out = " ".join(capsys.readouterr().out.replace("│", " ").split())
    assert "the key `source` of an episode's metadata names the dataset that it came from" in out
    assert "Training on several datasets needs no merging" in out
