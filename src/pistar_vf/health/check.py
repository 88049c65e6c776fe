"""Checks a whole dataset and puts the findings into a report."""

import collections
import dataclasses
import time
from pathlib import Path
from typing import Any

from pistar_vf.choices import RolloutSource
from pistar_vf.health.findings import Finding, Findings, Severity
from pistar_vf.health.labels import LabelCheck, LabelSummary
from pistar_vf.health.metadata import check_metadata
from pistar_vf.health.opening import open_for_check
from pistar_vf.health.prompts import PromptCheck
from pistar_vf.health.rollouts import RolloutCheck
from pistar_vf.health.tables import TableCheck, read_tables
from pistar_vf.health.videos import CameraSummary, check_videos, decode_all
from pistar_vf.hub.address import is_hub_address, parse_hub_address
from pistar_vf.lerobot.dataset import LeRobotDataset
from pistar_vf.lerobot.from_hub import everything_from_hub
from pistar_vf.lerobot.metadata import find_dataset


@dataclasses.dataclass(frozen=True)
class Contents:
    """What is in a dataset, as far as it can be read.

    Attributes:
        version: of its layout.
        num_episodes: that can be read.
        num_frames: of these.
        fps: frames per second, as `meta/info.json` says.
        prompts: prompt to number of episodes, the most frequent first.
        cameras: camera to what is known of it.
        constant_dimensions: column to the dimensions that are the same in all frames.
        labels: what the labels say.
        proposed_source: what `--source` should probably be; None where nothing hints at one.
        decoded: whether every frame was decoded.
    """

    version: str
    num_episodes: int
    num_frames: int
    fps: float
    prompts: dict[str, int]
    cameras: dict[str, CameraSummary]
    constant_dimensions: dict[str, list[str]]
    labels: LabelSummary
    proposed_source: RolloutSource | None
    decoded: bool


@dataclasses.dataclass(frozen=True)
class HealthReport:
    """The health of one dataset.

    Attributes:
        data_dir: where it is.
        contents: what is in it, None where nothing could be read.
        findings: everything that was found, in the order of the checks.
        seconds: what the check took.
    """

    data_dir: str
    contents: Contents | None
    findings: tuple[Finding, ...]
    seconds: float

    def count(self, severity: Severity) -> int:
        """Number of findings of a severity."""
        return collections.Counter(finding.severity for finding in self.findings)[severity]

    def to_json(self) -> dict[str, Any]:
        """The report as JSON can hold it."""
        return dataclasses.asdict(self)


def check_dataset(data_dir: str | Path, *, decode: bool = False, progress: bool = True) -> HealthReport:
    """Looks at everything in a dataset (v2.0, v2.1 or v3.0) and collects what is wrong; changes nothing.

    One table is in memory at a time; of the labels 8 bytes a frame are kept.

    Args:
        data_dir: a folder, a name in the LeRobot cache, or an address on the hub, see `load_lerobot`.
        decode: also decodes every frame; else only the packets of the videos are read.
        progress: shows progress bars on stderr.

    Raises:
        DatasetError: there is no dataset, or its `meta/info.json` cannot be read.
    """
    start = time.perf_counter()
    root = _everything(data_dir)
    findings = Findings(root)
    dataset = open_for_check(root, findings, progress)
    contents = None if dataset is None else _check_contents(dataset, findings, decode, progress)
    return HealthReport(str(data_dir), contents, tuple(findings.items), time.perf_counter() - start)


def _everything(data_dir: str | Path) -> Path:
    """The dataset's folder; of an address on the hub, with all of its files."""
    if not is_hub_address(data_dir):
        return find_dataset(data_dir)
    return everything_from_hub(parse_hub_address(str(data_dir), "--data_dir"))


def _check_contents(dataset: LeRobotDataset, findings: Findings, decode: bool, progress: bool) -> Contents:
    check_metadata(dataset, findings)
    tables, labels, prompts, rollouts = (
        TableCheck(dataset, findings),
        LabelCheck(dataset, findings),
        PromptCheck(dataset, findings),
        RolloutCheck(dataset, findings),
    )
    for episode, columns in read_tables(dataset, findings, progress):
        tables.add(episode, columns)
        labels.add(episode, columns)
        prompts.add(episode, columns)
        rollouts.add(episode, columns)
    cameras = check_videos(dataset, findings, progress, tables.timestamps)
    if decode:
        decode_all(dataset, findings, progress)
    return Contents(
        version=dataset.version,
        num_episodes=len(dataset.episodes),
        num_frames=dataset.num_frames,
        fps=dataset.fps,
        prompts=prompts.finish(),
        cameras=cameras,
        constant_dimensions=tables.finish(),
        labels=labels.finish(),
        proposed_source=rollouts.finish(),
        decoded=decode,
    )
