"""`--compat upstream` against an independent version of upstream's algorithm, frame by frame."""

import numpy as np
import pytest
from support.rollout_sets import flags, make_rollouts

from pistar_vf.relabel.label import KEPT, NEGATIVE, POSITIVE, label_as_upstream


def oracle(values, rewards, humans, lookahead, top_percent):
    """Lists of episodes in, lists of words out; written from the description of the algorithm."""
    advantages = []
    for value, reward in zip(values, rewards):
        own = np.zeros(len(value), np.float32)
        for t in range(len(value)):
            total = float(np.sum(reward[t : min(t + lookahead, len(reward))]))
            ahead = float(value[t + lookahead]) if t + lookahead < len(value) else 0.0
            own[t] = total + ahead - float(value[t])
        advantages.append(own)
    pool = [a[~human] for a, human in zip(advantages, humans) if not human.all()]
    threshold = float(np.percentile(np.concatenate(pool), 100.0 - top_percent))
    words = []
    for own, human in zip(advantages, humans):
        if human.all():
            words.append([KEPT] * len(own))
        else:
            words.append([POSITIVE if h or a >= threshold else NEGATIVE for a, h in zip(own, human)])
    return np.concatenate(advantages), np.concatenate(words)


@pytest.mark.parametrize("lookahead", [1, 7, 50, 130])
@pytest.mark.parametrize("seed", range(4))
def test_like_the_description(seed, lookahead):
    rng = np.random.default_rng(seed)
    lengths = rng.integers(1, 200, 12)
    values = rng.uniform(-1, 0, lengths.sum()).astype(np.float32)
    human = rng.random(lengths.sum()) < 0.2
    human[: lengths[0]] = True  # a demonstration
    rollouts = make_rollouts(lengths, intervention=human)
    bounds = np.cumsum(lengths)[:-1]
    parts = (np.split(x, bounds) for x in (values, rollouts.reward, human))
    advantage, code = oracle(*parts, lookahead, 30.0)
    found = label_as_upstream(values, rollouts, lookahead, 30.0)
    np.testing.assert_array_equal(found.advantage, advantage)  # to the last bit
    np.testing.assert_array_equal(found.code, code)


def test_the_published_count():
    """Upstream's reference run: 14,318 autonomous frames, 30 %, 4,296 positive."""
    rollouts = make_rollouts([14_318 + 6_968], intervention=flags((0, 6_968), size=21_286))
    values = np.random.default_rng(0).permutation(21_286).astype(np.float32) / -21_286
    code = label_as_upstream(values, rollouts, 50, 30.0).code
    assert int((code[6_968:] == POSITIVE).sum()) == 4_296


def test_a_tie_with_the_threshold_is_positive():
    rollouts = make_rollouts([4], reward=np.zeros(4, np.float32))
    assert (label_as_upstream(np.full(4, -0.5, np.float32), rollouts, 10, 50.0).code == POSITIVE).all()


def test_demonstrations_only():
    rollouts = make_rollouts([4], intervention=np.ones(4, bool))
    assert (label_as_upstream(np.zeros(4, np.float32), rollouts, 10, 30.0).code == KEPT).all()
