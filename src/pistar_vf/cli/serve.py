"""`pistar-vf serve`: values for a running robot, over openpi's websocket protocol."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

from pistar_vf.cli.parsing import parse
from pistar_vf.errors import ConfigError
from pistar_vf.installation import install_command


@dataclasses.dataclass(frozen=True)
class ServeArgs:
    """Answer observations of robot clients with the value, its uncertainty and an alarm.

    A client of openpi's policy servers can ask as it is; docs/serving.md shows one, and what the replies hold.
    """

    checkpoint: Path
    """A checkpoint (step_…), or a training directory: its best checkpoint by validation loss, else its last one."""
    host: str = "127.0.0.1"
    """Address to listen at; 0.0.0.0 lets other machines ask."""
    port: int = 8000
    """Port to listen at; 0 takes a free one and prints it."""
    deadline_seconds: float = 0.2
    """A reply that takes longer says that it is late."""
    max_batch: int = 8
    """Requests of different clients that are computed together."""
    alarm_drop: float = 0.2
    """The alarm goes on when V has been so far below its best for --alarm_frames frames."""
    alarm_recovered: float = 0.1
    """The alarm goes off when V has been so near to its best for --alarm_frames frames."""
    alarm_frames: int = 5
    """Frames in a row that turn the alarm on or off."""


def main(argv: Sequence[str]) -> None:
    """Parses the command line and serves until Ctrl-C.

    Raises:
        ConfigError: the packages of the extra `serve` are missing, or the address cannot be had.
    """
    args = parse(ServeArgs, argv, "pistar-vf serve")
    try:
        from pistar_vf.serving.server import ServerSettings, ValueServer
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in ("websockets", "msgpack"):
            raise
        raise ConfigError(f"serving needs websockets and msgpack ({error}): {install_command('serve')}") from error
    import asyncio

    from pistar_vf.cli.train import setup_logging
    from pistar_vf.inference.predictor import load_value_model
    from pistar_vf.serving.monitor import AlarmRule

    setup_logging()
    rule = AlarmRule(args.alarm_drop, args.alarm_recovered, args.alarm_frames)
    settings = ServerSettings(args.host, args.port, args.deadline_seconds, args.max_batch)
    server = ValueServer(load_value_model(args.checkpoint), settings, rule)
    try:
        asyncio.run(server.run())
    except OSError as error:
        raise ConfigError(f"cannot listen at {args.host}:{args.port}: {error}; pass another --port") from error
