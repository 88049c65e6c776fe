"""The two READMEs say the same, and what they name exists."""

import re

import numpy as np
import pytest
from support.places import ROOT

from pistar_vf.cli.main import COMMANDS

READMES = ("README.md", "README.zh-CN.md")
COMMAND = re.compile(r"pistar-vf ([a-z][a-z-]*)")


def text(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def code_blocks(markdown: str) -> list[str]:
    """Fenced blocks with their languages."""
    return re.findall(r"^```.*?^```$", markdown, re.MULTILINE | re.DOTALL)


def links(markdown: str) -> list[str]:
    """Files that are linked."""
    return re.findall(r"\]\(([^)#:]+)\)", markdown)


def test_both_show_the_same_code():
    english, chinese = (code_blocks(text(name)) for name in READMES)
    assert len(english) == text("README.md").count("\n```") // 2 > 2
    assert chinese == english


def test_each_begins_with_a_link_to_the_other():
    for name, other in zip(READMES, reversed(READMES)):
        assert f"({other})" in text(name).splitlines()[2]


def test_both_link_the_same_pages_in_the_same_order():
    english, chinese = (links(text(name))[1:] for name in READMES)
    assert len(english) > 5
    assert chinese == english


def test_the_picture_and_the_example_come_first():
    """Before the first heading, on the first screen."""
    for name in READMES:
        beginning = text(name).split("\n## ")[0].splitlines()
        assert beginning[4].endswith("(docs/images/value_curves.png)")
        assert beginning.index("```python") < 20


@pytest.mark.usefixtures("small_and_fast")
def test_the_example_runs(trained_run, monkeypatch, tmp_path):
    (example,) = [block for block in code_blocks(text("README.md")) if block.startswith("```python")]
    lines = [line for line in example.splitlines()[1:-1] if line and not line.startswith("import")]
    assert len(lines) == 5
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / "vials_tiny").symlink_to(trained_run.checkpoint.parent)
    monkeypatch.chdir(tmp_path)
    picture = np.zeros((48, 48, 3), np.uint8)
    program = {"front": picture, "wrist": picture, "state": np.zeros(6, np.float32)}
    exec(compile("\n".join(example.splitlines()[1:-1]), "README.md", "exec"), program)
    assert program["prediction"].probs.shape == (1, 201)
    assert -1 <= program["prediction"].value[0] <= 0


@pytest.mark.parametrize("name", READMES)
def test_what_they_name_exists(name):
    markdown = text(name)
    scripts = re.findall(r"scripts/\w+\.(?:py|sh)", markdown)
    assert scripts
    assert [path for path in (*scripts, *links(markdown)) if not (ROOT / path).is_file()] == []
    commands = COMMAND.findall(markdown)
    assert {"label", "train", "relabel", "convert"} <= set(commands) <= set(COMMANDS)


def test_pictures_are_the_repositorys_own_and_light():
    """A value curve and an architecture on the first screen; each is made by `benchmarks/pictures.py`."""
    shown = {path for path in links(text("README.md")) if path.endswith(".png")}
    assert {"docs/images/value_curves.png", "docs/images/architecture_pistar.png"} <= shown
    pictures = list((ROOT / "docs" / "images").glob("*.png"))
    script = (ROOT / "benchmarks" / "pictures.py").read_text()
    assert [path.name for path in pictures if f'"{path.name}"' not in script] == []
    assert [path.name for path in pictures if path.stat().st_size > 200 * 1024] == []
    used = "".join(path.read_text() for path in ROOT.rglob("docs/*.md")) + text("README.md")
    assert [path.name for path in pictures if f"images/{path.name})" not in used] == []


# --- the patterns themselves -----------------------------------------------------------------------------------


def test_the_patterns():
    markdown = (
        "see `pistar-vf merge`\n```sh\nmake x\n```\n[a](docs/a.md) [b](https://b.c) [d](docs/a.md#d)\n```\ny\n```\n"
    )
    assert code_blocks(markdown) == ["```sh\nmake x\n```", "```\ny\n```"]
    assert links(markdown) == ["docs/a.md"]
    assert COMMAND.findall(f"{markdown} pistar-vf --help") == ["merge"]
