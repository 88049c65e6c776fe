"""What the benchmarks take from the library is there: nobody runs all of them after every change."""

import ast
import importlib

import pytest
from support.places import ROOT

FILES = sorted((ROOT / "benchmarks").rglob("*.py"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(ROOT / "benchmarks").as_posix())
def test_names_that_are_imported_are_there(path):
    nodes = ast.walk(ast.parse(path.read_text(encoding="utf-8")))
    imports = [node for node in nodes if isinstance(node, ast.ImportFrom) and str(node.module).startswith("pistar_vf")]
    for node in imports:
        module = importlib.import_module(node.module)
        for name in (alias.name for alias in node.names):
            assert hasattr(module, name) or importlib.import_module(f"{node.module}.{name}"), f"{node.module}.{name}"


def test_there_are_benchmarks():
    assert len(FILES) > 20
