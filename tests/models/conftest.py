"""Model tests compile many programs that run once."""

import jax
import pytest


@pytest.fixture(autouse=True, scope="module")
def fast_compilation():
    """Leaves out XLA's optimisations: half the compile time."""
    with_optimizations = jax.config.read("jax_disable_most_optimizations")
    jax.config.update("jax_disable_most_optimizations", True)
    yield
    jax.config.update("jax_disable_most_optimizations", with_optimizations)
