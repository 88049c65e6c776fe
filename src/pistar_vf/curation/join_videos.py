"""The videos of one camera, one file an episode, joined into files of many episodes."""

import contextlib
import dataclasses
from fractions import Fraction
from pathlib import Path

from pistar_vf.errors import VideoError
from pistar_vf.lerobot import v30
from pistar_vf.lerobot.dataset import LeRobotDataset
from pistar_vf.progress import progress_bar
from pistar_vf.video.remux import PacketWriter, read_packet_table

_MB = 2**20


@dataclasses.dataclass(frozen=True)
class JoinedClip:
    """Where one episode went: the number of the file, and seconds since the start of its video."""

    file_number: int
    start_seconds: float
    end_seconds: float


def join_videos(
    dataset: LeRobotDataset, key: str, folder: Path, *, max_file_mb: int | float, progress: bool
) -> list[JoinedClip]:
    """Joins the videos of one camera without re-encoding.

    A new file is begun where LeRobot begins one, and where the codec's headers change: one file has one set of them.

    Args:
        dataset: of one video file an episode.
        key: the camera.
        folder: the dataset that is being written.
        max_file_mb: size a file of several episodes stays below, MiB.
        progress: shows a progress bar on stderr.

    Returns:
        One clip per episode.

    Raises:
        VideoError: a video is missing, damaged, or has another number of frames than the table has rows.
    """
    clips: list[JoinedClip] = []
    kind, size_mb, end = None, 0.0, Fraction(0)
    with contextlib.ExitStack() as open_file:
        for episode in progress_bar(dataset.episodes, desc=f"joining {key}", unit=" episodes", disable=not progress):
            path, context = dataset.video_path(episode, key), f"episode {episode.index}, camera {key}"
            packets = read_packet_table(path, context)
            count = len(packets.in_clip(0.0, float(packets.end_seconds), dataset.fps))
            if packets.num_hidden:
                raise VideoError(
                    f"{context}: {path}: expected a video that shows all of its frames, got one whose edit list hides "
                    f"{packets.num_hidden}: joined with others they would be seen; encode it anew, or leave the "
                    "episode out"
                )
            if not count == len(packets.seconds) == episode.length:
                raise VideoError(
                    f"{context}: {path}: expected {episode.length} frames (rows of the parquet file), "
                    f"got {count}; repair or drop that episode"
                )
            episode_mb = path.stat().st_size / _MB
            if size_mb + episode_mb >= max_file_mb or (packets.codec, packets.headers) != kind:
                open_file.close()
                number = clips[-1].file_number + 1 if clips else 0
                target = v30.file_path(v30.VIDEO_PATH, folder, number, dataset.chunks_size, key)
                writer = open_file.enter_context(PacketWriter(target))
                kind, size_mb, end = (packets.codec, packets.headers), 0.0, Fraction(0)
            writer.append(path, end, context)
            clips.append(JoinedClip(number, float(end), float(end + packets.end_seconds)))
            size_mb, end = size_mb + episode_mb, end + packets.end_seconds
    return clips
