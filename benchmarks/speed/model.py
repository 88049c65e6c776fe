"""Part `model`: a training step with frozen backbones and a forward pass at full size, against the peak and PyTorch."""

import argparse
import gc
from collections.abc import Callable
from typing import Any

import numpy as np

from pistar_vf.categorical import two_hot
from pistar_vf.models.value_model import ValueFunction
from pistar_vf.params import unflatten
from speed import counts, peak
from speed.full_model import Step, full_config, random_batch, random_params, value, with_hidden, with_tokens
from speed.timing import Program, Times, in_turn

POOL = 2


def add_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--batch_size", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=3)


def measure(batch_size: int, rounds: int) -> dict[str, Any]:
    """Seconds, utilisation and ratios of every variant, all in turn in one process."""
    config = full_config()
    own, params, batch = ValueFunction(config), random_params(config), random_batch(config, batch_size)
    pooled = ValueFunction(full_config(image_pool=POOL))
    programs: dict[str, Any] = {
        "peak xla": peak.xla_peak(),
        "peak torch": peak.torch_peak(),
        "peak torch bfloat16": peak.torch_peak("bfloat16"),
        "step": Step.of(own, params, "all_backbones", batch),
        "step tokens": Step.of(own, params, "all_backbones", with_tokens(own, params, batch)),
        "step pooled tokens": Step.of(pooled, params, "all_backbones", with_tokens(pooled, params, batch)),
        "step head": _head_steps(own, params, batch),
        "values": _once(value(own, params, batch)),
    }
    theirs, difference = _torch_programs(params, config, batch)
    times = in_turn(programs | theirs, rounds)
    return {"batch_size": batch_size, "torch_difference": difference, **_figures(times, batch_size)}


def _once(run: Callable[[], object]) -> Program:
    """A program of one unit, whatever it returns."""

    def program() -> None:
        run()

    return program


def _head_steps(own: ValueFunction, params: Any, batch: Any, count: int = 200) -> Any:
    """Steps of the head, many at a time; the unit is one."""
    step = Step.of(own, params, "all_but_head", with_hidden(own, params, batch))

    def run() -> float:
        for _ in range(count):
            step()
        return count

    return run


def _torch_programs(params: Any, config: Any, batch: Any) -> tuple[dict[str, Any], float]:
    """PyTorch's step and values in float32 and bfloat16, and by how much its logits differ from ours in float32."""
    import torch

    from speed import torch_model

    nested = unflatten({name: np.asarray(leaf) for name, leaf in params.items()})
    frames, programs = torch_model.inputs(batch.observation), {}
    target = np.asarray(two_hot(batch.target, config.support))
    difference = 0.0
    for name in ("float32", "bfloat16"):
        model = torch_model.TorchValueModel(nested, config, "all_backbones", getattr(torch, name))
        gc.collect()
        run = torch_model.value(model, frames)
        if name == "float32":
            expected = value(ValueFunction(config), params, batch)()
            difference = float(np.abs(run() - expected).max() / np.abs(expected).max())
        programs[f"torch values {name}"] = _once(run)
        programs[f"torch step {name}"] = _once(torch_model.train_step(model, frames, target))
    return programs, difference


def _figures(times: Times, batch_size: int) -> dict[str, Any]:
    config, pooled = full_config(), full_config(image_pool=POOL)
    operations = {
        "step": counts.step(config, "all_backbones"),
        "step tokens": counts.step(config, "all_backbones", cached=True),
        "step pooled tokens": counts.step(pooled, "all_backbones", cached=True),
        "values": sum(counts.forward(config).values()),
    }
    operations |= {f"torch step {name}": operations["step"] for name in ("float32", "bfloat16")}
    operations |= {f"torch values {name}": operations["values"] for name in ("float32", "bfloat16")}
    giga = {name: batch_size * number / 1e9 for name, number in operations.items()}
    best_step = min(("torch step float32", "torch step bfloat16"), key=times.median)
    best_values = min(("torch values float32", "torch values bfloat16"), key=times.median)
    steps = ("step", "step tokens", "step pooled tokens", "step head")
    return {
        **times.facts(),
        "gflop": giga,
        "peak_gflop_per_processor_second": {name: 1 / times.median(f"peak {name}") for name in ("xla", "torch")},
        "utilisation": {name: number / times.ratio(name, "peak xla") for name, number in giga.items()},
        "over_torch_float32": {name: times.ratio("torch step float32", name) for name in steps},
        "over_torch_best": {name: times.ratio(best_step, name) for name in steps},
        "values_over_torch_float32": times.ratio("torch values float32", "values"),
        "values_over_torch_best": times.ratio(best_values, "values"),
        "over_uncached": {name: times.ratio("step", name) for name in steps},
    }
