"""`scripts/train.py`: stage 1, stage 2 or both of the stitched model, in one output folder.

Every other flag is that of the stage's own command; flags that only one stage knows are given to that one.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

from pistar_vf.checkpoints.layout import BEST_PROJECTOR, TOKENIZER_FILE
from pistar_vf.cli.align import main as align
from pistar_vf.cli.robot import main as train_robot
from pistar_vf.cli.robot import train_words
from pistar_vf.cli.train import parse_config
from pistar_vf.errors import ConfigError
from pistar_vf.recipes.config import AlignmentConfig, TrainConfig

_HELP = """Stitched model: stage 1 aligns the projector on questions about pictures, stage 2 trains the value function
on a robot dataset, from that projector. Results: OUTPUT_BASE/alignment (OUTPUT_BASE_alignment links to it) and
OUTPUT_BASE/robot_vf.

Flags of stage 1 (pistar-vf align --help) and stage 2 (scripts/train_robot_vf.py --help) may be mixed; one that both
have is given to both. A flag for one stage only: --stage1.num_train_steps 2000, --stage2.batch_size 16. With --stage 1
or 2, flags of the other stage have no effect."""
_OWN = {
    "checkpoint_dir": "results go to OUTPUT_BASE/alignment and OUTPUT_BASE/robot_vf; pass --output_base",
    "projector_path": "pass --projector_path as it is, with --stage 2",
}


def main(argv: Sequence[str]) -> None:
    """Parses what the stages share and hands the rest on."""
    parser = argparse.ArgumentParser(
        prog="train.py", description=_HELP, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("--stage", choices=("1", "2", "both"), default="both", help="what to run (default: both)")
    parser.add_argument("--output_base", type=Path, default=Path("outputs"), help="where results go (default: outputs)")
    parser.add_argument("--projector_path", type=Path, help="stage 2 alone: the projector to start from")
    parser.add_argument(
        "--demo", action="store_true", help="both stages at tiny size, without data or weights; takes the same flags"
    )
    parser.add_argument("--demo_dir", type=Path, default=Path("outputs/stitched_demo"), help="where the demo goes")
    own, rest = parser.parse_known_args(argv)
    first, second = split_flags(rest)
    if own.demo:
        from pistar_vf.demo.stitched_demo import run_stitched_demo

        run_stitched_demo(own.demo_dir, main, words=rest)
        return
    if own.projector_path is not None and own.stage != "2":
        raise ConfigError(f"--projector_path {own.projector_path}: expected --stage 2 with it; stage 1 makes its own")
    alignment = own.output_base / "alignment"
    projector = own.projector_path or alignment / BEST_PROJECTOR
    second += ["--checkpoint_dir", str(own.output_base / "robot_vf"), "--projector_path", str(projector)]
    if own.stage != "1":
        _check_stage_2(second)
    if own.stage != "2":
        align([*first, "--checkpoint_dir", str(alignment)])
        _link_beside(own.output_base)
    if own.stage != "1":
        if not projector.is_file():
            raise ConfigError(f"--projector_path {projector}: no such file; run --stage 1 first, or name one")
        train_robot([*second, *_tokenizer_words(second, projector)])


def _link_beside(output_base: Path) -> None:
    """OUTPUT_BASE_alignment, the name under which stage 2 by hand looks for `best_projector.pt`, becomes a link."""
    link, target = output_base.with_name(f"{output_base.name}_alignment"), Path(output_base.name) / "alignment"
    try:
        if not link.is_symlink():
            link.symlink_to(target, target_is_directory=True)
    except OSError as error:
        print(f"{link}: not made a link to {target} ({error.strerror}); name {target} to stage 2")


def _check_stage_2(words: Sequence[str]) -> None:
    """Refuses before hours of stage 1 what stage 2 could not begin with."""
    from pistar_vf.lerobot.metadata import find_dataset

    for folder in parse_config(train_words(words)).data.data_dirs:
        find_dataset(folder)


def _tokenizer_words(words: Sequence[str], projector: Path) -> list[str]:
    """The projector belongs to the tokenizer beside it, unless the user names one."""
    tokenizer = projector.parent / TOKENIZER_FILE
    named = any(word.split("=")[0] == "--tokenizer_path" for word in words)
    return ["--tokenizer_path", str(tokenizer)] if tokenizer.is_file() and not named else []


def split_flags(words: Sequence[str]) -> tuple[list[str], list[str]]:
    """(words for stage 1, words for stage 2): each flag, spelt with underscores, goes to the stages that know it.

    Raises:
        ConfigError: a flag that neither knows, one that this command sets itself, or a word before the first flag.
    """
    names = {"stage1": set(AlignmentConfig.names()), "stage2": set(TrainConfig.names()) | {"parquet_dir", "video_root"}}
    parts: dict[str, list[str]] = {"stage1": [], "stage2": []}
    receivers: list[str] = []
    for given in words:
        word = given
        if given.startswith("--"):
            flag, equals, value = given[2:].partition("=")
            stage, _, name = flag.replace("-", "_").rpartition(".")
            plain = name.removeprefix("no_")
            if plain in _OWN:
                raise ConfigError(f"{given}: {_OWN[plain]}")
            receivers = [s for s in names if plain in names[s] and stage in ("", s)]
            word = f"--{name}{equals}{value}"
        if not receivers:
            raise ConfigError(f"{given}: expected a flag of stage 1 or stage 2, see --help")
        for receiver in receivers:
            parts[receiver].append(word)
    return parts["stage1"], parts["stage2"]
