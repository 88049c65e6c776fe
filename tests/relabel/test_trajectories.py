"""Trajectories: their measures by hand, their ranks, and the dataset of the best."""

import csv
from pathlib import Path

import numpy as np
import pytest

from pistar_vf.cli.main import EXIT_GATE_FAILED, main
from pistar_vf.errors import ConfigError
from pistar_vf.lerobot.dataset import load_lerobot
from pistar_vf.relabel.label import KEPT, NEGATIVE, NONE, POSITIVE, Labels
from pistar_vf.relabel.rollouts import Rollouts
from pistar_vf.relabel.select_config import Choice, SelectConfig
from pistar_vf.relabel.trajectories import Trajectory, as_table, rank, score_trajectories, select
from pistar_vf.returns import Outcome

S, F, T = Outcome.SUCCESS, Outcome.FAILURE, Outcome.TIMEOUT


def test_measures_by_hand():
    """Two episodes of 2 and 3 frames; a kept word of a demonstration counts as positive."""
    rollouts = Rollouts(
        name="two",
        lengths=np.array([2, 3]),
        outcomes=(S, None),
        tasks=("push", "fold"),
        task=np.array([1, 1, 0, 0, 0]),
        intervention=np.zeros(5, bool),
        still=np.zeros(5, bool),
        reward=np.zeros(5, np.float32),
        target=np.zeros(5, np.float32),
        keeps_last_value=np.zeros(2, bool),
    )
    code = np.array([POSITIVE, KEPT, NEGATIVE, NONE, POSITIVE])
    labels = Labels(code, np.array([1.0, 2.0, -1.0, 0.0, 0.25]), np.zeros(2))
    values = np.float32([-0.5, -0.125, -0.75, -0.5, -0.25])
    assert score_trajectories(values, rollouts, labels, [7, 9]) == [
        Trajectory(7, "fold", S, 2, 1.5, 1.0, -0.125),
        Trajectory(9, "push", None, 3, -0.25, 1 / 3, -0.25),
    ]


def trajectory(index, mean=0.0, outcome=S, positive=0.5, end=-0.1):
    return Trajectory(index, "push", outcome, 10, mean, positive, end)


FOUR = [
    trajectory(0, 0.1, F, 0.9, -0.9),
    trajectory(1, 0.3, S, 0.2, -0.1),
    trajectory(2, 0.1, T, 0.3, -0.2),
    trajectory(3, 0.2, S, 0.1, -0.3),
]


@pytest.mark.parametrize(
    ("by", "order"),
    [
        ("mean_advantage", [1, 3, 0, 2]),  # 0 and 2 are equal: by their number
        ("share_positive", [0, 2, 1, 3]),
        ("value_at_end", [1, 2, 3, 0]),
        ("outcome", [1, 3, 2, 0]),  # successes by their mean advantage
    ],
)
def test_ranks(by, order):
    assert [t.episode_index for t in rank(FOUR, by)] == order


def test_an_unknown_outcome_comes_last():
    assert [t.episode_index for t in rank([trajectory(5, 9.0, None), *FOUR], "outcome")][-1] == 5


@pytest.mark.parametrize(
    ("choice", "taken"),
    [
        ({}, 4),
        ({"top_share": 0.5}, 2),
        ({"top_share": 0.01}, 1),
        ({"top": 3}, 3),
        ({"top": 9}, 4),
        ({"threshold": 0.2}, 2),
        ({"threshold": 5.0}, 0),
    ],
)
def test_how_many_are_taken(choice, taken):
    assert select(rank(FOUR), Choice(**choice)).tolist() == [rank < taken for rank in range(4)]


@pytest.mark.parametrize(
    ("choice", "error"),
    [
        ({"top": 2, "threshold": 0.0}, "expected one of --top_share, --top and --threshold, got --top and --threshold"),
        ({"top_share": 0.0}, r"--top_share: expected a share in \(0, 1\], got 0.0"),
        ({"top": 0}, "--top: expected at least 1 trajectory, got 0"),
    ],
)
def test_choices_that_are_none(choice, error):
    with pytest.raises(ConfigError, match=error):
        Choice(**choice)


def test_force_reaches_the_relabelling():
    """It is what lets a model with random towers be looked at."""
    config = SelectConfig.of(data_dir="rollouts", checkpoint_dir=(Path("run"),))
    assert not config.relabelling.force
    assert config.replace(force=True).relabelling.force


def test_the_table_shows_the_best():
    ranked = rank(FOUR)
    lines = as_table(ranked, select(ranked, Choice(top=1)), show=2).splitlines()
    assert lines[0].split() == ["episode", "frames", "outcome", "mean", "A", "positive", "V", "at", "end", "prompt"]
    assert lines[1].split() == ["*", "1", "10", "success", "+0.3000", "20.0%", "-0.100", "push"]
    assert lines[2].split()[0] == "3"
    assert lines[3] == "… and 2 more"


# --- the command -----------------------------------------------------------------------------------------------


@pytest.fixture
def words(tiny_dataset, trained_run, frame_cache_dir, tmp_path):
    """A model of four steps, which no gate lets through."""
    places = {
        "--data_dir": tiny_dataset,
        "--checkpoint_dir": trained_run.checkpoint,
        "--report_dir": tmp_path / "report",
        "--cache_dir": frame_cache_dir,
        "--num_workers": 0,
        "--lookahead": 10,
    }
    return ["select", *(str(word) for pair in places.items() for word in pair)]


def rows(path):
    with path.open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


@pytest.mark.usefixtures("small_and_fast")
def test_a_list_and_a_dataset_of_the_best(words, tiny_dataset, tmp_path, capsys):
    source = load_lerobot(tiny_dataset)
    assert main([*words, "--by", "outcome", "--top_share", "0.5"]) == 0
    listed = rows(tmp_path / "report" / "trajectories.csv")
    assert len(listed) == len(source.episodes)
    scores = [float(row["score"]) for row in listed]
    assert scores == sorted(scores, reverse=True)
    assert "Ranking of episodes" in (tmp_path / "report" / "report.html").read_text()
    output = [*words, "--output_dir", str(tmp_path / "best"), "--by", "value_at_end", "--top", "2"]
    assert main(output) == EXIT_GATE_FAILED
    assert not (tmp_path / "best").exists()
    assert "so the ranking means little" in capsys.readouterr().err
    assert main([*output, "--force"]) == 0
    chosen = [int(row["episode_index"]) for row in rows(tmp_path / "report" / "trajectories.csv")[:2]]
    best = load_lerobot(tmp_path / "best")
    assert [e.length for e in best.episodes] == [source.episodes[i].length for i in sorted(chosen)]
    states = [source.read_column("observation.state")[e.start : e.start + e.length] for e in source.episodes]
    np.testing.assert_array_equal(
        best.read_column("observation.state"), np.concatenate([states[i] for i in sorted(chosen)])
    )
    assert main([*words, "--output_dir", str(tmp_path / "none"), "--threshold", "99", "--force"]) == 2
    assert "--threshold 99.0: expected one trajectory at least, got none" in capsys.readouterr().err
