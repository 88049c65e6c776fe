"""From figures to findings: what passes, what is wrong for sure, and what is neither."""

import math
from collections.abc import Callable

import numpy as np
from scipy.stats import beta, t

from pistar_vf.relabel import thresholds
from pistar_vf.relabel.evidence import Evidence, Group
from pistar_vf.relabel.verdict import Finding, Verdict
from pistar_vf.typing import Float

MORE_EPISODES = "record more episodes of the policy, failures and successes of every task"
"""What shows most of what is not shown."""


def by_group(evidence: Evidence, find: Callable[[Group], Finding | None]) -> tuple[Finding, ...]:
    """Findings of all groups that have one."""
    found = (find(group) for group in evidence.groups if group.episodes.any() or group.alone)
    return tuple(finding for finding in found if finding is not None)


def at_most_zero(per_episode: Float[np.ndarray, " e"], clearance: float = 0.0) -> Verdict:
    """By the mean: PASSED up to zero; FAILED where it is above for sure, by a t-test over episodes.

    Args:
        per_episode: how far each episode is on the wrong side.
        clearance: by how many standard errors the mean must be below zero, for a bound that bad ones come near to.
    """
    error = per_episode.std(ddof=1) / math.sqrt(len(per_episode)) if len(per_episode) > 1 else 0.0
    if per_episode.mean() + clearance * error <= 0:
        return Verdict.PASSED
    if len(per_episode) < thresholds.MIN_SURE:
        return Verdict.NOT_SHOWN
    margin = t.ppf(thresholds.SURE, len(per_episode) - 1) * error
    return Verdict.FAILED if per_episode.mean() > margin else Verdict.NOT_SHOWN


def at_most_share(count: int, total: int, bound: float) -> Verdict:
    """By a share: PASSED up to the bound; FAILED where its Clopper-Pearson limit is above."""
    if count <= bound * total:
        return Verdict.PASSED
    low = beta.ppf(1.0 - thresholds.SURE, count, total - count + 1)
    return Verdict.FAILED if low > bound else Verdict.NOT_SHOWN


def at_least(share: float, bound: float, total: int) -> Verdict:
    """By a share: PASSED from the bound; FAILED where its Clopper-Pearson limit of so many trials is below."""
    if share >= bound:
        return Verdict.PASSED
    high = beta.ppf(thresholds.SURE, share * total + 1, max(total - share * total, 1e-9))
    return Verdict.FAILED if high < bound else Verdict.NOT_SHOWN


def significant(p_value: float) -> Verdict:
    """PASSED where chance does as well seldom enough."""
    return Verdict.PASSED if p_value <= thresholds.SIGNIFICANCE else Verdict.NOT_SHOWN
