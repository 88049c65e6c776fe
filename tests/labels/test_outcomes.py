"""Outcomes from every source, and no outcome without one."""

import re
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from support.labelled_sets import OUTCOMES, episode, flags, write, write_unlabelled

from pistar_vf.errors import ConfigError, LabelError
from pistar_vf.labels.outcomes import read_outcomes
from pistar_vf.lerobot.dataset import LeRobotDataset, load_lerobot
from pistar_vf.returns import Outcome
from pistar_vf.testing.lerobot_writer import write_lerobot_v21


@pytest.fixture
def dataset(tmp_path: Path) -> LeRobotDataset:
    return write_unlabelled(tmp_path / "source")


def test_one_outcome_for_all(dataset: LeRobotDataset) -> None:
    assert read_outcomes(dataset, outcome="failure") == dict.fromkeys(range(3), Outcome.FAILURE)


def test_outcome_from_episodes_jsonl(dataset: LeRobotDataset) -> None:
    assert read_outcomes(dataset, outcome_column="outcome") == OUTCOMES


@pytest.mark.parametrize(
    "columns",
    [
        flags([True] * 4, [False] * 5, [True] * 3),
        flags([0, 0, 0, 1], [1, 1, 0, 0, 0], [0, 0, 1]),  # the last row decides
        flags([0.0, 0.0, 0.0, 1.0], [0.0] * 5, [0.0, 1.0, 1.0]),
        flags(["success"] * 4, ["Failure"] * 5, [" success"] * 3),
    ],
)
def test_outcome_from_a_table_column(tmp_path: Path, columns) -> None:
    assert read_outcomes(write(tmp_path / "set", columns), outcome_column="flag") == OUTCOMES


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("o.json", '{"0": "success", "1": "failure", "2": true}'),
        ("o.jsonl", '{"episode_index": 0, "outcome": "success"}\n\n{"episode_index": 2, "outcome": 1}\n'
                    '{"episode_index": 1, "outcome": "failure"}\n'),
        ("o.csv", "episode_index,outcome\n0,success\n1,failure\n2,1\n"),
    ],
)  # fmt: skip
def test_outcome_from_a_file(dataset: LeRobotDataset, tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_text(text)
    assert read_outcomes(dataset, outcome_file=tmp_path / name) == OUTCOMES


def test_exactly_one_source_of_outcomes(dataset: LeRobotDataset) -> None:
    with pytest.raises(ConfigError, match="exactly one of outcome, outcome_column and outcome_file, got 0"):
        read_outcomes(dataset)
    with pytest.raises(ConfigError, match="got 2"):
        read_outcomes(dataset, outcome="success", outcome_column="outcome")


@pytest.mark.parametrize(
    ("metadata", "message"),
    [
        ([{"end": "success"}, {}, {}], r"key 'end' of .*episodes.jsonl: .*got none for episodes 1, 2; add"),
        ([{"end": "success"}, {"end": None}, {"end": "hm"}], r"expected one of success.*got None for episode 1 .*1, 2"),
    ],
)
def test_a_missing_or_unreadable_outcome_is_never_guessed(tmp_path: Path, metadata, message: str) -> None:
    with pytest.raises(LabelError, match=message):
        read_outcomes(write(tmp_path / "set", metadata=metadata), outcome_column="end")


def test_long_lists_of_episodes_are_cut(tmp_path: Path) -> None:
    root = write_lerobot_v21(tmp_path / "set", [episode(1) for _ in range(13)], fps=10, storage="image")
    (tmp_path / "o.json").write_text("{}")
    with pytest.raises(LabelError, match="0, 1, 2, 3, 4, 5, 6, 7, 8, 9 and 3 more"):
        read_outcomes(load_lerobot(root), outcome_file=tmp_path / "o.json")


def test_a_column_that_cannot_be_an_outcome(tmp_path: Path, dataset: LeRobotDataset) -> None:
    with pytest.raises(LabelError, match=r"expected 'is_success' in .*got the columns \[.*'observation.state'"):
        read_outcomes(dataset, outcome_column="is_success")
    words = flags(["success"] * 4, ["success"] * 4 + ["failure"], ["success"] * 3)
    with pytest.raises(LabelError, match="same word in all rows of an episode, got several in episode 1;"):
        read_outcomes(write(tmp_path / "set", words), outcome_column="flag")
    with pytest.raises(LabelError, match=r"expected one of success.*got 3 for episode 0"):
        read_outcomes(dataset, outcome_column="frame_index")


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("o.txt", "", "name ending in .json, .jsonl or .csv"),
        ("o.json", None, "no such file"),
        ("o.json", "{", "got something else .JSONDecodeError"),
        ("o.json", "[1, 2]", "got something else .TypeError"),
        ("o.json", "3", "got something else .TypeError"),
        ("o.json", '{"0": "success", "0": "failure"}', "episode 0 appears twice"),
        ("o.jsonl", '{"episode": 0}', "got something else .KeyError: 'episode_index'"),
        ("o.csv", "0,success\n1,failure\n", "got something else .KeyError"),
        ("o.csv", "episode_index,outcome\n0,success\n1,failure\n", "got none for episode 2; add"),
        ("o.json", '{"0": 1, "1": 0, "2": 1, "7": 1}', r"expected the episodes of .*, got episode 7, which"),
    ],
)
def test_bad_outcome_files(dataset: LeRobotDataset, tmp_path: Path, name: str, text, message: str) -> None:
    if text is not None:
        (tmp_path / name).write_text(text)
    with pytest.raises(LabelError, match=re.escape(name) + ".*" + message):
        read_outcomes(dataset, outcome_file=tmp_path / name)


def test_column_types_of_lists_of_one(tmp_path: Path) -> None:
    """Some recorders store a [1]-shaped flag as a list of one number."""
    dataset = write(tmp_path / "source", flags([1] * 4, [0] * 5, [1] * 3))
    for e in dataset.episodes:
        table = pq.read_table(e.parquet)
        column = pa.FixedSizeListArray.from_arrays(table["flag"].combine_chunks(), 1)
        pq.write_table(table.set_column(table.column_names.index("flag"), "flag", column), e.parquet)
    assert read_outcomes(load_lerobot(dataset.root), outcome_column="flag") == OUTCOMES
