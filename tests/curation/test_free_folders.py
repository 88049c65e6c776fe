"""Two free folders as one dataset: parquet files anywhere, videos by sub-layout or by path, a chunk for itself."""

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pistar_vf.curation.free_folders import tables as free_tables
from pistar_vf.curation.free_folders.open import dataset_of_folders
from pistar_vf.errors import DatasetError, VideoError
from pistar_vf.frames.episode_decoder import decode_episode
from pistar_vf.health.check import check_dataset
from pistar_vf.labels.value_labels import read_value_labels
from pistar_vf.lerobot.dataset import load_lerobot
from pistar_vf.lerobot.parquet import read_parquet_table
from pistar_vf.testing.lerobot_writer import EpisodeData, write_lerobot_v21, write_lerobot_v30

FRONT, WRIST = "observation.images.front", "observation.images.wrist"
LENGTHS = (4, 3, 5)
TASKS = ("plug the cable", "plug the cable", "open the lid")


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("PISTAR_VF_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def grey(episode: int, frame: int) -> int:
    return 20 + 60 * episode + 10 * frame


def picture(episode: int, length: int) -> np.ndarray:
    """One grey a frame, which says whose it is."""
    greys = np.array([grey(episode, frame) for frame in range(length)], np.uint8)
    return np.broadcast_to(greys[:, None, None, None], (length, 16, 16, 3))


def episode_data(episode: int) -> EpisodeData:
    length = LENGTHS[episode]
    columns = {
        "observation.state": np.full((length, 2), episode, np.float32),
        "value_label": -np.arange(length, dtype=np.float32)[::-1] / 10,
    }
    return EpisodeData(columns, dict.fromkeys((FRONT, WRIST), picture(episode, length)), TASKS[episode])


@pytest.fixture(scope="module")
def known(tmp_path_factory):
    """A dataset with metadata; read-only."""
    episodes = [episode_data(episode) for episode in range(3)]
    return write_lerobot_v21(tmp_path_factory.mktemp("known") / "vials", episodes, fps=10).resolve()


def free(known: Path, folder: Path, cameras=(FRONT, WRIST)) -> tuple[Path, Path]:
    """(tables, videos) without metadata: two folders that know nothing of each other."""
    tables, videos = folder / "my tables" / "chunk-000", folder / "elsewhere" / "videos"
    tables.mkdir(parents=True)
    for episode, path in enumerate(sorted((known / "data").rglob("*.parquet"))):
        table = pq.read_table(path).drop_columns(["task_index", "timestamp", "index"])
        pq.write_table(table.append_column("task", pa.array([TASKS[episode]] * len(table))), tables / path.name)
    for camera in cameras:
        shutil.copytree(known / "videos" / "chunk-000" / camera, videos / "chunk-000" / camera)
    return tables, videos


def edited(path: Path, **columns) -> None:
    """Rewrites a table with columns replaced, or taken out (None)."""
    table = pq.read_table(path)
    for name, values in columns.items():
        table = table.drop_columns([name]) if name in table.column_names else table
        table = table if values is None else table.append_column(name, pa.array(values))
    pq.write_table(table, path)


def seen(dataset, episode, camera) -> list[int]:
    """The grey of every frame."""
    return [int(frame.mean().round()) for frame in decode_episode(dataset, episode, camera, size=16, fit="stretch")]


def assert_all_is_there(root: Path, cameras=(FRONT, WRIST)) -> None:
    dataset = load_lerobot(root)
    assert [episode.length for episode in dataset.episodes] == list(LENGTHS)
    assert [dataset.prompts[i] for i in dataset.prompt_index()] == [t for t, n in zip(TASKS, LENGTHS) for _ in range(n)]
    assert dataset.fps == 10
    assert dataset.camera_keys == tuple(cameras)
    assert read_value_labels(dataset)[:4] == pytest.approx([-0.3, -0.2, -0.1, 0])
    assert dataset.read_column("observation.state")[-1].tolist() == [2, 2]
    for episode in dataset.episodes:
        for camera in cameras:
            wanted = [grey(episode.index, frame) for frame in range(episode.length)]
            assert seen(dataset, episode, camera) == pytest.approx(wanted, abs=3)


def snapshot(folder: Path) -> dict[str, tuple[int, int]]:
    return {str(p): (p.stat().st_size, p.stat().st_mtime_ns) for p in folder.rglob("*")}


# --- folders without metadata ----------------------------------------------------------------------------------


def test_tables_and_videos_anywhere(known, tmp_path):
    tables, videos = free(known, tmp_path)
    before = snapshot(tables) | snapshot(videos)
    root = dataset_of_folders(tables, videos)
    assert_all_is_there(root)
    assert root.is_relative_to(tmp_path / "cache")
    assert snapshot(tables) | snapshot(videos) == before
    assert [finding for finding in check_dataset(root).findings if finding.severity == "error"] == []


@pytest.mark.parametrize("part", ["elsewhere", "elsewhere/videos", "elsewhere/videos/chunk-000"])
def test_the_video_root_may_be_any_part_of_the_layout(known, tmp_path, part):
    tables, _ = free(known, tmp_path)
    assert_all_is_there(dataset_of_folders(tables, tmp_path / part))


def test_one_camera_needs_no_name(known, tmp_path):
    tables, videos = free(known, tmp_path, (FRONT,))
    assert_all_is_there(dataset_of_folders(tables, videos / "chunk-000" / FRONT), (FRONT,))
    moved = (videos / "chunk-000" / FRONT).rename(tmp_path / "top")
    assert_all_is_there(dataset_of_folders(tables, moved), ("top",))


def test_chunks_below_cameras(known, tmp_path):
    tables, videos = free(known, tmp_path)
    for camera in (FRONT, WRIST):
        (videos / camera).mkdir()
        (videos / "chunk-000" / camera).rename(videos / camera / "chunk-000")
    assert_all_is_there(dataset_of_folders(tables, videos))


@pytest.mark.parametrize("values", [FRONT, [FRONT]])
def test_a_column_names_the_camera(known, tmp_path, values):
    tables, videos = free(known, tmp_path)
    for path, length in zip(sorted(tables.glob("*")), LENGTHS):
        edited(path, **{"video_key" if isinstance(values, str) else "video_keys": [values] * length})
    assert_all_is_there(dataset_of_folders(tables, videos), (FRONT,))


@pytest.mark.parametrize("how", ["relative", "from the folder above", "full", "struct"])
def test_a_column_of_paths(known, tmp_path, how):
    tables, videos = free(known, tmp_path, (FRONT,))
    for episode, (path, length) in enumerate(zip(sorted(tables.glob("*")), LENGTHS)):
        source = videos / "chunk-000" / FRONT / f"episode_{episode:06d}.mp4"
        target = source.rename(videos / f"take {episode}.mp4")
        name = {"relative": target.name, "full": str(target)}.get(how, f"videos/{target.name}")
        rows = (
            [{"path": name, "timestamp": frame / 10} for frame in range(length)] if how == "struct" else [name] * length
        )
        edited(path, **{FRONT: rows})
    assert_all_is_there(dataset_of_folders(tables, None if how == "full" else videos), (FRONT,))


def test_video_path_is_the_column_of_one_camera(known, tmp_path):
    tables, videos = free(known, tmp_path)
    for episode, (path, length) in enumerate(zip(sorted(tables.glob("*")), LENGTHS)):
        edited(path, video_path=[f"chunk-000/{FRONT}/episode_{episode:06d}.mp4"] * length)
    assert_all_is_there(dataset_of_folders(tables, videos), ("video",))


def test_all_episodes_in_one_file_and_frames_from_one(known, tmp_path):
    tables, videos = free(known, tmp_path)
    whole = pa.concat_tables(pq.read_table(path) for path in sorted(tables.glob("*")))
    shutil.rmtree(tables)
    tables.mkdir()
    pq.write_table(whole, tables / "everything.parquet")
    edited(tables / "everything.parquet", frame_index=[frame + 1 for length in LENGTHS for frame in range(length)])
    root = dataset_of_folders(tables, videos)
    assert_all_is_there(root)
    assert load_lerobot(root).read_column("frame_index").tolist() == [f for length in LENGTHS for f in range(length)]


def test_without_index_columns_a_file_is_an_episode(known, tmp_path):
    tables, videos = free(known, tmp_path)
    for path in tables.glob("*"):
        edited(path, episode_index=None, frame_index=None)
    assert_all_is_there(dataset_of_folders(tables, videos))


def test_pictures_inside_the_tables(known, tmp_path):
    episodes = [episode_data(episode) for episode in range(3)]
    stills = write_lerobot_v21(tmp_path / "stills", episodes, fps=10, storage="image")
    tables = tmp_path / "free"
    tables.mkdir()
    for episode, path in enumerate(sorted((stills / "data").rglob("*.parquet"))):
        edited(Path(shutil.copy(path, tables)), task=[TASKS[episode]] * LENGTHS[episode], task_index=None)
    assert_all_is_there(dataset_of_folders(tables))


def test_made_once_until_the_folders_change(known, tmp_path):
    tables, videos = free(known, tmp_path)
    first = dataset_of_folders(tables, videos)
    assert dataset_of_folders(tables, videos) == first
    edited(tables / "episode_000001.parquet", value_label=[-1.0, -1.0, -1.0])
    second = dataset_of_folders(tables, videos)
    assert second != first
    assert read_value_labels(load_lerobot(second))[4:7].tolist() == [-1, -1, -1]
    assert dataset_of_folders(tables, videos, tmp_path / "other").is_relative_to(tmp_path / "other" / "folders")


def test_a_video_that_changes_makes_another_dataset(known, tmp_path):
    """Its rate and its size are in the metadata."""
    tables, videos = free(known, tmp_path)
    first = dataset_of_folders(tables, videos)
    slower = write_lerobot_v21(tmp_path / "slower", [episode_data(episode) for episode in range(3)], fps=5)
    for camera in (FRONT, WRIST):
        shutil.copytree(slower / "videos/chunk-000" / camera, videos / "chunk-000" / camera, dirs_exist_ok=True)
    assert (load_lerobot(first).fps, load_lerobot(dataset_of_folders(tables, videos)).fps) == (10, 5)


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int64])
def test_times_of_any_clock(known, tmp_path, dtype):
    """Seconds since 1970 do not fit into float32, whose steps are minutes there."""
    tables, videos = free(known, tmp_path)
    begin, step = (0, 0.1) if dtype == np.float32 else (1_700_000_000, 0.1 if dtype == np.float64 else 1)
    for path, length in zip(sorted(tables.glob("*")), LENGTHS):
        edited(path, timestamp=(begin + step * np.arange(length)).astype(dtype))
    root = dataset_of_folders(tables, videos)
    if dtype != np.int64:
        assert_all_is_there(root)
    wanted = np.concatenate([step * np.arange(length) for length in LENGTHS])
    np.testing.assert_allclose(load_lerobot(root).read_column("timestamp"), wanted, atol=1e-6)


def test_a_file_of_many_episodes_is_read_once(known, tmp_path, monkeypatch):
    tables, videos = free(known, tmp_path)
    whole = pa.concat_tables(pq.read_table(path) for path in sorted(tables.glob("*")))
    shutil.rmtree(tables)
    tables.mkdir()
    pq.write_table(whole, tables / "everything.parquet")
    read = []
    monkeypatch.setattr(free_tables, "read_parquet_table", lambda *args: read.append(args) or read_parquet_table(*args))
    dataset_of_folders(tables, videos)
    assert len(read) == 1


# --- folders of a dataset --------------------------------------------------------------------------------------


def test_folders_of_a_dataset_are_that_dataset(known, cache):
    assert dataset_of_folders(known / "data" / "chunk-000", known / "videos") == known
    assert dataset_of_folders(known, known) == known
    assert not cache.exists()


def in_two_chunks(known: Path, root: Path) -> Path:
    """The same dataset with two episodes to a chunk."""
    shutil.copytree(known, root)
    info = json.loads((root / "meta" / "info.json").read_text())
    (root / "meta" / "info.json").write_text(json.dumps(info | {"chunks_size": 2}))
    for path in [*root.rglob("episode_000002.parquet"), *root.rglob("episode_000002.mp4")]:
        target = Path(str(path).replace("chunk-000", "chunk-001"))
        target.parent.mkdir(parents=True, exist_ok=True)
        path.rename(target)
    return root.resolve()


@pytest.mark.parametrize(("chunk", "indices"), [("chunk-000", [0, 1]), ("chunk-001", [2])])
def test_a_chunk_is_the_chunk(known, tmp_path, chunk, indices):
    root = in_two_chunks(known, tmp_path / "vials")
    part = load_lerobot(dataset_of_folders(root / "data" / chunk, root / "videos"))
    assert [episode.index for episode in part.episodes] == indices
    assert seen(part, part.episodes[0], WRIST)[0] == pytest.approx(grey(indices[0], 0), abs=3)
    assert part.content_digests == {i: load_lerobot(root).content_digests[i] for i in indices}
    shutil.rmtree(root / "data" / {"chunk-000": "chunk-001", "chunk-001": "chunk-000"}[chunk])
    assert load_lerobot(dataset_of_folders(root / "data" / chunk)).num_frames == part.num_frames


def test_a_chunk_of_version_3(known, tmp_path):
    root = write_lerobot_v30(tmp_path / "v30", [episode_data(episode) for episode in range(3)], fps=10).resolve()
    (path,) = (root / "data").rglob("*.parquet")
    table = pq.read_table(path)
    (root / "data" / "chunk-001").mkdir()
    pq.write_table(table.slice(7), root / "data" / "chunk-001" / "file-000.parquet")
    pq.write_table(table.slice(0, 7), path)
    part = load_lerobot(dataset_of_folders(root / "data" / "chunk-001", root / "videos"))
    assert [(episode.index, episode.length) for episode in part.episodes] == [(2, 5)]
    assert seen(part, part.episodes[0], FRONT) == pytest.approx([grey(2, frame) for frame in range(5)], abs=3)


@pytest.mark.parametrize("version", ["v21", "v30"])
def test_videos_of_a_dataset_that_lie_elsewhere(known, tmp_path, version):
    root = Path(shutil.copytree(known, tmp_path / "vials"))
    if version == "v30":
        root = write_lerobot_v30(tmp_path / "v30", [episode_data(episode) for episode in range(3)], fps=10)
    shutil.move(root / "videos", tmp_path / "big disk")
    assert_all_is_there(dataset_of_folders(root / "data", tmp_path / "big disk"))


# --- what is refused -------------------------------------------------------------------------------------------


def test_no_folders(tmp_path):
    with pytest.raises(DatasetError, match="--parquet_dir nowhere: expected a folder, found none"):
        dataset_of_folders("nowhere")
    (tmp_path / "file").touch()
    with pytest.raises(DatasetError, match=r"--video_root .*file: expected a folder, found a file"):
        dataset_of_folders(tmp_path, tmp_path / "file")
    with pytest.raises(DatasetError, match="expected parquet files in it or below it, found none"):
        dataset_of_folders(tmp_path)


def test_a_folder_beside_the_files_of_its_dataset(known, tmp_path):
    root = Path(shutil.copytree(known, tmp_path / "vials"))
    with pytest.raises(
        DatasetError, match=r"videos: expected a folder with parquet files of .*vials, such as .*parquet"
    ):
        dataset_of_folders(root / "videos")
    with pytest.raises(DatasetError, match=r"--video_root .*data: expected a folder with videos of .*, such as .*mp4"):
        dataset_of_folders(root / "data", root / "data")
    (tmp_path / "empty").mkdir()
    with pytest.raises(
        DatasetError, match=r"episode 0, camera .*front: expected videos/chunk-000/.* an end of that path"
    ):
        dataset_of_folders(root / "data", tmp_path / "empty")


REFUSED = {
    "no task": ({"task": None}, r"expected a column with the task in words, one of task, .*got observation.state"),
    "no words": ({"task": [1, 2, 3]}, "column 'task': expected the task in words in every row, got 1"),
    "gap": (
        {"frame_index": [0, 2, 3]},
        "column 'frame_index', row 1: expected 1 after 0, got 2; write a row for every",
    ),
    "pieces": ({"episode_index": [0, 0, 0]}, "expected the rows of episode 0 in one piece, got more of them in"),
    "no number": ({"episode_index": [1.5, 1.5, 1.5]}, "expected a whole number in every row, got 1.5"),
    "two videos": (
        {"video_path": ["a", "b", "b"]},
        "'video_path': expected one video for the whole episode, got several",
    ),
    "no video": ({"video_path": ["a"] * 3}, r"expected the path of a video, got 'a'; looked at .*videos/a and"),
    "no time": (
        {"timestamp": ["now"] * 3},
        "column 'timestamp', row 0: expected a number of seconds, got now",
    ),
    "no seconds": ({"timestamp": [0.1, None, 0.2]}, "'timestamp', row 1: expected a number of seconds, got nan"),
    "no names": ({"video_key": [3, 3, 3]}, "column 'video_key': expected names of cameras, got .3."),
    "other camera": (
        {"video_key": ["top"] * 3},
        r"camera top: expected videos/chunk-000/top/episode_000000.mp4 in --video",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_tables_that_cannot_be_meant(known, tmp_path, case):
    columns, message = REFUSED[case]
    tables, videos = free(known, tmp_path)
    (tables / "episode_000002.parquet").unlink()
    for number, (path, length) in enumerate(zip(sorted(tables.glob("*")), LENGTHS)):
        fitting = {name: values if values is None else (values * 2)[:length] for name, values in columns.items()}
        if number == 1 or case != "gap":
            edited(path, **fitting)
    with pytest.raises(DatasetError, match=message):
        dataset_of_folders(tables, videos)
    assert list((tmp_path / "cache").rglob("*.json")) == []


def test_tables_without_rows(known, tmp_path):
    tables, videos = free(known, tmp_path)
    for path in tables.glob("*"):
        pq.write_table(pq.read_table(path).slice(0, 0), path)
    with pytest.raises(DatasetError, match=r"--parquet_dir .*: expected a row for every frame, got 3 empty files"):
        dataset_of_folders(tables, videos)


def test_a_column_that_only_some_files_have(known, tmp_path):
    tables, videos = free(known, tmp_path)
    edited(tables / "episode_000001.parquet", value_label=None)
    with pytest.raises(
        DatasetError, match="column 'value_label': expected it in every parquet file, 1 of 3 files lack it"
    ):
        dataset_of_folders(tables, videos)


def test_videos_that_are_not_to_be_had(known, tmp_path):
    tables, videos = free(known, tmp_path)
    (tmp_path / "empty").mkdir()
    with pytest.raises(DatasetError, match=r"expected videos chunk-000/<camera>/episode_000000.mp4 in it, or a column"):
        dataset_of_folders(tables, tmp_path / "empty")
    for path, length in zip(sorted(tables.glob("*")), LENGTHS):
        edited(path, video_key=[FRONT] * length)
    with pytest.raises(DatasetError, match=f"--video_root: expected it, as the tables name the cameras {FRONT}"):
        dataset_of_folders(tables)
    lost = videos / "chunk-000" / FRONT / "episode_000000.mp4"
    lost.unlink()
    lost.symlink_to("nowhere")
    with pytest.raises(DatasetError, match=f"episode 0, camera {FRONT}: expected videos/chunk-000/.*, found none"):
        dataset_of_folders(tables, videos)
    lost.unlink()
    lost.write_bytes(b"no video")
    with pytest.raises(VideoError, match=re.escape("episode_000000.mp4: cannot be read")):
        dataset_of_folders(tables, videos)


def test_one_video_for_two_episodes(known, tmp_path):
    tables, videos = free(known, tmp_path)
    for path, length in zip(sorted(tables.glob("*")), LENGTHS):
        edited(path, video_path=[f"chunk-000/{FRONT}/episode_000000.mp4"] * length)
    with pytest.raises(DatasetError, match="expected one video for each episode, got one for episodes 0 and 1"):
        dataset_of_folders(tables, videos)


def test_nobody_knows_how_long_a_frame_is(tmp_path):
    stills = write_lerobot_v21(tmp_path / "stills", [episode_data(0)], fps=10, storage="image")
    (path,) = stills.rglob("*.parquet")
    edited(Path(shutil.copy(path, tmp_path)), task=[TASKS[0]] * LENGTHS[0], timestamp=None)
    shutil.rmtree(stills)
    with pytest.raises(DatasetError, match="expected a column timestamp in seconds that grows, or videos"):
        dataset_of_folders(tmp_path)
