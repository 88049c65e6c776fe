"""Other ways to compute the same training step and the same V, tried beside the library's own."""

import contextlib
import dataclasses
from collections.abc import Callable, Iterator
from typing import Any, Literal, TypeAlias
from unittest import mock

import jax
import jax.numpy as jnp

Attention: TypeAlias = Literal["own", "xla", "cudnn"]
"""The library's choice; XLA's products and softmax; or cuDNN's one kernel in the tower and in the decoder."""
Kept: TypeAlias = Literal["own", "all", "nothing"]
"""What the backward pass finds: the library's choice, every activation, or inputs of blocks alone."""

_LEAST_LENGTH = 128
"""Shorter queries (the prompt's, to the image tokens) stay with XLA."""
_own_attention = jax.nn.dot_product_attention


@dataclasses.dataclass(frozen=True)
class Variant:
    """How to compute; the default is what the library does."""

    attention: Attention = "own"
    kept: Kept = "own"
    frozen_dtype: str = "float32"

    def __str__(self) -> str:
        """What differs from the default, to be put behind a name."""
        own = {"attention": self.attention, "kept": f"keeps {self.kept}", "frozen": f"frozen {self.frozen_dtype}"}
        default = (self.attention == "own", self.kept == "own", self.frozen_dtype == "float32")
        return "".join(f", {words}" for words, is_default in zip(own.values(), default, strict=True) if not is_default)

    @property
    def fields(self) -> dict[str, Any]:
        """Of the model's configuration."""
        return {"remat": self.kept == "nothing"}

    @contextlib.contextmanager
    def traced(self) -> Iterator[None]:
        """Whatever is traced inside computes so."""
        ways = {"xla": _own_attention, "cudnn": fused_attention}
        with contextlib.ExitStack() as stack:
            if self.attention != "own":
                stack.enter_context(mock.patch.object(jax.nn, "dot_product_attention", _always(ways[self.attention])))
            if self.kept == "all":
                stack.enter_context(mock.patch.object(jax, "checkpoint", lambda block, **options: block))
            yield


def fused_attention(query: jax.Array, key: jax.Array, value: jax.Array, *, mask: jax.Array | None = None) -> jax.Array:
    """`jax.nn.dot_product_attention` by cuDNN where it can: arguments [b, l, heads, dim], mask [b, 1, q or 1, k].

    With a mask, cuDNN wants even lengths for gradients: tokens are added that nobody sees, and taken off again.
    """
    length = query.shape[1]
    if length < _LEAST_LENGTH or query.dtype != jnp.bfloat16:
        return _own_attention(query, key, value, mask=mask)
    if mask is None:
        return _own_attention(query, key, value, implementation="cudnn")
    wide = jnp.broadcast_to(mask, (query.shape[0], 1, length, key.shape[1]))
    arrays = (_padded(x, 1) for x in (query, key, value))
    wide = _padded(_padded(wide, 2, True), 3)
    return _own_attention(*arrays, mask=wide, implementation="cudnn")[:, :length]


def _always(way: Callable[..., jax.Array]) -> Callable[..., jax.Array]:
    """One way to attend, whatever implementation is asked for."""

    def attend(*arrays: jax.Array, mask: jax.Array | None = None, implementation: str | None = None) -> jax.Array:
        return way(*arrays, mask=mask)

    return attend


def _padded(x: jax.Array, axis: int, value: bool = False, multiple: int = 8) -> jax.Array:
    width = [(0, -x.shape[axis] % multiple if number == axis else 0) for number in range(x.ndim)]
    return jnp.pad(x, width, constant_values=value)
