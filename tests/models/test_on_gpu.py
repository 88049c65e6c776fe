"""What a GPU computes by another way. No test has one: the choice is made of what a device says of itself."""

from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pistar_vf.models import on_gpu
from pistar_vf.models.siglip import Siglip
from pistar_vf.models.sizes import SiglipConfig
from pistar_vf.models.value_model import nnx


@pytest.fixture
def implementations(monkeypatch):
    """Which implementation was asked for, call by call, on a Hopper."""
    found, attend = [], jax.nn.dot_product_attention

    def by_xla(query, key, value, *, mask=None, implementation=None):
        found.append(implementation)
        return attend(query, key, value, mask=mask)

    monkeypatch.setattr(jax.nn, "dot_product_attention", by_xla)
    monkeypatch.delenv(on_gpu.PLAIN, raising=False)
    _set_capability(monkeypatch, "9.0")
    return found


def _set_capability(monkeypatch, capability):
    device = SimpleNamespace() if capability is None else SimpleNamespace(compute_capability=capability)
    monkeypatch.setattr(jax, "local_devices", lambda: [device])


def _arguments(length=256, head=72, dtype=jnp.bfloat16):
    keys = jax.random.split(jax.random.key(0), 3)
    return tuple(jax.random.normal(key, (1, length, 2, head), dtype) for key in keys)


def test_the_towers_attention_is_the_kernels(implementations):
    on_gpu.attend(*_arguments())
    assert implementations == ["cudnn"]


@pytest.mark.parametrize("capability", [None, "7.5", "gfx90a", ""])
def test_devices_without_the_kernel(implementations, monkeypatch, capability):
    _set_capability(monkeypatch, capability)
    on_gpu.attend(*_arguments())
    assert implementations == [None]


@pytest.mark.parametrize("shape", [{"length": 127}, {"head": 36}, {"head": 256}, {"dtype": jnp.float32}])
def test_what_the_kernel_does_not_compute(implementations, shape):
    on_gpu.attend(*_arguments(**shape))
    assert implementations == [None]


def test_what_is_masked_is_xlas(implementations):
    on_gpu.attend(*_arguments(), jnp.ones((1, 1, 1, 256), bool))
    assert implementations == [None]


def test_a_user_can_leave_all_to_xla(implementations, monkeypatch):
    monkeypatch.setenv(on_gpu.PLAIN, "1")
    on_gpu.attend(*_arguments())
    assert implementations == [None]


@pytest.mark.parametrize("everything", [False, True])
def test_gradients_are_the_same_with_less_kept(monkeypatch, everything):
    """Against the gradient with every activation kept; how much is kept is counted."""

    def outcome(backend: str, everything: bool):
        monkeypatch.setattr(jax, "default_backend", lambda: backend)
        config = SiglipConfig(width=8, depth=2, mlp_dim=16, num_heads=2, patch_size=4, image_size=8)
        tower = Siglip(config, dtype=jnp.float32, remat=everything, rngs=nnx.Rngs(0))
        graphdef, state = nnx.split(tower)
        image = jax.random.uniform(jax.random.key(1), (2, 8, 8, 3))

        def loss(state):
            return jnp.mean(nnx.merge(graphdef, state)(image) ** 2)

        _, backward = jax.vjp(loss, state)
        kept = sum(leaf.size for leaf in jax.tree.leaves(backward))
        return jax.tree.leaves(jax.grad(loss)(state)), kept

    all_kept, most = outcome("cpu", False)
    found, kept = outcome("gpu", everything)
    for own, expected in zip(found, all_kept, strict=True):
        np.testing.assert_allclose(own, expected, rtol=1e-5, atol=1e-6)
    assert kept < most


def test_on_a_cpu_everything_is_kept():
    def block(x):
        return x

    assert on_gpu.recomputed(block, False) is block
