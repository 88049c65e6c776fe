"""The state of a training run: what changes from step to step, and the frozen parameters beside it."""

from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
import optax

from pistar_vf.choices import FreezeMode
from pistar_vf.params import unflatten
from pistar_vf.training.optimizer import is_trainable
from pistar_vf.typing import DTypeLike, Params


@flax.struct.dataclass
class TrainState:
    """What one step reads and replaces; flat dicts from `params.flatten`.

    The optimiser's moments and the moving average cover the trainable leaves only: of a frozen leaf the average is
    the leaf itself, so it is put back when a checkpoint is assembled.

    Attributes:
        step: number of updates done, int32 scalar; typed loosely, as JAX builds this tree of shapes and placements too.
        trainable: parameters that are trained.
        ema: exponential moving average of `trainable`.
        opt_state: optax state of `trainable`.
    """

    step: Any
    trainable: Params
    ema: Params
    opt_state: optax.OptState


def split_params(flat: Params, freeze_mode: FreezeMode) -> tuple[Params, Params]:
    """(trainable, frozen) parts of a flat dict."""
    trainable = {path: leaf for path, leaf in flat.items() if is_trainable(path, freeze_mode)}
    return trainable, {path: leaf for path, leaf in flat.items() if path not in trainable}


def create_state(trainable: Params, tx: optax.GradientTransformation) -> TrainState:
    """A fresh state at step 0; trace it under `jax.jit` to place it on a mesh, `jax.eval_shape` for its shapes."""
    return TrainState(
        step=jnp.zeros((), jnp.int32),
        trainable=trainable,
        # A copy: the step donates both, and one buffer cannot be donated twice.
        ema=jax.tree.map(jnp.copy, trainable),
        opt_state=tx.init(trainable),
    )


def held_shapes(shapes: Params, freeze_mode: FreezeMode, frozen_dtype: DTypeLike) -> Params:
    """How each leaf is held: frozen matrices in `frozen_dtype`, everything else in float32.

    Norms and biases stay in float32: they are 0.1 % of the memory, and 1 + scale does not survive bfloat16.

    Args:
        shapes: flat dict of `jax.ShapeDtypeStruct`.
        freeze_mode: what is frozen.
        frozen_dtype: float32 or bfloat16.
    """

    def held(path: str, leaf: jax.ShapeDtypeStruct) -> jax.ShapeDtypeStruct:
        wide = is_trainable(path, freeze_mode) or path.endswith(("scale", "bias"))
        return jax.ShapeDtypeStruct(leaf.shape, jnp.float32 if wide else frozen_dtype)

    return {path: held(path, leaf) for path, leaf in shapes.items()}


def full_tree(part: Params, frozen: Params) -> Params:
    """The nested tree a checkpoint holds: `part` (trainable leaves or their average) and the frozen leaves."""
    return unflatten({**frozen, **part})
