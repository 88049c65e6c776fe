"""The process that runs code of checkouts. Oracle: the disk, the clock of the processor, and what reading says."""

import os
import socket

import pytest
from support.mini_upstream import write_mini_upstream

from pistar_vf.faults.finding import absent, fault, fixed, unknown
from pistar_vf.faults.source_tree import SourceTree
from pistar_vf.patching import questions
from pistar_vf.patching.patch_file import load_patches
from pistar_vf.patching.questions import joined, judge
from pistar_vf.rehearsal import asking
from pistar_vf.rehearsal.asking import rehearse
from pistar_vf.rehearsal.world import World

SCRIPT = "scripts/train_value.py"
PATCHES = {patch.id: patch for patch in load_patches()}
WORLD = "import inspect\n\nos = inspect.os\nsys = inspect.sys\n"
"""A way out of the stand-ins: a module that computes holds others."""


@pytest.fixture(scope="module")
def fork(tmp_path_factory):
    return write_mini_upstream(tmp_path_factory.mktemp("fork") / "fork")


def ask(fork, before=""):
    """What running says of the tokenizer of a fork (patch 13c), whose script starts with other lines."""
    source = (fork / SCRIPT).read_bytes()
    seen = rehearse("tokenizer_arguments", SourceTree(fork, {SCRIPT: before.encode() + source}), {"script": SCRIPT})
    return None if seen is None else seen.finding


def test_without_more_the_fault_is_seen(fork):
    assert ask(fork).verdict == "fault"
    assert ask(fork, WORLD).verdict == "fault"


@pytest.mark.parametrize(
    "line",
    [
        'os.mkdir("{}")',
        'os.close(os.open("{}", os.O_CREAT | os.O_WRONLY))',
        'sys.modules["io"].open("{}", "w").close()',
        'os.symlink("/", "{}")',
        'os.mkfifo("{}")',
        'os.system("touch {}")',
        'os.posix_spawn("/usr/bin/touch", ["touch", "{}"], {{}})',
    ],
)
def test_nothing_is_written_and_nothing_is_said(fork, tmp_path, line):
    target = tmp_path / "written"
    escape = f"{WORLD}try:\n    {line.format(target)}\nexcept PermissionError:\n    pass\n"
    assert ask(fork, escape) is None
    assert not target.exists()
    assert ask(fork).verdict == "fault"


def test_nothing_below_the_checkout_is_written_or_removed(fork):
    before = sorted(fork.rglob("*"))
    for line in (f'os.remove("{fork / SCRIPT}")', f'os.rename("{fork / SCRIPT}", "{fork}/x")', f'os.mkdir("{fork}/x")'):
        assert ask(fork, f"{WORLD}{line}\n") is None
    assert sorted(fork.rglob("*")) == before


def test_nothing_but_the_checkout_is_read(fork, tmp_path):
    (tmp_path / "secret").write_text("x")
    assert ask(fork, f'{WORLD}sys.modules["io"].open("{tmp_path / "secret"}")\n') is None
    assert ask(fork, f'{WORLD}sys.modules["io"].open("{fork / SCRIPT}").read()\n').verdict == "fault"


@pytest.mark.parametrize("line", ['os.walk("{}")', 'path("{}").rglob("*")', 'path("{}").glob("*")', 'os.scandir("{}")'])
def test_no_folder_but_the_checkout_is_gone_through(fork, line):
    """Of which Python tells by other names from one version to the next."""
    through = f'{WORLD}path = sys.modules["pathlib"].Path\nlist({line})\n'
    assert ask(fork, through.format(fork)).verdict == "fault"
    assert ask(fork, through.format(fork.parent)) is None


def test_the_environment_is_not_known(fork, monkeypatch):
    monkeypatch.setenv("SECRET", "x")
    assert ask(fork, f'{WORLD}assert not os.environ.get("SECRET")\n').verdict == "fault"


def test_no_network(fork):
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.2)
        port = server.getsockname()[1]
        load = 'sys.meta_path[-1].find_spec("_socket").loader'
        lines = f'{WORLD}s = {load}.load_module("_socket")\ns.socket().connect(("127.0.0.1", {port}))\n'
        assert ask(fork, lines) is None
        with pytest.raises(TimeoutError):
            server.accept()


@pytest.mark.parametrize("line", ["sum(range(10**12))", "os.kill(os.getpid(), 9)", "os._exit(3)", "os.abort()"])
def test_a_process_that_does_not_end_or_ends_early_says_nothing(fork, monkeypatch, line):
    assert ask(fork, f"{WORLD}{line}\n") is None
    assert ask(fork).verdict == "fault"


def test_too_much_memory_is_not_to_be_had(fork):
    assert ask(fork, f'{WORLD}taken = "a" * (8 << 30)\n') is None


def test_a_process_that_asks_is_given_another_when_its_own_is_lost(fork):
    ask(fork)
    stage = asking._stage(os.getpid())
    stage.kill()
    stage.wait()
    assert ask(fork) is None
    assert ask(fork).verdict == "fault"


def test_where_no_process_can_be_started_nothing_is_said(fork, monkeypatch):
    asking._stage.cache_clear()
    monkeypatch.setattr(asking.sys, "executable", str(fork / "no-python"))
    assert ask(fork) is None
    monkeypatch.undo()
    assert ask(fork).verdict == "fault"


def test_modules_of_the_folder_of_the_caller_are_not_taken_for_python_s(fork, tmp_path, monkeypatch):
    (tmp_path / "re.py").write_text("raise SystemExit")
    monkeypatch.syspath_prepend(str(tmp_path))
    asking._stage.cache_clear()
    assert ask(fork).verdict == "fault"


# --- what reading says, and what running makes of it ----------------------------------------------------------------


READ = {"fault": fault("r", "x:1"), "fixed": fixed("r", "x:1"), "absent": absent("r"), "unknown": unknown("r", "x:1")}
SEEN = {"fault": fault("s", "y:2"), "fixed": fixed("s", "y:2"), "unknown": unknown("s", "y:2")}
READ_IT, SEEN_IT, BOTH = "what is read", "what is seen", "both, and nobody can tell"
SAID = [
    ("fault", "fault", False, READ_IT),
    ("fault", "fixed", True, SEEN_IT),
    ("fault", "fixed", False, BOTH),
    ("fault", "unknown", True, READ_IT),
    *((read, "fault", False, SEEN_IT) for read in ("fixed", "absent", "unknown")),
    *((read, "fixed", False, READ_IT) for read in ("fixed", "absent")),
    *((read, "unknown", True, BOTH) for read in ("fixed", "absent", "unknown")),
    ("unknown", "fixed", False, SEEN_IT),
]


@pytest.mark.parametrize(("read", "seen", "went_there", "expected"), SAID)
def test_what_is_said_of_what_is_read_and_seen(read, seen, went_there, expected):
    said = joined(READ[read], SEEN[seen], went_there)
    if expected == BOTH:
        assert said.verdict == "unknown"
        assert (said.text.count("r"), said.text.count("; run in memory, s")) != (0, 0)
    else:
        assert said == (READ[read] if expected == READ_IT else SEEN[seen])


def test_a_place_that_is_not_seen_is_the_one_that_was_read():
    assert joined(unknown("look", "x:1"), fault("s"), went_there=False) == fault("s", "x:1")


LATE = "def called():\n    return 1\n\n\ndef not_called():\n    return 2\n\n\ncalled()\n"


@pytest.mark.parametrize(("line", "ran"), [(1, True), (2, True), (5, False), (6, False), (9, True)])
def test_where_the_code_went(tmp_path, line, ran):
    file = "src/openpi/example.py"
    tree = SourceTree(tmp_path, {file: LATE.encode()})
    world = World(tree, truth=False)
    world.attempt(world.load, "openpi.example")
    assert questions._ran(tree, f"{file}:{line}", world.ran) is ran
    assert not questions._ran(tree, "", world.ran)


@pytest.mark.parametrize(("doubted", "asked"), [(False, 0), (True, 1)])
def test_code_that_can_be_read_is_run_only_where_it_is_doubted(fork, monkeypatch, doubted, asked):
    calls = []
    monkeypatch.setattr(questions, "rehearse", lambda *given: calls.append(given))
    assert judge(PATCHES["13c"], SourceTree(fork), doubted).verdict == "fault"
    assert len(calls) == asked
