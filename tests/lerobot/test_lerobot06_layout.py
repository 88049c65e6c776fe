"""Datasets of LeRobot 0.6's layout through every command and both conversions. Oracle: the rows as written."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from support.lerobot06 import DEPTH, FRONT, WRIST, Kind, write_as_lerobot06, write_subtasks

from pistar_vf.cli.main import main
from pistar_vf.curation.convert_dataset import convert_dataset
from pistar_vf.curation.merge import merge_datasets
from pistar_vf.curation.merge.plan import MergeOptions
from pistar_vf.health import check_dataset
from pistar_vf.lerobot.dataset import LeRobotDataset, load_lerobot
from pistar_vf.recipes.label import run_label
from pistar_vf.recipes.label_config import LabelConfig
from pistar_vf.recipes.plan import plan_data
from pistar_vf.recipes.run import run_training
from pistar_vf.testing.tiny import tiny_train_config

LENGTHS = {"recorder": (7, 9), "eval": (8, 10, 6), "dagger": (14, 6, 5)}
LABELS = {
    "recorder": {"outcome": "success"},
    "eval": {"source": "lerobot_eval", "timeout_as": "bootstrap"},
    "dagger": {"source": "lerobot_dagger"},
}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("lerobot06")
    found = {kind: write_as_lerobot06(folder / kind, kind, lengths) for kind, lengths in LENGTHS.items()}
    write_subtasks(found["recorder"], ("reach", "grasp"))
    return found


@pytest.fixture(scope="module")
def labelled(made: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("labelled")
    return {kind: run_label(LabelConfig(root, folder / kind, **LABELS[kind])) for kind, root in made.items()}


def rows_of(dataset: LeRobotDataset) -> pa.Table:
    """Every row of every file, in order; the pictures of the tables included."""
    files = dict.fromkeys(episode.parquet for episode in dataset.episodes)
    return pa.concat_tables([pq.read_table(path) for path in files], promote_options="permissive")


def assert_same_rows(found: LeRobotDataset, wanted: LeRobotDataset, but: set[str] = frozenset()) -> None:
    own, expected = rows_of(found), rows_of(wanted)
    for name in set(expected.column_names) - but:
        assert repr(own[name].to_pylist()) == repr(expected[name].to_pylist()), name  # NaN is NaN
    assert set(found.camera_keys) == set(wanted.camera_keys)


@pytest.mark.parametrize("kind", LENGTHS)
def test_check(made: dict[str, Path], kind: Kind) -> None:
    report = check_dataset(made[kind], decode=True, progress=False)
    wrong = [finding for finding in report.findings if finding.severity != "note"]
    assert wrong == []
    assert report.contents is not None
    assert report.contents.proposed_source == LABELS[kind].get("source")
    if kind == "recorder":
        noted = {finding.key for finding in report.findings if finding.check == "not looked at"}
        assert noted >= {"language_persistent", "language_events"}
        assert DEPTH not in load_lerobot(made[kind]).camera_keys
        assert {FRONT, WRIST} <= set(load_lerobot(made[kind]).camera_keys)


@pytest.mark.parametrize("kind", LENGTHS)
def test_label_and_both_conversions(
    made: dict[str, Path], labelled: dict[str, Path], tmp_path: Path, kind: Kind
) -> None:
    source, copy = load_lerobot(made[kind]), load_lerobot(labelled[kind])
    assert_same_rows(copy, source, but={"intervention"})
    if kind == "dagger":
        np.testing.assert_array_equal(copy.read_column("intervention"), source.read_column("intervention").astype(int))
        assert np.isnan(copy.read_column("value_label")).all()
    old = load_lerobot(convert_dataset(copy, tmp_path / "v21", reencode=True, progress=False))
    back = load_lerobot(convert_dataset(old, tmp_path / "v30", progress=False))
    assert (old.version, back.version) == ("v2.1", "v3.0")
    for found in (old, back):
        assert_same_rows(found, copy)
        assert set(found.features) == set(copy.features)
    errors = [f for f in check_dataset(back.root, progress=False).findings if f.severity == "error"]
    assert errors == []


def test_recordings_are_merged_with_their_subtasks(labelled: dict[str, Path], tmp_path: Path) -> None:
    other = write_as_lerobot06(tmp_path / "raw", "recorder", (6,), first=3)
    write_subtasks(other, ("grasp", "lift"))
    second = load_lerobot(run_label(LabelConfig(other, tmp_path / "second", outcome="failure")))
    first = load_lerobot(labelled["recorder"])
    merged = load_lerobot(merge_datasets([first, second], tmp_path / "merged", progress=False))
    wanted = pa.concat_tables([rows_of(first), rows_of(second)], promote_options="permissive")
    for name in set(wanted.column_names) - {"index", "episode_index", "task_index", "subtask_index"}:
        assert rows_of(merged)[name].to_pylist() == wanted[name].to_pylist(), name
    words = pq.read_table(merged.root / "meta/subtasks.parquet").to_pydict()
    names = dict(zip(words["subtask_index"], words["__index_level_0__"], strict=True))
    found = [names[number] for number in merged.read_column("subtask_index").tolist()]
    expected = ["reach"] * 3 + ["grasp"] * 4 + ["reach"] * 4 + ["grasp"] * 5 + ["grasp"] * 3 + ["lift"] * 3
    assert found == expected


@pytest.fixture(scope="module")
def merged(labelled: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> LeRobotDataset:
    """Rollouts and corrections in one dataset."""
    options = MergeOptions(("next.reward=0", "next.success=0", "next.done=0"))
    both = [load_lerobot(labelled[kind]) for kind in ("eval", "dagger")]
    output = tmp_path_factory.mktemp("rollouts") / "merged"
    return load_lerobot(merge_datasets(both, output, options=options, progress=False))


def test_rollouts_and_corrections_are_trained_on_together(merged: LeRobotDataset, tmp_path: Path) -> None:
    config = tiny_train_config(merged.root, tmp_path / "run", source="lerobot_dagger", cache_dir=tmp_path / "cache")
    plan = plan_data(config)
    assert [episode.index for episode in plan.train_rows.episodes] == [0, 1, 2]
    assert [episode.index for episode in plan.timeouts.episodes] == [1]  # nobody knows how it would have gone on
    assert plan.targets.fragments == {3, 4, 5}


@pytest.mark.usefixtures("small_and_fast")
def test_train_relabel_and_both_conversions(merged: LeRobotDataset, tmp_path: Path) -> None:
    """The words are written, and everything else is what it was, in either layout."""
    options = {"source": "lerobot_dagger", "cache_dir": tmp_path / "cache"}
    checkpoint = run_training(tiny_train_config(merged.root, tmp_path / "run", **options))
    words = ["relabel", "--data_dir", merged.root, "--checkpoint_dir", checkpoint, "--output_dir", tmp_path / "new"]
    words += ["--source", "lerobot_dagger", "--cache_dir", tmp_path / "cache", "--report_dir", tmp_path / "report"]
    assert main([*map(str, words), "--num_workers", "0", "--force"]) == 0
    relabelled = load_lerobot(tmp_path / "new")
    assert_same_rows(relabelled, merged, but={"adv_ind"})
    assert set(relabelled.read_column("adv_ind")[24:38].tolist()) <= {"positive", "none"}  # the operator's window
    old = load_lerobot(convert_dataset(relabelled, tmp_path / "v21", reencode=True, progress=False))
    back = load_lerobot(convert_dataset(old, tmp_path / "v30", progress=False))
    for found in (old, back):
        assert_same_rows(found, relabelled)
