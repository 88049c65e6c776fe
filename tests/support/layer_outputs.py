"""What each layer of our towers puts out, in a real call of the tower."""

from unittest import mock

import flax.nnx as nnx
import jax

from pistar_vf.models.gemma3 import Block

FOUR_LAYERS = {"depth": 4, "global_every": 3}
"""A Gemma with a local, a local, a global and a local layer."""


def gemma_layers(llm, x, valid):
    """Of every layer, then the final hidden states."""
    outputs, run_block = [], Block.__call__

    def record(self, *args):
        outputs.append(run_block(self, *args))
        return outputs[-1]

    with mock.patch.object(Block, "__call__", record):
        hidden = llm(x, valid)
    return [*outputs, hidden]


def siglip_layers(tower, image):
    """Of the embedding, every layer, and the whole tower; the layers are cut out of the scan."""
    graphdef, stacked = nnx.split(tower.Transformer.encoderblock)
    outputs = [tower.embedding(image) + tower.pos_embedding[...]]
    for index in range(tower.config.depth):
        block = nnx.merge(graphdef, jax.tree.map(lambda leaf, index=index: leaf[index], stacked))
        outputs.append(block(outputs[-1]))
    return [*outputs, tower(image)]
