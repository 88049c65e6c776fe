"""Digests of episodes: what they cover, and that they survive everything that only moves data about."""

import hashlib
import shutil

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from support.opened_tables import tables

from pistar_vf.curation.convert_dataset import convert_dataset
from pistar_vf.curation.merge import merge_datasets
from pistar_vf.lerobot.content import episode_digest
from pistar_vf.lerobot.dataset import load_lerobot
from pistar_vf.testing.lerobot_writer import EpisodeData, write_lerobot_v21


def written(folder, columns, lengths=(4, 3), seed=0):
    """A dataset without pictures, its columns filled at random: name to numbers per frame."""
    rng = np.random.default_rng(seed)
    episodes = [
        EpisodeData(
            task="push",
            columns={name: rng.normal(size=(length, width)).astype(np.float32) for name, width in columns.items()},
            images={},
        )
        for length in lengths
    ]
    return load_lerobot(write_lerobot_v21(folder, episodes, fps=10))


def test_the_definition():
    """Oracle: the bytes of the module's docstring, put together here by hand."""
    state, action = [[1.0, 2.0], [3.0, 4.0], [0.5, 0.0]], [[-1.0], [0.0], [2.0]]
    text = b"3\nstate2\n" + np.array(state, "<f4").tobytes() + b"action1\n" + np.array(action, "<f4").tobytes()
    expected = hashlib.sha256(text).hexdigest()[:32]
    assert episode_digest({"state": np.array(state), "action": np.array(action)}) == expected
    assert episode_digest({"state": np.array(state), "action": np.array(action)[:, 0]}) == expected


@pytest.mark.parametrize("columns", [{"observation.state": 2, "action": 3}, {"state": 2, "actions": 3}])
def test_of_a_dataset(columns, tmp_path):
    dataset = written(tmp_path / "set", columns)
    state, action = (dataset.read_column(name) for name in columns)
    assert dataset.content_digests == {
        0: episode_digest({"state": state[:4], "action": action[:4]}),
        1: episode_digest({"state": state[4:], "action": action[4:]}),
    }


def test_state_alone_is_enough(tmp_path):
    dataset = written(tmp_path / "set", {"observation.state": 2})
    assert dataset.content_digests[1] == episode_digest({"state": dataset.read_column("observation.state")[4:]})


def test_without_state_and_action_there_is_none(tmp_path):
    assert written(tmp_path / "set", {"observation.force": 2}).content_digests == {}


def test_values_that_cannot_be_read_are_said(tmp_path, caplog):
    dataset = written(tmp_path / "set", {"observation.state": 2})
    path = dataset.episodes[1].parquet
    table = pq.read_table(path)
    ragged = pa.array([[0.0]] * 2 + [[0.0, 1.0]])
    pq.write_table(table.set_column(table.schema.names.index("observation.state"), "observation.state", ragged), path)
    assert load_lerobot(dataset.root).content_digests == {}
    assert "known by their numbers alone, as their content cannot be read" in caplog.text
    assert "episode_000001.parquet: column 'observation.state': expected lists of one length" in caplog.text


def test_copies_have_the_same(tiny_dataset, tiny_dataset_v30, tmp_path):
    """Of the unlabelled original, the labelled one, both layouts, a renamed copy, there and back, and merged."""
    labelled = load_lerobot(tiny_dataset)
    digests = labelled.content_digests
    assert len(set(digests.values())) == 6
    shutil.copytree(tiny_dataset, tmp_path / "renamed")
    back = convert_dataset(load_lerobot(tiny_dataset_v30), tmp_path / "back", progress=False)
    for other in (tiny_dataset.parent / "raw", tiny_dataset_v30, tmp_path / "renamed", back):
        assert load_lerobot(other).content_digests == digests
    merge_datasets([labelled, load_lerobot(tmp_path / "renamed")], tmp_path / "merged", progress=False)
    twice = {**digests, **{index + 6: digest for index, digest in digests.items()}}
    assert load_lerobot(tmp_path / "merged").content_digests == twice


def test_each_table_is_read_once(tiny_dataset, opened):
    dataset = load_lerobot(tiny_dataset)
    opened.clear()
    assert dataset.content_digests is dataset.content_digests
    assert set(tables(dataset, opened)) == {1}
