"""A zoo of value functions, bad and honest: what the gate promises is how it judges these.

An animal is a formula for V on made-up rollouts; `show` draws both and asks the gate.
"""

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
from scipy.ndimage import gaussian_filter1d
from scipy.signal import lfilter

from pistar_vf.testing.made_up_rollouts import MEAN_LENGTH, TIME_LIMIT, Animal, Scene, Values, draw_scene, ramp
from pistar_vf.typing import Float


def _smooth(scene: Scene, size: float, width: int = 8) -> Values:
    """Errors of a network that sees: over some frames of the same sign; of root mean square `size`."""
    scale = size * np.sqrt(2.0 * np.sqrt(np.pi) * width)
    drawn = [scene.rng.normal(size=frames + 8 * width) for frames in scene.lengths]
    return tuple(scale * gaussian_filter1d(noise, width)[4 * width : -4 * width] for noise in drawn)


def _drifting(scene: Scene, size: float, frames_kept: float = 10.0) -> Values:
    """Errors of first order that are forgotten over ten frames, as the dose of the Meta-World measurement was."""
    kept = np.exp(-1.0 / frames_kept)
    scale = size * np.sqrt(1.0 - kept**2)
    drawn = [scene.rng.normal(size=frames + 100) for frames in scene.lengths]
    return tuple(lfilter([scale], [1.0, -kept], noise)[100:] for noise in drawn)


def _white(scene: Scene, size: float) -> Values:
    return tuple(size * scene.rng.normal(size=frames) for frames in scene.lengths)


def _plus(*parts: Values) -> Values:
    return tuple(sum(own) for own in zip(*parts))


def _of_each(scene: Scene, make: Callable[[int, bool], np.ndarray | float]) -> Values:
    return tuple(np.broadcast_to(make(n, bool(w)), n).astype(float) for n, w in zip(scene.lengths, scene.success))


def _clock(scene: Scene) -> Values:
    """Mean target by time of other episodes, as many again."""
    other = draw_scene(_LIMITED if _is_limited(scene) else _PLAIN, len(scene.length), scene.success.mean(), scene.rng)
    longest = max(max(other.lengths), max(scene.lengths))
    padded = np.full((len(other.length), longest), np.nan)
    for row, target in zip(padded, other.target):
        row[: len(target)] = target
    count = np.isfinite(padded).sum(axis=0)
    mean = np.nansum(padded, axis=0) / np.maximum(count, 1)
    mean = mean[np.minimum(np.arange(longest), np.flatnonzero(count)[-1])]
    return tuple(mean[:frames] for frames in scene.lengths)


def _is_limited(scene: Scene) -> bool:
    return bool((scene.length[~scene.success] == TIME_LIMIT).all())


def _others_target(scene: Scene) -> Values:
    """What a model that remembers pictures takes an unseen episode for: another one."""
    order = scene.rng.permutation(len(scene.length))
    return tuple(
        scene.target[other][np.minimum(np.arange(frames), scene.lengths[other] - 1)]
        for frames, other in zip(scene.lengths, order)
    )


def _in_part(part: np.ndarray, inside: Values, outside: Values) -> Values:
    return tuple(a if own else b for own, a, b in zip(part, inside, outside))


def _honest(size: float) -> Callable[[Scene], Values]:
    return lambda scene: _plus(scene.target, _smooth(scene, size))


def _sees_failures_begin(scene: Scene) -> Values:
    """A failure looks like a success until something goes wrong, a third of the way on average."""

    def expected(frames: int, won: bool) -> np.ndarray:
        ramp = -np.arange(frames)[::-1] / frames
        begins = scene.rng.uniform(0.1, 0.5) * frames
        return ramp if won else np.minimum(ramp, np.clip(ramp - (np.arange(frames) - begins) / 5, -1, ramp))

    return _plus(_of_each(scene, expected), _smooth(scene, 0.05))


def _collapsing(scene: Scene) -> Values:
    values = _honest(0.05)(scene)
    for own, won in zip(values, scene.success):
        if won:
            own[-5:] = np.linspace(own[-6], -0.85, 6)[1:]
    return values


def _constant(scene: Scene) -> Values:
    return _of_each(scene, lambda frames, won: -0.6)


def _white_noise(scene: Scene) -> Values:
    return _plus(_constant(scene), _white(scene, 0.3))


def _smooth_noise(scene: Scene) -> Values:
    return _plus(_constant(scene), _smooth(scene, 0.3))


def _pace(frames: int, won: bool) -> Float[np.ndarray, " t"]:
    return np.minimum(-1.0 + np.arange(frames) / MEAN_LENGTH, 0.0)


def _outcome_and_clock(scene: Scene) -> Values:
    return _in_part(scene.success, _of_each(scene, _pace), scene.target)


def _outcome_and_any_pace(scene: Scene) -> Values:
    """Successes rise faster or slower than they should, by chance."""
    drawn = tuple(scene.rng.normal(1.0, 0.1) * (own + 1.0) - 1.0 for own in _of_each(scene, _pace))
    return _plus(_in_part(scene.success, drawn, scene.target), _smooth(scene, 0.03))


_PLAIN = Animal("", None, lambda scene: scene.target)
_LIMITED = dataclasses.replace(_PLAIN, time_limit=True)


def _bad(name: str, values: Callable[[Scene], Values], **shown_on: Any) -> Animal:
    return Animal(name, False, values, **shown_on)


def _half_bad(name: str, part: str, bad: Callable[[Scene], Values], **shown_on: Any) -> Animal:
    """Good but where `part`, a field of the scene, is 0."""
    return _bad(name, lambda s: _in_part(getattr(s, part) == 0, bad(s), _honest(0.05)(s)), **shown_on)


ZOO = (
    _bad("constant", _constant),
    _bad("clock", _clock),
    _bad("clock, failures end at a time limit", _clock, time_limit=True),
    _bad("clock + smooth noise 0.1", lambda s: _plus(_clock(s), _smooth(s, 0.1))),
    _bad("reversed in time", lambda s: tuple(target[::-1] for target in s.target)),
    _bad("white noise", _white_noise, repeats=False),
    _bad("white noise, N = 50", _white_noise, lookahead=50, repeats=False),
    _bad("smooth noise", _smooth_noise, repeats=False),
    _bad("memorised, judged on what it has seen", lambda s: s.target, seen=True),
    _bad("memorised, judged out of fold", _others_target, num_folds=2),
    _bad("leaked outcome", lambda s: _plus(_of_each(s, lambda n, won: -0.3 if won else -0.95), _smooth(s, 0.05))),
    _bad("outcome plus clock", _outcome_and_clock),
    _bad("outcome plus clock + smooth noise 0.1", lambda s: _plus(_outcome_and_clock(s), _smooth(s, 0.1))),
    _bad("outcome plus any pace", _outcome_and_any_pace),
    _bad("image-blind", _honest(0.1), sees=False),
    _bad("state-only", lambda s: _plus(_of_each(s, lambda n, won: ramp(n)), _smooth(s, 0.05))),
    _half_bad("constant in one task of four", "task", _constant, num_tasks=4),
    _half_bad("one of two folds constant", "fold", _constant, num_folds=2),
    _half_bad("one of two folds a clock", "fold", _clock, num_folds=2),
    _half_bad("one of two folds noise", "fold", _smooth_noise, num_folds=2),
    _half_bad("good on demonstrations only", "demonstration", _clock, demonstrations=0.5),
    _bad("collapsing at the end", _collapsing),
    _bad("target + white noise 0.05", lambda s: _plus(s.target, _white(s, 0.05)), repeats=False),
    _bad("target + white noise 0.2", lambda s: _plus(s.target, _white(s, 0.2)), repeats=False),
    _bad("target + smooth noise 0.1, another in every view", _honest(0.1), repeats=False),
    Animal("target + drifting noise 0.17", None, lambda s: _plus(s.target, _drifting(s, 0.17))),
    _bad("target + drifting noise 0.29", lambda s: _plus(s.target, _drifting(s, 0.29))),
    _bad("target + drifting noise 0.5", lambda s: _plus(s.target, _drifting(s, 0.5))),
    Animal("honest, error 0.05", True, _honest(0.05)),
    Animal("honest, error 0.1", True, _honest(0.1)),
    Animal("honest, error 0.1, two folds", True, _honest(0.1), num_folds=2),
    Animal("honest, error 0.17", None, _honest(0.17)),
    Animal("honest, sees failures when they begin", None, _sees_failures_begin),
)
"""False: may not be PASSED; True: should be; None: shown without a promise."""
