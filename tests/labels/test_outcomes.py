"""Outcomes from every source, and no outcome without one."""

import re
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from support.labelled_sets import OUTCOMES, episode, flags, write, write_unlabelled

from pistar_vf.errors import ConfigError, LabelError
from pistar_vf.labels.outcomes import read_outcomes
from pistar_vf.labels.rollout_sources import correction_windows
from pistar_vf.labels.targets import measure_normaliser
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
        flags([0, 0, 0, 1], [0, 0, 0, 0, 0], [0, 0, 1]),
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
    with pytest.raises(ConfigError, match="exactly one of outcome, outcome_column, outcome_file and source, got 0"):
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
        ("o.jsonl", '{"episode_index": 0, "outcome": 1, "outcome": 0}', "the key 'outcome' occurs twice"),
        ("o.jsonl", '{"episode_index": 0, "episode_index": 1, "outcome": 0}', "the key 'episode_index' occurs twice"),
        ("o.csv", "episode_index,outcome,Outcome\n0,1,0\n", "two columns are called 'outcome'"),
        ("o.csv", "0,success\n1,failure\n", "got something else .ValueError: 'episode_index'"),
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


UP_AND_DOWN = {
    "integers": flags([0, 0, 0, 1], [1, 1, 0, 0, 0], [0, 0, 1]),
    "booleans": flags([False] * 3 + [True], [False, True, False, False, False], [True] * 3),
    "floats": flags([0.0, 0.0, 0.0, 1.0], [0.0, 0.0, 0.0, 1.0, 0.0], [0.0, 1.0, 1.0]),
    "reward": flags([0, 0, 0, 1], [0, 1, 0, 1, 0], [1, 1, 1]),
}


@pytest.mark.parametrize("name", UP_AND_DOWN)
def test_a_flag_that_goes_off_again_needs_a_rule(tmp_path: Path, name: str) -> None:
    """Else a success that was reached and lost would be a failure, without a word."""
    dataset = write(tmp_path / "set", UP_AND_DOWN[name])
    with pytest.raises(
        LabelError, match=r"up and down again in episode 1; .* --outcome_rule any .* --outcome_rule last"
    ):
        read_outcomes(dataset, outcome_column="flag")
    assert read_outcomes(dataset, outcome_column="flag", outcome_rule="last") == OUTCOMES
    assert set(read_outcomes(dataset, outcome_column="flag", outcome_rule="any").values()) == {Outcome.SUCCESS}


def test_rollouts_of_lerobot_eval_time_out(tmp_path: Path) -> None:
    columns = flags([False] * 3 + [True], [False] * 5, [False, True, False])
    dataset = write(tmp_path / "set", [{"next.success": column["flag"]} for column in columns])
    expected = {0: Outcome.SUCCESS, 1: Outcome.TIMEOUT, 2: Outcome.SUCCESS}
    assert read_outcomes(dataset, source="lerobot_eval") == expected
    with pytest.raises(LabelError, match=r"expected the column 'next.success', which --source lerobot_eval speaks of"):
        read_outcomes(write(tmp_path / "other"), source="lerobot_eval")


CSV = "episode_index,outcome\n0,success\n1,failure\n2,success\n"
ENCODED = {
    "mark.csv": ("\ufeff" + CSV).encode(),
    "semicolons.csv": CSV.replace(",", ";").encode(),
    "tabs-utf16.csv": CSV.replace(",", "\t").encode("utf-16"),
    "windows.csv": ("sep=;\r\n" + CSV.replace(",", ";").replace("\n", "\r\n")).encode("utf-8-sig"),
    "quoted.csv": b'"Episode_Index", "Outcome"\n"0", "success"\n1.0,failure\n2, success\n\n',
    "mark.json": '\ufeff{"0": "success", "1": "failure", "2": "success"}'.encode(),
    "utf16.json": '{"0": "success", "1": "failure", "2": "success"}'.encode("utf-16"),
    "utf16.jsonl": "".join(
        f'{{"episode_index": {i}, "outcome": "{word}"}}\r\n' for i, word in enumerate(OUTCOMES.values())
    ).encode("utf-16-le"),
    "texts.jsonl": "".join(
        f'{{"episode_index": "{i}", "outcome": "{word}"}}\n' for i, word in enumerate(OUTCOMES.values())
    ).encode(),
}


@pytest.mark.parametrize("name", ENCODED)
def test_outcome_files_as_programs_save_them(dataset: LeRobotDataset, tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(ENCODED[name])
    assert read_outcomes(dataset, outcome_file=tmp_path / name) == OUTCOMES


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("latin.csv", CSV.replace("success", "succès").encode("latin-1"), "expected text in UTF-8, got the byte 0xe8"),
        ("lfs.json", b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "Git LFS pointer"),
        ("empty.csv", b"", "the file is empty"),
        ("nested.json", b'{"0": {"outcome": "success"}, "1": "failure", "2": "success"}', "expected one of success"),
        ("half.csv", b"episode_index,outcome\n0.5,success\n", "expected a whole number, got '0.5'"),
        ("null.jsonl", b'{"episode_index": null, "outcome": "success"}', "expected a whole number, got null"),
        ("gone.csv", b"episode_index,outcome\n0\n", "got something else .IndexError"),
    ],
)
def test_outcome_files_that_cannot_be_read(dataset, tmp_path: Path, name: str, content: bytes, message: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(LabelError, match=message):
        read_outcomes(dataset, outcome_file=tmp_path / name)


NAN = float("nan")
PIECES = ("fragment",) * 3
DAGGER = {
    # flags of the operator in three episodes; next.success, next.done and value_label of each; what follows
    "corrections only": (([1] * 4, [1] * 5, [1] * 3), None, None, None, PIECES),
    "cut by file size": (([0] * 4, [0, 0, 1, 1, 0], [1, 0, 0]), None, None, None, PIECES),
    "both": (([0] * 4, [1] * 5, [0, 1, 1]), None, None, None, PIECES),
    "with outcomes": (([0] * 4, [1] * 5, [0, 1, 1]), (1, 1, 1), None, None, ("success", "fragment", "success")),
    "booleans": (([False] * 4, [True] * 5, [False] * 3), (1, 0, 0), None, None, ("success", "fragment", "fragment")),
    "windows that say success": (([1] * 4, [1] * 5, [1] * 3), (1, 1, 1), (1, 1, 1), (0, 0, 0), PIECES),
    "merged with lerobot-eval": (
        ([0] * 4, [1] * 5, [0] * 3), (1, 0, 0), (1, 0, 1), None, ("success", "fragment", "timeout")
    ),
    "merged with labels": (
        ([0] * 4, [1] * 5, [0] * 3), None, None, (-0.5, NAN, -1), ("success", "fragment", "failure")
    ),
    "half labelled": (([0] * 4, [0] * 5, [0] * 3), None, None, (-0.5, NAN, NAN), ("success", "fragment", "fragment")),
}  # fmt: skip


@pytest.mark.parametrize("name", DAGGER)
def test_pieces_of_dagger_are_fragments(tmp_path: Path, name: str) -> None:
    driven, *flags, expected = DAGGER[name]
    columns = [{"intervention": np.array(own)} for own in driven]
    for column, values in zip(("next.success", "next.done", "value_label"), flags):
        for own, value in zip(columns, values or ()):
            own[column] = np.full(len(own["intervention"]), float(value))
    dataset = write(tmp_path / "set", columns)
    assert tuple(read_outcomes(dataset, source="lerobot_dagger", labelled=True).values()) == expected
    for timeout_as in ("failure", "success"):
        again = read_outcomes(dataset, source="lerobot_dagger", labelled=True, timeout_as=timeout_as)
        assert tuple(again.values()) == tuple(timeout_as if word == "timeout" else word for word in expected)


def test_labels_that_are_to_be_replaced_make_no_piece_whole(tmp_path: Path) -> None:
    columns = [{"intervention": np.zeros(n), "value_label": np.full(n, -1.0)} for n in (4, 5, 3)]
    dataset = write(tmp_path / "set", columns)
    assert tuple(read_outcomes(dataset, source="lerobot_dagger").values()) == PIECES


@pytest.mark.parametrize("flag", [2, -1, NAN])
def test_what_is_no_flag_is_no_rollout(tmp_path: Path, flag: float) -> None:
    numbers = [np.array([0.0, flag, 1.0, 0.0, 0.0][:length]) for length in (4, 5, 3)]
    dataset = write(tmp_path / "set", [{"intervention": own, "next.success": own} for own in numbers])
    for source in ("lerobot_dagger", "lerobot_eval"):
        with pytest.raises(LabelError, match=r"episode 0: expected 0 or 1 in every frame, got .*--outcome_file"):
            read_outcomes(dataset, source=source)
    words = write(tmp_path / "words", [{"intervention": np.array(["yes"] * length)} for length in (4, 5, 3)])
    with pytest.raises(LabelError, match=r"column 'intervention' of .*: expected one number per frame"):
        read_outcomes(words, source="lerobot_dagger")
    with pytest.raises(LabelError, match=r"expected the column 'intervention', which --source lerobot_dagger speaks"):
        read_outcomes(write(tmp_path / "other"), source="lerobot_dagger")


def test_fragments_are_no_longest_episode(tmp_path: Path) -> None:
    columns = [{"intervention": np.full(length, number == 1)} for number, length in enumerate((4, 5, 3))]
    dataset = write(tmp_path / "set", columns)
    assert correction_windows(dataset) == (1,)
    outcomes = {0: Outcome.SUCCESS, 1: Outcome.FRAGMENT, 2: Outcome.TIMEOUT}
    assert measure_normaliser([dataset], "paper").max_lengths == {"push": 5}
    assert measure_normaliser([dataset], "paper", outcomes=[outcomes]).max_lengths == {"push": 4}
    assert measure_normaliser([dataset] * 2, "paper", outcomes=[None, outcomes]).max_lengths == {"push": 5}
    with pytest.raises(LabelError, match="expected whole episodes to measure tasks by, got fragments alone; merge"):
        measure_normaliser([dataset], "paper", outcomes=[dict.fromkeys(range(3), Outcome.FRAGMENT)])


@pytest.mark.parametrize("timeout_as", ["bootstrap", "failure", "success"])
def test_the_word_fragment_is_an_outcome_that_nothing_changes(tmp_path: Path, timeout_as: str) -> None:
    dataset = write(tmp_path / "set", metadata=[{"outcome": word} for word in ("success", "Fragment", "failure")])
    (tmp_path / "o.csv").write_text("episode_index,outcome\n0,success\n1, fragment \n2,0\n")
    expected = {0: Outcome.SUCCESS, 1: Outcome.FRAGMENT, 2: Outcome.FAILURE}
    assert read_outcomes(dataset, outcome_column="outcome", timeout_as=timeout_as) == expected
    assert read_outcomes(dataset, outcome_file=tmp_path / "o.csv", timeout_as=timeout_as) == expected


@pytest.mark.parametrize("counted_as", ["failure", "success", "timeout"])
def test_a_timeout_counts_as_the_caller_says(tmp_path: Path, counted_as: str) -> None:
    """Where outcomes are read again, of a copy that was labelled so."""
    dataset = write(tmp_path / "set", metadata=[{"outcome": word} for word in ("success", "timeout", "failure")])
    timeout_as = "bootstrap" if counted_as == "timeout" else counted_as
    found = read_outcomes(dataset, outcome_column="outcome", timeout_as=timeout_as)
    assert found == {0: Outcome.SUCCESS, 1: Outcome(counted_as), 2: Outcome.FAILURE}
