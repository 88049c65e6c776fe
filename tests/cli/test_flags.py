"""The face of the commands: every flag with its default stays, and asking for help loads nothing heavy."""

import ast
import dataclasses
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.places import ROOT

from pistar_vf.cli import (
    align,
    check,
    convert,
    convert_dataset,
    curves,
    doctor,
    draw_architectures,
    explain,
    inspect,
    merge,
    patch,
    repair,
    round,
    serve,
    undo,
)
from pistar_vf.cli.main import COMMANDS, main
from pistar_vf.cli.parsing import flag_value, kinds_of_flags, ordered, parse
from pistar_vf.cli.train import TrainCommand, parse_command
from pistar_vf.evaluation.config import EvalConfig, VisualizeConfig
from pistar_vf.exports.config import ExportConfig
from pistar_vf.overview.config import ReportConfig
from pistar_vf.recipes.config import AlignmentConfig
from pistar_vf.recipes.label_config import LabelConfig
from pistar_vf.relabel.config import RelabelConfig
from pistar_vf.relabel.select_config import SelectConfig
from pistar_vf.settings import Composed

RECORDED = json.loads(Path(__file__).with_name("recorded_flags.json").read_text(encoding="utf-8"))
"""Command to flag to default, as they were before settings became blocks; presets where they differ from `pistar`."""
PRESET = "train --preset "
KINDS = {
    "align": AlignmentConfig,
    "export": ExportConfig,
    "label": LabelConfig,
    "eval": EvalConfig,
    "visualize": VisualizeConfig,
    "report": ReportConfig,
    "relabel": RelabelConfig,
    "select": SelectConfig,
    "curves": curves.CurvesArgs,
    "check": check.CheckArgs,
    "merge": merge.MergeArgs,
    "convert": convert.ConvertArgs,
    "convert-dataset": convert_dataset.ConvertDatasetArgs,
    "doctor": doctor.DoctorArgs,
    "inspect": inspect.InspectArgs,
    "explain": explain.ExplainArgs,
    "round": round.RoundArgs,
    "serve": serve.ServeArgs,
    "undo": undo.UndoArgs,
    "patch": patch.PatchArgs,
    "draw_architectures": draw_architectures.DrawConfig,
}
POSITIONAL = {"inspect": "path", "patch": "target", "explain": "message"}
VALUES = {("convert", "to"): "bundle", ("export", "to"): "prompts"}
"""What required flags get where a word will not do."""


def plain(value):
    if isinstance(value, Path):
        return str(value)
    return [plain(part) for part in value] if isinstance(value, tuple) else value


def parsed(command: str, recorded: dict) -> dict:
    """All settings of a command line with nothing but the required flags."""
    required = [name for name, default in recorded.items() if default == "required"]
    words = []
    for name in required:
        value = VALUES.get((command, name), "x")
        words += [value] if POSITIONAL.get(command) == name else [f"--{name}", value]
    if command.startswith(PRESET):
        settings = parse_command(["--preset", command.removeprefix(PRESET), "--data_dir", "x", "--checkpoint_dir", "x"])
    else:
        settings = parse(KINDS[command], words, command)
    flat = settings.flat() if isinstance(settings, Composed) else dataclasses.asdict(settings)
    return {name: "required" if name in required else plain(value) for name, value in flat.items()}


@pytest.mark.parametrize("command", [name for name in RECORDED if not name.startswith(PRESET)] + [PRESET + "pistar"])
def test_every_flag_and_default_stays(command):
    found = parsed(command, RECORDED[command])
    assert {name: found.get(name, "gone") for name in RECORDED[command]} == RECORDED[command]


@pytest.mark.parametrize("preset", ["tiny", "stitched", "tiny_stitched"])
def test_the_presets_stay(preset):
    expected = RECORDED[PRESET + "pistar"] | RECORDED[PRESET + preset]
    found = parsed(PRESET + preset, RECORDED[PRESET + "pistar"])
    assert {name: found[name] for name in expected} == expected


def test_every_command_stays():
    assert {name.split()[0] for name in RECORDED} <= {*COMMANDS, "draw_architectures"}


@pytest.mark.parametrize("kind", [TrainCommand, *KINDS.values()])
def test_no_two_blocks_share_a_name(kind):
    if issubclass(kind, Composed):
        assert len(set(kind.names())) == len(kind.names())


_GIT = {"--no-renames", "--porcelain", "--untracked-files", "--show-prefix", "--error-unmatch", "--quiet"}
_PIP = {"--force-reinstall", "--no-deps", "--only-binary"}
_HF = {"--cache-dir", "--include", "--repo-type", "--revision", "--local-dir"}
_TRAIN_PY = {
    "--stage",
    "--stage1",
    "--stage2",
    "--dataset_name",
    "--output_base",
}  # scripts/train.py, the seed's program
OF_OTHER_PROGRAMS = {
    "cli/main.py": {"--help", "--version"},
    "cli/robot.py": {"--help", "--parquet-dir", "--video-root", "--cache-dir"},  # the seed's spelling
    "cli/stages.py": {"--help", *_TRAIN_PY},
    "demo/stitched_demo.py": _TRAIN_PY,
    "doctor": _PIP,
    "health/rollouts.py": {"--strategy"},  # of lerobot-rollout
    "hub/files.py": _HF,
    "patching": _GIT,
    "questions/resolve.py": _HF,
    "tokenizer.py": _HF,
    "weights/downloads.py": _HF,
}
"""Flags that are none of ours, and why they are named; by file or room."""


def flags_of_strings() -> Iterator[tuple[str, str]]:
    """(file, flag) for every flag in a string that is no docstring."""
    package = ROOT / "src" / "pistar_vf"
    for path in sorted(package.rglob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        alone = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
        texts = (n.value for n in ast.walk(tree) if isinstance(n, ast.Constant) and id(n) not in alone)
        for text in texts:
            for flag in re.findall(r"(?<![\w-])--[a-z][\w-]*", text) if isinstance(text, str) else ():
                yield path.relative_to(package).as_posix(), flag


def test_messages_name_flags_that_are_there():
    """A setting is called by its flag in the messages of every room: that is its field's name and nothing else."""
    kinds = (TrainCommand, align.AlignCommand, repair.RepairArgs, *KINDS.values())
    names = (k.names() if issubclass(k, Composed) else (f.name for f in dataclasses.fields(k)) for k in kinds)
    ours = {f"--{no}{name}" for own in names for name in own for no in ("", "no_", "no-")}
    others = {(place, flag) for place, flags in OF_OTHER_PROGRAMS.items() for flag in flags}
    found = set(flags_of_strings())
    unknown = {
        (file, flag)
        for file, flag in found
        if flag not in ours and not {(file, flag), (file.split("/")[0], flag)} & others
    }
    assert unknown == set()
    assert len(found) > 150


HEAVY = ("jax", "flax", "optax", "orbax", "pyarrow", "numpy", "av", "torch", "matplotlib", "sentencepiece")
ASK_ALL = f"""
import contextlib, io, json, sys
from pistar_vf.cli.main import COMMANDS, main
heavy = {{}}
for command in COMMANDS:
    with contextlib.redirect_stdout(io.StringIO()) as text, contextlib.suppress(SystemExit):
        main([command, "--help"])
    heavy[command] = [len(text.getvalue()) > 200, [name for name in {HEAVY} if name in sys.modules]]
print(json.dumps(heavy))
"""


def test_help_loads_nothing_heavy():
    done = subprocess.run([sys.executable, "-c", ASK_ALL], check=True, capture_output=True, text=True)
    assert json.loads(done.stdout) == {command: [True, []] for command in COMMANDS}


def test_help_into_a_closed_pipe_ends_quietly():
    program = f"{sys.executable} -c 'import sys; from pistar_vf.cli.main import main; sys.exit(main())'"
    words = f"{program} train --help | head -1; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", words], capture_output=True, text=True)
    assert done.stderr == ""
    assert done.returncode in (0, 141)
    assert done.stdout.startswith("usage: pistar-vf train")


# --- one pass over the words -----------------------------------------------------------------------------------

FLAGS = {"d": "many", "e": "joined", "n": "one", "on": "none"}


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("--d a --d b", "--d a b"),
        ("--d a --n 1 --d b c", "--n 1 --d a b c"),
        ("--d=a --d=b --n=1", "--n 1 --d a b"),
        ("--e 0 2 4 --n -1", "--n -1 --e 0,2,4"),
        ("--e 0-3 --e 7,8", "--e 0-3,7,8"),
        ("--unknown a b", "--unknown a b"),
        ("stray --n 1 2", "stray --n 1 2"),
        ("--d", "--d"),
        ("", ""),
    ],
)
def test_values_of_one_flag_come_together(words, expected):
    assert ordered(words.split(), FLAGS) == expected.split()


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("a b", "--d a b"),
        ("--on a b", "--on --d a b"),
        ("--no_on a", "--no_on --d a"),
        ("--n 1 a b", "--n 1 --d a b"),
        ("a --n 1 --d b", "--n 1 --d a b"),
    ],
)
def test_bare_words_belong_to_one_flag(words, expected):
    assert ordered(words.split(), FLAGS, "d") == expected.split()


def test_how_many_words_a_flag_takes():
    kinds = kinds_of_flags(TrainCommand)
    assert (kinds["data_dir"], kinds["pretrained_path"], kinds["batch_size"], kinds["remat"]) == (
        *("many", "many"),
        *("one", "none"),
    )
    assert {name for name, kind in kinds.items() if kind == "joined"} == {"train_episodes", "val_episodes"}


@pytest.mark.parametrize("words", ["--preset tiny --n 1", "--n 1 --preset=tiny", "--preset big --preset tiny"])
def test_the_value_a_flag_will_have(words):
    assert flag_value(words.split(), "--preset") == "tiny"
    assert flag_value(words.split(), "--other") is None


@pytest.mark.parametrize("words", [["--val_episodes", "0", "2", "4"], ["--val_episodes", "0,2,4"]])
def test_episodes_after_one_flag_or_with_commas(words):
    assert parse_command(["--data_dir", "d", "--checkpoint_dir", "c", *words]).val_episodes == "0,2,4"


@pytest.mark.parametrize(
    "words",
    [
        ["train", "--demo", "--num_train_steps", "10", "--no_such_flag", "x"],
        ["train", "--data_dir", "d", "--checkpoint_dir", "c", "--no_such_flag"],
        ["eval", "--checkpoint", "c", "stray"],
        ["merge", "a", "b", "--output_dir", "o", "--no_such_flag", "x"],
    ],
)
def test_an_unknown_word_is_refused(words, capsys):
    with pytest.raises(SystemExit) as exit_info:
        main(words)
    assert exit_info.value.code == 2
    err = capsys.readouterr().err
    assert "no_such_flag" in err or "stray" in err


def test_the_demo_takes_the_flags_of_a_run(monkeypatch, tmp_path):
    from pistar_vf.demo import value_demo

    seen = []
    monkeypatch.setattr(value_demo, "run_demo", lambda folder, **changes: seen.append((folder, changes)))
    assert main(["train", "--demo", "--demo_dir", str(tmp_path), "--num_train_steps", "10"]) == 0
    assert seen == [(tmp_path, {"num_train_steps": 10})]


@pytest.mark.parametrize("words", [["--data_dir", "d"], ["--preset", "stitched"]])
def test_the_demo_brings_its_own(words, capsys):
    assert main(["train", "--demo", *words]) == 2
    assert f"{words[0]}: expected no such flag with --demo, which makes its own" in capsys.readouterr().err
