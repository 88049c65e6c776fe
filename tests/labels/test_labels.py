"""Value labels in, a description of the targets out, and the command around both."""

import logging
from pathlib import Path

import numpy as np
import pytest
from support.labelled_sets import LENGTHS, VALUES, write, write_unlabelled

from pistar_vf.cli import label as cli
from pistar_vf.errors import ConfigError, LabelError
from pistar_vf.labels.value_labels import describe_targets, read_value_labels
from pistar_vf.lerobot.dataset import LeRobotDataset, load_lerobot
from pistar_vf.recipes.label import LabelConfig, run_label
from pistar_vf.returns import Outcome


@pytest.fixture
def dataset(tmp_path: Path) -> LeRobotDataset:
    return write_unlabelled(tmp_path / "source")


def labels_in(path: Path, values: list[float], name: str = "value_label") -> LeRobotDataset:
    ends = np.cumsum(LENGTHS)
    parts = np.split(np.array(values, np.float32), ends[:-1])
    return write(path, [{name: part} for part in parts])


def test_old_spelling_is_read_with_a_notice(tmp_path: Path, caplog) -> None:
    dataset = labels_in(tmp_path / "set", VALUES, "value_lable")
    with caplog.at_level(logging.WARNING):
        np.testing.assert_array_equal(read_value_labels(dataset), np.array(VALUES, np.float32))
    assert "reading 'value_lable', its old spelling" in caplog.text


def test_a_named_column_is_read(tmp_path: Path) -> None:
    assert read_value_labels(labels_in(tmp_path / "set", VALUES, "mine"), "mine")[0] == np.float32(-0.75)


def test_rounding_is_clipped(tmp_path: Path) -> None:
    labels = read_value_labels(labels_in(tmp_path / "set", [-1 - 5e-7, *VALUES[1:-1], 5e-7]))
    assert (labels.min(), labels.max()) == (-1, 0)


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (np.nan, r"episode_000001.parquet, episode 1, frame 2: expected a finite value label, got nan \(1 such"),
        (np.nan, r"if the episode timed out, say so with --outcome_column or --outcome_file"),
        (-np.inf, "expected a finite value label, got -inf"),
        (0.5, r"episode 1, frame 2: expected a value label in \[-1, 0\], got 0.5 .*`pistar-vf label`"),
        (-1.5, r"expected a value label in \[-1, 0\], got -1.5"),
    ],
)
def test_bad_labels_are_located(tmp_path: Path, bad: float, message: str) -> None:
    values = [*VALUES[:6], bad, *VALUES[7:]]
    with pytest.raises(LabelError, match=message):
        read_value_labels(labels_in(tmp_path / "set", values))


@pytest.mark.parametrize("anything", [np.nan, np.inf, 7.0, -0.5])
def test_labels_of_a_timeout_are_not_looked_at(tmp_path: Path, anything: float) -> None:
    dataset = labels_in(tmp_path / "set", [*VALUES[:6], anything, *VALUES[7:]])
    labels = read_value_labels(dataset, timeouts={1})
    assert np.isnan(labels[4:9]).all()
    np.testing.assert_array_equal(np.delete(labels, range(4, 9)), np.float32(VALUES[:4] + VALUES[9:]))


def test_missing_or_unusable_column(dataset: LeRobotDataset) -> None:
    with pytest.raises(LabelError, match=r"the column 'value_label' in .*run `pistar-vf label --data_dir .*source"):
        read_value_labels(dataset)
    with pytest.raises(LabelError, match=r"one number per frame, got float32 of shape \(12, 2\)"):
        read_value_labels(dataset, "observation.state")


def test_target_summary_by_hand(tmp_path: Path) -> None:
    """12 labels: 5 at -1; -0.75, -2/3, -0.5, -1/3, -0.25 in between; 2 at 0."""
    dataset = labels_in(tmp_path / "set", VALUES)
    summary = describe_targets(read_value_labels(dataset), dataset.layout)
    assert (summary.num_frames, summary.num_successes, summary.num_failures) == (12, 2, 1)
    expected = np.array([5, 0, 1, 1, 0, 1, 1, 1, 0, 2]) / 12
    np.testing.assert_allclose(summary.mass, expected, atol=1e-5)
    assert summary.mass_at_minus_one == pytest.approx(5 / 12)
    assert summary.warning is None
    text = str(summary).splitlines()
    assert text[0] == "value targets: 12 frames, 2 successes, 1 failures"
    assert text[1] == "  -1.0 … -0.9   41.7%  " + "█" * 40
    assert text[2] == "  -0.9 … -0.8    0.0%"
    assert text[10] == "  -0.1 …  0.0   16.7%  " + "█" * 16
    assert text[11] == "  exactly -1 (failures): 41.7%; -0.1 … 0 (done): 16.7%"


def test_two_hot_mass_is_split_between_atoms(tmp_path: Path) -> None:
    """With 3 atoms (-1, -0.5, 0), a label of -0.75 puts half its mass on -1."""
    dataset = labels_in(tmp_path / "set", [-0.75] * 12)
    summary = describe_targets(read_value_labels(dataset), dataset.layout, support_num_atoms=3)
    assert summary.mass_at_minus_one == pytest.approx(0.5)
    np.testing.assert_allclose(summary.mass, [0.5, 0, 0, 0, 0, 0.5, 0, 0, 0, 0])


def test_a_missing_class_is_warned_about(dataset: LeRobotDataset) -> None:
    failures = describe_targets(np.full(12, -1, np.float32), dataset.layout)
    assert "every episode is labelled a failure" in failures.warning
    successes = describe_targets(np.zeros(12, np.float32), dataset.layout)
    assert "no episode is labelled a failure" in successes.warning
    assert str(successes).splitlines()[-1] == f"WARNING: {successes.warning}"


def test_timeouts_are_counted_apart(dataset: LeRobotDataset) -> None:
    """Episode 1 is open: 7 known labels, of which 4 are -1."""
    labels = np.array([0, 0, 0, 0, *[np.nan] * 5, -1, -1, -1], np.float32)
    summary = describe_targets(labels, dataset.layout)
    assert (summary.num_frames, summary.num_successes, summary.num_failures, summary.num_timeouts) == (12, 1, 1, 1)
    assert summary.mass_at_minus_one == pytest.approx(3 / 7)
    first = str(summary).splitlines()[0]
    assert first == "value targets: 12 frames, 1 successes, 1 failures, 1 time-outs (bootstrapped in training)"
    only = describe_targets(np.full(12, np.nan, np.float32), dataset.layout)
    assert (only.num_timeouts, only.mass_at_minus_one, sum(only.mass)) == (3, 0, 0)
    assert "0.0%" in str(only)


def test_outcomes_count_where_they_are_known(dataset: LeRobotDataset) -> None:
    """A failure under a small penalty is not at -1 everywhere."""
    outcomes = (Outcome.SUCCESS, Outcome.FAILURE, Outcome.FAILURE)
    summary = describe_targets(np.full(12, -0.5, np.float32), dataset.layout, outcomes)
    assert (summary.num_successes, summary.num_failures, summary.warning) == (1, 2, None)


def test_command_labels_and_says_what_is_next(dataset: LeRobotDataset, tmp_path: Path, capsys) -> None:
    output = tmp_path / "out"
    argv = ["--data_dir", str(dataset.root), "--output_dir", str(output), "--outcome_column", "outcome"]
    assert cli.main(argv) == output
    printed = capsys.readouterr().out.splitlines()
    assert printed[0] == "value targets: 12 frames, 2 successes, 1 failures"
    assert printed[-1] == (
        f"labelled dataset: {output}; train on it with: "
        f"pistar-vf train --data_dir {output} --checkpoint_dir checkpoints/out --load_pretrained"
    )
    assert printed[-2].startswith("a step costs 1/T of its own episode")


def test_command_passes_every_flag_on(tmp_path: Path) -> None:
    old = [{"adv_ind": np.array(["none"] * n), "human": np.ones(n, np.int64)} for n in LENGTHS]
    dataset = write(tmp_path / "source", old)
    (tmp_path / "o.json").write_text('{"0": "success", "1": "timeout", "2": "success"}')
    argv = ["--data_dir", str(dataset.root), "--output_dir", str(tmp_path / "out"), "--intervention_column", "human"]
    argv += ["--outcome_file", str(tmp_path / "o.json"), "--timeout_as", "failure", "--overwrite_labels"]
    copy = load_lerobot(cli.main(argv))
    np.testing.assert_array_equal(read_value_labels(copy), np.array(VALUES, np.float32))
    assert set(copy.read_column("adv_ind")) == {"positive"}
    all_failed = LabelConfig(tmp_path / "source", tmp_path / "two", outcome="failure", overwrite_labels=True)
    assert set(read_value_labels(load_lerobot(run_label(all_failed)))) == {-1.0}


def test_command_writes_another_convention(dataset: LeRobotDataset, tmp_path: Path) -> None:
    argv = ["--data_dir", str(dataset.root), "--outcome_column", "outcome", "--output_dir", str(tmp_path / "out")]
    copy = load_lerobot(cli.main([*argv, "--convention", "robot_collector"]))
    assert read_value_labels(copy)[:4].tolist() == [-1, -0.75, -0.5, 0]
    assert copy.read_column("reward_label")[8] == -1


def test_command_writes_the_papers_target(dataset: LeRobotDataset, tmp_path: Path, capsys) -> None:
    """The longest episode of the one task has 5 frames; a failure costs 2 steps."""
    argv = ["--data_dir", str(dataset.root), "--outcome_column", "outcome", "--output_dir", str(tmp_path / "out")]
    copy = load_lerobot(cli.main([*argv, "--target", "paper", "--failure_penalty", "2"]))
    assert "1/T" not in capsys.readouterr().out
    expected = [-0.6, -0.4, -0.2, 0, -1, -1, -0.8, -0.6, -0.4, -0.4, -0.2, 0]
    np.testing.assert_allclose(read_value_labels(copy), expected, atol=1e-7)


def test_command_counts_the_outcomes_it_was_given(dataset: LeRobotDataset, tmp_path: Path, capsys) -> None:
    """Under a small penalty no label of a failure is -1; it was once counted as a success."""
    (tmp_path / "o.json").write_text('{"0": "success", "1": "timeout", "2": "failure"}')
    argv = ["--data_dir", str(dataset.root), "--output_dir", str(tmp_path / "out"), "--target", "paper"]
    argv += ["--outcome_file", str(tmp_path / "o.json"), "--timeout_as", "failure", "--failure_penalty", "0.5"]
    cli.main(argv)
    assert capsys.readouterr().out.splitlines()[0] == "value targets: 12 frames, 1 successes, 2 failures"


def test_command_leaves_timeouts_to_training(dataset: LeRobotDataset, tmp_path: Path, capsys) -> None:
    path = tmp_path / "o.json"
    path.write_text('{"0": "success", "1": "timeout", "2": "failure"}')
    argv = ["--data_dir", str(dataset.root), "--output_dir", str(tmp_path / "out"), "--outcome_file", str(path)]
    copy = load_lerobot(cli.main([*argv, "--timeout_as", "bootstrap"]))
    values = copy.read_column("value_label")
    np.testing.assert_array_equal(values, np.float32([*VALUES[:4], *[np.nan] * 5, -1, -1, -1]))
    printed = capsys.readouterr().out.splitlines()
    assert "1 time-outs (bootstrapped in training)" in printed[0]
    assert printed[-1].endswith(f"checkpoints/out --load_pretrained --outcome_file {path}")
    stats = (copy.root / "meta/episodes_stats.jsonl").read_text()
    assert "NaN" not in stats
    assert stats.count('"value_label"') == 2


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--target", "paper", "--convention", "recap"], "--convention recap: expected --target episode_ramp with it"),
        (["--failure_penalty", "3"], "failure_penalty 3.0: expected it with --target paper, got it with episode_ramp"),
    ],
)
def test_flags_that_contradict_each_other(dataset: LeRobotDataset, tmp_path: Path, flags, message: str) -> None:
    argv = ["--data_dir", str(dataset.root), "--output_dir", str(tmp_path / "out"), "--outcome", "success"]
    with pytest.raises(ConfigError, match=message):
        cli.main([*argv, *flags])
    assert not (tmp_path / "out").exists()
