"""The written files against the format of LeRobot v2.1, read back with other libraries."""

import io
import json
import re
from pathlib import Path

import av
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from pistar_vf.errors import DatasetError
from pistar_vf.testing.lerobot_writer import EpisodeData, write_lerobot_v21

CAMERA = "observation.images.front"


def smooth_frames(length: int, height: int = 32, width: int = 48) -> np.ndarray:
    """A ramp that brightens with time: easy for a codec, different in every frame and corner."""
    t, y, x = np.ogrid[:length, :height, :width]
    channels = [40 + 12 * t + 0 * (y + x), 60 + 2 * y + 0 * (t + x), 60 + 2 * x + 0 * (t + y)]
    return np.stack(channels, axis=-1).astype(np.uint8)


def episode(length: int, task="push", **metadata) -> EpisodeData:
    columns = {
        "observation.state": np.arange(length * 3, dtype=np.float32).reshape(length, 3),
        "done": np.arange(length) == length - 1,
        "note": np.array([f"frame {i}" for i in range(length)]),
        "grip": np.linspace(0, 1, length, dtype=np.float32)[:, None],
    }
    return EpisodeData(columns, {CAMERA: smooth_frames(length)}, task, metadata)


def lines(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("written") / "set"
    return write_lerobot_v21(path, [episode(4, outcome="success"), episode(6, ["push"] * 2 + ["pull"] * 4)], fps=10)


def test_tables_by_hand(root: Path) -> None:
    table = pq.read_table(root / "data/chunk-000/episode_000001.parquet")
    kinds = {field.name: field.type for field in table.schema}
    assert kinds == {
        "observation.state": pa.list_(pa.float32(), 3),
        "done": pa.bool_(),
        "note": pa.string(),
        "grip": pa.float32(),
        "timestamp": pa.float32(),
        "frame_index": pa.int64(),
        "episode_index": pa.int64(),
        "index": pa.int64(),
        "task_index": pa.int64(),
    }
    assert table["index"].to_pylist() == [4, 5, 6, 7, 8, 9]
    assert table["episode_index"].to_pylist() == [1] * 6
    assert table["task_index"].to_pylist() == [0, 0, 1, 1, 1, 1]
    np.testing.assert_allclose(table["timestamp"].to_numpy(), [0, 0.1, 0.2, 0.3, 0.4, 0.5], rtol=1e-6)
    assert table["observation.state"].to_pylist()[1] == [3.0, 4.0, 5.0]
    assert table["note"].to_pylist()[5] == "frame 5"


def test_meta_files_by_hand(root: Path) -> None:
    assert lines(root / "meta/tasks.jsonl") == [{"task_index": 0, "task": "push"}, {"task_index": 1, "task": "pull"}]
    assert lines(root / "meta/episodes.jsonl") == [
        {"episode_index": 0, "tasks": ["push"], "length": 4, "outcome": "success"},
        {"episode_index": 1, "tasks": ["push", "pull"], "length": 6},
    ]
    info = json.loads((root / "meta/info.json").read_text())
    assert {key: info[key] for key in ("total_episodes", "total_frames", "total_tasks", "total_videos", "fps")} == {
        "total_episodes": 2,
        "total_frames": 10,
        "total_tasks": 2,
        "total_videos": 2,
        "fps": 10,
    }
    assert info["splits"] == {"train": "0:2"}
    assert info["features"]["note"] == {"dtype": "string", "shape": [1], "names": None}
    assert info["features"][CAMERA]["shape"] == [32, 48, 3]


def test_statistics_by_hand(root: Path) -> None:
    stats = lines(root / "meta/episodes_stats.jsonl")[0]["stats"]
    assert stats["frame_index"] == {
        "min": [0],
        "max": [3],
        "mean": [1.5],
        "std": [pytest.approx(1.118033988749895)],
        "count": [4],
    }
    assert stats["observation.state"]["max"] == [9.0, 10.0, 11.0]
    assert "note" not in stats
    red = stats[CAMERA]["mean"][0]
    assert np.shape(stats[CAMERA]["mean"]) == (3, 1, 1)
    np.testing.assert_allclose(red, [[(40 + 12 * 1.5) / 255]], rtol=1e-6)


def test_layout_is_that_of_a_real_dataset(root: Path, g1_dataset_path: Path) -> None:
    """Oracle: a dataset recorded with LeRobot: the same keys everywhere, the same Hugging Face description."""
    ours, real = (json.loads((path / "meta/info.json").read_text()) for path in (root, g1_dataset_path))
    assert ours.keys() == real.keys()
    for key in ("codebase_version", "data_path", "video_path", "chunks_size", "total_chunks"):
        assert ours[key] == real[key]
    camera = real["features"]["observation.images.cam_high"]
    assert ours["features"][CAMERA].keys() == camera.keys()
    assert ours["features"][CAMERA]["info"].keys() == camera["info"].keys()
    index_columns = ("timestamp", "frame_index", "episode_index", "index", "task_index")
    assert all(ours["features"][name] == real["features"][name] for name in index_columns)
    described = []
    for path in (root, g1_dataset_path):
        schema = pq.read_schema(path / "data/chunk-000/episode_000000.parquet")
        features = json.loads(schema.metadata[b"huggingface"])["info"]["features"]
        assert list(features) == schema.names
        described.append({name: features[name] for name in index_columns} | {"keys": set(features[schema.names[0]])})
    assert described[0] == described[1]
    stats = [lines(path / "meta/episodes_stats.jsonl")[0]["stats"] for path in (root, g1_dataset_path)]
    assert stats[0]["timestamp"].keys() == stats[1]["timestamp"].keys()
    assert np.shape(stats[0][CAMERA]["std"]) == np.shape(stats[1]["observation.images.cam_high"]["std"])


@pytest.mark.parametrize("codec", ["h264", "mpeg4", "av1"])
def test_video_shows_the_frames(tmp_path: Path, codec) -> None:
    data = episode(5)
    write_lerobot_v21(tmp_path / "set", [data], fps=10, codec=codec)
    with av.open(str(tmp_path / f"set/videos/chunk-000/{CAMERA}/episode_000000.mp4")) as container:
        assert container.streams.video[0].average_rate == 10
        frames = np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)])
    assert np.abs(frames.astype(int) - data.images[CAMERA]).mean() < 4
    info = json.loads((tmp_path / "set/meta/info.json").read_text())
    assert info["features"][CAMERA]["info"]["video.codec"] == codec


def test_image_storage_keeps_the_pixels(tmp_path: Path) -> None:
    data = episode(3)
    root = write_lerobot_v21(tmp_path / "set", [data], fps=10, storage="image")
    table = pq.read_table(root / "data/chunk-000/episode_000000.parquet")
    row = table[CAMERA].to_pylist()[2]
    np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(row["bytes"]))), data.images[CAMERA][2])
    info = json.loads((root / "meta/info.json").read_text())
    assert info["features"][CAMERA]["dtype"] == "image"
    assert (info["video_path"], info["total_videos"]) == (None, 0)
    assert not (root / "videos").exists()


def test_episodes_are_streamed(tmp_path: Path) -> None:
    """The files of an episode are on disk before the next one is asked for."""

    def stream():
        yield episode(2)
        assert (tmp_path / "set/data/chunk-000/episode_000000.parquet").is_file()
        yield episode(2)

    write_lerobot_v21(tmp_path / "set", stream(), fps=10, robot_type="so100")
    assert json.loads((tmp_path / "set/meta/info.json").read_text())["robot_type"] == "so100"


def broken(**changes) -> EpisodeData:
    good = episode(3)
    return EpisodeData({**good.columns, **changes.pop("columns", {})}, {**good.images, **changes}, good.task)


@pytest.mark.parametrize(
    ("episodes", "message"),
    [
        ([], "at least one episode to write"),
        ([broken(columns={"done": np.zeros(2)})], r"episode 0: expected one number of frames.*'done': 2"),
        ([broken(columns={"index": np.zeros(3)})], r"expected no columns \['index'\]"),
        ([broken(columns={"done": np.zeros((3, 2, 2))})], r"column 'done'.*rows of shape \(2, 2\); flatten"),
        ([broken(**{CAMERA: np.zeros((3, 31, 48, 3), np.uint8)})], "even height and width.*got 31x48"),
        (
            [episode(3), broken(columns={"done": np.zeros(3)})],
            r"episode 1: expected the features of episode 0.*float64",
        ),
    ],
)
def test_bad_episodes_are_refused(tmp_path: Path, episodes, message: str) -> None:
    with pytest.raises(DatasetError, match=message):
        write_lerobot_v21(tmp_path / "set", episodes, fps=10)


def test_a_folder_with_files_is_refused(tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("data")
    with pytest.raises(DatasetError, match=re.escape(f"new or empty folder to write a dataset to, got {tmp_path}")):
        write_lerobot_v21(tmp_path, [episode(2)], fps=10)
