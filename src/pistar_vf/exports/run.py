"""An export from settings to files."""

import dataclasses
from pathlib import Path
from typing import Literal, TypeAlias

from pistar_vf.errors import ConfigError
from pistar_vf.exports.indicator import POSITIVE, label_provenance, read_indicator
from pistar_vf.exports.prompts import PromptStyle, drop_some, write_prompted_copy
from pistar_vf.exports.sidecars import rabc_files, rlinf_files, weight_files, write_files
from pistar_vf.lerobot.dataset import load_lerobot

ExportTarget: TypeAlias = Literal["prompts", "rlinf", "rabc", "weights"]


@dataclasses.dataclass(frozen=True)
class ExportConfig:
    """Hand the labels of a relabelled dataset to a policy's training program.

    `prompts` writes a copy of the dataset whose tasks say the indicator, so that any policy that reads prompts learns
    from it. `rlinf`, `rabc` and `weights` write files that RLinf and LeRobot look labels up in. docs/policies.md has an
    example of each.
    """

    data_dir: str
    """Relabelled dataset: a folder, or local/<name> in the LeRobot cache. It is only read, unless --in_place."""
    to: ExportTarget
    """Who reads the result: prompts (openpi, LeRobot and any other policy that reads prompts), rlinf, rabc (LeRobot's
    reward-aligned behaviour cloning), weights (LeRobot's static sample weights)."""
    output_dir: Path | None = None
    """A new folder for the result. Default: beside the dataset, its name with the target behind it."""
    in_place: bool = False
    """Adds the files of rlinf, rabc or weights to the dataset itself; `pistar-vf undo` takes them away again."""
    adv_col: str = "adv_ind"
    """Column that holds the labels: positive, negative or none."""
    prompt_style: PromptStyle = "comma"
    """Words of --to prompts. comma: "<task>, Advantage: positive" (openpi's fork, kai0). line: the same words in a line
    of their own (Evo-RL, RLinf, recap-lerobot)."""
    dropout: float = 0.0
    """Share of frames whose prompt stays as it was, for policies whose training does not drop the indicator itself; the
    paper drops 0.3."""
    seed: int = 0
    """Decides which frames --dropout draws."""
    tag: str = "pistar_vf"
    """Name of the labels in the files of --to rlinf (its advantage_tag)."""
    chunk_size: int | None = None
    """Action chunk of the policy that --to rabc is for, frames; it must be the policy's own."""


def run_export(config: ExportConfig) -> Path:
    """Writes the result and returns where it is.

    Raises:
        PistarError: the dataset has no labels, or a setting does not fit the target; nothing was written.
    """
    _check(config)
    dataset = load_lerobot(config.data_dir)
    indicator = read_indicator(dataset, config.adv_col)
    output_dir = config.output_dir or dataset.root.with_name(f"{dataset.root.name}_{config.to}")
    share = float((indicator == POSITIVE).mean())
    print(f"{dataset.root}: {dataset.num_frames:,} frames, {share:.1%} positive")
    if config.to == "prompts":
        indicator = drop_some(indicator, config.dropout, config.seed)
        return write_prompted_copy(dataset, output_dir, indicator, config.prompt_style)
    provenance = label_provenance(dataset)
    if config.to == "rlinf":
        files = rlinf_files(dataset, indicator, config.tag, provenance)
    elif config.to == "rabc":
        source = ", ".join(str(model["name"]) for model in provenance.get("checkpoints", ())) or "pistar_vf"
        files = rabc_files(dataset, indicator, config.chunk_size or 0, source)
    else:
        files = weight_files(dataset, indicator)
    written = write_files(dataset, files, None if config.in_place else output_dir, provenance)
    for path in written:
        print(f"written: {path}")
    return dataset.root if config.in_place else output_dir


def _check(config: ExportConfig) -> None:
    if config.to == "rabc" and config.chunk_size is None:
        raise ConfigError("--to rabc: expected --chunk_size, the action chunk of the policy that is to be trained")
    if config.in_place and (config.output_dir is not None or config.to == "prompts"):
        raise ConfigError(
            "--in_place: expected --to rlinf, rabc or weights, and no --output_dir with it; prompts go into a copy"
        )
