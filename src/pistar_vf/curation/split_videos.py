"""The videos of one camera, many episodes a file, cut into one file an episode."""

import dataclasses
import itertools
from collections import defaultdict
from pathlib import Path

from pistar_vf.changes.staging import link_or_copy
from pistar_vf.curation.reencode import reencode_clip
from pistar_vf.errors import VideoError
from pistar_vf.lerobot import v21
from pistar_vf.lerobot.dataset import LeRobotDataset
from pistar_vf.lerobot.episode import Episode, VideoClip
from pistar_vf.progress import progress_bar
from pistar_vf.video.remux import PacketTable, cut_video, read_packet_table


@dataclasses.dataclass(frozen=True)
class Piece:
    """One episode of one camera: what to take, and where to write it.

    Attributes:
        clip: its place in the video.
        packets: which packets of the video it is; None where it can only be encoded anew.
        target: the file to write.
        context: what error messages call it.
    """

    clip: VideoClip
    packets: range | None
    target: Path
    context: str


@dataclasses.dataclass(frozen=True)
class SplitPlan:
    """What becomes of one video file.

    Attributes:
        path: the file.
        codec: as FFmpeg calls it.
        num_packets: of the whole file.
        pieces: in the order of their packets; those without come last.
    """

    path: Path
    codec: str
    num_packets: int
    pieces: tuple[Piece, ...]


def plan_split(dataset: LeRobotDataset, key: str, folder: Path, *, reencode: bool, progress: bool) -> list[SplitPlan]:
    """Decides for every episode of a camera how to get its video; reads all packets and writes nothing.

    Args:
        dataset: whose video files hold many episodes.
        key: the camera.
        folder: the dataset that is going to be written.
        reencode: allows what can only be encoded anew.
        progress: shows a progress bar on stderr.

    Raises:
        VideoError: a video is missing or damaged, has another number of frames than the table has rows, or would have
            to be encoded anew.
    """
    files: dict[Path, list[Episode]] = defaultdict(list)
    for episode in dataset.episodes:
        files[dataset.video_path(episode, key)].append(episode)
    plans = []
    for path, episodes in progress_bar(files.items(), desc=f"reading {key}", unit=" files", disable=not progress):
        packets = read_packet_table(path, f"episode {episodes[0].index}, camera {key}")
        pieces = [_plan_piece(dataset, episode, key, folder, packets) for episode in episodes]
        if not reencode:
            _refuse_unclean(pieces)
        pieces.sort(key=lambda piece: len(packets.seconds) if piece.packets is None else piece.packets.start)
        _refuse_shared(pieces)
        plans.append(SplitPlan(path, packets.codec, len(packets.seconds), tuple(pieces)))
    return plans


def write_split(plans: list[SplitPlan], *, fps: float, desc: str, progress: bool) -> None:
    """Carries out plans: packets are copied, a file of one episode is linked, the rest is encoded anew.

    Args:
        plans: of `plan_split`.
        fps: frames per second of the dataset.
        desc: what the progress bar on stderr says.
        progress: shows it.
    """
    total = sum(len(plan.pieces) for plan in plans)
    with progress_bar(total=total, desc=desc, unit=" episodes", disable=not progress) as bar:
        for plan in plans:
            first = plan.pieces[0]
            if first.packets == range(plan.num_packets):
                link_or_copy(plan.path, first.target)
            else:
                clean = [(piece.packets, piece.target) for piece in plan.pieces if piece.packets is not None]
                cut_video(plan.path, clean, first.context)
            for piece in plan.pieces:
                if piece.packets is None:
                    reencode_clip(piece.clip, piece.target, codec=plan.codec, fps=fps, context=piece.context)
            bar.update(len(plan.pieces))


def _plan_piece(dataset: LeRobotDataset, episode: Episode, key: str, folder: Path, packets: PacketTable) -> Piece:
    clip, context = dataset.video_clip(episode, key), f"episode {episode.index}, camera {key}"
    assert clip.end_seconds is not None, "only files of several episodes are split, which say where each ends"
    span = (clip.start_seconds, clip.end_seconds, dataset.fps)
    if (count := len(packets.in_clip(*span))) != episode.length:
        raise VideoError(
            f"{context}: {clip.path}: expected {episode.length} frames (rows of the parquet file) from "
            f"{clip.start_seconds:.4f} s to {clip.end_seconds:.4f} s, got {count}; repair or drop that episode"
        )
    target = v21.episode_path(v21.VIDEO_PATH, folder, episode.index, dataset.chunks_size, key)
    return Piece(clip, packets.clean_cut(*span), target, context)


def _refuse_unclean(pieces: list[Piece]) -> None:
    unclean = [piece for piece in pieces if piece.packets is None]
    if unclean:
        raise VideoError(
            f"{unclean[0].context}: {unclean[0].clip.path}: expected a keyframe at its first frame "
            f"({unclean[0].clip.start_seconds:.4f} s) and none of its packets among other episodes', got a video that "
            f"cannot be cut there as it is ({len(unclean)} such episodes in this file); pass --reencode "
            "to encode these anew, which changes their pixels slightly"
        )


def _refuse_shared(pieces: list[Piece]) -> None:
    for before, after in itertools.pairwise(piece for piece in pieces if piece.packets is not None):
        if before.packets is not None and after.packets is not None and before.packets.stop > after.packets.start:
            raise VideoError(
                f"{after.context}: {after.clip.path}: expected frames of its own from {after.clip.start_seconds:.4f} s "
                f"on, got some that {before.context} shows too; the timestamps in meta/episodes are damaged"
            )
