"""`hf://owner/name`: metadata first, then the files of the episodes in use; the cache is only ever read."""

import json
import re
import shutil
import socket
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from pistar_vf.changes.transaction import Transaction
from pistar_vf.cli import check as check_command
from pistar_vf.cli.parsing import parse
from pistar_vf.errors import ConfigError, DatasetError
from pistar_vf.evaluation.config import EvalConfig
from pistar_vf.evaluation.source import open_source
from pistar_vf.health import check_dataset
from pistar_vf.lerobot.dataset import load_lerobot
from pistar_vf.lerobot.episode import EpisodeChoice
from pistar_vf.lerobot.metadata import find_dataset
from pistar_vf.recipes.config import TrainConfig
from pistar_vf.recipes.label import run_label
from pistar_vf.recipes.label_config import LabelConfig
from pistar_vf.recipes.run import run_training
from pistar_vf.relabel.config import RelabelConfig
from pistar_vf.relabel.run import run_relabel
from pistar_vf.testing.tiny import tiny_train_config

ADDRESS = "hf://org/vials"


@pytest.fixture
def served(hub, tiny_dataset):
    """The commit of the tiny dataset on the hub."""
    return hub.publish("org/vials", tiny_dataset, kind="datasets")


def episodes_downloaded(hub) -> set[int]:
    return {int(match[1]) for name in hub.downloaded() if (match := re.search(r"episode_(\d+)\.", name))}


def test_the_files_of_the_chosen_episodes_come_after_the_metadata(hub, served, tiny_dataset, tmp_path):
    dataset = load_lerobot(ADDRESS, choice=EpisodeChoice(only=(1, 3)))
    assert [episode.index for episode in dataset.episodes] == [1, 3]
    assert episodes_downloaded(hub) == {1, 3}
    cameras = len(dataset.video_keys)
    assert len([name for name in hub.downloaded() if "episode_" in Path(name).name]) == 2 * (1 + cameras)
    order = [request for request in hub.requests if request.startswith("GET /datasets")]
    last_of_meta = max(place for place, request in enumerate(order) if "/meta/" in request)
    assert last_of_meta < min(place for place, request in enumerate(order) if "/data/" in request)
    # Where LeRobot 0.6 keeps it, `HF_LEROBOT_HOME / "hub"` as the cache of snapshots.
    home = tmp_path / "home" / "hf" / "lerobot"
    assert dataset.root == home / "hub" / "datasets--org--vials" / "snapshots" / served
    assert dataset.name == "vials"
    local = load_lerobot(tiny_dataset, choice=EpisodeChoice(only=(1, 3)))
    np.testing.assert_array_equal(dataset.read_column("value_label"), local.read_column("value_label"))


def test_what_is_here_is_not_downloaded_again_and_needs_no_connection(hub, served, monkeypatch):
    load_lerobot(ADDRESS, choice=EpisodeChoice(only=(1,)))
    hub.requests.clear()
    load_lerobot(ADDRESS, choice=EpisodeChoice(only=(1, 2)))
    assert episodes_downloaded(hub) == {2}
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{closed.getsockname()[1]}")
    dataset = load_lerobot(f"{ADDRESS}@{served}", choice=EpisodeChoice(only=(1, 2)))
    assert len(dataset.episodes) == 2


def test_a_revision_has_a_snapshot_of_its_own(hub, served, tiny_dataset, tmp_path):
    older = tmp_path / "older"
    shutil.copytree(tiny_dataset, older)
    (older / "meta" / "tasks.jsonl").write_text('{"task_index": 0, "task": "as it was"}\n')
    commit = hub.publish("org/vials", older, kind="datasets", revision="v1.0")
    assert find_dataset(f"{ADDRESS}@v1.0").name == commit != served == find_dataset(ADDRESS).name
    dataset = load_lerobot(f"{ADDRESS}@v1.0", choice=EpisodeChoice(only=(0,)))
    assert dataset.tasks[0] == "as it was"


def test_shared_files_of_v30_come_whole(hub, tiny_dataset_v30):
    hub.publish("org/vials", tiny_dataset_v30, kind="datasets")
    dataset = load_lerobot(ADDRESS, choice=EpisodeChoice(only=(2,)))
    assert [episode.index for episode in dataset.episodes] == [2]
    shared = {name for name in hub.downloaded() if name.startswith(("data/", "videos/"))}
    assert len(shared) == 1 + len(dataset.video_keys)


def test_an_episode_that_the_metadata_put_into_the_file_before_is_found(hub, tiny_dataset_v30, tmp_path):
    """As LeRobot's converter writes the first episode of every further file."""
    folder = tmp_path / "misplaced"
    shutil.copytree(tiny_dataset_v30, folder)
    (path,) = (folder / "data").rglob("*.parquet")
    table = pq.read_table(path)
    last = np.asarray(table["episode_index"]) == 5
    pq.write_table(table.filter(~last), path)
    pq.write_table(table.filter(last), path.with_name("file-001.parquet"))
    hub.publish("org/vials", folder, kind="datasets")
    assert load_lerobot(ADDRESS, choice=EpisodeChoice(only=(4,))).num_frames > 0
    assert "data/chunk-000/file-001.parquet" not in hub.downloaded()
    assert [episode.index for episode in load_lerobot(ADDRESS).episodes] == [0, 1, 2, 3, 4, 5]


@pytest.mark.parametrize(
    ("address", "match"),
    [
        ("hf://org/nothing", "expected a dataset of this name on the hub, got none"),
        ("hf://org/vials@v9", "expected the revision v9, got no such branch, tag or commit"),
    ],
)
def test_a_dataset_that_is_not_there_is_a_missing_dataset(hub, served, address, match):
    with pytest.raises(DatasetError, match=match):
        load_lerobot(address)


def test_a_file_that_the_metadata_promise_is_missed(hub, tiny_dataset, tmp_path):
    folder = tmp_path / "lacking"
    shutil.copytree(tiny_dataset, folder)
    (folder / "data" / "chunk-000" / "episode_000002.parquet").unlink()
    hub.publish("org/vials", folder, kind="datasets")
    with pytest.raises(DatasetError, match=r"expected data/chunk-000/episode_000002.parquet at revision .*got none"):
        load_lerobot(ADDRESS)


@pytest.fixture
def trained(hub, served, small_and_fast, frame_cache_dir, tmp_path):
    """A run on four episodes of the hub's dataset and one held out."""
    config = tiny_train_config(
        ADDRESS, tmp_path / "run", cache_dir=frame_cache_dir, train_episodes="0-3", val_episodes="4", val_interval=4
    )
    run_training(config)
    return tmp_path / "run"


def test_a_run_takes_the_episodes_in_use_and_records_the_commit(trained, hub, served):
    """And evaluation goes on with those that the model knows, at that commit, though the branch has moved."""
    assert episodes_downloaded(hub) == {0, 1, 2, 3, 4}
    content = json.loads((trained / "settings.json").read_text())
    assert content["settings"]["data_dir"] == f"{ADDRESS}@{served}"
    assert content["revisions"] == {str(find_dataset(f"{ADDRESS}@{served}")): served}
    source = open_source(EvalConfig.of(checkpoint=trained, split="val"))
    assert source.dataset.root.name == served
    assert [episode.index for episode in source.dataset.episodes] == [0, 1, 2, 3, 4]
    assert episodes_downloaded(hub) == {0, 1, 2, 3, 4}
    named = open_source(EvalConfig.of(checkpoint=trained, split="val", data_dir=ADDRESS))
    assert len(named.dataset.episodes) == 5
    assert len(open_source(EvalConfig.of(checkpoint=trained, split="all")).dataset.episodes) == 6


def test_check_looks_at_everything(hub, served, tiny_dataset):
    report = check_dataset(ADDRESS, progress=False)
    assert report.count("error") == 0
    assert episodes_downloaded(hub) == set(range(6))
    assert report.contents.num_frames == load_lerobot(tiny_dataset).num_frames
    args = parse(check_command.CheckArgs, [ADDRESS], "pistar-vf check", bare="data_dir")
    assert args.data_dir == (ADDRESS,)


def test_labels_go_into_a_copy_and_the_cache_stays_as_it_is(hub, tiny_dataset, tmp_path):
    hub.publish("org/raw", tiny_dataset.parent / "raw", kind="datasets")
    copy = run_label(LabelConfig("hf://org/raw", tmp_path / "labelled", outcome_column="outcome", timeout_as="failure"))
    assert "value_label" in load_lerobot(copy).columns
    snapshot = find_dataset("hf://org/raw")
    assert "value_label" not in load_lerobot(snapshot).columns
    assert not any(path.is_symlink() for path in copy.rglob("*"))
    inside = snapshot.with_name("labelled")
    with pytest.raises(DatasetError, match=r"in the hub's cache, which is only ever read; pass --output_dir"):
        run_label(LabelConfig("hf://org/raw", inside, outcome="success"))


def test_relabelling_wants_a_folder_of_ones_own(hub, served, tmp_path):
    config = RelabelConfig.of(data_dir=ADDRESS, checkpoint_dir=(tmp_path / "model",))
    with pytest.raises(DatasetError, match=r"in the hub's cache, which is only ever read; pass --output_dir"):
        run_relabel(config)
    hub.requests.clear()
    with pytest.raises(DatasetError, match=r"expected a dataset of your own to change in place.*--output_dir"):
        run_relabel(config.replace(in_place=True))
    assert "data/" not in str(hub.downloaded())


def test_nothing_is_changed_in_place_in_a_cache(hub, served):
    with pytest.raises(DatasetError, match=r"expected a dataset of your own to change in place"):
        Transaction(find_dataset(ADDRESS), "relabel")


def test_only_flags_of_datasets_take_an_address():
    words = ["--data_dir", ADDRESS, "--checkpoint_dir", "run"]
    default = TrainConfig.of(data_dir="", checkpoint_dir=Path("x"))
    assert parse(TrainConfig, words, "train", default=default).data_dir == ADDRESS
    with pytest.raises(ConfigError, match=r"--checkpoint_dir hf:/.*got an address"):
        parse(TrainConfig, ["--checkpoint_dir", ADDRESS], "train", default=default)
