"""The state of a training run: what changes from step to step, and the frozen parameters beside it."""

import flax.struct
import jax
import jax.numpy as jnp
import optax

from pistar_vf.models.value_model import ValueFunction
from pistar_vf.params import flatten, unflatten
from pistar_vf.training.optimizer import FreezeMode, is_trainable
from pistar_vf.typing import Array, Int, Params


@flax.struct.dataclass
class TrainState:
    """What one step reads and replaces; flat dicts from `params.flatten`.

    The optimiser's moments and the moving average cover the trainable leaves only: of a frozen leaf the average is
    the leaf itself, so it is put back when a checkpoint is assembled.

    Attributes:
        step: number of updates done.
        trainable: parameters that are trained.
        ema: exponential moving average of `trainable`.
        opt_state: optax state of `trainable`.
    """

    step: Int[Array, ""]
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


def init_params(value_function: ValueFunction, seed: int, shardings: Params | None = None) -> Params:
    """Random parameters as a flat dict, created in place on their devices.

    Args:
        value_function: decides the tree.
        seed: of the random numbers.
        shardings: placement per leaf, flat; default devices when None.
    """
    init = jax.jit(lambda key: flatten(value_function.init(key)), out_shardings=shardings)
    return init(jax.random.key(seed))


def full_tree(part: Params, frozen: Params) -> Params:
    """The nested tree a checkpoint holds: `part` (trainable leaves or their average) and the frozen leaves."""
    return unflatten({**frozen, **part})
