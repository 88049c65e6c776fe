"""What bfloat16 and fused attention change on an accelerator, against float32 products of full precision."""

import functools
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from pistar_vf.categorical import Support, expected_value
from pistar_vf.models.value_model import ValueFunction
from pistar_vf.params import flatten, unflatten
from speed.device_cases import Case, Size, config
from speed.full_model import Step, device_params, lowered_step
from speed.variants import Variant

FRAMES, STEPS = 8, 20
WEIGHTS, LOGITS = "weights.npy", "logits.npy"
"""Files in the scratch folder: all parameters in one row, by sorted name, and the float32 logits of `CASE`."""
CASE = Case(FRAMES)
_PLAIN = Variant()


def measure(ours: Any, best: Variant, scratch: Path) -> dict[str, Any]:
    """Differences of logits and of V, and the loss over some steps; also leaves the two files."""
    function = ValueFunction(config(ours.size))
    params = device_params(flatten(function.shapes()))
    programs = {"float32": (function, _PLAIN)}
    for name, how in (("bfloat16", _PLAIN), ("bfloat16 best", best)):
        programs[name] = ValueFunction(config(ours.size, dtype="bfloat16", **how.fields)), how
    batch = jax.device_put(CASE.batch(function.config))
    with ThreadPoolExecutor(4) as pool:
        forwards = {name: pool.submit(_lowered_forward(*own, params, batch).compile) for name, own in programs.items()}
        steps = {name: pool.submit(_lowered_step(*own, params, batch).compile) for name, own in programs.items()}
    found: dict[str, np.ndarray] = {}

    def logits() -> dict[str, Any]:
        for name, promise in forwards.items():
            found[name] = np.asarray(promise.result()(params, batch.observation))
        np.save(scratch / LOGITS, found["float32"])
        np.save(scratch / WEIGHTS, np.concatenate([np.asarray(leaf).ravel() for leaf in params.values()]))
        return {name: differences(found[name], found["float32"]) for name in programs if name != "float32"}

    ours.journal.finish("logits against float32", logits)
    for name, promise in steps.items():
        ours.journal.finish(f"loss, {name}", functools.partial(_losses, promise, params, batch))
    return {"frames": FRAMES, "steps": STEPS}


def differences(found: np.ndarray, expected: np.ndarray) -> dict[str, float]:
    """Norm of the logits' difference over the norm of what is expected; largest difference of V."""
    support = Support()
    value = [np.asarray(expected_value(jnp.asarray(x, jnp.float32), support)) for x in (found, expected)]
    return {
        "logits_relative": float(np.linalg.norm(found - expected) / np.linalg.norm(expected)),
        "value_largest": float(np.abs(value[0] - value[1]).max()),
        "value_spread": float(np.ptp(value[1])),
    }


def weights(size: Size, scratch: Path) -> dict[str, np.ndarray]:
    """The flat parameters that were left in the scratch folder."""
    row = np.load(scratch / WEIGHTS, mmap_mode="r")
    shapes = flatten(ValueFunction(config(size)).shapes())
    ends = np.cumsum([leaf.size for leaf in shapes.values()])
    return {name: row[end - leaf.size : end].reshape(leaf.shape) for end, (name, leaf) in zip(ends, shapes.items())}


def _lowered_forward(function: ValueFunction, how: Variant, params: Any, batch: Any) -> Any:
    forward = jax.jit(lambda own, seen: function.apply(unflatten(own), seen))
    with how.traced(), jax.default_matmul_precision(_precision(function)):
        return forward.lower(params, batch.observation)


def _lowered_step(function: ValueFunction, how: Variant, params: Any, batch: Any) -> Any:
    with how.traced(), jax.default_matmul_precision(_precision(function)):
        return lowered_step(function, params, "none", batch)


def _precision(function: ValueFunction) -> str:
    """A GPU multiplies float32 matrices in a shorter format unless told otherwise."""
    return "highest" if function.config.dtype == "float32" else "default"


def _losses(promise: Any, params: Any, batch: Any) -> dict[str, Any]:
    step = Step.start(promise.result(), params, "none", batch)
    losses = [float(step.start_one()) for _ in range(STEPS)]
    return {"first": losses[0], "last": losses[-1], "losses": losses}
