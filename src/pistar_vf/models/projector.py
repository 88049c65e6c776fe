"""From the width of the vision tower to the width of the decoder."""

import flax.nnx as nnx
import jax

from pistar_vf.typing import DTypeLike, Float


class MlpProjector(nnx.Module):
    """Linear, GELU (the exact one, torch's default), Linear; the hidden layer is as wide as the tower."""

    def __init__(self, in_features: int, out_features: int, *, dtype: DTypeLike, rngs: nnx.Rngs):
        self.linear1 = nnx.Linear(in_features, in_features, dtype=dtype, rngs=rngs)
        self.linear2 = nnx.Linear(in_features, out_features, dtype=dtype, rngs=rngs)

    def __call__(self, x: Float[jax.Array, "b l d"]) -> Float[jax.Array, "b l e"]:
        return self.linear2(jax.nn.gelu(self.linear1(x), approximate=False))


PROJECTORS = {"linear": nnx.Linear, "mlp": MlpProjector}
