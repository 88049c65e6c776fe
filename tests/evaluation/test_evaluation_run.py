"""An evaluation of a checkpoint: the model's figures are those of its predictions, beside three baselines."""

import dataclasses
import json
import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from support.plain_values import plain_values

from pistar_vf.categorical import Support
from pistar_vf.errors import ConfigError, DatasetError, LabelError
from pistar_vf.evaluation import fitted_on
from pistar_vf.evaluation import frames as evaluated_frames
from pistar_vf.evaluation.baselines import state_tree_baseline
from pistar_vf.evaluation.config import EvalConfig
from pistar_vf.evaluation.episode_scores import MEASURES
from pistar_vf.evaluation.fitted_on import FittedOn
from pistar_vf.evaluation.frames import EvaluatedFrames, score_trees
from pistar_vf.evaluation.run import run_eval
from pistar_vf.frames import shards
from pistar_vf.frames.open_table import read_state
from pistar_vf.inference.predict import FramePredictor, frame_source
from pistar_vf.inference.predictor import load_value_model
from pistar_vf.labels.split import select_episodes
from pistar_vf.labels.value_labels import read_value_labels
from pistar_vf.lerobot.dataset import LeRobotDataset, load_lerobot

pytestmark = pytest.mark.usefixtures("small_and_fast")

ALL = [0, 1, 2, 3, 4, 5]


@pytest.fixture(scope="module")
def config(trained_run, frame_cache_dir):
    return EvalConfig.of(checkpoint=trained_run.checkpoint, split="all", cache_dir=frame_cache_dir, num_workers=0)


@pytest.fixture(scope="module")
def dataset(tiny_dataset):
    return load_lerobot(tiny_dataset)


@pytest.fixture(scope="module")
def found(config):
    """The evaluation of all episodes, in shards and groups of one or two of them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shards, "_SHARD_FRAMES", 60)
        patch.setattr(evaluated_frames, "_GROUP_FRAMES", 60)
        return run_eval(config, progress=False)


@pytest.fixture(scope="module")
def plain(config, trained_run, dataset):
    """The same model, all frames in one call."""
    return plain_values(load_value_model(trained_run.checkpoint), dataset, read_value_labels(dataset), config.cache_dir)


def figures(evaluation, name="model") -> dict[str, float]:
    return dict(zip(MEASURES, evaluation.scores[name].figures()))


def test_the_model_is_scored_by_what_it_predicts(found, plain, dataset):
    own, error = figures(found), plain.value - plain.target
    assert own["mae"] == pytest.approx(np.abs(error).mean(), abs=1e-5)
    assert own["mse"] == pytest.approx(np.square(error).mean(), abs=1e-5)
    late = [plain.value[e.start : e.start + e.length][-(e.length // 4) :].mean() for e in dataset.episodes]
    np.testing.assert_allclose(found.scores["model"].late_value, late, atol=1e-5)
    target = two_hot(plain.target)
    loss = -(target * plain.log_probs).sum(axis=1)
    entropy = -(target * np.log(np.where(target > 0, target, 1.0))).sum(axis=1)
    assert own["loss"] == pytest.approx(loss.mean(), abs=1e-4)
    assert own["kl"] == pytest.approx((loss - entropy).mean(), abs=1e-4)
    nearest = np.take_along_axis(plain.log_probs, target.argmax(axis=1)[:, None], axis=1)
    for name, k in (("top1", 1), ("top5", 5)):
        assert own[name] == pytest.approx(((plain.log_probs > nearest).sum(axis=1) < k).mean(), abs=1e-4)


def two_hot(target):
    hot, position = np.zeros((len(target), 201)), (target + 1) * 200
    lower = np.minimum(position.astype(int), 199)
    hot[np.arange(len(target)), lower] = 1 - (position - lower)
    hot[np.arange(len(target)), lower + 1] = position - lower
    return hot


def test_the_facts(found, trained_run, dataset):
    trained = load_value_model(trained_run.checkpoint).spec.trained_on.datasets[0].train
    assert found.facts["num_trained_on"] == found.facts["num_baseline_episodes"] == len(trained) == 5
    assert [about["episode_index"] for about in found.episodes] == ALL
    assert [about["episode_index"] for about in found.episodes if about["trained_on"]] == list(trained)
    outcomes = ["success" if e.metadata["outcome"] == "success" else "failure" for e in dataset.episodes]
    assert [about["outcome"] for about in found.episodes] == outcomes
    assert found.scores["model"].num_frames.tolist() == [episode.length for episode in dataset.episodes]


def test_every_nth_frame(config, plain, dataset):
    own = run_eval(config.replace(frame_skip=3), progress=False)
    kept = np.concatenate([np.arange(episode.length) % 3 == 0 for episode in dataset.episodes])
    error = np.abs(plain.value - plain.target)[kept].mean()
    assert figures(own)["mae"] == pytest.approx(error, abs=1e-5)
    assert own.scores["clock"].num_frames.sum() == own.scores["trees"].num_frames.sum() == kept.sum()


def test_the_constant_baseline_by_hand(found, dataset, trained_run):
    """Its loss, recomputed from the histogram of the training targets."""
    labels = read_value_labels(dataset).astype(np.float64)
    trained = load_value_model(trained_run.checkpoint).spec.trained_on.datasets[0].train
    train = np.concatenate(
        [labels[e.start : e.start + e.length] for e in select_episodes(dataset.episodes, trained, "x")]
    )

    probs = (two_hot(train).sum(0) + 1 / 201) / (len(train) + 1)
    own = figures(found, "constant")
    assert own["loss"] == pytest.approx(-(two_hot(labels) @ np.log(probs)).mean(), rel=1e-4)
    assert own["mae"] == pytest.approx(np.abs(labels - probs @ np.linspace(-1, 0, 201)).mean(), abs=1e-5)
    assert (own["auc"], own["spearman"]) == (0.5, 0.0)


def test_the_clock_knows_more_than_the_constant(found):
    assert figures(found, "clock")["mae"] < figures(found, "constant")["mae"] - 0.02
    assert np.isfinite(found.scores["clock"].figures()).all()


def test_the_trees(found, dataset, trained_run):
    labels, state = read_value_labels(dataset), read_state(dataset, "observation.state")
    trained = load_value_model(trained_run.checkpoint).spec.trained_on.datasets[0].train
    rows = np.concatenate([np.arange(e.start, e.start + e.length) for e in dataset.episodes if e.index in trained])
    value = state_tree_baseline(state[rows], labels[rows], state)
    own = figures(found, "trees")
    assert own["mae"] == pytest.approx(np.abs(value - labels).mean(), abs=1e-5)
    undefined = [name for name in MEASURES if np.isnan(own[name])]
    assert undefined == ["loss", "kl", "top1", "top5", "coverage_50", "coverage_90"]


def test_the_json_file(config, tmp_path, capsys, found):
    path = tmp_path / "folder" / "eval.json"
    run_eval(config.replace(output=path), progress=False)
    assert capsys.readouterr().out.rstrip().endswith(f"result: {path}")
    content = json.loads(path.read_text())
    assert content["split"] == "all"
    assert list(content["figures"]) == ["model", "constant", "clock", "trees"]
    for name, own in content["figures"].items():
        assert list(own) == list(MEASURES)
        for measure, value in figures(found, name).items():
            if np.isnan(value):
                assert own[measure] == {"value": None, "low": None, "high": None}
            else:
                assert own[measure]["value"] == pytest.approx(value, abs=1e-3)
                low, high = own[measure]["low"], own[measure]["high"]
                assert (low is None and high is None) or low <= high
    assert content["tasks"]["model"][0].keys() >= {"task", "successes", "failures", "auc", "auc_last", "concordance"}
    assert 0 < content["auc_p_value"] <= 1
    first = content["episodes"][0]
    assert first["mae"] == pytest.approx(found.scores["model"].take(np.array([0])).figures()[4], abs=1e-6)
    assert (
        first["num_frames"]
        == load_lerobot(load_value_model(config.checkpoint).spec.trained_on.datasets[0].path).episodes[0].length
    )


def test_what_a_blank_camera_costs(config, found, dataset, tmp_path, capsys):
    """The figures of the same frames with one lens covered, found here by blackening the pictures by hand."""
    path = tmp_path / "eval.json"
    own = run_eval(config.replace(blank_cameras=True, frame_skip=4, output=path), progress=False)
    plain = run_eval(config.replace(frame_skip=4), progress=False)
    np.testing.assert_array_equal(own.scores["model"].figures(), plain.scores["model"].figures())
    predictor = load_value_model(config.checkpoint)
    keys = [key for key in predictor.spec.camera_keys.values() if key]
    assert list(own.blanked) == list(json.loads(path.read_text())["blank_cameras"]) == keys
    labels = read_value_labels(dataset)
    table = frame_source(predictor, dataset, labels=labels, cache_dir=config.cache_dir, num_workers=0).table()
    rows = np.concatenate([np.arange(e.start, e.start + e.length, 4) for e in dataset.episodes])
    for name, key in predictor.spec.camera_keys.items():
        dark = {**table.cameras, name: np.zeros_like(table.cameras[name])}
        value = FramePredictor(predictor, 8).metrics(dataclasses.replace(table, cameras=dark), rows)["value"]
        np.testing.assert_allclose(own.blanked[key].value, value, atol=1e-7)
        # Four steps of training move V little; but it moves by more than its rounding.
        assert np.abs(value - own.scores["model"].value).mean() > 5e-7
    out = " ".join(capsys.readouterr().out.split())
    assert "the same frames with one camera black" in out


def test_the_val_part_of_a_checkpoint_without_a_test_part(config, capsys):
    own = run_eval(config.replace(split="test"), progress=False)
    out = capsys.readouterr().out
    assert (own.facts["split"], own.facts["num_trained_on"], len(own.episodes)) == ("val", 0, 1)
    assert "labelled, val: 1 episodes" in out
    assert "it looks better" not in out


def test_timeouts_are_left_out_and_counted(config, tiny_dataset, dataset, trained_run, capsys):
    trained = load_value_model(trained_run.checkpoint).spec.trained_on.datasets[0].train
    raw = tiny_dataset.parent / "raw"
    own = run_eval(config.replace(data_dir=str(raw), outcome_column="outcome"), progress=False)
    timeouts = [e.index for e in dataset.episodes if e.metadata["outcome"] == "timeout"]
    assert len(timeouts) > 0
    assert own.facts["num_timeouts_left_out"] == len(timeouts)
    assert [about["episode_index"] for about in own.episodes] == [i for i in ALL if i not in timeouts]
    out = " ".join(capsys.readouterr().out.split())
    assert f"{len(timeouts)} time-outs are left out" in out
    # The dataset before it was labelled, under another name: the episodes are recognised by their content.
    assert own.facts["num_trained_on"] == len(set(trained) - set(timeouts)) > 0
    assert "clock" in own.scores


def test_other_data_is_compared_with_baselines_of_the_checkpoints_own(config, found, tiny_dataset, monkeypatch, capsys):
    """Nobody knows its training episodes; here, as it is of another name and without digests."""
    monkeypatch.setattr(LeRobotDataset, "content_digests", {})
    raw = tiny_dataset.parent / "raw"
    own = run_eval(config.replace(data_dir=str(raw), outcome_column="outcome"), progress=False)
    assert own.facts["num_trained_on"] == 0
    assert (own.facts["baseline_dataset"], own.facts["num_baseline_episodes"]) == (
        "labelled",
        found.facts["num_baseline_episodes"],
    )
    rows = [about["episode_index"] for about in own.episodes]  # without the time-outs, of which raw data says so
    for name in ("constant", "clock", "trees"):  # the same states and times under another name
        np.testing.assert_allclose(own.scores[name].late_value, found.scores[name].late_value[rows])
    out = " ".join(capsys.readouterr().out.split())
    assert "episodes of labelled, the checkpoint's own training set" in out


def test_other_data_has_no_baselines_where_the_checkpoints_own_has_gone(config, tiny_dataset, monkeypatch):
    def gone(path):
        raise DatasetError(f"{path}: expected a dataset")

    monkeypatch.setattr(LeRobotDataset, "content_digests", {})
    monkeypatch.setattr(fitted_on, "find_dataset", gone)
    raw = tiny_dataset.parent / "raw"
    own = run_eval(config.replace(data_dir=str(raw), outcome_column="outcome"), progress=False)
    assert list(own.scores) == ["model"]
    assert own.missing["clock"].startswith("the checkpoint's own training set cannot be read: ")


def test_a_checkpoint_of_several_datasets_has_no_training_set(config, trained_run):
    spec = load_value_model(trained_run.checkpoint).spec
    several = dataclasses.replace(spec, trained_on=dataclasses.replace(spec.trained_on, datasets=()))
    with pytest.raises(ConfigError, match="does not lead to one dataset that it was trained on"):
        fitted_on.own_training_set(config, several)


def test_without_scikit_learn_the_other_baselines_remain(config, monkeypatch, capsys):
    reason = "pip install -e '.[baselines]'"

    def refuse(*_):
        raise ConfigError(reason)

    monkeypatch.setattr(evaluated_frames, "state_tree_baseline", refuse)
    own = run_eval(config.replace(frame_skip=20), progress=False)
    assert list(own.scores) == ["model", "constant", "clock"]
    assert own.missing == {"trees": reason}
    assert f"no trees: {reason}" in capsys.readouterr().out  # brackets are no markup


def test_no_trees_without_a_state(dataset):
    strata = {episode.index: ("success", "") for episode in dataset.episodes}
    labels = np.zeros(265, np.float32)
    frames = EvaluatedFrames(dataset, dataset.episodes, labels, strata, Support())
    with pytest.raises(ConfigError, match="labelled has no column 'pose'"):
        score_trees(frames, FittedOn(dataset, dataset.episodes, labels, strata), "pose")


def test_no_frame_at_all(config):
    with pytest.raises(ConfigError, match=r"--frame_skip: expected 1 \(every frame\) or more, got 0"):
        run_eval(config.replace(frame_skip=0))


def test_a_folder_is_no_place_for_the_figures(config, tmp_path):
    with pytest.raises(ConfigError, match=r"--output .*: expected a file to write, got a folder"):
        run_eval(config.replace(output=tmp_path, checkpoint=tmp_path / "never looked for"))


def test_bad_labels_write_nothing(config, tiny_dataset, tmp_path):
    copy = Path(shutil.copytree(tiny_dataset, tmp_path / "labelled"))
    file = sorted(copy.rglob("*.parquet"))[0]
    table = pq.read_table(file)
    index = table.schema.get_field_index("value_label")
    bad = pa.array(np.full(len(table), 0.5, np.float32))
    file.unlink()
    pq.write_table(table.set_column(index, "value_label", bad), file)
    with pytest.raises(LabelError, match=r"expected a value label in \[-1, 0\], got 0.5"):
        run_eval(config.replace(data_dir=str(copy), output=tmp_path / "eval.json"))
    assert not (tmp_path / "eval.json").exists()
