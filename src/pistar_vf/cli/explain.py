"""`pistar-vf explain`: what an error message means and what to do, without a network."""

import dataclasses
from collections.abc import Sequence
from typing import Annotated

import tyro

from pistar_vf.cli.parsing import parse
from pistar_vf.errors import ConfigError


@dataclasses.dataclass(frozen=True)
class ExplainArgs:
    """Find what the documentation says about an error message: `pistar-vf explain "expected a finite value label"`.

    Paste the message, or the part of it that names no file of yours.
    """

    message: Annotated[tuple[str, ...], tyro.conf.Positional]
    """The error, in quotes or not."""


def main(argv: Sequence[str]) -> None:
    """Parses the command line and prints the entries that fit.

    Raises:
        ConfigError: nothing fits.
    """
    args = parse(ExplainArgs, argv, "pistar-vf explain")
    from pistar_vf.doctor.explain import explain, read_entries

    message = " ".join(args.message)
    found = explain(message, read_entries())
    if not found:
        raise ConfigError(
            f"expected a message of docs/failures.md, found nothing like {message!r}; `pistar-vf doctor` looks for "
            "faults of the installation, PISTAR_VF_TRACEBACK=1 shows where an error was raised"
        )
    for entry in found:
        print(f"{entry.section}: {entry.message}\n    {entry.advice}")
