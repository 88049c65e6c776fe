"""What the gate wants, and where each number is from; docs/relabel.md says how they were measured."""

from pistar_vf.metrics import CONSTANT_STD

MIN_STD = CONSTANT_STD
"""Standard deviation of V; below it V is constant: two of the head's 201 atoms."""
MIN_IMAGE_EFFECT = 0.1
"""Mean change of V under another frame's images, in standard deviations of V."""
MAX_CLOCK_RATIO = 0.9
"""RMS error of V over the clock's. With Meta-World's labels an error of 0.17 left a policy what it had learnt, one of
0.29 took half of it; 0.9 of the clock's error of about 0.3 is where nothing was left."""
MIN_CORRELATION = 0.5
"""Of V and target inside a success. Published models have 0.94, and so have clocks."""
MIN_CONCORDANCE = 0.6
"""Same-time concordance inside successes; a clock has 0.5, trees on a simulator's true state 0.85."""
MIN_SLOPE = 0.4
"""Of what successes differ by at the same time, the part that V must show; a clock shows 0, a V that is right on
average 1. It stops a clock whose small errors chance has ordered rightly, as it does in one of twenty cases."""
MIN_AUC = 0.9
"""Success against failure. At 0.84 the labels of Meta-World ruined the policy."""
MAX_COLLAPSED = 0.2
"""Share of successes at whose end V falls."""
COLLAPSE = 0.1
"""How far below the quarter before the end V must fall to have collapsed."""
MAX_NOISE = 0.25
"""|dV| of neighbours over |dV| across a horizon, in successes. It was 0.28 where the policy was ruined."""
MAX_ADVANTAGE_NOISE = 0.5
"""Root mean square of dV between neighbours over the standard deviation of A, in successes. At 0.5 a quarter of the
variance of A is noise, and another draw of the noise would give A a correlation of 0.75 with this one."""
ROUNDING = 1e-3
"""Noise of V up to this is none: a fifth of the distance between two of 201 atoms."""
POSITIVE_RANGE = (0.01, 0.9)
"""Share of autonomous frames that is positive."""
MAX_CLOCK_KAPPA = 0.8
"""Agreement above chance with the labels that a clock in V's place gives; 1 is the same labels."""
MAX_TAIL_SHARE = 0.5
"""Positives among the last frames of failures, and before takeovers, over those among all frames."""
TAIL_FRAMES = 10
"""How many last frames of failures, and frames before a takeover, are looked at; fewer where N is smaller."""
MIN_REPEAT_KAPPA = 0.2
"""Agreement above chance of the labels of two models, or views, of the same frames."""
WARN_TRUE_END = 1 / 3
"""Share of frames whose horizon reaches the true end; above it a warning."""
SIGNIFICANCE = 0.05
"""Largest p-value of the tests against the clock and against chance."""
SURE = 0.99
"""Confidence with which a figure must be on the wrong side for FAILED; else it is NOT SHOWN."""
MIN_SUCCESSES, MIN_FAILURES = 5, 3
"""A task with as many judged episodes of each is judged by itself; of five successes one order in 120 is the best."""
MIN_SURE = 4
"""Fewest episodes for a FAILED that is not plain from every frame."""
