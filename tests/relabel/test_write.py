"""Labels on disk: nothing but the column changes, and everything can be taken back."""

import dataclasses
import json
import os
import shutil
import subprocess
import sys

import numpy as np
import pyarrow.parquet as pq
import pytest
from support.folders import contents
from support.places import SUPPORT, environment

from pistar_vf.changes.recovery import undo
from pistar_vf.errors import DatasetError
from pistar_vf.lerobot.dataset import load_lerobot
from pistar_vf.lerobot.rewrite import file_metadata
from pistar_vf.relabel.label import KEPT, NEGATIVE, NONE, POSITIVE, Labels
from pistar_vf.relabel.sidecar import write_sidecar
from pistar_vf.relabel.write import PROVENANCE, NewWords, write_in_place, write_new_dataset

FACTS = {"checkpoints": [{"name": "step_00000004", "sha256": "abc"}], "gate": "passed"}


@pytest.fixture
def dataset(tiny_dataset, tmp_path):
    """A copy that tests may write to; links, to see that nothing is written through them."""
    shutil.copytree(tiny_dataset, tmp_path / "rollouts", copy_function=os.link)
    return load_lerobot(tmp_path / "rollouts")


@pytest.fixture
def labels(dataset):
    rng = np.random.default_rng(0)
    code = rng.choice([NONE, NEGATIVE, POSITIVE], dataset.num_frames).astype(np.int8)
    first = dataset.episodes[0]
    code[: first.length] = KEPT
    return Labels(code, rng.normal(size=dataset.num_frames), np.zeros(1))


@pytest.fixture
def words(dataset, labels):
    return NewWords.of(dataset, labels, "adv_ind")


def test_words_of_codes(dataset, labels, words):
    first = dataset.episodes[0].length
    expected = np.array(["none", "negative", "positive"])[labels.code[first:]]
    assert words.after[first:].tolist() == expected.tolist()
    # A demonstration keeps its words; "none" becomes "positive".
    kept = words.before[:first]
    assert words.after[:first].tolist() == ["positive" if word == "none" else word for word in kept]


def test_the_diff_counts_transitions():
    words = NewWords("adv_ind", np.array(["none"] * 3, object), np.array(["positive", "none", "positive"], object))
    assert words.diff().splitlines() == [
        "adv_ind: 2 of 3 frames change",
        "      none → positive         2 frames",
        "      none → none             1 frames",
    ]


def test_a_new_dataset(dataset, words, tmp_path):
    before = contents(dataset.root)
    write_new_dataset(dataset, words, FACTS, tmp_path / "out", progress=False)
    assert contents(dataset.root) == before
    copy = load_lerobot(tmp_path / "out")
    assert copy.read_column("adv_ind").tolist() == words.after.tolist()
    for path, content in contents(tmp_path / "out").items():
        if not path.endswith(".parquet"):
            assert content == before[path]
    for old, new in zip(dataset.episodes, copy.episodes):
        assert (
            pq.read_table(new.parquet)
            .drop_columns(["adv_ind"])
            .equals(pq.read_table(old.parquet).drop_columns(["adv_ind"]))
        )
        assert json.loads(file_metadata(new.parquet)[PROVENANCE]) == FACTS
        key = dataset.camera_keys[0]
        assert os.path.samefile(copy.video_path(new, key), dataset.video_path(old, key))


def test_a_new_column_is_described(dataset, labels, tmp_path):
    words = NewWords.of(dataset, labels, "my_labels")
    write_new_dataset(dataset, words, FACTS, tmp_path / "out", progress=False)
    copy = load_lerobot(tmp_path / "out")
    assert copy.features["my_labels"] == {"dtype": "string", "shape": [1], "names": None}
    assert copy.read_column("my_labels").tolist() == words.after.tolist()
    assert "adv_ind" in copy.columns


def test_in_place_and_back(dataset, words, tiny_dataset):
    before, elsewhere = contents(dataset.root), contents(tiny_dataset)
    assert write_in_place(dataset, words, FACTS, progress=False) == len(dataset.episodes)
    assert load_lerobot(dataset.root).read_column("adv_ind").tolist() == words.after.tolist()
    assert contents(tiny_dataset) == elsewhere  # the other names of the same files
    undo(dataset.root)
    assert contents(dataset.root) == before


def test_a_second_time_changes_nothing(dataset, words):
    write_in_place(dataset, words, FACTS, progress=False)
    times = {path: path.stat().st_mtime_ns for path in dataset.root.rglob("*") if path.is_file()}
    assert write_in_place(load_lerobot(dataset.root), words, FACTS, progress=False) == 0
    assert {path: path.stat().st_mtime_ns for path in times} == times


def test_another_source_of_the_same_labels_is_recorded(dataset, words):
    write_in_place(dataset, words, FACTS, progress=False)
    assert write_in_place(load_lerobot(dataset.root), words, {**FACTS, "gate": "forced"}, progress=False) > 0


def test_the_same_run_under_another_name_adds_a_column(dataset, words):
    write_in_place(dataset, words, FACTS, progress=False)
    other = dataclasses.replace(words, column="my_labels")
    assert write_in_place(load_lerobot(dataset.root), other, FACTS, progress=False) > 0
    written = load_lerobot(dataset.root)
    assert written.read_column("my_labels").tolist() == words.after.tolist()
    assert written.read_column("adv_ind").tolist() == words.after.tolist()


def test_sidecars(dataset, words, labels, tmp_path):
    values = np.linspace(-1, 0, dataset.num_frames, dtype=np.float32)
    before = contents(dataset.root)
    files = write_sidecar(dataset, words, labels, values, FACTS, tmp_path / "out", "round1")
    assert contents(dataset.root) == before
    assert [str(file) for file in files] == ["meta/advantages_round1.parquet", "sarm_progress.parquet"]
    advantages = pq.read_table(tmp_path / "out" / files[0])
    assert advantages.column_names[:4] == ["episode_index", "frame_index", "advantage", "advantage_continuous"]
    assert advantages["advantage"].to_pylist() == [word == "positive" for word in words.after]
    np.testing.assert_allclose(advantages["advantage_continuous"].to_numpy(), labels.advantage, rtol=1e-6)
    progress = pq.read_table(tmp_path / "out" / files[1])
    assert progress.column_names == ["index", "episode_index", "frame_index", "progress_sparse"]
    assert progress["index"].to_pylist() == dataset.read_column("index").tolist()
    assert progress["frame_index"].to_pylist() == dataset.read_column("frame_index").tolist()
    assert progress["episode_index"].to_pylist() == dataset.read_column("episode_index").tolist()
    np.testing.assert_allclose(progress["progress_sparse"].to_numpy(), 1 + values, atol=1e-6)


def test_sidecars_in_the_dataset_can_be_taken_back(dataset, words, labels):
    before = contents(dataset.root)
    write_sidecar(dataset, words, labels, np.zeros(dataset.num_frames, np.float32), FACTS, None, "round1")
    assert (dataset.root / "meta" / "advantages_round1.parquet").is_file()
    undo(dataset.root)
    assert contents(dataset.root) == before


def test_a_column_that_holds_no_words_is_refused(dataset, labels):
    with pytest.raises(DatasetError, match="column 'reward': expected words, got float32"):
        NewWords.of(dataset, labels, "reward")


def test_killed_at_any_moment_the_dataset_is_old_or_new(tiny_dataset, tmp_path):
    """See kill_in_place.py, which compares all bytes after each of 50 kills."""
    script = SUPPORT / "kill_in_place.py"
    run = subprocess.run(
        [sys.executable, script, tiny_dataset, tmp_path], env=environment(), capture_output=True, text=True
    )
    assert run.returncode == 0, run.stdout + run.stderr
    assert run.stdout.startswith("50 kills")
