"""Runs that compile in seconds."""

import contextlib
import dataclasses
from collections.abc import Iterator

import numpy as np
import pytest


def unchecked(function):
    """Without jaxtyping's checks: while lowering, JAX fills our dataclasses with descriptions of arrays."""
    import jaxtyping

    def call(*args):
        jaxtyping.config.update("jaxtyping_disable", True)
        try:
            return function(*args)
        finally:
            jaxtyping.config.update("jaxtyping_disable", False)

    return call


@contextlib.contextmanager
def small_and_fast() -> Iterator[None]:
    import jax

    from pistar_vf.models import gemma3, siglip
    from pistar_vf.testing.tiny import tiny_model_config
    from pistar_vf.training import engine

    small = tiny_model_config()
    with_optimizations = jax.config.read("jax_disable_most_optimizations")
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(siglip.VARIANTS, "tiny/14", small.siglip)
        patch.setitem(gemma3.VARIANTS, "gemma3_tiny", dataclasses.replace(small.gemma, vocab_size=512))
        patch.setattr(engine, "compile_step", unchecked(engine.compile_step))
        jax.config.update("jax_disable_most_optimizations", True)
        yield
        jax.config.update("jax_disable_most_optimizations", with_optimizations)


def recording(train_loop, rows: list[np.ndarray]):
    """`train_loop` that notes which dataset rows every step saw."""

    def loop(*args):
        for result in train_loop(*args):
            rows.append(result.frame.copy())
            yield result

    return loop
