"""`pistar-vf train`: train a value model."""

import contextlib
import dataclasses
import logging
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

from pistar_vf.cli.parsing import flag_value, parse, required
from pistar_vf.errors import ConfigError
from pistar_vf.launch import Job, be_quiet_unless_first, job_of_environment, job_of_flags
from pistar_vf.recipes.config import AlignmentConfig, TrainConfig
from pistar_vf.recipes.presets import demo_settings, find_preset

C = TypeVar("C", TrainConfig, AlignmentConfig)
_OWN_OF_DEMO = ("data_dir", "checkpoint_dir", "preset")
"""What the demo decides itself."""


@dataclasses.dataclass(frozen=True)
class SourceOfSettings:
    """Where settings come from that no flag names."""

    settings: Path | None = None
    """A run's settings.json, or a folder with one (a run's or a checkpoint's): its settings become the defaults."""
    demo: bool = False
    """Make a synthetic robot dataset, label it, train, evaluate and draw value curves; needs no data."""
    demo_dir: Path = Path("outputs/demo")
    """Where the demo goes."""


@dataclasses.dataclass(frozen=True)
class TrainCommand(TrainConfig):
    """Train a value model V(image, wrist image, state, prompt) on a labelled LeRobot dataset."""

    command: SourceOfSettings = SourceOfSettings()


def main(argv: Sequence[str]) -> None:
    """Parses the flags and trains; `--demo` runs the whole pipeline on a synthetic robot instead."""
    setup_logging()
    command = parse_command(argv)
    if command.demo:
        from pistar_vf.demo.value_demo import run_demo

        run_demo(command.demo_dir, **_changes(command))
        return
    config = settings_of(command)
    job = join_quietly(config)
    config = refuse_early(config)
    if config.folds or config.fold is not None:
        print(f"result: {_train_folds(config, argv, job)}")
        return
    from pistar_vf.cli.programs import keep_programs
    from pistar_vf.multihost import initialize_processes
    from pistar_vf.recipes.run import run_training

    keep_programs(config.data.cache_dir)
    initialize_processes(job)
    with resume_advice(), device_advice():
        checkpoint = run_training(config)
    print(f"result: {checkpoint}")


def join_quietly(config: TrainConfig | AlignmentConfig) -> Job | None:
    """Which processes train together, from the flags, else from a launcher; from here on only the first one speaks.

    Raises:
        ConfigError: the flags do not describe any.
    """
    own = config.devices
    job = job_of_flags(own.coordinator, own.num_processes, own.process_id) or job_of_environment()
    be_quiet_unless_first(job)
    return job


def refuse_early(config: C) -> C:
    """Looks at flags and folders before JAX is loaded, which takes seconds; downloads, where that is wanted.

    Returns:
        The same settings, with the commits of addresses on the hub.

    Raises:
        PistarError: something is wrong; the data is looked at, too, where it is there, so that all of it is named.
    """
    from pistar_vf.recipes.from_hub import check_with_downloads, pinned
    from pistar_vf.recipes.preflight import data_is_there

    config = pinned(config)
    problems = check_with_downloads(config)
    if problems and isinstance(config, TrainConfig) and data_is_there(config):
        from pistar_vf.recipes.plan import plan_data

        plan_data(config)
    problems.refuse()
    return config


def _train_folds(config: TrainConfig, argv: Sequence[str], job: Job | None) -> Path:
    """All folds, one per device where there are several and nobody else divides them."""
    from pistar_vf.cli.fold_processes import train_on_devices, visible_gpus
    from pistar_vf.cli.programs import keep_programs
    from pistar_vf.multihost import initialize_processes
    from pistar_vf.recipes.folds import open_folds, prepare_folds, run_folds

    alone = config.fold is None and config.fsdp_devices == 1 and job is None
    devices = visible_gpus() if alone else ()
    if len(devices) > 1:
        plan = prepare_folds(config)
        train_on_devices(argv, open_folds(config, plan), devices, config.run.checkpoint_dir)
        return config.run.checkpoint_dir
    keep_programs(config.data.cache_dir)
    initialize_processes(job)
    with device_advice():
        return run_folds(config)


@contextlib.contextmanager
def resume_advice() -> Iterator[None]:
    """Says how to go on with a run that was asked to stop."""
    from pistar_vf.training.engine import Stopped

    try:
        yield
    except Stopped as stopped:
        print(f"{stopped}; go on with --resume_from_checkpoint latest", flush=True)
        raise


@contextlib.contextmanager
def device_advice() -> Iterator[None]:
    """Turns XLA's out-of-memory error into what can be done about it, and that of a lost process into an end.

    Raises:
        ConfigError: the accelerator's memory did not suffice.
    """
    import jax

    from pistar_vf.multihost import end_where_others_are_lost

    try:
        yield
    except jax.errors.JaxRuntimeError as error:
        text = str(error)
        if "RESOURCE_EXHAUSTED" not in text and "out of memory" not in text.lower():
            end_where_others_are_lost(error)
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


def parse_config(argv: Sequence[str]) -> TrainConfig:
    """Flags to settings; the defaults are those of `--preset`."""
    return settings_of(parse_command(argv))


def parse_command(argv: Sequence[str]) -> TrainCommand:
    """Flags to settings and to what the command does with them."""
    defaults = _defaults(argv)
    return parse(
        TrainCommand,
        argv,
        "pistar-vf train",
        default=defaults,
        description=(
            "Train a value model V(image, wrist image, state, prompt) on a labelled LeRobot dataset. "
            f"Defaults shown are those of --preset {defaults.preset}. `--demo` needs no data: it makes a synthetic "
            "robot dataset, labels it, trains, evaluates and draws value curves into outputs/demo."
        ),
    )


def settings_of(command: TrainCommand) -> TrainConfig:
    """The run's part."""
    return TrainConfig(**{name: block for name, block in command.blocks().items() if name != "command"})


def _defaults(argv: Sequence[str]) -> TrainCommand:
    preset, path = flag_value(argv, "--preset"), flag_value(argv, "--settings")
    if flag_value(argv, "--demo") is not None:
        return TrainCommand(**demo_settings().blocks())
    if path is None:
        return required(TrainCommand(**find_preset(preset or "pistar").blocks()), "data_dir", "checkpoint_dir")
    if preset is not None:
        raise ConfigError("--preset: expected either it or --settings, got both; the file holds every setting")
    from pistar_vf.recipes.settings_file import read_settings

    return TrainCommand(**read_settings(Path(path).expanduser(), TrainConfig).blocks())


def _changes(command: TrainCommand) -> dict[str, Any]:
    """What the flags change in the demo.

    Raises:
        ConfigError: a flag for something that the demo makes itself.
    """
    plain = demo_settings().flat()
    changes = {name: value for name, value in settings_of(command).flat().items() if value != plain[name]}
    for name in _OWN_OF_DEMO:
        if name in changes:
            raise ConfigError(
                f"--{name}: expected no such flag with --demo, which makes its own; leave out one of the two"
            )
    return changes
