"""`pistar-vf <command>`: finds the command's module, runs it, and prints errors a user can act on."""

import difflib
import importlib
import io
import os
import sys
import traceback
from collections.abc import Callable, Sequence

from pistar_vf import __version__
from pistar_vf.cli.os_errors import describe_os_error
from pistar_vf.errors import GateError, GateNotShownError, PistarError

COMMANDS: dict[str, tuple[str, str]] = {
    "train": ("pistar_vf.cli.train", "train a value function on a LeRobot dataset"),
    "align": ("pistar_vf.cli.align", "stage 1 of the stitched model: align the projector on questions about pictures"),
    "label": ("pistar_vf.cli.label", "add the five RECAP columns to a copy of a dataset, from known outcomes"),
    "convert": (
        "pistar_vf.cli.convert",
        "convert weights: bundle, base weights, Hugging Face, checkpoints, safetensors",
    ),
    "check": ("pistar_vf.cli.check", "report everything that is wrong with datasets, and what is in them"),
    "repair": ("pistar_vf.cli.repair", "write a copy of a dataset with its index columns and times counted anew"),
    "merge": ("pistar_vf.cli.merge", "put several datasets into one, without re-encoding"),
    "eval": ("pistar_vf.cli.eval", "score a trained model on held-out episodes, beside three baselines"),
    "visualize": ("pistar_vf.cli.visualize", "draw the value over time, as pictures or as videos"),
    "report": ("pistar_vf.cli.report", "everything known of a dataset and a run, in one HTML file to look at"),
    "curves": ("pistar_vf.cli.curves", "draw the training and validation curves of runs"),
    "relabel": ("pistar_vf.cli.relabel", "label every frame by its advantage under a trained model, behind a gate"),
    "round": ("pistar_vf.cli.round", "one round of RECAP: merge, train out of fold, judge, label, compare"),
    "export": ("pistar_vf.cli.export", "hand the labels to a policy's training: as prompts, for RLinf or for LeRobot"),
    "serve": ("pistar_vf.cli.serve", "answer a running robot's observations with values, over openpi's protocol"),
    "select": ("pistar_vf.cli.select", "rank trajectories under a trained model, and write a dataset of the best"),
    "undo": ("pistar_vf.cli.undo", "take back what was changed in a dataset in place, or repair it after a kill"),
    "convert-dataset": (
        "pistar_vf.cli.convert_dataset",
        "convert a dataset between the LeRobot layouts v2.1 and v3.0, without re-encoding",
    ),
    "patch": ("pistar_vf.cli.patch", "repair a checkout of the upstream openpi fork"),
    "inspect": ("pistar_vf.cli.inspect", "describe a checkpoint, a bundle or a file of weights"),
    "explain": ("pistar_vf.cli.explain", "say what an error message means and what to do"),
    "doctor": ("pistar_vf.cli.doctor", "try whether everything works here, and say what to do where it does not"),
}
"""Command to (module, help). A module offers `main(argv: list[str]) -> None` and is imported only when called."""

EXIT_USER_ERROR = 2
EXIT_GATE_FAILED = 3
EXIT_GATE_NOT_SHOWN = 4
EXIT_INTERRUPTED = 130
EXIT_BROKEN_PIPE = 141


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command.

    Args:
        argv: the words after `pistar-vf`; None reads the command line.

    Returns:
        The exit code: 0, 2 for an error of the user, 3 where the gate refused to label, 4 where it had too little
        evidence for a verdict, 130 after Ctrl-C, 141 where nobody reads the output any more.
    """
    show_what_can_be_shown()
    argv = list(sys.argv[1:] if argv is None else argv)
    if not argv:
        print(_help(), file=sys.stderr)
        return EXIT_USER_ERROR
    command, *rest = argv
    if command in ("-h", "--help"):
        print(_help())
        return 0
    if command == "--version":
        print(f"pistar-vf {__version__}")
        return 0
    if command not in COMMANDS:
        print(_unknown_command(command), file=sys.stderr)
        return EXIT_USER_ERROR
    return run_command(lambda words: importlib.import_module(COMMANDS[command][0]).main(words), rest)


def run_command(module_main: Callable[[list[str]], None], argv: list[str]) -> int:
    """Runs a command's `main` and turns its errors into one message and an exit code.

    `PISTAR_VF_TRACEBACK=1` adds the traceback. Errors of the disk are said like ours. All others are bugs: they
    keep theirs.

    Args:
        module_main: the command.
        argv: its words.

    Returns:
        The exit code, for `sys.exit`.
    """
    show_what_can_be_shown()
    try:
        try:
            module_main(argv)
        finally:
            sys.stdout.flush()
    except BrokenPipeError:
        # Whoever read the output has seen enough, as in `| head`; nor may Python complain when it flushes at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_BROKEN_PIPE
    except PistarError as error:
        return _refuse(error, str(error))
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return EXIT_INTERRUPTED
    except OSError as error:
        if (said := describe_os_error(error)) is None:
            raise
        return _refuse(error, said)
    except (RuntimeError, AssertionError) as error:
        if not _is_about_devices(error):
            raise
        return _refuse(error, _NO_DEVICE.format(os.environ["JAX_PLATFORMS"], _first_line(error)))
    return 0


def _refuse(error: BaseException, said: str) -> int:
    """Prints what is wrong, with the place where it was raised for who asks for that, and returns the exit code."""
    if os.environ.get("PISTAR_VF_TRACEBACK") == "1":
        traceback.print_exc()
    print(f"error: {said}", file=sys.stderr)
    return _exit_code(error)


_NO_DEVICE = (
    "JAX_PLATFORMS={}: expected a device of this kind, got none that JAX can use ({}); `pistar-vf doctor` says what is "
    "here; without the variable JAX takes the best device there is"
)


def show_what_can_be_shown() -> None:
    """On a terminal or a log that is not Unicode, signs it lacks become question marks instead of errors.

    A stream that is closed, as a service or `>&-` leaves it, is None in Python: what is printed there goes nowhere.
    """
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115 (as long as the process lives)
        if isinstance(stream, io.TextIOWrapper) and stream.errors in ("strict", "surrogateescape"):
            stream.reconfigure(errors="replace")


def _is_about_devices(error: BaseException) -> bool:
    """Whether JAX raised it while it looked for the devices that the environment names."""
    if not os.environ.get("JAX_PLATFORMS"):
        return False
    frames = traceback.extract_tb(error.__traceback__)
    return any(frame.filename.endswith("xla_bridge.py") for frame in frames) or _devices_fail_alike(error)


def _devices_fail_alike(error: BaseException) -> bool:
    """Whether JAX took its own frames out of the traceback, and says the same where only its devices are asked for."""
    if not any("JAX" in note for note in getattr(error, "__notes__", ())):
        return False
    try:
        importlib.import_module("jax").devices()
    except (RuntimeError, AssertionError) as again:
        return str(again) == str(error)
    return False


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]


def _exit_code(error: BaseException) -> int:
    if isinstance(error, GateNotShownError):
        return EXIT_GATE_NOT_SHOWN
    return EXIT_GATE_FAILED if isinstance(error, GateError) else EXIT_USER_ERROR


def _help() -> str:
    width = max(map(len, COMMANDS))
    commands = "\n".join(f"  {name:<{width}}  {text}" for name, (_, text) in COMMANDS.items())
    return f"""usage: pistar-vf <command> [flags]

commands:
{commands}

  pistar-vf <command> --help   all flags of a command
  pistar-vf train --demo       the whole thing on a small synthetic robot, without data or weights
  pistar-vf --version          the version

PISTAR_VF_TRACEBACK=1 shows where an error was raised."""


def _unknown_command(command: str) -> str:
    close = difflib.get_close_matches(command, COMMANDS, n=1)
    hint = f"did you mean '{close[0]}'?" if close else "see `pistar-vf --help`"
    return f"error: expected a command ({', '.join(COMMANDS)}), got '{command}'; {hint}"
