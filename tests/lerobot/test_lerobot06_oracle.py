"""Data that LeRobot 0.6 writes goes through every command, and LeRobot reads the results back equal.

What its recorder, `lerobot-eval`, the DAgger of `lerobot-rollout` and `lerobot-annotate` write: depth, pictures in the
tables, flags as bool, language columns, subtasks. LeRobot 0.6 needs Python 3.12 (constraints/lerobot.txt).
"""

import json
import warnings
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from support.lerobot06 import DEPTH, FPS, FRONT, features_of, frame_of, write_as_lerobot06, write_subtasks

from pistar_vf.cli.main import main
from pistar_vf.health import check_dataset
from pistar_vf.lerobot.dataset import load_lerobot
from pistar_vf.recipes import run
from pistar_vf.testing.tiny import tiny_train_config

try:
    installed = version("lerobot")
except PackageNotFoundError:
    installed = "none"
if not installed.startswith("0.6."):
    pytest.skip(
        f"compares with LeRobot 0.6, got {installed}: pip install 'lerobot[dataset]' -c constraints/lerobot.txt",
        allow_module_level=True,
    )

SUBTASKS = (("reach", "grasp"), ("grasp", "lift"))
NUMBERED = {"index", "episode_index", "task_index", "subtask_index"}
"""What a merge numbers anew."""


@pytest.fixture(scope="module")
def lerobot(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """Its dataset module, off the network."""
    with warnings.catch_warnings(), pytest.MonkeyPatch.context() as patch:
        warnings.simplefilter("ignore")
        patch.setenv("HF_HUB_OFFLINE", "1")
        import datasets.config
        import lerobot.datasets.lerobot_dataset as module

        patch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path_factory.mktemp("hf"))
        yield module


def record(lerobot: Any, root: Path, kind: str, lengths: tuple[int, ...], first: int = 0) -> Path:
    """A dataset by LeRobot's own writer."""
    dataset = lerobot.LeRobotDataset.create("local/toy", FPS, features_of(kind), root=root, video_backend="pyav")
    for number, length in enumerate(lengths, first):
        for t in range(length):
            dataset.add_frame(frame_of(kind, number, t, length))
        dataset.save_episode()
    dataset.finalize()
    return root


def annotate(root: Path, staging: Path) -> None:
    """Language columns by the writer of `lerobot-annotate`, and the table of subtasks that older versions wrote."""
    from lerobot.annotations.steerable_pipeline.staging import EpisodeStaging
    from lerobot.annotations.steerable_pipeline.writer import LanguageColumnsWriter, speech_atom
    from lerobot.datasets.language import language_feature_info

    records = [
        SimpleNamespace(episode_index=e.index, data_path=e.parquet, start=e.first_row)
        for e in load_lerobot(root).episodes
    ]
    for record in records:
        time = pq.read_table(record.data_path, columns=["timestamp"])["timestamp"][record.start + 1].as_py()
        rows = [
            {"role": "assistant", "content": "reach", "style": "subtask", "timestamp": 0.0, "camera": None},
            {"role": "user", "content": "no, left", "style": "interjection", "timestamp": time, "camera": None},
            speech_atom(time, "sure"),
        ]
        EpisodeStaging(staging, record.episode_index).write("plan", rows)
    LanguageColumnsWriter(drop_existing_subtask_index=False).write_all(records, staging, root)
    path = root / "meta/info.json"
    info = json.loads(path.read_text())
    info["features"] |= language_feature_info()
    path.write_text(json.dumps(info, default=list))


@pytest.fixture(scope="module")
def recorded(lerobot: Any, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("recorded")
    found = {
        "recorder": record(lerobot, folder / "recorder", "recorder", (7, 9)),
        "second": record(lerobot, folder / "second", "recorder", (6,), first=3),
        "eval": record(lerobot, folder / "eval", "eval", (8, 10, 6)),
        "dagger": record(lerobot, folder / "dagger", "dagger", (14, 6, 5)),
    }
    for number, name in enumerate(("recorder", "second")):
        write_subtasks(found[name], SUBTASKS[number])
        annotate(found[name], folder / f"staging{number}")
    return found


LABELS = {
    "recorder": ["--outcome", "success"],
    "second": ["--outcome", "failure"],
    "eval": ["--source", "lerobot_eval", "--timeout_as", "bootstrap"],
    "dagger": ["--source", "lerobot_dagger"],
}


def command(*words: object) -> None:
    main([str(word) for word in words])


@pytest.fixture(scope="module")
def labelled(recorded: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("labelled")
    for name, root in recorded.items():
        command("label", "--data_dir", root, "--output_dir", folder / name, *LABELS[name])
    return {name: folder / name for name in recorded}


def items(lerobot: Any, root: Path) -> list[dict[str, Any]]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        dataset = lerobot.LeRobotDataset("local/toy", root=root, video_backend="pyav")
        assert dataset.meta.total_frames == len(dataset)
        for key, kinds in dataset.meta.stats.items():
            assert np.isfinite(np.asarray(kinds["mean"], np.float64)).all(), key
        return [dataset[row] for row in range(len(dataset))]


def assert_same(found: Any, wanted: Any, where: str) -> None:
    if hasattr(wanted, "numpy"):
        np.testing.assert_array_equal(found.numpy(), wanted.numpy(), err_msg=where)
    else:
        assert found == wanted, where


def assert_holds(found: list[dict[str, Any]], wanted: list[dict[str, Any]], *, but: set[str] = frozenset()) -> None:
    """Row by row, every column and picture of `wanted`."""
    assert len(found) == len(wanted)
    for row, (own, item) in enumerate(zip(found, wanted, strict=True)):
        for key in item.keys() - but:
            assert_same(own[key], item[key], f"row {row}, {key}")


def subtasks(root: Path, rows: list[dict[str, Any]]) -> list[str]:
    words = pq.read_table(root / "meta/subtasks.parquet").to_pydict()
    names = dict(zip(words["subtask_index"], words["__index_level_0__"], strict=True))
    return [names[int(item["subtask_index"])] for item in rows]


def layout_of(root: Path) -> dict[str, Any]:
    """The files, the columns of the tables with their types, and what `info.json` says."""
    found: dict[str, Any] = {path.relative_to(root).as_posix(): None for path in root.rglob("*") if path.is_file()}
    for path in sorted(root.rglob("*.parquet")):
        schema = pq.read_schema(path)
        types = dict(sorted((field.name, str(field.type)) for field in schema))
        about = {key: json.loads(text) for key, text in (schema.metadata or {}).items() if key != b"ARROW:schema"}
        described = (
            list(about),
            about.get(b"huggingface", {}).get("info"),
            about.get(b"pandas", {}).get("index_columns"),
        )
        found[path.relative_to(root).as_posix()] = (types, pq.ParquetFile(path).num_row_groups, described)
    return found | {"info": json.loads((root / "meta/info.json").read_text())}


@pytest.mark.parametrize("kind", ["recorder", "eval", "dagger"])
def test_the_generated_layout_is_that_of_lerobot(
    lerobot: Any, recorded: dict[str, Path], tmp_path: Path, kind: str
) -> None:
    lengths = tuple(episode.length for episode in load_lerobot(recorded[kind]).episodes)
    made = write_as_lerobot06(tmp_path / "made", kind, lengths)
    if kind == "recorder":
        write_subtasks(made, SUBTASKS[0])
    assert layout_of(made) == layout_of(recorded[kind])
    assert_holds(items(lerobot, made), items(lerobot, recorded[kind]), but={FRONT, DEPTH})
    ours, theirs = (json.loads((root / "meta/stats.json").read_text()) for root in (made, recorded[kind]))
    assert ours.keys() == theirs.keys()
    for name in ours:
        assert ours[name].keys() == theirs[name].keys(), name
        np.testing.assert_equal(np.shape(ours[name]["mean"]), np.shape(theirs[name]["mean"]), err_msg=name)


@pytest.mark.parametrize("name", LABELS)
def test_check_finds_nothing_wrong(recorded: dict[str, Path], name: str) -> None:
    report = check_dataset(recorded[name], decode=True, progress=False)
    assert [finding for finding in report.findings if finding.severity == "error"] == []
    proposed = {"eval": "lerobot_eval", "dagger": "lerobot_dagger"}
    assert report.contents is not None
    assert report.contents.proposed_source == proposed.get(name)


@pytest.mark.parametrize("name", LABELS)
def test_labels_and_both_conversions(
    lerobot: Any, recorded: dict[str, Path], labelled: dict[str, Path], tmp_path: Path, name: str
) -> None:
    wanted = items(lerobot, recorded[name])
    assert_holds(items(lerobot, labelled[name]), wanted)
    command("convert-dataset", "--data_dir", labelled[name], "--output_dir", tmp_path / "v21", "--reencode")
    command("convert-dataset", "--data_dir", tmp_path / "v21", "--output_dir", tmp_path / "v30")
    assert load_lerobot(tmp_path / "v21").version == "v2.1"
    cameras = {key for key in (FRONT, DEPTH) if key in wanted[0]}
    back = items(lerobot, tmp_path / "v30")
    assert_holds(back, wanted, but=cameras)  # what begins between keyframes was encoded anew
    for key in cameras:
        for own, item in zip(back, wanted, strict=True):
            np.testing.assert_allclose(own[key].numpy(), item[key].numpy(), atol=0.15)


def test_recordings_are_merged(lerobot: Any, labelled: dict[str, Path], tmp_path: Path) -> None:
    parts = [labelled["recorder"], labelled["second"]]
    command("merge", *parts, "--output_dir", tmp_path / "merged")
    wanted = [item for root in parts for item in items(lerobot, root)]
    found = items(lerobot, tmp_path / "merged")
    assert_holds(found, wanted, but=NUMBERED)
    assert subtasks(tmp_path / "merged", found) == [w for root in parts for w in subtasks(root, items(lerobot, root))]
    assert [int(item["index"]) for item in found] == list(range(len(found)))


@pytest.fixture(scope="module")
def rollouts(recorded: dict[str, Path], labelled: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Rollouts and corrections in one dataset."""
    folder = tmp_path_factory.mktemp("rollouts")
    fills = [f"{name}=0" for name in ("next.reward", "next.success", "next.done")]
    command("merge", labelled["eval"], labelled["dagger"], "--output_dir", folder / "merged", "--fill", *fills)
    return folder / "merged"


@pytest.fixture(scope="module")
def trained(rollouts: Path, small_and_fast: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("trained")
    config = tiny_train_config(rollouts, folder / "run", cache_dir=folder / "cache", source="lerobot_dagger")
    return run.run_training(config)


@pytest.mark.usefixtures("small_and_fast")
def test_train_and_relabel(
    lerobot: Any, rollouts: Path, labelled: dict[str, Path], trained: Path, tmp_path: Path
) -> None:
    """Fragments are trained on by nobody; the words are written, and everything else is what LeRobot wrote."""
    spec = json.loads((trained / "value_spec.json").read_text())
    assert max(spec["dataset"]["train_episodes"]) < 3
    for name, root, flags in (
        ("rollouts", rollouts, ["--source", "lerobot_dagger"]),
        ("recorder", labelled["recorder"], []),
    ):
        words = ["--data_dir", root, "--checkpoint_dir", trained, "--output_dir", tmp_path / name, "--force", *flags]
        words += ["--cache_dir", tmp_path / "cache", "--report_dir", tmp_path / "report", "--num_workers", 0]
        command("relabel", *words)
        assert_holds(items(lerobot, tmp_path / name), items(lerobot, root), but={"adv_ind"})
    advantages = load_lerobot(tmp_path / "rollouts").read_column("adv_ind")
    assert set(advantages[24:38].tolist()) <= {"positive", "none"}  # the first window of corrections
    _assert_merged_and_converted(lerobot, [tmp_path / "recorder", labelled["second"]], tmp_path)
    _assert_merged_and_converted(lerobot, [tmp_path / "rollouts"], tmp_path / "alone")


def _assert_merged_and_converted(lerobot: Any, parts: list[Path], folder: Path) -> None:
    """What was relabelled, in one dataset, then v2.1, then v3.0: every row as it was, encoded pictures apart."""
    wanted = [item for root in parts for item in items(lerobot, root)]
    command("merge", *parts, "--output_dir", folder / "merged")
    assert_holds(items(lerobot, folder / "merged"), wanted, but=NUMBERED)
    command("convert-dataset", "--data_dir", folder / "merged", "--output_dir", folder / "old", "--reencode")
    command("convert-dataset", "--data_dir", folder / "old", "--output_dir", folder / "new")
    assert_holds(items(lerobot, folder / "new"), wanted, but={*NUMBERED, FRONT, DEPTH})
