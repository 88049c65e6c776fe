"""Reading LeRobot v2.1. Oracles: hand-made columns, plain pyarrow reads, hand-written metadata."""

import json
import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pistar_vf.errors import DatasetError
from pistar_vf.lerobot.dataset import load_lerobot
from pistar_vf.testing.lerobot_writer import EpisodeData, write_lerobot_v21

LENGTHS = (4, 6, 5)
CAMERA = "observation.images.front"
NUM_FRAMES = sum(LENGTHS)


def _episode(i: int, length: int) -> EpisodeData:
    steps = np.arange(length)
    return EpisodeData(
        columns={
            "observation.state": (steps[:, None] + [[0.0, 100.0 * i]]).astype(np.float32),
            "reward": (-steps).astype(np.float32),
            "note": np.array([f"note {t % 2}" for t in steps]),
        },
        images={CAMERA: np.zeros((length, 8, 12, 3), np.uint8)},
        task="fold" if i == 0 else ["fold"] * (length - 1) + ["stack"],
        metadata={"outcome": "success"},
    )


@pytest.fixture(scope="module")
def written(tmp_path_factory) -> Path:
    """Three episodes with image storage; read-only for the tests."""
    root = tmp_path_factory.mktemp("written") / "toy"
    return write_lerobot_v21(root, (_episode(i, n) for i, n in enumerate(LENGTHS)), fps=10, storage="image")


@pytest.fixture
def copied(written, tmp_path) -> Path:
    """A copy that a test may damage."""
    return Path(shutil.copytree(written, tmp_path / "toy"))


def _edit_info(root: Path, **changes) -> None:
    path = root / "meta" / "info.json"
    info = json.loads(path.read_text()) | changes
    path.write_text(json.dumps({key: value for key, value in info.items() if value != "delete"}))


def _edit_episode(root: Path, line_number: int, **changes) -> None:
    path = root / "meta" / "episodes.jsonl"
    lines = path.read_text().splitlines()
    lines[line_number] = json.dumps(json.loads(lines[line_number]) | changes)
    path.write_text("\n".join(lines))


def _parquet(root: Path, index: int) -> Path:
    return root / f"data/chunk-000/episode_{index:06d}.parquet"


def _replace_column(root: Path, index: int, name: str, values: pa.Array | None) -> None:
    table = pq.read_table(_parquet(root, index))
    position = table.column_names.index(name)
    table = table.remove_column(position)
    pq.write_table(table if values is None else table.add_column(position, name, values), _parquet(root, index))


# --- what is read -----------------------------------------------------------------------------------------------


def test_schema_of_a_written_dataset(written):
    dataset = load_lerobot(written)
    assert (dataset.name, dataset.fps, dataset.robot_type, dataset.num_frames) == ("toy", 10.0, "synthetic", 15)
    assert [(e.index, e.length, e.start) for e in dataset.episodes] == [(0, 4, 0), (1, 6, 4), (2, 5, 10)]
    assert dataset.episodes[1].tasks == ("fold", "stack")
    assert dataset.episodes[1].metadata["outcome"] == "success"
    assert dataset.tasks == {0: "fold", 1: "stack"}
    assert dataset.camera_keys == (CAMERA,)
    assert {"observation.state", "reward", "note", "task_index"} <= set(dataset.columns)


def test_columns_of_a_written_dataset(written):
    dataset = load_lerobot(written)
    steps = np.concatenate([np.arange(n) for n in LENGTHS])
    state = dataset.read_column("observation.state")
    assert state.dtype == np.float32
    np.testing.assert_array_equal(state, np.stack([steps, steps + 100 * np.repeat([0, 1, 2], LENGTHS)], 1))
    np.testing.assert_array_equal(dataset.read_column("reward"), -steps)
    assert dataset.read_column("note").tolist() == [f"note {t % 2}" for t in steps]
    np.testing.assert_array_equal(dataset.read_column("reward", episodes=[dataset.episodes[2]]), -np.arange(5))


def test_columns_of_a_real_dataset_against_pyarrow(g1_dataset_path):
    dataset = load_lerobot(g1_dataset_path)
    assert (len(dataset.episodes), dataset.num_frames, dataset.fps) == (32, 10844, 30.0)
    files = sorted((g1_dataset_path / "data" / "chunk-000").glob("*.parquet"))
    table = pa.concat_tables([pq.read_table(file) for file in files])
    np.testing.assert_array_equal(
        dataset.read_column("observation.state"), np.array(table["observation.state"].to_pylist(), np.float32)
    )
    np.testing.assert_array_equal(dataset.read_column("index"), np.arange(10844))
    assert dataset.prompts == ("Pick up the yellow bottle on the table.",)
    assert dataset.image_size("observation.images.cam_high") == (480, 640)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (pa.array([[1.5], [2.5], [3.5], [4.5]], pa.list_(pa.float32(), 1)), [1.5, 2.5, 3.5, 4.5]),
        (pa.array([[1, 2], [3, 4], [5, 6], [7, 8]], pa.list_(pa.int64())), [[1, 2], [3, 4], [5, 6], [7, 8]]),
        (pa.array([[[1, 2]], [[3, 4]], [[5, 6]], [[7, 8]]]), [[[1, 2]], [[3, 4]], [[5, 6]], [[7, 8]]]),
        (pa.array([True, False, True, True]), [True, False, True, True]),
        (pa.array([1.0, None, 3.0, 4.0]), [1.0, np.nan, 3.0, 4.0]),
    ],
    ids=["one-number-lists", "lists", "lists-of-lists", "bools", "null-floats-are-nan"],
)
def test_column_types(copied, values, expected):
    _replace_column(copied, 0, "reward", values)
    dataset = load_lerobot(copied)
    np.testing.assert_array_equal(dataset.read_column("reward", episodes=dataset.episodes[:1]), np.array(expected))


def test_episode_indices_with_gaps_and_out_of_order(copied):
    """Episode 1 becomes number 1203: another chunk folder, and last although its line comes second."""
    target = copied / "data/chunk-001/episode_001203.parquet"
    target.parent.mkdir()
    shutil.move(_parquet(copied, 1), target)
    _edit_episode(copied, 1, episode_index=1203)
    dataset = load_lerobot(copied)
    assert [(e.index, e.start) for e in dataset.episodes] == [(0, 0), (2, 4), (1203, 9)]
    assert dataset.read_column("observation.state")[[3, 4, 9], 1].tolist() == [3.0, 200.0, 100.0]
    assert [dataset.episode_of(row).index for row in (0, 3, 4, 8, 9, 14)] == [0, 0, 2, 2, 1203, 1203]


def test_prompts_follow_frames_not_episodes(written):
    dataset = load_lerobot(written)
    assert dataset.prompts == ("fold", "stack")
    assert dataset.prompt_index().dtype == np.int32
    assert dataset.prompt_index().tolist() == [0] * 4 + [0, 0, 0, 0, 0, 1] + [0, 0, 0, 0, 1]


def test_tasks_with_the_same_text_are_one_prompt(copied):
    (copied / "meta/tasks.jsonl").write_text('{"task_index": 0, "task": "fold"}\n{"task_index": 1, "task": "fold"}\n')
    dataset = load_lerobot(copied)
    assert dataset.prompts == ("fold",)
    assert set(dataset.prompt_index().tolist()) == {0}


def test_prompts_from_a_string_column(written):
    dataset = load_lerobot(written, prompt_column="note")
    assert dataset.prompts == ("note 0", "note 1")
    np.testing.assert_array_equal(dataset.prompt_index(), np.concatenate([np.arange(n) % 2 for n in LENGTHS]))


def test_json_strings_may_hold_line_separators(copied):
    (copied / "meta/tasks.jsonl").write_text(
        '{"task_index": 0, "task": "折叠\u2028衣服"}\n{"task_index": 1, "task": "b"}\n', encoding="utf-8"
    )
    assert load_lerobot(copied).prompts == ("折叠\u2028衣服", "b")


def test_version_20_is_accepted(copied):
    _edit_info(copied, codebase_version="v2.0")
    assert load_lerobot(copied).num_frames == NUM_FRAMES


@pytest.mark.parametrize("name", ["local/toy", "some-org/toy"])
def test_lerobot_cache(written, tmp_path, monkeypatch, name):
    shutil.copytree(written, tmp_path / "lerobot" / name)
    monkeypatch.setenv("HF_LEROBOT_HOME", str(tmp_path / "lerobot"))
    assert load_lerobot(name).root == tmp_path / "lerobot" / name
    monkeypatch.delenv("HF_LEROBOT_HOME")
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    assert load_lerobot(name).root == tmp_path / "lerobot" / name


def test_lerobot_cache_default_is_in_the_home_folder(written, tmp_path, monkeypatch):
    for name in ("HF_LEROBOT_HOME", "HF_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    shutil.copytree(written, tmp_path / ".cache/huggingface/lerobot/local/toy")
    assert load_lerobot("local/toy").num_frames == NUM_FRAMES


def test_a_relative_folder_is_taken_as_it_is(written, monkeypatch):
    monkeypatch.chdir(written.parent)
    dataset = load_lerobot("toy")
    assert dataset.name == "toy"
    assert dataset.episodes[0].parquet == Path("toy/data/chunk-000/episode_000000.parquet")


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        ("videos/chunk-{episode_chunk:03d}/{video_key}/{episode_index:06d}.mp4", "videos/chunk-002/cam/000007.mp4"),
        ("videos/{video_key}/chunk-{chunk_index}/e{episode_index}.mp4", "videos/cam/chunk-2/e7.mp4"),
    ],
)
def test_video_path_placeholders(copied, template, expected):
    _edit_info(copied, video_path=template, chunks_size=3)
    for index in range(3):
        target = copied / f"data/chunk-{(5 + index) // 3:03d}/episode_{5 + index:06d}.parquet"
        target.parent.mkdir(exist_ok=True)
        shutil.move(_parquet(copied, index), target)
        _edit_episode(copied, index, episode_index=5 + index)
    dataset = load_lerobot(copied)
    assert dataset.video_path(dataset.episodes[2], "cam") == copied / expected


@pytest.mark.parametrize(
    ("shape", "names", "expected"),
    [
        ([480, 640, 3], ["height", "width", "channel"], (480, 640)),
        ([3, 480, 640], ["channels", "height", "width"], (480, 640)),
        ([3, 480, 640], None, (480, 640)),
        ([480, 640, 3], [["height", "width", "channels"]], (480, 640)),
        ([3, 480, 3], ["channels", "height", "width"], (480, 3)),
        ([3, 480, 3], {"axes": ["height", "width", "channels"]}, (3, 480)),
    ],
)
def test_image_size(copied, shape, names, expected):
    _edit_info(copied, features={"cam": {"dtype": "video", "shape": shape, "names": names}})
    assert load_lerobot(copied).image_size("cam") == expected


# --- damage -----------------------------------------------------------------------------------------------------


def _truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


def _write(path: Path, text: str) -> None:
    path.write_text(text)


DAMAGES = {
    "no-info": (lambda r: (r / "meta/info.json").unlink(), "toy: no meta/info.json; expected the root folder"),
    "broken-info": (lambda r: _write(r / "meta/info.json", "{"), r"info.json: not valid JSON"),
    "no-fps": (lambda r: _edit_info(r, fps="delete"), "info.json: expected the keys .* but fps is missing"),
    "v3-of-v2": (lambda r: _edit_info(r, codebase_version="v3.0"), "meta/tasks.parquet: no such file"),
    "v1": (lambda r: _edit_info(r, codebase_version="v1.6"), r"v2.0 or v2.1 or v3.0, got v1.6$"),
    "empty": (lambda r: _write(r / "meta/episodes.jsonl", ""), r"episodes.jsonl: the file is empty \(0 bytes\)"),
    "no-episode": (
        lambda r: _write(r / "meta/episodes.jsonl", "\n"),
        r"empty \(meta/episodes.jsonl lists no episode\)",
    ),
    "no-episodes": (lambda r: (r / "meta/episodes.jsonl").unlink(), "episodes.jsonl: no such file"),
    "no-tasks": (lambda r: (r / "meta/tasks.jsonl").unlink(), "tasks.jsonl: no such file"),
    "broken-line": (lambda r: _write(r / "meta/tasks.jsonl", "{}\nx"), "tasks.jsonl:1: expected the keys task_index"),
    "twice": (lambda r: _edit_episode(r, 2, episode_index=1), "episode 1 is listed twice"),
    "length-0": (lambda r: _edit_episode(r, 1, length=0), "episode 1: expected length >= 1, got 0"),
    "total": (lambda r: _edit_info(r, total_frames=16), "total_frames 16, but the 3 episodes .* add up to 15"),
    "no-parquet": (lambda r: _parquet(r, 1).unlink(), "episode_000001.parquet: no such file"),
    "truncated": (lambda r: _truncate(_parquet(r, 1)), "episode_000001.parquet: cannot be read as parquet"),
    "length": (
        lambda r: [_edit_episode(r, 1, length=7), _edit_info(r, total_frames=16)],
        r"episode_000001.parquet: episode 1: expected 7 rows \(meta/episodes.jsonl\), got 6",
    ),
    "placeholder": (
        lambda r: _edit_info(r, data_path="data/{file_index}.parquet"),
        r"cannot fill in the path 'data/\{file_index\}.parquet'; known placeholders: episode_chunk",
    ),
}


@pytest.mark.parametrize("name", DAMAGES)
def test_damaged_dataset(copied, name):
    damage, message = DAMAGES[name]
    damage(copied)
    with pytest.raises(DatasetError, match=message):
        load_lerobot(copied)


def test_dataset_not_found_says_where_it_looked(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_LEROBOT_HOME", str(tmp_path / "home"))
    with pytest.raises(
        DatasetError, match=r"no dataset 'local/nothing'; tried .*local/nothing and .*home/local/nothing"
    ):
        load_lerobot("local/nothing")


def _fields(**arrays) -> pa.Array:
    return pa.array([arrays] * 6)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (None, "episode_000001.parquet: episode 1: no column 'reward', which other files of the dataset have"),
        (pa.array([[1.0], [1.0], [1.0, 2.0], [], [], []]), "lists of one length, got 1 in row 0 and 2 in row 2"),
        (pa.array([[1.0], None, [1.0], [1.0], [1.0], [1.0]]), "expected a value in every row, got null in row 1"),
        (pa.array([1, 2, None, 4, 5, 6]), "'reward': expected a value in every row, got null in row 2"),
        (pa.array([[1.0, 2.0]] * 6), r"expected values of shape \(\) as in episode_000000.parquet, got \(2,\)"),
        (_fields(bytes=b"x"), "expected numbers or strings, got struct<bytes: binary>"),
    ],
    ids=["gone", "ragged", "null-list", "null-int", "shape", "struct"],
)
def test_bad_columns(copied, values, message):
    _replace_column(copied, 1, "reward", values)
    with pytest.raises(DatasetError, match=message):
        load_lerobot(copied).read_column("reward")


def test_corrupt_column_data(copied):
    path = _parquet(copied, 1)
    start = pq.ParquetFile(path).metadata.row_group(0).column(0).data_page_offset
    content = bytearray(path.read_bytes())
    content[start : start + 24] = b"\xff" * 24
    path.write_bytes(content)
    dataset = load_lerobot(copied)
    with pytest.raises(DatasetError, match=r"episode_000001.parquet: column '.*' cannot be read, the file is corrupt"):
        dataset.read_column(dataset.columns[0])


def test_missing_column_lists_the_columns(written):
    with pytest.raises(DatasetError, match=r"no column 'value_label'; the columns are .*reward"):
        load_lerobot(written).read_column("value_label")


def test_unknown_task_index(copied):
    _replace_column(copied, 1, "task_index", pa.array([0, 0, 0, 9, 0, 0]))
    with pytest.raises(DatasetError, match=r"episode 1 has task_index 9, .* \(it has \[0, 1\]\)"):
        load_lerobot(copied).prompt_index()


def test_prompt_column_must_hold_strings(written):
    with pytest.raises(DatasetError, match="prompt_column 'reward': expected strings, got float32"):
        _ = load_lerobot(written, prompt_column="reward").prompts


def test_video_camera_without_video_path(copied):
    _edit_info(copied, features={"cam": {"dtype": "video", "shape": [4, 4, 3], "names": None}})
    dataset = load_lerobot(copied)
    with pytest.raises(DatasetError, match="camera 'cam' is a video, but there is no 'video_path'"):
        dataset.video_path(dataset.episodes[0], "cam")


def test_image_size_of_a_grey_camera(copied):
    _edit_info(copied, features={"cam": {"dtype": "video", "shape": [480, 640, 1], "names": None}})
    with pytest.raises(DatasetError, match=r"camera 'cam': expected a shape .* got \[480, 640, 1\]"):
        load_lerobot(copied).image_size("cam")
