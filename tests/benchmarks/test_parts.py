"""Stages, scripts, policies and tables of the Meta-World benchmark; the simulator itself where it is installed."""

import importlib.util
import json

import numpy as np
import pytest
from simulated.measures import Estimate, LabelQuality, ValueQuality
from simulated.picture import draw
from simulated.plan import Batch, plan
from simulated.policy import NEGATIVE, POSITIVE, Training, train_policies
from simulated.results import Results, TaskResults
from simulated.script import Manner, Script
from simulated.stages import Stages


def test_a_finished_stage_is_kept_and_a_stopped_one_goes_on(tmp_path):
    calls = []

    def make(folder):
        calls.append(sorted(path.name for path in folder.iterdir()))
        (folder / "half").touch()
        if len(calls) == 1:
            raise KeyboardInterrupt

    stages = Stages(tmp_path)
    with pytest.raises(KeyboardInterrupt):
        stages.keep("data", {"seed": 0}, make)
    folder = stages.keep("data", {"seed": 0}, make)
    assert stages.keep("data", {"seed": 0}, make) == folder
    assert calls == [[], ["half"]]
    assert stages.keep("data", {"seed": 1}, make) != folder
    assert set(stages.seconds()) == {path.name for path in tmp_path.iterdir()}


def test_the_plan_has_every_kind_in_its_share():
    planned = plan(Batch({"pick-place-v3": 20, "drawer-open-v3": 10}, seed=3))
    kinds = [own.kind for own in planned if own.task == "pick-place-v3"]
    assert {kind: kinds.count(kind) for kind in set(kinds)} == {
        "clean": 7, "recover": 4, "noise": 2, "stuck": 2, "drop": 2, "other_task": 2, "wrong_goal": 1
    }  # fmt: skip
    assert planned == plan(Batch({"pick-place-v3": 20, "drawer-open-v3": 10}, seed=3))


def script(kind: str, seed: int = 0) -> Script:
    rng = np.random.default_rng(seed)
    return Script(kind, Manner.draw(rng, kind, (0.5, 1.0)), True, rng)


def test_a_stuck_arm_stands_still():
    own = script("stuck")
    moves = [own.act(t, np.ones(4), np.zeros(4), 0.0) for t in range(100)]
    at = own.manner.stuck_at
    assert own.onset == at
    assert all(np.any(move) for move in moves[:at])
    assert not np.any(moves[at:])


def test_a_drop_opens_the_hand_and_ends_later():
    own = script("drop")
    way = np.linspace(0, 1, 100)
    moves = [own.act(t, np.ones(4), np.zeros(4), way[t]) for t in range(100)]
    assert way[own.onset] > own.manner.trigger >= way[own.onset - 1]
    assert all(move[3] == -1 for move in moves[own.onset :])
    assert not own.is_over(own.onset + own.manner.give_up - 1, None)
    assert own.is_over(own.onset + own.manner.give_up, None)


def test_a_recovery_goes_back_to_the_script():
    own = script("recover")
    moves = [own.act(t, np.ones(4), np.zeros(4), 0.9) for t in range(60)]
    assert own.onset is not None
    back = own.onset + own.manner.retreat
    assert moves[back - 1][3] == -1
    assert moves[back][3] == 1


def test_a_policy_does_what_positive_frames_do():
    """Positive frames move one way, negative ones the other, at the same observations."""
    rng = np.random.default_rng(0)
    seen, positive = rng.normal(size=(400, 3)), rng.random(400) < 0.5
    action = np.where(positive, 0.8, -0.8)[:, None].astype(np.float32)
    told = np.where(positive, POSITIVE, NEGATIVE)
    training = Training(num_steps=300, hidden=16, batch_size=32, peak_lr=1e-2)
    for policy in train_policies(seen, action, told, seeds=(0, 1), training=training):
        assert policy.act(np.zeros(3))[0] == pytest.approx(0.8, abs=0.25)


def results(*, caught: bool) -> Results:
    good = Estimate(0.8, 0.7, 0.9)
    won = np.zeros((2, 4), bool)
    above = Estimate(0.3, 0.1, 0.5) if caught else Estimate(0.1, -0.1, 0.3)
    own = TaskResults(
        values={"V": ValueQuality(good, good, 0.2, 0.4)},
        labels={"ours": LabelQuality(0.3, 0.1, good, good, good)},
        above_mutant={"sign flipped": above},
        won={"outcome": won, "true gain": ~won},
    )
    return Results({"seed": 0}, {"unseen": "PASSED"}, True, {"pick-place-v3": own}, {"arm": (2.0, 60.0)})


def test_a_mutant_that_is_not_caught_is_said():
    assert all(check.holds for check in results(caught=True).checks()[:2])
    failing = [check.name for check in results(caught=False).checks() if not check.holds]
    assert failing[0] == "pick-place-v3: mutant 'sign flipped' is caught"


def test_results_are_tables_json_and_a_picture(tmp_path):
    results(caught=True).write(tmp_path)
    text = (tmp_path / "results.md").read_text(encoding="utf-8")
    assert "| V | 0.80 (0.70 … 0.90) | 0.80 (0.70 … 0.90) | 0.200 | 0.50 |" in text
    assert "all stages: 1.0 minutes of one core" in text
    own = json.loads((tmp_path / "results.json").read_text(encoding="utf-8"))["tasks"]["pick_place_v3"]
    assert own["differences"]["true_gain"]["outcome"]["figure"] == 1.0
    assert own["labels"]["ours"]["in_failures"] == {"figure": 0.8, "low": 0.7, "high": 0.9}
    draw(results(caught=True), tmp_path / "results.png")
    assert (tmp_path / "results.png").stat().st_size > 1000


@pytest.mark.skipif(
    importlib.util.find_spec("mujoco") is None, reason="needs the extra `simulation`: pip install -e '.[simulation]'"
)
def test_the_simulator_acts_out_what_was_planned(tmp_path):
    from simulated.generate import generate
    from simulated.truth import Truth

    from pistar_vf.lerobot.dataset import load_lerobot

    generate(Batch({"pick-place-v3": 2}, seed=0), tmp_path)
    dataset, truth = load_lerobot(tmp_path / "dataset"), Truth.read(tmp_path / "truth.npz")
    assert [episode.length for episode in dataset.episodes] == truth.lengths.tolist()
    assert [episode.metadata["outcome"] for episode in dataset.episodes] == [
        "success" if won else "failure" for won in truth.succeeded
    ]
    ends = truth.progress[truth.layout.last_frames]
    assert (ends[truth.succeeded] == 1.0).all()
    assert (ends[~truth.succeeded] < 1.0).all()
