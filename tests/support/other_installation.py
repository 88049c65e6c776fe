"""What test_across_versions.py runs under the other interpreter: `other_installation.py COMMAND ARGS`."""

import sys
from pathlib import Path

import numpy as np

from support.small_runs import small_and_fast


def predict(checkpoint: str, output: str) -> None:
    """V of 4 fixed observations, into a .npy file."""
    np.save(output, predicted_values(checkpoint))


def train(data_dir: str, folder: str, cache_dir: str, num_steps: str) -> None:
    """Trains to a step; goes on where the folder has a checkpoint."""
    from pistar_vf.recipes.run import run_training
    from pistar_vf.testing.tiny import tiny_train_config

    resume = "latest" if Path(folder).exists() else None
    settings = {"num_train_steps": int(num_steps), "resume_from_checkpoint": resume, "cache_dir": Path(cache_dir)}
    with small_and_fast():
        run_training(tiny_train_config(Path(data_dir), Path(folder), **settings))


def predicted_values(checkpoint: str | Path) -> np.ndarray:
    """V of 4 observations that follow from a seed."""
    from pistar_vf.inference.predictor import load_value_model

    rng = np.random.default_rng(0)
    model = load_value_model(checkpoint)
    images = {name: rng.integers(0, 256, (4, 48, 48, 3)).astype(np.uint8) for name in sorted(model.spec.camera_keys)}
    state = rng.normal(size=(4, model.spec.state.dim)).astype(np.float32)
    return model.predict(images, state, "put the red block into the left bin").value


if __name__ == "__main__":
    {"predict": predict, "train": train}[sys.argv[1]](*sys.argv[2:])
