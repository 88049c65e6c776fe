"""The page of the public names: complete, and its program runs as it stands."""

import ast
import importlib
import re
from pathlib import Path

import pytest
from support.places import ROOT

import pistar_vf

PAGE = ROOT / "docs" / "api.md"
STUB = Path(pistar_vf.__file__).with_name("__init__.pyi")


def text() -> str:
    return PAGE.read_text(encoding="utf-8")


def examples() -> list[str]:
    """The blocks of the page's program, in order, each at its own line of the file."""
    blocks = re.finditer(r"^```python\n(.*?)^```$", text(), re.MULTILINE | re.DOTALL)
    return ["\n" * text()[: block.start(1)].count("\n") + block[1] for block in blocks]


def test_every_name_is_described_and_in_an_example():
    described = set(re.findall(r"`(\w+)", "\n".join(line for line in text().splitlines() if line.startswith("|"))))
    described |= {"PistarError", "__version__"}  # in the text around the tables
    used = set(re.findall(r"pistar_vf\.(\w+)", "\n".join(examples())))
    public = set(pistar_vf.__all__)
    assert (public - described, public - used) == (set(), set())
    modules = {path.stem for path in STUB.parent.iterdir()}
    assert used - public <= modules, "the page uses what is not public"


def test_type_checkers_see_the_same_names():
    """A stub's names are public where they are imported as themselves."""
    tree = ast.parse(STUB.read_text(encoding="utf-8"))
    imports = [node for node in tree.body if isinstance(node, ast.ImportFrom)]
    found = {alias.asname: node.module for node in imports for alias in node.names}
    assert all(alias.name == alias.asname for node in imports for alias in node.names)
    assert found == pistar_vf._LAZY
    assert set(pistar_vf.__all__) == {"__version__", *found}


@pytest.mark.parametrize("name", sorted(set(pistar_vf.__all__) - {"__version__"}))
def test_every_name_is_that_of_its_module(name):
    module = importlib.import_module(pistar_vf._LAZY[name])
    assert getattr(pistar_vf, name) is getattr(module, name)
    assert getattr(pistar_vf, name).__doc__


@pytest.mark.usefixtures("small_and_fast")
def test_the_program_of_the_page_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PISTAR_VF_CACHE", str(tmp_path / "cache"))
    program: dict = {"__name__": "api_page"}
    for example in examples():
        exec(compile(example, str(PAGE), "exec"), program)
