"""Metadata as other programs write it. Oracle: what the same values mean, written out by hand."""

import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from support import damages

from pistar_vf.errors import DatasetError
from pistar_vf.foreign_files import stand_in
from pistar_vf.lerobot.dataset import LeRobotDataset, load_lerobot
from pistar_vf.lerobot.typed_values import number, text, texts, whole_number, whole_numbers

LENGTHS = [4, 5, 3]


def _assert_unchanged(dataset: LeRobotDataset) -> None:
    assert [episode.length for episode in dataset.episodes] == LENGTHS
    assert dataset.prompts == ("push",)
    assert dataset.fps == 10
    assert all(episode.tasks in (("push",), ()) for episode in dataset.episodes)


# --- single values -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", [3, 3.0, "3", " 3 ", "3.0", "3e0"])
def test_whole_numbers(value):
    found = whole_number(value, "file", "key")
    assert (found, type(found)) == (3, int)


@pytest.mark.parametrize(
    "value", [None, True, 3.5, "three", float("nan"), "nan", float("inf"), [3], {}, "1_0", 2**70, "٣"]
)
def test_what_is_no_whole_number(value):
    with pytest.raises(DatasetError, match=r"^file: key 'key': expected a whole number, got .+; correct it there$"):
        whole_number(value, "file", "key")


def test_numbers_and_texts():
    assert (number("1.5", "f", "k"), text(b"caf\xc3\xa9", "f", "k")) == (1.5, "café")
    assert [texts(v, "f", "k") for v in (None, float("nan"), "push", ["a", "b"], ())] == [
        (),
        (),
        ("push",),
        ("a", "b"),
        (),
    ]
    for value in (None, 5, float("nan"), ["push"], b"\xff", "\ud800"):
        with pytest.raises(DatasetError, match="file: key 'task': expected text, got"):
            text(value, "file", "task")
    for value in (5, ["a", None], [["a"]], {"a": 1}):
        with pytest.raises(DatasetError, match=r"file: key 'tasks': expected (a list of texts|text), got"):
            texts(value, "file", "tasks")


def test_columns_of_whole_numbers():
    for kind in (np.int32, np.uint8, np.float32, np.float64):
        np.testing.assert_array_equal(whole_numbers(np.array([0, 2], kind), "c"), [0, 2])
    for bad in (np.array([0.5]), np.array([np.nan]), np.array(["0"], object), np.array([True])):
        with pytest.raises(DatasetError, match=r"c: expected a whole number in every row"):
            whole_numbers(bad, "c")


# --- whole files -------------------------------------------------------------------------------------------------

ENCODINGS = ("utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32")


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_unicode_in_any_form(sound, tmp_path, encoding):
    root = Path(shutil.copytree(sound["v2.1"], tmp_path / "set"))
    damages.edit_tasks(root, damages.each(task="rücke den Würfel 🧊"))
    for name in ("info.json", "tasks.jsonl", "episodes.jsonl"):
        path = root / "meta" / name
        path.write_bytes(path.read_text(encoding="utf-8").encode(encoding))
    assert load_lerobot(root).prompts == ("rücke den Würfel 🧊",)


@pytest.mark.parametrize("encoding", ["latin-1", "cp1252", "gb18030"])
def test_other_encodings_never_become_other_words(sound, tmp_path, encoding):
    root = Path(shutil.copytree(sound["v2.1"], tmp_path / "set"))
    path = root / "meta/tasks.jsonl"
    path.write_bytes('{"task_index": 0, "task": "schließe die Tür"}\n'.encode(encoding))
    with pytest.raises(DatasetError, match=r"tasks.jsonl: expected text in UTF-8, got other bytes in line 1"):
        load_lerobot(root)


@pytest.mark.parametrize(
    ("name", "line", "key"),
    [
        ("tasks.jsonl", '{"task_index": 0, "task": "push", "task": "pull"}', "task"),
        ("episodes.jsonl", '{"episode_index": 0, "tasks": ["push"], "length": 4, "length": 5}', "length"),
        ("info.json", '{"fps": 10, "fps": 20, "features": {}}', "fps"),
        ("info.json", '{"features": {"action": {"dtype": "float32", "dtype": "int64"}}}', "dtype"),
    ],
)
def test_a_key_that_occurs_twice_is_no_word(sound, tmp_path, name, line, key):
    """A parser takes the last, another the first."""
    root = Path(shutil.copytree(sound["v2.1"], tmp_path / "set"))
    (root / "meta" / name).write_text(line + "\n")
    with pytest.raises(DatasetError, match=rf"{name}.*: not valid JSON \(the key '{key}' occurs twice in one object\)"):
        load_lerobot(root)


POINTERS = {
    "info": "meta/info.json",
    "tasks": "meta/tasks.*",
    "table": "data/*/*.parquet",
    "episodes": "meta/episodes*",
}


@pytest.mark.parametrize("name", POINTERS)
def test_git_lfs_pointers_are_called_so(root, name):
    found = sorted(root.glob(POINTERS[name]))[0]
    path = sorted(found.rglob("*.parquet"))[0] if found.is_dir() else found
    path.write_bytes(damages.POINTER)
    with pytest.raises(DatasetError, match=rf"{path.name}: it is a Git LFS pointer, .* run `git lfs pull`"):
        load_lerobot(root)


@pytest.mark.parametrize(
    ("head", "words"),
    [
        (b"", "empty"),
        (damages.POINTER, "git lfs pull"),
        (b"/annex/objects/SHA256E-s12--0.mp4\n", "git annex get"),
        (b"\n <!DOCTYPE html><html>", "a web page"),
        (b"\0" * 64, "zero bytes"),
    ],
)
def test_stand_ins(head, words):
    assert words in stand_in(head)
    assert stand_in(b"PAR1") is stand_in(b'{"a": 1}') is None


def test_shards_of_the_episodes_that_differ_in_their_types(sound, tmp_path):
    """pandas makes floats of whole numbers in the one shard that has a NaN, and objects of lists."""
    root = Path(shutil.copytree(sound["v3.0"], tmp_path / "set"))
    path = root / "meta/episodes/chunk-000/file-000.parquet"
    rows = pq.read_table(path).to_pylist()
    pq.write_table(pa.Table.from_pylist(rows[:1]), path)
    floats = [{**row, "length": float(row["length"]), "episode_index": str(row["episode_index"])} for row in rows[1:2]]
    pq.write_table(pa.Table.from_pylist(floats), path.with_name("file-001.parquet"))
    bare = [{**row, "tasks": "push", "outcome": 1.0} for row in rows[2:]]
    pq.write_table(pa.Table.from_pylist(bare), path.with_name("file-002.parquet"))
    _assert_unchanged(load_lerobot(root))


OUTSIDE = [
    "/data/episode_{episode_index}",
    "../data/{episode_index}",
    "data/../../{episode_index}",
    "",
    "  ",
    "C:\\data",
]


@pytest.mark.parametrize("key", ["data_path", "video_path"])
@pytest.mark.parametrize("template", OUTSIDE)
def test_a_path_that_leaves_the_dataset_is_refused(root, key, template):
    damages.edit_info(root, lambda info: info.update({key: template}))
    with pytest.raises(DatasetError, match=rf"info.json: key '{key}': expected a path below the dataset's folder"):
        load_lerobot(root)
