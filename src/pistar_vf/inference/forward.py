"""The one compiled way from observations to the value's distribution: for validation, prediction and relabelling."""

import functools
from collections.abc import Callable, Iterator
from typing import Literal, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from pistar_vf.batch import Observation, ValueBatch
from pistar_vf.categorical import Support, expected_value
from pistar_vf.frames.loader import Frames, eval_batches
from pistar_vf.models.value_model import ValueFunction, ValueModelConfig
from pistar_vf.params import unflatten
from pistar_vf.sharding import put_batch, replicated
from pistar_vf.typing import Array, Float, Params

Forward: TypeAlias = Callable[[Params, Params, Observation], jax.Array]
"""(some parameters, the others, observation) -> logits; the parameters are flat."""
FrameMeasure: TypeAlias = Callable[[Array, Array, Support], dict[str, Array]]
"""(logits, targets, support) -> numbers per frame."""
Swapped: TypeAlias = Literal["images", "state"]


@functools.lru_cache(maxsize=8)
def compiled_forward(model: ValueModelConfig, mesh: Mesh | None = None) -> Forward:
    """The model without augmentation; one program per batch size, whoever asks for it.

    Args:
        model: the architecture.
        mesh: the devices; None for the default one. The logits are on all of them, so that every process can read them.
    """
    value_function = ValueFunction(model)

    def forward(part: Params, rest: Params, observation: Observation) -> Float[jax.Array, "b atoms"]:
        return value_function.apply(unflatten({**rest, **part}), observation)

    # The parameters are arguments: as a closure they would be baked into the program as constants.
    return jax.jit(forward) if mesh is None else jax.jit(forward, out_shardings=replicated(mesh))


def value_and_probs(logits: Float[Array, "b atoms"], support: Support) -> tuple[Array, Array]:
    """V and the distribution whose mean it is; jit-able."""
    return expected_value(logits, support), jax.nn.softmax(logits.astype(jnp.float32), axis=-1)


class FrameScorer:
    """Runs a value model over rows of a table, in batches of one size on all devices.

    Args:
        model: the architecture.
        batch_size: global batch size.
        mesh: the devices.
        num_workers: threads that gather batches.
    """

    def __init__(self, model: ValueModelConfig, batch_size: int, mesh: Mesh, num_workers: int):
        self._forward, self._support = compiled_forward(model, mesh), model.support
        self._mesh, self._batch_size, self._num_workers = mesh, batch_size, num_workers

    def measure(
        self,
        params: tuple[Params, Params],
        table: Frames,
        rows: np.ndarray,
        measure: FrameMeasure,
        swapped: Swapped | None = None,
    ) -> Iterator[dict[str, np.ndarray]]:
        """Numbers of the rows, batch by batch, padding dropped.

        Args:
            params: two flat parts of the parameters.
            table: the frames; its labels are the targets.
            rows: of the table, in any order.
            measure: what to compute from logits.
            swapped: an input that every row takes from the row before it in `rows`.
        """
        compiled = _compiled(measure)
        for start, observation in zip(range(0, len(rows), self._batch_size), self._observations(table, rows, swapped)):
            logits = self._forward(*params, put_batch(observation, self._mesh))
            own = rows[start : start + self._batch_size]
            target = np.zeros(self._batch_size, np.float32)
            target[: len(own)] = table.labels[own]
            found = jax.device_get(compiled(logits, target, self._support))
            yield {name: numbers[: len(own)] for name, numbers in found.items()}

    def _observations(self, table: Frames, rows: np.ndarray, swapped: Swapped | None) -> Iterator[Observation]:
        """This process's share of every batch."""
        if swapped is None:
            yield from (batch.observation for batch in self._batches(table, rows))
            return
        # Of pictures there are pixels, or what a tower made of them.
        inputs = ("images", "image_tokens") if swapped == "images" else (swapped,)
        for batch, other in zip(self._batches(table, rows), self._batches(table, np.roll(rows, 1))):
            yield batch.observation.replace(**{name: getattr(other.observation, name) for name in inputs})

    def _batches(self, table: Frames, rows: np.ndarray) -> Iterator[ValueBatch]:
        index, count = jax.process_index(), jax.process_count()
        return eval_batches(table, rows, self._batch_size, self._num_workers, index, count)


@functools.lru_cache(maxsize=8)
def _compiled(measure: FrameMeasure) -> FrameMeasure:
    return jax.jit(measure, static_argnums=2)
