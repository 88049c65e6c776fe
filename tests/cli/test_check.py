"""`pistar-vf check`. Oracle: datasets that are healthy, and damage done by hand."""

import json
import shutil

import numpy as np
import pyarrow.parquet as pq
import pytest

from pistar_vf.cli.main import main
from pistar_vf.testing.lerobot_writer import EpisodeData, write_lerobot_v21


@pytest.fixture
def damaged(tiny_dataset, tmp_path):
    """Without one video, and with two prompts of one meaning."""
    root = shutil.copytree(tiny_dataset, tmp_path / "damaged")
    next(iter(sorted(root.glob("videos/*/*front/*.mp4")))).unlink()
    return root


def _exit_code(words: list) -> int:
    try:
        return main(list(map(str, words)))
    except SystemExit as exit_:
        return exit_.code


def test_healthy(tiny_dataset, tiny_dataset_v30, tmp_path, capsys):
    report = tmp_path / "report.json"
    assert main(["check", str(tiny_dataset), str(tiny_dataset_v30), "--json", str(report)]) == 0
    out = capsys.readouterr().out
    assert "LeRobot v2.1, 10 fps" in out
    assert "LeRobot v3.0, 10 fps" in out
    assert "48x48 and h264, 10 fps, 6 files" in out
    assert "value_label, convention recap" in out
    assert "not decoded (see --decode)" in out
    assert f"full report: {report}" in out
    assert out.splitlines()[-1] == "verdict: healthy (0 errors, 0 warnings)"
    content = json.loads(report.read_text())
    assert (content["healthy"], content["unreadable"]) == (True, {})
    assert [entry["contents"]["version"] for entry in content["datasets"]] == ["v2.1", "v3.0"]
    contents = content["datasets"][0]["contents"]
    assert contents["labels"]["intervention_frames"] == sum(
        sum(pq.read_table(path)["intervention"].to_pylist()) for path in tiny_dataset.glob("data/*/*.parquet")
    )


def test_errors(damaged, tiny_dataset, tmp_path, capsys):
    report = tmp_path / "report.json"
    words = ["check", "--data_dir", tiny_dataset, "--data_dir", damaged, "--json", report]
    assert _exit_code(words) == 1
    out = capsys.readouterr().out
    assert "no video at" in out
    assert out.splitlines()[-1] == f"verdict: not healthy (1 error, 0 warnings): {damaged}"
    (finding,) = [f for f in json.loads(report.read_text())["datasets"][1]["findings"] if f["severity"] == "error"]
    assert (finding["check"], finding["episode"], finding["frame"]) == ("video", 0, None)
    assert finding["file"] == "videos/chunk-000/observation.images.front/episode_000000.mp4"


def test_findings_of_one_kind_are_one_row(tiny_dataset, tmp_path, capsys):
    root = shutil.copytree(tiny_dataset, tmp_path / "damaged")
    for path in root.glob("videos/*/*front/*.mp4"):
        path.unlink()
    assert _exit_code(["check", root]) == 1
    out = capsys.readouterr().out
    assert out.count("no video at") == 1
    assert "and 5 more like this" in out
    assert "not healthy (6 errors" in out


def test_strict(tmp_path, capsys):
    pictures = {"observation.images.front": np.zeros((3, 16, 16, 3), np.uint8)}
    same = EpisodeData({"observation.state": np.arange(6, dtype=np.float32).reshape(3, 2)}, pictures, "push")
    root = write_lerobot_v21(tmp_path / "twice", [same, same], fps=10)
    assert _exit_code(["check", root]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "verdict: healthy (0 errors, 1 warning)"
    assert _exit_code(["check", root, "--strict"]) == 1
    assert "not healthy (0 errors, 1 warning)" in capsys.readouterr().out


def test_unreadable(tiny_dataset, tmp_path, capsys):
    """The others are checked all the same."""
    assert _exit_code(["check", tmp_path / "nowhere", tiny_dataset]) == 2
    captured = capsys.readouterr()
    assert "error: no dataset" in captured.err
    assert "LeRobot v2.1, 10 fps" in captured.out
    assert captured.out.splitlines()[-1] == f"verdict: not healthy (1 error, 0 warnings): {tmp_path / 'nowhere'}"


def test_a_dataset_without_a_list_of_episodes(tiny_dataset, tmp_path, capsys):
    root = shutil.copytree(tiny_dataset, tmp_path / "damaged")
    (root / "meta/episodes.jsonl").unlink()
    assert _exit_code(["check", root]) == 1
    out = capsys.readouterr().out
    assert "cannot be read" in out
    assert "the dataset is refused" in out


def test_many_prompts_images_and_decoding(tmp_path, capsys):
    frames = np.zeros((1, 16, 16, 3), np.uint8)
    episodes = [
        EpisodeData({"observation.state": np.ones(1)}, {"observation.images.top": frames}, f"task {i}")
        for i in range(12)
    ]
    root = write_lerobot_v21(tmp_path / "toy", episodes, fps=10, storage="image")
    assert _exit_code(["check", root, "--decode"]) == 0
    out = capsys.readouterr().out
    for text in ("16x16x3, stored in the tables", "and 2 more prompts", "all decoded", "no column", "not stated"):
        assert text in out


def test_help_teaches(capsys):
    assert _exit_code(["check", "--help"]) == 0
    out = " ".join(capsys.readouterr().out.replace("│", " ").split())
    assert "this command names all of them" in out
    assert "Exit code: 0 without errors, 1 with, 2 where a dataset cannot be read at all" in out


def test_the_folder_may_stand_anywhere(tiny_dataset, capsys):
    assert _exit_code(["check", "--strict", tiny_dataset]) == _exit_code(["check", tiny_dataset, "--strict"])
    assert capsys.readouterr().out.count("verdict:") == 2
