"""The house: a module imports only from strictly lower layers, or siblings inside its own package."""

import ast
import graphlib
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "src" / "pistar_vf"

TABLE = """\
| layer | modules |
|---|---|
| 0 | `__init__`, `typing`, `errors`, `messages` |
| 1 | `advantages`, `batch`, `categorical`, `compat`, `intervals`, `params`, `patching`, `returns` |
| 2 | `models`, `data` |
| 3 | `checkpoints` |
| 4 | `training` |
| 5 | `doctor`, `evaluation`, `relabel`, `testing` |
| 6 | `presets` |
| 7 | `cli` |
"""

LAYERS = {
    module: int(layer)
    for layer, modules in re.findall(r"^\| (\d) \| (.*) \|$", TABLE, re.MULTILINE)
    for module in re.findall(r"`(\w+)`", modules)
}

MODULES = {
    ".".join(path.relative_to(PACKAGE).with_suffix("").parts).removesuffix(".__init__"): path
    for path in sorted(PACKAGE.rglob("*.py"))
}
"""Dotted name below pistar_vf (`data.tokenizer`, `data`, `__init__`) to file."""


def imported_modules(source: str, modules: set[str]) -> set[str]:
    """The modules of pistar_vf that a source text imports, as names below pistar_vf."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"line {node.lineno}: expected an absolute import, got a relative one"
            found |= {_target(node.module, alias.name, modules) for alias in node.names}
    own = {name for name in found if name.split(".")[0] == "pistar_vf"}
    return {name.removeprefix("pistar_vf").removeprefix(".") or "__init__" for name in own}


def _target(module: str, name: str, modules: set[str]) -> str:
    """`from module import name`: the submodule where `name` is one, else the module."""
    dotted = f"{module}.{name}"
    return dotted if dotted.removeprefix("pistar_vf.") in modules else module


def violation(importer: str, imported: str) -> str | None:
    """Why `importer` may not import `imported`, or None where it may."""
    inside, target = importer.split(".")[0], imported.split(".")[0]
    if inside == target:
        return None
    if LAYERS[inside] <= LAYERS[target]:
        return f"{importer} (layer {LAYERS[inside]}) imports {imported} (layer {LAYERS[target]})"
    if target == "testing" and inside != "cli":
        return f"{importer} imports {imported}: testing is for tests and the demo"
    return None


def test_the_documentation_shows_this_table():
    assert TABLE in (ROOT / "docs" / "development.md").read_text()


@pytest.mark.parametrize("name", MODULES)
def test_every_module_has_a_layer(name):
    part = name.split(".")[0]
    assert part in LAYERS, f"{MODULES[name]}: '{part}' is not in the table; give it a layer here and in the docs"


@pytest.mark.parametrize("name", MODULES)
def test_imports_go_down(name):
    imports = imported_modules(MODULES[name].read_text(), set(MODULES))
    assert [text for imported in sorted(imports) if (text := violation(name, imported))] == []


def test_no_import_cycle():
    graph = {name: imported_modules(path.read_text(), set(MODULES)) - {name} for name, path in MODULES.items()}
    list(graphlib.TopologicalSorter(graph).static_order())


# --- the test itself -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("import numpy\nfrom jax import numpy", set()),
        ("import pistar_vf_other", set()),
        ("import pistar_vf.errors", {"errors"}),
        ("from pistar_vf import batch", {"batch"}),
        ("from pistar_vf import __version__", {"__init__"}),
        ("def f():\n    from pistar_vf.data import tokenizer", {"data.tokenizer"}),
        ("from pistar_vf.data.tokenizer import PromptTokenizer", {"data.tokenizer"}),
    ],
)
def test_imports_are_found(source, expected):
    assert imported_modules(source, {"errors", "batch", "data", "data.tokenizer"}) == expected


def test_a_relative_import_is_refused():
    with pytest.raises(AssertionError, match="line 1: expected an absolute import"):
        imported_modules("from . import errors", {"errors"})


@pytest.mark.parametrize(
    ("importer", "imported", "allowed"),
    [
        ("models.gemma3", "batch", True),
        ("models.gemma3", "models.lora", True),
        ("models.gemma3", "data.loader", False),
        ("data.loader", "models", False),
        ("errors", "typing", False),
        ("checkpoints.manager", "training.state", False),
        ("returns", "presets", False),
        ("presets", "testing.robot", False),
        ("cli.train", "testing.robot", True),
    ],
)
def test_the_rule(importer, imported, allowed):
    assert (violation(importer, imported) is None) == allowed
