"""`pistar-vf visualize`: pictures, a report and videos of the episodes that the flags mean."""

import json
import re
from pathlib import Path

import av
import pytest
from PIL import Image

from pistar_vf.cli.main import main as pistar_vf
from pistar_vf.inference.predictor import load_value_model
from pistar_vf.lerobot.dataset import load_lerobot

pytestmark = pytest.mark.usefixtures("small_and_fast")


@pytest.fixture
def visualize(trained_run, frame_cache_dir, tmp_path, capsys, monkeypatch):
    """Runs the command and returns (exit code, stdout, stderr, output folder)."""
    monkeypatch.delenv("PISTAR_VF_TRACEBACK", raising=False)

    def call(*words):
        folder = tmp_path / "pictures"
        checkpoint = ["--checkpoint", str(trained_run.checkpoint), "--cache_dir", str(frame_cache_dir)]
        code = pistar_vf(
            ["visualize", *checkpoint, "--num_workers", "0", "--output_dir", str(folder), *map(str, words)]
        )
        out, err = capsys.readouterr()
        return code, out, err, folder

    return call


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_pictures_and_videos_of_named_episodes(visualize, tiny_dataset):
    code, out, err, folder = visualize("--episodes", "1,4", "--video")
    assert code == 0, err
    assert out.rstrip().endswith(f"report: {folder / 'report.html'} (open it in a browser)")
    files = [f"episode_00000{index}.{kind}" for index in (1, 4) for kind in ("mp4", "png")]
    assert names(folder) == [*files, "report.html"]
    dataset = load_lerobot(tiny_dataset)
    report = (folder / "report.html").read_text(encoding="utf-8")
    for episode in (dataset.episodes[1], dataset.episodes[4]):
        picture = Image.open(folder / f"episode_{episode.index:06d}.png")
        assert picture.width == pytest.approx(1100, abs=2)
        assert 600 < picture.height < 800  # two cameras
        with av.open(str(folder / f"episode_{episode.index:06d}.mp4")) as container:
            stream = container.streams.video[0]
            assert sum(1 for _ in container.decode(stream)) == episode.length
            assert (stream.average_rate, stream.width, stream.height) == (10, 384 * 2 + 640, 384)
        assert report.count(f'id="clip-{episode.index}-') == 2
    shown = json.loads(re.search(r'id="episodes">(.*?)</script>', report)[1])
    assert sorted(one["index"] for one in shown) == [1, 4]
    assert [one["prompt"] for one in shown] == [dataset.episodes[one["index"]].tasks[0] for one in shown]
    assert shown[0]["disagreement"] >= shown[1]["disagreement"] > 0
    assert len(shown[0]["value"]) == shown[0]["length"] == dataset.episodes[shown[0]["index"]].length


@pytest.mark.parametrize(("words", "expected"), [([], "val"), (["--split", "train"], "train")])
def test_the_episodes_of_a_part(visualize, trained_run, words, expected):
    recorded = load_value_model(trained_run.checkpoint).spec.trained_on.datasets[0]
    code, _, err, folder = visualize(*words, "--num_episodes", 2)
    assert code == 0, err
    chosen = [int(name[8:14]) for name in names(folder) if name.endswith(".png")]
    part = list(getattr(recorded, expected))
    assert chosen == ([part[0], part[-1]] if len(part) > 1 else part)


def test_a_dataset_without_labels(visualize, tiny_dataset):
    code, _, err, folder = visualize("--data_dir", tiny_dataset.parent / "raw", "--episodes", "0")
    assert code == 0
    assert "no value labels are drawn: expected the column 'value_label'" in err
    assert names(folder) == ["episode_000000.png", "report.html"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--episodes", "9"], r"--episodes: the dataset has no episodes \[9\]"),
        (["--num_episodes", "0"], "--num_episodes: expected at least 1, got 0"),
    ],
)
def test_what_cannot_be_drawn(visualize, words, message):
    code, _, err, folder = visualize(*words)
    assert code == 2
    assert re.search(message, err)
    assert not folder.exists()
