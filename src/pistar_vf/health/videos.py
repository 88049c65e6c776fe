"""The pictures of a dataset: are they there, as many as rows, at their times, of the stated size?"""

import dataclasses
import os
from collections import defaultdict
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from pistar_vf.errors import DatasetError
from pistar_vf.frames.episode_decoder import decode_episode
from pistar_vf.health.findings import Findings, Place
from pistar_vf.health.opening import RESTORE
from pistar_vf.lerobot.cameras import described
from pistar_vf.lerobot.dataset import LeRobotDataset
from pistar_vf.lerobot.episode import Episode
from pistar_vf.lerobot.typed_values import shown
from pistar_vf.progress import progress_bar
from pistar_vf.video.decoding import OUT_OF_STEP, expected_times, first_away
from pistar_vf.video.remux import PacketTable, read_packet_table

_DECODED_SIZE = 16  # pixels; as small as can be, only decoding matters
_SAME_CODEC = {"libsvtav1": "av1", "libx264": "h264", "libx265": "hevc", "h265": "hevc"}


@dataclasses.dataclass(frozen=True)
class CameraSummary:
    """One camera.

    Attributes:
        storage: "video" or "image".
        sizes: "height x width" to number of video files; as stated where the pictures are in the tables.
        codecs: as FFmpeg calls them, to number of video files.
        fps: measured from the times of the frames, None where there is no video of two frames.
        num_files: video files that can be read.
    """

    storage: str
    sizes: dict[str, int]
    codecs: dict[str, int]
    fps: float | None
    num_files: int


def check_videos(
    dataset: LeRobotDataset, findings: Findings, progress: bool, timestamps: Mapping[int, np.ndarray]
) -> dict[str, CameraSummary]:
    """Reads the packets of all videos without decoding them.

    A file that is missing or cut short shows; pixels that are damaged inside a packet do not, see `decode_all`.

    Args:
        dataset: whose pictures they are.
        findings: gets what is wrong.
        progress: shows progress bars on stderr.
        timestamps: episode index to the times of its rows; where there are none, rows are taken to be 1 / fps apart.

    Returns:
        Camera to what is known of it.
    """
    cameras = {}
    if not dataset.camera_keys:
        problem = "expected a camera with colour pictures, got no such feature of dtype video or image"
        findings.error("cameras", problem, "a value function needs one: describe it in meta/info.json")
    for key in dataset.picture_keys:
        if (why := dataset.why_no_camera(key)) is not None:
            advice = "nothing: it is carried as it is, and is no candidate for a camera of the model"
            findings.note("no colour picture", f"expected colour pictures of a camera, got {why}", advice, key=key)
        if key in dataset.video_keys:
            cameras[key] = _check_camera(dataset, key, findings, progress, timestamps)
        else:
            shape = "x".join(map(str, dataset.features[key].get("shape", ())))
            cameras[key] = CameraSummary("image", {shape: 0}, {}, None, 0)
    return cameras


def decode_all(dataset: LeRobotDataset, findings: Findings, progress: bool) -> None:
    """Decodes every frame of every camera, on all cores; reports the first problem of each episode."""

    def decode(pair: tuple[Episode, str]) -> str | None:
        try:
            for _ in decode_episode(dataset, *pair, size=_DECODED_SIZE, fit="stretch"):
                pass
        except DatasetError as error:
            return str(error)
        return None

    pairs = [(episode, key) for key in dataset.camera_keys for episode in dataset.episodes]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        results = progress_bar(pool.map(decode, pairs), "decoding", len(pairs), unit=" episodes", disable=not progress)
        for (episode, key), problem in zip(pairs, results):
            if problem is not None:
                findings.error("decoding", problem, RESTORE, episode=episode.index, key=key)


def _check_camera(
    dataset: LeRobotDataset, key: str, findings: Findings, progress: bool, timestamps: Mapping[int, np.ndarray]
) -> CameraSummary:
    sizes: dict[str, int] = defaultdict(int)
    codecs: dict[str, int] = defaultdict(int)
    steps: list[float] = []
    for path, episodes, packets in _read_packets(dataset, key, findings, progress):
        width, height = packets.size
        sizes[f"{height}x{width}"] += 1
        codecs[packets.codec] += 1
        for episode in episodes:
            rows = timestamps.get(episode.index)
            times = _check_clip(dataset, episode, key, path, packets, findings, rows)
            if len(times) > 1:
                steps.append(float(np.median(np.diff(times))))
    _check_stated(dataset, key, sizes, codecs, findings)
    # Times are whole ticks of the file's clock.
    fps = round(1 / float(np.median(steps)), 3) if steps else None
    return CameraSummary("video", dict(sizes), dict(codecs), fps, sum(sizes.values()))


def _read_packets(
    dataset: LeRobotDataset, key: str, findings: Findings, progress: bool
) -> Iterator[tuple[Path, list[Episode], PacketTable]]:
    files: dict[Path, list[Episode]] = defaultdict(list)
    try:
        for episode in dataset.episodes:
            files[dataset.video_path(episode, key)].append(episode)
    except DatasetError as error:  # there is no template for the paths
        findings.error("video", str(error), "correct meta/info.json", key=key)
        return
    for path, episodes in progress_bar(files.items(), f"reading {key}", unit=" files", disable=not progress):
        try:
            packets = read_packet_table(path, f"episode {episodes[0].index}, camera {key}")
        except DatasetError as error:
            findings.error("video", str(error), RESTORE, file=path, episode=episodes[0].index, key=key)
            continue
        yield path, episodes, packets


def _check_clip(
    dataset: LeRobotDataset,
    episode: Episode,
    key: str,
    path: Path,
    packets: PacketTable,
    findings: Findings,
    rows: np.ndarray | None,
) -> np.ndarray:
    """Counts the frames of an episode and looks at their times; returns these, in seconds since its start."""
    report = findings.error if key in dataset.camera_keys else findings.warning
    clip = dataset.video_clip(episode, key)
    place: Place = {"file": path, "episode": episode.index, "key": key}
    end = np.inf if clip.end_seconds is None else clip.end_seconds
    shown = packets.in_clip(clip.start_seconds, end, dataset.fps)
    times = np.sort(packets.seconds[shown]) - clip.start_seconds
    if len(times) != episode.length:
        problem = f"expected {episode.length} frames (rows of the table), got {len(times)}"
        advice = "the video is cut short or of another version of the dataset: restore it, or leave the episode out"
        report("number of frames", problem, advice, **place)
        return times
    expected = expected_times(rows, len(times), dataset.fps)
    frame = first_away(times, expected, dataset.fps)
    if frame is not None:
        source = f"{dataset.fps:g} fps" if rows is None else "the table"
        problem = f"expected at {expected[frame]:.4f} s ({source}), got {times[frame]:.4f} s (the video)"
        report("times of frames", problem, OUT_OF_STEP, frame=frame, **place)
    return times


def _check_stated(
    dataset: LeRobotDataset, key: str, sizes: dict[str, int], codecs: dict[str, int], findings: Findings
) -> None:
    """Compares with what `meta/info.json` says; the videos count, for us and for LeRobot."""
    if len(sizes) > 1:
        problem = f"expected one size, got {' and '.join(f'{size} ({n} files)' for size, n in sizes.items())}"
        findings.warning("sizes of pictures", problem, "they are scaled to one size: is it the same camera?", key=key)
    try:
        stated = "x".join(map(str, dataset.image_size(key))) if key in dataset.camera_keys else ""
    except DatasetError as error:
        findings.warning("sizes of pictures", str(error), "correct meta/info.json", key=key)
    else:
        for size in sizes.keys() - {stated} if stated else ():
            problem = f"expected {stated} (meta/info.json), got {size} in {sizes[size]} files"
            findings.warning("sizes of pictures", problem, "correct meta/info.json", key=key)
    said = described(dataset.features[key], "codec")
    codec = said if isinstance(said, str) or not said else shown(said)
    for found in codecs.keys() - {_SAME_CODEC.get(codec, codec)} if codec else ():
        problem = f"meta/info.json says {codec}, {codecs[found]} files are {found}"
        findings.note("codec", problem, "nothing: the files say what they are", key=key)
    fps = described(dataset.features[key], "fps")
    if fps is not None and str(fps) not in (f"{dataset.fps:g}", f"{dataset.fps}"):
        problem = f"expected {dataset.fps:g} fps, got {fps} in the description of the camera"
        findings.warning("frames per second", problem, "correct meta/info.json", key=key)
