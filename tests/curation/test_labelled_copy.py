"""What a labelled copy adds, keeps, and never touches."""

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from support.folders import unsuitable_outputs
from support.labelled_sets import CAMERA, LENGTHS, OUTCOMES, VALUES, flags, label, write, write_unlabelled

from pistar_vf.curation import labelled_copy
from pistar_vf.curation.convert_dataset import convert_dataset
from pistar_vf.curation.labelled_copy import write_labelled_copy
from pistar_vf.errors import DatasetError, LabelError
from pistar_vf.labels.outcomes import read_outcomes
from pistar_vf.labels.value_labels import read_value_labels
from pistar_vf.lerobot.dataset import LeRobotDataset, load_lerobot
from pistar_vf.returns import RECAP_COLUMNS, Outcome


@pytest.fixture
def dataset(tmp_path: Path) -> LeRobotDataset:
    return write_unlabelled(tmp_path / "source")


def test_copy_has_the_five_columns(dataset: LeRobotDataset, tmp_path: Path) -> None:
    copy = label(dataset, tmp_path / "out")
    np.testing.assert_array_equal(read_value_labels(copy), np.array(VALUES, np.float32))
    np.testing.assert_array_equal(copy.read_column("reward"), [0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1])
    np.testing.assert_array_equal(copy.read_column("intervention"), [0, 1, 1, 0, 0, 1, 1, 0, 0, 0, 1, 1])
    assert copy.read_column("adv_ind").tolist()[:5] == ["none", "positive", "positive", "none", "none"]
    table = pq.read_table(tmp_path / "out/data/chunk-000/episode_000001.parquet")
    kinds = {name: str(table.schema.field(name).type) for name in ("intervention", "reward_label", "adv_ind")}
    assert kinds == {"intervention": "int64", "reward_label": "float", "adv_ind": "string"}


def test_outcomes_may_be_words(dataset: LeRobotDataset, tmp_path: Path) -> None:
    copy = label(dataset, tmp_path / "out", outcomes={index: str(outcome) for index, outcome in OUTCOMES.items()})
    np.testing.assert_array_equal(read_value_labels(copy), np.array(VALUES, np.float32))
    message = r"episode 1 \(.*000001.parquet\): outcome: expected one of success, .*, got 'lost'"
    with pytest.raises(LabelError, match=message):
        label(dataset, tmp_path / "two", outcomes={**OUTCOMES, 1: "lost"})
    assert not (tmp_path / "two").exists()


def test_copy_keeps_everything_else(dataset: LeRobotDataset, tmp_path: Path) -> None:
    (dataset.root / "README.md").write_text("about this dataset")
    (dataset.root / ".cache").mkdir()
    copy = label(dataset, tmp_path / "out")
    before, after = (pq.read_table(d.episodes[0].parquet) for d in (dataset, copy))
    kept = [name for name in before.column_names if name != "intervention"]
    assert after.select(kept).equals(before.select(kept))
    described = json.loads(after.schema.metadata[b"huggingface"])["info"]["features"]
    assert list(described) == after.column_names
    assert described["value_label"] == {"dtype": "float32", "_type": "Value"}
    assert described["adv_ind"] == {"dtype": "string", "_type": "Value"}
    assert set(copy.features) == set(dataset.features) | {"reward", "reward_label", "value_label", "adv_ind"}
    assert copy.features["value_label"] == {"dtype": "float32", "shape": [1], "names": None}
    for name in ("episodes.jsonl", "tasks.jsonl"):
        assert (copy.root / "meta" / name).read_bytes() == (dataset.root / "meta" / name).read_bytes()
    stats = json.loads((copy.root / "meta/episodes_stats.jsonl").read_text().splitlines()[0])["stats"]
    assert stats["value_label"]["mean"] == [pytest.approx(-0.375)]
    assert stats["observation.state"]["count"] == [4]
    assert "adv_ind" not in stats
    assert (copy.root / "README.md").read_text() == "about this dataset"
    assert not (copy.root / ".cache").exists()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["out", "source"]  # no partial folder is left


def test_other_schema_metadata_is_kept(dataset: LeRobotDataset, tmp_path: Path) -> None:
    path = dataset.episodes[0].parquet
    pq.write_table(pq.read_table(path).replace_schema_metadata({"recorder": "v7"}), path)
    copy = label(dataset, tmp_path / "out")
    assert pq.read_schema(copy.episodes[0].parquet).metadata == {b"recorder": b"v7"}


def test_videos_are_links_and_the_rest_is_not(dataset: LeRobotDataset, tmp_path: Path) -> None:
    copy = label(dataset, tmp_path / "out")
    pairs = [(d.video_path(d.episodes[1], CAMERA), d.root / "meta/tasks.jsonl") for d in (dataset, copy)]
    assert os.path.samefile(pairs[0][0], pairs[1][0])
    assert not os.path.samefile(pairs[0][1], pairs[1][1])


def test_videos_are_copied_where_links_are_impossible(dataset: LeRobotDataset, tmp_path: Path, monkeypatch) -> None:
    def refuse(*_):
        raise OSError("cross-device link")

    monkeypatch.setattr(os, "link", refuse)
    copy = label(dataset, tmp_path / "out")
    before, after = (d.video_path(d.episodes[1], CAMERA) for d in (dataset, copy))
    assert not os.path.samefile(before, after)
    assert after.read_bytes() == before.read_bytes()
    assert after.stat().st_mtime == before.stat().st_mtime


def test_a_source_of_symlinks_is_copied_and_not_written(dataset: LeRobotDataset, tmp_path: Path) -> None:
    """Download caches hold symlinks to blobs; folders may be links too, even back up."""
    linked = tmp_path / "linked"
    for path in sorted(p for p in dataset.root.rglob("*") if p.is_file() and "meta" not in p.parts):
        target = linked / path.relative_to(dataset.root)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.symlink_to(path)
    (linked / "meta").symlink_to(dataset.root / "meta")
    (linked / "up").symlink_to(linked)
    before = {p: p.read_bytes() for p in dataset.root.rglob("*") if p.is_file()}
    copy = label(load_lerobot(linked), tmp_path / "out")
    assert before == {p: p.read_bytes() for p in dataset.root.rglob("*") if p.is_file()}
    assert not [p for p in copy.root.rglob("*") if p.is_symlink()]
    assert copy.video_path(copy.episodes[2], CAMERA).is_file()
    np.testing.assert_array_equal(read_value_labels(copy), np.array(VALUES, np.float32))


def test_a_failure_on_the_way_leaves_nothing(dataset: LeRobotDataset, tmp_path: Path, monkeypatch) -> None:
    def fail(root, copy):
        assert not (tmp_path / "out").exists()
        raise OSError("disk full")

    monkeypatch.setattr(labelled_copy, "_extend_info", fail)
    with pytest.raises(OSError, match="disk full"):
        label(dataset, tmp_path / "out")
    assert [p.name for p in tmp_path.iterdir()] == ["source"]


def test_a_dataset_without_statistics_gets_none(dataset: LeRobotDataset, tmp_path: Path) -> None:
    (dataset.root / "meta/episodes_stats.jsonl").unlink()
    assert not (label(dataset, tmp_path / "out").root / "meta/episodes_stats.jsonl").exists()


def test_an_empty_output_folder_is_fine(dataset: LeRobotDataset, tmp_path: Path) -> None:
    (tmp_path / "deep" / "out").mkdir(parents=True)
    assert label(dataset, tmp_path / "deep" / "out").num_frames == 12


def test_unsuitable_output_folders(dataset: LeRobotDataset, tmp_path: Path) -> None:
    for output, message in unsuitable_outputs(dataset.root, tmp_path):
        with pytest.raises(DatasetError, match=message):
            label(dataset, output)
    assert (tmp_path / "full" / "precious").read_text() == "data"


def test_intervention_column_may_be_named_or_absent(tmp_path: Path) -> None:
    driving = [[True, False, False, True], [False] * 5, [True] * 3]
    dataset = write(tmp_path / "source", flags(*driving))
    assert label(dataset, tmp_path / "none").read_column("intervention").sum() == 0
    named = label(dataset, tmp_path / "named", intervention_column="flag").read_column("intervention")
    np.testing.assert_array_equal(named, np.concatenate(driving).astype(np.int64))
    with pytest.raises(LabelError, match=r"intervention column 'human' in .*; name one of them"):
        label(dataset, tmp_path / "out", intervention_column="human")
    with pytest.raises(LabelError, match=r"episode 0 \(.*episode_000000.parquet\): intervention: expected 0 or 1"):
        label(dataset, tmp_path / "out", intervention_column="frame_index")


def test_existing_labels_are_replaced_only_on_request(dataset: LeRobotDataset, tmp_path: Path) -> None:
    first = label(dataset, tmp_path / "first")
    with pytest.raises(LabelError, match=r"without labels, got the columns \['adv_ind', .*--overwrite_labels"):
        label(first, tmp_path / "second")
    failures = dict.fromkeys(range(3), Outcome.FAILURE)
    second = label(first, tmp_path / "second", outcomes=failures, overwrite_labels=True)
    assert set(read_value_labels(second)) == {-1.0}
    assert len(second.columns) == len(first.columns)
    np.testing.assert_array_equal(second.read_column("intervention"), first.read_column("intervention"))


def test_an_old_spelling_is_replaced_too(tmp_path: Path) -> None:
    old = [{"value_lable": np.zeros(length, np.float32)} for length in LENGTHS]
    dataset = write(tmp_path / "source", old)
    with pytest.raises(LabelError, match=r"without labels, got the columns \['value_lable'\]"):
        label(dataset, tmp_path / "out")
    copy = label(dataset, tmp_path / "out", overwrite_labels=True)
    described = json.loads(pq.read_schema(copy.episodes[0].parquet).metadata[b"huggingface"])["info"]["features"]
    stats = json.loads((copy.root / "meta/episodes_stats.jsonl").read_text().splitlines()[0])["stats"]
    for names in (copy.columns, copy.features, described, stats):
        assert "value_lable" not in names
        assert "value_label" in names


def test_timeouts_must_be_mapped(dataset: LeRobotDataset, tmp_path: Path) -> None:
    outcomes = {**OUTCOMES, 1: Outcome.TIMEOUT}
    with pytest.raises(LabelError, match=r"episode 1 \(.*\): .*what a timeout counts as"):
        label(dataset, tmp_path / "out", outcomes=outcomes)
    assert read_value_labels(label(dataset, tmp_path / "a", outcomes=outcomes, timeout_as="success"))[8] == 0
    assert read_value_labels(label(dataset, tmp_path / "b", outcomes=outcomes, timeout_as="failure"))[8] == -1


def test_what_cannot_be_labelled(dataset: LeRobotDataset, tmp_path: Path) -> None:
    with pytest.raises(LabelError, match=r"outcome for every episode, got none for episodes \[1, 2\]"):
        label(dataset, tmp_path / "out", outcomes={0: Outcome.SUCCESS})
    info = dataset.root / "meta/info.json"
    info.write_text(info.read_text().replace("v2.1", "v2.0"))
    with pytest.raises(DatasetError, match=r"expected a LeRobot v2.1 or v3.0 dataset to label, got version v2.0"):
        label(load_lerobot(dataset.root), tmp_path / "out")


def test_real_dataset(g1_dataset_path: Path, tmp_path: Path) -> None:
    """Oracle: lengths as meta/episodes.jsonl states them."""
    small = tmp_path / "g1"
    shutil.copytree(g1_dataset_path, small, ignore=shutil.ignore_patterns("*.mp4"))
    dataset = load_lerobot(small)
    copy = label(dataset, tmp_path / "out", outcomes=dict.fromkeys(range(32), Outcome.SUCCESS))
    labels = read_value_labels(copy)
    assert len(labels) == 10844
    np.testing.assert_allclose(labels[[0, 392, 393]], [-392 / 393, 0, -342 / 343], rtol=1e-6)
    before, after = (pq.read_table(d.episodes[31].parquet) for d in (dataset, copy))
    assert after.select(before.column_names).equals(before)


def test_a_copy_of_v30_is_the_conversion_of_a_copy_of_v21(tiny_dataset, tmp_path):
    """Oracle: label v2.1 and convert, against convert and label."""
    source = load_lerobot(tiny_dataset.parent / "raw")
    outcomes = read_outcomes(source, outcome_column="outcome")
    first = convert_dataset(source, tmp_path / "converted", "v3.0", progress=False)
    labelled = write_labelled_copy(
        load_lerobot(first), tmp_path / "labelled", outcomes, timeout_as="failure", progress=False
    )
    expected = load_lerobot(convert_dataset(load_lerobot(tiny_dataset), tmp_path / "expected", "v3.0", progress=False))
    found = load_lerobot(labelled)
    assert len(found.files()) == 1  # several episodes in one file
    for column in RECAP_COLUMNS:
        np.testing.assert_array_equal(found.read_column(column), expected.read_column(column))
    assert json.loads((labelled / "meta" / "stats.json").read_text()) == json.loads(
        (expected.root / "meta" / "stats.json").read_text()
    )
    own, others = (
        pq.read_table(next((root / "meta" / "episodes").glob("*/*.parquet"))) for root in (labelled, expected.root)
    )
    assert sorted(own.column_names) == sorted(others.column_names)
    assert own.select(others.column_names).to_pylist() == others.to_pylist()


def test_statistics_as_people_have_them(dataset: LeRobotDataset, tmp_path: Path) -> None:
    """Numbers as words, blank lines, and a line about an episode that is not listed."""
    path = dataset.root / "meta/episodes_stats.jsonl"
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    texts = [json.dumps(line | {"episode_index": str(line["episode_index"])}) for line in lines]
    path.write_text("\n\n".join([*texts, json.dumps(lines[0] | {"episode_index": 77})]))
    copy = label(dataset, tmp_path / "out")
    new = [json.loads(line) for line in (copy.root / "meta/episodes_stats.jsonl").read_text().splitlines()]
    assert [line["episode_index"] for line in new] == [line["episode_index"] for line in lines]
    assert all("value_label" in line["stats"] and "observation.state" in line["stats"] for line in new)
