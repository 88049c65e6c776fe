"""A sample of episodes is scored once more as a trembling camera shows them; kept, and nothing else is touched."""

import numpy as np
import pytest
from support.rollout_sets import flags, make_rollouts

from pistar_vf.frames.trembling import TremblingFrames
from pistar_vf.inference.predict import FramePredictor, frame_source
from pistar_vf.lerobot.dataset import load_lerobot
from pistar_vf.relabel import second_look
from pistar_vf.relabel.config import RelabelConfig
from pistar_vf.relabel.models import load_scoring_models
from pistar_vf.relabel.run import run_relabel
from pistar_vf.relabel.second_look import look_again, sample_episodes
from pistar_vf.returns import Outcome

WON, LOST, UNKNOWN = Outcome.SUCCESS, Outcome.FAILURE, Outcome.TIMEOUT


def test_unseen_successes_and_failures_of_every_task():
    """Ten of each outcome in task 0, the first two seen; in task 1 a demonstration, a time-out and one success."""
    outcomes = [WON] * 10 + [LOST] * 10 + [WON, UNKNOWN, WON]
    rollouts = make_rollouts(
        [3] * 23, outcomes, tasks=[0] * 20 + [1] * 3, intervention=flags((60, 63), (66, 67), size=69)
    )
    seen = np.isin(np.arange(23), [0, 1])
    # Of ten, eight evenly spread: 0 … 9 in steps of 9/7.
    assert sample_episodes(rollouts, seen).tolist() == [2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 13, 14, 15, 16, 18, 19, 22]
    assert sample_episodes(rollouts, np.ones(23, bool)).tolist() == []


@pytest.fixture(scope="module")
def dataset(tiny_dataset):
    return load_lerobot(tiny_dataset)


@pytest.fixture(scope="module")
def model(trained_run, dataset):
    return load_scoring_models([trained_run.checkpoint], dataset)[0]


@pytest.mark.usefixtures("small_and_fast")
def test_scored_as_seen_and_kept(dataset, model, frame_cache_dir, tmp_path, monkeypatch):
    spec, chosen = model.predictor.spec, [dataset.episodes[1], dataset.episodes[4]]
    opened = {"cache_dir": frame_cache_dir, "num_workers": 0}
    found = look_again(dataset, [model], spec.camera_keys, tmp_path / "view", chosen, batch_size=8, **opened)
    assert found.by == "another view"
    table = frame_source(model.predictor, dataset, **opened).table(chosen)
    rows = np.concatenate([np.arange(e.start, e.start + e.length) for e in chosen])
    seen = TremblingFrames(table).gather(rows).observation
    expected = model.predictor.predict_observation(seen).value
    np.testing.assert_allclose(found.value[rows], expected, atol=1e-6)
    assert np.isnan(np.delete(found.value, rows)).all()
    as_they_are = np.concatenate([v for v, _ in FramePredictor(model.predictor, 8).values(table, rows)])
    assert (as_they_are != found.value[rows]).any()

    monkeypatch.setattr(second_look, "FramePredictor", None)  # nothing is computed twice
    again = look_again(dataset, [model], spec.camera_keys, tmp_path / "view", chosen[:1], **opened)
    np.testing.assert_array_equal(again.value[rows[: chosen[0].length]], found.value[rows[: chosen[0].length]])
    assert np.isnan(again.value[rows[-1]])


@pytest.mark.usefixtures("small_and_fast")
def test_relabel_asks_whether_labels_repeat(tiny_dataset, trained_run, frame_cache_dir, tmp_path):
    """Of the episodes that training held out, where there are any; of what it has seen nobody asks."""
    config = RelabelConfig.of(
        data_dir=str(tiny_dataset),
        checkpoint_dir=(trained_run.checkpoint,),
        report_dir=tmp_path / "report",
        cache_dir=frame_cache_dir,
        num_workers=0,
        lookahead=5,
        dry_run=True,
    )
    gate = run_relabel(config, progress=False).gate
    asked = {criterion.name: criterion for criterion in gate.criteria}
    assert gate.num_judged > 0
    assert "labels repeat" in asked
    assert "another view" in asked["labels repeat"].found or "no success" in asked["labels repeat"].found
