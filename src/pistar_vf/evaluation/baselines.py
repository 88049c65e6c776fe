"""What a value function must beat: boosted trees on the state alone."""

import numpy as np

from pistar_vf.errors import ConfigError
from pistar_vf.installation import install_command
from pistar_vf.typing import Float

_MANY_ROWS = 10_000
"""Fewer are fitted by one thread: several wait for each other by spinning, for seconds where the machine is busy."""


def state_tree_baseline(
    train_state: Float[np.ndarray, "t s"],
    train_target: Float[np.ndarray, " t"],
    held_out_state: Float[np.ndarray, "u s"],
    seed: int = 0,
) -> Float[np.ndarray, " u"]:
    """Histogram gradient boosting with scikit-learn's defaults, fitted on single frames' states.

    Raises:
        ConfigError: scikit-learn is not installed.
    """
    try:
        from sklearn.ensemble import HistGradientBoostingRegressor
        from threadpoolctl import threadpool_limits
    except ImportError as error:
        raise ConfigError(
            f"this baseline needs scikit-learn, which is not installed: {install_command('baselines')}"
        ) from error
    with threadpool_limits(1 if len(train_target) < _MANY_ROWS else None):
        model = HistGradientBoostingRegressor(random_state=seed).fit(train_state, train_target)
    return np.clip(model.predict(held_out_state), -1.0, 0.0).astype(np.float32)
