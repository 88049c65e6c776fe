"""What a relabelling reads and where it writes, from settings: checkpoints, cameras, rollouts, the output folder."""

import logging
from collections.abc import Sequence
from pathlib import Path

from pistar_vf.changes.staging import check_output
from pistar_vf.checkpoints.folds import fold_checkpoints
from pistar_vf.errors import ConfigError, DatasetError
from pistar_vf.labels.outcomes import outcomes_of_flags
from pistar_vf.labels.targets import REWARD_COLUMN
from pistar_vf.lerobot.dataset import LeRobotDataset
from pistar_vf.relabel.config import RelabelConfig
from pistar_vf.relabel.models import ScoringModel
from pistar_vf.relabel.read import read_rollouts, read_upstream_rollouts
from pistar_vf.relabel.rollouts import Rollouts
from pistar_vf.upstream.spec import UpstreamInputs

_log = logging.getLogger(__name__)


def output_folder(config: RelabelConfig, dataset: LeRobotDataset) -> Path | None:
    """Where a new dataset or sidecar goes; None in place. Refused before anything is computed."""
    if config.in_place:
        if config.output_dir is not None:
            raise ConfigError("--in_place: expected no --output_dir with it; labels go into the dataset itself")
        return None
    suffix = "_labels" if config.output == "sidecar" else "_relabelled"
    output_dir = config.output_dir or dataset.root.with_name(dataset.root.name + suffix)
    if not config.dry_run:
        check_output(dataset.root, output_dir)
    return output_dir


def chosen_checkpoints(config: RelabelConfig) -> tuple[Path, ...]:
    """The checkpoints to score with; a name is looked for in every folder, and in the folds of one that has some."""
    if config.checkpoint_name is None:
        return config.checkpoint_dir
    name = config.checkpoint_name
    return tuple(found for path in config.checkpoint_dir for found in fold_checkpoints(path, name) or (path / name,))


def scored_cameras(config: RelabelConfig, dataset: LeRobotDataset, model: ScoringModel) -> dict[str, str | None]:
    """The cameras that the model was trained on, in this dataset.

    Raises:
        ConfigError: a camera that training did not have.
        DatasetError: the dataset lacks a camera.
    """
    trained = model.predictor.spec.camera_keys
    given = {
        "base_0_rgb": config.base_image_col,
        "wrist_0_rgb": config.wrist_image_col,
        "right_wrist_0_rgb": config.right_wrist_image_col,
    }
    renamed = {name: key for name, key in given.items() if key is not None}
    new = [f"{name} ('{key}')" for name, key in renamed.items() if trained.get(name) is None]
    if config.copy_wrist_to_right and "right_wrist_0_rgb" not in trained:
        new.append("right_wrist_0_rgb (--copy_wrist_to_right)")
    if new:
        raise ConfigError(
            f"{model.checkpoint}: expected the cameras of training, {', '.join(sorted(trained))}, got {', '.join(new)} "
            "besides: its values would mean nothing with pictures it never saw. Leave that flag out"
        )
    wanted = {name: renamed.get(name, key) for name, key in trained.items()}
    if not model.says_inputs:
        _warn_without_wrist(dataset, wanted)
    missing = [f"{name} ('{key}')" for name, key in wanted.items() if key and key not in dataset.camera_keys]
    if missing:
        raise DatasetError(
            f"{dataset.root}: expected the cameras of training, it lacks {', '.join(missing)}; it has "
            f"{', '.join(dataset.camera_keys)}. Name them with --base_image_col and --wrist_image_col"
        )
    return wanted


def _warn_without_wrist(dataset: LeRobotDataset, wanted: dict[str, str | None]) -> None:
    if wanted["wrist_0_rgb"] is None and len(dataset.camera_keys) > 1:
        _log.warning(
            "scoring without a wrist camera, though %s has the cameras %s: if upstream trained with one of them, name "
            "it with --wrist_image_col, else the values are wrong",
            dataset.root,
            ", ".join(dataset.camera_keys),
        )


def upstream_inputs(config: RelabelConfig) -> UpstreamInputs:
    """What the flags say about a checkpoint that says nothing itself."""
    cameras = {"base_0_rgb": config.base_image_col, "wrist_0_rgb": config.wrist_image_col}
    if config.right_wrist_image_col is not None:
        cameras["right_wrist_0_rgb"] = config.right_wrist_image_col
    return UpstreamInputs(cameras, config.tokenizer_path)


def refuse_random_towers(config: RelabelConfig, models: Sequence[ScoringModel]) -> None:
    """Before anything is computed: such a model has seen no picture."""
    for model in models:
        towers = " and the ".join(model.predictor.spec.random_towers)
        if towers and not config.force:
            raise ConfigError(
                f"{model.checkpoint}: expected a model whose towers have weights, got one whose {towers} stayed random "
                "(--allow_random_towers): its values mean nothing. Train from weights, see docs/weights.md; --force "
                "goes on all the same"
            )


def read_inputs(config: RelabelConfig, dataset: LeRobotDataset, model: ScoringModel) -> Rollouts:
    """Rewards, outcomes and interventions, as the flags say."""
    outcomes = outcomes_of_flags(dataset, config)
    if config.compat == "upstream":
        return read_upstream_rollouts(
            dataset,
            reward_column=config.reward_col or REWARD_COLUMN,
            intervention_column=config.human_col,
            outcomes=outcomes,
            convention=config.label_convention,
        )
    return read_rollouts(
        dataset,
        model.predictor.spec,
        outcomes=outcomes,
        reward_column=config.reward_col,
        intervention_column=config.human_col,
        convention=config.label_convention,
        still_tolerance=config.still_tolerance,
    )
