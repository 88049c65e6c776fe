"""Labels in the consumers' forms. Oracles: each consumer's own rule, written here from its description."""

import json

import numpy as np
import pyarrow.parquet as pq
import pytest

from pistar_vf.changes.recovery import undo
from pistar_vf.cli.main import main
from pistar_vf.errors import ConfigError, LabelError
from pistar_vf.exports.indicator import read_indicator
from pistar_vf.exports.prompts import drop_some
from pistar_vf.exports.run import ExportConfig, run_export
from pistar_vf.exports.sidecars import chunk_progress
from pistar_vf.health import check_dataset
from pistar_vf.lerobot.dataset import load_lerobot
from pistar_vf.relabel.write import NewWords, label_provenance, write_new_dataset

PROVENANCE = {"checkpoints": [{"name": "step_00000004"}], "thresholds": {"a": 0.25, "b": -0.5}}


def labelled(source, folder, words):
    """A copy of a dataset with given words in adv_ind."""
    dataset = load_lerobot(source)
    before = np.full(dataset.num_frames, "none", object)
    write_new_dataset(dataset, NewWords("adv_ind", before, words), PROVENANCE, folder, progress=False)
    return folder


def random_words(dataset, choices, seed=0):
    return np.random.default_rng(seed).choice(np.array(choices, object), dataset.num_frames)


@pytest.fixture(scope="module", params=["v2.1", "v3.0"])
def relabelled(request, tiny_dataset, tiny_dataset_v30, tmp_path_factory):
    """A dataset with random labels, some of them none; read-only."""
    source = tiny_dataset if request.param == "v2.1" else tiny_dataset_v30
    words = random_words(load_lerobot(source), ["positive", "negative", "none"])
    return labelled(source, tmp_path_factory.mktemp("relabelled") / "set", words)


@pytest.fixture(scope="module")
def complete(tiny_dataset, tmp_path_factory):
    """Every frame labelled; read-only."""
    words = random_words(load_lerobot(tiny_dataset), ["positive", "negative"], seed=1)
    return labelled(tiny_dataset, tmp_path_factory.mktemp("complete") / "set", words)


def task_of_every_frame(dataset):
    return [dataset.tasks[int(index)] for index in dataset.read_column("task_index")]


@pytest.mark.parametrize(("style", "joint"), [("comma", ", "), ("line", "\n")])
def test_prompts_say_what_the_label_says(relabelled, tmp_path, style, joint):
    source = load_lerobot(relabelled)
    copy = load_lerobot(run_export(ExportConfig(str(relabelled), "prompts", tmp_path / "copy", prompt_style=style)))
    words = source.read_column("adv_ind")
    expected = [
        task if word == "none" else f"{task}{joint}Advantage: {word}"
        for task, word in zip(task_of_every_frame(source), words)
    ]
    assert task_of_every_frame(copy) == expected
    for name in source.columns:
        if name != "task_index":
            np.testing.assert_array_equal(copy.read_column(name), source.read_column(name), err_msg=name)


def test_the_metadata_of_the_copy_follows(relabelled, tmp_path):
    copy = load_lerobot(run_export(ExportConfig(str(relabelled), "prompts", tmp_path / "copy")))
    tasks = task_of_every_frame(copy)
    assert json.loads((copy.root / "meta" / "info.json").read_text())["total_tasks"] == len(set(tasks))
    for episode in copy.episodes:
        assert set(episode.tasks) == set(tasks[episode.start : episode.start + episode.length])
    assert [finding for finding in check_dataset(copy.root).findings if finding.severity == "error"] == []


def test_a_copy_leaves_the_source_alone(relabelled, tmp_path):
    before = {path: path.read_bytes() for path in relabelled.rglob("*") if path.is_file()}
    run_export(ExportConfig(str(relabelled), "prompts", tmp_path / "copy"))
    assert {path: path.read_bytes() for path in relabelled.rglob("*") if path.is_file()} == before


def test_dropout_takes_a_share_of_the_words_away(complete, tmp_path):
    indicator = np.ones(10_000, np.int64)
    assert abs((drop_some(indicator, 0.3, seed=0) == 0).mean() - 0.3) < 0.02
    copy = load_lerobot(run_export(ExportConfig(str(complete), "prompts", tmp_path / "copy", dropout=0.5, seed=3)))
    plain = np.mean(["Advantage" not in task for task in task_of_every_frame(copy)])
    assert 0.3 < plain < 0.7
    with pytest.raises(ConfigError, match=r"dropout: expected a share of at least 0 and below 1, got 1\.0"):
        drop_some(indicator, 1.0, seed=0)


def rabc_weights(table, chunk_size, kappa=0.01, epsilon=1e-6):
    """RA-BC's weights as SARM (arXiv 2509.25358, equations 8 and 9) and LeRobot's loader define them."""
    index, episode = (table[name].to_numpy() for name in ("index", "episode_index"))
    progress = table["progress_sparse"].to_numpy()
    end = {e: index[episode == e].max() for e in np.unique(episode)}
    place = {i: row for row, i in enumerate(index)}
    later = [place[min(i + chunk_size, end[e])] for i, e in zip(index, episode)]
    gain = progress[later] - progress
    mean, std = max(gain.mean(), 0.0), max(gain.std(), epsilon)
    soft = np.clip((gain - (mean - 2 * std)) / (4 * std + epsilon), 0, 1)
    return np.where(gain > kappa, 1.0, np.where(gain >= 0, soft, 0.0))


@pytest.mark.parametrize("chunk_size", [1, 7, 50, 500])
def test_reward_aligned_cloning_weighs_by_the_labels(complete, tmp_path, chunk_size):
    folder = run_export(ExportConfig(str(complete), "rabc", tmp_path / "rabc", chunk_size=chunk_size))
    table = pq.read_table(folder / "sarm_progress.parquet")
    assert table.schema.metadata[b"reward_model_path"] == b"step_00000004"
    dataset = load_lerobot(complete)
    positive = dataset.read_column("adv_ind") == "positive"
    inner = np.ones(dataset.num_frames, bool)
    inner[[episode.start + episode.length - 1 for episode in dataset.episodes]] = False  # a last frame gains nothing
    np.testing.assert_array_equal(rabc_weights(table, chunk_size)[inner], positive[inner].astype(float))


def test_progress_by_hand():
    """Chunks of two over five frames: each frame's change over two frames, or up to the last, is what was asked."""
    np.testing.assert_allclose(chunk_progress(np.array([1.0, -1.0, 1.0, 1.0, 9.0]), 2), [0.0, 2.0, 1.0, 1.0, 2.0])


def test_rlinf_finds_every_frame(complete, tmp_path):
    yaml = pytest.importorskip("yaml", reason="RLinf reads its configuration with PyYAML")
    folder = run_export(ExportConfig(str(complete), "rlinf", tmp_path / "rlinf", tag="round_1"))
    table = pq.read_table(folder / "meta" / "advantages_round_1.parquet")
    keys = zip(table["episode_index"].to_pylist(), table["frame_index"].to_pylist())
    lookup = dict(zip(keys, table["advantage"].to_pylist()))
    dataset = load_lerobot(complete)
    words = dataset.read_column("adv_ind")
    for episode in dataset.episodes:
        for frame in range(episode.length):
            assert lookup[episode.index, frame] == (words[episode.start + frame] == "positive")
    config = yaml.safe_load((folder / "meta" / "mixture_config.yaml").read_text())
    assert config["tags"]["round_1"]["unified_threshold"] == 0.25
    assert config["tags"]["round_1"]["positive_quantile"] == pytest.approx((words == "positive").mean())
    assert (config["global_return_min"], config["global_return_max"]) == (-1.0, 0.0)


def test_sample_weights_leave_out_what_has_no_label(relabelled, tmp_path):
    folder = run_export(ExportConfig(str(relabelled), "weights", tmp_path / "weights"))
    table = pq.read_table(folder / "sample_weights.parquet")
    found = dict(zip(table["index"].to_pylist(), table["weight"].to_pylist()))
    dataset = load_lerobot(relabelled)
    index, words = dataset.read_column("index"), dataset.read_column("adv_ind")
    assert found == {int(i): float(w == "positive") for i, w in zip(index, words) if w != "none"}


def test_files_in_the_dataset_can_be_taken_back(complete, tmp_path):
    copy = labelled(complete, tmp_path / "own", load_lerobot(complete).read_column("adv_ind"))
    before = {p.relative_to(copy): p.read_bytes() for p in copy.rglob("*.parquet")}
    assert main(["export", "--data_dir", str(copy), "--to", "weights", "--in_place"]) == 0
    assert (copy / "sample_weights.parquet").is_file()
    undo(copy)
    assert {p.relative_to(copy): p.read_bytes() for p in copy.rglob("*.parquet") if ".pistar" not in str(p)} == before


def test_provenance_is_that_of_the_labels(complete):
    assert label_provenance(load_lerobot(complete)) == PROVENANCE


class TestRefusals:
    def test_no_labels(self, complete, tmp_path):
        none = labelled(complete, tmp_path / "none", np.full(load_lerobot(complete).num_frames, "none", object))
        with pytest.raises(LabelError, match="says 'none' in every frame; label the dataset"):
            read_indicator(load_lerobot(none))

    def test_no_column(self, complete):
        with pytest.raises(LabelError, match=r"expected the column 'better', got .*label the dataset"):
            read_indicator(load_lerobot(complete), "better")

    def test_other_words(self, complete, tmp_path):
        words = random_words(load_lerobot(complete), ["good", "bad"])
        with pytest.raises(LabelError, match=r"expected none, negative, positive, got \['bad', 'good'\]"):
            read_indicator(load_lerobot(labelled(complete, tmp_path / "odd", words)))

    def test_a_frame_without_a_label_has_no_progress(self, relabelled, tmp_path):
        with pytest.raises(LabelError, match=r"episode \d+, frame \d+: expected a label in every frame, got 'none'"):
            run_export(ExportConfig(str(relabelled), "rabc", tmp_path / "rabc", chunk_size=8))
        assert not (tmp_path / "rabc").exists()

    @pytest.mark.parametrize(
        ("settings", "message"),
        [
            ({"to": "rabc"}, "--to rabc: expected --chunk_size"),
            ({"to": "rabc", "chunk_size": 0}, "chunk_size: expected the policy's chunk size, at least 1, got 0"),
            ({"to": "prompts", "in_place": True}, "--in_place: expected --to rlinf, rabc or weights"),
        ],
    )
    def test_settings(self, complete, tmp_path, settings, message):
        with pytest.raises(ConfigError, match=message):
            run_export(ExportConfig(str(complete), **settings))

    def test_an_output_folder_that_is_there(self, complete, tmp_path, capsys):
        (tmp_path / "there").mkdir()
        (tmp_path / "there" / "file").touch()
        words = ["export", "--data_dir", str(complete), "--to", "prompts", "--output_dir", str(tmp_path / "there")]
        assert main([*words, "--prompt_style", "line", "--dropout", "0.3", "--seed", "1", "--adv_col", "adv_ind"]) == 2
        assert "there" in capsys.readouterr().err
