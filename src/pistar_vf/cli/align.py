"""`pistar-vf align`: stage 1 of the stitched model, the projector on questions about pictures."""

import dataclasses
import shlex
from collections.abc import Sequence
from pathlib import Path

from pistar_vf.cli.parsing import flag_value, parse
from pistar_vf.cli.train import device_advice, join_quietly, refuse_early, resume_advice, setup_logging
from pistar_vf.recipes.config import AlignmentConfig


@dataclasses.dataclass(frozen=True)
class SourceOfSettings:
    """Where settings come from that no flag names."""

    settings: Path | None = None
    """A run's settings.json, or a folder with one (a run's or a checkpoint's): its settings become the defaults."""


@dataclasses.dataclass(frozen=True)
class AlignCommand(AlignmentConfig):
    command: SourceOfSettings = SourceOfSettings()


AlignCommand.__doc__ = AlignmentConfig.__doc__


def main(argv: Sequence[str]) -> Path:
    """Parses the command line and runs the command."""
    setup_logging()
    config = parse_alignment(argv)
    job = join_quietly(config)
    config = refuse_early(config)
    from pistar_vf.cli.programs import keep_programs
    from pistar_vf.multihost import initialize_processes
    from pistar_vf.recipes.alignment import run_alignment

    keep_programs(None)
    initialize_processes(job)
    with resume_advice(), device_advice():
        projector = run_alignment(config)
    flags = shlex.join(["--projector_path", str(projector)])
    print(f"result: {projector}; go on with: pistar-vf train --preset stitched {flags} …")
    return projector


def parse_alignment(argv: Sequence[str]) -> AlignmentConfig:
    """Flags to settings; the defaults are those of `--settings`, if it is given."""
    default, path = AlignmentConfig(), flag_value(argv, "--settings")
    if path is not None:
        from pistar_vf.recipes.settings_file import read_settings

        default = read_settings(Path(path).expanduser(), AlignmentConfig)
    command = parse(AlignCommand, argv, "pistar-vf align", default=AlignCommand(**default.blocks()))
    return AlignmentConfig(**{name: block for name, block in command.blocks().items() if name != "command"})
