"""Reading LeRobot v3.0. Oracle: datasets written by hand with pyarrow, after LeRobot 0.4.4's layout."""

import json
import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pistar_vf.errors import DatasetError
from pistar_vf.lerobot import parquet
from pistar_vf.lerobot.dataset import load_lerobot
from pistar_vf.lerobot.episode import EpisodeChoice, VideoClip

CAMERA = "observation.images.front"
LENGTHS = (4, 6, 5, 3)
FILES = ((0, 1), (2, 3))
"""Which episodes share a data file."""
STARTS = (0, 4, 10, 15)
NUM_FRAMES = sum(LENGTHS)

INFO = {
    "codebase_version": "v3.0",
    "robot_type": "toy",
    "total_episodes": 4,
    "total_frames": NUM_FRAMES,
    "total_tasks": 2,
    "chunks_size": 1000,
    "data_files_size_in_mb": 100,
    "video_files_size_in_mb": 200,
    "fps": 10,
    "splits": {"train": "0:4"},
    "data_path": "data/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet",
    "video_path": "videos/{video_key}/chunk-{chunk_index:03d}/file-{file_index:03d}.mp4",
    "features": {
        "observation.state": {"dtype": "float32", "shape": [2], "names": None},
        CAMERA: {"dtype": "video", "shape": [8, 12, 3], "names": ["height", "width", "channels"]},
    },
}


def _data(path: Path, episodes: tuple[int, ...], **changes) -> None:
    index = np.repeat(episodes, [LENGTHS[e] for e in episodes])
    step = np.concatenate([np.arange(LENGTHS[e]) for e in episodes])
    columns = {
        "observation.state": pa.FixedSizeListArray.from_arrays(
            pa.array(np.stack([step, index], 1).reshape(-1).astype(np.float32)), 2
        ),
        "episode_index": pa.array(index),
        "task_index": pa.array(index % 2),
        "note": pa.array([f"note {e}.{t}" for e, t in zip(index, step)]),
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table(columns | changes), path, row_group_size=3)


def _episodes(path: Path, episodes: tuple[int, ...]) -> None:
    """Episodes 0 and 1 in the first data file and the first video, 2 and 3 in the second."""
    columns = {
        "episode_index": list(episodes),
        "data/chunk_index": [0 for e in episodes],
        "data/file_index": [e // 2 for e in episodes],
        "dataset_from_index": [STARTS[e] for e in episodes],
        "dataset_to_index": [STARTS[e] + LENGTHS[e] for e in episodes],
        f"videos/{CAMERA}/chunk_index": [0 for e in episodes],
        f"videos/{CAMERA}/file_index": [e // 2 for e in episodes],
        f"videos/{CAMERA}/from_timestamp": [(0.0, 0.4, 0.0, 0.5)[e] for e in episodes],
        f"videos/{CAMERA}/to_timestamp": [(0.4, 1.0, 0.5, 0.8)[e] for e in episodes],
        "tasks": [[f"task {e % 2}"] for e in episodes],
        "length": [LENGTHS[e] for e in episodes],
        "outcome": ["success" if e else None for e in episodes],
        "stats/observation.state/mean": [[0.0, 0.0] for e in episodes],
        "meta/episodes/chunk_index": [0 for e in episodes],
        "meta/episodes/file_index": [0 for e in episodes],
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table(columns), path)


@pytest.fixture
def root(tmp_path) -> Path:
    """Four episodes in two data files and two metadata files."""
    root = tmp_path / "toy"
    for number, members in enumerate(FILES):
        _data(root / f"data/chunk-000/file-{number:03d}.parquet", members)
    _episodes(root / "meta/episodes/chunk-000/file-000.parquet", (0, 1, 2))
    _episodes(root / "meta/episodes/chunk-000/file-001.parquet", (3,))
    pq.write_table(
        pa.table({"task_index": [0, 1], "__index_level_0__": ["task 0", "task 1"]}), root / "meta/tasks.parquet"
    )
    (root / "meta/info.json").write_text(json.dumps(INFO))
    return root


def _edit(path: Path, **columns) -> None:
    """Replaces columns of a table, or drops those given as None."""
    table = pq.read_table(path)
    for name, values in columns.items():
        table = table.drop_columns([name]) if name in table.column_names else table
        table = table if values is None else table.append_column(name, pa.array(values))
    pq.write_table(table, path)


def _edit_info(root: Path, **changes) -> None:
    path = root / "meta/info.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def _data_file(root: Path, number: int) -> Path:
    return root / f"data/chunk-000/file-{number:03d}.parquet"


def _meta_file(root: Path, number: int) -> Path:
    return root / f"meta/episodes/chunk-000/file-{number:03d}.parquet"


# --- what is read -----------------------------------------------------------------------------------------------


def test_schema(root):
    dataset = load_lerobot(root)
    assert (dataset.version, dataset.fps, dataset.robot_type, dataset.num_frames) == ("v3.0", 10.0, "toy", NUM_FRAMES)
    assert [(e.index, e.length, e.start, e.first_row) for e in dataset.episodes] == [
        (0, 4, 0, 0),
        (1, 6, 4, 4),
        (2, 5, 10, 0),
        (3, 3, 15, 5),
    ]
    assert [e.parquet.name for e in dataset.episodes] == ["file-000.parquet"] * 2 + ["file-001.parquet"] * 2
    assert dataset.tasks == {0: "task 0", 1: "task 1"}
    assert dataset.episodes[3].tasks == ("task 1",)
    assert (dataset.camera_keys, dataset.video_keys) == ((CAMERA,), (CAMERA,))
    assert dataset.columns == ("observation.state", "episode_index", "task_index", "note")


def test_metadata_is_what_v21_keeps_in_a_line(root):
    """Neither statistics nor places, and no key that the episode does not have."""
    first, second = load_lerobot(root).episodes[:2]
    assert first.metadata == {"episode_index": 0, "tasks": ["task 0"], "length": 4}
    assert second.metadata == {"episode_index": 1, "tasks": ["task 1"], "length": 6, "outcome": "success"}


def test_columns(root):
    dataset = load_lerobot(root)
    steps = np.concatenate([np.arange(n) for n in LENGTHS])
    expected = np.stack([steps, np.repeat(range(4), LENGTHS)], 1).astype(np.float32)
    state = dataset.read_column("observation.state")
    assert state.dtype == np.float32
    np.testing.assert_array_equal(state, expected)
    assert dataset.read_column("note")[[0, 4, 17]].tolist() == ["note 0.0", "note 1.0", "note 3.2"]


def test_some_episodes_in_any_order(root):
    dataset = load_lerobot(root)
    chosen = [dataset.episodes[i] for i in (3, 0, 2)]
    notes = dataset.read_column("note", chosen).tolist()
    assert notes == [f"note {e}.{t}" for e in (3, 0, 2) for t in range(LENGTHS[e])]


def test_every_file_is_opened_once_for_a_column(root, monkeypatch):
    dataset = load_lerobot(root)
    opened = []
    open_parquet = parquet.open_parquet
    monkeypatch.setattr(parquet, "open_parquet", lambda path: opened.append(path.name) or open_parquet(path))
    dataset.read_column("note", [dataset.episodes[i] for i in (3, 0, 2, 1)])
    assert sorted(opened) == ["file-000.parquet", "file-001.parquet"]


@pytest.mark.parametrize(
    ("spans", "groups", "offsets"),
    [
        ([(0, 10)], [0, 1, 2, 3], [0]),
        ([(0, 1)], [0], [0]),
        ([(9, 1)], [3], [0]),
        ([(4, 3)], [1, 2], [1]),
        ([(9, 1), (2, 1)], [0, 3], [3, 2]),
    ],
)
def test_row_groups_without_a_wanted_row_are_left_out(root, spans, groups, offsets):
    """The file has ten rows in groups of three."""
    with parquet.open_parquet(_data_file(root, 0)) as file:
        assert parquet.row_groups_of(file, spans) == (groups, offsets)


def test_prompts(root):
    dataset = load_lerobot(root)
    assert dataset.prompts == ("task 0", "task 1")
    assert dataset.prompt_index().tolist() == np.repeat([0, 1, 0, 1], LENGTHS).tolist()


def test_task_texts_may_be_a_named_column(root):
    pq.write_table(pa.table({"task": ["b", "a"], "task_index": [1, 0]}), root / "meta/tasks.parquet")
    assert load_lerobot(root).tasks == {0: "a", 1: "b"}


def test_clips(root):
    dataset = load_lerobot(root)
    folder = root / "videos" / CAMERA / "chunk-000"
    assert [dataset.video_clip(episode, CAMERA) for episode in dataset.episodes] == [
        VideoClip(folder / "file-000.mp4", 0.0, 0.4),
        VideoClip(folder / "file-000.mp4", 0.4, 1.0),
        VideoClip(folder / "file-001.mp4", 0.0, 0.5),
        VideoClip(folder / "file-001.mp4", 0.5, 0.8),
    ]
    assert dataset.video_path(dataset.episodes[2], CAMERA) == folder / "file-001.mp4"


def test_rows_decide_where_an_episode_is(root):
    """LeRobot's own converter names the previous file for the first episode of a file; it never reads the number."""
    _edit(_meta_file(root, 0), **{"data/file_index": [0, 0, 0]})
    shutil.move(_data_file(root, 1), root / "data/chunk-000/file-007.parquet")
    dataset = load_lerobot(root)
    assert dataset.episodes[2].parquet.name == "file-007.parquet"
    assert dataset.read_column("note")[10] == "note 2.0"


def test_episodes_out_of_order_inside_a_file(root):
    """The first row of a file is not its first episode."""
    _data(_data_file(root, 0), (1, 0))
    dataset = load_lerobot(root)
    assert [(e.index, e.first_row) for e in dataset.episodes[:2]] == [(0, 6), (1, 0)]
    assert dataset.read_column("note")[[0, 4]].tolist() == ["note 0.0", "note 1.0"]


def test_rows_of_episodes_that_are_not_listed_can_be_left_out(root):
    unlisted = pq.read_table(_meta_file(root, 1))["episode_index"].to_pylist()
    _meta_file(root, 1).unlink()
    with pytest.raises(DatasetError, match=rf"got some of episode {unlisted[0]}, which it does not; .*--leave_out"):
        load_lerobot(root)
    assert load_lerobot(root, choice=EpisodeChoice(leave_out=tuple(unlisted))).num_frames == 15


@pytest.mark.parametrize("read_ahead", [None, ()])
def test_a_file_of_episodes_that_are_left_out_may_be_damaged(root, read_ahead):
    last = max(FILES[1])
    _data_file(root, 1).write_bytes(b"PAR1 and no more")
    dataset = load_lerobot(root, choice=EpisodeChoice(leave_out=FILES[1]), read_ahead=read_ahead)
    assert [episode.index for episode in dataset.episodes] == list(FILES[0])
    for choice in (EpisodeChoice(), EpisodeChoice(only=(0, last))):
        with pytest.raises(DatasetError, match=r"file-001\.parquet: cannot be read as parquet, truncated or corrupt"):
            load_lerobot(root, choice=choice, read_ahead=read_ahead)


def test_a_dataset_without_video_path_can_be_read_but_not_seen(root):
    _edit_info(root, video_path=None)
    dataset = load_lerobot(root)
    with pytest.raises(DatasetError, match="is a video, but there is no 'video_path'"):
        dataset.video_clip(dataset.episodes[0], CAMERA)


def _corrupt(path: Path, column: str) -> None:
    metadata = pq.ParquetFile(path).metadata.row_group(0)
    chunks = [metadata.column(i) for i in range(metadata.num_columns)]
    start = next(chunk.data_page_offset for chunk in chunks if chunk.path_in_schema.startswith(column))
    content = bytearray(path.read_bytes())
    content[start : start + 12] = b"\xff" * 12
    path.write_bytes(content)


def test_the_statistics_are_not_read(root):
    """A statistics column that cannot be read does no harm: it is most of the metadata, and nobody asked."""
    _corrupt(_meta_file(root, 0), "stats/")
    with pytest.raises((OSError, pa.ArrowInvalid)):
        pq.ParquetFile(_meta_file(root, 0)).read()
    assert load_lerobot(root).num_frames == NUM_FRAMES


# --- damage -----------------------------------------------------------------------------------------------------

DAMAGES = {
    "no-tasks": (lambda r: (r / "meta/tasks.parquet").unlink(), "meta/tasks.parquet: no such file"),
    "task-columns": (
        lambda r: _edit(r / "meta/tasks.parquet", __index_level_0__=None),
        r"tasks.parquet: expected the columns task_index and task \(or __index_level_0__\), got \['task_index'\]",
    ),
    "no-meta": (lambda r: shutil.rmtree(r / "meta/episodes"), "toy/meta/episodes: no parquet file; a LeRobot v3.0"),
    "broken-meta": (lambda r: _meta_file(r, 0).write_bytes(b"PAR1"), "file-000.parquet: cannot be read as parquet"),
    "corrupt-meta": (
        lambda r: _corrupt(_meta_file(r, 1), "length"),
        "file-001.parquet: cannot be read, the file is corrupt",
    ),
    "no-column": (
        lambda r: _edit(_meta_file(r, 1), dataset_to_index=None),
        "file-001.parquet: expected a column dataset_to_index, got episode_index, .*outcome, meta/episodes/chunk_index",
    ),
    "no-camera": (
        lambda r: _edit(_meta_file(r, 0), **{f"videos/{CAMERA}/from_timestamp": None}),
        f"file-000.parquet: expected a column videos/{CAMERA}/from_timestamp",
    ),
    "null": (
        lambda r: _edit(_meta_file(r, 0), **{"data/file_index": [0, None, 1]}),
        "file-000.parquet: row 1: key 'data/file_index': expected a whole number, got null",
    ),
    "range": (
        lambda r: _edit(_meta_file(r, 0), dataset_to_index=[4, 10, 16]),
        "episode 2: expected dataset_to_index - dataset_from_index to be its length, 5, got 16 - 10",
    ),
    "clip": (
        lambda r: _edit(_meta_file(r, 0), **{f"videos/{CAMERA}/to_timestamp": [0.4, 0.4, 0.5]}),
        "episode 1, camera .*front: expected 0 <= from_timestamp < to_timestamp, got 0.4 and 0.4",
    ),
    "twice": (
        lambda r: _episodes(_meta_file(r, 1), (2,)),
        "toy/meta/episodes: episode 2 is listed twice",
    ),
    "no-data": (
        lambda r: _data_file(r, 1).unlink(),
        "file-001.parquet: no such file, though episode 2 should be in it; download it again",
    ),
    "no-rows": (
        lambda r: _data(_data_file(r, 0), (0,)),
        r"file-000.parquet: episode 1: expected 6 rows \(meta/episodes\), got 0",
    ),
    "wrong-rows": (
        lambda r: _edit(_data_file(r, 0), episode_index=[0] * 5 + [1] * 5),
        r"file-000.parquet: episode 0: expected 4 rows \(meta/episodes\), got 5; the file and the metadata",
    ),
    "no-index": (lambda r: _edit(_data_file(r, 1), episode_index=None), "file-001.parquet: no column 'episode_index'"),
    "split": (
        lambda r: _edit(_data_file(r, 0), episode_index=[0, 0, 1, 1, 1, 1, 1, 1, 0, 0]),
        "rows of episode 0 in one piece, got some from row 8 on and some in .*file-000.parquet from row 0 on",
    ),
    "left-over": (
        lambda r: shutil.copy(_data_file(r, 1), _data_file(r, 2)),
        "file-002.parquet: expected the rows of episode 2 in one piece",
    ),
    "total": (
        lambda r: _edit_info(r, total_frames=19),
        "total_frames 19, but the 4 episodes of meta/episodes add up to 18",
    ),
    "truncated": (
        lambda r: _data_file(r, 1).write_bytes(_data_file(r, 1).read_bytes()[:-9]),
        "file-001.parquet: cannot be read as parquet",
    ),
    "placeholder": (
        lambda r: _edit_info(r, data_path="data/{episode_index}.parquet"),
        r"key 'data_path': expected the placeholders chunk_index and .* got 'data/\{episode_index\}.parquet'",
    ),
}


@pytest.mark.parametrize("name", DAMAGES)
def test_damaged_dataset(root, name):
    damage, message = DAMAGES[name]
    damage(root)
    with pytest.raises(DatasetError, match=message):
        load_lerobot(root)


def test_empty_metadata(root):
    for number in (0, 1):
        pq.write_table(pq.read_table(_meta_file(root, number)).slice(0, 0), _meta_file(root, number))
    with pytest.raises(DatasetError, match=r"the dataset is empty \(meta/episodes lists no episode\)"):
        load_lerobot(root)


def test_an_empty_data_file_is_no_harm(root):
    pq.write_table(pq.read_table(_data_file(root, 0)).slice(0, 0), _data_file(root, 5))
    assert load_lerobot(root).num_frames == NUM_FRAMES
    assert load_lerobot(root, read_ahead=()).num_frames == NUM_FRAMES


def test_unknown_task_index(root):
    _edit(_data_file(root, 1), task_index=[0] * 6 + [7, 0])
    with pytest.raises(DatasetError, match=r"episode 3 has task_index 7, which is not in meta/tasks.parquet"):
        load_lerobot(root).prompt_index()


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([[1.0, 2.0]] * 6 + [[1.0]] * 2, r"expected lists of one length, got 2 in row 5 and 1 in row 6"),
        ([1] * 6 + [None, 1], "expected a value in every row, got null in row 6"),
        ([[1.0]] * 5 + [[1.0], None, [1.0]], "expected a value in every row, got null in row 6"),
        ([[[1.0], [1.0]]] * 8, r"expected values of shape \(2,\) as in file-000.parquet, got \(2, 1\)"),
    ],
    ids=["ragged", "null", "null-list", "shape"],
)
def test_bad_columns(root, values, message):
    _edit(_data_file(root, 1), **{"observation.state": values})
    with pytest.raises(DatasetError, match=f"file-001.parquet: column 'observation.state': {message}"):
        load_lerobot(root).read_column("observation.state")
