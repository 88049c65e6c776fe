"""Columns kept from the pass that opens the files: the same values, one open per file, bounded memory."""

import pickle

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from support.opened_tables import tables

from pistar_vf.errors import DatasetError
from pistar_vf.lerobot import kept_columns
from pistar_vf.lerobot.dataset import load_lerobot
from pistar_vf.lerobot.episode import EpisodeChoice
from pistar_vf.lerobot.parquet import scan_parquet
from pistar_vf.testing.lerobot_writer import EpisodeData, write_lerobot_v21


@pytest.mark.parametrize("layout", ["tiny_dataset", "tiny_dataset_v30"])
def test_the_same_values_and_one_open_per_file(layout, opened, request):
    root = request.getfixturevalue(layout)
    plain = load_lerobot(root)
    expected = {name: plain.read_column(name) for name in plain.columns}
    chosen = (plain.episodes[4], plain.episodes[1])
    some = plain.read_column("observation.state", chosen)
    digests, prompts = plain.content_digests, plain.prompt_index()
    opened.clear()
    kept = load_lerobot(root, read_ahead=("action",))
    for name, values in expected.items():
        np.testing.assert_array_equal(kept.read_column(name), values)
    np.testing.assert_array_equal(kept.read_column("observation.state", chosen), some)
    assert kept.content_digests == digests
    np.testing.assert_array_equal(kept.prompt_index(), prompts)
    assert set(tables(kept, opened)) == {1}


def test_without_reading_ahead_every_column_opens_the_files_again(tiny_dataset, opened):
    """What the test above counts is really counted."""
    dataset = load_lerobot(tiny_dataset)
    dataset.read_column("value_label")
    dataset.read_column("reward_label")
    assert set(tables(dataset, opened)) == {3}


def test_wide_columns_are_not_kept_unasked(tiny_dataset, opened):
    dataset = load_lerobot(tiny_dataset, read_ahead=())
    dataset.read_column("observation.state")
    assert set(tables(dataset, opened)) == {1}
    dataset.read_column("action")
    assert set(tables(dataset, opened)) == {2}


def test_what_does_not_fit_is_read_again(tiny_dataset, opened, monkeypatch):
    """265 frames: the state (and the words) are too wide, numbers of at most 8 bytes fit."""
    monkeypatch.setattr(kept_columns, "_MOST_BYTES", 265 * 8 * 9)
    dataset = load_lerobot(tiny_dataset, read_ahead=("action",))
    dataset.read_column("task_index")
    assert set(tables(dataset, opened)) == {1}
    assert dataset.read_column("observation.state").shape == (265, 6)
    assert set(tables(dataset, opened)) == {2}


def test_what_was_dropped_is_not_read_from_further_files(tiny_dataset, monkeypatch):
    """The state and the action are, for the digests."""
    scans = []
    monkeypatch.setattr(kept_columns, "_MOST_BYTES", 1)
    monkeypatch.setattr(kept_columns, "scan_parquet", lambda *args: scans.append(scan_parquet(*args)) or scans[-1])
    load_lerobot(tiny_dataset, read_ahead=())
    assert {"observation.state", "action"} < scans[0].columns.keys()
    assert set(scans[-1].columns) == {"observation.state", "action"}


def test_some_episodes_of_a_dataset(tiny_dataset_v30, opened):
    """The digests are those of the chosen ones, under their numbers."""
    everything = load_lerobot(tiny_dataset_v30).content_digests
    opened.clear()
    dataset = load_lerobot(tiny_dataset_v30, choice=EpisodeChoice(only=(1, 4)), read_ahead=())
    assert dataset.content_digests == {1: everything[1], 4: everything[4]}
    assert set(tables(dataset, opened)) == {1}


def test_a_column_that_cannot_be_read_is_named_by_who_asks_for_it(tmp_path):
    """Lists of several lengths: nobody is in the way of who does not need them."""
    columns = {"observation.state": np.zeros((4, 2), np.float32), "value_label": np.zeros(4, np.float32)}
    root = write_lerobot_v21(tmp_path / "set", [EpisodeData(columns, {}, "push")], fps=10)
    path = load_lerobot(root).episodes[0].parquet
    table = pq.read_table(path)
    ragged = [[0.0, 1.0]] * 3 + [[0.0]]
    position = table.schema.names.index("observation.state")
    pq.write_table(table.set_column(position, "observation.state", pa.array(ragged)), path)
    dataset = load_lerobot(root, read_ahead=())
    assert dataset.read_column("value_label").tolist() == [0.0] * 4
    with pytest.raises(DatasetError, match=r"column 'observation.state': expected lists of one length"):
        dataset.read_column("observation.state")
    assert dataset.content_digests == {}


def test_a_process_that_decodes_gets_none_of_it(tiny_dataset, opened):
    dataset = load_lerobot(tiny_dataset, read_ahead=())
    assert len(pickle.dumps(dataset)) < 1.1 * len(pickle.dumps(load_lerobot(tiny_dataset)))
    opened.clear()
    pickle.loads(pickle.dumps(dataset)).read_column("value_label")
    assert set(tables(dataset, opened)) == {1}
