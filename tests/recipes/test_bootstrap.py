"""Time-outs: their targets follow the model's own value of their last frames, the same after a resume."""

import json
import shutil

import jax
import numpy as np
import orbax.checkpoint as ocp
import pytest
from support.recorded_training import train_recorded

from pistar_vf.errors import ConfigError, LabelError
from pistar_vf.inference.predictor import load_value_model
from pistar_vf.labels.outcomes import read_outcomes
from pistar_vf.lerobot.dataset import load_lerobot
from pistar_vf.models.value_model import ValueFunction
from pistar_vf.params import flatten
from pistar_vf.recipes import run
from pistar_vf.recipes.bootstrap import TimeoutBootstrap
from pistar_vf.returns import Outcome
from pistar_vf.sharding import create_mesh
from pistar_vf.testing.tiny import tiny_train_config

pytestmark = pytest.mark.usefixtures("small_and_fast")


@pytest.fixture(scope="module")
def settings(tiny_dataset, frame_cache_dir, tmp_path_factory):
    """The paper's target; two episodes of the six are time-outs, looked at every third step."""
    folder = tmp_path_factory.mktemp("bootstrap")
    dataset = load_lerobot(tiny_dataset)
    words = {str(index): str(outcome) for index, outcome in read_outcomes(dataset, outcome_column="outcome").items()}
    words |= {"0": "timeout", "3": "timeout"}
    (folder / "outcomes.json").write_text(json.dumps(words))
    return tiny_train_config(
        tiny_dataset,
        folder / "checkpoints",
        cache_dir=frame_cache_dir,
        target="paper",
        outcome_file=folder / "outcomes.json",
        bootstrap_interval=3,
        num_train_steps=8,
        save_interval=4,
        num_workers=2,
    )


@pytest.fixture(scope="module")
def fresh(settings):
    """The same settings with a folder that holds no checkpoints."""
    return settings.replace(checkpoint_dir=settings.checkpoint_dir / "none")


@pytest.fixture(scope="module")
def data(fresh):
    return run.prepare_data(fresh)


@pytest.fixture(scope="module")
def straight(settings):
    return train_recorded(settings, TimeoutBootstrap)


def by_hand(data, row: int, values: np.ndarray) -> float:
    """The target of a frame, from nothing but the episodes' lengths, outcomes and the values in force."""
    episodes = data.train_rows.episodes
    longest = {task: max(e.length for e in episodes if e.tasks[0] == task) for task in {e.tasks[0] for e in episodes}}
    episode = next(e for e in episodes if e.start <= row < e.start + e.length)
    steps, scale = episode.start + episode.length - 1 - row, longest[episode.tasks[0]]
    outcome = data.targets.outcomes[episode.index]
    ends = dict(zip((0, 3), values)) if outcome is Outcome.TIMEOUT else {}
    end = {Outcome.SUCCESS: 0.0, Outcome.FAILURE: -1.0}.get(outcome, ends.get(episode.index))
    return max(-1.0, end - steps / scale)


def test_every_step_is_trained_on_the_targets_in_force(straight, data):
    """Whatever the threads have gathered ahead: a look after step 3 shows in step 4."""
    _, recording = straight
    assert [done for done, _ in recording.looks] == [0, 3, 6]
    assert len(recording.rows) == 8
    num_timeout_frames = 0
    for step, (rows, targets) in enumerate(zip(recording.rows, recording.targets)):
        values = [values for done, values in recording.looks if done <= step][-1]
        np.testing.assert_allclose(targets, [by_hand(data, int(row), values) for row in rows], atol=1e-6)
        num_timeout_frames += sum(e.start <= row < e.start + e.length for row in rows for e in data.timeouts.episodes)
    assert num_timeout_frames > 3


def test_the_first_look_sees_a_fresh_head(straight):
    """Zero-initialised: all 201 atoms alike, so V = -0.5; later looks differ."""
    looks = straight[1].looks
    np.testing.assert_allclose(looks[0][1], [-0.5, -0.5], atol=1e-6)
    assert np.abs(looks[2][1] - looks[1][1]).max() > 0


def test_a_look_is_the_averages_value_of_the_last_frames(straight, data):
    """Against the predictor's parameters and a softmax in numpy."""
    predictor = load_value_model(straight[0].parent / "step_00000008")
    looking = TimeoutBootstrap(ValueFunction(predictor.spec.model), data.table, data.timeouts, 4, create_mesh(), 0)
    looking.look(flatten(predictor.params), {})
    batch = data.table.gather(data.timeouts.last_rows)
    logits = np.asarray(jax.jit(ValueFunction(predictor.spec.model).apply)(predictor.params, batch.observation))
    expected = np.exp(logits) @ np.linspace(-1, 0, 201) / np.exp(logits).sum(-1)
    np.testing.assert_allclose(looking.values, expected, atol=1e-5)
    assert np.isfinite(data.table.labels[data.timeouts.last_rows]).all()


def test_a_resumed_run_ends_with_the_same_bits(straight, settings, tmp_path):
    """Stopped after step 4, between two looks: the values in force come from the checkpoint."""
    checkpoint, recording = straight
    shutil.copytree(checkpoint.parent, tmp_path / "run")
    shutil.rmtree(tmp_path / "run" / "step_00000008")
    shutil.rmtree(tmp_path / "run" / "train_state" / "step_00000008")
    config = settings.replace(checkpoint_dir=tmp_path / "run", resume_from_checkpoint="latest")
    again, resumed = train_recorded(config, TimeoutBootstrap)
    assert [done for done, _ in resumed.looks] == [0, 2]  # restored, then after step 6
    np.testing.assert_array_equal(resumed.looks[0][1], recording.looks[1][1])
    np.testing.assert_array_equal(np.stack(resumed.targets), np.stack(recording.targets[4:]))
    for part in ("", "train_state"):
        trees = [flatten(ocp.PyTreeCheckpointer().restore(str(p.parent / part / p.name))) for p in (checkpoint, again)]
        assert trees[0].keys() == trees[1].keys()
        for name in trees[0]:
            np.testing.assert_array_equal(np.asarray(trees[1][name]), np.asarray(trees[0][name]), err_msg=name)


def test_a_resume_with_other_timeouts_is_refused(straight, settings, tmp_path):
    words = json.loads(settings.outcome_file.read_text()) | {"3": "failure"}
    (tmp_path / "outcomes.json").write_text(json.dumps(words))
    changed = {"outcome_file": tmp_path / "outcomes.json", "num_train_steps": 9, "resume_from_checkpoint": "latest"}
    with pytest.raises(ConfigError, match=r"− labels: \w+\n\+ labels: \w+"):
        run.run_training(settings.replace(**changed))


def test_the_spec_says_what_the_targets_were(straight, data):
    spec = load_value_model(straight[0]).spec
    assert (spec.label_column, spec.label_conventions) == ("", ("paper",))
    lengths = {}
    for episode in data.train_rows.episodes:
        lengths[episode.tasks[0]] = max(lengths.get(episode.tasks[0], 0), episode.length)
    assert spec.normaliser.rule == "paper"
    assert spec.normaliser.max_lengths == lengths


def test_the_looks_are_recorded(straight):
    lines = [json.loads(line) for line in (straight[0].parent / "metrics.jsonl").read_text().splitlines()]
    looks = [line for line in lines if line["split"] == "timeouts"]
    assert [line["step"] for line in looks] == [3, 6]
    values = straight[1].looks[1][1]
    assert looks[0]["end_value_mean"] == pytest.approx(values.mean())
    assert (looks[0]["end_value_min"], looks[0]["end_value_max"]) == (values.min(), values.max())


def test_held_out_timeouts_are_not_validated_on(fresh, data):
    config = fresh.replace(val_interval=4, val_episodes="0-1", batch_size=2)
    held_out = run.prepare_data(config)
    assert [episode.index for episode in held_out.val_rows.episodes] == [1]
    assert [episode.index for episode in held_out.timeouts.episodes] == [3]
    assert held_out.targets.normaliser == data.targets.normaliser  # held-out episodes count for the lengths


def test_without_timeouts_nothing_is_looked_at(trained_run, monkeypatch):
    monkeypatch.setattr(run, "TimeoutBootstrap", lambda *_: pytest.fail("created"))
    data = run.prepare_data(trained_run.config.replace(resume_from_checkpoint="latest"))
    assert data.timeouts.episodes == ()
    value_function = ValueFunction(run.model_config(trained_run.config, data))
    plan = run._ValueRun(trained_run.config, data, value_function, create_mesh(), "").plan()
    assert plan.every == ()
    assert plan.in_force is None


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"bootstrap_interval": 0}, ConfigError, "--bootstrap_interval: expected at least 1 step, got 0"),
        ({"train_episodes": "0,3"}, LabelError, "training episodes whose end is known, got 2 time-outs and nothing"),
    ],
)
def test_what_cannot_be_bootstrapped(fresh, changes, error, message):
    with pytest.raises(error, match=message):
        run.prepare_data(fresh.replace(**changes))
