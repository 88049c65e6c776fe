"""What a run starts from: frozen towers need weights of somebody, since nothing will ever teach them."""

import logging
from pathlib import Path

from pistar_vf.checkpoints.layout import SPEC_FILE, find_checkpoint
from pistar_vf.errors import CheckpointError, ConfigError
from pistar_vf.messages import RANDOM_TOWERS
from pistar_vf.recipes.config import AlignmentConfig, TrainConfig
from pistar_vf.recipes.preflight import resume_folder

_log = logging.getLogger(__name__)

_BOTH = ("vision tower", "language model")
_FROZEN: dict[str, tuple[str, ...]] = {
    "none": (),
    "siglip_only": _BOTH[:1],
    "all_backbones": _BOTH,
    "all_but_projector": _BOTH,
    "all_but_head": _BOTH,
}


def random_towers(config: TrainConfig | AlignmentConfig) -> tuple[str, ...]:
    """The towers that are frozen at random values, in this run or in the one that it goes on or starts from."""
    start, frozen = config.start, _FROZEN.get(config.freeze_mode, ())
    try:
        resumed = resume_folder(config.run) if isinstance(config, TrainConfig) else None
    except CheckpointError:  # there is none of that name, which is refused elsewhere
        return ()
    if resumed is not None:
        return _stored(resumed)
    if start.source is None:
        return frozen
    earlier = _stored(start.pretrained_path[0]) if start.source == "checkpoint" and start.pretrained_path else ()
    return tuple(tower for tower in frozen if tower in earlier)


def check_start(config: TrainConfig | AlignmentConfig) -> None:
    """Refuses a run whose frozen towers are random, before data is opened; where that is wanted, it warns.

    Raises:
        ConfigError: see `refuse_random_start`.
    """
    warn_of_random_towers(refuse_random_start(config))


def refuse_random_start(config: TrainConfig | AlignmentConfig) -> tuple[str, ...]:
    """The frozen towers that are random, where they may be; loads JAX only to look into a checkpoint.

    Raises:
        ConfigError: there are some, and `allow_random_towers` is not set.
    """
    towers = random_towers(config)
    if towers and not config.start.allow_random_towers:
        raise ConfigError(
            f"--freeze_mode {config.freeze_mode}: expected weights for the {' and the '.join(towers)}, which "
            f"{_are(towers)} frozen, got random ones: nothing would ever teach them to see or to read. Start from\n"
            "  the VLM bundle:       --pretrained_source bundle (pistar-vf train: --load_pretrained)\n"
            "  published towers:     --pretrained_source huggingface --pretrained_path <SigLIP folder> <Gemma folder>\n"
            "                        (such as ~/siglip-so400m-patch14-384 ~/gemma-3-270m-it: --download fills them)\n"
            "  a run of yours:       --pretrained_source checkpoint --pretrained_path <training directory>\n"
            "docs/weights.md says what to download. Or train the towers too (--freeze_mode none); or try the machine "
            "with --allow_random_towers, whose values mean nothing"
        )
    return towers


def warn_of_random_towers(towers: tuple[str, ...]) -> None:
    """Says what a model on random towers is good for; nothing where there are none."""
    if towers:
        _log.warning(RANDOM_TOWERS.format(towers=" and the ".join(towers), are=_are(towers)))


def _are(towers: tuple[str, ...]) -> str:
    return "is" if len(towers) == 1 else "are"


def _stored(path: Path) -> tuple[str, ...]:
    """What a checkpoint says of its own towers; nothing where it has no spec, as those of upstream."""
    from pistar_vf.checkpoints.value_spec import load_value_spec  # loads JAX, which a wrong flag need not wait for

    path = Path(path).expanduser()
    if not (path / SPEC_FILE).is_file():
        try:
            path = find_checkpoint(path)
        except CheckpointError:  # whoever loads it says what is wrong with it
            return ()
    return load_value_spec(path).random_towers if (path / SPEC_FILE).is_file() else ()
