"""Code that is run in memory. Oracle: Python itself, on code whose result is written out here."""

import pytest

from pistar_vf.faults.finding import fault, fixed
from pistar_vf.faults.source_tree import SourceTree
from pistar_vf.rehearsal.arrays import Arrays
from pistar_vf.rehearsal.seen import in_both_worlds, raised_at
from pistar_vf.rehearsal.stand_in import Base, StandIn, keys_of
from pistar_vf.rehearsal.world import Halt, World

FILE = "src/openpi/example.py"


def load(tmp_path, source, truth=False, **others):
    """The outcome of running a module of a checkout, and its world."""
    files = {FILE: source.encode(), **{f"src/openpi/{name}.py": text.encode() for name, text in others.items()}}
    world = World(SourceTree(tmp_path, files), truth)
    return world.attempt(world.load, "openpi.example"), world


def run(tmp_path, source, truth=False, **others):
    """What the module's `found` is."""
    outcome, _ = load(tmp_path, source, truth, **others)
    assert outcome.error is None, outcome.error
    return outcome.value.found


def test_the_checkout_runs_and_packages_do_not(tmp_path):
    source = "from openpi.other import twice\nimport torch\nfound = (twice(4), torch.zeros(3).sum() + 1)\n"
    number, stand_in = run(tmp_path, source, other="def twice(value):\n    return 2 * value\n")
    assert number == 8
    assert isinstance(stand_in, StandIn)


@pytest.mark.parametrize(
    "line",
    [
        'open("{}", "w").write("x")',
        'from pathlib import Path; Path("{}").write_text("x")',
        'import os; os.mkdir("{}")',
        'import subprocess; subprocess.run(["touch", "{}"])',
        'import shutil; shutil.copy("/etc/hostname", "{}")',
        'from importlib import import_module; import_module("os").mkdir("{}")',
    ],
)
def test_nothing_reaches_the_disk(tmp_path, line):
    target = tmp_path / "written"
    outcome, _ = load(tmp_path, line.format(target) + "\n")
    assert outcome.error is None
    assert not target.exists()


@pytest.mark.parametrize("loop", ["while True:\n    pass", "def f():\n    f()\n\n\nimport torch\nwhile torch.x: f"])
def test_code_that_does_not_end_is_stopped(tmp_path, loop):
    outcome, _ = load(tmp_path, loop + "\n", truth=True)
    assert isinstance(outcome.error, Halt)


@pytest.mark.parametrize(("truth", "taken"), [(True, "then"), (False, "else")])
def test_an_open_condition_is_what_the_world_says(tmp_path, truth, taken):
    assert run(tmp_path, 'import torch\nfound = "then" if torch.cuda.is_available() else "else"\n', truth) == taken


def test_a_check_that_raises_finds_nothing_wrong_where_nobody_knows(tmp_path):
    source = "import torch\nif not torch.ready():\n    raise ValueError\nif 1 > 2:\n    raise KeyError\nfound = 1\n"
    assert run(tmp_path, source) == 1


def test_a_stand_in_is_taken_apart(tmp_path):
    source = "import torch\na, b = torch.pair()\nfound = [x for x, y, z in torch.rows()] + [a, b]\n"
    assert len(run(tmp_path, source)) == 4


def test_what_was_taken_out_by_a_key_remembers_it(tmp_path):
    taken = run(tmp_path, 'import torch\nbatch = next(iter(torch.x))\nfound = torch.asarray(batch["value"]) + 1\n')
    assert keys_of(taken) == {"value"}


def test_there_is_no_column_actions(tmp_path):
    source = "import torch\ntry:\n    torch.x['actions']\nexcept KeyError:\n    found = torch.x.get('actions', 5)\n"
    assert run(tmp_path, source) == 5


def test_a_name_is_missed_only_where_it_is_asked_for(tmp_path):
    source = "from openpi.other import absent\nfound = absent\n"
    assert isinstance(run(tmp_path, source, other=""), StandIn)
    files = {FILE: source.encode(), "src/openpi/other.py": b""}
    world = World(SourceTree(tmp_path, files), False)
    world.strict = "openpi.other.absent"
    outcome = world.attempt(world.load, "openpi.example")
    assert isinstance(outcome.error, ImportError)
    assert raised_at(outcome.error) == f"{FILE}:1"


def test_a_pinned_package_lacks_what_it_lacks(tmp_path):
    outcome, _ = load(tmp_path, "from etils.edc import ContextStack\n")
    assert isinstance(outcome.error, ImportError)


def test_a_class_is_derived_from_two_stand_ins(tmp_path):
    assert isinstance(run(tmp_path, "import torch\nclass Own(torch.A, torch.B):\n    pass\nfound = Own(1)\n"), Base)


BOTH = [
    (fault("a"), fault("b"), fault("a")),
    (fixed("a", ""), fixed("b", ""), fixed("a", "")),
    (fault("a"), fixed("b", ""), "do not hold of which nobody knows the outcome, a"),
    (fixed("a", ""), fault("b"), "hold of which nobody knows the outcome, b"),
    (None, fault("b"), "hold of which nobody knows the outcome, b"),
    (fixed("a", ""), None, None),
    (None, None, None),
]


@pytest.mark.parametrize(("without", "holding", "expected"), BOTH)
def test_what_is_seen_in_two_worlds(tmp_path, without, holding, expected):
    """A fault in one of them is not kept secret, and is not certain."""
    seen = in_both_worlds(SourceTree(tmp_path, {}), lambda world: holding if world.truth else without)
    if isinstance(expected, str):
        assert seen.finding.verdict == "unknown"
        assert seen.finding.text.endswith(expected)
    else:
        assert (seen and seen.finding) == expected


def test_what_ran_either_way_is_known(tmp_path):
    source = "import torch\n\n\ndef a(): ...\ndef b(): ...\n\n\n(a if torch.x else b)()\n"

    def look(world):
        world.attempt(world.load, "openpi.example")
        assert f"{FILE}:{4 if world.truth else 5}" in world.ran
        return fixed("", "")

    seen = in_both_worlds(SourceTree(tmp_path, {FILE: source.encode()}), look)
    assert seen.ran == {FILE}


@pytest.mark.parametrize("truth", [True, False])
@pytest.mark.parametrize(
    ("condition", "holds"),
    [
        ('torch.name == "fake"', False),
        ('torch.name != "fake"', True),
        ("isinstance(torch.x, float)", False),
        ("isinstance(torch.x, (bool, int))", False),
        ("isinstance(5, torch.Tensor)", False),
    ],
)
def test_what_is_known_of_a_stand_in(tmp_path, condition, holds, truth):
    assert run(tmp_path, f"import torch\nfound = bool({condition})\n", truth) is holds


def test_a_module_that_makes_its_names_when_they_are_asked_for(tmp_path):
    lazy = "def __getattr__(name):\n    if name == 'made':\n        return 5\n    raise AttributeError(name)\n"
    source = "from openpi.other import *\nfrom openpi.other import made\nfound = made\n"
    assert run(tmp_path, source, other=lazy) == 5


@pytest.mark.parametrize(
    ("name", "error"), [("None", TypeError), ("'a', x=['actions']", KeyError), ("'a'", type(None))]
)
def test_a_dataset_is_opened_by_its_name(tmp_path, name, error):
    files = {FILE: f"import lerobot\nlerobot.Dataset({name})\n".encode()}
    world = World(SourceTree(tmp_path, files), False)
    world.opening = True
    assert type(world.attempt(world.load, "openpi.example").error) is error


@pytest.mark.parametrize(("call", "value"), [("os.environ.get('X')", None), ("os.getenv('X', 'a')", "a")])
def test_nothing_is_set_in_the_environment(tmp_path, call, value):
    assert run(tmp_path, f"import os\nfound = {call}\n", truth=True) == value


JAX = """
import dataclasses, jax, strange
from flax import nnx

@{}
class State:
    step: int = 0

@nnx.jit(donate_argnums=0)
def compiled(state):
    return state

found = {}
"""


def test_what_is_compiled_gets_arrays(tmp_path):
    source = JAX.format("jax.tree_util.register_dataclass\n@dataclasses.dataclass", "compiled(State()).step")
    world = World(SourceTree(tmp_path, {FILE: source.encode()}), False)
    Arrays(world)
    assert isinstance(world.attempt(world.load, "openpi.example").value.found, StandIn)


@pytest.mark.parametrize(
    ("decorator", "call", "error"),
    [
        ("dataclasses.dataclass", "jax.device_put(State())", TypeError),
        ("dataclasses.dataclass", "compiled(State())", TypeError),
        ("dataclasses.dataclass", "jax.tree.map(jax.numpy.asarray, (1, {'a': State()}))", TypeError),
        ("strange.made\n@dataclasses.dataclass", "jax.device_put(State())", Halt),
        ("jax.tree_util.register_dataclass\n@dataclasses.dataclass", "compiled(jax.device_put(State()))", type(None)),
    ],
)
def test_which_objects_jax_takes_for_trees(tmp_path, decorator, call, error):
    world = World(SourceTree(tmp_path, {FILE: JAX.format(decorator, call).encode()}), False)
    Arrays(world)
    assert type(world.attempt(world.load, "openpi.example").error) is error
