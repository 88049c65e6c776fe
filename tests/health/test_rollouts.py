"""Rollouts of LeRobot's own programs are recognised, and `--source` is proposed; nothing else is."""

from pathlib import Path

import numpy as np
import pytest
from support.labelled_sets import LENGTHS, label, write

from pistar_vf.curation.convert_dataset import convert_dataset
from pistar_vf.health import check_dataset
from pistar_vf.labels.outcomes import read_outcomes
from pistar_vf.lerobot.dataset import LeRobotDataset, load_lerobot
from pistar_vf.returns import Outcome

BOOL, INT = bool, np.int64


def flagged(path: Path, dtype: type, metadata: list[dict] | None = None, **columns: tuple) -> LeRobotDataset:
    """Flags of three episodes: a number for all rows of an episode, "end" for the last, "middle" for the second."""
    rows = {
        "end": lambda length: np.arange(length) == length - 1,
        "middle": lambda length: np.arange(length) == 1,
    }
    made = [
        {name: rows.get(own[i], lambda n, i=i, own=own: np.full(n, own[i]))(length).astype(dtype)
         for name, own in columns.items()}
        for i, length in enumerate(LENGTHS)
    ]  # fmt: skip
    return write(path, made, metadata)


EVAL = {
    "a time-out": {"next.success": ("end", 0, "end"), "next.done": ("end",) * 3},
    "time-outs alone": {"next.success": (0, 0, 0), "next.done": ("end",) * 3},
    "without next.done": {"next.success": ("end", 0, 0)},
    "up and down again": {"next.success": ("middle", 0, "end"), "next.done": ("end",) * 3},
    "merged, no corrections": {"next.success": (0, 1, 0), "next.done": ("end",) * 3, "intervention": (0, 0, 0)},
}
DAGGER = {
    "corrections only": {"intervention": (1, 1, 1)},
    "cut by size": {"intervention": (0, "middle", 0)},
    "both": {"intervention": (0, 1, "end")},
    "merged with lerobot-eval": {"intervention": (0, 1, 0), "next.success": ("end", 0, 0), "next.done": ("end", 0, 1)},
}
NEITHER = {
    "no flags": {},
    "every episode a success": {"next.success": ("end", "middle", 1), "next.done": ("end",) * 3},
    "an operator who never drove": {"intervention": (0, 0, 0)},
    "episodes that were not done": {"next.success": (0, 0, "end"), "next.done": ("end", 0, "end")},
}


def proposed(dataset: LeRobotDataset) -> tuple[str | None, list[str]]:
    report = check_dataset(dataset.root, progress=False)
    found = [finding for finding in report.findings if finding.check == "rollouts"]
    assert all(finding.severity == "note" for finding in found)
    assert report.to_json()["contents"]["proposed_source"] == report.contents.proposed_source
    return report.contents.proposed_source, [f"{finding.problem}; {finding.advice}" for finding in found]


@pytest.mark.parametrize(
    ("source", "name"),
    [*(("lerobot_eval", name) for name in EVAL), *(("lerobot_dagger", name) for name in DAGGER)],
)
def test_a_source_is_proposed(tmp_path: Path, source: str, name: str) -> None:
    dataset = flagged(tmp_path / "set", BOOL, **(EVAL if source == "lerobot_eval" else DAGGER)[name])
    found, (words,) = proposed(dataset)
    assert found == source
    assert f"pass --source {source} to `pistar-vf label`, `train` and `relabel`" in words
    outcomes = read_outcomes(dataset, source=source)
    assert Outcome.FAILURE not in outcomes.values()


@pytest.mark.parametrize("name", NEITHER)
def test_nothing_is_proposed(tmp_path: Path, name: str) -> None:
    assert proposed(flagged(tmp_path / "set", BOOL, **NEITHER[name])) == (None, [])


def test_flags_of_other_recorders(tmp_path: Path) -> None:
    """Whole numbers are not what that program writes; a correction among them is an ordinary takeover."""
    assert proposed(flagged(tmp_path / "takeovers", INT, intervention=(0, "middle", 0))) == (None, [])
    assert proposed(flagged(tmp_path / "windows", INT, intervention=(0, 1, 0)))[0] == "lerobot_dagger"


def test_both_layouts(tmp_path: Path) -> None:
    dataset = flagged(tmp_path / "v21", BOOL, **DAGGER["both"])
    assert proposed(load_lerobot(convert_dataset(dataset, tmp_path / "v30", progress=False)))[0] == ("lerobot_dagger")


def test_labels_and_outcomes_say_enough(tmp_path: Path) -> None:
    stated = [{"outcome": word} for word in ("success", "timeout", "fragment")]
    dataset = flagged(tmp_path / "set", BOOL, stated, **EVAL["a time-out"])
    assert proposed(dataset) == (None, [])
    plain = flagged(tmp_path / "plain", BOOL, **DAGGER["both"])
    outcomes = read_outcomes(plain, source="lerobot_dagger")
    assert proposed(label(plain, tmp_path / "labelled", outcomes=outcomes)) == (None, [])


def test_empty_labels_of_fragments_are_no_damage(tmp_path: Path) -> None:
    stated = [{"outcome": word} for word in ("success", "fragment", "failure")]
    outcomes = {0: Outcome.SUCCESS, 1: Outcome.FRAGMENT, 2: Outcome.FAILURE}
    report = check_dataset(label(write(tmp_path / "raw", None, stated), tmp_path / "set", outcomes=outcomes).root)
    # Statistics of NaN are none, as in time-outs.
    assert {finding.check for finding in report.findings if finding.severity != "note"} <= {"statistics"}
    assert report.contents.labels.outcomes_of_labels == {"failure": 1, "fragment": 1, "success": 1}
