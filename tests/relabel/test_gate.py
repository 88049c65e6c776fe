"""Each criterion against a value function, or labels, with just that fault."""

import dataclasses

import numpy as np
import pytest
from support.rollout_sets import flags, make_rollouts

from pistar_vf.errors import LabelError
from pistar_vf.relabel.clock import Clock
from pistar_vf.relabel.config import LabelRule
from pistar_vf.relabel.evidence import Evidence, ImageProbe, Scorers, SecondLook
from pistar_vf.relabel.gate import examine
from pistar_vf.relabel.label_criteria import before_takeovers, kappa
from pistar_vf.relabel.labeller import Labeller
from pistar_vf.relabel.verdict import Share, Verdict
from pistar_vf.returns import Outcome

SEES, BLIND = ImageProbe(mean_change=0.2, value_std=0.3, num_frames=256), ImageProbe(0.001, 0.3, 256)
RULE = LabelRule(lookahead=10)
RNG = np.random.default_rng(0)
OUTCOMES = [Outcome.SUCCESS, Outcome.FAILURE, Outcome.SUCCESS, Outcome.TIMEOUT] * 10
ROLLOUTS = make_rollouts(RNG.integers(30, 60, len(OUTCOMES)), OUTCOMES)
GOOD = np.where(np.isfinite(ROLLOUTS.target), ROLLOUTS.target, -0.8).astype(np.float32)
GOOD = (GOOD + 0.02 * np.sin(np.arange(len(GOOD)) / 7)).astype(np.float32)
LENGTH = np.repeat(ROLLOUTS.lengths, ROLLOUTS.lengths)
SUCCEEDS = ROLLOUTS.outcome_is(Outcome.SUCCESS)[ROLLOUTS.episode]


def gate(values, rollouts=ROLLOUTS, rule=RULE, model=None, seen=None, probes=None, second=None, **how):
    labeller = Labeller(rollouts, rule, **how)
    num_episodes = len(rollouts.lengths)
    scorers = Scorers(
        model=np.zeros(num_episodes, int) if model is None else np.asarray(model),
        seen=np.zeros(num_episodes, bool) if seen is None else np.asarray(seen),
        probes={0: SEES} if probes is None else probes,
    )
    look = None if second is None else SecondLook(second, "another view")
    return examine(values, labeller.label(values), labeller, scorers, look)


def failed(*args, **kwargs):
    return gate(*args, **kwargs).named(Verdict.FAILED)


def not_shown(*args, **kwargs):
    return gate(*args, **kwargs).named(Verdict.NOT_SHOWN)


def test_a_good_value_function_passes():
    found = gate(GOOD)
    assert found.verdict is Verdict.PASSED, [(c.name, c.found) for c in found.criteria]
    assert (found.num_judged, found.num_episodes) == (30, 40)  # nobody knows how time-outs would have ended
    assert found.auc[-1] == (1.0, 1.0)


def test_what_was_trained_on_shows_nothing():
    found = gate(GOOD, seen=np.ones(40, bool))
    assert found.verdict is Verdict.NOT_SHOWN
    assert found.num_judged == 0
    assert "unseen episodes" in found.named(Verdict.NOT_SHOWN)


def test_what_was_trained_on_is_left_out():
    """V is right where it was trained and a clock elsewhere."""
    seen = np.arange(40) < 20
    clock = (-1 + ROLLOUTS.frame_index / 60).astype(np.float32)
    values = np.where(seen[ROLLOUTS.episode], GOOD, clock)
    assert gate(values, seen=seen).verdict is Verdict.FAILED
    assert gate(np.where(seen[ROLLOUTS.episode], clock, GOOD), seen=seen).verdict is not Verdict.FAILED


def test_a_constant_is_found():
    assert "V varies" in failed(np.full_like(GOOD, -0.5))


def test_blindness_is_found():
    assert failed(GOOD, probes={0: BLIND}) == ("V reads the images",)
    assert failed(GOOD, probes={0: ImageProbe(0.0, 0.0, 256)}) == ("V reads the images",)


def test_blindness_of_one_fold_is_found():
    found = gate(GOOD, model=np.arange(40) % 2, probes={0: SEES, 1: BLIND})
    assert found.named(Verdict.FAILED) == ("V reads the images",)
    assert next(c for c in found.criteria if c.verdict is Verdict.FAILED).found.startswith("fold 1: ")


def test_a_constant_fold_is_found():
    """Five folds of four successes and two failures each: too few for more than what is plain."""
    fold = np.arange(40) // 8
    values = np.where(fold[ROLLOUTS.episode] == 2, np.float32(-0.6), GOOD)
    probes = dict.fromkeys(range(5), SEES)
    assert gate(GOOD, model=fold, probes=probes).verdict is Verdict.PASSED
    assert "V varies" in failed(values, model=fold, probes=probes)


def test_a_constant_task_is_found():
    tasks = np.arange(40) // 20
    rollouts = make_rollouts(ROLLOUTS.lengths, OUTCOMES, tasks=tasks)
    values = np.where(rollouts.task == 1, np.float32(-0.6), GOOD)
    assert gate(GOOD, rollouts).verdict is Verdict.PASSED
    found = gate(values, rollouts)
    assert "V varies" in found.named(Verdict.FAILED)
    assert next(c for c in found.criteria if c.name == "V varies").found == "'task 1': std 0.0000"


def test_a_fold_of_failures_may_be_constant():
    fold = (ROLLOUTS.outcome_is(Outcome.FAILURE) & (np.arange(40) < 8)).astype(int)
    values = np.where(fold[ROLLOUTS.episode] == 1, np.float32(-1.0), GOOD)
    assert "V varies" not in failed(values, model=fold, probes={0: SEES, 1: SEES})


def test_a_clock_is_found():
    """Each frame gets the mean target of its frame index."""
    time, known = ROLLOUTS.frame_index, np.isfinite(ROLLOUTS.target)
    mean = np.bincount(time[known], ROLLOUTS.target[known]) / np.bincount(time[known])
    clock = mean[np.minimum(time, len(mean) - 1)].astype(np.float32)
    assert {"V beats the clock", "V knows progress"} <= set(failed(clock))


def test_successes_without_progress_are_found():
    outcome = np.where(SUCCEEDS, np.float32(-0.3), np.float32(-0.95)) + (GOOD - np.nan_to_num(ROLLOUTS.target))
    assert "V rises in successes" in failed(outcome.astype(np.float32))


def test_outcome_and_clock_are_found():
    """Failures are -1, and all successes rise alike."""
    values = np.where(SUCCEEDS, np.minimum(-1 + ROLLOUTS.frame_index / 45, 0), GOOD).astype(np.float32)
    assert failed(values) == ("V knows progress",)


def test_failures_that_look_like_successes_are_found():
    optimist = ((ROLLOUTS.frame_index + 1) / LENGTH - 1).astype(np.float32)
    assert "success above failure" in failed(optimist)


def test_successes_that_collapse_are_found():
    last = LENGTH - ROLLOUTS.frame_index <= 5
    values = np.where(SUCCEEDS & last, np.float32(-0.8), GOOD)
    assert failed(values) == ("successes end high",)


def test_noise_is_found():
    noisy = GOOD + RNG.normal(0, 0.3, len(GOOD)).astype(np.float32)
    assert {"signal above noise", "advantages above noise"} <= set(failed(noisy))


def test_noise_that_is_small_beside_the_drift_is_found():
    """Drift cancels in A: between successes of one pace nothing else is left of it."""
    noisy = ROLLOUTS.target + RNG.normal(0, 0.02, len(GOOD))
    noisy = np.where(np.isfinite(noisy), noisy, GOOD).astype(np.float32)
    found = gate(noisy)
    assert "signal above noise" not in found.named(Verdict.FAILED)
    assert "advantages above noise" in found.named(Verdict.FAILED)


def test_all_positive_is_found():
    assert "positives and negatives" in failed(GOOD, rule=LabelRule(lookahead=10, threshold=-5.0))


def test_the_trap_is_found():
    """Failures whose value past the end is 0 although no reward carried the penalty."""
    wrong = dataclasses.replace(ROLLOUTS, keeps_last_value=np.zeros(len(OUTCOMES), bool))
    assert "tails of failures" in failed(GOOD, rollouts=wrong)


def test_mistakes_before_takeovers_are_found():
    """An operator takes over in every success; V is lower there, or higher."""
    starts = np.cumsum(ROLLOUTS.lengths) - ROLLOUTS.lengths
    ranges = [(start + 15, start + 20) for start, own in zip(starts, OUTCOMES) if own is Outcome.SUCCESS]
    operator = flags(*ranges, size=len(GOOD))
    rollouts = make_rollouts(ROLLOUTS.lengths, OUTCOMES, intervention=operator)
    alarmed, hopeful = GOOD.copy(), GOOD.copy()
    for start, stop in ranges:
        hopeful[start:stop] += 0.4
        alarmed[start:stop] -= 0.4
    assert "frames before takeovers" not in (*failed(alarmed, rollouts), *not_shown(alarmed, rollouts))
    assert "frames before takeovers" in failed(hopeful, rollouts)
    assert "frames before takeovers" not in {c.name for c in gate(GOOD).criteria}  # nobody took over


def test_frames_before_takeovers_are_of_the_same_episode():
    """An episode of 3 frames, then one of 10 with a takeover at its frame 4: the tail would reach into the former."""
    rollouts = make_rollouts([3, 10], intervention=flags((7, 9), size=13))
    labeller = Labeller(rollouts, RULE, as_upstream=True)
    scorers = Scorers(np.zeros(2, int), np.zeros(2, bool), {0: SEES})
    evidence = Evidence(GOOD[:13], labeller.label(GOOD[:13]), labeller, scorers, Clock.of(rollouts))
    assert np.flatnonzero(before_takeovers(evidence)).tolist() == [3, 4, 5, 6]


def test_interventions_alone_are_refused():
    """Upstream's rule would label them, but nothing there is the policy's."""
    rollouts = make_rollouts([10, 12], intervention=np.ones(22, bool))
    with pytest.raises(LabelError, match="expected frames in which the policy acted, got only interventions"):
        gate(GOOD[:22], rollouts)


def test_labels_that_do_not_follow_v_are_not_shown():
    clock = Clock.of(ROLLOUTS).guess.astype(np.float32)
    assert "labels follow V" in not_shown(clock)
    assert "labels follow V" not in not_shown(GOOD)


def test_labels_that_another_view_does_not_repeat_are_found():
    """The small waves on V decide inside failures, and another view has others."""
    flat = (GOOD - 0.02 * np.sin(np.arange(len(GOOD)) / 7)).astype(np.float32)
    assert "labels repeat" not in {c.name for c in gate(GOOD).criteria}
    assert "labels repeat" in gate(GOOD, second=GOOD).named(Verdict.PASSED)
    moved = (flat + 0.02 * np.sin(np.arange(len(GOOD)) / 7 + np.pi / 2)).astype(np.float32)
    assert "labels repeat" in failed(GOOD, second=moved)


def test_a_second_look_at_part_of_the_frames():
    """Of half of the episodes; in the others there is nothing to compare. Without any success nothing is shown."""
    half = np.where(ROLLOUTS.episode < 20, GOOD, np.float32(np.nan))
    assert "labels repeat" in gate(GOOD, second=half).named(Verdict.PASSED)
    failures = np.where(SUCCEEDS, np.float32(np.nan), GOOD)
    found = gate(GOOD, second=failures)
    assert found.named(Verdict.NOT_SHOWN) == ("labels repeat",)
    assert found.criteria[-1].found == "no success was looked at again"


def test_a_few_failures_of_a_task_count_among_all_of_them():
    """Four failures of task 1, in which the looks label different frames: too few for a word about the task."""
    few = np.flatnonzero(ROLLOUTS.outcome_is(Outcome.FAILURE))[:4]
    tasks = np.where(np.isin(np.arange(40), [*few, *range(10, 30)]), 1, 0)
    tasks[np.setdiff1d(np.flatnonzero((tasks == 1) & ROLLOUTS.outcome_is(Outcome.FAILURE)), few)] = 0
    rollouts = make_rollouts(ROLLOUTS.lengths, OUTCOMES, tasks=tasks)
    one, other = GOOD.copy(), GOOD.copy()
    rows = np.flatnonzero(np.isin(rollouts.episode, few))
    one[rows[::20]] += 0.5
    other[rows[10::20]] += 0.5
    repeat = next(c for c in gate(one, rollouts, second=other).criteria if c.name == "labels repeat")
    own = {finding.where: finding for finding in repeat.findings}
    assert " and -" in own["'task 1'"].figure  # worse than chance, inside its failures
    assert own["'task 1'"].verdict is Verdict.PASSED


def test_agreement_of_two_looks_by_hand():
    """A success and a failure of four frames; of the success three labels differ, one and two are positive."""
    rollouts = make_rollouts([4, 4], [Outcome.SUCCESS, Outcome.FAILURE])
    values = np.array([-1, -0.9, -0.8, 0, -1, -1, -1, -1], np.float32)
    rule = LabelRule(lookahead=1, threshold=0.2)  # A = V(next) - V - 1/4, in the last frame 0 - V
    found = gate(values, rollouts, rule, second=np.array([-1, -0.5, 0, 0, -1, -1, -1, -1], np.float32))
    repeat = found.criteria[-1]
    assert repeat.name == "labels repeat"
    by_chance = 0.25 * 0.5 + 0.75 * 0.5
    assert repeat.found.startswith(f"{1 - 0.75 / by_chance:.2f} and 1.00 above chance with the labels of another view")


def test_kappa_by_hand():
    one, other = flags((0, 5), size=10), flags((0, 4), (9, 10), size=10)
    assert kappa(one, other) == pytest.approx((0.8 - 0.5) / 0.5)
    assert np.isnan(kappa(flags(size=3), flags(size=3)))


def test_successes_alone_show_nothing():
    """A V reversed in time fails, and a good one is not shown to tell failures."""
    successes = make_rollouts(RNG.integers(30, 60, 12))
    values = (successes.target + 0.02 * np.sin(np.arange(len(successes.target)) / 7)).astype(np.float32)
    assert not_shown(values, successes) == ("success above failure",)
    assert failed(values, successes) == ()
    backwards = np.concatenate([part[::-1] for part in np.split(values, np.cumsum(successes.lengths)[:-1])])
    assert gate(backwards, successes).verdict is Verdict.FAILED


def test_demonstrations_are_no_evidence():
    """All successes are an operator's; V is right on them and knows nothing of the policy."""
    rollouts = make_rollouts(ROLLOUTS.lengths, OUTCOMES, intervention=SUCCEEDS)
    found = gate(np.where(SUCCEEDS, GOOD, np.float32(-0.9)), rollouts)
    assert "success above failure" in found.named(Verdict.NOT_SHOWN)
    assert (found.num_judged, found.num_episodes) == (10, 20)


def test_few_episodes_are_not_shown_rather_than_failed():
    rollouts = make_rollouts([30, 40, 50], [Outcome.SUCCESS, Outcome.FAILURE, Outcome.SUCCESS])
    values = (rollouts.target + 0.02 * np.sin(np.arange(120) / 7)).astype(np.float32)
    assert gate(values, rollouts).verdict is Verdict.NOT_SHOWN


def test_notes():
    found = gate(GOOD, rule=LabelRule(lookahead=30)).notes
    assert "see the true end of their episode: their labels are the outcome" in found[0]
    assert gate(GOOD, rule=LabelRule(lookahead=4)).notes[0].endswith("see the true end of their episode")
    assert found[1].startswith("positive in the shortest, middle and longest third of the successes: ")


def test_counts_by_task_and_source():
    rollouts = make_rollouts(
        [10, 10, 5],
        [Outcome.SUCCESS, Outcome.FAILURE, Outcome.SUCCESS],
        tasks=[0, 1, 0],
        intervention=flags((4, 8), (20, 25), size=25),
        still=flags((7, 9), size=25),
    )
    values = np.linspace(-1, 0, 25, dtype=np.float32)
    shares = gate(values, rollouts=rollouts, rule=LabelRule(threshold=100.0)).shares
    assert shares == (
        Share("task 0", "autonomous, success", 6, 0, 6, 0),
        Share("task 0", "intervention", 4, 3, 0, 1),
        Share("task 0", "demonstration", 5, 0, 0, 0),
        Share("task 1", "autonomous, failure", 10, 0, 10, 0),
    )


@pytest.mark.parametrize("length", [1, 2, 3])
def test_very_short_episodes_do_not_crash(length):
    rollouts = make_rollouts([length] * 3, [Outcome.SUCCESS, Outcome.FAILURE, Outcome.SUCCESS])
    found = gate(np.linspace(-1, 0, 3 * length, dtype=np.float32), rollouts=rollouts)
    assert found.verdict is not Verdict.PASSED
