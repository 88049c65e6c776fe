"""The house: a module imports from lower floors, or from rooms of its own floor in one direction only."""

import ast
import graphlib
import re
import subprocess
import sys

import pytest
from support.places import ROOT

PACKAGE = ROOT / "src" / "pistar_vf"

TABLE = """\
| floor | rooms |
|---|---|
| 0 | `__init__`, `choices`, `errors`, `messages`, `typing` |
| 1 | `batch`, `categorical`, `episode_layout`, `foreign_files`, `hub`, `installation`, `intervals` |
| 1 | `launch`, `metrics`, `multihost`, `params`, `progress`, `returns`, `settings`, `sharding` |
| 2 | `changes`, `models`, `tokenizer`, `video` |
| 3 | `lerobot` |
| 4 | `frames`, `labels` |
| 5 | `checkpoints`, `curation`, `health`, `questions` |
| 6 | `faults`, `inference`, `rehearsal`, `training`, `weights` |
| 7 | `data`, `doctor`, `drawing`, `evaluation`, `exports`, `patching` |
| 7 | `recipes`, `relabel`, `report`, `rounds`, `serving`, `upstream` |
| 8 | `overview`, `testing` |
| 9 | `demo` |
| 10 | `cli` |
"""

LAYERS = {
    module: int(layer)
    for layer, modules in re.findall(r"^\| (\d+) \| (.*) \|$", TABLE, re.MULTILINE)
    for module in re.findall(r"`(\w+)`", modules)
}

MODULES = {
    ".".join(path.relative_to(PACKAGE).with_suffix("").parts).removesuffix(".__init__"): path
    for path in sorted(PACKAGE.rglob("*.py"))
}
"""Dotted name below pistar_vf (`frames.loader`, `frames`, `__init__`) to file."""


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
    """Why `importer` may not import `imported`, or None where it may; a room may import another of its own floor."""
    inside, target = importer.split(".")[0], imported.split(".")[0]
    if inside == target:
        return None
    if LAYERS[inside] < LAYERS[target] or LAYERS[inside] == LAYERS[target] == 0:
        return f"{importer} (floor {LAYERS[inside]}) imports {imported} (floor {LAYERS[target]})"
    if target == "patching" and importer != "cli.patch":
        return f"{importer} imports {imported}: only the command `patch` does"
    if target == "testing" and inside not in ("demo", "cli"):
        return f"{importer} imports {imported}: testing is for tests and the demo"
    return None


def room_graph() -> dict[str, set[str]]:
    """Room to the rooms it imports."""
    graph: dict[str, set[str]] = {}
    for name, path in MODULES.items():
        rooms = {imported.split(".")[0] for imported in imported_modules(path.read_text(), set(MODULES))}
        graph.setdefault(name.split(".")[0], set()).update(rooms - {name.split(".")[0]})
    return graph


def test_the_documentation_shows_this_table():
    assert TABLE in (ROOT / "docs" / "development.md").read_text()


def test_the_picture_is_that_of_the_table():
    drawn = subprocess.run(
        [sys.executable, "-c", "import draw_rooms; print(draw_rooms.draw(), end='')"],
        cwd=ROOT / "scripts",
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    picture = (ROOT / "docs" / "images" / "rooms.svg").read_text(encoding="utf-8")
    assert drawn == picture, "make it again: python scripts/draw_rooms.py"


@pytest.mark.parametrize("name", MODULES)
def test_every_module_has_a_floor(name):
    part = name.split(".")[0]
    assert part in LAYERS, f"{MODULES[name]}: '{part}' is not in the table; give it a floor here and in the docs"


@pytest.mark.parametrize("name", MODULES)
def test_imports_go_down(name):
    imports = imported_modules(MODULES[name].read_text(), set(MODULES))
    assert [text for imported in sorted(imports) if (text := violation(name, imported))] == []


def test_rooms_import_each_other_in_one_direction_only():
    list(graphlib.TopologicalSorter(room_graph()).static_order())


@pytest.mark.parametrize("room", sorted({name.split(".")[0] for name in MODULES if "." in name}))
def test_a_room_has_one_subject(room):
    """It says in its first docstring what may live there, and is at most 12 % of the library."""
    lines = {name: len(path.read_text().splitlines()) for name, path in MODULES.items()}
    own = sum(count for name, count in lines.items() if name.split(".")[0] == room)
    assert own <= 0.12 * sum(lines.values()), f"{room} has {own} lines: cut it in two"
    assert ast.get_docstring(ast.parse(MODULES[room].read_text())), f"{room}/__init__.py: say what may live here"


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
        ("def f():\n    from pistar_vf.frames import loader", {"frames.loader"}),
        ("from pistar_vf.frames.loader import FrameTable", {"frames.loader"}),
    ],
)
def test_imports_are_found(source, expected):
    assert imported_modules(source, {"errors", "batch", "frames", "frames.loader"}) == expected


def test_a_relative_import_is_refused():
    with pytest.raises(AssertionError, match="line 1: expected an absolute import"):
        imported_modules("from . import errors", {"errors"})


@pytest.mark.parametrize(
    ("importer", "imported", "allowed"),
    [
        ("models.gemma3", "batch", True),
        ("models.gemma3", "models.lora", True),
        ("models.gemma3", "frames.loader", False),
        ("labels.targets", "lerobot.dataset", True),
        ("errors", "typing", False),
        ("checkpoints.manager", "training.state", False),
        ("relabel.run", "upstream.labels", True),
        ("relabel.run", "testing.tiny", False),
        ("doctor.versions", "patching.plan", False),
        ("cli.train", "demo.value_demo", True),
    ],
)
def test_the_rule(importer, imported, allowed):
    assert (violation(importer, imported) is None) == allowed
