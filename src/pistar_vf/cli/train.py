"""`pistar-vf train`: train a value model."""

import argparse
import contextlib
import copy
import logging
from collections.abc import Iterator
from pathlib import Path

import tyro

from pistar_vf.cli.repeated_flags import gathered
from pistar_vf.errors import ConfigError
from pistar_vf.recipes.config import TrainConfig
from pistar_vf.recipes.presets import find_preset


def main(argv: list[str]) -> None:
    """Parses the flags and trains; `--demo` runs the whole pipeline on a synthetic robot instead."""
    setup_logging()
    first, _ = _first_pass(argv)
    if first.demo:
        from pistar_vf.demo.value_demo import run_demo

        run_demo(Path(first.demo_dir))
        return
    config = parse_config(argv)
    from pistar_vf.multihost import initialize_processes
    from pistar_vf.recipes.run import run_training

    initialize_processes()
    with out_of_memory_advice():
        checkpoint = run_training(config)
    print(f"result: {checkpoint}")


@contextlib.contextmanager
def out_of_memory_advice() -> Iterator[None]:
    """Turns XLA's out-of-memory error into what can be done about it.

    Raises:
        ConfigError: the accelerator's memory did not suffice.
    """
    import jax

    try:
        yield
    except jax.errors.JaxRuntimeError as error:
        text = str(error)
        if "RESOURCE_EXHAUSTED" not in text and "out of memory" not in text.lower():
            raise
        raise ConfigError(
            f"expected the run to fit into the accelerator's memory, got: {text.splitlines()[0]}\n"
            "Try, in this order: end other programs on the GPU (nvidia-smi lists them), a smaller --batch_size, "
            "--freeze_mode all_backbones, --remat, and with several GPUs --fsdp_devices N"
        ) from error


def setup_logging() -> None:
    """Plain lines on stderr; what JAX and orbax say about themselves only from warnings on."""
    logging.basicConfig(level=logging.INFO, format="%(message)s", force=True)
    for name in ("absl", "jax", "orbax"):
        logging.getLogger(name).setLevel(logging.WARNING)


def parse_config(argv: list[str]) -> TrainConfig:
    """Flags to settings; the defaults are those of `--preset`."""
    preset = find_preset(_first_pass(argv)[0].preset)
    return tyro.cli(
        TrainConfig,
        args=gathered(gathered(argv, "--data_dir"), "--data_weight"),
        default=_with_required(preset),
        prog="pistar-vf train",
        use_underscores=True,
        description=(
            "Train a value model V(image, wrist image, state, prompt) on a labelled LeRobot dataset. "
            f"Defaults shown are those of --preset {preset.preset}. `--demo` needs no data: it makes a synthetic "
            "robot dataset, labels it, trains, evaluates and draws value curves into outputs/demo."
        ),
    )


def _with_required(preset: TrainConfig) -> TrainConfig:
    """The preset with what it leaves open marked as required; tyro's mark has no type a constructor would accept."""
    default = copy.copy(preset)
    for name in ("data_dir", "checkpoint_dir"):
        object.__setattr__(default, name, tyro.MISSING)
    return default


def _first_pass(argv: list[str]) -> tuple[argparse.Namespace, list[str]]:
    """What must be known before the other flags can be read."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--preset", default="pistar")
    parser.add_argument("--demo", action="store_true")
    parser.add_argument("--demo_dir", default="outputs/demo")
    return parser.parse_known_args(argv)
