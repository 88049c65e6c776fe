"""The frame cache. Oracles: plain PyAV decoding, a fresh build, hand-made garbage that must or must not survive."""

import dataclasses
import itertools
import json
import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

import av
import numpy as np
import pyarrow.parquet as pq
import pytest
from support.places import SUPPORT

from pistar_vf.errors import ConfigError, DatasetError, VideoError
from pistar_vf.frames import episode_decoder
from pistar_vf.frames.cache import open_frame_cache
from pistar_vf.lerobot.dataset import LeRobotDataset, load_lerobot
from pistar_vf.testing.lerobot_writer import EpisodeData, write_lerobot_v21, write_lerobot_v30
from pistar_vf.video.decoding import resize_frame

CAMERA = "observation.images.front"
LENGTHS = (5, 7, 4, 6, 8, 3)
SIZE = 16


def _episodes():
    for i, length in enumerate(LENGTHS):
        images = np.random.default_rng(i).integers(0, 255, (length, 6, 8, 3), np.uint8).repeat(4, 1).repeat(4, 2)
        yield EpisodeData(columns={"reward": np.zeros(length, np.float32)}, images={CAMERA: images}, task="fold")


@pytest.fixture(scope="module")
def written(tmp_path_factory) -> Path:
    return write_lerobot_v21(tmp_path_factory.mktemp("written") / "toy", _episodes(), fps=10)


@pytest.fixture
def copied(written, tmp_path) -> Path:
    """A copy (modification times kept) that a test may damage."""
    return Path(shutil.copytree(written, tmp_path / "copy" / "toy"))


def _open(dataset: LeRobotDataset, cache_dir: Path, **changes) -> np.memmap:
    arguments = {"size": SIZE, "fit": "pad", "cache_dir": cache_dir, "num_workers": 0, "progress": False}
    return open_frame_cache(dataset, CAMERA, **(arguments | changes))


def _plain(dataset: LeRobotDataset, fit: str = "pad") -> np.ndarray:
    """All frames, decoded with nothing but PyAV."""
    frames = []
    for episode in dataset.episodes:
        with av.open(str(dataset.video_path(episode, CAMERA))) as container:
            frames += [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    return np.stack([resize_frame(frame, SIZE, fit) for frame in frames])


def _folder(cache_dir: Path) -> Path:
    (folder,) = [path for path in (cache_dir / "frames").iterdir() if path.is_dir()]
    return folder


def _done(cache_dir: Path) -> list[int]:
    return list((_folder(cache_dir) / "done.u8").read_bytes())


def _video(root: Path, index: int) -> Path:
    return root / f"videos/chunk-000/{CAMERA}/episode_{index:06d}.mp4"


@pytest.mark.parametrize(("num_workers", "fit"), [(0, "pad"), (0, "stretch"), (2, "pad")])
def test_frames_against_plain_decoding(written, tmp_path, num_workers, fit):
    dataset = load_lerobot(written)
    frames = _open(dataset, tmp_path, num_workers=num_workers, fit=fit)
    np.testing.assert_array_equal(frames, _plain(dataset, fit=fit))


def test_real_frames_against_plain_decoding(g1_dataset_path, tmp_path):
    """Episode 0 alone, in a dataset made of hard links or copies and edited metadata."""
    root, key = tmp_path / "one", "observation.images.cam_high"
    for name in ("data/chunk-000/episode_000000.parquet", f"videos/chunk-000/{key}/episode_000000.mp4"):
        (root / name).parent.mkdir(parents=True)
        shutil.copy2(g1_dataset_path / name, root / name)
    (root / "meta").mkdir()
    info = json.loads((g1_dataset_path / "meta/info.json").read_text()) | {"total_episodes": 1, "total_frames": 393}
    (root / "meta/info.json").write_text(json.dumps(info))
    (root / "meta/tasks.jsonl").write_text((g1_dataset_path / "meta/tasks.jsonl").read_text())
    first = (g1_dataset_path / "meta/episodes.jsonl").read_text().splitlines()[0]
    (root / "meta/episodes.jsonl").write_text(first)
    dataset = load_lerobot(root)
    frames = open_frame_cache(dataset, key, size=56, fit="pad", cache_dir=tmp_path, num_workers=0, progress=False)
    assert len(frames) == 393
    with av.open(str(dataset.video_path(dataset.episodes[0], key))) as container:
        plain = [frame.to_ndarray(format="rgb24") for frame in itertools.islice(container.decode(video=0), 60)]
    np.testing.assert_array_equal(frames[:60], [resize_frame(frame, 56, "pad") for frame in plain])
    assert frames[-1].any()


def test_image_storage(tmp_path):
    root = write_lerobot_v21(tmp_path / "toy", _episodes(), fps=10, storage="image")
    frames = _open(load_lerobot(root), tmp_path / "cache")
    images = np.concatenate([episode.images[CAMERA] for episode in _episodes()])
    np.testing.assert_array_equal(frames, [resize_frame(image, SIZE, "pad") for image in images])


def test_layout_and_read_only(written, tmp_path):
    frames = _open(load_lerobot(written), tmp_path)
    folder = _folder(tmp_path)
    assert folder.name.startswith("toy-observation.images.front-16pad-")
    assert (folder / "frames.u8").stat().st_size == sum(LENGTHS) * SIZE * SIZE * 3
    assert _done(tmp_path) == [1] * len(LENGTHS)
    assert json.loads((folder / "meta.json").read_text())["shape"] == [sum(LENGTHS), SIZE, SIZE, 3]
    with pytest.raises(ValueError, match="read-only"):
        frames[0] = 0


def test_cache_folder_from_the_environment(written, tmp_path, monkeypatch):
    dataset = load_lerobot(written)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("PISTAR_VF_CACHE", raising=False)
    _open(dataset, None)
    assert _done(tmp_path / ".cache" / "pistar_vf")
    monkeypatch.setenv("PISTAR_VF_CACHE", str(tmp_path / "elsewhere"))
    _open(dataset, None)
    assert _done(tmp_path / "elsewhere")


def test_a_complete_cache_decodes_nothing(written, tmp_path, monkeypatch):
    dataset = load_lerobot(written)
    expected = _open(dataset, tmp_path).copy()
    monkeypatch.setattr(episode_decoder, "decode_episode", lambda *args, **kwargs: pytest.fail("decoded again"))
    np.testing.assert_array_equal(_open(dataset, tmp_path), expected)


def test_only_missing_episodes_are_decoded(written, tmp_path):
    """Garbage in episode 0, which counts as done, survives; in episode 1, which does not, it goes."""
    dataset = load_lerobot(written)
    expected = _open(dataset, tmp_path).copy()
    folder = _folder(tmp_path)
    (folder / "frames.u8").write_bytes(bytes(expected.size))
    (folder / "done.u8").write_bytes(bytes([1, 0, 1, 1, 1, 1]))
    frames = _open(dataset, tmp_path)
    assert not frames[:5].any()
    np.testing.assert_array_equal(frames[5:12], expected[5:12])
    assert not frames[12:].any()


def test_only_the_episodes_asked_for_are_decoded(written, tmp_path, monkeypatch):
    """Runs on different episodes share one cache, and none decodes what another one did."""
    dataset = load_lerobot(written)
    decoded = []
    plain = episode_decoder.decode_episode

    def noting(dataset, episode, *args, **kwargs):
        decoded.append(episode.index)
        return plain(dataset, episode, *args, **kwargs)

    monkeypatch.setattr(episode_decoder, "decode_episode", noting)
    expected = _plain(dataset)
    some = _open(dataset, tmp_path, episodes=[dataset.episodes[4], dataset.episodes[1]])
    assert sorted(decoded) == [1, 4]
    assert _done(tmp_path) == [0, 1, 0, 0, 1, 0]
    for episode in dataset.episodes:
        own = slice(episode.start, episode.start + episode.length)
        np.testing.assert_array_equal(some[own], expected[own] if episode.index in (1, 4) else 0)
    _open(dataset, tmp_path, episodes=dataset.episodes[:2])
    assert decoded[2:] == [0]
    np.testing.assert_array_equal(_open(dataset, tmp_path), expected)
    assert sorted(decoded) == [0, 1, 2, 3, 4, 5]
    np.testing.assert_array_equal(some, expected)  # one file: what was opened before sees what came later


def test_disk_space_of_the_episodes_asked_for(written, tmp_path, monkeypatch):
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=7 * SIZE * SIZE * 3))
    dataset = load_lerobot(written)
    _open(dataset, tmp_path, episodes=[dataset.episodes[1]])  # 7 frames
    with pytest.raises(DatasetError, match=r"only 0\.00 GiB are free"):
        _open(dataset, tmp_path, episodes=[dataset.episodes[4]])  # 8 frames


@pytest.mark.parametrize("damage", ["short-frames", "no-frames", "no-done"])
def test_a_damaged_cache_is_built_again(written, tmp_path, damage):
    dataset = load_lerobot(written)
    expected = _open(dataset, tmp_path).copy()
    folder = _folder(tmp_path)
    if damage == "short-frames":
        (folder / "frames.u8").write_bytes(b"x" * 99)
    else:
        (folder / f"{damage.removeprefix('no-')}.u8").unlink()
    np.testing.assert_array_equal(_open(dataset, tmp_path), expected)


def test_a_copy_made_of_hard_links_shares_the_cache(written, tmp_path):
    shutil.copytree(written, tmp_path / "labelled", copy_function=os.link)
    _open(load_lerobot(written), tmp_path / "cache")
    _open(load_lerobot(tmp_path / "labelled"), tmp_path / "cache")
    assert _folder(tmp_path / "cache").name.startswith("toy-")


@pytest.fixture(scope="module")
def written_v30(written, tmp_path_factory) -> Path:
    """The same episodes in v3.0: one video file for all."""
    return write_lerobot_v30(tmp_path_factory.mktemp("v30") / "toy", _episodes(), fps=10)


@pytest.mark.parametrize("num_workers", [0, 2])
def test_frames_of_v30_against_those_of_v21(written, written_v30, tmp_path, num_workers):
    dataset = load_lerobot(written_v30)
    assert len({dataset.video_path(episode, CAMERA) for episode in dataset.episodes}) == 1
    np.testing.assert_array_equal(_open(dataset, tmp_path, num_workers=num_workers), _plain(load_lerobot(written)))


def test_images_of_v30_against_those_of_v21(tmp_path):
    """Row groups of four, so that episodes begin and end inside them."""
    root = write_lerobot_v30(tmp_path / "toy", _episodes(), fps=10, storage="image")
    path = root / "data/chunk-000/file-000.parquet"
    pq.write_table(pq.read_table(path), path, row_group_size=4)
    images = np.concatenate([episode.images[CAMERA] for episode in _episodes()])
    frames = _open(load_lerobot(root), tmp_path / "cache")
    np.testing.assert_array_equal(frames, [resize_frame(image, SIZE, "pad") for image in images])


def test_a_bad_image_of_v30_is_named_by_its_row(tmp_path):
    root = write_lerobot_v30(tmp_path / "toy", _episodes(), fps=10, storage="image")
    path = root / "data/chunk-000/file-000.parquet"
    table = pq.read_table(path)
    cells = table[CAMERA].to_pylist()
    cells[13]["bytes"] = b"junk"
    pq.write_table(table.set_column(table.column_names.index(CAMERA), CAMERA, [cells]), path, row_group_size=4)
    with pytest.raises(VideoError, match=r"episode 2, camera .*file-000.parquet: row 13: cannot decode the image"):
        _open(load_lerobot(root), tmp_path / "cache")


def test_a_hard_linked_copy_of_v30_shares_the_cache(written_v30, tmp_path):
    shutil.copytree(written_v30, tmp_path / "labelled", copy_function=os.link)
    _open(load_lerobot(written_v30), tmp_path / "cache")
    _open(load_lerobot(tmp_path / "labelled"), tmp_path / "cache")
    assert _folder(tmp_path / "cache").name.startswith("toy-")


@pytest.mark.parametrize("stored", ["video", "image"])
def test_a_clip_elsewhere_in_the_same_file_makes_a_new_cache(tmp_path, stored):
    """Two episodes of one length whose places are exchanged: same files, sizes, times and lengths."""
    images = np.random.default_rng(0).integers(0, 255, (2, 5, 16, 16, 3), np.uint8)
    episodes = [EpisodeData({"reward": np.zeros(5, np.float32)}, {CAMERA: i}, "fold") for i in images]
    first = load_lerobot(write_lerobot_v30(tmp_path / "toy", episodes, fps=10, storage=stored))
    frames = np.array(_open(first, tmp_path / "cache"))
    a, b = first.episodes
    exchanged = (
        dataclasses.replace(a, first_row=b.first_row, clips=b.clips),
        dataclasses.replace(b, first_row=a.first_row, clips=a.clips),
    )
    other = _open(dataclasses.replace(first, episodes=exchanged), tmp_path / "cache")
    np.testing.assert_array_equal(other, np.concatenate([frames[5:], frames[:5]]))


@pytest.mark.parametrize("change", ["mtime", "size", "fit", "camera bytes"])
def test_what_makes_a_new_cache(copied, tmp_path, change):
    _open(load_lerobot(copied), tmp_path / "cache")
    if change == "mtime":
        os.utime(_video(copied, 2), ns=(0, _video(copied, 2).stat().st_mtime_ns + 1))
    elif change == "camera bytes":
        stat = _video(copied, 2).stat()
        with _video(copied, 2).open("ab") as file:
            file.write(b"\0\0\0\x08free")  # an empty MP4 box: other bytes, same frames
        os.utime(_video(copied, 2), ns=(0, stat.st_mtime_ns))
    _open(load_lerobot(copied), tmp_path / "cache", **{"size": {"size": 8}, "fit": {"fit": "stretch"}}.get(change, {}))
    assert len([path for path in (tmp_path / "cache/frames").iterdir() if path.is_dir()]) == 2


# --- failures ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("num_workers", [0, 1])
def test_failing_episodes_leave_the_others_done(copied, tmp_path, num_workers):
    for index in (1, 4):
        _video(copied, index).write_bytes(_video(copied, index).read_bytes()[:200])
    message = r"episode [14], camera .*front: .*mp4: cannot be decoded.* \(1 more of 6 episodes failed\)"
    with pytest.raises(VideoError, match=message):
        _open(load_lerobot(copied), tmp_path / "cache", num_workers=num_workers)
    assert _done(tmp_path / "cache") == [1, 0, 1, 1, 0, 1]


def test_a_bad_table_is_reported_like_a_bad_video(copied, tmp_path):
    path = copied / "data/chunk-000/episode_000002.parquet"
    pq.write_table(pq.read_table(path).drop_columns(["timestamp"]), path)
    with pytest.raises(DatasetError, match=r"episode_000002.parquet: episode 2: no column 'timestamp', which other"):
        _open(load_lerobot(copied), tmp_path / "cache", num_workers=1)
    assert _done(tmp_path / "cache") == [1, 1, 0, 1, 1, 1]


def test_frames_are_checked_against_the_timestamp_column(copied, tmp_path):
    path = copied / "data/chunk-000/episode_000002.parquet"
    table = pq.read_table(path)
    late = table.set_column(table.column_names.index("timestamp"), "timestamp", [[0.0, 0.1, 0.3, 0.4]])
    pq.write_table(late, path)
    with pytest.raises(VideoError, match=r"episode 2, .*frame 2: expected at 0.3000 s \(the table\), got 0.2000 s"):
        _open(load_lerobot(copied), tmp_path / "cache")


def test_a_table_without_timestamps_is_checked_against_fps(copied, tmp_path):
    for path in (copied / "data/chunk-000").iterdir():
        pq.write_table(pq.read_table(path).drop_columns(["timestamp"]), path)
    dataset = load_lerobot(copied)
    np.testing.assert_array_equal(_open(dataset, tmp_path / "cache"), _plain(dataset))


def test_errors_of_other_kinds_are_raised_at_once(written, tmp_path, monkeypatch):
    def no_space(*args, **kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(episode_decoder, "decode_episode", no_space)
    with pytest.raises(OSError, match="No space left on device"):
        _open(load_lerobot(written), tmp_path)
    assert _done(tmp_path) == [0] * 6


def test_no_decoding_process_outlives_an_error(written, tmp_path, monkeypatch):
    def no_space(*args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "pwrite", no_space)
    with pytest.raises(OSError, match="No space left") as raised:  # holds the traceback, and so the frames in it
        _open(load_lerobot(written), tmp_path, num_workers=1)
    assert raised.type is OSError
    assert multiprocessing.active_children() == []


def test_decoding_processes_leave_ctrl_c_to_the_parent():
    """Idle ones would print a traceback each."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, context, initializer=episode_decoder._start_worker) as pool:
        assert pool.submit(signal.getsignal, signal.SIGINT).result() == signal.SIG_IGN


def test_disk_space_is_checked_first(written, tmp_path, monkeypatch):
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=2**28))
    size = 2048  # 33 frames of 2048 x 2048 x 3 bytes: 0.39 GiB
    with pytest.raises(DatasetError, match=r"needs 0.39 GiB, but only 0.25 GiB are free; .* --cache_dir or"):
        _open(load_lerobot(written), tmp_path, size=size)


def test_missing_video(copied, tmp_path):
    _video(copied, 3).unlink()
    with pytest.raises(VideoError, match=r"episode 3, camera .*front: no video at .*episode_000003.mp4"):
        _open(load_lerobot(copied), tmp_path)


@pytest.mark.parametrize("gone", [(0,), (3,), (1, 2)])
def test_videos_of_episodes_that_nobody_wants_may_be_missing(written, copied, tmp_path, gone):
    for index in gone:
        _video(copied, index).unlink()
    dataset = load_lerobot(copied)
    wanted = [episode for episode in dataset.episodes if episode.index not in gone]
    frames = _open(dataset, tmp_path, episodes=wanted)
    plain = _plain(load_lerobot(written))
    for episode in wanted:
        own = slice(episode.start, episode.start + episode.length)
        np.testing.assert_array_equal(frames[own], plain[own])
    with pytest.raises(VideoError, match=rf"episode {gone[0]}, camera .*: no video at .*, or leave the episode out"):
        _open(dataset, tmp_path)


def test_bad_arguments(written, tmp_path):
    dataset = load_lerobot(written)
    with pytest.raises(ConfigError, match=f"'top' is not a camera of .*toy; cameras: {CAMERA}"):
        open_frame_cache(dataset, "top", size=SIZE, fit="pad", cache_dir=tmp_path)
    with pytest.raises(ConfigError, match="fit: expected 'pad' or 'stretch', got 'crop'"):
        _open(dataset, tmp_path, fit="crop")


def test_decoding_processes_do_not_import_jax():
    code = "import sys, pistar_vf.frames.cache; print('jax' in sys.modules)"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "False"


# --- interruptions ----------------------------------------------------------------------------------------------


class _SlowBuild:
    """A process that builds the cache with one worker, 20 ms a frame."""

    def __init__(self, root: Path, folder: Path):
        self.cache_dir, self.log = folder / "cache", folder / "log"
        command = [sys.executable, SUPPORT / "slow_build.py", root, self.cache_dir, self.log]
        self.process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, start_new_session=True)

    @property
    def decoded(self) -> list[tuple[int, str]]:
        lines = self.log.read_text().splitlines() if self.log.exists() else []
        return [(int(line.split()[0]), line.split()[1]) for line in lines]


def _wait_until(condition, seconds: float = 30.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "timed out"
        time.sleep(0.01)


def _is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks for processes in /proc")
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_interrupted_build_is_resumed(written, tmp_path, number):
    build = _SlowBuild(written, tmp_path)
    _wait_until(lambda: build.decoded and 1 in _done(build.cache_dir))  # in the middle of the second episode
    if number == signal.SIGINT:
        os.killpg(build.process.pid, number)  # as a terminal does: the decoding process gets it too
    else:
        build.process.kill()
    _, stderr = build.process.communicate(timeout=20)
    assert build.process.returncode == (-9 if number == signal.SIGKILL else -signal.SIGINT), stderr
    _wait_until(lambda: not _is_running(build.decoded[0][0]), seconds=10)

    done = _done(build.cache_dir)
    assert 1 in done
    assert 0 in done
    half_built = _folder(build.cache_dir) / "frames.u8"
    content = bytearray(half_built.read_bytes())
    content[:3] = b"\x01\x02\x03"  # a mark in episode 0: it must not be decoded again
    half_built.write_bytes(content)
    fresh = _open(load_lerobot(written), tmp_path / "fresh")
    resumed = _open(load_lerobot(written), build.cache_dir)
    assert resumed[0, 0, 0].tolist() == [1, 2, 3]
    assert resumed.tobytes()[3:] == fresh.tobytes()[3:]


def test_two_builds_at_once(written, tmp_path):
    builds = [_SlowBuild(written, tmp_path) for _ in range(2)]
    messages = [build.process.communicate(timeout=30)[1] for build in builds]
    assert [build.process.returncode for build in builds] == [0, 0], messages
    assert sorted(episode for _, episode in builds[0].decoded) == [f"episode_{i:06d}" for i in range(6)]
    assert sum("another process is decoding these frames" in message for message in messages) == 1
    np.testing.assert_array_equal(_open(load_lerobot(written), tmp_path / "cache"), _plain(load_lerobot(written)))


def test_a_script_without_a_main_guard_is_told(written, tmp_path):
    """Its decoding processes would begin it anew, and wait for the lock of the one that waits for them."""
    script = tmp_path / "script.py"
    script.write_text(
        "from pistar_vf.frames.cache import open_frame_cache\n"
        "from pistar_vf.lerobot.dataset import load_lerobot\n"
        f"open_frame_cache(load_lerobot({str(written)!r}), {CAMERA!r}, size=16, fit='pad', "
        f"cache_dir={str(tmp_path / 'cache')!r}, num_workers=1)\n"
    )
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=120)
    assert done.returncode != 0
    assert 'expected the script\'s work below `if __name__ == "__main__":`' in done.stderr


@pytest.mark.parametrize("message", ["", "A process in the process pool was terminated abruptly", "killed"])
def test_a_decoding_process_that_is_killed_is_said(message):
    def result() -> None:
        raise BrokenProcessPool(message)

    with pytest.raises(ConfigError, match=r"got one that was killed, .* fewer with --num_workers"):
        episode_decoder._error_of(result)
