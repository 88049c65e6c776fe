"""Part `compiling`: what the full-size step takes to compile, and the memory that XLA plans for it. Nothing is run."""

import argparse
import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from pistar_vf.choices import FreezeMode
from pistar_vf.models import siglip
from pistar_vf.models.value_model import ValueFunction
from pistar_vf.params import flatten
from pistar_vf.training.state import held_shapes
from speed.full_model import full_config, lowered_step, random_batch

_GIB = 2**30


def add_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--batch_size", type=int, default=4)


def measure(batch_size: int) -> dict[str, Any]:
    """Processor seconds and GiB of every variant."""
    variants: dict[str, Callable[[], dict[str, float]]] = {
        "frozen": lambda: _compiled("all_backbones", "float32", batch_size),
        "frozen, unrolled tower": lambda: _unrolled(lambda: _compiled("all_backbones", "float32", batch_size)),
        "frozen, bfloat16": lambda: _compiled("all_backbones", "bfloat16", batch_size),
        "siglip_only": lambda: _compiled("siglip_only", "float32", batch_size),
        "none": lambda: _compiled("none", "float32", batch_size),
        "none, remat": lambda: _compiled("none", "float32", batch_size, remat=True),
    }
    found = {}
    for name, compile_it in variants.items():
        found[name] = compile_it()
        print(name, found[name], flush=True)
    seconds = {name: own["processor_seconds"] for name, own in found.items()}
    return {
        "batch_size": batch_size,
        "variants": found,
        "over_unrolled": seconds["frozen"] / seconds["frozen, unrolled tower"],
    }


def _compiled(freeze_mode: FreezeMode, frozen_dtype: str, batch_size: int, *, remat: bool = False) -> dict[str, float]:
    function = ValueFunction(full_config(remat=remat))
    shapes = held_shapes(flatten(function.shapes()), freeze_mode, jnp.dtype(frozen_dtype))
    started = time.process_time()
    batch = random_batch(function.config, batch_size)
    lowered = lowered_step(function, shapes, freeze_mode, batch, augment=True)
    compiled = lowered.compile()
    seconds = time.process_time() - started
    memory = compiled.memory_analysis()
    held = memory.argument_size_in_bytes + memory.output_size_in_bytes - memory.alias_size_in_bytes
    return {
        "processor_seconds": seconds,
        "held_gib": held / _GIB,
        "temporary_gib": memory.temp_size_in_bytes / _GIB,
        "planned_gib": (held + memory.temp_size_in_bytes) / _GIB,
    }


def _unrolled(compile_it: Callable[[], dict[str, float]]) -> dict[str, float]:
    """The tower's blocks one after another in the program, as if they were no scan."""
    scanned = siglip.Encoder.__call__

    def unrolled(self: siglip.Encoder, x: jax.Array) -> jax.Array:
        graphdef, stacked = nnx.split(self.encoderblock)
        for number in range(jax.tree.leaves(stacked)[0].shape[0]):
            x = nnx.merge(graphdef, jax.tree.map(lambda leaf, n=number: leaf[n], stacked))(x)
        return self.encoder_norm(x)

    siglip.Encoder.__call__ = unrolled
    try:
        return compile_it()
    finally:
        siglip.Encoder.__call__ = scanned
