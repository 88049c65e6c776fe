"""The tutorial runs as printed, with fewer episodes and steps; every command has an example with its output."""

import importlib
import re
import sys

import pytest
from support.places import ROOT

from pistar_vf.cli.main import COMMANDS, main
from pistar_vf.lerobot.dataset import load_lerobot

FEWER = {
    "num_episodes=96": "num_episodes=6, image_size=48",
    "--folds 3 --num_train_steps 900": "--folds 2 --num_train_steps 2",
}
ALSO = {
    "train": ["--num_workers", "0", "--batch_size", "4", "--val_interval", "0"],
    "eval": ["--num_workers", "0"],
    "relabel": ["--num_workers", "0", "--lookahead", "3", "--force"],  # two steps teach nothing
}


@pytest.fixture(scope="module")
def walk():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(ROOT / "benchmarks"))
        yield importlib.import_module("walk")
        for name in ("walk", "reliability", "recording"):
            sys.modules.pop(name, None)


@pytest.mark.usefixtures("small_and_fast")
def test_the_commands_run(walk, tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PISTAR_VF_CACHE", str(tmp_path / "cache"))
    page = (ROOT / "docs" / "tutorial.md").read_text(encoding="utf-8")
    for printed, run in FEWER.items():
        assert printed in page
        page = page.replace(printed, run)
    given = [words for block in walk.BLOCK.finditer(page) for words in walk.commands_of(block["commands"])]
    for words in given:
        if words[0] == "python":
            exec(words[2], {})
        else:
            assert main([*words[1:], *ALSO.get(words[1], [])]) == 0, capfd.readouterr().err
    assert [words[1] for words in given if words[0] == "pistar-vf"] == [
        "check", "label", "train", "eval", "relabel", "relabel"
    ]  # fmt: skip
    assert {"positive", "negative"} & set(load_lerobot("arm_relabelled").read_column("adv_ind"))
    assert (tmp_path / "gate" / "report.html").stat().st_size > 10_000


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_an_example_with_its_output(walk, command):
    page = (ROOT / "docs" / "commands.md").read_text(encoding="utf-8")
    (section,) = re.findall(rf"^## {command}\n(.*?)(?=^## |\Z)", page, re.MULTILINE | re.DOTALL)
    blocks = list(walk.BLOCK.finditer(section))
    given = [words for block in blocks for words in walk.commands_of(block["commands"])]
    assert ["pistar-vf", command] in [words[:2] for words in given]
    output = blocks[-1]["output"]
    assert output is not None
    assert len(output.strip().splitlines()) > 2
    assert "Traceback" not in output


def test_an_output_is_put_under_its_command(walk, monkeypatch, tmp_path):
    page = "a\n```sh\npistar-vf check x\n```\n\n```text\nold\n```\n\n```sh\nmake y\n```\n"
    monkeypatch.setattr(walk, "printed", lambda words, folder: f"{folder}/of {' '.join(words)}")
    assert walk.walk(page, tmp_path) == (page.replace("old", "of pistar-vf check x"), [])

    def fail(*_):
        raise walk.FailedError("no")

    monkeypatch.setattr(walk, "printed", fail)
    assert walk.walk(page, tmp_path) == (page, ["no", "no"])


def test_long_outputs_are_cut(walk, monkeypatch, tmp_path):
    monkeypatch.setattr(walk, "printed", lambda words, folder: "\n".join(map(str, range(100))))
    shown = walk.walk("```sh\na\n```\n\n```text\n```\n", tmp_path)[0].splitlines()
    assert (shown[5], shown[-8], shown[-2]) == ("0", "…", "99")
