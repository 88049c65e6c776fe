"""Fills tables with what the frozen parts of a run's model make of the frames."""

from collections.abc import Sequence
from typing import Any

import jax

from pistar_vf.frames.feature_table import FeatureTable, HiddenTable
from pistar_vf.inference.features import body_digest, open_features, open_hidden, tower_digest
from pistar_vf.models.value_model import ValueFunction
from pistar_vf.recipes.config import TrainConfig
from pistar_vf.sharding import whole_array
from pistar_vf.typing import Params


def fill_features(
    config: TrainConfig, value_function: ValueFunction, flat: Params, tables: Sequence[FeatureTable | HiddenTable]
) -> None:
    """Computes what is not in the cache; only where the weights are there.

    Args:
        config: of the run.
        value_function: its model.
        flat: all parameters.
        tables: to be filled; none of a run without `--cache_features`.

    Raises:
        DatasetError: the disk is too full.
    """
    if not tables:
        return
    model = value_function.config
    if jax.process_count() > 1:
        # Tables are filled by one process while the others wait: it must not need their pieces of the weights.
        flat = {name: whole_array(leaf) for name, leaf in sorted(flat.items())}
    how: dict[str, Any] = {
        "batch_size": config.run.batch_size,
        "cache_dir": config.data.cache_dir,
        "progress": jax.process_index() == 0,
    }
    hidden = [table for table in tables if isinstance(table, HiddenTable)]
    if hidden:
        body = body_digest(flat, model)
        for own in hidden:
            own.fill(lambda frames: open_hidden(value_function, flat, frames, body=body, **how))
        return
    # As many pictures at once as pass the tower without a cache: the tokens are then the same to the last bit.
    how["batch_size"] *= len(model.cameras)
    tower = tower_digest(flat, model.dtype, model.image_pool)
    for table in tables:
        if isinstance(table, FeatureTable):
            table.fill(lambda pictures: open_features(value_function, flat, pictures, tower=tower, **how))
