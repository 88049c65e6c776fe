"""Value labels in, a description of the targets out, and the command around both."""

import logging
from pathlib import Path

import numpy as np
import pytest
from labelled_sets import LENGTHS, VALUES, write, write_unlabelled

from pistar_vf.cli import label as cli
from pistar_vf.data.labels import describe_targets, read_value_labels
from pistar_vf.data.lerobot import LeRobotDataset, load_lerobot
from pistar_vf.errors import LabelError


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
        (-np.inf, "expected a finite value label, got -inf"),
        (0.5, r"episode 1, frame 2: expected a value label in \[-1, 0\], got 0.5 .*`pistar-vf label`"),
        (-1.5, r"expected a value label in \[-1, 0\], got -1.5"),
    ],
)
def test_bad_labels_are_located(tmp_path: Path, bad: float, message: str) -> None:
    values = [*VALUES[:6], bad, *VALUES[7:]]
    with pytest.raises(LabelError, match=message):
        read_value_labels(labels_in(tmp_path / "set", values))


def test_missing_or_unusable_column(dataset: LeRobotDataset) -> None:
    with pytest.raises(LabelError, match=r"the column 'value_label' in .*run `pistar-vf label --data_dir .*source"):
        read_value_labels(dataset)
    with pytest.raises(LabelError, match=r"one number per frame, got float32 of shape \(12, 2\)"):
        read_value_labels(dataset, "observation.state")


def test_target_summary_by_hand(tmp_path: Path) -> None:
    """12 labels: 5 at -1; -0.75, -2/3, -0.5, -1/3, -0.25 in between; 2 at 0."""
    dataset = labels_in(tmp_path / "set", VALUES)
    summary = describe_targets(read_value_labels(dataset), dataset.episodes)
    assert (summary.num_frames, summary.num_successes, summary.num_failures) == (12, 2, 1)
    expected = np.array([5, 0, 1, 1, 0, 1, 1, 1, 0, 2]) / 12
    np.testing.assert_allclose(summary.mass, expected, atol=1e-5)
    assert summary.mass_at_minus_one == pytest.approx(5 / 12)
    assert summary.warning is None
    text = str(summary).splitlines()
    assert text[0] == "value targets: 12 frames, 2 successes, 1 failures (all -1)"
    assert text[1] == "  -1.0 … -0.9   41.7%  " + "█" * 40
    assert text[2] == "  -0.9 … -0.8    0.0%"
    assert text[10] == "  -0.1 …  0.0   16.7%  " + "█" * 16
    assert text[11] == "  exactly -1 (failures): 41.7%; -0.1 … 0 (done): 16.7%"


def test_two_hot_mass_is_split_between_atoms(tmp_path: Path) -> None:
    """With 3 atoms (-1, -0.5, 0), a label of -0.75 puts half its mass on -1."""
    dataset = labels_in(tmp_path / "set", [-0.75] * 12)
    summary = describe_targets(read_value_labels(dataset), dataset.episodes, support_num_atoms=3)
    assert summary.mass_at_minus_one == pytest.approx(0.5)
    np.testing.assert_allclose(summary.mass, [0.5, 0, 0, 0, 0, 0.5, 0, 0, 0, 0])


def test_a_missing_class_is_warned_about(dataset: LeRobotDataset) -> None:
    failures = describe_targets(np.full(12, -1, np.float32), dataset.episodes)
    assert "every episode is labelled a failure" in failures.warning
    successes = describe_targets(np.zeros(12, np.float32), dataset.episodes)
    assert "no episode is labelled a failure" in successes.warning
    assert str(successes).splitlines()[-1] == f"WARNING: {successes.warning}"


def test_command_labels_and_says_what_is_next(dataset: LeRobotDataset, tmp_path: Path, capsys) -> None:
    output = tmp_path / "out"
    argv = ["--data_dir", str(dataset.root), "--output_dir", str(output), "--outcome_column", "outcome"]
    assert cli.main(argv) == output
    printed = capsys.readouterr().out.splitlines()
    assert printed[0] == "value targets: 12 frames, 2 successes, 1 failures (all -1)"
    assert printed[-1] == (
        f"labelled dataset: {output}; train on it with: "
        f"pistar-vf train --data_dir {output} --checkpoint_dir checkpoints/out"
    )


def test_command_passes_every_flag_on(tmp_path: Path) -> None:
    old = [{"adv_ind": np.array(["none"] * n), "human": np.ones(n, np.int64)} for n in LENGTHS]
    dataset = write(tmp_path / "source", old)
    (tmp_path / "o.json").write_text('{"0": "success", "1": "timeout", "2": "success"}')
    argv = ["--data_dir", str(dataset.root), "--output_dir", str(tmp_path / "out"), "--intervention_column", "human"]
    argv += ["--outcome_file", str(tmp_path / "o.json"), "--timeout_as", "failure", "--overwrite_labels"]
    copy = load_lerobot(cli.main(argv))
    np.testing.assert_array_equal(read_value_labels(copy), np.array(VALUES, np.float32))
    assert set(copy.read_column("adv_ind")) == {"positive"}
    all_failed = cli.LabelArgs(tmp_path / "source", tmp_path / "two", outcome="failure", overwrite_labels=True)
    assert set(read_value_labels(load_lerobot(cli.run(all_failed)))) == {-1.0}
