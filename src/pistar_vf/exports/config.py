"""Settings of `pistar-vf export`; the fields are the command's flags."""

import dataclasses
from pathlib import Path

from pistar_vf.choices import ExportTarget, PromptStyle


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
