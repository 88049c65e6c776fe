"""Metadata with any value under any key: a DatasetError that says where, or success; never other words for a prompt."""

import functools
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import hypothesis.strategies as st
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from hypothesis import HealthCheck, given, settings
from support import damages

from pistar_vf.curation.convert_dataset import convert_dataset
from pistar_vf.errors import DatasetError
from pistar_vf.health import check_dataset
from pistar_vf.lerobot.dataset import load_lerobot
from pistar_vf.lerobot.episode_stats import read_episode_stats

ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=3,
)
SIMPLE = st.none() | st.booleans() | st.integers(-(2**40), 2**40) | st.floats() | st.text(max_size=5)
QUICK = settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    derandomize=True,
)
INFO_KEYS = (
    *("codebase_version", "fps", "features", "data_path", "video_path", "chunks_size", "robot_type"),
    *("total_frames", "total_episodes", "total_tasks", "splits", "storage_format"),
)
FEATURE_KEYS = ("dtype", "shape", "names", "info", "video_info", "is_depth_map")


def _refusal(call: Callable[[], object]) -> str | None:
    try:
        call()
    except DatasetError as error:
        return str(error)
    return None


def _open(root: Path, words: tuple[str, ...]) -> None:
    """The dataset opens with prompts that are words, or is refused with the file and the key; so does `check`."""

    def prompts() -> None:
        dataset = load_lerobot(root)
        assert all(isinstance(prompt, str) and prompt not in ("None", "nan") for prompt in dataset.prompts)

    for call in (prompts, lambda: check_dataset(root, progress=False)):
        refusal = _refusal(call)
        assert refusal is None or any(word in refusal for word in words), refusal


@QUICK
@given(key=st.sampled_from(INFO_KEYS), value=ANYTHING)
def test_any_type_in_info(root, key, value):
    path = root / "meta/info.json"
    before = path.read_bytes()
    try:
        damages.edit_info(root, lambda info: info.update({key: value}))
        _open(root, (f"'{key}", f"key '{key}", key, "info.json"))
    finally:
        path.write_bytes(before)


@QUICK
@given(
    key=st.sampled_from(FEATURE_KEYS), value=ANYTHING, feature=st.sampled_from([damages.CAMERA, "observation.state"])
)
def test_any_type_in_a_feature(root, feature, key, value):
    path = root / "meta/info.json"
    before = path.read_bytes()
    try:
        damages.edit_info(root, lambda info: info["features"][feature].update({key: value}))
        _open(root, (f"features.{feature}", damages.CAMERA))
    finally:
        path.write_bytes(before)


def _restoring(root: Path, change, words: tuple[str, ...]) -> None:
    paths = [path for path in (root / "meta").rglob("*") if path.is_file()]
    before = {path: path.read_bytes() for path in paths}
    try:
        change()
        _open(root, words)
    finally:
        for path, content in before.items():
            path.write_bytes(content)


@QUICK
@given(key=st.sampled_from(["task_index", "task"]), value=SIMPLE)
def test_any_type_in_tasks(root, key, value):
    _restoring(
        root, lambda: damages.edit_tasks(root, damages.each(**{key: value})), (f"'{key}'", "task_index", "tasks.")
    )


@QUICK
@given(
    key=st.sampled_from(["episode_index", "length", "tasks"]), value=SIMPLE | st.lists(st.none() | st.text(max_size=3))
)
def test_any_type_in_episodes(root, key, value):
    if key != "tasks" and isinstance(value, list):
        value = None
    _restoring(root, lambda: damages.edit_episodes(root, damages.each(**{key: value})), (f"'{key}'", "episode"))


@QUICK
@given(key=st.sampled_from(["episode_index", "stats", "feature", "kind"]), value=ANYTHING)
def test_any_type_in_statistics(sound, key, value):
    """They are read for copies and for the report; numbers or a refusal that names the key."""
    line = {"episode_index": 0, "stats": {"action": {"min": [0.0], "max": [1.0]}}}
    places = {"feature": line["stats"], "kind": line["stats"]["action"]}
    places.get(key, line)[{"feature": "action", "kind": "min"}.get(key, key)] = value
    root = sound["v2.1"].parent / "statistics"
    (root / "meta").mkdir(parents=True, exist_ok=True)
    (root / "meta/episodes_stats.jsonl").write_text(json.dumps(line) + "\n")

    def read() -> None:
        for index, stats in read_episode_stats(root, "v2.1"):
            assert isinstance(index, int)
            for kinds in stats.values():
                assert all(np.asarray(numbers).dtype.kind in "biuf" for numbers in kinds.values())

    refusal = _refusal(read)
    assert refusal is None or "episodes_stats.jsonl:1: key '" in refusal


ODD = SIMPLE | st.lists(SIMPLE, max_size=2) | st.dictionaries(st.text(max_size=3), SIMPLE, max_size=1)
ODD |= st.sampled_from([2**63, 2**70, "1:2", "3.0", "{0}", [], [[]], {"is_depth_map": "yes"}])
GONE = object()


def _places(value: object) -> list[tuple[str | int, ...]]:
    """The way to every key of a JSON object, and to the first element of every list."""
    inner = value.items() if isinstance(value, dict) else [(0, value[0])] if isinstance(value, list) and value else ()
    return [way for key, below in inner for way in ((key,), *((key, *rest) for rest in _places(below)))]


def _put(value: object, way: tuple[str | int, ...], new: object) -> None:
    for key in way[:-1]:
        value = value[key]
    if new is GONE:
        del value[way[-1]]
    else:
        value[way[-1]] = new


def _entries(path: Path) -> list[dict]:
    if path.suffix == ".parquet":
        return pq.read_table(path).to_pylist()
    text = path.read_text(encoding="utf-8")
    return [json.loads(text)] if path.suffix == ".json" else [json.loads(line) for line in text.splitlines()]


def _write_entries(path: Path, entries: list[dict]) -> None:
    if path.suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist(entries), path)
    else:
        path.write_text("".join(json.dumps(entry) + "\n" for entry in entries), encoding="utf-8")


@settings(QUICK, max_examples=60)
@given(data=st.data(), everywhere=st.booleans(), value=ODD | st.just(GONE))
def test_any_value_under_every_key(root, data, everywhere, value):
    """It opens, is found healthy or not, and is converted; or a DatasetError says where; never with other words."""
    paths = [path for path in sorted((root / "meta").rglob("*")) if path.is_file()]
    path = data.draw(st.sampled_from(paths))
    before, entries = path.read_bytes(), _entries(path)
    way = data.draw(st.sampled_from(_places(entries[0]))) if path.suffix != ".parquet" else None
    way = way or (data.draw(st.sampled_from(list(entries[0]))),)
    other = root.with_name("converted")
    try:
        for entry in entries if everywhere else entries[:1]:
            _put(entry, way, value)
        try:
            _write_entries(path, entries)
        except (pa.ArrowException, OverflowError):
            return  # no such table can be written
        _open(root, ("meta/", "data/", "camera", "column"))
        convert = functools.partial(convert_dataset, output_dir=other, reencode=True, progress=False)
        refusal = _refusal(lambda: convert(load_lerobot(root)))
        assert refusal is None or any(word in refusal for word in ("/meta/", "/data/", "camera", "statistics of")), (
            refusal
        )
    finally:
        path.write_bytes(before)
        shutil.rmtree(other, ignore_errors=True)
