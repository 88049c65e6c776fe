"""The measures of the report are those of `pistar-vf eval`, without a model being asked again."""

import dataclasses

import numpy as np
import pytest

from pistar_vf.evaluation.config import EvalConfig
from pistar_vf.evaluation.episode_scores import MEASURES, EpisodeScores
from pistar_vf.evaluation.page import calibration
from pistar_vf.evaluation.report import MODEL
from pistar_vf.evaluation.run import run_eval
from pistar_vf.relabel.config import RelabelConfig
from pistar_vf.relabel.judgement import judge
from pistar_vf.relabel.measures import measure

pytestmark = pytest.mark.usefixtures("small_and_fast")


def test_they_are_those_of_the_evaluation(tiny_dataset, trained_run, frame_cache_dir):
    own = {"data_dir": str(tiny_dataset), "cache_dir": frame_cache_dir, "num_workers": 0}
    judged = judge(RelabelConfig.of(checkpoint_dir=(trained_run.checkpoint,), dry_run=True, **own), progress=False)
    evaluated = run_eval(EvalConfig.of(checkpoint=trained_run.checkpoint, split="val", **own), progress=False)
    found = measure(judged)
    assert [one["episode_index"] for one in found.episodes] == [one["episode_index"] for one in evaluated.episodes]
    for name in (MODEL, "constant", "clock"):
        ours, theirs = (dict(zip(MEASURES, one.scores[name].figures())) for one in (found, evaluated))
        # The distributions are kept in float16, where atoms that differ a little are equal: another one may be first.
        ties = {"top1": 0, "top5": 0}
        assert {**ours, **ties} == pytest.approx({**theirs, **ties}, abs=2e-3, nan_ok=True), name
        assert [ours[name] for name in ties] == pytest.approx([theirs[name] for name in ties], abs=0.02)


def test_without_unseen_episodes_there_are_none(tiny_dataset, trained_run, frame_cache_dir):
    config = RelabelConfig.of(
        data_dir=str(tiny_dataset),
        checkpoint_dir=(trained_run.checkpoint,),
        dry_run=True,
        cache_dir=frame_cache_dir,
        num_workers=0,
    )
    judged = judge(config, progress=False)
    seen = dataclasses.replace(judged.scorers, seen=np.ones_like(judged.scorers.seen))
    assert measure(dataclasses.replace(judged, scorers=seen)) is None


def test_calibration_is_the_mean_worth_of_frames_of_one_value():
    """Thirty frames of V -0.95, worth -0.8 on average, thirty of -0.05, worth 0, and three between, too few to show."""
    scores = EpisodeScores(
        num_frames=np.array([63]),
        sums=np.zeros((1, 8)),
        succeeded=np.array([True]),
        task=np.array([""]),
        bins=np.zeros((1, 10, 2)),
        value=np.repeat([-0.95, -0.5, -0.05], [30, 3, 30]),
        target=np.concatenate([np.tile([-1.0, -0.6], 15), np.zeros(33)]),
    )
    plot = calibration(scores, -1.0, 0.0)
    (line,) = (one for one in plot.lines if one.dots)
    assert line.x == pytest.approx([-0.95, -0.05])
    assert line.y == pytest.approx([-0.8, 0.0])
