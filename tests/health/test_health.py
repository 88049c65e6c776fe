"""The health report. Oracle: damage done by hand to datasets that are known to be healthy."""

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from support.labelled_sets import CAMERA, label, write_unlabelled
from support.opened_tables import tables

from pistar_vf.curation.convert_dataset import convert_dataset
from pistar_vf.errors import DatasetError
from pistar_vf.health import Finding, HealthReport, check_dataset
from pistar_vf.lerobot.dataset import load_lerobot
from pistar_vf.testing.lerobot_writer import EpisodeData, write_lerobot_v21

VIDEO = f"videos/chunk-000/{CAMERA}/episode_{{:06d}}.mp4"
TABLE = "data/chunk-000/episode_{:06d}.parquet"


@pytest.fixture(scope="module")
def healthy(tmp_path_factory) -> Path:
    """Episodes of 4, 5 and 3 frames: success, failure, success; the operator drives in frames 1 and 2 of each."""
    folder = tmp_path_factory.mktemp("health")
    return label(write_unlabelled(folder / "raw"), folder / "labelled").root


@pytest.fixture
def damaged(healthy, tmp_path) -> Path:
    return shutil.copytree(healthy, tmp_path / "damaged")


def _check(root: Path, **options) -> HealthReport:
    return check_dataset(root, progress=False, **options)


def _bad(report: HealthReport) -> list[Finding]:
    return [finding for finding in report.findings if finding.severity != "note"]


def _set(root: Path, episode: int, column: str, change: Callable[[np.ndarray], None]) -> None:
    """Changes the values of one column in place."""
    path = root / TABLE.format(episode)
    table = pq.read_table(path)
    position, kind = table.column_names.index(column), table.schema.field(column).type
    values = np.array(table[column].to_pylist())
    change(values)
    pq.write_table(table.set_column(position, column, pa.array(values.tolist(), kind)), path)


def _put(index, value) -> Callable[[np.ndarray], None]:
    return lambda values: values.__setitem__(index, value)


def _edit_info(root: Path, change: Callable[[dict], object]) -> None:
    path = root / "meta/info.json"
    info = json.loads(path.read_text())
    change(info)
    path.write_text(json.dumps(info))


def _edit_text(root: Path, name: str, old: str, new: str) -> None:
    text = (root / name).read_text()
    assert old in text
    (root / name).write_text(text.replace(old, new))


def _truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


# --- healthy datasets -------------------------------------------------------------------------------------------


def test_tables_are_opened_twice(healthy, opened):
    """Once to see what is there and once for all columns; once more by the last line."""
    check_dataset(healthy, progress=False)
    assert set(tables(load_lerobot(healthy), opened)) == {3}


@pytest.mark.parametrize("version", ["v2.1", "v3.0"])
def test_contents(healthy, tmp_path, version):
    root = healthy if version == "v2.1" else convert_dataset(load_lerobot(healthy), tmp_path / "v30", progress=False)
    report = _check(root, decode=True)
    assert report.findings == ()
    contents = report.contents
    assert (contents.version, contents.num_episodes, contents.num_frames, contents.fps) == (version, 3, 12, 10)
    assert contents.prompts == {"push": 3}
    camera = contents.cameras[CAMERA]
    files = 3 if version == "v2.1" else 1
    assert (camera.storage, camera.sizes, camera.codecs) == ("video", {"16x16": files}, {"mpeg4": files})
    assert (camera.fps, camera.num_files) == (10.0, files)
    labels = contents.labels
    assert (labels.value_column, labels.conventions) == ("value_label", ("recap",))
    assert labels.outcomes_of_labels == labels.outcomes_of_metadata == {"failure": 1, "success": 2}
    assert (labels.intervention_frames, labels.intervention_episodes, labels.demonstrations) == (6, 3, 0)
    assert contents.decoded
    assert report.count("error") == report.count("warning") == 0


def test_labels_in_frames(damaged):
    _set(damaged, 0, "value_label", _put(slice(None), [-3, -2, -1, 0]))
    _set(damaged, 1, "value_label", _put(slice(None), -9))
    _set(damaged, 2, "value_label", _put(slice(None), [-2, -1, 0]))
    report = _check(damaged)
    assert report.contents.labels.conventions == ("nttg",)
    assert report.contents.labels.outcomes_of_labels == {"failure": 1, "success": 2}
    assert [(f.severity, f.problem) for f in report.findings] == [
        ("note", "the value labels count frames to the end; failures are -9")
    ]
    _set(damaged, 2, "value_label", _put(1, -1.5))
    report = _check(damaged)
    errors = [f for f in report.findings if f.severity == "error"]
    assert [(f.check, f.episode, f.frame) for f in errors] == [("value labels", i, 0) for i in range(3)]
    assert [f.advice for f in report.findings if f.check == "convention"] == [
        "they cannot be trained on; see 'Conventions' in the documentation of the data"
    ]


def test_demonstrations_are_told_from_rollouts(damaged):
    _set(damaged, 0, "intervention", _put(slice(None), 1))
    _set(damaged, 1, "intervention", _put(slice(None), 0))
    labels = _check(damaged).contents.labels
    assert (labels.intervention_frames, labels.intervention_episodes, labels.demonstrations) == (4 + 0 + 2, 2, 1)


def test_the_real_dataset_is_healthy(g1_dataset_path):
    report = _check(g1_dataset_path)
    assert _bad(report) == []
    assert (report.contents.num_episodes, report.contents.num_frames) == (32, 10844)
    camera = report.contents.cameras["observation.images.cam_high"]
    assert (camera.sizes, camera.codecs, camera.fps) == ({"480x640": 32}, {"av1": 32}, 30.0)
    assert report.contents.prompts == {"Pick up the yellow bottle on the table.": 32}
    assert report.contents.labels.value_column is None


def test_nothing_is_changed(healthy):
    before = {path: path.stat().st_mtime_ns for path in healthy.rglob("*")}
    _check(healthy, decode=True)
    assert {path: path.stat().st_mtime_ns for path in healthy.rglob("*")} == before


# --- one kind of damage at a time -------------------------------------------------------------------------------

DAMAGES = {
    "episode_index": (
        lambda root: _set(root, 1, "episode_index", _put(2, 7)),
        ("error", "episode_index", TABLE.format(1), 1, "episode_index", 2),
        r"expected 1, got 7 \(1 frames of the episode\)",
    ),
    "frame_index": (
        lambda root: _set(root, 1, "frame_index", _put(slice(3, 5), 9)),
        ("error", "frame_index", TABLE.format(1), 1, "frame_index", 3),
        r"expected 3, got 9 \(2 frames",
    ),
    "index": (
        lambda root: _set(root, 2, "index", _put(0, 0)),
        ("warning", "index", TABLE.format(2), 2, "index", 0),
        "expected 9, got 0",
    ),
    "timestamps do not grow": (
        lambda root: _set(root, 1, "timestamp", _put(3, 0.2)),
        ("warning", "timestamps grow", TABLE.format(1), 1, "timestamp", 3),
        "expected times that grow, got 0.2 s after 0.2 s",
    ),
    "timestamps jump": (
        lambda root: _set(root, 1, "timestamp", _put(4, 0.9)),
        ("warning", "timestamp spacing", TABLE.format(1), 1, "timestamp", 4),
        r"expected a step of 0.100000 s \(10 fps\), got 0.600000 s",
    ),
    "timestamps jitter": (
        lambda root: _set(root, 1, "timestamp", _put(4, 0.401)),
        ("warning", "timestamp spacing", TABLE.format(1), 1, "timestamp", 4),
        "got 0.101000 s",
    ),
    "timestamps start late": (
        lambda root: _set(root, 2, "timestamp", _put(slice(None), [1.0, 1.1, 1.2])),
        ("warning", "timestamp start", TABLE.format(2), 2, "timestamp", 0),
        "expected the first at 0 s, got 1 s",
    ),
    "nan": (
        lambda root: _set(root, 1, "observation.state", _put((2, 1), np.nan)),
        ("error", "finite numbers", TABLE.format(1), 1, "observation.state", 2),
        r"expected finite numbers, got \[ ?4\. +nan\] \(1 frames",
    ),
    "inf": (
        lambda root: _set(root, 1, "reward", _put(4, np.inf)),
        ("warning", "finite numbers", TABLE.format(1), 1, "reward", 4),
        "expected finite numbers, got inf",
    ),
    "value label out of range": (
        lambda root: _set(root, 1, "value_label", _put(3, -1.5)),
        ("error", "value labels", TABLE.format(1), 1, "value_label", 3),
        r"expected a value in \[-1, 0\], got -1.5",
    ),
    "value label nan": (
        lambda root: _set(root, 0, "value_label", _put(slice(None), np.nan)),
        ("error", "value labels", TABLE.format(0), 0, "value_label", 0),
        r"got nan \(4 frames of the episode\)",
    ),
    "convention": (
        lambda root: _set(root, 0, "value_label", _put(slice(None), -0.5)),
        ("warning", "convention", None, None, "value_label", None),
        "none of the known conventions",
    ),
    "outcome": (
        lambda root: _edit_text(root, "meta/episodes.jsonl", '"failure"', '"success"'),
        ("error", "outcomes agree", None, 1, "value_label", None),
        r"expected the labels of a success \(key 'outcome'\), got those of a failure",
    ),
    "outcome missing": (
        lambda root: _edit_text(root, "meta/episodes.jsonl", '"outcome": "failure"', '"other": 1'),
        ("warning", "outcomes", None, None, "outcome", None),
        "got none for episode 1",
    ),
    "intervention": (
        lambda root: _set(root, 2, "intervention", _put(1, 2)),
        ("error", "interventions", TABLE.format(2), 2, "intervention", 1),
        "expected 0 or 1, got 2",
    ),
    "task_index": (
        lambda root: _set(root, 2, "task_index", _put(1, 4)),
        ("error", "task_index", TABLE.format(2), 2, "task_index", 1),
        r"expected one of the tasks \[0\], got 4",
    ),
    "prompts of the metadata": (
        lambda root: _edit_text(root, "meta/tasks.jsonl", "push", "pull"),
        ("warning", "prompts agree", TABLE.format(0), 0, "task_index", None),
        r"expected the prompts of the metadata, \['push'\], got \['pull'\]",
    ),
    "empty prompt": (
        lambda root: [_edit_text(root, f"meta/{name}.jsonl", '"push"', '" "') for name in ("tasks", "episodes")],
        ("error", "empty prompt", None, None, None, None),
        "3 episodes have an empty prompt",
    ),
    "totals": (
        lambda root: _edit_info(root, lambda info: info.update(total_episodes=5)),
        ("warning", "totals", None, None, "total_episodes", None),
        "expected 3, got 5",
    ),
    "feature without a column": (
        lambda root: _edit_info(root, lambda info: info["features"].update(ghost={"dtype": "int64", "shape": [1]})),
        ("warning", "features", TABLE.format(0), None, "ghost", None),
        "describes a column that the tables do not have",
    ),
    "column without a feature": (
        lambda root: _edit_info(root, lambda info: info["features"].pop("reward")),
        ("warning", "features", TABLE.format(0), None, "reward", None),
        "the tables have a column that meta/info.json does not describe",
    ),
    "dtype": (
        lambda root: _edit_info(root, lambda info: info["features"]["observation.state"].update(dtype="float64")),
        ("warning", "features", TABLE.format(0), None, "observation.state", None),
        r"expected float64 \(meta/info.json\), got float32",
    ),
    "no statistics": (
        lambda root: (root / "meta/episodes_stats.jsonl").unlink(),
        ("warning", "statistics", None, 0, None, None),
        "meta/episodes_stats.jsonl: no statistics of 3 episodes, the first is 0",
    ),
    "damaged statistics": (
        lambda root: (root / "meta/episodes_stats.jsonl").write_text("{"),
        ("warning", "statistics", None, None, None, None),
        "not valid JSON",
    ),
    "statistics of a feature": (
        lambda root: _edit_text(root, "meta/episodes_stats.jsonl", '"reward"', '"rewards"'),
        ("warning", "statistics", None, None, "reward", None),
        "some episodes have none of this feature",
    ),
    "video missing": (
        lambda root: (root / VIDEO.format(1)).unlink(),
        ("error", "video", VIDEO.format(1), 1, CAMERA, None),
        "no video at",
    ),
    "video cut short": (
        lambda root: _truncate(root / VIDEO.format(1)),
        ("error", "video", VIDEO.format(1), 1, CAMERA, None),
        "cannot be read",
    ),
    "video of another episode": (
        lambda root: shutil.copy(root / VIDEO.format(0), root / VIDEO.format(1)),
        ("error", "number of frames", VIDEO.format(1), 1, CAMERA, None),
        r"expected 5 frames \(rows of the table\), got 4",
    ),
    "no template for videos": (
        lambda root: _edit_info(root, lambda info: info.update(video_path=None)),
        ("error", "video", None, None, CAMERA, None),
        "there is no 'video_path'",
    ),
    "stated size": (
        lambda root: _edit_info(root, lambda info: info["features"][CAMERA].update(shape=[16, 32, 3])),
        ("warning", "sizes of pictures", None, None, CAMERA, None),
        r"expected 16x32 \(meta/info.json\), got 16x16 in 3 files",
    ),
    "no picture": (
        lambda root: _edit_info(root, lambda info: info["features"][CAMERA].update(shape=[16, 16, 5])),
        ("warning", "sizes of pictures", None, None, CAMERA, None),
        r"expected a shape \[height, width, 3\]",
    ),
    "stated fps": (
        lambda root: _edit_info(root, lambda info: info["features"][CAMERA]["info"].update({"video.fps": 30})),
        ("warning", "frames per second", None, None, CAMERA, None),
        "expected 10 fps, got 30 in the description of the camera",
    ),
}


@pytest.mark.parametrize("name", DAMAGES)
def test_damage_is_found_where_it_is(damaged, name):
    damage, expected, problem = DAMAGES[name]
    damage(damaged)
    found = _bad(_check(damaged))
    assert expected in [(f.severity, f.check, f.file, f.episode, f.key, f.frame) for f in found]
    finding = next(f for f in found if (f.severity, f.check, f.key) == (expected[0], expected[1], expected[4]))
    assert re.search(problem, finding.problem)
    assert finding.advice


@pytest.mark.parametrize(
    ("stated", "shown"), [("libsvtav1", "libsvtav1"), (["h264"], "['h264']"), ({"name": 1}, "{'name': 1}"), (7, "7")]
)
def test_codec_that_is_stated_but_not_real_is_noted(damaged, stated, shown):
    _edit_info(damaged, lambda info: info["features"][CAMERA]["info"].update({"video.codec": stated}))
    (finding,) = _check(damaged).findings
    assert (finding.severity, finding.problem) == ("note", f"meta/info.json says {shown}, 3 files are mpeg4")


@pytest.mark.parametrize("dtype", ["1:2", "(", "i4,f4", "datetime64[s]", ""])
def test_a_dtype_that_is_no_number_is_read_as_none(damaged, dtype):
    _edit_info(damaged, lambda info: info["features"]["timestamp"].update(dtype=dtype))
    assert [f for f in _check(damaged).findings if f.severity == "error"] == []


def test_frame_rate_of_the_video(damaged):
    """At 25 fps, frame 1 is at 0.04 s; the video shows it at 0.1 s, and so do the rows until they are dropped."""
    _edit_info(damaged, lambda info: info.update(fps=25))
    assert {f.check for f in _bad(_check(damaged))} == {"timestamp spacing", "frames per second"}
    for path in sorted((damaged / "data").rglob("*.parquet")):
        pq.write_table(pq.read_table(path).drop_columns(["timestamp"]), path)
    findings = [f for f in _check(damaged).findings if f.check == "times of frames"]
    assert [(f.severity, f.episode, f.frame) for f in findings] == [("error", i, 1) for i in range(3)]
    assert findings[0].problem == "expected at 0.0400 s (25 fps), got 0.1000 s (the video)"


def test_timeouts_without_labels(damaged):
    """NaN labels are meant where the outcome is a time-out, and worth a warning where nobody says."""
    _set(damaged, 1, "value_label", _put(slice(None), np.nan))
    _edit_text(damaged, "meta/episodes.jsonl", '"failure"', '"timeout"')
    report = _check(damaged)
    assert _bad(report) == []
    assert report.contents.labels.outcomes_of_labels == {"success": 2, "timeout": 1}
    for outcome in ("success", "timeout"):
        _edit_text(damaged, "meta/episodes.jsonl", f'"outcome": "{outcome}"', '"other": 1')
    (finding,) = _bad(_check(damaged))
    assert (finding.severity, finding.check, finding.episode) == ("warning", "value labels", 1)
    assert "got NaN in all frames" in finding.problem


# --- what only several episodes show ----------------------------------------------------------------------------


def _toy(root: Path, tasks: list[str], states: list[np.ndarray], **options) -> Path:
    episodes = [
        EpisodeData({"observation.state": s, "value_label": np.full(len(s), -1, np.float32)}, _pictures(len(s)), task)
        for task, s in zip(tasks, states)
    ]
    return write_lerobot_v21(root, episodes, fps=10, storage="image", **options)


def _pictures(length: int) -> dict[str, np.ndarray]:
    return {CAMERA: np.zeros((length, 16, 16, 3), np.uint8)}


def _states(*seeds: int) -> list[np.ndarray]:
    states = [np.random.default_rng(seed).normal(size=(4, 3)).astype(np.float32) for seed in seeds]
    return [np.concatenate([state, np.full((4, 1), 2, np.float32)], 1) for state in states]


def test_duplicates(tmp_path):
    findings = _bad(_check(_toy(tmp_path / "toy", ["push"] * 4, _states(0, 1, 0, 2))))
    assert [(f.check, f.episode, f.problem) for f in findings] == [
        ("duplicate", 2, "the same numbers as episode 0 in observation.state")
    ]


def test_robots_that_stand_still_are_no_duplicates(tmp_path):
    still = [np.zeros((4, 2), np.float32)] * 3
    assert _bad(_check(_toy(tmp_path / "toy", ["push"] * 3, still))) == []


def test_spelling_of_prompts(tmp_path):
    report = _check(_toy(tmp_path / "toy", ["Push it", "push  it", "push it ", "pull"], _states(0, 1, 2, 3)))
    (finding,) = _bad(report)
    assert finding.problem == "expected one spelling, got 'Push it' and 'push  it' and 'push it '"
    assert report.contents.prompts == {"Push it": 1, "push  it": 1, "push it ": 1, "pull": 1}


def test_several_and_unused_prompts_are_noted(tmp_path):
    root = _toy(tmp_path / "toy", [["push", "push", "pull", "pull"], "push"], _states(0, 1))
    with (root / "meta/tasks.jsonl").open("a") as file:
        file.write('{"task_index": 2, "task": "lift"}\n')
    report = _check(root)
    notes = {f.check: f.problem for f in report.findings if f.severity == "note"}
    assert notes["several prompts"] == "2 prompts in one episode"
    assert notes["unused prompts"] == "no frame has the prompt 'lift'"
    assert report.contents.prompts == {"push": 2, "pull": 1}


def test_constant_dimensions(tmp_path):
    root = _toy(tmp_path / "toy", ["push"] * 2, _states(0, 1))
    assert _check(root).contents.constant_dimensions == {"observation.state": ["3"]}
    _edit_info(root, lambda info: info["features"]["observation.state"].update(names=[["x", "y", "z", "grip"]]))
    report = _check(root)
    assert report.contents.constant_dimensions == {"observation.state": ["3 (grip)"]}
    problems = [f.problem for f in report.findings if f.check == "constant dimensions"]
    assert problems == ["1 of 4 dimensions never change: 3 (grip)"]


def test_vectors_of_several_sizes(tmp_path):
    root = _toy(tmp_path / "toy", ["push"] * 3, _states(0, 1, 2))
    path = root / TABLE.format(1)
    table = pq.read_table(path)
    short = pa.array([row[:2] for row in table["observation.state"].to_pylist()], pa.list_(pa.float32(), 2))
    pq.write_table(table.set_column(table.column_names.index("observation.state"), "observation.state", short), path)
    (finding,) = _bad(_check(root))
    assert (finding.check, finding.episode, finding.key) == ("size of vectors", 1, "observation.state")
    assert finding.problem == "expected 4 numbers as in other episodes, got 2"


def test_only_failures_are_noted(tmp_path):
    notes = [f for f in _check(_toy(tmp_path / "toy", ["push"], _states(0))).findings if f.check == "outcomes"]
    assert [f.problem for f in notes] == ["every episode is labelled a failure"]


def test_labels_that_are_no_numbers(tmp_path):
    columns = {"value_label": np.array(["low"] * 4), "observation.state": _states(0)[0]}
    root = write_lerobot_v21(tmp_path / "toy", [EpisodeData(columns, _pictures(4), "push")], fps=10, storage="image")
    (finding,) = _bad(_check(root))
    assert finding.problem == "expected one number per frame, got object of shape (4,)"


# --- datasets that are refused ----------------------------------------------------------------------------------


def test_a_refused_dataset_is_checked_all_the_same(damaged):
    """Everything at once: nothing hides what comes after it."""
    (damaged / TABLE.format(0)).unlink()
    table = pq.read_table(damaged / TABLE.format(1))
    pq.write_table(table.slice(0, 4), damaged / TABLE.format(1))
    _set(damaged, 2, "observation.state", _put((0, 0), np.nan))
    (damaged / VIDEO.format(2)).unlink()
    report = _check(damaged)
    errors = [(f.check, f.episode) for f in report.findings if f.severity == "error"]
    assert errors[:3] == [("loading", None), ("table", 0), ("episode length", 1)]
    assert set(errors[3:]) == {("finite numbers", 2), ("number of frames", 1), ("video", 2)}
    assert report.findings[0].problem.startswith("the dataset is refused: ")
    assert report.contents.num_episodes == 2
    assert "expected 5 rows (meta/episodes.jsonl), got 4" in [f.problem for f in report.findings]


def test_an_episode_that_is_listed_twice(damaged):
    with (damaged / "meta/episodes.jsonl").open("a") as file:
        file.write('{"episode_index": 1, "tasks": ["push"], "length": 5}\n')
    report = _check(damaged)
    assert ("episode list", 1) in [(f.check, f.episode) for f in report.findings]
    assert report.contents.num_episodes == 3


def test_no_task_table(damaged):
    (damaged / "meta/tasks.jsonl").unlink()
    checks = [(f.check, f.episode) for f in _check(damaged).findings if f.severity == "error"]
    assert checks == [("loading", None), ("tasks", None), *(("task_index", i) for i in range(3))]


def test_without_the_list_of_episodes_every_file_is_looked_at(damaged):
    (damaged / "meta/episodes.jsonl").unlink()
    _truncate(damaged / VIDEO.format(1))
    report = _check(damaged)
    assert report.contents is None
    assert [(f.check, f.file) for f in report.findings] == [("loading", None), ("file", VIDEO.format(1))]


def test_damaged_metadata_of_v30(healthy, tmp_path):
    root = convert_dataset(load_lerobot(healthy), tmp_path / "v30", progress=False)
    (root / "meta/episodes/chunk-000/file-000.parquet").write_bytes(b"PAR1")
    _truncate(root / "data/chunk-000/file-000.parquet")
    report = _check(root)
    assert report.contents is None
    assert [(f.check, f.file) for f in report.findings] == [
        ("loading", None),
        ("file", "data/chunk-000/file-000.parquet"),
    ]


def test_missing_stats_of_v30(healthy, tmp_path):
    root = convert_dataset(load_lerobot(healthy), tmp_path / "v30", progress=False)
    (root / "meta/stats.json").unlink()
    (finding,) = _bad(_check(root))
    assert finding.problem == "no meta/stats.json"


def test_a_column_that_one_file_lacks(damaged):
    path = damaged / TABLE.format(1)
    pq.write_table(pq.read_table(path).drop_columns(["reward"]), path)
    (finding,) = _bad(_check(damaged))
    assert (finding.severity, finding.check, finding.file, finding.key) == (
        "warning", "partial column", TABLE.format(1), "reward",
    )  # fmt: skip
    assert "1 of 3 files lack it" in finding.problem


def test_what_cannot_be_read_at_all(tmp_path):
    with pytest.raises(DatasetError, match="no dataset"):
        _check(tmp_path / "nowhere")
    with pytest.raises(DatasetError, match=r"no meta/info.json; expected the root folder"):
        _check(tmp_path)


# --- decoding ---------------------------------------------------------------------------------------------------


def test_only_decoding_sees_into_the_pictures(tmp_path):
    frames = np.full((4, 16, 16, 3), 90, np.uint8)
    episodes = [EpisodeData({"observation.state": np.arange(4.0) * i}, {CAMERA: frames}, "push") for i in range(1, 4)]
    root = write_lerobot_v21(tmp_path / "toy", episodes, fps=10, storage="image")
    cells = pq.read_table(root / TABLE.format(1))
    pictures = cells[CAMERA].to_pylist()
    pictures[2]["bytes"] = pictures[2]["bytes"][:40]
    column = pa.array(pictures, cells.schema.field(CAMERA).type)
    pq.write_table(cells.set_column(cells.column_names.index(CAMERA), CAMERA, column), root / TABLE.format(1))
    report = _check(root)
    assert _bad(report) == []
    assert not report.contents.decoded
    assert report.contents.cameras[CAMERA].storage == "image"
    (finding,) = _bad(_check(root, decode=True))
    assert (finding.severity, finding.check, finding.episode, finding.key) == ("error", "decoding", 1, CAMERA)
    assert "row 2: cannot decode the image" in finding.problem


def test_decoding_goes_on_after_damage(damaged):
    """Half of the small file is cut off inside its header, the other is not there."""
    _truncate(damaged / VIDEO.format(1))
    (damaged / VIDEO.format(0)).unlink()
    found = [(f.check, f.episode, f.key) for f in _bad(_check(damaged, decode=True))]
    assert found == [(check, episode, CAMERA) for check in ("video", "decoding") for episode in (0, 1)]


def test_places_in_words():
    assert Finding("note", "c", "p", "a", "f.mp4", 3, "key", 0).place == "f.mp4, episode 3, key, frame 0"
    assert Finding("note", "c", "p", "a").place == ""
