"""One way from values to labels, whatever the rule: what the gate compares with is made as the labels are."""

import dataclasses

import numpy as np
import pytest
from support.rollout_sets import flags, make_rollouts

from pistar_vf.relabel.clock import Clock
from pistar_vf.relabel.config import LabelRule
from pistar_vf.relabel.evidence import ImageProbe, Scorers, SecondLook
from pistar_vf.relabel.gate import examine
from pistar_vf.relabel.label import POSITIVE, compute_advantages, label_as_upstream
from pistar_vf.relabel.labeller import Labeller
from pistar_vf.relabel.rollouts import Rollouts
from pistar_vf.returns import Outcome

RNG = np.random.default_rng(0)
OUTCOMES = [Outcome.SUCCESS, Outcome.FAILURE] * 10
ROLLOUTS = make_rollouts(RNG.integers(30, 60, 20), OUTCOMES)
VALUES = (ROLLOUTS.target + 0.1 * np.sin(np.arange(len(ROLLOUTS.target)) / 5)).astype(np.float32)


def by_two_sources(rollouts: Rollouts) -> Rollouts:
    """The first ten episodes are from one dataset, the others from another."""
    return dataclasses.replace(rollouts, tasks=("a", "b"), task=(rollouts.episode >= 10).astype(np.int64))


LABELLERS = {
    "by task": Labeller(ROLLOUTS, LabelRule(lookahead=8)),
    "by source": Labeller(ROLLOUTS, LabelRule(lookahead=8, threshold_per="source"), by_two_sources(ROLLOUTS)),
    "as upstream": Labeller(ROLLOUTS, LabelRule(lookahead=8), as_upstream=True),
}


def test_each_source_has_its_share():
    """A quarter of each source's frames, while the sources differ by far."""
    values = VALUES + np.float32(0.01) * ROLLOUTS.frame_index * (ROLLOUTS.episode >= 10)
    rule = LabelRule(lookahead=8, threshold_per="source", top_percent=25.0)
    labels = Labeller(ROLLOUTS, rule, by_two_sources(ROLLOUTS)).label(values)
    for source in (ROLLOUTS.episode < 10, ROLLOUTS.episode >= 10):
        advantage = compute_advantages(values, ROLLOUTS, rule)[source]
        np.testing.assert_array_equal(labels.code[source] == POSITIVE, advantage > np.percentile(advantage, 75))
    together = Labeller(ROLLOUTS, LabelRule(lookahead=8, top_percent=25.0)).label(values)
    assert (together.code != labels.code).any()


def test_upstreams_labels():
    expected = label_as_upstream(VALUES, ROLLOUTS, 8, 20.0)
    found = Labeller(ROLLOUTS, LabelRule(lookahead=8, top_percent=20.0), as_upstream=True).label(VALUES)
    np.testing.assert_array_equal(found.code, expected.code)
    np.testing.assert_array_equal(found.advantage, expected.advantage)


def findings(labeller, values, second=None):
    scorers = Scorers(np.zeros(20, int), np.zeros(20, bool), {0: ImageProbe(0.2, 0.3, 256)})
    gate = examine(values, labeller.label(values), labeller, scorers, second)
    return {criterion.name: criterion.findings[0].figure for criterion in gate.criteria}


@pytest.mark.parametrize("labeller", LABELLERS.values(), ids=LABELLERS)
def test_the_gate_labels_a_clock_by_the_same_rule(labeller):
    """A clock in V's place gives the labels of a clock."""
    clock = Clock.of(ROLLOUTS).guess.astype(np.float32)
    assert findings(labeller, clock)["labels follow V"] == "agreement with the labels of a clock 1.00 above chance"


@pytest.mark.parametrize("labeller", LABELLERS.values(), ids=LABELLERS)
def test_the_gate_labels_a_second_look_by_the_same_rule(labeller):
    figure = findings(labeller, VALUES, SecondLook(VALUES, "another view"))["labels repeat"]
    assert figure == "1.00 and 1.00 above chance with the labels of another view (successes, failures)"


def test_abstaining_frames_are_not_compared():
    """They have no label that could repeat: of the others, all do."""
    labeller = LABELLERS["by task"]
    labels = labeller.label(VALUES)
    undecided = flags((0, 40), (200, 260), size=len(VALUES))
    labels = dataclasses.replace(labels, code=np.where(undecided, 0, labels.code))
    scorers = Scorers(np.zeros(20, int), np.zeros(20, bool), {0: ImageProbe(0.2, 0.3, 256)})
    gate = examine(VALUES, labels, labeller, scorers, SecondLook(VALUES, "another view"))
    assert gate.criteria[-1].findings[0].figure.startswith("1.00 and 1.00 above chance")
