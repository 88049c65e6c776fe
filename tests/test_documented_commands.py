"""Every shell block of README and docs is read by the commands themselves: no flag or file that is not there."""

import importlib
import re
import shlex
import tomllib
from pathlib import Path

import pytest
import tyro
from support.places import ROOT

from pistar_vf.cli.main import COMMANDS
from pistar_vf.recipes.config import AlignmentConfig, TrainConfig
from pistar_vf.recipes.start import check_start

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
OF_OTHERS = ("git", "uv", ".", "cd", "hf", "tmux", "nvidia-smi")
"""Programs that are not ours."""
SCRIPTS = {
    "train_value": "train",
    "label_advantage_from_vlm": "relabel",
    "eval_test": "eval",
    "visualize_value_function": "visualize",
    "train_alignment": "align",
    "apply_patches": "patch",
}
OTHER_MODULES = {"train": "stages", "train_robot_vf": "robot", "draw_architectures": "draw_architectures"}


def blocks(page: Path) -> list[str]:
    return re.findall(r"^```(?:sh|bash)\n(.*?)^```", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)


def commands(block: str) -> list[list[str]]:
    """The words of every command of a block, without the environment in front."""
    lines = block.replace("\\\n", " ").splitlines()
    parts = [shlex.split(part, comments=True) for line in lines for part in line.split(" && ")]
    return [strip_environment(words) for words in parts if words]


def strip_environment(words: list[str]) -> list[str]:
    while words and re.fullmatch(r"[A-Z_]+=.*", words[0]):
        words = words[1:]
    return words


ALL = [(page, words) for page in PAGES for block in blocks(page) for words in commands(block)]


class Parsed(Exception):
    """Carries the settings that a command has read, in place of running it."""


def module_of(words: list[str]) -> tuple[str, list[str]] | None:
    """(module of ours, its words), or None for a program that is not ours."""
    if words[0] in ("accelerate", "torchrun"):
        words = ["python", *words[next(i for i, word in enumerate(words) if word.endswith(".py")) :]]
    if words[0] == "pistar-vf":
        return COMMANDS[words[1]][0], words[2:]
    if words[0] == "python" and words[1].startswith("scripts/"):
        name = Path(words[1]).stem
        if name in SCRIPTS:
            return COMMANDS[SCRIPTS[name]][0], words[2:]
        if name in OTHER_MODULES:
            return f"pistar_vf.cli.{OTHER_MODULES[name]}", words[2:]
    return None


@pytest.fixture
def read(monkeypatch):
    """Lets a module read a command line, and gives what it read."""
    original = tyro.cli

    def cli(*arguments, **options):
        raise Parsed(original(*arguments, **options))

    def read(module, words):
        with pytest.raises(Parsed) as parsed:
            importlib.import_module(module).main(words)
        return parsed.value.args[0]

    monkeypatch.setattr(tyro, "cli", cli)
    monkeypatch.setattr("pistar_vf.curation.free_folders.open.dataset_of_folders", lambda *folders: Path("dataset"))
    return read


@pytest.mark.parametrize(("page", "words"), ALL, ids=lambda value: value.name if isinstance(value, Path) else None)
def test_a_command_is_one(page, words, read):
    found = module_of(words)
    if words[0].startswith("--"):
        assert {word[2:] for word in words if word.startswith("--")} <= set(TrainConfig.names())
    elif found is not None and "…" in words:
        flags = {word[2:].split("=")[0].split(".")[-1] for word in words if word.startswith("--")}
        assert flags <= {*TrainConfig.names(), *AlignmentConfig.names(), "settings"}
    elif found is not None:
        check_weights(read(*found) if "--demo" not in words else None)
    elif words[0] == "make":
        assert re.search(rf"^{words[1]}:", (ROOT / "Makefile").read_text(), re.MULTILINE)
    elif words[:2] == ["pip", "install"]:
        extras = {e for word in words for group in re.findall(r"\[(.*?)\]", word) for e in group.split(",")}
        project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
        assert extras <= set(project["optional-dependencies"])
    elif words[:2] == ["python", "-c"]:
        compile(words[2], page.name, "exec")
    elif words[0] == "python" or words[0].startswith("scripts/"):
        script = ROOT / words[words[0] == "python"]
        assert script.is_file()
        passed_on = script.suffix == ".sh"
        flags = {word.split("=")[0] for word in words if word.startswith("--") and not passed_on}
        assert {flag for flag in flags if flag.strip("-") not in script.read_text(encoding="utf-8")} == set()
    else:
        assert words[0] in OF_OTHERS


def check_weights(settings) -> None:
    """A documented training begins: its frozen towers have weights."""
    if isinstance(settings, TrainConfig | AlignmentConfig):
        check_start(settings)


def test_there_are_commands():
    assert len(ALL) > 50
    assert sum(module_of(words) is not None for _, words in ALL) > 40


def test_a_wrong_flag_would_be_found(read):
    with pytest.raises(SystemExit):
        importlib.import_module("pistar_vf.cli.train").main(["--data_dir", "d", "--checkpoint_dir", "c", "--nonsense"])


def test_commands_are_found():
    block = "XLA=1 A_B=c pistar-vf check x  # why\n\npython scripts/train.py \\\n  --demo && make test\n"
    assert commands(block) == [["pistar-vf", "check", "x"], ["python", "scripts/train.py", "--demo"], ["make", "test"]]


# patches.md names files of another project.
@pytest.mark.parametrize("page", [p for p in PAGES if p.name != "patches.md"], ids=lambda page: page.name)
def test_files_that_are_named_are_there(page):
    named = re.findall(r"`((?:tests|benchmarks|src/pistar_vf|constraints)/[\w/.-]+)`", page.read_text(encoding="utf-8"))
    assert [name for name in named if not (ROOT / name).exists()] == []
